//! Recording of real frames: what a reader pays for a frame, and what the thread makes of it, beside
//! zstd alone on the same bytes.

use hean::kernel::types::{Time, VenueId};
use hean::recording::{Recorder, RecorderConfig};

use crate::recordings::Recording;
use crate::{Bench, Case};

/// Some time that files can be named after.
const NOW: Time = Time(1_723_161_253_937_085_768);

fn config(dir: &std::path::Path) -> RecorderConfig {
    RecorderConfig {
        reserve_bytes: 0,
        // All frames of a round fit, so that none is dropped however busy the machine is.
        queue_frames: 1 << 20,
        queue_bytes: 1 << 30,
        ..RecorderConfig::new(dir)
    }
}

pub(crate) fn bench(bench: &Bench, recording: &Recording) {
    let frames = recording.frames.iter();
    let frames: Vec<Vec<u8>> = frames.map(|(_, frame)| frame.clone()).collect();
    let frames = frames.as_slice();
    let dir = tempfile::tempdir().expect("directory");
    let (recorder, thread) = Recorder::start(&config(dir.path())).expect("a recorder");
    let whole = tempfile::tempdir().expect("directory");
    let record = |recorder: &Recorder| {
        for frame in frames {
            recorder.frame(VenueId::Sim, NOW, frame);
        }
    };
    let bytes: usize = frames.iter().map(Vec::len).sum();
    bench.compare(
        "record, per frame",
        vec![
            Case::new("queued by the reader", frames.len(), || {
                record(&recorder);
                frames.len() as u64
            }),
            Case::new("copied, as the queue does", frames.len(), || {
                let copies: Vec<Box<[u8]>> = frames.iter().map(|f| f.as_slice().into()).collect();
                copies.len() as u64
            }),
        ],
    );
    thread.close();
    bench.compare(
        "record, per kB of frames, from the queue to the closed file",
        vec![
            Case::new("queue, lines, zstd, file, fsync", bytes / 1_000, || {
                let (recorder, thread) = Recorder::start(&config(whole.path())).expect("one");
                record(&recorder);
                thread.close();
                frames.len() as u64
            }),
            Case::new("zstd level 3 alone, in memory", bytes / 1_000, || {
                let block = frames.concat();
                let packed = block.chunks(1 << 20).map(|b| zstd::bulk::compress(b, 3));
                packed.flatten().map(|packed| packed.len() as u64).sum()
            }),
        ],
    );
    assert_eq!(
        recorder
            .status()
            .dropped
            .load(std::sync::atomic::Ordering::Relaxed),
        0
    );
}
