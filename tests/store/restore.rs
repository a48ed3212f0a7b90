//! A lost data directory: what the store gives back, and what it says of what it lacks.

use std::sync::Arc;
use std::time::Duration;

use hean::journal::{self, JournalConfig};
use hean::kernel::event::Seq;
use hean::kernel::ledger::Ledger;
use hean::kernel::types::Time;
use hean::store::{Restored, StoreConfig, StoreError, restore};

use crate::store_support::{ORDERS_KEPT, OneName, Server, World, server, settings};

fn ledger_of(world: &World) -> Ledger {
    let mut ledger = Ledger::new(ORDERS_KEPT);
    for record in &world.records {
        ledger.apply(record).unwrap();
    }
    ledger
}

async fn given_back(config: &StoreConfig) -> Result<Option<Restored>, StoreError> {
    restore(config, Arc::new(OneName)).await
}

async fn write(world: &World, config: &StoreConfig) {
    let task = world.project(config.clone());
    world.applied(&task).await;
    task.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_closed_gives_everything_back_and_a_new_directory_goes_on() {
    let Some(server) = server(&[]) else { return };
    // An image every so often; the stream goes no further back than that.
    for (image_every, stream_max) in [(1, None), (100, None), (1_000_000, None), (50, Some(300))] {
        server.client().await.command("FLUSHALL", &[]).await;
        let config = StoreConfig {
            image_every,
            stream_max,
            ..settings(&server.url())
        };
        assert!(given_back(&config).await.unwrap().is_none());
        let mut world = World::new();
        for count in [700, 333, 50] {
            world.append(count);
            write(&world, &config).await;
        }
        let found = given_back(&config).await.unwrap().expect("a state");
        let expected = ledger_of(&world);
        assert_eq!(found.missing, None);
        assert_eq!(found.ledger.seq(), expected.seq());
        assert_eq!(found.ledger.durable_hash(), expected.durable_hash());
        assert_eq!(found.installation.to_string(), world.installation().trim());

        let dir = tempfile::tempdir().unwrap();
        let new = JournalConfig::new(dir.path());
        assert!(journal::is_new(dir.path()).unwrap());
        journal::adopt(&new, found.installation, &found.ledger, None, Time(1)).unwrap();
        assert!(!journal::is_new(dir.path()).unwrap());
        assert_eq!(journal::missing(dir.path()).unwrap(), None);
        let (opened, ledger) = journal::recover(&new, ORDERS_KEPT).unwrap();
        assert_eq!(opened.next_seq, Seq(expected.seq().0 + 1));
        assert_eq!(ledger.durable_hash(), expected.durable_hash());
        drop(opened);

        // The store follows the new journal where the old one ended.
        let mut world = world.moved(dir);
        world.append(200);
        write(&world, &config).await;
        let again = given_back(&config).await.unwrap().expect("a state");
        assert_eq!(again.missing, None);
        let expected = ledger_of(&world).durable_hash();
        assert_eq!(again.ledger.durable_hash(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_lacks_records_says_so_and_its_writer_is_refused() {
    let Some(mut server) = server(&[]) else {
        return;
    };
    let config = StoreConfig {
        image_every: 100,
        ..settings(&server.url())
    };
    let mut world = World::new();
    world.append(500);
    let task = world.project(config.clone());
    world.applied(&task).await;
    let through = ledger_of(&world);
    server.stop(false);
    world.append(77);
    task.finish().await.unwrap_err();
    server.start();
    let found = given_back(&config).await.unwrap().expect("a state");
    assert!(found.missing.is_some());
    assert_eq!(found.ledger.durable_hash(), through.durable_hash());

    let dir = tempfile::tempdir().unwrap();
    let new = JournalConfig::new(dir.path());
    journal::adopt(&new, found.installation, &found.ledger, Some(3), Time(1)).unwrap();
    assert_eq!(journal::missing(dir.path()).unwrap(), Some(3));
    journal::missing_is_told(dir.path()).unwrap();
    assert_eq!(journal::missing(dir.path()).unwrap(), None);

    // Nobody takes the state of a host that is there, even if it has nothing to write.
    let old = world.project(config.clone());
    world.applied(&old).await;
    let error = given_back(&config).await.unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    // One that only seemed to be gone is refused when it comes back.
    server.signal("STOP");
    old.down().await;
    let hurried = StoreConfig {
        gone_after: Duration::ZERO,
        ..config
    };
    let taking = tokio::spawn(async move { given_back(&hurried).await });
    server.signal("CONT");
    taking.await.unwrap().unwrap().expect("a state");
    world.append(10);
    let error = old.result().await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
}

/// The error of a state that is not whole, in words.
async fn broken(
    server: &Server,
    config: &StoreConfig,
    what: &'static str,
    args: &[&str],
) -> String {
    server.client().await.command(what, args).await;
    match given_back(config).await {
        Err(error @ StoreError::Broken { .. }) => error.to_string(),
        other => panic!("{what} {args:?}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_not_whole_is_never_taken_for_one() {
    let Some(mut server) = server(&[]) else {
        return;
    };
    let config = StoreConfig {
        image_every: 1_000_000,
        ..settings(&server.url())
    };
    let mut world = World::new();
    world.append(10);
    write(&world, &config).await;
    world.append(400);
    write(&world, &config).await;
    let (meta, events) = ("hean:{default}:meta", "hean:{default}:events");
    let image = "hean:{default}:image";
    let text = broken(&server, &config, "XDEL", &[events, "200-0"]).await;
    assert!(text.contains("lacks record 200"), "{text}");
    let text = broken(&server, &config, "SETRANGE", &[image, "100", "x"]).await;
    assert!(text.contains("image"), "{text}");
    let text = broken(&server, &config, "DEL", &[image]).await;
    assert!(text.contains("no image"), "{text}");
    let text = broken(&server, &config, "HSET", &[meta, "rebuild", "3"]).await;
    assert!(text.contains("interrupted"), "{text}");
    server.stop(true);
    let quick = StoreConfig {
        command_timeout: Duration::from_millis(50),
        ..config
    };
    let error = given_back(&quick).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
}
