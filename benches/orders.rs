//! The life of an order in the kernel, in one thread over a hundred instruments: submit → risk → ack → partial
//! fill → fill → position → record bytes. Beside it, in turns, the submit alone of the design that this one
//! replaces (`baseline.rs`).

#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a benchmark prints, and its numbers are small"
)]

use std::hint::black_box;

use hean::kernel::event::{
    Command, CommandKind, Correlation, DepthSnapshot, Effect, Effects, FeeAsset, Fill, Input,
    Level, MarketData, MarketEvent, ReportKind, Seq, Stamped, VenueReport, Wait,
};
use hean::kernel::ledger::Ledger;
use hean::kernel::orders::{OrderId, OrderSpec, OrderType, Size, VenueOrderId};
use hean::kernel::risk::RiskLimits;
use hean::kernel::types::{
    Instrument, InstrumentId, InstrumentName, Money, Price, Qty, Scale, Side, Time, VenueId,
};
use hean::kernel::{Kernel, KernelConfig, Start};

use crate::latency::{Latencies, Stages, Stopwatch, head};
use crate::memory::{in_child, resident};

/// Argument of the process that fills a table, with the number of orders.
pub(crate) const FILL: &str = "--fill-orders=";
/// Instruments.
const INSTRUMENTS: u16 = 100;
const NOW: Time = Time(1_700_000_000_000_000_000);

fn instrument(number: u16) -> Instrument {
    let name = InstrumentName {
        venue: VenueId::Sim,
        symbol: format!("A{number}USDT"),
    };
    let scale = |digits| Scale::new(digits).expect("scale");
    let base = format!("A{number}");
    Instrument::unlimited(name, &base, "USDT", (scale(2), scale(5)))
}

/// A kernel with books, room for `orders`, and limits that nothing here reaches.
fn kernel(orders: usize) -> Kernel {
    let huge = Money::whole(1_000_000_000_000);
    let config = KernelConfig {
        intervals: Vec::new(),
        indicators: Vec::new(),
        orders_kept: orders,
        limits: RiskLimits {
            order_notional_max: huge,
            position_notional_max: huge,
            exposure_notional_max: huge,
            orders_open_max: usize::MAX,
            orders_per_second_max: 0,
            daily_loss_max: Money::ZERO,
            ..RiskLimits::default()
        },
        ..KernelConfig::default()
    };
    let mut kernel = Kernel::new(config, Ledger::new(orders)).expect("kernel");
    let start = Start {
        time: NOW,
        version: "bench".to_owned(),
        instruments: (0..INSTRUMENTS).map(instrument).collect(),
        cash: ("USDT".to_owned(), huge),
    };
    let mut effects = Effects::new();
    kernel.start(start, &mut effects).expect("start");
    for number in 0..INSTRUMENTS {
        let level = |price| Level {
            price: Price(price),
            qty: Qty(1_000_000),
        };
        let snapshot = DepthSnapshot {
            last_id: 1,
            seq: 1,
            window: None,
            bids: vec![level(10_000)],
            asks: vec![level(10_010)],
        };
        let event = MarketEvent {
            instrument: InstrumentId(number),
            venue_time: NOW,
            received: NOW,
            data: MarketData::Snapshot(Box::new(snapshot)),
        };
        step(&mut kernel, Input::Market(event), &mut effects);
    }
    kernel
}

fn step(kernel: &mut Kernel, input: Input, effects: &mut Effects) {
    effects.clear();
    kernel.step(&Stamped { time: NOW, input }, effects);
    black_box(&effects);
}

/// An order that rests: buys below the market and, next time around, sells above it, over all instruments.
fn spec(number: u64) -> OrderSpec {
    let instrument = InstrumentId((number % u64::from(INSTRUMENTS)) as u16);
    let round = number / u64::from(INSTRUMENTS);
    let (side, price) = if round.is_multiple_of(2) {
        (Side::Buy, 9_990 - (round % 40) as i64)
    } else {
        (Side::Sell, 10_020 + (round % 40) as i64)
    };
    let price = Price(price);
    OrderSpec::new(
        instrument,
        side,
        OrderType::Limit { price },
        Size::Base(Qty(100)),
    )
}

