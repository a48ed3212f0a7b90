//! The rules, in the order in which they are checked: the first one broken refuses the order.

use super::exposure::{balance, exposure};
use super::filters::{self, range, refuse};
use super::{Approval, OrderRate, Refusal, RiskLimits, RiskMode, Rule};
use crate::kernel::ledger::{Holding, Ledger, hold};
use crate::kernel::market::{Book, Market};
use crate::kernel::orders::{Link, Order, OrderSpec, OrderType, PositionSide, Size};
use crate::kernel::portfolio::PositionMode;
use crate::kernel::types::{
    Contract, Instrument, InstrumentId, Money, MoneyError, Price, Qty, Rate, Side, Time,
};
use crate::kernel::valuation::Valuation;

/// What the rules look at.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernel) struct Context<'a> {
    /// Limits in force.
    pub(in crate::kernel) limits: &'a RiskLimits,
    /// Orders, positions, money.
    pub(in crate::kernel) ledger: &'a Ledger,
    /// The same at mark.
    pub(in crate::kernel) valuation: &'a Valuation,
    /// Orders a second so far.
    pub(in crate::kernel) rate: &'a OrderRate,
    /// The market of the order's instrument.
    pub(in crate::kernel) market: &'a Market,
    /// Its index.
    pub(in crate::kernel) id: InstrumentId,
    /// The instrument.
    pub(in crate::kernel) instrument: &'a Instrument,
    /// What the account has and wants of it.
    pub(in crate::kernel) holding: &'a Holding,
    /// Now.
    pub(in crate::kernel) now: Time,
    /// Whether orders are taken at all.
    pub(in crate::kernel) trading: bool,
    /// Whether the journal can take no more records.
    pub(in crate::kernel) journal_full: bool,
}

/// What is added to what is there: a new order, or a change of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    pub(super) side: Side,
    pub(super) position_side: PositionSide,
    pub(super) kind: OrderType,
    /// Beyond what open orders could execute already.
    pub(super) qty: Qty,
    /// At this price it is valued.
    pub(super) price: Price,
    /// At this price it is paid for in advance.
    pub(super) hold: Price,
    /// What it holds, beyond what is held already.
    pub(super) hold_more: Money,
    pub(super) notional: Money,
    /// It is one more order.
    pub(super) new: bool,
}

/// Checks an order against every rule.
pub(in crate::kernel) fn check(
    context: &Context<'_>,
    spec: &OrderSpec,
) -> Result<Approval, Refusal> {
    if !context.trading {
        return refuse(
            Rule::Mode,
            "no orders",
            "an order",
            "start with --mode paper to trade",
        );
    }
    filters::shape(context, spec)?;
    filters::venue(context, spec.side, spec.kind)?;
    let book = context.market.book.valid();
    let price = reference_price(context, spec, book)?;
    let qty = quantity(context, spec, price)?;
    let notional = range(context.instrument.notional(price, qty))?;
    filters::notional(context, spec, notional)?;
    let spot = context.instrument.contract == Contract::Spot;
    // The stop of an OCO is executed instead of its order, never beside it.
    let beside = !is_rival(context, spec);
    let reduces = reduces(context, spec, qty, beside)?;
    let hold = match (spot, spec.side) {
        _ if !beside => hold_price(context, spec, qty, price, book),
        (true, Side::Sell) => Price(0),
        (false, _) if reduces => Price(0),
        _ => hold_price(context, spec, qty, price, book),
    };
    let approval = Approval {
        qty,
        hold,
        // The venue itself then sees to it that the order never does more.
        reduce_only: spec.reduce_only || (reduces && !spot),
        adds_risk: !reduces,
    };
    if !beside {
        return Ok(approval);
    }
    let demand = Demand {
        side: spec.side,
        position_side: spec.position_side,
        kind: spec.kind,
        qty,
        price,
        hold,
        hold_more: Money::ZERO,
        notional,
        new: true,
    };
    if !reduces {
        adds_risk(context, &demand, book)?;
    }
    balance(context, &demand)?;
    Ok(Approval {
        hold: with_slack(context, &demand),
        ..approval
    })
}

