//! What a strategy decided last and which rule said no, as readers see it. Text is made here, when it is read.

use std::fmt;
use std::sync::Arc;

use super::risk::Refusal;
use super::strategies::{NoSize, Said, Why};
use super::types::{InstrumentId, Interval, Time};

/// What a decision came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Nothing changes.
    #[default]
    Hold,
    /// A position is opened or made larger.
    Enter,
    /// A position is closed or made smaller.
    Exit,
    /// Orders rest on both sides or on one.
    Quote,
}

impl Verdict {
    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Enter => "enter",
            Self::Exit => "exit",
            Self::Quote => "quote",
        }
    }
}

/// The rule that said no, or what else kept a decision from becoming an order.
#[derive(Debug, Clone, PartialEq)]
pub enum Stop {
    /// The position is as wanted.
    Position,
    /// An order of its own is under way.
    OrderOpen,
    /// It does not go that way: by configuration, or because spot cannot be sold short.
    Direction,
    /// So many candles more without an entry.
    CoolDown {
        /// Candles.
        candles: u32,
    },
    /// The book is not valid.
    Book,
    /// There is no size.
    Size(NoSize),
    /// A risk rule.
    Risk(Box<Refusal>),
    /// The kill switch was pulled.
    Halted,
    /// It cannot go on.
    Failed(Arc<str>),
    /// The operator has stopped it.
    Stopped,
    /// The operator has started it; it has not decided since.
    Started,
    /// It was loaded anew; it has not decided since.
    Reloaded,
}

impl Stop {
    /// The name in documents.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Position => "position",
            Self::OrderOpen => "order_open",
            Self::Direction => "direction",
            Self::CoolDown { .. } => "cooldown",
            Self::Book => "book_invalid",
            Self::Size(_) => "size",
            Self::Risk(refusal) => refusal.rule.name(),
            Self::Halted => "kill_switch",
            Self::Failed(_) => "failed",
            Self::Stopped => "stopped",
            Self::Started => "started",
            Self::Reloaded => "reloaded",
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position => f.write_str("the position is as wanted"),
            Self::OrderOpen => f.write_str("an order of its own is under way"),
            Self::Direction => f.write_str("it does not go that way"),
            Self::CoolDown { candles } => write!(f, "cool-down: {candles} candles more"),
            Self::Book => f.write_str("the book is not valid"),
            Self::Size(NoSize::Equity(equity)) => write!(f, "no size: equity is {equity}"),
            Self::Size(NoSize::Volatility) => {
                f.write_str("no size: the volatility is not known yet, or is nothing")
            }
            Self::Size(NoSize::Atr) => {
                f.write_str("no stop: the average true range is not known yet")
            }
            Self::Size(NoSize::Edge(rate, payoff)) => write!(
                f,
                "no size: its own trades have no edge, {:.1} % won with a payoff of {payoff:.2}",
                rate * 100.0
            ),
            Self::Size(NoSize::Small(_)) => {
                f.write_str("no size: it would be below the venue's minimum order")
            }
            Self::Size(NoSize::Range) => f.write_str("no size: an amount is out of range"),
            Self::Risk(refusal) => write!(f, "refused: {refusal}"),
            Self::Halted => f.write_str("the kill switch was pulled"),
            Self::Failed(why) => write!(f, "it cannot go on: {why}"),
            Self::Stopped => f.write_str("stopped by the operator"),
            Self::Started => f.write_str("started by the operator"),
            Self::Reloaded => f.write_str("loaded anew"),
        }
    }
}

impl Said {
    /// The name in documents.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::WarmUp => "warm_up",
            Self::Signal => "signal",
            Self::NoSignal => "no_signal",
            Self::Filter(_) => "filter",
            Self::Text(_) => "text",
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WarmUp => f.write_str("warming up"),
            Self::Signal => f.write_str("signal"),
            Self::NoSignal => f.write_str("no signal"),
            Self::Filter(name) => write!(f, "filter {name} said no"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The last decision of a strategy on an instrument.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionView {
    /// On which instrument.
    pub instrument: InstrumentId,
    /// Interval of its candles.
    pub interval: Interval,
    /// When it decided.
    pub time: Time,
    /// Open time of the candle that had closed last.
    pub candle: Option<Time>,
    /// Names of the inputs.
    pub inputs: Arc<[String]>,
    /// What it saw and said.
    pub why: Why,
    /// What it came to.
    pub verdict: Verdict,
    /// The rule that said no.
    pub stop: Option<Stop>,
}

impl DecisionView {
    /// The inputs with their names.
    pub fn named(&self) -> impl Iterator<Item = (&str, f64)> {
        let names = self.inputs.iter().map(String::as_str);
        names.zip(self.why.inputs().iter().copied())
    }
}

/// As a line: the inputs, the verdict, and what said no.
impl fmt::Display for DecisionView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.candle.is_none() && self.stop.is_none() {
            return f.write_str("waiting for the first candle");
        }
        for (index, (name, value)) in self.named().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            // Cheap assets need more digits to tell values apart.
            let digits = if value.abs() < 100.0 { 6 } else { 2 };
            write!(f, "{comma}{name} {value:.digits$}")?;
        }
        if !self.why.inputs().is_empty() {
            f.write_str(": ")?;
        }
        match (&self.stop, &self.why.said) {
            (Some(stop), _) => write!(f, "{}; {stop}", self.verdict.name()),
            (None, said) => write!(f, "{}; {said}", self.verdict.name()),
        }
    }
}

/// One strategy.
#[derive(Debug, Clone, PartialEq)]
pub struct StrategyView {
    /// Its name.
    pub name: String,
    /// Its kind: a row of the table.
    pub kind: String,
    /// Which version of its configuration and program runs.
    pub version: u64,
    /// Whether it may trade.
    pub running: bool,
    /// What it decided last, on each of its instruments.
    pub decisions: Vec<DecisionView>,
}

impl StrategyView {
    /// When it decided last.
    pub fn decided_at(&self) -> Time {
        let times = self.decisions.iter().map(|d| d.time);
        times.max().unwrap_or_default()
    }
}
