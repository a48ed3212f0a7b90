//! The projection of the journal into KeyDB (also Redis from 6.2 on, and Valkey).
//!
//! One task follows the journal and writes each batch by one script call that is refused unless it
//! continues what is there. KeyDB never holds the process up, and what it loses is written again:
//! the journal is the truth. Layout of the keys: `keys.rs`.

mod client;
mod config;
mod error;
mod fields;
mod keydb;
mod keys;
mod market;
mod pack;
mod projection;
mod rebuild;
mod replica;
mod restore;

pub mod bench;
pub mod migrate;
pub mod wire;

pub use config::StoreConfig;
pub use error::StoreError;
pub use keydb::run;
pub use market::publish_market;
pub use restore::{Restored, restore};
