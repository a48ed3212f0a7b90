//! Rules: conditions over indicators, prices, position and time, one expression each.
//!
//! An expression is compiled once into a few instructions of a small stack machine (`code.rs`); types,
//! names and parameters are checked on the way, so that nothing but a missing value can stop it later.
//! It allocates nothing and takes no longer than it is long. What an expression says, a script says
//! with the same text; a test holds the two together.
//!
//! Why no scripts instead: an expression knows its types before it runs, and is some hundred times
//! faster, which is what a sweep over parameters consists of.

mod calls;
mod code;
mod compiler;
mod lexer;
#[cfg(test)]
mod tests;

pub use code::{NotReady, Rule};
pub use compiler::compile;
