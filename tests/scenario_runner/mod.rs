//! Runs the commands of a scenario.

mod log;
mod setup;
mod words;

use hean::engine::Engine;
use hean::kernel::event::{
    CancelFilter, Command, CommandKind, Correlation, DepthDelta, DepthSnapshot, Derivative,
    Effects, FeeAsset, Fill, Input, Level, LossReason, Lost, MarketData, MarketEvent, OtherFee,
    Record, ReportKind, Seq, Sequenced, Stamped, Trade, VenueReport, Wait,
};
use hean::kernel::ledger::Ledger;
use hean::kernel::orders::OrderId;
use hean::kernel::portfolio::MarginMode;
use hean::kernel::types::{
    Instrument, InstrumentId, MarkPrice, Money, Qty, Rate, Time, parse_fixed,
};
use hean::kernel::{Kernel, Start};

use log::line;
use setup::{Setup, money};

/// Ended orders that are kept.
const KEPT: usize = 100;

/// An engine, its market and its journal.
pub(crate) struct Runner {
    setup: Setup,
    engine: Engine,
    now: Time,
    /// For what follows.
    id: InstrumentId,
    update_ids: Vec<u64>,
    trade_id: u64,
    commands: u64,
    /// Everything that was journaled, for restarts.
    journal: Vec<Sequenced>,
}

fn engine(
    setup: &Setup,
    ledger: Ledger,
    now: Time,
    journal: &mut Vec<Sequenced>,
    text: &mut String,
) -> Engine {
    let kernel = Kernel::new(setup.kernel.clone(), ledger).expect("kernel");
    let mut engine = Engine::new(kernel, setup.paper.clone(), false);
    engine.kernel_mut().tell_orders();
    let start = Start {
        time: now,
        version: "test".to_owned(),
        instruments: setup.instruments.clone(),
        cash: ("USDT".to_owned(), setup.cash),
    };
    let mut effects = Effects::new();
    engine.start(start, &mut effects).expect("start");
    log::note(&engine, effects, journal, text);
    engine
}

impl Runner {
    pub(crate) fn new(setup: &str) -> Self {
        let setup = Setup::parse(setup);
        let now = Time::from_millis(1_700_000_000_000).expect("time");
        let mut journal = Vec::new();
        let ledger = Ledger::new(KEPT);
        let engine = engine(&setup, ledger, now, &mut journal, &mut String::new());
        Self {
            update_ids: vec![0; setup.instruments.len()],
            setup,
            engine,
            now,
            id: InstrumentId(0),
            trade_id: 0,
            commands: 0,
            journal,
        }
    }

    fn on(&self) -> &Instrument {
        &self.setup.instruments[self.id.index()]
    }

    fn input(&mut self, input: Input, text: &mut String) {
        self.now = self.now.plus(1_000_000);
        self.step(input, text);
    }

    fn step(&mut self, input: Input, text: &mut String) {
        let mut effects = Effects::new();
        let time = self.now;
        self.engine.step(&Stamped { time, input }, &mut effects);
        log::note(&self.engine, effects, &mut self.journal, text);
        log::check(&self.engine);
    }

    fn market(&mut self, data: MarketData, text: &mut String) {
        let now = self.now;
        let event = MarketEvent {
            instrument: self.id,
            venue_time: now,
            received: now,
            data,
        };
        self.input(Input::Market(event), text);
    }

    fn levels(&self, text: &str) -> Vec<Level> {
        text.split_whitespace()
            .map(|level| {
                let (price, qty) = level.split_once('x').expect(level);
                Level {
                    price: words::price(self.on(), price),
                    qty: words::qty(self.on(), qty),
                }
            })
            .collect()
    }

    fn command(&mut self, kind: CommandKind, text: &mut String) {
        self.commands += 1;
        let correlation = Correlation(self.commands);
        self.input(Input::Command(Command { correlation, kind }), text);
    }

