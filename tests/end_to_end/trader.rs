//! A synthetic market, the daemon trading on it, and callers that place and cancel orders over HTTP
//! and remember every answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use serde_json::Value;

use super::client::{json, request, wait_books};
use super::process::{HUNG, Process, until};
use super::recordings::text;

/// Orders that a caller lets rest before it cancels some.
const RESTING_MAX: usize = 20;
/// Answers after which somebody who waits for a promise has waited in vain.
const ANSWERS_MAX: u64 = 100_000;
/// What is traded. On the first one callers buy, on the second one they sell, because an order that
/// could meet an own resting order is refused.
pub(crate) const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];
/// Ends of an order's life.
const FINAL: [&str; 4] = ["filled", "cancelled", "rejected", "expired"];

/// Numbers from a seed (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    /// A place in a list of this length.
    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("below a length")
    }
}

/// The simulated venue with a synthetic market.
pub(crate) fn market() -> Process {
    let symbols = SYMBOLS.join(",");
    Process::serve(&[
        "sim",
        "--seed",
        "7",
        "--symbols",
        &symbols,
        "--listen",
        "127.0.0.1:0",
    ])
}

/// Arguments of the daemon on that market, without strategies.
pub(crate) fn arguments(venue: SocketAddr, dir: &Path) -> Vec<String> {
    let (url, dir) = (format!("sim=http://{venue}"), text(dir));
    let symbols = SYMBOLS.join(",");
    let mut args = vec!["run", "--exchange", "sim", "--symbols", &symbols];
    args.extend(["--base-url", &url, "--data-dir", &dir]);
    args.extend(["--listen", "127.0.0.1:0"]);
    args.into_iter().map(str::to_owned).collect()
}

/// The daemon on that market; returns when its books are verified.
pub(crate) fn daemon(venue: SocketAddr, dir: &Path, more: &[&str]) -> Process {
    let mut args = arguments(venue, dir);
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let process = Process::serve(&args);
    wait_books(process.addr(), &SYMBOLS);
    process
}

/// What a caller was told.
#[derive(Debug)]
pub(crate) enum Told {
    /// An order as it was in a 200 or 201 answer, and the request that placed it.
    Order(Box<Value>, String),
    /// A cancel of this order is about to be sent.
    Cancelling(String),
    /// The cancel of this order was taken (202): it will not rest again.
    Cancelled(String),
    /// Refused, or not known yet: nothing was promised.
    Nothing,
}

/// Sends an order. `None` when nobody answers any more.
pub(crate) fn place(addr: SocketAddr, body: &str) -> Option<Told> {
    let answer = request(addr, "POST", "/api/v1/orders?numbers=string", body).ok()?;
    Some(match answer.status {
        200 | 201 => Told::Order(Box::new(answer.json()), body.to_owned()),
        // A full position, an order limit, a book between two snapshots, a slow venue.
        202 | 422 | 503 => Told::Nothing,
        other => panic!("{other}: {}", answer.body),
    })
}

fn cancel(addr: SocketAddr, id: &str) -> Option<Told> {
    let path = format!("/api/v1/orders/{id}?numbers=string");
    let answer = request(addr, "DELETE", &path, "").ok()?;
    Some(match answer.status {
        200 => Told::Order(Box::new(answer.json()), String::new()),
        202 => Told::Cancelled(id.to_owned()),
        409 | 503 => Told::Nothing, // filled before, or too busy
        other => panic!("cancel of {id}: {other}: {}", answer.body),
    })
}

/// The ids of an order document.
pub(crate) fn field<'a>(order: &'a Value, name: &str) -> &'a str {
    let value = order[name].as_str();
    value.unwrap_or_else(|| panic!("no {name} in {order}"))
}

/// Whether an order can change no more.
pub(crate) fn is_final(order: &Value) -> bool {
    FINAL.contains(&field(order, "status"))
}

