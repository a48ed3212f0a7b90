//! One client: what it follows, and what it is to be told next. How that is framed is not known here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::pending;
use std::ops::Bound;
use std::sync::Arc;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};

use super::topic::{Topic, What};
use super::{OrderEvent, Streams};
use crate::http::api::order_out;
use crate::http::problem::{Code, Problem};
use crate::http::state::App;
use crate::json::Json;
use crate::kernel::event::Seq;
use crate::kernel::orders::OrderId;

/// Changes of orders taken before they are sent.
const EVENTS_AT_ONCE: usize = 256;
/// A buffer that grew beyond this is given back.
const BUFFER_KEPT: usize = 32 << 10;

/// Why a client cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// It did not take the changes of orders fast enough.
    Slow,
    /// Changes were lost before they came here.
    Missing,
}

impl Behind {
    /// In words.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Slow => "cannot keep up with order events",
            Self::Missing => "order events were lost: subscribe again",
        }
    }
}

/// A message that is to be sent.
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// The whole JSON document.
    pub(super) text: &'a str,
    /// `snapshot` or `update`; a reply is neither.
    pub(super) kind: Option<&'static str>,
    /// Everything up to this sequence has been told with it.
    pub(super) id: Option<Seq>,
}

/// Messages that are to be sent, in one buffer.
#[derive(Debug, Default)]
pub(super) struct Batch {
    text: String,
    /// End in the text, and the rest of a [`Message`].
    marks: Vec<(usize, Option<&'static str>, Option<Seq>)>,
}

impl Batch {
    fn push(
        &mut self,
        (topic, seq): (&str, &mut u64),
        kind: &'static str,
        id: Option<Seq>,
        data: &str,
    ) {
        *seq += 1;
        // Topics were parsed: nothing in them needs to be escaped. Writing to a string cannot fail.
        let _written = write!(
            self.text,
            "{{\"topic\":\"{topic}\",\"seq\":{seq},\"type\":\"{kind}\",\"data\":{data}}}"
        );
        self.marks.push((self.text.len(), Some(kind), id));
    }

    /// Adds an answer to a request.
    pub(super) fn reply(&mut self, json: Json) {
        self.text.push_str(&super::text_of(json.into_bytes()));
        self.marks.push((self.text.len(), None, None));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Whether it is to be sent before more is added.
    pub(super) fn is_large(&self) -> bool {
        self.text.len() > BUFFER_KEPT
    }

    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        let mut start = 0;
        self.marks.iter().map(move |(end, kind, id)| {
            let text = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            Message {
                text,
                kind: *kind,
                id: *id,
            }
        })
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(BUFFER_KEPT);
        self.marks.clear();
    }
}

/// A conflated topic that is followed.
#[derive(Debug)]
struct Followed {
    name: String,
    topic: Arc<Topic>,
    version: u64,
    seq: u64,
}

/// A topic of order events that is followed.
#[derive(Debug)]
struct FollowedEvents {
    name: String,
    seq: u64,
    /// Changes up to here are in the snapshot.
    from: Seq,
    /// Orders whose state in the snapshot is newer than that.
    newer: BTreeMap<OrderId, Seq>,
}

impl FollowedEvents {
    /// Whether a change is news behind the snapshot.
    fn is_news(&mut self, order: OrderId, seq: Seq) -> bool {
        let known = self
            .newer
            .get(&order)
            .is_some_and(|in_snapshot| seq <= *in_snapshot);
        if self.newer.values().all(|in_snapshot| seq > *in_snapshot) {
            self.newer.clear();
        }
        seq > self.from && !known
    }
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    app: Arc<App>,
    /// Whether decimals are strings.
    strings: bool,
    topics: Vec<Followed>,
    orders: Option<FollowedEvents>,
    fills: Option<FollowedEvents>,
    events: Option<broadcast::Receiver<Arc<OrderEvent>>>,
    pulse: watch::Receiver<()>,
}

impl Client {
    pub(super) fn new(app: Arc<App>, strings: bool) -> Self {
        let pulse = app.streams.pulse.subscribe();
        Self {
            app,
            strings,
            topics: Vec::new(),
            orders: None,
            fills: None,
            events: None,
            pulse,
        }
    }

