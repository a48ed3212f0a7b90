//! What the parts of the daemon say of themselves: atomics that their owner writes and that health
//! checks, `/api/v1/status` and metrics read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;

use crate::kernel::event::Seq;
use crate::kernel::risk::RiskMode;
use crate::kernel::types::{Time, VenueId};
use crate::venue::feed::streams::Feeding;

/// How the daemon trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Market data only; every order is refused.
    Observe,
    /// Orders are matched against live data in this process.
    Paper,
}

impl Mode {
    /// The name users write.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Paper => "paper",
        }
    }
}

/// A moment that one thread writes and others read; zero is "never".
#[derive(Debug, Default)]
pub struct Moment(AtomicI64);

impl Moment {
    /// Sets it.
    pub fn set(&self, time: Time) {
        self.0.store(time.0, Ordering::Relaxed);
    }

    /// The moment, if there was one.
    pub fn get(&self) -> Option<Time> {
        Some(Time(self.0.load(Ordering::Relaxed))).filter(|t| *t != Time::ZERO)
    }
}

/// Why strategies could not be loaded anew: the old version goes on.
#[derive(Debug, Default)]
pub struct ReloadStatus(ArcSwap<BTreeMap<String, String>>);

impl ReloadStatus {
    /// The error of a strategy, by its name.
    pub fn errors(&self) -> Arc<BTreeMap<String, String>> {
        self.0.load_full()
    }

    /// All at once.
    pub fn set(&self, errors: BTreeMap<String, String>) {
        self.0.store(Arc::new(errors));
    }

    /// A strategy could not be loaded. One task writes.
    pub fn fail(&self, strategy: &str, why: &str) {
        let mut errors = BTreeMap::clone(&self.errors());
        errors.insert(strategy.to_owned(), why.to_owned());
        self.set(errors);
    }

    /// A strategy is as its files say.
    pub fn forget(&self, strategy: &str) {
        let mut errors = BTreeMap::clone(&self.errors());
        if errors.remove(strategy).is_some() {
            self.set(errors);
        }
    }
}

/// A venue's market-data session.
#[derive(Debug)]
pub struct FeedStatus {
    /// Which venue.
    pub venue: VenueId,
    /// Whether the socket is open and subscribed.
    pub connected: AtomicBool,
    /// Frames received.
    pub messages: AtomicU64,
    /// Frames that could not be decoded.
    pub decode_errors: AtomicU64,
    /// Connections after the first.
    pub reconnects: AtomicU64,
    /// When the last frame came.
    pub last_message: Moment,
    /// REST weight used, in parts per million of the venue's limit.
    pub weight_used_ppm: AtomicU64,
    /// The most of a window's weight that was ever used, likewise.
    pub weight_peak_ppm: AtomicU64,
    /// Whether the main hosts refused us and substitutes are in use.
    pub substitute: AtomicBool,
    /// Connections replaced before the venue ended them.
    pub replaced: AtomicU64,
    /// Streams found standing still although the market moved on.
    pub stalls: AtomicU64,
    /// Streams subscribed to anew.
    pub healed: AtomicU64,
    /// How far the venue's clock is before ours, in nanoseconds, by its answer to the last call that
    /// asked for it; `i64::MIN` before the first.
    pub clock_offset_ns: AtomicI64,
    /// How far each stream has come.
    pub streams: OnceLock<Arc<[Feeding]>>,
}

impl FeedStatus {
    /// Of a session that has not connected yet.
    pub fn new(venue: VenueId) -> Self {
        Self {
            venue,
            connected: AtomicBool::new(false),
            messages: AtomicU64::new(0),
            decode_errors: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            last_message: Moment::default(),
            weight_used_ppm: AtomicU64::new(0),
            weight_peak_ppm: AtomicU64::new(0),
            substitute: AtomicBool::new(false),
            replaced: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
            healed: AtomicU64::new(0),
            clock_offset_ns: AtomicI64::new(i64::MIN),
            streams: OnceLock::new(),
        }
    }

    /// How far the venue's clock is before ours, in nanoseconds, if it was asked.
    pub fn clock_offset(&self) -> Option<i64> {
        Some(self.clock_offset_ns.load(Ordering::Relaxed)).filter(|offset| *offset != i64::MIN)
    }
}

