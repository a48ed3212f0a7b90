//! Technical indicators: streaming, a preview at any time, equal to TA-Lib.
//!
//! One table, [`INDICATORS`], tells everything there is to know about each; adding one is a file (or
//! a place in the file of its family) and a row. A batch is the stream fed candle by candle, so both
//! agree to the last bit. The values need no more than `+ - * /` and `sqrt`, which are the same on every
//! machine, and the logarithm of `libm`, which is too.

mod bbands;
mod cci;
mod channels;
mod dmi;
mod ema;
mod extremes;
mod kept;
mod macd;
mod mean;
mod momentum;
mod range;
mod regression;
mod rows;
mod rsi;
mod sar;
mod spec;
mod stoch;
mod table;
mod ultosc;
mod volume;
mod vwap;
mod wide;
mod window;

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::Hasher;

pub use kept::Kept;
pub use rows::INDICATORS;
pub use spec::{IndicatorError, Spec};
pub use table::{Field, Param, Row};

use super::event::Candle;
use super::types::{Instrument, Scale, Time};

/// Output values, in the order of [`Row::outputs`]; unused places are zero.
pub type Values = [f64; 3];

/// A candle as indicators see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// First price, in the quote asset.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Volume, in the base asset.
    pub volume: f64,
    /// Start of the interval.
    pub time: Time,
}

impl Bar {
    /// From exact numbers.
    pub fn new(candle: &Candle, instrument: &Instrument) -> Self {
        let price = instrument.price_scale;
        Self {
            open: candle.open.to_f64(price),
            high: candle.high.to_f64(price),
            low: candle.low.to_f64(price),
            close: candle.close.to_f64(price),
            volume: volume(candle.volume, instrument.qty_scale),
            time: candle.open_time,
        }
    }
}

fn volume(volume: i128, scale: Scale) -> f64 {
    volume as f64 / scale.unit() as f64
}

/// An indicator with its state.
pub trait Indicator: fmt::Debug + Send {
    /// The values if `bar` closed now; the state stays as it is. `None` until warmed up.
    fn peek(&self, bar: Bar) -> Option<Values>;

    /// `bar` has closed.
    fn push(&mut self, bar: Bar) -> Option<Values>;

    /// Every bit of the state, for [`super::Kernel::state_hash`].
    fn hash_bits(&self, state: &mut dyn Hasher);
}

/// An indicator in two steps, so that a preview is the same computation as the real thing: what would
/// come next, without any change, and then to keep it.
trait Step: fmt::Debug + Send {
    /// The small part of the state after a candle; windows are only told what comes.
    type Next;

    /// The state and the values if `bar` closed now.
    fn next(&self, bar: Bar) -> (Self::Next, Option<Values>);

    /// `bar` has closed; `next` is what [`Step::next`] gave for it.
    fn keep(&mut self, bar: Bar, next: Self::Next);

    /// Every bit of the state.
    fn hash_bits(&self, state: &mut dyn Hasher);
}

impl<T: Step> Indicator for T {
    fn peek(&self, bar: Bar) -> Option<Values> {
        self.next(bar).1
    }

    fn push(&mut self, bar: Bar) -> Option<Values> {
        let (next, values) = self.next(bar);
        self.keep(bar, next);
        values
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        Step::hash_bits(self, state);
    }
}

/// TA-Lib's `TA_EPSILON`: differences below this part of what they are taken of are none.
const EPSILON: f64 = 1e-14;

/// A variance below this part of the squares that it is taken of is their rounding.
const NOISE: f64 = 1e-30;

/// The values of an indicator with one output.
fn one(value: Option<f64>) -> Option<Values> {
    value.map(|value| [value, 0.0, 0.0])
}

fn hash_float(state: &mut dyn Hasher, value: f64) {
    state.write_u64(value.to_bits());
}
