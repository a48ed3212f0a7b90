//! What can go wrong with a WebSocket, and the close code that says so.

use fastwebsockets::WebSocketError;

use super::WsLimits;
use crate::venue::net::NetError;

/// Why a connection did not come to be, or ended.
#[derive(Debug, thiserror::Error)]
pub enum WsError {
    /// No connection.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The server answered the handshake with another status than 101.
    #[error("the server refused the WebSocket with HTTP {status}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// `Retry-After` in seconds.
        retry_after: Option<u64>,
    },
    /// The handshake is not one.
    #[error("WebSocket handshake: {0}")]
    Handshake(&'static str),
    /// The origin of a browser's request is not allowed.
    #[error("WebSocket handshake: origin {0:?} is not allowed")]
    Origin(String),
    /// HTTP failed before the WebSocket began.
    #[error("WebSocket handshake: {0}")]
    Http(#[from] hyper::Error),
    /// It took too long.
    #[error("WebSocket {0} took too long")]
    Timeout(&'static str),
    /// The peer broke the protocol.
    #[error("WebSocket protocol: {0}")]
    Protocol(&'static str),
    /// The peer sent more than allowed.
    #[error("WebSocket message longer than {0} bytes")]
    TooLarge(usize),
    /// The peer sends more frames than anybody needs.
    #[error("too many WebSocket frames")]
    Flood,
    /// The connection broke.
    #[error("WebSocket connection: {0}")]
    Io(std::io::Error),
    /// The connection had ended before.
    #[error("the WebSocket is closed")]
    Closed,
}

impl WsError {
    /// The close code that tells the peer, where it did something wrong.
    pub fn close_code(&self) -> Option<u16> {
        match self {
            Self::Protocol("text that is not UTF-8") => Some(1007),
            Self::Protocol(_) => Some(1002),
            Self::TooLarge(_) => Some(1009),
            Self::Flood => Some(1008),
            _ => None,
        }
    }
}

impl WsLimits {
    pub(super) fn error(self, error: WebSocketError) -> WsError {
        match error {
            WebSocketError::IoError(e) => WsError::Io(e),
            WebSocketError::UnexpectedEOF => WsError::Io(std::io::ErrorKind::UnexpectedEof.into()),
            WebSocketError::FrameTooLarge => WsError::TooLarge(self.frame_max),
            WebSocketError::InvalidUTF8 => WsError::Protocol("text that is not UTF-8"),
            WebSocketError::ReservedBitsNotZero => WsError::Protocol("reserved bits are set"),
            WebSocketError::ControlFrameFragmented => {
                WsError::Protocol("a fragmented control frame")
            }
            WebSocketError::PingFrameTooLarge => {
                WsError::Protocol("a control frame beyond 125 bytes")
            }
            WebSocketError::ConnectionClosed => WsError::Closed,
            _ => WsError::Protocol("a frame of no known type"),
        }
    }
}

pub(super) fn io(error: WebSocketError) -> WsError {
    match error {
        WebSocketError::IoError(e) => WsError::Io(e),
        WebSocketError::ConnectionClosed => WsError::Closed,
        other => WsError::Io(std::io::Error::other(other)),
    }
}
