//! The closed vocabulary: who reads this file knows everything that can happen.
//!
//! [`Input`] goes into [`super::Kernel::step`], [`Effect`] comes out, [`Record`] is what the journal
//! keeps. None has a catch-all variant. What can change on a public market is in `event/market.rs`.

mod market;

use serde::{Deserialize, Serialize};

pub use market::{
    Candle, DayStats, DepthDelta, DepthSnapshot, Derivative, History, Kline, Level, Liquidation,
    LossReason, Lost, MarketData, MarketEvent, Quote, Trade,
};

use super::orders::{ApprovedOrder, OrderId, OrderSpec};
use super::risk::Refusal;
use super::types::{Instrument, InstrumentId, Interval, Money, Price, Qty, Time};

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

/// What a venue says about one of our orders. A fact: it goes to the journal as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VenueReport {
    /// Our order.
    pub order: OrderId,
    /// The venue's time of the event.
    pub time: Time,
    /// What it says.
    pub kind: ReportKind,
}

/// The kinds of order reports.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReportKind {
    /// The order is at the venue, under this id.
    Acked {
        /// The venue's order id.
        venue_order_id: String,
    },
    /// The venue refused the order; it never existed there.
    Rejected {
        /// The venue's words.
        reason: String,
    },
    /// A part of the order was executed.
    Fill(Fill),
    /// The order was cancelled with what remained of it.
    Cancelled {
        /// Why.
        reason: String,
    },
    /// The venue ended the order (IOC remainder, FOK, no liquidity).
    Expired {
        /// Why.
        reason: String,
    },
    /// The cancel was refused; the order lives on (or had ended already).
    CancelRejected {
        /// The venue's words.
        reason: String,
    },
    /// The venue has proved that it never got the order.
    NotFound,
}

/// An execution of one of our orders.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fill {
    /// The venue's trade id, unique per (venue, account, instrument, order).
    pub trade_id: u64,
    /// Execution price.
    pub price: Price,
    /// Executed quantity, > 0.
    pub qty: Qty,
    /// Fee in the quote asset, ≥ 0 unless it is a rebate.
    pub fee: Money,
    /// Whether the order was resting.
    pub maker: bool,
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
        order: Box<OrderSpec>,
        /// When to answer.
        wait: Wait,
    },
    /// Cancel one order.
    Cancel {
        /// Which.
        order: OrderId,
    },
    /// Cancel all open orders, of one instrument or of all.
    CancelAll {
        /// Which instrument; `None` is all.
        instrument: Option<InstrumentId>,
    },
    /// Let a strategy trade, or stop it (its open orders are cancelled).
    Strategy {
        /// Its name.
        name: String,
        /// Start (`true`) or stop.
        run: bool,
    },
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
    Refused(Refusal),
    /// A cancel was sent for so many orders.
    Cancelling(u32),
    /// The order had ended already.
    AlreadyDone(OrderId),
    /// No such order, or no such strategy.
    NotFound,
    /// Done.
    Done,
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
    /// Cancel it. Never refused, never waits for the disk.
    Cancel {
        /// The order.
        order: OrderId,
        /// Its instrument.
        instrument: InstrumentId,
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
        refusal: Refusal,
    },
    /// An order changed its state.
    OrderChanged(OrderId),
    /// The venue spoke of an order for the first time.
    Answered(OrderId),
    /// One of our orders was (partly) executed.
    Filled(OrderId),
    /// A venue's report did not fit the order's state; the order is marked disputed.
    Disputed(OrderId),
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
/// Variants are only ever appended: the position of a variant is its number on disk.
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
    /// Money came into (or left) the account from outside; not a profit or loss.
    Transfer {
        /// Asset name.
        asset: String,
        /// Signed amount.
        amount: Money,
    },
    /// An order passed risk. Its id is the sequence of this record.
    Intent {
        /// The order as asked for.
        order: Box<OrderSpec>,
        /// Its quantity in the base asset, on the lot grid.
        qty: Qty,
        /// What a buy order holds of the account's money: its worth with the taker fee.
        reserved: Money,
    },
    /// An order was refused.
    Refused {
        /// The order.
        order: Box<OrderSpec>,
        /// Why.
        refusal: Refusal,
    },
    /// A cancel was asked for.
    CancelRequested(OrderId),
    /// A venue said something about an order.
    Report(VenueReport),
    /// The portfolio was valued, in the quote asset (once a minute).
    Equity(Money),
    /// A strategy was started or stopped by the operator.
    Strategy {
        /// Its name.
        name: String,
        /// Runs (`true`) or not.
        run: bool,
    },
}

/// The effects of one batch of steps, in order.
pub type Effects = Vec<Effect>;
