//! Strategies, and the state of the daemon as a whole.

use std::sync::atomic::Ordering::Relaxed;

use super::feeds;
use super::market::time;
use super::orders::{Told, impossible, tell};
use super::page;
use crate::http::AppState;
use crate::http::params::SYMBOL;
use crate::http::problem::{Code, Problem, either, nearest};
use crate::http::reply::Reply;
use crate::http::routes::{Answer, Answering, Call};
use crate::json::Json;
use crate::kernel::event::{CommandKind, Outcome};
use crate::kernel::snapshot::{DecisionView, Stop, StrategyView};
use crate::kernel::types::{InstrumentName, SECOND};
use crate::status::{JournalStatus, RecoveryStatus};

/// `GET /api/v1/strategies`.
pub(in crate::http) fn strategies(call: &Call) -> Reply {
    let kernel = call.app().state.published.kernel.load();
    let mut json = Json::new(call.strings);
    page(
        &mut json,
        usize::MAX,
        kernel.strategies.iter(),
        |j, view| {
            strategy(j, view, &call.app().state);
            view.name.clone()
        },
    );
    Reply::json(json)
}

fn strategy(json: &mut Json, view: &StrategyView, state: &AppState) {
    let published = &state.published;
    let symbol = |d: &DecisionView| {
        let slot = published.instruments.get(d.instrument.index());
        slot.map_or_else(String::new, |s| s.instrument.load().name.symbol.clone())
    };
    let lines = view.decisions.iter();
    let lines: Vec<String> = lines.map(|d| format!("{}: {d}", symbol(d))).collect();
    json.object(|j| {
        j.key("name").text(&view.name);
        j.key("type").text(&view.kind);
        j.key("version").text(&format!("{:016x}", view.version));
        j.key("running").bool(view.running);
        j.key("last_decision")
            .text_or_null(Some(lines.join("\n").as_str()).filter(|d| !d.is_empty()));
        j.key("decided_at");
        time(j, view.decided_at());
        let errors = state.reload.errors();
        j.key("reload_error")
            .text_or_null(errors.get(&view.name).map(String::as_str));
    });
}

/// `GET /api/v1/strategies/{name}/why`.
pub(in crate::http) fn why(call: &Call) -> Answer {
    let published = &call.app().state.published;
    let kernel = published.kernel.load();
    let view = kernel.strategies.iter().find(|s| s.name == call.arg);
    let view = view.ok_or_else(|| unknown(&call.arg, &kernel.strategies))?;
    let wanted = match call.query.get(&SYMBOL) {
        Some(symbol) => Some(call.app().instrument(symbol)?.0),
        None => None,
    };
    let shown = |d: &&DecisionView| wanted.is_none_or(|id| d.instrument == id);
    let mut json = Json::new(call.strings);
    page(
        &mut json,
        usize::MAX,
        view.decisions.iter().filter(shown),
        |j, decision| {
            let slot = published.instruments.get(decision.instrument.index());
            let name = slot.map(|s| s.instrument.load().name.clone());
            let symbol = name.as_ref().map_or("", |n| n.symbol.as_str());
            let errors = call.app().state.reload.errors();
            let error = errors.get(&view.name).map(String::as_str);
            decided(j, view, decision, name.as_ref(), error);
            symbol.to_owned()
        },
    );
    Ok(Reply::json(json))
}

fn decided(
    json: &mut Json,
    view: &StrategyView,
    decision: &DecisionView,
    name: Option<&InstrumentName>,
    reload_error: Option<&str>,
) {
    json.object(|j| {
        j.key("strategy").text(&view.name);
        j.key("type").text(&view.kind);
        j.key("version").text(&format!("{:016x}", view.version));
        j.key("reload_error").text_or_null(reload_error);
        j.key("symbol")
            .text_or_null(name.map(|n| n.symbol.as_str()));
        j.key("venue").text_or_null(name.map(|n| n.venue.name()));
        j.key("interval").id(decision.interval);
        j.key("running").bool(view.running);
        j.key("time");
        time(j, decision.time);
        j.key("candle");
        time(j, decision.candle.unwrap_or_default());
        j.key("verdict").text(decision.verdict.name());
        j.key("said").text(decision.why.said.name());
        j.key("inputs").object(|j| {
            for (name, value) in decision.named() {
                j.key(name).float(value);
            }
        });
        j.key("stopped_by");
        match &decision.stop {
            None => j.null(),
            Some(stop) => j.object(|j| {
                j.key("rule").text(stop.name());
                j.key("text").text(&stop.to_string());
                if let Stop::Risk(refusal) = stop {
                    j.key("limit").text(&refusal.limit);
                    j.key("value").text(&refusal.value);
                    j.key("hint").text(&refusal.hint);
                }
            }),
        }
        j.key("text").text(&decision.to_string());
    });
}

