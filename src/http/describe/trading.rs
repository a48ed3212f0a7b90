//! Orders, positions, money, risk and strategies.

use hyper::StatusCode;

use super::super::problem::Code;
use super::super::schema::{
    Field, Schema, choice, count, decimal, field, flag, float, id, int, list, millis, named,
    object, one_of, optional, page, pattern, text,
};
use super::{Docs, about};
use crate::kernel::risk::RiskMode;
use crate::status::Mode;

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

pub(in crate::http) fn positions() -> Docs {
    Docs::new(
        "list_positions",
        "Positions, by instrument.",
        page(named("Position")),
    )
}

pub(in crate::http) fn close() -> Docs {
    let mut docs = Docs::new("close_position", "", named("Order"))
        .problems(&[Code::NoPosition, Code::VenueRejected, Code::UnknownOrder])
        .command();
    docs.answers.clear();
    docs.answer(
        StatusCode::CREATED,
        "The order that closes it was accepted.",
        named("Order"),
    )
    .header("Location", "The order's path.")
    .answer(
        StatusCode::ACCEPTED,
        "Its open orders are cancelled first, or nobody knows yet what became of it.",
        one_of(
            vec![named("Order"), named("Cancelling"), named("Unknown")],
            "",
        ),
    )
    .header("Location", "The order's path, if it is known.")
}

pub(in crate::http) fn margin() -> Docs {
    Docs::new("set_margin", "What holds from now on.", named("Margin"))
        .body(named("MarginRequest"))
        .problems(&[Code::NoAnswer])
        .command()
}

pub(in crate::http) fn account() -> Docs {
    Docs::new("get_account", "The account.", named("Account"))
}

pub(in crate::http) fn equity() -> Docs {
    Docs::new(
        "get_equity",
        "Equity, newest first: a point a minute for a day, a point an hour before.",
        page(named("EquityPoint")),
    )
    .or_as("text/csv")
}

pub(in crate::http) fn risk() -> Docs {
    Docs::new("get_risk", "Limits and their use.", named("Risk"))
}

pub(in crate::http) fn halt() -> Docs {
    Docs::new("halt", "Trading is halted.", named("Risk"))
        .maybe_body(named("HaltRequest"))
        .problems(&[Code::Busy, Code::NoAnswer])
}

pub(in crate::http) fn resume() -> Docs {
    Docs::new("resume", "Trading goes on.", named("Risk")).problems(&[Code::Busy, Code::NoAnswer])
}

pub(in crate::http) fn strategies() -> Docs {
    Docs::new(
        "list_strategies",
        "The strategies.",
        page(named("Strategy")),
    )
}

pub(in crate::http) fn start() -> Docs {
    switch("start_strategy", "It trades.")
}

pub(in crate::http) fn stop() -> Docs {
    switch("stop_strategy", "It has stopped.")
}

fn switch(id: &'static str, about: &'static str) -> Docs {
    Docs::new(id, about, named("Strategy"))
        .problems(&[Code::NoAnswer])
        .command()
}

