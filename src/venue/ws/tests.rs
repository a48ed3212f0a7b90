//! Peers that misbehave, over real sockets: raw TCP on one side, the wrapper on the other.

use std::net::SocketAddr;

use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::venue::dns::Resolver;
use crate::venue::tls;

fn net() -> Net {
    Net::new(
        Resolver::from_system(),
        tls::client_config(None).expect("TLS"),
    )
}

fn limits() -> WsLimits {
    WsLimits {
        frame_max: 1_000,
        message_max: 1_500,
        ..WsLimits::default()
    }
}

/// Reads an HTTP head.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a request"));
    }
    String::from_utf8(head).expect("text")
}

fn key_of(head: &str) -> &str {
    let line = head
        .lines()
        .find(|l| l.to_lowercase().starts_with("sec-websocket-key:"));
    line.and_then(|l| l.split_once(": "))
        .expect("a key")
        .1
        .trim()
}

/// A server that answers the handshake with what `answer` makes of the right accept value, and then
/// hands over the raw socket.
async fn client_of(
    answer: impl FnOnce(&str) -> String,
) -> (Result<(WsReader, WsWriter), WsError>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("ws://{}", listener.local_addr().expect("address"));
    let url: BaseUrl = url.parse().expect("URL");
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        let head = head(&mut stream).await;
        assert!(head.starts_with("GET /stream HTTP/1.1\r\n"), "{head}");
        let accept = accept_value(key_of(&head)).expect("accept value");
        stream
            .write_all(answer(&accept).as_bytes())
            .await
            .expect("write");
        stream
    };
    let net = net();
    tokio::join!(connect(&net, &url, "/stream", limits()), server)
}

fn switching(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

async fn client() -> (WsReader, WsWriter, TcpStream) {
    let (halves, stream) = client_of(switching).await;
    let (reader, writer) = halves.expect("handshake");
    (reader, writer, stream)
}

/// An unmasked frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    if payload.len() < 126 {
        frame.push(u8::try_from(payload.len()).expect("short"));
    } else {
        frame.push(126);
        let len = u16::try_from(payload.len()).expect("short");
        frame.extend_from_slice(&len.to_be_bytes());
    }
    frame.extend_from_slice(payload);
    frame
}

/// A frame masked with zeros, which change nothing.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame(first, payload);
    frame[1] |= 0x80;
    let at = frame.len() - payload.len();
    frame.splice(at..at, [0; 4]);
    frame
}

/// Reads one masked frame that is shorter than 126 bytes.
async fn read_masked(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 6];
    stream.read_exact(&mut head).await.expect("a frame");
    assert!(head[1] & 0x80 != 0, "clients mask");
    let mut payload = vec![0; usize::from(head[1] & 0x7f)];
    stream.read_exact(&mut payload).await.expect("a payload");
    for (n, byte) in payload.iter_mut().enumerate() {
        *byte ^= head[2 + n % 4];
    }
    (head[0], payload)
}

