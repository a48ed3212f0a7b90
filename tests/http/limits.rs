//! Limits and lives of connections: time, size, number, shutdown.

use std::time::Duration;

use hean::http::HttpConfig;
use hean::kernel::event::{CommandKind, Outcome};
use tokio::io::AsyncWriteExt;

use super::harness::{Harness, PATIENCE};

const SHORT: Duration = Duration::from_millis(50);
const HOUR: Duration = Duration::from_hours(1);

/// Nothing times out but what a test makes short.
fn patient() -> HttpConfig {
    HttpConfig {
        header_timeout: HOUR,
        body_timeout: HOUR,
        idle_timeout: HOUR,
        write_timeout: HOUR,
        answer_timeout: HOUR,
        drain_timeout: HOUR,
        ..HttpConfig::default()
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Harness::reading(patient()).await;
    let mut client = server.connect().await;
    let request = |depth| {
        format!("GET /api/v1/orderbook/BTCUSDT?depth={depth} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    };
    let text: Vec<String> = (1..=50).map(request).collect();
    client.send(&text.concat()).await;
    for depth in 1..=50 {
        let json = client.answer().await.json();
        assert_eq!(json["bids"].as_array().unwrap().len(), depth);
    }
}

#[tokio::test]
async fn an_answer_does_not_wait_for_the_rest_of_the_next_request() {
    let (server, inbox) = Harness::without_kernel(patient()).await;
    let mut client = server.connect().await;
    client
        .send("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health HTTP/1.1\r\nHo")
        .await;
    assert_eq!(client.answer().await.json()["status"], "alive");
    client.send("st: localhost\r\n\r\n").await;
    assert_eq!(client.answer().await.json()["status"], "healthy");
    // Nor for one that the kernel has not answered yet.
    client
        .send(
            "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n\
             DELETE /api/v1/orders HTTP/1.1\r\nHost: localhost\r\n\r\n\
             GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        )
        .await;
    assert_eq!(client.answer().await.json()["status"], "alive");
    let envelope = loop {
        match inbox.command() {
            Some(envelope) => break envelope,
            None => tokio::task::yield_now().await,
        }
    };
    envelope.reply.send(Outcome::Cancelling(1)).unwrap();
    assert_eq!(client.answer().await.json()["cancelling"], 1);
    assert_eq!(client.answer().await.json()["status"], "healthy");
}

#[tokio::test]
async fn headers_that_trickle_in_end_the_connection() {
    let server = Harness::reading(HttpConfig {
        header_timeout: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.connect().await;
    client.send("GET /health HTTP/1.1\r\nHost: loc").await;
    client.ended().await;
    // A byte now and then does not help, nor does a good request before.
    let mut client = server.connect().await;
    client.request("GET", "/health", "").await;
    assert_eq!(client.answer().await.status, 200);
    let trickle = async {
        let mut every = tokio::time::interval(Duration::from_millis(5));
        while client.socket.write_all(b"G").await.is_ok() {
            every.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, trickle)
        .await
        .expect("the server goes on listening");
}

#[tokio::test]
async fn an_idle_connection_ends() {
    let server = Harness::reading(HttpConfig {
        idle_timeout: SHORT,
        ..patient()
    })
    .await;
    server.connect().await.ended().await;
    let mut client = server.connect().await;
    client.request("GET", "/health", "").await;
    assert_eq!(client.answer().await.status, 200);
    client.ended().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_the_connection() {
    let server = Harness::reading(HttpConfig {
        body_timeout: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.connect().await;
    client
        .send("POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{\"symbol\":")
        .await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (408, "body_timeout")
    );
    assert_eq!(answer.header("connection"), Some("close"));
    client.ended().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let server = Harness::reading(patient()).await;
    let mut client = server.connect().await;
    client
        .send("POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65537\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "body_too_large")
    );
    client.ended().await;
    // Without a length it is counted.
    let mut client = server.connect().await;
    client
        .send(
            "POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .await;
    let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
    client.send(&chunk).await;
    client.send(&chunk).await;
    client.send("1\r\n \r\n").await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "body_too_large")
    );
    client.ended().await;
    // At the limit it is read.
    let answer = server
        .ask("POST", "/api/v1/orders", &" ".repeat(65_536))
        .await;
    assert_eq!(answer.code(), "invalid_json");
}

#[tokio::test]
async fn a_broken_request_is_refused_by_the_parser() {
    let server = Harness::reading(patient()).await;
    // Exactly the limit, without an end: what is over it would only meet a closed socket.
    let long = format!("GET /{}", "x".repeat(patient().head_bytes_max - 5));
    for (text, statuses) in [
        ("nonsense\r\n\r\n", &[400][..]),
        (
            "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
            &[400],
        ),
        (
            "POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            &[400],
        ),
        (&long, &[414, 431]),
    ] {
        let mut client = server.connect().await;
        // The server may end the connection before it has taken everything.
        let _cut = client.socket.write_all(text.as_bytes()).await;
        let answer = client.head().await;
        assert!(statuses.contains(&answer.status), "{text:.60} {answer:?}");
    }
}

#[tokio::test]
async fn more_connections_than_allowed_are_told_to_come_back() {
    let server = Harness::reading(HttpConfig {
        connections_max: 1,
        ..patient()
    })
    .await;
    let mut first = server.connect().await;
    first.request("GET", "/health", "").await;
    assert_eq!(first.answer().await.status, 200);
    let mut second = server.connect().await;
    second.request("GET", "/livez", "").await;
    let answer = second.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "busy"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    second.ended().await;
    first.request("GET", "/health", "").await;
    assert_eq!(first.answer().await.status, 200);
    drop(first);
    server.healthy_again().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let server = Harness::reading(HttpConfig {
        connections_max: 1,
        write_timeout: SHORT,
        ..patient()
    })
    .await;
    // Holds the only connection and never reads the megabytes that it asks for.
    let mut hog = server.connect().await;
    let request = "GET /api/v1/klines/BTCUSDT?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let requests = request.repeat(200_000);
    let sent = tokio::time::timeout(PATIENCE, hog.socket.write_all(requests.as_bytes())).await;
    assert!(
        sent.expect("the server goes on reading").is_err(),
        "all of it was taken in"
    );
    server.healthy_again().await;
}

#[tokio::test]
async fn a_shutdown_answers_what_is_in_flight_and_ends_what_is_idle() {
    let (mut server, inbox) = Harness::without_kernel(patient()).await;
    let mut idle = server.connect().await;
    idle.request("GET", "/health", "").await;
    assert_eq!(idle.answer().await.status, 200);
    let mut busy = server.connect().await;
    busy.request("DELETE", "/api/v1/orders", "").await;
    let envelope = loop {
        match inbox.command() {
            Some(envelope) => break envelope,
            None => tokio::task::yield_now().await,
        }
    };
    assert!(matches!(envelope.kind, CommandKind::CancelAll { .. }));
    server.stop.take().unwrap().send(()).unwrap();
    idle.ended().await;
    envelope.reply.send(Outcome::Cancelling(3)).unwrap();
    let answer = busy.answer().await;
    assert_eq!(answer.json()["cancelling"], 3);
    busy.ended().await;
    let ended = tokio::time::timeout(PATIENCE, server.server.take().unwrap()).await;
    ended.expect("the server ends").expect("without a panic");
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let (mut server, inbox) = Harness::without_kernel(HttpConfig {
        drain_timeout: SHORT,
        ..patient()
    })
    .await;
    let mut busy = server.connect().await;
    busy.request("DELETE", "/api/v1/orders", "").await;
    while !inbox.has_work() {
        tokio::task::yield_now().await;
    }
    server.stop.take().unwrap().send(()).unwrap();
    let ended = tokio::time::timeout(PATIENCE, server.server.take().unwrap()).await;
    ended.expect("the server ends").expect("without a panic");
    busy.ended().await;
}
