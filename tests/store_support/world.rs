//! A journal that orders come and go in, and the task that projects it.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fred::bytes_utils::Str;
use fred::types::Resolve;
use hean::journal::{self, JournalConfig, JournalHandle, Opened, SyncPolicy, Tail};
use hean::kernel::event::{FeeAsset, Fill, Record, ReportKind, Seq, Sequenced, VenueReport};
use hean::kernel::orders::{
    Link, OrderId, OrderSpec, OrderType, Origin, PositionSide, Size, StrategyId, TimeInForce,
    VenueOrderId,
};
use hean::kernel::types::{
    Instrument, InstrumentId, InstrumentName, Money, Price, Qty, Rate, Scale, Side, Time, VenueId,
};
use hean::runtime::clock::Clock;
use hean::status::{JournalStatus, StoreStatus};
use hean::store::{self, StoreConfig, StoreError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Few, so that orders are forgotten.
pub(crate) const ORDERS_KEPT: usize = 50;

/// A journal and what is in it.
pub(crate) struct World {
    pub(crate) records: Vec<Sequenced>,
    journal: JournalHandle,
    status: Arc<JournalStatus>,
    config: JournalConfig,
    _dir: tempfile::TempDir,
}

/// A running projection.
pub(crate) struct Task {
    pub(crate) status: Arc<StoreStatus>,
    shutdown: watch::Sender<bool>,
    handle: JoinHandle<Result<(), StoreError>>,
}

/// Knows one name.
pub(crate) struct OneName;

impl Resolve for OneName {
    fn resolve<'a, 'b>(
        &'a self,
        host: Str,
        port: u16,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>, fred::error::Error>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            // Nodes of a cluster name each other by address.
            assert!(matches!(&*host, "store.test" | "127.0.0.1"), "{host}");
            Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))])
        })
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::at(tempfile::tempdir().expect("directory"))
    }

    /// One that keeps no more than it must: its oldest segments go as soon as snapshots cover them.
    pub(crate) fn short() -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let mut config = Self::config(&dir);
        config.segment_bytes = 1 << 14;
        config.snapshot_every = 500;
        config.disk_quota = 1;
        config.reserve_bytes = 0;
        let (opened, _) = journal::recover(&config, ORDERS_KEPT).expect("journal");
        Self::of(dir, config, opened)
    }

    /// Appends records until a snapshot was made.
    pub(crate) fn append_to_a_snapshot(&mut self) {
        let made = |world: &Self| world.status.snapshots.load(Ordering::Relaxed);
        let before = made(self);
        self.append(600);
        while made(self) == before {
            std::thread::yield_now();
        }
    }

    /// The oldest record that the journal holds.
    pub(crate) fn oldest(&self) -> Seq {
        Tail::oldest(&self.config.journal_dir()).expect("a journal")
    }

    /// A new journal of a known installation.
    pub(crate) fn with_installation(id: &str) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        std::fs::write(dir.path().join("installation"), id).expect("written");
        Self::at(dir)
    }

    fn config(dir: &tempfile::TempDir) -> JournalConfig {
        JournalConfig {
            segment_bytes: 1 << 16,
            sync: SyncPolicy::Os,
            ..JournalConfig::new(dir.path())
        }
    }

    fn at(dir: tempfile::TempDir) -> Self {
        let config = Self::config(&dir);
        let opened = journal::open(&config, &mut |_| Ok(())).expect("journal");
        Self::of(dir, config, opened)
    }

    fn of(dir: tempfile::TempDir, config: JournalConfig, opened: Opened) -> Self {
        let status = Arc::new(JournalStatus::default());
        let journal = opened
            .journal
            .start(Arc::clone(&status), Arc::default())
            .expect("thread");
        Self {
            status,
            records: Vec::new(),
            journal,
            config,
            _dir: dir,
        }
    }

    /// The same records, to go on in the journal that another directory has adopted.
    pub(crate) fn moved(self, dir: tempfile::TempDir) -> Self {
        let records = self.records.clone();
        let config = JournalConfig {
            data_dir: dir.path().to_owned(),
            ..self.config.clone()
        };
        drop(self);
        let (opened, _) = journal::recover(&config, ORDERS_KEPT).expect("journal");
        Self {
            records,
            ..Self::of(dir, config, opened)
        }
    }

    pub(crate) fn installation(&self) -> String {
        let path: &Path = &self.config.data_dir;
        std::fs::read_to_string(path.join("installation")).expect("installation")
    }

    /// The last record.
    pub(crate) fn last(&self) -> Seq {
        Seq(self.records.len() as u64)
    }

    /// Appends `count` records of orders that come and go.
    pub(crate) fn append(&mut self, count: u64) {
        let first = self.last().0 + 1;
        self.append_records((first..first + count).map(record).collect());
    }

    pub(crate) fn append_records(&mut self, records: Vec<Sequenced>) {
        for batch in records.chunks(9) {
            let mut batch = batch.to_vec();
            while let Err(back) = self.journal.append(batch) {
                batch = back;
                std::thread::yield_now();
            }
        }
        self.records.extend(records);
        let wanted = self.last();
        let mut durable = self.journal.durable();
        // On a thread of its own: the caller may be in a runtime.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                tokio::runtime::Builder::new_current_thread()
                    .build()
                    .expect("runtime")
                    .block_on(durable.wait_for(|seq| *seq >= wanted))
                    .map(|_| ())
                    .expect("journal");
            });
        });
    }

    pub(crate) fn project(&self, config: StoreConfig) -> Task {
        let status = Arc::new(StoreStatus::default());
        let (shutdown, shut) = watch::channel(false);
        let handle = tokio::spawn(store::run(
            config,
            self.config.journal_dir(),
            self.journal.durable(),
            Arc::clone(&status),
            Arc::new(OneName),
            Clock::start(),
            shut,
        ));
        Task {
            status,
            shutdown,
            handle,
        }
    }

    /// Returns when everything is in the store; it is to be so 30 seconds after the store is back, which it is now.
    pub(crate) async fn caught_up(&self, task: &Task) {
        tokio::time::timeout(Duration::from_secs(30), self.applied(task))
            .await
            .expect("the store is behind 30 s after it is back");
    }

    /// Returns when everything is in the store.
    pub(crate) async fn applied(&self, task: &Task) {
        task.applied_at_least(self.last()).await;
    }
}

