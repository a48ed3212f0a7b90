//! The durable state: orders, positions, money, and which strategies run.
//!
//! It changes only through [`Ledger::apply`], by journal records. The live kernel, recovery from the
//! journal and the projection into the store apply the same records and so reach the same state, which
//! [`Ledger::durable_hash`] compares.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash as _, Hasher as _};

use xxhash_rust::xxh3::Xxh3;

use super::event::{Fill, Record, ReportKind, Seq, Sequenced, VenueReport};
use super::orders::{Applied, Order, OrderId, OrderState, OrderTable, OrderType, Size};
use super::portfolio::{Account, Position};
use super::statistics::Statistics;
use super::types::{
    Instrument, InstrumentId, InstrumentName, Money, MoneyError, Price, Qty, Scale, Time,
};

/// Why a record cannot be applied: the journal is not of this program, or is damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The sequence has a hole or runs back.
    #[error("record {got} follows record {last}: records are missing or doubled")]
    Sequence {
        /// Last applied.
        last: u64,
        /// The one that came.
        got: u64,
    },
    /// An instrument index without definition.
    #[error("record {seq} speaks of instrument {id}, which no record before it defines")]
    UnknownInstrument {
        /// Sequence of the record.
        seq: u64,
        /// The index.
        id: u16,
    },
    /// Exact arithmetic left its range.
    #[error("record {seq} takes an amount out of range")]
    Range {
        /// Sequence of the record.
        seq: u64,
    },
    /// An instrument's new scale cannot hold a number that is kept.
    #[error(
        "{name} now has fewer decimal digits than an order or position of ours needs: close it with \
         the version that opened it, or start with a fresh data directory"
    )]
    Scale {
        /// The instrument.
        name: String,
    },
}

/// What the last applied records changed: the store writes these, readers see these.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Orders. One that is forgotten since is in `forgotten` too.
    pub orders: BTreeSet<OrderId>,
    /// Orders that are no longer kept.
    pub forgotten: BTreeSet<OrderId>,
    /// Positions.
    pub positions: BTreeSet<InstrumentId>,
    /// Whether money or statistics changed.
    pub account: bool,
}

/// What one record did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effect {
    /// The order it was about, if it changed.
    pub order: Option<OrderId>,
    /// Whether this was the venue's first word on it.
    pub answered: bool,
    /// Whether an execution was booked.
    pub filled: bool,
    /// Whether the report contradicted what we know.
    pub disputed: bool,
}

/// The durable state.
#[derive(Debug)]
pub struct Ledger {
    seq: Seq,
    instruments: Vec<Instrument>,
    orders: OrderTable,
    positions: Vec<Position>,
    /// Positions attributed to strategies: a ledger over fills.
    attributed: BTreeMap<(String, InstrumentId), Position>,
    account: Account,
    statistics: Statistics,
    strategies: BTreeMap<String, bool>,
    changes: Changes,
}

impl Ledger {
    /// Empty, keeping `orders_kept` ended orders.
    pub fn new(orders_kept: usize) -> Self {
        Self {
            seq: Seq(0),
            instruments: Vec::new(),
            orders: OrderTable::new(orders_kept),
            positions: Vec::new(),
            attributed: BTreeMap::new(),
            account: Account::default(),
            statistics: Statistics::default(),
            strategies: BTreeMap::new(),
            changes: Changes::default(),
        }
    }

    /// Sequence of the last applied record.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The instruments, by id.
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    /// An instrument.
    pub fn instrument(&self, id: InstrumentId) -> Option<&Instrument> {
        self.instruments.get(id.index())
    }

    /// The id of a named instrument.
    pub fn find(&self, name: &InstrumentName) -> Option<InstrumentId> {
        let index = self.instruments.iter().position(|i| i.name == *name)?;
        u16::try_from(index).ok().map(InstrumentId)
    }

    /// The orders.
    pub fn orders(&self) -> &OrderTable {
        &self.orders
    }

    /// A position; blank when nothing was ever traded.
    pub fn position(&self, id: InstrumentId) -> Position {
        self.positions.get(id.index()).copied().unwrap_or_default()
    }

    /// The part of a position that a strategy's own fills make.
    pub fn attributed(&self, strategy: &str, id: InstrumentId) -> Position {
        self.attributed
            .get(&(strategy.to_owned(), id))
            .copied()
            .unwrap_or_default()
    }

    /// The account.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The statistics.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Whether a strategy was started (`true`) or stopped by the operator; `None` if neither.
    pub fn strategy_runs(&self, name: &str) -> Option<bool> {
        self.strategies.get(name).copied()
    }

    /// What changed since the last call.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// The gateway has an order: a step that is not journaled.
    pub fn sent(&mut self, id: OrderId) {
        self.orders.sent(id);
        self.touch_order(id);
    }

