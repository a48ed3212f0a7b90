//! The real recordings that the benchmarks run over, or the small sample of the repository.

use std::path::{Path, PathBuf};

use hean::kernel::types::{Instrument, InstrumentName, Money, Qty, Scale, Time, VenueId};
use hean::recording::Reader;
use hean::venue::binance::Market;

/// Frames of one market, in the order of time.
pub(crate) struct Recording {
    pub(crate) name: &'static str,
    pub(crate) market: Market,
    pub(crate) instrument: Instrument,
    pub(crate) files: Vec<PathBuf>,
    /// Receive time and bytes.
    pub(crate) frames: Vec<(Time, Vec<u8>)>,
}

/// BTCUSDT as wide as its recorded numbers are.
pub(crate) fn instrument(price_digits: u8, qty_digits: u8) -> Instrument {
    let name = InstrumentName {
        venue: VenueId::Binance,
        symbol: "BTCUSDT".to_owned(),
    };
    let scale = |digits| Scale::new(digits).expect("scale");
    let scales = (scale(price_digits), scale(qty_digits));
    Instrument {
        qty_min: Qty(1),
        notional_min: Money::whole(5),
        ..Instrument::unlimited(name, "BTC", "USDT", scales)
    }
}

/// Spot first.
pub(crate) fn all() -> Vec<Recording> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let data =
        std::env::var_os("HEAN_TEST_DATA").map_or(root.join("../shared/data"), PathBuf::from);
    let data = data.join("hftbacktest");
    if !data.exists() {
        return vec![Recording {
            name: "sample",
            market: Market::Spot,
            instrument: instrument(2, 8),
            frames: read(&[root.join("tests/data/binance_spot_frames.txt")]),
            files: vec![root.join("tests/data/binance_spot_frames.txt")],
        }];
    }
    let files = |names: &[&str]| -> Vec<PathBuf> { names.iter().map(|n| data.join(n)).collect() };
    let spot = files(&[
        "binance_spot_btcusdt_20240808.txt.gz",
        "binance_spot_btcusdt_20240809.txt.gz",
    ]);
    let usdm = files(&["binance_usdm_btcusdt_20240808.txt.gz"]);
    vec![
        Recording {
            name: "spot",
            market: Market::Spot,
            instrument: instrument(2, 8),
            frames: read(&spot),
            files: spot,
        },
        Recording {
            name: "usdm",
            market: Market::Usdm,
            instrument: instrument(2, 3),
            frames: read(&usdm),
            files: usdm,
        },
    ]
}

fn read<P: AsRef<Path>>(files: &[P]) -> Vec<(Time, Vec<u8>)> {
    let mut reader = Reader::new(files);
    let mut frames = Vec::new();
    while let Some(Ok(record)) = reader.next_record() {
        frames.push((record.received, record.frame.to_vec()));
    }
    frames
}
