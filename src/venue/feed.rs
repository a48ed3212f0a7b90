//! The market data of one venue: connections that share its topics, REST jobs beside them, and the
//! watch over every stream.
//!
//! Who does what: a link (`link.rs`) owns one shard's connection, replaces it in time and comes back after
//! a loss; its reader task (`reader.rs`) decodes and hands events to the kernel; REST jobs (`fetch.rs`)
//! run beside them; this module decides what is fetched, subscribed to anew, or given up. Invariants: what
//! a connection carried is reported as lost after its last event; a snapshot is asked for only after the
//! subscription is confirmed, and one that a dead connection asked for is never delivered.

mod care;
mod connection;
mod fetch;
mod gate;
mod history;
mod link;
mod plan;
mod reader;
pub mod streams;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch as signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, interval_at, timeout};

use self::care::Heal;
use self::fetch::{Fetched, Fetcher, Job};
use self::link::{Link, Wish};
use self::plan::Shard;
use self::reader::Meters;
use self::streams::Feeding;
use super::access::Access;
use super::protocol::{Decode, Reading, TopicKind, Wanted};
use super::ws::{WsError, WsLimits};
use crate::kernel::event::{LossReason, Lost, MarketData, MarketEvent};
use crate::kernel::types::{Instrument, InstrumentId, Interval, Time};
use crate::recording::Recorder;
use crate::runtime::clock::Clock;
use crate::runtime::mailbox::{KernelHandle, TaskQueue};
use crate::status::FeedStatus;

/// Wishes that may wait for a link, and news for the feed.
const WISHES: usize = 256;
/// How long links may take to say good-bye.
const GOODBYE: Duration = Duration::from_secs(1);
/// How often open interest is asked for.
const OPEN_INTEREST_EVERY: Duration = Duration::from_mins(1);

/// How a feed behaves.
#[derive(Clone)]
pub struct FeedConfig {
    /// The venue.
    pub access: Arc<Access>,
    /// Candle intervals to subscribe to and to backfill.
    pub intervals: Vec<Interval>,
    /// Levels a side of a depth snapshot from REST.
    pub snapshot_levels: u16,
    /// Levels a side of depth streams that show a window.
    pub window: u16,
    /// Candles of a backfill.
    pub history_candles: u16,
    /// An instrument without a depth event for so long is probed over REST.
    pub silence: Duration,
    /// A stream whose neighbour is ahead has so long to follow.
    pub stall: Duration,
    /// Longest wait for the answer to a subscription.
    pub answer: Duration,
    /// First and last ceiling of the back-off between connections.
    pub reconnect: (Duration, Duration),
    /// First and last ceiling of the back-off between REST calls for the same thing.
    pub refetch: (Duration, Duration),
    /// Age at which a connection is replaced, before the venue ends it at 24 hours.
    pub renew: Duration,
    /// How often the venue is asked about its instruments.
    pub refresh: Duration,
    /// Which instruments have positions or orders: they go first.
    pub exposed: Arc<dyn Fn(InstrumentId) -> bool + Send + Sync>,
    /// Where raw frames are kept, if they are.
    pub recorder: Option<Recorder>,
    /// Ends of a connection.
    pub ws: WsLimits,
}

impl std::fmt::Debug for FeedConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeedConfig")
            .field("venue", &self.access.venue())
            .field("intervals", &self.intervals)
            .finish_non_exhaustive()
    }
}

impl FeedConfig {
    /// The usual behaviour.
    pub fn new(access: Arc<Access>, intervals: Vec<Interval>) -> Self {
        Self {
            access,
            intervals,
            snapshot_levels: 1_000,
            window: 200,
            history_candles: 1_000,
            silence: Duration::from_secs(10),
            stall: Duration::from_secs(3),
            answer: Duration::from_secs(10),
            reconnect: (Duration::from_millis(250), Duration::from_secs(30)),
            refetch: (Duration::from_millis(100), Duration::from_secs(30)),
            renew: Duration::from_hours(23),
            refresh: Duration::from_mins(10),
            exposed: Arc::new(|_| false),
            recorder: None,
            ws: WsLimits::default(),
        }
    }

    /// How often streams are looked after.
    fn tick(&self) -> Duration {
        (self.stall.min(self.silence) / 4).max(Duration::from_millis(1))
    }
}

/// A wish of the operator towards a running feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Read this instrument (again).
    Subscribe(InstrumentId),
    /// Do not read it any more.
    Unsubscribe(InstrumentId),
}

/// What links, readers and jobs share.
struct Shared {
    config: FeedConfig,
    instruments: Arc<[Feeding]>,
    /// Place of an instrument by its index; `u16::MAX` for those of other venues.
    places: Vec<u16>,
    decoder: Box<dyn Decode>,
    kernel: KernelHandle,
    status: Arc<FeedStatus>,
    clock: Clock,
    meters: Meters,
}

