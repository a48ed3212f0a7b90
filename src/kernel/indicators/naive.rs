//! Twins that take every value anew from its definition and its window, as slowly as it gets. Prices
//! are whole numbers here, so that sums and squares are exact and zero is zero.

use proptest::prelude::*;

use super::tests::{bars_of, spelt, whole_bars};
use super::{Bar, EPSILON, Spec, Values};
use crate::kernel::types::DAY;

/// The last `n` of what ends at `i`, oldest first.
fn last<T>(all: &[T], i: usize, n: usize) -> Option<&[T]> {
    all.get(..=i)?.get((i + 1).checked_sub(n)?..)
}

fn sum(values: impl Iterator<Item = f64>) -> f64 {
    values.sum()
}

fn mean(values: &[f64]) -> f64 {
    sum(values.iter().copied()) / values.len() as f64
}

fn map(bars: &[Bar], field: impl Fn(&Bar) -> f64) -> Vec<f64> {
    bars.iter().map(field).collect()
}

fn typical(bar: &Bar) -> f64 {
    (bar.high + bar.low + bar.close) / 3.0
}

fn highest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::NEG_INFINITY, f64::max)
}

fn lowest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::INFINITY, f64::min)
}

/// Means of the last `n`, `None` before there are as many.
fn means(values: &[Option<f64>], n: usize) -> Vec<Option<f64>> {
    let mean_at = |i| -> Option<f64> {
        let window: Option<Vec<f64>> = last(values, i, n)?.iter().copied().collect();
        Some(mean(&window?))
    };
    (0..values.len()).map(mean_at).collect()
}

/// An exponential average, seeded by the mean of the first `n` values that there are.
fn average(values: &[Option<f64>], n: usize) -> Vec<Option<f64>> {
    let first = values.iter().position(Option::is_some);
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    let at = |i: usize| -> Option<f64> {
        let known = known.get(..=i.checked_sub(first?)?)?;
        let (seed, rest) = known.split_at_checked(n)?;
        let k = 2.0 / (n as f64 + 1.0);
        Some(rest.iter().fold(mean(seed), |e, x| e + k * (x - e)))
    };
    (0..values.len()).map(at).collect()
}

fn all_some(values: &[f64]) -> Vec<Option<f64>> {
    values.iter().copied().map(Some).collect()
}

fn spread(x: &[f64], y: &[f64]) -> f64 {
    let n = x.len() as f64;
    let both = sum(x.iter().zip(y).map(|(x, y)| x * y));
    n * both - sum(x.iter().copied()) * sum(y.iter().copied())
}

/// The slope of y over x by deviations from the means, which suits small returns.
fn slope(x: &[f64], y: &[f64]) -> f64 {
    let (mx, my) = (mean(x), mean(y));
    let xx = sum(x.iter().map(|x| (x - mx) * (x - mx)));
    let xy = sum(x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)));
    if xx < 1e-22 { 0.0 } else { xy / xx }
}

fn stand(bars: &[Bar]) -> f64 {
    let (high, low) = (
        highest(bars.iter().map(|b| b.high)),
        lowest(bars.iter().map(|b| b.low)),
    );
    let close = bars[bars.len() - 1].close;
    if high > low {
        100.0 * (close - low) / (high - low)
    } else {
        0.0
    }
}

/// How many candles ago the best of `values` was, the latest of equal ones.
fn age(values: &[f64], better: impl Fn(f64, f64) -> bool) -> f64 {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if !better(values[best], *value) {
            best = at;
        }
    }
    (values.len() - 1 - best) as f64
}

fn kama(closes: &[f64], n: usize, i: usize) -> Option<f64> {
    if n == 1 {
        return Some(closes[i]);
    }
    let mut average = *closes.get(n - 1).filter(|_| i >= n)?;
    for at in n..=i {
        let window = &closes[at - n..=at];
        let path = sum(window.windows(2).map(|w| (w[1] - w[0]).abs()));
        let moved = window[n] - window[0];
        let efficiency = if path > 0.0 { moved.abs() / path } else { 1.0 };
        let factor = efficiency * (2.0 / 3.0 - 2.0 / 31.0) + 2.0 / 31.0;
        average += factor * factor * (closes[at] - average);
    }
    Some(average)
}

