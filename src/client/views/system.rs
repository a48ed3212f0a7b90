//! How the daemon is: strategies, feeds, status, health.

use serde_json::Value;

use super::super::number::{duration, percent_of_ratio};
use super::super::table::{Align, Cell, Table, Tone, column};
use super::{fine, float, items, name, plain, text, time};

/// Strategies and their last decision.
pub(crate) fn strategies(documents: &[Value]) -> Table {
    let mut table = Table::new(&[
        column("STRATEGY", Align::Left, 0),
        column("STATE", Align::Left, 0),
        column("DECIDED UTC", Align::Left, 1),
        column("LAST DECISION", Align::Prose, 0),
    ]);
    for strategy in items(documents) {
        let running = strategy["running"] == true;
        let state = if running {
            Cell::new("running", Tone::Good)
        } else {
            Cell::new("stopped", Tone::Dim)
        };
        // A decision for each instrument, one a line.
        let decisions = text(&strategy["last_decision"]);
        let first = decisions.lines().next().unwrap_or_default();
        table.rows.push(vec![
            plain(&strategy["name"]),
            state,
            time(&strategy["decided_at"]),
            Cell::plain(first),
        ]);
        for line in decisions.lines().skip(1) {
            let empty = Cell::default;
            table
                .rows
                .push(vec![empty(), empty(), empty(), Cell::plain(line)]);
        }
    }
    table
}

/// Why strategies did what they did, or did not: a decision a line, of every strategy and instrument.
pub(super) fn why(documents: &[Value]) -> Table {
    let mut table = Table::new(&[
        column("STRATEGY", Align::Left, 0),
        column("SYMBOL", Align::Left, 0),
        column("DECIDED UTC", Align::Left, 3),
        column("VERDICT", Align::Left, 0),
        column("RULE", Align::Left, 1),
        column("WHY", Align::Prose, 0),
        column("SAW", Align::Prose, 2),
    ]);
    for document in documents {
        let mut unloaded = None;
        for decision in items(std::slice::from_ref(document)) {
            let stop = &decision["stopped_by"];
            let (rule, tone) = match stop["rule"].as_str() {
                Some(rule) => (rule, Tone::Warn),
                None => (decision["said"].as_str().unwrap_or_default(), Tone::Plain),
            };
            table.rows.push(vec![
                plain(&decision["strategy"]),
                plain(&decision["symbol"]),
                time(&decision["time"]),
                plain(&decision["verdict"]),
                Cell::new(rule, tone),
                Cell::plain(reason(decision)),
                Cell::plain(saw(&decision["inputs"])),
            ]);
            unloaded = decision["reload_error"].as_str().or(unloaded);
        }
        for line in unloaded.into_iter().flat_map(str::lines) {
            let mut row = vec![Cell::default(); 5];
            row.push(Cell::new(format!("not reloaded: {line}"), Tone::Bad));
            table.rows.push(row);
        }
    }
    table
}

/// In words, what kept a decision from becoming an order, or what the strategy said.
fn reason(decision: &Value) -> String {
    if let Some(stop) = decision["stopped_by"]["text"].as_str() {
        return stop.to_owned();
    }
    // `text` is the inputs, the verdict, and this.
    let all = decision["text"].as_str().unwrap_or_default();
    let verdict = decision["verdict"].as_str().unwrap_or_default();
    let behind = all.split_once(&format!("{verdict}; "));
    behind.map_or(all, |(_, reason)| reason).to_owned()
}

/// Inputs with their names.
fn saw(inputs: &Value) -> String {
    let inputs = inputs.as_object().into_iter().flatten();
    let named = inputs.map(|(name, value)| match float(value) {
        // Cheap assets need more digits to tell values apart.
        Some(value) if value.abs() < 100.0 => format!("{name} {value:.6}"),
        Some(value) => format!("{name} {value:.2}"),
        None => format!("{name} -"),
    });
    named.collect::<Vec<_>>().join(", ")
}

/// Above this, a stream that should speak all the time is worth a look.
const AGE_MS_WARN: i64 = 5_000;

/// Every stream, the oldest news first.
pub(crate) fn feeds(documents: &[Value]) -> Table {
    let mut table = Table::new(&[
        column("SYMBOL", Align::Left, 0),
        column("STREAM", Align::Left, 0),
        column("STATE", Align::Left, 0),
        column("AGE", Align::Right, 0),
        column("LATENCY MS", Align::Number, 0),
        column("MESSAGES", Align::Right, 1),
    ]);
    for feed in items(documents) {
        for (stream, is) in feed["streams"].as_object().into_iter().flatten() {
            let state = if is["refused"] == true {
                Cell::new("refused", Tone::Bad)
            } else {
                fine(is["subscribed"] == true, "subscribed", "waiting")
            };
            let age = is["age_ms"].as_i64();
            let tone = match age {
                Some(ms) if ms > AGE_MS_WARN => Tone::Warn,
                _ => Tone::Plain,
            };
            let latency = float(&is["latency_ms"]);
            table.rows.push(vec![
                Cell::plain(name(feed)),
                Cell::plain(stream.as_str()),
                state,
                Cell::new(age.map_or_else(String::new, duration), tone).by(age.unwrap_or(i64::MAX)),
                Cell::plain(latency.map_or_else(String::new, |ms| format!("{ms:.1}"))),
                plain(&is["messages"]),
            ]);
        }
    }
    table
}

