//! An engine over a market of one instrument that is told prices.

use std::sync::Arc;

use hean::engine::Engine;
use hean::kernel::event::{
    Command, CommandKind, Correlation, DepthSnapshot, Effect, Effects, Input, Level, MarketData,
    MarketEvent, Outcome, Sequenced, Stamped, Trade,
};
use hean::kernel::indicators::Bar;
use hean::kernel::ledger::Ledger;
use hean::kernel::orders::{Order, OrderState, OrderType, PositionSide};
use hean::kernel::snapshot::{Published, Stop, Verdict};
use hean::kernel::strategies::{Source, StrategyConfig};
use hean::kernel::types::{
    Contract, Instrument, InstrumentId, InstrumentName, Interval, MINUTE, Money, Price, Qty,
    SECOND, Scale, Side, Time, VenueId,
};
use hean::kernel::{Kernel, KernelConfig, Start};
use hean::venue::sim::paper::PaperConfig;

pub(crate) const ID: InstrumentId = InstrumentId(0);
/// Half a spread, in ticks of a cent.
const HALF: i64 = 5;

fn instrument(contract: Contract) -> Instrument {
    let name = InstrumentName {
        venue: VenueId::Sim,
        symbol: "BTCUSDT".to_owned(),
    };
    let scale = |digits| Scale::new(digits).expect("scale");
    Instrument {
        contract,
        qty_min: Qty(10),
        lot: Qty(10),
        notional_min: Money::whole(5),
        ..Instrument::unlimited(name, "BTC", "USDT", (scale(2), scale(6)))
    }
}

pub(crate) fn strategy(kind: &str, params: &[(&str, &str)]) -> StrategyConfig {
    let mut config = StrategyConfig::new(kind, Interval::MINUTE);
    let both = params.contains(&("direction", "both"));
    match kind {
        // What a table row has in its program, users write themselves.
        "rules" => {
            let sides = [
                ("enter_long", "<"),
                ("exit_long", ">"),
                ("enter_short", ">"),
                ("exit_short", "<"),
            ];
            for (name, sign) in sides.into_iter().take(if both { 4 } else { 2 }) {
                let limit = if sign == "<" { 35 } else { 65 };
                let text = format!("rsi(14) {sign} {limit} and close[1] > 0");
                config.set(name, &text).expect("a condition");
            }
        }
        "script" => {
            let text = "if rsi(14) < 35 { state.n = (state.n ?? 0) + 1; buy(); }\nif rsi(14) > 65 { sell(); }\n";
            config.source = Some(Arc::new(Source {
                name: "test.rhai".to_owned(),
                text: text.to_owned(),
            }));
        }
        _ => {}
    }
    for (name, value) in params {
        config.set(name, value).expect("a legal parameter");
    }
    config
}

/// The world of a test.
pub(crate) struct World {
    pub(crate) engine: Engine,
    config: KernelConfig,
    instrument: Instrument,
    now: i64,
    trades: u64,
    last: i64,
    updates: u64,
    pub(crate) records: Vec<Sequenced>,
    /// Whether each trade has a book around it.
    pub(crate) books: bool,
}

