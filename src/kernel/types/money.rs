//! Amounts of an asset: exact i128 at one scale, [`Money::SCALE`], for every instrument.
//!
//! A price (≤ 8 digits) times a quantity (≤ 8 digits) has at most 16 digits, so a notional is exact.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{FixedError, Price, Qty, Rate, Scale, format_fixed, parse_fixed};

/// An amount of an asset, at scale [`Money::SCALE`]. Signed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Money(pub i128);

/// One, as a [`Rate`].
const RATE_UNIT: u64 = 10_u64.pow(Rate::SCALE as u32);

/// An amount left the range of an i128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("amount out of range")]
pub struct MoneyError;

impl Money {
    /// Decimal digits of an amount.
    pub const SCALE: u8 = 16;
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many whole units; any i64 fits.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "an i64 times 10^16 fits an i128"
    )]
    pub const fn whole(units: i64) -> Self {
        Self(units as i128 * 10_i128.pow(Self::SCALE as u32))
    }

    /// Parses a decimal amount, sign allowed.
    pub fn parse(text: &str) -> Result<Self, FixedError> {
        parse_fixed(text.as_bytes(), Self::SCALE).map(Self)
    }

    /// `price * quantity`, exact.
    pub fn notional(
        price: Price,
        price_scale: Scale,
        qty: Qty,
        qty_scale: Scale,
    ) -> Result<Self, MoneyError> {
        let digits = u32::from(Self::SCALE)
            .checked_sub(u32::from(price_scale.digits()))
            .and_then(|d| d.checked_sub(u32::from(qty_scale.digits())))
            .ok_or(MoneyError)?;
        let unit = 10_u64.checked_pow(digits).ok_or(MoneyError)?;
        // Two numbers of 64 bits: their product always fits.
        i128::from(price.0)
            .wrapping_mul(i128::from(qty.0))
            .checked_mul(i128::from(unit))
            .map(Self)
            .ok_or(MoneyError)
    }

    /// `self * rate`, rounded half to even at [`Money::SCALE`].
    pub fn at_rate(self, rate: Rate) -> Result<Self, MoneyError> {
        let rate = i128::from(rate.0);
        if let Some(product) = self.0.checked_mul(rate) {
            return Ok(Self(half_even_at_rate(product)));
        }
        // Split so that the product cannot leave the range for any amount a venue knows.
        let unit = i128::from(RATE_UNIT);
        let whole = self.0.div_euclid(unit);
        let rest = self.0.rem_euclid(unit);
        let whole = whole.checked_mul(rate).ok_or(MoneyError)?;
        add_half_even(whole, rest.checked_mul(rate).ok_or(MoneyError)?, unit).map(Self)
    }

    /// The share `part / whole` of this amount, rounded half to even; `whole` must not be zero.
    pub fn share(self, part: Qty, whole: Qty) -> Result<Self, MoneyError> {
        let (part, whole) = (i128::from(part.0), i128::from(whole.0));
        if whole == 0 {
            return Err(MoneyError);
        }
        let quotient = self.0.div_euclid(whole);
        let rest = self.0.rem_euclid(whole);
        let quotient = quotient.checked_mul(part).ok_or(MoneyError)?;
        add_half_even(quotient, rest.checked_mul(part).ok_or(MoneyError)?, whole).map(Self)
    }

    /// The share `part / whole` of this amount where both are amounts themselves, rounded half to even; all of it
    /// if there is no whole. An error where this amount times the part comes to some 10^10 units or more.
    pub fn part(self, part: Self, whole: Self) -> Result<Self, MoneyError> {
        if whole.0 == 0 || part == whole {
            return Ok(self);
        }
        // Sixteen digits times sixteen do not fit: the ratio is taken at twelve.
        let coarse = |m: Self| m.0.checked_div(10_000).ok_or(MoneyError);
        let (part, whole) = (coarse(part)?, coarse(whole)?);
        let scaled = self.0.checked_mul(part).ok_or(MoneyError)?;
        if whole <= 0 {
            return Ok(Self::ZERO);
        }
        add_half_even(0, scaled, whole).map(Self)
    }

    /// Checked sum.
    #[inline]
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_add(other.0).map(Self).ok_or(MoneyError)
    }

    /// Checked difference.
    #[inline]
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_sub(other.0).map(Self).ok_or(MoneyError)
    }

    /// Checked negation.
    #[inline]
    pub fn negated(self) -> Result<Self, MoneyError> {
        self.0.checked_neg().map(Self).ok_or(MoneyError)
    }

    /// The amount without its sign.
    pub fn magnitude(self) -> Result<Self, MoneyError> {
        self.0.checked_abs().map(Self).ok_or(MoneyError)
    }

    /// For statistics and display alone.
    #[expect(
        clippy::float_arithmetic,
        reason = "statistics are f64; money never passes here"
    )]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1e16
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        format_fixed(self.0, Self::SCALE).fmt(f)
    }
}

