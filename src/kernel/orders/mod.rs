//! Orders: what callers ask for, what we know of each, and the table that holds them.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

mod spec;
mod state;
mod table;

pub use spec::{OrderId, OrderSpec, OrderType, Origin, Size, TimeInForce};
pub use state::{Illegal, OrderEvent, OrderState};
pub use table::{Applied, Order, OrderTable};

pub use super::risk::ApprovedOrder;
