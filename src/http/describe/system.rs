//! The daemon itself.

use hyper::StatusCode;

use super::super::problem::Code;
use super::super::schema::{
    Field, Schema, anything, choice, count, field, flag, float, int, list, map, millis, named,
    object, optional, page, text,
};
use super::{Docs, about};
use crate::kernel::risk::RiskMode;
use crate::status::Mode;
use crate::venue::protocol::TopicKind;

pub(in crate::http) fn health() -> Docs {
    checked("get_health")
}

pub(in crate::http) fn livez() -> Docs {
    checked("get_livez")
}

pub(in crate::http) fn readyz() -> Docs {
    checked("get_readyz")
}

fn checked(id: &'static str) -> Docs {
    Docs::new(id, "All checks pass.", named("Health")).answer(
        StatusCode::SERVICE_UNAVAILABLE,
        "A check does not pass; the answer says which.",
        named("Health"),
    )
}

pub(in crate::http) fn metrics() -> Docs {
    Docs::new("get_metrics", "The metrics.", text("")).only_as("text/plain")
}

pub(in crate::http) fn feeds() -> Docs {
    Docs::new(
        "list_feeds",
        "Every stream of every instrument.",
        page(named("Feed")),
    )
}

pub(in crate::http) fn status() -> Docs {
    Docs::new("get_status", "The daemon.", named("Status"))
}

pub(in crate::http) fn openapi() -> Docs {
    Docs::new("get_openapi", "This document.", map(anything(), ""))
}

pub(in crate::http) fn page_of_docs() -> Docs {
    Docs::new("get_docs", "The page.", text("")).only_as("text/html")
}

pub(in crate::http) fn asset() -> Docs {
    Docs::new("get_docs_file", "The file.", text(""))
        .only_as("text/javascript")
        .or_as("text/css")
        .problems(&[Code::NotFound])
}

pub(super) fn health_schema() -> Schema {
    let states = [
        "healthy",
        "unhealthy",
        "alive",
        "dead",
        "ready",
        "not_ready",
    ];
    let check = object(
        vec![
            field("name", text("What was checked.")),
            field("ok", flag("Whether it passes.")),
            field("detail", text("What was found.")),
        ],
        "",
    );
    object(
        vec![
            field("status", choice(&states, "What the checks came to.")),
            field("service", choice(&["hean"], "The program.")),
            field("version", text("Its version.")),
            field("checks", list(check, "What was checked.")),
        ],
        "Health.",
    )
}

/// One optional member per kind of stream.
fn by_kind(of: impl Fn() -> Schema, about: &'static str) -> Schema {
    let kinds = TopicKind::ALL.iter();
    object(
        kinds.map(|kind| optional(kind.name(), of())).collect(),
        about,
    )
}

pub(super) fn feed() -> Schema {
    let stream = || {
        object(
            vec![
                field("subscribed", flag("Whether it is subscribed to.")),
                field("refused", flag("Whether the venue refused it.")),
                field("messages", count("Messages since the start.")),
                field("received_at", millis("When the last one came.").or_null()),
                field("age_ms", count("How long ago that was.")),
                field(
                    "latency_ms",
                    float("How long after the venue's time it came."),
                ),
            ],
            "",
        )
    };
    about(
        "The streams of an instrument.",
        vec![field("streams", by_kind(stream, "By kind."))],
    )
}

/// Members that count.
fn counts(names: &[&'static str]) -> Vec<Field> {
    names.iter().map(|name| field(name, count(""))).collect()
}

pub(super) fn status_schema() -> Schema {
    let modes = super::MODES.map(Mode::name);
    object(
        vec![
            field("service", choice(&["hean"], "The program.")),
            field("version", text("Its version.")),
            field("commit", text("Source commit.")),
            field("target", text("Platform.")),
            field("link", text("static or dynamic.")),
            field("mode", choice(&modes, "How it trades.")),
            field("started_at", millis("When it started.")),
            field("uptime_s", count("Seconds since then.")),
            field("timestamp", millis("Now.")),
            field(
                "venues",
                list(
                    text(""),
                    "Venues, in the order in which bare symbols are searched for.",
                ),
            ),
            field("instruments", count("Instruments that are read.")),
            field("intervals", list(text(""), "Candles that are kept.")),
            field("feeds", list(session(), "Sessions with venues.")),
            field(
                "books",
                object(counts(&["valid", "invalid"]), "Order books."),
            ),
            field("kernel", kernel()),
            field("queues", map(queue(), "Queues by name.")),
            field("journal", journal()),
            field("recovery", recovery().or_null()),
            field("recorder", recorder().or_null()),
            field("store", store().or_null()),
        ],
        "The daemon as a whole.",
    )
}

fn session() -> Schema {
    let streams = || {
        let mut fields = counts(&["subscribed", "refused", "oldest_age_ms"]);
        fields.push(field("oldest", text("Whose that is.").or_null()));
        object(fields, "")
    };
    let mut fields = vec![
        field("venue", named("Venue")),
        field("connected", flag("Whether every connection stands.")),
    ];
    fields.extend(counts(&[
        "messages",
        "decode_errors",
        "reconnects",
        "replaced",
        "stalls",
        "resubscriptions",
    ]));
    fields.extend([
        field(
            "substitute_host",
            flag("Whether another host of the venue serves."),
        ),
        field(
            "weight_used",
            float("Share of the request budget that is used."),
        ),
        field("weight_peak", float("The highest it was.")),
        field(
            "clock_offset_ms",
            float("The venue's clock less ours.").or_null(),
        ),
        field(
            "last_message_at",
            millis("When the last message came.").or_null(),
        ),
        field("streams", by_kind(streams, "By kind.")),
    ]);
    object(fields, "")
}

fn kernel() -> Schema {
    let mut fields = counts(&["steps", "orders_open", "orders_unknown"]);
    fields.push(field(
        "heartbeat_at",
        millis("When its loop went round last.").or_null(),
    ));
    object(fields, "The kernel.")
}

fn queue() -> Schema {
    object(counts(&["depth", "dropped"]), "")
}

fn journal() -> Schema {
    let mut fields = counts(&[
        "seq",
        "durable",
        "bytes",
        "batches",
        "snapshot",
        "snapshots",
        "snapshot_errors",
        "disk_bytes",
        "segments",
        "oldest",
    ]);
    for (name, about) in [
        ("full", "Whether it takes no records."),
        ("disk_full", "Whether the disk is full."),
        ("over_quota", "Whether it needs more than its quota."),
    ] {
        fields.push(field(name, flag(about)));
    }
    object(fields, "The journal.")
}

fn recovery() -> Schema {
    let modes = super::RISK_MODES.map(RiskMode::name);
    let mut fields = counts(&[
        "seq",
        "records",
        "segments",
        "cut_bytes",
        "quarantined",
        "orders_open",
        "orders_unknown",
        "positions",
    ]);
    fields.extend([
        field(
            "snapshot",
            int("The snapshot that it began with.").or_null(),
        ),
        field("risk", choice(&modes, "What may pass.")),
        field("elapsed_ms", float("How long it took.")),
    ]);
    object(fields, "What the start has found in the journal.")
}

fn recorder() -> Schema {
    let mut fields = counts(&["frames", "dropped", "bytes", "files"]);
    fields.push(field("up", flag("Whether it writes.")));
    object(fields, "The recorder of raw frames.")
}

fn store() -> Schema {
    let mut fields = counts(&["applied", "lag_records", "retries"]);
    fields.push(field("up", flag("Whether it can be reached.")));
    object(fields, "The projection into KeyDB.")
}
