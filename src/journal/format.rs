//! What is on disk, byte by byte. Integers are little endian.
//!
//! A segment is a header of [`SEGMENT_HEADER_BYTES`], batches one after the other, each padded with
//! zeros to [`ALIGN`] bytes, and zeros up to the end of the preallocated file.
//!
//! | segment header | | batch header | |
//! |---|---|---|---|
//! | 0..8 | `HEANJRNL` | 0..4 | `HBAT` |
//! | 8..12 | format version | 4..8 | CRC32C of all that follows, payload included |
//! | 12..20 | installation id | 8..12 | bytes of the payload, without padding |
//! | 20..28 | first sequence | 12..16 | zero |
//! | 28..36 | hash of the last batch before | 16..24 | first sequence |
//! | 36..60 | zero | 24..32 | last sequence |
//! | 60..64 | CRC32C of bytes 0..60 | 32..40 | sequence known to be on disk when this was written |
//! | | | 40..48 | hash of the batch before |
//!
//! The payload is postcard-encoded [`Sequenced`] records, each behind its length (u32). The hash is
//! xxh3-64 over header and payload, so batches form a chain, across segments too.

use xxhash_rust::xxh3::xxh3_64;

use super::installation::InstallationId;
use super::versions;
use crate::kernel::event::{Seq, Sequenced};

/// The newest format that this program reads and the one that it writes.
pub const FORMAT_VERSION: u32 = 3;
/// The oldest format that this program reads: version 1 described instruments without contract,
/// price limits and bands.
pub(super) const FORMAT_OLDEST: u32 = 3;
/// Bytes of a segment's header.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;
/// Bytes of a batch's header.
pub(crate) const BATCH_HEADER_BYTES: usize = 48;
/// Batches begin at multiples of this.
pub(crate) const ALIGN: usize = 8;

const SEGMENT_MAGIC: &[u8; 8] = b"HEANJRNL";
const BATCH_MAGIC: &[u8; 4] = b"HBAT";
/// Bytes before a record that say how long it is.
const LENGTH_BYTES: usize = 4;

/// What is wrong with bytes that should be a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No batch begins here.
    #[error("no batch header")]
    Magic,
    /// The file ends within the batch.
    #[error("the batch is longer than the rest of the file")]
    Short,
    /// The checksum differs.
    #[error("the checksum does not match")]
    Checksum,
    /// It does not follow the batch before it.
    #[error("it does not continue the batch before it")]
    Chain,
    /// A record cannot be decoded.
    #[error("a record cannot be decoded: {0}")]
    Record(String),
}

/// A segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) version: u32,
    pub(crate) installation: InstallationId,
    pub(crate) first: Seq,
    /// Hash of the last batch of the segment before; 0 in the first.
    pub(crate) chain: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.installation.0);
        bytes[20..28].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.chain.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header, or what is wrong with it. The version is not judged here, but a header of any
    /// version carries magic and version in the same place.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes = bytes
            .get(..SEGMENT_HEADER_BYTES)
            .ok_or("the file is shorter than a header")?;
        if &bytes[..8] != SEGMENT_MAGIC {
            return Err("it does not begin with HEANJRNL");
        }
        let version = u32_at(bytes, 8);
        if version <= FORMAT_VERSION && u32_at(bytes, 60) != crc32c::crc32c(&bytes[..60]) {
            return Err("its checksum does not match");
        }
        let mut installation = [0; 8];
        installation.copy_from_slice(&bytes[12..20]);
        Ok(Self {
            version,
            installation: InstallationId(installation),
            first: Seq(u64_at(bytes, 20)),
            chain: u64_at(bytes, 28),
        })
    }
}

/// Collects records into one batch.
#[derive(Debug)]
pub(crate) struct BatchEncoder {
    bytes: Vec<u8>,
    /// Length before padding, once finished.
    unpadded: usize,
    first: Seq,
    last: Seq,
}

