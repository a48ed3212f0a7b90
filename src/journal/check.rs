//! Looks at a journal without changing it, also while a daemon writes to it: what is there, and what is wrong.
//! And the one change that is made from outside: putting a record under quarantine.

use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Directory, Disk};
use super::error::JournalError;
use super::follower::Follower;
use super::format::{SEGMENT_HEADER_BYTES, SegmentHeader};
use super::installation::{DirLock, InstallationId};
use super::quarantine::Quarantine;
use super::recover::{Segment, installation_of, panic_text};
use super::segment::segment_first;
use super::snapshot::{self, Base, snapshot_name};
use super::space::RESERVE;
use super::tail::Tail;
use super::{JournalConfig, RecoveryReport};
use crate::kernel::event::Seq;
use crate::kernel::types::Time;

/// Ended orders kept by the ledger that all records are applied to.
const ORDERS_KEPT: usize = 10_000;
/// How often everything is read again because the daemon deleted an old segment meanwhile.
const ATTEMPTS: usize = 5;

/// What a look at a journal has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// The journal directory.
    pub dir: PathBuf,
    /// Whose it is.
    pub installation: Option<InstallationId>,
    /// The process that uses it.
    pub used_by: Option<u32>,
    /// The segments, oldest first.
    pub segments: Vec<CheckedSegment>,
    /// The snapshots, newest first.
    pub snapshots: Vec<CheckedSnapshot>,
    /// First record that is there.
    pub first: Seq,
    /// Last record that is there.
    pub last: Seq,
    /// The last record that a later one proves to have been on disk; what follows may have been, too.
    pub proven_durable: Seq,
    /// Records read.
    pub records: u64,
    /// Batches read.
    pub batches: u64,
    /// Bytes behind the last whole batch: being written just now, or to be cut at the next start.
    pub torn_bytes: u64,
    /// Bytes of the file that is given up when the disk is full.
    pub reserve_bytes: u64,
    /// Records that are passed over at every start.
    pub quarantined: Vec<Seq>,
    /// Hash of the durable state after the last record.
    pub durable_hash: Option<u64>,
    /// What is wrong; nothing if a start will succeed.
    pub faults: Vec<String>,
}

/// A segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedSegment {
    /// Name of the file.
    pub name: String,
    /// Format of its records.
    pub version: u32,
    /// First record.
    pub first: Seq,
    /// Last record; one less than the first in an empty segment.
    pub last: Seq,
    /// Batches in it.
    pub batches: u64,
    /// Bytes in use, and bytes of the file.
    pub bytes: (u64, u64),
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedSnapshot {
    /// Name of the file.
    pub name: String,
    /// Last record in it.
    pub seq: Seq,
    /// Bytes of the file.
    pub bytes: u64,
    /// When it was taken.
    pub taken: Option<Time>,
    /// Why it is no use, if it is none.
    pub fault: Option<String>,
}

/// Reads the journal of a data directory, without its lock: a running daemon may go on.
pub fn check(data_dir: &Path) -> Result<Checked, JournalError> {
    let dir = JournalConfig::new(data_dir).journal_dir();
    let disk: Arc<dyn Disk> = Arc::new(Directory::new(&dir));
    let mut checked = check_on(&disk)?;
    checked.dir = dir;
    checked.used_by = user(data_dir);
    Ok(checked)
}

