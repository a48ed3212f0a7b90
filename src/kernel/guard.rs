//! What watches over the account: loss limits, the kill switch until it has done its work, positions that are
//! to be closed, and requests that nobody answers.

use super::Kernel;
use super::commands::only_reduces;
use super::event::{
    AccountReport, AccountReportKind, Effect, Effects, Notice, Outcome, Record, Seq, VenueCommand,
    Wait,
};
use super::margin;
use super::orders::{Order, OrderId, OrderState, Origin, PositionSide};
use super::portfolio::{MarginMode, Position};
use super::risk::{RiskEvent, RiskMode};
use super::types::{Contract, InstrumentId, Money, MoneyError, Price, Qty, Rate, SECOND, Time};

/// How long the kill switch waits before it tries again what did not work.
const RETRY_NS: i64 = SECOND;

impl Kernel {
    /// Records are durable: what waited for that is sent, and who waited for it is answered.
    pub(super) fn on_journaled(&mut self, through: Seq, effects: &mut Effects) {
        self.durable = self.durable.max(through);
        while let Some((_, id)) = self
            .undurable
            .front()
            .copied()
            .filter(|(seq, _)| *seq <= through)
        {
            self.undurable.pop_front();
            self.ledger.sent(id);
            self.await_answer(id);
            if let Some((correlation, Wait::Journal)) = self.waiters.get(id) {
                self.waiters.remove(id);
                self.reply(correlation, Outcome::Placed(id), effects);
            }
        }
    }

    /// Notes that an order was sent, and forgets those in front that were answered.
    pub(super) fn await_answer(&mut self, id: OrderId) {
        self.awaited.push_back((self.now, id));
        while let Some((_, first)) = self.awaited.front() {
            let order = self.ledger.orders().get(*first);
            if order.is_some_and(|o| is_asked(o.state)) {
                return;
            }
            self.awaited.pop_front();
        }
    }

    /// The valuation of an instrument is taken anew.
    pub(super) fn refresh(&mut self, id: InstrumentId) {
        let mark = match (self.markets.get(id.index()), self.ledger.instrument(id)) {
            (Some(market), Some(instrument)) => market.mark(instrument),
            _ => None,
        };
        self.valuation.refresh(id, &self.ledger, mark);
    }

    /// Cash plus positions at mark; positions without a mark count at cost.
    pub fn equity(&self) -> Money {
        self.valuation.equity(&self.ledger).unwrap_or_default()
    }

    /// Profit and loss since the day began, net of transfers.
    fn pnl_today(&self, equity: Money) -> Result<Money, MoneyError> {
        let pnl = equity.minus(self.ledger.account().transfers)?;
        pnl.minus(self.ledger.statistics().day_start_pnl)
    }

    /// Holds equity against the loss limits.
    pub(super) fn watch(&mut self, effects: &mut Effects) {
        let limits = &self.config.limits;
        if limits.daily_loss_max <= Money::ZERO && limits.drawdown_max <= Rate(0) {
            return;
        }
        let events = self.broken_limits().unwrap_or_default();
        for event in events.into_iter().flatten() {
            self.risk_event(&event, effects);
        }
    }

    fn broken_limits(&mut self) -> Result<[Option<RiskEvent>; 2], MoneyError> {
        let mut broken = [None, None];
        if !self.valuation.all_marked() {
            return Ok(broken);
        }
        let equity = self.valuation.equity(&self.ledger)?;
        let pnl = self.pnl_today(equity)?;
        let limits = &self.config.limits;
        let state = self.ledger.risk();
        let over = |until: Option<Time>| until.is_none_or(|until| until <= self.now);
        let [daily, fallen] = &mut broken;
        if limits.daily_loss_max > Money::ZERO
            && pnl.negated()? >= limits.daily_loss_max
            && over(state.daily_loss_until)
        {
            *daily = Some(RiskEvent::DailyLoss {
                loss: pnl.negated()?,
                limit: limits.daily_loss_max,
                until: self.day_end(),
            });
        }
        let peak = self.ledger.statistics().peak_equity();
        if let Some(peak) = peak
            && limits.drawdown_max > Rate(0)
            && !state.drawdown
        {
            let (of, mut allowed) = self.fall_allowed;
            if of != peak {
                // A peak is asked about at every price and moves once a minute at most.
                allowed = peak.max(Money::ZERO).at_rate(limits.drawdown_max)?;
                self.fall_allowed = (peak, allowed);
            }
            if peak.minus(equity)? >= allowed && allowed > Money::ZERO {
                *fallen = Some(RiskEvent::Drawdown {
                    peak,
                    equity,
                    limit: limits.drawdown_max,
                });
            }
        }
        Ok(broken)
    }

