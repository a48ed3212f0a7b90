//! An order and all we know of it.

use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::state::{OrderEvent, OrderState, Standing};
use super::{
    ClientOrderId, Link, OrderId, OrderSpec, OrderType, Origin, PositionSide, Size, TimeInForce,
    VenueOrderId,
};
use crate::kernel::types::{InstrumentId, Money, Price, Qty, Side, Time};

/// No trade.
const NO_TRADE: u64 = u64::MAX;

/// An order. What most orders have lies in one block; rarities are boxed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Order {
    /// Our id.
    pub id: OrderId,
    /// What to trade.
    pub instrument: InstrumentId,
    /// Buy or sell.
    pub side: Side,
    /// Which position it concerns.
    pub position_side: PositionSide,
    /// Who asked.
    pub origin: Origin,
    /// Refused by the venue rather than taking liquidity.
    pub post_only: bool,
    /// May only reduce a position.
    pub reduce_only: bool,
    /// Where it is in its life.
    pub state: OrderState,
    /// A venue's report contradicted what we know.
    pub disputed: bool,
    /// Another order holds what this one needs: only one of the two can be executed.
    pub shadow: bool,
    /// Its trigger was reached.
    pub triggered: bool,
    /// A cancel was asked for, and neither done nor refused yet.
    pub cancel_wanted: bool,
    shape: Shape,
    pub(super) kept: Kept,
    /// The quantity in the base asset, on the lot grid.
    pub qty: Qty,
    /// Executed quantity.
    pub filled: Qty,
    /// Zero where there is none.
    limit: Price,
    /// The price at which what remains is paid for in advance; zero: nothing is.
    pub hold: Price,
    /// What the executed quantity is worth (sum of price × quantity), in the quote asset.
    pub filled_notional: Money,
    /// Fees, in the quote asset.
    pub fee: Money,
    /// When the intent was made.
    pub created: Time,
    /// When something was last heard of it.
    pub updated: Time,
    /// Microseconds from `created` to the venue's first answer; zero before it.
    answered_us: u32,
    venue_id: VenueOrderId,
    trades: [u64; 2],
    rare: Option<Box<Rare>>,
}

/// The order's type and time in force, as far as they fit into a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Shape {
    kind: Kind,
    tif: Tif,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Kind {
    Market,
    Limit,
    Conditional,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Tif {
    Gtc,
    Ioc,
    Fok,
    Gtd,
}

/// The table's own notes in an order: no part of its value.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Place in the list of open orders.
    #[serde(skip)]
    pub(super) open_at: u32,
    /// Changed since the last look.
    #[serde(skip)]
    pub(super) touched: bool,
}

impl PartialEq for Kept {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Kept {}

impl Hash for Kept {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// What few orders have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Rare {
    client_order_id: Option<ClientOrderId>,
    /// Of the body that came with the key.
    fingerprint: u64,
    amount: Option<Money>,
    whole_position: bool,
    condition: Option<OrderType>,
    expires: Option<Time>,
    link: Link,
    amend: Option<Amend>,
    /// The venue's time of its last change.
    amended_at: Time,
    reason: String,
    /// Beyond the first two, ascending.
    trades: Vec<u64>,
    /// Beyond the first one, oldest first.
    venue_ids: Vec<VenueOrderId>,
}

/// A change that is under way. What is `None` stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Amend {
    /// New limit price.
    pub price: Option<Price>,
    /// New trigger price.
    pub trigger: Option<Price>,
    /// New quantity, with what is executed.
    pub qty: Option<Qty>,
    /// Price at which what remains is paid for in advance after the change.
    pub hold: Price,
}

