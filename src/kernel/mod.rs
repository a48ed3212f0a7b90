//! The deterministic core: inputs in, effects out.
//!
//! Invariant: nothing below this module reads a clock, a socket, a file, a random source, a log or a
//! metric, and nothing depends on the order of a hash map.

pub mod event;
pub mod indicators;
pub mod market;
pub mod ledger;
pub mod portfolio;
pub mod statistics;
pub mod orders;
pub mod risk;
pub mod snapshot;
pub mod types;
