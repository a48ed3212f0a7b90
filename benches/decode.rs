//! Decoding of real frames, beside serde_json building a tree of the same bytes.

use hean::kernel::event::MarketEvent;
use hean::kernel::types::{
    Instrument, InstrumentId, InstrumentName, Money, Qty, Scale, Time, VenueId,
};
use hean::venue::binance::Market;
use hean::venue::binance::decode::{Decoded, Decoder};
use hean::venue::protocol::{Reading, TradeStream};

use crate::{Bench, Case};

/// BTCUSDT as wide as its recorded numbers are.
pub(crate) fn instrument() -> Instrument {
    Instrument {
        lot: Qty(1_000),
        qty_min: Qty(1_000),
        notional_min: Money::whole(5),
        ..Instrument::unlimited(
            InstrumentName {
                venue: VenueId::Binance,
                symbol: "BTCUSDT".to_owned(),
            },
            "BTC",
            "USDT",
            (Scale::new(2).expect("scale"), Scale::new(8).expect("scale")),
        )
    }
}

pub(crate) fn decoder() -> Decoder {
    let instrument = instrument();
    let reading = Reading {
        id: InstrumentId(0),
        instrument: &instrument,
        trades: TradeStream::Every,
    };
    Decoder::new(Market::Spot, &[reading])
}

/// The market events of the frames.
pub(crate) fn events(frames: &[Vec<u8>]) -> Vec<MarketEvent> {
    let decoder = decoder();
    let event = |frame: &Vec<u8>| match decoder.decode(frame, Time(1)) {
        Ok(Decoded::Market(event)) => Some(event),
        _ => None,
    };
    frames.iter().filter_map(event).collect()
}

pub(crate) fn bench(bench: &Bench, frames: &[Vec<u8>]) {
    let decoder = decoder();
    bench.compare(
        "decode, per frame",
        vec![
            Case::new("frame to event", frames.len(), || {
                frames
                    .iter()
                    .filter(|f| decoder.decode(f, Time(1)).is_ok())
                    .count() as u64
            }),
            Case::new("serde_json::Value, no event made", frames.len(), || {
                let tree = |f: &&Vec<u8>| serde_json::from_slice::<serde_json::Value>(f).is_ok();
                frames.iter().filter(tree).count() as u64
            }),
        ],
    );
}
