//! Frames of Bybit's public streams, as pure functions: text in, events or error out.
//!
//! The topic says what a frame is, and of what; the symbol inside must agree. Keys may come in any
//! order (spot and linear differ); unknown ones are ignored, one that is read here must not appear
//! twice. A frame is read whole or not at all.
//!
//! Invariant: never panics, never rounds; see `value.rs` for the rules of the fields.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic
)]

use super::Category;
use super::encode::interval_of;
use super::fields::{Bar, Collect as _, Execution, Facts, Outer, need};
use crate::kernel::event::{
    Candle, DayStats, DepthDelta, DepthSnapshot, Derivative, Kline, Level, Liquidation, MarketData,
    MarketEvent, Quote, Trade,
};
use crate::kernel::types::{FixedError, InstrumentId, Interval, Price, Side, Time};
use crate::venue::decode_error::{DecodeError, FieldFault};
use crate::venue::json::Scanner;
use crate::venue::protocol::{Answer, Decode, Ignored, Reading, Said, TopicKind};
use crate::venue::value::{self, Scales, set};

/// Reads frames for a fixed set of instruments.
#[derive(Debug, Clone)]
pub struct Decoder {
    category: Category,
    /// Sorted by symbol.
    known: Vec<Known>,
}

#[derive(Debug, Clone)]
struct Known {
    symbol: String,
    id: InstrumentId,
    scales: Scales,
}

type Result<T> = std::result::Result<T, DecodeError>;

/// What a topic brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    /// `orderbook`, of so many levels.
    Book(u16),
    Trades,
    Ticker,
    Candles(Interval),
    Liquidations,
}

impl Stream {
    /// Reads the name of a topic; `None` for those that are not used here.
    fn parse(topic: &str) -> Option<(Self, &str)> {
        let (name, rest) = topic.split_once('.')?;
        let (stream, symbol) = match name {
            "orderbook" => {
                let (depth, symbol) = rest.split_once('.')?;
                // `full` and `rpi` are no numbers.
                let number = depth.bytes().all(|c| c.is_ascii_digit()) && !depth.starts_with('0');
                (Self::Book(depth.parse().ok().filter(|_| number)?), symbol)
            }
            "publicTrade" => (Self::Trades, rest),
            "tickers" => (Self::Ticker, rest),
            "kline" => {
                let (interval, symbol) = rest.split_once('.')?;
                (Self::Candles(interval_of(interval)?), symbol)
            }
            "allLiquidation" => (Self::Liquidations, rest),
            _ => return None,
        };
        Some((stream, symbol))
    }
}

/// A frame on its way to its events.
struct Frame<'a, 'e> {
    known: &'a Known,
    venue_time: Time,
    received: Time,
    events: &'e mut Vec<MarketEvent>,
}

impl Frame<'_, '_> {
    fn push(&mut self, data: MarketData) {
        self.events.push(MarketEvent {
            instrument: self.known.id,
            venue_time: self.venue_time,
            received: self.received,
            data,
        });
    }

    /// The symbol inside is the one of the topic.
    fn check_symbol(&self, field: &'static str, raw: Option<&str>) -> Result<()> {
        if value::text(field, need(field, raw)?)? == self.known.symbol {
            return Ok(());
        }
        let why = FieldFault::Contradiction("is not the symbol of the topic");
        Err(DecodeError::field(field, why))
    }
}

impl Decoder {
    /// For these instruments, by their venue symbols.
    pub fn new(category: Category, instruments: &[Reading<'_>]) -> Self {
        let known = |reading: &Reading<'_>| Known {
            symbol: reading.instrument.name.symbol.clone(),
            id: reading.id,
            scales: Scales::of(reading.instrument),
        };
        let mut known: Vec<Known> = instruments.iter().map(known).collect();
        known.sort_by(|a, b| a.symbol.cmp(&b.symbol));
        Self { category, known }
    }

