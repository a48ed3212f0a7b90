//! What holds for every row of the table.

use std::collections::BTreeSet;
use std::hash::Hasher as _;

use proptest::prelude::*;
use xxhash_rust::xxh3::Xxh3;

use super::*;
use crate::kernel::types::HOUR;

/// Open, distance up, distance down, place of the close between them, volume; whole numbers.
pub(super) type WholeBar = (u32, u32, u32, u32, u32);

/// Candles at few prices, so that equal ones, flat ones and such without volume are frequent.
pub(super) fn whole_bars(most: usize) -> impl Strategy<Value = Vec<WholeBar>> {
    let calm = (100..103_u32, 0..2_u32, 0..2_u32, 0..3_u32, 0..3_u32);
    let wild = (
        50..5_000_u32,
        0..200_u32,
        0..50_u32,
        0..250_u32,
        0..1_000_u32,
    );
    let many = 0..most;
    prop_oneof![
        prop::collection::vec(calm.clone(), many.clone()),
        prop::collection::vec(wild.clone(), many.clone()),
        prop::collection::vec(prop_oneof![calm, wild], many),
    ]
}

fn hour(at: usize) -> Time {
    Time(i64::try_from(at).expect("few") * HOUR)
}

/// The indicator with these parameters.
pub(super) fn spelt(name: &str, params: impl Iterator<Item = String>) -> Spec {
    let text: Vec<String> = [name.to_owned()].into_iter().chain(params).collect();
    Spec::parse(&text.join(":")).expect("legal")
}

/// An hour each, so that days end now and then.
pub(super) fn bars_of(bars: &[WholeBar]) -> Vec<Bar> {
    let bar = |(at, (open, up, down, close, volume)): (usize, &WholeBar)| {
        let (open, volume) = (f64::from(*open), f64::from(*volume));
        let (high, low) = (open + f64::from(*up), open - f64::from(*down));
        Bar {
            open,
            high,
            low,
            close: high.min(low + f64::from(*close)),
            volume,
            time: hour(at),
        }
    };
    bars.iter().enumerate().map(bar).collect()
}

/// A walk without two equal candles.
fn walk(count: usize) -> Vec<Bar> {
    let mut random: u64 = 42;
    let mut next = |most: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % most
    };
    let mut price = 40_000.0;
    let mut bar = |at: usize| {
        let open = price + next(50) as f64 * 0.01;
        let close = open + (next(4_001) as f64 - 2_000.0) * 0.01;
        price = close;
        Bar {
            open,
            high: open.max(close) + (1 + next(500)) as f64 * 0.01,
            low: open.min(close) - (1 + next(500)) as f64 * 0.01,
            close,
            volume: 1.0 + next(10_000) as f64 * 0.001,
            time: hour(at),
        }
    };
    (0..count).map(&mut bar).collect()
}

fn bits(values: Option<Values>) -> Option<[u64; 3]> {
    values.map(|v| v.map(f64::to_bits))
}

fn hash(indicator: &dyn Indicator) -> u64 {
    let mut hasher = Xxh3::new();
    indicator.hash_bits(&mut hasher);
    hasher.finish()
}

/// The row with parameters that are legal and small.
fn small(row: &Row, seeds: [u32; 3], part: f64) -> Spec {
    let param = |(param, seed): (&Param, u32)| {
        if param.whole {
            (param.min + f64::from(seed)).to_string()
        } else {
            let (min, max) = (param.min.max(-3.0), param.max.min(3.0));
            (min + (max - min) * part).to_string()
        }
    };
    spelt(row.name, row.params.iter().zip(seeds).map(param))
}

fn finite(spec: &Spec, bars: &[Bar]) {
    let all = spec.batch(bars.iter().copied());
    for (i, values) in all.iter().enumerate() {
        assert_eq!(values.is_some(), i >= spec.lookback(), "{spec} at {i}");
        let good = values.is_none_or(|v| v.iter().all(|x| x.is_finite()));
        assert!(good, "{spec} at {i}: {values:?}");
    }
}