/// The price that a spot order without a limit is paid for at, with a hundredth more where the account has it: the
/// market moves before the order arrives.
fn with_slack(context: &Context<'_>, demand: &Demand) -> Price {
    let spot = context.instrument.contract == Contract::Spot;
    if !spot || !demand.kind.is_market() || demand.hold == Price(0) {
        return demand.hold;
    }
    let slack = demand.hold.0.checked_div(100).unwrap_or(0);
    let wider = Price(demand.hold.0.saturating_add(slack));
    let needed = hold(
        wider,
        demand.qty,
        context.instrument,
        context.holding.margin(),
    );
    match (needed, context.valuation.available(context.ledger)) {
        (Ok(needed), Ok(free)) if needed <= free => wider,
        _ => demand.hold,
    }
}

/// Checks a change of an order. It may make it smaller at any time, except below what is executed.
pub(in crate::kernel) fn check_amend(
    context: &Context<'_>,
    order: &Order,
    kind: OrderType,
    qty: Qty,
) -> Result<Approval, Refusal> {
    filters::venue(context, order.side, kind)?;
    filters::lots(context, qty, kind.is_market())?;
    if qty <= order.filled {
        let text = |q: Qty| q.display(context.instrument.qty_scale).to_string();
        return refuse(
            Rule::Lot,
            format!("more than {}, which is executed", text(order.filled)),
            text(qty),
            "cancel the order to end it",
        );
    }
    let book = context.market.book.valid();
    let price = kind
        .limit()
        .or(kind.trigger().map(|t| t.price))
        .or_else(|| context.market.mark(context.instrument))
        .unwrap_or(order.hold);
    let notional = range(context.instrument.notional(price, qty))?;
    let hold_at = if order.hold == Price(0) {
        Price(0)
    } else {
        price.max(kind.trigger().map_or(price, |t| t.price))
    };
    let more = qty.checked_sub(order.qty).unwrap_or(Qty::ZERO);
    let approval = Approval {
        qty,
        hold: hold_at,
        reduce_only: order.reduce_only,
        adds_risk: !order.reduce_only && (more > Qty::ZERO || order.limit() != kind.limit()),
    };
    if order.reduce_only || order.shadow {
        return Ok(approval);
    }
    let remaining = qty.checked_sub(order.filled).unwrap_or(Qty::ZERO);
    let margin = context.holding.margin();
    let held = |price: Price, qty: Qty| {
        if price == Price(0) {
            Ok(Money::ZERO)
        } else {
            range(hold(price, qty, context.instrument, margin))
        }
    };
    let before = held(order.hold_worst(), order.remaining_worst())?;
    let after = held(hold_at.max(order.hold), remaining.max(order.remaining()))?;
    let demand = Demand {
        side: order.side,
        position_side: order.position_side,
        kind,
        qty: more,
        price,
        hold: Price(0),
        hold_more: range(after.minus(before))?.max(Money::ZERO),
        notional,
        new: false,
    };
    let spot_sell = context.instrument.contract == Contract::Spot && order.side == Side::Sell;
    if approval.adds_risk && !spot_sell {
        adds_risk(context, &demand, book)?;
    }
    balance(context, &demand)?;
    Ok(approval)
}

/// Whether the order is the stop beside an order that stands for both.
fn is_rival(context: &Context<'_>, spec: &OrderSpec) -> bool {
    match spec.link {
        Link::Exit { parent, role } => context.ledger.orders().would_be_shadow(parent, role),
        Link::None | Link::Oco(_) | Link::Bracket(_) => false,
    }
}

