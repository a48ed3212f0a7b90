//! What a run looked like over time, in bounded memory: equity, months, candles. Where there is more than a
//! screen can show, neighbours become one.

use crate::kernel::event::Candle;
use crate::kernel::types::{DAY, Money, Time};

/// Points of a curve at most.
const POINTS_MAX: usize = 4_096;
/// Candles of a chart at most.
const BARS_MAX: usize = 8_192;

/// A stretch of equity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// When it was sampled last.
    pub time: Time,
    /// What it was then.
    pub equity: Money,
    /// The least it was.
    pub low: Money,
}

/// Equity over time.
#[derive(Debug, Clone)]
pub struct Curve {
    points: Vec<Point>,
    /// Samples in a point.
    stride: u32,
    /// Samples in the last point.
    filled: u32,
}

impl Default for Curve {
    fn default() -> Self {
        Self {
            points: Vec::new(),
            stride: 1,
            filled: 1,
        }
    }
}

impl Curve {
    /// The points, oldest first.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Adds a sample.
    pub fn push(&mut self, time: Time, equity: Money) {
        if self.filled < self.stride
            && let Some(last) = self.points.last_mut()
        {
            self.filled += 1;
            last.time = time;
            last.equity = equity;
            last.low = last.low.min(equity);
            return;
        }
        if self.points.len() == POINTS_MAX {
            self.points = self.points.chunks(2).filter_map(joined).collect();
            self.stride = self.stride.saturating_mul(2);
        }
        self.filled = 1;
        self.points.push(Point {
            time,
            equity,
            low: equity,
        });
    }

    /// Appends another run's.
    pub fn extend(&mut self, other: &Self) {
        for point in &other.points {
            self.push(point.time, point.low);
            self.push(point.time, point.equity);
        }
    }
}

fn joined(pair: &[Point]) -> Option<Point> {
    let low = pair.iter().map(|p| p.low).min()?;
    pair.last().map(|last| Point { low, ..*last })
}

/// The last equity of every month.
#[derive(Debug, Clone, Default)]
pub struct Months {
    /// Year, month (from 1), equity before its first sample, and after its last.
    pub ends: Vec<(i64, u8, Money, Money)>,
}

impl Months {
    /// Adds a sample; `before` is what equity was before the first one.
    pub fn push(&mut self, time: Time, equity: Money, before: Money) {
        // A sample at midnight is the end of what was before it.
        let (year, month, _) = date(time.plus(-1));
        if let Some(last) = self.ends.last_mut()
            && (last.0, last.1) == (year, month)
        {
            last.3 = equity;
            return;
        }
        let before = self.ends.last().map_or(before, |last| last.3);
        self.ends.push((year, month, before, equity));
    }
}

/// Candles of a chart.
#[derive(Debug, Clone)]
pub struct Bars {
    kept: Vec<Candle>,
    stride: u32,
    filled: u32,
}

impl Default for Bars {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            stride: 1,
            filled: 1,
        }
    }
}

impl Bars {
    /// The candles, oldest first.
    pub fn bars(&self) -> &[Candle] {
        &self.kept
    }

    /// Adds a candle.
    pub fn push(&mut self, candle: &Candle) {
        if self.filled < self.stride
            && let Some(last) = self.kept.last_mut()
        {
            self.filled += 1;
            *last = merged(last, candle);
            return;
        }
        if self.kept.len() == BARS_MAX {
            let join = |pair: &[Candle]| match pair {
                [a, b] => Some(merged(a, b)),
                [a] => Some(*a),
                _ => None,
            };
            self.kept = self.kept.chunks(2).filter_map(join).collect();
            self.stride = self.stride.saturating_mul(2);
        }
        self.filled = 1;
        self.kept.push(*candle);
    }
}

fn merged(a: &Candle, b: &Candle) -> Candle {
    Candle {
        open_time: a.open_time,
        open: a.open,
        high: a.high.max(b.high),
        low: a.low.min(b.low),
        close: b.close,
        volume: a.volume.saturating_add(b.volume),
        quote_volume: a.quote_volume.saturating_add(b.quote_volume),
        trades: a.trades.saturating_add(b.trades),
    }
}

/// Year, month and day of a time, UTC. Years are counted from March, so that leap days come last.
pub fn date(time: Time) -> (i64, u8, u8) {
    let days = time.0.div_euclid(DAY) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + i64::from(month <= 2);
    let small = |n: i64| u8::try_from(n).unwrap_or(0);
    (year, small(month), small(day))
}

/// `2024-08-09 13:05:00`, UTC.
pub fn stamp(time: Time) -> String {
    let (year, month, day) = date(time);
    let second = time.0.rem_euclid(DAY) / crate::kernel::types::SECOND;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::types::MINUTE;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (text, ns) in [
            ("1970-01-01 00:00:00", 0),
            ("2000-02-29 00:00:00", 11_016 * DAY),
            ("2024-08-09 12:00:00", 1_723_204_800_000_000_000),
            ("1969-12-31 23:59:59", -1_000_000_000),
        ] {
            assert_eq!(stamp(Time(ns)), text);
        }
    }

    #[test]
    fn a_long_curve_stays_short_and_keeps_its_lowest_point() {
        let mut curve = Curve::default();
        for n in 0..100_000 {
            let equity = if n == 77_777 { 1 } else { 1_000 + n };
            curve.push(Time(n * MINUTE), Money::whole(equity));
        }
        assert!(curve.points().len() <= POINTS_MAX);
        let low = curve.points().iter().map(|p| p.low).min();
        assert_eq!(low, Some(Money::whole(1)));
        let last = curve.points().last().map(|p| p.equity);
        assert_eq!(last, Some(Money::whole(100_999)));
    }

    #[test]
    fn a_month_begins_with_what_the_last_one_left() {
        let mut months = Months::default();
        for (day, equity) in [(0, 100), (30, 110), (31, 120), (32, 130), (59, 90)] {
            months.push(Time(day * DAY + 1), Money::whole(equity), Money::whole(100));
        }
        let ends: Vec<_> = months.ends.iter().map(|e| (e.1, e.2, e.3)).collect();
        let money = Money::whole;
        let expected = [
            (1, money(100), money(110)),
            (2, money(110), money(130)),
            (3, money(130), money(90)),
        ];
        assert_eq!(ends, expected);
    }
}
