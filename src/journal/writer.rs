//! The journal thread: drains the queue, one write, one sync, tells everybody.
//!
//! Owner of the log. A failed write or sync aborts the process at once and is never retried: after
//! a failed `fsync` the kernel may have thrown the pages away, and a second one would succeed
//! without them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use tokio::sync::watch;

use super::SyncPolicy;
use super::installation::DirLock;
use super::keeper::{Keeper, KeeperThread};
use super::recover::panic_text;
use super::segment::{Log, WriteError};
use crate::kernel::event::{Seq, Sequenced};
use crate::kernel::types::Time;
use crate::runtime::clock::Clock;
use crate::runtime::mailbox::Bell;
use crate::status::JournalStatus;

/// The sending side of the journal thread. There is one sender: the kernel thread.
#[derive(Debug)]
pub struct JournalHandle {
    shared: Arc<Shared>,
    durable: watch::Receiver<Seq>,
    thread: Option<JoinHandle<()>>,
    keeper: Option<KeeperThread>,
}

#[derive(Debug)]
struct Shared {
    queue: ArrayQueue<Vec<Sequenced>>,
    closing: AtomicBool,
    bell: Bell,
}

/// Everything that the thread needs.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) log: Log,
    pub(crate) policy: SyncPolicy,
    pub(crate) batch_bytes_max: usize,
    pub(crate) status: Arc<JournalStatus>,
    pub(crate) kernel_bell: Arc<Bell>,
    /// Held as long as the thread writes.
    pub(crate) lock: Option<DirLock>,
}

impl JournalHandle {
    /// Starts the thread, and the one that looks after the journal.
    pub(crate) fn start(
        writer: Writer,
        queue: usize,
        keeper: Option<Keeper>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: ArrayQueue::new(queue),
            closing: AtomicBool::new(false),
            bell: Bell::default(),
        });
        let (sender, durable) = watch::channel(writer.log.synced());
        writer.status.set_durable(writer.log.synced());
        let thread = std::thread::Builder::new()
            .name("hean-journal".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || run_or_abort(writer, &shared, &sender)
            })?;
        let mut handle = Self {
            shared,
            durable,
            thread: Some(thread),
            keeper: None,
        };
        handle.keeper = keeper.map(KeeperThread::start).transpose()?;
        Ok(handle)
    }

    /// Queues records, whose sequences continue those queued before. Gives them back when the queue
    /// is full; the kernel's bell rings when there is space again. Never blocks.
    pub fn append(&self, batch: Vec<Sequenced>) -> Result<(), Vec<Sequenced>> {
        if batch.is_empty() {
            return Ok(());
        }
        self.shared.queue.push(batch)?;
        self.shared.bell.ring();
        Ok(())
    }

    /// Batches waiting to be written.
    pub fn queued(&self) -> usize {
        self.shared.queue.len()
    }

    /// The durable watermark, for tasks. The sender ends with the thread.
    pub fn durable(&self) -> watch::Receiver<Seq> {
        self.durable.clone()
    }

    /// Writes and syncs what is queued, and ends the thread. Dropping the handle does the same.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for JournalHandle {
    fn drop(&mut self) {
        // It reads and deletes what the lock protects, and the lock goes with the journal thread.
        drop(self.keeper.take());
        self.shared.closing.store(true, Ordering::Release);
        self.shared.bell.ring();
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked: a panic there aborts.
            drop(thread.join());
        }
    }
}

fn run_or_abort(writer: Writer, shared: &Shared, durable: &watch::Sender<Seq>) {
    shared.bell.adopt();
    match catch_unwind(AssertUnwindSafe(|| run(writer, shared, durable))) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(
                %error,
                "writing the journal failed; the process ends so that nothing is accepted that is \
                 not on disk: check free space and the disk, then start again"
            );
            std::process::abort();
        }
        Err(panic) => {
            let panic = panic_text(panic.as_ref());
            tracing::error!(panic, "the journal thread panicked; the process ends");
            std::process::abort();
        }
    }
}

fn run(
    mut writer: Writer,
    shared: &Shared,
    durable: &watch::Sender<Seq>,
) -> Result<(), WriteError> {
    let clock = Clock::start();
    let stage = metrics::histogram!("hean_stage_seconds", "stage" => "journal");
    let mut last_sync = clock.now();
    loop {
        // Read before the queue: what was queued before closing is then seen.
        let closing = shared.closing.load(Ordering::Acquire);
        let began = clock.now();
        let wrote = writer.drain(&shared.queue)?;
        let sync = match writer.policy {
            SyncPolicy::Always => wrote,
            SyncPolicy::Interval(every) => clock.now().since(last_sync) >= nanos(every),
            SyncPolicy::Os => false,
        };
        if sync {
            writer.log.sync()?;
            last_sync = clock.now();
        }
        if wrote {
            let seq = writer.log.written();
            stage.record(clock.now().since(began) as f64 / 1e9);
            let (bytes, batches) = writer.log.totals;
            writer.status.bytes.store(bytes, Ordering::Relaxed);
            writer.status.batches.store(batches, Ordering::Relaxed);
            writer.status.set_durable(seq);
            writer.kernel_bell.ring();
            durable.send_replace(seq);
            continue;
        }
        if closing {
            writer.log.sync()?;
            // Another process may come in when nothing of ours touches the directory any more.
            drop(writer.log);
            drop(writer.lock);
            return Ok(());
        }
        let pause = writer.pause(clock.now(), last_sync);
        shared.bell.wait(pause, || {
            !shared.queue.is_empty() || shared.closing.load(Ordering::Acquire)
        });
    }
}

impl Writer {
    /// Writes what waits, about one batch at most, so that a sync follows soon. Whether there was any.
    fn drain(&mut self, queue: &ArrayQueue<Vec<Sequenced>>) -> Result<bool, WriteError> {
        let before = self.log.written();
        while let Some(records) = queue.pop() {
            for record in &records {
                self.log.push(record)?;
                if self.log.collected() >= self.batch_bytes_max {
                    self.log.write()?;
                }
            }
            if self.log.written() > before {
                break;
            }
        }
        self.log.write()?;
        Ok(self.log.written() > before)
    }

    /// How long to sleep when nothing comes.
    fn pause(&self, now: Time, last_sync: Time) -> Duration {
        const LONG: Duration = Duration::from_mins(1);
        match self.policy {
            SyncPolicy::Interval(every) if self.log.synced() < self.log.written() => {
                let left = nanos(every).saturating_sub(now.since(last_sync));
                Duration::from_nanos(u64::try_from(left).unwrap_or(0))
            }
            _ => LONG,
        }
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
