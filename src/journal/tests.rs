//! The journal on a disk that fails and forgets.

mod power;
mod room;
mod snapshots;

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::sync::Arc;

use proptest::prelude::*;

use super::disk::Disk;
use super::error::JournalError;
use super::format::{ALIGN, Batch, SEGMENT_HEADER_BYTES};
use super::installation::InstallationId;
use super::memory::{Fault, MemoryDisk};
use super::recover::{Recovered, recover, segments};
use super::segment::{Log, Spares, create_first, segment_name};
use super::snapshot::Base;
use super::space::Space;
use super::writer::Writer;
use super::{JournalHandle, SyncPolicy};
use crate::kernel::event::{Record, Seq, Sequenced};
use crate::kernel::types::{Money, Time};

const US: InstallationId = InstallationId(*b"test0001");
const SEGMENT: u64 = 4_096;

fn record(seq: u64, size: usize) -> Sequenced {
    Sequenced {
        seq: Seq(seq),
        time: Time(i64::try_from(seq).expect("small") * 1_000),
        record: Record::Transfer {
            asset: "a".repeat(size),
            amount: Money(-i128::from(seq)),
            value: Money(-i128::from(seq)),
        },
    }
}

fn new_disk() -> MemoryDisk {
    let disk = MemoryDisk::default();
    create_first(&disk, US, SEGMENT, Seq(1)).expect("create");
    disk
}

fn read(disk: &MemoryDisk) -> Result<(Vec<Sequenced>, Recovered), JournalError> {
    let names = segments(disk).expect("list");
    let mut records = Vec::new();
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let recovered = recover(&disk, &names, US, Base::default(), &mut |record| {
        records.push(record.clone());
        Ok(())
    })?;
    Ok((records, recovered))
}

/// Room without a reserve.
fn space(disk: &MemoryDisk) -> Arc<Space> {
    let disk = Arc::new(disk.clone());
    Arc::new(Space::new(disk, SEGMENT, 0, Arc::default(), Arc::default()))
}

fn resume(disk: &MemoryDisk, recovered: Recovered) -> Log {
    let (file, at) = (recovered.file, recovered.at);
    Log::resume(space(disk), US, file, at, Spares::AtOnce)
}

/// Writes one batch.
fn write(log: &mut Log, records: &[Sequenced]) {
    for record in records {
        log.push(record).expect("push");
    }
    log.write().expect("write");
}

/// A journal of synced batches of three records in one segment; where each batch ends.
fn filled(batches: u64) -> (MemoryDisk, Vec<Sequenced>, Vec<usize>) {
    let disk = new_disk();
    let mut log = resume(&disk, read(&disk).expect("empty").1);
    let (mut all, mut ends) = (Vec::new(), Vec::new());
    let mut end = SEGMENT_HEADER_BYTES;
    for batch in 0..batches {
        let records: Vec<_> = (1..=3)
            .map(|i| {
                record(
                    3 * batch + i,
                    usize::try_from(7 * batch + i).expect("small"),
                )
            })
            .collect();
        write(&mut log, &records);
        log.sync().expect("sync");
        all.extend(records);
        let bytes = disk.bytes(&segment_name(Seq(1)));
        end += Batch::decode(&bytes[end..]).expect("batch").size;
        ends.push(end);
    }
    drop(log);
    (disk, all, ends)
}

#[derive(Debug, Clone)]
enum Step {
    Write { records: usize, size: usize },
    Sync,
    Crash(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..6_usize, 0..700_usize).prop_map(|(records, size)| Step::Write { records, size }),
        2 => Just(Step::Sync),
        1 => any::<u64>().prop_map(Step::Crash),
    ]
}

