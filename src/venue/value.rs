//! From the raw text of one JSON value to the number that it stands for, by the rules of its field.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic
)]

use std::borrow::Cow;

use super::decode_error::{DecodeError, FieldFault};
use crate::kernel::event::{Candle, Level};
use crate::kernel::types::{
    FixedError, Instrument, MarkPrice, Price, Qty, Rate, Scale, Time, parse_fixed,
};
use crate::venue::json::Scanner;

/// Times from here on are microseconds: as milliseconds they would lie beyond the year 5138.
const MICROSECONDS_FROM: i64 = 100_000_000_000_000;

/// The scales of one instrument.
#[derive(Debug, Clone, Copy)]
pub(in crate::venue) struct Scales {
    pub(in crate::venue) price: Scale,
    pub(in crate::venue) qty: Scale,
}

impl Scales {
    pub(in crate::venue) fn of(instrument: &Instrument) -> Self {
        Self {
            price: instrument.price_scale,
            qty: instrument.qty_scale,
        }
    }

    /// Digits of a price times a quantity.
    pub(in crate::venue) fn turnover(self) -> u8 {
        self.price.digits().saturating_add(self.qty.digits())
    }
}

type Result<T> = std::result::Result<T, DecodeError>;

/// Fills the slot of a key, once.
#[inline]
pub(in crate::venue) fn set<T>(slot: &mut Option<T>, key: &str, value: T) -> Result<()> {
    if slot.is_some() {
        return Err(DecodeError::Duplicate(key.to_owned()));
    }
    *slot = Some(value);
    Ok(())
}

pub(in crate::venue) fn text<'a>(field: &'static str, raw: &'a str) -> Result<Cow<'a, str>> {
    if !raw.starts_with('"') {
        return Err(DecodeError::field(field, FieldFault::Type("a string")));
    }
    Ok(Scanner::new(raw).string()?)
}

pub(in crate::venue) fn boolean(field: &'static str, raw: &str) -> Result<bool> {
    match raw {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(DecodeError::field(field, FieldFault::Type("true or false"))),
    }
}

/// A JSON integer without fraction or exponent.
pub(in crate::venue) fn integer(field: &'static str, raw: &str) -> Result<i64> {
    check_integer(field, raw)?;
    raw.parse()
        .map_err(|_| DecodeError::field(field, FieldFault::Range))
}

/// An id or a count: a JSON integer without sign, fraction or exponent.
pub(in crate::venue) fn id(field: &'static str, raw: &str) -> Result<u64> {
    check_integer(field, raw)?;
    raw.parse()
        .map_err(|_| DecodeError::field(field, FieldFault::Range))
}

fn check_integer(field: &'static str, raw: &str) -> Result<()> {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    if digits.is_empty() || raw == "-0" || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(DecodeError::field(field, FieldFault::Type("an integer")));
    }
    Ok(())
}

/// Milliseconds or, from [`MICROSECONDS_FROM`] on, microseconds since the epoch. Never zero.
pub(in crate::venue) fn time(field: &'static str, raw: &str) -> Result<Time> {
    let value = integer(field, raw)?;
    let unit = if value >= MICROSECONDS_FROM {
        crate::kernel::types::MICROSECOND
    } else {
        crate::kernel::types::MILLISECOND
    };
    if value <= 0 {
        return Err(DecodeError::field(field, FieldFault::Range));
    }
    value
        .checked_mul(unit)
        .map(Time)
        .ok_or_else(|| DecodeError::field(field, FieldFault::Range))
}

/// A positive price.
pub(in crate::venue) fn price(field: &'static str, raw: &str, scale: Scale) -> Result<Price> {
    price_of(field, &text(field, raw)?, scale)
}

fn price_of(field: &'static str, text: &str, scale: Scale) -> Result<Price> {
    match quick(text.as_bytes(), scale) {
        Some(value) if value > 0 => Ok(Price(value)),
        _ => Price::parse(text.as_bytes(), scale).map_err(|e| DecodeError::field(field, e)),
    }
}

/// A mark or index price: positive, digits finer than its scale are cut off. `None` for the empty
/// text and for zero, by which venues say that there is none.
pub(in crate::venue) fn mark_price(field: &'static str, raw: &str) -> Result<Option<MarkPrice>> {
    let text = text(field, raw)?;
    if text.is_empty() {
        return Ok(None);
    }
    let value = not_negative(field, truncated(&text, MarkPrice::SCALE))?;
    let value = i64::try_from(value).map_err(|_| DecodeError::field(field, FixedError::Range))?;
    Ok((value > 0).then_some(MarkPrice(value)))
}

