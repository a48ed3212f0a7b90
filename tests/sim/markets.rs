//! Every market of the simulated venue, read by the product's own protocols over plain sockets.

use std::collections::{BTreeMap, BTreeSet};

use hean::kernel::event::{Level, MarketData, MarketEvent};
use hean::kernel::types::{Instrument, InstrumentId, Interval, Scale, Time, VenueId, parse_fixed};
use hean::venue::VenueRow;
use hean::venue::protocol::{Ignored, Protocol, Reading, Route, Said, TopicKind, Wanted};
use hean::venue::sim::{MarketKind, SimConfig, Source, TrueBook};
use serde_json::Value;

use super::common::{Client, Running, get, value};

pub(crate) const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];

/// A synthetic venue that is quick: each test waits for market time.
pub(crate) async fn quick(faults: &[&str]) -> Running {
    let source = Source::Synthetic {
        seed: 5,
        symbols: SYMBOLS.iter().map(|&symbol| symbol.to_owned()).collect(),
        speed: 4.0,
        rate: 1.0,
    };
    Running::configured(SimConfig {
        begin: Vec::new(),
        faults: faults
            .iter()
            .map(|text| text.parse().expect("fault"))
            .collect(),
        ..SimConfig::new(source)
    })
    .await
}

async fn call(sim: &Running, target: &str) -> String {
    let answer = get(sim.addr, target).await;
    assert_eq!(answer.status, 200, "{target}: {}", answer.body);
    answer.body
}

async fn instruments(sim: &Running, protocol: &dyn Protocol) -> Vec<Instrument> {
    let wanted: Vec<String> = SYMBOLS.iter().map(|&symbol| symbol.to_owned()).collect();
    let mut found = Vec::new();
    let mut page = None;
    loop {
        let target = protocol.instruments(&wanted, page.as_deref()).target;
        let mut body = call(sim, &target).await.into_bytes();
        let listings = protocol.decode_instruments(&mut body, &wanted, &|_| None);
        let listings = listings.expect("instruments");
        for (symbol, instrument) in listings.found {
            found.push(instrument.unwrap_or_else(|e| panic!("{symbol}: {e}")));
        }
        page = listings.next;
        if page.is_none() {
            return found;
        }
    }
}

/// Connects a route and subscribes to topics of it.
async fn connect(sim: &Running, protocol: &dyn Protocol, route: &Route, topics: &[&str]) -> Client {
    let mut client = Client::connect(sim.addr, route.path).await;
    for message in protocol.subscriptions(true, topics, 1) {
        client.send(&message.text).await;
    }
    client
}

/// Follows one market until every kind of topic has said enough.
async fn follow(venue: VenueId) {
    let sim = quick(&[]).await;
    let protocol = VenueRow::of(venue).protocol;
    let instruments = instruments(&sim, protocol).await;
    assert_eq!(instruments.len(), SYMBOLS.len());
    let wanted = Wanted {
        intervals: vec![Interval::MINUTE],
        window: 50,
    };
    let readings: Vec<Reading<'_>> = (0..)
        .zip(&instruments)
        .map(|(id, instrument)| Reading {
            id: InstrumentId(id),
            instrument,
            trades: protocol.trade_stream(),
        })
        .collect();
    let decoder = protocol.decoder(&readings);
    let topics: Vec<_> = instruments
        .iter()
        .flat_map(|instrument| protocol.topics(instrument, &wanted))
        .collect();
    let kinds: BTreeSet<TopicKind> = topics.iter().map(|topic| topic.kind).collect();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, route) in protocol.routes().iter().enumerate() {
        let names: Vec<&str> = topics
            .iter()
            .filter(|topic| topic.route == at)
            .map(|topic| topic.name.as_str())
            .collect();
        let mut client = connect(&sim, protocol, route, &names).await;
        let mut answers = protocol.subscriptions(true, &names, 1).len();
        let mut links = vec![None; instruments.len()];
        let mut trades = vec![None; instruments.len()];
        let mut events = Vec::new();
        let wanted: usize = kinds
            .iter()
            .filter(|kind| of_route(venue, at, **kind))
            .count();
        let mut kinds_seen = BTreeSet::new();
        let mut frames = 0;
        while kinds_seen.len() < wanted || frames < 1_000 || answers > 0 {
            let text = client.text().await;
            frames += 1;
            assert!(frames < 60_000, "{venue}: only {kinds_seen:?} of {kinds:?}");
            events.clear();
            match decoder.decode(text.as_bytes(), Time(1), &mut events) {
                Ok(Said::Answer(answer)) => {
                    assert_eq!(answer.error, None, "{text}");
                    answers -= 1;
                }
                // A ticker may say nothing but best prices, which have a topic of their own.
                Ok(Said::Market | Said::Ignored(Ignored::NoTrades)) => {}
                other => panic!("{venue}: {other:?}: {text}"),
            }
            for event in &events {
                let place = event.instrument.index();
                check(event, &mut links[place], &mut trades[place], &text);
                if let Some(kind) = kind(event) {
                    kinds_seen.insert(kind);
                    *seen.entry(kind.name()).or_default() += 1;
                }
            }
        }
    }
    for instrument in &instruments {
        rest(&sim, protocol, instrument).await;
    }
    sim.stop().await;
}

