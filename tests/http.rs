//! The HTTP API over real sockets on loopback: every route, every error, every limit.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "http/access.rs"]
mod access;
#[path = "http/account.rs"]
mod account;
#[path = "http/client.rs"]
mod client;
#[path = "http/commands.rs"]
mod commands;
#[path = "http/described.rs"]
mod described;
#[path = "http/forms.rs"]
mod forms;
#[path = "http/harness.rs"]
mod harness;
#[path = "http/autobahn.rs"]
mod autobahn;
#[path = "http/hostile.rs"]
mod hostile;
#[path = "http/hostile_streams.rs"]
mod hostile_streams;
#[path = "http/kinds.rs"]
mod kinds;
#[path = "http/limits.rs"]
mod limits;
#[path = "http/metrics.rs"]
mod metrics;
#[path = "http/lists.rs"]
mod lists;
#[path = "http/orders.rs"]
mod orders;
#[path = "http/reads.rs"]
mod reads;
#[path = "http/tls.rs"]
mod tls;
#[path = "http/streams.rs"]
mod streams;
#[path = "http/ws.rs"]
mod ws;
#[path = "http/terminal.rs"]
mod terminal;
