//! What the account has and wants of one instrument: its positions, and the sums over its open orders that
//! risk asks for at every order. The sums follow from the orders and are kept in step with them.

use serde::{Deserialize, Serialize};

use crate::kernel::margin;
use crate::kernel::orders::{Order, PositionSide};
use crate::kernel::portfolio::{MarginMode, Position};
use crate::kernel::types::{Contract, Instrument, Money, MoneyError, Price, Qty, Side};

/// How an instrument's positions are margined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MarginSetting {
    /// Leverage, ≥ 1.
    pub leverage: u16,
    /// Cross or isolated.
    pub mode: MarginMode,
}

impl Default for MarginSetting {
    fn default() -> Self {
        Self {
            leverage: 1,
            mode: MarginMode::Cross,
        }
    }
}

impl MarginSetting {
    /// What positions of a derivative bind of the account's money.
    pub(super) fn bound(self, positions: &[Position; 2]) -> Result<Money, MoneyError> {
        let mut total = Money::ZERO;
        for position in positions.iter().filter(|p| p.qty != 0) {
            let bound = match self.mode {
                MarginMode::Isolated => position.isolated,
                MarginMode::Cross => {
                    margin::initial_margin(position.cost.magnitude()?, self.leverage)?
                }
            };
            total = total.plus(bound)?;
        }
        Ok(total)
    }
}

/// What the account has and wants of one instrument.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holding {
    positions: [Position; 2],
    pub(super) margin: MarginSetting,
    waiting: [Waiting; 2],
    own: [OwnPrices; 2],
    open_orders: u32,
    /// A venue executed more than was ordered here: nothing may add risk until the operator resumes.
    pub(super) suspect: bool,
}

/// Quantities that open orders could still execute, by side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Waiting {
    buy: Qty,
    sell: Qty,
}

/// Prices of own orders in the book, each with how many orders, worst first and best last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct OwnPrices(Vec<(Price, u32)>);

/// What an open order adds to the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weight {
    open: bool,
    qty: Qty,
    hold: Price,
    rests_at: Option<Price>,
}

impl Weight {
    /// Of no order.
    pub(super) const NONE: Self = Self {
        open: false,
        qty: Qty::ZERO,
        hold: Price(0),
        rests_at: None,
    };

    pub(super) fn of(order: &Order) -> Self {
        if !order.is_open() {
            return Self::NONE;
        }
        let rests_at = order.rests_at();
        if order.shadow {
            // Its rival stands for both.
            return Self {
                open: true,
                rests_at,
                ..Self::NONE
            };
        }
        Self {
            open: true,
            qty: order.remaining_worst(),
            hold: order.hold_worst(),
            rests_at,
        }
    }

    /// What is held of the account's money: a spot buy's worth, a derivative's initial margin, and the taker
    /// fee of both.
    pub(super) fn held(
        &self,
        instrument: &Instrument,
        margin: MarginSetting,
    ) -> Result<Money, MoneyError> {
        if self.hold == Price(0) || self.qty == Qty::ZERO {
            return Ok(Money::ZERO);
        }
        hold(self.hold, self.qty, instrument, margin)
    }
}

/// What an order of `qty` at `price` holds of the account's money: a spot buy's worth, a derivative's
/// initial margin, and the taker fee of both.
pub fn hold(
    price: Price,
    qty: Qty,
    instrument: &Instrument,
    margin: MarginSetting,
) -> Result<Money, MoneyError> {
    let worth = instrument.notional(price, qty)?;
    let fee = worth.at_rate(instrument.taker_fee)?;
    match instrument.contract {
        Contract::Spot => worth.plus(fee),
        Contract::LinearPerpetual | Contract::LinearFuture { .. } => {
            margin::initial_margin(worth, margin.leverage)?.plus(fee)
        }
    }
}

impl Holding {
    /// A position.
    pub fn position(&self, side: PositionSide) -> &Position {
        let [first, second] = &self.positions;
        if side.index() == 0 { first } else { second }
    }

