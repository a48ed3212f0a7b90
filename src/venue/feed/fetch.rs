//! REST jobs beside the connections: depth snapshots, candle history, probes of silent instruments, open
//! interest, and what the venue says of its instruments.
//!
//! One job of a kind at a time, a few calls at once, the most urgent first, back-off between
//! repetitions. Jobs only bring data; the feed delivers it, unless what it was asked for has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::{Shared, history};
use crate::kernel::event::{MarketData, MarketEvent};
use crate::kernel::types::{Interval, MINUTE, Scale, Time};
use crate::venue::access::CallError;
use crate::venue::backoff::Backoff;
use crate::venue::budget::Priority;
use crate::venue::decode_error::DecodeError;
use crate::venue::load::{self, LoadError};

/// Calls under way at once.
const CALLS_MAX: usize = 4;
/// A wish that comes this long after the last one for the same thing is a new matter.
const FORGET: i64 = MINUTE;

/// What to fetch, for the instrument of this index. What is declared first goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Job {
    /// A depth snapshot for the kernel.
    Snapshot(usize),
    /// How far the venue's book has come.
    Probe(usize),
    /// Candles for the kernel.
    History(usize, Interval),
    /// Open interest.
    OpenInterest(usize),
    /// What the venue says of all instruments.
    Listings,
}

impl Job {
    fn instrument(self) -> Option<usize> {
        match self {
            Self::Snapshot(at)
            | Self::Probe(at)
            | Self::History(at, _)
            | Self::OpenInterest(at) => Some(at),
            Self::Listings => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Snapshot(_) => "depth snapshot",
            Self::Probe(_) => "probe",
            Self::History(..) => "candles",
            Self::OpenInterest(_) => "open interest",
            Self::Listings => "instruments",
        }
    }

    /// Whether it is tried again until it succeeds.
    fn insists(self) -> bool {
        matches!(self, Self::Snapshot(_) | Self::History(..))
    }
}

/// What a job brought.
#[derive(Debug)]
pub(super) enum Fetched {
    /// For the kernel.
    Events(Vec<MarketEvent>),
    /// The venue's book of this instrument has come to here.
    Probed(usize, u64),
    /// The venue did not answer a probe.
    ProbeFailed,
    /// Nothing to do.
    Nothing,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("unreadable answer: {0}")]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("no such instrument")]
    Instrument,
}

/// What is known of a job that was asked for.
struct Attempts {
    asked: Time,
    backoff: Backoff,
}

/// The jobs of a feed.
pub(super) struct Fetcher {
    shared: Arc<Shared>,
    tasks: JoinSet<Result<Fetched, FetchError>>,
    running: BTreeMap<Id, (Job, u64)>,
    /// Waiting for a free place, most urgent first.
    ready: BTreeSet<(Priority, Job)>,
    /// Waiting for their time.
    later: BTreeMap<Job, Instant>,
    attempts: BTreeMap<Job, Attempts>,
    seed: u64,
}

impl Fetcher {
    pub(super) fn new(shared: Arc<Shared>, seed: u64) -> Self {
        Self {
            shared,
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            ready: BTreeSet::new(),
            later: BTreeMap::new(),
            attempts: BTreeMap::new(),
            seed,
        }
    }

    /// Asks for a job, unless it is under way: at once if it is a new matter, else after a delay.
    pub(super) fn request(&mut self, job: Job) {
        let waiting = self.later.contains_key(&job) || self.ready.iter().any(|(_, j)| *j == job);
        if waiting || self.running.values().any(|(running, _)| *running == job) {
            return;
        }
        let now = self.shared.clock.now();
        let (first, max) = self.shared.config.refetch;
        self.seed = self.seed.wrapping_add(1);
        let attempts = self.attempts.entry(job).or_insert_with(|| Attempts {
            asked: Time(i64::MIN),
            backoff: Backoff::new(first, max, self.seed),
        });
        let delay = if now.since(attempts.asked) > FORGET {
            attempts.backoff.reset();
            Duration::ZERO
        } else {
            attempts.backoff.delay()
        };
        attempts.asked = now.plus(super::nanos(delay));
        if delay.is_zero() {
            self.ready.insert((self.priority(job), job));
        } else {
            self.later.insert(job, Instant::now() + delay);
        }
    }

