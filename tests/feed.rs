//! The market-data session against a scripted venue on loopback: real sockets, real HTTP, and a
//! venue that does what the test says.

#![expect(clippy::unwrap_used, reason = "helpers of a test")]

mod script;

#[path = "feed/many.rs"]
mod many;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hean::kernel::event::{LossReason, Lost, MarketData, MarketEvent};
use hean::kernel::types::{Instrument, InstrumentId, InstrumentStatus, Interval, Price, VenueId};
use hean::runtime::clock::Clock;
use hean::runtime::mailbox::{Capacities, KernelInbox, TaskQueue, kernel_queues};
use hean::status::FeedStatus;
use hean::venue::access::Access;
use hean::venue::budget::Budgets;
use hean::venue::dns::Resolver;
use hean::venue::endpoints::Endpoints;
use hean::venue::feed::{self, Change, FeedConfig, FeedError, FeedWiring};
use hean::venue::load::load_instruments;
use hean::venue::net::Net;
use hean::venue::tls;
use script::{Reply, Venue, Ws};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const ID: InstrumentId = InstrumentId(0);

fn access(venue: &Venue) -> Arc<Access> {
    let url = format!("binance=http://{}", venue.address);
    let endpoints = Endpoints::new(VenueId::Binance, &[url.parse().unwrap()]).unwrap();
    let net = Net::new(Resolver::from_system(), tls::client_config(None).unwrap());
    Access::new(endpoints, net, Clock::start(), &Budgets::default())
}

struct Running {
    venue: Venue,
    inbox: KernelInbox,
    resync: Arc<TaskQueue<InstrumentId>>,
    changes: Arc<TaskQueue<Change>>,
    status: Arc<FeedStatus>,
    stop: watch::Sender<bool>,
    feed: JoinHandle<Result<(), FeedError>>,
}

