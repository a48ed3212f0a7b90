//! The life of an order: one transition function, and no other way to change a state.

use serde::{Deserialize, Serialize};

/// Where an order is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// Passed risk, written to the journal's queue, not yet durable.
    Intent,
    /// Durable; handed to the gateway, nothing heard yet.
    Sent,
    /// The venue has it.
    Acked,
    /// The venue has executed a part.
    PartiallyFilled,
    /// A cancel is on its way. Fills are still possible.
    CancelPending,
    /// Nobody knows: lost connection, timeout, or a restart before the venue's answer. Never
    /// guessed and never re-sent.
    Unknown,
    /// Executed in full.
    Filled,
    /// Cancelled, with or without fills.
    Cancelled,
    /// Refused by the venue.
    Rejected,
    /// Ended by the venue: IOC remainder, FOK, no liquidity.
    Expired,
}

/// What can happen to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderEvent {
    /// The intent is durable and the order was handed to the gateway.
    Sent,
    /// The venue has it.
    Acked,
    /// A part was executed, more remains.
    PartFilled,
    /// The last part was executed.
    FullyFilled,
    /// We asked to cancel.
    CancelSent,
    /// The cancel was refused. `bool`: whether the order has fills.
    CancelRefused {
        /// Whether a part had been executed.
        has_fills: bool,
    },
    /// The venue cancelled it.
    Cancelled,
    /// The venue refused it.
    Rejected,
    /// The venue ended it.
    Expired,
    /// The outcome of a request was lost.
    Lost,
}

/// An event that cannot happen in this state: our bug if it is our own event, a dispute if it is
/// the venue's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen to an order that is {state:?}")]
pub struct Illegal {
    /// The state.
    pub state: OrderState,
    /// The event.
    pub event: OrderEvent,
}

impl OrderState {
    /// Whether nothing can happen any more.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Filled | Self::Cancelled | Self::Rejected | Self::Expired
        )
    }

    /// The status users read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intent => "pending",
            Self::Sent | Self::Acked => "submitted",
            Self::PartiallyFilled => "partially_filled",
            Self::CancelPending => "cancel_pending",
            Self::Unknown => "unknown",
            Self::Filled => "filled",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }

    /// The state after `event`.
    ///
    /// Reports of a venue may overtake each other, so a fill or an end is legal before the
    /// acknowledgement. A late acknowledgement changes nothing.
    pub const fn after(self, event: OrderEvent) -> Result<Self, Illegal> {
        use OrderEvent as E;
        use OrderState as S;
        let illegal = Err(Illegal { state: self, event });
        match (self, event) {
            (S::Intent, E::Sent) => Ok(S::Sent),
            // Recovery replays reports without the Sent in between, which is not journaled.
            (S::Intent | S::Sent | S::Unknown, E::Acked) => Ok(S::Acked),
            (S::Acked | S::PartiallyFilled | S::CancelPending, E::Acked) => Ok(self),
            (S::Intent | S::Sent | S::Acked | S::PartiallyFilled | S::Unknown, E::PartFilled)
            | (S::CancelPending, E::CancelRefused { has_fills: true }) => Ok(S::PartiallyFilled),
            (S::CancelPending, E::PartFilled) => Ok(S::CancelPending),
            (
                S::Intent | S::Sent | S::Acked | S::PartiallyFilled | S::CancelPending | S::Unknown,
                E::FullyFilled,
            ) => Ok(S::Filled),
            (S::Intent | S::Sent | S::Acked | S::PartiallyFilled | S::Unknown, E::CancelSent) => {
                Ok(S::CancelPending)
            }
            (S::CancelPending, E::CancelRefused { has_fills: false }) => Ok(S::Acked),
            (
                S::Intent | S::Sent | S::Acked | S::PartiallyFilled | S::CancelPending | S::Unknown,
                E::Cancelled,
            ) => Ok(S::Cancelled),
            (S::Intent | S::Sent | S::CancelPending | S::Unknown, E::Rejected) => Ok(S::Rejected),
            (
                S::Intent | S::Sent | S::Acked | S::PartiallyFilled | S::CancelPending | S::Unknown,
                E::Expired,
            ) => Ok(S::Expired),
            (S::Intent | S::Sent | S::CancelPending, E::Lost) => Ok(S::Unknown),
            (S::Filled | S::Cancelled | S::Rejected | S::Expired, _)
            | (_, E::Sent | E::CancelSent | E::CancelRefused { .. } | E::Rejected | E::Lost) => {
                illegal
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [OrderState; 10] = [
        OrderState::Intent,
        OrderState::Sent,
        OrderState::Acked,
        OrderState::PartiallyFilled,
        OrderState::CancelPending,
        OrderState::Unknown,
        OrderState::Filled,
        OrderState::Cancelled,
        OrderState::Rejected,
        OrderState::Expired,
    ];
    const EVENTS: [OrderEvent; 11] = [
        OrderEvent::Sent,
        OrderEvent::Acked,
        OrderEvent::PartFilled,
        OrderEvent::FullyFilled,
        OrderEvent::CancelSent,
        OrderEvent::CancelRefused { has_fills: true },
        OrderEvent::CancelRefused { has_fills: false },
        OrderEvent::Cancelled,
        OrderEvent::Rejected,
        OrderEvent::Expired,
        OrderEvent::Lost,
    ];

    #[test]
    fn an_ended_order_stays_as_it_is() {
        for state in STATES.into_iter().filter(|s| s.is_terminal()) {
            for event in EVENTS {
                assert!(state.after(event).is_err(), "{state:?} {event:?}");
            }
        }
    }

    #[test]
    fn every_live_state_can_end_and_a_fill_never_reopens_a_cancel() {
        for state in STATES.into_iter().filter(|s| !s.is_terminal()) {
            for event in [
                OrderEvent::FullyFilled,
                OrderEvent::Cancelled,
                OrderEvent::Expired,
            ] {
                let after = state.after(event).expect("legal");
                assert!(after.is_terminal(), "{state:?} {event:?} {after:?}");
            }
        }
        assert_eq!(
            OrderState::CancelPending.after(OrderEvent::PartFilled),
            Ok(OrderState::CancelPending)
        );
    }

    #[test]
    fn an_unknown_order_is_never_sent() {
        assert!(OrderState::Unknown.after(OrderEvent::Sent).is_err());
        assert!(OrderState::Acked.after(OrderEvent::Rejected).is_err());
    }
}
