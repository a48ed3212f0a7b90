//! What a handler answers, and how it becomes an HTTP response.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;

use crate::json::Json;

/// What an answer consists of.
#[derive(Debug)]
pub(crate) enum Content {
    /// All of it.
    Whole(Vec<u8>),
    /// Pieces as they come; the channel bounds how many wait.
    Pieces(mpsc::Receiver<Bytes>),
}

/// A response's body as hyper takes it.
#[derive(Debug)]
pub(crate) enum Payload {
    Whole(Full<Bytes>),
    Pieces(mpsc::Receiver<Bytes>),
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
        Self {
            status: StatusCode::OK,
            content_type: "application/json",
            body: Content::Whole(json.into_bytes()),
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
            Content::Pieces(_) => panic!("the answer goes on"),
        }
    }

    /// As HTTP. Nothing here may be cached or guessed to be another type.
    pub(crate) fn into_response(self) -> Response<Payload> {
        let payload = match self.body {
            Content::Whole(bytes) => Payload::Whole(Full::new(Bytes::from(bytes))),
            Content::Pieces(pieces) => Payload::Pieces(pieces),
        };
        let mut response = Response::new(payload);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some((name, value)) = self.header {
            headers.insert(name, value);
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