    /// What was asked for this instrument's sake has become pointless.
    pub(super) fn forget(&mut self, at: usize) {
        let mine = |job: &Job| matches!(job, Job::Snapshot(i) | Job::Probe(i) if *i == at);
        self.ready.retain(|(_, job)| !mine(job));
        self.later.retain(|job, _| !mine(job));
        self.attempts.retain(|job, _| !mine(job));
    }

    fn priority(&self, job: Job) -> Priority {
        let exposed = || {
            let feeding = job
                .instrument()
                .and_then(|at| self.shared.instruments.get(at));
            feeding.is_some_and(|f| (self.shared.config.exposed)(f.id))
        };
        match job {
            Job::Snapshot(_) | Job::Probe(_) if exposed() => Priority::Urgent,
            Job::Snapshot(_) => Priority::Normal,
            Job::Probe(_) | Job::History(..) | Job::OpenInterest(_) | Job::Listings => {
                Priority::Idle
            }
        }
    }

    /// The next thing that a job brings; waits while there is none. Cancel-safe.
    pub(super) async fn next(&mut self) -> Fetched {
        loop {
            let now = Instant::now();
            let due: Vec<Job> = self
                .later
                .iter()
                .filter(|(_, at)| **at <= now)
                .map(|(job, _)| *job)
                .collect();
            for job in due {
                self.later.remove(&job);
                self.ready.insert((self.priority(job), job));
            }
            while self.tasks.len() < CALLS_MAX
                && let Some((priority, job)) = self.ready.pop_first()
            {
                self.start(job, priority);
            }
            let wake = self.later.values().min().copied();
            let woken = async {
                match wake {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(done) = self.tasks.join_next_with_id() => {
                    let (id, result) = match done {
                        Ok((id, result)) => (id, Some(result)),
                        // A panic; jobs are never aborted while anybody waits here.
                        Err(error) => {
                            tracing::error!(%error, "a REST job failed");
                            (error.id(), None)
                        }
                    };
                    let Some((job, epoch)) = self.running.remove(&id) else { continue };
                    return self.finish(job, epoch, result);
                }
                () = woken => {}
            }
        }
    }

    fn start(&mut self, job: Job, priority: Priority) {
        let epoch = self.epoch(job);
        let shared = Arc::clone(&self.shared);
        let task = self
            .tasks
            .spawn(async move { fetch(&shared, job, priority).await });
        self.running.insert(task.id(), (job, epoch));
    }

    fn epoch(&self, job: Job) -> u64 {
        let feeding = job
            .instrument()
            .and_then(|at| self.shared.instruments.get(at));
        feeding.map_or(0, |f| f.epoch.load(Ordering::Relaxed))
    }

    fn finish(
        &mut self,
        job: Job,
        epoch: u64,
        result: Option<Result<Fetched, FetchError>>,
    ) -> Fetched {
        let result = match result {
            Some(Ok(fetched)) => {
                // A book that was lost meanwhile cannot begin with it.
                let stale = matches!(job, Job::Snapshot(_) | Job::Probe(_));
                if !stale || epoch == self.epoch(job) {
                    return fetched;
                }
                if job.insists() {
                    // Whoever asked for it meanwhile was told that it is under way.
                    self.request(job);
                }
                return Fetched::Nothing;
            }
            Some(Err(error)) => Some(error),
            None => None,
        };
        if let Some(error) = result {
            let feeding = job
                .instrument()
                .and_then(|at| self.shared.instruments.get(at));
            let instrument = feeding.map(|f| f.instrument.name.to_string());
            tracing::warn!(
                venue = %self.shared.status.venue, instrument, what = job.name(), %error,
                "a REST job failed"
            );
        }
        if job.insists() {
            self.request(job);
        }
        match job {
            Job::Probe(_) => Fetched::ProbeFailed,
            _ => Fetched::Nothing,
        }
    }
}

async fn fetch(shared: &Shared, job: Job, priority: Priority) -> Result<Fetched, FetchError> {
    let access = &shared.config.access;
    let protocol = access.protocol();
    let Some(at) = job.instrument() else {
        return listings(shared).await;
    };
    let feeding = shared.instruments.get(at).ok_or(FetchError::Instrument)?;
    let instrument = &feeding.instrument;
    let event = |venue_time, received, data| {
        Fetched::Events(vec![MarketEvent {
            instrument: feeding.id,
            venue_time,
            received,
            data,
        }])
    };
    Ok(match job {
        Job::Snapshot(_) => {
            let call = protocol.depth(instrument, shared.config.snapshot_levels);
            let call = call.ok_or(FetchError::Instrument)?;
            let body = access.call(&call, priority).await?;
            let received = shared.clock.now();
            let snapshot = protocol.decode_depth(&body, instrument)?;
            if let Some(recorder) = &shared.config.recorder {
                let symbol = &instrument.name.symbol;
                recorder.snapshot(access.venue(), symbol, received, &body);
            }
            let data = MarketData::Snapshot(Box::new(snapshot));
            event(received, received, data)
        }
        Job::History(_, interval) => {
            let (time, history) = history::fetch(shared, instrument, interval, priority).await?;
            let received = shared.clock.now();
            event(time, received, MarketData::History(Box::new(history)))
        }
        Job::Probe(_) => {
            let body = access.call(&protocol.probe(instrument), priority).await?;
            Fetched::Probed(at, protocol.decode_probe(&body, instrument)?)
        }
        Job::OpenInterest(_) => {
            let call = protocol.open_interest(instrument);
            let call = call.ok_or(FetchError::Instrument)?;
            let body = access.call(&call, priority).await?;
            let received = shared.clock.now();
            let figures = protocol.decode_open_interest(&body, instrument)?;
            let data = MarketData::Derivative(Box::new(figures));
            event(received, received, data)
        }
        Job::Listings => Fetched::Nothing,
    })
}

/// What the venue says of its instruments today, as events for those that are read here.
async fn listings(shared: &Shared) -> Result<Fetched, FetchError> {
    let wanted: Vec<String> = shared
        .instruments
        .iter()
        .map(|f| f.instrument.name.symbol.clone())
        .collect();
    let scales = |symbol: &str| -> Option<(Scale, Scale)> {
        let mut all = shared.instruments.iter();
        let known = all.find(|f| f.instrument.name.symbol == symbol)?;
        Some((known.instrument.price_scale, known.instrument.qty_scale))
    };
    let listings = load::listings(&shared.config.access, &wanted, &wanted, &scales).await?;
    let received = shared.clock.now();
    let mut events = Vec::new();
    for feeding in shared.instruments.iter() {
        let known = &feeding.instrument;
        let mut found = listings.found.iter();
        let found = found.find(|(symbol, _)| *symbol == known.name.symbol);
        let listing = match found {
            Some((_, Ok(listing))) => listing.clone(),
            Some((_, Err(error))) => {
                tracing::error!(
                    instrument = %known.name, %error,
                    "the venue changed the instrument beyond its present scales: restart to go on"
                );
                continue;
            }
            // Gone from the list.
            None => crate::kernel::types::Instrument {
                status: crate::kernel::types::InstrumentStatus::Delisted,
                ..known.clone()
            },
        };
        let listing = crate::kernel::types::Instrument {
            // Fees are the account's, or configured.
            maker_fee: known.maker_fee,
            taker_fee: known.taker_fee,
            ..listing
        };
        events.push(MarketEvent {
            instrument: feeding.id,
            venue_time: received,
            received,
            data: MarketData::Listing(Box::new(listing)),
        });
    }
    Ok(Fetched::Events(events))
}
