//! Indicators: a summary of those that the kernel keeps, or one computed over the kept candles.

use super::market::names;
use crate::http::params::{INTERVAL, Kind, NUMBERS, PARAMS, Param, SERIES_LIMIT, TYPE, number};
use crate::http::problem::{Code, Problem};
use crate::http::query::invalid;
use crate::http::reply::Reply;
use crate::http::routes::{Answer, Call};
use crate::http::state::IndicatorSeries;
use crate::json::Json;
use crate::kernel::event::Candle;
use crate::kernel::indicators::{INDICATORS, Spec};
use crate::kernel::market::CandleLog;
use crate::kernel::snapshot::SeriesView;
use crate::kernel::types::{Instrument, Interval};

/// Keys of the summary, the kept indicator each comes from, and which of its outputs.
pub(in crate::http) const SUMMARY: &[(&str, &str, usize)] = &[
    ("sma_20", "sma:20", 0),
    ("ema_20", "ema:20", 0),
    ("rsi_14", "rsi:14", 0),
    ("macd", "macd:12:26:9", 0),
    ("macd_signal", "macd:12:26:9", 1),
    ("macd_histogram", "macd:12:26:9", 2),
    ("bb_upper", "bbands:20:2", 0),
    ("bb_middle", "bbands:20:2", 1),
    ("bb_lower", "bbands:20:2", 2),
];

/// Parameters that are about the answer, then those of indicators by their own names; a test holds the latter
/// against the table.
pub(in crate::http) const QUERY: &[Param] = &[
    TYPE,
    PARAMS,
    INTERVAL,
    SERIES_LIMIT,
    NUMBERS,
    number("period", "14"),
    number("fast", "12"),
    number("slow", "26"),
    number("signal", "9"),
    number("factor", "3"),
    number("deviations", "2"),
    number("k", "14"),
    number("smooth", "3"),
    number("d", "3"),
    number("acceleration", "0.02"),
    number("maximum", "0.2"),
    number("short", "7"),
    number("medium", "14"),
    number("long", "28"),
    number("atr", "10"),
    number("base", "26"),
    number("conversion", "9"),
    number("span", "52"),
];

/// Parameters of indicators.
fn params() -> impl Iterator<Item = &'static Param> {
    QUERY
        .iter()
        .filter(|param| matches!(param.kind, Kind::Number { .. }))
}

/// `GET /api/v1/indicators/{symbol}`.
pub(in crate::http) fn indicators(call: &Call) -> Answer {
    let (_, published) = call.app().instrument(&call.arg)?;
    let (at, interval) = call.app().interval(call.query.get(&INTERVAL))?;
    let instrument = published.instrument.load();
    let series = published.series.get(at).map(|s| s.view.load_full());
    let series = series.unwrap_or_default();
    let Some(kind) = call.query.get(&TYPE) else {
        for param in params().chain([&PARAMS, &SERIES_LIMIT]) {
            if let Some(value) = call.query.get(param) {
                return Err(invalid(param, value, "left out, or type given with it"));
            }
        }
        let summary = summary(call, &instrument, interval, &series);
        return Ok(summary);
    };
    let limit = call.query.count(&SERIES_LIMIT)?;
    let spec = spec(call, kind)?;
    let values = (call.app().state.indicator)(&spec, &series.closed, &instrument)
        .map_err(|error| Problem::new(Code::InvalidParameter, error).member("field", "type"))?;
    let mut json = Json::new(call.strings);
    json.object(|j| {
        names(j, &instrument);
        j.key("interval").id(interval);
        let (kind, params) = values.name.split_once(':').unwrap_or((&values.name, ""));
        j.key("type").text(kind);
        j.key("params").text(params);
        match limit {
            Some(limit) => write_series(j, &values, &series.closed, limit),
            None => write_last(j, &values, &series.closed),
        }
    });
    Ok(Reply::json(json))
}