/// ADX from sums that lose an n-th at every step, written out.
fn adx(bars: &[Bar], n: usize, i: usize) -> Option<f64> {
    let mut indices = Vec::new();
    let (mut up, mut down, mut range) = (0.0, 0.0, 0.0);
    for at in 1..=i {
        let (now, before) = (bars[at], bars[at - 1]);
        let (rise, fall) = (now.high - before.high, before.low - now.low);
        let keep = if at >= n { 1.0 - 1.0 / n as f64 } else { 1.0 };
        let true_high = now.high.max(before.close);
        let true_low = now.low.min(before.close);
        up = up * keep + if rise > fall { rise.max(0.0) } else { 0.0 };
        down = down * keep + if fall > rise { fall.max(0.0) } else { 0.0 };
        range = range * keep + true_high - true_low;
        if at >= n {
            let moved: f64 = up + down;
            let index = 100.0 * (up - down).abs() / moved;
            indices.push((moved > 0.0 && range > 0.0).then_some(index));
        }
    }
    let (first, rest) = indices.split_at_checked(n)?;
    let seed = sum(first.iter().map(|x| x.unwrap_or(0.0))) / n as f64;
    let step = |adx: f64, index: f64| adx + (index - adx) / n as f64;
    Some(
        rest.iter()
            .flatten()
            .fold(seed, |adx, index| step(adx, *index)),
    )
}

/// Highest high, middle and lowest low.
fn ends(bars: &[Bar]) -> Vec<f64> {
    let (high, low) = (
        highest(bars.iter().map(|b| b.high)),
        lowest(bars.iter().map(|b| b.low)),
    );
    vec![high, f64::midpoint(high, low), low]
}

/// Wilder's average of true ranges up to `i`.
fn true_range_average(bars: &[Bar], n: usize, i: usize) -> Option<f64> {
    let range = |w: &[Bar]| {
        highest([w[1].high, w[0].close].into_iter()) - lowest([w[1].low, w[0].close].into_iter())
    };
    let ranges: Vec<f64> = bars[..=i].windows(2).map(range).collect();
    let (seed, rest) = ranges.split_at_checked(n)?;
    Some(rest.iter().fold(mean(seed), |a, x| a + (x - a) / n as f64))
}

/// Each candle's bands from all that came before, by the definition.
fn supertrend(bars: &[Bar], n: usize, factor: f64, i: usize) -> Option<Vec<f64>> {
    let mut known: Option<(f64, f64, bool)> = None;
    for at in n..=i {
        let width = factor * true_range_average(bars, n, at)?;
        let middle = f64::midpoint(bars[at].high, bars[at].low);
        let (basic_upper, basic_lower) = (middle + width, middle - width);
        let (upper, lower, was_up) = match known {
            None => (basic_upper, basic_lower, false),
            Some((upper, lower, up)) => {
                let close = bars[at - 1].close;
                let upper_moves = basic_upper < upper || close > upper;
                let lower_moves = basic_lower > lower || close < lower;
                (
                    if upper_moves { basic_upper } else { upper },
                    if lower_moves { basic_lower } else { lower },
                    up,
                )
            }
        };
        let up = if was_up {
            bars[at].close >= lower
        } else {
            bars[at].close > upper
        };
        known = Some((upper, lower, up));
    }
    let (upper, lower, up) = known?;
    Some(if up {
        vec![lower, 1.0]
    } else {
        vec![upper, -1.0]
    })
}

fn vwap(bars: &[Bar]) -> f64 {
    let volume = sum(bars.iter().map(|b| b.volume));
    if volume > 0.0 {
        sum(bars.iter().map(|b| typical(b) * b.volume)) / volume
    } else {
        typical(&bars[bars.len() - 1])
    }
}

