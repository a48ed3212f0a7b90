//! Bollinger bands.

use std::collections::VecDeque;
use std::hash::Hasher;

use super::sma::Sum;
use super::{Bar, Indicator, Values};

/// SMA plus and minus a multiple of the population deviation.
///
/// Sums are taken of the distances from the first close seen, not of the closes: squares of prices
/// would cancel away the digits that the deviation is made of.
#[derive(Debug)]
pub(super) struct Bbands {
    period: usize,
    deviations: f64,
    origin: Option<f64>,
    window: VecDeque<f64>,
    sums: Sums,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    x: Sum,
    xx: Sum,
}

impl Sums {
    fn slide(&mut self, x: f64, oldest: Option<f64>) {
        self.x.add(x);
        self.xx.add(x * x);
        if let Some(old) = oldest {
            self.x.add(-old);
            self.xx.add(-(old * old));
        }
    }
}

impl Bbands {
    pub(super) fn new(period: usize, deviations: f64) -> Self {
        Self {
            period,
            deviations,
            origin: None,
            window: VecDeque::new(),
            sums: Sums::default(),
        }
    }

    /// The distance from the origin, the value that leaves the window, and the sums after.
    fn slid(&self, close: f64) -> (f64, Sums) {
        let x = close - self.origin.unwrap_or(close);
        let oldest = self
            .window
            .front()
            .copied()
            .filter(|_| self.window.len() == self.period);
        let mut sums = self.sums;
        sums.slide(x, oldest);
        (x, sums)
    }

    fn bands(&self, close: f64, sums: Sums) -> Values {
        let n = self.period as f64;
        let mean = sums.x.get() / n;
        let variance = sums.xx.get() / n - mean * mean;
        let width = if variance > 1e-14 {
            variance.sqrt() * self.deviations
        } else {
            0.0
        };
        let middle = self.origin.unwrap_or(close) + mean;
        [middle + width, middle, middle - width]
    }
}

impl Indicator for Bbands {
    fn peek(&self, bar: Bar) -> Option<Values> {
        let (_, sums) = self.slid(bar.close);
        (self.window.len() + 1 >= self.period).then(|| self.bands(bar.close, sums))
    }

    fn push(&mut self, bar: Bar) -> Option<Values> {
        let value = self.peek(bar);
        let (x, sums) = self.slid(bar.close);
        self.origin.get_or_insert(bar.close);
        self.sums = sums;
        if self.window.len() == self.period {
            self.window.pop_front();
        }
        self.window.push_back(x);
        value
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        state.write_u64(self.origin.unwrap_or_default().to_bits());
        self.window
            .iter()
            .for_each(|x| state.write_u64(x.to_bits()));
        self.sums.x.hash_bits(state);
        self.sums.xx.hash_bits(state);
    }
}
