//! A slow reading of one instrument's events, by the venues' documents: maps, and no cleverness.

use std::collections::BTreeMap;

use hean::kernel::event::{DepthDelta, DepthSnapshot, Level, Lost, MarketData, Quote};

#[derive(Debug, Default)]
pub(crate) struct Naive {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    last: u64,
    synced: bool,
    window: Option<usize>,
    waiting: Vec<DepthDelta>,
    quote: Option<Quote>,
    verifies: bool,
}

/// What an event was to the naive reader.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// An update is missing before this one.
    Gap,
    /// Anything else.
    Other,
}

impl Naive {
    pub(crate) fn new(verifies: bool) -> Self {
        Self {
            verifies,
            ..Self::default()
        }
    }

    pub(crate) fn read(&mut self, data: &MarketData) -> Seen {
        let mut seen = Seen::Other;
        match data {
            MarketData::Depth(delta) => {
                if !self.synced {
                    if let Some(before) = self.waiting.last() {
                        if delta.last_id <= before.last_id {
                            return Seen::Other;
                        }
                        if delta.prev_id > before.last_id {
                            self.waiting.clear();
                        }
                    }
                    self.waiting.push((**delta).clone());
                } else if delta.last_id > self.last {
                    if delta.prev_id > self.last {
                        seen = Seen::Gap;
                        self.lose();
                        self.waiting.push((**delta).clone());
                    } else {
                        self.apply(delta);
                        self.judge();
                    }
                }
            }
            MarketData::Snapshot(snapshot) => self.snapshot(snapshot),
            MarketData::Quote(quote) if self.verifies => {
                self.quote = Some(*quote);
                self.judge();
            }
            MarketData::Lost(_, Lost::All | Lost::Book) => self.lose(),
            _ => {}
        }
        seen
    }

    fn snapshot(&mut self, snapshot: &DepthSnapshot) {
        if snapshot.window.is_none() {
            if self.synced {
                return;
            }
            if let Some(first) = self.waiting.first()
                && first.prev_id > snapshot.last_id
            {
                return;
            }
        } else {
            self.waiting.clear();
        }
        self.window = snapshot.window.map(usize::from);
        let map = |levels: &[Level]| levels.iter().map(|l| (l.price.0, l.qty.0)).collect();
        (self.bids, self.asks) = (map(&snapshot.bids), map(&snapshot.asks));
        self.bids.retain(|_, qty| *qty != 0);
        self.asks.retain(|_, qty| *qty != 0);
        self.last = snapshot.last_id;
        self.synced = true;
        for delta in std::mem::take(&mut self.waiting) {
            if delta.last_id > snapshot.last_id {
                self.apply(&delta);
            }
        }
        self.judge();
    }

    fn apply(&mut self, delta: &DepthDelta) {
        for (map, levels) in [(&mut self.bids, &delta.bids), (&mut self.asks, &delta.asks)] {
            for level in levels {
                if level.qty.0 == 0 {
                    map.remove(&level.price.0);
                } else {
                    map.insert(level.price.0, level.qty.0);
                }
            }
        }
        if let Some(window) = self.window {
            while self.bids.len() > window {
                self.bids.pop_first();
            }
            while self.asks.len() > window {
                self.asks.pop_last();
            }
        }
        self.last = delta.last_id;
    }

    /// A book that cannot be is lost.
    fn judge(&mut self) {
        if !self.synced {
            return;
        }
        let (bid, ask) = (self.bids.last_key_value(), self.asks.first_key_value());
        let crossed = matches!((bid, ask), (Some(b), Some(a)) if b.0 >= a.0);
        let contradicted = self.quote.is_some_and(|q| {
            let level = |l: Level| (l.price.0, l.qty.0);
            q.update_id == self.last
                && (bid.map(|(p, q)| (*p, *q)) != Some(level(q.bid))
                    || ask.map(|(p, q)| (*p, *q)) != Some(level(q.ask)))
        });
        if crossed || contradicted {
            self.lose();
        }
    }

    fn lose(&mut self) {
        self.synced = false;
        self.waiting.clear();
        self.bids.clear();
        self.asks.clear();
    }

    /// Last update id, while the book is one.
    pub(crate) fn synced(&self) -> Option<u64> {
        self.synced.then_some(self.last)
    }

    /// Bids and asks, best first.
    pub(crate) fn best(&self, levels: usize) -> [Vec<(i64, i64)>; 2] {
        let bids = self.bids.iter().rev().take(levels);
        let asks = self.asks.iter().take(levels);
        [
            bids.map(|(p, q)| (*p, *q)).collect(),
            asks.map(|(p, q)| (*p, *q)).collect(),
        ]
    }
}
