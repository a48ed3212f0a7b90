//! The task that writes the journal into the store.
//!
//! A session begins with taking the fence and comparing watermarks, and ends with the first trouble.
//! Whatever happened (a lost answer, an outage, an emptied or rolled-back server), the next session
//! finds out by the watermark what to write next, and the script sees to it that nothing is written
//! twice or left out.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fred::types::{Resolve, Value};
use tokio::sync::watch;

use super::StoreConfig;
use super::client::{Client, Scripts, alarm};
use super::error::StoreError;
use super::keys::Keys;
use super::projection::{Batch, text};
use super::rebuild::Attempt;
use super::replica::Replica;
use crate::kernel::event::Seq;
use crate::runtime::clock::Clock;
use crate::status::StoreStatus;

/// Version of what is written and of the state's hash. Another one in the store: it is written anew.
const LAYOUT: u32 = 2;
/// First pause after trouble; doubled each time, up to the configured longest.
const RETRY_MIN: Duration = Duration::from_millis(20);
/// Batches in memory: one is on its way, and the next one is made meanwhile.
const MADE_MAX: usize = 2;

/// Why a session ended.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The server, or the way to it.
    Server(fred::error::Error),
    /// The store is not where we thought: look again.
    Resynchronise(&'static str),
    /// The store's stream is ahead of its watermark: its content is not ours any more.
    Rebuild,
    /// Beyond repair.
    Fatal(StoreError),
}

impl From<fred::error::Error> for Trouble {
    fn from(error: fred::error::Error) -> Self {
        Self::Server(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Fatal(error)
    }
}

/// Follows the journal in `journal_dir` and writes it into the store until `shutdown` turns true and
/// everything is written, or the drain time is over. `durable` is the journal's watermark. Ends
/// early only with an error that needs an operator.
pub async fn run(
    config: StoreConfig,
    journal_dir: PathBuf,
    durable: watch::Receiver<Seq>,
    status: Arc<StoreStatus>,
    resolver: Arc<dyn Resolve>,
    clock: Clock,
    shutdown: watch::Receiver<bool>,
) -> Result<(), StoreError> {
    config.check()?;
    let keys = Keys::new(&config.prefix, &config.account);
    let client = Client::start(&config, resolver).await?;
    let (drain, patience) = (config.drain, config.command_timeout);
    let mut task = Task {
        schema: format!("{LAYOUT}:{}", config.orders_kept),
        replica: Replica::new(journal_dir, keys.clone(), config.clone()),
        keys,
        durable,
        status,
        clock,
        shutdown: shutdown.clone(),
        client,
        scripts: Scripts::new(),
        fence: 0,
        made: VecDeque::new(),
        rebuild: false,
        imaged: None,
        settings_seen: false,
        config,
    };
    let result = tokio::select! {
        result = task.work() => result,
        () = over(shutdown, drain) => Err(StoreError::NotDrained { lag: task.lag() }),
    };
    task.status.up.store(false, Ordering::Relaxed);
    task.client.quit(patience.min(Duration::from_secs(1))).await;
    result
}

/// Ends `drain` after shutdown began.
async fn over(mut shutdown: watch::Receiver<bool>, drain: Duration) {
    began(&mut shutdown).await;
    tokio::time::sleep(drain).await;
}

/// Ends when shutdown begins; never if nobody can begin it any more.
async fn began(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|begun| *begun).await.is_err() {
        std::future::pending::<()>().await;
    }
}

struct Task {
    config: StoreConfig,
    schema: String,
    keys: Keys,
    durable: watch::Receiver<Seq>,
    status: Arc<StoreStatus>,
    clock: Clock,
    shutdown: watch::Receiver<bool>,
    client: Client,
    scripts: Scripts,
    /// Ours; 0 before the first was taken.
    fence: u64,
    /// Where the journal is read.
    replica: Replica,
    /// Batches up to where the replica is, oldest first, whose answers have not come: the store may have the first of
    /// them or not. At most `MADE_MAX`.
    made: VecDeque<Batch>,
    /// The store's content is to be replaced.
    rebuild: bool,
    /// The last record in the store's image.
    imaged: Option<Seq>,
    /// Whether the server's configuration was looked at.
    settings_seen: bool,
}

