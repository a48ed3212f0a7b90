//! Binance's spellings: stream payloads and REST rows, fields in the order of its own samples.
//!
//! Symbols are letters and digits only (checked where instruments are made), so nothing here needs
//! escaping. Prices and quantities have eight decimals, as Binance writes them.

use std::fmt;

use super::candles::{Bar, Day};
use super::symbol::{Symbol, buyer_is_maker};
use crate::kernel::event::{DepthDelta, Level, Quote, Trade};
use crate::kernel::types::{Instrument, Price, Qty, Time};

/// Digits behind the point in everything that Binance sends.
const DIGITS: u8 = 8;

/// A number with eight decimals; finer ones (turnover) are cut off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Eight(i128);

impl Eight {
    /// `value / 10^scale`.
    pub(super) fn new(value: i128, scale: u8) -> Self {
        Self(if scale <= DIGITS {
            value.saturating_mul(10_i128.pow(u32::from(DIGITS - scale)))
        } else {
            value / 10_i128.pow(u32::from(scale - DIGITS).min(38))
        })
    }
}

impl fmt::Display for Eight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let digits = self.0.unsigned_abs();
        let unit = 10_u128.pow(u32::from(DIGITS));
        write!(f, "{sign}{}.{:08}", digits / unit, digits % unit)
    }
}

/// The scales of an instrument, as a writer of its numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scales {
    price: u8,
    qty: u8,
}

impl Scales {
    /// Of this instrument.
    pub(super) fn of(instrument: &Instrument) -> Self {
        Self {
            price: instrument.price_scale.digits(),
            qty: instrument.qty_scale.digits(),
        }
    }

    /// A price.
    pub(super) fn price(self, price: Price) -> Eight {
        Eight::new(i128::from(price.0), self.price)
    }

    /// A difference of prices or a mean price.
    pub(super) fn price_i128(self, price: i128) -> Eight {
        Eight::new(price, self.price)
    }

    /// A quantity.
    pub(super) fn qty(self, qty: Qty) -> Eight {
        Eight::new(i128::from(qty.0), self.qty)
    }

    /// A base volume.
    pub(super) fn volume(self, volume: i128) -> Eight {
        Eight::new(volume, self.qty)
    }

    /// A quote volume.
    pub(super) fn quote(self, volume: i128) -> Eight {
        Eight::new(volume, self.price.saturating_add(self.qty))
    }

    /// What a trade was worth.
    pub(super) fn value(self, trade: &Trade) -> Eight {
        self.quote(i128::from(trade.price.0).saturating_mul(i128::from(trade.qty.0)))
    }
}

/// Appends formatted text; writing into a `String` cannot fail.
macro_rules! put {
    ($to:expr, $($arg:tt)*) => {
        {
            use std::fmt::Write as _;
            let written = write!($to, $($arg)*);
            assert!(written.is_ok(), "a String takes everything");
        }
    };
}
pub(super) use put;

/// `[["price","qty"],…]`.
pub(super) fn levels(to: &mut String, scales: Scales, levels: impl IntoIterator<Item = Level>) {
    to.push('[');
    for (at, level) in levels.into_iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let (price, qty) = (scales.price(level.price), scales.qty(level.qty));
        put!(to, "{comma}[\"{price}\",\"{qty}\"]");
    }
    to.push(']');
}

/// `GET /api/v3/depth` and the payload of `@depth<N>`.
pub(super) fn depth_snapshot(symbol: &Symbol, limit: usize) -> String {
    let scales = Scales::of(&symbol.instrument);
    let mut text = format!("{{\"lastUpdateId\":{},\"bids\":", symbol.book.last_id());
    levels(&mut text, scales, symbol.book.bids().take(limit));
    text.push_str(",\"asks\":");
    levels(&mut text, scales, symbol.book.asks().take(limit));
    text.push('}');
    text
}

/// `depthUpdate`.
pub(super) fn depth_update(instrument: &Instrument, time: Time, delta: &DepthDelta) -> String {
    let scales = Scales::of(instrument);
    let mut text = format!(
        "{{\"e\":\"depthUpdate\",\"E\":{},\"s\":\"{}\",\"U\":{},\"u\":{},\"b\":",
        time.millis(),
        instrument.name.symbol,
        delta.first_id,
        delta.last_id,
    );
    levels(&mut text, scales, delta.bids.iter().copied());
    text.push_str(",\"a\":");
    levels(&mut text, scales, delta.asks.iter().copied());
    text.push('}');
    text
}

/// `trade`.
pub(super) fn trade(instrument: &Instrument, time: Time, trade: &Trade) -> String {
    let scales = Scales::of(instrument);
    format!(
        "{{\"e\":\"trade\",\"E\":{},\"s\":\"{}\",\"t\":{},\"p\":\"{}\",\"q\":\"{}\",\"T\":{},\"m\":{},\"M\":true}}",
        time.millis(),
        instrument.name.symbol,
        trade.id,
        scales.price(trade.price),
        scales.qty(trade.qty),
        trade.time.millis(),
        buyer_is_maker(trade),
    )
}

