//! Decoding of real frames, beside serde_json building a tree of the same bytes.

use hean::kernel::event::MarketEvent;
use hean::kernel::types::{InstrumentId, Time};
use hean::venue::binance::decode::{Decoded, Decoder};
use hean::venue::protocol::{Reading, TradeStream};

use crate::recordings::Recording;
use crate::{Bench, Case};

pub(crate) fn decoder(recording: &Recording) -> Decoder {
    let reading = Reading {
        id: InstrumentId(0),
        instrument: &recording.instrument,
        trades: TradeStream::Every,
    };
    Decoder::new(recording.market, &[reading])
}

/// The market events of the frames.
pub(crate) fn events(recording: &Recording) -> Vec<MarketEvent> {
    let decoder = decoder(recording);
    let event = |(received, frame): &(Time, Vec<u8>)| match decoder.decode(frame, *received) {
        Ok(Decoded::Market(event)) => Some(event),
        _ => None,
    };
    recording.frames.iter().filter_map(event).collect()
}

pub(crate) fn bench(bench: &Bench, recordings: &[Recording]) {
    for recording in recordings {
        compare(bench, recording);
    }
}

fn compare(bench: &Bench, recording: &Recording) {
    let (decoder, frames) = (decoder(recording), &recording.frames);
    bench.compare(
        &format!("decode, per frame, {}", recording.name),
        vec![
            Case::new("frame to event", frames.len(), || {
                frames
                    .iter()
                    .filter(|(time, frame)| decoder.decode(frame, *time).is_ok())
                    .count() as u64
            }),
            Case::new("serde_json::Value, no event made", frames.len(), || {
                let tree = |frame| serde_json::from_slice::<serde_json::Value>(frame).is_ok();
                frames.iter().filter(|(_, frame)| tree(frame)).count() as u64
            }),
        ],
    );
}
