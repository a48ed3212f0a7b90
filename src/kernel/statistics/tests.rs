//! Statistics against their definitions, over the whole history and in exact fractions.

use std::collections::BTreeMap;
use std::hash::Hasher as _;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed as _, ToPrimitive as _, Zero as _};
use proptest::prelude::*;
use xxhash_rust::xxh3::Xxh3;

use super::*;
use crate::kernel::types::HOUR;

#[derive(Debug, Clone)]
enum Op {
    Fill(Option<i64>, i64),
    Transfer(i64),
    /// Minutes since the last sample, and the equity.
    Equity(i64, i64),
    ResetPeak,
    /// Through the wire format and back.
    Restart,
}

/// No round numbers, and short enough for fractions over a history of them.
fn money(amount: i64) -> Money {
    Money(i128::from(amount) * 1_000 + i128::from(amount % 7))
}

fn ratio(value: Money) -> BigRational {
    BigRational::from_integer(BigInt::from(value.0))
}

fn whole(value: usize) -> BigRational {
    BigRational::from_integer(BigInt::from(value))
}

/// Everything that happened, and the definitions over it.
#[derive(Debug, Default)]
struct History {
    closed: Vec<Money>,
    fills: u64,
    turnover: i128,
    /// Time, equity, transfers so far.
    samples: Vec<(Time, Money, Money)>,
    transfers: i128,
    /// The first sample that peaks count from, at each sample.
    peaks_from: Vec<usize>,
    reset: usize,
}

/// A fall from sample `peak` to sample `trough`.
#[derive(Debug, Clone)]
struct Fall {
    amount: i128,
    height: i128,
    peak: usize,
    trough: usize,
}

impl History {
    fn returns(&self) -> Vec<BigRational> {
        let mut out = Vec::new();
        for pair in self.samples.windows(2) {
            let ((_, before, t0), (_, after, t1)) = (pair[0], pair[1]);
            let start = ratio(before) + ratio(t1) - ratio(t0);
            if start.is_positive() {
                out.push((ratio(after) - &start) / start);
            }
        }
        out
    }

    /// Mean and second moment about it.
    fn moments(returns: &[BigRational]) -> (BigRational, BigRational) {
        let n = whole(returns.len());
        let mean = returns.iter().sum::<BigRational>() / n;
        let m2 = returns.iter().map(|r| (r - &mean) * (r - &mean)).sum();
        (mean, m2)
    }

    /// `mean / sqrt(variance)`, annualised, by way of the exact square.
    fn annualised(mean: &BigRational, variance: &BigRational) -> Option<f64> {
        if variance.is_zero() {
            return None;
        }
        let square = mean * mean / variance * whole(525_600);
        let size = square.to_f64().expect("a double").sqrt();
        Some(if mean.is_negative() { -size } else { size })
    }

    fn sharpe(&self) -> Option<f64> {
        let returns = self.returns();
        if returns.len() < 2 {
            return None;
        }
        let (mean, m2) = Self::moments(&returns);
        Self::annualised(&mean, &(m2 / whole(returns.len() - 1)))
    }

    fn sortino(&self) -> Option<f64> {
        let returns = self.returns();
        if returns.len() < 2 {
            return None;
        }
        let (mean, _) = Self::moments(&returns);
        let below = returns.iter().filter(|r| r.is_negative());
        let sum: BigRational = below.map(|r| r * r).sum();
        Self::annualised(&mean, &(sum / whole(returns.len())))
    }

    /// The fall at each sample, measured without transfers.
    fn falls(&self) -> Vec<Fall> {
        let earned = |i: usize| self.samples[i].1.0 - self.samples[i].2.0;
        (0..self.samples.len())
            .map(|j| {
                let from = self.peaks_from[j];
                let i = (from..=j).max_by_key(|i| (earned(*i), *i)).expect("one");
                Fall {
                    amount: earned(i) - earned(j),
                    height: earned(i) + self.samples[j].2.0,
                    peak: i,
                    trough: j,
                }
            })
            .collect()
    }

    fn drawdown(&self, fall: &Fall) -> Drawdown {
        Drawdown {
            amount: Money(fall.amount),
            peak: Money(fall.height),
            peak_time: self.samples[fall.peak].0,
            trough_time: self.samples[fall.trough].0,
        }
    }

    fn largest(&self) -> Option<Drawdown> {
        let falls = self.falls();
        let deep = falls.iter().filter(|f| f.amount > 0);
        let first = deep.max_by_key(|f| (f.amount, std::cmp::Reverse(f.trough)));
        first.map(|f| self.drawdown(f))
    }

    fn percent(fall: &Fall) -> BigRational {
        if fall.height <= 0 {
            return BigRational::zero();
        }
        whole(100) * ratio(Money(fall.amount)) / ratio(Money(fall.height))
    }