/// `aggTrade` of a single trade.
pub(super) fn agg_trade(instrument: &Instrument, time: Time, trade: &Trade) -> String {
    format!(
        "{{\"e\":\"aggTrade\",\"E\":{},\"s\":\"{}\",{}}}",
        time.millis(),
        instrument.name.symbol,
        agg_trade_fields(instrument, trade),
    )
}

/// The part of an aggregate trade that stream and REST share.
pub(super) fn agg_trade_fields(instrument: &Instrument, trade: &Trade) -> String {
    let scales = Scales::of(instrument);
    format!(
        "\"a\":{id},\"p\":\"{}\",\"q\":\"{}\",\"f\":{id},\"l\":{id},\"T\":{},\"m\":{},\"M\":true",
        scales.price(trade.price),
        scales.qty(trade.qty),
        trade.time.millis(),
        buyer_is_maker(trade),
        id = trade.id,
    )
}

/// `bookTicker`.
pub(super) fn book_ticker(instrument: &Instrument, quote: &Quote) -> String {
    let scales = Scales::of(instrument);
    format!(
        "{{\"u\":{},\"s\":\"{}\",\"b\":\"{}\",\"B\":\"{}\",\"a\":\"{}\",\"A\":\"{}\"}}",
        quote.update_id,
        instrument.name.symbol,
        scales.price(quote.bid.price),
        scales.qty(quote.bid.qty),
        scales.price(quote.ask.price),
        scales.qty(quote.ask.qty),
    )
}

/// `kline`.
pub(super) fn kline(
    instrument: &Instrument,
    time: Time,
    interval: &str,
    bar: &Bar,
    closed: bool,
) -> String {
    let scales = Scales::of(instrument);
    let symbol = &instrument.name.symbol;
    let mut text = format!(
        "{{\"e\":\"kline\",\"E\":{},\"s\":\"{symbol}\",\"k\":{{\"t\":{},\"T\":{},\"s\":\"{symbol}\",\"i\":\"{interval}\",",
        time.millis(),
        bar.open_time.millis(),
        bar.end.millis() - 1,
    );
    match bar.ids {
        Some((first, last)) => put!(text, "\"f\":{first},\"L\":{last},"),
        None => text.push_str("\"f\":-1,\"L\":-1,"),
    }
    put!(
        text,
        "\"o\":\"{}\",\"c\":\"{}\",\"h\":\"{}\",\"l\":\"{}\",\"v\":\"{}\",\"n\":{},\"x\":{closed},\"q\":\"{}\",\"V\":\"{}\",\"Q\":\"{}\",\"B\":\"0\"}}}}",
        scales.price(bar.open),
        scales.price(bar.close),
        scales.price(bar.high),
        scales.price(bar.low),
        scales.volume(bar.volume),
        bar.trades,
        scales.quote(bar.quote_volume),
        scales.volume(bar.taker_volume),
        scales.quote(bar.taker_quote_volume),
    );
    text
}

/// A row of `GET /api/v3/klines`.
pub(super) fn kline_row(to: &mut String, scales: Scales, bar: &Bar) {
    put!(
        to,
        "[{},\"{}\",\"{}\",\"{}\",\"{}\",\"{}\",{},\"{}\",{},\"{}\",\"{}\",\"0\"]",
        bar.open_time.millis(),
        scales.price(bar.open),
        scales.price(bar.high),
        scales.price(bar.low),
        scales.price(bar.close),
        scales.volume(bar.volume),
        bar.end.millis() - 1,
        scales.quote(bar.quote_volume),
        bar.trades,
        scales.volume(bar.taker_volume),
        scales.quote(bar.taker_quote_volume),
    );
}

/// `24hrMiniTicker`.
pub(super) fn mini_ticker(instrument: &Instrument, time: Time, day: &Day) -> String {
    let scales = Scales::of(instrument);
    format!(
        "{{\"e\":\"24hrMiniTicker\",\"E\":{},\"s\":\"{}\",\"c\":\"{}\",\"o\":\"{}\",\"h\":\"{}\",\"l\":\"{}\",\"v\":\"{}\",\"q\":\"{}\"}}",
        time.millis(),
        instrument.name.symbol,
        scales.price(day.bar.close),
        scales.price(day.bar.open),
        scales.price(day.bar.high),
        scales.price(day.bar.low),
        scales.volume(day.bar.volume),
        scales.quote(day.bar.quote_volume),
    )
}

/// The figures that both forms of the 24-hour ticker show beside the candle's own.
#[derive(Debug)]
struct DayFigures {
    change: Eight,
    percent: String,
    mean: Eight,
    last_qty: Eight,
    quote: Quote,
    ids: (i128, i128),
}

