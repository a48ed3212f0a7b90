//! Orders: what callers ask for, what we know of each, and the table that holds them.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

mod ids;
mod image;
mod order;
mod slab;
mod spec;
mod state;
mod table;

pub use ids::{
    BadClientOrderId, BadVenueOrderId, ClientOrderId, OrderId, StrategyId, VenueOrderId,
};
pub(in crate::kernel) use image::TableImage;
pub use order::{Amend, Order};
pub use spec::{
    Bracket, Exit, Link, OrderSpec, OrderType, Origin, PositionSide, Role, Size, TimeInForce,
    Trigger, TriggerBy,
};
pub use state::{Illegal, OrderEvent, OrderState, Standing};
pub(in crate::kernel) use table::Slot;
pub use table::{Applied, Exits, OrderTable};

pub use super::risk::{ApprovedAmend, ApprovedOrder};