    fn read(&self, frame: &[u8], received: Time, events: &mut Vec<MarketEvent>) -> Result<Said> {
        let text = std::str::from_utf8(frame).map_err(|_| DecodeError::Utf8)?;
        let mut scanner = Scanner::new(text);
        let mut outer = Outer::default();
        let (mut facts, mut rows, mut data) = (None, None, None);
        scanner.object(|key, scanner| match key {
            "data" => {
                set(&mut data, key, ())?;
                match scanner.peek() {
                    Some(b'{') => facts = Some(Facts::at(scanner)?),
                    _ => rows = Some(scanner.raw()?),
                }
                Ok(())
            }
            _ => outer.collect(key, scanner),
        })?;
        scanner.end()?;
        let Some(topic) = outer.topic else {
            return answer(&outer);
        };
        let topic = value::text("topic", topic)?;
        let Some((stream, symbol)) = Stream::parse(&topic) else {
            return Ok(Said::Ignored(Ignored::Kind));
        };
        let found = self
            .known
            .binary_search_by(|k| k.symbol.as_str().cmp(symbol));
        let Some(known) = found.ok().and_then(|index| self.known.get(index)) else {
            return Ok(Said::Ignored(Ignored::Symbol));
        };
        let sent = stamp("ts", need("ts", outer.ts)?)?;
        let matched = outer.cts.map(|raw| stamp("cts", raw)).transpose()?;
        let mut frame = Frame {
            known,
            venue_time: matched.unwrap_or(sent),
            received,
            events,
        };
        let object = || match data {
            Some(()) => DecodeError::field("data", FieldFault::Type("an object")),
            None => DecodeError::Missing("data"),
        };
        match stream {
            Stream::Book(depth) => book(&mut frame, depth, &outer, &facts.ok_or_else(object)?),
            Stream::Ticker => ticker(&mut frame, self.category, &facts.ok_or_else(object)?),
            Stream::Trades => each(&mut frame, rows, data, trade),
            Stream::Candles(interval) => each(&mut frame, rows, data, |frame, scanner| {
                bar(frame, interval, scanner)
            }),
            Stream::Liquidations if self.category == Category::Linear => {
                each(&mut frame, rows, data, liquidation)
            }
            Stream::Liquidations => Ok(Said::Ignored(Ignored::Kind)),
        }
    }
}

impl Decode for Decoder {
    fn decode(&self, frame: &[u8], received: Time, events: &mut Vec<MarketEvent>) -> Result<Said> {
        let before = events.len();
        let said = self.read(frame, received, events);
        if said.is_err() {
            events.truncate(before);
        }
        said
    }

    fn victim(&self, frame: &[u8]) -> Option<(InstrumentId, TopicKind)> {
        let has = |needle: &str| {
            let needle = needle.as_bytes();
            frame.windows(needle.len()).any(|window| window == needle)
        };
        let kind = if has("orderbook.1.") {
            TopicKind::Quote
        } else if has("orderbook.") {
            TopicKind::Depth
        } else if has("publicTrade.") {
            TopicKind::Trades
        } else {
            return None;
        };
        let victim = |known: &&Known| {
            has(&format!(".{}\"", known.symbol)) || has(&format!("\"{}\"", known.symbol))
        };
        self.known.iter().find(victim).map(|known| (known.id, kind))
    }
}