/// One caller: market orders, orders that rest near and far, cancels.
struct Caller {
    addr: SocketAddr,
    name: String,
    random: Random,
    placed: u64,
    resting: Vec<String>,
    told: Sender<Told>,
}

impl Caller {
    /// One request and its answer; `false` when the daemon is gone.
    fn act(&mut self) -> bool {
        let choice = self.random.below(10);
        let resting = self.resting.len();
        let told = if resting > RESTING_MAX || choice < 2 && resting > 0 {
            let at = self.random.below(self.resting.len() as u64);
            let id = self
                .resting
                .swap_remove(usize::try_from(at).expect("small"));
            drop(self.told.send(Told::Cancelling(id.clone())));
            cancel(self.addr, &id)
        } else {
            let Some(body) = self.order(choice) else {
                return false;
            };
            place(self.addr, &body)
        };
        let Some(told) = told else { return false };
        if let Told::Order(order, _) = &told
            && !is_final(order)
        {
            self.resting.push(field(order, "order_id").to_owned());
        }
        drop(self.told.send(told));
        true
    }

    /// The text of an order; `None` when the daemon is gone.
    fn order(&mut self, choice: u64) -> Option<String> {
        self.placed += 1;
        let id = format!("{}-{}", self.name, self.placed);
        // Small: what there is to spend and to sell must last for a long run.
        let (symbol, side, levels, quantities) = match self.random.below(2) {
            0 => (SYMBOLS[0], "buy", "bids", ["0.0002", "0.00025", "0.0004"]),
            _ => (SYMBOLS[1], "sell", "asks", ["0.0021", "0.0025", "0.004"]),
        };
        let quantity = quantities[self.random.index(3)];
        let limit = if choice < 6 {
            String::new()
        } else {
            let path = format!("/api/v1/orderbook/{symbol}?depth=20&numbers=string");
            let book = request(self.addr, "GET", &path, "").ok()?.json();
            // The best levels are traded soon, the last one hardly ever.
            let levels = book[levels].as_array()?;
            let price = levels.get(self.random.index(20)).or(levels.last());
            match price.and_then(|level| level[0].as_str()) {
                Some(price) => format!(r#","price":"{price}""#),
                None => String::new(), // no book at this moment
            }
        };
        let kind = if limit.is_empty() { "market" } else { "limit" };
        Some(format!(
            r#"{{"symbol":"{symbol}","side":"{side}","type":"{kind}","quantity":"{quantity}"{limit},"client_order_id":"{id}"}}"#
        ))
    }
}

/// Callers at work.
pub(crate) struct Load {
    told: Receiver<Told>,
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Two callers, whose order ids begin with `name`.
    pub(crate) fn start(addr: SocketAddr, name: &str, seed: u64) -> Self {
        let (to, told) = channel();
        let stop = Arc::<AtomicBool>::default();
        let callers = (0..2)
            .map(|at| {
                let (told, stop) = (to.clone(), Arc::clone(&stop));
                let mut caller = Caller {
                    addr,
                    name: format!("{name}-{at}"),
                    random: Random::new(seed.wrapping_mul(2).wrapping_add(at)),
                    placed: 0,
                    resting: Vec::new(),
                    told,
                };
                std::thread::spawn(
                    move || {
                        while !stop.load(Ordering::Acquire) && caller.act() {}
                    },
                )
            })
            .collect();
        Self {
            told,
            stop,
            callers,
        }
    }

    /// Waits for so many answers that promise something.
    pub(crate) fn wait(&self, answers: u64, promised: &mut Promised) {
        let mut left = answers;
        for _ in 0..ANSWERS_MAX {
            if left == 0 {
                return;
            }
            let told = self.told.recv_timeout(HUNG).expect("callers get answers");
            left -= u64::from(promised.note(told));
        }
        panic!("nothing but refusals");
    }

