//! Statistics of trading, from executions and one equity sample a minute.
//!
//! * Return of a sample: change of equity since the last one, transfers left out, by that last equity.
//!   Samples after an equity of zero or less give none.
//! * Sharpe ratio: mean return by the standard deviation (n - 1) of returns, with a risk-free rate of
//!   zero. W. F. Sharpe, "The Sharpe Ratio", Journal of Portfolio Management, 1994. Mean and variance
//!   by Welford's method (Technometrics, 1962).
//! * Sortino ratio: mean return by the downside deviation, the root of the mean over all returns of
//!   min(return, 0)², with a target of zero. F. A. Sortino and L. N. Price, "Performance Measurement
//!   in a Downside Risk Framework", Journal of Investing, 1994.
//! * Both are annualised by the square root of the samples in a year (525,600 minutes: these markets
//!   never close; Sharpe, 1994, "Time dependence").
//! * Drawdown: fall from the highest equity before, in money or in percent of that peak. M. Magdon-Ismail
//!   and A. Atiya, "Maximum drawdown", Risk, 2004.
//! * Profit factor: gross profit by gross loss of closing executions; average win and loss: means of
//!   either. P. J. Kaufman, "Trading Systems and Methods".
//!
//! Money is exact; ratios are doubles, and equal records give equal bits. Fees are no part of what an
//! execution realises here; they are in equity.

use std::cmp::Ordering;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::types::{DAY, MINUTE, Money, MoneyError, Qty, Time};

mod curve;
#[cfg(test)]
mod tests;

pub use curve::{EquityCurve, EquityPoint};

/// Equity samples in a year.
const SAMPLES_PER_YEAR: f64 = 525_600.0;

/// A deviation below so much of the mean is rounding, not variance.
const ROUNDING: f64 = 1e-12;

/// A fall of equity from a peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Drawdown {
    /// How far it fell, > 0.
    pub amount: Money,
    /// From where.
    pub peak: Money,
    /// When the peak was last touched.
    pub peak_time: Time,
    /// When the trough was reached.
    pub trough_time: Time,
}

/// Equity at a time, moved along by transfers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Level {
    equity: Money,
    time: Time,
}

/// Running statistics; equal records give equal bits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Executions of our orders.
    pub fills: u64,
    /// Closing executions with a profit.
    pub wins: u64,
    /// Closing executions with a loss.
    pub losses: u64,
    /// Closing executions with a loss since the last one with a profit; break-even ones do not count.
    pub losing_streak: u32,
    /// The longest of them.
    pub losing_streak_max: u32,
    /// Sum of the notionals of all executions.
    pub turnover: Money,
    /// Sum of what closing executions with a profit realised, before fees.
    pub gross_profit: Money,
    /// Sum of what closing executions with a loss realised, before fees; zero or less.
    pub gross_loss: Money,
    /// Largest fall of equity from its peak, in percent of the peak.
    #[serde(deserialize_with = "finite")]
    pub max_drawdown_percent: f64,
    /// Profit and loss (equity less transfers) when the day began.
    pub day_start_pnl: Money,
    samples: u64,
    #[serde(deserialize_with = "finite")]
    mean: f64,
    #[serde(deserialize_with = "finite")]
    m2: f64,
    /// Sum of the squares of the returns below zero.
    #[serde(deserialize_with = "finite")]
    downside: f64,
    last: Option<Level>,
    last_day: i64,
    last_pnl: Money,
    peak: Option<Level>,
    deepest: Option<Drawdown>,
    largest: Option<Drawdown>,
    #[serde(with = "shared")]
    curve: Arc<EquityCurve>,
}

