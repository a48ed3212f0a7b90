//! An order from its JSON to an [`OrderSpec`]: everything that can be wrong with its text is found
//! here; what needs the market or the account is risk's to judge.
//!
//! A value that a field can never have is 400, fields that do not go together are 422.

use hyper::StatusCode;

use super::grid;
use crate::http::body::{Fields, conflict, invalid, missing};
use crate::http::params::MILLIS_MAX;
use crate::http::problem::{Code, Problem, either, nearest};
use crate::http::state::App;
use crate::kernel::orders::{
    Bracket, ClientOrderId, Exit, Link, OrderSpec, OrderType, Origin, PositionSide, Size,
    StrategyId, TimeInForce, Trigger, TriggerBy,
};
use crate::kernel::snapshot::KernelView;
use crate::kernel::types::{Instrument, Money, Price, Rate, Side, Time};

/// Every field of the contract.
pub(in crate::http) const FIELDS: &[&str] = &[
    "symbol",
    "side",
    "type",
    "quantity",
    "quote_quantity",
    "price",
    "stop_price",
    "trail_percent",
    "activation_price",
    "time_in_force",
    "expires",
    "post_only",
    "reduce_only",
    "close_position",
    "position_side",
    "leverage",
    "trigger_by",
    "take_profit",
    "stop_loss",
    "oco",
    "account",
    "strategy",
    "client_order_id",
];

/// The types.
pub(in crate::http) const TYPES: &[&str] = &[
    "market",
    "limit",
    "stop_market",
    "stop_limit",
    "take_profit_market",
    "take_profit_limit",
    "trailing_stop",
];

pub(in crate::http) const EXIT_FIELDS: &[&str] = &["trigger_price", "price"];
pub(in crate::http) const OCO_FIELDS: &[&str] = &["price", "stop_price", "stop_limit_price"];

/// Reads an order.
pub(super) fn parse(app: &App, body: &[u8]) -> Result<OrderSpec, Box<Problem>> {
    let fields = Fields::parse(body, FIELDS)?;
    refuse_unsupported(&fields)?;
    let symbol = fields
        .text("symbol")?
        .ok_or_else(|| missing("symbol", "say what to trade, such as BTCUSDT"))?;
    let (id, published) = app.instrument(&symbol).map_err(|problem| {
        problem
            .status(StatusCode::UNPROCESSABLE_ENTITY)
            .member("field", "symbol")
    })?;
    let instrument = published.instrument.load();
    let Some(side) = side(fields.one_of("side", &["buy", "sell"])?) else {
        return Err(missing("side", "say buy or sell"));
    };
    let trigger_by = trigger_by(&fields)?;
    let oco = oco(&fields, &instrument, trigger_by)?;
    let (kind, link) = match oco {
        Some((kind, stop)) => (kind, Link::Oco(Box::new(stop))),
        None => (
            order_type(&fields, &instrument, trigger_by)?,
            bracket(&fields, &instrument, trigger_by)?,
        ),
    };
    if fields.has("trigger_by") && !kind.is_conditional() && link == Link::None {
        return Err(conflict(
            "trigger_by",
            "a market or limit order without take_profit, stop_loss or oco has no trigger",
        ));
    }
    let time_in_force = time_in_force(&fields, kind)?;
    let post_only = fields.flag("post_only")?;
    if post_only && (kind.is_market() || !time_in_force.rests()) {
        return Err(conflict(
            "post_only",
            "only an order with a limit price that may rest (GTC, GTD) can be post_only",
        ));
    }
    let size = size(&fields, &instrument, kind)?;
    let reduce_only = fields.flag("reduce_only")? || size == Size::Position;
    if reduce_only && matches!(link, Link::Bracket(_)) {
        let field = if fields.has("take_profit") {
            "take_profit"
        } else {
            "stop_loss"
        };
        return Err(conflict(
            field,
            "an order that only reduces a position has no exits of its own",
        ));
    }
    Ok(OrderSpec {
        instrument: id,
        side,
        position_side: position_side(fields.one_of("position_side", &["both", "long", "short"])?),
        kind,
        size,
        time_in_force,
        post_only,
        reduce_only,
        origin: origin(app, &fields)?,
        link,
        client_order_id: client_order_id(&fields)?,
    })
}

