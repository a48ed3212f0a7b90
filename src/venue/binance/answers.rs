//! Answers of Binance's public REST calls, as pure functions. (Depth snapshots are in
//! [`super::decode`]: recordings hold them between stream frames.)

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic
)]

use std::borrow::Cow;

use serde::Deserialize;

use super::Market;
use crate::kernel::event::{Candle, Derivative};
use crate::kernel::types::{
    BandReference, Contract, FixedError, Instrument, InstrumentName, InstrumentStatus, Money,
    Price, PriceBand, Qty, Rate, Scale, Time, VenueId,
};
use crate::venue::decode_error::{DecodeError, FieldFault};
use crate::venue::json::Scanner;
use crate::venue::protocol::Complaint;
use crate::venue::scale::scale;
use crate::venue::value::{self, Scales};

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
    value::check_range(&candle, ROW[2], ROW[3])?;
    Ok(candle)
}

/// Reads `GET /time`.
pub fn decode_server_time(body: &[u8]) -> Result<Time> {
    value::time("serverTime", field(body, "serverTime")?)
}

/// Reads `GET /openInterest` of futures: contracts, in the base asset at the quantity scale.
pub fn decode_open_interest(body: &[u8], instrument: &Instrument) -> Result<Derivative> {
    let raw = field(body, "openInterest")?;
    let digits = instrument.qty_scale.digits();
    Ok(Derivative {
        open_interest: Some(value::truncated_volume("openInterest", raw, digits)?),
        ..Derivative::default()
    })
}

/// The raw value of one field of an object.
fn field<'a>(body: &'a [u8], name: &'static str) -> Result<&'a str> {
    let text = std::str::from_utf8(body).map_err(|_| DecodeError::Utf8)?;
    let mut scanner = Scanner::new(text);
    let mut found = None;
    scanner.object(|key, scanner| {
        let raw = scanner.raw()?;
        if key == name {
            value::set(&mut found, key, raw)?;
        }
        Ok::<(), DecodeError>(())
    })?;
    scanner.end()?;
    found.ok_or(DecodeError::Missing(name))
}

