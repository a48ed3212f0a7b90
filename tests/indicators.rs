//! Indicators against values that TA-Lib computed on real candles, and where strategies see them.

#[path = "support/recordings.rs"]
mod recordings;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use hean::kernel::event::{Candle, History};
use hean::kernel::indicators::{Bar, INDICATORS, Kept, Spec};
use hean::kernel::market::Series;
use hean::kernel::types::{
    Instrument, InstrumentName, Interval, MINUTE, Price, Scale, Time, VenueId,
};
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
    // All but those that TA-Lib does not have.
    let missing = INDICATORS.iter().filter(|row| !names.contains(row.name));
    for row in missing {
        assert_eq!(row.ta_lib, None, "{}", row.name);
    }
}

/// Minute candles that go up and down, with digits that doubles do not hold exactly.
fn candles(count: i64) -> Vec<Candle> {
    let candle = |at: i64| {
        let open = 6_160_201 + (at * 7_919) % 4_001;
        let close = 6_160_201 + ((at + 1) * 7_919) % 4_001;
        Candle {
            open_time: Time(at * MINUTE),
            open: Price(open),
            high: Price(open.max(close) + at % 37),
            low: Price(open.min(close) - at % 41),
            close: Price(close),
            volume: 1_000 + i128::from(at % 97),
            quote_volume: 0,
            trades: 1,
        }
    };
    (0..count).map(candle).collect()
}

fn instrument() -> Instrument {
    let scale = |digits| Scale::new(digits).expect("scale");
    let name = InstrumentName {
        venue: VenueId::Binance,
        symbol: "BTCUSDT".to_owned(),
    };
    Instrument::unlimited(name, "BTC", "USDT", (scale(2), scale(5)))
}

/// What a strategy needs is kept over its series, whatever it is, and seen under its name; also what is asked for later.
#[test]
fn a_series_keeps_any_indicator_for_a_strategy() {
    let (candles, instrument) = (candles(120), instrument());
    let specs: Vec<Spec> = INDICATORS
        .iter()
        .flat_map(|row| {
            let first = row.params.first().map(|p| p.min.max(1.0) + 4.0);
            let other = first.map_or(row.name.to_owned(), |p| format!("{}:{p}", row.name));
            [row.name.to_owned(), other]
        })
        .map(|text| Spec::parse(&text).expect("legal"))
        .collect();
    // Five is what some of them are by themselves; the same one is kept once.
    let mut distinct: Vec<Spec> = Vec::new();
    for spec in specs {
        if !distinct.contains(&spec) {
            distinct.push(spec);
        }
    }
    let specs = distinct;
    let (first, later) = specs.split_at(specs.len() / 2);
    let kept = first.iter().cloned().map(Kept::new).collect();
    let mut series = Series::new(Interval::MINUTE, 200, kept);
    let history = History {
        interval: Interval::MINUTE,
        candles: candles.clone(),
    };
    series.history(&history, Time(121 * MINUTE), &instrument);
    for (place, spec) in specs.iter().enumerate() {
        assert_eq!(series.keep(spec.clone(), &instrument), place, "{spec}");
    }
    assert_eq!(later.len() + first.len(), series.indicators().len());
    for spec in &specs {
        let all = spec.batch(candles.iter().map(|c| Bar::new(c, &instrument)));
        let now = all[119].expect("warm");
        assert_eq!(
            series.indicator(&spec.to_string()),
            Some((Some(now), all[118])),
            "{spec}"
        );
    }
}
