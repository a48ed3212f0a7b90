//! Who is connected, who wants which stream, and the handing over of messages.
//!
//! Invariants: a client's queue is bounded; a message is never dropped for a client that stays: a
//! client that does not take its messages within the publisher's patience is cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::body::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

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

    /// A recorded message with its envelope; `data` is the part of `frame` inside of it.
    pub(super) fn recorded(frame: &Bytes, data: &str) -> Self {
        Self {
            combined: frame.clone(),
            raw: frame.slice_ref(data.as_bytes()),
        }
    }
}

impl Payload {
    /// The data alone.
    pub(super) fn data(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }
}

/// A connected client.
#[derive(Debug)]
pub(super) struct Client {
    id: u64,
    queue: mpsc::Sender<Outgoing>,
    /// Whether messages go out in the envelope.
    pub(super) combined: AtomicBool,
    names: Mutex<BTreeSet<String>>,
    complete: AtomicBool,
    /// Rung when the connection has to end at once.
    pub(super) cut: Notify,
    /// Pings since the last pong.
    pub(super) pings_unanswered: AtomicU64,
}

impl Client {
    /// Queues a message for this client alone, waiting for space. `false` if it is gone.
    pub(super) async fn send(&self, message: Outgoing) -> bool {
        self.queue.send(message).await.is_ok()
    }

    /// The names of its streams.
    pub(super) fn subscriptions(&self) -> Vec<String> {
        self.names.lock().iter().cloned().collect()
    }
}

/// The streams of a symbol that a client needs before playback begins for it.
#[derive(Debug, Clone)]
pub(super) struct Need {
    /// Lower-case symbol with `@`.
    pub(super) prefix: String,
    /// Whether depth can be had, and so is needed.
    pub(super) depth: bool,
    /// Whether trades can be had, and so are needed.
    pub(super) trades: bool,
}

impl Need {
    fn met(&self, names: &BTreeSet<String>) -> bool {
        let has = |kind: &str| {
            names.iter().any(|name| {
                name.strip_prefix(&self.prefix)
                    .is_some_and(|rest| rest == kind || rest.split('@').next() == Some(kind))
            })
        };
        (!self.depth || has("depth")) && (!self.trades || has("trade") || has("aggTrade"))
    }
}

/// The clients of a stream.
pub(super) type Audience = Arc<[Arc<Client>]>;

/// Who is here and who wants what; one lock, so that the two never disagree.
#[derive(Debug, Default)]
struct Registry {
    clients: BTreeMap<u64, Arc<Client>>,
    streams: BTreeMap<String, Audience>,
}

impl Registry {
    fn rebuild(&mut self, name: &str, client: &Arc<Client>, add: bool) {
        let others = self.streams.get(name).map(|a| a.iter()).unwrap_or_default();
        let mut audience: Vec<Arc<Client>> =
            others.filter(|c| c.id != client.id).cloned().collect();
        if add {
            audience.push(Arc::clone(client));
        }
        if audience.is_empty() {
            self.streams.remove(name);
        } else {
            self.streams.insert(name.to_owned(), audience.into());
        }
    }
}

/// A connection asks for more streams than it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {STREAMS_MAX} streams on one connection")]
pub(super) struct TooManyStreams;

