//! What is typed and what it means.

use clap::{CommandFactory, Parser};

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

fn run(line: &str) -> RunArgs {
    match parse(line).map(|cli| cli.command) {
        Ok(Command::Run(args)) => args,
        other => panic!("{line}: {other:?}"),
    }
}

fn refusal(line: &str) -> String {
    match parse(line) {
        Err(error) => {
            assert_eq!(Exit::from(&error), Exit::Usage, "{line}");
            error.to_string()
        }
        Ok(cli) => panic!("{line} was accepted: {cli:?}"),
    }
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn flags_become_overrides() {
    let args = run(
        "hean run --symbols btc-usdt,ETHUSDT --exchange binance --interval 1m,5m --mode observe \
         --strategy ema_cross --seed 7 --keydb redis://h:1 --data-dir /d --record /r --listen 127.0.0.1:0 \
         --base-url binance=http://127.0.0.1:1 --base-url sim.ws=ws://127.0.0.1:2",
    );
    let got: Vec<String> = args
        .overrides(true)
        .into_iter()
        .map(|o| format!("{} {}={}", o.flag, o.key, o.value))
        .collect();
    assert_eq!(
        got,
        [
            "--mode run.mode=observe",
            "--exchange run.exchange=binance",
            "--symbols run.symbols=btc-usdt,ETHUSDT",
            "--interval run.intervals=1m,5m",
            "--strategy run.strategies=ema_cross",
            "--seed run.seed=7",
            "--keydb store.url=redis://h:1",
            "--data-dir journal.dir=/d",
            "--record record.dir=/r",
            "--listen http.listen=127.0.0.1:0",
            "--json log.format=json",
            "--base-url venues.binance.rest=http://127.0.0.1:1",
            "--base-url venues.binance.ws=ws://127.0.0.1:1",
            "--base-url venues.sim.ws=ws://127.0.0.1:2",
        ]
    );
    assert!(run("hean run").overrides(false).is_empty());
    assert_eq!(run("hean run --demo").overrides(false).len(), 1);
}

#[test]
fn a_mistyped_flag_or_command_gets_a_suggestion() {
    for (line, hint) in [
        ("hean run --symbls X", "--symbols"),
        ("hean run --intervall 1m", "--interval"),
        ("hean replya", "replay"),
        ("hean config shwo", "show"),
    ] {
        let text = refusal(line);
        assert!(text.contains("similar") && text.contains(hint), "{text}");
    }
}

#[test]
fn bad_values_are_refused_and_named() {
    for (line, word) in [
        ("hean", "Usage"),
        ("hean run --listen localhost", "--listen"),
        ("hean run --mode live", "live trading is not part"),
        ("hean run --exchange nasdaq", "nasdaq"),
        ("hean run --interval 7m", "7m"),
        ("hean run --seed -1", "-1"),
        ("hean run --seed 9223372036854775808", "9223372036854775808"),
        ("hean run --demo --exchange binance", "cannot be used with"),
        ("hean run --base-url binance", "VENUE=URL"),
        ("hean run --base-url binance.ftp=http://x", "ftp"),
        ("hean run --base-url nyse=http://x", "nyse"),
        ("hean sim --speed 0", "above 0"),
        ("hean sim --speed NaN", "above 0"),
        ("hean sim --fault explode:1", "drop-depth:7"),
        ("hean sim --fault cut:0", "from 1"),
        ("hean sim --symbols ,", "no symbol"),
        ("hean replay", "FILE"),
        ("hean record --duration 5", "90s"),
        ("hean record --duration 0s", "within a second"),
        ("hean record --duration 9999999999d", "duration"),
        ("hean record --mode paper", "--mode"),
        ("hean replay x --depth 101", "101"),
        ("hean replay x --indicators rsi:x", "whole number"),
        ("hean indicators --input x", "--type"),
        (
            "hean indicators --input x --type rsi BTCUSDT",
            "cannot be used with",
        ),
        (
            "hean indicators --input x --type rsi --interval 1m",
            "cannot be used with",
        ),
        ("hean indicators BTCUSDT --params 14", "--type"),
        ("hean indicators BTCUSDT --interval 7m", "7m"),
        ("hean book", "SYMBOL"),
        ("hean klines", "SYMBOL"),
        ("hean order x", "'x'"),
        ("hean orders --open --status filled", "cannot be used with"),
        ("hean orders --limit 0", "0"),
        ("hean orders --limit 5 --all", "cannot be used with"),
        ("hean positions --watch=0", "0.1"),
        ("hean ticker --color red", "always"),
        ("hean ticker --server ftp://x", "https://host:port"),
        ("hean ticker --token hean_secret", "--token-file"),
        ("hean indicators --input x --type r%i", "indicator"),
        ("hean indicators --type rsi", "SYMBOL"),
        ("hean indicators --list --type rsi", "cannot be used with"),
        (
            "hean indicators --input x --type macd --params slow=x",
            "name=number",
        ),
        ("hean completions fortran", "fortran"),
        ("hean keydb migrate redis://h", "TARGET"),
        ("hean keydb verify a b --db x", "--db"),
        ("hean keydb verify a b --live", "--live"),
        ("hean keydb bench a --rounds 0", "--rounds"),
        ("hean buy BTCUSDT", "QUANTITY"),
        ("hean buy BTCUSDT 1 --quote 5", "cannot be used with"),
        (
            "hean buy BTCUSDT 1 --stop 5 --trail 1",
            "cannot be used with",
        ),
        ("hean buy BTCUSDT 1 --activation 5", "--trail"),
        ("hean sell BTCUSDT 1 --oco-stop 5", "--limit"),
        ("hean sell BTCUSDT 1 --position-side up", "long"),
        ("hean amend 7", "--price"),
        ("hean amend x --price 1", "x"),
        ("hean halt --flatten --keep", "cannot be used with"),
        ("hean risk --server localhost:x", "https://host:port"),
    ] {
        let text = refusal(line);
        assert!(text.contains(word), "{line}: {text}");
    }
}

#[test]
fn values_with_a_syntax_of_their_own() {
    let Ok(Command::Sim(sim)) =
        parse("hean sim --input a b --speed max --fault drop-depth:50,cut:9 --seed 3 --json")
            .map(|c| c.command)
    else {
        panic!("sim");
    };
    assert_eq!(sim.input.len(), 2);
    assert_eq!((sim.speed, sim.seed), (Speed::Max, 3));
    assert_eq!(sim.symbols, ["BTCUSDT", "ETHUSDT"]);
    assert_eq!(sim.fault, [Fault::drop_depth(50), Fault::cut_behind(9)]);
    let Ok(Command::Replay(replay)) =
        parse("hean replay a.gz b.gz --indicators rsi:14,macd:12:26:9,bbands:20:2.5")
            .map(|c| c.command)
    else {
        panic!("replay");
    };
    let sources = replay.sources();
    assert!(sources.stateless && sources.default_file.is_none());
    let names: Vec<String> = replay.indicators.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["rsi:14", "macd:12:26:9", "bbands:20:2.5"]);
    let Ok(Command::Indicators(one)) =
        parse("hean --json indicators --input c.csv --type MACD --params 12:26:9")
            .map(|c| c.command)
    else {
        panic!("indicators");
    };
    assert_eq!(
        (one.kind.as_deref(), one.params.len()),
        (Some("macd"), 3),
        "{one:?}"
    );
    for params in ["-2", "slow=30:9", "fast=1e2"] {
        let line = format!("hean indicators --input c.csv --type macd --params {params}");
        assert!(parse(&line).is_ok(), "{line}");
    }
    assert!(parse("hean indicators --list --json").is_ok());
}

