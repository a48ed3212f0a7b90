//! The end of the journal, where batches are appended.
//!
//! Owner: the journal thread. Invariants: a segment gets its name after its header is on disk, and
//! after everything in the segment before it is on disk; so a bad batch before the last segment is
//! always damage. After an error the log is not used again.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::disk::{Disk, DiskFile};
use super::format::{BatchEncoder, FORMAT_VERSION, Fault, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::installation::InstallationId;
use super::space::Space;
use crate::kernel::event::{Seq, Sequenced};

/// The file that becomes the next segment.
pub(crate) const SPARE: &str = "spare.tmp";

/// A failed append: fatal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Encode(#[from] Fault),
}

/// Where the next batch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// Byte offset in the last segment.
    pub(crate) offset: u64,
    /// Size of the last segment.
    pub(crate) capacity: u64,
    /// Sequence of the next record.
    pub(crate) next: Seq,
    /// Hash of the last batch.
    pub(crate) chain: u64,
}

/// The end of the journal.
#[derive(Debug)]
pub(crate) struct Log {
    space: Arc<Space>,
    installation: InstallationId,
    file: Box<dyn DiskFile>,
    at: Position,
    synced: Seq,
    encoder: BatchEncoder,
    /// Bytes and batches written since the start.
    pub(crate) totals: (u64, u64),
    /// Prepares the next segment while this one fills: zeroing 16 MiB takes longer than an order may
    /// wait.
    spare: Option<Spare>,
    /// How that is done.
    spares: Spares,
}

type Prepared = io::Result<Box<dyn DiskFile>>;

#[derive(Debug)]
enum Spare {
    Coming(JoinHandle<Prepared>),
    #[cfg(test)]
    Here(Prepared),
}

/// Who prepares the next segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spares {
    /// A thread of its own.
    Aside,
    /// The caller, at once: for tests, where a seed decides the order of everything.
    #[cfg(test)]
    AtOnce,
}

/// Name of the segment that begins with `first`; names sort like sequences.
pub(crate) fn segment_name(first: Seq) -> String {
    format!("{:020}.wal", first.0)
}

/// The first sequence by a segment's name; `None` if it names no segment.
pub(crate) fn segment_first(name: &str) -> Option<Seq> {
    let digits = name.strip_suffix(".wal").filter(|d| d.len() == 20)?;
    if digits.bytes().all(|c| c.is_ascii_digit()) {
        digits.parse().ok().map(Seq)
    } else {
        None
    }
}

impl Log {
    /// Continues after recovery. All that `at` lies behind is on disk.
    pub(crate) fn resume(
        space: Arc<Space>,
        installation: InstallationId,
        file: Box<dyn DiskFile>,
        at: Position,
        spares: Spares,
    ) -> Self {
        let mut log = Self {
            space,
            installation,
            file,
            at,
            synced: Seq(at.next.0 - 1),
            encoder: BatchEncoder::new(),
            totals: (0, 0),
            spare: None,
            spares,
        };
        log.prepare_spare();
        log
    }

    /// Last sequence that is on disk.
    pub(crate) fn synced(&self) -> Seq {
        self.synced
    }

    /// Last sequence that was written.
    pub(crate) fn written(&self) -> Seq {
        Seq(self.at.next.0 - 1)
    }

    /// Bytes collected for the next write.
    pub(crate) fn collected(&self) -> usize {
        self.encoder.len()
    }

    /// Adds a record to the batch that the next [`Log::write`] writes.
    pub(crate) fn push(&mut self, record: &Sequenced) -> Result<(), WriteError> {
        if self.encoder.is_empty() {
            assert_eq!(record.seq, self.at.next, "records out of sequence");
        }
        Ok(self.encoder.push(record)?)
    }

