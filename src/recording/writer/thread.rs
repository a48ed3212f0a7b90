//! The recorder's thread: collects lines in blocks, compresses a block, hands it to the files, and
//! waits out a disk that fails.
//!
//! Memory: a block a venue (1 MiB and one line), its compressed form, and a compressor of less
//! than 4 MiB (level 3, window 1 MiB), which a test holds it to.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, compress_bound};

use super::output::{Failure, Output};
use super::{Entry, RecorderConfig, Shared, What, nanos};
use crate::kernel::types::{Time, VenueId};
use crate::recording::hole::hole;
use crate::runtime::clock::Clock;

/// Compression level: the usual one.
const LEVEL: i32 = 3;
/// Base-two logarithm of the window: nothing is looked for farther back than 1 MiB.
const WINDOW_LOG: u32 = 20;
/// The first time that readers take for nanoseconds (in 1973); earlier ones are written as it.
const TIME_MIN: i64 = 100_000_000_000_000_000;
/// Entries taken between two looks at the clock.
const BATCH: usize = 4_096;

/// Everything that the thread owns.
pub(super) struct Writer {
    shared: Arc<Shared>,
    output: Output,
    clock: Clock,
    compressor: Compressor<'static>,
    packed: Vec<u8>,
    blocks: Vec<Block>,
    block_bytes: usize,
    /// Half of what a frame may wait: the rest is for the queue.
    patience: Duration,
    retry: (Duration, Duration),
    trouble: Option<Trouble>,
}

/// Lines of a venue that are not written yet.
struct Block {
    venue: VenueId,
    lines: Vec<u8>,
    frames: u64,
    first: Time,
    last: Time,
    /// When it has to be written at the latest.
    due: Time,
}

