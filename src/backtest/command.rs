//! `hean backtest`: from what was typed to what is printed and written.

use std::path::Path;

use super::candles::Play;
use super::market::{MarketError, MarketRules, markets};
use super::report::{Made, Report, Search, equity_csv, to_html, to_json, to_text, trades_csv};
use super::sweep::{self, sweep};
use super::walk::walk;
use super::{BacktestError, Run, Setup, Source, run};
use crate::cli::{BacktestArgs, Exit};
use crate::config::{self, ConfigError, Settings};
use crate::kernel::strategies::{COMMON_PARAMS, StrategyConfig};
use crate::kernel::types::{
    InstrumentName, Interval, NameError, Rate, Time, VenueId, format_fixed,
};
use crate::setup::{self, SetupError};
use crate::store::migrate::Progress;
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
struct Job {
    source: Source,
    setup: Setup,
    made: Made,
}

/// Runs a backtest; returns what belongs on stdout.
pub fn backtest(args: &BacktestArgs, json: bool) -> Result<Vec<u8>, CommandError> {
    let mut job = Job::new(args)?;
    let (run, search) = job.run(args)?;
    let report = Report::new(&run, &job.made, search.as_ref());
    if let Some(path) = &args.trades {
        write(path, trades_csv(&report).as_bytes())?;
    }
    if let Some(path) = &args.equity {
        write(path, equity_csv(&report).as_bytes())?;
    }
    if let Some(path) = &args.html {
        write(path, to_html(&report).as_bytes())?;
    }
    Ok(if json {
        to_json(&report)
    } else {
        to_text(&report).trim_end().to_owned().into_bytes()
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    std::fs::write(path, bytes).map_err(|error| CommandError::Write {
        path: path.display().to_string(),
        error,
    })
}

impl Job {
    fn new(args: &BacktestArgs) -> Result<Self, CommandError> {
        let candles = args.files.iter().filter(|f| is_csv(f.as_path())).count();
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
            setup,
            made,
        })
    }
}

impl Job {
    /// One run, the best of a sweep, or the tests of a walk-forward.
    fn run(&mut self, args: &BacktestArgs) -> Result<(Run, Option<Search>), CommandError> {
        let usage = |why: String| Err(CommandError::Usage(why));
        if args.sweep.is_empty() {
            return match args.walk_forward {
                Some(_) => {
                    usage("--walk-forward chooses from a grid: name it by --sweep".to_owned())
                }
                None => Ok((run(&self.source, &self.setup)?, None)),
            };
        }
        for axis in &args.sweep {
            let known = &self.setup.kernel.strategies;
            if !known.iter().any(|s| s.name == axis.strategy) {
                let name = &axis.strategy;
                return usage(format!(
                    "--sweep {name}.{}: --strategy does not name it",
                    axis.key
                ));
            }
        }
        if sweep::size(&args.sweep).is_none() {
            return usage(format!(
                "--sweep: more than {} combinations",
                sweep::POINTS_MAX
            ));
        }
        // A wrong name must not look like combinations that no strategy takes.
        let firsts: Vec<String> = args
            .sweep
            .iter()
            .filter_map(|a| a.values.last().cloned())
            .collect();
        for axis in &args.sweep {
            let known = self
                .setup
                .kernel
                .strategies
                .iter()
                .find(|s| s.name == axis.strategy);
            let row = known.and_then(|s| s.row().ok());
            let rows = COMMON_PARAMS
                .iter()
                .chain(row.map_or(&[][..], |r| r.params));
            if rows.clone().all(|p| p.name != axis.key) {
                let names: Vec<&str> = rows.map(|p| p.name).collect();
                let (name, key) = (&axis.strategy, &axis.key);
                let names = names.join(", ");
                return usage(format!(
                    "--sweep {name}.{key}: it has no such parameter, but {names}"
                ));
            }
        }
        let tape = std::mem::replace(&mut self.source, Source::Candles(Vec::new()));
        (self.source, _) = tape.decoded().map_err(BacktestError::from)?;
        let mut progress = Progress::counting("runs");
        let choice = (args.objective, args.jobs);
        let (source, setup) = (&self.source, &self.setup);
        if let Some(spans) = args.walk_forward {
            let (run, windows) = walk(source, setup, &args.sweep, choice, spans, &mut progress)?;
            let names = args
                .sweep
                .iter()
                .map(|a| format!("{}.{}", a.strategy, a.key));
            let search = Search::Walk(args.objective, names.collect(), windows);
            return Ok((run, Some(search)));
        }
        let swept = sweep(source, setup, &args.sweep, choice, &mut progress, "sweep")?;
        let Some(best) = swept.best() else {
            // Say why: what the last corner of the grid is told.
            let refused = sweep::with(&setup.kernel.strategies, &args.sweep, &firsts);
            let why = refused
                .err()
                .map_or("no combination runs".to_owned(), |e| e.to_string());
            return usage(format!("--sweep: {why}"));
        };
        let chosen = sweep::with(&setup.kernel.strategies, &args.sweep, &best.values);
        self.setup.kernel.strategies = chosen.map_err(SetupError::from)?;
        let strategies = self.setup.kernel.strategies.iter();
        self.made.strategies = strategies.map(|s| (s.name.clone(), params(s))).collect();
        let run = run(&self.source, &self.setup)?;
        Ok((run, Some(Search::Sweep(args.objective, swept))))
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
fn setup(
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
fn params(strategy: &StrategyConfig) -> Vec<(String, String)> {
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
    set(
        "type",
        strategy.kind != strategy.name,
        strategy.kind.clone(),
    );
    set(
        "symbols",
        !strategy.symbols.is_empty(),
        strategy.symbols.join(","),
    );
    set(
        "direction",
        strategy.direction != plain.direction,
        strategy.direction.name().to_owned(),
    );
    set(
        "cooldown",
        strategy.cooldown > 0,
        strategy.cooldown.to_string(),
    );
    let text = |distance: Option<String>| distance.unwrap_or_default();
    set(
        "stop_loss",
        exits.stop_loss.is_some(),
        text(exits.stop_loss.map(|d| d.to_string())),
    );
    set(
        "take_profit",
        exits.take_profit.is_some(),
        text(exits.take_profit.map(|d| d.to_string())),
    );
    let percent = |share: Rate| format!("{}%", format_fixed(i128::from(share.0), 6));
    set(
        "trailing",
        exits.trailing.is_some(),
        text(exits.trailing.map(percent)),
    );
    for param in strategy.row().map(|row| row.params).unwrap_or_default() {
        let given = strategy
            .params
            .iter()
            .rev()
            .find(|(name, _)| name == param.name);
        let value = given.map_or(param.default, |(_, value)| value);
        out.push((param.name.to_owned(), value.to_owned()));
    }
    out
}

fn is_csv(path: &Path) -> bool {
    let has = |path: &Path, kind: &str| {
        path.extension()
            .is_some_and(|e| e.eq_ignore_ascii_case(kind))
    };
    has(path, "csv")
        || (has(path, "gz") && path.file_stem().is_some_and(|s| has(Path::new(s), "csv")))
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
