//! Writes recordings: frames go through a bounded queue to a thread of their own, which compresses
//! them in blocks and appends each block to the venue's file.
//!
//! ```text
//! readers ── frame() ── queue (64 MiB) ── thread ── block (1 MiB or 1 s) ── zstd frame ── file
//! ```
//!
//! Invariants: [`Recorder::frame`] never waits; what it cannot queue is counted, and a hole
//! (`hole.rs`) stands in the file where it would have been. A block is one whole zstd frame with a
//! checksum, so a file that was cut anywhere is readable up to its last whole block. No failure of
//! the disk ends anything but the recording: a block is kept and written to a fresh file later, and
//! meanwhile the queue fills.

mod disk;
mod output;
mod thread;

#[cfg(test)]
mod tests;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;

use self::disk::{Directory, Disk};
use self::output::{Limits, Output};
use super::LINE_BYTES_MAX;
use crate::journal::{DirLock, JournalError};
use crate::kernel::types::{Time, VenueId};
use crate::runtime::clock::Clock;
use crate::runtime::mailbox::Bell;
use crate::status::RecorderStatus;

/// Longest frame that fits a line with its time.
const FRAME_BYTES_MAX: usize = LINE_BYTES_MAX - 32;
/// What a queued frame costs beside its bytes.
const ENTRY_BYTES: usize = 64;
/// The thread looks by itself now and then; this much in the queue wakes it, or a quarter of what
/// the queue takes.
const WAKE_BYTES: usize = 256 << 10;
/// A share of the directory that one file may take: several are open, and something must be left to
/// delete.
const FILE_SHARE: u64 = 8;

/// How to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecorderConfig {
    /// The directory; each venue gets one below it.
    pub dir: PathBuf,
    /// All files together, in bytes: the oldest are deleted.
    pub max_bytes: u64,
    /// Where a file ends, in bytes; an eighth of `max_bytes` at most.
    pub rotate_bytes: u64,
    /// When a file ends.
    pub rotate_interval: Duration,
    /// With less than so many bytes free nothing is written.
    pub reserve_bytes: u64,
    /// Longest time that a frame waits before it is written.
    pub flush_interval: Duration,
    /// Bytes of lines that are compressed together.
    pub block_bytes: usize,
    /// Frames that may wait for the thread.
    pub queue_frames: usize,
    /// Bytes that may wait for the thread.
    pub queue_bytes: usize,
    /// First and last pause before a failed write is repeated.
    pub retry: (Duration, Duration),
}

impl RecorderConfig {
    /// The usual sizes.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            max_bytes: 50 << 30,
            rotate_bytes: 256 << 20,
            rotate_interval: Duration::from_hours(1),
            reserve_bytes: 1 << 30,
            flush_interval: Duration::from_secs(1),
            block_bytes: 1 << 20,
            queue_frames: 65_536,
            queue_bytes: 64 << 20,
            retry: (Duration::from_millis(100), Duration::from_secs(30)),
        }
    }
}

/// A recorder cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The directory cannot be used.
    #[error("cannot record to {}: {source}; check permissions and free space", dir.display())]
    Directory {
        /// Which one.
        dir: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Another process records there.
    #[error(
        "process {pid} records to {} already: stop it, or name another directory",
        dir.display()
    )]
    Locked {
        /// Which directory.
        dir: PathBuf,
        /// Its process id, as it wrote it.
        pid: String,
    },
    /// The compressor or the thread cannot be had.
    #[error("cannot start the recorder: {0}")]
    Start(io::Error),
}

/// Takes frames to record. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Shared>);

/// The recorder's thread. Dropping it writes what is queued and ends the thread.
#[derive(Debug)]
pub struct RecorderThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Between the callers and the thread.
#[derive(Debug)]
struct Shared {
    queue: ArrayQueue<Entry>,
    queue_bytes_max: usize,
    wake_bytes: usize,
    /// Cost of what is in the queue.
    queued: AtomicUsize,
    venues: [Venue; VenueId::ALL.len()],
    closing: AtomicBool,
    bell: Bell,
    status: Arc<RecorderStatus>,
}

/// What is remembered of a venue outside of the queue.
#[derive(Debug)]
struct Venue {
    id: VenueId,
    /// A hole has to be marked.
    holed: AtomicBool,
    /// Frames in it.
    lost: AtomicU64,
    /// Receive time of the newest of them.
    lost_at: AtomicI64,
    /// Who reads the recording from here on needs snapshots.
    wants_snapshots: AtomicBool,
}

