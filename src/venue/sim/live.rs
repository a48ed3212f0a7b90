//! Runs the synthetic market in real time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::engine::Engine;
use super::shared::Shared;
use super::symbol::{Change, Symbol};
use super::synthetic::Market;
use crate::kernel::types::{Instrument, SECOND};
use crate::runtime::clock::Clock;

/// How long the market waits for a client whose queue is full before it cuts it: a live market does
/// not wait for anybody, but it may come in bursts.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// How often the market is run on.
const TICK: Duration = Duration::from_millis(50);
/// Market time that is caught up in one go; a longer stall (a suspended machine) is left out, and
/// the venue's time stays behind by it.
const CATCH_UP_MAX: i64 = 5 * SECOND;

/// The symbols of a market with their history, and the market run up to the present: drawing the
/// history takes time, and nobody listens yet.
pub(super) fn symbols(market: &mut Market, clock: &Clock) -> Vec<Symbol> {
    let instruments: Vec<Instrument> = market.instruments().cloned().collect();
    let mut symbols: Vec<Symbol> = instruments
        .into_iter()
        .enumerate()
        .map(|(at, instrument)| {
            let mut symbol = Symbol::new(instrument);
            symbol.candles.load(&market.history(at));
            if let Some(snapshot) = market.snapshot(at) {
                symbol.apply(&Change::Snapshot(snapshot));
            }
            symbol
        })
        .collect();
    market.advance(clock.now(), |at, _, change| {
        if let Some(symbol) = symbols.get_mut(at) {
            symbol.apply(&change);
        }
    });
    symbols
}

/// Runs the market for ever.
pub(super) async fn run(shared: Arc<Shared>, mut engine: Engine, mut market: Market) {
    let mut behind = 0;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    shared.advance_to(Some(market.now()));
    shared.status.start();
    loop {
        ticks.tick().await;
        let mut until = shared.clock.now().plus(-behind);
        let stall = until.since(market.now());
        if stall > CATCH_UP_MAX {
            let skipped = stall - CATCH_UP_MAX;
            tracing::warn!(
                "the synthetic market stood still for {} s; its time stays behind by that",
                skipped / SECOND
            );
            behind += skipped;
            until = until.plus(-skipped);
        }
        let mut changes = Vec::new();
        market.advance(until, |at, time, change| changes.push((at, time, change)));
        for (at, time, change) in changes {
            engine.play(Some(time), Some(at), Some(&change), None).await;
        }
        engine.idle(market.now()).await;
    }
}
