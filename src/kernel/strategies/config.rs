//! How a strategy is to run: its kind, its candles and instruments, its terms, its parameters.

use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::params::{Kind, Param};
use super::sizing::{Exits, Sizing, parse_trailing};
use super::{Row, STRATEGIES, StrategyError};
use crate::kernel::types::{InstrumentName, Interval, IntervalError, normalise_symbol};

/// Which ways a strategy may go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Long and flat.
    #[default]
    Long,
    /// Short and flat; derivatives alone.
    Short,
    /// Long, short and flat; on spot long and flat.
    Both,
}

impl Direction {
    const WORDS: &[&str] = &["long", "short", "both"];

    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Long => "long",
            Self::Short => "short",
            Self::Both => "both",
        }
    }
}

const fn text(name: &'static str, default: &'static str, what: &'static str) -> Param {
    Param {
        name,
        kind: Kind::Text,
        min: "",
        max: "",
        default,
        unit: "",
        what,
    }
}

/// Parameters that every strategy has beside those of its table row.
pub const COMMON_PARAMS: &[Param] = &[
    text(
        "type",
        "the name of the section",
        "which strategy of the table it is; with it several of one kind run under names of their own",
    ),
    text(
        "interval",
        "the first of run.intervals",
        "candles that it decides on",
    ),
    text(
        "symbols",
        "all",
        "instruments that it trades, with commas between",
    ),
    text(
        "size",
        "quote 1000",
        "how much an entry trades: fixed Q, quote A, equity_percent P, volatility_target P [CANDLES], \
         kelly F [CAP_PERCENT [TRADES_MIN]]",
    ),
    Param {
        name: "direction",
        kind: Kind::Choice(Direction::WORDS),
        min: "",
        max: "",
        default: "long",
        unit: "",
        what: "which ways it may go; spot goes long alone",
    },
    Param {
        name: "cooldown",
        kind: Kind::Whole,
        min: "0",
        max: "10000",
        default: "0",
        unit: "candles",
        what: "candles after an exit that it does not enter on",
    },
    text(
        "stop_loss",
        "none",
        "stop of an entry: 2% or 3atr[:CANDLES] from the price of the decision",
    ),
    text(
        "take_profit",
        "none",
        "target of an entry: 2% or 3atr[:CANDLES]",
    ),
    text(
        "trailing",
        "none",
        "stop that follows the best price by so much: 1%; it stands alone",
    ),
];

/// The program of a strategy that is no row of ours: rules or a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What errors call it: a file, or a section of the configuration.
    pub name: String,
    /// The text.
    pub text: String,
}

/// How a strategy is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrategyConfig {
    /// Its own name: orders are booked on it.
    pub name: String,
    /// Which row of [`STRATEGIES`] it is.
    pub kind: String,
    /// Interval of its candles.
    pub interval: Interval,
    /// `SYMBOL` or `venue:SYMBOL`, normalised; empty: every instrument.
    pub symbols: Vec<String>,
    /// How much an entry trades.
    pub size: Sizing,
    /// Stops and targets of an entry.
    pub exits: Exits,
    /// Which ways it may go.
    pub direction: Direction,
    /// Candles after an exit without an entry.
    pub cooldown: u32,
    /// Parameters of its row, by name, as users spell them; what is missing has its default.
    pub params: Vec<(String, String)>,
    /// Its program, if it is no row of ours.
    pub source: Option<Arc<Source>>,
}

impl StrategyConfig {
    /// A strategy of the table under its own name, with defaults.
    pub fn new(kind: &str, interval: Interval) -> Self {
        Self {
            name: kind.to_owned(),
            kind: kind.to_owned(),
            interval,
            symbols: Vec::new(),
            size: Sizing::default(),
            exits: Exits::default(),
            direction: Direction::default(),
            cooldown: 0,
            params: Vec::new(),
            source: None,
        }
    }

    /// The row of its kind.
    pub fn row(&self) -> Result<&'static Row, StrategyError> {
        STRATEGIES
            .iter()
            .find(|row| row.name == self.kind)
            .ok_or_else(|| StrategyError::unknown(&self.kind))
    }

    /// Sets a parameter, of all strategies or of its row, from text: what configuration and sweeps do. A parameter
    /// of the row is checked by [`super::build`].
    pub fn set(&mut self, param: &str, value: &str) -> Result<(), StrategyError> {
        let wrong = |legal: &str| StrategyError::value(&self.name, param, value, legal);
        match param {
            "type" => value.trim().clone_into(&mut self.kind),
            "interval" => {
                let parsed = value.trim().parse();
                self.interval = parsed.map_err(|e: IntervalError| wrong(&e.to_string()))?;
            }
            "symbols" => {
                let symbols = value.split(',').map(str::trim).filter(|s| !s.is_empty());
                let symbols = symbols.map(symbol).collect::<Option<_>>();
                self.symbols =
                    symbols.ok_or_else(|| wrong("such as BTCUSDT or binance:BTCUSDT"))?;
            }
            "size" => self.size = value.parse().map_err(wrong)?,
            "direction" => {
                self.direction = match value.trim() {
                    "long" => Direction::Long,
                    "short" => Direction::Short,
                    "both" => Direction::Both,
                    _ => return Err(wrong("long, short or both")),
                };
            }
            "cooldown" => {
                let count = value.trim().parse().ok().filter(|c| *c <= 10_000);
                self.cooldown = count.ok_or_else(|| wrong("a whole number from 0 to 10000"))?;
            }
            "stop_loss" => self.exits.stop_loss = optional(value, str::parse).map_err(wrong)?,
            "take_profit" => self.exits.take_profit = optional(value, str::parse).map_err(wrong)?,
            "trailing" => self.exits.trailing = optional(value, parse_trailing).map_err(wrong)?,
            _ => {
                self.params.retain(|(name, _)| name != param);
                self.params
                    .push((param.to_owned(), value.trim().to_owned()));
            }
        }
        Ok(())
    }

    /// A parameter of its row as it is written; empty where there is none.
    pub fn text(&self, param: &str) -> &str {
        let given = self.params.iter().find(|(name, _)| name == param);
        given.map_or("", |(_, value)| value.as_str())
    }

    /// Tells versions of it apart: a hash of everything that says how it runs, its program included.
    pub fn version(&self) -> u64 {
        let mut state = Xxh3::new();
        (&self.name, &self.kind, self.interval, &self.symbols).hash(&mut state);
        (self.size, self.exits, self.direction, self.cooldown).hash(&mut state);
        let mut params: Vec<_> = self.params.iter().collect();
        params.sort_unstable();
        params.hash(&mut state);
        // Where the text lies is no part of it.
        self.source.as_ref().map(|s| &s.text).hash(&mut state);
        state.finish()
    }

    /// The version as it is shown.
    pub fn version_text(&self) -> String {
        format!("{:016x}", self.version())
    }

    /// Whether it trades an instrument.
    pub fn trades(&self, name: &InstrumentName) -> bool {
        let named = |text: &String| match text.split_once(':') {
            Some((venue, symbol)) => venue == name.venue.name() && symbol == name.symbol,
            None => *text == name.symbol,
        };
        self.symbols.is_empty() || self.symbols.iter().any(named)
    }
}

fn optional<T>(
    text: &str,
    read: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<Option<T>, &'static str> {
    match text.trim() {
        "" | "none" => Ok(None),
        text => read(text).map(Some),
    }
}

fn symbol(text: &str) -> Option<String> {
    match text.split_once(':') {
        Some((venue, symbol)) => Some(format!("{venue}:{}", normalise_symbol(symbol).ok()?)),
        None => normalise_symbol(text).ok(),
    }
}
