//! Market data from frame to state, by kind of frame: what one core can take. Frames lie in memory, so
//! decompression is not in it.
//!
//! Every part runs over all frames of a kind at once, in their order: decoding; the book (level changes
//! with their checks); the whole engine (book, candles of two intervals with five indicators each,
//! paper venue). The last line runs everything frame by frame, as a replay does.

use std::hint::black_box;
use std::io::Write as _;

use hean::kernel::KernelConfig;
use hean::kernel::event::{Effects, Input, MarketData, MarketEvent, Stamped};
use hean::kernel::market::SyncedBook;
use hean::kernel::types::{Interval, Time};
use hean::venue::binance::decode::{Decoded, Decoder};

use crate::recordings::Recording;
use crate::{Bench, decode, step};

/// Kinds of frames, as the data tells them apart.
const KINDS: [&str; 4] = ["bookTicker", "trade", "depthUpdate", "other"];
/// The parts that are timed by kind.
const PARTS: [&str; 3] = ["decode", "book", "engine"];

fn kind_of(event: &MarketEvent) -> usize {
    match event.data {
        MarketData::Quote(_) => 0,
        MarketData::Trade(_) => 1,
        MarketData::Depth(_) => 2,
        _ => 3,
    }
}

/// Of one recording: frames and level changes by kind, and the best time of each part, in nanoseconds.
#[derive(Default)]
struct Figures {
    frames: [u64; 4],
    changes: u64,
    best: [[f64; 4]; 3],
    whole: f64,
}

pub(crate) fn bench(bench: &Bench, recordings: &[Recording]) {
    let mut mix = Figures::default();
    for recording in recordings {
        let figures = measure(bench, recording);
        print(recording.name, &figures);
        mix.changes += figures.changes;
        mix.whole += figures.whole;
        for kind in 0..KINDS.len() {
            mix.frames[kind] += figures.frames[kind];
            for part in 0..PARTS.len() {
                mix.best[part][kind] += figures.best[part][kind];
            }
        }
    }
    print("all", &mix);
}

/// One frame with its event and the time at which the engine gets it.
type Ready<'a> = (&'a [u8], Time, MarketEvent);

fn measure(bench: &Bench, recording: &Recording) -> Figures {
    let decoder = decode::decoder(recording);
    let ready: Vec<Ready<'_>> = recording
        .frames
        .iter()
        .filter_map(|(received, frame)| match decoder.decode(frame, *received) {
            Ok(Decoded::Market(event)) => Some((frame.as_slice(), *received, event)),
            _ => None,
        })
        .collect();
    let mut figures = Figures {
        best: [[f64::MAX; 4]; 3],
        whole: f64::MAX,
        ..Figures::default()
    };
    for (_, _, event) in &ready {
        figures.frames[kind_of(event)] += 1;
        if let MarketData::Depth(delta) = &event.data {
            figures.changes += (delta.bids.len() + delta.asks.len()) as u64;
        }
    }
    for _ in 0..bench.rounds {
        for kind in 0..KINDS.len() {
            let took = time_decode(bench, &decoder, &ready, kind);
            figures.best[0][kind] = figures.best[0][kind].min(took);
        }
        let (book, engine) = (
            time_book(bench, &ready),
            time_engine(bench, recording, &ready),
        );
        for kind in 0..KINDS.len() {
            figures.best[1][kind] = figures.best[1][kind].min(book[kind]);
            figures.best[2][kind] = figures.best[2][kind].min(engine[kind]);
        }
        let whole = time_whole(bench, recording, &decoder);
        figures.whole = figures.whole.min(whole);
    }
    figures
}

