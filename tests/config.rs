//! The configuration as users meet it: files, environment and flags in, settings or problems out.

#[path = "config/access.rs"]
mod access;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hean::config::{
    ConfigError, DataDir, KnownStrategy, Loaded, Origin, Override, Settings, Sources, StoreUrl,
    key_names, load,
};
use hean::kernel::portfolio::PositionMode;
use hean::kernel::risk::RiskLimits;
use hean::kernel::types::{Money, Rate};
use hean::venue::sim::paper::PaperConfig;
use hean::venue::sim::paper::latency::Latency;
use hean::venue::sim::paper::queue::QueueModel;

fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Sources of a machine where only `HOME` is set.
fn bare() -> Sources {
    Sources {
        env: BTreeMap::from([("HOME".to_owned(), "/home/op".to_owned())]),
        ..Sources::default()
    }
}

/// Sources with a file of this text. The directory lives as long as the test holds it.
fn with_file(text: &str) -> (tempfile::TempDir, Sources) {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("hean.toml");
    fs::write(&path, text).expect("file");
    let sources = Sources {
        config: Some(path),
        ..bare()
    };
    (dir, sources)
}

fn env(sources: &mut Sources, name: &str, value: &str) {
    sources.env.insert(name.to_owned(), value.to_owned());
}

fn flag(sources: &mut Sources, flag: &'static str, key: &str, value: &str) {
    sources.flags.push(Override {
        key: key.to_owned(),
        value: value.to_owned(),
        flag,
    });
}

