//! Executions of our orders, and liquidations.

use std::ops::Bound;

use super::table::{Cell, Wanted, answer};
use crate::http::params::{FILLS_LIMIT, ID_CURSOR, ORDER_ID, SINCE, STRATEGY, SYMBOL};
use crate::http::routes::{Answer, Call};
use crate::kernel::event::{FeeAsset, Seq};
use crate::kernel::types::{Instrument, Money};

/// `GET /api/v1/fills`: newest first, as many as the ledger keeps.
pub(in crate::http) fn fills(call: &Call) -> Answer {
    let (app, query) = (call.app(), &call.query);
    let wanted = Wanted::of(call, &FILLS_LIMIT)?;
    let symbol = query
        .get(&SYMBOL)
        .map(|symbol| app.instrument(symbol).map(|(id, _)| id))
        .transpose()?;
    let kernel = app.state.published.kernel.load();
    let strategy = query
        .get(&STRATEGY)
        .map(|name| super::order_in::strategy(&kernel, name))
        .transpose()?;
    let order = query.id(&ORDER_ID)?;
    let since = query.millis(&SINCE)?;
    let end = match query.id(&ID_CURSOR)? {
        Some(id) => Bound::Excluded(Seq(id)),
        None => Bound::Unbounded,
    };
    let fills = app.state.published.fills.range((Bound::Unbounded, end));
    let fills = fills
        .rev()
        .map(|entry| std::sync::Arc::clone(entry.value()))
        .filter(|fill| {
            symbol.is_none_or(|id| fill.instrument == id)
                && strategy.is_none_or(|id| fill.strategy == Some(id))
                && order.is_none_or(|id| fill.order.is_some_and(|o| o.0 == id))
                && since.is_none_or(|ms| fill.time.millis() >= ms)
        })
        // Ids of instruments are fixed for a run, so none is passed over.
        .filter_map(|fill| Some((app.published(fill.instrument)?.instrument.load_full(), fill)));
    let columns = [
        "fill_id",
        "order_id",
        "trade_id",
        "strategy",
        "symbol",
        "venue",
        "side",
        "position_side",
        "price",
        "quantity",
        "notional",
        "fee",
        "fee_asset",
        "fee_amount",
        "liquidity",
        "liquidation",
        "realized_pnl",
        "timestamp",
    ];
    let file = "attachment; filename=\"fills.csv\"";
    Ok(answer(
        call,
        &wanted,
        file,
        columns,
        fills,
        |(instrument, fill)| {
            let (asset, amount) = fee(&fill.paid_in, fill.fee, &instrument);
            let strategy = fill.strategy.and_then(|id| kernel.strategy_name(id));
            let text = |text: &str| Cell::Text(text.to_owned());
            let cells = [
                Cell::Id(fill.seq.0),
                Cell::of(fill.order, |id| Cell::Id(id.0)),
                Cell::Id(fill.trade_id),
                Cell::of(strategy, text),
                text(&instrument.name.symbol),
                text(instrument.name.venue.name()),
                text(fill.side.name()),
                text(fill.position_side.name()),
                Cell::Decimal(i128::from(fill.price.0), instrument.price_scale.digits()),
                Cell::Decimal(i128::from(fill.qty.0), instrument.qty_scale.digits()),
                Cell::money(fill.notional),
                Cell::money(fill.fee),
                text(asset),
                amount,
                text(if fill.maker { "maker" } else { "taker" }),
                Cell::Bool(fill.order.is_none()),
                Cell::of(fill.realized, Cell::money),
                Cell::Int(fill.time.millis()),
            ];
            (cells, fill.seq.0.to_string())
        },
    ))
}

/// The asset that a fee was paid in, and how much of it.
fn fee<'a>(paid_in: &'a FeeAsset, worth: Money, instrument: &'a Instrument) -> (&'a str, Cell) {
    match paid_in {
        FeeAsset::Quote => (&instrument.quote, Cell::money(worth)),
        FeeAsset::Base(qty) => {
            let scale = instrument.qty_scale.digits();
            (&instrument.base, Cell::Decimal(i128::from(qty.0), scale))
        }
        FeeAsset::Other(other) => (&other.asset, Cell::money(other.amount)),
    }
}