    /// Runs one line.
    pub(crate) fn run(&mut self, text: &str, log: &mut String) {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let words: Vec<_> = rest.split_whitespace().collect();
        match word {
            "book" | "depth" | "trade" | "mark" | "funding" | "lost" => {
                let data = self.data(word, rest, &words);
                self.market(data, log);
            }
            "on" => {
                let mut all = self.setup.instruments.iter();
                let index = all.position(|i| i.name.symbol == rest).expect(rest);
                self.id = InstrumentId(u16::try_from(index).expect("small"));
            }
            "wait" => self.wait(rest, log),
            "restart" => self.restart(log),
            "account" => log::account(&self.engine, log),
            "orders" => {
                let orders = self.engine.kernel().ledger().orders().iter();
                let ids: Vec<OrderId> = orders.filter(|o| o.is_open()).map(|o| o.id).collect();
                for id in ids {
                    log::order(&self.engine, id, log);
                }
            }
            "risk" => {
                let kernel = self.engine.kernel();
                let cause = kernel.ledger().risk().cause(self.now).unwrap_or("nothing");
                let mode = kernel.risk_mode().name();
                line(log, &format!("{mode}: {cause}"));
            }
            "deposit" => self.deposit(&words, log),
            "said" => self.said(&words, log),
            _ => {
                let kind = self.kind(word, rest, &words);
                self.command(kind, log);
            }
        }
    }

    fn data(&mut self, word: &str, rest: &str, words: &[&str]) -> MarketData {
        match word {
            "trade" => {
                let &[taker, price, qty] = words else {
                    panic!("{rest}")
                };
                self.trade_id += 1;
                MarketData::Trade(Trade {
                    id: self.trade_id,
                    first_id: self.trade_id,
                    last_id: self.trade_id,
                    price: words::price(self.on(), price),
                    qty: words::qty(self.on(), qty),
                    taker: log::side(taker),
                    time: self.now,
                })
            }
            "mark" => MarketData::Derivative(Box::new(Derivative {
                mark: Some(mark(rest)),
                ..Derivative::default()
            })),
            "funding" => {
                let &[rate, "in", seconds] = words else {
                    panic!("{rest}")
                };
                MarketData::Derivative(Box::new(Derivative {
                    funding_rate: Some(Rate::parse(rate).expect(rate)),
                    next_funding: Some(self.now.plus(seconds_ns(seconds))),
                    ..Derivative::default()
                }))
            }
            "lost" => MarketData::Lost(LossReason::QueueFull, Lost::All),
            _ => {
                let (bids, asks) = rest.split_once('|').expect("bids | asks");
                let (bids, asks) = (self.levels(bids), self.levels(asks));
                let last = &mut self.update_ids[self.id.index()];
                *last += 1;
                let last_id = *last;
                if word == "book" {
                    MarketData::Snapshot(Box::new(DepthSnapshot {
                        last_id,
                        seq: last_id,
                        window: None,
                        bids,
                        asks,
                    }))
                } else {
                    MarketData::Depth(Box::new(DepthDelta {
                        prev_id: last_id - 1,
                        first_id: last_id,
                        last_id,
                        seq: last_id,
                        bids,
                        asks,
                    }))
                }
            }
        }
    }

    fn kind(&self, word: &str, rest: &str, words: &[&str]) -> CommandKind {
        let on = self.on();
        let id = || OrderId(words[0].parse().expect(rest));
        match word {
            "buy" | "sell" => {
                let order = words::order(self.id, on, log::side(word), words, self.now);
                CommandKind::Place {
                    order: std::sync::Arc::new(order),
                    wait: Wait::Venue,
                }
            }
            "amend" => CommandKind::Amend {
                order: id(),
                price: words::limit(on, words),
                trigger: words::after(words, "stop").map(|p| words::price(on, p)),
                qty: words::after(words, "qty").map(|q| words::qty(on, q)),
            },
            "cancel" => CommandKind::Cancel { order: id() },
            "cancel-all" => CommandKind::CancelAll(CancelFilter::default()),
            "close" => CommandKind::Close {
                instrument: self.id,
                position_side: words::leg(words),
            },
            "leverage" => CommandKind::Margin {
                instrument: self.id,
                leverage: words[0].parse().expect(rest),
                mode: if words.contains(&"isolated") {
                    MarginMode::Isolated
                } else {
                    MarginMode::Cross
                },
            },
            "halt" => CommandKind::Halt {
                flatten: words.contains(&"flatten"),
                by: "test".to_owned(),
            },
            "resume" => CommandKind::Resume {
                by: "test".to_owned(),
            },
            _ => panic!("unknown command: {word}"),
        }
    }

