//! The newest executions, as readers and tax returns want them. Part of the durable state: a snapshot holds them, so
//! they outlive the segments of the journal that told of them.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rescale::Rescale;
use crate::kernel::event::{FeeAsset, Seq};
use crate::kernel::orders::{OrderId, PositionSide, StrategyId};
use crate::kernel::types::{InstrumentId, Money, Price, Qty, Side, Time};

/// How many are kept.
pub const FILLS_KEPT: usize = 10_000;

/// An execution that was booked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BookedFill {
    /// The record that told of it: unique, and in the order of booking.
    pub seq: Seq,
    /// When the venue says that it happened.
    pub time: Time,
    /// The order; `None` for a liquidation, which nobody ordered.
    pub order: Option<OrderId>,
    /// Whose order it was.
    pub strategy: Option<StrategyId>,
    /// What was traded.
    pub instrument: InstrumentId,
    /// Bought or sold.
    pub side: Side,
    /// Which position it went to.
    pub position_side: PositionSide,
    /// The venue's id of it.
    pub trade_id: u64,
    /// Execution price.
    pub price: Price,
    /// Executed quantity.
    pub qty: Qty,
    /// Price times quantity, in the quote asset.
    pub notional: Money,
    /// What the fee is worth in the quote asset; negative is a rebate.
    pub fee: Money,
    /// What the fee was paid in.
    pub paid_in: FeeAsset,
    /// Whether the order was resting.
    pub maker: bool,
    /// Profit or loss of what it closed, before fees; `None` when it closed nothing.
    pub realized: Option<Money>,
}

/// The newest executions, oldest first, [`FILLS_KEPT`] at most.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Fills {
    kept: VecDeque<Arc<BookedFill>>,
}

impl Fills {
    pub(super) fn push(&mut self, fill: BookedFill) {
        if self.kept.len() == FILLS_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Arc::new(fill));
    }

    /// From the record `from` on, newest first.
    pub(super) fn since(&self, from: Seq) -> impl Iterator<Item = &Arc<BookedFill>> {
        self.kept.iter().rev().take_while(move |f| f.seq >= from)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &BookedFill> {
        self.kept.iter().map(Arc::as_ref)
    }

    /// Moves the numbers of an instrument to new scales.
    pub(super) fn rescale(&mut self, convert: Rescale, id: InstrumentId) {
        for fill in self.kept.iter_mut().filter(|f| f.instrument == id) {
            let fill = Arc::make_mut(fill);
            (fill.price, fill.qty) = convert.shown(fill.price, fill.qty);
            if let FeeAsset::Base(qty) = &mut fill.paid_in {
                *qty = convert.shown(fill.price, *qty).1;
            }
        }
    }

    /// Whether it is of a state that there can be.
    pub(super) fn is_sound(&self, seq: Seq, known: impl Fn(InstrumentId) -> bool) -> bool {
        let rising = |(a, b): (&BookedFill, &BookedFill)| a.seq < b.seq;
        self.kept.len() <= FILLS_KEPT
            && self.iter().zip(self.iter().skip(1)).all(rising)
            && self.iter().all(|f| f.seq <= seq && known(f.instrument))
    }

    /// Without its length: a state of an older layout, which has none, keeps its hash.
    pub(super) fn hash_each(&self, state: &mut impl Hasher) {
        self.iter().for_each(|fill| fill.hash(state));
    }
}