/// A field of a request that may be left out; `null` is the same.
fn may(name: &'static str, schema: Schema) -> Field {
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

pub(super) fn margin_request() -> Schema {
    object(
        vec![
            field("leverage", count("From 1 to 1000.")),
            field("mode", named("MarginMode")),
        ],
        "How positions of an instrument are margined.",
    )
}

pub(super) fn halt_request() -> Schema {
    object(
        vec![may(
            "flatten",
            flag("Whether to close every position too; as configured if left out."),
        )],
        "How to halt.",
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

pub(super) fn position() -> Schema {
    about(
        "A position.",
        vec![
            field("position_side", named("PositionSide")),
            field("side", choice(&["flat", "long", "short"], "Its direction.")),
            field("quantity", decimal("Signed; below 0 is short.")),
            field("entry_price", decimal("Average entry.").or_null()),
            field("mark_price", decimal("Price it is valued at.").or_null()),
            field(
                "liquidation_price",
                decimal("Where the venue would close it.").or_null(),
            ),
            field("cost", decimal("What the open quantity cost.")),
            field(
                "unrealized_pnl",
                decimal("Profit or loss if closed at mark."),
            ),
            field(
                "realized_pnl",
                decimal("Profit and loss of what was closed, before fees."),
            ),
            field("fees", decimal("Fees paid.")),
            field("funding", decimal("Funding received, less what was paid.")),
            field("leverage", int("Leverage of a derivative.").or_null()),
            field("margin_mode", named("MarginMode").or_null()),
            field("margin", decimal("Margin that it binds.")),
        ],
    )
}

pub(super) fn margin_schema() -> Schema {
    about(
        "How positions of an instrument are margined.",
        vec![
            field("leverage", count("Leverage.")),
            field("margin_mode", named("MarginMode")),
        ],
    )
}

pub(super) fn point() -> Schema {
    object(
        vec![
            field("timestamp", millis("When.")),
            field("equity", decimal("Cash and positions at mark.")),
            field("pnl", decimal("Equity less what was brought in.")),
        ],
        "A point of the equity curve.",
    )
}

pub(super) fn account_schema() -> Schema {
    let modes = super::MODES.map(Mode::name);
    let balance = object(
        vec![
            field("asset", text("Asset.")),
            field("total", decimal("How much.")),
        ],
        "",
    );
    object(
        vec![
            field("account", text("Its name.")),
            field("mode", choice(&modes, "How the daemon trades.")),
            field("currency", text("Asset that all amounts are in.")),
            field("equity", decimal("Cash and positions at mark.")),
            field("cash", decimal("Money not in positions.")),
            field("held", decimal("Part of cash that open orders hold.")),
            field("margin", decimal("Part of cash that derivatives bind.")),
            field("available", decimal("What can still be committed.")),
            field("transfers", decimal("Money brought in, net.")),
            field("realized_pnl", decimal("Of what was closed, before fees.")),
            field("unrealized_pnl", decimal("Of open positions at mark.")),
            field("fees", decimal("Fees paid.")),
            field("funding", decimal("Funding received, less what was paid.")),
            field("insurance", decimal("What insurance funds have covered.")),
            field(
                "exposure",
                decimal("Worst-case value of positions with open orders."),
            ),
            field("pnl_total", decimal("Equity less transfers.")),
            field("pnl_today", decimal("The part of it since the day began.")),
            field("balances", list(balance, "Assets.")),
            field("stats", stats()),
            field("timestamp", millis("When this was made.").or_null()),
        ],
        "The account.",
    )
}

fn stats() -> Schema {
    object(
        vec![
            field("fills", count("Executions.")),
            field("wins", count("Closing executions with a profit.")),
            field("losses", count("Closing executions with a loss.")),
            field("win_rate_percent", float("Wins in a hundred.").or_null()),
            field("sharpe_ratio", float("Annualised.").or_null()),
            field("sortino_ratio", float("Annualised.").or_null()),
            field(
                "profit_factor",
                float("Gross profit by gross loss.").or_null(),
            ),
            field("turnover", decimal("Value of all executions.")),
            field("losing_streak", count("Losing closes in a row.")),
            field("drawdown_percent", float("Present fall from the peak.")),
            field("max_drawdown_percent", float("Largest fall from a peak.")),
        ],
        "Statistics.",
    )
}

pub(super) fn risk_schema() -> Schema {
    let modes = super::RISK_MODES.map(RiskMode::name);
    object(
        vec![
            field("mode", choice(&modes, "What may pass.")),
            field("cause", text("What stops new risk, in a word.").or_null()),
            field(
                "kill_switch",
                object(
                    vec![
                        field("on", flag("Whether trading is halted.")),
                        field("flatten", flag("Whether positions are closed too.")),
                        field(
                            "flat",
                            flag("Whether the venue has said that nothing is left."),
                        ),
                        field(
                            "flatten_by_default",
                            flag("What a halt does unless it is told otherwise."),
                        ),
                    ],
                    "The kill switch.",
                ),
            ),
            field(
                "daily_loss_until",
                millis("The loss of the day stops new risk until then.").or_null(),
            ),
            field(
                "cool_down_until",
                millis("A losing streak stops new risk until then.").or_null(),
            ),
            field("drawdown", flag("Whether a drawdown stops new risk.")),
            field(
                "quarantine",
                flag("Whether records of the journal were passed over at a start."),
            ),
            field(
                "incomplete",
                flag("Whether the state came from a store that may lack the last records."),
            ),
            field(
                "use",
                object(
                    vec![
                        field(
                            "exposure",
                            decimal("Worst-case value of positions with open orders."),
                        ),
                        field("held", decimal("Money that open orders hold.")),
                        field("margin", decimal("Money that derivatives bind.")),
                        field("available", decimal("What can still be committed.")),
                        field("orders_open", count("Orders that can still change.")),
                        field("orders_unknown", count("Orders whose state nobody knows.")),
                        field("pnl_today", decimal("Profit and loss of the day.")),
                        field("drawdown_percent", float("Present fall from the peak.")),
                        field("losing_streak", count("Losing closes in a row.")),
                    ],
                    "What of the limits is used.",
                ),
            ),
            field(
                "limits",
                object(
                    vec![
                        field("order_notional_max", decimal("Value of an order.")),
                        field("position_notional_max", decimal("Value of a position.")),
                        field("exposure_notional_max", decimal("Value of everything.")),
                        field("daily_loss_max", decimal("Loss of a day.")),
                        field("orders_open_max", count("Open orders.")),
                        field("orders_per_second_max", count("Orders in a second.")),
                        field(
                            "price_collar",
                            decimal("Distance from the market, as a share."),
                        ),
                        field("stale_after_ms", count("Age of market data.")),
                        field("drawdown_max", decimal("Fall from the peak, as a share.")),
                        field("losing_streak_max", count("Losing closes in a row.")),
                        field(
                            "cool_down_s",
                            count("How long a losing streak stops new risk."),
                        ),
                    ],
                    "The limits in force.",
                ),
            ),
        ],
        "Limits, their use, and the kill switch.",
    )
}

pub(super) fn strategy() -> Schema {
    object(
        vec![
            field("name", text("Its name.")),
            field("running", flag("Whether it may trade.")),
            field("last_decision", text("What it decided last.").or_null()),
            field("decided_at", millis("When.").or_null()),
        ],
        "A strategy.",
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
