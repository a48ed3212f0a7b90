//! The strategies that run: who they are, what they see, when they are asked.
//!
//! What becomes of their answers is in `desk.rs`. A strategy that runs is one row here for each instrument that it
//! trades; nothing is looked up by name while candles close.

use std::hash::{Hash as _, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Kernel;
use super::event::{Effect, Effects, Fill, Notice, Outcome, Record};
use super::indicators::Spec;
use super::ledger::{Ledger, LedgerError};
use super::orders::{OrderId, PositionSide, StrategyId};
use super::risk::Rule;
use super::snapshot::{DecisionView, Stop, Verdict};
use super::strategies::{
    self, Decision, OwnFill, OwnPosition, STATE_MAX, Strategy, StrategyConfig, Tally, Target,
    Terms, View, Why,
};
use super::types::{Instrument, InstrumentId, Interval, Money, Qty, Rate, Time};

/// A strategy on one instrument.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) name: String,
    pub(super) id: StrategyId,
    pub(super) instrument: InstrumentId,
    pub(super) config: Arc<StrategyConfig>,
    pub(super) strategy: Box<dyn Strategy>,
    /// Names of the values in its decisions.
    pub(super) inputs: Arc<[String]>,
    /// Which series of the market it decides on, and where its indicators stand there.
    series: Option<usize>,
    slots: Vec<usize>,
    /// How often it looks at the book, and when it may again.
    every: Option<i64>,
    look_at: Time,
    looked: Time,
    /// Its orders that can still change.
    pub(super) open: Vec<OrderId>,
    /// The position that it wants and does not have yet.
    pub(super) wants: Option<(Target, Option<Box<Terms>>)>,
    /// The trailing stop of the position that it has.
    pub(super) trailing: Option<Rate>,
    /// What it remembers, and what the ledger has of that.
    pub(super) kept: Kept,
    saved: Kept,
    /// Why it cannot go on.
    pub(super) failed: Option<Arc<str>>,
    /// The rule that refused its last order: a repeated refusal is not journaled again.
    pub(super) refused_by: Option<Rule>,
    pub(super) last: Last,
}

/// What the ledger keeps for a strategy on an instrument.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Candles that open before this do not enter.
    pub(super) cool_until: Time,
    pub(super) tally: Tally,
    /// Its own.
    own: Vec<u8>,
}

/// The last decision.
#[derive(Debug, Clone, Default)]
pub(super) struct Last {
    pub(super) time: Time,
    /// Open time of the candle that had closed last.
    pub(super) candle: Option<Time>,
    pub(super) why: Why,
    pub(super) verdict: Verdict,
    pub(super) stop: Option<Stop>,
}

impl Running {
    fn new(
        config: &Arc<StrategyConfig>,
        strategy: Box<dyn Strategy>,
        id: StrategyId,
        instrument: InstrumentId,
    ) -> Self {
        Self {
            name: config.name.clone(),
            id,
            instrument,
            config: Arc::clone(config),
            inputs: strategy.inputs().into(),
            every: strategy.quote_every(),
            strategy,
            series: None,
            slots: Vec::new(),
            look_at: Time::ZERO,
            looked: Time::ZERO,
            open: Vec::new(),
            wants: None,
            trailing: config.exits.trailing,
            kept: Kept::default(),
            saved: Kept::default(),
            failed: None,
            refused_by: None,
            last: Last::default(),
        }
    }

    /// Every indicator that it needs: its own, then those of its terms.
    fn needs(&self) -> Vec<Spec> {
        let terms = self.config.size.needs().into_iter();
        let terms = terms.chain(self.config.exits.needs());
        self.strategy.needs().into_iter().chain(terms).collect()
    }

    /// What it remembers, as bytes for the ledger, if that has changed.
    fn remembered(&mut self) -> Option<Box<[u8]>> {
        let mut own = self.strategy.state();
        own.truncate(STATE_MAX);
        self.kept.own = own;
        if self.kept == self.saved {
            return None;
        }
        self.saved.clone_from(&self.kept);
        postcard::to_allocvec(&self.kept).ok().map(Into::into)
    }

    /// The operator has started or stopped it.
    pub(super) fn switched(&mut self, run: bool, now: Time) {
        self.wants = None;
        if run {
            self.failed = None;
        }
        self.last = Last {
            time: now,
            stop: Some(if run { Stop::Started } else { Stop::Stopped }),
            ..Last::default()
        };
    }

