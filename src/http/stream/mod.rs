//! Streams: what the API answers, sent again whenever it changes, over WebSockets (`socket.rs`) and
//! server-sent events (`events.rs`).
//!
//! One task (`publisher.rs`) makes each document once and hands it to all clients; without clients it
//! sleeps. Market data and state are conflated: a client gets the newest of a topic, however slow it is.
//! Changes of orders and fills are not: each goes out once it is durable, in order, and a client that falls
//! [`HttpConfig::stream_queue`] of them behind is disconnected and told why. A client has no queue of its
//! own: it holds its place in one that all share, so a slow one costs nothing.
//!
//! [`HttpConfig::stream_queue`]: crate::http::HttpConfig::stream_queue

mod client;
mod events;
mod publisher;
mod request;
mod socket;
mod topic;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};

use hyper::header::{HeaderValue, RETRY_AFTER};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, watch};

use self::topic::{Topic, TopicKey};
use super::api::order_out;
use super::problem::{Code, Problem};
use super::state::{App, HttpConfig};
use crate::json::Json;
use crate::kernel::event::{OrderChange, Seq};
use crate::metrics::{StreamClient, StreamMetrics};

pub(super) use self::events::events;
pub(super) use self::publisher::publish;
pub(super) use self::socket::socket;

/// Fills that a new follower is shown.
const FILLS_SHOWN: usize = 100;

/// What all streams share.
#[derive(Debug)]
pub(crate) struct Streams {
    permits: Arc<Semaphore>,
    clients_max: u32,
    /// Topics that somebody follows.
    topics: Mutex<BTreeMap<TopicKey, Weak<Topic>>>,
    /// Changes when a topic has.
    pulse: watch::Sender<()>,
    orders: broadcast::Sender<Arc<OrderEvent>>,
    released: Mutex<Released>,
    /// Wakes the publisher for a new follower.
    news: Notify,
    stop: watch::Sender<bool>,
    metrics: StreamMetrics,
}

/// What of the orders has gone out.
#[derive(Debug, Default)]
struct Released {
    through: Seq,
    /// The newest fills, oldest first.
    fills: std::collections::VecDeque<Arc<OrderEvent>>,
}

/// Something that followers of orders must not miss.
#[derive(Debug)]
enum OrderEvent {
    Change(OrderDocuments),
    /// Changes were lost on their way here: what follows is not complete.
    Missing,
}

/// A change of an order and its documents, made when the first client needs them.
#[derive(Debug)]
struct OrderDocuments {
    change: Arc<OrderChange>,
    /// With decimals as numbers, and as strings.
    order: [OnceLock<Arc<str>>; 2],
    fill: [OnceLock<Arc<str>>; 2],
}

impl OrderDocuments {
    fn order(&self, app: &App, strings: bool) -> &Arc<str> {
        self.order[usize::from(strings)].get_or_init(|| {
            let mut json = Json::new(strings);
            order_out::write(&mut json, app, &self.change.order);
            text_of(json.into_bytes())
        })
    }

    fn fill(&self, app: &App, strings: bool) -> &Arc<str> {
        self.fill[usize::from(strings)].get_or_init(|| {
            let mut json = Json::new(strings);
            order_out::write_fill(&mut json, app, &self.change);
            text_of(json.into_bytes())
        })
    }
}

/// A document as text, which JSON is.
fn text_of(bytes: impl AsRef<[u8]>) -> Arc<str> {
    std::str::from_utf8(bytes.as_ref())
        .unwrap_or_default()
        .into()
}

/// A client's place among those that are allowed, and in the metrics.
#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    _counted: StreamClient,
}

impl Streams {
    pub(crate) fn new(config: &HttpConfig) -> Self {
        let clients_max = config.stream_clients_max;
        Self {
            permits: Arc::new(Semaphore::new(
                usize::try_from(clients_max).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            clients_max,
            topics: Mutex::default(),
            pulse: watch::Sender::new(()),
            orders: broadcast::Sender::new(config.stream_queue),
            released: Mutex::default(),
            news: Notify::new(),
            stop: watch::Sender::new(false),
            metrics: StreamMetrics::new(),
        }
    }

    /// Tells every stream that the daemon ends.
    pub(crate) fn close(&self) {
        self.stop.send_replace(true);
    }

    /// Completes when no client is left.
    pub(crate) async fn ended(&self) {
        // Never closed; once all permits are back, nobody holds one.
        drop(self.permits.acquire_many(self.clients_max).await);
    }

    /// Lets one more client in.
    fn admit(&self, kind: &'static str) -> Result<Place, Box<Problem>> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            let max = self.clients_max;
            Problem::new(
                Code::StreamLimit,
                format!("{max} streams are open, which is the most"),
            )
            .hint("follow several topics on one stream, or raise http.stream_clients_max")
            .header(RETRY_AFTER, HeaderValue::from_static("5"))
        })?;
        Ok(Place {
            _permit: permit,
            _counted: self.metrics.client(kind),
        })
    }

    /// Sends the changes of orders that are durable and shown; whether some are durable but not shown yet.
    fn release(&self, app: &App) -> bool {
        let mut released = self.released.lock();
        let durable = *app.state.durable.borrow();
        // Who is told of a change and reads must not find the state before it.
        let shown = app.state.published.kernel.load().seq;
        let mut taken = Vec::new();
        if app.state.orders.take(durable.min(shown), &mut taken) {
            drop(self.orders.send(Arc::new(OrderEvent::Missing)));
        }
        for change in taken {
            released.through = released.through.max(change.seq);
            let is_fill = change.fill.is_some();
            let event = Arc::new(OrderEvent::Change(OrderDocuments {
                change,
                order: Default::default(),
                fill: Default::default(),
            }));
            if is_fill {
                if released.fills.len() == FILLS_SHOWN {
                    released.fills.pop_front();
                }
                released.fills.push_back(Arc::clone(&event));
            }
            // Without a receiver nobody has to get it.
            drop(self.orders.send(event));
        }
        durable > shown
    }
}