impl Order {
    pub(super) fn new(id: OrderId, time: Time, spec: &OrderSpec, qty: Qty, hold: Price) -> Self {
        let mut order = Self {
            id,
            instrument: spec.instrument,
            side: spec.side,
            position_side: spec.position_side,
            origin: spec.origin,
            post_only: spec.post_only,
            reduce_only: spec.reduce_only,
            state: OrderState::Intent,
            disputed: false,
            shadow: false,
            triggered: false,
            cancel_wanted: false,
            shape: Shape {
                kind: match spec.kind {
                    OrderType::Market => Kind::Market,
                    OrderType::Limit { .. } => Kind::Limit,
                    _ => Kind::Conditional,
                },
                tif: match spec.time_in_force {
                    TimeInForce::Gtc => Tif::Gtc,
                    TimeInForce::Ioc => Tif::Ioc,
                    TimeInForce::Fok => Tif::Fok,
                    TimeInForce::Gtd { .. } => Tif::Gtd,
                },
            },
            kept: Kept::default(),
            qty,
            filled: Qty::ZERO,
            limit: spec.kind.limit().unwrap_or_default(),
            hold,
            filled_notional: Money::ZERO,
            fee: Money::ZERO,
            created: time,
            updated: time,
            answered_us: 0,
            venue_id: VenueOrderId::default(),
            trades: [NO_TRADE; 2],
            rare: None,
        };
        if let Some(key) = spec.client_order_id {
            let rare = order.rare_mut();
            rare.client_order_id = Some(key);
            rare.fingerprint = fingerprint(spec);
        }
        match spec.size {
            Size::Base(_) => {}
            Size::Quote(amount) => order.rare_mut().amount = Some(amount),
            Size::Position => order.rare_mut().whole_position = true,
        }
        if spec.kind.is_conditional() {
            order.rare_mut().condition = Some(spec.kind);
        }
        if let TimeInForce::Gtd { expires } = spec.time_in_force {
            order.rare_mut().expires = Some(expires);
        }
        if spec.link != Link::None {
            order.rare_mut().link = spec.link.clone();
        }
        order
    }

    /// What stands in a slot of the table that holds no order.
    pub(super) fn vacant() -> Self {
        let spec = OrderSpec::new(
            InstrumentId(0),
            Side::Buy,
            OrderType::Market,
            Size::Base(Qty::ZERO),
        );
        Self::new(OrderId(0), Time::ZERO, &spec, Qty::ZERO, Price(0))
    }

    fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Type and prices.
    pub fn kind(&self) -> OrderType {
        match self.shape.kind {
            Kind::Market => OrderType::Market,
            Kind::Limit => OrderType::Limit { price: self.limit },
            Kind::Conditional => self
                .rare
                .as_ref()
                .and_then(|r| r.condition)
                .unwrap_or(OrderType::Market),
        }
    }

    /// The limit price, if there is one.
    pub fn limit(&self) -> Option<Price> {
        (self.limit != Price(0)).then_some(self.limit)
    }

    /// How long it may rest.
    pub fn time_in_force(&self) -> TimeInForce {
        match self.shape.tif {
            Tif::Gtc => TimeInForce::Gtc,
            Tif::Ioc => TimeInForce::Ioc,
            Tif::Fok => TimeInForce::Fok,
            Tif::Gtd => TimeInForce::Gtd {
                expires: self
                    .rare
                    .as_ref()
                    .and_then(|r| r.expires)
                    .unwrap_or_default(),
            },
        }
    }

    /// The amount of the quote asset that was asked for, if it was not a quantity.
    pub fn quote_amount(&self) -> Option<Money> {
        self.rare.as_ref().and_then(|r| r.amount)
    }

    /// Whether it closes the position, however large it is then.
    pub fn closes_position(&self) -> bool {
        self.rare.as_ref().is_some_and(|r| r.whole_position)
    }

    /// The caller's idempotency key.
    pub fn client_order_id(&self) -> Option<&ClientOrderId> {
        self.rare.as_ref().and_then(|r| r.client_order_id.as_ref())
    }

