//! What an order asks for.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kernel::types::{InstrumentId, Money, Price, Qty, Side};

/// Our id of an order: the journal sequence of its intent. As text, decimal digits.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct OrderId(pub u64);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An order as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrderSpec {
    /// What to trade.
    pub instrument: InstrumentId,
    /// Buy or sell.
    pub side: Side,
    /// Market, or limit with its price.
    pub kind: OrderType,
    /// How much.
    pub size: Size,
    /// How long it may rest. A market order is always [`TimeInForce::Ioc`].
    pub time_in_force: TimeInForce,
    /// Refused by the venue rather than taking liquidity.
    pub post_only: bool,
    /// May only reduce a position.
    pub reduce_only: bool,
    /// Who asked.
    pub origin: Origin,
    /// The caller's idempotency key, `[A-Za-z0-9_-]{1,36}`.
    pub client_order_id: Option<String>,
}

/// Order types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OrderType {
    /// Takes what the book has.
    Market,
    /// Trades at this price or better.
    Limit {
        /// The limit.
        price: Price,
    },
}

impl OrderType {
    /// The name in every document: `market`, `limit`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Market => "market",
            Self::Limit { .. } => "limit",
        }
    }

    /// The limit price, if there is one.
    pub const fn limit(self) -> Option<Price> {
        match self {
            Self::Market => None,
            Self::Limit { price } => Some(price),
        }
    }
}

/// How much to trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Size {
    /// A quantity of the base asset, > 0.
    Base(Qty),
    /// An amount of the quote asset, > 0: risk turns it into a quantity at the current price,
    /// rounded down to the lot, before the intent is written.
    Quote(Money),
}

/// How long an order may rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TimeInForce {
    /// Until cancelled.
    Gtc,
    /// Immediate or cancel: what does not trade at once expires.
    Ioc,
    /// Fill or kill: all at once or nothing.
    Fok,
}

impl TimeInForce {
    /// `GTC`, `IOC` or `FOK`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gtc => "GTC",
            Self::Ioc => "IOC",
            Self::Fok => "FOK",
        }
    }
}

/// Who asked for an order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Origin {
    /// A person or program, over the API.
    Operator,
    /// A strategy, by name.
    Strategy(String),
}

impl Origin {
    /// The strategy's name, if it was one.
    pub fn strategy(&self) -> Option<&str> {
        match self {
            Self::Operator => None,
            Self::Strategy(name) => Some(name),
        }
    }
}
