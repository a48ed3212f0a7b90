//! The table of strategies, and how one is built from its configuration.

use super::config::StrategyConfig;
use super::params::{Param, Params, candles};
use super::{Strategy, ema_cross};

/// Builds a strategy from its configuration and parameters, or says what is not legal.
type Build = fn(&StrategyConfig, &Params) -> Result<Box<dyn Strategy>, String>;

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Name, as users spell it.
    pub name: &'static str,
    /// Its parameters, beside [`super::COMMON_PARAMS`].
    pub params: &'static [Param],
    /// What it does, in a sentence.
    pub what: &'static str,
    build: Build,
}

/// Every strategy.
pub const STRATEGIES: &[Row] = &[Row {
    name: "ema_cross",
    params: &[
        candles("fast", ("1", "9"), "candles of the fast average"),
        candles("slow", ("2", "21"), "candles of the slow average"),
    ],
    what: "long while the fast exponential average is above the slow one, else flat or short",
    build: ema_cross::build,
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
        strategy: String,
        /// What was given.
        param: String,
        /// What there is.
        known: String,
    },
    /// Illegal value.
    #[error("strategies.{strategy}.{param} = {value:?}: must be {legal}")]
    Value {
        /// Strategy.
        strategy: String,
        /// Parameter.
        param: String,
        /// What was given.
        value: String,
        /// What would be legal.
        legal: String,
    },
    /// Values that do not fit together, or a program with an error.
    #[error("strategy {strategy}: {what}")]
    Unfit {
        /// Strategy.
        strategy: String,
        /// What is wrong and what would be legal.
        what: String,
    },
}

impl StrategyError {
    pub(super) fn unknown(name: &str) -> Self {
        let known: Vec<_> = STRATEGIES.iter().map(|r| r.name).collect();
        Self::Name {
            name: name.to_owned(),
            known: known.join(", "),
        }
    }

    pub(super) fn unknown_param(strategy: &str, param: &str, rows: &[Param]) -> Self {
        let known = rows.iter().chain(super::COMMON_PARAMS).map(|p| p.name);
        Self::Param {
            strategy: strategy.to_owned(),
            param: param.to_owned(),
            known: known.collect::<Vec<_>>().join(", "),
        }
    }

    pub(super) fn value(strategy: &str, param: &str, value: &str, legal: &str) -> Self {
        Self::Value {
            strategy: strategy.to_owned(),
            param: param.to_owned(),
            value: value.to_owned(),
            legal: legal.to_owned(),
        }
    }
}

/// Builds a strategy from its configuration.
pub fn build(config: &StrategyConfig) -> Result<Box<dyn Strategy>, StrategyError> {
    let row = config.row()?;
    let unfit = |what: String| StrategyError::Unfit {
        strategy: config.name.clone(),
        what,
    };
    config
        .exits
        .check()
        .map_err(|what| unfit(what.to_owned()))?;
    let params = Params::read(row.name, row.params, &config.params)?;
    (row.build)(config, &params).map_err(unfit)
}
