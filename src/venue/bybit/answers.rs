//! Answers of Bybit's public REST calls, as pure functions. All of them lie in an envelope
//! (`retCode`, `retMsg`, `result`), under HTTP 200 even when they are refusals.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic
)]

use std::borrow::Cow;

use serde::Deserialize;

use super::Category;
use crate::kernel::event::Candle;
use crate::kernel::types::{
    BandReference, Contract, FixedError, Instrument, InstrumentName, InstrumentStatus, Money,
    Price, PriceBand, Qty, Rate, Scale, Time, VenueId,
};
use crate::venue::decode_error::{DecodeError, FieldFault};
use crate::venue::json::Scanner;
use crate::venue::protocol::Complaint;
use crate::venue::scale::scale;
use crate::venue::value::{self, Scales, set};

type Result<T> = std::result::Result<T, DecodeError>;

/// Ordinary fees, maker and taker, until configuration or the account says otherwise.
const FEES_SPOT: (Rate, Rate) = (Rate(100_000), Rate(100_000));
const FEES_LINEAR: (Rate, Rate) = (Rate(20_000), Rate(55_000));

/// Too many requests of an account, and the venue's protection of itself.
const CODES_THROTTLED: [i64; 2] = [10_006, 10_429];
/// Seconds of pause then: the window of the limit.
const PAUSE_S: u64 = 5;
/// Seconds of pause when the whole address is refused for its speed: the documents' ten minutes.
const PAUSE_ADDRESS_S: u64 = 600;

/// The envelope of every answer.
#[derive(Debug, Default)]
struct Envelope<'a> {
    code: Option<&'a str>,
    message: Option<&'a str>,
    result: Option<&'a str>,
}

impl<'a> Envelope<'a> {
    fn of(body: &'a [u8]) -> Result<Self> {
        let text = std::str::from_utf8(body).map_err(|_| DecodeError::Utf8)?;
        let mut scanner = Scanner::new(text);
        let mut envelope = Self::default();
        scanner.object(|key, scanner| {
            let slot = match key {
                "retCode" => &mut envelope.code,
                "retMsg" => &mut envelope.message,
                "result" => &mut envelope.result,
                _ => return Ok(scanner.skip()?),
            };
            set(slot, key, scanner.raw()?)
        })?;
        scanner.end()?;
        Ok(envelope)
    }

    fn code(&self) -> Result<i64> {
        let raw = self.code.ok_or(DecodeError::Missing("retCode"))?;
        value::integer("retCode", raw)
    }

    /// What was asked for.
    fn result(&self) -> Result<&'a str> {
        check_code(self.code()?)?;
        let raw = self.result.ok_or(DecodeError::Missing("result"))?;
        if raw.starts_with('{') {
            return Ok(raw);
        }
        Err(DecodeError::field("result", FieldFault::Type("an object")))
    }
}

fn check_code(code: i64) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    let why = FieldFault::Contradiction("is a refusal");
    Err(DecodeError::field("retCode", why))
}

/// The values of some keys of an object, none of which may appear twice.
fn pick<'a, const N: usize>(object: &'a str, keys: [&str; N]) -> Result<[Option<&'a str>; N]> {
    let mut found = [None; N];
    Scanner::new(object).object(|key, scanner| {
        let raw = scanner.raw()?;
        let slot = keys.iter().position(|wanted| *wanted == key);
        match slot.and_then(|slot| found.get_mut(slot)) {
            Some(slot) => set(slot, key, raw),
            None => Ok(()),
        }
    })?;
    Ok(found)
}

fn check_symbol(field: &'static str, raw: Option<&str>, instrument: &Instrument) -> Result<()> {
    let text = value::text(field, raw.ok_or(DecodeError::Missing(field))?)?;
    if text == instrument.name.symbol {
        return Ok(());
    }
    let why = FieldFault::Contradiction("is another symbol than asked for");
    Err(DecodeError::field(field, why))
}

/// Names of the elements of a candle's row, for errors.
const ROW: [&str; 7] = [
    "start", "open", "high", "low", "close", "volume", "turnover",
];

