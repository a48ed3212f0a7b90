//! The paper venue, one rule at a time: what waits for a trigger or a date, funding, liquidation, and places in
//! queues that nobody knows.

use hean::engine::Engine;
use hean::kernel::event::{
    AccountReportKind, Command, CommandKind, Correlation, DepthSnapshot, Derivative, Effect,
    Effects, Input, Level, LossReason, Lost, MarketData, MarketEvent, Outcome, Record, ReportKind,
    Stamped, Trade, Wait,
};
use hean::kernel::ledger::Ledger;
use hean::kernel::orders::{OrderId, OrderSpec, OrderType, Size, TimeInForce, Trigger, TriggerBy};
use hean::kernel::portfolio::MarginMode;
use hean::kernel::risk::RiskLimits;
use hean::kernel::types::{
    Contract, Instrument, InstrumentId, InstrumentName, MINUTE, MarkPrice, Money, Price, Qty, Rate,
    SECOND, Scale, Side, Time, VenueId,
};
use hean::kernel::{Kernel, KernelConfig, Start};
use hean::venue::sim::paper::PaperConfig;
use hean::venue::sim::paper::latency::Latency;

const ID: InstrumentId = InstrumentId(0);
const BEGIN: Time = Time(1_700_000_000 * SECOND);

struct Bench {
    engine: Engine,
    now: Time,
    count: u64,
    /// What was said since the last look.
    said: Vec<String>,
}

/// Prices in cents, quantities in thousandths.
fn level(price: i64, qty: i64) -> Level {
    Level {
        price: Price(price),
        qty: Qty(qty),
    }
}

fn limit(side: Side, price: i64, qty: i64) -> OrderSpec {
    let kind = OrderType::Limit {
        price: Price(price),
    };
    OrderSpec::new(ID, side, kind, Size::Base(Qty(qty)))
}

fn market(side: Side, qty: i64) -> OrderSpec {
    OrderSpec::new(ID, side, OrderType::Market, Size::Base(Qty(qty)))
}

fn at(price: i64, by: TriggerBy) -> Trigger {
    Trigger {
        price: Price(price),
        by,
    }
}

fn stop(side: Side, trigger: Trigger, qty: i64) -> OrderSpec {
    OrderSpec::new(
        ID,
        side,
        OrderType::StopMarket { trigger },
        Size::Base(Qty(qty)),
    )
}

impl Bench {
    fn new(contract: Contract, cash: i64, order_latency: i64) -> Self {
        let config = KernelConfig {
            limits: RiskLimits {
                price_collar: Rate::ONE,
                stale_after_ns: 100_000 * SECOND,
                daily_loss_max: Money::ZERO,
                drawdown_max: Rate(0),
                ..RiskLimits::default()
            },
            ..KernelConfig::default()
        };
        let kernel = Kernel::new(config, Ledger::new(100)).expect("kernel");
        let paper = PaperConfig {
            order_latency: Latency::Constant(order_latency),
            ..PaperConfig::default()
        };
        let mut engine = Engine::new(kernel, paper, false);
        let name = InstrumentName {
            venue: VenueId::Sim,
            symbol: "BTCUSDT".to_owned(),
        };
        let scales = (Scale::new(2).expect("scale"), Scale::new(3).expect("scale"));
        let start = Start {
            time: BEGIN,
            version: "test".to_owned(),
            instruments: vec![Instrument {
                contract,
                funding_minutes: 480,
                maker_fee: Rate(0),
                taker_fee: Rate(0),
                ..Instrument::unlimited(name, "BTC", "USDT", scales)
            }],
            cash: ("USDT".to_owned(), Money::whole(cash)),
        };
        engine.start(start, &mut Effects::new()).expect("start");
        Self {
            engine,
            now: BEGIN,
            count: 0,
            said: Vec::new(),
        }
    }

    fn perpetual(cash: i64) -> Self {
        let mut bench = Self::new(Contract::LinearPerpetual, cash, 0);
        bench.book(&[(9_990, 50_000)], &[(10_000, 50_000)]);
        bench.mark(10_000);
        bench
    }

