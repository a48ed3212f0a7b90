//! What an order asks for.

use serde::{Deserialize, Serialize};

use super::{ClientOrderId, OrderId, StrategyId};
use crate::kernel::portfolio::PositionMode;
use crate::kernel::types::{Contract, InstrumentId, Money, Price, Qty, Rate, Side, Time};

/// An order as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrderSpec {
    /// What to trade.
    pub instrument: InstrumentId,
    /// Buy or sell.
    pub side: Side,
    /// Which position it concerns.
    pub position_side: PositionSide,
    /// Market, limit, or conditional, with its prices.
    pub kind: OrderType,
    /// How much.
    pub size: Size,
    /// How long it may rest.
    pub time_in_force: TimeInForce,
    /// Refused by the venue rather than taking liquidity.
    pub post_only: bool,
    /// May only reduce a position.
    pub reduce_only: bool,
    /// Who asked.
    pub origin: Origin,
    /// The orders that come with it, or that it came with.
    pub link: Link,
    /// The caller's idempotency key.
    pub client_order_id: Option<ClientOrderId>,
}

impl OrderSpec {
    /// An ordinary order of the operator: good till cancelled (a market order immediate or cancel), without
    /// conditions or companions.
    pub fn new(instrument: InstrumentId, side: Side, kind: OrderType, size: Size) -> Self {
        Self {
            instrument,
            side,
            position_side: PositionSide::Both,
            kind,
            size,
            time_in_force: if kind == OrderType::Market {
                TimeInForce::Ioc
            } else {
                TimeInForce::Gtc
            },
            post_only: false,
            reduce_only: false,
            origin: Origin::Operator,
            link: Link::None,
            client_order_id: None,
        }
    }
}

/// Which position of an instrument an order or a fill concerns.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum PositionSide {
    /// The one position of the instrument (one-way mode, spot).
    #[default]
    Both,
    /// The long position of hedge mode.
    Long,
    /// The short position of hedge mode.
    Short,
}

impl PositionSide {
    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Long => "long",
            Self::Short => "short",
        }
    }

    /// The position sides that an account has in an instrument.
    pub const fn of(mode: PositionMode, contract: Contract) -> &'static [Self] {
        match (mode, contract) {
            (PositionMode::OneWay, _) | (_, Contract::Spot) => &[Self::Both],
            (PositionMode::Hedge, _) => &[Self::Long, Self::Short],
        }
    }

    /// Where its position stands in a pair of positions.
    pub const fn index(self) -> usize {
        match self {
            Self::Both | Self::Long => 0,
            Self::Short => 1,
        }
    }
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
    /// A market order once the price has moved against us to the trigger.
    StopMarket {
        /// When.
        trigger: Trigger,
    },
    /// A limit order once the price has moved against us to the trigger.
    StopLimit {
        /// When.
        trigger: Trigger,
        /// The limit.
        price: Price,
    },
    /// A market order once the price has moved in our favour to the trigger.
    TakeProfitMarket {
        /// When.
        trigger: Trigger,
    },
    /// A limit order once the price has moved in our favour to the trigger.
    TakeProfitLimit {
        /// When.
        trigger: Trigger,
        /// The limit.
        price: Price,
    },
    /// A market order once the price has come back from its best by a share of it.
    TrailingStop {
        /// The share: 0.01 is one percent.
        callback: Rate,
        /// The best price counts from here on; `None`: from the order's arrival.
        activation: Option<Price>,
        /// Which price.
        by: TriggerBy,
    },
}

