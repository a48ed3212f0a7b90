//! hean: a crypto-trading daemon in one static binary. Modules in reading order.

pub mod kernel;
pub mod venue;
pub mod engine;
pub mod json;
pub mod recording;
pub mod journal;
pub mod store;
pub mod status;
pub mod metrics;
pub mod http;
pub mod runtime;
pub mod setup;
pub mod replay;
pub mod daemon;
pub mod candle_csv;
pub mod logging;
pub mod config;
pub mod cli;
