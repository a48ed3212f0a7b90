//! Snapshots: the durable state after one record, in a file of its own, so that a start need not read the
//! journal from its beginning and old segments can go.
//!
//! A snapshot is whole or not there: it is written under another name, synced, renamed, and its name synced.
//! The newest two are kept. Integers are little endian:
//!
//! | bytes | what | bytes | what |
//! |---|---|---|---|
//! | 0..8 | `HEANSNAP` | 40..48 | durable hash of the state |
//! | 8..12 | version of the image | 48..56 | bytes of the image |
//! | 12..16 | zero | 56..64 | xxh3-64 of the image |
//! | 16..24 | installation id | 64..72 | when it was taken, ns since the epoch |
//! | 24..32 | last record in it | 72..76 | zero |
//! | 32..40 | hash of the journal's batch that ends with that record | 76..80 | CRC32C of bytes 0..76 |
//!
//! The image follows, postcard-encoded.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use xxhash_rust::xxh3::xxh3_64;

use super::disk::Disk;
use super::format::{u32_at, u64_at};
use super::installation::InstallationId;
use crate::kernel::event::Seq;
use crate::kernel::ledger::{Image, Ledger};
use crate::kernel::types::Time;

/// What a snapshot is called while it is written.
pub(crate) const UNFINISHED: &str = "snapshot.tmp";
/// Behind the name of a snapshot that could not be read.
pub(crate) const BAD: &str = ".bad";

const MAGIC: &[u8; 8] = b"HEANSNAP";
const HEADER_BYTES: usize = 80;

/// Where a reader of the journal begins: after a snapshot, or at the first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Base {
    /// The last record that is known already.
    pub(crate) seq: Seq,
    /// Hash of the batch that ends with it; 0 before the first.
    pub(crate) chain: u64,
}

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotFault {
    /// The operating system refused.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It ends too early, or too late.
    #[error("it has not the length that it says")]
    Length,
    /// It is something else.
    #[error("it does not begin with HEANSNAP")]
    Magic,
    /// The header is damaged.
    #[error("the checksum of its header does not match")]
    Header,
    /// The image is damaged.
    #[error("the checksum of its content does not match")]
    Content,
    /// Written by another version of this program.
    #[error("it has layout {found}, this program reads {known}")]
    Version {
        /// Its layout.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Of another installation.
    #[error("it belongs to installation {0}")]
    Foreign(String),
    /// The name says another record than the header.
    #[error("it is of record {0}, which its name denies")]
    Name(u64),
    /// The image makes no sense to this program.
    #[error("its content is not understood: {0}")]
    State(String),
}

/// A snapshot's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) installation: InstallationId,
    pub(crate) base: Base,
    pub(crate) durable_hash: u64,
    pub(crate) taken: Time,
}

/// Name of the snapshot whose last record is `seq`; names sort like sequences.
pub(crate) fn snapshot_name(seq: Seq) -> String {
    format!("{:020}.snap", seq.0)
}

fn snapshot_seq(name: &str) -> Option<Seq> {
    let digits = name.strip_suffix(".snap").filter(|d| d.len() == 20)?;
    if digits.bytes().all(|c| c.is_ascii_digit()) {
        digits.parse().ok().map(Seq)
    } else {
        None
    }
}

/// The snapshots that there are, by their last records, newest first.
pub(crate) fn list(disk: &dyn Disk) -> io::Result<Vec<Seq>> {
    let mut seqs: Vec<Seq> = disk
        .list()?
        .iter()
        .filter_map(|name| snapshot_seq(name))
        .collect();
    seqs.sort_unstable_by(|a, b| b.cmp(a));
    Ok(seqs)
}

/// The bytes of a snapshot of `ledger`, whose last record ends the batch with the hash `chain`.
pub(crate) fn encode(
    installation: InstallationId,
    ledger: &Ledger,
    chain: u64,
    taken: Time,
) -> io::Result<Vec<u8>> {
    let seq = ledger.seq();
    let mut bytes = vec![0; HEADER_BYTES];
    postcard::to_io(&ledger.image(), &mut bytes).map_err(io::Error::other)?;
    let image = &bytes[HEADER_BYTES..];
    let (length, hash) = (image.len() as u64, xxh3_64(image));
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&Image::VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&installation.0);
    bytes[24..32].copy_from_slice(&seq.0.to_le_bytes());
    bytes[32..40].copy_from_slice(&chain.to_le_bytes());
    bytes[40..48].copy_from_slice(&ledger.durable_hash().to_le_bytes());
    bytes[48..56].copy_from_slice(&length.to_le_bytes());
    bytes[56..64].copy_from_slice(&hash.to_le_bytes());
    bytes[64..72].copy_from_slice(&taken.0.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..76]);
    bytes[76..80].copy_from_slice(&crc.to_le_bytes());
    Ok(bytes)
}