proptest! {
    /// Whatever a power cut leaves: nothing that was synced is missing, nothing is invented, and
    /// an honest crash is never taken for damage.
    #[test]
    fn a_crash_loses_only_what_was_not_synced(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut disk = new_disk();
        let mut log = resume(&disk, read(&disk).expect("empty").1);
        let mut model: Vec<Sequenced> = Vec::new();
        for step in steps.into_iter().chain([Step::Crash(7)]) {
            match step {
                Step::Write { records, size } => {
                    let first = model.len() as u64 + 1;
                    let batch: Vec<_> =
                        (0..records as u64).map(|i| record(first + i, size)).collect();
                    write(&mut log, &batch);
                    model.extend(batch);
                }
                Step::Sync => log.sync().expect("sync"),
                Step::Crash(seed) => {
                    let synced = usize::try_from(log.synced().0).expect("small");
                    drop(log);
                    disk = disk.crash(seed);
                    let (records, recovered) = read(&disk).expect("no damage");
                    prop_assert!(records.len() >= synced);
                    prop_assert_eq!(&records[..], &model[..records.len()]);
                    model = records;
                    log = resume(&disk, recovered);
                }
            }
        }
    }
}

#[test]
fn every_whole_batch_before_a_truncation_is_recovered_and_writing_goes_on() {
    let (disk, all, ends) = filled(8);
    let name = segment_name(Seq(1));
    for length in SEGMENT_HEADER_BYTES..=*ends.last().expect("ends") {
        let cut = disk.tampered(&name, |bytes| bytes.truncate(length));
        let (records, recovered) = read(&cut).expect("torn, not damaged");
        let whole = 3 * ends.iter().filter(|end| **end <= length).count();
        // The padding of the last batch carries nothing.
        assert!(
            records.len() == whole || records.len() == whole + 3,
            "{length}"
        );
        assert_eq!(records, all[..records.len()], "{length}");
        let next = recovered.at.next.0;
        let mut log = resume(&cut, recovered);
        write(&mut log, &[record(next, 5)]);
        log.sync().expect("sync");
        drop(log);
        let (again, _) = read(&cut).expect("reads on");
        assert_eq!(again.len() as u64, next, "{length}");
    }
    for length in 0..SEGMENT_HEADER_BYTES {
        let cut = disk.tampered(&name, |bytes| bytes.truncate(length));
        assert!(matches!(read(&cut), Err(JournalError::Header { .. })));
    }
}

#[test]
fn a_flipped_bit_in_a_batch_that_was_durable_is_named() {
    let (disk, all, ends) = filled(4);
    let name = segment_name(Seq(1));
    let mut damaged = 0;
    let bytes = SEGMENT_HEADER_BYTES..*ends.last().expect("ends");
    for (at, bit) in bytes.flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let flipped = disk.tampered(&name, |bytes| bytes[at] ^= 1 << bit);
        let batch = ends.iter().filter(|end| **end <= at).count();
        let is_last = batch + 1 == ends.len();
        match read(&flipped) {
            Err(JournalError::Damage { offset, seq, .. }) => {
                let begin = if batch == 0 {
                    SEGMENT_HEADER_BYTES
                } else {
                    ends[batch - 1]
                };
                assert_eq!((offset, seq), (begin as u64, 3 * batch as u64 + 1));
                assert!(!is_last);
                damaged += 1;
            }
            // Padding between batches carries nothing; in the last batch nothing proves durability.
            Ok((records, _)) => {
                let padding = ends[batch] - at < ALIGN;
                assert!(padding || is_last, "byte {at} bit {bit}");
                assert_eq!(records, all[..records.len()]);
            }
            Err(other) => panic!("byte {at} bit {bit}: {other}"),
        }
    }
    assert!(damaged > 8 * 300, "{damaged}");
    for (at, bit) in (0..SEGMENT_HEADER_BYTES).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let flipped = disk.tampered(&name, |bytes| bytes[at] ^= 1 << bit);
        let error = read(&flipped).expect_err("header");
        assert!(
            matches!(
                error,
                JournalError::Header { .. } | JournalError::Version { .. }
            ),
            "byte {at} bit {bit}: {error}"
        );
    }
}

#[test]
fn what_lies_before_the_last_segment_is_never_cut() {
    let disk = new_disk();
    let mut log = resume(&disk, read(&disk).expect("empty").1);
    // Not synced by us: rolling does it.
    for seq in 1..=4 {
        write(&mut log, &[record(seq, 1_500)]);
    }
    drop(log);
    let name = segment_name(Seq(1));
    let second_batch = disk.tampered(&name, |bytes| bytes[2_500] ^= 4);
    assert!(matches!(
        read(&second_batch),
        Err(JournalError::Damage { seq: 2, .. })
    ));
    let gone = disk.tampered(&name, |bytes| bytes[1_700..].fill(0));
    assert!(matches!(
        read(&gone),
        Err(JournalError::Missing { .. } | JournalError::Damage { seq: 2, .. })
    ));
}