/// Reads every element of the data.
fn each(
    frame: &mut Frame<'_, '_>,
    rows: Option<&str>,
    data: Option<()>,
    mut read: impl FnMut(&mut Frame<'_, '_>, &mut Scanner<'_>) -> Result<()>,
) -> Result<Said> {
    let rows = match rows {
        Some(rows) if rows.starts_with('[') => rows,
        _ if data.is_none() => return Err(DecodeError::Missing("data")),
        _ => return Err(DecodeError::field("data", FieldFault::Type("an array"))),
    };
    let before = frame.events.len();
    Scanner::new(rows).array(|_, scanner| {
        if scanner.peek() != Some(b'{') {
            let why = FieldFault::Type("an array of objects");
            return Err(DecodeError::field("data", why));
        }
        read(frame, scanner)
    })?;
    Ok(if frame.events.len() > before {
        Said::Market
    } else {
        Said::Ignored(Ignored::NoTrades)
    })
}

/// A time, which the documents show as an integer, and in one place as a string.
fn stamp(field: &'static str, raw: &str) -> Result<Time> {
    if raw.starts_with('"') {
        return value::time(field, &value::text(field, raw)?);
    }
    value::time(field, raw)
}

fn levels(name: &'static str, raw: Option<&str>, scales: Scales) -> Result<Vec<Level>> {
    value::levels(name, &mut Scanner::new(need(name, raw)?), scales)
}

/// `orderbook`. Depth 1 is the best price, and is sent as snapshots alone.
fn book(
    frame: &mut Frame<'_, '_>,
    depth: u16,
    outer: &Outer<'_>,
    facts: &Facts<'_>,
) -> Result<Said> {
    frame.check_symbol("s", facts.s)?;
    let scales = frame.known.scales;
    let last_id = value::id("u", need("u", facts.u)?)?;
    let seq = value::id("seq", need("seq", facts.seq)?)?;
    let bids = levels("b", facts.b, scales)?;
    let asks = levels("a", facts.a, scales)?;
    let data = match &*value::text("type", need("type", outer.kind)?)? {
        "snapshot" if depth == 1 => {
            let bid = bids.into_iter().max_by_key(|level| level.price);
            let ask = asks.into_iter().min_by_key(|level| level.price);
            let (Some(bid), Some(ask)) = (bid, ask) else {
                // One side is empty: there is no best price.
                return Ok(Said::Ignored(Ignored::Kind));
            };
            MarketData::Quote(Quote {
                update_id: seq,
                bid,
                ask,
            })
        }
        "snapshot" => MarketData::Snapshot(Box::new(DepthSnapshot {
            last_id,
            seq,
            window: Some(depth),
            bids,
            asks,
        })),
        "delta" if depth > 1 => MarketData::Depth(Box::new(DepthDelta {
            prev_id: last_id.saturating_sub(1),
            first_id: last_id,
            last_id,
            seq,
            bids,
            asks,
        })),
        "delta" => {
            let why = FieldFault::Contradiction("depth 1 has snapshots alone");
            return Err(DecodeError::field("type", why));
        }
        _ => {
            let why = FieldFault::Type("snapshot or delta");
            return Err(DecodeError::field("type", why));
        }
    };
    frame.push(data);
    Ok(Said::Market)
}

/// `Buy` or `Sell`.
fn side(raw: Option<&str>) -> Result<Side> {
    match &*value::text("S", need("S", raw)?)? {
        "Buy" => Ok(Side::Buy),
        "Sell" => Ok(Side::Sell),
        _ => Err(DecodeError::field("S", FieldFault::Type("Buy or Sell"))),
    }
}

/// An element of `publicTrade`; a block trade, which was agreed elsewhere, is left out.
fn trade(frame: &mut Frame<'_, '_>, scanner: &mut Scanner<'_>) -> Result<()> {
    let fields = Execution::at(scanner)?;
    frame.check_symbol("s", fields.s)?;
    let scales = frame.known.scales;
    let id = trade_id(&value::text("i", need("i", fields.id)?)?)?;
    let block = fields.block.map(|raw| value::boolean("BT", raw));
    let trade = Trade {
        id,
        first_id: id,
        last_id: id,
        price: value::price("p", need("p", fields.price)?, scales.price)?,
        qty: value::traded_qty("v", need("v", fields.qty)?, scales.qty)?,
        taker: side(fields.side)?,
        time: value::time("T", need("T", fields.time)?)?,
    };
    if block.transpose()? != Some(true) {
        frame.push(MarketData::Trade(trade));
    }
    Ok(())
}

/// The number that it is on spot, or the first 64 bits of a UUID.
fn trade_id(text: &str) -> Result<u64> {
    let refuse = || DecodeError::field("i", FieldFault::Type("a number or a UUID"));
    if !text.contains('-') {
        return value::id("i", text);
    }
    let groups = [8, 4, 4, 4, 12];
    let mut parts = text.split('-');
    let mut bits: u64 = 0;
    for (index, len) in groups.into_iter().enumerate() {
        let part = parts.next().ok_or_else(refuse)?;
        if part.len() != len || !part.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        if index < 3 {
            let value = u64::from_str_radix(part, 16).map_err(|_| refuse())?;
            bits = bits.unbounded_shl(if len == 8 { 32 } else { 16 }) | value;
        }
    }
    match parts.next() {
        None => Ok(bits),
        Some(_) => Err(refuse()),
    }
}

/// An element of `allLiquidation`. `Buy` is the side of the position: it was closed by selling.
fn liquidation(frame: &mut Frame<'_, '_>, scanner: &mut Scanner<'_>) -> Result<()> {
    let fields = Execution::at(scanner)?;
    frame.check_symbol("s", fields.s)?;
    let scales = frame.known.scales;
    frame.push(MarketData::Liquidation(Liquidation {
        side: side(fields.side)?.opposite(),
        price: value::price("p", need("p", fields.price)?, scales.price)?,
        qty: value::traded_qty("v", need("v", fields.qty)?, scales.qty)?,
        time: value::time("T", need("T", fields.time)?)?,
    }));
    Ok(())
}

/// An element of `kline`.
fn bar(frame: &mut Frame<'_, '_>, interval: Interval, scanner: &mut Scanner<'_>) -> Result<()> {
    let fields = Bar::at(scanner)?;
    let scales = frame.known.scales;
    let named = fields.interval.map(|raw| value::text("interval", raw));
    if named
        .transpose()?
        .is_some_and(|name| interval_of(&name) != Some(interval))
    {
        let why = FieldFault::Contradiction("is not the interval of the topic");
        return Err(DecodeError::field("interval", why));
    }
    let candle = Candle {
        open_time: value::time("start", need("start", fields.start)?)?,
        open: value::price("open", need("open", fields.open)?, scales.price)?,
        high: value::price("high", need("high", fields.high)?, scales.price)?,
        low: value::price("low", need("low", fields.low)?, scales.price)?,
        close: value::price("close", need("close", fields.close)?, scales.price)?,
        volume: value::volume("volume", need("volume", fields.volume)?, scales.qty)?,
        quote_volume: value::truncated_volume(
            "turnover",
            need("turnover", fields.turnover)?,
            scales.turnover(),
        )?,
        trades: 0,
    };
    value::check_range(&candle, "high", "low")?;
    let traded_at = value::time("timestamp", need("timestamp", fields.timestamp)?)?;
    frame.push(MarketData::Kline(Box::new(Kline {
        interval,
        candle,
        trade_ids: None,
        traded_at: Some(traded_at),
        closed: value::boolean("confirm", need("confirm", fields.confirm)?)?,
    })));
    Ok(())
}

/// Reads a field of a ticker: missing is unchanged, empty is none.
fn given<'a, T>(
    field: &'static str,
    raw: Option<&'a str>,
    read: impl FnOnce(&'a str) -> Result<T>,
) -> Result<Option<T>> {
    match raw {
        None => Ok(None),
        Some(raw) if value::text(field, raw)?.is_empty() => Ok(None),
        Some(raw) => read(raw).map(Some),
    }
}

/// `tickers`: 24-hour figures, and on linear those of the derivative.
fn ticker(frame: &mut Frame<'_, '_>, category: Category, facts: &Facts<'_>) -> Result<Said> {
    frame.check_symbol("symbol", facts.symbol)?;
    let scales = frame.known.scales;
    let before = frame.events.len();
    // An instrument that has not traded yet has prices of zero.
    let price = |field, raw: Option<&str>| {
        given(field, raw, |raw| {
            match value::price(field, raw, scales.price) {
                Err(DecodeError::Field {
                    why: FieldFault::Fixed(FixedError::NotPositive),
                    ..
                }) if value::qty(field, raw, scales.price).is_ok() => Ok(None),
                other => other.map(Some),
            }
        })
        .map(Option::<Option<Price>>::flatten)
    };
    let volume = |field, raw: Option<&str>, digits| {
        given(field, raw, |raw| {
            value::truncated_volume(field, raw, digits)
        })
    };
    let stats = DayStats {
        open: price("prevPrice24h", facts.open)?,
        high: price("highPrice24h", facts.high)?,
        low: price("lowPrice24h", facts.low)?,
        volume: volume("volume24h", facts.volume, scales.qty.digits())?,
        quote_volume: volume("turnover24h", facts.turnover, scales.turnover())?,
    };
    if let (Some(high), Some(low)) = (stats.high, stats.low)
        && high < low
    {
        let why = FieldFault::Contradiction("the high is below the low");
        return Err(DecodeError::field("highPrice24h", why));
    }
    if stats != DayStats::default() {
        frame.push(MarketData::Stats(Box::new(stats)));
    }
    if category == Category::Linear {
        let mark = |field, raw: Option<&str>| {
            let read = raw.map(|raw| value::mark_price(field, raw));
            read.transpose().map(Option::flatten)
        };
        let rate = facts
            .funding_rate
            .map(|raw| value::rate("fundingRate", raw));
        let next = given("nextFundingTime", facts.next_funding, |raw| {
            let text = value::text("nextFundingTime", raw)?;
            let there = text != "0";
            there
                .then(|| value::time("nextFundingTime", &text))
                .transpose()
        });
        let digits = scales.qty.digits();
        let figures = Derivative {
            mark: mark("markPrice", facts.mark)?,
            index: mark("indexPrice", facts.index)?,
            funding_rate: rate.transpose()?.flatten(),
            next_funding: next?.flatten(),
            open_interest: volume("openInterest", facts.open_interest, digits)?,
        };
        if figures != Derivative::default() {
            frame.push(MarketData::Derivative(Box::new(figures)));
        }
    }
    Ok(if frame.events.len() > before {
        Said::Market
    } else {
        Said::Ignored(Ignored::NoTrades)
    })
}

/// What is no data: the answer to a message of ours. Ids are ours if they are numbers.
fn answer(outer: &Outer<'_>) -> Result<Said> {
    let op = outer.op.map(|raw| value::text("op", raw)).transpose()?;
    match op.as_deref() {
        Some("subscribe" | "unsubscribe") => {}
        Some(_) => return Ok(Said::Ignored(Ignored::Kind)),
        None if outer.success.is_some() => {}
        None => return Err(DecodeError::Unrecognised),
    }
    let id = outer.req_id.map(|raw| value::text("req_id", raw));
    let id = id.transpose()?.filter(|id| !id.starts_with('+'));
    let success = value::boolean("success", need("success", outer.success)?)?;
    let error = if success {
        None
    } else {
        let words = value::text("ret_msg", need("ret_msg", outer.ret_msg)?)?;
        (!words.starts_with("error:already subscribed")).then(|| (0, words.into_owned()))
    };
    Ok(Said::Answer(Answer {
        id: id.and_then(|id| id.parse().ok()),
        error,
    }))
}
