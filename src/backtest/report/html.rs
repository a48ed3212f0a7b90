//! The report as one file that needs no other: page, style and script are built in, and the page's own policy
//! forbids it any request.

use super::Report;
use super::json::{head, months, one};
use super::text::notes;
use crate::backtest::{Bars, Mark, Trip};
use crate::json::Json;
use crate::kernel::types::{Instrument, Side};

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
/// Trades in the file; of more, the newest.
const TRADES_MAX: usize = 20_000;
/// Executions in a chart; of more, the newest.
const MARKS_MAX: usize = 40_000;

/// The report as a page.
pub fn to_html(report: &Report<'_>) -> String {
    let mut json = Json::new(false);
    json.object(|j| data(j, report));
    let data = String::from_utf8(json.into_bytes()).unwrap_or_default();
    // Nothing in it may end the element that it stands in.
    let data = data.replace('<', "\\u003c");
    let mut out = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + data.len());
    let mut rest = PAGE;
    for (place, text) in [
        ("/*STYLE*/", STYLE),
        ("/*DATA*/", data.as_str()),
        ("/*SCRIPT*/", SCRIPT),
    ] {
        let (before, after) = rest.split_once(place).unwrap_or((rest, ""));
        out.push_str(before);
        out.push_str(text);
        rest = after;
    }
    out.push_str(rest);
    out
}

fn data(j: &mut Json, report: &Report<'_>) {
    let run = report.run;
    head(j, report);
    months(j, report);
    j.key("notes")
        .array(|j| notes(report).iter().for_each(|note| j.text(note)));
    j.key("search");
    match report.search {
        None => j.null(),
        Some(search) => j.object(|j| {
            j.key("title").text(&search.title());
            j.key("rows").array(|j| {
                for row in search.table() {
                    j.array(|j| row.iter().for_each(|cell| j.text(cell)));
                }
            });
        }),
    }
    let step = run.bars.iter().filter_map(width).min();
    j.key("step").int(step.unwrap_or(60_000));
    j.key("curve").array(|j| {
        for point in run.curve.points() {
            j.array(|j| {
                j.int(point.time.millis());
                j.money(point.equity);
                j.money(point.low);
            });
        }
    });
    j.key("charts").array(|j| {
        for (at, instrument) in run.instruments.iter().enumerate() {
            j.object(|j| chart(j, report, at, instrument));
        }
    });
    let trips: Vec<&Trip> = run
        .trades
        .done
        .iter()
        .chain(run.trades.open().map(|(trip, _)| trip))
        .collect();
    let left_out = trips.len().saturating_sub(TRADES_MAX);
    j.key("trades_left_out").count(left_out);
    j.key("trades").array(|j| {
        for trip in trips.iter().skip(left_out) {
            if let Some(instrument) = report.instrument(trip.instrument.index()) {
                j.object(|j| {
                    j.key("at").int(trip.instrument.0);
                    one(j, trip, report, instrument);
                });
            }
        }
    });
}

fn chart(j: &mut Json, report: &Report<'_>, at: usize, instrument: &Instrument) {
    let run = report.run;
    let bars = run.bars.get(at).map_or(&[][..], Bars::bars);
    j.key("step")
        .int(run.bars.get(at).and_then(width).unwrap_or(60_000));
    j.key("bars").array(|j| {
        for bar in bars {
            j.array(|j| {
                j.int(bar.open_time.millis());
                for price in [bar.open, bar.high, bar.low, bar.close] {
                    j.price(price, instrument);
                }
            });
        }
    });
    let marks = run
        .trades
        .marks
        .iter()
        .filter(|m| m.instrument.index() == at);
    let marks: Vec<&Mark> = marks.collect();
    j.key("marks").array(|j| {
        for mark in marks.iter().skip(marks.len().saturating_sub(MARKS_MAX)) {
            j.array(|j| {
                j.int(mark.time.millis());
                j.int(u8::from(mark.side == Side::Buy));
                j.price(mark.price, instrument);
                j.qty(mark.qty, instrument);
            });
        }
    });
}

/// The time between two candles of a chart, in milliseconds.
fn width(bars: &Bars) -> Option<i64> {
    let pairs = bars.bars().iter().zip(bars.bars().iter().skip(1));
    pairs
        .map(|(a, b)| b.open_time.millis() - a.open_time.millis())
        .min()
}
