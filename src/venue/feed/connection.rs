//! One subscribed socket: its reader task, and the messages that we send on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::gate::Gate;
use super::plan::Shard;
use super::reader::{self, Control};
use super::{LinkEnd, Shared, nanos};
use crate::kernel::types::{SECOND, Time};
use crate::status::Moment;
use crate::venue::VenueRow;
use crate::venue::access::wait_for;
use crate::venue::budget::MessageBudget;
use crate::venue::protocol::{Answer, TopicKind};
use crate::venue::ws::WsWriter;

/// Answers and notices between a reader and the owner of its connection.
const CONTROL_CAPACITY: usize = 256;

/// A connection of a shard.
pub(super) struct Connection {
    shared: Arc<Shared>,
    shard: Arc<Shard>,
    writer: WsWriter,
    reader: JoinHandle<()>,
    controls: mpsc::Receiver<Control>,
    budget: MessageBudget,
    next_id: i64,
    /// Requests without an answer: their topics (places in the shard), whether they subscribe, and when
    /// the answer is overdue.
    open: BTreeMap<i64, Request>,
    pub(super) gate: Arc<Gate>,
    /// When the last frame came.
    pub(super) heard: Arc<Moment>,
    /// When its subscriptions were confirmed.
    pub(super) since: Time,
}

#[derive(Debug)]
struct Request {
    topics: Vec<usize>,
    subscribe: bool,
    overdue: Time,
}

impl Connection {
    /// Connects, subscribes to the shard but for what is `left_out`, and waits for the answers.
    pub(super) async fn open(
        shared: &Arc<Shared>,
        shard: &Arc<Shard>,
        left_out: &[usize],
        gate: Gate,
    ) -> Result<Self, LinkEnd> {
        let config = &shared.config;
        let protocol = config.access.protocol();
        let route = protocol.routes().get(shard.route);
        let path = route.map_or("/", |route| route.path);
        let (socket, writer) = config.access.stream(path, config.ws).await?;
        let gate = Arc::new(gate);
        let heard = Arc::new(Moment::default());
        let now = shared.clock.now();
        heard.set(now);
        let (to_owner, controls) = mpsc::channel(CONTROL_CAPACITY);
        let reading = reader::read(
            Arc::clone(shared),
            socket,
            Arc::clone(&gate),
            Arc::clone(&heard),
            to_owner,
        );
        let mut connection = Self {
            shared: Arc::clone(shared),
            shard: Arc::clone(shard),
            writer,
            reader: tokio::spawn(reading),
            controls,
            budget: MessageBudget::new(VenueRow::of(config.access.venue()).limits),
            next_id: 1,
            open: BTreeMap::new(),
            gate,
            heard,
            since: now,
        };
        let wanted = (0..shard.feeds.len()).filter(|at| !left_out.contains(at));
        let all: Vec<usize> = wanted.collect();
        connection.request(true, &all).await?;
        while !connection.open.is_empty() {
            let wait = timeout(config.answer, connection.next()).await;
            match wait.map_err(|_| LinkEnd::NoAnswer)? {
                Control::Answer(answer) => connection.answered(answer).await?,
                Control::Shutdown => return Err(LinkEnd::Announced),
                Control::Ended(why) => return Err(LinkEnd::Reader(why)),
            }
        }
        connection.since = shared.clock.now();
        Ok(connection)
    }

    /// The next word of the reader. Cancel-safe.
    pub(super) async fn next(&mut self) -> Control {
        let gone = || Control::Ended("the reader is gone".to_owned());
        self.controls.recv().await.unwrap_or_else(gone)
    }

    /// Subscribes to topics of the shard, or leaves them.
    pub(super) async fn request(
        &mut self,
        subscribe: bool,
        topics: &[usize],
    ) -> Result<(), LinkEnd> {
        let mut rest: Vec<usize> = topics.to_vec();
        let named: Vec<&str> = rest
            .iter()
            .filter_map(|at| self.shard.feeds.get(*at))
            .map(|feed| feed.topic.name.as_str())
            .collect();
        let protocol = self.shared.config.access.protocol();
        for message in protocol.subscriptions(subscribe, &named, self.next_id) {
            let clock = &self.shared.clock;
            let budget = &mut self.budget;
            wait_for(clock, |now| budget.take(now)).await;
            self.writer.text(&message.text).await?;
            self.next_id = self.next_id.max(message.id.saturating_add(1));
            let later = rest.split_off(message.topics.min(rest.len()));
            let request = Request {
                topics: std::mem::replace(&mut rest, later),
                subscribe,
                overdue: clock.now().plus(nanos(self.shared.config.answer)),
            };
            for (_, stream) in self.streams(&request.topics) {
                stream.subscribed.store(subscribe, Ordering::Relaxed);
            }
            self.await_events(&request);
            if subscribe && self.gate.is_open() {
                self.await_snapshots(&request.topics);
            }
            self.open.insert(message.id, request);
        }
        Ok(())
    }

