//! Which segments go: the oldest ones, when the journal takes more than its quota, as far as a snapshot covers
//! them and the store has them.
//!
//! A segment that no snapshot covers is never deleted. One that the store lacks stays beyond the quota, which is
//! said loudly; only when the disk is full does it go, and the store is then written anew from a snapshot.

use std::io;

use super::disk::Disk;
use super::segment::{segment_first, segment_name};
use crate::kernel::event::Seq;

/// What may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes that all segments may take together.
    pub(crate) quota: u64,
    /// Last record in the older one of the snapshots that are kept.
    pub(crate) covered: Seq,
    /// Last record in the store, if there is one.
    pub(crate) stored: Option<Seq>,
    /// The disk is full: everything goes that a snapshot covers.
    pub(crate) everything: bool,
}

/// What is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Kept {
    pub(crate) segments: u64,
    pub(crate) bytes: u64,
    pub(crate) removed: u64,
    /// First record that is left.
    pub(crate) oldest: Seq,
    /// More than the quota is left, because the store lacks the oldest.
    pub(crate) store_lags: bool,
    /// Segments were deleted that the store lacks.
    pub(crate) store_lost: bool,
}

/// Deletes what may and should be deleted, oldest first.
pub(crate) fn trim(disk: &dyn Disk, limits: Limits) -> io::Result<Kept> {
    let mut segments: Vec<(Seq, u64)> = Vec::new();
    for name in disk.list()? {
        if let Some(first) = segment_first(&name) {
            segments.push((first, disk.open_read(&name)?.len()?));
        }
    }
    segments.sort_unstable();
    let mut kept = Kept {
        segments: segments.len() as u64,
        bytes: segments.iter().map(|(_, bytes)| bytes).sum(),
        ..Kept::default()
    };
    let mut removing = true;
    for (index, (first, bytes)) in segments.iter().enumerate() {
        let over = kept.bytes > limits.quota || limits.everything;
        // The last one is written to.
        let next = segments.get(index + 1).map(|(next, _)| *next);
        removing &= over && next.is_some_and(|next| next.0 <= limits.covered.0 + 1);
        let lacking = next.is_some_and(|next| limits.stored.is_some_and(|s| s.0 + 1 < next.0));
        if removing && lacking && !limits.everything {
            kept.store_lags = true;
            removing = false;
        }
        if !removing {
            kept.oldest = *first;
            break;
        }
        disk.remove(&segment_name(*first))?;
        kept.store_lost |= lacking;
        kept.removed += 1;
        kept.segments -= 1;
        kept.bytes -= bytes;
    }
    if kept.removed > 0 {
        disk.sync_names()?;
    }
    Ok(kept)
}
