//! Server-sent events, and who may open a stream at all.

use std::time::Duration;

use serde_json::{Value, json};

use hean::http::HttpConfig;
use hean::kernel::event::Seq;
use hean::kernel::orders::OrderState;

use super::client::Client;
use super::harness::order;
use super::streams::{a_fill, change, quick, started, tick};
use super::ws::{Frame, HANDSHAKE, Ws, frame, handshake};

/// A token as the command makes them.
const TOKEN: &str = "hean_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Reads events until `count` have data: (event, id, data).
async fn sse(client: &mut Client, count: usize) -> Vec<(String, Option<u64>, Value)> {
    let mut found = Vec::new();
    while found.len() < count {
        let event = client.until(b"\n\n").await;
        // Pieces of chunked coding stand between events.
        let field = |name: &str| {
            let mut lines = event.lines().filter_map(|line| line.strip_prefix(name));
            lines.next_back().map(|rest| rest.trim().to_owned())
        };
        if let Some(data) = field("data:") {
            let data = serde_json::from_str(&data).expect("JSON");
            let id = field("id:").map(|id| id.parse().expect("a number"));
            found.push((field("event:").expect("a type"), id, data));
        }
    }
    found
}

#[tokio::test]
async fn server_sent_events_say_the_same() {
    let mut server = started(quick()).await;
    let mut client = server.connect().await;
    client.send("GET /api/v1/stream?topics=BTCUSDT@ticker,orders,fills HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!(
        (head.status, head.header("content-type")),
        (200, Some("text/event-stream"))
    );
    let first = sse(&mut client, 3).await;
    let topics: Vec<_> = first
        .iter()
        .map(|(kind, _, data)| (kind.as_str(), data["topic"].as_str()))
        .collect();
    assert_eq!(
        topics,
        [
            ("snapshot", Some("BTCUSDT@ticker")),
            ("snapshot", Some("orders")),
            ("snapshot", Some("fills"))
        ]
    );
    assert_eq!(
        first[0].2["data"],
        server.get("/api/v1/ticker/BTCUSDT").await.json()
    );
    change(
        &server,
        11,
        order(1_001, OrderState::Filled),
        Some(a_fill(5)),
    );
    server.durable.send_replace(Seq(11));
    let updates = sse(&mut client, 2).await;
    // The id comes with the last event of a change.
    assert_eq!(
        (updates[0].1, &updates[0].2["topic"]),
        (None, &json!("fills"))
    );
    assert_eq!(
        (updates[1].1, &updates[1].2["topic"]),
        (Some(11), &json!("orders"))
    );

    // Who comes back with an id is told of the orders that changed since, though they have ended.
    for (id, there) in [
        ("Last-Event-ID: 10\r\n", true),
        ("Last-Event-ID: 11\r\n", false),
        ("", false),
    ] {
        let mut client = server.connect().await;
        client
            .send(&format!(
                "GET /api/v1/stream?topics=orders HTTP/1.1\r\nHost: localhost\r\n{id}\r\n"
            ))
            .await;
        client.head().await;
        let snapshot = sse(&mut client, 1).await.remove(0);
        let items = snapshot.2["data"]["items"]
            .as_array()
            .expect("a list")
            .clone();
        let told = items.iter().any(|o| o["order_id"] == "1001");
        assert_eq!(told, there, "{id}");
    }
    let stop = server.stop.take().expect("running");
    stop.send(()).expect("a server");
    let (kind, _, data) = sse(&mut client, 1).await.remove(0);
    assert_eq!(
        (kind.as_str(), &data["reason"]),
        ("end", &json!("shutting down"))
    );
    server.server.take().expect("running").await.expect("ends");
}

