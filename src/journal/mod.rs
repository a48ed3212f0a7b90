//! The journal: an own segmented write-ahead log in `<data_dir>/journal/`.
//!
//! It holds facts and decisions, in sequence. [`recover`] takes the lock of the data directory, reads the
//! newest snapshot and what follows it, cuts a torn end, and refuses damage; [`open`] does the same with a
//! whole journal, without snapshots. [`Journal::start`] gives the writing end to the journal thread, and
//! starts the one that makes snapshots and deletes old segments (`keeper.rs`). [`Tail`] and [`Follower`] read
//! along. The format is in `format.rs`, that of snapshots in `snapshot.rs`.

mod adopt;
mod check;
mod disk;
mod error;
mod follower;
mod format;
mod installation;
mod keeper;
mod quarantine;
mod recover;
mod retention;
mod segment;
mod snapshot;
mod space;
mod tail;
mod versions;
mod writer;

#[cfg(test)]
mod memory;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub use adopt::{adopt, is_new, missing, missing_is_told};
pub use check::{Checked, CheckedSegment, CheckedSnapshot, check, put_under_quarantine};
pub use error::JournalError;
pub use follower::Follower;
pub use format::{FORMAT_VERSION, Fault};
pub use installation::InstallationId;
pub use quarantine::Quarantine;
pub use snapshot::SnapshotFault;
pub use tail::Tail;
pub use writer::JournalHandle;

use disk::{Directory, Disk, DiskFile};
pub(crate) use installation::DirLock;
use keeper::Keeper;
use recover::Recovered;
use segment::{Log, Position, Spares};
use snapshot::{Base, set_aside, snapshot_name};
use space::Space;
use writer::Writer;

use crate::kernel::event::{Seq, Sequenced};
use crate::kernel::ledger::{Ledger, LedgerError};
use crate::kernel::types::Time;
use crate::runtime::clock::Clock;
use crate::runtime::mailbox::Bell;
use crate::status::{JournalStatus, StoreStatus};

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
    /// A snapshot is made after so many records.
    pub snapshot_every: u64,
    /// Bytes that all segments may take together; the oldest are deleted as far as snapshots cover them.
    pub disk_quota: u64,
    /// Room kept for cancels and fills when the disk is full; 0: none.
    pub reserve_bytes: u64,
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
            snapshot_every: 100_000,
            disk_quota: 10 << 30,
            reserve_bytes: 64 << 20,
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
        if self.snapshot_every == 0 {
            return bad("snapshot_every", 0, "a snapshot holds one record at least");
        }
        Ok(())
    }
}

/// What was found at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// Last record of the snapshot that was used, if one was.
    pub snapshot: Option<Seq>,
    /// Records applied behind it.
    pub records: u64,
    /// Batches read.
    pub batches: u64,
    /// Segments read.
    pub segments: u64,
    /// Bytes of a torn end that were cut; nobody had been told that they are durable.
    pub cut_bytes: u64,
    /// Records passed over because they are under quarantine.
    pub quarantined: u64,
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
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    at: Position,
    /// The newest snapshot.
    snapshot: Seq,
    /// Ended orders that snapshots keep; `None`: no snapshots are made.
    orders_kept: Option<usize>,
    lock: Option<DirLock>,
}

/// The bytes of a snapshot of `ledger` that any data directory can [adopt].
pub(crate) fn snapshot_bytes(
    installation: InstallationId,
    ledger: &Ledger,
    taken: Time,
) -> std::io::Result<Vec<u8>> {
    snapshot::encode(installation, ledger, 0, taken)
}

/// The state in such bytes, and whose it is.
pub(crate) fn read_snapshot(
    bytes: &[u8],
    orders_kept: usize,
) -> Result<(InstallationId, Ledger), SnapshotFault> {
    let (header, ledger) = snapshot::read(bytes, orders_kept)?;
    Ok((header.installation, ledger))
}

/// Locks the data directory, reads the whole journal, and hands every record to `apply`. A new data
/// directory gets an installation id and an empty journal. No snapshot is read or made.
pub fn open(config: &JournalConfig, apply: Apply<'_>) -> Result<Opened, JournalError> {
    let (lock, disk) = enter(config)?;
    let mut opened = open_on(config, disk, Base::default(), apply)?;
    opened.journal.lock = Some(lock);
    Ok(opened)
}

/// Locks the data directory, and makes the ledger of the newest snapshot and the records behind it; of the whole
/// journal, if no snapshot is any use. The ledger keeps `orders_kept` ended orders.
pub fn recover(
    config: &JournalConfig,
    orders_kept: usize,
) -> Result<(Opened, Ledger), JournalError> {
    let (lock, disk) = enter(config)?;
    let (mut opened, ledger) = recover_on(config, &disk, orders_kept)?;
    opened.journal.lock = Some(lock);
    Ok((opened, ledger))
}

fn enter(config: &JournalConfig) -> Result<(DirLock, Arc<dyn Disk>), JournalError> {
    config.check()?;
    let dir = config.journal_dir();
    installation::create_dir(&config.data_dir)?;
    installation::create_dir(&dir)?;
    let lock = DirLock::take(&config.data_dir)?;
    Ok((lock, Arc::new(Directory::new(&dir))))
}

