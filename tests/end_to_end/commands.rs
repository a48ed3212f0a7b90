//! Subcommands and exit codes as scripts meet them.

use std::net::TcpListener;

use serde_json::Value;

use super::client::json;
use super::process::{HUNG, Process, output, stdout, until};
use super::recordings::text;
use super::trader::{daemon, market, orders, positions, wait_consistent};

/// Exit code and standard error of a run.
fn failed(args: &[&str]) -> (Option<i32>, String) {
    let output = output(args);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.stdout.is_empty(), "data on stdout with: {log}");
    (output.status.code(), log)
}

#[test]
fn a_flag_that_is_not_known_is_a_usage_error() {
    let (code, log) = failed(&["run", "--symbolz", "BTCUSDT"]);
    assert_eq!(code, Some(2));
    assert!(log.contains("--symbols"), "{log}");
    assert_eq!(failed(&["trade"]).0, Some(2));
    assert_eq!(failed(&["run", "--mode", "yolo"]).0, Some(2));
}

#[test]
fn a_bad_configuration_names_key_and_file() {
    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("hean.toml");
    std::fs::write(&file, "[risk]\norders_open_maximum = 3\n").expect("file");
    let path = text(&file);
    for args in [
        ["config", "check", "--config", &path],
        ["config", "show", "--config", &path],
    ] {
        let (code, log) = failed(&args);
        assert_eq!(code, Some(3), "{log}");
        assert!(
            log.contains("orders_open_max") && log.contains(&path),
            "{log}"
        );
    }
    let (code, log) = failed(&["run", "--config", &path]);
    assert_eq!(code, Some(3), "{log}");
    assert_eq!(failed(&["run", "--config", "/nowhere.toml"]).0, Some(3));
}

#[test]
fn a_venue_that_does_not_answer_is_unreachable() {
    // A port that was free a moment ago has nobody behind it.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("binance=http://{}", listener.local_addr().expect("address"));
    drop(listener);
    let dir = tempfile::tempdir().expect("directory");
    let data = text(dir.path());
    let args = ["run", "--symbols", "BTCUSDT", "--listen", "127.0.0.1:0"];
    let more = ["--base-url", &url, "--data-dir", &data];
    let mut daemon = Process::spawn(&[args.as_slice(), more.as_slice()].concat());
    assert_eq!(daemon.wait(HUNG).code(), Some(4), "{}", daemon.log());
}

#[test]
fn the_origin_of_every_setting_is_told() {
    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("hean.toml");
    std::fs::write(&file, "[risk]\norders_open_max = 7\n").expect("file");
    let path = text(&file);
    let args = [
        "config",
        "show",
        "--origin",
        "--config",
        &path,
        "--data-dir",
        "/x",
    ];
    let shown = stdout(&args);
    let line = |start: &str| {
        let found = shown.lines().find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("no {start} in {shown}"))
    };
    assert!(line("orders_open_max = 7").contains(&path), "{shown}");
    assert!(line("dir = \"/x\"").contains("--data-dir"), "{shown}");
    assert!(line("batch_max = ").contains("default"), "{shown}");
    let json: Value = {
        let mut args = args.to_vec();
        args.push("--json");
        serde_json::from_str(&stdout(&args)).expect("JSON")
    };
    assert!(json.to_string().contains("--data-dir"), "{json}");
    assert!(stdout(&["config", "check", "--data-dir", "/x"]).contains("good"));
}

#[test]
fn every_example_is_valid_with_and_without_the_demo() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples");
    let files = std::fs::read_dir(dir).expect("the examples");
    let mut checked = 0;
    for file in files {
        let file = file.expect("an entry").path();
        if file.extension().is_none_or(|end| end != "toml") {
            continue;
        }
        let path = text(&file);
        let check = ["config", "check", "--data-dir", "/x", "--config", &path];
        assert!(stdout(&check).contains("good"), "{path}");
        let demo = [check.as_slice(), &["--demo"]].concat();
        assert!(stdout(&demo).contains("good"), "{path}");
        checked += 1;
    }
    assert!(checked > 0, "no example in {dir}");
}

#[test]
fn completions_are_a_script_of_the_shell() {
    let script = stdout(&["completions", "bash"]);
    assert!(script.contains("complete -F _hean"), "{script}");
    for word in ["replay", "--base-url", "indicators"] {
        assert!(script.contains(word), "{word}");
    }
    let checked = std::process::Command::new("bash")
        .args(["-n", "-c", &script])
        .status();
    assert!(checked.expect("bash").success());
}

