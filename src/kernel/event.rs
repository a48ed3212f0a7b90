//! The closed vocabulary: who reads this file knows everything that can happen.
//!
//! [`Input`] goes into [`super::Kernel::step`], [`Effect`] comes out, [`Record`] is what the journal
//! keeps. None has a catch-all variant. What can change on a public market is in `event/market.rs`, what
//! a venue says of us in `event/report.rs`.

mod market;
mod report;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use market::{
    Candle, DayStats, DepthDelta, DepthSnapshot, Derivative, History, Kline, Level, Liquidation,
    LossReason, Lost, MarketData, MarketEvent, Quote, Trade,
};
pub use report::{
    AccountReport, AccountReportKind, FeeAsset, Fill, OtherFee, ReportKind, VenueReport,
};

use super::margin::Brackets;
use super::orders::{
    Amend, ApprovedAmend, ApprovedOrder, Order, OrderId, OrderSpec, PositionSide, StrategyId,
};
use super::portfolio::{MarginMode, PositionMode};
use super::risk::{Refusal, RiskEvent};
use super::strategies::StrategyConfig;
use super::types::{Instrument, InstrumentId, Interval, Money, Price, Qty, Side, Time};

/// Journal sequence: 1 for the first record of an installation, then up by one without a hole.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Seq(pub u64);

/// An input and the time at which the kernel is told of it. Times never go back.
#[derive(Debug, Clone)]
pub struct Stamped {
    /// When the shell handed the input over.
    pub time: Time,
    /// What happened.
    pub input: Input,
}

/// Everything that can happen to the kernel.
#[derive(Debug, Clone)]
pub enum Input {
    /// Public market data.
    Market(MarketEvent),
    /// What a venue says about one of our orders.
    Report(VenueReport),
    /// What a venue says about the account.
    Account(AccountReport),
    /// What a caller wants.
    Command(Command),
    /// Every record up to `through` is as durable as the sync policy asks for.
    Journaled {
        /// Last durable sequence.
        through: Seq,
    },
    /// The journal cannot take more records (`true`), or can again (`false`).
    JournalFull(bool),
    /// [`super::Kernel::deadline`] has passed.
    Tick,
}

/// Ties a reply to the caller that waits for it; unique within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Correlation(pub u64);

/// What a caller wants.
#[derive(Debug, Clone)]
pub struct Command {
    /// Comes back in the [`Reply`].
    pub correlation: Correlation,
    /// The wish.
    pub kind: CommandKind,
}

/// The kinds of commands.
#[derive(Debug, Clone)]
pub enum CommandKind {
    /// Place an order.
    Place {
        /// The order.
        order: Arc<OrderSpec>,
        /// When to answer.
        wait: Wait,
    },
    /// Change an order. What is `None` stays as it is.
    Amend {
        /// Which.
        order: OrderId,
        /// New limit price.
        price: Option<Price>,
        /// New trigger price.
        trigger: Option<Price>,
        /// New quantity, with what is executed.
        qty: Option<Qty>,
    },
    /// Cancel one order.
    Cancel {
        /// Which.
        order: OrderId,
    },
    /// Cancel all open orders that match.
    CancelAll(CancelFilter),
    /// Close a position at the market: its open orders are cancelled first.
    Close {
        /// Which instrument.
        instrument: InstrumentId,
        /// Which position.
        position_side: PositionSide,
    },
    /// How the positions of a derivative are margined from now on.
    Margin {
        /// Which instrument.
        instrument: InstrumentId,
        /// Leverage, from 1 to what the brackets allow.
        leverage: u16,
        /// Cross or isolated.
        mode: MarginMode,
    },
    /// Let a strategy trade, or stop it (its open orders are cancelled).
    Strategy {
        /// Its name.
        name: String,
        /// Start (`true`) or stop.
        run: bool,
    },
    /// Run a strategy with another configuration or program from now on; positions, orders and what it remembers
    /// stay.
    Reconfigure(Box<StrategyConfig>),
    /// The kill switch: cancel everything, and refuse whatever adds risk until [`CommandKind::Resume`].
    Halt {
        /// Also close every position at the market.
        flatten: bool,
        /// Who or what asked.
        by: String,
    },
    /// Back to normal; latched limits start anew.
    Resume {
        /// Who asked.
        by: String,
    },
}

/// Which orders [`CommandKind::CancelAll`] means. What is `None` matches everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CancelFilter {
    /// Of this instrument.
    pub instrument: Option<InstrumentId>,
    /// Of this side.
    pub side: Option<Side>,
    /// Of this strategy.
    pub strategy: Option<StrategyId>,
}

