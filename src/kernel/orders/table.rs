//! Every order that is kept, open or ended, in bounded memory.

use serde::{Deserialize, Serialize};

use super::{OrderId, OrderSpec, OrderState};
use crate::kernel::event::Seq;
use crate::kernel::types::{Money, Qty, Time};

/// An order and all we know of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Order {
    /// Our id.
    pub id: OrderId,
    /// What was asked for.
    pub spec: OrderSpec,
    /// The quantity in the base asset, on the lot grid.
    pub qty: Qty,
    /// Where it is in its life.
    pub state: OrderState,
    /// The venue's ids for it, oldest first.
    pub venue_order_ids: Vec<String>,
    /// Executed quantity.
    pub filled: Qty,
    /// What the executed quantity is worth (sum of price × quantity), in the quote asset.
    pub filled_notional: Money,
    /// Fees, in the quote asset.
    pub fee: Money,
    /// Why it ended, in words; empty if nothing needs saying.
    pub reason: String,
    /// A venue's report contradicted what we know.
    pub disputed: bool,
    /// When the intent was made.
    pub created: Time,
    /// When something was last heard of it.
    pub updated: Time,
    /// When the venue first answered.
    pub answered: Option<Time>,
    /// Sequence of the last record about it.
    pub last_seq: Seq,
}

/// The table.
#[derive(Debug, Default)]
pub struct OrderTable;
