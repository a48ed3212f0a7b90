//! A cluster of two real nodes: the account's keys are on one of them, and any node leads there.

use std::time::Duration;

use fred::types::Value;

use crate::store_support::{Looker, Server, World, server, settings};
use crate::verify;

/// Slots of a cluster.
const SLOTS: u32 = 16_384;

fn node() -> Option<Server> {
    // The port between nodes must be free as well; the usual one may be above 65535.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    let port = free.expect("port").port().to_string();
    server(&["--cluster-enabled", "yes", "--cluster-port", &port])
}

/// What a command answers, as text.
async fn ask(node: &Looker, args: &[&str]) -> String {
    match node.command("CLUSTER", args).await {
        Value::Integer(number) => number.to_string(),
        text => text.as_string().expect("text"),
    }
}

/// Two nodes with half of the slots each, the one with the account's slot first; `None` without redis-server.
async fn cluster() -> Option<(Server, Server)> {
    let (one, two) = (node()?, node()?);
    let (first, second) = (one.client().await, two.client().await);
    let half = (SLOTS / 2).to_string();
    ask(
        &first,
        &["ADDSLOTSRANGE", "0", &(SLOTS / 2 - 1).to_string()],
    )
    .await;
    ask(&second, &["ADDSLOTSRANGE", &half, &(SLOTS - 1).to_string()]).await;
    let port = two.port().to_string();
    let bus = two.setting("--cluster-port");
    ask(&first, &["MEET", "127.0.0.1", &port, &bus]).await;
    let mut look = tokio::time::interval(Duration::from_millis(20));
    let joined = async {
        for node in [&first, &second] {
            while !ask(node, &["INFO"]).await.contains("cluster_state:ok")
                || !ask(node, &["INFO"]).await.contains("cluster_size:2")
            {
                look.tick().await;
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), joined)
        .await
        .expect("the nodes do not find each other");
    let slot = ask(&first, &["KEYSLOT", "hean:{default}:meta"]).await;
    let is_first = slot.parse::<u32>().expect("a slot") < SLOTS / 2;
    Some(if is_first { (one, two) } else { (two, one) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_of_a_cluster_leads_to_the_accounts_keys() {
    let Some((owner, other)) = cluster().await else {
        return;
    };
    let mut world = World::new();
    for seed in [&other, &owner] {
        world.append(1_000);
        let url = format!("redis-cluster://store.test:{}", seed.port());
        let task = world.project(settings(&url));
        world.applied(&task).await;
        // A node that knows no scripts any more.
        owner.client().await.command("SCRIPT", &["FLUSH"]).await;
        world.append(500);
        world.applied(&task).await;
        verify(&world, &owner, 1).await;
        let restored = task.finish().await;
        restored.unwrap();
    }
    assert!(other.client().await.keys("*").await.is_empty());
    // A node that ends and comes back is waited for.
    let (mut owner, other) = (owner, other);
    let url = format!("redis-cluster://store.test:{}", other.port());
    let task = world.project(settings(&url));
    world.append(100);
    world.applied(&task).await;
    owner.stop(false);
    world.append(500);
    task.down().await;
    owner.start();
    world.caught_up(&task).await;
    verify(&world, &owner, 1).await;
    task.finish().await.unwrap();
}
