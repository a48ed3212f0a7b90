//! Clients of streams that want to do harm: each is shown out, and nobody else notices.

use std::time::Duration;

use hean::http::HttpConfig;

use super::harness::Harness;
use super::metrics::resident_bytes;
use super::ws::{Frame, Ws, frame};

/// Growth that many of them may cause.
const GROWTH_MAX: u64 = 16 << 20;

async fn server(ping: Duration) -> Harness {
    let server = Harness::reading(HttpConfig {
        stream_interval: Duration::from_millis(10),
        stream_ping: ping,
        write_timeout: Duration::from_millis(500),
        ..HttpConfig::default()
    })
    .await;
    server.durable.send_replace(hean::kernel::event::Seq(10));
    server
}

#[tokio::test]
async fn what_breaks_the_protocol_is_closed_with_its_code() {
    let server = server(Duration::from_secs(20)).await;
    let endless = frame(0x00, &[b'x'; 8_000], true);
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("an unmasked frame", frame(0x81, b"{}", false), 1002),
        ("a ping of 200 bytes", frame(0x89, &[0; 200], true), 1002),
        ("a pong of 200 bytes", frame(0x8a, &[0; 200], true), 1002),
        ("a fragmented ping", frame(0x09, b"a", true), 1002),
        ("a reserved bit", frame(0xc1, b"{}", true), 1002),
        ("a reserved opcode", frame(0x83, b"{}", true), 1002),
        ("a continuation of nothing", frame(0x80, b"a", true), 1002),
        (
            "a start within a message",
            [frame(0x01, b"a", true), frame(0x01, b"b", true)].concat(),
            1002,
        ),
        ("a close of one byte", frame(0x88, b"a", true), 1002),
        (
            "a close code that none may send",
            frame(0x88, &1005_u16.to_be_bytes(), true),
            1002,
        ),
        (
            "a close whose words are no text",
            frame(0x88, &[3, 0xe8, 0xff], true),
            1007,
        ),
        (
            "text that is no UTF-8",
            frame(0x81, &[0xc3, 0x28], true),
            1007,
        ),
        (
            "a fragment that can become no UTF-8",
            frame(0x01, &[b'a', 0xff], true),
            1007,
        ),
        ("a binary message", frame(0x82, b"{}", true), 1003),
        (
            "a frame beyond the limit",
            frame(0x81, &[b' '; (16 << 10) + 1], true),
            1009,
        ),
        (
            "a claim of 2^62 bytes",
            vec![0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
            1009,
        ),
        (
            "fragments without end",
            [frame(0x01, b"{", true), endless.repeat(3)].concat(),
            1009,
        ),
        (
            "empty fragments without end",
            [
                frame(0x01, b"{", true),
                frame(0x00, b"", true).repeat(1_500),
            ]
            .concat(),
            1008,
        ),
        (
            "pings without end",
            frame(0x89, b"", true).repeat(1_500),
            1008,
        ),
        (
            "requests without end",
            frame(0x81, br#"{"method":"PING"}"#, true).repeat(1_200),
            1008,
        ),
        (
            "subscriptions without end",
            [
                frame(
                    0x81,
                    br#"{"method":"SUBSCRIBE","params":["BTCUSDT@book_100","orders"]}"#,
                    true,
                ),
                frame(
                    0x81,
                    br#"{"method":"UNSUBSCRIBE","params":["BTCUSDT@book_100","orders"]}"#,
                    true,
                ),
            ]
            .concat()
            .repeat(250),
            1008,
        ),
    ];
    for (what, bytes, wanted) in cases {
        let mut ws = Ws::open(&server).await;
        let (reading, writing) = ws.split();
        // Some answers are longer than the sockets hold: they are read while the rest is sent.
        let (closed, ()) = tokio::join!(reading.closed(), writing.raw(&bytes));
        assert_eq!(closed.0, wanted, "{what}: {closed:?}");
        assert!(!closed.1.is_empty(), "{what} is given no reason");
    }
}

#[tokio::test]
async fn who_says_nothing_is_given_up() {
    let server = server(Duration::from_millis(100)).await;
    let mut mute = Ws::open(&server).await;
    // Half a frame is no sign of life.
    mute.raw(&frame(0x89, b"ping", true)[..3]).await;
    assert_eq!(
        mute.closed().await,
        (1008, "silent for too long".to_owned())
    );
    // Who answers pings stays: longer than the other one could.
    let mut alive = Ws::open(&server).await;
    for _ in 0..8 {
        while alive.frame().await != Frame::Ping {}
        alive.raw(&frame(0x8a, b"hean", true)).await;
    }
    assert!(alive.ask(r#"{"method":"PING"}"#).await["result"].is_object());
}

#[tokio::test]
async fn heavy_hundreds_of_them_cost_little_and_disturb_nobody() {
    const EACH: usize = 40;
    let server = server(Duration::from_secs(2)).await;
    let mut good = Ws::open(&server).await;
    good.follow(&["BTCUSDT@ticker"]).await;
    let before = resident_bytes();
    let mut all = Vec::new();
    let subscribe = br#"{"method":"SUBSCRIBE","params":["BTCUSDT@book_100","ETHUSDT@book_100","BTCUSDT@kline_1m","positions","status"]}"#;
    let kinds: [Vec<u8>; 5] = [
        // Half-open: nothing, not even an end.
        Vec::new(),
        // A message that never ends.
        [
            frame(0x01, &[b' '; 12_000], true),
            frame(0x00, &[b' '; 4_000], true),
        ]
        .concat(),
        // A frame that never ends.
        frame(0x81, &[b' '; 16_000], true)[..15_000].to_vec(),
        // Asks for much and reads nothing.
        frame(0x81, subscribe, true),
        frame(0x81, subscribe, true).repeat(100),
    ];
    for kind in &kinds {
        for _ in 0..EACH {
            let mut ws = Ws::open(&server).await;
            ws.raw(kind).await;
            all.push(ws);
        }
    }
    // Those who are served are served while it goes on.
    for n in 0..20 {
        super::streams::tick(&server, 7_000_000 + n);
        loop {
            match good.frame().await {
                Frame::Text(_) => break,
                Frame::Ping => good.raw(&frame(0x8a, b"hean", true)).await,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(server.get("/api/v1/ticker/BTCUSDT").await.status, 200);
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(
        grown <= GROWTH_MAX,
        "{} clients took {grown} bytes",
        all.len()
    );
    // All of them are gone without having said a word.
    for mut ws in all {
        while ws.frame().await != Frame::End {}
    }
}
