//! Who is connected, who wants which stream, and the handing over of messages.
//!
//! Invariants: a client's queue is bounded; a message is never dropped for a client that stays: a
//! client that does not take its messages within the publisher's patience is cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};

use super::faults::Pattern;
use super::market::MarketKind;
use super::outlet::{Part, part};
use crate::kernel::types::Time;

/// Messages that wait for one client.
pub(super) const QUEUE: usize = 1_024;
/// Streams on one connection, as Binance limits them.
pub(super) const STREAMS_MAX: usize = 1_024;

/// What a client's writer is told to do.
#[derive(Debug, Clone)]
pub(super) enum Outgoing {
    /// Send a text message.
    Text(Bytes),
    /// Answer a ping.
    Pong(Bytes),
    /// Say good-bye with a close frame of this payload, then end.
    Close(Bytes),
    /// End the connection without a word (a fault on demand).
    Cut,
}

/// A stream message in both forms.
#[derive(Debug, Clone)]
pub(super) struct Payload {
    /// `{"stream":…,"data":…}`.
    combined: Bytes,
    /// The data alone.
    raw: Bytes,
}

impl Payload {
    /// Puts data into the envelope of `stream`.
    pub(super) fn wrap(stream: &str, data: &str) -> Self {
        let head = format!("{{\"stream\":\"{stream}\",\"data\":");
        let mut text = Vec::with_capacity(head.len() + data.len() + 1);
        text.extend_from_slice(head.as_bytes());
        text.extend_from_slice(data.as_bytes());
        text.push(b'}');
        let combined = Bytes::from(text);
        let raw = combined.slice(head.len()..combined.len() - 1);
        Self { combined, raw }
    }

    /// A message of a protocol without envelopes.
    pub(super) fn plain(text: String) -> Self {
        let raw = Bytes::from(text);
        Self {
            combined: raw.clone(),
            raw,
        }
    }

    /// A recorded message with its envelope; `data` is the part of `frame` inside of it.
    pub(super) fn recorded(frame: &Bytes, data: &str) -> Self {
        Self {
            combined: frame.clone(),
            raw: frame.slice_ref(data.as_bytes()),
        }
    }

    /// The data alone.
    pub(super) fn data(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// Both forms, changed by `change`.
    pub(super) fn spoil(&self, mut change: impl FnMut(&[u8]) -> Vec<u8>) -> Self {
        Self {
            combined: change(&self.combined).into(),
            raw: change(&self.raw).into(),
        }
    }

    /// The form that a client wants.
    pub(super) fn text(&self, client: &Client) -> Bytes {
        if client.combined.load(Ordering::Relaxed) {
            self.combined.clone()
        } else {
            self.raw.clone()
        }
    }
}

/// Which kind of connection: USDⓈ-M spreads its streams over several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// All streams of the market.
    All,
    /// Books and best prices of USDⓈ-M.
    Public,
    /// Everything else of USDⓈ-M.
    Market,
}

/// How a connection ends that is told to.
#[derive(Debug, Clone)]
pub(super) struct Farewell {
    /// A message before the end, and how long before it.
    pub(super) notice: Option<Payload>,
    pub(super) grace: Duration,
    /// Payload of the close frame.
    pub(super) close: Bytes,
}

/// A connected client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    pub(super) market: MarketKind,
    pub(super) route: Route,
    queue: mpsc::Sender<Outgoing>,
    /// Whether messages go out in the envelope.
    pub(super) combined: AtomicBool,
    names: Mutex<BTreeSet<String>>,
    /// Rung when the connection has to end at once.
    pub(super) cut: Notify,
    /// Pings since the last pong.
    pub(super) pings_unanswered: AtomicU64,
    /// Until when (by the wall clock) it is not read from, and not written to.
    pub(super) deaf_until: AtomicI64,
    pub(super) mute_until: AtomicI64,
    /// Tells the connection to end in order.
    pub(super) farewell: watch::Sender<Option<Farewell>>,
}

impl Client {
    /// Queues a message for this client alone, waiting for space. `false` if it is gone.
    pub(super) async fn send(&self, message: Outgoing) -> bool {
        self.queue.send(message).await.is_ok()
    }

