//! The task that makes spans and sends them. It takes marks while a request is under way, so that a slow
//! collector costs spans, never memory: what waits is bounded, and what does not fit is dropped and counted.
//!
//! By the rules of OTLP/HTTP: 429, 502, 503 and 504 are tried again, after `Retry-After` or with growing pauses;
//! other refusals are not.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Bytes;
use metrics::counter;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::Sampler;
use super::otlp;
use super::probe::Mark;
use super::spans::{Span, Traces};
use crate::kernel::snapshot::Published;
use crate::runtime::clock::Clock;
use crate::runtime::mailbox::TaskQueue;
use crate::venue::backoff::Backoff;
use crate::venue::net::Net;
use crate::venue::rest::{self, RestLimits};
use crate::venue::url::BaseUrl;

/// Where the collector takes traces, below its base address.
const TARGET: &str = "/v1/traces";
/// Spans of one request.
const BATCH_MAX: usize = 512;
/// Spans that wait.
const WAITING_MAX: usize = 8_192;
/// How long a span waits for others.
const FLUSH: Duration = Duration::from_secs(1);
/// A collector that takes longer is not there.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// First and longest pause before another attempt.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// After so long a batch is given up.
const BATCH_AGE_MAX: Duration = Duration::from_mins(1);
/// The last batches, at the end of the process.
const LAST: Duration = Duration::from_millis(500);
/// Longest answer; only its `partialSuccess` is of interest.
const ANSWER_MAX: usize = 64 << 10;

/// Where spans go, and what they are made from.
#[derive(Debug)]
pub struct ExportConfig {
    /// The collector's base address.
    pub endpoint: BaseUrl,
    /// Which orders are traced.
    pub sampler: Sampler,
    /// Names of instruments and strategies.
    pub published: Arc<Published>,
    /// The way to it.
    pub net: Net,
    /// Says when a trace is old.
    pub clock: Clock,
    /// Which of several hean this is.
    pub instance: String,
}

/// Why spans were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// No answer, or one that says "later", for too long.
    Unreachable,
    /// Refused.
    Refused,
}

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Attempt {
    /// Taken, but for so many spans.
    Taken { rejected: u64 },
    /// Later, perhaps; after the pause that the collector asked for.
    Later {
        why: String,
        pause: Option<Duration>,
    },
    /// Never.
    Refused(String),
}

type Sending = Pin<Box<dyn Future<Output = (usize, Result<u64, Loss>)> + Send>>;

/// What sends a batch, again and again if need be.
#[derive(Debug, Clone)]
struct Sender {
    net: Net,
    endpoint: BaseUrl,
    resource: Arc<Vec<u8>>,
    seed: u64,
    /// Whether the log says that spans are not taken.
    told: Arc<AtomicBool>,
}

/// Runs until `stop`, and then as long as the last spans take, half a second at most.
pub async fn run(
    config: ExportConfig,
    marks: Arc<TaskQueue<Mark>>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), String> {
    let sender = Sender {
        seed: config.clock.now().0.unsigned_abs(),
        resource: Arc::new(otlp::resource(&config.instance)),
        net: config.net,
        endpoint: config.endpoint,
        told: Arc::default(),
    };
    let mut traces = Traces::new(config.sampler, config.published);
    let mut waiting = Waiting::default();
    let mut tick = interval(FLUSH);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sending: Option<Sending> = None;
    let mut lost_marks = 0;
    loop {
        let due = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            (count, outcome) = under_way(&mut sending) => {
                sending = None;
                account(count, outcome);
                waiting.spans.len() >= BATCH_MAX
            }
            mark = marks.next() => {
                traces.take(mark, &mut waiting.made);
                waiting.settle();
                waiting.spans.len() >= BATCH_MAX
            }
            _ = tick.tick() => {
                traces.close(Some(config.clock.now()), &mut waiting.made);
                waiting.settle();
                let lost = marks.refused();
                dropped("queue", lost - lost_marks);
                lost_marks = lost;
                true
            }
        };
        if due && sending.is_none() && !waiting.spans.is_empty() {
            sending = Some(Box::pin(sender.clone().deliver(waiting.batch())));
        }
    }
    while let Some(mark) = marks.try_next() {
        traces.take(mark, &mut waiting.made);
    }
    traces.close(None, &mut waiting.made);
    waiting.settle();
    let last = async {
        if let Some(sending) = sending.as_mut() {
            let (count, outcome) = sending.await;
            account(count, outcome);
        }
        while !waiting.spans.is_empty() {
            let (count, outcome) = sender.clone().deliver(waiting.batch()).await;
            account(count, outcome);
        }
    };
    if timeout(LAST, last).await.is_err() {
        tracing::info!("the last spans did not reach the collector in time");
    }
    Ok(())
}

