//! Ultimate oscillator.

use std::hash::Hasher;

use super::range::true_range;
use super::window::{Rolling, Total};
use super::{Bar, Step, Values, hash_float, one};

/// Buying pressure over true range, summed over three spans that count 4, 2 and 1, in per cent.
#[derive(Debug)]
pub(super) struct Ultosc {
    last_close: Option<f64>,
    /// Shortest first: pressure and range.
    spans: [(Rolling, Rolling); 3],
}

impl Ultosc {
    /// The order of the periods is of no importance.
    pub(super) fn new(mut periods: [usize; 3]) -> Self {
        periods.sort_unstable();
        Self {
            last_close: None,
            spans: periods.map(|n| (Rolling::new(n), Rolling::new(n))),
        }
    }
}

/// Terms and range of a candle, and each span's sums with them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pressure: f64,
    range: f64,
    sums: [(Total, Total); 3],
}

impl Step for Ultosc {
    type Next = Option<Terms>;

    fn next(&self, bar: Bar) -> (Self::Next, Option<Values>) {
        let Some(last) = self.last_close else {
            return (None, None);
        };
        let pressure = bar.close - bar.low.min(last);
        let range = true_range(bar, last);
        let [short, medium, long] = &self.spans;
        let sums = [short, medium, long].map(|(p, r)| (p.next(pressure), r.next(range)));
        let share = |(pressure, range): (Total, Total)| {
            if range.get() > 0.0 {
                pressure.get() / range.get()
            } else {
                0.0
            }
        };
        let [a, b, c] = sums.map(share);
        let value = 100.0 * ((4.0 * a + 2.0 * b + c) / 7.0);
        let next = Terms {
            pressure,
            range,
            sums,
        };
        (Some(next), one(long.0.fills().then_some(value)))
    }

    fn keep(&mut self, bar: Bar, next: Self::Next) {
        self.last_close = Some(bar.close);
        if let Some(next) = next {
            for ((pressures, ranges), (pressure, range)) in self.spans.iter_mut().zip(next.sums) {
                pressures.push(next.pressure, pressure);
                ranges.push(next.range, range);
            }
        }
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        hash_float(state, self.last_close.unwrap_or_default());
        for (pressures, ranges) in &self.spans {
            pressures.hash_bits(state);
            ranges.hash_bits(state);
        }
    }
}
