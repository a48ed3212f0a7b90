//! Many instruments on one connection, at the simulated venue.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hean::kernel::event::MarketData;
use hean::kernel::types::{InstrumentId, Interval, VenueId};
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
use hean::venue::sim::{self, Fault, FaultKind, MarketKind, SimConfig, Source};
use hean::venue::tls;
use tokio::sync::watch;

const SYMBOLS: usize = 12;

#[tokio::test]
async fn heavy_streams_that_do_not_heal_cost_one_connection_and_not_one_each() {
    let clock = Clock::start();
    let (stop, stopped) = watch::channel(false);
    let symbols: Vec<String> = (0..SYMBOLS).map(|n| format!("N{n:02}USDT")).collect();
    let mut config = SimConfig::new(Source::Synthetic {
        seed: 3,
        symbols: symbols.clone(),
        speed: 1.0,
        rate: 0.1,
    });
    config.begin = MarketKind::ALL.to_vec();
    let sim = sim::start(config, clock.clone(), stopped.clone())
        .await
        .unwrap();
    let stall = Fault::new(FaultKind::Stall).on(MarketKind::BybitSpot, "orderbook.200.*");
    let stall = sim.inject(stall);

    let venue = VenueId::BybitSpot;
    let url = format!("{venue}=http://{}", sim.local_addr);
    let endpoints = Endpoints::new(venue, &[url.parse().unwrap()]).unwrap();
    let net = Net::new(Resolver::from_system(), tls::client_config(None).unwrap());
    let access = Access::new(endpoints, net, clock.clone(), &Budgets::default());
    let loaded = load_instruments(&access, &symbols).await.unwrap();
    let instruments: Vec<_> = (0..).map(InstrumentId).zip(loaded).collect();
    let mut config = FeedConfig::new(access, vec![Interval::MINUTE]);
    config.stall = Duration::from_millis(20);
    config.reconnect = (Duration::from_millis(1), Duration::from_millis(2));
    let (handle, inbox) = kernel_queues(Capacities::default(), instruments.len());
    let status = Arc::new(FeedStatus::new(venue));
    let wiring = FeedWiring {
        kernel: handle,
        resync: TaskQueue::new(64),
        changes: TaskQueue::new(4),
        status: Arc::clone(&status),
        clock,
    };
    let feed = tokio::spawn(feed::run(config, instruments, wiring, stopped));

    let reconnects = || status.reconnects.load(Ordering::Relaxed);
    let given_up = async {
        while reconnects() == 0 {
            while inbox.market().is_some() {}
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(100), given_up)
        .await
        .expect("a connection without depth is given up");
    // From now on nothing is wrong: every stream begins, and goes on.
    sim.lift(stall);
    let mut updates = [0; SYMBOLS];
    let well = async {
        while updates.iter().any(|n| *n < 30) {
            while let Some((event, _)) = inbox.market() {
                if matches!(event.data, MarketData::Depth(_)) {
                    updates[event.instrument.index()] += 1;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(100), well)
        .await
        .expect("every stream lives");
    assert!(
        reconnects() <= 2,
        "{SYMBOLS} wishes for a new connection made {} of them",
        reconnects()
    );
    stop.send(true).unwrap();
    feed.await.unwrap().unwrap();
}
