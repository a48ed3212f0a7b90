//! A market from a seed: pure, stepped by venue time, the same for the same seed and start time.
//!
//! Time runs in steps of `STEP` whatever the caller's steps are. In each step a hidden fair price
//! moves (volatility and trend both wander and return), market makers quote around it, others add
//! and cancel orders deeper in the book, and aggressors come in clusters and eat the book through
//! [`super::matching::take`]. Depth differences go out every 100 ms with contiguous update ids, the
//! trades and the best prices as they happen.
//!
//! Floats draw the randomness; every price and quantity that leaves is an integer.

mod flow;
mod history;
mod random;
mod spec;

use crate::kernel::event::DepthSnapshot;
use crate::kernel::types::{Instrument, MILLISECOND, SECOND, Time};

use super::SimError;
use super::candles::Bar;
use super::symbol::Change;
use flow::Flow;

/// Symbols that one market may have.
pub const SYMBOLS_MAX: usize = 64;
/// Step of the simulation.
const STEP: i64 = 10 * MILLISECOND;
/// Distance of depth events.
const DEPTH_EVERY: i64 = 100 * MILLISECOND;

/// A synthetic market of some symbols.
#[derive(Debug)]
pub struct Market {
    flows: Vec<Flow>,
    now: Time,
}

impl Market {
    /// The market that begins at the whole second before `start`. A symbol's path depends on the
    /// seed and its own name only, not on its neighbours. A repeated symbol counts once.
    pub fn new(seed: u64, symbols: &[String], start: Time) -> Result<Self, SimError> {
        let now = Time(start.0 - start.0.rem_euclid(SECOND));
        let mut specs = Vec::new();
        for symbol in symbols {
            let spec = spec::spec(symbol)?;
            if !specs.contains(&spec) {
                specs.push(spec);
            }
        }
        if specs.is_empty() || specs.len() > SYMBOLS_MAX {
            return Err(SimError::Symbols {
                count: specs.len(),
                max: SYMBOLS_MAX,
            });
        }
        let flows = specs
            .into_iter()
            .map(|(instrument, price)| Flow::new(seed, instrument, price, now))
            .collect();
        Ok(Self { flows, now })
    }

    /// The market's time.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// The instruments; their places number the symbols everywhere else.
    pub fn instruments(&self) -> impl Iterator<Item = &Instrument> {
        self.flows.iter().map(Flow::instrument)
    }

    /// The book of a symbol as the last depth event left it.
    pub fn snapshot(&self, at: usize) -> Option<DepthSnapshot> {
        self.flows.get(at).map(Flow::snapshot)
    }

    /// The candles of a symbol from before the start, oldest first, their lengths shrinking from
    /// days to seconds.
    pub fn history(&self, at: usize) -> Vec<Bar> {
        self.flows.get(at).map(Flow::history).unwrap_or_default()
    }

    /// Runs the market up to `until`; `emit` is told symbol, time and change, in order.
    pub fn advance(&mut self, until: Time, mut emit: impl FnMut(usize, Time, Change)) {
        while until.since(self.now) >= STEP {
            self.now = self.now.plus(STEP);
            let publish = self.now.0.rem_euclid(DEPTH_EVERY) == 0;
            for (at, flow) in self.flows.iter_mut().enumerate() {
                flow.step(self.now, publish, |change| emit(at, self.now, change));
            }
        }
    }
}

#[cfg(test)]
mod tests;
