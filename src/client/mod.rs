//! The client of a running daemon: where it is, one request after the other on one connection, and
//! what an answer means for a script.
//!
//! | file | what |
//! |---|---|
//! | `server.rs` | where the daemon is, and the token it wants |
//! | `link.rs` | the connection |
//! | `words.rs` | answers of commands in words |
//! | `show.rs`, `pages.rs` | commands that show something: what is asked for, page by page |
//! | `views/` | documents as tables |
//! | `exact.rs` | documents that keep every digit |
//! | `table.rs`, `number.rs` | how tables, decimals and times look |

pub(crate) mod exact;
mod link;
pub(crate) mod number;
mod pages;
mod server;
pub mod show;
pub(crate) mod table;
pub(crate) mod views;
mod words;

pub use link::{Client, Reply};
pub use server::{Place, ServerUrl, Token};
pub use table::Look;
pub use views::View;
pub use words::words;

use serde_json::Value;

use crate::cli::Exit;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// `GET`, `POST`, `PATCH` or `DELETE`.
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// A JSON document.
    pub body: Option<Vec<u8>>,
}

impl Ask {
    /// Without a body.
    pub fn plain(method: &'static str, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            body: None,
        }
    }

    /// With one more query parameter. `value` needs no encoding.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let mark = if self.target.contains('?') { '&' } else { '?' };
        self.target = format!("{}{mark}{name}={value}", self.target);
        self
    }

    /// With every decimal as text, so that no digit is lost on the way to a person.
    #[must_use]
    pub fn exact(self) -> Self {
        self.with("numbers", "string")
    }
}

/// Nothing was done, or nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// What was typed, or the environment, does not say how to reach it.
    #[error("{0}")]
    Setup(String),
    /// No daemon there.
    #[error(
        "no answer from the daemon at {at}: {why} (start it with hean run, or name it by --server)"
    )]
    Unreachable {
        /// Where it should be.
        at: String,
        /// What happened.
        why: String,
    },
    /// The daemon refused.
    #[error("{text}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The code of the problem.
        code: String,
        /// In words, with what to do about it.
        text: String,
    },
    /// The answer is not what a daemon says.
    #[error("{at} does not answer like a daemon of this version: {why}")]
    Foreign {
        /// Where.
        at: String,
        /// What is odd.
        why: String,
    },
    /// The request is on its way, and its end is not known yet.
    #[error("nobody knows yet what became of it: {0}")]
    Unknown(String),
}

impl ClientError {
    /// The exit code that it stands for.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Setup(_) => Exit::Usage,
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Unknown(_) | Self::Foreign { .. } => Exit::Failure,
            Self::Refused { status, code, .. } => match (status, code.as_str()) {
                (_, "risk_refused" | "off_tick" | "off_lot") => Exit::RefusedByRisk,
                (_, "busy" | "no_answer") => Exit::Unreachable,
                (
                    _,
                    "unknown_symbol" | "unknown_strategy" | "unsupported" | "invalid_combination",
                )
                | (400, _) => Exit::Usage,
                _ => Exit::Failure,
            },
        }
    }
}

/// What a problem document says.
fn refusal(status: u16, body: &[u8]) -> ClientError {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let member = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    let (detail, hint) = (member("detail"), member("hint"));
    let mut text = match (detail.is_empty(), hint.is_empty()) {
        (true, _) => format!("the daemon answered with status {status}"),
        // Risk says its hint in the sentence already.
        (false, false) if !detail.contains(&hint) => format!("{detail} ({hint})"),
        (false, _) => detail,
    };
    if status == 401 {
        text.push_str(
            "; hean token create makes a token: put it into HEAN_TOKEN, or into a file that --token-file names",
        );
    }
    ClientError::Refused {
        status,
        code: member("code"),
        text,
    }
}

/// What a document that came back means when the state is nobody's knowledge.
pub fn known(document: &[u8]) -> Result<(), ClientError> {
    let json: Value = serde_json::from_slice(document).unwrap_or_default();
    if json["status"] != "unknown" {
        return Ok(());
    }
    let reason = json["reason"].as_str().unwrap_or("list /api/v1/orders");
    Err(ClientError::Unknown(reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> (Exit, String) {
        let error = refusal(status, body.as_bytes());
        (error.exit(), error.to_string())
    }

    #[test]
    fn every_refusal_has_its_exit_code() {
        for (status, code, exit) in [
            (422, "risk_refused", Exit::RefusedByRisk),
            (422, "off_tick", Exit::RefusedByRisk),
            (422, "invalid_combination", Exit::Usage),
            (422, "unknown_symbol", Exit::Usage),
            (404, "unknown_symbol", Exit::Usage),
            (400, "missing_field", Exit::Usage),
            (403, "forbidden", Exit::Failure),
            (404, "unknown_order", Exit::Failure),
            (409, "order_done", Exit::Failure),
            (422, "venue_rejected", Exit::Failure),
            (503, "busy", Exit::Unreachable),
            (503, "no_answer", Exit::Unreachable),
            (500, "internal", Exit::Failure),
        ] {
            let body = format!(r#"{{"code":"{code}","detail":"no","hint":"do that"}}"#);
            assert_eq!(refused(status, &body), (exit, "no (do that)".to_owned()));
        }
        let (exit, text) = refused(502, "<html>");
        assert_eq!(exit, Exit::Failure);
        assert!(text.contains("502"), "{text}");
        let (exit, text) = refused(401, r#"{"code":"unauthorized","detail":"no token"}"#);
        assert_eq!(exit, Exit::Failure);
        assert!(
            text.starts_with("no token; ") && text.contains("--token-file"),
            "{text}"
        );
    }

    #[test]
    fn parameters_join_a_target() {
        let ask = Ask::plain("GET", "/x").with("a", "1").exact();
        assert_eq!(ask.target, "/x?a=1&numbers=string");
    }

    #[test]
    fn an_unknown_state_is_no_success() {
        assert_eq!(known(br#"{"status":"filled"}"#), Ok(()));
        let unknown = br#"{"status":"unknown","reason":"no answer"}"#;
        assert_eq!(
            known(unknown),
            Err(ClientError::Unknown("no answer".to_owned()))
        );
    }
}