fn time_decode(bench: &Bench, decoder: &Decoder, ready: &[Ready<'_>], kind: usize) -> f64 {
    let of_kind: Vec<_> = ready.iter().filter(|r| kind_of(&r.2) == kind).collect();
    let began = bench.clock.now();
    for (frame, received, _) in of_kind {
        drop(black_box(decoder.decode(frame, *received)));
    }
    bench.clock.now().since(began) as f64
}

/// Runs `each` over the frames in order, and sums the time by kind: a clock read at every change of
/// kind, less what such a read costs.
fn by_kind(bench: &Bench, ready: &[Ready<'_>], mut each: impl FnMut(&Ready<'_>)) -> [f64; 4] {
    let read_ns = clock_read_ns(bench);
    let mut sums = [0.0; 4];
    for run in ready.chunk_by(|a, b| kind_of(&a.2) == kind_of(&b.2)) {
        let began = bench.clock.now();
        run.iter().for_each(&mut each);
        let took = bench.clock.now().since(began) as f64;
        sums[kind_of(&run[0].2)] += took - read_ns;
    }
    sums
}

fn clock_read_ns(bench: &Bench) -> f64 {
    const READS: u32 = 10_000;
    let began = bench.clock.now();
    for _ in 0..READS {
        black_box(bench.clock.now());
    }
    bench.clock.now().since(began) as f64 / f64::from(READS)
}

fn time_book(bench: &Bench, ready: &[Ready<'_>]) -> [f64; 4] {
    let mut book = SyncedBook::new(KernelConfig::default().book_levels_max);
    by_kind(bench, ready, |(_, _, event)| {
        let step = match &event.data {
            MarketData::Depth(delta) => book.delta(delta),
            MarketData::Snapshot(snapshot) => book.snapshot(snapshot),
            MarketData::Quote(quote) => book.quote(*quote),
            _ => return,
        };
        black_box(step);
    })
}

fn config() -> KernelConfig {
    KernelConfig {
        intervals: vec![Interval::SECOND, Interval::MINUTE],
        ..KernelConfig::default()
    }
}

fn time_engine(bench: &Bench, recording: &Recording, ready: &[Ready<'_>]) -> [f64; 4] {
    let mut engine = step::engine(config(), recording.instrument.clone());
    let mut effects = Effects::new();
    // Copies made beforehand: a replay hands its events over.
    let inputs = ready.iter().map(|(_, time, event)| Stamped {
        time: *time,
        input: Input::Market(event.clone()),
    });
    let mut inputs = inputs.collect::<Vec<_>>().into_iter();
    let sums = by_kind(bench, ready, |_| {
        if let Some(stamped) = inputs.next() {
            engine.step(&stamped, &mut effects);
            effects.clear();
        }
    });
    black_box(engine.state_hash());
    sums
}

fn time_whole(bench: &Bench, recording: &Recording, decoder: &Decoder) -> f64 {
    let mut engine = step::engine(config(), recording.instrument.clone());
    let mut effects = Effects::new();
    let began = bench.clock.now();
    for (received, frame) in &recording.frames {
        if let Ok(Decoded::Market(event)) = decoder.decode(frame, *received) {
            let input = Input::Market(event);
            let time = *received;
            // As a replay asks before every event.
            black_box(engine.deadline());
            engine.step(&Stamped { time, input }, &mut effects);
            effects.clear();
        }
    }
    let took = bench.clock.now().since(began) as f64;
    black_box(engine.state_hash());
    took
}

fn print(name: &str, figures: &Figures) {
    let mut out = std::io::stdout().lock();
    let frames: u64 = figures.frames.iter().sum();
    let per = |ns: f64, count: u64| ns / count.max(1) as f64;
    drop(writeln!(
        out,
        "\nmarket data, {name}: ns per frame, best of all rounds"
    ));
    drop(writeln!(
        out,
        "  {:<14}{:>9}{:>10}{:>10}{:>10}",
        "", "frames", PARTS[0], PARTS[1], PARTS[2]
    ));
    for (kind, title) in KINDS.iter().enumerate() {
        let count = figures.frames[kind];
        if count == 0 {
            continue;
        }
        drop(write!(out, "  {title:<14}{count:>9}"));
        for part in figures.best {
            drop(write!(out, "{:>10.0}", per(part[kind], count)));
        }
        drop(writeln!(out));
    }
    drop(write!(out, "  {:<14}{frames:>9}", "together"));
    for part in figures.best {
        drop(write!(out, "{:>10.0}", per(part.iter().sum(), frames)));
    }
    drop(writeln!(
        out,
        "\n  per level change: decode {:.1} ns, book {:.1} ns ({} changes)",
        per(figures.best[0][2], figures.changes),
        per(figures.best[1][2], figures.changes),
        figures.changes
    ));
    drop(writeln!(
        out,
        "  frame by frame: {:.0} ns a frame, {:.2} M frames/s on one core",
        per(figures.whole, frames),
        frames as f64 / figures.whole * 1e3
    ));
}