/// All clients and their subscriptions.
#[derive(Debug)]
pub(super) struct Hub {
    registry: Mutex<Registry>,
    needs: Vec<Need>,
    complete: AtomicUsize,
    /// Rung when a client's subscription becomes complete.
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
            complete: AtomicUsize::new(0),
            changed: Notify::new(),
            next_id: AtomicU64::new(1),
            patience,
            delivered: AtomicU64::new(0),
        }
    }

    /// Lets a client in.
    pub(super) fn join(&self, combined: bool) -> (Arc<Client>, mpsc::Receiver<Outgoing>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let client = Arc::new(Client {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            queue,
            combined: AtomicBool::new(combined),
            names: Mutex::default(),
            complete: AtomicBool::new(false),
            cut: Notify::new(),
            pings_unanswered: AtomicU64::new(0),
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
        self.review(client);
    }

    /// Subscribes a client, to all of `names` or to none. One that has left stays without.
    pub(super) fn subscribe(
        &self,
        client: &Arc<Client>,
        names: &[String],
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
            registry.rebuild(name, client, true);
        }
        drop(have);
        self.review(client);
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
        self.review(client);
    }

    /// Looks again whether a client's subscription is complete. Under the registry's lock.
    fn review(&self, client: &Client) {
        let complete = {
            let names = client.names.lock();
            self.needs.iter().any(|need| need.met(&names))
        };
        if client.complete.swap(complete, Ordering::AcqRel) != complete {
            if complete {
                self.complete.fetch_add(1, Ordering::AcqRel);
                self.changed.notify_waiters();
            } else {
                self.complete.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    /// Waits until some client's subscription is complete.
    pub(super) async fn completed(&self) {
        loop {
            let changed = self.changed.notified();
            if self.complete.load(Ordering::Acquire) > 0 {
                return;
            }
            changed.await;
        }
    }

    /// Who wants a stream; `None` if nobody does.
    pub(super) fn audience(&self, stream: &str) -> Option<Audience> {
        self.registry.lock().streams.get(stream).cloned()
    }

    /// Hands a message to an audience.
    pub(super) async fn publish(&self, audience: &Audience, payload: &Payload) {
        for client in audience.iter() {
            let text = if client.combined.load(Ordering::Relaxed) {
                payload.combined.clone()
            } else {
                payload.raw.clone()
            };
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

    /// Ends every connection, after the messages that are queued.
    pub(super) async fn cut_all(&self) {
        let clients: Vec<Arc<Client>> = self.registry.lock().clients.values().cloned().collect();
        for client in clients {
            // Nothing comes behind the cut.
            self.leave(&client);
            self.hand_over(&client, Outgoing::Cut).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(patience: Duration) -> Hub {
        let needs = vec![Need {
            prefix: "btcusdt@".to_owned(),
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
        let (slow, _unread) = hub.join(true);
        let (good, mut read) = hub.join(false);
        for client in [&slow, &good] {
            hub.subscribe(client, &names(&["btcusdt@trade"]))
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
            let audience = hub.audience("btcusdt@trade").expect("somebody");
            let payload = Payload::wrap("btcusdt@trade", &at.to_string());
            hub.publish(&audience, &payload).await;
        }
        assert_eq!(reader.await.expect("reader"), count);
        slow.cut.notified().await;
        assert_eq!(hub.clients(), 1);
    }

    #[tokio::test]
    async fn completeness_is_of_one_client() {
        let hub = hub(Duration::ZERO);
        let (one, _a) = hub.join(true);
        let (other, _b) = hub.join(true);
        hub.subscribe(&one, &names(&["btcusdt@depth5", "btcusdt@depth@100ms"]))
            .expect("few");
        hub.subscribe(&other, &names(&["btcusdt@trade", "ethusdt@depth"]))
            .expect("few");
        assert_eq!(hub.complete.load(Ordering::Acquire), 0);
        hub.subscribe(&one, &names(&["btcusdt@aggTrade"]))
            .expect("few");
        hub.completed().await;
        hub.unsubscribe(&one, &names(&["btcusdt@depth@100ms"]));
        assert_eq!(hub.complete.load(Ordering::Acquire), 0);
        hub.subscribe(&one, &names(&["btcusdt@depth"]))
            .expect("few");
        hub.leave(&one);
        assert_eq!(hub.complete.load(Ordering::Acquire), 0);
    }

    #[test]
    fn too_many_streams_are_refused_whole() {
        let hub = hub(Duration::ZERO);
        let (client, _queue) = hub.join(true);
        let many: Vec<String> = (0..STREAMS_MAX).map(|n| format!("x{n}@trade")).collect();
        hub.subscribe(&client, &many).expect("allowed");
        let more = names(&["x0@trade", "y@trade"]);
        assert_eq!(hub.subscribe(&client, &more), Err(TooManyStreams));
        assert_eq!(client.subscriptions().len(), STREAMS_MAX);
        hub.unsubscribe(&client, &names(&["x1@trade"]));
        assert_eq!(hub.subscribe(&client, &more), Ok(()));
    }
}
