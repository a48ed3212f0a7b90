//! What a strategy answers with, and why. Numbers and names, no text: text is made where somebody reads it.

use std::sync::Arc;

use super::sizing::{Exits, Sizing};
use crate::kernel::orders::{OrderId, OrderType, TimeInForce};
use crate::kernel::types::{Price, Side};

/// Named values of a decision at most.
pub const INPUTS_MAX: usize = 8;
/// Orders that a strategy may want to rest at the same time on one instrument.
pub const QUOTES_MAX: usize = 100;

/// A strategy's answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// What is to be done.
    pub action: Action,
    /// What it saw.
    pub why: Why,
}

impl Decision {
    /// Nothing is to change: the inputs are not there yet.
    pub fn warm_up() -> Self {
        Self::default()
    }

    /// Nothing is to change.
    pub fn hold(inputs: &[f64]) -> Self {
        Self {
            action: Action::Hold,
            why: Why::new(Said::NoSignal, inputs),
        }
    }

    /// A signal said so: be long, short or flat.
    pub fn be(target: Target, inputs: &[f64]) -> Self {
        Self {
            action: Action::be(target),
            why: Why::new(Said::Signal, inputs),
        }
    }

    /// These orders, and no others of the strategy, are to rest.
    pub fn rest(quotes: Vec<Quote>, inputs: &[f64]) -> Self {
        Self {
            action: Action::Rest(quotes),
            why: Why::new(Said::Signal, inputs),
        }
    }
}

/// What a strategy wants.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Action {
    /// Nothing is to change.
    #[default]
    Hold,
    /// The position that the strategy wants; the kernel sizes it, closes what is in its way first, and places
    /// its stops. Wanting what is there already changes nothing.
    Be {
        /// Long, short or flat.
        target: Target,
        /// Other terms than those of the configuration.
        terms: Option<Box<Terms>>,
    },
    /// These orders, and no others of the strategy, are to rest. The kernel cancels what is not among them and
    /// places what is missing; an order that rests already at its price is left alone.
    Rest(Vec<Quote>),
    /// Orders one by one.
    Orders(Box<Orders>),
    /// The strategy cannot go on: it is stopped until it is loaded anew, and its entries are cancelled.
    Fail(Arc<str>),
}

impl Action {
    /// Be long, short or flat, on the terms of the configuration.
    pub const fn be(target: Target) -> Self {
        Self::Be {
            target,
            terms: None,
        }
    }
}

/// The position that a strategy wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Target {
    /// None.
    #[default]
    Flat,
    /// Long.
    Long,
    /// Short.
    Short,
}

impl Target {
    /// The side of an order that leads there from flat.
    pub const fn side(self) -> Option<Side> {
        match self {
            Self::Flat => None,
            Self::Long => Some(Side::Buy),
            Self::Short => Some(Side::Sell),
        }
    }
}

/// Terms of one entry. What is `None` is as configured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Terms {
    /// How much.
    pub size: Option<Sizing>,
    /// Its stops and targets.
    pub exits: Option<Exits>,
}

/// A resting order that a strategy wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Quote {
    /// Buy or sell.
    pub side: Side,
    /// At this price; the kernel puts it on the tick, away from the market.
    pub price: Price,
    /// How much; `None`: as configured.
    pub size: Option<Sizing>,
    /// Part of the strategy's own position at most: it never opens one the other way.
    pub reduces: bool,
}

/// Orders one by one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Orders {
    /// Own orders to cancel.
    pub cancel: Vec<OrderId>,
    /// Orders to place.
    pub place: Vec<Wish>,
}

/// An order that a strategy wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// Buy or sell.
    pub side: Side,
    /// Market, limit or conditional.
    pub kind: OrderType,
    /// How much; `None`: as configured, or the whole position if it reduces.
    pub size: Option<Sizing>,
    /// How long it may rest; `None`: as usual for its kind.
    pub time_in_force: Option<TimeInForce>,
    /// Refused by the venue rather than taking liquidity.
    pub post_only: bool,
    /// Part of the strategy's own position at most.
    pub reduces: bool,
    /// Stops and targets of what it executes; `None`: as configured.
    pub exits: Option<Exits>,
}

/// What a strategy saw when it decided.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Why {
    /// What it says itself.
    pub said: Said,
    inputs: [f64; INPUTS_MAX],
    count: u8,
}

impl Why {
    /// With the values of the inputs that [`super::Strategy::inputs`] names, in that order; what is more than
    /// [`INPUTS_MAX`] is left out.
    pub fn new(said: Said, inputs: &[f64]) -> Self {
        let mut why = Self {
            said,
            ..Self::default()
        };
        for (slot, value) in why.inputs.iter_mut().zip(inputs) {
            *slot = *value;
            why.count = why.count.saturating_add(1);
        }
        why
    }

    /// The values.
    pub fn inputs(&self) -> &[f64] {
        self.inputs
            .get(..usize::from(self.count))
            .unwrap_or_default()
    }
}

/// What a strategy says of its own decision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Said {
    /// Its inputs are not there yet.
    #[default]
    WarmUp,
    /// A rule of its own wants this.
    Signal,
    /// No rule of its own wants anything.
    NoSignal,
    /// A filter of its own said no.
    Filter(&'static str),
    /// In its own words.
    Text(Arc<str>),
}
