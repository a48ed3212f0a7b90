//! Cancelling and listing orders, starting and stopping strategies.

use std::sync::Arc;

use hean::http::HttpConfig;
use hean::kernel::event::{CommandKind, Outcome};
use hean::kernel::orders::{OrderId, OrderState, PositionSide, StrategyId};
use hean::kernel::portfolio::MarginMode;
use hean::kernel::risk::{Refusal, RiskMode, RiskState, Rule};
use hean::kernel::snapshot::{DecisionView, KernelView, Published, Stop, StrategyView, Verdict};
use hean::kernel::strategies::{Said, Why};
use hean::kernel::types::{InstrumentId, Interval, MILLISECOND, Price, Qty, Side, Time};
use serde_json::json;

use super::harness::{FIRST_MS, Harness, order, publish};

#[tokio::test]
async fn cancelling_answers_with_the_order() {
    let answering = |kind, published: &Published| {
        Some(match kind {
            CommandKind::Cancel { order: OrderId(1) } => {
                publish(published, order(1, OrderState::Cancelled));
                Outcome::Cancelling(1)
            }
            CommandKind::Cancel { order: OrderId(2) } => {
                publish(published, order(2, OrderState::CancelPending));
                Outcome::Cancelling(1)
            }
            CommandKind::Cancel {
                order: id @ OrderId(3),
            } => Outcome::AlreadyDone(id),
            CommandKind::Cancel { .. } => Outcome::NotFound,
            CommandKind::CancelAll(filter) => {
                match (filter.instrument, filter.side, filter.strategy) {
                    (None, None, None) => Outcome::Cancelling(7),
                    (Some(InstrumentId(3)), None, None) => Outcome::Cancelling(1),
                    (Some(InstrumentId(0)), Some(Side::Sell), Some(StrategyId(1))) => {
                        Outcome::Cancelling(2)
                    }
                    other => panic!("{other:?}"),
                }
            }
            other => panic!("{other:?}"),
        })
    };
    let server = Harness::start(HttpConfig::default(), Box::new(answering)).await;
    publish(&server.state.published, order(3, OrderState::Filled));
    let delete = async |path: &str| server.ask("DELETE", path, "").await;
    let answer = delete("/api/v1/orders/1").await;
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (200, &json!("cancelled"))
    );
    let answer = delete("/api/v1/orders/2").await;
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (202, &json!("cancel_pending"))
    );
    let answer = delete("/api/v1/orders/3").await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "order_done"));
    assert_eq!(answer.json()["order"]["status"], "filled");
    for id in ["4", "abc", "-1", "18446744073709551616"] {
        let answer = delete(&format!("/api/v1/orders/{id}")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "unknown_order"),
            "{id}"
        );
        assert_eq!(
            server.get(&format!("/api/v1/orders/{id}")).await.code(),
            "unknown_order"
        );
    }
    assert_eq!(delete("/api/v1/orders").await.json()["cancelling"], 7);
    assert_eq!(
        delete("/api/v1/orders?symbol=SOLUSDT").await.json()["cancelling"],
        1
    );
    assert_eq!(
        delete("/api/v1/orders?symbol=BTCUSDT&side=sell&strategy=grid")
            .await
            .json()["cancelling"],
        2
    );
    let answer = delete("/api/v1/orders?strategy=gird").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (404, "unknown_strategy")
    );
    assert_eq!(answer.json()["hint"], "did you mean grid?");
    assert_eq!(
        delete("/api/v1/orders?side=long").await.code(),
        "invalid_parameter"
    );
    assert_eq!(
        delete("/api/v1/orders?symbol=XYZ").await.code(),
        "unknown_symbol"
    );
}