/// What comes often enough to be waited for: a liquidation does not.
fn of_route(venue: VenueId, route: usize, kind: TopicKind) -> bool {
    if kind == TopicKind::Liquidations {
        return false;
    }
    let public = matches!(kind, TopicKind::Depth | TopicKind::Quote);
    venue != VenueId::BinanceUsdm || public == (route == 0)
}

fn kind(event: &MarketEvent) -> Option<TopicKind> {
    Some(match &event.data {
        MarketData::Depth(_) | MarketData::Snapshot(_) => TopicKind::Depth,
        MarketData::Trade(_) => TopicKind::Trades,
        MarketData::Quote(_) => TopicKind::Quote,
        MarketData::Kline(_) => TopicKind::Candles,
        MarketData::Stats(_) => TopicKind::Ticker,
        MarketData::Derivative(_) => TopicKind::Mark,
        _ => return None,
    })
}

/// Links of depth and numbers of trades.
fn check(event: &MarketEvent, link: &mut Option<u64>, trade: &mut Option<(u64, u64)>, text: &str) {
    match &event.data {
        MarketData::Depth(delta) => {
            if let Some(last) = link {
                assert_eq!(delta.prev_id, *last, "{text}");
            }
            assert!(delta.first_id <= delta.last_id, "{text}");
            *link = Some(delta.last_id);
        }
        MarketData::Snapshot(snapshot) => {
            assert_eq!(snapshot.window, Some(50), "{text}");
            assert_eq!((snapshot.bids.len(), snapshot.asks.len()), (50, 50));
            *link = Some(snapshot.last_id);
        }
        MarketData::Trade(new) => {
            let numbered = !text.contains("publicTrade");
            if let Some((id, last)) = *trade
                && numbered
            {
                assert_eq!((new.id, new.first_id), (id + 1, last + 1), "{text}");
            }
            *trade = Some((new.id, new.last_id));
        }
        MarketData::Quote(quote) => assert!(quote.bid.price < quote.ask.price, "{text}"),
        _ => {}
    }
}

