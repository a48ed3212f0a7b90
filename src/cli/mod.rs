//! The command line: what can be typed. Parsing is pure; `main.rs` decides what runs.
//!
//! Flags that set a configuration key become [`Override`]s and are checked by `config` like every
//! other layer. Data goes to stdout, logs to stderr; see [`Exit`] for exit codes.

mod backtest;
mod exit;
mod history;
mod journal;
mod keydb;
mod manual;
mod server;
mod service;
mod show;
mod token;
mod trade;
mod values;

pub use backtest::BacktestArgs;
pub use exit::Exit;
pub use history::{DownloadArgs, HistoryCommand};
pub use journal::{DumpArgs, JournalArgs, JournalCommand, QuarantineArgs, TailArgs};
pub use keydb::{BenchArgs, KeydbCommand, MigrateArgs, PairArgs, Place, VerifyArgs};
pub use manual::ManArgs;
pub use server::ServerArgs;
pub use service::ServiceArgs;
pub use show::{ColorArg, LookArgs, ShowCommand};
pub use token::{CreateArgs, RevokeArgs, TokenCommand};
pub(crate) use trade::encoded;
pub use trade::{
    AmendArgs, CancelAllArgs, CancelArgs, CloseArgs, HaltArgs, OrderArgs, PositionSideArg, SideArg,
    TriggerByArg,
};
pub use values::{BaseUrl, Endpoint};

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::client::show::Show;
use crate::config::{Override, Sources, parse_duration};
use crate::kernel::indicators::Spec;
use crate::kernel::types::{Interval, VenueId};
use crate::status::Mode;
use crate::venue::sim::{Fault, Speed};

/// Program version, commit, target and link kind, on one line.
pub const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("HEAN_COMMIT"),
    ", ",
    env!("HEAN_TARGET"),
    ", ",
    env!("HEAN_LINK"),
    ")"
);

/// Reads exchange market data, keeps books, candles and indicators, runs strategies, checks risk,
/// trades on paper, and serves HTTP and metrics.
#[derive(Debug, Clone, PartialEq, Parser)]
#[command(
    name = "hean",
    version = VERSION,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "Exit codes: 0 ok, 1 failure, 2 usage, 3 configuration, 4 unreachable, 5 refused by risk.\n\
                  Try it without a network: hean run --demo"
)]
pub struct Cli {
    /// Print JSON: one object on stdout; for `run`, one object per log line on stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How faults are written.
const FAULTS: &str = "\
Faults: KIND[@VENUE[/PATTERN]][:KEY=VALUE]…, and the short forms drop-depth:N (the N-th depth frame
is not sent) and cut:N (all connections are cut behind the N-th frame).
  messages     drop, duplicate, reorder, delay (by=), stall, truncate, flip-bit
  connections  cut, close (code=), deaf, mute, shutdown (notice=), life (after=, notice=), silence,
               resend (books of Bybit begin again), restart (all are cut, ids begin again)
  REST         status (code=, retry=)
PATTERN is of stream names or REST endpoints, with * for any run of characters.
Keys: n=N from the N-th message or request that fits, at=TIME since the market began, p=CHANCE for
each, count=N times [default: 1, without end with p= or for=], for=TIME, client=N the N-th connection.
TIME is market time: 250ms, 3s, 2m, 24h.
  stall@bybit-linear/orderbook.*:at=10s:for=5s
  status@binance/depth:code=429:retry=3:n=2
  drop@/btcusdt@depth*:p=0.01";

