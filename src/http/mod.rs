//! The HTTP API: routes, their documents, and the server under them.
//!
//! Reads come from the published views and never reach the kernel thread; commands go through its
//! bounded queue. Invariants: every route passes `guard.rs` first; every size and every wait is
//! bounded; no price or quantity becomes a float on its way out.

mod access;
mod answer;
mod api;
mod audit;
mod body;
mod connection;
mod decimal;
mod describe;
mod find;
mod guard;
mod negotiate;
mod openapi;
mod params;
mod peers;
mod problem;
mod query;
mod rendered;
mod reply;
mod routes;
mod schema;
mod server;
mod socket;
mod state;
mod stream;
mod tls;
pub mod tokens;

pub use access::{Access, AccessError, Scope};
pub use audit::AuditWriter;
pub use openapi::document;
pub use params::Param;
pub use routes::{ROUTES, Route};
pub use server::{Server, bind};
pub use state::{AppState, Build, HttpConfig, IndicatorFn, IndicatorSeries};
