//! The store's server: does it answer, what is it, and do its settings keep what is written there.

use std::time::Duration;

use super::Report;
use crate::config::StoreUrl;
use crate::store::wire::{Address, Connection, Peer, Reply, WireError};
use crate::venue::net::Net;

/// What is asked of the server's configuration: setting, whether a value will do, what is wrong with
/// others, what to do.
type Setting = (&'static str, fn(&str) -> bool, &'static str, &'static str);

const SETTINGS: [Setting; 4] = [
    (
        "maxmemory-policy",
        |value| value == "noeviction",
        "throws keys away when memory is full",
        "maxmemory-policy noeviction",
    ),
    (
        "appendonly",
        |value| value == "yes",
        "a crash of the server loses what came after its last snapshot",
        "appendonly yes",
    ),
    (
        "maxmemory",
        |value| value != "0",
        "no limit: it takes memory until the system kills it",
        "maxmemory 2gb",
    ),
    (
        "save",
        |value| !value.is_empty(),
        "no snapshots: a comment behind the values of `save` switches them off, too",
        "save 900 1 300 100 60 10000",
    ),
];

/// Connects and looks.
pub(super) async fn check(report: &mut Report, url: &StoreUrl, net: Net, patience: Duration) {
    let address = match Address::parse(url.expose()) {
        Ok(address) => address,
        Err(error) => {
            return report.fail(
                "store",
                "keydb",
                error,
                "redis://[user:password@]host:port[/db]",
            );
        }
    };
    let peer = Peer::new(net, address);
    let name = peer.name().to_owned();
    let mut connection = match tokio::time::timeout(patience, peer.connect()).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            let fix = match error {
                WireError::Denied { .. } | WireError::Refused { .. } => {
                    "correct user and password in store.url, or the server's users (ACL LIST)"
                }
                _ => "start it, or correct store.url",
            };
            return report.fail("store", name, error.to_string(), fix);
        }
        Err(_) => {
            let found = format!("no answer within {} ms", patience.as_millis());
            return report.fail("store", name, found, "start it, or correct store.url");
        }
    };
    let looked = tokio::time::timeout(patience, look(report, &name, &mut connection));
    if looked.await.is_err() {
        report.fail(
            "store",
            name,
            "it stopped answering",
            "see the server's log",
        );
    }
}

async fn look(report: &mut Report, name: &str, connection: &mut Connection) {
    match connection.facts().await {
        Ok(facts) if is_old(&facts.version) => report.fail(
            "store",
            name,
            format!("version {}", facts.version),
            "Redis 6.2, KeyDB 6.3 or Valkey, or later",
        ),
        Ok(facts) => report.ok("store", name, format!("version {}", facts.version)),
        Err(error) => {
            return report.fail("store", name, error.to_string(), "check user and password");
        }
    }
    for (setting, will_do, wrong, fix) in SETTINGS {
        let reply = connection
            .ask(&[b"CONFIG", b"GET", setting.as_bytes()])
            .await;
        match reply.ok().and_then(value) {
            Some(value) if will_do(&value) => report.ok("store", setting, value),
            Some(value) => report.warn("store", setting, format!("{value:?}: {wrong}"), fix),
            None => report.warn(
                "store",
                setting,
                "the server does not tell",
                "let this user run CONFIG GET, or look yourself",
            ),
        }
    }
}

/// The second of a name and its value.
fn value(reply: Reply) -> Option<String> {
    let Reply::Array(mut pair) = reply else {
        return None;
    };
    let value = pair.pop()?.bytes()?;
    (pair.len() == 1).then(|| String::from_utf8_lossy(&value).into_owned())
}

/// Streams with MINID and scripts as they are needed came with 6.2; KeyDB 6.3 has them.
fn is_old(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) < (6, 2),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_are_told_from_new_ones() {
        for (version, old) in [
            ("6.0.16", true),
            ("5.0.3", true),
            ("6.2.0", false),
            ("7.2.4", false),
            ("x", false),
        ] {
            assert_eq!(is_old(version), old, "{version}");
        }
    }
}
