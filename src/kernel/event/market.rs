//! What can change on a public market: the part of the vocabulary that venues translate into.

use serde::{Deserialize, Serialize};

use crate::kernel::types::{
    Instrument, InstrumentId, Interval, MarkPrice, Price, Qty, Rate, Side, Time,
};

/// Public market data of one instrument.
#[derive(Debug, Clone)]
pub struct MarketEvent {
    /// Which instrument.
    pub instrument: InstrumentId,
    /// The venue's event time; the receive time where the venue gives none.
    pub venue_time: Time,
    /// When its last byte was read from the socket (or recorded).
    pub received: Time,
    /// What changed.
    pub data: MarketData,
}

/// What can change on a public market.
#[derive(Debug, Clone)]
pub enum MarketData {
    /// A difference to the order book.
    Depth(Box<DepthDelta>),
    /// A whole order book, from REST or from the stream.
    Snapshot(Box<DepthSnapshot>),
    /// A trade between others.
    Trade(Trade),
    /// Best bid and ask.
    Quote(Quote),
    /// The venue's own candle.
    Kline(Box<Kline>),
    /// Closed candles from REST, oldest first, and the forming one last if the venue gave it.
    History(Box<History>),
    /// Figures of the last 24 hours, those that changed.
    Stats(Box<DayStats>),
    /// Figures of a derivative, those that changed.
    Derivative(Box<Derivative>),
    /// A position of somebody else was liquidated.
    Liquidation(Liquidation),
    /// An execution outside of the order book (insurance fund, auto-deleveraging), of this id. It
    /// makes no candle; only its number counts.
    OffBook(u64),
    /// The venue's book was looked at over REST and is where ours is: quiet, not stale.
    Verified {
        /// How far the venue's book had come, as [`DepthDelta::seq`].
        seq: u64,
    },
    /// The venue describes the instrument anew: its filters or its status changed.
    Listing(Box<Instrument>),
    /// Data of this instrument was lost on the way to the kernel.
    Lost(LossReason, Lost),
}

/// What was lost, and so is not to be trusted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lost {
    /// Book, trades and everything else.
    All,
    /// Depth and best prices.
    Book,
    /// Trades, and so candles.
    Trades,
}

/// Why data was lost before the kernel saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossReason {
    /// The session to the venue ended.
    Disconnected,
    /// The queue to the kernel was full.
    QueueFull,
    /// The stream's sequence stood still although the venue's moved on.
    Stalled,
    /// A frame could not be decoded.
    Malformed,
    /// The operator does not want it any more.
    Unsubscribed,
}

/// A level of an order book. In a [`DepthDelta`] a quantity of zero removes the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Level {
    /// Price of the level.
    pub price: Price,
    /// Absolute quantity at that price, not a difference.
    pub qty: Qty,
}

/// A difference between two states of an order book (Binance `depthUpdate`, Bybit `delta`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepthDelta {
    /// The update that this one follows without a hole: `pu` on Binance's futures, `U` - 1 on its
    /// spot market, `u` - 1 on Bybit.
    pub prev_id: u64,
    /// First update id in this event: `U`; on Bybit `u`.
    pub first_id: u64,
    /// Last update id in this event: `u`.
    pub last_id: u64,
    /// What orders this event among the venue's other streams: `u` on Binance, `seq` on Bybit.
    pub seq: u64,
    /// Changed bids.
    pub bids: Vec<Level>,
    /// Changed asks.
    pub asks: Vec<Level>,
}

/// A whole order book (Binance `GET /api/v3/depth`, Bybit `snapshot`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepthSnapshot {
    /// `lastUpdateId`; on Bybit `u`.
    pub last_id: u64,
    /// What orders it among the venue's other streams: `lastUpdateId`; on Bybit `seq`.
    pub seq: u64,
    /// `None`: from REST, it joins a book that waits for it. `Some`: from a stream that shows a window of
    /// so many levels a side; it replaces the book whatever its state, and the book is kept to them.
    pub window: Option<u16>,
    /// Bids, in any order.
    pub bids: Vec<Level>,
    /// Asks, in any order.
    pub asks: Vec<Level>,
}