#[test]
fn the_table_is_sound() {
    let names: BTreeSet<_> = INDICATORS.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), INDICATORS.len(), "names are unique");
    for row in INDICATORS {
        assert!(
            !row.title.is_empty() && !row.source.is_empty(),
            "{}",
            row.name
        );
        assert!((1..=3).contains(&row.outputs.len()), "{}", row.name);
        assert!(!row.inputs.is_empty(), "{}", row.name);
        let single = row.outputs.len() == 1;
        assert_eq!(single, row.outputs == ["value"], "{}", row.name);
        let params: BTreeSet<_> = row.params.iter().map(|p| p.name).collect();
        assert_eq!(params.len(), row.params.len(), "{}", row.name);
        for param in row.params {
            let (min, max, default) = (param.min, param.max, param.default);
            assert!(
                min <= default && default <= max,
                "{} {}",
                row.name,
                param.name
            );
        }
    }
}

#[test]
fn parameters_at_their_limits_are_legal_and_beyond_them_not() {
    let bars = walk(300);
    for row in INDICATORS {
        for param in row.params {
            for (limit, beyond) in [(param.min, param.min - 1.0), (param.max, param.max * 1.1)] {
                let spec = Spec::parse(&format!("{}:{}={limit}", row.name, param.name));
                let spec = spec.expect("the limit is legal");
                assert_eq!(Spec::parse(&spec.to_string()), Ok(spec.clone()));
                finite(&spec, &bars);
                // −3e37 − 1 is −3e37.
                let beyond = if param.min < -1.0 && beyond < 0.0 {
                    beyond * 1.1
                } else {
                    beyond
                };
                let spec = Spec::parse(&format!("{}:{}={beyond}", row.name, param.name));
                assert!(spec.is_err(), "{} {} {beyond}", row.name, param.name);
            }
        }
        let spec = spelt(row.name, row.params.iter().map(|p| p.min.to_string()));
        finite(&spec, &bars);
    }
}

#[test]
fn no_candle_makes_a_value_that_is_no_number() {
    let flat = |price: f64, volume: f64| Bar {
        open: price,
        high: price,
        low: price,
        close: price,
        volume,
        time: Time::ZERO,
    };
    // The largest numbers of the market types, and the largest that files may hold.
    let (price, volume) = (9.3e18, 1.7e38);
    let mut mixed = walk(60);
    for (at, bar) in mixed.iter_mut().enumerate() {
        match at % 7 {
            0 => bar.volume = volume,
            1 => bar.volume = 0.0,
            2 => bar.volume = 1e-8,
            3 => {
                *bar = Bar {
                    high: price,
                    ..*bar
                }
            }
            4 => *bar = Bar { low: 1e-8, ..*bar },
            5 => *bar = flat(1e38, 1e38),
            _ => {}
        }
    }
    let shapes: Vec<Vec<Bar>> = vec![
        vec![flat(0.1, 1.0); 150],
        vec![flat(0.1, 0.0); 150],
        vec![flat(1e-8, volume); 150],
        vec![flat(1e38, 1e38); 150],
        vec![flat(0.0, 0.0); 150],
        walk(90)
            .into_iter()
            .map(|bar| Bar { volume: 0.0, ..bar })
            .collect(),
        [walk(60), vec![flat(40_000.1, 0.0); 90]].concat(),
        [vec![flat(1e-8, 0.0); 60], walk(90)].concat(),
        mixed.iter().cycle().take(180).copied().collect(),
    ];
    for row in INDICATORS {
        for spec in [small(row, [0, 0, 0], 1.0), small(row, [4, 7, 3], 0.6)] {
            for bars in &shapes {
                finite(&spec, bars);
            }
        }
    }
}

