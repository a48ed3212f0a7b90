//! What a refusal says: which rule, its limit, the value that broke it, and what would be legal.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an order was refused before it left.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Refusal {
    /// The rule.
    pub rule: Rule,
    /// The limit in force, as text with its unit.
    pub limit: String,
    /// The value that broke it.
    pub value: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: limit {}, got {}",
            self.rule.name(),
            self.limit,
            self.value
        )?;
        if self.hint.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.hint)
        }
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// The rules. The list is closed: metrics label by it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Rule { $($(#[$doc])* $variant,)* }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in errors, metrics and records.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

rules! {
    /// Price off the tick grid.
    Tick => "tick",
    /// Quantity off the lot grid, or outside of the venue's bounds.
    Lot => "lot",
    /// Order value below the venue's minimum.
    MinNotional => "min_notional",
    /// The venue does not take orders for this instrument.
    InstrumentStatus => "instrument_status",
    /// The book is not verified, or too old.
    StaleData => "stale_data",
    /// Observe mode: no orders at all.
    Mode => "mode",
    /// The journal cannot take more records.
    Journal => "journal",
    /// Order value above the limit.
    MaxOrderNotional => "max_order_notional",
    /// Worst-case position value above the limit.
    MaxPositionNotional => "max_position_notional",
    /// Too many open orders.
    MaxOpenOrders => "max_open_orders",
    /// Limit price too far from the market.
    PriceCollar => "price_collar",
    /// Not enough of the asset that the order would spend.
    Balance => "balance",
    /// A reduce-only order that would not reduce.
    ReduceOnly => "reduce_only",
    /// Would trade against an own resting order.
    SelfTrade => "self_trade",
    /// The price lies outside of the venue's bounds or band.
    PriceBand => "price_band",
    /// The trigger would be reached at once, or makes no sense.
    Trigger => "trigger",
    /// The position side does not fit the account's position mode.
    PositionSide => "position_side",
    /// A size, flag or companion that this kind of order cannot have.
    OrderShape => "order_shape",
    /// Sum of the worst-case values of all positions above the limit.
    MaxExposure => "max_exposure",
    /// Too many orders a second.
    OrderRate => "order_rate",
    /// More leverage than the margin bracket of the position allows.
    Leverage => "leverage",
    /// The kill switch was pulled.
    KillSwitch => "kill_switch",
    /// The loss of the day has reached its limit.
    DailyLoss => "daily_loss",
    /// Equity has fallen from its peak by the limit.
    Drawdown => "drawdown",
    /// Too many losing closes in a row.
    LosingStreak => "losing_streak",
    /// A venue executed more here than was ordered.
    Disputed => "disputed",
    /// An amount left the range of exact arithmetic.
    Range => "range",
    /// A record of the journal was passed over at the start.
    Quarantine => "quarantine",
    /// The state was taken from a store, and the last records may be missing.
    Incomplete => "incomplete",
}
