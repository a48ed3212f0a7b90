//! The report for people, in a terminal.

use std::fmt::Write as _;

use super::totals::percent;
use super::{Report, duration, short, span};
use crate::backtest::stamp;
use crate::kernel::types::Money;

/// Changes of the risk state in words.
const RISK_SHOWN: usize = 5;
/// Months that fit a screen; of more, the newest.
const MONTHS_SHOWN: usize = 24;

/// The report as lines.
pub fn to_text(report: &Report<'_>) -> String {
    let (run, totals, made) = (report.run, &report.totals, report.made);
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            writeln!(out, "{name:<18} {value}").expect("memory");
        }
    };
    let names: Vec<String> = run.instruments.iter().map(|i| i.name.to_string()).collect();
    let strategies = made.strategies.iter().map(|(name, params)| {
        let params: Vec<String> = params.iter().map(|(k, v)| format!("{k}={v}")).collect();
        format!("{name} {}", params.join(" ")).trim_end().to_owned()
    });
    let fills: Vec<String> = made.fills.iter().map(|(k, v)| format!("{k} {v}")).collect();
    let (maker, taker) = &made.fees;
    line("strategy", strategies.collect::<Vec<_>>().join(", "));
    line("instruments", names.join(", "));
    line("span", span(run.span));
    let of = made
        .interval
        .as_ref()
        .map_or(String::new(), |i| format!(" of {i}"));
    line(
        "source",
        format!("{}{of}, {}", made.source, made.files.join(", ")),
    );
    line("fills", fills.join(", "));
    line("fees", format!("maker {maker}, taker {taker}"));
    line("seed", made.seed.to_string());
    line("state hash", format!("{:016x}", run.state_hash));
    out.push('\n');
    let money = |amount: Money| format!("{} {}", short(amount), made.currency);
    let ratio = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.2}"));
    let share = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.2} %"));
    let some = |amount: Option<Money>| amount.map_or("-".to_owned(), short);
    let held = format!("{:.1} %", totals.exposure_percent);
    let rows = [
        ("money", money(run.cash), "trades", trades(report)),
        (
            "equity",
            money(run.equity),
            "win rate",
            share(totals.win_rate_percent),
        ),
        (
            "net profit",
            money(totals.net),
            "profit factor",
            ratio(totals.profit_factor),
        ),
        (
            "return",
            format!("{:+.2} %", totals.return_percent),
            "average trade",
            some(totals.average),
        ),
        (
            "max drawdown",
            format!(
                "{:.2} % ({})",
                totals.drawdown_percent,
                short(totals.drawdown)
            ),
            "average win",
            some(totals.average_win),
        ),
        (
            "sharpe",
            ratio(totals.sharpe),
            "average loss",
            some(totals.average_loss),
        ),
        (
            "sortino",
            ratio(totals.sortino),
            "best trade",
            some(totals.best),
        ),
        ("fees", money(run.fees), "worst trade", some(totals.worst)),
        (
            "funding",
            money(run.funding),
            "average duration",
            duration(totals.duration_ns),
        ),
        (
            "turnover",
            money(run.trades.turnover),
            "time in market",
            held,
        ),
        (
            "orders",
            run.trades.orders.to_string(),
            "fills",
            run.trades.marks.len().to_string(),
        ),
    ];
    for (left, a, right, b) in rows {
        writeln!(out, "{left:<18} {a:<26} {right:<18} {b}").expect("memory");
    }
    months(report, &mut out);
    if let Some(search) = report.search {
        out.push('\n');
        out.push_str(&search.to_text());
    }
    warnings(report, &mut out);
    out
}

fn trades(report: &Report<'_>) -> String {
    let totals = &report.totals;
    let open = match totals.open {
        0 => String::new(),
        open => format!(", {open} open"),
    };
    format!(
        "{} ({} won, {} lost{open})",
        totals.trades, totals.wins, totals.losses
    )
}

fn months(report: &Report<'_>, out: &mut String) {
    let ends = &report.run.months.ends;
    if ends.len() < 2 {
        return;
    }
    out.push('\n');
    for (year, month, before, after) in ends.iter().rev().take(MONTHS_SHOWN).rev() {
        let change = after.minus(*before).unwrap_or_default();
        let percent = percent(change, *before).unwrap_or(0.0);
        writeln!(
            out,
            "{year:04}-{month:02} {percent:>+10.2} % {:>14}",
            short(change)
        )
        .expect("memory");
    }
}

/// What a reader must know before he believes the numbers.
fn warnings(report: &Report<'_>, out: &mut String) {
    let notes = notes(report);
    if !notes.is_empty() {
        out.push('\n');
    }
    for note in notes {
        writeln!(out, "note: {note}").expect("memory");
    }
}

/// The same, a sentence each.
pub(super) fn notes(report: &Report<'_>) -> Vec<String> {
    let trades = &report.run.trades;
    let mut notes = Vec::new();
    for (rule, count) in &trades.refused {
        notes.push(format!("risk refused orders by {rule}: {count} times"));
    }
    if let Some(first) = &trades.first_refusal {
        notes.push(format!("the first refusal: {first}"));
    }
    for (reason, count) in &trades.ended {
        notes.push(format!("{count} orders ended: {reason}"));
    }
    let (shown, more) = report
        .run
        .risk
        .split_at(report.run.risk.len().min(RISK_SHOWN));
    for (time, event) in shown {
        notes.push(format!("{} risk: {event}", stamp(*time)));
    }
    if !more.is_empty() {
        notes.push(format!("{} more changes of the risk state", more.len()));
    }
    notes.extend(report.run.counts.faults.iter().cloned());
    if report.totals.trades + report.totals.open == 0 {
        notes.push("no trade: is there enough data for the strategy to warm up?".to_owned());
    }
    notes
}
