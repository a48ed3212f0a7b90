//! The rules, in the order in which they are checked: the first one broken refuses the order.

use super::{ApprovedOrder, Refusal, RiskLimits, Rule};
use crate::kernel::ledger::Ledger;
use crate::kernel::market::{Book, Market};
use crate::kernel::orders::{Order, OrderId, OrderSpec, OrderType, Size};
use crate::kernel::types::{
    Instrument, InstrumentStatus, Money, MoneyError, Price, Qty, Rate, Side, Time,
};

/// What the rules look at.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Limits in force.
    pub limits: &'a RiskLimits,
    /// Orders, positions, money.
    pub ledger: &'a Ledger,
    /// The market of the order's instrument.
    pub market: &'a Market,
    /// The instrument.
    pub instrument: &'a Instrument,
    /// Now.
    pub now: Time,
    /// Whether orders are taken at all.
    pub trading: bool,
    /// Whether the journal can take no more records.
    pub journal_full: bool,
}

/// A passed check; an id makes it an order.
#[derive(Debug)]
pub struct Approval {
    spec: OrderSpec,
    qty: Qty,
    reserved: Money,
}

impl Approval {
    /// What the order holds of the account's money.
    pub fn reserved(&self) -> Money {
        self.reserved
    }

    /// What was asked for.
    pub fn spec(&self) -> &OrderSpec {
        &self.spec
    }

    /// The quantity in the base asset.
    pub fn qty(&self) -> Qty {
        self.qty
    }

    /// The approved order, under the id of its journaled intent.
    pub fn into_order(self, id: OrderId) -> ApprovedOrder {
        ApprovedOrder {
            id,
            spec: self.spec,
            qty: self.qty,
        }
    }
}

/// Checks an order against every rule.
pub fn check(context: &Context<'_>, spec: OrderSpec) -> Result<Approval, Refusal> {
    if !context.trading {
        return refuse(
            Rule::Mode,
            "no orders",
            "an order",
            "start with --mode paper to trade",
        );
    }
    filters(context, &spec)?;
    let book = context.market.book.valid();
    let price = reference_price(context, &spec, book)?;
    let qty = quantity(context, &spec, price)?;
    let notional = range(context.instrument.notional(price, qty))?;
    if notional < context.instrument.notional_min {
        let hint = "raise the quantity or the price";
        return refuse(
            Rule::MinNotional,
            at_least(context),
            notional.to_string(),
            hint,
        );
    }
    let reduces = reduces(context, &spec, qty)?;
    if !reduces {
        self_trade(context, &spec, book)?;
        adds_risk(context, &spec, qty, price, notional, book)?;
    }
    let reserved = balance(context, &spec, qty, notional, book)?;
    Ok(Approval {
        spec,
        qty,
        reserved,
    })
}

fn refuse<T>(
    rule: Rule,
    limit: impl Into<String>,
    value: impl Into<String>,
    hint: impl Into<String>,
) -> Result<T, Refusal> {
    Err(Refusal {
        rule,
        limit: limit.into(),
        value: value.into(),
        hint: hint.into(),
    })
}

fn range<T>(result: Result<T, MoneyError>) -> Result<T, Refusal> {
    result.or_else(|_| {
        refuse(
            Rule::Range,
            "an exact amount",
            "one out of range",
            "use a smaller quantity or price",
        )
    })
}

fn at_least(context: &Context<'_>) -> String {
    format!(
        "at least {} {}",
        context.instrument.notional_min, context.instrument.quote
    )
}