    fn max_percent(&self) -> f64 {
        let falls = self.falls();
        let percents = falls.iter().map(Self::percent);
        percents
            .max()
            .map_or(0.0, |p| p.to_f64().expect("a double"))
    }

    fn streaks(&self) -> (u32, u32) {
        let (mut now, mut longest) = (0, 0);
        for realized in self.closed.iter().filter(|r| r.0 != 0) {
            now = if realized.0 < 0 { now + 1 } else { 0 };
            longest = longest.max(now);
        }
        (now, longest)
    }

    /// Sum and count of the closed ones of a sign.
    fn gross(&self, sign: i128) -> (i128, u64) {
        let of = self.closed.iter().filter(|r| r.0.signum() == sign);
        (of.clone().map(|r| r.0).sum(), of.count() as u64)
    }

    fn pnl_today(&self, zone_minutes: i64) -> Money {
        let day = |time: Time| (time.0 + zone_minutes * MINUTE).div_euclid(DAY);
        let pnl = |sample: &(Time, Money, Money)| sample.1.0 - sample.2.0;
        let Some(last) = self.samples.last() else {
            return Money::ZERO;
        };
        let before = self.samples.iter().rev().find(|s| day(s.0) < day(last.0));
        Money(pnl(last) - before.map_or(0, pnl))
    }

    fn curve(&self) -> Vec<EquityPoint> {
        let mut minutes = BTreeMap::new();
        for (time, equity, transfers) in &self.samples {
            let point = EquityPoint {
                time: *time,
                equity: *equity,
                pnl: Money(equity.0 - transfers.0),
            };
            minutes.insert(time.0.div_euclid(MINUTE), point);
        }
        let mut hours = BTreeMap::new();
        for point in minutes.values() {
            hours.entry(point.time.0.div_euclid(HOUR)).or_insert(*point);
        }
        let minutes: Vec<_> = minutes.into_values().collect();
        let minutes = &minutes[minutes.len().saturating_sub(1_440)..];
        let hours: Vec<_> = hours.into_values().collect();
        let hours = &hours[hours.len().saturating_sub(720)..];
        let first = minutes.first().map(|p| p.time);
        let old = hours.iter().filter(|p| Some(p.time) < first).copied();
        old.chain(minutes.iter().copied()).collect()
    }
}

/// Relative error 1e-9; absolute below one, where sums of both signs cancel.
fn close(got: Option<f64>, want: Option<f64>) -> bool {
    match (got, want) {
        (Some(got), Some(want)) => (got - want).abs() <= 1e-9 * want.abs().max(1.0),
        (None, None) => true,
        _ => false,
    }
}

fn hash(statistics: &Statistics) -> u64 {
    let mut state = Xxh3::new();
    statistics.hash_bits(&mut state);
    state.finish()
}

fn run(ops: &[Op], zone_minutes: i16, restarts: bool) -> (Statistics, History) {
    let (mut statistics, mut history) = (Statistics::default(), History::default());
    let mut time = Time(1_700_000_040 * 1_000_000_000);
    for op in ops {
        match op {
            Op::Fill(realized, notional) => {
                let (realized, notional) = (realized.map(money), money(*notional));
                statistics.fill(realized, notional).expect("small");
                history.fills += 1;
                history.turnover += notional.0.abs();
                history.closed.extend(realized);
            }
            Op::Transfer(amount) => {
                statistics.transfer(money(*amount)).expect("small");
                history.transfers += money(*amount).0;
            }
            Op::Equity(minutes, equity) => {
                time = time.plus(minutes * MINUTE);
                let (equity, transfers) = (money(*equity), Money(history.transfers));
                let done = statistics.equity(time, equity, transfers, zone_minutes);
                done.expect("small");
                history.samples.push((time, equity, transfers));
                history.peaks_from.push(history.reset);
            }
            Op::ResetPeak => {
                statistics.reset_peak();
                history.reset = history.samples.len().saturating_sub(1);
            }
            Op::Restart if restarts => {
                let bytes = postcard::to_allocvec(&statistics).expect("bytes");
                statistics = postcard::from_bytes(&bytes).expect("statistics");
            }
            Op::Restart => {}
        }
    }
    (statistics, history)
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let minutes = prop_oneof![8 => 0..3_i64, 2 => 3..2_000_i64];
    let equity = prop_oneof![
        9 => 1_i64..2_000_000_000,
        1 => -1_000_000_i64..1_000_000
    ];
    let op = prop_oneof![
        6 => (minutes, equity).prop_map(|(m, e)| Op::Equity(m, e)),
        4 => (
            prop::option::of(prop_oneof![3 => -1_000_000_000_i64..1_000_000_000, 1 => Just(0)]),
            -1_000_000_000_i64..1_000_000_000
        ).prop_map(|(r, n)| Op::Fill(r, n)),
        1 => (-500_000_000_i64..500_000_000).prop_map(Op::Transfer),
        1 => Just(Op::ResetPeak),
        1 => Just(Op::Restart),
    ];
    prop::collection::vec(op, 0..60)
}

