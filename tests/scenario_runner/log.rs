//! What happened, in words.

use std::fmt::Write as _;

use hean::engine::Engine;
use hean::kernel::event::{
    AccountReport, AccountReportKind, Effect, Effects, Notice, Record, Sequenced,
};
use hean::kernel::orders::{OrderId, PositionSide};
use hean::kernel::snapshot::average_price;
use hean::kernel::types::{Instrument, InstrumentId, Money, Qty, Side, format_fixed};

/// Writes what happened, and keeps what was journaled.
pub(crate) fn note(
    engine: &Engine,
    effects: Effects,
    journal: &mut Vec<Sequenced>,
    log: &mut String,
) {
    let mut changed: Vec<OrderId> = Vec::new();
    for effect in effects {
        match effect {
            Effect::Record(record) => {
                if let Record::Account(report) = &record.record {
                    account_report(report, engine, log);
                }
                journal.push(record);
            }
            Effect::Reply(reply) => line(log, &format!("reply {:?}", reply.outcome)),
            Effect::Resync(_) => line(log, "resync"),
            Effect::Notice(notice) => match notice {
                Notice::Order(change) if !changed.contains(&change.order.id) => {
                    changed.push(change.order.id);
                }
                Notice::BookInvalid { reason, .. } => {
                    line(log, &format!("book invalid {reason:?}"));
                }
                Notice::BookValid(_) => line(log, "book valid"),
                Notice::Risk(event) => line(log, &format!("risk {event:?}")),
                Notice::Flat => line(log, "flat"),
                Notice::Unprotected(_) => line(log, "unprotected"),
                Notice::Disputed(what) => line(log, &format!("disputed: {what}")),
                _ => {}
            },
            Effect::Submit { .. } => panic!("the engine keeps submissions"),
        }
    }
    for id in changed {
        order(engine, id, log);
    }
}

pub(crate) fn line(log: &mut String, text: &str) {
    writeln!(log, "> {}", text.trim_end()).expect("write");
}

/// One order as it is now.
pub(crate) fn order(engine: &Engine, id: OrderId, log: &mut String) {
    let ledger = engine.kernel().ledger();
    let order = ledger.orders().get(id).expect("order");
    let instrument = ledger.instrument(order.instrument).expect("instrument");
    let qty = |q: Qty| q.display(instrument.qty_scale).to_string();
    let average = average_price(order.filled_notional, order.filled.0, instrument)
        .map_or("-".to_owned(), |p| p.to_string());
    let dispute = if order.disputed { " DISPUTED" } else { "" };
    line(
        log,
        &format!(
            "order {id} {} {}/{} at {average} fee {} {}{dispute}",
            order.state.name(),
            qty(order.filled),
            qty(order.qty),
            order.fee,
            order.reason()
        ),
    );
}

fn account_report(report: &AccountReport, engine: &Engine, log: &mut String) {
    let name = |id: InstrumentId| {
        let instrument = engine.kernel().ledger().instrument(id);
        instrument.expect("instrument").name.symbol.clone()
    };
    let text = match &report.kind {
        AccountReportKind::Funding {
            instrument,
            position_side,
            amount,
            ..
        } => format!(
            "funding {} {} {amount}",
            name(*instrument),
            position_side.name()
        ),
        AccountReportKind::Liquidated {
            instrument,
            position_side,
            side,
            price,
            qty,
            fee,
            ..
        } => {
            let on = engine.kernel().ledger().instrument(*instrument);
            let on = on.expect("instrument");
            format!(
                "liquidated {} {} {} {} at {} fee {fee}",
                name(*instrument),
                position_side.name(),
                side.name(),
                qty.display(on.qty_scale),
                price.display(on.price_scale)
            )
        }
        AccountReportKind::Insurance { amount, .. } => format!("insurance {amount}"),
        AccountReportKind::Standing { .. } => panic!("an answer is no record"),
    };
    line(log, &text);
}

/// Money and positions. Spot accounts and those in derivatives have lines of their own.
pub(crate) fn account(engine: &Engine, log: &mut String) {
    let kernel = engine.kernel();
    let (ledger, account) = (kernel.ledger(), kernel.ledger().account());
    let mut text = format!(
        "cash {} equity {} realized {} fees {}",
        account.cash,
        kernel.equity(),
        account.realized,
        account.fees
    );
    for (name, amount) in [
        ("funding", account.funding),
        ("insurance", account.insurance),
        ("held", ledger.held()),
        ("margin", ledger.bound()),
    ] {
        if amount != Money::ZERO {
            write!(text, " {name} {amount}").expect("write");
        }
    }
    for (asset, held) in &account.assets {
        write!(text, " {asset} {} worth {}", held.amount, held.cost).expect("write");
    }
    let mut first = true;
    for (id, on, side) in positions(engine) {
        let position = ledger.position(id, side);
        if position.qty == 0 && !(first && side == PositionSide::Both) {
            continue;
        }
        let leg = match (side, id) {
            (PositionSide::Both, InstrumentId(0)) => String::new(),
            (PositionSide::Both, _) => format!(" {}", on.name.symbol),
            (side, _) => format!(" {}", side.name()),
        };
        let qty = format_fixed(position.qty.into(), 3);
        write!(text, "{leg} position {qty} cost {}", position.cost).expect("write");
        if position.isolated != Money::ZERO {
            write!(text, " isolated {}", position.isolated).expect("write");
        }
        first = false;
    }
    line(log, &text);
}

fn positions(engine: &Engine) -> Vec<(InstrumentId, Instrument, PositionSide)> {
    let ledger = engine.kernel().ledger();
    let mode = ledger.account().positions;
    let mut all = Vec::new();
    for (id, instrument, _) in ledger.holdings() {
        for side in PositionSide::of(mode, instrument.contract) {
            all.push((id, instrument.clone(), *side));
        }
    }
    all
}

/// What must hold after every step: the sums over open orders, and that no money was created or lost.
pub(crate) fn check(engine: &Engine) {
    let kernel = engine.kernel();
    let ledger = kernel.ledger();
    assert!(ledger.sums_are_right(), "sums over open orders differ");
    let account = ledger.account();
    let mut sum = account.transfers.0 + account.realized.0 + account.funding.0 - account.fees.0
        + account.insurance.0;
    for (id, instrument, side) in positions(engine) {
        let position = ledger.position(id, side);
        let mark = kernel.market_of(id).and_then(|m| m.mark(&instrument));
        if let Some(mark) = mark {
            sum += position.unrealized(mark, &instrument).expect("in range").0;
        }
    }
    assert_eq!(Money(sum), kernel.equity(), "money was created or lost");
}

pub(crate) fn side(word: &str) -> Side {
    match word {
        "buy" => Side::Buy,
        "sell" => Side::Sell,
        _ => panic!("neither buy nor sell: {word}"),
    }
}
