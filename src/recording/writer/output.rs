//! The files of a recorder: named by time, rotated by size and age, the oldest deleted when the
//! directory is full.
//!
//! Invariants: a file name is never used twice, and within a venue names sort in the order of
//! writing, whatever the clock does; only files named by this scheme are ever deleted, never one that
//! is being written; after a failed write the file ends where it ended before, or the write is
//! reported as [`Failure::Spoilt`] and must not be repeated.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::disk::{Disk, DiskFile};
use crate::kernel::types::{DAY, SECOND, Time, VenueId};
use crate::status::RecorderStatus;

/// What every file name ends with.
const SUFFIX: &str = ".txt.zst";
/// Files of one second and venue.
const SAME_SECOND_MAX: u16 = 999;
/// Files that are kept at most, however small they are.
const FILES_MAX: usize = 65_536;

/// When files end and disappear.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// All files together, in bytes.
    pub(super) total: u64,
    /// One file, in bytes.
    pub(super) file: u64,
    /// One file, in nanoseconds from its first write.
    pub(super) age: i64,
    /// Free bytes that are left to others.
    pub(super) reserve: u64,
}

/// A write that did not happen.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Nothing of it is in any file: it can be repeated.
    #[error(transparent)]
    Clean(#[from] io::Error),
    /// The file system has no more to give than others shall keep: it can be repeated.
    #[error("only {free} bytes are free, and {reserve} are left to others")]
    Reserve {
        /// Free bytes.
        free: u64,
        /// What has to stay free.
        reserve: u64,
    },
    /// A part of it may be in the file.
    #[error("{0}; the file could not be repaired")]
    Spoilt(io::Error),
}

/// The files.
#[derive(Debug)]
pub(super) struct Output {
    disk: Box<dyn Disk>,
    limits: Limits,
    /// Sizes of the closed files; sorted by time over all venues.
    closed: BTreeMap<(String, VenueId), u64>,
    closed_bytes: u64,
    open: Vec<Open>,
    /// By venue: the newest name.
    newest: BTreeMap<VenueId, String>,
    status: Arc<RecorderStatus>,
}

#[derive(Debug)]
struct Open {
    venue: VenueId,
    name: String,
    file: Box<dyn DiskFile>,
    bytes: u64,
    since: Time,
}

impl Output {
    /// Looks at what is there from before.
    pub(super) fn new(
        disk: Box<dyn Disk>,
        limits: Limits,
        status: Arc<RecorderStatus>,
    ) -> io::Result<Self> {
        let mut out = Self {
            disk,
            limits,
            closed: BTreeMap::new(),
            closed_bytes: 0,
            open: Vec::new(),
            newest: BTreeMap::new(),
            status,
        };
        for venue in VenueId::ALL {
            for (name, bytes) in out.disk.list(venue)? {
                if is_ours(&name) {
                    out.keep(venue, name, bytes);
                }
            }
        }
        Ok(out)
    }

    fn keep(&mut self, venue: VenueId, name: String, bytes: u64) {
        let newest = self.newest.entry(venue).or_default();
        if name > *newest {
            newest.clone_from(&name);
        }
        self.closed_bytes = self.closed_bytes.saturating_add(bytes);
        self.closed.insert((name, venue), bytes);
    }

    /// Bytes of all files.
    fn used(&self) -> u64 {
        let open: u64 = self.open.iter().map(|open| open.bytes).sum();
        self.closed_bytes.saturating_add(open)
    }

    /// Appends `block`, whose first frame was received at `first`, to the venue's file. Whether a
    /// new file was begun for it.
    pub(super) fn write(
        &mut self,
        venue: VenueId,
        block: &[u8],
        first: Time,
        now: Time,
    ) -> Result<bool, Failure> {
        let size = block.len() as u64;
        self.make_room(size);
        let (free, reserve) = (self.disk.free()?, self.limits.reserve);
        if free < reserve.saturating_add(size) {
            return Err(Failure::Reserve { free, reserve });
        }
        let at = |open: &[Open]| open.iter().position(|open| open.venue == venue);
        if let Some(index) = at(&self.open)
            && self.open[index].bytes.saturating_add(size) > self.limits.file
        {
            self.close(index);
        }
        let (index, new) = match at(&self.open) {
            Some(index) => (index, false),
            None => (self.begin(venue, first, now)?, true),
        };
        let open = &mut self.open[index];
        if let Err(error) = open.file.append(block) {
            let repaired = open.file.cut(open.bytes);
            self.close(index);
            return Err(match repaired {
                Ok(()) => Failure::Clean(error),
                Err(_) => Failure::Spoilt(error),
            });
        }
        open.bytes = open.bytes.saturating_add(size);
        self.status.bytes_written.fetch_add(size, Relaxed);
        Ok(new)
    }