/// When a placed order is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// When the venue has answered.
    Venue,
    /// When the intent is durable.
    Journal,
}

/// The answer to a [`Command`].
#[derive(Debug, Clone)]
pub struct Reply {
    /// Of the command.
    pub correlation: Correlation,
    /// The shell holds the reply until this sequence is durable and the view is published.
    pub after: Seq,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The order exists; read its state in the published view.
    Placed(OrderId),
    /// The idempotency key was used before, with the same body: the first order.
    Duplicate(OrderId),
    /// The idempotency key was used before, with another body.
    Conflict(OrderId),
    /// Refused by risk or by an instrument filter; nothing was sent.
    Refused(Box<Refusal>),
    /// A cancel was sent for so many orders.
    Cancelling(u32),
    /// The change was sent.
    Amending(OrderId),
    /// The order cannot be changed now, for this reason.
    NotAmendable(OrderId, &'static str),
    /// The order had ended already.
    AlreadyDone(OrderId),
    /// No such order, or no such strategy.
    NotFound,
    /// Done.
    Done,
    /// The configuration is not legal, for this reason; the old one stays.
    Unfit(String),
}

/// Everything the kernel can ask of its shell.
#[derive(Debug)]
pub enum Effect {
    /// Write this to the journal, in this order.
    Record(Sequenced),
    /// Send this to the venue once `after` is durable.
    Submit {
        /// The intent's sequence.
        after: Seq,
        /// The command.
        command: VenueCommand,
    },
    /// Answer a caller.
    Reply(Reply),
    /// Fetch a fresh order-book snapshot of this instrument, with back-off.
    Resync(InstrumentId),
    /// Something an operator or a metric wants to know.
    Notice(Notice),
}

/// What goes to a venue. An order needs the approval that only `risk` can give.
#[derive(Debug)]
pub enum VenueCommand {
    /// Place the order.
    Place(ApprovedOrder),
    /// Change the order.
    Amend(ApprovedAmend),
    /// Cancel it. Never refused, never waits for the disk.
    Cancel {
        /// The order.
        order: OrderId,
        /// Its instrument.
        instrument: InstrumentId,
    },
    /// Say all that there is about the order: every report of it once more, or that it never came.
    Query {
        /// The order.
        order: OrderId,
        /// Its instrument.
        instrument: InstrumentId,
    },
    /// Say what the venue holds for us: [`AccountReportKind::Standing`].
    Standing {
        /// Comes back in the answer.
        asked: Seq,
    },
}

/// What an operator or a metric wants to know; never needed for correctness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The book lost its thread.
    BookInvalid {
        /// Which instrument.
        instrument: InstrumentId,
        /// Why.
        reason: BookFault,
    },
    /// The book is verified again.
    BookValid(InstrumentId),
    /// A candle closed.
    CandleClosed {
        /// Which instrument.
        instrument: InstrumentId,
        /// Which interval.
        interval: Interval,
    },
    /// The venue's closed candle differs from the one built from trades.
    CandleMismatch {
        /// Which instrument.
        instrument: InstrumentId,
        /// Which interval.
        interval: Interval,
    },
    /// The venue changed an instrument's filters or its status.
    Relisted(InstrumentId),
    /// An order was refused before it left.
    OrderRefused {
        /// Which instrument.
        instrument: InstrumentId,
        /// Why.
        refusal: Box<Refusal>,
    },
    /// An order changed. Told only to a shell that asked for it: [`super::Kernel::tell_orders`].
    Order(Arc<OrderChange>),
    /// A venue's report makes no sense here and changed nothing.
    Disputed(&'static str),
    /// The risk state changed.
    Risk(RiskEvent),
    /// The kill switch has done its work: no order is left, at the venue neither, and every position that
    /// was to be closed is.
    Flat,
    /// A position has no protective order at the venue although one was asked for.
    Unprotected(InstrumentId),
    /// The venue closed a position of ours.
    Liquidated(InstrumentId),
    /// A strategy cannot go on, and was stopped.
    StrategyFailed {
        /// Which.
        strategy: StrategyId,
        /// On which instrument.
        instrument: InstrumentId,
        /// Why.
        why: Arc<str>,
    },
}

/// One change of an order: what one record made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderChange {
    /// The record's sequence: when it is durable, no crash takes the change back.
    pub seq: Seq,
    /// When the record was made.
    pub time: Time,
    /// The order after it.
    pub order: Order,
    /// What was executed, if the record is of an execution that was booked.
    pub fill: Option<Fill>,
    /// Whether the venue spoke of the order for the first time.
    pub answered: bool,
    /// Whether the report did not fit what we know; the order is marked disputed.
    pub disputed: bool,
}

