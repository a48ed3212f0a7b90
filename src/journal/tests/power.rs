//! Power cuts and failing disks: what was accepted is never lost, and nothing is accepted falsely.
//!
//! A machine here is what the daemon is: a journal whose last synced record is what callers were told, a ledger
//! beside it, and now and then a snapshot and a deletion of old segments. A seed decides everything.

use std::sync::atomic::AtomicBool;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

use super::*;
use crate::journal::keeper::pass;
use crate::journal::retention::{Limits, trim};
use crate::journal::segment::WriteError;
use crate::journal::{JournalConfig, Opened, recover_on};
use crate::kernel::ledger::Ledger;

/// There are none: what lies in a ledger is tried elsewhere (`tests/simulation.rs`).
pub(super) const ORDERS_KEPT: usize = 0;

/// A journal of small segments on a memory disk.
pub(super) fn config(dir: &std::path::Path) -> JournalConfig {
    JournalConfig {
        segment_bytes: SEGMENT,
        ..JournalConfig::new(dir)
    }
}

/// A start as the daemon does it.
pub(super) fn start_up(
    disk: &MemoryDisk,
    dir: &std::path::Path,
) -> Result<(Opened, Ledger), JournalError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    recover_on(&config(dir), &disk, ORDERS_KEPT)
}

/// The writing end of it, without threads.
pub(super) fn log_of(disk: &MemoryDisk, opened: Opened) -> Log {
    let journal = opened.journal;
    let (id, file, at) = (journal.installation, journal.file, journal.at);
    Log::resume(space(disk), id, file, at, Spares::AtOnce)
}

/// What a snapshot does, and the deletion after it.
pub(super) fn snapshot_and_trim(disk: &MemoryDisk, durable: Seq, quota: u64) -> Result<(), String> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let go_on = AtomicBool::new(false);
    let made = pass(&disk, durable, ORDERS_KEPT, Time(7), &go_on).map_err(|e| e.to_string())?;
    if let Some(made) = made {
        let limits = Limits {
            quota,
            covered: made.older,
            stored: None,
            everything: false,
        };
        trim(disk.as_ref(), limits).map_err(|e| e.to_string())?;
    }
    Ok(())
}

struct Machine {
    disk: MemoryDisk,
    dir: tempfile::TempDir,
    /// The state after each record that was made and ended a batch: what a full replay comes to.
    hashes: Vec<Option<u64>>,
    /// The last record that a caller was told of.
    accepted: u64,
    starts: u64,
    snapshots_used: u64,
    lost_names: u64,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("directory");
        std::fs::write(dir.path().join("installation"), US.to_string()).expect("written");
        let disk = MemoryDisk::default();
        Self {
            disk,
            dir,
            hashes: vec![Some(Ledger::new(ORDERS_KEPT).durable_hash())],
            accepted: 0,
            starts: 0,
            snapshots_used: 0,
            lost_names: 0,
        }
    }

    /// Starts, works until the power goes, and comes back without what was not synced.
    fn life(&mut self, random: &mut ChaCha8Rng) {
        let (opened, mut ledger) =
            start_up(&self.disk, self.dir.path()).expect("an honest crash is never damage");
        self.starts += 1;
        self.snapshots_used += u64::from(opened.recovered.snapshot.is_some());
        let found = ledger.seq().0;
        assert!(
            found >= self.accepted,
            "record {} was accepted, {found} came back",
            self.accepted
        );
        let made = self.hashes[usize::try_from(found).expect("small")];
        assert_eq!(made, Some(ledger.durable_hash()));
        assert_eq!(opened.next_seq.0, found + 1);
        // What came back is the history from now on, and is on disk.
        self.hashes
            .truncate(usize::try_from(found).expect("small") + 1);
        self.accepted = found;

        let changes = self.disk.lock().changes;
        let until = changes + 1 + (random.next_u32() % 60) as usize;
        self.disk.lock().fault = Some((until, Fault::PowerCut));
        let mut log = log_of(&self.disk, opened);
        while self.work(&mut log, &mut ledger, random).is_ok() {}
        drop(log);
        let before = self.disk.list().expect("names").len();
        self.disk = self.disk.crash(random.next_u64());
        self.lost_names += u64::from(self.disk.list().expect("names").len() != before);
    }

    fn work(
        &mut self,
        log: &mut Log,
        ledger: &mut Ledger,
        random: &mut ChaCha8Rng,
    ) -> Result<(), String> {
        if random.next_u32().is_multiple_of(7) {
            return snapshot_and_trim(&self.disk, log.synced(), 3 * SEGMENT);
        }
        for _ in 0..=random.next_u32() % 4 {
            let size = (random.next_u32() % 600) as usize;
            let record = record(ledger.seq().0 + 1, size);
            ledger.apply(&record).expect("it fits");
            self.hashes.push(None);
            log.push(&record).expect("push");
        }
        if let Some(last) = self.hashes.last_mut() {
            *last = Some(ledger.durable_hash());
        }
        let text = |error: WriteError| error.to_string();
        log.write().map_err(text)?;
        log.sync().map_err(text)?;
        self.accepted = log.synced().0;
        Ok(())
    }
}