/// The journal.
#[derive(Debug, Default)]
pub struct JournalStatus {
    durable: AtomicU64,
    full: AtomicBool,
    /// Bytes written since the start.
    pub bytes: AtomicU64,
    /// Batches written since the start.
    pub batches: AtomicU64,
    /// Last record in the newest snapshot; 0 without one.
    pub snapshot: AtomicU64,
    /// Snapshots written since the start.
    pub snapshots: AtomicU64,
    /// Snapshots that could not be written since the start.
    pub snapshot_errors: AtomicU64,
    /// Bytes that the segments take on the disk, as last looked at.
    pub disk_bytes: AtomicU64,
    /// Segments on the disk, as last looked at.
    pub segments: AtomicU64,
    /// First record on the disk, as last looked at.
    pub oldest: AtomicU64,
    /// Whether the segments take more than their quota because the store lacks the oldest.
    pub over_quota: AtomicBool,
    /// What the start has found.
    pub recovery: OnceLock<RecoveryStatus>,
}

/// What the start has found in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryStatus {
    /// Last record of the snapshot that was used, if one was.
    pub snapshot: Option<Seq>,
    /// Records applied behind it.
    pub records: u64,
    /// Segments read.
    pub segments: u64,
    /// Bytes of a torn end that were cut.
    pub cut_bytes: u64,
    /// Records passed over because they are under quarantine.
    pub quarantined: u64,
    /// Last record.
    pub seq: Seq,
    /// Orders that can still change.
    pub open_orders: usize,
    /// Those of them of which nobody knows what became of them.
    pub unknown_orders: usize,
    /// Positions that are not flat.
    pub positions: usize,
    /// What may pass.
    pub risk_mode: RiskMode,
    /// How long it took, in nanoseconds.
    pub elapsed_ns: i64,
}

impl JournalStatus {
    /// Last durable sequence.
    pub fn durable(&self) -> Seq {
        Seq(self.durable.load(Ordering::Acquire))
    }

    /// Moves the watermark; the journal thread alone does.
    pub fn set_durable(&self, seq: Seq) {
        self.durable.store(seq.0, Ordering::Release);
    }

    /// Whether the journal's disk is full.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Says whether the journal's disk is full; what was said before.
    pub fn set_full(&self, full: bool) -> bool {
        self.full.swap(full, Ordering::AcqRel)
    }
}

/// The projection into KeyDB.
#[derive(Debug, Default)]
pub struct StoreStatus {
    /// Whether the last exchange with the server succeeded.
    pub up: AtomicBool,
    /// Last sequence known applied there.
    applied: AtomicU64,
    /// Batches that failed and are tried again.
    pub retries: AtomicU64,
}

impl StoreStatus {
    /// Last sequence known applied in the store.
    pub fn applied(&self) -> Seq {
        Seq(self.applied.load(Ordering::Acquire))
    }

    /// Moves the watermark; the store task alone does.
    pub fn set_applied(&self, seq: Seq) {
        self.applied.store(seq.0, Ordering::Release);
    }
}

/// The kernel thread.
#[derive(Debug, Default)]
pub struct KernelStatus {
    /// When its loop last went round.
    pub heartbeat: Moment,
    /// Inputs stepped.
    pub steps: AtomicU64,
}

/// The recorder of raw frames.
#[derive(Debug, Default)]
pub struct RecorderStatus {
    /// Whether the disk takes what comes.
    pub recording: AtomicBool,
    /// Frames written.
    pub frames: AtomicU64,
    /// Bytes of lines written, before compression.
    pub bytes_raw: AtomicU64,
    /// Bytes written to files.
    pub bytes_written: AtomicU64,
    /// Frames lost because the queue was full or the disk failed.
    pub dropped: AtomicU64,
    /// Files begun since the start.
    pub files: AtomicU64,
    /// Old files deleted since the start.
    pub files_deleted: AtomicU64,
    /// Writes that failed.
    pub errors: AtomicU64,
    /// When the last write failed.
    pub last_error: Moment,
}
