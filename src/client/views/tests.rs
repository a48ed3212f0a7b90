//! Documents in, tables out: those that no server of the tests has fixed.

use serde_json::json;

use super::super::table::Look;
use super::*;

fn shown(view: View, document: &Value) -> String {
    let page = view.page(std::slice::from_ref(document));
    let tables = page.tables.iter().filter(|table| !table.rows.is_empty());
    let texts: Vec<String> = tables
        .map(|table| table.render(Look::default()).text)
        .collect();
    texts.join("\n")
}

#[test]
fn fills_show_what_was_paid_and_gained() {
    let fill = |id: &str, side: &str, pnl: Value, liquidity: &str| {
        json!({"fill_id": id, "order_id": id, "symbol": "BTCUSDT", "venue": "sim", "side": side,
            "price": "59996.5", "quantity": "0.01666", "fee": "0.99954169", "fee_asset": "USDT",
            "fee_amount": "0.99954169", "liquidity": liquidity, "liquidation": false,
            "realized_pnl": pnl, "strategy": null, "timestamp": 1_796_070_060_777_i64})
    };
    let document = json!({"items": [
        fill("31", "sell", json!("-0.0568"), "taker"),
        fill("27", "buy", Value::Null, "maker"),
    ], "next_cursor": "27"});
    assert_eq!(
        shown(View::Fills, &document),
        "\
TIME UTC             ORDER  SYMBOL       SIDE    PRICE  QUANTITY     FEE            PNL  ROLE
2026-11-30 20:21:00     31  sim:BTCUSDT  sell  59996.5   0.01666  0.9995  USDT  -0.0568  taker
2026-11-30 20:21:00     27  sim:BTCUSDT  buy   59996.5   0.01666  0.9995  USDT           maker
"
    );
    assert!(View::Fills.page(&[document]).more);
}

#[test]
fn what_is_wrong_stands_out() {
    let status = json!({"version": "1.2.3", "commit": "abc", "target": "t", "link": "static",
        "mode": "paper", "uptime_s": 183, "venues": ["sim"], "instruments": 2,
        "intervals": ["1s", "1m"], "books": {"valid": 1, "invalid": 1},
        "kernel": {"orders_open": 3, "orders_unknown": 1},
        "queues": {"market": {"depth": 7, "dropped": 2}},
        "journal": {"seq": 30, "durable": 28, "full": true}, "store": {"up": false},
        "feeds": [{"venue": "sim", "connected": false, "messages": 12, "reconnects": 4, "stalls": 1,
            "decode_errors": 0, "weight_used": "0.022", "clock_offset_ms": null}]});
    assert_eq!(
        shown(View::Status, &status),
        "\
version      1.2.3 (commit abc, t, static)
mode         paper
up           3 m 03 s
venues       sim
instruments  2
intervals    1s, 1m
books        1 verified, 1 not valid
orders       3 open, 1 unknown
queues       market 7 (2 dropped)
journal      the disk is full: only reductions pass
store        not reached

FEED  STATE          MESSAGES  RECONNECTS  STALLS  DECODE ERRORS  WEIGHT %
sim   not connected        12           4       1              0      2.20
"
    );
    let health = json!({"status": "not ready", "version": "1.2.3", "checks": [
        {"name": "kernel", "ok": true, "detail": "last beat 3 ms ago"},
        {"name": "book:sim:X", "ok": false, "detail": "not in step"}]});
    assert_eq!(
        shown(View::Health, &health),
        "\
status   not ready
version  1.2.3

CHECK               DETAIL
kernel      ok      last beat 3 ms ago
book:sim:X  FAILED  not in step
"
    );
}

#[test]
fn every_stream_has_a_line() {
    let feeds = json!({"items": [{"symbol": "X", "venue": "sim", "streams": {
        "depth": {"subscribed": true, "refused": false, "messages": 132, "age_ms": 74, "latency_ms": 27.448},
        "trades": {"subscribed": false, "refused": true, "messages": 0, "age_ms": null, "latency_ms": null}}}]});
    assert_eq!(
        shown(View::Feeds, &feeds),
        "\
SYMBOL  STREAM  STATE         AGE  LATENCY MS  MESSAGES
sim:X   depth   subscribed  74 ms        27.4       132
sim:X   trades  refused                               0
"
    );
}

#[test]
fn decisions_of_several_instruments_are_lines_of_their_own() {
    let strategies = json!({"items": [
        {"name": "ema_cross", "running": true, "decided_at": 1_796_070_060_000_i64,
         "last_decision": "A: long, stay\nB: flat, stay"},
        {"name": "grid", "running": false, "decided_at": 0, "last_decision": null}]});
    assert_eq!(
        shown(View::Strategies, &strategies),
        "\
STRATEGY   STATE    DECIDED UTC          LAST DECISION
ema_cross  running  2026-11-30 20:21:00  A: long, stay
                                         B: flat, stay
grid       stopped
"
    );
}

#[test]
fn a_decision_is_a_line_with_the_rule_that_said_no() {
    let at = 1_796_070_060_000_i64;
    let why = json!({"items": [
        {"strategy": "slow", "symbol": "BTCUSDT", "time": at, "verdict": "enter", "said": "signal",
         "inputs": {"ema:9": 60_000.5, "ema:21": 0.25}, "reload_error": "hean.toml: x\nat line 3",
         "stopped_by": {"rule": "leverage", "text": "refused: too much"},
         "text": "ema:9 60000.50, ema:21 0.250000: enter; refused: too much"},
        {"strategy": "slow", "symbol": "ETHUSDT", "time": null, "verdict": "hold", "said": "no_signal",
         "inputs": {}, "stopped_by": null, "text": "waiting for the first candle"},
        {"strategy": "slow", "symbol": "SOLUSDT", "time": at, "verdict": "hold", "said": "text",
         "inputs": {}, "stopped_by": null, "text": "hold; too late; or early"}]});
    assert_eq!(
        shown(View::Why, &why),
        "\
STRATEGY  SYMBOL   DECIDED UTC          VERDICT  RULE       WHY                           SAW
slow      BTCUSDT  2026-11-30 20:21:00  enter    leverage   refused: too much             ema:21 0.250000, ema:9 60000.50
slow      ETHUSDT                       hold     no_signal  waiting for the first candle
slow      SOLUSDT  2026-11-30 20:21:00  hold     text       too late; or early
                                                            not reloaded: hean.toml: x
                                                            not reloaded: at line 3
"
    );
}

#[test]
fn any_document_at_all_makes_a_table() {
    let odd = [
        json!(null),
        json!(7),
        json!([]),
        json!({}),
        json!({"items": [null, 7, {}]}),
        json!([[1], {"streams": 7}]),
        json!({"timestamps": [1, 2], "outputs": {"a": [1], "b": null}}),
        json!({"bids": [[1]], "asks": [7]}),
        json!({"symbol": "\u{1b}[2J\n", "price": {"a": 1}}),
    ];
    let views = [
        View::Ticker,
        View::Book,
        View::Klines,
        View::Indicators,
        View::Trades,
        View::Symbols,
        View::Orders,
        View::Order,
        View::Positions,
        View::Account,
        View::Fills,
        View::Equity,
        View::Strategies,
        View::Why,
        View::Feeds,
        View::Status,
        View::Health,
    ];
    for view in views {
        for document in &odd {
            let text = shown(view, document);
            assert!(!text.contains('\u{1b}'), "{view:?} {document}: {text:?}");
        }
    }
}
