//! What is streamed, over WebSockets.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use hean::http::HttpConfig;
use hean::kernel::event::{FeeAsset, Fill, OrderChange, Seq};
use hean::kernel::orders::{Order, OrderId, OrderState};
use hean::kernel::snapshot::{KernelView, OrderView, TickerView};
use hean::kernel::types::{Price, Qty, Time};

use super::harness::{Harness, money, order, publish};
use super::ws::{Frame, Ws, frame};

pub(crate) fn quick() -> HttpConfig {
    HttpConfig {
        stream_interval: Duration::from_millis(10),
        ..HttpConfig::default()
    }
}

/// A server whose journal is on its disk as far as its views go.
pub(crate) async fn started(config: HttpConfig) -> Harness {
    let server = Harness::reading(config).await;
    server.durable.send_replace(Seq(10));
    server
}

/// A new price of the first instrument, in hundredths.
pub(crate) fn tick(server: &Harness, price: i64) {
    let ticker = &server.state.published.instruments[0].ticker;
    let view = TickerView::clone(&ticker.load());
    ticker.store(Arc::new(TickerView {
        last_price: Some(Price(price)),
        ..view
    }));
}

/// The kernel makes a change of an order: its view, then what it tells.
pub(crate) fn change(server: &Harness, seq: u64, order: Order, fill: Option<Fill>) {
    let published = &server.state.published;
    let seq = Seq(seq);
    let view = OrderView {
        order: order.clone(),
        seq,
    };
    published.orders.insert(order.id, Arc::new(view));
    let kernel = KernelView::clone(&published.kernel.load());
    published
        .kernel
        .store(Arc::new(KernelView { seq, ..kernel }));
    server.state.orders.push(Arc::new(OrderChange {
        seq,
        time: Time::from_millis(1_700_000_000_000).expect("in range"),
        order,
        fill,
        answered: false,
        disputed: false,
    }));
}

/// The same order with another id.
fn numbered(order: &Order, id: u64) -> Order {
    let mut order = order.clone();
    order.id = OrderId(id);
    order
}

pub(crate) fn a_fill(trade_id: u64) -> Fill {
    Fill {
        trade_id,
        price: Price(6_160_210),
        qty: Qty(1),
        fee: money("0.0006"),
        paid_in: FeeAsset::Quote,
        maker: true,
    }
}

#[tokio::test]
async fn a_topic_says_what_its_route_says() {
    let server = started(quick()).await;
    for (id, state) in [
        (5, OrderState::Acked),
        (6, OrderState::Filled),
        (7, OrderState::Acked),
    ] {
        publish(&server.state.published, order(id, state));
    }
    let mut ws = Ws::open(&server).await;
    for (topic, route) in [
        ("BTCUSDT@ticker", "/api/v1/ticker/BTCUSDT"),
        ("binance:btc-usdt@book", "/api/v1/orderbook/BTCUSDT"),
        ("BTCUSDT@book_1", "/api/v1/orderbook/BTCUSDT?depth=1"),
        ("BTCUSDT@trades", "/api/v1/trades/BTCUSDT"),
        (
            "BTCUSDT@kline_1m",
            "/api/v1/klines/BTCUSDT?interval=1m&limit=100",
        ),
        (
            "BTCUSDT@indicators_1m",
            "/api/v1/indicators/BTCUSDT?interval=1m",
        ),
        ("positions", "/api/v1/positions"),
        ("account", "/api/v1/account"),
    ] {
        let snapshot = ws.follow(&[topic]).await.remove(0);
        let answer = server.get(route).await;
        assert_eq!(answer.status, 200, "{route}");
        assert_eq!(snapshot, answer.json(), "{topic}");
    }
    let open = server.get("/api/v1/orders?status=open").await.json();
    let snapshot = ws.follow(&["orders"]).await.remove(0);
    let mut items = open["items"].as_array().expect("a list").clone();
    items.reverse();
    assert!(!items.is_empty());
    assert_eq!(snapshot["items"], Value::from(items));
    assert_eq!(ws.follow(&["status"]).await[0]["service"], "hean");
    assert_eq!(ws.follow(&["fills"]).await[0]["items"], json!([]));

    // As strings, on a stream that asks for it.
    let mut ws = Ws::open_at(&server, "/ws?numbers=string").await;
    let snapshot = ws.follow(&["BTCUSDT@ticker", "orders"]).await;
    let answer = server.get("/api/v1/ticker/BTCUSDT?numbers=string").await;
    assert_eq!(snapshot[0], answer.json());
    assert!(snapshot[1]["items"][0]["quantity"].is_string());
}

