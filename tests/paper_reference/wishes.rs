//! Orders and changes of orders at random.

use hean::kernel::event::{CommandKind, Outcome};
use hean::kernel::orders::OrderId;
use hean::kernel::types::{Contract, Time};
use rand_chacha::ChaCha8Rng;

use crate::paper_reference::{Amend, Command, Condition, Lasts, Order};
use crate::run::Run;
use crate::{DIGITS, one, pick};

impl Run {
    /// On the grid of prices.
    pub(crate) fn tick(&self) -> i128 {
        self.price_unit() * i128::from(self.instrument.tick.0)
    }

    /// An order that has something to do with the book as it is.
    pub(crate) fn order(&mut self, time: Time) -> Option<Order> {
        let unit = self.tick();
        let lot = self.qty_unit() * i128::from(self.instrument.lot.0);
        let buys = pick(&mut self.rng, 2) == 0;
        let [bids, asks] = self.slow.book()?;
        let (bid, ask) = (*bids.last_key_value()?.0, *asks.first_key_value()?.0);
        let (best, other) = if buys { (bid, ask) } else { (ask, bid) };
        let near: Vec<i128> = if buys {
            bids.keys().rev().take(20).copied().collect()
        } else {
            asks.keys().take(20).copied().collect()
        };
        let rng = &mut self.rng;
        let away = if buys { -unit } else { unit };
        let price = match pick(rng, 10) {
            0..4 => best,
            4..6 => one(rng, &near),
            6..8 => other - away * i128::from(pick(rng, 100)),
            8 => best + away * i128::from(pick(rng, 2_000)),
            _ => best - away * i128::from(pick(rng, 3)),
        };
        let (limit, lasts, post_only) = match pick(rng, 20) {
            0..4 => (None, Lasts::Immediate, false),
            4..6 => (Some(price), Lasts::Immediate, false),
            6..8 => (Some(price), Lasts::WholeOrNothing, false),
            8..11 => (Some(price), Lasts::Resting, true),
            11..13 => {
                let date = time.0 + i64::try_from(pick(rng, 30_000)).expect("small") * 1_000_000;
                (Some(price), Lasts::Until(date + 1), false)
            }
            _ => (Some(price), Lasts::Resting, false),
        };
        let most = 10_i128.pow(DIGITS) * one(rng, &[1, 4]);
        let size = 10_u64.pow(u32::try_from(pick(rng, 7)).expect("small"));
        let qty = lot * i128::from(size * (1 + pick(rng, 9)));
        let mut order = Order {
            id: 0,
            buys,
            limit,
            condition: None,
            qty: qty.min(most),
            lasts,
            post_only,
            reduces: false,
            whole: false,
            paid: None,
        };
        let derivative = self.instrument.contract != Contract::Spot;
        if derivative && pick(rng, 6) == 0 {
            order.buys = self.slow.position < 0;
            order.reduces = true;
        }
        if pick(&mut self.rng, 10) < self.case.conditional {
            self.condition(&mut order)?;
        }
        Some(order)
    }

    /// Makes it wait for a price that is not far.
    pub(crate) fn condition(&mut self, order: &mut Order) -> Option<()> {
        let unit = self.tick();
        let rng = &mut self.rng;
        let mark = pick(rng, 2) == 0;
        let now = self.slow.price(mark)?;
        let far = now * i128::from(1 + pick(rng, 200)) / 1_000_000;
        let grid = |price: i128| price / unit * unit;
        order.post_only &= order.limit.is_some();
        let rising = |up: bool| grid(now + if up { far + unit } else { -far });
        let condition = match pick(rng, 5) {
            0 | 1 => Condition::Stop(rising(order.buys)),
            2 | 3 => Condition::TakeProfit(rising(!order.buys)),
            _ => {
                order.limit = None;
                let from = (pick(rng, 2) == 0).then(|| rising(!order.buys));
                Condition::Trailing(100_000 + i128::from(pick(rng, 20_000)), from)
            }
        };
        if order.limit.is_some() {
            let (Condition::Stop(at) | Condition::TakeProfit(at)) = condition else {
                return None;
            };
            let step = i128::from(pick(rng, 200)) - 100;
            order.limit = Some(at + step * unit);
        } else {
            order.lasts = Lasts::Resting;
            if pick(rng, 8) == 0 && self.slow.position != 0 {
                order.buys = self.slow.position < 0;
                order.whole = true;
            }
        }
        order.condition = Some((condition, mark));
        Some(())
    }

    /// One that the kernel has not asked to end.
    pub(crate) fn some_order(&mut self) -> Option<Order> {
        let mut open = self.slow.open();
        open.retain(|order| !self.cancelled.contains(&order.id));
        let n = pick(&mut self.rng, open.len().max(1) as u64);
        open.into_iter().nth(usize::try_from(n).expect("small"))
    }

    pub(crate) fn cancel_one(&mut self, time: Time) {
        // The kernel sends one cancel for an order.
        let Some(Order { id, .. }) = self.some_order() else {
            return;
        };
        let kind = CommandKind::Cancel { order: OrderId(id) };
        if matches!(self.command(time, kind), Outcome::Cancelling(_)) {
            self.cancelled.insert(id);
            self.slow.send(time.0, Command::Cancel(id));
        }
    }

    pub(crate) fn amend_one(&mut self, time: Time) {
        let Some(order) = self.some_order() else {
            return;
        };
        let unit = self.tick();
        let lot = self.qty_unit() * i128::from(self.instrument.lot.0);
        let rng = &mut self.rng;
        let moved =
            |rng: &mut ChaCha8Rng, price: i128| price + (i128::from(pick(rng, 60)) - 30) * unit;
        let mut wish = Amend {
            id: order.id,
            price: None,
            trigger: None,
            qty: None,
            paid: None,
        };
        let change = pick(rng, 4);
        if let (Some(price), 0 | 1) = (order.limit, change) {
            wish.price = Some(moved(rng, price));
        }
        if let (Some((Condition::Stop(at) | Condition::TakeProfit(at), _)), 1 | 2) =
            (order.condition, change)
        {
            wish.trigger = Some(moved(rng, at));
        }
        if change > 1 {
            let part = i128::from(1 + pick(rng, 15));
            wish.qty = Some((order.qty * part / 10 / lot * lot).max(lot));
        }
        let kind = CommandKind::Amend {
            order: OrderId(order.id),
            price: wish.price.map(|p| self.price_of(p)),
            trigger: wish.trigger.map(|p| self.price_of(p)),
            qty: wish.qty.map(|q| self.qty_of(q)),
        };
        match self.command(time, kind) {
            Outcome::Amending(id) => {
                self.amended += 1;
                let orders = self.engine.kernel().ledger().orders();
                // It has arrived already if there is no latency.
                let known = orders.get(id).expect("an open order");
                let hold = known.amend().map_or(known.hold, |a| a.hold);
                wish.paid = self.paid(hold);
                self.slow.send(time.0, Command::Amend(wish));
            }
            other => self.refuse(&other),
        }
    }
}
