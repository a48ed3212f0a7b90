//! The paper venue: orders matched against live or recorded books, where only levels are known.
//!
//! It lives on the kernel thread, without I/O, clock or luck, so a replay gives the same fills.
//! The rules, exact enough for a second program, are in `paper/RULES.md`. In short, and pessimistic
//! where the truth cannot be known:
//!
//! * An order that takes walks the book ([`super::matching::take`]) and pays the taker fee. What it
//!   took stays taken until the venue updates that level.
//! * A resting order waits behind everything that was displayed at its price when it arrived. Only
//!   trades at its price move it forward, cancels of others never do ([`queue::QueueModel`] has a model that
//!   thinks otherwise).
//! * A trade at a worse price than the order's, or a book that has moved through it, fills it at its
//!   own price with the maker fee, up to the quantity seen there.
//! * Conditional orders wait here, funding is paid here, and positions without margin are liquidated here.
//!
//! The venue keeps its own account of positions: with a latency on its reports the kernel knows of a fill
//! later than the venue does.

mod conditional;
pub mod latency;
pub mod liquidity;
mod margin;
mod path;
pub mod queue;
mod resting;
mod ticket;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};

use conditional::WaitingOrders;
use latency::{Latency, Wire};
use liquidity::Gone;
use margin::Funding;
use queue::QueueModel;
use resting::RestingOrders;
use ticket::Ticket;

use crate::kernel::Kernel;
use crate::kernel::event::{
    AccountReport, AccountReportKind, Level, MarketData, MarketEvent, ReportKind, Seq,
    VenueCommand, VenueReport,
};
use crate::kernel::orders::{
    Amend, ApprovedAmend, ApprovedOrder, Order, OrderId, OrderState, OrderType, PositionSide, Size,
    VenueOrderId,
};
use crate::kernel::types::{Contract, InstrumentId, Price, Qty, Rate, Side, Time};

/// How the paper venue behaves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PaperConfig {
    /// How long a command takes to arrive.
    pub order_latency: Latency,
    /// How long a report takes to come back.
    pub report_latency: Latency,
    /// How places in queues move.
    pub queue: QueueModel,
    /// Of the latencies that are drawn.
    pub seed: u64,
    /// Fee of a liquidation, as a share of its value.
    pub liquidation_fee: Rate,
}

impl Default for PaperConfig {
    fn default() -> Self {
        Self {
            order_latency: Latency::Constant(0),
            report_latency: Latency::Constant(0),
            queue: QueueModel::Conservative,
            seed: 0,
            // What Binance's `exchangeInfo` gives as `liquidationFee` of BTCUSDT.
            liquidation_fee: Rate(1_250_000),
        }
    }
}

/// What the venue says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Said {
    /// Of an order.
    Order(VenueReport),
    /// Of the account.
    Account(AccountReport),
}

/// The paper venue.
#[derive(Debug)]
pub struct PaperVenue {
    config: PaperConfig,
    /// The way of commands to the venue.
    out: Wire,
    /// The way of reports back.
    back: Wire,
    /// Commands whose intent is not durable yet.
    held: VecDeque<(Seq, VenueCommand)>,
    /// Commands on their way, in order of release.
    travelling: VecDeque<(Time, VenueCommand)>,
    resting: RestingOrders,
    waiting: WaitingOrders,
    /// Orders that end at a date.
    dated: BTreeMap<(Time, OrderId), InstrumentId>,
    /// Liquidity that we took.
    gone: Gone,
    /// Signed quantities.
    positions: BTreeMap<(InstrumentId, PositionSide), i64>,
    funding: BTreeMap<InstrumentId, Funding>,
    /// The mark at which an instrument's positions were last found to be carried, and by which ledger.
    carried: BTreeMap<InstrumentId, (Price, Seq)>,
    liquidations: u64,
    /// Reports on their way, in order of release.
    reports: VecDeque<(Time, Said)>,
}

