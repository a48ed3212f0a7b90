//! An order from its JSON to an [`OrderSpec`]: everything that can be wrong with its text is found
//! here; what needs the market or the account is risk's to judge.

use hyper::StatusCode;

use crate::http::body::{Fields, invalid, missing};
use crate::http::decimal::{self, DecimalError, Neighbours, Scaled};
use crate::http::problem::{Code, Problem};
use crate::http::state::App;
use crate::kernel::orders::{OrderSpec, OrderType, Origin, Size, TimeInForce};
use crate::kernel::types::{Instrument, Money, Price, Qty, Scale, Side, format_fixed};

/// Every field of the contract.
const FIELDS: &[&str] = &[
    "symbol",
    "side",
    "type",
    "quantity",
    "quote_quantity",
    "price",
    "stop_price",
    "trail_percent",
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

/// Fields of the contract that this build refuses.
const FIELDS_UNSUPPORTED: &[&str] = &[
    "stop_price",
    "trail_percent",
    "expires",
    "leverage",
    "trigger_by",
    "take_profit",
    "stop_loss",
    "oco",
    "strategy",
];

const TYPES: &[&str] = &[
    "market",
    "limit",
    "stop_market",
    "stop_limit",
    "take_profit_market",
    "take_profit_limit",
    "trailing_stop",
];

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
    let side = match fields.one_of("side", &["buy", "sell"])? {
        Some("buy") => Side::Buy,
        Some(_) => Side::Sell,
        None => return Err(missing("side", "say buy or sell")),
    };
    let kind = order_type(&fields, &instrument)?;
    let post_only = fields.flag("post_only")?;
    let time_in_force = time_in_force(&fields, kind)?;
    if post_only && (kind == OrderType::Market || time_in_force != TimeInForce::Gtc) {
        return Err(invalid(
            "post_only",
            "true",
            "false unless the order is a limit order that may rest (GTC)",
        ));
    }
    Ok(OrderSpec {
        instrument: id,
        side,
        kind,
        size: size(&fields, &instrument)?,
        time_in_force,
        post_only,
        reduce_only: fields.flag("reduce_only")?,
        origin: Origin::Operator,
        client_order_id: client_order_id(&fields)?,
    })
}

fn refuse_unsupported(fields: &Fields<'_>) -> Result<(), Box<Problem>> {
    if let Some(name) = fields.names().find(|n| FIELDS_UNSUPPORTED.contains(n)) {
        return Err(unsupported(name, &format!("{name} is not supported yet")));
    }
    if fields.flag("close_position")? {
        return Err(unsupported(
            "close_position",
            "close_position is not supported yet",
        ));
    }
    if let Some(side @ ("long" | "short")) =
        fields.one_of("position_side", &["both", "long", "short"])?
    {
        return Err(unsupported(
            "position_side",
            &format!("position_side {side} is not supported yet, only both"),
        ));
    }
    match fields.text("account")?.as_deref() {
        None | Some("default") => Ok(()),
        Some(_) => Err(unsupported(
            "account",
            "other accounts than default are not supported yet",
        )),
    }
}

fn unsupported(field: &'static str, detail: &str) -> Box<Problem> {
    Problem::new(Code::Unsupported, detail)
        .member("field", field)
        .hint(
            "market and limit orders with GTC, IOC or FOK, post_only and reduce_only are supported",
        )
}

fn order_type(fields: &Fields<'_>, instrument: &Instrument) -> Result<OrderType, Box<Problem>> {
    let price = fields.number("price")?;
    match fields.one_of("type", TYPES)? {
        Some("market") if price.is_some() => Err(Problem::new(
            Code::InvalidValue,
            "a market order has no price",
        )
        .member("field", "price")
        .hint("leave price out, or send type limit")),
        Some("market") => Ok(OrderType::Market),
        Some("limit") => {
            let text = price.ok_or_else(|| missing("price", "a limit order needs one"))?;
            let price = on_grid("price", &text, &Grid::price(instrument))?;
            Ok(OrderType::Limit {
                price: Price(price),
            })
        }
        Some(other) => Err(unsupported(
            "type",
            &format!("orders of type {other} are not supported yet"),
        )),
        None => Err(missing("type", "say market or limit")),
    }
}

