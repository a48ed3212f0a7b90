//! A plain client for the tests: WebSocket frames by fastwebsockets over a socket of its own, HTTP by
//! hyper, and raw bytes where a client misbehaves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocket, WebSocketError};
use hean::runtime::clock::Clock;
use hean::venue::sim::{Fault, SimConfig, SimHandle, SimStatus, Source, start};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Join, Sink};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

/// A hung test ends after this; nothing measures time by it.
const HUNG: Duration = Duration::from_mins(1);

/// Text as JSON.
pub(crate) fn value(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// A simulated venue on a free port.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) status: Arc<SimStatus>,
    pub(crate) handle: SimHandle,
    shutdown: watch::Sender<bool>,
}

impl Running {
    pub(crate) async fn start(source: Source, faults: Vec<Fault>) -> Self {
        Self::configured(SimConfig {
            faults,
            ..SimConfig::new(source)
        })
        .await
    }

    pub(crate) async fn configured(config: SimConfig) -> Self {
        let (shutdown, stop) = watch::channel(false);
        let handle = start(config, Clock::start(), stop).await.expect("start");
        Self {
            addr: handle.local_addr,
            status: Arc::clone(&handle.status),
            handle,
            shutdown,
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.send(true).expect("running");
        let ended = tokio::time::timeout(HUNG, self.handle.task).await;
        ended.expect("ends").expect("without panic");
    }
}

/// A WebSocket client.
pub(crate) struct Client {
    pub(crate) addr: SocketAddr,
    read: WebSocket<Join<OwnedReadHalf, Sink>>,
    write: OwnedWriteHalf,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(addr).await.expect("connect");
        let (mut read, mut write) = stream.into_split();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        write.write_all(request.as_bytes()).await.expect("request");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(read.read_u8().await.expect("response"));
        }
        let head = String::from_utf8(head).expect("text").to_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        // The answer to this key in RFC 6455 §1.3.
        assert!(head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        let read = tokio::io::join(read, tokio::io::sink());
        let mut read = WebSocket::after_handshake(read, Role::Client);
        read.set_auto_pong(false);
        read.set_auto_close(false);
        Self { addr, read, write }
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.write.write_all(bytes).await.expect("write");
    }

    async fn frame(&mut self, opcode: OpCode, payload: &[u8]) {
        let mut frame = Frame::new(
            true,
            opcode,
            Some([1, 2, 3, 4]),
            Payload::Owned(payload.to_vec()),
        );
        frame.mask();
        let mut buffer = Vec::new();
        let bytes = frame.write(&mut buffer).to_vec();
        self.raw(&bytes).await;
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.frame(OpCode::Text, text.as_bytes()).await;
    }

    pub(crate) async fn ping(&mut self, payload: &[u8]) {
        self.frame(OpCode::Ping, payload).await;
    }

    async fn read(&mut self) -> Result<Frame<'static>, WebSocketError> {
        tokio::time::timeout(HUNG, self.read.read_frame())
            .await
            .expect("the venue sends nothing")
    }

    /// The next text message; `None` at the end of the connection.
    pub(crate) async fn next_text(&mut self) -> Option<String> {
        let frame = self.read().await.ok()?;
        assert_eq!(frame.opcode, OpCode::Text);
        Some(String::from_utf8(frame.payload.to_vec()).expect("UTF-8"))
    }

    /// The next text message.
    pub(crate) async fn text(&mut self) -> String {
        self.next_text().await.expect("a message")
    }

    /// The payload of the next message, which is a pong.
    pub(crate) async fn pong(&mut self) -> Vec<u8> {
        let frame = self.read().await.expect("a frame");
        assert_eq!(frame.opcode, OpCode::Pong);
        frame.payload.to_vec()
    }

    /// Reads to the end of the connection: the close code, if one was said.
    pub(crate) async fn closed_with(&mut self) -> Option<u16> {
        let mut code = None;
        while let Ok(frame) = self.read().await {
            if frame.opcode == OpCode::Close {
                let bytes = frame.payload.get(..2).map(<[u8]>::to_vec);
                code = bytes.map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
            }
        }
        code
    }
}

/// An HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) weight: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: String,
}

/// `GET path` on a connection of its own.
pub(crate) async fn get(addr: SocketAddr, path: &str) -> Answer {
    let stream = TcpStream::connect(addr).await.expect("connect");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("handshake");
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get(path)
        .header("host", addr.to_string())
        .body(Empty::<Bytes>::new())
        .expect("request");
    let response = sender.send_request(request).await.expect("response");
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().expect("text").to_owned())
    };
    let (weight, retry_after) = (header("x-mbx-used-weight-1m"), header("retry-after"));
    let status = response.status().as_u16();
    let body = response
        .into_body()
        .collect()
        .await
        .expect("body")
        .to_bytes();
    drop(sender);
    connection.await.expect("task").expect("connection");
    Answer {
        status,
        weight,
        retry_after,
        body: String::from_utf8(body.to_vec()).expect("UTF-8"),
    }
}

/// What the venue says of itself.
pub(crate) async fn status(addr: SocketAddr) -> Value {
    value(&get(addr, "/sim/status").await.body)
}

/// Sends text as it is and reads to the end of the connection.
pub(crate) async fn raw_http(addr: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("connect");
    stream.write_all(text.as_bytes()).await.expect("write");
    let mut answer = vec![0; 4_096];
    let read = tokio::time::timeout(HUNG, stream.read(&mut answer)).await;
    let read = read.expect("an answer").expect("an answer");
    String::from_utf8_lossy(&answer[..read]).into_owned()
}
