//! Highest highs, lowest lows and how long ago they were (Aroon).

use std::hash::Hasher;

use super::window::Extreme;
use super::{Bar, Step, Values, one};

/// The highest high or the lowest low of the last `period` candles.
#[derive(Debug)]
pub(super) struct End {
    extreme: Extreme,
    high: bool,
}

impl End {
    pub(super) fn highest(period: usize) -> Self {
        Self {
            extreme: Extreme::highest(period),
            high: true,
        }
    }

    pub(super) fn lowest(period: usize) -> Self {
        Self {
            extreme: Extreme::lowest(period),
            high: false,
        }
    }

    fn input(&self, bar: Bar) -> f64 {
        if self.high { bar.high } else { bar.low }
    }
}

impl Step for End {
    type Next = ();

    fn next(&self, bar: Bar) -> ((), Option<Values>) {
        let (value, _) = self.extreme.next(self.input(bar));
        ((), one(self.extreme.fills().then_some(value)))
    }

    fn keep(&mut self, bar: Bar, (): ()) {
        self.extreme.push(self.input(bar));
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.extreme.hash_bits(state);
    }
}

/// How recent the lowest low and highest high of the last `period` + 1 candles are, in per cent
/// (AROON), or the difference (AROONOSC). Of equal ones the latest counts.
#[derive(Debug)]
pub(super) struct Aroon {
    period: f64,
    highest: Extreme,
    lowest: Extreme,
    difference: bool,
}

impl Aroon {
    pub(super) fn both(period: usize) -> Self {
        Self {
            period: period as f64,
            highest: Extreme::highest(period + 1),
            lowest: Extreme::lowest(period + 1),
            difference: false,
        }
    }

    pub(super) fn difference(period: usize) -> Self {
        Self {
            difference: true,
            ..Self::both(period)
        }
    }
}

impl Step for Aroon {
    type Next = ();

    fn next(&self, bar: Bar) -> ((), Option<Values>) {
        let (high, low) = (self.highest.next(bar.high).1, self.lowest.next(bar.low).1);
        let factor = 100.0 / self.period;
        let values = if self.difference {
            [factor * (low as f64 - high as f64), 0.0, 0.0]
        } else {
            let recent = |age: u64| factor * (self.period - age as f64);
            [recent(low), recent(high), 0.0]
        };
        ((), self.highest.fills().then_some(values))
    }

    fn keep(&mut self, bar: Bar, (): ()) {
        self.highest.push(bar.high);
        self.lowest.push(bar.low);
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.highest.hash_bits(state);
        self.lowest.hash_bits(state);
    }
}