/// Reads `GET /v5/market/kline`, which is newest first, and turns it round.
///
/// Candles from before a coarsening of the tick can have prices finer than today's scale: those and
/// all older ones are left out. Volumes are statistics: digits finer than the scales are cut off.
pub fn decode_candles(body: &[u8], instrument: &Instrument) -> Result<Vec<Candle>> {
    let [symbol, list] = pick(Envelope::of(body)?.result()?, ["symbol", "list"])?;
    check_symbol("symbol", symbol, instrument)?;
    let list = list.ok_or(DecodeError::Missing("list"))?;
    let scales = Scales::of(instrument);
    let mut candles: Vec<Candle> = Vec::new();
    let mut oldest: Option<Time> = None;
    let mut too_fine = false;
    Scanner::new(list).array(|_, scanner| {
        let mut row: [Option<&str>; 7] = [None; 7];
        scanner.array::<DecodeError>(|index, scanner| {
            let raw = scanner.raw()?;
            if let Some(slot) = row.get_mut(index) {
                *slot = Some(raw);
            }
            Ok(())
        })?;
        let start = value::text(ROW[0], element(&row, 0)?)?;
        let open_time = value::time(ROW[0], &start)?;
        if oldest.is_some_and(|oldest| open_time >= oldest) {
            let why = FieldFault::Contradiction("candles must come newest first");
            return Err(DecodeError::field(ROW[0], why));
        }
        oldest = Some(open_time);
        match candle(open_time, &row, scales) {
            Ok(candle) if !too_fine => candles.push(candle),
            Ok(_) => {}
            Err(DecodeError::Field {
                why: FieldFault::Fixed(FixedError::TooFine(_)),
                ..
            }) => too_fine = true,
            Err(e) => return Err(e),
        }
        Ok::<(), DecodeError>(())
    })?;
    candles.reverse();
    Ok(candles)
}

fn element<'a>(row: &[Option<&'a str>; 7], index: usize) -> Result<&'a str> {
    let name = ROW.get(index).copied().unwrap_or_default();
    let raw = row.get(index).copied().flatten();
    raw.ok_or(DecodeError::Missing(name))
}

fn candle(open_time: Time, row: &[Option<&str>; 7], scales: Scales) -> Result<Candle> {
    let price = |index, name| value::price(name, element(row, index)?, scales.price);
    let candle = Candle {
        open_time,
        open: price(1, ROW[1])?,
        high: price(2, ROW[2])?,
        low: price(3, ROW[3])?,
        close: price(4, ROW[4])?,
        volume: value::truncated_volume(ROW[5], element(row, 5)?, scales.qty.digits())?,
        quote_volume: value::truncated_volume(ROW[6], element(row, 6)?, scales.turnover())?,
        trades: 0,
    };
    value::check_range(&candle, ROW[2], ROW[3])?;
    Ok(candle)
}

/// Reads `GET /v5/market/time`.
pub fn decode_server_time(body: &[u8]) -> Result<Time> {
    let [nanos] = pick(Envelope::of(body)?.result()?, ["timeNano"])?;
    let text = value::text("timeNano", nanos.ok_or(DecodeError::Missing("timeNano"))?)?;
    match value::integer("timeNano", &text)? {
        nanos @ 1.. => Ok(Time(nanos)),
        _ => Err(DecodeError::field("timeNano", FieldFault::Range)),
    }
}

/// Reads `seq` of `GET /v5/market/orderbook`.
pub fn decode_probe(body: &[u8], instrument: &Instrument) -> Result<u64> {
    let [symbol, seq] = pick(Envelope::of(body)?.result()?, ["s", "seq"])?;
    check_symbol("s", symbol, instrument)?;
    value::id("seq", seq.ok_or(DecodeError::Missing("seq"))?)
}

/// What an answer other than a good one means.
pub fn complaint(status: u16, body: &[u8]) -> Option<Complaint> {
    let envelope = Envelope::of(body);
    let code = envelope.as_ref().ok().and_then(|e| e.code().ok());
    let throttled = |pause_s| Some(Complaint::Throttled { pause_s });
    match (status, code) {
        // An answer without a code is left to those who read it.
        (200, None | Some(0)) => None,
        (429, _) => throttled(PAUSE_S),
        (_, Some(code)) if CODES_THROTTLED.contains(&code) => throttled(PAUSE_S),
        (403, _) if is_too_frequent(body) => throttled(PAUSE_ADDRESS_S),
        (403 | 451, _) => Some(Complaint::Blocked),
        (_, code) => {
            let words = envelope.ok().and_then(|e| e.message);
            let words = words.and_then(|raw| value::text("retMsg", raw).ok());
            Some(Complaint::Refused {
                code: code.unwrap_or(0),
                message: words.unwrap_or_default().into_owned(),
            })
        }
    }
}

/// "403, access too frequent", in whatever form.
fn is_too_frequent(body: &[u8]) -> bool {
    let needle = b"too frequent";
    body.windows(needle.len()).any(|w| w == needle)
}

