//! The market-data session of one venue: connect, subscribe, read, notice silence, come back.
//!
//! Who does what: a reader task (`reader.rs`) owns the socket, decodes and hands events to the kernel;
//! REST jobs (`fetch.rs`) run beside it; this module owns both, decides when a session is over, and
//! delivers what the jobs bring. Invariants: an instrument whose session ends is reported as
//! [`LossReason::Disconnected`] after its last event; a snapshot is asked for only after the
//! subscription is confirmed, and one that a dead session asked for is never delivered.

mod fetch;
mod reader;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};

use self::fetch::{Fetched, Fetcher, Job};
use self::reader::{Control, Meters};
use super::VenueRow;
use super::access::{Access, wait_for};
use super::backoff::Backoff;
use super::budget::MessageBudget;
use super::protocol::{Decode, Reading, Wanted};
use super::ws::{WsError, WsLimits, WsWriter};
use crate::kernel::event::{LossReason, Lost, MarketData, MarketEvent};
use crate::kernel::types::{Instrument, InstrumentId, Interval, Time};
use crate::runtime::clock::Clock;
use crate::runtime::mailbox::{KernelHandle, TaskQueue};
use crate::status::{FeedStatus, Moment};

/// A session that lived this long was a good one: the next attempt comes without back-off.
const GOOD_SESSION: i64 = 60 * crate::kernel::types::SECOND;
/// Answers and notices between the reader and the session.
const CONTROL_CAPACITY: usize = 64;

/// How the session behaves.
#[derive(Debug, Clone)]
pub struct FeedConfig {
    /// The venue.
    pub access: Arc<Access>,
    /// Candle intervals to subscribe to and to backfill.
    pub intervals: Vec<Interval>,
    /// Levels a side of a depth snapshot.
    pub snapshot_levels: u16,
    /// Candles of a backfill.
    pub history_candles: u16,
    /// An instrument without a depth event for so long is probed over REST.
    pub silence: Duration,
    /// Longest wait for the answers to our subscriptions.
    pub answer: Duration,
    /// First and last ceiling of the back-off between connections.
    pub reconnect: (Duration, Duration),
    /// First and last ceiling of the back-off between REST calls for the same thing.
    pub refetch: (Duration, Duration),
    /// Ends of the connection.
    pub ws: WsLimits,
}

impl FeedConfig {
    /// The usual behaviour.
    pub fn new(access: Arc<Access>, intervals: Vec<Interval>) -> Self {
        Self {
            access,
            intervals,
            snapshot_levels: 1_000,
            history_candles: 1_000,
            silence: Duration::from_secs(30),
            answer: Duration::from_secs(10),
            reconnect: (Duration::from_millis(250), Duration::from_secs(30)),
            refetch: (Duration::from_millis(100), Duration::from_secs(30)),
            ws: WsLimits::default(),
        }
    }
}

/// The feed cannot run at all.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// More than one connection may carry.
    #[error(
        "{streams} streams are more than the {max} of one connection: configure fewer symbols or intervals"
    )]
    TooManyStreams {
        /// Wanted.
        streams: usize,
        /// Allowed.
        max: usize,
    },
}

/// What session, reader and jobs share.
#[derive(Debug)]
struct Shared {
    config: FeedConfig,
    instruments: Vec<Feeding>,
    decoder: Box<dyn Decode>,
    kernel: KernelHandle,
    status: Arc<FeedStatus>,
    clock: Clock,
    meters: Meters,
}

/// An instrument and how far its book has come.
#[derive(Debug)]
struct Feeding {
    id: InstrumentId,
    instrument: Instrument,
    /// Newest update id seen, from stream or snapshot.
    seq: AtomicU64,
    /// When the last depth event came.
    updated: Moment,
}

impl Shared {
    fn position(&self, id: InstrumentId) -> Option<usize> {
        self.instruments.iter().position(|f| f.id == id)
    }

