//! What an order could make of positions and money at worst.

use super::check::{Context, Demand};
use super::filters::{range, refuse};
use super::{Refusal, Rule};
use crate::kernel::ledger::hold;
use crate::kernel::orders::PositionSide;
use crate::kernel::types::{Contract, Money, MoneyError, Price, Qty, Side};

/// Worst-case values: of this position with all open orders of the side, and of all positions.
pub(super) fn exposure(context: &Context<'_>, demand: &Demand) -> Result<(), Refusal> {
    let limits = context.limits;
    let holding = context.holding;
    let position = holding.position(demand.position_side).qty;
    let held = if demand.side == Side::Buy {
        position
    } else {
        range(position.checked_neg().ok_or(MoneyError))?
    };
    let waiting = holding.waiting(demand.position_side, demand.side);
    let worst = held
        .checked_add(waiting.0)
        .and_then(|q| q.checked_add(demand.qty.0))
        .ok_or(MoneyError);
    let mark = context
        .market
        .mark(context.instrument)
        .unwrap_or(demand.price);
    let worst = Qty(range(worst)?.max(0));
    let own = range(context.instrument.notional(mark, worst))?;
    if own > limits.position_notional_max {
        return refuse(
            Rule::MaxPositionNotional,
            limits.position_notional_max.to_string(),
            own.to_string(),
            "the position with all open orders of this side counts; raise risk.position_notional_max",
        );
    }
    let others = range(context.valuation.exposure_without(context.id))?;
    let all = range(others.plus(own))?;
    if all > limits.exposure_notional_max {
        return refuse(
            Rule::MaxExposure,
            limits.exposure_notional_max.to_string(),
            all.to_string(),
            "all positions with their open orders count; raise risk.exposure_notional_max",
        );
    }
    if context.instrument.contract == Contract::Spot {
        return Ok(());
    }
    let leverage = holding.margin().leverage;
    let allowed = context.ledger.brackets().leverage_max(own).unwrap_or(0);
    if leverage > allowed {
        return refuse(
            Rule::Leverage,
            format!("{allowed} for a position of {own}"),
            leverage.to_string(),
            "lower the leverage of the instrument, or the quantity",
        );
    }
    Ok(())
}

/// A spot account spends only what it has: no borrowing, no short sale. A derivative needs its initial margin.
pub(super) fn balance(context: &Context<'_>, demand: &Demand) -> Result<(), Refusal> {
    let instrument = context.instrument;
    let account = context.ledger.account();
    if account.currency != instrument.quote {
        return refuse(
            Rule::Balance,
            format!("an account in {}", account.currency),
            format!("an instrument in {}", instrument.quote),
            "trade instruments quoted in the account's currency, or set paper.currency",
        );
    }
    if instrument.contract == Contract::Spot && demand.side == Side::Sell {
        let waiting = context.holding.waiting(PositionSide::Both, Side::Sell);
        let position = Qty(context.holding.position(PositionSide::Both).qty.max(0));
        let free = position.checked_sub(waiting).unwrap_or(Qty::ZERO);
        if demand.qty > free {
            let text = |q: Qty| format!("{} {}", q.display(instrument.qty_scale), instrument.base);
            let hint = "a spot account cannot sell what it does not hold";
            return refuse(Rule::Balance, text(free), text(demand.qty), hint);
        }
        return Ok(());
    }
    let margin = context.holding.margin();
    let needed = if demand.hold == Price(0) {
        demand.hold_more
    } else {
        range(hold(demand.hold, demand.qty, instrument, margin))?
    };
    if needed == Money::ZERO {
        return Ok(());
    }
    let free = range(context.valuation.available(context.ledger))?;
    if needed > free {
        let text = |m: Money| format!("{m} {}", instrument.quote);
        let hint = "the fee, open orders, margin and unrealised losses count";
        return refuse(Rule::Balance, text(free), text(needed), hint);
    }
    Ok(())
}
