//! From settings to the parts that run: the one place where configuration text meets the kernel's
//! types, and where the files of scripts are read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use crate::config::{KnownStrategy, Loaded, Origin, Settings};
use crate::kernel::KernelConfig;
use crate::kernel::indicators::Spec;
use crate::kernel::rules;
use crate::kernel::scripts::SCRIPT_BYTES_MAX;
use crate::kernel::strategies::{self, COMMON_PARAMS, STRATEGIES, StrategyConfig, StrategyError};
use crate::kernel::types::{Instrument, Interval};
use crate::kernel::vocabulary::{Fault, Needs};
use crate::status::Mode;
use crate::venue::sim::paper::PaperConfig;

/// A strategy's settings do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// Name or parameters.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// A condition with an error.
    #[error("strategies.{strategy}.{param}: {fault}")]
    Condition {
        /// Strategy.
        strategy: String,
        /// Which of its conditions.
        param: String,
        /// What and where.
        fault: Fault,
    },
    /// An error with its place in a file.
    #[error("{0}")]
    Placed(String),
    /// The file of a script.
    #[error("strategies.{strategy}.file: {file} {why}")]
    Script {
        /// Strategy.
        strategy: String,
        /// Its file.
        file: String,
        /// What is wrong.
        why: String,
    },
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

/// How a strategy of the settings is to run.
pub fn strategy_config(settings: &Settings, name: &str) -> Result<StrategyConfig, SetupError> {
    let params = settings.strategies.get(name).cloned().unwrap_or_default();
    strategy(settings, name, &params)
}

/// The error of a condition with its place in the file that it comes from.
pub fn placed(error: SetupError, loaded: &Loaded) -> SetupError {
    let SetupError::Condition {
        strategy,
        param,
        fault,
    } = &error
    else {
        return error;
    };
    let key = format!("strategies.{strategy}.{param}");
    let Origin::File { path, line } = loaded.origin(&key) else {
        return error;
    };
    let text = loaded.settings.strategies.get(strategy);
    let text = text.and_then(|params| params.get(param));
    let at = text.and_then(|text| place(&path, line, text, fault));
    match at {
        Some((line, column)) => {
            let (file, message) = (path.display(), &fault.message);
            SetupError::Placed(format!("{file}:{line}:{column}: {key}: {message}"))
        }
        None => SetupError::Placed(format!("{}:{line}: {error}", path.display())),
    }
}

/// Where in the file a fault of a text is, whose key stands on `line`; unless the text is written in
/// another way than it reads.
fn place(path: &Path, line: usize, text: &str, fault: &Fault) -> Option<(usize, usize)> {
    let file = read(path, usize::MAX).ok()?;
    let row = usize::try_from(fault.line).ok()?.checked_sub(1)?;
    let wanted = text.lines().nth(row)?;
    // The text of a long string begins on the line of its key or on the one behind.
    let rows = file.lines().enumerate().skip(line.checked_sub(1)? + row);
    let (found, at) = rows.take(2).find_map(|(number, row)| {
        let at = row.find(wanted)?;
        Some((number, row.get(..at)?.chars().count()))
    })?;
    let column = usize::try_from(fault.column).ok()?;
    Some((found + 1, at + column))
}

/// Reads a script.
fn script(strategy: &str, file: &str) -> Result<strategies::Source, SetupError> {
    let text = read(Path::new(file), SCRIPT_BYTES_MAX).map_err(|why| SetupError::Script {
        strategy: strategy.to_owned(),
        file: file.to_owned(),
        why,
    })?;
    let name = file.to_owned();
    Ok(strategies::Source { name, text })
}

fn read(path: &Path, bytes_max: usize) -> Result<String, String> {
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let limit = u64::try_from(bytes_max)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut text = String::new();
    file.take(limit)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() > bytes_max {
        return Err(format!("is longer than {bytes_max} bytes"));
    }
    Ok(text)
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
    if config.kind == "script" && !config.text("file").is_empty() {
        config.source = Some(Arc::new(script(name, config.text("file"))?));
    }
    for (param, text) in &config.params {
        if config.kind == "rules" && strategies::is_condition(param) && !text.is_empty() {
            let compiled = rules::compile(text, &mut Needs::default());
            compiled.map_err(|fault| SetupError::Condition {
                strategy: name.to_owned(),
                param: param.clone(),
                fault,
            })?;
        }
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
