//! The projection against a real redis-server: outages, lost answers, emptied and foreign stores.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "tests; their numbers are small"
)]

#[path = "store/cluster.rs"]
mod cluster;
#[path = "store/faults.rs"]
mod faults;
#[path = "store/market.rs"]
mod market;
#[path = "store/restore.rs"]
mod restore;
mod store_support;

use std::sync::atomic::Ordering;

use hean::kernel::event::{Record, Seq, Sequenced};
use hean::kernel::ledger::Ledger;
use hean::kernel::orders::PositionSide;
use hean::kernel::types::Money;
use hean::store::StoreError;
use store_support::{ORDERS_KEPT, OneName, Proxy, Server, World, server, settings};

/// Everything that a store must hold after the records of `world`.
async fn verify(world: &World, server: &Server, first_seq: u64) {
    let mut ledger = Ledger::new(ORDERS_KEPT);
    for record in &world.records {
        ledger.apply(record).unwrap();
    }
    let last = ledger.seq().0;
    let redis = server.client().await;
    let meta = redis.hash("hean:{default}:meta").await;
    assert_eq!(meta["watermark"], last.to_string());
    assert_eq!(meta["first_seq"], first_seq.to_string());
    assert_eq!(meta["hash"], format!("{:016x}", ledger.durable_hash()));
    assert_eq!(meta["hash_seq"], last.to_string());
    assert!(!meta.contains_key("rebuild"));

    let events = redis.stream("hean:{default}:events").await;
    let ids: Vec<String> = events.iter().map(|(id, _)| id.clone()).collect();
    let oldest = last + 1 - events.len() as u64;
    let expected: Vec<String> = (oldest..=last).map(|seq| format!("{seq}-0")).collect();
    assert_eq!(ids, expected, "an event is missing or doubled");
    for ((_, event), record) in events.iter().zip(&world.records[oldest as usize - 1..]) {
        let data: serde_json::Value = serde_json::from_str(&event["data"]).unwrap();
        assert!(data["text"].is_object());
        let raw = store_support::raw_record(&event["data"]);
        let decoded: Record = serde_json::from_str(&raw).unwrap();
        assert_eq!(decoded, record.record);
        assert_eq!(event["time"], record.time.millis().to_string());
        assert!(!event["type"].is_empty());
    }

    let kept: Vec<String> = ledger.orders().iter().map(|o| o.id.to_string()).collect();
    assert_eq!(
        redis.set("hean:{default}:orders").await,
        sorted(kept.clone())
    );
    let open = ledger.orders().open().map(|o| o.id.to_string()).collect();
    assert_eq!(redis.set("hean:{default}:open").await, sorted(open));
    let keys = redis.keys("hean:{default}:order:*").await;
    assert_eq!(keys.len(), kept.len(), "forgotten orders are removed");
    for order in ledger.orders().iter() {
        let hash = redis
            .hash(&format!("hean:{{default}}:order:{}", order.id))
            .await;
        let instrument = ledger.instrument(order.instrument).unwrap();
        let qty = |q: hean::kernel::types::Qty| q.display(instrument.qty_scale).to_string();
        assert_eq!(hash["status"], order.state.name());
        assert_eq!(hash["symbol"], instrument.name.symbol);
        assert_eq!(hash["quantity"], qty(order.qty));
        assert_eq!(hash["filled_quantity"], qty(order.filled));
        assert_eq!(hash["filled_notional"], order.filled_notional.to_string());
        assert_eq!(hash["fee"], order.fee.to_string());
        assert_eq!(hash["reason"], order.reason());
    }
    for (index, instrument) in (0_u16..).zip(ledger.instruments()) {
        let position =
            ledger.position(hean::kernel::types::InstrumentId(index), PositionSide::Both);
        if !position.is_blank() {
            let key = format!("hean:{{default}}:position:{}", instrument.name);
            let hash = redis.hash(&key).await;
            assert_eq!(hash["cost"], position.cost.to_string());
            assert_eq!(hash["realized_pnl"], position.realized.to_string());
            assert_eq!(hash["fees"], position.fees.to_string());
        }
    }
    let account = redis.hash("hean:{default}:account").await;
    assert_eq!(account["cash"], ledger.account().cash.to_string());
    assert_eq!(account["currency"], ledger.account().currency);
    assert_eq!(account["fills"], ledger.statistics().fills.to_string());
}