proptest! {
    #[test]
    fn equal_the_definitions(ops in ops(), zone in -720..=840_i16) {
        let (got, history) = run(&ops, zone, true);
        let (profit, wins) = history.gross(1);
        let (loss, losses) = history.gross(-1);
        prop_assert_eq!((got.fills, got.wins, got.losses), (history.fills, wins, losses));
        prop_assert_eq!(got.turnover.0, history.turnover);
        prop_assert_eq!((got.gross_profit.0, got.gross_loss.0), (profit, loss));
        prop_assert_eq!((got.losing_streak, got.losing_streak_max), history.streaks());
        let mean = |sum: i128, count: u64| {
            let count = BigInt::from(count);
            (!count.is_zero()).then(|| BigRational::new(BigInt::from(sum), count))
        };
        for (average, exact) in [(got.average_win(), mean(profit, wins)), (got.average_loss(), mean(loss, losses))] {
            prop_assert_eq!(average.is_some(), exact.is_some());
            if let (Some(average), Some(exact)) = (average, exact) {
                let two = whole(2);
                prop_assert!((ratio(average) - exact).abs() * two <= whole(1));
            }
        }
        let factor = (loss != 0).then(|| profit as f64 / -(loss as f64));
        prop_assert!(close(got.profit_factor(), factor));
        prop_assert!(close(got.sharpe_ratio(), history.sharpe()), "{:?} {:?}", got.sharpe_ratio(), history.sharpe());
        prop_assert!(close(got.sortino_ratio(), history.sortino()), "{:?} {:?}", got.sortino_ratio(), history.sortino());

        prop_assert_eq!(got.max_drawdown_amount(), history.largest());
        prop_assert!(close(Some(got.max_drawdown_percent), Some(history.max_percent())));
        let deepest = got.max_drawdown();
        prop_assert_eq!(deepest.is_some(), got.max_drawdown_percent > 0.0);
        if let Some(deepest) = deepest {
            let falls = history.falls();
            let at = falls.iter().find(|f| history.drawdown(f) == deepest);
            let percent = at.map(|f| History::percent(f).to_f64().expect("a double"));
            prop_assert!(close(percent, Some(got.max_drawdown_percent)));
        }
        prop_assert_eq!(got.pnl_today(), Ok(history.pnl_today(i64::from(zone))));
        let curve: Vec<EquityPoint> = got.curve().iter().copied().collect();
        prop_assert_eq!(curve, history.curve());
    }

    /// The drawdown of now, with nothing moved after the newest sample.
    #[test]
    fn drawdown_now_equals_the_definition(mut ops in ops(), equity in 1_i64..2_000_000_000) {
        ops.push(Op::Equity(1, equity));
        let (got, history) = run(&ops, 0, false);
        let falls = history.falls();
        let now = falls.last().expect("one");
        let percent = History::percent(now).to_f64().expect("a double");
        prop_assert!(close(Some(got.drawdown_percent()), Some(percent)));
        prop_assert_eq!(got.peak_equity(), Some(Money(now.height)));
    }

    /// What is kept in a snapshot is all there is, to the bit.
    #[test]
    fn a_restart_changes_no_bit(ops in ops()) {
        let (straight, _) = run(&ops, 120, false);
        let (restarted, _) = run(&ops, 120, true);
        prop_assert_eq!(hash(&straight), hash(&restarted));
        prop_assert_eq!(straight, restarted);
    }
}

#[test]
fn the_curve_keeps_a_day_of_minutes_and_a_month_of_hours() {
    let (mut statistics, mut history) = (Statistics::default(), History::default());
    let (mut time, mut seed) = (Time(1_700_000_000 * 1_000_000_000), 1_u64);
    for step in 0..30_000_i64 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let minutes = [1, 1, 2, 5, 0, 3, 1, 90][(seed >> 61) as usize];
        time = time.plus(minutes * MINUTE);
        let equity = Money(i128::from(step % 977));
        let done = statistics.equity(time, equity, Money::ZERO, 0);
        done.expect("small");
        history.samples.push((time, equity, Money::ZERO));
        if step % 5_000 == 4_999 {
            let held = Arc::clone(statistics.curve());
            let want = history.curve();
            assert!(held.iter().eq(want.iter()), "step {step}");
            assert_eq!(held.last(), want.last());
        }
    }
    let curve = history.curve();
    assert!(curve.len() > 1_440 && curve.len() < 1_440 + 720);
    // A sample from before is no part of it.
    let before = Arc::clone(statistics.curve());
    let late = statistics.equity(Time(time.0 - MINUTE), Money(1), Money::ZERO, 0);
    late.expect("small");
    assert_eq!(&before, statistics.curve());
}

