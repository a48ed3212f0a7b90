//! Faults on demand do what they say, and the log says what they did.

use hean::venue::sim::{Fault, FaultKind, MarketKind, Trigger};
use serde_json::Value;
use std::time::Duration;

use super::common::{Client, Running, get, value};
use super::markets::{WindowBook, quick};

const DEPTH: &str = "btcusdt@depth@100ms";

/// The next depth event of the connection.
async fn depth(client: &mut Client) -> Value {
    loop {
        let event = value(&client.text().await);
        if event["e"] == "depthUpdate" {
            return event;
        }
    }
}

async fn usdm(sim: &Running) -> Client {
    let mut client = Client::connect(sim.addr, &format!("/public/ws/{DEPTH}")).await;
    depth(&mut client).await;
    client
}

fn on_depth(kind: FaultKind) -> Fault {
    Fault::new(kind).on(MarketKind::Usdm, DEPTH)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_doubled_and_swapped_messages_show_in_the_links() {
    let sim = quick(&[]).await;
    let mut client = usdm(&sim).await;
    let id = |event: &Value, name: &str| event[name].as_u64().expect("id");

    let mut last = depth(&mut client).await;
    let dropped = sim.handle.inject(on_depth(FaultKind::Drop));
    let dropped = sim.handle.happened(dropped).await;
    let gap = loop {
        let next = depth(&mut client).await;
        let (before, link) = (id(&last, "u"), id(&next, "pu"));
        last = next;
        if before != link {
            break (before, link);
        }
    };
    assert_eq!(
        dropped.id, gap.1,
        "the lost one is what the next one follows"
    );
    assert_eq!((dropped.kind, dropped.name.as_str()), ("drop", DEPTH));
    assert!(gap.0 < gap.1);

    sim.handle.inject(on_depth(FaultKind::Duplicate));
    loop {
        let next = depth(&mut client).await;
        if id(&next, "u") == id(&last, "u") {
            assert_eq!(next, last);
            break;
        }
        last = next;
    }

    let swapped = sim.handle.inject(on_depth(FaultKind::Reorder));
    loop {
        let next = depth(&mut client).await;
        if id(&next, "u") < id(&last, "u") {
            assert_eq!(id(&next, "u"), id(&last, "pu"));
            assert_eq!(sim.handle.happened(swapped).await.id, id(&next, "u"));
            break;
        }
        last = next;
    }
    let (log, forgotten) = sim.handle.injected();
    let kinds: Vec<&str> = log.iter().map(|entry| entry.kind).collect();
    assert_eq!(
        (kinds, forgotten),
        (vec!["drop", "duplicate", "reorder"], 0)
    );
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_stream_comes_in_one_burst_and_others_go_on() {
    let sim = quick(&[]).await;
    let path = "/public/stream?streams=btcusdt@depth@100ms/ethusdt@depth@100ms";
    let mut client = Client::connect(sim.addr, path).await;
    let stall = on_depth(FaultKind::Stall).lasting(Duration::from_hours(1));
    let stall = sim.handle.inject(stall);
    let first = sim.handle.happened(stall).await;
    let mut last = 0;
    let mut others = 0;
    // Until it is known to be silent, what was on its way comes.
    while others < 30 {
        let frame = value(&client.text().await);
        match frame["stream"].as_str() {
            Some(DEPTH) => last = frame["data"]["u"].as_u64().expect("u"),
            _ => others += 1,
        }
    }
    assert!(last < first.id);
    assert!(sim.handle.lift(stall));
    let burst = loop {
        let frame = value(&client.text().await);
        if frame["stream"] == DEPTH {
            break frame;
        }
    };
    assert_eq!(burst["data"]["u"], first.id, "nothing is lost");
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delayed_messages_keep_their_order() {
    let sim = quick(&[]).await;
    let mut client = usdm(&sim).await;
    let late = on_depth(FaultKind::Delay(Duration::from_secs(1))).times(3);
    let late = sim.handle.inject(late);
    let first = sim.handle.happened(late).await;
    let mut last: Option<u64> = None;
    let mut count = 0;
    while count < 30 {
        let event = depth(&mut client).await;
        if let Some(last) = last {
            assert_eq!(event["pu"], last);
        }
        last = event["u"].as_u64();
        count += usize::from(last >= Some(first.id));
    }
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_messages_are_broken() {
    let sim = quick(&[]).await;
    let mut client = usdm(&sim).await;
    sim.handle.inject(on_depth(FaultKind::Truncate));
    let broken = loop {
        let text = client.text().await;
        if serde_json::from_str::<Value>(&text).is_err() {
            break text;
        }
    };
    assert!(broken.starts_with("{\"e\":\"depthUpdate\""), "{broken}");
    let flip = sim.handle.inject(on_depth(FaultKind::FlipBit));
    let flipped = sim.handle.happened(flip).await;
    assert!(flipped.id > 0);
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_end_as_ordered() {
    let sim = quick(&[]).await;
    let mut client = usdm(&sim).await;
    let other = Client::connect(sim.addr, "/market/ws/btcusdt@aggTrade").await;
    sim.handle.inject(on_depth(FaultKind::Cut));
    assert_eq!(client.closed_with().await, None);
    let mut client = usdm(&sim).await;
    let close = on_depth(FaultKind::Close(1008)).when(Trigger::Nth(3));
    sim.handle.inject(close);
    assert_eq!(client.closed_with().await, Some(1008));
    // The one that has no such stream is still there.
    let mut other = other;
    other.text().await;

    // A notice where it is documented, and the end after it.
    let mut spot = Client::connect(sim.addr, "/stream?streams=btcusdt@trade").await;
    spot.text().await;
    let shutdown = FaultKind::Shutdown(Duration::from_millis(50));
    sim.handle
        .inject(Fault::new(shutdown).on(MarketKind::Spot, ""));
    let notice = loop {
        let frame = value(&spot.text().await);
        if frame["stream"] != "btcusdt@trade" {
            break frame;
        }
    };
    assert_eq!(notice["stream"], "!serverShutdown");
    assert_eq!(notice["data"]["e"], "serverShutdown");
    assert_eq!(spot.closed_with().await, Some(1001));

    // So do lives end.
    let life = "life@binance:after=100ms:notice=50ms"
        .parse()
        .expect("fault");
    sim.handle.inject(life);
    let mut spot = Client::connect(sim.addr, "/ws").await;
    assert_eq!(value(&spot.text().await)["e"], "serverShutdown");
    assert_eq!(spot.closed_with().await, Some(1001));
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_service_begins_to_count_again() {
    let sim = quick(&[]).await;
    let connect = || async {
        let mut client = Client::connect(sim.addr, "/v5/public/linear").await;
        client
            .send(r#"{"op":"subscribe","args":["orderbook.50.BTCUSDT"]}"#)
            .await;
        assert_eq!(value(&client.text().await)["success"], true);
        client
    };
    let mut client = connect().await;
    let mut book = WindowBook::default();
    while book.u < 20 {
        book.apply(&value(&client.text().await));
    }
    let seq = book.seq;
    // A snapshot that nobody asked for.
    let resend = Fault::new(FaultKind::Resend).on(MarketKind::BybitLinear, "orderbook.*");
    sim.handle.inject(resend);
    while book.u != 1 {
        book.apply(&value(&client.text().await));
    }
    while book.u < 5 {
        book.apply(&value(&client.text().await));
    }
    let restart = Fault::new(FaultKind::Restart).on(MarketKind::BybitLinear, "");
    let restart = sim.handle.inject(restart);
    sim.handle.happened(restart).await;
    while client.next_text().await.is_some() {}
    // Nobody is served for a moment: not even REST.
    let again = loop {
        let stream = tokio::net::TcpStream::connect(sim.addr)
            .await
            .expect("connect");
        drop(stream);
        let target = "/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=5";
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = super::common::raw_http(sim.addr, &request).await;
        if answer.starts_with("HTTP/1.1 200") {
            break answer;
        }
    };
    let body = again.split("\r\n\r\n").nth(1).expect("body");
    assert!(
        value(body)["result"]["seq"].as_u64() < Some(seq),
        "{body} after {seq}"
    );
    let mut client = connect().await;
    let mut book = WindowBook::default();
    book.apply(&value(&client.text().await));
    assert!(book.seq < seq);
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_refused_as_ordered() {
    let faults = [
        "status@binance/depth:n=2:code=429:retry=7",
        "status@bybit-spot:code=503",
        "status@binance-usdm/ticker/*:code=418:count=2",
    ];
    let sim = quick(&faults).await;
    let depth = "/api/v3/depth?symbol=BTCUSDT&limit=5";
    let mut got = Vec::new();
    for path in [
        depth,
        "/api/v3/ping",
        depth,
        depth,
        "/v5/market/tickers?category=linear",
        "/v5/market/tickers?category=spot",
        "/v5/market/tickers?category=spot",
        "/fapi/v1/ticker/24hr",
        "/fapi/v1/ping",
        "/fapi/v1/ticker/price",
        "/fapi/v1/ticker/price",
    ] {
        let answer = get(sim.addr, path).await;
        assert!(
            serde_json::from_str::<Value>(&answer.body).is_ok(),
            "{path}"
        );
        assert_eq!(
            answer.retry_after.as_deref() == Some("7"),
            answer.status == 429
        );
        got.push(answer.status);
    }
    assert_eq!(got, [200, 200, 429, 200, 200, 503, 200, 418, 200, 418, 200]);
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deaf_mute_and_silent() {
    let sim = quick(&["silence@binance-usdm/btcusdt@bookTicker"]).await;
    // Accepted, and never a word.
    let path = "/public/stream?streams=btcusdt@bookTicker/ethusdt@bookTicker";
    let mut client = Client::connect(sim.addr, path).await;
    for _ in 0..50 {
        assert_eq!(value(&client.text().await)["stream"], "ethusdt@bookTicker");
    }
    // Nothing is read: the answer comes when that is over, the stream goes on meanwhile.
    let deaf = Fault::new(FaultKind::Deaf).on(MarketKind::Usdm, "");
    let deaf = sim.handle.inject(deaf.lasting(Duration::from_secs(4)));
    sim.handle.happened(deaf).await;
    client
        .send(r#"{"method":"LIST_SUBSCRIPTIONS","id":9}"#)
        .await;
    let mut before = 0;
    loop {
        let frame = value(&client.text().await);
        if frame["id"] == 9 {
            break;
        }
        before += 1;
    }
    assert!(before > 0, "it was answered at once");
    // Nothing is written, and all of it comes later: the queue holds what was said meanwhile.
    let mute = Fault::new(FaultKind::Mute).on(MarketKind::Usdm, "");
    let mute = sim.handle.inject(mute.lasting(Duration::from_secs(1)));
    let mute = sim.handle.happened(mute).await;
    let later = loop {
        let frame = value(&client.text().await);
        let time = frame["data"]["E"].as_i64().expect("E");
        if time >= mute.at.millis() {
            break time;
        }
    };
    assert!(later < mute.at.millis() + 1_000, "messages were lost");
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_bybit_that_says_nothing_is_cut() {
    let source = hean::venue::sim::Source::synthetic(1, &["BTCUSDT"]);
    let sim = Running::configured(hean::venue::sim::SimConfig {
        begin: Vec::new(),
        silence: Duration::from_millis(200),
        ..hean::venue::sim::SimConfig::new(source)
    })
    .await;
    let mut client = Client::connect(sim.addr, "/v5/public/spot").await;
    assert_eq!(client.closed_with().await, None);
    sim.stop().await;
}
