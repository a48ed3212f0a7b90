//! Callers whose order is not answered yet. Orders get ids in ascending order and are answered soon, so this is
//! a queue with holes.

use std::collections::VecDeque;

use super::event::{Correlation, Wait};
use super::orders::OrderId;

/// The callers, by order.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    queue: VecDeque<(OrderId, Option<(Correlation, Wait)>)>,
    len: usize,
}

impl Waiters {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Enters the caller of the newest order.
    pub(super) fn push(&mut self, order: OrderId, caller: Correlation, wait: Wait) {
        self.queue.push_back((order, Some((caller, wait))));
        self.len = self.len.saturating_add(1);
    }

    pub(super) fn get(&self, order: OrderId) -> Option<(Correlation, Wait)> {
        let at = self.find(order)?;
        self.queue.get(at)?.1
    }

    pub(super) fn remove(&mut self, order: OrderId) -> Option<(Correlation, Wait)> {
        let at = self.find(order)?;
        let caller = self.queue.get_mut(at)?.1.take()?;
        self.len = self.len.saturating_sub(1);
        while self.queue.front().is_some_and(|(_, c)| c.is_none()) {
            self.queue.pop_front();
        }
        Some(caller)
    }

    fn find(&self, order: OrderId) -> Option<usize> {
        if self.queue.front().is_some_and(|(id, _)| *id == order) {
            return Some(0);
        }
        self.queue.binary_search_by_key(&order, |(id, _)| *id).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_is_told_once_in_any_order() {
        let mut waiters = Waiters::default();
        for id in [3, 5, 9] {
            waiters.push(OrderId(id), Correlation(id), Wait::Venue);
        }
        let of = |w: &mut Waiters, id| w.remove(OrderId(id)).map(|(c, _)| c.0);
        assert_eq!(of(&mut waiters, 5), Some(5));
        assert_eq!(of(&mut waiters, 5), None);
        assert_eq!(of(&mut waiters, 4), None);
        assert_eq!(waiters.len(), 2);
        assert_eq!(of(&mut waiters, 3), Some(3));
        assert_eq!(of(&mut waiters, 9), Some(9));
        assert_eq!((waiters.len(), waiters.queue.len()), (0, 0));
    }
}
