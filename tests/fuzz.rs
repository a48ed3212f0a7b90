//! Fuzz targets, one for each thing that reads bytes from outside: changed pieces of real messages go
//! in, and what comes out must keep its promises. `PROPTEST_CASES` makes a run as long as wanted.

use std::io::Write as _;

use hean::kernel::event::{Candle, MarketEvent};
use hean::kernel::types::{Instrument, InstrumentId, InstrumentName, Scale, Time, VenueId};
use hean::recording::{Frame, LINE_BYTES_MAX, Reader};
use hean::venue::VenueRow;
use hean::venue::json::{DEPTH_MAX, Scanner};
use hean::venue::protocol::{Protocol, Reading, Said};
use proptest::prelude::*;
use proptest::test_runner::Config;

const RECEIVED: Time = Time(1_791_284_980_700_000_000);

/// Pieces that mean something to a reader of JSON or of decimals.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-",
    ".",
    "e9",
    "0",
    "99999999999999999999",
    "\u{0}",
    "é",
    "[[",
    "]]",
    "\"s\":",
    "\"data\":",
    " ",
];

/// A change to a message; positions are parts of its length.
#[derive(Debug, Clone)]
enum Change {
    Set(u16, u8),
    Flip(u16, u8),
    Insert(u16, usize),
    Remove(u16, u16),
    Repeat(u16, u16),
    Cut(u16),
    /// The rest of another message.
    Splice(u16, usize, u16),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<u16>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), 0..PIECES.len()).prop_map(|(at, piece)| Change::Insert(at, piece)),
        (at(), at()).prop_map(|(from, to)| Change::Remove(from, to)),
        (at(), at()).prop_map(|(from, to)| Change::Repeat(from, to)),
        at().prop_map(Change::Cut),
        (at(), any::<usize>(), at()).prop_map(|(at, other, from)| Change::Splice(at, other, from)),
    ]
}

/// A message of the corpus, by number, and what happens to it.
fn input() -> impl Strategy<Value = (usize, Vec<Change>)> {
    (any::<usize>(), prop::collection::vec(change(), 0..6))
}

fn place(at: u16, len: usize) -> usize {
    usize::from(at) * len / usize::from(u16::MAX).max(1)
}

fn changed(corpus: &[Vec<u8>], (pick, changes): &(usize, Vec<Change>)) -> Vec<u8> {
    let mut bytes = corpus[pick % corpus.len()].clone();
    for change in changes {
        let len = bytes.len();
        let spot = |at: &u16| place(*at, len).min(len.saturating_sub(1));
        let range = |a: &u16, b: &u16| spot(a).min(spot(b))..spot(a).max(spot(b));
        match change {
            Change::Set(at, byte) if len > 0 => bytes[spot(at)] = *byte,
            Change::Flip(at, bit) if len > 0 => bytes[spot(at)] ^= 1 << bit,
            Change::Set(..) | Change::Flip(..) => {}
            Change::Insert(at, piece) => {
                let at = spot(at);
                bytes.splice(at..at, PIECES[*piece].bytes());
            }
            Change::Remove(a, b) => drop(bytes.drain(range(a, b))),
            Change::Repeat(a, b) if len < 10_000 => {
                let copy = bytes[range(a, b)].to_vec();
                let at = range(a, b).end;
                bytes.splice(at..at, copy);
            }
            Change::Repeat(..) => {}
            Change::Cut(at) => bytes.truncate(spot(at)),
            Change::Splice(at, other, from) => {
                let other = &corpus[other % corpus.len()];
                bytes.truncate(spot(at));
                bytes.extend(&other[place(*from, other.len()).min(other.len())..]);
            }
        }
    }
    bytes
}

/// The frames of a file of samples: behind a time each.
fn frames(text: &str) -> Vec<Vec<u8>> {
    let frame = |line: &str| line.split_once(' ').expect("time").1.as_bytes().to_vec();
    text.lines().map(frame).collect()
}

fn spot_frames() -> Vec<Vec<u8>> {
    frames(include_str!("data/binance_spot_frames.txt"))
}

fn usdm_frames() -> Vec<Vec<u8>> {
    frames(include_str!("data/binance_usdm_frames.txt"))
}

fn bybit_frames() -> Vec<Vec<u8>> {
    frames(include_str!("data/bybit_frames.txt"))
}

