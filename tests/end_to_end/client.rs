//! HTTP as a stranger speaks it: one request a connection, over a plain socket.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde::Deserialize;
use serde_json::Value;

use super::process::{HUNG, until};

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON. Ask with `numbers=string` where digits matter.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
}

/// A request. An error means that nobody answered (or not to the end).
pub(crate) fn request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(HUNG))?;
    stream.set_nodelay(true)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    parse(&text).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Head and body; `None` when the answer is cut short.
fn parse(text: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let value = name
            .eq_ignore_ascii_case("content-length")
            .then_some(value)?;
        value.trim().parse::<usize>().ok()
    })?;
    (body.len() == length).then(|| Answer {
        status,
        body: body.to_owned(),
    })
}

/// `GET`, which must be answered.
pub(crate) fn get(addr: SocketAddr, path: &str) -> Answer {
    request(addr, "GET", path, "").unwrap_or_else(|e| panic!("GET {path}: {e}"))
}

/// The JSON of a `GET` that must succeed.
pub(crate) fn json(addr: SocketAddr, path: &str) -> Value {
    let answer = get(addr, path);
    assert_eq!(answer.status, 200, "GET {path}: {}", answer.body);
    answer.json()
}

/// The value of a metric with these labels (as they are written), 0 when it is not there.
pub(crate) fn metric(addr: SocketAddr, name: &str) -> f64 {
    let text = get(addr, "/metrics").body;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().expect("a number"))
}

/// A check of `/readyz`.
pub(crate) fn ready(addr: SocketAddr, check: &str) -> bool {
    let checks = get(addr, "/readyz").json();
    let checks = checks["checks"].as_array().expect("checks");
    let check = checks
        .iter()
        .find(|c| c["name"] == check)
        .unwrap_or_else(|| panic!("no check {check} in {checks:?}"));
    check["ok"].as_bool().expect("a flag")
}

/// Returns when the books of all these symbols are verified.
pub(crate) fn wait_books(addr: SocketAddr, symbols: &[&str]) {
    for symbol in symbols {
        until("a valid book", || {
            let book = json(addr, &format!("/api/v1/orderbook/{symbol}?depth=1"));
            (book["valid"] == true).then_some(())
        });
    }
}

/// Decimal text without quotes and without trailing zeros.
pub(crate) fn decimal(text: &str) -> String {
    let text = text.trim_matches('"');
    if text.contains('.') {
        let text = text.trim_end_matches('0').trim_end_matches('.');
        return text.to_owned();
    }
    text.to_owned()
}

/// Levels of a side, as decimal text.
pub(crate) type Levels = Vec<[String; 2]>;

/// The two sides of a book in any of our documents, digit by digit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sides {
    pub(crate) bids: Levels,
    pub(crate) asks: Levels,
}

impl Sides {
    /// Reads `bids` and `asks` of a JSON object; numbers keep the text that they were written with.
    pub(crate) fn parse(text: &str) -> Self {
        #[derive(Deserialize)]
        struct Raw<'a> {
            #[serde(borrow)]
            bids: Vec<[&'a serde_json::value::RawValue; 2]>,
            #[serde(borrow)]
            asks: Vec<[&'a serde_json::value::RawValue; 2]>,
        }
        let raw: Raw<'_> = serde_json::from_str(text).expect("a book");
        let levels = |side: Vec<[&serde_json::value::RawValue; 2]>| {
            side.iter()
                .map(|level| level.map(|number| decimal(number.get())))
                .collect()
        };
        Self {
            bids: levels(raw.bids),
            asks: levels(raw.asks),
        }
    }
}