impl Statistics {
    /// An execution of value `notional`; `realized` is its profit or loss if it closed something.
    /// On an error nothing has changed.
    pub fn fill(&mut self, realized: Option<Money>, notional: Money) -> Result<(), MoneyError> {
        let magnitude = match notional.cmp(&Money::ZERO) {
            Ordering::Less => notional.negated()?,
            Ordering::Equal | Ordering::Greater => notional,
        };
        let turnover = self.turnover.plus(magnitude)?;
        let realized = realized.unwrap_or(Money::ZERO);
        match realized.cmp(&Money::ZERO) {
            Ordering::Greater => {
                self.gross_profit = self.gross_profit.plus(realized)?;
                self.wins = self.wins.saturating_add(1);
                self.losing_streak = 0;
            }
            Ordering::Less => {
                self.gross_loss = self.gross_loss.plus(realized)?;
                self.losses = self.losses.saturating_add(1);
                self.losing_streak = self.losing_streak.saturating_add(1);
                self.losing_streak_max = self.losing_streak_max.max(self.losing_streak);
            }
            Ordering::Equal => {}
        }
        self.turnover = turnover;
        self.fills = self.fills.saturating_add(1);
        Ok(())
    }

    /// Money came from outside: neither a return nor a drawdown. On an error nothing has changed.
    pub fn transfer(&mut self, amount: Money) -> Result<(), MoneyError> {
        let moved = |level: Level| {
            Ok(Level {
                equity: level.equity.plus(amount)?,
                ..level
            })
        };
        let last = self.last.map(moved).transpose()?;
        let peak = self.peak.map(moved).transpose()?;
        (self.last, self.peak) = (last, peak);
        Ok(())
    }

    /// The portfolio was valued. `zone_minutes` is what the zone whose midnight begins a day is ahead of
    /// UTC. On an error nothing has changed.
    pub fn equity(
        &mut self,
        time: Time,
        equity: Money,
        transfers: Money,
        zone_minutes: i16,
    ) -> Result<(), MoneyError> {
        let pnl = equity.minus(transfers)?;
        let level = Level { equity, time };
        let peak = self.peak.filter(|p| p.equity > equity).unwrap_or(level);
        let amount = peak.equity.minus(equity)?;
        if let Some(last) = self.last.filter(|l| l.equity > Money::ZERO) {
            let change = equity.minus(last.equity)?;
            // Both divisions by 10^16 would cancel: one rounding less.
            self.sample(change.0 as f64 / last.equity.0 as f64);
        }
        let zone = i64::from(zone_minutes).saturating_mul(MINUTE);
        let day = time.plus(zone).0.div_euclid(DAY);
        if self.last.is_some() && day != self.last_day {
            self.day_start_pnl = self.last_pnl;
        }
        (self.last, self.last_day, self.last_pnl) = (Some(level), day, pnl);
        self.peak = Some(peak);
        self.fall(Drawdown {
            amount,
            peak: peak.equity,
            peak_time: peak.time,
            trough_time: time,
        });
        Arc::make_mut(&mut self.curve).push(EquityPoint { time, equity, pnl });
        Ok(())
    }

    fn sample(&mut self, value: f64) {
        self.samples = self.samples.saturating_add(1);
        let delta = value - self.mean;
        self.mean += delta / self.samples as f64;
        self.m2 += delta * (value - self.mean);
        let below = value.min(0.0);
        self.downside += below * below;
    }

    fn fall(&mut self, fall: Drawdown) {
        if fall.amount > self.largest.map_or(Money::ZERO, |l| l.amount) {
            self.largest = Some(fall);
        }
        let percent = percent_of(fall.amount, fall.peak);
        if percent > self.max_drawdown_percent {
            self.max_drawdown_percent = percent;
            self.deepest = Some(fall);
        }
    }

    /// Annualised Sharpe ratio; `None` below two returns or without variance.
    pub fn sharpe_ratio(&self) -> Option<f64> {
        if self.samples < 2 {
            return None;
        }
        let deviation = (self.m2 / (self.samples - 1) as f64).sqrt();
        let varies = deviation > self.mean.abs() * ROUNDING;
        varies.then(|| self.mean / deviation * SAMPLES_PER_YEAR.sqrt())
    }

    /// Annualised Sortino ratio with a target of zero; `None` below two returns or without a loss.
    pub fn sortino_ratio(&self) -> Option<f64> {
        if self.samples < 2 {
            return None;
        }
        let deviation = (self.downside / self.samples as f64).sqrt();
        (deviation > 0.0).then(|| self.mean / deviation * SAMPLES_PER_YEAR.sqrt())
    }