    /// A restart: intents without a venue's word become unknown. Returns them.
    pub fn lose_unanswered(&mut self) -> Vec<OrderId> {
        let lost = self.orders.lose_unanswered();
        for id in &lost {
            self.touch_order(*id);
        }
        lost
    }

    /// Applies the next record. On an error nothing has changed, and the record must not be skipped.
    pub fn apply(&mut self, record: &Sequenced) -> Result<Effect, LedgerError> {
        let seq = record.seq;
        if self.seq.0.checked_add(1) != Some(seq.0) {
            return Err(LedgerError::Sequence {
                last: self.seq.0,
                got: seq.0,
            });
        }
        let range = |_: MoneyError| LedgerError::Range { seq: seq.0 };
        let mut effect = Effect::default();
        match &record.record {
            Record::RunStarted { .. } => {}
            Record::InstrumentDefined { id, instrument } => self.define(seq, *id, instrument)?,
            Record::Transfer { asset, amount } => {
                self.account.transfer(asset, *amount).map_err(range)?;
                self.statistics.transfer(*amount);
                self.changes.account = true;
            }
            Record::Intent {
                order,
                qty,
                reserved,
            } => {
                self.known(seq, order.instrument)?;
                let id = self
                    .orders
                    .insert(seq, record.time, (**order).clone(), *qty, *reserved);
                self.touch_order(id);
                effect.order = Some(id);
            }
            Record::Refused { .. } => {}
            Record::CancelRequested(id) => {
                if self.orders.cancel_requested(*id, seq, record.time) {
                    self.touch_order(*id);
                    effect.order = Some(*id);
                }
            }
            Record::Report(report) => effect = self.report(report, seq, record.time)?,
            Record::Equity(equity) => {
                self.statistics
                    .equity(record.time, *equity, self.account.transfers);
                self.changes.account = true;
            }
            Record::Strategy { name, run } => {
                self.strategies.insert(name.clone(), *run);
            }
        }
        self.seq = seq;
        Ok(effect)
    }

    /// Hash of the durable state: equal for the kernel, its recovery and the store's copy.
    ///
    /// What is not journaled (that an intent was sent, or lost in a restart) does not enter.
    pub fn durable_hash(&self) -> u64 {
        let mut state = Xxh3::new();
        self.seq.hash(&mut state);
        self.instruments.hash(&mut state);
        for order in self.orders.iter() {
            let unanswered = matches!(
                order.state,
                OrderState::Sent | OrderState::Unknown | OrderState::Intent
            );
            if unanswered {
                Order {
                    state: OrderState::Intent,
                    ..order.clone()
                }
                .hash(&mut state);
            } else {
                order.hash(&mut state);
            }
        }
        self.positions.hash(&mut state);
        self.attributed.hash(&mut state);
        self.account.hash(&mut state);
        self.strategies.hash(&mut state);
        self.statistics.hash_bits(&mut state);
        state.finish()
    }

    fn known(&self, seq: Seq, id: InstrumentId) -> Result<&Instrument, LedgerError> {
        self.instrument(id).ok_or(LedgerError::UnknownInstrument {
            seq: seq.0,
            id: id.0,
        })
    }

    fn touch_order(&mut self, id: OrderId) {
        self.changes.orders.insert(id);
    }

    fn define(
        &mut self,
        seq: Seq,
        id: InstrumentId,
        instrument: &Instrument,
    ) -> Result<(), LedgerError> {
        if id.index() == self.instruments.len() {
            self.instruments.push(instrument.clone());
            self.positions.push(Position::default());
            return Ok(());
        }
        let known = self.known(seq, id)?;
        let scales = |i: &Instrument| (i.price_scale, i.qty_scale);
        if scales(known) != scales(instrument) {
            let convert = Rescale::between(known, instrument);
            let name = instrument.name.to_string();
            rescale(
                &mut self.orders,
                &mut self.positions,
                &mut self.attributed,
                id,
                convert,
            )
            .ok_or(LedgerError::Scale { name })?;
        }
        if let Some(known) = self.instruments.get_mut(id.index()) {
            known.clone_from(instrument);
        }
        Ok(())
    }

    fn report(
        &mut self,
        report: &VenueReport,
        seq: Seq,
        time: Time,
    ) -> Result<Effect, LedgerError> {
        let Some(order) = self.orders.get(report.order) else {
            return Ok(Effect::default());
        };
        let id = order.spec.instrument;
        let answered = order.answered.is_none();
        let instrument = self.known(seq, id)?;
        let range = |_: MoneyError| LedgerError::Range { seq: seq.0 };
        // Everything that can leave the range is computed before anything changes.
        let booking = match &report.kind {
            ReportKind::Fill(fill) => Some(self.book(order, fill, instrument).map_err(range)?),
            _ => None,
        };
        let instrument = instrument.clone();
        let applied = self
            .orders
            .report(report, seq, time, &instrument)
            .map_err(range)?;
        self.changes.forgotten.extend(self.orders.take_forgotten());
        let (filled, disputed) = match applied {
            Applied::Changed => (false, false),
            Applied::Filled => (true, false),
            Applied::Disputed { filled } => (filled, true),
            Applied::Duplicate | Applied::Unknown => return Ok(Effect::default()),
        };
        self.touch_order(report.order);
        if let Some(booking) = booking.filter(|_| filled) {
            if let Some(position) = self.positions.get_mut(id.index()) {
                *position = booking.position;
            }
            if let Some((key, position)) = booking.attributed {
                self.attributed.insert(key, position);
            }
            self.account = booking.account;
            self.statistics.fill(booking.realized);
            self.changes.positions.insert(id);
            self.changes.account = true;
        }
        Ok(Effect {
            order: Some(report.order),
            answered,
            filled,
            disputed,
        })
    }

