//! Reading the journal at start-up, from its beginning or from behind a snapshot, and deciding what a bad
//! batch means.
//!
//! A bad batch is damage only if something later proves that it had been on disk: a later segment
//! (which is begun after the one before is synced), a later valid batch whose `durable_through`
//! reaches it, or a snapshot of it. Otherwise the process died while writing it, nobody was told that it
//! is durable, and it is cut: overwritten with zeros, synced.
//!
//! Segments that lie before a snapshot are not read.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::error::JournalError;
use super::format::{ALIGN, Batch, FORMAT_VERSION, Fault, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::installation::InstallationId;
use super::segment::{Position, SPARE, segment_first};
use super::snapshot::{Base, UNFINISHED, snapshot_name};
use super::versions;
use super::{Apply, RecoveryReport};
use crate::kernel::event::Seq;

/// A journal read to its end.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) at: Position,
    pub(crate) report: RecoveryReport,
}

/// Names of the segments in order. Leftovers of a crash are removed.
pub(crate) fn segments(disk: &dyn Disk) -> std::io::Result<Vec<String>> {
    let mut names = disk.list()?;
    for leftover in [SPARE, UNFINISHED] {
        if names.iter().any(|n| n == leftover) {
            disk.remove(leftover)?;
        }
    }
    names.retain(|n| segment_first(n).is_some());
    names.sort_unstable();
    Ok(names)
}

/// The installation that a segment belongs to.
pub(crate) fn installation_of(disk: &dyn Disk, name: &str) -> Result<InstallationId, JournalError> {
    let path = disk.path(name);
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let file = disk
        .open_read(name)
        .map_err(JournalError::io("open", &path))?;
    // A file that is too short for a header is refused as what it is not.
    drop(file.read_at(0, &mut bytes));
    let header =
        SegmentHeader::decode(&bytes).map_err(|why| JournalError::Header { file: path, why })?;
    Ok(header.installation)
}

/// Reads the segments that `base` does not cover, applies the records behind it, and cuts a torn tail. `names`
/// is not empty.
pub(crate) fn recover(
    disk: &Arc<dyn Disk>,
    names: &[String],
    installation: InstallationId,
    base: Base,
    apply: Apply<'_>,
) -> Result<Recovered, JournalError> {
    let mut report = RecoveryReport::default();
    let wanted = Seq(base.seq.0 + 1);
    let begin = names
        .iter()
        .rposition(|name| segment_first(name).is_some_and(|first| first <= wanted));
    let Some(begin) = begin else {
        return Err(JournalError::Missing {
            file: disk.path(&names[0]),
            found: segment_first(&names[0]).map_or(0, |first| first.0),
            expected: wanted.0,
        });
    };
    // Within the first of them, the segment itself says where it begins.
    let mut before = None;
    let mut end = None;
    for (index, name) in names.iter().enumerate().skip(begin) {
        let path = disk.path(name);
        let mut file = disk.open(name).map_err(JournalError::io("open", &path))?;
        let bytes = file.read_all().map_err(JournalError::io("read", &path))?;
        let mut segment = Segment::begin(disk.as_ref(), name, &bytes, installation, base, before)?;
        let last = index + 1 == names.len();
        let (offset, fault) = segment.apply_batches(apply, &mut report)?;
        if let Some(fault) = fault {
            if !last || segment.next <= base.seq || segment.proves_durable(offset) {
                return Err(JournalError::Damage {
                    file: path,
                    offset: offset as u64,
                    seq: segment.next.0,
                    fault,
                });
            }
            report.cut_bytes = cut(file.as_mut(), &bytes, offset)
                .map_err(JournalError::io("cut the torn end of", &path))?;
        }
        before = Some((segment.next, segment.chain));
        report.segments += 1;
        let at = Position {
            offset: offset as u64,
            capacity: bytes.len() as u64,
            next: segment.next,
            chain: segment.chain,
        };
        end = Some((file, at, path));
    }
    let (mut file, at, path) = end.expect("there is a segment");
    if at.next <= base.seq {
        return Err(JournalError::Behind {
            file: disk.path(&snapshot_name(base.seq)),
            seq: base.seq.0,
            end: at.next.0 - 1,
        });
    }
    // What was read may still be in the page cache only, if the process died and the machine did not; the
    // name of the segment as well.
    file.sync().map_err(JournalError::io("sync", &path))?;
    disk.sync_names()
        .map_err(JournalError::io("sync the directory of", &path))?;
    Ok(Recovered { file, at, report })
}

/// A segment, as far as it is read.
pub(super) struct Segment<'a> {
    disk: &'a dyn Disk,
    name: &'a str,
    bytes: &'a [u8],
    version: u32,
    base: Base,
    pub(super) next: Seq,
    pub(super) chain: u64,
    /// The last record that its batches prove to have been on disk.
    pub(super) durable: Seq,
}