/// `buy` or `sell`.
pub(super) fn side(text: Option<&str>) -> Option<Side> {
    match text {
        Some("buy") => Some(Side::Buy),
        Some("sell") => Some(Side::Sell),
        _ => None,
    }
}

/// `long`, `short`, or both.
pub(super) fn position_side(text: Option<&str>) -> PositionSide {
    match text {
        Some("long") => PositionSide::Long,
        Some("short") => PositionSide::Short,
        _ => PositionSide::Both,
    }
}

/// The strategy of a name: one that runs, or one that orders of earlier runs belong to.
pub(super) fn strategy(kernel: &KernelView, name: &str) -> Result<StrategyId, Box<Problem>> {
    let id = kernel.strategy_names.iter().position(|known| known == name);
    id.and_then(|id| u16::try_from(id).ok())
        .map(StrategyId)
        .ok_or_else(|| {
            let shown: String = name.chars().take(64).collect();
            let known: Vec<&str> = kernel.strategy_names.iter().map(String::as_str).collect();
            let near = nearest(name, known.iter().copied());
            Problem::new(
                Code::UnknownStrategy,
                format!("there is no strategy {shown:?}"),
            )
            .member("field", "strategy")
            .hint(match (either(&near), either(&known)) {
                (Some(near), _) => format!("did you mean {near}?"),
                (None, Some(all)) => format!("there are {all}"),
                (None, None) => "none is configured: start with --strategy".to_owned(),
            })
        })
}

fn origin(app: &App, fields: &Fields<'_>) -> Result<Origin, Box<Problem>> {
    let Some(name) = fields.text("strategy")? else {
        return Ok(Origin::Operator);
    };
    let kernel = app.state.published.kernel.load();
    strategy(&kernel, &name)
        .map(Origin::Strategy)
        .map_err(|problem| problem.status(StatusCode::UNPROCESSABLE_ENTITY))
}

fn refuse_unsupported(fields: &Fields<'_>) -> Result<(), Box<Problem>> {
    if fields.has("leverage") {
        return Err(Problem::new(
            Code::Unsupported,
            "leverage belongs to an instrument, not to an order",
        )
        .member("field", "leverage")
        .hint("set it before: POST /api/v1/positions/{symbol}/margin"));
    }
    match fields.text("account")?.as_deref() {
        None | Some("default") => Ok(()),
        Some(_) => Err(Problem::new(
            Code::Unsupported,
            "other accounts than default are not supported yet",
        )
        .member("field", "account")
        .hint("leave account out")),
    }
}

fn trigger_by(fields: &Fields<'_>) -> Result<TriggerBy, Box<Problem>> {
    let asked = fields.one_of("trigger_by", &["last", "mark", "index"])?;
    Ok(match asked {
        Some("mark") => TriggerBy::Mark,
        Some("index") => TriggerBy::Index,
        _ => TriggerBy::Last,
    })
}

/// What an order type has beside its side and size.
struct Wants {
    name: &'static str,
    price: bool,
    stop: bool,
    trail: bool,
}

fn order_type(
    fields: &Fields<'_>,
    instrument: &Instrument,
    by: TriggerBy,
) -> Result<OrderType, Box<Problem>> {
    let Some(name) = fields.one_of("type", TYPES)? else {
        return Err(missing("type", "say market, limit, or another type"));
    };
    let wants = Wants {
        name,
        price: matches!(name, "limit" | "stop_limit" | "take_profit_limit"),
        stop: name.starts_with("stop_") || name.starts_with("take_profit_"),
        trail: name == "trailing_stop",
    };
    let limit = wanted(
        "price",
        grid::price(fields, "price", instrument)?,
        wants.price,
        &wants,
    )?;
    let stop = grid::price(fields, "stop_price", instrument)?;
    let stop = wanted("stop_price", stop, wants.stop, &wants)?;
    let trail = wanted("trail_percent", trail_percent(fields)?, wants.trail, &wants)?;
    let activation = grid::price(fields, "activation_price", instrument)?;
    if activation.is_some() && !wants.trail {
        return Err(has_no("activation_price", &wants));
    }
    let price = limit.unwrap_or(Price(0));
    let trigger = Trigger {
        price: stop.unwrap_or(Price(0)),
        by,
    };
    Ok(match name {
        "limit" => OrderType::Limit { price },
        "stop_market" => OrderType::StopMarket { trigger },
        "stop_limit" => OrderType::StopLimit { trigger, price },
        "take_profit_market" => OrderType::TakeProfitMarket { trigger },
        "take_profit_limit" => OrderType::TakeProfitLimit { trigger, price },
        "trailing_stop" => OrderType::TrailingStop {
            callback: trail.unwrap_or(Rate(0)),
            activation,
            by,
        },
        _ => OrderType::Market,
    })
}