    /// A place in its queue; `None` if it is gone.
    pub(super) async fn reserve(&self) -> Option<mpsc::Permit<'_, Outgoing>> {
        self.queue.reserve().await.ok()
    }

    /// The names of its streams.
    pub(super) fn subscriptions(&self) -> Vec<String> {
        self.names.lock().iter().cloned().collect()
    }

    /// Whether it has this stream.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.lock().contains(name)
    }
}

/// The streams of a symbol that clients need before playback begins for it.
#[derive(Debug, Clone)]
pub(super) struct Need {
    /// Which market.
    pub(super) market: MarketKind,
    /// Upper-case symbol.
    pub(super) symbol: String,
    /// Whether depth can be had, and so is needed.
    pub(super) depth: bool,
    /// Whether trades can be had, and so are needed.
    pub(super) trades: bool,
}

impl Need {
    /// Whether these streams of the market, wherever they are read, are enough.
    fn met<'a>(&self, names: impl Iterator<Item = &'a String>) -> bool {
        let (mut depth, mut trades) = (!self.depth, !self.trades);
        for name in names {
            match part(self.market, name) {
                Some((symbol, Part::Depth)) if symbol == self.symbol => depth = true,
                Some((symbol, Part::Trades)) if symbol == self.symbol => trades = true,
                _ => {}
            }
        }
        depth && trades
    }
}

/// The clients of a stream.
pub(super) type Audience = Arc<[Arc<Client>]>;

/// Who is here and who wants what; one lock, so that the two never disagree.
#[derive(Debug, Default)]
struct Registry {
    clients: BTreeMap<u64, Arc<Client>>,
    /// By market and name.
    streams: [BTreeMap<String, Audience>; MarketKind::ALL.len()],
}

impl Registry {
    fn of(&self, market: MarketKind) -> Option<&BTreeMap<String, Audience>> {
        self.streams.get(market.index())
    }

    /// Adds a client to a stream's audience or takes it away.
    fn rebuild(&mut self, name: &str, client: &Arc<Client>, add: bool) {
        let Some(streams) = self.streams.get_mut(client.market.index()) else {
            return;
        };
        let mut audience: Vec<Arc<Client>> = streams
            .get(name)
            .map(|audience| audience.to_vec())
            .unwrap_or_default();
        audience.retain(|other| other.id != client.id);
        if add {
            audience.push(Arc::clone(client));
        }
        if audience.is_empty() {
            streams.remove(name);
        } else {
            streams.insert(name.to_owned(), audience.into());
        }
    }
}

/// More streams than a connection may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {STREAMS_MAX} streams on one connection")]
pub(super) struct TooManyStreams;

/// All clients and their subscriptions.
#[derive(Debug)]
pub(super) struct Hub {
    registry: Mutex<Registry>,
    needs: Vec<Need>,
    complete: AtomicBool,
    /// Rung when the subscriptions become complete.
    changed: Notify,
    next_id: AtomicU64,
    /// How long a publisher waits for a client with a full queue.
    patience: Duration,
    delivered: AtomicU64,
}

impl Hub {
    /// A hub without clients.
    pub(super) fn new(needs: Vec<Need>, patience: Duration) -> Self {
        Self {
            registry: Mutex::default(),
            needs,
            complete: AtomicBool::new(false),
            changed: Notify::new(),
            next_id: AtomicU64::new(1),
            patience,
            delivered: AtomicU64::new(0),
        }
    }

    /// Lets a client in.
    pub(super) fn join(
        &self,
        market: MarketKind,
        route: Route,
        combined: bool,
    ) -> (Arc<Client>, mpsc::Receiver<Outgoing>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let client = Arc::new(Client {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            market,
            route,
            queue,
            combined: AtomicBool::new(combined),
            names: Mutex::default(),
            cut: Notify::new(),
            pings_unanswered: AtomicU64::new(0),
            deaf_until: AtomicI64::new(0),
            mute_until: AtomicI64::new(0),
            farewell: watch::Sender::new(None),
        });
        let mut registry = self.registry.lock();
        registry.clients.insert(client.id, Arc::clone(&client));
        drop(registry);
        (client, waiting)
    }

    /// Forgets a client.
    pub(super) fn leave(&self, client: &Arc<Client>) {
        let mut registry = self.registry.lock();
        registry.clients.remove(&client.id);
        let names = std::mem::take(&mut *client.names.lock());
        for name in &names {
            registry.rebuild(name, client, false);
        }
        self.review(&registry);
    }