/// What an answer other than 200 means. A pause without `Retry-After`: to the next minute when
/// throttled, two minutes (the shortest that Binance announces) when banned.
pub fn complaint(status: u16, body: &[u8]) -> Option<Complaint> {
    #[derive(Deserialize)]
    struct Words {
        code: i64,
        msg: String,
    }
    match status {
        200 => None,
        429 => Some(Complaint::Throttled { pause_s: 60 }),
        418 => Some(Complaint::Throttled { pause_s: 120 }),
        403 | 451 => Some(Complaint::Blocked),
        _ => {
            let words: Option<Words> = serde_json::from_slice(body).ok();
            let (code, message) = words.map(|w| (w.code, w.msg)).unwrap_or_default();
            Some(Complaint::Refused { code, message })
        }
    }
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
    /// Futures only.
    #[serde(borrow, rename = "contractType")]
    contract: Option<Cow<'a, str>>,
    #[serde(rename = "deliveryDate")]
    delivery: Option<i64>,
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
    /// The name that futures have for it.
    #[serde(borrow)]
    notional: Option<Cow<'a, str>>,
    max_num_orders: Option<u32>,
    /// The name that futures have for it.
    limit: Option<u32>,
    #[serde(borrow)]
    multiplier_up: Option<Cow<'a, str>>,
    #[serde(borrow)]
    multiplier_down: Option<Cow<'a, str>>,
    #[serde(borrow)]
    bid_multiplier_up: Option<Cow<'a, str>>,
    #[serde(borrow)]
    bid_multiplier_down: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ask_multiplier_up: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ask_multiplier_down: Option<Cow<'a, str>>,
    avg_price_mins: Option<u16>,
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
    /// The instrument, if this program can represent it; at `fixed` scales where it has them already.
    pub fn instrument(
        &self,
        venue: VenueId,
        market: Market,
        fixed: Option<(Scale, Scale)>,
    ) -> Result<Instrument> {
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
            .and_then(|f| f.min_notional.as_deref().or(f.notional.as_deref()));
        let orders = self.filter("MAX_NUM_ORDERS");
        let market_max = self
            .filter("MARKET_LOT_SIZE")
            .and_then(|f| f.max_qty.as_deref());

        let (price_scale, qty_scale) = match fixed {
            Some(scales) => scales,
            None => (
                scale("tickSize", [tick, price_min.unwrap_or("0")], price_max)?,
                scale("stepSize", [step, qty_min.unwrap_or("0")], qty_max)?,
            ),
        };
        let qty = |field, text: Option<&str>| {
            Qty::parse(text.unwrap_or("0").as_bytes(), qty_scale)
                .map_err(|e| DecodeError::field(field, e))
        };
        // A filter of zero is switched off: then the scale itself is the grid.
        let price = |field, text: Option<&str>| {
            Qty::parse(text.unwrap_or("0").as_bytes(), price_scale)
                .map(|q| Price(q.0))
                .map_err(|e| DecodeError::field(field, e))
        };
        let name = InstrumentName {
            venue,
            symbol: self.symbol.clone().into_owned(),
        };
        let scales = (price_scale, qty_scale);
        Ok(Instrument {
            contract: self.contract()?,
            // Eight hours unless the venue says otherwise; the next payment's time comes with the
            // mark price.
            funding_minutes: if market == Market::Usdm { 480 } else { 0 },
            tick: price("tickSize", Some(tick))?.max(Price(1)),
            lot: qty("stepSize", Some(step))?.max(Qty(1)),
            qty_min: qty("minQty", qty_min)?,
            qty_max: qty("maxQty", qty_max)?,
            market_qty_max: value::qty_bound("maxQty", market_max.unwrap_or("0"), qty_scale)?,
            price_min: price("minPrice", price_min)?,
            price_max: price("maxPrice", price_max)?,
            band: self.band(market)?,
            orders_max: orders
                .and_then(|f| f.max_num_orders.or(f.limit))
                .unwrap_or(0),
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
                "SETTLING" | "CLOSE" | "DELIVERING" | "DELIVERED" => InstrumentStatus::Delisted,
                _ => InstrumentStatus::Halted,
            },
            maker_fee: FEE_DEFAULT,
            taker_fee: FEE_DEFAULT,
            ..Instrument::unlimited(name, &self.base, &self.quote, scales)
        })
    }

    fn contract(&self) -> Result<Contract> {
        Ok(match self.contract.as_deref() {
            None => Contract::Spot,
            Some(kind) if kind.contains("PERPETUAL") || kind.is_empty() => {
                Contract::LinearPerpetual
            }
            Some(_) => {
                let delivery = self.delivery.ok_or(DecodeError::Missing("deliveryDate"))?;
                let range = || DecodeError::field("deliveryDate", FieldFault::Range);
                let delivery = Time::from_millis(delivery).ok_or_else(range)?;
                Contract::LinearFuture { delivery }
            }
        })
    }

    /// Around the mean price on spot, around the mark price on futures.
    fn band(&self, market: Market) -> Result<Option<PriceBand>> {
        let rate = |field, text: &Option<Cow<'_, str>>| {
            let text = text.as_deref().ok_or(DecodeError::Missing(field))?;
            Rate::parse(text).map_err(|e| DecodeError::field(field, e))
        };
        let reference = |f: &Filter<'_>| match market {
            Market::Usdm => BandReference::Mark,
            Market::Spot => BandReference::MeanPrice {
                minutes: f.avg_price_mins.unwrap_or(0),
            },
        };
        if let Some(f) = self.filter("PERCENT_PRICE_BY_SIDE") {
            return Ok(Some(PriceBand {
                reference: reference(f),
                buy: (
                    rate("bidMultiplierDown", &f.bid_multiplier_down)?,
                    rate("bidMultiplierUp", &f.bid_multiplier_up)?,
                ),
                sell: (
                    rate("askMultiplierDown", &f.ask_multiplier_down)?,
                    rate("askMultiplierUp", &f.ask_multiplier_up)?,
                ),
            }));
        }
        let Some(f) = self.filter("PERCENT_PRICE") else {
            return Ok(None);
        };
        let both = (
            rate("multiplierDown", &f.multiplier_down)?,
            rate("multiplierUp", &f.multiplier_up)?,
        );
        Ok(Some(PriceBand {
            reference: reference(f),
            buy: both,
            sell: both,
        }))
    }

    fn filter(&self, name: &str) -> Option<&Filter<'_>> {
        self.filters.iter().find(|f| f.kind == name)
    }
}

fn need<'a>(field: &'static str, text: Option<&'a str>) -> Result<&'a str> {
    text.ok_or(DecodeError::Missing(field))
}
