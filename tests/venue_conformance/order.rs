//! A window of a real recording with messages missing, repeated and out of order: a hole shows at the
//! next message, and a book that is called valid is the venue's book at that update.

use std::collections::BTreeMap;

use hean::kernel::event::{BookFault, DepthDelta, DepthSnapshot, Level, MarketData};
use hean::kernel::market::{Book, Step, SyncedBook};
use hean::kernel::types::{Side, VenueId};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::Venue;
use crate::damage::pick;
use crate::frames::recorded;
use crate::recordings::recordings;

/// Messages of the window.
const WINDOW: usize = 400;
/// Seeds.
const RUNS: u64 = 60;
/// More than any book here has.
const LEVELS_MAX: usize = 100_000;

type Sides = (Vec<Level>, Vec<Level>);

fn sides(book: &Book) -> Sides {
    let side = |side| book.levels(side).collect();
    (side(Side::Buy), side(Side::Sell))
}

/// What the undamaged recording says: its messages, and the book after each of them.
struct Truth {
    start: DepthSnapshot,
    deltas: Vec<DepthDelta>,
    books: Vec<Sides>,
}

/// The book after a message, kept in a map.
fn naive(book: &mut [BTreeMap<i64, Level>; 2], delta: &DepthDelta, window: Option<u16>) -> Sides {
    for (side, levels) in book.iter_mut().zip([&delta.bids, &delta.asks]) {
        for level in levels {
            if level.qty.0 == 0 {
                side.remove(&level.price.0);
            } else {
                side.insert(level.price.0, *level);
            }
        }
    }
    let [bids, asks] = book;
    let window = window.map_or(usize::MAX, usize::from);
    while bids.len() > window {
        bids.pop_first();
    }
    while asks.len() > window {
        asks.pop_last();
    }
    let (bids, asks) = (bids.values().rev(), asks.values());
    (bids.copied().collect(), asks.copied().collect())
}

fn truth(venue: &Venue, frames: &[String]) -> Truth {
    let (id, btc) = &venue.set[0];
    let mut start: Option<DepthSnapshot> = None;
    let mut deltas: Vec<DepthDelta> = Vec::new();
    for frame in frames {
        let bytes = frame.as_bytes();
        if frame.starts_with("{\"lastUpdateId\"") {
            start = Some(venue.protocol.decode_depth(bytes, btc).unwrap());
            continue;
        }
        for event in venue.decode(bytes).unwrap().1 {
            match event.data {
                MarketData::Snapshot(s) if event.instrument == *id => start = Some(*s),
                MarketData::Depth(d) if event.instrument == *id => deltas.push(*d),
                _ => {}
            }
        }
        if start.is_some() && deltas.len() > WINDOW + 50 {
            break;
        }
    }
    let start = start.unwrap();
    // Binance's snapshot lies behind the first messages.
    deltas.retain(|delta| delta.last_id > start.last_id);
    deltas.truncate(WINDOW);
    let empty = DepthDelta {
        prev_id: 0,
        first_id: 0,
        last_id: 0,
        seq: 0,
        bids: start.bids.clone(),
        asks: start.asks.clone(),
    };
    let mut book = [BTreeMap::new(), BTreeMap::new()];
    naive(&mut book, &empty, start.window);
    let books = deltas
        .iter()
        .map(|delta| naive(&mut book, delta, start.window));
    Truth {
        books: books.collect(),
        start,
        deltas,
    }
}

/// The order in which messages arrive, by their numbers.
fn disorder(rng: &mut ChaCha8Rng, len: usize) -> Vec<usize> {
    let mut order = Vec::new();
    for n in 0..len {
        match pick(rng, 40) {
            0 => {} // missing
            1 => order.extend([n, n]),
            2 => {
                // Once more, long after its time.
                let earlier = pick(rng, n + 1);
                order.extend([n, earlier]);
            }
            _ => order.push(n),
        }
    }
    for _ in 0..len / 40 {
        let at = pick(rng, order.len().saturating_sub(3));
        order.swap(at, at + 1 + pick(rng, 2));
    }
    order
}