/// A value that has to be there, or must not be.
fn wanted<T>(
    field: &'static str,
    value: Option<T>,
    is: bool,
    wants: &Wants,
) -> Result<Option<T>, Box<Problem>> {
    match (is, &value) {
        (true, None) => Err(missing(field, &format!("{} needs one", an_order(wants)))),
        (false, Some(_)) => Err(has_no(field, wants)),
        _ => Ok(value),
    }
}

fn an_order(wants: &Wants) -> String {
    format!("an order of type {}", wants.name)
}

fn has_no(field: &'static str, wants: &Wants) -> Box<Problem> {
    let problem = conflict(field, &format!("{} has no {field}", an_order(wants)));
    match field {
        "price" if wants.stop => problem.hint(format!(
            "leave it out, or send type {}",
            wants.name.replace("market", "limit")
        )),
        "price" if !wants.trail => problem.hint("leave price out, or send type limit"),
        "stop_price" if wants.trail => {
            problem.hint("activation_price is the price from which it trails")
        }
        "stop_price" => {
            problem.hint("leave it out, or send a type that begins with stop_ or take_profit_")
        }
        _ => problem.hint("leave it out, or send type trailing_stop"),
    }
}

/// Percent as a share: 1 percent is 0.01.
fn trail_percent(fields: &Fields<'_>) -> Result<Option<Rate>, Box<Problem>> {
    const NAME: &str = "trail_percent";
    let Some(text) = fields.number(NAME)? else {
        return Ok(None);
    };
    let share = grid::exact(NAME, &text, Rate::SCALE - 2)?;
    i64::try_from(share)
        .ok()
        .filter(|share| *share < Rate::ONE.0)
        .map(|share| Some(Rate(share)))
        .ok_or_else(|| invalid(NAME, &text, "below 100"))
}

/// An OCO: the limit order, and the stop that stands beside it.
fn oco(
    fields: &Fields<'_>,
    instrument: &Instrument,
    by: TriggerBy,
) -> Result<Option<(OrderType, Exit)>, Box<Problem>> {
    let Some(oco) = fields.object("oco", OCO_FIELDS)? else {
        return Ok(None);
    };
    if !matches!(fields.one_of("type", TYPES)?, None | Some("limit")) {
        return Err(conflict(
            "type",
            "an OCO is of type limit: a limit order and a stop",
        ));
    }
    for (field, detail) in [
        ("price", "the price of an OCO stands in oco.price"),
        ("stop_price", "the stop of an OCO stands in oco.stop_price"),
        ("trail_percent", "the stop of an OCO does not trail"),
        ("activation_price", "the stop of an OCO does not trail"),
        ("take_profit", "an OCO has no further exits"),
        ("stop_loss", "an OCO has no further exits"),
    ] {
        if fields.has(field) {
            return Err(conflict(field, detail));
        }
    }
    if fields.flag("close_position")? {
        let detail = "the quantity of an OCO has to be named";
        return Err(conflict("close_position", detail));
    }
    let inside = |problem: Box<Problem>| problem.within("oco");
    let price = |name| grid::price(&oco, name, instrument).map_err(inside);
    let limit =
        price("price")?.ok_or_else(|| inside(missing("price", "the limit order needs one")))?;
    let stop = price("stop_price")?
        .ok_or_else(|| inside(missing("stop_price", "the stop needs its trigger")))?;
    let exit = Exit {
        trigger: Trigger { price: stop, by },
        price: price("stop_limit_price")?,
    };
    Ok(Some((OrderType::Limit { price: limit }, exit)))
}

