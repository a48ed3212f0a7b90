//! A venue as everybody in this process shares it: where it is, how to get there, and what may still
//! be asked of it. All REST calls and connections go through here, and so through one budget.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::HeaderName;
use parking_lot::Mutex;

use super::VenueRow;
use super::binance::answers;
use super::binance::encode::Call;
use super::budget::Budget;
use super::endpoints::Endpoints;
use super::net::Net;
use super::rest::{self, RestError, RestLimits};
use super::ws::{self, WsError, WsLimits, WsReader, WsWriter};
use crate::kernel::types::{Time, VenueId};
use crate::recording::Recorder;
use crate::runtime::clock::Clock;

/// The venue's count of the weight that this address used in this minute.
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
    budget: Mutex<Budget>,
    clock: Clock,
    recorder: Option<Recorder>,
}

impl Access {
    /// Nothing has been asked yet.
    pub fn new(endpoints: Endpoints, net: Net, clock: Clock) -> Arc<Self> {
        Self::recorded(endpoints, net, clock, None)
    }

    /// The same, with all stream frames and depth snapshots recorded as they are received.
    pub fn recorded(
        endpoints: Endpoints,
        net: Net,
        clock: Clock,
        recorder: Option<Recorder>,
    ) -> Arc<Self> {
        let limits = VenueRow::of(endpoints.venue()).limits;
        Arc::new(Self {
            endpoints,
            net,
            budget: Mutex::new(Budget::new(limits)),
            clock,
            recorder,
        })
    }

    /// Which venue.
    pub fn venue(&self) -> VenueId {
        self.endpoints.venue()
    }

    /// Weight used in this minute, in parts per million of the limit.
    pub fn weight_used_ppm(&self) -> u64 {
        self.budget.lock().used_ppm(self.clock.now())
    }

    /// Sends a GET once the budget allows it and returns the body of a 200 answer. A host that
    /// refuses this address altogether is left for the next one.
    pub async fn call(&self, call: &Call) -> Result<Bytes, CallError> {
        loop {
            self.wait(|budget, now| budget.take_weight(now, call.weight))
                .await;
            let pair = self.endpoints.active();
            let base = self.endpoints.rest(pair);
            let reply = rest::get(&self.net, base, &call.target, RestLimits::default()).await?;
            let now = self.clock.now();
            let used = reply.integer(&USED_WEIGHT);
            if let Some(used) = used.and_then(|used| u32::try_from(used).ok()) {
                self.budget.lock().used(now, used);
            }
            if reply.status == 200 {
                if let (Some(recorder), Some(symbol)) = (&self.recorder, &call.snapshot_of) {
                    recorder.snapshot(self.venue(), symbol, now, &reply.body);
                }
                return Ok(reply.body);
            }
            self.throttled(reply.status, reply.retry_after());
            if self.endpoints.fail_over(pair, reply.status) {
                continue;
            }
            let (code, message) = answers::decode_complaint(&reply.body).unwrap_or_default();
            return Err(CallError::Refused {
                status: reply.status,
                code,
                message,
            });
        }
    }

    /// Opens the stream connection once the budget allows it.
    pub async fn stream(
        &self,
        path: &str,
        limits: WsLimits,
    ) -> Result<(WsReader, WsWriter), WsError> {
        loop {
            self.wait(Budget::take_connect).await;
            let pair = self.endpoints.active();
            let base = self.endpoints.ws(pair);
            match ws::connect(&self.net, base, path, limits).await {
                Err(WsError::Refused {
                    status,
                    retry_after,
                }) => {
                    self.throttled(status, retry_after);
                    if !self.endpoints.fail_over(pair, status) {
                        return Err(WsError::Refused {
                            status,
                            retry_after,
                        });
                    }
                }
                Ok((mut reader, writer)) => {
                    if let Some(recorder) = &self.recorder {
                        recorder.gap(self.venue(), self.clock.now());
                        reader.record(recorder.clone(), self.venue(), self.clock.clone());
                    }
                    return Ok((reader, writer));
                }
                other => return other,
            }
        }
    }

    fn throttled(&self, status: u16, retry_after: Option<u64>) {
        if matches!(status, 418 | 429) {
            let now = self.clock.now();
            let until = self.budget.lock().refused(now, status, retry_after);
            tracing::warn!(
                venue = %self.venue(), status, pause_s = until.since(now) / 1_000_000_000,
                "the venue asks for a pause; nothing is sent to it until then"
            );
        }
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
