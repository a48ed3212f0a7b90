//! Paper orders at random moments of real recordings: the engine's paper venue and a slow program that
//! was written from its rules must say the same of every order.

#![expect(
    clippy::print_stdout,
    reason = "tests say what they skip and what they saw"
)]

#[path = "support/oracle.rs"]
mod oracle;
mod paper_reference;
#[path = "support/recordings.rs"]
mod recordings;
#[path = "paper_reference/run.rs"]
mod run;
#[path = "paper_reference/wishes.rs"]
mod wishes;

use std::collections::BTreeMap;

use hean::kernel::event::Input;
use hean::kernel::types::{Instrument, InstrumentId, Rate, SECOND, Time, VenueId};
use hean::recording::{self, Reader};
use hean::venue::VenueRow;
use hean::venue::protocol::Reading;
use hean::venue::sim::paper::queue::QueueModel;
use oracle::Rules;
use paper_reference::{Lasts, Order, Report, Said};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use recordings::recordings;
use run::Run;

/// Random moments of each run.
const MOMENTS: u64 = 1_000;
/// Maker and taker, at 8 decimals.
const FEES: [i64; 2] = [20_000, 55_000];
/// Digits of the slow program.
const DIGITS: u32 = 10;

/// What a run is made of.
#[derive(Clone, Copy)]
struct Case {
    venue: VenueId,
    rules: Rules,
    file: &'static str,
    /// Of commands and of reports.
    latency: [i64; 2],
    queue: QueueModel,
    /// Of ten orders so many wait for a trigger.
    conditional: u64,
    /// Orders of the beginning that buy what the others sell.
    stock: usize,
    seed: u64,
    /// How often each kind of report comes at least.
    least: &'static [(&'static str, u64)],
}

fn pick(rng: &mut ChaCha8Rng, below: u64) -> u64 {
    rng.next_u64() % below
}

/// One of a few, each as often as the others.
fn one<T: Copy>(rng: &mut ChaCha8Rng, of: &[T]) -> T {
    of[usize::try_from(pick(rng, of.len() as u64)).expect("small")]
}

/// Runs a recording with orders and compares what both say.
fn compare(case: Case) {
    let Some(data) = recordings() else { return };
    let files = [data.join(case.file)];
    let scan = recording::scan(&files, case.venue).expect("recording");
    let symbol = &scan.symbols[0];
    let instrument = Instrument {
        maker_fee: Rate(FEES[0]),
        taker_fee: Rate(FEES[1]),
        ..symbol.instrument.clone()
    };
    let mut run = Run::new(instrument.clone(), case, scan.first.expect("frames"));
    let decoder = VenueRow::of(case.venue).protocol.decoder(&[Reading {
        id: InstrumentId(0),
        instrument: &instrument,
        trades: symbol.trade_stream(),
    }]);
    let mut reader = Reader::new(&files);
    let mut events = Vec::new();
    // Orders that wait for a frame at which risk lets them through.
    let mut due = 0_u64;
    let mut stock = 0;
    let mut time = Time::ZERO;
    while let Some(record) = reader.next_record() {
        let record = record.expect("a line");
        time = record.received;
        let value: serde_json::Value = serde_json::from_slice(record.frame).expect("JSON");
        decoder
            .decode(record.frame, time, &mut events)
            .expect("a frame");
        for event in events.drain(..) {
            run.tick_until(time);
            run.step(time, Input::Market(event));
        }
        run.slow.hear(time.0, &value);
        if run.slow.book().is_none() {
            continue;
        }
        if stock < case.stock {
            stock += 1;
            let stock = Order {
                id: 0,
                buys: true,
                limit: None,
                condition: None,
                qty: 5 * 10_i128.pow(DIGITS),
                lasts: Lasts::Immediate,
                post_only: false,
                reduces: false,
                whole: false,
                paid: None,
            };
            assert!(run.place(time, stock), "{:?}", run.refused);
        }
        due += u64::from(pick(&mut run.rng, scan.frames) < MOMENTS);
        if due > 0
            && let Some(order) = run.order(time)
            && run.place(time, order)
        {
            due -= 1;
        }
        if pick(&mut run.rng, scan.frames * 3) < MOMENTS {
            run.cancel_one(time);
        }
        if pick(&mut run.rng, scan.frames * 2) < MOMENTS {
            run.amend_one(time);
        }
    }
    // Far enough for funding at the full hour.
    let end = time.plus(case.latency[0] + case.latency[1] + 2 * SECOND);
    run.tick_until(end);
    run.slow.until(end.0);
    // What nobody has told us yet.
    run.slow.reports.retain(|report| report.heard < end.0);
    judge(&run);
}