    /// Whether this is the body that the idempotency key came with.
    pub fn is_asked_by(&self, spec: &OrderSpec) -> bool {
        self.rare
            .as_ref()
            .is_some_and(|r| r.fingerprint == fingerprint(spec))
    }

    /// How it hangs together with others.
    pub fn link(&self) -> &Link {
        self.rare.as_ref().map_or(&Link::None, |r| &r.link)
    }

    /// The change that is under way.
    pub fn amend(&self) -> Option<&Amend> {
        self.rare.as_ref().and_then(|r| r.amend.as_ref())
    }

    /// Why it ended, in words; empty if nothing needs saying.
    pub fn reason(&self) -> &str {
        self.rare.as_ref().map_or("", |r| &r.reason)
    }

    /// The venue's ids for it, oldest first.
    pub fn venue_order_ids(&self) -> impl Iterator<Item = VenueOrderId> {
        let first = (self.venue_id != VenueOrderId::default()).then_some(self.venue_id);
        let more = self.rare.as_ref().map_or(&[][..], |r| &r.venue_ids);
        first.into_iter().chain(more.iter().copied())
    }

    /// The venue's trade ids that are booked.
    pub fn trade_ids(&self) -> impl Iterator<Item = u64> {
        let more = self.rare.as_ref().map_or(&[][..], |r| &r.trades);
        self.trades
            .iter()
            .chain(more)
            .copied()
            .filter(|t| *t != NO_TRADE)
    }

    /// When the venue first answered.
    pub fn answered(&self) -> Option<Time> {
        (self.answered_us != 0).then(|| {
            self.created
                .plus(i64::from(self.answered_us).saturating_mul(1_000))
        })
    }

    /// What is not executed yet.
    pub fn remaining(&self) -> Qty {
        self.qty.checked_sub(self.filled).unwrap_or(Qty::ZERO)
    }

    /// What may still be executed, whichever way a change under way ends.
    pub fn remaining_worst(&self) -> Qty {
        let qty = self.amend().and_then(|a| a.qty).unwrap_or(self.qty);
        let most = qty.max(self.qty);
        most.checked_sub(self.filled).unwrap_or(Qty::ZERO)
    }

    /// The price at which what remains is paid for, whichever way a change under way ends.
    pub fn hold_worst(&self) -> Price {
        self.amend().map_or(self.hold, |a| a.hold.max(self.hold))
    }

    /// Whether it can still trade.
    pub fn is_open(&self) -> bool {
        !self.state.is_terminal()
    }

    /// Whether it waits for its trigger.
    pub fn is_waiting(&self) -> bool {
        self.shape.kind == Kind::Conditional && !self.triggered
    }

    /// The price at which it may rest in the book, unless it is not there yet.
    pub fn rests_at(&self) -> Option<Price> {
        self.limit()
            .filter(|_| self.is_open() && !self.is_waiting())
    }

    /// Where it stands at the venue when no request is under way.
    pub fn standing(&self) -> Standing {
        if self.is_waiting() {
            Standing::Untriggered
        } else if self.filled > Qty::ZERO {
            Standing::PartiallyFilled
        } else {
            Standing::Acked
        }
    }

    /// Where it stands if a change that is under way is not answered yet.
    pub(super) fn standing_amended(&self) -> Standing {
        if self.amend().is_some() {
            Standing::Amending
        } else {
            self.standing()
        }
    }

    pub(super) fn move_to(&mut self, event: OrderEvent) -> bool {
        match self.state.after(event) {
            Ok(state) => {
                self.state = state;
                true
            }
            Err(_) => false,
        }
    }

    pub(super) fn heard(&mut self, time: Time) {
        self.updated = time;
        if self.answered_us == 0 {
            let us = time.since(self.created).checked_div(1_000).unwrap_or(0);
            self.answered_us = u32::try_from(us.max(1)).unwrap_or(u32::MAX);
        }
    }

