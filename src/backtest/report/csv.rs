//! Trades and equity for spreadsheets.

use std::fmt::Write as _;

use super::Report;
use super::json::average;
use crate::kernel::types::Money;

/// A row for each trade.
pub fn trades_csv(report: &Report<'_>) -> String {
    let mut out = String::from(
        "opened,closed,strategy,symbol,side,quantity,entry_price,exit_price,realized_pnl,fees,funding,net_pnl,fills\n",
    );
    let run = report.run;
    let open = run.trades.open().map(|(trip, _)| trip);
    for trip in run.trades.done.iter().chain(open) {
        let Some(instrument) = report.instrument(trip.instrument.index()) else {
            continue;
        };
        let name = trip
            .strategy
            .and_then(|s| run.strategies.get(usize::from(s.0)));
        let text = |amount: Option<Money>| amount.map_or(String::new(), |a| a.to_string());
        let closed = trip.ended.then(|| trip.closed.millis().to_string());
        writeln!(
            out,
            "{},{},{},{},{},{},{},{},{},{},{},{},{}",
            trip.opened.millis(),
            closed.unwrap_or_default(),
            name.map_or("", String::as_str),
            instrument.name,
            if trip.long { "long" } else { "short" },
            trip.entry.0.display(instrument.qty_scale),
            text(average(trip.entry, instrument)),
            text(average(trip.exit, instrument)),
            trip.realized,
            trip.fees,
            trip.funding,
            trip.net(),
            trip.fills
        )
        .expect("memory");
    }
    out
}

/// A row for each point of the equity curve.
pub fn equity_csv(report: &Report<'_>) -> String {
    let mut out = String::from("timestamp,equity\n");
    for point in report.run.curve.points() {
        writeln!(out, "{},{}", point.time.millis(), point.equity).expect("memory");
    }
    out
}
