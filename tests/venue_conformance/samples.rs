//! Single messages, as exchanges document them and others recorded them: read without error, or
//! refused for a reason that stands here.

use std::path::{Path, PathBuf};

use hean::kernel::types::VenueId;
use serde_json::Value;

use super::Venue;
use crate::lines::unpacked;
use crate::recordings::recordings;

/// What is refused: a part of the error, a part of the frame, and why that is right.
const REFUSED: [(&str, &str, &str); 5] = [
    (
        "more than 2 decimal digits",
        "\"BTCUSDT\"",
        "made-up prices of a few thousandths, finer than BTCUSDT has them",
    ),
    (
        "expected an object",
        "[{",
        "the array of all symbols without its envelope; it is not subscribed",
    ),
    (
        "names no symbol",
        "\"lastUpdateId\":160",
        "a partial book without its envelope; it is not subscribed",
    ),
    (
        "depth 1 has snapshots alone",
        "orderbook.1.BTCUSDT",
        "made up: since 2025 there is no such difference",
    ),
    (
        "no message of this protocol",
        "\"adlRankIndicator\"",
        "a position of the private stream without its envelope",
    ),
];

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The JSON values of a file: one, or one a line.
fn values(path: &Path) -> Vec<Value> {
    let text = unpacked(path);
    match serde_json::from_str(&text) {
        Ok(value) => vec![value],
        Err(_) => text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
            })
            .collect(),
    }
}

/// Samples of public streams, as frames.
pub(crate) fn frames(data: &Path, venue: VenueId) -> Vec<String> {
    let paths: &[&str] = match venue {
        VenueId::Binance | VenueId::Sim => &[
            "binance-connector-js/spot/websocket-streams",
            "nautilus_trader/py_adapters/binance/ws_messages",
        ],
        VenueId::BinanceUsdm => &[
            "binance-connector-js/usds-futures/websocket-streams",
            "nautilus_trader/crates/binance/futures/market_data_json",
            "nautilus_trader/py_adapters/binance/ws_messages",
            "gocryptotrader/wsUFuturesPublic.jsonl",
            "gocryptotrader/wsUFuturesMarket.jsonl",
        ],
        VenueId::BybitSpot | VenueId::BybitLinear => &[
            "nautilus_trader/crates/bybit",
            "gocryptotrader/bybit_wsTicker.jsonl",
        ],
    };
    let mut frames = Vec::new();
    for path in paths.iter().map(|path| data.join(path)) {
        let list = if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        };
        for file in list {
            let name = file.file_name().unwrap().to_str().unwrap();
            // Of Bybit's the answers to REST calls lie beside the frames.
            if !name.starts_with("http_") {
                frames.extend(values(&file).iter().map(Value::to_string));
            }
        }
    }
    frames
}