    pub(super) fn hash_bits(&self, state: &mut impl Hasher) {
        (&self.name, self.instrument, &self.open).hash(state);
        (self.look_at, self.looked, self.trailing, &self.failed).hash(state);
        self.wants.as_ref().map(|(target, _)| *target).hash(state);
        let why = &self.last.why;
        (self.last.time, self.last.candle, &why.said).hash(state);
        why.inputs().iter().for_each(|x| x.to_bits().hash(state));
        self.last.verdict.hash(state);
        self.strategy.state().hash(state);
        self.strategy.hash_bits(state);
    }

    pub(super) fn view(&self) -> DecisionView {
        DecisionView {
            instrument: self.instrument,
            interval: self.config.interval,
            time: self.last.time,
            candle: self.last.candle,
            inputs: Arc::clone(&self.inputs),
            why: self.last.why.clone(),
            verdict: self.last.verdict,
            stop: match &self.failed {
                Some(why) => Some(Stop::Failed(Arc::clone(why))),
                None => self.last.stop.clone(),
            },
        }
    }
}

/// The position that a strategy's own fills made, as far as the account still has it.
pub(super) fn own_position(
    ledger: &Ledger,
    id: StrategyId,
    instrument_id: InstrumentId,
    instrument: &Instrument,
) -> OwnPosition {
    let own = ledger.attributed(id, instrument_id, PositionSide::Both);
    if own.qty == 0 {
        return OwnPosition::default();
    }
    let account = ledger.position(instrument_id, PositionSide::Both).qty;
    let qty = if own.qty > 0 {
        own.qty.min(account).max(0)
    } else {
        own.qty.max(account).min(0)
    };
    let size = Qty(own.qty.saturating_abs());
    let cost = if qty == own.qty {
        own.cost
    } else {
        let part = Qty(qty.saturating_abs());
        own.cost.share(part, size).unwrap_or_default()
    };
    let rest = qty.checked_rem(instrument.lot.0).unwrap_or(0);
    let on_lot = qty.saturating_sub(rest);
    let whole = Qty(on_lot.saturating_abs());
    // At its own cost: what it was bought for can be sold, and no price is asked for.
    let worth = own.cost.share(whole, size).and_then(Money::magnitude);
    let enough = worth.is_ok_and(|w| w >= instrument.notional_min);
    OwnPosition {
        qty,
        cost,
        standing: if enough && whole >= instrument.qty_min {
            on_lot
        } else {
            0
        },
    }
}

impl Kernel {
    /// Every strategy of the configuration on every instrument that it trades. The markets are there already.
    pub(super) fn build_strategies(&mut self, instruments: &[InstrumentId]) {
        let configs: Vec<Arc<StrategyConfig>> = self
            .config
            .strategies
            .iter()
            .cloned()
            .map(Arc::new)
            .collect();
        self.desks = vec![0..0; self.markets.len()];
        let mut ids = instruments.to_vec();
        ids.sort_unstable();
        for id in ids {
            let first = self.strategies.len();
            for config in &configs {
                let Some(instrument) = self.ledger.instrument(id) else {
                    continue;
                };
                let (Some(own), Ok(strategy), true) = (
                    self.ledger.strategy(&config.name),
                    strategies::build(config),
                    config.trades(&instrument.name),
                ) else {
                    continue;
                };
                let mut running = Running::new(config, strategy, own, id);
                running.last.time = self.now;
                let open = self.ledger.orders().open();
                let open = open.filter(|o| o.instrument == id && o.origin.strategy() == Some(own));
                running.open = open.map(|o| o.id).collect();
                running.open.sort_unstable();
                let state = self.ledger.strategy_state(own, id);
                if let Some(kept) = state.and_then(|s| postcard::from_bytes::<Kept>(s).ok()) {
                    running.strategy.restore(&kept.own);
                    running.saved.clone_from(&kept);
                    running.kept = kept;
                }
                self.strategies.push(running);
                self.keep_indicators(self.strategies.len().saturating_sub(1));
            }
            if let Some(desk) = self.desks.get_mut(id.index()) {
                *desk = first..self.strategies.len();
            }
        }
    }

    /// Has the indicators of a strategy kept on its candles.
    fn keep_indicators(&mut self, index: usize) {
        let Some(running) = self.strategies.get_mut(index) else {
            return;
        };
        let id = running.instrument;
        let (Some(market), Some(instrument)) =
            (self.markets.get_mut(id.index()), self.ledger.instrument(id))
        else {
            return;
        };
        running.series = market.place_of(running.config.interval);
        let series = running.series.and_then(|place| market.series_mut(place));
        let Some(series) = series else {
            return;
        };
        let needs = running.needs();
        running.slots = needs
            .into_iter()
            .map(|spec| series.keep(spec, instrument))
            .collect();
    }

