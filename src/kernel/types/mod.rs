//! The numbers, names and times that everything else is written in.
//!
//! Invariant: no price, quantity, fee or balance is ever an `f64` in here.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

mod fixed;
mod instrument;
mod interval;
mod money;
mod shared_log;
mod time;

pub use fixed::{
    Decimal, FixedError, MarkPrice, Price, Qty, Rate, Scale, format_fixed, parse_fixed,
};
pub use instrument::{
    BandReference, Contract, Instrument, InstrumentId, InstrumentName, InstrumentStatus, NameError,
    PriceBand, Side, VenueId, normalise_symbol,
};
pub use interval::{Interval, IntervalError};
pub use money::{Money, MoneyError};
pub use shared_log::{SharedLog, SharedLogIter};
pub use time::{DAY, HOUR, MICROSECOND, MILLISECOND, MINUTE, SECOND, Time};
