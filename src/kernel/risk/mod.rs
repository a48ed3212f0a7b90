//! Risk: the only place that can approve an order.
//!
//! Every order passes here, the operator's too. Rules that guard against adding risk let a verified
//! reduction of a position pass; filters of the venue hold for every order.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

mod check;
mod exposure;
mod filters;
mod limits;
mod rate;
mod refusal;
mod state;

pub(in crate::kernel) use check::{Context, check, check_amend};
pub use limits::RiskLimits;
pub use rate::OrderRate;
pub use refusal::{Refusal, Rule};
pub use state::{RiskEvent, RiskMode, RiskState};

use std::sync::Arc;

use super::orders::{Amend, OrderId, OrderSpec};
use super::types::{InstrumentId, Price, Qty};

/// A passed check; an id makes it an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernel) struct Approval {
    /// The quantity in the base asset.
    pub(in crate::kernel) qty: Qty,
    /// The price at which it is paid for in advance.
    pub(in crate::kernel) hold: Price,
    /// The venue is to see to it that it only reduces.
    pub(in crate::kernel) reduce_only: bool,
    /// It counts against the order rate.
    pub(in crate::kernel) adds_risk: bool,
}

impl Approval {
    /// The approved order, under the id of its journaled intent.
    pub(in crate::kernel) fn into_order(self, id: OrderId, spec: Arc<OrderSpec>) -> ApprovedOrder {
        ApprovedOrder {
            id,
            spec,
            qty: self.qty,
            hold: self.hold,
        }
    }

    /// The approved change.
    pub(in crate::kernel) fn into_amend(
        self,
        order: OrderId,
        instrument: InstrumentId,
        amend: Amend,
    ) -> ApprovedAmend {
        ApprovedAmend {
            order,
            instrument,
            amend: Amend {
                hold: self.hold,
                ..amend
            },
        }
    }
}

/// An order that passed risk. Its fields cannot be set outside of this module, so a gateway that
/// takes this type takes nothing unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovedOrder {
    id: OrderId,
    spec: Arc<OrderSpec>,
    qty: Qty,
    hold: Price,
}

impl ApprovedOrder {
    /// Our id of the order.
    pub fn id(&self) -> OrderId {
        self.id
    }

    /// What was asked for.
    pub fn spec(&self) -> &OrderSpec {
        &self.spec
    }

    /// The quantity in the base asset, on the lot grid.
    pub fn qty(&self) -> Qty {
        self.qty
    }

    /// The price at which it was paid for in advance; zero: nothing was.
    pub fn hold(&self) -> Price {
        self.hold
    }
}

/// A change of an order that passed risk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApprovedAmend {
    order: OrderId,
    instrument: InstrumentId,
    amend: Amend,
}

impl ApprovedAmend {
    /// The order.
    pub fn order(&self) -> OrderId {
        self.order
    }

    /// Its instrument.
    pub fn instrument(&self) -> InstrumentId {
        self.instrument
    }

    /// What is to change.
    pub fn amend(&self) -> &Amend {
        &self.amend
    }
}
