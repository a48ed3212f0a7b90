//! The commands that show what a running daemon knows, as the requests that they mean.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::server::ServerArgs;
use super::trade::encoded;
use crate::client::show::{ALL_MAX, Count, Show};
use crate::client::{Ask, Look, View};

/// `hean ticker` and all the others.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ShowCommand {
    /// Last price, best bid and ask, 24-hour figures, of some instruments or of all
    Ticker(TickerArgs),
    /// The order book
    Book(BookArgs),
    /// Candles, oldest first; the last one may be open
    Klines(KlinesArgs),
    /// Recent trades, newest first
    Trades(TradesArgs),
    /// Instruments with their filters and state
    Symbols(PlainArgs),
    /// Orders, newest first
    Orders(OrdersArgs),
    /// Everything about an order
    Order(OrderIdArgs),
    /// Positions, open or with a history
    Positions(PositionsArgs),
    /// Money, profit and loss, statistics
    Account(PlainArgs),
    /// Executions, newest first
    Fills(FillsArgs),
    /// Equity over time, newest first
    Equity(EquityArgs),
    /// Strategies and what they decided last
    Strategies(PlainArgs),
    /// Why strategies decided as they did, and which rule said no
    Why(WhyArgs),
    /// Every stream of market data: its age, latency and number of messages
    Feeds(PlainArgs),
    /// Mode, versions, feeds, queues, journal, store
    Status(PlainArgs),
    /// Whether the daemon can do its work, check by check; exit code 1 if it cannot
    Health(PlainArgs),
}

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorArg {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How it looks, and where the daemon is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct LookArgs {
    /// When to colour
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub color: ColorArg,
    /// Where the daemon is.
    #[command(flatten)]
    pub at: ServerArgs,
}

/// Asked again and again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub struct WatchArgs {
    /// Ask again every second, or as often as this says, until interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
          default_missing_value = "1", value_parser = seconds)]
    pub watch: Option<Duration>,
}

/// How much of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct CountArgs {
    /// How many, the newest first [default: 20]
    #[arg(long, value_name = "N", conflicts_with = "all",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: Option<u32>,
    /// All of them, a hundred thousand at most
    #[arg(long)]
    pub all: bool,
}

impl CountArgs {
    fn count(self) -> Count {
        match self.limit {
            _ if self.all => Count::AtMost(ALL_MAX),
            Some(limit) => Count::AtMost(usize::try_from(limit).unwrap_or(ALL_MAX)),
            None => Count::Some(20),
        }
    }
}

/// Flags of what takes none of its own.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct PlainArgs {
    /// Looks.
    #[command(flatten)]
    pub look: LookArgs,
}

/// Flags of `ticker`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct TickerArgs {
    /// Instruments, such as BTCUSDT or bybit-linear:BTCUSDT [default: all]
    #[arg(value_name = "SYMBOL")]
    pub symbols: Vec<String>,
    /// Watches.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// Looks.
    #[command(flatten)]
    pub look: LookArgs,
}

/// Flags of `book`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct BookArgs {
    /// Instruments, such as BTCUSDT or bybit-linear:BTCUSDT
    #[arg(value_name = "SYMBOL", required = true)]
    pub symbols: Vec<String>,
    /// Levels a side
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub depth: u32,
    /// Watches.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// Looks.
    #[command(flatten)]
    pub look: LookArgs,
}

/// Flags of `klines`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct KlinesArgs {
    /// Instruments, such as BTCUSDT or bybit-linear:BTCUSDT
    #[arg(value_name = "SYMBOL", required = true)]
    pub symbols: Vec<String>,
    /// One of those that the daemon keeps, such as 1m
    #[arg(long, value_name = "INTERVAL")]
    pub interval: Option<String>,
    /// How many, the newest
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
    /// Looks.
    #[command(flatten)]
    pub look: LookArgs,
}

/// Flags of `trades`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct TradesArgs {
    /// Instruments, such as BTCUSDT or bybit-linear:BTCUSDT
    #[arg(value_name = "SYMBOL", required = true)]
    pub symbols: Vec<String>,
    /// Counts.
    #[command(flatten)]
    pub count: CountArgs,
    /// Looks.
    #[command(flatten)]
    pub look: LookArgs,
}

