//! The report for programs: one object. Amounts are exact decimals, ratios doubles.

use super::Report;
use super::totals::percent;
use crate::backtest::Trip;
use crate::json::Json;
use crate::kernel::types::{Instrument, Money, Qty};

/// The report as one JSON object.
pub fn to_json(report: &Report<'_>) -> Vec<u8> {
    let mut json = Json::new(false);
    json.object(|j| {
        head(j, report);
        lists(j, report);
        months(j, report);
        if let Some(search) = report.search {
            search.json(j);
        }
    });
    json.into_bytes()
}

/// What a run was, and its sums.
pub(super) fn head(j: &mut Json, report: &Report<'_>) {
    let (run, made) = (report.run, report.made);
    j.key("version").text(env!("CARGO_PKG_VERSION"));
    j.key("from").int(run.span.0.millis());
    j.key("to").int(run.span.1.millis());
    j.key("source").object(|j| {
        j.key("kind").text(made.source);
        j.key("interval").text_or_null(made.interval.as_deref());
        j.key("files").array(|j| {
            for f in &made.files {
                j.text(f);
            }
        });
        j.key("frames").int(run.counts.frames);
        j.key("errors").int(run.counts.errors);
        j.key("holes").int(run.counts.holes);
    });
    j.key("instruments").array(|j| {
        for (at, instrument) in run.instruments.iter().enumerate() {
            j.object(|j| {
                j.key("symbol").text(&instrument.name.to_string());
                j.key("kind").text(instrument.contract.name());
                j.key("tick").price(instrument.tick, instrument);
                j.key("lot").qty(instrument.lot, instrument);
                let mark = run.marks.get(at).copied().flatten();
                j.key("last_price").price_or_null(mark, instrument);
            });
        }
    });
    j.key("strategies").array(|j| {
        for (name, params) in &made.strategies {
            j.object(|j| {
                j.key("name").text(name);
                j.key("params").object(|j| {
                    for (key, value) in params {
                        j.key(key).text(value);
                    }
                });
            });
        }
    });
    j.key("fees").object(|j| {
        j.key("maker").text(&made.fees.0);
        j.key("taker").text(&made.fees.1);
    });
    j.key("fill_model").object(|j| {
        for (key, value) in &made.fills {
            j.key(key).text(value);
        }
    });
    j.key("seed").int(made.seed);
    j.key("state_hash")
        .id(format_args!("{:016x}", run.state_hash));
    j.key("currency").text(&made.currency);
    j.key("totals").object(|j| totals(j, report));
    j.key("refused").object(|j| {
        for (rule, count) in &run.trades.refused {
            j.key(rule).int(*count);
        }
    });
    j.key("orders_ended").object(|j| {
        for (reason, count) in &run.trades.ended {
            j.key(reason).int(*count);
        }
    });
}

fn lists(j: &mut Json, report: &Report<'_>) {
    let run = report.run;
    j.key("trades").array(|j| {
        let open = run.trades.open().map(|(trip, _)| trip);
        for trip in run.trades.done.iter().chain(open) {
            if let Some(instrument) = report.instrument(trip.instrument.index()) {
                j.object(|j| one(j, trip, report, instrument));
            }
        }
    });
    j.key("fills").array(|j| {
        for mark in &run.trades.marks {
            let Some(instrument) = report.instrument(mark.instrument.index()) else {
                continue;
            };
            j.object(|j| {
                j.key("timestamp").int(mark.time.millis());
                j.key("symbol").text(&instrument.name.to_string());
                j.key("order_id").id(mark.order.0);
                j.key("side").text(mark.side.name());
                j.key("price").price(mark.price, instrument);
                j.key("quantity").qty(mark.qty, instrument);
                j.key("fee").money(mark.fee);
                j.key("maker").bool(mark.maker);
            });
        }
    });
    j.key("equity").array(|j| {
        for point in run.curve.points() {
            j.array(|j| {
                j.int(point.time.millis());
                j.money(point.equity);
            });
        }
    });
}

/// Equity by months.
pub(super) fn months(j: &mut Json, report: &Report<'_>) {
    j.key("months").array(|j| {
        for (year, month, before, after) in &report.run.months.ends {
            let change = after.minus(*before).unwrap_or_default();
            j.object(|j| {
                j.key("month").id(format_args!("{year:04}-{month:02}"));
                j.key("net_pnl").money(change);
                j.key("return_percent")
                    .float_or_null(percent(change, *before));
            });
        }
    });
}

fn totals(j: &mut Json, report: &Report<'_>) {
    let (run, t) = (report.run, &report.totals);
    j.key("cash").money(run.cash);
    j.key("equity").money(run.equity);
    j.key("net_pnl").money(t.net);
    j.key("realized_pnl").money(t.realized);
    j.key("fees").money(run.fees);
    j.key("funding").money(run.funding);
    j.key("return_percent").float(t.return_percent);
    j.key("max_drawdown_percent").float(t.drawdown_percent);
    j.key("max_drawdown").money(t.drawdown);
    j.key("sharpe_ratio").float_or_null(t.sharpe);
    j.key("sortino_ratio").float_or_null(t.sortino);
    j.key("profit_factor").float_or_null(t.profit_factor);
    j.key("win_rate_percent").float_or_null(t.win_rate_percent);
    j.key("trades").count(t.trades);
    j.key("trades_won").count(t.wins);
    j.key("trades_lost").count(t.losses);
    j.key("trades_open").count(t.open);
    j.key("average_trade").money_or_null(t.average);
    j.key("average_win").money_or_null(t.average_win);
    j.key("average_loss").money_or_null(t.average_loss);
    j.key("best_trade").money_or_null(t.best);
    j.key("worst_trade").money_or_null(t.worst);
    j.key("losing_streak").count(t.losing_streak);
    j.key("average_duration_ms").int(t.duration_ns / 1_000_000);
    j.key("exposure_percent").float(t.exposure_percent);
    j.key("turnover").money(run.trades.turnover);
    j.key("orders").int(run.trades.orders);
    j.key("fills").count(run.trades.marks.len());
}

/// The fields of a trade.
pub(super) fn one(j: &mut Json, trip: &Trip, report: &Report<'_>, instrument: &Instrument) {
    let name = trip.strategy.and_then(|s| {
        let names = &report.run.strategies;
        names.get(usize::from(s.0)).map(String::as_str)
    });
    j.key("strategy").text_or_null(name);
    j.key("symbol").text(&instrument.name.to_string());
    j.key("side").text(if trip.long { "long" } else { "short" });
    j.key("opened").int(trip.opened.millis());
    if trip.ended {
        j.key("closed").int(trip.closed.millis());
    } else {
        j.key("closed").null();
    }
    j.key("quantity").qty(trip.entry.0, instrument);
    j.key("entry_price")
        .money_or_null(average(trip.entry, instrument));
    j.key("exit_price")
        .money_or_null(average(trip.exit, instrument));
    j.key("realized_pnl").money(trip.realized);
    j.key("fees").money(trip.fees);
    j.key("funding").money(trip.funding);
    j.key("net_pnl").money(trip.net());
    j.key("fills").int(trip.fills);
    j.key("liquidated").bool(trip.liquidated);
}

/// Mean price of what was executed, at the digits of an amount.
pub(super) fn average((qty, value): (Qty, Money), instrument: &Instrument) -> Option<Money> {
    let one = Qty(instrument.qty_scale.unit());
    (qty > Qty::ZERO)
        .then(|| value.share(one, qty).ok())
        .flatten()
}
