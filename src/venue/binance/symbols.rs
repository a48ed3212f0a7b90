//! The instruments that frames are read for, found by symbol without a search or a copy.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic
)]

use std::sync::atomic::{AtomicU64, Ordering};

use crate::kernel::types::Scale;
use crate::venue::digits::Shape;

/// Longest symbol that is found here.
const SYMBOL_BYTES: usize = 16;

/// Finds instruments by their symbols: a table with linear probing.
#[derive(Debug, Clone)]
pub(super) struct Symbols {
    /// A power of two long, half empty at least.
    slots: Vec<Option<Slot>>,
}

/// One instrument.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    key: u128,
    pub(super) index: usize,
    pub(super) price: Scale,
    pub(super) qty: Scale,
    pub(super) guesses: Kept,
}

/// How long the numbers of an instrument were the last time: they seldom change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Guesses {
    pub(super) price: Shape,
    pub(super) qty: Shape,
    pub(super) update_id: u8,
    pub(super) trade_id: u8,
}

/// [`Guesses`] between two frames. They change nothing but the time that a frame takes, so it does not
/// matter who of several readers leaves the last ones.
#[derive(Debug)]
pub(super) struct Kept(AtomicU64);

impl Kept {
    #[inline]
    pub(super) fn load(&self) -> Guesses {
        let [a, b, c, d, update_id, trade_id, ..] = self.0.load(Ordering::Relaxed).to_le_bytes();
        let shape = |whole, fraction| Shape { whole, fraction };
        Guesses {
            price: shape(a, b),
            qty: shape(c, d),
            update_id,
            trade_id,
        }
    }

    #[inline]
    pub(super) fn store(&self, from: Guesses, to: Guesses) {
        if from != to {
            let (price, qty) = (to.price, to.qty);
            let (a, b, c, d) = (price.whole, price.fraction, qty.whole, qty.fraction);
            let bytes = [a, b, c, d, to.update_id, to.trade_id, 0, 0];
            self.0.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
    }
}

impl Clone for Kept {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

impl Symbols {
    /// Of these instruments, by their index: symbol, scale of prices, scale of quantities.
    pub(super) fn new<'a>(
        instruments: impl ExactSizeIterator<Item = (&'a str, Scale, Scale)>,
    ) -> Self {
        let len = instruments.len().saturating_mul(2).next_power_of_two();
        let mut slots = vec![None; len];
        for (index, (symbol, price, qty)) in instruments.enumerate() {
            let mut bytes = [0; SYMBOL_BYTES];
            let Some(to) = bytes.get_mut(..symbol.len()) else {
                continue;
            };
            to.copy_from_slice(symbol.as_bytes());
            let key = u128::from_le_bytes(bytes);
            let slot = Slot {
                key,
                index,
                price,
                qty,
                guesses: Kept(AtomicU64::new(0)),
            };
            let is_free = |at: &usize| slots.get(*at).is_some_and(Option::is_none);
            let free = probes(key, len).find(is_free);
            if let Some(free) = free.and_then(|at| slots.get_mut(at)) {
                *free = Some(slot);
            }
        }
        Self { slots }
    }

    #[inline]
    /// The instrument of a symbol, as [`crate::venue::digits::Cursor::key`] reads it.
    pub(super) fn find(&self, key: u128) -> Option<&Slot> {
        for at in probes(key, self.slots.len()) {
            let slot = self.slots.get(at)?.as_ref()?;
            if slot.key == key {
                return Some(slot);
            }
        }
        None
    }
}

/// All places of a table of `len`, in the order in which a key may be found there.
#[inline]
fn probes(key: u128, len: usize) -> impl Iterator<Item = usize> {
    let (low, high) = (key & u128::from(u64::MAX), key >> 64);
    let mixed = (low ^ high.rotate_left(7)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let start = usize::try_from((mixed >> 32) & 0xffff_ffff).unwrap_or(0);
    let mask = len.wrapping_sub(1);
    (0..len).map(move |step| start.wrapping_add(step) & mask)
}
