//! What callers can ask of the kernel, and the one way in which an order comes to be.

use std::sync::Arc;

use super::event::{
    CancelFilter, Command, CommandKind, Correlation, Effect, Effects, Notice, Outcome, Record,
    VenueCommand, Wait,
};
use super::ledger::{MarginSetting, hold};
use super::margin;
use super::orders::{
    Amend, Link, Order, OrderId, OrderSpec, OrderState, OrderType, Origin, PositionSide, Size,
};
use super::portfolio::MarginMode;
use super::risk::{self, Refusal, RiskEvent, Rule};
use super::types::{Contract, Instrument, InstrumentId, Money, MoneyError, Price, Qty, Side};
use super::{Kernel, Seq};

impl Kernel {
    pub(super) fn on_command(&mut self, command: &Command, effects: &mut Effects) {
        let correlation = command.correlation;
        let outcome = match &command.kind {
            CommandKind::Place { order, wait } => {
                return self.on_place(correlation, order, *wait, effects);
            }
            CommandKind::Close {
                instrument,
                position_side,
            } => return self.on_close(correlation, *instrument, *position_side, effects),
            CommandKind::Amend {
                order,
                price,
                trigger,
                qty,
            } => self.on_amend(*order, (*price, *trigger, *qty), effects),
            CommandKind::Cancel { order } => self.on_cancel(*order, effects),
            CommandKind::CancelAll(filter) => {
                Outcome::Cancelling(self.cancel_where(|o| filter.matches(o), effects))
            }
            CommandKind::Margin {
                instrument,
                leverage,
                mode,
            } => self.on_margin(*instrument, *leverage, *mode, effects),
            CommandKind::Strategy { name, run } => self.on_strategy(name, *run, effects),
            CommandKind::Reconfigure(config) => self.reconfigure(config),
            CommandKind::Halt { flatten, by } => {
                self.halt(*flatten, by, effects);
                Outcome::Done
            }
            CommandKind::Resume { by } => {
                let event = RiskEvent::Resumed { by: by.clone() };
                self.risk_event(&event, effects);
                Outcome::Done
            }
        };
        self.reply(correlation, outcome, effects);
    }

    fn on_place(
        &mut self,
        correlation: Correlation,
        spec: &Arc<OrderSpec>,
        wait: Wait,
        effects: &mut Effects,
    ) {
        if let Some(first) = spec
            .client_order_id
            .as_ref()
            .and_then(|k| self.ledger.orders().by_key(k))
        {
            let id = first.id;
            let outcome = if first.is_asked_by(spec) {
                Outcome::Duplicate(id)
            } else {
                Outcome::Conflict(id)
            };
            self.reply(correlation, outcome, effects);
            return;
        }
        match self.place(Arc::clone(spec), None, effects) {
            Ok(id) if self.waiters.len() < self.config.waiters_max => {
                self.waiters.push(id, correlation, wait);
            }
            Ok(id) => self.reply(correlation, Outcome::Placed(id), effects),
            Err(refusal) => self.reply(correlation, Outcome::Refused(refusal), effects),
        }
    }

