//! What was answered survives `kill -9` at any moment, and a SIGTERM ends in order.

use std::time::Duration;

use super::client::{json, request};
use super::process::{HUNG, Process, until};
use super::trader::{
    Load, Promised, Random, SYMBOLS, arguments, buy_stock, daemon, is_final, market, orders, state,
    units, wait_consistent, wait_durable,
};

/// Kills, each after a random number of answers; `HEAN_KILLS` asks for another number.
const KILLS: u64 = 100;

fn kills() -> u64 {
    let asked = std::env::var("HEAN_KILLS").ok();
    asked.map_or(KILLS, |n| n.parse().expect("HEAN_KILLS is a number"))
}

#[test]
#[expect(clippy::print_stdout, reason = "what was covered is for people")]
fn heavy_no_answered_order_is_lost_however_often_the_daemon_is_killed() {
    let market = market();
    let dir = tempfile::tempdir().expect("directory");
    let mut promised = Promised::default();
    let mut random = Random::new(20_240_808);
    for round in 0..kills() {
        let daemon = daemon(market.addr(), dir.path(), &[]);
        promised.check(daemon.addr());
        promised.repeat_last(daemon.addr());
        wait_consistent(daemon.addr());
        if round == 0 {
            buy_stock(daemon.addr());
        }
        let load = Load::start(daemon.addr(), &format!("r{round}"), random.below(1 << 40));
        load.wait(2 + random.below(25), &mut promised);
        daemon.kill();
        load.finish(&mut promised);
    }

    // Now with time to come to rest: everything is the same to the last digit.
    let first = daemon(market.addr(), dir.path(), &[]);
    promised.check(first.addr());
    promised.cancel_all(first.addr());
    let far = far_order(first.addr());
    wait_consistent(first.addr());
    wait_durable(first.addr());
    let before = state(first.addr());
    first.kill();
    let second = daemon(market.addr(), dir.path(), &[]);
    assert_eq!(state(second.addr()), before);
    assert_eq!(before["orders"][&far]["status"], "submitted");

    let all = orders(second.addr());
    let statuses: std::collections::BTreeSet<&str> = all
        .values()
        .filter_map(|order| order["status"].as_str())
        .collect();
    println!(
        "{} orders, {} answered, {} cancels, statuses {statuses:?}",
        all.len(),
        promised.len(),
        promised.cancels()
    );
    // The rounds have covered what they are for.
    assert!(promised.len() > 100, "{}", promised.len());
    assert!(promised.count("filled") > 20);
    assert!(promised.cancels() > 5);
    let fees = before["account"]["fees"].as_str().expect("text");
    assert!(units(fees) > 0, "{fees}");
}

/// An order that rests too deep to be traded; its id.
fn far_order(addr: std::net::SocketAddr) -> String {
    let ticker = json(addr, &format!("/api/v1/ticker/{}", SYMBOLS[0]));
    let price = ticker["price"].as_f64().expect("a price");
    let body = format!(
        r#"{{"symbol":"{}","side":"buy","type":"limit","quantity":"0.01","price":"{:.0}"}}"#,
        SYMBOLS[0],
        price / 2.0
    );
    let answer = request(addr, "POST", "/api/v1/orders", &body).expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.body);
    let order = answer.json();
    assert_eq!(order["status"], "submitted");
    order["order_id"].as_str().expect("an id").to_owned()
}

#[test]
fn heavy_a_sigterm_while_trading_ends_in_order_and_loses_nothing() {
    let market = market();
    let dir = tempfile::tempdir().expect("directory");
    let mut promised = Promised::default();
    let first = daemon(market.addr(), dir.path(), &[]);
    buy_stock(first.addr());
    let load = Load::start(first.addr(), "t", 4);
    load.wait(40, &mut promised);
    let status = first.terminate(Duration::from_secs(5));
    load.finish(&mut promised);
    assert_eq!(status.code(), Some(0));

    let second = daemon(market.addr(), dir.path(), &[]);
    promised.check(second.addr());
    promised.repeat_last(second.addr());
    wait_consistent(second.addr());
    let open = orders(second.addr())
        .values()
        .filter(|o| !is_final(o))
        .count();
    let told = json(second.addr(), "/api/v1/status");
    assert!(told["kernel"]["orders_open"].as_u64() <= Some(open as u64));

    // Its own start was written, and nobody else may write beside it.
    wait_durable(second.addr());
    let journal = &json(second.addr(), "/api/v1/status")["journal"];
    assert!(journal["batches"].as_u64() > Some(0), "{journal}");
    assert!(journal["bytes"].as_u64() > Some(0), "{journal}");
    let args = arguments(market.addr(), dir.path());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut third = Process::spawn(&args);
    assert_eq!(third.wait(HUNG).code(), Some(1));
    let log = third.log();
    let pid = format!("in use by process {}", second.pid());
    assert!(log.contains(&pid), "{log}");
}

#[test]
fn a_symbol_that_is_no_longer_read_keeps_its_position_and_a_hangup_ends_nothing() {
    let market = market();
    let dir = tempfile::tempdir().expect("directory");
    let first = daemon(market.addr(), dir.path(), &[]);
    buy_stock(first.addr());
    wait_durable(first.addr());
    assert!(first.terminate(Duration::from_secs(5)).success());

    let args = arguments(market.addr(), dir.path());
    let all = SYMBOLS.join(",");
    let one = |arg: &String| {
        if *arg == all {
            SYMBOLS[0].to_owned()
        } else {
            arg.clone()
        }
    };
    let args: Vec<String> = args.iter().map(one).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let second = Process::serve(&args);
    until("readiness without the other symbol", || {
        request(second.addr(), "GET", "/readyz", "")
            .ok()
            .filter(|a| a.status == 200)
    });
    second.signal("HUP");
    until("a word on the hangup", || {
        second.log().contains("SIGHUP").then_some(())
    });
    let positions = json(second.addr(), "/api/v1/positions");
    let kept = positions["items"].as_array().expect("items").iter();
    let names: Vec<_> = kept
        .map(|p| (p["symbol"].clone(), p["quantity"].to_string()))
        .collect();
    assert_eq!(names, [(SYMBOLS[1].into(), "7".to_owned())], "{positions}");
    assert!(second.terminate(Duration::from_secs(5)).success());
}
