//! Every recording of every venue through decoder and book, held after every message against a book
//! kept the slow way; and against the best levels that an independent program wrote down.

#[path = "support/cryptofeed.rs"]
mod cryptofeed;
#[path = "support/lines.rs"]
mod lines;
#[path = "support/oracle.rs"]
mod oracle;
#[path = "support/recordings.rs"]
mod recordings;

use std::collections::BTreeMap;
use std::path::Path;

use cryptofeed::cryptofeed;
use hean::kernel::event::MarketData;
use hean::kernel::market::{Book, SyncedBook};
use hean::kernel::types::{Instrument, InstrumentId, InstrumentName, Scale, Side, Time, VenueId};
use hean::venue::VenueRow;
use hean::venue::protocol::{Reading, TradeStream};
use lines::{Message, plain, unpacked};
use oracle::{Oracle, Rules};
use recordings::recordings;

/// One instrument, kept twice.
struct Pair {
    ours: SyncedBook,
    theirs: Oracle,
}

fn rules(venue: VenueId) -> Rules {
    match venue {
        VenueId::Binance | VenueId::Sim => Rules::Spot,
        VenueId::BinanceUsdm => Rules::Usdm,
        VenueId::BybitSpot | VenueId::BybitLinear => Rules::Bybit,
    }
}

fn instrument(venue: VenueId, symbol: &str) -> Instrument {
    let name = InstrumentName {
        venue,
        symbol: symbol.to_owned(),
    };
    let finest = Scale::new(Scale::MAX).expect("scale");
    Instrument::unlimited(name, "B", "Q", (finest, finest))
}

fn side(book: &Book, side: Side) -> BTreeMap<i128, i128> {
    // Eight digits here, ten there.
    let wide = |value: i64| i128::from(value) * 100;
    let levels = book.levels(side);
    levels.map(|l| (wide(l.price.0), wide(l.qty.0))).collect()
}

/// Plays messages. `look` sees every book that changed, once a difference was applied to it.
fn play(
    venue: VenueId,
    symbols: &[&str],
    messages: &[(Option<String>, Message)],
    mut look: impl FnMut(&SyncedBook),
) -> Vec<Pair> {
    let instruments: Vec<Instrument> = symbols.iter().map(|s| instrument(venue, s)).collect();
    let readings: Vec<Reading<'_>> = (0..)
        .zip(&instruments)
        .map(|(id, instrument)| Reading {
            id: InstrumentId(id),
            instrument,
            trades: TradeStream::Every,
        })
        .collect();
    let protocol = VenueRow::of(venue).protocol;
    let decoder = protocol.decoder(&readings);
    let pair = || Pair {
        ours: SyncedBook::new(100_000),
        theirs: Oracle::new(rules(venue)),
    };
    let mut pairs: Vec<Pair> = symbols.iter().map(|_| pair()).collect();
    let index = |symbol: &str| symbols.iter().position(|s| *s == symbol).expect("symbol");
    let mut events = Vec::new();
    for (asked, message) in messages {
        let value: serde_json::Value = serde_json::from_str(&message.text).expect("JSON");
        let bytes = message.text.as_bytes();
        let at = if value.get("lastUpdateId").is_some() {
            let at = asked.as_deref().map_or(0, index);
            let snapshot = protocol.decode_depth(bytes, &instruments[at]);
            pairs[at].ours.snapshot(&snapshot.expect("snapshot"));
            pairs[at].theirs.snapshot(&value);
            at
        } else {
            let said = decoder.decode(bytes, Time(message.time_ns), &mut events);
            said.unwrap_or_else(|e| panic!("{e}: {}", message.text));
            for event in events.drain(..) {
                let book = &mut pairs[event.instrument.index()].ours;
                match &event.data {
                    MarketData::Depth(delta) => drop(book.delta(delta)),
                    MarketData::Snapshot(snapshot) => drop(book.snapshot(snapshot)),
                    MarketData::Quote(quote) if venue.quotes_verify_books() => {
                        book.quote(*quote);
                    }
                    _ => {}
                }
            }
            let Some((symbol, message)) = Oracle::concerns(rules(venue), &value) else {
                continue;
            };
            let at = index(&symbol);
            pairs[at].theirs.hear(&message);
            at
        };
        let Pair { ours, theirs } = &pairs[at];
        match (ours.valid(), theirs.book()) {
            (None, None) => {}
            (Some(book), Some([bids, asks])) => {
                assert_eq!(ours.last_id(), theirs.last_id());
                assert_eq!(&side(book, Side::Buy), bids, "at {}", theirs.last_id());
                assert_eq!(&side(book, Side::Sell), asks, "at {}", theirs.last_id());
                look(ours);
            }
            (ours, theirs) => panic!(
                "ours is valid: {}, theirs: {}, at {}",
                ours.is_some(),
                theirs.is_some(),
                message.text
            ),
        }
    }
    for (pair, symbol) in pairs.iter().zip(symbols) {
        assert_eq!(pair.ours.updates, pair.theirs.updates, "{symbol}");
        assert_eq!((pair.ours.gaps, pair.theirs.gaps), (0, 0), "{symbol}");
        assert!(pair.ours.valid().is_some(), "{symbol} became valid");
        assert_eq!(pair.ours.resyncs, 0, "{symbol} stayed valid");
    }
    pairs
}

