//! Exponential moving average.

use std::hash::Hasher;

use super::{Bar, Indicator, Values};

/// Factor 2/(n+1), seeded by the mean of the first n values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ema {
    period: usize,
    seen: usize,
    /// The sum of the values so far until it is warmed up, the average from then on.
    state: f64,
}

impl Ema {
    pub(super) fn new(period: usize) -> Self {
        Self {
            period,
            seen: 0,
            state: 0.0,
        }
    }

    pub(super) fn push_value(&mut self, x: f64) -> Option<f64> {
        if self.seen < self.period {
            self.seen += 1;
            self.state += x;
            if self.seen < self.period {
                return None;
            }
            self.state /= self.period as f64;
        } else {
            let factor = 2.0 / (self.period + 1) as f64;
            self.state += (x - self.state) * factor;
        }
        Some(self.state)
    }

    pub(super) fn hash_state(&self, state: &mut dyn Hasher) {
        state.write_usize(self.seen);
        state.write_u64(self.state.to_bits());
    }
}

impl Indicator for Ema {
    fn peek(&self, bar: Bar) -> Option<Values> {
        let mut after = *self;
        after.push(bar)
    }

    fn push(&mut self, bar: Bar) -> Option<Values> {
        self.push_value(bar.close).map(|v| [v, 0.0, 0.0])
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.hash_state(state);
    }
}
