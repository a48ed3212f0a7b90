//! Placing, listing and cancelling orders.

use std::ops::Bound;
use std::str::FromStr;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue, LOCATION, RETRY_AFTER};

use super::{order_in, order_out, page};
use crate::http::params::{
    CLIENT_ORDER_ID, ID_CURSOR, LIMIT, SIDE, SINCE, STATUS, STRATEGY, SYMBOL, WAIT,
};
use crate::http::problem::{Code, Problem};
use crate::http::reply::Reply;
use crate::http::routes::{Answer, Answering, Call};
use crate::http::state::App;
use crate::json::Json;
use crate::kernel::event::{CancelFilter, CommandKind, Outcome, Wait};
use crate::kernel::orders::{ClientOrderId, Order, OrderId, OrderState};
use crate::kernel::snapshot::OrderView;

/// Marks the answer to a repeated request: the order was placed by an earlier one.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replay");

/// What became of a command as far as the caller can be told.
pub(super) enum Told {
    /// The kernel answered.
    Outcome(Outcome),
    /// It did not, for this reason. The command may still be carried out.
    Nothing(String),
}

/// Sends a command and waits for its outcome.
pub(super) async fn tell(app: &App, kind: CommandKind) -> Result<Told, Box<Problem>> {
    let outcome = app.state.kernel.command(kind).map_err(|busy| {
        Problem::new(Code::Busy, busy.to_string())
            .hint("nothing was done; send the same again in a second")
            .header(RETRY_AFTER, HeaderValue::from_static("1"))
    })?;
    let patience = app.config.answer_timeout;
    Ok(match tokio::time::timeout(patience, outcome).await {
        Ok(Ok(outcome)) => Told::Outcome(outcome),
        Ok(Err(_)) => Told::Nothing("the daemon is shutting down".to_owned()),
        Err(_) if patience.as_secs() > 0 => {
            Told::Nothing(format!("no answer within {} s", patience.as_secs()))
        }
        Err(_) => Told::Nothing(format!("no answer within {} ms", patience.as_millis())),
    })
}

/// The problem of an outcome that this command cannot have.
pub(super) fn impossible(outcome: &Outcome) -> Box<Problem> {
    tracing::error!(?outcome, "an outcome that this command cannot have");
    Problem::new(
        Code::Internal,
        "the kernel gave an answer that does not fit the command",
    )
    .hint("read the state before sending anything again")
}

/// `POST /api/v1/orders`.
pub(in crate::http) fn place(call: Call, body: Bytes) -> Answering {
    Box::pin(async move {
        let app = call.app();
        let wait = match call.query.choice(&WAIT)? {
            Some("journal") => Wait::Journal,
            _ => Wait::Venue,
        };
        let spec = order_in::parse(app, &body)?;
        let key = spec.client_order_id;
        let order = Arc::new(spec);
        match tell(app, CommandKind::Place { order, wait }).await? {
            Told::Outcome(Outcome::Placed(id)) => placed(&call, id).await,
            Told::Outcome(Outcome::Duplicate(id)) => {
                let mut first = found_as(&call, id, StatusCode::OK).await?;
                first.header = Some((REPLAYED, HeaderValue::from_static("true")));
                Ok(first)
            }
            Told::Outcome(Outcome::Conflict(id)) => Err(Problem::new(
                Code::IdempotencyConflict,
                format!("this client_order_id belongs to order {id}, which was asked for with another body"),
            )
            .member("field", "client_order_id")
            .member("order_id", id.to_string())
            .hint("use a new client_order_id for a new order")),
            Told::Outcome(Outcome::Refused(refusal)) => Err(Problem::refused(refusal)),
            Told::Outcome(
                outcome @ (Outcome::Cancelling(_)
                | Outcome::AlreadyDone(_)
                | Outcome::NotFound
                | Outcome::Amending(_)
                | Outcome::NotAmendable(..)
                | Outcome::Unfit(_)
                | Outcome::Done),
            ) => Err(impossible(&outcome)),
            Told::Nothing(why) => Ok(unanswered(&call, key.as_ref(), &why)),
        }
    })
}

