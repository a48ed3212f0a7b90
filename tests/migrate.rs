//! `hean keydb` between real servers: every type both ways, kill -9, changes that are followed,
//! planted differences, servers of another make. What arrives is judged by the servers' own digests.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::format_push_string,
    reason = "tests; their numbers are small"
)]

#[path = "migrate/between.rs"]
mod between;
#[path = "migrate/live.rs"]
mod live;
#[path = "migrate/process.rs"]
mod process;
#[path = "migrate/servers.rs"]
mod servers;
#[path = "migrate/trouble.rs"]
mod trouble;

use between::{Gate, Make, translate};
use hean::store::wire::{Commands, Reply};
use process::{Running, hean};
use servers::{Client, Server, connect, fill, server, small};

/// Small keys in each of two databases.
const SMALL: usize = 12_000;
/// All keys of a database that `fill` has filled.
const KEYS: u64 = SMALL as u64 + 9;

fn url(server: &Server) -> String {
    format!("redis://127.0.0.1:{}", server.port)
}

/// Two servers and a client for each.
async fn pair() -> Option<(Server, Server, Client, Client)> {
    let (source, target) = (server(&[])?, server(&[])?);
    let (a, b) = (connect(source.port).await, connect(target.port).await);
    Some((source, target, a, b))
}

/// Everything that the servers hold is the same, by their own word.
async fn same(a: &mut Client, b: &mut Client) {
    assert_eq!(a.digest().await, b.digest().await);
    for db in [0, 5] {
        assert_eq!(a.ends(db).await, b.ends(db).await, "ends in database {db}");
        for key in ["large:stream", "empty", "stream:5", "stream:11"] {
            if a.int(&format!("EXISTS {key}")).await == 1 {
                assert_eq!(
                    a.stream(db, key).await,
                    b.stream(db, key).await,
                    "{db} {key}"
                );
            }
        }
    }
}

#[tokio::test]
async fn heavy_every_type_arrives_by_dump_and_by_type_and_the_source_is_only_read() {
    let Some((source, target, mut a, mut b)) = pair().await else {
        return;
    };
    fill(&mut a, SMALL).await;
    let before = a.digest().await;
    a.ask("CONFIG RESETSTAT").await;
    let (from, to) = (url(&source), url(&target));
    for way in [&["--json"][..], &["--json", "--by-type"]] {
        let args = [&["migrate", &from, &to], way].concat();
        let report = hean(&args).await.ok().json();
        assert_eq!(report["keys"], 2 * KEYS);
        assert_eq!(report["failed"], 0);
        // Large keys go in pieces, whichever way the others go.
        let by_type = if way.len() > 1 { 2 * KEYS } else { 2 * 6 };
        assert_eq!(report["by_type"], by_type, "{report}");
        assert!(report["in_pieces"].as_u64().unwrap() >= 12, "{report}");
        same(&mut a, &mut b).await;
        let args = [&["verify", &from, &to], way].concat();
        let verdict = hean(&args).await.ok().json();
        assert_eq!(verdict["same"], true);
        assert_eq!(verdict["keys"], 2 * KEYS);
        b.ask("SELECT 0").await;
        assert_eq!(
            b.int("DBSIZE").await,
            KEYS as i64,
            "nothing of ours is left"
        );
        b.ask("FLUSHALL").await;
    }
    assert_eq!(a.digest().await, before);
    assert_eq!(a.writes().await, Vec::<String>::new());
    assert!(!b.writes().await.is_empty(), "the question can be answered");
}

