//! Recovery in both ways: from all records, and from a snapshot after some of them and the others behind it.

use hean::kernel::event::Sequenced;
use hean::kernel::ledger::Ledger;

/// How many ended orders are kept: few, so that they are forgotten all the time. Strategies end hundreds while a
/// report is late, and a report of a forgotten order is booked nowhere.
pub(crate) const fn orders_kept(strategies: usize) -> usize {
    if strategies == 0 { 64 } else { 4_096 }
}

/// The ledger from a snapshot after record `known`, and the one from all records. They do not differ.
pub(crate) fn recover(
    journal: &[Sequenced],
    known: u64,
    kept: usize,
) -> Result<(Ledger, Ledger), String> {
    let mut whole = Ledger::new(kept);
    let mut snapshot = image(&whole);
    for record in journal {
        whole.apply(record).map_err(|e| e.to_string())?;
        if record.seq.0 == known {
            snapshot = image(&whole);
        }
    }
    let snapshot = postcard::from_bytes(&snapshot).map_err(|e| e.to_string())?;
    let mut ledger = Ledger::restore(snapshot, kept).map_err(|e| e.to_string())?;
    for record in &journal[ledger.seq().0 as usize..] {
        ledger.apply(record).map_err(|e| e.to_string())?;
    }
    if ledger.durable_hash() != whole.durable_hash() || image(&ledger) != image(&whole) {
        return Err("what follows from a snapshot differs from a full replay".to_owned());
    }
    if !ledger.sums_are_right() {
        return Err("sums made from a snapshot are wrong".to_owned());
    }
    Ok((ledger, whole))
}

/// All that a snapshot would hold.
pub(crate) fn image(ledger: &Ledger) -> Vec<u8> {
    postcard::to_stdvec(&ledger.image()).expect("a value")
}
