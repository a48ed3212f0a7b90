//! Settings of the projection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::error::StoreError;

/// Where and how to write.
#[derive(Clone)]
pub struct StoreConfig {
    /// `redis://[user:password@]host:port[/db]`, or `rediss://` for TLS; `redis-cluster://` and `rediss-cluster://` with
    /// any node of a cluster. Never logged.
    pub url: String,
    /// TLS settings of `rediss://`; `None` trusts the built-in roots.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// First part of every key.
    pub prefix: String,
    /// The account, which is the hash tag of every key.
    pub account: String,
    /// Ended orders that are kept: must be what the kernel keeps.
    pub orders_kept: usize,
    /// Records in one script call at most.
    pub batch_records_max: usize,
    /// Bytes of events in one script call, about.
    pub batch_bytes_max: usize,
    /// Events that the stream keeps, about; `None` is all of them.
    pub stream_max: Option<u64>,
    /// An image of the state is written after this many records, or half of `stream_max`.
    pub image_every: u64,
    /// The state's hash is written after this many records.
    pub hash_every: u64,
    /// How long a command may take.
    pub command_timeout: Duration,
    /// Longest pause between attempts.
    pub retry_max: Duration,
    /// How often to look at an idle server.
    pub idle_check: Duration,
    /// A writer that was silent for so long is gone: another host may take its state. At least some `idle_check`s.
    pub gone_after: Duration,
    /// How long to catch up at shutdown.
    pub drain: Duration,
}

impl StoreConfig {
    /// The defaults, for the server at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tls: None,
            prefix: "hean".to_owned(),
            account: "default".to_owned(),
            orders_kept: 10_000,
            batch_records_max: 1_024,
            batch_bytes_max: 1 << 20,
            stream_max: Some(1_000_000),
            image_every: 100_000,
            hash_every: 1_024,
            command_timeout: Duration::from_secs(5),
            retry_max: Duration::from_secs(5),
            idle_check: Duration::from_secs(5),
            gone_after: Duration::from_secs(15),
            drain: Duration::from_secs(5),
        }
    }

    /// Whether every setting makes sense.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let bad = |key, hint: &str| {
            let hint = hint.to_owned();
            Err(StoreError::Config { key, hint })
        };
        let plain = |name: &str| {
            !name.is_empty()
                && !name.contains(['{', '}', '*', '?', '['])
                && !name.contains(char::is_control)
        };
        if !plain(&self.prefix) {
            return bad("prefix", "must be a word without braces and wildcards");
        }
        if !plain(&self.account) {
            return bad("account", "must be a word without braces and wildcards");
        }
        if !(1..=10_000).contains(&self.batch_records_max) {
            return bad("batch_records_max", "1 to 10000 records");
        }
        if !(1..=64 << 20).contains(&self.batch_bytes_max) {
            return bad("batch_bytes_max", "1 byte to 64 MiB");
        }
        if self.command_timeout.is_zero() || self.idle_check.is_zero() {
            return bad("command_timeout, idle_check", "more than zero");
        }
        Ok(())
    }
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("url", &"(hidden)")
            .field("prefix", &self.prefix)
            .field("account", &self.account)
            .field("orders_kept", &self.orders_kept)
            .field("batch_records_max", &self.batch_records_max)
            .field("batch_bytes_max", &self.batch_bytes_max)
            .field("stream_max", &self.stream_max)
            .field("command_timeout", &self.command_timeout)
            .finish_non_exhaustive()
    }
}
