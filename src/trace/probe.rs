//! What the kernel thread tells of sampled orders. It never waits and never allocates but for the queue's own
//! slots; the clock is read once more after a step that made an intent.

use std::sync::Arc;

use super::{Sampler, TraceId};
use crate::kernel::event::{Effect, Input, Notice, OrderChange, Seq, Stamped};
use crate::kernel::orders::Link;
use crate::kernel::types::Time;
use crate::runtime::clock::Clock;
use crate::runtime::mailbox::TaskQueue;

/// What made the kernel step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Market data.
    Tick {
        /// The venue's time of the event.
        venue: Time,
        /// When its last byte was read.
        received: Time,
        /// When it was decoded, if it came straight from a decoder.
        decoded: Option<Time>,
    },
    /// A caller's command.
    Command,
    /// A venue's report: the fill of an entry that gets its exits.
    Report,
    /// A deadline: a candle closed by the clock, or the guard's look.
    Timer,
}

impl Cause {
    /// The name in spans.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tick { .. } => "tick",
            Self::Command => "command",
            Self::Report => "report",
            Self::Timer => "timer",
        }
    }
}

/// A step that made an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Why.
    pub cause: Cause,
    /// The kernel's time of it.
    pub began: Time,
    /// After it.
    pub ended: Time,
}

/// What is told.
#[derive(Debug, Clone)]
pub enum Mark {
    /// An order was made.
    Made {
        /// Its trace.
        trace: TraceId,
        /// The step that made it.
        step: Step,
        /// The order.
        change: Arc<OrderChange>,
    },
    /// Everything up to `through` is durable; the kernel has sent what waited for that.
    Durable {
        /// Last durable sequence.
        through: Seq,
        /// When the kernel was told.
        time: Time,
    },
    /// An order changed.
    Changed(Arc<OrderChange>),
}

/// The kernel thread's end.
#[derive(Debug)]
pub struct Probe {
    sampler: Sampler,
    marks: Arc<TaskQueue<Mark>>,
    /// The newest sampled intent that is not durable yet.
    undurable: Option<Seq>,
}

impl Probe {
    pub(super) fn new(sampler: Sampler, marks: Arc<TaskQueue<Mark>>) -> Self {
        Self {
            sampler,
            marks,
            undurable: None,
        }
    }

    /// Looks at the effects of one input. `decoded`: when its frame was decoded, if it had one.
    pub fn stepped(
        &mut self,
        stamped: &Stamped,
        decoded: Option<Time>,
        effects: &[Effect],
        clock: &Clock,
    ) {
        if let Input::Journaled { through } = stamped.input
            && let Some(newest) = self.undurable
        {
            let time = stamped.time;
            self.tell(Mark::Durable { through, time });
            self.undurable = (newest > through).then_some(newest);
        }
        let mut step = None;
        for effect in effects {
            let Effect::Notice(Notice::Order(change)) = effect else {
                continue;
            };
            let Some(trace) = self.sampler.sampled(change.order.id) else {
                continue;
            };
            let change = Arc::clone(change);
            // An order's id is the sequence of its intent.
            if change.seq.0 != change.order.id.0 {
                self.tell(Mark::Changed(change));
                continue;
            }
            self.undurable = Some(change.seq);
            let mut step = *step.get_or_insert_with(|| Step {
                cause: cause(&stamped.input, decoded),
                began: stamped.time,
                // Two reads may be in either order when the clock is corrected.
                ended: clock.now().max(stamped.time),
            });
            // The paper venue reports within the step that made it do so.
            if let Link::Exit { .. } = change.order.link() {
                step.cause = Cause::Report;
            }
            self.tell(Mark::Made {
                trace,
                step,
                change,
            });
        }
    }

    fn tell(&self, mark: Mark) {
        // Full: the queue counts it, and the exporter says so.
        drop(self.marks.offer(mark));
    }
}

fn cause(input: &Input, decoded: Option<Time>) -> Cause {
    match input {
        Input::Market(event) => Cause::Tick {
            venue: event.venue_time,
            received: event.received,
            decoded,
        },
        Input::Command(_) => Cause::Command,
        Input::Report(_) | Input::Account(_) => Cause::Report,
        Input::Journaled { .. } | Input::JournalFull(_) | Input::Tick => Cause::Timer,
    }
}