impl World {
    pub(crate) fn new(contract: Contract, strategies: Vec<StrategyConfig>) -> Self {
        let mut config = KernelConfig {
            indicators: Vec::new(),
            strategies,
            ..KernelConfig::default()
        };
        config.limits.orders_per_second_max = 1_000;
        let instrument = instrument(contract);
        let engine = engine(&config, Ledger::new(config.orders_kept));
        let mut world = Self {
            engine,
            config,
            instrument,
            now: 1_700_000_040 * SECOND,
            trades: 0,
            last: 0,
            updates: 0,
            records: Vec::new(),
            books: true,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        let start = Start {
            time: Time(self.now),
            version: "test".to_owned(),
            instruments: vec![self.instrument.clone()],
            cash: ("USDT".to_owned(), Money::whole(100_000)),
        };
        let mut effects = Effects::new();
        self.engine.start(start, &mut effects).expect("start");
        self.take(effects);
    }

    /// Another process on the same journal.
    pub(crate) fn restart(&mut self) {
        let mut ledger = Ledger::new(self.config.orders_kept);
        for record in &self.records {
            ledger.apply(record).expect("a record");
        }
        assert_eq!(ledger.durable_hash(), self.engine.kernel().durable_hash());
        // And from its image.
        let bytes = postcard::to_stdvec(&ledger.image()).expect("bytes");
        let image = postcard::from_bytes(&bytes).expect("an image");
        let ledger = Ledger::restore(image, self.config.orders_kept).expect("a state");
        self.engine = engine(&self.config, ledger);
        self.start();
    }

    fn take(&mut self, effects: Effects) {
        for effect in effects {
            if let Effect::Record(record) = effect {
                self.records.push(record);
            }
        }
    }

    fn step(&mut self, input: Input) {
        let mut effects = Effects::new();
        let time = Time(self.now);
        self.engine.step(&Stamped { time, input }, &mut effects);
        self.take(effects);
    }

    pub(crate) fn market(&mut self, data: MarketData) {
        let time = Time(self.now);
        self.step(Input::Market(MarketEvent {
            instrument: ID,
            venue_time: time,
            received: time,
            data,
        }));
    }

    /// A trade at a price, in cents, and a book around it.
    pub(crate) fn trade(&mut self, price: i64) {
        if self.books {
            self.updates += 1;
            let level = |price| Level {
                price: Price(price),
                qty: Qty(1_000_000_000),
            };
            self.market(MarketData::Snapshot(Box::new(DepthSnapshot {
                last_id: self.updates,
                seq: self.updates,
                window: Some(1),
                bids: vec![level(price - HALF)],
                asks: vec![level(price + HALF)],
            })));
        }
        self.trades += 1;
        let taker = if price < self.last {
            Side::Sell
        } else {
            Side::Buy
        };
        self.last = price;
        self.market(MarketData::Trade(Trade {
            id: self.trades,
            first_id: self.trades,
            last_id: self.trades,
            price: Price(price),
            qty: Qty(1_000_000),
            taker,
            time: Time(self.now),
        }));
    }

    /// A minute with these prices, in cents: it closes with the first trade of the next one.
    pub(crate) fn minute(&mut self, prices: &[i64]) {
        let step = MINUTE / i64::try_from(prices.len() + 1).expect("few");
        for price in prices {
            self.trade(*price);
            self.now += step;
        }
        self.now += MINUTE - step * i64::try_from(prices.len()).expect("few");
    }

    /// Minutes with one price each.
    pub(crate) fn minutes(&mut self, prices: impl IntoIterator<Item = i64>) {
        prices.into_iter().for_each(|price| self.minute(&[price]));
    }

    pub(crate) fn bar(&mut self, bar: &Bar) {
        #[expect(clippy::cast_possible_truncation, reason = "prices of the file")]
        let cents = |price: f64| (price * 100.0).round() as i64;
        let (open, high, low, close) = (
            cents(bar.open),
            cents(bar.high),
            cents(bar.low),
            cents(bar.close),
        );
        let path = if close >= open {
            [open, low, high, close]
        } else {
            [open, high, low, close]
        };
        self.minute(&path);
    }

    pub(crate) fn fills(&self) -> u64 {
        self.engine.kernel().ledger().statistics().fills
    }

    pub(crate) fn position(&self) -> i64 {
        let ledger = self.engine.kernel().ledger();
        ledger.position(ID, PositionSide::Both).qty
    }

    /// The last decision of the only strategy: what it came to, what said no, and all in words.
    pub(crate) fn why(&mut self) -> (Verdict, Option<Stop>, String) {
        let instruments = vec![self.instrument.clone()];
        let published = Published::new(instruments, &self.config.intervals);
        self.engine.kernel_mut().publish_all(&published);
        let kernel = published.kernel.load();
        let decision = &kernel.strategies[0].decisions[0];
        (
            decision.verdict,
            decision.stop.clone(),
            decision.to_string(),
        )
    }

    /// Orders, oldest first: side, type, quantity and state.
    pub(crate) fn orders(&self) -> Vec<(Side, OrderType, i64, OrderState)> {
        let orders = self.engine.kernel().ledger().orders();
        let mut orders: Vec<_> = orders.iter().collect();
        orders.sort_by_key(|o| o.id);
        let row = |o: &&Order| (o.side, o.kind(), o.qty.0, o.state);
        orders.iter().map(row).collect()
    }

    pub(crate) fn tell(&mut self, kind: CommandKind) -> Outcome {
        let mut effects = Effects::new();
        let command = Command {
            correlation: Correlation(1),
            kind,
        };
        let stamped = Stamped {
            time: Time(self.now),
            input: Input::Command(command),
        };
        self.engine.step(&stamped, &mut effects);
        let reply = effects.iter().find_map(|effect| match effect {
            Effect::Reply(reply) => Some(reply.outcome.clone()),
            _ => None,
        });
        self.take(effects);
        reply.expect("a reply")
    }
}

fn engine(config: &KernelConfig, ledger: Ledger) -> Engine {
    let kernel = Kernel::new(config.clone(), ledger).expect("kernel");
    Engine::new(kernel, PaperConfig::default(), false)
}