#[tokio::test]
async fn chosen_databases_and_patterns_and_nothing_else() {
    let Some((source, target, mut a, mut b)) = pair().await else {
        return;
    };
    for db in [0, 3, 7] {
        a.0.select(db).await.unwrap();
        small(&mut a, 60).await;
    }
    let (from, to) = (url(&source), url(&target));
    let args = [
        "migrate",
        &from,
        &to,
        "--db",
        "3,7",
        "--match",
        "set:*",
        "--match",
        "zset:[0-9]",
    ];
    hean(&args).await.ok();
    assert_eq!(b.int("DBSIZE").await, 0);
    for db in [3, 7] {
        let want: Vec<Vec<u8>> = a.ends(db).await.into_keys().collect();
        let chosen = |key: &Vec<u8>| {
            key.starts_with(b"set:") || (key.starts_with(b"zset:") && key.len() == 6)
        };
        let want: Vec<Vec<u8>> = want.into_iter().filter(chosen).collect();
        assert_eq!(want.len(), 11);
        assert_eq!(b.ends(db).await.into_keys().collect::<Vec<_>>(), want);
    }
    // One database into another one; the same selection compares as the same.
    let (from, to) = (format!("{from}/3"), format!("{to}/12"));
    for tool in ["migrate", "verify"] {
        hean(&[tool, &from, &to, "--match", "hash:*"]).await.ok();
    }
    b.0.select(12).await.unwrap();
    assert_eq!(b.int("DBSIZE").await, 10);
}

#[tokio::test]
async fn heavy_killed_twice_it_goes_on_where_it_stopped() {
    let Some((source, target, mut a, mut b)) = pair().await else {
        return;
    };
    fill(&mut a, SMALL).await;
    let from = url(&source);
    for (way, limit) in [
        (&["--json"][..], 8_000_000),
        (&["--json", "--by-type"], 8_000_000),
    ] {
        let mut had = 0;
        for _ in 0..2 {
            let mut gate = Gate::start(target.port, limit).await;
            let to = format!("redis://127.0.0.1:{}", gate.port);
            let running = Running::start(&[&["migrate", &from, &to], way].concat());
            gate.until_shut().await;
            running.kill();
            let mut has = 0;
            for db in [0, 5] {
                b.0.select(db).await.unwrap();
                has += b.int("DBSIZE").await;
            }
            assert!(has > had && has < 2 * KEYS as i64, "{has} behind {had}");
            had = has;
        }
        let report = hean(&[&["migrate", &from, &url(&target)], way].concat())
            .await
            .ok()
            .json();
        let (resumed, keys) = (
            report["resumed"].as_u64().unwrap(),
            report["keys"].as_u64().unwrap(),
        );
        assert!(resumed > 0 && keys < 2 * KEYS, "{report}");
        // What lay between the last note and the kill was copied again.
        assert!(resumed + keys >= 2 * KEYS, "{report}");
        same(&mut a, &mut b).await;
        b.ask("FLUSHALL").await;
    }
}

#[tokio::test]
async fn half_of_a_large_key_is_never_seen() {
    let Some((source, target, mut a, mut b)) = pair().await else {
        return;
    };
    let mut commands = Commands::default();
    for i in 0..40_000 {
        commands.push(&[b"HSET", b"large", i.to_string().as_bytes(), &[b'x'; 60]]);
    }
    a.all(&commands).await;
    b.ask("HSET large old value").await;
    let mut gate = Gate::start(target.port, 1_500_000).await;
    let to = format!("redis://127.0.0.1:{}", gate.port);
    let running = Running::start(&["migrate", &url(&source), &to, "--overwrite"]);
    gate.until_shut().await;
    running.kill();
    drop(gate);
    assert_eq!(b.int("HLEN large").await, 1, "the old one, whole");
    assert!(b.int("HLEN hean:migrate:part").await > 1_000);
    assert!(
        b.int("PTTL hean:migrate:part").await > 0,
        "it ends by itself"
    );
    hean(&["migrate", &url(&source), &url(&target)]).await.ok();
    assert_eq!(b.int("HLEN large").await, 40_000);
    assert_eq!(a.digest().await, b.digest().await);
}

