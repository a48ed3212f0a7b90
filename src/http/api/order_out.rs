//! An order as JSON.

use crate::http::state::App;
use crate::json::Json;
use crate::kernel::event::{FeeAsset, OrderChange};
use crate::kernel::orders::{
    ClientOrderId, Link, Order, OrderId, OrderType, Role, TimeInForce, TriggerBy,
};
use crate::kernel::snapshot::average_price;
use crate::kernel::types::{MICROSECOND, Money, Qty, Rate};

/// Writes an order. Orders of instruments that are gone cannot exist: ids are fixed for a run.
pub(in crate::http) fn write(json: &mut Json, app: &App, order: &Order) {
    let Some(published) = app.published(order.instrument) else {
        json.null();
        return;
    };
    let instrument = published.instrument.load();
    let kind = order.kind();
    let kernel = app.state.published.kernel.load();
    let strategy = order.origin.strategy();
    let remaining = order.qty.checked_sub(order.filled).unwrap_or(Qty::ZERO);
    let average = average_price(order.filled_notional, order.filled.0, &instrument);
    let latency = order
        .answered()
        .map(|at| at.since(order.created) / MICROSECOND);
    let (trail, activation) = match kind {
        OrderType::TrailingStop {
            callback,
            activation,
            ..
        } => (Some(callback), activation),
        _ => (None, None),
    };
    let expires = match order.time_in_force() {
        TimeInForce::Gtd { expires } => Some(expires),
        _ => None,
    };
    let parent = match order.link() {
        Link::Exit { parent, .. } => Some(*parent),
        _ => None,
    };
    json.object(|j| {
        j.key("order_id").id(order.id);
        j.key("client_order_id")
            .text_or_null(order.client_order_id().map(ClientOrderId::as_str));
        j.key("venue_order_ids").array(|j| {
            for id in order.venue_order_ids() {
                j.id(id);
            }
        });
        j.key("account").text("default");
        j.key("strategy")
            .text_or_null(strategy.and_then(|id| kernel.strategy_name(id)));
        j.key("symbol").text(&instrument.name.symbol);
        j.key("venue").text(instrument.name.venue.name());
        j.key("side").text(order.side.name());
        j.key("position_side").text(order.position_side.name());
        j.key("type").text(kind.name());
        j.key("quantity").qty(order.qty, &instrument);
        j.key("price").price_or_null(kind.limit(), &instrument);
        j.key("stop_price")
            .price_or_null(kind.trigger().map(|t| t.price), &instrument);
        j.key("trigger_by")
            .text_or_null(trigger_by(kind).map(TriggerBy::name));
        j.key("trail_percent");
        match trail {
            // A share of 1 is 100 percent.
            Some(share) => j.decimal(i128::from(share.0), Rate::SCALE - 2),
            None => j.null(),
        }
        j.key("activation_price")
            .price_or_null(activation, &instrument);
        j.key("triggered").bool(order.triggered);
        j.key("time_in_force").text(order.time_in_force().name());
        j.key("expires");
        match expires {
            Some(expires) => j.int(expires.millis()),
            None => j.null(),
        }
        j.key("post_only").bool(order.post_only);
        j.key("reduce_only").bool(order.reduce_only);
        j.key("close_position").bool(order.closes_position());
        j.key("parent_order_id");
        match parent {
            Some(parent) => j.id(parent),
            None => j.null(),
        }
        j.key("exit_order_ids").array(|j| {
            for id in exits(app, order) {
                j.id(id);
            }
        });
        j.key("filled_quantity").qty(order.filled, &instrument);
        j.key("avg_fill_price")
            .money_or_null(average.filter(|price| *price != Money::ZERO));
        j.key("remaining_quantity").qty(remaining, &instrument);
        j.key("fee").money(order.fee);
        j.key("status").text(order.state.name());
        j.key("reason")
            .text_or_null(Some(order.reason()).filter(|r| !r.is_empty()));
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

/// Which price sets it off.
fn trigger_by(kind: OrderType) -> Option<TriggerBy> {
    match kind {
        OrderType::TrailingStop { by, .. } => Some(by),
        _ => kind.trigger().map(|trigger| trigger.by),
    }
}

/// The orders that were placed for it.
fn exits(app: &App, order: &Order) -> Vec<OrderId> {
    if !matches!(order.link(), Link::Oco(_) | Link::Bracket(_)) {
        return Vec::new();
    }
    let exits = &app.state.published.exits;
    Role::ALL
        .into_iter()
        .filter_map(|role| exits.get(&(order.id, role)).map(|entry| *entry.value()))
        .collect()
}

/// Writes the execution that a change of an order is of; `null` if it is of none.
pub(in crate::http) fn write_fill(json: &mut Json, app: &App, change: &OrderChange) {
    let order = &change.order;
    let (Some(fill), Some(published)) = (&change.fill, app.published(order.instrument)) else {
        json.null();
        return;
    };
    let instrument = published.instrument.load();
    let kernel = app.state.published.kernel.load();
    let strategy = order.origin.strategy();
    // Shown before the change is told; gone only when thousands came behind it.
    let booked = app.state.published.fills.get(&change.seq);
    let booked = booked.as_ref().map(|entry| entry.value().as_ref());
    json.object(|j| {
        j.key("fill_id").id(change.seq.0);
        j.key("order_id").id(order.id);
        j.key("trade_id").id(fill.trade_id);
        j.key("strategy")
            .text_or_null(strategy.and_then(|id| kernel.strategy_name(id)));
        j.key("symbol").text(&instrument.name.symbol);
        j.key("venue").text(instrument.name.venue.name());
        j.key("side").text(order.side.name());
        j.key("position_side").text(order.position_side.name());
        j.key("price").price(fill.price, &instrument);
        j.key("quantity").qty(fill.qty, &instrument);
        j.key("notional").money_or_null(booked.map(|b| b.notional));
        j.key("fee").money(fill.fee);
        j.key("fee_asset").text(match &fill.paid_in {
            FeeAsset::Quote => &instrument.quote,
            FeeAsset::Base(_) => &instrument.base,
            FeeAsset::Other(other) => &other.asset,
        });
        j.key("fee_amount");
        match &fill.paid_in {
            FeeAsset::Quote => j.money(fill.fee),
            FeeAsset::Base(qty) => j.qty(*qty, &instrument),
            FeeAsset::Other(other) => j.money(other.amount),
        }
        j.key("liquidity")
            .text(if fill.maker { "maker" } else { "taker" });
        j.key("liquidation").bool(false);
        j.key("realized_pnl")
            .money_or_null(booked.and_then(|b| b.realized));
        let time = booked.map_or(change.time, |b| b.time);
        j.key("timestamp").int(time.millis());
    });
}
