//! Orders and executions.

use hyper::StatusCode;

use super::super::problem::Code;
use super::super::schema::{
    Field, Schema, choice, count, decimal, field, flag, id, int, list, millis, named, object,
    one_of, optional, page, pattern, text,
};
use super::Docs;

pub(in crate::http) fn place() -> Docs {
    let either = one_of(vec![named("Order"), named("Unknown")], "");
    Docs::new(
        "place_order",
        "The client_order_id was used before, for the same order: this is that order.",
        named("Order"),
    )
    .header("Idempotent-Replay", "true: nothing was placed now.")
    .answer(
        StatusCode::CREATED,
        "The order was accepted.",
        named("Order"),
    )
    .header("Location", "The order's path.")
    .answer(
        StatusCode::ACCEPTED,
        "Nobody knows yet what became of the order; ask again.",
        either,
    )
    .header("Location", "The order's path, if it is known.")
    .body(named("OrderRequest"))
    .problems(&[
        Code::InvalidCombination,
        Code::Unsupported,
        Code::OffTick,
        Code::OffLot,
        Code::VenueRejected,
        Code::IdempotencyConflict,
        Code::UnknownOrder,
    ])
    .unprocessable(&[Code::UnknownSymbol, Code::UnknownStrategy])
    .command()
}

pub(in crate::http) fn orders() -> Docs {
    Docs::new("list_orders", "Orders, newest first.", page(named("Order")))
}

pub(in crate::http) fn cancel_all() -> Docs {
    Docs::new(
        "cancel_orders",
        "So many orders are being cancelled.",
        named("Cancelling"),
    )
    .answer(
        StatusCode::ACCEPTED,
        "Nobody knows yet; ask again.",
        named("Cancelling"),
    )
    .problems(&[Code::UnknownStrategy])
    .command()
}

pub(in crate::http) fn get_order() -> Docs {
    Docs::new("get_order", "The order.", named("Order"))
}

pub(in crate::http) fn amend() -> Docs {
    let mut docs = Docs::new("amend_order", "", named("Order"))
        .body(named("AmendRequest"))
        .problems(&[
            Code::OffTick,
            Code::OffLot,
            Code::NotAmendable,
            Code::OrderDone,
        ])
        .command();
    docs.answers.clear();
    docs.answer(
        StatusCode::ACCEPTED,
        "The change is on its way; what becomes of it is in the order.",
        named("Order"),
    )
}

pub(in crate::http) fn cancel() -> Docs {
    Docs::new("cancel_order", "The order has ended.", named("Order"))
        .answer(
            StatusCode::ACCEPTED,
            "The cancellation is on its way.",
            named("Order"),
        )
        .problems(&[Code::OrderDone])
        .command()
}

pub(in crate::http) fn fills() -> Docs {
    Docs::new(
        "list_fills",
        "Executions, newest first; the last 10,000 are kept, over restarts too.",
        page(named("Fill")),
    )
    .or_as("text/csv")
    .problems(&[Code::UnknownStrategy])
}

/// A field of a request that may be left out; `null` is the same.
pub(super) fn may(name: &'static str, schema: Schema) -> Field {
    optional(name, schema.or_null())
}