/// Plants a difference of each kind and returns the keys.
async fn plant(b: &mut Client) -> Vec<(String, String)> {
    b.0.select(5).await.unwrap();
    b.lines(&[
        "DEL hash:1",
        "SET only:here 1",
        "SET string:6 other",
        "PEXPIREAT string:12 4000000000999",
        "PERSIST string:24",
        "RPUSH list:2 tail",
        "LSET list:8 0 other",
        "SADD set:3 another",
        "HSET hash:7 a other",
        "ZADD zset:4 1e301 o",
        "XACK stream:5 group 1-1",
        "XADD stream:11 9-9 f v",
        "DEL hash:13",
        "SET hash:13 text",
        "SETRANGE large:string 4999000 x",
        "HSET large:hash f77 other",
        "SREM large:set missing",
        "LSET large:list 9000 other",
        "ZADD large:zset 0.5 another",
        "XGROUP SETID large:stream two 3-1",
        "XGROUP DELCONSUMER empty group nobody",
    ])
    .await;
    let kinds = [
        ("hash:1", "missing"),
        ("only:here", "extra"),
        ("string:6", "value"),
        ("string:12", "expiry"),
        ("string:24", "expiry"),
        ("list:2", "value"),
        ("list:8", "value"),
        ("set:3", "value"),
        ("hash:7", "value"),
        ("zset:4", "value"),
        ("stream:5", "value"),
        ("stream:11", "value"),
        ("hash:13", "value"),
        ("large:string", "value"),
        ("large:hash", "value"),
        ("large:list", "value"),
        ("large:zset", "value"),
        ("large:stream", "value"),
        ("empty", "value"),
    ];
    let mut kinds: Vec<(String, String)> = kinds
        .map(|(key, kind)| (key.to_owned(), kind.to_owned()))
        .into();
    kinds.sort();
    kinds
}

#[tokio::test]
async fn heavy_planted_differences_are_found_and_counted() {
    let Some((source, target, mut a, mut b)) = pair().await else {
        return;
    };
    fill(&mut a, 3_000).await;
    let (from, to) = (url(&source), url(&target));
    hean(&["migrate", &from, &to]).await.ok();
    let planted = plant(&mut b).await;
    for way in [&["--json"][..], &["--json", "--by-type"]] {
        let ended = hean(&[&["verify", &from, &to], way].concat()).await;
        assert_eq!(ended.code, 1);
        let verdict = ended.json();
        let list = verdict["differences"].as_array().unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let mut found: Vec<(String, String)> = list
            .iter()
            .map(|d| (text(&d["key"]), text(&d["what"])))
            .collect();
        found.sort();
        assert_eq!(found, planted);
        assert!(list.iter().all(|d| d["db"] == 5));
        let counts = ["missing", "extra", "values", "expiries"].map(|kind| verdict[kind].as_u64());
        assert_eq!(counts, [Some(1), Some(1), Some(15), Some(2)]);
    }
    let ended = hean(&["verify", &from, &to, "--limit", "3"]).await;
    assert_eq!(ended.code, 1);
    assert_eq!(
        ended.out.lines().count(),
        5,
        "three, how many more, the counts: {}",
        ended.out
    );
    assert!(ended.out.contains("and 16 more"), "{}", ended.out);
    // Copying over it repairs all but what only the target has.
    hean(&["migrate", &from, &to, "--overwrite"]).await.ok();
    let verdict = hean(&["verify", &from, &to, "--json"]).await.json();
    assert_eq!(
        (&verdict["extra"], &verdict["missing"]),
        (&1.into(), &0.into())
    );
    assert_eq!(
        (&verdict["values"], &verdict["expiries"]),
        (&0.into(), &0.into())
    );
}

