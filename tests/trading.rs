//! The kernel and the ledger alone, told by hand what a venue says: what the paper venue never does.

use hean::kernel::event::{
    AccountReport, AccountReportKind, Command, CommandKind, Correlation, DepthSnapshot, Effect,
    Effects, FeeAsset, Fill, Input, Level, MarketData, MarketEvent, Notice, OtherFee, Record,
    ReportKind, Seq, Sequenced, Stamped, VenueCommand, VenueReport, Wait,
};
use hean::kernel::ledger::Ledger;
use hean::kernel::orders::{
    Bracket, Exit, Link, OrderId, OrderSpec, OrderState, OrderType, PositionSide, Size, Trigger,
    TriggerBy, VenueOrderId,
};
use hean::kernel::types::{
    Contract, Instrument, InstrumentId, InstrumentName, Money, Price, Qty, Rate, SECOND, Scale,
    Side, Time, VenueId,
};
use hean::kernel::{Kernel, KernelConfig, Start};

const ID: InstrumentId = InstrumentId(0);

fn instrument(contract: Contract) -> Instrument {
    let name = InstrumentName {
        venue: VenueId::Sim,
        symbol: "BTCUSDT".to_owned(),
    };
    Instrument {
        contract,
        ..Instrument::unlimited(
            name,
            "BTC",
            "USDT",
            (Scale::new(2).expect("scale"), Scale::new(3).expect("scale")),
        )
    }
}

fn money(text: &str) -> Money {
    Money::parse(text).expect(text)
}

fn fill(trade_id: u64, price: i64, qty: i64, fee: &str, paid_in: FeeAsset) -> ReportKind {
    ReportKind::Fill(Fill {
        trade_id,
        price: Price(price),
        qty: Qty(qty),
        fee: money(fee),
        paid_in,
        maker: false,
    })
}

/// A ledger that is told records.
struct Told(Ledger);

impl Told {
    fn new(contract: Contract, cash: &str) -> Self {
        let mut told = Self(Ledger::new(10));
        told.tell(Record::InstrumentDefined {
            id: ID,
            instrument: Box::new(instrument(contract)),
        });
        told.deposit("USDT", cash, cash);
        told
    }

    fn tell(&mut self, record: Record) -> OrderId {
        let seq = Seq(self.0.seq().0 + 1);
        let time = Time(i64::try_from(seq.0).expect("small"));
        let record = Sequenced { seq, time, record };
        self.0.apply(&record).expect("a record that fits");
        assert!(self.0.sums_are_right());
        OrderId(seq.0)
    }

    fn deposit(&mut self, asset: &str, amount: &str, value: &str) {
        self.tell(Record::Transfer {
            asset: asset.to_owned(),
            amount: money(amount),
            value: money(value),
        });
    }

    fn order(&mut self, side: Side, qty: i64) -> OrderId {
        let size = Size::Base(Qty(qty));
        self.tell(Record::Intent {
            order: OrderSpec::new(ID, side, OrderType::Market, size).into(),
            qty: Qty(qty),
            hold: Price(0),
        })
    }

    fn report(&mut self, order: OrderId, kind: ReportKind) {
        self.tell(Record::Report(VenueReport {
            order,
            time: Time(1),
            kind,
        }));
    }

    fn account(&mut self, kind: AccountReportKind) {
        let time = Time(1);
        self.tell(Record::Account(AccountReport { time, kind }));
    }
}

