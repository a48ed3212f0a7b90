//! Text scenarios: market and orders in, the log of what happened out.
//!
//! Each file under `tests/scenarios/` is a list of commands; what the engine did after each stands
//! below it in lines that begin with `>`. `HEAN_BLESS=1` rewrites the files from what happens; read
//! the difference before you keep it.
//!
//! Commands: `book BIDS | ASKS` (levels `PRICExQTY`), `depth …` (a difference), `trade SIDE PRICE QTY`,
//! `buy|sell QTY[usdt] [@PRICE] [ioc|fok] [post] [reduce] [key=K]`, `cancel ID`, `cancel-all`,
//! `restart`, `lost`, `wait SECONDS`, `account`.

use std::fmt::Write as _;

use hean::engine::Engine;
use hean::kernel::event::{
    Command, CommandKind, Correlation, DepthDelta, DepthSnapshot, Effect, Effects, Input, Level,
    LossReason, Lost, MarketData, MarketEvent, Notice, Sequenced, Stamped, Trade, Wait,
};
use hean::kernel::ledger::Ledger;
use hean::kernel::orders::{OrderId, OrderSpec, OrderType, Origin, Size, TimeInForce};
use hean::kernel::snapshot::average_price;
use hean::kernel::types::{
    Instrument, InstrumentId, InstrumentName, Money, Price, Qty, Rate, SECOND, Scale, Side, Time,
    VenueId,
};
use hean::kernel::{Kernel, KernelConfig, Start};

const ID: InstrumentId = InstrumentId(0);

struct Runner {
    engine: Engine,
    now: Time,
    update_id: u64,
    trade_id: u64,
    commands: u64,
    /// Everything that was journaled, for restarts.
    journal: Vec<Sequenced>,
    instrument: Instrument,
}

fn instrument() -> Instrument {
    Instrument {
        tick: Price(10),
        lot: Qty(10),
        qty_min: Qty(10),
        qty_max: Qty(1_000_000),
        notional_min: Money::parse("5").expect("amount"),
        maker_fee: Rate::parse("0.001").expect("rate"),
        taker_fee: Rate::parse("0.002").expect("rate"),
        ..Instrument::unlimited(
            InstrumentName {
                venue: VenueId::Sim,
                symbol: "BTCUSDT".to_owned(),
            },
            "BTC",
            "USDT",
            (Scale::new(2).expect("scale"), Scale::new(3).expect("scale")),
        )
    }
}

fn engine(ledger: Ledger, now: Time, journal: &mut Vec<Sequenced>, log: &mut String) -> Engine {
    let kernel = Kernel::new(KernelConfig::default(), ledger).expect("kernel");
    let mut engine = Engine::new(kernel, 0, false);
    let start = Start {
        time: now,
        version: "test".to_owned(),
        instruments: vec![instrument()],
        cash: ("USDT".to_owned(), Money::parse("10000").expect("amount")),
    };
    let mut effects = Effects::new();
    engine.start(start, &mut effects).expect("start");
    note(&engine, effects, journal, log);
    engine
}

/// Writes what happened, and keeps what was journaled.
fn note(engine: &Engine, effects: Effects, journal: &mut Vec<Sequenced>, log: &mut String) {
    let mut changed: Vec<OrderId> = Vec::new();
    for effect in effects {
        match effect {
            Effect::Record(record) => journal.push(record),
            Effect::Reply(reply) => writeln!(log, "> reply {:?}", reply.outcome).expect("write"),
            Effect::Resync(_) => log.push_str("> resync\n"),
            Effect::Notice(Notice::OrderChanged(id)) if !changed.contains(&id) => changed.push(id),
            Effect::Notice(Notice::BookInvalid { reason, .. }) => {
                writeln!(log, "> book invalid {reason:?}").expect("write");
            }
            Effect::Notice(Notice::BookValid(_)) => log.push_str("> book valid\n"),
            Effect::Notice(_) => {}
            Effect::Submit { .. } => panic!("the engine keeps submissions"),
        }
    }
    let instrument = instrument();
    for id in changed {
        let order = engine.kernel().ledger().orders().get(id).expect("order");
        let qty = |q: Qty| q.display(instrument.qty_scale).to_string();
        let average = average_price(order.filled_notional, order.filled.0, &instrument)
            .map_or("-".to_owned(), |p| p.to_string());
        let dispute = if order.disputed { " DISPUTED" } else { "" };
        let line = format!(
            "> order {id} {} {}/{} at {average} fee {} {}{dispute}",
            order.state.name(),
            qty(order.filled),
            qty(order.qty),
            order.fee,
            order.reason
        );
        writeln!(log, "{}", line.trim_end()).expect("write");
    }
}