#[test]
fn the_state_hash_sees_every_candle() {
    let bars = walk(80);
    for row in INDICATORS {
        let spec = small(row, [3, 5, 2], 0.5);
        let (mut one, mut two) = (spec.build(), spec.build());
        let stateless = ["bop", "typprice"].contains(&row.name);
        for pair in bars.windows(2) {
            let before = hash(&*one);
            one.push(pair[0]);
            assert_eq!(hash(&*one) == before, stateless, "{spec}");
            let mut other = spec.build();
            other.push(pair[1]);
            let mut same = spec.build();
            same.push(pair[0]);
            assert_eq!(hash(&*other) == hash(&*same), stateless, "{spec}");
            two.push(pair[0]);
            assert_eq!(hash(&*one), hash(&*two), "{spec}");
        }
    }
}

/// The values when one field of the candles is another.
fn with_other(spec: &Spec, bars: &[Bar], field: Field) -> Vec<Option<[u64; 3]>> {
    let change = |(at, bar): (usize, &Bar)| {
        let by = 3.0 * (at * 37 % 11) as f64;
        let mut bar = *bar;
        match field {
            Field::Open => bar.open += by,
            Field::High => bar.high += by,
            Field::Low => bar.low -= by,
            Field::Close => bar.close += by,
            Field::Volume => bar.volume += by,
            Field::Time => bar.time = Time(bar.time.0 * 5),
        }
        bar
    };
    let bars = bars.iter().enumerate().map(change);
    spec.batch(bars).into_iter().map(bits).collect()
}

#[test]
fn the_table_names_what_is_read() {
    let bars = walk(80);
    for row in INDICATORS {
        let spec = small(row, [3, 5, 2], 0.7);
        // VWAP reads the time only where it is of the day.
        let spec = if row.name == "vwap" {
            Spec::parse("vwap").expect("legal")
        } else {
            spec
        };
        let plain: Vec<_> = spec
            .batch(bars.iter().copied())
            .into_iter()
            .map(bits)
            .collect();
        for field in [
            Field::Open,
            Field::High,
            Field::Low,
            Field::Close,
            Field::Volume,
            Field::Time,
        ] {
            let same = with_other(&spec, &bars, field) == plain;
            assert_eq!(same, !row.inputs.contains(&field), "{spec}: {field}");
        }
    }
}

proptest! {
    /// Warm-up as declared, a batch is the stream, no look-ahead, and a preview is what comes and
    /// changes nothing.
    #[test]
    fn every_row_keeps_its_promises(
        bars in whole_bars(80), a in 0..12_u32, b in 0..12_u32, c in 0..5_u32, part in 0.0..=1.0_f64, cut in 0..80_usize,
    ) {
        let bars = bars_of(&bars);
        let cut = cut.min(bars.len());
        for row in INDICATORS {
            let spec = small(row, [a, b, c], part);
            let all = spec.batch(bars.iter().copied());
            let prefix = spec.batch(bars[..cut].iter().copied());
            prop_assert!(prefix.iter().zip(&all).all(|(a, b)| bits(*a) == bits(*b)), "{}", &spec);
            let mut stream = spec.build();
            for (i, (bar, want)) in bars.iter().zip(&all).enumerate() {
                prop_assert_eq!(want.is_some(), i >= spec.lookback(), "{} at {}", &spec, i);
                let good = want.is_none_or(|v| v.iter().all(|x| x.is_finite()));
                prop_assert!(good, "{} at {}: {:?}", &spec, i, want);
                let before = hash(&*stream);
                for other in &bars[..bars.len().min(3)] {
                    stream.peek(*other);
                }
                let peeked = stream.peek(*bar);
                prop_assert_eq!(hash(&*stream), before, "{}", &spec);
                let pushed = stream.push(*bar);
                prop_assert_eq!(bits(peeked), bits(pushed), "{}", &spec);
                prop_assert_eq!(bits(pushed), bits(*want), "{}", &spec);
            }
        }
    }
}
