//! `hean record`: the feeds and the recorder, without orders, journal and API.
//!
//! The kernel runs as it does in the daemon, because it is the one who notices gaps and asks for
//! snapshots, which a recording needs to be readable behind them.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Settings;
use crate::daemon::{DaemonError, io, parts, until};
use crate::engine::Engine;
use crate::kernel::event::Effects;
use crate::kernel::ledger::Ledger;
use crate::kernel::snapshot::Published;
use crate::kernel::types::{InstrumentId, VenueId};
use crate::kernel::{Kernel, Start};
use crate::recording::Recorder;
use crate::runtime::clock::Clock;
use crate::runtime::kernel_thread::{self, Wiring};
use crate::runtime::mailbox::{TaskQueue, kernel_queues};
use crate::runtime::supervise::{End, Supervisor};
use crate::setup;
use crate::status::{JournalStatus, KernelStatus, RecorderStatus};
use crate::venue::budget::Budgets;
use crate::venue::feed::{self, FeedWiring};
use crate::venue::sim::paper::PaperConfig;

/// How often the recorder is asked whether it wants snapshots.
const WISHES: Duration = Duration::from_secs(1);
/// How long sessions may take to end.
const DRAIN: Duration = Duration::from_secs(2);

/// Records what `settings` name to `record.dir`, until a signal or for `duration`.
pub async fn run(
    settings: Settings,
    duration: Option<Duration>,
) -> Result<Arc<RecorderStatus>, DaemonError> {
    let clock = Clock::start();
    let mut front = Supervisor::default();
    let Some((recorder, thread)) = parts::recorder(&settings)? else {
        let why = "record.dir is empty: name a directory by --dir".to_owned();
        return Err(DaemonError::Drain(why));
    };
    let net = parts::net()?;
    let budgets = Budgets::default();
    let mut venues = Vec::new();
    let mut instruments = Vec::new();
    for venue in &settings.run.exchanges {
        let shared = (&net, &budgets, Some(&recorder));
        let part = parts::Venue::load(*venue, &settings, None, shared, &clock).await?;
        instruments.extend(part.instruments.iter().cloned());
        venues.push(part);
    }

    let kernel_config = setup::kernel_config(&settings, Vec::new())?;
    let kernel = Kernel::new(kernel_config, Ledger::new(settings.kernel.orders_kept))?;
    let mut engine = Engine::new(kernel, PaperConfig::default(), true);
    let mut first = Effects::new();
    let start = Start {
        time: clock.now(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instruments,
        cash: (settings.paper.currency.clone(), settings.paper.cash),
    };
    let mut ids = engine.start(start, &mut first)?.into_iter();
    let all = engine.kernel().ledger().instruments().to_vec();
    let (handle, inbox) = kernel_queues(settings.kernel.capacities, all.len());
    let mut resync = vec![None; all.len()];
    for venue in venues {
        let count = venue.instruments.len();
        let queue = TaskQueue::new(count.saturating_mul(4).max(1));
        let named: Vec<_> = ids.by_ref().take(count).zip(venue.instruments).collect();
        for (id, _) in &named {
            if let Some(slot) = resync.get_mut(id.index()) {
                *slot = Some(Arc::clone(&queue));
            }
        }
        let of_venue = named.iter().map(|(id, _)| *id).collect();
        let id = venue.status.venue;
        let wishes = keep_readable(recorder.clone(), id, of_venue, Arc::clone(&queue));
        front.spawn("recorder", until(front.stopping(), wishes));
        let wiring = FeedWiring {
            kernel: handle.clone(),
            resync: queue,
            changes: TaskQueue::new(1), // nobody asks for changes
            status: venue.status,
            clock: clock.clone(),
        };
        let feed = feed::run(venue.feed, named, wiring, front.stopping());
        front.spawn("market-data feed", feed);
    }
    let wiring = Wiring {
        inbox,
        journal: None,
        journal_status: Arc::new(JournalStatus::default()),
        published: Arc::new(Published::new(all, &settings.run.intervals)),
        resync,
        notices: TaskQueue::new(1), // nobody reads them
        status: Arc::new(KernelStatus::default()),
        clock: clock.clone(),
        trace: None,
        spin_ns: 0,
    };
    let kernel = kernel_thread::spawn(engine, first, wiring)
        .map_err(io("cannot start the kernel thread"))?;

    let end = tokio::select! {
        end = front.watch() => end.map_err(io("cannot listen to signals"))?,
        () = elapsed(duration) => End::Asked("its time is over"),
    };
    tracing::info!(reason = ?end, "the recording ends");
    let mut failed = front.drain(DRAIN).await;
    handle.close();
    failed.extend(parts::end_recorder(Some(thread)).await);
    let joined = tokio::task::spawn_blocking(move || kernel.join());
    if tokio::time::timeout(DRAIN, joined).await.is_err() {
        failed.push("the kernel thread did not end in time".to_owned());
    }
    match end {
        End::Asked(_) if failed.is_empty() => Ok(recorder.status()),
        End::Asked(_) => Err(DaemonError::Drain(failed.join("; "))),
        End::TaskEnded { task, why } => Err(DaemonError::TaskEnded { task, why }),
    }
}

/// Asks a feed for snapshots whenever the recorder wants them, so that the recording can be read
/// from each of its files on, and behind holes. Has no end of its own.
pub async fn keep_readable(
    recorder: Recorder,
    venue: VenueId,
    instruments: Vec<InstrumentId>,
    snapshots: Arc<TaskQueue<InstrumentId>>,
) {
    let mut every = tokio::time::interval(WISHES);
    loop {
        every.tick().await;
        if recorder.take_snapshot_wish(venue) {
            // Full means that the feed has been asked for as many already.
            let asked = instruments.iter().map_while(|id| snapshots.offer(*id).ok());
            tracing::debug!(%venue, asked = asked.count(), "the recorder wants snapshots");
        }
    }
}

async fn elapsed(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
