//! The recorder on a disk in memory that is small or fails on demand.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::{Disk, DiskFile};
use super::*;
use crate::recording::{hole, is_hole};

/// A disk. Clones are the same one.
#[derive(Debug, Clone, Default)]
struct MemoryDisk(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    files: BTreeMap<(VenueId, String), Vec<u8>>,
    /// Most bytes of all files ever.
    peak: u64,
    /// How many bytes it takes; 0 is no limit.
    capacity: u64,
    /// Writes that fail half-way, and whether the file can be cut afterwards.
    failing: u32,
    cuts_fail: bool,
    failures: u32,
}

impl Content {
    fn used(&self) -> u64 {
        self.files.values().map(|file| file.len() as u64).sum()
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    key: (VenueId, String),
}

impl Disk for MemoryDisk {
    fn list(&self, venue: VenueId) -> io::Result<Vec<(String, u64)>> {
        let content = self.0.lock();
        let of_venue = content.files.iter().filter(|((v, _), _)| *v == venue);
        Ok(of_venue
            .map(|((_, name), file)| (name.clone(), file.len() as u64))
            .collect())
    }

    fn create(&self, venue: VenueId, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let key = (venue, name.to_owned());
        let mut content = self.0.lock();
        if content.files.contains_key(&key) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        content.files.insert(key.clone(), Vec::new());
        let disk = self.clone();
        Ok(Box::new(MemoryFile { disk, key }))
    }

