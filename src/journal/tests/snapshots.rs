//! Snapshots: what follows from them is what follows from the whole journal, and a bad one does no harm.

use super::power::{ORDERS_KEPT, log_of, snapshot_and_trim, start_up};
use super::*;
use crate::journal::check::check_on;
use crate::journal::follower::Follower;
use crate::journal::quarantine::Quarantine;
use crate::journal::retention::{Kept, Limits, trim};
use crate::journal::snapshot::{list, snapshot_name};
use crate::kernel::ledger::Ledger;
use crate::kernel::risk::RiskMode;

/// A journal of `rounds` segments and more, with a snapshot after each but the last, and nothing deleted.
fn written(dir: &std::path::Path, rounds: u64, quota: u64) -> (MemoryDisk, Vec<u64>) {
    let disk = MemoryDisk::default();
    std::fs::write(dir.join("installation"), US.to_string()).expect("written");
    let (opened, mut ledger) = start_up(&disk, dir).expect("a new journal");
    let mut log = log_of(&disk, opened);
    let mut hashes = vec![ledger.durable_hash()];
    for round in 0..rounds {
        for _ in 0..9 {
            let record = record(ledger.seq().0 + 1, 400);
            ledger.apply(&record).expect("it fits");
            hashes.push(ledger.durable_hash());
            write(&mut log, &[record]);
        }
        log.sync().expect("sync");
        if round + 1 < rounds {
            snapshot_and_trim(&disk, log.synced(), quota).expect("a snapshot");
        }
    }
    (disk, hashes)
}

fn recovers(disk: &MemoryDisk, dir: &std::path::Path, hashes: &[u64]) -> Option<Seq> {
    let (opened, ledger) = start_up(disk, dir).expect("it starts");
    let last = hashes.len() - 1;
    assert_eq!(ledger.seq(), Seq(last as u64));
    assert_eq!(ledger.durable_hash(), hashes[last]);
    assert_eq!(opened.next_seq, Seq(last as u64 + 1));
    opened.recovered.snapshot
}

#[test]
fn the_newest_good_snapshot_is_used_and_two_are_kept() {
    let dir = tempfile::tempdir().expect("directory");
    let (disk, hashes) = written(dir.path(), 5, u64::MAX);
    assert_eq!(list(&disk).expect("list"), [Seq(36), Seq(27)]);
    assert_eq!(recovers(&disk, dir.path(), &hashes), Some(Seq(36)));
    let (opened, _) = start_up(&disk, dir.path()).expect("it starts");
    assert_eq!(opened.recovered.records, 9);
    // The whole journal is there, too, and says the same.
    let (records, _) = read(&disk).expect("reads");
    let mut whole = Ledger::new(ORDERS_KEPT);
    for record in &records {
        whole.apply(record).expect("it fits");
    }
    assert_eq!(whole.durable_hash(), hashes[45]);
}

#[test]
fn every_damaged_bit_of_a_snapshot_is_found_and_the_one_before_it_serves() {
    let dir = tempfile::tempdir().expect("directory");
    let (disk, hashes) = written(dir.path(), 3, u64::MAX);
    let newest = snapshot_name(Seq(18));
    let length = disk.bytes(&newest).len();
    let mut used = [0, 0];
    for (at, bit) in (0..length).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        // The unused bytes of the header are under its checksum as well.
        let bad = disk.tampered(&newest, |bytes| bytes[at] ^= 1 << bit);
        assert_eq!(
            recovers(&bad, dir.path(), &hashes),
            Some(Seq(9)),
            "byte {at} bit {bit}"
        );
        let kept = bad.list().expect("names");
        assert!(kept.contains(&format!("{newest}.bad")), "{kept:?}");
        used[0] += 1;
    }
    for length in 0..length {
        let bad = disk.tampered(&newest, |bytes| bytes.truncate(length));
        assert_eq!(
            recovers(&bad, dir.path(), &hashes),
            Some(Seq(9)),
            "length {length}"
        );
        used[1] += 1;
    }
    assert_eq!(used, [8 * length, length]);
    let both = disk
        .tampered(&newest, |bytes| bytes[100] ^= 1)
        .tampered(&snapshot_name(Seq(9)), |bytes| bytes[100] ^= 1);
    assert_eq!(recovers(&both, dir.path(), &hashes), None);
}

