//! Trades as people count them: from flat to flat.
//!
//! A trade begins with the execution that opens a position out of nothing and ends with the one that brings it
//! back to nothing; an execution that goes through zero ends one and begins the next, its fee shared by
//! quantity. They are counted for each strategy, instrument and position side apart, from the records of the
//! ledger. What a trade comes to is its profit at average cost, less fees, plus funding.

use std::collections::BTreeMap;

use crate::kernel::event::{AccountReportKind, FeeAsset, Fill, Record, ReportKind, Sequenced};
use crate::kernel::ledger::Ledger;
use crate::kernel::orders::{OrderId, PositionSide, StrategyId};
use crate::kernel::portfolio::{Execution, Position};
use crate::kernel::types::{InstrumentId, Money, MoneyError, Price, Qty, Side, Time};
use crate::offline::Offline;

/// A trade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trip {
    /// Whose; `None`: nobody's strategy.
    pub strategy: Option<StrategyId>,
    /// Which instrument.
    pub instrument: InstrumentId,
    /// Bought first.
    pub long: bool,
    /// When it began.
    pub opened: Time,
    /// When it ended, or was looked at last.
    pub closed: Time,
    /// Whether it has ended.
    pub ended: bool,
    /// All that was executed to open it, and for how much.
    pub entry: (Qty, Money),
    /// All that was executed to close it, and for how much.
    pub exit: (Qty, Money),
    /// Profit of what was closed, before fees.
    pub realized: Money,
    /// Fees.
    pub fees: Money,
    /// Funding received, less what was paid.
    pub funding: Money,
    /// Executions.
    pub fills: u32,
    /// Whether the venue closed it.
    pub liquidated: bool,
}

impl Trip {
    /// What it came to.
    pub fn net(&self) -> Money {
        let net = self.realized.minus(self.fees);
        let net = net.and_then(|net| net.plus(self.funding));
        net.unwrap_or_default()
    }
}

/// An execution, for charts and lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub time: Time,
    /// Which order.
    pub order: OrderId,
    /// Which instrument.
    pub instrument: InstrumentId,
    /// Bought or sold.
    pub side: Side,
    /// At this price.
    pub price: Price,
    /// So much.
    pub qty: Qty,
    /// Fee, in the quote asset.
    pub fee: Money,
    /// Whether the order was resting.
    pub maker: bool,
}

type Key = (Option<StrategyId>, InstrumentId, PositionSide);

/// The trades of a run.
#[derive(Debug, Default)]
pub struct Trades {
    /// Those that have ended, in the order of their ends.
    pub done: Vec<Trip>,
    /// Executions, in their order.
    pub marks: Vec<Mark>,
    /// Sum of what was executed, in the quote asset.
    pub turnover: Money,
    /// Orders.
    pub orders: u64,
    /// Orders that risk refused, by rule.
    pub refused: BTreeMap<&'static str, u64>,
    /// The first of them in words.
    pub first_refusal: Option<String>,
    /// Orders that the venue rejected or that expired, by reason.
    pub ended: BTreeMap<String, u64>,
    open: BTreeMap<Key, (Position, Trip)>,
    /// Since when anything is held.
    held_since: Option<Time>,
    held_ns: i64,
}

impl Trades {
    /// Takes in a record that `ledger` has applied.
    pub fn record(&mut self, record: &Sequenced, ledger: &Ledger) {
        let time = record.time;
        match &record.record {
            Record::Intent { .. } => self.orders += 1,
            Record::Refused { refusal, .. } => {
                *self.refused.entry(refusal.rule.name()).or_default() += 1;
                self.first_refusal
                    .get_or_insert_with(|| refusal.to_string());
            }
            Record::Report(report) => match &report.kind {
                ReportKind::Fill(fill) => self.fill(report.order, fill, time, ledger),
                ReportKind::Rejected { reason } | ReportKind::Expired { reason }
                    if self.ended.len() < 64 || self.ended.contains_key(reason) =>
                {
                    *self.ended.entry(reason.clone()).or_default() += 1;
                }
                _ => {}
            },
            Record::Account(report) => self.account(&report.kind, time, ledger),
            _ => {}
        }
    }

