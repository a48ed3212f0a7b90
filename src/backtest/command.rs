//! `hean backtest`: from what was typed to what is printed and written.

use std::path::{Path, PathBuf};

use super::candles::Play;
use super::market::{MarketError, MarketRules, markets};
use super::report::{Made, Report, equity_csv, to_html, to_json, to_text, trades_csv};
use super::{BacktestError, Setup, Source, run};
use crate::cli::{BacktestArgs, Exit};
use crate::config::{self, ConfigError, Settings};
use crate::kernel::types::{
    InstrumentName, Interval, NameError, Rate, Time, VenueId, format_fixed,
};
use crate::setup::{self, SetupError};
use crate::tape::Tape;
use crate::venue::sim::paper::queue::QueueModel;

/// `hean backtest` failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Running it.
    #[error(transparent)]
    Backtest(#[from] BacktestError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Strategies and their parameters.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A symbol.
    #[error("--symbol: {0}")]
    Symbol(#[from] NameError),
    /// Flags that do not go together.
    #[error("{0}")]
    Usage(String),
    /// Writing a file.
    #[error("cannot write {path}: {error}")]
    Write {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
}

/// What a backtest was asked to be, with everything read that it needs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) source: Source,
    pub(super) settings: Settings,
    pub(super) setup: Setup,
    pub(super) made: Made,
}

/// Runs a backtest; returns what belongs on stdout.
pub fn backtest(args: &BacktestArgs, json: bool) -> Result<Vec<u8>, CommandError> {
    let job = Job::new(args)?;
    let run = run(&job.source, &job.setup)?;
    let report = Report::new(&run, &job.made);
    if let Some(path) = &args.trades {
        write(path, trades_csv(&report).as_bytes())?;
    }
    if let Some(path) = &args.html {
        write(path, to_html(&report).as_bytes())?;
    }
    if let Some(path) = &args.equity {
        write(path, equity_csv(&report).as_bytes())?;
    }
    Ok(if json {
        to_json(&report)
    } else {
        to_text(&report).trim_end().to_owned().into_bytes()
    })
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    std::fs::write(path, bytes).map_err(|error| CommandError::Write {
        path: path.display().to_string(),
        error,
    })
}

impl Job {
    pub(super) fn new(args: &BacktestArgs) -> Result<Self, CommandError> {
        let candles = args.files.iter().filter(|f| is_csv(f)).count();
        if candles > 0 && candles < args.files.len() {
            let why =
                "candle files and recordings cannot be mixed: they are played in different ways";
            return Err(CommandError::Usage(why.to_owned()));
        }
        let venue = args.exchange.unwrap_or(VenueId::Binance);
        let source = if candles > 0 {
            Source::Candles(
                markets(&args.files, &rules(args, venue)?).map_err(BacktestError::from)?,
            )
        } else {
            recordings_only(args)?;
            Source::Tape(Tape::open(&args.files, venue).map_err(BacktestError::from)?)
        };
        let own = match &source {
            Source::Candles(markets) => markets.iter().map(|m| m.interval).collect(),
            Source::Tape(_) | Source::Decoded { .. } => vec![Interval::MINUTE],
        };
        let finest = own.iter().copied().min_by_key(|i| i.nominal_len());
        let mut intervals = args.interval.clone();
        if intervals.is_empty() {
            intervals.extend(finest);
        }
        if let (Some(finest), true) = (
            own.iter().copied().max_by_key(|i| i.nominal_len()),
            candles > 0,
        ) && let Some(wanted) = intervals
            .iter()
            .find(|i| i.nominal_len() < finest.nominal_len())
        {
            let why = format!("candles of {wanted} cannot be made of candles of {finest}");
            return Err(CommandError::Usage(why));
        }
        let instruments = source.instruments();
        let quote = instruments.first().map_or("USDT", |i| i.quote.as_str());
        let loaded = config::load(&args.sources(&intervals, quote))?;
        let settings = loaded.settings;
        let setup = setup(args, &settings, candles > 0, intervals.first().copied())?;
        let made = made(
            args,
            &settings,
            &setup,
            (candles > 0).then_some(finest).flatten(),
        );
        Ok(Self {
            source,
            settings,
            setup,
            made,
        })
    }
}

fn rules(args: &BacktestArgs, venue: VenueId) -> Result<MarketRules, CommandError> {
    let names = args.symbol.iter();
    let names = names.map(|text| InstrumentName::parse(text, venue));
    Ok(MarketRules {
        names: names.collect::<Result<_, _>>()?,
        venue: args.exchange,
        tick: args.tick.clone(),
        lot: args.lot.clone(),
        fees: (Rate(0), Rate(0)),
        funding_rate: args.funding_rate,
        funding: args.funding.clone(),
    })
}

/// Flags that only candles know.
fn recordings_only(args: &BacktestArgs) -> Result<(), CommandError> {
    let candles = [
        ("--symbol", !args.symbol.is_empty()),
        ("--tick", args.tick.is_some()),
        ("--lot", args.lot.is_some()),
        ("--slippage-bps", args.slippage_bps != Rate(0)),
        ("--fill touch", args.fill),
        ("--funding-rate", args.funding_rate.is_some()),
        ("--funding", args.funding.is_some()),
    ];
    match candles.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(CommandError::Usage(format!(
            "{flag} is for candle files (.csv, .csv.gz): a recording says it itself"
        ))),
        None => Ok(()),
    }
}

