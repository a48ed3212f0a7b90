//! The journal on a real disk: reopening, rolling, following, dying.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hean::journal::{
    self, InstallationId, JournalConfig, JournalError, JournalHandle, Opened, SyncPolicy, Tail,
};
use hean::kernel::event::{Record, Seq, Sequenced};
use hean::kernel::ledger::Ledger;
use hean::kernel::types::{Money, Time};
use hean::status::JournalStatus;

fn record(seq: u64) -> Sequenced {
    let record = if seq.is_multiple_of(3) {
        Record::Equity {
            equity: Money(i128::from(seq) << 70),
            zone_minutes: 0,
        }
    } else {
        Record::Transfer {
            asset: "USDT".repeat(usize::try_from(seq % 50).unwrap()),
            amount: Money(-i128::from(seq)),
            value: Money(-i128::from(seq)),
        }
    };
    Sequenced {
        seq: Seq(seq),
        time: Time(1_700_000_000_000_000_000),
        record,
    }
}

fn config(dir: &Path) -> JournalConfig {
    JournalConfig {
        segment_bytes: 8_192,
        batch_bytes_max: 1_024,
        ..JournalConfig::new(dir)
    }
}

fn open(config: &JournalConfig) -> Result<(Opened, Vec<Sequenced>), JournalError> {
    let mut records = Vec::new();
    let opened = journal::open(config, &mut |record| {
        records.push(record.clone());
        Ok(())
    })?;
    Ok((opened, records))
}

fn start(opened: Opened) -> JournalHandle {
    opened
        .journal
        .start(Arc::new(JournalStatus::default()), Arc::default())
        .unwrap()
}

/// Appends records `from..=to`, some to a batch, waiting for space.
fn append(journal: &JournalHandle, from: u64, to: u64) {
    let all: Vec<_> = (from..=to).map(record).collect();
    for batch in all.chunks(7) {
        let mut batch = batch.to_vec();
        while let Err(back) = journal.append(batch) {
            batch = back;
            std::thread::yield_now();
        }
    }
}

fn wait_durable(journal: &JournalHandle, seq: u64) {
    let mut durable = journal.durable();
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(durable.wait_for(|d| d.0 >= seq))
        .unwrap();
}

#[test]
fn what_was_written_is_read_again_over_many_segments_and_starts() {
    for sync in [
        SyncPolicy::Always,
        SyncPolicy::Interval(Duration::from_millis(1)),
        SyncPolicy::Os,
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = JournalConfig {
            sync,
            ..config(dir.path())
        };
        let mut next = 1;
        let mut id = None;
        for round in 1..=4 {
            let (opened, records) = open(&config).unwrap();
            assert_eq!(opened.next_seq, Seq(next));
            assert_eq!(opened.recovered.records, next - 1);
            assert_eq!(opened.recovered.cut_bytes, 0);
            assert!(round == 1 || opened.recovered.segments > 1);
            assert_eq!(records, (1..next).map(record).collect::<Vec<_>>());
            let installation = opened.journal.installation();
            assert_eq!(*id.get_or_insert(installation), installation);
            let journal = start(opened);
            append(&journal, next, next + 299);
            next += 300;
            journal.close();
        }
        let text = std::fs::read_to_string(dir.path().join("installation")).unwrap();
        assert_eq!(InstallationId::parse(text.trim()), id);
        // The journal knows its id, should the file be lost.
        std::fs::remove_file(dir.path().join("installation")).unwrap();
        assert_eq!(Some(open(&config).unwrap().0.journal.installation()), id);
    }
}

#[test]
fn the_durable_watermark_is_told_in_every_way() {
    let dir = tempfile::tempdir().unwrap();
    let (opened, _) = open(&config(dir.path())).unwrap();
    let status = Arc::new(JournalStatus::default());
    let journal = opened
        .journal
        .start(Arc::clone(&status), Arc::default())
        .unwrap();
    append(&journal, 1, 50);
    wait_durable(&journal, 50);
    assert_eq!(status.durable(), Seq(50));
    drop(journal);
    let (opened, _) = open(&config(dir.path())).unwrap();
    let status = Arc::new(JournalStatus::default());
    let journal = opened
        .journal
        .start(Arc::clone(&status), Arc::default())
        .unwrap();
    assert_eq!(status.durable(), Seq(50));
    assert_eq!(*journal.durable().borrow(), Seq(50));
}

#[test]
fn a_data_directory_has_one_user() {
    let dir = tempfile::tempdir().unwrap();
    let (opened, _) = open(&config(dir.path())).unwrap();
    let text = open(&config(dir.path())).unwrap_err().to_string();
    assert!(text.contains(&std::process::id().to_string()), "{text}");
    let journal = start(opened);
    assert!(matches!(
        open(&config(dir.path())),
        Err(JournalError::Locked { .. })
    ));
    journal.close();
    open(&config(dir.path())).unwrap();
}

