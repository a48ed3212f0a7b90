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
mod limits;
mod refusal;

pub(in crate::kernel) use check::held;
pub use check::{Approval, Context, check};
pub use limits::RiskLimits;
pub use refusal::{Refusal, Rule};

use super::orders::{OrderId, OrderSpec};
use super::types::Qty;

/// An order that passed risk. Its fields cannot be set outside of this module, so a gateway that
/// takes this type takes nothing unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovedOrder {
    id: OrderId,
    spec: OrderSpec,
    qty: Qty,
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
}
