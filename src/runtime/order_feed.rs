//! The changes of orders on their way from the kernel to those who follow them (`http/stream/`).
//!
//! The observer puts each change in, in order; who follows takes those that are durable. While nobody
//! follows, the newest are kept and the oldest go. While somebody does, nothing goes unsaid: when changes
//! had to be dropped, here or before, the next [`OrderFeed::take`] says that some are missing.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::kernel::event::{OrderChange, Seq};

/// Changes kept while nobody follows.
const KEPT: usize = 1_024;
/// Changes that may wait to be durable while somebody follows.
const WAITING_MAX: usize = 16_384;

/// The changes of orders, oldest first.
#[derive(Debug, Default)]
pub struct OrderFeed {
    waiting: Mutex<Waiting>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    changes: VecDeque<Arc<OrderChange>>,
    followed: bool,
    /// Changes were dropped that a follower should have had.
    missing: bool,
}

impl OrderFeed {
    /// Adds the next change, and wakes who follows.
    pub fn push(&self, change: Arc<OrderChange>) {
        let mut waiting = self.waiting.lock();
        if waiting.followed && waiting.changes.len() >= WAITING_MAX {
            waiting.changes.clear();
            waiting.missing = true;
        } else if !waiting.followed && waiting.changes.len() >= KEPT {
            waiting.changes.pop_front();
        }
        waiting.changes.push_back(change);
        let followed = waiting.followed;
        drop(waiting);
        if followed {
            self.bell.notify_one();
        }
    }

    /// Changes were lost before they came here.
    pub fn lost(&self) {
        self.waiting.lock().missing = true;
        self.bell.notify_one();
    }

    /// Whether anybody follows from now on. What was lost while nobody did is nobody's loss.
    pub fn follow(&self, followed: bool) {
        let mut waiting = self.waiting.lock();
        if waiting.followed != followed {
            waiting.followed = followed;
            waiting.missing = false;
        }
    }

    /// Moves the changes up to `through` into `taken`; whether changes are missing among them or before.
    pub fn take(&self, through: Seq, taken: &mut Vec<Arc<OrderChange>>) -> bool {
        let mut waiting = self.waiting.lock();
        while waiting.changes.front().is_some_and(|c| c.seq <= through) {
            taken.extend(waiting.changes.pop_front());
        }
        std::mem::take(&mut waiting.missing)
    }

    /// Completes after the next [`OrderFeed::push`]. One task only. Cancel-safe.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::event::{Record, Sequenced};
    use crate::kernel::ledger::Ledger;
    use crate::kernel::orders::{OrderSpec, OrderType, Size};
    use crate::kernel::types::{
        Instrument, InstrumentId, InstrumentName, Money, Price, Qty, Scale, Side, Time, VenueId,
    };

    fn change(seq: u64) -> Arc<OrderChange> {
        let name = InstrumentName {
            venue: VenueId::Sim,
            symbol: "BTCUSDT".to_owned(),
        };
        let scale = Scale::new(2).expect("scale");
        let instrument = Instrument::unlimited(name, "BTC", "USDT", (scale, scale));
        let mut ledger = Ledger::new(1);
        let id = InstrumentId(0);
        let spec = OrderSpec::new(id, Side::Buy, OrderType::Market, Size::Base(Qty(1)));
        let records = [
            Record::InstrumentDefined {
                id,
                instrument: Box::new(instrument),
            },
            Record::Intent {
                order: Arc::new(spec),
                qty: Qty(1),
                hold: Price(0),
            },
        ];
        for (seq, record) in (1..).map(Seq).zip(records) {
            let time = Time::ZERO;
            ledger
                .apply(&Sequenced { seq, time, record })
                .expect("a record");
        }
        assert_eq!(ledger.held(), Money::ZERO);
        Arc::new(OrderChange {
            seq: Seq(seq),
            time: Time::ZERO,
            order: ledger.orders().iter().next().expect("the order").clone(),
            fill: None,
            answered: false,
            disputed: false,
        })
    }

    fn taken(feed: &OrderFeed, through: u64) -> (Vec<u64>, bool) {
        let mut taken = Vec::new();
        let missing = feed.take(Seq(through), &mut taken);
        (taken.iter().map(|c| c.seq.0).collect(), missing)
    }

    #[test]
    fn changes_are_taken_once_durable_and_in_order() {
        let feed = OrderFeed::default();
        feed.follow(true);
        (1..=5).for_each(|seq| feed.push(change(seq)));
        assert_eq!(taken(&feed, 0), (vec![], false));
        assert_eq!(taken(&feed, 3), (vec![1, 2, 3], false));
        assert_eq!(taken(&feed, 9), (vec![4, 5], false));
    }

    #[test]
    fn the_newest_are_kept_while_nobody_follows() {
        let feed = OrderFeed::default();
        let one = change(1);
        let numbered = |seq| {
            Arc::new(OrderChange {
                seq: Seq(seq),
                ..OrderChange::clone(&one)
            })
        };
        let count = KEPT as u64 + 7;
        (1..=count).for_each(|seq| feed.push(numbered(seq)));
        feed.lost();
        feed.follow(true);
        let (seqs, missing) = taken(&feed, u64::MAX);
        assert_eq!(seqs, (8..=count).collect::<Vec<_>>());
        assert!(!missing, "nobody followed");
        let many = WAITING_MAX as u64;
        (1..=many + 2).for_each(|seq| feed.push(numbered(seq)));
        assert_eq!(taken(&feed, u64::MAX), (vec![many + 1, many + 2], true));
        feed.lost();
        assert_eq!(taken(&feed, u64::MAX), (vec![], true));
        assert_eq!(taken(&feed, u64::MAX), (vec![], false));
    }
}
