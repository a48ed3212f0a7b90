//! Money and positions, exact.
//!
//! Average cost is the book of record: a close releases `cost × closed / open`, rounded half to even,
//! and the remainder stays in the position, so nothing is created or lost. At any moment
//! `equity = transfers + realised + unrealised + funding − fees + insurance`, to the last digit.
//!
//! A spot position is the asset itself: buying it spends cash. A position in a linear derivative is a
//! contract: it moves cash when it is closed, by what it has won or lost.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

use serde::{Deserialize, Serialize};

use std::collections::{BTreeMap, VecDeque};

use super::event::{FeeAsset, OtherFee};
use super::margin;
use super::types::{Contract, Instrument, InstrumentId, Money, MoneyError, Price, Qty, Side, Time};

/// Liquidations and insurance payments that are remembered, to know a repeated report of one.
const HEARD_KEPT: usize = 128;

/// How an account holds positions of the same derivative in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionMode {
    /// One position: buying and selling net.
    #[default]
    OneWay,
    /// A long and a short one, side by side.
    Hedge,
}

/// What stands behind a position in a derivative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarginMode {
    /// The whole account.
    #[default]
    Cross,
    /// What was set aside when it was opened, and no more.
    Isolated,
}

impl MarginMode {
    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cross => "cross",
            Self::Isolated => "isolated",
        }
    }
}

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
    /// Funding received, less what was paid.
    pub funding: Money,
    /// Margin set aside for it alone, in isolated mode.
    pub isolated: Money,
    /// The last funding time that was booked.
    pub funded: Time,
}

/// An execution as the books need it.
#[derive(Debug, Clone, Copy)]
pub struct Execution<'a> {
    /// Bought or sold.
    pub side: Side,
    /// At this price.
    pub price: Price,
    /// So much, > 0.
    pub qty: Qty,
    /// What the fee is worth in the quote asset.
    pub fee: Money,
    /// What it was paid in.
    pub paid_in: &'a FeeAsset,
}

impl Position {
    /// Whether it never held anything and never will need showing.
    pub fn is_blank(&self) -> bool {
        *self == Self::default()
    }

    /// Books an execution; returns the profit or loss realised by it, `None` if it only opened.
    /// A flip is split at zero. `leverage` is for isolated margin; zero sets none aside.
    pub fn book(
        &mut self,
        execution: &Execution<'_>,
        leverage: u16,
        instrument: &Instrument,
    ) -> Result<Option<Money>, MoneyError> {
        let (side, price, qty) = (execution.side, execution.price, execution.qty);
        let mut after = *self;
        after.fees = after.fees.plus(execution.fee)?;
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
            after.isolated = after.isolated.minus(after.isolated.share(closed, open)?)?;
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
            if leverage > 0 {
                after.isolated = after
                    .isolated
                    .plus(margin::initial_margin(value, leverage)?)?;
            }
        }
        if let FeeAsset::Base(kept) = execution.paid_in {
            // What the venue kept never arrived: it takes its cost, the fee, with it.
            after.qty = signed_add(after.qty, Side::Sell, *kept)?;
            after.cost = after.cost.minus(execution.fee)?;
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

/// An asset beside the account's currency, such as a venue's own coin for fees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Asset {
    /// How much of it.
    pub amount: Money,
    /// What it was worth, in the account's currency, when it came.
    pub cost: Money,
}

/// The account's money and what trading did to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Account {
    /// Asset that all amounts are in; empty before the first transfer.
    pub currency: String,
    /// How it holds positions in derivatives.
    pub positions: PositionMode,
    /// Money not in spot positions.
    pub cash: Money,
    /// Money brought in from outside, net.
    pub transfers: Money,
    /// Realised profit and loss, before fees.
    pub realized: Money,
    /// Fees paid.
    pub fees: Money,
    /// Funding received, less what was paid.
    pub funding: Money,
    /// What insurance funds have covered.
    pub insurance: Money,
    /// Other assets, by name.
    pub assets: BTreeMap<String, Asset>,
    heard: VecDeque<(Option<InstrumentId>, u64)>,
}

