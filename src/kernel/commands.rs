//! What callers can ask of the kernel, and the one way in which an order comes to be.

use super::event::{
    Command, CommandKind, Correlation, Effect, Effects, Notice, Outcome, Record, VenueCommand, Wait,
};
use super::orders::{Order, OrderId, OrderSpec, OrderState};
use super::risk::{self, Refusal, Rule};
use super::types::InstrumentId;
use super::{Kernel, Seq};

impl Kernel {
    pub(super) fn on_command(&mut self, command: &Command, effects: &mut Effects) {
        let correlation = command.correlation;
        match &command.kind {
            CommandKind::Place { order, wait } => {
                self.on_place(correlation, order, *wait, effects);
            }
            CommandKind::Cancel { order } => {
                let outcome = self.on_cancel(*order, effects);
                self.reply(correlation, outcome, effects);
            }
            CommandKind::CancelAll { instrument } => {
                let concerned = |o: &&Order| instrument.is_none_or(|i| o.spec.instrument == i);
                let count = self.cancel_where(concerned, effects);
                self.reply(correlation, Outcome::Cancelling(count), effects);
            }
            CommandKind::Strategy { name, run } => {
                let outcome = self.on_strategy(name, *run, effects);
                self.reply(correlation, outcome, effects);
            }
        }
    }

    fn on_place(
        &mut self,
        correlation: Correlation,
        spec: &OrderSpec,
        wait: Wait,
        effects: &mut Effects,
    ) {
        if let Some(first) = spec
            .client_order_id
            .as_ref()
            .and_then(|k| self.ledger.orders().by_key(k))
        {
            let id = first.id;
            let same = first.spec == *spec;
            let outcome = if same {
                Outcome::Duplicate(id)
            } else {
                Outcome::Conflict(id)
            };
            self.reply(correlation, outcome, effects);
            return;
        }
        match self.place(spec.clone(), None, effects) {
            Ok(id) if self.waiters.len() < self.config.waiters_max => {
                self.waiters.insert(id, (correlation, wait));
            }
            Ok(id) => self.reply(correlation, Outcome::Placed(id), effects),
            Err(refusal) => self.reply(correlation, Outcome::Refused(refusal), effects),
        }
    }

    /// Risk, then the intent, then the command to the venue. A refusal is journaled too, unless it
    /// only repeats `known`.
    pub(super) fn place(
        &mut self,
        spec: OrderSpec,
        known: Option<Rule>,
        effects: &mut Effects,
    ) -> Result<OrderId, Refusal> {
        let id = spec.instrument;
        let (Some(market), Some(instrument)) =
            (self.markets.get(id.index()), self.ledger.instrument(id))
        else {
            return Err(unknown_instrument(id));
        };
        let context = risk::Context {
            limits: &self.config.limits,
            ledger: &self.ledger,
            market,
            instrument,
            now: self.now,
            trading: self.config.trading,
            journal_full: self.journal_full,
        };
        let approval = match risk::check(&context, spec.clone()) {
            Ok(approval) => approval,
            Err(refusal) => {
                // A full journal must not grow by what it refuses.
                if known != Some(refusal.rule) && !self.journal_full {
                    let order = Box::new(spec);
                    self.must_commit(
                        Record::Refused {
                            order,
                            refusal: refusal.clone(),
                        },
                        effects,
                    );
                }
                let notice = Notice::OrderRefused {
                    instrument: id,
                    refusal: refusal.clone(),
                };
                effects.push(Effect::Notice(notice));
                return Err(refusal);
            }
        };
        let intent = Record::Intent {
            order: Box::new(approval.spec().clone()),
            qty: approval.qty(),
            reserved: approval.reserved(),
        };
        self.must_commit(intent, effects);
        let seq = self.ledger.seq();
        let order = OrderId(seq.0);
        self.undurable.push_back(order);
        let command = VenueCommand::Place(approval.into_order(order));
        effects.push(Effect::Submit {
            after: seq,
            command,
        });
        Ok(order)
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

    /// Cancels all open orders that match; returns how many.
    fn cancel_where(&mut self, matches: impl Fn(&&Order) -> bool, effects: &mut Effects) -> u32 {
        let ids: Vec<OrderId> = self
            .ledger
            .orders()
            .open()
            .filter(matches)
            .map(|o| o.id)
            .collect();
        for id in &ids {
            self.cancel(*id, effects);
        }
        u32::try_from(ids.len()).unwrap_or(u32::MAX)
    }

    /// Sends a cancel unless one is on its way.
    fn cancel(&mut self, id: OrderId, effects: &mut Effects) {
        let Some(order) = self.ledger.orders().get(id) else {
            return;
        };
        if order.state == OrderState::CancelPending {
            return;
        }
        let instrument = order.spec.instrument;
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
            let word = if run { "started" } else { "stopped" };
            running.last_decision = format!("{word} by the operator");
            running.decided_at = self.now;
        }
        if !run {
            self.cancel_where(|o| o.spec.origin.strategy() == Some(name), effects);
        }
        Outcome::Done
    }
}

fn unknown_instrument(id: InstrumentId) -> Refusal {
    Refusal {
        rule: Rule::InstrumentStatus,
        limit: "a known instrument".to_owned(),
        value: format!("index {}", id.0),
        hint: "list /api/v1/symbols".to_owned(),
    }
}
