//! Every order that is kept, open or ended, in bounded memory.
//!
//! The table changes only through the methods below, which the ledger calls for journal records; the
//! one exception is [`OrderTable::sent`], a step of the life cycle that is not journaled.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::{OrderEvent, OrderId, OrderSpec, OrderState};
use crate::kernel::event::{Fill, ReportKind, Seq, VenueReport};
use crate::kernel::types::{DAY, Instrument, Money, MoneyError, Qty, Time};

/// How long a caller's idempotency key is kept at least, unless the table overflows first.
const KEY_KEPT_NS: i64 = DAY;

/// An order and all we know of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Order {
    /// Our id.
    pub id: OrderId,
    /// What was asked for.
    pub spec: OrderSpec,
    /// The quantity in the base asset, on the lot grid.
    pub qty: Qty,
    /// What it holds of the account's money when it is a buy order: its worth with the taker fee.
    pub reserved: Money,
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
    /// The venue's trade ids that are booked.
    pub trade_ids: Vec<u64>,
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

impl Order {
    /// What is not executed yet.
    pub fn remaining(&self) -> Qty {
        self.qty.checked_sub(self.filled).unwrap_or(Qty::ZERO)
    }

    /// The part of [`Order::reserved`] that is not spent.
    pub fn held(&self) -> Result<Money, MoneyError> {
        let spent = self.filled_notional.plus(self.fee)?;
        Ok(self.reserved.minus(spent)?.max(Money::ZERO))
    }

    /// Whether it can still trade.
    pub fn is_open(&self) -> bool {
        !self.state.is_terminal()
    }
}

/// What a report did to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The order changed.
    Changed,
    /// The order changed and the fill must be booked.
    Filled,
    /// As [`Applied::Filled`], but the venue executed more than was ordered, or after the end.
    Disputed {
        /// Whether there is a fill to book.
        filled: bool,
    },
    /// Heard before; nothing changed.
    Duplicate,
    /// We know no such order.
    Unknown,
}

/// The table.
#[derive(Debug)]
pub struct OrderTable {
    orders: BTreeMap<OrderId, Order>,
    open: BTreeSet<OrderId>,
    /// Ended orders, oldest end first: the next to be forgotten in front.
    ended: VecDeque<OrderId>,
    keys: BTreeMap<String, OrderId>,
    /// Removed since the last [`OrderTable::take_forgotten`].
    forgotten: Vec<OrderId>,
    kept_max: usize,
}

impl OrderTable {
    /// An empty table that keeps `kept_max` ended orders.
    pub fn new(kept_max: usize) -> Self {
        Self {
            orders: BTreeMap::new(),
            open: BTreeSet::new(),
            ended: VecDeque::new(),
            keys: BTreeMap::new(),
            forgotten: Vec::new(),
            kept_max,
        }
    }

    /// An order, if it is still kept.
    pub fn get(&self, id: OrderId) -> Option<&Order> {
        self.orders.get(&id)
    }

    /// The order that a caller's idempotency key named first.
    pub fn by_key(&self, key: &str) -> Option<&Order> {
        self.keys.get(key).and_then(|id| self.orders.get(id))
    }

