//! What is traded: orders, positions, the account, fills, the equity curve.

use serde_json::Value;

use super::super::table::{Align, Cell, Table, Tone, column};
use super::{average, gain, items, money, name, percent, plain, side, status, text, time};

/// Orders, newest first.
pub(crate) fn orders(documents: &[Value]) -> Table {
    let mut table = Table::new(&[
        column("ORDER", Align::Right, 0),
        column("SYMBOL", Align::Left, 0),
        column("SIDE", Align::Left, 0),
        column("TYPE", Align::Left, 0),
        column("QUANTITY", Align::Number, 0),
        column("PRICE", Align::Number, 0),
        column("STOP", Align::Number, 1),
        column("FILLED", Align::Number, 1),
        column("AVERAGE", Align::Number, 2),
        column("STATUS", Align::Left, 0),
        column("STRATEGY", Align::Left, 3),
        column("CREATED UTC", Align::Left, 4),
        column("REASON", Align::Prose, 5),
    ]);
    for order in items(documents) {
        table.rows.push(vec![
            plain(&order["order_id"]),
            Cell::plain(name(order)),
            side(&order["side"]),
            plain(&order["type"]),
            plain(&order["quantity"]),
            plain(&order["price"]),
            plain(&order["stop_price"]),
            plain(&order["filled_quantity"]),
            average(&order["avg_fill_price"]),
            status(&order["status"]),
            plain(&order["strategy"]),
            time(&order["created_at"]),
            plain(&order["reason"]),
        ]);
    }
    table
}

/// Everything about an order.
pub(super) fn order(order: &Value) -> Table {
    let list = |value: &Value| {
        let ids = value.as_array().map_or(&[][..], Vec::as_slice);
        Cell::plain(ids.iter().map(text).collect::<Vec<_>>().join(", "))
    };
    let flags = [
        "post_only",
        "reduce_only",
        "close_position",
        "triggered",
        "disputed",
    ];
    let flags: Vec<&str> = flags
        .into_iter()
        .filter(|flag| order[*flag] == true)
        .collect();
    let latency = order["latency_us"].as_i64();
    Table::pairs(
        Some(&format!("order {}", text(&order["order_id"]))),
        vec![
            ("status", status(&order["status"])),
            ("reason", plain(&order["reason"])),
            ("symbol", Cell::plain(name(order))),
            ("side", side(&order["side"])),
            ("position side", plain(&order["position_side"])),
            ("type", plain(&order["type"])),
            ("quantity", plain(&order["quantity"])),
            ("price", plain(&order["price"])),
            ("stop price", plain(&order["stop_price"])),
            ("trail percent", plain(&order["trail_percent"])),
            ("activation price", plain(&order["activation_price"])),
            ("trigger by", plain(&order["trigger_by"])),
            ("time in force", plain(&order["time_in_force"])),
            ("expires", time(&order["expires"])),
            ("flags", Cell::plain(flags.join(", "))),
            ("filled", plain(&order["filled_quantity"])),
            ("average price", average(&order["avg_fill_price"])),
            ("remaining", plain(&order["remaining_quantity"])),
            ("fee", money(&order["fee"])),
            ("strategy", plain(&order["strategy"])),
            ("account", plain(&order["account"])),
            ("client order id", plain(&order["client_order_id"])),
            ("venue order ids", list(&order["venue_order_ids"])),
            ("entry order", plain(&order["parent_order_id"])),
            ("exit orders", list(&order["exit_order_ids"])),
            ("created", time(&order["created_at"])),
            ("updated", time(&order["updated_at"])),
            (
                "latency",
                Cell::plain(latency.map_or_else(String::new, |us| format!("{us} µs"))),
            ),
        ],
    )
}

/// Positions, open or with a history.
pub(crate) fn positions(documents: &[Value]) -> Table {
    let mut table = Table::new(&[
        column("SYMBOL", Align::Left, 0),
        column("SIDE", Align::Left, 0),
        column("QUANTITY", Align::Number, 0),
        column("ENTRY", Align::Number, 0),
        column("MARK", Align::Number, 0),
        column("UNREALIZED", Align::Number, 0),
        column("REALIZED", Align::Number, 1),
        column("FEES", Align::Number, 2),
        column("FUNDING", Align::Number, 3),
        column("LEVERAGE", Align::Right, 3),
        column("MARGIN", Align::Number, 3),
        column("LIQUIDATION", Align::Number, 1),
    ]);
    for position in items(documents) {
        let derivative = position["leverage"].as_i64().is_some();
        let of_derivative = |cell: Cell| if derivative { cell } else { Cell::default() };
        let leverage = text(&position["leverage"]);
        table.rows.push(vec![
            Cell::plain(name(position)),
            side(&position["side"]),
            plain(&position["quantity"]),
            average(&position["entry_price"]),
            plain(&position["mark_price"]),
            gain(&position["unrealized_pnl"]),
            gain(&position["realized_pnl"]),
            money(&position["fees"]),
            of_derivative(gain(&position["funding"])),
            of_derivative(Cell::plain(format!(
                "{leverage}x {}",
                text(&position["margin_mode"])
            ))),
            of_derivative(money(&position["margin"])),
            plain(&position["liquidation_price"]),
        ]);
    }
    table
}

