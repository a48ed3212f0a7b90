//! Binance's spellings, spot and USDⓈ-M: stream payloads and REST rows, fields in the order of its own
//! samples.

use crate::kernel::event::{DepthDelta, Derivative, Level, Liquidation, Quote, Trade};
use crate::kernel::types::{MarkPrice, Price, Qty, Rate, Side, Time};
use crate::venue::sim::candles::{Bar, Day};
use crate::venue::sim::market::MarketKind;
use crate::venue::sim::number::{Number, Scales, levels, put, rate};
use crate::venue::sim::symbol::{Symbol, buyer_is_maker};

/// What futures have behind every event since they were merged with those margined in coins.
const FUTURES_TAIL: &str = ",\"st\":1}";

/// The end of an event.
fn end(symbol: &Symbol) -> &'static str {
    match symbol.kind {
        MarketKind::Usdm => FUTURES_TAIL,
        _ => "}",
    }
}

/// `"s":"…"`, with the pair on futures.
fn names(symbol: &Symbol) -> String {
    let name = &symbol.instrument.name.symbol;
    match symbol.kind {
        MarketKind::Usdm => format!("\"s\":\"{name}\",\"ps\":\"{name}\""),
        _ => format!("\"s\":\"{name}\""),
    }
}

/// `GET depth`, and on spot the payload of `@depth<N>`.
pub(super) fn depth_snapshot(symbol: &Symbol, limit: usize, times: Option<(Time, Time)>) -> String {
    let scales = symbol.scales();
    let mut text = format!("{{\"lastUpdateId\":{},", symbol.book.last_id());
    if let Some((sent, changed)) = times {
        put!(text, "\"E\":{},\"T\":{},", sent.millis(), changed.millis());
    }
    text.push_str("\"bids\":");
    levels(&mut text, scales, symbol.book.bids().take(limit));
    text.push_str(",\"asks\":");
    levels(&mut text, scales, symbol.book.asks().take(limit));
    text.push('}');
    text
}

/// `depthUpdate`.
pub(super) fn depth_update(symbol: &Symbol, time: Time, delta: &DepthDelta) -> String {
    let sides = (delta.bids.iter().copied(), delta.asks.iter().copied());
    depth_event(symbol, time, delta, sides)
}

/// The partial depth of futures: an update by its shape, the whole top of the book by its contents.
pub(super) fn depth_top(symbol: &Symbol, time: Time, delta: &DepthDelta, limit: usize) -> String {
    let book = &symbol.book;
    let sides = (book.bids().take(limit), book.asks().take(limit));
    depth_event(symbol, time, delta, sides)
}

fn depth_event(
    symbol: &Symbol,
    time: Time,
    delta: &DepthDelta,
    (bids, asks): (impl Iterator<Item = Level>, impl Iterator<Item = Level>),
) -> String {
    let scales = symbol.scales();
    let ms = time.millis();
    let mut text = format!("{{\"e\":\"depthUpdate\",\"E\":{ms},");
    if symbol.kind == MarketKind::Usdm {
        put!(text, "\"T\":{ms},");
    }
    put!(
        text,
        "{},\"U\":{},\"u\":{},",
        names(symbol),
        delta.first_id,
        delta.last_id
    );
    if symbol.kind == MarketKind::Usdm {
        put!(text, "\"pu\":{},", delta.prev_id);
    }
    text.push_str("\"b\":");
    levels(&mut text, scales, bids);
    text.push_str(",\"a\":");
    levels(&mut text, scales, asks);
    text.push_str(end(symbol));
    text
}

/// `trade`.
pub(super) fn trade(symbol: &Symbol, time: Time, trade: &Trade) -> String {
    let scales = symbol.scales();
    format!(
        "{{\"e\":\"trade\",\"E\":{},\"s\":\"{}\",\"t\":{},\"p\":\"{}\",\"q\":\"{}\",\"T\":{},\"m\":{},\"M\":true}}",
        time.millis(),
        symbol.instrument.name.symbol,
        trade.id,
        scales.price(trade.price),
        scales.qty(trade.qty),
        trade.time.millis(),
        buyer_is_maker(trade),
    )
}

/// `aggTrade`.
pub(super) fn agg_trade(symbol: &Symbol, time: Time, trade: &Trade) -> String {
    format!(
        "{{\"e\":\"aggTrade\",\"E\":{},\"s\":\"{}\",{}{}",
        time.millis(),
        symbol.instrument.name.symbol,
        agg_trade_fields(symbol, trade),
        end(symbol),
    )
}