fn bodies(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn depths() -> Vec<Vec<u8>> {
    bodies(&[
        r#"{"lastUpdateId":1000,"bids":[["86104.01","1.5"],["86104.00","0.1"]],"asks":[["86104.02","2",[]]]}"#,
        r#"{"lastUpdateId":5123107852948,"E":1723161256501,"T":1723161256493,"bids":[],"asks":[["1","2"]]}"#,
        r#"{"retCode":0,"retMsg":"OK","result":{"s":"BTCUSDT","b":[["2","1.5"]],"a":[],"ts":1,"u":7,"seq":8},"time":1}"#,
    ])
}

fn candles() -> Vec<Vec<u8>> {
    bodies(&[
        r#"[[60000,"1.5","2","1","1.7","10.5",119999,"15.75",3,"1","1","0"],[120000,"1.7","1.7","1.7","1.7","0",179999,"0",0,"0","0","0"]]"#,
        r#"{"retCode":0,"retMsg":"OK","result":{"category":"linear","symbol":"BTCUSDT","list":[["120000","1","2","0.5","1.5","3","4.5"],["60000","1","1","1","1","0","0"]]},"time":1}"#,
    ])
}

fn listings() -> Vec<Vec<u8>> {
    bodies(&[
        r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[{"filterType":"PRICE_FILTER","minPrice":"0.01","maxPrice":"1000000.00","tickSize":"0.01"},{"filterType":"LOT_SIZE","minQty":"0.00001","maxQty":"9000","stepSize":"0.00001"},{"filterType":"NOTIONAL","minNotional":"5"},{"filterType":"PERCENT_PRICE","multiplierUp":"5","multiplierDown":"0.2","avgPriceMins":5}],"contractType":"CURRENT_QUARTER","deliveryDate":1805961600000}]}"#,
        r#"{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[{"symbol":"BTCUSDT","contractType":"LinearPerpetual","status":"Trading","baseCoin":"BTC","quoteCoin":"USDT","deliveryTime":"0","priceFilter":{"minPrice":"0.10","maxPrice":"1999999.80","tickSize":"0.10"},"lotSizeFilter":{"maxOrderQty":"1190.000","minOrderQty":"0.001","qtyStep":"0.001","basePrecision":"0.001","maxMktOrderQty":"500","minNotionalValue":"5"},"fundingInterval":480,"riskParameters":{"priceLimitRatioX":"0.01","priceLimitRatioY":"0.02"}}],"nextPageCursor":"a"},"time":1}"#,
    ])
}

fn others() -> Vec<Vec<u8>> {
    bodies(&[
        r#"{"serverTime":1620099477465}"#,
        r#"{"symbol":"BTCUSDT","openInterest":"10659.509","time":1589437530011}"#,
        r#"{"code":-1121,"msg":"Invalid symbol."}"#,
        r#"{"retCode":0,"retMsg":"OK","result":{"timeSecond":"1688639403","timeNano":"1688639403423213947"},"time":1}"#,
        r#"{"retCode":10001,"retMsg":"params error","result":{}}"#,
    ])
}

fn btc(venue: VenueId) -> Instrument {
    let name = InstrumentName {
        venue,
        symbol: "BTCUSDT".to_owned(),
    };
    let scale = |digits| Scale::new(digits).expect("scale");
    Instrument::unlimited(name, "BTC", "USDT", (scale(2), scale(5)))
}

fn protocol(venue: VenueId) -> &'static dyn Protocol {
    VenueRow::of(venue).protocol
}

/// A frame: an error leaves nothing behind, and the same bytes say the same again.
fn read_frame(venue: VenueId, bytes: &[u8]) {
    let instrument = btc(venue);
    let decoder = protocol(venue).decoder(&[Reading {
        id: InstrumentId(0),
        instrument: &instrument,
        trades: protocol(venue).trade_stream(),
    }]);
    let read = || {
        let mut events: Vec<MarketEvent> = Vec::new();
        let said = decoder.decode(bytes, RECEIVED, &mut events);
        (said, events)
    };
    let (said, events) = read();
    assert_eq!(events.is_empty(), said != Ok(Said::Market));
    assert!(events.iter().all(|event| event.venue_time > Time::ZERO));
    assert_eq!(format!("{:?}", read()), format!("{:?}", (said, events)));
    decoder.victim(bytes);
}

fn in_order(candles: &[Candle]) -> bool {
    let shaped = |c: &Candle| c.low <= c.open.min(c.close) && c.high >= c.open.max(c.close);
    candles.iter().all(shaped) && candles.is_sorted_by(|a, b| a.open_time < b.open_time)
}

