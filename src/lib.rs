//! hean: a crypto-trading daemon in one static binary. The map of the modules, in reading order:

#![doc = include_str!("ARCHITECTURE.md")]

pub mod kernel;
pub mod venue;
pub mod engine;
pub mod recording;
pub mod journal;
pub mod journal_tool;
pub mod store;
pub mod status;
pub mod metrics;
pub mod http;
pub mod runtime;
pub mod trace;
pub mod offline;
pub mod tape;
pub mod replay;
pub mod backtest;
pub mod record;
pub mod history;
pub mod candle_csv;
pub mod indicator_text;
pub mod strategy_text;
pub mod json;
pub mod logging;
pub mod config;
pub mod setup;
pub mod cli;
pub mod token_tool;
pub mod client;
pub mod top;
pub mod doctor;
pub mod daemon;
pub mod service_tool;
