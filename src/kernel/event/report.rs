//! What a venue says about us: of our orders and of the account.

use serde::{Deserialize, Serialize};

use super::Seq;
use crate::kernel::orders::{OrderId, PositionSide, VenueOrderId};
use crate::kernel::types::{InstrumentId, Money, Price, Qty, Rate, Side, Time};

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
    /// The order is at the venue, in its book or about to be matched, under this id.
    Acked {
        /// The venue's order id.
        venue_order_id: VenueOrderId,
    },
    /// The order is at the venue and waits for its trigger.
    Held {
        /// The venue's order id.
        venue_order_id: VenueOrderId,
    },
    /// The trigger was reached: an order in the book from now on, perhaps under another id.
    Triggered {
        /// The venue's order id.
        venue_order_id: VenueOrderId,
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
    /// The venue ended the order (IOC remainder, FOK, no liquidity, date).
    Expired {
        /// Why.
        reason: String,
    },
    /// The cancel was refused; the order lives on (or had ended already).
    CancelRejected {
        /// The venue's words.
        reason: String,
    },
    /// The order was changed, because we asked, or by the venue (a reduce-only order that was cut).
    Amended {
        /// Limit price from now on; `None`: as before.
        price: Option<Price>,
        /// Trigger price from now on; `None`: as before.
        trigger: Option<Price>,
        /// Quantity from now on, with what is executed.
        qty: Qty,
    },
    /// The change was refused; the order lives on as it was (or had ended already).
    AmendRejected {
        /// The venue's words.
        reason: String,
    },
    /// The gateway got no answer: nobody knows what became of the request.
    Lost {
        /// What happened.
        reason: String,
    },
    /// The venue has proved that it never got the order.
    NotFound,
}

/// An execution of one of our orders.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fill {
    /// The venue's trade id, unique per (venue, account, instrument, order). An id that is no number is
    /// its 64-bit hash.
    pub trade_id: u64,
    /// Execution price.
    pub price: Price,
    /// Executed quantity, > 0.
    pub qty: Qty,
    /// What the fee is worth in the quote asset; negative is a rebate.
    pub fee: Money,
    /// What the fee was paid in.
    pub paid_in: FeeAsset,
    /// Whether the order was resting.
    pub maker: bool,
}

/// What a fee was paid in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FeeAsset {
    /// The quote asset.
    Quote,
    /// The base asset: so much of what was bought does not arrive. (Spot; the fee's worth is this at the
    /// execution price.)
    Base(Qty),
    /// Another asset of the account, such as the venue's own coin.
    Other(Box<OtherFee>),
}

/// A fee in an asset that is neither quote nor base.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OtherFee {
    /// The asset's name.
    pub asset: String,
    /// How much of it.
    pub amount: Money,
}

/// What a venue says about the account. A fact: it goes to the journal as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AccountReport {
    /// The venue's time of the event.
    pub time: Time,
    /// What it says.
    pub kind: AccountReportKind,
}

/// The kinds of account reports.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AccountReportKind {
    /// Funding was paid or received. Once for each (instrument, position side, funding time).
    Funding {
        /// Which instrument.
        instrument: InstrumentId,
        /// Which position.
        position_side: PositionSide,
        /// The time that the payment is for.
        due: Time,
        /// The rate.
        rate: Rate,
        /// What the account received; negative: paid.
        amount: Money,
    },
    /// The venue closed a position, or a part of it, at the mark price.
    Liquidated {
        /// Which instrument.
        instrument: InstrumentId,
        /// Which position.
        position_side: PositionSide,
        /// What the venue did with it: sold a long one, bought back a short one.
        side: Side,
        /// Unique per (venue, account, instrument).
        trade_id: u64,
        /// At this price.
        price: Price,
        /// So much.
        qty: Qty,
        /// Liquidation fee, in the quote asset.
        fee: Money,
    },
    /// The insurance fund covered what a liquidation lost beyond the margin.
    Insurance {
        /// Unique per (venue, account).
        id: u64,
        /// In the account's currency.
        amount: Money,
    },
    /// Everything that the venue holds for us: the answer to [`super::VenueCommand::Standing`].
    Standing {
        /// Which question this answers.
        asked: Seq,
        /// Orders that it could still execute.
        orders: Vec<OrderId>,
        /// Positions that are not flat, with their signed quantities.
        positions: Vec<(InstrumentId, PositionSide, i64)>,
    },
}
