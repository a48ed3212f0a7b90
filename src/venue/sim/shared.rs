//! What the server's connections and the markets' drivers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, mpsc, watch};

use super::engine::Engine;
use super::faults::{Desk, FaultKind, Order};
use super::hub::{Farewell, Hub};
use super::market::{Listed, Market, MarketKind};
use super::outlet::Out;
use super::{binance, live};
use crate::kernel::types::{MINUTE, Time};
use crate::runtime::clock::Clock;

/// How long nobody is served after a restart that names no duration.
const RESTART_PAUSE: Duration = Duration::from_millis(200);
/// Markets that wait to be driven: there are no more.
pub(super) const DRIVERS: usize = MarketKind::ALL.len();

/// Something that runs as long as the server.
pub(super) type Driver = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// The synthetic markets that begin when they are asked for.
#[derive(Debug, Clone)]
pub(super) struct Synthetic {
    pub(super) seed: u64,
    pub(super) symbols: Vec<String>,
    /// Market time per wall-clock time.
    pub(super) speed: f64,
    /// Events per market time, 1 is usual.
    pub(super) rate: f64,
}

/// Everything that connections and drivers share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Those that have begun; `None` inside says that there is none here.
    markets: [OnceCell<Option<Arc<Market>>>; MarketKind::ALL.len()],
    /// `None` plays a recording.
    synthetic: Option<Synthetic>,
    drivers: mpsc::Sender<Driver>,
    /// The market of paths that name none.
    pub(super) bare: MarketKind,
    /// After so long without a message of its client a Bybit connection is cut.
    pub(super) silence: Duration,
    /// Clients and subscriptions.
    pub(super) hub: Hub,
    /// Faults on demand.
    pub(super) desk: Desk,
    /// What the venue says of itself.
    pub(super) status: Arc<SimStatus>,
    /// The clock.
    pub(super) clock: Clock,
    /// When the server started, by the clock.
    origin: Time,
    /// Weight used in the present window of a market's limits, and which window that is.
    weight: Mutex<[(i64, u64); MarketKind::ALL.len()]>,
    /// Until when, by the clock, a market is not served.
    paused_until: [AtomicI64; MarketKind::ALL.len()],
    /// Whether the synthetic markets stand still.
    pub(super) frozen: watch::Sender<bool>,
}

/// What [`Shared::new`] needs besides the parts that it only keeps.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) synthetic: Option<Synthetic>,
    pub(super) bare: MarketKind,
    pub(super) silence: Duration,
    pub(super) drivers: mpsc::Sender<Driver>,
}

impl Shared {
    pub(super) fn new(
        setup: Setup,
        hub: Hub,
        desk: Desk,
        status: Arc<SimStatus>,
        clock: Clock,
    ) -> Self {
        let Setup {
            synthetic,
            bare,
            silence,
            drivers,
        } = setup;
        let origin = clock.now();
        Self {
            markets: Default::default(),
            synthetic,
            drivers,
            bare,
            silence,
            hub,
            desk,
            status,
            clock,
            origin,
            weight: Mutex::default(),
            paused_until: Default::default(),
            frozen: watch::Sender::new(false),
        }
    }

    fn cell(&self, kind: MarketKind) -> Option<&OnceCell<Option<Arc<Market>>>> {
        self.markets.get(kind.index())
    }

    /// Puts a market here (of a recording) before anybody asks for it.
    pub(super) fn install(&self, market: Arc<Market>) {
        if let Some(cell) = self.cell(market.kind)
            && cell.set(Some(market)).is_err()
        {
            tracing::error!("a market of the simulated venue was installed twice");
        }
    }

    /// A market that has begun.
    pub(super) fn opened(&self, kind: MarketKind) -> Option<Arc<Market>> {
        self.cell(kind)?.get().cloned().flatten()
    }

    /// A market; a synthetic one begins when it is asked for first.
    pub(super) async fn open(self: &Arc<Self>, kind: MarketKind) -> Option<Arc<Market>> {
        let cell = self.cell(kind)?;
        cell.get_or_init(|| self.begin(kind)).await.clone()
    }

