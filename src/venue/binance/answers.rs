//! Answers of Binance's public REST calls, as pure functions. (Depth snapshots are in
//! [`super::decode`]: recordings hold them between stream frames.)

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic
)]

use std::borrow::Cow;

use serde::Deserialize;

use super::decode::check_range;
use super::error::{DecodeError, FieldFault};
use super::value::{self, Scales};
use crate::kernel::event::Candle;
use crate::kernel::types::{
    FixedError, Instrument, InstrumentName, InstrumentStatus, Money, Price, Qty, Rate, Scale, Time,
    VenueId,
};
use crate::venue::json::Scanner;

type Result<T> = std::result::Result<T, DecodeError>;

/// The ordinary fee, maker and taker, until configuration or the account says otherwise: 0.1 %.
const FEE_DEFAULT: Rate = Rate(100_000);

/// Names of the elements of a kline row, for errors.
const ROW: [&str; 9] = [
    "open time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close time",
    "quote volume",
    "trades",
];

/// Reads `GET /klines`: oldest first, and usually the forming candle last.
///
/// Candles from before a coarsening of the tick can have prices finer than today's scale: those and
/// all older ones are left out. Volumes are statistics: digits finer than the scales are cut off.
pub fn decode_klines(body: &[u8], instrument: &Instrument) -> Result<Vec<Candle>> {
    let text = std::str::from_utf8(body).map_err(|_| DecodeError::Utf8)?;
    let mut scanner = Scanner::new(text);
    let scales = Scales::of(instrument);
    let mut candles: Vec<Candle> = Vec::new();
    let mut newest = Time::ZERO;
    scanner.array(|_, scanner| {
        let mut row: [Option<&str>; 9] = [None; 9];
        scanner.array::<DecodeError>(|index, scanner| {
            let raw = scanner.raw()?;
            if let Some(slot) = row.get_mut(index) {
                *slot = Some(raw);
            }
            Ok(())
        })?;
        let open_time = value::time(ROW[0], element(&row, 0)?)?;
        if open_time <= newest {
            let why = FieldFault::Contradiction("candles must come oldest first");
            return Err(DecodeError::field(ROW[0], why));
        }
        newest = open_time;
        match candle(open_time, &row, scales) {
            Ok(candle) => candles.push(candle),
            Err(DecodeError::Field {
                why: FieldFault::Fixed(FixedError::TooFine(_)),
                ..
            }) => candles.clear(),
            Err(e) => return Err(e),
        }
        Ok::<(), DecodeError>(())
    })?;
    scanner.end()?;
    Ok(candles)
}

fn element<'a>(row: &[Option<&'a str>; 9], index: usize) -> Result<&'a str> {
    let name = ROW.get(index).copied().unwrap_or_default();
    let raw = row.get(index).copied().flatten();
    raw.ok_or(DecodeError::Missing(name))
}

fn candle(open_time: Time, row: &[Option<&str>; 9], scales: Scales) -> Result<Candle> {
    let price = |index, name| value::price(name, element(row, index)?, scales.price);
    let candle = Candle {
        open_time,
        open: price(1, ROW[1])?,
        high: price(2, ROW[2])?,
        low: price(3, ROW[3])?,
        close: price(4, ROW[4])?,
        volume: value::truncated_volume(ROW[5], element(row, 5)?, scales.qty.digits())?,
        quote_volume: value::truncated_volume(ROW[7], element(row, 7)?, scales.turnover())?,
        trades: value::id(ROW[8], element(row, 8)?)?,
    };
    check_range(&candle, ROW[2], ROW[3])?;
    Ok(candle)
}

/// Reads `GET /time`.
pub fn decode_server_time(body: &[u8]) -> Result<Time> {
    let text = std::str::from_utf8(body).map_err(|_| DecodeError::Utf8)?;
    let mut scanner = Scanner::new(text);
    let mut found: Option<&str> = None;
    scanner.object(|key, scanner| {
        let raw = scanner.raw()?;
        if key == "serverTime" && found.replace(raw).is_some() {
            return Err(DecodeError::Duplicate(key.to_owned()));
        }
        Ok(())
    })?;
    scanner.end()?;
    value::time(
        "serverTime",
        found.ok_or(DecodeError::Missing("serverTime"))?,
    )
}

/// Reads an error answer: the venue's code and words.
pub fn decode_complaint(body: &[u8]) -> Option<(i64, String)> {
    #[derive(Deserialize)]
    struct Complaint {
        code: i64,
        msg: String,
    }
    serde_json::from_slice(body)
        .ok()
        .map(|c: Complaint| (c.code, c.msg))
}

/// What `GET /exchangeInfo` says of one symbol, as text; [`Self::instrument`] checks it.
#[derive(Debug, Clone, Deserialize)]
pub struct SymbolFacts<'a> {
    /// The venue's symbol.
    #[serde(borrow)]
    pub symbol: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow, rename = "baseAsset")]
    base: Cow<'a, str>,
    #[serde(borrow, rename = "quoteAsset")]
    quote: Cow<'a, str>,
    #[serde(borrow)]
    filters: Vec<Filter<'a>>,
}

/// The parts of a symbol's filters that are used here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter<'a> {
    #[serde(borrow)]
    #[serde(rename = "filterType")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    tick_size: Option<Cow<'a, str>>,
    #[serde(borrow)]
    min_price: Option<Cow<'a, str>>,
    #[serde(borrow)]
    max_price: Option<Cow<'a, str>>,
    #[serde(borrow)]
    step_size: Option<Cow<'a, str>>,
    #[serde(borrow)]
    min_qty: Option<Cow<'a, str>>,
    #[serde(borrow)]
    max_qty: Option<Cow<'a, str>>,
    #[serde(borrow)]
    min_notional: Option<Cow<'a, str>>,
}