    fn fill(&mut self, order: OrderId, fill: &Fill, time: Time, ledger: &Ledger) {
        let Some(order) = ledger.orders().get(order) else {
            return;
        };
        let mark = Mark {
            time,
            order: order.id,
            instrument: order.instrument,
            side: order.side,
            price: fill.price,
            qty: fill.qty,
            fee: fill.fee,
            maker: fill.maker,
        };
        self.marks.push(mark);
        let key = (
            order.origin.strategy(),
            order.instrument,
            order.position_side,
        );
        self.booked(key, &mark, &fill.paid_in, false, ledger);
    }

    fn booked(
        &mut self,
        key: Key,
        mark: &Mark,
        paid_in: &FeeAsset,
        liquidated: bool,
        ledger: &Ledger,
    ) {
        // Amounts beyond an i128 are refused by the ledger long before.
        let booked = self.book(key, mark, paid_in, liquidated, ledger);
        debug_assert!(booked.is_ok(), "the ledger has booked it");
        match (self.open.is_empty(), self.held_since) {
            (false, None) => self.held_since = Some(mark.time),
            (true, Some(since)) => {
                self.held_ns += mark.time.since(since);
                self.held_since = None;
            }
            _ => {}
        }
    }

    fn book(
        &mut self,
        key: Key,
        mark: &Mark,
        paid_in: &FeeAsset,
        liquidated: bool,
        ledger: &Ledger,
    ) -> Result<(), MoneyError> {
        let Some(instrument) = ledger.instrument(mark.instrument) else {
            return Ok(());
        };
        self.turnover = self
            .turnover
            .plus(instrument.notional(mark.price, mark.qty)?)?;
        let (mut qty, mut fee) = (mark.qty, mark.fee);
        let buys = mark.side == Side::Buy;
        if let Some((position, trip)) = self.open.get_mut(&key)
            && trip.long != buys
        {
            let held = Qty(position.qty.saturating_abs());
            let closed = qty.min(held);
            let part = if closed == qty {
                fee
            } else {
                fee.share(closed, qty)?
            };
            let value = instrument.notional(mark.price, closed)?;
            let execution = Execution {
                side: mark.side,
                price: mark.price,
                qty: closed,
                fee: part,
                paid_in,
            };
            let before = position.realized;
            position.book(&execution, 0, instrument)?;
            trip.realized = trip.realized.plus(position.realized.minus(before)?)?;
            trip.exit = (
                trip.exit.0.checked_add(closed).ok_or(MoneyError)?,
                trip.exit.1.plus(value)?,
            );
            trip.fees = trip.fees.plus(part)?;
            trip.fills += 1;
            trip.closed = mark.time;
            trip.liquidated |= liquidated;
            qty = qty.checked_sub(closed).ok_or(MoneyError)?;
            fee = fee.minus(part)?;
            if position.qty == 0
                && let Some((_, mut trip)) = self.open.remove(&key)
            {
                trip.ended = true;
                self.done.push(trip);
            }
        }
        if qty == Qty::ZERO {
            return Ok(());
        }
        let (position, trip) = self.open.entry(key).or_insert_with(|| {
            let trip = Trip {
                strategy: key.0,
                instrument: key.1,
                long: buys,
                opened: mark.time,
                closed: mark.time,
                ended: false,
                entry: (Qty::ZERO, Money::ZERO),
                exit: (Qty::ZERO, Money::ZERO),
                realized: Money::ZERO,
                fees: Money::ZERO,
                funding: Money::ZERO,
                fills: 0,
                liquidated: false,
            };
            (Position::default(), trip)
        });
        let value = instrument.notional(mark.price, qty)?;
        let execution = Execution {
            side: mark.side,
            price: mark.price,
            qty,
            fee,
            paid_in,
        };
        position.book(&execution, 0, instrument)?;
        trip.entry = (
            trip.entry.0.checked_add(qty).ok_or(MoneyError)?,
            trip.entry.1.plus(value)?,
        );
        trip.fees = trip.fees.plus(fee)?;
        trip.fills += 1;
        trip.closed = mark.time;
        Ok(())
    }

