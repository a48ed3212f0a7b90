//! The deterministic core: inputs in, effects out.
//!
//! Invariant: nothing below this module reads a clock, a socket, a file, a random source, a log or a
//! metric, and nothing depends on the order of a hash map. Equal inputs give equal effects and an
//! equal [`Kernel::state_hash`], bit for bit.

pub mod types;
pub mod event;
pub mod orders;
pub mod portfolio;
pub mod statistics;
pub mod ledger;
pub mod market;
pub mod indicators;
pub mod strategies;
pub mod risk;
pub mod snapshot;
mod commands;
mod publish;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash as _, Hasher as _};

use xxhash_rust::xxh3::Xxh3;

use event::{
    BookFault, Correlation, Effect, Effects, Input, LossReason, MarketEvent, Notice, Outcome,
    Record, Reply, Seq, Sequenced, Stamped, VenueReport, Wait,
};
use indicators::{Kept, Spec};
use ledger::{Changes, Ledger, LedgerError};
use market::{Market, Series, Step};
use orders::OrderId;
use risk::{RiskLimits, Rule};
use strategies::{Strategy, StrategyConfig, StrategyError, View};
use types::{Instrument, InstrumentId, Interval, Money, Time};

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
    strategies: Vec<Running>,
    /// Callers whose order is not answered yet.
    waiters: BTreeMap<OrderId, (Correlation, Wait)>,
    /// Orders whose intent is not durable yet, oldest first.
    undurable: VecDeque<OrderId>,
    durable: Seq,
    journal_full: bool,
    now: Time,
    equity_due: Option<Time>,
    /// Whether the last market event was news: a new trade, a changed book.
    applied: bool,
    dirty: Dirty,
}

/// A strategy on one instrument.
#[derive(Debug)]
struct Running {
    name: String,
    instrument: InstrumentId,
    strategy: Box<dyn Strategy>,
    last_decision: String,
    decided_at: Time,
    /// The rule that refused its last order: a repeated refusal is not journaled again.
    refused_by: Option<Rule>,
}

