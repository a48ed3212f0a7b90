//! What a venue lets one address do: REST weight, connection attempts, messages on a connection.
//!
//! Pure: time is an argument. Windows are fixed (they begin at full minutes), as the venue counts.
//! We plan with four fifths of each limit; the venue's own count, when it tells it, is believed
//! where it is higher, and its `Retry-After` stops everything until then.

use crate::kernel::types::{MINUTE, SECOND, Time};

/// The part of each limit that is used: four fifths.
const SHARE_NUMERATOR: u32 = 4;
const SHARE_DENOMINATOR: u32 = 5;
/// A ban without a stated end is taken to last this long (the shortest that Binance announces).
const BAN_DEFAULT: i64 = 2 * MINUTE;
/// A throttling without a stated end lasts to the next window at most.
const THROTTLE_DEFAULT: i64 = MINUTE;
/// A stated end further away than this is not believed: three days is Binance's longest ban.
const BAN_MAX_SECONDS: u64 = 3 * 24 * 3_600;

/// A venue's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// REST weight a minute.
    pub weight_per_minute: u32,
    /// Connection attempts in five minutes.
    pub connects_per_5_minutes: u32,
    /// Messages that we may send on a connection in a second.
    pub messages_per_second: u32,
}

impl Limits {
    /// Binance spot.
    pub const BINANCE: Self = Self {
        weight_per_minute: 6_000,
        connects_per_5_minutes: 300,
        messages_per_second: 5,
    };
}

/// A count within a fixed window.
#[derive(Debug, Clone)]
struct Window {
    len: i64,
    limit: u32,
    start: i64,
    used: u32,
}

impl Window {
    fn new(len: i64, limit: u32) -> Self {
        Self {
            len,
            limit,
            start: i64::MIN,
            used: 0,
        }
    }

    /// Moves to the window of `now`; a clock that went back stays in the newer one.
    fn roll(&mut self, now: Time) {
        let start = now.0.div_euclid(self.len).saturating_mul(self.len);
        if start > self.start {
            self.start = start;
            self.used = 0;
        }
    }

    /// Takes `amount`, or says when the next window begins. What exceeds a whole window's share is
    /// let through at its beginning.
    fn take(&mut self, now: Time, amount: u32) -> Result<(), Time> {
        self.roll(now);
        let share = self.limit.saturating_mul(SHARE_NUMERATOR) / SHARE_DENOMINATOR;
        let wanted = self.used.saturating_add(amount);
        if wanted > share && self.used > 0 {
            return Err(Time(self.start).plus(self.len));
        }
        self.used = wanted;
        Ok(())
    }
}

/// The budget of one address at one venue.
#[derive(Debug, Clone)]
pub struct Budget {
    weight: Window,
    connects: Window,
    /// Nothing is sent before this.
    closed_until: Time,
}

impl Budget {
    /// Nothing used yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            weight: Window::new(MINUTE, limits.weight_per_minute),
            connects: Window::new(5 * MINUTE, limits.connects_per_5_minutes),
            closed_until: Time::ZERO,
        }
    }

    /// Takes `weight` for a REST call, or says when to ask again.
    pub fn take_weight(&mut self, now: Time, weight: u32) -> Result<(), Time> {
        self.open(now)?;
        self.weight.take(now, weight)
    }

    /// Takes one connection attempt, or says when to ask again.
    pub fn take_connect(&mut self, now: Time) -> Result<(), Time> {
        self.open(now)?;
        self.connects.take(now, 1)
    }

    /// The venue's own count of the weight used in this minute (`X-MBX-USED-WEIGHT-1M`).
    pub fn used(&mut self, now: Time, weight: u32) {
        self.weight.roll(now);
        self.weight.used = self.weight.used.max(weight);
    }

    /// The venue says 429 (too fast) or 418 (banned): nothing goes out before `retry_after` seconds.
    /// Returns the end.
    pub fn refused(&mut self, now: Time, status: u16, retry_after: Option<u64>) -> Time {
        let wait = match retry_after {
            Some(seconds) => i64::try_from(seconds.min(BAN_MAX_SECONDS))
                .unwrap_or(0)
                .saturating_mul(SECOND),
            None if status == 418 => BAN_DEFAULT,
            None => THROTTLE_DEFAULT,
        };
        self.closed_until = self.closed_until.max(now.plus(wait));
        self.closed_until
    }

    /// Weight used in this minute, in parts per million of the venue's limit.
    pub fn used_ppm(&mut self, now: Time) -> u64 {
        self.weight.roll(now);
        u64::from(self.weight.used).saturating_mul(1_000_000) / u64::from(self.weight.limit.max(1))
    }

    fn open(&self, now: Time) -> Result<(), Time> {
        if now < self.closed_until {
            Err(self.closed_until)
        } else {
            Ok(())
        }
    }
}