fn config() -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok();
    Config {
        cases: cases.and_then(|text| text.parse().ok()).unwrap_or(2_000),
        failure_persistence: None,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn binance_spot_frames(input in input()) {
        read_frame(VenueId::Binance, &changed(&spot_frames(), &input));
    }

    #[test]
    fn binance_usdm_frames(input in input()) {
        read_frame(VenueId::BinanceUsdm, &changed(&usdm_frames(), &input));
    }

    #[test]
    fn bybit_spot_frames(input in input()) {
        read_frame(VenueId::BybitSpot, &changed(&bybit_frames(), &input));
    }

    #[test]
    fn bybit_linear_frames(input in input()) {
        read_frame(VenueId::BybitLinear, &changed(&bybit_frames(), &input));
    }

    #[test]
    fn depth_snapshots(input in input()) {
        let bytes = changed(&depths(), &input);
        for venue in VenueId::ALL {
            let snapshot = protocol(venue).decode_depth(&bytes, &btc(venue));
            if let Ok(snapshot) = snapshot {
                let levels = snapshot.bids.iter().chain(&snapshot.asks);
                prop_assert!(levels.into_iter().all(|l| l.price.0 > 0 && l.qty.0 >= 0));
            }
            drop(protocol(venue).decode_probe(&bytes, &btc(venue)));
        }
    }

    #[test]
    fn klines(input in input()) {
        let bytes = changed(&candles(), &input);
        for venue in VenueId::ALL {
            let candles = protocol(venue).decode_candles(&bytes, &btc(venue));
            prop_assert!(candles.is_err() || candles.is_ok_and(|candles| in_order(&candles)));
        }
    }

    #[test]
    fn instruments(input in input()) {
        let bytes = changed(&listings(), &input);
        let wanted = ["BTCUSDT".to_owned()];
        for venue in VenueId::ALL {
            let mut body = bytes.clone();
            let listings = protocol(venue).decode_instruments(&mut body, &wanted, &|_| None);
            for (_, instrument) in listings.map(|l| l.found).unwrap_or_default() {
                if let Ok(i) = instrument {
                    prop_assert!(i.tick.0 > 0 && i.lot.0 > 0 && i.market_qty_max.0 >= 0);
                }
            }
        }
    }

    #[test]
    fn other_answers(input in input()) {
        let bytes = changed(&others(), &input);
        for venue in VenueId::ALL {
            let time = protocol(venue).decode_server_time(&bytes);
            prop_assert!(time.is_err() || time.is_ok_and(|time| time > Time::ZERO));
            drop(protocol(venue).decode_open_interest(&bytes, &btc(venue)));
            for status in [200, 403, 418, 429, 500] {
                protocol(venue).complaint(status, &bytes);
            }
        }
    }

    /// What a recording is about. (Anything may come: nothing is promised but an answer.)
    #[test]
    fn recorded_frames(input in input()) {
        let corpus = [spot_frames(), usdm_frames(), bybit_frames()].concat();
        let bytes = changed(&corpus, &input);
        if let Ok(frame) = Frame::parse(&bytes) {
            prop_assert!(frame.data.len() <= bytes.len());
        }
    }

    /// The scanner accepts what `serde_json` accepts, up to its own depth.
    #[test]
    fn json(input in input()) {
        let corpus = [usdm_frames(), bybit_frames(), listings()].concat();
        let bytes = changed(&corpus, &input);
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return Ok(());
        };
        let mut scanner = Scanner::new(text);
        let ours = scanner.skip().and_then(|()| scanner.end());
        let theirs = serde_json::from_str::<serde_json::Value>(text);
        // A number is text here, and may be any.
        let huge = theirs.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
        let deep = text.bytes().filter(|c| b"[{".contains(c)).count() > usize::from(DEPTH_MAX);
        prop_assert!(ours.is_ok() == theirs.is_ok() || deep || huge, "{:?} {:?}", ours, theirs);
    }
}

proptest! {
    // Each case writes a file.
    #![proptest_config(Config { cases: config().cases / 10, ..config() })]

    #[test]
    fn recording_files(input in input(), packed in 0..3_u8) {
        let text = include_str!("data/bybit_frames.txt");
        let plain = text.as_bytes().to_vec();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).expect("memory");
        let corpus = match packed {
            0 => plain,
            1 => gzip.finish().expect("memory"),
            _ => zstd::encode_all(plain.as_slice(), 1).expect("memory"),
        };
        let bytes = changed(&[corpus], &input);
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("recording");
        std::fs::write(&path, &bytes).expect("write");
        let mut reader = Reader::new([&path]);
        let mut records = 0_u32;
        while let Some(record) = reader.next_record() {
            if let Ok(record) = record {
                prop_assert!(!record.frame.is_empty() && record.frame.len() <= LINE_BYTES_MAX);
            }
            records += 1;
            prop_assert!(records < 1_000_000, "reading ends");
        }
    }
}
