//! Changes against an earlier close, and the efficiency-weighted average KAMA.

use std::hash::Hasher;

use super::window::{Rolling, Total, Window};
use super::{Bar, Step, Values, hash_float, one};

/// Change in per cent; zero against zero, as in TA-Lib.
pub(super) fn change_percent(now: f64, before: f64) -> f64 {
    if before.abs() > 0.0 {
        (now / before - 1.0) * 100.0
    } else {
        0.0
    }
}

/// The close less the one `period` candles ago (MOM), or that in per cent of it (ROC).
#[derive(Debug)]
pub(super) struct Momentum {
    window: Window,
    percent: bool,
}

impl Momentum {
    pub(super) fn mom(period: usize) -> Self {
        Self {
            window: Window::new(period),
            percent: false,
        }
    }

    pub(super) fn roc(period: usize) -> Self {
        Self {
            percent: true,
            ..Self::mom(period)
        }
    }
}

impl Step for Momentum {
    type Next = ();

    fn next(&self, bar: Bar) -> ((), Option<Values>) {
        let value = self.window.leaving().map(|before| {
            if self.percent {
                change_percent(bar.close, before)
            } else {
                bar.close - before
            }
        });
        ((), one(value))
    }

    fn keep(&mut self, bar: Bar, (): ()) {
        self.window.push(bar.close);
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.window.hash_bits(state);
    }
}

/// Kaufman's adaptive moving average: an exponential one whose factor follows the efficiency of the
/// last moves, between those of 2 and 30 candles. It starts from the close before its first value.
#[derive(Debug)]
pub(super) struct Kama {
    closes: Window,
    moves: Rolling,
    last: Option<f64>,
    average: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct NextKama {
    moved: Option<(f64, Total)>,
    average: Option<f64>,
}

impl Kama {
    pub(super) fn new(period: usize) -> Self {
        Self {
            closes: Window::new(period),
            moves: Rolling::new(period),
            last: None,
            average: None,
        }
    }
}

impl Step for Kama {
    type Next = NextKama;

    fn next(&self, bar: Bar) -> (NextKama, Option<Values>) {
        let close = bar.close;
        if self.closes.period() == 1 {
            // TA-Lib: no smoothing at all.
            let next = NextKama {
                moved: None,
                average: None,
            };
            return (next, one(Some(close)));
        }
        let moved = self.last.map(|last| {
            let size = (close - last).abs();
            (size, self.moves.next(size))
        });
        let average = self.closes.leaving().zip(moved).zip(self.last);
        let average = average.map(|((first, (_, path)), last)| {
            const SLOWEST: f64 = 2.0 / 31.0;
            const FASTEST: f64 = 2.0 / 3.0;
            let (distance, path) = (close - first, path.get());
            let efficiency = if path > 0.0 && path > distance {
                (distance / path).abs()
            } else {
                1.0
            };
            let factor = efficiency * (FASTEST - SLOWEST) + SLOWEST;
            let before = self.average.unwrap_or(last);
            (close - before) * (factor * factor) + before
        });
        (NextKama { moved, average }, one(average))
    }

    fn keep(&mut self, bar: Bar, next: NextKama) {
        self.closes.push(bar.close);
        if let Some((size, total)) = next.moved {
            self.moves.push(size, total);
        }
        self.last = Some(bar.close);
        self.average = next.average;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.closes.hash_bits(state);
        self.moves.hash_bits(state);
        hash_float(state, self.last.unwrap_or_default());
        hash_float(state, self.average.unwrap_or_default());
    }
}