/// The value at `i`; `None` while warming up.
#[expect(clippy::many_single_char_names, reason = "formulas")]
fn value(name: &str, p: &[usize], bars: &[Bar], i: usize) -> Option<Vec<f64>> {
    let n = p.first().copied().unwrap_or(0);
    let closes = map(bars, |b| b.close);
    let window = |n: usize| last(bars, i, n);
    let window_of = |field: fn(&Bar) -> f64, n: usize| Some(map(window(n)?, field));
    let one = |x: f64| Some(vec![x]);
    match name {
        "wma" => {
            let w = last(&closes, i, n)?;
            let weighted = sum(w.iter().enumerate().map(|(at, x)| (at + 1) as f64 * x));
            one(weighted / (n * (n + 1) / 2) as f64)
        }
        "trima" => {
            let w = last(&closes, i, n)?;
            let weight = |at: usize| (at + 1).min(n - at) as f64;
            let weights = sum((0..n).map(weight));
            one(sum(w.iter().enumerate().map(|(at, x)| weight(at) * x)) / weights)
        }
        "stddev" => {
            let w = last(&closes, i, n)?;
            one(spread(w, w).sqrt() / n as f64)
        }
        "linearreg" | "linearreg_slope" => {
            let w = last(&closes, i, n)?;
            let x: Vec<f64> = (0..n).map(|at| at as f64).collect();
            let slope = spread(&x, w) / spread(&x, &x);
            match name {
                "linearreg" => one(mean(w) + slope * (n - 1) as f64 / 2.0),
                _ => one(slope),
            }
        }
        "highest" => one(highest(window(n)?.iter().map(|b| b.high))),
        "lowest" => one(lowest(window(n)?.iter().map(|b| b.low))),
        "midprice" => {
            let w = window(n)?;
            let ends = (
                highest(w.iter().map(|b| b.high)),
                lowest(w.iter().map(|b| b.low)),
            );
            one(ends.0 - (ends.0 - ends.1) * 0.5)
        }
        "willr" => {
            let w = window(n)?;
            let flat = w.iter().all(|b| b.high <= w[0].low && b.low >= w[0].high);
            one(if flat { 0.0 } else { stand(w) - 100.0 })
        }
        "stochf" | "stoch" => {
            let raw: Vec<Option<f64>> = (0..bars.len())
                .map(|i| last(bars, i, n).map(stand))
                .collect();
            let k: Vec<Option<f64>> = match name {
                "stoch" => means(&raw, p[1]),
                _ => raw,
            };
            let d = means(&k, p[p.len() - 1])[i]?;
            Some(vec![k[i]?, d])
        }
        "aroon" => {
            let w = window(n + 1)?;
            let recent = |age: f64| 100.0 * (n as f64 - age) / n as f64;
            let down = age(&map(w, |b| b.low), |best, x| best < x);
            let up = age(&map(w, |b| b.high), |best, x| best > x);
            Some(vec![recent(down), recent(up)])
        }
        "cci" => {
            let w = window_of(typical, n)?;
            let m = mean(&w);
            let deviation = mean(&w.iter().map(|x| (x - m).abs()).collect::<Vec<_>>());
            let distance = w[n - 1] - m;
            let flat = distance.abs() <= EPSILON * (w[n - 1] + m);
            one(if flat {
                0.0
            } else {
                distance / (0.015 * deviation)
            })
        }
        "mfi" => {
            let w = window(n + 1)?;
            let total = |b: &Bar| b.high + b.low + b.close;
            let flow = |up: f64| {
                let counts = |w: &&[Bar]| up * (total(&w[1]) - total(&w[0])) > 0.0;
                sum(w
                    .windows(2)
                    .filter(counts)
                    .map(|w| typical(&w[1]) * w[1].volume))
            };
            let (up, down) = (flow(1.0), flow(-1.0));
            one(if up + down > 0.0 {
                100.0 * up / (up + down)
            } else {
                0.0
            })
        }
        "correl" => {
            let (x, y) = (window_of(|b| b.high, n)?, window_of(|b| b.low, n)?);
            let (xx, yy) = (spread(&x, &x), spread(&y, &y));
            one(if xx > 0.0 && yy > 0.0 {
                spread(&x, &y) / (xx * yy).sqrt()
            } else {
                0.0
            })
        }
        "beta" => {
            let w = window(n + 1)?;
            let returns = |field: fn(&Bar) -> f64| -> Vec<f64> {
                w.windows(2)
                    .map(|w| field(&w[1]) / field(&w[0]) - 1.0)
                    .collect()
            };
            one(slope(&returns(|b| b.high), &returns(|b| b.low)))
        }
        "trix" => {
            let triple = (0..3).fold(all_some(&closes), |values, _| average(&values, n));
            let before = triple[i.checked_sub(1)?]?;
            one((triple[i]? / before - 1.0) * 100.0)
        }
        "kama" => one(kama(&closes, n, i)?),
        "adx" => one(adx(bars, n, i)?),
        "donchian" => Some(ends(window(n)?)),
        "keltner" => {
            let middle = average(&all_some(&closes), n)[i]?;
            let width = true_range_average(bars, p[1], i)? * p[2] as f64;
            Some(vec![middle + width, middle, middle - width])
        }
        "supertrend" => supertrend(bars, n, p[1] as f64, i),
        "ichimoku" => Some(vec![ends(window(n)?)[1], ends(window(p[1])?)[1]]),
        "ichimoku_cloud" => {
            // What a chart draws here was known so many candles before.
            let then = i.checked_sub(p[1])?;
            let middle = |n: usize| Some(ends(last(bars, then, n)?)[1]);
            Some(vec![
                f64::midpoint(middle(n)?, middle(p[1])?),
                middle(p[2])?,
            ])
        }
        "rvol" => {
            let w = last(&closes, i, n + 1)?;
            let squares = w.windows(2).map(|w| {
                let step = libm::log(w[1] / w[0]);
                step * step
            });
            one((sum(squares) / n as f64).sqrt())
        }
        "vwap" if n == 0 => {
            let today = |b: &&Bar| b.time.0 / DAY == bars[i].time.0 / DAY;
            one(vwap(
                &bars[..=i].iter().filter(today).copied().collect::<Vec<_>>(),
            ))
        }
        "vwap" => one(vwap(window(n)?)),
        other => panic!("no twin of {other}"),
    }
}

