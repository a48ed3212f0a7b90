//! A log in chunks that readers share: what is published is no copy.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Entries in a chunk: what is copied when an entry is added while readers hold the chunk.
const CHUNK: usize = 64;

/// Entries, oldest first. A clone shares them. Equality, hash and wire format (a sequence) depend on
/// the entries alone, not on where chunks begin. The bound is the owner's, who drops the first.
#[derive(Debug, Clone)]
pub struct SharedLog<T> {
    chunks: VecDeque<Arc<Vec<T>>>,
    /// Entries of the first chunk that were dropped already.
    dropped: usize,
    len: usize,
}

impl<T> Default for SharedLog<T> {
    fn default() -> Self {
        Self {
            chunks: VecDeque::new(),
            dropped: 0,
            len: 0,
        }
    }
}

impl<T> SharedLog<T> {
    /// Number of entries.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.last().is_none()
    }

    /// The newest one.
    pub fn last(&self) -> Option<&T> {
        self.chunks.back()?.last()
    }

    /// The one that is so many before the newest; 0 is the newest.
    pub fn back(&self, mut places: usize) -> Option<&T> {
        for (index, chunk) in self.chunks.iter().enumerate().rev() {
            if let Some(at) = chunk.len().checked_sub(places.saturating_add(1)) {
                return chunk.get(at).filter(|_| index > 0 || at >= self.dropped);
            }
            places = places.saturating_sub(chunk.len());
        }
        None
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> SharedLogIter<'_, T> {
        SharedLogIter {
            log: self,
            chunk: 0,
            at: self.dropped,
            left: self.len(),
        }
    }

    /// Forgets the oldest one, if there is one.
    pub fn drop_first(&mut self) {
        let Some(first) = self.chunks.front() else {
            return;
        };
        self.len = self.len.saturating_sub(1);
        self.dropped = self.dropped.saturating_add(1);
        if self.dropped >= first.len() {
            self.chunks.pop_front();
            self.dropped = 0;
        }
    }
}

impl<T: Clone> SharedLog<T> {
    /// Appends one.
    pub fn push(&mut self, entry: T) {
        self.len = self.len.saturating_add(1);
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() < CHUNK => Arc::make_mut(chunk).push(entry),
            Some(_) | None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(entry);
                self.chunks.push_back(Arc::new(chunk));
            }
        }
    }

    /// Replaces the newest one.
    pub fn set_last(&mut self, entry: T) {
        if let Some(chunk) = self.chunks.back_mut()
            && let Some(last) = Arc::make_mut(chunk).last_mut()
        {
            *last = entry;
        }
    }
}

impl<T: Clone> FromIterator<T> for SharedLog<T> {
    fn from_iter<I: IntoIterator<Item = T>>(entries: I) -> Self {
        let mut log = Self::default();
        entries.into_iter().for_each(|entry| log.push(entry));
        log
    }
}

impl<'a, T> IntoIterator for &'a SharedLog<T> {
    type Item = &'a T;
    type IntoIter = SharedLogIter<'a, T>;

    fn into_iter(self) -> SharedLogIter<'a, T> {
        self.iter()
    }
}

impl<T: PartialEq> PartialEq for SharedLog<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Eq> Eq for SharedLog<T> {}

impl<T: Hash> Hash for SharedLog<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.iter().for_each(|entry| entry.hash(state));
    }
}

impl<T: Serialize> Serialize for SharedLog<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

impl<'de, T: Clone + Deserialize<'de>> Deserialize<'de> for SharedLog<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(|entries: Vec<T>| entries.into_iter().collect())
    }
}

/// Entries of a [`SharedLog`], oldest first.
#[derive(Debug)]
pub struct SharedLogIter<'a, T> {
    log: &'a SharedLog<T>,
    chunk: usize,
    at: usize,
    left: usize,
}

impl<T> Clone for SharedLogIter<'_, T> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'a, T> Iterator for SharedLogIter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        loop {
            let chunk = self.log.chunks.get(self.chunk)?;
            if let Some(entry) = chunk.get(self.at) {
                self.at = self.at.saturating_add(1);
                self.left = self.left.saturating_sub(1);
                return Some(entry);
            }
            self.chunk = self.chunk.saturating_add(1);
            self.at = 0;
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for SharedLogIter<'_, T> {}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use proptest::prelude::*;

    use super::*;

    fn hash(log: &SharedLog<i64>) -> u64 {
        let mut state = DefaultHasher::new();
        log.hash(&mut state);
        state.finish()
    }

    proptest! {
        /// The naive twin is a queue; what a reader holds never changes.
        #[test]
        fn equals_a_queue(steps in prop::collection::vec(0..10_u8, 0..600)) {
            let (mut log, mut naive) = (SharedLog::default(), VecDeque::new());
            let mut held: Vec<(SharedLog<i64>, Vec<i64>)> = Vec::new();
            for (n, step) in (0_i64..).zip(steps) {
                match step {
                    0 => {
                        log.drop_first();
                        naive.pop_front();
                    }
                    1 if !naive.is_empty() => {
                        log.set_last(!n);
                        *naive.back_mut().expect("one") = !n;
                    }
                    2 if held.len() < 20 => {
                        held.push((log.clone(), naive.iter().copied().collect()));
                    }
                    _ => {
                        log.push(n);
                        naive.push_back(n);
                    }
                }
                prop_assert_eq!(log.len(), naive.len());
                prop_assert_eq!(log.last(), naive.back());
            }
            prop_assert!(log.iter().eq(naive.iter()));
            prop_assert_eq!(log.iter().len(), naive.len());
            // The hash depends on the entries alone, not on where chunks begin.
            let again: SharedLog<i64> = naive.iter().copied().collect();
            prop_assert_eq!(hash(&again), hash(&log));
            prop_assert_eq!(&again, &log);
            let bytes = postcard::to_allocvec(&log).expect("bytes");
            prop_assert_eq!(&bytes, &postcard::to_allocvec(&again).expect("bytes"));
            prop_assert_eq!(&postcard::from_bytes::<SharedLog<i64>>(&bytes).expect("log"), &log);
            for (log, was) in held {
                prop_assert!(log.iter().eq(was.iter()));
            }
        }
    }
}
