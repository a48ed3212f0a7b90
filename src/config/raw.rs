//! A value before it has a meaning, and the readers that give it one.
//!
//! TOML values are typed; environment and flags are bare text, which every reader also takes.
//! A reader's error is the second half of a sentence: what would have been legal.

use std::fmt;
use std::time::Duration;

use crate::kernel::types::{Money, Rate};

/// A value of some layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    /// A TOML string.
    Text(String),
    /// Text from the environment or a flag: may stand for any type.
    Bare(String),
    /// An integer.
    Integer(i128),
    /// A TOML float, as written. No key takes one.
    Float(String),
    /// A boolean.
    Bool(bool),
    /// A list.
    List(Vec<Self>),
    /// A TOML type that no key takes.
    Other(&'static str),
}

/// Why a value is not legal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong(pub(super) String);

impl From<String> for Wrong {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Wrong {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// As TOML.
impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Bare(text) => toml::Value::from(text.as_str()).fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Float(text) => f.write_str(text),
            Self::Bool(value) => value.fmt(f),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
            Self::Other(name) => f.write_str(name),
        }
    }
}

impl Raw {
    /// A list of texts.
    pub(super) fn texts<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> Self {
        Self::List(
            items
                .into_iter()
                .map(|item| Self::Text(item.to_string()))
                .collect(),
        )
    }

    /// A duration in milliseconds.
    pub(super) fn millis(value: Duration) -> Self {
        Self::Integer(i128::try_from(value.as_millis()).unwrap_or(i128::MAX))
    }

    /// As JSON.
    pub(super) fn json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) | Self::Bare(text) | Self::Float(text) => text.as_str().into(),
            Self::Integer(value) => i64::try_from(*value)
                .map_or_else(|_| value.to_string().into(), serde_json::Value::from),
            Self::Bool(value) => (*value).into(),
            Self::List(items) => items.iter().map(Self::json).collect(),
            Self::Other(name) => (*name).into(),
        }
    }
}

/// A string.
pub(super) fn text(raw: &Raw) -> Result<&str, Wrong> {
    match raw {
        Raw::Text(text) | Raw::Bare(text) => Ok(text.trim()),
        _ => Err("expected a string in quotes".into()),
    }
}

/// An integer from `min` to `max`.
pub(super) fn integer(raw: &Raw, min: u64, max: u64) -> Result<u64, Wrong> {
    let wrong = || Wrong(format!("expected an integer from {min} to {max}"));
    let value = match raw {
        Raw::Integer(value) => u64::try_from(*value).map_err(|_| wrong())?,
        Raw::Bare(text) => text.trim().parse().map_err(|_| wrong())?,
        _ => return Err(wrong()),
    };
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(wrong())
    }
}

/// An integer from `min` to `max` that may be below zero.
pub(super) fn signed(raw: &Raw, min: i16, max: i16) -> Result<i16, Wrong> {
    let value = match raw {
        Raw::Integer(value) => i16::try_from(*value).ok(),
        Raw::Bare(text) => text.trim().parse().ok(),
        _ => None,
    };
    value
        .filter(|v| (min..=max).contains(v))
        .ok_or_else(|| Wrong(format!("expected an integer from {min} to {max}")))
}

/// An integer that counts things in memory.
pub(super) fn count(raw: &Raw, min: u32, max: u32) -> Result<usize, Wrong> {
    let value = integer(raw, u64::from(min), u64::from(max))?;
    usize::try_from(value).map_err(|_| "too large for this machine".into())
}

/// Milliseconds.
pub(super) fn millis(raw: &Raw, min: u64, max: u64) -> Result<Duration, Wrong> {
    integer(raw, min, max)
        .map(Duration::from_millis)
        .map_err(|Wrong(why)| Wrong(format!("{why} (milliseconds)")))
}

/// Seconds, minutes, hours or days, such as `90s` or `1h`; a second to a year.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration: write for example 90s, 10m, 1h or 1d");
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    let digits = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
    let legal = digits.bytes().all(|c| c.is_ascii_digit());
    let count: u64 = digits.parse().ok().filter(|_| legal).ok_or_else(wrong)?;
    let seconds = count.checked_mul(unit).ok_or_else(wrong)?;
    if (1..=365 * 86_400).contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(format!("{text:?} is not within a second and 365 days"))
    }
}

/// `true` or `false`.
pub(super) fn boolean(raw: &Raw) -> Result<bool, Wrong> {
    match raw {
        Raw::Bool(value) => Ok(*value),
        Raw::Bare(text) => text
            .trim()
            .parse()
            .map_err(|_| "expected true or false".into()),
        _ => Err("expected true or false, without quotes".into()),
    }
}

/// A list of strings; commas separate it where it is bare text.
pub(super) fn list(raw: &Raw) -> Result<Vec<&str>, Wrong> {
    match raw {
        Raw::List(items) => items.iter().map(text).collect(),
        Raw::Bare(text) => Ok(text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .collect()),
        _ => Err("expected a list of strings, such as [\"a\", \"b\"]".into()),
    }
}