/// `POST /api/v1/strategies/{name}/start`.
pub(in crate::http) fn start(call: Call) -> Answering {
    switch(call, true)
}

/// `POST /api/v1/strategies/{name}/stop`.
pub(in crate::http) fn stop(call: Call) -> Answering {
    switch(call, false)
}

fn switch(call: Call, run: bool) -> Answering {
    Box::pin(async move {
        let name = call.arg.clone();
        let told = tell(call.app(), CommandKind::Strategy { name, run }).await?;
        let kernel = call.app().state.published.kernel.load();
        match told {
            Told::Outcome(Outcome::Done | Outcome::Cancelling(_)) => {
                match kernel.strategies.iter().find(|s| s.name == call.arg) {
                    Some(view) => {
                        let mut json = Json::new(call.strings);
                        strategy(&mut json, view, &call.app().state);
                        Ok(Reply::json(json))
                    }
                    None => Err(unknown(&call.arg, &kernel.strategies)),
                }
            }
            Told::Outcome(Outcome::NotFound) => Err(unknown(&call.arg, &kernel.strategies)),
            Told::Outcome(Outcome::Refused(refusal)) => Err(Problem::refused(refusal)),
            Told::Outcome(
                outcome @ (Outcome::Placed(_)
                | Outcome::Duplicate(_)
                | Outcome::Conflict(_)
                | Outcome::Amending(_)
                | Outcome::NotAmendable(..)
                | Outcome::Unfit(_)
                | Outcome::AlreadyDone(_)),
            ) => Err(impossible(&outcome)),
            Told::Nothing(why) => Err(Problem::new(Code::NoAnswer, why)
                .hint("it may still be carried out: GET /api/v1/strategies says whether it was")),
        }
    })
}

fn unknown(name: &str, strategies: &[StrategyView]) -> Box<Problem> {
    let shown: String = name.chars().take(64).collect();
    let names = || strategies.iter().map(|s| s.name.as_str());
    let near = nearest(name, names());
    let problem = Problem::new(
        Code::UnknownStrategy,
        format!("there is no strategy {shown:?}"),
    );
    let known: Vec<&str> = names().collect();
    match (either(&near), either(&known)) {
        (Some(near), _) => problem.hint(format!("did you mean {near}?")),
        (None, Some(all)) => problem.hint(format!("there are {all}")),
        (None, None) => problem.hint("none is configured: start with --strategy"),
    }
}