    fn remove(&self, venue: VenueId, name: &str) -> io::Result<()> {
        let removed = self.0.lock().files.remove(&(venue, name.to_owned()));
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn free(&self) -> io::Result<u64> {
        let content = self.0.lock();
        Ok(match content.capacity {
            0 => u64::MAX,
            capacity => capacity.saturating_sub(content.used()),
        })
    }

    fn path(&self, venue: VenueId, name: &str) -> PathBuf {
        PathBuf::from(venue.name()).join(name)
    }
}

impl DiskFile for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut content = self.disk.0.lock();
        let fails = content.failing > 0;
        let bytes = if fails {
            content.failing -= 1;
            content.failures += 1;
            &bytes[..bytes.len() / 2]
        } else {
            bytes
        };
        let file = content.files.get_mut(&self.key).expect("an open file");
        file.extend_from_slice(bytes);
        content.peak = content.peak.max(content.used());
        if fails {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        let mut content = self.disk.0.lock();
        if content.cuts_fail {
            return Err(io::Error::other("injected"));
        }
        let file = content.files.get_mut(&self.key).expect("an open file");
        file.truncate(usize::try_from(bytes).expect("small"));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MemoryDisk {
    /// The lines of a venue's whole blocks, file after file, without their times.
    fn frames(&self, venue: VenueId) -> Vec<Vec<u8>> {
        let content = self.0.lock();
        let of_venue = content.files.iter().filter(|((v, _), _)| *v == venue);
        let mut frames = Vec::new();
        for (_, file) in of_venue {
            let mut rest = file.as_slice();
            while let Ok(size) = zstd::zstd_safe::find_frame_compressed_size(rest) {
                let lines = zstd::decode_all(&rest[..size]).expect("a whole block");
                let lines = lines.strip_suffix(b"\n").expect("whole lines");
                for line in lines.split(|c| *c == b'\n') {
                    let blank = line.iter().position(|c| *c == b' ').expect("a blank");
                    frames.push(line[blank + 1..].to_vec());
                }
                rest = &rest[size..];
            }
        }
        frames
    }

    fn sizes(&self) -> Vec<u64> {
        let content = self.0.lock();
        content.files.values().map(|f| f.len() as u64).collect()
    }
}

const NOW: Time = Time(1_723_161_253_937_085_768);

fn config() -> RecorderConfig {
    RecorderConfig {
        reserve_bytes: 0,
        retry: (Duration::from_micros(10), Duration::from_millis(1)),
        ..RecorderConfig::new(std::path::Path::new("memory"))
    }
}

fn start(disk: &MemoryDisk, config: &RecorderConfig) -> (Recorder, RecorderThread) {
    Recorder::start_on(Box::new(disk.clone()), config, None).expect("a recorder")
}

/// A recorder whose thread does not run: what is queued stays there.
fn idle(config: &RecorderConfig) -> Recorder {
    Recorder(Arc::new(Shared::new(config, Arc::default())))
}

/// Runs the thread's loop to its end over what is queued.
fn finish(recorder: &Recorder, disk: &MemoryDisk, config: &RecorderConfig) {
    let limits = Limits {
        total: config.max_bytes,
        file: config.rotate_bytes,
        age: nanos(config.rotate_interval),
        reserve: config.reserve_bytes,
    };
    let status = recorder.status();
    let output = Output::new(Box::new(disk.clone()), limits, status).expect("empty");
    let shared = Arc::clone(&recorder.0);
    shared.closing.store(true, Ordering::Release);
    thread::Writer::new(shared, output, config, Clock::start())
        .expect("a writer")
        .run();
}

fn number(n: u64) -> Vec<u8> {
    format!("{{\"n\":{n}}}").into_bytes()
}

/// Incompressible, so that sizes on disk follow what is written.
fn noise(n: u64) -> Vec<u8> {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = b"{\"x\":\"".to_vec();
    for _ in 0..200 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.extend_from_slice(format!("{state:x}").as_bytes());
    }
    text.extend_from_slice(b"\"}");
    text
}

/// Waits for the thread. What never comes is given up after a minute; nothing is measured by it.
fn until(mut done: impl FnMut() -> bool) {
    let clock = Clock::start();
    let start = clock.now();
    while !done() {
        assert!(clock.now().since(start) < 60 * 1_000_000_000, "never came");
        std::thread::yield_now();
    }
}

#[test]
fn venues_have_files_of_their_own_and_line_ends_become_blanks() {
    let disk = MemoryDisk::default();
    let (recorder, thread) = start(&disk, &config());
    recorder.frame(VenueId::Binance, NOW, b"{\"a\":\r\n1}");
    recorder.frame(VenueId::Sim, NOW, b"{}");
    recorder.frame(VenueId::Sim, NOW, b" \n");
    recorder.snapshot(VenueId::Sim, "BTCUSDT", NOW, b"{\"lastUpdateId\":1}");
    thread.close();
    assert_eq!(disk.frames(VenueId::Binance), [b"{\"a\":  1}".to_vec()]);
    let snapshot = b"{\"stream\":\"btcusdt@depthSnapshot\",\"data\":{\"lastUpdateId\":1}}";
    assert_eq!(
        disk.frames(VenueId::Sim),
        [b"{}".to_vec(), snapshot.to_vec()]
    );
    let status = recorder.status();
    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    assert_eq!((count(&status.frames), count(&status.files)), (3, 2));
    assert_eq!(
        count(&status.bytes_written),
        disk.sizes().iter().sum::<u64>()
    );
    // Behind its end nothing is recorded, and that is counted.
    recorder.frame(VenueId::Sim, NOW, b"{}");
    assert_eq!((count(&status.frames), count(&status.dropped)), (3, 1));
}

#[test]
fn a_full_queue_drops_and_marks_the_hole_where_it_was() {
    let config = RecorderConfig {
        queue_frames: 4,
        ..config()
    };
    let disk = MemoryDisk::default();
    let recorder = idle(&config);
    for n in 0..7 {
        recorder.frame(VenueId::Sim, NOW, &number(n));
    }
    assert_eq!(recorder.status().dropped.load(Ordering::Relaxed), 3);
    // Room for one entry only: the hole takes it, and the frame behind it is lost as well.
    assert!(recorder.0.pop().is_some());
    recorder.frame(VenueId::Sim, NOW, &number(7));
    assert_eq!(recorder.status().dropped.load(Ordering::Relaxed), 4);
    assert!(recorder.0.pop().is_some() && recorder.0.pop().is_some());
    recorder.frame(VenueId::Sim, NOW, &number(8));
    finish(&recorder, &disk, &config);
    let want = [number(3), hole(3), hole(1), number(8)];
    assert_eq!(disk.frames(VenueId::Sim), want);
    assert!(recorder.take_snapshot_wish(VenueId::Sim));
    assert!(!recorder.take_snapshot_wish(VenueId::Sim));
    assert!(!recorder.take_snapshot_wish(VenueId::Binance));
}

#[test]
fn bytes_are_bounded_as_well_and_a_hole_at_the_end_is_marked() {
    let config = RecorderConfig {
        queue_bytes: 10_000,
        ..config()
    };
    let disk = MemoryDisk::default();
    let recorder = idle(&config);
    recorder.frame(VenueId::Sim, NOW, &[b'x'; 9_000]);
    recorder.frame(VenueId::Sim, NOW, &[b'y'; 9_000]);
    recorder.gap(VenueId::Binance, NOW);
    finish(&recorder, &disk, &config);
    assert_eq!(disk.frames(VenueId::Sim), [vec![b'x'; 9_000], hole(1)]);
    assert_eq!(disk.frames(VenueId::Binance), [hole(0)]);
    assert_eq!(recorder.0.queued.load(Ordering::Relaxed), 0);
    // Longer than any line may be.
    let recorder = idle(&RecorderConfig::new(std::path::Path::new("memory")));
    recorder.frame(VenueId::Sim, NOW, &vec![b'x'; LINE_BYTES_MAX]);
    assert_eq!(recorder.status().dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn files_end_at_their_size_and_the_oldest_disappear() {
    let config = RecorderConfig {
        block_bytes: 4_096,
        rotate_bytes: 20_000,
        max_bytes: 160_000,
        ..config()
    };
    let disk = MemoryDisk::default();
    let foreign = (VenueId::Binance, "notes.txt".to_owned());
    disk.0.lock().files.insert(foreign.clone(), vec![0; 10]);
    let frames = 2_000;
    let (recorder, thread) = start(&disk, &config);
    for n in 0..frames {
        let venue = VenueId::ALL[usize::try_from(n % 2).expect("small")];
        // Several files a second, and now and then a clock that goes back.
        let second = i64::try_from(n / 100 - n / 300).expect("small");
        let received = NOW.plus(second * 1_000_000_000);
        recorder.frame(venue, received, &noise(n));
    }
    thread.close();
    let status = recorder.status();
    assert_eq!(status.frames.load(Ordering::Relaxed), frames);
    assert!(status.files_deleted.load(Ordering::Relaxed) > 10);
    let content = disk.0.lock();
    assert!(content.peak <= config.max_bytes + 10, "{}", content.peak);
    assert!(content.used() > config.max_bytes / 2);
    assert!(content.files.values().all(|f| f.len() <= 20_000));
    assert!(content.files.contains_key(&foreign));
    drop(content);
    disk.0.lock().files.remove(&foreign);
    for venue in VenueId::ALL.into_iter().take(2) {
        // What is left is the end of what was written, in its order.
        let index = VenueId::ALL
            .iter()
            .position(|v| *v == venue)
            .expect("known") as u64;
        let all: Vec<Vec<u8>> = (0..frames).filter(|n| n % 2 == index).map(noise).collect();
        let left = disk.frames(venue);
        assert!(left.len() > 10 && left.len() < all.len());
        assert_eq!(left, all[all.len() - left.len()..]);
    }
}

#[test]
fn files_end_at_their_age_and_names_are_never_used_twice() {
    let config = RecorderConfig {
        rotate_interval: Duration::ZERO,
        flush_interval: Duration::ZERO,
        ..config()
    };
    let disk = MemoryDisk::default();
    for run in 0..3 {
        let (recorder, thread) = start(&disk, &config);
        // The clock goes back between the runs.
        let received = NOW.plus(-run * 3_000_000_000);
        for n in 0..5 {
            recorder.frame(VenueId::Sim, received, &number(n));
            let written = recorder.status();
            until(|| written.frames.load(Ordering::Relaxed) == n + 1);
        }
        thread.close();
    }
    let names: Vec<String> = disk.0.lock().files.keys().map(|k| k.1.clone()).collect();
    assert_eq!(names.len(), 15);
    assert_eq!(names[0], "20240808T235413Z.txt.zst");
    assert_eq!(names[1], "20240808T235413Z_001.txt.zst");
    let want: Vec<Vec<u8>> = [0, 1, 2].iter().flat_map(|_| (0..5).map(number)).collect();
    assert_eq!(disk.frames(VenueId::Sim), want, "names sort as written");
}

#[test]
fn a_full_disk_loses_nothing_that_fits_the_queue_and_begins_a_fresh_file() {
    let disk = MemoryDisk::default();
    let (recorder, thread) = start(&disk, &config());
    let status = recorder.status();
    let written = |n: u64| until(|| status.frames.load(Ordering::Relaxed) == n);
    recorder.frame(VenueId::Sim, NOW, &number(0));
    written(1);
    disk.0.lock().failing = 3;
    recorder.frame(VenueId::Sim, NOW, &number(1));
    until(|| disk.0.lock().failures > 0);
    for n in 2..100 {
        recorder.frame(VenueId::Sim, NOW, &number(n));
    }
    written(100);
    thread.close();
    let all: Vec<Vec<u8>> = (0..100).map(number).collect();
    assert_eq!(disk.frames(VenueId::Sim), all);
    assert_eq!(status.dropped.load(Ordering::Relaxed), 0);
    assert_eq!(status.errors.load(Ordering::Relaxed), 3);
    assert!(status.last_error.get().is_some());
    assert_eq!(disk.sizes().len(), 2, "the failed files are not kept");
}

#[test]
fn what_may_be_half_written_is_not_written_twice() {
    let disk = MemoryDisk::default();
    let (recorder, thread) = start(&disk, &config());
    let status = recorder.status();
    recorder.frame(VenueId::Sim, NOW, &number(0));
    until(|| status.frames.load(Ordering::Relaxed) == 1);
    {
        let mut content = disk.0.lock();
        content.failing = 1;
        content.cuts_fail = true;
    }
    recorder.frame(VenueId::Sim, NOW, &number(1));
    until(|| status.dropped.load(Ordering::Relaxed) == 1);
    recorder.frame(VenueId::Sim, NOW, &number(2));
    thread.close();
    let frames = disk.frames(VenueId::Sim);
    assert_eq!(frames, [number(0), hole(1), number(2)]);
    assert!(recorder.take_snapshot_wish(VenueId::Sim));
}

#[test]
fn a_disk_that_never_recovers_ends_with_every_frame_accounted_for() {
    let disk = MemoryDisk::default();
    let config = RecorderConfig {
        queue_frames: 50,
        ..config()
    };
    let (recorder, thread) = start(&disk, &config);
    disk.0.lock().failing = u32::MAX;
    for n in 0..1_000 {
        recorder.frame(VenueId::Sim, NOW, &number(n));
    }
    until(|| disk.0.lock().failures > 1);
    thread.close();
    let status = recorder.status();
    assert_eq!(status.frames.load(Ordering::Relaxed), 0);
    assert_eq!(status.dropped.load(Ordering::Relaxed), 1_000);
    assert!(disk.frames(VenueId::Sim).is_empty());
}

#[test]
fn the_reserve_stays_free_and_recording_goes_on_when_there_is_room() {
    let disk = MemoryDisk::default();
    disk.0.lock().capacity = 50_000;
    let config = RecorderConfig {
        reserve_bytes: 20_000,
        block_bytes: 2_048,
        queue_bytes: 20_000,
        ..config()
    };
    let (recorder, thread) = start(&disk, &config);
    let status = recorder.status();
    let mut n = 0;
    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    while count(&status.dropped) == 0 || count(&status.errors) == 0 {
        recorder.frame(VenueId::Sim, NOW, &noise(n));
        n += 1;
    }
    assert!(!status.recording.load(Ordering::Relaxed));
    assert!(disk.0.lock().peak <= 30_000);
    disk.0.lock().capacity = 0;
    until(|| status.recording.load(Ordering::Relaxed));
    thread.close();
    let frames = disk.frames(VenueId::Sim);
    let lost: u64 = frames.iter().filter_map(|f| is_hole(f)).sum();
    let kept = frames.iter().filter(|f| is_hole(f).is_none()).count() as u64;
    assert_eq!(lost, status.dropped.load(Ordering::Relaxed));
    assert_eq!(kept + lost, n);
}