impl<'a> Segment<'a> {
    /// Checks the header of a segment; `before` is where the segment before it ended, if that was read.
    pub(super) fn begin(
        disk: &'a dyn Disk,
        name: &'a str,
        bytes: &'a [u8],
        installation: InstallationId,
        base: Base,
        before: Option<(Seq, u64)>,
    ) -> Result<Self, JournalError> {
        let file = disk.path(name);
        let header = match SegmentHeader::decode(bytes) {
            Ok(header) => header,
            Err(why) => return Err(JournalError::Header { file, why }),
        };
        if !versions::is_known(header.version) {
            return Err(JournalError::Version {
                file,
                found: header.version,
                known: FORMAT_VERSION,
            });
        }
        if header.installation != installation {
            return Err(JournalError::Foreign {
                file,
                found: header.installation.to_string(),
                expected: installation.to_string(),
            });
        }
        let (next, chain) = before.unwrap_or((header.first, header.chain));
        if header.first != next || Some(header.first) != segment_first(name) {
            return Err(JournalError::Missing {
                file,
                found: header.first.0,
                expected: next.0,
            });
        }
        if header.chain != chain {
            let why = "it does not continue the segment before it";
            return Err(JournalError::Header { file, why });
        }
        let segment = Self {
            disk,
            name,
            bytes,
            version: header.version,
            base,
            next,
            chain,
            durable: Seq(0),
        };
        if next.0 == base.seq.0 + 1 && chain != base.chain {
            return Err(segment.not_joined());
        }
        Ok(segment)
    }

    /// The base is not of this journal. The beginning of a journal is no snapshot: then its header is wrong.
    fn not_joined(&self) -> JournalError {
        if self.base.seq == Seq(0) {
            let (file, why) = (self.disk.path(self.name), "it is not the first segment");
            return JournalError::Header { file, why };
        }
        JournalError::NotJoined {
            file: self.disk.path(&snapshot_name(self.base.seq)),
            seq: self.base.seq.0,
        }
    }

    /// Applies batches until the end or a bad one; returns where that is.
    pub(super) fn apply_batches(
        &mut self,
        apply: Apply<'_>,
        report: &mut RecoveryReport,
    ) -> Result<(usize, Option<Fault>), JournalError> {
        let mut offset = SEGMENT_HEADER_BYTES;
        loop {
            let rest = self.bytes.get(offset..).unwrap_or_default();
            let batch = match Batch::decode(rest) {
                Ok(batch) if batch.follows(self.next, self.chain) => batch,
                Ok(_) => return Ok((offset, Some(Fault::Chain))),
                Err(_) if rest.iter().all(|b| *b == 0) => return Ok((offset, None)),
                Err(fault) => return Ok((offset, Some(fault))),
            };
            if batch.first > self.base.seq {
                self.apply_batch(&batch, offset, apply, report)?;
            } else if batch.last >= self.base.seq
                && (batch.last, batch.hash) != (self.base.seq, self.base.chain)
            {
                return Err(self.not_joined());
            }
            self.next = Seq(batch.last.0 + 1);
            self.chain = batch.hash;
            self.durable = self.durable.max(batch.durable_through);
            offset += batch.size;
            report.batches += 1;
        }
    }

    fn apply_batch(
        &self,
        batch: &Batch<'_>,
        offset: usize,
        apply: Apply<'_>,
        report: &mut RecoveryReport,
    ) -> Result<(), JournalError> {
        let file = || self.disk.path(self.name);
        let offset = offset as u64;
        let records = batch
            .records(self.version)
            .map_err(|fault| JournalError::Records {
                file: file(),
                offset,
                seq: batch.first.0,
                fault,
            })?;
        for record in &records {
            let seq = record.seq.0;
            match catch_unwind(AssertUnwindSafe(|| apply(record))) {
                Ok(Ok(())) => report.records += 1,
                Ok(Err(source)) => {
                    return Err(JournalError::Apply {
                        file: file(),
                        offset,
                        seq,
                        source,
                    });
                }
                Err(panic) => {
                    return Err(JournalError::Poison {
                        file: file(),
                        offset,
                        seq,
                        panic: panic_text(panic.as_ref()),
                    });
                }
            }
        }
        Ok(())
    }

    /// Whether a valid batch behind the bad one at `offset` was written when that was on disk.
    pub(super) fn proves_durable(&self, offset: usize) -> bool {
        (offset + ALIGN..self.bytes.len())
            .step_by(ALIGN)
            .filter_map(|at| Batch::decode(&self.bytes[at..]).ok())
            .any(|later| later.first >= self.next && later.durable_through >= self.next)
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// Overwrites everything from `offset` on with zeros; returns how many bytes that were not zero
/// already, counted to the last such byte.
fn cut(file: &mut dyn DiskFile, bytes: &[u8], offset: usize) -> std::io::Result<u64> {
    let torn = bytes.get(offset..).unwrap_or_default();
    let length = torn.iter().rposition(|b| *b != 0).map_or(0, |p| p + 1);
    file.write_at(offset as u64, &vec![0; length])?;
    file.sync()?;
    Ok(length as u64)
}
