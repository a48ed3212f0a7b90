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
    /// The venue has it, and waits for its trigger.
    Untriggered,
    /// The venue has it in its book.
    Acked,
    /// The venue has executed a part.
    PartiallyFilled,
    /// A cancel is on its way. Fills are still possible.
    CancelPending,
    /// A change is on its way. Fills are still possible.
    AmendPending,
    /// Nobody knows: lost connection, timeout, or a restart before the venue's answer. Never
    /// guessed and never re-sent.
    Unknown,
    /// Executed in full.
    Filled,
    /// Cancelled, with or without fills.
    Cancelled,
    /// Refused by the venue.
    Rejected,
    /// Ended by the venue: IOC remainder, FOK, no liquidity, date.
    Expired,
}

/// What can happen to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderEvent {
    /// The intent is durable and the order was handed to the gateway.
    Sent,
    /// The venue has it in its book (or is about to match it).
    Acked,
    /// The venue has it and waits for the trigger.
    Held,
    /// The trigger was reached; from now on it is an order in the book.
    Triggered,
    /// A part was executed, more remains.
    PartFilled,
    /// The last part was executed.
    FullyFilled,
    /// We asked to cancel.
    CancelSent,
    /// The cancel was refused; the order stands where it stood.
    CancelRefused(Standing),
    /// We asked for a change.
    AmendSent,
    /// The venue changed it, because we asked or by itself (a reduce-only order that was cut).
    Amended(Standing),
    /// The change was refused.
    AmendRefused(Standing),
    /// The venue cancelled it.
    Cancelled,
    /// The venue refused it.
    Rejected,
    /// The venue ended it.
    Expired,
    /// The outcome of a request was lost.
    Lost,
    /// The venue was asked, and has it.
    Found(Standing),
}

impl OrderEvent {
    /// Every event, with every standing that it can carry.
    pub fn all() -> impl Iterator<Item = Self> {
        let plain = [
            Self::Sent,
            Self::Acked,
            Self::Held,
            Self::Triggered,
            Self::PartFilled,
            Self::FullyFilled,
            Self::CancelSent,
            Self::AmendSent,
            Self::Cancelled,
            Self::Rejected,
            Self::Expired,
            Self::Lost,
        ];
        let standing = Standing::ALL.into_iter().flat_map(|standing| {
            [
                Self::CancelRefused(standing),
                Self::Amended(standing),
                Self::AmendRefused(standing),
                Self::Found(standing),
            ]
        });
        plain.into_iter().chain(standing)
    }
}

/// Where an order stands at the venue when no request is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It waits for its trigger.
    Untriggered,
    /// In the book, without fills.
    Acked,
    /// In the book, with fills.
    PartiallyFilled,
    /// A change is still under way.
    Amending,
}

impl Standing {
    /// Every standing.
    pub const ALL: [Self; 4] = [
        Self::Untriggered,
        Self::Acked,
        Self::PartiallyFilled,
        Self::Amending,
    ];

