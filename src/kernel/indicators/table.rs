//! What a row of the table of indicators says.

use std::fmt;

use super::{Indicator, Step};

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

/// A part of a candle that an indicator reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// First price.
    Open,
    /// Highest price.
    High,
    /// Lowest price.
    Low,
    /// Last price.
    Close,
    /// Volume in the base asset.
    Volume,
    /// Start of the interval.
    Time,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::High => "high",
            Self::Low => "low",
            Self::Close => "close",
            Self::Volume => "volume",
            Self::Time => "time",
        })
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Name, as users spell it.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// Parameters, in the order in which they are written behind the name.
    pub params: &'static [Param],
    /// What it reads of a candle.
    pub inputs: &'static [Field],
    /// Names of the outputs; `value` where there is one only.
    pub outputs: &'static [&'static str],
    /// Candles before the first value, less one (TA-Lib's lookback).
    pub lookback: fn(&[f64]) -> usize,
    /// The function of TA-Lib that it equals, with its unstable period 0. `None` if TA-Lib has none.
    pub ta_lib: Option<&'static str>,
    /// Where the definition comes from.
    pub source: &'static str,
    pub(super) build: fn(&[f64]) -> Box<dyn Indicator>,
}

/// Longest period, as in TA-Lib.
pub(super) const PERIOD_MAX: f64 = 100_000.0;
/// Largest factor, as in TA-Lib (`TA_REAL_MAX`).
pub(super) const REAL_MAX: f64 = 3e37;

pub(super) const fn whole(name: &'static str, min: f64, default: f64) -> Param {
    Param {
        name,
        min,
        max: PERIOD_MAX,
        default,
        whole: true,
    }
}

pub(super) const fn real(name: &'static str, (min, max): (f64, f64), default: f64) -> Param {
    Param {
        name,
        min,
        max,
        default,
        whole: false,
    }
}

/// A whole-number parameter; the table's ranges keep it within a usize.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ranges checked"
)]
pub(super) fn count(params: &[f64], index: usize) -> usize {
    params.get(index).map_or(0, |p| *p as usize)
}

pub(super) fn factor(params: &[f64], index: usize) -> f64 {
    params.get(index).copied().unwrap_or_default()
}

pub(super) fn boxed(indicator: impl Step + 'static) -> Box<dyn Indicator> {
    Box::new(indicator)
}
