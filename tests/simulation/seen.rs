//! What a run has seen, and all that there is to be seen.

use std::collections::{BTreeMap, BTreeSet};

use hean::kernel::orders::{OrderEvent, OrderState};

use crate::link::Faults;

/// What a run has seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) steps: u64,
    pub(crate) orders: u64,
    pub(crate) of_strategies: u64,
    pub(crate) refused: u64,
    pub(crate) fills: u64,
    pub(crate) restarts: u64,
    pub(crate) records_lost: u64,
    pub(crate) liquidations: u64,
    pub(crate) fundings: u64,
    pub(crate) halts_done: u64,
    pub(crate) transitions: BTreeMap<(OrderState, OrderState), u64>,
    pub(crate) faults: Faults,
    pub(crate) hash: u64,
}

/// Every change of state that the life cycle knows.
pub(crate) fn all_transitions() -> BTreeSet<(OrderState, OrderState)> {
    let mut found = BTreeSet::new();
    for from in OrderState::ALL {
        for event in OrderEvent::all() {
            if let Ok(to) = from.after(event)
                && to != from
            {
                found.insert((from, to));
            }
        }
    }
    found
}