#[derive(serde::Deserialize)]
struct Expected {
    depth_events_applied: u64,
    final_levels: (usize, usize),
    checkpoints_every_500: Vec<Checkpoint>,
}

#[derive(serde::Deserialize)]
struct Checkpoint {
    event_no: u64,
    update_id: u64,
    bids: Vec<(String, String)>,
    asks: Vec<(String, String)>,
}

fn equals_checkpoints(data: &Path, venue: VenueId, files: &[&str], answers: &str) {
    let messages: Vec<_> = files
        .iter()
        .flat_map(|file| plain(&unpacked(&data.join("hftbacktest").join(file))))
        .map(|message| (None, message))
        .collect();
    let text = unpacked(&data.join("expected").join(answers));
    let expected: Expected = serde_json::from_str(&text).expect("answers");
    let mut points = expected.checkpoints_every_500.iter().peekable();
    let best = |levels: &[(String, String)]| -> Vec<(i128, i128)> {
        let number = |text: &String| oracle::number(&text.as_str().into());
        levels.iter().map(|(p, q)| (number(p), number(q))).collect()
    };
    let mut joined = false;
    let pairs = play(venue, &["BTCUSDT"], &messages, |book| {
        while let Some(passed) = points.next_if(|p| p.event_no < book.updates) {
            // With the snapshot several waiting updates are applied at once.
            assert!(!joined, "update {} was passed over", passed.event_no);
        }
        joined = true;
        let Some(point) = points.next_if(|p| p.event_no == book.updates) else {
            return;
        };
        assert_eq!(book.last_id(), point.update_id);
        let book = book.valid().expect("valid");
        let top = |which, n: usize| {
            let levels = side(book, which).into_iter();
            match which {
                Side::Buy => levels.rev().take(n).collect::<Vec<_>>(),
                Side::Sell => levels.take(n).collect(),
            }
        };
        assert_eq!(top(Side::Buy, point.bids.len()), best(&point.bids));
        assert_eq!(top(Side::Sell, point.asks.len()), best(&point.asks));
    });
    assert!(points.next().is_none(), "every checkpoint was seen");
    let ours = &pairs[0].ours;
    assert_eq!(ours.updates, expected.depth_events_applied);
    let book = ours.valid().expect("valid");
    let levels = (book.levels(Side::Buy).len(), book.levels(Side::Sell).len());
    assert_eq!(levels, expected.final_levels);
}

#[test]
fn binance_spot_is_kept_right_at_every_update() {
    let Some(data) = recordings() else { return };
    let files = [
        "binance_spot_btcusdt_20240808.txt.gz",
        "binance_spot_btcusdt_20240809.txt.gz",
    ];
    let answers = "binance_spot_btcusdt_20240808_09.expected.json";
    equals_checkpoints(&data, VenueId::Binance, &files, answers);
}

#[test]
fn binance_futures_are_kept_right_at_every_update() {
    let Some(data) = recordings() else { return };
    let files = ["binance_usdm_btcusdt_20240808.txt.gz"];
    let answers = "binance_usdm_btcusdt_20240808.expected.json";
    equals_checkpoints(&data, VenueId::BinanceUsdm, &files, answers);
}

#[test]
fn several_symbols_join_their_snapshots() {
    let Some(data) = recordings() else { return };
    let sets = [
        (
            "BINANCE",
            VenueId::Binance,
            ["NKNUSDT", "BLZETH", "LRCBTC", "RUNEEUR"],
        ),
        (
            "BINANCE_FUTURES",
            VenueId::BinanceUsdm,
            ["SUSHIUSDT", "AKROUSDT", "KEEPUSDT", "CTKUSDT"],
        ),
    ];
    for (set, venue, symbols) in sets {
        let messages = cryptofeed(&data.join("cryptofeed"), set);
        let pairs = play(venue, &symbols, &messages, |_| ());
        let updates: u64 = pairs.iter().map(|pair| pair.ours.updates).sum();
        assert!(updates > 50, "{set}: {updates}");
    }
}

#[test]
fn bybit_is_kept_right_at_every_update() {
    let Some(data) = recordings() else { return };
    let eight = [
        "ADAUSDT", "BCHUSDT", "DOTUSDT", "ETHUSDT", "LINKUSDT", "LTCUSDT", "UNIUSDT", "XTZUSDT",
    ];
    for (file, symbols, updates) in [
        (
            "derived_bybit_v5/bybit_linear_BTCUSDT_derived_from_binance_usdm.txt.gz",
            &["BTCUSDT"][..],
            6_000,
        ),
        (
            "derived_bybit_v5/bybit_linear_8symbols_reenveloped_from_2021_v2.txt.gz",
            &eight[..],
            3_252,
        ),
        (
            "nautilus_trader/bybit_linear_xrpusdt_ob500_20241201.jsonl.gz",
            &["XRPUSDT"][..],
            49,
        ),
    ] {
        let messages = plain(&unpacked(&data.join(file)));
        let messages: Vec<_> = messages.into_iter().map(|m| (None, m)).collect();
        let pairs = play(VenueId::BybitLinear, symbols, &messages, |book| {
            let book = book.valid().expect("valid");
            assert!(!book.is_crossed());
        });
        let applied: u64 = pairs.iter().map(|pair| pair.ours.updates).sum();
        assert!(applied >= updates, "{file}: {applied}");
    }
}
