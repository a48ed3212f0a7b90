//! A full disk: the reserve is given up, the kernel told, and all of it undone when there is room again.

use super::power::{config, log_of, start_up};
use super::*;
use crate::journal::space::RESERVE;
use crate::status::JournalStatus;

const RESERVED: u64 = 3 * SEGMENT;

fn has_reserve(disk: &MemoryDisk) -> bool {
    disk.list()
        .expect("names")
        .iter()
        .any(|name| name == RESERVE)
}

fn room(disk: &MemoryDisk) -> (Arc<Space>, Arc<JournalStatus>) {
    let status = Arc::new(JournalStatus::default());
    let disk = Arc::new(disk.clone());
    let space = Space::new(disk, SEGMENT, RESERVED, Arc::clone(&status), Arc::default());
    (Arc::new(space), status)
}

#[test]
fn the_reserve_is_given_up_for_the_next_segment_and_made_anew() {
    let disk = new_disk();
    let (space, status) = room(&disk);
    space.tend();
    assert!(has_reserve(&disk) && !status.is_full());

    // One segment, its spare, the reserve, and no room for more.
    let recovered = read(&disk).expect("empty").1;
    let mut log = Log::resume(
        Arc::clone(&space),
        US,
        recovered.file,
        recovered.at,
        Spares::AtOnce,
    );
    disk.lock().capacity = Some(2 * SEGMENT + RESERVED);
    let mut seq = 0;
    let mut fill = |log: &mut Log, records: u64| {
        for _ in 0..records {
            seq += 1;
            write(log, &[record(seq, 1_500)]);
            log.sync().expect("sync");
        }
    };
    fill(&mut log, 2);
    assert!(has_reserve(&disk) && !status.is_full());
    // Rolls into the spare, and the next spare takes the room of the reserve.
    fill(&mut log, 2);
    assert!(!has_reserve(&disk) && status.is_full());
    // Cancels and fills go on, as long as the reserve lasts.
    fill(&mut log, 4);
    space.tend();
    assert!(!has_reserve(&disk) && status.is_full());
    assert_eq!(log.synced(), Seq(8));

    disk.lock().capacity = Some(20 * SEGMENT);
    space.tend();
    assert!(has_reserve(&disk) && !status.is_full());
    drop(log);
    assert_eq!(read(&disk).expect("reads").0.len(), 8);
}

#[test]
fn little_room_is_told_before_it_is_none() {
    let disk = new_disk();
    let (space, status) = room(&disk);
    disk.lock().capacity = Some(10 * SEGMENT);
    space.tend();
    assert!(has_reserve(&disk) && !status.is_full());
    // Somebody else takes the rest.
    let taken = 6 * SEGMENT - 100;
    disk.create("other", taken).expect("room");
    space.tend();
    assert!(!has_reserve(&disk) && status.is_full());
    space.tend();
    assert!(!has_reserve(&disk) && status.is_full(), "no flapping");
    disk.remove("other").expect("removed");
    space.tend();
    assert!(has_reserve(&disk) && !status.is_full());
}

#[test]
fn a_disk_that_is_too_small_from_the_start_is_full() {
    let disk = new_disk();
    let (space, status) = room(&disk);
    disk.lock().capacity = Some(3 * SEGMENT);
    space.tend();
    assert!(!has_reserve(&disk) && status.is_full());
}

#[test]
fn a_reserve_of_an_earlier_run_is_taken_over() {
    let disk = new_disk();
    room(&disk).0.tend();
    let changes = disk.lock().changes;
    let (space, status) = room(&disk);
    disk.lock().capacity = Some(RESERVED + SEGMENT + 3 * SEGMENT);
    space.tend();
    assert!(has_reserve(&disk) && !status.is_full());
    assert_eq!(disk.lock().changes, changes, "nothing was written");
}

/// The spare cannot be made, and there is nothing to give up: the journal ends honestly at the next roll.
#[test]
fn without_any_room_the_journal_ends_with_what_it_has() {
    let dir = tempfile::tempdir().expect("directory");
    let disk = MemoryDisk::default();
    let (opened, _) = start_up(&disk, dir.path()).expect("a new journal");
    let mut log = log_of(&disk, opened);
    disk.lock().capacity = Some(2 * SEGMENT);
    let mut synced = Seq(0);
    let error = (1..).find_map(|seq| {
        log.push(&record(seq, 1_500)).expect("push");
        let done = log.write().and_then(|()| log.sync());
        synced = log.synced();
        done.err()
    });
    assert!(error.is_some_and(|e| e.to_string().contains("space")));
    drop(log);
    disk.lock().capacity = None;
    let (opened, ledger) = start_up(&disk, dir.path()).expect("it starts again");
    assert_eq!((ledger.seq(), opened.next_seq), (synced, Seq(synced.0 + 1)));
    assert_eq!(config(dir.path()).segment_bytes, SEGMENT);
}
