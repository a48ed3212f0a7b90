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
    if settings.run.demo && params.is_empty() && config.kind == "ema_cross" {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};
    use crate::kernel::strategies::{Direction, Exits, Sizing};

    fn configured(text: &str) -> Result<Vec<StrategyConfig>, String> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("hean.toml");
        std::fs::write(&path, text).expect("write");
        let sources = Sources {
            config: Some(path),
            stateless: true,
            strategies: known_strategies(),
            ..Sources::default()
        };
        let loaded = load(&sources).map_err(|e| e.to_string())?;
        let config = kernel_config(&loaded.settings, Vec::new());
        config.map(|c| c.strategies).map_err(|e| e.to_string())
    }

    #[test]
    fn a_strategy_runs_under_a_name_of_its_own() {
        let text = "[run]\nstrategies = ['macd', 'slow']\n[strategies.slow]\ntype = 'ema_cross'\nfast = 50\n\
                    slow = 200\nsymbols = ['btc-usdt', 'binance:ETHUSDT']\nsize = 'equity_percent 2.5'\n\
                    direction = 'both'\ncooldown = 3\nstop_loss = '1.5atr:7'\n";
        let strategies = configured(text).expect("legal");
        let [macd, slow] = &strategies[..] else {
            panic!("{strategies:?}");
        };
        assert_eq!(*macd, StrategyConfig::new("macd", Interval::MINUTE));
        assert_eq!(
            (slow.name.as_str(), slow.kind.as_str()),
            ("slow", "ema_cross")
        );
        assert_eq!(slow.symbols, ["BTCUSDT", "binance:ETHUSDT"]);
        assert_eq!((slow.direction, slow.cooldown), (Direction::Both, 3));
        assert_eq!(
            slow.size,
            "equity_percent 2.5".parse::<Sizing>().expect("legal")
        );
        let stop_loss = Some("1.5atr:7".parse().expect("legal"));
        let exits = Exits {
            stop_loss,
            ..Exits::default()
        };
        assert_eq!(slow.exits, exits);
    }

    #[test]
    fn what_is_wrong_with_a_strategy_is_told() {
        let run = "[run]\nstrategies = ['ema_cross']\n[strategies.ema_cross]\n";
        for (line, told) in [
            ("fast = 0", "must be a whole number from 1 to 10000"),
            ("fast = 30", "fast must be smaller than slow"),
            ("size = 'lots 5'", "equity_percent P"),
            ("size = 'kelly 2'", "kelly FRACTION"),
            ("stop_loss = '3'", "a multiple of the average true range"),
            ("direction = 'up'", "long, short or both"),
            ("interval = '7m'", "7m"),
            ("interval = '1h'", "not kept"),
            ("quick = 3", "unknown parameter"),
            ("type = 'ema_crss'", "unknown strategy"),
            ("trailing = '1%'\nstop_loss = '1%'", "stands alone"),
        ] {
            let error = configured(&format!("{run}{line}\n")).expect_err(line);
            assert!(error.contains(told), "{line}: {error}");
        }
    }
}