/// A rate, which may be negative; digits finer than its scale are cut off. `None` for the empty text.
pub(in crate::venue) fn rate(field: &'static str, raw: &str) -> Result<Option<Rate>> {
    let text = text(field, raw)?;
    if text.is_empty() {
        return Ok(None);
    }
    let value = truncated(&text, Rate::SCALE).map_err(|e| DecodeError::field(field, e))?;
    let value = i64::try_from(value).map_err(|_| DecodeError::field(field, FixedError::Range))?;
    Ok(Some(Rate(value)))
}

/// A quantity, zero allowed.
pub(in crate::venue) fn qty(field: &'static str, raw: &str, scale: Scale) -> Result<Qty> {
    qty_of(field, &text(field, raw)?, scale)
}

fn qty_of(field: &'static str, text: &str, scale: Scale) -> Result<Qty> {
    match quick(text.as_bytes(), scale) {
        Some(value) => Ok(Qty(value)),
        None => Qty::parse(text.as_bytes(), scale).map_err(|e| DecodeError::field(field, e)),
    }
}

/// A bound on quantities, which venues compute and state finer than the lot: the rest is cut off.
pub(in crate::venue) fn qty_bound(field: &'static str, text: &str, scale: Scale) -> Result<Qty> {
    let value = not_negative(field, truncated(text, scale.digits()))?;
    let value = i64::try_from(value).map_err(|_| DecodeError::field(field, FixedError::Range))?;
    Ok(Qty(value))
}

/// A traded quantity: zero is not allowed.
pub(in crate::venue) fn traded_qty(field: &'static str, raw: &str, scale: Scale) -> Result<Qty> {
    let qty = qty(field, raw, scale)?;
    if qty == Qty::ZERO {
        return Err(DecodeError::field(field, FixedError::NotPositive));
    }
    Ok(qty)
}

/// A base volume: exact, not negative.
pub(in crate::venue) fn volume(field: &'static str, raw: &str, scale: Scale) -> Result<i128> {
    let text = text(field, raw)?;
    not_negative(field, parse_fixed(text.as_bytes(), scale.digits()))
}

/// A volume as a statistic: not negative, digits finer than `digits` are cut off.
pub(in crate::venue) fn truncated_volume(
    field: &'static str,
    raw: &str,
    digits: u8,
) -> Result<i128> {
    let text = text(field, raw)?;
    not_negative(field, truncated(&text, digits))
}

/// A decimal whose digits finer than `digits` are cut off.
pub(in crate::venue) fn truncated(text: &str, digits: u8) -> std::result::Result<i128, FixedError> {
    let Some((whole, fraction)) = text.split_once('.') else {
        return parse_fixed(text.as_bytes(), digits);
    };
    let (kept, cut) = fraction
        .split_at_checked(usize::from(digits))
        .unwrap_or((fraction, ""));
    if fraction.is_empty() || !cut.bytes().all(|c| c.is_ascii_digit()) {
        return Err(FixedError::Syntax);
    }
    if kept.is_empty() {
        return parse_fixed(whole.as_bytes(), digits);
    }
    parse_fixed(format!("{whole}.{kept}").as_bytes(), digits)
}

fn not_negative(field: &'static str, value: std::result::Result<i128, FixedError>) -> Result<i128> {
    match value {
        Ok(value) if value >= 0 => Ok(value),
        Ok(_) => Err(DecodeError::field(field, FixedError::NotPositive)),
        Err(e) => Err(DecodeError::field(field, e)),
    }
}

/// A candle's high and low enclose its other prices.
pub(in crate::venue) fn check_range(
    candle: &Candle,
    high: &'static str,
    low: &'static str,
) -> Result<()> {
    if candle.high < candle.open.max(candle.close) {
        let why = FieldFault::Contradiction("the high is below another price of the candle");
        return Err(DecodeError::field(high, why));
    }
    if candle.low > candle.open.min(candle.close) {
        let why = FieldFault::Contradiction("the low is above another price of the candle");
        return Err(DecodeError::field(low, why));
    }
    Ok(())
}