/// The request that a line means.
fn asked(line: &str) -> (&'static str, String, String) {
    let ask = match parse(line).map(|cli| cli.command) {
        Ok(Command::Buy(args)) => args.ask(SideArg::Buy),
        Ok(Command::Sell(args)) => args.ask(SideArg::Sell),
        Ok(Command::Cancel(args)) => args.ask(),
        Ok(Command::CancelAll(args)) => args.ask(),
        Ok(Command::Amend(args)) => args.ask(),
        Ok(Command::Close(args)) => args.ask(),
        Ok(Command::Halt(args)) => args.ask(),
        other => panic!("{line}: {other:?}"),
    };
    let body = String::from_utf8(ask.body.unwrap_or_default()).expect("text");
    (ask.method, ask.target, body)
}

#[test]
fn an_order_is_typed_as_it_is_sent() {
    for (line, fields) in [
        (
            "hean buy BTCUSDT 0.010",
            r#""side":"buy","type":"market","quantity":"0.010""#,
        ),
        (
            "hean sell BTCUSDT --quote 50 --limit 7 --time-in-force GTD --expires 9 --post-only",
            r#""side":"sell","type":"limit","quote_quantity":"50","price":"7","time_in_force":"GTD","expires":"9","post_only":true"#,
        ),
        (
            "hean sell BTCUSDT --close-position --stop 5 --trigger-by mark --position-side long",
            r#""side":"sell","type":"stop_market","stop_price":"5","trigger_by":"mark","position_side":"long","close_position":true"#,
        ),
        (
            "hean sell BTCUSDT 1 --stop 5 --limit 4 --reduce-only",
            r#""side":"sell","type":"stop_limit","quantity":"1","price":"4","stop_price":"5","reduce_only":true"#,
        ),
        (
            "hean sell BTCUSDT 1 --take-profit-at 9",
            r#""side":"sell","type":"take_profit_market","quantity":"1","stop_price":"9""#,
        ),
        (
            "hean sell BTCUSDT 1 --take-profit-at 9 --limit 8",
            r#""side":"sell","type":"take_profit_limit","quantity":"1","price":"8","stop_price":"9""#,
        ),
        (
            "hean sell BTCUSDT 1 --trail 1.5 --activation 9",
            r#""side":"sell","type":"trailing_stop","quantity":"1","trail_percent":"1.5","activation_price":"9""#,
        ),
        (
            "hean buy BTCUSDT 1 --take-profit 9 --stop-loss 5:4 --strategy x --client-order-id k",
            r#""side":"buy","type":"market","quantity":"1","strategy":"x","client_order_id":"k","take_profit":{"trigger_price":"9"},"stop_loss":{"trigger_price":"5","price":"4"}"#,
        ),
        (
            "hean sell BTCUSDT 1 --limit 9 --oco-stop 5:4",
            r#""side":"sell","type":"limit","quantity":"1","oco":{"price":"9","stop_price":"5","stop_limit_price":"4"}"#,
        ),
    ] {
        let body = format!(r#"{{"symbol":"BTCUSDT",{fields}}}"#);
        let want = ("POST", "/api/v1/orders".to_owned(), body);
        assert_eq!(asked(line), want, "{line}");
    }
}

#[test]
fn other_commands_are_the_requests_that_they_mean() {
    for (line, method, target, body) in [
        ("hean cancel 7", "DELETE", "/api/v1/orders/7", ""),
        ("hean cancel-all", "DELETE", "/api/v1/orders", ""),
        (
            "hean cancel-all btc/usdt --side sell --strategy x",
            "DELETE",
            "/api/v1/orders?symbol=btc%2Fusdt&side=sell&strategy=x",
            "",
        ),
        (
            "hean amend 7 --price 1 --quantity 2",
            "PATCH",
            "/api/v1/orders/7",
            r#"{"price":"1","quantity":"2"}"#,
        ),
        (
            "hean close sim:X --position-side short",
            "POST",
            "/api/v1/positions/sim:X/close?position_side=short",
            "",
        ),
        ("hean halt", "POST", "/api/v1/halt", ""),
        (
            "hean halt --flatten",
            "POST",
            "/api/v1/halt",
            r#"{"flatten":true}"#,
        ),
        (
            "hean halt --keep",
            "POST",
            "/api/v1/halt",
            r#"{"flatten":false}"#,
        ),
    ] {
        let want = (method, target.to_owned(), body.to_owned());
        assert_eq!(asked(line), want, "{line}");
    }
    let Ok(Command::Risk(at)) = parse("hean risk --server [::1]:9").map(|c| c.command) else {
        panic!("risk");
    };
    assert_eq!(at.server.map(|at| at.0.port), Some(9));
}

#[test]
fn help_and_version_are_no_errors() {
    for line in ["hean --help", "hean run --help", "hean --version"] {
        let Err(shown) = parse(line) else {
            panic!("{line} ran");
        };
        assert_eq!(Exit::from(&shown), Exit::Ok, "{line}");
    }
    let Err(version) = parse("hean --version") else {
        panic!("no version");
    };
    let text = version.to_string();
    for part in [
        env!("CARGO_PKG_VERSION"),
        env!("HEAN_COMMIT"),
        env!("HEAN_TARGET"),
        env!("HEAN_LINK"),
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn completion_scripts_know_the_subcommands() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut out = Vec::new();
        Cli::completions(shell, &mut out).expect("memory");
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains("replay") && text.contains("data-dir"));
    }
}

