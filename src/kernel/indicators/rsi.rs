//! Relative strength index.

use std::hash::Hasher;

use super::{Bar, Indicator, Values};

/// Wilder's averages of gains and losses; zero when nothing moved at all, as in TA-Lib.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rsi {
    period: usize,
    last: Option<f64>,
    changes: usize,
    /// Sums until it is warmed up, averages from then on.
    gain: f64,
    loss: f64,
}

impl Rsi {
    pub(super) fn new(period: usize) -> Self {
        Self {
            period,
            last: None,
            changes: 0,
            gain: 0.0,
            loss: 0.0,
        }
    }
}

impl Indicator for Rsi {
    fn peek(&self, bar: Bar) -> Option<Values> {
        let mut after = *self;
        after.push(bar)
    }

    fn push(&mut self, bar: Bar) -> Option<Values> {
        let change = bar.close - self.last.replace(bar.close)?;
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
        let sum = self.gain + self.loss;
        // TA-Lib's TA_IS_ZERO.
        let value = if sum.abs() < 1e-14 {
            0.0
        } else {
            100.0 * (self.gain / sum)
        };
        Some([value, 0.0, 0.0])
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        state.write_u64(self.last.unwrap_or_default().to_bits());
        state.write_usize(self.changes);
        state.write_u64(self.gain.to_bits());
        state.write_u64(self.loss.to_bits());
    }
}
