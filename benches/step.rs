//! The whole engine on real market events: book, candles, indicators, one strategy, paper venue.

use hean::engine::Engine;
use hean::kernel::event::{Effects, Input, Stamped};
use hean::kernel::ledger::Ledger;
use hean::kernel::types::{Instrument, Interval, Money, Time};
use hean::kernel::{Kernel, KernelConfig, Start};
use hean::venue::sim::paper::PaperConfig;

use crate::recordings::Recording;
use crate::{Bench, Case, decode};

/// A started engine without a journal.
pub(crate) fn engine(config: KernelConfig, instrument: Instrument) -> Engine {
    let kept = config.orders_kept;
    let kernel = Kernel::new(config, Ledger::new(kept)).expect("kernel");
    let mut engine = Engine::new(kernel, PaperConfig::default(), false);
    let start = Start {
        time: Time(1),
        version: "bench".to_owned(),
        instruments: vec![instrument],
        cash: ("USDT".to_owned(), Money::whole(1_000_000_000)),
    };
    engine.start(start, &mut Effects::new()).expect("start");
    engine
}

pub(crate) fn bench(bench: &Bench, recording: &Recording) {
    let events = decode::events(recording);
    let (decoder, frames) = (decode::decoder(recording), &recording.frames);
    let config = KernelConfig {
        intervals: vec![Interval::SECOND, Interval::MINUTE],
        ..KernelConfig::default()
    };
    bench.compare(
        "engine, per market event",
        vec![
            Case::new(
                "step, two intervals with five indicators",
                events.len(),
                || {
                    let mut engine = engine(config.clone(), recording.instrument.clone());
                    let mut effects = Effects::new();
                    for event in &events {
                        let input = Input::Market(event.clone());
                        engine.step(
                            &Stamped {
                                time: event.received,
                                input,
                            },
                            &mut effects,
                        );
                        effects.clear();
                    }
                    engine.state_hash()
                },
            ),
            Case::new("decoding of the same frames", frames.len(), || {
                frames
                    .iter()
                    .filter(|(time, frame)| decoder.decode(frame, *time).is_ok())
                    .count() as u64
            }),
        ],
    );
}