    fn step(&mut self, input: Input) -> Option<Outcome> {
        let mut effects = Effects::new();
        let time = self.now;
        self.engine.step(&Stamped { time, input }, &mut effects);
        let mut outcome = None;
        for effect in effects {
            match effect {
                Effect::Record(record) => match record.record {
                    Record::Report(report) => {
                        let what = match &report.kind {
                            ReportKind::Fill(fill) => {
                                let word = if fill.maker { "made" } else { "took" };
                                format!("{word} {} at {}", fill.qty.0, fill.price.0)
                            }
                            ReportKind::Amended { qty, .. } => format!("amended to {}", qty.0),
                            other => {
                                let text = format!("{other:?}").to_lowercase();
                                text.split(' ').next().unwrap_or_default().to_owned()
                            }
                        };
                        self.said.push(what);
                    }
                    Record::Account(report) => self.said.push(match &report.kind {
                        AccountReportKind::Funding { due, amount, .. } => {
                            format!("funding {} s {amount}", due.since(BEGIN) / SECOND)
                        }
                        AccountReportKind::Liquidated {
                            side,
                            price,
                            qty,
                            fee,
                            ..
                        } => format!("liquidated {side:?} {} at {} for {fee}", qty.0, price.0),
                        AccountReportKind::Insurance { amount, .. } => format!("insured {amount}"),
                        other @ AccountReportKind::Standing { .. } => format!("{other:?}"),
                    }),
                    _ => {}
                },
                Effect::Reply(reply) => outcome = Some(reply.outcome),
                _ => {}
            }
        }
        outcome
    }

    fn hear(&mut self, data: MarketData) {
        self.now = self.now.plus(1_000);
        self.count += 1;
        self.step(Input::Market(MarketEvent {
            instrument: ID,
            venue_time: self.now,
            received: self.now,
            data,
        }));
    }

    /// A book of the stream, with a window of fifty levels.
    fn book(&mut self, bids: &[(i64, i64)], asks: &[(i64, i64)]) {
        let levels = |side: &[(i64, i64)]| side.iter().map(|(p, q)| level(*p, *q)).collect();
        let last_id = self.count + 1;
        self.hear(MarketData::Snapshot(Box::new(DepthSnapshot {
            last_id,
            seq: last_id,
            window: Some(50),
            bids: levels(bids),
            asks: levels(asks),
        })));
    }

    fn trade_of(&mut self, taker: Side, price: i64, qty: i64, time: Time) {
        let id = self.count + 1;
        self.hear(MarketData::Trade(Trade {
            id,
            first_id: id,
            last_id: id,
            price: Price(price),
            qty: Qty(qty),
            taker,
            time,
        }));
    }

    fn trade(&mut self, taker: Side, price: i64, qty: i64) {
        let time = self.now.plus(1_000);
        self.trade_of(taker, price, qty, time);
    }

    fn mark(&mut self, price: i64) {
        self.hear(MarketData::Derivative(Box::new(Derivative {
            mark: Some(MarkPrice(price * 1_000_000)),
            ..Derivative::default()
        })));
    }

    fn announce(&mut self, due: Time, rate: &str) {
        self.hear(MarketData::Derivative(Box::new(Derivative {
            funding_rate: Some(Rate::parse(rate).expect("rate")),
            next_funding: Some(due),
            ..Derivative::default()
        })));
    }

    /// Whatever happens by itself until `time`.
    fn pass(&mut self, time: Time) {
        while let Some(due) = self.engine.deadline().filter(|due| *due <= time) {
            self.now = self.now.max(due);
            self.step(Input::Tick);
            let again = self.engine.deadline();
            assert!(
                again.is_none_or(|next| next > self.now),
                "{again:?} is over"
            );
        }
        self.now = time;
    }

    fn command(&mut self, kind: CommandKind) -> Outcome {
        self.count += 1;
        let correlation = Correlation(self.count);
        let outcome = self.step(Input::Command(Command { correlation, kind }));
        outcome.expect("an answer")
    }