/// What changed since the last publication.
#[derive(Debug, Default)]
struct Dirty {
    books: BTreeSet<InstrumentId>,
    tickers: BTreeSet<InstrumentId>,
    listings: BTreeSet<InstrumentId>,
    series: BTreeSet<InstrumentId>,
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
            waiters: BTreeMap::new(),
            undurable: VecDeque::new(),
            durable: Seq(0),
            journal_full: false,
            now: Time::ZERO,
            equity_due: None,
            applied: false,
            dirty: Dirty::default(),
        })
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
        self.ledger.lose_unanswered();
        let run_id = start.time.0;
        self.commit(
            Record::RunStarted {
                run_id,
                version: start.version,
            },
            effects,
        )?;
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
            self.commit(Record::Transfer { asset, amount }, effects)?;
        }
        self.equity_due = Some(Interval::MINUTE.next_open(self.now));
        self.markets = (0..self.ledger.instruments().len())
            .map(|_| self.market())
            .collect();
        for id in &active {
            for config in &self.config.strategies {
                let Ok(strategy) = strategies::build(config) else {
                    continue;
                };
                self.strategies.push(Running {
                    name: config.name.clone(),
                    instrument: *id,
                    strategy,
                    last_decision: "waiting for the first candle".to_owned(),
                    decided_at: self.now,
                    refused_by: None,
                });
            }
        }
        Ok(active)
    }

    /// Applies one input.
    pub fn step(&mut self, stamped: &Stamped, effects: &mut Effects) {
        self.now = self.now.max(stamped.time);
        match &stamped.input {
            Input::Market(event) => self.on_market(event, effects),
            Input::Report(report) => self.on_report(report, effects),
            Input::Command(command) => self.on_command(command, effects),
            Input::Journaled { through } => self.on_journaled(*through, effects),
            Input::JournalFull(full) => self.journal_full = *full,
            Input::Tick => self.on_tick(effects),
        }
    }

    /// When the next [`Input::Tick`] is due.
    pub fn deadline(&self) -> Option<Time> {
        self.markets
            .iter()
            .filter_map(Market::deadline)
            .chain(self.equity_due)
            .min()
    }

    /// Whether the last market event was news: a new trade, a changed book.
    pub fn applied(&self) -> bool {
        self.applied
    }

    /// The durable state.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// A market.
    pub fn market_of(&self, id: InstrumentId) -> Option<&Market> {
        self.markets.get(id.index())
    }

    /// Hash of the whole state: two kernels that got the same inputs agree on it.
    pub fn state_hash(&self) -> u64 {
        let mut state = Xxh3::new();
        self.ledger.durable_hash().hash(&mut state);
        self.markets.hash(&mut state);
        for running in &self.strategies {
            (
                &running.name,
                running.instrument,
                &running.last_decision,
                running.decided_at,
            )
                .hash(&mut state);
        }
        (self.journal_full, self.now).hash(&mut state);
        state.finish()
    }

    /// Hash of the durable state.
    pub fn durable_hash(&self) -> u64 {
        self.ledger.durable_hash()
    }

    /// Cash plus positions at mark; positions without a mark count at cost.
    pub fn equity(&self) -> Money {
        let mut equity = self.ledger.account().cash;
        for (index, instrument) in (0_u16..).zip(self.ledger.instruments()) {
            let id = InstrumentId(index);
            let position = self.ledger.position(id);
            let mark = self.market_of(id).and_then(|m| m.mark(instrument));
            let value = mark.map_or(Ok(position.cost), |m| position.value(m, instrument));
            equity = value.and_then(|v| equity.plus(v)).unwrap_or(equity);
        }
        equity
    }

    /// Whether every open position has a price: a sample at cost would read as a jump.
    fn all_marked(&self) -> bool {
        let mut known = (0_u16..).zip(self.ledger.instruments());
        known.all(|(index, instrument)| {
            let id = InstrumentId(index);
            let mark = || self.market_of(id)?.mark(instrument);
            self.ledger.position(id).qty == 0 || mark().is_some()
        })
    }

    fn market(&self) -> Market {
        let series = |interval: &Interval| {
            let needed = self
                .config
                .strategies
                .iter()
                .filter_map(|s| strategies::build(s).ok());
            let needed = needed
                .filter(|s| s.interval() == *interval)
                .flat_map(|s| s.needs());
            let mut kept: Vec<Kept> = Vec::new();
            for spec in self.config.indicators.iter().cloned().chain(needed) {
                if kept.iter().all(|k| k.name() != spec.to_string()) {
                    kept.push(Kept::new(spec));
                }
            }
            Series::new(*interval, self.config.candles_kept, kept)
        };
        Market::new(
            self.config.book_levels_max,
            self.config.intervals.iter().map(series).collect(),
        )
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
        effects.push(Effect::Record(sequenced));
        if let Some(order) = effect.order {
            effects.push(Effect::Notice(Notice::OrderChanged(order)));
            if effect.answered {
                effects.push(Effect::Notice(Notice::Answered(order)));
            }
            if effect.filled {
                effects.push(Effect::Notice(Notice::Filled(order)));
            }
            if effect.disputed {
                effects.push(Effect::Notice(Notice::Disputed(order)));
            }
        }
        Ok(effect)
    }

    fn on_market(&mut self, event: &MarketEvent, effects: &mut Effects) {
        let id = event.instrument;
        if let event::MarketData::Listing(listing) = &event.data {
            self.on_listing(id, listing, effects);
        }
        let (Some(market), Some(instrument)) =
            (self.markets.get_mut(id.index()), self.ledger.instrument(id))
        else {
            return;
        };
        let outcome = market.apply(event, instrument);
        self.applied = outcome.applied;
        self.mark(event);
        match outcome.step {
            Some(Step::NeedsSnapshot(reason)) => {
                self.dirty.books.insert(id);
                effects.push(Effect::Notice(Notice::BookInvalid {
                    instrument: id,
                    reason,
                }));
                // After a lost connection the feed fetches a snapshot by itself once it is back.
                if !matches!(
                    reason,
                    BookFault::Lost(LossReason::Disconnected | LossReason::Unsubscribed)
                ) {
                    effects.push(Effect::Resync(id));
                }
            }
            Some(Step::BecameValid) => {
                effects.push(Effect::Notice(Notice::BookValid(id)));
            }
            Some(Step::Changed | Step::Unchanged) | None => {}
        }
        for interval in outcome.mismatched {
            effects.push(Effect::Notice(Notice::CandleMismatch {
                instrument: id,
                interval,
            }));
        }
        self.candles_closed(id, &outcome.closed, effects);
    }

    /// The venue describes an instrument anew. Its scales stay as they are while the process runs.
    fn on_listing(&mut self, id: InstrumentId, listing: &Instrument, effects: &mut Effects) {
        let Some(known) = self.ledger.instrument(id) else {
            return;
        };
        let same_scales = (known.price_scale, known.qty_scale, &known.name)
            == (listing.price_scale, listing.qty_scale, &listing.name);
        if !same_scales || known == listing {
            return;
        }
        let instrument = Box::new(listing.clone());
        // It fails for want of sequence numbers alone, and then nothing was changed.
        if self
            .commit(Record::InstrumentDefined { id, instrument }, effects)
            .is_ok()
        {
            effects.push(Effect::Notice(Notice::Relisted(id)));
        }
    }

    fn mark(&mut self, event: &MarketEvent) {
        use event::MarketData as D;
        let id = event.instrument;
        match event.data {
            D::Depth(_) | D::Snapshot(_) | D::Verified { .. } | D::Lost(..) => {
                self.dirty.books.insert(id);
            }
            D::Trade(_) | D::Kline(_) | D::History(_) => {
                self.dirty.series.insert(id);
            }
            D::Listing(_) => {
                self.dirty.listings.insert(id);
            }
            D::Quote(_) | D::Stats(_) | D::Derivative(_) | D::Liquidation(_) | D::OffBook(_) => {}
        }
        self.dirty.tickers.insert(id);
    }

    fn candles_closed(&mut self, id: InstrumentId, closed: &[Interval], effects: &mut Effects) {
        if closed.is_empty() {
            return;
        }
        self.dirty.series.insert(id);
        for interval in closed {
            let notice = Notice::CandleClosed {
                instrument: id,
                interval: *interval,
            };
            effects.push(Effect::Notice(notice));
        }
        for index in 0..self.strategies.len() {
            let Some(running) = self.strategies.get_mut(index) else {
                continue;
            };
            let concerned =
                running.instrument == id && closed.contains(&running.strategy.interval());
            if concerned && self.ledger.strategy_runs(&running.name) != Some(false) {
                self.decide(index, effects);
            }
        }
    }

    /// Lets a strategy look at a closed candle, and places what it asks for.
    fn decide(&mut self, index: usize, effects: &mut Effects) {
        let Some(running) = self.strategies.get_mut(index) else {
            return;
        };
        let id = running.instrument;
        let (Some(market), Some(instrument)) =
            (self.markets.get(id.index()), self.ledger.instrument(id))
        else {
            return;
        };
        let Some(series) = market.series_of(running.strategy.interval()) else {
            return;
        };
        let own = |o: &&orders::Order| {
            o.spec.instrument == id && o.spec.origin.strategy() == Some(running.name.as_str())
        };
        let view = View {
            instrument_id: id,
            instrument,
            series,
            // What an operator has sold of it is not the strategy's any more.
            position: self
                .ledger
                .attributed(&running.name, id)
                .qty
                .min(self.ledger.position(id).qty),
            orders_open: self.ledger.orders().open().filter(own).count(),
            tradable: market.book.valid().is_some(),
        };
        let decision = running.strategy.on_candle(&view);
        running.last_decision = decision.why;
        running.decided_at = self.now;
        for spec in decision.orders {
            let repeated = self.strategies.get(index).and_then(|r| r.refused_by);
            let refused = self.place(spec, repeated, effects).err();
            let Some(running) = self.strategies.get_mut(index) else {
                return;
            };
            running.refused_by = refused.as_ref().map(|r| r.rule);
            if let Some(refusal) = refused {
                running.last_decision = format!("{}; refused: {refusal}", running.last_decision);
            }
        }
    }

    fn on_report(&mut self, report: &VenueReport, effects: &mut Effects) {
        let id = report.order;
        match self.commit(Record::Report(report.clone()), effects) {
            Ok(_) => {}
            Err(LedgerError::Range { .. }) => {
                // Nothing was changed: a venue's impossible number must not stop the process.
                effects.push(Effect::Notice(Notice::Disputed(id)));
                return;
            }
            Err(bug) => panic!("a report of a known order cannot fail otherwise: {bug}"),
        }
        if let Some((correlation, _)) = self.waiters.remove(&id) {
            self.reply(correlation, Outcome::Placed(id), effects);
        }
    }

    fn on_journaled(&mut self, through: Seq, effects: &mut Effects) {
        self.durable = self.durable.max(through);
        while let Some(id) = self
            .undurable
            .front()
            .copied()
            .filter(|id| id.0 <= through.0)
        {
            self.undurable.pop_front();
            self.ledger.sent(id);
            if let Some((correlation, Wait::Journal)) = self.waiters.get(&id).copied() {
                self.waiters.remove(&id);
                self.reply(correlation, Outcome::Placed(id), effects);
            }
        }
    }

    fn on_tick(&mut self, effects: &mut Effects) {
        for index in 0..self.markets.len() {
            let id = InstrumentId(u16::try_from(index).unwrap_or(u16::MAX));
            let (Some(market), Some(instrument)) =
                (self.markets.get_mut(index), self.ledger.instrument(id))
            else {
                continue;
            };
            if market.deadline().is_some_and(|due| due <= self.now) {
                let mut outcome = market::Outcome::default();
                market.advance(market.venue_now(self.now), instrument, &mut outcome);
                self.candles_closed(id, &outcome.closed, effects);
            }
        }
        if self.equity_due.is_some_and(|due| due <= self.now) {
            self.equity_due = Some(Interval::MINUTE.next_open(self.now));
            if self.all_marked() {
                let equity = self.equity();
                self.must_commit(Record::Equity(equity), effects);
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