    /// Wins in a hundred closing executions that won or lost.
    pub fn win_rate_percent(&self) -> Option<f64> {
        let decided = self.wins.saturating_add(self.losses);
        (decided > 0).then(|| 100.0 * self.wins as f64 / decided as f64)
    }

    /// Gross profit by gross loss; `None` without a loss.
    pub fn profit_factor(&self) -> Option<f64> {
        let loss = -(self.gross_loss.0 as f64);
        (loss > 0.0).then(|| self.gross_profit.0 as f64 / loss)
    }

    /// Mean of what closing executions with a profit realised, rounded half to even; `None` without one.
    pub fn average_win(&self) -> Option<Money> {
        mean(self.gross_profit, self.wins)
    }

    /// Mean of what closing executions with a loss realised (below zero), rounded half to even; `None`
    /// without one.
    pub fn average_loss(&self) -> Option<Money> {
        mean(self.gross_loss, self.losses)
    }

    /// The drawdown that was deepest in percent of its peak.
    pub fn max_drawdown(&self) -> Option<Drawdown> {
        self.deepest
    }

    /// The drawdown that was largest in money. Transfers between peak and trough make this another one
    /// than [`Self::max_drawdown`], and so does a peak that is higher.
    pub fn max_drawdown_amount(&self) -> Option<Drawdown> {
        self.largest
    }

    /// How far equity is below its peak now, in percent of the peak.
    pub fn drawdown_percent(&self) -> f64 {
        match (self.peak, self.last) {
            (Some(peak), Some(last)) => peak
                .equity
                .minus(last.equity)
                .map_or(0.0, |fall| percent_of(fall, peak.equity)),
            _ => 0.0,
        }
    }

    /// The highest equity since the start or the last reset, moved along by transfers.
    pub fn peak_equity(&self) -> Option<Money> {
        self.peak.map(|peak| peak.equity)
    }

    /// Drawdowns are measured from the newest equity on. The largest ones so far stay.
    pub fn reset_peak(&mut self) {
        self.peak = self.last;
    }

    /// Profit and loss since the day began, at the newest sample.
    pub fn pnl_today(&self) -> Result<Money, MoneyError> {
        self.last_pnl.minus(self.day_start_pnl)
    }

    /// The equity curve; a clone shares it.
    pub fn curve(&self) -> &Arc<EquityCurve> {
        &self.curve
    }

    /// Feeds every bit to a hasher.
    pub fn hash_bits(&self, state: &mut impl std::hash::Hasher) {
        use std::hash::Hash as _;
        (self.fills, self.wins, self.losses, self.samples).hash(state);
        (self.losing_streak, self.losing_streak_max).hash(state);
        (self.turnover, self.gross_profit, self.gross_loss).hash(state);
        let doubles = [self.mean, self.m2, self.downside, self.max_drawdown_percent];
        doubles.map(f64::to_bits).hash(state);
        (self.last, self.last_day, self.last_pnl, self.day_start_pnl).hash(state);
        (self.peak, self.deepest, self.largest).hash(state);
        self.curve.hash(state);
    }
}

/// `part` in percent of `whole`; zero where there is no whole.
fn percent_of(part: Money, whole: Money) -> f64 {
    if whole > Money::ZERO {
        100.0 * part.0 as f64 / whole.0 as f64
    } else {
        0.0
    }
}

fn mean(sum: Money, count: u64) -> Option<Money> {
    let count = i64::try_from(count).ok()?;
    sum.share(Qty(1), Qty(count)).ok()
}

/// Refuses what no statistics can be.
fn finite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value.is_finite() {
        Ok(value)
    } else {
        Err(serde::de::Error::custom("a number that is not finite"))
    }
}

/// The curve on the wire is the curve, not the pointer.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::EquityCurve;

    pub(super) fn serialize<S: Serializer>(
        curve: &Arc<EquityCurve>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        curve.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<EquityCurve>, D::Error> {
        EquityCurve::deserialize(deserializer).map(Arc::new)
    }
}