/// After the task's end: what a host without a journal makes of the store is the kernel's state, to the bit.
async fn is_the_kernels_state(world: &World, server: &Server) {
    let config = settings(&server.url());
    let restored = hean::store::restore(&config, std::sync::Arc::new(OneName)).await;
    let restored = restored.unwrap().expect("a state");
    let mut ledger = Ledger::new(ORDERS_KEPT);
    for record in &world.records {
        ledger.apply(record).unwrap();
    }
    assert_eq!(restored.missing, None);
    assert_eq!(restored.ledger.durable_hash(), ledger.durable_hash());
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_holds_what_the_journal_says_and_a_restart_goes_on() {
    let Some(server) = server(&[]) else { return };
    let mut world = World::new();
    world.append(3_000);
    let task = world.project(settings(&server.url()));
    world.applied(&task).await;
    world.append(500);
    world.applied(&task).await;
    verify(&world, &server, 1).await;
    assert!(task.status.up.load(Ordering::Relaxed));
    task.finish().await.unwrap();

    world.append(500);
    let task = world.project(settings(&server.url()));
    world.applied(&task).await;
    task.finish().await.unwrap();
    verify(&world, &server, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_under_load_loses_and_doubles_nothing() {
    let Some(mut server) = server(&[]) else {
        return;
    };
    let mut world = World::new();
    let task = world.project(settings(&server.url()));
    for round in 0..3 {
        world.append(2_000);
        task.applied_at_least(Seq(world.last().0 - 1_000)).await;
        // Half the rounds the server has no time to say goodbye.
        server.stop(round % 2 == 1);
        world.append(4_000);
        task.down().await;
        server.start();
        world.append(1_000);
        world.caught_up(&task).await;
        verify(&world, &server, 1).await;
    }
    assert!(task.status.retries.load(Ordering::Relaxed) > 0);
    task.finish().await.unwrap();
    is_the_kernels_state(&world, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_went_back_is_written_on_from_there() {
    let Some(mut server) = server(&[]) else {
        return;
    };
    let mut world = World::new();
    let task = world.project(settings(&server.url()));
    world.append(1_000);
    world.applied(&task).await;
    server.stop(false);
    let backup = server.backup();
    server.start();
    world.append(1_000);
    world.applied(&task).await;
    server.stop(false);
    server.restore(&backup);
    server.start();
    world.append(10);
    world.caught_up(&task).await;
    verify(&world, &server, 1).await;
    task.finish().await.unwrap();
    is_the_kernels_state(&world, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushed_scripts_are_loaded_again() {
    let Some(server) = server(&[]) else { return };
    let mut world = World::new();
    let task = world.project(settings(&server.url()));
    let redis = server.client().await;
    for _ in 0..5 {
        world.append(100);
        world.applied(&task).await;
        redis.command("SCRIPT", &["FLUSH"]).await;
    }
    verify(&world, &server, 1).await;
    assert_eq!(task.status.retries.load(Ordering::Relaxed), 0);
    task.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_store_is_written_anew_idle_or_not() {
    let Some(server) = server(&[]) else { return };
    let mut world = World::new();
    let task = world.project(settings(&server.url()));
    let redis = server.client().await;
    world.append(2_000);
    world.applied(&task).await;
    redis.command("FLUSHALL", &[]).await;
    redis.until_watermark(world.last()).await;
    world.applied(&task).await;
    verify(&world, &server, 1).await;
    redis.command("FLUSHALL", &[]).await;
    world.append(2_000);
    let back = async {
        redis.until_watermark(world.last()).await;
        world.applied(&task).await;
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), back)
        .await
        .expect("the store is behind 30 s after it was emptied");
    verify(&world, &server, 1).await;
    task.finish().await.unwrap();
    is_the_kernels_state(&world, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounded_stream_begins_later_but_the_state_is_complete() {
    const STREAM_MAX: u64 = 300;
    let Some(server) = server(&[]) else { return };
    let mut world = World::new();
    world.append(3_000);
    let config = hean::store::StoreConfig {
        stream_max: Some(STREAM_MAX),
        ..settings(&server.url())
    };
    let task = world.project(config.clone());
    world.applied(&task).await;
    verify(&world, &server, 3_000 - STREAM_MAX + 1).await;
    world.append(2_000);
    world.applied(&task).await;
    verify(&world, &server, 3_000 - STREAM_MAX + 1).await;
    let redis = server.client().await;
    let length = redis.stream("hean:{default}:events").await.len() as u64;
    // Trimmed by whole nodes of 100 entries.
    assert!((STREAM_MAX..STREAM_MAX + 100).contains(&length), "{length}");
    task.finish().await.unwrap();

    // Another bound of kept orders is another layout: what is there is replaced, nothing stays.
    redis
        .command("HSET", &["hean:{default}:meta", "schema", "0:0"])
        .await;
    redis
        .command("SADD", &["hean:{default}:orders", "999999"])
        .await;
    redis
        .command("HSET", &["hean:{default}:order:999999", "status", "old"])
        .await;
    let task = world.project(config);
    redis.until_watermark(world.last()).await;
    world.applied(&task).await;
    task.finish().await.unwrap();
    // The state's hash comes with the next record.
    world.append(1);
    let task = world.project(settings(&server.url()));
    world.applied(&task).await;
    verify(&world, &server, 5_000 - STREAM_MAX + 1).await;
    task.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_without_its_beginning_is_written_from_a_snapshot_on() {
    let Some(server) = server(&[]) else { return };
    let mut world = World::short();
    while world.oldest() == Seq(1) {
        world.append_to_a_snapshot();
    }
    let task = world.project(settings(&server.url()));
    world.applied(&task).await;
    let redis = server.client().await;
    let meta = redis.hash("hean:{default}:meta").await;
    let first: u64 = meta["first_seq"].parse().unwrap();
    assert!(first > 1, "{meta:?}");
    verify(&world, &server, first).await;

    // It goes on from where it was, and after an outage too, as long as the journal reaches back.
    world.append(300);
    world.applied(&task).await;
    task.finish().await.unwrap();
    let task = world.project(settings(&server.url()));
    world.append(10);
    world.applied(&task).await;
    verify(&world, &server, first).await;

    // A store that fell behind what the journal still holds is written anew.
    task.finish().await.unwrap();
    redis
        .command("HSET", &["hean:{default}:meta", "watermark", "5"])
        .await;
    redis
        .command("HSET", &["hean:{default}:meta", "hash_seq", "5"])
        .await;
    let task = world.project(settings(&server.url()));
    redis.until_watermark(world.last()).await;
    world.applied(&task).await;
    let meta = redis.hash("hean:{default}:meta").await;
    let again: u64 = meta["first_seq"].parse().unwrap();
    assert!(again > 1, "{meta:?}");
    verify(&world, &server, again).await;
    task.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_that_was_cut_off_begins_anew() {
    let Some(server) = server(&[]) else { return };
    let mut world = World::new();
    world.append(1_000);
    let task = world.project(settings(&server.url()));
    world.applied(&task).await;
    task.finish().await.unwrap();
    let redis = server.client().await;
    redis
        .command("HSET", &["hean:{default}:meta", "rebuild", "3"])
        .await;
    redis
        .command("HDEL", &["hean:{default}:meta", "watermark"])
        .await;
    let task = world.project(settings(&server.url()));
    world.applied(&task).await;
    verify(&world, &server, 1).await;
    task.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_used_and_not_told() {
    let Some(server) = server(&["--requirepass", "geheim"]) else {
        return;
    };
    let mut world = World::new();
    world.append(100);
    let url = |password: &str| format!("redis://:{password}@store.test:{}", server.port());
    assert!(!format!("{:?}", settings(&url("geheim"))).contains("geheim"));
    let wrong = world.project(settings(&url("falsch")));
    wrong.retried(3).await;
    assert!(!wrong.status.up.load(Ordering::Relaxed));
    let error = wrong.finish().await.unwrap_err();
    assert!(
        matches!(error, StoreError::NotDrained { lag: 100 }),
        "{error}"
    );
    let right = world.project(settings(&url("geheim")));
    world.applied(&right).await;
    right.finish().await.unwrap();
    let error = world
        .project(settings("redis://:geheim@store.test:no-port"))
        .result()
        .await
        .unwrap_err();
    assert!(!error.to_string().contains("geheim"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_writer_takes_over_and_the_first_is_refused() {
    let Some(server) = server(&[]) else { return };
    let mut world = World::new();
    world.append(500);
    let first = world.project(settings(&server.url()));
    world.applied(&first).await;
    let second = world.project(settings(&server.url()));
    world.applied(&second).await;
    world.append(500);
    let error = first.result().await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    world.applied(&second).await;
    verify(&world, &server, 1).await;
    second.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_are_not_written_twice() {
    let Some(server) = server(&[]) else { return };
    let mut world = World::new();
    let proxy = Proxy::start(server.port()).await;
    let task = world.project(settings(&proxy.url()));
    for _ in 0..5 {
        world.append(700);
        world.applied(&task).await;
        proxy.lose_next_answer();
        world.append(700);
        world.applied(&task).await;
    }
    assert_eq!(proxy.lost(), 5);
    verify(&world, &server, 1).await;
    task.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_not_ours_is_refused_and_left_alone() {
    let Some(server) = server(&[]) else { return };
    let redis = server.client().await;
    let mut ours = World::new();
    ours.append(200);
    let task = ours.project(settings(&server.url()));
    ours.applied(&task).await;
    task.finish().await.unwrap();
    let before = redis.hash("hean:{default}:meta").await;

    let mut foreign = World::new();
    foreign.append(300);
    let task = foreign.project(settings(&server.url()));
    let error = task.result().await.unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");

    // The same installation, restored from a backup that is older than the store.
    let mut older = World::with_installation(&ours.installation());
    older.append(100);
    let task = older.project(settings(&server.url()));
    let error = task.result().await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Ahead {
                watermark: 200,
                durable: 100,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(redis.hash("hean:{default}:meta").await, before);

    // And then used: as long as the store or longer, but with another history.
    let seq = older.last().0 + 1;
    older.append_records(vec![Sequenced {
        seq: Seq(seq),
        time: older.records[0].time,
        record: Record::Transfer {
            asset: "USDT".to_owned(),
            amount: Money(1),
            value: Money(1),
        },
    }]);
    older.append(200);
    let task = older.project(settings(&server.url()));
    let error = task.result().await.unwrap_err();
    assert!(matches!(error, StoreError::Diverged { .. }), "{error}");
    verify(&ours, &server, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_others_wrote_to_is_written_anew() {
    let Some(server) = server(&[]) else { return };
    let redis = server.client().await;
    let mut world = World::new();
    world.append(200);
    let task = world.project(settings(&server.url()));
    world.applied(&task).await;
    redis
        .command("XADD", &["hean:{default}:events", "900000-0", "type", "x"])
        .await;
    world.append(200);
    redis.until_watermark(world.last()).await;
    world.applied(&task).await;
    verify(&world, &server, 1).await;
    task.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_catches_up_or_says_what_is_missing() {
    let Some(mut server) = server(&[]) else {
        return;
    };
    let mut world = World::new();
    world.append(5_000);
    world
        .project(settings(&server.url()))
        .finish()
        .await
        .unwrap();
    verify(&world, &server, 1).await;
    let task = world.project(settings(&server.url()));
    world.applied(&task).await;
    server.stop(false);
    world.append(77);
    let error = task.finish().await.unwrap_err();
    assert!(
        matches!(error, StoreError::NotDrained { lag: 77 }),
        "{error}"
    );
}