/// The price that the order is valued at: its limit, its trigger, or what the book offers it.
fn reference_price(
    context: &Context<'_>,
    spec: &OrderSpec,
    book: Option<&Book>,
) -> Result<Price, Refusal> {
    if let Some(price) = spec.kind.limit().or(spec.kind.trigger().map(|t| t.price)) {
        return Ok(price);
    }
    let best = match spec.side {
        Side::Buy => book.and_then(Book::best_ask),
        Side::Sell => book.and_then(Book::best_bid),
    };
    // A reduction must not fail for want of a book: any price will do to value it.
    best.map(|l| l.price)
        .or_else(|| context.market.last_price())
        .or_else(|| context.valuation.mark(context.id))
        .or_else(|| paid(context, spec))
        .map_or_else(
            || {
                refuse(
                    Rule::StaleData,
                    "a known price",
                    "none",
                    "wait until market data of the instrument has arrived",
                )
            },
            Ok,
        )
}

/// The average price of the position, rounded down.
fn paid(context: &Context<'_>, spec: &OrderSpec) -> Option<Price> {
    let position = context.holding.position(spec.position_side);
    let unit = context
        .instrument
        .notional(Price(1), Qty(position.qty))
        .ok()?;
    position
        .cost
        .0
        .checked_div(unit.0)
        .and_then(|p| i64::try_from(p).ok())
        .map(Price)
}

/// The price at which the order is paid for in advance: its limit; for a stop its trigger; for a market order
/// the worst price that it would meet in the book now.
fn hold_price(
    context: &Context<'_>,
    spec: &OrderSpec,
    qty: Qty,
    price: Price,
    book: Option<&Book>,
) -> Price {
    match (spec.kind, book) {
        (OrderType::Market, Some(book)) => {
            let worst = book.worst_price_to_take(spec.side, qty);
            worst.unwrap_or(price).max(price)
        }
        (OrderType::StopLimit { trigger, .. }, _) => price.max(trigger.price),
        (OrderType::TrailingStop { .. }, _) => context
            .market
            .mark(context.instrument)
            .unwrap_or(price)
            .max(price),
        _ => price,
    }
}

/// The quantity in the base asset, on the venue's grid and within its bounds.
fn quantity(context: &Context<'_>, spec: &OrderSpec, price: Price) -> Result<Qty, Refusal> {
    let instrument = context.instrument;
    let qty = match spec.size {
        Size::Base(qty) => qty,
        Size::Quote(amount) => {
            let unit = range(instrument.notional(price, Qty(1)))?;
            let exact = amount
                .0
                .checked_div(unit.0)
                .and_then(|q| i64::try_from(q).ok());
            let exact = range(exact.ok_or(MoneyError))?;
            filters::off_grid(exact, instrument.lot.0).map_or(Qty(exact), |(below, _)| Qty(below))
        }
        Size::Position => {
            let open = position_qty(context, spec.position_side)?;
            let below = filters::off_grid(open.0, instrument.lot.0);
            below.map_or(open, |(below, _)| Qty(below))
        }
    };
    filters::lots(context, qty, spec.kind.is_market())?;
    Ok(qty)
}

/// The size of the position that an order concerns.
fn position_qty(context: &Context<'_>, side: PositionSide) -> Result<Qty, Refusal> {
    let signed = context.holding.position(side).qty;
    range(signed.checked_abs().map(Qty).ok_or(MoneyError))
}