/// What `GET /v5/market/instruments-info` says of one symbol, as text; [`Self::instrument`] checks it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SymbolFacts<'a> {
    /// The venue's symbol.
    #[serde(borrow)]
    pub symbol: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    base_coin: Cow<'a, str>,
    #[serde(borrow)]
    quote_coin: Cow<'a, str>,
    #[serde(borrow)]
    price_filter: PriceFilter<'a>,
    #[serde(borrow)]
    lot_size_filter: LotSizeFilter<'a>,
    #[serde(borrow)]
    risk_parameters: Option<RiskParameters<'a>>,
    /// Linear only, like those that follow.
    #[serde(borrow)]
    contract_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    delivery_time: Option<Cow<'a, str>>,
    funding_interval: Option<u16>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PriceFilter<'a> {
    #[serde(borrow)]
    tick_size: Cow<'a, str>,
    #[serde(borrow)]
    min_price: Option<Cow<'a, str>>,
    #[serde(borrow)]
    max_price: Option<Cow<'a, str>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LotSizeFilter<'a> {
    /// Step on linear.
    #[serde(borrow)]
    qty_step: Option<Cow<'a, str>>,
    /// Step on spot.
    #[serde(borrow)]
    base_precision: Option<Cow<'a, str>>,
    #[serde(borrow)]
    min_order_qty: Option<Cow<'a, str>>,
    #[serde(borrow)]
    max_order_qty: Option<Cow<'a, str>>,
    /// On spot in place of `maxOrderQty`, which is on its way out there.
    #[serde(borrow)]
    max_limit_order_qty: Option<Cow<'a, str>>,
    /// Of market orders, on linear.
    #[serde(borrow)]
    max_mkt_order_qty: Option<Cow<'a, str>>,
    /// Of market orders, on spot.
    #[serde(borrow)]
    max_market_order_qty: Option<Cow<'a, str>>,
    /// On linear.
    #[serde(borrow)]
    min_notional_value: Option<Cow<'a, str>>,
    /// The same on spot.
    #[serde(borrow)]
    min_order_amt: Option<Cow<'a, str>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RiskParameters<'a> {
    #[serde(borrow)]
    price_limit_ratio_x: Option<Cow<'a, str>>,
    #[serde(borrow)]
    price_limit_ratio_y: Option<Cow<'a, str>>,
}

/// Reads `GET /v5/market/instruments-info`, in place, and where its next page begins.
pub fn decode_instruments(body: &mut [u8]) -> Result<(Vec<SymbolFacts<'_>>, Option<String>)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer<'a> {
        ret_code: i64,
        #[serde(borrow)]
        result: Page<'a>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page<'a> {
        #[serde(borrow)]
        list: Vec<SymbolFacts<'a>>,
        #[serde(borrow)]
        next_page_cursor: Option<Cow<'a, str>>,
    }
    let answer: Answer<'_> =
        simd_json::from_slice(body).map_err(|e| DecodeError::ExchangeInfo(e.to_string()))?;
    check_code(answer.ret_code)?;
    let next = answer.result.next_page_cursor.filter(|c| !c.is_empty());
    Ok((answer.result.list, next.map(Cow::into_owned)))
}

impl SymbolFacts<'_> {
    /// The instrument, if this program can represent it; at `fixed` scales where it has them already.
    pub fn instrument(
        &self,
        venue: VenueId,
        category: Category,
        fixed: Option<(Scale, Scale)>,
    ) -> Result<Instrument> {
        let (prices, lots) = (&self.price_filter, &self.lot_size_filter);
        let step = match category {
            Category::Spot => given(lots.base_precision.as_ref()).ok_or("basePrecision"),
            Category::Linear => given(lots.qty_step.as_ref()).ok_or("qtyStep"),
        }
        .map_err(DecodeError::Missing)?;
        let price_min = given(prices.min_price.as_ref());
        let price_max = given(prices.max_price.as_ref());
        let qty_min = given(lots.min_order_qty.as_ref());
        let qty_max =
            given(lots.max_limit_order_qty.as_ref()).or_else(|| given(lots.max_order_qty.as_ref()));
        let market_max = given(lots.max_mkt_order_qty.as_ref())
            .or_else(|| given(lots.max_market_order_qty.as_ref()));
        let notional_min =
            given(lots.min_notional_value.as_ref()).or_else(|| given(lots.min_order_amt.as_ref()));

        let grid = [&*prices.tick_size, price_min.unwrap_or("0")];
        let (price_scale, qty_scale) = match fixed {
            Some(scales) => scales,
            None => (
                scale("tickSize", grid, price_max)?,
                scale("qtyStep", [step, qty_min.unwrap_or("0")], qty_max)?,
            ),
        };
        let qty = |field, text: Option<&str>| {
            Qty::parse(text.unwrap_or("0").as_bytes(), qty_scale)
                .map_err(|e| DecodeError::field(field, e))
        };
        let price = |field, text: Option<&str>| {
            Qty::parse(text.unwrap_or("0").as_bytes(), price_scale)
                .map(|q| Price(q.0))
                .map_err(|e| DecodeError::field(field, e))
        };
        let name = InstrumentName {
            venue,
            symbol: self.symbol.clone().into_owned(),
        };
        let (maker_fee, taker_fee) = match category {
            Category::Spot => FEES_SPOT,
            Category::Linear => FEES_LINEAR,
        };
        let scales = (price_scale, qty_scale);
        Ok(Instrument {
            contract: self.contract(category)?,
            funding_minutes: self.funding_interval.unwrap_or(0),
            tick: price("tickSize", Some(&prices.tick_size))?.max(Price(1)),
            lot: qty("qtyStep", Some(step))?.max(Qty(1)),
            qty_min: qty("minOrderQty", qty_min)?,
            qty_max: qty("maxOrderQty", qty_max)?,
            market_qty_max: value::qty_bound(
                "maxMktOrderQty",
                market_max.unwrap_or("0"),
                qty_scale,
            )?,
            price_min: price("minPrice", price_min)?,
            price_max: price("maxPrice", price_max)?,
            band: self.band()?,
            notional_min: notional_min.map_or(Ok(Money::ZERO), |text| {
                Money::parse(text)
                    .and_then(|m| {
                        (m >= Money::ZERO)
                            .then_some(m)
                            .ok_or(FixedError::NotPositive)
                    })
                    .map_err(|e| DecodeError::field("minNotionalValue", e))
            })?,
            status: match &*self.status {
                "Trading" => InstrumentStatus::Trading,
                "Delivering" | "Closed" => InstrumentStatus::Delisted,
                _ => InstrumentStatus::Halted,
            },
            maker_fee,
            taker_fee,
            ..Instrument::unlimited(name, &self.base_coin, &self.quote_coin, scales)
        })
    }

    fn contract(&self, category: Category) -> Result<Contract> {
        match (category, self.contract_type.as_deref()) {
            (Category::Spot, _) => Ok(Contract::Spot),
            (Category::Linear, Some("LinearPerpetual")) => Ok(Contract::LinearPerpetual),
            (Category::Linear, Some("LinearFutures")) => {
                let text = given(self.delivery_time.as_ref());
                let text = text.ok_or(DecodeError::Missing("deliveryTime"))?;
                let delivery = value::time("deliveryTime", text)?;
                Ok(Contract::LinearFuture { delivery })
            }
            (Category::Linear, Some(_)) => {
                let why = FieldFault::Type("LinearPerpetual or LinearFutures");
                Err(DecodeError::field("contractType", why))
            }
            (Category::Linear, None) => Err(DecodeError::Missing("contractType")),
        }
    }

    /// A buy may not lie too far above the market, nor a sale too far below it; the other way there
    /// is no bound. The formula takes two ratios and bends with the index price: the wider one is what
    /// can be said for sure.
    fn band(&self) -> Result<Option<PriceBand>> {
        let Some(risk) = &self.risk_parameters else {
            return Ok(None);
        };
        let ratio = |field, text: &Option<Cow<'_, str>>| {
            let rate = given(text.as_ref()).map(Rate::parse).transpose();
            let rate = rate.map_err(|e| DecodeError::field(field, e))?;
            if rate.is_some_and(|r| r < Rate(0)) {
                return Err(DecodeError::field(field, FixedError::NotPositive));
            }
            Ok(rate.filter(|r| *r > Rate(0)))
        };
        let x = ratio("priceLimitRatioX", &risk.price_limit_ratio_x)?;
        let y = ratio("priceLimitRatioY", &risk.price_limit_ratio_y)?;
        let Some(Rate(ratio)) = x.max(y) else {
            return Ok(None);
        };
        Ok(Some(PriceBand {
            reference: BandReference::LastOrMark,
            buy: (Rate(0), Rate(Rate::ONE.0.saturating_add(ratio))),
            sell: (
                Rate(Rate::ONE.0.saturating_sub(ratio).max(0)),
                Rate(i64::MAX),
            ),
        }))
    }
}

/// A text that is there and not empty.
fn given<'a>(text: Option<&'a Cow<'_, str>>) -> Option<&'a str> {
    text.map(|text| &**text).filter(|text| !text.is_empty())
}