    /// Orders that can still change, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Order> {
        self.open.iter().filter_map(|id| self.orders.get(id))
    }

    /// How many orders can still change.
    pub fn open_len(&self) -> usize {
        self.open.len()
    }

    /// All orders that are kept, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Order> {
        self.orders.values()
    }

    /// Enters a new order; its id is the sequence of its intent.
    pub fn insert(
        &mut self,
        seq: Seq,
        time: Time,
        spec: OrderSpec,
        qty: Qty,
        reserved: Money,
    ) -> OrderId {
        let id = OrderId(seq.0);
        if let Some(key) = &spec.client_order_id {
            self.keys.insert(key.clone(), id);
        }
        let order = Order {
            id,
            spec,
            qty,
            reserved,
            state: OrderState::Intent,
            venue_order_ids: Vec::new(),
            filled: Qty::ZERO,
            filled_notional: Money::ZERO,
            fee: Money::ZERO,
            trade_ids: Vec::new(),
            reason: String::new(),
            disputed: false,
            created: time,
            updated: time,
            answered: None,
            last_seq: seq,
        };
        let before = self.orders.insert(id, order);
        assert!(before.is_none(), "order {id} was entered twice");
        self.open.insert(id);
        id
    }

    /// The intent is durable and the gateway has the order. Not journaled: after a restart an
    /// intent without a venue's word is unknown, whether it had been sent or not.
    pub fn sent(&mut self, id: OrderId) {
        if let Some(order) = self.orders.get_mut(&id)
            && let Ok(state) = order.state.after(OrderEvent::Sent)
        {
            order.state = state;
        }
    }

    /// A restart: nobody knows what became of intents that the venue has not spoken of.
    pub fn lose_unanswered(&mut self) -> Vec<OrderId> {
        let mut lost = Vec::new();
        for id in &self.open {
            if let Some(order) = self.orders.get_mut(id)
                && order.answered.is_none()
                && let Ok(state) = order.state.after(OrderEvent::Lost)
            {
                order.state = state;
                lost.push(*id);
            }
        }
        lost
    }

    /// A cancel was asked for. Whether the order can take it.
    pub fn cancel_requested(&mut self, id: OrderId, seq: Seq, time: Time) -> bool {
        let Some(order) = self.orders.get_mut(&id) else {
            return false;
        };
        let Ok(state) = order.state.after(OrderEvent::CancelSent) else {
            return false;
        };
        order.state = state;
        order.updated = time;
        order.last_seq = seq;
        true
    }

    /// Applies a venue's report.
    pub fn report(
        &mut self,
        report: &VenueReport,
        seq: Seq,
        time: Time,
        instrument: &Instrument,
    ) -> Result<Applied, MoneyError> {
        let Some(order) = self.orders.get_mut(&report.order) else {
            return Ok(Applied::Unknown);
        };
        let was_open = order.is_open();
        let applied = match &report.kind {
            ReportKind::Fill(fill) => fill_order(order, fill, instrument)?,
            kind => settle(order, kind),
        };
        if applied != Applied::Duplicate {
            order.updated = time;
            order.last_seq = seq;
            order.answered.get_or_insert(time);
            order.disputed |= matches!(applied, Applied::Disputed { .. });
        }
        if was_open && !order.is_open() {
            let id = order.id;
            self.open.remove(&id);
            self.ended.push_back(id);
            self.forget_oldest(time);
        }
        Ok(applied)
    }

    /// Orders that were forgotten since the last call.
    pub fn take_forgotten(&mut self) -> Vec<OrderId> {
        std::mem::take(&mut self.forgotten)
    }

    /// Converts all numbers of one instrument's orders to new scales.
    pub fn rescale(
        &mut self,
        concerns: impl Fn(&Order) -> bool,
        mut each: impl FnMut(&mut Order) -> Option<()>,
    ) -> Option<()> {
        self.orders
            .values_mut()
            .filter(|o| concerns(o))
            .try_for_each(&mut each)
    }

    /// Forgets ended orders beyond the bound, oldest end first; a key younger than a day keeps its
    /// order until twice the bound is reached.
    fn forget_oldest(&mut self, now: Time) {
        while self.ended.len() > self.kept_max {
            let Some(oldest) = self.ended.front().copied() else {
                return;
            };
            let keyed_and_young = self.orders.get(&oldest).is_some_and(|o| {
                o.spec.client_order_id.is_some() && now.since(o.created) < KEY_KEPT_NS
            });
            if keyed_and_young && self.ended.len() <= self.kept_max.saturating_mul(2) {
                return;
            }
            self.ended.pop_front();
            self.forgotten.push(oldest);
            let Some(order) = self.orders.remove(&oldest) else {
                continue;
            };
            if let Some(key) = &order.spec.client_order_id
                && self.keys.get(key) == Some(&oldest)
            {
                self.keys.remove(key);
            }
        }
    }
}

fn fill_order(
    order: &mut Order,
    fill: &Fill,
    instrument: &Instrument,
) -> Result<Applied, MoneyError> {
    if order.trade_ids.contains(&fill.trade_id) {
        return Ok(Applied::Duplicate);
    }
    let filled = order.filled.checked_add(fill.qty).ok_or(MoneyError)?;
    let notional = order
        .filled_notional
        .plus(instrument.notional(fill.price, fill.qty)?)?;
    let fee = order.fee.plus(fill.fee)?;
    order.trade_ids.push(fill.trade_id);
    order.filled = filled;
    order.filled_notional = notional;
    order.fee = fee;
    let event = if filled >= order.qty {
        OrderEvent::FullyFilled
    } else {
        OrderEvent::PartFilled
    };
    let over = filled > order.qty;
    Ok(match order.state.after(event) {
        Ok(state) => {
            order.state = state;
            if over {
                Applied::Disputed { filled: true }
            } else {
                Applied::Filled
            }
        }
        Err(_) => Applied::Disputed { filled: true },
    })
}

/// Everything that a venue says except a fill.
fn settle(order: &mut Order, kind: &ReportKind) -> Applied {
    let has_fills = order.filled > Qty::ZERO;
    let (event, reason) = match kind {
        ReportKind::Acked { venue_order_id } => {
            let known = order.venue_order_ids.contains(venue_order_id);
            if !known {
                order.venue_order_ids.push(venue_order_id.clone());
            }
            let late = order.state.is_terminal() || order.answered.is_some();
            if late {
                return if known {
                    Applied::Duplicate
                } else {
                    Applied::Changed
                };
            }
            (OrderEvent::Acked, None)
        }
        ReportKind::Rejected { reason } => (OrderEvent::Rejected, Some(reason.as_str())),
        ReportKind::Cancelled { reason } => (OrderEvent::Cancelled, Some(reason.as_str())),
        ReportKind::Expired { reason } => (OrderEvent::Expired, Some(reason.as_str())),
        ReportKind::CancelRejected { reason } => (
            OrderEvent::CancelRefused { has_fills },
            Some(reason.as_str()),
        ),
        ReportKind::NotFound => (OrderEvent::Rejected, Some("never reached the venue")),
        ReportKind::Fill(_) => unreachable!("fills go through fill_order"),
    };
    match order.state.after(event) {
        Ok(state) => {
            order.state = state;
            if let Some(reason) = reason {
                reason.clone_into(&mut order.reason);
            }
            Applied::Changed
        }
        // A repeated end, or the refusal of a cancel that came too late, is no contradiction.
        Err(_) if order.state.is_terminal() => Applied::Duplicate,
        Err(_) => Applied::Disputed { filled: false },
    }
}
