//! Starting from the store: a new data directory takes over what a lost one has left there.
//!
//! The store's image and the events after it are the whole state up to the watermark. Whether the lost journal
//! held more nobody can know, unless its writer ended in order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fred::interfaces::{HashesInterface as _, KeysInterface as _, StreamsInterface as _};
use fred::types::{Resolve, Value};
use serde::Deserialize;

use super::StoreConfig;
use super::client::{Client, Scripts};
use super::error::StoreError;
use super::keys::Keys;
use super::projection::text;
use crate::journal::{self, InstallationId};
use crate::kernel::event::{Record, Seq, Sequenced};
use crate::kernel::ledger::Ledger;
use crate::kernel::types::Time;

/// Events read at once.
const PAGE: u64 = 1_000;
/// Attempts to reach the store, each as long as a command may take.
const ATTEMPTS: u32 = 5;

/// What the store has given back.
#[derive(Debug)]
pub struct Restored {
    /// Whose state it is.
    pub installation: InstallationId,
    /// The state.
    pub ledger: Ledger,
    /// Records that are missing for certain, and whether there may be more: `None` if nothing is missing.
    pub missing: Option<u64>,
}

/// An entry's data.
#[derive(Deserialize)]
struct Data {
    record: Record,
    time_ns: i64,
}

/// The state in the store, for a data directory without a journal; `None` if the store knows nothing of the
/// account. Whoever wrote there until now is refused from here on.
pub async fn restore(
    config: &StoreConfig,
    resolver: Arc<dyn Resolve>,
) -> Result<Option<Restored>, StoreError> {
    let client = Client::start(config, resolver).await?;
    let reader = Reader {
        client: &client,
        keys: Keys::new(&config.prefix, &config.account),
        orders_kept: config.orders_kept,
        gone_after: config.gone_after,
    };
    let result = reader.read().await;
    client.quit(Duration::from_secs(1)).await;
    result
}

struct Reader<'a> {
    client: &'a Client,
    keys: Keys,
    orders_kept: usize,
    gone_after: Duration,
}

impl Reader<'_> {
    async fn read(&self) -> Result<Option<Restored>, StoreError> {
        let before = self.meta().await?;
        let Some(found) = before.get("installation") else {
            return Ok(None);
        };
        let installation = InstallationId::parse(found)
            .ok_or_else(|| self.broken("its installation id is none"))?;
        let closed = before.get("closed").cloned();
        if closed.is_none() {
            self.wait_until_gone(&before).await?;
        }
        self.take_fence(found).await?;
        // Nobody writes any more: this is what stays.
        let meta = self.meta().await?;
        if meta.contains_key("rebuild") {
            return Err(self.broken("its writer was interrupted while it wrote everything anew"));
        }
        let number = |name: &str| meta.get(name).and_then(|n| n.parse::<u64>().ok());
        let Some(watermark) = number("watermark") else {
            return Ok(None);
        };
        let mut ledger = self.image(installation).await?;
        self.apply_events(&mut ledger, Seq(watermark)).await?;
        if number("hash_seq") == Some(watermark) {
            let hash = format!("{:016x}", ledger.durable_hash());
            if meta.get("hash") != Some(&hash) {
                return Err(
                    self.broken("the state that its image and events make has another hash")
                );
            }
        }
        ledger.take_changes();
        let is_whole = closed == Some(watermark.to_string());
        let missing = number("durable").unwrap_or(0).saturating_sub(watermark);
        Ok(Some(Restored {
            installation,
            ledger,
            missing: (!is_whole).then_some(missing),
        }))
    }

    /// Waits until the writer was silent for long enough; an error if it is there.
    async fn wait_until_gone(&self, before: &BTreeMap<String, String>) -> Result<(), StoreError> {
        let seconds = self.gone_after.as_secs_f64();
        tracing::warn!(
            seconds,
            "the store was not closed by its writer: waiting, in case it is still there"
        );
        tokio::time::sleep(self.gone_after).await;
        let now = self.meta().await?;
        let changed = |name| now.get(name) != before.get(name);
        if ["seen", "watermark", "fence"].into_iter().any(changed) {
            return Err(StoreError::InUse {
                keys: self.keys.pattern(),
            });
        }
        Ok(())
    }

    fn broken(&self, why: impl Into<String>) -> StoreError {
        StoreError::Broken {
            keys: self.keys.pattern(),
            why: why.into(),
        }
    }

    async fn meta(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            match self.client.fred().hgetall(self.keys.meta()).await {
                Ok(meta) => return Ok(meta),
                Err(error) => error.details().clone_into(&mut why),
            }
        }
        Err(StoreError::Unreachable { why })
    }

    async fn take_fence(&self, installation: &str) -> Result<(), StoreError> {
        let args = [
            "0".to_owned(),
            installation.to_owned(),
            u64::MAX.to_string(),
        ]
        .map(text);
        let mut scripts = Scripts::new();
        let answer = self
            .client
            .run(&mut scripts.acquire, vec![self.keys.meta()], args.into())
            .await
            .map_err(|e| unreachable(&e))?;
        match answer.first().map(String::as_str) {
            Some("ok") => Ok(()),
            _ => Err(StoreError::Answer(answer.join(" "))),
        }
    }

    async fn image(&self, installation: InstallationId) -> Result<Ledger, StoreError> {
        let image: Value = self
            .client
            .fred()
            .get(self.keys.image())
            .await
            .map_err(|e| unreachable(&e))?;
        let image = image
            .into_owned_bytes()
            .ok_or_else(|| self.broken("it has no image of the state"))?;
        let (whose, ledger) = journal::read_snapshot(&image, self.orders_kept)
            .map_err(|fault| self.broken(format!("of its image: {fault}")))?;
        if whose != installation {
            return Err(self.broken(format!("its image belongs to installation {whose}")));
        }
        Ok(ledger)
    }

    async fn apply_events(&self, ledger: &mut Ledger, through: Seq) -> Result<(), StoreError> {
        while ledger.seq() < through {
            let next = ledger.seq().0.saturating_add(1);
            let (from, to) = (format!("{next}-0"), format!("{}-0", through.0));
            let page: Vec<(String, HashMap<String, String>)> = self
                .client
                .fred()
                .xrange_values(self.keys.events(), from, to, Some(PAGE))
                .await
                .map_err(|e| unreachable(&e))?;
            if page.is_empty() {
                return Err(self.broken(format!("its stream lacks record {next}")));
            }
            for (id, fields) in page {
                let expected = ledger.seq().0.saturating_add(1);
                if id != format!("{expected}-0") {
                    return Err(self.broken(format!("its stream lacks record {expected}")));
                }
                let data = fields.get("data").map_or("", String::as_str);
                let data: Data = serde_json::from_str(data)
                    .map_err(|e| self.broken(format!("record {expected} is not readable: {e}")))?;
                ledger
                    .apply(&Sequenced {
                        seq: Seq(expected),
                        time: Time(data.time_ns),
                        record: data.record,
                    })
                    .map_err(|e| self.broken(e.to_string()))?;
            }
        }
        Ok(())
    }
}

fn unreachable(error: &fred::error::Error) -> StoreError {
    StoreError::Unreachable {
        why: error.details().to_owned(),
    }
}
