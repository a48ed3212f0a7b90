//! From a change of the market to what clients receive: state first, then the frame itself, then
//! what follows from it (other names of the stream, klines, tickers). Recordings and the synthetic
//! market both come through here, one change after the other.
//!
//! Invariant: the state contains a change before the first client is sent it, so a REST snapshot
//! is never older than the stream.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::candles::INTERVALS;
use super::hub::{Audience, Payload};
use super::shared::Shared;
use super::symbol::{Change, Closed, Symbol};
use super::{Fault, text};
use crate::kernel::types::{MILLISECOND, SECOND, Time};

/// How often klines and tickers are looked at, in venue time.
const LOOK_EVERY: i64 = 100 * MILLISECOND;
/// Names of the difference stream. All of them carry what there is: the recorded or 100 ms pace.
const DEPTH_NAMES: [&str; 3] = ["depth@100ms", "depth", "depth@1000ms"];
/// Sizes of the partial-depth streams.
const PARTIAL_DEPTHS: [(usize, [&str; 2]); 3] = [
    (5, ["depth5", "depth5@100ms"]),
    (10, ["depth10", "depth10@100ms"]),
    (20, ["depth20", "depth20@100ms"]),
];

/// A frame to send as it was recorded.
#[derive(Debug)]
pub(super) struct Recorded {
    /// The stream it belongs to.
    pub(super) stream: String,
    /// The frame.
    pub(super) payload: Payload,
}

/// Streams that are made here because the source has none of their own.
#[derive(Debug)]
struct Derived {
    depth: Vec<String>,
    partial: Vec<(usize, Vec<String>)>,
    trade: Option<String>,
    agg_trade: Option<String>,
    quote: Option<String>,
    klines: Vec<Option<String>>,
    mini_ticker: Option<String>,
    ticker: Option<String>,
    /// Per interval: when a kline was sent, and how many trades it had.
    klines_sent: Vec<(Time, Time, u64)>,
    ticker_sent: (Time, u64),
    quote_sent: u64,
}

/// Applies changes and publishes what comes of them. There is one per venue.
#[derive(Debug)]
pub(super) struct Engine {
    shared: Arc<Shared>,
    derived: Vec<Derived>,
    faults: Vec<Fault>,
    depth_frames: u64,
    looked: Time,
}

impl Engine {
    /// An engine; `recorded` names the streams that the source has by itself.
    pub(super) fn new(
        shared: Arc<Shared>,
        recorded: &BTreeSet<String>,
        faults: Vec<Fault>,
    ) -> Self {
        let derived = shared
            .symbols
            .iter()
            .map(|symbol| {
                let lower = symbol.lock().instrument.name.symbol.to_lowercase();
                Derived::new(&lower, recorded)
            })
            .collect();
        Self {
            shared,
            derived,
            faults,
            depth_frames: 0,
            looked: Time::ZERO,
        }
    }

    /// One frame: the change of the symbol at `at` that happened at venue time `time` (or nothing
    /// that the venue keeps), and the frame itself where it was recorded.
    pub(super) async fn play(
        &mut self,
        time: Option<Time>,
        at: Option<usize>,
        change: Option<&Change>,
        recorded: Option<&Recorded>,
    ) {
        let now = self.shared.advance_to(time);
        let mut closed = Vec::new();
        if let (Some(change), Some(symbol)) =
            (change, at.and_then(|at| self.shared.symbols.get(at)))
        {
            closed = symbol.lock().apply(change);
        }
        let mut dropped = false;
        if matches!(change, Some(Change::Depth(_))) {
            self.depth_frames += 1;
            dropped = self.faults.contains(&Fault::DropDepth(self.depth_frames));
        }
        if !dropped {
            if let Some(recorded) = recorded
                && let Some(audience) = self.shared.hub.audience(&recorded.stream)
            {
                self.shared.hub.publish(&audience, &recorded.payload).await;
            }
            if let (Some(at), Some(change)) = (at, change) {
                self.follow(at, now, change, recorded).await;
            }
        }
        if let Some(at) = at {
            self.closed_klines(at, now, &closed).await;
        }
        if now.since(self.looked) >= LOOK_EVERY {
            self.looked = now;
            self.look(now).await;
        }
        let frames = self.shared.status.count_frame();
        if self.faults.contains(&Fault::Cut(frames)) {
            tracing::warn!("fault on demand: cutting all clients after frame {frames}");
            self.shared.hub.cut_all().await;
        }
    }

    /// Closes candles and sends what is due although nothing happened.
    pub(super) async fn idle(&mut self, time: Time) {
        let now = self.shared.advance_to(Some(time));
        if now.since(self.looked) >= LOOK_EVERY {
            self.looked = now;
            self.look(now).await;
        }
    }

