//! The deterministic core: inputs in, effects out.
//!
//! Invariant: nothing below this module reads a clock, a socket, a file, a random source, a log or a
//! metric, and nothing depends on the order of a hash map. Equal inputs give equal effects and an
//! equal [`Kernel::state_hash`], bit for bit.

pub mod types;
pub mod event;
pub mod orders;
pub mod portfolio;
pub mod margin;
pub mod statistics;
pub mod ledger;
pub mod market;
pub mod indicators;
pub mod strategies;
pub mod vocabulary;
pub mod rules;
pub mod scripts;
pub mod risk;
pub mod snapshot;
mod commands;
mod desk;
mod exits;
mod feed;
mod guard;
mod instruments;
mod publish;
mod running;
mod valuation;
mod waiters;
mod why;

use instruments::Instruments;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash as _, Hasher as _};
use std::ops::Range;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use event::{
    Correlation, Effect, Effects, Input, Notice, Outcome, Record, Reply, ReportKind, Seq,
    Sequenced, Stamped, VenueReport,
};
use indicators::Spec;
use ledger::{Changes, Ledger, LedgerError};
use margin::Brackets;
use market::Market;
use orders::{OrderId, OrderState, Origin, PositionSide, Role};
use portfolio::PositionMode;
use risk::{OrderRate, RiskLimits};
use running::Running;
use strategies::{StrategyConfig, StrategyError};
use types::{Instrument, InstrumentId, Interval, Money, Qty, SECOND, Time};
use valuation::Valuation;
use waiters::Waiters;

/// What a kernel is built from. Every capacity has its number here.
#[derive(Debug, Clone)]
pub struct KernelConfig {
    /// Whether orders are taken (paper) or all refused (observe).
    pub trading: bool,
    /// Intervals whose candles are kept for every instrument.
    pub intervals: Vec<Interval>,
    /// Indicators kept on every interval.
    pub indicators: Vec<Spec>,
    /// Closed candles kept for each instrument and interval.
    pub candles_kept: usize,
    /// Ended orders kept.
    pub orders_kept: usize,
    /// Levels a side of an order book.
    pub book_levels_max: usize,
    /// Commands that wait for an answer at most.
    pub waiters_max: usize,
    /// Risk limits.
    pub limits: RiskLimits,
    /// Minutes that the account's day begins before UTC's.
    pub zone_minutes: i16,
    /// How long an order may go without an answer before it counts as unknown, in nanoseconds.
    pub answer_timeout_ns: i64,
    /// How the account holds positions in derivatives.
    pub positions: PositionMode,
    /// Margin brackets of derivatives.
    pub brackets: Brackets,
    /// Strategies; each runs on every instrument.
    pub strategies: Vec<StrategyConfig>,
}

impl Default for KernelConfig {
    fn default() -> Self {
        let indicators = ["sma:20", "ema:20", "rsi:14", "macd:12:26:9", "bbands:20:2"];
        Self {
            trading: true,
            intervals: vec![Interval::MINUTE],
            indicators: indicators
                .iter()
                .filter_map(|t| Spec::parse(t).ok())
                .collect(),
            candles_kept: 1_000,
            orders_kept: 10_000,
            book_levels_max: 5_000,
            waiters_max: 4_096,
            limits: RiskLimits::default(),
            zone_minutes: 0,
            answer_timeout_ns: 10 * SECOND,
            positions: PositionMode::OneWay,
            brackets: Brackets::dated_default(),
            strategies: Vec::new(),
        }
    }
}

/// What a start needs to know beyond the configuration.
#[derive(Debug, Clone)]
pub struct Start {
    /// Now.
    pub time: Time,
    /// Program version.
    pub version: String,
    /// Instruments to trade, as their venues describe them today.
    pub instruments: Vec<Instrument>,
    /// Currency and money of a fresh paper account.
    pub cash: (String, Money),
}

