//! What goes wrong with a server, and whose turn it is then.

use crate::cli::Exit;

/// A server did not do what it was asked to. `server` is always host and port, never the URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It was not there, or went away.
    #[error("cannot reach {server}: {why}")]
    Unreachable {
        /// Host and port.
        server: String,
        /// What happened.
        why: String,
    },
    /// It is there and does not let us.
    #[error("{server} does not let us: {why}")]
    Denied {
        /// Host and port.
        server: String,
        /// What it said, and what to do.
        why: String,
    },
    /// It refused a command.
    #[error("{server} refused {command}: {why}")]
    Refused {
        /// Host and port.
        server: String,
        /// The command's name.
        command: String,
        /// What it said, and what to do.
        why: String,
    },
    /// It said what no Redis says.
    #[error(
        "{server} gave an answer that was not understood ({why}): is it Redis, KeyDB or Valkey?"
    )]
    Answer {
        /// Host and port.
        server: String,
        /// What is wrong with it.
        why: String,
    },
}

impl WireError {
    /// The refusal `text` of `command` as an error.
    pub fn refusal(server: &str, command: &[u8], text: &str) -> Self {
        let server = server.to_owned();
        let command = String::from_utf8_lossy(command).into_owned();
        let word = text.split_whitespace().next().unwrap_or_default();
        let denied = |advice: &str| format!("{text} ({advice})");
        match word {
            "NOAUTH" => Self::Denied {
                server,
                why: denied(
                    "it wants a password: write redis://:PASSWORD@host into a variable or file and name that as env:NAME or file:PATH",
                ),
            },
            "WRONGPASS" => Self::Denied {
                server,
                why: denied(
                    "check user and password, and that characters such as / and @ in them are percent-encoded",
                ),
            },
            "NOPERM" => Self::Denied {
                server,
                why: denied(
                    "the source's user needs +@read +@connection +@transaction +info +scan and, with --live, +psubscribe +config|get; the target's also +@write",
                ),
            },
            "READONLY" => Self::Denied {
                server,
                why: denied("it is a replica: name its master"),
            },
            "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" => Self::Unreachable {
                server,
                why: text.to_owned(),
            },
            "OOM" => Self::Refused {
                server,
                command,
                why: denied(
                    "it is full: raise its maxmemory and run this again, it goes on where it stopped",
                ),
            },
            "MISCONF" => Self::Refused {
                server,
                command,
                why: denied("it cannot save to its disk: see its log"),
            },
            "MOVED" | "ASK" | "CROSSSLOT" => Self::Denied {
                server,
                why: denied("it is a node of a cluster, and a cluster is no target"),
            },
            _ if command.eq_ignore_ascii_case("AUTH") => Self::Denied {
                server,
                why: denied("check user and password"),
            },
            _ => Self::Refused {
                server,
                command,
                why: text.to_owned(),
            },
        }
    }

    /// How the process ends on it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Denied { .. } => Exit::Configuration,
            Self::Refused { .. } | Self::Answer { .. } => Exit::Failure,
        }
    }
}