impl BatchEncoder {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; BATCH_HEADER_BYTES],
            unpadded: BATCH_HEADER_BYTES,
            first: Seq(0),
            last: Seq(0),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == BATCH_HEADER_BYTES
    }

    /// Bytes so far, header included.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Last sequence in the batch.
    pub(crate) fn last(&self) -> Seq {
        self.last
    }

    /// Adds a record. Sequences must rise by one: the kernel gives them out.
    pub(crate) fn push(&mut self, record: &Sequenced) -> Result<(), Fault> {
        if self.is_empty() {
            self.first = record.seq;
        } else {
            assert_eq!(self.last.0 + 1, record.seq.0, "records out of sequence");
        }
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        let encoded = postcard::to_io(record, &mut self.bytes).map(|_| ());
        let body = at + LENGTH_BYTES;
        let length = encoded
            .map_err(|e| Fault::Record(e.to_string()))
            .and_then(|()| {
                u32::try_from(self.bytes.len() - body)
                    .map_err(|_| Fault::Record("longer than 4 GiB".to_owned()))
            });
        match length {
            Ok(length) => {
                self.bytes[at..body].copy_from_slice(&length.to_le_bytes());
                self.last = record.seq;
                Ok(())
            }
            Err(fault) => {
                self.bytes.truncate(at);
                Err(fault)
            }
        }
    }

    /// The padded batch, and its hash for the next one.
    pub(crate) fn finish(
        &mut self,
        durable_through: Seq,
        chain: u64,
    ) -> Result<(&[u8], u64), Fault> {
        let payload = self.bytes.len() - BATCH_HEADER_BYTES;
        let payload =
            u32::try_from(payload).map_err(|_| Fault::Record("batch above 4 GiB".to_owned()))?;
        self.bytes[..4].copy_from_slice(BATCH_MAGIC);
        self.bytes[8..12].copy_from_slice(&payload.to_le_bytes());
        self.bytes[12..16].fill(0);
        self.bytes[16..24].copy_from_slice(&self.first.0.to_le_bytes());
        self.bytes[24..32].copy_from_slice(&self.last.0.to_le_bytes());
        self.bytes[32..40].copy_from_slice(&durable_through.0.to_le_bytes());
        self.bytes[40..48].copy_from_slice(&chain.to_le_bytes());
        let crc = crc32c::crc32c(&self.bytes[8..]);
        self.bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        let hash = xxh3_64(&self.bytes);
        self.unpadded = self.bytes.len();
        self.bytes.resize(padded(self.bytes.len()), 0);
        Ok((&self.bytes, hash))
    }

    /// Takes back [`BatchEncoder::finish`], to finish the same records anew.
    pub(crate) fn reopen(&mut self) {
        self.bytes.truncate(self.unpadded);
    }

    /// Empties it, keeping the memory up to `keep` bytes.
    pub(crate) fn clear(&mut self, keep: usize) {
        self.bytes.truncate(BATCH_HEADER_BYTES);
        self.bytes.shrink_to(keep);
    }
}

/// A batch whose checksum holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch<'a> {
    pub(crate) first: Seq,
    pub(crate) last: Seq,
    pub(crate) durable_through: Seq,
    /// Hash of the batch before.
    pub(crate) chain: u64,
    /// Hash of this one.
    pub(crate) hash: u64,
    /// Bytes on disk, padding included.
    pub(crate) size: usize,
    payload: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Reads the batch at the beginning of `bytes`.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
        let header = bytes.get(..BATCH_HEADER_BYTES).ok_or(Fault::Short)?;
        if &header[..4] != BATCH_MAGIC {
            return Err(Fault::Magic);
        }
        let whole = unpadded_size(header);
        let batch = bytes.get(..whole).ok_or(Fault::Short)?;
        if crc32c::crc32c(&batch[8..]) != u32_at(header, 4) {
            return Err(Fault::Checksum);
        }
        Ok(Self {
            first: Seq(u64_at(header, 16)),
            last: Seq(u64_at(header, 24)),
            durable_through: Seq(u64_at(header, 32)),
            chain: u64_at(header, 40),
            hash: xxh3_64(batch),
            size: padded(whole),
            payload: &batch[BATCH_HEADER_BYTES..],
        })
    }

    /// Whether it is the batch that follows: next sequence, hash of the one before.
    pub(crate) fn follows(&self, next: Seq, chain: u64) -> bool {
        self.first == next && self.last >= self.first && self.chain == chain
    }

    /// The records, each checked to have its place in the sequence; `version` is the format of the segment.
    pub(crate) fn records(&self, version: u32) -> Result<Vec<Sequenced>, Fault> {
        let wrong = |text: &str| Fault::Record(text.to_owned());
        let mut records = Vec::new();
        let mut rest = self.payload;
        let mut seq = self.first.0;
        while !rest.is_empty() {
            let (length, after) = rest
                .split_at_checked(LENGTH_BYTES)
                .ok_or_else(|| wrong("no length"))?;
            let (body, after) = after
                .split_at_checked(u32_at(length, 0) as usize)
                .ok_or_else(|| wrong("longer than its batch"))?;
            let record = versions::record(version, body)?;
            if record.seq.0 != seq {
                return Err(wrong("out of sequence"));
            }
            records.push(record);
            seq = seq.wrapping_add(1);
            rest = after;
        }
        if seq == self.last.0.wrapping_add(1) {
            Ok(records)
        } else {
            Err(wrong("records are missing in the batch"))
        }
    }
}

/// Bytes that a batch takes, by its header alone; `None` if there is no header.
pub(crate) fn batch_size(header: &[u8]) -> Option<usize> {
    let header = header.get(..BATCH_HEADER_BYTES)?;
    (&header[..4] == BATCH_MAGIC).then(|| padded(unpadded_size(header)))
}

fn unpadded_size(header: &[u8]) -> usize {
    BATCH_HEADER_BYTES.saturating_add(u32_at(header, 8) as usize)
}

fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN)
}

/// The callers have checked the length.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
