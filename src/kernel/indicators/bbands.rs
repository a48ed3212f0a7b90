//! Standard deviation and Bollinger bands.

use std::hash::Hasher;

use super::wide::Wide;
use super::window::{Run, Window};
use super::{Bar, NOISE, Step, Values};

/// The mean of the last closes, and a multiple of their population deviation from it.
#[derive(Debug)]
pub(super) struct Deviation {
    window: Window,
    sums: Sums,
    deviations: f64,
    bands: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    x: Wide,
    xx: Wide,
    run: Run,
}

impl Deviation {
    pub(super) fn stddev(period: usize, deviations: f64) -> Self {
        Self {
            window: Window::new(period),
            sums: Sums::default(),
            deviations,
            bands: false,
        }
    }

    pub(super) fn bbands(period: usize, deviations: f64) -> Self {
        Self {
            bands: true,
            ..Self::stddev(period, deviations)
        }
    }

    fn values(&self, Sums { x, xx, run }: Sums) -> Values {
        let n = self.window.period() as f64;
        // n² times the variance.
        let (squares, spread) = (xx.times(n), xx.times(n).sub(x.mul(x)).get());
        let varies = !run.fills(self.window.period()) && spread > NOISE * squares.get();
        let width = if varies {
            spread.sqrt() / n * self.deviations
        } else {
            0.0
        };
        if self.bands {
            let middle = x.get() / n;
            [middle + width, middle, middle - width]
        } else {
            [width, 0.0, 0.0]
        }
    }
}

impl Step for Deviation {
    type Next = Sums;

    fn next(&self, bar: Bar) -> (Sums, Option<Values>) {
        let mut sums = Sums {
            x: self.sums.x.plus(bar.close),
            xx: self.sums.xx.add(Wide::product(bar.close, bar.close)),
            run: self.sums.run.next(bar.close, self.window.period()),
        };
        if let Some(old) = self.window.leaving() {
            sums.x = sums.x.plus(-old);
            sums.xx = sums.xx.sub(Wide::product(old, old));
        }
        (sums, self.window.fills().then(|| self.values(sums)))
    }

    fn keep(&mut self, bar: Bar, next: Sums) {
        self.window.push(bar.close);
        self.sums = next;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.window.hash_bits(state);
        self.sums.x.hash_bits(state);
        self.sums.xx.hash_bits(state);
        self.sums.run.hash_bits(state);
    }
}