    /// When the account's day is over.
    fn day_end(&self) -> Time {
        let shift = i64::from(self.config.zone_minutes).saturating_mul(super::types::MINUTE);
        let local = self.now.plus(shift);
        let day = local.0.div_euclid(super::types::DAY).saturating_add(1);
        Time(day.saturating_mul(super::types::DAY)).plus(shift.saturating_neg())
    }

    /// A close that lost: a streak of them stops new risk for a while.
    pub(super) fn watch_streak(&mut self, effects: &mut Effects) {
        let limits = &self.config.limits;
        let (most, pause) = (limits.losing_streak_max, limits.cool_down_ns);
        let losses = self.ledger.statistics().losing_streak;
        if most > 0 && losses > 0 && losses.checked_rem(most) == Some(0) && losses != self.streak {
            let until = self.now.plus(pause);
            self.risk_event(&RiskEvent::LosingStreak { losses, until }, effects);
        }
        self.streak = losses;
    }

    /// Writes a change of the risk state down, and does what it asks for.
    /// The state may lack the last `missing` records, or more: nothing may add risk until the operator resumes.
    pub fn distrust(&mut self, missing: u64, effects: &mut Effects) {
        self.risk_event(&RiskEvent::Incomplete { missing }, effects);
    }

    pub(super) fn risk_event(&mut self, event: &RiskEvent, effects: &mut Effects) {
        self.must_commit(Record::Risk(event.clone()), effects);
        effects.push(Effect::Notice(Notice::Risk(event.clone())));
        match event {
            RiskEvent::Halted { .. } => {
                self.cancel_where(|_| true, effects);
                self.asked = None;
                self.retry_at = None;
                self.finish_halt(effects);
            }
            RiskEvent::DailyLoss { .. }
            | RiskEvent::Incomplete { .. }
            | RiskEvent::Drawdown { .. }
            | RiskEvent::LosingStreak { .. } => self.cancel_risky(effects),
            RiskEvent::Flat | RiskEvent::Resumed { .. } => {
                self.asked = None;
                self.retry_at = None;
            }
        }
    }

    /// Open orders that could add risk are cancelled.
    fn cancel_risky(&mut self, effects: &mut Effects) {
        let mut risky: Vec<OrderId> = Vec::new();
        for order in self.ledger.orders().open() {
            let instrument = self.ledger.instrument(order.instrument);
            if !instrument.is_some_and(|i| only_reduces(order, i)) {
                risky.push(order.id);
            }
        }
        risky.sort_unstable();
        for id in risky {
            self.cancel(id, effects);
        }
    }

    /// The kill switch.
    pub(super) fn halt(&mut self, flatten: bool, by: &str, effects: &mut Effects) {
        let by = by.to_owned();
        self.risk_event(&RiskEvent::Halted { flatten, by }, effects);
    }

    /// Goes on with what waits for orders to end: positions to close, and the kill switch.
    pub(super) fn go_on(&mut self, effects: &mut Effects) {
        if !self.closing.is_empty() {
            self.finish_closing(effects);
        }
        if self.ledger.risk().halted && !self.ledger.risk().flat {
            self.finish_halt(effects);
        }
    }

    fn finish_closing(&mut self, effects: &mut Effects) {
        let waiting: Vec<_> = self.closing.iter().copied().collect();
        for (instrument, side) in waiting {
            let busy = self
                .ledger
                .orders()
                .open()
                .any(|o| o.instrument == instrument && o.position_side == side);
            if !busy {
                self.closing.remove(&(instrument, side));
                self.place_close(instrument, side, Origin::Operator, effects);
            }
        }
    }

    /// The next step of the kill switch: close what is to be closed, then ask the venue whether anything is left.
    fn finish_halt(&mut self, effects: &mut Effects) {
        if self.asked.is_some() || self.retry_at.is_some_and(|at| self.now < at) {
            return;
        }
        self.retry_at = None;
        // One whose cancel was refused stands as before.
        self.cancel_where(
            |o| o.origin != Origin::KillSwitch && o.state != OrderState::Unknown,
            effects,
        );
        if self.ledger.risk().flatten {
            let mut tried = false;
            for (instrument, side) in self.to_flatten() {
                tried = true;
                let refused = self
                    .place_close(instrument, side, Origin::KillSwitch, effects)
                    .is_some_and(|r| r.is_err());
                if refused {
                    self.retry_at = Some(self.now.plus(RETRY_NS));
                }
            }
            if tried {
                return;
            }
        }
        if self.ledger.orders().open_len() == 0 {
            let asked = self.ledger.seq();
            self.asked = Some(asked);
            self.retry_at = Some(self.now.plus(RETRY_NS.saturating_mul(10)));
            effects.push(Effect::Submit {
                after: Seq(0),
                command: VenueCommand::Standing { asked },
            });
        }
    }

