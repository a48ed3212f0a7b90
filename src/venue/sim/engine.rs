//! From a change of a market to what clients receive: state first, then the frame itself, then what
//! follows from it (other names of the stream, klines, tickers). Recordings and the synthetic
//! market both come through here, one change after the other, and so do faults of messages.
//!
//! Invariant: the state contains a change before the first client is sent it, so a REST snapshot
//! is never older than the stream.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::faults::{Event, FaultId, FaultKind, Occasion, Order};
use super::hub::{Client, Payload};
use super::market::{Listed, Market};
use super::outlet::{Message, Out, Part, Recorded, part};
use super::shared::Shared;
use super::symbol::Change;
use super::synthetic::Random;
use crate::kernel::types::{MILLISECOND, Time};

/// How often klines and tickers are looked at, in venue time.
const LOOK_EVERY: i64 = 100 * MILLISECOND;
/// Messages that faults hold back; further ones are lost.
const HELD_MAX: usize = 65_536;

/// A message that comes later than it should.
#[derive(Debug)]
struct Held {
    due: Time,
    fault: FaultId,
    message: Message,
}

/// Applies changes and publishes what comes of them. There is one per market.
#[derive(Debug)]
pub(super) struct Engine {
    shared: Arc<Shared>,
    market: Arc<Market>,
    depth_frames: u64,
    looked: Time,
    /// By stream: what is held back, in order.
    held: BTreeMap<String, VecDeque<Held>>,
    held_len: usize,
    /// By stream: the message that comes behind the next one.
    swapped: BTreeMap<String, Message>,
    random: Random,
}

impl Engine {
    pub(super) fn new(shared: Arc<Shared>, market: Arc<Market>) -> Self {
        let random = Random::new(market.kind.index() as u64, 0xf11b);
        Self {
            shared,
            market,
            depth_frames: 0,
            looked: Time::ZERO,
            held: BTreeMap::new(),
            held_len: 0,
            swapped: BTreeMap::new(),
            random,
        }
    }

    /// One frame: the changes of the symbol at `at` that happened at venue time `time` (none where the
    /// venue keeps nothing of it), and the frame itself where it was recorded.
    pub(super) async fn play(
        &mut self,
        time: Option<Time>,
        at: Option<usize>,
        changes: &[Change],
        recorded: Option<&Recorded>,
    ) {
        let now = self.advance(time);
        self.release(now).await;
        let market = Arc::clone(&self.market);
        let shared = Arc::clone(&self.shared);
        let mut out = Out::new(&shared.hub, market.kind);
        if let Some(recorded) = recorded {
            out.recorded(recorded);
        }
        if let Some(listed) = at.and_then(|at| market.symbols.get(at)) {
            let Listed { symbol, outlet } = &mut *listed.lock();
            for change in changes {
                let closed = symbol.apply(now, change);
                outlet.follow(symbol, now, change, recorded, &mut out);
                if matches!(change, Change::Restart(_)) {
                    outlet.restart();
                    outlet.resend(symbol, now, &mut out);
                }
                for (interval, bar) in &closed {
                    outlet.closed(symbol, now, *interval, bar, &mut out);
                }
            }
            // Recorded frames are batches already.
            if recorded.is_some() {
                outlet.settle(symbol, now, &mut out);
            }
        }
        let mut messages = out.messages;
        if let [Change::Depth(delta)] = changes {
            self.depth_frames += 1;
            let name = recorded.map_or("", |recorded| recorded.stream.as_str());
            let event = self.event(Occasion::Depth, name, delta.last_id, now);
            if !self.shared.desk.orders(&event).is_empty() {
                let kind = self.market.kind;
                messages.retain(|message| {
                    part(kind, &message.stream).is_none_or(|(_, part)| part != Part::Depth)
                });
            }
        }
        self.send(messages, now).await;
        self.look(now).await;
        self.shared.status.count_frame();
        let frame = self.market.count_frame();
        self.frame_faults(frame, now).await;
    }

    /// All changes of one instant of the symbol at `at` were played.
    pub(super) async fn settle(&mut self, at: usize) {
        let now = self.market.advance_to(None);
        let messages = self.collect(at, |listed, out| {
            let Listed { symbol, outlet } = listed;
            outlet.settle(symbol, now, out);
        });
        self.send(messages, now).await;
    }

    /// Closes candles and sends what is due although nothing happened.
    pub(super) async fn idle(&mut self, time: Time) {
        let now = self.advance(Some(time));
        self.release(now).await;
        self.look(now).await;
        self.frame_faults(self.market.frames(), now).await;
    }

    /// The counters of the protocol start anew (of a recording: its ids are what they are).
    pub(super) async fn restart(&mut self) {
        let now = self.market.advance_to(None);
        for at in 0..self.market.symbols.len() {
            let messages = self.collect(at, |listed, out| {
                let Listed { symbol, outlet } = listed;
                outlet.restart();
                outlet.resend(symbol, now, out);
            });
            self.send(messages, now).await;
        }
    }

    fn advance(&self, time: Option<Time>) -> Time {
        let now = self.market.advance_to(time);
        self.shared.status.advance_to(now);
        now
    }

