//! The WebSocket connection of one client, server side.
//!
//! fastwebsockets does the handshake and the framing. What it leaves to its user is done here:
//! client frames must be masked (RFC 6455 §5.1), frames and assembled messages are limited, data
//! frames may not be interleaved, pings must be answered. Reading and writing are two futures that
//! live as long as the connection, because reading a frame is not cancel-safe.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocket, WebSocketError};
use hyper::body::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWriteExt, BufWriter, ReadBuf, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::hub::{Client, Outgoing, wait_out};
use crate::runtime::clock::Clock;

type Socket = TokioIo<Upgraded>;

/// Largest frame and message that a client may send, in bytes: 1,024 long stream names fit.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// How long the last words of a connection may take.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// Messages written before the socket is flushed, if so many wait.
const BATCH: usize = 256;

/// Why reading ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The framing is wrong or the connection is gone.
    #[error(transparent)]
    Frame(#[from] WebSocketError),
    /// A frame without mask.
    #[error("client frames must be masked")]
    Unmasked,
    /// Text frames only.
    #[error("only text messages are understood")]
    NotText,
    /// A fragment without a start, or a start within a fragmented message.
    #[error("fragments out of order")]
    Fragments,
    /// The fragments together are too long.
    #[error("message too long")]
    TooLong,
    /// The assembled message is no text.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// Nothing came for too long.
    #[error("the client was silent for too long")]
    Silent,
}

impl Fault {
    /// The close code that says so; `None` when nobody is there to hear it.
    fn close_code(&self) -> Option<u16> {
        match self {
            Self::Frame(
                WebSocketError::UnexpectedEOF
                | WebSocketError::IoError(_)
                | WebSocketError::ConnectionClosed,
            )
            | Self::Silent => None,
            Self::Frame(WebSocketError::FrameTooLarge) | Self::TooLong => Some(1009),
            Self::Frame(WebSocketError::InvalidUTF8) | Self::NotUtf8 => Some(1007),
            Self::NotText => Some(1003),
            Self::Frame(_) | Self::Unmasked | Self::Fragments => Some(1002),
        }
    }
}

/// Reads a client's messages.
pub(super) struct Reader {
    socket: WebSocket<tokio::io::Join<MaskCheck, tokio::io::Sink>>,
    message: Vec<u8>,
    fragmented: bool,
}

/// A message or what the protocol itself asks for.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A whole text message.
    Text(String),
    /// Answer it.
    Ping(Bytes),
    /// The answer to ours.
    Pong,
    /// The client says good-bye with this code (or none).
    Close(Bytes),
}

impl Reader {
    /// The next message.
    pub(super) async fn next(&mut self) -> Result<Incoming, Fault> {
        loop {
            let frame = match self.socket.read_frame().await {
                Ok(frame) => frame,
                Err(WebSocketError::IoError(error))
                    if error.kind() == io::ErrorKind::InvalidData =>
                {
                    return Err(Fault::Unmasked);
                }
                Err(error) => return Err(error.into()),
            };
            match frame.opcode {
                OpCode::Ping => return Ok(Incoming::Ping(owned(&frame.payload))),
                OpCode::Pong => return Ok(Incoming::Pong),
                // The code is echoed without the words: those may be longer than a control frame.
                OpCode::Close => {
                    let code = frame.payload.get(..2).unwrap_or_default();
                    return Ok(Incoming::Close(owned(code)));
                }
                OpCode::Binary => return Err(Fault::NotText),
                OpCode::Text if self.fragmented => return Err(Fault::Fragments),
                OpCode::Continuation if !self.fragmented => return Err(Fault::Fragments),
                OpCode::Text | OpCode::Continuation => {
                    if self.message.len() + frame.payload.len() > MESSAGE_BYTES_MAX {
                        return Err(Fault::TooLong);
                    }
                    self.message.extend_from_slice(&frame.payload);
                    self.fragmented = !frame.fin;
                    if frame.fin {
                        let message = std::mem::take(&mut self.message);
                        let text = String::from_utf8(message).map_err(|_| Fault::NotUtf8)?;
                        return Ok(Incoming::Text(text));
                    }
                }
            }
        }
    }
}

