//! The fields of one object of Binance, raw and by key: they are collected in one pass, and only then
//! read as what the event says that they are.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic
)]

use crate::venue::decode_error::DecodeError;
use crate::venue::json::Scanner;
use crate::venue::value::set;

type Result<T> = std::result::Result<T, DecodeError>;

/// The raw values of one object, by key.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    /// `A` to `z`; the six characters between the alphabets stay empty.
    pub(super) letters: [Option<&'a str>; 58],
    /// `pu` and `st` of futures.
    pub(super) pu: Option<&'a str>,
    pub(super) st: Option<&'a str>,
    pub(super) last_update_id: Option<&'a str>,
    pub(super) bids: Option<&'a str>,
    pub(super) asks: Option<&'a str>,
    pub(super) result: Option<&'a str>,
    pub(super) error: Option<&'a str>,
    pub(super) id: Option<&'a str>,
    pub(super) code: Option<&'a str>,
    pub(super) msg: Option<&'a str>,
}

impl Default for Fields<'_> {
    fn default() -> Self {
        Self {
            letters: [None; 58],
            pu: None,
            st: None,
            last_update_id: None,
            bids: None,
            asks: None,
            result: None,
            error: None,
            id: None,
            code: None,
            msg: None,
        }
    }
}

impl<'a> Fields<'a> {
    pub(super) fn of(object: &'a str) -> Result<Self> {
        let mut fields = Self::default();
        Scanner::new(object).object(|key, scanner| fields.collect(key, scanner))?;
        Ok(fields)
    }

    #[inline]
    pub(super) fn collect(&mut self, key: &str, scanner: &mut Scanner<'a>) -> Result<()> {
        let slot = match key.as_bytes() {
            [letter] => self.letters.get_mut(slot_of(*letter)),
            b"pu" => Some(&mut self.pu),
            b"st" => Some(&mut self.st),
            b"lastUpdateId" => Some(&mut self.last_update_id),
            b"bids" => Some(&mut self.bids),
            b"asks" => Some(&mut self.asks),
            b"result" => Some(&mut self.result),
            b"error" => Some(&mut self.error),
            b"id" => Some(&mut self.id),
            b"code" => Some(&mut self.code),
            b"msg" => Some(&mut self.msg),
            _ => None,
        };
        let raw = scanner.raw()?;
        slot.map_or(Ok(()), |slot| set(slot, key, raw))
    }

    #[inline]
    pub(super) fn letter(&self, letter: u8) -> Option<&'a str> {
        self.letters.get(slot_of(letter)).copied().flatten()
    }

    #[inline]
    pub(super) fn need(&self, name: &'static str, letter: u8) -> Result<&'a str> {
        self.letter(letter).ok_or(DecodeError::Missing(name))
    }
}

#[inline]
fn slot_of(letter: u8) -> usize {
    usize::from(letter.wrapping_sub(b'A'))
}