/// The subcommands.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Command {
    /// The daemon: paper trading on live public market data unless told otherwise
    Run(RunArgs),
    /// The simulated venue as a server that speaks the protocols of Binance and Bybit
    #[command(after_help = FAULTS)]
    Sim(SimArgs),
    /// Record raw frames of symbols to files, until a signal
    Record(RecordArgs),
    /// Recordings through the kernel, as fast as it goes; prints the result
    Replay(ReplayArgs),
    /// Strategies over recordings or candle files; prints what they would have come to
    Backtest(Box<BacktestArgs>),
    /// Candles of the past
    #[command(subcommand)]
    History(HistoryCommand),
    /// What a running daemon knows.
    #[command(flatten)]
    Show(ShowCommand),
    /// A live view of a running daemon: prices, positions, orders, feeds, latencies
    Top(TopArgs),
    /// Indicators of an instrument, as the daemon has them or over a file of candles; a list of all
    Indicators(IndicatorsArgs),
    /// Buy: at the market unless told otherwise
    Buy(OrderArgs),
    /// Sell: at the market unless told otherwise
    Sell(OrderArgs),
    /// Cancel an order
    Cancel(CancelArgs),
    /// Cancel all open orders, or those of a symbol, a side, a strategy
    CancelAll(CancelAllArgs),
    /// Change price, trigger or quantity of an order
    Amend(AmendArgs),
    /// Cancel a position's orders and close it at the market
    Close(CloseArgs),
    /// The kill switch: cancel everything, and let only reductions pass
    Halt(HaltArgs),
    /// Let new risk pass again
    Resume(ServerArgs),
    /// Limits, their use, and the kill switch
    Risk(ServerArgs),
    /// Tools for KeyDB, Redis and Valkey: migrate, verify, bench
    #[command(subcommand)]
    Keydb(KeydbCommand),
    /// Look at everything that a run depends on: configuration, clock, disk, ports, venues, store
    Doctor(RunArgs),
    /// The configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The journal of a data directory
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Who may call the API: tokens with scopes
    #[command(subcommand)]
    Token(TokenCommand),
    /// This program as a service of systemd: unit, settings, and the way back
    InstallService(ServiceArgs),
    /// A completion script for a shell, on stdout
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// The manual: hean(1) on stdout, or all pages into a directory
    Man(ManArgs),
}

/// `hean config …`
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum ConfigCommand {
    /// Read all layers and say what is wrong
    Check(RunArgs),
    /// Print the settings in force as TOML, passwords redacted
    Show {
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
        /// Flags as `run` would get them.
        #[command(flatten)]
        run: RunArgs,
    },
    /// The strategies of this build with their parameters
    Strategies,
}

/// Flags of `run`.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct RunArgs {
    /// Configuration file [default: $HEAN_CONFIG, else /etc/hean/hean.toml if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Instruments, such as BTCUSDT,binance:ETHUSDT [default: BTCUSDT,ETHUSDT]
    #[arg(long, value_name = "SYMBOL,…", value_delimiter = ',')]
    pub symbols: Vec<String>,
    /// Exchanges; the first one is meant by a bare symbol [default: binance]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = values::venue)]
    pub exchange: Vec<VenueId>,
    /// Candle intervals, such as 1m,5m,1h [default: 1m]
    #[arg(long, value_name = "INTERVAL,…", value_delimiter = ',')]
    pub interval: Vec<Interval>,
    /// observe refuses every order, paper matches orders in this process [default: paper]
    #[arg(long, value_name = "observe|paper", value_parser = values::mode)]
    pub mode: Option<Mode>,
    /// Strategies that trade from the start
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub strategy: Vec<String>,
    /// No network: start the simulated venue on loopback and trade on it
    #[arg(long, conflicts_with_all = ["exchange", "base_url"])]
    pub demo: bool,
    /// Seed of the simulated market [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX.unsigned_abs()))]
    pub seed: Option<u64>,
    /// KeyDB or Redis, such as redis://127.0.0.1:6379 (passwords: in the file or the environment)
    #[arg(long, value_name = "URL")]
    pub keydb: Option<String>,
    /// Where journal and state lie [default: $STATE_DIRECTORY, else $XDG_STATE_HOME/hean, else
    /// ~/.local/state/hean; with --demo a fresh temporary directory]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Keep the venues' raw frames there, for replay
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// Address of the HTTP server; port 0 takes a free one and prints it [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Address of a venue: VENUE=URL, VENUE.rest=URL or VENUE.ws=URL; may be repeated
    #[arg(long, value_name = "VENUE=URL")]
    pub base_url: Vec<BaseUrl>,
}