    /// What risk looks at for an instrument.
    fn risk_context(&self, id: InstrumentId) -> Option<risk::Context<'_>> {
        Some(risk::Context {
            limits: &self.config.limits,
            ledger: &self.ledger,
            valuation: &self.valuation,
            rate: &self.rate,
            market: self.markets.get(id.index())?,
            id,
            instrument: self.ledger.instrument(id)?,
            holding: self.ledger.holding(id)?,
            now: self.now,
            trading: self.config.trading,
            journal_full: self.journal_full,
        })
    }

    /// Risk, then the intent, then the command to the venue. A refusal is journaled too, unless it
    /// only repeats `known`.
    pub(super) fn place(
        &mut self,
        mut spec: Arc<OrderSpec>,
        known: Option<Rule>,
        effects: &mut Effects,
    ) -> Result<OrderId, Box<Refusal>> {
        let id = spec.instrument;
        let Some(context) = self.risk_context(id) else {
            return Err(Box::new(unknown_instrument(id)));
        };
        let approval = match risk::check(&context, &spec) {
            Ok(approval) => approval,
            Err(refusal) => {
                self.refused(spec, &refusal, known, effects);
                return Err(Box::new(refusal));
            }
        };
        if spec.reduce_only != approval.reduce_only {
            Arc::make_mut(&mut spec).reduce_only = approval.reduce_only;
        }
        if approval.adds_risk {
            self.rate
                .count(self.now, self.config.limits.orders_per_second_max);
        }
        let order = OrderId(self.ledger.seq().0.saturating_add(1));
        let own = spec.origin.strategy();
        let own = own.and_then(|strategy| self.running_of(strategy, id));
        let command = VenueCommand::Place(approval.into_order(order, Arc::clone(&spec)));
        let intent = Record::Intent {
            order: spec,
            qty: approval.qty,
            hold: approval.hold,
        };
        self.must_commit(intent, effects);
        if let Some(running) = own.and_then(|index| self.strategies.get_mut(index)) {
            running.open.push(order);
        }
        self.undurable.push_back((Seq(order.0), order));
        effects.push(Effect::Submit {
            after: Seq(order.0),
            command,
        });
        Ok(order)
    }

    fn refused(
        &mut self,
        spec: Arc<OrderSpec>,
        refusal: &Refusal,
        known: Option<Rule>,
        effects: &mut Effects,
    ) {
        let instrument = spec.instrument;
        // A full journal must not grow by what it refuses.
        if known != Some(refusal.rule) && !self.journal_full {
            let record = Record::Refused {
                order: spec,
                refusal: Box::new(refusal.clone()),
            };
            self.must_commit(record, effects);
        }
        effects.push(Effect::Notice(Notice::OrderRefused {
            instrument,
            refusal: Box::new(refusal.clone()),
        }));
    }

    fn on_cancel(&mut self, id: OrderId, effects: &mut Effects) -> Outcome {
        let Some(order) = self.ledger.orders().get(id) else {
            return Outcome::NotFound;
        };
        if order.state.is_terminal() {
            return Outcome::AlreadyDone(id);
        }
        self.cancel(id, effects);
        Outcome::Cancelling(1)
    }

    /// Cancels all open orders that match, oldest first; returns how many.
    pub(super) fn cancel_where(
        &mut self,
        matches: impl Fn(&Order) -> bool,
        effects: &mut Effects,
    ) -> u32 {
        let mut ids: Vec<OrderId> = self
            .ledger
            .orders()
            .open()
            .filter(|o| matches(o))
            .map(|o| o.id)
            .collect();
        ids.sort_unstable();
        for id in &ids {
            self.cancel(*id, effects);
        }
        u32::try_from(ids.len()).unwrap_or(u32::MAX)
    }

    /// Sends a cancel unless one is on its way.
    pub(super) fn cancel(&mut self, id: OrderId, effects: &mut Effects) {
        let Some(order) = self.ledger.orders().get(id) else {
            return;
        };
        if order.state == OrderState::CancelPending || order.state.is_terminal() {
            return;
        }
        let instrument = order.instrument;
        self.must_commit(Record::CancelRequested(id), effects);
        let command = VenueCommand::Cancel {
            order: id,
            instrument,
        };
        // A cancel never waits for the disk.
        effects.push(Effect::Submit {
            after: Seq(0),
            command,
        });
        self.await_answer(id);
    }

    fn on_amend(
        &mut self,
        id: OrderId,
        wish: (Option<Price>, Option<Price>, Option<Qty>),
        effects: &mut Effects,
    ) -> Outcome {
        let Some(order) = self.ledger.orders().get(id) else {
            return Outcome::NotFound;
        };
        if order.state.is_terminal() {
            return Outcome::AlreadyDone(id);
        }
        let (price, trigger, _) = wish;
        if price.is_some() && order.limit().is_none() {
            return Outcome::NotAmendable(id, "an order without a limit has no price to change");
        }
        if trigger.is_some() && order.kind().trigger().is_none() {
            return Outcome::NotAmendable(id, "an order without a trigger has none to change");
        }
        if trigger.is_some() && order.triggered {
            return Outcome::NotAmendable(id, "its trigger was reached already");
        }
        match self.amend(id, wish, effects) {
            Ok(true) => Outcome::Amending(id),
            Ok(false) => {
                Outcome::NotAmendable(id, "a request is under way, or its state is unknown")
            }
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// Risk, then the record, then the command to the venue. Whether the order can be changed now.
    pub(super) fn amend(
        &mut self,
        id: OrderId,
        (price, trigger, qty): (Option<Price>, Option<Price>, Option<Qty>),
        effects: &mut Effects,
    ) -> Result<bool, Box<Refusal>> {
        let Some(order) = self.ledger.orders().get(id) else {
            return Ok(false);
        };
        let can = matches!(
            order.state,
            OrderState::Untriggered | OrderState::Acked | OrderState::PartiallyFilled
        );
        let instrument = order.instrument;
        let Some(context) = self.risk_context(instrument).filter(|_| can) else {
            return Ok(false);
        };
        let kind = order.kind().with_prices(price, trigger);
        let approval = risk::check_amend(&context, order, kind, qty.unwrap_or(order.qty));
        let approval = match approval {
            Ok(approval) => approval,
            Err(refusal) => {
                let refusal = Box::new(refusal);
                effects.push(Effect::Notice(Notice::OrderRefused {
                    instrument,
                    refusal: refusal.clone(),
                }));
                return Err(refusal);
            }
        };
        if approval.adds_risk {
            self.rate
                .count(self.now, self.config.limits.orders_per_second_max);
        }
        let amend = Amend {
            price,
            trigger,
            qty,
            hold: approval.hold,
        };
        self.must_commit(Record::AmendRequested { order: id, amend }, effects);
        let command = VenueCommand::Amend(approval.into_amend(id, instrument, amend));
        effects.push(Effect::Submit {
            after: self.ledger.seq(),
            command,
        });
        self.undurable.push_back((self.ledger.seq(), id));
        Ok(true)
    }

    /// Closes a position at the market, once its open orders are out of the way.
    fn on_close(
        &mut self,
        correlation: Correlation,
        instrument: InstrumentId,
        position_side: PositionSide,
        effects: &mut Effects,
    ) {
        let concerned = |o: &Order| o.instrument == instrument && o.position_side == position_side;
        let cancelled = self.cancel_where(concerned, effects);
        if cancelled > 0 {
            self.closing.insert((instrument, position_side));
            self.reply(correlation, Outcome::Cancelling(cancelled), effects);
            return;
        }
        let outcome = match self.place_close(instrument, position_side, Origin::Operator, effects) {
            None => Outcome::NotFound,
            Some(Ok(id)) if self.waiters.len() < self.config.waiters_max => {
                self.waiters.push(id, correlation, Wait::Venue);
                return;
            }
            Some(Ok(id)) => Outcome::Placed(id),
            Some(Err(refusal)) => Outcome::Refused(refusal),
        };
        self.reply(correlation, outcome, effects);
    }

    /// A market order for a whole position; `None` without one.
    pub(super) fn place_close(
        &mut self,
        instrument: InstrumentId,
        position_side: PositionSide,
        origin: Origin,
        effects: &mut Effects,
    ) -> Option<Result<OrderId, Box<Refusal>>> {
        let qty = self.ledger.position(instrument, position_side).qty;
        let side = match qty {
            0 => return None,
            1.. => Side::Sell,
            _ => Side::Buy,
        };
        let spec = OrderSpec {
            position_side,
            reduce_only: true,
            origin,
            ..OrderSpec::new(instrument, side, OrderType::Market, Size::Position)
        };
        Some(self.place(Arc::new(spec), None, effects))
    }

    fn on_margin(
        &mut self,
        instrument: InstrumentId,
        leverage: u16,
        mode: MarginMode,
        effects: &mut Effects,
    ) -> Outcome {
        let Some(context) = self.risk_context(instrument) else {
            return Outcome::NotFound;
        };
        if let Err(refusal) = margin_fits(&context, leverage, mode) {
            return Outcome::Refused(Box::new(refusal));
        }
        self.must_commit(
            Record::Margin {
                instrument,
                leverage,
                mode,
            },
            effects,
        );
        self.refresh(instrument);
        Outcome::Done
    }

    fn on_strategy(&mut self, name: &str, run: bool, effects: &mut Effects) -> Outcome {
        if !self.strategies.iter().any(|s| s.name == name) {
            return Outcome::NotFound;
        }
        self.must_commit(
            Record::Strategy {
                name: name.to_owned(),
                run,
            },
            effects,
        );
        for running in self.strategies.iter_mut().filter(|s| s.name == name) {
            running.switched(run, self.now);
        }
        self.strategy_views = None;
        let id = self.ledger.strategy(name);
        if !run && id.is_some() {
            self.cancel_where(|o| o.origin.strategy() == id, effects);
        }
        Outcome::Done
    }
}

impl CancelFilter {
    fn matches(&self, order: &Order) -> bool {
        self.instrument.is_none_or(|i| order.instrument == i)
            && self.side.is_none_or(|s| order.side == s)
            && self
                .strategy
                .is_none_or(|s| order.origin.strategy() == Some(s))
    }
}

/// Whether positions may be margined in this way.
fn margin_fits(
    context: &risk::Context<'_>,
    leverage: u16,
    mode: MarginMode,
) -> Result<(), Refusal> {
    let refuse = |limit: String, value: String, hint: &str| {
        Err(Refusal {
            rule: Rule::Leverage,
            limit,
            value,
            hint: hint.to_owned(),
        })
    };
    let Instrument { contract, name, .. } = context.instrument;
    if *contract == Contract::Spot {
        return refuse(
            "derivatives".to_owned(),
            name.to_string(),
            "spot is traded without leverage",
        );
    }
    let holding = context.holding;
    let exposed = holding.positions().iter().any(|p| p.qty != 0) || holding.open_orders() > 0;
    if exposed && mode != holding.margin().mode {
        return refuse(
            "no position and no open order".to_owned(),
            name.to_string(),
            "close the position and cancel its orders before the margin mode changes",
        );
    }
    let worth: Money = holding
        .positions()
        .iter()
        .filter_map(|p| p.cost.magnitude().ok())
        .max()
        .unwrap_or_default();
    let allowed = context.ledger.brackets().leverage_max(worth).unwrap_or(0);
    if leverage == 0 || leverage > allowed {
        return refuse(
            format!("1 to {allowed}"),
            leverage.to_string(),
            "the margin bracket of the position bounds its leverage",
        );
    }
    let bound = |leverage| bound_at(context, MarginSetting { leverage, mode });
    let more = bound(leverage)
        .and_then(|after| after.minus(bound(holding.margin().leverage)?))
        .unwrap_or(Money(i128::MAX));
    let free = context
        .valuation
        .available(context.ledger)
        .unwrap_or_default();
    if more > Money::ZERO && more > free {
        return refuse(
            format!("{free} free for margin"),
            format!("{more} more"),
            "less leverage binds more money: reduce the position or cancel orders first",
        );
    }
    Ok(())
}

/// What an instrument's positions and open orders would bind of the account's money.
fn bound_at(context: &risk::Context<'_>, setting: MarginSetting) -> Result<Money, MoneyError> {
    let mut bound = Money::ZERO;
    for position in context.holding.positions() {
        let cost = position.cost.magnitude()?;
        bound = bound.plus(margin::initial_margin(cost, setting.leverage)?)?;
    }
    let counts = |o: &&Order| o.instrument == context.id && !o.shadow && o.hold_worst() != Price(0);
    for order in context.ledger.orders().open().filter(counts) {
        let (price, qty) = (order.hold_worst(), order.remaining_worst());
        bound = bound.plus(hold(price, qty, context.instrument, setting)?)?;
    }
    Ok(bound)
}

/// Whether an order can only make a position smaller.
pub(super) fn only_reduces(order: &Order, instrument: &Instrument) -> bool {
    let spot_sell = instrument.contract == Contract::Spot && order.side == Side::Sell;
    order.reduce_only || spot_sell || matches!(order.link(), Link::Exit { .. })
}

fn unknown_instrument(id: InstrumentId) -> Refusal {
    Refusal {
        rule: Rule::InstrumentStatus,
        limit: "a known instrument".to_owned(),
        value: format!("index {}", id.0),
        hint: "list /api/v1/symbols".to_owned(),
    }
}
