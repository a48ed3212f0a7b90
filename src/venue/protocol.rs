//! What a venue folder translates, and nothing more: topics, messages, REST calls and their answers.
//! Sessions, budgets, back-off and recordings are shared code that speaks to venues through this trait.
//!
//! Everything here is pure: text in, values out. No clock, no socket, no state between calls.

use std::fmt;

use super::decode_error::DecodeError;
use crate::kernel::event::{Candle, DepthSnapshot, Derivative, MarketEvent};
use crate::kernel::types::{Instrument, InstrumentId, Interval, Scale, Time};

/// A venue's public market data.
pub trait Protocol: fmt::Debug + Send + Sync {
    /// The kinds of connection that market data comes over.
    fn routes(&self) -> &'static [Route];

    /// What an instrument is read from.
    fn topics(&self, instrument: &Instrument, wanted: &Wanted) -> Vec<Topic>;

    /// Messages that subscribe to (or leave) topics of one connection, in their order, with ids from
    /// `first_id` on. Every message is answered.
    fn subscriptions(&self, subscribe: bool, topics: &[&str], first_id: i64) -> Vec<Outgoing>;

    /// The message that keeps a connection alive, where the venue wants one every
    /// [`Route::ping_every_s`] seconds.
    fn ping(&self, id: i64) -> Option<String>;

    /// Reads frames of these instruments.
    fn decoder(&self, instruments: &[Reading<'_>]) -> Box<dyn Decode>;

    /// The trade stream that candles are made of.
    fn trade_stream(&self) -> TradeStream;

    /// Asks for facts about `symbols`, about all of them when the list is empty; `page` is the
    /// cursor of [`Listings::next`].
    fn instruments(&self, symbols: &[String], page: Option<&str>) -> Call;

    /// Reads the answer. `scales` names the scales that an instrument of this process has already.
    fn decode_instruments(
        &self,
        body: &mut [u8],
        wanted: &[String],
        scales: &dyn Fn(&str) -> Option<(Scale, Scale)>,
    ) -> Result<Listings, DecodeError>;

    /// Whether a refusal of [`Self::instruments`] says that one of the symbols does not exist.
    fn is_unknown_symbol(&self, code: i64) -> bool;

    /// Asks for a depth snapshot that joins the stream. `None` where the stream brings its own, and
    /// a new subscription is the way to a fresh one.
    fn depth(&self, instrument: &Instrument, levels: u16) -> Option<Call>;

    /// Reads a depth snapshot.
    fn decode_depth(
        &self,
        body: &[u8],
        instrument: &Instrument,
    ) -> Result<DepthSnapshot, DecodeError>;

    /// Asks how far the venue's book has come, at the least cost.
    fn probe(&self, instrument: &Instrument) -> Call;

    /// Reads it: comparable with [`crate::kernel::event::DepthDelta::seq`].
    fn decode_probe(&self, body: &[u8], instrument: &Instrument) -> Result<u64, DecodeError>;

    /// Whether the venue has candles of this interval.
    fn has_candles(&self, interval: Interval) -> bool;

    /// Candles that one call brings at most.
    fn candles_max(&self) -> u16;

    /// Asks for `limit` candles, the newest ones or those that open before `before`.
    fn candles(
        &self,
        instrument: &Instrument,
        interval: Interval,
        before: Option<Time>,
        limit: u16,
    ) -> Call;

    /// Reads them, oldest first; the last one may still be open.
    fn decode_candles(
        &self,
        body: &[u8],
        instrument: &Instrument,
    ) -> Result<Vec<Candle>, DecodeError>;

    /// Asks for the venue's clock.
    fn server_time(&self) -> Call;

    /// Reads it.
    fn decode_server_time(&self, body: &[u8]) -> Result<Time, DecodeError>;

    /// Asks for open interest, where no stream brings it.
    fn open_interest(&self, instrument: &Instrument) -> Option<Call>;

    /// Reads it.
    fn decode_open_interest(
        &self,
        body: &[u8],
        instrument: &Instrument,
    ) -> Result<Derivative, DecodeError>;

    /// What an answer other than the wanted one means. Bybit says so under HTTP 200, so this is
    /// asked of every answer; `None` is a good one.
    fn complaint(&self, status: u16, body: &[u8]) -> Option<Complaint>;
}

/// A kind of connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Its name in logs and metrics.
    pub name: &'static str,
    /// Path behind the base URL; subscriptions follow as messages.
    pub path: &'static str,
    /// Topics that one connection carries at most.
    pub topics_max: usize,
    /// Seconds between our keep-alive messages; zero where the server pings.
    pub ping_every_s: u64,
}

/// A message of ours on a stream connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its answer carries this.
    pub id: i64,
    /// Topics in it: the first ones that are in no message before it.
    pub topics: usize,
    /// The message.
    pub text: String,
}

