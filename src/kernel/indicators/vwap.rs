//! Volume-weighted average price.

use std::hash::Hasher;

use super::range::typical;
use super::wide::Wide;
use super::window::{Rolling, Total};
use super::{Bar, Step, Values, one};
use crate::kernel::types::DAY;

/// The mean of typical prices weighed by volume, of the UTC day so far; the typical price itself
/// while nothing was traded.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SessionVwap {
    day: Option<i64>,
    money: Wide,
    volume: Wide,
}

fn mean(bar: Bar, money: f64, volume: f64) -> f64 {
    if volume > 0.0 {
        money / volume
    } else {
        typical(bar)
    }
}

impl Step for SessionVwap {
    type Next = Self;

    fn next(&self, bar: Bar) -> (Self, Option<Values>) {
        let day = Some(bar.time.0.div_euclid(DAY));
        let mut after = if day == self.day {
            *self
        } else {
            Self::default()
        };
        after.day = day;
        after.money = after.money.plus(typical(bar) * bar.volume);
        after.volume = after.volume.plus(bar.volume);
        let value = mean(bar, after.money.get(), after.volume.get());
        (after, one(Some(value)))
    }

    fn keep(&mut self, _: Bar, next: Self) {
        *self = next;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        state.write_i64(self.day.unwrap_or(i64::MIN));
        self.money.hash_bits(state);
        self.volume.hash_bits(state);
    }
}

/// The same over the last `period` candles.
#[derive(Debug)]
pub(super) struct RollingVwap {
    money: Rolling,
    volume: Rolling,
}

impl RollingVwap {
    pub(super) fn new(period: usize) -> Self {
        Self {
            money: Rolling::new(period),
            volume: Rolling::new(period),
        }
    }
}

impl Step for RollingVwap {
    type Next = (Total, Total);

    fn next(&self, bar: Bar) -> (Self::Next, Option<Values>) {
        let money = self.money.next(typical(bar) * bar.volume);
        let volume = self.volume.next(bar.volume);
        let value = mean(bar, money.get(), volume.get());
        ((money, volume), one(self.volume.fills().then_some(value)))
    }

    fn keep(&mut self, bar: Bar, (money, volume): Self::Next) {
        self.money.push(typical(bar) * bar.volume, money);
        self.volume.push(bar.volume, volume);
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.money.hash_bits(state);
        self.volume.hash_bits(state);
    }
}
