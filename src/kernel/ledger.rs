//! The durable state: orders, positions, money, the risk state, and which strategies run.
//!
//! It changes only through [`Ledger::apply`], by journal records. The live kernel, recovery from the
//! journal and the projection into the store apply the same records and so reach the same state, which
//! [`Ledger::durable_hash`] compares.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

mod booking;
mod fills;
mod holding;
mod image;
mod rescale;
mod sums;

use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

pub use fills::{BookedFill, FILLS_KEPT};
pub use holding::{Holding, MarginSetting, hold};
pub use image::{BadImage, Image};

use self::fills::Fills;
use self::holding::Weight;
use self::rescale::Rescale;
use super::event::{Record, Seq, Sequenced};
use super::margin::Brackets;
use super::orders::{Order, OrderId, OrderState, OrderTable, PositionSide, StrategyId};
use super::portfolio::{Account, Position};
use super::risk::RiskState;
use super::statistics::Statistics;
use super::types::{Instrument, InstrumentId, InstrumentName, Money, MoneyError};

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
    /// An index without definition.
    #[error("record {seq} speaks of {what} {id}, which no record before it defines")]
    Undefined {
        /// Sequence of the record.
        seq: u64,
        /// What kind of thing.
        what: &'static str,
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
    /// Orders, each once. One that is forgotten since is in `forgotten` too.
    pub orders: Vec<OrderId>,
    /// Orders that are no longer kept.
    pub forgotten: Vec<OrderId>,
    /// Instruments whose positions changed, each once.
    pub positions: Vec<InstrumentId>,
    /// Whether money, statistics or the risk state changed.
    pub account: bool,
    /// Executions from this record on.
    pub fills: Option<Seq>,
}

impl Changes {
    fn fill(&mut self, seq: Seq) {
        self.fills = self.fills.or(Some(seq));
    }

    fn position(&mut self, id: InstrumentId) {
        if !self.positions.contains(&id) {
            self.positions.push(id);
        }
    }
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
    /// Whether the order ended.
    pub ended: bool,
    /// Whether the report contradicted what we know.
    pub disputed: bool,
    /// Whether positions, or what open orders could still execute or hold, changed.
    pub moved: bool,
}

/// A strategy as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct KnownStrategy {
    name: String,
    /// Started or stopped by the operator; `None` if neither.
    runs: Option<bool>,
}

/// The durable state.
#[derive(Debug)]
pub struct Ledger {
    seq: Seq,
    instruments: Vec<Instrument>,
    orders: OrderTable,
    /// By instrument.
    holdings: Vec<Holding>,
    /// Positions attributed to strategies: a ledger over fills.
    attributed: BTreeMap<(StrategyId, InstrumentId, PositionSide), Position>,
    account: Account,
    brackets: Brackets,
    statistics: Statistics,
    risk: RiskState,
    strategies: Vec<KnownStrategy>,
    fills: Fills,
    /// What strategies remember beyond what follows from the rest.
    states: BTreeMap<(StrategyId, InstrumentId), Box<[u8]>>,
    /// What open orders hold of the account's money.
    held: Money,
    /// What positions in derivatives bind of it.
    bound: Money,
    changes: Changes,
    /// Whether the record being applied changed positions or the sums over open orders.
    moved: bool,
}

impl Ledger {
    /// Empty, keeping `orders_kept` ended orders.
    pub fn new(orders_kept: usize) -> Self {
        Self {
            seq: Seq(0),
            instruments: Vec::new(),
            orders: OrderTable::new(orders_kept),
            holdings: Vec::new(),
            attributed: BTreeMap::new(),
            account: Account::default(),
            brackets: Brackets::dated_default(),
            statistics: Statistics::default(),
            risk: RiskState::default(),
            strategies: Vec::new(),
            fills: Fills::default(),
            states: BTreeMap::new(),
            held: Money::ZERO,
            bound: Money::ZERO,
            changes: Changes::default(),
            moved: false,
        }
    }

    /// Sequence of the last applied record.
    #[inline]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The instruments, by id.
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    /// An instrument.
    #[inline]
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

    /// What the account has and wants of an instrument.
    #[inline]
    pub fn holding(&self, id: InstrumentId) -> Option<&Holding> {
        self.holdings.get(id.index())
    }

    /// All of them, by id.
    pub fn holdings(&self) -> impl Iterator<Item = (InstrumentId, &Instrument, &Holding)> {
        (0_u16..)
            .map(InstrumentId)
            .zip(self.instruments.iter().zip(&self.holdings))
            .map(|(id, (instrument, holding))| (id, instrument, holding))
    }

    /// A position; blank when nothing was ever traded.
    pub fn position(&self, id: InstrumentId, side: PositionSide) -> Position {
        self.holding(id)
            .map(|h| *h.position(side))
            .unwrap_or_default()
    }

