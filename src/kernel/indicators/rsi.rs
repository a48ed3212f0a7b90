//! Wilder's averages of gains and losses: RSI and CMO.

use std::hash::Hasher;

use super::{Bar, Step, Values, hash_float, one};

/// Averages of gains and losses between closes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gains {
    period: usize,
    last: Option<f64>,
    changes: usize,
    /// Sums until it is warmed up, averages from then on.
    gain: f64,
    loss: f64,
}

impl Gains {
    pub(super) fn new(period: usize) -> Self {
        Self {
            period,
            last: None,
            changes: 0,
            gain: 0.0,
            loss: 0.0,
        }
    }

    /// The averages of gains and of losses.
    fn push(&mut self, close: f64) -> Option<(f64, f64)> {
        let change = close - self.last.replace(close)?;
        let (gain, loss) = if change < 0.0 {
            (0.0, -change)
        } else {
            (change, 0.0)
        };
        let n = self.period as f64;
        if self.changes < self.period {
            self.changes += 1;
            self.gain += gain;
            self.loss += loss;
            if self.changes < self.period {
                return None;
            }
            self.gain /= n;
            self.loss /= n;
        } else {
            self.gain = (self.gain * (n - 1.0) + gain) / n;
            self.loss = (self.loss * (n - 1.0) + loss) / n;
        }
        Some((self.gain, self.loss))
    }

    /// RSI; zero when nothing moved at all, as in TA-Lib.
    pub(super) fn rsi(&mut self, close: f64) -> Option<f64> {
        let (gain, loss) = self.push(close)?;
        Some(ratio(gain, gain + loss))
    }

    pub(super) fn hash_bits(&self, state: &mut dyn Hasher) {
        hash_float(state, self.last.unwrap_or_default());
        state.write_usize(self.changes);
        hash_float(state, self.gain);
        hash_float(state, self.loss);
    }
}

fn ratio(part: f64, sum: f64) -> f64 {
    if sum > 0.0 { 100.0 * (part / sum) } else { 0.0 }
}

/// Relative strength index, or Chande's momentum oscillator over the same averages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rsi {
    gains: Gains,
    momentum: bool,
}

impl Rsi {
    pub(super) fn strength(period: usize) -> Self {
        Self {
            gains: Gains::new(period),
            momentum: false,
        }
    }

    pub(super) fn momentum(period: usize) -> Self {
        Self {
            momentum: true,
            ..Self::strength(period)
        }
    }
}

impl Step for Rsi {
    type Next = Gains;

    fn next(&self, bar: Bar) -> (Gains, Option<Values>) {
        let mut after = self.gains;
        let value = if self.momentum {
            let averages = after.push(bar.close);
            averages.map(|(gain, loss)| ratio(gain - loss, gain + loss))
        } else {
            after.rsi(bar.close)
        };
        (after, one(value))
    }

    fn keep(&mut self, _: Bar, next: Gains) {
        self.gains = next;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.gains.hash_bits(state);
    }
}
