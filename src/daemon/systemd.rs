//! What systemd is told: READY, RELOADING, STOPPING, and a watchdog that the kernel's heartbeat feeds.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::kernel::types::SECOND;
use crate::runtime::clock::Clock;
use crate::status::KernelStatus;

/// A kernel loop that has not gone round for so long is stuck.
const STUCK_NS: i64 = 5 * SECOND;

/// What `systemctl status` shows beside the state.
pub(super) fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Until the next [`ready`].
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "cannot notify systemd"),
    }
}

pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Feeds the watchdog as long as the kernel's loop beats. Without one it waits for ever.
pub(super) async fn watchdog(kernel: Arc<KernelStatus>, clock: Clock) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut beat = tokio::time::interval((limit / 3).max(Duration::from_millis(10)));
    beat.tick().await; // comes at once, before the kernel's first round
    loop {
        beat.tick().await;
        let beats = kernel
            .heartbeat
            .get()
            .is_some_and(|at| clock.now().since(at) < STUCK_NS);
        if beats {
            // Whoever reads the socket may be slow; no thread of the runtime waits for that.
            let sent = tokio::task::spawn_blocking(|| notify(&[NotifyState::Watchdog]));
            drop(sent.await);
        } else {
            tracing::error!("the kernel thread is stuck: the watchdog is not fed");
        }
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot notify systemd");
    }
}
