//! Indicators over 1,000 candles, beside computing each value anew from its window.

use hean::kernel::indicators::{Bar, INDICATORS, Spec};

use crate::{Bench, Case};

const CANDLES: usize = 1_000;

pub(crate) fn bench(bench: &Bench) {
    let bars: Vec<Bar> = (0..CANDLES)
        .map(|i| Bar {
            close: 60_000.0 + ((i * 7_919) % 1_000) as f64,
        })
        .collect();
    let specs: Vec<Spec> = INDICATORS
        .iter()
        .map(|row| Spec::parse(row.name).expect("row"))
        .collect();
    bench.compare(
        "indicators, per 1,000 candles",
        vec![
            Case::new("all five, streaming", 1, || {
                let count = |s: &Spec| s.batch(bars.iter().copied()).iter().flatten().count();
                specs.iter().map(count).sum::<usize>() as u64
            }),
            Case::new("one SMA(20), each value from its window", 1, || {
                let mean = |w: &[Bar]| w.iter().map(|b| b.close).sum::<f64>() / 20.0;
                bars.windows(20).map(mean).filter(|m| *m > 0.0).count() as u64
            }),
        ],
    );
}
