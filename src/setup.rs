//! From settings to the parts that run: the one place where configuration text meets the kernel's
//! types.

use std::collections::BTreeMap;

use crate::config::{KnownStrategy, Settings};
use crate::kernel::KernelConfig;
use crate::kernel::indicators::Spec;
use crate::kernel::strategies::{self, COMMON_PARAMS, STRATEGIES, StrategyConfig, StrategyError};
use crate::kernel::types::{Instrument, Interval};
use crate::status::Mode;
use crate::venue::sim::paper::PaperConfig;

/// A strategy's settings do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// Name or parameters.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// The strategy decides on candles that nobody keeps.
    #[error(
        "strategy {strategy} wants candles of {interval}, which are not kept: add it to run.intervals \
         (--interval) or set strategies.{strategy}.interval"
    )]
    Interval {
        /// Strategy.
        strategy: String,
        /// Its interval.
        interval: Interval,
    },
}

/// The strategies of this build, for the checks of the configuration.
pub fn known_strategies() -> Vec<KnownStrategy> {
    let params = |row: &strategies::Row| {
        let all = COMMON_PARAMS.iter().chain(row.params);
        all.map(|p| p.name).collect()
    };
    STRATEGIES
        .iter()
        .map(|row| KnownStrategy {
            name: row.name,
            params: params(row),
        })
        .collect()
}

/// The kernel's configuration. `indicators` are kept instead of the default ones, if there are any.
pub fn kernel_config(
    settings: &Settings,
    indicators: Vec<Spec>,
) -> Result<KernelConfig, SetupError> {
    let default = KernelConfig::default();
    let running = settings.running_strategies();
    Ok(KernelConfig {
        trading: settings.run.mode == Mode::Paper,
        intervals: settings.run.intervals.clone(),
        indicators: if indicators.is_empty() {
            default.indicators
        } else {
            indicators
        },
        candles_kept: settings.kernel.candles_kept,
        orders_kept: settings.kernel.orders_kept,
        book_levels_max: settings.kernel.book_levels_max,
        waiters_max: default.waiters_max,
        limits: settings.risk.limits.clone(),
        zone_minutes: settings.risk.zone_minutes,
        answer_timeout_ns: i64::try_from(settings.orders.answer_timeout.as_nanos())
            .unwrap_or(i64::MAX),
        positions: settings.paper.position_mode,
        strategies: running
            .iter()
            .map(|(name, params)| strategy(settings, name, params))
            .collect::<Result<_, _>>()?,
        ..default
    })
}

/// An instrument with the fees of the paper account.
pub fn with_fees(instrument: Instrument, settings: &Settings) -> Instrument {
    let (maker_fee, taker_fee) = (settings.paper.maker_fee, settings.paper.taker_fee);
    Instrument {
        maker_fee,
        taker_fee,
        ..instrument
    }
}

fn strategy(
    settings: &Settings,
    name: &str,
    params: &BTreeMap<String, String>,
) -> Result<StrategyConfig, SetupError> {
    let first = settings.run.intervals.first().copied();
    let mut config = StrategyConfig::new(name, first.unwrap_or(Interval::MINUTE));
    if settings.run.demo && params.is_empty() {
        // Short averages, so that a first look sees it trade.
        config.set("fast", "2")?;
        config.set("slow", "5")?;
    }
    for (param, value) in params {
        config.set(param, value)?;
    }
    strategies::build(&config)?;
    if !settings.run.intervals.contains(&config.interval) {
        let (strategy, interval) = (config.name, config.interval);
        return Err(SetupError::Interval { strategy, interval });
    }
    Ok(config)
}

/// How the paper venue behaves.
pub fn paper(settings: &Settings) -> PaperConfig {
    settings.paper.venue.clone()
}
