//! The way between kernel and venue, and what can happen on it: messages that are lost, late, doubled or out of
//! order. It does what a gateway does: nothing leaves before its intent is durable, nothing is sent twice, and what
//! was lost is found by asking.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hean::kernel::Kernel;
use hean::kernel::event::{AccountReport, ReportKind, Seq, VenueCommand, VenueReport};
use hean::kernel::orders::{OrderId, PositionSide};
use hean::kernel::types::{InstrumentId, MILLISECOND, SECOND, Side, Time};
use hean::venue::sim::paper::{PaperVenue, Said};

use crate::random::Random;

/// Account reports that the venue says once more after an interruption.
const ACCOUNT_KEPT: usize = 32;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    pub(crate) lost: u8,
    pub(crate) late: u8,
    pub(crate) twice: u8,
}

/// Which faults happened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) commands_lost: u64,
    pub(crate) reports_lost: u64,
    pub(crate) late: u64,
    pub(crate) twice: u64,
    pub(crate) queries: u64,
    pub(crate) not_found: u64,
}

#[derive(Debug, Clone)]
struct Placed {
    leg: (InstrumentId, PositionSide),
    side: Side,
    reduce_only: bool,
}

#[derive(Debug)]
pub(crate) struct Link {
    seed: u64,
    messages: u64,
    pub(crate) weather: Weather,
    pub(crate) faults: Faults,
    held: VecDeque<(Seq, VenueCommand)>,
    placed: BTreeMap<OrderId, Placed>,
    /// Everything that the venue said of an order.
    history: BTreeMap<OrderId, Vec<VenueReport>>,
    account: VecDeque<AccountReport>,
    /// On the way to the kernel.
    coming: BTreeMap<(Time, u64), Said>,
    /// What the venue has executed.
    positions: BTreeMap<(InstrumentId, PositionSide), i64>,
    /// Orders that were ever sent: over restarts too.
    sent: BTreeSet<OrderId>,
}