    pub(super) fn define_strategies(&mut self, effects: &mut Effects) -> Result<(), LedgerError> {
        let names: Vec<String> = self
            .config
            .strategies
            .iter()
            .map(|s| s.name.clone())
            .collect();
        for name in names {
            if self.ledger.strategy(&name).is_none() {
                let next = u16::try_from(self.ledger.strategy_names().len()).unwrap_or(u16::MAX);
                let id = StrategyId(next);
                self.commit(Record::StrategyDefined { id, name }, effects)?;
            }
        }
        self.strategy_names = self.ledger.strategy_names().map(str::to_owned).collect();
        Ok(())
    }

    /// Runs a strategy with another configuration or program from now on. What is there of it stays: position, orders,
    /// what it remembers.
    pub(super) fn reconfigure(&mut self, config: &StrategyConfig) -> Outcome {
        let config = Arc::new(config.clone());
        let places: Vec<usize> = (0..self.strategies.len())
            .filter(|i| {
                self.strategies
                    .get(*i)
                    .is_some_and(|r| r.name == config.name)
            })
            .collect();
        if places.is_empty() {
            return Outcome::NotFound;
        }
        if !self.config.intervals.contains(&config.interval) {
            let interval = config.interval;
            return Outcome::Unfit(format!("candles of {interval} are not kept"));
        }
        for index in places {
            let strategy = match strategies::build(&config) {
                Ok(strategy) => strategy,
                Err(error) => return Outcome::Unfit(error.to_string()),
            };
            let Some(old) = self.strategies.get_mut(index) else {
                continue;
            };
            let mut fresh = Running::new(&config, strategy, old.id, old.instrument);
            fresh.strategy.restore(&old.strategy.state());
            fresh.kept = std::mem::take(&mut old.kept);
            fresh.saved = std::mem::take(&mut old.saved);
            fresh.open = std::mem::take(&mut old.open);
            fresh.last = Last {
                time: self.now,
                stop: Some(Stop::Reloaded),
                ..Last::default()
            };
            *old = fresh;
            self.keep_indicators(index);
        }
        let place = self
            .config
            .strategies
            .iter_mut()
            .find(|s| s.name == config.name);
        if let Some(place) = place {
            place.clone_from(&config);
        }
        self.strategy_views = None;
        Outcome::Done
    }

    /// The place of a strategy on an instrument.
    pub(super) fn running_of(&self, id: StrategyId, instrument: InstrumentId) -> Option<usize> {
        let mut desk = self.desks.get(instrument.index())?.clone();
        desk.find(|index| self.strategies.get(*index).is_some_and(|r| r.id == id))
    }

    /// Whether it is to be asked: the operator has not stopped it, and it has not failed.
    fn may_decide(&self, running: &Running) -> bool {
        running.failed.is_none() && self.ledger.runs(running.id) != Some(false)
    }

    pub(super) fn candles_closed(
        &mut self,
        id: InstrumentId,
        closed: &[Interval],
        effects: &mut Effects,
    ) {
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
        for index in self.desk(id) {
            let concerned = |r: &Running| closed.contains(&r.config.interval) && self.may_decide(r);
            if self.strategies.get(index).is_some_and(concerned)
                && let Some(decision) = self.consult(index, |s, view| Some(s.on_candle(view)))
            {
                self.carry_out(index, decision, effects);
            }
        }
    }

    fn desk(&self, id: InstrumentId) -> std::ops::Range<usize> {
        self.desks.get(id.index()).cloned().unwrap_or(0..0)
    }

    /// The instrument has changed: those who look at the book do, unless they have just now.
    pub(super) fn look(&mut self, id: InstrumentId, effects: &mut Effects) {
        for index in self.desk(id) {
            let due = |r: &Running| r.every.is_some() && r.look_at <= self.now;
            if self.strategies.get(index).is_some_and(due) {
                self.look_now(index, effects);
            }
        }
    }

    pub(super) fn look_now(&mut self, index: usize, effects: &mut Effects) {
        let Some(running) = self.strategies.get(index) else {
            return;
        };
        let Some(every) = running.every.filter(|_| self.may_decide(running)) else {
            return;
        };
        let next = self.now.plus(every);
        if let Some(running) = self.strategies.get_mut(index) {
            (running.looked, running.look_at) = (self.now, next);
        }
        if let Some(decision) = self.consult(index, |s, view| s.on_quote(view)) {
            self.carry_out(index, decision, effects);
        }
    }

