//! Money and positions, exact.
//!
//! Average cost is the book of record: a close releases `cost × closed / open`, rounded half to even,
//! and the remainder stays in the position, so nothing is created or lost. At any moment
//! `equity = transfers + realised + unrealised − fees`.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

use serde::{Deserialize, Serialize};

use super::types::{Instrument, Money, MoneyError, Price, Qty, Side};

/// A position in one instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// Signed quantity at the instrument's scale; negative is short.
    pub qty: i64,
    /// What the open quantity cost, signed like it.
    pub cost: Money,
    /// Profit and loss of what was closed, before fees.
    pub realized: Money,
    /// Fees paid.
    pub fees: Money,
}

impl Position {
    /// Whether it never held anything and never will need showing.
    pub fn is_blank(&self) -> bool {
        *self == Self::default()
    }

    /// Books an execution; returns the profit or loss realised by it, `None` if it only opened.
    /// A flip is split at zero.
    pub fn book(
        &mut self,
        side: Side,
        price: Price,
        qty: Qty,
        fee: Money,
        instrument: &Instrument,
    ) -> Result<Option<Money>, MoneyError> {
        let mut after = *self;
        after.fees = after.fees.plus(fee)?;
        let closes = matches!(
            (side, after.qty.signum()),
            (Side::Buy, -1) | (Side::Sell, 1)
        );
        let open = Qty(after.qty.checked_abs().ok_or(MoneyError)?);
        let closed = if closes { qty.min(open) } else { Qty::ZERO };
        let opened = qty.checked_sub(closed).ok_or(MoneyError)?;
        let mut realized = None;
        if closed > Qty::ZERO {
            let released = after.cost.share(closed, open)?;
            let value = instrument.notional(price, closed)?;
            // Long: sold for `value` what cost `released`. Short: bought back for `value` what had
            // brought in `-released`.
            let profit = match side {
                Side::Sell => value.minus(released)?,
                Side::Buy => released.negated()?.minus(value)?,
            };
            after.cost = after.cost.minus(released)?;
            after.qty = signed_add(after.qty, side, closed)?;
            after.realized = after.realized.plus(profit)?;
            realized = Some(profit);
        }
        if opened > Qty::ZERO {
            let value = instrument.notional(price, opened)?;
            after.cost = match side {
                Side::Buy => after.cost.plus(value)?,
                Side::Sell => after.cost.minus(value)?,
            };
            after.qty = signed_add(after.qty, side, opened)?;
        }
        *self = after;
        Ok(realized)
    }

    /// What the position is worth at `mark`, signed.
    pub fn value(&self, mark: Price, instrument: &Instrument) -> Result<Money, MoneyError> {
        instrument.notional(mark, Qty(self.qty))
    }

    /// Profit and loss if closed at `mark`.
    pub fn unrealized(&self, mark: Price, instrument: &Instrument) -> Result<Money, MoneyError> {
        self.value(mark, instrument)?.minus(self.cost)
    }
}

fn signed_add(qty: i64, side: Side, by: Qty) -> Result<i64, MoneyError> {
    match side {
        Side::Buy => qty.checked_add(by.0),
        Side::Sell => qty.checked_sub(by.0),
    }
    .ok_or(MoneyError)
}

/// The account's money and what trading did to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Account {
    /// Asset that all amounts are in; empty before the first transfer.
    pub currency: String,
    /// Money not in positions.
    pub cash: Money,
    /// Money brought in from outside, net.
    pub transfers: Money,
    /// Realised profit and loss, before fees.
    pub realized: Money,
    /// Fees paid.
    pub fees: Money,
}

impl Account {
    /// Books an execution that realised `realized`.
    pub fn book(
        &mut self,
        side: Side,
        notional: Money,
        fee: Money,
        realized: Option<Money>,
    ) -> Result<(), MoneyError> {
        let moved = match side {
            Side::Buy => self.cash.minus(notional)?,
            Side::Sell => self.cash.plus(notional)?,
        };
        let realized = self.realized.plus(realized.unwrap_or(Money::ZERO))?;
        let (cash, fees) = (moved.minus(fee)?, self.fees.plus(fee)?);
        (self.cash, self.fees, self.realized) = (cash, fees, realized);
        Ok(())
    }

    /// Money comes in from outside, or leaves.
    pub fn transfer(&mut self, asset: &str, amount: Money) -> Result<(), MoneyError> {
        let (cash, transfers) = (self.cash.plus(amount)?, self.transfers.plus(amount)?);
        if self.currency.is_empty() {
            asset.clone_into(&mut self.currency);
        }
        (self.cash, self.transfers) = (cash, transfers);
        Ok(())
    }
}
