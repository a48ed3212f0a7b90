//! Bybit's spellings: topics and REST rows, fields in the order of its own samples.

use crate::kernel::event::{Liquidation, Trade};
use crate::kernel::types::{HOUR, Side, Time};
use crate::venue::sim::candles::Bar;
use crate::venue::sim::market::MarketKind;
use crate::venue::sim::number::{array, levels, put, rate};
use crate::venue::sim::symbol::Symbol;

use super::window::Window;

/// An order book topic's message.
pub(super) fn book(
    symbol: &Symbol,
    time: Time,
    topic: &str,
    kind: &str,
    u: u64,
    window: &Window,
) -> String {
    let scales = symbol.scales();
    let ms = time.millis();
    // Spot puts the time first.
    let mut text = match symbol.kind {
        MarketKind::BybitSpot => {
            format!("{{\"topic\":\"{topic}\",\"ts\":{ms},\"type\":\"{kind}\",")
        }
        _ => format!("{{\"topic\":\"{topic}\",\"type\":\"{kind}\",\"ts\":{ms},"),
    };
    put!(
        text,
        "\"data\":{{\"s\":\"{}\",\"b\":",
        symbol.instrument.name.symbol
    );
    levels(&mut text, scales, window.bids.iter().copied());
    text.push_str(",\"a\":");
    levels(&mut text, scales, window.asks.iter().copied());
    put!(
        text,
        ",\"u\":{u},\"seq\":{}}},\"cts\":{}}}",
        window.seq,
        window.changed.millis()
    );
    text
}

/// `Buy` or `Sell`.
const fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "Buy",
        Side::Sell => "Sell",
    }
}