#[tokio::test]
async fn orders_are_listed_newest_first_in_pages() {
    let server = Harness::reading(HttpConfig::default()).await;
    let published = &server.state.published;
    for id in 1..=150 {
        let state = if id % 2 == 0 {
            OrderState::Filled
        } else {
            OrderState::Acked
        };
        let mut order = order(id, state);
        order.instrument = InstrumentId(u16::from(id > 100));
        publish(published, order);
    }
    let ids = async |query: &str| {
        let json = server.get(&format!("/api/v1/orders{query}")).await.json();
        let ids: Vec<u64> = json["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| o["order_id"].as_str().unwrap().parse().unwrap())
            .collect();
        (ids, json["next_cursor"].as_str().map(str::to_owned))
    };
    let (first, cursor) = ids("").await;
    assert_eq!(
        (first.len(), first[0], cursor.as_deref()),
        (100, 150, Some("51"))
    );
    let (rest, cursor) = ids("?cursor=51").await;
    assert_eq!((rest.len(), rest[0], cursor), (50, 50, None));
    assert_eq!(
        ids("?status=filled&limit=2").await,
        (vec![150, 148], Some("148".to_owned()))
    );
    assert_eq!(ids("?status=open&limit=1").await.0, [149]);
    assert_eq!(ids("?status=rejected").await, (vec![], None));
    assert_eq!(ids("?symbol=BTCUSDT&limit=1").await.0, [100]);
    assert_eq!(ids("?client_order_id=key-7").await, (vec![7], None));
    assert_eq!(ids("?cursor=1").await, (vec![], None));
    for query in ["?status=done", "?limit=0", "?limit=1001", "?cursor=x"] {
        let answer = server.get(&format!("/api/v1/orders{query}")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "invalid_parameter"),
            "{query}"
        );
    }
    assert_eq!(
        server.get("/api/v1/orders?symbol=XYZ").await.code(),
        "unknown_symbol"
    );
    assert_eq!(
        server.get("/api/v1/orders/7").await.json()["created_at"],
        FIRST_MS
    );
}

#[tokio::test]
async fn strategies_start_and_stop() {
    let answering = |kind, _: &Published| match kind {
        CommandKind::Strategy { name, .. } if name == "grid" => Some(Outcome::Done),
        CommandKind::Strategy { .. } => Some(Outcome::NotFound),
        other => panic!("{other:?}"),
    };
    let server = Harness::start(HttpConfig::default(), Box::new(answering)).await;
    for verb in ["start", "stop"] {
        let answer = server
            .ask("POST", &format!("/api/v1/strategies/grid/{verb}"), "")
            .await;
        assert_eq!(
            (answer.status, &answer.json()["name"]),
            (200, &json!("grid"))
        );
        let answer = server
            .ask("POST", &format!("/api/v1/strategies/gird/{verb}"), "")
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "unknown_strategy")
        );
        assert_eq!(answer.json()["hint"], "did you mean grid?");
    }
}

