//! What can be read, and what every route refuses.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use hean::http::{HttpConfig, ROUTES};
use hean::kernel::event::{BookFault, Outcome};
use hean::kernel::snapshot::{BookView, KernelView};
use hean::kernel::types::Time;
use serde_json::json;

use super::harness::{FIRST_MS, Harness, MINUTE_MS};

async fn server() -> Harness {
    Harness::reading(HttpConfig::default()).await
}

/// A path that the pattern fits.
fn example(pattern: &str) -> String {
    pattern
        .replace("{symbol}", "BTCUSDT")
        .replace("{id}", "1")
        .replace("{name}", "grid")
        .replace("{file}", "page.css")
}

#[test]
fn the_manual_names_every_route() {
    let manual = include_str!("../../README.md");
    for route in ROUTES {
        let named = format!("`{} {}", route.method, route.path);
        let ends = |rest: &str| rest.starts_with(['`', '?']);
        let mut found = manual.match_indices(&named);
        let whole = found.any(|(at, text)| ends(&manual[at + text.len()..]));
        assert!(whole, "README.md does not name {route:?}");
    }
}

#[tokio::test]
async fn every_route_checks_host_and_origin_first() {
    let config = HttpConfig {
        allowed_hosts: vec!["trade.example".to_owned()],
        ..HttpConfig::default()
    };
    let server = Harness::start(config, Box::new(|_, _| Some(Outcome::NotFound))).await;
    let port = server.addr.port();
    let mut client = server.connect().await;
    let nowhere = ("GET", "/nowhere".to_owned());
    let wrong_method = ("PUT", "/health".to_owned());
    let routes = ROUTES.iter().map(|r| (r.method.as_str(), example(r.path)));
    for (method, path) in routes.chain([nowhere, wrong_method]) {
        for (headers, refusal) in [
            ("", Some("bad_host")),
            ("Host: \r\n", Some("bad_host")),
            ("Host: localhost\r\nHost: localhost\r\n", Some("bad_host")),
            ("Host: evil.example\r\n", Some("host_not_allowed")),
            ("Host: localhost:1\r\n", Some("host_not_allowed")),
            (
                "Host: localhost\r\nOrigin: http://evil.example\r\n",
                Some("origin_not_allowed"),
            ),
            (
                "Host: localhost\r\nOrigin: null\r\n",
                Some("origin_not_allowed"),
            ),
            ("Host: localhost\r\n", None),
            ("Host: 127.0.0.1:PORT\r\n", None),
            ("Host: [::1]:PORT\r\n", None),
            (
                "Host: trade.example\r\nOrigin: https://trade.example\r\n",
                None,
            ),
            ("Host: localhost\r\nOrigin: http://localhost:PORT\r\n", None),
        ] {
            let headers = headers.replace("PORT", &port.to_string());
            client
                .send(&format!(
                    "{method} {path} HTTP/1.1\r\n{headers}Content-Length: 0\r\n\r\n"
                ))
                .await;
            let answer = client.answer().await;
            let context = format!("{method} {path} with {headers:?}: {answer:?}");
            match refusal {
                Some(code) => {
                    let status = if code == "bad_host" { 400 } else { 403 };
                    assert_eq!(
                        (answer.status, answer.code().as_str()),
                        (status, code),
                        "{context}"
                    );
                }
                None => assert!(
                    answer.status != 403 && !answer.body.contains("\"code\":\"bad_host\""),
                    "{context}"
                ),
            }
            if answer.header("connection") == Some("close") {
                client.ended().await;
                client = server.connect().await;
            }
        }
    }
}

