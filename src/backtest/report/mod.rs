//! What a backtest says: terminal, JSON, CSV, one HTML file. All of them say the same, from [`Report`].

mod csv;
mod html;
mod json;
mod search;
mod text;
mod totals;

pub use csv::{equity_csv, trades_csv};
pub use html::to_html;
pub use json::to_json;
pub use search::Search;
pub use text::to_text;
pub use totals::Totals;

use super::{Run, stamp};
use crate::kernel::types::{Instrument, Money, Time};

/// A run and what it was made with.
#[derive(Debug)]
pub struct Report<'a> {
    /// The run.
    pub run: &'a Run,
    /// Sums over it.
    pub totals: Totals,
    /// What it was made with.
    pub made: &'a Made,
    /// How its parameters were found, if they were searched for.
    pub search: Option<&'a Search>,
}

/// What a run was made with, in words.
#[derive(Debug, Clone, Default)]
pub struct Made {
    /// Files, as given.
    pub files: Vec<String>,
    /// `candles` or `recording`.
    pub source: &'static str,
    /// Candle interval of the source, if it is candles.
    pub interval: Option<String>,
    /// Strategies with the parameters that were set.
    pub strategies: Vec<(String, Vec<(String, String)>)>,
    /// How orders are filled: name and value.
    pub fills: Vec<(&'static str, String)>,
    /// Maker and taker fee, as rates.
    pub fees: (String, String),
    /// Asset of the money.
    pub currency: String,
    /// Seed of what is drawn.
    pub seed: u64,
}

impl<'a> Report<'a> {
    /// Sums a run up.
    pub fn new(run: &'a Run, made: &'a Made, search: Option<&'a Search>) -> Self {
        Self {
            run,
            totals: Totals::of(run),
            made,
            search,
        }
    }

    fn instrument(&self, at: usize) -> Option<&Instrument> {
        self.run.instruments.get(at)
    }
}

/// An amount with two digits, or more where two would say nothing.
fn short(amount: Money) -> String {
    let value = amount.to_f64();
    let digits = match value.abs() {
        v if v >= 1.0 || v <= 1e-12 => 2,
        v if v >= 0.01 => 4,
        _ => 8,
    };
    format!("{value:.digits$}")
}

/// `3d 04:05` or `01:02:03`.
fn duration(ns: i64) -> String {
    let seconds = ns.max(0) / crate::kernel::types::SECOND;
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    if days > 0 {
        format!("{days}d {hours:02}:{minutes:02}")
    } else {
        format!("{hours:02}:{minutes:02}:{seconds:02}")
    }
}

/// `2022-01-01 00:00:00 to 2022-02-01 00:00:00 UTC`.
fn span((from, to): (Time, Time)) -> String {
    format!("{} to {} UTC", stamp(from), stamp(to))
}
