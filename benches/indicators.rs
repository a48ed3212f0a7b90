//! Indicators over candles: each row of the table, and the five defaults beside computing an average
//! anew from its window.

use std::io::Write as _;

use hean::kernel::KernelConfig;
use hean::kernel::indicators::{Bar, INDICATORS, Spec};
use hean::kernel::types::{MINUTE, Time};

use crate::{Bench, Case};

const CANDLES: usize = 1_000;

fn bars(count: usize) -> Vec<Bar> {
    let bar = |i: i64| {
        let at = |step: i64| 60_000.0 + ((i * 7_919 + step * 131) % 1_000) as f64;
        let (open, close) = (at(0), at(1));
        Bar {
            open,
            high: open.max(close) + (i * 31 % 97) as f64,
            low: open.min(close) - (i * 17 % 89) as f64,
            close,
            volume: 1.0 + (i * 13 % 71) as f64,
            time: Time(i * MINUTE),
        }
    };
    (0_i64..).take(count).map(bar).collect()
}

/// The time of each row for a candle, dearest last.
fn rows(bench: &Bench) {
    let bars = bars(20 * CANDLES);
    let mut costs: Vec<(f64, String)> = INDICATORS
        .iter()
        .filter_map(|row| Spec::parse(row.name).ok())
        .map(|spec| {
            let mut times: Vec<f64> = (0..bench.rounds)
                .map(|_| {
                    let mut indicator = spec.build();
                    let began = bench.clock.now();
                    let mut values = 0_u64;
                    for bar in &bars {
                        values += u64::from(indicator.push(*bar).is_some());
                    }
                    std::hint::black_box(values);
                    bench.clock.now().since(began) as f64 / bars.len() as f64
                })
                .collect();
            times.sort_by(f64::total_cmp);
            (times[times.len() / 2], spec.to_string())
        })
        .collect();
    costs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "\nindicators, per candle"));
    for (cost, name) in costs {
        drop(writeln!(out, "  {name:<44} {cost:>10.1} ns"));
    }
}

pub(crate) fn bench(bench: &Bench) {
    let bars = bars(CANDLES);
    let specs = KernelConfig::default().indicators;
    bench.compare(
        "indicators, per 1,000 candles",
        vec![
            Case::new("the five defaults, streaming", 1, || {
                let count = |s: &Spec| s.batch(bars.iter().copied()).iter().flatten().count();
                specs.iter().map(count).sum::<usize>() as u64
            }),
            Case::new("one SMA(20), each value from its window", 1, || {
                let mean = |w: &[Bar]| w.iter().map(|b| b.close).sum::<f64>() / 20.0;
                bars.windows(20).map(mean).filter(|m| *m > 0.0).count() as u64
            }),
        ],
    );
    rows(bench);
}
