//! Orders by id in constant time and without a pause from growing: blocks of slots that never move, and an
//! index of fixed size over them.

use super::{Order, OrderId};

/// Orders in a block.
const BLOCK: usize = 1_024;
/// No slot.
const NONE: u32 = u32::MAX;

/// The orders. All room for `capacity` of them is taken at once; more than that costs a pause.
#[derive(Debug)]
pub(super) struct Slab {
    blocks: Vec<Vec<Order>>,
    free: Vec<u32>,
    len: usize,
    /// Slots by hash of the id: open addressing with linear probing; a removal closes its gap.
    index: Box<[u32]>,
    shift: u32,
}

impl Slab {
    pub(super) fn new(capacity: usize) -> Self {
        let bits = index_bits(capacity);
        let mut slab = Self {
            blocks: Vec::with_capacity(capacity.div_ceil(BLOCK)),
            free: Vec::with_capacity(capacity.next_multiple_of(BLOCK)),
            len: 0,
            index: vec![NONE; 1_usize.wrapping_shl(bits)].into_boxed_slice(),
            shift: 64_u32.saturating_sub(bits),
        };
        while slab.free.len() < capacity {
            slab.add_block();
        }
        // The lowest slots first.
        slab.free.sort_unstable_by(|a, b| b.cmp(a));
        slab
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn slot(&self, id: OrderId) -> Option<u32> {
        self.find(id).map(|(_, slot)| slot)
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Order> {
        let slot = slot as usize;
        self.blocks.get(slot / BLOCK)?.get(slot % BLOCK)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Order> {
        let slot = slot as usize;
        self.blocks.get_mut(slot / BLOCK)?.get_mut(slot % BLOCK)
    }

    /// Enters an order whose id is new.
    pub(super) fn insert(&mut self, order: Order) -> u32 {
        let id = order.id;
        if self.free.is_empty() {
            self.add_block();
        }
        let Some(slot) = self.free.pop() else {
            unreachable!("a block of free slots was added");
        };
        if let Some(room) = self.get_mut(slot) {
            *room = order;
        }
        self.len = self.len.saturating_add(1);
        if self.len.saturating_mul(2) > self.index.len() {
            self.grow();
        } else {
            self.link(id, slot);
        }
        slot
    }

    pub(super) fn remove(&mut self, id: OrderId) -> Option<Order> {
        let (at, slot) = self.find(id)?;
        self.unlink(at);
        self.free.push(slot);
        self.len = self.len.saturating_sub(1);
        let room = self.get_mut(slot)?;
        Some(std::mem::replace(room, Order::vacant()))
    }

    /// All orders, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Order> {
        self.blocks.iter().flatten().filter(|o| o.id != OrderId(0))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Order> {
        let orders = self.blocks.iter_mut().flatten();
        orders.filter(|o| o.id != OrderId(0))
    }

    /// Adds a block of free slots, its memory written to once, so that no order pays for that.
    fn add_block(&mut self) {
        let first = self.blocks.len().saturating_mul(BLOCK);
        self.blocks.push(vec![Order::vacant(); BLOCK]);
        let slots = (first..first.saturating_add(BLOCK)).rev();
        self.free
            .extend(slots.map(|slot| u32::try_from(slot).unwrap_or(NONE)));
    }

    fn place_of(&self, id: OrderId) -> usize {
        // Fibonacci hashing (Knuth, TAOCP 3, 6.4).
        let hash = id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        usize::try_from(hash.wrapping_shr(self.shift)).unwrap_or(0)
    }

    fn next(&self, at: usize) -> usize {
        at.wrapping_add(1) & self.index.len().wrapping_sub(1)
    }

    fn find(&self, id: OrderId) -> Option<(usize, u32)> {
        let mut at = self.place_of(id);
        loop {
            let slot = *self.index.get(at)?;
            if slot == NONE {
                return None;
            }
            if self.get(slot)?.id == id {
                return Some((at, slot));
            }
            at = self.next(at);
        }
    }

    fn link(&mut self, id: OrderId, slot: u32) {
        let mut at = self.place_of(id);
        while self.index.get(at).is_some_and(|s| *s != NONE) {
            at = self.next(at);
        }
        if let Some(room) = self.index.get_mut(at) {
            *room = slot;
        }
    }

    /// Takes an entry out and moves those behind it up, so that no search ends early.
    fn unlink(&mut self, mut gap: usize) {
        let mask = self.index.len().wrapping_sub(1);
        let mut at = gap;
        loop {
            at = self.next(at);
            let Some(slot) = self.index.get(at).copied().filter(|s| *s != NONE) else {
                break;
            };
            let home = self.get(slot).map_or(at, |o| self.place_of(o.id));
            // It may move up unless its home lies between the gap and it.
            let (from_home, from_gap) = (at.wrapping_sub(home) & mask, at.wrapping_sub(gap) & mask);
            if from_home >= from_gap {
                if let Some(room) = self.index.get_mut(gap) {
                    *room = slot;
                }
                gap = at;
            }
        }
        if let Some(room) = self.index.get_mut(gap) {
            *room = NONE;
        }
    }

    fn grow(&mut self) {
        let bits = index_bits(self.len.saturating_mul(2));
        self.index = vec![NONE; 1_usize.wrapping_shl(bits)].into_boxed_slice();
        self.shift = 64_u32.saturating_sub(bits);
        let mut all = Vec::with_capacity(self.len);
        for (block, orders) in self.blocks.iter().enumerate() {
            for (place, order) in orders.iter().enumerate() {
                let slot = block.saturating_mul(BLOCK).saturating_add(place);
                if order.id != OrderId(0) {
                    all.push((order.id, u32::try_from(slot).unwrap_or(NONE)));
                }
            }
        }
        for (id, slot) in all {
            self.link(id, slot);
        }
    }
}

/// Bits of an index that is at most half full.
fn index_bits(capacity: usize) -> u32 {
    let entries = capacity.max(8).saturating_mul(2).next_power_of_two();
    entries.trailing_zeros()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::kernel::orders::{OrderSpec, OrderType, Size};
    use crate::kernel::types::{InstrumentId, Price, Qty, Side, Time};

    fn order(id: u64) -> Order {
        let spec = OrderSpec::new(
            InstrumentId(0),
            Side::Buy,
            OrderType::Market,
            Size::Base(Qty(1)),
        );
        Order::new(OrderId(id), Time::ZERO, &spec, Qty(1), Price(0))
    }

    proptest! {
        #[test]
        fn a_slab_is_a_map(steps in prop::collection::vec((any::<bool>(), 1..200_u64), 0..600)) {
            let (mut slab, mut map) = (Slab::new(16), BTreeMap::new());
            for (insert, key) in steps {
                let id = key.wrapping_mul(7);
                if !insert {
                    prop_assert_eq!(slab.remove(OrderId(id)).map(|o| o.id.0), map.remove(&id));
                } else if map.insert(id, id).is_none() {
                    slab.insert(order(id));
                }
                prop_assert_eq!(slab.len(), map.len());
            }
            for key in 1..1_500 {
                let found = slab.slot(OrderId(key)).and_then(|s| slab.get(s)).map(|o| o.id.0);
                prop_assert_eq!(found, map.get(&key).copied());
            }
            let mut all: Vec<u64> = slab.iter().map(|o| o.id.0).collect();
            all.sort_unstable();
            prop_assert_eq!(all, map.into_keys().collect::<Vec<_>>());
        }
    }
}
