//! The mark price at which a position is liquidated.
//!
//! The condition is linear in the price between borders of brackets:
//! `free + Σ (value - cost) - Σ (|value| × rate - deduction) = 0`, with `value = quantity × price`. Solved
//! for the price this is Binance's formula (cumulative amounts and rates of BOTH, LONG and SHORT; other
//! contracts in `free`) with the bracket that holds at the liquidation price, as its note demands. Every
//! piece is solved in integers; what comes out is exact before it is rounded once. Amounts above some
//! 10^14 units are an error, not a wrong price.

use super::{Brackets, magnitude};
use crate::kernel::types::{Instrument, Money, MoneyError, Price, Qty, Rate};

/// A position: the signed quantity, and what it cost, signed like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Exposure {
    /// Quantity at the instrument's scale; negative is short.
    pub qty: i64,
    /// Quantity × average entry price.
    pub cost: Money,
}

/// What the other contracts of a cross-margined account need and have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Others {
    /// Their maintenance margin at mark (Binance: TMM1).
    pub maintenance: Money,
    /// Their unrealised profit and loss at mark (Binance: UPNL1).
    pub unrealized: Money,
}

/// Which value of the position the maintenance margin is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Basis {
    /// The value at mark: Binance, and Bybit's unified account.
    #[default]
    Mark,
    /// The value at entry: Bybit's formulas for USDT contracts of the classic account.
    Entry,
}

/// Where an account with a long and a short position of the same instrument is liquidated: at or below
/// one mark price, at or above another, or both, because the margin that both sides need grows with the
/// price. With one position one of them is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct HedgeLiquidation {
    /// Liquidated when the mark falls to here.
    pub below: Option<Price>,
    /// Liquidated when the mark rises to here.
    pub above: Option<Price>,
}

/// Liquidation price of a position with a margin of its own: its initial margin, plus what was added,
/// less funding that was taken from it (Binance: isolated wallet balance).
///
/// Binance, "How to Calculate Liquidation Price of USDⓈ-M Futures Contracts", with TMM and UPNL zero;
/// with [`Basis::Entry`] Bybit, "Liquidation Price (USDT Contract)": entry ∓ (margin - maintenance margin) /
/// size. `None` for no position, and where no price above zero liquidates.
///
/// Rounded up for a long and down for a short position, to the instrument's price scale: toward the
/// entry of a position that is alive at its entry, so nothing is liquidated before this price is
/// reached. A position that no price carries is liquidated at every price: the highest one for a long
/// position, zero for a short one.
pub fn isolated_liquidation_price(
    position: Exposure,
    margin: Money,
    brackets: &Brackets,
    basis: Basis,
    instrument: &Instrument,
) -> Result<Option<Price>, MoneyError> {
    one_way(position, margin, brackets, basis, instrument)
}

/// Liquidation price of the only position in an instrument, backed by the whole wallet (without the
/// margin of isolated positions), while the other contracts stay as they are.
///
/// Binance, same page, BOTH: `(WB - TMM + UPNL + cum - side × size × entry) / (size × rate - side × size)`.
/// With [`Basis::Entry`] Bybit, same page, cross margin: the wallet is the available balance plus the
/// initial margin. Rounding and limits as in [`isolated_liquidation_price`].
pub fn cross_liquidation_price(
    position: Exposure,
    wallet: Money,
    others: Others,
    brackets: &Brackets,
    basis: Basis,
    instrument: &Instrument,
) -> Result<Option<Price>, MoneyError> {
    one_way(position, free(wallet, others)?, brackets, basis, instrument)
}

/// Liquidation prices of a long and a short position in one instrument (hedge mode) that the whole
/// wallet backs. They share them; Binance, same page, LONG and SHORT. An error for a `long` below or a
/// `short` above zero. Rounding and limits as in [`isolated_liquidation_price`].
pub fn cross_hedge_liquidation_prices(
    long: Exposure,
    short: Exposure,
    wallet: Money,
    others: Others,
    brackets: &Brackets,
    basis: Basis,
    instrument: &Instrument,
) -> Result<HedgeLiquidation, MoneyError> {
    if long.qty < 0 || short.qty > 0 {
        return Err(MoneyError);
    }
    let free = free(wallet, others)?;
    solve(long, short, free, brackets, basis, instrument)
}

fn free(wallet: Money, others: Others) -> Result<Money, MoneyError> {
    wallet.minus(others.maintenance)?.plus(others.unrealized)
}

fn one_way(
    position: Exposure,
    free: Money,
    brackets: &Brackets,
    basis: Basis,
    instrument: &Instrument,
) -> Result<Option<Price>, MoneyError> {
    let none = Exposure::default();
    let prices = solve(position, none, free, brackets, basis, instrument)?;
    Ok(if position.qty < 0 {
        prices.above
    } else {
        prices.below
    })
}

