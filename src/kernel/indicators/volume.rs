//! Price moves weighed by volume: OBV, accumulation/distribution, Chaikin's oscillator, MFI.

use std::hash::Hasher;

use super::range::typical;
use super::window::{Rolling, Total};
use super::{Bar, EPSILON, Step, Values, hash_float, one};

/// On-balance volume: volume of rising closes less that of falling ones, from the first candle's
/// volume on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Obv {
    last: Option<f64>,
    sum: f64,
}

impl Step for Obv {
    type Next = Self;

    fn next(&self, bar: Bar) -> (Self, Option<Values>) {
        let sum = match self.last {
            None => bar.volume,
            Some(last) if bar.close > last => self.sum + bar.volume,
            Some(last) if bar.close < last => self.sum - bar.volume,
            Some(_) => self.sum,
        };
        let after = Self {
            last: Some(bar.close),
            sum,
        };
        (after, one(Some(sum)))
    }

    fn keep(&mut self, _: Bar, next: Self) {
        *self = next;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        hash_float(state, self.last.unwrap_or_default());
        hash_float(state, self.sum);
    }
}

/// Volume times where the close stands in the candle's range, from −1 at the low to 1 at the high,
/// summed up. A candle without a range adds nothing.
fn accumulated(sum: f64, bar: Bar) -> f64 {
    let range = bar.high - bar.low;
    if range > 0.0 {
        sum + ((bar.close - bar.low) - (bar.high - bar.close)) / range * bar.volume
    } else {
        sum
    }
}

/// Chaikin's accumulation/distribution line.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ad {
    sum: f64,
}

impl Step for Ad {
    type Next = f64;

    fn next(&self, bar: Bar) -> (f64, Option<Values>) {
        let sum = accumulated(self.sum, bar);
        (sum, one(Some(sum)))
    }

    fn keep(&mut self, _: Bar, next: f64) {
        self.sum = next;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        hash_float(state, self.sum);
    }
}

/// Fast less slow exponential average of the accumulation/distribution line. Both start from its
/// first value, and are shown once as many candles as the longer period were seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adosc {
    fast: f64,
    slow: f64,
    warm_up: usize,
    seen: usize,
    sum: f64,
    averages: (f64, f64),
}

impl Adosc {
    pub(super) fn new(fast: usize, slow: usize) -> Self {
        Self {
            fast: 2.0 / (fast + 1) as f64,
            slow: 2.0 / (slow + 1) as f64,
            warm_up: fast.max(slow),
            seen: 0,
            sum: 0.0,
            averages: (0.0, 0.0),
        }
    }
}

impl Step for Adosc {
    type Next = Self;

    fn next(&self, bar: Bar) -> (Self, Option<Values>) {
        let mut after = *self;
        let sum = accumulated(self.sum, bar);
        let average = |factor: f64, before: f64| factor * sum + (1.0 - factor) * before;
        after.sum = sum;
        after.averages = if self.seen == 0 {
            (sum, sum)
        } else {
            let (fast, slow) = self.averages;
            (average(self.fast, fast), average(self.slow, slow))
        };
        after.seen = self.warm_up.min(self.seen + 1);
        let value = after.averages.0 - after.averages.1;
        (after, one((after.seen == self.warm_up).then_some(value)))
    }

    fn keep(&mut self, _: Bar, next: Self) {
        *self = next;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        state.write_usize(self.seen);
        hash_float(state, self.sum);
        hash_float(state, self.averages.0);
        hash_float(state, self.averages.1);
    }
}

/// Money flow index: the share of the flow (typical price times volume) of candles whose typical
/// price rose; zero where nothing flowed, as in TA-Lib.
#[derive(Debug)]
pub(super) struct Mfi {
    last: Option<f64>,
    up: Rolling,
    down: Rolling,
}

/// What a candle adds to a sum, and the sum with it.
type Flow = (f64, Total);

impl Mfi {
    pub(super) fn new(period: usize) -> Self {
        Self {
            last: None,
            up: Rolling::new(period),
            down: Rolling::new(period),
        }
    }
}

impl Step for Mfi {
    type Next = Option<(Flow, Flow)>;

    fn next(&self, bar: Bar) -> (Self::Next, Option<Values>) {
        let Some(last) = self.last else {
            return (None, None);
        };
        let price = typical(bar);
        let (change, flow) = (price - last, price * bar.volume);
        let still = change.abs() <= EPSILON * (price.abs() + last.abs());
        let (up, down) = match () {
            () if still => (0.0, 0.0),
            () if change < 0.0 => (0.0, flow),
            () => (flow, 0.0),
        };
        let (ups, downs) = (self.up.next(up), self.down.next(down));
        let (gain, loss) = (ups.get().max(0.0), downs.get().max(0.0));
        let value = if gain + loss > 0.0 {
            100.0 * (gain / (gain + loss))
        } else {
            0.0
        };
        let value = self.up.fills().then_some(value);
        (Some(((up, ups), (down, downs))), one(value))
    }

    fn keep(&mut self, bar: Bar, next: Self::Next) {
        self.last = Some(typical(bar));
        if let Some(((up, ups), (down, downs))) = next {
            self.up.push(up, ups);
            self.down.push(down, downs);
        }
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        hash_float(state, self.last.unwrap_or_default());
        self.up.hash_bits(state);
        self.down.hash_bits(state);
    }
}
