//! Sets of instruments, as small and fast as every event needs them.

use super::types::InstrumentId;

/// A set of instruments: a bit for each.
#[derive(Debug, Default)]
pub(super) struct Instruments(Vec<u64>);

impl Instruments {
    /// Puts one in.
    #[inline]
    pub(super) fn insert(&mut self, id: InstrumentId) {
        let (word, bit) = (id.index() / 64, 1 << (id.index() % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// In order.
    pub(super) fn iter(&self) -> impl Iterator<Item = InstrumentId> + '_ {
        (0..u16::MAX)
            .map(InstrumentId)
            .take(self.0.len() * 64)
            .filter(|id| {
                let word = self.0.get(id.index() / 64);
                word.is_some_and(|word| word >> (id.index() % 64) & 1 == 1)
            })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set_in_order(ids in prop::collection::vec(0_u16..300, 0..40)) {
            let mut set = Instruments::default();
            for id in &ids {
                set.insert(InstrumentId(*id));
            }
            let naive: BTreeSet<u16> = ids.iter().copied().collect();
            prop_assert_eq!(set.is_empty(), naive.is_empty());
            prop_assert!(set.iter().map(|id| id.0).eq(naive));
        }
    }
}
