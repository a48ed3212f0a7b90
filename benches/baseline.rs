//! The order engine of the design that this one replaces, and nothing else of it: a mutex around a hash
//! map keyed by formatted ids, orders made of strings, times from the wall clock, a map that grows from
//! empty. Its submit inserts one copy and returns another; its cancel, given an id that exists, finds
//! the order and sets two fields. No risk, no journal, no book, no fill.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_types, reason = "the design that is measured here")]
use std::sync::Mutex;

use crate::latency::{self, Latencies, Stages, Stopwatch};
use crate::memory;

/// The argument by which this program asks itself to hold so many orders.
pub(crate) const FILL: &str = "--fill-baseline=";

#[derive(Debug, Clone)]
#[expect(dead_code, reason = "written and copied, as there; read by its API")]
struct Order {
    id: String,
    client_order_id: String,
    symbol: String,
    side: String,
    kind: String,
    status: String,
    price: f64,
    quantity: f64,
    filled_quantity: f64,
    average_price: f64,
    created: SystemTime,
    updated: SystemTime,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the design that is measured here"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

#[derive(Default)]
pub(crate) struct OrderManager {
    #[expect(clippy::disallowed_types, reason = "the design that is measured here")]
    orders: Mutex<HashMap<String, Order>>,
    next: AtomicU64,
}

impl OrderManager {
    fn next_id(&self) -> String {
        let ms = now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("ORD{number:010}_{ms}")
    }

    fn make(&self, symbol: &str, side: &str, price: f64, quantity: f64) -> Order {
        let id = self.next_id();
        let time = now();
        Order {
            client_order_id: format!("client_{id}"),
            id,
            symbol: symbol.to_owned(),
            side: side.to_owned(),
            kind: "LIMIT".to_owned(),
            status: "SUBMITTED".to_owned(),
            price,
            quantity,
            filled_quantity: 0.0,
            average_price: 0.0,
            created: time,
            updated: time,
        }
    }

    fn insert(&self, order: Order) -> Order {
        let mut orders = self.orders.lock().expect("no panic inside");
        orders.insert(order.id.clone(), order.clone());
        order
    }

    fn cancel(&self, id: &str) -> bool {
        let mut orders = self.orders.lock().expect("no panic inside");
        let Some(order) = orders.get_mut(id) else {
            return false;
        };
        "CANCELLED".clone_into(&mut order.status);
        order.updated = now();
        true
    }
}

fn make(manager: &OrderManager, number: usize) -> Order {
    let side = if number.is_multiple_of(2) {
        "BUY"
    } else {
        "SELL"
    };
    manager.make("BTCUSDT", side, 60_000.0, 0.001)
}

fn submit(manager: &OrderManager, number: usize) -> Order {
    manager.insert(make(manager, number))
}

/// Holds so many orders in this process and says by how many bytes it grew.
pub(crate) fn fill(orders: usize) {
    let before = memory::resident();
    let manager = OrderManager::default();
    for number in 0..orders {
        black_box(submit(&manager, number));
    }
    let grown = memory::resident().saturating_sub(before);
    drop(writeln!(std::io::stdout().lock(), "{grown}"));
    drop(manager);
}

pub(crate) fn bench(measure: bool) {
    let (count, rounds) = if measure { (100_000, 15) } else { (100, 1) };
    let watch = Stopwatch::new();
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let manager = OrderManager::default();
            let began = watch.now();
            for number in 0..count {
                black_box(submit(&manager, number));
            }
            let ended = watch.now();
            watch.ns(began, ended) as f64 / count as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let (median, best) = (times[rounds / 2], times[0]);
    let out = std::io::stdout();
    drop(writeln!(
        out.lock(),
        "\norder engine of the design before: {count} submits into a map that grows\n  \
         {median:.0} ns per order (best {best:.0}), {:.0} orders/s",
        1e9 / median
    ));

    let (mut submits, mut cancels) = (Latencies::new(count), Latencies::new(count));
    let manager = OrderManager::default();
    let mut placed = Vec::with_capacity(count);
    for number in 0..count {
        let began = watch.now();
        let order = submit(&manager, number);
        let ended = watch.now();
        submits.record(watch.ns(began, ended));
        placed.push(order.id);
    }
    for id in &placed {
        let began = watch.now();
        let found = black_box(manager.cancel(id));
        let ended = watch.now();
        assert!(found, "an order that was placed");
        cancels.record(watch.ns(began, ended));
    }
    latency::head("order engine of the design before, each operation");
    submits.print("submit");
    cancels.print("cancel, in the order of submission");
    watch.print_cost(count);

    let mut stages = Stages::new(&watch, &["id, times, strings", "copy in, copy out"], count);
    let manager = OrderManager::default();
    for number in 0..count {
        stages.begin();
        let order = make(&manager, number);
        stages.lap();
        black_box(manager.insert(order));
        stages.lap();
    }
    stages.print("the same submit in its parts");

    let bytes = memory::in_child(&format!("{FILL}{count}"));
    drop(writeln!(
        out.lock(),
        "\n  {count} orders grow a process by {:.1} MB, {:.0} bytes each",
        bytes / 1e6,
        bytes / count as f64
    ));
}
