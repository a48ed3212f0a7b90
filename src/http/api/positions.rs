//! Positions: what there is, closing one, and how those of an instrument are margined.

use std::collections::BTreeMap;

use hyper::StatusCode;
use hyper::body::Bytes;

use super::market::names;
use super::orders::{Told, impossible, placed, tell, unknown_status};
use super::{order_in, page};
use crate::http::body::{Fields, missing};
use crate::http::params::{CURSOR, LIMIT, POSITION_SIDE, SYMBOL};
use crate::http::problem::{Code, Problem};
use crate::http::query::invalid;
use crate::http::reply::Reply;
use crate::http::routes::{Answer, Answering, Call};
use crate::http::state::App;
use crate::json::Json;
use crate::kernel::event::{CommandKind, Outcome};
use crate::kernel::orders::PositionSide;
use crate::kernel::portfolio::MarginMode;
use crate::kernel::snapshot::{PositionView, average_price};
use crate::kernel::types::{Instrument, InstrumentId};

/// What stands between an instrument and a position side in a cursor.
const SIDE_MARK: char = '@';
/// More than any venue gives.
const LEVERAGE_MAX: i64 = 1_000;

/// `GET /api/v1/positions`.
pub(in crate::http) fn positions(call: &Call) -> Answer {
    let app = call.app();
    let limit = call.query.limit(&LIMIT)?;
    let wanted = call
        .query
        .get(&SYMBOL)
        .map(|symbol| app.instrument(symbol).map(|(id, _)| id))
        .transpose()?;
    let after = match call.query.get(&CURSOR) {
        Some(text) => Some(
            cursor(app, text)
                .ok_or_else(|| invalid(&CURSOR, text, "a next_cursor of this list"))?,
        ),
        None => None,
    };
    let account = app.state.published.account.load();
    let in_order: BTreeMap<(InstrumentId, PositionSide), _> = account
        .positions
        .iter()
        .filter(|p| wanted.is_none_or(|id| p.instrument == id))
        .filter(|p| after.is_none_or(|after| (p.instrument, p.position_side) > after))
        .filter_map(|p| {
            let published = app.published(p.instrument)?;
            Some(((p.instrument, p.position_side), (p, published)))
        })
        .collect();
    let mut json = Json::new(call.strings);
    page(
        &mut json,
        limit,
        in_order.into_values(),
        |j, (position, published)| {
            let instrument = published.instrument.load();
            write(j, position, &instrument);
            let side = position.position_side.name();
            format!("{}{SIDE_MARK}{side}", instrument.name)
        },
    );
    Ok(Reply::json(json))
}

/// The position that a page ended with.
fn cursor(app: &App, text: &str) -> Option<(InstrumentId, PositionSide)> {
    let (name, side) = text.rsplit_once(SIDE_MARK)?;
    let (id, _) = app.instrument(name).ok()?;
    let side = ["both", "long", "short"].into_iter().find(|s| *s == side);
    side.map(|side| (id, order_in::position_side(Some(side))))
}

fn write(json: &mut Json, position: &PositionView, instrument: &Instrument) {
    json.object(|j| {
        names(j, instrument);
        j.key("position_side").text(position.position_side.name());
        j.key("side").text(match position.qty {
            0 => "flat",
            1.. => "long",
            _ => "short",
        });
        j.key("quantity")
            .decimal(i128::from(position.qty), instrument.qty_scale.digits());
        j.key("entry_price")
            .money_or_null(average_price(position.cost, position.qty, instrument));
        j.key("mark_price").price_or_null(position.mark, instrument);
        j.key("liquidation_price")
            .price_or_null(position.liquidation_price, instrument);
        j.key("cost").money(position.cost);
        j.key("unrealized_pnl").money(position.unrealized_pnl);
        j.key("realized_pnl").money(position.realized_pnl);
        j.key("fees").money(position.fees);
        j.key("funding").money(position.funding);
        j.key("leverage");
        match position.leverage {
            Some(leverage) => j.int(leverage),
            None => j.null(),
        }
        j.key("margin_mode")
            .text_or_null(position.margin_mode.map(MarginMode::name));
        j.key("margin").money(position.margin);
    });
}

/// `POST /api/v1/positions/{symbol}/close`: cancels its open orders, then closes it at the market.
pub(in crate::http) fn close(call: Call) -> Answering {
    Box::pin(async move {
        let (instrument, _) = call.app().instrument(&call.arg)?;
        let position_side = order_in::position_side(call.query.choice(&POSITION_SIDE)?);
        let wish = CommandKind::Close {
            instrument,
            position_side,
        };
        match tell(call.app(), wish).await? {
            Told::Outcome(Outcome::Placed(id)) => placed(&call, id).await,
            Told::Outcome(Outcome::Cancelling(count)) => {
                let mut json = Json::new(call.strings);
                json.object(|j| {
                    j.key("cancelling").int(count);
                    j.key("reason")
                        .text("its open orders are cancelled first; then it is closed");
                });
                Ok(Reply::json(json).status(StatusCode::ACCEPTED))
            }
            Told::Outcome(Outcome::NotFound) => Err(Problem::new(
                Code::NoPosition,
                format!(
                    "there is no position ({}) in {}",
                    position_side.name(),
                    call.app().name_of(instrument)
                ),
            )
            .hint("GET /api/v1/positions lists them")),
            Told::Outcome(Outcome::Refused(refusal)) => Err(Problem::refused(refusal)),
            Told::Outcome(
                outcome @ (Outcome::Duplicate(_)
                | Outcome::Conflict(_)
                | Outcome::Amending(_)
                | Outcome::NotAmendable(..)
                | Outcome::AlreadyDone(_)
                | Outcome::Unfit(_)
                | Outcome::Done),
            ) => Err(impossible(&outcome)),
            Told::Nothing(why) => {
                let reason = format!("{why}; list /api/v1/positions");
                Ok(unknown_status(&reason).status(StatusCode::ACCEPTED))
            }
        }
    })
}

/// `POST /api/v1/positions/{symbol}/margin`.
pub(in crate::http) fn margin(call: Call, body: Bytes) -> Answering {
    Box::pin(async move {
        let (id, published) = call.app().instrument(&call.arg)?;
        let fields = Fields::parse(&body, &["leverage", "mode"])?;
        let leverage = fields
            .integer("leverage", 1, LEVERAGE_MAX)?
            .and_then(|l| u16::try_from(l).ok())
            .ok_or_else(|| {
                missing(
                    "leverage",
                    "say how often the margin is to cover it, from 1",
                )
            })?;
        let mode = match fields.one_of("mode", &["cross", "isolated"])? {
            Some("cross") => MarginMode::Cross,
            Some(_) => MarginMode::Isolated,
            None => return Err(missing("mode", "say cross or isolated")),
        };
        let wish = CommandKind::Margin {
            instrument: id,
            leverage,
            mode,
        };
        match tell(call.app(), wish).await? {
            Told::Outcome(Outcome::Done) => {
                let mut json = Json::new(call.strings);
                json.object(|j| {
                    names(j, &published.instrument.load());
                    j.key("leverage").int(leverage);
                    j.key("margin_mode").text(mode.name());
                });
                Ok(Reply::json(json))
            }
            Told::Outcome(Outcome::Refused(refusal)) => Err(Problem::refused(refusal)),
            Told::Outcome(outcome) => Err(impossible(&outcome)),
            Told::Nothing(why) => Err(Problem::new(Code::NoAnswer, why)
                .hint("it may still be carried out; the same again does no harm")),
        }
    })
}