/// A line over a range of prices: (`slope` × price + `constant`) / 10^8 is an amount at [`Money::SCALE`].
#[derive(Debug, Clone, Copy)]
struct Piece {
    lo: i64,
    hi: i64,
    slope: i128,
    constant: i128,
}

/// The prices at which profit and loss of both positions and the free amount are no less than the
/// maintenance margin. They are one range, because the margin grows ever faster with the price.
fn solve(
    one: Exposure,
    other: Exposure,
    free: Money,
    brackets: &Brackets,
    basis: Basis,
    instrument: &Instrument,
) -> Result<HedgeLiquidation, MoneyError> {
    if one.qty == 0 && other.qty == 0 {
        return Ok(HedgeLiquidation::default());
    }
    let free = scaled(free)?;
    let (ones, others) = (
        pieces(one, brackets, basis, instrument)?,
        pieces(other, brackets, basis, instrument)?,
    );
    let mut carried: Option<(i64, i64)> = None;
    for a in &ones {
        for b in &others {
            let (lo, hi) = (a.lo.max(b.lo), a.hi.min(b.hi));
            if lo > hi {
                continue;
            }
            let slope = sum(a.slope, b.slope)?;
            let constant = sum(free, sum(a.constant, b.constant)?)?;
            if let Some((lo, hi)) = not_below_zero(lo, hi, slope, constant)? {
                carried = Some(carried.map_or((lo, hi), |(l, h)| (l.min(lo), h.max(hi))));
            }
        }
    }
    let (lo, hi) = carried.unwrap_or((i64::MAX, 0));
    Ok(HedgeLiquidation {
        below: (lo > 0).then_some(Price(lo)),
        above: (hi < i64::MAX).then_some(Price(hi)),
    })
}

/// Profit and loss less maintenance margin of a position, over all prices from zero.
fn pieces(
    position: Exposure,
    brackets: &Brackets,
    basis: Basis,
    instrument: &Instrument,
) -> Result<Vec<Piece>, MoneyError> {
    let whole = |slope: i128, constant: i128| Piece {
        lo: 0,
        hi: i64::MAX,
        slope,
        constant,
    };
    if position.qty == 0 {
        return Ok(vec![whole(0, 0)]);
    }
    // What the position's value changes by when the price moves by its smallest step.
    let step = instrument.notional(Price(1), Qty(position.qty))?;
    if basis == Basis::Entry {
        let margin = brackets.maintenance_margin(position.cost)?;
        let constant = scaled(position.cost.plus(margin)?.negated()?)?;
        return Ok(vec![whole(scaled(step)?, constant)]);
    }
    let size = magnitude(step)?.0;
    let mut out = Vec::with_capacity(brackets.rows().len());
    let mut lo = 0_i64;
    let mut rows = brackets.rows().iter().peekable();
    while let Some(row) = rows.next() {
        let last = rows.peek().is_none();
        let cap = row.notional_cap.0.checked_div(size).ok_or(MoneyError)?;
        let hi = i64::try_from(cap).ok().filter(|_| !last);
        let hi = hi.unwrap_or(i64::MAX);
        if lo <= hi {
            let needed = size.checked_mul(i128::from(row.maintenance.0));
            let slope = needed.and_then(|needed| scaled(step).ok()?.checked_sub(needed));
            out.push(Piece {
                lo,
                hi,
                slope: slope.ok_or(MoneyError)?,
                constant: scaled(row.deduction.minus(position.cost)?)?,
            });
        }
        let Some(next) = hi.checked_add(1) else { break };
        lo = next;
    }
    Ok(out)
}

/// The whole prices from `lo` to `hi` at which the line is zero or above.
fn not_below_zero(
    lo: i64,
    hi: i64,
    slope: i128,
    constant: i128,
) -> Result<Option<(i64, i64)>, MoneyError> {
    if slope == 0 {
        return Ok((constant >= 0).then_some((lo, hi)));
    }
    let by = slope.checked_abs().ok_or(MoneyError)?;
    let down = constant.checked_div_euclid(by).ok_or(MoneyError)?;
    let (lo, hi) = if slope > 0 {
        // price >= -constant / slope, rounded up
        let from = down.checked_neg().ok_or(MoneyError)?;
        (i128::from(lo).max(from), i128::from(hi))
    } else {
        // price <= constant / -slope, rounded down
        (i128::from(lo), i128::from(hi).min(down))
    };
    let price = |value: i128| i64::try_from(value).map_err(|_| MoneyError);
    if lo > hi {
        return Ok(None);
    }
    Ok(Some((price(lo)?, price(hi)?)))
}

/// In units of a [`Rate`] of an amount.
fn scaled(amount: Money) -> Result<i128, MoneyError> {
    let unit = i128::from(Rate::ONE.0);
    amount.0.checked_mul(unit).ok_or(MoneyError)
}

fn sum(a: i128, b: i128) -> Result<i128, MoneyError> {
    a.checked_add(b).ok_or(MoneyError)
}