    /// Ends the callers, each after its answer, and takes the rest of what they were told.
    pub(crate) fn finish(mut self, promised: &mut Promised) {
        self.stop.store(true, Ordering::Release);
        for caller in self.callers.drain(..) {
            caller.join().expect("a caller");
        }
        for told in self.told.try_iter() {
            promised.note(told);
        }
    }
}

/// Everything that callers were promised: by order id, the last answer.
#[derive(Debug, Default)]
pub(crate) struct Promised {
    orders: BTreeMap<String, Value>,
    /// Orders that somebody tried to cancel.
    cancels: BTreeSet<String>,
    /// Orders whose cancel was taken.
    cancelled: BTreeSet<String>,
    /// The last order request that was answered, and its order.
    last: Option<(String, String)>,
}

impl Promised {
    /// Whether it was a promise.
    pub(crate) fn note(&mut self, told: Told) -> bool {
        match told {
            Told::Order(order, body) => {
                let id = field(&order, "order_id").to_owned();
                if !body.is_empty() {
                    self.last = Some((body, id.clone()));
                }
                self.orders.insert(id, *order);
                true
            }
            Told::Cancelling(id) => {
                self.cancels.insert(id);
                false
            }
            Told::Cancelled(id) => self.cancelled.insert(id),
            Told::Nothing => false,
        }
    }

    /// Cancels every open order and waits until none is left.
    pub(crate) fn cancel_all(&mut self, addr: SocketAddr) {
        self.cancels.extend(self.orders.keys().cloned());
        let answer = request(addr, "DELETE", "/api/v1/orders", "").expect("an answer");
        assert!([200, 202].contains(&answer.status), "{}", answer.body);
        until("the end of every order", || {
            orders(addr).values().all(is_final).then_some(())
        });
    }

    /// Cancels that were taken.
    pub(crate) fn cancels(&self) -> usize {
        self.cancelled.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.orders.len()
    }

    /// Orders that ended with this status.
    pub(crate) fn count(&self, status: &str) -> usize {
        let orders = self.orders.values();
        orders.filter(|o| field(o, "status") == status).count()
    }

    /// Every promised order is there, and none has changed in an illegal way.
    pub(crate) fn check(&self, addr: SocketAddr) {
        let now = orders(addr);
        for (id, then) in &self.orders {
            let now = now.get(id).unwrap_or_else(|| panic!("lost: {then}"));
            self.check_one(id, then, now);
        }
    }

    fn check_one(&self, id: &str, then: &Value, now: &Value) {
        let both = format!("\nthen {then}\nnow  {now}");
        for name in [
            "client_order_id",
            "symbol",
            "side",
            "type",
            "quantity",
            "price",
            "time_in_force",
            "created_at",
        ] {
            assert_eq!(then[name], now[name], "{name}{both}");
        }
        if is_final(then) {
            assert_eq!(then, now, "a final order has changed");
            return;
        }
        let legal: &[&str] = match field(then, "status") {
            "submitted" => &["submitted", "partially_filled", "filled"],
            "partially_filled" => &["partially_filled", "filled"],
            other => panic!("answered as {other}{both}"),
        };
        let status = field(now, "status");
        let cancelled = ["cancelled", "cancel_pending"].contains(&status);
        if self.cancelled.contains(id) {
            assert!(cancelled || status == "filled", "rests again{both}");
        } else {
            let asked = self.cancels.contains(id);
            assert!(legal.contains(&status) || cancelled && asked, "{both}");
        }
        let filled = |order| units(field(order, "filled_quantity"));
        assert!(filled(now) >= filled(then), "fills were lost{both}");
    }

