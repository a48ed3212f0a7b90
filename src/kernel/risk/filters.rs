//! What a venue would refuse whatever the account: filters and the shape of an order.

use super::check::{Context, fits};
use super::{Refusal, Rule};
use crate::kernel::orders::{
    Exit, Link, OrderSpec, OrderType, Origin, Size, TimeInForce, TriggerBy,
};
use crate::kernel::types::{
    BandReference, Contract, InstrumentStatus, Money, MoneyError, Price, Qty, Rate, Side,
};

pub(super) fn refuse<T>(
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

pub(super) fn range<T>(result: Result<T, MoneyError>) -> Result<T, Refusal> {
    result.or_else(|_| {
        refuse(
            Rule::Range,
            "an exact amount",
            "one out of range",
            "use a smaller quantity or price",
        )
    })
}

/// The multiples of `step` around a value that is none itself.
pub(super) fn off_grid(value: i64, step: i64) -> Option<(i64, i64)> {
    let rest = value.checked_rem(step)?;
    let below = value.checked_sub(rest)?;
    (rest != 0).then(|| (below, below.saturating_add(step)))
}

/// Combinations that no venue takes.
pub(super) fn shape(context: &Context<'_>, spec: &OrderSpec) -> Result<(), Refusal> {
    let mode = context.ledger.account().positions;
    if !fits(mode, context.instrument.contract, spec.position_side) {
        let (legal, hint) = if spec.position_side == crate::kernel::orders::PositionSide::Both {
            (
                "long or short",
                "the account is in hedge mode: name the position",
            )
        } else {
            (
                "both",
                "long and short are for derivatives of an account in hedge mode",
            )
        };
        return refuse(Rule::PositionSide, legal, spec.position_side.name(), hint);
    }
    let rests = spec.kind.limit().is_some();
    if spec.post_only && !(rests && spec.time_in_force.rests()) {
        return refuse(
            Rule::OrderShape,
            "post-only for orders that may rest",
            "post-only",
            "use a limit with GTC or GTD",
        );
    }
    if let TimeInForce::Gtd { expires } = spec.time_in_force
        && (!rests || expires <= context.now)
    {
        return refuse(
            Rule::OrderShape,
            "a limit and a date in the future",
            format!("until {} ms", expires.millis()),
            "use GTC, or a later date",
        );
    }
    if spec.size == Size::Position && spec.kind.limit().is_some() {
        return refuse(
            Rule::OrderShape,
            "closing a position at the market",
            "a limit price",
            "use a market, stop-market or take-profit-market order",
        );
    }
    if let OrderType::TrailingStop { callback, .. } = spec.kind {
        let bounds = Rate(100_000)..=Rate(20_000_000);
        if !bounds.contains(&callback) {
            return refuse(
                Rule::Trigger,
                "0.1 to 20 percent",
                format!(
                    "a share of {}",
                    crate::kernel::types::format_fixed(i128::from(callback.0), Rate::SCALE)
                ),
                "change trail_percent",
            );
        }
    }
    companions(context, spec)?;
    not_reached_yet(context, spec)
}

/// Exits lie where they can protect, on the grid.
fn companions(context: &Context<'_>, spec: &OrderSpec) -> Result<(), Refusal> {
    let exits: [Option<Exit>; 2] = match &spec.link {
        Link::None | Link::Exit { .. } => return Ok(()),
        Link::Oco(stop) => {
            let (OrderType::Limit { price: limit }, true) = (spec.kind, spec.time_in_force.rests())
            else {
                return refuse(
                    Rule::OrderShape,
                    "an OCO of a resting limit order and a stop",
                    spec.kind.name(),
                    "use a limit with GTC or GTD",
                );
            };
            let apart = match spec.side {
                Side::Sell => stop.trigger.price < limit,
                Side::Buy => stop.trigger.price > limit,
            };
            if !apart {
                return refuse(
                    Rule::Trigger,
                    "a stop on the other side of the market than the limit",
                    text(context, stop.trigger.price),
                    "a selling OCO has its stop below its limit, a buying one above",
                );
            }
            [Some(**stop), None]
        }
        Link::Bracket(bracket) => {
            if let (Some(profit), Some(loss)) = (bracket.take_profit, bracket.stop_loss) {
                let apart = match spec.side {
                    Side::Buy => loss.trigger.price < profit.trigger.price,
                    Side::Sell => loss.trigger.price > profit.trigger.price,
                };
                if !apart {
                    return refuse(
                        Rule::Trigger,
                        "a stop on the losing side of the target",
                        text(context, loss.trigger.price),
                        "exchange take_profit and stop_loss",
                    );
                }
            }
            [bracket.take_profit, bracket.stop_loss]
        }
    };
    for exit in exits.into_iter().flatten() {
        let prices = [Some(exit.trigger.price), exit.price];
        prices
            .into_iter()
            .flatten()
            .try_for_each(|price| on_tick(context, price))?;
    }
    Ok(())
}

/// A trigger that the price has reached already is a mistake, as the venues see it. The kernel's own exits are
/// set off at once then.
fn not_reached_yet(context: &Context<'_>, spec: &OrderSpec) -> Result<(), Refusal> {
    let Some(trigger) = spec.kind.trigger() else {
        return Ok(());
    };
    if matches!(spec.link, Link::Exit { .. }) || spec.origin == Origin::KillSwitch {
        return Ok(());
    }
    let price = match trigger.by {
        TriggerBy::Last => context.market.last_price(),
        TriggerBy::Mark | TriggerBy::Index => context.market.mark(context.instrument),
    };
    match price {
        Some(now) if spec.kind.is_triggered(spec.side, now) => refuse(
            Rule::Trigger,
            format!("a trigger that {} has not reached", trigger.by.name()),
            text(context, trigger.price),
            format!("the {} price is {}", trigger.by.name(), text(context, now)),
        ),
        _ => Ok(()),
    }
}

/// Status, grid, bounds and band of prices.
pub(super) fn venue(context: &Context<'_>, side: Side, kind: OrderType) -> Result<(), Refusal> {
    let instrument = context.instrument;
    if instrument.status != InstrumentStatus::Trading {
        return refuse(
            Rule::InstrumentStatus,
            "trading",
            instrument.status.name(),
            "wait until the venue reopens it",
        );
    }
    if let Some(trigger) = kind.trigger() {
        on_tick(context, trigger.price)?;
    }
    let Some(price) = kind.limit() else {
        return Ok(());
    };
    on_tick(context, price)?;
    if price < instrument.price_min {
        let limit = format!("at least {}", text(context, instrument.price_min));
        return refuse(
            Rule::PriceBand,
            limit,
            text(context, price),
            "raise the price",
        );
    }
    if instrument.price_max > Price(0) && price > instrument.price_max {
        let limit = format!("at most {}", text(context, instrument.price_max));
        return refuse(
            Rule::PriceBand,
            limit,
            text(context, price),
            "lower the price",
        );
    }
    if kind.is_conditional() {
        return Ok(());
    }
    band(context, side, price)
}

fn on_tick(context: &Context<'_>, price: Price) -> Result<(), Refusal> {
    let tick = context.instrument.tick;
    let Some((below, above)) = off_grid(price.0, tick.0) else {
        return Ok(());
    };
    let (below, above) = (text(context, Price(below)), text(context, Price(above)));
    refuse(
        Rule::Tick,
        format!("a multiple of {}", text(context, tick)),
        text(context, price),
        format!("nearest legal prices: {below} and {above}"),
    )
}

/// The venue's band around its reference price. Where that is a mean over minutes, which only the venue knows,
/// the last price stands for it.
fn band(context: &Context<'_>, side: Side, price: Price) -> Result<(), Refusal> {
    let Some(band) = context.instrument.band else {
        return Ok(());
    };
    let spot = context.instrument.contract == Contract::Spot;
    let reference = match band.reference {
        BandReference::LastOrMark if spot => context.market.last_price(),
        BandReference::MeanPrice { .. } => context.market.last_price(),
        BandReference::Mark | BandReference::LastOrMark => context.market.mark(context.instrument),
    };
    let Some(reference) = reference else {
        return Ok(());
    };
    let (low, high) = if side == Side::Buy {
        band.buy
    } else {
        band.sell
    };
    let scaled = |factor: Rate| i128::from(reference.0).checked_mul(i128::from(factor.0));
    let own = i128::from(price.0).checked_mul(i128::from(Rate::ONE.0));
    let outside = match (own, scaled(low), scaled(high)) {
        (Some(own), Some(low), Some(high)) => own < low || own > high,
        _ => true,
    };
    if !outside {
        return Ok(());
    }
    let bound = |factor: Rate, up: bool| {
        let exact = scaled(factor)
            .and_then(|v| v.checked_div(i128::from(Rate::ONE.0)))
            .and_then(|v| i64::try_from(v).ok())
            .unwrap_or_default();
        let (below, above) = off_grid(exact, context.instrument.tick.0).unwrap_or((exact, exact));
        text(context, Price(if up { above } else { below }))
    };
    refuse(
        Rule::PriceBand,
        format!("from {} to {}", bound(low, true), bound(high, false)),
        text(context, price),
        "the venue takes no order so far from the market",
    )
}

fn text(context: &Context<'_>, price: Price) -> String {
    price.display(context.instrument.price_scale).to_string()
}

/// Grid and bounds of quantities.
pub(super) fn lots(context: &Context<'_>, qty: Qty, market: bool) -> Result<(), Refusal> {
    let instrument = context.instrument;
    let text = |q: i64| Qty(q).display(instrument.qty_scale).to_string();
    if let Some((below, above)) = off_grid(qty.0, instrument.lot.0) {
        let hint = format!(
            "nearest legal quantities: {} and {}",
            text(below),
            text(above)
        );
        let limit = format!("a multiple of {}", text(instrument.lot.0));
        return refuse(Rule::Lot, limit, text(qty.0), hint);
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
    let own = instrument.market_qty_max;
    let most = if market && own > Qty::ZERO {
        own
    } else {
        instrument.qty_max
    };
    if most > Qty::ZERO && qty > most {
        let limit = format!("at most {}", text(most.0));
        return refuse(Rule::Lot, limit, text(qty.0), "split the order");
    }
    Ok(())
}

/// The venue's smallest order value. Reduce-only orders of derivatives are exempt, as at the venues.
pub(super) fn notional(
    context: &Context<'_>,
    spec: &OrderSpec,
    notional: Money,
) -> Result<(), Refusal> {
    let instrument = context.instrument;
    let exempt =
        instrument.contract != Contract::Spot && (spec.reduce_only || spec.size == Size::Position);
    if exempt || notional >= instrument.notional_min {
        return Ok(());
    }
    refuse(
        Rule::MinNotional,
        format!("at least {} {}", instrument.notional_min, instrument.quote),
        notional.to_string(),
        "raise the quantity or the price",
    )
}
