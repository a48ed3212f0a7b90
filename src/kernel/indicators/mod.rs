//! Technical indicators: streaming, O(1) per candle, equal to TA-Lib.
//!
//! One table, [`INDICATORS`], tells everything there is to know about each; adding one is a file and a
//! row. A batch is the stream fed candle by candle, so both agree to the last bit.

mod bbands;
mod ema;
mod macd;
mod rsi;
mod sma;

use std::fmt;
use std::hash::{Hash as _, Hasher};

use super::event::Candle;
use super::types::Instrument;

/// Output values, in the order of [`Row::outputs`]; unused places are zero.
pub type Values = [f64; 3];

/// A candle as indicators see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// Close, in the quote asset.
    pub close: f64,
}

impl Bar {
    /// From exact numbers.
    pub fn new(candle: &Candle, instrument: &Instrument) -> Self {
        Self {
            close: candle.close.to_f64(instrument.price_scale),
        }
    }
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

/// A parameter of an indicator.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Smallest legal value.
    pub min: f64,
    /// Largest legal value.
    pub max: f64,
    /// Value where none is given.
    pub default: f64,
    /// Whether it must be a whole number.
    pub whole: bool,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Name, as users spell it.
    pub name: &'static str,
    /// Parameters, in the order in which they are written behind the name.
    pub params: &'static [Param],
    /// Names of the outputs; `value` where there is one only.
    pub outputs: &'static [&'static str],
    /// Candles before the first value, less one (TA-Lib's lookback).
    pub lookback: fn(&[f64]) -> usize,
    /// Where the definition comes from.
    pub source: &'static str,
    build: fn(&[f64]) -> Box<dyn Indicator>,
}

const fn period(name: &'static str, min: f64, default: f64) -> Param {
    Param {
        name,
        min,
        max: 100_000.0,
        default,
        whole: true,
    }
}

/// Every indicator.
pub const INDICATORS: &[Row] = &[
    Row {
        name: "sma",
        params: &[period("period", 1.0, 20.0)],
        outputs: &["value"],
        lookback: |p| count(p, 0) - 1,
        source: "TA-Lib SMA: arithmetic mean of the last closes",
        build: |p| Box::new(sma::Sma::new(count(p, 0))),
    },
    Row {
        name: "ema",
        params: &[period("period", 1.0, 20.0)],
        outputs: &["value"],
        lookback: |p| count(p, 0) - 1,
        source: "TA-Lib EMA: factor 2/(n+1), seeded by the SMA of the first n closes",
        build: |p| Box::new(ema::Ema::new(count(p, 0))),
    },
    Row {
        name: "rsi",
        params: &[period("period", 2.0, 14.0)],
        outputs: &["value"],
        lookback: |p| count(p, 0),
        source: "TA-Lib RSI: J. W. Wilder, New Concepts in Technical Trading Systems, 1978",
        build: |p| Box::new(rsi::Rsi::new(count(p, 0))),
    },
    Row {
        name: "macd",
        params: &[
            period("fast", 2.0, 12.0),
            period("slow", 2.0, 26.0),
            period("signal", 1.0, 9.0),
        ],
        outputs: &["macd", "signal", "histogram"],
        lookback: |p| count(p, 0).max(count(p, 1)) - 1 + count(p, 2) - 1,
        source: "TA-Lib MACD: G. Appel; both averages are seeded so that they start together",
        build: |p| Box::new(macd::Macd::new(count(p, 0), count(p, 1), count(p, 2))),
    },
    Row {
        name: "bbands",
        params: &[
            period("period", 2.0, 20.0),
            Param {
                name: "deviations",
                min: 0.001,
                max: 100.0,
                default: 2.0,
                whole: false,
            },
        ],
        outputs: &["upper", "middle", "lower"],
        lookback: |p| count(p, 0) - 1,
        source: "TA-Lib BBANDS: J. Bollinger; population deviation around the SMA",
        build: |p| {
            let deviations = p.get(1).copied().unwrap_or(2.0);
            Box::new(bbands::Bbands::new(count(p, 0), deviations))
        },
    },
];

/// A whole-number parameter; the table's ranges keep it within a usize.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ranges checked"
)]
fn count(params: &[f64], index: usize) -> usize {
    params.get(index).map_or(1, |p| *p as usize).max(1)
}

/// The text is no indicator.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum IndicatorError {
    /// Unknown name.
    #[error("unknown indicator {0:?}: there are {names}", names = names())]
    Name(String),
    /// Too many parameters.
    #[error("{name} takes {takes}, as in {example}")]
    Count {
        /// Indicator.
        name: &'static str,
        /// Its parameters.
        takes: String,
        /// A legal spelling.
        example: String,
    },
    /// A parameter outside of its range.
    #[error("{name}: {param} must be {kind}between {min} and {max}, got {got:?}")]
    Range {
        /// Indicator.
        name: &'static str,
        /// Parameter.
        param: &'static str,
        /// `a whole number ` or nothing.
        kind: &'static str,
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
        /// What was given.
        got: String,
    },
}

fn names() -> String {
    let names: Vec<_> = INDICATORS.iter().map(|r| r.name).collect();
    names.join(", ")
}

/// A legal indicator with its parameters, written `macd:12:26:9`.
#[derive(Debug, Clone)]
pub struct Spec {
    row: &'static Row,
    params: Vec<f64>,
}

