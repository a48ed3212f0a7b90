//! Statistics of trading, from closing fills and one equity sample a minute.
//!
//! Sharpe ratio: W. F. Sharpe, "The Sharpe Ratio", 1994, with a risk-free rate of zero, annualised by
//! the square root of the samples in a year (525,600 minutes: these markets never close). Drawdown:
//! largest fall from a peak, in percent of the peak. Mean and variance by Welford's method (1962).

use super::types::{DAY, Money, Time};

/// Equity samples in a year.
const SAMPLES_PER_YEAR: f64 = 525_600.0;

/// Running statistics; equal records give equal bits.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Statistics {
    /// Executions of our orders.
    pub fills: u64,
    /// Closing executions with a profit.
    pub wins: u64,
    /// Closing executions with a loss.
    pub losses: u64,
    samples: u64,
    mean: f64,
    m2: f64,
    last_equity: Option<Money>,
    last_sample_day: i64,
    peak: Option<Money>,
    /// Largest fall of equity from its peak, in percent of the peak.
    pub max_drawdown_percent: f64,
    /// Profit and loss (equity less transfers) when the UTC day began.
    pub day_start_pnl: Money,
    last_pnl: Money,
}

impl Statistics {
    /// An execution; `realized` is its profit or loss if it closed something.
    pub fn fill(&mut self, realized: Option<Money>) {
        self.fills = self.fills.saturating_add(1);
        match realized.map(|r| r.cmp(&Money::ZERO)) {
            Some(std::cmp::Ordering::Greater) => self.wins = self.wins.saturating_add(1),
            Some(std::cmp::Ordering::Less) => self.losses = self.losses.saturating_add(1),
            Some(std::cmp::Ordering::Equal) | None => {}
        }
    }

    /// Money came from outside: neither a return nor a drawdown.
    pub fn transfer(&mut self, amount: Money) {
        self.last_equity = self.last_equity.and_then(|e| e.plus(amount).ok());
        self.peak = self.peak.and_then(|p| p.plus(amount).ok());
    }

    /// The portfolio was valued.
    pub fn equity(&mut self, time: Time, equity: Money, transfers: Money) {
        let pnl = equity.minus(transfers).unwrap_or(Money::ZERO);
        let day = time.0.div_euclid(DAY);
        if self.last_equity.is_some() && day != self.last_sample_day {
            self.day_start_pnl = self.last_pnl;
        }
        self.last_sample_day = day;
        self.last_pnl = pnl;
        if let Some(last) = self.last_equity.filter(|e| *e > Money::ZERO) {
            let change = equity.minus(last).map_or(0.0, Money::to_f64);
            self.sample(change / last.to_f64());
        }
        self.last_equity = Some(equity);
        let peak = self.peak.map_or(equity, |p| p.max(equity));
        self.peak = Some(peak);
        if peak > Money::ZERO {
            let fall = peak.minus(equity).map_or(0.0, Money::to_f64);
            self.max_drawdown_percent = self.max_drawdown_percent.max(100.0 * fall / peak.to_f64());
        }
    }

    fn sample(&mut self, value: f64) {
        self.samples = self.samples.saturating_add(1);
        let delta = value - self.mean;
        self.mean += delta / self.samples as f64;
        self.m2 += delta * (value - self.mean);
    }

    /// Annualised Sharpe ratio; `None` below two returns or without variance.
    pub fn sharpe_ratio(&self) -> Option<f64> {
        if self.samples < 2 {
            return None;
        }
        let deviation = (self.m2 / (self.samples - 1) as f64).sqrt();
        (deviation > 0.0).then(|| self.mean / deviation * SAMPLES_PER_YEAR.sqrt())
    }

    /// Wins in a hundred closing executions that won or lost.
    pub fn win_rate_percent(&self) -> Option<f64> {
        let decided = self.wins.saturating_add(self.losses);
        (decided > 0).then(|| 100.0 * self.wins as f64 / decided as f64)
    }

    /// Feeds every bit to a hasher.
    pub fn hash_bits(&self, state: &mut impl std::hash::Hasher) {
        use std::hash::Hash as _;
        (self.fills, self.wins, self.losses, self.samples).hash(state);
        (
            self.mean.to_bits(),
            self.m2.to_bits(),
            self.max_drawdown_percent.to_bits(),
        )
            .hash(state);
        (
            self.last_equity,
            self.last_sample_day,
            self.peak,
            self.day_start_pnl,
            self.last_pnl,
        )
            .hash(state);
    }
}
