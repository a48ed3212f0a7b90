//! A cursor for text of one exactly known form: literals, decimal numbers eight digits at a time, order
//! book levels.
//!
//! It knows no errors: what is not of the expected form is `None`, and the caller asks the general
//! reader (`venue/json.rs`), which also knows what is wrong. So it must never accept what that one
//! refuses, nor read it differently; everything accepted here is printable ASCII.
//!
//! Where a number ends is known only once it is read, and everything behind it waits for that. So lists
//! of numbers guess that each is as long as the one before: a right guess costs a comparison, and lets
//! the processor read several at once.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic
)]
#![expect(
    clippy::inline_always,
    reason = "a position that passes through memory between two fields doubles the time"
)]

use crate::kernel::event::Level;
use crate::kernel::types::{MICROSECOND, MILLISECOND, Price, Qty, Scale, Time};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
const POWERS: [u64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];
/// Times from here on are microseconds (see `value::time`).
const MICROSECONDS_FROM: u64 = 100_000_000_000_000;
/// Bytes of the shortest levels that are common: `["58710.2","0.014"],`.
const LEVEL_BYTES: usize = 20;
/// Levels that are allocated for before they are seen, at most.
const LEVELS_AHEAD: usize = 256;

/// A position in a text.
#[derive(Debug, Clone, Copy)]
pub(in crate::venue) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

/// How many digits a number has before and behind its point. Any value is a guess that may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::venue) struct Shape {
    pub(in crate::venue) whole: u8,
    pub(in crate::venue) fraction: u8,
}

impl Shape {
    /// No number is of this shape.
    pub(in crate::venue) const NONE: Self = Self {
        whole: 0,
        fraction: 0,
    };
}

impl<'a> Cursor<'a> {
    /// At the start of `text`.
    pub(in crate::venue) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Passes over `literal` if it is next.
    #[inline(always)]
    pub(in crate::venue) fn eat<const N: usize>(&mut self, literal: &[u8; N]) -> Option<()> {
        if self.text.get(self.at..)?.first_chunk::<N>()? != literal {
            return None;
        }
        self.at = self.at.wrapping_add(N);
        Some(())
    }

    /// Whether the end of the text is reached.
    #[inline]
    pub(in crate::venue) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// A JSON integer without sign, fraction or exponent, of at most 16 digits. Digits beyond these are
    /// left to the caller, who must expect something else.
    #[inline(always)]
    pub(in crate::venue) fn id(&mut self) -> Option<u64> {
        self.any_id().map(|(value, _)| value)
    }

    /// As [`Self::id`], and probably of so many `digits`, which become what they were.
    #[inline(always)]
    pub(in crate::venue) fn id_like(&mut self, digits: &mut u8) -> Option<u64> {
        let (high, low) = (self.word(self.at), self.word(self.at.wrapping_add(8)));
        let (high, low) = (high ^ ZEROS, low ^ ZEROS);
        let more = usize::from(digits.wrapping_sub(8));
        if leading_digits(high) != 8
            || leading_digits(low) != more
            || more == 0
            || low_bytes(high, 1) == 0
        {
            let (value, actual) = self.any_id()?;
            *digits = actual;
            return Some(value);
        }
        self.at = self.at.wrapping_add(usize::from(*digits));
        let value = value_of(high).wrapping_mul(*POWERS.get(more)?);
        Some(value.wrapping_add(value_of(aligned(low, more))))
    }

    #[inline(never)]
    fn any_id(&mut self) -> Option<(u64, u8)> {
        let leading = self.text.get(self.at).copied();
        let (value, digits) = self.whole()?;
        if leading == Some(b'0') && digits > 1 {
            return None;
        }
        Some((value, u8::try_from(digits).unwrap_or(0)))
    }

