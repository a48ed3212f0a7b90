//! Faults on demand: what goes wrong, where, when, and for how long.
//!
//! ```text
//!  SimConfig, SimHandle::inject ─▶ desk ◀─ engine: a frame, a message     server: a request, a connection
//!                                   └▶ orders: drop it, cut them, say 503 … and the log of what was done
//! ```
//!
//! Times are the market's, so a market that runs ten times faster has its faults ten times sooner.
//! Chances are drawn from the seed.

mod desk;
mod grammar;

use std::time::Duration;

pub(super) use desk::{Desk, Event, Occasion, Order};
pub use desk::{FaultId, Injected};
pub use grammar::FaultError;

use super::market::MarketKind;

/// A fault on demand.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// To whom.
    pub target: Target,
    /// When it begins.
    pub trigger: Trigger,
    /// How often it happens: once, unless it has a duration or a chance.
    pub count: Option<u64>,
    /// For how long after it began, in market time.
    pub lasts: Option<Duration>,
}

impl Fault {
    /// It happens now, once, to everybody.
    pub const fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            target: Target::ALL,
            trigger: Trigger::Now,
            count: None,
            lasts: None,
        }
    }

    /// The N-th depth frame of a market's source is not sent, under none of its names.
    pub fn drop_depth(n: u64) -> Self {
        Self {
            trigger: Trigger::Frame(n),
            ..Self::new(FaultKind::DropDepth)
        }
    }

    /// All connections are cut behind the N-th frame of a market's source.
    pub fn cut_behind(n: u64) -> Self {
        Self {
            trigger: Trigger::Frame(n),
            ..Self::new(FaultKind::Cut)
        }
    }

    /// The same fault for the streams (or REST endpoints) of a market that fit `pattern`.
    #[must_use]
    pub fn on(mut self, market: MarketKind, pattern: &str) -> Self {
        self.target.market = Some(market);
        self.target.name = (!pattern.is_empty()).then(|| Pattern::new(pattern));
        self
    }

    /// The same fault with another trigger.
    #[must_use]
    pub const fn when(mut self, trigger: Trigger) -> Self {
        self.trigger = trigger;
        self
    }

    /// The same fault for so long.
    #[must_use]
    pub const fn lasting(mut self, lasts: Duration) -> Self {
        self.lasts = Some(lasts);
        self
    }

    /// The same fault so many times.
    #[must_use]
    pub const fn times(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A message is not sent.
    Drop,
    /// A message is sent twice.
    Duplicate,
    /// A message is sent behind the next one of its stream.
    Reorder,
    /// A message, and with it all that follow on its stream, is sent later by so much market time.
    Delay(Duration),
    /// A stream is silent; its messages come in one burst when the time is over (never, without a
    /// duration). Pings and other streams go on.
    Stall,
    /// A message loses its second half.
    Truncate,
    /// One bit of a message is another.
    FlipBit,
    /// A depth frame of the source is not sent, under none of its names; the venue's own book has it.
    DropDepth,
    /// Connections end without a close frame.
    Cut,
    /// Connections end with a close frame of this code.
    Close(u16),
    /// The server stops to read what clients send: no answers, no pongs, and at last their writes
    /// are stuck.
    Deaf,
    /// The server stops to write, pings and pongs as well: half-open connections.
    Mute,
    /// The server announces its end where that is documented (Binance spot), and closes connections
    /// later by so much wall-clock time.
    Shutdown(Duration),
    /// The service starts anew: all connections are cut, update ids begin again, and for the fault's
    /// duration nobody is served.
    Restart,
    /// Streams of whole books (Bybit) begin again with a snapshot of id 1 that nobody asked for.
    Resend,
    /// Subscriptions are accepted and stay silent.
    Silence,
    /// Connections live so long (wall-clock time), as Binance's live 24 hours; the end is announced
    /// as for [`Self::Shutdown`].
    Life {
        /// From the handshake to the close frame.
        after: Duration,
        /// How long before the end the notice comes.
        notice: Duration,
    },
    /// REST requests are answered with this status.
    Status {
        /// HTTP status.
        code: u16,
        /// Seconds in `Retry-After`.
        retry_after: Option<u32>,
    },
}

impl FaultKind {
    /// The name in text and in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Delay(_) => "delay",
            Self::Stall => "stall",
            Self::Truncate => "truncate",
            Self::FlipBit => "flip-bit",
            Self::DropDepth => "drop-depth",
            Self::Cut => "cut",
            Self::Close(_) => "close",
            Self::Deaf => "deaf",
            Self::Mute => "mute",
            Self::Shutdown(_) => "shutdown",
            Self::Restart => "restart",
            Self::Resend => "resend",
            Self::Silence => "silence",
            Self::Life { .. } => "life",
            Self::Status { .. } => "status",
        }
    }

    /// Whether it happens to connections.
    const fn ends_or_holds_connections(self) -> bool {
        matches!(
            self,
            Self::Cut
                | Self::Close(_)
                | Self::Deaf
                | Self::Mute
                | Self::Shutdown(_)
                | Self::Restart
                | Self::Resend
        )
    }
}

/// To whom it happens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// One market, or all.
    pub market: Option<MarketKind>,
    /// Streams, or REST endpoints by their name behind the version (`depth`), that fit. For a fault of
    /// connections: those that have such a stream.
    pub name: Option<Pattern>,
    /// One connection, by its number: they are counted from 1 in the order of their handshakes.
    pub connection: Option<u64>,
}

impl Target {
    /// Everybody.
    pub const ALL: Self = Self {
        market: None,
        name: None,
        connection: None,
    };

    fn fits(&self, market: MarketKind, name: &str) -> bool {
        self.market.is_none_or(|only| only == market)
            && self.name.as_ref().is_none_or(|pattern| pattern.fits(name))
    }
}

/// When it begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trigger {
    /// At once; a fault of messages with the next one that fits.
    Now,
    /// With the N-th frame of the market's source (for `drop-depth`: depth frame), from 1. Frames count
    /// whether or not somebody listens.
    Frame(u64),
    /// With the N-th message (or request) that fits, from 1.
    Nth(u64),
    /// When the market has run for so long.
    At(Duration),
    /// With this probability for each message (or request).
    Rate(f64),
}

/// A name with `*` for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern; without a `*` it is the whole name.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether a name fits.
    pub fn fits(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
            return false;
        };
        let mut middle: Vec<&str> = parts.collect();
        let Some(last) = middle.pop() else {
            return rest.is_empty(); // no star at all
        };
        let mut rest = rest;
        for part in middle {
            let Some(at) = rest.find(part) else {
                return false;
            };
            rest = rest.get(at + part.len()..).unwrap_or_default();
        }
        rest.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("*", "anything", true),
            ("btcusdt@depth*", "btcusdt@depth@100ms", true),
            ("*@depth*", "btcusdt@depth@100ms", true),
            ("*@depth", "btcusdt@depth@100ms", false),
            ("orderbook.*.BTCUSDT", "orderbook.50.BTCUSDT", true),
            ("orderbook.*.BTCUSDT", "orderbook.50.ETHUSDT", false),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(Pattern::new(pattern).fits(name), fits, "{pattern} {name}");
        }
    }
}