fn recover_on(
    config: &JournalConfig,
    disk: &Arc<dyn Disk>,
    orders_kept: usize,
) -> Result<(Opened, Ledger), JournalError> {
    let clock = Clock::start();
    let began = clock.now();
    let dir = disk.path("");
    let quarantine = Quarantine::load(disk.as_ref())?;
    for seq in quarantine.records() {
        tracing::warn!(
            seq = seq.0,
            "record {} of the journal is under quarantine and passed over at every start",
            seq.0
        );
    }
    let mut why = Vec::new();
    let snapshots = snapshot::list(disk.as_ref()).map_err(JournalError::io("list", &dir))?;
    for seq in snapshots.into_iter().map(Some).chain([None]) {
        let loaded = match seq {
            None => Ok((Base::default(), Ledger::new(orders_kept))),
            Some(seq) => snapshot::load(disk.as_ref(), seq, None, orders_kept)
                .map(|(header, ledger)| (header.base, ledger))
                .map_err(|fault| fault.to_string()),
        };
        let recovered = loaded.and_then(|(base, mut ledger)| {
            let mut quarantined = 0;
            let apply: Apply<'_> = &mut |record| {
                quarantined += u64::from(quarantine.holds(record.seq));
                quarantine.apply(&mut ledger, record)
            };
            match open_on(config, Arc::clone(disk), base, apply) {
                Err(error @ JournalError::NotJoined { .. }) => Err(error.to_string()),
                Err(error) => Ok(Err(error)),
                Ok(mut opened) => {
                    opened.journal.snapshot = base.seq;
                    opened.journal.orders_kept = Some(orders_kept);
                    opened.recovered.snapshot = seq;
                    opened.recovered.quarantined = quarantined;
                    opened.recovered.elapsed_ns = clock.now().since(began);
                    Ok(Ok((opened, ledger)))
                }
            }
        });
        let fault = match (recovered, seq) {
            (Ok(Ok((opened, mut ledger))), _) => {
                ledger.take_changes();
                return Ok((opened, ledger));
            }
            (
                Ok(Err(JournalError::Missing {
                    found, expected: 1, ..
                })),
                None,
            ) => {
                // Its beginning is gone, which only a snapshot can make good.
                let why = if why.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", why.join("; "))
                };
                return Err(JournalError::NoSnapshot {
                    dir,
                    oldest: found,
                    why,
                });
            }
            (Ok(Err(error)), _) => return Err(error),
            (Err(fault), seq) => (seq.unwrap_or_default(), fault),
        };
        let (seq, fault) = fault;
        let file = disk.path(&snapshot_name(seq));
        tracing::warn!(
            file = %file.display(),
            fault,
            "this snapshot cannot be used and is put aside; trying the one before it, then the whole journal"
        );
        set_aside(disk.as_ref(), seq);
        why.push(format!("{}: {fault}", file.display()));
    }
    unreachable!("the whole journal is the last attempt")
}

fn open_on(
    config: &JournalConfig,
    disk: Arc<dyn Disk>,
    base: Base,
    apply: Apply<'_>,
) -> Result<Opened, JournalError> {
    let clock = Clock::start();
    let began = clock.now();
    let dir = disk.path("");
    let mut names = recover::segments(disk.as_ref()).map_err(JournalError::io("list", &dir))?;
    let known = match names.last() {
        Some(name) => Some(recover::installation_of(disk.as_ref(), name)?),
        None => None,
    };
    let installation = installation::installation(&config.data_dir, known)?;
    if names.is_empty() {
        if base.seq > Seq(0) {
            return Err(JournalError::Behind {
                file: disk.path(&snapshot_name(base.seq)),
                seq: base.seq.0,
                end: 0,
            });
        }
        segment::create_first(disk.as_ref(), installation, config.segment_bytes, Seq(1))
            .map_err(JournalError::io("create a segment in", &dir))?;
        names.push(segment::segment_name(Seq(1)));
    }
    let Recovered { file, at, report } =
        recover::recover(&disk, &names, installation, base, apply)?;
    if report.cut_bytes > 0 {
        tracing::warn!(
            bytes = report.cut_bytes,
            after = at.next.0 - 1,
            "cut the torn end of the journal: the process or machine died while writing it"
        );
    }
    Ok(Opened {
        next_seq: at.next,
        recovered: RecoveryReport {
            elapsed_ns: clock.now().since(began),
            ..report
        },
        journal: Journal {
            config: config.clone(),
            installation,
            disk,
            file,
            at,
            snapshot: Seq(0),
            orders_kept: None,
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
        self.start_with_store(status, kernel_bell, None)
    }

    /// As [`Journal::start`]; segments that `store` lacks are kept for it.
    pub fn start_with_store(
        self,
        status: Arc<JournalStatus>,
        kernel_bell: Arc<Bell>,
        store: Option<Arc<StoreStatus>>,
    ) -> Result<JournalHandle, JournalError> {
        let dir = self.config.journal_dir();
        status.snapshot.store(self.snapshot.0, Ordering::Relaxed);
        let space = Arc::new(Space::new(
            Arc::clone(&self.disk),
            self.config.segment_bytes,
            self.config.reserve_bytes,
            Arc::clone(&status),
            Arc::clone(&kernel_bell),
        ));
        let log = Log::resume(
            Arc::clone(&space),
            self.installation,
            self.file,
            self.at,
            Spares::Aside,
        );
        let keeper = self.orders_kept.map(|orders_kept| Keeper {
            space,
            status: Arc::clone(&status),
            store,
            snapshot_every: self.config.snapshot_every,
            orders_kept,
            quota: self.config.disk_quota,
        });
        let writer = Writer {
            log,
            policy: self.config.sync,
            batch_bytes_max: self.config.batch_bytes_max,
            status,
            kernel_bell,
            lock: self.lock,
        };
        JournalHandle::start(writer, self.config.queue, keeper)
            .map_err(JournalError::io("start the threads for", &dir))
    }
}
