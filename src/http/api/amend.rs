//! Changing an order.

use hyper::StatusCode;
use hyper::body::Bytes;

use super::grid;
use super::orders::{
    Told, already_done, found_as, impossible, lookup, path_id, tell, unknown_order,
};
use crate::http::body::{Fields, missing};
use crate::http::problem::{Code, Problem};
use crate::http::routes::{Answering, Call};
use crate::kernel::event::{CommandKind, Outcome};

/// What can be changed.
pub(in crate::http) const FIELDS: &[&str] = &["price", "stop_price", "quantity"];

/// `PATCH /api/v1/orders/{id}`: answers when the change is on its way; what became of it is in the
/// order.
pub(in crate::http) fn amend(call: Call, body: Bytes) -> Answering {
    Box::pin(async move {
        let id = path_id(&call)?;
        let order = lookup(call.app(), id).ok_or_else(|| unknown_order(&call.arg))?;
        let published = call
            .app()
            .published(order.instrument)
            .ok_or_else(|| unknown_order(&call.arg))?;
        let instrument = published.instrument.load();
        let fields = Fields::parse(&body, FIELDS)?;
        let price = grid::price(&fields, "price", &instrument)?;
        let trigger = grid::price(&fields, "stop_price", &instrument)?;
        let qty = grid::quantity(&fields, "quantity", &instrument)?;
        drop(instrument);
        if price.is_none() && trigger.is_none() && qty.is_none() {
            return Err(missing(
                "quantity",
                "say what to change: price, stop_price or quantity",
            ));
        }
        let wish = CommandKind::Amend {
            order: id,
            price,
            trigger,
            qty,
        };
        match tell(call.app(), wish).await? {
            Told::Outcome(Outcome::Amending(id)) => found_as(&call, id, StatusCode::ACCEPTED).await,
            Told::Nothing(_) => found_as(&call, id, StatusCode::ACCEPTED).await,
            Told::Outcome(Outcome::NotAmendable(id, why)) => Err(Problem::new(
                Code::NotAmendable,
                format!("order {id} cannot be changed: {why}"),
            )
            .member("order_id", id.to_string())
            .member("reason", why)
            .hint("read the order; one that is on its way can be changed a moment later")),
            Told::Outcome(Outcome::AlreadyDone(id)) => Err(already_done(&call, id, "change").await),
            Told::Outcome(Outcome::NotFound) => Err(unknown_order(&call.arg)),
            Told::Outcome(Outcome::Refused(refusal)) => Err(Problem::refused(refusal)),
            Told::Outcome(
                outcome @ (Outcome::Placed(_)
                | Outcome::Duplicate(_)
                | Outcome::Conflict(_)
                | Outcome::Cancelling(_)
                | Outcome::Unfit(_)
                | Outcome::Done),
            ) => Err(impossible(&outcome)),
        }
    })
}