/// Why a book cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BookFault {
    /// An update is missing.
    Gap,
    /// Best bid at or above best ask.
    Crossed,
    /// Best prices differ from the venue's own ticker of the same update id.
    TickerMismatch,
    /// More updates waited for a snapshot than the buffer holds.
    BufferFull,
    /// The snapshot is older than the first buffered update.
    SnapshotTooOld,
    /// Data was lost before it reached the book.
    Lost(LossReason),
}

impl BookFault {
    /// The name in documents and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Crossed => "crossed",
            Self::TickerMismatch => "ticker_mismatch",
            Self::BufferFull => "buffer_full",
            Self::SnapshotTooOld => "snapshot_too_old",
            Self::Lost(LossReason::Disconnected) => "disconnected",
            Self::Lost(LossReason::QueueFull) => "queue_full",
            Self::Lost(LossReason::Stalled) => "stalled",
            Self::Lost(LossReason::Malformed) => "malformed",
            Self::Lost(LossReason::Unsubscribed) => "unsubscribed",
        }
    }
}

/// A record, its place in the journal, and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequenced {
    /// Journal sequence.
    pub seq: Seq,
    /// When the kernel made it.
    pub time: Time,
    /// The fact or decision.
    pub record: Record,
}

/// What the journal keeps: facts (venue reports, transfers) and decisions (intents, refusals).
///
/// The position of a variant is its number on disk: within one format version, variants are only appended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A process started on this journal.
    RunStarted {
        /// Time of the start, in nanoseconds: unique per installation.
        run_id: i64,
        /// Program version.
        version: String,
    },
    /// From here on, records of this index mean this instrument, with these scales.
    InstrumentDefined {
        /// Index in later records.
        id: InstrumentId,
        /// What the venue says of it.
        instrument: Box<Instrument>,
    },
    /// From here on, records of this index mean the strategy of this name.
    StrategyDefined {
        /// Index in later records.
        id: StrategyId,
        /// Its name.
        name: String,
    },
    /// How the account's derivatives are margined from here on.
    AccountDefined {
        /// One-way or hedge mode.
        positions: PositionMode,
        /// Margin brackets; an instrument without some of its own uses these.
        brackets: Box<Brackets>,
    },
    /// Money came into (or left) the account from outside; not a profit or loss.
    Transfer {
        /// Asset name. The first one is the account's currency.
        asset: String,
        /// Signed amount.
        amount: Money,
        /// What it is worth in the account's currency.
        value: Money,
    },
    /// An order passed risk. Its id is the sequence of this record.
    Intent {
        /// The order as asked for.
        order: Arc<OrderSpec>,
        /// Its quantity in the base asset, on the lot grid.
        qty: Qty,
        /// The price at which it is paid for in advance; zero: nothing is held for it.
        hold: Price,
    },
    /// An order was refused.
    Refused {
        /// The order.
        order: Arc<OrderSpec>,
        /// Why.
        refusal: Box<Refusal>,
    },
    /// A cancel was asked for.
    CancelRequested(OrderId),
    /// A change passed risk.
    AmendRequested {
        /// Of this order.
        order: OrderId,
        /// What is to change.
        amend: Amend,
    },
    /// Too long without an answer: nobody knows what became of the order.
    Unanswered(OrderId),
    /// A venue said something about an order.
    Report(VenueReport),
    /// A venue said something about the account.
    Account(AccountReport),
    /// How an instrument's positions are margined from here on.
    Margin {
        /// Which instrument.
        instrument: InstrumentId,
        /// Leverage.
        leverage: u16,
        /// Cross or isolated.
        mode: MarginMode,
    },
    /// The risk state changed.
    Risk(RiskEvent),
    /// The portfolio was valued, in the quote asset (once a minute).
    Equity {
        /// Money and positions at mark.
        equity: Money,
        /// Minutes that the account's day begins before UTC's.
        zone_minutes: i16,
    },
    /// A strategy was started or stopped by the operator.
    Strategy {
        /// Its name.
        name: String,
        /// Runs (`true`) or not.
        run: bool,
    },
    /// What a strategy remembers of an instrument from here on.
    StrategyState {
        /// The strategy.
        id: StrategyId,
        /// The instrument.
        instrument: InstrumentId,
        /// As the strategy wrote it, and what the kernel remembers for it.
        state: Box<[u8]>,
    },
}

/// The effects of one batch of steps, in order.
pub type Effects = Vec<Effect>;
