//! Strategies: they see what the kernel gives them and answer with what they want, which the kernel sizes, risk
//! checks, and the ledger books.
//!
//! One table, [`STRATEGIES`]; adding one is a file and a row. `RULES.md` says what each does, precisely enough to
//! compute its trades by hand. A strategy reads no clock and keeps nothing that a restart would lose: it decides from
//! closed candles, indicators, the book, its own position and orders; what it must remember beyond that is the small
//! [`Strategy::state`], which the ledger keeps.

mod bands;
mod config;
mod crossing;
mod decision;
mod frame;
mod grid;
mod market_maker;
mod params;
mod ruled;
mod scripted;
mod sizing;
mod table;
mod view;

use std::fmt;
use std::hash::Hasher;

use super::indicators::Spec;
use super::orders::Order;
use super::types::{Price, Qty};

pub use config::{COMMON_PARAMS, Direction, Source, StrategyConfig};
pub use decision::{
    Action, Decision, INPUTS_MAX, Orders, QUOTES_MAX, Quote, Said, Target, Terms, Why, Wish,
};
pub use params::{Kind, Param, Params, Value};
pub use ruled::is_condition;
pub use sizing::{Distance, Exits, NoSize, Sizing, Tally};
pub use table::{Row, STRATEGIES, StrategyError, build};
pub use view::{OwnPosition, View};

pub(in crate::kernel) use sizing::{Basis, on_tick};

/// Bytes of a strategy's own state on one instrument at most.
pub const STATE_MAX: usize = 1_024;

/// An execution of a strategy's own order.
#[derive(Debug, Clone, Copy)]
pub struct OwnFill<'a> {
    /// The order, as it is now.
    pub order: &'a Order,
    /// Price of the execution.
    pub price: Price,
    /// Its quantity.
    pub qty: Qty,
}

/// A strategy on one instrument.
pub trait Strategy: fmt::Debug + Send {
    /// The indicators that are to be kept on its candles; [`View::value`] takes a place in this list.
    fn needs(&self) -> Vec<Spec> {
        Vec::new()
    }

    /// Names of the values in its [`Why`], in their order, [`INPUTS_MAX`] at most.
    fn inputs(&self) -> Vec<String> {
        Vec::new()
    }

    /// A candle of its interval has closed.
    fn on_candle(&mut self, view: &View<'_>) -> Decision;

    /// How often it is to look at the book, in nanoseconds between two looks at least; `None`: never, and then it
    /// costs nothing.
    fn quote_every(&self) -> Option<i64> {
        None
    }

    /// Book, trades or figures of the instrument have changed, or an own order was executed. `None`: nothing was decided.
    fn on_quote(&mut self, _view: &View<'_>) -> Option<Decision> {
        None
    }

    /// An own order was (partly) executed. What follows from it is decided at the next candle or look at the book,
    /// which comes at once if it looks at the book at all.
    fn on_fill(&mut self, _view: &View<'_>, _fill: &OwnFill<'_>) {}

    /// What it must remember over a restart or a reload, [`STATE_MAX`] bytes at most; kept by the ledger whenever it
    /// has changed.
    fn state(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes up what it remembered. What it cannot read (an older program wrote it) it passes over.
    fn restore(&mut self, _state: &[u8]) {}

    /// Every bit that it holds beyond its configuration and [`Strategy::state`], for the hash of the kernel.
    fn hash_bits(&self, _state: &mut dyn Hasher) {}
}
