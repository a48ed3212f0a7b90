//! Differences between a fast and a slow exponential average.

use std::hash::Hasher;

use super::ema::Average;
use super::{Bar, EPSILON, Step, Values, one};

/// Fast EMA less slow EMA, its own EMA (the signal), and their difference (the histogram).
///
/// As in TA-Lib, the fast average is seeded by the closes just before the slow one's first value,
/// both orders of the two periods mean the same, and nothing is shown before the signal exists.
#[derive(Debug, Clone, Copy)]
pub(super) struct Macd {
    fast: Average,
    slow: Average,
    signal: Average,
    /// Closes that the fast average must let pass to start together with the slow one.
    skip: usize,
}

impl Macd {
    pub(super) fn new(fast: usize, slow: usize, signal: usize) -> Self {
        let (fast, slow) = (fast.min(slow), fast.max(slow));
        Self {
            fast: Average::new(fast),
            slow: Average::new(slow),
            signal: Average::new(signal),
            skip: slow - fast,
        }
    }

    fn push(&mut self, close: f64) -> Option<Values> {
        let slow = self.slow.push(close);
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let macd = self.fast.push(close)? - slow?;
        let signal = self.signal.push(macd)?;
        Some([macd, signal, macd - signal])
    }
}

impl Step for Macd {
    type Next = Self;

    fn next(&self, bar: Bar) -> (Self, Option<Values>) {
        let mut after = *self;
        let values = after.push(bar.close);
        (after, values)
    }

    fn keep(&mut self, _: Bar, next: Self) {
        *self = next;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.fast.hash_bits(state);
        self.slow.hash_bits(state);
        self.signal.hash_bits(state);
        state.write_usize(self.skip);
    }
}

/// Fast EMA less slow EMA (APO), or that in per cent of the slow one (PPO).
///
/// Unlike in MACD each average is seeded by its own first closes, as in TA-Lib.
#[derive(Debug, Clone, Copy)]
pub(super) struct Oscillator {
    fast: Average,
    slow: Average,
    percent: bool,
}

impl Oscillator {
    pub(super) fn apo(fast: usize, slow: usize) -> Self {
        Self {
            fast: Average::new(fast.min(slow)),
            slow: Average::new(fast.max(slow)),
            percent: false,
        }
    }

    pub(super) fn ppo(fast: usize, slow: usize) -> Self {
        Self {
            percent: true,
            ..Self::apo(fast, slow)
        }
    }
}

impl Step for Oscillator {
    type Next = Self;

    fn next(&self, bar: Bar) -> (Self, Option<Values>) {
        let mut after = *self;
        let fast = after.fast.push(bar.close);
        let slow = after.slow.push(bar.close);
        let value = fast.zip(slow).map(|(fast, slow)| match self.percent {
            false => fast - slow,
            true if slow.abs() < EPSILON => 0.0,
            true => (fast - slow) / slow * 100.0,
        });
        (after, one(value))
    }

    fn keep(&mut self, _: Bar, next: Self) {
        *self = next;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.fast.hash_bits(state);
        self.slow.hash_bits(state);
    }
}
