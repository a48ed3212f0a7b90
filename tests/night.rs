//! A night at the simulated venue: an hour of market in two minutes, four markets of fifty instruments,
//! and everything that goes wrong at venues, one after the other and on top of each other.
//!
//! The test is the kernel's shell: it takes every event from the queue, steps the kernel, and looks at
//! once whether the kernel believes only what it can know. Beside it stands a naive reading of the same
//! events (`naive.rs`), and the venue's own books.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "night/kernel.rs"]
mod kernel;
#[path = "night/naive.rs"]
mod naive;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hean::kernel::types::{Instrument, InstrumentId, Interval, Scale, VenueId};
use hean::runtime::clock::Clock;
use hean::runtime::mailbox::{Capacities, TaskQueue, kernel_queues};
use hean::status::FeedStatus;
use hean::venue::access::Access;
use hean::venue::budget::Budgets;
use hean::venue::dns::Resolver;
use hean::venue::endpoints::Endpoints;
use hean::venue::feed::{self, FeedConfig, FeedWiring};
use hean::venue::load::load_instruments;
use hean::venue::net::Net;
use hean::venue::sim::{
    self, Fault, FaultId, FaultKind, MarketKind, SimConfig, SimHandle, Source, Trigger,
};
use hean::venue::tls;
use kernel::{Night, Watched};
use tokio::sync::watch;
use tokio::time::Instant;

/// Market time per wall-clock time.
const SPEED: f64 = 30.0;
const INSTRUMENTS: usize = 50;
const VENUES: [VenueId; 4] = [
    VenueId::Binance,
    VenueId::BinanceUsdm,
    VenueId::BybitSpot,
    VenueId::BybitLinear,
];
/// The longest time that a book which the venue left behind may be called valid: until silence is
/// noticed, the venue was asked, and its answer had time to be overtaken.
const STALE: Duration = Duration::from_secs(10);
/// How long everything may take to be valid, in wall-clock time.
const PATIENCE: Duration = Duration::from_mins(1);

fn symbols() -> Vec<String> {
    (0..INSTRUMENTS).map(|n| format!("N{n:02}USDT")).collect()
}

struct Stage {
    sim: SimHandle,
    night: Arc<Night>,
    statuses: Vec<Arc<FeedStatus>>,
    scales: Vec<(Scale, Scale)>,
    stop: watch::Sender<bool>,
    feeds: Vec<tokio::task::JoinHandle<Result<(), feed::FeedError>>>,
    kernel: std::thread::JoinHandle<()>,
}

async fn start() -> Stage {
    let clock = Clock::start();
    let (stop, stopped) = watch::channel(false);
    let mut config = SimConfig::new(Source::Synthetic {
        seed: 7,
        symbols: symbols(),
        speed: SPEED,
        rate: 0.02,
    });
    config.begin = MarketKind::ALL.to_vec();
    let sim = sim::start(config, clock.clone(), stopped.clone())
        .await
        .unwrap();

    let budgets = Budgets::default();
    let mut access = Vec::new();
    let mut named: Vec<Vec<(InstrumentId, Instrument)>> = Vec::new();
    let mut next = 0;
    for venue in VENUES {
        let url = format!("{venue}=http://{}", sim.local_addr);
        let endpoints = Endpoints::new(venue, &[url.parse().unwrap()]).unwrap();
        let net = Net::new(Resolver::from_system(), tls::client_config(None).unwrap());
        let shared = Access::new(endpoints, net, clock.clone(), &budgets);
        let instruments = load_instruments(&shared, &symbols()).await.unwrap();
        let of_venue = instruments.into_iter().map(|instrument| {
            next += 1;
            (InstrumentId(next - 1), instrument)
        });
        named.push(of_venue.collect());
        access.push(shared);
    }
    let all: Vec<Instrument> = named.iter().flatten().map(|(_, i)| i.clone()).collect();
    let scales = all.iter().map(|i| (i.price_scale, i.qty_scale)).collect();
    let capacities = Capacities {
        market: 1 << 18,
        ..Capacities::default()
    };
    let (handle, inbox) = kernel_queues(capacities, all.len());
    let resync: Vec<_> = VENUES.iter().map(|_| TaskQueue::new(1_024)).collect();
    let night = Arc::new(Night::new(all.len()));
    let kernel = kernel::spawn(
        inbox,
        all,
        resync.clone(),
        INSTRUMENTS,
        clock.clone(),
        Arc::clone(&night),
    );
    let (mut statuses, mut feeds) = (Vec::new(), Vec::new());
    for ((access, named), resync) in access.into_iter().zip(named).zip(resync) {
        let status = Arc::new(FeedStatus::new(access.venue()));
        let mut config = FeedConfig::new(access, vec![Interval::MINUTE]);
        // The market runs faster; so does our patience.
        config.silence = Duration::from_secs(2);
        config.stall = Duration::from_millis(1_500);
        config.answer = Duration::from_secs(5);
        config.reconnect = (Duration::from_millis(50), Duration::from_secs(2));
        config.renew = Duration::from_secs(6);
        config.history_candles = 50;
        config.refresh = Duration::from_secs(20);
        let wiring = FeedWiring {
            kernel: handle.clone(),
            resync,
            changes: TaskQueue::new(4),
            status: Arc::clone(&status),
            clock: clock.clone(),
        };
        statuses.push(status);
        feeds.push(tokio::spawn(feed::run(
            config,
            named,
            wiring,
            stopped.clone(),
        )));
    }
    Stage {
        sim,
        night,
        statuses,
        scales,
        stop,
        feeds,
        kernel,
    }
}