impl Shared {
    /// Tells how much of the venue's request weight is used, now and at most.
    fn tell_weight(&self) {
        let access = &self.config.access;
        let used = access.weight_used_ppm();
        self.status.weight_used_ppm.store(used, Ordering::Relaxed);
        let peak = access.weight_peak_ppm();
        self.status.weight_peak_ppm.store(peak, Ordering::Relaxed);
    }

    fn place(&self, id: InstrumentId) -> Option<usize> {
        let place = *self.places.get(id.index())?;
        (place != u16::MAX).then_some(usize::from(place))
    }

    fn feeding(&self, id: InstrumentId) -> Option<&Feeding> {
        self.instruments.get(self.place(id)?)
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

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum LinkEnd {
    #[error(transparent)]
    Ws(#[from] WsError),
    #[error("the venue refused a message: {1} (code {0})")]
    Refused(i64, String),
    #[error("the venue did not confirm a subscription in time")]
    NoAnswer,
    #[error("the venue announced its shutdown")]
    Announced,
    #[error("{0}")]
    Reader(String),
    #[error("it is not wanted any more")]
    Left,
}

/// A link came up, or went down.
#[derive(Debug)]
struct News {
    link: usize,
    up: bool,
}

/// The feed has no work, or lost a part of itself.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// A task of the feed failed.
    #[error("a connection's task failed: {0}")]
    Link(String),
}

/// What a feed is connected to.
#[derive(Debug)]
pub struct FeedWiring {
    /// Where events go.
    pub kernel: KernelHandle,
    /// Instruments whose books the kernel wants anew; one feed drains it.
    pub resync: Arc<TaskQueue<InstrumentId>>,
    /// What the operator wants; one feed drains it.
    pub changes: Arc<TaskQueue<Change>>,
    /// What the feed says of itself.
    pub status: Arc<FeedStatus>,
    /// Time.
    pub clock: Clock,
}

/// Reads the market data of `instruments` until `shutdown` turns true (or its sender is gone).
pub async fn run(
    config: FeedConfig,
    instruments: Vec<(InstrumentId, Instrument)>,
    wiring: FeedWiring,
    mut shutdown: signal::Receiver<bool>,
) -> Result<(), FeedError> {
    let stopped = async move {
        // An error says that the sender is gone, and with it whoever wanted the feed.
        drop(shutdown.wait_for(|stop| *stop).await);
    };
    if instruments.is_empty() {
        stopped.await;
        return Ok(());
    }
    let mut feed = Feed::new(config, instruments, wiring);
    tokio::select! {
        biased;
        () = stopped => {
            feed.leave().await;
            Ok(())
        }
        end = feed.run() => end,
    }
}

struct Feed {
    shared: Arc<Shared>,
    shards: Vec<Arc<Shard>>,
    links: JoinSet<()>,
    wishes: Vec<mpsc::Sender<Wish>>,
    up: Vec<bool>,
    news: mpsc::Receiver<News>,
    fetcher: Fetcher,
    resync: Arc<TaskQueue<InstrumentId>>,
    changes: Arc<TaskQueue<Change>>,
    /// By instrument and stream: how often it was subscribed to anew lately, and when first and last.
    heals: BTreeMap<(usize, TopicKind), Heal>,
    /// By instrument: where the venue's book was when it was looked at, and when that was.
    suspects: Vec<Option<(u64, Time)>>,
}

impl Feed {
    fn new(
        config: FeedConfig,
        instruments: Vec<(InstrumentId, Instrument)>,
        wiring: FeedWiring,
    ) -> Self {
        let FeedWiring {
            kernel,
            resync,
            changes,
            status,
            clock,
        } = wiring;
        let protocol = config.access.protocol();
        let readings: Vec<Reading<'_>> = instruments
            .iter()
            .map(|(id, instrument)| Reading {
                id: *id,
                instrument,
                trades: protocol.trade_stream(),
            })
            .collect();
        let decoder = protocol.decoder(&readings);
        let most = instruments.iter().map(|(id, _)| id.index()).max();
        let mut places = vec![u16::MAX; most.map_or(0, |most| most + 1)];
        for (place, (id, _)) in (0_u16..).zip(&instruments) {
            if let Some(slot) = places.get_mut(id.index()) {
                *slot = place;
            }
        }
        let wanted = Wanted {
            intervals: config.intervals.clone(),
            window: config.window,
        };
        let seed = clock.now().0.unsigned_abs();
        let shared = Arc::new(Shared {
            instruments: instruments
                .into_iter()
                .map(|(id, instrument)| Feeding::new(id, instrument))
                .collect(),
            places,
            decoder,
            meters: Meters::new(config.access.venue()),
            config,
            kernel,
            status,
            clock,
        });
        let shards = plan::shards(protocol, &shared.instruments, &wanted);
        let shards: Vec<Arc<Shard>> = shards.into_iter().map(Arc::new).collect();
        let (to_feed, news) = mpsc::channel(WISHES);
        let mut links = JoinSet::new();
        let mut wishes = Vec::new();
        for (number, shard) in shards.iter().enumerate() {
            let (to_link, inbox) = mpsc::channel(WISHES);
            wishes.push(to_link);
            let link = Link {
                shared: Arc::clone(&shared),
                shard: Arc::clone(shard),
                number,
                wishes: inbox,
                news: to_feed.clone(),
                left_out: Vec::new(),
                seed: seed.wrapping_add(number as u64),
            };
            links.spawn(link.run());
        }
        // A second feed on the same status would be a bug of its owner, and changes nothing here.
        shared
            .status
            .streams
            .set(Arc::clone(&shared.instruments))
            .ok();
        Self {
            up: vec![false; shards.len()],
            suspects: vec![None; shared.instruments.len()],
            fetcher: Fetcher::new(Arc::clone(&shared), seed),
            shards,
            links,
            wishes,
            news,
            resync,
            changes,
            heals: BTreeMap::new(),
            shared,
        }
    }

    async fn run(&mut self) -> Result<(), FeedError> {
        let config = self.shared.config.clone();
        let mut check = interval(config.tick());
        let later = |every| interval_at(Instant::now() + every, every);
        let mut refresh = later(config.refresh);
        let mut interest = later(OPEN_INTEREST_EVERY);
        loop {
            tokio::select! {
                biased;
                Some(failed) = self.links.join_next() => {
                    let why = match failed {
                        Ok(()) => "it left".to_owned(),
                        Err(error) => error.to_string(),
                    };
                    return Err(FeedError::Link(why));
                }
                Some(news) = self.news.recv() => self.hear(&news),
                fetched = self.fetcher.next() => self.deliver(fetched),
                id = self.resync.next() => self.resynchronise(id),
                change = self.changes.next() => self.change(change),
                _ = refresh.tick() => self.fetcher.request(Job::Listings),
                _ = interest.tick() => self.ask_open_interest(),
                _ = check.tick() => self.look(),
            }
        }
    }

    /// A link came up or went down.
    fn hear(&mut self, news: &News) {
        let shared = Arc::clone(&self.shared);
        if let Some(up) = self.up.get_mut(news.link) {
            *up = news.up;
        }
        let all = self.up.iter().all(|up| *up);
        shared.status.connected.store(all, Ordering::Release);
        let Some(shard) = self.shards.get(news.link).map(Arc::clone) else {
            return;
        };
        if news.up {
            tracing::info!(
                venue = %shared.status.venue, link = news.link, topics = shard.feeds.len(),
                "market data subscribed"
            );
        }
        for feed in &shard.feeds {
            // What a stream did on the connection before says nothing about this one.
            self.heals.remove(&(feed.at, feed.topic.kind));
            if feed.topic.kind == TopicKind::Depth {
                self.fetcher.forget(feed.at);
                if let Some(slot) = self.suspects.get_mut(feed.at) {
                    *slot = None;
                }
            }
            let feeding = shared.instruments.get(feed.at);
            let wanted = feeding.map(|f| f.stream(feed.topic.kind));
            if news.up && wanted.is_some_and(|s| s.subscribed.load(Ordering::Relaxed)) {
                self.begin(feed.at, feed.topic.kind);
            }
        }
        if news.up && news.link + 1 == self.shards.len() {
            self.ask_open_interest();
        }
    }

    /// A stream is subscribed: fetches what belongs before it.
    fn begin(&mut self, at: usize, kind: TopicKind) {
        let shared = Arc::clone(&self.shared);
        let Some(feeding) = shared.instruments.get(at) else {
            return;
        };
        let protocol = shared.config.access.protocol();
        match kind {
            TopicKind::Depth if protocol.depth(&feeding.instrument, 1).is_some() => {
                self.fetcher.request(Job::Snapshot(at));
            }
            TopicKind::Trades => {
                for interval in &shared.config.intervals {
                    if history::source(protocol, *interval).is_some() {
                        self.fetcher.request(Job::History(at, *interval));
                    }
                }
            }
            TopicKind::Depth
            | TopicKind::Quote
            | TopicKind::Candles
            | TopicKind::Ticker
            | TopicKind::Mark
            | TopicKind::Liquidations => {}
        }
    }

    /// Hands what a job brought to the kernel.
    fn deliver(&mut self, fetched: Fetched) {
        let shared = Arc::clone(&self.shared);
        let access = &shared.config.access;
        let status = &shared.status;
        shared.tell_weight();
        status
            .substitute
            .store(access.is_substitute(), Ordering::Relaxed);
        match fetched {
            Fetched::Events(events) => {
                for event in events {
                    if let Some(feeding) = shared.feeding(event.instrument)
                        && let MarketData::Snapshot(snapshot) = &event.data
                    {
                        let stream = feeding.stream(TopicKind::Depth);
                        if !stream.subscribed.load(Ordering::Relaxed) {
                            continue; // no updates would follow it
                        }
                        // The stream may be further already.
                        feeding
                            .depth_id
                            .fetch_max(snapshot.last_id, Ordering::Relaxed);
                        feeding.depth_seq.fetch_max(snapshot.seq, Ordering::Relaxed);
                    }
                    shared.kernel.offer_market(event);
                }
                shared.kernel.ring();
            }
            Fetched::Probed(at, seq) => {
                if let Some(slot) = self.suspects.get_mut(at) {
                    *slot = Some((seq, shared.clock.now()));
                }
            }
            Fetched::ProbeFailed => {
                let last = status.last_message.get().unwrap_or(Time::ZERO);
                if shared.clock.now().since(last) > nanos(shared.config.silence) {
                    for link in 0..self.wishes.len() {
                        let why = "nothing came for long, and the venue does not answer over REST";
                        self.wish(link, Wish::Reconnect(why.to_owned()));
                    }
                }
            }
            Fetched::Nothing => {}
        }
    }

    /// The kernel wants a book anew.
    fn resynchronise(&mut self, id: InstrumentId) {
        let shared = Arc::clone(&self.shared);
        let Some(at) = shared.place(id) else {
            tracing::debug!(?id, "resync of an instrument of another venue");
            return;
        };
        let Some(feeding) = shared.instruments.get(at) else {
            return;
        };
        feeding.wants_book.store(true, Ordering::Relaxed);
        let stream = feeding.stream(TopicKind::Depth);
        if !stream.subscribed.load(Ordering::Relaxed) {
            return; // the next subscription begins with a fresh book
        }
        let protocol = shared.config.access.protocol();
        if protocol.depth(&feeding.instrument, 1).is_some() {
            self.fetcher.request(Job::Snapshot(at));
        } else if feeding.awaits_snapshot.get().is_none() {
            self.renew_book(at);
        }
    }

    fn wish(&self, link: usize, wish: Wish) {
        // A link that is full or down has its own reasons to subscribe anew.
        if let Some(wishes) = self.wishes.get(link)
            && wishes.try_send(wish).is_err()
        {
            tracing::debug!(link, "a link does not take wishes now");
        }
    }

    /// Carries out what the operator wants.
    fn change(&mut self, change: Change) {
        let shared = Arc::clone(&self.shared);
        let (id, subscribe) = match change {
            Change::Subscribe(id) => (id, true),
            Change::Unsubscribe(id) => (id, false),
        };
        let Some(at) = shared.place(id) else {
            return;
        };
        for kind in TopicKind::ALL {
            for (link, topics) in self.topics(at, kind) {
                self.wish(link, Wish::Subscribe(subscribe, topics));
                if subscribe {
                    self.begin(at, kind);
                }
            }
        }
        if !subscribe {
            self.fetcher.forget(at);
            if let Some(feeding) = shared.instruments.get(at) {
                for kind in TopicKind::ALL {
                    feeding.forget(kind);
                }
            }
            shared.lost(id, LossReason::Unsubscribed, Lost::All);
            shared.kernel.ring();
        }
    }

    fn ask_open_interest(&mut self) {
        let shared = Arc::clone(&self.shared);
        let protocol = shared.config.access.protocol();
        for (at, feeding) in shared.instruments.iter().enumerate() {
            if protocol.open_interest(&feeding.instrument).is_some() {
                self.fetcher.request(Job::OpenInterest(at));
            }
        }
    }

    /// Ends everything because we want to, and tells the kernel what it lost.
    async fn leave(&mut self) {
        for link in 0..self.wishes.len() {
            self.wish(link, Wish::Leave);
        }
        // The news of their ends must not fill up and hold them.
        let goodbye = async {
            loop {
                tokio::select! {
                    left = self.links.join_next() => if left.is_none() { return },
                    _ = self.news.recv() => {}
                }
            }
        };
        drop(timeout(GOODBYE, goodbye).await);
        self.links.shutdown().await;
        let status = &self.shared.status;
        status.connected.store(false, Ordering::Release);
        self.shared.kernel.ring();
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