#[test]
fn an_error_says_each_thing_once() {
    let dir = tempfile::tempdir().expect("directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("address").to_string();
    let (code, log) = failed(&["sim", "--seed", "1", "--listen", &address]);
    assert_eq!(code, Some(1), "{log}");
    assert_eq!(log.matches("in use").count(), 1, "{log}");
    let file = dir.path().join("nothing.txt.gz");
    let (code, log) = failed(&["replay", &text(&file)]);
    assert_eq!(code, Some(1), "{log}");
    assert_eq!(log.matches("No such file").count(), 1, "{log}");
}

/// Five candles whose averages can be checked by hand.
const CANDLES: &str = "timestamp,open,high,low,close,volume\n\
    60000,1,1,1,1,1\n120000,2,2,2,2,1\n180000,6,6,6,6,1\n240000,7,7,7,7,1\n300000,5,5,5,5,1\n";

#[test]
fn an_indicator_over_a_file_of_candles() {
    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("candles.csv");
    std::fs::write(&file, CANDLES).expect("file");
    let path = text(&file);
    let shown = stdout(&[
        "indicators",
        "--input",
        &path,
        "--type",
        "sma",
        "--params",
        "3",
        "--json",
    ]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["type"], "sma");
    assert_eq!(shown["params"].to_string().replace(".0", ""), "[3]");
    let times: Vec<String> = shown["timestamps"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|time| time.to_string().trim_matches('"').to_owned())
        .collect();
    assert_eq!(times, ["60000", "120000", "180000", "240000", "300000"]);
    let values: Vec<Option<f64>> = shown["outputs"]["value"]
        .as_array()
        .expect("a list")
        .iter()
        .map(Value::as_f64)
        .collect();
    // (1+2+6)/3, (2+6+7)/3, (6+7+5)/3
    assert_eq!(values, [None, None, Some(3.0), Some(5.0), Some(6.0)]);

    // Every indicator of the list takes the file, by its own name and parameters by theirs.
    let list: Value =
        serde_json::from_str(&stdout(&["indicators", "--list", "--json"])).expect("JSON");
    let list = list["indicators"].as_array().expect("a list");
    assert!(list.len() > 40, "{list:?}");
    let people = stdout(&["indicators", "--list"]);
    for row in list {
        let name = row["name"].as_str().expect("a name");
        assert!(people.contains(name), "{name}");
        let mut line = vec!["indicators", "--input", &path, "--type", name];
        let param = row["params"][0]["name"].as_str();
        let param = param.map(|param| format!("--params={param}={}", row["params"][0]["default"]));
        line.extend(param.as_deref());
        let shown = stdout(&line);
        let outputs: Vec<&str> = row["outputs"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let header = format!("timestamp,{}", outputs.join(","));
        assert_eq!(shown.lines().next(), Some(header.as_str()), "{name}");
        assert_eq!(shown.lines().count(), 6, "{name}");
    }
    let untimed = dir.path().join("untimed.csv");
    std::fs::write(&untimed, CANDLES.replace("60000,", "noon,")).expect("file");
    let (code, log) = failed(&["indicators", "--input", &text(&untimed), "--type", "vwap"]);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("noon"), "{log}");

    let (code, log) = failed(&["indicators", "--input", &path, "--type", "smaa"]);
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("sma"), "{log}");
    let missing = ["indicators", "--input", "/nowhere.csv", "--type", "sma"];
    assert_eq!(failed(&missing).0, Some(1));
}

#[test]
fn heavy_a_day_of_trading_by_command_line_and_signal() {
    let market = market();
    let dir = tempfile::tempdir().expect("directory");
    let daemon = daemon(market.addr(), dir.path(), &[]);
    let addr = daemon.addr();
    let server = addr.to_string();
    let at = ["--server", server.as_str(), "--json"];
    let told = |args: &[&str]| -> Value {
        serde_json::from_str(&stdout(&[args, &at].concat())).expect("JSON")
    };
    let refused = |args: &[&str]| failed(&[args, &at].concat());
    let price = until("a first trade", || {
        json(addr, "/api/v1/ticker/BTCUSDT")["price"].as_f64()
    });
    let (low, lower) = (format!("{:.0}", price * 0.6), format!("{:.0}", price * 0.5));

    let bought = told(&["buy", "BTCUSDT", "0.01"]);
    assert_eq!(bought["status"], "filled", "{bought}");
    let resting = told(&["buy", "BTCUSDT", "0.01", "--limit", &low]);
    assert_eq!(resting["status"], "submitted", "{resting}");
    let id = resting["order_id"].as_str().expect("an id");
    told(&["amend", id, "--price", &lower]);
    until("the change", || {
        let order = json(addr, &format!("/api/v1/orders/{id}?numbers=string"));
        (order["price"] == lower.as_str()).then_some(())
    });
    told(&["cancel", id]);
    until("the end of the order", || {
        (orders(addr)[id]["status"] == "cancelled").then_some(())
    });
    assert_eq!(refused(&["cancel", id]).0, Some(1));
    let (code, why) = refused(&["buy", "BTCUSDT", "1000"]);
    assert_eq!(code, Some(5), "{why}");

    // The kill switch, by signal: what rests is cancelled, and nothing that adds risk passes.
    let resting = told(&["buy", "BTCUSDT", "0.01", "--limit", &low]);
    let id = resting["order_id"].as_str().expect("an id");
    daemon.signal("USR1");
    until("the kill switch", || {
        (told(&["risk"])["mode"] == "halted").then_some(())
    });
    until("the end of what rested", || {
        (orders(addr)[id]["status"] == "cancelled").then_some(())
    });
    let (code, why) = refused(&["buy", "BTCUSDT", "0.01"]);
    assert_eq!(code, Some(5), "{why}");
    assert!(
        why.contains("kill_switch") || why.contains("hean resume"),
        "{why}"
    );
    told(&["resume"]);
    assert_eq!(told(&["risk"])["mode"], "normal");

    told(&["buy", "BTCUSDT", "0.01", "--limit", &low]);
    told(&["cancel-all", "BTCUSDT"]);
    told(&["close", "BTCUSDT"]);
    until("a flat position", || {
        let held = positions(addr);
        let flat = |p: &Value| p["quantity"] == "0";
        held.get("BTCUSDT").is_none_or(flat).then_some(())
    });
    wait_consistent(addr);
    told(&["halt", "--flatten"]);
    assert_eq!(told(&["risk"])["mode"], "halted");
}