    pub(super) fn set_reason(&mut self, reason: &str) {
        if !reason.is_empty() || !self.reason().is_empty() {
            reason.clone_into(&mut self.rare_mut().reason);
        }
    }

    /// Whether the id is new.
    pub(super) fn add_venue_id(&mut self, id: VenueOrderId) -> bool {
        if id == VenueOrderId::default() || self.venue_order_ids().any(|known| known == id) {
            return false;
        }
        if self.venue_id == VenueOrderId::default() {
            self.venue_id = id;
        } else {
            self.rare_mut().venue_ids.push(id);
        }
        true
    }

    pub(in crate::kernel) fn has_trade(&self, id: u64) -> bool {
        let more = || {
            self.rare
                .as_ref()
                .is_some_and(|r| r.trades.binary_search(&id).is_ok())
        };
        self.trades.contains(&id) || more()
    }

    pub(super) fn add_trade(&mut self, id: u64) {
        if let Some(room) = self.trades.iter_mut().find(|t| **t == NO_TRADE) {
            *room = id;
            return;
        }
        let trades = &mut self.rare_mut().trades;
        let at = trades.partition_point(|known| *known < id);
        trades.insert(at, id);
    }

    pub(super) fn begin_amend(&mut self, amend: Amend) {
        self.rare_mut().amend = Some(amend);
    }

    /// Ends a change that was under way; whether there was one.
    pub(super) fn end_amend(&mut self) -> Option<Amend> {
        self.rare.as_mut().and_then(|r| r.amend.take())
    }

    pub(super) fn amended_at(&self) -> Time {
        self.rare.as_ref().map_or(Time::ZERO, |r| r.amended_at)
    }

    pub(super) fn set_amended_at(&mut self, time: Time) {
        self.rare_mut().amended_at = time;
    }

    pub(super) fn set_prices(&mut self, price: Option<Price>, trigger: Option<Price>) {
        let kind = self.kind().with_prices(price, trigger);
        self.limit = kind.limit().unwrap_or_default();
        if kind.is_conditional() {
            self.rare_mut().condition = Some(kind);
        }
    }

    /// Converts its numbers to new scales; `None` if one cannot be, and then the order is spoilt.
    pub(in crate::kernel) fn rescale(
        &mut self,
        price: impl Fn(Price) -> Option<Price>,
        qty: impl Fn(Qty) -> Option<Qty>,
    ) -> Option<()> {
        self.qty = qty(self.qty)?;
        self.filled = qty(self.filled)?;
        self.limit = price(self.limit)?;
        self.hold = price(self.hold)?;
        let Some(rare) = &mut self.rare else {
            return Some(());
        };
        if let Some(kind) = rare.condition {
            rare.condition = Some(kind.try_map(&price)?);
        }
        if let Some(amend) = &mut rare.amend {
            amend.hold = price(amend.hold)?;
            for value in [&mut amend.price, &mut amend.trigger].into_iter().flatten() {
                *value = price(*value)?;
            }
            if let Some(value) = &mut amend.qty {
                *value = qty(*value)?;
            }
        }
        let exit = |exit: &mut super::Exit| {
            exit.trigger.price = price(exit.trigger.price)?;
            if let Some(limit) = &mut exit.price {
                *limit = price(*limit)?;
            }
            Some(())
        };
        match &mut rare.link {
            Link::None | Link::Exit { .. } => {}
            Link::Oco(stop) => exit(stop)?,
            Link::Bracket(bracket) => {
                let exits = [&mut bracket.take_profit, &mut bracket.stop_loss];
                exits.into_iter().flatten().try_for_each(exit)?;
            }
        }
        Some(())
    }
}

/// Of what was asked for: equal bodies have equal fingerprints.
fn fingerprint(spec: &OrderSpec) -> u64 {
    let mut state = Xxh3::new();
    spec.hash(&mut state);
    state.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_order_is_small() {
        assert!(size_of::<Order>() <= 160, "{}", size_of::<Order>());
    }
}