fn owned(payload: &[u8]) -> Bytes {
    Bytes::copy_from_slice(payload)
}

/// Which pings a server sends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pings {
    /// How often.
    pub(super) every: Duration,
    /// Pings without a pong after which a client is given up.
    pub(super) unanswered_max: u64,
}

/// Writes a client's queue to its socket.
pub(super) struct Writer {
    socket: WebSocket<tokio::io::Join<tokio::io::Empty, BufWriter<WriteHalf<Socket>>>>,
    queue: mpsc::Receiver<Outgoing>,
    /// `None` sends none.
    pings: Option<Pings>,
    clock: Clock,
}

impl Writer {
    /// Writes until the connection ends; pings in between. A mute one writes nothing meanwhile.
    pub(super) async fn run(mut self, client: Arc<Client>) -> Result<(), WebSocketError> {
        let clock = self.clock.clone();
        let unmuted = || wait_out(&client.mute_until, || clock.now());
        let pings = self.pings.unwrap_or(Pings {
            every: Duration::MAX,
            unanswered_max: u64::MAX,
        });
        let mut next_ping = tokio::time::Instant::now().checked_add(pings.every);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let ping = async {
                match next_ping {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let count = tokio::select! {
                count = self.queue.recv_many(&mut batch, BATCH) => count,
                () = ping => {
                    next_ping = tokio::time::Instant::now().checked_add(pings.every);
                    unmuted().await;
                    if client.pings_unanswered.fetch_add(1, Ordering::Relaxed)
                        >= pings.unanswered_max
                    {
                        return self.close(Bytes::new()).await;
                    }
                    let ping = Frame::new(true, OpCode::Ping, None, Payload::Borrowed(b"hean"));
                    self.socket.write_frame(ping).await?;
                    self.socket.flush().await?;
                    continue;
                }
            };
            if count == 0 {
                return self.close(Bytes::new()).await;
            }
            unmuted().await;
            for message in batch.drain(..) {
                match message {
                    Outgoing::Text(text) => {
                        let frame = Frame::text(Payload::Borrowed(&text));
                        self.socket.write_frame(frame).await?;
                    }
                    Outgoing::Pong(payload) => {
                        let frame = Frame::pong(Payload::Borrowed(&payload));
                        self.socket.write_frame(frame).await?;
                    }
                    Outgoing::Close(payload) => return self.close(payload).await,
                    Outgoing::Cut => return self.end().await,
                }
            }
            self.socket.flush().await?;
        }
    }

    async fn close(mut self, payload: Bytes) -> Result<(), WebSocketError> {
        let frame = Frame::close_raw(Payload::Borrowed(&payload));
        self.socket.write_frame(frame).await?;
        self.end().await
    }

    async fn end(mut self) -> Result<(), WebSocketError> {
        self.socket.flush().await?;
        self.socket.into_inner().shutdown().await?;
        Ok(())
    }
}

/// Splits a connection that has been upgraded a moment ago.
pub(super) fn split(
    socket: WebSocket<Socket>,
    queue: mpsc::Receiver<Outgoing>,
    pings: Option<Pings>,
    clock: Clock,
) -> (Reader, Writer) {
    // Nothing has been read by it yet, so nothing is lost with its buffer.
    let (read, write) = tokio::io::split(socket.into_inner());
    let read = tokio::io::join(MaskCheck::new(read), tokio::io::sink());
    let mut read = WebSocket::after_handshake(read, Role::Server);
    // `max_message_size` is the first length that is refused.
    read.set_max_message_size(MESSAGE_BYTES_MAX + 1);
    read.set_auto_pong(false);
    read.set_auto_close(false);
    let write = tokio::io::join(
        tokio::io::empty(),
        BufWriter::with_capacity(64 << 10, write),
    );
    let mut write = WebSocket::after_handshake(write, Role::Server);
    write.set_writev(false); // into the buffer, not around it
    (
        Reader {
            socket: read,
            message: Vec::new(),
            fragmented: false,
        },
        Writer {
            socket: write,
            queue,
            pings,
            clock,
        },
    )
}

/// Runs a connection to its end: `read` handles messages, `writer` sends the queue.
pub(super) async fn run(
    client: Arc<Client>,
    read: impl Future<Output = Result<Bytes, Fault>>,
    writer: Writer,
) {
    let mut write = std::pin::pin!(writer.run(Arc::clone(&client)));
    let ended = tokio::select! {
        ended = read => ended,
        _ = &mut write => return,
        () = client.cut.notified() => return,
    };
    let payload = match ended {
        Ok(payload) => Some(payload),
        Err(fault) => {
            tracing::debug!("a client's connection ended: {fault}");
            fault
                .close_code()
                .map(|code| Bytes::copy_from_slice(&code.to_be_bytes()))
        }
    };
    let Some(payload) = payload else { return };
    // The queue may be full of messages that the client will still read, or will not.
    let last_words = async {
        tokio::select! {
            _ = &mut write => {}
            () = async {
                client.send(Outgoing::Close(payload)).await;
                std::future::pending::<()>().await;
            } => {}
        }
    };
    if tokio::time::timeout(CLOSE_GRACE, last_words).await.is_err() {
        tracing::debug!("a client did not take its close frame");
    }
}

/// Follows the frame headers of a byte stream and fails on the first one without a mask:
/// fastwebsockets takes unmasked client frames and does not tell.
pub(super) struct MaskCheck {
    inner: ReadHalf<Socket>,
    headers: Headers,
}

impl MaskCheck {
    fn new(inner: ReadHalf<Socket>) -> Self {
        Self {
            inner,
            headers: Headers::default(),
        }
    }
}

impl AsyncRead for MaskCheck {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = &polled {
            let new = buf.filled().get(before..).unwrap_or_default();
            if !self.headers.follow(new) {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        polled
    }
}

/// Where in its frames a byte stream stands.
#[derive(Debug, Default)]
struct Headers {
    /// Bytes of the header that were seen: 0 is before a frame.
    seen: usize,
    /// Bytes of the header in all, once known.
    len: usize,
    length: u64,
    /// Bytes of payload to come.
    payload: u64,
}

impl Headers {
    /// Follows more bytes; `false` at an unmasked frame.
    fn follow(&mut self, mut bytes: &[u8]) -> bool {
        while let Some((byte, rest)) = bytes.split_first() {
            if self.payload > 0 {
                let skip =
                    usize::try_from(self.payload).map_or(bytes.len(), |n| n.min(bytes.len()));
                self.payload -= skip as u64;
                bytes = bytes.get(skip..).unwrap_or_default();
                continue;
            }
            bytes = rest;
            self.seen += 1;
            match self.seen {
                1 => self.len = 2,
                2 => {
                    if byte & 0x80 == 0 {
                        return false;
                    }
                    let short = byte & 0x7f;
                    let (more, length) = match short {
                        126 => (2, 0),
                        127 => (8, 0),
                        _ => (0, u64::from(short)),
                    };
                    self.length = length;
                    self.len = 2 + more + 4;
                }
                at if at <= self.len - 4 => {
                    self.length = (self.length << 8) | u64::from(*byte);
                }
                _ => {}
            }
            if self.seen > 1 && self.seen == self.len {
                self.payload = self.length;
                self.seen = 0;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize, masked: bool) -> Vec<u8> {
        let mask = masked.then_some([1, 2, 3, 4]);
        let payload = vec![7; len];
        let mut frame = Frame::new(true, OpCode::Text, mask, Payload::Owned(payload));
        let mut buffer = Vec::new();
        frame.write(&mut buffer).to_vec()
    }

    #[test]
    fn headers_are_followed_however_the_bytes_come() {
        let mut stream = Vec::new();
        for len in [0, 1, 125, 126, 300, 65_535, 65_536, 0] {
            stream.extend(frame(len, true));
        }
        for piece in [1, 2, 3, 7, 4_096, stream.len()] {
            let mut headers = Headers::default();
            assert!(stream.chunks(piece).all(|bytes| headers.follow(bytes)));
            assert!(headers.follow(&frame(5, true)));
            assert!(!headers.follow(&frame(5, false)), "pieces of {piece}");
        }
    }
}
