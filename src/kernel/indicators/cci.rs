//! Commodity channel index.

use std::hash::Hasher;

use super::range::typical;
use super::window::Window;
use super::{Bar, EPSILON, Step, Values, one};

/// The typical price's distance from its mean, in units of 1.5 % of the mean absolute deviation.
///
/// Every deviation changes with the mean, so no running sum exists for them: this alone walks its
/// window at every candle, as TA-Lib does.
#[derive(Debug)]
pub(super) struct Cci {
    window: Window,
}

impl Cci {
    pub(super) fn new(period: usize) -> Self {
        Self {
            window: Window::new(period),
        }
    }
}

impl Step for Cci {
    type Next = ();

    fn next(&self, bar: Bar) -> ((), Option<Values>) {
        if !self.window.fills() {
            return ((), None);
        }
        let price = typical(bar);
        let leaving = usize::from(self.window.leaving().is_some());
        let values = self.window.values().skip(leaving);
        let n = self.window.period() as f64;
        let mean = (values.clone().sum::<f64>() + price) / n;
        let distance = price - mean;
        let deviations: f64 = values.map(|x| (x - mean).abs()).sum();
        let deviation = (deviations + distance.abs()) / n;
        let flat = EPSILON * (price.abs() + mean.abs());
        let value = if distance.abs() <= flat || deviation <= flat {
            0.0
        } else {
            distance / (0.015 * deviation)
        };
        ((), one(Some(value)))
    }

    fn keep(&mut self, bar: Bar, (): ()) {
        self.window.push(typical(bar));
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.window.hash_bits(state);
    }
}
