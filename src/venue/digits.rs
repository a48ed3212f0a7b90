//! A cursor for text of one exactly known form: literals, decimal numbers eight digits at a time, order
//! book levels.
//!
//! It knows no errors: what is not of the expected form is `None`, and the caller asks the general
//! reader (`venue/json.rs`), which also knows what is wrong. So it must never accept what that one
//! refuses, nor read it differently; everything accepted here is printable ASCII.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic
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

impl<'a> Cursor<'a> {
    /// At the start of `text`.
    pub(in crate::venue) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Passes over `literal` if it is next.
    #[inline]
    pub(in crate::venue) fn eat<const N: usize>(&mut self, literal: &[u8; N]) -> Option<()> {
        let end = self.at.wrapping_add(N);
        if self.text.get(self.at..end)? != literal {
            return None;
        }
        self.at = end;
        Some(())
    }

    /// Whether the end of the text is reached.
    #[inline]
    pub(in crate::venue) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// A JSON integer without sign, fraction or exponent, of at most 16 digits.
    #[inline]
    pub(in crate::venue) fn id(&mut self) -> Option<u64> {
        let leading = self.text.get(self.at).copied();
        let (value, digits) = self.whole()?;
        if leading == Some(b'0') && digits > 1 {
            return None;
        }
        Some(value)
    }

    /// Milliseconds or microseconds since the epoch, as an integer; never zero.
    #[inline]
    pub(in crate::venue) fn time(&mut self) -> Option<Time> {
        let value = self.id().filter(|v| *v > 0)?;
        let unit = if value >= MICROSECONDS_FROM {
            MICROSECOND
        } else {
            MILLISECOND
        };
        i64::try_from(value).ok()?.checked_mul(unit).map(Time)
    }

    /// A decimal without a sign, at `scale`: at most 16 digits before the point and eight behind it,
    /// those finer than the scale zero.
    #[inline]
    pub(in crate::venue) fn fixed(&mut self, scale: Scale) -> Option<i64> {
        let digits = usize::from(scale.digits());
        let unit = *POWERS.get(digits)?;
        let (whole, _) = self.whole()?;
        let mut fraction = 0;
        if self.text.get(self.at) == Some(&b'.') {
            let word = self.word(self.at.wrapping_add(1)) ^ ZEROS;
            let seen = leading_digits(word);
            if seen == 0 {
                return None;
            }
            let kept = low_bytes(word, seen);
            let (wanted, finer) = split(kept, digits);
            if finer != 0 {
                return None;
            }
            fraction = value_of(wanted);
            self.at = self.at.wrapping_add(1).wrapping_add(seen);
            if seen == 8 && self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
                return None;
            }
        }
        let value = whole.checked_mul(unit)?.checked_add(fraction)?;
        i64::try_from(value).ok()
    }

    /// Passes over the rest of a string and its closing quote.
    #[inline]
    pub(in crate::venue) fn skip_string(&mut self) -> Option<()> {
        loop {
            let word = self.word(self.at);
            let below = |v: u64, n: u64| v.wrapping_sub(ONES.wrapping_mul(n)) & !v & HIGHS;
            let quote = below(word ^ ONES.wrapping_mul(u64::from(b'"')), 1);
            let backslash = below(word ^ ONES.wrapping_mul(u64::from(b'\\')), 1);
            // Beyond ASCII as well: this reader does not check UTF-8.
            let other = backslash | below(word, 0x20) | (word & HIGHS);
            let (quote, other) = (first_byte(quote), first_byte(other));
            if other < quote {
                return None;
            }
            if quote < 8 {
                self.at = self.at.wrapping_add(quote).wrapping_add(1);
                return Some(());
            }
            self.at = self.at.wrapping_add(8);
        }
    }

    /// Passes over lower-case letters, digits and underscores.
    #[inline]
    pub(in crate::venue) fn skip_word(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let is_part = |c: &&u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_');
        let len = rest.iter().take_while(is_part).count();
        self.at = self.at.wrapping_add(len);
        Some(())
    }

    /// The rest of a string of at most 16 bytes as a number, first byte lowest, and its closing quote.
    /// Bytes are not checked: only a comparison with a known string says anything.
    #[inline]
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

    /// Order book levels: `[["price","quantity"],…]`.
    #[inline]
    pub(in crate::venue) fn levels(&mut self, price: Scale, qty: Scale) -> Option<Vec<Level>> {
        if self.eat(b"[]").is_some() {
            return Some(Vec::new());
        }
        self.eat(b"[[\"")?;
        let left = self.text.len().saturating_sub(self.at);
        let ahead = left.checked_div(LEVEL_BYTES)?.clamp(4, LEVELS_AHEAD);
        let mut levels = Vec::with_capacity(ahead);
        loop {
            let price = Price(self.fixed(price).filter(|p| *p > 0)?);
            self.eat(b"\",\"")?;
            let qty = Qty(self.fixed(qty)?);
            levels.push(Level { price, qty });
            if self.eat(b"\"],[\"").is_none() {
                self.eat(b"\"]]")?;
                return Some(levels);
            }
        }
    }

    /// A run of one to 16 digits, and its length.
    #[inline]
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
        if more == 8 && self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            return None;
        }
        Some((value, count.wrapping_add(more)))
    }

    /// Eight bytes from `at` on, the first one lowest; zeros beyond the end.
    #[inline]
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

/// The lowest `count` bytes, moved up, and the other ones.
#[inline]
fn split(word: u64, count: usize) -> (u64, u64) {
    match count {
        0 => (0, word),
        8.. => (word, 0),
        _ => (aligned(word, count), word >> bits(count)),
    }
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
        let value = cursor.fixed(scale(digits))?;
        cursor.eat(b"\"")?;
        cursor.is_at_end().then_some(value)
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
        let levels = cursor.levels(scale(2), scale(1)).expect("levels");
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
            assert_eq!(Cursor::new(text.as_bytes()).id(), None, "{text}");
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