/// The answer about an order that was placed.
pub(super) async fn placed(call: &Call, id: OrderId) -> Answer {
    let Some((order, durable)) = settled(call.app(), id).await else {
        return Ok(unknown_status("the order is not published yet").status(StatusCode::ACCEPTED));
    };
    match order.state {
        _ if !durable => Ok(located(call, &order, StatusCode::ACCEPTED)),
        OrderState::Rejected => Err(Problem::new(
            Code::VenueRejected,
            format!("the venue rejected order {id}: {}", order.reason()),
        )
        .member("order_id", id.to_string())
        .json("order", document(call, &order).into_bytes())),
        OrderState::Unknown => Ok(located(call, &order, StatusCode::ACCEPTED)),
        _ => Ok(located(call, &order, StatusCode::CREATED)),
    }
}

/// The answer when the kernel gave none: what is known of the order by its key.
fn unanswered(call: &Call, key: Option<&ClientOrderId>, why: &str) -> Reply {
    let published = &call.app().state.published;
    let order = key
        .and_then(|key| published.client_orders.get(key))
        .and_then(|entry| lookup(call.app(), *entry.value()));
    match order {
        Some(order) => located(call, &order, StatusCode::ACCEPTED),
        None => unknown_status(&format!("{why}; list /api/v1/orders")).status(StatusCode::ACCEPTED),
    }
}

pub(super) fn unknown_status(reason: &str) -> Reply {
    let mut json = Json::new(false);
    json.object(|j| {
        j.key("status").text("unknown");
        j.key("reason").text(reason);
    });
    Reply::json(json)
}

fn located(call: &Call, order: &Order, status: StatusCode) -> Reply {
    let mut reply = Reply::json(document(call, order)).status(status);
    reply.header = HeaderValue::from_str(&format!("/api/v1/orders/{}", order.id))
        .ok()
        .map(|at| (LOCATION, at));
    reply
}

fn document(call: &Call, order: &Order) -> Json {
    let mut json = Json::new(call.strings);
    order_out::write(&mut json, call.app(), order);
    json
}

pub(super) fn lookup(app: &App, id: OrderId) -> Option<Arc<OrderView>> {
    let entry = app.state.published.orders.get(&id)?;
    Some(Arc::clone(entry.value()))
}

/// The order as it is now, and whether no crash can take that back. A command's answer is a promise, and the view
/// may be ahead of the disk: this waits for it, as long as callers wait.
async fn settled(app: &App, id: OrderId) -> Option<(Arc<OrderView>, bool)> {
    let order = lookup(app, id)?;
    let mut durable = app.state.durable.clone();
    let wait = durable.wait_for(|through| *through >= order.seq);
    let is_durable = tokio::time::timeout(app.config.answer_timeout, wait).await;
    Some((order, matches!(is_durable, Ok(Ok(_)))))
}

/// The answer of a command: the order as it is now; 202 while that is not durable.
pub(super) async fn found_as(call: &Call, id: OrderId, status: StatusCode) -> Answer {
    let Some((order, durable)) = settled(call.app(), id).await else {
        return Err(unknown_order(&id.to_string()));
    };
    let status = if durable {
        status
    } else {
        StatusCode::ACCEPTED
    };
    Ok(Reply::json(document(call, &order)).status(status))
}

pub(super) fn unknown_order(id: &str) -> Box<Problem> {
    let shown: String = id.chars().take(64).collect();
    Problem::new(Code::UnknownOrder, format!("there is no order {shown:?}"))
        .hint("GET /api/v1/orders lists orders; ?client_order_id= finds one by your own id")
}

pub(super) fn path_id(call: &Call) -> Result<OrderId, Box<Problem>> {
    u64::from_str(&call.arg)
        .map(OrderId)
        .map_err(|_| unknown_order(&call.arg))
}

/// `GET /api/v1/orders/{id}`.
pub(in crate::http) fn get(call: &Call) -> Answer {
    let id = path_id(call)?;
    match lookup(call.app(), id) {
        Some(order) => Ok(Reply::json(document(call, &order))),
        None => Err(unknown_order(&id.to_string())),
    }
}