/// A fee in the venue's own coin is worth what it is worth then; the coin realises what it has won since it came.
#[test]
fn a_fee_in_a_third_asset_is_paid_from_it() {
    let mut told = Told::new(Contract::Spot, "10000");
    // 2 BNB at 600 and 2 at 500: 4 at a cost of 2,200, 550 each.
    told.deposit("BNB", "2", "1200");
    told.deposit("BNB", "2", "1000");
    let bnb = |amount: &str| {
        FeeAsset::Other(Box::new(OtherFee {
            asset: "BNB".to_owned(),
            amount: money(amount),
        }))
    };
    let buy = told.order(Side::Buy, 10_000);
    // 10 BTC at 100, a fee of 0.5 BNB when one is worth 620: 310, of which 275 were paid for it. 35 are won.
    told.report(buy, fill(1, 10_000, 10_000, "310", bnb("0.5")));
    let account = told.0.account();
    assert_eq!(account.cash, money("9000"));
    assert_eq!(account.fees, money("310"));
    assert_eq!(account.realized, money("35"));
    let left = account.assets["BNB"];
    assert_eq!((left.amount, left.cost), (money("3.5"), money("1925")));
    let position = told.0.position(ID, PositionSide::Both);
    assert_eq!((position.qty, position.cost), (10_000, money("1000")));
    // 9,000 + 1,925 + 1,000 = 12,200 + 35 - 310.
    assert_eq!(account.money_and_assets(), Ok(money("10925")));

    // Told twice, booked once.
    told.report(buy, fill(1, 10_000, 10_000, "310", bnb("0.5")));
    assert_eq!(told.0.account().assets["BNB"], left);

    // All that is left of the coin, when it is worth 400: 1,400; 1,925 were paid. Realised on the close 10 x 10 = 100.
    let sell = told.order(Side::Sell, 10_000);
    told.report(sell, fill(2, 11_000, 10_000, "1400", bnb("3.5")));
    let account = told.0.account();
    assert_eq!(account.realized, money("-390")); // 35 + 100 + (1,400 - 1,925)
    assert_eq!(account.cash, money("10100"));
    assert_eq!(account.assets["BNB"].cost, Money::ZERO);
    // Transfers 12,200 + realised -390 - fees 1,710 = 10,100: all of it in cash.
    assert_eq!(account.transfers, money("12200"));
    assert_eq!(account.money_and_assets(), Ok(money("10100")));
}

/// Bybit, "P&L calculations (USDT Contract)", closed P&L: 0.4 short at 6,000, closed at 5,000, taker fee 0.055 %, 2.10 of
/// funding paid: 400 - 1.32 - 1.10 - 2.10 = 395.48.
#[test]
fn bybits_closed_profit_is_ours() {
    let mut told = Told::new(Contract::LinearPerpetual, "10000");
    let open = told.order(Side::Sell, 400);
    told.report(open, fill(1, 600_000, 400, "1.32", FeeAsset::Quote));
    let funding = AccountReportKind::Funding {
        instrument: ID,
        position_side: PositionSide::Both,
        due: Time(28_800 * SECOND),
        rate: Rate(-87_500),
        amount: money("-2.10"),
    };
    // Once for each funding time, however often it is told; and no older one afterwards.
    told.account(funding.clone());
    told.account(funding.clone());
    let AccountReportKind::Funding { due, .. } = &funding else {
        panic!("funding")
    };
    told.account(AccountReportKind::Funding {
        instrument: ID,
        position_side: PositionSide::Both,
        due: due.plus(-1),
        rate: Rate(1),
        amount: money("99"),
    });
    let close = told.order(Side::Buy, 400);
    told.report(close, fill(2, 500_000, 400, "1.10", FeeAsset::Quote));
    let account = told.0.account();
    assert_eq!(account.realized, money("400"));
    assert_eq!(account.cash.minus(money("10000")), Ok(money("395.48")));
    let position = told.0.position(ID, PositionSide::Both);
    assert_eq!((position.qty, position.cost), (0, Money::ZERO));
    assert_eq!(position.funding, money("-2.10"));
}

/// A kernel whose venue is this test.
struct Desk {
    kernel: Kernel,
    now: Time,
    commands: u64,
    sent: Vec<VenueCommand>,
    notices: Vec<Notice>,
    journal: Vec<Sequenced>,
}

