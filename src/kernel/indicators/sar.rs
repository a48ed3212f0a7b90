//! Parabolic stop and reverse.

use std::hash::Hasher;

use super::{Bar, Step, Values, hash_float, one};

/// Wilder's stop that follows the extreme of a trade ever faster, and turns the trade when touched.
///
/// Wilder leaves the start open. As in TA-Lib the first trade is short where the second candle moved
/// further down than up (−DM), long otherwise, with the first candle's other end as its stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sar {
    acceleration: f64,
    maximum: f64,
    last: Option<(f64, f64)>,
    trade: Option<Trade>,
}

#[derive(Debug, Clone, Copy)]
struct Trade {
    long: bool,
    stop: f64,
    extreme: f64,
    factor: f64,
}

impl Sar {
    pub(super) fn new(acceleration: f64, maximum: f64) -> Self {
        Self {
            acceleration: acceleration.min(maximum),
            maximum,
            last: None,
            trade: None,
        }
    }

    fn push(&mut self, high: f64, low: f64) -> Option<f64> {
        let (last_high, last_low) = self.last.replace((high, low))?;
        let first = self.trade.is_none();
        let mut trade = self.trade.unwrap_or_else(|| {
            let (rise, fall) = (high - last_high, last_low - low);
            let long = fall <= 0.0 || rise >= fall;
            Trade {
                long,
                stop: if long { last_low } else { last_high },
                extreme: if long { high } else { low },
                factor: self.acceleration,
            }
        });
        // The first candle's range does not bind the stop of the first trade.
        let (before_high, before_low) = if first {
            (high, low)
        } else {
            (last_high, last_low)
        };
        // A stop never lies within the ranges of this candle and the one before.
        let outside = |stop: f64, long: bool| {
            if long {
                stop.min(before_low).min(low)
            } else {
                stop.max(before_high).max(high)
            }
        };
        let touched = if trade.long {
            low <= trade.stop
        } else {
            high >= trade.stop
        };
        let value;
        if touched {
            trade.long = !trade.long;
            trade.stop = outside(trade.extreme, trade.long);
            value = trade.stop;
            trade.factor = self.acceleration;
            trade.extreme = if trade.long { high } else { low };
        } else {
            value = trade.stop;
            let (further, extreme) = if trade.long {
                (high > trade.extreme, high)
            } else {
                (low < trade.extreme, low)
            };
            if further {
                trade.extreme = extreme;
                trade.factor = (trade.factor + self.acceleration).min(self.maximum);
            }
        }
        let stop = trade.stop + trade.factor * (trade.extreme - trade.stop);
        trade.stop = outside(stop, trade.long);
        self.trade = Some(trade);
        Some(value)
    }
}

impl Step for Sar {
    type Next = Self;

    fn next(&self, bar: Bar) -> (Self, Option<Values>) {
        let mut after = *self;
        let value = after.push(bar.high, bar.low);
        (after, one(value))
    }

    fn keep(&mut self, _: Bar, next: Self) {
        *self = next;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        let (high, low) = self.last.unwrap_or_default();
        hash_float(state, high);
        hash_float(state, low);
        if let Some(trade) = self.trade {
            state.write_u8(u8::from(trade.long));
            hash_float(state, trade.stop);
            hash_float(state, trade.extreme);
            hash_float(state, trade.factor);
        }
    }
}
