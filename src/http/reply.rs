//! What a handler answers, and how it becomes an HTTP response.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use crate::json::Json;

/// An answer before it is a response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
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
            body: json.into_bytes(),
            header: None,
            close: false,
        }
    }

    /// The same with another status.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// As HTTP. Nothing here may be cached or guessed to be another type.
    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
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