fn command(number: u64, kind: CommandKind) -> Input {
    Input::Command(Command {
        correlation: Correlation(number),
        kind,
    })
}

fn place(number: u64) -> Input {
    let order = std::sync::Arc::new(spec(number));
    command(
        number,
        CommandKind::Place {
            order,
            wait: Wait::Venue,
        },
    )
}

fn report(order: OrderId, kind: ReportKind) -> Input {
    Input::Report(VenueReport {
        order,
        time: NOW,
        kind,
    })
}

fn fill(order: OrderId, part: u64) -> Input {
    report(
        order,
        ReportKind::Fill(Fill {
            trade_id: order.0 * 2 + part,
            price: Price(10_000),
            qty: Qty(50),
            fee: Money(1_000_000_000),
            paid_in: FeeAsset::Quote,
            maker: true,
        }),
    )
}

/// Writes the records of a step as the journal does; how many bytes.
fn encode(effects: &Effects, buffer: &mut [u8]) -> usize {
    let mut bytes = 0;
    for effect in effects {
        if let Effect::Record(record) = effect {
            let written = postcard::to_slice(record, buffer).expect("room");
            bytes += black_box(written).len();
        }
    }
    bytes
}

fn last(kernel: &Kernel) -> OrderId {
    OrderId(kernel.ledger().seq().0)
}

/// Whole lives, each step's effects drained and its records written; orders a second.
fn lives(count: u64) -> f64 {
    let mut kernel = kernel(20_000);
    let (mut effects, mut buffer) = (Effects::new(), vec![0; 4_096]);
    let (watch, mut bytes) = (Stopwatch::new(), 0);
    let inputs: Vec<Input> = (0..count).map(place).collect();
    let began = watch.now();
    for input in inputs {
        step(&mut kernel, input, &mut effects);
        bytes += encode(&effects, &mut buffer);
        let id = last(&kernel);
        let through = Seq(id.0);
        step(&mut kernel, Input::Journaled { through }, &mut effects);
        let venue_order_id = VenueOrderId(u128::from(id.0));
        for input in [
            report(id, ReportKind::Acked { venue_order_id }),
            fill(id, 0),
            fill(id, 1),
        ] {
            step(&mut kernel, input, &mut effects);
            bytes += encode(&effects, &mut buffer);
        }
        black_box(kernel.take_changes());
    }
    let took = watch.ns(began, watch.now()) as f64;
    assert_eq!(kernel.ledger().orders().open_len(), 0);
    assert_eq!(kernel.ledger().statistics().fills, 2 * count);
    black_box(bytes);
    count as f64 / took * 1e9
}

fn stages(count: u64) {
    let mut kernel = kernel(20_000);
    let (mut effects, mut buffer) = (Effects::new(), vec![0; 4_096]);
    let watch = Stopwatch::new();
    let names = [
        "submit with risk",
        "its record's bytes",
        "durable: sent",
        "ack",
        "partial fill",
        "fill",
        "records' bytes",
    ];
    let mut stages = Stages::new(&watch, &names, count as usize);
    for number in 0..count {
        let input = place(number);
        stages.begin();
        step(&mut kernel, input, &mut effects);
        stages.lap();
        encode(&effects, &mut buffer);
        stages.lap();
        let id = last(&kernel);
        let through = Seq(id.0);
        step(&mut kernel, Input::Journaled { through }, &mut effects);
        stages.lap();
        let venue_order_id = VenueOrderId(u128::from(id.0));
        for input in [
            report(id, ReportKind::Acked { venue_order_id }),
            fill(id, 0),
            fill(id, 1),
        ] {
            step(&mut kernel, input, &mut effects);
            stages.lap();
        }
        encode(&effects, &mut buffer);
        stages.lap();
        black_box(kernel.take_changes());
    }
    stages.print("one order, stage by stage");
}

