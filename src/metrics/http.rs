//! Metrics of the API: handles made once, so that a request costs an increment and no look-up.

use std::sync::OnceLock;

use hyper::StatusCode;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::http::ROUTES;

/// Statuses that the API answers with; every other one counts as `other`.
const STATUSES: &[(u16, &str)] = &[
    (101, "101"),
    (200, "200"),
    (201, "201"),
    (202, "202"),
    (204, "204"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (406, "406"),
    (408, "408"),
    (409, "409"),
    (413, "413"),
    (415, "415"),
    (422, "422"),
    (426, "426"),
    (429, "429"),
    (500, "500"),
    (503, "503"),
];

/// Handles of the API's metrics.
pub(crate) struct HttpMetrics {
    /// One per row of [`ROUTES`], and a last one for requests that fit none.
    routes: Vec<RouteMetrics>,
    connections: Gauge,
}

struct RouteMetrics {
    label: String,
    seconds: Histogram,
    /// One per row of [`STATUSES`] and a last one for others; made when first counted.
    statuses: Vec<OnceLock<Counter>>,
}

/// An open connection; counted until it is dropped.
pub(crate) struct Connection(Gauge);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl HttpMetrics {
    /// Handles of the installed recorder.
    pub(crate) fn new() -> Self {
        let labels = ROUTES
            .iter()
            .map(|route| format!("{} {}", route.method, route.path))
            .chain(["none".to_owned()]);
        Self {
            routes: labels
                .map(|label| RouteMetrics {
                    seconds: histogram!("hean_http_request_seconds", "route" => label.clone()),
                    statuses: vec![OnceLock::new(); STATUSES.len() + 1],
                    label,
                })
                .collect(),
            connections: gauge!("hean_http_connections"),
        }
    }

    /// Counts a connection for as long as the result lives.
    pub(crate) fn connection(&self) -> Connection {
        self.connections.increment(1.0);
        Connection(self.connections.clone())
    }

    /// Counts a connection that finds no place.
    pub(crate) fn turned_away(why: &'static str) {
        counter!("hean_http_turned_away_total", "reason" => why).increment(1);
    }

    /// Counts an answered request; `route` is a row of [`ROUTES`].
    pub(crate) fn request(&self, route: Option<usize>, status: StatusCode, took_ns: i64) {
        let none = self.routes.len() - 1;
        let metrics = &self.routes[route.unwrap_or(none).min(none)];
        let status = STATUSES
            .iter()
            .position(|(code, _)| *code == status.as_u16());
        let name = status.map_or("other", |at| STATUSES[at].1);
        metrics.statuses[status.unwrap_or(STATUSES.len())]
            .get_or_init(|| {
                let route = metrics.label.clone();
                counter!("hean_http_requests_total", "route" => route, "status" => name)
            })
            .increment(1);
        metrics.seconds.record(took_ns as f64 / 1e9);
    }
}

impl std::fmt::Debug for HttpMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpMetrics").finish_non_exhaustive()
    }
}
