//! Clients that mean harm: each has its end, and the others are served meanwhile.

use std::time::Duration;

use hean::http::HttpConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client::Client;
use super::harness::{Harness, PATIENCE};

const SHORT: Duration = Duration::from_millis(50);
const HOUR: Duration = Duration::from_hours(1);
/// Between two bytes of a client that wants to be slow.
const PACE: Duration = Duration::from_millis(5);

/// Nothing ends a connection but what a test makes short.
fn patient() -> HttpConfig {
    HttpConfig {
        header_timeout: HOUR,
        body_timeout: HOUR,
        idle_timeout: HOUR,
        write_timeout: HOUR,
        ..HttpConfig::default()
    }
}

/// Sends `bytes` over and over, one at a time, until the server has had enough.
async fn trickle(client: &mut Client, bytes: &[u8]) {
    let sending = async {
        let mut every = tokio::time::interval(PACE);
        for byte in bytes.iter().cycle() {
            every.tick().await;
            if client.socket.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, sending).await;
    ended.expect("the server goes on listening");
}

#[tokio::test]
async fn silence_trickling_lines_headers_and_bodies_end() {
    let server = Harness::reading(HttpConfig {
        header_timeout: SHORT,
        body_timeout: SHORT,
        ..patient()
    })
    .await;
    server.connect().await.ended().await;
    trickle(&mut server.connect().await, b"A").await;
    let mut client = server.connect().await;
    client.send("GET /health HTTP/1.1\r\n").await;
    trickle(&mut client, b"X-Y: z\r\n").await;
    let mut client = server.connect().await;
    client
        .send("POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n")
        .await;
    trickle(&mut client, b" ").await;
    let mut client = server.connect().await;
    client
        .send(
            "POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .await;
    trickle(&mut client, b"1\r\n \r\n").await;
}

#[tokio::test]
async fn a_client_that_takes_a_byte_at_a_time_ends() {
    let server = Harness::reading(HttpConfig {
        connections_max: 1,
        write_timeout: SHORT,
        ..patient()
    })
    .await;
    let mut slow = server.connect().await;
    let request = "GET /api/v1/klines/BTCUSDT?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    slow.send(&request.repeat(200)).await;
    let reading = async {
        let mut every = tokio::time::interval(PACE);
        let mut byte = [0];
        loop {
            every.tick().await;
            slow.socket.read_exact(&mut byte).await.expect("buffered");
        }
    };
    tokio::select! {
        () = reading => {}
        () = server.healthy_again() => {}
    }
}

#[tokio::test]
async fn a_client_that_says_no_more_but_listens_is_answered_and_ends() {
    let server = Harness::reading(patient()).await;
    let mut half = server.connect().await;
    half.request("GET", "/health", "").await;
    half.socket.shutdown().await.expect("half closed");
    assert_eq!(half.answer().await.status, 200);
    half.ended().await;
    let mut half = server.connect().await;
    half.send("GET /health HTTP/1.1\r\nHo").await;
    half.socket.shutdown().await.expect("half closed");
    // Whether it is told that this was no request does not matter; that it ends does.
    let mut rest = Vec::new();
    let read = half.socket.read_to_end(&mut rest);
    drop(tokio::time::timeout(PATIENCE, read).await.expect("it ends"));
}

#[tokio::test]
async fn nothing_is_smuggled_behind_a_body() {
    let server = Harness::reading(patient()).await;
    let smuggled = "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let post = "POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\n";
    for (head, body) in [
        // Both lengths, in either order: by the one the smuggled request is a body, by the other none.
        (
            "Content-Length: 60\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 60\r\n",
            "0\r\n\r\n",
        ),
        ("Content-Length: 2\r\nContent-Length: 3\r\n", "{}"),
        ("Content-Length: 2, 3\r\n", "{}"),
        ("Content-Length: +2\r\n", "{}"),
        ("Content-Length: 0x2\r\n", "{}"),
        ("Content-Length : 2\r\n", "{}"),
        ("Content-Length: 99999999999999999999\r\n", "{}"),
        ("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: \u{b}chunked\r\n", "0\r\n\r\n"),
        (" Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        // Chunks that are none.
        ("Transfer-Encoding: chunked\r\n", "x\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "-1\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n"),
        ("Transfer-Encoding: chunked\r\n", "2\r\n{}XX0\r\n\r\n"),
        (
            "Transfer-Encoding: chunked\r\n",
            "1;a=\"\r\n\"\r\n{\r\n0\r\n\r\n",
        ),
    ] {
        let mut client = server.connect().await;
        let text = format!("{post}{head}\r\n{body}{smuggled}");
        // It may be refused before all of it is sent.
        drop(client.socket.write_all(text.as_bytes()).await);
        let mut told = Vec::new();
        let read = client.socket.read_to_end(&mut told);
        drop(tokio::time::timeout(PATIENCE, read).await.expect("it ends"));
        let told = String::from_utf8(told).expect("UTF-8");
        assert!(told.matches("HTTP/1.1 ").count() <= 1, "{text}{told}");
        assert!(!told.contains("HTTP/1.1 2"), "{text}{told}");
    }
}

#[tokio::test]
async fn heads_have_an_end() {
    let server = Harness::reading(patient()).await;
    let many = "A: b\r\n".repeat(200);
    let long = format!("A: {}\r\n", "b".repeat(20_000));
    let name = format!("{}: b\r\n", "a".repeat(20_000));
    for lines in [many, long, name] {
        let mut client = server.connect().await;
        let text = format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        drop(client.socket.write_all(text.as_bytes()).await);
        let mut told = Vec::new();
        let read = client.socket.read_to_end(&mut told);
        drop(tokio::time::timeout(PATIENCE, read).await.expect("it ends"));
        let told = String::from_utf8_lossy(&told);
        assert!(!told.contains("HTTP/1.1 2"), "{told}");
    }
}

#[tokio::test]
async fn floods_of_bodies_and_requests_leave_the_others_alone() {
    let server = Harness::reading(patient()).await;
    let mut other = server.connect().await;
    let mut floods = Vec::new();
    for head in [
        "Content-Length: 10485760\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let mut client = server.connect().await;
        let head = format!("POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\n{head}\r\n");
        floods.push(tokio::spawn(async move {
            client.send(&head).await;
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
            for _ in 0..160 {
                if client.socket.write_all(chunk.as_bytes()).await.is_err() {
                    return true;
                }
            }
            false
        }));
    }
    let mut client = server.connect().await;
    floods.push(tokio::spawn(async move {
        let request = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(10_000);
        client.send(&request).await;
        for _ in 0..10_000 {
            assert_eq!(client.answer().await.status, 200);
        }
        true
    }));
    for _ in 0..20 {
        other.request("GET", "/livez", "").await;
        assert_eq!(other.answer().await.status, 200);
    }
    for flood in floods {
        let ended = tokio::time::timeout(PATIENCE, flood).await;
        assert!(
            ended.expect("it ends").expect("no panic"),
            "all of it was taken"
        );
    }
}
