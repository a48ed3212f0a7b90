//! Placing orders: what is refused, what the kernel gets, and what becomes of each outcome.

use std::time::Duration;

use hean::http::HttpConfig;
use hean::kernel::event::{CancelFilter, CommandKind, Outcome, Wait};
use hean::kernel::orders::{OrderId, OrderSpec, OrderState, OrderType, Size, TimeInForce};
use hean::kernel::risk::{Refusal, Rule};
use hean::kernel::snapshot::Published;
use hean::kernel::types::{InstrumentId, Price, Qty, Side};
use serde_json::json;

use super::harness::{Harness, PATIENCE, limit_spec, money, order, publish};

const LIMIT: &str = r#"{"symbol":"BTCUSDT","side":"buy","type":"limit","quantity":0.00003,"price":61602.1,"post_only":true,"client_order_id":"key-5"}"#;

/// A server whose kernel publishes order 5 in `state` and then answers with `outcome`.
async fn placing(state: Option<OrderState>, outcome: Outcome) -> Harness {
    let answering = move |_, published: &Published| {
        if let Some(state) = state {
            publish(published, order(5, state));
        }
        Some(outcome.clone())
    };
    Harness::start(HttpConfig::default(), Box::new(answering)).await
}

#[tokio::test]
async fn an_accepted_order_is_shown_as_it_is() {
    let mut filled = order(5, OrderState::PartiallyFilled);
    filled.filled = Qty(2);
    filled.filled_notional = money("1.2320411");
    filled.fee = money("0.0012320411");
    let answering = move |_, published: &Published| {
        publish(published, filled.clone());
        Some(Outcome::Placed(OrderId(5)))
    };
    let server = Harness::start(HttpConfig::default(), Box::new(answering)).await;
    let answer = server.ask("POST", "/api/v1/orders", LIMIT).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("location"), Some("/api/v1/orders/5"));
    let text = "{\"order_id\":\"5\",\"client_order_id\":\"key-5\",\"venue_order_ids\":[\"905\"],\
        \"account\":\"default\",\"strategy\":null,\"symbol\":\"BTCUSDT\",\"venue\":\"binance\",\
        \"side\":\"buy\",\"position_side\":\"both\",\"type\":\"limit\",\"quantity\":0.00003,\
        \"price\":61602.1,\"stop_price\":null,\"trigger_by\":null,\"trail_percent\":null,\
        \"activation_price\":null,\"triggered\":false,\"time_in_force\":\"GTC\",\"expires\":null,\
        \"post_only\":true,\"reduce_only\":false,\"close_position\":false,\"parent_order_id\":null,\
        \"exit_order_ids\":[],\"filled_quantity\":0.00002,\
        \"avg_fill_price\":61602.055,\"remaining_quantity\":0.00001,\"fee\":0.0012320411,\
        \"status\":\"partially_filled\",\"reason\":null,\"disputed\":false,\"created_at\":1700000040000,\
        \"updated_at\":1700000040005,\"latency_us\":2000}";
    assert_eq!(answer.body, text);
    assert_eq!(server.get("/api/v1/orders/5").await.body, text);
    let strings = server
        .ask("POST", "/api/v1/orders?numbers=string", LIMIT)
        .await;
    assert_eq!(strings.json()["price"], "61602.1");
}

/// What the kernel is asked for when `body` is posted.
pub(crate) async fn spec_of(query: &str, body: &str) -> (OrderSpec, Wait) {
    let (seen, spec) = std::sync::mpsc::channel();
    let answering = move |kind, published: &Published| {
        let CommandKind::Place { order: spec, wait } = kind else {
            panic!("{kind:?}");
        };
        seen.send((OrderSpec::clone(&spec), wait)).unwrap();
        publish(published, order(5, OrderState::Acked));
        Some(Outcome::Placed(OrderId(5)))
    };
    let server = Harness::start(HttpConfig::default(), Box::new(answering)).await;
    let answer = server
        .ask("POST", &format!("/api/v1/orders{query}"), body)
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    spec.recv_timeout(PATIENCE).unwrap()
}

