//! Level changes of real books, beside two `BTreeMap`s and two sorted vectors.

use std::collections::BTreeMap;

use hean::kernel::event::{Level, MarketData};
use hean::kernel::market::Book;
use hean::kernel::types::{Price, Qty, Side};

use crate::recordings::Recording;
use crate::sorted_vector::SortedVectors;
use crate::{Bench, Case, decode};

const LEVELS_MAX: usize = 5_000;

pub(crate) fn bench(bench: &Bench, recordings: &[Recording]) {
    for recording in recordings {
        let changes = changes(recording);
        let title = format!("order book, per level change, {}", recording.name);
        bench.compare(&title, cases(&changes));
    }
}

/// Every level of every depth frame, in order.
fn changes(recording: &Recording) -> Vec<(Side, Level)> {
    let mut changes = Vec::new();
    for event in decode::events(recording) {
        let (bids, asks) = match event.data {
            MarketData::Depth(delta) => (delta.bids, delta.asks),
            MarketData::Snapshot(snapshot) => (snapshot.bids, snapshot.asks),
            _ => continue,
        };
        changes.extend(bids.into_iter().map(|l| (Side::Buy, l)));
        changes.extend(asks.into_iter().map(|l| (Side::Sell, l)));
    }
    changes
}

fn cases(changes: &[(Side, Level)]) -> Vec<Case<'_>> {
    vec![
        Case::new("blocks", changes.len(), move || {
            let mut book = Book::new(LEVELS_MAX);
            for (side, level) in changes {
                book.set(*side, *level);
            }
            book.levels(Side::Buy).len() as u64
        }),
        Case::new("BTreeMap, without a cap", changes.len(), move || {
            let mut sides: [BTreeMap<Price, Qty>; 2] = [BTreeMap::new(), BTreeMap::new()];
            for (side, level) in changes {
                let map = &mut sides[usize::from(*side == Side::Sell)];
                if level.qty == Qty::ZERO {
                    map.remove(&level.price);
                } else {
                    map.insert(level.price, level.qty);
                }
            }
            sides[0].len() as u64
        }),
        Case::new("sorted vectors", changes.len(), move || {
            let mut book = SortedVectors::default();
            for (side, level) in changes {
                book.set(*side, *level, LEVELS_MAX);
            }
            book.len() as u64
        }),
    ]
}
