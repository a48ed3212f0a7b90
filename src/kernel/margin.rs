//! Margin of linear perpetuals: margined and settled in the quote asset, one asset for all (USDT).
//!
//! Everything here is a pure function of amounts; who holds what is the portfolio's business.
//!
//! * Maintenance margin: notional × rate of its bracket - deduction of its bracket (Binance "maintenance
//!   amount" or `cum`, Bybit "maintenance margin deduction"). Binance, "Leverage and Margin of USDⓈ-M
//!   Futures"; Bybit, "Maintenance Margin (USDT Contract)". The deduction makes it continuous, like an
//!   income tax by brackets.
//! * Initial margin: notional / leverage, rounded up: the venue asks for no less.
//! * Funding: notional at mark × rate; longs pay shorts when the rate is positive. Binance,
//!   "Introduction to Binance Futures Funding Rates"; Bybit, "Funding Fee Calculation".
//! * Liquidation when the margin balance is down to the maintenance margin (a margin ratio of 100 %).
//!   Prices: see [`isolated_liquidation_price`] and [`cross_liquidation_price`].
//!
//! Fees of closing are left out, as both venues leave them out of their published formulas, or add the
//! same estimate to both sides.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

mod brackets;
mod liquidation;
#[cfg(test)]
mod tests;

pub use brackets::{BRACKETS_MAX, Bracket, BracketError, Brackets};
pub use liquidation::{
    Basis, Exposure, HedgeLiquidation, Others, cross_hedge_liquidation_prices,
    cross_liquidation_price, isolated_liquidation_price,
};

use super::types::{Money, MoneyError, Rate};

/// What a position of value `notional` (of either sign) needs at `leverage` to be opened: the quotient,
/// rounded up at [`Money::SCALE`] in favour of the venue. An error for a leverage of zero.
pub fn initial_margin(notional: Money, leverage: u16) -> Result<Money, MoneyError> {
    let (size, leverage) = (magnitude(notional)?.0, i128::from(leverage));
    let down = size.checked_div(leverage).ok_or(MoneyError)?;
    let rest = size.checked_rem(leverage).ok_or(MoneyError)?;
    down.checked_add(i128::from(rest != 0))
        .map(Money)
        .ok_or(MoneyError)
}

/// What an account receives (below zero: pays) for a position worth `notional_at_mark`, negative if
/// short, at a funding time. Rounded half to even at [`Money::SCALE`], so that what one side pays is
/// what the other receives.
pub fn funding_payment(notional_at_mark: Money, rate: Rate) -> Result<Money, MoneyError> {
    notional_at_mark.at_rate(rate)?.negated()
}

/// Whether a margin balance (wallet plus unrealised profit and loss) no longer carries its positions.
/// Without positions (no maintenance margin) there is nothing to liquidate.
pub fn is_liquidated(margin_balance: Money, maintenance: Money) -> bool {
    maintenance > Money::ZERO && margin_balance <= maintenance
}

fn magnitude(amount: Money) -> Result<Money, MoneyError> {
    amount.0.checked_abs().map(Money).ok_or(MoneyError)
}