fn time_in_force(fields: &Fields<'_>, kind: OrderType) -> Result<TimeInForce, Box<Problem>> {
    let name = "time_in_force";
    let asked = fields.one_of(name, &["GTC", "IOC", "FOK", "GTD"])?;
    match (kind, asked) {
        (_, Some("GTD")) => Err(unsupported(name, "time_in_force GTD is not supported yet")),
        (OrderType::Market, None | Some("IOC")) => Ok(TimeInForce::Ioc),
        (OrderType::Market, Some(other)) => {
            Err(invalid(name, other, "IOC or left out for a market order"))
        }
        (OrderType::Limit { .. }, Some("IOC")) => Ok(TimeInForce::Ioc),
        (OrderType::Limit { .. }, Some("FOK")) => Ok(TimeInForce::Fok),
        (OrderType::Limit { .. }, _) => Ok(TimeInForce::Gtc),
    }
}

fn size(fields: &Fields<'_>, instrument: &Instrument) -> Result<Size, Box<Problem>> {
    match (fields.number("quantity")?, fields.number("quote_quantity")?) {
        (Some(_), Some(_)) => Err(Problem::new(
            Code::InvalidValue,
            "quantity and quote_quantity are both given",
        )
        .member("field", "quote_quantity")
        .hint("send one of them")),
        (Some(text), None) => {
            let qty = on_grid("quantity", &text, &Grid::qty(instrument))?;
            Ok(Size::Base(Qty(qty)))
        }
        (None, Some(text)) => {
            let amount = positive("quote_quantity", &text, Money::SCALE)?;
            if !amount.exact {
                return Err(invalid(
                    "quote_quantity",
                    &text,
                    "an amount with 16 decimal digits at most",
                ));
            }
            Ok(Size::Quote(Money(amount.magnitude)))
        }
        (None, None) => Err(missing(
            "quantity",
            "say how much, in the base asset, or send quote_quantity",
        )),
    }
}

fn client_order_id(fields: &Fields<'_>) -> Result<Option<String>, Box<Problem>> {
    let legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-');
    match fields.text("client_order_id")? {
        Some(id) if id.is_empty() || id.len() > 36 || !id.bytes().all(legal) => Err(invalid(
            "client_order_id",
            &id,
            "1 to 36 letters, digits, hyphens or underscores",
        )),
        id => Ok(id),
    }
}

/// A grid that a number has to be on.
struct Grid {
    code: Code,
    rule: &'static str,
    scale: Scale,
    step: i64,
}

impl Grid {
    fn price(instrument: &Instrument) -> Self {
        Self {
            code: Code::OffTick,
            rule: "tick",
            scale: instrument.price_scale,
            step: instrument.tick.0,
        }
    }

    fn qty(instrument: &Instrument) -> Self {
        Self {
            code: Code::OffLot,
            rule: "lot",
            scale: instrument.qty_scale,
            step: instrument.lot.0,
        }
    }

    fn text(&self, value: i128) -> String {
        format_fixed(value, self.scale.digits()).to_string()
    }
}

fn on_grid(name: &'static str, text: &str, grid: &Grid) -> Result<i64, Box<Problem>> {
    let number = positive(name, text, grid.scale.digits())?;
    let value = number
        .on_grid(grid.step)
        .map_err(|neighbours| off_grid(name, text, grid, neighbours))?;
    i64::try_from(value).map_err(|_| invalid(name, text, "a smaller number"))
}

fn positive(name: &'static str, text: &str, scale: u8) -> Result<Scaled, Box<Problem>> {
    let number = decimal::parse(text, scale).map_err(|error| match error {
        DecimalError::Syntax => invalid(name, text, "a decimal number, such as 61602.01"),
        DecimalError::Range => invalid(name, text, "a smaller number with fewer digits"),
    })?;
    if number.is_positive() {
        Ok(number)
    } else {
        Err(invalid(name, text, "greater than zero"))
    }
}

fn off_grid(
    name: &'static str,
    text: &str,
    grid: &Grid,
    Neighbours { below, above }: Neighbours,
) -> Box<Problem> {
    let step = grid.text(i128::from(grid.step));
    let above = grid.text(above);
    let problem = Problem::new(
        grid.code,
        format!(
            "{name} {text} is not a multiple of the {} {step}",
            grid.rule
        ),
    )
    .member("field", name)
    .member("rule", grid.rule)
    .member("limit", step)
    .member("value", text);
    if below == 0 {
        problem
            .hint(format!("the nearest is {above}"))
            .member("above", above)
    } else {
        let below = grid.text(below);
        problem
            .hint(format!("the nearest are {below} and {above}"))
            .member("below", below)
            .member("above", above)
    }
}
