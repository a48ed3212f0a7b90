//! Where a resting order stands in the queue of its price, told from trades and displayed quantities
//! alone: public feeds show levels, not orders.
//!
//! Certain, if the streams speak in order:
//!
//! * Nobody who arrives later stands in front of us: what is ahead never grows.
//! * What trades at our price takes from those ahead first.
//! * Whoever is ahead is displayed: no more than the displayed quantity can be ahead.
//!
//! Estimates:
//!
//! * Everything displayed when we arrive is ahead of us. Our order is not in the venue's numbers, and a
//!   real one might have arrived before some of it.
//! * Of a decrease that no trade explains, the conservative model moves us by nothing (all of it was
//!   behind us, as far as there was so much behind us), the probable one by our share of it.
//! * Trades and levels come over streams of their own and may pass each other. They are taken for
//!   each other's within one update of the level: a trade heard before its update explains that update
//!   or the next one, a trade heard after its update was in that one.
//!
//! Sources: Erik Rigtorp, "Estimating Order Queue Position" (2013), the rule for decreases and its
//! shares; hftbacktest's documentation, "Queue Models", `RiskAverseQueueModel` and `ProbQueueModel` with
//! power functions, the subtraction of trades; Trading Technologies, "Estimated Position In Queue",
//! trades and the displayed quantity as a bound.

use std::fmt;
use std::str::FromStr;

use crate::kernel::types::Qty;

/// Largest power of [`QueueModel::Probability`].
pub const POWER_MAX: u8 = 3;

/// How decreases of a level that no trade explains move the orders in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum QueueModel {
    /// They happened behind us, as far as there was so much behind us.
    #[default]
    Conservative,
    /// They happened in front of us with the share f(front) / (f(front) + f(back)), f(x) = x^power.
    Probability {
        /// From 1 to [`POWER_MAX`]; a power outside counts as the nearest one. The higher, the more of
        /// a decrease is laid to the larger part of the queue.
        power: u8,
    },
    /// Nobody knows: everything at our price is in front of us, always. Only what trades or stands beyond it
    /// fills.
    Through,
}

/// Text that names no queue model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no queue model: write conservative, through, or probability:POWER with a power from 1 to {POWER_MAX}"
)]
pub struct QueueModelError(String);

impl FromStr for QueueModel {
    type Err = QueueModelError;

    /// `conservative`, `through`, `probability:1` to `probability:3`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || QueueModelError(text.to_owned());
        match text.split_once(':') {
            None if text == "conservative" => Ok(Self::Conservative),
            None if text == "through" => Ok(Self::Through),
            Some(("probability", power)) => {
                let power = power.parse().map_err(|_| error())?;
                let valid = (1..=POWER_MAX).contains(&power);
                valid
                    .then_some(Self::Probability { power })
                    .ok_or_else(error)
            }
            _ => Err(error()),
        }
    }
}

impl fmt::Display for QueueModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conservative => f.write_str("conservative"),
            Self::Through => f.write_str("through"),
            Self::Probability { power } => write!(f, "probability:{power}"),
        }
    }
}

impl QueueModel {
    /// How much of `decrease` was in front of us, where `front` is ahead of us and `back` behind us:
    /// decrease × f(front) / (f(front) + f(back)), rounded down; nothing of an empty queue.
    ///
    /// So that all of it fits 128 bits, parts of the queue that are longer than 63, 31 or 21 binary
    /// digits (powers 1, 2, 3) lose as many of their last digits as make the longer one fit; what is
    /// left is rounded against us, the front down and the back up.
    fn moves(self, front: Qty, back: Qty, decrease: Qty) -> Qty {
        let Self::Probability { power } = self else {
            return Qty::ZERO;
        };
        let (power, digits) = match power {
            0 | 1 => (1, 63),
            2 => (2, 31),
            _ => (3, 21),
        };
        let [front, back, decrease] = [front, back, decrease].map(|q| i128::from(q.0.max(0)));
        let longer = 128_u32.saturating_sub(front.max(back).leading_zeros());
        let cut = longer.saturating_sub(digits);
        let kept = back >> cut;
        let back = kept.saturating_add(i128::from(kept << cut != back));
        let front = (front >> cut).saturating_pow(power);
        let whole = front.saturating_add(back.saturating_pow(power));
        let moved = decrease.saturating_mul(front).checked_div(whole);
        Qty(moved.and_then(|q| i64::try_from(q).ok()).unwrap_or(0))
    }
}