fn bracket(
    fields: &Fields<'_>,
    instrument: &Instrument,
    by: TriggerBy,
) -> Result<Link, Box<Problem>> {
    let exit = |name: &'static str| -> Result<Option<Exit>, Box<Problem>> {
        let Some(inner) = fields.object(name, EXIT_FIELDS)? else {
            return Ok(None);
        };
        let inside = |problem: Box<Problem>| problem.within(name);
        let price = |field| grid::price(&inner, field, instrument).map_err(inside);
        let trigger = price("trigger_price")?
            .ok_or_else(|| inside(missing("trigger_price", "say at which price to leave")))?;
        Ok(Some(Exit {
            trigger: Trigger { price: trigger, by },
            price: price("price")?,
        }))
    };
    let (take_profit, stop_loss) = (exit("take_profit")?, exit("stop_loss")?);
    if take_profit.is_none() && stop_loss.is_none() {
        return Ok(Link::None);
    }
    Ok(Link::Bracket(Box::new(Bracket {
        take_profit,
        stop_loss,
    })))
}

fn time_in_force(fields: &Fields<'_>, kind: OrderType) -> Result<TimeInForce, Box<Problem>> {
    const NAME: &str = "time_in_force";
    let asked = fields.one_of(NAME, &["GTC", "IOC", "FOK", "GTD"])?;
    let expires = fields.integer("expires", 1, MILLIS_MAX)?;
    if expires.is_some() && asked != Some("GTD") {
        return Err(conflict(
            "expires",
            "only an order with time_in_force GTD expires",
        ));
    }
    match (kind, asked) {
        (OrderType::Market, None | Some("IOC")) => Ok(TimeInForce::Ioc),
        (OrderType::Market, Some(_)) => Err(conflict(
            NAME,
            "a market order is IOC: send that or leave it out",
        )),
        (_, None | Some("GTC")) => Ok(TimeInForce::Gtc),
        (kind, Some(_)) if kind.is_market() => Err(conflict(
            NAME,
            "an order that waits for its trigger and then trades at any price is GTC",
        )),
        (_, Some("IOC")) => Ok(TimeInForce::Ioc),
        (_, Some("FOK")) => Ok(TimeInForce::Fok),
        (_, Some(_)) => expires
            .and_then(Time::from_millis)
            .map(|expires| TimeInForce::Gtd { expires })
            .ok_or_else(|| missing("expires", "a GTD order needs its end, in milliseconds")),
    }
}

fn size(
    fields: &Fields<'_>,
    instrument: &Instrument,
    kind: OrderType,
) -> Result<Size, Box<Problem>> {
    let quantity = grid::quantity(fields, "quantity", instrument)?;
    let quote = fields.number("quote_quantity")?;
    if fields.flag("close_position")? {
        if !kind.is_market() {
            return Err(conflict(
                "close_position",
                "a position is closed at the market: send type market, stop_market, take_profit_market or trailing_stop",
            ));
        }
        return match (quantity, quote) {
            (Some(_), _) => Err(conflict("quantity", "close_position means all of it")),
            (_, Some(_)) => Err(conflict("quote_quantity", "close_position means all of it")),
            (None, None) => Ok(Size::Position),
        };
    }
    match (quantity, quote) {
        (Some(_), Some(_)) => Err(conflict(
            "quote_quantity",
            "quantity and quote_quantity are both given",
        )
        .hint("send one of them")),
        (Some(qty), None) => Ok(Size::Base(qty)),
        (None, Some(text)) => {
            let amount = grid::exact("quote_quantity", &text, Money::SCALE)?;
            Ok(Size::Quote(Money(amount)))
        }
        (None, None) => Err(missing(
            "quantity",
            "say how much, in the base asset, or send quote_quantity or close_position",
        )),
    }
}

fn client_order_id(fields: &Fields<'_>) -> Result<Option<ClientOrderId>, Box<Problem>> {
    let Some(id) = fields.text("client_order_id")? else {
        return Ok(None);
    };
    let legal = "1 to 36 letters, digits, hyphens or underscores";
    id.parse()
        .map(Some)
        .map_err(|_| invalid("client_order_id", &id, legal))
}
