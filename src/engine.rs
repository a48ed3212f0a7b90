//! Kernel and paper venue as one machine: the code path that live paper trading, replay, backtest and
//! simulation share. Still no I/O, no clock; shells around it differ.

use std::hash::{Hash as _, Hasher as _};

use xxhash_rust::xxh3::Xxh3;

use crate::kernel::event::{Effect, Effects, Input, Seq, Stamped};
use crate::kernel::ledger::LedgerError;
use crate::kernel::types::{InstrumentId, Time};
use crate::kernel::{Kernel, Start};
use crate::venue::sim::paper::{PaperConfig, PaperVenue, Said};

/// Kernel and paper venue.
#[derive(Debug)]
pub struct Engine {
    kernel: Kernel,
    paper: PaperVenue,
    durable: Seq,
    /// Without a journal every record counts as durable at once.
    journal: bool,
    scratch: Effects,
}

impl Engine {
    /// Around a kernel that has not started. Without a `journal`, the engine itself tells the kernel
    /// that records are durable.
    pub fn new(kernel: Kernel, paper: PaperConfig, journal: bool) -> Self {
        Self {
            kernel,
            paper: PaperVenue::new(paper),
            durable: Seq(0),
            journal,
            scratch: Effects::new(),
        }
    }

    /// Begins a run; open orders of the journal rest at the paper venue again.
    pub fn start(
        &mut self,
        start: Start,
        effects: &mut Effects,
    ) -> Result<Vec<InstrumentId>, LedgerError> {
        let time = start.time;
        self.durable = self.kernel.ledger().seq();
        let active = self.kernel.start(start, &mut self.scratch)?;
        self.paper.restore(&self.kernel, time);
        self.hand_out(time, effects);
        self.settle(time, effects);
        Ok(active)
    }

    /// The kernel.
    #[inline]
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The paper venue.
    #[inline]
    pub fn paper(&self) -> &PaperVenue {
        &self.paper
    }

    /// The kernel, for publication.
    pub fn kernel_mut(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    /// When the next [`Input::Tick`] is due.
    pub fn deadline(&self) -> Option<Time> {
        match (self.kernel.deadline(), self.paper.deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (known, None) | (None, known) => known,
        }
    }

    /// Whether no command is on its way to the venue.
    pub fn is_settled(&self) -> bool {
        self.paper.is_settled()
    }

    /// Hash of everything: equal inputs, equal hash.
    pub fn state_hash(&self) -> u64 {
        let mut state = Xxh3::new();
        self.kernel.state_hash().hash(&mut state);
        self.paper.hash(&mut state);
        state.finish()
    }

    /// Applies one input and all that follows from it at the paper venue.
    pub fn step(&mut self, stamped: &Stamped, effects: &mut Effects) {
        let first = effects.len();
        self.step_kernel(stamped, effects);
        match &stamped.input {
            Input::Market(event) if self.kernel.applied() => {
                self.paper.on_market(&self.kernel, event, stamped.time);
            }
            Input::Journaled { through } => {
                self.durable = self.durable.max(*through);
                self.paper.journaled(*through, stamped.time);
            }
            Input::Market(_)
            | Input::Report(_)
            | Input::Account(_)
            | Input::Command(_)
            | Input::JournalFull(_)
            | Input::Tick => {}
        }
        self.settle(stamped.time, effects);
        if effects.len() == first {
            return;
        }
        // A caller must not see a state that a crash could take back.
        let seq = self.kernel.ledger().seq();
        for effect in effects.iter_mut().skip(first) {
            if let Effect::Reply(reply) = effect {
                reply.after = seq;
            }
        }
    }

    /// Kernel and venue answer each other until neither has anything to say.
    fn settle(&mut self, time: Time, effects: &mut Effects) {
        self.paper.advance(&self.kernel, time);
        loop {
            let input = match self.paper.next_report(time) {
                Some(Said::Order(report)) => Input::Report(report),
                Some(Said::Account(report)) => Input::Account(report),
                None if self.paper.arrive(&self.kernel, time) => continue,
                None => {
                    let seq = self.kernel.ledger().seq();
                    if self.journal || self.durable == seq {
                        return;
                    }
                    self.durable = seq;
                    self.paper.journaled(seq, time);
                    Input::Journaled { through: seq }
                }
            };
            self.step_kernel(&Stamped { time, input }, effects);
        }
    }

    fn step_kernel(&mut self, stamped: &Stamped, effects: &mut Effects) {
        self.kernel.step(stamped, &mut self.scratch);
        self.hand_out(stamped.time, effects);
    }

    /// Commands go to the venue, everything else to the shell.
    fn hand_out(&mut self, time: Time, effects: &mut Effects) {
        if self.scratch.is_empty() {
            return; // most events
        }
        for effect in self.scratch.drain(..) {
            match effect {
                Effect::Submit { after, command } => {
                    self.paper.submit(after, command, self.durable, time);
                }
                other => effects.push(other),
            }
        }
    }
}
