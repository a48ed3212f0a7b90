//! The daemon: builds every part from the settings, connects them, and ends them in order.
//!
//! Start-up is recovery: lock, journal, ledger, then venues, then the kernel thread. The end runs the
//! other way: no new requests, no new market data, the kernel's last record on disk, the store caught
//! up as far as its time allows.

pub(crate) mod parts;
mod reload;
mod systemd;

use std::future::Future;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::config::{DataDir, Loaded, Settings, Sources};
use crate::engine::Engine;
use crate::http::{self, Access, AccessError, AppState, Build};
use crate::journal::{self, JournalError};
use crate::kernel::event::{CommandKind, Effects};
use crate::kernel::ledger::LedgerError;
use crate::kernel::snapshot::Published;
use crate::kernel::strategies::StrategyError;
use crate::kernel::{Kernel, Start};
use crate::metrics;
use crate::record;
use crate::recording::RecordError;
use crate::recording::Recorder;
use crate::runtime::clock::{Clock, wall};
use crate::runtime::hangup::Hangups;
use crate::runtime::kernel_thread::{self, Wiring};
use crate::runtime::mailbox::{KernelHandle, TaskQueue, kernel_queues};
use crate::runtime::observe::observe;
use crate::runtime::order_feed::OrderFeed;
use crate::runtime::supervise::{End, Supervisor};
use crate::setup::{self, SetupError};
use crate::status::{JournalStatus, KernelStatus, ReloadStatus, StoreStatus};
use crate::store::{self, StoreError};
use crate::venue::budget::Budgets;
use crate::venue::endpoints::EndpointError;
use crate::venue::feed::{self, FeedWiring};
use crate::venue::load::LoadError;
use crate::venue::sim::{self, SimError};
use crate::venue::tls::TlsError;
use reload::Reload;

/// Notices that may wait for the observer; beyond it they are lost, which nothing depends on.
const NOTICES: usize = 4_096;
/// Snapshot requests that may wait for a feed, for each instrument.
const RESYNCS_EACH: usize = 4;
/// How soon the kill switch tries again when the queue of commands is full.
const HALT_RETRY: Duration = Duration::from_millis(5);
/// How long requests and sessions may take to end.
pub(in crate::daemon) const FRONT_DRAIN: Duration = Duration::from_millis(1_500);
/// How long the kernel and the journal may take.
const KERNEL_DRAIN: Duration = Duration::from_millis(1_500);
/// How long the store may take to catch up; the journal has everything in any case.
pub(in crate::daemon) const BACK_DRAIN: Duration = Duration::from_millis(1_500);

/// The daemon cannot start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Configuration.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Configuration of a strategy.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// Venue addresses.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A venue did not answer, or does not know an instrument.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The demo's venue.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What is in the journal.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store's settings.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The recorder.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The metrics registry.
    #[error("cannot set up metrics: {0}")]
    Metrics(String),
    /// Tokens or TLS of the API.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The system.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// A part ended that should not have.
    #[error("{task} ended unexpectedly: {why}")]
    TaskEnded {
        /// Which.
        task: &'static str,
        /// What it said.
        why: String,
    },
    /// Something could not be finished in time at the end.
    #[error("not everything ended in order: {0}")]
    Drain(String),
}

pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> DaemonError {
    move |error| DaemonError::Io {
        what: what.into(),
        error,
    }
}

