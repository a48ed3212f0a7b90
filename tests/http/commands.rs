//! Cancelling and listing orders, starting and stopping strategies.

use hean::http::HttpConfig;
use hean::kernel::event::{CommandKind, Outcome};
use hean::kernel::orders::{OrderId, OrderState};
use hean::kernel::snapshot::Published;
use hean::kernel::types::InstrumentId;
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
            CommandKind::CancelAll { instrument: None } => Outcome::Cancelling(7),
            CommandKind::CancelAll {
                instrument: Some(InstrumentId(3)),
            } => Outcome::Cancelling(1),
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
        order.spec.instrument = InstrumentId(u16::from(id > 100));
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
