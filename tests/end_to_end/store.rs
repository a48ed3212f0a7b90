//! The projection into a real redis-server: an outage under load leaves no hole and no double, and a
//! store that belongs to another installation is left alone.

use std::collections::BTreeMap;
use std::time::Duration;

use hean::runtime::clock::Clock;
use serde_json::Value;

use super::client::{json, metric, ready, request};
use super::process::{HUNG, Process, until};
use super::redis::Redis;
use super::trader::{
    Load, Promised, arguments, buy_stock, daemon, field, is_final, market, orders, positions,
    state, units, wait_consistent, wait_durable,
};

/// How long the outage lasts at least: a moment, or 20 s when `HEAN_LONG` is set.
fn outage() -> Duration {
    match std::env::var_os("HEAN_LONG") {
        Some(long) if !long.is_empty() => Duration::from_secs(20),
        _ => Duration::from_millis(500),
    }
}

#[test]
fn heavy_an_outage_of_the_store_leaves_no_hole_and_no_double() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let market = market();
    let dir = tempfile::tempdir().expect("directory");
    let daemon = daemon(market.addr(), dir.path(), &["--keydb", &redis.url()]);
    let addr = daemon.addr();
    until("the store", || ready(addr, "store").then_some(()));
    buy_stock(addr);

    let mut promised = Promised::default();
    let load = Load::start(addr, "s", 11);
    load.wait(30, &mut promised);
    redis.kill();
    until("an outage that was noticed", || {
        (!ready(addr, "store")).then_some(())
    });
    assert_eq!(
        request(addr, "GET", "/readyz", "").expect("answer").status,
        503
    );
    // Trading goes on meanwhile, and the lag is told.
    let clock = Clock::start();
    let (start, least) = (
        clock.now(),
        i64::try_from(outage().as_nanos()).expect("short"),
    );
    load.wait(40, &mut promised);
    until("the end of the outage", || {
        (clock.now().since(start) >= least).then_some(())
    });
    assert!(metric(addr, "hean_store_lag_records") > 40.0);
    assert!(!ready(addr, "store"));
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    redis.start_again();
    until("the store again", || ready(addr, "store").then_some(()));
    load.wait(20, &mut promised);
    load.finish(&mut promised);
    promised.check(addr);

    promised.cancel_all(addr);
    wait_consistent(addr);
    wait_durable(addr);
    wait_applied(addr);
    compare_stream(&redis, addr);
    compare_state(&redis, addr);

    // Down at the end as well: that is no failure, and the next start makes up for it.
    redis.kill();
    let load = Load::start(addr, "u", 12);
    load.wait(20, &mut promised);
    load.finish(&mut promised);
    assert_eq!(daemon.terminate(Duration::from_secs(5)).code(), Some(0));
    redis.start_again();
    let daemon = self::daemon(market.addr(), dir.path(), &["--keydb", &redis.url()]);
    let addr = daemon.addr();
    promised.check(addr);
    promised.cancel_all(addr);
    wait_consistent(addr);
    wait_durable(addr);
    wait_applied(addr);
    compare_stream(&redis, addr);
    compare_state(&redis, addr);
}

/// Waits until the store has every record.
fn wait_applied(addr: std::net::SocketAddr) {
    until("a store that has caught up", || {
        let status = json(addr, "/api/v1/status");
        let store = &status["store"];
        let up = store["up"] == true && store["applied"] == status["journal"]["durable"];
        up.then_some(())
    });
}

/// Every sequence from the first one on is in the stream, once.
fn compare_stream(redis: &Redis, addr: std::net::SocketAddr) {
    let durable = json(addr, "/api/v1/status")["journal"]["durable"].as_u64();
    let meta = redis.hash("hean:{default}:meta");
    let ids = redis.stream_ids("hean:{default}:events");
    let first: u64 = meta["first_seq"].parse().expect("a sequence");
    assert_eq!(first, 1);
    let want: Vec<String> = (first..)
        .take(ids.len())
        .map(|seq| format!("{seq}-0"))
        .collect();
    assert_eq!(ids, want);
    // More may have come since we asked, never less.
    assert!(
        Some(ids.len() as u64) >= durable,
        "{} {durable:?}",
        ids.len()
    );
    assert!(ids.len() > 200, "{}", ids.len());
}

/// Orders, positions and money are in the store as HTTP shows them.
fn compare_state(redis: &Redis, addr: std::net::SocketAddr) {
    let shown = orders(addr);
    assert!(shown.values().all(is_final));
    let ids = redis.set("hean:{default}:orders");
    let mut want: Vec<String> = shown.keys().cloned().collect();
    want.sort();
    assert_eq!(ids, want);
    assert_eq!(redis.set("hean:{default}:open"), Vec::<String>::new());
    for (id, order) in &shown {
        let hash = redis.hash(&format!("hean:{{default}}:order:{id}"));
        same(
            &hash,
            order,
            &["order_id", "symbol", "venue", "side", "type", "status"],
        );
        same(
            &hash,
            order,
            &["client_order_id", "time_in_force", "reason"],
        );
        let numbers = [
            "quantity",
            "filled_quantity",
            "remaining_quantity",
            "price",
            "fee",
        ];
        equal(&hash, order, &numbers);
        equal(&hash, order, &["avg_fill_price"]);
        for name in ["created_at", "updated_at"] {
            assert_eq!(hash[name], order[name].to_string(), "{name} of {id}");
        }
    }
    for (symbol, position) in positions(addr) {
        let hash = redis.hash(&format!("hean:{{default}}:position:sim:{symbol}"));
        let numbers = ["quantity", "cost", "entry_price", "realized_pnl", "fees"];
        equal(&hash, &position, &numbers);
    }
    let account = json(addr, "/api/v1/account?numbers=string");
    let hash = redis.hash("hean:{default}:account");
    same(&hash, &account, &["currency"]);
    equal(
        &hash,
        &account,
        &["cash", "transfers", "realized_pnl", "fees"],
    );
    assert_eq!(hash["fills"], account["stats"]["fills"].to_string());
}

