//! The equity curve: a day of minutes and a month of hours, in chunks that readers share.

use std::hash::Hash;

use serde::{Deserialize, Serialize};

use crate::kernel::types::{HOUR, MINUTE, Money, SharedLog, Time};

/// Minute samples kept.
const MINUTES_MAX: usize = 1_440;
/// Hour samples kept: 30 days.
const HOURS_MAX: usize = 720;

/// Equity at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EquityPoint {
    /// When.
    pub time: Time,
    /// Cash plus positions at mark.
    pub equity: Money,
    /// Equity less transfers: the profit and loss since the start.
    pub pnl: Money,
}

/// Equity over time, oldest first.
///
/// Two logs: the newest 1,440 minutes that have a sample, and the first minute of each of the newest
/// 720 hours that have one. Without gaps that is a day of minutes after 29 days of hours; where nothing
/// was sampled (the process was down), both reach further back. A second sample of a minute replaces
/// the first. A clone shares the points: it copies 35 pointers, and adding a point while a clone is
/// held copies at most 64 points of each log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Logs")]
pub struct EquityCurve {
    minutes: SharedLog<EquityPoint>,
    hours: SharedLog<EquityPoint>,
}

/// What is read before it is checked.
#[derive(Deserialize)]
struct Logs {
    minutes: SharedLog<EquityPoint>,
    hours: SharedLog<EquityPoint>,
}

impl TryFrom<Logs> for EquityCurve {
    type Error = &'static str;

    fn try_from(Logs { minutes, hours }: Logs) -> Result<Self, Self::Error> {
        let ascends = |log: &SharedLog<EquityPoint>, unit| {
            let next = log.iter().skip(1);
            log.iter()
                .zip(next)
                .all(|(a, b)| slot(a.time, unit) < slot(b.time, unit))
        };
        if minutes.len() > MINUTES_MAX || hours.len() > HOURS_MAX {
            return Err("an equity curve that is too long");
        }
        if !ascends(&minutes, MINUTE) || !ascends(&hours, HOUR) {
            return Err("an equity curve that runs back");
        }
        Ok(Self { minutes, hours })
    }
}

impl EquityCurve {
    /// The points, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &EquityPoint> {
        let first = self.minutes.iter().next().map(|point| point.time);
        self.hours
            .iter()
            .take_while(move |point| first.is_some_and(|first| point.time < first))
            .chain(self.minutes.iter())
    }

    /// The newest one.
    pub fn last(&self) -> Option<&EquityPoint> {
        self.minutes.last()
    }

    /// Adds a sample. One of a minute before the newest is left out.
    pub(super) fn push(&mut self, point: EquityPoint) {
        let Some(last) = self.minutes.last().map(|last| last.time) else {
            self.minutes.push(point);
            self.hours.push(point);
            return;
        };
        let (minute, newest) = (slot(point.time, MINUTE), slot(last, MINUTE));
        if minute < newest {
            return;
        }
        let hour = self.hours.last().map(|last| last.time);
        if minute == newest {
            self.minutes.set_last(point);
            if hour.is_some_and(|hour| slot(hour, MINUTE) == minute) {
                self.hours.set_last(point);
            }
            return;
        }
        self.minutes.push(point);
        if self.minutes.len() > MINUTES_MAX {
            self.minutes.drop_first();
        }
        if slot(last, HOUR) < slot(point.time, HOUR) {
            self.hours.push(point);
            if self.hours.len() > HOURS_MAX {
                self.hours.drop_first();
            }
        }
    }
}

/// Number of the minute or hour that a time is in.
fn slot(time: Time, unit: i64) -> i64 {
    time.0.div_euclid(unit)
}
