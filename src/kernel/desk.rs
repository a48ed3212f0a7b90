//! From what a strategy wants to orders: sized, with stops and targets, one way for every strategy.
//!
//! A wanted position is worked towards in steps, each of which follows from what is there: what is in the way is
//! cancelled, then the old position is closed, then the new one is entered. The next step is taken when an own order
//! ends; nothing waits, and what is refused is told in the decision and wanted anew at the next candle.

use std::sync::Arc;

use super::Kernel;
use super::event::{Effect, Effects, Notice};
use super::orders::{
    Bracket, Exit, Link, OrderId, OrderSpec, OrderType, Origin, Size, Trigger, TriggerBy,
};
use super::running::own_position;
use super::snapshot::{Stop, Verdict};
use super::strategies::{
    Action, Basis, Decision, Direction, Distance, Exits, NoSize, Orders, OwnPosition, QUOTES_MAX,
    Quote, Sizing, Target, Wish, on_tick,
};
use super::types::{Contract, Instrument, InstrumentId, Price, Qty, Side};

impl Direction {
    fn allows(self, side: Side, contract: Contract) -> bool {
        match side {
            Side::Buy => self != Self::Short,
            Side::Sell => self != Self::Long && contract != Contract::Spot,
        }
    }
}

impl Kernel {
    /// Does what a strategy decided.
    pub(super) fn carry_out(
        &mut self,
        index: usize,
        mut decision: Decision,
        effects: &mut Effects,
    ) {
        self.decided(index, &mut decision);
        match decision.action {
            Action::Hold => self.work(index, effects),
            Action::Be { target, terms } => {
                if let Some(running) = self.strategies.get_mut(index) {
                    running.wants = Some((target, terms));
                }
                self.work(index, effects);
            }
            Action::Rest(quotes) => self.rest(index, quotes, effects),
            Action::Orders(orders) => self.one_by_one(index, *orders, effects),
            Action::Fail(why) => self.fail(index, &why, effects),
        }
        self.remember(index, effects);
    }

    /// Notes what became of the decision.
    fn note(&mut self, index: usize, verdict: Verdict, stop: Option<Stop>) {
        if let Some(running) = self.strategies.get_mut(index) {
            running.last.verdict = verdict;
            running.last.stop = stop;
        }
        self.strategy_views = None;
    }

    fn want_no_more(&mut self, index: usize) {
        if let Some(running) = self.strategies.get_mut(index) {
            running.wants = None;
        }
    }

    fn position_of(&self, index: usize) -> Option<(InstrumentId, &Instrument, OwnPosition)> {
        let running = self.strategies.get(index)?;
        let id = running.instrument;
        let instrument = self.ledger.instrument(id)?;
        let position = own_position(&self.ledger, running.id, id, instrument);
        Some((id, instrument, position))
    }

    /// The next step towards the wanted position, if there is one.
    fn work(&mut self, index: usize, effects: &mut Effects) {
        let Some((_, instrument, position)) = self.position_of(index) else {
            return;
        };
        let Some(running) = self.strategies.get(index) else {
            return;
        };
        let Some((target, _)) = &running.wants else {
            self.trail(index, position, effects);
            return;
        };
        let (target, contract) = (*target, instrument.contract);
        let side = target.side();
        let side = side.filter(|s| running.config.direction.allows(*s, contract));
        let barred = side.is_none() && target != Target::Flat;
        let has = match position.standing.signum() {
            1 => Some(Side::Buy),
            -1 => Some(Side::Sell),
            _ => None,
        };
        let busy = !running.open.is_empty();
        match (has, side) {
            (has, want) if has == want => {
                self.want_no_more(index);
                let stop = if barred {
                    Stop::Direction
                } else {
                    Stop::Position
                };
                self.note(index, Verdict::Hold, Some(stop));
                self.trail(index, position, effects);
            }
            (Some(_), _) if busy => {
                self.cancel_own(index, effects);
                self.note(index, Verdict::Exit, Some(Stop::OrderOpen));
            }
            (Some(has), _) => self.leave(index, has, position.size(), effects),
            (None, Some(_)) if busy => {
                self.note(index, Verdict::Hold, Some(Stop::OrderOpen));
            }
            (None, Some(side)) => self.enter(index, side, effects),
            (None, None) => {}
        }
    }

    /// Cancels what rests of a strategy on its instrument. A market order is over before a cancel could reach it.
    fn cancel_own(&mut self, index: usize, effects: &mut Effects) {
        let open = self.strategies.get(index).map(|r| r.open.clone());
        for id in open.unwrap_or_default() {
            let order = self.ledger.orders().get(id);
            if order.is_some_and(|o| o.kind() != OrderType::Market) {
                self.cancel(id, effects);
            }
        }
    }

