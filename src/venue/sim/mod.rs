//! The simulated venue: a server on loopback that speaks Binance spot's own protocol, with a market
//! that is recorded (real frames, byte for byte) or synthetic (from a seed), and faults on demand.
//!
//! ```text
//!  recording ─ playback ─┐                     ┌─ hub ── queue per client ── socket
//!                        ├─ engine ── symbols ─┤
//!  seed ── synthetic ────┘  (live.rs)          └─ rest (depth, klines, exchangeInfo, …)
//! ```
//!
//! `synthetic` and `matching` are pure: no clock, no I/O, no other randomness than the seed.
//! Nothing in here knows the kernel; whoever reads this venue goes through a socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::kernel::types::NameError;
use crate::recording::RecordingError;

mod book;
mod candles;
mod engine;
mod hub;
mod live;
pub mod matching;
pub mod paper;
mod playback;
mod protocol;
mod rest;
mod server;
mod shared;
mod socket;
mod symbol;
pub mod synthetic;
mod text;

pub use candles::Bar;
pub use server::start;
pub use shared::SimStatus;
pub use symbol::Change;

/// How the simulated venue is set up.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the market comes from.
    pub source: Source,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
}

/// Where the market comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Recorded frames, files chained in this order.
    Recording {
        /// The files; a directory stands for all recordings in it.
        files: Vec<PathBuf>,
        /// The pace.
        speed: Speed,
    },
    /// A synthetic market in real time.
    Synthetic {
        /// Same seed, same market.
        seed: u64,
        /// What is traded, in any spelling.
        symbols: Vec<String>,
    },
}

/// Pace of a playback.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// So many times the recorded pace.
    Times(f64),
    /// As fast as the clients take it; it waits while nobody listens.
    Max,
}

/// Text that names no speed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no speed: write max, or a number above 0 such as 1 or 2.5")]
pub struct SpeedError(String);

impl FromStr for Speed {
    type Err = SpeedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.eq_ignore_ascii_case("max") {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Self::Times(times)),
            _ => Err(SpeedError(text.to_owned())),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(times) => write!(f, "{times}"),
            Self::Max => f.write_str("max"),
        }
    }
}

/// A fault on demand. Frames are counted from 1 over all symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The N-th depth frame is not sent; the venue's own book has it all the same.
    DropDepth(u64),
    /// All connections are cut, without a close frame, behind the N-th frame of the source.
    Cut(u64),
}

/// Text that names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no fault: write drop-depth:N or cut:N with N from 1")]
pub struct FaultError(String);

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || FaultError(text.to_owned());
        let (name, count) = text.split_once(':').ok_or_else(error)?;
        let count = count.parse().map_err(|_| error())?;
        match (name, count) {
            (_, 0) => Err(error()),
            ("drop-depth", count) => Ok(Self::DropDepth(count)),
            ("cut", count) => Ok(Self::Cut(count)),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DropDepth(count) => write!(f, "drop-depth:{count}"),
            Self::Cut(count) => write!(f, "cut:{count}"),
        }
    }
}

/// Why the simulated venue could not start.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}; choose another address, or port 0 for a free one"
    )]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// The system's words.
        source: std::io::Error,
    },
    /// The recording cannot be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The recording has nothing to play.
    #[error("the recording holds no frame of a known symbol{}", first_fault.as_ref().map_or(String::new(), |fault| format!("; its first bad line: {fault}")))]
    Empty {
        /// The first bad line, if there was one.
        first_fault: Option<String>,
    },
    /// Not a symbol.
    #[error(transparent)]
    Symbol(#[from] NameError),
    /// A synthetic market without symbols, or with too many.
    #[error("name 1 to {max} symbols for the synthetic market, not {count}")]
    Symbols {
        /// How many were named.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
}

/// A running simulated venue.
#[derive(Debug)]
pub struct SimHandle {
    /// Where it listens.
    pub local_addr: SocketAddr,
    /// What it says of itself.
    pub status: Arc<SimStatus>,
    /// Ends after the shutdown signal, with all connections.
    pub task: JoinHandle<()>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_and_faults_are_read_as_they_are_written() {
        for text in ["max", "1", "2.5"] {
            assert_eq!(
                text.parse::<Speed>().map(|s| s.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in ["", "0", "-1", "NaN", "inf", "fast"] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
        for text in ["drop-depth:7", "cut:1000"] {
            assert_eq!(
                text.parse::<Fault>().map(|s| s.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in ["", "cut", "cut:0", "cut:-1", "burn:3", "drop-depth:"] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }
}