#[test]
fn samples_of_streams_are_read_or_refused_for_a_known_reason() {
    let Some(data) = recordings() else { return };
    let mut used = vec![false; REFUSED.len()];
    let mut faults = Vec::new();
    for venue in Venue::all() {
        let frames = frames(&data, venue.id);
        assert!(frames.len() > 20, "{}: {}", venue.id, frames.len());
        for frame in &frames {
            let Err(error) = venue.agree(frame.as_bytes()) else {
                continue;
            };
            let text = error.to_string();
            let known = REFUSED
                .iter()
                .position(|(why, part, _)| text.contains(why) && frame.contains(part));
            match known {
                Some(row) => used[row] = true,
                None => faults.push(format!("{}: {error}: {frame:.300}", venue.id)),
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(
        used.iter().all(|used| *used),
        "a row that is not needed: {used:?}"
    );
}

/// Every message there is through everything that reads: an error is fine, a panic is not.
#[test]
fn no_message_of_anybody_panics() {
    let Some(data) = recordings() else { return };
    let folders = [
        "binance-connector-js",
        "nautilus_trader/crates",
        "nautilus_trader/py_adapters",
        "jkorf_binance_net",
        "gocryptotrader",
    ];
    let mut messages: Vec<String> = Vec::new();
    for file in folders.iter().flat_map(|folder| files(&data.join(folder))) {
        let name = file.file_name().unwrap().to_str().unwrap();
        if name.contains(".json") {
            for value in values(&file) {
                let parts = value["frames"].as_array().into_iter().flatten();
                messages.extend(parts.map(|frame| frame["json"].to_string()));
                messages.push(value["response"].to_string());
                messages.push(value.to_string());
            }
        }
    }
    assert!(messages.len() > 500, "{}", messages.len());
    for venue in Venue::all() {
        let mut read = 0;
        for message in &messages {
            read += read_every_way(&venue, message.as_bytes());
        }
        assert!(read > 10, "{}: {read}", venue.id);
    }
}

/// Reads bytes as each of the messages that a venue sends; says how many of them it can be.
pub(crate) fn read_every_way(venue: &Venue, bytes: &[u8]) -> usize {
    let (_, btc) = &venue.set[0];
    let protocol = venue.protocol;
    let wanted = [btc.name.symbol.clone()];
    let mut body = bytes.to_vec();
    venue.decoder.victim(bytes);
    protocol.complaint(200, bytes);
    protocol.complaint(400, bytes);
    protocol.complaint(403, bytes);
    let read = [
        venue.decode(bytes).is_ok(),
        protocol.decode_depth(bytes, btc).is_ok(),
        protocol.decode_probe(bytes, btc).is_ok(),
        protocol.decode_candles(bytes, btc).is_ok(),
        protocol.decode_server_time(bytes).is_ok(),
        protocol.decode_open_interest(bytes, btc).is_ok(),
        protocol
            .decode_instruments(&mut body, &wanted, &|_| None)
            .is_ok(),
    ];
    read.into_iter().filter(|read| *read).count()
}

/// Answers to the calls that this program makes are read.
#[test]
fn answers_to_our_own_calls_are_read() {
    let Some(data) = recordings() else { return };
    let spot = data.join("nautilus_trader/crates/binance/spot/http_json");
    let usdm = data.join("binance-connector-js/usds-futures/rest-api");
    let bybit = data.join("nautilus_trader/crates/bybit");
    let body = |folder: &Path, file: &str| unpacked(&folder.join(file)).into_bytes();
    for venue in Venue::all() {
        // At the finest scales: what is documented names no symbol, and has made-up prices.
        let (btc, fine) = (&venue.set[0].1, &venue.set[1].1);
        let p = venue.protocol;
        let listed = |folder: &Path, file: &str| {
            let text = unpacked(&folder.join(file));
            // Cryptofeed writes `url -> time: ` before the answer.
            let start = text.find('{').unwrap();
            let body = text[start..].lines().collect::<Vec<_>>();
            let body = if file.starts_with("cryptofeed") {
                body[0].to_owned()
            } else {
                body.concat()
            };
            let read = |wanted: &[String]| {
                let mut body = body.clone().into_bytes();
                p.decode_instruments(&mut body, wanted, &|_| None).unwrap()
            };
            let listings = read(&read(&[]).names);
            assert!(!listings.found.is_empty(), "{file}");
            for (symbol, instrument) in listings.found {
                let instrument = instrument.unwrap_or_else(|e| panic!("{file}: {symbol}: {e}"));
                assert!(instrument.tick.0 > 0 && instrument.lot.0 > 0);
            }
        };
        match venue.id {
            VenueId::Binance | VenueId::Sim => {
                listed(&data, "cryptofeed/BINANCE.0.gz");
                assert!(
                    p.decode_server_time(&body(&spot, "server_time_response.json"))
                        .is_ok()
                );
                let depth = body(&spot, "depth_response.json");
                p.decode_depth(&depth, fine).unwrap();
                let klines = body(&spot, "klines_response.json");
                assert!(!p.decode_candles(&klines, fine).unwrap().is_empty());
            }
            VenueId::BinanceUsdm => {
                listed(&data, "cryptofeed/BINANCE_FUTURES.0.gz");
                assert!(
                    p.decode_server_time(&body(&usdm, "checkServerTime.json"))
                        .is_ok()
                );
                let depth = body(&usdm, "orderBook.json");
                p.decode_depth(&depth, fine).unwrap();
                let interest = body(&usdm, "openInterest.json");
                p.decode_open_interest(&interest, btc).unwrap();
            }
            VenueId::BybitSpot => {
                listed(&bybit, "http_get_instruments_spot.json");
                listed(&bybit, "http_get_instruments_spot_xstocks.json");
            }
            VenueId::BybitLinear => {
                listed(&bybit, "http_get_instruments_linear.json");
                listed(&bybit, "http_get_instruments_linear_symbol_type.json");
                let book = body(&bybit, "http_get_orderbook.json");
                assert_eq!(p.decode_probe(&book, btc), Ok(9_876_543));
                let klines = body(&bybit, "http_get_klines_linear.json");
                assert_eq!(p.decode_candles(&klines, btc).unwrap().len(), 1);
            }
        }
    }
}