#[derive(Debug)]
struct Entry {
    venue: VenueId,
    received: Time,
    what: What,
}

#[derive(Debug)]
enum What {
    Frame(Box<[u8]>),
    Hole(u64),
}

impl Entry {
    fn cost(&self) -> usize {
        match &self.what {
            What::Frame(bytes) => bytes.len().saturating_add(ENTRY_BYTES),
            What::Hole(_) => ENTRY_BYTES,
        }
    }
}

impl Recorder {
    /// Locks the directory and starts the thread.
    pub fn start(config: &RecorderConfig) -> Result<(Self, RecorderThread), RecordError> {
        let dir = &config.dir;
        let directory = |source| RecordError::Directory {
            dir: dir.clone(),
            source,
        };
        let disk = Directory::open(dir).map_err(directory)?;
        let lock = DirLock::take(dir).map_err(|error| match error {
            JournalError::Locked { dir, pid } => RecordError::Locked { dir, pid },
            JournalError::Io { source, .. } => directory(source),
            other => directory(io::Error::other(other)),
        })?;
        Self::start_on(Box::new(disk), config, Some(lock))
    }

    fn start_on(
        disk: Box<dyn Disk>,
        config: &RecorderConfig,
        lock: Option<DirLock>,
    ) -> Result<(Self, RecorderThread), RecordError> {
        let status = Arc::new(RecorderStatus::default());
        let limits = Limits {
            total: config.max_bytes,
            file: config.rotate_bytes.min(config.max_bytes / FILE_SHARE),
            age: nanos(config.rotate_interval),
            reserve: config.reserve_bytes,
        };
        let output = Output::new(disk, limits, Arc::clone(&status)).map_err(|source| {
            let dir = config.dir.clone();
            RecordError::Directory { dir, source }
        })?;
        let shared = Arc::new(Shared::new(config, status));
        let writer = thread::Writer::new(Arc::clone(&shared), output, config, Clock::start())
            .map_err(RecordError::Start)?;
        let thread = std::thread::Builder::new()
            .name("hean-recorder".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || {
                    shared.bell.adopt();
                    if catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
                        // Its state cannot be trusted; trading goes on, and what comes is counted.
                        shared.status.recording.store(false, Ordering::Relaxed);
                        shared.closing.store(true, Ordering::Release);
                        tracing::error!("the recorder's thread panicked; nothing more is recorded");
                    }
                    // Another process may come in now that nothing of ours is written any more.
                    drop(lock);
                }
            })
            .map_err(RecordError::Start)?;
        let thread = RecorderThread {
            shared: Arc::clone(&shared),
            thread: Some(thread),
        };
        Ok((Self(shared), thread))
    }

    /// Records a frame as it was received. Never waits: without room the frame is dropped, counted,
    /// and marked as a hole.
    pub fn frame(&self, venue: VenueId, received: Time, frame: &[u8]) {
        if frame.trim_ascii().is_empty() {
            return; // a line needs something behind its time
        }
        self.0.offer(venue, received, frame.len(), || frame.into());
    }

    /// Records a REST depth snapshot, which names no symbol, as one of the stream
    /// `<symbol>@depthSnapshot`.
    pub fn snapshot(&self, venue: VenueId, symbol: &str, received: Time, body: &[u8]) {
        let head = format!(
            "{{\"stream\":\"{}@depthSnapshot\",\"data\":",
            symbol.to_lowercase()
        );
        let size = head.len() + body.len() + 1;
        self.0.offer(venue, received, size, || {
            [head.as_bytes(), body, b"}"].concat().into()
        });
    }

    /// Marks that a connection was lost: nobody knows what the venue sent until the next one.
    pub fn gap(&self, venue: VenueId, received: Time) {
        self.0.mark(venue, received, 0);
    }

    /// Whether, since the last call, a hole or a new file has made fresh snapshots of this venue
    /// desirable: they make the recording readable from there on.
    pub fn take_snapshot_wish(&self, venue: VenueId) -> bool {
        let venue = self.0.venue(venue);
        venue.is_some_and(|venue| venue.wants_snapshots.swap(false, Ordering::Relaxed))
    }

    /// What it says of itself.
    pub fn status(&self) -> Arc<RecorderStatus> {
        Arc::clone(&self.0.status)
    }
}