/// The place of one resting order among the others at its price. Own orders are not in the venue's
/// numbers and not in these: their order among each other is their owner's affair.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Queue {
    /// What stands in front of us; `None` until a book has told.
    ahead: Option<Qty>,
    /// What the level's last update showed.
    shown: Qty,
    /// What traded at our price since then.
    traded: Qty,
    /// What traded before that update and was not to be seen in it.
    carried: Qty,
    /// How far the last update moved us without trades that explain it: trades that come now may be
    /// the explanation.
    early: Qty,
}

impl Queue {
    /// At the end of the queue of a level with this displayed quantity.
    pub fn join(displayed: Qty) -> Self {
        let shown = displayed.max(Qty::ZERO);
        Self {
            ahead: Some(shown),
            shown,
            ..Self::unknown()
        }
    }

    /// At a price of which no book has told yet. Everybody may be in front; no trade at our price
    /// reaches us.
    pub fn unknown() -> Self {
        Self {
            ahead: None,
            shown: Qty::ZERO,
            traded: Qty::ZERO,
            carried: Qty::ZERO,
            early: Qty::ZERO,
        }
    }

    /// What stands in front of us, as far as we know. `None`: no book has told yet.
    pub fn ahead(&self) -> Option<Qty> {
        self.ahead
    }

    /// Others traded `qty` at our price with our side resting, less what own orders in front of this
    /// one got of it. Returns what reaches us beyond those ahead; our remainder may be less.
    pub fn on_trade(&mut self, qty: Qty) -> Qty {
        let qty = qty.max(Qty::ZERO);
        let Some(ahead) = self.ahead else {
            return Qty::ZERO;
        };
        let late = qty.min(self.early);
        self.early = minus(self.early, late);
        let fresh = minus(qty, late);
        self.traded = plus(self.traded, fresh);
        self.ahead = Some(minus(ahead, fresh));
        minus(fresh, ahead)
    }

    /// The venue updated our level in a valid book; it shows `displayed` now, zero if it is empty. Of a
    /// queue that was unknown, all that is displayed is ahead.
    pub fn on_level(&mut self, model: QueueModel, displayed: Qty) {
        let displayed = displayed.max(Qty::ZERO);
        let Some(before) = self.ahead else {
            *self = Self::join(displayed);
            return;
        };
        let previously = std::mem::replace(&mut self.shown, displayed);
        let decrease = minus(previously, displayed);
        let old = self.carried.min(decrease);
        let new = self.traded.min(minus(decrease, old));
        self.carried = minus(self.traded, new);
        self.traded = Qty::ZERO;
        let explained = plus(old, new);
        let back = minus(minus(previously, explained), before);
        let moved = model.moves(before, back, minus(decrease, explained));
        let ahead = minus(before, moved).min(displayed);
        self.early = minus(before, ahead);
        self.ahead = Some(ahead);
    }

    /// A whole book came, of which our level shows `displayed`; what happened since the last one is
    /// not known.
    pub fn on_snapshot(&mut self, displayed: Qty) {
        let displayed = displayed.max(Qty::ZERO);
        let ahead = self.ahead.map_or(displayed, |ahead| ahead.min(displayed));
        *self = Self::join(displayed);
        self.ahead = Some(ahead);
    }
}

/// The difference, at least zero.
fn minus(from: Qty, qty: Qty) -> Qty {
    from.checked_sub(qty).unwrap_or(Qty::ZERO).max(Qty::ZERO)
}

