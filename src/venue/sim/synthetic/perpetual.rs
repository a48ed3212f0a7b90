//! What a perpetual shows beside its market: index and mark price, funding, open interest, and now and
//! then a liquidation.

use super::random::{Random, round};
use crate::kernel::event::Derivative;
use crate::kernel::types::{Instrument, MINUTE, MarkPrice, Rate, SECOND, Side, Time};

/// Seconds in which the premium of the contract over its index returns to nothing, and its spread.
const PREMIUM_RETURN: f64 = 600.0;
const PREMIUM_SPREAD: f64 = 2e-4;
/// Funding when there is no premium, and the most there is.
const INTEREST: f64 = 1e-4;
const FUNDING_MAX: f64 = 5e-3;
/// Value of the open contracts in the quote asset, and how much of it changes in a second.
const OPEN_VALUE: f64 = 5e8;
const OPEN_CHANGE: f64 = 2e-5;
/// Liquidations a second while the price does not run, and how a trend adds to them.
const LIQUIDATIONS: f64 = 0.01;
const LIQUIDATIONS_TREND: f64 = 0.02;
/// How often the figures are told.
const TELL_EVERY: i64 = SECOND;

/// A perpetual's own state.
#[derive(Debug)]
pub(super) struct Perpetual {
    random: Random,
    premium: f64,
    /// Open contracts in lots.
    open: f64,
    /// Units of a mark price in a tick.
    tick: f64,
    funding_every: i64,
    told: Time,
}

impl Perpetual {
    /// `lots` are worth one unit of the quote asset.
    pub(super) fn new(instrument: &Instrument, lots: f64, random: &mut Random) -> Self {
        let finer = MarkPrice::SCALE.saturating_sub(instrument.price_scale.digits());
        let mut random = random.clone();
        Self {
            premium: PREMIUM_SPREAD * random.normal(),
            open: OPEN_VALUE * lots * random.log_normal(0.5),
            tick: libm::pow(10.0, f64::from(finer)),
            funding_every: i64::from(instrument.funding_minutes.max(1)) * MINUTE,
            told: Time::ZERO,
            random,
        }
    }

    /// Runs for `dt` seconds at this fair price (in ticks); the figures when they are due.
    pub(super) fn step(&mut self, now: Time, dt: f64, price: f64) -> Option<Derivative> {
        let normal = self.random.normal();
        self.premium += PREMIUM_SPREAD * libm::sqrt(2.0 * dt / PREMIUM_RETURN) * normal
            - self.premium * dt / PREMIUM_RETURN;
        if now.since(self.told) < TELL_EVERY {
            return None;
        }
        self.told = now;
        self.open *= 1.0 + OPEN_CHANGE * self.random.normal();
        let index = price / (1.0 + self.premium);
        let funding = (INTEREST + self.premium).clamp(-FUNDING_MAX, FUNDING_MAX);
        let paid = now.0 - now.0.rem_euclid(self.funding_every);
        let mark = |price: f64| MarkPrice(round(price * self.tick).max(1));
        Some(Derivative {
            mark: Some(mark(price)),
            index: Some(mark(index)),
            funding_rate: Some(Rate(round(funding * Rate::ONE.0 as f64))),
            next_funding: Some(Time(paid).plus(self.funding_every)),
            open_interest: Some(i128::from(round(self.open).max(1))),
        })
    }

    /// Whether somebody is liquidated now, and with an order of which side: a falling price takes
    /// longs, who sell.
    pub(super) fn liquidates(&mut self, dt: f64, trend: f64) -> Option<Side> {
        let chance = (LIQUIDATIONS + LIQUIDATIONS_TREND * trend.abs()) * dt;
        if !self.random.chance(chance.min(0.5)) {
            return None;
        }
        let falls = self.random.chance((0.5 - 0.3 * trend).clamp(0.05, 0.95));
        Some(if falls { Side::Sell } else { Side::Buy })
    }
}
