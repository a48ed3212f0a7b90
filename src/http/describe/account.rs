//! Positions, money, risk and strategies.

use hyper::StatusCode;

use super::super::problem::Code;
use super::super::schema::{
    Schema, choice, count, decimal, field, flag, float, int, list, map, millis, named, object,
    one_of, optional, page, text,
};
use super::trading::may;
use super::{Docs, about};
use crate::kernel::risk::RiskMode;
use crate::status::Mode;

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

pub(in crate::http) fn why() -> Docs {
    Docs::new(
        "explain_strategy",
        "The last decision on each instrument.",
        page(named("Decision")),
    )
    .problems(&[Code::UnknownStrategy])
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

pub(super) fn position() -> Schema {
    about(
        "A position.",
        vec![
            field("position_side", named("PositionSide")),
            field("side", named("Direction")),
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
            field("type", text("Which strategy of the table it is.")),
            field(
                "version",
                text("Which version of its settings and program runs."),
            ),
            field("running", flag("Whether it may trade.")),
            field("last_decision", text("What it decided last.").or_null()),
            field("decided_at", millis("When.").or_null()),
            field(
                "reload_error",
                text("Why its newer version does not run.").or_null(),
            ),
        ],
        "A strategy.",
    )
}

pub(super) fn decision() -> Schema {
    let stop = object(
        vec![
            field("rule", text("Its name.")),
            field("text", text("In words.")),
            optional("limit", text("Of a risk rule: the limit in force.")),
            optional("value", text("Of a risk rule: what broke it.")),
            optional("hint", text("Of a risk rule: what to do about it.")),
        ],
        "What kept the decision from becoming an order.",
    );
    object(
        vec![
            field("strategy", text("Name of the strategy.")),
            field("type", text("Which strategy of the table it is.")),
            field(
                "version",
                text("Which version of its settings and program runs."),
            ),
            field(
                "reload_error",
                text("Why its newer version does not run.").or_null(),
            ),
            field("symbol", text("Of the instrument.").or_null()),
            field("venue", text("Of the instrument.").or_null()),
            field("interval", text("Of its candles.")),
            field("running", flag("Whether it may trade.")),
            field("time", millis("When it decided.").or_null()),
            field(
                "candle",
                millis("Start of the candle that had closed last.").or_null(),
            ),
            field(
                "verdict",
                choice(
                    &["hold", "enter", "exit", "quote"],
                    "What the decision came to.",
                ),
            ),
            field(
                "said",
                choice(
                    &["warm_up", "signal", "no_signal", "filter", "text"],
                    "What the strategy said of it.",
                ),
            ),
            field("inputs", map(float("A value."), "What it saw, by name.")),
            field("stopped_by", stop.or_null()),
            field("text", text("All of it in a line.")),
        ],
        "The last decision of a strategy on an instrument.",
    )
}