    /// The part of a position that a strategy's own fills make.
    pub fn attributed(
        &self,
        strategy: StrategyId,
        id: InstrumentId,
        side: PositionSide,
    ) -> Position {
        self.attributed
            .get(&(strategy, id, side))
            .copied()
            .unwrap_or_default()
    }

    /// The account.
    #[inline]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The margin brackets.
    pub fn brackets(&self) -> &Brackets {
        &self.brackets
    }

    /// The statistics.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The risk state.
    pub fn risk(&self) -> &RiskState {
        &self.risk
    }

    /// What open orders hold of the account's money.
    pub fn held(&self) -> Money {
        self.held
    }

    /// What positions in derivatives bind of the account's money.
    pub fn bound(&self) -> Money {
        self.bound
    }

    /// The newest executions from the record `from` on, newest first, [`FILLS_KEPT`] at most.
    pub fn fills_since(&self, from: Seq) -> impl Iterator<Item = &Arc<BookedFill>> {
        self.fills.since(from)
    }

    /// The name of a strategy.
    pub fn strategy_name(&self, id: StrategyId) -> Option<&str> {
        let known = self.strategies.get(usize::from(id.0))?;
        Some(&known.name)
    }

    /// The id of a strategy.
    pub fn strategy(&self, name: &str) -> Option<StrategyId> {
        let index = self.strategies.iter().position(|s| s.name == name)?;
        u16::try_from(index).ok().map(StrategyId)
    }