    /// What an execution makes of positions and money.
    fn book(
        &self,
        order: &Order,
        fill: &Fill,
        instrument: &Instrument,
    ) -> Result<Booking, MoneyError> {
        let (id, side) = (order.spec.instrument, order.spec.side);
        let notional = instrument.notional(fill.price, fill.qty)?;
        let mut position = self.position(id);
        let realized = position.book(side, fill.price, fill.qty, fill.fee, instrument)?;
        let mut account = self.account.clone();
        account.book(side, notional, fill.fee, realized)?;
        let attributed = match order.spec.origin.strategy() {
            Some(name) => {
                let mut own = self.attributed(name, id);
                own.book(side, fill.price, fill.qty, fill.fee, instrument)?;
                Some(((name.to_owned(), id), own))
            }
            None => None,
        };
        Ok(Booking {
            position,
            account,
            attributed,
            realized,
        })
    }
}

/// The outcome of an execution, before it is entered.
struct Booking {
    position: Position,
    account: Account,
    attributed: Option<((String, InstrumentId), Position)>,
    realized: Option<Money>,
}

/// Moves integers from one pair of scales to another, exactly or not at all.
#[derive(Debug, Clone, Copy)]
struct Rescale {
    price: (Scale, Scale),
    qty: (Scale, Scale),
}

impl Rescale {
    fn between(old: &Instrument, new: &Instrument) -> Self {
        Self {
            price: (old.price_scale, new.price_scale),
            qty: (old.qty_scale, new.qty_scale),
        }
    }

    fn price(self, price: Price) -> Option<Price> {
        shift(price.0, self.price).map(Price)
    }

    fn qty(self, qty: Qty) -> Option<Qty> {
        shift(qty.0, self.qty).map(Qty)
    }
}

impl Rescale {
    fn cut(self, order: &mut Order) {
        let cut = |value: i64, (from, to): (Scale, Scale)| {
            shift(value, (from, to)).unwrap_or_else(|| {
                let unit = from.unit().checked_div(to.unit()).unwrap_or(1);
                value.checked_div(unit).unwrap_or(0)
            })
        };
        order.qty = Qty(cut(order.qty.0, self.qty));
        order.filled = Qty(cut(order.filled.0, self.qty));
        if let Size::Base(qty) = order.spec.size {
            order.spec.size = Size::Base(Qty(cut(qty.0, self.qty)));
        }
        if let OrderType::Limit { price } = order.spec.kind {
            let price = Price(cut(price.0, self.price));
            order.spec.kind = OrderType::Limit { price };
        }
    }
}

fn shift(value: i64, (from, to): (Scale, Scale)) -> Option<i64> {
    if to >= from {
        value.checked_mul(to.unit().checked_div(from.unit())?)
    } else {
        let unit = from.unit().checked_div(to.unit())?;
        (value.checked_rem(unit)? == 0)
            .then(|| value.checked_div(unit))
            .flatten()
    }
}

fn rescale(
    orders: &mut OrderTable,
    positions: &mut [Position],
    attributed: &mut BTreeMap<(String, InstrumentId), Position>,
    id: InstrumentId,
    convert: Rescale,
) -> Option<()> {
    orders.rescale(
        |o| o.spec.instrument == id,
        |o| {
            if !o.is_open() {
                // History: its numbers are shown, not traded; what does not fit is cut off.
                convert.cut(o);
                return Some(());
            }
            o.qty = convert.qty(o.qty)?;
            o.filled = convert.qty(o.filled)?;
            if let Size::Base(qty) = o.spec.size {
                o.spec.size = Size::Base(convert.qty(qty)?);
            }
            if let OrderType::Limit { price } = o.spec.kind {
                o.spec.kind = OrderType::Limit {
                    price: convert.price(price)?,
                };
            }
            Some(())
        },
    )?;
    let own = attributed
        .iter_mut()
        .filter(|((_, i), _)| *i == id)
        .map(|(_, p)| p);
    for position in positions.get_mut(id.index()).into_iter().chain(own) {
        position.qty = convert.qty(Qty(position.qty))?.0;
    }
    Some(())
}
