//! What `hean indicators` prints: an indicator over a file of candles, or the table of all.

use crate::candle_csv::CandleRow;
use crate::json::Json;
use crate::kernel::indicators::{Field, INDICATORS, Param, Row, Spec, Values};

/// A timestamp of the file is no time, and the indicator needs one.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name} needs the candles' times, and the timestamp {timestamp:?} is none: expected 2024-08-09 13:05, \
     with T, Z or +02:00 where wanted, or milliseconds since 1970"
)]
pub struct TimeError {
    name: &'static str,
    timestamp: String,
}

/// The values of an indicator over a file, a row each.
pub fn values(spec: &Spec, rows: &[CandleRow]) -> Result<Vec<Option<Values>>, TimeError> {
    if spec.row().inputs.contains(&Field::Time)
        && let Some(row) = rows.iter().find(|row| !row.timed)
    {
        return Err(TimeError {
            name: spec.row().name,
            timestamp: row.timestamp.clone(),
        });
    }
    Ok(spec.batch(rows.iter().map(|row| row.bar)))
}

/// Values as CSV; nothing where not warmed up.
pub fn series_csv(spec: &Spec, rows: &[CandleRow], values: &[Option<Values>]) -> String {
    let outputs = spec.row().outputs;
    let mut out = format!("timestamp,{}", outputs.join(","));
    for (row, value) in rows.iter().zip(values) {
        out.push('\n');
        out.push_str(&row.timestamp);
        for at in 0..outputs.len() {
            out.push(',');
            let value = value.and_then(|v| v.get(at).copied());
            out.push_str(&value.map(|v| v.to_string()).unwrap_or_default());
        }
    }
    out
}

/// Values as JSON: `type`, `params`, `timestamps`, `outputs` by name; `null` where not warmed up.
pub fn series_json(spec: &Spec, rows: &[CandleRow], values: &[Option<Values>]) -> Vec<u8> {
    let mut json = Json::new(false);
    json.object(|j| {
        j.key("type").text(spec.row().name);
        j.key("params")
            .array(|j| spec.params().iter().for_each(|p| j.float(*p)));
        j.key("timestamps")
            .array(|j| rows.iter().for_each(|r| j.text(&r.timestamp)));
        j.key("outputs").object(|j| {
            for (at, output) in spec.row().outputs.iter().enumerate() {
                j.key(output).array(|j| {
                    for value in values {
                        j.float_or_null(value.and_then(|v| v.get(at).copied()));
                    }
                });
            }
        });
    });
    json.into_bytes()
}

/// The table for people: two lines an indicator.
pub fn table_text() -> String {
    let lines = INDICATORS.iter().map(|row| {
        let params: Vec<String> = row.params.iter().map(param_text).collect();
        let params = params.join(", ");
        let about = [row.title, &params].join(if params.is_empty() { "" } else { ": " });
        let outputs = row.outputs.join(", ");
        let inputs = names(row.inputs).join(", ");
        let library = row
            .ta_lib
            .map(|name| format!("TA-Lib {name}: "))
            .unwrap_or_default();
        format!(
            "{:<16} {about}\n{:<16} {inputs} -> {outputs}; {library}{}",
            row.name, "", row.source
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn param_text(param: &Param) -> String {
    let Param { name, default, .. } = param;
    format!(
        "{name} {default} ({} to {})",
        short(param.min),
        short(param.max)
    )
}

/// A number as people write it.
fn short(number: f64) -> String {
    if number.abs() < 1e15 {
        number.to_string()
    } else {
        format!("{number:e}")
    }
}

fn names(fields: &[Field]) -> Vec<String> {
    fields.iter().map(ToString::to_string).collect()
}

/// The table as JSON: under `indicators`, a list of objects with `name`, `title`, `params` (each with
/// `name`, `min`, `max`, `default`, `whole`), `inputs`, `outputs`, `lookback` with default parameters,
/// `ta_lib` and `source`.
pub fn table_json() -> Vec<u8> {
    let mut json = Json::new(false);
    json.object(|j| {
        j.key("indicators")
            .array(|j| INDICATORS.iter().for_each(|row| row_json(j, row)));
    });
    json.into_bytes()
}

fn row_json(json: &mut Json, row: &Row) {
    let defaults: Vec<f64> = row.params.iter().map(|p| p.default).collect();
    json.object(|j| {
        j.key("name").text(row.name);
        j.key("title").text(row.title);
        j.key("params").array(|j| {
            for param in row.params {
                j.object(|j| {
                    j.key("name").text(param.name);
                    j.key("min").float(param.min);
                    j.key("max").float(param.max);
                    j.key("default").float(param.default);
                    j.key("whole").bool(param.whole);
                });
            }
        });
        j.key("inputs")
            .array(|j| names(row.inputs).iter().for_each(|name| j.text(name)));
        j.key("outputs")
            .array(|j| row.outputs.iter().for_each(|name| j.text(name)));
        j.key("lookback").count((row.lookback)(&defaults));
        j.key("ta_lib").text_or_null(row.ta_lib);
        j.key("source").text(row.source);
    });
}