#[test]
fn the_accept_value_is_that_of_the_rfc() {
    let value = accept_value("dGhlIHNhbXBsZSBub25jZQ==").expect("value");
    assert_eq!(value, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[tokio::test]
async fn a_handshake_that_is_not_one_is_refused() {
    type Answer = fn(&str) -> String;
    let cases: [(Answer, &str); 7] = [
        (|_| switching("AAAAAAAAAAAAAAAAAAAAAAAAAAA="), "Accept"),
        (
            |a| switching(a).replace("Sec-WebSocket-Accept", "X-Other"),
            "Accept",
        ),
        (
            |a| switching(&format!("{a}\r\nSec-WebSocket-Accept: {a}")),
            "Accept",
        ),
        (
            |a| switching(a).replace("WebSocket\r\n", "h2c\r\n"),
            "something else",
        ),
        (
            |a| switching(a).replace("keep-alive, Upgrade", "keep-alive"),
            "something else",
        ),
        (
            |a| {
                switching(&format!(
                    "{a}\r\nSec-WebSocket-Extensions: permessage-deflate"
                ))
            },
            "not offered",
        ),
        (
            |_| "HTTP/1.1 451 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "HTTP 451",
        ),
    ];
    for (answer, wanted) in cases {
        let (halves, _stream) = client_of(answer).await;
        let error = halves.expect_err("refused").to_string();
        assert!(error.contains(wanted), "{error} should say {wanted}");
    }
    let (halves, _stream) = client_of(|_| "nonsense\r\n\r\n".to_owned()).await;
    assert!(matches!(halves, Err(WsError::Http(_))));
}

#[tokio::test]
async fn messages_arrive_whole_and_pings_between_fragments_are_answered() {
    let (mut reader, writer, mut peer) = client().await;
    let mut bytes = frame(0x81, b"one");
    bytes.extend(frame(
        0x01,
        "t\u{e9}".as_bytes().get(..2).expect("half a character"),
    ));
    bytes.extend(frame(0x89, b"are you there?"));
    bytes.extend(frame(0x00, &[0xa9]));
    bytes.extend(frame(0x8a, b"unasked pong"));
    bytes.extend(frame(0x80, b"!"));
    bytes.extend(frame(0x82, &[0xff]));
    peer.write_all(&bytes).await.expect("write");
    assert_eq!(reader.next().await.expect("message"), Message::Text("one"));
    assert_eq!(
        reader.next().await.expect("message"),
        Message::Text("t\u{e9}!")
    );
    assert_eq!(
        reader.next().await.expect("message"),
        Message::Binary(&[0xff])
    );
    assert_eq!(
        read_masked(&mut peer).await,
        (0x8a, b"are you there?".to_vec())
    );
    writer.text("hello").await.expect("write");
    assert_eq!(read_masked(&mut peer).await, (0x81, b"hello".to_vec()));
}

#[tokio::test]
async fn a_close_is_answered_and_ends_everything() {
    let (mut reader, writer, mut peer) = client().await;
    let mut payload = 1012_u16.to_be_bytes().to_vec();
    payload.extend_from_slice(b"restart");
    peer.write_all(&frame(0x88, &payload)).await.expect("write");
    let close = reader.next().await.expect("close");
    assert_eq!(
        close,
        Message::Close {
            code: Some(1012),
            reason: "restart".to_owned()
        }
    );
    assert_eq!(
        read_masked(&mut peer).await,
        (0x88, 1012_u16.to_be_bytes().to_vec())
    );
    assert!(matches!(writer.text("late").await, Err(WsError::Closed)));
    assert!(matches!(reader.next().await, Err(WsError::Closed)));
}

#[tokio::test]
async fn our_close_goes_out_once() {
    let (mut reader, writer, mut peer) = client().await;
    writer.close(1000, "done").await.expect("close");
    assert!(matches!(writer.close(1000, "").await, Err(WsError::Closed)));
    assert_eq!(read_masked(&mut peer).await.0, 0x88);
    peer.write_all(&frame(0x88, &1000_u16.to_be_bytes()))
        .await
        .expect("write");
    assert!(matches!(
        reader.next().await,
        Ok(Message::Close {
            code: Some(1000),
            ..
        })
    ));
    drop((reader, writer));
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).await.expect("the end");
    assert!(rest.is_empty(), "no second close");
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection() {
    let big = vec![b'x'; 1_000];
    let too_big = vec![b'x'; 1_001];
    let join = |frames: &[Vec<u8>]| frames.concat();
    let cases: Vec<(&str, Vec<u8>, Option<u16>)> = vec![
        ("a frame above the limit", frame(0x81, &too_big), Some(1009)),
        (
            "a claim of 2^62 bytes",
            vec![0x81, 127, 0x40, 0, 0, 0, 0, 0, 0, 0],
            Some(1009),
        ),
        (
            "a message above the limit",
            join(&[frame(0x01, &big), frame(0x80, &big)]),
            Some(1009),
        ),
        (
            "a start within a message",
            join(&[frame(0x01, b"a"), frame(0x81, b"b")]),
            Some(1002),
        ),
        ("a continuation of nothing", frame(0x80, b"a"), Some(1002)),
        (
            "text that is not UTF-8",
            frame(0x81, &[0xc3, 0x28]),
            Some(1007),
        ),
        (
            "fragments that end within a character",
            join(&[frame(0x01, b"a"), frame(0x80, &[0xc3])]),
            Some(1007),
        ),
        ("a masked frame", masked(0x81, b"a"), Some(1002)),
        ("a reserved bit", frame(0xc1, b"a"), Some(1002)),
        ("a reserved opcode", frame(0x83, b"a"), Some(1002)),
        ("a fragmented ping", frame(0x09, b"a"), Some(1002)),
        ("a long pong", frame(0x8a, &[0; 126]), Some(1002)),
        ("a close of one byte", frame(0x88, b"a"), Some(1002)),
        (
            "a fragment that can become no UTF-8",
            frame(0x01, &[b'a', 0xff]),
            Some(1007),
        ),
        (
            "fragments that can become no UTF-8",
            join(&[frame(0x01, &[0xe2]), frame(0x00, &[0x28])]),
            Some(1007),
        ),
        (
            "a close whose words are no text",
            frame(0x88, &[0x03, 0xe8, 0xff]),
            Some(1007),
        ),
        ("an end within a frame", vec![0x81, 5, b'a'], None),
    ];
    let codes = [
        0_u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
    ];
    let codes = codes.map(|code| {
        let close = frame(0x88, &code.to_be_bytes());
        ("a close code that may not be sent", close, Some(1002))
    });
    for (what, bytes, code) in cases.into_iter().chain(codes) {
        let (mut reader, _writer, mut peer) = client().await;
        peer.write_all(&bytes).await.expect("write");
        if what.starts_with("an end") {
            peer.shutdown().await.expect("shutdown");
        }
        let result = reader.next().await;
        assert!(result.is_err(), "{what}: {result:?}");
        assert!(
            matches!(reader.next().await, Err(WsError::Closed)),
            "{what}"
        );
        if let Some(code) = code {
            let (first, payload) = read_masked(&mut peer).await;
            assert_eq!(
                (first, payload.get(..2)),
                (0x88, Some(code.to_be_bytes().as_slice())),
                "{what}"
            );
        }
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_dropped() {
    let (_reader, mut writer, _peer) = client().await;
    writer.limit = Duration::from_millis(200);
    let text = "x".repeat(1 << 20);
    let error = loop {
        if let Err(e) = writer.text(&text).await {
            break e;
        }
    };
    assert!(matches!(error, WsError::Timeout("write")), "{error}");
    // The frame is half-way out: nothing else may follow it.
    assert!(matches!(writer.text("x").await, Err(WsError::Closed)));
}

/// A server that accepts one connection, and echoes; what its reader says at the end is returned.
async fn echo_server() -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accept");
        let (to_test, mut from_service) = tokio::sync::mpsc::channel(1);
        let service = service_fn(move |mut request: Request<Incoming>| {
            let to_test = to_test.clone();
            async move {
                let allowed = |origin: Option<&str>| origin.is_none_or(|o| o == "http://good");
                let (response, accepting) = match accept(&mut request, allowed, limits()) {
                    Ok(accepted) => accepted,
                    Err(e) => {
                        let mut response = Response::new(Empty::<Bytes>::new());
                        *response.status_mut() = StatusCode::BAD_REQUEST;
                        to_test.send(Err(e.to_string())).await.expect("test");
                        return Ok::<_, hyper::Error>(response);
                    }
                };
                to_test.send(Ok(accepting)).await.expect("test");
                Ok(response)
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let connection = tokio::spawn(connection);
        let accepting: Accepting = match from_service.recv().await.expect("a request") {
            Ok(accepting) => accepting,
            Err(e) => {
                drop(connection.await);
                return e;
            }
        };
        let (mut reader, writer) = accepting.await.expect("upgrade");
        loop {
            match reader.next().await {
                Ok(Message::Text(text)) => writer.text(text).await.expect("echo"),
                Ok(other) => return format!("{other:?}"),
                Err(e) => return e.to_string(),
            }
        }
    });
    (address, served)
}

#[tokio::test]
async fn both_sides_of_the_wrapper_understand_each_other() {
    let (address, served) = echo_server().await;
    let url: BaseUrl = format!("http://{address}").parse().expect("URL");
    let (mut reader, writer) = connect(&net(), &url, "/ws", limits())
        .await
        .expect("connect");
    writer.text("h\u{e9}llo").await.expect("write");
    assert_eq!(
        reader.next().await.expect("echo"),
        Message::Text("h\u{e9}llo")
    );
    writer.ping(b"x").await.expect("ping");
    writer.close(1000, "bye").await.expect("close");
    assert!(matches!(reader.next().await, Ok(Message::Close { .. })));
    assert_eq!(
        served.await.expect("server"),
        "Close { code: Some(1000), reason: \"bye\" }"
    );
}

async fn request(address: SocketAddr, headers: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.expect("connect");
    let request = format!("GET /ws HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("write");
    let head = head(&mut stream).await;
    (stream, head)
}

const GOOD: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn a_server_refuses_unmasked_frames() {
    let (address, served) = echo_server().await;
    let (mut stream, head) = request(address, GOOD).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    stream.write_all(&frame(0x81, b"a")).await.expect("write");
    assert_eq!(
        served.await.expect("server"),
        "WebSocket protocol: an unmasked frame"
    );
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.expect("a close");
    assert_eq!((answer[0], &answer[2..]), (0x88, [0x03, 0xea].as_slice()));
}

#[tokio::test]
async fn a_server_checks_the_request_and_its_origin() {
    let cases = [
        (GOOD.replace("13", "8"), "Version"),
        (
            GOOD.replace("Upgrade: websocket", "Upgrade: h2c"),
            "not a request",
        ),
        (GOOD.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), "Key"),
        (format!("{GOOD}Origin: http://evil\r\n"), "http://evil"),
    ];
    for (headers, wanted) in cases {
        let (address, served) = echo_server().await;
        let (stream, head) = request(address, &headers).await;
        assert!(head.starts_with("HTTP/1.1 400"), "{head}");
        drop(stream);
        let error = served.await.expect("server");
        assert!(error.contains(wanted), "{error} should say {wanted}");
    }
    let (address, _served) = echo_server().await;
    let (_stream, head) = request(address, &format!("{GOOD}Origin: http://good\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
}
