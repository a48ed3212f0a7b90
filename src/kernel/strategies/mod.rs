//! Strategies: they see what the kernel gives them and answer with orders, which risk then checks.
//!
//! One table, [`STRATEGIES`]; adding one is a file and a row. A strategy holds no state that a restart
//! would lose: it decides from closed candles, indicators, and the position that its own fills made.

mod ema_cross;

use std::fmt;

use super::event::Candle;
use super::indicators::{Spec, Values};
use super::market::Series;
use super::orders::{OrderSpec, Origin};
use super::types::{Instrument, InstrumentId, Interval, Money, Qty};

/// What a strategy sees when a candle closes.
#[derive(Debug)]
pub struct View<'a> {
    /// Which instrument.
    pub instrument_id: InstrumentId,
    /// What the venue says of it.
    pub instrument: &'a Instrument,
    /// The strategy itself, as the origin of its orders.
    pub origin: Origin,
    /// The candles and indicators of the strategy's interval.
    pub series: &'a Series,
    /// Signed quantity that the strategy's own fills made, as far as the account still has it.
    pub position: i64,
    /// Orders of the strategy that can still change.
    pub orders_open: usize,
    /// Whether the book is valid.
    pub tradable: bool,
}

impl View<'_> {
    /// The candle that just closed.
    pub fn candle(&self) -> Option<&Candle> {
        self.series.last()
    }

    /// The part of a long position that the venue would take: on the lot grid, and not below its
    /// minimum. What is less is dust, and counts as flat.
    pub fn sellable(&self) -> Qty {
        let instrument = self.instrument;
        let rest = self.position.checked_rem(instrument.lot.0).unwrap_or(0);
        let qty = Qty(self.position.saturating_sub(rest).max(0));
        let worth = self
            .candle()
            .and_then(|c| instrument.notional(c.close, qty).ok());
        let enough = worth.is_some_and(|w| w >= instrument.notional_min);
        if enough && qty >= instrument.qty_min {
            qty
        } else {
            Qty::ZERO
        }
    }

    /// An indicator after the candle that just closed and after the one before; `None` until warm.
    pub fn indicator(&self, name: &str) -> Option<(Values, Option<Values>)> {
        let (now, before) = self.series.indicator(name)?;
        now.map(|now| (now, before))
    }
}

/// A strategy's answer.
#[derive(Debug, Default)]
pub struct Decision {
    /// Orders to place.
    pub orders: Vec<OrderSpec>,
    /// Why these, or why none, in words.
    pub why: String,
}

/// A strategy on one instrument.
pub trait Strategy: fmt::Debug + Send {
    /// The interval whose closed candles it decides on.
    fn interval(&self) -> Interval;

    /// The indicators that must be kept on that interval.
    fn needs(&self) -> Vec<Spec>;

    /// A candle of its interval has closed.
    fn on_candle(&mut self, view: &View<'_>) -> Decision;
}

/// How a strategy is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrategyConfig {
    /// Name in [`STRATEGIES`].
    pub name: String,
    /// Interval of its candles.
    pub interval: Interval,
    /// Value of an entry, in the quote asset.
    pub order_notional: Money,
    /// Parameters by name, whole numbers; missing ones take their defaults.
    pub params: Vec<(String, u32)>,
}

/// A parameter of a strategy.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Smallest legal value.
    pub min: u32,
    /// Largest legal value.
    pub max: u32,
    /// Value where none is given.
    pub default: u32,
    /// What it is, with its unit.
    pub what: &'static str,
}

/// Builds a strategy from its configuration and parameter values, or says what is not legal.
type Build = fn(&StrategyConfig, &[u32]) -> Result<Box<dyn Strategy>, String>;

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Name, as users spell it.
    pub name: &'static str,
    /// Its parameters.
    pub params: &'static [Param],
    /// What it does, in a sentence.
    pub what: &'static str,
    build: Build,
}

/// Every strategy.
pub const STRATEGIES: &[Row] = &[Row {
    name: "ema_cross",
    params: &[
        Param {
            name: "fast",
            min: 1,
            max: 10_000,
            default: 9,
            what: "candles of the fast average",
        },
        Param {
            name: "slow",
            min: 2,
            max: 10_000,
            default: 21,
            what: "candles of the slow average",
        },
    ],
    what: "long while the fast exponential average is above the slow one, flat otherwise",
    build: |config, params| ema_cross::EmaCross::boxed(config, params),
}];

/// The configuration of a strategy is not legal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrategyError {
    /// Unknown name.
    #[error("unknown strategy {name:?}: there is {known}")]
    Name {
        /// What was given.
        name: String,
        /// What there is.
        known: String,
    },
    /// Unknown parameter.
    #[error("strategy {strategy} has no parameter {param:?}: it takes {known}")]
    Param {
        /// Strategy.
        strategy: &'static str,
        /// What was given.
        param: String,
        /// What there is.
        known: String,
    },
    /// Illegal value.
    #[error("strategy {strategy}: {what}")]
    Value {
        /// Strategy.
        strategy: &'static str,
        /// What is wrong and what would be legal.
        what: String,
    },
}

/// Builds a strategy from its configuration.
pub fn build(config: &StrategyConfig) -> Result<Box<dyn Strategy>, StrategyError> {
    let row = STRATEGIES
        .iter()
        .find(|r| r.name == config.name)
        .ok_or_else(|| {
            let known: Vec<_> = STRATEGIES.iter().map(|r| r.name).collect();
            StrategyError::Name {
                name: config.name.clone(),
                known: known.join(", "),
            }
        })?;
    let mut params: Vec<u32> = row.params.iter().map(|p| p.default).collect();
    for (name, value) in &config.params {
        let found = row
            .params
            .iter()
            .zip(&mut params)
            .find(|(p, _)| p.name == name);
        let Some((param, slot)) = found else {
            let known: Vec<_> = row.params.iter().map(|p| p.name).collect();
            return Err(StrategyError::Param {
                strategy: row.name,
                param: name.clone(),
                known: known.join(", "),
            });
        };
        if !(param.min..=param.max).contains(value) {
            let what = format!(
                "{name} must be between {} and {}, got {value}",
                param.min, param.max
            );
            return Err(StrategyError::Value {
                strategy: row.name,
                what,
            });
        }
        *slot = *value;
    }
    (row.build)(config, &params).map_err(|what| StrategyError::Value {
        strategy: row.name,
        what,
    })
}
