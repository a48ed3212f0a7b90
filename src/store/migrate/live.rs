//! A migration that follows: copy, then copy again whatever changes, until a signal says that writers
//! have moved on; then all that is left, and a comparison of everything.
//!
//! One task writes to the target, so an older value never overtakes a newer one.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::compare::{Closeness, Pass, What};
use super::copy::{self, Job};
use super::error::ToolError;
use super::notices::{Barrier, Dirty, Listener};
use super::pair::{Key, Pair, Tally};
use super::progress::Progress;
use super::selection::Selection;
use super::state::State;
use super::{Options, Report};
use crate::runtime::clock::wall;
use crate::store::wire::WireError;
use crate::venue::backoff::Backoff;

/// Changed keys that are copied at once.
const BATCH: usize = 1_000;
/// Comparisons at the end before a source that will not rest is given up.
const PASSES: usize = 10;
/// First and longest pause before a lost server is asked again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// SIGINT and SIGTERM: the first asks for the end, the second for an end at once.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, ToolError> {
        let listen = |kind| {
            signal(kind).map_err(|e| ToolError::Setup(format!("cannot listen to signals: {e}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What goes on over lost connections.
struct Follower<'a> {
    options: &'a Options,
    selection: &'a Selection,
    close: Closeness,
    dirty: Dirty,
    tally: Tally,
    report: Report,
    /// The first copy is complete.
    copied: bool,
    /// A signal asked for the end.
    ending: bool,
    announced: bool,
}

/// Runs until the cut-over.
pub(super) async fn run(
    options: &Options,
    selection: &Selection,
    close: Closeness,
    progress: &mut Progress,
) -> Result<Report, ToolError> {
    let mut signals = Signals::new()?;
    let mut follower = Follower {
        options,
        selection,
        close,
        dirty: Dirty::default(),
        tally: Tally::default(),
        report: Report::default(),
        copied: false,
        ending: false,
        announced: false,
    };
    let seed = u64::try_from(wall().0).unwrap_or(0);
    let mut backoff = Backoff::new(PAUSE.0, PAUSE.1, seed);
    let mut connected = false;
    loop {
        let ended = follower
            .session(&mut signals, progress, &mut connected)
            .await;
        match ended {
            Ok(()) => break,
            Err(ToolError::Wire(error @ WireError::Unreachable { .. })) if connected => {
                if follower.ending {
                    return Err(error.into());
                }
                progress.say(&format!(
                    "{error}; trying again, everything will be compared then"
                ));
                follower.dirty.lose();
                follower.announced = false;
                tokio::select! {
                    () = tokio::time::sleep(backoff.delay()) => {}
                    () = signals.next() => return Err(error.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
    let Follower {
        tally,
        mut report,
        dirty,
        ..
    } = follower;
    report.take(tally);
    report.changes = Some(dirty.seen());
    Ok(report)
}

impl Follower<'_> {
    /// From the first connection to the cut-over, or to the loss of a connection.
    async fn session(
        &mut self,
        signals: &mut Signals,
        progress: &mut Progress,
        connected: &mut bool,
    ) -> Result<(), ToolError> {
        let Options {
            source,
            target,
            by_type,
            ..
        } = self.options;
        // Before the first key is read: what changes behind the reader must be heard.
        let mut listener = Listener::start(source).await?;
        let (mut pair, source_facts, target_facts) = Pair::open(source, target, *by_type).await?;
        super::check(&source_facts, &target_facts, self.options, self.selection)?;
        *connected = true;
        let (ask, barriers) = mpsc::channel(1);
        let dirty = std::mem::take(&mut self.dirty);
        let heard = listener.listen(self.selection, &dirty, barriers);
        let work = async {
            if !self.copied {
                let job = Job {
                    source,
                    selection: self.selection,
                    overwrite: self.options.overwrite,
                    mirror: true,
                };
                let facts = (&source_facts, &target_facts);
                let earlier = copy::run(&job, &mut pair, facts, &mut self.tally, progress).await?;
                self.report.resumed += earlier;
                for (db, key) in std::mem::take(&mut self.tally.busy) {
                    dirty.add(db, key);
                }
                if earlier > 0 {
                    dirty.lose(); // nobody listened between the attempts
                }
                self.copied = true;
            }
            self.follow(&mut pair, &dirty, &ask, signals, progress)
                .await
        };
        let ended = tokio::select! {
            ended = work => ended,
            lost = heard => match lost {
                Err(error) => Err(error.into()),
                Ok(()) => Ok(()),
            },
        };
        self.dirty = dirty;
        ended
    }

    async fn follow(
        &mut self,
        pair: &mut Pair,
        dirty: &Dirty,
        ask: &mpsc::Sender<Barrier>,
        signals: &mut Signals,
        progress: &mut Progress,
    ) -> Result<(), ToolError> {
        while !self.ending {
            if self.batch(pair, dirty).await? {
                progress.show("changed keys left", self.tally.copied(), dirty.len() as u64);
                continue;
            }
            if dirty.take_lost() {
                progress.say("changes were missed: comparing everything");
                self.pass(pair, dirty, progress).await?;
                continue;
            }
            if !self.announced {
                self.announced = true;
                progress.say(
                    "in step: following changes; stop the writers or point them at the target, then \
                     press Ctrl-C (or send SIGTERM) for the last comparison",
                );
            }
            tokio::select! {
                () = dirty.changed.notified() => {}
                () = signals.next() => self.ending = true,
            }
        }
        progress.say("cut-over: copying what is left; a second signal ends it at once");
        tokio::select! {
            ended = self.finish(pair, dirty, ask, progress) => ended,
            () = signals.next() => Err(ToolError::Unfinished(format!(
                "ended before the last comparison: {} changed keys are left; run the same command again",
                dirty.len(),
            ))),
        }
    }

    /// Copies some of the keys that changed; `false` when there are none.
    async fn batch(&mut self, pair: &mut Pair, dirty: &Dirty) -> Result<bool, ToolError> {
        let Some((db, keys)) = dirty.take(BATCH) else {
            return Ok(false);
        };
        self.copy(pair, dirty, db, keys).await?;
        Ok(true)
    }

    /// Copies keys and removes those that are gone; those that would not hold still come again.
    async fn copy(
        &mut self,
        pair: &mut Pair,
        dirty: &Dirty,
        db: u16,
        keys: Vec<Key>,
    ) -> Result<(), ToolError> {
        let Some(into) = self.selection.into(db) else {
            return Ok(());
        };
        pair.select(db, into).await?;
        let mut tally = Tally::default();
        let gone = pair.copy(db, keys, &mut tally).await?;
        pair.remove(&gone).await?;
        tally.gone += gone.len() as u64;
        for (db, key) in std::mem::take(&mut tally.busy) {
            dirty.add(db, key);
        }
        self.tally.add(tally);
        Ok(())
    }

    /// Compares everything and copies what differs; returns how much that was.
    async fn pass(
        &mut self,
        pair: &mut Pair,
        dirty: &Dirty,
        progress: &mut Progress,
    ) -> Result<u64, ToolError> {
        let (source, target) = (pair.source.facts().await?, pair.target.facts().await?);
        let databases = self.selection.databases(&[&source, &target]);
        let total = self.selection.keys(&source) * 2;
        let mut pass = Pass::new(&databases);
        let mut found = 0;
        while let Some((db, differences)) = pass.step(pair, self.selection, self.close).await? {
            progress.show("compare", pass.seen, total);
            let (count, failed) = (differences.len() as u64, self.tally.failed);
            let extra = |d: &super::Difference| d.what == What::Extra;
            let (gone, differ): (Vec<_>, Vec<_>) = differences.into_iter().partition(extra);
            let keys =
                |d: Vec<super::Difference>| d.into_iter().map(|d| d.key).collect::<Vec<Key>>();
            // Still nobody else writes to the target, and who makes such a key anew is heard.
            pair.remove(&keys(gone)).await?;
            self.copy(pair, dirty, db, keys(differ)).await?;
            // What cannot be copied differs for ever; the report says so.
            found += count.saturating_sub(self.tally.failed - failed);
        }
        self.report.compared = pass.compared;
        Ok(found)
    }

    /// The end: what was heard until now, then everything.
    async fn finish(
        &mut self,
        pair: &mut Pair,
        dirty: &Dirty,
        ask: &mpsc::Sender<Barrier>,
        progress: &mut Progress,
    ) -> Result<(), ToolError> {
        for attempt in 0..PASSES {
            let changed = self.drain(pair, dirty, ask).await?;
            if attempt == 0 {
                progress.say("what was written until now is at the target; comparing everything");
                // A comparison at least, whatever was heard.
            } else if changed == 0 && !dirty.take_lost() && self.report.unsettled == 0 {
                let home = copy::home(self.selection);
                State::remove(pair, home).await?;
                return Ok(());
            }
            dirty.take_lost();
            self.report.unsettled = self.pass(pair, dirty, progress).await?;
            self.report.mended += self.report.unsettled;
        }
        Err(ToolError::Unfinished(format!(
            "the source {} is still written to: stop its writers or point them at the target (CLIENT PAUSE \
             holds them for a moment), then run the same command again",
            pair.source.name(),
        )))
    }

    /// Copies until nothing is left of what the source has said; returns how many keys that were.
    async fn drain(
        &mut self,
        pair: &mut Pair,
        dirty: &Dirty,
        ask: &mpsc::Sender<Barrier>,
    ) -> Result<u64, ToolError> {
        let mut keys = 0;
        for _ in 0..PASSES {
            let (done, heard) = oneshot::channel();
            if ask.send(done).await.is_err() || heard.await.is_err() {
                return Err(ToolError::Unfinished(
                    "nobody listens to the source any more: run the same command again".to_owned(),
                ));
            }
            let left = dirty.len() as u64;
            if left == 0 {
                break;
            }
            keys += left;
            let mut batches = left.div_ceil(BATCH as u64) + super::DATABASES_MAX;
            while batches > 0 && self.batch(pair, dirty).await? {
                batches -= 1;
            }
        }
        Ok(keys)
    }
}
