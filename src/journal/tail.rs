//! Follows the journal while it is written, up to the durable watermark.
//!
//! A batch is on disk as a whole before the watermark passes it, so a reader that stops at the
//! watermark never sees half of one. Reads block: call from a blocking thread.

use std::path::Path;
use std::sync::Arc;

use super::disk::{Directory, Disk, DiskFile};
use super::error::JournalError;
use super::format::{
    BATCH_HEADER_BYTES, Batch, FORMAT_VERSION, Fault, SEGMENT_HEADER_BYTES, SegmentHeader,
    batch_size,
};
use super::installation::InstallationId;
use super::segment::{segment_first, segment_name};
use super::snapshot::{Base, snapshot_name};
use super::versions;
use crate::kernel::event::{Seq, Sequenced};

/// Bytes read at once: some thousand records.
const READ_BYTES: usize = 1 << 18;

/// A reader of the journal.
#[derive(Debug)]
pub struct Tail {
    disk: Arc<dyn Disk>,
    /// The segment that is read.
    name: String,
    file: Box<dyn DiskFile>,
    version: u32,
    installation: InstallationId,
    offset: u64,
    /// A piece of the file, as it was when the watermark was `buffered_at`.
    buffer: Vec<u8>,
    /// Where in it the next batch begins, which is `offset` in the file.
    start: usize,
    buffered_at: Seq,
    chain: u64,
    /// First sequence of the next batch.
    batch: Seq,
    /// First record that is wanted.
    from: Seq,
}

impl Tail {
    /// A reader of the records from `from` on; `from` may be one that is not written yet.
    pub fn open(dir: &Path, from: Seq) -> Result<Self, JournalError> {
        Self::open_on(Arc::new(Directory::new(dir)), from)
    }

    pub(crate) fn open_on(disk: Arc<dyn Disk>, from: Seq) -> Result<Self, JournalError> {
        let missing = || JournalError::NoRecord {
            dir: disk.path(""),
            seq: from.0,
        };
        let first = segments(disk.as_ref())?
            .into_iter()
            .take_while(|first| *first <= from)
            .last()
            .ok_or_else(missing)?;
        let (name, file, header) = open_segment(disk.as_ref(), first)?;
        Ok(Self {
            disk,
            name,
            file,
            version: header.version,
            installation: header.installation,
            offset: SEGMENT_HEADER_BYTES as u64,
            buffer: Vec::new(),
            start: 0,
            buffered_at: Seq(0),
            chain: header.chain,
            batch: header.first,
            from,
        })
    }

    /// The same from the beginning of the segment that it is in, or of the one before if that holds nothing yet.
    pub fn rewound(self) -> Result<Self, JournalError> {
        let first = self.batch;
        let mut again = Self::open_on(Arc::clone(&self.disk), first)?;
        if again.next_written()?.is_some() || first == Self::oldest_on(self.disk.as_ref())? {
            return Self::open_on(self.disk, first);
        }
        let mut before = Self::open_on(self.disk, Seq(first.0 - 1))?;
        before.from = before.batch;
        Ok(before)
    }

    /// A reader of the records behind `base`, which is durable; fails if that is not of this journal.
    pub(crate) fn join(disk: Arc<dyn Disk>, base: Base) -> Result<Self, JournalError> {
        let mut tail = Self::open_on(disk, Seq(base.seq.0 + 1))?;
        while tail.batch <= base.seq {
            if tail.find_batch(base.seq)? {
                tail.pass_batch(|_| Ok(()))?;
            }
        }
        if (tail.batch, tail.chain) != (tail.from, base.chain) {
            return Err(JournalError::NotJoined {
                file: tail.disk.path(&snapshot_name(base.seq)),
                seq: base.seq.0,
            });
        }
        Ok(tail)
    }

    /// The oldest record that the journal in `dir` holds (or will hold).
    pub fn oldest(dir: &Path) -> Result<Seq, JournalError> {
        Self::oldest_on(&Directory::new(dir))
    }

    pub(crate) fn oldest_on(disk: &dyn Disk) -> Result<Seq, JournalError> {
        let missing = || JournalError::NoRecord {
            dir: disk.path(""),
            seq: 1,
        };
        segments(disk)?.first().copied().ok_or_else(missing)
    }

    /// The installation that the journal belongs to.
    pub fn installation(&self) -> InstallationId {
        self.installation
    }

    /// The next record that [`Tail::next`] gives.
    pub fn position(&self) -> Seq {
        self.from.max(self.batch)
    }

    /// Where the reader is: behind the last batch that it gave.
    pub(crate) fn base(&self) -> Base {
        Base {
            seq: Seq(self.batch.0 - 1),
            chain: self.chain,
        }
    }

    /// The segment that is read.
    pub(crate) fn segment(&self) -> &str {
        &self.name
    }

    /// The records of the next batch, or `None` when everything up to `durable` was read.
    pub fn next(&mut self, durable: Seq) -> Result<Option<Vec<Sequenced>>, JournalError> {
        while self.batch <= durable {
            if !self.find_batch(durable)? {
                continue;
            }
            let version = self.version;
            let mut records = self.pass_batch(|batch| batch.records(version))?;
            if let Some(wanted) = records.iter().position(|r| r.seq >= self.from) {
                records.drain(..wanted);
                return Ok(Some(records));
            }
        }
        Ok(None)
    }