fn loaded(sources: &Sources) -> Loaded {
    load(sources).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(sources: &Sources) -> ConfigError {
    match load(sources) {
        Err(error) => error,
        Ok(loaded) => panic!("accepted: {:?}", loaded.settings),
    }
}

/// The text of a file's problems without its path.
fn problems_of(text: &str) -> String {
    let (_dir, sources) = with_file(text);
    let path = sources.config.clone().expect("file");
    refused(&sources)
        .to_string()
        .replace(&path.display().to_string(), "FILE")
}

#[test]
fn the_shipped_file_equals_the_defaults_and_lists_every_key() {
    let sources = Sources {
        config: Some(repo("config/hean.toml")),
        ..bare()
    };
    let from_file = loaded(&sources);
    assert_eq!(from_file.settings, loaded(&bare()).settings);
    for key in key_names() {
        assert!(
            matches!(from_file.origin(&key), Origin::File { .. }),
            "{key} is missing in config/hean.toml"
        );
    }
    assert_eq!(from_file.origins.len(), key_names().len());
}

#[test]
fn every_key_of_the_shipped_file_has_a_comment_above_it() {
    let text = fs::read_to_string(repo("config/hean.toml")).expect("file");
    let (mut commented, mut venues) = (false, false);
    for line in text.lines() {
        if line.starts_with('[') {
            // One comment stands for the addresses of all venues.
            venues = line.starts_with("[venues");
        } else if line.starts_with('#') {
            commented = true;
        } else if !line.is_empty() {
            assert!(commented || venues, "no comment above: {line}");
            assert!(!line.contains('#'), "comment beside a value: {line}");
            commented = false;
        }
    }
}

#[test]
fn what_is_shown_reads_back_to_the_same_settings() {
    let (_dir, mut sources) = with_file(
        "[run]\nsymbols = ['SOLUSDT', 'sim:X']\nexchange = ['binance', 'sim']\n\
         strategies = ['ema_cross']\n[strategies.ema_cross]\nfast = 5\nslow = '20'\n\
         [paper]\ncash = '0.0000000000000001'\n[journal]\ndir = '/d'\nsync = 'os'\n\
         [venues.sim]\nws = 'ws://[::1]:1/x'\n[store]\nurl = 'rediss://h:1/2'\n",
    );
    env(&mut sources, "HEAN__LOG__LEVEL", "warn,hean=debug");
    let first = loaded(&sources);
    for with_origin in [false, true] {
        let (_dir, again) = with_file(&first.to_toml(with_origin));
        assert_eq!(loaded(&again).settings, first.settings);
    }
    let json = first.to_json();
    assert_eq!(json["paper.cash"]["value"], "0.0000000000000001");
    assert_eq!(json["log.level"]["origin"], "environment HEAN__LOG__LEVEL");
    assert_eq!(json["http.listen"]["origin"], "default");
}

#[test]
fn stronger_layers_win_and_are_named() {
    let (_dir, mut sources) = with_file("[http]\nlisten = '127.0.0.1:1'\nconnections_max = 7\n");
    let file = loaded(&sources);
    assert_eq!(file.settings.http.listen.port(), 1);
    assert!(matches!(
        file.origin("http.listen"),
        Origin::File { line: 2, .. }
    ));
    env(&mut sources, "HEAN__HTTP__LISTEN", "127.0.0.1:2");
    assert_eq!(loaded(&sources).settings.http.listen.port(), 2);
    flag(&mut sources, "--listen", "http.listen", "127.0.0.1:3");
    let all = loaded(&sources);
    assert_eq!(all.settings.http.listen.port(), 3);
    assert_eq!(all.settings.http.connections_max, 7);
    assert_eq!(all.origin("http.listen"), Origin::Flag("--listen"));
    assert_eq!(all.origin("run.mode"), Origin::Default);
}

#[test]
fn the_file_is_the_flag_then_the_variable_then_the_machine() {
    let (dir, mut sources) = with_file("[run]\nseed = 10\n");
    let other = dir.path().join("other.toml");
    fs::write(&other, "[run]\nseed = 11\n").expect("file");
    let machine = dir.path().join("machine.toml");
    fs::write(&machine, "[run]\nseed = 12\n").expect("file");
    env(
        &mut sources,
        "HEAN_CONFIG",
        other.to_str().expect("unicode"),
    );
    sources.default_file = Some(machine);
    assert_eq!(loaded(&sources).settings.run.seed, 10);
    sources.config = None;
    assert_eq!(loaded(&sources).settings.run.seed, 11);
    sources.env.remove("HEAN_CONFIG");
    assert_eq!(loaded(&sources).settings.run.seed, 12);
    sources.default_file = Some(dir.path().join("missing.toml"));
    assert_eq!(loaded(&sources).settings.run.seed, 1);
    sources.config = Some(dir.path().join("missing.toml"));
    assert!(refused(&sources).to_string().contains("cannot be read"));
}

#[test]
fn unknown_names_are_errors_with_place_and_suggestion() {
    assert_eq!(
        problems_of("[http]\n\nlistne = '127.0.0.1:1'\n[htpp]\nlisten = 'x'\n"),
        "FILE:4: htpp: unknown section: did you mean http?\n\
         FILE:3: http.listne: unknown key: did you mean http.listen?"
    );
    for (text, want) in [
        (
            "[kernel]\nmaker_fee = '0'\n",
            "FILE:2: kernel.maker_fee: unknown key: did you mean paper.maker_fee?",
        ),
        (
            "[venues.binanec]\nrest = 'https://x'\n",
            "FILE:2: venues.binanec.rest: unknown key: did you mean venues.binance.rest?",
        ),
        (
            "[venues.binance]\nrset = 'https://x'\n",
            "FILE:2: venues.binance.rset: unknown key: did you mean venues.binance.rest?",
        ),
        (
            "listen = '127.0.0.1:1'\n",
            "FILE:1: listen: unknown key: did you mean http.listen?",
        ),
    ] {
        let got = problems_of(text);
        assert!(got.contains(want), "{got}");
    }
    let mut sources = bare();
    env(&mut sources, "HEAN__HTTP__LISTNE", "x");
    let error = refused(&sources);
    assert_eq!(
        error.to_string(),
        "environment HEAN__HTTP__LISTNE: http.listne: unknown key: did you mean http.listen?"
    );
    assert!(!error.is_usage());
}

#[test]
fn bad_values_name_key_value_and_what_is_legal() {
    for (text, want) in [
        (
            "[http]\nconnections_max = 0\n",
            "FILE:2: http.connections_max: 0: expected an integer from 1 to 65536",
        ),
        (
            "[http]\nconnections_max = \"5\"\n",
            "FILE:2: http.connections_max: \"5\": expected an integer from 1 to 65536",
        ),
        (
            "[paper]\ntaker_fee = 0.001\n",
            "FILE:2: paper.taker_fee: 0.001: an unquoted decimal would lose digits: write \"0.001\" in quotes",
        ),
        (
            "[paper]\ncash = '-5'\n",
            "FILE:2: paper.cash: \"-5\": expected an amount above zero",
        ),
        (
            "[risk]\nprice_collar = '2'\n",
            "FILE:2: risk.price_collar: \"2\": expected a rate from \"0.00000001\" to \"1\"",
        ),
        (
            "[run]\nmode = 'live'\n",
            "live trading is not part of this version",
        ),
        (
            "[run]\nmode = 'papier'\n",
            "expected one of \"observe\", \"paper\"",
        ),
        ("[run]\nsymbols = 'BTCUSDT'\n", "expected a list"),
        ("[run]\nsymbols = ['BTCUSDT', 'btc/usdt']\n", "named twice"),
        ("[run]\nsymbols = []\n", "at least one symbol"),
        ("[run]\nsymbols = ['sim:X']\n", "run.exchange does not name"),
        ("[run]\nintervals = ['7m']\n", "7m"),
        ("[run]\nexchange = ['nyse']\n", "nyse"),
        ("[run]\ndemo = 'true'\n", "without quotes"),
        ("[run]\nseed = 1979-05-27\n", "a date"),
        ("[venues.binance]\nsnapshot_limit = 999\n", "[5, 10, 20"),
        ("[venues.binance]\nws = 'https://x'\n", "wss or ws"),
        ("[log]\nlevel = 'loud'\n", "no log level"),
        ("[store]\nprefix = 'a{b}'\n", "1 to 64 of the characters"),
        ("[http]\nallowed_hosts = ['http://x']\n", "is no host"),
        ("[http]\nlisten = 'x'\nlisten = 'y'\n", "FILE:3: not TOML"),
        ("http = 1\n", "unknown key"),
    ] {
        let got = problems_of(text);
        assert!(got.contains(want), "{text}: {got}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let (_dir, mut sources) = with_file("[http]\nconnections_max = 0\nbody_bytes_max = 1\n");
    env(&mut sources, "HEAN__RUN__MODE", "x");
    flag(&mut sources, "--seed", "run.seed", "x");
    let error = refused(&sources);
    assert_eq!(error.problems.len(), 4, "{error}");
    assert!(!error.is_usage());
    let mut sources = bare();
    flag(&mut sources, "--seed", "run.seed", "x");
    assert!(refused(&sources).is_usage());
}

#[test]
fn passwords_are_neither_shown_nor_taken_from_flags() {
    let url = "redis://:hunter2@127.0.0.1:6379/0";
    let (dir, mut sources) = with_file(&format!("[store]\nurl = '{url}'\n"));
    let from_file = loaded(&sources);
    assert_eq!(
        from_file.settings.store.url.as_ref().map(StoreUrl::expose),
        Some(url)
    );
    let shown = [
        from_file.to_toml(true),
        from_file.to_json().to_string(),
        format!("{from_file:?}"),
    ];
    for text in shown {
        assert!(!text.contains("hunter2"), "{text}");
    }
    // A broken URL is not repeated either; nor is the line of a syntax error.
    for text in [
        "[store]\nurl = 'mysql://:hunter2@h'\n",
        "[store]\nurl = ['redis://:hunter2@h']\n",
        "[store]\nurl = 'redis://:hunter2@h\n",
    ] {
        let got = problems_of(text);
        assert!(!got.contains("hunter2"), "{got}");
    }
    let credentials = dir.path().join("credentials");
    fs::create_dir(&credentials).expect("directory");
    fs::write(credentials.join("keydb_url"), "redis://:other@h:1\n").expect("file");
    env(
        &mut sources,
        "CREDENTIALS_DIRECTORY",
        credentials.to_str().expect("unicode"),
    );
    let with_credential = loaded(&sources);
    assert_eq!(
        with_credential
            .settings
            .store
            .url
            .map(|u| u.expose().to_owned()),
        Some("redis://:other@h:1".to_owned())
    );
    flag(&mut sources, "--keydb", "store.url", url);
    let error = refused(&sources).to_string();
    assert!(error.contains("visible to every user"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_password_in_a_file_that_all_may_read_is_worth_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, sources) = with_file("[store]\nurl = 'redis://:pw@localhost'\n");
    let path = sources.config.clone().expect("file");
    for (mode, warnings) in [(0o644, 1), (0o640, 0)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
        assert_eq!(loaded(&sources).warnings.len(), warnings, "{mode:o}");
    }
}

#[test]
fn the_data_directory_follows_the_machine() {
    let mut sources = bare();
    let dir = |sources: &Sources| loaded(sources).settings.journal.dir;
    let path = |text: &str| DataDir::Path(PathBuf::from(text));
    assert_eq!(dir(&sources), path("/home/op/.local/state/hean"));
    env(&mut sources, "XDG_STATE_HOME", "/xdg");
    assert_eq!(dir(&sources), path("/xdg/hean"));
    env(&mut sources, "STATE_DIRECTORY", "/var/lib/hean:/var/lib/b");
    assert_eq!(dir(&sources), path("/var/lib/hean"));
    flag(&mut sources, "--demo", "run.demo", "true");
    assert_eq!(dir(&sources), DataDir::Temporary);
    flag(&mut sources, "--data-dir", "journal.dir", "/d");
    assert_eq!(dir(&sources), path("/d"));
    let stateless = Sources {
        stateless: true,
        ..Sources::default()
    };
    assert_eq!(dir(&stateless), DataDir::Temporary);
    let nowhere = refused(&Sources::default()).to_string();
    assert!(nowhere.contains("name a directory"), "{nowhere}");
}

#[test]
fn a_demo_touches_nothing_real() {
    let real = "[run]\nexchange = ['binance']\nsymbols = ['binance:SOLUSDT', 'sim:SOLUSDT']\n\
                [journal]\ndir = '/var/lib/hean'\n[store]\nurl = 'redis://prod'\n\
                [venues.sim]\nrest = 'http://prod'\n[http]\nlisten = '127.0.0.1:9'\n";
    let (_dir, mut sources) = with_file(real);
    sources.default_file = sources.config.clone();
    flag(&mut sources, "--demo", "run.demo", "true");
    let demo = loaded(&sources).settings;
    assert_eq!(demo.journal.dir, DataDir::Temporary);
    assert_eq!(demo.store.url, None);
    assert_eq!(demo.venues, Settings::default().venues);
    let symbols: Vec<String> = demo.run.symbols.iter().map(ToString::to_string).collect();
    assert_eq!(symbols, ["sim:SOLUSDT"]);
    assert_eq!(demo.http.listen.port(), 9, "the rest of the file holds");

    // The machine's own file is not read at all, so that a mistake in it cannot spoil the demo.
    sources.config = None;
    let demo = loaded(&sources);
    assert_eq!(demo.file, None);
    let intervals: Vec<String> = demo
        .settings
        .run
        .intervals
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(intervals, ["1s", "1m"]);
    assert_eq!(demo.settings.run.strategies, ["ema_cross"]);
    assert_eq!(demo.origin("run.strategies"), Origin::Demo);

    // A layer that asks for the demo itself means what it says.
    let (_dir, sources) = with_file("[run]\ndemo = true\n[store]\nurl = 'redis://test'\n");
    assert!(loaded(&sources).settings.store.url.is_some());
    let got = problems_of("[run]\ndemo = true\nexchange = ['binance']\n");
    assert!(got.contains("simulated venue alone"), "{got}");
}

#[test]
fn symbols_belong_to_the_exchange_that_won() {
    let (_dir, mut sources) = with_file("[run]\nexchange = ['sim']\nsymbols = ['BTCUSDT']\n");
    let name = |s: &Sources| loaded(s).settings.run.symbols[0].to_string();
    assert_eq!(name(&sources), "sim:BTCUSDT");
    flag(&mut sources, "--exchange", "run.exchange", "binance");
    assert_eq!(name(&sources), "binance:BTCUSDT");
    let mut sources = bare();
    flag(&mut sources, "--exchange", "run.exchange", "sim");
    assert_eq!(name(&sources), "sim:BTCUSDT");
}

#[test]
fn strategies_are_checked_against_those_that_exist() {
    let known = KnownStrategy {
        name: "ema_cross",
        params: vec!["type", "fast", "slow"],
    };
    for (text, want) in [
        (
            "[run]\nstrategies = ['ema_crss']\n",
            Err("unknown strategy \"ema_crss\": did you mean ema_cross?"),
        ),
        ("[strategies.ema_crss]\nfast = 1\n", Err("unknown strategy")),
        (
            "[strategies.ema_cross]\nfats = 1\n",
            Err("unknown parameter: did you mean strategies.ema_cross.fast?"),
        ),
        (
            "[strategies.ema_cross]\nfast = 1.5\n",
            Err("write \"1.5\" in quotes"),
        ),
        (
            "[run]\nstrategies = ['ema_cross']\n[strategies.ema_cross]\nfast = 3\n",
            Ok("3"),
        ),
    ] {
        let (_dir, mut sources) = with_file(text);
        sources.strategies = vec![known.clone()];
        match (load(&sources), want) {
            (Ok(loaded), Ok(fast)) => {
                let running = loaded.settings.running_strategies();
                assert_eq!(running[0].1["fast"], fast);
            }
            (Err(error), Err(want)) => {
                assert!(error.to_string().contains(want), "{error}");
            }
            (got, want) => panic!("{text}: {got:?}, wanted {want:?}"),
        }
    }
}

#[test]
fn limits_reach_the_types_of_the_kernel() {
    let (_dir, mut sources) = with_file(
        "[risk]\norder_notional_max = '12.5'\nprice_collar = '0.01'\nstale_after_ms = 1500\n\
         orders_open_max = 3\norders_per_second_max = 7\nexposure_notional_max = 99\n\
         daily_loss_max = 0\ndrawdown_max = '0.1'\nlosing_streak_max = 4\ncool_down_s = 60\n\
         zone_minutes = -300\nhalt_flattens = true\n[kernel]\nqueue_market = 128\n\
         [orders]\nanswer_timeout_ms = 2500\n",
    );
    env(
        &mut sources,
        "HEAN__VENUES__BINANCE__SNAPSHOT_LIMIT",
        "5000",
    );
    env(&mut sources, "HEAN__RUN__SYMBOLS", "SOLUSDT, ada-usdt");
    let settings = loaded(&sources).settings;
    assert_eq!(
        settings.risk.limits.order_notional_max,
        Money::parse("12.5").expect("amount")
    );
    assert_eq!(settings.risk.limits.price_collar, Rate(1_000_000));
    assert_eq!(settings.risk.limits.stale_after_ns, 1_500_000_000);
    let kernel = hean::setup::kernel_config(&settings, Vec::new()).expect("settings fit");
    assert_eq!(
        kernel.limits,
        RiskLimits {
            order_notional_max: Money::parse("12.5").expect("amount"),
            exposure_notional_max: Money::whole(99),
            orders_open_max: 3,
            orders_per_second_max: 7,
            price_collar: Rate(1_000_000),
            stale_after_ns: 1_500_000_000,
            daily_loss_max: Money::ZERO,
            drawdown_max: Rate(10_000_000),
            losing_streak_max: 4,
            cool_down_ns: 60_000_000_000,
            ..RiskLimits::default()
        }
    );
    assert_eq!(
        (kernel.zone_minutes, kernel.answer_timeout_ns),
        (-300, 2_500_000_000)
    );
    assert!(settings.risk.halt_flattens);
    assert_eq!(settings.kernel.capacities.market, 128);
    assert_eq!(settings.run.symbols.len(), 2);
    let binance = hean::kernel::types::VenueId::Binance;
    assert_eq!(settings.venue(binance).snapshot_limit, 5000);
    assert_eq!(
        settings.base_urls(),
        [
            "sim.rest=http://127.0.0.1:8090",
            "sim.ws=ws://127.0.0.1:8090"
        ]
    );
}

#[test]
fn the_paper_venue_behaves_as_it_is_told() {
    let (_dir, mut sources) = with_file(
        "[paper]\nposition_mode = 'hedge'\nlatency = 'p50=3ms,max=9ms'\nqueue_model = 'probability:2'\n\
         seed = 11\nliquidation_fee = '0.005'\n",
    );
    env(&mut sources, "HEAN__PAPER__REPORT_LATENCY", "250us");
    let settings = loaded(&sources).settings;
    assert_eq!(
        hean::setup::paper(&settings),
        PaperConfig {
            order_latency: Latency::parse("p50=3ms,max=9ms").expect("latency"),
            report_latency: Latency::Constant(250_000),
            queue: QueueModel::Probability { power: 2 },
            seed: 11,
            liquidation_fee: Rate(500_000),
        }
    );
    let kernel = hean::setup::kernel_config(&settings, Vec::new()).expect("settings fit");
    assert_eq!(kernel.positions, PositionMode::Hedge);
    for (text, want) in [
        ("latency = 5", "a string in quotes"),
        ("latency = '5'", "such as 5ms"),
        ("latency = '61s'", "from 0 to 60s"),
        ("latency_ms = 5", "did you mean paper.latency?"),
        ("queue_model = 'hopeful'", "conservative"),
        ("position_mode = 'both'", "\"one_way\", \"hedge\""),
        ("liquidation_fee = '0.2'", "a rate from"),
    ] {
        let got = problems_of(&format!("[paper]\n{text}\n"));
        assert!(got.contains(want), "{text}: {got}");
    }
    for (text, want) in [
        ("zone_minutes = 900", "from -720 to 840"),
        ("daily_loss_max = '-1'", "zero or more"),
        ("cool_down_s = 0", "(seconds)"),
        ("drawdown_max = '1.5'", "a rate from"),
        ("orders_per_second_max = -1", "from 0 to 100000"),
    ] {
        let got = problems_of(&format!("[risk]\n{text}\n"));
        assert!(got.contains(want), "{text}: {got}");
    }
}

#[test]
fn hostile_files_give_problems_and_no_panic() {
    let nested = format!("a = {}{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep = format!("[{}x]\ny = 1\n", "a.".repeat(5_000));
    for text in [
        "\0",
        "=",
        "[run",
        "[run]\nseed = 99999999999999999999999999999999999999999999\n",
        "[run]\nsymbols = [1, 2]\n",
        "[[run]]\nseed = 1\n",
        "run.seed.x = 1\n",
        "[venues]\n[venues.binance.rest]\n",
        "[venues]\nbinance = 1\n",
        "[strategies]\nx = 1\n",
        "\"\" = 1\n",
        "[\"a.b\"]\nc = 1\n",
        nested.as_str(),
        deep.as_str(),
    ] {
        let (_dir, sources) = with_file(text);
        assert!(load(&sources).is_err(), "{}", &text[..text.len().min(60)]);
    }
    let (dir, mut sources) = with_file("");
    fs::write(dir.path().join("hean.toml"), [0xff, 0xfe]).expect("file");
    assert!(refused(&sources).to_string().contains("not UTF-8"));
    fs::write(dir.path().join("hean.toml"), vec![b'#'; (1 << 20) + 1]).expect("file");
    assert!(refused(&sources).to_string().contains("1 MiB"));
    sources.config = Some(dir.path().to_owned());
    assert!(refused(&sources).to_string().contains("cannot be read"));
}