#[tokio::test]
async fn why_tells_the_inputs_and_the_rule_that_said_no() {
    let server = Harness::reading(HttpConfig::default()).await;
    server.state.published.kernel.store(Arc::new(KernelView {
        strategies: vec![slow()].into(),
        ..KernelView::default()
    }));
    let json = server.get("/api/v1/strategies/slow/why").await.json();
    assert_eq!(json["items"].as_array().map(Vec::len), Some(2));
    let one = server
        .get("/api/v1/strategies/slow/why?symbol=BTCUSDT")
        .await;
    let (one, refusal) = (one.json(), refusal());
    assert_eq!(
        one["items"],
        json!([{
            "strategy": "slow", "type": "ema_cross", "version": "0000000000000001", "reload_error": null, "symbol": "BTCUSDT", "venue": "binance", "interval": "1m",
            "running": true, "time": FIRST_MS, "candle": FIRST_MS, "verdict": "enter", "said": "signal",
            "inputs": {"ema:9": 60_000.5, "ema:21": 0.25},
            "stopped_by": {
                "rule": "leverage", "text": format!("refused: {refusal}"), "limit": refusal.limit,
                "value": refusal.value, "hint": refusal.hint,
            },
            "text": format!("ema:9 60000.50, ema:21 0.250000: enter; refused: {refusal}"),
        }])
    );
    assert_eq!(json["items"][1]["stopped_by"], json!(null));
    for (path, code) in [
        ("gird/why", "unknown_strategy"),
        ("slow/why?symbol=NOPE", "unknown_symbol"),
    ] {
        let answer = server.get(&format!("/api/v1/strategies/{path}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, code));
    }
}

/// A strategy that was refused on one instrument, and not on another.
pub(crate) fn slow() -> StrategyView {
    let decision = |instrument: u16, stop: Option<Stop>| DecisionView {
        instrument: InstrumentId(instrument),
        interval: Interval::MINUTE,
        time: Time(FIRST_MS * MILLISECOND + 1),
        candle: Some(Time(FIRST_MS * MILLISECOND)),
        inputs: vec!["ema:9".to_owned(), "ema:21".to_owned()].into(),
        why: Why::new(Said::Signal, &[60_000.5, 0.25]),
        verdict: Verdict::Enter,
        stop,
    };
    let refused = Stop::Risk(Box::new(refusal()));
    StrategyView {
        name: "slow".to_owned(),
        kind: "ema_cross".to_owned(),
        running: true,
        version: 1,
        decisions: vec![decision(0, Some(refused)), decision(1, None)],
    }
}

pub(crate) fn refusal() -> Refusal {
    Refusal {
        rule: Rule::Leverage,
        limit: "1 to 20".to_owned(),
        value: "100".to_owned(),
        hint: "lower it".to_owned(),
    }
}

#[tokio::test]
async fn an_order_is_changed_or_says_why_not() {
    let answering = |kind, published: &Published| {
        let CommandKind::Amend {
            order: id,
            price,
            trigger,
            qty,
        } = kind
        else {
            panic!("{kind:?}");
        };
        Some(match id {
            OrderId(1) => {
                assert_eq!(
                    (price, trigger, qty),
                    (Some(Price(6_160_300)), None, Some(Qty(5)))
                );
                publish(published, order(1, OrderState::AmendPending));
                Outcome::Amending(id)
            }
            OrderId(2) => Outcome::AlreadyDone(id),
            OrderId(3) => {
                assert_eq!((price, trigger, qty), (None, Some(Price(6_000_000)), None));
                Outcome::NotAmendable(id, "it has no trigger")
            }
            OrderId(4) => Outcome::Refused(Box::new(refusal())),
            _ => return None,
        })
    };
    let config = HttpConfig {
        answer_timeout: std::time::Duration::from_millis(50),
        ..HttpConfig::default()
    };
    let server = Harness::start(config, Box::new(answering)).await;
    for (id, state) in [
        (1, OrderState::Acked),
        (2, OrderState::Filled),
        (3, OrderState::Acked),
        (4, OrderState::Acked),
        (5, OrderState::Acked),
    ] {
        publish(&server.state.published, order(id, state));
    }
    let patch = async |id: u64, body: &str| {
        let path = format!("/api/v1/orders/{id}");
        server.ask("PATCH", &path, body).await
    };
    let answer = patch(1, r#"{"price": 61603, "quantity": "0.00005"}"#).await;
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (202, &json!("amend_pending"))
    );
    let answer = patch(2, r#"{"price": 61603}"#).await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "order_done"));
    assert_eq!(answer.json()["order"]["status"], "filled");
    let answer = patch(3, r#"{"stop_price": 60000}"#).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (409, "not_amendable")
    );
    assert_eq!(answer.json()["reason"], "it has no trigger");
    let answer = patch(4, r#"{"quantity": 1}"#).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (422, "risk_refused")
    );
    // Silence: the order as it is.
    let answer = patch(5, r#"{"quantity": 1}"#).await;
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (202, &json!("submitted"))
    );
    for (id, body, status, code) in [
        (9, r#"{"quantity": 1}"#, 404, "unknown_order"),
        (1, "", 400, "invalid_json"),
        (1, "{}", 400, "missing_field"),
        (1, r#"{"price": null}"#, 400, "missing_field"),
        (1, r#"{"price": 61603.05}"#, 422, "off_tick"),
        (1, r#"{"stop_price": 0.01}"#, 422, "off_tick"),
        (1, r#"{"quantity": 0.000001}"#, 422, "off_lot"),
        (1, r#"{"quantity": 0}"#, 400, "invalid_value"),
        (1, r#"{"side": "buy"}"#, 400, "unknown_field"),
    ] {
        let answer = patch(id, body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_position_is_closed_at_once_or_after_its_orders() {
    let answering = |kind, published: &Published| {
        let CommandKind::Close {
            instrument,
            position_side,
        } = kind
        else {
            panic!("{kind:?}");
        };
        Some(match (instrument, position_side) {
            (InstrumentId(0), PositionSide::Both) => {
                publish(published, order(5, OrderState::Filled));
                Outcome::Placed(OrderId(5))
            }
            (InstrumentId(1), PositionSide::Both) => Outcome::Cancelling(2),
            (InstrumentId(3), PositionSide::Long) => Outcome::Refused(Box::new(refusal())),
            _ => Outcome::NotFound,
        })
    };
    let server = Harness::start(HttpConfig::default(), Box::new(answering)).await;
    let close = async |what: &str| {
        let path = format!("/api/v1/positions/{what}");
        server.ask("POST", &path, "").await
    };
    let answer = close("BTCUSDT/close").await;
    assert_eq!(
        (answer.status, &answer.json()["order_id"]),
        (201, &json!("5"))
    );
    let answer = close("ETHUSDT/close").await;
    assert_eq!(
        (answer.status, &answer.json()["cancelling"]),
        (202, &json!(2))
    );
    for (what, status, code) in [
        ("SOLUSDT/close?position_side=long", 422, "risk_refused"),
        ("SOLUSDT/close?position_side=short", 404, "no_position"),
        ("SOLUSDT/close?position_side=up", 400, "invalid_parameter"),
        ("XYZ/close", 404, "unknown_symbol"),
    ] {
        let answer = close(what).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{what}"
        );
    }
}

#[tokio::test]
async fn margin_is_set_for_an_instrument() {
    let answering = |kind, _: &Published| {
        let CommandKind::Margin {
            instrument: InstrumentId(3),
            leverage,
            mode,
        } = kind
        else {
            panic!("{kind:?}");
        };
        Some(match (leverage, mode) {
            (10, MarginMode::Isolated) => Outcome::Done,
            _ => Outcome::Refused(Box::new(refusal())),
        })
    };
    let server = Harness::start(HttpConfig::default(), Box::new(answering)).await;
    let path = "/api/v1/positions/SOLUSDT/margin";
    let answer = server
        .ask("POST", path, r#"{"leverage": 10, "mode": "isolated"}"#)
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.json(),
        json!({"symbol": "SOLUSDT", "venue": "sim", "leverage": 10, "margin_mode": "isolated"})
    );
    for (body, status, code) in [
        (r#"{"leverage": 100, "mode": "cross"}"#, 422, "risk_refused"),
        (r#"{"leverage": 0, "mode": "cross"}"#, 400, "invalid_value"),
        (
            r#"{"leverage": 1.5, "mode": "cross"}"#,
            400,
            "invalid_value",
        ),
        (r#"{"leverage": 5}"#, 400, "missing_field"),
        (r#"{"mode": "cross"}"#, 400, "missing_field"),
        (r#"{"leverage": 5, "mode": "half"}"#, 400, "invalid_value"),
    ] {
        let answer = server.ask("POST", path, body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{body}"
        );
    }
}

#[tokio::test]
async fn the_kill_switch_is_pulled_and_let_go() {
    let answering = |kind, published: &Published| {
        let (risk_mode, risk) = match kind {
            CommandKind::Halt { flatten, by } => {
                assert_eq!(by, "API");
                let state = RiskState {
                    halted: true,
                    flatten,
                    ..RiskState::default()
                };
                (RiskMode::Halted, state)
            }
            CommandKind::Resume { by } => {
                assert_eq!(by, "API");
                (RiskMode::Normal, RiskState::default())
            }
            other => panic!("{other:?}"),
        };
        published.kernel.store(std::sync::Arc::new(KernelView {
            risk_mode,
            risk,
            risk_cause: (risk_mode == RiskMode::Halted).then_some("kill_switch"),
            ..KernelView::default()
        }));
        Some(Outcome::Done)
    };
    let server = Harness::start(HttpConfig::default(), Box::new(answering)).await;
    let risk = server.get("/api/v1/risk").await.json();
    // As its digits are read.
    let held: serde_json::Value = serde_json::from_str("0.9999999999999999").unwrap();
    assert_eq!(
        risk,
        json!({
            "mode": "reduce_only", "cause": "losing_streak",
            "kill_switch": {"on": false, "flatten": false, "flat": false, "flatten_by_default": true},
            "daily_loss_until": null, "cool_down_until": FIRST_MS + 9, "drawdown": false,
            "quarantine": false, "incomplete": false,
            "use": {
                "exposure": 150.75, "held": held, "margin": 12.5,
                "available": 99000, "orders_open": 4, "orders_unknown": 0, "pnl_today": -0.5,
                "drawdown_percent": 0.75, "losing_streak": 2,
            },
            "limits": {
                "order_notional_max": 25000, "position_notional_max": 100_000,
                "exposure_notional_max": 250_000, "daily_loss_max": 1000, "orders_open_max": 200,
                "orders_per_second_max": 100, "price_collar": 0.05, "stale_after_ms": 30000,
                "drawdown_max": 0.2, "losing_streak_max": 0, "cool_down_s": 900,
            },
        })
    );
    // The configured default is to flatten; a body overrules it.
    for (body, flatten) in [
        ("", true),
        ("{}", true),
        (r#"{"flatten": false}"#, false),
        (r#"{"flatten": true}"#, true),
    ] {
        let answer = server.ask("POST", "/api/v1/halt", body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let json = answer.json();
        assert_eq!(
            (&json["mode"], &json["cause"]),
            (&json!("halted"), &json!("kill_switch"))
        );
        assert_eq!(
            (&json["kill_switch"]["on"], &json["kill_switch"]["flatten"]),
            (&json!(true), &json!(flatten)),
            "{body}"
        );
    }
    for (body, code) in [
        (r#"{"flatten": 1}"#, "invalid_value"),
        (r#"{"flat": true}"#, "unknown_field"),
        ("yes", "invalid_json"),
    ] {
        let answer = server.ask("POST", "/api/v1/halt", body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, code));
    }
    let answer = server.ask("POST", "/api/v1/resume", "").await;
    assert_eq!(
        (answer.status, &answer.json()["mode"]),
        (200, &json!("normal"))
    );
}
