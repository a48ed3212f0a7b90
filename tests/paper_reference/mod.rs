//! The paper venue's rules once more, the slow way: written from `src/venue/sim/paper/RULES.md`, with
//! books and trades from frames as JSON values, and maps of plain integers.

mod hears;
mod places;
mod waits;
mod words;

use std::collections::{BTreeMap, VecDeque};

use crate::oracle::Oracle;
use places::Place;
pub(crate) use words::{Amend, Command, Condition, Lasts, Order, Report, Said, Setting};

/// Decimal digits of prices and quantities in here.
const DIGITS: u32 = 10;

/// An order that the venue has.
#[derive(Debug)]
struct Kept {
    order: Order,
    executed: i128,
    fills: u64,
    /// In the order of coming to rest.
    turn: u64,
    place: Place,
    /// Trades up to this time are none for it.
    since: i64,
}

#[derive(Debug)]
struct Waiting {
    order: Order,
    best: Option<i128>,
    reached: bool,
}

/// One instrument's paper venue.
#[derive(Debug)]
pub(crate) struct Venue {
    with: Setting,
    book: Oracle,
    last_trade: u64,
    last_price: Option<i128>,
    published_mark: Option<i128>,
    /// When funding is due, and its rate at 8 decimals.
    funding: (Option<i64>, Option<i128>),
    /// Venue time of the newest book.
    book_time: i64,
    /// How far the venue's clock is before ours.
    clock_ahead: i64,
    travelling: VecDeque<(i64, Command)>,
    resting: Vec<Kept>,
    waiting: Vec<Waiting>,
    turns: u64,
    pub(crate) position: i128,
    /// By side (0 bids, 1 asks) and price.
    gone: BTreeMap<(usize, i128), i128>,
    pub(crate) reports: Vec<Report>,
}

/// 0 for bids, 1 for asks.
fn own(buys: bool) -> usize {
    usize::from(!buys)
}

/// Divided by ten to the 12th, half to even: from 28 decimals to 16.
fn as_money(exact: i128) -> i128 {
    let unit = 10_i128.pow(2 * DIGITS + 8 - 16);
    let (whole, rest) = (exact.div_euclid(unit), exact.rem_euclid(unit));
    whole + i128::from(2 * rest > unit || (2 * rest == unit && whole % 2 != 0))
}

impl Venue {
    pub(crate) fn new(with: Setting) -> Self {
        Self {
            book: Oracle::new(with.rules),
            with,
            last_trade: 0,
            last_price: None,
            published_mark: None,
            funding: (None, None),
            book_time: 0,
            clock_ahead: 0,
            travelling: VecDeque::new(),
            resting: Vec::new(),
            waiting: Vec::new(),
            turns: 0,
            position: 0,
            gone: BTreeMap::new(),
            reports: Vec::new(),
        }
    }

    /// Bids and asks by price, if they can be trusted.
    pub(crate) fn book(&self) -> Option<&[BTreeMap<i128, i128>; 2]> {
        self.book.book()
    }

    /// Orders that rest, oldest first, then those that wait.
    pub(crate) fn open(&self) -> Vec<Order> {
        let resting = self.resting.iter().map(|r| r.order.clone());
        resting
            .chain(self.waiting.iter().map(|w| w.order.clone()))
            .collect()
    }

    /// The last price and the mark price.
    pub(crate) fn price(&self, mark: bool) -> Option<i128> {
        if !mark {
            return self.last_price;
        }
        let unit = self.with.units[0];
        let middle = || {
            let [bids, asks] = self.book.book()?;
            let sum = bids.last_key_value()?.0 + asks.first_key_value()?.0;
            Some((sum / unit).div_euclid(2) * unit)
        };
        self.published_mark.or_else(middle).or(self.last_price)
    }

    /// A command leaves now.
    pub(crate) fn send(&mut self, now: i64, command: Command) {
        self.travelling
            .push_back((now + self.with.latency[0], command));
        self.passes(now);
    }