/// Whether the order, with all others of its side, can only reduce the position. A reduce-only order that
/// cannot promise it is refused; where the venue itself enforces reduce-only, other orders do not count.
fn reduces(
    context: &Context<'_>,
    spec: &OrderSpec,
    qty: Qty,
    beside: bool,
) -> Result<bool, Refusal> {
    let position = context.holding.position(spec.position_side).qty;
    // A spot account is never short: what looks like it are reports that overtook each other.
    let spot = context.instrument.contract == Contract::Spot;
    let opposite = matches!(
        (spec.side, position.signum(), spot),
        (Side::Sell, 1, _) | (Side::Buy, -1, false)
    );
    let open = position_qty(context, spec.position_side)?;
    let asks = spec.reduce_only || spec.size == Size::Position;
    let enforced = asks && context.instrument.contract != Contract::Spot;
    let waiting = if enforced || !beside {
        Qty::ZERO
    } else {
        context.holding.waiting(spec.position_side, spec.side)
    };
    let worst = range(waiting.checked_add(qty).ok_or(MoneyError))?;
    let reduces = opposite && worst <= open;
    let closes_leg = matches!(
        (spec.position_side, spec.side),
        (PositionSide::Long, Side::Sell) | (PositionSide::Short, Side::Buy)
    );
    if (asks || closes_leg) && !reduces {
        let text = |q: Qty| q.display(context.instrument.qty_scale).to_string();
        let left = if opposite {
            open.checked_sub(waiting).unwrap_or(Qty::ZERO)
        } else {
            Qty::ZERO
        };
        return refuse(
            Rule::ReduceOnly,
            format!("at most {} to reduce", text(left)),
            text(qty),
            "lower the quantity, or cancel other orders of this side",
        );
    }
    Ok(reduces)
}

/// The rules for orders that add risk.
fn adds_risk(context: &Context<'_>, demand: &Demand, book: Option<&Book>) -> Result<(), Refusal> {
    let limits = context.limits;
    allowed(context)?;
    if context.journal_full {
        let hint = "orders that add risk wait until the disk keeps up; cancels still pass";
        return refuse(Rule::Journal, "a writable journal", "a full one", hint);
    }
    fresh(context, book)?;
    self_trade(context, demand, book)?;
    if demand.notional > limits.order_notional_max {
        return refuse(
            Rule::MaxOrderNotional,
            limits.order_notional_max.to_string(),
            demand.notional.to_string(),
            "split the order, or raise risk.order_notional_max",
        );
    }
    if demand.new {
        open_orders(context)?;
    }
    if !context
        .rate
        .allows(context.now, limits.orders_per_second_max)
    {
        return refuse(
            Rule::OrderRate,
            format!("{} a second", limits.orders_per_second_max),
            "one more",
            "slow down, or raise risk.orders_per_second_max",
        );
    }
    collar(context, demand)?;
    exposure(context, demand)
}

/// What the risk state lets pass.
fn allowed(context: &Context<'_>) -> Result<(), Refusal> {
    if context.holding.is_suspect() {
        return refuse(
            Rule::Disputed,
            "only reductions",
            "an order that adds risk",
            "the venue contradicted us here: compare positions with the venue's, then resume",
        );
    }
    let state = context.ledger.risk();
    if state.mode(context.now) == RiskMode::Normal {
        return Ok(());
    }
    let cause = state.cause(context.now).unwrap_or_default();
    let (rule, hint) = match cause {
        "kill_switch" => (Rule::KillSwitch, "resume when it is safe: hean resume"),
        "quarantine" => (
            Rule::Quarantine,
            "a record of the journal was passed over: compare orders and positions with the venue's, then hean resume",
        ),
        "incomplete" => (
            Rule::Incomplete,
            "the last records of a lost journal may be missing: compare orders and positions with the venue's, then hean resume",
        ),
        "drawdown" => (
            Rule::Drawdown,
            "resume to go on from today's equity: hean resume",
        ),
        "daily_loss" => (Rule::DailyLoss, "it ends with the day, or by hean resume"),
        _ => (
            Rule::LosingStreak,
            "it ends by itself after risk.cool_down_s, or by hean resume",
        ),
    };
    refuse(rule, "only reductions", "an order that adds risk", hint)
}

fn fresh(context: &Context<'_>, book: Option<&Book>) -> Result<(), Refusal> {
    let limits = context.limits;
    if book.is_none() {
        let value = context
            .market
            .book
            .fault()
            .map_or("not synchronised yet".to_owned(), |f| {
                format!("invalid ({})", f.name())
            });
        let hint = "the book resynchronises by itself; try again shortly";
        return refuse(Rule::StaleData, "a valid order book", value, hint);
    }
    let age = context.now.since(context.market.book_seen());
    if age > limits.stale_after_ns {
        return refuse(
            Rule::StaleData,
            format!("data younger than {} ms", limits.stale_after_ns / 1_000_000),
            format!("{} ms old", age / 1_000_000),
            "check the venue's feed in /api/v1/status",
        );
    }
    Ok(())
}