#[test]
fn a_record_larger_than_a_segment_gets_a_larger_one() {
    let disk = new_disk();
    let mut log = resume(&disk, read(&disk).expect("empty").1);
    let all = [record(1, 10), record(2, 20_000), record(3, 10)];
    for record in &all {
        write(&mut log, std::slice::from_ref(record));
    }
    drop(log);
    assert_eq!(read(&disk).expect("reads").0, all);
}

#[test]
fn a_record_that_panics_is_named() {
    let (disk, ..) = filled(2);
    let names = segments(&disk).expect("list");
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let error = recover(&disk, &names, US, Base::default(), &mut |record| {
        assert_ne!(record.seq, Seq(5), "five");
        Ok(())
    })
    .expect_err("poison");
    assert!(
        matches!(error, JournalError::Poison { seq: 5, .. }),
        "{error}"
    );
    let command = "hean journal quarantine 5 --data-dir memory";
    assert!(error.to_string().ends_with(command), "{error}");
}

fn start(disk: &MemoryDisk, policy: SyncPolicy, queue: usize) -> JournalHandle {
    let writer = Writer {
        log: resume(disk, read(disk).expect("recovers").1),
        policy,
        batch_bytes_max: 1_024,
        status: Arc::default(),
        kernel_bell: Arc::default(),
        lock: None,
    };
    JournalHandle::start(writer, queue, None).expect("thread")
}

#[test]
fn a_full_queue_gives_the_batch_back() {
    let disk = new_disk();
    let journal = start(&disk, SyncPolicy::Always, 2);
    let stalled = disk.lock();
    let mut seq = 1;
    // The thread takes some until it wants to write.
    let back = loop {
        match journal.append(vec![record(seq, 10)]) {
            Ok(()) => seq += 1,
            Err(back) => break back,
        }
    };
    assert_eq!(back, [record(seq, 10)]);
    drop(stalled);
    let mut back = Some(back);
    while let Some(batch) = back.take() {
        back = journal.append(batch).err();
        std::thread::yield_now();
    }
    journal.close();
    assert_eq!(read(&disk).expect("reads").0.len() as u64, seq);
}

#[test]
fn without_sync_a_torn_tail_is_not_taken_for_damage() {
    for seed in 0..50 {
        let disk = new_disk();
        let journal = start(&disk, SyncPolicy::Os, 100);
        let mut durable = journal.durable();
        for seq in 1..=10 {
            journal.append(vec![record(seq, 100)]).expect("room");
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("runtime");
        runtime
            .block_on(durable.wait_for(|seq| *seq == Seq(10)))
            .expect("journal");
        let crashed = disk.crash(seed);
        assert!(read(&crashed).is_ok(), "seed {seed}");
        journal.close();
        assert_eq!(read(&disk).expect("reads").0.len(), 10);
    }
}

/// Set in the child processes of these tests alone.
const CHILD: &str = "HEAN_TEST_CHILD";

/// Runs the named test in a process of its own and expects that it aborts.
fn aborts(test: &str) {
    let child = Command::new(std::env::current_exe().expect("own path"))
        .args(["--exact", &format!("journal::tests::{test}")])
        .env(CHILD, "1")
        .output()
        .expect("child");
    assert_eq!(child.status.signal(), Some(6), "{child:?}");
}

#[test]
fn a_failed_write_or_sync_aborts_the_process() {
    aborts("child_write_fails");
    aborts("child_sync_fails");
}

#[test]
fn child_write_fails() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let disk = new_disk();
    let journal = start(&disk, SyncPolicy::Always, 10);
    let next = disk.lock().changes;
    disk.lock().fault = Some((next, Fault::Io));
    journal.append(vec![record(1, 10)]).expect("room");
    journal.close();
}

#[test]
fn child_sync_fails() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let disk = new_disk();
    let journal = start(&disk, SyncPolicy::Always, 10);
    disk.lock().sync_fails = true;
    journal.append(vec![record(1, 10)]).expect("room");
    journal.close();
}