/// Reads `GET /exchangeInfo`, in place: megabytes when all symbols are asked for.
pub fn decode_exchange_info(body: &mut [u8]) -> Result<Vec<SymbolFacts<'_>>> {
    #[derive(Deserialize)]
    struct Info<'a> {
        #[serde(borrow)]
        symbols: Vec<SymbolFacts<'a>>,
    }
    let info: Info<'_> =
        simd_json::from_slice(body).map_err(|e| DecodeError::ExchangeInfo(e.to_string()))?;
    Ok(info.symbols)
}

impl SymbolFacts<'_> {
    /// The instrument, if this program can represent it.
    pub fn instrument(&self, venue: VenueId) -> Result<Instrument> {
        let price_filter = self.filter("PRICE_FILTER");
        let lot_filter = self.filter("LOT_SIZE");
        let tick = need(
            "tickSize",
            price_filter.and_then(|f| f.tick_size.as_deref()),
        )?;
        let step = need("stepSize", lot_filter.and_then(|f| f.step_size.as_deref()))?;
        let price_min = price_filter.and_then(|f| f.min_price.as_deref());
        let price_max = price_filter.and_then(|f| f.max_price.as_deref());
        let qty_min = lot_filter.and_then(|f| f.min_qty.as_deref());
        let qty_max = lot_filter.and_then(|f| f.max_qty.as_deref());
        let notional_min = self
            .filter("NOTIONAL")
            .or_else(|| self.filter("MIN_NOTIONAL"))
            .and_then(|f| f.min_notional.as_deref());

        let price_scale = scale("tickSize", [tick, price_min.unwrap_or("0")], price_max)?;
        let qty_scale = scale("stepSize", [step, qty_min.unwrap_or("0")], qty_max)?;
        let qty = |field, text: Option<&str>| {
            Qty::parse(text.unwrap_or("0").as_bytes(), qty_scale)
                .map_err(|e| DecodeError::field(field, e))
        };
        // A filter of zero is switched off: then the scale itself is the grid.
        let tick = Qty::parse(tick.as_bytes(), price_scale)
            .map_err(|e| DecodeError::field("tickSize", e))?;
        Ok(Instrument {
            name: InstrumentName {
                venue,
                symbol: self.symbol.clone().into_owned(),
            },
            base: self.base.clone().into_owned(),
            quote: self.quote.clone().into_owned(),
            price_scale,
            qty_scale,
            tick: Price(tick.0.max(1)),
            lot: qty("stepSize", Some(step))?.max(Qty(1)),
            qty_min: qty("minQty", qty_min)?,
            qty_max: qty("maxQty", qty_max)?,
            notional_min: notional_min.map_or(Ok(Money::ZERO), |text| {
                Money::parse(text)
                    .and_then(|m| {
                        (m >= Money::ZERO)
                            .then_some(m)
                            .ok_or(FixedError::NotPositive)
                    })
                    .map_err(|e| DecodeError::field("minNotional", e))
            })?,
            status: match &*self.status {
                "TRADING" => InstrumentStatus::Trading,
                "CANCEL_ONLY" => InstrumentStatus::CancelOnly,
                _ => InstrumentStatus::Halted,
            },
            maker_fee: FEE_DEFAULT,
            taker_fee: FEE_DEFAULT,
        })
    }

    fn filter(&self, name: &str) -> Option<&Filter<'_>> {
        self.filters.iter().find(|f| f.kind == name)
    }
}

fn need<'a>(field: &'static str, text: Option<&'a str>) -> Result<&'a str> {
    text.ok_or(DecodeError::Missing(field))
}

/// The scale of an instrument's prices or quantities.
///
/// At least the digits of `grid` (tick or lot, and the smallest value), and beyond that as many as
/// leave room for a thousand times the largest value (a level adds up many orders), 8 at most.
/// The grid alone is not enough: orders from before it was made coarser keep resting in the book
/// with more digits (seen in BTCUSDT), and a finer grid would change the scale of everything kept.
fn scale(field: &'static str, grid: [&str; 2], largest: Option<&str>) -> Result<Scale> {
    let digits_of = |text: &str| {
        let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
        fraction.trim_end_matches('0').len()
    };
    let is_zero = |text: &str| text.bytes().all(|c| matches!(c, b'0' | b'.'));
    let needed = grid.into_iter().map(digits_of).max().unwrap_or(0);
    let needed = u8::try_from(needed)
        .ok()
        .and_then(Scale::new)
        .ok_or_else(|| DecodeError::field(field, FieldFault::Scale))?;
    // A filter of zero is switched off: then only the venue's own precision, 8, is known.
    let Some(largest) = largest.filter(|text| !is_zero(text)) else {
        let off = grid.into_iter().all(is_zero);
        return Ok(if off { finest() } else { needed });
    };
    let fits = |scale: &Scale| {
        let largest = value::truncated(largest, scale.digits());
        largest.is_ok_and(|v| {
            v.checked_mul(ROOM)
                .is_some_and(|v| v <= i128::from(i64::MAX))
        })
    };
    let finer = (0..=Scale::MAX).rev().filter_map(Scale::new).find(fits);
    Ok(finer.map_or(needed, |finer| finer.max(needed)))
}

/// How much larger than the largest order a level may be.
const ROOM: i128 = 1_000;

fn finest() -> Scale {
    Scale::new(Scale::MAX).unwrap_or_default()
}
