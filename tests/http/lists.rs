//! Pages of lists: whatever is inserted between them, no entry comes twice and none that was there is left out.

use std::collections::BTreeSet;
use std::sync::Arc;

use hean::http::HttpConfig;
use hean::kernel::orders::OrderState;
use serde_json::Value;

use super::forms::fill;
use super::harness::{FIRST_MS, Harness, MINUTE_MS, order, publish};

/// A fixed sequence of small numbers.
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    }
}

/// Walks through a list; `between` is called before every page but the first.
async fn walk(server: &Harness, path: &str, limit: u64, mut between: impl FnMut()) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server
            .get(&format!("{path}?limit={limit}{cursor}"))
            .await
            .json();
        let found = page["items"].as_array().unwrap();
        assert!(found.len() as u64 <= limit);
        items.extend(found.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
        between();
    }
}

#[tokio::test]
async fn pages_of_orders_and_fills_are_stable_under_inserts() {
    for seed in 0..6 {
        let server = Harness::reading(HttpConfig::default()).await;
        let mut random = numbers(seed);
        let published = &server.state.published;
        let mut next = 1_000;
        let mut insert = |count: u64| {
            for _ in 0..count {
                next += 1;
                publish(published, order(next, OrderState::Acked));
                let fill = fill(next, Some(next));
                published.fills.insert(fill.seq, Arc::new(fill));
            }
        };
        insert(20 + random(30));
        for (path, key) in [("/api/v1/orders", "order_id"), ("/api/v1/fills", "fill_id")] {
            let ids = |items: &[Value]| -> Vec<u64> {
                let id = |item: &Value| item[key].as_str().unwrap().parse().unwrap();
                items.iter().map(id).collect()
            };
            let before = server.get(&format!("{path}?limit=1000")).await.json();
            let before: BTreeSet<u64> = ids(before["items"].as_array().unwrap())
                .into_iter()
                .collect();
            assert!(before.len() >= 20);
            let limit = 1 + random(9);
            let walked = ids(&walk(&server, path, limit, || insert(random(4))).await);
            assert!(
                walked.is_sorted_by(|a, b| a > b),
                "twice or out of order: {walked:?}"
            );
            assert_eq!(
                walked.into_iter().collect::<BTreeSet<_>>(),
                before,
                "seed {seed} {path}"
            );
        }
    }
}

#[tokio::test]
async fn since_leaves_out_what_is_older() {
    let server = Harness::reading(HttpConfig::default()).await;
    for seq in 1..=9 {
        let fill = fill(seq, Some(1));
        server
            .state
            .published
            .fills
            .insert(fill.seq, Arc::new(fill));
    }
    publish(&server.state.published, order(900, OrderState::Acked));
    let count = async |target: String| {
        let json = server.get(&target).await.json();

        json["items"].as_array().or(json.as_array()).unwrap().len()
    };
    for (target, expected) in [
        (format!("/api/v1/fills?since={}", FIRST_MS + 5), 5),
        (format!("/api/v1/fills?since={}", FIRST_MS + 10), 0),
        (
            format!("/api/v1/equity?since={}", FIRST_MS + 147 * MINUTE_MS),
            3,
        ),
        (format!("/api/v1/trades/BTCUSDT?since={FIRST_MS}"), 3),
        (format!("/api/v1/trades/BTCUSDT?since={}", FIRST_MS + 1), 0),
        (
            format!("/api/v1/orders?client_order_id=key-900&since={FIRST_MS}"),
            1,
        ),
        (
            format!(
                "/api/v1/orders?client_order_id=key-900&since={}",
                FIRST_MS + 1
            ),
            0,
        ),
        (
            format!(
                "/api/v1/klines/BTCUSDT?since={}",
                FIRST_MS + 1_199 * MINUTE_MS
            ),
            2,
        ),
    ] {
        assert_eq!(count(target.clone()).await, expected, "{target}");
    }
    for list in [
        "fills",
        "equity",
        "orders",
        "trades/BTCUSDT",
        "klines/BTCUSDT",
    ] {
        let answer = server.get(&format!("/api/v1/{list}?since=yesterday")).await;
        assert_eq!(answer.code(), "invalid_parameter", "{list}");
        assert_eq!(answer.json()["field"], "since");
    }
}

#[tokio::test]
async fn candles_between_two_times() {
    let server = Harness::reading(HttpConfig::default()).await;
    let minute = |index: i64| FIRST_MS + index * MINUTE_MS;
    for (query, expected) in [
        (format!("start={}&limit=3", minute(10)), vec![10, 11, 12]),
        (
            format!("start={}&end={}", minute(10), minute(12)),
            vec![10, 11],
        ),
        (format!("end={}&limit=2", minute(100)), vec![98, 99]),
        (format!("start={}", minute(1_200)), vec![1_200]),
        (format!("since={}&limit=2", minute(5)), vec![1_199, 1_200]),
        (format!("start={}", minute(1_201)), vec![]),
        (format!("start={}&end={}", minute(9), minute(9)), vec![]),
        ("limit=1".to_owned(), vec![1_200]),
    ] {
        let json = server
            .get(&format!("/api/v1/klines/BTCUSDT?{query}"))
            .await
            .json();
        let found: Vec<i64> = json
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["timestamp"].as_i64().unwrap())
            .collect();
        let expected: Vec<i64> = expected.into_iter().map(minute).collect();
        assert_eq!(found, expected, "{query}");
    }
    let answer = server.get("/api/v1/klines/BTCUSDT?start=1&since=1").await;
    assert_eq!(
        (answer.code().as_str(), answer.json()["field"].as_str()),
        ("invalid_parameter", Some("since"))
    );
}