#[tokio::test]
async fn the_kernel_gets_exactly_what_was_asked_for() {
    let (spec, wait) = spec_of("", LIMIT).await;
    assert_eq!(wait, Wait::Venue);
    assert_eq!(spec, limit_spec(5));
    let (spec, wait) = spec_of(
        "?wait=journal",
        r#" {"symbol":"sim:sol/usdt","side":"SELL","type":"Market","quote_quantity":"1e1",
            "reduce_only":true,"price":null,"account":"default","position_side":"both","close_position":false} "#,
    )
    .await;
    assert_eq!(wait, Wait::Journal);
    assert_eq!(
        spec,
        OrderSpec {
            reduce_only: true,
            ..OrderSpec::new(
                InstrumentId(3),
                Side::Sell,
                OrderType::Market,
                Size::Quote(money("10"))
            )
        }
    );
    for price in [
        "61602.1",
        "\"61602.1\"",
        "6.16021e4",
        "\"6160210E-2\"",
        "61602.100000000000000",
    ] {
        let body = format!(
            r#"{{"symbol":"BTCUSDT","side":"buy","type":"limit","quantity":3e-5,"price":{price},"time_in_force":"fok"}}"#
        );
        let (spec, _) = spec_of("", &body).await;
        assert_eq!(
            spec.kind,
            OrderType::Limit {
                price: Price(6_160_210)
            },
            "{price}"
        );
        assert_eq!(spec.size, Size::Base(Qty(3)));
        assert_eq!(spec.time_in_force, TimeInForce::Fok);
    }
}

#[tokio::test]
async fn a_wrong_body_names_the_field_and_never_reaches_the_kernel() {
    let server = Harness::reading(HttpConfig::default()).await;
    // What is changed in a right order: each case replaces or adds fields.
    let base = json!({"symbol": "BTCUSDT", "side": "buy", "type": "limit", "quantity": 1, "price": 61602.1});
    for (change, status, code, field) in [
        (json!({"symbol": null}), 400, "missing_field", "symbol"),
        (json!({"symbol": 7}), 400, "invalid_value", "symbol"),
        (json!({"symbol": "BTCUSD"}), 422, "unknown_symbol", "symbol"),
        (json!({"side": null}), 400, "missing_field", "side"),
        (json!({"side": "long"}), 400, "invalid_value", "side"),
        (json!({"type": null}), 400, "missing_field", "type"),
        (json!({"type": "limt"}), 400, "invalid_value", "type"),
        (json!({"price": null}), 400, "missing_field", "price"),
        (json!({"price": 0}), 400, "invalid_value", "price"),
        (json!({"price": -1}), 400, "invalid_value", "price"),
        (json!({"price": "1,5"}), 400, "invalid_value", "price"),
        (json!({"price": "NaN"}), 400, "invalid_value", "price"),
        (json!({"price": true}), 400, "invalid_value", "price"),
        (json!({"price": [1]}), 400, "invalid_value", "price"),
        (json!({"price": "1e30"}), 400, "invalid_value", "price"),
        (json!({"price": "1e300"}), 400, "invalid_value", "price"),
        (json!({"price": 61602.11}), 422, "off_tick", "price"),
        (json!({"price": "61602.101"}), 422, "off_tick", "price"),
        (json!({"quantity": null}), 400, "missing_field", "quantity"),
        (json!({"quantity": 0.000_001}), 422, "off_lot", "quantity"),
        (
            json!({"quantity": null, "quote_quantity": "0.00000000000000001"}),
            400,
            "invalid_value",
            "quote_quantity",
        ),
        (
            json!({"post_only": "yes"}),
            400,
            "invalid_value",
            "post_only",
        ),
        (
            json!({"time_in_force": "DAY"}),
            400,
            "invalid_value",
            "time_in_force",
        ),
        (json!({"leverage": 2}), 422, "unsupported", "leverage"),
        (json!({"account": "other"}), 422, "unsupported", "account"),
        (
            json!({"strategy": "gird"}),
            422,
            "unknown_strategy",
            "strategy",
        ),
        (
            json!({"client_order_id": ""}),
            400,
            "invalid_value",
            "client_order_id",
        ),
        (
            json!({"client_order_id": "a b"}),
            400,
            "invalid_value",
            "client_order_id",
        ),
        (
            json!({"client_order_id": "x".repeat(37)}),
            400,
            "invalid_value",
            "client_order_id",
        ),
        (json!({"quantiti": 1}), 400, "unknown_field", "quantiti"),
    ] {
        let mut body = base.clone();
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = server
            .ask("POST", "/api/v1/orders", &body.to_string())
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{change} {answer:?}"
        );
        assert_eq!(answer.json()["field"], field, "{change}");
    }
}

