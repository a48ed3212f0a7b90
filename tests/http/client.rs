//! A client that speaks raw HTTP, so that nothing between hides a byte.

use std::collections::VecDeque;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::described;
use super::harness::PATIENCE;

/// A raw connection.
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    buffer: Vec<u8>,
    /// Requests whose answers are still to come; what was sent by hand is not among them.
    asked: VecDeque<(String, String)>,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The code of a problem document, after checking what every problem has.
    pub(crate) fn code(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let json = self.json();
        assert_eq!(json["status"], self.status, "{self:?}");
        for member in ["type", "title", "detail"] {
            assert!(json[member].is_string(), "{member} in {self:?}");
        }
        json["code"].as_str().expect("code").to_owned()
    }
}

impl Client {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            buffer: Vec::new(),
            asked: VecDeque::new(),
        }
    }

    /// The socket, and what was read beyond the last answer.
    pub(crate) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.socket, self.buffer)
    }

    /// What comes up to `end`, and that.
    pub(crate) async fn until(&mut self, end: &[u8]) -> String {
        let length = loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|w| w == end) {
                break at + end.len();
            }
            assert!(self.more().await, "the connection ended: {:?}", self.buffer);
        };
        let rest = self.buffer.split_off(length);
        String::from_utf8(std::mem::replace(&mut self.buffer, rest)).expect("UTF-8")
    }

    pub(crate) async fn send(&mut self, bytes: &str) {
        self.socket.write_all(bytes.as_bytes()).await.expect("send");
    }

    pub(crate) async fn request(&mut self, method: &str, target: &str, body: &str) {
        let length = body.len();
        self.asked.push_back((method.to_owned(), target.to_owned()));
        self.send(&format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await;
    }

    /// The next response on this connection, with the body that its length says.
    pub(crate) async fn answer(&mut self) -> Answer {
        let asked = self.asked.pop_front();
        let mut answer = self.next_head().await;
        let length = answer.header("content-length").expect("length");
        let length: usize = length.parse().expect("number");
        while self.buffer.len() < length {
            assert!(self.more().await, "the connection ended within a body");
        }
        let rest = self.buffer.split_off(length);
        answer.body = String::from_utf8(std::mem::replace(&mut self.buffer, rest)).expect("UTF-8");
        if let Some((method, target)) = asked {
            described::check(&method, &target, &answer);
        }
        answer
    }

    /// The next response's head, as of an answer without a body.
    pub(crate) async fn head(&mut self) -> Answer {
        self.asked.pop_front();
        self.next_head().await
    }

    async fn next_head(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(
                self.more().await,
                "the connection ended within a head: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        };
        let rest = self.buffer.split_off(end);
        let head = String::from_utf8(std::mem::replace(&mut self.buffer, rest)).expect("UTF-8");
        Answer {
            status: head[9..12].parse().expect("status"),
            head,
            body: String::new(),
        }
    }

    async fn more(&mut self) -> bool {
        let read = self.socket.read_buf(&mut self.buffer);
        let read = tokio::time::timeout(PATIENCE, read).await;
        read.expect("the server does not answer").unwrap_or(0) > 0
    }

    /// Waits for the server to end the connection; nothing more may come before that.
    pub(crate) async fn ended(&mut self) {
        assert!(!self.more().await, "more came: {:?}", self.buffer);
        assert!(self.buffer.is_empty(), "more came: {:?}", self.buffer);
    }
}
