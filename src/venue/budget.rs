//! What a venue lets one address do: REST weight, connection attempts, messages on a connection.
//!
//! Pure: time is an argument. Windows are fixed (they begin at full minutes), as the venue counts.
//! We plan with four fifths of each limit at most, less for what can wait; the venue's own count, when it tells it, is believed
//! where it is higher, and its `Retry-After` stops everything until then.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::kernel::types::{MINUTE, SECOND, Time};

/// A stated end further away than this is not believed: three days is Binance's longest ban.
const BAN_MAX_SECONDS: u64 = 3 * 24 * 3_600;

/// Who counts together at a venue: one budget for each, whatever part of this process spends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Binance spot.
    BinanceSpot,
    /// Binance USDⓈ-M futures.
    BinanceUsdm,
    /// Bybit, all of its markets.
    Bybit,
    /// The simulated venue as such.
    Sim,
}

/// A venue's limits for one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Who counts together.
    pub group: Group,
    /// REST weight in a window.
    pub weight: u32,
    /// Length of the window, in nanoseconds.
    pub weight_window: i64,
    /// Connection attempts in five minutes.
    pub connects_per_5_minutes: u32,
    /// Messages that we may send on a connection in a second.
    pub messages_per_second: u32,
}

impl Limits {
    /// Binance spot: 6,000 weight a minute.
    pub const BINANCE_SPOT: Self = Self {
        group: Group::BinanceSpot,
        weight: 6_000,
        weight_window: MINUTE,
        connects_per_5_minutes: 300,
        messages_per_second: 5,
    };
    /// Binance USDⓈ-M: 2,400 weight a minute, ten messages a second.
    pub const BINANCE_USDM: Self = Self {
        group: Group::BinanceUsdm,
        weight: 2_400,
        messages_per_second: 10,
        ..Self::BINANCE_SPOT
    };
    /// Bybit: 600 requests in five seconds, 500 connections in five minutes. Messages on a connection
    /// have no documented limit; ours is modest.
    pub const BYBIT: Self = Self {
        group: Group::Bybit,
        weight: 600,
        weight_window: 5 * SECOND,
        connects_per_5_minutes: 500,
        messages_per_second: 10,
    };
    /// The simulated venue counts as Binance spot does.
    pub const SIM: Self = Self {
        group: Group::Sim,
        ..Self::BINANCE_SPOT
    };
}

/// How urgent a REST call is: what is left of a window is kept for what matters more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Instruments with positions or orders: up to four fifths of the limit.
    Urgent,
    /// Books and instrument facts: seven tenths.
    Normal,
    /// History, probes, refreshes: half.
    Idle,
}

impl Priority {
    /// Percent of the limit up to which a call of this priority is let through.
    const fn percent(self) -> u32 {
        match self {
            Self::Urgent => 80,
            Self::Normal => 70,
            Self::Idle => 50,
        }
    }
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

    /// Takes `amount` of the first `percent` of the limit, or says when the next window begins. What
    /// exceeds a whole window's share is let through at its beginning.
    fn take(&mut self, now: Time, amount: u32, percent: u32) -> Result<(), Time> {
        self.roll(now);
        let share = u64::from(self.limit) * u64::from(percent) / 100;
        let wanted = self.used.saturating_add(amount);
        if u64::from(wanted) > share && self.used > 0 {
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
    /// The highest use of a window so far, in parts per million of the limit.
    peak_ppm: u64,
}

impl Budget {
    /// Nothing used yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            weight: Window::new(limits.weight_window, limits.weight),
            connects: Window::new(5 * MINUTE, limits.connects_per_5_minutes),
            closed_until: Time::ZERO,
            peak_ppm: 0,
        }
    }

    /// Takes `weight` for a REST call, or says when to ask again.
    pub fn take_weight(&mut self, now: Time, weight: u32, priority: Priority) -> Result<(), Time> {
        self.open(now)?;
        self.weight.take(now, weight, priority.percent())?;
        self.peak_ppm = self.peak_ppm.max(self.used_ppm(now));
        Ok(())
    }

    /// Takes one connection attempt, or says when to ask again.
    pub fn take_connect(&mut self, now: Time) -> Result<(), Time> {
        self.open(now)?;
        self.connects.take(now, 1, Priority::Urgent.percent())
    }

    /// The venue's own count of the weight used in this window (`X-MBX-USED-WEIGHT-1M`).
    pub fn used(&mut self, now: Time, weight: u32) {
        self.weight.roll(now);
        self.weight.used = self.weight.used.max(weight);
        self.peak_ppm = self.peak_ppm.max(self.used_ppm(now));
    }

    /// The venue says that it was too fast (429) or bans us (418): nothing goes out for
    /// `retry_after` seconds, or `default_s` where the venue does not say. Returns the end.
    pub fn refused(&mut self, now: Time, retry_after: Option<u64>, default_s: u64) -> Time {
        let seconds = retry_after.unwrap_or(default_s).min(BAN_MAX_SECONDS);
        let wait = i64::try_from(seconds).unwrap_or(0).saturating_mul(SECOND);
        self.closed_until = self.closed_until.max(now.plus(wait));
        self.closed_until
    }