/// A feed of BTCUSDT with one-minute candles.
async fn start(change: impl FnOnce(&mut FeedConfig)) -> Running {
    let venue = Venue::start().await;
    venue.serve("/api/v3/exchangeInfo", Reply::ok(script::EXCHANGE_INFO));
    venue.serve("/api/v3/time", Reply::ok(r#"{"serverTime":1723161299000}"#));
    venue.serve("/api/v3/klines", Reply::ok(script::KLINES));
    venue.serve("/api/v3/depth", Reply::ok(script::DEPTH));
    let access = access(&venue);
    let instruments = load_instruments(&access, &["BTCUSDT".to_owned()])
        .await
        .unwrap();
    let instruments = vec![(ID, instruments.into_iter().next().unwrap())];
    let mut config = FeedConfig::new(access, vec![Interval::MINUTE]);
    config.reconnect = (Duration::from_millis(1), Duration::from_millis(10));
    config.refetch = (Duration::from_millis(1), Duration::from_millis(10));
    change(&mut config);
    let (handle, inbox) = kernel_queues(Capacities::default(), 1);
    let resync = TaskQueue::new(16);
    let changes = TaskQueue::new(16);
    let status = Arc::new(FeedStatus::new(VenueId::Binance));
    let (stop, stopped) = watch::channel(false);
    let feed = tokio::spawn(feed::run(
        config,
        instruments,
        FeedWiring {
            kernel: handle,
            resync: Arc::clone(&resync),
            changes: Arc::clone(&changes),
            status: Arc::clone(&status),
            clock: Clock::start(),
        },
        stopped,
    ));
    Running {
        venue,
        inbox,
        resync,
        changes,
        status,
        stop,
        feed,
    }
}

impl Running {
    /// The next event; fails when none comes.
    async fn event(&self) -> MarketEvent {
        let wait = async {
            loop {
                if let Some((event, _)) = self.inbox.market() {
                    return event;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .expect("an event")
    }

    /// Events until one fits.
    async fn until(&self, fits: impl Fn(&MarketData) -> bool) -> MarketEvent {
        loop {
            let event = self.event().await;
            if fits(&event.data) {
                return event;
            }
        }
    }

    /// The venue's side of a subscribed connection.
    async fn subscribed(&self) -> Ws {
        let mut ws = self.venue.connection().await;
        let request = ws.json().await;
        assert_eq!(request["method"], "SUBSCRIBE");
        let mut streams: Vec<_> = request["params"].as_array().unwrap().clone();
        streams.sort_by_key(ToString::to_string);
        let wanted = [
            "bookTicker",
            "depth@100ms",
            "kline_1m",
            "miniTicker",
            "trade",
        ];
        let wanted: Vec<_> = wanted.iter().map(|s| format!("btcusdt@{s}")).collect();
        assert_eq!(streams, wanted);
        ws.send(&format!(r#"{{"result":null,"id":{}}}"#, request["id"]))
            .await;
        ws
    }

    async fn finish(self) {
        self.stop.send(true).unwrap();
        self.feed.await.unwrap().unwrap();
        assert!(!self.status.connected.load(Ordering::Acquire));
    }
}

fn depth(first: u64, last: u64) -> String {
    format!(
        r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":{first},"u":{last},"b":[["61837.63","1"]],"a":[]}}}}"#
    )
}

fn is_snapshot(data: &MarketData) -> bool {
    matches!(data, MarketData::Snapshot(_))
}

fn is_lost(reason: LossReason) -> impl Fn(&MarketData) -> bool {
    move |data| matches!(data, MarketData::Lost(r, _) if *r == reason)
}

#[tokio::test]
async fn a_session_delivers_stream_snapshot_and_history() {
    let run = start(|_| {}).await;
    let mut ws = run.subscribed().await;
    ws.send(&depth(90, 101)).await;
    let (mut snapshot, mut history, mut delta) = (None, None, None);
    while snapshot.is_none() || history.is_none() || delta.is_none() {
        let event = run.event().await;
        assert_eq!(event.instrument, ID);
        match event.data {
            MarketData::Snapshot(s) => snapshot = Some(s),
            MarketData::History(h) => history = Some((h, event.venue_time)),
            MarketData::Depth(d) => delta = Some(d),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(snapshot.unwrap().last_id, 100);
    assert_eq!(delta.unwrap().last_id, 101);
    let (history, venue_time) = history.unwrap();
    assert_eq!(
        (history.interval, history.candles.len()),
        (Interval::MINUTE, 2)
    );
    assert_eq!(
        venue_time.millis(),
        1_723_161_299_000,
        "the venue's clock, not ours"
    );
    assert!(run.status.connected.load(Ordering::Acquire));
    assert!(run.status.messages.load(Ordering::Relaxed) >= 2);
    // The venue says 123 of 6,000, which is more than this process has used.
    assert!(run.status.weight_used_ppm.load(Ordering::Relaxed) >= 20_500);
    let asked = run.venue.asked("/api/v3/depth");
    assert_eq!(asked, ["symbol=BTCUSDT&limit=1000"]);
    let klines = run.venue.asked("/api/v3/klines");
    assert_eq!(klines, ["symbol=BTCUSDT&interval=1m&limit=1000"]);
    run.finish().await;
    ws.expect_close(1000).await;
}

#[tokio::test]
async fn the_snapshot_is_asked_for_only_after_the_subscription_is_confirmed() {
    let run = start(|_| {}).await;
    let mut ws = run.venue.connection().await;
    let request = ws.json().await;
    ws.send(&depth(90, 101)).await;
    run.until(|d| matches!(d, MarketData::Depth(_))).await;
    assert!(run.venue.asked("/api/v3/depth").is_empty());
    assert!(!run.status.connected.load(Ordering::Acquire));
    ws.send(&format!(r#"{{"result":null,"id":{}}}"#, request["id"]))
        .await;
    run.until(is_snapshot).await;
    run.finish().await;
}

#[tokio::test]
async fn a_lost_connection_is_reported_and_comes_back() {
    let run = start(|_| {}).await;
    let ws = run.subscribed().await;
    run.until(is_snapshot).await;
    ws.cut();
    run.until(is_lost(LossReason::Disconnected)).await;
    let _ws = run.subscribed().await;
    run.until(is_snapshot).await;
    assert_eq!(run.status.reconnects.load(Ordering::Relaxed), 1);
    assert!(run.status.connected.load(Ordering::Acquire));
    run.finish().await;
}

#[tokio::test]
async fn a_malformed_depth_frame_invalidates_its_instrument_and_nothing_else() {
    let run = start(|_| {}).await;
    let mut ws = run.subscribed().await;
    run.until(is_snapshot).await;
    ws.send(&depth(101, 102).replace("61837.63", "six")).await;
    run.until(is_lost(LossReason::Malformed)).await;
    ws.send(r#"{"stream":"btcusdt@kline_1m","data":{"e":"kline","s":"BTCUSDT"}}"#)
        .await;
    ws.send(&depth(103, 104)).await;
    let next = run.until(|d| !matches!(d, MarketData::History(_))).await;
    assert!(matches!(next.data, MarketData::Depth(_)), "{next:?}");
    assert_eq!(run.status.decode_errors.load(Ordering::Relaxed), 2);
    run.finish().await;
}

#[tokio::test]
async fn a_ping_is_answered_with_its_payload() {
    let run = start(|_| {}).await;
    let mut ws = run.subscribed().await;
    ws.ping(b"1723161255").await;
    ws.expect_pong(b"1723161255").await;
    run.finish().await;
}

#[tokio::test]
async fn a_refused_subscription_is_tried_again() {
    let run = start(|_| {}).await;
    let mut ws = run.venue.connection().await;
    let request = ws.json().await;
    let id = &request["id"];
    ws.send(&format!(
        r#"{{"error":{{"code":2,"msg":"Invalid request"}},"id":{id}}}"#
    ))
    .await;
    let _ws = run.subscribed().await;
    run.until(is_snapshot).await;
    run.finish().await;
}

#[tokio::test]
async fn an_unanswered_subscription_is_tried_again() {
    let run = start(|config| config.answer = Duration::from_millis(50)).await;
    let mut ws = run.venue.connection().await;
    ws.json().await;
    let mut ws = run.venue.connection().await;
    ws.json().await;
    run.finish().await;
}

#[tokio::test]
async fn a_slow_snapshot_of_a_dead_session_is_not_delivered() {
    let run = start(|_| {}).await;
    let slow = run.venue.serve("/api/v3/depth", Reply::held(script::DEPTH));
    let ws = run.subscribed().await;
    slow.asked().await;
    ws.cut();
    run.until(is_lost(LossReason::Disconnected)).await;
    run.venue.serve(
        "/api/v3/depth",
        Reply::ok(&script::DEPTH.replace("100", "500")),
    );
    slow.release();
    let _ws = run.subscribed().await;
    let snapshot = run.until(is_snapshot).await;
    assert!(matches!(snapshot.data, MarketData::Snapshot(s) if s.last_id == 500));
    run.finish().await;
}

#[tokio::test]
async fn the_kernels_wish_for_a_snapshot_is_fulfilled_and_failures_are_repeated() {
    let run = start(|_| {}).await;
    let _ws = run.subscribed().await;
    run.until(is_snapshot).await;
    run.venue.serve("/api/v3/depth", Reply::status(503, "busy"));
    let failing = run.venue.asked("/api/v3/depth").len();
    run.resync.offer(ID).unwrap();
    run.resync.offer(InstrumentId(77)).unwrap();
    while run.venue.asked("/api/v3/depth").len() < failing + 3 {
        tokio::task::yield_now().await;
    }
    run.venue.serve(
        "/api/v3/depth",
        Reply::ok(&script::DEPTH.replace("100", "700")),
    );
    let snapshot = run.until(is_snapshot).await;
    assert!(matches!(snapshot.data, MarketData::Snapshot(s) if s.last_id == 700));
    run.finish().await;
}

#[tokio::test]
async fn an_announced_shutdown_is_answered_by_a_new_connection() {
    let run = start(|_| {}).await;
    let mut ws = run.subscribed().await;
    run.until(is_snapshot).await;
    ws.send(r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1723161255208}}"#)
        .await;
    let _next = run.subscribed().await;
    run.finish().await;
}

#[tokio::test]
async fn a_quiet_book_is_left_alone_and_a_stalled_one_is_not() {
    let run = start(|config| {
        config.silence = Duration::from_millis(40);
        config.stall = Duration::from_millis(10);
    })
    .await;
    let mut ws = run.subscribed().await;
    run.until(is_snapshot).await;
    // Probes say 100, as the snapshot did: nothing is missing.
    while run.venue.asked("/api/v3/depth").len() < 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(run.status.reconnects.load(Ordering::Relaxed), 0);
    assert!(
        run.venue
            .asked("/api/v3/depth")
            .contains(&"symbol=BTCUSDT&limit=5".to_owned())
    );
    // The venue's book moves on, and the stream does not.
    run.venue.serve(
        "/api/v3/depth",
        Reply::ok(&script::DEPTH.replace("100", "101")),
    );
    run.until(is_lost(LossReason::Stalled)).await;
    // First the stream is subscribed to anew; when that does not help again and again, everything.
    for method in ["UNSUBSCRIBE", "SUBSCRIBE"] {
        let request = ws.json().await;
        assert_eq!(request["method"], method);
        assert_eq!(
            request["params"],
            serde_json::json!(["btcusdt@depth@100ms"])
        );
        ws.answer(&request).await;
    }
    ws.answer_all();
    run.until(is_lost(LossReason::Disconnected)).await;
    let _ws = run.subscribed().await;
    run.finish().await;
}

#[tokio::test]
async fn a_quiet_book_that_was_looked_at_counts_as_seen() {
    let run = start(|config| config.silence = Duration::from_millis(40)).await;
    let _ws = run.subscribed().await;
    run.until(is_snapshot).await;
    let verified = |d: &MarketData| matches!(d, MarketData::Verified { seq: 100 });
    run.until(verified).await;
    run.finish().await;
}

fn trade(id: u64) -> String {
    format!(
        r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":1723161255208,"s":"BTCUSDT","t":{id},"p":"61837.63","q":"0.1","T":1723161255207,"m":true,"M":true}}}}"#
    )
}

fn candle(last: u64) -> String {
    format!(
        r#"{{"stream":"btcusdt@kline_1m","data":{{"e":"kline","E":1723161255208,"s":"BTCUSDT","k":{{"t":1723161240000,"T":1723161299999,"s":"BTCUSDT","i":"1m","f":1,"L":{last},"o":"61837.63","c":"61837.63","h":"61837.63","l":"61837.63","v":"1","n":{last},"x":false,"q":"61837.63","V":"1","Q":"1","B":"0"}}}}}}"#
    )
}

#[tokio::test]
async fn a_dead_trade_stream_beside_living_ones_is_noticed() {
    let run = start(|config| config.stall = Duration::from_millis(10)).await;
    let mut ws = run.subscribed().await;
    ws.send(&trade(7)).await;
    ws.send(&candle(7)).await;
    run.until(|d| matches!(d, MarketData::Trade(_))).await;
    // The venue's candle knows of trades that never came.
    ws.send(&candle(9)).await;
    let lost = |d: &MarketData| matches!(d, MarketData::Lost(LossReason::Stalled, Lost::Trades));
    run.until(lost).await;
    for method in ["UNSUBSCRIBE", "SUBSCRIBE"] {
        let request = ws.json().await;
        assert_eq!(request["method"], method);
        assert_eq!(request["params"], serde_json::json!(["btcusdt@trade"]));
        ws.answer(&request).await;
    }
    run.finish().await;
}

#[tokio::test]
async fn an_old_connection_is_replaced_without_missing_or_doubling_anything() {
    let run = start(|config| config.renew = Duration::from_millis(200)).await;
    let mut old = run.subscribed().await;
    run.until(is_snapshot).await;
    old.send(&depth(101, 101)).await;
    old.send(&trade(1)).await;
    // The new one begins further on, and waits until the old one has delivered what lies between.
    let mut new = run.subscribed().await;
    new.send(&depth(103, 103)).await;
    new.send(&trade(3)).await;
    old.send(&trade(2)).await;
    old.send(&trade(3)).await;
    old.send(&depth(102, 102)).await;
    let (mut depths, mut trades) = (Vec::new(), Vec::new());
    while depths.last() != Some(&103) || trades.last() != Some(&3) || trades.len() < 4 {
        match run.event().await.data {
            MarketData::Depth(d) => depths.push(d.last_id),
            MarketData::Trade(t) => trades.push(t.id),
            MarketData::History(_) => {}
            other => panic!("{other:?}"),
        }
    }
    // In order; what both brought is recognised by its id.
    assert_eq!(depths, [101, 102, 103]);
    assert_eq!(trades, [1, 2, 3, 3]);
    assert_eq!(run.status.replaced.load(Ordering::Relaxed), 1);
    assert_eq!(run.status.reconnects.load(Ordering::Relaxed), 0);
    old.expect_close(1000).await;
    run.finish().await;
}

#[tokio::test]
async fn an_instrument_can_be_left_and_taken_up_again() {
    let run = start(|_| {}).await;
    let mut ws = run.subscribed().await;
    run.until(is_snapshot).await;
    run.changes.offer(Change::Unsubscribe(ID)).unwrap();
    run.until(is_lost(LossReason::Unsubscribed)).await;
    let mut left = Vec::new();
    while left.len() < 5 {
        let request = ws.json().await;
        assert_eq!(request["method"], "UNSUBSCRIBE");
        left.extend(request["params"].as_array().unwrap().clone());
        ws.answer(&request).await;
    }
    run.changes.offer(Change::Subscribe(ID)).unwrap();
    let request = ws.json().await;
    assert_eq!(request["method"], "SUBSCRIBE");
    ws.answer(&request).await;
    run.until(is_snapshot).await;
    run.finish().await;
}

#[tokio::test]
async fn a_silent_connection_to_a_dead_venue_is_given_up() {
    let run = start(|config| config.silence = Duration::from_millis(40)).await;
    let _ws = run.subscribed().await;
    run.until(is_snapshot).await;
    run.venue.serve("/api/v3/depth", Reply::status(502, ""));
    run.until(is_lost(LossReason::Disconnected)).await;
    let _ws = run.subscribed().await;
    run.finish().await;
}

#[tokio::test]
async fn instruments_are_loaded_with_their_facts() {
    let venue = Venue::start().await;
    venue.serve("/api/v3/exchangeInfo", Reply::ok(script::EXCHANGE_INFO));
    let loaded: Vec<Instrument> = load_instruments(&access(&venue), &["BTCUSDT".to_owned()])
        .await
        .unwrap();
    let [btc] = loaded.as_slice() else {
        panic!("one")
    };
    assert_eq!(btc.name.to_string(), "binance:BTCUSDT");
    assert_eq!(Price::parse(b"0.01", btc.price_scale), Ok(btc.tick));
    assert_eq!(btc.status, InstrumentStatus::Trading);
    let asked = venue.asked("/api/v3/exchangeInfo");
    assert_eq!(
        asked,
        ["showPermissionSets=false&symbols=%5B%22BTCUSDT%22%5D"]
    );
}

#[tokio::test]
async fn an_unknown_symbol_is_answered_with_the_nearest() {
    let venue = Venue::start().await;
    let invalid = r#"{"code":-1121,"msg":"Invalid symbol."}"#;
    venue.serve(
        "/api/v3/exchangeInfo?showPermissionSets=false&symbols=",
        Reply::status(400, invalid),
    );
    venue.serve("/api/v3/exchangeInfo", Reply::ok(script::EXCHANGE_INFO));
    let error = load_instruments(&access(&venue), &["BTCUSTD".to_owned()])
        .await
        .unwrap_err();
    let text = error.to_string();
    assert_eq!(text, "binance has no symbol BTCUSTD; did you mean BTCUSDT?");
}

#[tokio::test]
async fn a_pause_that_the_venue_asks_for_is_kept() {
    let venue = Venue::start().await;
    venue.serve(
        "/api/v3/exchangeInfo",
        Reply::status(429, "{}").header("retry-after", "3600"),
    );
    let access = access(&venue);
    let symbols = ["BTCUSDT".to_owned()];
    assert!(load_instruments(&access, &symbols).await.is_err());
    let again = load_instruments(&access, &symbols);
    assert!(
        tokio::time::timeout(Duration::from_millis(100), again)
            .await
            .is_err()
    );
    assert_eq!(venue.asked("/api/v3/exchangeInfo").len(), 1);
}
