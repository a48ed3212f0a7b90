//! The table of strategies, and how one is built from its configuration.

use super::config::StrategyConfig;
use super::params::{Kind, Param, Params, candles, decimal};
use super::{Strategy, bands, crossing, grid, market_maker, ruled, scripted};

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

const PER_CENT: &str = "%";

/// How often a strategy looks at the book.
const EVERY_MS: Param = Param {
    name: "every_ms",
    kind: Kind::Whole,
    min: "10",
    max: "3600000",
    default: "1000",
    unit: "milliseconds",
    what: "time between two looks at the book, at least",
};

/// Every strategy. `RULES.md` has the rules.
pub const STRATEGIES: &[Row] = &[
    Row {
        name: "rules",
        params: ruled::PARAMS,
        what: "conditions over indicators, prices, position and time say when to enter and when to leave",
        build: ruled::build,
    },
    Row {
        name: "script",
        params: scripted::PARAMS,
        what: "a script says at each closed candle what to do",
        build: scripted::build,
    },
    Row {
        name: "ema_cross",
        params: &[
            candles("fast", ("1", "9"), "candles of the fast average"),
            candles("slow", ("2", "21"), "candles of the slow average"),
        ],
        what: "long while the fast exponential average is above the slow one, else flat or short",
        build: crossing::ema,
    },
    Row {
        name: "macd",
        params: &[
            candles("fast", ("2", "12"), "candles of the fast average"),
            candles("slow", ("3", "26"), "candles of the slow average"),
            candles("signal", ("1", "9"), "candles of the signal line"),
        ],
        what: "long while MACD is above its signal line, else flat or short",
        build: crossing::macd,
    },
    Row {
        name: "supertrend",
        params: &[
            candles("period", ("1", "10"), "candles of the average true range"),
            decimal(
                "factor",
                ("0.1", "100", "3"),
                "average true ranges",
                "how far the line is",
            ),
        ],
        what: "long while Supertrend points up, else flat or short",
        build: crossing::supertrend,
    },
    Row {
        name: "donchian_trend",
        params: &[
            candles(
                "entry",
                ("2", "20"),
                "candles of the channel that is entered on",
            ),
            candles(
                "exit",
                ("2", "10"),
                "candles of the channel that is left on",
            ),
        ],
        what: "enters when a close leaves the channel of highs and lows before it, leaves at a shorter one",
        build: bands::donchian_trend,
    },
    Row {
        name: "bollinger_breakout",
        params: &[
            candles("period", ("2", "20"), "candles of the bands"),
            decimal(
                "deviations",
                ("0.1", "10", "2"),
                "standard deviations",
                "width of the bands",
            ),
        ],
        what: "enters with a close outside of the Bollinger bands, leaves at the middle",
        build: bands::bollinger_breakout,
    },
    Row {
        name: "bollinger_reversion",
        params: &[
            candles("period", ("2", "20"), "candles of the bands"),
            decimal(
                "deviations",
                ("0.1", "10", "2"),
                "standard deviations",
                "width of the bands",
            ),
        ],
        what: "enters against a close outside of the Bollinger bands, leaves at the middle",
        build: bands::bollinger_reversion,
    },
    Row {
        name: "rsi_reversion",
        params: &[
            candles("period", ("2", "14"), "candles of the index"),
            decimal("oversold", ("0", "100", "30"), "", "long below"),
            decimal("exit", ("0", "100", "50"), "", "a position is left here"),
            decimal(
                "overbought",
                ("0", "100", "70"),
                "",
                "short, or flat, above",
            ),
        ],
        what: "enters against an extreme relative strength index, leaves at its middle",
        build: bands::rsi_reversion,
    },
    Row {
        name: "grid",
        params: &[
            decimal(
                "spacing",
                ("0.01", "50", "0.5"),
                PER_CENT,
                "from one level to the next",
            ),
            Param {
                name: "levels",
                kind: Kind::Whole,
                min: "1",
                max: "50",
                default: "5",
                unit: "levels",
                what: "orders on a side, and levels' worth that is held at most",
            },
            EVERY_MS,
        ],
        what: "orders on levels a per cent apart: what one level buys the next one above sells",
        build: grid::build,
    },
    Row {
        name: "market_maker",
        params: &[
            decimal(
                "gamma",
                ("0.001", "100000", "100"),
                "",
                "risk aversion: skew and spread",
            ),
            decimal(
                "kappa",
                ("0.1", "1000000", "2000"),
                "",
                "how fast fills get rare with the distance, a whole price away",
            ),
            candles("horizon", ("1", "30"), "candles that inventory is at risk"),
            candles(
                "volatility",
                ("2", "60"),
                "candles of the realised volatility",
            ),
            decimal(
                "position_max",
                ("0.01", "1000", "10"),
                "% of equity",
                "largest position",
            ),
            decimal(
                "tolerance",
                ("0", "10", "0.01"),
                PER_CENT,
                "an order that rests so near stays where it is",
            ),
            EVERY_MS,
        ],
        what: "quotes both sides around a price that inventory moves (Avellaneda and Stoikov, rolling horizon)",
        build: market_maker::build,
    },
];

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
