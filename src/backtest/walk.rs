//! Walk-forward: parameters are chosen on one stretch and tried on the next, again and again, and what the
//! stretches that nobody chose on came to is put together. The only equity curve of a sweep that means anything.
//!
//! Windows follow each other by the length of the test; each begins with its training stretch, over which the
//! whole grid runs, and which warms the indicators of the test up. Money goes on from test to test. What is held at
//! the end of a test counts at the last price and is carried no further.

use std::num::NonZeroUsize;

use xxhash_rust::xxh3::Xxh3;

use super::sweep::{Axis, Objective, sweep, with};
use super::{BacktestError, Listener, Run, Setup, Source, play, stamp};
use crate::kernel::types::{Money, Time};
use crate::store::migrate::Progress;
use crate::tape::Counts;

/// A window.
#[derive(Debug, Clone)]
pub struct Window {
    /// Where its training stretch begins, where its test does, and where that ends.
    pub times: (Time, Time, Time),
    /// What was chosen.
    pub values: Vec<String>,
    /// What that came to in training.
    pub net_train: Money,
    /// What the test came to.
    pub net_test: Money,
}

/// Runs a walk-forward over `(train, test)` nanoseconds.
pub fn walk(
    source: &Source,
    setup: &Setup,
    axes: &[Axis],
    choice: (Objective, Option<NonZeroUsize>),
    (train, test): (i64, i64),
    progress: &mut Progress,
) -> Result<(Run, Vec<Window>), BacktestError> {
    let (first, last) = source.span();
    let (mut from, end) = (setup.from.max(first), setup.to.min(last.plus(1)));
    let count = end.since(from).saturating_sub(train).max(0) / test.max(1) + 1;
    let mut listener = Listener::new(setup, source.instruments().len());
    let mut cash = setup.cash.1;
    let mut windows = Vec::new();
    let mut hash = Xxh3::new();
    let mut held = None;
    while from.plus(train) < end {
        let (middle, to) = (from.plus(train), from.plus(train + test).min(end));
        let what = format!("window {} of {count}", windows.len() + 1);
        let training = Setup {
            from,
            to: middle,
            warm_from: from,
            ..setup.clone()
        };
        let swept = sweep(source, &training, axes, choice, progress, &what)?;
        let Some(best) = swept.best() else { break };
        let mut testing = Setup {
            from: middle,
            to,
            warm_from: from,
            cash: (setup.cash.0.clone(), cash),
            ..setup.clone()
        };
        if let Ok(strategies) = with(&setup.kernel.strategies, axes, &best.values) {
            testing.kernel.strategies = strategies;
        }
        let (offline, _) = play(source, &testing, &mut listener)?;
        let equity = offline.engine.kernel().equity();
        windows.push(Window {
            times: (from, middle, to),
            values: best.values.clone(),
            net_train: best.totals.net,
            net_test: equity.minus(cash).unwrap_or_default(),
        });
        hash.update(&offline.engine.state_hash().to_le_bytes());
        cash = equity;
        from = from.plus(test);
        if from.plus(train) < end {
            listener.end(&offline);
            listener.trades.carry_no_further(&offline);
        }
        held = Some(offline);
    }
    let Some(offline) = held else {
        return Err(BacktestError::Span(stamp(first), stamp(last)));
    };
    let mut run = listener.finish(&offline, Counts::default());
    run.state_hash = hash.digest();
    Ok((run, windows))
}