fn figures(symbol: &Symbol, day: &Day) -> DayFigures {
    let scales = Scales::of(&symbol.instrument);
    let change = i128::from(day.bar.close.0) - i128::from(day.bar.open.0);
    let thousandths = change.saturating_mul(100_000) / i128::from(day.bar.open.0.max(1));
    let sign = if thousandths < 0 { "-" } else { "" };
    let percent = thousandths.unsigned_abs();
    let none = Level {
        price: Price(0),
        qty: Qty::ZERO,
    };
    let volume = day.bar.volume;
    DayFigures {
        change: scales.price_i128(change),
        percent: format!("{sign}{}.{:03}", percent / 1_000, percent % 1_000),
        // Turnover / volume leaves a price at the price scale.
        mean: scales.price_i128(day.bar.quote_volume.checked_div(volume).unwrap_or(0)),
        last_qty: scales.qty(symbol.trades.back().map_or(Qty::ZERO, |trade| trade.qty)),
        quote: symbol.quote.unwrap_or(Quote {
            update_id: 0,
            bid: none,
            ask: none,
        }),
        ids: day
            .bar
            .ids
            .map_or((-1, -1), |(first, last)| (first.into(), last.into())),
    }
}

/// `24hrTicker`.
pub(super) fn ticker(symbol: &Symbol, time: Time, day: &Day) -> String {
    let scales = Scales::of(&symbol.instrument);
    let more = figures(symbol, day);
    let (open_time, close_time) = window(time);
    format!(
        concat!(
            "{{\"e\":\"24hrTicker\",\"E\":{},\"s\":\"{}\",\"p\":\"{}\",\"P\":\"{}\",\"w\":\"{}\",",
            "\"x\":\"{}\",\"c\":\"{}\",\"Q\":\"{}\",\"b\":\"{}\",\"B\":\"{}\",\"a\":\"{}\",\"A\":\"{}\",",
            "\"o\":\"{}\",\"h\":\"{}\",\"l\":\"{}\",\"v\":\"{}\",\"q\":\"{}\",\"O\":{},\"C\":{},",
            "\"F\":{},\"L\":{},\"n\":{}}}"
        ),
        time.millis(),
        symbol.instrument.name.symbol,
        more.change,
        more.percent,
        more.mean,
        scales.price(day.before),
        scales.price(day.bar.close),
        more.last_qty,
        scales.price(more.quote.bid.price),
        scales.qty(more.quote.bid.qty),
        scales.price(more.quote.ask.price),
        scales.qty(more.quote.ask.qty),
        scales.price(day.bar.open),
        scales.price(day.bar.high),
        scales.price(day.bar.low),
        scales.volume(day.bar.volume),
        scales.quote(day.bar.quote_volume),
        open_time,
        close_time,
        more.ids.0,
        more.ids.1,
        day.bar.trades,
    )
}

/// `GET /api/v3/ticker/24hr` of one symbol.
pub(super) fn ticker_rest(symbol: &Symbol, time: Time, day: &Day) -> String {
    let scales = Scales::of(&symbol.instrument);
    let more = figures(symbol, day);
    let (open_time, close_time) = window(time);
    format!(
        concat!(
            "{{\"symbol\":\"{}\",\"priceChange\":\"{}\",\"priceChangePercent\":\"{}\",",
            "\"weightedAvgPrice\":\"{}\",\"prevClosePrice\":\"{}\",\"lastPrice\":\"{}\",",
            "\"lastQty\":\"{}\",\"bidPrice\":\"{}\",\"bidQty\":\"{}\",\"askPrice\":\"{}\",",
            "\"askQty\":\"{}\",\"openPrice\":\"{}\",\"highPrice\":\"{}\",\"lowPrice\":\"{}\",",
            "\"volume\":\"{}\",\"quoteVolume\":\"{}\",\"openTime\":{},\"closeTime\":{},",
            "\"firstId\":{},\"lastId\":{},\"count\":{}}}"
        ),
        symbol.instrument.name.symbol,
        more.change,
        more.percent,
        more.mean,
        scales.price(day.before),
        scales.price(day.bar.close),
        more.last_qty,
        scales.price(more.quote.bid.price),
        scales.qty(more.quote.bid.qty),
        scales.price(more.quote.ask.price),
        scales.qty(more.quote.ask.qty),
        scales.price(day.bar.open),
        scales.price(day.bar.high),
        scales.price(day.bar.low),
        scales.volume(day.bar.volume),
        scales.quote(day.bar.quote_volume),
        open_time,
        close_time,
        more.ids.0,
        more.ids.1,
        day.bar.trades,
    )
}

/// Start and end of the 24-hour window in milliseconds.
fn window(time: Time) -> (i64, i64) {
    let end = time.millis();
    (end - 86_400_000, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_decimals_at_every_scale() {
        for (value, scale, text) in [
            (6_168_599, 2, "61685.99000000"),
            (1, 8, "0.00000001"),
            (7, 0, "7.00000000"),
            (0, 5, "0.00000000"),
            (-25, 1, "-2.50000000"),
            (123_456_789_012, 10, "12.34567890"),
        ] {
            assert_eq!(Eight::new(value, scale).to_string(), text);
        }
    }
}