#[tokio::test]
async fn a_ticker_is_exact_to_the_last_digit() {
    let server = server().await;
    let answer = server.get("/api/v1/ticker/BTCUSDT").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.body,
        "{\"symbol\":\"BTCUSDT\",\"venue\":\"binance\",\"price\":61602.01,\"bid\":61602,\"ask\":61602.1,\
         \"bid_quantity\":1,\"ask_quantity\":0.00001,\"volume\":12.34567,\"volume_window\":\"24h\",\
         \"quote_volume\":0.0000001,\"open\":60000,\"high\":62000,\"low\":59000,\"timestamp\":1700000040007}"
    );
    let strings = server
        .get("/api/v1/ticker/BTCUSDT?numbers=string")
        .await
        .json();
    assert_eq!(strings["price"], "61602.01");
    assert_eq!(strings["timestamp"], FIRST_MS + 7);
    // Nothing heard yet: null, never zero.
    let silent = server.get("/api/v1/ticker/ETHUSDT").await.json();
    assert_eq!(silent["price"], json!(null));
    assert_eq!(silent["timestamp"], json!(null));
    assert_eq!(silent["volume_window"], "session");
}

#[tokio::test]
async fn one_instrument_has_many_names_and_others_are_suggested() {
    let server = server().await;
    for (name, venue, symbol) in [
        ("btc-usdt", "binance", "BTCUSDT"),
        ("BTC%2FUSDT", "binance", "BTCUSDT"),
        ("sim:BTCUSDT", "sim", "BTCUSDT"),
        ("SOLUSDT", "sim", "SOLUSDT"),
    ] {
        let json = server.get(&format!("/api/v1/ticker/{name}")).await.json();
        assert_eq!(
            (&json["venue"], &json["symbol"]),
            (&json!(venue), &json!(symbol)),
            "{name}"
        );
    }
    for path in ["ticker", "orderbook", "klines", "indicators", "trades"] {
        let answer = server.get(&format!("/api/v1/{path}/BTCUSD")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "unknown_symbol")
        );
        let json = answer.json();
        assert_eq!(json["nearest"][0], "binance:BTCUSDT");
        assert!(json["hint"].as_str().unwrap().contains("binance:BTCUSDT"));
    }
    for name in ["nasdaq:AAPL", "binance:SOLUSDT", "%22%5C", &"x".repeat(500)] {
        let answer = server.get(&format!("/api/v1/ticker/{name}")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "unknown_symbol")
        );
    }
}

#[tokio::test]
async fn a_book_has_the_depth_that_was_asked_for() {
    let server = server().await;
    let answer = server.get("/api/v1/orderbook/BTCUSDT?depth=2").await;
    assert_eq!(
        answer.body,
        "{\"symbol\":\"BTCUSDT\",\"venue\":\"binance\",\"bids\":[[61602,1],[61601.99,1.00001]],\
         \"asks\":[[61602.1,0.00001],[61602.11,0.00002]],\"timestamp\":1700000040000,\"valid\":true,\
         \"fault\":null,\"update_id\":9007199254740993}"
    );
    let json = server.get("/api/v1/orderbook/BTCUSDT").await.json();
    assert_eq!(json["bids"].as_array().unwrap().len(), 20);
    let strings = server
        .get("/api/v1/orderbook/BTCUSDT?depth=1&numbers=string")
        .await
        .json();
    assert_eq!(strings["asks"], json!([["61602.1", "0.00001"]]));
    for depth in ["0", "101", "ten", "-1", ""] {
        let answer = server
            .get(&format!("/api/v1/orderbook/BTCUSDT?depth={depth}"))
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "invalid_parameter")
        );
        assert_eq!(answer.json()["field"], "depth");
    }
    server.state.published.instruments[0]
        .book
        .store(Arc::new(BookView {
            fault: Some(BookFault::Gap),
            ..BookView::default()
        }));
    let json = server.get("/api/v1/orderbook/BTCUSDT").await.json();
    assert_eq!(
        (&json["valid"], &json["fault"], &json["bids"]),
        (&json!(false), &json!("gap"), &json!([]))
    );
}

