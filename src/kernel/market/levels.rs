//! One side of an order book: sorted blocks of levels, and the lower bound of each block in a row.
//!
//! Real changes lie hundreds of levels away from the best price, in books of thousands: one sorted
//! vector moves too much memory for them, and a tree of small nodes follows too many pointers. Here a
//! change searches the bounds, then one block, and moves at most that block.

use crate::kernel::types::Qty;

/// Levels beyond the cap that are tolerated before a side is cut, so that a cut is rare.
pub(super) const SLACK: usize = 64;
/// Levels in a block. Measured on real books: 16, 64 and 128 are slower.
const BLOCK: usize = 32;
/// Levels of a block that are looked at together.
const GROUP: usize = 8;
/// A neighbour with at most so many levels takes some of a full block's; the others make it split.
const ROOMY: usize = BLOCK - 2;
/// A block with fewer levels joins a neighbour.
const SPARSE: usize = BLOCK / 2;

/// One side: levels by rank, worst first.
#[derive(Debug, Clone, Default)]
pub(super) struct Levels {
    /// For each block, a rank that none of its levels is below and all levels of the block before
    /// are; of the first block, the lowest rank that there is.
    lows: Vec<i64>,
    /// None is empty.
    #[expect(
        clippy::vec_box,
        reason = "a new block must not move half of the others"
    )]
    blocks: Vec<Box<Block>>,
    len: usize,
    /// The block of the last change, a guess for the next one: an update comes sorted by price.
    last: usize,
}

/// At most [`BLOCK`] levels by rank.
#[derive(Debug, Clone)]
struct Block {
    len: usize,
    /// From `len` on the highest rank that there is, so that a search need not know the length.
    ranks: [i64; BLOCK],
    qtys: [Qty; BLOCK],
}

impl Levels {
    pub(super) fn set(&mut self, rank: i64, qty: Qty, levels_max: usize) {
        let at = self.block_of(rank);
        self.last = at;
        let Some(block) = self.blocks.get_mut(at) else {
            if qty != Qty::ZERO {
                self.lows.push(i64::MIN);
                self.blocks.push(Box::new(Block::of(rank, qty)));
                self.len = 1;
            }
            return;
        };
        let (slot, known) = block.find(rank);
        if qty == Qty::ZERO {
            if known {
                block.remove(slot);
                self.len -= 1;
                if block.len < SPARSE {
                    self.shrink(at);
                }
            }
        } else if known {
            block.qtys[slot] = qty;
        } else {
            self.len += 1;
            if block.len < BLOCK {
                block.insert(slot, rank, qty);
            } else {
                self.make_room(at);
                let at = self.block_of(rank);
                let (slot, _) = self.blocks[at].find(rank);
                self.blocks[at].insert(slot, rank, qty);
            }
            if self.len > levels_max.saturating_add(SLACK) {
                self.cut(levels_max);
            }
        }
    }

    /// The number of levels.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, rank: i64) -> Qty {
        let Some(block) = self.blocks.get(self.block_of(rank)) else {
            return Qty::ZERO;
        };
        match block.find(rank) {
            (slot, true) => block.qtys[slot],
            (_, false) => Qty::ZERO,
        }
    }

    #[inline]
    pub(super) fn best(&self) -> Option<(i64, Qty)> {
        let block = self.blocks.last()?;
        let last = block.len - 1;
        Some((block.ranks[last], block.qtys[last]))
    }

    /// The worst rank.
    #[inline]
    pub(super) fn worst(&self) -> Option<i64> {
        self.blocks.first().map(|block| block.ranks[0])
    }

    /// The block that a rank belongs to; zero when there is none.
    #[inline]
    fn block_of(&self, rank: i64) -> usize {
        let guess = self.last;
        let next = self.lows.get(guess.wrapping_add(1));
        if self.lows.get(guess).is_some_and(|low| *low <= rank)
            && next.is_none_or(|low| rank < *low)
        {
            return guess;
        }
        let below = self.lows.partition_point(|low| *low <= rank);
        below.saturating_sub(1)
    }

    /// Makes room in and around the full block `at`: a neighbour takes some, or it becomes two.
    #[cold]
    fn make_room(&mut self, at: usize) {
        let roomy = |b: Option<&Box<Block>>| b.is_some_and(|b| b.len <= ROOMY);
        let left = if at > 0 && roomy(self.blocks.get(at - 1)) {
            at - 1
        } else {
            if !roomy(self.blocks.get(at + 1)) {
                self.blocks.insert(at + 1, Box::default());
                self.lows.insert(at + 1, i64::MAX);
            }
            at
        };
        self.share(left, |levels| levels / 2);
    }

    /// The block `at` has few levels left: it joins a neighbour, unless that is nearly full.
    #[cold]
    fn shrink(&mut self, at: usize) {
        let together = |left: usize| Some(self.blocks[left].len + self.blocks.get(left + 1)?.len);
        let fits = |left: &usize| together(*left).is_some_and(|levels| levels <= ROOMY);
        if let Some(left) = at.checked_sub(1).into_iter().chain([at]).find(fits) {
            self.share(left, |levels| levels);
            self.remove(left + 1);
        } else if self.blocks[at].len == 0 {
            self.remove(at);
        }
    }

    /// Gives the block `left` as many of its and its right neighbour's levels as `part` says.
    fn share(&mut self, left: usize, part: impl FnOnce(usize) -> usize) {
        let [a, b] = &mut self.blocks[left..left + 2] else {
            return;
        };
        let wanted = part(a.len + b.len);
        if a.len > wanted {
            let moved = a.len - wanted;
            b.ranks.copy_within(..b.len, moved);
            b.qtys.copy_within(..b.len, moved);
            b.ranks[..moved].copy_from_slice(&a.ranks[wanted..a.len]);
            b.qtys[..moved].copy_from_slice(&a.qtys[wanted..a.len]);
            a.ranks[wanted..].fill(i64::MAX);
            (a.len, b.len) = (wanted, b.len + moved);
        } else {
            let (moved, old) = (wanted - a.len, a.len);
            a.ranks[old..wanted].copy_from_slice(&b.ranks[..moved]);
            a.qtys[old..wanted].copy_from_slice(&b.qtys[..moved]);
            b.drop_worst(moved);
            a.len = wanted;
        }
        self.lows[left + 1] = self.blocks[left + 1].ranks[0];
    }

    #[inline]
    fn remove(&mut self, at: usize) {
        self.blocks.remove(at);
        self.lows.remove(at);
        if let Some(low) = self.lows.first_mut() {
            *low = i64::MIN;
        }
    }

    /// Forgets the worst levels beyond `levels_max`.
    pub(super) fn cut(&mut self, levels_max: usize) {
        let mut excess = self.len.saturating_sub(levels_max);
        if excess == 0 {
            return;
        }
        self.len -= excess;
        let mut gone = 0;
        while let Some(block) = self.blocks.get(gone).filter(|b| b.len <= excess) {
            excess -= block.len;
            gone += 1;
        }
        self.blocks.drain(..gone);
        self.lows.drain(..gone);
        if let (Some(low), Some(block)) = (self.lows.first_mut(), self.blocks.first_mut()) {
            *low = i64::MIN;
            block.drop_worst(excess);
        }
    }
}

