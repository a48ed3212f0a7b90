//! Metrics: one table of everything that is exported, and the recorder behind it.
//!
//! What lives in views and atomics is read when somebody scrapes (`refresh.rs`); only what happens
//! between scrapes (requests) is recorded as it happens. Labels are bounded by configuration:
//! venues, configured symbols, routes, statuses.

mod http;
mod process;
mod refresh;
mod stream;

pub(crate) use http::HttpMetrics;
pub(crate) use process::write as write_process;
pub(crate) use refresh::refresh;
pub(crate) use stream::{StreamClient, StreamEnd, StreamMetrics};

use std::time::Duration;

use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// How often histograms are drained into buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// Upper bounds of every histogram, in seconds: from one step of the kernel to a lost venue.
const BUCKETS: &[f64] = &[
    0.000_001,
    0.000_002_5,
    0.000_005,
    0.000_01,
    0.000_025,
    0.000_05,
    0.000_1,
    0.000_25,
    0.000_5,
    0.001,
    0.002_5,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
];

/// What kind of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// One exported metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name; the unit is its suffix.
    pub name: &'static str,
    /// What kind.
    pub kind: Kind,
    /// What it says.
    pub help: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
}

const fn metric(
    kind: Kind,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind,
        help,
        labels,
    }
}

use Kind::{Counter, Gauge, Histogram};

