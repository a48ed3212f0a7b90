//! The connection: a fred client that never repeats a command by itself, and our scripts on it.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client as Fred;
use fred::prelude::{ClientLike as _, ErrorKind, LuaInterface as _};
use fred::types::config::{Config, ReconnectPolicy, TlsConnector, UnresponsiveConfig};
use fred::types::{Builder, ClusterHash, ConnectHandle, CustomCommand, Key, Resolve, Value};
use tokio_rustls::TlsConnector as Rustls;

use super::StoreConfig;
use super::error::StoreError;

/// Commands that may wait in the client: the task sends one at a time.
const BUFFERED_MAX: usize = 16;
/// First pause before connecting again, in milliseconds.
const RECONNECT_MS_MIN: u32 = 50;
/// Random part of that pause, so that many processes do not come back at once.
const RECONNECT_JITTER_MS: u32 = 100;

/// A script, and its name on the server once it is loaded there.
#[derive(Debug)]
pub(crate) struct Script {
    source: &'static str,
    sha: Option<String>,
}

/// The scripts.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) acquire: Script,
    pub(crate) batch: Script,
    pub(crate) rebuild: Script,
    pub(crate) image: Script,
    pub(crate) close: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        let script = |source| Script { source, sha: None };
        Self {
            acquire: script(include_str!("scripts/acquire.lua")),
            batch: script(concat!(
                include_str!("scripts/write.lua"),
                include_str!("scripts/batch.lua")
            )),
            rebuild: script(concat!(
                include_str!("scripts/write.lua"),
                include_str!("scripts/rebuild.lua")
            )),
            image: script(include_str!("scripts/image.lua")),
            close: script(include_str!("scripts/close.lua")),
        }
    }
}

/// The connection to one server.
pub(crate) struct Client {
    fred: Fred,
    connection: ConnectHandle,
}

impl Client {
    /// Starts connecting; commands wait for the connection up to their timeout.
    pub(crate) async fn start(
        config: &StoreConfig,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, StoreError> {
        let invalid = |error: fred::error::Error| StoreError::Config {
            key: "url",
            hint: format!(
                "write redis://[user:password@]host:port[/db], or rediss:// for TLS, or redis-cluster:// with any \
                 node ({})",
                error.details()
            ),
        };
        let timeout = config.command_timeout;
        let mut builder = Builder::from_config(server(config).map_err(invalid)?);
        builder
            .with_performance_config(|c| c.default_command_timeout = timeout)
            .with_connection_config(|c| {
                c.connection_timeout = timeout;
                c.internal_command_timeout = timeout;
                // A repeated write may be applied twice; whether to repeat is decided by watermark.
                c.max_command_attempts = 1;
                c.max_command_buffer_len = BUFFERED_MAX;
                c.reconnect_on_auth_error = true;
                c.tcp.nodelay = Some(true);
                // A peer that vanished without a word: connect anew.
                c.unresponsive = UnresponsiveConfig {
                    max_timeout: Some(timeout.saturating_mul(2)),
                    interval: timeout / 2,
                };
            })
            .set_policy(reconnect_policy(config.retry_max));
        let fred = builder.build().map_err(invalid)?;
        fred.set_resolver(resolver).await;
        let connection = fred.connect();
        Ok(Self { fred, connection })
    }

    /// Connects again if the client gave up, which it does after a few kinds of errors.
    pub(crate) fn ensure_running(&mut self) {
        if self.connection.is_finished() {
            self.connection = self.fred.connect();
        }
    }

    /// Runs a script by its hash, and in full where the server does not know it: another node of a cluster, or one that
    /// has forgotten its scripts. The answer is a list of texts.
    pub(crate) async fn run(
        &self,
        script: &mut Script,
        keys: Vec<Key>,
        args: Vec<Value>,
    ) -> Result<Vec<String>, fred::error::Error> {
        let sha = match script.sha.clone() {
            Some(known) => known,
            None => self.fred.script_load(script.source).await?,
        };
        script.sha = Some(sha.clone());
        match self.fred.evalsha(sha, keys.clone(), args.clone()).await {
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                self.fred.eval(script.source, keys, args).await
            }
            answer => answer,
        }
    }