#[test]
fn a_tail_follows_the_writer_from_any_record() {
    const LAST: u64 = 3_000;
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let (opened, _) = open(&config).unwrap();
    let id = opened.journal.installation();
    let journal = start(opened);
    std::thread::scope(|scope| {
        for from in [1, 2, 777, LAST] {
            let (durable, dir) = (journal.durable(), config.journal_dir());
            scope.spawn(move || follow(&dir, from, LAST, durable, id));
        }
        append(&journal, 1, LAST);
    });
    let mut late = Tail::open(&config.journal_dir(), Seq(LAST + 5)).unwrap();
    assert_eq!(late.next(Seq(LAST)).unwrap(), None);
    append(&journal, LAST + 1, LAST + 6);
    wait_durable(&journal, LAST + 6);
    let records = late.next(Seq(LAST + 6)).unwrap().unwrap();
    assert_eq!(records[0], record(LAST + 5));
}

/// Reads records `from..=last` while they are written.
fn follow(
    dir: &Path,
    from: u64,
    last: u64,
    mut durable: tokio::sync::watch::Receiver<Seq>,
    id: InstallationId,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    // A tail of a record that is in no segment yet starts where the journal is.
    let mut tail = Tail::open(dir, Seq(from)).unwrap();
    assert_eq!(tail.installation(), id);
    let mut next = from;
    while next <= last {
        let seq = *runtime.block_on(durable.wait_for(|d| d.0 >= next)).unwrap();
        while let Some(records) = tail.next(seq).unwrap() {
            for got in records {
                assert_eq!(got, record(next));
                assert!(got.seq <= seq);
                next += 1;
            }
        }
        assert_eq!(tail.position(), Seq(next));
    }
}

#[test]
fn journals_that_are_not_ours_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let journal = start(open(&config).unwrap().0);
    append(&journal, 1, 400);
    journal.close();
    let mut names: Vec<_> = std::fs::read_dir(config.journal_dir())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "wal"))
        .collect();
    names.sort();
    assert!(names.len() > 2);

    std::fs::write(dir.path().join("installation"), "another1\n").unwrap();
    let error = open(&config).unwrap_err();
    assert!(matches!(error, JournalError::Foreign { .. }), "{error}");
    std::fs::write(dir.path().join("installation"), "not an id").unwrap();
    let error = open(&config).unwrap_err();
    assert!(
        matches!(error, JournalError::Installation { .. }),
        "{error}"
    );
    std::fs::remove_file(dir.path().join("installation")).unwrap();

    let whole = std::fs::read(&names[1]).unwrap();
    let mut newer = whole.clone();
    newer[8] = 200;
    std::fs::write(&names[1], &newer).unwrap();
    let error = open(&config).unwrap_err();
    assert!(
        matches!(error, JournalError::Version { found: 200, .. }),
        "{error}"
    );
    std::fs::remove_file(&names[1]).unwrap();
    let error = open(&config).unwrap_err();
    assert!(matches!(error, JournalError::Missing { .. }), "{error}");

    let mut flipped = whole;
    flipped[200] ^= 1;
    std::fs::write(&names[1], &flipped).unwrap();
    let error = open(&config).unwrap_err();
    assert!(matches!(error, JournalError::Damage { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&*names[1].to_string_lossy()), "{text}");
    assert!(text.contains("backup"), "{text}");
}

#[test]
fn a_record_that_does_not_fit_the_state_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let journal = start(open(&config).unwrap().0);
    let lost = Sequenced {
        record: Record::Transfer {
            asset: "USDT".to_owned(),
            amount: Money(i128::MAX),
            value: Money(i128::MAX),
        },
        ..record(2)
    };
    let transfer = |seq| Sequenced {
        seq: Seq(seq),
        ..lost.clone()
    };
    journal.append(vec![transfer(1), transfer(2)]).unwrap();
    journal.close();
    let mut ledger = Ledger::new(10);
    let error = journal::open(&config, &mut |r| ledger.apply(r).map(|_| ())).unwrap_err();
    assert!(
        matches!(error, JournalError::Apply { seq: 2, .. }),
        "{error}"
    );
}

#[test]
fn settings_without_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for bad in [
        JournalConfig {
            segment_bytes: 10,
            ..config(dir.path())
        },
        JournalConfig {
            queue: 0,
            ..config(dir.path())
        },
        JournalConfig {
            batch_bytes_max: 0,
            ..config(dir.path())
        },
    ] {
        assert!(matches!(open(&bad), Err(JournalError::Config { .. })));
    }
}