/// The state of the daemon as a whole.
pub(super) fn status(document: &Value) -> Vec<Table> {
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let kernel = &document["kernel"];
    let journal = &document["journal"];
    let queues = document["queues"].as_object().into_iter().flatten();
    let queues: Vec<String> = queues
        .map(|(queue, is)| {
            let dropped = number(&is["dropped"]);
            let lost = if dropped > 0 {
                format!(" ({dropped} dropped)")
            } else {
                String::new()
            };
            format!("{queue} {}{lost}", number(&is["depth"]))
        })
        .collect();
    let books = &document["books"];
    let (valid, invalid) = (number(&books["valid"]), number(&books["invalid"]));
    let unknown = number(&kernel["orders_unknown"]);
    let behind = number(&journal["seq"]) - number(&journal["durable"]);
    let store = match &document["store"] {
        Value::Null => Cell::new("none", Tone::Dim),
        store => fine(
            store["up"] == true,
            &format!("up, {} records behind", number(&store["lag_records"])),
            "not reached",
        ),
    };
    let venues = document["venues"].as_array().into_iter().flatten();
    let intervals = document["intervals"].as_array().into_iter().flatten();
    let list = |values: Vec<String>| Cell::plain(values.join(", "));
    let general = Table::pairs(
        None,
        vec![
            (
                "version",
                Cell::plain(format!(
                    "{} (commit {}, {}, {})",
                    text(&document["version"]),
                    text(&document["commit"]),
                    text(&document["target"]),
                    text(&document["link"])
                )),
            ),
            ("mode", plain(&document["mode"])),
            (
                "up",
                Cell::plain(duration(number(&document["uptime_s"]) * 1000)),
            ),
            ("venues", list(venues.map(text).collect())),
            ("instruments", plain(&document["instruments"])),
            ("intervals", list(intervals.map(text).collect())),
            (
                "books",
                fine(
                    invalid == 0,
                    &format!("{valid} verified"),
                    &format!("{valid} verified, {invalid} not valid"),
                ),
            ),
            (
                "orders",
                fine(
                    unknown == 0,
                    &format!("{} open", number(&kernel["orders_open"])),
                    &format!("{} open, {unknown} unknown", number(&kernel["orders_open"])),
                ),
            ),
            ("queues", Cell::plain(queues.join(", "))),
            (
                "journal",
                fine(
                    journal["full"] != true,
                    &format!(
                        "record {}, {behind} on their way to the disk",
                        number(&journal["seq"])
                    ),
                    "the disk is full: only reductions pass",
                ),
            ),
            ("store", store),
        ],
    );
    let mut feeds = Table::new(&[
        column("FEED", Align::Left, 0),
        column("STATE", Align::Left, 0),
        column("MESSAGES", Align::Right, 0),
        column("RECONNECTS", Align::Right, 1),
        column("STALLS", Align::Right, 2),
        column("DECODE ERRORS", Align::Right, 3),
        column("WEIGHT %", Align::Right, 2),
        column("CLOCK MS", Align::Number, 2),
    ]);
    for feed in document["feeds"].as_array().into_iter().flatten() {
        let float = |name: &str| float(&feed[name]);
        feeds.rows.push(vec![
            plain(&feed["venue"]),
            fine(feed["connected"] == true, "connected", "not connected"),
            plain(&feed["messages"]),
            plain(&feed["reconnects"]),
            plain(&feed["stalls"]),
            plain(&feed["decode_errors"]),
            Cell::plain(float("weight_used").map_or_else(String::new, percent_of_ratio)),
            Cell::plain(float("clock_offset_ms").map_or_else(String::new, |ms| format!("{ms:.1}"))),
        ]);
    }
    vec![general, feeds]
}

/// Whether it can do its work, check by check.
pub(super) fn health(document: &Value) -> Vec<Table> {
    let ready = matches!(document["status"].as_str(), Some("ready" | "healthy"));
    let tone = if ready { Tone::Good } else { Tone::Bad };
    let said = Cell::new(text(&document["status"]), tone);
    let mut checks = Table::new(&[
        column("CHECK", Align::Left, 0),
        column("", Align::Left, 0),
        column("DETAIL", Align::Prose, 0),
    ]);
    for check in document["checks"].as_array().into_iter().flatten() {
        checks.rows.push(vec![
            plain(&check["name"]),
            fine(check["ok"] == true, "ok", "FAILED"),
            plain(&check["detail"]),
        ]);
    }
    let general = vec![("status", said), ("version", plain(&document["version"]))];
    vec![Table::pairs(None, general), checks]
}
