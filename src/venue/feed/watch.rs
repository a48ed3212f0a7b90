//! Which streams do not live, judged by what they and their neighbours brought. Pure: state and time in,
//! findings out.
//!
//! A quiet instrument is not a dead one. A stream is called stalled only when another one proves that
//! it should have moved: best prices from a later book, the venue's candles with later trades. Where
//! nothing moves, a look over REST decides.

use std::sync::atomic::Ordering::Relaxed;

use super::streams::Feeding;
use crate::kernel::types::{SECOND, Time};
use crate::venue::protocol::TopicKind;

/// What should be done about an instrument's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// The stream stands still although its neighbours prove that the market moved on.
    Stalled(TopicKind),
    /// Its own snapshot did not come.
    NoSnapshot,
    /// Nothing came for long: look over REST.
    Silent,
}

/// How long streams may be silent, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// A depth stream without events is looked after over REST.
    pub(super) silence: i64,
    /// A stream whose neighbour is ahead has so long to follow.
    pub(super) stall: i64,
}

/// Looks at one instrument.
pub(super) fn findings(feeding: &Feeding, now: Time, patience: Patience) -> Vec<Finding> {
    let mut found = Vec::new();
    let lives = |kind| feeding.stream(kind).subscribed.load(Relaxed);
    let silent = |kind| {
        let heard = feeding.stream(kind).received.get().unwrap_or(Time::ZERO);
        now.since(heard)
    };
    if lives(TopicKind::Depth) {
        let awaited = feeding.awaits_snapshot.get();
        let ahead = feeding.quote_seq.load(Relaxed) > feeding.depth_seq.load(Relaxed);
        if awaited.is_some_and(|since| now.since(since) > patience.stall) {
            found.push(Finding::NoSnapshot);
        } else if lives(TopicKind::Quote) && ahead && silent(TopicKind::Depth) > patience.stall {
            found.push(Finding::Stalled(TopicKind::Depth));
        } else if silent(TopicKind::Depth) > patience.silence {
            found.push(Finding::Silent);
        }
    }
    if lives(TopicKind::Trades) && lives(TopicKind::Candles) {
        let by_id = feeding.candle_last.load(Relaxed) > feeding.trade_last.load(Relaxed)
            && feeding.trade_last.load(Relaxed) > 0;
        let by_time = feeding.candle_traded_at.load(Relaxed) > feeding.traded_at.load(Relaxed)
            && feeding.traded_at.load(Relaxed) > 0;
        if (by_id || by_time) && silent(TopicKind::Trades) > patience.stall {
            found.push(Finding::Stalled(TopicKind::Trades));
        }
    }
    // Candles are sent every two seconds at most while there are trades; the day's figures likewise.
    for kind in [TopicKind::Candles, TopicKind::Ticker] {
        let behind = silent(kind).saturating_sub(silent(TopicKind::Trades));
        if lives(kind) && lives(TopicKind::Trades) && behind > patience.silence {
            found.push(Finding::Stalled(kind));
        }
    }
    // Best prices that stand still may be right, and a later book supersedes them in any case.
    // Sent every second, whatever happens.
    if lives(TopicKind::Mark) && silent(TopicKind::Mark) > patience.silence.max(5 * SECOND) {
        found.push(Finding::Stalled(TopicKind::Mark));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::event::{DepthDelta, Level, Trade};
    use crate::kernel::event::{MarketData, MarketEvent, Quote};
    use crate::kernel::market::tests::instrument;
    use crate::kernel::types::{InstrumentId, Price, Qty, Side};

    const PATIENCE: Patience = Patience {
        silence: 10 * SECOND,
        stall: 3 * SECOND,
    };

    fn at(seconds: i64) -> Time {
        Time(1_700_000_000 * SECOND).plus(seconds * SECOND)
    }

    fn feeding(kinds: &[TopicKind]) -> Feeding {
        let feeding = Feeding::new(InstrumentId(0), instrument());
        for kind in kinds {
            let stream = feeding.stream(*kind);
            stream.subscribed.store(true, Relaxed);
            stream.received.set(at(0));
        }
        feeding
    }

    fn note(feeding: &Feeding, seconds: i64, data: MarketData) {
        feeding.note(&MarketEvent {
            instrument: feeding.id,
            venue_time: at(seconds),
            received: at(seconds),
            data,
        });
    }

    fn depth(id: u64) -> MarketData {
        MarketData::Depth(Box::new(DepthDelta {
            prev_id: id - 1,
            first_id: id,
            last_id: id,
            seq: id,
            bids: vec![],
            asks: vec![],
        }))
    }

    fn quote(id: u64) -> MarketData {
        let level = Level {
            price: Price(1),
            qty: Qty(1),
        };
        MarketData::Quote(Quote {
            update_id: id,
            bid: level,
            ask: level,
        })
    }

    #[test]
    fn silence_alone_is_no_fault_and_is_looked_after() {
        let f = feeding(&[TopicKind::Depth, TopicKind::Quote]);
        note(&f, 1, depth(5));
        note(&f, 1, quote(5));
        assert_eq!(findings(&f, at(10), PATIENCE), []);
        assert_eq!(findings(&f, at(12), PATIENCE), [Finding::Silent]);
    }

    #[test]
    fn best_prices_of_a_later_book_convict_a_silent_depth_stream() {
        let f = feeding(&[TopicKind::Depth, TopicKind::Quote]);
        note(&f, 1, depth(5));
        note(&f, 2, quote(6));
        assert_eq!(findings(&f, at(3), PATIENCE), [], "it has time to follow");
        let stalled = [Finding::Stalled(TopicKind::Depth)];
        assert_eq!(findings(&f, at(5), PATIENCE), stalled);
        note(&f, 5, depth(6));
        assert_eq!(findings(&f, at(9), PATIENCE), []);
    }

    #[test]
    fn later_trades_in_a_candle_convict_a_silent_trade_stream() {
        let f = feeding(&[TopicKind::Trades, TopicKind::Candles]);
        note(
            &f,
            1,
            MarketData::Trade(Trade {
                id: 7,
                first_id: 7,
                last_id: 9,
                price: Price(1),
                qty: Qty(1),
                taker: Side::Buy,
                time: at(1),
            }),
        );
        f.candle_last.store(9, Relaxed);
        assert_eq!(findings(&f, at(8), PATIENCE), []);
        f.candle_last.store(10, Relaxed);
        let stalled = [Finding::Stalled(TopicKind::Trades)];
        assert_eq!(findings(&f, at(8), PATIENCE), stalled);
    }

    #[test]
    fn a_snapshot_that_does_not_come_is_missed() {
        let f = feeding(&[TopicKind::Depth]);
        f.awaits_snapshot.set(at(1));
        assert_eq!(findings(&f, at(4), PATIENCE), []);
        assert_eq!(findings(&f, at(5), PATIENCE), [Finding::NoSnapshot]);
    }
}