/// `GET /api/v1/orders`.
pub(in crate::http) fn list(call: &Call) -> Answer {
    let query = &call.query;
    let limit = query.limit(&LIMIT)?;
    let since = query.millis(&SINCE)?;
    let status = query.choice(&STATUS)?;
    let symbol = query
        .get(&SYMBOL)
        .map(|symbol| call.app().instrument(symbol).map(|(id, _)| id))
        .transpose()?;
    let key = query.get(&CLIENT_ORDER_ID);
    let end = match query.id(&ID_CURSOR)? {
        Some(id) => Bound::Excluded(OrderId(id)),
        None => Bound::Unbounded,
    };
    let orders = call
        .app()
        .state
        .published
        .orders
        .range((Bound::Unbounded, end))
        .rev()
        .map(|entry| Arc::clone(entry.value()))
        .filter(|order| {
            symbol.is_none_or(|id| order.instrument == id)
                && since.is_none_or(|ms| order.created.millis() >= ms)
                && key.is_none_or(|key| {
                    order.client_order_id().map(ClientOrderId::as_str) == Some(key)
                })
                && match status {
                    None => true,
                    Some("open") => !order.state.is_terminal(),
                    Some(status) => order.state.name() == status,
                }
        });
    let mut json = Json::new(call.strings);
    page(&mut json, limit, orders, |j, order| {
        order_out::write(j, call.app(), &order);
        order.id.to_string()
    });
    Ok(Reply::json(json))
}

/// `DELETE /api/v1/orders/{id}`.
pub(in crate::http) fn cancel(call: Call) -> Answering {
    Box::pin(async move {
        let id = path_id(&call)?;
        match tell(call.app(), CommandKind::Cancel { order: id }).await? {
            Told::Outcome(Outcome::Cancelling(_) | Outcome::Done) | Told::Nothing(_) => {
                let order = settled(call.app(), id).await;
                let (order, durable) = order.ok_or_else(|| unknown_order(&call.arg))?;
                let status = if durable && order.state.is_terminal() {
                    StatusCode::OK
                } else {
                    StatusCode::ACCEPTED
                };
                Ok(Reply::json(document(&call, &order)).status(status))
            }
            Told::Outcome(Outcome::AlreadyDone(id)) => Err(already_done(&call, id, "cancel").await),
            Told::Outcome(Outcome::NotFound) => Err(unknown_order(&call.arg)),
            Told::Outcome(Outcome::Refused(refusal)) => Err(Problem::refused(refusal)),
            Told::Outcome(
                outcome @ (Outcome::Placed(_)
                | Outcome::Duplicate(_)
                | Outcome::Conflict(_)
                | Outcome::Amending(_)
                | Outcome::NotAmendable(..)
                | Outcome::Unfit(_)),
            ) => Err(impossible(&outcome)),
        }
    })
}

/// The problem of an order that has ended.
pub(super) async fn already_done(call: &Call, id: OrderId, verb: &str) -> Box<Problem> {
    let order = settled(call.app(), id).await.map(|(order, _)| order);
    let status = order.as_ref().map_or("ended", |order| order.state.name());
    let problem = Problem::new(
        Code::OrderDone,
        format!("order {id} is {status}: there is nothing left to {verb}"),
    )
    .member("order_id", id.to_string());
    match order {
        Some(order) => problem.json("order", document(call, &order).into_bytes()),
        None => problem,
    }
}

/// `DELETE /api/v1/orders`.
pub(in crate::http) fn cancel_all(call: Call) -> Answering {
    Box::pin(async move {
        let instrument = call
            .query
            .get(&SYMBOL)
            .map(|symbol| call.app().instrument(symbol).map(|(id, _)| id))
            .transpose()?;
        let filter = CancelFilter {
            instrument,
            side: order_in::side(call.query.choice(&SIDE)?),
            strategy: call
                .query
                .get(&STRATEGY)
                .map(|name| order_in::strategy(&call.app().state.published.kernel.load(), name))
                .transpose()?,
        };
        let (status, cancelling, reason) =
            match tell(call.app(), CommandKind::CancelAll(filter)).await? {
                Told::Outcome(Outcome::Cancelling(count)) => (StatusCode::OK, Some(count), None),
                Told::Outcome(Outcome::Done) => (StatusCode::OK, Some(0), None),
                Told::Outcome(Outcome::Refused(refusal)) => {
                    return Err(Problem::refused(refusal));
                }
                Told::Outcome(outcome) => return Err(impossible(&outcome)),
                Told::Nothing(why) => (
                    StatusCode::ACCEPTED,
                    None,
                    Some(format!("{why}; list /api/v1/orders?status=open")),
                ),
            };
        let mut json = Json::new(false);
        json.object(|j| {
            j.key("cancelling");
            match cancelling {
                Some(count) => j.int(count),
                None => j.null(),
            }
            j.key("reason").text_or_null(reason.as_deref());
        });
        Ok(Reply::json(json).status(status))
    })
}
