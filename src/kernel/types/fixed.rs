//! Fixed-point decimals: integers at a scale (number of decimal digits) that the instrument fixes.
//!
//! Decimal text is parsed straight into the integer. Trailing zeros beyond the scale are accepted,
//! any other digit there is refused, and what does not fit is an error: nothing wraps or rounds.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Number of decimal digits behind the point, 0 to [`Scale::MAX`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Scale(u8);

impl Scale {
    /// The finest scale of a price or quantity. Two of them make the scale of [`super::Money`].
    pub const MAX: u8 = 8;

    /// A scale of `digits` decimal digits; `None` above [`Scale::MAX`].
    pub const fn new(digits: u8) -> Option<Self> {
        if digits <= Self::MAX {
            Some(Self(digits))
        } else {
            None
        }
    }

    /// The number of decimal digits.
    pub const fn digits(self) -> u8 {
        self.0
    }

    /// Ten to the power of the scale: the integer that stands for one.
    #[inline]
    pub const fn unit(self) -> i64 {
        10_i64.pow(self.0 as u32)
    }
}

/// A price in the quote asset for one unit of the base asset, at the instrument's price scale.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Price(pub i64);

/// A quantity of the base asset (or contracts), at the instrument's quantity scale.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Qty(pub i64);

impl Qty {
    /// No quantity: in a book update, the removal of the level.
    pub const ZERO: Self = Self(0);

    /// `self - other`, `None` below zero or on overflow.
    #[inline]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).filter(|q| *q >= 0).map(Self)
    }

    /// `self + other`, `None` on overflow.
    #[inline]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

/// A fee or funding rate at scale 8 (`100_000` is 0.1 %).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Rate(pub i64);

impl Rate {
    /// Decimal digits of a rate.
    pub const SCALE: u8 = 8;
    /// 1.0.
    pub const ONE: Self = Self(100_000_000);

    /// Parses a rate such as `0.001`.
    pub fn parse(text: &str) -> Result<Self, FixedError> {
        parse_fixed(text.as_bytes(), Self::SCALE)
            .and_then(narrow)
            .map(Self)
    }
}

/// A mark, index or settlement price at scale 8: finer than any tick, because it is an average.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct MarkPrice(pub i64);

impl MarkPrice {
    /// Decimal digits of a mark price.
    pub const SCALE: u8 = 8;

    /// The nearest price at an instrument's scale, half to even; `None` beyond its range.
    pub fn to_price(self, scale: Scale) -> Option<Price> {
        let finer = u32::from(Self::SCALE).checked_sub(u32::from(scale.0))?;
        let unit = 10_i64.checked_pow(finer)?;
        let (down, rest) = (
            self.0.checked_div_euclid(unit)?,
            self.0.checked_rem_euclid(unit)?,
        );
        let half = rest.cmp(&unit.checked_sub(rest)?);
        let up = half.is_gt() || (half.is_eq() && down & 1 == 1);
        down.checked_add(i64::from(up)).map(Price)
    }
}

impl From<MarkPrice> for Decimal {
    fn from(price: MarkPrice) -> Self {
        format_fixed(i128::from(price.0), MarkPrice::SCALE)
    }
}

/// Why decimal text is not a number at the wanted scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FixedError {
    /// Not `[-]digits[.digits]`.
    #[error("not a decimal number")]
    Syntax,
    /// A non-zero digit finer than the scale.
    #[error("more than {0} decimal digits")]
    TooFine(u8),
    /// Does not fit the integer behind it.
    #[error("number out of range")]
    Range,
    /// A sign or zero where the field cannot have one.
    #[error("must be positive")]
    NotPositive,
}

impl Price {
    /// Parses a positive price at `scale`.
    pub fn parse(text: &[u8], scale: Scale) -> Result<Self, FixedError> {
        let value = narrow(parse_fixed(text, scale.0)?)?;
        if value > 0 {
            Ok(Self(value))
        } else {
            Err(FixedError::NotPositive)
        }
    }

    /// The exact decimal text, without trailing zeros (`61602.01`).
    pub fn display(self, scale: Scale) -> Decimal {
        Decimal {
            value: i128::from(self.0),
            scale: scale.0,
        }
    }

    /// For indicators and statistics alone.
    #[expect(
        clippy::float_arithmetic,
        reason = "indicators are f64; money never passes here"
    )]
    #[inline]
    pub fn to_f64(self, scale: Scale) -> f64 {
        self.0 as f64 / scale.unit() as f64
    }
}

impl Qty {
    /// Parses a quantity at `scale`; zero is allowed (a removed level), a sign is not.
    pub fn parse(text: &[u8], scale: Scale) -> Result<Self, FixedError> {
        let value = narrow(parse_fixed(text, scale.0)?)?;
        if value >= 0 {
            Ok(Self(value))
        } else {
            Err(FixedError::NotPositive)
        }
    }

    /// The exact decimal text, without trailing zeros.
    pub fn display(self, scale: Scale) -> Decimal {
        Decimal {
            value: i128::from(self.0),
            scale: scale.0,
        }
    }

    /// For indicators and statistics alone.
    #[expect(
        clippy::float_arithmetic,
        reason = "indicators are f64; money never passes here"
    )]
    #[inline]
    pub fn to_f64(self, scale: Scale) -> f64 {
        self.0 as f64 / scale.unit() as f64
    }
}