/// `value / RATE_UNIT`, rounded half to even. The common division of amounts: without the general one of 128
/// bits, which takes longer than all else that a check of an order does.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "the halves of a number are taken; a quotient is below what was divided"
)]
fn half_even_at_rate(value: i128) -> i128 {
    let size = value.unsigned_abs();
    // Schoolbook division in digits of 64, 32 and 32 bits: each remainder is below 2^27, so that nothing overflows.
    let low = size as u64;
    let high = size.wrapping_shr(64) as u64;
    let (first, rest) = (high / RATE_UNIT, high % RATE_UNIT);
    let middle = rest << 32 | low >> 32;
    let (second, rest) = (middle / RATE_UNIT, middle % RATE_UNIT);
    let last = rest << 32 | low & 0xFFFF_FFFF;
    let (third, rest) = (last / RATE_UNIT, last % RATE_UNIT);
    let down = u128::from(first) << 64 | u128::from(second << 32 | third);
    let twice = rest.wrapping_mul(2);
    let up = twice > RATE_UNIT || (twice == RATE_UNIT && third & 1 == 1);
    let size = down.wrapping_add(u128::from(up)) as i128;
    if value < 0 { size.wrapping_neg() } else { size }
}

/// `base + value / by` for positive `by`, the sum rounded half to even.
fn add_half_even(base: i128, value: i128, by: i128) -> Result<i128, MoneyError> {
    let down = value.checked_div_euclid(by).ok_or(MoneyError)?;
    let down = base.checked_add(down).ok_or(MoneyError)?;
    let rest = value.checked_rem_euclid(by).ok_or(MoneyError)?;
    let twice = rest.checked_mul(2).ok_or(MoneyError)?;
    let up = match twice.cmp(&by) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => down & 1 == 1,
        std::cmp::Ordering::Greater => true,
    };
    if up {
        down.checked_add(1).ok_or(MoneyError)
    } else {
        Ok(down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notional_is_exact() {
        let (p, q) = (Scale::new(2).expect("scale"), Scale::new(5).expect("scale"));
        let got = Money::notional(Price(6_183_764), p, Qty(11), q).expect("fits");
        assert_eq!(got.to_string(), "6.8021404");
    }

    #[test]
    fn rounding_is_half_to_even_on_both_sides_of_zero() {
        for (value, by, want) in [
            (5, 2, 2),
            (7, 2, 4),
            (-5, 2, -2),
            (-7, 2, -4),
            (9, 4, 2),
            (-9, 4, -2),
        ] {
            assert_eq!(add_half_even(0, value, by), Ok(want), "{value}/{by}");
            assert_eq!(
                add_half_even(3, value - 3 * by, by),
                Ok(want),
                "{value}/{by}"
            );
        }
        let fee = Money::parse("100.0000000000000005").expect("amount");
        assert_eq!(
            fee.at_rate(Rate::parse("0.001").expect("rate"))
                .expect("fits")
                .to_string(),
            "0.1"
        );
    }

    /// Both split what they multiply; a tie is decided by the sum, not by a part of it.
    #[test]
    fn a_tie_goes_to_even_whatever_lies_above_it() {
        for (halves, even) in [(1, 0), (3, 2), (5, 2), (7, 4), (9, 4), (10, 5)] {
            for (halves, even) in [(halves, even), (-halves, -even)] {
                let amount = Money(halves * 50_000_000);
                assert_eq!(amount.at_rate(Rate(1)), Ok(Money(even)), "{halves}");
                let half = Money(halves).share(Qty(1), Qty(2));
                assert_eq!(half, Ok(Money(even)), "{halves}");
            }
        }
    }

    proptest::proptest! {
        /// The short division is the long one.
        #[test]
        fn at_a_rate_is_a_division(high: i64, low: u64, rate: i32, halves: i8) {
            let unit = i128::from(RATE_UNIT);
            let half = i128::from(halves).wrapping_mul(unit / 2);
            for value in [i128::from(high) << 30 | i128::from(low), i128::from(high), half] {
                let product = value.wrapping_mul(i128::from(rate));
                let long = add_half_even(0, product, unit);
                proptest::prop_assert_eq!(Money(value).at_rate(Rate(rate.into())), long.map(Money));
                let long = add_half_even(0, value, unit);
                proptest::prop_assert_eq!(Ok(half_even_at_rate(value)), long);
            }
        }
    }

    #[test]
    fn a_share_and_the_remainder_make_the_whole() {
        let cost = Money(1_000_000_007);
        let part = cost.share(Qty(1), Qty(3)).expect("fits");
        assert_eq!(part.plus(cost.minus(part).expect("fits")), Ok(cost));
        assert_eq!(cost.share(Qty(3), Qty(3)), Ok(cost));
        assert_eq!(cost.share(Qty(1), Qty(0)), Err(MoneyError));
    }
}