/// The kernel.
#[derive(Debug)]
pub struct Kernel {
    config: KernelConfig,
    ledger: Ledger,
    markets: Vec<Market>,
    /// Instrument by instrument; `desks` says where each begins and ends.
    strategies: Vec<Running>,
    desks: Vec<Range<usize>>,
    /// Names of all strategies that the ledger knows, shared with readers.
    strategy_names: Arc<[String]>,
    /// What readers see of the strategies, unless one has decided since.
    strategy_views: Option<Arc<[snapshot::StrategyView]>>,
    /// What positions and open orders are worth and risk at mark.
    valuation: Valuation,
    rate: OrderRate,
    waiters: Waiters,
    /// Orders that were sent and perhaps not answered yet, oldest first, with when they were.
    awaited: VecDeque<(Time, OrderId)>,
    /// Positions to close as soon as their open orders have ended.
    closing: BTreeSet<(InstrumentId, PositionSide)>,
    /// The kill switch's question to the venue that is not answered yet.
    asked: Option<Seq>,
    /// When the kill switch tries again.
    retry_at: Option<Time>,
    /// Losing closes in a row at the last look.
    streak: u32,
    /// Exits whose change the venue has refused.
    stubborn: BTreeSet<OrderId>,
    /// Orders of which the venue has said that there is nothing to cancel.
    uncancellable: BTreeSet<OrderId>,
    /// Exits that risk has refused, and for what quantity.
    refused_exits: BTreeMap<(OrderId, Role), Qty>,
    /// Intents and changes that are not durable yet, and so not sent, oldest first.
    undurable: VecDeque<(Seq, OrderId)>,
    durable: Seq,
    journal_full: bool,
    now: Time,
    equity_due: Option<Time>,
    /// How far equity may fall from a peak, and from which: zero from zero.
    fall_allowed: (Money, Money),
    /// Whether the last market event was news: a new trade, a changed book.
    applied: bool,
    /// Whether each change of an order is told.
    tells_orders: bool,
    dirty: Dirty,
    /// When each market wants to be looked at although nothing comes: as it says itself.
    dues: Vec<Option<Time>>,
}

/// What changed since the last publication.
#[derive(Debug, Default)]
struct Dirty {
    books: Instruments,
    tickers: Instruments,
    listings: Instruments,
    series: Instruments,
    ledger: Changes,
}

impl Kernel {
    /// A kernel over a recovered (or empty) ledger. [`Kernel::start`] must follow.
    pub fn new(config: KernelConfig, ledger: Ledger) -> Result<Self, StrategyError> {
        // Every strategy is built once here, so that a wrong configuration is an error now.
        config
            .strategies
            .iter()
            .try_for_each(|s| strategies::build(s).map(drop))?;
        Ok(Self {
            config,
            ledger,
            markets: Vec::new(),
            strategies: Vec::new(),
            desks: Vec::new(),
            strategy_names: Arc::from([]),
            strategy_views: None,
            valuation: Valuation::default(),
            rate: OrderRate::default(),
            waiters: Waiters::default(),
            awaited: VecDeque::new(),
            closing: BTreeSet::new(),
            asked: None,
            retry_at: None,
            streak: 0,
            stubborn: BTreeSet::new(),
            uncancellable: BTreeSet::new(),
            refused_exits: BTreeMap::new(),
            undurable: VecDeque::new(),
            durable: Seq(0),
            journal_full: false,
            now: Time::ZERO,
            equity_due: None,
            fall_allowed: (Money::ZERO, Money::ZERO),
            applied: false,
            tells_orders: false,
            dirty: Dirty::default(),
            dues: Vec::new(),
        })
    }

    /// From now on every change of an order is an effect of its own ([`Notice::Order`]). Changes no state.
    pub fn tell_orders(&mut self) {
        self.tells_orders = true;
    }