    /// As [`Tail::next`], for who does not know the watermark: `None` as long as the next batch is not written
    /// as a whole.
    pub fn next_written(&mut self) -> Result<Option<Vec<Sequenced>>, JournalError> {
        loop {
            if Batch::decode(self.rest()).is_err() {
                // In this order: when there is a later segment, this one is complete.
                let last = segments(self.disk.as_ref())?.last().copied();
                let complete = last > segment_first(&self.name);
                self.fill(Seq(u64::MAX))?;
                if Batch::decode(self.rest()).is_err() {
                    if !complete {
                        self.buffer.clear();
                        return Ok(None);
                    }
                    if batch_size(self.rest()).is_none() {
                        self.next_segment()?;
                        continue;
                    }
                }
            }
            let version = self.version;
            let mut records = self.pass_batch(|batch| batch.records(version))?;
            if let Some(wanted) = records.iter().position(|r| r.seq >= self.from) {
                records.drain(..wanted);
                return Ok(Some(records));
            }
        }
    }

    /// Sees to it that the next batch is in the buffer; `false` if it is in the next segment, which is then
    /// the one to read.
    fn find_batch(&mut self, durable: Seq) -> Result<bool, JournalError> {
        if self.buffered_at < self.batch || !self.holds_batch() {
            self.fill(durable)?;
        }
        if batch_size(self.rest()).is_none() {
            self.next_segment()?;
            return Ok(false);
        }
        Ok(true)
    }

    /// What is read of the file from the next batch on.
    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    fn holds_batch(&self) -> bool {
        batch_size(self.rest()).is_some_and(|size| size <= self.rest().len())
    }

    /// Reads on from `offset`: a good piece, or the whole batch there if that is larger.
    fn fill(&mut self, durable: Seq) -> Result<(), JournalError> {
        self.read(READ_BYTES)?;
        if let Some(size) = batch_size(&self.buffer).filter(|size| *size > self.buffer.len()) {
            self.read(size)?;
        }
        self.buffered_at = durable;
        Ok(())
    }

    fn read(&mut self, bytes: usize) -> Result<(), JournalError> {
        let path = self.disk.path(&self.name);
        let io = || JournalError::io("read", &path);
        let left = self.file.len().map_err(io())?.saturating_sub(self.offset);
        let size = usize::try_from(left).map_or(bytes, |left| left.min(bytes));
        self.buffer.resize(size, 0);
        self.start = 0;
        self.file
            .read_at(self.offset, &mut self.buffer)
            .map_err(io())
    }

    /// Steps over the batch that is in the buffer, after a look at it.
    fn pass_batch<T>(
        &mut self,
        look: impl FnOnce(&Batch<'_>) -> Result<T, Fault>,
    ) -> Result<T, JournalError> {
        let damage = |fault| JournalError::Damage {
            file: self.disk.path(&self.name),
            offset: self.offset,
            seq: self.batch.0,
            fault,
        };
        let batch = Batch::decode(self.rest()).map_err(damage)?;
        if !batch.follows(self.batch, self.chain) {
            return Err(damage(Fault::Chain));
        }
        let seen = look(&batch).map_err(|fault| JournalError::Records {
            file: self.disk.path(&self.name),
            offset: self.offset,
            seq: self.batch.0,
            fault,
        })?;
        let (size, next, hash) = (batch.size, Seq(batch.last.0 + 1), batch.hash);
        self.start += size;
        self.offset += size as u64;
        (self.batch, self.chain) = (next, hash);
        Ok(seen)
    }

    /// There is no batch at the end of this segment although more is durable: the next one has it.
    fn next_segment(&mut self) -> Result<(), JournalError> {
        let at_end = self.rest().len() < BATCH_HEADER_BYTES || self.rest().iter().all(|b| *b == 0);
        let there = segments(self.disk.as_ref())?;
        if at_end && there.first().is_some_and(|oldest| *oldest > self.batch) {
            // It was deleted under us: this reader was too slow.
            return Err(JournalError::NoRecord {
                dir: self.disk.path(""),
                seq: self.batch.0,
            });
        }
        if !at_end || !there.contains(&self.batch) {
            return Err(JournalError::Damage {
                file: self.disk.path(&self.name),
                offset: self.offset,
                seq: self.batch.0,
                fault: Fault::Magic,
            });
        }
        let (name, file, header) = open_segment(self.disk.as_ref(), self.batch)?;
        if header.chain != self.chain || header.installation != self.installation {
            let why = "it does not continue the segment before it";
            let file = self.disk.path(&name);
            return Err(JournalError::Header { file, why });
        }
        (self.name, self.file, self.version) = (name, file, header.version);
        self.offset = SEGMENT_HEADER_BYTES as u64;
        self.buffer.clear();
        self.start = 0;
        self.buffered_at = Seq(0);
        Ok(())
    }
}

/// The first records of the segments, ascending.
fn segments(disk: &dyn Disk) -> Result<Vec<Seq>, JournalError> {
    let names = disk
        .list()
        .map_err(JournalError::io("list", &disk.path("")))?;
    let mut firsts: Vec<Seq> = names.iter().filter_map(|n| segment_first(n)).collect();
    firsts.sort_unstable();
    Ok(firsts)
}

fn open_segment(
    disk: &dyn Disk,
    first: Seq,
) -> Result<(String, Box<dyn DiskFile>, SegmentHeader), JournalError> {
    let name = segment_name(first);
    let path = disk.path(&name);
    let file = disk.open_read(&name).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            // Deleted between two looks.
            let dir = disk.path("");
            JournalError::NoRecord { dir, seq: first.0 }
        } else {
            JournalError::io("open", &path)(error)
        }
    })?;
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    file.read_at(0, &mut bytes)
        .map_err(JournalError::io("read", &path))?;
    let header = match SegmentHeader::decode(&bytes) {
        Ok(header) => header,
        Err(why) => return Err(JournalError::Header { file: path, why }),
    };
    if !versions::is_known(header.version) {
        return Err(JournalError::Version {
            file: path,
            found: header.version,
            known: FORMAT_VERSION,
        });
    }
    Ok((name, file, header))
}
