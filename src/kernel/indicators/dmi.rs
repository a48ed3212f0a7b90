//! Wilder's directional movement: +DI, −DI, ADX and ADXR.

use std::hash::Hasher;

use super::range::true_range;
use super::window::Window;
use super::{Bar, EPSILON, Step, Values, hash_float, one};

/// Smoothed movements up and down, and the smoothed true range.
#[derive(Debug, Clone, Copy)]
struct Movement {
    period: usize,
    last: Option<Bar>,
    seen: usize,
    up: f64,
    down: f64,
    range: f64,
}

impl Movement {
    fn new(period: usize) -> Self {
        Self {
            period,
            last: None,
            seen: 0,
            up: 0.0,
            down: 0.0,
            range: 0.0,
        }
    }

    /// Takes a candle; whether the sums are warmed up. The first `period` − 1 movements are summed
    /// up, from then on each sum loses a `period`th before it grows.
    fn push(&mut self, bar: Bar) -> bool {
        let Some(last) = self.last.replace(bar) else {
            return false;
        };
        let (rise, fall) = (bar.high - last.high, last.low - bar.low);
        let up = if rise > 0.0 && rise > fall { rise } else { 0.0 };
        let down = if fall > 0.0 && fall > rise { fall } else { 0.0 };
        let warm = self.seen + 1 >= self.period;
        if warm {
            let n = self.period as f64;
            self.up -= self.up / n;
            self.down -= self.down / n;
            self.range -= self.range / n;
        } else {
            self.seen += 1;
        }
        self.up += up;
        self.down += down;
        self.range += true_range(bar, last.close);
        warm
    }

    fn percent(&self, movement: f64) -> f64 {
        if self.range > 0.0 {
            100.0 * (movement / self.range)
        } else {
            0.0
        }
    }

    /// DX; `None` without any movement, where TA-Lib lets the average stay as it is.
    fn index(&self) -> Option<f64> {
        let (up, down) = (self.percent(self.up), self.percent(self.down));
        (up + down >= EPSILON).then(|| 100.0 * ((up - down).abs() / (up + down)))
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        if let Some(last) = self.last {
            hash_float(state, last.high);
            hash_float(state, last.low);
            hash_float(state, last.close);
        }
        state.write_usize(self.seen);
        hash_float(state, self.up);
        hash_float(state, self.down);
        hash_float(state, self.range);
    }
}

/// +DI or −DI. Of a single candle it is a fraction, not per cent, as in TA-Lib.
#[derive(Debug, Clone, Copy)]
pub(super) struct Di {
    movement: Movement,
    up: bool,
}

impl Di {
    pub(super) fn plus(period: usize) -> Self {
        Self {
            movement: Movement::new(period),
            up: true,
        }
    }

    pub(super) fn minus(period: usize) -> Self {
        Self {
            up: false,
            ..Self::plus(period)
        }
    }
}

impl Step for Di {
    type Next = Self;

    fn next(&self, bar: Bar) -> (Self, Option<Values>) {
        let mut after = *self;
        let warm = after.movement.push(bar);
        let movement = if self.up {
            after.movement.up
        } else {
            after.movement.down
        };
        let percent = after.movement.percent(movement);
        let value = if self.movement.period == 1 {
            percent / 100.0
        } else {
            percent
        };
        (after, one(warm.then_some(value)))
    }

    fn keep(&mut self, _: Bar, next: Self) {
        *self = next;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.movement.hash_bits(state);
    }
}

/// The average of DX: the mean of the first `period`, then Wilder's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adx {
    movement: Movement,
    seen: usize,
    state: f64,
}

impl Adx {
    pub(super) fn new(period: usize) -> Self {
        Self {
            movement: Movement::new(period),
            seen: 0,
            state: 0.0,
        }
    }

    fn push(&mut self, bar: Bar) -> Option<f64> {
        if !self.movement.push(bar) {
            return None;
        }
        let index = self.movement.index();
        let n = self.movement.period as f64;
        if self.seen < self.movement.period {
            self.seen += 1;
            self.state += index.unwrap_or(0.0);
            if self.seen < self.movement.period {
                return None;
            }
            self.state /= n;
        } else if let Some(index) = index {
            self.state = (self.state * (n - 1.0) + index) / n;
        }
        Some(self.state)
    }
}

impl Step for Adx {
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
        self.movement.hash_bits(state);
        state.write_usize(self.seen);
        hash_float(state, self.state);
    }
}

/// The mean of ADX and what it was `period` − 1 candles ago.
#[derive(Debug)]
pub(super) struct Adxr {
    adx: Adx,
    earlier: Window,
}

impl Adxr {
    pub(super) fn new(period: usize) -> Self {
        Self {
            adx: Adx::new(period),
            earlier: Window::new(period - 1),
        }
    }
}

impl Step for Adxr {
    type Next = (Adx, Option<f64>);

    fn next(&self, bar: Bar) -> (Self::Next, Option<Values>) {
        let mut adx = self.adx;
        let now = adx.push(bar);
        let value = now.zip(self.earlier.leaving());
        ((adx, now), one(value.map(|(a, b)| f64::midpoint(a, b))))
    }

    fn keep(&mut self, _: Bar, (adx, now): Self::Next) {
        self.adx = adx;
        if let Some(now) = now {
            self.earlier.push(now);
        }
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        Step::hash_bits(&self.adx, state);
        self.earlier.hash_bits(state);
    }
}
