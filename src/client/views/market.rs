//! What the market does: prices, books, candles, indicators, trades, instruments.

use serde_json::Value;

use super::super::number::{clock, significant, stamp};
use super::super::table::{Align, Cell, Table, Tone, column};
use super::{fine, float, items, millis, name, plain, side, text};

/// Prices, a line for each instrument.
pub(super) fn tickers(documents: &[Value]) -> Table {
    let mut table = Table::new(&[
        column("SYMBOL", Align::Left, 0),
        column("PRICE", Align::Number, 0),
        column("24H %", Align::Number, 0),
        column("BID", Align::Number, 0),
        column("ASK", Align::Number, 0),
        column("HIGH", Align::Number, 3),
        column("LOW", Align::Number, 3),
        column("VOLUME", Align::Number, 2),
        column("FUNDING %", Align::Number, 2),
        column("TIME UTC", Align::Left, 1),
    ]);
    for ticker in documents {
        let time = millis(&ticker["timestamp"]).map_or_else(String::new, clock);
        let funding = float(&ticker["funding_rate"]);
        let funding = funding.map_or_else(String::new, |rate| format!("{:.4}", rate * 100.0));
        table.rows.push(vec![
            Cell::plain(name(ticker)),
            plain(&ticker["price"]),
            Cell::signed(change(ticker)),
            plain(&ticker["bid"]),
            plain(&ticker["ask"]),
            plain(&ticker["high"]),
            plain(&ticker["low"]),
            plain(&ticker["volume"]),
            Cell::signed(funding),
            Cell::plain(time),
        ]);
    }
    table
}

/// By how many percent a price is away from where it was a day ago; empty when nobody knows.
pub(crate) fn change(ticker: &Value) -> String {
    match (float(&ticker["price"]), float(&ticker["open"])) {
        (Some(price), Some(open)) if open > 0.0 => format!("{:.2}", (price / open - 1.0) * 100.0),
        _ => String::new(),
    }
}

/// A book, best first, bids at the left.
pub(super) fn book(document: &Value) -> Table {
    let mut table = Table::new(&[
        column("BID QTY", Align::Grid, 0),
        column("BID", Align::Grid, 0),
        column("ASK", Align::Grid, 0),
        column("ASK QTY", Align::Grid, 0),
    ]);
    let side = |name: &str| document[name].as_array().map_or(&[][..], Vec::as_slice);
    let (bids, asks) = (side("bids"), side("asks"));
    for at in 0..bids.len().max(asks.len()) {
        let cell = |side: &[Value], part: usize, tone| {
            let level = side.get(at).map_or(&Value::Null, |level| &level[part]);
            Cell::new(text(level), tone)
        };
        table.rows.push(vec![
            cell(bids, 1, Tone::Plain),
            cell(bids, 0, Tone::Good),
            cell(asks, 0, Tone::Bad),
            cell(asks, 1, Tone::Plain),
        ]);
    }
    let time = millis(&document["timestamp"]).map_or_else(String::new, clock);
    let valid = if document["valid"] == true {
        "verified".to_owned()
    } else {
        format!("NOT VALID {}", text(&document["fault"]))
    };
    table.title = Some(format!("{}  {time} UTC  {}", name(document), valid.trim()));
    table
}

/// Candles, oldest first.
pub(super) fn klines(document: &Value) -> Table {
    let mut table = Table::new(&[
        column("OPENED UTC", Align::Left, 0),
        column("OPEN", Align::Grid, 0),
        column("HIGH", Align::Grid, 0),
        column("LOW", Align::Grid, 0),
        column("CLOSE", Align::Grid, 0),
        column("VOLUME", Align::Grid, 1),
        column("TRADES", Align::Right, 2),
        column("", Align::Left, 3),
    ]);
    for candle in items(std::slice::from_ref(document)) {
        let tone = match float(&candle["close"]).zip(float(&candle["open"])) {
            Some((close, open)) if close > open => Tone::Good,
            Some((close, open)) if close < open => Tone::Bad,
            _ => Tone::Plain,
        };
        let open = if candle["closed"] == false {
            "open"
        } else {
            ""
        };
        table.rows.push(vec![
            super::time(&candle["timestamp"]),
            plain(&candle["open"]),
            plain(&candle["high"]),
            plain(&candle["low"]),
            Cell::new(text(&candle["close"]), tone),
            plain(&candle["volume"]),
            plain(&candle["trades"]),
            Cell::new(open, Tone::Dim),
        ]);
        let title = format!("{}  {}", name(candle), text(&candle["interval"]));
        table.title.get_or_insert(title);
    }
    table
}