/// Flags of `orders`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct OrdersArgs {
    /// Only those of these instruments
    #[arg(value_name = "SYMBOL")]
    pub symbols: Vec<String>,
    /// Only those that can still change
    #[arg(long, conflicts_with = "status")]
    pub open: bool,
    /// Only those in a state, such as filled or rejected
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Counts.
    #[command(flatten)]
    pub count: CountArgs,
    /// Watches.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// Looks.
    #[command(flatten)]
    pub look: LookArgs,
}

/// Flags of `order`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct OrderIdArgs {
    /// Which orders
    #[arg(value_name = "ORDER", required = true)]
    pub orders: Vec<u64>,
    /// Looks.
    #[command(flatten)]
    pub look: LookArgs,
}

/// Flags of `positions`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct PositionsArgs {
    /// Only those in these instruments
    #[arg(value_name = "SYMBOL")]
    pub symbols: Vec<String>,
    /// Watches.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// Looks.
    #[command(flatten)]
    pub look: LookArgs,
}

/// Flags of `fills`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct FillsArgs {
    /// Only those in these instruments
    #[arg(value_name = "SYMBOL")]
    pub symbols: Vec<String>,
    /// Counts.
    #[command(flatten)]
    pub count: CountArgs,
    /// Looks.
    #[command(flatten)]
    pub look: LookArgs,
}

/// Flags of `equity`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct EquityArgs {
    /// Counts.
    #[command(flatten)]
    pub count: CountArgs,
    /// Looks.
    #[command(flatten)]
    pub look: LookArgs,
}

/// Flags of `why`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct WhyArgs {
    /// Of which strategies and on which instruments; without any of one kind, all of it
    #[arg(value_name = "STRATEGY|SYMBOL")]
    pub names: Vec<String>,
    /// Looks.
    #[command(flatten)]
    pub look: LookArgs,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|s| (0.1..=3600.0).contains(s));
    let wrong = || "expected seconds from 0.1 to 3600".to_owned();
    seconds.map(Duration::from_secs_f64).ok_or_else(wrong)
}

impl LookArgs {
    /// How a table looks on this process's stdout.
    pub fn look(&self) -> Look {
        let terminal = std::io::stdout().is_terminal();
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = match self.color {
            ColorArg::Auto => terminal && !set("NO_COLOR") && !dumb,
            ColorArg::Always => true,
            ColorArg::Never => false,
        };
        let size = rustix::termios::tcgetwinsize(std::io::stdout());
        let columns = size.map_or(0, |size| usize::from(size.ws_col));
        Look {
            color,
            width: (terminal && columns > 0).then_some(columns),
        }
    }
}

impl ShowCommand {
    /// How it looks, and where the daemon is.
    pub fn look(&self) -> &LookArgs {
        match self {
            Self::Ticker(args) => &args.look,
            Self::Book(args) => &args.look,
            Self::Klines(args) => &args.look,
            Self::Trades(args) => &args.look,
            Self::Orders(args) => &args.look,
            Self::Order(args) => &args.look,
            Self::Positions(args) => &args.look,
            Self::Fills(args) => &args.look,
            Self::Equity(args) => &args.look,
            Self::Why(args) => &args.look,
            Self::Symbols(args)
            | Self::Account(args)
            | Self::Strategies(args)
            | Self::Feeds(args)
            | Self::Status(args)
            | Self::Health(args) => &args.look,
        }
    }

    /// The requests, and how their answers are shown.
    pub fn show(&self) -> Show {
        let (asks, view) = self.asks();
        let (count, watch) = match self {
            Self::Ticker(args) => (None, args.watch.watch),
            Self::Book(args) => (None, args.watch.watch),
            Self::Orders(args) => (Some(args.count.count()), args.watch.watch),
            Self::Positions(args) => (Some(Count::AtMost(ALL_MAX)), args.watch.watch),
            Self::Trades(args) => (Some(args.count.count()), None),
            Self::Fills(args) => (Some(args.count.count()), None),
            Self::Equity(args) => (Some(args.count.count()), None),
            Self::Symbols(_) => (Some(Count::AtMost(ALL_MAX)), None),
            Self::Klines(_)
            | Self::Order(_)
            | Self::Account(_)
            | Self::Strategies(_)
            | Self::Why(_)
            | Self::Feeds(_)
            | Self::Status(_)
            | Self::Health(_) => (None, None),
        };
        let names = match self {
            Self::Why(args) => args.names.clone(),
            _ => Vec::new(),
        };
        Show {
            asks,
            names,
            view,
            count,
            watch,
        }
    }