impl OrderType {
    /// The name in every document: `market`, `limit`, `stop_market` and so on.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Market => "market",
            Self::Limit { .. } => "limit",
            Self::StopMarket { .. } => "stop_market",
            Self::StopLimit { .. } => "stop_limit",
            Self::TakeProfitMarket { .. } => "take_profit_market",
            Self::TakeProfitLimit { .. } => "take_profit_limit",
            Self::TrailingStop { .. } => "trailing_stop",
        }
    }

    /// The limit price, if there is one.
    pub const fn limit(self) -> Option<Price> {
        match self {
            Self::Market
            | Self::StopMarket { .. }
            | Self::TakeProfitMarket { .. }
            | Self::TrailingStop { .. } => None,
            Self::Limit { price }
            | Self::StopLimit { price, .. }
            | Self::TakeProfitLimit { price, .. } => Some(price),
        }
    }

    /// The trigger with a price of its own, if there is one.
    pub const fn trigger(self) -> Option<Trigger> {
        match self {
            Self::Market | Self::Limit { .. } | Self::TrailingStop { .. } => None,
            Self::StopMarket { trigger }
            | Self::StopLimit { trigger, .. }
            | Self::TakeProfitMarket { trigger }
            | Self::TakeProfitLimit { trigger, .. } => Some(trigger),
        }
    }

    /// Whether it waits for a trigger before it becomes an order in the book.
    pub const fn is_conditional(self) -> bool {
        !matches!(self, Self::Market | Self::Limit { .. })
    }

    /// Whether it trades at any price (once triggered).
    pub const fn is_market(self) -> bool {
        self.limit().is_none()
    }

    /// Whether a price that has reached `at` sets it off. Trailing stops have no price of their own.
    pub fn is_triggered(self, side: Side, at: Price) -> bool {
        match (self, side) {
            (Self::StopMarket { trigger } | Self::StopLimit { trigger, .. }, Side::Buy)
            | (
                Self::TakeProfitMarket { trigger } | Self::TakeProfitLimit { trigger, .. },
                Side::Sell,
            ) => at >= trigger.price,
            (Self::StopMarket { trigger } | Self::StopLimit { trigger, .. }, Side::Sell)
            | (
                Self::TakeProfitMarket { trigger } | Self::TakeProfitLimit { trigger, .. },
                Side::Buy,
            ) => at <= trigger.price,
            (Self::Market | Self::Limit { .. } | Self::TrailingStop { .. }, _) => false,
        }
    }

    /// The same with other prices; what it does not have is passed over.
    #[must_use]
    pub fn with_prices(self, limit: Option<Price>, trigger: Option<Price>) -> Self {
        let moved = |t: Trigger| Trigger {
            price: trigger.unwrap_or(t.price),
            ..t
        };
        match self {
            Self::Market | Self::TrailingStop { .. } => self,
            Self::Limit { price } => Self::Limit {
                price: limit.unwrap_or(price),
            },
            Self::StopMarket { trigger } => Self::StopMarket {
                trigger: moved(trigger),
            },
            Self::TakeProfitMarket { trigger } => Self::TakeProfitMarket {
                trigger: moved(trigger),
            },
            Self::StopLimit { trigger, price } => Self::StopLimit {
                trigger: moved(trigger),
                price: limit.unwrap_or(price),
            },
            Self::TakeProfitLimit { trigger, price } => Self::TakeProfitLimit {
                trigger: moved(trigger),
                price: limit.unwrap_or(price),
            },
        }
    }

    /// The same with every price converted; `None` if one cannot be.
    pub fn try_map(self, price: impl Fn(Price) -> Option<Price>) -> Option<Self> {
        let limit = self.limit().map(&price);
        let trigger = self.trigger().map(|t| price(t.price));
        if limit == Some(None) || trigger == Some(None) {
            return None;
        }
        Some(match self {
            Self::TrailingStop {
                callback,
                activation,
                by,
            } => Self::TrailingStop {
                callback,
                activation: match activation {
                    Some(a) => Some(price(a)?),
                    None => None,
                },
                by,
            },
            _ => self.with_prices(limit.flatten(), trigger.flatten()),
        })
    }
}

/// What sets a conditional order off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Trigger {
    /// The price.
    pub price: Price,
    /// Which price has to reach it.
    pub by: TriggerBy,
}

/// Which price sets a conditional order off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerBy {
    /// Of the last trade.
    #[default]
    Last,
    /// Mark price; on spot the middle of the book.
    Mark,
    /// Index price; where there is none, as `Mark`.
    Index,
}

impl TriggerBy {
    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Mark => "mark",
            Self::Index => "index",
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
    /// The whole position, as large as it is when the order takes effect.
    Position,
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
    /// Until a date.
    Gtd {
        /// When it expires.
        expires: Time,
    },
}

impl TimeInForce {
    /// `GTC`, `IOC`, `FOK` or `GTD`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gtc => "GTC",
            Self::Ioc => "IOC",
            Self::Fok => "FOK",
            Self::Gtd { .. } => "GTD",
        }
    }

    /// Whether what does not trade at once may wait in the book.
    pub const fn rests(self) -> bool {
        matches!(self, Self::Gtc | Self::Gtd { .. })
    }
}

/// Who asked for an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Origin {
    /// A person or program, over the API.
    Operator,
    /// A strategy.
    Strategy(StrategyId),
    /// The kill switch, to flatten a position.
    KillSwitch,
}

impl Origin {
    /// The strategy, if it was one.
    pub const fn strategy(self) -> Option<StrategyId> {
        match self {
            Self::Operator | Self::KillSwitch => None,
            Self::Strategy(id) => Some(id),
        }
    }
}

/// How an order hangs together with others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Link {
    /// It stands alone.
    #[default]
    None,
    /// One cancels the other: this order and a stop of the same side. What one fills, the other loses.
    Oco(Box<Exit>),
    /// An entry; once it is (partly) filled, exits of the other side are placed for what was filled, of
    /// which one cancels the other.
    Bracket(Box<Bracket>),
    /// The kernel placed it for the order that names its exits.
    Exit {
        /// That order.
        parent: OrderId,
        /// Which of its exits.
        role: Role,
    },
}

/// The exits of a bracket. At least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bracket {
    /// Leaves with a profit.
    pub take_profit: Option<Exit>,
    /// Leaves with a loss.
    pub stop_loss: Option<Exit>,
}

/// A conditional order that leaves a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Exit {
    /// When it is set off.
    pub trigger: Trigger,
    /// Its limit; `None`: at any price.
    pub price: Option<Price>,
}

/// Which exit an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Leaves with a profit.
    TakeProfit,
    /// Leaves with a loss; or the stop of an OCO.
    StopLoss,
}

impl Role {
    /// Both.
    pub const ALL: [Self; 2] = [Self::TakeProfit, Self::StopLoss];

    /// Where it stands in a pair of exits.
    pub const fn index(self) -> usize {
        match self {
            Self::TakeProfit => 0,
            Self::StopLoss => 1,
        }
    }

    /// The order type of this exit.
    pub const fn order_type(self, exit: Exit) -> OrderType {
        let trigger = exit.trigger;
        match (self, exit.price) {
            (Self::TakeProfit, None) => OrderType::TakeProfitMarket { trigger },
            (Self::TakeProfit, Some(price)) => OrderType::TakeProfitLimit { trigger, price },
            (Self::StopLoss, None) => OrderType::StopMarket { trigger },
            (Self::StopLoss, Some(price)) => OrderType::StopLimit { trigger, price },
        }
    }
}
