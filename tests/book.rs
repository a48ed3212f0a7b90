//! The order book against maps, over real recordings, at every update.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hean::kernel::event::{Level, MarketData};
use hean::kernel::market::Book;
use hean::kernel::types::{InstrumentId, Price, Qty, Side, VenueId};
use hean::recording::{self, Reader};
use hean::venue::binance::Market;
use hean::venue::binance::decode::{Decoded, Decoder};
use hean::venue::protocol::{Reading, TradeStream};

#[path = "support/recordings.rs"]
mod recordings;

/// The naive twin: a map per side, bids by price and asks by its opposite, so that the best is last.
#[derive(Default)]
struct Naive {
    bids: BTreeMap<i64, Qty>,
    asks: BTreeMap<i64, Qty>,
}

impl Naive {
    fn set(&mut self, side: Side, level: Level, levels_max: usize) {
        let (map, key) = match side {
            Side::Buy => (&mut self.bids, level.price.0),
            Side::Sell => (&mut self.asks, -level.price.0),
        };
        if level.qty == Qty::ZERO {
            map.remove(&key);
        } else {
            map.insert(key, level.qty);
        }
        if map.len() > levels_max + 64 {
            while map.len() > levels_max {
                map.pop_first();
            }
        }
    }

    fn levels(&self, side: Side) -> Box<dyn Iterator<Item = Level> + '_> {
        let level = |price: i64, qty: &Qty| Level {
            price: Price(price),
            qty: *qty,
        };
        match side {
            Side::Buy => Box::new(self.bids.iter().rev().map(move |(k, q)| level(*k, q))),
            Side::Sell => Box::new(self.asks.iter().rev().map(move |(k, q)| level(-*k, q))),
        }
    }
}

/// Levels of every depth event and snapshot, bids and asks.
fn updates(files: &[PathBuf]) -> Vec<(Vec<Level>, Vec<Level>)> {
    let instruments = recording::infer(files, VenueId::Binance).expect("recording");
    let readings: Vec<Reading<'_>> = (0..)
        .map(InstrumentId)
        .zip(&instruments)
        .map(|(id, instrument)| Reading {
            id,
            instrument,
            trades: TradeStream::Every,
        })
        .collect();
    // The levels are written alike on futures.
    let decoder = Decoder::new(Market::Spot, &readings);
    let mut updates = Vec::new();
    let mut reader = Reader::new(files);
    while let Some(record) = reader.next_record() {
        let record = record.expect("line");
        let Ok(Decoded::Market(event)) = decoder.decode(record.frame, record.received) else {
            continue;
        };
        match event.data {
            MarketData::Depth(delta) => updates.push((delta.bids, delta.asks)),
            MarketData::Snapshot(snapshot) => updates.push((snapshot.bids, snapshot.asks)),
            _ => {}
        }
    }
    updates
}

fn compare(updates: &[(Vec<Level>, Vec<Level>)], levels_max: usize) {
    let (mut book, mut naive) = (Book::new(levels_max), Naive::default());
    for (number, (bids, asks)) in updates.iter().enumerate() {
        for (side, levels) in [(Side::Buy, bids), (Side::Sell, asks)] {
            for level in levels {
                book.set(side, *level);
                naive.set(side, *level, levels_max);
                assert!([Qty::ZERO, level.qty].contains(&book.qty_at(side, level.price)));
            }
            let shown = if number % 256 == 0 { usize::MAX } else { 20 };
            let ours = book.levels(side).take(shown);
            assert!(ours.eq(naive.levels(side).take(shown)), "update {number}");
        }
        assert_eq!(book.best_bid(), naive.levels(Side::Buy).next());
        assert_eq!(book.best_ask(), naive.levels(Side::Sell).next());
    }
    for side in [Side::Buy, Side::Sell] {
        assert!(book.levels(side).eq(naive.levels(side)));
        assert_eq!(book.levels(side).len(), naive.levels(side).count());
    }
    let mut copy = Book::new(levels_max);
    let (bids, asks): (Vec<_>, Vec<_>) = (
        book.levels(Side::Buy).collect(),
        book.levels(Side::Sell).collect(),
    );
    copy.replace(&bids, &asks);
    assert!(copy == book, "the order of the changes must not matter");
}

fn at(root: &Path, names: &[&str]) -> Vec<PathBuf> {
    let root = root.join("hftbacktest");
    names.iter().map(|name| root.join(name)).collect()
}

#[test]
fn real_books_equal_maps_at_every_update() {
    let Some(root) = recordings::recordings() else {
        return;
    };
    let spot = at(
        &root,
        &[
            "binance_spot_btcusdt_20240808.txt.gz",
            "binance_spot_btcusdt_20240809.txt.gz",
        ],
    );
    let usdm = at(&root, &["binance_usdm_btcusdt_20240808.txt.gz"]);
    for updates in [updates(&spot), updates(&usdm)] {
        for levels_max in [20, 1_000, 20_000] {
            compare(&updates, levels_max);
        }
    }
}