#[tokio::test]
async fn candles_come_oldest_first_and_the_open_one_last() {
    let server = server().await;
    let json = server.get("/api/v1/klines/BTCUSDT").await.json();
    let candles = json.as_array().unwrap();
    assert_eq!(candles.len(), 500);
    assert_eq!(candles[499]["timestamp"], FIRST_MS + 1_200 * MINUTE_MS);
    assert_eq!(candles[499]["closed"], false);
    assert_eq!(candles[498]["closed"], true);
    assert_eq!(candles[0]["timestamp"], FIRST_MS + 701 * MINUTE_MS);
    let one = server
        .get("/api/v1/klines/BTCUSDT?interval=1m&limit=1")
        .await;
    assert_eq!(
        one.body,
        "[{\"symbol\":\"BTCUSDT\",\"venue\":\"binance\",\"interval\":\"1m\",\"open\":61612,\"high\":61613,\
         \"low\":61599,\"close\":61612.5,\"volume\":1234500000000000.00001,\"quote_volume\":0.0000007,\
         \"trades\":3,\"timestamp\":1700072040000,\"closed\":false}]"
    );
    assert_eq!(
        server.get("/api/v1/klines/BTCUSDT?interval=1h").await.body,
        "[]"
    );
    let answer = server.get("/api/v1/klines/BTCUSDT?interval=5m").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "unknown_interval")
    );
    assert!(answer.json()["hint"].as_str().unwrap().contains("1h or 1m"));
    let answer = server.get("/api/v1/klines/BTCUSDT?interval=7m").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "invalid_parameter")
    );
    assert_eq!(answer.json()["field"], "interval");
}

#[tokio::test]
async fn indicators_as_a_summary_a_value_or_a_series() {
    let server = server().await;
    let path = "/api/v1/indicators/BTCUSDT";
    let json = server.get(path).await.json();
    assert_eq!(
        json,
        json!({
            "symbol": "BTCUSDT", "venue": "binance", "interval": "1m",
            "timestamp": FIRST_MS + 1_199 * MINUTE_MS,
            "sma_20": 61_600.25, "ema_20": null, "rsi_14": null,
            "macd": 1.5, "macd_signal": -0.25, "macd_histogram": 1.75,
            "bb_upper": null, "bb_middle": null, "bb_lower": null,
        })
    );
    let json = server
        .get(&format!("{path}?type=rsi&period=14"))
        .await
        .json();
    assert_eq!(
        json,
        json!({
            "symbol": "BTCUSDT", "venue": "binance", "interval": "1m", "type": "rsi", "params": "14",
            "timestamp": FIRST_MS + 1_199 * MINUTE_MS, "value": 61_612.49,
        })
    );
    let answer = server
        .get(&format!("{path}?type=macd&params=12:26:9&limit=2"))
        .await;
    let json = answer.json();
    assert_eq!(
        json["timestamps"],
        json!([FIRST_MS + 1_198 * MINUTE_MS, FIRST_MS + 1_199 * MINUTE_MS])
    );
    assert_eq!(json["outputs"]["macd"], json!([61_612.48, 61_612.49]));
    assert!(
        answer
            .body
            .contains("\"histogram\":[-0.0000001,-0.0000001]"),
        "{answer:?}"
    );
    // By the parameters' own names; the others are the usual ones.
    let query = "type=macd&slow=30&signal=5";
    let json = server.get(&format!("{path}?{query}")).await.json();
    assert_eq!(
        (&json["type"], &json["params"]),
        (&json!("macd"), &json!("12:30:5"))
    );
    // No candle yet: nothing is known, and that is no error.
    let json = server
        .get("/api/v1/indicators/ETHUSDT?type=rsi")
        .await
        .json();
    assert_eq!(
        (&json["value"], &json["timestamp"]),
        (&json!(null), &json!(null))
    );
    for (query, field) in [
        ("type=rsj", "type"),
        ("type=", "type"),
        ("type=rsi&period=0", "period"),
        ("type=rsi&period=14&params=14", "params"),
        ("type=rsi&limit=1001", "limit"),
        ("type=rsi&period=1e3x", "period"),
        ("type=rsi&period=100001", "period"),
        ("type=macd&period=14", "period"),
        ("type=macd&fast=5&params=12:26:9", "params"),
        ("type=rsi:14", "type"),
        ("slow=14", "slow"),
        ("period=14", "period"),
    ] {
        let answer = server.get(&format!("{path}?{query}")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "invalid_parameter"),
            "{query}"
        );
        assert_eq!(answer.json()["field"], field, "{query}");
    }
}

