//! The order table as a value that can be written and read again: what snapshots of the ledger hold of it.
//!
//! Its layout is on disk; see `ledger/image.rs` before changing it.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::table::{Exits, OrderTable};
use super::{ClientOrderId, Order, OrderId, OrderState};

/// Everything in a table but what was changed since the last look and how many ended orders it keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::kernel) struct TableImage<'a> {
    /// By ascending id.
    orders: Vec<Cow<'a, Order>>,
    /// Oldest end first.
    ended: Cow<'a, VecDeque<OrderId>>,
    keys: Cow<'a, BTreeMap<ClientOrderId, OrderId>>,
    exits: Cow<'a, BTreeMap<OrderId, Exits>>,
}

impl TableImage<'_> {
    /// The orders, by ascending id.
    pub(in crate::kernel) fn orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.iter().map(|order| &**order)
    }
}

impl OrderTable {
    /// The table as it is. That an order was sent is not journaled, and so not here either.
    pub(in crate::kernel) fn image(&self) -> TableImage<'_> {
        let journaled = |order| {
            let order: &Order = order;
            if order.state == OrderState::Sent {
                let mut order = order.clone();
                order.state = OrderState::Intent;
                Cow::Owned(order)
            } else {
                Cow::Borrowed(order)
            }
        };
        TableImage {
            orders: self.iter().map(journaled).collect(),
            ended: Cow::Borrowed(&self.ended),
            keys: Cow::Borrowed(&self.keys),
            exits: Cow::Borrowed(&self.exits),
        }
    }

    /// The table of an image, keeping `kept_max` ended orders from the next end on; `None` if the image is of
    /// no table.
    pub(in crate::kernel) fn restore(image: TableImage<'_>, kept_max: usize) -> Option<Self> {
        let mut table = Self::new(kept_max);
        let mut last = OrderId(0);
        for order in image.orders {
            if order.id <= last {
                return None;
            }
            last = order.id;
            let mut order = order.into_owned();
            let is_open = order.is_open();
            let unknown = usize::from(order.state == OrderState::Unknown);
            table.unknown = table.unknown.checked_add(unknown)?;
            order.kept.open_at = u32::try_from(table.open.len()).ok()?;
            let slot = table.slab.insert(order);
            if is_open {
                table.open.push(slot);
            }
        }
        let all_ended = image
            .ended
            .iter()
            .all(|id| table.get(*id).is_some_and(|o| !o.is_open()));
        let ended = table.len().checked_sub(table.open.len());
        if !all_ended || ended != Some(image.ended.len()) {
            return None;
        }
        table.ended.extend(image.ended.iter());
        table.keys = image.keys.into_owned();
        table.exits = image.exits.into_owned();
        Some(table)
    }
}
