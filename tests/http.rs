//! The HTTP API over real sockets on loopback: every route, every error, every limit.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "http/account.rs"]
mod account;
#[path = "http/client.rs"]
mod client;
#[path = "http/commands.rs"]
mod commands;
#[path = "http/harness.rs"]
mod harness;
#[path = "http/kinds.rs"]
mod kinds;
#[path = "http/limits.rs"]
mod limits;
#[path = "http/metrics.rs"]
mod metrics;
#[path = "http/orders.rs"]
mod orders;
#[path = "http/reads.rs"]
mod reads;
#[path = "http/terminal.rs"]
mod terminal;
