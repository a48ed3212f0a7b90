//! What is on disk and read by later versions: if one of these numbers changes, so has the layout of records or
//! snapshots. Then raise `FORMAT_VERSION` (`journal/format.rs`) or `Image::VERSION` (`kernel/ledger/image.rs`), keep
//! a reader of the old layout, and enter the new number here. A record that was only appended changes neither.

use std::sync::Arc;

use hean::journal::FORMAT_VERSION;
use hean::kernel::event::{
    AccountReport, AccountReportKind, FeeAsset, Fill, OtherFee, Record, ReportKind, Seq, Sequenced,
    VenueReport,
};
use hean::kernel::ledger::{Image, Ledger};
use hean::kernel::margin::Brackets;
use hean::kernel::orders::{
    Amend, Bracket, ClientOrderId, Exit, Link, OrderId, OrderSpec, OrderType, Origin, PositionSide,
    Role, Size, StrategyId, TimeInForce, Trigger, TriggerBy, VenueOrderId,
};
use hean::kernel::portfolio::{MarginMode, PositionMode};
use hean::kernel::risk::{Refusal, RiskEvent, Rule};
use hean::kernel::types::{
    Contract, Instrument, InstrumentId, InstrumentName, Money, Price, Qty, Rate, Scale, Side, Time,
    VenueId,
};
use xxhash_rust::xxh3::xxh3_64;

const ID: InstrumentId = InstrumentId(0);
const STRATEGY: StrategyId = StrategyId(0);

fn instrument() -> Box<Instrument> {
    let name = InstrumentName {
        venue: VenueId::BybitLinear,
        symbol: "BTCUSDT".to_owned(),
    };
    let scale = |digits| Scale::new(digits).expect("scale");
    Box::new(Instrument {
        contract: Contract::LinearPerpetual,
        ..Instrument::unlimited(name, "BTC", "USDT", (scale(2), scale(3)))
    })
}

const fn trigger(price: i64, by: TriggerBy) -> Trigger {
    Trigger {
        price: Price(price),
        by,
    }
}

fn exit(price: i64) -> Exit {
    Exit {
        trigger: trigger(price, TriggerBy::Mark),
        price: Some(Price(price - 1)),
    }
}

/// An order of each kind, with each companion, size and time in force.
fn specs() -> Vec<OrderSpec> {
    let kinds = [
        OrderType::Market,
        OrderType::Limit {
            price: Price(10_000),
        },
        OrderType::StopMarket {
            trigger: trigger(11_000, TriggerBy::Last),
        },
        OrderType::StopLimit {
            trigger: trigger(11_000, TriggerBy::Mark),
            price: Price(11_010),
        },
        OrderType::TakeProfitMarket {
            trigger: trigger(9_000, TriggerBy::Index),
        },
        OrderType::TakeProfitLimit {
            trigger: trigger(9_000, TriggerBy::Last),
            price: Price(8_990),
        },
        OrderType::TrailingStop {
            callback: Rate(1_000_000),
            activation: Some(Price(12_000)),
            by: TriggerBy::Last,
        },
    ];
    let new = |kind| OrderSpec::new(ID, Side::Buy, kind, Size::Base(Qty(500)));
    let mut specs: Vec<OrderSpec> = kinds.into_iter().map(new).collect();
    specs[0].size = Size::Quote(Money::whole(50));
    specs[1].link = Link::Oco(Box::new(exit(11_000)));
    specs[1].client_order_id = Some("a-Key_1".parse().expect("a key"));
    specs[1].post_only = true;
    specs[1].origin = Origin::Strategy(STRATEGY);
    specs[2].time_in_force = TimeInForce::Gtd { expires: Time(99) };
    specs[2].link = Link::Exit {
        parent: OrderId(6),
        role: Role::StopLoss,
    };
    specs[3].link = Link::Bracket(Box::new(Bracket {
        take_profit: Some(exit(12_000)),
        stop_loss: None,
    }));
    specs[4].size = Size::Position;
    specs[4].reduce_only = true;
    specs[5].time_in_force = TimeInForce::Fok;
    specs[6].origin = Origin::KillSwitch;
    specs
}

fn report(order: u64, kind: ReportKind) -> Record {
    Record::Report(VenueReport {
        order: OrderId(order),
        time: Time(order.cast_signed() * 10),
        kind,
    })
}

