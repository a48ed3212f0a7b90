//! The simulated venue from outside: a plain WebSocket client and a plain HTTP client against its
//! sockets, on recordings and on the synthetic market.

#[path = "sim/book.rs"]
mod book;
#[path = "sim/client.rs"]
mod common;
#[path = "sim/faults.rs"]
mod faults;
#[path = "sim/markets.rs"]
mod markets;
#[path = "support/recordings.rs"]
mod recordings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use book::{Book, join};
use common::{Client, Running, get, status, value};
use hean::kernel::types::VenueId;
use hean::recording::Reader;
use hean::venue::sim::{Fault, Source, Speed};
use recordings::recordings;
use serde_json::Value;

const SPOT: &str = "hftbacktest/binance_spot_btcusdt_20240808.txt.gz";
const SPOT_NEXT: &str = "hftbacktest/binance_spot_btcusdt_20240809.txt.gz";
const ALL: &str = "/stream?streams=btcusdt@depth@100ms/btcusdt@trade/btcusdt@bookTicker";

fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn playback(files: Vec<PathBuf>) -> Source {
    Source::Recording {
        files,
        exchange: VenueId::Binance,
        speed: Speed::Max,
    }
}

/// The frames of a recording whose stream name fits, as text.
fn frames(files: &[PathBuf], wanted: impl Fn(&str) -> bool) -> Vec<String> {
    Reader::new(files)
        .map(|record| String::from_utf8(record.expect("line").frame).expect("text"))
        .filter(|frame| {
            let name = frame.strip_prefix("{\"stream\":\"");
            name.and_then(|rest| rest.split('"').next())
                .is_some_and(&wanted)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_frame_arrives_in_order_byte_for_byte() {
    let Some(data) = recordings() else { return };
    let files = vec![data.join(SPOT)];
    let sim = Running::start(playback(files.clone()), vec![]).await;
    let mut client = Client::connect(sim.addr, ALL).await;
    let expected = frames(&files, |_| true);
    assert_eq!(expected.len(), 41_248);
    for (at, want) in expected.iter().enumerate() {
        let got = client.text().await;
        assert!(got == *want, "frame {at}: got {got}, want {want}");
    }
    assert!(sim.status.wait_finished().await);
    let status = status(sim.addr).await;
    assert_eq!(status["finished"], true);
    assert_eq!(status["state"], "finished");
    assert_eq!(status["position"], 41_249);
    assert_eq!(status["frames_sent"], 41_248);
    assert_eq!(status["end"], status["venue_time"]);
    // The end is no stall: the connection answers.
    client.ping(b"still there").await;
    assert_eq!(client.pong().await, b"still there");
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bare_frames_and_a_subset_of_streams() {
    let Some(data) = recordings() else { return };
    let files = vec![data.join(SPOT)];
    let sim = Running::start(playback(files.clone()), vec![]).await;
    let mut client = Client::connect(sim.addr, "/ws").await;
    client
        .send(r#"{"method":"SUBSCRIBE","params":["btcusdt@trade","btcusdt@depth@100ms"],"id":7}"#)
        .await;
    assert_eq!(client.text().await, r#"{"result":null,"id":7}"#);
    let expected = frames(&files, |name| name != "btcusdt@bookTicker");
    for want in &expected {
        let data = want.split_once(",\"data\":").expect("envelope").1;
        assert_eq!(client.text().await, data[..data.len() - 1]);
    }
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_amid_playback_joins_the_stream_and_ends_at_the_expected_book() {
    let Some(data) = recordings() else { return };
    let text = std::fs::read(data.join("expected/binance_spot_btcusdt_20240808.expected.json"));
    let expected: Value = serde_json::from_slice(&text.expect("expected")).expect("JSON");
    let files = vec![data.join(SPOT)];
    let depth = frames(&files, |name| name.contains("@depth")).len();
    let sim = Running::start(playback(files), vec![]).await;
    // Joined before the recorded snapshot's own place, a little later, and far into the stream. The
    // last one is the first complete subscription, so all of them see the first frame.
    let mut joining = Vec::new();
    for (joined_at, path) in [
        (1, "/ws/btcusdt@depth@100ms"),
        (40, "/ws/btcusdt@depth@100ms"),
        (1_500, "/ws/btcusdt@depth@100ms/btcusdt@trade"),
    ] {
        let client = Client::connect(sim.addr, path).await;
        joining.push(tokio::spawn(join(client, depth, joined_at)));
    }
    for joined in joining {
        let book = joined.await.expect("joined");
        assert_eq!(book.id, expected["final_update_id"]);
        assert_eq!(book.top(50), expected["final_top50"]);
    }
    assert!(sim.status.wait_finished().await);
    let answer = get(sim.addr, "/api/v3/depth?symbol=BTCUSDT&limit=50").await;
    let served = value(&answer.body);
    assert_eq!(served["lastUpdateId"], expected["final_update_id"]);
    assert_eq!(served["bids"], expected["final_top50"]["bids"]);
    assert_eq!(served["asks"], expected["final_top50"]["asks"]);
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_playback_the_recorded_snapshot_is_served_as_it_is() {
    let Some(data) = recordings() else { return };
    let files = vec![data.join(SPOT)];
    let recorded = Reader::new(&files)
        .map(|record| String::from_utf8(record.expect("line").frame).expect("text"))
        .find(|frame| frame.starts_with("{\"lastUpdateId\""))
        .expect("snapshot");
    let sim = Running::start(playback(files), vec![]).await;
    let whole = get(sim.addr, "/api/v3/depth?symbol=BTCUSDT&limit=99999").await;
    assert_eq!(value(&whole.body), value(&recorded));
    for (query, levels) in [("", 100), ("&limit=7", 7)] {
        let answer = get(sim.addr, &format!("/api/v3/depth?symbol=BTCUSDT{query}")).await;
        let answer = value(&answer.body);
        assert_eq!(answer["bids"].as_array().map(Vec::len), Some(levels));
        assert_eq!(answer["asks"].as_array().map(Vec::len), Some(levels));
    }
    // Depth alone does not begin the playback.
    let mut client = Client::connect(sim.addr, "/ws/btcusdt@depth@100ms").await;
    client.ping(b"").await;
    client.pong().await;
    let status = status(sim.addr).await;
    assert_eq!(
        (&status["state"], &status["position"]),
        (&"waiting".into(), &0.into())
    );
    assert_eq!(
        value(
            &get(sim.addr, "/api/v3/klines?symbol=BTCUSDT&interval=1m")
                .await
                .body
        ),
        value("[]")
    );
    client
        .send(r#"{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}"#)
        .await;
    assert_eq!(client.text().await, r#"{"result":null,"id":1}"#);
    assert!(client.text().await.starts_with("{\"e\":\"depthUpdate\""));
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn klines_and_trades_are_those_of_the_recording() {
    let Some(data) = recordings() else { return };
    let text = std::fs::read(data.join("expected/binance_spot_btcusdt_20240808_09.expected.json"));
    let expected: Value = serde_json::from_slice(&text.expect("expected")).expect("JSON");
    let files = vec![data.join(SPOT), data.join(SPOT_NEXT)];
    let sim = Running::start(playback(files), vec![]).await;
    let path = "/stream?streams=btcusdt@depth@100ms/btcusdt@trade/btcusdt@kline_1m/btcusdt@kline_1s/btcusdt@aggTrade/btcusdt@ticker/btcusdt@miniTicker";
    let mut client = Client::connect(sim.addr, path).await;
    let (mut finals, mut kinds) = (Vec::new(), BTreeMap::<String, usize>::new());
    let mut last_open: BTreeMap<String, i64> = BTreeMap::new();
    let trades_wanted = expected["trades"]["count"].as_u64().expect("count");
    let trades_wanted = usize::try_from(trades_wanted).expect("fits");
    // The last trade of the recording is followed by depth events only.
    let depth_wanted = expected["depth_events_applied"].as_u64().expect("count") + 2;
    let depth_wanted = usize::try_from(depth_wanted).expect("fits");
    while kinds.get("depthUpdate").copied().unwrap_or(0) < depth_wanted {
        let frame = value(&client.text().await);
        let data = &frame["data"];
        let kind = data["e"].as_str().expect("e").to_owned();
        if kind == "kline" {
            let kline = &data["k"];
            let (interval, event) = (
                kline["i"].as_str().expect("i"),
                data["E"].as_i64().expect("E"),
            );
            if kline["x"] == true {
                if interval == "1m" {
                    finals.push(kline.clone());
                }
            } else {
                let pace = if interval == "1s" { 1_000 } else { 2_000 };
                let last = last_open.insert(interval.to_owned(), event);
                assert!(last.is_none_or(|last| event - last >= pace), "too often");
            }
        }
        *kinds.entry(kind).or_default() += 1;
    }
    assert_eq!(kinds["trade"], trades_wanted);
    assert_eq!(kinds["aggTrade"], trades_wanted);
    assert!(
        kinds["24hrTicker"] > 100 && kinds["24hrMiniTicker"] > 100,
        "{kinds:?}"
    );
    let candles = expected["candles_1m_from_trades"]
        .as_array()
        .expect("candles");
    assert_eq!(finals.len(), candles.len() - 1);
    let answer = get(sim.addr, "/api/v3/klines?symbol=BTCUSDT&interval=1m").await;
    let rows = value(&answer.body);
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.len(), candles.len());
    for (row, candle) in rows.iter().zip(candles) {
        for (at, name) in [
            (0, "open_time"),
            (1, "open"),
            (2, "high"),
            (3, "low"),
            (4, "close"),
            (5, "volume"),
        ] {
            assert_eq!(row[at], candle[name], "{name}");
        }
        assert_eq!(row.as_array().map(Vec::len), Some(12));
    }
    for (kline, row) in finals.iter().zip(rows) {
        for (name, at) in [
            ("t", 0),
            ("o", 1),
            ("h", 2),
            ("l", 3),
            ("c", 4),
            ("v", 5),
            ("T", 6),
            ("q", 7),
            ("n", 8),
            ("V", 9),
            ("Q", 10),
        ] {
            assert_eq!(kline[name], row[at], "{name}");
        }
    }
    let answer = get(sim.addr, "/api/v3/trades?symbol=BTCUSDT&limit=3").await;
    assert_eq!(value(&answer.body).as_array().map(Vec::len), Some(3));
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_subscriber_gets_the_rest_and_can_join() {
    let Some(data) = recordings() else { return };
    let files = vec![data.join(SPOT)];
    let depth = frames(&files, |name| name.contains("@depth"));
    let sim = Running::start(playback(files), vec![]).await;
    let mut first = Client::connect(sim.addr, ALL).await;
    for _ in 0..2_000 {
        first.text().await;
    }
    let mut late = Client::connect(sim.addr, "/ws/btcusdt@depth").await;
    // Both have to be read from here on: nobody gets ahead of the slowest by more than the buffers.
    let reading = tokio::spawn(async move {
        for _ in 2_000..41_248 {
            first.text().await;
        }
    });
    let mut book: Option<Book> = None;
    let mut count = 0;
    loop {
        // Another name of the recorded stream, the same data.
        let event = late.text().await;
        count += 1;
        let last = depth.last().is_some_and(|last| last.contains(&event));
        let event = value(&event);
        if book.is_none() {
            let answer = get(sim.addr, "/api/v3/depth?symbol=BTCUSDT&limit=5000").await;
            let snapshot = value(&answer.body);
            let id = snapshot["lastUpdateId"].as_u64().expect("id");
            assert!(id >= event["u"].as_u64().expect("u"));
            book = Some(Book::from_snapshot(&snapshot));
        }
        assert!(book.as_mut().is_some_and(|book| book.apply(&event)), "gap");
        if last {
            break;
        }
    }
    assert!(count > 0 && count < depth.len(), "{count}");
    assert_eq!(book.map(|book| book.id), Some(50_093_421_584));
    reading.await.expect("first");
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_depth_frame_is_a_gap_to_clients_but_not_to_the_book() {
    let Some(data) = recordings() else { return };
    let files = vec![data.join(SPOT)];
    let depth = frames(&files, |name| name.contains("@depth"));
    let sim = Running::start(playback(files), vec![Fault::drop_depth(1_000)]).await;
    let mut client = Client::connect(sim.addr, ALL).await;
    let mut got = Vec::new();
    while got.len() < depth.len() - 1 {
        let frame = client.text().await;
        if frame.contains("depthUpdate") {
            got.push(frame);
        }
    }
    let mut want = depth;
    want.remove(999);
    assert!(got == want, "not all but the thousandth");
    assert!(sim.status.wait_finished().await);
    let answer = get(sim.addr, "/api/v3/depth?symbol=BTCUSDT&limit=5").await;
    assert_eq!(value(&answer.body)["lastUpdateId"], 50_093_421_584_u64);
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_ends_all_connections_and_playback_waits_for_the_next_client() {
    let files = vec![own("two_symbols.txt")];
    let sim = Running::start(playback(files.clone()), vec![Fault::cut_behind(5)]).await;
    let path = "/stream?streams=btcusdt@depth@100ms/btcusdt@trade/ethbtc@trade/ethbtc@depth@100ms";
    let mut client = Client::connect(sim.addr, path).await;
    let expected = frames(&files, |name| !name.contains("bookTicker"));
    let mut got = Vec::new();
    while let Some(frame) = client.next_text().await {
        got.push(frame);
    }
    assert!(!got.is_empty() && got.len() < expected.len());
    let mut again = Client::connect(sim.addr, path).await;
    while got.len() < expected.len() {
        got.push(again.text().await);
    }
    assert_eq!(got, expected);
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_recording_lacks_is_inferred() {
    let sim = Running::start(playback(vec![own("two_symbols.txt")]), vec![]).await;
    let info = value(&get(sim.addr, "/api/v3/exchangeInfo").await.body);
    let symbols = info["symbols"].as_array().expect("symbols");
    assert_eq!(symbols.len(), 2);
    let eth = symbols
        .iter()
        .find(|s| s["symbol"] == "ETHBTC")
        .expect("ETHBTC");
    assert_eq!(
        (&eth["baseAsset"], &eth["quoteAsset"]),
        (&"ETH".into(), &"BTC".into())
    );
    let filter = |name: &str| {
        let filters = eth["filters"].as_array().expect("filters");
        filters
            .iter()
            .find(|f| f["filterType"] == name)
            .cloned()
            .expect("filter")
    };
    assert_eq!(filter("PRICE_FILTER")["tickSize"], "0.00001000");
    assert_eq!(filter("LOT_SIZE")["stepSize"], "0.00010000");
    for (query, count) in [
        ("?symbol=ETHBTC", 1),
        ("?symbols=%5B%22ETHBTC%22,%22BTCUSDT%22%5D", 2),
    ] {
        let info = value(
            &get(sim.addr, &format!("/api/v3/exchangeInfo{query}"))
                .await
                .body,
        );
        assert_eq!(
            info["symbols"].as_array().map(Vec::len),
            Some(count),
            "{query}"
        );
    }
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_and_weights_are_binances() {
    let source = Source::synthetic(1, &["BTCUSDT", "ETHUSDT"]);
    let sim = Running::start(source, vec![]).await;
    for (path, status, code) in [
        ("/api/v3/depth", 400, -1102),
        ("/api/v3/depth?symbol=", 400, -1102),
        ("/api/v3/depth?symbol=NOPE", 400, -1121),
        ("/api/v3/depth?symbol=btcusdt", 400, -1121),
        ("/api/v3/depth?symbol=BTCUSDT&limit=x", 400, -1100),
        ("/api/v3/depth?symbol=BTCUSDT&limit=-1", 400, -1100),
        ("/api/v3/depth?symbol=BTCUSDT&limit=0", 400, -1130),
        ("/api/v3/depth?symbol=%ff", 400, -1101),
        ("/api/v3/klines?symbol=BTCUSDT", 400, -1102),
        ("/api/v3/klines?symbol=BTCUSDT&interval=7m", 400, -1120),
        ("/api/v3/exchangeInfo?symbols=BTCUSDT", 400, -1100),
        ("/api/v3/exchangeInfo?symbol=NOPE", 400, -1121),
        ("/api/v3/nothing", 404, -1000),
        ("/nothing", 404, -1000),
        ("/ws/btcusdt@trade", 400, -1000),
    ] {
        let answer = get(sim.addr, path).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(value(&answer.body)["code"], code, "{path}");
    }
    let used = |weight: Option<String>| weight.expect("header").parse::<u64>().expect("number");
    let before = used(get(sim.addr, "/api/v3/ping").await.weight);
    let after = used(
        get(sim.addr, "/api/v3/depth?symbol=BTCUSDT&limit=5000")
            .await
            .weight,
    );
    assert!(
        after == before + 250 || after == 250,
        "{before} then {after}"
    ); // or a new minute
    // Two windows' worth: whatever the minute does, one of them is used up.
    let mut refused = None;
    for _ in 0..2 * 6_000 / 250 + 2 {
        let answer = get(sim.addr, "/api/v3/depth?symbol=BTCUSDT&limit=5000").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("the limit is enforced");
    assert_eq!(value(&refused.body)["code"], -1003);
    assert!(refused.retry_after.is_some());
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_synthetic_market_is_whole_over_the_wire() {
    let source = Source::synthetic(42, &["BTCUSDT", "ETHUSDT"]);
    let sim = Running::start(source, vec![]).await;
    let path = "/stream?streams=btcusdt@depth@100ms/btcusdt@trade/btcusdt@bookTicker/btcusdt@kline_1s/btcusdt@depth5";
    let mut client = Client::connect(sim.addr, path).await;
    let rows = value(
        &get(
            sim.addr,
            "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1000",
        )
        .await
        .body,
    );
    assert_eq!(rows.as_array().map(Vec::len), Some(1_000));
    let mut book: Option<Book> = None;
    let (mut trades, mut last_trade, mut closed) =
        (BTreeMap::<i64, Vec<Value>>::new(), None, Vec::new());
    while closed.len() < 4 || book.as_ref().is_none_or(|book| book.applied < 10) {
        let frame = value(&client.text().await);
        let data = &frame["data"];
        match frame["stream"].as_str().expect("stream") {
            "btcusdt@depth@100ms" => {
                if book.is_none() {
                    let answer = get(sim.addr, "/api/v3/depth?symbol=BTCUSDT&limit=5000").await;
                    book = Some(Book::from_snapshot(&value(&answer.body)));
                }
                assert!(book.as_mut().is_some_and(|book| book.apply(data)), "gap");
            }
            "btcusdt@trade" => {
                let id = data["t"].as_u64().expect("t");
                assert!(last_trade.is_none_or(|last| id == last + 1), "trade ids");
                last_trade = Some(id);
                let second = data["T"].as_i64().expect("T") / 1_000 * 1_000;
                trades.entry(second).or_default().push(data.clone());
            }
            "btcusdt@bookTicker" => {
                let number = |name: &str| {
                    data[name]
                        .as_str()
                        .expect("text")
                        .parse::<f64>()
                        .expect("number")
                };
                assert!(number("b") < number("a"), "crossed: {data}");
            }
            "btcusdt@kline_1s" if data["k"]["x"] == true => closed.push(data["k"].clone()),
            "btcusdt@kline_1s" => {}
            "btcusdt@depth5" => {
                assert_eq!(data["bids"].as_array().map(Vec::len), Some(5));
                assert!(data.get("e").is_none());
            }
            other => panic!("{other} was not asked for"),
        }
    }
    // The first second was joined in the middle.
    for kline in &closed[1..] {
        let of = trades
            .get(&kline["t"].as_i64().expect("t"))
            .cloned()
            .unwrap_or_default();
        assert_eq!(kline["n"], of.len(), "{kline}");
        if let (Some(first), Some(last)) = (of.first(), of.last()) {
            assert_eq!((&kline["o"], &kline["c"]), (&first["p"], &last["p"]));
            assert_eq!((&kline["f"], &kline["L"]), (&first["t"], &last["t"]));
        }
    }
    for path in ["ticker/24hr", "ticker/price", "ticker/bookTicker"] {
        let all = value(&get(sim.addr, &format!("/api/v3/{path}")).await.body);
        assert_eq!(all.as_array().map(Vec::len), Some(2), "{path}");
        let one = value(
            &get(sim.addr, &format!("/api/v3/{path}?symbol=ETHUSDT"))
                .await
                .body,
        );
        assert_eq!(one["symbol"], "ETHUSDT", "{path}");
    }
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_clients_are_shown_the_door_and_the_venue_lives_on() {
    let sim = Running::start(playback(vec![own("two_symbols.txt")]), vec![]).await;
    let masked = |opcode: u8, payload: &[u8]| {
        let mut frame = vec![
            0x80 | opcode,
            0x80 | u8::try_from(payload.len()).expect("short"),
        ];
        frame.extend([0, 0, 0, 0]); // a mask of zeros is a mask
        frame.extend(payload);
        frame
    };
    for (what, bytes, code) in [
        ("unmasked", vec![0x81, 0x01, b'x'], 1002_u16),
        (
            "oversized",
            [vec![0x81, 0xff], vec![0, 0, 0, 1, 0, 0, 0, 0], vec![0; 4]].concat(),
            1009,
        ),
        (
            "huge",
            [vec![0x81, 0xff], vec![0xff; 8], vec![0; 4]].concat(),
            1009,
        ),
        ("reserved bits", vec![0xf1, 0x80, 0, 0, 0, 0], 1002),
        ("unknown opcode", vec![0x83, 0x80, 0, 0, 0, 0], 1002),
        (
            "long ping",
            [vec![0x89, 0xfe, 0, 126], vec![0; 130]].concat(),
            1002,
        ),
        ("binary", masked(2, b"x"), 1003),
        ("no UTF-8", masked(1, &[0xff, 0xfe]), 1007),
        ("a continuation of nothing", masked(0, b"x"), 1002),
        (
            "two starts",
            [vec![0x01, 0x81, 0, 0, 0, 0, b'a'], masked(1, b"b")].concat(),
            1002,
        ),
        (
            "a long message in fragments",
            {
                let mut all = Vec::new();
                for at in 0..3 {
                    all.extend([u8::from(at == 0), 0xfe, 0x7f, 0xff, 0, 0, 0, 0]);
                    all.extend(vec![b'a'; 0x7fff]);
                }
                all
            },
            1009,
        ),
        ("too many commands", masked(9, b"").repeat(6), 1008),
    ] {
        let mut client = Client::connect(sim.addr, "/ws").await;
        client.raw(&bytes).await;
        assert_eq!(client.closed_with().await, Some(code), "{what}");
    }
    // Rubbish in place of HTTP, a handshake without a key, and half a request.
    for text in [
        "\0\u{1}\u{2}rubbish\r\n\r\n",
        "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\r\n",
    ] {
        assert!(
            common::raw_http(sim.addr, text)
                .await
                .starts_with("HTTP/1.1 400"),
            "{text}"
        );
    }
    let half = tokio::net::TcpStream::connect(sim.addr)
        .await
        .expect("connect");
    assert!(common::raw_http(sim.addr, "POST /api/v3/order HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.starts_with("HTTP/1.1 405"));
    // A polite client is answered politely, and the venue still serves.
    let mut client = Client::connect(sim.addr, "/ws").await;
    client.raw(&masked(8, &[0x03, 0xe8])).await;
    assert_eq!(client.closed_with().await, Some(1000));
    assert_eq!(get(sim.addr, "/api/v3/ping").await.body, "{}");
    drop(half);
    sim.stop().await;
}
