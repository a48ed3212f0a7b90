//! The thread that looks after the journal from the side: snapshots, old segments, room on the disk.
//!
//! It shares nothing with the kernel and journal threads but atomics. A snapshot is made by reading the
//! journal: the last snapshot and what follows it, up to the durable watermark, into a ledger that lives as
//! long as that takes. Failures are told and tried again; none of them ends the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::disk::Disk;
use super::error::JournalError;
use super::follower::Follower;
use super::recover::panic_text;
use super::retention::{self, Limits};
use super::snapshot;
use super::space::Space;
use crate::kernel::event::Seq;
use crate::kernel::types::Time;
use crate::runtime::clock::wall;
use crate::runtime::mailbox::Bell;
use crate::status::{JournalStatus, StoreStatus};

/// How often it looks.
const PERIOD: Duration = Duration::from_millis(250);

/// What it needs to know.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) space: Arc<Space>,
    pub(crate) status: Arc<JournalStatus>,
    pub(crate) store: Option<Arc<StoreStatus>>,
    /// A snapshot is due after so many records.
    pub(crate) snapshot_every: u64,
    pub(crate) orders_kept: usize,
    /// Bytes that all segments may take together.
    pub(crate) quota: u64,
}

/// The running thread. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct KeeperThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    closing: AtomicBool,
    bell: Bell,
}

/// A snapshot that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Made {
    /// Its last record.
    pub(crate) seq: Seq,
    /// That of the one it was made from; 0: of the whole journal.
    pub(crate) older: Seq,
    pub(crate) bytes: u64,
}

/// Makes a snapshot of everything up to `durable`; `None` if the newest one knows all that, or if it was
/// stopped.
pub(crate) fn pass(
    disk: &Arc<dyn Disk>,
    durable: Seq,
    orders_kept: usize,
    taken: Time,
    stop: &AtomicBool,
) -> Result<Option<Made>, JournalError> {
    let mut follower = Follower::open_on(disk, orders_kept, Seq(u64::MAX))?;
    while let Some(records) = follower.read(durable)? {
        for record in &records {
            follower
                .apply(record)
                .map_err(|source| JournalError::Apply {
                    file: disk.path(follower.tail().segment()),
                    offset: 0,
                    seq: record.seq.0,
                    source,
                })?;
        }
        follower.take_changes();
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
    }
    let older = follower.base().seq;
    if follower.seq() <= older {
        return Ok(None);
    }
    // What the snapshot knows must not be lost without it: if records count as durable before they are synced,
    // this is where they are. (A segment is synced before the next one is begun.)
    let segment = follower.tail().segment();
    let path = disk.path(segment);
    disk.open(segment)
        .and_then(|mut file| file.sync())
        .map_err(JournalError::io("sync", &path))?;
    let chain = follower.tail().base().chain;
    let installation = follower.installation();
    let name = snapshot::snapshot_name(follower.seq());
    let bytes = snapshot::write(disk.as_ref(), installation, follower.ledger(), chain, taken)
        .map_err(JournalError::io("write", &disk.path(&name)))?;
    snapshot::prune(disk.as_ref(), follower.seq(), older).map_err(JournalError::io(
        "remove an old snapshot in",
        &disk.path(""),
    ))?;
    Ok(Some(Made {
        seq: follower.seq(),
        older,
        bytes,
    }))
}

impl KeeperThread {
    /// Starts the thread.
    pub(crate) fn start(keeper: Keeper) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new()
            .name("hean-keeper".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || keeper.run(&shared)
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }
}

impl Drop for KeeperThread {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.bell.ring();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that looks after the journal panicked");
        }
    }
}

impl Keeper {
    fn run(self, shared: &Shared) {
        shared.bell.adopt();
        let closing = || shared.closing.load(Ordering::Acquire);
        let mut newest = None;
        let mut failed_at = None;
        let mut was_full = false;
        while !closing() {
            self.space.tend();
            let full = self.space.is_full();
            let durable = self.status.durable();
            let last = self.status.snapshot.load(Ordering::Relaxed);
            let since = durable.0.saturating_sub(last.max(failed_at.unwrap_or(0)));
            // A full disk cannot wait for the next snapshot, which may let old segments go.
            if since >= self.snapshot_every || (full && !was_full && since > 0) {
                match self.keep(durable, &shared.closing) {
                    Ok(Some(made)) => (newest, failed_at) = (Some(made), None),
                    Ok(None) => {}
                    // Not again before so many records as for a snapshot.
                    Err(error) => failed_at = Some(self.failed(&error, durable)),
                }
            } else if full
                && !was_full
                && let Some(made) = newest
                && let Err(error) = self.trim(made)
            {
                self.failed(&error.to_string(), durable);
            }
            was_full = full;
            shared.bell.wait(PERIOD, closing);
        }
    }

    fn failed(&self, error: &str, durable: Seq) -> u64 {
        self.status.snapshot_errors.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            error,
            "no snapshot was made, or old segments could not be deleted; the journal keeps everything"
        );
        durable.0
    }

    /// Makes a snapshot, and deletes what it makes needless.
    fn keep(&self, durable: Seq, stop: &AtomicBool) -> Result<Option<Made>, String> {
        let disk = self.space.disk();
        let made = catch_unwind(AssertUnwindSafe(|| {
            pass(disk, durable, self.orders_kept, wall(), stop)
        }));
        let made = made
            .map_err(|panic| format!("a record panicked: {}", panic_text(panic.as_ref())))?
            .map_err(|error| error.to_string())?;
        if let Some(made) = made {
            self.status.snapshot.store(made.seq.0, Ordering::Relaxed);
            self.trim(made).map_err(|error| error.to_string())?;
            tracing::info!(
                seq = made.seq.0,
                bytes = made.bytes,
                "snapshot of the ledger written"
            );
            self.status.snapshots.fetch_add(1, Ordering::Relaxed);
        }
        Ok(made)
    }

    /// Deletes old segments.
    fn trim(&self, made: Made) -> std::io::Result<()> {
        let status = &self.status;
        let kept = retention::trim(
            self.space.disk().as_ref(),
            Limits {
                quota: self.quota,
                covered: made.older,
                stored: self.store.as_ref().map(|store| store.applied()),
                everything: self.space.is_full(),
            },
        )?;
        status.segments.store(kept.segments, Ordering::Relaxed);
        status.disk_bytes.store(kept.bytes, Ordering::Relaxed);
        status.oldest.store(kept.oldest.0, Ordering::Relaxed);
        status.over_quota.store(kept.store_lags, Ordering::Relaxed);
        if kept.removed > 0 {
            tracing::info!(
                removed = kept.removed,
                segments = kept.segments,
                oldest = kept.oldest.0,
                "old segments of the journal deleted"
            );
        }
        if kept.store_lags {
            tracing::error!(
                journal_bytes = kept.bytes,
                quota = self.quota,
                oldest = kept.oldest.0,
                "the journal takes more than its quota, and cannot shrink: the store lacks its oldest \
                 records; bring the store back, or raise journal.disk_quota"
            );
        }
        if kept.store_lost {
            tracing::error!(
                oldest = kept.oldest.0,
                "the disk is full: segments were deleted that the store lacks; it will be written anew from \
                 a snapshot, its stream begins later"
            );
        }
        Ok(())
    }
}
