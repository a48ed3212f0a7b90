//! The journal: appending with group commit, from submission to durability, and how long a start takes.
//!
//! The files are in the directory for temporary files (`$TMPDIR`): what is measured is its disk.

#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a benchmark prints, and its numbers are small"
)]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hean::journal::{self, JournalConfig, JournalHandle, SyncPolicy};
use hean::kernel::event::{FeeAsset, Fill, Record, ReportKind, Seq, Sequenced, VenueReport};
use hean::kernel::orders::{OrderId, OrderSpec, OrderType, Size, VenueOrderId};
use hean::kernel::types::{InstrumentId, Money, Price, Qty, Side, Time};
use hean::status::JournalStatus;

use crate::latency::{self, Latencies, Stopwatch};
use crate::recordings;

/// Records in one append.
const TOGETHER: usize = 64;
/// Ended orders kept.
const ORDERS_KEPT: usize = 10_000;

/// Orders that are acknowledged and filled, three records each.
fn record(seq: u64) -> Sequenced {
    let record = match seq {
        1 => Record::InstrumentDefined {
            id: InstrumentId(0),
            instrument: Box::new(recordings::instrument(2, 8)),
        },
        2 => Record::Transfer {
            asset: "USDT".to_owned(),
            amount: Money::whole(1_000_000_000),
            value: Money::whole(1_000_000_000),
        },
        _ => order(seq),
    };
    Sequenced {
        seq: Seq(seq),
        time: Time(1_700_000_000_000_000_000 + seq as i64 * 1_000),
        record,
    }
}

fn order(seq: u64) -> Record {
    let (number, step) = ((seq - 3) / 3, (seq - 3) % 3);
    let price = Price(6_000_000 + (number % 1_000) as i64);
    let qty = Qty(1_000_000);
    if step == 0 {
        let side = if number.is_multiple_of(2) {
            Side::Buy
        } else {
            Side::Sell
        };
        let kind = OrderType::Limit { price };
        let spec = OrderSpec::new(InstrumentId(0), side, kind, Size::Base(qty));
        return Record::Intent {
            order: Arc::new(spec),
            qty,
            hold: price,
        };
    }
    let kind = if step == 1 {
        let venue_order_id = VenueOrderId(u128::from(seq));
        ReportKind::Acked { venue_order_id }
    } else {
        ReportKind::Fill(Fill {
            trade_id: seq,
            price,
            qty,
            fee: Money::ZERO,
            paid_in: FeeAsset::Quote,
            maker: true,
        })
    };
    Record::Report(VenueReport {
        order: OrderId(seq - step),
        time: Time(seq as i64),
        kind,
    })
}

pub(crate) fn config(dir: &Path, sync: SyncPolicy, snapshot_every: u64) -> JournalConfig {
    JournalConfig {
        sync,
        snapshot_every,
        ..JournalConfig::new(dir)
    }
}

fn start(config: &JournalConfig) -> (JournalHandle, Arc<JournalStatus>, u64) {
    let (opened, _) = journal::recover(config, ORDERS_KEPT).expect("a journal");
    let next = opened.next_seq.0;
    let status = Arc::new(JournalStatus::default());
    let journal = opened
        .journal
        .start(Arc::clone(&status), Arc::default())
        .expect("threads");
    (journal, status, next)
}

fn push(journal: &JournalHandle, batch: Vec<Sequenced>) {
    let mut batch = batch;
    while let Err(back) = journal.append(batch) {
        batch = back;
        std::thread::yield_now();
    }
}

fn wait(status: &JournalStatus, seq: u64) {
    while status.durable().0 < seq {
        std::hint::spin_loop();
    }
}

pub(crate) fn bench(measure: bool) {
    let watch = Stopwatch::new();
    let records = if measure { 1_000_000 } else { 3_000 };
    let dir = tempfile::tempdir().expect("directory");
    throughput(&watch, dir.path(), records);
    restart(&watch, dir.path(), records);
    durability(&watch, if measure { 5_000 } else { 20 });
}