    /// Subscribes a client, to all of `names` or to none. One that has left stays without. Names
    /// that `carried` denies are accepted and stay silent.
    pub(super) fn subscribe(
        &self,
        client: &Arc<Client>,
        names: &[String],
        carried: impl Fn(&str) -> bool,
    ) -> Result<(), TooManyStreams> {
        let mut registry = self.registry.lock();
        if !registry.clients.contains_key(&client.id) {
            return Ok(());
        }
        let mut have = client.names.lock();
        let new: BTreeSet<&String> = names.iter().filter(|n| !have.contains(*n)).collect();
        if have.len() + new.len() > STREAMS_MAX {
            return Err(TooManyStreams);
        }
        for name in new {
            have.insert(name.clone());
            if carried(name) {
                registry.rebuild(name, client, true);
            }
        }
        drop(have);
        self.review(&registry);
        Ok(())
    }

    /// Unsubscribes a client; names that it does not have are passed over.
    pub(super) fn unsubscribe(&self, client: &Arc<Client>, names: &[String]) {
        let mut registry = self.registry.lock();
        for name in names {
            if client.names.lock().remove(name) {
                registry.rebuild(name, client, false);
            }
        }
        self.review(&registry);
    }

    /// Looks again whether the subscriptions of all clients together are complete for some symbol:
    /// clients spread depth and trades over connections (USDⓈ-M makes them).
    fn review(&self, registry: &Registry) {
        if self.needs.is_empty() {
            return;
        }
        let complete = self.needs.iter().any(|need| {
            registry
                .of(need.market)
                .is_some_and(|streams| need.met(streams.keys()))
        });
        if !self.complete.swap(complete, Ordering::AcqRel) && complete {
            self.changed.notify_waiters();
        }
    }

    /// Waits until the subscriptions are complete.
    pub(super) async fn completed(&self) {
        loop {
            let changed = self.changed.notified();
            if self.complete.load(Ordering::Acquire) {
                return;
            }
            changed.await;
        }
    }

    /// Who wants a stream; `None` if nobody does.
    pub(super) fn audience(&self, market: MarketKind, stream: &str) -> Option<Audience> {
        self.registry.lock().of(market)?.get(stream).cloned()
    }

    /// Clients of a market (of all markets), those with a stream that fits, or the one of this id.
    pub(super) fn select(
        &self,
        market: Option<MarketKind>,
        stream: Option<&Pattern>,
        id: Option<u64>,
    ) -> Vec<Arc<Client>> {
        let clients: Vec<Arc<Client>> = self.registry.lock().clients.values().cloned().collect();
        clients
            .into_iter()
            .filter(|client| market.is_none_or(|market| client.market == market))
            .filter(|client| id.is_none_or(|id| client.id == id))
            .filter(|client| {
                stream.is_none_or(|pattern| client.names.lock().iter().any(|n| pattern.fits(n)))
            })
            .collect()
    }

