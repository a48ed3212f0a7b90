//! Servers that are there and do not take writes: another password, a replica, a full one, one that stands still.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hean::kernel::event::Seq;

use crate::store_support::{self, World, server, settings};
use crate::{is_the_kernels_state, verify};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_changes_meanwhile_is_waited_for() {
    let Some(server) = server(&[]) else { return };
    let mut world = World::new();
    let task = world.project(settings(&server.url()));
    world.append(300);
    world.applied(&task).await;
    let redis = server.client().await;
    redis
        .command("CONFIG", &["SET", "requirepass", "new"])
        .await;
    // Connections that are open stay so: ours must come again.
    redis.command("CLIENT", &["KILL", "TYPE", "normal"]).await;
    let retries = task.status.retries.load(Ordering::Relaxed);
    world.append(300);
    task.retried(retries + 2).await;
    assert!(task.status.applied() < world.last());
    redis.command("AUTH", &["new"]).await;
    redis.command("CONFIG", &["SET", "requirepass", ""]).await;
    world.applied(&task).await;
    verify(&world, &server, 1).await;
    task.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_became_a_replica_is_waited_for() {
    let (Some(server), Some(master)) = (server(&[]), server(&[])) else {
        return;
    };
    let mut world = World::new();
    let task = world.project(settings(&server.url()));
    world.append(300);
    world.applied(&task).await;
    let redis = server.client().await;
    // Behind a gate that nothing passes, so that it keeps its data.
    redis.command("REPLICAOF", &["127.0.0.1", "1"]).await;
    let retries = task.status.retries.load(Ordering::Relaxed);
    world.append(300);
    task.retried(retries + 2).await;
    assert!(task.status.applied() < world.last());
    redis.command("REPLICAOF", &["NO", "ONE"]).await;
    world.applied(&task).await;
    // And with a master of its own, which empties it.
    redis
        .command("REPLICAOF", &["127.0.0.1", &master.port().to_string()])
        .await;
    redis.until_empty().await;
    world.append(300);
    let retries = task.status.retries.load(Ordering::Relaxed);
    task.retried(retries + 2).await;
    redis.command("REPLICAOF", &["NO", "ONE"]).await;
    world.applied(&task).await;
    verify(&world, &server, 1).await;
    task.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_a_ca_of_ones_own_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let Some(certificates) = store_support::Certificates::make(dir.path()) else {
        return;
    };
    let Some(server) = certificates.server() else {
        return;
    };
    let mut world = World::new();
    world.append(500);
    let config = |ca: &std::path::Path| hean::store::StoreConfig {
        tls: Some(hean::venue::tls::client_config(Some(ca)).unwrap()),
        ..settings(&server.tls_url())
    };
    let stranger = world.project(config(&certificates.other_ca));
    stranger.retried(2).await;
    assert_eq!(stranger.status.applied(), Seq(0));
    stranger.finish().await.unwrap_err();
    let task = world.project(config(&certificates.ca));
    world.applied(&task).await;
    world.append(500);
    world.applied(&task).await;
    verify(&world, &server, 1).await;
    task.finish().await.unwrap();
}

/// Two hundred events a second for ten minutes, while nobody is there to take them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_ten_minutes_of_events_are_caught_up() {
    const EVENTS: u64 = 10 * 60 * 200;
    let Some(mut server) = server(&[]) else {
        return;
    };
    let mut world = World::new();
    let config = hean::store::StoreConfig {
        // As in the daemon: hashing walks over every order.
        hash_every: 1_024,
        batch_records_max: 512,
        ..settings(&server.url())
    };
    let task = world.project(config);
    world.append(1_000);
    world.applied(&task).await;
    server.stop(true);
    for _ in 0..EVENTS / 1_000 {
        world.append(1_000);
    }
    task.down().await;
    // It dies twice more while the rest is written.
    for part in [3, 2] {
        server.start();
        task.applied_at_least(Seq(world.last().0 / part)).await;
        server.stop(true);
    }
    server.start();
    world.caught_up(&task).await;
    task.finish().await.unwrap();
    is_the_kernels_state(&world, &server).await;
    // The state's hash of the very last record.
    let task = world.project(settings(&server.url()));
    world.append(1);
    world.applied(&task).await;
    task.finish().await.unwrap();
    verify(&world, &server, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_is_waited_for() {
    let Some(server) = server(&[]) else { return };
    let mut world = World::new();
    let config = hean::store::StoreConfig {
        command_timeout: Duration::from_millis(200),
        ..settings(&server.url())
    };
    let task = world.project(config);
    world.append(500);
    world.applied(&task).await;
    for _ in 0..2 {
        // The batch is in the server's socket and is executed when it wakes, after we gave up.
        server.signal("STOP");
        world.append(500);
        task.down().await;
        server.signal("CONT");
        world.caught_up(&task).await;
    }
    verify(&world, &server, 1).await;
    task.finish().await.unwrap();
    is_the_kernels_state(&world, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_is_waited_for() {
    let Some(server) = server(&["--maxmemory-policy", "noeviction"]) else {
        return;
    };
    let mut world = World::new();
    let task = world.project(settings(&server.url()));
    world.append(500);
    world.applied(&task).await;
    let redis = server.client().await;
    redis.command("CONFIG", &["SET", "maxmemory", "1"]).await;
    let retries = task.status.retries.load(Ordering::Relaxed);
    world.append(1_000);
    task.retried(retries + 3).await;
    assert!(task.status.applied() < world.last());
    redis.command("CONFIG", &["SET", "maxmemory", "0"]).await;
    world.caught_up(&task).await;
    verify(&world, &server, 1).await;
    task.finish().await.unwrap();
    is_the_kernels_state(&world, &server).await;
}

/// The user that `keydb.conf` proposes may do all that we do, with its clock and without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_user_of_the_configuration_file_is_enough() {
    let Some(server) = server(&[]) else { return };
    let file = include_str!("../../keydb.conf");
    let line = file
        .lines()
        .find_map(|l| l.strip_prefix("# user hean on >CHANGE-ME "));
    let rights: Vec<&str> = line.expect("the line").split_whitespace().collect();
    assert!(rights.contains(&"+time"), "{rights:?}");
    let redis = server.client().await;
    let url = format!("redis://hean:secret@store.test:{}", server.port());
    for clock in ["+time", "-time"] {
        redis.command("FLUSHALL", &[]).await;
        let user = [
            &["SETUSER", "hean", "reset", "on", ">secret"],
            &rights[..],
            &[clock],
        ]
        .concat();
        redis.command("ACL", &user).await;
        let mut world = World::new();
        world.append(300);
        let task = world.project(settings(&url));
        world.applied(&task).await;
        world.append(300);
        world.applied(&task).await;
        verify(&world, &server, 1).await;
        task.finish().await.unwrap();
        let meta = redis.hash("hean:{default}:meta").await;
        assert_eq!(meta.contains_key("seen"), clock == "+time");
    }
}