impl PaperVenue {
    /// Without orders.
    pub fn new(config: PaperConfig) -> Self {
        Self {
            out: Wire::new(config.order_latency.clone(), config.seed),
            back: Wire::new(config.report_latency.clone(), config.seed.wrapping_add(1)),
            config,
            held: VecDeque::new(),
            travelling: VecDeque::new(),
            resting: RestingOrders::default(),
            waiting: WaitingOrders::default(),
            dated: BTreeMap::new(),
            gone: Gone::new(),
            positions: BTreeMap::new(),
            funding: BTreeMap::new(),
            carried: BTreeMap::new(),
            liquidations: 0,
            reports: VecDeque::new(),
        }
    }

    /// Takes over positions and open orders after a restart. The journal is all that this venue remembers: an
    /// order that it never reported on never reached it, as it says when it is asked.
    pub fn restore(&mut self, kernel: &Kernel, now: Time) {
        for (id, _, holding) in kernel.ledger().holdings() {
            for side in [PositionSide::Both, PositionSide::Long, PositionSide::Short] {
                let mode = kernel.ledger().account().positions;
                let known = kernel.ledger().instrument(id).map(|i| i.contract);
                let exists = known.is_some_and(|c| PositionSide::of(mode, c).contains(&side));
                let qty = holding.position(side).qty;
                if exists && qty != 0 {
                    self.positions.insert((id, side), qty);
                }
            }
        }
        let mut open: Vec<&Order> = kernel.ledger().orders().open().collect();
        open.sort_unstable_by_key(|o| o.id);
        for order in open {
            self.restore_order(kernel, order, now);
        }
    }

    fn restore_order(&mut self, kernel: &Kernel, order: &Order, now: Time) {
        let id = order.id;
        let kind = match order.state {
            OrderState::Unknown | OrderState::Intent | OrderState::Sent => return,
            OrderState::CancelPending => ReportKind::Cancelled {
                reason: "cancelled before the restart".to_owned(),
            },
            _ if order.is_waiting()
                || (order.limit().is_some() && order.time_in_force().rests()) =>
            {
                if order.amend().is_some() {
                    let reason = "the process restarted before it arrived".to_owned();
                    self.report(id, now, ReportKind::AmendRejected { reason });
                }
                if order.remaining() == Qty::ZERO {
                    return;
                }
                let ticket = Ticket {
                    id,
                    instrument: order.instrument,
                    side: order.side,
                    position_side: order.position_side,
                    kind: order.kind(),
                    time_in_force: order.time_in_force(),
                    post_only: order.post_only,
                    reduce_only: order.reduce_only,
                    whole_position: order.closes_position(),
                    qty: order.qty,
                    executed: order.filled,
                    fills: ticket::last_fill(order.trade_ids()),
                    paid_up_to: paid_up_to(kernel, order.instrument, order.side, order.hold),
                };
                if order.is_waiting() {
                    self.wait(ticket);
                } else if let Some(market) = kernel.market_of(order.instrument) {
                    let price = order.limit().unwrap_or_default();
                    let kind = OrderType::Limit { price };
                    self.rest(Ticket { kind, ..ticket }, market);
                }
                return;
            }
            _ => ReportKind::Expired {
                reason: "the process restarted".to_owned(),
            },
        };
        self.report(id, now, kind);
    }

    /// A command of the kernel; it leaves when `after` is durable. A cancel or a question leaves at once.
    pub fn submit(&mut self, after: Seq, command: VenueCommand, durable: Seq, now: Time) {
        match command {
            VenueCommand::Cancel { order, .. } if self.drop_held(order) => {
                let reason = "cancelled before it was sent".to_owned();
                self.report(order, now, ReportKind::Cancelled { reason });
            }
            command if after <= durable => self.travel(command, now),
            command => self.held.push_back((after, command)),
        }
    }

    /// Everything up to `through` is durable.
    pub fn journaled(&mut self, through: Seq, now: Time) {
        while self
            .held
            .front()
            .is_some_and(|(after, _)| *after <= through)
        {
            let Some((_, command)) = self.held.pop_front() else {
                return;
            };
            self.travel(command, now);
        }
    }