    /// Nothing happened before `time` but what happens by itself.
    pub(crate) fn until(&mut self, time: i64) {
        loop {
            let command = self.travelling.front().map(|(due, _)| *due);
            let date = self.dates().into_iter().map(|(due, _)| due).min();
            let funding = self.funding.0.filter(|_| self.position != 0);
            let next = [command, date, funding].into_iter().flatten().min();
            match next {
                Some(next) if next < time => self.passes(next),
                _ => return,
            }
        }
    }

    /// The dates of orders.
    fn dates(&self) -> Vec<(i64, u64)> {
        let orders = self.resting.iter().map(|r| &r.order);
        let orders = orders.chain(self.waiting.iter().map(|w| &w.order));
        let mut dates: Vec<(i64, u64)> = orders
            .filter_map(|order| match order.lasts {
                Lasts::Until(date) => Some((date, order.id)),
                _ => None,
            })
            .collect();
        dates.sort_unstable();
        dates
    }

    /// Section 1: dates, funding, commands.
    fn passes(&mut self, now: i64) {
        for (date, id) in self.dates() {
            if date <= now {
                self.forget(id);
                self.say(id, now, Said::Expired);
            }
        }
        if let (Some(due), Some(rate)) = self.funding
            && due <= now
        {
            self.funding.0 = None;
            if let (Some(mark), true) = (self.price(true), self.position != 0) {
                let amount = -as_money(mark * self.position * rate);
                self.say(0, now, Said::Funding { due, amount });
            }
        }
        while self.travelling.front().is_some_and(|(due, _)| *due <= now) {
            match self.travelling.pop_front() {
                Some((due, Command::Place(order))) => self.place(due, order),
                Some((due, Command::Amend(amend))) => self.amend(due, &amend),
                Some((due, Command::Cancel(id))) => {
                    let said = if self.forget(id) {
                        Said::Cancelled
                    } else {
                        Said::CancelRejected
                    };
                    self.say(id, due, said);
                }
                None => {}
            }
        }
    }

    /// Whether the venue had it.
    fn forget(&mut self, id: u64) -> bool {
        let before = self.resting.len() + self.waiting.len();
        self.resting.retain(|r| r.order.id != id);
        self.waiting.retain(|w| w.order.id != id);
        self.resting.len() + self.waiting.len() < before
    }

    fn say(&mut self, order: u64, time: i64, said: Said) {
        let heard = time + self.with.latency[1];
        self.reports.push(Report {
            order,
            time,
            heard,
            said,
        });
    }

    /// What the book displays at a price; `None` where it says nothing.
    fn displayed(&self, side: usize, price: i128) -> Option<i128> {
        let levels = &self.book.book()?[side];
        let known = if side == 0 {
            price >= *levels.first_key_value()?.0
        } else {
            price <= *levels.last_key_value()?.0
        };
        known.then(|| levels.get(&price).copied().unwrap_or(0))
    }

    fn at_limit(&self, n: usize) -> (i128, usize) {
        let order = &self.resting[n].order;
        (order.limit.expect("a limit"), own(order.buys))
    }

    /// Section 4: what taking would give, by price.
    fn taking(&self, buys: bool, limit: Option<i128>, qty: i128) -> Vec<(i128, i128)> {
        let Some(book) = self.book.book() else {
            return Vec::new();
        };
        let side = own(!buys);
        let mut levels: Vec<(i128, i128)> = book[side].iter().map(|(p, q)| (*p, *q)).collect();
        if !buys {
            levels.reverse();
        }
        let mut wanted = qty;
        let mut given = Vec::new();
        for (price, displayed) in levels {
            let allowed = match limit {
                None => true,
                Some(limit) if buys => price <= limit,
                Some(limit) => price >= limit,
            };
            if !allowed {
                break;
            }
            let gone = self.gone.get(&(side, price)).copied().unwrap_or(0);
            let part = (displayed - gone).max(0).min(wanted);
            if part > 0 {
                given.push((price, part));
                wanted -= part;
            }
        }
        given
    }

