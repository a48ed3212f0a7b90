//! Sets what lives in views and atomics, at each scrape.

use std::sync::atomic::Ordering::Relaxed;

use metrics::{counter, gauge};

use crate::http::AppState;
use crate::kernel::risk::RiskMode;
use crate::kernel::snapshot::Published;
use crate::kernel::types::{Time, VenueId};
use crate::status::FeedStatus;

/// Sets every gauge and counter that is not recorded as it happens.
pub(crate) fn refresh(state: &AppState) {
    trading(&state.published);
    kernel(state);
    feeds(state);
    books(&state.published);
    journal_and_store(state);
    recorder(state);
}

fn trading(published: &Published) {
    let account = published.account.load();
    let stats = account.stats;
    let active = account.positions.iter().filter(|p| p.qty != 0).count();
    counter!("trading_total_trades").absolute(stats.fills);
    gauge!("trading_active_positions").set(active as f64);
    gauge!("trading_portfolio_value_usd").set(account.equity.to_f64());
    gauge!("trading_pnl_total_usd").set(account.pnl_total.to_f64());
    gauge!("trading_pnl_today_usd").set(account.pnl_today.to_f64());
    gauge!("hean_exposure_usd").set(account.exposure.to_f64());
    gauge!("hean_margin_usd").set(account.margin.to_f64());
    gauge!("trading_order_latency_ms").set(order_latency_ms(published));
    gauge!("trading_win_rate_percent").set(stats.win_rate_percent.unwrap_or(f64::NAN));
    gauge!("trading_sharpe_ratio").set(stats.sharpe_ratio.unwrap_or(f64::NAN));
    gauge!("trading_max_drawdown_percent").set(stats.max_drawdown_percent);
}

/// Mean of the last hundred answered orders; NaN without any.
fn order_latency_ms(published: &Published) -> f64 {
    /// Orders looked at, so that many unanswered ones do not make a scrape slow.
    const LOOKED_AT_MAX: usize = 1_000;
    const ANSWERED_MAX: usize = 100;
    let newest = published.orders.iter().rev().take(LOOKED_AT_MAX);
    let (mut sum_ns, mut count) = (0.0, 0.0);
    for ns in newest
        .filter_map(|entry| {
            let order = entry.value();
            Some(order.answered()?.since(order.created))
        })
        .take(ANSWERED_MAX)
    {
        sum_ns += ns as f64;
        count += 1.0;
    }
    sum_ns / count / 1e6
}

fn kernel(state: &AppState) {
    let build = state.build;
    gauge!(
        "hean_build_info",
        "version" => build.version,
        "commit" => build.commit,
        "target" => build.target,
        "link" => build.link
    )
    .set(1.0);
    let view = state.published.kernel.load();
    counter!("hean_kernel_steps_total").absolute(state.kernel_status.steps.load(Relaxed));
    gauge!("hean_kernel_heartbeat_age_seconds")
        .set(age_seconds(state, state.kernel_status.heartbeat.get()));
    gauge!("hean_orders_open").set(view.orders_open as f64);
    gauge!("hean_orders_unknown").set(view.orders_unknown as f64);
    gauge!("hean_kill_switch").set(flag(view.risk.halted));
    gauge!("hean_risk_mode").set(match view.risk_mode {
        RiskMode::Normal => 0.0,
        RiskMode::ReduceOnly => 1.0,
        RiskMode::Halted => 2.0,
    });
    for (queue, depth) in state.kernel.depths() {
        gauge!("hean_queue_depth", "queue" => queue).set(depth as f64);
    }
    for (queue, dropped) in state.kernel.dropped() {
        counter!("hean_queue_dropped_total", "queue" => queue).absolute(dropped);
    }
}

fn feeds(state: &AppState) {
    for feed in &state.feeds {
        let venue = VenueId::name(feed.venue);
        counter!("hean_feed_messages_total", "venue" => venue)
            .absolute(feed.messages.load(Relaxed));
        counter!("hean_feed_decode_errors_total", "venue" => venue)
            .absolute(feed.decode_errors.load(Relaxed));
        counter!("hean_feed_reconnects_total", "venue" => venue)
            .absolute(feed.reconnects.load(Relaxed));
        gauge!("hean_feed_connected", "venue" => venue).set(flag(feed.connected.load(Relaxed)));
        gauge!("hean_feed_age_seconds", "venue" => venue)
            .set(age_seconds(state, feed.last_message.get()));
        gauge!("hean_venue_weight_used_ratio", "venue" => venue)
            .set(feed.weight_used_ppm.load(Relaxed) as f64 / 1e6);
        gauge!("hean_venue_weight_peak_ratio", "venue" => venue)
            .set(feed.weight_peak_ppm.load(Relaxed) as f64 / 1e6);
        gauge!("hean_venue_substitute_host", "venue" => venue)
            .set(flag(feed.substitute.load(Relaxed)));
        let offset = feed.clock_offset().map_or(f64::NAN, |ns| ns as f64 / 1e9);
        gauge!("hean_venue_clock_offset_seconds", "venue" => venue).set(offset);
        counter!("hean_feed_replaced_total", "venue" => venue)
            .absolute(feed.replaced.load(Relaxed));
        counter!("hean_feed_stalls_total", "venue" => venue).absolute(feed.stalls.load(Relaxed));
        counter!("hean_feed_resubscriptions_total", "venue" => venue)
            .absolute(feed.healed.load(Relaxed));
        streams(state, feed);
    }
}