    fn collect(&self, at: usize, tell: impl FnOnce(&mut Listed, &mut Out<'_>)) -> Vec<Message> {
        let mut out = Out::new(&self.shared.hub, self.market.kind);
        if let Some(listed) = self.market.symbols.get(at) {
            tell(&mut listed.lock(), &mut out);
        }
        out.messages
    }

    /// Klines that have changed, tickers and whatever else has its own pace.
    async fn look(&mut self, now: Time) {
        if now.since(self.looked) < LOOK_EVERY {
            return;
        }
        self.looked = now;
        for at in 0..self.market.symbols.len() {
            let messages = self.collect(at, |listed, out| {
                let Listed { symbol, outlet } = listed;
                for (interval, bar) in symbol.advance(now) {
                    outlet.closed(symbol, now, interval, &bar, out);
                }
                outlet.due(symbol, now, out);
            });
            self.send(messages, now).await;
        }
    }

    fn event<'a>(&self, occasion: Occasion, name: &'a str, id: u64, now: Time) -> Event<'a> {
        Event {
            occasion,
            market: self.market.kind,
            name,
            id,
            frame: self.depth_frames,
            now,
            age: self.market.age(),
            connection: None,
        }
    }

    async fn frame_faults(&mut self, frame: u64, now: Time) {
        let event = Event {
            frame,
            ..self.event(Occasion::Frame, "", 0, now)
        };
        for order in self.shared.desk.orders(&event) {
            self.shared.act(&self.market, &order).await;
        }
    }

    async fn send(&mut self, messages: Vec<Message>, now: Time) {
        for message in messages {
            let event = self.event(Occasion::Message, &message.stream, message.id, now);
            let orders = self.shared.desk.orders(&event);
            if orders.is_empty() && self.held.is_empty() && self.swapped.is_empty() {
                self.publish(&message).await;
            } else {
                self.spoil(message, &orders, now).await;
            }
        }
    }

    async fn publish(&self, message: &Message) {
        let hub = &self.shared.hub;
        hub.publish(&message.audience, &message.payload).await;
    }

    /// Sends a message as faults want it.
    async fn spoil(&mut self, mut message: Message, orders: &[Order], now: Time) {
        let mut copies = 1;
        let mut swap = false;
        let mut due: Option<(Time, FaultId)> = None;
        for order in orders {
            if let Some(only) = order.target.connection {
                self.split(&mut message, only).await;
            }
            match order.kind {
                FaultKind::Drop => copies = 0,
                FaultKind::Duplicate => copies *= 2,
                FaultKind::Reorder => swap = true,
                FaultKind::Delay(by) => {
                    let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
                    due = Some((now.plus(by), order.fault));
                }
                FaultKind::Stall => match order.until {
                    Some(until) => due = Some((until, order.fault)),
                    None => copies = 0,
                },
                FaultKind::Truncate => {
                    message.payload = message
                        .payload
                        .spoil(|bytes| bytes.get(..bytes.len() / 2).unwrap_or_default().to_vec());
                }
                FaultKind::FlipBit => {
                    let random = &mut self.random;
                    message.payload = message.payload.spoil(|bytes| {
                        let mut bytes = bytes.to_vec();
                        let at = random.below(bytes.len());
                        if let Some(byte) = bytes.get_mut(at) {
                            // Not the highest: the frame stays text.
                            *byte ^= 1 << random.below(7);
                        }
                        bytes
                    });
                }
                _ => {}
            }
        }
        // Nothing overtakes what is held back on its stream.
        let behind = self.held.get(&message.stream).and_then(VecDeque::back);
        if let Some(last) = behind {
            due = match due {
                Some((time, fault)) if time > last.due => Some((time, fault)),
                _ => Some((last.due, last.fault)),
            };
        }
        if swap && copies > 0 && !self.swapped.contains_key(&message.stream) {
            self.swapped.insert(message.stream.clone(), message);
            return;
        }
        let swapped = self.swapped.remove(&message.stream);
        for message in std::iter::repeat_n(message, copies).chain(swapped) {
            match due {
                Some((due, fault)) => self.hold(message, due, fault),
                None => self.publish(&message).await,
            }
        }
        for order in orders {
            self.shared.act(&self.market, order).await;
        }
    }

    /// Sends a message to all but one client, for whom alone it stays.
    async fn split(&self, message: &mut Message, only: u64) {
        let (one, others): (Vec<Arc<Client>>, Vec<_>) = message
            .audience
            .iter()
            .cloned()
            .partition(|client| client.id == only);
        message.audience = one.into();
        let hub = &self.shared.hub;
        hub.publish(&others.into(), &message.payload).await;
    }

    fn hold(&mut self, message: Message, due: Time, fault: FaultId) {
        if self.held_len >= HELD_MAX {
            tracing::warn!("fault on demand: {HELD_MAX} messages are held back, more are lost");
            return;
        }
        self.held_len += 1;
        let queue = self.held.entry(message.stream.clone()).or_default();
        queue.push_back(Held {
            due,
            fault,
            message,
        });
    }

    /// Sends what was held back long enough, and what a lifted fault held.
    async fn release(&mut self, now: Time) {
        if self.held_len == 0 {
            return;
        }
        let mut free = Vec::new();
        let desk = &self.shared.desk;
        self.held.retain(|_, queue| {
            while let Some(held) = queue.front() {
                if held.due > now && !desk.was_lifted(held.fault) {
                    break;
                }
                free.extend(queue.pop_front());
            }
            !queue.is_empty()
        });
        self.held_len -= free.len();
        for held in free {
            self.publish(&held.message).await;
        }
    }
}

/// What a subscriber of `stream` is told first, if there is something. Under the symbol's lock the
/// subscription itself is made by `subscribe`, so that nothing comes between the two.
pub(super) fn greet(
    market: &Market,
    at: usize,
    now: Time,
    stream: &str,
    subscribe: impl FnOnce(),
) -> Option<Payload> {
    let listed = market.symbols.get(at)?;
    let Listed { symbol, outlet } = &mut *listed.lock();
    subscribe();
    outlet.greet(symbol, now, stream)
}