/// What the venue would refuse whatever the account.
fn filters(context: &Context<'_>, spec: &OrderSpec) -> Result<(), Refusal> {
    let instrument = context.instrument;
    if instrument.status != InstrumentStatus::Trading {
        let value = format!("{:?}", instrument.status).to_lowercase();
        return refuse(
            Rule::InstrumentStatus,
            "trading",
            value,
            "wait until the venue reopens it",
        );
    }
    let Some(price) = spec.kind.limit() else {
        return Ok(());
    };
    if let Some((below, above)) = off_grid(price.0, instrument.tick.0) {
        let text = |p| Price(p).display(instrument.price_scale).to_string();
        let hint = format!("nearest legal prices: {} and {}", text(below), text(above));
        let limit = format!("a multiple of {}", text(instrument.tick.0));
        return refuse(Rule::Tick, limit, text(price.0), hint);
    }
    Ok(())
}

/// The multiples of `step` around a value that is none itself.
fn off_grid(value: i64, step: i64) -> Option<(i64, i64)> {
    let rest = value.checked_rem(step)?;
    let below = value.checked_sub(rest)?;
    (rest != 0).then(|| (below, below.saturating_add(step)))
}

/// The price that the order is valued at: its limit, or what the book offers it.
fn reference_price(
    context: &Context<'_>,
    spec: &OrderSpec,
    book: Option<&Book>,
) -> Result<Price, Refusal> {
    if let OrderType::Limit { price } = spec.kind {
        return Ok(price);
    }
    let best = match spec.side {
        Side::Buy => book.and_then(Book::best_ask),
        Side::Sell => book.and_then(Book::best_bid),
    };
    // A reduction must not fail for want of a book: any price will do to value it.
    best.map(|l| l.price)
        .or_else(|| context.market.last_price())
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
    let position = context.ledger.position(spec.instrument);
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

/// The quantity in the base asset, on the venue's grid and within its bounds.
fn quantity(context: &Context<'_>, spec: &OrderSpec, price: Price) -> Result<Qty, Refusal> {
    let instrument = context.instrument;
    let text = |q: i64| Qty(q).display(instrument.qty_scale).to_string();
    let qty = match spec.size {
        Size::Base(qty) => qty,
        Size::Quote(amount) => {
            let unit = range(instrument.notional(price, Qty(1)))?;
            let exact = amount
                .0
                .checked_div(unit.0)
                .and_then(|q| i64::try_from(q).ok());
            let exact = range(exact.ok_or(MoneyError))?;
            off_grid(exact, instrument.lot.0).map_or(Qty(exact), |(below, _)| Qty(below))
        }
    };
    if let Some((below, above)) = off_grid(qty.0, instrument.lot.0) {
        let hint = format!(
            "nearest legal quantities: {} and {}",
            text(below),
            text(above)
        );
        return refuse(
            Rule::Lot,
            format!("a multiple of {}", text(instrument.lot.0)),
            text(qty.0),
            hint,
        );
    }
    let least = instrument.qty_min.max(Qty(1));
    if qty < least {
        let hint = "raise the quantity";
        return refuse(
            Rule::Lot,
            format!("at least {}", text(least.0)),
            text(qty.0),
            hint,
        );
    }
    if instrument.qty_max > Qty::ZERO && qty > instrument.qty_max {
        let limit = format!("at most {}", text(instrument.qty_max.0));
        return refuse(Rule::Lot, limit, text(qty.0), "split the order");
    }
    Ok(qty)
}

/// Open orders of this instrument on one side.
fn open_orders<'a>(
    context: &Context<'a>,
    spec: &OrderSpec,
    side: Side,
) -> impl Iterator<Item = &'a Order> {
    let instrument = spec.instrument;
    context
        .ledger
        .orders()
        .open()
        .filter(move |o| o.spec.instrument == instrument && o.spec.side == side)
}

fn open_qty(context: &Context<'_>, spec: &OrderSpec, side: Side) -> Result<Qty, Refusal> {
    let mut total = Qty::ZERO;
    for order in open_orders(context, spec, side) {
        total = range(total.checked_add(order.remaining()).ok_or(MoneyError))?;
    }
    Ok(total)
}