    /// Shows a strategy what there is and takes its answer.
    fn consult<T>(
        &mut self,
        index: usize,
        question: impl FnOnce(&mut dyn Strategy, &View<'_>) -> Option<T>,
    ) -> Option<T> {
        let running = self.strategies.get_mut(index)?;
        let id = running.instrument;
        let market = self.markets.get(id.index())?;
        let instrument = self.ledger.instrument(id)?;
        let view = View {
            now: self.now,
            id,
            instrument,
            market,
            series: market.series().get(running.series?)?,
            slots: &running.slots,
            position: own_position(&self.ledger, running.id, id, instrument),
            open: &running.open,
            ledger: &self.ledger,
            valuation: &self.valuation,
        };
        question(&mut *running.strategy, &view)
    }

    /// The value of an indicator that a strategy's terms need.
    pub(super) fn term_value(&self, index: usize, spec: &Spec) -> Option<f64> {
        let running = self.strategies.get(index)?;
        let market = self.markets.get(running.instrument.index())?;
        let series = market.series().get(running.series?)?;
        // An entry is rare: a look by name is no matter here.
        let (now, _) = series.indicator(&spec.to_string())?;
        now.map(|[value, ..]| value)
    }

    /// Open time of the candle that closed last on a strategy's interval.
    pub(super) fn last_candle(&self, index: usize) -> Option<super::event::Candle> {
        let running = self.strategies.get(index)?;
        let market = self.markets.get(running.instrument.index())?;
        market.series().get(running.series?)?.last().copied()
    }

    /// What a strategy's own fills have realised so far.
    pub(super) fn realized_by(&self, index: usize) -> Money {
        self.strategies.get(index).map_or(Money::ZERO, |r| {
            let own = self
                .ledger
                .attributed(r.id, r.instrument, PositionSide::Both);
            own.realized
        })
    }

    pub(super) fn forget_own(&mut self, index: usize, id: OrderId) {
        if let Some(running) = self.strategies.get_mut(index) {
            running.open.retain(|open| *open != id);
        }
    }

    /// An order of a strategy was executed, or has ended. With an execution comes what had been realised before it.
    pub(super) fn own_changed(
        &mut self,
        index: usize,
        order: OrderId,
        fill: Option<(&Fill, Money)>,
        ended: bool,
        effects: &mut Effects,
    ) {
        if let Some((fill, before)) = fill {
            let profit = self.realized_by(index).minus(before).unwrap_or_default();
            self.own_filled(index, order, fill, profit);
        }
        if fill.is_some() || ended {
            self.after_own_change(index, order, effects);
        }
        if fill.is_some() {
            self.remember(index, effects);
            // Once a moment: orders that execute at once must not ask for ever more of themselves.
            if self
                .strategies
                .get(index)
                .is_some_and(|r| r.looked < self.now)
            {
                self.look_now(index, effects);
            }
        }
    }

    fn own_filled(&mut self, index: usize, order: OrderId, fill: &Fill, profit: Money) {
        let next =
            self.last_candle(index)
                .zip(self.strategies.get(index))
                .map(|(candle, running)| {
                    let interval = running.config.interval;
                    let opened = interval.next_open(candle.open_time);
                    (0..running.config.cooldown).fold(opened, |time, _| interval.next_open(time))
                });
        let position = self.strategies.get(index).and_then(|r| {
            let instrument = self.ledger.instrument(r.instrument)?;
            Some(own_position(&self.ledger, r.id, r.instrument, instrument))
        });
        if let Some(running) = self.strategies.get_mut(index) {
            running.kept.tally.count(profit);
            let flat = position.is_some_and(|p| p.standing == 0);
            if flat && running.config.cooldown > 0 {
                running.kept.cool_until = next.unwrap_or(running.kept.cool_until);
            }
        }
        let own = self.ledger.orders().get(order).cloned();
        if let Some(own) = own {
            let fill = OwnFill {
                order: &own,
                price: fill.price,
                qty: fill.qty,
            };
            self.consult(index, |s, view| {
                s.on_fill(view, &fill);
                Some(())
            });
        }
    }

    /// Has the ledger keep what a strategy remembers, if that has changed.
    pub(super) fn remember(&mut self, index: usize, effects: &mut Effects) {
        if self.journal_full {
            return;
        }
        let Some(running) = self.strategies.get_mut(index) else {
            return;
        };
        let (id, instrument) = (running.id, running.instrument);
        let Some(state) = running.remembered() else {
            return;
        };
        let record = Record::StrategyState {
            id,
            instrument,
            state,
        };
        self.must_commit(record, effects);
    }

    /// Notes a decision.
    pub(super) fn decided(&mut self, index: usize, decision: &mut Decision) {
        let candle = self.last_candle(index).map(|c| c.open_time);
        if let Some(running) = self.strategies.get_mut(index) {
            running.last = Last {
                time: self.now,
                candle,
                why: std::mem::take(&mut decision.why),
                verdict: Verdict::Hold,
                stop: None,
            };
        }
        self.strategy_views = None;
    }
}