#[test]
fn a_reader_keeps_the_curve_that_it_took() {
    let mut statistics = Statistics::default();
    let sample = |s: &mut Statistics, n: i64| {
        let equity = Money::whole(n);
        s.equity(Time(n * MINUTE), equity, Money::ZERO, 0)
    };
    for n in 0..100 {
        sample(&mut statistics, n).expect("small");
    }
    let held = Arc::clone(statistics.curve());
    for n in 100..3_000 {
        sample(&mut statistics, n).expect("small");
    }
    assert_eq!(held.iter().count(), 100);
    assert_eq!(held.last().map(|p| p.equity), Some(Money::whole(99)));
    assert_eq!(statistics.curve().iter().count(), 1_440 + 26);
}

#[test]
fn what_overflows_changes_nothing() {
    let most = Money(i128::MAX);
    let mut statistics = Statistics::default();
    statistics.fill(Some(most), most).expect("it fits once");
    statistics
        .fill(Some(Money(-i128::MAX)), Money::ZERO)
        .expect("it fits once");
    statistics
        .equity(Time(0), most, Money::ZERO, 0)
        .expect("it fits");
    let before = (statistics.clone(), hash(&statistics));
    let one = Money(1);
    assert_eq!(statistics.fill(Some(one), Money::ZERO), Err(MoneyError));
    assert_eq!(
        statistics.fill(Some(Money(-2)), Money::ZERO),
        Err(MoneyError)
    );
    assert_eq!(statistics.fill(None, one), Err(MoneyError));
    assert_eq!(statistics.fill(None, Money(i128::MIN)), Err(MoneyError));
    assert_eq!(statistics.transfer(one), Err(MoneyError));
    let later = Time(MINUTE);
    for (equity, transfers) in [
        (Money(-2), Money::ZERO),
        (Money(-2), most),
        (most, Money(-1)),
    ] {
        let done = statistics.equity(later, equity, transfers, 0);
        assert_eq!(done, Err(MoneyError));
    }
    assert_eq!((statistics.clone(), hash(&statistics)), before);
}

#[test]
fn equal_returns_have_no_variance() {
    let mut statistics = Statistics::default();
    // 10 % a minute, in numbers that no double holds exactly.
    let mut equity = 1_000_000_000_000_000_003_i128 * 10_i128.pow(12);
    for minute in 0..12 {
        let done = statistics.equity(Time(minute * MINUTE), Money(equity), Money::ZERO, 0);
        done.expect("small");
        equity = equity / 10 * 11;
    }
    assert_eq!(statistics.sharpe_ratio(), None);
    assert_eq!(statistics.sortino_ratio(), None);
}

#[test]
fn the_day_begins_at_midnight_of_the_zone() {
    let pnl = |zone: i16, minutes: &[i64]| {
        let mut statistics = Statistics::default();
        for (minute, equity) in minutes.iter().zip(1..) {
            let done = statistics.equity(
                Time(minute * MINUTE),
                Money::whole(equity),
                Money::ZERO,
                zone,
            );
            done.expect("small");
        }
        statistics.pnl_today()
    };
    let evening = [22 * 60, 22 * 60 + 30, 23 * 60, 23 * 60 + 59];
    assert_eq!(pnl(0, &evening), Ok(Money::whole(4)));
    // At UTC+1 the third sample is of the next day.
    assert_eq!(pnl(60, &evening), Ok(Money::whole(2)));
    assert_eq!(
        pnl(-330, &[5 * 60, 5 * 60 + 29, 5 * 60 + 30]),
        Ok(Money::whole(1))
    );
}

#[test]
fn statistics_that_cannot_be_are_refused() {
    let broken = Statistics {
        mean: f64::NAN,
        ..Statistics::default()
    };
    let bytes = postcard::to_allocvec(&broken).expect("bytes");
    assert!(postcard::from_bytes::<Statistics>(&bytes).is_err());
    let points = |times: &[i64]| -> Vec<EquityPoint> {
        let point = |t: &i64| EquityPoint {
            time: Time(t * MINUTE),
            equity: Money::ZERO,
            pnl: Money::ZERO,
        };
        times.iter().map(point).collect()
    };
    let read = |minutes: &[i64], hours: &[i64]| {
        let bytes = postcard::to_allocvec(&(points(minutes), points(hours))).expect("bytes");
        postcard::from_bytes::<EquityCurve>(&bytes).is_ok()
    };
    let long: Vec<i64> = (0..1_441).collect();
    assert!(read(&[1, 2, 3], &[1, 60]));
    assert!(read(&long[1..], &[]));
    assert!(!read(&long, &[]));
    assert!(!read(&[1, 1], &[]));
    assert!(!read(&[], &[60, 61]));
}