    fn lost(&self, id: InstrumentId, reason: LossReason, what: Lost) {
        let now = self.clock.now();
        self.kernel.offer_market(MarketEvent {
            instrument: id,
            venue_time: now,
            received: now,
            data: MarketData::Lost(reason, what),
        });
    }
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum SessionEnd {
    #[error(transparent)]
    Ws(#[from] WsError),
    #[error("the venue refused a subscription: {1} (code {0})")]
    Subscription(i64, String),
    #[error("the venue did not confirm the subscriptions in time")]
    NoAnswer,
    #[error("the venue announced its shutdown")]
    Announced,
    #[error("{0}")]
    Reader(String),
    #[error("{0} stood still although the venue's book moved on")]
    Stalled(String),
    #[error("nothing came for too long, and the venue does not answer over REST")]
    Silent,
}

/// Reads the market data of `instruments` until `shutdown` turns true (or its sender is gone).
/// `resync` carries the instruments whose snapshot the kernel wants; one feed drains it.
pub async fn run(
    config: FeedConfig,
    instruments: Vec<(InstrumentId, Instrument)>,
    kernel: KernelHandle,
    resync: Arc<TaskQueue<InstrumentId>>,
    status: Arc<FeedStatus>,
    clock: Clock,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), FeedError> {
    if instruments.is_empty() {
        stopped(&mut shutdown).await;
        return Ok(());
    }
    let protocol = config.access.protocol();
    let wanted = Wanted {
        intervals: config.intervals.clone(),
        window: 200,
    };
    let per_instrument = |(_, i): &(_, Instrument)| protocol.topics(i, &wanted);
    let streams = instruments.iter().flat_map(per_instrument);
    let streams: Vec<String> = streams.map(|t| t.name).collect();
    let route = protocol.routes()[0];
    if streams.len() > route.topics_max {
        return Err(FeedError::TooManyStreams {
            streams: streams.len(),
            max: route.topics_max,
        });
    }
    let venue = config.access.venue();
    let seed = clock.now().0.unsigned_abs();
    let mut backoff = Backoff::new(config.reconnect.0, config.reconnect.1, seed);
    let shared = Arc::new(Shared {
        decoder: {
            let reading =
                |(id, instrument): &'_ (InstrumentId, Instrument)| (*id, instrument.clone());
            let readings: Vec<_> = instruments.iter().map(reading).collect();
            let readings: Vec<Reading<'_>> = readings
                .iter()
                .map(|(id, instrument)| Reading {
                    id: *id,
                    instrument,
                    trades: protocol.trade_stream(),
                })
                .collect();
            protocol.decoder(&readings)
        },
        instruments: instruments
            .into_iter()
            .map(|(id, instrument)| Feeding {
                id,
                instrument,
                seq: AtomicU64::new(0),
                updated: Moment::default(),
            })
            .collect(),
        meters: Meters::new(venue),
        config,
        kernel,
        status,
        clock,
    });
    let mut session = Session {
        fetcher: Fetcher::new(Arc::clone(&shared), seed),
        shared,
        streams,
        resync,
        writer: None,
        reader: None,
        connections: 0,
        connected: false,
        subscribed: None,
    };
    loop {
        let end = tokio::select! {
            biased;
            () = stopped(&mut shutdown) => {
                session.leave().await;
                return Ok(());
            }
            end = session.run() => end,
        };
        let good = session.lived() > GOOD_SESSION;
        session.over().await;
        if good {
            backoff.reset();
        }
        let pause = match end {
            SessionEnd::Announced => Duration::ZERO,
            _ => backoff.delay(),
        };
        tracing::warn!(%venue, reason = %end, pause_ms = pause.as_millis(), "market data session ended");
        tokio::select! {
            biased;
            () = stopped(&mut shutdown) => return Ok(()),
            () = session.idle() => {}
            () = sleep(pause) => {}
        }
    }
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone, and with it whoever wanted the feed.
    drop(shutdown.wait_for(|stop| *stop).await);
}

struct Session {
    shared: Arc<Shared>,
    fetcher: Fetcher,
    streams: Vec<String>,
    resync: Arc<TaskQueue<InstrumentId>>,
    writer: Option<WsWriter>,
    reader: Option<JoinHandle<String>>,
    connections: u64,
    /// The kernel may have got data that it must now be told to distrust.
    connected: bool,
    subscribed: Option<Time>,
}

impl Session {
    /// One session from connecting to its end.
    async fn run(&mut self) -> SessionEnd {
        match self.live().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn live(&mut self) -> Result<std::convert::Infallible, SessionEnd> {
        let shared = Arc::clone(&self.shared);
        let config = &shared.config;
        let (reader, writer) = config
            .access
            .stream(config.access.protocol().routes()[0].path, config.ws)
            .await?;
        self.connected = true;
        self.connections += 1;
        if self.connections > 1 {
            shared.status.reconnects.fetch_add(1, Ordering::Relaxed);
        }
        shared.status.last_message.set(shared.clock.now());
        let (to_session, mut controls) = mpsc::channel(CONTROL_CAPACITY);
        let reading = reader::read(Arc::clone(&shared), reader, to_session);
        self.reader = Some(tokio::spawn(reading));
        self.writer = Some(writer.clone());

        let subscribing = self.subscribe(&writer, &mut controls);
        let subscribed = timeout(config.answer, subscribing).await;
        if !subscribed.unwrap_or(Err(SessionEnd::NoAnswer))? {
            return Err(self.reader_end().await);
        }
        let now = shared.clock.now();
        self.subscribed = Some(now);
        shared.status.connected.store(true, Ordering::Release);
        tracing::info!(
            venue = %config.access.venue(), streams = self.streams.len(), "market data subscribed"
        );
        for feeding in &shared.instruments {
            // A restarted venue may count from the beginning.
            feeding.seq.store(0, Ordering::Relaxed);
            feeding.updated.set(now);
        }
        self.fetcher.start();

        let mut check = interval((config.silence / 4).max(Duration::from_millis(1)));
        loop {
            tokio::select! {
                biased;
                control = controls.recv() => match control {
                    Some(Control::Shutdown) => return Err(SessionEnd::Announced),
                    Some(Control::Answer(_)) => {}
                    None => return Err(self.reader_end().await),
                },
                fetched = self.fetcher.next() => self.deliver(fetched)?,
                id = self.resync.next() => self.resynchronise(id),
                _ = check.tick() => self.check_liveness()?,
            }
        }
    }

    /// Subscribes and waits for the answers; `false` when the connection ended meanwhile.
    async fn subscribe(
        &self,
        writer: &WsWriter,
        controls: &mut mpsc::Receiver<Control>,
    ) -> Result<bool, SessionEnd> {
        let limits = VenueRow::of(self.shared.config.access.venue()).limits;
        let mut budget = MessageBudget::new(limits);
        let mut open: Vec<i64> = Vec::new();
        let names: Vec<&str> = self.streams.iter().map(String::as_str).collect();
        for (id, message) in self
            .shared
            .config
            .access
            .protocol()
            .subscriptions(true, &names, 1)
        {
            wait_for(&self.shared.clock, |now| budget.take(now)).await;
            writer.text(&message).await?;
            open.push(id);
        }
        while !open.is_empty() {
            match controls.recv().await {
                Some(Control::Answer(answer)) => {
                    if let Some((code, message)) = answer.error {
                        return Err(SessionEnd::Subscription(code, message));
                    }
                    open.retain(|id| Some(*id) != answer.id);
                }
                Some(Control::Shutdown) => return Err(SessionEnd::Announced),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Hands what a job brought to the kernel.
    fn deliver(&mut self, fetched: Fetched) -> Result<(), SessionEnd> {
        let shared = &self.shared;
        let weight = shared.config.access.weight_used_ppm();
        shared
            .status
            .weight_used_ppm
            .store(weight, Ordering::Relaxed);
        match fetched {
            Fetched::Event(index, event) => {
                if let MarketData::Snapshot(snapshot) = &event.data
                    && let Some(feeding) = shared.instruments.get(index)
                {
                    feeding.seq.fetch_max(snapshot.last_id, Ordering::Relaxed);
                }
                shared.kernel.offer_market(event);
                shared.kernel.ring();
            }
            Fetched::Failed => {}
            Fetched::ProbeFailed => {
                let last = shared.status.last_message.get().unwrap_or(Time::ZERO);
                if shared.clock.now().since(last) > nanos(shared.config.silence) {
                    return Err(SessionEnd::Silent);
                }
            }
        }
        Ok(())
    }

    fn resynchronise(&mut self, id: InstrumentId) {
        if let Some(index) = self.shared.position(id) {
            self.fetcher.request(Job::Snapshot(index));
        } else {
            tracing::debug!(?id, "resync of an instrument of another venue");
        }
    }

    /// Probes instruments that are silent, and ends the session if one missed an update.
    fn check_liveness(&mut self) -> Result<(), SessionEnd> {
        let shared = Arc::clone(&self.shared);
        let now = shared.clock.now();
        for (index, feeding) in shared.instruments.iter().enumerate() {
            let seen = feeding.seq.load(Ordering::Relaxed);
            let grace = nanos(shared.config.silence / 4);
            if self.fetcher.missed(index, seen, grace) {
                shared.lost(feeding.id, LossReason::Stalled, Lost::Book);
                shared.kernel.ring();
                return Err(SessionEnd::Stalled(feeding.instrument.name.to_string()));
            }
            let updated = feeding.updated.get().unwrap_or(Time::ZERO);
            if now.since(updated) > nanos(shared.config.silence) {
                // Silence begins anew: one probe in each period.
                feeding.updated.set(now);
                self.fetcher.request(Job::Probe(index));
            }
        }
        Ok(())
    }

    /// Between sessions: the kernel's wishes are dropped, since every session begins with snapshots.
    async fn idle(&self) {
        loop {
            self.resync.next().await;
        }
    }

    /// How long the session has been subscribed, in nanoseconds.
    fn lived(&self) -> i64 {
        let now = self.shared.clock.now();
        self.subscribed.map_or(0, |since| now.since(since))
    }

    /// Ends everything of the session and tells the kernel what it lost.
    async fn over(&mut self) {
        self.fetcher.stop();
        self.subscribed = None;
        self.shared.status.connected.store(false, Ordering::Release);
        self.writer = None;
        if let Some(reader) = self.reader.take() {
            // Its last event must come before the loss.
            reader.abort();
            drop(reader.await);
        }
        if !std::mem::take(&mut self.connected) {
            return;
        }
        for feeding in &self.shared.instruments {
            self.shared
                .lost(feeding.id, LossReason::Disconnected, Lost::All);
        }
        self.shared.kernel.ring();
    }

    /// Ends the session because we want to.
    async fn leave(&mut self) {
        if let Some(writer) = self.writer.take() {
            // Politeness only: the socket is dropped next.
            drop(timeout(Duration::from_secs(1), writer.close(1000, "")).await);
        }
        self.over().await;
    }

    async fn reader_end(&mut self) -> SessionEnd {
        let Some(reader) = self.reader.as_mut() else {
            return SessionEnd::Reader("the reader is gone".to_owned());
        };
        let end = reader.await;
        self.reader = None;
        SessionEnd::Reader(end.unwrap_or_else(|e| format!("the reader failed: {e}")))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
