//! REST jobs beside a session: depth snapshots, candle history, and probes of silent instruments.
//!
//! One job of a kind at a time, a few calls at once, back-off between repetitions. Jobs only bring
//! data; the session delivers it, so what an ended session asked for dies with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Shared;
use crate::kernel::event::{History, MarketData, MarketEvent};
use crate::kernel::types::{Interval, MINUTE, Time};
use crate::venue::access::CallError;
use crate::venue::backoff::Backoff;
use crate::venue::budget::Priority;
use crate::venue::decode_error::DecodeError;

/// Calls under way at once.
const CALLS_MAX: usize = 4;
/// A wish that comes this long after the last one for the same thing is a new matter.
const FORGET: i64 = MINUTE;

/// What to fetch, for the instrument of this index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Job {
    /// A depth snapshot for the kernel.
    Snapshot(usize),
    /// Candles for the kernel.
    History(usize, Interval),
    /// The update id of the venue's book.
    Probe(usize),
}

/// What a job brought.
#[derive(Debug)]
pub(super) enum Fetched {
    /// For the kernel, from the job of this instrument.
    Event(usize, MarketEvent),
    /// Nothing to do: the job is repeated, or found nothing amiss.
    Failed,
    /// The venue did not answer a probe.
    ProbeFailed,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("unreadable answer: {0}")]
    Decode(#[from] DecodeError),
    #[error("the job failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

enum Found {
    Event(MarketEvent),
    UpdateId(u64),
}

struct Attempts {
    pending: bool,
    asked: Time,
    backoff: Backoff,
}

/// The jobs of the running session.
pub(super) struct Fetcher {
    shared: Arc<Shared>,
    tasks: JoinSet<(Job, Result<Found, FetchError>)>,
    attempts: BTreeMap<Job, Attempts>,
    calls: Arc<Semaphore>,
    /// By instrument: an update id of the venue that our stream had not reached when probed.
    suspects: Vec<Option<(u64, Time)>>,
    seed: u64,
}

impl Fetcher {
    pub(super) fn new(shared: Arc<Shared>, seed: u64) -> Self {
        let instruments = shared.instruments.len();
        Self {
            shared,
            tasks: JoinSet::new(),
            attempts: BTreeMap::new(),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            suspects: vec![None; instruments],
            seed,
        }
    }

    /// A session is subscribed: snapshots first, then history.
    pub(super) fn start(&mut self) {
        self.stop();
        for index in 0..self.shared.instruments.len() {
            self.request(Job::Snapshot(index));
        }
        let shared = Arc::clone(&self.shared);
        for index in 0..shared.instruments.len() {
            let protocol = shared.config.access.protocol();
            let known = shared.config.intervals.iter();
            for interval in known.filter(|i| protocol.has_candles(**i)) {
                self.request(Job::History(index, *interval));
            }
        }
    }

    /// The session is over: forget everything.
    pub(super) fn stop(&mut self) {
        self.tasks = JoinSet::new();
        self.attempts.clear();
        self.suspects.fill(None);
    }

    /// Starts a job, unless it is under way: at once if it is a new matter, else after a delay.
    pub(super) fn request(&mut self, job: Job) {
        let now = self.shared.clock.now();
        let (first, max) = self.shared.config.refetch;
        self.seed = self.seed.wrapping_add(1);
        let attempts = self.attempts.entry(job).or_insert_with(|| Attempts {
            pending: false,
            asked: Time(i64::MIN),
            backoff: Backoff::new(first, max, self.seed),
        });
        if attempts.pending {
            return;
        }
        let delay = if now.since(attempts.asked) > FORGET {
            attempts.backoff.reset();
            Duration::ZERO
        } else {
            attempts.backoff.delay()
        };
        attempts.pending = true;
        attempts.asked = now.plus(super::nanos(delay));
        let (shared, calls) = (Arc::clone(&self.shared), Arc::clone(&self.calls));
        self.tasks.spawn(async move {
            sleep(delay).await;
            // The semaphore is never closed.
            let _permit = calls.acquire().await;
            (job, fetch(&shared, job).await)
        });
    }

    /// The next thing that a job brings; waits while there is none. Cancel-safe.
    pub(super) async fn next(&mut self) -> Fetched {
        let Some(done) = self.tasks.join_next().await else {
            return std::future::pending().await;
        };
        let (job, result) = match done {
            Ok(done) => done,
            Err(e) => {
                // A panic, or an abort by `stop`, which leaves nobody to ask again.
                tracing::error!(error = %FetchError::from(e), "a REST job failed");
                return Fetched::Failed;
            }
        };
        if let Some(attempts) = self.attempts.get_mut(&job) {
            attempts.pending = false;
        }
        match (job, result) {
            (Job::Snapshot(index) | Job::History(index, _), Ok(Found::Event(event))) => {
                Fetched::Event(index, event)
            }
            (Job::Probe(index), Ok(Found::UpdateId(id))) => {
                if let Some(suspect) = self.suspects.get_mut(index) {
                    *suspect = Some((id, self.shared.clock.now()));
                }
                Fetched::Failed
            }
            (Job::Probe(_), Err(error)) => {
                self.complain(job, &error);
                Fetched::ProbeFailed
            }
            (_, Err(error)) => {
                self.complain(job, &error);
                self.request(job);
                Fetched::Failed
            }
            (_, Ok(_)) => Fetched::Failed,
        }
    }

    /// Whether the stream, which has come to `seen`, missed what a probe found: then `grace`
    /// nanoseconds were not enough for the update to arrive.
    pub(super) fn missed(&mut self, index: usize, seen: u64, grace: i64) -> bool {
        let Some(slot) = self.suspects.get_mut(index) else {
            return false;
        };
        let Some((id, since)) = *slot else {
            return false;
        };
        if seen >= id {
            *slot = None;
        }
        seen < id && self.shared.clock.now().since(since) >= grace
    }

    fn complain(&self, job: Job, error: &FetchError) {
        let (Job::Snapshot(index) | Job::History(index, _) | Job::Probe(index)) = job;
        let what = match job {
            Job::Snapshot(_) => "depth snapshot",
            Job::History(..) => "candles",
            Job::Probe(_) => "probe",
        };
        if let Some(feeding) = self.shared.instruments.get(index) {
            let instrument = &feeding.instrument.name;
            tracing::warn!(%instrument, what, %error, "a REST job failed");
        }
    }
}

async fn fetch(shared: &Shared, job: Job) -> Result<Found, FetchError> {
    let (Job::Snapshot(index) | Job::History(index, _) | Job::Probe(index)) = job;
    let Some(feeding) = shared.instruments.get(index) else {
        return Err(DecodeError::Unrecognised.into());
    };
    let instrument = &feeding.instrument;
    let access = &shared.config.access;
    let protocol = access.protocol();
    let event = |venue_time, received, data| {
        Found::Event(MarketEvent {
            instrument: feeding.id,
            venue_time,
            received,
            data,
        })
    };
    match job {
        Job::Snapshot(_) => {
            let levels = shared.config.snapshot_levels;
            let call = protocol.depth(instrument, levels);
            let call = call.ok_or(DecodeError::Unrecognised)?;
            let body = access.call(&call, Priority::Normal).await?;
            let received = shared.clock.now();
            let snapshot = protocol.decode_depth(&body, instrument)?;
            let data = MarketData::Snapshot(Box::new(snapshot));
            Ok(event(received, received, data))
        }
        Job::History(_, interval) => {
            // Asked before the candles: what is closed at this time is closed in them.
            let time = access.call(&protocol.server_time(), Priority::Idle).await?;
            let time = protocol.decode_server_time(&time)?;
            let limit = shared.config.history_candles;
            let call = protocol.candles(instrument, interval, None, limit);
            let body = access.call(&call, Priority::Idle).await?;
            let received = shared.clock.now();
            let history = History {
                interval,
                candles: protocol.decode_candles(&body, instrument)?,
            };
            Ok(event(
                time,
                received,
                MarketData::History(Box::new(history)),
            ))
        }
        Job::Probe(_) => {
            let body = access
                .call(&protocol.probe(instrument), Priority::Idle)
                .await?;
            Ok(Found::UpdateId(protocol.decode_probe(&body, instrument)?))
        }
    }
}
