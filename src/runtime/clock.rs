//! The only clock. Everybody else is handed a [`Time`].

use std::time::{SystemTime, UNIX_EPOCH};

use crate::kernel::types::Time;

/// Wall-clock time that never goes back within a process, at TSC cost.
#[derive(Debug, Clone)]
pub struct Clock {
    tsc: quanta::Clock,
    anchor: quanta::Instant,
    anchor_wall: Time,
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
        }
    }

    /// Now: the wall clock at the start plus the time that has passed since.
    pub fn now(&self) -> Time {
        let passed = self.tsc.now().duration_since(self.anchor);
        self.anchor_wall
            .plus(i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX))
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
