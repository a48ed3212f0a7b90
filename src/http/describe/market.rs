//! Market data.

use super::super::problem::Code;
use super::super::schema::{
    Field, Schema, choice, count, decimal, field, flag, float, id, list, millis, named, object,
    one_of, optional, page, text, tuple,
};
use super::{Docs, about};
use crate::http::api::indicators::SUMMARY;
use crate::kernel::indicators::INDICATORS;
use crate::kernel::types::InstrumentStatus;

pub(in crate::http) fn ticker() -> Docs {
    Docs::new(
        "get_ticker",
        "The newest prices of the instrument.",
        named("Ticker"),
    )
}

pub(in crate::http) fn orderbook() -> Docs {
    Docs::new(
        "get_orderbook",
        "The book, empty while it is not verified.",
        named("OrderBook"),
    )
}

pub(in crate::http) fn klines() -> Docs {
    let candles = list(named("Candle"), "Oldest first.");
    Docs::new("get_klines", "The candles.", candles).problems(&[Code::UnknownInterval])
}

pub(in crate::http) fn trades() -> Docs {
    Docs::new(
        "get_trades",
        "The newest trades, newest first.",
        page(named("Trade")),
    )
}

pub(in crate::http) fn symbols() -> Docs {
    Docs::new(
        "list_symbols",
        "The instruments.",
        page(named("Instrument")),
    )
}

pub(in crate::http) fn indicators() -> Docs {
    Docs::new(
        "get_indicators",
        "Without type a summary, with type the last values, with limit a series.",
        one_of(
            vec![
                named("IndicatorSummary"),
                named("IndicatorValue"),
                named("IndicatorSeries"),
            ],
            "",
        ),
    )
    .problems(&[Code::UnknownInterval])
}

pub(super) fn ticker_schema() -> Schema {
    about(
        "Prices of an instrument.",
        vec![
            field("price", decimal("Price of the last trade.").or_null()),
            field("bid", decimal("Best bid.").or_null()),
            field("ask", decimal("Best ask.").or_null()),
            field(
                "bid_quantity",
                decimal("Quantity at the best bid.").or_null(),
            ),
            field(
                "ask_quantity",
                decimal("Quantity at the best ask.").or_null(),
            ),
            field("volume", decimal("Base volume traded in the window.")),
            field(
                "volume_window",
                choice(
                    &["24h", "session"],
                    "24h where the venue says it, else since the start of the daemon.",
                ),
            ),
            field("quote_volume", decimal("Turnover of 24 hours.").or_null()),
            field("open", decimal("Price 24 hours ago.").or_null()),
            field("high", decimal("Highest price of 24 hours.").or_null()),
            field("low", decimal("Lowest price of 24 hours.").or_null()),
            optional(
                "mark_price",
                decimal("Mark price of a derivative.").or_null(),
            ),
            optional(
                "index_price",
                decimal("Index price of a derivative.").or_null(),
            ),
            optional(
                "funding_rate",
                decimal("Rate of the next funding, as a share.").or_null(),
            ),
            optional("next_funding", millis("When funding is due.").or_null()),
            optional(
                "open_interest",
                decimal("Open contracts, in the base asset.").or_null(),
            ),
            optional("last_liquidation", named("Liquidation").or_null()),
            field(
                "timestamp",
                millis("The venue's time of the newest event.").or_null(),
            ),
        ],
    )
}

pub(super) fn liquidation() -> Schema {
    object(
        vec![
            field("side", named("Side")),
            field("price", decimal("Price.")),
            field("quantity", decimal("Quantity.")),
            field("timestamp", millis("When.").or_null()),
        ],
        "A liquidation of somebody's position.",
    )
}

pub(super) fn orderbook_schema() -> Schema {
    let levels = |about| list(tuple(decimal(""), 2, "Price and quantity."), about);
    about(
        "An order book.",
        vec![
            field("bids", levels("Bids, best first.")),
            field("asks", levels("Asks, best first.")),
            field(
                "timestamp",
                millis("The venue's time of the last update.").or_null(),
            ),
            field("valid", flag("Whether the book is verified right now.")),
            field("fault", text("Why it is not.").or_null()),
            field("update_id", count("The venue's id of the last update.")),
        ],
    )
}