fn fill(trade_id: u64, qty: i64, paid_in: FeeAsset) -> ReportKind {
    ReportKind::Fill(Fill {
        trade_id,
        price: Price(10_000),
        qty: Qty(qty),
        fee: Money(7),
        paid_in,
        maker: trade_id.is_multiple_of(2),
    })
}

fn account(kind: AccountReportKind) -> Record {
    Record::Account(AccountReport {
        time: Time(5),
        kind,
    })
}

/// Every record with everything that it can say.
fn records() -> Vec<Sequenced> {
    let mut records = vec![
        Record::RunStarted {
            run_id: 42,
            version: "1.2.3".to_owned(),
        },
        Record::InstrumentDefined {
            id: ID,
            instrument: instrument(),
        },
        Record::Transfer {
            asset: "USDT".to_owned(),
            amount: Money::whole(1_000_000),
            value: Money::whole(1_000_000),
        },
        Record::AccountDefined {
            positions: PositionMode::OneWay,
            brackets: Box::new(Brackets::dated_default()),
        },
        Record::StrategyDefined {
            id: STRATEGY,
            name: "grid".to_owned(),
        },
    ];
    // Orders 6 to 12.
    records.extend(specs().into_iter().map(|spec| Record::Intent {
        order: Arc::new(spec),
        qty: Qty(500),
        hold: Price(10_000),
    }));
    records.push(Record::Refused {
        order: Arc::new(specs().remove(1)),
        refusal: Box::new(Refusal {
            rule: Rule::MaxOrderNotional,
            limit: "1".to_owned(),
            value: "2".to_owned(),
            hint: "less".to_owned(),
        }),
    });
    let text = || "why".to_owned();
    let venue_order_id = VenueOrderId(77);
    let other = OtherFee {
        asset: "BNB".to_owned(),
        amount: Money(3),
    };
    records.extend([
        report(7, ReportKind::Acked { venue_order_id }),
        report(8, ReportKind::Held { venue_order_id }),
        report(8, ReportKind::Triggered { venue_order_id }),
        report(9, ReportKind::Held { venue_order_id }),
        report(6, fill(1, 200, FeeAsset::Quote)),
        report(6, fill(2, 300, FeeAsset::Base(Qty(1)))),
        report(7, fill(3, 100, FeeAsset::Quote)),
        report(10, ReportKind::Rejected { reason: text() }),
        report(11, ReportKind::Expired { reason: text() }),
        report(12, ReportKind::Held { venue_order_id }),
        Record::CancelRequested(OrderId(12)),
        report(12, ReportKind::CancelRejected { reason: text() }),
        Record::CancelRequested(OrderId(12)),
        report(12, ReportKind::Cancelled { reason: text() }),
        Record::AmendRequested {
            order: OrderId(7),
            amend: Amend {
                price: Some(Price(9_900)),
                trigger: None,
                qty: Some(Qty(600)),
                hold: Price(9_900),
            },
        },
        report(
            7,
            ReportKind::Amended {
                price: Some(Price(9_900)),
                trigger: None,
                qty: Qty(600),
            },
        ),
        Record::AmendRequested {
            order: OrderId(9),
            amend: Amend {
                price: None,
                trigger: Some(Price(11_500)),
                qty: None,
                hold: Price(11_500),
            },
        },
        report(9, ReportKind::AmendRejected { reason: text() }),
        Record::CancelRequested(OrderId(9)),
        report(9, ReportKind::Lost { reason: text() }),
        Record::Unanswered(OrderId(8)),
        report(8, ReportKind::NotFound),
        account(AccountReportKind::Funding {
            instrument: ID,
            position_side: PositionSide::Both,
            due: Time(4),
            rate: Rate(100),
            amount: Money(-5),
        }),
        account(AccountReportKind::Liquidated {
            instrument: ID,
            position_side: PositionSide::Both,
            side: Side::Sell,
            trade_id: 9,
            price: Price(9_000),
            qty: Qty(50),
            fee: Money(2),
        }),
        account(AccountReportKind::Insurance {
            id: 3,
            amount: Money(11),
        }),
        account(AccountReportKind::Standing {
            asked: Seq(1),
            orders: vec![OrderId(7)],
            positions: vec![(ID, PositionSide::Both, 550)],
        }),
        Record::Margin {
            instrument: ID,
            leverage: 3,
            mode: MarginMode::Isolated,
        },
        Record::Risk(RiskEvent::Halted {
            flatten: true,
            by: text(),
        }),
        Record::Risk(RiskEvent::Flat),
        Record::Risk(RiskEvent::Resumed { by: text() }),
        Record::Risk(RiskEvent::DailyLoss {
            loss: Money(1),
            limit: Money(2),
            until: Time(3),
        }),
        Record::Risk(RiskEvent::Drawdown {
            peak: Money(3),
            equity: Money(2),
            limit: Rate(1),
        }),
        Record::Risk(RiskEvent::LosingStreak {
            losses: 4,
            until: Time(8),
        }),
        Record::Risk(RiskEvent::Incomplete { missing: 6 }),
        Record::Equity {
            equity: Money::whole(999_999),
            zone_minutes: -60,
        },
        Record::Strategy {
            name: "grid".to_owned(),
            run: false,
        },
        report(7, fill(4, 100, FeeAsset::Other(Box::new(other)))),
        Record::StrategyState {
            id: STRATEGY,
            instrument: ID,
            state: Box::new([1, 2, 3]),
        },
    ]);
    (1..)
        .zip(records)
        .map(|(seq, record)| Sequenced {
            seq: Seq(seq),
            time: Time(seq.cast_signed() * 1_000_000),
            record,
        })
        .collect()
}

