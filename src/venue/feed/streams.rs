//! How far each stream has come: atomics that readers write, and that liveness checks, metrics and
//! `/api/v1/status` read.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use crate::kernel::event::{MarketData, MarketEvent};
use crate::kernel::types::{Instrument, InstrumentId, Time};
use crate::status::Moment;
use crate::venue::protocol::TopicKind;

/// An instrument and how far its streams have come.
#[derive(Debug)]
pub struct Feeding {
    /// Its index in this process.
    pub id: InstrumentId,
    /// Its names and scales, as they were at the start.
    pub instrument: Instrument,
    streams: [Stream; TopicKind::ALL.len()],
    /// Newest update id of the depth stream.
    pub(super) depth_id: AtomicU64,
    /// What orders the newest depth event among the venue's streams.
    pub(super) depth_seq: AtomicU64,
    /// The same of the newest best-price message.
    pub(super) quote_seq: AtomicU64,
    /// Id of the newest message of the trade stream.
    pub(super) trade_id: AtomicU64,
    /// Last execution in it.
    pub(super) trade_last: AtomicU64,
    /// Its time.
    pub(super) traded_at: AtomicI64,
    /// Last execution that the venue's candles know of, by id and by time.
    pub(super) candle_last: AtomicU64,
    pub(super) candle_traded_at: AtomicI64,
    /// The stream's own snapshot is awaited since then; zero when it is not.
    pub(super) awaits_snapshot: Moment,
    /// The kernel wants the book anew.
    pub(super) wants_book: AtomicBool,
    /// Goes up with every loss of the connection that carries depth: what was asked for before
    /// is not delivered.
    pub(super) epoch: AtomicU64,
}

/// One stream of an instrument.
#[derive(Debug, Default)]
pub struct Stream {
    /// Whether it is subscribed to.
    pub subscribed: AtomicBool,
    /// Whether the venue refused the subscription.
    pub refused: AtomicBool,
    /// When the last message came.
    pub received: Moment,
    /// Messages received.
    pub messages: AtomicU64,
    /// From the venue's time of the last message to its receipt, in nanoseconds. It includes the
    /// difference of the clocks.
    pub latency_ns: AtomicI64,
}

impl Feeding {
    /// Nothing has come yet.
    pub fn new(id: InstrumentId, instrument: Instrument) -> Self {
        Self {
            id,
            instrument,
            streams: Default::default(),
            depth_id: AtomicU64::new(0),
            depth_seq: AtomicU64::new(0),
            quote_seq: AtomicU64::new(0),
            trade_id: AtomicU64::new(0),
            trade_last: AtomicU64::new(0),
            traded_at: AtomicI64::new(0),
            candle_last: AtomicU64::new(0),
            candle_traded_at: AtomicI64::new(0),
            awaits_snapshot: Moment::default(),
            wants_book: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
        }
    }

    /// A stream.
    pub fn stream(&self, kind: TopicKind) -> &Stream {
        // The discriminant is the place in `ALL`.
        let index = kind as usize;
        self.streams.get(index).unwrap_or(&self.streams[0])
    }

    /// Streams that are subscribed to.
    pub fn subscribed(&self) -> impl Iterator<Item = (TopicKind, &Stream)> {
        let all = TopicKind::ALL.into_iter();
        all.map(|kind| (kind, self.stream(kind)))
            .filter(|(_, stream)| stream.subscribed.load(Ordering::Relaxed))
    }

    /// Notes an event that is on its way to the kernel.
    pub(super) fn note(&self, event: &MarketEvent) {
        let up = |slot: &AtomicU64, value| {
            slot.fetch_max(value, Ordering::Relaxed);
        };
        let kind = match &event.data {
            MarketData::Depth(delta) => {
                up(&self.depth_id, delta.last_id);
                up(&self.depth_seq, delta.seq);
                TopicKind::Depth
            }
            MarketData::Snapshot(snapshot) => {
                // It begins anew, perhaps with smaller ids.
                self.depth_id.store(snapshot.last_id, Ordering::Relaxed);
                self.depth_seq.store(snapshot.seq, Ordering::Relaxed);
                if snapshot.window.is_some() {
                    self.awaits_snapshot.set(Time::ZERO);
                    self.wants_book.store(false, Ordering::Relaxed);
                }
                TopicKind::Depth
            }
            MarketData::Quote(quote) => {
                up(&self.quote_seq, quote.update_id);
                TopicKind::Quote
            }
            MarketData::Trade(trade) => {
                self.trade_id.store(trade.id, Ordering::Relaxed);
                up(&self.trade_last, trade.last_id);
                self.traded_at.fetch_max(trade.time.0, Ordering::Relaxed);
                TopicKind::Trades
            }
            MarketData::OffBook(id) => {
                self.trade_id.store(*id, Ordering::Relaxed);
                up(&self.trade_last, *id);
                TopicKind::Trades
            }
            MarketData::Kline(kline) => {
                // Before the first trade, what the first candle knows is where the stream begins.
                let begin = Ordering::Relaxed;
                if let Some((_, last)) = kline.trade_ids {
                    up(&self.candle_last, last);
                    self.trade_last.compare_exchange(0, last, begin, begin).ok();
                }
                if let Some(at) = kline.traded_at {
                    self.candle_traded_at.fetch_max(at.0, Ordering::Relaxed);
                    self.traded_at.compare_exchange(0, at.0, begin, begin).ok();
                }
                TopicKind::Candles
            }
            MarketData::Stats(_) => TopicKind::Ticker,
            MarketData::Derivative(_) if self.is(TopicKind::Mark) => TopicKind::Mark,
            MarketData::Derivative(_) => TopicKind::Ticker,
            MarketData::Liquidation(_) => TopicKind::Liquidations,
            MarketData::History(_)
            | MarketData::Verified { .. }
            | MarketData::Listing(_)
            | MarketData::Lost(..) => return,
        };
        let stream = self.stream(kind);
        stream.received.set(event.received);
        stream.messages.fetch_add(1, Ordering::Relaxed);
        if event.venue_time != event.received {
            let late = event.received.since(event.venue_time);
            stream.latency_ns.store(late, Ordering::Relaxed);
        }
    }

    fn is(&self, kind: TopicKind) -> bool {
        self.stream(kind).subscribed.load(Ordering::Relaxed)
    }

    /// The stream's connection is gone: a restarted venue may count from the beginning.
    pub(super) fn forget(&self, kind: TopicKind) {
        let zero = |slot: &AtomicU64| slot.store(0, Ordering::Relaxed);
        match kind {
            TopicKind::Depth => {
                zero(&self.depth_id);
                zero(&self.depth_seq);
                self.epoch.fetch_add(1, Ordering::Relaxed);
            }
            TopicKind::Quote => zero(&self.quote_seq),
            TopicKind::Trades => {
                zero(&self.trade_id);
                zero(&self.trade_last);
                self.traded_at.store(0, Ordering::Relaxed);
            }
            TopicKind::Candles => {
                zero(&self.candle_last);
                self.candle_traded_at.store(0, Ordering::Relaxed);
            }
            TopicKind::Ticker | TopicKind::Mark | TopicKind::Liquidations => {}
        }
    }
}
