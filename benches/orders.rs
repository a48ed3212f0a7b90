//! The life of an order in process, beside the submit alone of the design that this one replaces:
//! a mutex around a hash map of formatted string ids.

use std::collections::HashMap;
use std::hint::black_box;

use hean::kernel::KernelConfig;
use hean::kernel::event::{
    Command, CommandKind, Correlation, DepthSnapshot, Effects, Input, Level, MarketData,
    MarketEvent, Stamped, Wait,
};
use hean::kernel::orders::{OrderSpec, OrderType, Origin, Size, TimeInForce};
use hean::kernel::types::{InstrumentId, Price, Qty, Side, Time};
use parking_lot::Mutex;

use crate::{Bench, Case, recordings, step};

fn order(side: Side, kind: OrderType, time_in_force: TimeInForce) -> OrderSpec {
    OrderSpec {
        instrument: InstrumentId(0),
        side,
        kind,
        size: Size::Base(Qty(100_000)),
        time_in_force,
        post_only: false,
        reduce_only: false,
        origin: Origin::Operator,
        client_order_id: None,
    }
}

pub(crate) fn bench(bench: &Bench, measure: bool) {
    let count = if measure { 20_000 } else { 100 };
    let snapshot = Input::Market(MarketEvent {
        instrument: InstrumentId(0),
        venue_time: Time(1),
        received: Time(1),
        data: MarketData::Snapshot(Box::new(DepthSnapshot {
            last_id: 1,
            seq: 1,
            window: None,
            bids: vec![Level {
                price: Price(6_000_000),
                qty: Qty(i64::MAX / 4),
            }],
            asks: vec![Level {
                price: Price(6_000_001),
                qty: Qty(i64::MAX / 4),
            }],
        })),
    });
    let mut number = 0;
    let mut life = |pair: [(Side, OrderType, TimeInForce); 2]| {
        let mut engine = step::engine(KernelConfig::default(), recordings::instrument(2, 8));
        let mut effects = Effects::new();
        engine.step(
            &Stamped {
                time: Time(1),
                input: snapshot.clone(),
            },
            &mut effects,
        );
        for _ in 0..count / 2 {
            for (side, kind, tif) in pair {
                number += 1;
                let kind = CommandKind::Place {
                    order: Box::new(order(side, kind, tif)),
                    wait: Wait::Venue,
                };
                let command = Command {
                    correlation: Correlation(number),
                    kind,
                };
                let input = Input::Command(command);
                engine.step(
                    &Stamped {
                        time: Time(2),
                        input,
                    },
                    &mut effects,
                );
                black_box(&effects);
                effects.clear();
            }
        }
        engine.kernel().ledger().statistics().fills
    };
    let market = |side| (side, OrderType::Market, TimeInForce::Ioc);
    bench.compare(
        "order, per order",
        vec![
            Case::new("submit, risk, intent, ack, fill, position", count, || {
                life([market(Side::Buy), market(Side::Sell)])
            }),
            Case::new("mutex + hash map of formatted ids: submit", count, || {
                let orders: Mutex<HashMap<String, (String, f64, f64)>> = Mutex::default();
                for id in 0..count {
                    let key = format!("ORD{id:012}");
                    let order = ("BTCUSDT".to_owned(), 60_000.0, 0.001);
                    orders.lock().insert(key.clone(), order);
                    black_box(&key);
                }
                orders.lock().len() as u64
            }),
        ],
    );
}
