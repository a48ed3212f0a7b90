//! Parameters of strategies: their names, ranges and defaults, and values read from text.
//!
//! A row of the table says everything about a parameter: configuration, documentation and sweeps read it there.

use super::StrategyError;
use crate::kernel::types::Rate;

/// What a parameter's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Whole,
    /// A decimal number with 8 digits behind the point at most.
    Decimal,
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text with a grammar of its own.
    Text,
}

/// A parameter. Bounds and default are spelt as users spell them; bounds are empty where there are none.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// Smallest legal value.
    pub min: &'static str,
    /// Largest legal value.
    pub max: &'static str,
    /// Value where none is given.
    pub default: &'static str,
    /// Unit of the value; empty for a bare number.
    pub unit: &'static str,
    /// What it is.
    pub what: &'static str,
}

/// A whole number of candles.
pub(super) const fn candles(
    name: &'static str,
    (min, default): (&'static str, &'static str),
    what: &'static str,
) -> Param {
    Param {
        name,
        kind: Kind::Whole,
        min,
        max: "10000",
        default,
        unit: "candles",
        what,
    }
}

/// A decimal number.
pub(super) const fn decimal(
    name: &'static str,
    (min, max, default): (&'static str, &'static str, &'static str),
    unit: &'static str,
    what: &'static str,
) -> Param {
    Param {
        name,
        kind: Kind::Decimal,
        min,
        max,
        default,
        unit,
        what,
    }
}

/// A value of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value {
    /// A whole number.
    Whole(u32),
    /// A decimal number, exact.
    Decimal(Rate),
    /// `true` or `false`.
    Flag(bool),
    /// Which of the words.
    Choice(usize),
    /// Text, which stands in [`super::StrategyConfig::text`].
    Text,
}

impl Param {
    /// Reads a value; the error is the second half of a sentence: what would be legal.
    pub fn read(&self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        match self.kind {
            Kind::Whole => {
                let bound = |text: &str| text.parse::<u32>().ok();
                text.parse()
                    .ok()
                    .filter(|v| bound(self.min).is_none_or(|min| *v >= min))
                    .filter(|v| bound(self.max).is_none_or(|max| *v <= max))
                    .map(Value::Whole)
                    .ok_or_else(|| format!("a whole number from {} to {}", self.min, self.max))
            }
            Kind::Decimal => {
                let bound = |text: &str| Rate::parse(text).ok();
                Rate::parse(text)
                    .ok()
                    .filter(|v| bound(self.min).is_none_or(|min| *v >= min))
                    .filter(|v| bound(self.max).is_none_or(|max| *v <= max))
                    .map(Value::Decimal)
                    .ok_or_else(|| {
                        format!(
                            "a number from {} to {} with 8 decimals at most",
                            self.min, self.max
                        )
                    })
            }
            Kind::Flag => match text {
                "true" => Ok(Value::Flag(true)),
                "false" => Ok(Value::Flag(false)),
                _ => Err("true or false".to_owned()),
            },
            Kind::Choice(words) => words
                .iter()
                .position(|word| *word == text)
                .map(Value::Choice)
                .ok_or_else(|| format!("one of {}", words.join(", "))),
            // Read by whoever knows its grammar.
            Kind::Text => Ok(Value::Text),
        }
    }
}

/// The parameters of a strategy with their values, defaults filled in.
#[derive(Debug, Clone)]
pub struct Params {
    rows: &'static [Param],
    values: Vec<Value>,
}

impl Params {
    /// The defaults of a row, and what was `given` instead. A later value of the same name stands.
    pub(super) fn read(
        strategy: &'static str,
        rows: &'static [Param],
        given: &[(String, String)],
    ) -> Result<Self, StrategyError> {
        let default = |param: &Param| {
            param
                .read(param.default)
                .map_err(|legal| StrategyError::value(strategy, param.name, param.default, &legal))
        };
        let mut values = rows.iter().map(default).collect::<Result<Vec<_>, _>>()?;
        for (name, text) in given {
            let found = rows.iter().zip(&mut values).find(|(p, _)| p.name == name);
            let Some((param, slot)) = found else {
                return Err(StrategyError::unknown_param(strategy, name, rows));
            };
            *slot = param
                .read(text)
                .map_err(|legal| StrategyError::value(strategy, name, text, &legal))?;
        }
        Ok(Self { rows, values })
    }

    fn value(&self, name: &str) -> Value {
        let place = self.rows.iter().position(|p| p.name == name);
        let value = place.and_then(|place| self.values.get(place)).copied();
        value.unwrap_or_else(|| panic!("the row has no parameter {name}"))
    }

    /// A whole number.
    pub fn whole(&self, name: &str) -> u32 {
        match self.value(name) {
            Value::Whole(value) => value,
            other => panic!("{name} is {other:?}"),
        }
    }

    /// A decimal number, for indicators.
    pub fn decimal(&self, name: &str) -> f64 {
        match self.value(name) {
            Value::Decimal(value) => value.0 as f64 / Rate::ONE.0 as f64,
            other => panic!("{name} is {other:?}"),
        }
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &str) -> bool {
        match self.value(name) {
            Value::Flag(value) => value,
            other => panic!("{name} is {other:?}"),
        }
    }

    /// Which of the words.
    pub fn choice(&self, name: &str) -> usize {
        match self.value(name) {
            Value::Choice(value) => value,
            other => panic!("{name} is {other:?}"),
        }
    }
}