/// A trade between others, or several of one taker at one price (Binance `aggTrade`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trade {
    /// The venue's id in its trade stream, up by one per message where [`crate::kernel::types::VenueId::numbers_trades`].
    /// Of a UUID the first 64 bits.
    pub id: u64,
    /// Id of the first execution in it; `id` where it is one.
    pub first_id: u64,
    /// Id of the last execution in it; `id` where it is one.
    pub last_id: u64,
    /// Execution price.
    pub price: Price,
    /// Quantity traded, > 0.
    pub qty: Qty,
    /// Side of the aggressor.
    pub taker: Side,
    /// The venue's execution time.
    pub time: Time,
}

/// Best bid and ask (Binance `bookTicker`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quote {
    /// Update id of the book that it was read from: `u`; on Bybit `seq`.
    pub update_id: u64,
    /// Best bid.
    pub bid: Level,
    /// Best ask.
    pub ask: Level,
}

/// One candle. Times are [`Time`], volumes i128 at the instrument's scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Candle {
    /// Start of the interval.
    pub open_time: Time,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Base volume, at the quantity scale.
    pub volume: i128,
    /// Quote volume (turnover), at price scale + quantity scale.
    pub quote_volume: i128,
    /// Number of trades; zero beside a volume where the venue does not say (Bybit).
    pub trades: u64,
}

/// The venue's own candle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kline {
    /// Which interval.
    pub interval: Interval,
    /// The candle.
    pub candle: Candle,
    /// Ids of its first and last trade; `None` when there was none, or the venue does not say.
    pub trade_ids: Option<(u64, u64)>,
    /// Time of the last trade in it, where the venue says that instead (Bybit `timestamp`).
    pub traded_at: Option<Time>,
    /// Whether it will change no more.
    pub closed: bool,
}

/// Candles from a venue's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Which interval.
    pub interval: Interval,
    /// Oldest first. The last one may still be open: the kernel tells by the venue time of the event.
    pub candles: Vec<Candle>,
}

/// Figures of the last 24 hours (Binance `24hrMiniTicker`, Bybit `tickers`). In an event, `None` says
/// unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct DayStats {
    /// Price 24 hours ago.
    pub open: Option<Price>,
    /// Highest price.
    pub high: Option<Price>,
    /// Lowest price.
    pub low: Option<Price>,
    /// Base volume, at the quantity scale.
    pub volume: Option<i128>,
    /// Quote volume, at price scale + quantity scale.
    pub quote_volume: Option<i128>,
}

impl DayStats {
    /// Takes over what a newer event says.
    pub fn merge(&mut self, newer: &Self) {
        self.open = newer.open.or(self.open);
        self.high = newer.high.or(self.high);
        self.low = newer.low.or(self.low);
        self.volume = newer.volume.or(self.volume);
        self.quote_volume = newer.quote_volume.or(self.quote_volume);
    }
}

/// Figures of a derivative (Binance `markPriceUpdate` and `openInterest`, Bybit `tickers`). In an
/// event, `None` says unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Derivative {
    /// Mark price: what margin and unrealised profit are counted at.
    pub mark: Option<MarkPrice>,
    /// Index price: the mean of spot markets.
    pub index: Option<MarkPrice>,
    /// Funding rate of the running interval; longs pay shorts when it is positive.
    pub funding_rate: Option<Rate>,
    /// When funding is paid next.
    pub next_funding: Option<Time>,
    /// Open contracts, in the base asset at the quantity scale.
    pub open_interest: Option<i128>,
}

impl Derivative {
    /// Takes over what a newer event says.
    pub fn merge(&mut self, newer: &Self) {
        self.mark = newer.mark.or(self.mark);
        self.index = newer.index.or(self.index);
        self.funding_rate = newer.funding_rate.or(self.funding_rate);
        self.next_funding = newer.next_funding.or(self.next_funding);
        self.open_interest = newer.open_interest.or(self.open_interest);
    }
}

/// A liquidation (Binance `forceOrder`, Bybit `allLiquidation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Liquidation {
    /// Side of the order that closed the position: a liquidated long sells.
    pub side: Side,
    /// Price of the order (at Bybit the bankruptcy price).
    pub price: Price,
    /// Quantity.
    pub qty: Qty,
    /// When.
    pub time: Time,
}
