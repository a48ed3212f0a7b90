//! Time is an input: integer nanoseconds since the Unix epoch. Nothing in the kernel reads a clock.

use serde::{Deserialize, Serialize};

/// Nanoseconds in a microsecond.
pub const MICROSECOND: i64 = 1_000;
/// Nanoseconds in a millisecond.
pub const MILLISECOND: i64 = 1_000_000;
/// Nanoseconds in a second.
pub const SECOND: i64 = 1_000_000_000;
/// Nanoseconds in a minute.
pub const MINUTE: i64 = 60 * SECOND;
/// Nanoseconds in an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// Nanoseconds in a day.
pub const DAY: i64 = 24 * HOUR;

/// Nanoseconds since the Unix epoch, UTC.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Time(pub i64);

impl Time {
    /// The epoch; also "never happened yet" where a field says so.
    pub const ZERO: Self = Self(0);

    /// From milliseconds since the epoch; `None` outside of what nanoseconds can hold.
    pub fn from_millis(ms: i64) -> Option<Self> {
        ms.checked_mul(MILLISECOND).map(Self)
    }

    /// Milliseconds since the epoch, rounded down: the unit of every JSON document.
    #[inline]
    pub fn millis(self) -> i64 {
        self.0.div_euclid(MILLISECOND)
    }

    /// Nanoseconds from `earlier` to `self`; negative when the clocks disagree.
    #[inline]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time plus `ns`, at the edge of the range at most.
    #[inline]
    #[must_use]
    pub fn plus(self, ns: i64) -> Self {
        Self(self.0.saturating_add(ns))
    }
}