pub(crate) fn check_on(disk: &Arc<dyn Disk>) -> Result<Checked, JournalError> {
    let mut attempt = 1;
    loop {
        let found = look(disk.as_ref());
        match found {
            Err(JournalError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound && attempt < ATTEMPTS => {}
            other => {
                let mut checked = other?;
                snapshots(disk, &mut checked)?;
                replay(disk, &mut checked);
                return Ok(checked);
            }
        }
        attempt += 1;
    }
}

/// The segments.
fn look(disk: &dyn Disk) -> Result<Checked, JournalError> {
    let mut checked = Checked::default();
    let mut names = disk
        .list()
        .map_err(JournalError::io("list", &disk.path("")))?;
    names.retain(|name| segment_first(name).is_some());
    names.sort_unstable();
    let Some(last) = names.last() else {
        let text = format!("{} holds no segment of a journal", disk.path("").display());
        checked.faults.push(text);
        return Ok(checked);
    };
    let installation = installation_of(disk, last)?;
    checked.installation = Some(installation);
    let newest = snapshot::list(disk)
        .map_err(JournalError::io("list", &disk.path("")))?
        .first()
        .copied()
        .unwrap_or_default();
    let mut before = None;
    let mut report = RecoveryReport::default();
    for (index, name) in names.iter().enumerate() {
        let path = disk.path(name);
        let bytes = disk
            .open_read(name)
            .and_then(|file| file.read_all())
            .map_err(JournalError::io("read", &path))?;
        let base = Base::default();
        let mut segment = match Segment::begin(disk, name, &bytes, installation, base, before) {
            Ok(segment) => segment,
            Err(error) => {
                checked.faults.push(error.to_string());
                before = None;
                continue;
            }
        };
        let version = SegmentHeader::decode(&bytes).map_or(0, |header| header.version);
        let (first, batches) = (segment.next, report.batches);
        let read = segment.apply_batches(&mut |_| Ok(()), &mut report);
        before = Some((segment.next, segment.chain));
        let is_last = index + 1 == names.len();
        let mut used = 0;
        match read {
            Ok((offset, fault)) => {
                used = offset as u64;
                if let Some(fault) = fault {
                    if !is_last || segment.next <= newest || segment.proves_durable(offset) {
                        before = None;
                        let damage = JournalError::Damage {
                            file: path,
                            offset: used,
                            seq: segment.next.0,
                            fault,
                        };
                        checked.faults.push(damage.to_string());
                    } else {
                        let torn = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
                        checked.torn_bytes = torn.saturating_sub(offset) as u64;
                    }
                }
            }
            Err(error) => {
                before = None;
                checked.faults.push(error.to_string());
            }
        }
        if checked.segments.is_empty() {
            checked.first = first;
        }
        checked.last = Seq(segment.next.0 - 1);
        checked.proven_durable = checked.proven_durable.max(segment.durable);
        if !is_last {
            // The next segment was begun when this one was on disk.
            checked.proven_durable = checked.proven_durable.max(checked.last);
        }
        checked.segments.push(CheckedSegment {
            name: name.clone(),
            version,
            first,
            last: checked.last,
            batches: report.batches - batches,
            bytes: (used.max(SEGMENT_HEADER_BYTES as u64), bytes.len() as u64),
        });
    }
    (checked.records, checked.batches) = (report.records, report.batches);
    if let Ok(file) = disk.open_read(RESERVE) {
        checked.reserve_bytes = file.len().unwrap_or(0);
    }
    checked.quarantined = Quarantine::load(disk)?.records().collect();
    Ok(checked)
}

fn snapshots(disk: &Arc<dyn Disk>, checked: &mut Checked) -> Result<(), JournalError> {
    let seqs = snapshot::list(disk.as_ref()).map_err(JournalError::io("list", &disk.path("")))?;
    for seq in seqs {
        let name = snapshot_name(seq);
        let bytes = disk.open_read(&name).and_then(|file| file.len());
        let Ok(bytes) = bytes else {
            continue; // deleted meanwhile
        };
        let loaded = snapshot::load(disk.as_ref(), seq, checked.installation, 0);
        let (taken, fault) = match loaded {
            Ok((header, _)) => {
                let joined = Tail::join(Arc::clone(disk), header.base);
                let fault = joined.err().map(|error| error.to_string());
                (Some(header.taken), fault)
            }
            Err(fault) => (None, Some(fault.to_string())),
        };
        if let Some(fault) = &fault {
            let text = format!("{}: {fault}", disk.path(&name).display());
            checked.faults.push(text);
        }
        checked.proven_durable = checked.proven_durable.max(seq);
        checked.snapshots.push(CheckedSnapshot {
            name,
            seq,
            bytes,
            taken,
            fault,
        });
    }
    Ok(())
}

/// Does what a start does: the newest snapshot, and the records behind it.
fn replay(disk: &Arc<dyn Disk>, checked: &mut Checked) {
    if checked.segments.is_empty() {
        return;
    }
    let (last, mut at) = (checked.last, Seq(0));
    let replayed = catch_unwind(AssertUnwindSafe(|| {
        let mut follower = Follower::open_on(disk, ORDERS_KEPT, last).map_err(|e| e.to_string())?;
        while let Some(records) = follower.read(last).map_err(|e| e.to_string())? {
            for record in &records {
                at = record.seq;
                let applied = follower.apply(record);
                applied.map_err(|error| format!("record {}: {error}", record.seq.0))?;
            }
            follower.take_changes();
        }
        Ok(follower.ledger().durable_hash())
    }));
    match replayed {
        Ok(Ok(hash)) => checked.durable_hash = Some(hash),
        Ok(Err(error)) => {
            // Damage is named already.
            if checked.faults.is_empty() {
                checked.faults.push(error);
            }
        }
        Err(panic) => {
            let panic = panic_text(panic.as_ref());
            let text = format!("applying record {} panicked ({panic})", at.0);
            checked.faults.push(text);
        }
    }
}

/// The process that holds the lock of a data directory, without touching the lock.
fn user(data_dir: &Path) -> Option<u32> {
    let inode = std::fs::metadata(data_dir.join("lock")).ok()?.ino();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        // 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
        let mut words = line.split_whitespace().skip(4);
        let (pid, file) = (words.next()?, words.next()?);
        let of_lock = file.rsplit(':').next()?.parse::<u64>().ok()? == inode;
        of_lock.then(|| pid.parse().ok()).flatten()
    })
}

/// Puts a record under quarantine: every later start passes it over. Nobody may use the data directory.
pub fn put_under_quarantine(data_dir: &Path, seq: Seq) -> Result<(), JournalError> {
    let dir = JournalConfig::new(data_dir).journal_dir();
    let refuse = |why: String| JournalError::NotQuarantined { seq: seq.0, why };
    if !dir.is_dir() {
        return Err(refuse(format!("there is no journal in {}", dir.display())));
    }
    let _lock = DirLock::take(data_dir)?;
    let disk: Arc<dyn Disk> = Arc::new(Directory::new(&dir));
    let mut tail = Tail::open_on(Arc::clone(&disk), seq)?;
    let mut found = false;
    let mut last = Seq(0);
    while let Some(records) = tail.next_written()? {
        found |= records.iter().any(|record| record.seq == seq);
        last = records.last().map_or(last, |record| record.seq);
    }
    if !found {
        return Err(refuse("the journal does not hold it".to_owned()));
    }
    let snapshots = snapshot::list(disk.as_ref()).map_err(JournalError::io("list", &dir))?;
    for snapshot in snapshots.into_iter().filter(|s| *s >= seq) {
        if snapshot::load(disk.as_ref(), snapshot, None, 0).is_ok() {
            let name = snapshot_name(snapshot);
            return Err(refuse(format!(
                "{name} knows it already, so it was applied without harm"
            )));
        }
    }
    let mut quarantine = Quarantine::load(disk.as_ref())?;
    if !quarantine.add(seq, last) {
        return Err(refuse("it is there already".to_owned()));
    }
    quarantine
        .save(disk.as_ref())
        .map_err(JournalError::io("write the quarantine in", &dir))
}