    /// Weight used in this window, in parts per million of the venue's limit.
    pub fn used_ppm(&mut self, now: Time) -> u64 {
        self.weight.roll(now);
        u64::from(self.weight.used).saturating_mul(1_000_000) / u64::from(self.weight.limit.max(1))
    }

    /// The highest use of a window so far, in parts per million of the limit.
    pub fn peak_ppm(&self) -> u64 {
        self.peak_ppm
    }

    fn open(&self, now: Time) -> Result<(), Time> {
        if now < self.closed_until {
            Err(self.closed_until)
        } else {
            Ok(())
        }
    }
}

/// The budgets of this process: one for each [`Group`].
#[derive(Debug, Default)]
pub struct Budgets(Mutex<BTreeMap<Group, Arc<Mutex<Budget>>>>);

impl Budgets {
    /// The budget that these limits are about.
    pub fn of(&self, limits: Limits) -> Arc<Mutex<Budget>> {
        let mut budgets = self.0.lock();
        let new = || Arc::new(Mutex::new(Budget::new(limits)));
        Arc::clone(budgets.entry(limits.group).or_insert_with(new))
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
        self.0.take(now, 1, Priority::Urgent.percent())
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
        let mut budget = Budget::new(Limits::BINANCE_SPOT);
        for _ in 0..96 {
            assert_eq!(budget.take_weight(at(1), 50, Priority::Urgent), Ok(()));
        }
        assert_eq!(budget.take_weight(at(59), 1, Priority::Urgent), Err(at(60)));
        assert_eq!(budget.used_ppm(at(59)), 800_000);
        assert_eq!(budget.take_weight(at(60), 1, Priority::Idle), Ok(()));
        assert_eq!(budget.peak_ppm(), 800_000);
    }

    #[test]
    fn what_matters_more_finds_room_where_the_rest_has_none() {
        let mut budget = Budget::new(Limits::BINANCE_USDM);
        let taken = |budget: &mut Budget, priority| {
            (0..1_000)
                .filter(|_| budget.take_weight(at(1), 20, priority).is_ok())
                .count()
        };
        assert_eq!(taken(&mut budget, Priority::Idle), 60);
        assert_eq!(taken(&mut budget, Priority::Normal), 24);
        assert_eq!(taken(&mut budget, Priority::Urgent), 12);
    }

    #[test]
    fn venues_that_count_together_share_a_budget() {
        let budgets = Budgets::default();
        let spot = budgets.of(Limits::BYBIT);
        assert!(Arc::ptr_eq(&spot, &budgets.of(Limits::BYBIT)));
        assert!(!Arc::ptr_eq(&spot, &budgets.of(Limits::BINANCE_SPOT)));
    }

    #[test]
    fn the_venues_count_is_believed_where_it_is_higher() {
        let mut budget = Budget::new(Limits::BINANCE_SPOT);
        budget.used(at(0), 4_790);
        assert_eq!(budget.take_weight(at(0), 10, Priority::Urgent), Ok(()));
        budget.used(at(0), 12);
        assert_eq!(budget.take_weight(at(0), 1, Priority::Urgent), Err(at(60)));
    }

    #[test]
    fn retry_after_closes_everything() {
        let mut budget = Budget::new(Limits::BINANCE_SPOT);
        assert_eq!(budget.refused(at(0), Some(90), 60), at(90));
        assert_eq!(
            budget.refused(at(0), Some(5), 60),
            at(90),
            "never shortened"
        );
        assert_eq!(budget.take_weight(at(61), 1, Priority::Urgent), Err(at(90)));
        assert_eq!(budget.take_connect(at(61)), Err(at(90)));
        assert_eq!(budget.take_connect(at(90)), Ok(()));
        assert_eq!(budget.refused(at(100), None, 120), at(220));
        assert_eq!(
            budget.refused(at(300), Some(u64::MAX), 60),
            at(300 + 3 * 86_400)
        );
    }

    #[test]
    fn connects_and_messages_have_their_own_windows() {
        let mut budget = Budget::new(Limits::BINANCE_SPOT);
        let taken = (0..300)
            .filter(|_| budget.take_connect(at(0)).is_ok())
            .count();
        assert_eq!(taken, 240);
        let mut messages = MessageBudget::new(Limits::BINANCE_SPOT);
        let taken = (0..10).filter(|_| messages.take(at(0)).is_ok()).count();
        assert_eq!(taken, 4);
        assert_eq!(messages.take(at(0)), Err(at(1)));
        assert_eq!(messages.take(at(1)), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_frees_nothing_and_a_large_call_passes_alone() {
        let mut budget = Budget::new(Limits {
            weight: 100,
            ..Limits::BINANCE_SPOT
        });
        assert_eq!(budget.take_weight(at(60), 250, Priority::Idle), Ok(()));
        assert_eq!(budget.take_weight(at(0), 1, Priority::Urgent), Err(at(120)));
    }
}
