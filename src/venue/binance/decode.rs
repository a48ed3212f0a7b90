//! Frames of Binance's spot streams, as pure functions: text in, event or error out.
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

use super::error::{DecodeError, FieldFault};
use super::value::{self, Scales};
use crate::kernel::event::{
    Candle, DayStats, DepthDelta, DepthSnapshot, Kline, Level, MarketData, MarketEvent, Quote,
    Trade,
};
use crate::kernel::types::{FixedError, Instrument, InstrumentId, Side, Time};
use crate::recording::SNAPSHOT_STREAM;
use crate::venue::json::Scanner;

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

/// The answer to a request on a stream connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The request's id, if it was an integer.
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

/// Reads frames for a fixed set of instruments.
#[derive(Debug, Clone)]
pub struct Decoder {
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

impl Decoder {
    /// For these instruments, by their venue symbols.
    pub fn new<'a>(instruments: impl IntoIterator<Item = (InstrumentId, &'a Instrument)>) -> Self {
        let mut known: Vec<Known> = instruments
            .into_iter()
            .map(|(id, instrument)| Known {
                symbol: instrument.name.symbol.clone(),
                id,
                scales: Scales::of(instrument),
            })
            .collect();
        known.sort_by(|a, b| a.symbol.cmp(&b.symbol));
        Self { known }
    }

    /// Reads one frame that was received at `received`.
    pub fn decode(&self, frame: &[u8], received: Time) -> Result<Decoded> {
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

    /// The instrument whose order book an unreadable frame belonged to, as far as its raw bytes
    /// tell. For frames that [`Self::decode`] refused.
    pub fn depth_victim(&self, frame: &[u8]) -> Option<InstrumentId> {
        let has = |needle: &str| {
            let needle = needle.as_bytes();
            frame.windows(needle.len()).any(|window| window == needle)
        };
        let victim = |known: &&Known| {
            has(&format!("\"{}@depth", known.symbol.to_lowercase()))
                || (has("\"depthUpdate\"") && has(&format!("\"{}\"", known.symbol)))
        };
        self.known.iter().find(victim).map(|known| known.id)
    }

    fn read(&self, fields: &Fields<'_>, received: Time, bare: bool) -> Result<Decoded> {
        let Some(kind) = fields.letter(b'e') else {
            return self.read_untyped(fields, received, bare);
        };
        match &*value::text("e", kind)? {
            "depthUpdate" => self.event(fields, received, depth),
            "trade" => self.event(fields, received, |f, s| trade(f, s, "t", b't')),
            "aggTrade" => self.event(fields, received, |f, s| trade(f, s, "a", b'a')),
            "bookTicker" => self.event(fields, received, quote),
            "kline" => self.event(fields, received, kline),
            "24hrMiniTicker" => self.event(fields, received, stats),
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
            return self.event(fields, received, quote);
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
        read: impl FnOnce(&Fields<'_>, Scales) -> Result<Option<MarketData>>,
    ) -> Result<Decoded> {
        let symbol = value::text("s", fields.need("s", b's')?)?;
        let Ok(index) = self
            .known
            .binary_search_by(|k| k.symbol.as_str().cmp(&symbol))
        else {
            return Ok(Decoded::Ignored(Ignored::Symbol));
        };
        let Some(known) = self.known.get(index) else {
            return Ok(Decoded::Ignored(Ignored::Symbol));
        };
        // `bookTicker` alone has no event time, and no `e` either.
        let venue_time = match fields.letter(b'E') {
            Some(raw) => value::time("E", raw)?,
            None if fields.letter(b'e').is_none() => received,
            None => return Err(DecodeError::Missing("E")),
        };
        Ok(match read(fields, known.scales)? {
            Some(data) => Decoded::Market(MarketEvent {
                instrument: known.id,
                venue_time,
                received,
                data,
            }),
            None => Decoded::Ignored(Ignored::NoTrades),
        })
    }
}

impl Scales {
    pub(super) fn of(instrument: &Instrument) -> Self {
        Self {
            price: instrument.price_scale,
            qty: instrument.qty_scale,
        }
    }

    /// Digits of a price times a quantity.
    pub(super) fn turnover(self) -> u8 {
        self.price.digits().saturating_add(self.qty.digits())
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

/// The raw values of one object, by key.
#[derive(Debug)]
struct Fields<'a> {
    /// `A` to `z`; the six characters between the alphabets stay empty.
    letters: [Option<&'a str>; 58],
    last_update_id: Option<&'a str>,
    bids: Option<&'a str>,
    asks: Option<&'a str>,
    result: Option<&'a str>,
    error: Option<&'a str>,
    id: Option<&'a str>,
    code: Option<&'a str>,
    msg: Option<&'a str>,
}

impl Default for Fields<'_> {
    fn default() -> Self {
        Self {
            letters: [None; 58],
            last_update_id: None,
            bids: None,
            asks: None,
            result: None,
            error: None,
            id: None,
            code: None,
            msg: None,
        }
    }
}

impl<'a> Fields<'a> {
    fn of(object: &'a str) -> Result<Self> {
        let mut fields = Self::default();
        Scanner::new(object).object(|key, scanner| fields.collect(key, scanner))?;
        Ok(fields)
    }

    #[inline]
    fn collect(&mut self, key: &str, scanner: &mut Scanner<'a>) -> Result<()> {
        let slot = match key.as_bytes() {
            [letter] => self.letters.get_mut(slot_of(*letter)),
            b"lastUpdateId" => Some(&mut self.last_update_id),
            b"bids" => Some(&mut self.bids),
            b"asks" => Some(&mut self.asks),
            b"result" => Some(&mut self.result),
            b"error" => Some(&mut self.error),
            b"id" => Some(&mut self.id),
            b"code" => Some(&mut self.code),
            b"msg" => Some(&mut self.msg),
            _ => None,
        };
        let raw = scanner.raw()?;
        slot.map_or(Ok(()), |slot| set(slot, key, raw))
    }

    #[inline]
    fn letter(&self, letter: u8) -> Option<&'a str> {
        self.letters.get(slot_of(letter)).copied().flatten()
    }

    #[inline]
    fn need(&self, name: &'static str, letter: u8) -> Result<&'a str> {
        self.letter(letter).ok_or(DecodeError::Missing(name))
    }
}

#[inline]
fn slot_of(letter: u8) -> usize {
    usize::from(letter.wrapping_sub(b'A'))
}

#[inline]
fn set<T>(slot: &mut Option<T>, key: &str, value: T) -> Result<()> {
    if slot.is_some() {
        return Err(DecodeError::Duplicate(key.to_owned()));
    }
    *slot = Some(value);
    Ok(())
}

fn levels(name: &'static str, raw: &str, scales: Scales) -> Result<Vec<Level>> {
    value::levels(name, &mut Scanner::new(raw), scales)
}

fn depth(fields: &Fields<'_>, scales: Scales) -> Result<Option<MarketData>> {
    let first_id = value::id("U", fields.need("U", b'U')?)?;
    let last_id = value::id("u", fields.need("u", b'u')?)?;
    if last_id < first_id {
        let why = FieldFault::Contradiction("below U, the first update id");
        return Err(DecodeError::field("u", why));
    }
    Ok(Some(MarketData::Depth(Box::new(DepthDelta {
        first_id,
        last_id,
        bids: levels("b", fields.need("b", b'b')?, scales)?,
        asks: levels("a", fields.need("a", b'a')?, scales)?,
    }))))
}

fn snapshot(fields: &Fields<'_>, scales: Scales) -> Result<DepthSnapshot> {
    let need = |raw: Option<_>, name| raw.ok_or(DecodeError::Missing(name));
    let last_id = need(fields.last_update_id, "lastUpdateId")?;
    Ok(DepthSnapshot {
        last_id: value::id("lastUpdateId", last_id)?,
        bids: levels("bids", need(fields.bids, "bids")?, scales)?,
        asks: levels("asks", need(fields.asks, "asks")?, scales)?,
    })
}

fn trade(
    fields: &Fields<'_>,
    scales: Scales,
    id_name: &'static str,
    id_letter: u8,
) -> Result<Option<MarketData>> {
    let buyer_is_maker = value::boolean("m", fields.need("m", b'm')?)?;
    Ok(Some(MarketData::Trade(Trade {
        id: value::id(id_name, fields.need(id_name, id_letter)?)?,
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
    check_range(&candle, "h", "l")?;
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
        closed: value::boolean("x", k.need("x", b'x')?)?,
    }))))
}

/// A candle's high and low enclose its other prices.
pub(super) fn check_range(candle: &Candle, high: &'static str, low: &'static str) -> Result<()> {
    if candle.high < candle.open.max(candle.close) {
        let why = FieldFault::Contradiction("the high is below another price of the candle");
        return Err(DecodeError::field(high, why));
    }
    if candle.low > candle.open.min(candle.close) {
        let why = FieldFault::Contradiction("the low is above another price of the candle");
        return Err(DecodeError::field(low, why));
    }
    Ok(())
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
        open,
        high,
        low,
        volume,
        quote_volume,
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
