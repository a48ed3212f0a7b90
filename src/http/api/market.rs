//! Tickers, books, candles, trades, instruments.

use super::page;
use crate::http::params::{
    CURSOR, DEPTH, END, ID_CURSOR, INTERVAL, KLINES_LIMIT, LIMIT, SINCE, START, SYMBOLS_LIMIT,
};
use crate::http::query::invalid;
use crate::http::reply::Reply;
use crate::http::routes::{Answer, Call};
use crate::json::Json;
use crate::kernel::event::{BookFault, Candle, Level, Trade};
use crate::kernel::event::{Derivative, Liquidation};
use crate::kernel::snapshot::TickerView;
use crate::kernel::types::{Instrument, InstrumentId, Interval, MarkPrice, Qty, Time};

/// The name of an instrument, in two keys.
pub(super) fn names(json: &mut Json, instrument: &Instrument) {
    json.key("symbol").text(&instrument.name.symbol);
    json.key("venue").text(instrument.name.venue.name());
}

/// A time in milliseconds, `null` for "never".
pub(super) fn time(json: &mut Json, time: Time) {
    if time == Time::ZERO {
        json.null();
    } else {
        json.int(time.millis());
    }
}

/// `GET /api/v1/ticker/{symbol}`.
pub(in crate::http) fn ticker(call: &Call) -> Answer {
    let (id, published) = call.app().instrument(&call.arg)?;
    let instrument = published.instrument.load();
    let ticker = published.ticker.load();
    Ok(Reply::document(call.app().tickers.document(
        (id, call.strings),
        (&instrument, &ticker),
        || ticker_json(call.strings, &instrument, &ticker),
    )))
}

fn ticker_json(strings: bool, instrument: &Instrument, ticker: &TickerView) -> Vec<u8> {
    let (qty_scale, quote_scale) = scales(instrument);
    let mut json = Json::new(strings);
    json.object(|j| {
        names(j, instrument);
        j.key("price").price_or_null(ticker.last_price, instrument);
        j.key("bid")
            .price_or_null(ticker.bid.map(|l| l.price), instrument);
        j.key("ask")
            .price_or_null(ticker.ask.map(|l| l.price), instrument);
        for (name, level) in [("bid_quantity", ticker.bid), ("ask_quantity", ticker.ask)] {
            j.key(name);
            match level {
                Some(level) => j.qty(level.qty, instrument),
                None => j.null(),
            }
        }
        let day = ticker.day.unwrap_or_default();
        let volume = day.volume.unwrap_or(ticker.session_volume);
        j.key("volume").decimal(volume, qty_scale);
        j.key("volume_window").text(match day.volume {
            Some(_) => "24h",
            None => "session",
        });
        j.key("quote_volume");
        match day.quote_volume {
            Some(volume) => j.decimal(volume, quote_scale),
            None => j.null(),
        }
        for (name, price) in [("open", day.open), ("high", day.high), ("low", day.low)] {
            j.key(name).price_or_null(price, instrument);
        }
        if let Some(figures) = ticker.derivative {
            derivative(j, &figures, qty_scale);
            liquidation(j, ticker.last_liquidation, instrument);
        }
        j.key("timestamp");
        time(j, ticker.time);
    });
    json.into_bytes()
}

/// What a derivative has beyond a spot market.
fn derivative(j: &mut Json, figures: &Derivative, qty_scale: u8) {
    for (name, price) in [("mark_price", figures.mark), ("index_price", figures.index)] {
        j.key(name);
        match price {
            Some(price) => j.decimal(i128::from(price.0), MarkPrice::SCALE),
            None => j.null(),
        }
    }
    j.key("funding_rate");
    match figures.funding_rate {
        Some(rate) => j.rate(rate),
        None => j.null(),
    }
    j.key("next_funding");
    match figures.next_funding {
        Some(at) => time(j, at),
        None => j.null(),
    }
    j.key("open_interest");
    match figures.open_interest {
        Some(contracts) => j.decimal(contracts, qty_scale),
        None => j.null(),
    }
}

fn liquidation(j: &mut Json, newest: Option<Liquidation>, instrument: &Instrument) {
    j.key("last_liquidation");
    let Some(newest) = newest else {
        return j.null();
    };
    j.object(|j| {
        j.key("side").text(newest.side.name());
        j.key("price").price(newest.price, instrument);
        j.key("quantity").qty(newest.qty, instrument);
        j.key("timestamp");
        time(j, newest.time);
    });
}

/// Decimal digits of volumes and of turnovers.
fn scales(instrument: &Instrument) -> (u8, u8) {
    let qty = instrument.qty_scale.digits();
    (qty, instrument.price_scale.digits() + qty)
}

/// `GET /api/v1/orderbook/{symbol}`.
pub(in crate::http) fn orderbook(call: &Call) -> Answer {
    let (_, published) = call.app().instrument(&call.arg)?;
    let depth = call.query.limit(&DEPTH)?;
    let instrument = published.instrument.load();
    let book = published.book.load();
    let mut json = Json::new(call.strings);
    json.object(|j| {
        names(j, &instrument);
        j.key("bids");
        levels(j, book.bids.iter().take(depth), &instrument);
        j.key("asks");
        levels(j, book.asks.iter().take(depth), &instrument);
        j.key("timestamp");
        time(j, book.time);
        j.key("valid").bool(book.valid);
        j.key("fault").text_or_null(book.fault.map(BookFault::name));
        j.key("update_id").int(book.update_id);
    });
    Ok(Reply::json(json))
}

fn levels<'a>(json: &mut Json, levels: impl Iterator<Item = &'a Level>, instrument: &Instrument) {
    json.array(|j| {
        for level in levels {
            j.array(|j| {
                j.price(level.price, instrument);
                j.qty(level.qty, instrument);
            });
        }
    });
}