    /// Begins a run: everything recovered is durable, unanswered intents are unknown, instruments
    /// and a fresh account's money are entered. Returns the ids of the instruments to trade.
    pub fn start(
        &mut self,
        start: Start,
        effects: &mut Effects,
    ) -> Result<Vec<InstrumentId>, LedgerError> {
        self.now = start.time;
        self.durable = self.ledger.seq();
        let lost = self.ledger.unanswered();
        self.streak = self.ledger.statistics().losing_streak;
        let run_id = start.time.0;
        self.commit(
            Record::RunStarted {
                run_id,
                version: start.version,
            },
            effects,
        )?;
        for id in &lost {
            self.commit(Record::Unanswered(*id), effects)?;
        }
        let mut active = Vec::new();
        for instrument in start.instruments {
            let known = self.ledger.find(&instrument.name);
            let next = self.ledger.instruments().len();
            let id = known.unwrap_or(InstrumentId(u16::try_from(next).unwrap_or(u16::MAX)));
            if self.ledger.instrument(id) != Some(&instrument) {
                let instrument = Box::new(instrument);
                self.commit(Record::InstrumentDefined { id, instrument }, effects)?;
            }
            active.push(id);
        }
        if self.ledger.account().currency.is_empty() {
            let (asset, amount) = start.cash;
            let value = amount;
            self.commit(
                Record::Transfer {
                    asset,
                    amount,
                    value,
                },
                effects,
            )?;
        }
        self.define_account(effects)?;
        self.define_strategies(effects)?;
        self.equity_due = Some(Interval::MINUTE.next_open(self.now));
        self.markets = (0..self.ledger.instruments().len())
            .map(|_| self.market())
            .collect();
        self.dues = vec![None; self.markets.len()];
        self.build_strategies(&active);
        for index in 0..self.markets.len() {
            self.refresh(InstrumentId(u16::try_from(index).unwrap_or(u16::MAX)));
        }
        let unknown = |o: &&orders::Order| o.state == OrderState::Unknown;
        let unknown = self.ledger.orders().open().filter(unknown);
        let mut unknown: Vec<_> = unknown.map(|o| (o.id, o.instrument)).collect();
        unknown.sort_unstable();
        for (id, instrument) in unknown {
            self.ask(id, instrument, effects);
        }
        // Requests whose answers the restart has lost: asked about, unless they come after all.
        let open = self.ledger.orders().open();
        let asked = open.filter(|o| guard::is_asked(o.state) && o.state != OrderState::Unknown);
        let mut asked: Vec<OrderId> = asked.map(|o| o.id).collect();
        asked.sort_unstable();
        for id in asked {
            self.await_answer(id);
        }
        let parents: Vec<OrderId> = self.ledger.orders().parents().collect();
        for parent in parents {
            self.settle_exits(parent, effects);
        }
        Ok(active)
    }

    /// How the account is margined, if that changed since the journal's last word on it.
    fn define_account(&mut self, effects: &mut Effects) -> Result<(), LedgerError> {
        let (positions, brackets) = (self.config.positions, &self.config.brackets);
        let known =
            self.ledger.account().positions == positions && self.ledger.brackets() == brackets;
        // A position in the wrong mode would be nobody's: the mode waits until everything is flat.
        let derivative = |(id, side, _): &(InstrumentId, PositionSide, i64)| {
            *side != PositionSide::Both
                || self
                    .ledger
                    .instrument(*id)
                    .is_some_and(|i| i.contract != types::Contract::Spot)
        };
        let busy =
            self.open_positions().iter().any(derivative) || self.ledger.orders().open_len() > 0;
        let positions = if busy {
            self.ledger.account().positions
        } else {
            positions
        };
        if known || (busy && self.ledger.brackets() == brackets) {
            return Ok(());
        }
        let brackets = Box::new(brackets.clone());
        self.commit(
            Record::AccountDefined {
                positions,
                brackets,
            },
            effects,
        )?;
        Ok(())
    }