impl Stage {
    /// Waits until every book is valid.
    async fn all_valid(&self, when: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let invalid = self.night.invalid();
            if invalid.is_empty() {
                return;
            }
            assert!(
                Instant::now() < until,
                "{when}: {} books do not become valid: {:?}",
                invalid.len(),
                &invalid[..invalid.len().min(10)]
            );
            self.change().await;
        }
    }

    /// Waits until a book changes, but not for ever.
    async fn change(&self) {
        let changed = self.night.changed.notified();
        drop(tokio::time::timeout(Duration::from_millis(200), changed).await);
    }

    fn weight_peaks(&self) -> Vec<u64> {
        let peak = |s: &Arc<FeedStatus>| s.weight_peak_ppm.load(Ordering::Relaxed);
        self.statuses.iter().map(peak).collect()
    }

    /// Market time passes; nobody may call a book valid that the venue left behind long ago.
    async fn passes(&self, market: Duration, behind: &mut [Option<Instant>]) {
        let until = Instant::now() + market.div_f64(SPEED);
        let mut look = tokio::time::interval(Duration::from_millis(100));
        while Instant::now() < until {
            look.tick().await;
            for (at, since) in behind.iter_mut().enumerate() {
                let venue = VENUES[at / INSTRUMENTS];
                let symbol = format!("N{:02}USDT", at % INSTRUMENTS);
                let truth = self.sim.book(MarketKind::of(venue), &symbol, 0).unwrap();
                let stale = self.night.valid_seq(at).is_some_and(|seq| seq < truth.id);
                let first = since.get_or_insert_with(Instant::now);
                if !stale {
                    *since = None;
                } else if first.elapsed() > STALE {
                    let streams = self.statuses[at / INSTRUMENTS].streams.get();
                    panic!(
                        "{venue}:{symbol} has been called valid for {STALE:?} after it was not: ours {:?}, the \
                         venue's {}, streams {:?}",
                        self.night.valid_seq(at),
                        truth.id,
                        streams.and_then(|all| all.get(at % INSTRUMENTS)),
                    );
                }
            }
        }
    }
}

/// What goes wrong all night long, now and then.
fn background() -> Vec<Fault> {
    [
        (FaultKind::Drop, 0.002),
        (FaultKind::Duplicate, 0.005),
        (FaultKind::Reorder, 0.002),
        (FaultKind::Truncate, 0.001),
        (FaultKind::FlipBit, 0.001),
    ]
    .map(|(kind, rate)| Fault::new(kind).when(Trigger::Rate(rate)))
    .to_vec()
}

