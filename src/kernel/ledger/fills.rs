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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::types::{Instrument, InstrumentName, Scale, VenueId};

    fn fill(seq: u64) -> BookedFill {
        BookedFill {
            seq: Seq(seq),
            time: Time(1),
            order: None,
            strategy: None,
            instrument: InstrumentId(0),
            side: Side::Buy,
            position_side: PositionSide::Both,
            trade_id: seq,
            price: Price(1_234),
            qty: Qty(57),
            notional: Money::ZERO,
            fee: Money::ZERO,
            paid_in: FeeAsset::Base(Qty(15)),
            maker: false,
            realized: None,
        }
    }

    #[test]
    fn the_oldest_go_first() {
        let mut fills = Fills::default();
        let last = FILLS_KEPT as u64 + 5;
        (1..=last).for_each(|seq| fills.push(fill(seq)));
        assert_eq!(fills.iter().count(), FILLS_KEPT);
        assert_eq!(fills.iter().next().map(|f| f.seq), Some(Seq(6)));
        let newest: Vec<u64> = fills.since(Seq(last - 1)).map(|f| f.seq.0).collect();
        assert_eq!(newest, [last, last - 1]);
        let known = |id: InstrumentId| id == InstrumentId(0);
        assert!(fills.is_sound(Seq(last), known));
        assert!(!fills.is_sound(Seq(last - 1), known) && !fills.is_sound(Seq(last), |_| false));
        fills.push(fill(last));
        assert!(!fills.is_sound(Seq(last), known));
    }

    #[test]
    fn numbers_follow_the_scales_of_the_instrument() {
        let of = |price, qty| {
            let scale = |digits| Scale::new(digits).expect("a scale");
            let name = InstrumentName {
                venue: VenueId::Sim,
                symbol: "AB".to_owned(),
            };
            Instrument::unlimited(name, "A", "B", (scale(price), scale(qty)))
        };
        let mut fills = Fills::default();
        fills.push(fill(1));
        let finer = Rescale::between(&of(2, 1), &of(3, 3));
        fills.rescale(finer, InstrumentId(1));
        assert_eq!(fills.iter().next(), Some(&fill(1)));
        fills.rescale(finer, InstrumentId(0));
        let shown = |fills: &Fills| {
            let fill = fills.iter().next().expect("it is there");
            (fill.price.0, fill.qty.0, fill.paid_in.clone())
        };
        assert_eq!(shown(&fills), (12_340, 5_700, FeeAsset::Base(Qty(1_500))));
        // What no longer fits is cut off: it is shown, not traded.
        fills.rescale(Rescale::between(&of(3, 3), &of(1, 0)), InstrumentId(0));
        assert_eq!(shown(&fills), (123, 5, FeeAsset::Base(Qty(1))));
    }
}
