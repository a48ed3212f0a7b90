//! How a venue writes numbers and lists: decimals with a fixed count of digits, in strings.
//!
//! Symbols are letters and digits only (checked where instruments are made), so nothing here needs
//! escaping.

use std::fmt;

use super::market::MarketKind;
use crate::kernel::event::{Level, Trade};
use crate::kernel::types::{Instrument, MarkPrice, Money, Price, Qty, Rate};

/// Most digits behind the point that any venue here writes.
const DIGITS_MAX: u8 = 8;

/// A number with a fixed count of digits behind the point; finer ones (turnover) are cut off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    value: i128,
    digits: u8,
}

impl Number {
    /// `value / 10^scale`, shown with `digits` digits.
    pub(super) fn new(value: i128, scale: u8, digits: u8) -> Self {
        let value = if scale <= digits {
            value.saturating_mul(10_i128.pow(u32::from(digits - scale)))
        } else {
            value / 10_i128.pow(u32::from(scale - digits).min(38))
        };
        Self { value, digits }
    }

    /// With eight digits.
    pub(super) fn eight(value: i128, scale: u8) -> Self {
        Self::new(value, scale, DIGITS_MAX)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.value < 0 { "-" } else { "" };
        let digits = self.value.unsigned_abs();
        if self.digits == 0 {
            return write!(f, "{sign}{digits}");
        }
        let unit = 10_u128.pow(u32::from(self.digits));
        let width = usize::from(self.digits);
        write!(f, "{sign}{}.{:0width$}", digits / unit, digits % unit)
    }
}

/// The scales of an instrument and the digits that its venue shows, as a writer of its numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scales {
    price: u8,
    qty: u8,
    /// Digits shown of a price, a quantity, a turnover.
    shown: (u8, u8, u8),
}

impl Scales {
    /// Of this instrument: Binance spot writes eight digits everywhere, the others as many as the
    /// instrument has.
    pub(super) fn of(kind: MarketKind, instrument: &Instrument) -> Self {
        let (price, qty) = (
            instrument.price_scale.digits(),
            instrument.qty_scale.digits(),
        );
        let shown = match kind {
            MarketKind::Spot => (DIGITS_MAX, DIGITS_MAX, DIGITS_MAX),
            _ => (price, qty, price.saturating_add(qty).min(DIGITS_MAX)),
        };
        Self { price, qty, shown }
    }

    /// A price.
    pub(super) fn price(self, price: Price) -> Number {
        self.price_i128(i128::from(price.0))
    }

    /// A difference of prices or a mean price.
    pub(super) fn price_i128(self, price: i128) -> Number {
        Number::new(price, self.price, self.shown.0)
    }

    /// A mark price with so many digits as a price.
    pub(super) fn mark(self, price: MarkPrice) -> Number {
        Number::new(i128::from(price.0), MarkPrice::SCALE, self.shown.0)
    }

    /// A quantity.
    pub(super) fn qty(self, qty: Qty) -> Number {
        self.volume(i128::from(qty.0))
    }

    /// A base volume.
    pub(super) fn volume(self, volume: i128) -> Number {
        Number::new(volume, self.qty, self.shown.1)
    }

    /// A quote volume.
    pub(super) fn quote(self, volume: i128) -> Number {
        Number::new(volume, self.price.saturating_add(self.qty), self.shown.2)
    }

    /// What a trade was worth.
    pub(super) fn value(self, trade: &Trade) -> Number {
        self.quote(i128::from(trade.price.0).saturating_mul(i128::from(trade.qty.0)))
    }

    /// An amount of money with as many digits as a price.
    pub(super) fn money(self, money: Money) -> Number {
        Number::new(money.0, Money::SCALE, self.shown.0)
    }

    /// What a volume at this price is worth.
    pub(super) fn worth(self, volume: i128, price: MarkPrice) -> Number {
        let scale = self.qty.saturating_add(MarkPrice::SCALE);
        Number::new(volume.saturating_mul(i128::from(price.0)), scale, 2)
    }
}

/// A rate with eight digits.
pub(super) fn rate(rate: Rate) -> Number {
    Number::new(i128::from(rate.0), Rate::SCALE, DIGITS_MAX)
}

/// Appends formatted text; writing into a `String` cannot fail.
macro_rules! put {
    ($to:expr, $($arg:tt)*) => {
        {
            use std::fmt::Write as _;
            let written = write!($to, $($arg)*);
            assert!(written.is_ok(), "a String takes everything");
        }
    };
}
pub(super) use put;

/// `[["price","qty"],…]`.
pub(super) fn levels(to: &mut String, scales: Scales, levels: impl IntoIterator<Item = Level>) {
    list(to, levels, |to, level| {
        let (price, qty) = (scales.price(level.price), scales.qty(level.qty));
        put!(to, "[\"{price}\",\"{qty}\"]");
    });
}

/// `[…,…]`.
pub(super) fn list<T>(
    to: &mut String,
    items: impl IntoIterator<Item = T>,
    mut show: impl FnMut(&mut String, T),
) {
    to.push('[');
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            to.push(',');
        }
        show(to, item);
    }
    to.push(']');
}

/// A list alone.
pub(super) fn array<T>(
    items: impl IntoIterator<Item = T>,
    show: impl FnMut(&mut String, T),
) -> String {
    let mut body = String::new();
    list(&mut body, items, show);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_at_every_scale() {
        for (value, scale, digits, text) in [
            (6_168_599, 2, 8, "61685.99000000"),
            (1, 8, 8, "0.00000001"),
            (7, 0, 8, "7.00000000"),
            (0, 5, 8, "0.00000000"),
            (-25, 1, 8, "-2.50000000"),
            (123_456_789_012, 10, 8, "12.34567890"),
            (123, 2, 0, "1"),
            (-7, 0, 0, "-7"),
            (86_000, 1, 2, "8600.00"),
        ] {
            assert_eq!(Number::new(value, scale, digits).to_string(), text);
        }
    }
}