    /// Deletes the oldest closed files until `more` bytes fit.
    fn make_room(&mut self, more: u64) {
        while self.used().saturating_add(more) > self.limits.total || self.closed.len() > FILES_MAX
        {
            let Some(((name, venue), bytes)) = self.closed.pop_first() else {
                return;
            };
            self.closed_bytes = self.closed_bytes.saturating_sub(bytes);
            match self.disk.remove(venue, &name) {
                Ok(()) => {
                    self.status.files_deleted.fetch_add(1, Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let file = self.disk.path(venue, &name);
                    tracing::warn!(file = %file.display(), %error, "cannot delete an old recording");
                }
            }
        }
    }

    /// Begins a file; its place in `open`.
    fn begin(&mut self, venue: VenueId, first: Time, now: Time) -> io::Result<usize> {
        let second = stamp(first);
        let newest = self.newest.get(&venue).map_or("", String::as_str);
        // A clock that went back must not put a file before older ones.
        let second = match newest.get(..second.len()) {
            Some(newest) if newest > second.as_str() => newest.to_owned(),
            _ => second,
        };
        let mut names = (0..=SAME_SECOND_MAX).map(|n| match n {
            0 => format!("{second}{SUFFIX}"),
            // An underscore sorts behind the point of the name without a number.
            n => format!("{second}_{n:03}{SUFFIX}"),
        });
        let (name, file) = loop {
            let Some(name) = names.next() else {
                return Err(io::Error::other("too many recordings in one second"));
            };
            if name.as_str() <= newest {
                continue;
            }
            match self.disk.create(venue, &name) {
                Ok(file) => break (name, file),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        tracing::info!(file = %self.disk.path(venue, &name).display(), "recording");
        self.newest.insert(venue, name.clone());
        self.status.files.fetch_add(1, Relaxed);
        self.open.push(Open {
            venue,
            name,
            file,
            bytes: 0,
            since: now,
        });
        Ok(self.open.len() - 1)
    }

    /// Closes the files that are old enough.
    pub(super) fn tick(&mut self, now: Time) {
        let age = self.limits.age;
        while let Some(index) = self.open.iter().position(|o| now.since(o.since) >= age) {
            self.close(index);
        }
    }

    /// Closes all files.
    pub(super) fn finish(&mut self) {
        while !self.open.is_empty() {
            self.close(0);
        }
    }

    fn close(&mut self, index: usize) {
        let mut open = self.open.swap_remove(index);
        let ended = if open.bytes == 0 {
            self.disk.remove(open.venue, &open.name)
        } else {
            let synced = open.file.sync();
            self.keep(open.venue, open.name.clone(), open.bytes);
            synced
        };
        if let Err(error) = ended {
            self.status.errors.fetch_add(1, Relaxed);
            let file = self.disk.path(open.venue, &open.name);
            tracing::warn!(file = %file.display(), %error, "a recording may not survive a power cut");
        }
    }
}

/// Whether a file was named here.
fn is_ours(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(SUFFIX) else {
        return false;
    };
    let shape = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text.bytes().zip(shape.bytes()).all(|(c, want)| match want {
                b'0' => c.is_ascii_digit(),
                want => c == want,
            })
    };
    shape(stem, "00000000T000000Z") || shape(stem, "00000000T000000Z_000")
}

/// `YYYYMMDDTHHMMSSZ`.
fn stamp(time: Time) -> String {
    // Civil date from days (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let days = time.0.div_euclid(DAY) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153; // March is 0
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let (month, carry) = if shifted_month < 10 {
        (shifted_month + 3, 0)
    } else {
        (shifted_month - 9, 1)
    };
    let year = year_of_era + era * 400 + carry;
    let second = time.0.rem_euclid(DAY) / SECOND;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_utc_dates() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_723_161_253, "20240808T235413Z"),
            (1_735_689_599, "20241231T235959Z"),
            (4_107_542_399, "21000228T235959Z"),
        ] {
            assert_eq!(stamp(Time(seconds * SECOND)), text);
        }
    }

    #[test]
    fn only_names_of_ours_are_ours() {
        for ours in ["20240808T235413Z.txt.zst", "20240808T235413Z_017.txt.zst"] {
            assert!(is_ours(ours), "{ours}");
        }
        for other in [
            "binance_spot_btcusdt_20240808.txt.zst",
            "20240808T235413Z.txt",
            "20240808T235413Z_17.txt.zst",
            "20240808T235413.txt.zst",
            "notes.txt.zst",
            ".txt.zst",
        ] {
            assert!(!is_ours(other), "{other}");
        }
    }
}