/// Runs until a signal, or until a part fails.
pub async fn run(loaded: Loaded, sources: Sources) -> Result<(), DaemonError> {
    let Loaded { settings, file, .. } = loaded;
    // First of all: handles taken before there is a recorder record nothing.
    let prometheus = metrics::install().map_err(|e| DaemonError::Metrics(e.to_string()))?;
    let clock = Clock::start();
    let data = DataDirectory::prepare(&settings.journal.dir);
    // Before anything else: without a handler the signal would end the process.
    let halts = signal(SignalKind::user_defined1()).map_err(io("cannot listen to SIGUSR1"))?;
    let mut hangups = Hangups::listen().map_err(io("cannot listen to SIGHUP"))?;
    let mut front = Supervisor::default();
    let mut back = Supervisor::default();

    let http_config = parts::http(&settings, &data.path);
    let access = Access::prepare(&http_config, settings.run.mode, &clock)?;
    let access = Arc::new(access);

    // The demo brings its own venue.
    let demo = if settings.run.demo {
        let config = parts::demo_venue(&settings);
        let venue = sim::start(config, clock.clone(), front.stopping()).await?;
        let address = venue.local_addr;
        front.spawn("simulated venue", venue.task);
        Some(address)
    } else {
        None
    };

    // Recovery.
    let kernel_config = setup::kernel_config(&settings, Vec::new())?;
    let strategies = kernel_config.strategies.clone();
    let journal_config = parts::journal(&settings, &data.path);
    let net = parts::net()?;
    parts::take_over(&settings, &journal_config, &net, &clock).await?;
    let (opened, ledger) = journal::recover(&journal_config, settings.kernel.orders_kept)?;
    let journal_status = Arc::new(JournalStatus::default());
    let recovery = parts::recovery(&opened, &ledger, clock.now());
    parts::tell_recovery(&recovery);
    journal_status.recovery.get_or_init(|| recovery);

    // Raw frames are kept from the first one on.
    let (recorder, recording) = parts::recorder(&settings)?.unzip();

    // What the venues say of the instruments.
    let budgets = Budgets::default();
    let mut venues = Vec::new();
    let mut instruments = Vec::new();
    for venue in &settings.run.exchanges {
        let shared = (&net, &budgets, recorder.as_ref());
        let part = parts::Venue::load(*venue, &settings, demo, shared, &clock).await?;
        instruments.extend(part.instruments.iter().cloned());
        venues.push(part);
    }

    // The engine.
    let kernel = Kernel::new(kernel_config, ledger)?;
    let mut engine = Engine::new(kernel, setup::paper(&settings), true);
    engine.kernel_mut().tell_orders();
    let mut first = Effects::new();
    let start = Start {
        time: clock.now(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instruments,
        cash: (settings.paper.currency.clone(), settings.paper.cash),
    };
    let active = engine.start(start, &mut first)?;
    let missing = journal::missing(&data.path)?;
    if let Some(missing) = missing {
        engine.kernel_mut().distrust(missing, &mut first);
    }
    let told = engine.kernel().ledger().seq();
    let all = engine.kernel().ledger().instruments().to_vec();
    let published = Published::new(all.clone(), &settings.run.intervals).with_active(&active);
    let published = Arc::new(published);
    let mut ids = active.into_iter();

    // Queues and threads.
    let (handle, inbox) = kernel_queues(settings.kernel.capacities, all.len());
    let store_status = settings
        .store
        .url
        .as_ref()
        .map(|_| Arc::new(StoreStatus::default()));
    let installation = opened.journal.installation();
    let journal = opened.journal.start_with_store(
        Arc::clone(&journal_status),
        handle.bell(),
        store_status.clone(),
    )?;
    let durable = journal.durable();
    if missing.is_some() {
        front.spawn(
            "mark of a store's state",
            parts::tell_missing(data.path.clone(), durable.clone(), told, front.stopping()),
        );
    }
    let kernel_status = Arc::new(KernelStatus::default());
    let notices = TaskQueue::new(NOTICES);
    let orders = Arc::new(OrderFeed::default());
    let mut resync = vec![None; all.len()];
    let mut feeds = Vec::new();
    for venue in venues {
        let count = venue.instruments.len();
        let queue = TaskQueue::new(count.saturating_mul(RESYNCS_EACH).max(1));
        let named: Vec<_> = ids.by_ref().take(count).zip(venue.instruments).collect();
        for (id, _) in &named {
            if let Some(slot) = resync.get_mut(id.index()) {
                *slot = Some(Arc::clone(&queue));
            }
        }
        if let Some(recorder) = recorder.clone() {
            let ids = named.iter().map(|(id, _)| *id).collect();
            let wishes =
                record::keep_readable(recorder, venue.status.venue, ids, Arc::clone(&queue));
            front.spawn("recorder", until(front.stopping(), wishes));
        }
        feeds.push(Arc::clone(&venue.status));
        let config = venue.feed;
        let wiring = FeedWiring {
            kernel: handle.clone(),
            resync: queue,
            changes: TaskQueue::new(count.max(1)),
            status: venue.status,
            clock: clock.clone(),
        };
        let mut config = config;
        let views = Arc::clone(&published);
        config.exposed = Arc::new(move |id| views.is_exposed(id));
        let feed = feed::run(config, named, wiring, front.stopping());
        front.spawn("market-data feed", feed);
    }
    let stop = front.stopping();
    front.spawn(
        "observer",
        until(
            stop,
            observe(
                Arc::clone(&notices),
                Arc::clone(&published),
                Arc::clone(&orders),
            ),
        ),
    );
    let stop = front.stopping();
    front.spawn("clock", until(stop, discipline(clock.clone())));
    let stop = front.stopping();
    front.spawn("metrics", until(stop, metrics::upkeep(prometheus.clone())));

    // The store follows the journal.
    let store_stop = watch::Sender::new(false);
    if let (Some(config), Some(status)) = (parts::store(&settings, &net), &store_status) {
        let resolver = Arc::new(net.resolver().clone());
        let market = store::publish_market(
            config.clone(),
            Arc::clone(&published),
            settings.kernel.candles_kept,
            Arc::clone(&resolver) as _,
            front.stopping(),
        );
        front.spawn("prices for the store", market);
        let (status, clock, stop) = (Arc::clone(status), clock.clone(), store_stop.subscribe());
        let dir = journal_config.journal_dir();
        back.spawn(
            "store",
            store::run(config, dir, durable, status, resolver, clock, stop),
        );
    }

    // The API.
    let reload_status = Arc::new(ReloadStatus::default());
    let state = Arc::new(AppState {
        published: Arc::clone(&published),
        kernel: handle.clone(),
        kernel_status: Arc::clone(&kernel_status),
        feeds,
        journal: Arc::clone(&journal_status),
        durable: journal.durable(),
        orders,
        store: store_status,
        recorder: recorder.as_ref().map(Recorder::status),
        mode: settings.run.mode,
        venues: settings.run.exchanges.clone(),
        intervals: settings.run.intervals.clone(),
        clock: clock.clone(),
        started: wall(),
        build: Build::THIS,
        prometheus,
        indicator: parts::indicator,
        limits: settings.risk.limits.clone(),
        halt_flattens: settings.risk.halt_flattens,
        reload: Arc::clone(&reload_status),
    });
    let listen = http_config.listen;
    let server = http::bind(http_config, Arc::clone(&access), state)
        .await
        .map_err(io(format!("cannot listen on {listen}")))?;
    let stop = front.stopping();
    if let Some(writer) = access.audit_writer() {
        front.spawn("audit log", writer.run());
    }
    front.spawn("access", until(stop, access.upkeep(hangups.part())));
    announce(&server, &settings, &data);
    let mut stop = front.stopping();
    let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
    front.spawn("HTTP server", async move {
        server.serve(stopped).await;
        Ok::<(), String>(())
    });

    // The kernel.
    let trace = parts::trace(
        &settings,
        installation,
        &published,
        &net,
        &clock,
        &mut front,
    )?;
    let wiring = Wiring {
        inbox,
        journal: Some(journal),
        journal_status,
        published,
        resync,
        notices,
        status: Arc::clone(&kernel_status),
        clock: clock.clone(),
        trace,
        spin_ns: i64::try_from(settings.kernel.spin.as_nanos()).unwrap_or(i64::MAX),
    };
    let thread = kernel_thread::spawn(engine, first, wiring)
        .map_err(io("cannot start the kernel thread"))?;
    let stop = front.stopping();
    let switch = halt_on_signal(halts, handle.clone(), settings.risk.halt_flattens);
    front.spawn("kill switch", until(stop, switch));
    let reload = Reload {
        sources,
        settings: settings.clone(),
        file,
        applied: strategies,
        kernel: handle.clone(),
        status: reload_status,
    };
    let stop = front.stopping();
    front.spawn("reload", until(stop, reload::run(reload, hangups.part())));
    let stop = front.stopping();
    let renewals = hangups.run(systemd::reloading, systemd::ready);
    front.spawn("SIGHUP", until(stop, renewals));
    let stop = front.stopping();
    front.spawn(
        "watchdog",
        until(stop, systemd::watchdog(kernel_status, clock)),
    );
    systemd::ready();

    let end = tokio::select! {
        end = front.watch() => end,
        end = back.watch() => end,
    }
    .map_err(io("cannot listen to signals"))?;
    systemd::stopping();
    tracing::info!(reason = ?end, "draining");
    let mut failed = front.drain(FRONT_DRAIN).await;
    handle.close();
    failed.extend(parts::end_recorder(recording).await);
    let joined = tokio::task::spawn_blocking(move || thread.join());
    match tokio::time::timeout(KERNEL_DRAIN, joined).await {
        Ok(Ok(Ok(engine))) => {
            let seq = engine.kernel().ledger().seq().0;
            tracing::info!(seq, "the journal is complete");
        }
        Ok(_) => failed.push("the kernel thread failed".to_owned()),
        Err(_) => failed.push("the kernel thread did not end in time".to_owned()),
    }
    store_stop.send_replace(true);
    // Not a failure: the journal has everything, and the next start brings the store up to date.
    for why in back.drain(BACK_DRAIN).await {
        tracing::warn!(
            why,
            "the store is left behind; it catches up at the next start"
        );
    }
    match end {
        End::Asked(_) if failed.is_empty() => Ok(()),
        End::Asked(_) => Err(DaemonError::Drain(failed.join("; "))),
        End::TaskEnded { task, why } => Err(DaemonError::TaskEnded { task, why }),
    }
}

/// Keeps the process's clock near the machine's.
async fn discipline(clock: Clock) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        clock.discipline();
    }
}