/// Spans on their way to a batch.
#[derive(Debug, Default)]
struct Waiting {
    /// Just made.
    made: Vec<Span>,
    spans: VecDeque<Span>,
}

impl Waiting {
    /// Takes in what was just made, as far as there is room.
    fn settle(&mut self) {
        let room = WAITING_MAX.saturating_sub(self.spans.len());
        let surplus = self.made.len().saturating_sub(room);
        dropped("queue", surplus as u64);
        self.made.truncate(room);
        self.spans.extend(self.made.drain(..));
    }

    fn batch(&mut self) -> Vec<Span> {
        let count = self.spans.len().min(BATCH_MAX);
        self.spans.drain(..count).collect()
    }
}

async fn under_way(sending: &mut Option<Sending>) -> (usize, Result<u64, Loss>) {
    match sending {
        Some(sending) => sending.await,
        None => std::future::pending().await,
    }
}

fn account(count: usize, outcome: Result<u64, Loss>) {
    let count = count as u64;
    match outcome {
        Ok(rejected) => {
            let taken = count.saturating_sub(rejected);
            counter!("hean_trace_spans_sent_total").increment(taken);
            dropped("refused", rejected.min(count));
        }
        Err(Loss::Unreachable) => dropped("unreachable", count),
        Err(Loss::Refused) => dropped("refused", count),
    }
}

fn dropped(reason: &'static str, count: u64) {
    if count > 0 {
        counter!("hean_trace_dropped_total", "reason" => reason).increment(count);
    }
}

impl Sender {
    /// Tries until the batch is taken, refused, or too old. How many spans it had, and how many were not taken.
    async fn deliver(self, batch: Vec<Span>) -> (usize, Result<u64, Loss>) {
        let body = Bytes::from(otlp::request(&self.resource, &batch));
        let mut backoff = Backoff::new(PAUSE.0, PAUSE.1, self.seed);
        let attempts = async {
            loop {
                let attempt = self.attempt(body.clone()).await;
                self.say(&attempt);
                match attempt {
                    Attempt::Taken { rejected } => return Ok(rejected),
                    Attempt::Refused(_) => return Err(Loss::Refused),
                    Attempt::Later { pause, .. } => {
                        sleep(pause.unwrap_or_else(|| backoff.delay())).await;
                    }
                }
            }
        };
        let outcome = timeout(BATCH_AGE_MAX, attempts).await;
        (batch.len(), outcome.unwrap_or(Err(Loss::Unreachable)))
    }

    /// One line when the collector goes, and one when it is back.
    fn say(&self, attempt: &Attempt) {
        let endpoint = &self.endpoint;
        match attempt {
            Attempt::Taken { .. } => {
                if self.told.swap(false, Ordering::Relaxed) {
                    tracing::info!(%endpoint, "the collector of traces takes spans again");
                }
            }
            Attempt::Later { why, .. } | Attempt::Refused(why) => {
                if !self.told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        %endpoint, why,
                        "the collector of traces does not take spans: what does not fit the queue is dropped and \
                         counted; trading is not affected"
                    );
                }
            }
        }
    }

    async fn attempt(&self, body: Bytes) -> Attempt {
        let limits = RestLimits {
            body_max: ANSWER_MAX,
            total: REQUEST_MAX,
        };
        let reply = match rest::post(&self.net, &self.endpoint, TARGET, body, limits).await {
            Ok(reply) => reply,
            Err(error) => {
                let why = error.to_string();
                return Attempt::Later { why, pause: None };
            }
        };
        match reply.status {
            200..300 => Attempt::Taken {
                rejected: rejected(&reply.body),
            },
            429 | 502 | 503 | 504 => Attempt::Later {
                why: format!("status {}", reply.status),
                pause: reply.retry_after().map(Duration::from_secs),
            },
            status => {
                let body = String::from_utf8_lossy(&reply.body);
                let body: String = body.chars().take(200).collect();
                Attempt::Refused(format!("status {status}: {body}"))
            }
        }
    }
}

/// `partialSuccess.rejectedSpans`, which is a 64-bit integer: text, or a number from those who are lenient.
fn rejected(body: &[u8]) -> u64 {
    let answer: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let count = &answer["partialSuccess"]["rejectedSpans"];
    let text = count.as_str().and_then(|text| text.parse().ok());
    text.or_else(|| count.as_u64()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_collector_leaves_out_is_read() {
        for (body, count) in [
            ("", 0),
            ("{}", 0),
            ("no JSON", 0),
            (r#"{"partialSuccess":{"rejectedSpans":"3"}}"#, 3),
            (
                r#"{"partialSuccess":{"rejectedSpans":4,"errorMessage":"x"}}"#,
                4,
            ),
            (r#"{"partialSuccess":{}}"#, 0),
        ] {
            assert_eq!(rejected(body.as_bytes()), count, "{body}");
        }
    }
}