    const fn state(self) -> OrderState {
        match self {
            Self::Untriggered => OrderState::Untriggered,
            Self::Acked => OrderState::Acked,
            Self::PartiallyFilled => OrderState::PartiallyFilled,
            Self::Amending => OrderState::AmendPending,
        }
    }
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
    /// Every state.
    pub const ALL: [Self; 12] = [
        Self::Intent,
        Self::Sent,
        Self::Untriggered,
        Self::Acked,
        Self::PartiallyFilled,
        Self::CancelPending,
        Self::AmendPending,
        Self::Unknown,
        Self::Filled,
        Self::Cancelled,
        Self::Rejected,
        Self::Expired,
    ];

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
            Self::Untriggered => "untriggered",
            Self::PartiallyFilled => "partially_filled",
            Self::CancelPending => "cancel_pending",
            Self::AmendPending => "amend_pending",
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
    /// acknowledgement. A late acknowledgement changes nothing. A cancel may be sent while a change is
    /// under way, and then the order is pending its cancel whatever the change's answer is. An unknown
    /// order stays unknown until the venue says what it is: the refusal of a cancel does not.
    pub const fn after(self, event: OrderEvent) -> Result<Self, Illegal> {
        use OrderEvent as E;
        use OrderState as S;
        match (self, event) {
            (S::Filled | S::Cancelled | S::Rejected | S::Expired, _) => {
                Err(Illegal { state: self, event })
            }
            (S::Intent, E::Sent) => Ok(S::Sent),
            // Recovery replays reports without the Sent in between, which is not journaled.
            (S::Intent | S::Sent, E::Acked) => Ok(S::Acked),
            (S::Intent | S::Sent, E::Held) => Ok(S::Untriggered),
            (
                S::Untriggered | S::Acked | S::PartiallyFilled | S::CancelPending | S::AmendPending,
                E::Acked | E::Held,
            ) => Ok(self),
            (S::Intent | S::Sent | S::Untriggered | S::Unknown, E::Triggered) => Ok(S::Acked),
            (S::CancelPending | S::AmendPending | S::PartiallyFilled, E::Triggered) => Ok(self),
            (S::CancelPending | S::AmendPending, E::PartFilled) => Ok(self),
            (_, E::PartFilled) => Ok(S::PartiallyFilled),
            (_, E::FullyFilled) => Ok(S::Filled),
            (S::Unknown, E::CancelSent | E::CancelRefused(_)) => Ok(S::Unknown),
            (S::Unknown, E::Found(Standing::Amending))
            | (S::Intent | S::Sent, E::Amended(Standing::Amending)) => {
                Err(Illegal { state: self, event })
            }
            (S::Unknown, E::Found(standing)) => Ok(standing.state()),
            (S::CancelPending, E::CancelRefused(standing)) => Ok(standing.state()),
            // A cancel that was sent before the order ended up where it is now.
            (
                S::Untriggered | S::Acked | S::PartiallyFilled | S::AmendPending,
                E::CancelRefused(_),
            ) => Ok(self),
            (
                S::Intent
                | S::Sent
                | S::Untriggered
                | S::Acked
                | S::PartiallyFilled
                | S::AmendPending,
                E::CancelSent,
            ) => Ok(S::CancelPending),
            (S::Untriggered | S::Acked | S::PartiallyFilled, E::AmendSent) => Ok(S::AmendPending),
            // The venue cut it on arrival, and that report came first.
            (S::Intent | S::Sent, E::Amended(standing)) => Ok(standing.state()),
            (S::AmendPending, E::Amended(standing) | E::AmendRefused(standing)) => {
                Ok(standing.state())
            }
            (
                S::Untriggered | S::Acked | S::PartiallyFilled | S::CancelPending | S::Unknown,
                E::Amended(_) | E::AmendRefused(_),
            ) => Ok(self),
            (_, E::Cancelled) => Ok(S::Cancelled),
            (_, E::Expired) => Ok(S::Expired),
            (S::Intent | S::Sent | S::CancelPending | S::Unknown, E::Rejected) => Ok(S::Rejected),
            (S::Intent | S::Sent | S::CancelPending | S::AmendPending | S::Unknown, E::Lost) => {
                Ok(S::Unknown)
            }
            (
                _,
                E::Sent
                | E::Acked
                | E::Held
                | E::Triggered
                | E::CancelSent
                | E::CancelRefused(_)
                | E::AmendSent
                | E::AmendRefused(_)
                | E::Rejected
                | E::Lost
                | E::Found(_),
            ) => Err(Illegal { state: self, event }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_order_stays_as_it_is() {
        for state in OrderState::ALL.into_iter().filter(|s| s.is_terminal()) {
            for event in OrderEvent::all() {
                assert!(state.after(event).is_err(), "{state:?} {event:?}");
            }
        }
    }

    #[test]
    fn every_live_state_can_end_and_a_fill_never_reopens_a_cancel() {
        for state in OrderState::ALL.into_iter().filter(|s| !s.is_terminal()) {
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
        assert!(OrderState::Unknown.after(OrderEvent::AmendSent).is_err());
        assert!(OrderState::Acked.after(OrderEvent::Rejected).is_err());
    }
}