/// The part of an aggregate trade that stream and REST share.
pub(super) fn agg_trade_fields(symbol: &Symbol, trade: &Trade) -> String {
    let scales = symbol.scales();
    let qty = scales.qty(trade.qty);
    let (normal, last) = match symbol.kind {
        MarketKind::Usdm => (format!("\"nq\":\"{qty}\","), ""),
        _ => (String::new(), ",\"M\":true"),
    };
    format!(
        "\"a\":{},\"p\":\"{}\",\"q\":\"{qty}\",{normal}\"f\":{},\"l\":{},\"T\":{},\"m\":{}{last}",
        trade.id,
        scales.price(trade.price),
        trade.first_id,
        trade.last_id,
        trade.time.millis(),
        buyer_is_maker(trade),
    )
}

/// `bookTicker`, which has neither kind nor time on spot.
pub(super) fn book_ticker(symbol: &Symbol, time: Time, quote: &Quote) -> String {
    let scales = symbol.scales();
    let ms = time.millis();
    let (head, times) = match symbol.kind {
        MarketKind::Usdm => ("\"e\":\"bookTicker\",", format!(",\"T\":{ms},\"E\":{ms}")),
        _ => ("", String::new()),
    };
    format!(
        "{{{head}\"u\":{},{},\"b\":\"{}\",\"B\":\"{}\",\"a\":\"{}\",\"A\":\"{}\"{times}{}",
        quote.update_id,
        names(symbol),
        scales.price(quote.bid.price),
        scales.qty(quote.bid.qty),
        scales.price(quote.ask.price),
        scales.qty(quote.ask.qty),
        end(symbol),
    )
}

/// `kline`.
pub(super) fn kline(
    symbol: &Symbol,
    time: Time,
    interval: &str,
    bar: &Bar,
    closed: bool,
) -> String {
    let scales = symbol.scales();
    let name = &symbol.instrument.name.symbol;
    let mut text = format!(
        "{{\"e\":\"kline\",\"E\":{},\"s\":\"{name}\",\"k\":{{\"t\":{},\"T\":{},\"s\":\"{name}\",\"i\":\"{interval}\",",
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
        "\"o\":\"{}\",\"c\":\"{}\",\"h\":\"{}\",\"l\":\"{}\",\"v\":\"{}\",\"n\":{},\"x\":{closed},\"q\":\"{}\",\"V\":\"{}\",\"Q\":\"{}\",\"B\":\"0\"}}",
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
    text.push_str(end(symbol));
    text
}

/// The figures of a perpetual as text: mark, index, estimated settlement, rate.
fn derivative(figures: &Derivative) -> Option<(Number, Number, Number, Number)> {
    let eight = |price: MarkPrice| Number::eight(i128::from(price.0), MarkPrice::SCALE);
    let (mark, index) = (figures.mark?, figures.index?);
    let between = MarkPrice(mark.0.midpoint(index.0));
    let funding = rate(figures.funding_rate.unwrap_or(Rate(0)));
    Some((eight(mark), eight(index), eight(between), funding))
}

/// `markPriceUpdate`.
pub(super) fn mark_price(symbol: &Symbol, time: Time) -> Option<String> {
    let (mark, index, settlement, funding) = derivative(&symbol.derivative)?;
    Some(format!(
        "{{\"e\":\"markPriceUpdate\",\"E\":{},\"s\":\"{}\",\"p\":\"{mark}\",\"i\":\"{index}\",\"P\":\"{settlement}\",\"r\":\"{funding}\",\"ap\":\"{mark}\",\"T\":{}{}",
        time.millis(),
        symbol.instrument.name.symbol,
        symbol
            .derivative
            .next_funding
            .unwrap_or(Time::ZERO)
            .millis(),
        end(symbol),
    ))
}

/// `GET premiumIndex` of one symbol.
pub(super) fn premium_index(symbol: &Symbol, time: Time) -> Option<String> {
    let (mark, index, settlement, funding) = derivative(&symbol.derivative)?;
    Some(format!(
        "{{\"symbol\":\"{}\",\"markPrice\":\"{mark}\",\"indexPrice\":\"{index}\",\"estimatedSettlePrice\":\"{settlement}\",\"lastFundingRate\":\"{funding}\",\"interestRate\":\"0.00010000\",\"nextFundingTime\":{},\"time\":{}}}",
        symbol.instrument.name.symbol,
        symbol
            .derivative
            .next_funding
            .unwrap_or(Time::ZERO)
            .millis(),
        time.millis(),
    ))
}

/// `forceOrder`.
pub(super) fn force_order(symbol: &Symbol, time: Time, liquidation: &Liquidation) -> String {
    let scales = symbol.scales();
    let (price, qty) = (scales.price(liquidation.price), scales.qty(liquidation.qty));
    let side = match liquidation.side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    };
    let name = &symbol.instrument.name.symbol;
    format!(
        "{{\"e\":\"forceOrder\",\"E\":{},\"o\":{{\"s\":\"{name}\",\"S\":\"{side}\",\"o\":\"LIMIT\",\"f\":\"IOC\",\"q\":\"{qty}\",\"p\":\"{price}\",\"ap\":\"{price}\",\"X\":\"FILLED\",\"l\":\"{qty}\",\"z\":\"{qty}\",\"T\":{},\"ps\":\"{name}\",\"st\":1}}}}",
        time.millis(),
        liquidation.time.millis(),
    )
}

