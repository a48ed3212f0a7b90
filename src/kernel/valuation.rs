//! What the account is worth and what it risks at today's marks, kept in step with positions, open orders and
//! marks. Not durable: it follows from them.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

use super::ledger::{Holding, Ledger};
use super::orders::PositionSide;
use super::portfolio::{MarginMode, PositionMode};
use super::types::{Contract, Instrument, InstrumentId, Money, MoneyError, Price, Qty, Side};

/// One instrument's part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Part {
    mark: Option<Price>,
    /// A spot position's value; a derivative's unrealised profit and loss.
    worth: Money,
    /// Unrealised losses that the whole account stands for.
    losses: Money,
    /// Worst-case value of the position with all open orders.
    exposure: Money,
    /// An open position has no mark, so that `worth` is taken at cost.
    unmarked: bool,
}

/// The sums.
#[derive(Debug, Clone, Default)]
pub(super) struct Valuation {
    parts: Vec<Part>,
    worth: Money,
    losses: Money,
    exposure: Money,
    unmarked: u32,
}

impl Valuation {
    /// Takes an instrument's part anew; `mark` is `None` where nobody knows a price.
    pub(super) fn refresh(&mut self, id: InstrumentId, ledger: &Ledger, mark: Option<Price>) {
        let (Some(instrument), Some(holding)) = (ledger.instrument(id), ledger.holding(id)) else {
            return;
        };
        if self.parts.len() <= id.index() {
            self.parts
                .resize(id.index().saturating_add(1), Part::default());
        }
        let Some(part) = self.parts.get_mut(id.index()) else {
            return;
        };
        // What leaves the range keeps its last value: the checks that use it fail by themselves.
        let mode = ledger.account().positions;
        let Ok(fresh) = Part::of(instrument, holding, mode, mark) else {
            return;
        };
        let shift = |sum: Money, old: Money, new: Money| {
            sum.minus(old).and_then(|s| s.plus(new)).unwrap_or(sum)
        };
        self.worth = shift(self.worth, part.worth, fresh.worth);
        self.losses = shift(self.losses, part.losses, fresh.losses);
        self.exposure = shift(self.exposure, part.exposure, fresh.exposure);
        match (part.unmarked, fresh.unmarked) {
            (false, true) => self.unmarked = self.unmarked.saturating_add(1),
            (true, false) => self.unmarked = self.unmarked.saturating_sub(1),
            (true, true) | (false, false) => {}
        }
        *part = fresh;
    }

    /// The mark that an instrument's part was taken at.
    #[inline]
    pub(super) fn mark(&self, id: InstrumentId) -> Option<Price> {
        self.parts.get(id.index())?.mark
    }

    /// Money and positions at mark; positions without one count at cost.
    pub(super) fn equity(&self, ledger: &Ledger) -> Result<Money, MoneyError> {
        ledger.account().money_and_assets()?.plus(self.worth)
    }

    /// Whether every open position has a price: a sample at cost would read as a jump.
    pub(super) fn all_marked(&self) -> bool {
        self.unmarked == 0
    }

    /// What the account can still commit: cash less holds, less margin, less unrealised losses.
    pub(super) fn available(&self, ledger: &Ledger) -> Result<Money, MoneyError> {
        let cash = ledger.account().cash.minus(ledger.held())?;
        cash.minus(ledger.bound())?.minus(self.losses)
    }

    /// Worst-case value of all positions but this instrument's.
    pub(super) fn exposure_without(&self, id: InstrumentId) -> Result<Money, MoneyError> {
        let own = self
            .parts
            .get(id.index())
            .map_or(Money::ZERO, |p| p.exposure);
        self.exposure.minus(own)
    }

    /// Worst-case value of all positions.
    pub(super) fn exposure(&self) -> Money {
        self.exposure
    }
}

impl Part {
    fn of(
        instrument: &Instrument,
        holding: &Holding,
        mode: PositionMode,
        mark: Option<Price>,
    ) -> Result<Self, MoneyError> {
        let mut part = Self {
            mark,
            ..Self::default()
        };
        let spot = instrument.contract == Contract::Spot;
        for position in holding.positions().iter().filter(|p| p.qty != 0) {
            let Some(mark) = mark else {
                part.unmarked = true;
                if spot {
                    part.worth = part.worth.plus(position.cost)?;
                }
                continue;
            };
            if spot {
                part.worth = part.worth.plus(position.value(mark, instrument)?)?;
                continue;
            }
            let open = position.unrealized(mark, instrument)?;
            part.worth = part.worth.plus(open)?;
            if holding.margin().mode == MarginMode::Cross && open < Money::ZERO {
                part.losses = part.losses.minus(open)?;
            }
        }
        if let Some(mark) = mark
            && holding.is_exposed()
        {
            let worst = worst_qty(holding, mode).ok_or(MoneyError)?;
            part.exposure = instrument.notional(mark, worst)?;
        }
        Ok(part)
    }
}

/// The largest quantity that a position can come to if the open orders of one side are all executed; in hedge
/// mode of both positions together.
fn worst_qty(holding: &Holding, mode: PositionMode) -> Option<Qty> {
    let reach = |position: PositionSide, side: Side| {
        let held = holding.position(position).qty;
        let waiting = holding.waiting(position, side).0;
        match side {
            Side::Buy => held.checked_add(waiting),
            Side::Sell => held.checked_sub(waiting)?.checked_neg(),
        }
    };
    let worst = match mode {
        PositionMode::OneWay => {
            reach(PositionSide::Both, Side::Buy)?.max(reach(PositionSide::Both, Side::Sell)?)
        }
        PositionMode::Hedge => reach(PositionSide::Long, Side::Buy)?
            .checked_add(reach(PositionSide::Short, Side::Sell)?)?,
    };
    Some(Qty(worst.max(0)))
}
