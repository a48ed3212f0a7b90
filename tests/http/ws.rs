//! A WebSocket client that writes and reads frames byte by byte, so that it can break every rule.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::client::{Answer, Client};
use super::harness::{Harness, PATIENCE};

/// The fields of a handshake.
pub(crate) const HANDSHAKE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// An open WebSocket.
pub(crate) struct Ws {
    reading: Reading,
    writing: Writing,
}

/// What comes.
pub(crate) struct Reading {
    socket: OwnedReadHalf,
    buffer: Vec<u8>,
}

/// What goes.
pub(crate) struct Writing(OwnedWriteHalf);

/// A frame that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    Ping,
    Pong(Vec<u8>),
    /// Code and reason.
    Close(u16, String),
    /// The connection ended.
    End,
}

/// A frame as a client sends it.
pub(crate) fn frame(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let bit = if masked { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(bit | u8::try_from(len).expect("short")),
        len @ 126..65_536 => {
            frame.push(bit | 0x7e);
            frame.extend(u16::try_from(len).expect("short").to_be_bytes());
        }
        len => {
            frame.push(bit | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    if masked {
        frame.extend(MASK);
        frame.extend(
            payload
                .iter()
                .zip(MASK.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
    } else {
        frame.extend(payload);
    }
    frame
}

/// Asks for a WebSocket.
pub(crate) async fn handshake(server: &Harness, target: &str, fields: &str) -> (Client, Answer) {
    let mut client = server.connect().await;
    client
        .send(&format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"
        ))
        .await;
    let head = client.head().await;
    (client, head)
}

impl Ws {
    pub(crate) async fn open(server: &Harness) -> Self {
        Self::open_at(server, "/ws").await
    }

    pub(crate) async fn open_at(server: &Harness, target: &str) -> Self {
        let (client, answer) = handshake(server, target, HANDSHAKE).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        assert_eq!(
            answer.header("sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        let (socket, buffer) = client.into_parts();
        let (socket, writing) = socket.into_split();
        Self {
            reading: Reading { socket, buffer },
            writing: Writing(writing),
        }
    }

    /// Both directions, to use at once.
    pub(crate) fn split(&mut self) -> (&mut Reading, &mut Writing) {
        (&mut self.reading, &mut self.writing)
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.writing.raw(bytes).await;
    }

    pub(crate) async fn frame(&mut self) -> Frame {
        self.reading.frame().await
    }

    pub(crate) async fn json(&mut self) -> Value {
        self.reading.json().await
    }

    pub(crate) async fn closed(&mut self) -> (u16, String) {
        self.reading.closed().await
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.raw(&frame(0x81, text.as_bytes(), true)).await;
    }

    /// Sends a request and takes its answer, which comes before everything that follows from it.
    pub(crate) async fn ask(&mut self, request: &str) -> Value {
        self.send(request).await;
        loop {
            let json = self.json().await;
            if json.get("id").is_some() {
                return json;
            }
        }
    }

    /// Follows topics; returns the snapshots.
    pub(crate) async fn follow(&mut self, topics: &[&str]) -> Vec<Value> {
        let params = serde_json::to_string(topics).expect("JSON");
        let answer = self
            .ask(&format!(
                r#"{{"id":1,"method":"SUBSCRIBE","params":{params}}}"#
            ))
            .await;
        assert!(answer["result"].is_array(), "{answer}");
        let mut snapshots = Vec::new();
        for topic in topics {
            let snapshot = self.json().await;
            assert_eq!(
                (&snapshot["topic"], &snapshot["type"], &snapshot["seq"]),
                (
                    &Value::from(*topic),
                    &Value::from("snapshot"),
                    &Value::from(1)
                )
            );
            snapshots.push(snapshot["data"].clone());
        }
        snapshots
    }
}

impl Writing {
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        // The server may have ended the connection already.
        drop(self.0.write_all(bytes).await);
    }
}

impl Reading {
    async fn fill(&mut self, length: usize) -> bool {
        while self.buffer.len() < length {
            let read = tokio::time::timeout(PATIENCE, self.socket.read_buf(&mut self.buffer)).await;
            if read.expect("the server does not answer").unwrap_or(0) == 0 {
                return false;
            }
        }
        true
    }

    /// The next frame.
    pub(crate) async fn frame(&mut self) -> Frame {
        if !self.fill(2).await {
            return Frame::End;
        }
        assert_eq!(self.buffer[1] & 0x80, 0, "servers do not mask");
        let (extra, short) = match self.buffer[1] {
            126 => (2, 0),
            127 => (8, 0),
            short => (0, usize::from(short)),
        };
        if !self.fill(2 + extra).await {
            return Frame::End;
        }
        let length = self.buffer[2..2 + extra]
            .iter()
            .fold(short, |length, byte| length << 8 | usize::from(*byte));
        if !self.fill(2 + extra + length).await {
            return Frame::End;
        }
        let rest = self.buffer.split_off(2 + extra + length);
        let frame = std::mem::replace(&mut self.buffer, rest);
        let payload = frame[2 + extra..].to_vec();
        match frame[0] {
            0x81 => Frame::Text(String::from_utf8(payload).expect("UTF-8")),
            0x89 => Frame::Ping,
            0x8a => Frame::Pong(payload),
            0x88 => {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                Frame::Close(
                    code,
                    String::from_utf8(payload[2..].to_vec()).expect("UTF-8"),
                )
            }
            other => panic!("an opcode {other:x}"),
        }
    }

    /// The next text as JSON; pings are passed over.
    pub(crate) async fn json(&mut self) -> Value {
        loop {
            match self.frame().await {
                Frame::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Frame::Ping => {}
                other => panic!("{other:?} instead of a message"),
            }
        }
    }

    /// Passes everything over until the server closes: code and reason.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.frame().await {
                Frame::Close(code, reason) => return (code, reason),
                Frame::End => panic!("the connection ended without a close"),
                Frame::Text(_) | Frame::Ping | Frame::Pong(_) => {}
            }
        }
    }
}
