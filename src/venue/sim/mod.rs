//! The simulated venue.

pub mod matching;
pub mod paper;
