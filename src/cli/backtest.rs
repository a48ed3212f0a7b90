//! Flags of `hean backtest`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::{RunArgs, values};
use crate::backtest::candles::Path;
use crate::backtest::sweep::{Axis, Objective};
use crate::config::{Override, Sources, parse_duration};
use crate::kernel::types::{Interval, Rate, Time, VenueId};

/// Flags of `backtest`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct BacktestArgs {
    /// Recordings or directories of them, in the order of time; or candle files (.csv, .csv.gz)
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Strategies to trade with
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        required = true,
        help_heading = "Strategy"
    )]
    pub strategy: Vec<String>,
    /// A parameter of a strategy, such as ema_cross.fast=12; may be repeated
    #[arg(long, value_name = "NAME.KEY=VALUE", value_parser = param, help_heading = "Strategy")]
    pub param: Vec<(String, String)>,
    /// Candle intervals; the first one is the strategies' unless they name theirs [default: that of the
    /// candle file; 1m of a recording]
    #[arg(
        long,
        value_name = "INTERVAL,…",
        value_delimiter = ',',
        help_heading = "Strategy"
    )]
    pub interval: Vec<Interval>,
    /// Configuration file for the account, risk limits and strategies. The machine's own is not read
    #[arg(long, value_name = "FILE", help_heading = "Strategy")]
    pub config: Option<PathBuf>,

    /// Trade and measure from here on; what lies before warms indicators up: a day, a time (UTC) or milliseconds
    #[arg(long, value_name = "TIME", value_parser = values::time, help_heading = "Data")]
    pub from: Option<Time>,
    /// End before this time
    #[arg(long, value_name = "TIME", value_parser = values::time, help_heading = "Data")]
    pub to: Option<Time>,
    /// The venue of recordings, and of candle files that name none [default: binance]
    #[arg(long, value_name = "NAME", value_parser = values::venue, help_heading = "Data")]
    pub exchange: Option<VenueId>,
    /// Instrument of the candle files, one for all or one for each, such as binance-usdm:BTCUSDT [default: told
    /// from names such as binance-usdm-BTCUSDT-1m.csv]
    #[arg(
        long,
        value_name = "VENUE:SYMBOL,…",
        value_delimiter = ',',
        help_heading = "Data"
    )]
    pub symbol: Vec<String>,
    /// Price step of candle files [default: the last digit of their prices]
    #[arg(long, value_name = "PRICE", help_heading = "Data")]
    pub tick: Option<String>,
    /// Quantity step of candle files [default: the last digit of their volumes, or finer]
    #[arg(long, value_name = "QTY", help_heading = "Data")]
    pub lot: Option<String>,

    /// Money at the beginning [default: paper.cash]
    #[arg(long, value_name = "AMOUNT", help_heading = "Fills")]
    pub cash: Option<String>,
    /// Fee of an order that rests, such as 0.0002 [default: paper.maker_fee]
    #[arg(
        long,
        value_name = "RATE",
        allow_hyphen_values = true,
        help_heading = "Fills"
    )]
    pub fee_maker: Option<String>,
    /// Fee of an order that takes, such as 0.0005 [default: paper.taker_fee]
    #[arg(
        long,
        value_name = "RATE",
        allow_hyphen_values = true,
        help_heading = "Fills"
    )]
    pub fee_taker: Option<String>,
    /// Candles: half of the spread that a market order pays, in hundredths of a percent; at least one tick is
    #[arg(long, value_name = "BPS", default_value = "0", value_parser = bps, help_heading = "Fills")]
    pub slippage_bps: Rate,
    /// Candles: a limit order is filled by a price beyond it (through), or at it (touch)
    #[arg(long, value_name = "through|touch", default_value = "through", value_parser = touch, action = ArgAction::Set, help_heading = "Fills")]
    pub fill: bool,
    /// Candles: the order of the extremes: pessimistic (a stop before a target), low-first, high-first
    #[arg(
        long,
        value_name = "ORDER",
        default_value = "pessimistic",
        help_heading = "Fills"
    )]
    pub path: Path,
    /// Candles of derivatives: funding paid every eight hours by longs to shorts, such as 0.0001
    #[arg(long, value_name = "RATE", value_parser = rate, allow_hyphen_values = true, conflicts_with = "funding", help_heading = "Fills")]
    pub funding_rate: Option<Rate>,
    /// Candles of derivatives: a CSV of timestamp and rate, a row for each payment of funding
    #[arg(long, value_name = "CSV", help_heading = "Fills")]
    pub funding: Option<PathBuf>,
    /// Seed of latencies that are drawn [default: paper.seed]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX.unsigned_abs()), help_heading = "Fills")]
    pub seed: Option<u64>,

    /// Try every value of a parameter, such as ema_cross.fast=5..20:5; several make a grid
    #[arg(long, value_name = "NAME.KEY=FROM..TO[:STEP]", help_heading = "Search")]
    pub sweep: Vec<Axis>,
    /// What the best run is best at: sharpe, sortino, pnl, drawdown, profit_factor, win_rate
    #[arg(
        long,
        value_name = "NAME",
        default_value = "sharpe",
        help_heading = "Search"
    )]
    pub objective: Objective,
    /// Choose from the grid on one stretch, try it on the next, and so on; report the tests alone: 10d:5d
    #[arg(long, value_name = "TRAIN:TEST", value_parser = stretches, help_heading = "Search")]
    pub walk_forward: Option<(i64, i64)>,
    /// Runs at a time [default: one for each core]
    #[arg(long, value_name = "N", help_heading = "Search")]
    pub jobs: Option<NonZeroUsize>,

    /// Write a report with charts, one file that needs no other
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,
    /// Write the trades
    #[arg(long, value_name = "CSV", help_heading = "Output")]
    pub trades: Option<PathBuf>,
    /// Write the equity curve
    #[arg(long, value_name = "CSV", help_heading = "Output")]
    pub equity: Option<PathBuf>,
}