#[tokio::test]
async fn trades_and_symbols_come_in_pages() {
    let server = server().await;
    let json = server.get("/api/v1/trades/BTCUSDT?limit=2").await.json();
    assert_eq!(
        json["items"][0],
        json!({"id": "3", "price": 61600, "quantity": 1, "side": "sell", "timestamp": FIRST_MS})
    );
    assert_eq!(json["next_cursor"], "2");
    let json = server
        .get("/api/v1/trades/BTCUSDT?limit=2&cursor=2")
        .await
        .json();
    assert_eq!(
        (&json["items"][0]["id"], &json["next_cursor"]),
        (&json!("1"), &json!(null))
    );

    let json = server.get("/api/v1/symbols").await.json();
    assert_eq!(json["items"].as_array().unwrap().len(), 4);
    assert_eq!(
        json["items"][0],
        json!({
            "symbol": "BTCUSDT", "venue": "binance", "name": "binance:BTCUSDT", "base": "BTC",
            "quote": "USDT", "status": "trading", "tick_size": 0.1, "lot_size": 0.00001,
            "min_quantity": 0.00001, "max_quantity": null, "min_notional": 5, "maker_fee": 0.001,
            "taker_fee": 0.001, "book_valid": true,
        })
    );
    let mut cursor = String::new();
    let mut seen = Vec::new();
    loop {
        let json = server
            .get(&format!("/api/v1/symbols?limit=1{cursor}"))
            .await
            .json();
        seen.push(json["items"][0]["name"].as_str().unwrap().to_owned());
        match json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(
        seen,
        [
            "binance:BTCUSDT",
            "binance:ETHUSDT",
            "sim:BTCUSDT",
            "sim:SOLUSDT"
        ]
    );
    let answer = server.get("/api/v1/symbols?cursor=nothing").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "invalid_parameter")
    );
}