impl Spec {
    /// Reads `name[:param…]`; missing parameters take their defaults.
    pub fn parse(text: &str) -> Result<Self, IndicatorError> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let row = INDICATORS
            .iter()
            .find(|r| r.name == name)
            .ok_or_else(|| IndicatorError::Name(name.to_owned()))?;
        let mut params: Vec<f64> = row.params.iter().map(|p| p.default).collect();
        for (index, text) in parts.enumerate() {
            let (Some(param), Some(slot)) = (row.params.get(index), params.get_mut(index)) else {
                let takes: Vec<_> = row.params.iter().map(|p| p.name).collect();
                let example = Self { row, params }.to_string();
                return Err(IndicatorError::Count {
                    name: row.name,
                    takes: takes.join(", "),
                    example,
                });
            };
            let legal = |v: &f64| {
                (param.min..=param.max).contains(v)
                    && (!param.whole || v.fract().abs() < f64::EPSILON)
            };
            *slot = text
                .parse()
                .ok()
                .filter(legal)
                .ok_or_else(|| IndicatorError::Range {
                    name: row.name,
                    param: param.name,
                    kind: if param.whole { "a whole number " } else { "" },
                    min: param.min,
                    max: param.max,
                    got: text.to_owned(),
                })?;
        }
        Ok(Self { row, params })
    }

    /// The table row.
    pub fn row(&self) -> &'static Row {
        self.row
    }

    /// The parameters, defaults filled in.
    pub fn params(&self) -> &[f64] {
        &self.params
    }

    /// Candles before the first value, less one.
    pub fn lookback(&self) -> usize {
        (self.row.lookback)(&self.params)
    }

    /// A fresh indicator.
    pub fn build(&self) -> Box<dyn Indicator> {
        (self.row.build)(&self.params)
    }

    /// Its values over closes, one for each.
    pub fn batch(&self, bars: impl IntoIterator<Item = Bar>) -> Vec<Option<Values>> {
        let mut indicator = self.build();
        bars.into_iter().map(|bar| indicator.push(bar)).collect()
    }
}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        self.row.name == other.row.name && self.params == other.params
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row.name)?;
        self.params.iter().try_for_each(|p| write!(f, ":{p}"))
    }
}

/// An indicator that is kept up to date over a series.
#[derive(Debug)]
pub struct Kept {
    name: String,
    spec: Spec,
    indicator: Box<dyn Indicator>,
    value: Option<Values>,
    before: Option<Values>,
}

impl Kept {
    /// Not warmed up.
    pub fn new(spec: Spec) -> Self {
        Self {
            name: spec.to_string(),
            indicator: spec.build(),
            spec,
            value: None,
            before: None,
        }
    }

    /// Its full name, `ema:20`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of its outputs.
    pub fn outputs(&self) -> &'static [&'static str] {
        self.spec.row.outputs
    }

    /// After the last closed candle.
    pub fn value(&self) -> Option<Values> {
        self.value
    }

    /// After the closed candle before that.
    pub fn before(&self) -> Option<Values> {
        self.before
    }

    /// If this candle closed now.
    pub fn peek(&self, candle: &Candle, instrument: &Instrument) -> Option<Values> {
        self.indicator.peek(Bar::new(candle, instrument))
    }

    /// A candle closed.
    pub fn push(&mut self, candle: &Candle, instrument: &Instrument) {
        self.before = self.value;
        self.value = self.indicator.push(Bar::new(candle, instrument));
    }

    /// Starts anew.
    pub fn reset(&mut self) {
        *self = Self::new(self.spec.clone());
    }

    /// Every bit of the state.
    pub fn hash_bits(&self, state: &mut dyn Hasher) {
        let mut state = state;
        self.name.hash(&mut state);
        self.value.map(|v| v.map(f64::to_bits)).hash(&mut state);
        self.before.map(|v| v.map(f64::to_bits)).hash(&mut state);
        self.indicator.hash_bits(state);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_and_written_alike() {
        for text in ["sma:20", "macd:12:26:9", "bbands:20:2", "bbands:20:2.5"] {
            assert_eq!(
                Spec::parse(text).map(|s| s.to_string()),
                Ok(text.to_owned())
            );
        }
        assert_eq!(
            Spec::parse("rsi").map(|s| s.to_string()),
            Ok("rsi:14".to_owned())
        );
        for text in [
            "", "rsi:", "rsi:1", "rsi:2.5", "rsi:14:3", "nope:3", "ema:-1", "ema:1e9", "ema:NaN",
        ] {
            assert!(Spec::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        /// For the whole table: warm-up as declared, no look-ahead, peek equals push.
        #[test]
        fn every_row_keeps_its_promises(closes in prop::collection::vec(1.0..1e5_f64, 0..120), a in 2..20_u32, b in 2..20_u32) {
            for row in INDICATORS {
                let text = match row.params.len() {
                    1 => format!("{}:{a}", row.name),
                    2 => format!("{}:{a}:1.5", row.name),
                    _ => format!("{}:{a}:{b}:3", row.name),
                };
                let spec = Spec::parse(&text).expect("legal");
                let bars: Vec<_> = closes.iter().map(|c| Bar { close: *c }).collect();
                let all = spec.batch(bars.iter().copied());
                for (i, value) in all.iter().enumerate() {
                    prop_assert_eq!(value.is_some(), i >= spec.lookback(), "{} at {}", &text, i);
                }
                let mut stream = spec.build();
                for (bar, want) in bars.iter().zip(&all) {
                    let peeked = stream.peek(*bar);
                    let pushed = stream.push(*bar);
                    let bits = |v: Option<Values>| v.map(|v| v.map(f64::to_bits));
                    prop_assert_eq!(bits(peeked), bits(pushed), "{}", &text);
                    prop_assert_eq!(bits(pushed), bits(*want), "{}", &text);
                }
            }
        }
    }
}