/// `GET /api/v1/klines/{symbol}`: the newest of those that fit; with `start` the oldest.
pub(in crate::http) fn klines(call: &Call) -> Answer {
    let (_, published) = call.app().instrument(&call.arg)?;
    let (at, interval) = call.app().interval(call.query.get(&INTERVAL))?;
    let query = &call.query;
    let limit = query.limit(&KLINES_LIMIT)?;
    let (start, since) = (query.millis(&START)?, query.millis(&SINCE)?);
    if let (Some(_), Some(text)) = (start, query.get(&SINCE)) {
        return Err(invalid(&SINCE, text, "left out when start is given"));
    }
    let from = start.or(since).unwrap_or(i64::MIN);
    let until = query.millis(&END)?.unwrap_or(i64::MAX);
    let instrument = published.instrument.load();
    let series = published.series.get(at).map(|s| s.view.load_full());
    let series = series.unwrap_or_default();
    let closed = series.closed.iter().map(|candle| (candle, true));
    let candles = closed
        .chain(series.forming.iter().map(|candle| (candle, false)))
        .filter(|(candle, _)| (from..until).contains(&candle.open_time.millis()));
    let skip = match start {
        Some(_) => 0,
        None => candles.clone().count().saturating_sub(limit),
    };
    let mut json = Json::new(call.strings);
    json.array(|j| {
        for (candle, closed) in candles.skip(skip).take(limit) {
            kline(j, candle, interval, closed, &instrument);
        }
    });
    Ok(Reply::json(json))
}

fn kline(
    json: &mut Json,
    candle: &Candle,
    interval: Interval,
    closed: bool,
    instrument: &Instrument,
) {
    let (qty_scale, quote_scale) = scales(instrument);
    json.object(|j| {
        names(j, instrument);
        j.key("interval").id(interval);
        j.key("open").price(candle.open, instrument);
        j.key("high").price(candle.high, instrument);
        j.key("low").price(candle.low, instrument);
        j.key("close").price(candle.close, instrument);
        j.key("volume").decimal(candle.volume, qty_scale);
        j.key("quote_volume")
            .decimal(candle.quote_volume, quote_scale);
        j.key("trades").int(candle.trades);
        j.key("timestamp").int(candle.open_time.millis());
        j.key("closed").bool(closed);
    });
}

/// `GET /api/v1/trades/{symbol}`.
pub(in crate::http) fn trades(call: &Call) -> Answer {
    let (_, published) = call.app().instrument(&call.arg)?;
    let limit = call.query.limit(&LIMIT)?;
    let since = call.query.millis(&SINCE)?;
    let before = call.query.id(&ID_CURSOR)?;
    let instrument = published.instrument.load();
    let ticker = published.ticker.load();
    // Not every venue's ids rise, so the cursor is found by its place. When its trade is gone, so are those before it.
    let end = match before {
        Some(id) => ticker.recent.iter().rposition(|trade| trade.id == id),
        None => Some(ticker.recent.len()),
    };
    let older = ticker.recent.get(..end.unwrap_or(0)).unwrap_or_default();
    let newest_first = older
        .iter()
        .rev()
        .filter(|trade| since.is_none_or(|ms| trade.time.millis() >= ms));
    let mut json = Json::new(call.strings);
    write_trades(&mut json, newest_first, limit, &instrument);
    Ok(Reply::json(json))
}

/// A page of trades.
pub(in crate::http) fn write_trades<'a>(
    json: &mut Json,
    newest_first: impl Iterator<Item = &'a Trade>,
    limit: usize,
    instrument: &Instrument,
) {
    page(json, limit, newest_first, |j, trade| {
        j.object(|j| {
            j.key("id").id(trade.id);
            j.key("price").price(trade.price, instrument);
            j.key("quantity").qty(trade.qty, instrument);
            j.key("side").text(trade.taker.name());
            j.key("timestamp").int(trade.time.millis());
        });
        trade.id.to_string()
    });
}

/// `GET /api/v1/symbols`.
pub(in crate::http) fn symbols(call: &Call) -> Answer {
    let limit = call.query.limit(&SYMBOLS_LIMIT)?;
    let after = match call.query.get(&CURSOR) {
        Some(name) => Some(
            call.app()
                .instrument(name)
                .map(|(id, _)| id)
                .map_err(|_| invalid(&CURSOR, name, "a next_cursor of this list"))?,
        ),
        None => None,
    };
    let instruments = (0_u16..)
        .zip(&call.app().state.published.instruments)
        .filter(|(id, p)| p.active && after.is_none_or(|after| InstrumentId(*id) > after));
    let mut json = Json::new(call.strings);
    page(&mut json, limit, instruments, |j, (_, published)| {
        let instrument = published.instrument.load();
        let book = published.book.load();
        j.object(|j| {
            names(j, &instrument);
            j.key("name").id(&instrument.name);
            j.key("base").text(&instrument.base);
            j.key("quote").text(&instrument.quote);
            j.key("status").text(instrument.status.name());
            j.key("tick_size").price(instrument.tick, &instrument);
            j.key("lot_size").qty(instrument.lot, &instrument);
            for (name, bound) in [
                ("min_quantity", instrument.qty_min),
                ("max_quantity", instrument.qty_max),
            ] {
                j.key(name);
                if bound == Qty::ZERO {
                    j.null();
                } else {
                    j.qty(bound, &instrument);
                }
            }
            j.key("min_notional").money(instrument.notional_min);
            j.key("maker_fee").rate(instrument.maker_fee);
            j.key("taker_fee").rate(instrument.taker_fee);
            j.key("book_valid").bool(book.valid);
        });
        instrument.name.to_string()
    });
    Ok(Reply::json(json))
}
