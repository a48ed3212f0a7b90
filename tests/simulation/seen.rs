//! What a run has seen, and all that there is to be seen.

use std::collections::{BTreeMap, BTreeSet};

use hean::kernel::orders::{OrderEvent, OrderState, Standing};

use crate::link::Faults;

/// What a run has seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) steps: u64,
    pub(crate) orders: u64,
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
    use OrderEvent as E;
    let mut events = vec![
        E::Sent,
        E::Acked,
        E::Held,
        E::Triggered,
        E::PartFilled,
        E::FullyFilled,
        E::CancelSent,
        E::AmendSent,
        E::Cancelled,
        E::Rejected,
        E::Expired,
        E::Lost,
    ];
    for standing in [
        Standing::Untriggered,
        Standing::Acked,
        Standing::PartiallyFilled,
        Standing::Amending,
    ] {
        events.extend([
            E::CancelRefused(standing),
            E::Amended(standing),
            E::AmendRefused(standing),
            E::Found(standing),
        ]);
    }
    let mut found = BTreeSet::new();
    for from in OrderState::ALL {
        for event in &events {
            if let Ok(to) = from.after(*event)
                && to != from
            {
                found.insert((from, to));
            }
        }
    }
    found
}