/// The sum, at the end of the range at most.
fn plus(a: Qty, b: Qty) -> Qty {
    a.checked_add(b).unwrap_or(Qty(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIKELY: QueueModel = QueueModel::Probability { power: 1 };

    #[test]
    fn trades_take_from_those_ahead_first() {
        let mut queue = Queue::join(Qty(10));
        assert_eq!(queue.on_trade(Qty(4)), Qty(0));
        assert_eq!(queue.on_trade(Qty(9)), Qty(3));
        assert_eq!(queue.on_trade(Qty(2)), Qty(2));
        assert_eq!(queue.ahead(), Some(Qty(0)));
    }

    #[test]
    fn nothing_reaches_an_unknown_place_until_a_book_tells() {
        let mut queue = Queue::unknown();
        assert_eq!((queue.on_trade(Qty(100)), queue.ahead()), (Qty(0), None));
        queue.on_level(QueueModel::Conservative, Qty(7));
        assert_eq!(queue.ahead(), Some(Qty(7)));
        let mut queue = Queue::unknown();
        queue.on_snapshot(Qty(5));
        assert_eq!(queue.ahead(), Some(Qty(5)));
    }

    #[test]
    fn cancels_move_the_conservative_model_only_when_all_behind_is_gone() {
        let mut queue = Queue::join(Qty(10));
        queue.on_level(QueueModel::Conservative, Qty(30));
        queue.on_level(QueueModel::Conservative, Qty(12));
        assert_eq!(queue.ahead(), Some(Qty(10)));
        queue.on_level(QueueModel::Conservative, Qty(4));
        assert_eq!(queue.ahead(), Some(Qty(4)));
        queue.on_level(QueueModel::Conservative, Qty(50));
        assert_eq!(queue.ahead(), Some(Qty(4)));
        queue.on_snapshot(Qty(3));
        queue.on_snapshot(Qty(8));
        assert_eq!(queue.ahead(), Some(Qty(3)));
    }

    #[test]
    fn a_decrease_is_split_by_the_shares_of_the_queue() {
        // 30 ahead, 70 behind, 10 gone.
        for (power, ahead) in [(1, 27), (2, 29), (3, 30)] {
            let model = QueueModel::Probability { power };
            let mut queue = Queue::join(Qty(30));
            queue.on_level(model, Qty(100));
            queue.on_level(model, Qty(90));
            // 3; 10 · 900 / 5,800 = 1.55; 10 · 27 / 370 = 0.73: rounded down.
            assert_eq!(queue.ahead(), Some(Qty(ahead)), "{power}");
        }
    }

    #[test]
    fn what_trades_explain_is_no_cancel() {
        let mut queue = Queue::join(Qty(50));
        queue.on_level(LIKELY, Qty(100));
        queue.on_trade(Qty(10));
        queue.on_level(LIKELY, Qty(90));
        assert_eq!(queue.ahead(), Some(Qty(40)));
        // The same decrease again, unexplained: 40 of 90 are ahead.
        queue.on_level(LIKELY, Qty(81));
        assert_eq!(queue.ahead(), Some(Qty(36)));
    }

    #[test]
    fn a_trade_may_come_one_update_early_or_late() {
        let mut early = Queue::join(Qty(50));
        early.on_level(LIKELY, Qty(100));
        early.on_trade(Qty(10));
        early.on_level(LIKELY, Qty(100));
        early.on_level(LIKELY, Qty(90));
        assert_eq!(early.ahead(), Some(Qty(40)));
        let mut late = Queue::join(Qty(50));
        late.on_level(QueueModel::Conservative, Qty(40));
        assert_eq!(late.ahead(), Some(Qty(40)));
        assert_eq!(
            (late.on_trade(Qty(10)), late.ahead()),
            (Qty(0), Some(Qty(40)))
        );
        assert_eq!(
            (late.on_trade(Qty(41)), late.ahead()),
            (Qty(1), Some(Qty(0)))
        );
    }

    #[test]
    fn models_are_read_as_they_are_written() {
        for text in ["conservative", "probability:1", "probability:3"] {
            let model: QueueModel = text.parse().expect(text);
            assert_eq!(model.to_string(), text);
        }
        for text in [
            "",
            "probability",
            "probability:0",
            "probability:4",
            "Conservative",
            "x:1",
        ] {
            assert!(text.parse::<QueueModel>().is_err(), "{text}");
        }
    }

    fn models() -> impl Strategy<Value = QueueModel> {
        let likely = any::<u8>().prop_map(|power| QueueModel::Probability { power });
        prop_oneof![Just(QueueModel::Conservative), likely]
    }

    fn qty() -> impl Strategy<Value = i64> {
        prop_oneof![0..100_i64, Just(i64::MAX), any::<i64>()]
    }

    /// The true queue: others, first in line first; `true` is in front of us.
    struct Truth(Vec<(bool, i64)>);

    impl Truth {
        fn sum(&self, ahead: bool) -> i64 {
            let parts = self.0.iter().filter(|(a, _)| *a == ahead);
            parts.map(|(_, qty)| qty).sum()
        }

        fn displayed(&self) -> i64 {
            self.sum(true) + self.sum(false)
        }

        /// From the front, as far as there are others in front of us.
        fn trade(&mut self, mut qty: i64) -> i64 {
            let mut traded = 0;
            for (_, left) in self.0.iter_mut().filter(|(ahead, _)| *ahead) {
                let part = qty.min(*left);
                *left -= part;
                qty -= part;
                traded += part;
            }
            traded
        }
    }

    proptest! {
           #[test]
           fn what_is_ahead_never_grows_and_is_displayed(
               model in models(),
               events in prop::collection::vec((any::<bool>(), qty(), qty()), 0..50),
           ) {
               let mut queue = Queue::join(Qty(1_000));
               let mut before = Qty(1_000);
               for (trade, a, b) in events {
                   if trade {
                       let reaches = queue.on_trade(Qty(a));
                       prop_assert!(reaches >= Qty::ZERO && reaches.0 <= a.max(0));
                   } else {
                       queue.on_level(model, Qty(b));
                       prop_assert!(queue.ahead() <= Some(Qty(b.max(0))));
                   }
                   let ahead = queue.ahead().expect("known");
                   prop_assert!(Qty::ZERO <= ahead && ahead <= before);
                   before = ahead;
               }
           }

           /// Against queues whose orders are known: the conservative model never believes that we are
           /// further in front than we are, whether trades come before or after their update.
           #[test]
           fn the_conservative_model_is_never_in_front_of_the_truth(
               start in 0..50_i64,
               late in any::<bool>(),
               steps in prop::collection::vec(prop::collection::vec((0..3_u8, 1..20_i64, any::<prop::sample::Index>()), 0..5), 0..30),
           ) {
               let mut truth = Truth(vec![(true, start / 2), (true, start - start / 2)]);
               let mut queue = Queue::join(Qty(start));
               for step in steps {
                   let mut trades = Vec::new();
                   for (kind, qty, at) in step {
                       match kind {
                           0 => truth.0.push((false, qty)),
                           1 => {
                               let at = at.index(truth.0.len());
                               truth.0[at].1 = (truth.0[at].1 - qty).max(0);
                           }
                           _ => trades.push(truth.trade(qty)),
                       }
                   }
                   if !late {
    for qty in &trades {
    queue.on_trade(Qty(*qty));
    }
    }
                   queue.on_level(QueueModel::Conservative, Qty(truth.displayed()));
                   if late {
    for qty in &trades {
    queue.on_trade(Qty(*qty));
    }
    }
                   prop_assert!(queue.ahead() >= Some(Qty(truth.sum(true))));
               }
           }

           #[test]
           fn a_share_is_exact_where_the_quantities_are_short(
               front in 0..100_000_i64, back in 0..100_000_i64, decrease in 0..100_000_i64, power in 1..4_u8,
           ) {
               let model = QueueModel::Probability { power };
               let f = |x: i64| i128::from(x).pow(u32::from(power));
               let whole = (f(front) + f(back)).max(1);
               let exact = i64::try_from(i128::from(decrease) * f(front) / whole).expect("small");
               let moved = model.moves(Qty(front), Qty(back), Qty(decrease)).0;
               // Seventeen digits are fewer than 21.
               prop_assert_eq!(moved, exact);
           }
       }

    #[test]
    fn quantities_of_any_length_have_shares() {
        for power in 1..=3 {
            let model = QueueModel::Probability { power };
            let most = Qty(i64::MAX);
            assert_eq!(model.moves(most, Qty(0), most), most);
            assert_eq!(model.moves(Qty(0), most, most), Qty(0));
            assert!((49..=50).contains(&model.moves(most, most, Qty(100)).0));
            assert_eq!(model.moves(Qty(0), Qty(0), most), Qty(0));
        }
    }
}