    fn account(&mut self, kind: &AccountReportKind, time: Time, ledger: &Ledger) {
        match kind {
            AccountReportKind::Funding {
                instrument,
                position_side,
                amount,
                ..
            } => self.funding((*instrument, *position_side), *amount),
            AccountReportKind::Liquidated {
                instrument,
                position_side,
                side,
                price,
                qty,
                fee,
                ..
            } => {
                // The venue closes what the account holds, whoever opened it.
                let of = (*instrument, *position_side);
                let mut left = *fee;
                for (key, held) in self.held(of) {
                    let fee = fee.share(held, *qty).unwrap_or(left).min(left);
                    left = left.minus(fee).unwrap_or_default();
                    let mark = Mark {
                        time,
                        order: OrderId(0),
                        instrument: *instrument,
                        side: *side,
                        price: *price,
                        qty: held,
                        fee,
                        maker: false,
                    };
                    self.marks.push(mark);
                    self.booked(key, &mark, &FeeAsset::Quote, true, ledger);
                }
            }
            AccountReportKind::Insurance { .. } | AccountReportKind::Standing { .. } => {}
        }
    }

    /// Strategies that hold a position together share its funding by quantity.
    fn funding(&mut self, of: (InstrumentId, PositionSide), amount: Money) {
        let held = self.held(of);
        let whole = held.iter().map(|(_, q)| q.0).sum();
        let mut left = amount;
        let last = held.len().saturating_sub(1);
        for (at, (key, qty)) in held.into_iter().enumerate() {
            let share = if at == last {
                left
            } else {
                amount.share(qty, Qty(whole)).unwrap_or_default()
            };
            left = left.minus(share).unwrap_or_default();
            if let Some((_, trip)) = self.open.get_mut(&key) {
                trip.funding = trip.funding.plus(share).unwrap_or(trip.funding);
            }
        }
    }

    /// What is held of a position, by whom.
    fn held(&self, (instrument, side): (InstrumentId, PositionSide)) -> Vec<(Key, Qty)> {
        let of = |(key, _): &(&Key, &(Position, Trip))| (key.1, key.2) == (instrument, side);
        let open = self.open.iter().filter(of);
        open.map(|(key, (position, _))| (*key, Qty(position.qty.saturating_abs())))
            .collect()
    }

    /// What is held counts at the last price and ends here, as far as trades go.
    pub(super) fn carry_no_further(&mut self, offline: &Offline) {
        let kernel = offline.engine.kernel();
        let now = offline.now();
        for ((_, id, _), (position, mut trip)) in std::mem::take(&mut self.open) {
            let (Some(instrument), Some(market)) =
                (kernel.ledger().instrument(id), kernel.market_of(id))
            else {
                continue;
            };
            let value = market
                .mark(instrument)
                .and_then(|m| position.value(m, instrument).ok());
            let value = value.unwrap_or(position.cost);
            let left = Qty(position.qty.saturating_abs());
            let sum = |a: Money, b: Money| a.plus(b).unwrap_or(a);
            let won = value.minus(position.cost).unwrap_or_default();
            trip.realized = sum(trip.realized, won);
            let exit = trip.exit.0.checked_add(left).unwrap_or(left);
            trip.exit = (
                exit,
                sum(trip.exit.1, value.magnitude().unwrap_or_default()),
            );
            (trip.closed, trip.ended) = (now, true);
            self.done.push(trip);
        }
        if let Some(since) = self.held_since.take() {
            self.held_ns += now.since(since);
        }
    }

    /// Trades that have not ended, with what is left of them.
    pub fn open(&self) -> impl Iterator<Item = (&Trip, &Position)> {
        self.open.values().map(|(position, trip)| (trip, position))
    }

    /// How long anything was held, up to `end`.
    pub fn held_ns(&self, end: Time) -> i64 {
        let running = self.held_since.map_or(0, |since| end.since(since).max(0));
        self.held_ns + running
    }
}
