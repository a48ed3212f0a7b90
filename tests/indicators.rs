//! Indicators against values that TA-Lib computed on real candles.

#[path = "support/recordings.rs"]
mod recordings;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use hean::kernel::indicators::{Bar, INDICATORS, Spec};
use hean::kernel::types::Time;
use recordings::recordings;

/// The golden file: its header and its rows.
fn golden() -> Option<(Vec<String>, Vec<Vec<String>>)> {
    let file = recordings()?.join("../golden/indicators_btc_perp_1m.csv.gz");
    let packed = std::fs::File::open(&file).expect("golden file");
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_string(&mut text)
        .expect("gzip");
    let mut lines = text
        .lines()
        .map(|line| line.split(',').map(str::to_owned).collect());
    let header = lines.next().expect("header");
    Some((header, lines.collect()))
}

/// `macd:12:26:9.signal` is the output `signal` of `macd:12:26:9`; `t3:5:0.7` has a point of its own.
fn spec_and_output(column: &str) -> (&str, &str) {
    match column.rsplit_once('.') {
        Some((spec, output)) if !output.starts_with(|c: char| c.is_ascii_digit()) => (spec, output),
        Some(_) | None => (column, "value"),
    }
}

#[test]
fn every_cell_of_the_golden_file_is_met() {
    let Some((header, rows)) = golden() else {
        return;
    };
    let column = |name: &str| header.iter().position(|h| h == name).expect("column");
    let [open, high, low, close, volume] = ["open", "high", "low", "close", "volume"].map(column);
    let number = |text: &String| -> f64 { text.parse().expect("number") };
    let bars: Vec<Bar> = rows
        .iter()
        .map(|row| Bar {
            open: number(&row[open]),
            high: number(&row[high]),
            low: number(&row[low]),
            close: number(&row[close]),
            volume: number(&row[volume]),
            time: Time::ZERO,
        })
        .collect();
    assert_eq!(bars.len(), 3_000);
    let mut batches = BTreeMap::new();
    let mut names = BTreeSet::new();
    let mut cells = 0;
    for (index, column) in header.iter().enumerate().skip(6) {
        let (text, output) = spec_and_output(column);
        let spec = Spec::parse(text).expect("an indicator");
        assert_eq!(spec.to_string(), text, "the spelling of the header");
        names.insert(spec.row().name);
        let mut outputs = spec.row().outputs.iter();
        let at = outputs.position(|o| *o == output).expect("output");
        let values = batches
            .entry(text)
            .or_insert_with(|| spec.batch(bars.iter().copied()));
        for ((row, bar), value) in rows.iter().zip(&bars).zip(values.iter()) {
            let golden = Some(&row[index]).filter(|t| !t.is_empty()).map(number);
            match (golden, value.map(|v| v[at])) {
                (None, None) => {}
                (Some(a), Some(b)) => {
                    let bound = 1e-9 * a.abs().max(b.abs()).max(1e-6 * bar.close);
                    assert!(
                        (a - b).abs() <= bound,
                        "{column} at {}: {a} and {b}",
                        row[0]
                    );
                    cells += 1;
                }
                (golden, ours) => panic!("{column} at {}: {golden:?} and {ours:?}", row[0]),
            }
        }
    }
    assert_eq!(header.len() - 6, 58);
    assert!(cells > 170_000, "{cells}");
    // All but the one that TA-Lib does not have.
    let missing = INDICATORS
        .iter()
        .map(|row| row.name)
        .filter(|n| !names.contains(n));
    assert_eq!(missing.collect::<Vec<_>>(), ["vwap"]);
}