    fn origin(&self, index: usize) -> Origin {
        let running = self.strategies.get(index);
        running.map_or(Origin::Operator, |r| Origin::Strategy(r.id))
    }

    /// Places an order of a strategy. A refusal is told in the decision, and journaled unless it only repeats itself.
    fn place_own(
        &mut self,
        index: usize,
        spec: OrderSpec,
        verdict: Verdict,
        effects: &mut Effects,
    ) -> bool {
        // Until the operator resumes, what is to be closed is the kill switch's own to close.
        if self.ledger.risk().halted {
            self.note(index, verdict, Some(Stop::Halted));
            return false;
        }
        let repeated = self.strategies.get(index).and_then(|r| r.refused_by);
        let refused = self.place(Arc::new(spec), repeated, effects).err();
        if let Some(running) = self.strategies.get_mut(index) {
            running.refused_by = refused.as_ref().map(|r| r.rule);
        }
        let placed = refused.is_none();
        self.note(index, verdict, refused.map(Stop::Risk));
        placed
    }

    fn leave(&mut self, index: usize, has: Side, qty: Qty, effects: &mut Effects) {
        let Some(id) = self.strategies.get(index).map(|r| r.instrument) else {
            return;
        };
        let spec = OrderSpec {
            reduce_only: true,
            origin: self.origin(index),
            ..OrderSpec::new(id, has.opposite(), OrderType::Market, Size::Base(qty))
        };
        if !self.place_own(index, spec, Verdict::Exit, effects) {
            self.want_no_more(index);
        }
    }

    fn enter(&mut self, index: usize, side: Side, effects: &mut Effects) {
        let refuse = |kernel: &mut Self, stop: Stop| {
            kernel.want_no_more(index);
            kernel.note(index, Verdict::Hold, Some(stop));
        };
        let (Some(running), Some(candle)) = (self.strategies.get(index), self.last_candle(index))
        else {
            return;
        };
        let id = running.instrument;
        if candle.open_time < running.kept.cool_until {
            let interval = running.config.interval;
            let mut left = 0_u32;
            let mut time = candle.open_time;
            while time < running.kept.cool_until {
                time = interval.next_open(time);
                left = left.saturating_add(1);
            }
            return refuse(self, Stop::CoolDown { candles: left });
        }
        let market = self.markets.get(id.index());
        if market.is_none_or(|m| m.book.valid().is_none()) {
            return refuse(self, Stop::Book);
        }
        let terms = running.wants.as_ref().and_then(|(_, terms)| terms.clone());
        let terms = terms.unwrap_or_default();
        let size = terms.size.unwrap_or(running.config.size);
        let exits = terms.exits.unwrap_or(running.config.exits);
        let price = candle.close;
        let order = self.quantity(index, size, price).and_then(|qty| {
            let link = self.bracket(index, &exits, price, side)?;
            Ok(OrderSpec {
                origin: self.origin(index),
                link,
                ..OrderSpec::new(id, side, OrderType::Market, Size::Base(qty))
            })
        });
        let spec = match order {
            Ok(spec) => spec,
            Err(stop) => return refuse(self, Stop::Size(stop)),
        };
        // The last step, whatever comes of it: what is executed may be nobody's where another position nets it away.
        self.want_no_more(index);
        if self.place_own(index, spec, Verdict::Enter, effects)
            && let Some(running) = self.strategies.get_mut(index)
        {
            running.trailing = exits.trailing;
        }
    }

    /// A quantity on a strategy's terms at a price.
    fn quantity(&self, index: usize, size: Sizing, price: Price) -> Result<Qty, NoSize> {
        let running = self.strategies.get(index).ok_or(NoSize::Range)?;
        let instrument = self.ledger.instrument(running.instrument);
        let volatility = size.needs();
        size.qty(&Basis {
            instrument: instrument.ok_or(NoSize::Range)?,
            price,
            equity: self.equity(),
            volatility: volatility.and_then(|spec| self.term_value(index, &spec)),
            interval: running.config.interval,
            tally: running.kept.tally,
        })
    }