    /// When something happens here by itself: a command or report arrives, an order's date comes, funding is
    /// due.
    pub fn deadline(&self) -> Option<Time> {
        let command = self.travelling.front().map(|(due, _)| *due);
        let report = self.reports.front().map(|(due, _)| *due);
        let dated = self.dated.keys().next().map(|(due, _)| *due);
        let funding = self.funding_due();
        [command, report, dated, funding]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether no command and no report is on its way.
    pub fn is_settled(&self) -> bool {
        self.held.is_empty() && self.travelling.is_empty() && self.reports.is_empty()
    }

    /// The next command that has arrived by `now` takes effect; whether there was one. Its reports are to be
    /// heard before the next one.
    pub fn arrive(&mut self, kernel: &Kernel, now: Time) -> bool {
        if self.travelling.front().is_none_or(|(due, _)| *due > now) {
            return false;
        }
        match self.travelling.pop_front() {
            Some((_, VenueCommand::Place(order))) => self.place(kernel, &order, now),
            Some((_, VenueCommand::Amend(amend))) => self.amend(kernel, &amend, now),
            Some((_, VenueCommand::Cancel { order, .. })) => self.cancel(order, now),
            Some((_, VenueCommand::Query { order, .. })) => self.query(order, now),
            Some((_, VenueCommand::Standing { asked })) => self.standing(asked, now),
            None => return false,
        }
        true
    }

    /// Time passes: dates and funding. Before the commands of the same time.
    pub fn advance(&mut self, kernel: &Kernel, now: Time) {
        while let Some(((due, id), _)) = self.dated.first_key_value() {
            let (due, id) = (*due, *id);
            if due > now {
                break;
            }
            self.dated.remove(&(due, id));
            if self.forget(id).is_some() {
                let reason = "its date has come".to_owned();
                self.report(id, now, ReportKind::Expired { reason });
            }
        }
        self.pay_funding(kernel, now);
    }

    /// The market moved; the kernel has applied the event already.
    pub fn on_market(&mut self, kernel: &Kernel, event: &MarketEvent, now: Time) {
        let id = event.instrument;
        match &event.data {
            MarketData::Depth(delta) => {
                self.gone.on_levels(id, &delta.bids, &delta.asks);
                let book = kernel.market_of(id).and_then(|m| m.book.valid());
                let levels = (&delta.bids[..], &delta.asks[..]);
                self.resting.on_levels(id, self.config.queue, levels, book);
                self.book_moved(kernel, id, now);
            }
            MarketData::Snapshot(_) => {
                self.gone.on_snapshot(id);
                if let Some(market) = kernel.market_of(id)
                    && let Some(book) = market.book.valid()
                {
                    self.resting.on_snapshot(id, book, market.book_time());
                }
                self.book_moved(kernel, id, now);
            }
            MarketData::Trade(trade) => self.traded(kernel, id, trade, now),
            MarketData::Derivative(figures) => self.learn_funding(id, figures, now),
            MarketData::Quote(_)
            | MarketData::Kline(_)
            | MarketData::History(_)
            | MarketData::Stats(_)
            | MarketData::Liquidation(_)
            | MarketData::OffBook(_)
            | MarketData::Verified { .. }
            | MarketData::Listing(_)
            | MarketData::Lost(..) => {}
        }
        self.set_off(kernel, id, &event.data, now);
        self.liquidate(kernel, id, now);
    }

    /// The next report that has come back by `now`.
    pub fn next_report(&mut self, now: Time) -> Option<Said> {
        if self.reports.front().is_none_or(|(due, _)| *due > now) {
            return None;
        }
        self.reports.pop_front().map(|(_, said)| said)
    }

    fn travel(&mut self, command: VenueCommand, now: Time) {
        let due = self.out.send(now);
        self.travelling.push_back((due, command));
    }

    /// Whether the order was still waiting for the journal, and is gone now.
    fn drop_held(&mut self, id: OrderId) -> bool {
        let before = self.held.len();
        self.held
            .retain(|(_, c)| !matches!(c, VenueCommand::Place(o) if o.id() == id));
        self.held.len() < before
    }

    fn report(&mut self, order: OrderId, time: Time, kind: ReportKind) {
        let due = self.back.send(time);
        let report = VenueReport { order, time, kind };
        self.reports.push_back((due, Said::Order(report)));
    }

    fn say(&mut self, time: Time, kind: AccountReportKind) {
        let due = self.back.send(time);
        let report = AccountReport { time, kind };
        self.reports.push_back((due, Said::Account(report)));
    }

    fn forget(&mut self, id: OrderId) -> Option<Ticket> {
        let ticket = self
            .waiting
            .remove(id)
            .or_else(|| self.resting.remove(id).map(|r| r.ticket))?;
        if let Some(expires) = ticket.expires() {
            self.dated.remove(&(expires, id));
        }
        Some(ticket)
    }

    /// An order waits for its trigger.
    fn wait(&mut self, ticket: Ticket) {
        self.date(&ticket);
        self.waiting.insert(ticket);
    }

    /// Remembers when an order ends.
    fn date(&mut self, ticket: &Ticket) {
        if let Some(expires) = ticket.expires() {
            self.dated.insert((expires, ticket.id), ticket.instrument);
        }
    }

    fn cancel(&mut self, id: OrderId, now: Time) {
        let kind = if self.forget(id).is_some() {
            ReportKind::Cancelled {
                reason: "cancelled on request".to_owned(),
            }
        } else {
            ReportKind::CancelRejected {
                reason: "unknown order".to_owned(),
            }
        };
        self.report(id, now, kind);
    }

    /// What the venue knows of an order: that it stands, or that it never came. Of an order that has ended it has
    /// spoken already.
    fn query(&mut self, id: OrderId, now: Time) {
        let on_its_way = |c: &VenueCommand| matches!(c, VenueCommand::Place(o) if o.id() == id);
        if self.held.iter().any(|(_, c)| on_its_way(c))
            || self.travelling.iter().any(|(_, c)| on_its_way(c))
            || self
                .reports
                .iter()
                .any(|(_, s)| matches!(s, Said::Order(r) if r.order == id))
        {
            return;
        }
        let venue_order_id = venue_id(id);
        let kind = if self.waiting.contains(id) {
            ReportKind::Held { venue_order_id }
        } else if self.resting.contains(id) {
            ReportKind::Acked { venue_order_id }
        } else {
            ReportKind::NotFound
        };
        self.report(id, now, kind);
        // A change that never came shows in what stands.
        let ticket = self.waiting.ticket(id);
        let ticket = ticket.or_else(|| self.resting.get(id).map(|r| &r.ticket));
        if let Some(ticket) = ticket {
            let kind = ReportKind::Amended {
                price: ticket.kind.limit(),
                trigger: ticket.kind.trigger().map(|t| t.price),
                qty: ticket.qty,
            };
            self.report(id, now, kind);
        }
    }

    fn standing(&mut self, asked: Seq, now: Time) {
        let mut orders: Vec<OrderId> = self.waiting.ids().collect();
        orders.extend(self.resting.ids());
        orders.sort_unstable();
        let positions = self.positions.iter();
        let positions = positions.filter(|(_, qty)| **qty != 0);
        let positions = positions.map(|((i, s), qty)| (*i, *s, *qty)).collect();
        self.say(
            now,
            AccountReportKind::Standing {
                asked,
                orders,
                positions,
            },
        );
    }

    fn place(&mut self, kernel: &Kernel, order: &ApprovedOrder, now: Time) {
        let spec = order.spec();
        let ticket = Ticket {
            id: order.id(),
            instrument: spec.instrument,
            side: spec.side,
            position_side: spec.position_side,
            kind: spec.kind,
            time_in_force: spec.time_in_force,
            post_only: spec.post_only,
            reduce_only: spec.reduce_only,
            whole_position: spec.size == Size::Position,
            qty: order.qty(),
            executed: Qty::ZERO,
            fills: 0,
            paid_up_to: paid_up_to(kernel, spec.instrument, spec.side, order.hold()),
        };
        let id = ticket.id;
        if ticket.expires().is_some_and(|date| date <= now) {
            let reason = "its date came before it arrived".to_owned();
            return self.report(id, now, ReportKind::Rejected { reason });
        }
        if spec.kind.is_conditional() {
            let venue_order_id = venue_id(id);
            self.report(id, now, ReportKind::Held { venue_order_id });
            self.wait(ticket);
            return self.set_off_alone(kernel, spec.instrument, id, now);
        }
        self.enter(kernel, ticket, true, now);
    }

    fn amend(&mut self, kernel: &Kernel, amend: &ApprovedAmend, now: Time) {
        let (id, wish) = (amend.order(), *amend.amend());
        let refuse = |venue: &mut Self, reason: &str| {
            let reason = reason.to_owned();
            venue.report(id, now, ReportKind::AmendRejected { reason });
        };
        if let Some(ticket) = self.waiting.amend(id, &wish) {
            let (qty, instrument) = (ticket.qty, ticket.instrument);
            self.report(id, now, amended(&wish, qty));
            if wish.trigger.is_some() {
                self.set_off_alone(kernel, instrument, id, now);
            }
            return;
        }
        let Some(resting) = self.resting.get(id) else {
            return refuse(self, "unknown order");
        };
        let old = &resting.ticket;
        let qty = wish.qty.unwrap_or(old.qty);
        if qty <= old.executed {
            return refuse(self, "so much is executed already");
        }
        let price = wish.price.or(old.kind.limit());
        let in_place = price == old.kind.limit() && qty <= old.qty;
        let (instrument, side) = (old.instrument, old.side);
        let book = kernel.market_of(instrument).and_then(|m| m.book.valid());
        if !in_place
            && old.post_only
            && let Some(book) = book
            && self.would_take(instrument, side, price, book)
        {
            return refuse(self, "post-only, and it would take liquidity");
        }
        if in_place {
            // Its place in the queue stays.
            if let Some(ticket) = self.resting.ticket_mut(id) {
                ticket.amend(&wish);
            }
            return self.report(id, now, amended(&wish, qty));
        }
        let Some(mut ticket) = self.forget(id) else {
            return;
        };
        ticket.amend(&wish);
        self.report(id, now, amended(&wish, qty));
        self.enter(kernel, ticket, false, now);
    }

    /// One side of the book, best first, less what we took from it.
    fn left<'a>(
        &'a self,
        id: InstrumentId,
        side: Side,
        book: &'a crate::kernel::market::Book,
    ) -> impl Iterator<Item = Level> + 'a {
        let levels = book.levels(side);
        levels.map(move |level| self.gone.left(id, side, level))
    }
}

/// The paper venue's id of an order.
fn venue_id(id: OrderId) -> VenueOrderId {
    VenueOrderId(u128::from(id.0))
}

/// The price at which a spot buy was paid for in advance.
fn paid_up_to(kernel: &Kernel, id: InstrumentId, side: Side, hold: Price) -> Option<Price> {
    let instrument = kernel.ledger().instrument(id)?;
    let pays = instrument.contract == Contract::Spot && side == Side::Buy;
    (pays && hold > Price(0)).then_some(hold)
}

fn amended(wish: &Amend, qty: Qty) -> ReportKind {
    ReportKind::Amended {
        price: wish.price,
        trigger: wish.trigger,
        qty,
    }
}

impl Hash for PaperVenue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.resting, &self.waiting, &self.gone).hash(state);
        (&self.positions, &self.funding, &self.reports).hash(state);
        (self.held.len(), self.travelling.len(), self.liquidations).hash(state);
    }
}