/// Flags of `record`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct RecordArgs {
    /// Configuration file [default: $HEAN_CONFIG, else /etc/hean/hean.toml if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Instruments, such as BTCUSDT,binance:ETHUSDT [default: BTCUSDT,ETHUSDT]
    #[arg(long, value_name = "SYMBOL,…", value_delimiter = ',')]
    pub symbols: Vec<String>,
    /// Exchanges; the first one is meant by a bare symbol [default: binance]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = values::venue)]
    pub exchange: Vec<VenueId>,
    /// Candle intervals to subscribe to, such as 1m,5m [default: 1m]
    #[arg(long, value_name = "INTERVAL,…", value_delimiter = ',')]
    pub interval: Vec<Interval>,
    /// Where to [default: record.dir of the configuration, else ./recordings]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// End after so long, such as 90s, 10m or 1h [default: at a signal]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Address of a venue: VENUE=URL, VENUE.rest=URL or VENUE.ws=URL; may be repeated
    #[arg(long, value_name = "VENUE=URL")]
    pub base_url: Vec<BaseUrl>,
}

/// Flags of `sim`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct SimArgs {
    /// Recordings to play (.txt, .jsonl, also .gz and .zst), or directories of them; without any the
    /// market is synthetic
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub input: Vec<PathBuf>,
    /// What is simulated, and what recordings were made of: binance, binance-usdm, bybit-spot,
    /// bybit-linear; synthetic ones that are not named begin when they are asked for [default: binance]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = values::venue)]
    pub exchange: Vec<VenueId>,
    /// A multiple of the recorded pace or of real time, or max
    #[arg(long, value_name = "N|max", default_value = "1")]
    pub speed: Speed,
    /// Address to listen on; port 0 takes a free one and prints it
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,
    /// Seed of the synthetic market and of faults
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=i64::MAX.unsigned_abs()))]
    pub seed: u64,
    /// Symbols of the synthetic market
    #[arg(long, value_name = "SYMBOL,…", value_delimiter = ',', default_value = "BTCUSDT,ETHUSDT", value_parser = values::symbol)]
    pub symbols: Vec<String>,
    /// Events of the synthetic market in its time: 1 is usual, from 0.01 (quiet and cheap) to 10
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    pub rate: f64,
    /// Faults on purpose; see below
    #[arg(long, value_name = "FAULT,…", value_delimiter = ',')]
    pub fault: Vec<Fault>,
}

/// Flags of `replay`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct ReplayArgs {
    /// Recordings, in the order of time, or directories of them
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The venue that they were recorded from
    #[arg(long, value_name = "NAME", default_value = "binance", value_parser = values::venue)]
    pub exchange: VenueId,
    /// Candle intervals
    #[arg(
        long,
        value_name = "INTERVAL,…",
        value_delimiter = ',',
        default_value = "1m"
    )]
    pub interval: Vec<Interval>,
    /// Indicators, such as rsi:14,macd:12:26:9
    #[arg(long, value_name = "NAME:PARAM…,…", value_delimiter = ',', value_parser = Spec::parse)]
    pub indicators: Vec<Spec>,
    /// Levels a side of the books in the result
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=100))]
    pub depth: u16,
    /// Strategies to trade with, on paper
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub strategy: Vec<String>,
    /// Configuration file for the paper account, risk limits and strategy parameters
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Flags of `indicators`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct IndicatorsArgs {
    /// Instruments of the running daemon, such as BTCUSDT or bybit-linear:BTCUSDT
    #[arg(value_name = "SYMBOL", required_unless_present_any = ["input", "list"])]
    pub symbols: Vec<String>,
    /// Instead of the daemon's candles, a CSV with a header naming timestamp (or open_time, date),
    /// open, high, low, close, volume
    #[arg(
        long,
        value_name = "CSV",
        requires = "kind",
        conflicts_with = "symbols"
    )]
    pub input: Option<PathBuf>,
    /// Which indicator, such as macd [default: a summary]
    #[arg(long = "type", value_name = "NAME", value_parser = values::indicator_name)]
    pub kind: Option<String>,
    /// Its parameters, such as 12:26:9 or slow=30 [default: the usual ones]
    #[arg(long, value_name = "P:P…", value_delimiter = ':', allow_hyphen_values = true, requires = "kind", value_parser = values::indicator_param)]
    pub params: Vec<String>,
    /// Of the daemon's candles of this interval, such as 1m
    #[arg(long, value_name = "INTERVAL", conflicts_with_all = ["input", "list"])]
    pub interval: Option<Interval>,
    /// The last N values instead of the newest one
    #[arg(long, value_name = "N", requires = "kind", conflicts_with_all = ["input", "list"])]
    pub limit: Option<u32>,
    /// List every indicator with its parameters, outputs and source
    #[arg(long, conflicts_with_all = ["symbols", "input", "kind", "params"])]
    pub list: bool,
    /// Looks.
    #[command(flatten)]
    pub look: LookArgs,
}

