//! `hean keydb …`: tools for the store's server, which need no daemon.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand};

use crate::store::bench::BenchConfig;
use crate::store::migrate::{Options, ToolError, Wish};
use crate::store::wire::{Address, Peer};
use crate::venue::dns::Resolver;
use crate::venue::net::Net;
use crate::venue::tls;

/// How servers are named.
const SERVERS: &str = "\
Servers: redis://[user:password@]host[:port][/db], or rediss:// for TLS; or env:NAME or file:PATH, where
such a URL is kept. Use one of these when there is a password in it: what is typed here is visible
to every user of this machine.";

/// How `migrate` works.
const MIGRATE: &str = "\
The source is only read. Keys go as DUMP makes them, by the commands of their type where the target
does not take that (another version, another product), and in pieces when they are large; they end at
the same moment, to the millisecond and whatever the servers' clocks say. How far it is, is kept in
the target (hean:migrate:state): when it was interrupted, the same command goes on where it stopped.
By type, the ends of single hash fields (Redis 7.4, KeyDB) and when consumers were last seen are lost.
Functions, scripts, users and settings are no keys and stay where they are.

--live follows the source by keyspace notifications, which must be on there (CONFIG SET
notify-keyspace-events KEA; without them this ends with code 3), and copies again what changes. It
says `in step` when it has caught up. Then stop the writers or point them at the target, and press
Ctrl-C or send SIGTERM: what is left is copied, everything is compared (also what is never notified:
FLUSHALL, SWAPDB, what groups have read), and it ends with 0 when both are the same. Keys that the
source lacks are then gone from the target, too. A second signal ends it at once.";

/// `hean keydb …`
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum KeydbCommand {
    /// Copy keys from one Redis, KeyDB or Valkey to another
    #[command(after_help = [MIGRATE, "\n\n", SERVERS].concat())]
    Migrate(MigrateArgs),
    /// Compare every key of two servers: 0 the same, 1 different
    #[command(after_help = SERVERS)]
    Verify(VerifyArgs),
    /// Measure one or two servers: operations a second, and how long the slowest of them take
    #[command(after_help = SERVERS)]
    Bench(BenchArgs),
}

/// A server, as it was typed. Never printed: a password may be in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Place(String);

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place(hidden)")
    }
}

impl FromStr for Place {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl Place {
    /// The server that is meant; `name` is the argument's.
    fn peer(&self, name: &str, net: &Net) -> Result<Peer, ToolError> {
        let (text, wrong): (String, fn(String) -> ToolError) =
            if let Some(variable) = self.0.strip_prefix("env:") {
                let text = std::env::var(variable).map_err(|_| {
                    ToolError::Setup(format!("{name}: the variable {variable} is not set"))
                })?;
                (text, ToolError::Setup)
            } else if let Some(path) = self.0.strip_prefix("file:") {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| ToolError::Setup(format!("{name}: cannot read {path}: {e}")))?;
                (text, ToolError::Setup)
            } else {
                (self.0.clone(), ToolError::Usage)
            };
        let address = Address::parse(&text).map_err(|why| wrong(format!("{name}: {why}")))?;
        Ok(Peer::new(net.clone(), address))
    }

    /// Whether a password was typed.
    pub fn shows_password(&self) -> bool {
        self.0.starts_with("redis") && self.0.contains('@')
    }
}

/// Which keys of which servers.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct PairArgs {
    /// Where the keys are
    #[arg(value_name = "SOURCE")]
    pub source: Place,
    /// Where they are to be
    #[arg(value_name = "TARGET")]
    pub target: Place,
    /// Databases [default: that in the source's URL, else all that hold keys]
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    pub db: Vec<u16>,
    /// Only keys that fit, such as 'order:*'; may be repeated
    #[arg(long = "match", value_name = "PATTERN")]
    pub pattern: Vec<String>,
    /// Go by the commands of each type, not by DUMP
    #[arg(long)]
    pub by_type: bool,
    /// Trust the certificates in this PEM file instead of the web's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Milliseconds by which two moments of expiry may differ
    #[arg(long, value_name = "MS", default_value_t = 5)]
    pub ttl_tolerance: u32,
}