/// Every metric that is always there, but those of the process, which `process.rs` writes.
pub const METRICS: &[Metric] = &[
    // The names of the system before this one.
    metric(
        Counter,
        "trading_total_trades",
        &[],
        "Executions of our orders.",
    ),
    metric(
        Gauge,
        "trading_active_positions",
        &[],
        "Positions that are not flat.",
    ),
    metric(
        Gauge,
        "trading_portfolio_value_usd",
        &[],
        "Cash plus positions at mark.",
    ),
    metric(
        Gauge,
        "trading_pnl_total_usd",
        &[],
        "Equity less what was brought in.",
    ),
    metric(
        Gauge,
        "trading_pnl_today_usd",
        &[],
        "Profit and loss since 00:00 UTC.",
    ),
    metric(
        Gauge,
        "trading_order_latency_ms",
        &[],
        "Mean time from intent to the venue's answer, of the last 100 answered orders; NaN before the first.",
    ),
    metric(
        Gauge,
        "trading_win_rate_percent",
        &[],
        "Closing executions with a profit, of those that won or lost; NaN before the first.",
    ),
    metric(
        Gauge,
        "trading_sharpe_ratio",
        &[],
        "Annualised Sharpe ratio of the equity samples; NaN while it is not defined.",
    ),
    metric(
        Gauge,
        "trading_max_drawdown_percent",
        &[],
        "Largest fall of equity from its peak.",
    ),
    // Build and kernel.
    metric(
        Gauge,
        "hean_build_info",
        &["version", "commit", "target", "link"],
        "Always 1; the labels say what was built.",
    ),
    metric(
        Counter,
        "hean_kernel_steps_total",
        &[],
        "Inputs that the kernel has stepped.",
    ),
    metric(
        Gauge,
        "hean_kernel_heartbeat_age_seconds",
        &[],
        "Since the kernel's loop last went round; NaN before it did.",
    ),
    metric(
        Gauge,
        "hean_orders_open",
        &[],
        "Orders that can still change.",
    ),
    metric(
        Gauge,
        "hean_orders_unknown",
        &[],
        "Orders whose state nobody knows.",
    ),
    metric(
        Gauge,
        "hean_kill_switch",
        &[],
        "1 while the kill switch is on.",
    ),
    metric(
        Gauge,
        "hean_risk_mode",
        &[],
        "What may pass: 0 everything within the limits, 1 reductions of positions, 2 the same because of the kill switch.",
    ),
    metric(
        Gauge,
        "hean_exposure_usd",
        &[],
        "Worst-case value of all positions with their open orders.",
    ),
    metric(
        Gauge,
        "hean_margin_usd",
        &[],
        "Money that positions in derivatives bind.",
    ),
    // Queues.
    metric(Gauge, "hean_queue_depth", &["queue"], "Messages waiting."),
    metric(
        Counter,
        "hean_queue_dropped_total",
        &["queue"],
        "Messages dropped or refused because the queue was full.",
    ),
    // Market data.
    metric(
        Counter,
        "hean_feed_messages_total",
        &["venue"],
        "Frames received.",
    ),
    metric(
        Counter,
        "hean_feed_decode_errors_total",
        &["venue"],
        "Frames that could not be decoded.",
    ),
    metric(
        Counter,
        "hean_feed_reconnects_total",
        &["venue"],
        "Connections after the first.",
    ),
    metric(
        Gauge,
        "hean_feed_connected",
        &["venue"],
        "1 while the session is open and subscribed.",
    ),
    metric(
        Gauge,
        "hean_feed_age_seconds",
        &["venue"],
        "Since the last frame; NaN before the first.",
    ),
    metric(
        Gauge,
        "hean_venue_weight_used_ratio",
        &["venue"],
        "REST weight used, of the venue's limit.",
    ),
    metric(
        Gauge,
        "hean_venue_weight_peak_ratio",
        &["venue"],
        "The most REST weight that was used in a window since the start, of the venue's limit.",
    ),
    metric(
        Gauge,
        "hean_venue_substitute_host",
        &["venue"],
        "1 while a substitute is used because the main hosts refuse this address.",
    ),
    metric(
        Gauge,
        "hean_venue_clock_offset_seconds",
        &["venue"],
        "How far the venue's clock is before ours; NaN before it was asked.",
    ),
    metric(
        Counter,
        "hean_feed_replaced_total",
        &["venue"],
        "Connections replaced before the venue ended them.",
    ),
    metric(
        Counter,
        "hean_feed_stalls_total",
        &["venue"],
        "Streams found standing still although the market moved on.",
    ),
    metric(
        Counter,
        "hean_feed_resubscriptions_total",
        &["venue"],
        "Streams subscribed to anew.",
    ),
    metric(
        Gauge,
        "hean_stream_age_seconds",
        &["venue", "symbol", "stream"],
        "Since the last message of the stream.",
    ),
    metric(
        Gauge,
        "hean_stream_latency_seconds",
        &["venue", "symbol", "stream"],
        "From the venue's time of the last message to its receipt, clock difference included.",
    ),
    metric(
        Counter,
        "hean_stream_messages_total",
        &["venue", "symbol", "stream"],
        "Messages of the stream.",
    ),
    metric(
        Gauge,
        "hean_recorder_up",
        &[],
        "1 while the disk takes what is recorded; only with --record.",
    ),
    metric(
        Counter,
        "hean_recorder_frames_total",
        &[],
        "Frames recorded.",
    ),
    metric(
        Counter,
        "hean_recorder_dropped_total",
        &[],
        "Frames that were not recorded: the queue was full, or the disk failed.",
    ),
    metric(
        Counter,
        "hean_recorder_written_bytes_total",
        &[],
        "Bytes of recordings, compressed.",
    ),
    metric(
        Gauge,
        "hean_book_valid",
        &["venue", "symbol"],
        "1 while the order book is verified.",
    ),
    metric(
        Counter,
        "hean_book_updates_total",
        &["venue", "symbol"],
        "Depth events applied.",
    ),
    metric(
        Counter,
        "hean_book_gaps_total",
        &["venue", "symbol"],
        "Gaps found in the depth stream.",
    ),
    metric(
        Counter,
        "hean_book_resyncs_total",
        &["venue", "symbol"],
        "Snapshots that made a book valid again.",
    ),
    metric(
        Counter,
        "hean_book_crossed_total",
        &["venue", "symbol"],
        "Times the book was found crossed.",
    ),
    metric(
        Counter,
        "hean_market_trade_gaps_total",
        &["venue", "symbol"],
        "Holes in the trade ids.",
    ),
    metric(
        Counter,
        "hean_candle_mismatches_total",
        &["venue", "symbol"],
        "Closed candles of the venue that differed from ours.",
    ),
    metric(
        Counter,
        "hean_market_trades_total",
        &["venue", "symbol"],
        "Trades of the market received, each once.",
    ),
    // Journal and store.
    metric(
        Counter,
        "hean_journal_written_bytes_total",
        &[],
        "Bytes written to the journal.",
    ),
    metric(
        Counter,
        "hean_journal_batches_total",
        &[],
        "Batches written to the journal.",
    ),
    metric(
        Gauge,
        "hean_journal_lag_records",
        &[],
        "Records made and not yet durable.",
    ),
    metric(
        Gauge,
        "hean_journal_full",
        &[],
        "1 while the journal takes no records.",
    ),
    metric(
        Gauge,
        "hean_journal_snapshot_seq",
        &[],
        "Last record in the newest snapshot.",
    ),
    metric(
        Counter,
        "hean_journal_snapshots_total",
        &[],
        "Snapshots written.",
    ),
    metric(
        Counter,
        "hean_journal_snapshot_errors_total",
        &[],
        "Snapshots that could not be written.",
    ),
    metric(
        Gauge,
        "hean_journal_disk_bytes",
        &[],
        "Bytes that the journal's segments take, as of the last snapshot.",
    ),
    metric(
        Gauge,
        "hean_journal_disk_full",
        &[],
        "1 while the journal's disk is full and no order is opened.",
    ),
    metric(
        Gauge,
        "hean_journal_over_quota",
        &[],
        "1 while the journal is larger than its quota because the store lags.",
    ),
    metric(
        Gauge,
        "hean_journal_recovery_seconds",
        &[],
        "How long the start took to read the journal.",
    ),
    metric(Gauge, "hean_store_up", &[], "1 while the store answers."),
    metric(
        Gauge,
        "hean_store_lag_records",
        &[],
        "Durable records that the store does not have yet.",
    ),
    metric(
        Counter,
        "hean_store_retries_total",
        &[],
        "Batches that failed and were tried again.",
    ),
    // The API itself.
    metric(
        Counter,
        "hean_http_requests_total",
        &["route", "status"],
        "Requests answered.",
    ),
    metric(
        Histogram,
        "hean_http_request_seconds",
        &["route"],
        "From the headers of a request to its answer.",
    ),
    metric(Gauge, "hean_http_connections", &[], "Open connections."),
];