/// Plays the messages in that order, with a fresh snapshot whenever one is asked for and a while has
/// passed. Returns how many holes were found, and how often the book came back.
fn play(truth: &Truth, order: &[usize], rng: &mut ChaCha8Rng) -> (u64, u64) {
    let mut book = SyncedBook::new(LEVELS_MAX);
    assert_eq!(book.snapshot(&truth.start), Step::BecameValid);
    // The number of the last message in the book, while it is valid; -1 is the snapshot.
    let mut known: Option<i64> = Some(-1);
    let mut newest = -1;
    let mut wait = 0;
    for &n in order {
        let step = book.delta(&truth.deltas[n]);
        let n = i64::try_from(n).unwrap();
        newest = newest.max(n);
        known = match known {
            Some(last) if n == last + 1 => {
                assert_eq!(step, Step::Changed);
                Some(n)
            }
            Some(last) if n > last => {
                assert_eq!(
                    step,
                    Step::NeedsSnapshot(BookFault::Gap),
                    "{n} behind {last}"
                );
                wait = 1 + pick(rng, 10);
                None
            }
            Some(last) => {
                assert_eq!(step, Step::Unchanged, "{n} again at {last}");
                Some(last)
            }
            None => None,
        };
        if known.is_none() {
            wait -= 1;
            if wait == 0 {
                known = resync(&mut book, truth, newest);
                wait = usize::from(known.is_none());
            }
        }
        match (book.valid(), known.and_then(|n| usize::try_from(n).ok())) {
            (Some(valid), Some(n)) => {
                assert_eq!(book.last_id(), truth.deltas[n].last_id);
                assert_eq!(sides(valid), truth.books[n], "at message {n}");
            }
            (valid, _) => assert_eq!(valid.is_some(), known.is_some()),
        }
    }
    (book.gaps, book.resyncs)
}

/// The venue's book at its newest message, as the stream or REST brings it.
fn resync(book: &mut SyncedBook, truth: &Truth, newest: i64) -> Option<i64> {
    let at = usize::try_from(newest).ok()?;
    let (bids, asks) = truth.books[at].clone();
    let snapshot = DepthSnapshot {
        last_id: truth.deltas[at].last_id,
        seq: truth.deltas[at].seq,
        window: truth.start.window,
        bids,
        asks,
    };
    assert_eq!(book.snapshot(&snapshot), Step::BecameValid);
    Some(newest)
}

#[test]
fn no_disorder_makes_a_book_wrong() {
    let Some(data) = recordings() else { return };
    for venue in Venue::all() {
        // Spot's other file holds the snapshot.
        let frames = match venue.id {
            VenueId::Binance | VenueId::Sim => {
                let file = data.join("hftbacktest/binance_spot_btcusdt_20240808.txt.gz");
                let messages = crate::lines::plain(&crate::lines::unpacked(&file));
                messages.into_iter().map(|message| message.text).collect()
            }
            VenueId::BinanceUsdm | VenueId::BybitSpot | VenueId::BybitLinear => {
                let frames = recorded(&data, venue.id).into_iter();
                frames
                    .filter(|frame| frame.contains("BTCUSDT") || frame.starts_with("{\"last"))
                    .collect::<Vec<_>>()
            }
        };
        let truth = truth(&venue, &frames);
        assert_eq!(truth.deltas.len(), WINDOW);
        let whole: Vec<usize> = (0..WINDOW).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        assert_eq!(play(&truth, &whole, &mut rng), (0, 0), "{}", venue.id);
        let (mut gaps, mut resyncs) = (0, 0);
        for seed in 1..=RUNS {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let order = disorder(&mut rng, WINDOW);
            let (holes, again) = play(&truth, &order, &mut rng);
            gaps += holes;
            resyncs += again;
        }
        assert!(gaps > 5 * RUNS && resyncs > 5 * RUNS, "{gaps} {resyncs}");
    }
}