/// A trade's id: a number on spot, a UUID on futures, the same one for the same trade.
pub(super) fn trade_id(symbol: &Symbol, trade: &Trade) -> String {
    if symbol.kind == MarketKind::BybitSpot {
        return trade.id.to_string();
    }
    let mut seed = symbol.instrument.name.symbol.clone().into_bytes();
    seed.extend(trade.id.to_le_bytes());
    let hash = xxhash_rust::xxh3::xxh3_128(&seed);
    let hex = format!("{hash:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-5{}-a{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}

/// `publicTrade`: trades with their `seq` and tick direction.
pub(super) fn trades<'a>(
    symbol: &Symbol,
    time: Time,
    topic: &str,
    trades: impl Iterator<Item = (&'a Trade, u64, &'a str)>,
) -> String {
    let scales = symbol.scales();
    let name = &symbol.instrument.name.symbol;
    let rows = array(trades, |to, (trade, seq, direction)| {
        put!(
            to,
            "{{\"T\":{},\"s\":\"{name}\",\"S\":\"{}\",\"v\":\"{}\",\"p\":\"{}\",",
            trade.time.millis(),
            side(trade.taker),
            scales.qty(trade.qty),
            scales.price(trade.price),
        );
        if symbol.kind == MarketKind::BybitLinear {
            put!(to, "\"L\":\"{direction}\",");
        }
        put!(
            to,
            "\"i\":\"{}\",\"BT\":false,\"RPI\":false,\"seq\":{seq}}}",
            trade_id(symbol, trade)
        );
    });
    format!(
        "{{\"topic\":\"{topic}\",\"type\":\"snapshot\",\"ts\":{},\"data\":{rows}}}",
        time.millis()
    )
}

/// A row of `recent-trade`.
pub(super) fn recent_trade(to: &mut String, symbol: &Symbol, trade: &Trade) {
    let scales = symbol.scales();
    put!(
        to,
        "{{\"execId\":\"{}\",\"symbol\":\"{}\",\"price\":\"{}\",\"size\":\"{}\",\"side\":\"{}\",\"time\":\"{}\",\"isBlockTrade\":false,\"isRPITrade\":false,\"seq\":\"{}\"}}",
        trade_id(symbol, trade),
        symbol.instrument.name.symbol,
        scales.price(trade.price),
        scales.qty(trade.qty),
        side(trade.taker),
        trade.time.millis(),
        symbol.seq,
    );
}

/// `kline`.
pub(super) fn kline(
    symbol: &Symbol,
    time: Time,
    topic: &str,
    interval: &str,
    bar: &Bar,
    closed: bool,
) -> String {
    let scales = symbol.scales();
    // The last matched trade, within the candle.
    let traded = symbol.trades.iter().rev().map(|trade| trade.time);
    let traded = traded
        .into_iter()
        .find(|time| *time < bar.end)
        .map_or(bar.open_time, |time| time.max(bar.open_time));
    format!(
        "{{\"topic\":\"{topic}\",\"data\":[{{\"start\":{},\"end\":{},\"interval\":\"{interval}\",\"open\":\"{}\",\"close\":\"{}\",\"high\":\"{}\",\"low\":\"{}\",\"volume\":\"{}\",\"turnover\":\"{}\",\"confirm\":{closed},\"timestamp\":{}}}],\"ts\":{},\"type\":\"snapshot\"}}",
        bar.open_time.millis(),
        bar.end.millis() - 1,
        scales.price(bar.open),
        scales.price(bar.close),
        scales.price(bar.high),
        scales.price(bar.low),
        scales.volume(bar.volume),
        scales.quote(bar.quote_volume),
        traded.millis(),
        time.millis(),
    )
}

/// A row of `GET kline`.
pub(super) fn kline_row(to: &mut String, symbol: &Symbol, bar: &Bar) {
    let scales = symbol.scales();
    put!(
        to,
        "[\"{}\",\"{}\",\"{}\",\"{}\",\"{}\",\"{}\",\"{}\"]",
        bar.open_time.millis(),
        scales.price(bar.open),
        scales.price(bar.high),
        scales.price(bar.low),
        scales.price(bar.close),
        scales.volume(bar.volume),
        scales.quote(bar.quote_volume),
    );
}

/// `allLiquidation`: `Buy` says that a long was liquidated.
pub(super) fn liquidations(
    symbol: &Symbol,
    time: Time,
    topic: &str,
    liquidations: &[Liquidation],
) -> String {
    let scales = symbol.scales();
    let rows = array(liquidations, |to, liquidation| {
        put!(
            to,
            "{{\"T\":{},\"s\":\"{}\",\"S\":\"{}\",\"v\":\"{}\",\"p\":\"{}\"}}",
            liquidation.time.millis(),
            symbol.instrument.name.symbol,
            side(liquidation.side.opposite()),
            scales.qty(liquidation.qty),
            scales.price(liquidation.price),
        );
    });
    format!(
        "{{\"topic\":\"{topic}\",\"type\":\"snapshot\",\"ts\":{},\"data\":{rows}}}",
        time.millis()
    )
}

/// The fields of a ticker, in order; in a difference those that changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Ticker(Vec<(&'static str, String)>);

impl Ticker {
    /// The present figures.
    pub(super) fn of(symbol: &Symbol, now: Time) -> Self {
        let scales = symbol.scales();
        let mut fields = Vec::new();
        let mut put = |name: &'static str, value: String| fields.push((name, value));
        if let Some(day) = symbol.candles.day(now) {
            let (open, close) = (i128::from(day.bar.open.0), i128::from(day.bar.close.0));
            let millionths = (close - open).saturating_mul(1_000_000) / open.max(1);
            let percent = crate::venue::sim::number::Number::new(millionths, 6, 6);
            put("price24hPcnt", percent.to_string());
            put("lastPrice", scales.price(day.bar.close).to_string());
            put("prevPrice24h", scales.price(day.bar.open).to_string());
            put("highPrice24h", scales.price(day.bar.high).to_string());
            put("lowPrice24h", scales.price(day.bar.low).to_string());
            put(
                "turnover24h",
                scales.quote(day.bar.quote_volume).to_string(),
            );
            put("volume24h", scales.volume(day.bar.volume).to_string());
        }
        if symbol.kind == MarketKind::BybitSpot {
            if let Some(price) = symbol.last_price() {
                put("usdIndexPrice", scales.price(price).to_string());
            }
            return Self(fields);
        }
        let hour_ago = now.plus(-HOUR);
        let minutes = symbol.candles.bars("1m");
        if let Some(bar) =
            minutes.and_then(|bars| bars.iter().rev().find(|bar| bar.open_time <= hour_ago))
        {
            put("prevPrice1h", scales.price(bar.close).to_string());
        }
        let figures = &symbol.derivative;
        if let (Some(mark), Some(index)) = (figures.mark, figures.index) {
            put("markPrice", scales.mark(mark).to_string());
            put("indexPrice", scales.mark(index).to_string());
            if let Some(open) = figures.open_interest {
                let value = scales.worth(open, mark).to_string();
                put("openInterest", scales.volume(open).to_string());
                put("openInterestValue", value.clone());
                put("singleOpenInterest", scales.volume(open).to_string());
                put("singleOpenInterestValue", value);
            }
        }
        if let (Some(funding), Some(next)) = (figures.funding_rate, figures.next_funding) {
            put("nextFundingTime", next.millis().to_string());
            put("fundingRate", rate(funding).to_string());
            let hours = symbol.instrument.funding_minutes / 60;
            put("fundingIntervalHour", hours.to_string());
            put("fundingCap", "0.005".to_owned());
        }
        if let Some(quote) = symbol.quote {
            put("bid1Price", scales.price(quote.bid.price).to_string());
            put("bid1Size", scales.qty(quote.bid.qty).to_string());
            put("ask1Price", scales.price(quote.ask.price).to_string());
            put("ask1Size", scales.qty(quote.ask.qty).to_string());
        }
        Self(fields)
    }

    /// The fields that are other ones than in `old`.
    pub(super) fn since(&self, old: &Self) -> Self {
        let changed = self.0.iter().filter(|field| !old.0.contains(field));
        Self(changed.cloned().collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The object of the fields.
    pub(super) fn fields(&self, symbol: &Symbol) -> String {
        let mut text = format!("{{\"symbol\":\"{}\"", symbol.instrument.name.symbol);
        for (name, value) in &self.0 {
            put!(text, ",\"{name}\":\"{value}\"");
        }
        text.push('}');
        text
    }

    /// The topic's message.
    pub(super) fn text(&self, symbol: &Symbol, time: Time, topic: &str, kind: &str) -> String {
        format!(
            "{{\"topic\":\"{topic}\",\"type\":\"{kind}\",\"data\":{},\"cs\":{},\"ts\":{}}}",
            self.fields(symbol),
            symbol.seq,
            time.millis(),
        )
    }
}

/// A row of `GET tickers`: best prices on spot as well.
pub(super) fn ticker_row(to: &mut String, symbol: &Symbol, now: Time) {
    let mut ticker = Ticker::of(symbol, now);
    if symbol.kind == MarketKind::BybitSpot
        && let Some(quote) = symbol.quote
    {
        let scales = symbol.scales();
        ticker.0.extend([
            ("bid1Price", scales.price(quote.bid.price).to_string()),
            ("bid1Size", scales.qty(quote.bid.qty).to_string()),
            ("ask1Price", scales.price(quote.ask.price).to_string()),
            ("ask1Size", scales.qty(quote.ask.qty).to_string()),
        ]);
    }
    if symbol.kind == MarketKind::BybitLinear {
        ticker.0.extend([
            ("predictedDeliveryPrice", String::new()),
            ("basisRate", String::new()),
            ("deliveryFeeRate", String::new()),
            ("deliveryTime", "0".to_owned()),
        ]);
    }
    to.push_str(&ticker.fields(symbol));
}
