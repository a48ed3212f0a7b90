//! Room on the disk: the next segment, made before it is needed, and a reserve for when the disk is full.
//!
//! The reserve is a file that takes up room. When the next segment cannot be made, or little is left, the
//! reserve is given up and the kernel told that the journal is full: it opens no orders, while cancels and
//! fills are still journaled. When there is room again the reserve is made anew and the kernel told so.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::{Disk, DiskFile};
use super::segment::SPARE;
use crate::runtime::mailbox::Bell;
use crate::status::JournalStatus;

/// The file.
pub(crate) const RESERVE: &str = "reserve";

/// The room that the journal has.
#[derive(Debug)]
pub(crate) struct Space {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    reserve_bytes: u64,
    status: Arc<JournalStatus>,
    kernel_bell: Arc<Bell>,
    reserve: Mutex<Reserve>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reserve {
    /// Not looked for yet.
    Unknown,
    Held,
    GivenUp,
    /// It cannot be made, for another reason than a lack of room: do without.
    Never,
}

impl Space {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        segment_bytes: u64,
        reserve_bytes: u64,
        status: Arc<JournalStatus>,
        kernel_bell: Arc<Bell>,
    ) -> Self {
        Self {
            disk,
            segment_bytes,
            reserve_bytes,
            status,
            kernel_bell,
            reserve: Mutex::new(Reserve::Unknown),
        }
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Whether the kernel was told that the journal is full.
    pub(crate) fn is_full(&self) -> bool {
        self.status.is_full()
    }

    /// Makes the file of the next segment, of at least `bytes`; if need be, in the room of the reserve.
    pub(crate) fn spare(&self, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let bytes = bytes.max(self.segment_bytes);
        match self.disk.create(SPARE, bytes) {
            Err(error) if is_full(&error) => {
                self.give_up(&mut self.reserve.lock(), "the next segment has no room");
                self.disk.create(SPARE, bytes)
            }
            made => made,
        }
    }

    /// Looks after the reserve; called some times a second.
    pub(crate) fn tend(&self) {
        let available = match self.disk.available() {
            Ok(available) => available,
            Err(error) => {
                tracing::debug!(%error, "cannot see how much room the disk has");
                return;
            }
        };
        let mut reserve = self.reserve.lock();
        match *reserve {
            Reserve::Unknown if self.is_there() => *reserve = Reserve::Held,
            Reserve::Unknown | Reserve::GivenUp => self.make(&mut reserve, available),
            Reserve::Held | Reserve::Never => {
                if available < self.segment_bytes {
                    self.give_up(&mut reserve, "the disk is almost full");
                } else if self.is_full() && available >= self.enough() {
                    self.tell(false);
                }
            }
        }
    }

    /// Room for the reserve and for what comes next.
    fn enough(&self) -> u64 {
        let segments = self.segment_bytes.saturating_mul(2);
        segments.saturating_add(self.reserve_bytes)
    }

    fn make(&self, reserve: &mut Reserve, available: u64) {
        const WHY: &str = "the disk has no room for the journal's reserve";
        if available < self.enough() {
            return self.give_up(reserve, WHY);
        }
        let made = if self.reserve_bytes == 0 {
            Ok(())
        } else {
            self.disk
                .occupy(RESERVE, self.reserve_bytes)
                .and_then(|()| self.disk.sync_names())
        };
        match made {
            Ok(()) => *reserve = Reserve::Held,
            Err(error) if is_full(&error) => return self.give_up(reserve, WHY),
            Err(error) => {
                tracing::warn!(%error, "the journal does without a reserve");
                *reserve = Reserve::Never;
            }
        }
        self.tell(false);
    }

    /// Whether the reserve of an earlier run is there, as large as it should be.
    fn is_there(&self) -> bool {
        let length = self.disk.open_read(RESERVE).and_then(|file| file.len());
        self.reserve_bytes > 0 && length.is_ok_and(|length| length == self.reserve_bytes)
    }

    fn give_up(&self, reserve: &mut Reserve, why: &'static str) {
        if *reserve != Reserve::Never {
            *reserve = Reserve::GivenUp;
        }
        match self.disk.remove(RESERVE) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::error!(%error, "cannot remove the journal's reserve"),
        }
        if !self.is_full() {
            tracing::error!(
                why,
                path = %self.disk.path("").display(),
                needed_mib = self.enough() >> 20,
                "the journal's disk is full: no order is opened until there is room; cancels and fills \
                 are still written, in the room of the reserve"
            );
            self.tell(true);
        }
    }

    fn tell(&self, full: bool) {
        if self.status.set_full(full) != full {
            if !full {
                tracing::info!("the journal has room again");
            }
            self.kernel_bell.ring();
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