#[test]
fn when_old_segments_are_gone_only_snapshots_can_stand_in() {
    let dir = tempfile::tempdir().expect("directory");
    let (disk, hashes) = written(dir.path(), 6, SEGMENT);
    let oldest = segments(&disk).expect("list")[0].clone();
    assert!(oldest > segment_name(Seq(1)), "{oldest}");
    assert_eq!(recovers(&disk, dir.path(), &hashes), Some(Seq(45)));
    let newest = snapshot_name(Seq(45));
    let bad = disk.tampered(&newest, |bytes| bytes[90] ^= 1);
    assert_eq!(recovers(&bad, dir.path(), &hashes), Some(Seq(36)));
    let worse = disk
        .tampered(&newest, |bytes| bytes[90] ^= 1)
        .tampered(&snapshot_name(Seq(36)), |bytes| bytes[90] ^= 1);
    let error = start_up(&worse, dir.path()).expect_err("nothing to begin with");
    let text = error.to_string();
    assert!(matches!(error, JournalError::NoSnapshot { .. }), "{text}");
    assert!(
        text.contains(&newest) && text.contains("checksum"),
        "{text}"
    );
    assert!(text.contains("restore"), "{text}");
}

#[test]
fn a_snapshot_of_another_history_or_beyond_the_journal_is_not_believed() {
    let dir = tempfile::tempdir().expect("directory");
    let (disk, hashes) = written(dir.path(), 3, u64::MAX);
    // Another history of the same installation.
    let other = MemoryDisk::default();
    let (opened, mut ledger) = start_up(&other, dir.path()).expect("a new journal");
    let mut log = log_of(&other, opened);
    for seq in 1..=18 {
        let record = record(seq, 7);
        ledger.apply(&record).expect("it fits");
        write(&mut log, &[record]);
    }
    log.sync().expect("sync");
    snapshot_and_trim(&other, Seq(18), u64::MAX).expect("a snapshot");
    drop(log);
    let foreign = other.bytes(&snapshot_name(Seq(18)));
    let mixed = disk.tampered(&snapshot_name(Seq(18)), |bytes| *bytes = foreign);
    assert_eq!(recovers(&mixed, dir.path(), &hashes), Some(Seq(9)));

    // The journal has lost what the snapshot knows.
    let ahead = MemoryDisk::default();
    let (opened, _) = start_up(&ahead, dir.path()).expect("a new journal");
    drop(log_of(&ahead, opened));
    let bytes = disk.bytes(&snapshot_name(Seq(18)));
    let mut file = ahead.create(&snapshot_name(Seq(18)), 0).expect("room");
    file.write_at(0, &bytes).expect("written");
    let error = start_up(&ahead, dir.path()).expect_err("records are missing");
    assert!(
        matches!(
            error,
            JournalError::Behind {
                seq: 18,
                end: 0,
                ..
            }
        ),
        "{error}"
    );
}

/// Records that count as durable before they are synced (`sync = os`) are on disk before a snapshot of them is.
#[test]
fn a_snapshot_is_never_ahead_of_the_journal() {
    let dir = tempfile::tempdir().expect("directory");
    for seed in 0..200 {
        let disk = MemoryDisk::default();
        let (opened, _) = start_up(&disk, dir.path()).expect("a new journal");
        let mut log = log_of(&disk, opened);
        for seq in 1..=6 {
            write(&mut log, &[record(seq, 200)]);
        }
        snapshot_and_trim(&disk, log.written(), u64::MAX).expect("a snapshot");
        drop(log);
        let (opened, ledger) = start_up(&disk.crash(seed), dir.path()).expect("it starts");
        assert_eq!(ledger.seq(), Seq(6), "seed {seed}");
        assert_eq!(opened.recovered.snapshot, Some(Seq(6)));
    }
}

