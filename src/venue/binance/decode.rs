//! Frames of Binance's streams, spot and USDⓈ-M, as pure functions: text in, event or error out.
//!
//! Both forms are read: combined (`{"stream":…,"data":…}`) and bare. Keys may come in any order;
//! unknown ones are ignored, a key that is read here must not appear twice. A frame is scanned once
//! into slots (spot events name their fields with single letters), and only then is it read as what
//! `e` says that it is: the same letter means different things in different events.
//!
//! Invariant: never panics, never rounds; see `value.rs` for the rules of the fields.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic
)]

use super::Market;
use super::fast;
use super::fields::Fields;
use super::symbols::Symbols;
use crate::kernel::event::{
    Candle, DayStats, DepthDelta, DepthSnapshot, Derivative, Kline, Level, Liquidation, MarketData,
    MarketEvent, Quote, Trade,
};
use crate::kernel::types::{FixedError, Instrument, InstrumentId, Side, Time};
use crate::recording::SNAPSHOT_STREAM;
use crate::venue::decode_error::{DecodeError, FieldFault};
use crate::venue::json::Scanner;
use crate::venue::protocol::{Answer, Decode, Ignored, Reading, Said, TopicKind, TradeStream};
use crate::venue::value::{self, Scales, set};

/// What a frame says.
#[derive(Debug, Clone)]
pub enum Decoded {
    /// Market data of a known instrument.
    Market(MarketEvent),
    /// The answer to a request that we sent on this connection.
    Answer(Answer),
    /// The server is about to close the connection.
    Shutdown,
    /// Well-formed, and of no interest.
    Ignored(Ignored),
}

/// Reads frames for a fixed set of instruments.
#[derive(Debug, Clone)]
pub struct Decoder {
    market: Market,
    /// Sorted by symbol.
    known: Vec<Known>,
    /// By their index in `known`.
    symbols: Symbols,
}

#[derive(Debug, Clone)]
struct Known {
    symbol: String,
    id: InstrumentId,
    scales: Scales,
    trades: TradeStream,
}

type Result<T> = std::result::Result<T, DecodeError>;