    fn streams(&self) -> &Streams {
        &self.app.streams
    }

    /// The names of what is followed.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let events = self
            .orders
            .iter()
            .chain(&self.fills)
            .map(|f| f.name.as_str());
        self.topics.iter().map(|f| f.name.as_str()).chain(events)
    }

    /// Checks topics without following any. Those that are followed already are left out.
    pub(super) fn parse(&self, names: &[String]) -> Result<Vec<(String, What)>, Box<Problem>> {
        let mut new: Vec<(String, What)> = Vec::new();
        for name in names {
            let what = What::parse(&self.app, name).map_err(|p| p.member("field", "params"))?;
            if self.names().all(|n| n != name) && new.iter().all(|(n, _)| n != name) {
                new.push((name.clone(), what));
            }
        }
        let max = self.app.config.stream_topics_max;
        if self.names().count() + new.len() > max {
            return Err(Problem::new(
                Code::StreamLimit,
                format!("a stream follows {max} topics at most"),
            )
            .hint("unsubscribe from some, open another stream, or raise http.stream_topics_max"));
        }
        Ok(new)
    }

    /// Follows a topic that was parsed, and adds its snapshot. `after` is what the client has seen of the
    /// orders before, if it says so.
    pub(super) async fn follow(
        &mut self,
        (name, what): (String, What),
        after: Option<Seq>,
        batch: &mut Batch,
    ) -> Result<(), Box<Problem>> {
        match what {
            What::Orders => self.follow_orders(name, after, batch).await,
            What::Fills => self.follow_fills(name, after, batch),
            _ => {
                let topic = self.streams().topic(&self.app, (what, self.strings))?;
                let now = topic.snapshot();
                let mut followed = Followed {
                    name,
                    topic,
                    version: now.version,
                    seq: 0,
                };
                batch.push(
                    (&followed.name, &mut followed.seq),
                    "snapshot",
                    None,
                    &now.text,
                );
                self.topics.push(followed);
            }
        }
        Ok(())
    }

    /// From here on no change is missed.
    fn listen(&mut self) {
        let app = Arc::clone(&self.app);
        let streams = &app.streams;
        self.events
            .get_or_insert_with(|| streams.orders.subscribe());
        app.state.orders.follow(true);
        streams.news.notify_one();
    }

    async fn follow_orders(&mut self, name: String, after: Option<Seq>, batch: &mut Batch) {
        self.listen();
        let app = Arc::clone(&self.app);
        let published = &app.state.published;
        // Whatever changed up to here is in the views.
        let from = published.kernel.load().seq;
        let mut newest = from;
        let mut newer = BTreeMap::new();
        let mut json = Json::new(self.strings);
        json.object(|j| {
            j.key("items").array(|j| {
                for entry in published
                    .orders
                    .range((Bound::<OrderId>::Unbounded, Bound::Unbounded))
                {
                    let view = entry.value();
                    let changed = after.is_some_and(|after| view.seq > after);
                    if view.state.is_terminal() && !changed {
                        continue;
                    }
                    if view.seq > from {
                        newer.insert(view.id, view.seq);
                        newest = newest.max(view.seq);
                    }
                    order_out::write(j, &app, view);
                }
            });
            j.key("next_cursor").null();
        });
        // Nothing is told that a crash could take back.
        let mut durable = app.state.durable.clone();
        drop(durable.wait_for(|through| *through >= newest).await);
        let text = super::text_of(json.into_bytes());
        let mut followed = FollowedEvents {
            name,
            seq: 0,
            from,
            newer,
        };
        batch.push((&followed.name, &mut followed.seq), "snapshot", None, &text);
        self.orders = Some(followed);
    }