/// The spelling of the asked indicator: `type`, then `params`, or parameters by their names.
fn spec(call: &Call, kind: &str) -> Result<String, Box<Problem>> {
    /// Longer than any indicator's spelling.
    const LEN_MAX: usize = 96;
    if kind.is_empty() || kind.len() > LEN_MAX || kind.contains(':') {
        return Err(invalid(
            &TYPE,
            kind,
            "the name of an indicator, such as rsi",
        ));
    }
    let mut spec = kind.to_owned();
    let all = call.query.get(&PARAMS);
    if let Some(params) = all {
        if params.len() > LEN_MAX {
            let wanted = "numbers with colons between, such as 12:26:9";
            return Err(invalid(&PARAMS, params, wanted));
        }
        spec.push(':');
        spec.push_str(params);
    }
    let mut named = false;
    for param in params() {
        let name = param.name;
        let Some(value) = call.query.get(param) else {
            continue;
        };
        if let Some(params) = all {
            let wanted = format!("left out when {name} is given");
            return Err(invalid(&PARAMS, params, &wanted));
        }
        if value.len() > LEN_MAX || value.contains(':') {
            return Err(invalid(param, value, "a number"));
        }
        spec.push(':');
        spec.push_str(name);
        spec.push('=');
        spec.push_str(value);
        named = true;
    }
    if !named || INDICATORS.iter().all(|row| row.name != kind) {
        return Ok(spec);
    }
    match Spec::parse(&spec) {
        Ok(spec) => Ok(spec.to_string()),
        Err(error) => {
            let field = error.param().unwrap_or("type").to_owned();
            Err(Problem::new(Code::InvalidParameter, error.to_string()).member("field", field))
        }
    }
}

/// Values after the last closed candle, each under its own name.
fn write_last(json: &mut Json, values: &IndicatorSeries, candles: &CandleLog) {
    json.key("timestamp");
    timestamp(json, candles.last());
    let row = values.rows.last().copied().flatten();
    for (at, output) in values.outputs.iter().enumerate() {
        json.key(output)
            .float_or_null(row.and_then(|row| row.get(at).copied()));
    }
}

/// The last `limit` values, as the command line prints them.
fn write_series(json: &mut Json, values: &IndicatorSeries, candles: &CandleLog, limit: usize) {
    let skip = values.rows.len().saturating_sub(limit);
    json.key("timestamps").array(|j| {
        for candle in candles.iter().skip(skip) {
            j.int(candle.open_time.millis());
        }
    });
    json.key("outputs").object(|j| {
        for (at, output) in values.outputs.iter().enumerate() {
            j.key(output).array(|j| {
                for row in values.rows.iter().skip(skip) {
                    j.float_or_null(row.and_then(|row| row.get(at).copied()));
                }
            });
        }
    });
}

fn summary(call: &Call, instrument: &Instrument, interval: Interval, series: &SeriesView) -> Reply {
    let mut json = Json::new(call.strings);
    json.object(|j| {
        names(j, instrument);
        j.key("interval").id(interval);
        j.key("timestamp");
        timestamp(j, series.closed.last());
        for (key, name, output) in SUMMARY {
            let view = series.indicators.iter().find(|view| view.name == *name);
            let values = view.and_then(|view| view.values);
            j.key(key)
                .float_or_null(values.and_then(|values| values.get(*output).copied()));
        }
    });
    Reply::json(json)
}

fn timestamp(json: &mut Json, candle: Option<&Candle>) {
    match candle {
        Some(candle) => json.int(candle.open_time.millis()),
        None => json.null(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_parameter_of_the_table_can_be_named() {
        let known: BTreeSet<&str> = params().map(|param| param.name).collect();
        let table = INDICATORS.iter().flat_map(|row| row.params);
        let table: BTreeSet<&str> = table.map(|param| param.name).collect();
        assert_eq!(known, table);
    }
}
