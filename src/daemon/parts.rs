//! From settings to each part's own configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::{BACK_DRAIN, DaemonError, FRONT_DRAIN, Settings};
use crate::config::{DataDir, SyncPolicy, VenueSettings};
use crate::http::{HttpConfig, IndicatorSeries};
use crate::journal::{self, InstallationId, JournalConfig, JournalError, Opened};
use crate::kernel::event::Seq;
use crate::kernel::indicators::{Bar, Spec};
use crate::kernel::ledger::Ledger;
use crate::kernel::market::CandleLog;
use crate::kernel::orders::OrderState;
use crate::kernel::snapshot::Published;
use crate::kernel::types::{Instrument, Time, VenueId};
use crate::recording::{Recorder, RecorderConfig, RecorderThread};
use crate::runtime::clock::{Clock, wall};
use crate::runtime::supervise::Supervisor;
use crate::setup;
use crate::status::{FeedStatus, RecoveryStatus};
use crate::store::{StoreConfig, restore};
use crate::trace::{self, ExportConfig, Probe, Sampler};
use crate::venue::access::Access;
use crate::venue::budget::Budgets;
use crate::venue::dns::Resolver;
use crate::venue::endpoints::{EndpointError, Endpoints, UrlOverride};
use crate::venue::feed::FeedConfig;
use crate::venue::load::load_instruments;
use crate::venue::net::Net;
use crate::venue::sim::{SimConfig, Source};
use crate::venue::tls;

/// A venue that is to be read.
pub(crate) struct Venue {
    pub(crate) feed: FeedConfig,
    pub(crate) instruments: Vec<Instrument>,
    pub(crate) status: Arc<FeedStatus>,
}

impl Venue {
    /// Asks the venue for the configured instruments.
    pub(crate) async fn load(
        venue: VenueId,
        settings: &Settings,
        demo: Option<SocketAddr>,
        (net, budgets, recorder): (&Net, &Budgets, Option<&Recorder>),
        clock: &Clock,
    ) -> Result<Self, DaemonError> {
        let urls = settings.venue(venue);
        let endpoints = Endpoints::new(venue, &overrides(venue, &urls, demo)?)?;
        let access = Access::new(endpoints, net.clone(), clock.clone(), budgets);
        let named = settings
            .run
            .symbols
            .iter()
            .filter(|name| name.venue == venue);
        let symbols: Vec<String> = named.map(|name| name.symbol.clone()).collect();
        let instruments = load_instruments(&access, &symbols).await?;
        let instruments = instruments
            .into_iter()
            .map(|i| setup::with_fees(i, settings))
            .collect();
        let mut feed = FeedConfig::new(access, settings.run.intervals.clone());
        feed.snapshot_levels = urls.snapshot_limit;
        feed.recorder = recorder.cloned();
        Ok(Self {
            feed,
            instruments,
            status: Arc::new(FeedStatus::new(venue)),
        })
    }
}

/// The recorder and its thread, if raw frames are to be kept.
pub(crate) fn recorder(
    settings: &Settings,
) -> Result<Option<(Recorder, RecorderThread)>, DaemonError> {
    let Some(dir) = &settings.record.dir else {
        return Ok(None);
    };
    let mut config = RecorderConfig::new(dir);
    config.max_bytes = settings.record.max_bytes;
    config.rotate_bytes = settings.record.rotate_bytes;
    config.rotate_interval = settings.record.rotate_interval;
    Ok(Some(Recorder::start(&config)?))
}

/// Writes what the recorder has; says so if a disk hangs.
pub(crate) async fn end_recorder(thread: Option<RecorderThread>) -> Option<String> {
    let closed = tokio::task::spawn_blocking(move || drop(thread));
    match tokio::time::timeout(FRONT_DRAIN, closed).await {
        Ok(_) => None,
        Err(_) => Some("the recorder did not end in time".to_owned()),
    }
}