/// Submits that rest, then cancels of them: orders and cancels a second, and each one's time.
fn resting(count: u64) -> (f64, f64) {
    let mut kernel = kernel(count as usize + 1_000);
    let mut effects = Effects::new();
    let watch = Stopwatch::new();
    // Buys alone: spot sells need what they sell.
    let only_buys = |n: u64| {
        let hundred = u64::from(INSTRUMENTS);
        place(n % hundred + (n / hundred) * 2 * hundred)
    };
    let inputs: Vec<Input> = (0..count).map(only_buys).collect();
    let mut times = Latencies::new(count as usize);
    let mut ids = Vec::with_capacity(count as usize);
    let began = watch.now();
    for input in inputs {
        let before = watch.now();
        step(&mut kernel, input, &mut effects);
        times.record(watch.ns(before, watch.now()));
        ids.push(last(&kernel));
    }
    let submits = count as f64 / watch.ns(began, watch.now()) as f64 * 1e9;
    assert_eq!(kernel.ledger().orders().open_len(), count as usize);
    times.print("submit with risk, resting");
    for id in &ids {
        let venue_order_id = VenueOrderId(u128::from(id.0));
        let ack = report(*id, ReportKind::Acked { venue_order_id });
        step(&mut kernel, ack, &mut effects);
    }
    let mut times = Latencies::new(count as usize);
    let began = watch.now();
    for (number, order) in (0..).zip(ids) {
        let cancel = command(count + number, CommandKind::Cancel { order });
        let before = watch.now();
        step(&mut kernel, cancel, &mut effects);
        times.record(watch.ns(before, watch.now()));
    }
    let cancels = count as f64 / watch.ns(began, watch.now()) as f64 * 1e9;
    times.print("cancel");
    (submits, cancels)
}

/// Fills a table and prints what it takes: a process of its own.
pub(crate) fn fill_table(orders: usize) {
    let before = resident();
    let mut kernel = kernel(orders);
    let mut effects = Effects::new();
    for number in 0..orders as u64 {
        let hundred = u64::from(INSTRUMENTS);
        let number = number % hundred + (number / hundred) * 2 * hundred;
        step(&mut kernel, place(number), &mut effects);
        let through = kernel.ledger().seq();
        step(&mut kernel, Input::Journaled { through }, &mut effects);
        let venue_order_id = VenueOrderId(u128::from(through.0));
        let ack = report(OrderId(through.0), ReportKind::Acked { venue_order_id });
        step(&mut kernel, ack, &mut effects);
        black_box(kernel.take_changes());
    }
    assert_eq!(kernel.ledger().orders().open_len(), orders);
    println!("{}", resident().saturating_sub(before));
}

pub(crate) fn bench(measure: bool) {
    let watch = Stopwatch::new();
    let count: u64 = if measure { 200_000 } else { 1_000 };
    head("orders: the kernel alone, one thread, 100 instruments");
    watch.print_cost(count as usize);
    let rounds = if measure { 5 } else { 1 };
    let mut best = [0.0_f64; 3];
    for _ in 0..rounds {
        let whole = lives(count);
        let (submits, cancels) = resting(count.min(100_000));
        for (best, now) in best.iter_mut().zip([submits, whole, cancels]) {
            *best = best.max(now);
        }
        println!(
            "  submit {:.2} M/s   whole life {:.2} M/s   cancel {:.2} M/s ({:.0} ns)",
            submits / 1e6,
            whole / 1e6,
            cancels / 1e6,
            1e9 / cancels
        );
    }
    stages(count);
    let orders = if measure { 100_000 } else { 1_000 };
    let bytes = in_child(&format!("{FILL}{orders}"));
    println!(
        "  {orders} resident orders: {:.1} MB, {:.0} bytes each",
        bytes / 1e6,
        bytes / f64::from(orders)
    );
}
