//! Binance spot: pure translation between its protocol and the kernel's vocabulary.
//! The simulated venue speaks the same protocol and is read by the same code.

pub mod answers;
pub mod decode;
pub mod encode;
mod fast;
mod error;
mod load;
mod symbols;
mod value;

pub use error::{DecodeError, FieldFault};
pub use load::{LoadError, load_instruments};