#[tokio::test]
async fn health_says_what_it_found() {
    let server = server().await;
    for (path, status) in [
        ("/health", "healthy"),
        ("/livez", "alive"),
        ("/readyz", "ready"),
    ] {
        let answer = server.get(path).await;
        let json = answer.json();
        assert_eq!(
            (answer.status, &json["status"]),
            (200, &json!(status)),
            "{answer:?}"
        );
        assert_eq!(
            (&json["service"], &json["version"]),
            (&json!("hean"), &json!("0.1.0"))
        );
        assert_eq!(json["checks"][0]["name"], "kernel");
    }
    let failing = || async {
        let answer = server.get("/readyz").await;
        let json = answer.json();
        let checks = json["checks"].as_array().unwrap().clone();
        let failed: Vec<String> = checks
            .iter()
            .filter(|c| c["ok"] == false)
            .map(|c| c["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(answer.status, if failed.is_empty() { 200 } else { 503 });
        failed
    };
    assert!(failing().await.is_empty());
    let state = &server.state;
    state.feeds[0].connected.store(false, Relaxed);
    assert_eq!(failing().await, ["feed:binance"]);
    state.feeds[0].connected.store(true, Relaxed);
    state.store.as_ref().unwrap().up.store(false, Relaxed);
    assert_eq!(failing().await, ["store"]);
    state.store.as_ref().unwrap().up.store(true, Relaxed);
    state.published.instruments[3].book.store(Arc::default());
    assert_eq!(failing().await, ["book:sim:SOLUSDT"]);
    state.published.kernel.store(Arc::new(KernelView {
        journal_full: true,
        ..KernelView::default()
    }));
    assert_eq!(failing().await, ["book:sim:SOLUSDT", "journal"]);
    state.kernel_status.heartbeat.set(Time(1));
    assert_eq!(server.get("/livez").await.status, 503);
    assert_eq!(server.get("/health").await.json()["status"], "unhealthy");
}

#[tokio::test]
async fn status_and_strategies() {
    let server = server().await;
    let json = server.get("/api/v1/status").await.json();
    assert_eq!(
        (&json["service"], &json["mode"]),
        (&json!("hean"), &json!("paper"))
    );
    assert_eq!(json["venues"], json!(["binance", "sim"]));
    assert_eq!(json["feeds"][0]["messages"], 5);
    assert_eq!(json["books"], json!({"valid": 4, "invalid": 0}));
    assert_eq!(json["journal"]["durable"], 9);
    assert_eq!(json["journal"]["disk_full"], false);
    assert_eq!(
        json["recovery"],
        json!({
            "seq": 7, "snapshot": 4, "records": 3, "segments": 1, "cut_bytes": 12, "quarantined": 0,
            "orders_open": 2, "orders_unknown": 1, "positions": 1, "risk": "normal", "elapsed_ms": 2.5,
        })
    );
    assert_eq!(json["store"]["lag_records"], 2);
    assert_eq!(
        json["queues"]["commands"],
        json!({"depth": 0, "dropped": 0})
    );
    let json = server.get("/api/v1/strategies").await.json();
    assert_eq!(
        json,
        json!({
            "items": [{
                "name": "grid", "type": "grid", "version": "0000000000000007", "running": true,
                "last_decision": null, "decided_at": null, "reload_error": null,
            }],
            "next_cursor": null,
        })
    );
}

#[tokio::test]
async fn unknown_paths_methods_and_parameters() {
    let server = server().await;
    let answer = server.get("/api/v1/tickers/BTCUSDT").await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"));
    assert!(
        answer.json()["hint"]
            .as_str()
            .unwrap()
            .contains("/api/v1/ticker/{symbol}")
    );
    for path in [
        "/",
        "/api/v1/ticker/",
        "/api/v1/ticker/A/B",
        "/health/",
        "/api/v1/ticker/%ff",
        "//",
    ] {
        assert_eq!(server.get(path).await.code(), "not_found", "{path}");
    }
    for (method, path, allow) in [
        ("POST", "/health", "GET, HEAD, OPTIONS"),
        ("PUT", "/api/v1/orders", "POST, GET, DELETE, HEAD, OPTIONS"),
        (
            "PUT",
            "/api/v1/orders/1",
            "GET, PATCH, DELETE, HEAD, OPTIONS",
        ),
        ("GET", "/api/v1/halt", "POST, OPTIONS"),
        ("GET", "/api/v1/positions/BTCUSDT/close", "POST, OPTIONS"),
        ("GET", "/api/v1/strategies/grid/start", "POST, OPTIONS"),
        ("HEAD", "/api/v1/strategies/grid/stop", "POST, OPTIONS"),
    ] {
        let mut client = server.connect().await;
        client.request(method, path, "").await;
        let answer = client.head().await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some(allow)),
            "{method} {path}"
        );
    }
    for route in ROUTES.iter().filter(|r| r.method == "GET") {
        let answer = server
            .get(&format!("{}?nonsense=1", example(route.path)))
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "unknown_parameter"),
            "{route:?}"
        );
        assert_eq!(answer.json()["field"], "nonsense");
    }
    let answer = server.get("/api/v1/orderbook/BTCUSDT?dept=5").await;
    assert_eq!(answer.json()["hint"], "did you mean depth?");
    let answer = server.get("/api/v1/ticker/BTCUSDT?numbers=roman").await;
    assert_eq!(
        (answer.code().as_str(), answer.json()["field"].as_str()),
        ("invalid_parameter", Some("numbers"))
    );
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = server().await;
    for route in ROUTES.iter().filter(|r| r.method == "GET") {
        if matches!(route.path, "/metrics" | "/api/v1/status")
            || route.path.ends_with('z')
            || route.path == "/health"
        {
            continue; // their length changes with time
        }
        let path = example(route.path);
        let got = server.get(&path).await;
        let mut client = server.connect().await;
        client.request("HEAD", &path, "").await;
        // The next answer begins where a body would have.
        client.request("GET", "/livez", "").await;
        let head = client.head().await;
        assert_eq!(head.status, got.status, "{path}");
        assert_eq!(
            head.header("content-type"),
            got.header("content-type"),
            "{path}"
        );
        assert_eq!(
            head.header("content-length"),
            got.header("content-length"),
            "{path}"
        );
        assert_eq!(client.answer().await.json()["service"], "hean", "{path}");
    }
}