    /// Stop and target of an entry on `side` at `price`.
    fn bracket(
        &self,
        index: usize,
        exits: &Exits,
        price: Price,
        side: Side,
    ) -> Result<Link, NoSize> {
        if exits.stop_loss.is_none() && exits.take_profit.is_none() {
            return Ok(Link::None);
        }
        let running = self.strategies.get(index).ok_or(NoSize::Range)?;
        let instrument = self.ledger.instrument(running.instrument);
        let instrument = instrument.ok_or(NoSize::Range)?;
        let exit = |distance: Option<Distance>, side: Side| {
            let at = |distance: Distance| {
                let atr = distance.needs();
                let atr = atr.and_then(|spec| self.term_value(index, &spec));
                let price = distance.from(price, side, atr, instrument)?;
                let trigger = Trigger {
                    price,
                    by: TriggerBy::Last,
                };
                Ok(Exit {
                    trigger,
                    price: None,
                })
            };
            distance.map(at).transpose()
        };
        Ok(Link::Bracket(Box::new(Bracket {
            take_profit: exit(exits.take_profit, side)?,
            stop_loss: exit(exits.stop_loss, side.opposite())?,
        })))
    }

    /// A position with a trailing stop of its own gets it as soon as nothing else of the strategy is open.
    fn trail(&mut self, index: usize, position: OwnPosition, effects: &mut Effects) {
        let Some(running) = self.strategies.get(index) else {
            return;
        };
        let Some(callback) = running.trailing else {
            return;
        };
        if position.standing == 0 || !running.open.is_empty() {
            return;
        }
        let side = if position.standing > 0 {
            Side::Sell
        } else {
            Side::Buy
        };
        let kind = OrderType::TrailingStop {
            callback,
            activation: None,
            by: TriggerBy::Last,
        };
        let (id, verdict) = (running.instrument, running.last.verdict);
        let spec = OrderSpec {
            reduce_only: true,
            origin: self.origin(index),
            ..OrderSpec::new(id, side, kind, Size::Base(position.size()))
        };
        if !self.place_own(index, spec, verdict, effects) {
            effects.push(Effect::Notice(Notice::Unprotected(id)));
        }
    }

    /// An own order was executed or has ended: the next step. One that ended without any execution is no reason for
    /// another one, unless it was in the way and is gone now; the next candle is.
    pub(super) fn after_own_change(&mut self, index: usize, order: OrderId, effects: &mut Effects) {
        let Some(running) = self.strategies.get(index) else {
            return;
        };
        if running.failed.is_some() || self.ledger.runs(running.id) == Some(false) {
            return;
        }
        let order = self.ledger.orders().get(order);
        let vain = order.filter(|o| !o.is_open() && o.filled == Qty::ZERO);
        match vain {
            // A market order that is cancelled is one that somebody else wants gone, such as the kill switch.
            Some(order) if !order.cancel_wanted || order.kind() == OrderType::Market => {
                self.want_no_more(index);
            }
            Some(_) if running.wants.is_none() => {}
            Some(_) | None => self.work(index, effects),
        }
    }

    /// Brings the resting orders of a strategy in line with what it wants to rest.
    fn rest(&mut self, index: usize, quotes: Vec<Quote>, effects: &mut Effects) {
        self.note(index, Verdict::Quote, None);
        let Some(running) = self.strategies.get(index) else {
            return;
        };
        let Some((id, instrument, position)) = self.position_of(index) else {
            return;
        };
        let config = Arc::clone(&running.config);
        let mut stop = None;
        let mut wanted: Vec<(Side, Price, Qty)> = Vec::new();
        let mut left = position.size();
        for quote in quotes.into_iter().take(QUOTES_MAX) {
            let away = quote.side.opposite();
            let price = Price(on_tick(quote.price.0, away, instrument));
            let reduces =
                quote.reduces || !config.direction.allows(quote.side, instrument.contract);
            let size = self.quantity(index, quote.size.unwrap_or(config.size), price);
            let qty = match size {
                Ok(qty) if reduces => {
                    let closes = match quote.side {
                        Side::Sell => position.standing > 0,
                        Side::Buy => position.standing < 0,
                    };
                    // The rest goes with the last one that would leave less than an order behind.
                    let rest = left.checked_sub(qty).unwrap_or(Qty::ZERO);
                    let qty = if rest < qty { left } else { qty };
                    let qty = if closes { qty } else { Qty::ZERO };
                    left = left.checked_sub(qty).unwrap_or(Qty::ZERO);
                    qty
                }
                Ok(qty) => qty,
                Err(no) => {
                    stop = Some(Stop::Size(no));
                    Qty::ZERO
                }
            };
            if qty > Qty::ZERO && price.0 > 0 {
                wanted.push((quote.side, price, qty));
            }
        }
        let mut cancel = Vec::new();
        for open in &running.open {
            let Some(order) = self.ledger.orders().get(*open) else {
                continue;
            };
            let same = |(side, price, qty): &(Side, Price, Qty)| {
                *side == order.side && order.limit() == Some(*price) && order.remaining() <= *qty
            };
            match wanted.iter().position(same) {
                // One that is on its way out is asked for anew when it is gone.
                Some(place) => drop(wanted.swap_remove(place)),
                None if matches!(order.link(), Link::None) => cancel.push(*open),
                None => {}
            }
        }
        for open in cancel {
            self.cancel(open, effects);
        }
        let book = self.markets.get(id.index());
        if book.is_none_or(|m| m.book.valid().is_none()) && !wanted.is_empty() {
            self.note(index, Verdict::Quote, Some(Stop::Book));
            return;
        }
        for (side, price, qty) in wanted {
            let spec = OrderSpec {
                post_only: true,
                origin: self.origin(index),
                ..OrderSpec::new(id, side, OrderType::Limit { price }, Size::Base(qty))
            };
            if !self.place_own(index, spec, Verdict::Quote, effects) {
                return;
            }
        }
        if stop.is_some() {
            self.note(index, Verdict::Quote, stop);
        }
    }