    /// Writes what was pushed as one batch, by one write.
    pub(crate) fn write(&mut self) -> Result<(), WriteError> {
        if self.encoder.is_empty() {
            return Ok(());
        }
        let mut encoder = std::mem::replace(&mut self.encoder, BatchEncoder::new());
        let last = encoder.last();
        let (mut bytes, mut hash) = encoder.finish(self.synced, self.at.chain)?;
        if self.at.offset + bytes.len() as u64 > self.at.capacity {
            let size = bytes.len() as u64;
            self.roll(size)?;
            // Rolling has synced: say so in the batch.
            encoder.reopen();
            (bytes, hash) = encoder.finish(self.synced, self.at.chain)?;
        }
        self.file.write_at(self.at.offset, bytes)?;
        self.at.offset += bytes.len() as u64;
        self.totals.0 += bytes.len() as u64;
        self.totals.1 += 1;
        self.at.next = Seq(last.0 + 1);
        self.at.chain = hash;
        encoder.clear(1 << 20);
        self.encoder = encoder;
        Ok(())
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&mut self) -> Result<(), WriteError> {
        if self.synced < self.written() {
            self.file.sync()?;
            self.synced = self.written();
        }
        Ok(())
    }

    /// Begins a new segment that has room for a batch of `batch` bytes.
    fn roll(&mut self, batch: u64) -> Result<(), WriteError> {
        self.sync()?;
        let needed = SEGMENT_HEADER_BYTES as u64 + batch;
        let spare = self.spare.take().map(Spare::wait).transpose().unwrap_or_else(|error| {
            tracing::error!(%error, "the next journal segment could not be prepared; trying again");
            None
        });
        let mut file = match spare {
            Some(file) if file.len()? >= needed => file,
            _ => self.space.spare(needed)?,
        };
        let header = SegmentHeader {
            version: FORMAT_VERSION,
            installation: self.installation,
            first: self.at.next,
            chain: self.at.chain,
        };
        file.write_at(0, &header.encode())?;
        file.sync()?;
        let disk = self.space.disk();
        disk.rename(SPARE, &segment_name(self.at.next))?;
        disk.sync_names()?;
        self.at.capacity = file.len()?;
        self.at.offset = SEGMENT_HEADER_BYTES as u64;
        self.file = file;
        self.prepare_spare();
        Ok(())
    }

    fn prepare_spare(&mut self) {
        let space = Arc::clone(&self.space);
        self.spare = match self.spares {
            Spares::Aside => aside(space),
            #[cfg(test)]
            Spares::AtOnce => Some(Spare::Here(space.spare(0))),
        };
    }
}

fn aside(space: Arc<Space>) -> Option<Spare> {
    let spawned = std::thread::Builder::new()
        .name("hean-spare".to_owned())
        .spawn(move || space.spare(0));
    match spawned {
        Ok(handle) => Some(Spare::Coming(handle)),
        Err(error) => {
            tracing::warn!(%error, "no thread to prepare the next journal segment");
            None
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Nothing may touch the directory after its lock is gone.
        if let Some(Err(error)) = self.spare.take().map(Spare::wait) {
            tracing::warn!(%error, "the next journal segment could not be prepared");
        }
    }
}

impl Spare {
    fn wait(self) -> Prepared {
        match self {
            #[cfg(test)]
            Self::Here(prepared) => prepared,
            Self::Coming(handle) => handle
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the preparing thread panicked"))),
        }
    }
}

/// Creates the first segment of a new journal, for the records from `first` on.
pub(crate) fn create_first(
    disk: &dyn Disk,
    installation: InstallationId,
    segment_bytes: u64,
    first: Seq,
) -> io::Result<()> {
    let mut file = disk.create(SPARE, segment_bytes)?;
    let header = SegmentHeader {
        version: FORMAT_VERSION,
        installation,
        first,
        chain: 0,
    };
    file.write_at(0, &header.encode())?;
    file.sync()?;
    disk.rename(SPARE, &segment_name(first))?;
    disk.sync_names()
}
