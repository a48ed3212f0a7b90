//! The limits in force. All amounts are in the quote asset.

use crate::kernel::types::{Money, Rate, SECOND};

/// Risk limits, checked in the kernel for every order, the operator's too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RiskLimits {
    /// Largest value of one order.
    pub order_notional_max: Money,
    /// Largest worst-case value of one position: the position plus all open orders of its side.
    pub position_notional_max: Money,
    /// Most open orders in all.
    pub orders_open_max: usize,
    /// Largest distance of a limit price from the middle of the book, on the side that loses.
    pub price_collar: Rate,
    /// Oldest market data that an order that adds risk may rely on, in nanoseconds.
    pub stale_after_ns: i64,
}

impl Default for RiskLimits {
    fn default() -> Self {
        Self {
            order_notional_max: Money::whole(25_000),
            position_notional_max: Money::whole(100_000),
            orders_open_max: 200,
            price_collar: Rate(5_000_000), // 5 %
            stale_after_ns: 30 * SECOND,
        }
    }
}