const TWINS: &[&str] = &[
    "donchian",
    "keltner",
    "supertrend",
    "ichimoku",
    "ichimoku_cloud",
    "rvol",
    "wma",
    "trima",
    "stddev",
    "linearreg",
    "linearreg_slope",
    "highest",
    "lowest",
    "midprice",
    "willr",
    "stoch",
    "stochf",
    "aroon",
    "cci",
    "mfi",
    "correl",
    "beta",
    "trix",
    "kama",
    "adx",
    "vwap",
];

fn near(ours: f64, theirs: f64, price: f64) -> bool {
    (ours - theirs).abs() <= 1e-9 * ours.abs().max(theirs.abs()).max(1e-3 * price)
}

proptest! {
    #[test]
    fn streams_equal_their_definitions(bars in whole_bars(70), a in 0..12_usize, b in 1..5_usize, c in 1..5_usize) {
        let bars = bars_of(&bars);
        for name in TWINS {
            let row = *Spec::parse(name).expect("a row").row();
            let places: Vec<usize> = [a, b, c].into_iter().take(row.params.len()).collect();
            let legal = |(place, param): (&usize, &super::Param)| {
                // Small, and never below what is legal.
                if *place as f64 >= param.min { *place } else { 2 }
            };
            let places: Vec<usize> = places.iter().zip(row.params).map(legal).collect();
            let places = if *name == "stddev" { vec![places[0], 1] } else { places };
            let spec = spelt(name, places.iter().map(ToString::to_string));
            let values: Vec<Option<Values>> = spec.batch(bars.iter().copied());
            for (i, ours) in values.iter().enumerate() {
                let twin = value(name, &places, &bars, i);
                prop_assert_eq!(ours.is_some(), twin.is_some(), "{} at {}", &spec, i);
                let pairs = ours.iter().flatten().zip(twin.iter().flatten());
                for (ours, theirs) in pairs {
                    prop_assert!(near(*ours, *theirs, bars[i].close), "{spec} at {i}: {ours} and {theirs}");
                }
            }
        }
    }
}
