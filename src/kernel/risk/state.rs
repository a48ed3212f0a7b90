//! What stops new risk: normal → reduce-only → halted. Part of the durable state.

use serde::{Deserialize, Serialize};

use crate::kernel::types::{Money, Rate, Time};

/// What may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RiskMode {
    /// Everything within the limits.
    Normal,
    /// Only orders that reduce a position.
    ReduceOnly,
    /// The kill switch: as [`RiskMode::ReduceOnly`], and everything open was cancelled.
    Halted,
}

impl RiskMode {
    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::ReduceOnly => "reduce_only",
            Self::Halted => "halted",
        }
    }
}

/// A change of the risk state. A fact: it goes to the journal as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RiskEvent {
    /// The kill switch was pulled.
    Halted {
        /// Positions are closed too.
        flatten: bool,
        /// Who or what pulled it.
        by: String,
    },
    /// The kill switch has done its work, as the venue says.
    Flat,
    /// The operator lets things go on; latched limits begin anew.
    Resumed {
        /// Who.
        by: String,
    },
    /// The loss of the day has reached its limit.
    DailyLoss {
        /// The loss.
        loss: Money,
        /// The limit.
        limit: Money,
        /// When the day is over.
        until: Time,
    },
    /// Equity has fallen from its peak by the limit.
    Drawdown {
        /// Peak.
        peak: Money,
        /// Equity.
        equity: Money,
        /// The limit, as a share of the peak.
        limit: Rate,
    },
    /// So many losing closes in a row.
    LosingStreak {
        /// How many.
        losses: u32,
        /// How long new risk is stopped.
        until: Time,
    },
    /// The state was taken from a store that may lack the last records of a lost journal.
    Incomplete {
        /// Records that are missing for certain.
        missing: u64,
    },
}

impl RiskEvent {
    /// Whether limits that were reached begin anew.
    pub const fn forgives(&self) -> bool {
        matches!(self, Self::Resumed { .. })
    }

    /// The name in documents and logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Halted { .. } => "halted",
            Self::Flat => "flat",
            Self::Resumed { .. } => "resumed",
            Self::DailyLoss { .. } => "daily_loss",
            Self::Drawdown { .. } => "drawdown",
            Self::LosingStreak { .. } => "losing_streak",
            Self::Incomplete { .. } => "incomplete",
        }
    }
}

/// What stops new risk now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct RiskState {
    /// The kill switch was pulled.
    pub halted: bool,
    /// It is to close positions as well.
    pub flatten: bool,
    /// The venue has said that the kill switch has done its work.
    pub flat: bool,
    /// The drawdown limit was reached: until the operator resumes.
    pub drawdown: bool,
    /// The daily loss limit was reached: until then.
    pub daily_loss_until: Option<Time>,
    /// Too many losing closes in a row: until then.
    pub cool_down_until: Option<Time>,
    /// A record of the journal could not be applied and was passed over: until the operator resumes.
    pub quarantine: bool,
    /// Records may be missing: until the operator resumes.
    pub incomplete: bool,
}

impl RiskState {
    /// What may pass at `now`.
    pub fn mode(&self, now: Time) -> RiskMode {
        if self.halted {
            RiskMode::Halted
        } else if self.cause(now).is_some() {
            RiskMode::ReduceOnly
        } else {
            RiskMode::Normal
        }
    }

    /// What stops new risk at `now`, in a word.
    pub fn cause(&self, now: Time) -> Option<&'static str> {
        let running = |until: Option<Time>| until.is_some_and(|until| now < until);
        if self.halted {
            Some("kill_switch")
        } else if self.quarantine {
            Some("quarantine")
        } else if self.incomplete {
            Some("incomplete")
        } else if self.drawdown {
            Some("drawdown")
        } else if running(self.daily_loss_until) {
            Some("daily_loss")
        } else if running(self.cool_down_until) {
            Some("losing_streak")
        } else {
            None
        }
    }

    /// Applies a change.
    pub fn apply(&mut self, event: &RiskEvent) {
        match event {
            RiskEvent::Halted { flatten, .. } => {
                self.flatten = *flatten || (self.halted && self.flatten);
                self.halted = true;
                self.flat = false;
            }
            RiskEvent::Flat => self.flat = true,
            RiskEvent::Resumed { .. } => *self = Self::default(),
            RiskEvent::DailyLoss { until, .. } => self.daily_loss_until = Some(*until),
            RiskEvent::Drawdown { .. } => self.drawdown = true,
            RiskEvent::LosingStreak { until, .. } => self.cool_down_until = Some(*until),
            RiskEvent::Incomplete { .. } => self.incomplete = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_operator_ends_what_is_latched() {
        let mut state = RiskState::default();
        let (now, later) = (Time(10), Time(20));
        assert_eq!(state.mode(now), RiskMode::Normal);
        state.apply(&RiskEvent::DailyLoss {
            loss: Money::ZERO,
            limit: Money::ZERO,
            until: later,
        });
        assert_eq!(state.mode(now), RiskMode::ReduceOnly);
        assert_eq!(state.mode(later), RiskMode::Normal);
        state.apply(&RiskEvent::Drawdown {
            peak: Money::ZERO,
            equity: Money::ZERO,
            limit: Rate(0),
        });
        assert_eq!(state.cause(later), Some("drawdown"));
        state.quarantine = true;
        assert_eq!(state.cause(later), Some("quarantine"));
        assert_eq!(state.mode(later), RiskMode::ReduceOnly);
        state.apply(&RiskEvent::Halted {
            flatten: true,
            by: "test".to_owned(),
        });
        assert_eq!(state.mode(later), RiskMode::Halted);
        state.apply(&RiskEvent::Resumed {
            by: "test".to_owned(),
        });
        assert_eq!(state, RiskState::default());
    }
}
