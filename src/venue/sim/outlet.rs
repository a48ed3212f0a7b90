//! How a market's changes become messages: what each protocol writes for itself, over the same state.
//!
//! An outlet belongs to one symbol and is called under its lock, so what it says, what a new
//! subscriber is greeted with and what REST answers are one and the same state.

use std::collections::BTreeSet;
use std::fmt;

use super::candles::Bar;
use super::hub::{Audience, Hub, Payload};
use super::market::MarketKind;
use super::symbol::{Change, Symbol};
use super::{binance, bybit};
use crate::kernel::types::Time;

/// A frame to send as it was recorded.
#[derive(Debug)]
pub(super) struct Recorded {
    /// The stream it belongs to.
    pub(super) stream: String,
    /// The venue's id in it: the last update id of depth, the id of a trade.
    pub(super) id: u64,
    /// The frame.
    pub(super) payload: Payload,
}

/// A message on its way to whoever subscribed.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) stream: String,
    /// The venue's id in it; zero where it has none.
    pub(super) id: u64,
    pub(super) payload: Payload,
    pub(super) audience: Audience,
}

/// Collects the messages that somebody wants.
#[derive(Debug)]
pub(super) struct Out<'a> {
    hub: &'a Hub,
    kind: MarketKind,
    pub(super) messages: Vec<Message>,
}

impl<'a> Out<'a> {
    pub(super) const fn new(hub: &'a Hub, kind: MarketKind) -> Self {
        Self {
            hub,
            kind,
            messages: Vec::new(),
        }
    }

    /// Whether somebody has subscribed to a stream.
    pub(super) fn wanted(&self, stream: &str) -> bool {
        self.hub.audience(self.kind, stream).is_some()
    }

    /// Writes a message if somebody wants it; whether somebody did.
    pub(super) fn add(&mut self, stream: &str, id: u64, data: impl FnOnce() -> String) -> bool {
        let Some(audience) = self.hub.audience(self.kind, stream) else {
            return false;
        };
        let payload = if self.kind.is_bybit() {
            Payload::plain(data())
        } else {
            Payload::wrap(stream, &data())
        };
        self.messages.push(Message {
            stream: stream.to_owned(),
            id,
            payload,
            audience,
        });
        true
    }

    /// A recorded frame.
    pub(super) fn recorded(&mut self, recorded: &Recorded) {
        if let Some(audience) = self.hub.audience(self.kind, &recorded.stream) {
            self.messages.push(Message {
                stream: recorded.stream.clone(),
                id: recorded.id,
                payload: recorded.payload.clone(),
                audience,
            });
        }
    }
}

/// Tells of one symbol in its market's protocol.
pub(super) trait Outlet: fmt::Debug + Send {
    /// A change that the symbol contains by now, and the frame that it was recorded in.
    fn follow(
        &mut self,
        symbol: &Symbol,
        now: Time,
        change: &Change,
        recorded: Option<&Recorded>,
        out: &mut Out<'_>,
    );

    /// All changes of one instant have been told.
    fn settle(&mut self, symbol: &Symbol, now: Time, out: &mut Out<'_>);

    /// A candle of the interval at `interval` in [`super::candles::INTERVALS`] has ended.
    fn closed(&mut self, symbol: &Symbol, now: Time, interval: usize, bar: &Bar, out: &mut Out<'_>);

    /// What is due by its own pace.
    fn due(&mut self, symbol: &Symbol, now: Time, out: &mut Out<'_>);

    /// What a new subscriber of `stream` is told first.
    fn greet(&mut self, symbol: &Symbol, now: Time, stream: &str) -> Option<Payload>;

    /// The update id of the widest stream of the book, where that counts by itself (Bybit).
    fn counter(&self) -> u64;

    /// The service has started anew: its own counters do as well.
    fn restart(&mut self);

    /// Streams of whole books start anew without being asked to.
    fn resend(&mut self, symbol: &Symbol, now: Time, out: &mut Out<'_>);
}

/// The outlet of a symbol; `recorded` names the streams that the source has by itself.
pub(super) fn outlet(
    kind: MarketKind,
    symbol: &Symbol,
    recorded: &BTreeSet<String>,
) -> Box<dyn Outlet> {
    if kind.is_bybit() {
        Box::new(bybit::Topics::new(kind, &symbol.instrument, recorded))
    } else {
        Box::new(binance::Streams::new(kind, &symbol.instrument, recorded))
    }
}

/// What depth and trade streams are of: the symbol in upper case.
pub(super) fn part(kind: MarketKind, stream: &str) -> Option<(String, Part)> {
    if kind.is_bybit() {
        bybit::part(stream)
    } else {
        binance::part(stream)
    }
}

/// The streams that a client needs for a book and candles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Differences of the order book.
    Depth,
    /// Trades.
    Trades,
}
