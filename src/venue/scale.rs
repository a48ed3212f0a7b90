//! How many decimal digits an instrument's prices and quantities get.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic
)]

use super::decode_error::{DecodeError, FieldFault};
use super::value;
use crate::kernel::types::Scale;

/// The scale of an instrument's prices or quantities.
///
/// At least the digits of `grid` (tick or lot, and the smallest value), and beyond that as many as
/// leave room for a thousand times the largest value (a level adds up many orders), 8 at most.
/// The grid alone is not enough: orders from before it was made coarser keep resting in the book
/// with more digits (seen in BTCUSDT), and a finer grid would change the scale of everything kept.
pub(in crate::venue) fn scale(
    field: &'static str,
    grid: [&str; 2],
    largest: Option<&str>,
) -> Result<Scale, DecodeError> {
    let digits_of = |text: &str| {
        let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
        fraction.trim_end_matches('0').len()
    };
    let is_zero = |text: &str| text.bytes().all(|c| matches!(c, b'0' | b'.'));
    let needed = grid.into_iter().map(digits_of).max().unwrap_or(0);
    let needed = u8::try_from(needed)
        .ok()
        .and_then(Scale::new)
        .ok_or_else(|| DecodeError::field(field, FieldFault::Scale))?;
    // A filter of zero is switched off: then only the venue's own precision, 8, is known.
    let Some(largest) = largest.filter(|text| !is_zero(text)) else {
        let off = grid.into_iter().all(is_zero);
        return Ok(if off { finest() } else { needed });
    };
    let fits = |scale: &Scale| {
        let largest = value::truncated(largest, scale.digits());
        largest.is_ok_and(|v| {
            v.checked_mul(ROOM)
                .is_some_and(|v| v <= i128::from(i64::MAX))
        })
    };
    let finer = (0..=Scale::MAX).rev().filter_map(Scale::new).find(fits);
    Ok(finer.map_or(needed, |finer| finer.max(needed)))
}

/// How much larger than the largest order a level may be.
const ROOM: i128 = 1_000;

fn finest() -> Scale {
    Scale::new(Scale::MAX).unwrap_or_default()
}