fn open_orders(context: &Context<'_>) -> Result<(), Refusal> {
    let open = context.ledger.orders().open_len();
    if open >= context.limits.orders_open_max {
        return refuse(
            Rule::MaxOpenOrders,
            context.limits.orders_open_max.to_string(),
            open.to_string(),
            "cancel orders, or raise risk.orders_open_max",
        );
    }
    let venue_max = context.instrument.orders_max;
    if venue_max > 0 && context.holding.open_orders() >= venue_max {
        return refuse(
            Rule::MaxOpenOrders,
            format!("{venue_max} of this instrument, as the venue says"),
            context.holding.open_orders().to_string(),
            "cancel orders of this instrument",
        );
    }
    Ok(())
}

/// Two orders of ours must not trade with each other: the newer one is refused. A market order
/// would meet those of ours that stand first in their queue; one that waits for its trigger meets nobody yet.
fn self_trade(context: &Context<'_>, demand: &Demand, book: Option<&Book>) -> Result<(), Refusal> {
    if demand.kind.is_conditional() {
        return Ok(());
    }
    let Some(resting) = context.holding.own_best(demand.side.opposite()) else {
        return Ok(());
    };
    let reach = demand.kind.limit().or_else(|| match demand.side {
        Side::Buy => book.and_then(Book::best_ask).map(|l| l.price),
        Side::Sell => book.and_then(Book::best_bid).map(|l| l.price),
    });
    let crosses = match (demand.side, reach) {
        (_, None) => true,
        (Side::Buy, Some(own)) => own >= resting,
        (Side::Sell, Some(own)) => own <= resting,
    };
    if !crosses {
        return Ok(());
    }
    let text = resting.display(context.instrument.price_scale).to_string();
    refuse(
        Rule::SelfTrade,
        "no trade with an own order",
        format!("would meet the own order at {text}"),
        "cancel that order first",
    )
}

/// A limit price must not lie far beyond the mark price on the side that loses; a conditional order's not far
/// beyond its trigger.
fn collar(context: &Context<'_>, demand: &Demand) -> Result<(), Refusal> {
    let Some(price) = demand.kind.limit() else {
        return Ok(());
    };
    let from = match demand.kind.trigger() {
        Some(trigger) => trigger.price,
        None => match context.market.mark(context.instrument) {
            Some(mark) => mark,
            None => return Ok(()),
        },
    };
    let one = i128::from(Rate::ONE.0);
    let collar = i128::from(context.limits.price_collar.0);
    let wide = |factor: Option<i128>| {
        range(
            factor
                .and_then(|f| i128::from(from.0).checked_mul(f))
                .ok_or(MoneyError),
        )
    };
    let own = range(i128::from(price.0).checked_mul(one).ok_or(MoneyError))?;
    let (bound, broken, word) = match demand.side {
        Side::Buy => {
            let bound = wide(one.checked_add(collar))?;
            (bound, own > bound, "at most")
        }
        Side::Sell => {
            let bound = wide(one.checked_sub(collar))?;
            (bound, own < bound, "at least")
        }
    };
    if !broken {
        return Ok(());
    }
    let bound = bound.checked_div(one).and_then(|b| i64::try_from(b).ok());
    let text = |p: i64| Price(p).display(context.instrument.price_scale).to_string();
    refuse(
        Rule::PriceCollar,
        format!("{word} {}", text(bound.unwrap_or_default())),
        text(price.0),
        "the price is far through the market; raise risk.price_collar if it is meant",
    )
}

/// Whether a position side fits the account.
pub(super) fn fits(mode: PositionMode, contract: Contract, side: PositionSide) -> bool {
    let hedged = mode == PositionMode::Hedge && contract != Contract::Spot;
    hedged != (side == PositionSide::Both)
}
