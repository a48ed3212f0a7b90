//! Follows the journal while it is written, up to the durable watermark.
//!
//! A batch is on disk as a whole before the watermark passes it, so a reader that stops at the
//! watermark never sees half of one. Reads block: call from a blocking thread.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::error::JournalError;
use super::format::{
    BATCH_HEADER_BYTES, Batch, FORMAT_OLDEST, FORMAT_VERSION, Fault, SEGMENT_HEADER_BYTES,
    SegmentHeader, batch_size,
};
use super::installation::InstallationId;
use super::segment::segment_first;
use crate::kernel::event::{Seq, Sequenced};

/// Bytes read at once: some thousand records.
const READ_BYTES: usize = 1 << 18;

/// A reader of the journal.
#[derive(Debug)]
pub struct Tail {
    dir: PathBuf,
    path: PathBuf,
    file: File,
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
        let missing = || JournalError::NoRecord {
            dir: dir.to_owned(),
            seq: from.0,
        };
        let first = Self::segments(dir)?
            .into_iter()
            .take_while(|first| *first <= from)
            .last()
            .ok_or_else(missing)?;
        let (path, file, header) = open_segment(dir, first)?;
        Ok(Self {
            dir: dir.to_owned(),
            path,
            file,
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

    /// The oldest record that the journal in `dir` holds (or will hold).
    pub fn oldest(dir: &Path) -> Result<Seq, JournalError> {
        let missing = || JournalError::NoRecord {
            dir: dir.to_owned(),
            seq: 1,
        };
        Self::segments(dir)?.first().copied().ok_or_else(missing)
    }

    /// The installation that the journal belongs to.
    pub fn installation(&self) -> InstallationId {
        self.installation
    }

    /// The next record that [`Tail::next`] gives.
    pub fn position(&self) -> Seq {
        self.from.max(self.batch)
    }

    /// The records of the next batch, or `None` when everything up to `durable` was read.
    pub fn next(&mut self, durable: Seq) -> Result<Option<Vec<Sequenced>>, JournalError> {
        while self.batch <= durable {
            if self.buffered_at < self.batch || !self.holds_batch() {
                self.fill(durable)?;
            }
            if batch_size(self.rest()).is_none() {
                self.next_segment()?;
                continue;
            }
            let mut records = self.take_batch()?;
            if let Some(wanted) = records.iter().position(|r| r.seq >= self.from) {
                records.drain(..wanted);
                return Ok(Some(records));
            }
        }
        Ok(None)
    }

    fn segments(dir: &Path) -> Result<Vec<Seq>, JournalError> {
        let io = |what| JournalError::io(what, dir);
        let mut firsts = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(io("list"))? {
            let name = entry.map_err(io("list"))?.file_name();
            firsts.extend(name.to_str().and_then(segment_first));
        }
        firsts.sort_unstable();
        Ok(firsts)
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
        let io = || JournalError::io("read", &self.path);
        let length = self.file.metadata().map_err(io())?.len();
        let left = length.saturating_sub(self.offset);
        let size = usize::try_from(left).map_or(bytes, |left| left.min(bytes));
        self.buffer.resize(size, 0);
        self.start = 0;
        self.file
            .read_exact_at(&mut self.buffer, self.offset)
            .map_err(JournalError::io("read", &self.path))
    }

    fn take_batch(&mut self) -> Result<Vec<Sequenced>, JournalError> {
        let damage = |fault| JournalError::Damage {
            file: self.path.clone(),
            offset: self.offset,
            seq: self.batch.0,
            fault,
        };
        let batch = Batch::decode(self.rest()).map_err(damage)?;
        if !batch.follows(self.batch, self.chain) {
            return Err(damage(Fault::Chain));
        }
        let records = batch.records().map_err(|fault| JournalError::Records {
            file: self.path.clone(),
            offset: self.offset,
            seq: self.batch.0,
            fault,
        })?;
        let (size, next, hash) = (batch.size, Seq(batch.last.0 + 1), batch.hash);
        self.start += size;
        self.offset += size as u64;
        (self.batch, self.chain) = (next, hash);
        Ok(records)
    }

    /// There is no batch at the end of this segment although more is durable: the next one has it.
    fn next_segment(&mut self) -> Result<(), JournalError> {
        let at_end = self.rest().len() < BATCH_HEADER_BYTES || self.rest().iter().all(|b| *b == 0);
        if !at_end || !Self::segments(&self.dir)?.contains(&self.batch) {
            return Err(JournalError::Damage {
                file: self.path.clone(),
                offset: self.offset,
                seq: self.batch.0,
                fault: Fault::Magic,
            });
        }
        let (path, file, header) = open_segment(&self.dir, self.batch)?;
        if header.chain != self.chain || header.installation != self.installation {
            let why = "it does not continue the segment before it";
            return Err(JournalError::Header { file: path, why });
        }
        (self.path, self.file) = (path, file);
        self.offset = SEGMENT_HEADER_BYTES as u64;
        self.buffer.clear();
        self.start = 0;
        self.buffered_at = Seq(0);
        Ok(())
    }
}

fn open_segment(dir: &Path, first: Seq) -> Result<(PathBuf, File, SegmentHeader), JournalError> {
    let path = dir.join(super::segment::segment_name(first));
    let file = File::open(&path).map_err(JournalError::io("open", &path))?;
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    file.read_exact_at(&mut bytes, 0)
        .map_err(JournalError::io("read", &path))?;
    let header = match SegmentHeader::decode(&bytes) {
        Ok(header) => header,
        Err(why) => return Err(JournalError::Header { file: path, why }),
    };
    if !(FORMAT_OLDEST..=FORMAT_VERSION).contains(&header.version) {
        return Err(JournalError::Version {
            file: path,
            found: header.version,
            known: FORMAT_VERSION,
        });
    }
    Ok((path, file, header))
}
