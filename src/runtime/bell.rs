//! Wakes one parked thread.
//!
//! Who rings has made its work visible before and looks at `asleep` afterwards; who sleeps sets
//! `asleep` before and looks for work afterwards. The two fences put all four in one order, so at
//! least one side sees the other: no wake-up is lost.

use std::time::Duration;

use super::sync::{AtomicBool, OnceLock, Ordering, Thread, current, fence, park_timeout};

/// Wakes one parked thread.
#[derive(Debug, Default)]
pub struct Bell {
    sleeper: OnceLock<Thread>,
    asleep: AtomicBool,
}

impl Bell {
    /// Names the calling thread as the one to wake. Once, before it sleeps for the first time.
    pub fn adopt(&self) {
        self.sleeper.get_or_init(current);
    }

    /// Wakes the thread if it sleeps. Call after the push that it should see.
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::AcqRel)
            && let Some(thread) = self.sleeper.get()
        {
            thread.unpark();
        }
    }

    /// Parks the adopted thread until a ring or `timeout`, unless `ready` says there is work.
    pub fn wait(&self, timeout: Duration, ready: impl Fn() -> bool) {
        // Release: who sees it also sees the sleeper's name.
        self.asleep.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        if !ready() {
            park_timeout(timeout);
        }
        self.asleep.store(false, Ordering::Relaxed);
    }
}
