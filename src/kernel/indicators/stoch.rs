//! Where the close stands between the extremes: stochastic oscillators and Williams' %R.

use std::hash::Hasher;

use super::mean::Mean;
use super::rsi::Gains;
use super::window::{Extreme, Total};
use super::{Bar, EPSILON, Step, Values, one};

/// The extremes of the last `period` highs and lows.
#[derive(Debug)]
pub(super) struct Channel {
    highest: Extreme,
    lowest: Extreme,
}

impl Channel {
    pub(super) fn new(period: usize) -> Self {
        Self {
            highest: Extreme::highest(period),
            lowest: Extreme::lowest(period),
        }
    }

    /// The highest and the lowest, once there are enough.
    pub(super) fn next(&self, high: f64, low: f64) -> Option<(f64, f64)> {
        let ends = || (self.highest.next(high).0, self.lowest.next(low).0);
        self.highest.fills().then(ends)
    }

    /// The close between them in per cent; zero where they are one, as in TA-Lib.
    fn stand(&self, high: f64, low: f64, close: f64) -> Option<f64> {
        let (highest, lowest) = self.next(high, low)?;
        let range = highest - lowest;
        let flat = range <= EPSILON * (highest.abs() + lowest.abs());
        Some(if flat {
            0.0
        } else {
            (close - lowest) / (range / 100.0)
        })
    }

    pub(super) fn push(&mut self, high: f64, low: f64) {
        self.highest.push(high);
        self.lowest.push(low);
    }

    pub(super) fn hash_bits(&self, state: &mut dyn Hasher) {
        self.highest.hash_bits(state);
        self.lowest.hash_bits(state);
    }
}

/// Fast %K and its mean %D (STOCHF), or the mean of %K and the mean of that (STOCH).
#[derive(Debug)]
pub(super) struct Stoch {
    channel: Channel,
    smooth: Option<Mean>,
    mean: Mean,
}

/// A value that goes into a mean, and the mean's sum with it.
type Taken = Option<(f64, Total)>;

impl Stoch {
    pub(super) fn fast(k: usize, d: usize) -> Self {
        Self {
            channel: Channel::new(k),
            smooth: None,
            mean: Mean::new(d),
        }
    }

    pub(super) fn slow(k: usize, smooth: usize, d: usize) -> Self {
        Self {
            smooth: Some(Mean::new(smooth)),
            ..Self::fast(k, d)
        }
    }

    fn next_of(&self, high: f64, low: f64, close: f64) -> ((Taken, Taken), Option<Values>) {
        let Some(raw) = self.channel.stand(high, low, close) else {
            return ((None, None), None);
        };
        let (smoothed, k) = match &self.smooth {
            Some(mean) => {
                let (total, k) = mean.next(raw);
                (Some((raw, total)), k)
            }
            None => (None, Some(raw)),
        };
        let Some(k) = k else {
            return ((smoothed, None), None);
        };
        let (total, d) = self.mean.next(k);
        ((smoothed, Some((k, total))), d.map(|d| [k, d, 0.0]))
    }

    fn keep_of(&mut self, high: f64, low: f64, (smoothed, mean): (Taken, Taken)) {
        self.channel.push(high, low);
        if let (Some(into), Some((raw, total))) = (&mut self.smooth, smoothed) {
            into.push(raw, total);
        }
        if let Some((k, total)) = mean {
            self.mean.push(k, total);
        }
    }
}

impl Step for Stoch {
    type Next = (Taken, Taken);

    fn next(&self, bar: Bar) -> (Self::Next, Option<Values>) {
        self.next_of(bar.high, bar.low, bar.close)
    }

    fn keep(&mut self, bar: Bar, next: Self::Next) {
        self.keep_of(bar.high, bar.low, next);
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.channel.hash_bits(state);
        if let Some(mean) = &self.smooth {
            mean.hash_bits(state);
        }
        self.mean.hash_bits(state);
    }
}

/// The fast stochastic oscillator of RSI.
#[derive(Debug)]
pub(super) struct StochRsi {
    gains: Gains,
    stoch: Stoch,
}

impl StochRsi {
    pub(super) fn new(period: usize, k: usize, d: usize) -> Self {
        Self {
            gains: Gains::new(period),
            stoch: Stoch::fast(k, d),
        }
    }
}

impl Step for StochRsi {
    type Next = (Gains, Option<(f64, (Taken, Taken))>);

    fn next(&self, bar: Bar) -> (Self::Next, Option<Values>) {
        let mut gains = self.gains;
        let Some(rsi) = gains.rsi(bar.close) else {
            return ((gains, None), None);
        };
        let (next, values) = self.stoch.next_of(rsi, rsi, rsi);
        ((gains, Some((rsi, next))), values)
    }

    fn keep(&mut self, _: Bar, (gains, stoch): Self::Next) {
        self.gains = gains;
        if let Some((rsi, next)) = stoch {
            self.stoch.keep_of(rsi, rsi, next);
        }
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.gains.hash_bits(state);
        Step::hash_bits(&self.stoch, state);
    }
}

/// The middle of the highest high and lowest low, or Williams' %R: the close below the highest high
/// in per cent of the range, from −100 to 0.
#[derive(Debug)]
pub(super) struct Midprice {
    channel: Channel,
    williams: bool,
}

impl Midprice {
    pub(super) fn middle(period: usize) -> Self {
        Self {
            channel: Channel::new(period),
            williams: false,
        }
    }

    pub(super) fn willr(period: usize) -> Self {
        Self {
            williams: true,
            ..Self::middle(period)
        }
    }
}

impl Step for Midprice {
    type Next = ();

    fn next(&self, bar: Bar) -> ((), Option<Values>) {
        let ends = self.channel.next(bar.high, bar.low);
        let value = ends.map(|(highest, lowest)| match self.williams {
            false => f64::midpoint(highest, lowest),
            true if highest > lowest => (highest - bar.close) / ((highest - lowest) / -100.0),
            true => 0.0,
        });
        ((), one(value))
    }

    fn keep(&mut self, bar: Bar, (): ()) {
        self.channel.push(bar.high, bar.low);
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.channel.hash_bits(state);
    }
}