#[test]
fn a_torn_batch_that_a_snapshot_knows_is_damage() {
    let dir = tempfile::tempdir().expect("directory");
    let disk = MemoryDisk::default();
    let (opened, mut ledger) = start_up(&disk, dir.path()).expect("a new journal");
    let mut log = log_of(&disk, opened);
    let first = record(1, 400);
    ledger.apply(&first).expect("it fits");
    write(&mut log, &[first]);
    log.sync().expect("sync");
    snapshot_and_trim(&disk, Seq(1), u64::MAX).expect("a snapshot");
    drop(log);
    let name = segment_name(Seq(1));
    let torn = disk.tampered(&name, |bytes| bytes[200..].fill(0));
    let error = start_up(&torn, dir.path()).expect_err("damage");
    assert!(
        matches!(
            error,
            JournalError::Damage {
                seq: 1,
                offset: 64,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_follower_begins_where_it_is_told_and_ends_as_the_journal() {
    let dir = tempfile::tempdir().expect("directory");
    let (disk, hashes) = written(dir.path(), 4, u64::MAX);
    let disk: Arc<dyn Disk> = Arc::new(disk);
    for (at_most, begins) in [(0, 0), (17, 0), (18, 18), (26, 18), (27, 27), (99, 27)] {
        let mut follower = Follower::open_on(&disk, ORDERS_KEPT, Seq(at_most)).expect("opens");
        assert_eq!(follower.seq(), Seq(begins), "{at_most}");
        while let Some(records) = follower.read(Seq(36)).expect("reads") {
            for record in &records {
                follower.apply(record).expect("it fits");
            }
        }
        assert_eq!(follower.ledger().durable_hash(), hashes[36]);
    }
}

#[test]
fn the_store_keeps_segments_until_the_disk_is_full_and_nothing_else_does() {
    let dir = tempfile::tempdir().expect("directory");
    let (disk, _) = written(dir.path(), 6, u64::MAX);
    let names = segments(&disk).expect("list");
    let count = names.len() as u64;
    assert!(count >= 6, "{names:?}");
    let limits = Limits {
        quota: 1,
        covered: Seq(36),
        stored: Some(Seq(0)),
        everything: false,
    };
    let kept = trim(&disk, limits).expect("trims");
    assert!(kept.store_lags && kept.removed == 0 && kept.oldest == Seq(1));
    // The store has some of them.
    let third = super::super::segment::segment_first(&names[2]).expect("a name");
    let stored = Some(Seq(third.0 - 1));
    let kept = trim(&disk, Limits { stored, ..limits }).expect("trims");
    assert_eq!(
        (kept.removed, kept.oldest, kept.store_lags),
        (2, third, true)
    );
    // Within the quota nothing more is deleted.
    let roomy = Limits {
        quota: count * SEGMENT,
        stored: None,
        ..limits
    };
    let kept = trim(&disk, roomy).expect("trims");
    assert_eq!((kept.removed, kept.store_lags), (0, false));
    // A full disk cannot wait for the store, but no snapshot is no snapshot.
    let everything = Limits {
        everything: true,
        ..limits
    };
    let kept = trim(&disk, everything).expect("trims");
    assert!(kept.store_lost && kept.removed > 0, "{kept:?}");
    assert!(kept.oldest <= Seq(37), "{kept:?}");
    let left = segments(&disk).expect("list");
    assert!(
        left.len() >= 2 && left[1] > segment_name(Seq(37)),
        "{left:?}"
    );
    let nothing = Limits {
        covered: Seq(0),
        ..everything
    };
    let kept = trim(&disk, nothing).expect("trims");
    let expected = Kept {
        removed: 0,
        store_lost: false,
        ..kept
    };
    assert_eq!(kept, expected);
}

#[test]
fn a_quarantined_record_is_passed_over_and_only_reductions_pass() {
    let dir = tempfile::tempdir().expect("directory");
    let (disk, _) = written(dir.path(), 2, u64::MAX);
    disk.remove(&snapshot_name(Seq(9))).expect("removed");
    let mut list = Quarantine::default();
    assert!(list.add(Seq(5), Seq(18)) && !list.add(Seq(5), Seq(18)));
    list.save(&disk).expect("saved");
    assert_eq!(Quarantine::load(&disk).expect("reads"), list);
    let (opened, ledger) = start_up(&disk, dir.path()).expect("it starts");
    assert_eq!(opened.recovered.quarantined, 1);
    assert_eq!(opened.recovered.records, 18);
    assert_eq!(ledger.seq(), Seq(18));
    assert_eq!(ledger.risk().mode(Time(1)), RiskMode::ReduceOnly);
    assert_eq!(ledger.risk().cause(Time(1)), Some("quarantine"));
    let (records, _) = read(&disk).expect("reads");
    let mut without = Ledger::new(ORDERS_KEPT);
    for record in &records {
        if record.seq == Seq(5) {
            without.pass_over(record.seq).expect("the next one");
        } else {
            without.apply(record).expect("it fits");
        }
    }
    assert_eq!(ledger.account(), without.account());

    // The operator resumes; what is under quarantine stays there, the mode does not come back.
    let mut log = log_of(&disk, opened);
    let resumed = Sequenced {
        seq: Seq(19),
        time: Time(1),
        record: Record::Risk(crate::kernel::risk::RiskEvent::Resumed {
            by: "test".to_owned(),
        }),
    };
    write(&mut log, &[resumed]);
    log.sync().expect("sync");
    drop(log);
    let (opened, ledger) = start_up(&disk, dir.path()).expect("it starts");
    assert_eq!(opened.recovered.quarantined, 1);
    assert_eq!(ledger.risk().mode(Time(1)), RiskMode::Normal);
    // And a snapshot knows it all.
    snapshot_and_trim(&disk, Seq(19), u64::MAX).expect("a snapshot");
    let (opened, again) = start_up(&disk, dir.path()).expect("it starts");
    assert_eq!(opened.recovered.snapshot, Some(Seq(19)));
    assert_eq!(again.durable_hash(), ledger.durable_hash());

    for bad in ["5", "0 3", "5 4", "x 7", "1 2 3"] {
        let mut file = disk.create("quarantine", 0).expect("room");
        file.write_at(0, format!("# comment\n{bad}\n").as_bytes())
            .expect("written");
        let error = start_up(&disk, dir.path()).expect_err("no list");
        assert!(
            matches!(error, JournalError::Quarantine { line: 2, .. }),
            "{error}"
        );
    }
}

#[test]
fn a_check_counts_what_is_there_and_names_every_damage() {
    let dir = tempfile::tempdir().expect("directory");
    let (disk, hashes) = written(dir.path(), 4, u64::MAX);
    let dynamic = |disk: &MemoryDisk| -> Arc<dyn Disk> { Arc::new(disk.clone()) };
    let good = check_on(&dynamic(&disk)).expect("reads");
    assert_eq!(good.faults, Vec::<String>::new());
    assert_eq!((good.first, good.last, good.records), (Seq(1), Seq(36), 36));
    assert_eq!(good.batches, 36);
    assert_eq!(good.durable_hash, Some(hashes[36]));
    assert!(good.proven_durable >= Seq(27));
    assert_eq!(good.snapshots.len(), 2);
    assert_eq!(good.torn_bytes, 0);
    // (This removes the spare.)
    let names = segments(&disk).expect("list");
    let before = disk.lock().changes;

    // Damage in every segment, in a snapshot, and a torn end: all of it at once.
    let mut bad = disk.clone();
    for name in &names[..names.len() - 1] {
        bad = bad.tampered(name, |bytes| bytes[300] ^= 16);
    }
    bad = bad.tampered(&snapshot_name(Seq(18)), |bytes| bytes[99] ^= 1);
    let found = check_on(&dynamic(&bad)).expect("reads");
    for name in &names[..names.len() - 1] {
        let begin = format!("memory/journal/{name} is damaged at byte 64,");
        let named = |text: &&String| text.starts_with(&begin);
        assert_eq!(found.faults.iter().filter(named).count(), 1, "{name}");
    }
    let snapshot = format!("memory/journal/{}: the checksum", snapshot_name(Seq(18)));
    assert!(found.faults.iter().any(|text| text.starts_with(&snapshot)));
    let last = names.last().expect("a segment");
    let used = usize::try_from(good.segments.last().expect("one").bytes.0).expect("small");
    let torn = disk.tampered(last, |bytes| bytes[used + 8..used + 20].fill(1));
    let found = check_on(&dynamic(&torn)).expect("reads");
    assert_eq!((found.faults.len(), found.torn_bytes), (0, 20));
    assert_eq!(disk.lock().changes, before, "a look changes nothing");
}

#[test]
fn newer_and_older_formats_are_refused_in_words() {
    let dir = tempfile::tempdir().expect("directory");
    let (disk, _) = written(dir.path(), 2, u64::MAX);
    let name = segments(&disk).expect("list").pop().expect("a segment");
    let with = |version: u32| {
        let bad = disk.tampered(&name, |bytes| {
            bytes[8..12].copy_from_slice(&version.to_le_bytes());
            let crc = crc32c::crc32c(&bytes[..60]);
            bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        });
        start_up(&bad, dir.path()).expect_err("another format")
    };
    let newer = with(super::super::FORMAT_VERSION + 1);
    assert!(matches!(newer, JournalError::Version { .. }), "{newer}");
    assert!(newer.to_string().contains("newer version"), "{newer}");
    for old in [1, 2] {
        let older = with(old);
        assert!(matches!(older, JournalError::Version { .. }), "{older}");
        assert!(older.to_string().contains("no longer reads"), "{older}");
    }
    // Records are read by the format of their segment.
    let bytes = postcard::to_stdvec(&record(3, 4)).expect("encodes");
    let read = super::super::versions::record;
    assert_eq!(read(3, &bytes), Ok(record(3, 4)));
    assert!(read(2, &bytes).is_err());
    let longer = [&bytes[..], &[0]].concat();
    assert!(read(3, &longer).is_err());
}
