//! Moving average convergence/divergence.

use std::hash::Hasher;

use super::ema::Ema;
use super::{Bar, Indicator, Values};

/// Fast EMA less slow EMA, its own EMA (the signal), and their difference (the histogram).
///
/// As in TA-Lib, the fast average is seeded by the closes just before the slow one's first value,
/// both orders of the two periods mean the same, and nothing is shown before the signal exists.
#[derive(Debug, Clone, Copy)]
pub(super) struct Macd {
    fast: Ema,
    slow: Ema,
    signal: Ema,
    /// Closes that the fast average must let pass to start together with the slow one.
    skip: usize,
}

impl Macd {
    pub(super) fn new(fast: usize, slow: usize, signal: usize) -> Self {
        let (fast, slow) = (fast.min(slow), fast.max(slow));
        Self {
            fast: Ema::new(fast),
            slow: Ema::new(slow),
            signal: Ema::new(signal),
            skip: slow - fast,
        }
    }
}

impl Indicator for Macd {
    fn peek(&self, bar: Bar) -> Option<Values> {
        let mut after = *self;
        after.push(bar)
    }

    fn push(&mut self, bar: Bar) -> Option<Values> {
        let slow = self.slow.push_value(bar.close);
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let macd = self.fast.push_value(bar.close)? - slow?;
        let signal = self.signal.push_value(macd)?;
        Some([macd, signal, macd - signal])
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.fast.hash_state(state);
        self.slow.hash_state(state);
        self.signal.hash_state(state);
        state.write_usize(self.skip);
    }
}