    /// Orders one by one.
    fn one_by_one(&mut self, index: usize, orders: Orders, effects: &mut Effects) {
        let own = self.strategies.get(index).map(|r| r.open.clone());
        let own = own.unwrap_or_default();
        for id in orders.cancel.into_iter().filter(|id| own.contains(id)) {
            self.cancel(id, effects);
        }
        for wish in orders.place.into_iter().take(QUOTES_MAX) {
            let verdict = if wish.reduces {
                Verdict::Exit
            } else {
                Verdict::Enter
            };
            match self.spec_of(index, &wish) {
                Ok(spec) => {
                    if !self.place_own(index, spec, verdict, effects) {
                        return;
                    }
                }
                Err(stop) => return self.note(index, Verdict::Hold, Some(stop)),
            }
        }
    }

    fn spec_of(&self, index: usize, wish: &Wish) -> Result<OrderSpec, Stop> {
        let running = self.strategies.get(index).ok_or(Stop::Book)?;
        let (id, instrument, position) = self.position_of(index).ok_or(Stop::Book)?;
        let config = &running.config;
        let market = self.markets.get(id.index()).ok_or(Stop::Book)?;
        let price = wish.kind.limit();
        let price = price.or(wish.kind.trigger().map(|t| t.price));
        let price = price
            .or_else(|| market.mark(instrument))
            .ok_or(Stop::Book)?;
        let own = match wish.side {
            Side::Sell if position.standing > 0 => position.size(),
            Side::Buy if position.standing < 0 => position.size(),
            Side::Sell | Side::Buy => Qty::ZERO,
        };
        let qty = match (wish.reduces, wish.size) {
            (true, None) => own,
            (true, Some(size)) => self
                .quantity(index, size, price)
                .map_err(Stop::Size)?
                .min(own),
            (false, size) => {
                if !config.direction.allows(wish.side, instrument.contract) {
                    return Err(Stop::Direction);
                }
                let size = size.unwrap_or(config.size);
                self.quantity(index, size, price).map_err(Stop::Size)?
            }
        };
        if qty == Qty::ZERO {
            return Err(Stop::Position);
        }
        let exits = wish.exits.unwrap_or(config.exits);
        let plain = matches!(wish.kind, OrderType::Market | OrderType::Limit { .. });
        let link = if plain && !wish.reduces {
            self.bracket(index, &exits, price, wish.side)
                .map_err(Stop::Size)?
        } else {
            Link::None
        };
        let usual = OrderSpec::new(id, wish.side, wish.kind, Size::Base(qty));
        Ok(OrderSpec {
            time_in_force: wish.time_in_force.unwrap_or(usual.time_in_force),
            post_only: wish.post_only,
            reduce_only: wish.reduces,
            origin: self.origin(index),
            link,
            ..usual
        })
    }

    /// A strategy cannot go on: its entries go, what protects its position stays.
    fn fail(&mut self, index: usize, why: &Arc<str>, effects: &mut Effects) {
        let Some(running) = self.strategies.get_mut(index) else {
            return;
        };
        running.failed = Some(Arc::clone(why));
        running.wants = None;
        let (strategy, instrument) = (running.id, running.instrument);
        let open = running.open.clone();
        let adds = |id: &OrderId| {
            let order = self.ledger.orders().get(*id);
            order.is_some_and(|o| !o.reduce_only && !matches!(o.link(), Link::Exit { .. }))
        };
        let entries: Vec<OrderId> = open.into_iter().filter(adds).collect();
        for id in entries {
            self.cancel(id, effects);
        }
        effects.push(Effect::Notice(Notice::StrategyFailed {
            strategy,
            instrument,
            why: Arc::clone(why),
        }));
        self.note(index, Verdict::Hold, Some(Stop::Failed(Arc::clone(why))));
    }
}