    pub(super) fn position_mut(&mut self, side: PositionSide) -> &mut Position {
        let [first, second] = &mut self.positions;
        if side.index() == 0 { first } else { second }
    }

    /// The same as if nothing had ever been traded or asked for.
    pub(super) fn without_orders(&self) -> Self {
        Self {
            margin: self.margin,
            suspect: self.suspect,
            ..Self::default()
        }
    }

    /// Both positions; the second one exists in hedge mode alone.
    pub fn positions(&self) -> &[Position; 2] {
        &self.positions
    }

    pub(super) fn positions_mut(&mut self) -> &mut [Position; 2] {
        &mut self.positions
    }

    /// How the positions are margined.
    pub fn margin(&self) -> MarginSetting {
        self.margin
    }

    /// Orders that can still change.
    pub fn open_orders(&self) -> u32 {
        self.open_orders
    }

    /// Whether a venue executed more than was ordered here.
    pub fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// What open orders of one side could still execute; of rivals only one counts.
    pub fn waiting(&self, position: PositionSide, side: Side) -> Qty {
        let [first, second] = self.waiting;
        let waiting = if position.index() == 0 { first } else { second };
        match side {
            Side::Buy => waiting.buy,
            Side::Sell => waiting.sell,
        }
    }

    /// The best price of own orders of a side that may rest in the book.
    pub fn own_best(&self, side: Side) -> Option<Price> {
        let [buys, sells] = &self.own;
        let prices = if side == Side::Buy { buys } else { sells };
        prices.0.last().map(|(price, _)| *price)
    }

    /// Whether there is a position or an open order.
    pub fn is_exposed(&self) -> bool {
        self.open_orders > 0 || self.positions.iter().any(|p| p.qty != 0)
    }

    /// Margin that the positions bind: initial margin at entry, or what was set aside.
    pub fn position_margin(&self, instrument: &Instrument) -> Result<Money, MoneyError> {
        if instrument.contract == Contract::Spot {
            Ok(Money::ZERO)
        } else {
            self.margin.bound(&self.positions)
        }
    }

    /// An order's part of the sums changes.
    pub(super) fn shift(
        &mut self,
        position: PositionSide,
        side: Side,
        before: &Weight,
        after: &Weight,
    ) -> Result<(), MoneyError> {
        let [first, second] = &mut self.waiting;
        let waiting = if position.index() == 0 { first } else { second };
        let sum = match side {
            Side::Buy => &mut waiting.buy,
            Side::Sell => &mut waiting.sell,
        };
        if before.qty != after.qty {
            let without = sum.checked_sub(before.qty).ok_or(MoneyError)?;
            *sum = without.checked_add(after.qty).ok_or(MoneyError)?;
        }
        if before.rests_at != after.rests_at {
            let [buys, sells] = &mut self.own;
            let (prices, key): (_, fn(Price) -> i64) = match side {
                Side::Buy => (buys, |p| p.0),
                Side::Sell => (sells, |p| p.0.saturating_neg()),
            };
            before.rests_at.inspect(|p| prices.remove(*p, key));
            after.rests_at.inspect(|p| prices.add(*p, key));
        }
        match (before.open, after.open) {
            (false, true) => self.open_orders = self.open_orders.saturating_add(1),
            (true, false) => self.open_orders = self.open_orders.saturating_sub(1),
            (true, true) | (false, false) => {}
        }
        Ok(())
    }
}

impl OwnPrices {
    fn add(&mut self, price: Price, key: impl Fn(Price) -> i64) {
        let at = self.0.partition_point(|(p, _)| key(*p) < key(price));
        match self.0.get_mut(at) {
            Some((known, count)) if *known == price => *count = count.saturating_add(1),
            _ => self.0.insert(at, (price, 1)),
        }
    }

    fn remove(&mut self, price: Price, key: impl Fn(Price) -> i64) {
        let at = self.0.partition_point(|(p, _)| key(*p) < key(price));
        if let Some((known, count)) = self.0.get_mut(at)
            && *known == price
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(at);
            }
        }
    }
}
