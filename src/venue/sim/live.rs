//! Runs a synthetic market, in real time or faster.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::SimError;
use super::engine::Engine;
use super::market::{Market, MarketKind};
use super::shared::{Shared, Synthetic};
use super::symbol::{Change, Symbol};
use super::synthetic::{self, Plan};
use crate::kernel::types::{Instrument, SECOND, Time};

/// How long the market waits for a client whose queue is full before it cuts it: a live market does
/// not wait for anybody, but it may come in bursts.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// How often the market is run on.
const TICK: Duration = Duration::from_millis(50);
/// The same for a market that runs faster than the clock: its ticks hold more.
const FAST_TICK: Duration = Duration::from_millis(10);
/// Wall-clock time that is caught up in one go; a longer stall (a suspended machine, or one that is
/// too slow) is left out, and the venue's time stays behind by it.
const CATCH_UP_MAX: f64 = 5.0;

/// A market that begins at `now()`, and its symbols with their history, run up to the present:
/// drawing the history takes time, and nobody listens yet.
pub(super) fn draw(
    kind: MarketKind,
    plan: &Synthetic,
    now: impl Fn() -> Time,
) -> Result<(synthetic::Market, Vec<Symbol>), SimError> {
    let flow = Plan {
        kind,
        seed: plan.seed,
        rate: plan.rate,
    };
    let mut market = synthetic::Market::new(flow, &plan.symbols, now())?;
    let instruments: Vec<Instrument> = market.instruments().cloned().collect();
    let mut symbols: Vec<Symbol> = instruments
        .into_iter()
        .enumerate()
        .map(|(at, instrument)| {
            let mut symbol = Symbol::new(kind, instrument);
            symbol.candles.load(&market.history(at));
            if let Some(snapshot) = market.snapshot(at) {
                symbol.apply(market.now(), &Change::Snapshot(snapshot));
            }
            symbol
        })
        .collect();
    market.advance(now(), |at, time, change| {
        if let Some(symbol) = symbols.get_mut(at) {
            symbol.apply(time, &change);
        }
    });
    Ok((market, symbols))
}

/// Runs a market for ever.
pub(super) async fn run(
    shared: Arc<Shared>,
    market: Arc<Market>,
    mut engine: Engine,
    mut source: synthetic::Market,
) {
    let mut behind = 0;
    let tick = if shared.speed() > 1.0 {
        FAST_TICK
    } else {
        TICK
    };
    let mut ticks = tokio::time::interval(tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let most = synthetic::round(CATCH_UP_MAX * shared.speed().max(1.0) * SECOND as f64);
    let mut frozen = shared.frozen.subscribe();
    loop {
        ticks.tick().await;
        if *frozen.borrow() {
            // An error means that nobody can end it any more.
            if frozen.wait_for(|frozen| !frozen).await.is_err() {
                return;
            }
            behind = shared.market_now().since(source.now());
        }
        if market.take_restart() {
            for at in 0..market.symbols.len() {
                if let Some(snapshot) = source.restart(at) {
                    let change = [Change::Restart(snapshot)];
                    engine.play(None, Some(at), &change, None).await;
                }
            }
        }
        let mut until = shared.market_now().plus(-behind);
        let stall = until.since(source.now());
        if stall > most {
            let skipped = stall - most;
            tracing::warn!(
                "the synthetic market stood still for {} s; its time stays behind by that",
                skipped / SECOND
            );
            behind += skipped;
            until = until.plus(-skipped);
        }
        let mut changes = Vec::new();
        source.advance(until, |at, time, change| changes.push((at, time, change)));
        let mut changes = changes.into_iter().peekable();
        while let Some((at, time, change)) = changes.next() {
            engine.play(Some(time), Some(at), &[change], None).await;
            let more = changes
                .peek()
                .is_some_and(|next| (next.0, next.1) == (at, time));
            if !more {
                engine.settle(at).await;
            }
        }
        engine.idle(source.now()).await;
    }
}
