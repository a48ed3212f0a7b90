//! The journal: an own segmented write-ahead log in `<data_dir>/journal/`.
//!
//! It holds facts and decisions, in sequence. [`open`] takes the lock of the data directory, reads
//! everything, cuts a torn end, and refuses damage; [`Journal::start`] gives the writing end to the
//! journal thread; [`Tail`] follows it. The format is in `format.rs`.

mod disk;
mod error;
mod format;
mod installation;
mod recover;
mod segment;
mod tail;
mod writer;

#[cfg(test)]
mod memory;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use error::JournalError;
pub use format::{FORMAT_VERSION, Fault};
pub use installation::InstallationId;
pub use tail::Tail;
pub use writer::JournalHandle;

use disk::{Directory, Disk};
pub(crate) use installation::DirLock;
use recover::Recovered;
use segment::Log;
use writer::Writer;

use crate::kernel::event::{Seq, Sequenced};
use crate::kernel::ledger::LedgerError;
use crate::runtime::clock::Clock;
use crate::runtime::mailbox::Bell;
use crate::status::JournalStatus;

/// What recovery calls for each record.
pub type Apply<'a> = &'a mut dyn FnMut(&Sequenced) -> Result<(), LedgerError>;

/// When records count as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// When they are on disk: an accepted order survives power loss. Live trading needs this.
    Always,
    /// When they are written; synced this often. An accepted order survives a crash of the process,
    /// but not always one of the machine.
    Interval(Duration),
    /// When they are written; synced when the operating system likes, and at a clean end.
    Os,
}

/// Where and how to keep the journal.
#[derive(Debug, Clone)]
pub struct JournalConfig {
    /// The data directory; the journal is in its folder `journal`.
    pub data_dir: PathBuf,
    /// Size of a segment, preallocated.
    pub segment_bytes: u64,
    /// A write is about this large at most; one larger record makes a larger one.
    pub batch_bytes_max: usize,
    /// Batches that may wait for the journal thread.
    pub queue: usize,
    /// When records count as durable.
    pub sync: SyncPolicy,
}

impl JournalConfig {
    /// The defaults, in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            segment_bytes: 16 << 20,
            batch_bytes_max: 1 << 20,
            queue: 4_096,
            sync: SyncPolicy::Always,
        }
    }

    /// The folder of the segments.
    pub fn journal_dir(&self) -> PathBuf {
        self.data_dir.join("journal")
    }

    fn check(&self) -> Result<(), JournalError> {
        let bad = |key, value, hint| Err(JournalError::Config { key, value, hint });
        if !(4_096..=1 << 30).contains(&self.segment_bytes) {
            let hint = "a segment has 4096 bytes to 1 GiB";
            return bad("segment_bytes", self.segment_bytes, hint);
        }
        if !(512..=64 << 20).contains(&self.batch_bytes_max) {
            let hint = "a batch has 512 bytes to 64 MiB";
            return bad("batch_bytes_max", self.batch_bytes_max as u64, hint);
        }
        if !(1..=1 << 20).contains(&self.queue) {
            return bad("queue", self.queue as u64, "1 to 1048576 batches may wait");
        }
        Ok(())
    }
}

/// What was found at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// Records applied.
    pub records: u64,
    /// Batches read.
    pub batches: u64,
    /// Segments read.
    pub segments: u64,
    /// Bytes of a torn end that were cut; nobody had been told that they are durable.
    pub cut_bytes: u64,
    /// How long it took, in nanoseconds.
    pub elapsed_ns: i64,
}

/// A recovered journal.
#[derive(Debug)]
pub struct Opened {
    /// Sequence of the next record.
    pub next_seq: Seq,
    /// What was found.
    pub recovered: RecoveryReport,
    /// To be started.
    pub journal: Journal,
}

/// The writing end, not yet started.
#[derive(Debug)]
pub struct Journal {
    config: JournalConfig,
    installation: InstallationId,
    log: Log,
    lock: Option<DirLock>,
}

/// Locks the data directory, reads the journal, and hands every record to `apply`. A new data
/// directory gets an installation id and an empty journal.
pub fn open(config: &JournalConfig, apply: Apply<'_>) -> Result<Opened, JournalError> {
    config.check()?;
    let dir = config.journal_dir();
    installation::create_dir(&config.data_dir)?;
    installation::create_dir(&dir)?;
    let lock = DirLock::take(&config.data_dir)?;
    let disk: Arc<dyn Disk> = Arc::new(Directory::new(&dir));
    let mut opened = open_on(config, disk, &dir, apply)?;
    opened.journal.lock = Some(lock);
    Ok(opened)
}

fn open_on(
    config: &JournalConfig,
    disk: Arc<dyn Disk>,
    dir: &Path,
    apply: Apply<'_>,
) -> Result<Opened, JournalError> {
    let clock = Clock::start();
    let began = clock.now();
    let mut names = recover::segments(disk.as_ref()).map_err(JournalError::io("list", dir))?;
    let known = match names.first() {
        Some(name) => Some(recover::installation_of(disk.as_ref(), name)?),
        None => None,
    };
    let installation = installation::installation(&config.data_dir, known)?;
    if names.is_empty() {
        segment::create_first(disk.as_ref(), installation, config.segment_bytes)
            .map_err(JournalError::io("create a segment in", dir))?;
        names.push(segment::segment_name(Seq(1)));
    }
    let Recovered { file, at, report } = recover::recover(&disk, &names, installation, apply)?;
    if report.cut_bytes > 0 {
        tracing::warn!(
            bytes = report.cut_bytes,
            after = at.next.0 - 1,
            "cut the torn end of the journal: the process or machine died while writing it"
        );
    }
    let log = Log::resume(disk, installation, config.segment_bytes, file, at);
    Ok(Opened {
        next_seq: at.next,
        recovered: RecoveryReport {
            elapsed_ns: clock.now().since(began),
            ..report
        },
        journal: Journal {
            config: config.clone(),
            installation,
            log,
            lock: None,
        },
    })
}

impl Journal {
    /// Which installation this is.
    pub fn installation(&self) -> InstallationId {
        self.installation
    }

    /// Starts the journal thread. It moves the watermark in `status` and rings `kernel_bell` each
    /// time; its failure or panic aborts the process.
    pub fn start(
        self,
        status: Arc<JournalStatus>,
        kernel_bell: Arc<Bell>,
    ) -> Result<JournalHandle, JournalError> {
        let dir = self.config.journal_dir();
        let writer = Writer {
            log: self.log,
            policy: self.config.sync,
            batch_bytes_max: self.config.batch_bytes_max,
            status,
            kernel_bell,
            lock: self.lock,
        };
        JournalHandle::start(writer, self.config.queue)
            .map_err(JournalError::io("start the thread for", &dir))
    }
}