fn judge(run: &Run) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for report in &run.said {
        let kind = match report.said {
            Said::Acked => "acked",
            Said::Held => "held",
            Said::Triggered => "triggered",
            Said::Rejected => "rejected",
            Said::Expired => "expired",
            Said::Cancelled => "cancelled",
            Said::CancelRejected => "cancel rejected",
            Said::Amended { .. } => "amended",
            Said::AmendRejected => "amend rejected",
            Said::Fill { maker: true, .. } => "maker fills",
            Said::Fill { .. } => "taker fills",
            Said::Funding { .. } => "funding",
        };
        *counts.entry(kind).or_default() += 1;
    }
    println!(
        "{} {:?}: {} orders, {} amends, refused {:?}, {counts:?}",
        run.case.file, run.case.queue, run.placed, run.amended, run.refused
    );
    let mut both = run.said.iter().zip(&run.slow.reports).enumerate();
    if let Some((n, (ours, theirs))) = both.find(|(_, (ours, theirs))| ours != theirs) {
        let of = |id: u64| move |r: &&Report| r.order == id;
        let before = &run.said[n.saturating_sub(5)..n];
        let own: Vec<&Report> = run.said[..n].iter().filter(of(ours.order)).collect();
        let other: Vec<&Report> = run.said[..n].iter().filter(of(theirs.order)).collect();
        panic!(
            "report {n}: {ours:?}, the slow program {theirs:?}\nbefore: {before:#?}\n{own:#?}\n{other:#?}"
        );
    }
    assert_eq!(run.said.len(), run.slow.reports.len());
    for (kind, least) in run.case.least {
        let count = counts.get(kind).copied().unwrap_or(0);
        assert!(count >= *least, "only {count} {kind}");
    }
    assert!(run.placed > MOMENTS * 9 / 10, "{} orders", run.placed);
}

/// Market and limit orders.
const PLAIN: &[(&str, u64)] = &[
    ("maker fills", 50),
    ("taker fills", 300),
    ("rejected", 10),
    ("expired", 50),
    ("cancelled", 20),
    ("amended", 50),
];
/// With conditional ones.
const CONDITIONAL: &[(&str, u64)] = &[
    ("held", 300),
    ("triggered", 150),
    ("maker fills", 30),
    ("taker fills", 200),
    ("expired", 30),
    ("cancelled", 20),
    ("amended", 50),
];

const SPOT: Case = Case {
    venue: VenueId::Binance,
    rules: Rules::Spot,
    file: "hftbacktest/binance_spot_btcusdt_20240808.txt.gz",
    latency: [5_000_000, 0],
    queue: QueueModel::Conservative,
    conditional: 0,
    stock: 10,
    seed: 1,
    least: PLAIN,
};

const USDM: Case = Case {
    venue: VenueId::BinanceUsdm,
    rules: Rules::Usdm,
    file: "hftbacktest/binance_usdm_btcusdt_20240808.txt.gz",
    stock: 1,
    seed: 3,
    ..SPOT
};

const BYBIT: Case = Case {
    venue: VenueId::BybitLinear,
    rules: Rules::Bybit,
    file: "derived_bybit_v5/bybit_linear_BTCUSDT_derived_from_binance_usdm.txt.gz",
    latency: [50_000_000, 20_000_000],
    stock: 1,
    seed: 4,
    ..SPOT
};

#[test]
fn orders_in_a_spot_recording_fill_as_the_rules_say() {
    compare(SPOT);
}

#[test]
fn orders_without_latency_fill_as_the_rules_say() {
    compare(Case {
        latency: [0, 0],
        seed: 2,
        ..SPOT
    });
}

#[test]
fn orders_in_a_futures_recording_fill_as_the_rules_say() {
    compare(USDM);
}

#[test]
fn orders_in_a_recording_in_bybits_words_fill_as_the_rules_say() {
    compare(BYBIT);
}

#[test]
fn places_in_queues_move_by_shares_as_the_rules_say() {
    let probability = |power| QueueModel::Probability { power };
    compare(Case {
        queue: probability(1),
        seed: 5,
        ..SPOT
    });
    compare(Case {
        queue: probability(2),
        seed: 6,
        ..USDM
    });
    compare(Case {
        queue: probability(3),
        seed: 7,
        ..BYBIT
    });
}

#[test]
fn conditional_orders_on_spot_are_set_off_as_the_rules_say() {
    compare(Case {
        conditional: 6,
        seed: 8,
        least: CONDITIONAL,
        ..SPOT
    });
}

#[test]
fn conditional_orders_in_futures_are_set_off_as_the_rules_say() {
    compare(Case {
        conditional: 6,
        seed: 9,
        latency: [5_000_000, 30_000_000],
        least: CONDITIONAL,
        ..USDM
    });
}

#[test]
fn conditional_orders_at_the_venues_mark_are_set_off_as_the_rules_say() {
    compare(Case {
        conditional: 6,
        seed: 10,
        queue: QueueModel::Probability { power: 1 },
        least: CONDITIONAL,
        ..BYBIT
    });
}