impl Desk {
    fn new(ledger: Ledger, journal: Vec<Sequenced>, now: Time) -> Self {
        let kernel = Kernel::new(KernelConfig::default(), ledger).expect("kernel");
        let mut desk = Self {
            kernel,
            now,
            commands: 0,
            sent: Vec::new(),
            notices: Vec::new(),
            journal,
        };
        let start = Start {
            time: now,
            version: "test".to_owned(),
            instruments: vec![instrument(Contract::Spot)],
            cash: ("USDT".to_owned(), money("10000")),
        };
        let mut effects = Effects::new();
        desk.kernel.start(start, &mut effects).expect("start");
        desk.take(effects);
        let level = |price| Level {
            price: Price(price),
            qty: Qty(100_000),
        };
        let data = MarketData::Snapshot(Box::new(DepthSnapshot {
            last_id: 1,
            seq: 1,
            window: None,
            bids: vec![level(10_000)],
            asks: vec![level(10_100)],
        }));
        desk.input(Input::Market(MarketEvent {
            instrument: ID,
            venue_time: now,
            received: now,
            data,
        }));
        desk
    }

    /// Another process on the same journal.
    fn restarted(self) -> Self {
        let mut ledger = Ledger::new(100);
        for record in &self.journal {
            ledger.apply(record).expect("a journal of our own");
        }
        assert_eq!(ledger.durable_hash(), self.kernel.durable_hash());
        Self::new(ledger, self.journal, self.now)
    }