    /// Hands a message to an audience.
    pub(super) async fn publish(&self, audience: &Audience, payload: &Payload) {
        for client in audience.iter() {
            let text = payload.text(client);
            if self.hand_over(client, Outgoing::Text(text)).await {
                self.delivered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    async fn hand_over(&self, client: &Arc<Client>, message: Outgoing) -> bool {
        let message = match client.queue.try_send(message) {
            Ok(()) => return true,
            Err(mpsc::error::TrySendError::Closed(_)) => return false,
            Err(mpsc::error::TrySendError::Full(message)) => message,
        };
        if let Ok(sent) = tokio::time::timeout(self.patience, client.queue.send(message)).await {
            return sent.is_ok();
        }
        tracing::warn!(
            client = client.id,
            "cut a client that did not take its messages for {} s",
            self.patience.as_secs_f64()
        );
        client.cut.notify_one();
        self.leave(client);
        false
    }

    /// Ends connections after the messages that are queued: with a close frame of this payload, or
    /// without a word.
    pub(super) async fn end(&self, clients: &[Arc<Client>], close: Option<&Bytes>) {
        for client in clients {
            // Nothing comes behind the end.
            self.leave(client);
            let last = close.map_or(Outgoing::Cut, |close| Outgoing::Close(close.clone()));
            self.hand_over(client, last).await;
        }
    }

    /// Clients connected now.
    pub(super) fn clients(&self) -> usize {
        self.registry.lock().clients.len()
    }

    /// Messages handed over, to all clients together.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }
}

/// Waits while the wall clock (`now`) is before the time in `until`. It is looked at again now and
/// then, because a fault may be lifted early or last for ever.
pub(super) async fn wait_out(until: &AtomicI64, now: impl Fn() -> Time) {
    loop {
        let left = until.load(Ordering::Acquire).saturating_sub(now().0);
        if left <= 0 {
            return;
        }
        let left = Duration::from_nanos(left.unsigned_abs());
        tokio::time::sleep(left.min(Duration::from_millis(50))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(patience: Duration) -> Hub {
        let needs = vec![Need {
            market: MarketKind::Spot,
            symbol: "BTCUSDT".to_owned(),
            depth: true,
            trades: true,
        }];
        Hub::new(needs, patience)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_cut_and_the_others_get_everything() {
        let hub = hub(Duration::from_millis(20));
        let (slow, _unread) = hub.join(MarketKind::Spot, Route::All, true);
        let (good, mut read) = hub.join(MarketKind::Spot, Route::All, false);
        for client in [&slow, &good] {
            hub.subscribe(client, &names(&["btcusdt@trade"]), |_| true)
                .expect("few");
        }
        let count = QUEUE + 10;
        let reader = tokio::spawn(async move {
            let mut got = 0;
            while let Some(Outgoing::Text(text)) = read.recv().await {
                assert_eq!(text, format!("{got}"));
                got += 1;
                if got == count {
                    break;
                }
            }
            got
        });
        for at in 0..count {
            let audience = hub
                .audience(MarketKind::Spot, "btcusdt@trade")
                .expect("somebody");
            let payload = Payload::wrap("btcusdt@trade", &at.to_string());
            hub.publish(&audience, &payload).await;
        }
        assert_eq!(reader.await.expect("reader"), count);
        slow.cut.notified().await;
        assert_eq!(hub.clients(), 1);
    }

    #[tokio::test]
    async fn completeness_is_of_all_clients_of_a_market_together() {
        let hub = hub(Duration::ZERO);
        let (one, _a) = hub.join(MarketKind::Spot, Route::All, true);
        let (other, _b) = hub.join(MarketKind::Spot, Route::All, true);
        let (elsewhere, _c) = hub.join(MarketKind::Usdm, Route::All, true);
        let complete = || hub.complete.load(Ordering::Acquire);
        let subscribe = |client, streams: &[&str]| {
            hub.subscribe(client, &names(streams), |name| name != "btcusdt@trade")
                .expect("few");
        };
        subscribe(&one, &["btcusdt@depth5", "btcusdt@depth@100ms"]);
        // Another symbol, a stream that stays silent, another market.
        subscribe(&other, &["ethusdt@trade", "btcusdt@trade"]);
        subscribe(&elsewhere, &["btcusdt@aggTrade"]);
        assert!(!complete());
        subscribe(&other, &["btcusdt@aggTrade"]);
        hub.completed().await;
        hub.unsubscribe(&one, &names(&["btcusdt@depth@100ms"]));
        assert!(!complete());
        subscribe(&other, &["btcusdt@depth"]);
        assert!(complete());
        hub.leave(&other);
        assert!(!complete());
    }

    #[test]
    fn too_many_streams_are_refused_whole() {
        let hub = hub(Duration::ZERO);
        let (client, _queue) = hub.join(MarketKind::Spot, Route::All, true);
        let many: Vec<String> = (0..STREAMS_MAX).map(|n| format!("x{n}@trade")).collect();
        hub.subscribe(&client, &many, |_| true).expect("allowed");
        let more = names(&["x0@trade", "y@trade"]);
        assert_eq!(hub.subscribe(&client, &more, |_| true), Err(TooManyStreams));
        assert_eq!(client.subscriptions().len(), STREAMS_MAX);
        hub.unsubscribe(&client, &names(&["x1@trade"]));
        assert_eq!(hub.subscribe(&client, &more, |_| true), Ok(()));
    }
}