/// The REST calls that a feed makes.
async fn rest(sim: &Running, protocol: &dyn Protocol, instrument: &Instrument) {
    let now = call(sim, &protocol.server_time().target).await;
    let now = protocol.decode_server_time(now.as_bytes()).expect("time");
    let limit = protocol.candles_max();
    let target = protocol
        .candles(instrument, Interval::MINUTE, None, limit)
        .target;
    let body = call(sim, &target).await;
    let candles = protocol.decode_candles(body.as_bytes(), instrument);
    let candles = candles.expect("candles");
    assert_eq!(candles.len(), usize::from(limit));
    let last = candles.last().expect("one").open_time;
    assert!(last.plus(120_000_000_000) > now, "{last:?} at {now:?}");
    let older = protocol
        .candles(instrument, Interval::MINUTE, Some(candles[5].open_time), 5)
        .target;
    let body = call(sim, &older).await;
    let older = protocol.decode_candles(body.as_bytes(), instrument);
    assert_eq!(older.expect("candles"), candles[..5]);
    let body = call(sim, &protocol.probe(instrument).target).await;
    let seq = protocol.decode_probe(body.as_bytes(), instrument);
    assert!(seq.expect("probe") > 0);
    if let Some(target) = protocol.depth(instrument, 1_000) {
        let body = call(sim, &target.target).await;
        let snapshot = protocol.decode_depth(body.as_bytes(), instrument);
        assert!(snapshot.expect("depth").bids.len() > 100);
    }
    if let Some(target) = protocol.open_interest(instrument) {
        let body = call(sim, &target.target).await;
        let interest = protocol.decode_open_interest(body.as_bytes(), instrument);
        assert!(interest.expect("open interest").open_interest > Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spot_is_read_by_its_protocol() {
    follow(VenueId::Binance).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usdm_is_read_by_its_protocol() {
    follow(VenueId::BinanceUsdm).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bybit_spot_is_read_by_its_protocol() {
    follow(VenueId::BybitSpot).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bybit_linear_is_read_by_its_protocol() {
    follow(VenueId::BybitLinear).await;
}

/// A window of a book by the rules of the documentation, numbers at eight digits.
#[derive(Default)]
pub(crate) struct WindowBook {
    sides: [BTreeMap<i128, i128>; 2],
    pub(crate) u: u64,
    pub(crate) seq: u64,
}

impl WindowBook {
    pub(crate) fn apply(&mut self, message: &Value) {
        let data = &message["data"];
        let u = data["u"].as_u64().expect("u");
        if message["type"] == "snapshot" {
            self.sides = Default::default();
        } else {
            assert_eq!(u, self.u + 1, "a hole: {message}");
        }
        self.u = u;
        self.seq = data["seq"].as_u64().expect("seq");
        for (side, name) in self.sides.iter_mut().zip(["b", "a"]) {
            for level in data[name].as_array().expect("levels") {
                let number = |at: usize| {
                    let text = level[at].as_str().expect("text");
                    parse_fixed(text.as_bytes(), 8).expect("number")
                };
                if number(1) == 0 {
                    assert!(side.remove(&number(0)).is_some(), "no level: {message}");
                } else {
                    side.insert(number(0), number(1));
                }
            }
        }
    }

    pub(crate) fn levels(&self) -> (usize, usize) {
        (self.sides[0].len(), self.sides[1].len())
    }

    /// Whether it is the top of the venue's own book.
    pub(crate) fn is(&self, book: &TrueBook) -> bool {
        let at = |value: i64, scale: Scale| {
            i128::from(value) * 10_i128.pow(8 - u32::from(scale.digits()))
        };
        let level = |level: &Level| {
            (
                at(level.price.0, book.price_scale),
                at(level.qty.0, book.qty_scale),
            )
        };
        let bids: BTreeMap<i128, i128> = book.bids.iter().map(level).collect();
        let asks: BTreeMap<i128, i128> = book.asks.iter().map(level).collect();
        self.sides == [bids, asks]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_of_bybit_are_the_top_of_the_true_book() {
    let sim = quick(&[]).await;
    for (path, kind) in [
        ("/v5/public/linear", MarketKind::BybitLinear),
        ("/v5/public/spot", MarketKind::BybitSpot),
    ] {
        let mut client = Client::connect(sim.addr, path).await;
        let subscribe = r#"{"req_id":"1","op":"subscribe","args":["orderbook.50.BTCUSDT","orderbook.200.BTCUSDT","orderbook.1000.BTCUSDT","orderbook.1.BTCUSDT"]}"#;
        client.send(subscribe).await;
        assert_eq!(value(&client.text().await)["success"], true);
        let mut books: BTreeMap<u64, WindowBook> = BTreeMap::new();
        let mut compared = 0;
        let mut frames = 0;
        while compared < 3 {
            frames += 1;
            assert!(frames < 20_000, "never equal");
            let message = value(&client.text().await);
            let topic = message["topic"].as_str().expect("topic");
            let depth: u64 = topic
                .split('.')
                .nth(1)
                .and_then(|d| d.parse().ok())
                .expect("depth");
            let book = books.entry(depth).or_default();
            if depth == 1 {
                assert_eq!(message["type"], "snapshot");
            }
            assert!(message["cts"].is_i64() && message["ts"].is_i64());
            book.apply(&message);
            let (bids, asks) = book.levels();
            let most = usize::try_from(depth).expect("small");
            assert!(
                bids <= most && asks <= most,
                "{topic}: {bids} and {asks} levels"
            );
            if depth == 50 {
                assert_eq!((bids, asks), (50, 50));
                let truth = sim.handle.book(kind, "BTCUSDT", 50).expect("book");
                if truth.id == book.seq {
                    assert!(book.is(&truth), "{topic} is another book");
                    compared += 1;
                }
            }
        }
        assert_eq!(books.len(), 4);
    }
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_subscriber_is_greeted_with_what_the_first_one_has() {
    let sim = quick(&[]).await;
    let subscribe = r#"{"op":"subscribe","args":["orderbook.50.BTCUSDT","tickers.BTCUSDT"]}"#;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(sim.addr, "/v5/public/linear").await;
        client.send(subscribe).await;
        assert_eq!(value(&client.text().await)["success"], true);
        clients.push(client);
    }
    let mut last = Vec::new();
    for client in &mut clients {
        let (mut book, mut tickers) = (WindowBook::default(), Vec::new());
        while book.u < 40 || tickers.len() < 3 {
            let message = value(&client.text().await);
            match message["topic"].as_str() {
                Some("orderbook.50.BTCUSDT") => book.apply(&message),
                _ => tickers.push(message),
            }
        }
        assert_eq!(tickers[0]["type"], "snapshot");
        assert_eq!(tickers[1]["type"], "delta");
        assert!(tickers[0]["data"]["markPrice"].is_string());
        last.push(book);
    }
    // Unsubscribed and subscribed again: a fresh snapshot, later in the same counting.
    let client = &mut clients[0];
    client
        .send(r#"{"op":"unsubscribe","args":["orderbook.50.BTCUSDT"]}"#)
        .await;
    client
        .send(r#"{"op":"subscribe","args":["orderbook.50.BTCUSDT"]}"#)
        .await;
    let mut answers = 0;
    let snapshot = loop {
        let message = value(&client.text().await);
        if message["success"] == true {
            answers += 1;
        } else if answers == 2 && message["topic"] == "orderbook.50.BTCUSDT" {
            break message;
        }
    };
    assert_eq!(snapshot["type"], "snapshot");
    assert!(snapshot["data"]["u"].as_u64() >= Some(last[0].u));
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_usdm_on_the_wrong_route_is_silent() {
    let sim = quick(&[]).await;
    let mut wrong = Client::connect(
        sim.addr,
        "/public/stream?streams=btcusdt@aggTrade/btcusdt@depth@100ms",
    )
    .await;
    let mut right = Client::connect(sim.addr, "/market/ws/btcusdt@aggTrade").await;
    let mut executions = 0;
    for _ in 0..50 {
        let trade = value(&right.text().await);
        assert_eq!((&trade["e"], &trade["st"]), (&"aggTrade".into(), &1.into()));
        let (first, last) = (trade["f"].as_u64(), trade["l"].as_u64());
        executions += usize::from(first < last);
    }
    assert!(executions > 0, "no trade of several executions");
    for _ in 0..20 {
        let frame = value(&wrong.text().await);
        assert_eq!(frame["stream"], "btcusdt@depth@100ms");
        let data = &frame["data"];
        assert!(data["pu"].as_u64() < data["U"].as_u64(), "{data}");
    }
    wrong
        .send(r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#)
        .await;
    let list = loop {
        let answer = value(&wrong.text().await);
        if answer["id"] == 3 {
            break answer;
        }
    };
    assert_eq!(list["result"].as_array().map(Vec::len), Some(2));
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_those_of_each_venue() {
    let sim = quick(&[]).await;
    let mut refused = None;
    for _ in 0..2 * 2_400 / 20 + 2 {
        let answer = get(sim.addr, "/fapi/v1/aggTrades?symbol=BTCUSDT").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("the limit is enforced");
    assert!(refused.retry_after.is_some() && refused.weight.is_some());
    for (path, status, code) in [
        ("/api/v3/depth?symbol=NOPE", 400, -1121),
        (
            "/v5/market/orderbook?category=linear&symbol=NOPE",
            200,
            10001,
        ),
        (
            "/v5/market/kline?category=spot&symbol=BTCUSDT&interval=7",
            200,
            10001,
        ),
        ("/v5/market/tickers?category=option", 200, 10001),
    ] {
        let answer = get(sim.addr, path).await;
        assert_eq!(answer.status, status, "{path}");
        let body = value(&answer.body);
        let got = body.get("retCode").or_else(|| body.get("code"));
        assert_eq!(got, Some(&code.into()), "{path}: {body}");
    }
    // Pages of linear; spot is not paged.
    let page =
        |cursor: &str| format!("/v5/market/instruments-info?category=linear&limit=1{cursor}");
    let first = value(&get(sim.addr, &page("")).await.body);
    let cursor = first["result"]["nextPageCursor"].as_str().expect("cursor");
    let second = value(
        &get(sim.addr, &page(&format!("&cursor={cursor}")))
            .await
            .body,
    );
    assert_eq!(second["result"]["list"][0]["symbol"], "ETHUSDT");
    assert_eq!(second["result"]["nextPageCursor"], "");
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn market_time_runs_as_fast_as_it_is_told() {
    let source = |speed, rate| Source::Synthetic {
        seed: 1,
        symbols: vec!["BTCUSDT".to_owned()],
        speed,
        rate,
    };
    for (speed, rate) in [(0.0, 1.0), (f64::NAN, 1.0), (1.0, 0.001), (1.0, 11.0)] {
        let config = SimConfig::new(source(speed, rate));
        let (_end, stop) = tokio::sync::watch::channel(false);
        let started = hean::venue::sim::start(config, hean::runtime::clock::Clock::start(), stop);
        assert!(started.await.is_err(), "{speed} and {rate}");
    }
    let sim = Running::start(source(600.0, 0.05), vec![]).await;
    let mut client = Client::connect(sim.addr, "/ws/btcusdt@kline_1m").await;
    let mut closed: Vec<i64> = Vec::new();
    while closed.len() < 5 {
        let kline = value(&client.text().await);
        if kline["k"]["x"] == true {
            closed.push(kline["k"]["t"].as_i64().expect("t"));
        }
    }
    assert!(
        closed.windows(2).all(|pair| pair[1] - pair[0] == 60_000),
        "{closed:?}"
    );
    sim.handle.freeze(true);
    client
        .send(r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#)
        .await;
    while value(&client.text().await)["id"] != 1 {}
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recordings_of_bybit_and_usdm_are_played_byte_for_byte() {
    let Some(data) = super::recordings::recordings() else {
        return;
    };
    let bybit = data.join("derived_bybit_v5");
    let bybit = bybit.join("bybit_linear_BTCUSDT_derived_from_binance_usdm.txt.gz");
    let sim = Running::start(recording(&bybit, VenueId::BybitLinear), vec![]).await;
    let mut client = Client::connect(sim.addr, "/v5/public/linear").await;
    let topics = r#"["orderbook.50.BTCUSDT","publicTrade.BTCUSDT","kline.1.BTCUSDT"]"#;
    let subscribe = format!(r#"{{"op":"subscribe","args":{topics}}}"#);
    client.send(&subscribe).await;
    assert_eq!(value(&client.text().await)["success"], true);
    let recorded: Vec<String> = hean::recording::Reader::new([&bybit])
        .map(|record| String::from_utf8(record.expect("line").frame).expect("text"))
        .filter(|frame| frame.contains("\"orderbook.50.") || frame.contains("\"publicTrade."))
        .collect();
    let (mut book, mut klines) = (WindowBook::default(), 0);
    for want in &recorded {
        let got = loop {
            let got = client.text().await;
            if !got.contains("\"kline.1.") {
                break got;
            }
            klines += usize::from(got.contains("\"confirm\":true"));
        };
        assert!(got == *want, "got {got}, want {want}");
        if want.contains("\"orderbook.50.") {
            book.apply(&value(want));
        }
    }
    assert!(klines >= 5, "{klines} candles of 344 s");
    assert!(sim.status.wait_finished().await);
    let truth = sim.handle.book(MarketKind::BybitLinear, "BTCUSDT", 50);
    let truth = truth.expect("book");
    assert_eq!(truth.id, book.seq);
    assert!(book.is(&truth), "the venue has another book");
    // Whoever comes late is greeted with the whole.
    let mut late = Client::connect(sim.addr, "/v5/public/linear").await;
    late.send(r#"{"op":"subscribe","args":["orderbook.50.BTCUSDT"]}"#)
        .await;
    assert_eq!(value(&late.text().await)["success"], true);
    let mut greeted = WindowBook::default();
    greeted.apply(&value(&late.text().await));
    assert_eq!((greeted.u, greeted.seq), (book.u, book.seq));
    assert!(greeted.is(&truth));
    sim.stop().await;

    let usdm = data.join("hftbacktest/binance_usdm_btcusdt_20240808.txt.gz");
    let files = [usdm.clone()];
    let want_trades = super::frames(&files, |name| name == "btcusdt@trade");
    let want_depth = super::frames(&files, |name| name == "btcusdt@depth@0ms");
    let sim = Running::start(recording(&usdm, VenueId::BinanceUsdm), vec![]).await;
    // Depth on one connection, trades on another: together they are complete.
    let mut depth = Client::connect(sim.addr, "/public/stream?streams=btcusdt@depth@0ms").await;
    let mut trades = Client::connect(sim.addr, "/market/stream?streams=btcusdt@trade").await;
    let reading = tokio::spawn(async move {
        for want in want_trades {
            assert_eq!(trades.text().await, want);
        }
        trades // without it the playback would wait
    });
    let mut last = 0;
    for want in want_depth {
        let got = depth.text().await;
        assert!(got == want, "got {got}, want {want}");
        last = value(&got)["data"]["u"].as_u64().expect("u");
    }
    reading.await.expect("trades");
    let truth = sim.handle.book(MarketKind::Usdm, "BTCUSDT", 5);
    assert_eq!(truth.map(|book| book.id), Some(last));
    sim.stop().await;
}

fn recording(file: &std::path::Path, exchange: VenueId) -> Source {
    Source::Recording {
        files: vec![file.to_owned()],
        exchange,
        speed: hean::venue::sim::Speed::Max,
    }
}