    fn asks(&self) -> (Vec<Ask>, View) {
        let one = |path: &str| vec![get(path)];
        match self {
            Self::Ticker(args) => (of_each("/api/v1/ticker/", &args.symbols), View::Ticker),
            Self::Book(args) => {
                let asks = of_each("/api/v1/orderbook/", &args.symbols).into_iter();
                let depth = args.depth.to_string();
                (
                    asks.map(|ask| ask.with("depth", &depth)).collect(),
                    View::Book,
                )
            }
            Self::Klines(args) => {
                let limit = args.limit.to_string();
                let asks = of_each("/api/v1/klines/", &args.symbols).into_iter();
                let asks = asks.map(|ask| optional(ask, "interval", args.interval.as_deref()));
                (
                    asks.map(|ask| ask.with("limit", &limit)).collect(),
                    View::Klines,
                )
            }
            Self::Trades(args) => (of_each("/api/v1/trades/", &args.symbols), View::Trades),
            Self::Symbols(_) => (one("/api/v1/symbols"), View::Symbols),
            Self::Orders(args) => {
                let status = if args.open {
                    Some("open")
                } else {
                    args.status.as_deref()
                };
                let asks = filtered("/api/v1/orders", &args.symbols).into_iter();
                (
                    asks.map(|ask| optional(ask, "status", status)).collect(),
                    View::Orders,
                )
            }
            Self::Order(args) => {
                let ids = args.orders.iter();
                (
                    ids.map(|id| get(&format!("/api/v1/orders/{id}"))).collect(),
                    View::Order,
                )
            }
            Self::Positions(args) => (
                filtered("/api/v1/positions", &args.symbols),
                View::Positions,
            ),
            Self::Account(_) => (one("/api/v1/account"), View::Account),
            Self::Fills(args) => (filtered("/api/v1/fills", &args.symbols), View::Fills),
            Self::Equity(_) => (one("/api/v1/equity"), View::Equity),
            Self::Strategies(_) => (one("/api/v1/strategies"), View::Strategies),
            Self::Why(_) => (Vec::new(), View::Why),
            Self::Feeds(_) => (one("/api/v1/feeds"), View::Feeds),
            Self::Status(_) => (one("/api/v1/status"), View::Status),
            Self::Health(_) => (one("/readyz"), View::Health),
        }
    }
}

/// `hean indicators SYMBOL…`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct IndicatorWish<'a> {
    pub(super) symbols: &'a [String],
    pub(super) interval: Option<&'a str>,
    pub(super) kind: Option<&'a str>,
    pub(super) params: &'a [String],
    pub(super) limit: Option<u32>,
}

impl IndicatorWish<'_> {
    pub(super) fn show(&self) -> Show {
        let params = Some(self.params.join(":")).filter(|params| !params.is_empty());
        let limit = self.limit.map(|limit| limit.to_string());
        let asks = of_each("/api/v1/indicators/", self.symbols)
            .into_iter()
            .map(|ask| {
                let ask = optional(ask, "interval", self.interval);
                let ask = optional(ask, "type", self.kind);
                let ask = optional(ask, "params", params.as_deref());
                optional(ask, "limit", limit.as_deref())
            });
        Show {
            asks: asks.collect(),
            names: Vec::new(),
            view: View::Indicators,
            count: None,
            watch: None,
        }
    }
}

fn get(path: &str) -> Ask {
    Ask::plain("GET", path)
}

fn optional(ask: Ask, name: &str, value: Option<&str>) -> Ask {
    match value {
        Some(value) => ask.with(name, &encoded(value)),
        None => ask,
    }
}

/// A path for each symbol.
fn of_each(path: &str, symbols: &[String]) -> Vec<Ask> {
    let symbols = symbols.iter();
    symbols
        .map(|symbol| get(&format!("{path}{}", encoded(symbol))))
        .collect()
}

/// A list, whole or for each symbol.
fn filtered(path: &str, symbols: &[String]) -> Vec<Ask> {
    if symbols.is_empty() {
        return vec![get(path)];
    }
    let symbols = symbols.iter();
    symbols
        .map(|symbol| get(path).with("symbol", &encoded(symbol)))
        .collect()
}