impl BacktestArgs {
    /// The layers for the account, the limits and the strategies. The machine's own file is not among them: the
    /// result depends on what was named for it. `intervals` are kept, `currency` is the account's.
    pub fn sources(&self, intervals: &[Interval], currency: &str) -> Sources {
        let run = RunArgs {
            config: self.config.clone(),
            interval: intervals.to_vec(),
            strategy: self.strategy.clone(),
            ..RunArgs::default()
        };
        let mut sources = Sources {
            default_file: None,
            stateless: true,
            ..run.sources(false)
        };
        let mut set = |key: &str, flag, value: Option<String>| {
            if let Some(value) = value {
                sources.flags.push(Override {
                    key: key.to_owned(),
                    value,
                    flag,
                });
            }
        };
        set("paper.cash", "--cash", self.cash.clone());
        set("paper.maker_fee", "--fee-maker", self.fee_maker.clone());
        set("paper.taker_fee", "--fee-taker", self.fee_taker.clone());
        set("paper.seed", "--seed", self.seed.map(|n| n.to_string()));
        if self.config.is_none() {
            set("paper.currency", "--symbol", Some(currency.to_owned()));
        }
        for (key, value) in &self.param {
            set(&format!("strategies.{key}"), "--param", Some(value.clone()));
        }
        sources
    }
}

/// `NAME.KEY=VALUE`.
pub(super) fn param(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .filter(|(key, value)| key.contains('.') && !value.is_empty())
        .ok_or("expected NAME.KEY=VALUE, such as ema_cross.fast=12")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn rate(text: &str) -> Result<Rate, String> {
    Rate::parse(text).map_err(|error| error.to_string())
}

/// Hundredths of a percent as a share.
fn bps(text: &str) -> Result<Rate, String> {
    let hundredths = rate(text)?;
    if hundredths < Rate(0) || hundredths.0 > 1_000 * Rate::ONE.0 {
        return Err("expected 0 to 1000".to_owned());
    }
    Ok(Rate(hundredths.0 / 10_000))
}

/// `10d:5d` in nanoseconds.
fn stretches(text: &str) -> Result<(i64, i64), String> {
    let (train, test) = text
        .split_once(':')
        .ok_or("expected TRAIN:TEST, such as 10d:5d")?;
    let ns = |text: &str| {
        let duration = parse_duration(text)?;
        i64::try_from(duration.as_nanos()).map_err(|_| format!("{text:?} is too long"))
    };
    Ok((ns(train)?, ns(test)?))
}

fn touch(text: &str) -> Result<bool, String> {
    match text {
        "through" => Ok(false),
        "touch" => Ok(true),
        _ => Err("expected through or touch".to_owned()),
    }
}