/// The kernel and its venue as the settings want them.
pub(super) fn setup(
    args: &BacktestArgs,
    settings: &Settings,
    candles: bool,
    chart: Option<Interval>,
) -> Result<Setup, CommandError> {
    let mut kernel = setup::kernel_config(settings, Vec::new())?;
    // Strategies have their own; nobody looks at others.
    kernel.indicators = Vec::new();
    let mut paper = setup::paper(settings);
    if candles && !args.fill {
        paper.queue = QueueModel::Through;
    }
    Ok(Setup {
        chart: chart.filter(|_| args.html.is_some()),
        kernel,
        paper,
        cash: (settings.paper.currency.clone(), settings.paper.cash),
        fees: (settings.paper.maker_fee, settings.paper.taker_fee),
        play: Play {
            path: args.path,
            slippage: args.slippage_bps,
            touch: args.fill,
        },
        from: args.from.unwrap_or(Time(i64::MIN)),
        to: args.to.unwrap_or(Time(i64::MAX)),
        warm_from: Time(i64::MIN),
    })
}

fn made(
    args: &BacktestArgs,
    settings: &Settings,
    setup: &Setup,
    candles: Option<Interval>,
) -> Made {
    let rate = |rate: Rate| format_fixed(i128::from(rate.0), Rate::SCALE).to_string();
    let strategies = setup.kernel.strategies.iter();
    let strategies = strategies.map(|s| (s.name.clone(), params(s)));
    let latency = setup.paper.order_latency.to_string();
    let fills = if candles.is_some() {
        let fill = if args.fill { "touch" } else { "through" };
        let bps = format_fixed(i128::from(args.slippage_bps.0), 4).to_string();
        vec![
            ("path", args.path.name().to_owned()),
            ("limits", fill.to_owned()),
            ("slippage_bps", bps),
            ("latency", latency),
        ]
    } else {
        vec![
            ("queue", setup.paper.queue.to_string()),
            ("latency", latency),
            ("report_latency", setup.paper.report_latency.to_string()),
        ]
    };
    Made {
        files: args.files.iter().map(|f| f.display().to_string()).collect(),
        source: if candles.is_some() {
            "candles"
        } else {
            "recording"
        },
        interval: candles.map(|i| i.to_string()),
        strategies: strategies.collect(),
        fills,
        fees: (
            rate(settings.paper.maker_fee),
            rate(settings.paper.taker_fee),
        ),
        currency: settings.paper.currency.clone(),
        seed: settings.paper.venue.seed,
    }
}

/// Every parameter that counts, as a user would write it: candles and size, others where they are not the
/// default, and all of its kind.
pub(super) fn params(strategy: &StrategyConfig) -> Vec<(String, String)> {
    let mut out = vec![
        ("interval".to_owned(), strategy.interval.to_string()),
        ("size".to_owned(), strategy.size.to_string()),
    ];
    let plain = StrategyConfig::new(&strategy.kind, strategy.interval);
    let mut set = |name: &str, differs: bool, value: String| {
        if differs {
            out.push((name.to_owned(), value));
        }
    };
    let exits = &strategy.exits;
    set("type", strategy.kind != strategy.name, strategy.kind.clone());
    set("symbols", !strategy.symbols.is_empty(), strategy.symbols.join(","));
    set(
        "direction",
        strategy.direction != plain.direction,
        strategy.direction.name().to_owned(),
    );
    set("cooldown", strategy.cooldown > 0, strategy.cooldown.to_string());
    let text = |distance: Option<String>| distance.unwrap_or_default();
    set("stop_loss", exits.stop_loss.is_some(), text(exits.stop_loss.map(|d| d.to_string())));
    set(
        "take_profit",
        exits.take_profit.is_some(),
        text(exits.take_profit.map(|d| d.to_string())),
    );
    let percent = |share: Rate| format!("{}%", format_fixed(i128::from(share.0), 6));
    set("trailing", exits.trailing.is_some(), text(exits.trailing.map(percent)));
    for param in strategy.row().map(|row| row.params).unwrap_or_default() {
        let given = strategy.params.iter().rev().find(|(name, _)| name == param.name);
        let value = given.map_or(param.default, |(_, value)| value);
        out.push((param.name.to_owned(), value.to_owned()));
    }
    out
}

fn is_csv(path: &PathBuf) -> bool {
    let name = path.to_string_lossy().to_ascii_lowercase();
    name.ends_with(".csv") || name.ends_with(".csv.gz")
}

impl From<MarketError> for CommandError {
    fn from(error: MarketError) -> Self {
        Self::Backtest(error.into())
    }
}

impl CommandError {
    /// The exit code that it stands for.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(error) => error.into(),
            Self::Setup(_) => Exit::Configuration,
            Self::Symbol(_) | Self::Usage(_) => Exit::Usage,
            Self::Backtest(_) | Self::Write { .. } => Exit::Failure,
        }
    }
}