/// Reads `[["price","quantity"],…]` at the scanner. Further elements of a level are ignored.
pub(in crate::venue) fn levels(
    field: &'static str,
    scanner: &mut Scanner<'_>,
    scales: Scales,
) -> Result<Vec<Level>> {
    let mut levels = Vec::new();
    let is = |scanner: &mut Scanner<'_>, first, what| {
        if scanner.peek() == Some(first) {
            Ok(())
        } else {
            Err(DecodeError::field(field, FieldFault::Type(what)))
        }
    };
    is(scanner, b'[', "an array")?;
    scanner.array(|_, scanner| {
        let (mut price, mut qty) = (None, None);
        is(scanner, b'[', "an array of pairs")?;
        scanner.array(|index, scanner| {
            if index > 1 {
                return Ok(scanner.skip()?);
            }
            is(scanner, b'"', "an array of pairs of strings")?;
            let text = scanner.string()?;
            if index == 0 {
                price = Some(price_of(field, &text, scales.price)?);
            } else {
                qty = Some(qty_of(field, &text, scales.qty)?);
            }
            Ok::<(), DecodeError>(())
        })?;
        let (Some(price), Some(qty)) = (price, qty) else {
            return Err(DecodeError::field(
                field,
                FieldFault::Type("an array of pairs"),
            ));
        };
        levels.push(Level { price, qty });
        Ok(())
    })?;
    Ok(levels)
}

/// What nearly every number of a frame is: unsigned, at most 18 digits in all. `None` for anything
/// else; the caller then asks the general parser, which also knows what is wrong.
#[inline]
fn quick(text: &[u8], scale: Scale) -> Option<i64> {
    let mut value: i64 = 0;
    let mut missing: Option<u8> = None;
    if text.len() > 18 || !text.first()?.is_ascii_digit() || !text.last()?.is_ascii_digit() {
        return None;
    }
    for c in text {
        match (c, missing) {
            (b'0'..=b'9', None | Some(1..)) => {
                value = value
                    .wrapping_mul(10)
                    .wrapping_add(i64::from(c.wrapping_sub(b'0')));
                missing = missing.map(|m| m.wrapping_sub(1));
            }
            (b'0', Some(0)) => {}
            (b'.', None) => missing = Some(scale.digits()),
            _ => return None,
        }
    }
    let unit = 10_i64.checked_pow(u32::from(missing.unwrap_or(scale.digits())))?;
    value.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_parser_agrees_with_the_general_one_or_passes() {
        let texts = [
            "0",
            "1",
            "00.10",
            "61837.64000000",
            "0.00011000",
            "0.001",
            "7",
            "123456789012345678",
            "1.",
            ".5",
            "",
            "-1",
            "1e3",
            "1.2.3",
            "1..2",
            "999999999999999999",
            "0.000000000000000",
            "1.00000000000000001",
            " 1",
            "1 ",
            "12a",
            "99999999999.99999999",
        ];
        for text in texts {
            for digits in 0..=8 {
                let scale = Scale::new(digits).expect("scale");
                let general = Qty::parse(text.as_bytes(), scale);
                if let Some(value) = quick(text.as_bytes(), scale) {
                    assert_eq!(general, Ok(Qty(value)), "{text} at {digits}");
                }
            }
        }
        assert_eq!(
            quick(b"61837.64000000", Scale::new(2).expect("scale")),
            Some(6_183_764)
        );
    }

    #[test]
    fn times_are_told_apart_by_magnitude() {
        assert_eq!(
            time("E", "1723161255208"),
            Ok(Time(1_723_161_255_208_000_000))
        );
        assert_eq!(
            time("E", "1723161255208123"),
            Ok(Time(1_723_161_255_208_123_000))
        );
        for bad in [
            "0",
            "-1",
            "99999999999999",
            "9223372036854775807",
            "1.0",
            "1e3",
            "\"1\"",
            "-",
        ] {
            assert!(time("E", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn statistics_are_cut_and_still_checked() {
        let cut = |text: &str, digits| truncated_volume("q", &format!("\"{text}\""), digits);
        assert_eq!(cut("428264.1699", 2), Ok(42_826_416));
        assert_eq!(cut("5.99", 0), Ok(5));
        assert_eq!(cut("5", 2), Ok(500));
        for bad in ["-1", "1.", "1.2x", "x", "", "1.23é"] {
            assert!(cut(bad, 1).is_err(), "{bad}");
        }
    }
}