/// SIGUSR1 is the kill switch of those who have no other way in. It is not lost in a full queue.
async fn halt_on_signal(mut halts: Signal, kernel: KernelHandle, flatten: bool) {
    while halts.recv().await.is_some() {
        tracing::warn!(flatten, "SIGUSR1: the kill switch");
        let wish = || CommandKind::Halt {
            flatten,
            by: "SIGUSR1".to_owned(),
        };
        let outcome = loop {
            match kernel.command(wish()) {
                Ok(outcome) => break outcome,
                Err(_) => tokio::time::sleep(HALT_RETRY).await,
            }
        };
        // Without an answer the process is on its way down.
        drop(outcome.await);
    }
}

/// Runs a future that has no end of its own until the process stops.
pub(crate) async fn until(
    mut stop: watch::Receiver<bool>,
    endless: impl Future<Output = ()>,
) -> Result<(), &'static str> {
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => Ok(()),
        () = endless => Err("it came to an end"),
    }
}

/// Tells on stdout where the daemon is: the one line that scripts wait for.
fn announce(server: &http::Server, settings: &Settings, data: &DataDirectory) {
    let (scheme, address) = (server.scheme(), server.local_addr());
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "listening on {scheme}://{address}").and_then(|()| out.flush()));
    systemd::status(&format!(
        "{} on {scheme}://{address}",
        settings.run.mode.name()
    ));
    let symbols: Vec<_> = settings
        .run
        .symbols
        .iter()
        .map(ToString::to_string)
        .collect();
    tracing::info!(
        mode = settings.run.mode.name(),
        symbols = symbols.join(","),
        data_dir = %data.path.display(),
        "hean {} is up: curl {scheme}://{address}/api/v1/status",
        env!("CARGO_PKG_VERSION")
    );
}

/// Where the state lies.
struct DataDirectory {
    path: PathBuf,
    temporary: bool,
}

impl DataDirectory {
    fn prepare(dir: &DataDir) -> Self {
        let (path, temporary) = match dir {
            DataDir::Path(path) => (path.clone(), false),
            DataDir::Auto | DataDir::Temporary => {
                let name = format!("hean-demo-{}-{}", std::process::id(), wall().0);
                (std::env::temp_dir().join(name), true)
            }
        };
        Self { path, temporary }
    }
}

/// Nothing of a demo is left behind, however it ends.
impl Drop for DataDirectory {
    fn drop(&mut self) {
        if self.temporary
            && self.path.exists()
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the demo's data");
        }
    }
}

impl DaemonError {
    /// Whether a venue could not be reached, as opposed to any other failure.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Load(LoadError::Call { .. }) | Self::Store(StoreError::Unreachable { .. })
        )
    }

    /// Whether the configuration is at fault.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Setup(_)
                | Self::Strategy(_)
                | Self::Access(_)
                | Self::Endpoint(_)
                | Self::Load(LoadError::Unknown { .. })
        )
    }
}
