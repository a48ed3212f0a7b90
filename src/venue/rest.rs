//! A small HTTP/1.1 client: one request on one connection, with an end in time and size.
//!
//! Public REST calls are rare here (instruments, snapshots, history), so a connection each costs
//! little and there is no idle connection that could be stale. Nothing is retried at this level.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::net::{Net, NetError};
use super::url::BaseUrl;

/// How others see us.
pub(crate) const AGENT: &str = concat!("hean/", env!("CARGO_PKG_VERSION"));

/// Ends of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestLimits {
    /// Longest body, in bytes.
    pub body_max: usize,
    /// From the look-up of the name to the last byte.
    pub total: Duration,
}

impl Default for RestLimits {
    fn default() -> Self {
        Self {
            body_max: 16 << 20,
            total: Duration::from_secs(20),
        }
    }
}

/// A whole answer, of whatever status.
#[derive(Debug, Clone)]
pub struct RestReply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl RestReply {
    /// A header that holds an integer.
    pub fn integer(&self, name: &HeaderName) -> Option<u64> {
        self.headers.get(name)?.to_str().ok()?.trim().parse().ok()
    }

    /// `Retry-After` in seconds.
    pub fn retry_after(&self) -> Option<u64> {
        self.integer(&RETRY_AFTER)
    }
}

/// No answer.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// No connection.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The peer broke HTTP, or the connection.
    #[error("HTTP with {0}: {1}")]
    Http(String, hyper::Error),
    /// The body could not be read, or is longer than allowed.
    #[error("HTTP body from {0}: {1}")]
    Body(String, String),
    /// The target is no valid URL path.
    #[error("{0:?} is no URL path")]
    Target(String),
    /// It took too long.
    #[error("{0} did not answer within {1:?}")]
    Timeout(String, Duration),
}

/// Sends `GET target` to `base` and reads the whole answer.
pub async fn get(
    net: &Net,
    base: &BaseUrl,
    target: &str,
    limits: RestLimits,
) -> Result<RestReply, RestError> {
    timeout(limits.total, exchange(net, base, target, None, limits))
        .await
        .unwrap_or_else(|_| Err(RestError::Timeout(base.authority(), limits.total)))
}

/// Sends `POST target` with a JSON body to `base` and reads the whole answer.
pub async fn post(
    net: &Net,
    base: &BaseUrl,
    target: &str,
    body: Bytes,
    limits: RestLimits,
) -> Result<RestReply, RestError> {
    timeout(
        limits.total,
        exchange(net, base, target, Some(body), limits),
    )
    .await
    .unwrap_or_else(|_| Err(RestError::Timeout(base.authority(), limits.total)))
}

async fn exchange(
    net: &Net,
    base: &BaseUrl,
    target: &str,
    body: Option<Bytes>,
    limits: RestLimits,
) -> Result<RestReply, RestError> {
    let http = |e| RestError::Http(base.authority(), e);
    let target = base.target(target);
    let mut request = Request::builder()
        .uri(&target)
        .header(HOST, base.authority())
        .header(USER_AGENT, AGENT);
    if body.is_some() {
        request = request
            .method(Method::POST)
            .header(CONTENT_TYPE, "application/json");
    }
    let request = request
        .body(Full::new(body.unwrap_or_default()))
        .map_err(|_| RestError::Target(target))?;
    let stream = net.connect(base).await?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_headers(128)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(http)?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(http)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, limits.body_max)
            .collect()
            .await
            .map_err(|e| RestError::Body(base.authority(), e.to_string()))?;
        Ok(RestReply {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_bytes(),
        })
    };
    drive(answer, connection).await
}

/// Runs `work`, which needs `connection` to be polled, without a task of its own.
pub(crate) async fn drive<T>(
    work: impl Future<Output = T>,
    connection: impl Future<Output = Result<(), hyper::Error>>,
) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        // An error of the connection also reaches `work`.
        ended = connection => if let Err(e) = ended {
            tracing::debug!(error = %e, "HTTP connection ended");
        },
    }
    work.await
}