/// The configured addresses. Without any the venue's own ones stay, with their fall-backs.
fn overrides(
    venue: VenueId,
    urls: &VenueSettings,
    demo: Option<SocketAddr>,
) -> Result<Vec<UrlOverride>, EndpointError> {
    let own = demo.map(|address| format!("{venue}=http://{address}"));
    let rest = urls.rest.as_ref().map(|url| format!("{venue}.rest={url}"));
    let ws = urls.ws.as_ref().map(|url| format!("{venue}.ws={url}"));
    rest.into_iter()
        .chain(ws)
        .chain(own)
        .map(|text| text.parse())
        .collect()
}

pub(crate) fn net() -> Result<Net, DaemonError> {
    Ok(Net::new(Resolver::from_system(), tls::client_config(None)?))
}

pub(crate) fn demo_venue(settings: &Settings) -> SimConfig {
    let symbols = settings.run.symbols.iter();
    SimConfig::new(Source::Synthetic {
        seed: settings.run.seed,
        symbols: symbols.map(|name| name.symbol.clone()).collect(),
        speed: 1.0,
        rate: 1.0,
    })
}

pub(crate) fn journal(settings: &Settings, data_dir: &Path) -> JournalConfig {
    let mut config = JournalConfig::new(data_dir);
    config.segment_bytes = settings.journal.segment_bytes;
    config.queue = settings.journal.queue;
    config.sync = match settings.journal.sync {
        SyncPolicy::Always => journal::SyncPolicy::Always,
        SyncPolicy::Interval => journal::SyncPolicy::Interval(settings.journal.interval),
        SyncPolicy::Os => journal::SyncPolicy::Os,
    };
    config.snapshot_every = settings.journal.snapshot_every;
    config.disk_quota = settings.journal.disk_quota;
    if settings.journal.dir == DataDir::Temporary {
        // Nothing of a demo is worth a reserve.
        config.reserve_bytes = 0;
    }
    config
}

/// Without a journal, but with a store that holds the state of a lost one: goes on from there.
pub(crate) async fn take_over(
    settings: &Settings,
    journal_config: &JournalConfig,
    net: &Net,
    clock: &Clock,
) -> Result<(), DaemonError> {
    let Some(config) = store(settings, net).filter(|_| !settings.run.demo) else {
        return Ok(());
    };
    if !journal::is_new(&journal_config.data_dir)? {
        return Ok(());
    }
    let resolver = Arc::new(net.resolver().clone());
    let Some(found) = restore(&config, resolver).await? else {
        return Ok(());
    };
    let seq = found.ledger.seq().0;
    match found.missing {
        None => tracing::warn!(
            seq,
            "this data directory is new: going on from the store, which is complete"
        ),
        Some(missing) => tracing::error!(
            seq,
            missing,
            "this data directory is new: going on from the store, which lacks {missing} records for certain and \
             perhaps more behind record {seq}; orders may only reduce until you have compared orders and positions \
             with the venue's: then hean resume"
        ),
    }
    journal::adopt(
        journal_config,
        found.installation,
        &found.ledger,
        found.missing,
        clock.now(),
    )?;
    Ok(())
}

/// Removes the mark that records may be missing once the journal itself says so, up to `told`.
pub(crate) async fn tell_missing(
    data_dir: PathBuf,
    mut durable: watch::Receiver<Seq>,
    told: Seq,
    mut stop: watch::Receiver<bool>,
) -> Result<(), JournalError> {
    let in_time = tokio::select! {
        told = durable.wait_for(|through| *through >= told) => told.is_ok(),
        _ = stop.wait_for(|stop| *stop) => false,
    };
    if in_time {
        journal::missing_is_told(&data_dir)?;
    }
    drop(stop.wait_for(|stop| *stop).await);
    Ok(())
}