/// A row of `GET klines`.
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
pub(super) fn mini_ticker(symbol: &Symbol, time: Time, day: &Day) -> String {
    let scales = symbol.scales();
    format!(
        "{{\"e\":\"24hrMiniTicker\",\"E\":{},{},\"c\":\"{}\",\"o\":\"{}\",\"h\":\"{}\",\"l\":\"{}\",\"v\":\"{}\",\"q\":\"{}\"{}",
        time.millis(),
        names(symbol),
        scales.price(day.bar.close),
        scales.price(day.bar.open),
        scales.price(day.bar.high),
        scales.price(day.bar.low),
        scales.volume(day.bar.volume),
        scales.quote(day.bar.quote_volume),
        end(symbol),
    )
}

/// The figures that both forms of the 24-hour ticker show beside the candle's own.
#[derive(Debug)]
struct DayFigures {
    change: Number,
    percent: String,
    mean: Number,
    last_qty: Number,
    quote: Quote,
    ids: (i128, i128),
}

fn figures(symbol: &Symbol, day: &Day) -> DayFigures {
    let scales = symbol.scales();
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

/// `24hrTicker`: futures show neither best prices nor the close before.
pub(super) fn ticker(symbol: &Symbol, time: Time, day: &Day) -> String {
    let scales = symbol.scales();
    let more = figures(symbol, day);
    let (open_time, close_time) = window(time);
    let mut text = format!(
        "{{\"e\":\"24hrTicker\",\"E\":{},{},\"p\":\"{}\",\"P\":\"{}\",\"w\":\"{}\",",
        time.millis(),
        names(symbol),
        more.change,
        more.percent,
        more.mean,
    );
    if symbol.kind == MarketKind::Spot {
        put!(text, "\"x\":\"{}\",", scales.price(day.before));
    }
    put!(
        text,
        "\"c\":\"{}\",\"Q\":\"{}\",",
        scales.price(day.bar.close),
        more.last_qty
    );
    if symbol.kind == MarketKind::Spot {
        put!(
            text,
            "\"b\":\"{}\",\"B\":\"{}\",\"a\":\"{}\",\"A\":\"{}\",",
            scales.price(more.quote.bid.price),
            scales.qty(more.quote.bid.qty),
            scales.price(more.quote.ask.price),
            scales.qty(more.quote.ask.qty),
        );
    }
    put!(
        text,
        "\"o\":\"{}\",\"h\":\"{}\",\"l\":\"{}\",\"v\":\"{}\",\"q\":\"{}\",\"O\":{open_time},\"C\":{close_time},\"F\":{},\"L\":{},\"n\":{}{}",
        scales.price(day.bar.open),
        scales.price(day.bar.high),
        scales.price(day.bar.low),
        scales.volume(day.bar.volume),
        scales.quote(day.bar.quote_volume),
        more.ids.0,
        more.ids.1,
        day.bar.trades,
        end(symbol),
    );
    text
}

/// `GET ticker/24hr` of one symbol.
pub(super) fn ticker_rest(symbol: &Symbol, time: Time, day: &Day) -> String {
    let scales = symbol.scales();
    let more = figures(symbol, day);
    let (open_time, close_time) = window(time);
    let mut text = format!(
        "{{\"symbol\":\"{}\",\"priceChange\":\"{}\",\"priceChangePercent\":\"{}\",\"weightedAvgPrice\":\"{}\",",
        symbol.instrument.name.symbol, more.change, more.percent, more.mean,
    );
    if symbol.kind == MarketKind::Spot {
        put!(
            text,
            "\"prevClosePrice\":\"{}\",\"bidPrice\":\"{}\",\"bidQty\":\"{}\",\"askPrice\":\"{}\",\"askQty\":\"{}\",",
            scales.price(day.before),
            scales.price(more.quote.bid.price),
            scales.qty(more.quote.bid.qty),
            scales.price(more.quote.ask.price),
            scales.qty(more.quote.ask.qty),
        );
    }
    put!(
        text,
        concat!(
            "\"lastPrice\":\"{}\",\"lastQty\":\"{}\",\"openPrice\":\"{}\",\"highPrice\":\"{}\",",
            "\"lowPrice\":\"{}\",\"volume\":\"{}\",\"quoteVolume\":\"{}\",\"openTime\":{},",
            "\"closeTime\":{},\"firstId\":{},\"lastId\":{},\"count\":{}}}"
        ),
        scales.price(day.bar.close),
        more.last_qty,
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
    );
    text
}

/// Start and end of the 24-hour window in milliseconds.
fn window(time: Time) -> (i64, i64) {
    let end = time.millis();
    (end - 86_400_000, end)
}
