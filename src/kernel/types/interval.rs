//! Candle intervals, spelt as Binance spells them: `1s 1m 3m … 1h … 1d 1w 1M`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{DAY, HOUR, MINUTE, SECOND, Time};

/// A candle interval. Days begin at 00:00 UTC, weeks on Monday, months on the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Interval {
    unit: Unit,
    count: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
}

/// The text is no interval.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no interval: write a divisor of the next larger unit, such as 1s, 1m, 5m, 15m, 1h, 4h, 1d, 1w or 1M"
)]
pub struct IntervalError(String);

impl Interval {
    /// One minute.
    pub const MINUTE: Self = Self {
        unit: Unit::Minute,
        count: 1,
    };
    /// One second.
    pub const SECOND: Self = Self {
        unit: Unit::Second,
        count: 1,
    };

    /// The start of the candle that `time` falls into.
    #[inline]
    pub fn open_of(self, time: Time) -> Time {
        match self.fixed_len() {
            Some((len, offset)) => {
                let shifted = time.0.saturating_sub(offset);
                Time(
                    shifted
                        .div_euclid(len)
                        .saturating_mul(len)
                        .saturating_add(offset),
                )
            }
            None => month_start(month_index(time)),
        }
    }

    /// The start of the candle after the one that `time` falls into.
    #[inline]
    pub fn next_open(self, time: Time) -> Time {
        match self.fixed_len() {
            Some((len, _)) => self.open_of(time).plus(len),
            None => month_start(month_index(time).saturating_add(1)),
        }
    }

    /// Nominal length in nanoseconds (a month counts as 30 days): for budgets and limits only.
    #[inline]
    pub fn nominal_len(self) -> i64 {
        self.fixed_len().map_or(30 * DAY, |(len, _)| len)
    }

    /// Length and offset from the epoch; `None` for months, whose length varies.
    #[inline]
    fn fixed_len(self) -> Option<(i64, i64)> {
        let (unit, offset) = match self.unit {
            Unit::Second => (SECOND, 0),
            Unit::Minute => (MINUTE, 0),
            Unit::Hour => (HOUR, 0),
            Unit::Day => (DAY, 0),
            Unit::Week => (7 * DAY, 4 * DAY), // the epoch was a Thursday
            Unit::Month => return None,
        };
        Some((unit.saturating_mul(i64::from(self.count)), offset))
    }
}

impl FromStr for Interval {
    type Err = IntervalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || IntervalError(text.to_owned());
        let unit = text.chars().last().ok_or_else(error)?;
        let digits = text
            .get(..text.len().saturating_sub(unit.len_utf8()))
            .ok_or_else(error)?;
        if digits.starts_with(['0', '+']) {
            return Err(error());
        }
        let count: u16 = digits.parse().map_err(|_| error())?;
        let (unit, divides) = match unit {
            's' => (Unit::Second, 60),
            'm' => (Unit::Minute, 60),
            'h' => (Unit::Hour, 24),
            'd' if count == 3 => (Unit::Day, 3),
            'd' => (Unit::Day, 1),
            'w' => (Unit::Week, 1),
            'M' => (Unit::Month, 1),
            _ => return Err(error()),
        };
        if count == 0 || count > divides || divides.checked_rem(count) != Some(0) {
            return Err(error());
        }
        Ok(Self { unit, count })
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Second => 's',
            Unit::Minute => 'm',
            Unit::Hour => 'h',
            Unit::Day => 'd',
            Unit::Week => 'w',
            Unit::Month => 'M',
        };
        write!(f, "{}{unit}", self.count)
    }
}

/// Months since January 1970.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "days of an i64 of nanoseconds stay small"
)]
fn month_index(time: Time) -> i64 {
    // Civil date from days (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let days = time.0.div_euclid(DAY).saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153; // March is 0
    let (month, carry) = if shifted_month < 10 {
        (shifted_month + 2, 0)
    } else {
        (shifted_month - 10, 1)
    };
    (year_of_era + era * 400 + carry - 1970) * 12 + month
}

/// Midnight UTC of the first day of a month counted from January 1970.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "days of an i64 of nanoseconds stay small"
)]
fn month_start(index: i64) -> Time {
    let year = 1970_i64.saturating_add(index.div_euclid(12));
    let month = index.rem_euclid(12); // January is 0
    let (shifted_year, shifted_month) = if month < 2 {
        (year - 1, month + 10)
    } else {
        (year, month - 2)
    };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let day_of_year = (153 * shifted_month + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Time((era * 146_097 + day_of_era - 719_468).saturating_mul(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Time {
        Time::from_millis(ms).expect("in range")
    }

    #[test]
    fn candles_open_where_the_venue_opens_them() {
        // 2024-08-08 23:54:15 UTC, a Thursday.
        let time = at(1_723_161_255_000);
        for (text, open_ms, next_ms) in [
            ("1s", 1_723_161_255_000, 1_723_161_256_000),
            ("1m", 1_723_161_240_000, 1_723_161_300_000),
            ("1h", 1_723_158_000_000, 1_723_161_600_000),
            ("1d", 1_723_075_200_000, 1_723_161_600_000),
            ("1w", 1_722_816_000_000, 1_723_420_800_000),
            ("1M", 1_722_470_400_000, 1_725_148_800_000),
        ] {
            let interval: Interval = text.parse().expect("interval");
            assert_eq!(interval.open_of(time), at(open_ms), "{text}");
            assert_eq!(interval.next_open(time), at(next_ms), "{text}");
            assert_eq!(interval.to_string(), text);
        }
    }

    #[test]
    fn months_of_four_centuries_start_where_the_next_one_begins() {
        let month: Interval = "1M".parse().expect("interval");
        let mut open = month_start(0);
        assert_eq!(open, Time::ZERO);
        for index in 1..(12 * 250) {
            let next = month.next_open(open);
            assert_eq!(next, month_start(index));
            assert_eq!(month.open_of(next.plus(-1)), open);
            let days = (next.0 - open.0) / DAY;
            assert!((28..=31).contains(&days), "month {index} has {days} days");
            open = next;
        }
    }

    #[test]
    fn what_does_not_divide_is_refused() {
        for text in [
            "", "m", "0m", "7m", "61s", "25h", "2w", "1x", "01m", "+1m", "1é", "-1m",
        ] {
            assert!(text.parse::<Interval>().is_err(), "{text}");
        }
    }
}