impl Runner {
    fn new() -> Self {
        let now = Time::from_millis(1_700_000_000_000).expect("time");
        let mut journal = Vec::new();
        let engine = engine(Ledger::new(100), now, &mut journal, &mut String::new());
        let instrument = instrument();
        Self {
            engine,
            now,
            update_id: 0,
            trade_id: 0,
            commands: 0,
            journal,
            instrument,
        }
    }

    fn input(&mut self, input: Input, log: &mut String) {
        self.now = self.now.plus(1_000_000);
        let mut effects = Effects::new();
        self.engine.step(
            &Stamped {
                time: self.now,
                input,
            },
            &mut effects,
        );
        note(&self.engine, effects, &mut self.journal, log);
    }

    fn market(&mut self, data: MarketData, log: &mut String) {
        let now = self.now;
        let event = MarketEvent {
            instrument: ID,
            venue_time: now,
            received: now,
            data,
        };
        self.input(Input::Market(event), log);
    }

    fn price(&self, text: &str) -> Price {
        Price::parse(text.as_bytes(), self.instrument.price_scale).expect(text)
    }

    fn qty(&self, text: &str) -> Qty {
        Qty::parse(text.as_bytes(), self.instrument.qty_scale).expect(text)
    }

    fn levels(&self, text: &str) -> Vec<Level> {
        text.split_whitespace()
            .map(|level| {
                let (price, qty) = level.split_once('x').expect(level);
                Level {
                    price: self.price(price),
                    qty: self.qty(qty),
                }
            })
            .collect()
    }

    fn command(&mut self, kind: CommandKind, log: &mut String) {
        self.commands += 1;
        let correlation = Correlation(self.commands);
        self.input(Input::Command(Command { correlation, kind }), log);
    }

    fn order(&self, side: Side, words: &[&str]) -> OrderSpec {
        let (size, options) = words.split_first().expect("quantity");
        let size = match size.strip_suffix("usdt") {
            Some(amount) => Size::Quote(Money::parse(amount).expect(amount)),
            None => Size::Base(self.qty(size)),
        };
        let limit = options
            .iter()
            .find_map(|w| w.strip_prefix('@'))
            .map(|p| self.price(p));
        let kind = limit.map_or(OrderType::Market, |price| OrderType::Limit { price });
        let has = |word: &str| options.contains(&word);
        let time_in_force = match () {
            () if has("fok") => TimeInForce::Fok,
            () if has("ioc") || limit.is_none() => TimeInForce::Ioc,
            () => TimeInForce::Gtc,
        };
        OrderSpec {
            instrument: ID,
            side,
            kind,
            size,
            time_in_force,
            post_only: has("post"),
            reduce_only: has("reduce"),
            origin: Origin::Operator,
            client_order_id: options
                .iter()
                .find_map(|w| w.strip_prefix("key="))
                .map(Into::into),
        }
    }