/// What is to be read of an instrument.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Candle intervals that the kernel keeps.
    pub intervals: Vec<Interval>,
    /// Levels a side of depth streams that show a window (Bybit: 50, 200 or 1000).
    pub window: u16,
}

/// A stream of one instrument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Index of the [`Route`] that carries it.
    pub route: usize,
    /// The venue's name of it.
    pub name: String,
    /// What comes from it.
    pub kind: TopicKind,
}

/// What comes from a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicKind {
    /// Differences of the order book.
    Depth,
    /// Trades.
    Trades,
    /// Best bid and ask.
    Quote,
    /// The venue's candles.
    Candles,
    /// 24-hour figures; on Bybit's futures also mark price, funding and open interest.
    Ticker,
    /// Mark and index price, funding.
    Mark,
    /// Liquidations.
    Liquidations,
}

impl TopicKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Depth,
        Self::Trades,
        Self::Quote,
        Self::Candles,
        Self::Ticker,
        Self::Mark,
        Self::Liquidations,
    ];

    /// The name in metrics and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Depth => "depth",
            Self::Trades => "trades",
            Self::Quote => "quote",
            Self::Candles => "candles",
            Self::Ticker => "ticker",
            Self::Mark => "mark",
            Self::Liquidations => "liquidations",
        }
    }
}

/// Which of a venue's trade streams makes trades, where it has two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TradeStream {
    /// One message for every execution (Binance `trade`).
    Every,
    /// One message for what a taker got at one price (Binance `aggTrade`).
    Aggregate,
}

/// An instrument to be read.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// Its index in this process.
    pub id: InstrumentId,
    /// Its symbol and scales.
    pub instrument: &'a Instrument,
    /// Its trade stream; the other one is ignored.
    pub trades: TradeStream,
}

/// Reads frames.
pub trait Decode: fmt::Debug + Send + Sync {
    /// Reads one frame that was received at `received`, and appends the market events in it.
    fn decode(
        &self,
        frame: &[u8],
        received: Time,
        events: &mut Vec<MarketEvent>,
    ) -> Result<Said, DecodeError>;

    /// The instrument whose book or trades an unreadable frame belonged to, as far as its raw bytes
    /// tell, and whether it was a trade.
    fn victim(&self, frame: &[u8]) -> Option<(InstrumentId, TopicKind)>;
}

/// What a frame said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Market data of known instruments.
    Market,
    /// The answer to one of our messages.
    Answer(Answer),
    /// The server is about to close the connection.
    Shutdown,
    /// Well-formed, and of no interest.
    Ignored(Ignored),
}

/// The answer to a message of ours on a stream connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The message's id, if it was an integer.
    pub id: Option<i64>,
    /// The venue's code and words when it refused.
    pub error: Option<(i64, String)>,
}

/// Why a frame is of no interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// A symbol that is not configured.
    Symbol,
    /// An event that this program does not use.
    Kind,
    /// 24-hour figures of an instrument that did not trade.
    NoTrades,
}

/// A REST call: path with query, and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Path and query, percent-encoded.
    pub target: String,
    /// Request weight.
    pub weight: u32,
}

/// Instruments as a venue describes them.
#[derive(Debug, Default)]
pub struct Listings {
    /// Those that were wanted and are there; an error where this program cannot represent one.
    pub found: Vec<(String, Result<Instrument, DecodeError>)>,
    /// Names of all that the answer held, for suggestions.
    pub names: Vec<String>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// What a bad answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Complaint {
    /// The venue refused this call.
    Refused {
        /// Its code; 0 when it gave none.
        code: i64,
        /// Its words.
        message: String,
    },
    /// Too fast: nothing may be sent for `pause_s` seconds, unless `Retry-After` says otherwise.
    Throttled {
        /// Seconds.
        pause_s: u64,
    },
    /// This address is not served here at all (451, firewall).
    Blocked,
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    out
}

/// The upper-case hexadecimal digit of a number below 16.
fn hex(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).map_or('0', |c| c.to_ascii_uppercase())
}
