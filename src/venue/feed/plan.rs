//! Which connection carries what: topics of all instruments, dealt to connections within the venue's
//! limits. What belongs to one instrument and one route stays together.

use super::streams::Feeding;
use crate::venue::protocol::{Protocol, Topic, Wanted};

/// A topic and whose it is.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    /// Index of the instrument in this feed.
    pub(super) at: usize,
    /// The topic.
    pub(super) topic: Topic,
}

/// What one connection carries.
#[derive(Debug, Clone)]
pub(super) struct Shard {
    /// Index of its route.
    pub(super) route: usize,
    /// Its topics.
    pub(super) feeds: Vec<Feed>,
}

/// Deals the topics of these instruments.
pub(super) fn shards(
    protocol: &dyn Protocol,
    instruments: &[Feeding],
    wanted: &Wanted,
) -> Vec<Shard> {
    let mut shards: Vec<Shard> = Vec::new();
    for (route, kind) in protocol.routes().iter().enumerate() {
        let mut open: Option<Shard> = None;
        for (at, feeding) in instruments.iter().enumerate() {
            let topics = protocol.topics(&feeding.instrument, wanted);
            let mine = topics.into_iter().filter(|topic| topic.route == route);
            let mine: Vec<Feed> = mine.map(|topic| Feed { at, topic }).collect();
            if mine.is_empty() {
                continue;
            }
            let full = |shard: &Shard| shard.feeds.len() + mine.len() > kind.topics_max;
            if open.as_ref().is_some_and(full) {
                shards.extend(open.take());
            }
            let shard = open.get_or_insert_with(|| Shard {
                route,
                feeds: Vec::new(),
            });
            shard.feeds.extend(mine);
        }
        shards.extend(open);
    }
    shards
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::market::tests::instrument;
    use crate::kernel::types::{InstrumentId, Interval, VenueId};
    use crate::venue::VENUES;

    #[test]
    fn every_topic_is_carried_once_within_the_limits() {
        for row in &VENUES {
            let feeding = |n: u16| {
                let mut i = instrument();
                i.name.venue = row.id;
                i.name.symbol = format!("C{n}USDT");
                Feeding::new(InstrumentId(n), i)
            };
            let instruments: Vec<Feeding> = (0..400).map(feeding).collect();
            let wanted = Wanted {
                intervals: vec![Interval::MINUTE],
                window: 200,
            };
            let shards = shards(row.protocol, &instruments, &wanted);
            let mut names = std::collections::BTreeSet::new();
            for shard in &shards {
                let max = row.protocol.routes()[shard.route].topics_max;
                assert!(shard.feeds.len() <= max, "{}", row.id);
                for feed in &shard.feeds {
                    assert_eq!(feed.topic.route, shard.route);
                    assert!(names.insert(feed.topic.name.clone()), "{}", feed.topic.name);
                }
            }
            let all = |f: &Feeding| row.protocol.topics(&f.instrument, &wanted).len();
            assert_eq!(names.len(), instruments.iter().map(all).sum::<usize>());
            assert!(row.id == VenueId::Binance || shards.len() > 1);
        }
    }
}
