//! The one wrapper around `fastwebsockets`: RFC 6455 with the checks that the crate leaves out.
//!
//! What is checked here: the client verifies the whole handshake answer, `Sec-WebSocket-Accept`
//! included; a frame and an assembled message are both limited; fragments are assembled here, and a
//! second start frame within a message is an error; text is UTF-8; a server refuses unmasked frames
//! and a client masked ones; control frames are short and their close codes legal. Pings are
//! answered with their payload, a close with a close.
//!
//! Reading a frame is not cancel-safe: one task owns a [`WsReader`] and polls [`WsReader::next`] to
//! its end, or drops the reader. A [`WsWriter`] may be cloned; a write that is dropped half-way
//! makes the connection unusable, and later writes say so.

mod error;
mod writer;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastwebsockets::{CloseCode, OpCode, Role, WebSocketRead, after_handshake_split};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::ReadHalf;
use tokio::time::{Instant, timeout};

pub use self::error::WsError;
pub use self::writer::WsWriter;
use super::net::Net;
use super::rest::{AGENT, drive};
use super::url::BaseUrl;

type Socket = TokioIo<Upgraded>;

/// Longest payload of a control frame.
const CONTROL_MAX: usize = 125;

/// Ends of a connection, in bytes and in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WsLimits {
    /// Longest payload of one frame.
    pub frame_max: usize,
    /// Longest message, all fragments together.
    pub message_max: usize,
    /// From the look-up of the name to the end of the handshake.
    pub handshake: Duration,
    /// One write: a peer that does not read is dropped.
    pub write: Duration,
    /// Frames a second that a peer may send for long; ten times as many at once.
    pub frames_per_second: Option<u32>,
}

impl WsLimits {
    fn frames_at_once(&self) -> f64 {
        self.frames_per_second
            .map_or(0.0, |rate| 10.0 * f64::from(rate))
    }
}

impl Default for WsLimits {
    fn default() -> Self {
        Self {
            frame_max: 4 << 20,
            message_max: 8 << 20,
            handshake: Duration::from_secs(20),
            write: Duration::from_secs(10),
            frames_per_second: None,
        }
    }
}

/// What a peer sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// The peer closed; our close is on its way. Nothing follows.
    Close {
        /// Its code, if it gave one.
        code: Option<u16>,
        /// Its words.
        reason: String,
    },
}

/// The reading half. One task owns it; see the module page.
pub struct WsReader {
    socket: WebSocketRead<ReadHalf<Socket>>,
    role: Role,
    limits: WsLimits,
    writer: WsWriter,
    /// Type and content of a message whose last fragment has not come.
    partial: Option<(OpCode, Vec<u8>)>,
    /// What the last [`Message`] borrows.
    current: Vec<u8>,
    ended: bool,
    heard: Heard,
    /// Frames that may come before it is a flood, and when that was.
    frames: (f64, Instant),
}

/// How many frames a reader has had: whether a peer still lives.
#[derive(Debug, Clone, Default)]
pub struct Heard(Arc<AtomicU64>);

impl Heard {
    /// Frames read since the connection began.
    pub fn frames(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for WsReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WsReader").finish_non_exhaustive()
    }
}

/// Opens a WebSocket at `target` of `base`.
pub async fn connect(
    net: &Net,
    base: &BaseUrl,
    target: &str,
    limits: WsLimits,
) -> Result<(WsReader, WsWriter), WsError> {
    timeout(limits.handshake, handshake(net, base, target, limits))
        .await
        .unwrap_or(Err(WsError::Timeout("handshake")))
}

