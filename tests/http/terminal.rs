//! The client's commands against a real server over fixed views: what a person sees, line by line.
//!
//! `tests/data/terminal.txt` is a transcript: `$ hean …`, what came on stdout, on stderr behind `! `, and
//! the exit code if it was not 0. `HEAN_BLESS=1` writes it anew.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use hean::http::tokens::create;
use hean::http::{HttpConfig, Scope};
use hean::kernel::event::{CommandKind, Outcome};
use hean::kernel::orders::OrderState;
use hean::kernel::snapshot::KernelView;
use hean::runtime::clock::wall;

use super::commands::{refusal, slow};
use super::harness::{Harness, order, publish};

const HEAN: &str = env!("CARGO_BIN_EXE_hean");
const TRANSCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/terminal.txt");

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(HEAN);
    command.env_clear().args(args).stdin(Stdio::null());
    command
}

/// Runs a command to its end, beside the server that it asks.
async fn run(mut command: Command) -> Output {
    let ended = tokio::task::spawn_blocking(move || command.output());
    ended
        .await
        .expect("it was awaited")
        .expect("the binary runs")
}

async fn server() -> Harness {
    let harness = Harness::reading(HttpConfig::default()).await;
    for (id, state) in [
        (11, OrderState::Acked),
        (12, OrderState::Filled),
        (13, OrderState::Cancelled),
    ] {
        publish(&harness.state.published, order(id, state));
    }
    let kernel = &harness.state.published.kernel;
    let mut view = KernelView::clone(&kernel.load());
    view.strategies = view.strategies.iter().cloned().chain([slow()]).collect();
    kernel.store(Arc::new(view));
    harness
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_sees() {
    let harness = server().await;
    let addr = harness.addr.to_string();
    let wanted = std::fs::read_to_string(TRANSCRIPT).expect("the transcript");
    let mut got = String::new();
    for line in wanted.lines().filter(|line| line.starts_with("$ ")) {
        let args: Vec<&str> = line.split_whitespace().skip(2).collect();
        let mut command = command(&args);
        command.env("HEAN_SERVER", &addr);
        let output = run(command).await;
        got.push_str(line);
        got.push('\n');
        got.push_str(&text(&output.stdout));
        for line in text(&output.stderr).lines() {
            got.extend(["! ", line, "\n"]);
        }
        let code = output.status.code().expect("it ended by itself");
        if code != 0 {
            got.extend(["exit code ", &code.to_string(), "\n"]);
        }
        got.push('\n');
    }
    let got = got.replace(&addr, "ADDR");
    if std::env::var_os("HEAN_BLESS").is_some() {
        std::fs::write(TRANSCRIPT, got).expect("write");
    } else if got != wanted {
        let differs = got
            .lines()
            .zip(wanted.lines())
            .position(|(got, wanted)| got != wanted);
        panic!(
            "it looks otherwise from line {:?} on (HEAN_BLESS=1 accepts it):\n{got}",
            differs.map(|n| n + 1)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_pass_through_unchanged() {
    let harness = server().await;
    let addr = harness.addr.to_string();
    for (args, target) in [
        ("ticker BTCUSDT", "/api/v1/ticker/BTCUSDT"),
        ("account", "/api/v1/account"),
        ("orders --limit 2", "/api/v1/orders?limit=2"),
        (
            "book BTCUSDT --depth 3",
            "/api/v1/orderbook/BTCUSDT?depth=3",
        ),
    ] {
        let mut args: Vec<&str> = args.split(' ').collect();
        args.extend(["--json", "--server", &addr]);
        let output = run(command(&args)).await;
        let wanted = harness.get(target).await.body;
        assert_eq!(text(&output.stdout), format!("{wanted}\n"), "{args:?}");
    }
    // A document each, one a line.
    let args = ["ticker", "BTCUSDT", "ETHUSDT", "--json", "--server", &addr];
    let output = run(command(&args)).await;
    assert_eq!(text(&output.stdout).lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_followed_page_by_page() {
    let harness = Harness::reading(HttpConfig::default()).await;
    for id in 1..=2_345 {
        publish(&harness.state.published, order(id, OrderState::Filled));
    }
    let addr = harness.addr.to_string();
    for (flags, count, more) in [
        (&["--limit", "7"][..], 7, true),
        (&["--limit", "1001"], 1_001, true),
        (&["--all"], 2_345, false),
    ] {
        let mut args = vec!["orders", "--json", "--server", &addr];
        args.extend(flags);
        let output = run(command(&args)).await;
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let items = json["items"].as_array().expect("items");
        assert_eq!(items.len(), count, "{flags:?}");
        assert_eq!(json["next_cursor"].is_string(), more, "{flags:?}");
        let ids: Vec<u64> = items
            .iter()
            .map(|order| {
                order["order_id"]
                    .as_str()
                    .expect("id")
                    .parse()
                    .expect("number")
            })
            .collect();
        let newest_first = (1..=2_345).rev().take(count).collect::<Vec<u64>>();
        assert_eq!(ids, newest_first, "{flags:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let harness = Harness::reading(HttpConfig::default()).await;
    for id in 1..=1_000 {
        publish(&harness.state.published, order(id, OrderState::Filled));
    }
    let mut child = command(&["orders", "--all", "--server", &harness.addr.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = output.await.expect("awaited").expect("it ends");
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_for_terminals_and_for_those_who_ask() {
    let harness = server().await;
    let addr = harness.addr.to_string();
    for (flag, no_color, coloured) in [
        (None, false, false),
        (Some("always"), false, true),
        (Some("always"), true, true),
        (Some("never"), false, false),
    ] {
        let mut args = vec!["positions", "--server", &addr];
        args.extend(flag.into_iter().flat_map(|flag| ["--color", flag]));
        let mut command = command(&args);
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let output = run(command).await;
        assert_eq!(
            text(&output.stdout).contains('\x1b'),
            coloured,
            "{flag:?} {no_color}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_say_what_happened() {
    let refuse = |kind, _: &_| match kind {
        CommandKind::Place { .. } => Some(Outcome::Refused(Box::new(refusal()))),
        kind => panic!("unexpected {kind:?}"),
    };
    let harness = Harness::start(HttpConfig::default(), Box::new(refuse)).await;
    let addr = harness.addr.to_string();
    let code = async |args: &str, server: &str| {
        let mut args: Vec<&str> = args.split(' ').collect();
        args.extend(["--server", server]);
        let output = run(command(&args)).await;
        assert_eq!(
            output.stdout.is_empty(),
            output.status.code() != Some(0),
            "{args:?}"
        );
        output.status.code().expect("it ended by itself")
    };
    assert_eq!(code("symbols", &addr).await, 0);
    assert_eq!(code("order 99", &addr).await, 1);
    assert_eq!(code("ticker NOPE", &addr).await, 2);
    assert_eq!(code("orders --status odd", &addr).await, 2);
    assert_eq!(code("ticker --watch=0", &addr).await, 2);
    assert_eq!(code("account --token-file /nowhere", &addr).await, 2);
    assert_eq!(code("account", "http://127.0.0.1:1").await, 4);
    assert_eq!(code("account", "https://127.0.0.1:1").await, 4);
    // Not the protocol that is spoken there.
    assert_eq!(code("account", &format!("https://{addr}")).await, 4);
    assert_eq!(code("buy BTCUSDT 1", &addr).await, 5);
}

/// A certificate of localhost and its key, as `NAME.pem` and `NAME.key`; false (said so) without openssl,
/// except in CI.
#[expect(clippy::print_stdout, reason = "the test says that it did nothing")]
fn certificate(dir: &Path, name: &str) -> bool {
    let line = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout {name}.key \
         -out {name}.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost \
         -addext basicConstraints=critical,CA:FALSE"
    );
    let run = Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(dir)
        .output();
    let Ok(output) = run else {
        let ci = std::env::var_os("CI").is_some_and(|v| !v.is_empty());
        assert!(!ci, "openssl is not installed");
        println!("skipped: no openssl");
        return false;
    };
    assert!(output.status.success(), "{}", text(&output.stderr));
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_with_tls_and_tokens_wants_both() {
    let data = tempfile::tempdir().expect("directory");
    if !certificate(data.path(), "one") || !certificate(data.path(), "two") {
        return;
    }
    let path = |name: &str| data.path().join(name).display().to_string();
    let token = |name: &str, scope| {
        let secret = create(data.path(), name, scope, wall(), None).expect("made");
        std::fs::write(path(name), format!("{}\n", secret.expose())).expect("written");
        path(name)
    };
    let (reader, trader) = (token("reader", Scope::Read), token("trader", Scope::Trade));
    let config = HttpConfig {
        data_dir: Some(data.path().to_owned()),
        tls_cert: Some(data.path().join("one.pem")),
        tls_key: Some(data.path().join("one.key")),
        ..HttpConfig::default()
    };
    let refuse = |_, _: &_| Some(Outcome::Refused(Box::new(refusal())));
    let harness = Harness::start(config, Box::new(refuse)).await;
    let port = harness.addr.port();
    let https = format!("https://localhost:{port}");
    let http = format!("http://localhost:{port}");
    let (ca, other) = (path("one.pem"), path("two.pem"));
    for (what, server, flags, code, word) in [
        (
            "symbols",
            &https,
            vec!["--ca-file", &ca, "--token-file", &reader],
            0,
            "",
        ),
        (
            "buy BTCUSDT 1",
            &https,
            vec!["--ca-file", &ca, "--token-file", &trader],
            5,
            "",
        ),
        (
            "buy BTCUSDT 1",
            &https,
            vec!["--ca-file", &ca, "--token-file", &reader],
            1,
            "trade",
        ),
        ("symbols", &https, vec!["--ca-file", &ca], 1, "HEAN_TOKEN"),
        (
            "symbols",
            &https,
            vec!["--ca-file", &ca, "--token-file", &ca],
            2,
            "holds no token",
        ),
        (
            "symbols",
            &https,
            vec!["--ca-file", &other, "--token-file", &reader],
            4,
            "--ca-file",
        ),
        (
            "symbols",
            &https,
            vec!["--token-file", &reader],
            4,
            "--ca-file",
        ),
        ("symbols", &http, vec!["--token-file", &reader], 4, "https"),
    ] {
        let mut args: Vec<&str> = what.split(' ').collect();
        args.extend(["--server", server]);
        args.extend(&flags);
        let output = run(command(&args)).await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(word), "{args:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn top_without_a_terminal_is_a_snapshot() {
    let harness = server().await;
    let output = run(command(&["top", "--server", &harness.addr.to_string()])).await;
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for word in [
        "equity 100001.5 USDT",
        "binance:BTCUSDT",
        "Orders: 1 open",
        "grid",
        "Feeds",
    ] {
        assert!(shown.contains(word), "{word} in:\n{shown}");
    }
    assert!(!shown.contains('\x1b'));
}
