//! Closed candles in chunks that readers share: what is published is no copy.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::kernel::event::Candle;

/// Candles in a chunk: what is copied when a candle is added while readers hold the chunk.
const CHUNK: usize = 64;

/// Closed candles, oldest first. A clone shares the candles.
#[derive(Debug, Clone, Default)]
pub struct CandleLog {
    chunks: VecDeque<Arc<Vec<Candle>>>,
    /// Candles of the first chunk that were dropped already.
    dropped: usize,
}

impl CandleLog {
    /// Number of candles.
    pub fn len(&self) -> usize {
        let all: usize = self.chunks.iter().map(|chunk| chunk.len()).sum();
        all.saturating_sub(self.dropped)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.last().is_none()
    }

    /// The newest one.
    pub fn last(&self) -> Option<&Candle> {
        self.chunks.back()?.last()
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> Candles<'_> {
        Candles {
            log: self,
            chunk: 0,
            at: self.dropped,
            left: self.len(),
        }
    }

    /// Appends one.
    pub fn push(&mut self, candle: Candle) {
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() < CHUNK => Arc::make_mut(chunk).push(candle),
            Some(_) | None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(candle);
                self.chunks.push_back(Arc::new(chunk));
            }
        }
    }

    /// Forgets the oldest one.
    pub fn drop_first(&mut self) {
        self.dropped = self.dropped.saturating_add(1);
        if self.chunks.front().is_some_and(|c| self.dropped >= c.len()) {
            self.chunks.pop_front();
            self.dropped = 0;
        }
    }

    /// Replaces the newest one.
    pub fn set_last(&mut self, candle: Candle) {
        if let Some(chunk) = self.chunks.back_mut()
            && let Some(last) = Arc::make_mut(chunk).last_mut()
        {
            *last = candle;
        }
    }
}

impl FromIterator<Candle> for CandleLog {
    fn from_iter<I: IntoIterator<Item = Candle>>(candles: I) -> Self {
        let mut log = Self::default();
        candles.into_iter().for_each(|candle| log.push(candle));
        log
    }
}

impl<'a> IntoIterator for &'a CandleLog {
    type Item = &'a Candle;
    type IntoIter = Candles<'a>;

    fn into_iter(self) -> Candles<'a> {
        self.iter()
    }
}

impl Hash for CandleLog {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.iter().for_each(|candle| candle.hash(state));
    }
}

/// Candles of a [`CandleLog`], oldest first.
#[derive(Debug, Clone)]
pub struct Candles<'a> {
    log: &'a CandleLog,
    chunk: usize,
    at: usize,
    left: usize,
}

impl<'a> Iterator for Candles<'a> {
    type Item = &'a Candle;

    fn next(&mut self) -> Option<&'a Candle> {
        loop {
            let chunk = self.log.chunks.get(self.chunk)?;
            if let Some(candle) = chunk.get(self.at) {
                self.at = self.at.saturating_add(1);
                self.left = self.left.saturating_sub(1);
                return Some(candle);
            }
            self.chunk = self.chunk.saturating_add(1);
            self.at = 0;
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Candles<'_> {}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use proptest::prelude::*;

    use super::*;
    use crate::kernel::types::{Price, Time};

    fn candle(n: i64) -> Candle {
        Candle {
            open_time: Time(n),
            open: Price(n),
            high: Price(n),
            low: Price(n),
            close: Price(n),
            volume: 0,
            quote_volume: 0,
            trades: 0,
        }
    }

    fn hash(log: &CandleLog) -> u64 {
        let mut state = DefaultHasher::new();
        log.hash(&mut state);
        state.finish()
    }

    proptest! {
        /// The naive twin is a queue; what a reader holds never changes.
        #[test]
        fn equals_a_queue(steps in prop::collection::vec(0..10_u8, 0..600)) {
            let (mut log, mut naive) = (CandleLog::default(), VecDeque::new());
            let mut held: Vec<(CandleLog, Vec<Candle>)> = Vec::new();
            for (n, step) in (0_i64..).zip(steps) {
                match step {
                    0 if !naive.is_empty() => {
                        log.drop_first();
                        naive.pop_front();
                    }
                    1 if !naive.is_empty() => {
                        log.set_last(candle(-n));
                        *naive.back_mut().expect("one") = candle(-n);
                    }
                    2 if held.len() < 20 => {
                        held.push((log.clone(), naive.iter().copied().collect()));
                    }
                    _ => {
                        log.push(candle(n));
                        naive.push_back(candle(n));
                    }
                }
                prop_assert_eq!(log.len(), naive.len());
                prop_assert_eq!(log.last(), naive.back());
            }
            prop_assert!(log.iter().eq(naive.iter()));
            prop_assert_eq!(log.iter().len(), naive.len());
            // The hash depends on the candles alone, not on where chunks begin.
            let again: CandleLog = naive.iter().copied().collect();
            prop_assert_eq!(hash(&again), hash(&log));
            for (log, was) in held {
                prop_assert!(log.iter().eq(was.iter()));
            }
        }
    }
}
