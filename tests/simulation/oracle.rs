//! The account kept a second time, from the journal's facts alone and in other words than the kernel's: naive
//! sums, each fill once.

use std::collections::{BTreeMap, BTreeSet};

use hean::kernel::event::{AccountReportKind, Record, ReportKind, Sequenced};
use hean::kernel::ledger::Ledger;
use hean::kernel::orders::{OrderId, PositionSide};
use hean::kernel::types::{Contract, Instrument, InstrumentId, Price, Qty, Side};

type Leg = (InstrumentId, PositionSide);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Position {
    qty: i128,
    cost: i128,
    realized: i128,
    fees: i128,
    funding: i128,
}

#[derive(Debug, Clone)]
struct Order {
    leg: Leg,
    side: Side,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Oracle {
    instruments: Vec<Instrument>,
    orders: BTreeMap<OrderId, Order>,
    booked: BTreeSet<(u64, u64)>,
    funded: BTreeMap<Leg, i64>,
    account_events: BTreeSet<(u16, u64)>,
    positions: BTreeMap<Leg, Position>,
    cash: i128,
    transfers: i128,
    insurance: i128,
}

/// `a × b / c`, half to even.
fn share(a: i128, b: i128, c: i128) -> i128 {
    let product = a.checked_mul(b).expect("in range");
    let (down, rest) = (product.div_euclid(c), product.rem_euclid(c));
    match (rest * 2).cmp(&c) {
        std::cmp::Ordering::Less => down,
        std::cmp::Ordering::Greater => down + 1,
        std::cmp::Ordering::Equal => down + (down & 1),
    }
}

impl Oracle {
    pub(crate) fn apply(&mut self, record: &Sequenced) {
        match &record.record {
            Record::InstrumentDefined { id, instrument }
                if id.index() == self.instruments.len() =>
            {
                self.instruments.push((**instrument).clone());
            }
            Record::Transfer { value, .. } => {
                self.cash += value.0;
                self.transfers += value.0;
            }
            Record::Intent { order, .. } => {
                let known = Order {
                    leg: (order.instrument, order.position_side),
                    side: order.side,
                };
                self.orders.insert(OrderId(record.seq.0), known);
            }
            Record::Report(report) => {
                let ReportKind::Fill(fill) = &report.kind else {
                    return;
                };
                let Some(order) = self.orders.get(&report.order).cloned() else {
                    return;
                };
                if self.booked.insert((report.order.0, fill.trade_id)) {
                    self.book(order.leg, order.side, fill.price, fill.qty, fill.fee.0);
                }
            }
            Record::Account(report) => match &report.kind {
                AccountReportKind::Funding {
                    instrument,
                    position_side,
                    due,
                    amount,
                    ..
                } => {
                    let leg = (*instrument, *position_side);
                    let last = self.funded.entry(leg).or_default();
                    if due.0 > *last {
                        *last = due.0;
                        self.cash += amount.0;
                        self.positions.entry(leg).or_default().funding += amount.0;
                    }
                }
                AccountReportKind::Liquidated {
                    instrument,
                    position_side,
                    side,
                    trade_id,
                    price,
                    qty,
                    fee,
                } => {
                    if self.account_events.insert((instrument.0, *trade_id)) {
                        let leg = (*instrument, *position_side);
                        self.book(leg, *side, *price, *qty, fee.0);
                    }
                }
                AccountReportKind::Insurance { id, amount } => {
                    if self.account_events.insert((u16::MAX, *id)) {
                        self.cash += amount.0;
                        self.insurance += amount.0;
                    }
                }
                AccountReportKind::Standing { .. } => {}
            },
            _ => {}
        }
    }

    fn book(&mut self, leg: Leg, side: Side, price: Price, qty: Qty, fee: i128) {
        let instrument = &self.instruments[leg.0.index()];
        let digits = u32::from(instrument.price_scale.digits() + instrument.qty_scale.digits());
        let worth = |qty: i128| i128::from(price.0) * qty * 10_i128.pow(16 - digits);
        let signed = match side {
            Side::Buy => i128::from(qty.0),
            Side::Sell => -i128::from(qty.0),
        };
        let position = self.positions.entry(leg).or_default();
        position.fees += fee;
        let mut won = 0;
        let (mut cost, mut left) = (position.cost, signed);
        if position.qty * signed < 0 {
            let closed = position.qty.abs().min(signed.abs());
            let released = share(cost, closed, position.qty.abs());
            let towards = signed.signum() * closed;
            // What the closed part brings when sold, or costs when bought back.
            won = -worth(towards) - released;
            cost -= released;
            position.qty += towards;
            left -= towards;
        }
        if left != 0 {
            cost += worth(left);
            position.qty += left;
        }
        position.cost = cost;
        position.realized += won;
        self.cash -= fee;
        self.cash += match instrument.contract {
            Contract::Spot => -worth(signed),
            _ => won,
        };
    }

    /// What differs from the ledger.
    pub(crate) fn differs(&self, ledger: &Ledger) -> Option<String> {
        if ledger.account().cash.0 != self.cash {
            return Some(format!(
                "cash {} against {}",
                ledger.account().cash.0,
                self.cash
            ));
        }
        for (leg, own) in &self.positions {
            let theirs = ledger.position(leg.0, leg.1);
            let theirs = Position {
                qty: i128::from(theirs.qty),
                cost: theirs.cost.0,
                realized: theirs.realized.0,
                fees: theirs.fees.0,
                funding: theirs.funding.0,
            };
            if theirs != *own {
                return Some(format!("position {leg:?}: {theirs:?} against {own:?}"));
            }
        }
        let account = ledger.account();
        let sum = |f: fn(&Position) -> i128| self.positions.values().map(f).sum::<i128>();
        let (realized, fees, funding) = (sum(|p| p.realized), sum(|p| p.fees), sum(|p| p.funding));
        if (account.realized.0, account.fees.0, account.funding.0) != (realized, fees, funding) {
            return Some("the account's sums are not those of its positions".to_owned());
        }
        // Money is conserved: what is there at cost is what came and what was won, to the last digit.
        let spot = |leg: &Leg| self.instruments[leg.0.index()].contract == Contract::Spot;
        let at_cost: i128 = self
            .positions
            .iter()
            .filter(|(leg, _)| spot(leg))
            .map(|(_, p)| p.cost)
            .sum();
        let right = self.transfers + realized + funding - fees + self.insurance;
        if account.cash.0 + at_cost != right {
            return Some(format!(
                "money: {} against {right}",
                account.cash.0 + at_cost
            ));
        }
        None
    }
}