impl Task {
    /// Sessions, with pauses between them.
    async fn work(&mut self) -> Result<(), StoreError> {
        let mut pause = RETRY_MIN;
        loop {
            let applied = self.status.applied();
            let trouble = match self.session().await {
                Ok(()) => return Ok(()),
                Err(Trouble::Fatal(error)) => {
                    tracing::error!(%error, "the store is not written any more");
                    return Err(error);
                }
                Err(trouble) => trouble,
            };
            if self.status.applied() != applied {
                pause = RETRY_MIN;
            }
            if *self.shutdown.borrow() && self.fence > 0 && self.lag() == 0 {
                return Ok(());
            }
            self.report(&trouble);
            self.client.ensure_running();
            let jitter = u32::try_from(self.clock.now().0.rem_euclid(256)).unwrap_or(0);
            let wait = pause + pause * jitter / 512;
            pause = (pause * 2).min(self.config.retry_max);
            tokio::time::sleep(wait).await;
        }
    }

    fn report(&mut self, trouble: &Trouble) {
        let lag = self.lag();
        match trouble {
            Trouble::Server(error) => {
                let was_up = self.status.up.swap(false, Ordering::Relaxed);
                self.status.retries.fetch_add(1, Ordering::Relaxed);
                if let Some(advice) = alarm(error) {
                    tracing::error!(error = error.details(), lag, "{advice}");
                } else if was_up {
                    tracing::warn!(
                        error = error.details(),
                        lag,
                        "the store does not answer; the journal keeps everything, trying again"
                    );
                }
            }
            Trouble::Resynchronise(why) => {
                self.status.retries.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(why, lag, "comparing with the store again");
            }
            Trouble::Rebuild => {
                self.rebuild = true;
                self.status.retries.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    "the store's stream holds entries that are not ours; writing it anew"
                );
            }
            Trouble::Fatal(_) => {}
        }
    }

    /// Records that are durable and not in the store.
    fn lag(&self) -> u64 {
        let durable = self.durable.borrow().0;
        durable.saturating_sub(self.status.applied().0)
    }

    /// From taking the fence to the first trouble; `Ok` when everything is written at shutdown.
    async fn session(&mut self) -> Result<(), Trouble> {
        if self.replica.is_lost() {
            self.made.clear();
        }
        let store = self.acquire().await?;
        self.status.up.store(true, Ordering::Relaxed);
        self.look_at_settings().await;
        let joined = match store.watermark {
            Some(watermark)
                if !self.rebuild && !store.rebuilding && store.schema == self.schema =>
            {
                self.join(Seq(watermark), &store).await?
            }
            _ => false,
        };
        if !joined {
            self.rebuild(store.watermark.is_some()).await?;
        }
        self.imaged = store.image.filter(|_| joined);
        loop {
            self.image_if_due().await?;
            while self.make_batch().await? {
                self.send().await?;
                self.image_if_due().await?;
            }
            if *self.shutdown.borrow() {
                return self.close().await;
            }
            self.idle().await?;
        }
    }

    /// Takes the fence and learns where the store is.
    async fn acquire(&mut self) -> Result<Store, Trouble> {
        let ours = self.replica.installation().await?.to_string();
        let durable = *self.durable.borrow();
        let args = [self.fence.to_string(), ours.clone(), durable.0.to_string()].map(text);
        let keys = vec![self.keys.meta()];
        let script = &mut self.scripts.acquire;
        let answer = self.client.run(script, keys, args.into()).await?;
        let wrong = || StoreError::Answer(answer.join(" "));
        let [
            word,
            fence,
            found,
            watermark,
            schema,
            hash,
            hash_seq,
            rebuild,
            image_seq,
        ] = answer.as_slice()
        else {
            return Err(wrong().into());
        };
        let keys = self.keys.pattern();
        let error = match word.as_str() {
            "ok" => {
                self.fence = fence.parse().map_err(|_| wrong())?;
                return Ok(Store {
                    watermark: watermark.parse().ok(),
                    schema: schema.clone(),
                    hash: hash_seq.parse().ok().map(|seq| (Seq(seq), hash.clone())),
                    rebuilding: !rebuild.is_empty(),
                    image: image_seq.parse().ok().map(Seq),
                });
            }
            "foreign" => StoreError::Foreign {
                keys,
                found: found.clone(),
                ours,
            },
            "fenced" => StoreError::Fenced {
                current: fence.parse().map_err(|_| wrong())?,
                ours: self.fence,
            },
            "ahead" => StoreError::Ahead {
                keys,
                watermark: watermark.parse().map_err(|_| wrong())?,
                durable: durable.0,
            },
            _ => wrong(),
        };
        Err(error.into())
    }

    /// Says what is unsafe about the server's configuration, once.
    async fn look_at_settings(&mut self) {
        if std::mem::replace(&mut self.settings_seen, true) {
            return;
        }
        let setting = |name| self.client.setting(name);
        if let Some(policy) = setting("maxmemory-policy").await
            && policy != "noeviction"
        {
            tracing::warn!(
                policy,
                "the store may throw keys away: set maxmemory-policy noeviction"
            );
        }
        if setting("appendonly").await.as_deref() == Some("no") {
            tracing::warn!("the store forgets on a restart: set appendonly yes");
        }
    }

    /// Brings the replica to the store's watermark, and checks that they are of one history. `false` if the
    /// journal no longer holds what follows the watermark.
    async fn join(&mut self, watermark: Seq, store: &Store) -> Result<bool, Trouble> {
        self.status.set_applied(watermark);
        // What has arrived all the same, and what follows it.
        self.made.retain(|batch| batch.last > watermark);
        if let Some(next) = self.made.front()
            && next.first.0 == watermark.0 + 1
        {
            return Ok(true);
        }
        self.made.clear();
        if !self.replica.is_lost() && self.replica.position() == watermark {
            return Ok(true);
        }
        let hashed = store.hash.clone().filter(|(seq, _)| *seq <= watermark);
        if self.replica.is_lost() || self.replica.position() > watermark {
            if !self.replica.is_lost() {
                tracing::warn!(
                    watermark = watermark.0,
                    "the store has gone back: writing on from there"
                );
            }
            // From where the states can be compared, if that is still there.
            let compared = hashed.as_ref().map_or(watermark, |(seq, _)| *seq);
            self.replica.open(compared).await?;
            if self.replica.position() > watermark {
                tracing::warn!(
                    watermark = watermark.0,
                    oldest = self.replica.position().0,
                    "the journal no longer holds the records that the store lacks"
                );
                return Ok(false);
            }
        }
        if let Some((seq, hash)) = hashed
            && seq >= self.replica.position()
        {
            self.forward(seq).await?;
            let ours = self
                .replica
                .blocking(|p| Ok(format!("{:016x}", p.ledger().durable_hash())))
                .await?;
            if ours != hash {
                let (keys, seq) = (self.keys.pattern(), seq.0);
                return Err(StoreError::Diverged { keys, seq }.into());
            }
        }
        self.forward(watermark).await?;
        Ok(true)
    }

    /// Writes the complete state, as it was where the stream shall begin, or as early after that as the journal
    /// goes back.
    async fn rebuild(&mut self, had_content: bool) -> Result<(), Trouble> {
        self.made.clear();
        let durable = *self.durable.borrow();
        let begin = Seq(self
            .config
            .stream_max
            .map_or(0, |max| durable.0.saturating_sub(max)));
        if self.replica.is_lost() || self.replica.position() > begin {
            self.replica.open(begin).await?;
        }
        self.forward(begin).await?;
        let begin = self.replica.position();
        tracing::warn!(
            had_content,
            from = begin.0 + 1,
            through = durable.0,
            "writing the complete state into the store"
        );
        let Some(projection) = self.replica.projection() else {
            return Err(Trouble::Resynchronise("no replica"));
        };
        let attempt = Attempt {
            client: &self.client,
            scripts: &mut self.scripts,
            projection,
            fence: self.fence,
            step: 0,
        };
        attempt.run(&self.schema).await?;
        self.rebuild = false;
        self.status.set_applied(begin);
        Ok(())
    }

    async fn forward(&mut self, to: Seq) -> Result<(), Trouble> {
        let durable = *self.durable.borrow();
        self.replica.blocking(move |p| p.forward(to, durable)).await
    }

    /// Makes the next batch, unless one is there; `false` if there is nothing to write.
    async fn make_batch(&mut self) -> Result<bool, Trouble> {
        if self.made.is_empty() {
            let durable = *self.durable.borrow_and_update();
            self.made.extend(self.replica.next_batch(durable).await?);
        }
        Ok(!self.made.is_empty())
    }

    /// Sends the oldest batch and waits for the answer. Meanwhile the next one is made, unless an image of the state
    /// is due between them.
    async fn send(&mut self) -> Result<(), Trouble> {
        let batch = self.made.front().expect("a batch was made");
        let (keys, args, last) = (batch.keys.clone(), batch.args(self.fence), batch.last);
        let is_room = self.made.len() < MADE_MAX && !self.is_image_due(last);
        let durable = *self.durable.borrow_and_update();
        let replica = &mut self.replica;
        let next = async {
            if is_room {
                replica.next_batch(durable).await
            } else {
                Ok(None)
            }
        };
        let answer = self.client.run(&mut self.scripts.batch, keys, args);
        let (answer, next) = tokio::join!(answer, next);
        let next = next.map(|batch| self.made.extend(batch));
        let answer = answer?;
        match answer.first().map(String::as_str) {
            Some("applied" | "already") => {
                self.made.pop_front();
                self.status.set_applied(last);
                self.status.up.store(true, Ordering::Relaxed);
                next
            }
            Some("stream") => Err(Trouble::Rebuild),
            Some("fence") => Err(Trouble::Resynchronise("the store has another fence")),
            Some("empty") => Err(Trouble::Resynchronise("the store was emptied")),
            Some("hole") => Err(Trouble::Resynchronise("the store has another watermark")),
            _ => Err(StoreError::Answer(answer.join(" ")).into()),
        }
    }

    /// Whether an image of the state after `seq` is to be written.
    fn is_image_due(&self, seq: Seq) -> bool {
        let every = self.config.stream_max.map_or(u64::MAX, |max| max / 2);
        let every = every.min(self.config.image_every).max(1);
        self.imaged
            .is_none_or(|last| seq.0 >= last.0.saturating_add(every))
    }

    /// Writes an image of the state where the store is, when enough came since the last one and nothing is made
    /// beyond it.
    async fn image_if_due(&mut self) -> Result<(), Trouble> {
        let seq = self.status.applied();
        if !self.made.is_empty() || !self.is_image_due(seq) {
            return Ok(());
        }
        assert_eq!(seq, self.replica.position(), "an image of another state");
        let taken = self.clock.now();
        let bytes = self.replica.blocking(move |p| p.image(taken)).await?;
        let args = vec![
            text(self.fence.to_string()),
            text(seq.0.to_string()),
            Value::Bytes(bytes.into()),
        ];
        let script = &mut self.scripts.image;
        let answer = self.client.run(script, self.keys.fixed(), args).await?;
        match answer.first().map(String::as_str) {
            Some("applied") => {
                self.imaged = Some(seq);
                Ok(())
            }
            Some("fence" | "empty" | "hole") => {
                Err(Trouble::Resynchronise("the store changed under an image"))
            }
            _ => Err(StoreError::Answer(answer.join(" ")).into()),
        }
    }

    /// Leaves a word that nothing is missing here. A store without it may lack the journal's last records.
    async fn close(&mut self) -> Result<(), Trouble> {
        let last = self.status.applied().0.to_string();
        let args = [self.fence.to_string(), last].map(text);
        let script = &mut self.scripts.close;
        let answer = self
            .client
            .run(script, vec![self.keys.meta()], args.into())
            .await?;
        if answer.first().is_none_or(|word| word != "closed") {
            tracing::warn!("the store was taken over or changed at the end");
        }
        Ok(())
    }

    /// Waits for records, for shutdown, or until it is time to see whether the server is still there
    /// and still ours.
    async fn idle(&mut self) -> Result<(), Trouble> {
        let (applied, written) = (self.status.applied(), self.replica.position());
        assert_eq!(applied, written, "idle with records to write");
        let more = async {
            if self.durable.wait_for(|d| *d > applied).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = more => return Ok(()),
            () = began(&mut self.shutdown) => return Ok(()),
            () = tokio::time::sleep(self.config.idle_check) => {}
        }
        // A batch of records that are there already: answered without writing anything.
        let mut args = vec![text(self.fence.to_string())];
        args.extend(["1", "0", "0", "", "0"].map(|a| text(a.to_owned())));
        let script = &mut self.scripts.batch;
        let answer = self.client.run(script, self.keys.fixed(), args).await?;
        let watermark = answer.get(2).and_then(|w| w.parse().ok());
        if answer.first().is_some_and(|word| word == "already") && watermark == Some(applied.0) {
            return Ok(());
        }
        Err(Trouble::Resynchronise("the idle store has changed"))
    }
}

/// What `acquire.lua` tells.
struct Store {
    watermark: Option<u64>,
    schema: String,
    /// A sequence and the state's hash after it.
    hash: Option<(Seq, String)>,
    rebuilding: bool,
    /// The last record in the image, if there is one.
    image: Option<Seq>,
}