pub(super) fn order_request() -> Schema {
    object(
        vec![
            field("symbol", text("SYMBOL or venue:SYMBOL.").example("\"BTCUSDT\"")),
            field("side", named("Side")),
            may("type", named("OrderType")),
            may("quantity", decimal("How much, in the base asset.").example("0.001")),
            may("quote_quantity", decimal("Instead of quantity: for how much money.")),
            may("price", decimal("Limit price.")),
            may("stop_price", decimal("Price that sets a stop or take-profit off.")),
            may("trail_percent", decimal("How far a trailing stop stays behind.")),
            may("activation_price", decimal("Price from which it trails.")),
            may("time_in_force", named("TimeInForce")),
            may("expires", millis("End of a GTD order.")),
            may("post_only", flag("Never take liquidity.")),
            may("reduce_only", flag("Never open or enlarge a position.")),
            may("close_position", flag("Instead of quantity: all of the position.")),
            may("position_side", named("PositionSide")),
            may("trigger_by", named("TriggerBy")),
            may("take_profit", named("Exit")),
            may("stop_loss", named("Exit")),
            may("oco", named("Oco")),
            may("account", choice(&["default"], "The only account.")),
            may("strategy", text("Name of the strategy that it belongs to.")),
            may("leverage", int("Not taken here: set it by /api/v1/positions/{symbol}/margin.")),
            may(
                "client_order_id",
                pattern("^[A-Za-z0-9_-]{1,36}$", "Your key: for 24 hours a repeated request with it gives the first order."),
            ),
        ],
        "An order that is asked for.",
    )
    .example(r#"{"symbol":"BTCUSDT","side":"buy","type":"market","quantity":0.001,"client_order_id":"my-order-1"}"#)
}

pub(super) fn exit() -> Schema {
    object(
        vec![
            field("trigger_price", decimal("Price that sets it off.")),
            may("price", decimal("Limit price; at the market if left out.")),
        ],
        "An exit of a bracket.",
    )
}

pub(super) fn oco() -> Schema {
    object(
        vec![
            field("price", decimal("Price of the limit order.")),
            field("stop_price", decimal("Trigger of the stop.")),
            may(
                "stop_limit_price",
                decimal("Limit price of the stop; at the market if left out."),
            ),
        ],
        "A limit order and a stop, of which one cancels the other.",
    )
}

pub(super) fn amend_request() -> Schema {
    object(
        vec![
            may("price", decimal("New limit price.")),
            may("stop_price", decimal("New trigger.")),
            may(
                "quantity",
                decimal("New quantity, executed parts included."),
            ),
        ],
        "What to change; at least one of them.",
    )
}

pub(super) fn order() -> Schema {
    let maybe = |name, schema: Schema| field(name, schema.or_null());
    object(
        vec![
            field("order_id", id("Unique, rising, over restarts too.")),
            maybe("client_order_id", text("Your key.")),
            field(
                "venue_order_ids",
                list(
                    text(""),
                    "Ids at the venue; an amended order may have several.",
                ),
            ),
            field("account", text("The account.")),
            maybe("strategy", text("The strategy that it belongs to.")),
            field("symbol", text("Symbol at its venue.")),
            field("venue", named("Venue")),
            field("side", named("Side")),
            field("position_side", named("PositionSide")),
            field("type", named("OrderType")),
            field("quantity", decimal("How much was asked for.")),
            maybe("price", decimal("Limit price.")),
            maybe("stop_price", decimal("Trigger.")),
            maybe("trigger_by", named("TriggerBy")),
            maybe("trail_percent", decimal("How far it trails.")),
            maybe("activation_price", decimal("From where it trails.")),
            field("triggered", flag("Whether it was set off.")),
            field("time_in_force", named("TimeInForce")),
            maybe("expires", millis("Its end.")),
            field("post_only", flag("Whether it never takes liquidity.")),
            field("reduce_only", flag("Whether it only reduces.")),
            field(
                "close_position",
                flag("Whether it closes all of the position."),
            ),
            maybe("parent_order_id", id("The order whose exit it is.")),
            field(
                "exit_order_ids",
                list(id(""), "The exits that were placed for it."),
            ),
            field("filled_quantity", decimal("Executed.")),
            maybe(
                "avg_fill_price",
                decimal("Average price of what was executed."),
            ),
            field("remaining_quantity", decimal("Not executed.")),
            field("fee", decimal("Fees so far, worth in the quote asset.")),
            field("status", named("OrderStatus")),
            maybe("reason", text("Why it ended or was refused.")),
            field(
                "disputed",
                flag("Whether the venue contradicted itself about it."),
            ),
            field("created_at", millis("When it was asked for.")),
            field("updated_at", millis("When it changed last.")),
            maybe(
                "latency_us",
                int("From asking to the venue's first word, in microseconds."),
            ),
        ],
        "An order.",
    )
}

pub(super) fn unknown() -> Schema {
    object(
        vec![
            field("status", choice(&["unknown"], "Nobody knows yet.")),
            field("reason", text("Why, and where to look.")),
        ],
        "Nobody knows yet what became of a command.",
    )
}

pub(super) fn cancelling() -> Schema {
    object(
        vec![
            field(
                "cancelling",
                count("How many orders; null if nobody knows yet.").or_null(),
            ),
            field("reason", text("Why, and where to look.").or_null()),
        ],
        "Orders that are being cancelled.",
    )
}

pub(super) fn fill() -> Schema {
    object(
        vec![
            field(
                "fill_id",
                id("Unique, rising in the order of booking, over restarts too."),
            ),
            field(
                "order_id",
                id("The order; null for a liquidation.").or_null(),
            ),
            field("trade_id", id("The venue's id.")),
            field(
                "strategy",
                text("The strategy that the order belongs to.").or_null(),
            ),
            field("symbol", text("Symbol at its venue.")),
            field("venue", named("Venue")),
            field("side", named("Side")),
            field("position_side", named("PositionSide")),
            field("price", decimal("Price.")),
            field("quantity", decimal("Quantity.")),
            field(
                "notional",
                decimal("Price times quantity, in the quote asset."),
            ),
            field(
                "fee",
                decimal("What the fee is worth in the quote asset; below 0 is a rebate."),
            ),
            field("fee_asset", text("What the fee was paid in.")),
            field("fee_amount", decimal("How much of that.")),
            field(
                "liquidity",
                choice(&["maker", "taker"], "Whether the order was resting."),
            ),
            field(
                "liquidation",
                flag("Whether the venue closed the position by itself."),
            ),
            field(
                "realized_pnl",
                decimal("Profit or loss of what it closed, before fees; null if nothing.")
                    .or_null(),
            ),
            field("timestamp", millis("The venue's time.")),
        ],
        "An execution.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::{amend, order_in};

    #[test]
    fn requests_are_described_as_they_are_read() {
        let sorted = |mut names: Vec<&'static str>| {
            names.sort_unstable();
            names
        };
        for (schema, read) in [
            (order_request(), order_in::FIELDS),
            (exit(), order_in::EXIT_FIELDS),
            (oco(), order_in::OCO_FIELDS),
            (amend_request(), amend::FIELDS),
        ] {
            assert_eq!(sorted(schema.fields()), sorted(read.to_vec()));
        }
    }
}