    fn place(&mut self, spec: OrderSpec) -> OrderId {
        let order = std::sync::Arc::new(spec);
        let wait = Wait::Journal;
        match self.command(CommandKind::Place { order, wait }) {
            Outcome::Placed(id) => id,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn says(&mut self, expected: &[&str]) {
        assert_eq!(std::mem::take(&mut self.said), expected);
    }

    fn cash(&self) -> Money {
        self.engine.kernel().ledger().account().cash
    }
}

fn money(text: &str) -> Money {
    Money::parse(text).expect("amount")
}

#[test]
fn a_stop_waits_for_a_book_that_is_lost() {
    let mut bench = Bench::perpetual(10_000);
    bench.trade(Side::Buy, 10_000, 1);
    bench.place(stop(Side::Buy, at(10_050, TriggerBy::Last), 1_000));
    bench.says(&["held"]);
    bench.hear(MarketData::Lost(LossReason::Stalled, Lost::Book));
    bench.trade(Side::Buy, 10_050, 1);
    // The price comes back: reached is reached.
    bench.trade(Side::Buy, 10_000, 1);
    bench.says(&[]);
    bench.book(&[(9_990, 50_000)], &[(10_010, 400), (10_020, 50_000)]);
    bench.says(&["triggered", "took 400 at 10010", "took 600 at 10020"]);
}

#[test]
fn a_trigger_looks_at_its_own_price() {
    let mut bench = Bench::perpetual(10_000);
    bench.trade(Side::Buy, 10_000, 1);
    bench.place(stop(Side::Buy, at(10_050, TriggerBy::Mark), 1_000));
    bench.place(stop(Side::Buy, at(10_060, TriggerBy::Last), 2_000));
    bench.trade(Side::Buy, 10_059, 1);
    bench.mark(10_049);
    bench.says(&["held", "held"]);
    bench.mark(10_050);
    bench.says(&["triggered", "took 1000 at 10000"]);
    bench.mark(20_000);
    bench.says(&[]);
    bench.trade(Side::Buy, 10_060, 1);
    bench.says(&["triggered", "took 2000 at 10000"]);
}

#[test]
fn a_trailing_stop_follows_the_best_price_to_the_last_digit() {
    let mut bench = Bench::perpetual(10_000);
    bench.trade(Side::Buy, 10_000, 1);
    bench.place(market(Side::Buy, 1_000));
    let kind = OrderType::TrailingStop {
        callback: Rate::parse("0.01").expect("rate"),
        activation: Some(Price(10_100)),
        by: TriggerBy::Last,
    };
    bench.place(OrderSpec::new(ID, Side::Sell, kind, Size::Position));
    bench.says(&["acked", "took 1000 at 10000", "held"]);
    // Not active yet: nothing to come back from.
    bench.trade(Side::Sell, 9_000, 1);
    for price in [10_100, 10_300, 10_200, 10_198] {
        bench.trade(Side::Buy, price, 1);
    }
    bench.says(&[]);
    // 10,300 less one percent is 10,197.
    bench.trade(Side::Sell, 10_197, 1);
    bench.says(&["triggered", "took 1000 at 9990"]);
}

#[test]
fn another_trigger_waits_anew_and_one_that_is_reached_goes_off_at_once() {
    let mut bench = Bench::perpetual(10_000);
    bench.trade(Side::Buy, 10_000, 1);
    let order = bench.place(stop(Side::Buy, at(10_050, TriggerBy::Last), 1_000));
    let amend = |trigger: i64| CommandKind::Amend {
        order,
        price: None,
        trigger: Some(Price(trigger)),
        qty: None,
    };
    bench.command(amend(10_080));
    bench.trade(Side::Buy, 10_079, 1);
    bench.says(&["held", "amended to 1000"]);
    bench.command(amend(10_079));
    bench.says(&["amended to 1000", "triggered", "took 1000 at 10000"]);
}

#[test]
fn a_post_only_order_that_would_take_when_set_off_expires() {
    let mut bench = Bench::perpetual(10_000);
    bench.trade(Side::Buy, 10_000, 1);
    let kind = OrderType::StopLimit {
        trigger: at(10_050, TriggerBy::Last),
        price: Price(10_050),
    };
    bench.place(OrderSpec {
        post_only: true,
        ..OrderSpec::new(ID, Side::Buy, kind, Size::Base(Qty(1_000)))
    });
    bench.trade(Side::Buy, 10_050, 1);
    bench.says(&["held", "triggered", "expired"]);
}

#[test]
fn a_position_that_is_closed_ends_what_could_only_reduce_it() {
    let mut bench = Bench::perpetual(10_000);
    bench.trade(Side::Buy, 10_000, 1);
    bench.place(market(Side::Buy, 1_000));
    let two = [10_500, 10_600].map(|price| OrderSpec {
        reduce_only: true,
        ..limit(Side::Sell, price, 800)
    });
    for spec in two {
        bench.place(spec);
    }
    let stop = OrderSpec {
        size: Size::Position,
        ..stop(Side::Sell, at(9_500, TriggerBy::Last), 1)
    };
    bench.place(stop);
    bench.said.clear();
    // The first one is filled whole; the second one is cut to what is left, and then the stop is idle.
    bench.trade(Side::Buy, 10_550, 10_000);
    bench.says(&["made 800 at 10500"]);
    bench.trade(Side::Buy, 10_700, 10_000);
    bench.says(&["amended to 200", "made 200 at 10600", "cancelled"]);
}

#[test]
fn an_order_ends_on_its_date_and_never_begins_after_it() {
    let mut bench = Bench::new(Contract::LinearPerpetual, 10_000, 5 * SECOND);
    bench.book(&[(9_990, 50_000)], &[(10_000, 50_000)]);
    let until = |seconds: i64| OrderSpec {
        time_in_force: TimeInForce::Gtd {
            expires: BEGIN.plus(seconds * SECOND),
        },
        ..limit(Side::Buy, 9_900, 1_000)
    };
    bench.place(until(4));
    bench.place(until(60));
    bench.pass(BEGIN.plus(30 * SECOND));
    bench.says(&["rejected", "acked"]);
    bench.pass(BEGIN.plus(60 * SECOND));
    bench.says(&["expired"]);
}

#[test]
fn funding_is_paid_once_for_each_time() {
    let mut bench = Bench::perpetual(10_000);
    bench.trade(Side::Buy, 10_000, 1);
    let (first, second) = (
        BEGIN.plus(60 * SECOND),
        BEGIN.plus(60 * SECOND + 480 * MINUTE),
    );
    bench.announce(first, "0.0001");
    bench.place(market(Side::Buy, 1_000));
    bench.mark(20_000);
    // The next one is announced before the first one is paid, by a clock ahead of ours.
    bench.announce(second, "0.0002");
    bench.said.clear();
    bench.pass(first);
    bench.says(&["funding 60 s -0.02"]);
    // By a clock behind ours the first one is announced still.
    bench.announce(first, "0.0001");
    bench.pass(first.plus(MINUTE));
    bench.says(&[]);
    bench.announce(second, "-0.0003");
    bench.pass(second);
    bench.says(&["funding 28860 s 0.06"]);
    assert_eq!(bench.cash(), money("10000.04"));
    // Nobody announces a third one: it comes an interval later.
    bench.pass(second.plus(480 * MINUTE));
    bench.says(&["funding 57660 s 0.06"]);
}

#[test]
fn who_comes_after_the_funding_time_does_not_pay() {
    let mut bench = Bench::perpetual(10_000);
    bench.trade(Side::Buy, 10_000, 1);
    let due = BEGIN.plus(60 * SECOND);
    bench.announce(due, "0.0001");
    bench.pass(due.plus(SECOND));
    bench.place(market(Side::Sell, 1_000));
    bench.pass(due.plus(MINUTE));
    bench.says(&["acked", "took 1000 at 9990"]);
    bench.pass(due.plus(480 * MINUTE));
    bench.says(&["funding 28860 s 0.01"]);
}

fn margin(bench: &mut Bench, mode: MarginMode) {
    let kind = CommandKind::Margin {
        instrument: ID,
        leverage: 20,
        mode,
    };
    assert_eq!(bench.command(kind), Outcome::Done);
}

#[test]
fn an_account_without_margin_is_liquidated_at_mark() {
    let mut bench = Bench::perpetual(10);
    margin(&mut bench, MarginMode::Cross);
    bench.place(market(Side::Buy, 1_000));
    bench.place(limit(Side::Buy, 9_000, 100));
    bench.says(&["acked", "took 1000 at 10000", "acked"]);
    // 10 - 9.60 is more than 0.4 % of 90.40, and 10 - 9.70 less than 0.4 % of 90.30.
    bench.mark(9_040);
    bench.says(&[]);
    bench.mark(9_030);
    bench.says(&[
        "cancelled",
        "liquidated Sell 1000 at 9030 for 1.12875",
        "insured 0.82875",
    ]);
    assert_eq!(bench.cash(), Money::ZERO);
    bench.mark(8_000);
    bench.says(&[]);
}

#[test]
fn an_isolated_position_takes_its_margin_with_it_and_no_more() {
    let mut bench = Bench::perpetual(100);
    margin(&mut bench, MarginMode::Isolated);
    bench.place(market(Side::Sell, 1_000));
    bench.says(&["acked", "took 1000 at 9990"]);
    // Margin 4.995: less 0.4 % of the value up to 104.47.
    bench.mark(10_447);
    bench.says(&[]);
    bench.mark(10_448);
    bench.says(&["liquidated Buy 1000 at 10448 for 1.306", "insured 0.891"]);
    assert_eq!(bench.cash(), money("95.005"));
}

#[test]
fn a_liquidated_long_position_costs_its_margin() {
    let mut bench = Bench::perpetual(100);
    margin(&mut bench, MarginMode::Isolated);
    bench.place(market(Side::Buy, 1_000));
    let before = bench.cash();
    bench.mark(9_530);
    bench.said.clear();
    // Profit -4.70, fee 1.19125: the fund pays what 5 do not.
    assert_eq!(before.minus(bench.cash()), Ok(money("5")));
    let position = bench.engine.kernel().ledger().holding(ID).expect("known");
    assert!(position.positions().iter().all(|p| p.qty == 0));
}

#[test]
fn nobody_knows_the_queue_beyond_the_book() {
    let mut bench = Bench::new(Contract::LinearPerpetual, 10_000, 0);
    bench.book(&[(9_990, 50_000), (9_980, 500)], &[(10_000, 50_000)]);
    bench.place(limit(Side::Buy, 9_970, 100));
    bench.place(limit(Side::Buy, 9_985, 100));
    bench.says(&["acked", "acked"]);
    // Between levels the book is empty, beyond them unknown.
    bench.trade(Side::Sell, 9_985, 10);
    bench.trade(Side::Sell, 9_970, 1_000);
    bench.says(&["made 10 at 9985", "made 90 at 9985"]);
    bench.book(
        &[(9_990, 50_000), (9_970, 300), (9_960, 1)],
        &[(10_000, 50_000)],
    );
    bench.trade(Side::Sell, 9_970, 300);
    bench.says(&[]);
    bench.trade(Side::Sell, 9_970, 60);
    bench.says(&["made 60 at 9970"]);
}

#[test]
fn a_trade_of_before_the_book_moves_nobody() {
    let mut bench = Bench::new(Contract::LinearPerpetual, 10_000, 0);
    bench.book(&[(9_990, 500), (9_980, 500)], &[(10_000, 50_000)]);
    let book = bench.now;
    bench.place(limit(Side::Buy, 9_990, 100));
    bench.says(&["acked"]);
    bench.trade_of(Side::Sell, 9_990, 10_000, book);
    bench.trade_of(Side::Sell, 9_980, 10_000, book);
    bench.says(&[]);
    bench.trade_of(Side::Sell, 9_990, 520, book.plus(1));
    bench.says(&["made 20 at 9990"]);
}

#[test]
fn who_changes_the_price_goes_to_the_end_of_his_own_queue_too() {
    let mut bench = Bench::new(Contract::LinearPerpetual, 10_000, 0);
    bench.book(&[(9_990, 500), (9_980, 1)], &[(10_000, 50_000)]);
    let first = bench.place(limit(Side::Buy, 9_985, 100));
    bench.place(limit(Side::Buy, 9_990, 30));
    let amend = CommandKind::Amend {
        order: first,
        price: Some(Price(9_990)),
        trigger: None,
        qty: Some(Qty(50)),
    };
    bench.command(amend);
    bench.says(&["acked", "acked", "amended to 50"]);
    bench.trade(Side::Sell, 9_990, 540);
    // Thirty of the one that was there, then what is left beyond the five hundred ahead of the other.
    bench.says(&["made 30 at 9990", "made 10 at 9990"]);
}