    /// Milliseconds or microseconds since the epoch, as an integer; never zero.
    #[inline(always)]
    pub(in crate::venue) fn time(&mut self) -> Option<Time> {
        // The milliseconds of 2001 to 2286 have 13 digits.
        let (high, low) = (self.word(self.at), self.word(self.at.wrapping_add(8)));
        let (high, low) = (high ^ ZEROS, low ^ ZEROS);
        if leading_digits(high) == 8 && leading_digits(low) == 5 && low_bytes(high, 1) != 0 {
            let value = value_of(high).wrapping_mul(100_000);
            let value = value.wrapping_add(value_of(aligned(low, 5)));
            self.at = self.at.wrapping_add(13);
            return value.cast_signed().checked_mul(MILLISECOND).map(Time);
        }
        self.any_time()
    }

    #[inline(never)]
    fn any_time(&mut self) -> Option<Time> {
        let value = self.id().filter(|v| *v > 0)?;
        let unit = if value >= MICROSECONDS_FROM {
            MICROSECOND
        } else {
            MILLISECOND
        };
        i64::try_from(value).ok()?.checked_mul(unit).map(Time)
    }

    /// A decimal without a sign, at `scale`: at most 16 digits before the point and eight behind it,
    /// those finer than the scale zero. Digits beyond these are left to the caller, who must expect
    /// something else. Probably of the `shape` given, which becomes what it was.
    #[inline(always)]
    pub(in crate::venue) fn fixed(&mut self, scale: Scale, shape: &mut Shape) -> Option<i64> {
        let (before, behind) = (usize::from(shape.whole), usize::from(shape.fraction));
        let point = self.at.wrapping_add(before);
        let start = point.wrapping_add(1);
        let whole = self.word(self.at) ^ ZEROS;
        let fraction = self.word(start) ^ ZEROS;
        if leading_digits(whole) != before
            || self.text.get(point) != Some(&b'.')
            || leading_digits(fraction) != behind
            || before == 0
            || before == 8
            || behind == 0
        {
            let (value, actual) = self.any_fixed(scale)?;
            *shape = actual;
            return Some(value);
        }
        let (unit, fraction) = fraction_of(low_bytes(fraction, behind), scale)?;
        self.at = start.wrapping_add(behind);
        let whole = value_of(aligned(whole, before));
        let value = whole.wrapping_mul(unit).wrapping_add(fraction);
        Some(value.cast_signed())
    }

    #[inline(never)]
    fn any_fixed(&mut self, scale: Scale) -> Option<(i64, Shape)> {
        let (whole, digits) = self.whole()?;
        let mut shape = Shape::NONE;
        let mut fraction = 0;
        if self.text.get(self.at) == Some(&b'.') {
            let word = self.word(self.at.wrapping_add(1)) ^ ZEROS;
            let behind = leading_digits(word);
            if behind == 0 {
                return None;
            }
            shape = Shape {
                whole: u8::try_from(digits).unwrap_or(0),
                fraction: u8::try_from(behind).unwrap_or(0),
            };
            fraction = low_bytes(word, behind);
            self.at = self.at.wrapping_add(1).wrapping_add(behind);
        }
        let (unit, fraction) = fraction_of(fraction, scale)?;
        let value = whole.checked_mul(unit)?.checked_add(fraction)?;
        Some((i64::try_from(value).ok()?, shape))
    }

    /// Passes over the rest of a string and its closing quote.
    #[inline]
    pub(in crate::venue) fn skip_string(&mut self) -> Option<()> {
        self.skip_until(b'"')?;
        self.eat(b"\"")
    }

    /// Passes over the characters of a string that stand for themselves, up to an `end`.
    #[inline]
    fn skip_until(&mut self, end: u8) -> Option<()> {
        loop {
            let word = self.word(self.at);
            let below = |v: u64, n: u64| v.wrapping_sub(ONES.wrapping_mul(n)) & !v & HIGHS;
            let is = |byte: u8| below(word ^ ONES.wrapping_mul(u64::from(byte)), 1);
            // Beyond ASCII as well: this reader does not check UTF-8.
            let other = is(b'\\') | is(b'"') | below(word, 0x20) | (word & HIGHS);
            let (end, other) = (first_byte(is(end)), first_byte(other));
            if other < end {
                return None;
            }
            self.at = self.at.wrapping_add(end);
            if end < 8 {
                return Some(());
            }
        }
    }