/// Metrics of things that happen, recorded where they do and absent before the first time.
pub const EVENTS: &[Metric] = &[
    metric(
        Gauge,
        "hean_http_stream_clients",
        &["kind"],
        "Clients of streams: ws for WebSockets, sse for server-sent events.",
    ),
    metric(
        Counter,
        "hean_http_stream_messages_total",
        &["kind"],
        "Messages sent to them.",
    ),
    metric(
        Counter,
        "hean_http_stream_dropped_total",
        &["reason"],
        "Clients that were disconnected: slow (order events), missing (order events were lost), unread, silent, protocol, flood, token.",
    ),
    metric(
        Counter,
        "hean_audit_lost_total",
        &[],
        "Calls that changed something and are not in the audit log.",
    ),
    metric(
        Counter,
        "hean_http_turned_away_total",
        &["reason"],
        "Connections closed at once because there were too many, in all or of one address.",
    ),
    metric(
        Counter,
        "hean_orders_total",
        &["venue", "status"],
        "Changes of our orders, by the status they came to.",
    ),
    metric(
        Counter,
        "hean_risk_refusals_total",
        &["rule"],
        "Orders refused before they left.",
    ),
    metric(
        Histogram,
        "hean_order_latency_seconds",
        &[],
        "From an order's intent to the venue's first answer.",
    ),
    metric(
        Histogram,
        "hean_stage_seconds",
        &["stage"],
        "Time in a stage: decode of a frame, step of an input (mean of a round), journal write and sync.",
    ),
    metric(
        Histogram,
        "hean_feed_latency_seconds",
        &["venue"],
        "From the venue's event time to the receipt of the frame.",
    ),
    metric(
        Counter,
        "hean_trace_spans_sent_total",
        &[],
        "Spans that the collector of traces has taken.",
    ),
    metric(
        Counter,
        "hean_trace_dropped_total",
        &["reason"],
        "Spans, or changes to be made into spans, that were dropped: queue (full), unreachable, refused (by the collector).",
    ),
    metric(
        Counter,
        "hean_feed_ignored_total",
        &["venue"],
        "Frames of no interest.",
    ),
];

/// The metrics cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The recorder could not be built.
    #[error("the metrics recorder cannot be built: {0}")]
    Build(#[from] BuildError),
    /// There is one already.
    #[error("metrics are installed already; install them once, at the start of the process")]
    Twice,
}

/// A recorder that nothing is recorded to yet.
fn recorder() -> Result<PrometheusRecorder, BuildError> {
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), BUCKETS)?
        .build_recorder())
}

/// Installs the recorder of this process and describes every metric. Once, before the first is used.
pub fn install() -> Result<PrometheusHandle, InstallError> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| InstallError::Twice)?;
    describe();
    Ok(handle)
}

fn describe() {
    for metric in METRICS.iter().chain(EVENTS) {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.help),
        }
    }
}

/// Drains histograms for as long as it is polled; without it they grow between scrapes.
pub async fn upkeep(handle: PrometheusHandle) {
    let mut every = tokio::time::interval(UPKEEP);
    loop {
        every.tick().await;
        handle.run_upkeep();
    }
}