/// Each stream of each instrument.
fn streams(state: &AppState, feed: &FeedStatus) {
    let Some(streams) = feed.streams.get() else {
        return;
    };
    for feeding in streams.iter() {
        for (kind, stream) in feeding.subscribed() {
            let labels = [
                ("venue", feed.venue.name().to_owned()),
                ("symbol", feeding.instrument.name.symbol.clone()),
                ("stream", kind.name().to_owned()),
            ];
            gauge!("hean_stream_age_seconds", &labels)
                .set(age_seconds(state, stream.received.get()));
            gauge!("hean_stream_latency_seconds", &labels)
                .set(stream.latency_ns.load(Relaxed) as f64 / 1e9);
            counter!("hean_stream_messages_total", &labels).absolute(stream.messages.load(Relaxed));
        }
    }
}

fn books(published: &Published) {
    for published in published.active() {
        let instrument = published.instrument.load();
        let book = published.book.load();
        let labels = [
            ("venue", instrument.name.venue.name().to_owned()),
            ("symbol", instrument.name.symbol.clone()),
        ];
        gauge!("hean_book_valid", &labels).set(flag(book.valid));
        counter!("hean_book_updates_total", &labels).absolute(book.updates);
        counter!("hean_book_gaps_total", &labels).absolute(book.gaps);
        counter!("hean_book_resyncs_total", &labels).absolute(book.resyncs);
        counter!("hean_book_crossed_total", &labels).absolute(book.crossed);
        let ticker = published.ticker.load();
        counter!("hean_market_trades_total", &labels).absolute(ticker.trades);
        counter!("hean_market_trade_gaps_total", &labels).absolute(ticker.trade_gaps);
        let different = published.series.iter().map(|s| s.view.load().mismatches);
        counter!("hean_candle_mismatches_total", &labels).absolute(different.sum());
    }
}

fn journal_and_store(state: &AppState) {
    let view = state.published.kernel.load();
    let durable = state.journal.durable().0;
    counter!("hean_journal_written_bytes_total").absolute(state.journal.bytes.load(Relaxed));
    counter!("hean_journal_batches_total").absolute(state.journal.batches.load(Relaxed));
    gauge!("hean_journal_lag_records").set(view.seq.0.saturating_sub(durable) as f64);
    gauge!("hean_journal_full").set(flag(view.journal_full));
    let journal = &state.journal;
    gauge!("hean_journal_snapshot_seq").set(journal.snapshot.load(Relaxed) as f64);
    counter!("hean_journal_snapshots_total").absolute(journal.snapshots.load(Relaxed));
    counter!("hean_journal_snapshot_errors_total").absolute(journal.snapshot_errors.load(Relaxed));
    gauge!("hean_journal_disk_bytes").set(journal.disk_bytes.load(Relaxed) as f64);
    gauge!("hean_journal_disk_full").set(flag(journal.is_full()));
    gauge!("hean_journal_over_quota").set(flag(journal.over_quota.load(Relaxed)));
    let recovered = journal.recovery.get();
    let took = recovered.map_or(f64::NAN, |found| found.elapsed_ns as f64 / 1e9);
    gauge!("hean_journal_recovery_seconds").set(took);
    if let Some(store) = &state.store {
        gauge!("hean_store_up").set(flag(store.up.load(Relaxed)));
        gauge!("hean_store_lag_records").set(durable.saturating_sub(store.applied().0) as f64);
        counter!("hean_store_retries_total").absolute(store.retries.load(Relaxed));
    }
}

fn recorder(state: &AppState) {
    if let Some(recorder) = &state.recorder {
        gauge!("hean_recorder_up").set(flag(recorder.recording.load(Relaxed)));
        counter!("hean_recorder_frames_total").absolute(recorder.frames.load(Relaxed));
        counter!("hean_recorder_dropped_total").absolute(recorder.dropped.load(Relaxed));
        counter!("hean_recorder_written_bytes_total")
            .absolute(recorder.bytes_written.load(Relaxed));
    }
}

fn flag(on: bool) -> f64 {
    if on { 1.0 } else { 0.0 }
}

fn age_seconds(state: &AppState, moment: Option<Time>) -> f64 {
    moment.map_or(f64::NAN, |moment| {
        state.clock.now().since(moment).max(0) as f64 / 1e9
    })
}