    fn follow_fills(&mut self, name: String, after: Option<Seq>, batch: &mut Batch) {
        self.listen();
        let app = Arc::clone(&self.app);
        app.streams.release(&app);
        let released = app.streams.released.lock();
        let mut json = Json::new(self.strings);
        json.object(|j| {
            j.key("items").array(|j| {
                for event in &released.fills {
                    if let OrderEvent::Change(event) = event.as_ref()
                        && after.is_none_or(|after| event.change.seq > after)
                    {
                        j.raw(event.fill(&app, self.strings).as_bytes());
                    }
                }
            });
            j.key("next_cursor").null();
        });
        let mut followed = FollowedEvents {
            name,
            seq: 0,
            from: released.through,
            newer: BTreeMap::new(),
        };
        drop(released);
        let text = super::text_of(json.into_bytes());
        batch.push((&followed.name, &mut followed.seq), "snapshot", None, &text);
        self.fills = Some(followed);
    }

    /// How far the snapshots of order events go: what a later stream may ask to be told from.
    pub(super) fn told(&self) -> Option<Seq> {
        self.orders.iter().chain(&self.fills).map(|f| f.from).min()
    }

    /// Follows no longer; what is not followed is passed over.
    pub(super) fn unfollow(&mut self, names: &[String]) {
        let is_named = |name: &String| names.contains(name);
        self.topics.retain(|f| !is_named(&f.name));
        self.orders.take_if(|f| is_named(&f.name));
        self.fills.take_if(|f| is_named(&f.name));
        if self.orders.is_none() && self.fills.is_none() {
            self.events = None;
        }
    }

    /// Waits until there is something to tell, and adds it. Cancel-safe.
    pub(super) async fn wait(&mut self, batch: &mut Batch) -> Result<(), Behind> {
        let event = async {
            match &mut self.events {
                Some(events) => events.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            event = event => {
                match event {
                    Ok(event) => self.tell(&event, batch)?,
                    Err(RecvError::Lagged(_)) => return Err(Behind::Slow),
                    // The sender lives as long as the application, which we hold.
                    Err(RecvError::Closed) => return Err(Behind::Missing),
                }
                self.tell_waiting(batch)?;
                // Many events must not keep the rest back.
                if self.pulse.has_changed().unwrap_or_default() {
                    self.pulse.mark_unchanged();
                    self.tell_news(batch);
                }
            }
            _ = self.pulse.changed(), if !self.topics.is_empty() => self.tell_news(batch),
        }
        Ok(())
    }

    /// Adds the changes of orders that wait, up to a number.
    fn tell_waiting(&mut self, batch: &mut Batch) -> Result<(), Behind> {
        for _ in 0..EVENTS_AT_ONCE {
            let Some(events) = &mut self.events else {
                break;
            };
            match events.try_recv() {
                Ok(event) => self.tell(&event, batch)?,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                Err(TryRecvError::Lagged(_)) => return Err(Behind::Slow),
            }
        }
        Ok(())
    }

    fn tell(&mut self, event: &OrderEvent, batch: &mut Batch) -> Result<(), Behind> {
        let OrderEvent::Change(event) = event else {
            return Err(Behind::Missing);
        };
        let (order, seq) = (event.change.order.id, event.change.seq);
        // The fill first: who has the order's id of this change has everything of it.
        let fills = self.fills.as_mut().filter(|_| event.change.fill.is_some());
        let orders = self.orders.as_mut();
        let id = orders.is_none().then_some(seq);
        if let Some(fills) = fills
            && fills.is_news(order, seq)
        {
            let text = event.fill(&self.app, self.strings);
            batch.push((&fills.name, &mut fills.seq), "update", id, text);
        }
        if let Some(orders) = orders
            && orders.is_news(order, seq)
        {
            let text = event.order(&self.app, self.strings);
            batch.push((&orders.name, &mut orders.seq), "update", Some(seq), text);
        }
        Ok(())
    }

    fn tell_news(&mut self, batch: &mut Batch) {
        for followed in &mut self.topics {
            if let Some(now) = followed.topic.news(followed.version) {
                followed.version = now.version;
                batch.push(
                    (&followed.name, &mut followed.seq),
                    "update",
                    None,
                    &now.text,
                );
            }
        }
    }
}
