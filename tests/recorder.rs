//! The recorder on real files: what was written is read back, whatever cut the writing short.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use hean::kernel::types::{Time, VenueId};
use hean::recording::{
    OwnedRecord, Reader, RecordError, Recorder, RecorderConfig, RecordingError, files, scan,
};
use proptest::prelude::*;

const NOW: Time = Time(1_723_161_253_937_085_768);

fn config(dir: &Path) -> RecorderConfig {
    RecorderConfig {
        reserve_bytes: 0,
        ..RecorderConfig::new(dir)
    }
}

/// Everything that can be read, and the errors on the way.
fn read(files: &[PathBuf]) -> (Vec<OwnedRecord>, Vec<RecordingError>) {
    let mut records = Vec::new();
    let mut errors = Vec::new();
    for record in Reader::new(files) {
        match record {
            Ok(record) => records.push(record),
            Err(error) => errors.push(error),
        }
    }
    (records, errors)
}

fn write(dir: &Path, block_bytes: usize, frames: &[(i64, String)]) {
    let config = RecorderConfig {
        block_bytes,
        ..config(dir)
    };
    let (recorder, thread) = Recorder::start(&config).expect("a recorder");
    for (after, frame) in frames {
        recorder.frame(VenueId::Sim, NOW.plus(*after), frame.as_bytes());
    }
    thread.close();
    assert_eq!(recorder.status().dropped.load(Ordering::Relaxed), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn what_was_written_is_read(
        frames in prop::collection::vec((0..1_i64 << 50, "[^ \t\x0c\r\n]([^\x0c]{0,80}[^ \t\x0c\r\n])?"), 0..200),
        block_bytes in 1_usize..2_000,
    ) {
        let dir = tempfile::tempdir().expect("directory");
        write(dir.path(), block_bytes, &frames);
        let want: Vec<OwnedRecord> = frames
            .iter()
            .map(|(after, frame)| OwnedRecord {
                received: NOW.plus(*after),
                frame: frame.replace(['\n', '\r'], " ").into_bytes(),
            })
            .collect();
        if want.is_empty() {
            let none = files(&[dir.path()], VenueId::Sim);
            let none = matches!(none, Err(RecordingError::Empty { .. }));
            prop_assert!(none, "a recording of nothing");
            return Ok(());
        }
        let (records, errors) = read(&files(&[dir.path()], VenueId::Sim).expect("files"));
        prop_assert!(errors.is_empty(), "{errors:?}");
        prop_assert_eq!(records, want);
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_read_up_to_its_last_whole_block() {
    let dir = tempfile::tempdir().expect("directory");
    let frames: Vec<(i64, String)> = (0..40)
        .map(|n| (n, format!("{{\"n\":{n},\"x\":\"{}\"}}", n * 7_919)))
        .collect();
    write(dir.path(), 300, &frames);
    let all = files(&[dir.path()], VenueId::Sim).expect("files");
    let [file] = all.as_slice() else {
        panic!("one file: {all:?}");
    };
    let bytes = std::fs::read(file).expect("the file");
    // Where blocks end, and how many lines are whole there.
    let (mut ends, mut at, mut lines) = (BTreeMap::from([(0, 0)]), 0, 0);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let size = zstd::zstd_safe::find_frame_compressed_size(rest).expect("a block");
        let block = zstd::decode_all(&rest[..size]).expect("a block");
        lines += block.split(|c| *c == b'\n').count() - 1;
        at += size;
        ends.insert(at, lines);
    }
    assert!(ends.len() > 4, "several blocks: {ends:?}");
    let (whole, _) = read(&all);
    assert_eq!(whole.len(), frames.len());
    let cut = dir.path().join("cut.txt.zst");
    for length in 0..=bytes.len() {
        std::fs::write(&cut, &bytes[..length]).expect("a cut file");
        // Another file follows, and is read all the same.
        let (records, errors) = read(&[cut.clone(), file.clone()]);
        let (_, least) = ends.range(..=length).next_back().expect("a start");
        // The lines of a block whose checksum alone is missing are there as well.
        let most = ends.range(length..).next().expect("an end").1;
        let before = records.len() - whole.len();
        assert!((*least..=*most).contains(&before), "cut to {length}");
        assert!(records[..before] == whole[..before], "cut to {length}");
        assert!(records[before..] == whole[..], "behind a cut to {length}");
        match errors.as_slice() {
            [] => assert!(ends.contains_key(&length), "a silent cut to {length}"),
            [RecordingError::Torn { file, line }] => {
                assert!(!ends.contains_key(&length), "whole up to {length}");
                assert_eq!((file, *line), (&cut, before as u64));
            }
            other => panic!("cut to {length}: {other:?}"),
        }
    }
    std::fs::write(&cut, &bytes[..bytes.len() - 1]).expect("a cut file");
    let scan = scan(&[&cut], VenueId::Sim).expect("readable");
    assert_eq!(scan.malformed, 1);
    assert!(scan.first_fault.is_some_and(|fault| fault.contains("cut")));
}

#[test]
fn only_one_process_records_to_a_directory() {
    let dir = tempfile::tempdir().expect("directory");
    let (_recorder, thread) = Recorder::start(&config(dir.path())).expect("a recorder");
    let pid = std::process::id().to_string();
    match Recorder::start(&config(dir.path())) {
        Err(RecordError::Locked { pid: holder, .. }) => assert_eq!(holder, pid),
        other => panic!("{other:?}"),
    }
    thread.close();
    assert!(Recorder::start(&config(dir.path())).is_ok());
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let below = Recorder::start(&config(&file.join("dir")));
    assert!(matches!(below, Err(RecordError::Directory { .. })));
}

/// Where the process that is to be killed records, and which run it is.
const CHILD_DIR: &str = "HEAN_TEST_RECORDER_DIR";
const CHILD_RUN: &str = "HEAN_TEST_RECORDER_RUN";
/// How far it runs ahead of the disk.
const AHEAD: u64 = 2_000;

/// Records numbered frames for ever and says how many are written.
fn record_until_killed(dir: &Path, run: &str) {
    let config = RecorderConfig {
        block_bytes: 2_000,
        rotate_bytes: 20_000,
        flush_interval: Duration::from_millis(10),
        ..config(dir)
    };
    let (recorder, _thread) = Recorder::start(&config).expect("a recorder");
    let status = recorder.status();
    let mut out = std::io::stdout().lock();
    let (mut n, mut told) = (0, 0);
    loop {
        let written = status.frames.load(Ordering::Relaxed);
        if written > told {
            told = written;
            writeln!(out, "written {written}").expect("a reader");
        }
        if n < written + AHEAD {
            let frame = format!("{{\"run\":{run},\"n\":{n},\"x\":\"{}\"}}", n * 7_919);
            recorder.frame(VenueId::Sim, NOW.plus(n.cast_signed()), frame.as_bytes());
            n += 1;
        } else {
            std::thread::yield_now();
        }
    }
}

#[test]
fn heavy_what_was_written_survives_every_kill() {
    const RUNS: usize = 12;
    if let (Ok(dir), Ok(run)) = (std::env::var(CHILD_DIR), std::env::var(CHILD_RUN)) {
        return record_until_killed(Path::new(&dir), &run);
    }
    let dir = tempfile::tempdir().expect("directory");
    let mut promised = Vec::new();
    for run in 0..RUNS {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "heavy_what_was_written_survives_every_kill"])
            .arg("--nocapture")
            .env(CHILD_DIR, dir.path())
            .env(CHILD_RUN, run.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let told = BufReader::new(child.stdout.take().expect("a pipe"));
        let last = told
            .lines()
            .map_while(Result::ok)
            // libtest does not end its own line before the first of ours.
            .filter_map(|line| line.split("written ").nth(1)?.parse::<u64>().ok())
            .take(1 + run * 37 % 100)
            .last();
        child.kill().expect("it ran");
        child.wait().expect("it ends");
        promised.push(last.expect("it has written something"));
    }
    let (records, errors) = read(&files(&[dir.path()], VenueId::Sim).expect("files"));
    let torn = |error: &RecordingError| matches!(error, RecordingError::Torn { .. });
    assert!(errors.iter().all(torn), "{errors:?}");
    assert!(errors.len() <= RUNS);
    let mut counts = [0_u64; RUNS];
    let mut newest = 0;
    for record in records {
        let frame: serde_json::Value = serde_json::from_slice(&record.frame).expect("a frame");
        let run = frame["run"].as_u64().expect("a run");
        assert!(run >= newest, "runs are in order");
        newest = run;
        let count = &mut counts[usize::try_from(run).expect("small")];
        assert_eq!(frame["n"], *count, "run {run} has all frames in order");
        *count += 1;
    }
    for (run, (count, promised)) in counts.iter().zip(&promised).enumerate() {
        assert!(count >= promised, "run {run}: {count} of {promised}");
    }
}