/// Small batches, short pauses.
pub(crate) fn settings(url: &str) -> StoreConfig {
    StoreConfig {
        orders_kept: ORDERS_KEPT,
        batch_records_max: 200,
        hash_every: 1,
        stream_max: None,
        command_timeout: Duration::from_secs(2),
        retry_max: Duration::from_millis(100),
        idle_check: Duration::from_millis(50),
        gone_after: Duration::from_millis(1_500),
        drain: Duration::from_secs(3),
        ..StoreConfig::new(url)
    }
}

impl Task {
    pub(crate) async fn applied_at_least(&self, seq: Seq) {
        self.until("applied", || self.status.applied() >= seq).await;
    }

    pub(crate) async fn down(&self) {
        self.until("down", || !self.status.up.load(Ordering::Relaxed))
            .await;
    }

    pub(crate) async fn retried(&self, times: u64) {
        let retries = || self.status.retries.load(Ordering::Relaxed);
        self.until("retries", || retries() >= times).await;
    }

    /// The status has no bell: look until it is so.
    async fn until(&self, what: &str, reached: impl Fn() -> bool) {
        let mut again = tokio::time::interval(Duration::from_millis(2));
        let look = async {
            while !reached() {
                assert!(!self.handle.is_finished(), "the task ended before {what}");
                again.tick().await;
            }
        };
        let status = &self.status;
        tokio::time::timeout(Duration::from_mins(1), look)
            .await
            .unwrap_or_else(|_| panic!("waited too long for {what}: {status:?}"));
    }

    /// Shuts down.
    pub(crate) async fn finish(self) -> Result<(), StoreError> {
        self.shutdown.send_replace(true);
        self.result().await
    }

    /// Waits for the end.
    pub(crate) async fn result(self) -> Result<(), StoreError> {
        tokio::time::timeout(Duration::from_mins(1), self.handle)
            .await
            .expect("the task did not end")
            .expect("the task panicked")
    }
}