#[tokio::test]
async fn wrong_requests_for_streams_are_problems() {
    let server = started(HttpConfig {
        stream_clients_max: 1,
        ..quick()
    })
    .await;
    assert_eq!(
        server.get("/api/v1/stream").await.code(),
        "invalid_parameter"
    );
    assert_eq!(
        server
            .get("/api/v1/stream?topics=BTCUSDT@tick")
            .await
            .code(),
        "unknown_topic"
    );
    let answer = server.get("/ws").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (426, "not_a_websocket")
    );
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    for (fields, status, header) in [
        (
            HANDSHAKE.replace("13", "8"),
            426,
            Some("sec-websocket-version"),
        ),
        (
            HANDSHAKE.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"),
            426,
            None,
        ),
        (
            format!("{HANDSHAKE}Origin: http://evil.example\r\n"),
            403,
            None,
        ),
    ] {
        let (_client, answer) = handshake(&server, "/ws", &fields).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(
            header.is_none_or(|name| answer.header(name).is_some()),
            "{answer:?}"
        );
    }
    let mut only = Ws::open(&server).await;
    let (_client, answer) = handshake(&server, "/ws", HANDSHAKE).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("5"))
    );
    let answer = server.get("/api/v1/stream?topics=orders").await;
    assert_eq!(answer.code(), "stream_limit");
    let mut client = server.connect().await;
    client
        .request("HEAD", "/api/v1/stream?topics=orders", "")
        .await;
    assert_eq!(client.head().await.status, 200);
    only.raw(&frame(0x88, &1000_u16.to_be_bytes(), true)).await;
    assert_eq!(only.closed().await.0, 1000);
    assert_eq!(only.frame().await, Frame::End);
    // Its place is free as soon as its task has ended.
    while handshake(&server, "/ws", HANDSHAKE).await.1.status != 101 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stream_is_no_request_that_is_late() {
    let server = started(HttpConfig {
        header_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(50),
        ..quick()
    })
    .await;
    let mut ws = Ws::open(&server).await;
    ws.follow(&["BTCUSDT@ticker"]).await;
    let mut client = server.connect().await;
    client
        .send("GET /api/v1/stream?topics=BTCUSDT@ticker HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    client.head().await;
    // Half a frame, and half a request behind the stream.
    let ping = frame(0x89, b"ping", true);
    ws.raw(&ping[..5]).await;
    client.send("GET /he").await;
    for n in 0..30 {
        tick(&server, 7_000_000 + n);
        assert_eq!(ws.json().await["topic"], "BTCUSDT@ticker");
        sse(&mut client, 1).await;
    }
    ws.raw(&ping[5..]).await;
    while ws.frame().await != Frame::Pong(b"ping".to_vec()) {}
}

#[tokio::test]
async fn a_token_comes_in_the_header_or_the_first_message() {
    let server = started(HttpConfig {
        token: Some(hean::http::tokens::Secret::parse(TOKEN).expect("a token")),
        header_timeout: Duration::from_millis(500),
        ..quick()
    })
    .await;
    let answer = server.get("/api/v1/stream?topics=orders").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "token_missing")
    );
    let with = |token: &str| format!("{HANDSHAKE}Authorization: Bearer {token}\r\n");
    let (_client, answer) = handshake(&server, "/ws", &with("hean_wrong")).await;
    assert_eq!(answer.status, 401);
    let (_client, answer) = handshake(&server, &format!("/ws?token={TOKEN}"), HANDSHAKE).await;
    assert_eq!(answer.status, 400);
    let (_client, answer) = handshake(&server, "/ws", &with(TOKEN)).await;
    assert_eq!(answer.status, 101);

    let mut ws = Ws::open(&server).await;
    let early = ws
        .ask(r#"{"id":1,"method":"SUBSCRIBE","params":["orders"]}"#)
        .await;
    assert_eq!(early["error"]["code"], "token_missing");
    let answer = ws
        .ask(&format!(
            r#"{{"id":2,"method":"AUTH","params":["{TOKEN}"]}}"#
        ))
        .await;
    assert_eq!(answer, json!({"id": 2, "result": {"scope": "admin"}}));
    ws.follow(&["orders"]).await;

    let mut wrong = Ws::open(&server).await;
    let answer = wrong
        .ask(r#"{"id":2,"method":"AUTH","params":["hean_wrong"]}"#)
        .await;
    assert_eq!(answer["error"]["code"], "token_invalid");
    assert_eq!(
        wrong.closed().await,
        (1008, "the token was refused".to_owned())
    );
    let mut silent = Ws::open(&server).await;
    assert_eq!(silent.closed().await, (1008, "no token in time".to_owned()));
}