async fn handshake(
    net: &Net,
    base: &BaseUrl,
    target: &str,
    limits: WsLimits,
) -> Result<(WsReader, WsWriter), WsError> {
    let key = fastwebsockets::handshake::generate_key();
    let wanted = accept_value(&key)?;
    let request = Request::builder()
        .method(Method::GET)
        .uri(base.target(target))
        .header(HOST, base.authority())
        .header(USER_AGENT, AGENT)
        .header(UPGRADE, "websocket")
        .header(CONNECTION, "Upgrade")
        .header(SEC_WEBSOCKET_KEY, key)
        .header(SEC_WEBSOCKET_VERSION, "13")
        .body(Empty::<Bytes>::new())
        .map_err(|_| WsError::Handshake("the target is no URL path"))?;
    let stream = net.connect(base).await?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_headers(128)
        .handshake(TokioIo::new(stream))
        .await?;
    let upgrade = async move {
        let mut response = sender.send_request(request).await?;
        check_answer(response.status(), response.headers(), &wanted)?;
        Ok::<_, WsError>(hyper::upgrade::on(&mut response).await?)
    };
    let upgraded = drive(upgrade, connection.with_upgrades()).await?;
    Ok(halves(upgraded, Role::Client, limits))
}

/// A WebSocket whose handshake answer is on its way out.
pub type Accepting = Pin<Box<dyn Future<Output = Result<(WsReader, WsWriter), WsError>> + Send>>;

/// Checks a request for a WebSocket and prepares the answer. `origin_allowed` is asked about the
/// `Origin` header, which browsers always send and other clients do not.
///
/// Send the response on a connection served `with_upgrades`, then await the future, in a task of its
/// own: it resolves once the response is out.
pub fn accept<B>(
    request: &mut Request<B>,
    origin_allowed: impl FnOnce(Option<&str>) -> bool,
    limits: WsLimits,
) -> Result<(Response<Empty<Bytes>>, Accepting), WsError> {
    let headers = request.headers();
    if request.method() != Method::GET || !fastwebsockets::upgrade::is_upgrade_request(request) {
        return Err(WsError::Handshake("not a request for a WebSocket"));
    }
    let origin = match headers.get(ORIGIN) {
        None => None,
        Some(value) => Some(
            value
                .to_str()
                .map_err(|_| WsError::Handshake("unreadable Origin"))?,
        ),
    };
    if !origin_allowed(origin) {
        return Err(WsError::Origin(origin.unwrap_or_default().to_owned()));
    }
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .map(HeaderValue::as_bytes)
        != Some(b"13")
    {
        return Err(WsError::Handshake("Sec-WebSocket-Version must be 13"));
    }
    // 16 bytes in base64.
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        .and_then(|key| key.to_str().ok())
        .filter(|key| key.len() == 24 && key.ends_with("=="))
        .ok_or(WsError::Handshake("Sec-WebSocket-Key is missing or wrong"))?;
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, accept_value(key)?)
        .body(Empty::new())
        .map_err(|_| WsError::Handshake("Sec-WebSocket-Key is missing or wrong"))?;
    let upgrade = hyper::upgrade::on(request);
    let halves = async move {
        let upgraded = timeout(limits.handshake, upgrade)
            .await
            .map_err(|_| WsError::Timeout("handshake"))??;
        Ok(halves(upgraded, Role::Server, limits))
    };
    Ok((response, Box::pin(halves)))
}

fn halves(upgraded: Upgraded, role: Role, limits: WsLimits) -> (WsReader, WsWriter) {
    let (read, write) = tokio::io::split(TokioIo::new(upgraded));
    let (mut socket, write) = after_handshake_split(read, write, role);
    socket.set_auto_close(false);
    socket.set_auto_pong(false);
    // The crate refuses from its limit on, we from above ours.
    socket.set_max_message_size(limits.frame_max.saturating_add(1));
    let writer = WsWriter::new(write, limits.write);
    let reader = WsReader {
        socket,
        role,
        limits,
        writer: writer.clone(),
        partial: None,
        current: Vec::new(),
        ended: false,
        heard: Heard::default(),
        frames: (limits.frames_at_once(), Instant::now()),
    };
    (reader, writer)
}