/// How many seeds are tried.
fn seeds() -> u64 {
    std::env::var("HEAN_SEEDS").map_or(10_000, |text| text.parse().expect("a number of seeds"))
}

/// With `always`, over segment rolls, snapshots and deletions: of a power cut at any change of the disk, which
/// keeps any part of what was not synced, in any order, names included.
#[test]
#[expect(clippy::print_stdout, reason = "what was covered is for people")]
fn heavy_no_accepted_record_is_lost_in_a_power_cut() {
    let (mut starts, mut used, mut names, mut records) = (0, 0, 0, 0);
    for seed in 0..seeds() {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut machine = Machine::new();
        for _ in 0..4 {
            machine.life(&mut random);
        }
        starts += machine.starts;
        used += machine.snapshots_used;
        names += machine.lost_names;
        records += machine.accepted;
    }
    println!(
        "{} seeds, {starts} starts, {used} of them from a snapshot, {records} records accepted, 0 lost; \
         {names} crashes lost names of files",
        seeds()
    );
    assert!(used > starts / 20, "{used} of {starts}");
    assert!(names > 0);
}

/// Every change of the disk fails once, in each way: what was accepted before is there, nothing else was accepted.
#[test]
fn a_disk_that_fails_anywhere_makes_nobody_accept_what_is_not_there() {
    for fault in [Fault::NoSpace, Fault::Io, Fault::PowerCut] {
        let mut failed = 0;
        for at in 0.. {
            let mut random = ChaCha8Rng::seed_from_u64(3);
            let mut machine = Machine::new();
            let (opened, mut ledger) =
                start_up(&machine.disk, machine.dir.path()).expect("a new journal");
            let begun = machine.disk.lock().changes;
            machine.disk.lock().fault = Some((begun + at, fault));
            let mut log = log_of(&machine.disk, opened);
            let mut ended = Ok(());
            for _ in 0..40 {
                ended = machine.work(&mut log, &mut ledger, &mut random);
                // A snapshot that cannot be written harms nobody; a record that cannot ends the process.
                if ended.is_err() {
                    break;
                }
            }
            drop(log);
            let reached = machine.disk.lock().changes > begun + at;
            failed += u64::from(ended.is_err());
            for seed in 0..4 {
                let crashed = machine.disk.crash(seed);
                let (_, after) = start_up(&crashed, machine.dir.path()).expect("it starts");
                let found = usize::try_from(after.seq().0).expect("small");
                assert!(found as u64 >= machine.accepted, "{fault:?} at {at}");
                assert_eq!(
                    Some(after.durable_hash()),
                    machine.hashes[found],
                    "{fault:?} at {at}"
                );
            }
            if !reached {
                break;
            }
        }
        assert!(failed > 50, "{fault:?}: {failed}");
    }
}

/// Of batches that were written and not synced, any subset of sectors or pages may be missing.
#[test]
fn any_subset_of_unsynced_pages_recovers_to_the_durable_point() {
    for seed in 0..2_000 {
        let (disk, all, _) = filled(3);
        let mut log = resume(&disk, read(&disk).expect("reads").1);
        let mut model = all.clone();
        for batch in 0..3_u64 {
            let first = model.len() as u64 + 1;
            let size = 200 + 90 * usize::try_from(batch).expect("small");
            let records: Vec<_> = (0..2).map(|i| record(first + i, size)).collect();
            write(&mut log, &records);
            model.extend(records);
        }
        drop(log);
        let (records, _) = read(&disk.crash(seed)).expect("torn, not damaged");
        assert!(records.len() >= all.len(), "seed {seed}");
        assert_eq!(records, model[..records.len()], "seed {seed}");
    }
}
