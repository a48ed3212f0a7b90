//! An order as JSON.

use crate::http::state::App;
use crate::json::Json;
use crate::kernel::orders::Order;
use crate::kernel::snapshot::average_price;
use crate::kernel::types::{MICROSECOND, Money, Qty};

/// Writes an order. Orders of instruments that are gone cannot exist: ids are fixed for a run.
pub(super) fn write(json: &mut Json, app: &App, order: &Order) {
    let Some(published) = app.published(order.spec.instrument) else {
        json.null();
        return;
    };
    let instrument = published.instrument.load();
    let spec = &order.spec;
    let remaining = order.qty.checked_sub(order.filled).unwrap_or(Qty::ZERO);
    let average = average_price(order.filled_notional, order.filled.0, &instrument);
    let latency = order
        .answered
        .map(|at| at.since(order.created) / MICROSECOND);
    json.object(|j| {
        j.key("order_id").id(order.id);
        j.key("client_order_id")
            .text_or_null(spec.client_order_id.as_deref());
        j.key("venue_order_ids").array(|j| {
            for id in &order.venue_order_ids {
                j.text(id);
            }
        });
        j.key("account").text("default");
        j.key("strategy").text_or_null(spec.origin.strategy());
        j.key("symbol").text(&instrument.name.symbol);
        j.key("venue").text(instrument.name.venue.name());
        j.key("side").text(spec.side.name());
        j.key("type").text(spec.kind.name());
        j.key("quantity").qty(order.qty, &instrument);
        j.key("price").price_or_null(spec.kind.limit(), &instrument);
        j.key("stop_price").null();
        j.key("time_in_force").text(spec.time_in_force.name());
        j.key("post_only").bool(spec.post_only);
        j.key("reduce_only").bool(spec.reduce_only);
        j.key("filled_quantity").qty(order.filled, &instrument);
        j.key("avg_fill_price")
            .money_or_null(average.filter(|price| *price != Money::ZERO));
        j.key("remaining_quantity").qty(remaining, &instrument);
        j.key("fee").money(order.fee);
        j.key("status").text(order.state.name());
        j.key("reason")
            .text_or_null(Some(order.reason.as_str()).filter(|r| !r.is_empty()));
        j.key("disputed").bool(order.disputed);
        j.key("created_at").int(order.created.millis());
        j.key("updated_at").int(order.updated.millis());
        j.key("latency_us");
        match latency {
            Some(us) => j.int(us),
            None => j.null(),
        }
    });
}
