//! The writing half of a WebSocket: one writer at a time, and nothing behind a frame that is half-way out.

use std::sync::Arc;
use std::time::Duration;

use fastwebsockets::{Frame, OpCode, Payload, WebSocketWrite};
use tokio::io::WriteHalf;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::error::io;
use super::{CONTROL_MAX, Socket, WsError};

/// The writing half. Cheap to clone.
#[derive(Clone)]
pub struct WsWriter {
    shared: Arc<Mutex<Writing>>,
    pub(super) limit: Duration,
}

struct Writing {
    socket: WebSocketWrite<WriteHalf<Socket>>,
    /// A frame is half-way out, or the connection failed.
    broken: bool,
    /// Our close went out; nothing may follow it.
    closed: bool,
}

impl std::fmt::Debug for WsWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WsWriter").finish_non_exhaustive()
    }
}

impl WsWriter {
    pub(super) fn new(socket: WebSocketWrite<WriteHalf<Socket>>, limit: Duration) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Writing {
                socket,
                broken: false,
                closed: false,
            })),
            limit,
        }
    }

    /// Sends a text message.
    pub async fn text(&self, text: &str) -> Result<(), WsError> {
        self.send(Frame::text(Payload::Borrowed(text.as_bytes())))
            .await
    }

    /// Sends a binary message.
    pub async fn binary(&self, bytes: &[u8]) -> Result<(), WsError> {
        self.send(Frame::binary(Payload::Borrowed(bytes))).await
    }

    /// Sends a ping.
    pub async fn ping(&self, payload: &[u8]) -> Result<(), WsError> {
        let payload = payload.get(..CONTROL_MAX).unwrap_or(payload).to_vec();
        self.send(Frame::new(true, OpCode::Ping, None, payload.into()))
            .await
    }

    /// Sends a close, once; the reader then gets the peer's.
    pub async fn close(&self, code: u16, reason: &str) -> Result<(), WsError> {
        let reason = reason.get(..CONTROL_MAX - 2).unwrap_or(reason);
        self.send(Frame::close(code, reason.as_bytes())).await
    }

    pub(super) async fn pong(&self, payload: Vec<u8>) -> Result<(), WsError> {
        self.send(Frame::pong(payload.into())).await
    }

    async fn send(&self, frame: Frame<'_>) -> Result<(), WsError> {
        self.send_all(std::iter::once(frame)).await
    }

    /// Sends text messages, one behind the other, before the socket is flushed.
    pub async fn texts<'a>(
        &self,
        texts: impl Iterator<Item = &'a str> + Send,
    ) -> Result<(), WsError> {
        let frame = |text: &'a str| Frame::text(Payload::Borrowed(text.as_bytes()));
        self.send_all(texts.map(frame)).await
    }

    async fn send_all<'a>(&self, frames: impl Iterator<Item = Frame<'a>>) -> Result<(), WsError> {
        let work = async {
            let mut writing = self.shared.lock().await;
            if writing.broken || writing.closed {
                return Err(WsError::Closed);
            }
            // Stays set if this future is dropped or fails before the frames are out.
            writing.broken = true;
            let mut closing = false;
            for frame in frames {
                closing = frame.opcode == OpCode::Close;
                writing.socket.write_frame(frame).await.map_err(io)?;
            }
            writing.socket.flush().await.map_err(io)?;
            writing.broken = false;
            writing.closed = closing;
            Ok(())
        };
        timeout(self.limit, work)
            .await
            .unwrap_or(Err(WsError::Timeout("write")))
    }
}