    /// Whether an order stands although the kill switch wants it away: its cancel was refused, or nobody knew of
    /// it until now.
    pub(super) fn stands_in_the_way(&self, order: &Order) -> bool {
        let risk = self.ledger.risk();
        let stands = matches!(
            order.state,
            OrderState::Untriggered | OrderState::Acked | OrderState::PartiallyFilled
        );
        risk.halted && !risk.flat && stands && order.origin != Origin::KillSwitch
    }

    /// Positions that are large enough to close and have no order under way.
    fn to_flatten(&self) -> Vec<(InstrumentId, PositionSide)> {
        let mut found = Vec::new();
        for (id, instrument, holding) in self.ledger.holdings() {
            if holding.open_orders() > 0 {
                continue;
            }
            for side in PositionSide::of(self.ledger.account().positions, instrument.contract) {
                let qty = holding.position(*side).qty;
                let least = instrument.lot.max(instrument.qty_min);
                if qty.checked_abs().map(Qty).is_some_and(|q| q >= least) && !self.is_dust(id, qty)
                {
                    found.push((id, *side));
                }
            }
        }
        found
    }

    /// Whether a spot position is worth less than the venue takes.
    fn is_dust(&self, id: InstrumentId, qty: i64) -> bool {
        let (Some(instrument), Some(mark)) = (self.ledger.instrument(id), self.valuation.mark(id))
        else {
            return false;
        };
        let lot = instrument.lot.0;
        let rest = qty.checked_rem(lot).unwrap_or(0);
        // A sale is valued at what the book offers.
        let bid = self
            .market_of(id)
            .and_then(|m| m.book.valid()?.best_bid())
            .map_or(mark, |level| level.price.min(mark));
        let worth = instrument.notional(bid, Qty(qty.saturating_sub(rest)));
        instrument.contract == super::types::Contract::Spot
            && worth.is_ok_and(|w| w < instrument.notional_min)
    }

    /// What the venue says of the account.
    pub(super) fn on_account(&mut self, report: &AccountReport, effects: &mut Effects) {
        if let AccountReportKind::Standing {
            asked,
            orders,
            positions,
        } = &report.kind
        {
            return self.on_standing(*asked, orders, positions, effects);
        }
        if self
            .commit(Record::Account(report.clone()), effects)
            .is_err()
        {
            // Nothing was changed: a venue's impossible number must not stop the process.
            effects.push(Effect::Notice(Notice::Disputed(
                "an account report out of range",
            )));
            return;
        }
        match report.kind {
            AccountReportKind::Liquidated { instrument, .. } => {
                self.refresh(instrument);
                effects.push(Effect::Notice(Notice::Liquidated(instrument)));
                self.watch_streak(effects);
            }
            AccountReportKind::Funding { instrument, .. } => self.refresh(instrument),
            AccountReportKind::Insurance { .. } | AccountReportKind::Standing { .. } => {}
        }
        self.watch(effects);
        self.go_on(effects);
    }

    /// The venue's answer to whether anything is left: the kill switch believes nobody else.
    fn on_standing(
        &mut self,
        asked: Seq,
        orders: &[OrderId],
        positions: &[(InstrumentId, PositionSide, i64)],
        effects: &mut Effects,
    ) {
        if self.asked != Some(asked) {
            return;
        }
        self.asked = None;
        let ours: Vec<(InstrumentId, PositionSide, i64)> = self.open_positions();
        let agrees = orders.is_empty() && positions == ours;
        // Something happened since the question: it is asked again.
        let news = self.ledger.orders().open_len() > 0 || self.ledger.seq() != asked;
        let flat = !self.ledger.risk().flatten || self.to_flatten().is_empty();
        if agrees && flat && !news {
            self.must_commit(Record::Risk(RiskEvent::Flat), effects);
            effects.push(Effect::Notice(Notice::Flat));
            self.retry_at = None;
            return;
        }
        if !agrees && !news {
            effects.push(Effect::Notice(Notice::Disputed(
                "the venue holds orders or positions that we do not know of",
            )));
        }
        self.retry_at = Some(self.now.plus(RETRY_NS));
    }

    /// Positions that are not flat.
    pub(super) fn open_positions(&self) -> Vec<(InstrumentId, PositionSide, i64)> {
        let mode = self.ledger.account().positions;
        let mut open = Vec::new();
        for (id, instrument, holding) in self.ledger.holdings() {
            for side in PositionSide::of(mode, instrument.contract) {
                let qty = holding.position(*side).qty;
                if qty != 0 {
                    open.push((id, *side, qty));
                }
            }
        }
        open
    }