impl Default for Block {
    fn default() -> Self {
        Self {
            len: 0,
            ranks: [i64::MAX; BLOCK],
            qtys: [Qty::ZERO; BLOCK],
        }
    }
}

impl Block {
    fn of(rank: i64, qty: Qty) -> Self {
        let mut block = Self::default();
        block.insert(0, rank, qty);
        block
    }

    /// Where a rank is, or where it would have to be inserted.
    #[inline]
    fn find(&self, rank: i64) -> (usize, bool) {
        // Counted, not branched upon: where in a block a rank lies cannot be predicted.
        let (groups, _) = self.ranks.as_chunks::<GROUP>();
        let below = |ranks: &[i64]| ranks.iter().filter(|r| **r < rank).count();
        let full = groups.iter().filter(|g| g[GROUP - 1] < rank).count();
        let slot = full * GROUP + groups.get(full).map_or(0, |g| below(g));
        (slot, slot < self.len && self.ranks[slot] == rank)
    }

    #[inline]
    fn insert(&mut self, slot: usize, rank: i64, qty: Qty) {
        self.ranks.copy_within(slot..self.len, slot + 1);
        self.qtys.copy_within(slot..self.len, slot + 1);
        self.ranks[slot] = rank;
        self.qtys[slot] = qty;
        self.len += 1;
    }

    #[inline]
    fn remove(&mut self, slot: usize) {
        self.ranks.copy_within(slot + 1..self.len, slot);
        self.qtys.copy_within(slot + 1..self.len, slot);
        self.len -= 1;
        self.ranks[self.len] = i64::MAX;
    }

    fn drop_worst(&mut self, count: usize) {
        self.ranks.copy_within(count..self.len, 0);
        self.qtys.copy_within(count..self.len, 0);
        self.len -= count;
        self.ranks[self.len..].fill(i64::MAX);
    }
}

impl PartialEq for Levels {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl Eq for Levels {}

/// Levels of a side, best first.
pub(super) struct Iter<'a> {
    blocks: std::slice::Iter<'a, Box<Block>>,
    block: Option<&'a Block>,
    /// Levels left in `block`.
    within: usize,
    left: usize,
}

impl Levels {
    pub(super) fn iter(&self) -> Iter<'_> {
        Iter {
            blocks: self.blocks.iter(),
            block: None,
            within: 0,
            left: self.len,
        }
    }
}

impl Iterator for Iter<'_> {
    type Item = (i64, Qty);

    #[inline]
    fn next(&mut self) -> Option<(i64, Qty)> {
        if self.within == 0 {
            let block = self.blocks.next_back()?;
            (self.block, self.within) = (Some(&**block), block.len);
        }
        let block = self.block?;
        self.within -= 1;
        self.left -= 1;
        Some((block.ranks[self.within], block.qtys[self.within]))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
impl Levels {
    /// Checks what every operation relies on.
    pub(super) fn check(&self) {
        assert_eq!(self.lows.len(), self.blocks.len());
        assert_eq!(self.lows.first().copied().unwrap_or(i64::MIN), i64::MIN);
        assert_eq!(self.blocks.iter().map(|b| b.len).sum::<usize>(), self.len);
        let mut before = None;
        for (low, block) in self.lows.iter().zip(&self.blocks) {
            assert!(block.len > 0 && block.ranks[0] >= *low);
            assert!(before.is_none_or(|b| b < *low));
            assert!(block.ranks[..block.len].is_sorted_by(|a, b| a < b));
            assert!(block.ranks[block.len..].iter().all(|r| *r == i64::MAX));
            before = Some(block.ranks[block.len - 1]);
        }
    }

    /// What it takes on the heap.
    pub(super) fn bytes(&self) -> usize {
        let index = self.lows.capacity() + self.blocks.capacity();
        self.blocks.len() * size_of::<Block>() + index * size_of::<u64>()
    }
}
