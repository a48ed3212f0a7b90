//! Strategies that users write: the examples trade on the demo, a changed file is taken up while it runs,
//! a wrong one is told and changes nothing, a script that does not end is stopped alone.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::client::json;
use super::process::{HUNG, Process, output, until};
use super::recordings::text;

/// A copy of an example, to be changed.
fn examples(dir: &Path) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    for file in ["dip.toml", "script.toml", "dip.rhai"] {
        std::fs::copy(from.join(file), dir.join(file)).expect("the example is there");
    }
    dir.to_owned()
}

fn demo(config: &Path) -> Process {
    let config = text(config);
    Process::serve(&[
        "run",
        "--demo",
        "--config",
        &config,
        "--listen",
        "127.0.0.1:0",
    ])
}

fn strategy(process: &Process, name: &str) -> Value {
    let all = json(process.addr(), "/api/v1/strategies");
    let all = all["items"].as_array().expect("strategies");
    let found = all.iter().find(|s| s["name"] == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {all:?}"))
        .clone()
}

/// Fills of a strategy's own orders.
fn fills(process: &Process, name: &str) -> usize {
    let orders = json(process.addr(), "/api/v1/orders?limit=1000");
    let orders = orders["items"].as_array().expect("orders");
    let filled = |o: &&Value| o["strategy"] == name && o["status"] == "filled";
    orders.iter().filter(filled).count()
}

fn edit(file: &Path, from: &str, to: &str) {
    let old = std::fs::read_to_string(file).expect("a file");
    let new = old.replace(from, to);
    assert_ne!(old, new, "{from} is not in {}", file.display());
    std::fs::write(file, new).expect("written");
}

#[test]
fn heavy_a_rule_trades_and_is_changed_while_it_runs() {
    let dir = tempfile::tempdir().expect("directory");
    let config = examples(dir.path()).join("dip.toml");
    let process = demo(&config);
    until("a fill of the rule", || {
        (fills(&process, "dip") > 0).then_some(())
    });
    let before = strategy(&process, "dip");
    assert_eq!(before["type"], "rules");
    assert_eq!(before["reload_error"], Value::Null);

    // From now on it always wants to be long.
    edit(&config, "rsi(7) < 40 and close < sma(20)", "close > 0");
    edit(&config, "rsi(7) > 60 or bars_held >= 30", "close < 0");
    let changed = until("the new version", || {
        let now = strategy(&process, "dip");
        (now["version"] != before["version"]).then_some(now)
    });
    until("the position that the new rule always wants", || {
        let positions = json(process.addr(), "/api/v1/positions");
        let positions = positions["items"].as_array().expect("positions");
        let long = |p: &Value| p["quantity"].as_f64().is_some_and(|q| q > 0.0);
        positions.iter().any(long).then_some(())
    });

    // A broken edit: told with its place, and the old version goes on.
    edit(&config, "close > 0", "clse > 0");
    let wrong = until("the error", || {
        let now = strategy(&process, "dip");
        let error = now["reload_error"].as_str()?;
        Some((now["version"].clone(), error.to_owned()))
    });
    assert_eq!(wrong.0, changed["version"]);
    let place = format!("{}:11:15: ", config.display());
    assert!(wrong.1.starts_with(&place), "{}", wrong.1);
    assert!(wrong.1.contains("did you mean close?"), "{}", wrong.1);
    assert!(
        process.log().contains("the old version goes on"),
        "{}",
        process.log()
    );
    let decided = strategy(&process, "dip")["decided_at"].clone();
    until("the old version decides", || {
        (strategy(&process, "dip")["decided_at"] != decided).then_some(())
    });

    // Put right and asked for: taken up. What is not a strategy's waits for a restart.
    edit(&config, "clse > 0", "close > 1");
    edit(&config, "[run]", "[risk]\norders_open_max = 7\n[run]");
    process.signal("HUP");
    until("the repaired version", || {
        let now = strategy(&process, "dip");
        (now["reload_error"].is_null() && now["version"] != changed["version"]).then_some(())
    });
    until("what waits is told", || {
        process.log().contains("risk.orders_open_max").then_some(())
    });
    // So do strategies that are new or no longer named; a new one that could not start is told at once.
    edit(&config, "[\"dip\"]", "[\"grid\", \"nowhere\"]");
    process.signal("HUP");
    until("what begins and ends with a restart is told", || {
        let log = process.log();
        let said = ["the new strategy grid", "the end of strategy dip"];
        said.iter().all(|said| log.contains(said)).then_some(())
    });
    assert!(strategy(&process, "dip")["running"] == true);
    assert!(process.terminate(HUNG).success());
}

#[test]
fn heavy_a_script_trades_and_one_that_never_ends_is_stopped_alone() {
    let dir = tempfile::tempdir().expect("directory");
    let dir = examples(dir.path());
    let config = dir.join("script.toml");
    edit(&config, "[\"dip\"]", "[\"dip\", \"endless\"]");
    let more =
        "\n[strategies.endless]\ntype = \"script\"\nfile = \"endless.rhai\"\ninterval = \"1s\"\n";
    let old = std::fs::read_to_string(&config).expect("a file");
    std::fs::write(&config, old + more).expect("written");
    std::fs::write(dir.join("endless.rhai"), "let n = 0;\nloop { n += 1; }\n").expect("written");
    let process = demo(&config);

    until("the endless script is stopped", || {
        let now = strategy(&process, "endless");
        let said = now["last_decision"].as_str()?;
        let place = said.contains("endless.rhai:2:") && said.contains("does a loop not end?");
        (place && now["running"] == false).then_some(())
    });
    until("a fill of the other script", || {
        (fills(&process, "dip") > 0).then_some(())
    });
    until("what it printed", || {
        strategy(&process, "dip")["last_decision"]
            .as_str()
            .map(|_| ())
    });

    // A script that is broken while it runs, and the endless one put right.
    let version = strategy(&process, "dip")["version"].clone();
    edit(&dir.join("dip.rhai"), "buy();", "byu();");
    let error = until("the error", || {
        let now = strategy(&process, "dip");
        assert_eq!(now["version"], version);
        Some(now["reload_error"].as_str()?.to_owned())
    });
    assert!(
        error.contains("dip.rhai:5:5: unknown function byu: did you mean buy?"),
        "{error}"
    );
    std::fs::write(dir.join("endless.rhai"), "if position == 0 { buy(); }\n").expect("written");
    until("the repaired script trades", || {
        (fills(&process, "endless") > 0).then_some(())
    });
    assert_eq!(strategy(&process, "endless")["reload_error"], Value::Null);
    assert!(process.terminate(HUNG).success());
}

#[test]
fn a_wrong_rule_or_script_is_a_configuration_error_with_its_place() {
    let dir = tempfile::tempdir().expect("directory");
    let dir = examples(dir.path());
    let (rules, scripts) = (dir.join("dip.toml"), dir.join("script.toml"));
    edit(&rules, "bars_held >= 30", "bars_hold >= 30");
    edit(&dir.join("dip.rhai"), "rsi(7) < 40", "rsi(1) < 40");
    for (config, place) in [
        (
            &rules,
            "dip.toml:12:29: strategies.dip.exit_long: unknown name bars_hold: did you mean bars_held?",
        ),
        (
            &scripts,
            "dip.rhai:2:21: rsi: period must be a whole number",
        ),
    ] {
        let config = text(config);
        for args in [
            ["config", "check", "--config", &config, "--data-dir", "/x"].as_slice(),
            ["run", "--demo", "--config", &config].as_slice(),
        ] {
            let output = output(args);
            let log = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(3), "{log}");
            assert!(log.contains(place), "{args:?}: {log}");
        }
    }
}