#[tokio::test]
async fn heavy_a_target_of_another_make_gets_everything_by_type() {
    let (Some(source), Some(target)) = (
        server(&["--rename-command", "PEXPIRETIME", ""]),
        server(&[]),
    ) else {
        return;
    };
    let (mut a, mut b) = (connect(source.port).await, connect(target.port).await);
    fill(&mut a, 3_000).await;
    // Its dumps are of a version that the target refuses, and it tells no moments, only what is left.
    let make = Make {
        newer_dumps: true,
        ..Make::default()
    };
    let from = format!("redis://127.0.0.1:{}", translate(source.port, make).await);
    let report = hean(&["migrate", &from, &url(&target), "--json"])
        .await
        .ok()
        .json();
    assert_eq!(
        (&report["by_dump"], &report["by_type"]),
        (&0.into(), &(2 * 3_009).into())
    );
    assert_eq!(a.digest().await, b.digest().await);
    // To the millisecond, though the source tells only what is left.
    assert_eq!(
        b.ends(5).await[&b"string:12"[..].to_vec()],
        4_000_000_000_012
    );
    assert_eq!(
        b.ends(0).await[&b"large:hash"[..].to_vec()],
        4_000_000_000_123
    );
    hean(&["verify", &from, &url(&target)]).await.ok();
}

#[tokio::test]
async fn a_clock_that_is_ahead_does_not_shorten_a_life() {
    let Some((source, target, mut a, mut b)) = pair().await else {
        return;
    };
    small(&mut a, 600).await;
    let make = Make {
        ahead_s: 3_600,
        ..Make::default()
    };
    let to = format!("redis://127.0.0.1:{}", translate(target.port, make).await);
    for way in [&[][..], &["--by-type"]] {
        let way = [way, &["--match", "string:*"]].concat();
        hean(&[&["migrate", &url(&source), &to, "--overwrite"], &way[..]].concat())
            .await
            .ok();
        let (ours, theirs) = (a.ends(0).await, b.ends(0).await);
        let mut some = 0;
        for (key, end) in ours.iter().filter(|(_, end)| **end > 0) {
            // As exactly as two clocks can be compared.
            let late = theirs[key] - end - 3_600_000;
            assert!(late.abs() < 1_000, "{late}");
            some += 1;
        }
        assert_eq!(some, 50);
        hean(&[&["verify", &url(&source), &to], &way[..]].concat())
            .await
            .ok();
    }
}

#[tokio::test]
async fn heavy_bench_measures_both_servers_and_leaves_nothing() {
    let Some((source, target, mut a, mut b)) = pair().await else {
        return;
    };
    a.ask("SET mine 1").await;
    let (first, second) = (url(&source), url(&target));
    let shape = [
        "--requests",
        "700",
        "--rounds",
        "2",
        "--clients",
        "3",
        "--json",
    ];
    let report = hean(&[&["bench", &first, &second], &shape[..]].concat())
        .await
        .ok()
        .json();
    let rows = report["results"].as_array().unwrap();
    let kinds: Vec<&str> = rows
        .iter()
        .map(|row| row["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["SET", "GET", "SET, pipelined", "GET, pipelined", "XADD"]
    );
    for row in rows {
        assert!(row["ratio"].as_f64().unwrap() > 0.0);
        for server in row["servers"].as_array().unwrap() {
            let ns = ["p50_ns", "p99_ns", "p999_ns", "max_ns"].map(|p| server[p].as_u64().unwrap());
            assert!(ns[0] > 0 && ns.is_sorted(), "{row}");
            assert!(server["ops_per_s"].as_f64().unwrap() > 0.0);
        }
    }
    // What was asked for was done, and nothing else is left than what was there.
    for client in [&mut a, &mut b] {
        let stats = client.text("INFO commandstats").await;
        assert!(stats.contains("cmdstat_get:calls=2800"), "{stats}");
        assert!(stats.contains("cmdstat_xadd:calls=1400"), "{stats}");
    }
    assert_eq!(
        a.ask("KEYS *").await,
        Reply::Array(vec![Reply::Bytes(b"mine".to_vec())])
    );
    assert_eq!(b.int("DBSIZE").await, 0);
    let text = hean(&["bench", &first, "--requests", "300", "--rounds", "1"])
        .await
        .ok()
        .out;
    assert!(
        text.contains("p99.9") && !text.contains("server 1 does"),
        "{text}"
    );
    assert_eq!(a.int("DBSIZE").await, 1);
}