/// Bytes of a value, their number and hash.
fn layout(value: &impl serde::Serialize) -> (usize, String) {
    layout_of(&postcard::to_stdvec(value).expect("bytes"))
}

fn layout_of(bytes: &[u8]) -> (usize, String) {
    (bytes.len(), format!("{:016x}", xxh3_64(bytes)))
}

#[test]
fn records_are_laid_out_as_their_format_says() {
    assert_eq!(
        (FORMAT_VERSION, layout(&records())),
        (3, (1350, "844f2315a08aadb0".to_owned()))
    );
}

#[test]
fn a_snapshot_is_laid_out_as_its_version_says() {
    let mut ledger = Ledger::new(100);
    for record in records() {
        ledger
            .apply(&record)
            .unwrap_or_else(|e| panic!("{record:?}: {e}"));
    }
    assert!(ledger.sums_are_right());
    let key: ClientOrderId = "a-Key_1".parse().expect("a key");
    assert!(ledger.orders().by_key(&key).is_some());
    let image = ledger.image();
    assert_eq!(
        (Image::VERSION, layout(&image)),
        (3, (1560, "511e7ceb44866eb2".to_owned()))
    );
    let bytes = postcard::to_stdvec(&image).expect("bytes");
    let again = restored(3, &bytes);
    assert_eq!(again.durable_hash(), ledger.durable_hash());
    assert_eq!(again.fills_since(Seq(0)).count(), 5);
    assert!(Image::read(4, &bytes).is_none());
}

fn restored(version: u32, bytes: &[u8]) -> Ledger {
    let image = Image::read(version, bytes).expect("a known layout");
    Ledger::restore(image.expect("whole"), 100).expect("a state")
}

/// Layout 1 ends before the executions, layout 2 before what strategies remember.
#[test]
fn older_snapshots_are_still_read() {
    let mut ledger = Ledger::new(100);
    let old = |r: &&Sequenced| !matches!(r.record, Record::StrategyState { .. });
    for record in records().iter().filter(old) {
        ledger.apply(record).expect("a record");
    }
    let mut bytes = postcard::to_stdvec(&ledger.image()).expect("bytes");
    assert_eq!(bytes.pop(), Some(0), "no states at the end");
    assert_eq!(layout_of(&bytes), (1553, "72e2c969473c5e28".to_owned()));
    assert_eq!(restored(2, &bytes).durable_hash(), ledger.durable_hash());
    bytes.truncate(1401);
    assert_eq!(layout_of(&bytes), (1401, "32fc64cb07f08031".to_owned()));
    let again = restored(1, &bytes);
    assert_eq!(again.fills_since(Seq(0)).count(), 0);
    assert_eq!(again.seq(), ledger.seq());
    assert_eq!(
        again.orders().iter().count(),
        ledger.orders().iter().count()
    );
}