    /// The names of all strategies, by id.
    pub fn strategy_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.strategies.iter().map(|s| s.name.as_str())
    }

    /// Whether a strategy was started (`true`) or stopped by the operator; `None` if neither.
    pub fn strategy_runs(&self, name: &str) -> Option<bool> {
        self.strategies.iter().find(|s| s.name == name)?.runs
    }

    /// The same by its id.
    pub fn runs(&self, id: StrategyId) -> Option<bool> {
        self.strategies.get(usize::from(id.0))?.runs
    }

    /// What a strategy remembers of an instrument.
    pub fn strategy_state(&self, id: StrategyId, instrument: InstrumentId) -> Option<&[u8]> {
        self.states.get(&(id, instrument)).map(|state| &**state)
    }

    /// What changed since the last call.
    pub fn take_changes(&mut self) -> Changes {
        let mut changes = std::mem::take(&mut self.changes);
        (changes.orders, changes.forgotten) = self.orders.take_changes();
        changes
    }

    /// The gateway has an order: a step that is not journaled.
    pub fn sent(&mut self, id: OrderId) {
        self.orders.sent(id);
    }

    /// Orders that the venue has not answered, oldest first: after a restart nobody knows what became of them.
    pub fn unanswered(&self) -> Vec<OrderId> {
        let silent = |o: &&Order| matches!(o.state, OrderState::Intent | OrderState::Sent);
        let mut ids: Vec<OrderId> = self.orders.open().filter(silent).map(|o| o.id).collect();
        ids.sort_unstable();
        ids
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
            Record::RunStarted { .. } | Record::Refused { .. } => {}
            Record::InstrumentDefined { id, instrument } => self.define(seq, *id, instrument)?,
            Record::StrategyDefined { id, name } => {
                if usize::from(id.0) != self.strategies.len() {
                    return Err(undefined(seq, "strategy", id.0));
                }
                self.strategies.push(KnownStrategy {
                    name: name.clone(),
                    runs: None,
                });
            }
            Record::AccountDefined {
                positions,
                brackets,
            } => {
                self.account.positions = *positions;
                self.brackets.clone_from(brackets);
                self.changes.account = true;
            }
            Record::Transfer {
                asset,
                amount,
                value,
            } => {
                self.account
                    .transfer(asset, *amount, *value)
                    .map_err(range)?;
                self.statistics.transfer(*value).map_err(range)?;
                self.changes.account = true;
            }
            Record::Intent { order, qty, hold } => {
                let id = order.instrument;
                self.known(seq, id)?;
                let (side, position) = (order.side, order.position_side);
                let order = self
                    .orders
                    .insert(OrderId(seq.0), record.time, order, *qty, *hold);
                let (order, after) = (order.id, Weight::of(order));
                self.weigh(id, position, side, &Weight::NONE, &after)
                    .map_err(range)?;
                effect.order = Some(order);
            }
            Record::CancelRequested(id) => {
                let change = |order: &mut Order| order.cancel_requested(record.time);
                if self.change(*id, record.time, change).map_err(range)? == Some(true) {
                    effect.order = Some(*id);
                }
            }
            Record::AmendRequested { order, amend } => {
                let change = |o: &mut Order| o.amend_requested(*amend, record.time);
                if self.change(*order, record.time, change).map_err(range)? == Some(true) {
                    effect.order = Some(*order);
                }
            }
            Record::Unanswered(id) => {
                if self.change(*id, record.time, Order::lost).map_err(range)? == Some(true) {
                    effect.order = Some(*id);
                }
            }
            Record::Report(report) => effect = self.report(report, seq, record.time)?,
            Record::Account(report) => self.account_report(report, seq)?,
            Record::Margin {
                instrument,
                leverage,
                mode,
            } => {
                self.known(seq, *instrument)?;
                let setting = MarginSetting {
                    leverage: (*leverage).max(1),
                    mode: *mode,
                };
                self.set_margin(*instrument, setting).map_err(range)?;
            }
            Record::Risk(event) => {
                self.risk.apply(event);
                if event.forgives() {
                    self.statistics.reset_peak();
                    self.holdings.iter_mut().for_each(|h| h.suspect = false);
                }
                self.changes.account = true;
            }
            Record::Equity {
                equity,
                zone_minutes,
            } => {
                self.statistics
                    .equity(record.time, *equity, self.account.transfers, *zone_minutes)
                    .map_err(range)?;
                self.changes.account = true;
            }
            Record::Strategy { name, run } => {
                if let Some(known) = self.strategies.iter_mut().find(|s| s.name == *name) {
                    known.runs = Some(*run);
                }
            }
            Record::StrategyState {
                id,
                instrument,
                state,
            } => {
                self.known(seq, *instrument)?;
                if usize::from(id.0) >= self.strategies.len() {
                    return Err(undefined(seq, "strategy", id.0));
                }
                self.states.insert((*id, *instrument), state.clone());
            }
        }
        self.seq = seq;
        effect.moved = std::mem::take(&mut self.moved);
        Ok(effect)
    }

    /// Hash of the durable state: equal for the kernel, its recovery and the store's copy.
    ///
    /// What is not journaled (that an intent was sent) does not enter, and neither do
    /// sums that follow from the orders.
    pub fn durable_hash(&self) -> u64 {
        let mut state = Xxh3::new();
        self.seq.hash(&mut state);
        self.instruments.hash(&mut state);
        for order in self.orders.iter() {
            if order.state == OrderState::Sent {
                let mut order = order.clone();
                order.state = OrderState::Intent;
                order.hash(&mut state);
            } else {
                order.hash(&mut state);
            }
        }
        for holding in &self.holdings {
            (holding.positions(), holding.margin, holding.suspect).hash(&mut state);
        }
        self.attributed.hash(&mut state);
        self.account.hash(&mut state);
        self.brackets.hash(&mut state);
        self.strategies.hash(&mut state);
        // A state of before there were any has the hash that it had.
        if !self.states.is_empty() {
            self.states.hash(&mut state);
        }
        self.risk.hash(&mut state);
        self.statistics.hash_bits(&mut state);
        self.fills.hash_each(&mut state);
        state.finish()
    }

    fn known(&self, seq: Seq, id: InstrumentId) -> Result<&Instrument, LedgerError> {
        self.instrument(id)
            .ok_or_else(|| undefined(seq, "instrument", id.0))
    }

    fn define(
        &mut self,
        seq: Seq,
        id: InstrumentId,
        instrument: &Instrument,
    ) -> Result<(), LedgerError> {
        if id.index() == self.instruments.len() {
            self.instruments.push(instrument.clone());
            self.holdings.push(Holding::default());
            return Ok(());
        }
        let range = |_: MoneyError| LedgerError::Range { seq: seq.0 };
        let known = self.known(seq, id)?;
        let name = instrument.name.to_string();
        let scales = |i: &Instrument| (i.price_scale, i.qty_scale);
        let same = scales(known) == scales(instrument);
        let convert = Rescale::between(known, instrument);
        // Everything of the instrument leaves the sums at its old numbers and comes back at the new ones.
        let open = self.open_of(id);
        for order in &open {
            self.reweigh(*order, false).map_err(range)?;
        }
        if !same {
            let mut whole = || {
                convert.orders(&mut self.orders, id)?;
                convert.holding(self.holdings.get_mut(id.index())?)?;
                for ((_, of, _), position) in &mut self.attributed {
                    if *of == id {
                        position.qty = convert.signed(position.qty)?;
                    }
                }
                Some(())
            };
            whole().ok_or(LedgerError::Scale { name })?;
            self.fills.rescale(convert, id);
            self.changes.fills = Some(Seq(0));
        }
        if let Some(known) = self.instruments.get_mut(id.index()) {
            known.clone_from(instrument);
        }
        for order in &open {
            self.reweigh(*order, true).map_err(range)?;
        }
        Ok(())
    }
}

fn undefined(seq: Seq, what: &'static str, id: u16) -> LedgerError {
    LedgerError::Undefined {
        seq: seq.0,
        what,
        id,
    }
}