fn instrument(symbol: &str, price: u8, qty: u8) -> Instrument {
    Instrument {
        maker_fee: Rate(0),
        ..Instrument::unlimited(
            InstrumentName {
                venue: VenueId::Sim,
                symbol: symbol.to_owned(),
            },
            &symbol[..3],
            "USDT",
            (
                Scale::new(price).expect("scale"),
                Scale::new(qty).expect("scale"),
            ),
        )
    }
}

/// Records 1 to 5 set the scene; then every ten tell the story of two orders that differ.
fn record(seq: u64) -> Sequenced {
    let record = match seq {
        1 => Record::RunStarted {
            run_id: 1,
            version: "0".to_owned(),
        },
        2 | 3 => {
            let (symbol, price, qty) = [("BTCUSDT", 2, 5), ("ETHUSDT", 2, 4)][seq as usize - 2];
            Record::InstrumentDefined {
                id: InstrumentId(seq as u16 - 2),
                instrument: Box::new(instrument(symbol, price, qty)),
            }
        }
        4 => Record::Transfer {
            asset: "USDT".to_owned(),
            amount: Money::parse("100000").expect("amount"),
            value: Money::parse("100000").expect("amount"),
        },
        5 => Record::StrategyDefined {
            id: StrategyId(0),
            name: "grid".to_owned(),
        },
        _ => story(seq - 6),
    };
    Sequenced {
        seq: Seq(seq),
        time: Time(1_700_000_000_000_000_000 + seq as i64 * 1_000_000),
        record,
    }
}

fn story(at: u64) -> Record {
    let (base, step) = (at / 10 * 10 + 6, at % 10);
    let (first, second) = (OrderId(base), OrderId(base + 1));
    let turn = at / 10;
    let report = |order, kind| {
        Record::Report(VenueReport {
            order,
            time: Time(1),
            kind,
        })
    };
    let fill = |trade_id, qty| {
        ReportKind::Fill(Fill {
            trade_id,
            price: Price(6_000_000 + (turn % 1_000) as i64 * 7),
            qty: Qty(qty),
            fee: Money(12_345_678_901),
            paid_in: FeeAsset::Quote,
            maker: turn.is_multiple_of(2),
        })
    };
    match step {
        0 | 1 => Record::Intent {
            order: spec(turn, step).into(),
            qty: Qty(300),
            hold: Price(6_000_000),
        },
        2 => report(
            first,
            ReportKind::Acked {
                venue_order_id: VenueOrderId(u128::from(base)),
            },
        ),
        3 => report(first, fill(2 * turn, 100)),
        4 => report(second, fill(2 * turn + 1, 300)),
        5 => Record::CancelRequested(first),
        6 if turn.is_multiple_of(7) => report(
            first,
            ReportKind::CancelRejected {
                reason: "\"too late\"\n\u{1F980}".to_owned(),
            },
        ),
        6 => report(
            first,
            ReportKind::Cancelled {
                reason: "asked for".to_owned(),
            },
        ),
        7 => Record::Equity {
            equity: Money((100_000 + i128::from(turn % 13)) * 10_i128.pow(16)),
            zone_minutes: 0,
        },
        8 => Record::Strategy {
            name: "grid".to_owned(),
            run: turn.is_multiple_of(2),
        },
        // What the venue says twice.
        _ => report(first, fill(2 * turn, 100)),
    }
}

fn spec(turn: u64, step: u64) -> OrderSpec {
    OrderSpec {
        instrument: InstrumentId((turn % 2) as u16),
        side: if (turn + step).is_multiple_of(3) {
            Side::Sell
        } else {
            Side::Buy
        },
        kind: if step == 0 {
            OrderType::Limit {
                price: Price(6_000_000),
            }
        } else {
            OrderType::Market
        },
        size: if step == 0 {
            Size::Base(Qty(300))
        } else {
            Size::Quote(Money::parse("180.5").expect("amount"))
        },
        time_in_force: TimeInForce::Gtc,
        position_side: PositionSide::Both,
        post_only: false,
        reduce_only: false,
        origin: if step == 0 {
            Origin::Strategy(StrategyId(0))
        } else {
            Origin::Operator
        },
        link: Link::None,
        client_order_id: None,
    }
}
