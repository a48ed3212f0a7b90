//! The only clock. Everybody else is handed a [`Time`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::kernel::types::{MILLISECOND, SECOND, Time};

/// Largest correction by one call of [`Clock::discipline`], in nanoseconds.
const SLEW_NS_MAX: i64 = MILLISECOND / 2;
/// A difference beyond this is a jump forward (a suspended machine), not drift.
const JUMP_NS: i64 = 2 * SECOND;

/// Wall-clock time at TSC cost. It follows the wall clock only as far as [`Clock::discipline`] makes
/// it: slowly, so that it steps back by half a millisecond at most. Who needs more takes the maximum.
#[derive(Debug, Clone)]
pub struct Clock {
    tsc: quanta::Clock,
    anchor: quanta::Instant,
    anchor_wall: Time,
    correction_ns: Arc<AtomicI64>,
}

impl Clock {
    /// Anchors the monotonic counter to the wall clock.
    pub fn start() -> Self {
        let tsc = quanta::Clock::new();
        let anchor = tsc.now();
        Self {
            tsc,
            anchor,
            anchor_wall: wall(),
            correction_ns: Arc::default(),
        }
    }

    /// Now: the wall clock at the start, the time that has passed since, and the correction.
    pub fn now(&self) -> Time {
        let passed = self.tsc.now().duration_since(self.anchor);
        let passed = i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX);
        self.anchor_wall
            .plus(passed)
            .plus(self.correction_ns.load(Ordering::Relaxed))
    }

    /// Compares with the wall clock and corrects a little; call it about once a second. Clones share
    /// the correction.
    pub fn discipline(&self) {
        self.steer(wall().since(self.now()));
    }

    fn steer(&self, behind_ns: i64) {
        let step = if behind_ns > JUMP_NS {
            behind_ns
        } else {
            behind_ns.clamp(-SLEW_NS_MAX, SLEW_NS_MAX)
        };
        self.correction_ns.fetch_add(step, Ordering::Relaxed);
    }
}

/// The wall clock itself, which may jump: for start-up, certificates and log lines.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
pub fn wall() -> Time {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_slewed_and_a_suspend_is_jumped() {
        let clock = Clock::start();
        let correction = || clock.correction_ns.load(Ordering::Relaxed);
        clock.steer(-SECOND);
        assert_eq!(correction(), -SLEW_NS_MAX);
        clock.steer(SLEW_NS_MAX);
        assert_eq!(correction(), 0);
        clock.steer(60 * SECOND);
        assert_eq!(correction(), 60 * SECOND);
        assert!(clock.clone().now() > wall().plus(50 * SECOND));
    }
}
