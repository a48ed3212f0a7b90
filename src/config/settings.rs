//! The typed settings and their defaults. `config/hean.toml` shows the same defaults; a test holds
//! the two together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::url::StoreUrl;
use crate::http::HttpConfig;
use crate::kernel::portfolio::PositionMode;
use crate::kernel::risk::RiskLimits;
use crate::kernel::types::{InstrumentName, Interval, MILLISECOND, Money, Rate, VenueId};
use crate::runtime::mailbox::Capacities;
use crate::status::Mode;
use crate::venue::sim::paper::PaperConfig;
use crate::venue::sim::paper::latency::Latency;

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What to run.
    pub run: RunSettings,
    /// The HTTP server.
    pub http: HttpConfig,
    /// The paper account.
    pub paper: PaperSettings,
    /// Limits for every order, and what stops new risk.
    pub risk: RiskSettings,
    /// Orders on their way.
    pub orders: OrderSettings,
    /// The journal and the data directory.
    pub journal: JournalSettings,
    /// The projection into KeyDB.
    pub store: StoreSettings,
    /// The recorder of raw frames.
    pub record: RecordSettings,
    /// Sizes inside the kernel and its queues.
    pub kernel: KernelSettings,
    /// Where the venues are. Has every venue.
    pub venues: BTreeMap<VenueId, VenueSettings>,
    /// Parameters of strategies: strategy, parameter, decimal or other text as written.
    pub strategies: BTreeMap<String, BTreeMap<String, String>>,
    /// Logs.
    pub log: LogSettings,
    /// Traces.
    pub trace: TraceSettings,
}

/// `[run]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSettings {
    /// How to trade.
    pub mode: Mode,
    /// Venues to connect to, not empty; the first one is meant by a bare symbol.
    pub exchanges: Vec<VenueId>,
    /// Instruments, not empty.
    pub symbols: Vec<InstrumentName>,
    /// Candle intervals, not empty.
    pub intervals: Vec<Interval>,
    /// Strategies that trade from the start.
    pub strategies: Vec<String>,
    /// Start the simulated venue on loopback and trade on it.
    pub demo: bool,
    /// Seed of the simulated market.
    pub seed: u64,
}

/// `[paper]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaperSettings {
    /// Money at the first start.
    pub cash: Money,
    /// Asset of the money.
    pub currency: String,
    /// Fee of an order that rests; negative is a rebate.
    pub maker_fee: Rate,
    /// Fee of an order that takes.
    pub taker_fee: Rate,
    /// How positions in derivatives are held. Fixed with the first start on a data directory.
    pub position_mode: PositionMode,
    /// How the paper venue behaves.
    pub venue: PaperConfig,
}

/// `[risk]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RiskSettings {
    /// Limits for every order.
    pub limits: RiskLimits,
    /// Minutes that the account's day begins before UTC's.
    pub zone_minutes: i16,
    /// Whether the kill switch closes positions too, unless it is told otherwise.
    pub halt_flattens: bool,
}

/// `[orders]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderSettings {
    /// How long an order may go without an answer before its state counts as unknown.
    pub answer_timeout: Duration,
}

/// `[journal]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSettings {
    /// Where everything lies that survives a restart.
    pub dir: DataDir,
    /// When a record counts as durable.
    pub sync: SyncPolicy,
    /// Longest time without a sync under [`SyncPolicy::Interval`].
    pub interval: Duration,
    /// Size of a segment, in bytes.
    pub segment_bytes: u64,
    /// Batches of records that may wait for the disk.
    pub queue: usize,
    /// Records between two snapshots.
    pub snapshot_every: u64,
    /// All segments together, in bytes.
    pub disk_quota: u64,
}

/// The data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataDir {
    /// This one.
    Path(PathBuf),
    /// `$STATE_DIRECTORY`, else `$XDG_STATE_HOME/hean`, else `~/.local/state/hean`.
    /// Loaded settings never say this: loading resolves it.
    Auto,
    /// A fresh temporary directory, removed at exit.
    Temporary,
}

/// When a record counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// After `fdatasync`, for every batch.
    Always,
    /// After the write; `fdatasync` follows at an interval.
    Interval,
    /// After the write; the operating system decides.
    Os,
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// KeyDB, or `None`: the journal alone.
    pub url: Option<StoreUrl>,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Most records in one batch.
    pub batch_max: usize,
    /// First part of every key.
    pub prefix: String,
}

/// `[record]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSettings {
    /// Where raw frames are kept, or `None`: nowhere.
    pub dir: Option<PathBuf>,
    /// All files together, in bytes.
    pub max_bytes: u64,
    /// Where a file ends, in bytes.
    pub rotate_bytes: u64,
    /// When a file ends.
    pub rotate_interval: Duration,
}

/// `[kernel]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSettings {
    /// Capacities of its queues.
    pub capacities: Capacities,
    /// How long to look for work before the thread sleeps.
    pub spin: Duration,
    /// Closed candles kept, for each instrument and interval.
    pub candles_kept: usize,
    /// Ended orders kept.
    pub orders_kept: usize,
    /// Levels a side that a book keeps.
    pub book_levels_max: usize,
}