    /// Passes over printable ASCII up to the first `@`.
    #[inline]
    pub(in crate::venue) fn skip_to_at(&mut self) -> Option<()> {
        self.skip_until(b'@')
    }

    /// The rest of a string of at most 16 bytes as a number, first byte lowest, and its closing quote.
    /// Bytes are not checked: only a comparison with a known string says anything.
    #[inline(always)]
    pub(in crate::venue) fn key(&mut self) -> Option<u128> {
        let quotes = |word: u64| {
            let v = word ^ ONES.wrapping_mul(u64::from(b'"'));
            first_byte(v.wrapping_sub(ONES) & !v & HIGHS)
        };
        let word = self.word(self.at);
        let mut len = quotes(word);
        let mut key = u128::from(low_bytes(word, len));
        if len == 8 {
            let word = self.word(self.at.wrapping_add(8));
            let more = quotes(word);
            key |= u128::from(low_bytes(word, more)) << 64;
            len = len.wrapping_add(more);
        }
        self.at = self.at.wrapping_add(len);
        self.eat(b"\"").map(|()| key)
    }

    /// Order book levels: `[["price","quantity"],…]`, at these scales and probably of these shapes.
    #[inline]
    pub(in crate::venue) fn levels(
        &mut self,
        (price, price_shape): (Scale, &mut Shape),
        (qty, qty_shape): (Scale, &mut Shape),
    ) -> Option<Vec<Level>> {
        if self.eat(b"[]").is_some() {
            return Some(Vec::new());
        }
        self.eat(b"[[\"")?;
        let left = self.text.len().saturating_sub(self.at);
        let ahead = left.checked_div(LEVEL_BYTES)?.clamp(4, LEVELS_AHEAD);
        let mut levels = Vec::with_capacity(ahead);
        loop {
            let price = self.fixed(price, price_shape);
            let price = Price(price.filter(|p| *p > 0)?);
            self.eat(b"\",\"")?;
            let qty = Qty(self.fixed(qty, qty_shape)?);
            levels.push(Level { price, qty });
            if self.eat(b"\"],[\"").is_none() {
                self.eat(b"\"]]")?;
                return Some(levels);
            }
        }
    }

    /// A run of one to 16 digits, or the first 16 of it, and its length.
    #[inline(always)]
    fn whole(&mut self) -> Option<(u64, usize)> {
        let word = self.word(self.at) ^ ZEROS;
        let count = leading_digits(word);
        if count == 0 {
            return None;
        }
        let value = value_of(aligned(word, count));
        self.at = self.at.wrapping_add(count);
        if count < 8 {
            return Some((value, count));
        }
        let word = self.word(self.at) ^ ZEROS;
        let more = leading_digits(word);
        if more == 0 {
            return Some((value, count));
        }
        let high = value.wrapping_mul(*POWERS.get(more)?);
        let value = high.wrapping_add(value_of(aligned(word, more)));
        self.at = self.at.wrapping_add(more);
        Some((value, count.wrapping_add(more)))
    }

    /// Eight bytes from `at` on, the first one lowest; zeros beyond the end.
    #[inline(always)]
    fn word(&self, at: usize) -> u64 {
        let rest = self.text.get(at..).unwrap_or_default();
        match rest.first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => short_word(rest),
        }
    }
}

const ZEROS: u64 = ONES.wrapping_mul(b'0' as u64);

#[cold]
fn short_word(rest: &[u8]) -> u64 {
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(rest) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}

/// Index of the lowest byte with its high bit set; 8 if there is none.
#[inline]
fn first_byte(hits: u64) -> usize {
    usize::try_from(hits.trailing_zeros() >> 3).unwrap_or(8)
}