impl IndicatorsArgs {
    /// What to ask the daemon; `None` when it is not asked.
    pub fn show(&self) -> Option<Show> {
        let interval = self.interval.map(|interval| interval.to_string());
        let wish = show::IndicatorWish {
            symbols: &self.symbols,
            interval: interval.as_deref(),
            kind: self.kind.as_deref(),
            params: &self.params,
            limit: self.limit,
        };
        (!self.symbols.is_empty()).then(|| wish.show())
    }
}

/// Flags of `top`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct TopArgs {
    /// Where the daemon is.
    #[command(flatten)]
    pub look: LookArgs,
}

impl Cli {
    /// Writes the completion script of `shell`.
    pub fn completions(shell: Shell, out: &mut dyn Write) -> io::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Self::command(), "hean", &mut script);
        out.write_all(&script)
    }
}

impl RunArgs {
    /// All layers of this process; `json` turns logs into JSON.
    pub fn sources(&self, json: bool) -> Sources {
        Sources::of_process(self.config.clone(), self.overrides(json))
    }

    /// The configuration keys that these flags set.
    pub fn overrides(&self, json: bool) -> Vec<Override> {
        let mut out = Vec::new();
        let mut set = |key: &str, flag: &'static str, value: Option<String>| {
            if let Some(value) = value {
                out.push(Override {
                    key: key.to_owned(),
                    value,
                    flag,
                });
            }
        };
        set("run.mode", "--mode", self.mode.map(|m| m.name().to_owned()));
        set("run.exchange", "--exchange", joined(&self.exchange));
        set("run.symbols", "--symbols", joined(&self.symbols));
        set("run.intervals", "--interval", joined(&self.interval));
        set("run.strategies", "--strategy", joined(&self.strategy));
        set("run.demo", "--demo", self.demo.then(|| "true".to_owned()));
        set("run.seed", "--seed", self.seed.map(|n| n.to_string()));
        set("store.url", "--keydb", self.keydb.clone());
        let dir = self.data_dir.as_ref().map(|d| d.display().to_string());
        set("journal.dir", "--data-dir", dir);
        let record = self.record.as_ref().map(|d| d.display().to_string());
        set("record.dir", "--record", record);
        let listen = self.listen.map(|a| a.to_string());
        set("http.listen", "--listen", listen);
        set("log.format", "--json", json.then(|| "json".to_owned()));
        for base in &self.base_url {
            for (key, url) in base.keys() {
                set(&key, "--base-url", Some(url));
            }
        }
        out
    }
}

impl RecordArgs {
    /// The layers of `run` for what both do; nothing is kept but the recording.
    pub fn sources(&self, json: bool) -> Sources {
        let run = RunArgs {
            config: self.config.clone(),
            symbols: self.symbols.clone(),
            exchange: self.exchange.clone(),
            interval: self.interval.clone(),
            mode: Some(Mode::Observe),
            record: self.dir.clone(),
            base_url: self.base_url.clone(),
            ..RunArgs::default()
        };
        Sources {
            stateless: true,
            ..run.sources(json)
        }
    }
}

impl ReplayArgs {
    /// The layers for the paper account, the limits and the strategies. The machine's own file is not
    /// among them: the result of a replay depends on what was named for it.
    pub fn sources(&self) -> Sources {
        let run = RunArgs {
            config: self.config.clone(),
            exchange: vec![self.exchange],
            interval: self.interval.clone(),
            strategy: self.strategy.clone(),
            ..RunArgs::default()
        };
        Sources {
            default_file: None,
            stateless: true,
            ..run.sources(false)
        }
    }
}

/// `None` when there is nothing to join: the flag was not given.
fn joined<T: ToString>(items: &[T]) -> Option<String> {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    (!items.is_empty()).then(|| items.join(","))
}

#[cfg(test)]
mod tests;
