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
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
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
    if settings.run.demo && params.is_empty() && name == "ema_cross" {
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
