//! An engine whose clock is its input: what replay and backtest run, and all in which they differ from the
//! daemon. Timers fire at their own times, between the inputs.

use crate::engine::Engine;
use crate::kernel::event::{Command, CommandKind, Correlation, Effects, Input, Stamped};
use crate::kernel::ledger::{Ledger, LedgerError};
use crate::kernel::strategies::StrategyError;
use crate::kernel::types::{InstrumentId, Time};
use crate::kernel::{Kernel, KernelConfig, Start};
use crate::venue::sim::paper::PaperConfig;

/// An engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The strategies.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// The kernel's own start.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// An engine without clock and journal.
#[derive(Debug)]
pub struct Offline {
    /// The engine.
    pub engine: Engine,
    /// What it did since somebody looked; whoever looks takes it away.
    pub effects: Effects,
    /// The instruments, in the order of the start.
    pub instruments: Vec<InstrumentId>,
    now: Time,
    /// The engine's deadline after its last step.
    due: Option<Time>,
    /// Strategies that may not trade before a time.
    held: Option<(Time, Vec<String>)>,
}

impl Offline {
    /// Starts an engine on an empty account.
    pub fn start(
        kernel: &KernelConfig,
        paper: &PaperConfig,
        start: Start,
    ) -> Result<Self, OfflineError> {
        let now = start.time;
        let kernel = Kernel::new(kernel.clone(), Ledger::new(kernel.orders_kept))?;
        let mut engine = Engine::new(kernel, paper.clone(), false);
        let mut effects = Effects::new();
        let instruments = engine.start(start, &mut effects)?;
        let due = engine.deadline();
        Ok(Self {
            engine,
            effects,
            instruments,
            now,
            due,
            held: None,
        })
    }

    /// The time of the last input.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Strategies stand still until a time: what comes before it only warms up what they look at.
    pub fn hold(&mut self, strategies: Vec<String>, until: Time) {
        self.command(&strategies, false);
        self.held = Some((until, strategies));
    }

    fn command(&mut self, strategies: &[String], run: bool) {
        for name in strategies {
            let kind = CommandKind::Strategy {
                name: name.clone(),
                run,
            };
            let command = Command {
                correlation: Correlation(0),
                kind,
            };
            let stamped = Stamped {
                time: self.now,
                input: Input::Command(command),
            };
            self.step(&stamped);
        }
    }

    fn step(&mut self, stamped: &Stamped) {
        self.engine.step(stamped, &mut self.effects);
        self.due = self.engine.deadline();
    }

    /// Time passes up to the input, then it is applied.
    pub fn feed(&mut self, stamped: &Stamped) {
        if let Some((until, strategies)) = self.held.take_if(|(until, _)| *until <= stamped.time) {
            self.tick_until(until);
            self.now = self.now.max(until);
            self.command(&strategies, true);
        }
        self.tick_until(stamped.time);
        self.now = self.now.max(stamped.time);
        self.step(stamped);
    }

    /// Time passes until no command and no report is on its way, or up to `until`; returns when that is.
    pub fn settle(&mut self, until: Time) -> Time {
        while !self.engine.is_settled()
            && let Some(due) = self.due.filter(|due| *due < until)
        {
            self.tick_until(due.plus(1));
            if self.due == Some(due) {
                break;
            }
        }
        self.now.plus(1)
    }

    /// Timers that are due before `time` fire at their own times.
    pub fn tick_until(&mut self, time: Time) {
        while let Some(due) = self.due.filter(|due| *due < time) {
            self.now = self.now.max(due);
            let tick = Stamped {
                time: self.now,
                input: Input::Tick,
            };
            self.step(&tick);
            if self.due == Some(due) {
                return; // a deadline that its own tick does not move waits for data
            }
        }
    }
}
