//! Risk: the only place that can approve an order.

mod limits;
mod refusal;

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
