//! What is done about streams that do not live: subscribe anew, and if that does not help, connect anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::fetch::Job;
use super::link::Wish;
use super::plan::Shard;
use super::streams::Feeding;
use super::watch::{Finding, Patience, findings};
use super::{Feed, nanos};
use crate::kernel::event::{LossReason, Lost, MarketData, MarketEvent};
use crate::kernel::types::{MINUTE, Time};
use crate::venue::protocol::TopicKind;

/// A stream that was subscribed to anew so often within [`HEAL_WITHIN`] takes its connection down.
const HEALS_MAX: u32 = 3;
const HEAL_WITHIN: i64 = 2 * MINUTE;

/// How often a stream was subscribed to anew, and when first and last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heal {
    first: Time,
    last: Time,
    count: u32,
}

impl Feed {
    /// Looks after every stream.
    pub(super) fn look(&mut self) {
        let shared = Arc::clone(&self.shared);
        // A window ends without a call.
        shared.tell_weight();
        let now = shared.clock.now();
        let config = &shared.config;
        let patience = Patience {
            silence: nanos(config.silence),
            stall: nanos(config.stall),
        };
        for (at, feeding) in shared.instruments.iter().enumerate() {
            self.compare(at, feeding, now, patience);
            for finding in findings(feeding, now, patience) {
                match finding {
                    Finding::Silent => {
                        // Silence begins anew: one probe in each period.
                        feeding.stream(TopicKind::Depth).received.set(now);
                        self.fetcher.request(Job::Probe(at));
                    }
                    Finding::NoSnapshot => self.no_snapshot(at),
                    Finding::Stalled(kind) => self.stalled(at, kind),
                }
            }
        }
    }

    /// Holds the venue's book, as a probe found it, against what the stream has brought since.
    fn compare(&mut self, at: usize, feeding: &Feeding, now: Time, patience: Patience) {
        let Some(slot) = self.suspects.get_mut(at) else {
            return;
        };
        let Some((seq, since)) = *slot else {
            return;
        };
        let seen = feeding.depth_seq.load(Ordering::Relaxed);
        if seen >= seq {
            *slot = None;
            self.shared.kernel.offer_market(MarketEvent {
                instrument: feeding.id,
                venue_time: now,
                received: since,
                data: MarketData::Verified { seq },
            });
            self.shared.kernel.ring();
        } else if now.since(since) >= patience.stall {
            *slot = None;
            self.stalled(at, TopicKind::Depth);
        }
    }

    /// Whether the stream lives is not known until its snapshot has come: nor whether a book from before is true.
    fn no_snapshot(&mut self, at: usize) {
        let renewed = self.heal(at, TopicKind::Depth, "the snapshot did not come");
        if let Some(feeding) = self.shared.instruments.get(at).filter(|_| renewed) {
            feeding.forget(TopicKind::Depth);
            self.shared
                .lost(feeding.id, LossReason::Stalled, Lost::Book);
            self.shared.kernel.ring();
        }
    }

    fn stalled(&mut self, at: usize, kind: TopicKind) {
        let shared = Arc::clone(&self.shared);
        let Some(feeding) = shared.instruments.get(at) else {
            return;
        };
        // It gets its time to recover before it is judged again.
        feeding.stream(kind).received.set(shared.clock.now());
        match kind {
            TopicKind::Depth => {
                feeding.forget(kind);
                shared.lost(feeding.id, LossReason::Stalled, Lost::Book);
            }
            TopicKind::Trades => {
                feeding.forget(kind);
                shared.lost(feeding.id, LossReason::Stalled, Lost::Trades);
                self.begin(at, kind);
            }
            TopicKind::Quote
            | TopicKind::Candles
            | TopicKind::Ticker
            | TopicKind::Mark
            | TopicKind::Liquidations => {}
        }
        shared.kernel.ring();
        shared.status.stalls.fetch_add(1, Ordering::Relaxed);
        self.heal(at, kind, "it stands still although the market moves on");
    }

    /// Subscribes to the depth stream anew, for the snapshot that it begins with.
    pub(super) fn renew_book(&mut self, at: usize) {
        let now = self.shared.clock.now();
        let stall = nanos(self.shared.config.stall);
        let last = self.heals.get(&(at, TopicKind::Depth)).map(|h| h.last);
        if last.is_some_and(|last| now.since(last) < stall) {
            // Not again so soon; the watch asks for it in a while.
            if let Some(feeding) = self.shared.instruments.get(at) {
                feeding.awaits_snapshot.set(now);
            }
            return;
        }
        let heal = Heal {
            first: now,
            last: now,
            count: 0,
        };
        // A gap is no fault of the stream as such.
        self.heals
            .entry((at, TopicKind::Depth))
            .or_insert(heal)
            .last = now;
        self.renew(at, TopicKind::Depth, "the book needs a snapshot", false);
    }

    /// Subscribes to a stream anew, unless that has just been done; after several times without success, to all
    /// of its connection.
    fn heal(&mut self, at: usize, kind: TopicKind, why: &str) -> bool {
        let now = self.shared.clock.now();
        let heal = self.heals.entry((at, kind)).or_insert(Heal {
            first: now,
            last: Time(i64::MIN),
            count: 0,
        });
        if now.since(heal.first) > HEAL_WITHIN {
            (heal.first, heal.count) = (now, 0);
        }
        // The one before must have had its time.
        if now.since(heal.last) < nanos(self.shared.config.stall) {
            return false;
        }
        (heal.last, heal.count) = (now, heal.count + 1);
        let give_up = heal.count > HEALS_MAX;
        if give_up {
            heal.count = 0;
        }
        self.renew(at, kind, why, give_up);
        true
    }

    fn renew(&self, at: usize, kind: TopicKind, why: &str, give_up: bool) {
        let topics = self.topics(at, kind);
        let Some(feeding) = self.shared.instruments.get(at) else {
            return;
        };
        let instrument = &feeding.instrument.name;
        tracing::warn!(%instrument, stream = kind.name(), why, give_up, "subscribing anew");
        self.shared.status.healed.fetch_add(1, Ordering::Relaxed);
        for (link, topics) in topics {
            let wish = if give_up {
                Wish::Reconnect(format!(
                    "{instrument} {}: {why}, again and again",
                    kind.name()
                ))
            } else {
                Wish::Renew(topics)
            };
            self.wish(link, wish);
        }
    }

    /// Where a stream of an instrument is carried.
    pub(super) fn topics(&self, at: usize, kind: TopicKind) -> Vec<(usize, Vec<usize>)> {
        let of = |shard: &Arc<Shard>| -> Vec<usize> {
            let feeds = shard.feeds.iter().enumerate();
            feeds
                .filter(|(_, feed)| feed.at == at && feed.topic.kind == kind)
                .map(|(place, _)| place)
                .collect()
        };
        let all = self.shards.iter().map(of).enumerate();
        all.filter(|(_, topics)| !topics.is_empty()).collect()
    }
}