    /// The last order that was answered is not placed a second time when it is sent again.
    pub(crate) fn repeat_last(&self, addr: SocketAddr) {
        let Some((body, id)) = &self.last else { return };
        let path = "/api/v1/orders?numbers=string";
        let answer = request(addr, "POST", path, body).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(field(&answer.json(), "order_id"), id);
    }
}

/// All orders by id, with numbers as text.
pub(crate) fn orders(addr: SocketAddr) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = json(
            addr,
            &format!("/api/v1/orders?numbers=string&limit=100{cursor}"),
        );
        for order in page["items"].as_array().expect("items") {
            let id = field(order, "order_id").to_owned();
            let before = all.insert(id, order.clone());
            assert!(before.is_none(), "listed twice: {order}");
        }
        let Some(next) = page["next_cursor"].as_str() else {
            return all;
        };
        cursor = format!("&cursor={next}");
    }
}

/// Decimal text in units of 10^-16, the finest that is shown.
pub(crate) fn units(text: &str) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert!(fraction.len() <= 16, "{text}");
    let digits = format!("{whole}{fraction:0<16}");
    digits.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Positions by symbol, with numbers as text.
pub(crate) fn positions(addr: SocketAddr) -> BTreeMap<String, Value> {
    let page = json(addr, "/api/v1/positions?numbers=string");
    let items = page["items"].as_array().expect("items");
    items
        .iter()
        .map(|p| (field(p, "symbol").to_owned(), p.clone()))
        .collect()
}

/// What orders say was bought, less what they say was sold, is what positions say is held; and no
/// market order is left open.
pub(crate) fn wait_consistent(addr: SocketAddr) {
    until("positions that agree with the fills of the orders", || {
        let (before, positions) = (orders(addr), positions(addr));
        if before != orders(addr) {
            return None; // something was traded between the two looks
        }
        let open = |o: &&Value| o["type"] == "market" && !is_final(o);
        if before.values().any(|o| open(&o)) {
            return None;
        }
        SYMBOLS
            .iter()
            .all(|symbol| {
                let mine = before.values().filter(|o| field(o, "symbol") == *symbol);
                let filled: i128 = mine
                    .map(|order| {
                        let qty = units(field(order, "filled_quantity"));
                        if field(order, "side") == "buy" {
                            qty
                        } else {
                            -qty
                        }
                    })
                    .sum();
                let held = positions.get(*symbol);
                filled == held.map_or(0, |p| units(field(p, "quantity")))
            })
            .then_some(())
    });
}

/// Something to sell on the second symbol.
pub(crate) fn buy_stock(addr: SocketAddr) {
    let body = format!(
        r#"{{"symbol":"{}","side":"buy","type":"market","quantity":"7"}}"#,
        SYMBOLS[1]
    );
    let answer = request(addr, "POST", "/api/v1/orders", &body).expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.body);
}

/// Waits until everything that happened is in the journal.
pub(crate) fn wait_durable(addr: SocketAddr) {
    until("a durable journal", || {
        let status = json(addr, "/api/v1/status");
        (status["journal"]["seq"] == status["journal"]["durable"]).then_some(())
    });
}

/// What a restart must not change: orders, executions, positions and money, without what follows the market.
pub(crate) fn state(addr: SocketAddr) -> Value {
    let fields = |value: &Value, names: &[&str]| -> Value {
        let pairs = names.iter().map(|n| ((*n).to_owned(), value[*n].clone()));
        Value::Object(pairs.collect())
    };
    let account = json(addr, "/api/v1/account?numbers=string");
    let money = [
        "currency",
        "cash",
        "held",
        "transfers",
        "realized_pnl",
        "fees",
    ];
    let position = ["quantity", "entry_price", "cost", "realized_pnl", "fees"];
    let positions: BTreeMap<String, Value> = positions(addr)
        .iter()
        .map(|(symbol, p)| (symbol.clone(), fields(p, &position)))
        .collect();
    let stats = ["fills", "wins", "losses", "win_rate_percent"];
    serde_json::json!({
        "orders": orders(addr),
        "executions": json(addr, "/api/v1/fills?numbers=string&limit=1000")["items"],
        "positions": positions,
        "account": fields(&account, &money),
        "stats": fields(&account["stats"], &stats),
    })
}