/// The messages that we send on one connection.
#[derive(Debug, Clone)]
pub struct MessageBudget(Window);

impl MessageBudget {
    /// Of a new connection.
    pub fn new(limits: Limits) -> Self {
        Self(Window::new(SECOND, limits.messages_per_second))
    }

    /// Takes one message, or says when to ask again.
    pub fn take(&mut self, now: Time) -> Result<(), Time> {
        self.0.take(now, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time(1_700_000_040 * SECOND).plus(seconds * SECOND) // a full minute
    }

    #[test]
    fn weight_ends_at_four_fifths_and_comes_back_with_the_minute() {
        let mut budget = Budget::new(Limits::BINANCE);
        for _ in 0..96 {
            assert_eq!(budget.take_weight(at(1), 50), Ok(()));
        }
        assert_eq!(budget.take_weight(at(59), 1), Err(at(60)));
        assert_eq!(budget.used_ppm(at(59)), 800_000);
        assert_eq!(budget.take_weight(at(60), 1), Ok(()));
    }

    #[test]
    fn the_venues_count_is_believed_where_it_is_higher() {
        let mut budget = Budget::new(Limits::BINANCE);
        budget.used(at(0), 4_790);
        assert_eq!(budget.take_weight(at(0), 10), Ok(()));
        budget.used(at(0), 12);
        assert_eq!(budget.take_weight(at(0), 1), Err(at(60)));
    }

    #[test]
    fn retry_after_closes_everything() {
        let mut budget = Budget::new(Limits::BINANCE);
        assert_eq!(budget.refused(at(0), 429, Some(90)), at(90));
        assert_eq!(
            budget.refused(at(0), 429, Some(5)),
            at(90),
            "never shortened"
        );
        assert_eq!(budget.take_weight(at(61), 1), Err(at(90)));
        assert_eq!(budget.take_connect(at(61)), Err(at(90)));
        assert_eq!(budget.take_connect(at(90)), Ok(()));
        assert_eq!(budget.refused(at(100), 418, None), at(220));
        assert_eq!(
            budget.refused(at(300), 418, Some(u64::MAX)),
            at(300 + 3 * 86_400)
        );
    }

    #[test]
    fn connects_and_messages_have_their_own_windows() {
        let mut budget = Budget::new(Limits::BINANCE);
        let taken = (0..300)
            .filter(|_| budget.take_connect(at(0)).is_ok())
            .count();
        assert_eq!(taken, 240);
        let mut messages = MessageBudget::new(Limits::BINANCE);
        let taken = (0..10).filter(|_| messages.take(at(0)).is_ok()).count();
        assert_eq!(taken, 4);
        assert_eq!(messages.take(at(0)), Err(at(1)));
        assert_eq!(messages.take(at(1)), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_frees_nothing_and_a_large_call_passes_alone() {
        let mut budget = Budget::new(Limits {
            weight_per_minute: 100,
            ..Limits::BINANCE
        });
        assert_eq!(budget.take_weight(at(60), 250), Ok(()));
        assert_eq!(budget.take_weight(at(0), 1), Err(at(120)));
    }
}