    /// Takes the answer to a request of ours. A refused one is tried again in halves: one topic that
    /// the venue does not have must not keep the others away.
    pub(super) async fn answered(&mut self, answer: Answer) -> Result<(), LinkEnd> {
        let Some(request) = answer.id.and_then(|id| self.open.remove(&id)) else {
            return match answer.error {
                // Nobody can say which of ours it is about.
                Some((code, message)) => Err(LinkEnd::Refused(code, message)),
                None => Ok(()),
            };
        };
        let refused = answer.error.filter(|_| request.subscribe);
        let Some((code, message)) = refused else {
            return Ok(());
        };
        let (first, second) = request.topics.split_at(request.topics.len() / 2);
        if !first.is_empty() {
            Box::pin(self.request(true, first)).await?;
            return Box::pin(self.request(true, second)).await;
        }
        for (name, stream) in self.streams(second) {
            stream.subscribed.store(false, Ordering::Relaxed);
            stream.refused.store(true, Ordering::Relaxed);
            tracing::error!(
                venue = %self.shared.status.venue, topic = name, code, message,
                "the venue refused a subscription; it is left out"
            );
        }
        Ok(())
    }

    /// Whether an answer is overdue.
    pub(super) fn overdue(&self, now: Time) -> bool {
        self.open.values().any(|request| request.overdue < now)
    }

    /// Sends what keeps the connection alive.
    pub(super) async fn ping(&mut self) -> Result<(), LinkEnd> {
        let protocol = self.shared.config.access.protocol();
        if let Some(message) = protocol.ping(self.next_id) {
            self.next_id = self.next_id.saturating_add(1);
            let budget = &mut self.budget;
            wait_for(&self.shared.clock, |now| budget.take(now)).await;
            self.writer.text(&message).await?;
        }
        Ok(())
    }

    /// Ends it; its last event has been delivered (or is held) when this returns.
    pub(super) async fn close(mut self, politely: bool) {
        if politely {
            // The socket is dropped next in any case.
            drop(timeout(Duration::from_secs(1), self.writer.close(1000, "")).await);
        }
        self.reader.abort();
        drop((&mut self.reader).await);
    }

    fn streams<'a>(
        &'a self,
        topics: &'a [usize],
    ) -> impl Iterator<Item = (&'a str, &'a super::streams::Stream)> {
        topics.iter().filter_map(|at| {
            let feed = self.shard.feeds.get(*at)?;
            let feeding = self.shared.instruments.get(feed.at)?;
            Some((feed.topic.name.as_str(), feeding.stream(feed.topic.kind)))
        })
    }

    /// Whatever was silent gets its time anew.
    fn await_events(&self, request: &Request) {
        let now = self.shared.clock.now();
        for (_, stream) in self.streams(&request.topics) {
            stream.received.set(now);
        }
    }

    /// Where the stream brings its own snapshot, it is due from now on.
    fn await_snapshots(&self, topics: &[usize]) {
        let now = self.shared.clock.now();
        let protocol = self.shared.config.access.protocol();
        let feeds = topics.iter().filter_map(|at| self.shard.feeds.get(*at));
        for feed in feeds.filter(|feed| feed.topic.kind == TopicKind::Depth) {
            let Some(feeding) = self.shared.instruments.get(feed.at) else {
                continue;
            };
            let subscribed = &feeding.stream(TopicKind::Depth).subscribed;
            let own = protocol.depth(&feeding.instrument, 1).is_none();
            if own && subscribed.load(Ordering::Relaxed) {
                feeding.awaits_snapshot.set(now.plus(SECOND));
            }
        }
    }

    /// Lets its events through, those held back first.
    pub(super) fn let_through(&self) {
        // A snapshot among the held ones is as good as one that comes later.
        if !self.gate.is_open() {
            let all: Vec<usize> = (0..self.shard.feeds.len()).collect();
            self.await_snapshots(&all);
        }
        self.gate.open(&self.shared);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