/// Two orders of ours must not trade with each other: the newer one is refused. A market order
/// would meet those of ours that stand first in their queue.
fn self_trade(context: &Context<'_>, spec: &OrderSpec, book: Option<&Book>) -> Result<(), Refusal> {
    let reach = spec.kind.limit().or_else(|| match spec.side {
        Side::Buy => book.and_then(Book::best_ask).map(|l| l.price),
        Side::Sell => book.and_then(Book::best_bid).map(|l| l.price),
    });
    let crossing = open_orders(context, spec, spec.side.opposite()).find(|resting| {
        match (spec.side, reach, resting.spec.kind.limit()) {
            (_, None, _) | (_, _, None) => true,
            (Side::Buy, Some(own), Some(other)) => own >= other,
            (Side::Sell, Some(own), Some(other)) => own <= other,
        }
    });
    match crossing {
        Some(resting) => refuse(
            Rule::SelfTrade,
            "no trade with an own order",
            format!("would meet order {}", resting.id),
            "cancel that order first",
        ),
        None => Ok(()),
    }
}

/// Whether the order, with all others of its side, can only reduce the position. A reduce-only
/// order that cannot promise it is refused.
fn reduces(context: &Context<'_>, spec: &OrderSpec, qty: Qty) -> Result<bool, Refusal> {
    let position = context.ledger.position(spec.instrument).qty;
    let opposite = matches!(
        (spec.side, position.signum()),
        (Side::Sell, 1) | (Side::Buy, -1)
    );
    let open = Qty(range(position.checked_abs().ok_or(MoneyError))?);
    let waiting = open_qty(context, spec, spec.side)?;
    let worst = range(waiting.checked_add(qty).ok_or(MoneyError))?;
    let reduces = opposite && worst <= open;
    if spec.reduce_only && !reduces {
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
fn adds_risk(
    context: &Context<'_>,
    spec: &OrderSpec,
    qty: Qty,
    price: Price,
    notional: Money,
    book: Option<&Book>,
) -> Result<(), Refusal> {
    let limits = context.limits;
    if context.journal_full {
        let hint = "orders that add risk wait until the disk keeps up; cancels still pass";
        return refuse(Rule::Journal, "a writable journal", "a full one", hint);
    }
    let Some(book) = book else {
        let value = context
            .market
            .book
            .fault()
            .map_or("not synchronised yet".to_owned(), |f| {
                format!("invalid ({})", f.name())
            });
        let hint = "the book resynchronises by itself; try again shortly";
        return refuse(Rule::StaleData, "a valid order book", value, hint);
    };
    let age = context.now.since(context.market.book_seen());
    if age > limits.stale_after_ns {
        return refuse(
            Rule::StaleData,
            format!("data younger than {} ms", limits.stale_after_ns / 1_000_000),
            format!("{} ms old", age / 1_000_000),
            "check the venue's feed in /api/v1/status",
        );
    }
    if notional > limits.order_notional_max {
        return refuse(
            Rule::MaxOrderNotional,
            limits.order_notional_max.to_string(),
            notional.to_string(),
            "split the order, or raise risk.order_notional_max",
        );
    }
    if context.ledger.orders().open_len() >= limits.orders_open_max {
        return refuse(
            Rule::MaxOpenOrders,
            limits.orders_open_max.to_string(),
            context.ledger.orders().open_len().to_string(),
            "cancel orders, or raise risk.orders_open_max",
        );
    }
    collar(context, spec, book)?;
    let position = context.ledger.position(spec.instrument).qty;
    let held = if spec.side == Side::Buy {
        position
    } else {
        range(position.checked_neg().ok_or(MoneyError))?
    };
    let waiting = open_qty(context, spec, spec.side)?;
    let worst = held
        .checked_add(waiting.0)
        .and_then(|q| q.checked_add(qty.0))
        .ok_or(MoneyError);
    let mark = context.market.mark(context.instrument).unwrap_or(price);
    let exposure = range(context.instrument.notional(mark, Qty(range(worst)?)))?;
    if exposure > limits.position_notional_max {
        return refuse(
            Rule::MaxPositionNotional,
            limits.position_notional_max.to_string(),
            exposure.to_string(),
            "the position with all open orders of this side counts; raise risk.position_notional_max",
        );
    }
    Ok(())
}

/// A limit price must not lie far beyond the middle of the book on the side that loses.
fn collar(context: &Context<'_>, spec: &OrderSpec, book: &Book) -> Result<(), Refusal> {
    let (Some(price), Some(mid)) = (spec.kind.limit(), book.mid()) else {
        return Ok(());
    };
    let unit = 10_i128.pow(u32::from(Rate::SCALE));
    let width = i128::from(mid.0)
        .checked_mul(i128::from(context.limits.price_collar.0))
        .and_then(|w| w.checked_div(unit))
        .and_then(|w| i64::try_from(w).ok());
    let width = range(width.ok_or(MoneyError))?;
    let (bound, broken) = match spec.side {
        Side::Buy => {
            let bound = mid.0.saturating_add(width);
            (bound, price.0 > bound)
        }
        Side::Sell => {
            let bound = mid.0.saturating_sub(width);
            (bound, price.0 < bound)
        }
    };
    if !broken {
        return Ok(());
    }
    let text = |p: i64| Price(p).display(context.instrument.price_scale).to_string();
    let word = if spec.side == Side::Buy {
        "at most"
    } else {
        "at least"
    };
    refuse(
        Rule::PriceCollar,
        format!("{word} {}", text(bound)),
        text(price.0),
        "the price is far through the market; raise risk.price_collar if it is meant",
    )
}

/// A spot account spends only what it has: no borrowing, no short sale. Returns what a buy order holds.
fn balance(
    context: &Context<'_>,
    spec: &OrderSpec,
    qty: Qty,
    notional: Money,
    book: Option<&Book>,
) -> Result<Money, Refusal> {
    let instrument = context.instrument;
    let account = context.ledger.account();
    if account.currency != instrument.quote {
        return refuse(
            Rule::Balance,
            format!("an account in {}", account.currency),
            format!("an instrument in {}", instrument.quote),
            "trade instruments quoted in the account's currency, or set paper.currency",
        );
    }
    match spec.side {
        Side::Sell => {
            let waiting = open_qty(context, spec, Side::Sell)?;
            let position = Qty(context.ledger.position(spec.instrument).qty.max(0));
            let free = position.checked_sub(waiting).unwrap_or(Qty::ZERO);
            if qty > free {
                let text =
                    |q: Qty| format!("{} {}", q.display(instrument.qty_scale), instrument.base);
                let hint = "a spot account cannot sell what it does not hold";
                return refuse(Rule::Balance, text(free), text(qty), hint);
            }
            Ok(Money::ZERO)
        }
        Side::Buy => {
            let cost = match (spec.kind, book) {
                (OrderType::Market, Some(book)) => {
                    range(book.cost_to_take(Side::Buy, qty, instrument))?.unwrap_or(notional)
                }
                _ => notional,
            };
            let fee = range(cost.at_rate(instrument.taker_fee))?;
            let needed = range(cost.plus(fee))?;
            let free = range(account.cash.minus(range(held(context.ledger))?))?;
            if needed > free {
                let text = |m: Money| format!("{m} {}", instrument.quote);
                let hint = "the fee and what other open buy orders hold count";
                return refuse(Rule::Balance, text(free), text(needed), hint);
            }
            Ok(needed)
        }
    }
}

/// What open buy orders hold of the account's money, with their fees.
pub(in crate::kernel) fn held(ledger: &Ledger) -> Result<Money, MoneyError> {
    let mut total = Money::ZERO;
    for order in ledger.orders().open() {
        total = total.plus(order.held()?)?;
    }
    Ok(total)
}