/// Flags of `keydb migrate`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct MigrateArgs {
    /// Servers and keys.
    #[command(flatten)]
    pub pair: PairArgs,
    /// Write over what the target holds; without it a target that holds keys is refused
    #[arg(long)]
    pub overwrite: bool,
    /// Follow changes until Ctrl-C or SIGTERM; see below
    #[arg(long)]
    pub live: bool,
}

/// Flags of `keydb verify`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct VerifyArgs {
    /// Servers and keys.
    #[command(flatten)]
    pub pair: PairArgs,
    /// Differences to list; all are counted
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
}

/// Flags of `keydb bench`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct BenchArgs {
    /// The server
    #[arg(value_name = "URL")]
    pub first: Place,
    /// Another one, to compare with
    #[arg(value_name = "URL2")]
    pub second: Option<Place>,
    /// Requests of each kind in a round
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub requests: u32,
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub clients: u16,
    /// Commands in one write, of the kinds that are pipelined
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(2..=10_000))]
    pub pipeline: u16,
    /// Rounds, of both servers in turns
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub rounds: u16,
    /// Bytes of a value
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub size: u32,
    /// Trust the certificates in this PEM file instead of the web's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

fn net(ca_file: Option<&Path>) -> Result<Net, ToolError> {
    let tls = tls::client_config(ca_file).map_err(|error| ToolError::Setup(error.to_string()))?;
    Ok(Net::new(Resolver::from_system(), tls))
}

impl PairArgs {
    fn options(&self) -> Result<Options, ToolError> {
        let net = net(self.ca_file.as_deref())?;
        Ok(Options {
            source: self.source.peer("SOURCE", &net)?,
            target: self.target.peer("TARGET", &net)?,
            wish: Wish {
                dbs: self.db.clone(),
                patterns: self.pattern.clone(),
            },
            by_type: self.by_type,
            overwrite: false,
            live: false,
            expiry_tolerance_ms: self.ttl_tolerance,
            listed_max: 0,
        })
    }
}

impl MigrateArgs {
    /// What is to be done. Reads variables and files that hold URLs.
    pub fn options(&self) -> Result<Options, ToolError> {
        Ok(Options {
            overwrite: self.overwrite,
            live: self.live,
            ..self.pair.options()?
        })
    }
}

impl VerifyArgs {
    /// What is to be compared. Reads variables and files that hold URLs.
    pub fn options(&self) -> Result<Options, ToolError> {
        Ok(Options {
            listed_max: self.limit,
            ..self.pair.options()?
        })
    }
}

impl BenchArgs {
    /// What is to be measured. Reads variables and files that hold URLs.
    pub fn config(&self) -> Result<BenchConfig, ToolError> {
        let net = net(self.ca_file.as_deref())?;
        let mut servers = vec![self.first.peer("URL", &net)?];
        if let Some(second) = &self.second {
            servers.push(second.peer("URL2", &net)?);
        }
        let wide = |number: u16| usize::from(number);
        Ok(BenchConfig {
            servers,
            requests: usize::try_from(self.requests).unwrap_or(usize::MAX),
            clients: wide(self.clients),
            pipeline: wide(self.pipeline),
            rounds: wide(self.rounds),
            size: usize::try_from(self.size).unwrap_or(usize::MAX),
        })
    }
}

impl KeydbCommand {
    /// Whether a password was typed, where every user of the machine can see it.
    pub fn shows_password(&self) -> bool {
        match self {
            Self::Migrate(MigrateArgs { pair, .. }) | Self::Verify(VerifyArgs { pair, .. }) => {
                pair.source.shows_password() || pair.target.shows_password()
            }
            Self::Bench(args) => {
                args.first.shows_password()
                    || args.second.as_ref().is_some_and(Place::shows_password)
            }
        }
    }
}
