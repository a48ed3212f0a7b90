//! What a single candle or two say: true range and its averages, balance of power, typical price.

use std::hash::Hasher;

use super::{Bar, Step, Values, hash_float, one};

/// The largest of high less low and the distances of both from the last close (Wilder).
pub(super) fn true_range(bar: Bar, last_close: f64) -> f64 {
    let range = bar.high - bar.low;
    let up = (bar.high - last_close).abs();
    let down = (bar.low - last_close).abs();
    range.max(up).max(down)
}

/// (high + low + close) / 3.
pub(super) fn typical(bar: Bar) -> f64 {
    (bar.high + bar.low + bar.close) / 3.0
}

/// Wilder's average of true ranges: of itself (TRANGE is that of one candle), or in per cent of the
/// close (NATR).
#[derive(Debug, Clone, Copy)]
pub(super) struct Atr {
    period: usize,
    percent: bool,
    last: Option<f64>,
    seen: usize,
    /// A sum until it is warmed up, an average from then on.
    state: f64,
}

impl Atr {
    pub(super) fn average(period: usize) -> Self {
        Self {
            period,
            percent: false,
            last: None,
            seen: 0,
            state: 0.0,
        }
    }

    pub(super) fn percent(period: usize) -> Self {
        Self {
            // TA-Lib: of a single candle it is the true range itself.
            percent: period > 1,
            ..Self::average(period)
        }
    }

    pub(super) fn push(&mut self, bar: Bar) -> Option<f64> {
        let range = true_range(bar, self.last.replace(bar.close)?);
        let n = self.period as f64;
        if self.seen < self.period {
            self.seen += 1;
            self.state += range;
            if self.seen < self.period {
                return None;
            }
            self.state /= n;
        } else {
            self.state = (self.state * (n - 1.0) + range) / n;
        }
        match self.percent {
            false => Some(self.state),
            true if bar.close > 0.0 => Some(self.state / bar.close * 100.0),
            true => Some(0.0),
        }
    }
}

impl Step for Atr {
    type Next = Self;

    fn next(&self, bar: Bar) -> (Self, Option<Values>) {
        let mut after = *self;
        let value = after.push(bar);
        (after, one(value))
    }

    fn keep(&mut self, _: Bar, next: Self) {
        *self = next;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        hash_float(state, self.last.unwrap_or_default());
        state.write_usize(self.seen);
        hash_float(state, self.state);
    }
}

/// A value of one candle alone, without any state.
#[derive(Debug, Clone, Copy)]
pub(super) enum OfOneBar {
    /// (close − open) / (high − low); zero without a range.
    BalanceOfPower,
    /// (high + low + close) / 3.
    TypicalPrice,
}

impl Step for OfOneBar {
    type Next = ();

    fn next(&self, bar: Bar) -> ((), Option<Values>) {
        let range = bar.high - bar.low;
        let value = match self {
            Self::BalanceOfPower if range > 0.0 => (bar.close - bar.open) / range,
            Self::BalanceOfPower => 0.0,
            Self::TypicalPrice => typical(bar),
        };
        ((), one(Some(value)))
    }

    fn keep(&mut self, _: Bar, (): ()) {}

    fn hash_bits(&self, _: &mut dyn Hasher) {}
}