    fn take(&mut self, buys: bool, given: &[(i128, i128)]) {
        for (price, qty) in given {
            *self.gone.entry((own(!buys), *price)).or_default() += qty;
        }
    }

    /// Section 8.
    fn fill(&mut self, order: &Order, time: i64, number: u64, at: (i128, i128), maker: bool) {
        let (price, qty) = at;
        if self.position == 0 && self.funding.0.is_some_and(|due| due <= time) {
            self.funding.0 = None;
        }
        self.position += if order.buys { qty } else { -qty };
        let fill = Said::Fill {
            number,
            price,
            qty,
            fee: as_money(price * qty * self.with.fees[usize::from(!maker)]),
            maker,
        };
        self.say(order.id, time, fill);
    }

    /// Section 4: how much of an order may be executed.
    fn allowance(&self, order: &Order, executed: i128) -> i128 {
        let left = order.qty - executed;
        let sells_asset = self.with.spot && !order.buys;
        if !(order.reduces || order.whole || sells_asset) {
            return left;
        }
        let open = if order.buys {
            (-self.position).max(0)
        } else {
            self.position.max(0)
        };
        if order.whole { open } else { left.min(open) }
    }

    /// Section 4: whether anything is left of it.
    fn cut(&mut self, order: &mut Order, executed: i128, time: i64) -> bool {
        let allowed = self.allowance(order, executed);
        if allowed == order.qty - executed {
            return true;
        }
        if allowed == 0 {
            self.say(order.id, time, Said::Expired);
            return false;
        }
        order.qty = executed + allowed;
        let (price, trigger, qty) = (None, None, order.qty);
        self.say(
            order.id,
            time,
            Said::Amended {
                price,
                trigger,
                qty,
            },
        );
        true
    }

    /// Section 4: nothing is held any more.
    fn flat(&mut self, time: i64) {
        if self.position != 0 {
            return;
        }
        let mut idle: Vec<u64> = self
            .open()
            .iter()
            .filter(|order| order.reduces || order.whole)
            .map(|order| order.id)
            .collect();
        idle.sort_unstable();
        for id in idle {
            self.forget(id);
            self.say(id, time, Said::Cancelled);
        }
    }

    fn place(&mut self, time: i64, order: Order) {
        if matches!(order.lasts, Lasts::Until(date) if date <= time) {
            return self.say(order.id, time, Said::Rejected);
        }
        if order.condition.is_none() {
            return self.enter(time, order, (0, 0), true);
        }
        self.say(order.id, time, Said::Held);
        self.waiting.push(Waiting {
            order,
            best: None,
            reached: false,
        });
        let last = self.waiting.len() - 1;
        self.look(last);
        self.wake(time, last);
    }

    /// Section 4.
    fn enter(&mut self, time: i64, mut order: Order, before: (i128, u64), new: bool) {
        let (executed, fills) = before;
        if order.post_only && !self.taking(order.buys, order.limit, 1).is_empty() {
            let said = if new { Said::Rejected } else { Said::Expired };
            return self.say(order.id, time, said);
        }
        if new {
            self.say(order.id, time, Said::Acked);
        }
        if !self.cut(&mut order, executed, time) {
            return;
        }
        let wanted = order.qty - executed;
        let mut given = self.taking(order.buys, order.limit, wanted);
        let poor = self.pay(&order, wanted, &mut given);
        let total: i128 = given.iter().map(|(_, qty)| qty).sum();
        if order.lasts == Lasts::WholeOrNothing && total < wanted {
            return self.say(order.id, time, Said::Expired);
        }
        self.take(order.buys, &given);
        for (number, level) in (fills + 1..).zip(&given) {
            self.fill(&order, time, number, *level, false);
        }
        let filled = total > 0;
        if total < wanted {
            let rests = matches!(order.lasts, Lasts::Resting | Lasts::Until(_));
            match order.limit {
                Some(price) if rests && !poor => {
                    let place = Place::at(self.displayed(own(order.buys), price));
                    self.turns += 1;
                    self.resting.push(Kept {
                        order,
                        executed: executed + total,
                        fills: fills + given.len() as u64,
                        turn: self.turns,
                        place,
                        since: self.book_time,
                    });
                }
                _ => self.say(order.id, time, Said::Expired),
            }
        }
        if filled {
            self.flat(time);
        }
    }