/// The thread beside the journal makes snapshots and deletes what they cover, while records go on.
#[test]
fn snapshots_are_made_beside_the_running_journal_and_old_segments_go() {
    const EVERY: u64 = 400;
    const KEPT: usize = 10;
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig {
        snapshot_every: EVERY,
        disk_quota: 3 * 8_192,
        reserve_bytes: 1 << 16,
        ..config(dir.path())
    };
    let mut whole = Ledger::new(KEPT);
    let mut next = 1;
    for round in 0..4 {
        let (opened, ledger) = journal::recover(&config, KEPT).unwrap();
        assert_eq!(opened.next_seq, Seq(next));
        assert_eq!(ledger.durable_hash(), whole.durable_hash());
        let found = opened.recovered;
        assert_eq!(found.snapshot.is_some(), round > 0);
        assert_eq!(found.records + found.snapshot.map_or(0, |s| s.0), next - 1);
        let status = Arc::new(JournalStatus::default());
        let journal = opened
            .journal
            .start(Arc::clone(&status), Arc::default())
            .unwrap();
        // Three times as many records as a snapshot needs, one snapshot after the other.
        for made in 1..=3 {
            append(&journal, next, next + EVERY - 1);
            for seq in next..next + EVERY {
                whole.apply(&record(seq)).unwrap();
            }
            next += EVERY;
            while status.snapshots.load(Ordering::Relaxed) < made {
                assert_eq!(status.snapshot_errors.load(Ordering::Relaxed), 0);
                std::thread::yield_now();
            }
        }
        assert_eq!(status.snapshot.load(Ordering::Relaxed), next - 1);
        journal.close();
    }
    let names: Vec<String> = std::fs::read_dir(config.journal_dir())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!names.contains(&format!("{:020}.wal", 1)), "{names:?}");
    assert!(names.contains(&"reserve".to_owned()), "{names:?}");
    let snapshot = |n: &&String| Path::new(n).extension().is_some_and(|e| e == "snap");
    assert_eq!(names.iter().filter(snapshot).count(), 2, "{names:?}");
    let checked = journal::check(dir.path()).unwrap();
    assert_eq!(checked.faults, Vec::<String>::new());
    assert_eq!((checked.last, checked.used_by), (Seq(next - 1), None));
    // Without its snapshots such a journal has no beginning.
    let error = open(&config).unwrap_err();
    assert!(matches!(error, JournalError::Missing { .. }), "{error}");
}

#[test]
fn a_look_at_a_journal_in_use_disturbs_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let (opened, _) = journal::recover(&config, 10).unwrap();
    let journal = opened
        .journal
        .start(Arc::default(), Arc::default())
        .unwrap();
    for round in 0..20 {
        append(&journal, round * 100 + 1, round * 100 + 100);
        let checked = journal::check(dir.path()).unwrap();
        assert_eq!(checked.faults, Vec::<String>::new());
        assert_eq!(checked.used_by, Some(std::process::id()));
        assert!(checked.last.0 <= round * 100 + 100);
    }
    wait_durable(&journal, 2_000);
    let checked = journal::check(dir.path()).unwrap();
    assert_eq!((checked.records, checked.last), (2_000, Seq(2_000)));
    let seq = Seq(7);
    let error = journal::put_under_quarantine(dir.path(), seq).unwrap_err();
    assert!(matches!(error, JournalError::Locked { .. }), "{error}");
    journal.close();
    for (seq, taken) in [(7, true), (7, false), (2_001, false), (3_000, false)] {
        let put = journal::put_under_quarantine(dir.path(), Seq(seq));
        assert_eq!(put.is_ok(), taken, "{seq}: {put:?}");
    }
    let (opened, ledger) = journal::recover(&config, 10).unwrap();
    assert_eq!(opened.recovered.quarantined, 1);
    assert!(ledger.risk().quarantine);
}

/// Set in the child process of the next test alone: its data directory.
const CHILD: &str = "HEAN_TEST_CHILD_DIR";

#[test]
fn what_was_called_durable_survives_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut next = 1;
    for round in 1..=5_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_is_killed", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut durable = 0;
        let wanted = next + 40 * round;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Some(seq) = line.unwrap().strip_prefix("durable ") {
                durable = seq.parse().unwrap();
                if durable >= wanted {
                    break;
                }
            }
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(durable >= wanted);
        let (opened, records) = open(&config(dir.path())).unwrap();
        assert!(opened.next_seq.0 > durable);
        next = opened.next_seq.0;
        assert_eq!(records, (1..next).map(record).collect::<Vec<_>>());
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "tells the parent")]
fn child_that_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else {
        return;
    };
    let (opened, _) = open(&config(Path::new(&dir))).unwrap();
    let mut next = opened.next_seq.0;
    let journal = start(opened);
    loop {
        append(&journal, next, next + 9);
        next += 10;
        println!("durable {}", journal.durable().borrow().0);
    }
}
