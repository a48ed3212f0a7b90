//! What a handler answers, and how it becomes an HTTP response.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    SEC_WEBSOCKET_ACCEPT, UPGRADE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;

use crate::json::Json;

/// Answers are compressed from this size: smaller ones fit a packet or two as they are.
const COMPRESSED_FROM: usize = 2_048;

const JSON: &str = "application/json";
/// What nearly every answer carries: cheaper to copy than to put together.
static OF_JSON: LazyLock<HeaderMap> = LazyLock::new(|| usual(JSON));

/// The headers of every answer of a kind. Nothing here may be cached or guessed to be another type.
fn usual(content_type: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !content_type.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
}

/// With gzip; quickly for an answer that is read once, well for what is made once.
pub(crate) fn compress(bytes: &[u8], how: Compression) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), how);
    out.write_all(bytes)
        .and_then(|()| out.finish())
        .expect("writing to memory cannot fail")
}

/// What one of our own files holds.
fn expand(gzip: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    GzDecoder::new(gzip)
        .read_to_end(&mut out)
        .expect("our own files are whole");
    out
}

/// What an answer consists of.
#[derive(Debug)]
pub(crate) enum Content {
    /// All of it.
    Whole(Bytes),
    /// All of it, compressed with gzip; whoever does not take that gets it plain.
    Gzip(&'static [u8]),
    /// Pieces as they come; the channel bounds how many wait.
    Pieces(mpsc::Receiver<Bytes>),
    /// Nothing: the connection goes on as a WebSocket, with this value in `Sec-WebSocket-Accept`.
    Switch(HeaderValue),
}

impl Content {
    /// All of it, if it is complete.
    pub(crate) fn into_whole(self) -> Option<Bytes> {
        match self {
            Self::Whole(bytes) => Some(bytes),
            Self::Gzip(_) | Self::Pieces(_) | Self::Switch(_) => None,
        }
    }
}

/// A response's body as hyper takes it.
#[derive(Debug)]
pub(crate) enum Payload {
    Whole(Full<Bytes>),
    Pieces(mpsc::Receiver<Bytes>),
}

impl Payload {
    /// Whether nothing comes after what there is.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Pieces(pieces) => pieces.poll_recv(cx).map(|p| p.map(|p| Ok(Frame::data(p)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

/// An answer before it is a response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) body: Content,
    /// One more header: `Location`, `Allow`, `Retry-After`.
    pub(crate) header: Option<(HeaderName, HeaderValue)>,
    /// Whether the connection ends after this answer.
    pub(crate) close: bool,
}

impl Reply {
    /// 200 with a JSON document.
    pub(crate) fn json(json: Json) -> Self {
        Self::document(json.into_bytes().into())
    }

    /// The same of its text.
    pub(crate) fn document(json: Bytes) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: JSON,
            body: Content::Whole(json),
            header: None,
            close: false,
        }
    }

    /// 204, without a body.
    pub(crate) fn none() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            content_type: "",
            body: Content::Whole(Bytes::new()),
            header: None,
            close: false,
        }
    }

    /// 200 with events that come one by one; none for a client that only asks.
    pub(crate) fn events(pieces: Option<mpsc::Receiver<Bytes>>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: "text/event-stream",
            body: pieces.map_or(Content::Whole(Bytes::new()), Content::Pieces),
            header: None,
            close: true,
        }
    }

    /// 101: the connection goes on as a WebSocket.
    pub(crate) fn switch(accept: HeaderValue) -> Self {
        Self {
            status: StatusCode::SWITCHING_PROTOCOLS,
            content_type: "",
            body: Content::Switch(accept),
            header: None,
            close: false,
        }
    }

    /// The same with another status.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The body of an answer that is complete.
    #[cfg(test)]
    pub(crate) fn whole(&self) -> &[u8] {
        match &self.body {
            Content::Whole(bytes) => bytes,
            Content::Gzip(_) | Content::Pieces(_) | Content::Switch(_) => {
                panic!("the answer is not at hand")
            }
        }
    }

    /// As HTTP, compressed if the caller takes it and it is worth it.
    pub(crate) fn into_response(self, gzip: bool) -> Response<Payload> {
        let whole = |bytes: Bytes| Payload::Whole(Full::new(bytes));
        let (payload, compressed) = match self.body {
            Content::Whole(bytes) if bytes.len() < COMPRESSED_FROM => (whole(bytes), None),
            Content::Whole(bytes) if gzip => (
                whole(compress(&bytes, Compression::fast()).into()),
                Some(true),
            ),
            Content::Whole(bytes) => (whole(bytes), Some(false)),
            Content::Gzip(bytes) if gzip => (whole(Bytes::from_static(bytes)), Some(true)),
            Content::Gzip(bytes) => (whole(expand(bytes).into()), Some(false)),
            Content::Pieces(pieces) => (Payload::Pieces(pieces), None),
            Content::Switch(accept) => return switch(accept),
        };
        let mut response = Response::new(payload);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if self.content_type == JSON {
            headers.clone_from(&OF_JSON);
        } else {
            *headers = usual(self.content_type);
        }
        if let Some(compressed) = compressed {
            headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
            if compressed {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        if let Some((name, value)) = self.header {
            headers.insert(name, value);
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

fn switch(accept: HeaderValue) -> Response<Payload> {
    let mut response = Response::new(Payload::Whole(Full::default()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}