    /// Section 4: cuts what was given to what was paid for; whether it had to.
    fn pay(&self, order: &Order, wanted: i128, given: &mut Vec<(i128, i128)>) -> bool {
        let Some(paid) = order.paid.filter(|_| self.with.spot && order.buys) else {
            return false;
        };
        if given.iter().all(|(price, _)| *price <= paid) {
            return false;
        }
        let lot = self.with.units[2];
        let mut money = paid * wanted;
        for n in 0..given.len() {
            let (price, qty) = given[n];
            let most = money / price / lot * lot;
            if most < qty {
                given.truncate(n);
                if most > 0 {
                    given.push((price, most));
                }
                return true;
            }
            money -= price * qty;
        }
        false
    }

    /// Ids of one side's resting orders, best price first, then the one that arrived first.
    fn in_line(&self, buys: bool) -> Vec<u64> {
        let mut line: Vec<&Kept> = self
            .resting
            .iter()
            .filter(|r| r.order.buys == buys)
            .collect();
        line.sort_by_key(|r| {
            let price = r.order.limit.expect("a limit");
            (if buys { -price } else { price }, r.turn)
        });
        line.into_iter().map(|r| r.order.id).collect()
    }

    fn find(&self, id: u64) -> Option<usize> {
        self.resting.iter().position(|r| r.order.id == id)
    }

    fn fill_resting(&mut self, id: u64, time: i64, qty: i128) {
        let n = self.find(id).expect("it rests");
        let mut order = self.resting[n].order.clone();
        let executed = self.resting[n].executed;
        assert!(self.cut(&mut order, executed, time), "there is something");
        let kept = &mut self.resting[n];
        kept.order = order.clone();
        kept.executed += qty;
        kept.fills += 1;
        let (number, done) = (kept.fills, kept.executed == order.qty);
        let price = order.limit.expect("a limit");
        self.fill(&order, time, number, (price, qty), true);
        if done {
            self.forget(id);
        }
        self.flat(time);
    }

    /// Section 6.
    fn traded(&mut self, time: i64, (taker_buys, trade, qty, traded): (bool, i128, i128, i64)) {
        self.last_price = Some(trade);
        let buys = !taker_buys;
        let mut left = qty;
        for id in self.in_line(buys) {
            let Some(n) = self.find(id) else { continue };
            let price = self.at_limit(n).0;
            let better = if buys { price - trade } else { trade - price };
            if better < 0 || left == 0 {
                break;
            }
            if traded <= self.resting[n].since {
                continue;
            }
            let reaches = if better > 0 {
                left
            } else {
                self.resting[n].place.trade(left)
            };
            let kept = &self.resting[n];
            let part = reaches.min(self.allowance(&kept.order, kept.executed));
            if part > 0 {
                left -= part;
                self.fill_resting(id, time, part);
            }
        }
    }

    /// Section 7.
    fn moved(&mut self, time: i64) {
        for buys in [true, false] {
            for n in 0..self.resting.len() {
                let (price, side) = self.at_limit(n);
                if side != own(buys) || self.resting[n].place.ahead.is_some() {
                    continue;
                }
                let displayed = self.displayed(side, price);
                if displayed.is_some() {
                    self.resting[n].place = Place::at(displayed);
                    self.resting[n].since = self.resting[n].since.max(self.book_time);
                }
            }
            for id in self.in_line(buys) {
                let Some(n) = self.find(id) else { continue };
                let (kept, price) = (&self.resting[n], self.at_limit(n).0);
                let allowed = self.allowance(&kept.order, kept.executed);
                let given = self.taking(buys, Some(price), allowed);
                let total: i128 = given.iter().map(|(_, qty)| qty).sum();
                if total > 0 {
                    self.take(buys, &given);
                    self.fill_resting(id, time, total);
                }
            }
        }
    }
}