/// The disk fails.
struct Trouble {
    pause: Duration,
    until: Time,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        output: Output,
        config: &RecorderConfig,
        clock: Clock,
    ) -> io::Result<Self> {
        Ok(Self {
            shared,
            output,
            clock,
            compressor: compressor()?,
            packed: Vec::new(),
            blocks: Vec::new(),
            block_bytes: config.block_bytes,
            patience: config.flush_interval / 2,
            retry: config.retry,
            trouble: None,
        })
    }

    /// Until the recorder is closed.
    pub(super) fn run(mut self) {
        self.shared.status.recording.store(true, Ordering::Relaxed);
        loop {
            // Read before the queue: what was queued before closing is then seen.
            let closing = self.shared.closing.load(Ordering::Acquire);
            let now = self.clock.now();
            let waiting = self.trouble.as_ref().is_some_and(|t| now < t.until);
            if waiting && !closing {
                self.sleep(now);
                continue;
            }
            let empty = self.drain(now);
            let written = self.write_due(closing || self.trouble.is_some());
            self.output.tick(self.clock.now());
            match (closing, written && empty) {
                (true, true) => break,
                (false, true) => self.sleep(now),
                (true, false) if self.trouble.is_some() => {
                    self.give_up();
                    break;
                }
                (_, false) => {}
            }
        }
        self.output.finish();
        self.shared.status.recording.store(false, Ordering::Relaxed);
    }

    /// Sleeps until there is something to do; not longer than a frame may wait.
    fn sleep(&self, now: Time) {
        let shared = &self.shared;
        let closing = || shared.closing.load(Ordering::Acquire);
        let Some(trouble) = &self.trouble else {
            return shared
                .bell
                .wait(self.patience, || closing() || shared.is_urgent());
        };
        let left = u64::try_from(trouble.until.since(now)).unwrap_or(0);
        shared.bell.wait(Duration::from_nanos(left), closing);
    }

    /// Takes what is queued, writing full blocks on the way; stops at a failure. Whether nothing is
    /// left.
    fn drain(&mut self, now: Time) -> bool {
        if self.trouble.is_some() && self.blocks.iter().any(|b| !b.lines.is_empty()) {
            return false; // first what could not be written
        }
        for _ in 0..BATCH {
            let Some(entry) = self.shared.pop() else {
                self.mark_holes(now);
                return true;
            };
            let index = self.take(entry, now);
            if self.blocks[index].lines.len() >= self.block_bytes && !self.write(index) {
                return false;
            }
        }
        false
    }

    /// Holes that no later frame has marked.
    fn mark_holes(&mut self, now: Time) {
        for venue in VenueId::ALL {
            if let Some((received, lost)) = self.shared.take_hole(venue) {
                let what = What::Hole(lost);
                let entry = Entry {
                    venue,
                    received,
                    what,
                };
                self.take(entry, now);
            }
        }
    }

    /// Adds an entry to its venue's block; which one that is.
    fn take(&mut self, entry: Entry, now: Time) -> usize {
        let venue = entry.venue;
        let known = self.blocks.iter().position(|block| block.venue == venue);
        let index = known.unwrap_or(self.blocks.len());
        if known.is_none() {
            self.blocks.push(Block::new(venue, self.block_bytes));
        }
        let block = &mut self.blocks[index];
        if block.lines.is_empty() {
            block.first = entry.received;
            block.due = now.plus(nanos(self.patience));
        }
        block.last = entry.received;
        match entry.what {
            What::Frame(frame) => {
                block.line(entry.received, &frame);
                block.frames += 1;
            }
            What::Hole(lost) => {
                if lost > 0 {
                    tracing::warn!(%venue, frames = lost, "frames could not be recorded");
                    self.wish_snapshots(venue);
                }
                self.blocks[index].line(entry.received, &hole(lost));
            }
        }
        index
    }

    /// Writes the blocks that are due, or all. Whether everything went well.
    fn write_due(&mut self, all: bool) -> bool {
        let now = self.clock.now();
        for index in 0..self.blocks.len() {
            let block = &self.blocks[index];
            if !block.lines.is_empty() && (all || now >= block.due) && !self.write(index) {
                return false;
            }
        }
        true
    }

    /// Writes a block. Whether it is written.
    fn write(&mut self, index: usize) -> bool {
        let now = self.clock.now();
        let block = &self.blocks[index];
        let (venue, first) = (block.venue, block.first);
        self.packed.clear();
        self.packed.reserve(compress_bound(block.lines.len()));
        let written = self
            .compressor
            .compress_to_buffer(&block.lines, &mut self.packed)
            .map_err(Failure::Spoilt)
            .and_then(|_| self.output.write(venue, &self.packed, first, now));
        match written {
            Ok(new_file) => {
                let status = &self.shared.status;
                let block = &mut self.blocks[index];
                let raw = block.lines.len() as u64;
                status.frames.fetch_add(block.frames, Ordering::Relaxed);
                status.bytes_raw.fetch_add(raw, Ordering::Relaxed);
                block.clear(self.block_bytes);
                if self.trouble.take().is_some() {
                    status.recording.store(true, Ordering::Relaxed);
                    tracing::info!("recording again");
                }
                if new_file && status.files.load(Ordering::Relaxed) > 1 {
                    self.wish_snapshots(venue);
                }
                true
            }
            Err(failure) => {
                self.fail(index, &failure, now);
                false
            }
        }
    }

    fn fail(&mut self, index: usize, failure: &Failure, now: Time) {
        let status = &self.shared.status;
        status.errors.fetch_add(1, Ordering::Relaxed);
        status.last_error.set(now);
        status.recording.store(false, Ordering::Relaxed);
        let pause = if let Some(trouble) = &self.trouble {
            trouble.pause.saturating_mul(2).min(self.retry.1)
        } else {
            tracing::error!(
                error = %failure,
                "recording has stopped; it goes on when the disk takes a file again"
            );
            self.retry.0
        };
        let until = now.plus(nanos(pause));
        self.trouble = Some(Trouble { pause, until });
        if matches!(failure, Failure::Spoilt(_)) {
            // A part may be in the file: once more would be twice.
            self.lose(index);
        }
    }

    /// The frames of a block are lost.
    fn lose(&mut self, index: usize) {
        let block = &mut self.blocks[index];
        let frames = block.frames;
        self.shared.lose(block.venue, block.last, frames);
        block.clear(self.block_bytes);
    }

    /// The disk fails at the end: what is left is lost.
    fn give_up(&mut self) {
        for index in 0..self.blocks.len() {
            self.lose(index);
        }
        while let Some(entry) = self.shared.pop() {
            if let What::Frame(_) = entry.what {
                self.shared.lose(entry.venue, entry.received, 1);
            }
        }
        let frames = self.shared.status.dropped.load(Ordering::Relaxed);
        tracing::error!(frames, "the recording ends without its last frames");
    }

    fn wish_snapshots(&self, venue: VenueId) {
        if let Some(venue) = self.shared.venue(venue) {
            venue.wants_snapshots.store(true, Ordering::Relaxed);
        }
    }
}

impl Block {
    fn new(venue: VenueId, bytes: usize) -> Self {
        Self {
            venue,
            lines: Vec::with_capacity(bytes),
            frames: 0,
            first: Time::ZERO,
            last: Time::ZERO,
            due: Time::ZERO,
        }
    }

    /// Appends `<receive time> <frame>`. Line ends inside of a frame become blanks, which mean the
    /// same there: a JSON string cannot hold any.
    fn line(&mut self, received: Time, frame: &[u8]) {
        let time = received.0.max(TIME_MIN);
        // Writing to memory cannot fail.
        drop(write!(self.lines, "{time} "));
        let start = self.lines.len();
        self.lines.extend_from_slice(frame);
        for byte in self.lines.iter_mut().skip(start) {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        self.lines.push(b'\n');
    }

    /// Empties it; what one large frame took is given back.
    fn clear(&mut self, bytes: usize) {
        self.lines.clear();
        self.lines.shrink_to(bytes.saturating_mul(2));
        self.frames = 0;
    }
}

/// Makes of each block one whole zstd frame with a checksum.
fn compressor() -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(compressor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compressor_stays_below_four_mebibytes() {
        let mut compressor = compressor().expect("zstd");
        let lines: Vec<u8> = (0..8_u32 << 20).map(|n| (n % 251) as u8).collect();
        for size in [1 << 10, 1 << 20, lines.len()] {
            let packed = compressor.compress(&lines[..size]).expect("zstd");
            assert_eq!(zstd::decode_all(&packed[..]).expect("zstd"), &lines[..size]);
            assert!(compressor.context_mut().sizeof() < 4 << 20);
        }
    }
}
