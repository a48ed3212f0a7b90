//! Level changes of a real book, beside two `BTreeMap`s.

use std::collections::BTreeMap;

use hean::kernel::event::{Level, MarketData};
use hean::kernel::market::Book;
use hean::kernel::types::{Price, Qty, Side};

use crate::{Bench, Case, decode};

pub(crate) fn bench(bench: &Bench, frames: &[Vec<u8>]) {
    let mut changes: Vec<(Side, Level)> = Vec::new();
    for event in decode::events(frames) {
        let (bids, asks) = match event.data {
            MarketData::Depth(delta) => (delta.bids, delta.asks),
            MarketData::Snapshot(snapshot) => (snapshot.bids, snapshot.asks),
            _ => continue,
        };
        changes.extend(bids.into_iter().map(|l| (Side::Buy, l)));
        changes.extend(asks.into_iter().map(|l| (Side::Sell, l)));
    }
    bench.compare(
        "order book, per level change",
        vec![
            Case::new("sorted vectors", changes.len(), || {
                let mut book = Book::new(5_000);
                for (side, level) in &changes {
                    book.set(*side, *level);
                }
                book.levels(Side::Buy).len() as u64
            }),
            Case::new("BTreeMap", changes.len(), || {
                let mut sides: [BTreeMap<Price, Qty>; 2] = [BTreeMap::new(), BTreeMap::new()];
                for (side, level) in &changes {
                    let map = &mut sides[usize::from(*side == Side::Sell)];
                    if level.qty == Qty::ZERO {
                        map.remove(&level.price);
                    } else {
                        map.insert(level.price, level.qty);
                    }
                }
                sides[0].len() as u64
            }),
        ],
    );
}