    async fn begin(self: &Arc<Self>, kind: MarketKind) -> Option<Arc<Market>> {
        let plan = self.synthetic.clone()?;
        let shared = Arc::clone(self);
        let now = move || shared.market_now();
        let drawn = super::server::off_worker(move || live::draw(kind, &plan, now)).await;
        let (source, symbols) = match drawn {
            Ok(drawn) => drawn,
            Err(error) => {
                // The symbols were looked at when the server started.
                tracing::error!("the {kind} market cannot begin: {error}");
                return None;
            }
        };
        let market = Arc::new(Market::new(
            kind,
            symbols,
            &std::collections::BTreeSet::new(),
        ));
        market.advance_to(Some(source.now()));
        self.status.advance_to(source.now());
        self.status.start();
        let engine = Engine::new(Arc::clone(self), Arc::clone(&market));
        let driver = live::run(Arc::clone(self), Arc::clone(&market), engine, source);
        if self.drivers.send(Box::pin(driver)).await.is_err() {
            tracing::debug!("the {kind} market comes too late: the server ends");
        }
        tracing::info!("the {kind} market begins");
        Some(market)
    }

    /// Market time per wall-clock time.
    pub(super) fn speed(&self) -> f64 {
        self.synthetic.as_ref().map_or(1.0, |plan| plan.speed)
    }

    /// The time that synthetic markets should be at.
    pub(super) fn market_now(&self) -> Time {
        let passed = self.clock.now().since(self.origin);
        self.origin
            .plus(super::synthetic::round(passed as f64 * self.speed()))
    }

    /// A market's time for its clients: that of the newest event, the clock's before the first.
    pub(super) fn time_of(&self, market: Option<&Market>) -> Time {
        let time = market.map_or_else(|| self.status.venue_time(), Market::time);
        time.unwrap_or_else(|| self.clock.now())
    }

    /// A duration of market time on the wall clock.
    fn on_the_wall(&self, market_time: Duration) -> Duration {
        let seconds = market_time.as_secs_f64() / self.speed();
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Adds the weight of a request; what is used up in this minute, and seconds until the next.
    pub(super) fn use_weight(&self, kind: MarketKind, weight: u64) -> (u64, u64) {
        self.use_window(kind, weight, MINUTE)
    }

    /// The same for windows of another length.
    pub(super) fn use_window(&self, kind: MarketKind, weight: u64, len: i64) -> (u64, u64) {
        let now = self.clock.now();
        let window = now.0.div_euclid(len);
        let mut all = self.weight.lock();
        let Some(used) = all.get_mut(kind.index()) else {
            return (0, 0);
        };
        if used.0 != window {
            *used = (window, 0);
        }
        used.1 = used.1.saturating_add(weight);
        let rest = len - now.0.rem_euclid(len);
        (used.1, rest.unsigned_abs() / 1_000_000_000 + 1)
    }

    /// Whether a market is not served at the moment.
    pub(super) fn is_paused(&self, kind: MarketKind) -> bool {
        let until = self.paused_until.get(kind.index());
        until.is_some_and(|until| until.load(Ordering::Acquire) > self.clock.now().0)
    }

    /// When, on the clock, something that lasts so long in market time is over.
    fn wall_end(&self, lasts: Option<Duration>) -> i64 {
        let Some(lasts) = lasts else { return i64::MAX };
        let lasts = self.on_the_wall(lasts);
        let lasts = i64::try_from(lasts.as_nanos()).unwrap_or(i64::MAX);
        self.clock.now().plus(lasts).0
    }

    /// Carries out a fault that happens to connections of a market; others are passed over.
    pub(super) async fn act(&self, market: &Market, order: &Order) {
        let target = &order.target;
        let clients = || {
            let name = target.name.as_ref();
            self.hub.select(Some(market.kind), name, target.connection)
        };
        match order.kind {
            FaultKind::Cut => self.hub.end(&clients(), None).await,
            FaultKind::Close(code) => {
                let close = Bytes::copy_from_slice(&code.to_be_bytes());
                self.hub.end(&clients(), Some(&close)).await;
            }
            FaultKind::Deaf => {
                for client in clients() {
                    let end = self.wall_end(order.lasts);
                    client.deaf_until.store(end, Ordering::Release);
                }
            }
            FaultKind::Mute => {
                for client in clients() {
                    let end = self.wall_end(order.lasts);
                    client.mute_until.store(end, Ordering::Release);
                }
            }
            FaultKind::Shutdown(grace) => {
                for client in clients() {
                    client
                        .farewell
                        .send_replace(Some(self.farewell(market, grace)));
                }
            }
            FaultKind::Restart => {
                let pause = order.lasts.unwrap_or(RESTART_PAUSE);
                if let Some(until) = self.paused_until.get(market.kind.index()) {
                    until.store(self.wall_end(Some(pause)), Ordering::Release);
                }
                market.order_restart();
                self.hub.end(&clients(), None).await;
            }
            FaultKind::Resend => self.resend(market, order).await,
            _ => {}
        }
    }

    async fn resend(&self, market: &Market, order: &Order) {
        for listed in &market.symbols {
            let mut out = Out::new(&self.hub, market.kind);
            {
                let Listed { symbol, outlet } = &mut *listed.lock();
                outlet.resend(symbol, market.advance_to(None), &mut out);
            }
            for message in &out.messages {
                let fits = order.target.name.as_ref();
                if fits.is_none_or(|pattern| pattern.fits(&message.stream)) {
                    self.hub.publish(&message.audience, &message.payload).await;
                }
            }
        }
    }

    /// The last words to a connection.
    pub(super) fn farewell(&self, market: &Market, grace: Duration) -> Farewell {
        Farewell {
            notice: binance::shutdown(market.kind, self.time_of(Some(market))),
            grace,
            close: Bytes::copy_from_slice(&1001_u16.to_be_bytes()),
        }
    }
}

/// What the simulated venue says of itself; served at `GET /sim/status`.
#[derive(Debug)]
pub struct SimStatus {
    /// `recording` or `synthetic`.
    pub(super) source: &'static str,
    /// Frames of the source in all; `None` when it has no end.
    pub(super) frames_total: Option<u64>,
    /// Lines of the source that could not be read.
    pub(super) malformed: u64,
    position: AtomicU64,
    started: AtomicBool,
    finished: watch::Sender<bool>,
    venue_time: AtomicI64,
}

impl SimStatus {
    pub(super) fn new(source: &'static str, frames_total: Option<u64>, malformed: u64) -> Self {
        Self {
            source,
            frames_total,
            malformed,
            position: AtomicU64::new(0),
            started: AtomicBool::new(false),
            finished: watch::Sender::new(false),
            venue_time: AtomicI64::new(0),
        }
    }