#[tokio::test]
async fn off_the_grid_both_neighbours_are_named() {
    let server = Harness::reading(HttpConfig::default()).await;
    let post = async |price: &str, quantity: &str| {
        let body = format!(
            r#"{{"symbol":"BTCUSDT","side":"buy","type":"limit","quantity":{quantity},"price":{price}}}"#
        );
        server.ask("POST", "/api/v1/orders", &body).await.json()
    };
    for price in ["61602.15", "61602.1999", "\"6.160211e4\""] {
        let json = post(price, "1").await;
        assert_eq!(
            (&json["below"], &json["above"]),
            (&json!("61602.1"), &json!("61602.2")),
            "{json}"
        );
        assert_eq!(
            (&json["rule"], &json["limit"]),
            (&json!("tick"), &json!("0.1"))
        );
    }
    let json = post("61602.1", "0.0000015").await;
    assert_eq!(
        (&json["below"], &json["above"]),
        (&json!(null), &json!("0.00001"))
    );
    assert_eq!(json["hint"], "the nearest is 0.00001");
}

#[tokio::test]
async fn what_is_no_json_object_is_refused() {
    let server = Harness::reading(HttpConfig::default()).await;
    for body in [
        "",
        "null",
        "[]",
        "7",
        "{",
        "{}x",
        "{\"symbol\":}",
        "{\"symbol\":\"a\",}",
        "{'a':1}",
        "{\"price\":01}",
        "{\"price\":NaN}",
        "\u{feff}{}",
        "{\"symbol\":\"\\ud800\"}",
        &"[".repeat(60_000),
        &format!("{{\"oco\":{}", "[".repeat(60_000)),
    ] {
        let answer = server.ask("POST", "/api/v1/orders", body).await;
        assert!(
            matches!(answer.code().as_str(), "invalid_json" | "invalid_value"),
            "{body:.40} {answer:?}"
        );
        assert_eq!(answer.status, 400);
    }
    let answer = server
        .ask("POST", "/api/v1/orders", r#"{"side":"buy","side":"sell"}"#)
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "duplicate_field")
    );
    let answer = server
        .ask(
            "POST",
            "/api/v1/orders",
            r#"{"sid\u0065":"buy","side":"sell"}"#,
        )
        .await;
    assert_eq!(answer.code(), "duplicate_field");
    let answer = server
        .ask("POST", "/api/v1/orders", r#"{"Quantity":1}"#)
        .await;
    assert_eq!(answer.json()["hint"], "did you mean quantity?");
    assert_eq!(
        server
            .ask("POST", "/api/v1/orders?wait=ever", LIMIT)
            .await
            .code(),
        "invalid_parameter"
    );
}

#[tokio::test]
async fn every_outcome_has_its_answer() {
    let id = OrderId(5);
    for (state, outcome, status) in [
        (Some(OrderState::Acked), Outcome::Placed(id), 201),
        (Some(OrderState::Expired), Outcome::Placed(id), 201),
        (Some(OrderState::Unknown), Outcome::Placed(id), 202),
        (None, Outcome::Placed(id), 202),
        (Some(OrderState::Filled), Outcome::Duplicate(id), 200),
    ] {
        let server = placing(state, outcome.clone()).await;
        let answer = server.ask("POST", "/api/v1/orders", LIMIT).await;
        assert_eq!(answer.status, status, "{outcome:?} {answer:?}");
        let name = state.map_or("unknown", OrderState::name);
        assert_eq!(answer.json()["status"], name, "{outcome:?}");
    }
    let refusal = Refusal {
        rule: Rule::MaxOrderNotional,
        limit: "25000 USDT".to_owned(),
        value: "61602.1 USDT".to_owned(),
        hint: "at most 0.4 BTC".to_owned(),
    };
    let server = placing(None, Outcome::Refused(Box::new(refusal))).await;
    let answer = server.ask("POST", "/api/v1/orders", LIMIT).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (422, "risk_refused")
    );
    let json = answer.json();
    assert_eq!(json["rule"], "max_order_notional");
    assert_eq!(
        (&json["limit"], &json["value"]),
        (&json!("25000 USDT"), &json!("61602.1 USDT"))
    );
    assert_eq!(json["hint"], "at most 0.4 BTC");

    let server = placing(Some(OrderState::Rejected), Outcome::Placed(id)).await;
    let answer = server.ask("POST", "/api/v1/orders", LIMIT).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (422, "venue_rejected")
    );
    assert_eq!(answer.json()["order"]["status"], "rejected");

    let server = placing(None, Outcome::Conflict(id)).await;
    let answer = server.ask("POST", "/api/v1/orders", LIMIT).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (422, "idempotency_conflict")
    );
    assert_eq!(answer.json()["order_id"], "5");

    let server = placing(None, Outcome::NotFound).await;
    let answer = server.ask("POST", "/api/v1/orders", LIMIT).await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "internal"));
}