/// What the start has found in the journal.
pub(crate) fn recovery(opened: &Opened, ledger: &Ledger, now: Time) -> RecoveryStatus {
    let report = opened.recovered;
    let unknown = |state: OrderState| {
        // Whether an intent was sent nobody knows after a restart.
        matches!(
            state,
            OrderState::Unknown | OrderState::Intent | OrderState::Sent
        )
    };
    let orders = ledger.orders();
    let positions = ledger.holdings().flat_map(|(_, _, held)| held.positions());
    RecoveryStatus {
        snapshot: report.snapshot,
        records: report.records,
        segments: report.segments,
        cut_bytes: report.cut_bytes,
        quarantined: report.quarantined,
        seq: ledger.seq(),
        open_orders: orders.open_len(),
        unknown_orders: orders.open().filter(|o| unknown(o.state)).count(),
        positions: positions.filter(|p| p.qty != 0).count(),
        risk_mode: ledger.risk().mode(now),
        elapsed_ns: report.elapsed_ns,
    }
}

/// The same, for the log.
pub(crate) fn tell_recovery(found: &RecoveryStatus) {
    tracing::info!(
        seq = found.seq.0,
        snapshot = found.snapshot.map(|seq| seq.0),
        records = found.records,
        segments = found.segments,
        cut_bytes = found.cut_bytes,
        quarantined = found.quarantined,
        open_orders = found.open_orders,
        unknown_orders = found.unknown_orders,
        positions = found.positions,
        risk = found.risk_mode.name(),
        took_ms = found.elapsed_ns / 1_000_000,
        "recovered from the journal"
    );
}

pub(crate) fn store(settings: &Settings, net: &Net) -> Option<StoreConfig> {
    let url = settings.store.url.as_ref()?;
    let mut config = StoreConfig::new(url.expose());
    config.prefix.clone_from(&settings.store.prefix);
    if settings.run.demo {
        // Each demo is an installation of its own, and leaves real state alone.
        config.prefix = format!("{}-demo-{}", config.prefix, wall().millis());
    }
    config.batch_records_max = settings.store.batch_max;
    config.command_timeout = settings.store.timeout;
    config.orders_kept = settings.kernel.orders_kept;
    config.drain = BACK_DRAIN / 2;
    config.tls = url.is_tls().then(|| net.tls());
    Some(config)
}

/// The kernel thread's end of tracing, and the task behind it, if orders are traced.
pub(crate) fn trace(
    settings: &Settings,
    installation: InstallationId,
    published: &Arc<Published>,
    net: &Net,
    clock: &Clock,
    front: &mut Supervisor,
) -> Result<Option<Probe>, DaemonError> {
    let Some(endpoint) = &settings.trace.endpoint else {
        return Ok(None);
    };
    let config = ExportConfig {
        endpoint: endpoint.parse().map_err(EndpointError::from)?,
        sampler: Sampler::new(installation, settings.trace.sample),
        published: Arc::clone(published),
        net: net.clone(),
        clock: clock.clone(),
        instance: installation.to_string(),
    };
    let (probe, marks) = trace::ends(config.sampler);
    front.spawn("traces", trace::run(config, marks, front.stopping()));
    Ok(Some(probe))
}

pub(crate) fn http(settings: &Settings, data_dir: &Path) -> HttpConfig {
    let mut config = settings.http.clone();
    config.data_dir = Some(data_dir.to_owned());
    // Well within what the daemon gives all of its front.
    config.drain_timeout = config.drain_timeout.min(FRONT_DRAIN / 2);
    config
}

/// Any indicator over published candles, for the API.
pub(crate) fn indicator(
    text: &str,
    candles: &CandleLog,
    instrument: &Instrument,
) -> Result<IndicatorSeries, String> {
    let spec = Spec::parse(text).map_err(|error| error.to_string())?;
    let rows = spec.batch(candles.iter().map(|candle| Bar::new(candle, instrument)));
    Ok(IndicatorSeries {
        name: spec.to_string(),
        outputs: spec.row().outputs,
        rows,
    })
}