pub(super) fn candle() -> Schema {
    about(
        "A candle.",
        vec![
            field("interval", text("Its length.")),
            field("open", decimal("First price.")),
            field("high", decimal("Highest price.")),
            field("low", decimal("Lowest price.")),
            field("close", decimal("Last price.")),
            field("volume", decimal("Base volume.")),
            field("quote_volume", decimal("Turnover.")),
            field("trades", count("Number of trades.")),
            field("timestamp", millis("When it opens.")),
            field("closed", flag("Whether it will not change any more.")),
        ],
    )
}

pub(super) fn trade() -> Schema {
    object(
        vec![
            field("id", id("The venue's id.")),
            field("price", decimal("Price.")),
            field("quantity", decimal("Quantity.")),
            field("side", named("Side")),
            field("timestamp", millis("The venue's time.")),
        ],
        "A trade of the market.",
    )
}

pub(super) fn instrument() -> Schema {
    let statuses = [
        InstrumentStatus::Trading,
        InstrumentStatus::Halted,
        InstrumentStatus::CancelOnly,
        InstrumentStatus::Delisted,
    ]
    .map(InstrumentStatus::name);
    about(
        "An instrument with its filters.",
        vec![
            field("name", text("venue:SYMBOL.")),
            field("base", text("What is traded.")),
            field("quote", text("What it is paid in.")),
            field("status", choice(&statuses, "Whether it can be traded.")),
            field("tick_size", decimal("Prices are multiples of it.")),
            field("lot_size", decimal("Quantities are multiples of it.")),
            field(
                "min_quantity",
                decimal("Smallest quantity of an order.").or_null(),
            ),
            field(
                "max_quantity",
                decimal("Largest quantity of an order.").or_null(),
            ),
            field(
                "min_notional",
                decimal("Smallest value of an order; 0 is none."),
            ),
            field("maker_fee", decimal("Fee of resting orders, as a share.")),
            field("taker_fee", decimal("Fee of taking orders, as a share.")),
            field(
                "book_valid",
                flag("Whether its book is verified right now."),
            ),
        ],
    )
}

fn over(text_of: &'static str, more: Vec<Field>) -> Schema {
    let mut fields = vec![field("interval", text("Length of the candles."))];
    fields.extend(more);
    about(text_of, fields)
}

pub(super) fn summary() -> Schema {
    let mut fields = vec![field(
        "timestamp",
        millis("When the last closed candle opened.").or_null(),
    )];
    fields.extend(
        SUMMARY
            .iter()
            .map(|(key, _, _)| field(key, float("").or_null())),
    );
    over("The usual indicators after the last closed candle.", fields)
}

/// The outputs of all indicators, each once.
fn outputs() -> Vec<&'static str> {
    let mut names: Vec<&str> = INDICATORS
        .iter()
        .flat_map(|row| row.outputs.iter().copied())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn spelling() -> Vec<Field> {
    vec![
        field("type", text("The indicator.")),
        field("params", text("Its parameters, defaults filled in.")),
    ]
}

pub(super) fn value() -> Schema {
    let mut fields = spelling();
    let opened = millis("When the last closed candle opened.");
    fields.push(field("timestamp", opened.or_null()));
    let values = outputs().into_iter();
    fields.extend(values.map(|name| optional(name, float("").or_null())));
    over(
        "An indicator after the last closed candle: its outputs by their names, null until warmed up.",
        fields,
    )
}

pub(super) fn series() -> Schema {
    let mut fields = spelling();
    fields.push(field(
        "timestamps",
        list(millis(""), "When the candles opened."),
    ));
    let values = || list(float("").or_null(), "");
    let outputs = outputs().into_iter();
    let outputs = outputs.map(|name| optional(name, values()));
    fields.push(field(
        "outputs",
        object(
            outputs.collect(),
            "A value per candle, null until warmed up.",
        ),
    ));
    over("An indicator over candles.", fields)
}