/// What goes wrong for a while, to one market after the other.
fn trouble(market: MarketKind, n: usize) -> Vec<Fault> {
    let minutes = Duration::from_mins;
    let symbol = format!("{:02}", n * 7 % INSTRUMENTS);
    let bybit = matches!(market, MarketKind::BybitSpot | MarketKind::BybitLinear);
    let of = |stream: &str, topic: &str| {
        if bybit {
            format!("{topic}.N{symbol}USDT")
        } else {
            format!("n{symbol}usdt@{stream}*")
        }
    };
    let on = |kind, pattern: &str| Fault::new(kind).on(market, pattern);
    let status = |code, retry_after| FaultKind::Status { code, retry_after };
    vec![
        on(FaultKind::Stall, &of("depth", "orderbook.200")).lasting(minutes(4)),
        on(FaultKind::Stall, &of("", "*")).lasting(minutes(4)),
        on(
            FaultKind::Delay(Duration::from_secs(20)),
            &of("depth", "orderbook.200"),
        )
        .lasting(minutes(2)),
        on(
            FaultKind::Stall,
            if bybit { "publicTrade.*" } else { "*rade" },
        )
        .lasting(minutes(3)),
        on(status(502, None), "").lasting(minutes(1)),
        on(status(429, Some(1)), "").times(3),
        on(status(418, Some(2)), "").times(1),
        on(status(451, None), "").times(2),
        on(FaultKind::Cut, ""),
        on(FaultKind::Close(1001), ""),
        on(FaultKind::Shutdown(Duration::from_secs(2)), ""),
        on(FaultKind::Mute, "").lasting(minutes(3)),
        on(FaultKind::Deaf, "").lasting(minutes(3)),
        on(FaultKind::Restart, "").lasting(minutes(1)),
        on(FaultKind::Resend, ""),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_night_with_every_fault_ends_with_every_book_right() {
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .init();
    }
    let stage = start().await;
    stage.all_valid("at the start").await;
    println!("the evening begins");
    let evening = Instant::now();
    let mut faults: Vec<FaultId> = Vec::new();
    faults.extend(background().into_iter().map(|f| stage.sim.inject(f)));
    let mut behind = vec![None; VENUES.len() * INSTRUMENTS];
    // An hour: fifteen kinds of trouble, each in all four markets, at different instruments.
    let mut memory = None;
    for round in 0..15 {
        for (n, market) in MarketKind::ALL.into_iter().enumerate() {
            let fault = trouble(market, round + n).swap_remove((round + 4 * n) % 15);
            faults.push(stage.sim.inject(fault));
        }
        stage.passes(Duration::from_mins(4), &mut behind).await;
        stage.night.check();
        if round == 4 {
            memory = Some(kernel::resident_bytes());
        }
    }
    let (injected, forgotten) = stage.sim.injected();
    println!(
        "an hour of market in {:.0} s: {} faults happened, {} events, {} gaps, {} times a book was lost and found",
        evening.elapsed().as_secs_f64(),
        injected.len() as u64 + forgotten,
        stage.night.events(),
        stage.night.gaps(),
        stage.night.recoveries(),
    );

    // The morning: nothing goes wrong any more, and everything is right again.
    for fault in faults {
        stage.sim.lift(fault);
    }
    stage.all_valid("in the morning").await;
    stage.sim.freeze(true);
    let until = Instant::now() + PATIENCE;
    for (index, venue) in VENUES.into_iter().enumerate() {
        for (n, symbol) in symbols().iter().enumerate() {
            let at = index * INSTRUMENTS + n;
            let market = MarketKind::of(venue);
            loop {
                let truth = stage.sim.book(market, symbol, 20).unwrap();
                let ours = stage.night.book(at);
                if let Watched::Valid { seq, bids, asks } = &ours
                    && *seq >= truth.id
                {
                    let theirs = (truth.price_scale, truth.qty_scale);
                    for (truth, ours) in [(&truth.bids, bids), (&truth.asks, asks)] {
                        let ours = (ours.as_slice(), stage.scales[at]);
                        kernel::assert_same(symbol, venue, (truth, theirs), ours);
                    }
                    break;
                }
                assert!(
                    Instant::now() < until,
                    "{venue}:{symbol} is {ours:?}, the venue's book {}",
                    truth.id
                );
                stage.change().await;
            }
        }
    }
    stage.night.check();
    for (status, peak) in stage.statuses.iter().zip(stage.weight_peaks()) {
        println!(
            "{}: weight at most {:.1} %, {} reconnects, {} replaced in time, {} stalls, {} resubscriptions, {} unreadable frames",
            status.venue,
            peak as f64 / 1e4,
            status.reconnects.load(Ordering::Relaxed),
            status.replaced.load(Ordering::Relaxed),
            status.stalls.load(Ordering::Relaxed),
            status.healed.load(Ordering::Relaxed),
            status.decode_errors.load(Ordering::Relaxed),
        );
        assert!(
            peak <= 800_000,
            "{} used {peak} ppm of its weight",
            status.venue
        );
        assert!(status.reconnects.load(Ordering::Relaxed) > 0);
        assert!(status.stalls.load(Ordering::Relaxed) > 0);
    }
    let replaced = stage
        .statuses
        .iter()
        .map(|s| s.replaced.load(Ordering::Relaxed));
    assert!(replaced.sum::<u64>() > 0);
    let (first, last) = (memory.unwrap(), kernel::resident_bytes());
    println!(
        "memory: {} MB after a third, {} MB at the end",
        first >> 20,
        last >> 20
    );
    assert!(
        last < first + first / 5 + (16 << 20),
        "memory grew from {first} to {last}"
    );
    stage.stop.send(true).unwrap();
    for feed in stage.feeds {
        feed.await.unwrap().unwrap();
    }
    stage.night.end();
    stage.kernel.join().unwrap();
}