/// The account's money after an execution.
#[derive(Debug)]
pub(super) struct Booked {
    cash: Money,
    realized: Money,
    fees: Money,
    spent: Option<(String, Asset)>,
}

impl Account {
    /// What an execution that realised `realized` makes of the money. The asset of the fee realises what it has
    /// won or lost since it came.
    pub(super) fn booked(
        &self,
        execution: &Execution<'_>,
        notional: Money,
        realized: Option<Money>,
        contract: Contract,
    ) -> Result<Booked, MoneyError> {
        let profit = realized.unwrap_or(Money::ZERO);
        let mut cash = match (contract, execution.side) {
            (Contract::Spot, Side::Buy) => self.cash.minus(notional)?,
            (Contract::Spot, Side::Sell) => self.cash.plus(notional)?,
            (Contract::LinearPerpetual | Contract::LinearFuture { .. }, _) => {
                self.cash.plus(profit)?
            }
        };
        let mut realized = self.realized.plus(profit)?;
        let fees = self.fees.plus(execution.fee)?;
        let mut spent = None;
        match execution.paid_in {
            FeeAsset::Quote => cash = cash.minus(execution.fee)?,
            FeeAsset::Base(_) => {}
            FeeAsset::Other(paid) => {
                let OtherFee { asset, amount } = &**paid;
                let held = self.assets.get(asset).copied().unwrap_or_default();
                let released = held.cost.part(*amount, held.amount)?;
                realized = realized.plus(execution.fee.minus(released)?)?;
                let left = Asset {
                    amount: held.amount.minus(*amount)?,
                    cost: held.cost.minus(released)?,
                };
                spent = Some((asset.clone(), left));
            }
        }
        Ok(Booked {
            cash,
            realized,
            fees,
            spent,
        })
    }

    pub(super) fn enter(&mut self, booked: Booked) {
        self.cash = booked.cash;
        self.realized = booked.realized;
        self.fees = booked.fees;
        if let Some((asset, left)) = booked.spent {
            self.assets.insert(asset, left);
        }
    }

    /// Money comes in from outside, or leaves. The first asset is the account's currency.
    pub(super) fn transfer(
        &mut self,
        asset: &str,
        amount: Money,
        value: Money,
    ) -> Result<(), MoneyError> {
        let transfers = self.transfers.plus(value)?;
        if self.currency.is_empty() {
            asset.clone_into(&mut self.currency);
        }
        if self.currency == asset {
            self.cash = self.cash.plus(amount)?;
        } else {
            let held = self.assets.get(asset).copied().unwrap_or_default();
            let now = Asset {
                amount: held.amount.plus(amount)?,
                cost: held.cost.plus(value)?,
            };
            self.assets.insert(asset.to_owned(), now);
        }
        self.transfers = transfers;
        Ok(())
    }

    /// Funding is paid or received.
    pub(super) fn fund(&mut self, amount: Money) -> Result<(), MoneyError> {
        let (cash, funding) = (self.cash.plus(amount)?, self.funding.plus(amount)?);
        (self.cash, self.funding) = (cash, funding);
        Ok(())
    }

    /// An insurance fund pays.
    pub(super) fn insure(&mut self, amount: Money) -> Result<(), MoneyError> {
        let (cash, insurance) = (self.cash.plus(amount)?, self.insurance.plus(amount)?);
        (self.cash, self.insurance) = (cash, insurance);
        Ok(())
    }

    /// Whether a liquidation (of an instrument) or an insurance payment is news; it is remembered then.
    pub(super) fn is_news(&mut self, event: (Option<InstrumentId>, u64)) -> bool {
        if self.heard.contains(&event) {
            return false;
        }
        if self.heard.len() == HEARD_KEPT {
            self.heard.pop_front();
        }
        self.heard.push_back(event);
        true
    }

    /// Money and what other assets cost.
    pub fn money_and_assets(&self) -> Result<Money, MoneyError> {
        let mut total = self.cash;
        for asset in self.assets.values() {
            total = total.plus(asset.cost)?;
        }
        Ok(total)
    }
}
