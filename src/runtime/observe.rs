//! Turns the kernel's notices into log lines and counters, away from the kernel thread, and hands the
//! changes of orders on to those who follow them.

use std::sync::Arc;

use super::mailbox::TaskQueue;
use super::order_feed::OrderFeed;
use crate::kernel::event::Notice;
use crate::kernel::orders::{Order, OrderState};
use crate::kernel::risk::Rule;
use crate::kernel::snapshot::Published;
use crate::kernel::types::InstrumentId;

/// Runs until its task is dropped.
pub async fn observe(
    notices: Arc<TaskQueue<Notice>>,
    published: Arc<Published>,
    orders: Arc<OrderFeed>,
) {
    begin_counting(&published);
    let mut refused = notices.refused();
    loop {
        let notice = notices.next().await;
        let now = notices.refused();
        if now != refused {
            refused = now;
            // Perhaps not of orders, but nobody knows.
            orders.lost();
        }
        observe_one(&notice, &published);
        if let Notice::Order(change) = notice {
            orders.push(change);
        }
    }
}

/// Counters that alerts watch begin at 0: one that appears with its first value has not increased.
fn begin_counting(published: &Published) {
    for rule in Rule::ALL {
        metrics::counter!("hean_risk_refusals_total", "rule" => rule.name()).increment(0);
    }
    for published in published.active() {
        let venue = published.instrument.load().name.venue.name();
        for state in [OrderState::Sent, OrderState::Rejected] {
            let status = state.name();
            metrics::counter!("hean_orders_total", "venue" => venue, "status" => status)
                .increment(0);
        }
    }
}

fn observe_one(notice: &Notice, published: &Published) {
    let name = |id: InstrumentId| {
        let slot = published.instruments.get(id.index());
        slot.map_or_else(|| "?".to_owned(), |s| s.instrument.load().name.to_string())
    };
    match notice {
        Notice::BookInvalid { instrument, reason } => {
            tracing::warn!(
                instrument = name(*instrument),
                ?reason,
                "order book invalid"
            );
        }
        Notice::BookValid(instrument) => {
            tracing::info!(instrument = name(*instrument), "order book valid");
        }
        Notice::CandleClosed {
            instrument,
            interval,
        } => {
            tracing::trace!(instrument = name(*instrument), %interval, "candle closed");
        }
        Notice::CandleMismatch {
            instrument,
            interval,
        } => {
            tracing::warn!(instrument = name(*instrument), %interval, "the venue's candle differs");
        }
        Notice::Relisted(id) => {
            let slot = published.instruments.get(id.index());
            let status = slot.map_or("?", |s| s.instrument.load().status.name());
            tracing::warn!(
                instrument = name(*id),
                status,
                "the venue changed the instrument"
            );
        }
        Notice::OrderRefused {
            instrument,
            refusal,
        } => {
            metrics::counter!("hean_risk_refusals_total", "rule" => refusal.rule.name())
                .increment(1);
            tracing::info!(instrument = name(*instrument), %refusal, "order refused");
        }
        Notice::Order(change) => {
            let order = &change.order;
            order_changed(order, published);
            if change.answered {
                let latency = order.answered().map_or(0, |a| a.since(order.created));
                metrics::histogram!("hean_order_latency_seconds").record(latency as f64 / 1e9);
            }
            if change.fill.is_some() {
                let instrument = name(order.instrument);
                let (side, status) = (order.side.name(), order.state.name());
                tracing::info!(order = order.id.0, instrument, side, status, "fill");
            }
            if change.disputed {
                tracing::error!(
                    order = order.id.0,
                    "a venue's report contradicts what we know of the order"
                );
            }
        }
        Notice::Disputed(what) => tracing::error!("{what}"),
        Notice::Risk(event) => tracing::warn!(?event, "risk: {}", event.name()),
        Notice::Flat => tracing::warn!("the kill switch has done its work: nothing is left"),
        Notice::Unprotected(instrument) => {
            tracing::error!(
                instrument = name(*instrument),
                "a position has no protective order: it was refused"
            );
        }
        Notice::StrategyFailed {
            strategy,
            instrument,
            why,
        } => {
            let kernel = published.kernel.load();
            tracing::error!(
                strategy = kernel.strategy_name(*strategy).unwrap_or_default(),
                instrument = name(*instrument),
                "the strategy cannot go on and was stopped: {why}"
            );
        }
        Notice::Liquidated(instrument) => {
            tracing::error!(
                instrument = name(*instrument),
                "the venue closed a position"
            );
        }
    }
}

fn order_changed(order: &Order, published: &Published) {
    let Some(slot) = published.instruments.get(order.instrument.index()) else {
        return;
    };
    let venue = slot.instrument.load().name.venue.name();
    let status = order.state.name();
    metrics::counter!("hean_orders_total", "venue" => venue, "status" => status).increment(1);
    tracing::debug!(order = order.id.0, status, "order");
}
