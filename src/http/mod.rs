//! The HTTP API: routes, their documents, and the server under them.
//!
//! Reads come from the published views and never reach the kernel thread; commands go through its
//! bounded queue. Invariants: every route passes `guard.rs` first; every size and every wait is
//! bounded; no price or quantity becomes a float on its way out.

mod access;
mod api;
mod body;
mod decimal;
mod guard;
mod problem;
mod query;
mod reply;
mod routes;
mod server;
mod socket;
mod state;

pub use access::Scope;
pub use routes::{ROUTES, Route};
pub use server::{Server, bind};
pub use state::{AppState, Build, HttpConfig, IndicatorFn, IndicatorSeries};
