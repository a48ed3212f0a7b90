//! The client of a running daemon: one request on one connection to a numeric address, and what its
//! answer means for a script.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cli::Exit;
use crate::venue::rest::{AGENT, drive};

/// From the connection to the last byte of the answer. The daemon itself waits a second for its venue.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest answer, in bytes.
const BODY_MAX: usize = 4 << 20;
/// Where the daemon listens unless it is told otherwise.
const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// `GET`, `POST`, `PATCH` or `DELETE`.
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// A JSON document.
    pub body: Option<Vec<u8>>,
}

impl Ask {
    /// Without a body.
    pub fn plain(method: &'static str, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            body: None,
        }
    }
}

/// Nothing was done, or nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No daemon there.
    #[error(
        "no answer from the daemon at {addr}: {why} (start it with hean run, or name it by --server)"
    )]
    Unreachable {
        /// Where it should be.
        addr: SocketAddr,
        /// What happened.
        why: String,
    },
    /// The daemon refused.
    #[error("{text}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The code of the problem.
        code: String,
        /// In words, with what to do about it.
        text: String,
    },
    /// The request is on its way, and its end is not known yet.
    #[error("nobody knows yet what became of it: {0}")]
    Unknown(String),
}

impl ClientError {
    /// The exit code that it stands for.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Unknown(_) => Exit::Failure,
            Self::Refused { status, code, .. } => match (status, code.as_str()) {
                (_, "risk_refused" | "off_tick" | "off_lot") => Exit::RefusedByRisk,
                (_, "busy" | "no_answer") => Exit::Unreachable,
                (
                    _,
                    "unknown_symbol" | "unknown_strategy" | "unsupported" | "invalid_combination",
                )
                | (400, _) => Exit::Usage,
                _ => Exit::Failure,
            },
        }
    }
}

/// Where the daemon is: as a flag says, else as its own variable of the environment says.
pub fn address(flag: Option<SocketAddr>, listen: Option<&str>) -> SocketAddr {
    flag.or_else(|| listen?.trim().parse().ok())
        .unwrap_or(DEFAULT)
}

/// Sends a request; returns the document of its answer.
pub async fn ask(addr: SocketAddr, ask: &Ask) -> Result<Vec<u8>, ClientError> {
    let unreachable = |why: String| ClientError::Unreachable { addr, why };
    let (status, body) = timeout(PATIENCE, exchange(addr, ask))
        .await
        .unwrap_or_else(|_| Err(format!("nothing within {} s", PATIENCE.as_secs())))
        .map_err(unreachable)?;
    if (200..300).contains(&status) {
        Ok(body.to_vec())
    } else {
        Err(refusal(status, &body))
    }
}

async fn exchange(addr: SocketAddr, ask: &Ask) -> Result<(u16, Bytes), String> {
    let body = Full::new(Bytes::from(ask.body.clone().unwrap_or_default()));
    let mut request = Request::builder()
        .method(ask.method)
        .uri(&ask.target)
        .header(HOST, addr.to_string())
        .header(USER_AGENT, AGENT);
    if ask.body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let request = request.body(body).map_err(|e| e.to_string())?;
    let stream = TcpStream::connect(addr).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| e.to_string())?;
    let answer = async move {
        let response = sender.send_request(request).await;
        let (head, body) = response.map_err(|e| e.to_string())?.into_parts();
        let body = Limited::new(body, BODY_MAX).collect().await;
        let body = body.map_err(|e| e.to_string())?.to_bytes();
        Ok((head.status.as_u16(), body))
    };
    drive(answer, connection).await
}

/// What a problem document says.
fn refusal(status: u16, body: &[u8]) -> ClientError {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let member = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    let (detail, hint) = (member("detail"), member("hint"));
    let text = match (detail.is_empty(), hint.is_empty()) {
        (true, _) => format!("the daemon answered with status {status}"),
        // Risk says its hint in the sentence already.
        (false, false) if !detail.contains(&hint) => format!("{detail} ({hint})"),
        (false, _) => detail,
    };
    ClientError::Refused {
        status,
        code: member("code"),
        text,
    }
}

/// What a document that came back means when the state is nobody's knowledge.
pub fn known(document: &[u8]) -> Result<(), ClientError> {
    let json: Value = serde_json::from_slice(document).unwrap_or_default();
    if json["status"] != "unknown" {
        return Ok(());
    }
    let reason = json["reason"].as_str().unwrap_or("list /api/v1/orders");
    Err(ClientError::Unknown(reason.to_owned()))
}

