//! A legal indicator with its parameters, and how it is spelt.

use std::fmt;

use super::{Bar, INDICATORS, Indicator, Param, Row, Values};

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
    /// Unknown parameter.
    #[error("{name} has no parameter {param:?}: it takes {takes}")]
    Param {
        /// Indicator.
        name: &'static str,
        /// What was given.
        param: String,
        /// Its parameters.
        takes: String,
    },
    /// A parameter given more than once.
    #[error("{name}: {param} is given more than once")]
    Twice {
        /// Indicator.
        name: &'static str,
        /// Parameter.
        param: &'static str,
    },
    /// A parameter outside of its range.
    #[error("{name}: {param} must be {kind}between {min:?} and {max:?}, got {got:?}")]
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

impl IndicatorError {
    /// The parameter that is wrong, as it was spelt.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Name(_) | Self::Count { .. } => None,
            Self::Param { param, .. } => Some(param),
            Self::Twice { param, .. } | Self::Range { param, .. } => Some(param),
        }
    }
}

fn names() -> String {
    let names: Vec<_> = INDICATORS.iter().map(|r| r.name).collect();
    names.join(", ")
}

fn takes(row: &Row) -> String {
    let names: Vec<_> = row.params.iter().map(|p| p.name).collect();
    if names.is_empty() {
        "no parameters".to_owned()
    } else {
        names.join(", ")
    }
}

impl Param {
    /// Reads a value; `None` if it is not a legal one.
    fn read(&self, text: &str) -> Option<f64> {
        let value: f64 = text.parse().ok()?;
        let legal =
            (self.min..=self.max).contains(&value) && (!self.whole || value.fract().abs() <= 0.0);
        // No negative zero: it would be another spelling of the same indicator.
        legal.then_some(value + 0.0)
    }
}

/// A legal indicator with its parameters, written `macd:12:26:9`.
#[derive(Debug, Clone)]
pub struct Spec {
    row: &'static Row,
    params: Vec<f64>,
}

impl Spec {
    /// Reads `name[:param…]`, where a parameter is a value in its place or `name=value`; missing ones
    /// take their defaults.
    pub fn parse(text: &str) -> Result<Self, IndicatorError> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let row = INDICATORS
            .iter()
            .find(|r| r.name == name)
            .ok_or_else(|| IndicatorError::Name(name.to_owned()))?;
        let mut given: Vec<Option<f64>> = vec![None; row.params.len()];
        for (place, part) in parts.enumerate() {
            let (index, value) = match part.split_once('=') {
                Some((param, value)) => {
                    let index = row.params.iter().position(|p| p.name == param);
                    let unknown = || IndicatorError::Param {
                        name: row.name,
                        param: param.to_owned(),
                        takes: takes(row),
                    };
                    (index.ok_or_else(unknown)?, value)
                }
                None => (place, part),
            };
            let (Some(param), Some(slot)) = (row.params.get(index), given.get_mut(index)) else {
                return Err(IndicatorError::Count {
                    name: row.name,
                    takes: takes(row),
                    example: Self::of(row, &[]).to_string(),
                });
            };
            let value = param.read(value).ok_or_else(|| IndicatorError::Range {
                name: row.name,
                param: param.name,
                kind: if param.whole { "a whole number " } else { "" },
                min: param.min,
                max: param.max,
                got: value.to_owned(),
            })?;
            if slot.replace(value).is_some() {
                return Err(IndicatorError::Twice {
                    name: row.name,
                    param: param.name,
                });
            }
        }
        Ok(Self::of(row, &given))
    }

    fn of(row: &'static Row, given: &[Option<f64>]) -> Self {
        let value = |(index, param): (usize, &Param)| {
            let given = given.get(index).copied().flatten();
            given.unwrap_or(param.default)
        };
        Self {
            row,
            params: row.params.iter().enumerate().map(value).collect(),
        }
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

    /// Its values over candles, one for each.
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
        self.params.iter().try_for_each(|p| {
            // Shortest first: `2`, `0.02`, but not a 3 with 37 zeros.
            if p.abs() < 1e15 {
                write!(f, ":{p}")
            } else {
                write!(f, ":{p:e}")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_alike() {
        for text in [
            "sma:20",
            "macd:12:26:9",
            "bbands:20:2",
            "bbands:20:2.5",
            "obv",
            "sar:3e37:0",
        ] {
            assert_eq!(
                Spec::parse(text).map(|s| s.to_string()),
                Ok(text.to_owned())
            );
        }
        for (text, full) in [
            ("rsi", "rsi:14"),
            ("macd:slow=30", "macd:12:30:9"),
            ("macd:5:signal=3", "macd:5:26:3"),
            ("t3:factor=-0", "t3:5:0"),
        ] {
            assert_eq!(
                Spec::parse(text).map(|s| s.to_string()),
                Ok(full.to_owned())
            );
        }
        for text in [
            "",
            "rsi:",
            "rsi:1",
            "rsi:2.5",
            "rsi:14:3",
            "nope:3",
            "ema:-1",
            "ema:1e9",
            "ema:NaN",
            "obv:1",
            "macd:5:fast=5",
            "macd:quick=5",
            "macd:fast=",
            "macd:=5",
            "bbands:20:inf",
        ] {
            assert!(Spec::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn errors_name_the_parameter() {
        for (text, param) in [
            ("rsi:1", Some("period")),
            ("macd:quick=5", Some("quick")),
            ("macd:5:fast=5", Some("fast")),
            ("nope", None),
            ("obv:1", None),
        ] {
            let error = Spec::parse(text).expect_err(text);
            assert_eq!(error.param(), param, "{error}");
        }
    }
}