    /// Time passes, and everything that is due happens at its own time.
    fn wait(&mut self, seconds: &str, log: &mut String) {
        let end = self.now.plus(seconds_ns(seconds));
        while let Some(due) = self.engine.deadline().filter(|due| *due < end) {
            self.now = self.now.max(due);
            self.step(Input::Tick, log);
            assert!(
                self.engine.deadline().is_none_or(|next| next > due),
                "a deadline that does not pass"
            );
        }
        self.now = end;
        self.step(Input::Tick, log);
    }

    fn restart(&mut self, log: &mut String) {
        let before = self.engine.kernel().durable_hash();
        let mut ledger = Ledger::new(KEPT);
        for record in &self.journal {
            ledger.apply(record).expect("a journal of our own");
        }
        assert_eq!(ledger.durable_hash(), before, "recovery differs");
        self.engine = engine(&self.setup, ledger, self.now, &mut self.journal, log);
        log::check(&self.engine);
    }

    /// Money from outside is entered by a start alone: a record, and a restart upon it.
    fn deposit(&mut self, words: &[&str], log: &mut String) {
        let &[asset, amount, value] = words else {
            panic!("{words:?}")
        };
        let mut ledger = Ledger::new(KEPT);
        let last = self.engine.kernel().ledger().seq();
        self.journal.push(Sequenced {
            seq: Seq(last.0 + 1),
            time: self.now,
            record: Record::Transfer {
                asset: asset.to_owned(),
                amount: money(amount),
                value: money(value),
            },
        });
        for record in &self.journal {
            ledger.apply(record).expect("a journal of our own");
        }
        self.engine = engine(&self.setup, ledger, self.now, &mut self.journal, log);
    }

    /// What a venue says of an order beside the paper venue.
    fn said(&mut self, words: &[&str], log: &mut String) {
        let (id, words) = words.split_first().expect("an order");
        let kind = match words {
            ["lost"] => ReportKind::Lost {
                reason: "no answer".to_owned(),
            },
            ["cancel-refused"] => ReportKind::CancelRejected {
                reason: "not now".to_owned(),
            },
            ["fill", trade, price, qty, rest @ ..] => {
                let price = words::price(self.on(), price);
                let qty = words::qty(self.on(), qty);
                let (fee, paid_in) = self.fee(rest, price);
                ReportKind::Fill(Fill {
                    trade_id: trade.parse().expect(trade),
                    price,
                    qty,
                    fee,
                    paid_in,
                    maker: false,
                })
            }
            _ => panic!("{words:?}"),
        };
        let report = VenueReport {
            order: OrderId(id.parse().expect(id)),
            time: self.now,
            kind,
        };
        self.input(Input::Report(report), log);
    }

    /// `fee=0.1`, `fee=0.001BTC`, or `fee=0.002BNB worth=1.2`.
    fn fee(&self, words: &[&str], price: hean::kernel::types::Price) -> (Money, FeeAsset) {
        let value = |name: &str| words.iter().find_map(|w| w.strip_prefix(name));
        let Some(fee) = value("fee=") else {
            return (Money::ZERO, FeeAsset::Quote);
        };
        let digits = fee.trim_end_matches(char::is_alphabetic);
        match &fee[digits.len()..] {
            "" => (money(digits), FeeAsset::Quote),
            base if base == self.on().base => {
                let qty: Qty = words::qty(self.on(), digits);
                let worth = self.on().notional(price, qty).expect("in range");
                (worth, FeeAsset::Base(qty))
            }
            asset => {
                let paid_in = FeeAsset::Other(Box::new(OtherFee {
                    asset: asset.to_owned(),
                    amount: money(digits),
                }));
                (money(value("worth=").expect("what it is worth")), paid_in)
            }
        }
    }
}

fn seconds_ns(text: &str) -> i64 {
    let ns = parse_fixed(text.as_bytes(), 9).expect(text);
    i64::try_from(ns).expect(text)
}

fn mark(text: &str) -> MarkPrice {
    let value = parse_fixed(text.as_bytes(), MarkPrice::SCALE).expect(text);
    MarkPrice(i64::try_from(value).expect(text))
}