#[tokio::test]
async fn silence_is_told_as_it_is() {
    let config = || HttpConfig {
        answer_timeout: Duration::from_millis(50),
        ..HttpConfig::default()
    };
    // The order is known by its key.
    let answering = |_, published: &Published| {
        publish(published, order(5, OrderState::Sent));
        None
    };
    let server = Harness::start(config(), Box::new(answering)).await;
    let answer = server.ask("POST", "/api/v1/orders", LIMIT).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (202, Some("/api/v1/orders/5"))
    );
    assert_eq!(answer.json()["status"], "submitted");
    // It has no key.
    let server = Harness::start(config(), Box::new(|_, _| None)).await;
    let body = r#"{"symbol":"BTCUSDT","side":"buy","type":"market","quantity":1}"#;
    let answer = server.ask("POST", "/api/v1/orders", body).await;
    assert_eq!((answer.status, answer.header("location")), (202, None));
    assert_eq!(
        answer.json(),
        json!({"status": "unknown", "reason": "no answer within 50 ms; list /api/v1/orders"})
    );
    // Other commands.
    publish(&server.state.published, order(6, OrderState::CancelPending));
    let answer = server.ask("DELETE", "/api/v1/orders/6", "").await;
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (202, &json!("cancel_pending"))
    );
    let answer = server.ask("DELETE", "/api/v1/orders", "").await;
    assert_eq!(
        (answer.status, &answer.json()["cancelling"]),
        (202, &json!(null))
    );
    let answer = server.ask("POST", "/api/v1/strategies/grid/stop", "").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "no_answer"));
    for path in ["/api/v1/halt", "/api/v1/resume"] {
        let answer = server.ask("POST", path, "").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "no_answer"));
    }
    let path = "/api/v1/positions/BTCUSDT/close";
    let answer = server.ask("POST", path, "").await;
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (202, &json!("unknown"))
    );
}

#[tokio::test]
async fn a_full_queue_refuses_and_a_closing_kernel_does_too() {
    let (server, inbox) = Harness::without_kernel(HttpConfig::default()).await;
    let all = || CommandKind::CancelAll(CancelFilter::default());
    let _waits = server.state.kernel.command(all()).unwrap();
    for (method, path, body) in [
        ("POST", "/api/v1/orders", LIMIT),
        ("DELETE", "/api/v1/orders", ""),
        ("DELETE", "/api/v1/orders/5", ""),
        ("POST", "/api/v1/strategies/grid/start", ""),
        ("POST", "/api/v1/positions/BTCUSDT/close", ""),
        ("POST", "/api/v1/halt", ""),
        ("POST", "/api/v1/resume", ""),
    ] {
        let answer = server.ask(method, path, body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (503, "busy"),
            "{method} {path}"
        );
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert!(inbox.command().is_some());
    // The kernel takes the command and ends without an answer.
    let mut client = server.connect().await;
    client.request("POST", "/api/v1/orders", LIMIT).await;
    let envelope = loop {
        match inbox.command() {
            Some(envelope) => break envelope,
            None => tokio::task::yield_now().await,
        }
    };
    drop(envelope);
    let answer = client.answer().await;
    assert_eq!(answer.status, 202);
    assert!(
        answer.json()["reason"]
            .as_str()
            .unwrap()
            .contains("shutting down")
    );
    server.state.kernel.close();
    assert_eq!(
        server.ask("POST", "/api/v1/orders", LIMIT).await.code(),
        "busy"
    );
}