impl Link {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            messages: 0,
            weather: Weather::default(),
            faults: Faults::default(),
            held: VecDeque::new(),
            placed: BTreeMap::new(),
            history: BTreeMap::new(),
            account: VecDeque::new(),
            coming: BTreeMap::new(),
            positions: BTreeMap::new(),
            sent: BTreeSet::new(),
        }
    }

    /// The luck of the next message.
    fn luck(&mut self) -> Random {
        self.messages += 1;
        Random::of(self.seed, self.messages)
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.coming.keys().next().map(|(due, _)| *due)
    }

    /// A command of the kernel.
    pub(crate) fn submit(
        &mut self,
        after: Seq,
        command: VenueCommand,
        durable: Seq,
        venue: &mut PaperVenue,
        now: Time,
    ) -> Result<(), String> {
        if after > durable {
            self.held.push_back((after, command));
            return Ok(());
        }
        self.send(command, durable, venue, now)
    }

    /// Everything up to `durable` may leave.
    pub(crate) fn release(
        &mut self,
        durable: Seq,
        venue: &mut PaperVenue,
        now: Time,
    ) -> Result<(), String> {
        while self
            .held
            .front()
            .is_some_and(|(after, _)| *after <= durable)
        {
            if let Some((_, command)) = self.held.pop_front() {
                self.send(command, durable, venue, now)?;
            }
        }
        Ok(())
    }

    fn send(
        &mut self,
        command: VenueCommand,
        durable: Seq,
        venue: &mut PaperVenue,
        now: Time,
    ) -> Result<(), String> {
        if let VenueCommand::Place(order) = &command {
            if order.id().0 > durable.0 {
                return Err(format!(
                    "order {} left before its intent was durable",
                    order.id()
                ));
            }
            if !self.sent.insert(order.id()) {
                return Err(format!("order {} was sent twice", order.id()));
            }
        }
        if let VenueCommand::Cancel { order, .. } = &command {
            let held = |c: &VenueCommand| matches!(c, VenueCommand::Place(o) if o.id() == *order);
            if self.held.iter().any(|(_, c)| held(c)) {
                self.held.retain(|(_, c)| !held(c));
                let kind = ReportKind::Cancelled {
                    reason: "never left".to_owned(),
                };
                self.deliver(report(*order, now, kind), now);
                return Ok(());
            }
        }
        if let VenueCommand::Query { order, .. } = &command {
            self.faults.queries += 1;
            self.answer(*order, venue, now, command);
            return Ok(());
        }
        let (lost, mut luck) = (self.weather.lost, self.luck());
        if luck.chance(u64::from(lost)) {
            self.faults.commands_lost += 1;
            return Ok(());
        }
        if let VenueCommand::Place(order) = &command {
            let spec = order.spec();
            let placed = Placed {
                leg: (spec.instrument, spec.position_side),
                side: spec.side,
                reduce_only: spec.reduce_only,
            };
            self.placed.insert(order.id(), placed);
        }
        venue.submit(Seq(0), command, Seq(u64::MAX), now);
        Ok(())
    }

    /// What the venue knows of an order: all that it said of it once more, but for what it said of requests alone;
    /// or that it never came.
    fn answer(&mut self, order: OrderId, venue: &mut PaperVenue, now: Time, query: VenueCommand) {
        let mut history = self.history.get(&order).cloned().unwrap_or_default();
        history.retain(|report| !is_refusal(report));
        if !self.placed.contains_key(&order) {
            self.faults.not_found += 1;
            self.deliver(report(order, now, ReportKind::NotFound), now);
        } else if history.is_empty() {
            venue.submit(Seq(0), query, Seq(u64::MAX), now);
        } else {
            let ended = history.iter().any(|r| {
                matches!(
                    r.kind,
                    ReportKind::Cancelled { .. }
                        | ReportKind::Expired { .. }
                        | ReportKind::Rejected { .. }
                )
            });
            for said in history {
                self.deliver(Said::Order(said), now);
            }
            if !ended {
                venue.submit(Seq(0), query, Seq(u64::MAX), now);
            }
        }
    }

    fn deliver(&mut self, said: Said, due: Time) {
        self.messages += 1;
        self.coming.insert((due, self.messages), said);
    }

    /// The venue says something.
    pub(crate) fn hear(&mut self, said: Said, now: Time) -> Result<(), String> {
        match &said {
            Said::Order(report)
                if report.kind == ReportKind::NotFound && self.has_told(report.order) =>
            {
                // It has ended, as the history has told: a change of it cannot come any more.
                let kind = ReportKind::AmendRejected {
                    reason: "the order has ended".to_owned(),
                };
                self.deliver(self::report(report.order, now, kind), now);
                return Ok(());
            }
            Said::Order(report) => {
                self.executed(report)?;
                let history = self.history.entry(report.order).or_default();
                history.push(report.clone());
            }
            Said::Account(report) => {
                self.liquidated(report);
                if self.account.len() == ACCOUNT_KEPT {
                    self.account.pop_front();
                }
                self.account.push_back(report.clone());
            }
        }
        let (weather, mut luck) = (self.weather, self.luck());
        let mut due = now;
        if luck.chance(u64::from(weather.lost)) {
            // The gateway notices when it compares, some seconds later.
            self.faults.reports_lost += 1;
            due = now.plus(luck.range(1, 20) * SECOND);
        } else if luck.chance(u64::from(weather.late)) {
            self.faults.late += 1;
            due = now.plus(luck.range(1, 1_500) * MILLISECOND);
        }
        self.deliver(said.clone(), due);
        if luck.chance(u64::from(weather.twice)) {
            self.faults.twice += 1;
            let due = now.plus(luck.range(0, 2_000) * MILLISECOND);
            self.deliver(said, due);
        }
        Ok(())
    }

    /// Whether the venue has said anything of an order but that there is nothing to cancel.
    fn has_told(&self, order: OrderId) -> bool {
        let history = self.history.get(&order).into_iter().flatten();
        history.filter(|r| !is_refusal(r)).count() > 0
    }

    /// Follows the venue's executions; a reduce-only order must never make a position larger.
    fn executed(&mut self, report: &VenueReport) -> Result<(), String> {
        let ReportKind::Fill(fill) = &report.kind else {
            return Ok(());
        };
        let Some(placed) = self.placed.get(&report.order) else {
            return Ok(());
        };
        let signed = match placed.side {
            Side::Buy => fill.qty.0,
            Side::Sell => -fill.qty.0,
        };
        let position = self.positions.entry(placed.leg).or_default();
        let before = *position;
        *position += signed;
        let shrinks = position.abs() < before.abs() && before.signum() != -position.signum();
        if placed.reduce_only && !shrinks {
            return Err(format!(
                "reduce-only order {} took a position from {before} to {position}",
                report.order
            ));
        }
        Ok(())
    }

    fn liquidated(&mut self, report: &AccountReport) {
        use hean::kernel::event::AccountReportKind as Kind;
        if let Kind::Liquidated {
            instrument,
            position_side,
            ..
        } = report.kind
        {
            self.positions.insert((instrument, position_side), 0);
        }
    }

    /// The next message that has come by `now`.
    pub(crate) fn next(&mut self, now: Time) -> Option<Said> {
        let ((due, _), _) = self.coming.first_key_value()?;
        if *due > now {
            return None;
        }
        self.coming.pop_first().map(|(_, said)| said)
    }

    /// The process ended: what was on its way to it, and what it still held back, is gone.
    pub(crate) fn cut(&mut self) {
        self.coming.clear();
        self.held.clear();
    }

    /// The venue ended with the process, and knows what the ledger knows.
    pub(crate) fn forget(&mut self, kernel: &Kernel) {
        self.history.clear();
        self.account.clear();
        self.positions.clear();
        for (id, instrument, holding) in kernel.ledger().holdings() {
            let mode = kernel.ledger().account().positions;
            for side in PositionSide::of(mode, instrument.contract) {
                let qty = holding.position(*side).qty;
                self.positions.insert((id, *side), qty);
            }
        }
    }

    /// The gateway is back: it asks for everything that may have happened meanwhile.
    pub(crate) fn reconcile(&mut self, kernel: &Kernel, now: Time) {
        let mut again: Vec<Said> = Vec::new();
        for order in kernel.ledger().orders().iter() {
            let history = self.history.get(&order.id);
            again.extend(history.into_iter().flatten().cloned().map(Said::Order));
        }
        again.extend(self.account.iter().cloned().map(Said::Account));
        for said in again {
            self.deliver(said, now);
        }
    }

    /// The venue's positions that are not flat.
    pub(crate) fn positions(&self) -> Vec<(InstrumentId, PositionSide, i64)> {
        let open = self.positions.iter().filter(|(_, qty)| **qty != 0);
        open.map(|((id, side), qty)| (*id, *side, *qty)).collect()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.coming.is_empty() && self.held.is_empty()
    }
}

fn report(order: OrderId, time: Time, kind: ReportKind) -> Said {
    Said::Order(VenueReport { order, time, kind })
}

/// Whether a report only says that there is nothing to cancel or to change.
fn is_refusal(report: &VenueReport) -> bool {
    matches!(
        report.kind,
        ReportKind::CancelRejected { .. } | ReportKind::AmendRejected { .. }
    )
}