/// How many bytes, from the lowest on, are below ten.
#[inline]
fn leading_digits(word: u64) -> usize {
    // A carry out of a byte that is none falls on later bytes alone.
    let over = word.wrapping_add(ONES.wrapping_mul(0x80 - 10)) | word;
    first_byte(over & HIGHS)
}

/// The lowest `count` bytes; the others zero.
#[inline]
fn low_bytes(word: u64, count: usize) -> u64 {
    if count >= 8 {
        word
    } else {
        word & !(u64::MAX << bits(count))
    }
}

/// The lowest `count` bytes, one at least, moved up so that the last of them is the highest.
#[inline]
fn aligned(word: u64, count: usize) -> u64 {
    word << (64_u32.wrapping_sub(bits(count)) & 63)
}

/// Ten to the power of `scale`, and what up to eight digits behind the point are worth, unless they are
/// finer.
#[inline]
fn fraction_of(digits: u64, scale: Scale) -> Option<(u64, u64)> {
    let count = usize::from(scale.digits());
    let unit = *POWERS.get(count)?;
    let (wanted, finer) = match count {
        0 => (0, digits),
        8.. => (digits, 0),
        _ => (aligned(digits, count), digits >> bits(count)),
    };
    (finer == 0).then(|| (unit, value_of(wanted)))
}

#[inline]
fn bits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(8).wrapping_mul(8)
}

