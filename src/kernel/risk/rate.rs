//! Orders a second, without a list of them: the generic cell rate algorithm (ITU-T I.371), which lets a whole
//! second's worth through at once and then one for each part of a second that has passed.

use crate::kernel::types::{SECOND, Time};

/// Counts orders against a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct OrderRate {
    /// When everything that was let through will have been earned.
    due: Time,
}

impl OrderRate {
    /// Whether one more order may pass at `now`; nothing is counted yet. Zero a second is no limit.
    pub fn allows(&self, now: Time, per_second: u32) -> bool {
        per_second == 0 || self.due.since(now) <= SECOND.saturating_sub(Self::share(per_second))
    }

    /// One order passed.
    pub fn count(&mut self, now: Time, per_second: u32) {
        if per_second > 0 {
            self.due = self.due.max(now).plus(Self::share(per_second));
        }
    }

    fn share(per_second: u32) -> i64 {
        SECOND.checked_div(i64::from(per_second)).unwrap_or(SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_orders_and_no_more() {
        let mut rate = OrderRate::default();
        let passed = |rate: &mut OrderRate, now: i64| {
            let mut passed = 0;
            while rate.allows(Time(now), 10) {
                rate.count(Time(now), 10);
                passed += 1;
            }
            passed
        };
        assert_eq!(passed(&mut rate, 5 * SECOND), 10);
        assert_eq!(passed(&mut rate, 5 * SECOND + SECOND / 10), 1);
        assert_eq!(passed(&mut rate, 5 * SECOND + SECOND / 10), 0);
        assert_eq!(passed(&mut rate, 9 * SECOND), 10);
        assert!(rate.allows(Time(9 * SECOND), 0));
    }
}