impl WsReader {
    /// The next message. Not cancel-safe: after dropping this future, drop the reader.
    pub async fn next(&mut self) -> Result<Message<'_>, WsError> {
        if self.ended {
            return Err(WsError::Closed);
        }
        // Whatever stops this from completing, the connection is not to be read again.
        self.ended = true;
        match self.assemble().await {
            Ok(OpCode::Text) => {
                self.ended = false;
                let text = std::str::from_utf8(&self.current);
                // Checked in `assemble`.
                text.map(Message::Text)
                    .map_err(|_| WsError::Protocol("text that is not UTF-8"))
            }
            Ok(OpCode::Binary) => {
                self.ended = false;
                Ok(Message::Binary(&self.current))
            }
            Ok(_) => match close_parts(&self.current) {
                Ok((code, reason)) => {
                    // The peer may be gone already; it does not wait for us.
                    drop(self.writer.close(code.unwrap_or(1000), "").await);
                    Ok(Message::Close { code, reason })
                }
                Err(e) => Err(self.fail(e).await),
            },
            Err(e) => Err(self.fail(e).await),
        }
    }

    /// Tells the peer what it did wrong.
    async fn fail(&mut self, error: WsError) -> WsError {
        if let Some(code) = error.close_code() {
            drop(self.writer.close(code, &error.to_string()).await);
        }
        error
    }

    /// Says how many frames were read, to who has not got the reader.
    pub fn heard(&self) -> Heard {
        self.heard.clone()
    }

    /// Reads frames until a message or a close is whole; its content is in `self.current`.
    async fn assemble(&mut self) -> Result<OpCode, WsError> {
        loop {
            let (fin, opcode) = self.frame().await?;
            match opcode {
                OpCode::Ping => {
                    let payload = std::mem::take(&mut self.current);
                    self.writer.pong(payload).await?;
                }
                OpCode::Pong => {}
                OpCode::Close => return Ok(OpCode::Close),
                OpCode::Text | OpCode::Binary if self.partial.is_some() => {
                    return Err(WsError::Protocol("a message began within another"));
                }
                OpCode::Text | OpCode::Binary if fin => return self.checked(opcode),
                OpCode::Text | OpCode::Binary => {
                    let message = std::mem::take(&mut self.current);
                    begins_as_text(opcode, &message)?;
                    self.partial = Some((opcode, message));
                }
                OpCode::Continuation => {
                    let Some((opcode, mut message)) = self.partial.take() else {
                        return Err(WsError::Protocol("a continuation of nothing"));
                    };
                    if message.len().saturating_add(self.current.len()) > self.limits.message_max {
                        return Err(WsError::TooLarge(self.limits.message_max));
                    }
                    message.extend_from_slice(&self.current);
                    if fin {
                        self.current = message;
                        return self.checked(opcode);
                    }
                    begins_as_text(opcode, &message)?;
                    self.partial = Some((opcode, message));
                }
            }
        }
    }

    fn checked(&self, opcode: OpCode) -> Result<OpCode, WsError> {
        if self.current.len() > self.limits.message_max {
            return Err(WsError::TooLarge(self.limits.message_max));
        }
        if opcode == OpCode::Text && std::str::from_utf8(&self.current).is_err() {
            return Err(WsError::Protocol("text that is not UTF-8"));
        }
        Ok(opcode)
    }

    /// Reads one frame; its payload is in `self.current`.
    async fn frame(&mut self) -> Result<(bool, OpCode), WsError> {
        // Never called: the crate's own answers are switched off.
        let mut unused = |_| std::future::ready(Ok::<(), std::io::Error>(()));
        let mut frame = self
            .socket
            .read_frame(&mut unused)
            .await
            .map_err(|e| self.limits.error(e))?;
        // The crate keeps the mask to itself; the header that it would write shows it.
        let mut head = [0; 16];
        frame.fmt_head(&mut head);
        let masked = head[1] & 0x80 != 0;
        match (self.role, masked) {
            (Role::Server, false) => return Err(WsError::Protocol("an unmasked frame")),
            (Role::Client, true) => return Err(WsError::Protocol("a masked frame")),
            _ => {}
        }
        let control = matches!(frame.opcode, OpCode::Ping | OpCode::Pong | OpCode::Close);
        if control && frame.payload.len() > CONTROL_MAX {
            return Err(WsError::Protocol("a control frame beyond 125 bytes"));
        }
        self.current.clear();
        self.current.extend_from_slice(&frame.payload);
        let (fin, opcode) = (frame.fin, frame.opcode);
        self.heard.0.fetch_add(1, Ordering::Relaxed);
        self.count_frame()?;
        Ok((fin, opcode))
    }

    fn count_frame(&mut self) -> Result<(), WsError> {
        let Some(rate) = self.limits.frames_per_second else {
            return Ok(());
        };
        let (left, then) = self.frames;
        let now = Instant::now();
        let gained = now.duration_since(then).as_secs_f64() * f64::from(rate);
        let left = (left + gained).min(self.limits.frames_at_once()) - 1.0;
        self.frames = (left, now);
        if left < 0.0 {
            return Err(WsError::Flood);
        }
        Ok(())
    }
}