    /// Frames played so far, of all markets.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// Whether playback (or a synthetic market) has begun.
    pub fn started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Whether the recording is at its end. A synthetic market never is.
    pub fn finished(&self) -> bool {
        *self.finished.borrow()
    }

    /// Waits for the end of the recording; `false` if the venue ended before.
    pub async fn wait_finished(&self) -> bool {
        let mut finished = self.finished.subscribe();
        finished.wait_for(|finished| *finished).await.is_ok()
    }

    /// Time of the newest event; `None` before the first.
    pub fn venue_time(&self) -> Option<Time> {
        Some(Time(self.venue_time.load(Ordering::Acquire))).filter(|time| *time != Time::ZERO)
    }

    pub(super) fn advance_to(&self, time: Time) {
        self.venue_time.fetch_max(time.0, Ordering::AcqRel);
    }

    pub(super) fn count_frame(&self) {
        self.position.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn start(&self) {
        self.started.store(true, Ordering::Release);
    }

    pub(super) fn finish(&self) {
        self.finished.send_replace(true);
    }

    /// All of it as JSON.
    pub(super) fn to_json(&self, hub: &Hub) -> String {
        let state = match (self.finished(), self.started()) {
            (true, _) => "finished",
            (false, true) => "playing",
            (false, false) => "waiting",
        };
        let null = || "null".to_owned();
        let total = self.frames_total.map_or_else(null, |n| n.to_string());
        let time = self
            .venue_time()
            .map_or_else(null, |time| time.millis().to_string());
        let finished = self.finished();
        let end = if finished { time.clone() } else { null() };
        format!(
            "{{\"source\":\"{}\",\"state\":\"{state}\",\"position\":{},\"frames_total\":{total},\"frames_sent\":{},\"malformed\":{},\"clients\":{},\"venue_time\":{time},\"finished\":{finished},\"end\":{end}}}",
            self.source,
            self.position(),
            hub.delivered(),
            self.malformed,
            hub.clients(),
        )
    }
}