    /// Streams that carry the same change under other names or in another form.
    async fn follow(&mut self, at: usize, now: Time, change: &Change, recorded: Option<&Recorded>) {
        let Some(names) = self.derived.get_mut(at) else {
            return;
        };
        let Some(symbol) = self.shared.symbols.get(at) else {
            return;
        };
        let hub = &self.shared.hub;
        let mut out: Vec<(Audience, Payload)> = Vec::new();
        {
            let symbol = symbol.lock();
            let mut add = |stream: &str, data: &dyn Fn() -> String| {
                if let Some(audience) = hub.audience(stream) {
                    out.push((audience, Payload::wrap(stream, &data())));
                }
            };
            match change {
                Change::Depth(delta) => {
                    let data = || match recorded {
                        Some(recorded) => recorded.payload.data(),
                        None => text::depth_update(&symbol.instrument, now, delta),
                    };
                    for stream in &names.depth {
                        add(stream, &data);
                    }
                    for (levels, streams) in &names.partial {
                        for stream in streams {
                            add(stream, &|| text::depth_snapshot(&symbol, *levels));
                        }
                    }
                }
                Change::Trade(trade) => {
                    if let Some(stream) = &names.trade {
                        add(stream, &|| text::trade(&symbol.instrument, now, trade));
                    }
                    if let Some(stream) = &names.agg_trade {
                        add(stream, &|| text::agg_trade(&symbol.instrument, now, trade));
                    }
                }
                Change::Quote(_) | Change::Snapshot(_) => {}
            }
            if let (Some(stream), Some(quote)) = (&names.quote, symbol.quote)
                && quote.update_id > names.quote_sent
            {
                names.quote_sent = quote.update_id;
                add(stream, &|| text::book_ticker(&symbol.instrument, &quote));
            }
        }
        for (audience, payload) in out {
            hub.publish(&audience, &payload).await;
        }
    }

    /// The final message of candles that ended.
    async fn closed_klines(&mut self, at: usize, now: Time, closed: &Closed) {
        let (Some(names), Some(symbol)) = (self.derived.get(at), self.shared.symbols.get(at))
        else {
            return;
        };
        for (interval, bar) in closed {
            let (Some(Some(stream)), Some(name)) =
                (names.klines.get(*interval), INTERVALS.get(*interval))
            else {
                continue;
            };
            if let Some(audience) = self.shared.hub.audience(stream) {
                let data = text::kline(&symbol.lock().instrument, now, name, bar, true);
                let payload = Payload::wrap(stream, &data);
                self.shared.hub.publish(&audience, &payload).await;
            }
        }
    }

    /// Klines that have changed and tickers, each at its own pace.
    async fn look(&mut self, now: Time) {
        for at in 0..self.shared.symbols.len() {
            let Some(symbol) = self.shared.symbols.get(at).map(Arc::clone) else {
                continue;
            };
            let closed = symbol.lock().advance(now);
            self.closed_klines(at, now, &closed).await;
            let mut out: Vec<(Audience, Payload)> = Vec::new();
            if let Some(names) = self.derived.get_mut(at) {
                let symbol = symbol.lock();
                let hub = &self.shared.hub;
                names.due(now, &symbol, |stream, data| {
                    if let Some(audience) = hub.audience(stream) {
                        out.push((audience, Payload::wrap(stream, &data())));
                        return true;
                    }
                    false
                });
            }
            for (audience, payload) in out {
                self.shared.hub.publish(&audience, &payload).await;
            }
        }
    }
}

impl Derived {
    fn new(lower: &str, recorded: &BTreeSet<String>) -> Self {
        let prefix = format!("{lower}@");
        let own = |kind: &str| {
            let name = format!("{prefix}{kind}");
            (!recorded.contains(&name)).then_some(name)
        };
        Self {
            depth: DEPTH_NAMES.iter().filter_map(|kind| own(kind)).collect(),
            partial: PARTIAL_DEPTHS
                .iter()
                .map(|(levels, kinds)| {
                    (*levels, kinds.iter().filter_map(|kind| own(kind)).collect())
                })
                .collect(),
            trade: own("trade"),
            agg_trade: own("aggTrade"),
            quote: own("bookTicker"),
            klines: INTERVALS
                .iter()
                .map(|interval| own(&format!("kline_{interval}")))
                .collect(),
            mini_ticker: own("miniTicker"),
            ticker: own("ticker"),
            klines_sent: vec![(Time::ZERO, Time::ZERO, 0); INTERVALS.len()],
            ticker_sent: (Time::ZERO, 0),
            quote_sent: 0,
        }
    }

    /// Offers what is due to `send`, which says whether anybody wanted it.
    fn due(
        &mut self,
        now: Time,
        symbol: &Symbol,
        mut send: impl FnMut(&str, &dyn Fn() -> String) -> bool,
    ) {
        let streams = self.klines.iter().zip(&mut self.klines_sent);
        for (interval, (stream, sent)) in streams.enumerate() {
            let (Some(stream), Some(bar), Some(name)) = (
                stream,
                symbol.candles.open(interval),
                INTERVALS.get(interval),
            ) else {
                continue;
            };
            let pace = if interval == 0 { SECOND } else { 2 * SECOND };
            let changed = (sent.1, sent.2) != (bar.open_time, bar.trades);
            if changed
                && now.since(sent.0) >= pace
                && send(stream, &|| {
                    text::kline(&symbol.instrument, now, name, &bar, false)
                })
            {
                *sent = (now, bar.open_time, bar.trades);
            }
        }
        let last = symbol.trades.back().map_or(0, |trade| trade.id);
        if last == self.ticker_sent.1 || now.since(self.ticker_sent.0) < SECOND {
            return;
        }
        self.ticker_sent = (now, last);
        if let Some(day) = symbol.candles.day(now) {
            if let Some(stream) = &self.mini_ticker {
                send(stream, &|| text::mini_ticker(&symbol.instrument, now, &day));
            }
            if let Some(stream) = &self.ticker {
                send(stream, &|| text::ticker(symbol, now, &day));
            }
        }
    }
}