/// Whether text whose end has not come can still be UTF-8: it is refused as soon as it cannot.
fn begins_as_text(opcode: OpCode, message: &[u8]) -> Result<(), WsError> {
    match std::str::from_utf8(message) {
        Err(e) if opcode == OpCode::Text && e.error_len().is_some() => {
            Err(WsError::Protocol("text that is not UTF-8"))
        }
        _ => Ok(()),
    }
}

/// `Sec-WebSocket-Accept` for `key`. The crate computes it for servers only: ask that side.
fn accept_value(key: &str) -> Result<String, WsError> {
    let mut request = Request::builder()
        .header(SEC_WEBSOCKET_KEY, key)
        .header(SEC_WEBSOCKET_VERSION, "13")
        .body(())
        .map_err(|_| WsError::Handshake("no usable key"))?;
    let (answer, _) = fastwebsockets::upgrade::upgrade(&mut request)
        .map_err(|_| WsError::Handshake("no usable key"))?;
    let value = answer.headers().get(SEC_WEBSOCKET_ACCEPT);
    value
        .and_then(|v| v.to_str().ok())
        .map(str::to_owned)
        .ok_or(WsError::Handshake("no usable key"))
}

fn check_answer(status: StatusCode, headers: &HeaderMap, accept: &str) -> Result<(), WsError> {
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let retry_after = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok());
        return Err(WsError::Refused {
            status: status.as_u16(),
            retry_after: retry_after.and_then(|v| v.trim().parse().ok()),
        });
    }
    let lists = |name: HeaderName, wanted: &str| {
        let values = headers.get_all(name);
        let mut tokens = values.iter().filter_map(|v| v.to_str().ok());
        tokens.any(|v| v.split(',').any(|t| t.trim().eq_ignore_ascii_case(wanted)))
    };
    if !lists(UPGRADE, "websocket") || !lists(CONNECTION, "upgrade") {
        return Err(WsError::Handshake("the answer upgrades to something else"));
    }
    let mut accepts = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
    if accepts.next().map(HeaderValue::as_bytes) != Some(accept.as_bytes())
        || accepts.next().is_some()
    {
        return Err(WsError::Handshake(
            "Sec-WebSocket-Accept does not fit the key",
        ));
    }
    // Neither was offered.
    if headers.contains_key(SEC_WEBSOCKET_EXTENSIONS)
        || headers.contains_key(SEC_WEBSOCKET_PROTOCOL)
    {
        return Err(WsError::Handshake(
            "an extension or subprotocol that was not offered",
        ));
    }
    Ok(())
}

/// Code and words of a close frame.
fn close_parts(payload: &[u8]) -> Result<(Option<u16>, String), WsError> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return match payload {
            [] => Ok((None, String::new())),
            _ => Err(WsError::Protocol("a close of one byte")),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !CloseCode::from(code).is_allowed() {
        return Err(WsError::Protocol("a close code that may not be sent"));
    }
    let reason =
        std::str::from_utf8(reason).map_err(|_| WsError::Protocol("text that is not UTF-8"))?;
    Ok((Some(code), reason.to_owned()))
}

#[cfg(test)]
mod tests;
