//! The table of parameters: what each may be, what it is when it is left out, and what it means. Validation, the
//! text of its errors and the API's own description all read it, so they cannot disagree.

use crate::kernel::snapshot::BOOK_LEVELS_PUBLISHED;

/// One parameter of a query.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it means, in a line.
    pub about: &'static str,
    pub(crate) kind: Kind,
}

/// What a parameter may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A whole number from 1 to `max`.
    Count { default: Option<usize>, max: usize },
    /// One of a list.
    Choice {
        default: Option<&'static str>,
        choices: &'static [&'static str],
    },
    /// Milliseconds since the epoch.
    Millis,
    /// Decimal digits that this API has given out.
    Id,
    /// Text; what it may say is the route's to judge.
    Text { example: &'static str },
    /// The parameter of an indicator.
    Number { example: &'static str },
}

/// Milliseconds that nanoseconds can still hold.
pub(crate) const MILLIS_MAX: i64 = i64::MAX / 1_000_000;

const fn count(default: usize, max: usize) -> Kind {
    Kind::Count {
        default: Some(default),
        max,
    }
}

const fn text(example: &'static str) -> Kind {
    Kind::Text { example }
}

const fn choice(choices: &'static [&'static str]) -> Kind {
    Kind::Choice {
        default: None,
        choices,
    }
}

const fn choice_or(default: &'static str, choices: &'static [&'static str]) -> Kind {
    Kind::Choice {
        default: Some(default),
        choices,
    }
}

/// What lists of any length have in common.
pub(crate) const LIMIT_ABOUT: &str = "Most entries in the answer.";

macro_rules! params {
    ($($ident:ident = $name:literal, $kind:expr, $about:expr;)*) => {
        $(pub(crate) const $ident: Param = Param { name: $name, about: $about, kind: $kind };)*
    };
}

params! {
    NUMBERS = "numbers", choice_or("number", &["number", "string"]), "Write decimals as JSON numbers, which are exact but which many readers take for floats, or as strings.";
    LIMIT = "limit", count(100, 1_000), LIMIT_ABOUT;
    KLINES_LIMIT = "limit", count(500, 1_000), LIMIT_ABOUT;
    SYMBOLS_LIMIT = "limit", count(1_000, 1_000), LIMIT_ABOUT;
    // A day of minutes and a month of hours.
    EQUITY_LIMIT = "limit", count(100, 2_160), "Most points in the answer; as CSV, all of them when it is left out.";
    FILLS_LIMIT = "limit", count(100, 1_000), "Most executions in the answer; as CSV, all that are kept when it is left out.";
    SERIES_LIMIT = "limit", Kind::Count { default: None, max: 1_000 }, "With type: a series of so many values instead of the last one.";
    CURSOR = "cursor", text("1042"), "next_cursor of the page before: go on behind it.";
    ID_CURSOR = "cursor", Kind::Id, "next_cursor of the page before: go on behind it.";
    SINCE = "since", Kind::Millis, "Only what happened at this time or later, in milliseconds since 1970.";
    START = "start", Kind::Millis, "The first candle opens at this time or later, in milliseconds; then the oldest come first into the limit.";
    END = "end", Kind::Millis, "The last candle opens before this time, in milliseconds.";
    SYMBOL = "symbol", text("BTCUSDT"), "Only this instrument: SYMBOL or venue:SYMBOL.";
    DEPTH = "depth", count(20, BOOK_LEVELS_PUBLISHED), "Levels a side.";
    INTERVAL = "interval", text("1m"), "Length of a candle, one of those that are kept; 1m if it is kept.";
    STATUS = "status", choice(STATUSES), "Only orders in this state; open is every order that can still change.";
    CLIENT_ORDER_ID = "client_order_id", text("my-order-1"), "Only the order with this key of yours.";
    ORDER_ID = "order_id", Kind::Id, "Only executions of this order.";
    SIDE = "side", choice(&["buy", "sell"]), "Only this side.";
    STRATEGY = "strategy", text("grid"), "Only what belongs to this strategy.";
    WAIT = "wait", choice_or("venue", &["venue", "journal"]), "Answer after the venue did, at most a second later, or as soon as no crash can lose the order.";
    POSITION_SIDE = "position_side", choice_or("both", &["both", "long", "short"]), "Which position, in hedge mode.";
    FORMAT = "format", choice_or("json", &["json", "csv"]), "JSON, or CSV for spreadsheets; Accept: text/csv asks for CSV too.";
    TOPICS = "topics", text("BTCUSDT@ticker,orders"), "What to follow, with commas between: SYMBOL@ticker, SYMBOL@book, SYMBOL@trades, SYMBOL@kline_1m, SYMBOL@indicators_1m, positions, account, status, orders, fills.";
    TYPE = "type", text("rsi"), "Name of an indicator; without it a summary.";
    PARAMS = "params", text("12:26:9"), "Parameters of the indicator in order, with colons between.";
}

/// What `status=` may be: the states of an order, and `open` for all that can still change.
pub(crate) const STATUSES: &[&str] = &[
    "open",
    "pending",
    "submitted",
    "partially_filled",
    "filled",
    "cancelled",
    "rejected",
    "expired",
    "untriggered",
    "cancel_pending",
    "amend_pending",
    "unknown",
];

/// A parameter of an indicator.
pub(crate) const fn number(name: &'static str, example: &'static str) -> Param {
    Param {
        name,
        about: "Parameter of the indicator, by its name.",
        kind: Kind::Number { example },
    }
}

/// What stands at the `{…}` of paths: name, meaning, example.
pub(crate) const IN_PATHS: &[(&str, &str, &str)] = &[
    (
        "symbol",
        "An instrument: SYMBOL, which is searched for venue by venue, or venue:SYMBOL.",
        "BTCUSDT",
    ),
    ("id", "The order_id that this API has given out.", "1042"),
    ("name", "Name of a strategy.", "grid"),
    ("file", "Name of a file.", "page.css"),
];
