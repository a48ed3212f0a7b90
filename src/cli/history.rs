//! Flags of `hean history`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{BaseUrl, RunArgs, values};
use crate::config::Sources;
use crate::kernel::types::{Interval, Time, VenueId};
use crate::status::Mode;

/// `hean history …`
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum HistoryCommand {
    /// Candles of the past as CSV for `hean backtest`; the same command again goes on where it was stopped
    Download(DownloadArgs),
}

/// Flags of `history download`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct DownloadArgs {
    /// The venue
    #[arg(long, value_name = "NAME", default_value = "binance", value_parser = values::venue)]
    pub exchange: VenueId,
    /// Instruments, such as BTCUSDT,ETHUSDT
    #[arg(long, value_name = "SYMBOL,…", value_delimiter = ',', required = true)]
    pub symbols: Vec<String>,
    /// Candle interval
    #[arg(long, value_name = "INTERVAL", default_value = "1m")]
    pub interval: Interval,
    /// From the first candle that opens here or later: a day, a time (UTC) or milliseconds
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub from: Time,
    /// To the last closed one that opens before this [default: now]
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub to: Option<Time>,
    /// Where the files go: VENUE-SYMBOL-INTERVAL.csv
    #[arg(long, value_name = "DIR", default_value = "history")]
    pub dir: PathBuf,
    /// Configuration file [default: $HEAN_CONFIG, else /etc/hean/hean.toml if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address of a venue: VENUE=URL or VENUE.rest=URL
    #[arg(long, value_name = "VENUE=URL")]
    pub base_url: Vec<BaseUrl>,
}

impl DownloadArgs {
    /// The layers of `run` for addresses; nothing is kept but the files.
    pub fn sources(&self, json: bool) -> Sources {
        let run = RunArgs {
            config: self.config.clone(),
            symbols: self.symbols.clone(),
            exchange: vec![self.exchange],
            mode: Some(Mode::Observe),
            base_url: self.base_url.clone(),
            ..RunArgs::default()
        };
        Sources {
            stateless: true,
            ..run.sources(json)
        }
    }
}
