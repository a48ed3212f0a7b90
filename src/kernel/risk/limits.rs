//! The limits in force. All amounts are in the account's currency; zero switches a limit off where the text
//! says so.

use crate::kernel::types::{MINUTE, Money, Rate, SECOND};

/// Risk limits, checked in the kernel for every order, the operator's too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RiskLimits {
    /// Largest value of one order.
    pub order_notional_max: Money,
    /// Largest worst-case value of one position: the position plus all open orders of its side.
    pub position_notional_max: Money,
    /// Largest sum of the worst-case values of all positions.
    pub exposure_notional_max: Money,
    /// Most open orders in all.
    pub orders_open_max: usize,
    /// Most orders a second; zero: any number.
    pub orders_per_second_max: u32,
    /// Largest distance of a limit price from the mark price, on the side that loses.
    pub price_collar: Rate,
    /// Oldest market data that an order that adds risk may rely on, in nanoseconds.
    pub stale_after_ns: i64,
    /// Largest loss of a day, net of transfers, with open positions at mark; reached, only reductions pass
    /// until the day is over. Zero: none.
    pub daily_loss_max: Money,
    /// Largest fall of equity from its peak, as a share of the peak; reached, only reductions pass until the
    /// operator resumes. Zero: none.
    pub drawdown_max: Rate,
    /// Losing closes in a row after which only reductions pass for [`RiskLimits::cool_down_ns`]. Zero: none.
    pub losing_streak_max: u32,
    /// How long a losing streak stops new risk, in nanoseconds.
    pub cool_down_ns: i64,
}

impl Default for RiskLimits {
    fn default() -> Self {
        Self {
            order_notional_max: Money::whole(25_000),
            position_notional_max: Money::whole(100_000),
            exposure_notional_max: Money::whole(250_000),
            orders_open_max: 200,
            orders_per_second_max: 100,
            price_collar: Rate(5_000_000), // 5 %
            stale_after_ns: 30 * SECOND,
            daily_loss_max: Money::whole(1_000),
            drawdown_max: Rate(20_000_000), // 20 %
            losing_streak_max: 0,
            cool_down_ns: 15 * MINUTE,
        }
    }
}