impl RecorderThread {
    /// Writes what is queued, closes the files and ends the thread.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for RecorderThread {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.bell.ring();
        if let Some(thread) = self.thread.take() {
            // A panic there was caught and told.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn new(config: &RecorderConfig, status: Arc<RecorderStatus>) -> Self {
        Self {
            queue: ArrayQueue::new(config.queue_frames.max(1)),
            queue_bytes_max: config.queue_bytes,
            wake_bytes: WAKE_BYTES
                .min(config.queue_bytes / 4)
                .min(config.queue_frames.saturating_mul(ENTRY_BYTES) / 4),
            queued: AtomicUsize::new(0),
            venues: VenueId::ALL.map(|id| Venue {
                id,
                holed: AtomicBool::new(false),
                lost: AtomicU64::new(0),
                lost_at: AtomicI64::new(0),
                wants_snapshots: AtomicBool::new(false),
            }),
            closing: AtomicBool::new(false),
            bell: Bell::default(),
            status,
        }
    }

    fn venue(&self, id: VenueId) -> Option<&Venue> {
        self.venues.iter().find(|venue| venue.id == id)
    }

    /// Queues a frame of `size` bytes behind the hole that is still to be marked.
    fn offer(
        &self,
        venue: VenueId,
        received: Time,
        size: usize,
        bytes: impl FnOnce() -> Box<[u8]>,
    ) {
        let marked = match self.take_hole(venue) {
            None => true,
            Some((_, lost)) => self.mark(venue, received, lost),
        };
        let queued = marked
            && size <= FRAME_BYTES_MAX
            && self.reserve(size.saturating_add(ENTRY_BYTES))
            && self.push(Entry {
                venue,
                received,
                what: What::Frame(bytes()),
            });
        if !queued {
            self.lose(venue, received, 1);
        }
    }

    /// Queues the mark of a hole, or remembers it for later. Whether it is queued.
    fn mark(&self, venue: VenueId, received: Time, lost: u64) -> bool {
        let entry = Entry {
            venue,
            received,
            what: What::Hole(lost),
        };
        let queued = self.reserve(entry.cost()) && self.push(entry);
        if !queued {
            self.remember(venue, received, lost);
        }
        queued
    }

    /// Counts lost frames; a hole will be marked.
    fn lose(&self, venue: VenueId, received: Time, frames: u64) {
        self.status.dropped.fetch_add(frames, Ordering::Relaxed);
        self.remember(venue, received, frames);
    }

    fn remember(&self, venue: VenueId, received: Time, frames: u64) {
        if let Some(venue) = self.venue(venue) {
            venue.lost.fetch_add(frames, Ordering::Relaxed);
            venue.lost_at.fetch_max(received.0, Ordering::Relaxed);
            venue.holed.store(true, Ordering::Release);
        }
    }

    /// The hole that is still to be marked: when, and how many frames.
    fn take_hole(&self, venue: VenueId) -> Option<(Time, u64)> {
        let venue = self.venue(venue)?;
        if !venue.holed.load(Ordering::Relaxed) || !venue.holed.swap(false, Ordering::AcqRel) {
            return None;
        }
        let at = Time(venue.lost_at.load(Ordering::Relaxed));
        Some((at, venue.lost.swap(0, Ordering::Relaxed)))
    }

    /// Takes bytes of the queue's bound.
    fn reserve(&self, cost: usize) -> bool {
        let before = self.queued.fetch_add(cost, Ordering::Relaxed);
        if self.closing.load(Ordering::Relaxed)
            || before.saturating_add(cost) > self.queue_bytes_max
        {
            self.queued.fetch_sub(cost, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Queues what has been reserved for.
    fn push(&self, entry: Entry) -> bool {
        let cost = entry.cost();
        if self.queue.push(entry).is_err() {
            self.queued.fetch_sub(cost, Ordering::Relaxed);
            return false;
        }
        // Not for each frame: waking a thread costs more than everything else here.
        if self.is_urgent() {
            self.bell.ring();
        }
        true
    }

    /// Whether the thread should not wait any longer.
    fn is_urgent(&self) -> bool {
        self.queued.load(Ordering::Relaxed) >= self.wake_bytes
    }

    fn pop(&self) -> Option<Entry> {
        let entry = self.queue.pop()?;
        self.queued.fetch_sub(entry.cost(), Ordering::Relaxed);
        Some(entry)
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