/// Records in batches.
fn batches(records: u64) -> Vec<Vec<Sequenced>> {
    let mut batches: Vec<Vec<Sequenced>> = Vec::new();
    for seq in 1..=records {
        if (seq - 1).is_multiple_of(TOGETHER as u64) {
            batches.push(Vec::with_capacity(TOGETHER));
        }
        batches.last_mut().expect("a batch").push(record(seq));
    }
    batches
}

/// Makes a journal of so many records.
pub(crate) fn fill(dir: &Path, records: u64) {
    let (journal, status, _) = start(&config(dir, SyncPolicy::Os, u64::MAX));
    for batch in batches(records) {
        push(&journal, batch);
    }
    wait(&status, records);
    journal.close();
}

/// All records, as fast as the journal thread takes them.
fn throughput(watch: &Stopwatch, dir: &Path, records: u64) {
    let (journal, status, _) = start(&config(dir, SyncPolicy::Os, u64::MAX));
    let batches = batches(records);
    let began = watch.now();
    for batch in batches {
        push(&journal, batch);
    }
    wait(&status, records);
    let ended = watch.now();
    let ns = watch.ns(began, ended) as f64;
    let bytes = status.bytes.load(Ordering::Relaxed) as f64;
    println!(
        "\njournal, sync = os: {records} records in batches of {TOGETHER}, handed over to written\n  \
         {:.2} M records/s, {:.0} MB/s, {:.0} bytes a record",
        records as f64 * 1e3 / ns,
        bytes * 1e3 / ns,
        bytes / records as f64
    );
    journal.close();
}

/// A start from the whole journal, and one from a snapshot.
fn restart(watch: &Stopwatch, dir: &Path, records: u64) {
    let timed = |title: &str| {
        let mut best = u64::MAX;
        for _ in 0..3 {
            let began = watch.now();
            let found = journal::recover(&config(dir, SyncPolicy::Os, u64::MAX), ORDERS_KEPT);
            let ended = watch.now();
            let (opened, ledger) = found.expect("a journal");
            assert_eq!(ledger.seq(), Seq(records));
            assert_eq!(opened.next_seq, Seq(records + 1));
            best = best.min(watch.ns(began, ended));
        }
        println!("  {title:<44} {:>9.3} s", best as f64 / 1e9);
    };
    println!("\nrecovery of {records} records, best of 3");
    timed("the whole journal");
    let (journal, status, _) = start(&config(dir, SyncPolicy::Os, 1));
    let began = watch.now();
    while status.snapshots.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    let ended = watch.now();
    journal.close();
    timed("from a snapshot of all of them");
    println!(
        "  {:<44} {:>9.3} s",
        "(making that snapshot, beside the journal)",
        watch.ns(began, ended) as f64 / 1e9
    );
}

/// One record until it is durable, and beside it the bare write and sync of as many bytes, in turns.
fn durability(watch: &Stopwatch, count: usize) {
    let dir = tempfile::tempdir().expect("directory");
    let (journal, status, mut next) = start(&config(dir.path(), SyncPolicy::Always, u64::MAX));
    let bare = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(dir.path().join("bare"))
        .expect("file");
    bare.write_all_at(&vec![0; 16 << 20], 0).expect("zeros");
    bare.sync_all().expect("sync");
    let mut at = 0;
    for together in [1, TOGETHER] {
        let (mut ours, mut theirs) = (Latencies::new(count), Latencies::new(count));
        for _ in 0..count {
            let batch: Vec<Sequenced> = (next..next + together as u64).map(record).collect();
            next += together as u64;
            let before = status.bytes.load(Ordering::Relaxed);
            let began = watch.now();
            push(&journal, batch);
            wait(&status, next - 1);
            let ended = watch.now();
            ours.record(watch.ns(began, ended));
            let bytes = vec![7; (status.bytes.load(Ordering::Relaxed) - before) as usize];
            let began = watch.now();
            bare.write_all_at(&bytes, at).expect("written");
            bare.sync_data().expect("synced");
            let ended = watch.now();
            theirs.record(watch.ns(began, ended));
            at = (at + bytes.len() as u64) % (15 << 20);
        }
        latency::head(&format!(
            "journal, sync = always: {together} records, submitted to durable"
        ));
        ours.print("journal thread");
        theirs.print("bare write and fdatasync of as many bytes");
    }
    journal.close();
}