    /// The connection itself, for what is no script.
    pub(crate) fn fred(&self) -> &Fred {
        &self.fred
    }

    /// A setting of the server, if it tells.
    pub(crate) async fn setting(&self, name: &'static str) -> Option<String> {
        let command = CustomCommand::new_static("CONFIG", ClusterHash::FirstKey, false);
        let answer: Result<Vec<String>, _> = self.fred.custom(command, vec!["GET", name]).await;
        answer.ok()?.into_iter().nth(1)
    }

    /// Says goodbye, if that takes no longer than `patience`.
    pub(crate) async fn quit(self, patience: Duration) {
        if tokio::time::timeout(patience, self.fred.quit())
            .await
            .is_err()
        {
            tracing::debug!("the store did not say goodbye in time");
        }
        self.connection.abort();
    }
}

/// Whether an operator must act before the server takes writes again.
pub(crate) fn alarm(error: &fred::error::Error) -> Option<&'static str> {
    let mut words = error.details().split_whitespace();
    let first = words.next().and_then(advice);
    // Servers of the 6th line put the script and its line before the word.
    let known = first.or_else(|| words.find_map(|word| advice(word.strip_prefix('-')?)));
    known.or_else(|| (*error.kind() == ErrorKind::Auth).then_some(PASSWORD))
}

const PASSWORD: &str = "the store refuses the password: check URL and credentials";

fn advice(word: &str) -> Option<&'static str> {
    Some(match word {
        "OOM" => {
            "the store is full: raise its maxmemory (policy noeviction) or free memory; nothing is \
             lost, the journal keeps it"
        }
        "READONLY" => "the store is a read-only replica: name its master in the URL",
        "MISCONF" => "the store cannot save to its disk: see the server's log",
        "NOPERM" => "the store's user may not run the scripts: give it ~prefix* and +@all",
        "NOAUTH" | "WRONGPASS" => PASSWORD,
        _ => return None,
    })
}

fn server(config: &StoreConfig) -> Result<Config, fred::error::Error> {
    // fred would load the system's certificates, which a container may not have: TLS is set here.
    let (scheme, rest) = config.url.split_once("://").unwrap_or_default();
    let url = format!("redis://{rest}");
    let mut server = if scheme.ends_with("-cluster") {
        Config::from_url_clustered(&url)?
    } else {
        Config::from_url_centralized(&url)?
    };
    if !scheme.starts_with("rediss") {
        return Ok(server);
    }
    let tls = config.tls.clone().map_or_else(built_in_roots, Ok)?;
    server.tls = Some(TlsConnector::Rustls(Rustls::from(tls)).into());
    Ok(server)
}

fn built_in_roots() -> Result<Arc<rustls::ClientConfig>, fred::error::Error> {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| fred::error::Error::new(ErrorKind::Tls, e.to_string()))?;
    Ok(Arc::new(
        config.with_root_certificates(roots).with_no_client_auth(),
    ))
}

fn reconnect_policy(longest: Duration) -> ReconnectPolicy {
    let longest = u32::try_from(longest.as_millis()).unwrap_or(u32::MAX);
    let mut policy = ReconnectPolicy::new_exponential(0, RECONNECT_MS_MIN.min(longest), longest, 2);
    policy.set_jitter(RECONNECT_JITTER_MS.min(longest));
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_must_do_is_found_wherever_the_server_puts_the_word() {
        let alarm =
            |details: &'static str| alarm(&fred::error::Error::new(ErrorKind::Unknown, details));
        let full = alarm("OOM command not allowed when used memory > 'maxmemory'.");
        assert!(full.is_some_and(|advice| advice.contains("maxmemory")));
        assert_eq!(alarm("@user_script: 43: -OOM command not allowed"), full);
        assert!(alarm("READONLY You can't write against a read only replica.").is_some());
        assert_eq!(
            alarm(
                "ERR Error running script (call to f_0): @user_script:5: @user_script: 5: -OOM x"
            ),
            full
        );
        assert!(alarm("ERR the word OOM in a text").is_none());
        assert!(alarm("LOADING Redis is loading the dataset in memory").is_none());
    }
}
