//! A venue as everybody in this process shares it: where it is, how to get there, and what may still
//! be asked of it. All REST calls and connections go through here, and so through one budget.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::HeaderName;
use parking_lot::Mutex;

use super::VenueRow;
use super::budget::{Budget, Budgets, Priority};
use super::endpoints::Endpoints;
use super::net::Net;
use super::protocol::{Call, Complaint, Protocol};
use super::rest::{self, RestError, RestLimits};
use super::ws::{self, WsError, WsLimits, WsReader, WsWriter};
use crate::kernel::types::{Time, VenueId};
use crate::runtime::clock::Clock;

/// The venue's count of the weight that this address used in this minute (Binance; Bybit has none).
static USED_WEIGHT: HeaderName = HeaderName::from_static("x-mbx-used-weight-1m");

/// A REST call without a usable answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// The venue refused.
    #[error("the venue answered HTTP {status}, code {code}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The venue's code; 0 when it gave none.
        code: i64,
        /// The venue's words.
        message: String,
    },
}

/// Shared access to one venue.
#[derive(Debug)]
pub struct Access {
    endpoints: Endpoints,
    net: Net,
    budget: Arc<Mutex<Budget>>,
    clock: Clock,
}

impl Access {
    /// Nothing has been asked yet. Venues that count together spend from the same of `budgets`.
    pub fn new(endpoints: Endpoints, net: Net, clock: Clock, budgets: &Budgets) -> Arc<Self> {
        let limits = VenueRow::of(endpoints.venue()).limits;
        Arc::new(Self {
            endpoints,
            net,
            budget: budgets.of(limits),
            clock,
        })
    }

    /// How the venue speaks.
    pub fn protocol(&self) -> &'static dyn Protocol {
        VenueRow::of(self.venue()).protocol
    }

    /// Which venue.
    pub fn venue(&self) -> VenueId {
        self.endpoints.venue()
    }

    /// Weight used in this window, in parts per million of the limit.
    pub fn weight_used_ppm(&self) -> u64 {
        self.budget.lock().used_ppm(self.clock.now())
    }

    /// The highest use of a window so far, in parts per million of the limit.
    pub fn weight_peak_ppm(&self) -> u64 {
        self.budget.lock().peak_ppm()
    }

    /// Whether the main hosts refused us and the data-only ones are in use.
    pub fn is_substitute(&self) -> bool {
        self.endpoints.active() > 0
    }

    /// Sends a GET once the budget allows it and returns the body of a good answer. A host that
    /// refuses this address altogether is left for the next one.
    pub async fn call(&self, call: &Call, priority: Priority) -> Result<Bytes, CallError> {
        loop {
            self.wait(|budget, now| budget.take_weight(now, call.weight, priority))
                .await;
            let pair = self.endpoints.active();
            let base = self.endpoints.rest(pair);
            let reply = rest::get(&self.net, base, &call.target, RestLimits::default()).await?;
            let now = self.clock.now();
            let used = reply.integer(&USED_WEIGHT);
            if let Some(used) = used.and_then(|used| u32::try_from(used).ok()) {
                self.budget.lock().used(now, used);
            }
            let status = reply.status;
            let (code, message) = match self.protocol().complaint(status, &reply.body) {
                None => return Ok(reply.body),
                Some(Complaint::Refused { code, message }) => (code, message),
                Some(Complaint::Throttled { pause_s }) => {
                    self.throttled(status, reply.retry_after(), pause_s);
                    (0, "too many requests".to_owned())
                }
                Some(Complaint::Blocked) if self.endpoints.fail_over(pair, status) => continue,
                Some(Complaint::Blocked) => (0, "this address is not served".to_owned()),
            };
            return Err(CallError::Refused {
                status,
                code,
                message,
            });
        }
    }

    /// Opens a stream connection once the budget allows it.
    pub async fn stream(
        &self,
        path: &str,
        limits: WsLimits,
    ) -> Result<(WsReader, WsWriter), WsError> {
        loop {
            self.wait(Budget::take_connect).await;
            let pair = self.endpoints.active();
            let base = self.endpoints.ws(pair);
            let (status, retry_after) = match ws::connect(&self.net, base, path, limits).await {
                Err(WsError::Refused {
                    status,
                    retry_after,
                }) => (status, retry_after),
                other => return other,
            };
            // A handshake's refusal has no body to read.
            let refused = match self.protocol().complaint(status, b"") {
                Some(Complaint::Blocked) => !self.endpoints.fail_over(pair, status),
                Some(Complaint::Throttled { pause_s }) => {
                    self.throttled(status, retry_after, pause_s);
                    true
                }
                Some(Complaint::Refused { .. }) | None => true,
            };
            if refused {
                return Err(WsError::Refused {
                    status,
                    retry_after,
                });
            }
        }
    }

    fn throttled(&self, status: u16, retry_after: Option<u64>, pause_s: u64) {
        let now = self.clock.now();
        let until = self.budget.lock().refused(now, retry_after, pause_s);
        tracing::warn!(
            venue = %self.venue(), status, pause_s = until.since(now) / 1_000_000_000,
            "the venue asks for a pause; nothing is sent to it until then"
        );
    }

    /// Waits until `take` gets what it wants from the budget.
    async fn wait(&self, take: impl Fn(&mut Budget, Time) -> Result<(), Time>) {
        wait_for(&self.clock, |now| take(&mut self.budget.lock(), now)).await;
    }
}

/// Tries `take` until it succeeds, sleeping to the times that it names.
pub(super) async fn wait_for(clock: &Clock, mut take: impl FnMut(Time) -> Result<(), Time>) {
    loop {
        let now = clock.now();
        let Err(until) = take(now) else { return };
        // At least a millisecond, which is the timer's grain.
        let pause = u64::try_from(until.since(now)).unwrap_or(0).max(1_000_000);
        tokio::time::sleep(Duration::from_nanos(pause)).await;
    }
}