/// What an answer about indicators says of itself, beside the values.
const ABOUT: [&str; 6] = ["symbol", "venue", "interval", "type", "params", "timestamp"];

/// Indicators: a summary, one value of each output, or a series.
pub(super) fn indicators(document: &Value) -> Table {
    let kind = format!("{} {}", text(&document["type"]), text(&document["params"]));
    let title = format!(
        "{}  {}  {kind}",
        name(document),
        text(&document["interval"])
    );
    let shown = |value: &Value| Cell::plain(significant(&text(value), 10));
    if let (Some(times), Some(outputs)) = (
        document["timestamps"].as_array(),
        document["outputs"].as_object(),
    ) {
        let mut table = Table::new(&[column("CLOSED CANDLE UTC", Align::Left, 0)]);
        table.title = Some(title.trim_end().to_owned());
        for output in outputs.keys() {
            table
                .columns
                .push(column(output.to_uppercase(), Align::Number, 0));
        }
        for (at, time) in times.iter().enumerate() {
            let mut row = vec![Cell::plain(millis(time).map_or_else(String::new, stamp))];
            row.extend(outputs.values().map(|values| match &values[at] {
                Value::Null => Cell::new("-", Tone::Dim),
                value => shown(value),
            }));
            table.rows.push(row);
        }
        return table;
    }
    let mut table = Table::new(&[column("", Align::Left, 0), column("", Align::Number, 0)]);
    table.headless = true;
    table.title = Some(title.trim_end().to_owned());
    for (output, value) in document.as_object().into_iter().flatten() {
        if !ABOUT.contains(&output.as_str()) && !value.is_null() {
            table
                .rows
                .push(vec![Cell::plain(output.as_str()), shown(value)]);
        }
    }
    table
}

/// Trades, newest first.
pub(super) fn trades(document: &Value) -> Table {
    let mut table = Table::new(&[
        column("TIME UTC", Align::Left, 0),
        column("PRICE", Align::Grid, 0),
        column("QUANTITY", Align::Grid, 0),
        column("TAKER", Align::Left, 0),
        column("ID", Align::Right, 1),
    ]);
    for trade in items(std::slice::from_ref(document)) {
        let time = millis(&trade["timestamp"]).map_or_else(String::new, clock);
        table.rows.push(vec![
            Cell::plain(time),
            plain(&trade["price"]),
            plain(&trade["quantity"]),
            side(&trade["side"]),
            plain(&trade["id"]),
        ]);
    }
    table
}

/// Instruments and their filters.
pub(super) fn symbols(documents: &[Value]) -> Table {
    let mut table = Table::new(&[
        column("SYMBOL", Align::Left, 0),
        column("STATUS", Align::Left, 0),
        column("TICK", Align::Number, 0),
        column("LOT", Align::Number, 0),
        column("MIN QTY", Align::Number, 2),
        column("MAX QTY", Align::Number, 3),
        column("MIN NOTIONAL", Align::Number, 1),
        column("MAKER", Align::Number, 3),
        column("TAKER", Align::Number, 3),
        column("BOOK", Align::Left, 0),
    ]);
    for symbol in items(documents) {
        let trading = symbol["status"] == "trading";
        let tone = if trading { Tone::Good } else { Tone::Warn };
        table.rows.push(vec![
            Cell::plain(name(symbol)),
            Cell::new(text(&symbol["status"]), tone),
            plain(&symbol["tick_size"]),
            plain(&symbol["lot_size"]),
            plain(&symbol["min_quantity"]),
            plain(&symbol["max_quantity"]),
            plain(&symbol["min_notional"]),
            plain(&symbol["maker_fee"]),
            plain(&symbol["taker_fee"]),
            fine(symbol["book_valid"] == true, "verified", "not valid"),
        ]);
    }
    table
}