/// `GET /api/v1/status`.
pub(in crate::http) fn status(call: &Call) -> Reply {
    let state = &call.app().state;
    let now = state.clock.now();
    let kernel = state.published.kernel.load();
    let mut json = Json::new(call.strings);
    json.object(|j| {
        j.key("service").text("hean");
        j.key("version").text(state.build.version);
        j.key("commit").text(state.build.commit);
        j.key("target").text(state.build.target);
        j.key("link").text(state.build.link);
        j.key("mode").text(state.mode.name());
        j.key("started_at").int(state.started.millis());
        j.key("uptime_s").int(now.since(state.started) / SECOND);
        j.key("timestamp").int(now.millis());
        j.key("venues").array(|j| {
            for venue in &state.venues {
                j.text(venue.name());
            }
        });
        j.key("instruments").count(state.published.active().count());
        j.key("intervals").array(|j| {
            for interval in &state.intervals {
                j.id(interval);
            }
        });
        j.key("feeds").array(|j| {
            for feed in &state.feeds {
                j.object(|j| {
                    j.key("venue").text(feed.venue.name());
                    j.key("connected").bool(feed.connected.load(Relaxed));
                    j.key("messages").int(feed.messages.load(Relaxed));
                    j.key("decode_errors").int(feed.decode_errors.load(Relaxed));
                    j.key("reconnects").int(feed.reconnects.load(Relaxed));
                    j.key("replaced").int(feed.replaced.load(Relaxed));
                    j.key("stalls").int(feed.stalls.load(Relaxed));
                    j.key("resubscriptions").int(feed.healed.load(Relaxed));
                    j.key("substitute_host").bool(feed.substitute.load(Relaxed));
                    j.key("weight_used")
                        .float(feed.weight_used_ppm.load(Relaxed) as f64 / 1e6);
                    j.key("weight_peak")
                        .float(feed.weight_peak_ppm.load(Relaxed) as f64 / 1e6);
                    j.key("clock_offset_ms")
                        .float_or_null(feed.clock_offset().map(|ns| ns as f64 / 1e6));
                    j.key("last_message_at");
                    time(j, feed.last_message.get().unwrap_or_default());
                    j.key("streams");
                    feeds::summary(j, feed, now);
                });
            }
        });
        j.key("books").object(|j| {
            let (mut valid, mut invalid) = (0, 0);
            for published in state.published.active() {
                *(if published.book.load().valid {
                    &mut valid
                } else {
                    &mut invalid
                }) += 1;
            }
            j.key("valid").count(valid);
            j.key("invalid").count(invalid);
        });
        j.key("kernel").object(|j| {
            j.key("steps").int(state.kernel_status.steps.load(Relaxed));
            j.key("heartbeat_at");
            time(j, state.kernel_status.heartbeat.get().unwrap_or_default());
            j.key("orders_open").count(kernel.orders_open);
            j.key("orders_unknown").count(kernel.orders_unknown);
        });
        j.key("queues").object(|j| {
            let dropped = state.kernel.dropped();
            for (name, depth) in state.kernel.depths() {
                j.key(name).object(|j| {
                    j.key("depth").count(depth);
                    let dropped = dropped.iter().find(|(queue, _)| *queue == name);
                    j.key("dropped").int(dropped.map_or(0, |(_, count)| *count));
                });
            }
        });
        j.key("journal").object(|j| {
            j.key("seq").int(kernel.seq.0);
            j.key("durable").int(state.journal.durable().0);
            j.key("full").bool(kernel.journal_full);
            j.key("bytes").int(state.journal.bytes.load(Relaxed));
            j.key("batches").int(state.journal.batches.load(Relaxed));
            journal_files(j, &state.journal);
        });
        j.key("recovery");
        match state.journal.recovery.get() {
            None => j.null(),
            Some(found) => j.object(|j| recovery(j, found)),
        }
        j.key("recorder");
        match &state.recorder {
            None => j.null(),
            Some(recorder) => j.object(|j| {
                j.key("up").bool(recorder.recording.load(Relaxed));
                j.key("frames").int(recorder.frames.load(Relaxed));
                j.key("dropped").int(recorder.dropped.load(Relaxed));
                j.key("bytes").int(recorder.bytes_written.load(Relaxed));
                j.key("files").int(recorder.files.load(Relaxed));
            }),
        }
        j.key("store");
        match &state.store {
            None => j.null(),
            Some(store) => j.object(|j| {
                j.key("up").bool(store.up.load(Relaxed));
                j.key("applied").int(store.applied().0);
                let durable = state.journal.durable().0;
                j.key("lag_records")
                    .int(durable.saturating_sub(store.applied().0));
                j.key("retries").int(store.retries.load(Relaxed));
            }),
        }
    });
    Reply::json(json)
}

/// What the journal has on its disk, as it saw when it made its last snapshot.
fn journal_files(j: &mut Json, journal: &JournalStatus) {
    j.key("snapshot").int(journal.snapshot.load(Relaxed));
    j.key("snapshots").int(journal.snapshots.load(Relaxed));
    j.key("snapshot_errors")
        .int(journal.snapshot_errors.load(Relaxed));
    j.key("disk_full").bool(journal.is_full());
    j.key("disk_bytes").int(journal.disk_bytes.load(Relaxed));
    j.key("segments").int(journal.segments.load(Relaxed));
    j.key("oldest").int(journal.oldest.load(Relaxed));
    j.key("over_quota").bool(journal.over_quota.load(Relaxed));
}

/// What the start has found in the journal.
fn recovery(j: &mut Json, found: &RecoveryStatus) {
    j.key("seq").int(found.seq.0);
    j.key("snapshot");
    match found.snapshot {
        None => j.null(),
        Some(seq) => j.int(seq.0),
    }
    j.key("records").int(found.records);
    j.key("segments").int(found.segments);
    j.key("cut_bytes").int(found.cut_bytes);
    j.key("quarantined").int(found.quarantined);
    j.key("orders_open").count(found.open_orders);
    j.key("orders_unknown").count(found.unknown_orders);
    j.key("positions").count(found.positions);
    j.key("risk").text(found.risk_mode.name());
    j.key("elapsed_ms").float(found.elapsed_ns as f64 / 1e6);
}
