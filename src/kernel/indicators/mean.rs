//! Means of the last closes: simple, triangular, weighted.

use std::hash::Hasher;

use super::wide::Wide;
use super::window::{Rolling, Total, Window};
use super::{Bar, Step, Values, one};

/// Arithmetic mean of the last `period` values.
#[derive(Debug, Clone)]
pub(super) struct Mean {
    period: f64,
    sum: Rolling,
}

impl Mean {
    pub(super) fn new(period: usize) -> Self {
        Self {
            period: period as f64,
            sum: Rolling::new(period),
        }
    }

    pub(super) fn next(&self, x: f64) -> (Total, Option<f64>) {
        let total = self.sum.next(x);
        let mean = self.sum.fills().then(|| total.get() / self.period);
        (total, mean)
    }

    pub(super) fn push(&mut self, x: f64, total: Total) {
        self.sum.push(x, total);
    }

    pub(super) fn hash_bits(&self, state: &mut dyn Hasher) {
        self.sum.hash_bits(state);
    }
}

/// Simple moving average of closes.
#[derive(Debug)]
pub(super) struct Sma(Mean);

impl Sma {
    pub(super) fn new(period: usize) -> Self {
        Self(Mean::new(period))
    }
}

impl Step for Sma {
    type Next = Total;

    fn next(&self, bar: Bar) -> (Total, Option<Values>) {
        let (total, mean) = self.0.next(bar.close);
        (total, one(mean))
    }

    fn keep(&mut self, bar: Bar, next: Total) {
        self.0.push(bar.close, next);
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.0.hash_bits(state);
    }
}

/// Triangular moving average: the mean of means, whose lengths add up to `period` + 1.
#[derive(Debug)]
pub(super) struct Trima {
    inner: Mean,
    outer: Mean,
}

impl Trima {
    pub(super) fn new(period: usize) -> Self {
        Self {
            inner: Mean::new(period / 2 + 1),
            outer: Mean::new(period.div_ceil(2)),
        }
    }
}

impl Step for Trima {
    type Next = (Total, Option<(f64, Total)>);

    fn next(&self, bar: Bar) -> (Self::Next, Option<Values>) {
        let (inner, mean) = self.inner.next(bar.close);
        let outer = mean.map(|mean| (mean, self.outer.next(mean)));
        let value = outer.and_then(|(_, (_, value))| value);
        let outer = outer.map(|(mean, (total, _))| (mean, total));
        ((inner, outer), one(value))
    }

    fn keep(&mut self, bar: Bar, (inner, outer): Self::Next) {
        self.inner.push(bar.close, inner);
        if let Some((mean, total)) = outer {
            self.outer.push(mean, total);
        }
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.inner.hash_bits(state);
        self.outer.hash_bits(state);
    }
}

/// Weighted moving average: the newest close counts `period` times, the oldest once.
#[derive(Debug)]
pub(super) struct Wma {
    window: Window,
    sums: Weighted,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weighted {
    plain: Wide,
    weighted: Wide,
}

impl Wma {
    pub(super) fn new(period: usize) -> Self {
        Self {
            window: Window::new(period),
            sums: Weighted::default(),
        }
    }
}

impl Step for Wma {
    type Next = Weighted;

    fn next(&self, bar: Bar) -> (Weighted, Option<Values>) {
        let Weighted { plain, weighted } = self.sums;
        let newest = (self.window.len() + 1).min(self.window.period()) as f64;
        let weighted = weighted.add(Wide::product(newest, bar.close));
        let sums = match self.window.leaving() {
            // Everything that stays counts once less, and the oldest is gone.
            Some(old) => Weighted {
                plain: plain.plus(bar.close).plus(-old),
                weighted: weighted.sub(plain),
            },
            None => Weighted {
                plain: plain.plus(bar.close),
                weighted,
            },
        };
        let period = self.window.period() as f64;
        let weights = period * (period + 1.0) / 2.0;
        let value = self.window.fills().then(|| sums.weighted.get() / weights);
        (sums, one(value))
    }

    fn keep(&mut self, bar: Bar, next: Weighted) {
        self.window.push(bar.close);
        self.sums = next;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.window.hash_bits(state);
        self.sums.plain.hash_bits(state);
        self.sums.weighted.hash_bits(state);
    }
}
