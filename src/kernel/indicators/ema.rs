//! Exponential moving averages and what is made of several in a row.

use std::hash::Hasher;

use super::{Bar, Step, Values, hash_float, one};

/// Factor 2/(n+1), seeded by the mean of the first n values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Average {
    period: usize,
    seen: usize,
    /// The sum of the values so far until it is warmed up, the average from then on.
    state: f64,
}

impl Average {
    pub(super) fn new(period: usize) -> Self {
        Self {
            period,
            seen: 0,
            state: 0.0,
        }
    }

    pub(super) fn push(&mut self, x: f64) -> Option<f64> {
        if self.seen < self.period {
            self.seen += 1;
            self.state += x;
            if self.seen < self.period {
                return None;
            }
            self.state /= self.period as f64;
        } else {
            let factor = 2.0 / (self.period + 1) as f64;
            self.state = factor * x + (1.0 - factor) * self.state;
        }
        Some(self.state)
    }

    pub(super) fn hash_bits(&self, state: &mut dyn Hasher) {
        state.write_usize(self.seen);
        hash_float(state, self.state);
    }
}

/// The average of the close, the average of that, and so on.
#[derive(Debug, Clone, Copy)]
struct Chain<const N: usize>([Average; N]);

impl<const N: usize> Chain<N> {
    fn new(period: usize) -> Self {
        Self([Average::new(period); N])
    }

    /// Every average, once the last of them is warmed up.
    fn push(&mut self, x: f64) -> Option<[f64; N]> {
        let mut values = [0.0; N];
        let mut x = x;
        for (average, value) in self.0.iter_mut().zip(&mut values) {
            x = average.push(x)?;
            *value = x;
        }
        Some(values)
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.0.iter().for_each(|a| a.hash_bits(state));
    }
}

/// EMA, or one that takes several in a row to lag less.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ema<const N: usize> {
    chain: Chain<N>,
    /// What each average counts.
    weights: [f64; N],
}

impl Ema<1> {
    pub(super) fn single(period: usize) -> Self {
        Self {
            chain: Chain::new(period),
            weights: [1.0],
        }
    }
}

impl Ema<2> {
    /// DEMA.
    pub(super) fn double(period: usize) -> Self {
        Self {
            chain: Chain::new(period),
            weights: [2.0, -1.0],
        }
    }
}

impl Ema<3> {
    /// TEMA.
    pub(super) fn triple(period: usize) -> Self {
        Self {
            chain: Chain::new(period),
            weights: [3.0, -3.0, 1.0],
        }
    }
}

impl Ema<6> {
    /// T3: GD of GD of GD, where GD = (1+v)·EMA − v·EMA(EMA), multiplied out.
    pub(super) fn t3(period: usize, factor: f64) -> Self {
        let (v, v2) = (factor, factor * factor);
        let v3 = v2 * v;
        Self {
            chain: Chain::new(period),
            weights: [
                0.0,
                0.0,
                1.0 + 3.0 * v + v3 + 3.0 * v2,
                -6.0 * v2 - 3.0 * (v + v3),
                3.0 * (v2 + v3),
                -v3,
            ],
        }
    }
}

impl<const N: usize> Step for Ema<N> {
    type Next = Self;

    fn next(&self, bar: Bar) -> (Self, Option<Values>) {
        let mut after = *self;
        let averages = after.chain.push(bar.close);
        let value = averages.map(|averages| {
            let parts = averages.iter().zip(&self.weights);
            parts.map(|(average, weight)| average * weight).sum()
        });
        (after, one(value))
    }

    fn keep(&mut self, _: Bar, next: Self) {
        *self = next;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.chain.hash_bits(state);
    }
}

/// Change in per cent of a triple EMA from candle to candle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trix {
    chain: Chain<3>,
    last: Option<f64>,
}

impl Trix {
    pub(super) fn new(period: usize) -> Self {
        Self {
            chain: Chain::new(period),
            last: None,
        }
    }
}

impl Step for Trix {
    type Next = Self;

    fn next(&self, bar: Bar) -> (Self, Option<Values>) {
        let mut after = *self;
        let value = after.chain.push(bar.close).and_then(|[_, _, triple]| {
            let last = after.last.replace(triple)?;
            Some(super::momentum::change_percent(triple, last))
        });
        (after, one(value))
    }

    fn keep(&mut self, _: Bar, next: Self) {
        *self = next;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.chain.hash_bits(state);
        hash_float(state, self.last.unwrap_or_default());
    }
}
