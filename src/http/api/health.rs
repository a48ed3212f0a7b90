//! Health for supervisors, and metrics. Each answer lists its checks with what each one found.

use std::sync::atomic::Ordering::Relaxed;

use hyper::StatusCode;

use crate::http::reply::{Content, Reply};
use crate::http::routes::Call;
use crate::http::state::AppState;
use crate::json::Json;
use crate::kernel::types::{MILLISECOND, SECOND, Time};

/// A kernel loop that has not gone round for so long does not beat. It goes round at least once a
/// second when nothing happens.
const HEARTBEAT_AGE_MAX: i64 = 10 * SECOND;

/// One check and what it found.
struct Check {
    name: String,
    ok: bool,
    detail: String,
}

impl Check {
    fn new(name: impl Into<String>, ok: bool, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ok,
            detail: detail.into(),
        }
    }
}

/// `GET /health`.
pub(in crate::http) fn health(call: &Call) -> Reply {
    let checks = alive(&call.app().state);
    report(call, &checks, ["healthy", "unhealthy"])
}

/// `GET /livez`.
pub(in crate::http) fn livez(call: &Call) -> Reply {
    let checks = alive(&call.app().state);
    report(call, &checks, ["alive", "dead"])
}

/// `GET /readyz`.
pub(in crate::http) fn readyz(call: &Call) -> Reply {
    let mut checks = alive(&call.app().state);
    ready(&call.app().state, &mut checks);
    report(call, &checks, ["ready", "not_ready"])
}

fn report(call: &Call, checks: &[Check], [good, bad]: [&str; 2]) -> Reply {
    let ok = checks.iter().all(|check| check.ok);
    let mut json = Json::new(false);
    json.object(|j| {
        j.key("status").text(if ok { good } else { bad });
        j.key("service").text("hean");
        j.key("version").text(call.app().state.build.version);
        j.key("checks").array(|j| {
            for check in checks {
                j.object(|j| {
                    j.key("name").text(&check.name);
                    j.key("ok").bool(check.ok);
                    j.key("detail").text(&check.detail);
                });
            }
        });
    });
    Reply::json(json).status(if ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    })
}

/// Whether the loops beat.
fn alive(state: &AppState) -> Vec<Check> {
    let age = age(state, state.kernel_status.heartbeat.get());
    let check = match age {
        Some(age) => Check::new(
            "kernel",
            age <= HEARTBEAT_AGE_MAX,
            format!("last beat {} ms ago", age / MILLISECOND),
        ),
        None => Check::new("kernel", false, "no beat yet"),
    };
    vec![check]
}

/// Whether the daemon can do its work.
fn ready(state: &AppState, checks: &mut Vec<Check>) {
    for feed in &state.feeds {
        let detail = match age(state, feed.last_message.get()) {
            Some(age) => format!("last message {} ms ago", age / MILLISECOND),
            None => "no message yet".to_owned(),
        };
        checks.push(Check::new(
            format!("feed:{}", feed.venue),
            feed.connected.load(Relaxed),
            detail,
        ));
    }
    for published in state.published.active() {
        let book = published.book.load();
        let detail = match book.fault {
            _ if book.valid => "verified",
            Some(fault) => fault.name(),
            None => "no snapshot yet",
        };
        let name = &published.instrument.load().name;
        checks.push(Check::new(format!("book:{name}"), book.valid, detail));
    }
    let full = state.published.kernel.load().journal_full;
    let detail = if full {
        "takes no records: look for a full disk"
    } else {
        "takes records"
    };
    checks.push(Check::new("journal", !full, detail));
    if let Some(store) = &state.store {
        let up = store.up.load(Relaxed);
        let lag = state.journal.durable().0.saturating_sub(store.applied().0);
        checks.push(Check::new("store", up, format!("{lag} records behind")));
    }
}

fn age(state: &AppState, moment: Option<Time>) -> Option<i64> {
    moment.map(|moment| state.clock.now().since(moment).max(0))
}

/// `GET /metrics`.
pub(in crate::http) fn metrics(call: &Call) -> Reply {
    let state = &call.app().state;
    crate::metrics::refresh(state);
    let mut text = state.prometheus.render();
    crate::metrics::write_process(&mut text);
    Reply {
        status: StatusCode::OK,
        content_type: "text/plain; version=0.0.4; charset=utf-8",
        body: Content::Whole(text.into_bytes().into()),
        header: None,
        close: false,
    }
}