    /// Orders that nobody has answered in time are unknown from now on, and asked about.
    pub(super) fn chase(&mut self, effects: &mut Effects) {
        while let Some((sent, id)) = self.awaited.front().copied() {
            let waits = self.ledger.orders().get(id).filter(|o| is_asked(o.state));
            let Some(order) = waits else {
                self.awaited.pop_front();
                continue;
            };
            if self.now < sent.plus(self.config.answer_timeout_ns) {
                return;
            }
            let (instrument, known) = (order.instrument, order.state == OrderState::Unknown);
            let heard = order.updated;
            self.awaited.pop_front();
            if self.undurable.iter().any(|(_, held)| *held == id) {
                // Not sent yet: the disk is slow, not the venue.
                self.awaited.push_back((self.now, id));
                continue;
            }
            if heard > sent {
                // A later request, or the venue spoke meanwhile: its time counts from there.
                self.awaited.push_back((heard, id));
                continue;
            }
            if !known {
                self.must_commit(Record::Unanswered(id), effects);
            }
            self.ask(id, instrument, effects);
        }
    }

    /// Asks the venue what it knows of an order whose state nobody knows; again after a while, until it answers.
    pub(super) fn ask(&mut self, id: OrderId, instrument: InstrumentId, effects: &mut Effects) {
        effects.push(Effect::Submit {
            after: Seq(0),
            command: VenueCommand::Query {
                order: id,
                instrument,
            },
        });
        self.awaited.push_back((self.now, id));
    }

    /// When something here is due.
    pub(super) fn guard_deadline(&self) -> Option<Time> {
        let chased = self
            .awaited
            .front()
            .map(|(sent, _)| sent.plus(self.config.answer_timeout_ns));
        chased.into_iter().chain(self.retry_at).min()
    }

    /// A deadline may have passed.
    pub(super) fn guard_tick(&mut self, effects: &mut Effects) {
        self.chase(effects);
        if self.retry_at.is_some_and(|at| at <= self.now) {
            // No answer is an answer that is asked for again.
            self.asked = None;
            self.retry_at = None;
            self.go_on(effects);
        }
    }

    /// Where the venue would close a position in a derivative, if nothing else changes; `None` where nothing
    /// would.
    pub(super) fn liquidation_price(&self, id: InstrumentId, side: PositionSide) -> Option<Price> {
        let (instrument, holding) = (self.ledger.instrument(id)?, self.ledger.holding(id)?);
        let position = holding.position(side);
        if instrument.contract == Contract::Spot || position.qty == 0 {
            return None;
        }
        let brackets = self.ledger.brackets();
        let exposure = |p: &Position| margin::Exposure {
            qty: p.qty,
            cost: p.cost,
        };
        if holding.margin().mode == MarginMode::Isolated {
            let own = exposure(position);
            return margin::isolated_liquidation_price(
                own,
                position.isolated,
                brackets,
                margin::Basis::Mark,
                instrument,
            )
            .ok()?;
        }
        let mut wallet = self.ledger.account().cash;
        let mut others = margin::Others::default();
        for (other, instrument, holding) in self.ledger.holdings() {
            for position in holding.positions() {
                wallet = wallet.minus(position.isolated).ok()?;
                let cross = holding.margin().mode == MarginMode::Cross;
                if instrument.contract == Contract::Spot
                    || other == id
                    || position.qty == 0
                    || !cross
                {
                    continue;
                }
                let value = position
                    .value(self.valuation.mark(other)?, instrument)
                    .ok()?;
                let maintenance = brackets.maintenance_margin(value).ok()?;
                others.maintenance = others.maintenance.plus(maintenance).ok()?;
                let open = value.minus(position.cost).ok()?;
                others.unrealized = others.unrealized.plus(open).ok()?;
            }
        }
        let basis = margin::Basis::Mark;
        if side == PositionSide::Both {
            let own = exposure(position);
            return margin::cross_liquidation_price(
                own, wallet, others, brackets, basis, instrument,
            )
            .ok()?;
        }
        let [long, short] = holding.positions();
        let both = margin::cross_hedge_liquidation_prices(
            exposure(long),
            exposure(short),
            wallet,
            others,
            brackets,
            basis,
            instrument,
        )
        .ok()?;
        if side == PositionSide::Long {
            both.below
        } else {
            both.above
        }
    }

    /// Whether only reductions pass now.
    pub fn risk_mode(&self) -> RiskMode {
        self.ledger.risk().mode(self.now)
    }
}

/// Whether an answer of the venue is due.
pub(super) const fn is_asked(state: OrderState) -> bool {
    matches!(
        state,
        OrderState::Sent
            | OrderState::CancelPending
            | OrderState::AmendPending
            | OrderState::Unknown
    )
}