/// A fixed-point number on its way to text.
#[derive(Debug, Clone, Copy)]
pub struct Decimal {
    value: i128,
    scale: u8,
}

/// `value / 10^scale` as exact decimal text without trailing zeros and without exponent.
pub fn format_fixed(value: i128, scale: u8) -> Decimal {
    Decimal { value, scale }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 39 digits of an i128, the point, a sign, and room for leading zeros up to any u8 scale.
        let mut digits = self.value.unsigned_abs();
        let mut scale = self.scale;
        while scale > 0 && digits.is_multiple_of(10) {
            digits /= 10;
            scale = scale.saturating_sub(1);
        }
        if self.value < 0 {
            f.write_str("-")?;
        }
        let unit = 10_u128.checked_pow(u32::from(scale)).ok_or(fmt::Error)?;
        let whole = digits.checked_div(unit).ok_or(fmt::Error)?;
        if scale == 0 {
            return write!(f, "{whole}");
        }
        let fraction = digits.checked_rem(unit).ok_or(fmt::Error)?;
        write!(f, "{whole}.{fraction:0width$}", width = usize::from(scale))
    }
}

/// Parses `[-]digits[.digits]` into `value * 10^scale`.
///
/// No exponent, no `+`, no blank, no bare point: this is what both venues send.
pub fn parse_fixed(text: &[u8], scale: u8) -> Result<i128, FixedError> {
    let (negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let point = text.iter().position(|c| *c == b'.');
    let (whole, fraction) = match point {
        Some(at) => {
            let (whole, rest) = text.split_at(at);
            match rest.split_first() {
                Some((_, fraction)) if !fraction.is_empty() => (whole, fraction),
                _ => return Err(FixedError::Syntax),
            }
        }
        None => (text, &[][..]),
    };
    if whole.is_empty() {
        return Err(FixedError::Syntax);
    }
    let mut value: i128 = 0;
    for c in whole {
        value = push_digit(value, *c)?;
    }
    let mut missing = scale;
    let mut rest = fraction.iter();
    while missing > 0 {
        let Some(c) = rest.next() else { break };
        value = push_digit(value, *c)?;
        missing = missing.saturating_sub(1);
    }
    for c in rest {
        match c {
            b'0' => {}
            b'1'..=b'9' => return Err(FixedError::TooFine(scale)),
            _ => return Err(FixedError::Syntax),
        }
    }
    let unit = 10_i128
        .checked_pow(u32::from(missing))
        .ok_or(FixedError::Range)?;
    let value = value.checked_mul(unit).ok_or(FixedError::Range)?;
    if negative {
        value.checked_neg().ok_or(FixedError::Range)
    } else {
        Ok(value)
    }
}

fn push_digit(value: i128, c: u8) -> Result<i128, FixedError> {
    if !c.is_ascii_digit() {
        return Err(FixedError::Syntax);
    }
    value
        .checked_mul(10)
        .and_then(|v| v.checked_add(i128::from(c.saturating_sub(b'0'))))
        .ok_or(FixedError::Range)
}

fn narrow(value: i128) -> Result<i64, FixedError> {
    i64::try_from(value).map_err(|_| FixedError::Range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, scale: u8) -> Result<i128, FixedError> {
        parse_fixed(text.as_bytes(), scale)
    }

    #[test]
    fn exact_text_in_exact_integer_out() {
        assert_eq!(parse("61837.64000000", 2), Ok(6_183_764));
        assert_eq!(parse("0.00011000", 5), Ok(11));
        assert_eq!(parse("-0.00003629", 8), Ok(-3629));
        assert_eq!(parse("7", 3), Ok(7000));
        assert_eq!(parse("00.10", 1), Ok(1));
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(parse("0.001", 2), Err(FixedError::TooFine(2)));
        for text in [
            "", "-", ".", "1.", ".5", "+1", "1e3", " 1", "1 ", "1.2.3", "0x1", "NaN", "1,0",
        ] {
            assert_eq!(parse(text, 8), Err(FixedError::Syntax), "{text}");
        }
        assert_eq!(parse(&"9".repeat(50), 0), Err(FixedError::Range));
        let scale = Scale::new(8).expect("in range");
        assert_eq!(Price::parse(b"0", scale), Err(FixedError::NotPositive));
        assert_eq!(Qty::parse(b"-1", scale), Err(FixedError::NotPositive));
        assert_eq!(Qty::parse(b"0.0", scale), Ok(Qty::ZERO));
        assert_eq!(
            Price::parse(b"99999999999999999999", scale),
            Err(FixedError::Range)
        );
    }

    #[test]
    fn text_goes_out_as_it_came_in() {
        for (text, scale) in [
            ("61602.01", 2),
            ("0.00001", 5),
            ("-12.5", 4),
            ("0", 8),
            ("100", 0),
        ] {
            let value = parse(text, scale).expect("valid");
            assert_eq!(format_fixed(value, scale).to_string(), text);
        }
        assert_eq!(format_fixed(i128::MIN, 16).to_string().len(), 41);
    }

    proptest::proptest! {
        #[test]
        fn round_trip(value in proptest::num::i64::ANY, scale in 0_u8..=16) {
            let text = format_fixed(i128::from(value), scale).to_string();
            proptest::prop_assert_eq!(parse(&text, scale), Ok(i128::from(value)));
        }
    }
}