/// Money, and what trading came to.
pub(super) fn account(account: &Value) -> Vec<Table> {
    let currency = text(&account["currency"]);
    let number = |head| column(head, Align::Number, 0);
    let mut amounts = Table::new(&[column("", Align::Left, 0), number("")]);
    amounts.headless = true;
    amounts.title = Some(format!(
        "account {} ({}), {currency}",
        text(&account["account"]),
        text(&account["mode"])
    ));
    for (label, field) in [
        ("equity", "equity"),
        ("cash", "cash"),
        ("held by orders", "held"),
        ("margin", "margin"),
        ("available", "available"),
        ("exposure", "exposure"),
    ] {
        amounts
            .rows
            .push(vec![Cell::plain(label), money(&account[field])]);
    }
    for (label, field) in [
        ("PnL today", "pnl_today"),
        ("PnL total", "pnl_total"),
        ("realized PnL", "realized_pnl"),
        ("unrealized PnL", "unrealized_pnl"),
        ("funding", "funding"),
    ] {
        amounts
            .rows
            .push(vec![Cell::plain(label), gain(&account[field])]);
    }
    amounts
        .rows
        .push(vec![Cell::plain("fees"), money(&account["fees"])]);
    let mut balances = Table::new(&[column("ASSET", Align::Left, 0), number("TOTAL")]);
    for balance in account["balances"].as_array().into_iter().flatten() {
        balances
            .rows
            .push(vec![plain(&balance["asset"]), plain(&balance["total"])]);
    }
    let stats = &account["stats"];
    let with_unit = |value: &Value, unit: &str| {
        let mut cell = percent(value);
        if !cell.text.is_empty() {
            cell.text.push_str(unit);
        }
        cell
    };
    let statistics = Table::pairs(
        Some("statistics"),
        vec![
            ("fills", plain(&stats["fills"])),
            (
                "won, lost",
                Cell::plain(format!(
                    "{}, {}",
                    text(&stats["wins"]),
                    text(&stats["losses"])
                )),
            ),
            ("won of closed", with_unit(&stats["win_rate_percent"], " %")),
            ("profit factor", with_unit(&stats["profit_factor"], "")),
            ("Sharpe ratio", with_unit(&stats["sharpe_ratio"], "")),
            ("Sortino ratio", with_unit(&stats["sortino_ratio"], "")),
            ("drawdown", with_unit(&stats["drawdown_percent"], " %")),
            (
                "largest drawdown",
                with_unit(&stats["max_drawdown_percent"], " %"),
            ),
            ("losses in a row", plain(&stats["losing_streak"])),
            ("turnover", money(&stats["turnover"])),
        ],
    );
    vec![amounts, balances, statistics]
}

/// Fills, newest first.
pub(super) fn fills(documents: &[Value]) -> Table {
    let mut table = Table::new(&[
        column("TIME UTC", Align::Left, 0),
        column("ORDER", Align::Right, 0),
        column("SYMBOL", Align::Left, 0),
        column("SIDE", Align::Left, 0),
        column("PRICE", Align::Number, 0),
        column("QUANTITY", Align::Number, 0),
        column("FEE", Align::Number, 1),
        column("", Align::Left, 1),
        column("PNL", Align::Number, 1),
        column("ROLE", Align::Left, 2),
        column("STRATEGY", Align::Left, 3),
    ]);
    for fill in items(documents) {
        let role = if fill["liquidation"] == true {
            Cell::new("liquidation", Tone::Bad)
        } else {
            plain(&fill["liquidity"])
        };
        table.rows.push(vec![
            time(&fill["timestamp"]),
            plain(&fill["order_id"]),
            Cell::plain(name(fill)),
            side(&fill["side"]),
            plain(&fill["price"]),
            plain(&fill["quantity"]),
            money(&fill["fee_amount"]),
            plain(&fill["fee_asset"]),
            gain(&fill["realized_pnl"]),
            role,
            plain(&fill["strategy"]),
        ]);
    }
    table
}

/// Equity over time, newest first.
pub(super) fn equity(documents: &[Value]) -> Table {
    let mut table = Table::new(&[
        column("TIME UTC", Align::Left, 0),
        column("EQUITY", Align::Number, 0),
        column("PNL", Align::Number, 0),
    ]);
    for point in items(documents) {
        table.rows.push(vec![
            time(&point["timestamp"]),
            money(&point["equity"]),
            gain(&point["pnl"]),
        ]);
    }
    table
}