#[test]
fn exit_codes_are_a_contract() {
    let codes = [
        Exit::Ok,
        Exit::Failure,
        Exit::Usage,
        Exit::Configuration,
        Exit::Unreachable,
        Exit::RefusedByRisk,
    ]
    .map(Exit::code);
    assert_eq!(codes, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_recording_is_an_observation_that_keeps_frames_alone() {
    let line = "hean record --symbols X --dir /r --duration 10m --base-url binance=http://h:1";
    let Ok(Command::Record(args)) = parse(line).map(|c| c.command) else {
        panic!("record");
    };
    assert_eq!(args.duration, Some(Duration::from_mins(10)));
    let sources = args.sources(false);
    assert!(sources.stateless);
    let keys: Vec<&str> = sources.flags.iter().map(|o| o.key.as_str()).collect();
    let want = [
        "run.mode",
        "run.symbols",
        "record.dir",
        "venues.binance.rest",
        "venues.binance.ws",
    ];
    assert_eq!(keys, want);
}

#[test]
fn a_server_is_never_shown_as_it_was_typed() {
    let cli = parse("hean keydb verify redis://:hunter2@h redis://h --match a* --match b --db 1,2");
    let Ok(Command::Keydb(command)) = cli.map(|c| c.command) else {
        panic!("keydb");
    };
    assert!(command.shows_password());
    assert!(!format!("{command:?}").contains("hunter2"));
    let KeydbCommand::Verify(args) = command else {
        panic!("verify");
    };
    assert_eq!(
        (args.pair.pattern, args.pair.db),
        (vec!["a*".to_owned(), "b".to_owned()], vec![1, 2])
    );
    let hidden = parse("hean keydb migrate env:OLD file:/run/new --live").map(|c| c.command);
    assert!(matches!(hidden, Ok(Command::Keydb(command)) if !command.shows_password()));
}