/// Equal texts; what is null in one is empty in the other.
fn same(hash: &BTreeMap<String, String>, shown: &Value, names: &[&str]) {
    for name in names {
        let shown_text = shown[*name].as_str().unwrap_or_default();
        assert_eq!(hash[*name], shown_text, "{name}: {hash:?} {shown}");
    }
}

/// Equal numbers.
fn equal(hash: &BTreeMap<String, String>, shown: &Value, names: &[&str]) {
    for name in names {
        let stored = &hash[*name];
        if shown[*name].is_null() {
            assert!(stored.is_empty(), "{name}: {hash:?} {shown}");
        } else {
            let pair = (units(stored), units(field(shown, name)));
            assert_eq!(pair.0, pair.1, "{name}: {hash:?} {shown}");
        }
    }
}

#[test]
fn heavy_a_task_that_must_not_end_takes_the_daemon_down_and_is_named() {
    let Some(redis) = Redis::start() else { return };
    let market = market();
    let (mine, other) = (tempfile::tempdir(), tempfile::tempdir());
    let (mine, other) = (mine.expect("directory"), other.expect("directory"));
    let owner = daemon(market.addr(), mine.path(), &["--keydb", &redis.url()]);
    until("the store", || ready(owner.addr(), "store").then_some(()));
    wait_durable(owner.addr());
    wait_applied(owner.addr());
    let before = redis.hash("hean:{default}:meta");

    // A new directory does not take the state of a process that is there.
    let new = tempfile::tempdir().expect("directory");
    let mut args = arguments(market.addr(), new.path());
    args.extend(["--keydb".to_owned(), redis.url()]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut thief = Process::spawn(&args);
    assert_eq!(thief.wait(HUNG).code(), Some(1), "{}", thief.log());
    assert!(
        thief
            .log()
            .contains("another process writes to hean:{default}:*"),
        "{}",
        thief.log()
    );

    // Another installation must not write over it: its store task ends, and says why.
    daemon(market.addr(), other.path(), &[]).kill();
    let mut args = arguments(market.addr(), other.path());
    args.extend(["--keydb".to_owned(), redis.url()]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut stranger = Process::spawn(&args);
    let status = stranger.wait(HUNG);
    assert_eq!(status.code(), Some(1), "{}", stranger.log());
    let log = stranger.log();
    assert!(log.contains("store ended unexpectedly"), "{log}");
    assert!(log.contains("hean:{default}:*"), "{log}");
    assert_eq!(
        redis.hash("hean:{default}:meta")["installation"],
        before["installation"]
    );
    assert!(ready(owner.addr(), "store"));
}

/// A market order that adds risk; the status of the answer.
fn buy(addr: std::net::SocketAddr) -> u16 {
    let body = r#"{"symbol":"BTCUSDT","side":"buy","type":"market","quantity":"0.0002"}"#;
    let answer = request(addr, "POST", "/api/v1/orders", body).expect("an answer");
    if answer.status == 422 {
        assert_eq!(answer.json()["rule"], "incomplete", "{}", answer.body);
    }
    answer.status
}

#[test]
fn heavy_a_lost_data_directory_is_made_good_by_the_store() {
    let Some(redis) = Redis::start() else {
        return;
    };
    let market = market();
    let start = |dir: &tempfile::TempDir| {
        let daemon = daemon(market.addr(), dir.path(), &["--keydb", &redis.url()]);
        until("the store", || ready(daemon.addr(), "store").then_some(()));
        daemon
    };
    let directory = || tempfile::tempdir().expect("directory");
    let mode = |addr| json(addr, "/api/v1/risk")["mode"].clone();
    let (first_dir, second_dir, third_dir) = (directory(), directory(), directory());
    let first = start(&first_dir);
    buy_stock(first.addr());
    let mut promised = Promised::default();
    let load = Load::start(first.addr(), "l", 5);
    load.wait(30, &mut promised);
    load.finish(&mut promised);
    promised.cancel_all(first.addr());
    wait_consistent(first.addr());
    wait_durable(first.addr());
    let before = state(first.addr());
    // In order: nothing is missing, and nothing is distrusted.
    assert!(first.terminate(Duration::from_secs(10)).success());
    let second = start(&second_dir);
    assert_eq!(state(second.addr()), before);
    assert_eq!(mode(second.addr()), "normal");
    assert_eq!(buy(second.addr()), 201);
    wait_applied(second.addr());
    second.kill();

    // Killed: nobody can know whether the store has everything.
    let third = start(&third_dir);
    promised.check(third.addr());
    wait_consistent(third.addr());
    assert_eq!(mode(third.addr()), "reduce_only");
    assert_eq!(buy(third.addr()), 422);
    wait_durable(third.addr());
    third.kill();
    // That is not forgotten, until somebody has looked.
    let fourth = start(&third_dir);
    assert_eq!(mode(fourth.addr()), "reduce_only");
    let answer = request(fourth.addr(), "POST", "/api/v1/resume", "").expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(buy(fourth.addr()), 201);
    wait_durable(fourth.addr());
    fourth.kill();
    let fifth = start(&third_dir);
    assert_eq!(mode(fifth.addr()), "normal");
    wait_consistent(fifth.addr());
}
