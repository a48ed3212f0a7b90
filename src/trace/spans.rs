//! From marks to spans. One trace for each order: the root `order` from what caused it to its end, and below
//! it the stages, each from the end of the one before:
//!
//! | span | from | to |
//! |---|---|---|
//! | `feed.decode` | the frame's last byte was read | it was decoded |
//! | `kernel.queue` | decoded (or read) | the kernel took it |
//! | `kernel.step` | taken | the step has ended; its event says who decided, the intent is made within |
//! | `journal.write` | the step has ended | the kernel was told that the intent is durable, and sent the order |
//! | `venue.submit` | sent | the venue's first answer was booked |
//! | `order.fill` | the answer, or the fill before | the fill was booked |
//!
//! Within a step there is no clock, so a decision has no length of its own. Times are those of our clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::probe::{Cause, Mark, Step};
use super::{Sampler, SpanId, TraceId};
use crate::kernel::event::{OrderChange, Seq};
use crate::kernel::orders::{Link, Order, OrderId, OrderState, Origin};
use crate::kernel::snapshot::Published;
use crate::kernel::types::{Instrument, SECOND, Time, format_fixed};

/// Traces that are open at most; the oldest one is closed for a new one.
const OPEN_MAX: usize = 2_048;
/// How long a trace stays open: an order that rests longer is closed as open.
const OPEN_NS_MAX: i64 = 600 * SECOND;
/// Fills of an order that get spans.
const FILLS_MAX: u32 = 64;

/// What a span is to others, by OTLP's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Internal = 1,
    Client = 3,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Word(&'static str),
    Int(i64),
    Bool(bool),
}

pub(super) type Attributes = Vec<(&'static str, Value)>;

/// A finished span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) trace: TraceId,
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) start: Time,
    pub(super) end: Time,
    pub(super) attributes: Attributes,
    /// Moments within it.
    pub(super) events: Vec<(Time, &'static str, Attributes)>,
    /// Another trace that it follows from.
    pub(super) link: Option<(TraceId, SpanId)>,
    /// Why it failed.
    pub(super) error: Option<String>,
}

/// A trace whose order has not ended.
#[derive(Debug)]
struct Open {
    trace: TraceId,
    /// Spans so far, the root included.
    spans: u32,
    start: Time,
    /// Where the next stage begins.
    last: Time,
    /// When something was last heard of the order.
    heard: Time,
    intent: Seq,
    durable: bool,
    answered: bool,
    fills: u32,
    cause: Cause,
    order: Arc<OrderChange>,
}

/// The open traces.
#[derive(Debug)]
pub(super) struct Traces {
    sampler: Sampler,
    published: Arc<Published>,
    open: BTreeMap<OrderId, Open>,
}

impl Open {
    /// A stage that ends now.
    fn stage(&mut self, name: &'static str, kind: Kind, end: Time) -> Span {
        let span = Span {
            trace: self.trace,
            id: self.trace.span(self.spans),
            parent: Some(self.trace.span(0)),
            name,
            kind,
            start: self.last,
            end: end.max(self.last),
            attributes: Vec::new(),
            events: Vec::new(),
            link: None,
            error: None,
        };
        self.spans += 1;
        self.last = span.end;
        span
    }
}

impl Traces {
    pub(super) fn new(sampler: Sampler, published: Arc<Published>) -> Self {
        Self {
            sampler,
            published,
            open: BTreeMap::new(),
        }
    }

    /// The spans that a mark completes.
    pub(super) fn take(&mut self, mark: Mark, spans: &mut Vec<Span>) {
        match mark {
            Mark::Made {
                trace,
                step,
                change,
            } => self.made(trace, step, change, spans),
            Mark::Durable { through, time } => self.durable(through, time, spans),
            Mark::Changed(change) => self.changed(change, spans),
        }
    }

