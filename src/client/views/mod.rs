//! Documents of the API as tables: a function for each kind, in the file of its subject.
//!
//! Prices and quantities are shown as they come, to the last digit; averages and amounts of money are
//! rounded (`number.rs`). Times are UTC.

mod market;
mod system;
mod trading;

use serde_json::Value;

use super::number::{amount, significant, stamp};
use super::table::{Cell, Table, Tone};

pub(crate) use market::change;
pub(crate) use system::{feeds, strategies};
pub(crate) use trading::{orders, positions};

/// What a document is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says what it is called")]
pub enum View {
    Ticker,
    Book,
    Klines,
    Indicators,
    Trades,
    Symbols,
    Orders,
    Order,
    Positions,
    Account,
    Fills,
    Equity,
    Strategies,
    Why,
    Feeds,
    Status,
    Health,
}

/// The tables of some documents.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) tables: Vec<Table>,
    /// Whether lists go on.
    pub(crate) more: bool,
}

impl View {
    pub(crate) fn page(self, documents: &[Value]) -> Page {
        let tables = match self {
            Self::Ticker => vec![market::tickers(documents)],
            Self::Book => documents.iter().map(market::book).collect(),
            Self::Klines => documents.iter().map(market::klines).collect(),
            Self::Indicators => documents.iter().map(market::indicators).collect(),
            Self::Trades => documents.iter().map(market::trades).collect(),
            Self::Symbols => vec![market::symbols(documents)],
            Self::Orders => vec![orders(documents)],
            Self::Order => documents.iter().map(trading::order).collect(),
            Self::Positions => vec![positions(documents)],
            Self::Account => documents.iter().flat_map(trading::account).collect(),
            Self::Fills => vec![trading::fills(documents)],
            Self::Equity => vec![trading::equity(documents)],
            Self::Strategies => vec![strategies(documents)],
            Self::Why => vec![system::why(documents)],
            Self::Feeds => vec![feeds(documents)],
            Self::Status => documents.iter().flat_map(system::status).collect(),
            Self::Health => documents.iter().flat_map(system::health).collect(),
        };
        let more = documents.iter().any(|d| d["next_cursor"].is_string());
        Page { tables, more }
    }

    /// What an empty answer means.
    pub(crate) const fn nothing(self) -> &'static str {
        match self {
            Self::Ticker | Self::Symbols => "no instruments",
            Self::Book => "the book is empty",
            Self::Klines => "no candles yet",
            Self::Indicators => "no values yet: not enough candles have closed",
            Self::Trades => "no trades yet",
            Self::Orders => "no orders",
            Self::Order | Self::Account | Self::Status | Self::Health => "nothing",
            Self::Positions => "no positions",
            Self::Fills => "no fills",
            Self::Equity => "no equity recorded yet: a point comes each minute",
            Self::Strategies | Self::Why => "no strategies: hean run --strategy NAME starts one",
            Self::Feeds => "no feeds",
        }
    }
}

/// The entries of some lists, one after the other.
pub(crate) fn items(documents: &[Value]) -> impl DoubleEndedIterator<Item = &Value> {
    documents.iter().flat_map(|document| {
        let items = document["items"].as_array();
        items.or(document.as_array()).map_or(&[][..], Vec::as_slice)
    })
}

/// A value as text; empty for none.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        // Without an exponent.
        Value::Number(number) if number.is_f64() => float(value).unwrap_or(0.0).to_string(),
        other => other.to_string(),
    }
}

pub(crate) fn plain(value: &Value) -> Cell {
    Cell::plain(text(value))
}

pub(crate) fn money(value: &Value) -> Cell {
    Cell::plain(amount(&text(value)))
}

/// Money that is gained or lost.
pub(crate) fn gain(value: &Value) -> Cell {
    Cell::signed(amount(&text(value)))
}

fn average(value: &Value) -> Cell {
    Cell::plain(significant(&text(value), 8))
}

/// A ratio of a hundred that is a double.
pub(crate) fn percent(value: &Value) -> Cell {
    Cell::plain(float(value).map_or_else(String::new, |v| format!("{v:.2}")))
}

/// A number for what is no money: a statistic, a ratio.
pub(crate) fn float(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_f64(),
    }
}

pub(crate) fn millis(value: &Value) -> Option<i64> {
    value.as_i64().filter(|ms| *ms > 0)
}

fn time(value: &Value) -> Cell {
    Cell::plain(millis(value).map_or_else(String::new, stamp))
}

/// `venue:SYMBOL`.
pub(crate) fn name(document: &Value) -> String {
    let symbol = text(&document["symbol"]);
    match document["venue"].as_str() {
        Some(venue) => format!("{venue}:{symbol}"),
        None => symbol,
    }
}

/// Bought or sold, long or short.
pub(crate) fn side(value: &Value) -> Cell {
    let tone = match value.as_str() {
        Some("buy" | "long") => Tone::Good,
        Some("sell" | "short") => Tone::Bad,
        Some("flat") => Tone::Dim,
        _ => Tone::Plain,
    };
    Cell::new(text(value), tone)
}

/// The status of an order.
pub(crate) fn status(value: &Value) -> Cell {
    let tone = match value.as_str() {
        Some("filled") => Tone::Good,
        Some("rejected" | "unknown") => Tone::Bad,
        Some("cancelled" | "expired") => Tone::Dim,
        Some("pending" | "cancel_pending" | "amend_pending") => Tone::Warn,
        _ => Tone::Plain,
    };
    Cell::new(text(value), tone)
}

/// Whether something is as it should be.
pub(crate) fn fine(fine: bool, yes: &str, no: &str) -> Cell {
    if fine {
        Cell::new(yes, Tone::Good)
    } else {
        Cell::new(no, Tone::Bad)
    }
}

#[cfg(test)]
mod tests;
