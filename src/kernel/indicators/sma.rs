//! Simple moving average.

use std::collections::VecDeque;
use std::hash::Hasher;

use super::{Bar, Indicator, Values};

/// Mean of the last `period` closes, from a running sum with Neumaier's compensation, so that the
/// error does not grow with the length of the stream.
#[derive(Debug)]
pub(super) struct Sma {
    period: usize,
    window: VecDeque<f64>,
    sum: Sum,
}

/// A compensated running sum (A. Neumaier, 1974).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    value: f64,
    lost: f64,
}

impl Sum {
    pub(super) fn add(&mut self, x: f64) {
        let total = self.value + x;
        self.lost += if self.value.abs() >= x.abs() {
            (self.value - total) + x
        } else {
            (x - total) + self.value
        };
        self.value = total;
    }

    pub(super) fn get(self) -> f64 {
        self.value + self.lost
    }

    pub(super) fn hash_bits(self, state: &mut dyn Hasher) {
        state.write_u64(self.value.to_bits());
        state.write_u64(self.lost.to_bits());
    }
}

impl Sma {
    pub(super) fn new(period: usize) -> Self {
        Self {
            period,
            window: VecDeque::new(),
            sum: Sum::default(),
        }
    }

    fn slid(&self, x: f64) -> Option<Sum> {
        let mut sum = self.sum;
        sum.add(x);
        if self.window.len() == self.period {
            sum.add(-self.window.front().copied().unwrap_or_default());
        }
        (self.window.len() + 1 >= self.period).then_some(sum)
    }

    pub(super) fn peek_value(&self, x: f64) -> Option<f64> {
        self.slid(x).map(|sum| sum.get() / self.period as f64)
    }

    pub(super) fn push_value(&mut self, x: f64) -> Option<f64> {
        let value = self.peek_value(x);
        self.sum.add(x);
        if self.window.len() == self.period {
            let oldest = self.window.pop_front().unwrap_or_default();
            self.sum.add(-oldest);
        }
        self.window.push_back(x);
        value
    }
}

impl Indicator for Sma {
    fn peek(&self, bar: Bar) -> Option<Values> {
        self.peek_value(bar.close).map(|v| [v, 0.0, 0.0])
    }

    fn push(&mut self, bar: Bar) -> Option<Values> {
        self.push_value(bar.close).map(|v| [v, 0.0, 0.0])
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.window
            .iter()
            .for_each(|x| state.write_u64(x.to_bits()));
        self.sum.hash_bits(state);
    }
}