impl Decoder {
    /// For these instruments, by their venue symbols.
    pub fn new(market: Market, instruments: &[Reading<'_>]) -> Self {
        let mut known: Vec<Known> = instruments
            .iter()
            .map(|reading| Known {
                symbol: reading.instrument.name.symbol.clone(),
                id: reading.id,
                scales: Scales::of(reading.instrument),
                trades: reading.trades,
            })
            .collect();
        known.sort_by(|a, b| a.symbol.cmp(&b.symbol));
        let symbols = known.iter();
        let symbols = symbols.map(|k| (k.symbol.as_str(), k.scales.price, k.scales.qty));
        let symbols = Symbols::new(symbols);
        Self {
            market,
            known,
            symbols,
        }
    }

    /// Reads one frame that was received at `received`.
    pub fn decode(&self, frame: &[u8], received: Time) -> Result<Decoded> {
        match self.decode_frequent(frame, received) {
            Some(event) => Ok(Decoded::Market(event)),
            None => self.decode_any(frame, received),
        }
    }

    /// As [`Self::decode`], for frequent frames in their usual form alone.
    pub(super) fn decode_frequent(&self, frame: &[u8], received: Time) -> Option<MarketEvent> {
        let frame = fast::read(frame, &self.symbols)?;
        let known = self.known.get(frame.index)?;
        let data = match frame.body {
            fast::Body::Quote(quote) => MarketData::Quote(quote),
            fast::Body::Execution(e) => {
                let (first_id, last_id) = match (e.trades, known.trades) {
                    (None, TradeStream::Every) => (e.id, e.id),
                    (Some(ids), TradeStream::Aggregate) => ids,
                    _ => return None, // not the stream that makes trades here
                };
                MarketData::Trade(Trade {
                    id: e.id,
                    first_id,
                    last_id,
                    price: e.price,
                    qty: e.qty,
                    taker: e.taker,
                    time: e.time,
                })
            }
            fast::Body::Depth {
                first_id,
                last_id,
                prev_id,
                bids,
                asks,
            } => {
                let prev_id = match self.market {
                    Market::Spot => first_id.saturating_sub(1),
                    Market::Usdm => prev_id?,
                };
                if prev_id >= last_id {
                    return None;
                }
                MarketData::Depth(Box::new(DepthDelta {
                    prev_id,
                    first_id,
                    last_id,
                    seq: last_id,
                    bids,
                    asks,
                }))
            }
        };
        Some(MarketEvent {
            instrument: known.id,
            venue_time: frame.event_time.unwrap_or(received),
            received,
            data,
        })
    }

    /// As [`Self::decode`], for any frame.
    pub(super) fn decode_any(&self, frame: &[u8], received: Time) -> Result<Decoded> {
        let text = std::str::from_utf8(frame).map_err(|_| DecodeError::Utf8)?;
        let mut scanner = Scanner::new(text);
        // In the combined form the outer object has nothing but the envelope, else there is no inner.
        let (mut outer, mut inner): (Option<Fields<'_>>, Option<Fields<'_>>) = (None, None);
        let (mut stream, mut data) = (None, None);
        scanner.object(|key, scanner| match key {
            "stream" => set(&mut stream, key, scanner.raw()?),
            "data" if scanner.peek() == Some(b'{') => {
                set(&mut data, key, true)?;
                let inner = inner.insert(Fields::default());
                scanner.object(|key, scanner| inner.collect(key, scanner))
            }
            "data" => {
                scanner.skip()?;
                set(&mut data, key, false)
            }
            _ => outer
                .get_or_insert_with(Fields::default)
                .collect(key, scanner),
        })?;
        scanner.end()?;
        match (stream, data) {
            (None, None) => {
                let fields = outer.as_ref().ok_or(DecodeError::Unrecognised)?;
                self.read(fields, received, true)
            }
            (Some(stream), Some(_)) => {
                let stream = value::text("stream", stream)?;
                // A partial book: on spot it names no symbol, on futures it looks like a difference. So
                // does the book that counts orders with retail price improvement.
                let partial = stream.split_once("@depth").map(|(_, rest)| rest.as_bytes());
                let partial = partial.is_some_and(|r| r.first().is_some_and(u8::is_ascii_digit));
                if partial || stream.contains("@rpiDepth") {
                    return Ok(Decoded::Ignored(Ignored::Kind));
                }
                // An array: the streams of all symbols, which are not subscribed.
                let ignored = Ok(Decoded::Ignored(Ignored::Kind));
                inner.as_ref().map_or(ignored, |fields| {
                    if fields.last_update_id.is_some() {
                        return self.recorded_snapshot(&stream, fields, received);
                    }
                    self.read(fields, received, false)
                })
            }
            (None, Some(_)) => Err(DecodeError::Missing("stream")),
            (Some(_), None) => Err(DecodeError::Missing("data")),
        }
    }

    /// The instrument whose order book or trades an unreadable frame belonged to, as far as its raw
    /// bytes tell. For frames that [`Self::decode`] refused.
    pub fn victim(&self, frame: &[u8]) -> Option<(InstrumentId, TopicKind)> {
        let has = |needle: &str| {
            let needle = needle.as_bytes();
            frame.windows(needle.len()).any(|window| window == needle)
        };
        let kind = if has("@depth") || has("\"depthUpdate\"") {
            TopicKind::Depth
        } else if has("rade\"") {
            TopicKind::Trades
        } else {
            return None;
        };
        let victim = |known: &&Known| {
            has(&format!("\"{}@", known.symbol.to_lowercase()))
                || has(&format!("\"{}\"", known.symbol))
        };
        let victim = self.known.iter().find(victim);
        victim.map(|known| (known.id, kind))
    }

    fn read(&self, fields: &Fields<'_>, received: Time, bare: bool) -> Result<Decoded> {
        let Some(kind) = fields.letter(b'e') else {
            return self.read_untyped(fields, received, bare);
        };
        // Since their merge in 2026 the futures' streams carry coin-margined contracts (2) as well.
        let market = self.market;
        let futures = market == Market::Usdm;
        if futures && fields.st.is_some_and(|st| st != "1") {
            return Ok(Decoded::Ignored(Ignored::Symbol));
        }
        match &*value::text("e", kind)? {
            "depthUpdate" => self.event(fields, received, |f, k| depth(f, k.scales, market)),
            "trade" => self.event(fields, received, |f, k| match k.trades {
                TradeStream::Every => trade(f, k.scales, market),
                TradeStream::Aggregate => Ok(None),
            }),
            "aggTrade" => self.event(fields, received, |f, k| match k.trades {
                TradeStream::Every => Ok(None),
                TradeStream::Aggregate => aggregate(f, k.scales),
            }),
            "bookTicker" => self.event(fields, received, |f, k| quote(f, k.scales)),
            "kline" => self.event(fields, received, |f, k| kline(f, k.scales)),
            "24hrMiniTicker" => self.event(fields, received, |f, k| stats(f, k.scales)),
            "markPriceUpdate" if futures => self.event(fields, received, |f, _| mark(f)),
            "forceOrder" if futures => self.liquidation(fields, received),
            "serverShutdown" => Ok(Decoded::Shutdown),
            _ => Ok(Decoded::Ignored(Ignored::Kind)),
        }
    }

    /// Messages without `e`: answers, snapshots and the spot `bookTicker`.
    fn read_untyped(&self, fields: &Fields<'_>, received: Time, bare: bool) -> Result<Decoded> {
        if fields.last_update_id.is_some() {
            let [only] = self.known.as_slice() else {
                return Err(DecodeError::SnapshotOfWhat);
            };
            return Ok(Decoded::Market(MarketEvent {
                instrument: only.id,
                venue_time: received,
                received,
                data: MarketData::Snapshot(Box::new(snapshot(fields, only.scales)?)),
            }));
        }
        if bare && (fields.result.is_some() || fields.error.is_some() || fields.code.is_some()) {
            return answer(fields).map(Decoded::Answer);
        }
        if fields.letter(b'u').is_some() {
            return self.event(fields, received, |f, k| quote(f, k.scales));
        }
        Err(DecodeError::Unrecognised)
    }

    /// A REST snapshot in the envelope of a recorder. Other streams with such data are partial books
    /// (`@depth20`), which are not subscribed.
    fn recorded_snapshot(
        &self,
        stream: &str,
        fields: &Fields<'_>,
        received: Time,
    ) -> Result<Decoded> {
        let symbol = match stream.split_once('@') {
            Some((symbol, SNAPSHOT_STREAM)) => symbol.to_uppercase(),
            _ => return Ok(Decoded::Ignored(Ignored::Kind)),
        };
        let Some(known) = self.known.iter().find(|known| known.symbol == symbol) else {
            return Ok(Decoded::Ignored(Ignored::Symbol));
        };
        Ok(Decoded::Market(MarketEvent {
            instrument: known.id,
            venue_time: received,
            received,
            data: MarketData::Snapshot(Box::new(snapshot(fields, known.scales)?)),
        }))
    }

    fn event(
        &self,
        fields: &Fields<'_>,
        received: Time,
        read: impl FnOnce(&Fields<'_>, &Known) -> Result<Option<MarketData>>,
    ) -> Result<Decoded> {
        let Some(known) = self.known(fields)? else {
            return Ok(Decoded::Ignored(Ignored::Symbol));
        };
        // `bookTicker` alone has no event time, and no `e` either.
        let venue_time = match fields.letter(b'E') {
            Some(raw) => value::time("E", raw)?,
            None if fields.letter(b'e').is_none() => received,
            None => return Err(DecodeError::Missing("E")),
        };
        Ok(match read(fields, known)? {
            Some(data) => Decoded::Market(MarketEvent {
                instrument: known.id,
                venue_time,
                received,
                data,
            }),
            None => Decoded::Ignored(Ignored::NoTrades),
        })
    }

    fn known(&self, fields: &Fields<'_>) -> Result<Option<&Known>> {
        let symbol = value::text("s", fields.need("s", b's')?)?;
        let known = &self.known;
        let found = known.binary_search_by(|k| k.symbol.as_str().cmp(&symbol));
        Ok(found.ok().and_then(|index| known.get(index)))
    }

    /// `forceOrder`, whose facts lie in an object of their own.
    fn liquidation(&self, fields: &Fields<'_>, received: Time) -> Result<Decoded> {
        let raw = fields.need("o", b'o')?;
        if !raw.starts_with('{') {
            return Err(DecodeError::field("o", FieldFault::Type("an object")));
        }
        let order = Fields::of(raw)?;
        let Some(known) = self.known(&order)? else {
            return Ok(Decoded::Ignored(Ignored::Symbol));
        };
        let side = match &*value::text("S", order.need("S", b'S')?)? {
            "BUY" => Side::Buy,
            "SELL" => Side::Sell,
            _ => return Err(DecodeError::field("S", FieldFault::Type("BUY or SELL"))),
        };
        let data = MarketData::Liquidation(Liquidation {
            side,
            price: value::price("p", order.need("p", b'p')?, known.scales.price)?,
            qty: value::traded_qty("q", order.need("q", b'q')?, known.scales.qty)?,
            time: value::time("T", order.need("T", b'T')?)?,
        });
        Ok(Decoded::Market(MarketEvent {
            instrument: known.id,
            venue_time: value::time("E", fields.need("E", b'E')?)?,
            received,
            data,
        }))
    }
}

impl Decode for Decoder {
    fn decode(&self, frame: &[u8], received: Time, events: &mut Vec<MarketEvent>) -> Result<Said> {
        Ok(match self.decode(frame, received)? {
            Decoded::Market(event) => {
                events.push(event);
                Said::Market
            }
            Decoded::Answer(answer) => Said::Answer(answer),
            Decoded::Shutdown => Said::Shutdown,
            Decoded::Ignored(why) => Said::Ignored(why),
        })
    }

    fn victim(&self, frame: &[u8]) -> Option<(InstrumentId, TopicKind)> {
        self.victim(frame)
    }
}

/// Reads a REST depth snapshot, which names no symbol.
pub fn decode_snapshot(body: &[u8], instrument: &Instrument) -> Result<DepthSnapshot> {
    let text = std::str::from_utf8(body).map_err(|_| DecodeError::Utf8)?;
    let mut scanner = Scanner::new(text);
    let mut fields = Fields::default();
    scanner.object(|key, scanner| fields.collect(key, scanner))?;
    scanner.end()?;
    snapshot(&fields, Scales::of(instrument))
}

fn levels(name: &'static str, raw: &str, scales: Scales) -> Result<Vec<Level>> {
    value::levels(name, &mut Scanner::new(raw), scales)
}

fn depth(fields: &Fields<'_>, scales: Scales, market: Market) -> Result<Option<MarketData>> {
    let first_id = value::id("U", fields.need("U", b'U')?)?;
    let last_id = value::id("u", fields.need("u", b'u')?)?;
    if last_id < first_id {
        let why = FieldFault::Contradiction("below U, the first update id");
        return Err(DecodeError::field("u", why));
    }
    let prev_id = match market {
        Market::Spot => first_id.saturating_sub(1),
        Market::Usdm => value::id("pu", fields.pu.ok_or(DecodeError::Missing("pu"))?)?,
    };
    if prev_id >= last_id && last_id > 0 {
        let why = FieldFault::Contradiction("not below u, the last update id");
        return Err(DecodeError::field("pu", why));
    }
    Ok(Some(MarketData::Depth(Box::new(DepthDelta {
        prev_id,
        first_id,
        last_id,
        seq: last_id,
        bids: levels("b", fields.need("b", b'b')?, scales)?,
        asks: levels("a", fields.need("a", b'a')?, scales)?,
    }))))
}

fn snapshot(fields: &Fields<'_>, scales: Scales) -> Result<DepthSnapshot> {
    let need = |raw: Option<_>, name| raw.ok_or(DecodeError::Missing(name));
    let last_id = need(fields.last_update_id, "lastUpdateId")?;
    let last_id = value::id("lastUpdateId", last_id)?;
    Ok(DepthSnapshot {
        last_id,
        seq: last_id,
        window: None,
        bids: levels("bids", need(fields.bids, "bids")?, scales)?,
        asks: levels("asks", need(fields.asks, "asks")?, scales)?,
    })
}

/// `trade`. On futures `X` tells executions outside of the order book apart.
fn trade(fields: &Fields<'_>, scales: Scales, market: Market) -> Result<Option<MarketData>> {
    let id = value::id("t", fields.need("t", b't')?)?;
    if market == Market::Usdm
        && let Some(kind) = fields.letter(b'X')
        && value::text("X", kind)? != "MARKET"
    {
        return Ok(Some(MarketData::OffBook(id)));
    }
    executed(fields, scales, id, (id, id))
}

/// `aggTrade`.
fn aggregate(fields: &Fields<'_>, scales: Scales) -> Result<Option<MarketData>> {
    let id = value::id("a", fields.need("a", b'a')?)?;
    let first = value::id("f", fields.need("f", b'f')?)?;
    let last = value::id("l", fields.need("l", b'l')?)?;
    if last < first {
        let why = FieldFault::Contradiction("below f, the first trade id");
        return Err(DecodeError::field("l", why));
    }
    executed(fields, scales, id, (first, last))
}

fn executed(
    fields: &Fields<'_>,
    scales: Scales,
    id: u64,
    (first_id, last_id): (u64, u64),
) -> Result<Option<MarketData>> {
    let buyer_is_maker = value::boolean("m", fields.need("m", b'm')?)?;
    Ok(Some(MarketData::Trade(Trade {
        id,
        first_id,
        last_id,
        price: value::price("p", fields.need("p", b'p')?, scales.price)?,
        qty: value::traded_qty("q", fields.need("q", b'q')?, scales.qty)?,
        taker: if buyer_is_maker {
            Side::Sell
        } else {
            Side::Buy
        },
        time: value::time("T", fields.need("T", b'T')?)?,
    })))
}

/// `markPriceUpdate`. A contract without funding has an empty rate and a time of zero.
fn mark(fields: &Fields<'_>) -> Result<Option<MarketData>> {
    let index = fields.letter(b'i').map(|raw| value::mark_price("i", raw));
    let rate = fields.letter(b'r').map(|raw| value::rate("r", raw));
    let next = fields.letter(b'T').filter(|raw| *raw != "0");
    Ok(Some(MarketData::Derivative(Box::new(Derivative {
        mark: value::mark_price("p", fields.need("p", b'p')?)?,
        index: index.transpose()?.flatten(),
        funding_rate: rate.transpose()?.flatten(),
        next_funding: next.map(|raw| value::time("T", raw)).transpose()?,
        open_interest: None,
    }))))
}

fn quote(fields: &Fields<'_>, scales: Scales) -> Result<Option<MarketData>> {
    Ok(Some(MarketData::Quote(Quote {
        update_id: value::id("u", fields.need("u", b'u')?)?,
        bid: Level {
            price: value::price("b", fields.need("b", b'b')?, scales.price)?,
            qty: value::qty("B", fields.need("B", b'B')?, scales.qty)?,
        },
        ask: Level {
            price: value::price("a", fields.need("a", b'a')?, scales.price)?,
            qty: value::qty("A", fields.need("A", b'A')?, scales.qty)?,
        },
    })))
}

fn kline(fields: &Fields<'_>, scales: Scales) -> Result<Option<MarketData>> {
    let raw = fields.need("k", b'k')?;
    if !raw.starts_with('{') {
        return Err(DecodeError::field("k", FieldFault::Type("an object")));
    }
    let k = Fields::of(raw)?;
    let candle = Candle {
        open_time: value::time("t", k.need("t", b't')?)?,
        open: value::price("o", k.need("o", b'o')?, scales.price)?,
        high: value::price("h", k.need("h", b'h')?, scales.price)?,
        low: value::price("l", k.need("l", b'l')?, scales.price)?,
        close: value::price("c", k.need("c", b'c')?, scales.price)?,
        volume: value::volume("v", k.need("v", b'v')?, scales.qty)?,
        quote_volume: value::truncated_volume("q", k.need("q", b'q')?, scales.turnover())?,
        trades: value::id("n", k.need("n", b'n')?)?,
    };
    value::check_range(&candle, "h", "l")?;
    let first = value::integer("f", k.need("f", b'f')?)?;
    let last = value::integer("L", k.need("L", b'L')?)?;
    let trade_ids = match (u64::try_from(first), u64::try_from(last)) {
        (Ok(first), Ok(last)) if first <= last => Some((first, last)),
        _ if (first, last) == (-1, -1) => None,
        _ => {
            let why = FieldFault::Contradiction("must be an id from f on, or -1 as f is");
            return Err(DecodeError::field("L", why));
        }
    };
    let interval = value::text("i", k.need("i", b'i')?)?;
    Ok(Some(MarketData::Kline(Box::new(Kline {
        interval: interval
            .parse()
            .map_err(|_| DecodeError::field("i", FieldFault::Interval))?,
        candle,
        trade_ids,
        traded_at: None,
        closed: value::boolean("x", k.need("x", b'x')?)?,
    }))))
}

/// `None` for an instrument without a trade in 24 hours, whose prices Binance gives as zero.
fn stats(fields: &Fields<'_>, scales: Scales) -> Result<Option<MarketData>> {
    let volume = value::volume("v", fields.need("v", b'v')?, scales.qty)?;
    let price = |name, letter| {
        let raw = fields.need(name, letter)?;
        match value::price(name, raw, scales.price) {
            Err(DecodeError::Field {
                why: FieldFault::Fixed(FixedError::NotPositive),
                ..
            }) if volume == 0 && value::qty(name, raw, scales.price).is_ok() => Ok(None),
            other => other.map(Some),
        }
    };
    let (open, high, low) = (price("o", b'o')?, price("h", b'h')?, price("l", b'l')?);
    let quote_volume = value::truncated_volume("q", fields.need("q", b'q')?, scales.turnover())?;
    let (Some(open), Some(high), Some(low)) = (open, high, low) else {
        return Ok(None);
    };
    if high < low {
        let why = FieldFault::Contradiction("the high is below the low");
        return Err(DecodeError::field("h", why));
    }
    Ok(Some(MarketData::Stats(Box::new(DayStats {
        open: Some(open),
        high: Some(high),
        low: Some(low),
        volume: Some(volume),
        quote_volume: Some(quote_volume),
    }))))
}

/// `{"result":…,"id":…}`, `{"error":{"code":…,"msg":…},"id":…}` or the older bare code and text.
fn answer(fields: &Fields<'_>) -> Result<Answer> {
    let id = match fields.id {
        None | Some("null") => None,
        Some(raw) if raw.starts_with('"') => None,
        Some(raw) => Some(value::integer("id", raw)?),
    };
    let complaint = |fields: &Fields<'_>| -> Result<(i64, String)> {
        let code = fields.code.ok_or(DecodeError::Missing("code"))?;
        let msg = fields.msg.ok_or(DecodeError::Missing("msg"))?;
        Ok((
            value::integer("code", code)?,
            value::text("msg", msg)?.into_owned(),
        ))
    };
    let error = match fields.error {
        Some("null") => None,
        Some(raw) if raw.starts_with('{') => Some(complaint(&Fields::of(raw)?)?),
        Some(_) => return Err(DecodeError::field("error", FieldFault::Type("an object"))),
        None if fields.code.is_some() => Some(complaint(fields)?),
        None => None,
    };
    Ok(Answer { id, error })
}
