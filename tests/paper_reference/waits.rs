//! Orders that wait, and orders that are changed: sections 4 and 9 of the rules.

use super::{Amend, Condition, Said, Venue};

impl Venue {
    /// Section 4.
    pub(super) fn amend(&mut self, time: i64, wish: &Amend) {
        let said = |qty| Said::Amended {
            price: wish.price,
            trigger: wish.trigger,
            qty,
        };
        if let Some(n) = self.waiting.iter().position(|w| w.order.id == wish.id) {
            let waiting = &mut self.waiting[n];
            let order = &mut waiting.order;
            order.limit = order.limit.map(|limit| wish.price.unwrap_or(limit));
            order.qty = wish.qty.unwrap_or(order.qty);
            order.paid = wish.paid.or(order.paid);
            if let (Some((condition, _)), Some(to)) = (&mut order.condition, wish.trigger) {
                match condition {
                    Condition::Stop(price) | Condition::TakeProfit(price) => *price = to,
                    Condition::Trailing(..) => panic!("no trigger"),
                }
                waiting.reached = false;
            }
            let qty = waiting.order.qty;
            self.say(wish.id, time, said(qty));
            if wish.trigger.is_some() {
                self.look(n);
                self.wake(time, n);
            }
            return;
        }
        let Some(n) = self.resting.iter().position(|r| r.order.id == wish.id) else {
            return self.say(wish.id, time, Said::AmendRejected);
        };
        let kept = &self.resting[n];
        let mut order = kept.order.clone();
        let (before, old) = ((kept.executed, kept.fills), kept.order.qty);
        order.qty = wish.qty.unwrap_or(old);
        order.limit = wish.price.or(order.limit);
        order.paid = wish.paid.or(order.paid);
        if order.qty <= kept.executed {
            return self.say(wish.id, time, Said::AmendRejected);
        }
        if order.limit == kept.order.limit && order.qty <= old {
            let qty = order.qty;
            self.resting[n].order = order;
            return self.say(wish.id, time, said(qty));
        }
        if order.post_only && !self.taking(order.buys, order.limit, 1).is_empty() {
            return self.say(wish.id, time, Said::AmendRejected);
        }
        self.resting.remove(n);
        self.say(wish.id, time, said(order.qty));
        self.enter(time, order, before, false);
    }

    /// Section 9: one order looks at its price.
    pub(super) fn look(&mut self, n: usize) {
        let (condition, mark) = self.waiting[n].order.condition.expect("a condition");
        let Some(price) = self.price(mark) else {
            return;
        };
        let waiting = &mut self.waiting[n];
        if waiting.reached {
            return;
        }
        let buys = waiting.order.buys;
        waiting.reached = match condition {
            Condition::Stop(at) if buys => price >= at,
            Condition::Stop(at) => price <= at,
            Condition::TakeProfit(at) if buys => price <= at,
            Condition::TakeProfit(at) => price >= at,
            Condition::Trailing(share, from) => {
                let begins =
                    from.is_none_or(|from| if buys { price <= from } else { price >= from });
                if waiting.best.is_none() && !begins {
                    return;
                }
                let one = 10_i128.pow(8);
                let best = waiting.best.unwrap_or(price);
                let best = if buys {
                    best.min(price)
                } else {
                    best.max(price)
                };
                waiting.best = Some(best);
                if buys {
                    price * one >= best * (one + share)
                } else {
                    price * one <= best * (one - share)
                }
            }
        };
    }

    pub(super) fn wake(&mut self, time: i64, n: usize) {
        if !self.waiting[n].reached || self.book.book().is_none() {
            return;
        }
        let mut order = self.waiting.remove(n).order;
        order.condition = None;
        self.say(order.id, time, Said::Triggered);
        self.enter(time, order, (0, 0), false);
    }

    /// Section 9.
    pub(super) fn triggers(&mut self, time: i64) {
        for n in 0..self.waiting.len() {
            self.look(n);
        }
        let reached = self.waiting.iter().filter(|w| w.reached);
        let mut ids: Vec<u64> = reached.map(|w| w.order.id).collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(n) = self.waiting.iter().position(|w| w.order.id == id) {
                self.wake(time, n);
            }
        }
    }
}