    /// Closes what is open for too long, or everything, at the end.
    pub(super) fn close(&mut self, now: Option<Time>, spans: &mut Vec<Span>) {
        let old = |open: &Open| now.is_none_or(|now| now.since(open.start) > OPEN_NS_MAX);
        let ids: Vec<OrderId> = self
            .open
            .iter()
            .filter(|(_, o)| old(o))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.end(id, spans);
        }
    }

    fn made(
        &mut self,
        trace: TraceId,
        step: Step,
        change: Arc<OrderChange>,
        spans: &mut Vec<Span>,
    ) {
        if self.open.len() >= OPEN_MAX
            && let Some((oldest, _)) = self.open.first_key_value()
        {
            let oldest = *oldest;
            self.end(oldest, spans);
        }
        let start = match step.cause {
            Cause::Tick { received, .. } => received.min(step.began),
            Cause::Command | Cause::Report | Cause::Timer => step.began,
        };
        let mut open = Open {
            trace,
            spans: 1,
            start,
            last: start,
            heard: step.ended,
            intent: change.seq,
            durable: false,
            answered: false,
            fills: 0,
            cause: step.cause,
            order: change,
        };
        if let Cause::Tick { decoded, .. } = step.cause {
            if let Some(decoded) = decoded {
                spans.push(open.stage("feed.decode", Kind::Internal, decoded.min(step.began)));
            }
            spans.push(open.stage("kernel.queue", Kind::Internal, step.began));
        }
        let mut span = open.stage("kernel.step", Kind::Internal, step.ended);
        span.attributes
            .push(("hean.cause", Value::Word(step.cause.name())));
        let decision = match open.order.order.origin {
            Origin::Strategy(_) => Some("strategy.decision"),
            Origin::KillSwitch => Some("kill_switch.decision"),
            Origin::Operator => None,
        };
        if let Some(decision) = decision {
            let by = self.strategy(&open.order.order);
            span.events.push((step.began, decision, by));
        }
        let intent = vec![("hean.journal.seq", Value::Int(number(open.intent.0)))];
        span.events.push((step.began, "order.intent", intent));
        spans.push(span);
        self.open.insert(open.order.order.id, open);
    }

    fn durable(&mut self, through: Seq, time: Time, spans: &mut Vec<Span>) {
        for open in self.open.values_mut() {
            if open.intent > through {
                break;
            }
            if !open.durable {
                open.durable = true;
                spans.push(open.stage("journal.write", Kind::Internal, time));
            }
        }
    }

    fn changed(&mut self, change: Arc<OrderChange>, spans: &mut Vec<Span>) {
        let id = change.order.id;
        let Some(open) = self.open.get_mut(&id) else {
            return; // made before this run, or closed
        };
        let slot = self
            .published
            .instruments
            .get(change.order.instrument.index());
        let instrument = slot.map(|slot| slot.instrument.load_full());
        if change.answered && !open.answered {
            open.answered = true;
            let mut span = open.stage("venue.submit", Kind::Client, change.time);
            if let Some(instrument) = &instrument {
                let venue = instrument.name.venue.name();
                span.attributes.push(("peer.service", Value::Word(venue)));
            }
            span.attributes.push(state(&change.order));
            span.error = refused(&change.order);
            spans.push(span);
        }
        if let (Some(fill), Some(instrument)) = (&change.fill, &instrument) {
            open.fills += 1;
            if open.fills <= FILLS_MAX {
                let mut span = open.stage("order.fill", Kind::Internal, change.time);
                span.attributes = vec![
                    ("hean.fill.price", price(fill.price.0, instrument)),
                    ("hean.fill.quantity", quantity(fill.qty.0, instrument)),
                    ("hean.fill.maker", Value::Bool(fill.maker)),
                ];
                spans.push(span);
            }
        }
        open.heard = open.heard.max(change.time);
        let ended = !change.order.is_open();
        open.order = change;
        if ended {
            self.end(id, spans);
        }
    }

    /// Closes a trace: its root goes out last.
    fn end(&mut self, id: OrderId, spans: &mut Vec<Span>) {
        let Some(open) = self.open.remove(&id) else {
            return;
        };
        let order = &open.order.order;
        let mut attributes = vec![
            ("hean.order.id", Value::Int(number(id.0))),
            ("hean.order.side", Value::Word(order.side.name())),
            ("hean.order.type", Value::Word(order.kind().name())),
            (
                "hean.order.time_in_force",
                Value::Word(order.time_in_force().name()),
            ),
            state(order),
            ("hean.order.fills", Value::Int(i64::from(open.fills))),
            ("hean.cause", Value::Word(open.cause.name())),
        ];
        if let Some(slot) = self.published.instruments.get(order.instrument.index()) {
            let instrument = slot.instrument.load();
            attributes.extend([
                ("hean.instrument", Value::Text(instrument.name.to_string())),
                ("hean.venue", Value::Word(instrument.name.venue.name())),
                ("hean.order.quantity", quantity(order.qty.0, &instrument)),
                (
                    "hean.order.filled_quantity",
                    quantity(order.filled.0, &instrument),
                ),
            ]);
        }
        attributes.extend(self.strategy(order));
        if let Cause::Tick { venue, .. } = open.cause {
            attributes.push(("hean.tick.venue_time_unix_nano", Value::Int(venue.0)));
        }
        if order.is_open() {
            attributes.push(("hean.order.open", Value::Bool(true)));
        }
        let link = match order.link() {
            Link::Exit { parent, .. } => self.sampler.sampled(*parent).map(|t| (t, t.span(0))),
            Link::None | Link::Oco(_) | Link::Bracket(_) => None,
        };
        spans.push(Span {
            trace: open.trace,
            id: open.trace.span(0),
            parent: None,
            name: "order",
            kind: Kind::Internal,
            start: open.start,
            end: open.last.max(open.heard),
            attributes,
            events: Vec::new(),
            link,
            error: refused(order),
        });
    }

    fn strategy(&self, order: &Order) -> Attributes {
        let kernel = self.published.kernel.load();
        let name = order
            .origin
            .strategy()
            .and_then(|id| kernel.strategy_name(id));
        name.map(|name| ("hean.strategy", Value::Text(name.to_owned())))
            .into_iter()
            .collect()
    }
}

fn state(order: &Order) -> (&'static str, Value) {
    ("hean.order.status", Value::Word(order.state.name()))
}

fn refused(order: &Order) -> Option<String> {
    (order.state == OrderState::Rejected).then(|| order.reason().to_owned())
}

fn price(value: i64, instrument: &Instrument) -> Value {
    Value::Text(format_fixed(value.into(), instrument.price_scale.digits()).to_string())
}

fn quantity(value: i64, instrument: &Instrument) -> Value {
    Value::Text(format_fixed(value.into(), instrument.qty_scale.digits()).to_string())
}

/// OTLP knows no unsigned integers.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