    fn run(&mut self, line: &str, log: &mut String) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<_> = rest.split_whitespace().collect();
        match word {
            "book" | "depth" => {
                let (bids, asks) = rest.split_once('|').expect("bids | asks");
                let (bids, asks) = (self.levels(bids), self.levels(asks));
                self.update_id += 1;
                let (first_id, last_id) = (self.update_id, self.update_id);
                let data = if word == "book" {
                    MarketData::Snapshot(Box::new(DepthSnapshot {
                        last_id,
                        seq: last_id,
                        window: None,
                        bids,
                        asks,
                    }))
                } else {
                    MarketData::Depth(Box::new(DepthDelta {
                        prev_id: first_id - 1,
                        first_id,
                        last_id,
                        seq: last_id,
                        bids,
                        asks,
                    }))
                };
                self.market(data, log);
            }
            "trade" => {
                let &[taker, price, qty] = words.as_slice() else {
                    panic!("{line}")
                };
                self.trade_id += 1;
                let trade = Trade {
                    id: self.trade_id,
                    first_id: self.trade_id,
                    last_id: self.trade_id,
                    price: self.price(price),
                    qty: self.qty(qty),
                    taker: if taker == "buy" {
                        Side::Buy
                    } else {
                        Side::Sell
                    },
                    time: self.now,
                };
                self.market(MarketData::Trade(trade), log);
            }
            "lost" => self.market(MarketData::Lost(LossReason::QueueFull, Lost::All), log),
            "buy" | "sell" => {
                let side = if word == "buy" { Side::Buy } else { Side::Sell };
                let order = Box::new(self.order(side, &words));
                self.command(
                    CommandKind::Place {
                        order,
                        wait: Wait::Venue,
                    },
                    log,
                );
            }
            "cancel" => {
                let order = OrderId(rest.parse().expect(rest));
                self.command(CommandKind::Cancel { order }, log);
            }
            "cancel-all" => self.command(CommandKind::CancelAll { instrument: None }, log),
            "wait" => {
                self.now = self.now.plus(rest.parse::<i64>().expect(rest) * SECOND);
                self.input(Input::Tick, log);
            }
            "restart" => {
                let before = self.engine.kernel().durable_hash();
                let mut ledger = Ledger::new(100);
                for record in &self.journal {
                    ledger.apply(record).expect("a journal of our own");
                }
                assert_eq!(ledger.durable_hash(), before, "recovery differs");
                self.engine = engine(ledger, self.now, &mut self.journal, log);
            }
            "account" => {
                let kernel = self.engine.kernel();
                let (account, position) = (kernel.ledger().account(), kernel.ledger().position(ID));
                let qty = hean::kernel::types::format_fixed(position.qty.into(), 3);
                writeln!(
                    log,
                    "> cash {} equity {} realized {} fees {} position {qty} cost {}",
                    account.cash,
                    kernel.equity(),
                    account.realized,
                    account.fees,
                    position.cost
                )
                .expect("write");
                let mark = kernel.market_of(ID).and_then(|m| m.mark(&self.instrument));
                let open = mark.map_or(Money::ZERO, |m| {
                    position.unrealized(m, &self.instrument).expect("in range")
                });
                let sum = account
                    .transfers
                    .plus(account.realized)
                    .and_then(|s| s.plus(open));
                let sum = sum.and_then(|s| s.minus(account.fees)).expect("in range");
                if mark.is_some() {
                    assert_eq!(sum, kernel.equity(), "money was created or lost");
                }
            }
            _ => panic!("unknown command: {line}"),
        }
    }
}

#[test]
fn scenarios() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let bless = std::env::var_os("HEAN_BLESS").is_some();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("folder")
        .map(|e| e.expect("entry").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let text = std::fs::read_to_string(&path).expect("scenario");
        let mut runner = Runner::new();
        let mut log = String::new();
        for line in text.lines().filter(|l| !l.starts_with('>')) {
            writeln!(log, "{line}").expect("write");
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                runner.run(line, &mut log);
            }
        }
        if bless {
            std::fs::write(&path, &log).expect("write");
        } else {
            assert_eq!(
                log,
                text,
                "{}: read the difference; HEAN_BLESS=1 keeps it",
                path.display()
            );
        }
    }
}
