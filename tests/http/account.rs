//! Money, positions and the equity curve.

use hean::http::HttpConfig;
use serde_json::json;

use super::harness::{FIRST_MS, Harness, MINUTE_MS};

async fn server() -> Harness {
    Harness::reading(HttpConfig::default()).await
}

#[tokio::test]
async fn money_is_exact() {
    let server = server().await;
    let answer = server.get("/api/v1/account").await;
    assert!(
        answer.body.contains("\"cash\":99999.9999999999999999,"),
        "{answer:?}"
    );
    assert!(answer.body.contains("\"available\":99000,"), "{answer:?}");
    assert!(
        answer
            .body
            .contains("\"win_rate_percent\":33.333333333333336,\"sharpe_ratio\":null")
    );
    for text in [
        "\"margin\":12.5,",
        "\"funding\":-0.25,",
        "\"insurance\":0,",
        "\"exposure\":150.75,",
        "\"sortino_ratio\":0.5,\"profit_factor\":null,\"turnover\":1234.5,\"losing_streak\":2,\"drawdown_percent\":0.75",
    ] {
        assert!(answer.body.contains(text), "{text} in {answer:?}");
    }
    let json = server.get("/api/v1/account?numbers=string").await.json();
    assert_eq!(
        json["balances"],
        json!([
            {"asset": "USDT", "total": "99999.9999999999999999"},
            {"asset": "BNB", "total": "0.5"},
            {"asset": "BTC", "total": "0.00003"},
        ])
    );
    let answer = server.get("/api/v1/positions?limit=1").await;
    assert_eq!(
        answer.body,
        "{\"items\":[{\"symbol\":\"BTCUSDT\",\"venue\":\"binance\",\"position_side\":\"both\",\"side\":\"long\",\
         \"quantity\":0.00003,\"entry_price\":61602.01,\"mark_price\":61602.01,\"liquidation_price\":null,\
         \"cost\":1.8480603,\"unrealized_pnl\":-0.1,\"realized_pnl\":0.2,\"fees\":0.01,\"funding\":0,\
         \"leverage\":null,\"margin_mode\":null,\"margin\":0}],\"next_cursor\":\"binance:BTCUSDT@both\"}"
    );
    let json = server
        .get("/api/v1/positions?cursor=binance:BTCUSDT@both")
        .await
        .json();
    assert_eq!(json["items"][0]["side"], "flat");
    assert_eq!(json["items"][0]["entry_price"], json!(null));
    let json = server
        .get("/api/v1/positions?symbol=SOLUSDT&limit=1")
        .await
        .json();
    assert_eq!(
        json,
        json!({
            "items": [{
                "symbol": "SOLUSDT", "venue": "sim", "position_side": "long", "side": "long",
                "quantity": 2, "entry_price": 150, "mark_price": 151, "liquidation_price": 135.6,
                "cost": 300, "unrealized_pnl": 2, "realized_pnl": 7, "fees": 0.3, "funding": -0.25,
                "leverage": 10, "margin_mode": "isolated", "margin": 30,
            }],
            "next_cursor": "sim:SOLUSDT@long",
        })
    );
    // The other side of the same instrument comes next.
    let json = server
        .get("/api/v1/positions?cursor=sim:SOLUSDT@long")
        .await
        .json();
    assert_eq!(json["items"][0]["position_side"], "short");
    assert_eq!(json["next_cursor"], json!(null));
    for cursor in ["sim:SOLUSDT", "sim:SOLUSDT@up", "x@long"] {
        let answer = server
            .get(&format!("/api/v1/positions?cursor={cursor}"))
            .await;
        assert_eq!(answer.code(), "invalid_parameter", "{cursor}");
    }
    let json = server
        .get("/api/v1/positions?symbol=sim:BTCUSDT")
        .await
        .json();
    assert_eq!(json, json!({"items": [], "next_cursor": null}));
}

#[tokio::test]
async fn equity_goes_back_page_by_page() {
    let server = server().await;
    let json = server.get("/api/v1/equity").await.json();
    let items = json["items"].as_array().unwrap();
    assert_eq!(items.len(), 100);
    assert_eq!(
        items[0],
        json!({"timestamp": FIRST_MS + 149 * MINUTE_MS, "equity": 100_149, "pnl": 149})
    );
    let cursor = json["next_cursor"].as_str().unwrap().to_owned();
    let json = server
        .get(&format!("/api/v1/equity?cursor={cursor}&limit=2160"))
        .await
        .json();
    let items = json["items"].as_array().unwrap();
    assert_eq!((items.len(), &json["next_cursor"]), (50, &json!(null)));
    assert_eq!(items[0]["pnl"], 49);
    assert_eq!(items[49]["timestamp"], FIRST_MS);
    assert_eq!(
        server.get("/api/v1/equity?limit=2161").await.code(),
        "invalid_parameter"
    );
}
