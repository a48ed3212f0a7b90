//! The real recordings that the benchmarks run over, or the small sample of the repository.

use std::path::{Path, PathBuf};

use hean::kernel::types::{
    Instrument, InstrumentName, InstrumentStatus, Money, Price, Qty, Rate, Scale, Time, VenueId,
};
use hean::recording::Reader;

/// Frames of one market, in the order of time.
pub(crate) struct Recording {
    pub(crate) name: &'static str,
    pub(crate) instrument: Instrument,
    /// Receive time and bytes.
    pub(crate) frames: Vec<(Time, Vec<u8>)>,
}

/// BTCUSDT as wide as its recorded numbers are.
pub(crate) fn instrument(price_digits: u8, qty_digits: u8) -> Instrument {
    Instrument {
        name: InstrumentName {
            venue: VenueId::Binance,
            symbol: "BTCUSDT".to_owned(),
        },
        base: "BTC".to_owned(),
        quote: "USDT".to_owned(),
        price_scale: Scale::new(price_digits).expect("scale"),
        qty_scale: Scale::new(qty_digits).expect("scale"),
        tick: Price(1),
        lot: Qty(1),
        qty_min: Qty(1),
        qty_max: Qty(0),
        notional_min: Money::whole(5),
        status: InstrumentStatus::Trading,
        maker_fee: Rate(100_000),
        taker_fee: Rate(100_000),
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
            instrument: instrument(2, 8),
            frames: read(&[root.join("tests/data/binance_spot_frames.txt")]),
        }];
    }
    let files = |names: &[&str]| -> Vec<PathBuf> { names.iter().map(|n| data.join(n)).collect() };
    vec![
        Recording {
            name: "spot",
            instrument: instrument(2, 8),
            frames: read(&files(&[
                "binance_spot_btcusdt_20240808.txt.gz",
                "binance_spot_btcusdt_20240809.txt.gz",
            ])),
        },
        Recording {
            name: "usdm",
            instrument: instrument(2, 3),
            frames: read(&files(&["binance_usdm_btcusdt_20240808.txt.gz"])),
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