/// Writes the state of `ledger`, whose last record ends the batch with the hash `chain`. The journal is on
/// disk up to there. Returns how many bytes it takes.
pub(crate) fn write(
    disk: &dyn Disk,
    installation: InstallationId,
    ledger: &Ledger,
    chain: u64,
    taken: Time,
) -> io::Result<u64> {
    let seq = ledger.seq();
    let bytes = encode(installation, ledger, chain, taken)?;
    let mut file = disk.create(UNFINISHED, 0)?;
    let written = file
        .write_at(0, &bytes)
        .and_then(|()| file.sync())
        .and_then(|()| disk.rename(UNFINISHED, &snapshot_name(seq)))
        .and_then(|()| disk.sync_names());
    if written.is_err() {
        // Half of it may take the room that the journal needs; if it is gone already, so much the better.
        drop(disk.remove(UNFINISHED));
    }
    written.map(|()| bytes.len() as u64)
}

/// Leaves the snapshot `newest` and the one that it was made from, `older`. What lies between was no use, and
/// is set aside.
pub(crate) fn prune(disk: &dyn Disk, newest: Seq, older: Seq) -> io::Result<()> {
    for seq in list(disk)? {
        if seq > older && seq != newest {
            set_aside(disk, seq);
        } else if seq < older {
            disk.remove(&snapshot_name(seq))?;
        }
    }
    Ok(())
}

/// Reads a snapshot and checks everything that can be checked without the journal.
pub(crate) fn load(
    disk: &dyn Disk,
    seq: Seq,
    installation: Option<InstallationId>,
    orders_kept: usize,
) -> Result<(Header, Ledger), SnapshotFault> {
    let bytes = disk.open_read(&snapshot_name(seq))?.read_all()?;
    let (header, ledger) = read(&bytes, orders_kept)?;
    if header.base.seq != seq {
        return Err(SnapshotFault::Name(header.base.seq.0));
    }
    if installation.is_some_and(|ours| ours != header.installation) {
        return Err(SnapshotFault::Foreign(header.installation.to_string()));
    }
    Ok((header, ledger))
}

/// The state in the bytes of a snapshot.
pub(crate) fn read(bytes: &[u8], orders_kept: usize) -> Result<(Header, Ledger), SnapshotFault> {
    let (header, image) = decode(bytes)?;
    let wrong = |why: &str| SnapshotFault::State(why.to_owned());
    // The checksums hold, so this cannot fail but by a mistake of ours; then older ones may serve.
    let restored = catch_unwind(AssertUnwindSafe(|| {
        let image: Image<'_> = Image::read(u32_at(bytes, 8), image)
            .map_err(|e| SnapshotFault::State(e.to_string()))?;
        Ledger::restore(image, orders_kept).map_err(|e| SnapshotFault::State(e.to_string()))
    }));
    let ledger = restored.map_err(|_| wrong("reading it panicked"))??;
    if ledger.seq() != header.base.seq || ledger.durable_hash() != header.durable_hash {
        return Err(wrong("the state has another hash"));
    }
    Ok((header, ledger))
}

/// The header and the bytes of the image.
fn decode(bytes: &[u8]) -> Result<(Header, &[u8]), SnapshotFault> {
    let (header, image) = bytes
        .split_at_checked(HEADER_BYTES)
        .ok_or(SnapshotFault::Length)?;
    if &header[..8] != MAGIC {
        return Err(SnapshotFault::Magic);
    }
    if crc32c::crc32c(&header[..76]) != u32_at(header, 76) {
        return Err(SnapshotFault::Header);
    }
    let found = u32_at(header, 8);
    if !(Image::OLDEST..=Image::VERSION).contains(&found) {
        let known = Image::VERSION;
        return Err(SnapshotFault::Version { found, known });
    }
    if u64_at(header, 48) != image.len() as u64 {
        return Err(SnapshotFault::Length);
    }
    if u64_at(header, 56) != xxh3_64(image) {
        return Err(SnapshotFault::Content);
    }
    let mut installation = [0; 8];
    installation.copy_from_slice(&header[16..24]);
    Ok((
        Header {
            installation: InstallationId(installation),
            base: Base {
                seq: Seq(u64_at(header, 24)),
                chain: u64_at(header, 32),
            },
            durable_hash: u64_at(header, 40),
            taken: Time(u64_at(header, 64).cast_signed()),
        },
        image,
    ))
}

/// Puts a snapshot that is no use out of the way, and keeps it for whoever wants to know why.
pub(crate) fn set_aside(disk: &dyn Disk, seq: Seq) {
    let name = snapshot_name(seq);
    if let Err(error) = disk.rename(&name, &format!("{name}{BAD}")) {
        tracing::warn!(file = %disk.path(&name).display(), %error, "cannot rename a bad snapshot");
    }
}