    /// Applies one input.
    pub fn step(&mut self, stamped: &Stamped, effects: &mut Effects) {
        self.now = self.now.max(stamped.time);
        match &stamped.input {
            Input::Market(event) => self.on_market(event, effects),
            Input::Report(report) => self.on_report(report, effects),
            Input::Account(report) => self.on_account(report, effects),
            Input::Command(command) => self.on_command(command, effects),
            Input::Journaled { through } => self.on_journaled(*through, effects),
            Input::JournalFull(full) => self.journal_full = *full,
            Input::Tick => self.on_tick(effects),
        }
    }

    /// When the next [`Input::Tick`] is due.
    pub fn deadline(&self) -> Option<Time> {
        let sooner = |soonest: Option<Time>, due: Option<Time>| match (soonest, due) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (known, None) | (None, known) => known,
        };
        let markets = self.dues.iter().copied();
        markets.fold(sooner(self.equity_due, self.guard_deadline()), sooner)
    }

    /// Whether the last market event was news: a new trade, a changed book.
    #[inline]
    pub fn applied(&self) -> bool {
        self.applied
    }

    /// What changed since the last publication, for a shell that does not publish.
    pub fn take_changes(&mut self) -> ledger::Changes {
        self.ledger.take_changes()
    }

    /// The durable state.
    #[inline]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// A market.
    #[inline]
    pub fn market_of(&self, id: InstrumentId) -> Option<&Market> {
        self.markets.get(id.index())
    }

    /// Hash of the whole state: two kernels that got the same inputs agree on it.
    pub fn state_hash(&self) -> u64 {
        let mut state = Xxh3::new();
        self.ledger.durable_hash().hash(&mut state);
        self.markets.hash(&mut state);
        for running in &self.strategies {
            running.hash_bits(&mut state);
        }
        (self.journal_full, self.now, self.rate, self.streak).hash(&mut state);
        (&self.undurable, &self.awaited, &self.closing).hash(&mut state);
        (self.asked, self.retry_at, &self.stubborn).hash(&mut state);
        (&self.uncancellable, &self.refused_exits).hash(&mut state);
        state.finish()
    }

    /// Hash of the durable state.
    pub fn durable_hash(&self) -> u64 {
        self.ledger.durable_hash()
    }

    /// Makes a record, applies it, and hands it to the journal.
    fn commit(
        &mut self,
        record: Record,
        effects: &mut Effects,
    ) -> Result<ledger::Effect, LedgerError> {
        let seq = Seq(self.ledger.seq().0.saturating_add(1));
        let sequenced = Sequenced {
            seq,
            time: self.now,
            record,
        };
        let effect = self.ledger.apply(&sequenced)?;
        if let Some(order) = effect.order.and_then(|id| self.ledger.orders().get(id)) {
            let instrument = order.instrument;
            if self.tells_orders {
                let change = publish::order_change(&sequenced, order, effect);
                effects.push(Effect::Notice(Notice::Order(Arc::new(change))));
            }
            if effect.moved {
                self.refresh(instrument);
            }
        }
        effects.push(Effect::Record(sequenced));
        Ok(effect)
    }

    fn on_report(&mut self, report: &VenueReport, effects: &mut Effects) {
        let id = report.order;
        let Some(order) = self.ledger.orders().get(id) else {
            // Of an order that is forgotten, or of nobody: booked nowhere, but said.
            effects.push(Effect::Notice(Notice::Disputed(
                "a report of an order that we do not know",
            )));
            return;
        };
        let was_unknown = order.state == OrderState::Unknown;
        let was_cancelled = order.state == OrderState::CancelPending;
        let own = order.origin.strategy();
        let own = own.and_then(|s| self.running_of(s, order.instrument));
        let realized = own.map(|index| self.realized_by(index));
        let effect = match self.commit(Record::Report(report.clone()), effects) {
            Ok(effect) => effect,
            Err(LedgerError::Range { .. }) => {
                // Nothing was changed: a venue's impossible number must not stop the process.
                effects.push(Effect::Notice(Notice::Disputed(
                    "an order report out of range",
                )));
                return;
            }
            Err(bug) => panic!("a report of a known order cannot fail otherwise: {bug}"),
        };
        if let Some(index) = own.filter(|_| effect.ended) {
            self.forget_own(index, id);
        }
        if let Some((correlation, _)) = self.waiters.remove(id) {
            self.reply(correlation, Outcome::Placed(id), effects);
        }
        if matches!(report.kind, ReportKind::AmendRejected { .. }) {
            self.amend_refused(id);
        }
        if !matches!(report.kind, ReportKind::CancelRejected { .. }) {
            self.uncancellable.remove(&id);
        }
        let Some(order) = self.ledger.orders().get(id) else {
            return;
        };
        // A venue that knows nothing to cancel knows of an end that we do not.
        let refused = was_cancelled
            && order.is_open()
            && matches!(report.kind, ReportKind::CancelRejected { .. });
        if refused || (order.state == OrderState::Unknown && !was_unknown) {
            let instrument = order.instrument;
            let linked = refused && *order.link() != orders::Link::None;
            // The question may be lost as well: the kill switch cancels again whatever becomes of it.
            if self.stands_in_the_way(order) {
                self.retry_at.get_or_insert(self.now.plus(SECOND));
            }
            if linked {
                self.cancel_refused(id);
            }
            self.ask(id, instrument, effects);
            return;
        }
        // The cancel was lost on its way, and the order stands: it goes out once more.
        if was_unknown && order.cancel_wanted && order.state != OrderState::Unknown {
            self.cancel(id, effects);
        }
        let Some(order) = self.ledger.orders().get(id) else {
            return;
        };
        if self.stands_in_the_way(order) {
            self.retry_at.get_or_insert(self.now.plus(SECOND));
        }
        let failed = order.origin == Origin::KillSwitch && order.state != OrderState::Filled;
        if effect.ended && failed {
            self.retry_at = Some(self.now.plus(SECOND));
        }
        if effect.order.is_none() {
            return;
        }
        self.follow(id, effects);
        if effect.filled {
            self.watch_streak(effects);
            self.watch(effects);
        }
        if effect.ended {
            self.go_on(effects);
        }
        if let (Some(index), Some(realized)) = (own, realized) {
            let fill = match &report.kind {
                ReportKind::Fill(fill) if effect.filled => Some(fill),
                _ => None,
            };
            self.own_changed(
                index,
                id,
                fill.map(|f| (f, realized)),
                effect.ended,
                effects,
            );
        }
    }

    fn on_tick(&mut self, effects: &mut Effects) {
        self.guard_tick(effects);
        for index in 0..self.markets.len() {
            let id = InstrumentId(u16::try_from(index).unwrap_or(u16::MAX));
            let (Some(market), Some(instrument)) =
                (self.markets.get_mut(index), self.ledger.instrument(id))
            else {
                continue;
            };
            if self
                .dues
                .get(index)
                .is_some_and(|due| due.is_some_and(|due| due <= self.now))
            {
                let mut outcome = market::Outcome::default();
                market.advance(market.venue_now(self.now), instrument, &mut outcome);
                if let Some(due) = self.dues.get_mut(index) {
                    *due = market.deadline();
                }
                self.candles_closed(id, &outcome.closed, effects);
            }
        }
        if self.equity_due.is_some_and(|due| due <= self.now) {
            self.equity_due = Some(Interval::MINUTE.next_open(self.now));
            if self.valuation.all_marked() {
                let record = Record::Equity {
                    equity: self.equity(),
                    zone_minutes: self.config.zone_minutes,
                };
                self.must_commit(record, effects);
                self.watch(effects);
            }
        }
    }

    /// Commits a record that cannot fail: our own invariant, so an assertion.
    fn must_commit(&mut self, record: Record, effects: &mut Effects) {
        if let Err(bug) = self.commit(record, effects) {
            panic!("own record refused by the ledger: {bug}");
        }
    }

    fn reply(&self, correlation: Correlation, outcome: Outcome, effects: &mut Effects) {
        effects.push(Effect::Reply(Reply {
            correlation,
            after: self.ledger.seq(),
            outcome,
        }));
    }
}