/// A document for people: an order in a line, anything else a line for each value.
pub fn words(document: &[u8]) -> String {
    let json: Value = serde_json::from_slice(document).unwrap_or_default();
    if json["order_id"].is_string() {
        return order_words(&json);
    }
    let items = json["items"].as_array().map_or(&[][..], Vec::as_slice);
    if items.iter().any(|item| item["verdict"].is_string()) {
        let line = |item: &Value| {
            let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
            format!(
                "{}:{} {}: {}",
                text("venue"),
                text("symbol"),
                text("interval"),
                text("text")
            )
        };
        return items.iter().map(line).collect::<Vec<_>>().join("\n");
    }
    let mut lines = Vec::new();
    flatten("", &json, &mut lines);
    lines.join("\n")
}

fn order_words(order: &Value) -> String {
    let text = |name: &str| match &order[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let mut line = format!(
        "order {} {}: {} {} {}:{} {}",
        text("order_id"),
        text("status"),
        text("side"),
        text("quantity"),
        text("venue"),
        text("symbol"),
        text("type"),
    );
    for (name, word) in [
        ("price", "at"),
        ("stop_price", "from"),
        ("trail_percent", "trailing by percent"),
    ] {
        if !order[name].is_null() {
            line = format!("{line} {word} {}", text(name));
        }
    }
    if !order["avg_fill_price"].is_null() {
        let (filled, price) = (text("filled_quantity"), text("avg_fill_price"));
        line = format!("{line}; filled {filled} at {price}");
    }
    if !order["reason"].is_null() {
        line = format!("{line}; {}", text("reason"));
    }
    line
}

fn flatten(path: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{dot}{name}"), value, lines);
            }
        }
        Value::Null => {}
        Value::String(text) => lines.push(format!("{path}: {text}")),
        other => lines.push(format!("{path}: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> (Exit, String) {
        let error = refusal(status, body.as_bytes());
        (error.exit(), error.to_string())
    }

    #[test]
    fn every_refusal_has_its_exit_code() {
        for (status, code, exit) in [
            (422, "risk_refused", Exit::RefusedByRisk),
            (422, "off_tick", Exit::RefusedByRisk),
            (422, "invalid_combination", Exit::Usage),
            (422, "unknown_symbol", Exit::Usage),
            (404, "unknown_symbol", Exit::Usage),
            (400, "missing_field", Exit::Usage),
            (404, "unknown_order", Exit::Failure),
            (409, "order_done", Exit::Failure),
            (422, "venue_rejected", Exit::Failure),
            (503, "busy", Exit::Unreachable),
            (503, "no_answer", Exit::Unreachable),
            (500, "internal", Exit::Failure),
        ] {
            let body = format!(r#"{{"code":"{code}","detail":"no","hint":"do that"}}"#);
            assert_eq!(refused(status, &body), (exit, "no (do that)".to_owned()));
        }
        let (exit, text) = refused(502, "<html>");
        assert_eq!(exit, Exit::Failure);
        assert!(text.contains("502"), "{text}");
    }

    #[test]
    fn the_daemon_is_where_flag_variable_or_default_say() {
        let flag = "127.0.0.1:1".parse().ok();
        assert_eq!(address(flag, Some("127.0.0.1:2")).port(), 1);
        assert_eq!(address(None, Some(" 127.0.0.1:2")).port(), 2);
        assert_eq!(address(None, Some("nonsense")).port(), 8080);
        assert_eq!(address(None, None).port(), 8080);
    }

    #[test]
    fn documents_are_put_into_words() {
        let order = r#"{"order_id":"7","status":"filled","side":"buy","quantity":"0.5","venue":"sim",
            "symbol":"X","type":"limit","price":"10.5","stop_price":null,"trail_percent":null,
            "avg_fill_price":"10.4","filled_quantity":"0.5","reason":null}"#;
        assert_eq!(
            words(order.as_bytes()),
            "order 7 filled: buy 0.5 sim:X limit at 10.5; filled 0.5 at 10.4"
        );
        let risk = r#"{"mode":"halted","use":{"exposure":"1.5","orders_open":2},"cause":null}"#;
        assert_eq!(
            words(risk.as_bytes()),
            "mode: halted\nuse.exposure: 1.5\nuse.orders_open: 2"
        );
        assert_eq!(known(risk.as_bytes()), Ok(()));
        let unknown = br#"{"status":"unknown","reason":"no answer"}"#;
        assert_eq!(
            known(unknown),
            Err(ClientError::Unknown("no answer".to_owned()))
        );
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable() {
        let free = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
        let addr = free.expect("a port").local_addr().expect("bound");
        // The listener is gone.
        let error = ask(addr, &Ask::plain("GET", "/health")).await;
        assert_eq!(error.map_err(|e| e.exit()), Err(Exit::Unreachable));
    }
}