    fn take(&mut self, effects: Effects) {
        for effect in effects {
            match effect {
                Effect::Record(record) => self.journal.push(record),
                Effect::Submit { command, .. } => self.sent.push(command),
                Effect::Notice(notice) => self.notices.push(notice),
                Effect::Reply(_) | Effect::Resync(_) => {}
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.now = self.now.plus(1_000_000);
        let time = self.now;
        let mut effects = Effects::new();
        self.kernel.step(&Stamped { time, input }, &mut effects);
        let through = self.kernel.ledger().seq();
        let input = Input::Journaled { through };
        self.kernel.step(&Stamped { time, input }, &mut effects);
        self.take(effects);
        assert!(self.kernel.ledger().sums_are_right());
    }

    fn command(&mut self, kind: CommandKind) {
        self.commands += 1;
        let correlation = Correlation(self.commands);
        self.input(Input::Command(Command { correlation, kind }));
    }

    fn place(&mut self, order: OrderSpec) -> OrderId {
        let id = OrderId(self.kernel.ledger().seq().0 + 1);
        let order = std::sync::Arc::new(order);
        let wait = Wait::Venue;
        self.command(CommandKind::Place { order, wait });
        assert!(self.kernel.ledger().orders().get(id).is_some(), "refused");
        id
    }

    fn limit(&mut self, side: Side, price: i64, qty: i64) -> OrderId {
        let kind = OrderType::Limit {
            price: Price(price),
        };
        let id = self.place(OrderSpec::new(ID, side, kind, Size::Base(Qty(qty))));
        self.acked(id);
        id
    }

    fn report(&mut self, order: OrderId, kind: ReportKind) {
        let time = self.now;
        self.input(Input::Report(VenueReport { order, time, kind }));
    }

    fn acked(&mut self, order: OrderId) {
        let venue_order_id = VenueOrderId(order.0.into());
        self.report(order, ReportKind::Acked { venue_order_id });
    }

    fn refuse_cancel(&mut self, order: OrderId) {
        let reason = "too many requests".to_owned();
        self.report(order, ReportKind::CancelRejected { reason });
    }

    fn cancelled(&mut self, order: OrderId) {
        let reason = String::new();
        self.report(order, ReportKind::Cancelled { reason });
    }

    /// Time passes to the next deadline.
    fn wait(&mut self) {
        self.now = self.kernel.deadline().expect("something is due");
        self.input(Input::Tick);
    }

    fn state(&self, order: OrderId) -> OrderState {
        let order = self.kernel.ledger().orders().get(order);
        order.expect("kept").state
    }

    fn sent(&mut self) -> Vec<String> {
        let sent = self.sent.drain(..);
        let words = sent.map(|command| match command {
            VenueCommand::Place(order) => format!(
                "{} {} {}",
                order.spec().side.name(),
                order.qty().0,
                order.spec().kind.name()
            ),
            VenueCommand::Amend(amend) => format!("amend {}", amend.order()),
            VenueCommand::Cancel { order, .. } => format!("cancel {order}"),
            VenueCommand::Query { order, .. } => format!("query {order}"),
            VenueCommand::Standing { .. } => "standing".to_owned(),
        });
        words.collect()
    }

    fn standing(&mut self, orders: Vec<OrderId>, positions: Vec<i64>) {
        let asked = self.kernel.ledger().seq();
        let positions = positions.into_iter();
        let positions = positions.map(|q| (ID, PositionSide::Both, q)).collect();
        let time = self.now;
        let kind = AccountReportKind::Standing {
            asked,
            orders,
            positions,
        };
        self.input(Input::Account(AccountReport { time, kind }));
    }
}

fn desk() -> Desk {
    let now = Time::from_millis(1_700_000_000_000).expect("time");
    Desk::new(Ledger::new(100), Vec::new(), now)
}

#[test]
fn the_kill_switch_cancels_again_what_the_venue_would_not_and_believes_the_venue_alone() {
    let mut desk = desk();
    let held = desk.place(OrderSpec::new(
        ID,
        Side::Buy,
        OrderType::Market,
        Size::Base(Qty(1_000)),
    ));
    desk.report(held, fill(1, 10_100, 1_000, "0", FeeAsset::Quote));
    let stubborn = desk.limit(Side::Buy, 9_900, 1_000);
    let lost = desk.place(OrderSpec::new(
        ID,
        Side::Buy,
        OrderType::Limit {
            price: Price(9_800),
        },
        Size::Base(Qty(1_000)),
    ));
    let reason = "no answer".to_owned();
    desk.report(lost, ReportKind::Lost { reason });
    assert_eq!(desk.state(lost), OrderState::Unknown);
    desk.sent();
    desk.command(CommandKind::Halt {
        flatten: true,
        by: "test".to_owned(),
    });
    let both = [format!("cancel {stubborn}"), format!("cancel {lost}")];
    assert_eq!(desk.sent(), both);
    // The venue finds the order in its book that nobody knew of: the cancel goes out once more. It refuses the other
    // cancel: it is asked what it knows, and that question may be lost; a second later the cancel goes out again.
    desk.acked(lost);
    assert_eq!(desk.sent(), [format!("cancel {lost}")]);
    desk.refuse_cancel(stubborn);
    assert_eq!(desk.state(stubborn), OrderState::Acked);
    assert_eq!(desk.sent(), [format!("query {stubborn}")]);
    desk.wait();
    assert_eq!(desk.sent(), [format!("cancel {stubborn}")]);
    desk.cancelled(stubborn);
    assert_eq!(desk.sent(), Vec::<String>::new());
    desk.cancelled(lost);
    // Nothing is open any more: now the position.
    assert_eq!(desk.sent(), ["sell 1000 market"]);
    let close = OrderId(desk.kernel.ledger().seq().0);
    desk.report(close, fill(2, 10_000, 400, "0", FeeAsset::Quote));
    let reason = "no more".to_owned();
    desk.report(close, ReportKind::Expired { reason });
    desk.wait();
    assert_eq!(desk.sent(), ["sell 600 market"]);
    let close = OrderId(desk.kernel.ledger().seq().0);
    desk.report(close, fill(3, 10_000, 600, "0", FeeAsset::Quote));
    assert_eq!(desk.sent(), ["standing"]);
    // The venue knows better: it is asked again.
    desk.standing(vec![stubborn], vec![]);
    assert!(!desk.notices.contains(&Notice::Flat));
    desk.wait();
    assert_eq!(desk.sent(), ["standing"]);
    // No answer is no answer.
    desk.wait();
    assert_eq!(desk.sent(), ["standing"]);
    desk.standing(vec![], vec![]);
    assert!(desk.notices.contains(&Notice::Flat));
    assert!(desk.kernel.ledger().risk().flat);
}

#[test]
fn what_was_asked_before_a_restart_is_asked_about_after_it() {
    let mut desk = desk();
    let cancelled = desk.limit(Side::Buy, 9_900, 1_000);
    let amended = desk.limit(Side::Buy, 9_800, 1_000);
    desk.command(CommandKind::Cancel { order: cancelled });
    desk.command(CommandKind::Amend {
        order: amended,
        price: Some(Price(9_700)),
        trigger: None,
        qty: None,
    });
    let mut desk = desk.restarted();
    assert_eq!(desk.state(cancelled), OrderState::CancelPending);
    assert_eq!(desk.state(amended), OrderState::AmendPending);
    desk.sent();
    while desk.sent.is_empty() {
        desk.wait();
    }
    let both = [format!("query {cancelled}"), format!("query {amended}")];
    assert_eq!(desk.sent(), both);
    assert_eq!(desk.state(cancelled), OrderState::Unknown);
    desk.cancelled(cancelled);
    desk.acked(amended);
    assert_eq!(desk.state(amended), OrderState::Acked);
}

fn bracket(desk: &mut Desk) -> OrderId {
    let exit = |price| Exit {
        trigger: Trigger {
            price: Price(price),
            by: TriggerBy::Last,
        },
        price: None,
    };
    let kind = OrderType::Limit {
        price: Price(9_900),
    };
    let size = Size::Base(Qty(3_000));
    desk.place(OrderSpec {
        link: Link::Bracket(Box::new(Bracket {
            take_profit: Some(exit(11_000)),
            stop_loss: Some(exit(9_000)),
        })),
        ..OrderSpec::new(ID, Side::Buy, kind, size)
    })
}

#[test]
fn exits_follow_their_entry_over_a_restart() {
    let mut desk = desk();
    let entry = bracket(&mut desk);
    desk.acked(entry);
    desk.sent();
    desk.report(entry, fill(1, 9_900, 1_000, "0", FeeAsset::Quote));
    let exits = desk.kernel.ledger().orders().exits(entry);
    let [Some(target), Some(stop)] = exits else {
        panic!("{exits:?}");
    };
    assert_eq!(
        desk.sent(),
        ["sell 1000 take_profit_market", "sell 1000 stop_market"]
    );
    for exit in [target, stop] {
        let venue_order_id = VenueOrderId(exit.0.into());
        desk.report(exit, ReportKind::Held { venue_order_id });
    }
    // More is bought: both are to grow, and the venue refuses it of one. That one is not asked again.
    desk.report(entry, fill(2, 9_900, 500, "0", FeeAsset::Quote));
    let both = [format!("amend {target}"), format!("amend {stop}")];
    assert_eq!(desk.sent(), both);
    let qty = Qty(1_500);
    let (price, trigger) = (None, None);
    desk.report(
        target,
        ReportKind::Amended {
            price,
            trigger,
            qty,
        },
    );
    let reason = "not now".to_owned();
    desk.report(stop, ReportKind::AmendRejected { reason });
    assert_eq!(desk.sent(), Vec::<String>::new());
    // The rest comes; after a restart what is to be done follows from the orders as they are.
    desk.report(entry, fill(3, 9_900, 1_500, "0", FeeAsset::Quote));
    assert_eq!(desk.sent(), [format!("amend {target}")]);
    let mut desk = desk.restarted();
    assert_eq!(desk.sent(), [format!("amend {stop}")]);
    desk.report(
        stop,
        ReportKind::Amended {
            price,
            trigger,
            qty: Qty(3_000),
        },
    );
    desk.report(
        target,
        ReportKind::Amended {
            price,
            trigger,
            qty: Qty(3_000),
        },
    );
    // The target takes 1,000 of 3,000: the stop shrinks. All of it: the stop goes.
    desk.sent();
    desk.report(target, fill(4, 11_000, 1_000, "0", FeeAsset::Quote));
    assert_eq!(desk.sent(), [format!("amend {stop}")]);
    desk.report(
        stop,
        ReportKind::Amended {
            price,
            trigger,
            qty: Qty(2_000),
        },
    );
    desk.report(target, fill(5, 11_000, 2_000, "0", FeeAsset::Quote));
    assert_eq!(desk.sent(), [format!("cancel {stop}")]);
    // Too late: the venue executes the stop as well. It is booked, as the venue's word, and the position is short.
    desk.report(stop, fill(6, 9_000, 2_000, "0", FeeAsset::Quote));
    assert_eq!(desk.state(stop), OrderState::Filled);
    let position = desk.kernel.ledger().position(ID, PositionSide::Both);
    assert_eq!(position.qty, -2_000);
}