/// `[venues.<name>]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VenueSettings {
    /// Base URL of REST, without a trailing slash; `None` is the venue's own, with its fall-backs.
    pub rest: Option<String>,
    /// Base URL of WebSocket streams, likewise.
    pub ws: Option<String>,
    /// Levels a side in a requested order-book snapshot.
    pub snapshot_limit: u16,
}

/// `[trace]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSettings {
    /// Base address of an OTLP/HTTP collector; without one nothing is traced.
    pub endpoint: Option<String>,
    /// The share of orders that are traced.
    pub sample: Rate,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// A level, or `target=level` pairs, separated by commas.
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
    /// Pretty with colour on a terminal, plain otherwise.
    Auto,
}

impl Settings {
    /// Where `venue` is.
    pub fn venue(&self, venue: VenueId) -> VenueSettings {
        self.venues
            .get(&venue)
            .cloned()
            .unwrap_or_else(|| VenueSettings::of(venue))
    }

    /// The addresses that replace a venue's own, as `VENUE.rest=URL` and `VENUE.ws=URL`.
    pub fn base_urls(&self) -> Vec<String> {
        self.venues
            .iter()
            .flat_map(|(venue, of_venue)| {
                let row = |part, url: &Option<String>| {
                    url.as_ref().map(|url| format!("{venue}.{part}={url}"))
                };
                [row("rest", &of_venue.rest), row("ws", &of_venue.ws)]
            })
            .flatten()
            .collect()
    }

    /// The running strategies with their parameters.
    pub fn running_strategies(&self) -> Vec<(String, BTreeMap<String, String>)> {
        self.run
            .strategies
            .iter()
            .map(|name| {
                let params = self.strategies.get(name).cloned().unwrap_or_default();
                (name.clone(), params)
            })
            .collect()
    }
}

impl VenueSettings {
    /// The defaults of a venue.
    pub fn of(venue: VenueId) -> Self {
        let (rest, ws) = match venue {
            VenueId::Binance | VenueId::BinanceUsdm | VenueId::BybitSpot | VenueId::BybitLinear => {
                (None, None)
            }
            // Where `hean sim` listens unless told otherwise.
            VenueId::Sim => (Some("http://127.0.0.1:8090"), Some("ws://127.0.0.1:8090")),
        };
        Self {
            rest: rest.map(str::to_owned),
            ws: ws.map(str::to_owned),
            snapshot_limit: 1_000,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            run: RunSettings {
                mode: Mode::Paper,
                exchanges: vec![VenueId::Binance],
                symbols: ["BTCUSDT", "ETHUSDT"]
                    .map(|symbol| InstrumentName {
                        venue: VenueId::Binance,
                        symbol: symbol.to_owned(),
                    })
                    .to_vec(),
                intervals: vec![Interval::MINUTE],
                strategies: Vec::new(),
                demo: false,
                seed: 1,
            },
            http: HttpConfig::default(),
            paper: PaperSettings {
                cash: Money::whole(100_000),
                currency: "USDT".to_owned(),
                maker_fee: Rate(100_000), // 0.1 %, Binance spot without a discount
                taker_fee: Rate(100_000),
                position_mode: PositionMode::OneWay,
                venue: PaperConfig {
                    order_latency: Latency::Constant(5 * MILLISECOND),
                    ..PaperConfig::default()
                },
            },
            risk: RiskSettings {
                limits: RiskLimits::default(),
                zone_minutes: 0,
                halt_flattens: false,
            },
            orders: OrderSettings {
                answer_timeout: Duration::from_secs(10),
            },
            journal: JournalSettings {
                dir: DataDir::Auto,
                sync: SyncPolicy::Always,
                interval: Duration::from_millis(100),
                segment_bytes: 16 << 20,
                queue: 4_096,
                snapshot_every: 100_000,
                disk_quota: 10 << 30,
            },
            store: StoreSettings {
                url: None,
                timeout: Duration::from_secs(2),
                batch_max: 1_024,
                prefix: "hean".to_owned(),
            },
            record: RecordSettings {
                dir: None,
                max_bytes: 50 << 30,
                rotate_bytes: 256 << 20,
                rotate_interval: Duration::from_hours(1),
            },
            kernel: KernelSettings {
                capacities: Capacities::default(),
                spin: Duration::from_micros(10),
                candles_kept: 1_500,
                orders_kept: 10_000,
                book_levels_max: 5_000,
            },
            venues: VenueId::ALL
                .map(|venue| (venue, VenueSettings::of(venue)))
                .into(),
            strategies: BTreeMap::new(),
            log: LogSettings {
                level: "info".to_owned(),
                format: LogFormat::Auto,
            },
            trace: TraceSettings {
                endpoint: None,
                sample: Rate::ONE,
            },
        }
    }
}