/// A list of things that parse from text, each named once, `max` at most.
pub(super) fn list_of<T: PartialEq, E: fmt::Display>(
    raw: &Raw,
    max: usize,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, Wrong> {
    let items = list(raw)?;
    if items.len() > max {
        return Err(Wrong(format!(
            "{} entries; {max} at most are allowed",
            items.len()
        )));
    }
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        let value = parse(item).map_err(|e| Wrong(e.to_string()))?;
        if out.contains(&value) {
            return Err(Wrong(format!("{item:?} is named twice")));
        }
        out.push(value);
    }
    Ok(out)
}

/// The exact decimal text of a number: a quoted decimal, or an integer.
pub(super) fn decimal(raw: &Raw) -> Result<String, Wrong> {
    match raw {
        Raw::Text(text) | Raw::Bare(text) => Ok(text.trim().to_owned()),
        Raw::Integer(value) => Ok(value.to_string()),
        Raw::Float(value) => Err(Wrong(format!(
            "an unquoted decimal would lose digits: write \"{value}\" in quotes"
        ))),
        _ => Err("expected a decimal in quotes, such as \"0.5\"".into()),
    }
}

/// An amount greater than zero.
pub(super) fn money_above_zero(raw: &Raw) -> Result<Money, Wrong> {
    let wrong = |why: &dyn fmt::Display| {
        Wrong(format!(
            "expected an amount above zero, such as \"25000\": {why}"
        ))
    };
    let value = Money::parse(&decimal(raw)?).map_err(|e| wrong(&e))?;
    if value > Money::ZERO {
        Ok(value)
    } else {
        Err(wrong(&"not above zero"))
    }
}

/// An amount of zero or more.
pub(super) fn money(raw: &Raw) -> Result<Money, Wrong> {
    Money::parse(&decimal(raw)?)
        .ok()
        .filter(|value| *value >= Money::ZERO)
        .ok_or_else(|| Wrong::from("expected an amount of zero or more, such as \"1000\""))
}

/// A rate within bounds, which are given as text so that errors can show them.
pub(super) fn rate(raw: &Raw, min: &str, max: &str) -> Result<Rate, Wrong> {
    let wrong = || {
        Wrong(format!(
            "expected a rate from \"{min}\" to \"{max}\" with 8 decimals at most (0.01 is one percent)"
        ))
    };
    let value = Rate::parse(&decimal(raw)?).map_err(|_| wrong())?;
    let bound = |text| Rate::parse(text).map_err(|_| wrong());
    if (bound(min)?..=bound(max)?).contains(&value) {
        Ok(value)
    } else {
        Err(wrong())
    }
}

/// One of several words.
pub(super) fn one_of<T: Copy>(raw: &Raw, table: &[(&str, T)]) -> Result<T, Wrong> {
    let names = || {
        table
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let text = text(raw)?;
    table
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
        .map(|(_, value)| *value)
        .ok_or_else(|| Wrong(format!("expected one of {}", names())))
}

/// Plain text of limited length, printable and without blanks.
pub(super) fn word(raw: &Raw, max: usize, legal: impl Fn(char) -> bool) -> Result<String, Wrong> {
    let text = text(raw)?;
    if text.is_empty() || text.len() > max || !text.chars().all(legal) {
        return Err(Wrong(format!(
            "expected 1 to {max} of the characters A-Z, a-z, 0-9, '_', '-' and '.'"
        )));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(text: &str) -> Raw {
        Raw::Bare(text.to_owned())
    }

    #[test]
    fn bounds_are_part_of_the_message() {
        for raw in [
            Raw::Integer(0),
            Raw::Integer(-1),
            Raw::Integer(i128::MAX),
            bare("ten"),
            Raw::Text("5".to_owned()),
        ] {
            let Err(Wrong(why)) = integer(&raw, 1, 9) else {
                panic!("{raw} was accepted");
            };
            assert_eq!(why, "expected an integer from 1 to 9");
        }
        assert_eq!(integer(&bare(" 7 "), 1, 9), Ok(7));
    }

    #[test]
    fn money_is_exact_and_floats_are_refused_with_the_cure() {
        assert_eq!(
            money_above_zero(&Raw::Text("0.0000000000000001".to_owned())),
            Ok(Money(1))
        );
        let Err(Wrong(why)) = money_above_zero(&Raw::Float("0.1".to_owned())) else {
            panic!("float accepted");
        };
        assert!(why.contains("\"0.1\""), "{why}");
        for text in ["0", "-1", "1e3", "", "NaN"] {
            assert!(money_above_zero(&bare(text)).is_err(), "{text}");
        }
        assert!(rate(&bare("0.2"), "0", "0.1").is_err());
        assert_eq!(rate(&bare("0.1"), "0", "0.1"), Ok(Rate(10_000_000)));
    }

    #[test]
    fn lists_are_bounded_and_without_repetition() {
        let parse = |text: &str| text.parse::<u8>();
        assert_eq!(list_of(&bare("1, 2,,3"), 3, parse), Ok(vec![1, 2, 3]));
        assert!(list_of(&bare("1,2,3,4"), 3, parse).is_err());
        assert!(list_of(&bare("1,01"), 3, parse).is_err());
        assert!(list_of(&Raw::Text("1".to_owned()), 3, parse).is_err());
    }
}
