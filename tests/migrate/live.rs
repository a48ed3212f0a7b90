//! Changes that are followed until the cut-over.

use crate::process::{Running, hean, until};
use crate::servers::{connect, fill, server, small};
use crate::{same, url};

/// Changes of every kind; the last one sets `mark`.
const CHANGES: [&str; 16] = [
    "SET string:0 changed",
    "SET new:string 1 PX 100000000",
    "DEL hash:1",
    "HINCRBY hash:7 a 5",
    "LPUSH list:2 head",
    "LREM large:list 3 none",
    "RPUSH large:list tail",
    "SREM set:3 m",
    "ZINCRBY zset:4 0.1 m",
    "XADD stream:5 9-1 f v",
    "XADD large:stream * f v",
    "PEXPIREAT hash:13 4000000001234",
    "PERSIST string:12",
    "RENAME set:9 renamed",
    "SDIFFSTORE large:set large:set set:15",
    "SET mark 1",
];

#[tokio::test]
async fn heavy_changes_arrive_while_it_runs_and_at_the_end_all_is_the_same() {
    let (Some(source), Some(target)) = (server(&["--notify-keyspace-events", "KEA"]), server(&[]))
    else {
        return;
    };
    let (mut a, mut b) = (connect(source.port).await, connect(target.port).await);
    fill(&mut a, 3_000).await;
    let mut live = Running::start(&["migrate", &url(&source), &url(&target), "--live", "--json"]);
    live.until("in step").await;
    for db in [0, 5, 9] {
        a.0.select(db).await.unwrap();
        if db == 9 {
            a.ask("SET mark 1").await; // a database that was empty
        } else {
            a.lines(&CHANGES).await;
        }
        b.0.select(db).await.unwrap();
        until("the change", async || b.int("EXISTS mark").await == 1).await;
    }
    // What no notification tells of: what groups read and acknowledge, and a whole database.
    a.0.select(5).await.unwrap();
    a.lines(&[
        "XREADGROUP GROUP group other COUNT 5 STREAMS stream:11 >",
        "XACK large:stream one 801-1 802-1",
        "XACK stream:17 group 1-1",
    ])
    .await;
    a.0.select(9).await.unwrap();
    a.ask("FLUSHDB").await;
    let ended = live.ended().await.ok();
    let report = ended.json();
    assert!(report["changes"].as_u64().unwrap() >= 30, "{report}");
    assert!(report["mended"].as_u64().unwrap() >= 3, "{report}");
    same(&mut a, &mut b).await;
    for db in [0, 5] {
        assert_eq!(
            a.stream(db, "stream:17").await,
            b.stream(db, "stream:17").await
        );
    }
    b.0.select(9).await.unwrap();
    assert_eq!(b.int("DBSIZE").await, 0);
    hean(&["verify", &url(&source), &url(&target)]).await.ok();
}

#[tokio::test]
async fn heavy_a_lost_connection_loses_no_change() {
    let (Some(source), Some(target)) = (server(&["--notify-keyspace-events", "KA"]), server(&[]))
    else {
        return;
    };
    let (mut a, mut b) = (connect(source.port).await, connect(target.port).await);
    small(&mut a, 3_000).await;
    let mut live = Running::start(&["migrate", &url(&source), &url(&target), "--live"]);
    live.until("in step").await;
    // In one transaction: nobody listens when the changes are made.
    a.lines(&[
        "MULTI",
        "CLIENT KILL TYPE pubsub",
        "SET string:0 changed",
        "DEL hash:1",
        "SET new 1",
        "EXEC",
    ])
    .await;
    live.until("everything will be compared").await;
    live.until("in step").await;
    assert_eq!(b.text("GET string:0").await, "changed");
    assert_eq!(b.int("EXISTS new hash:1").await, 1);
    a.ask("SET again 1").await;
    until("the change", async || b.int("EXISTS again").await == 1).await;
    live.ended().await.ok();
    assert_eq!(a.digest().await, b.digest().await);
}

#[tokio::test]
async fn heavy_killed_while_following_it_goes_on_and_removes_what_is_gone() {
    let (Some(source), Some(target)) = (server(&["--notify-keyspace-events", "EA"]), server(&[]))
    else {
        return;
    };
    let (mut a, mut b) = (connect(source.port).await, connect(target.port).await);
    small(&mut a, 3_000).await;
    let args = [
        "migrate",
        &url(&source),
        &url(&target),
        "--live",
        "--by-type",
    ];
    let mut live = Running::start(&args);
    live.until("in step").await;
    live.kill();
    a.lines(&["SET string:0 changed", "DEL hash:1", "SADD set:3 more"])
        .await;
    let mut live = Running::start(&args);
    live.until("in step").await;
    assert_eq!(b.int("EXISTS hash:1").await, 0);
    let report = live.ended().await.ok();
    assert!(
        report
            .out
            .contains("3000 were there from an earlier attempt"),
        "{}",
        report.out
    );
    assert_eq!(a.digest().await, b.digest().await);
}

#[tokio::test]
async fn a_source_that_does_not_notify_is_left_as_it_is() {
    let (Some(source), Some(target)) = (server(&["--notify-keyspace-events", "Kg"]), server(&[]))
    else {
        return;
    };
    let (mut a, mut b) = (connect(source.port).await, connect(target.port).await);
    a.ask("SET key 1").await;
    let ended = hean(&["migrate", &url(&source), &url(&target), "--live"]).await;
    assert_eq!(ended.code, 3, "{}", ended.err);
    assert!(
        ended.err.contains("notify-keyspace-events KEA"),
        "{}",
        ended.err
    );
    let setting = format!("{:?}", a.ask("CONFIG GET notify-keyspace-events").await);
    let want = a.text("ECHO gK").await;
    assert!(
        setting.contains(&format!("{:?}", want.as_bytes().to_vec())),
        "{setting}"
    );
    assert_eq!(b.int("DBSIZE").await, 0);
}