/// The number of eight decimal digits, the lowest byte first: neighbours are joined three times.
#[inline]
fn value_of(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::types::Qty;

    fn scale(digits: u8) -> Scale {
        Scale::new(digits).expect("scale")
    }

    /// A number in a string, as a field has it: read to its closing quote.
    fn fixed(text: &str, digits: u8) -> Option<i64> {
        let text = format!("{text}\"");
        let mut cursor = Cursor::new(text.as_bytes());
        let mut shape = Shape::NONE;
        let value = cursor.fixed(scale(digits), &mut shape);
        let value = value.filter(|_| cursor.eat(b"\"").is_some() && cursor.is_at_end());
        // No guess, right or wrong, changes anything.
        for guess in [
            shape,
            Shape {
                whole: 1,
                fraction: 2,
            },
            Shape {
                whole: 8,
                fraction: 8,
            },
        ] {
            let (mut again, mut guess) = (Cursor::new(text.as_bytes()), guess);
            let same = again.fixed(scale(digits), &mut guess);
            let same = same.filter(|_| again.eat(b"\"").is_some() && again.is_at_end());
            assert_eq!(same, value, "{text} at {digits}, {guess:?}");
        }
        value
    }

    fn check_fixed(text: &str, digits: u8) {
        if let Some(value) = fixed(text, digits) {
            let general = Qty::parse(text.as_bytes(), scale(digits));
            assert_eq!(general, Ok(Qty(value)), "{text} at {digits}");
        }
    }

    #[test]
    fn what_is_common_is_read() {
        for (text, digits, value) in [
            ("61837.64000000", 2, 6_183_764),
            ("0.00011000", 8, 11_000),
            ("0.00000000", 0, 0),
            ("12.111", 3, 12_111),
            ("7", 8, 700_000_000),
            ("12345678", 0, 12_345_678),
            ("123456789012.5", 1, 1_234_567_890_125),
            ("00.10", 2, 10),
        ] {
            assert_eq!(fixed(text, digits), Some(value), "{text}");
        }
        let mut cursor = Cursor::new(b"[[\"61837.63\",\"0\"],[\"1\",\"2.5\"]]x");
        let (mut price, mut qty) = (Shape::NONE, Shape::NONE);
        let levels = cursor.levels((scale(2), &mut price), (scale(1), &mut qty));
        let levels = levels.expect("levels");
        let of = |price, qty| Level {
            price: Price(price),
            qty: Qty(qty),
        };
        assert_eq!(levels, [of(6_183_763, 0), of(100, 25)]);
        assert_eq!(cursor.eat(b"x"), Some(()));
        assert_eq!(Cursor::new(b"1723161255208,").id(), Some(1_723_161_255_208));
        assert_eq!(
            Cursor::new(b"1234567890123456").id(),
            Some(1_234_567_890_123_456)
        );
        let key = Cursor::new(b"BTCUSDT\"").key().expect("key");
        assert_eq!(&key.to_le_bytes(), b"BTCUSDT\0\0\0\0\0\0\0\0\0");
        let key = Cursor::new(b"1000000MOGUSDT_X\"").key().expect("key");
        assert_eq!(&key.to_le_bytes(), b"1000000MOGUSDT_X");
    }

    #[test]
    fn what_the_general_reader_refuses_is_refused() {
        for text in [
            "",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1.2.3",
            "1..2",
            " 1",
            "1 ",
            "1.23a",
            "0.001",
            "1.00000001",
            "é",
            "1.5/",
            "1.5:",
            "/",
            ":",
        ] {
            for digits in 0..=2 {
                check_fixed(text, digits);
            }
            assert_eq!(fixed(text, 2), None, "{text}");
        }
        for text in ["", "01", "00", "-1", "12345678901234567", "x"] {
            let mut cursor = Cursor::new(text.as_bytes());
            let id = cursor.id().filter(|_| cursor.is_at_end());
            assert_eq!(id, None, "{text}");
            for guess in 0..20 {
                let (mut cursor, mut digits) = (Cursor::new(text.as_bytes()), guess);
                let id = cursor.id_like(&mut digits).filter(|_| cursor.is_at_end());
                assert_eq!(id, None, "{text}");
            }
        }
        for text in ["0", "9223372036854775", "-1"] {
            let micros = Cursor::new(text.as_bytes()).time().map(|t| t.0);
            assert_eq!(
                micros,
                (text.len() > 2).then_some(9_223_372_036_854_775_000)
            );
        }
        for text in ["abc", "a\\\"\"", "a\nb\"", "é\"", "", "12345678\u{7f}é\""] {
            assert_eq!(Cursor::new(text.as_bytes()).skip_string(), None, "{text}");
        }
        for text in ["12345678901234567\"", "BTC", ""] {
            assert_eq!(Cursor::new(text.as_bytes()).key(), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn numbers_equal_the_general_readers(text in "[0-9]{0,17}[.]?[0-9]{0,10}", digits in 0..=8_u8) {
            check_fixed(&text, digits);
        }

        #[test]
        fn so_do_texts_that_look_like_numbers(text in "[0-9.eE+: /-]{0,12}", digits in 0..=8_u8) {
            check_fixed(&text, digits);
        }

        #[test]
        fn common_numbers_are_never_passed_on(
            whole in 0..1_000_000_000_u64,
            fraction in 0..100_000_000_u64,
        ) {
            let text = format!("{whole}.{fraction:08}");
            prop_assert_eq!(fixed(&text, 8), i64::try_from(whole * 100_000_000 + fraction).ok());
        }

        #[test]
        fn integers_equal_the_standard_librarys(value in prop_oneof![0..10_000_000_000_000_000_u64, 0..99_999_u64]) {
            let text = format!("{value},");
            prop_assert_eq!(Cursor::new(text.as_bytes()).id(), Some(value));
            for guess in 0..20 {
                let (mut cursor, mut digits) = (Cursor::new(text.as_bytes()), guess);
                prop_assert_eq!(cursor.id_like(&mut digits), Some(value));
                prop_assert_eq!(cursor.eat(b","), Some(()));
                prop_assert_eq!(usize::from(digits), text.len() - 1);
            }
        }

        #[test]
        fn strings_end_where_they_do(text in prop::collection::vec(prop_oneof![b' '..b'~', 0_u8..], 0..30)) {
            let naive = text
                .iter()
                .position(|c| matches!(c, b'"' | b'\\' | 0..0x20 | 0x80..))
                .filter(|at| text[*at] == b'"');
            let mut cursor = Cursor::new(&text);
            let found = cursor.skip_string().map(|()| cursor.at - 1);
            prop_assert_eq!(found, naive);
        }
    }
}
