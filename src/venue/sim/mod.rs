//! The simulated venue: a server on loopback that speaks the public protocols of Binance spot, Binance
//! USDⓈ-M, Bybit v5 spot and Bybit v5 linear, with markets that are recorded (real frames, byte for
//! byte) or synthetic (from a seed), and faults on demand.
//!
//! ```text
//!  recording ─ playback ─┐                      ┌─ outlet (binance/, bybit/) ─ hub ── queue per client ── socket
//!                        ├─ engine ── symbols ──┤
//!  seed ── synthetic ────┘  (live.rs)           └─ rest (binance/, bybit/: depth, klines, …)
//! ```
//!
//! A market of its own for each protocol, told apart by path (`paths.rs`); synthetic ones begin when
//! they are asked for first. `synthetic` and `matching` are pure: no clock, no I/O, no other randomness
//! than the seed. Nothing in here knows the kernel; whoever reads this venue goes through a socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::kernel::types::{NameError, VenueId};
use crate::recording::RecordingError;

mod answer;
mod binance;
mod book;
mod bybit;
mod candles;
mod engine;
mod faults;
mod handle;
mod hub;
mod live;
mod market;
pub mod matching;
mod number;
mod outlet;
pub mod paper;
mod paths;
mod playback;
mod query;
mod server;
mod shared;
mod socket;
mod symbol;
pub mod synthetic;

pub use candles::Bar;
pub use faults::{Fault, FaultError, FaultId, FaultKind, Injected, Pattern, Target, Trigger};
pub use handle::{SimHandle, TrueBook, start};
pub use market::MarketKind;
pub use shared::SimStatus;
pub use symbol::Change;

/// After so long without a message of its client a connection of Bybit is cut.
const SILENCE: Duration = Duration::from_mins(10);

/// How the simulated venue is set up.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the market comes from.
    pub source: Source,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
    /// Seed of the faults.
    pub seed: u64,
    /// Synthetic markets that begin at once; the others wait until somebody asks for them.
    pub begin: Vec<MarketKind>,
    /// The market of the paths `/ws` and `/stream`: Binance spot, or USDⓈ-M (connections without a
    /// route are public ones there).
    pub bare: MarketKind,
    /// After so long without a message of its client a connection of Bybit is cut.
    pub silence: Duration,
}

impl SimConfig {
    /// A venue without faults on a free port of loopback.
    pub fn new(source: Source) -> Self {
        let begin = match &source {
            Source::Recording { .. } => Vec::new(),
            Source::Synthetic { .. } => vec![MarketKind::Spot],
        };
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            source,
            faults: Vec::new(),
            seed: 1,
            begin,
            bare: MarketKind::Spot,
            silence: SILENCE,
        }
    }
}

/// Where the market comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Recorded frames, files chained in this order.
    Recording {
        /// The files; a directory stands for all recordings in it.
        files: Vec<PathBuf>,
        /// The venue that they were recorded from.
        exchange: VenueId,
        /// The pace.
        speed: Speed,
    },
    /// Synthetic markets: the same symbols in each protocol, with prices of their own.
    Synthetic {
        /// Same seed, same markets.
        seed: u64,
        /// What is traded, in any spelling.
        symbols: Vec<String>,
        /// Market time per wall-clock time, above 0 and at most [`SPEED_MAX`].
        speed: f64,
        /// Events per market time: 1 is usual, 0.1 a quiet market; from 0.01 to 10.
        rate: f64,
    },
}

/// Highest speed of a synthetic market.
pub const SPEED_MAX: f64 = 1_000.0;

impl Source {
    /// Synthetic markets in real time with the usual number of events.
    pub fn synthetic(seed: u64, symbols: &[&str]) -> Self {
        Self::Synthetic {
            seed,
            symbols: symbols.iter().map(|&symbol| symbol.to_owned()).collect(),
            speed: 1.0,
            rate: 1.0,
        }
    }
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
    /// A synthetic market of another speed or rate than there can be.
    #[error(
        "speed is above 0 and at most {SPEED_MAX}, rate from 0.01 to 10: not {speed} and {rate}"
    )]
    Pace {
        /// The speed.
        speed: f64,
        /// The rate.
        rate: f64,
    },
    /// A synthetic market without symbols, or with too many.
    #[error("name 1 to {max} symbols for the synthetic market, not {count}")]
    Symbols {
        /// How many were named.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_read_as_they_are_written() {
        for text in ["max", "1", "2.5"] {
            assert_eq!(
                text.parse::<Speed>().map(|s| s.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in ["", "0", "-1", "NaN", "inf", "fast"] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }
}