#[tokio::test]
async fn updates_follow_the_snapshot_and_are_counted() {
    let server = started(quick()).await;
    let mut ws = Ws::open(&server).await;
    let snapshots = ws
        .follow(&["BTCUSDT@ticker", "BTCUSDT@trades", "BTCUSDT@kline_1m"])
        .await;
    assert_eq!(snapshots[1]["items"].as_array().map(Vec::len), Some(3));
    for seq in 2..=4 {
        tick(&server, 7_000_000 + seq);
        let update = ws.json().await;
        let price = format!("700000.{seq:02}").replace("700000", "70000");
        let wanted: Value = serde_json::from_str(&price).expect("a number");
        assert_eq!(
            (
                &update["topic"],
                &update["seq"],
                &update["type"],
                &update["data"]["price"]
            ),
            (
                &json!("BTCUSDT@ticker"),
                &json!(seq),
                &json!("update"),
                &wanted
            )
        );
    }
    // Two new trades, of which one is the newest.
    let ticker = &server.state.published.instruments[0].ticker;
    let mut view = TickerView::clone(&ticker.load());
    let mut trade = *view.recent.last().expect("a trade");
    for id in [4, 5] {
        trade.id = id;
        view.recent.push(trade);
    }
    view.trades = 5;
    ticker.store(Arc::new(view));
    let update = ws.json().await;
    assert_eq!(
        (&update["topic"], &update["seq"]),
        (&json!("BTCUSDT@trades"), &json!(2))
    );
    let ids: Vec<&str> = update["data"]["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|trade| trade["id"].as_str().expect("an id"))
        .collect();
    assert_eq!(ids, ["5", "4"]);
    // A candle that goes on: the last closed one comes with it.
    let series = &server.state.published.instruments[0].series[1].view;
    let mut view = hean::kernel::snapshot::SeriesView::clone(&series.load());
    view.forming = view.forming.map(|mut candle| {
        candle.trades += 1;
        candle
    });
    series.store(Arc::new(view));
    let update = ws.json().await;
    assert_eq!(
        (&update["topic"], &update["seq"]),
        (&json!("BTCUSDT@kline_1m"), &json!(2))
    );
    let closed: Vec<_> = update["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| c["closed"].clone())
        .collect();
    assert_eq!(closed, [true, false]);
}

#[tokio::test]
async fn requests_are_answered_and_wrong_ones_explained() {
    let server = started(HttpConfig {
        stream_topics_max: 2,
        ..quick()
    })
    .await;
    let mut ws = Ws::open(&server).await;
    for (request, code, words) in [
        (
            r#"{"id":7,"method":"SUBSCRIBE","params":["orders","BTCUSDT@tickr"]}"#,
            "unknown_topic",
            "BTCUSDT@ticker",
        ),
        (
            r#"{"id":7,"method":"SUBSCRIBE","params":["order"]}"#,
            "unknown_topic",
            "orders",
        ),
        (
            r#"{"id":7,"method":"SUBSCRIBE","params":["BTCUSD@ticker"]}"#,
            "unknown_symbol",
            "BTCUSDT",
        ),
        (
            r#"{"id":7,"method":"SUBSCRIBE","params":["BTCUSDT@kline_4h"]}"#,
            "unknown_interval",
            "1m",
        ),
        (
            r#"{"id":7,"method":"SUBSCRIBE","params":["BTCUSDT@book_101"]}"#,
            "unknown_topic",
            "100",
        ),
        (
            r#"{"id":7,"method":"SUBSCRIBE","params":["orders","fills","account"]}"#,
            "stream_limit",
            "2 topics",
        ),
        (
            r#"{"id":7,"method":"SUBSCRIB","params":["orders"]}"#,
            "invalid_value",
            "SUBSCRIBE",
        ),
    ] {
        let answer = ws.ask(request).await;
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&json!(7), &json!(code)),
            "{answer}"
        );
        assert!(answer.to_string().contains(words), "{words} in {answer}");
    }
    let answer = ws.ask("nonsense").await;
    assert_eq!(
        (&answer["id"], &answer["error"]["code"]),
        (&Value::Null, &json!("invalid_json"))
    );
    // All or nothing: none of the above is followed.
    assert_eq!(
        ws.ask(r#"{"id":1,"method":"LIST"}"#).await["result"],
        json!([])
    );
    ws.follow(&["orders", "positions"]).await;
    let again = ws
        .ask(r#"{"id":"x","method":"SUBSCRIBE","params":["orders"]}"#)
        .await;
    assert_eq!(again, json!({"id": "x", "result": ["positions", "orders"]}));
    let left = ws
        .ask(r#"{"id":2,"method":"UNSUBSCRIBE","params":["orders","nothing"]}"#)
        .await;
    assert_eq!(left["result"], json!(["positions"]));
    let pong = ws.ask(r#"{"id":3,"method":"PING"}"#).await;
    assert!(pong["result"]["timestamp"].is_i64());
    ws.raw(&frame(0x89, b"are you there?", true)).await;
    assert_eq!(ws.frame().await, Frame::Pong(b"are you there?".to_vec()));
    ws.raw(&frame(0x88, &1000_u16.to_be_bytes(), true)).await;
    assert_eq!(ws.closed().await.0, 1000);
    assert_eq!(ws.frame().await, Frame::End);
}

#[tokio::test]
async fn order_events_are_complete_in_order_and_durable_first() {
    const CHANGES: u64 = 3_000;
    let server = started(quick()).await;
    let mut ws = Ws::open(&server).await;
    ws.follow(&["orders", "fills"]).await;
    // The disk is behind: nothing is told yet. A request and its answer show that nothing came before.
    change(&server, 11, order(1_001, OrderState::Acked), None);
    let mut fill = order(1_001, OrderState::PartiallyFilled);
    fill.filled = Qty(1);
    change(&server, 12, fill, Some(a_fill(77)));
    ws.send(r#"{"id":1,"method":"PING"}"#).await;
    assert!(ws.json().await["result"].is_object());
    server.durable.send_replace(Seq(11));
    let first = ws.json().await;
    assert_eq!(
        (&first["topic"], &first["seq"], &first["data"]["status"]),
        (&json!("orders"), &json!(2), &json!("submitted"))
    );
    server.durable.send_replace(Seq(12));
    let fill = ws.json().await;
    assert_eq!((&fill["topic"], &fill["seq"]), (&json!("fills"), &json!(2)));
    assert_eq!(
        (
            &fill["data"]["trade_id"],
            &fill["data"]["order_id"],
            &fill["data"]["liquidity"]
        ),
        (&json!("77"), &json!("1001"), &json!("maker"))
    );
    let second = ws.json().await;
    assert_eq!(
        (&second["seq"], &second["data"]["status"]),
        (&json!(3), &json!("partially_filled"))
    );

    // Many, while the disk follows in its own steps.
    let durable = server.durable.clone();
    let one = order(1, OrderState::Acked);
    let feeding = async {
        for n in 1..=CHANGES {
            change(&server, 12 + n, numbered(&one, 2_000 + n), None);
            if n % 7 == 0 {
                durable.send_replace(Seq(12 + n));
                tokio::task::yield_now().await;
            }
        }
        durable.send_replace(Seq(12 + CHANGES));
    };
    let reading = async {
        for n in 1..=CHANGES {
            let event = ws.json().await;
            assert_eq!(event["seq"], json!(3 + n));
            assert_eq!(event["data"]["order_id"], json!((2_000 + n).to_string()));
        }
    };
    tokio::join!(feeding, reading);

    // Who comes later sees the fill in the snapshot, and no change a second time.
    let mut late = Ws::open(&server).await;
    let snapshots = late.follow(&["fills", "orders"]).await;
    assert_eq!(snapshots[0]["items"][0]["trade_id"], "77");
    change(&server, 13 + CHANGES, order(9_999, OrderState::Acked), None);
    server.durable.send_replace(Seq(13 + CHANGES));
    let event = late.json().await;
    assert_eq!(
        (&event["data"]["order_id"], &event["seq"]),
        (&json!("9999"), &json!(2))
    );
}

#[tokio::test]
async fn lost_order_events_end_the_stream_and_say_so() {
    let server = started(quick()).await;
    let mut ws = Ws::open(&server).await;
    ws.follow(&["orders"]).await;
    server.state.orders.lost();
    let (code, reason) = ws.closed().await;
    assert_eq!(code, 1013);
    assert!(reason.contains("lost"), "{reason}");
}

#[tokio::test]
async fn a_slow_client_is_told_and_the_newest_of_a_topic_is_kept() {
    let server = started(HttpConfig {
        stream_queue: 16,
        write_timeout: Duration::from_mins(1),
        ..quick()
    })
    .await;
    let mut slow = Ws::open(&server).await;
    let mut market = Ws::open(&server).await;
    slow.follow(&["orders"]).await;
    market.follow(&["BTCUSDT@ticker"]).await;
    // More than all buffers between hold, of which nothing is read.
    let one = order(1, OrderState::Acked);
    for n in 0..20_000 {
        let seq = 11 + n;
        change(&server, seq, numbered(&one, 100 + n % 50), None);
        server.durable.send_replace(Seq(seq));
        if n % 16 == 0 {
            tick(&server, 7_000_000 + i64::try_from(n).expect("small"));
            tokio::task::yield_now().await;
        }
    }
    tick(&server, 1_234_567);
    assert_eq!(
        slow.closed().await,
        (1013, "cannot keep up with order events".to_owned())
    );
    let mut last = 1;
    loop {
        let update = market.json().await;
        last += 1;
        assert_eq!(
            update["seq"],
            json!(last),
            "no hole, though not every price was told"
        );
        if update["data"]["price"] == json!(12_345.67) {
            break;
        }
    }
    assert!(last < 2_000, "{last} messages are not conflated");
}

#[tokio::test]
async fn a_shutdown_says_good_bye() {
    let mut server = started(quick()).await;
    let mut ws = Ws::open(&server).await;
    ws.follow(&["BTCUSDT@ticker"]).await;
    server
        .stop
        .take()
        .expect("running")
        .send(())
        .expect("a server");
    assert_eq!(ws.closed().await, (1001, "shutting down".to_owned()));
    ws.raw(&frame(0x88, &1001_u16.to_be_bytes(), true)).await;
    assert_eq!(ws.frame().await, Frame::End);
    server.server.take().expect("running").await.expect("ends");
}
