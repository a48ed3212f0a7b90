//! What goes into the slow program and what comes out.

use crate::oracle::Rules;

/// How long an order may rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasts {
    Resting,
    /// Until this time.
    Until(i64),
    Immediate,
    WholeOrNothing,
}

/// What an order waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Stop(i128),
    TakeProfit(i128),
    /// The share at 8 decimals, and where the best price begins to count.
    Trailing(i128, Option<i128>),
}

#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) id: u64,
    pub(crate) buys: bool,
    /// `None`: a market order.
    pub(crate) limit: Option<i128>,
    /// With whether the mark price has to reach it rather than the last one.
    pub(crate) condition: Option<(Condition, bool)>,
    pub(crate) qty: i128,
    pub(crate) lasts: Lasts,
    pub(crate) post_only: bool,
    pub(crate) reduces: bool,
    /// All that is held, however much that is.
    pub(crate) whole: bool,
    /// A price that is paid for.
    pub(crate) paid: Option<i128>,
}

#[derive(Debug, Clone)]
pub(crate) struct Amend {
    pub(crate) id: u64,
    pub(crate) price: Option<i128>,
    pub(crate) trigger: Option<i128>,
    pub(crate) qty: Option<i128>,
    pub(crate) paid: Option<i128>,
}

#[derive(Debug, Clone)]
pub(crate) enum Command {
    Place(Order),
    Amend(Amend),
    Cancel(u64),
}

/// What the venue says about an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Acked,
    Held,
    Triggered,
    Rejected,
    Expired,
    Cancelled,
    CancelRejected,
    Amended {
        price: Option<i128>,
        trigger: Option<i128>,
        qty: i128,
    },
    AmendRejected,
    Fill {
        number: u64,
        price: i128,
        qty: i128,
        /// At 16 decimals.
        fee: i128,
        maker: bool,
    },
    /// What the account received, at 16 decimals.
    Funding {
        due: i64,
        amount: i128,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// Zero: of the account.
    pub(crate) order: u64,
    pub(crate) time: i64,
    /// When we are told.
    pub(crate) heard: i64,
    pub(crate) said: Said,
}

/// How the venue is made.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) rules: Rules,
    pub(crate) spot: bool,
    /// Of commands and of reports.
    pub(crate) latency: [i64; 2],
    /// Maker's and taker's, at 8 decimals.
    pub(crate) fees: [i128; 2],
    /// Of the probable queue model; `None`: the conservative one.
    pub(crate) power: Option<u32>,
    /// The smallest price, quantity and lot.
    pub(crate) units: [i128; 3],
}
