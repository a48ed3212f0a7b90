//! A market from a seed: pure, stepped by venue time, the same for the same seed and start time.
//!
//! Time runs in steps of `STEP` whatever the caller's steps are. In each step a hidden fair price
//! moves (volatility and trend both wander and return), market makers quote around it, others add
//! and cancel orders deeper in the book, and aggressors come in clusters and eat the book through
//! [`super::matching::take`]. Depth differences go out every 100 ms with contiguous update ids, the
//! trades and the best prices as they happen. Bybit's markets say differences every 20 ms; futures add
//! mark and index price, funding, open interest and liquidations.
//!
//! Floats draw the randomness; every price and quantity that leaves is an integer.

mod flow;
mod history;
mod perpetual;
mod random;
mod spec;

use crate::kernel::event::DepthSnapshot;
use crate::kernel::types::{Instrument, MILLISECOND, SECOND, Time, normalise_symbol};

use super::SimError;
use super::candles::Bar;
use super::market::MarketKind;
use super::symbol::Change;
use flow::Flow;
pub(in crate::venue::sim) use random::{Random, round};

/// Symbols that one market may have.
pub const SYMBOLS_MAX: usize = 512;
/// Step of the simulation, and of quiet markets at most.
const STEP: i64 = 10 * MILLISECOND;
const STEPS_MAX: f64 = 100.0;
/// Distance of depth events, and on Bybit.
const DEPTH_EVERY: i64 = 100 * MILLISECOND;
const BYBIT_DEPTH_EVERY: i64 = 20 * MILLISECOND;

/// What kind of market is drawn, and how much happens there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Whose protocol it is for: that decides prices, paces and ids.
    pub kind: MarketKind,
    /// Same seed, same market.
    pub seed: u64,
    /// Events per market time: 1 is usual; from 0.01 to 10.
    pub rate: f64,
}

impl Plan {
    /// The usual market of Binance spot.
    pub const fn spot(seed: u64) -> Self {
        Self {
            kind: MarketKind::Spot,
            seed,
            rate: 1.0,
        }
    }

    /// Length of a step: quiet markets take longer ones, so that they cost less.
    fn step(self) -> i64 {
        let steps = (1.0 / self.rate.clamp(0.01, 10.0)).clamp(1.0, STEPS_MAX);
        STEP * round(steps)
    }

    /// How often the crowd acts in a step.
    fn crowd(self) -> i64 {
        round(self.rate).max(1)
    }

    /// Distance of depth events: whole steps.
    fn depth_every(self) -> i64 {
        let every = if self.kind.is_bybit() {
            BYBIT_DEPTH_EVERY
        } else {
            DEPTH_EVERY
        };
        let step = self.step();
        (every / step).max(1) * step
    }
}

/// The symbols' normal names, each of them once.
pub(super) fn names(symbols: &[String]) -> Result<Vec<String>, SimError> {
    let mut names: Vec<String> = Vec::new();
    for symbol in symbols {
        let name = normalise_symbol(symbol)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() || names.len() > SYMBOLS_MAX {
        return Err(SimError::Symbols {
            count: names.len(),
            max: SYMBOLS_MAX,
        });
    }
    Ok(names)
}

/// A synthetic market of some symbols.
#[derive(Debug)]
pub struct Market {
    flows: Vec<Flow>,
    now: Time,
    plan: Plan,
}

impl Market {
    /// The market that begins at the whole second before `start`. A symbol's path depends on the
    /// seed and its own name only, not on its neighbours. A repeated symbol counts once.
    pub fn new(plan: Plan, symbols: &[String], start: Time) -> Result<Self, SimError> {
        let now = Time(start.0 - start.0.rem_euclid(SECOND));
        let mut flows = Vec::new();
        for name in names(symbols)? {
            let (instrument, price) = spec::spec(plan.kind, &name)?;
            flows.push(Flow::new(plan, instrument, price, now));
        }
        Ok(Self { flows, now, plan })
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

    /// The ids of a symbol's book begin again; the book under its new id.
    pub fn restart(&mut self, at: usize) -> Option<DepthSnapshot> {
        self.flows.get_mut(at).map(Flow::restart)
    }

    /// Runs the market up to `until`; `emit` is told symbol, time and change, in order.
    pub fn advance(&mut self, until: Time, mut emit: impl FnMut(usize, Time, Change)) {
        let (step, depth_every) = (self.plan.step(), self.plan.depth_every());
        while until.since(self.now) >= step {
            self.now = self.now.plus(step);
            let publish = self.now.0.rem_euclid(depth_every) == 0;
            for (at, flow) in self.flows.iter_mut().enumerate() {
                flow.step(self.now, publish, |change| emit(at, self.now, change));
            }
        }
    }
}

#[cfg(test)]
mod tests;
