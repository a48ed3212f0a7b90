//! Positions and money.

use std::collections::BTreeMap;

use super::market::names;
use super::{LIMIT_DEFAULT, LIMIT_MAX, page};
use crate::http::query::invalid;
use crate::http::reply::Reply;
use crate::http::routes::{Answer, Call};
use crate::json::Json;
use crate::kernel::snapshot::{AccountView, average_price};
use crate::kernel::types::{InstrumentId, Money};

/// `GET /api/v1/positions`.
pub(in crate::http) fn positions(call: &Call) -> Answer {
    let app = &call.app;
    let limit = call.query.count("limit", LIMIT_DEFAULT, LIMIT_MAX)?;
    let wanted = call
        .query
        .get("symbol")
        .map(|symbol| app.instrument(symbol).map(|(id, _)| id))
        .transpose()?;
    let after = match call.query.get("cursor") {
        Some(name) => Some(
            app.instrument(name)
                .map(|(id, _)| id)
                .map_err(|_| invalid("cursor", name, "a next_cursor of this list"))?,
        ),
        None => None,
    };
    let account = app.state.published.account.load();
    let in_order: BTreeMap<InstrumentId, _> = account
        .positions
        .iter()
        .filter(|p| wanted.is_none_or(|id| p.instrument == id))
        .filter(|p| after.is_none_or(|id| p.instrument > id))
        .filter_map(|p| Some((p.instrument, (p, app.published(p.instrument)?))))
        .collect();
    let mut json = Json::new(call.strings);
    page(
        &mut json,
        limit,
        in_order.into_values(),
        |j, (position, published)| {
            let instrument = published.instrument.load();
            j.object(|j| {
                names(j, &instrument);
                j.key("side").text(match position.qty {
                    0 => "flat",
                    1.. => "long",
                    _ => "short",
                });
                j.key("quantity")
                    .decimal(i128::from(position.qty), instrument.qty_scale.digits());
                j.key("entry_price").money_or_null(average_price(
                    position.cost,
                    position.qty,
                    &instrument,
                ));
                j.key("mark_price")
                    .price_or_null(position.mark, &instrument);
                j.key("cost").money(position.cost);
                j.key("unrealized_pnl").money(position.unrealized_pnl);
                j.key("realized_pnl").money(position.realized_pnl);
                j.key("fees").money(position.fees);
                // Spot has none; the field is part of the contract.
                j.key("funding").money(Money::ZERO);
            });
            instrument.name.to_string()
        },
    );
    Ok(Reply::json(json))
}

/// `GET /api/v1/account`.
pub(in crate::http) fn account(call: &Call) -> Reply {
    let account = call.app.state.published.account.load();
    let mut json = Json::new(call.strings);
    json.object(|j| {
        j.key("account").text("default");
        j.key("mode").text(call.app.state.mode.name());
        j.key("currency").text(&account.currency);
        for (name, amount) in [
            ("equity", account.equity),
            ("cash", account.cash),
            ("held", account.held),
            ("transfers", account.transfers),
            ("realized_pnl", account.realized_pnl),
            ("unrealized_pnl", account.unrealized_pnl),
            ("fees", account.fees),
            ("pnl_total", account.pnl_total),
            ("pnl_today", account.pnl_today),
        ] {
            j.key(name).money(amount);
        }
        j.key("available")
            .money_or_null(account.cash.minus(account.held).ok());
        j.key("balances");
        balances(j, call, &account);
        let stats = account.stats;
        j.key("stats").object(|j| {
            j.key("fills").int(stats.fills);
            j.key("wins").int(stats.wins);
            j.key("losses").int(stats.losses);
            j.key("win_rate_percent")
                .float_or_null(stats.win_rate_percent);
            j.key("sharpe_ratio").float_or_null(stats.sharpe_ratio);
            j.key("max_drawdown_percent")
                .float(stats.max_drawdown_percent);
        });
        j.key("timestamp");
        super::market::time(j, account.time);
    });
    Reply::json(json)
}

/// The account's currency, and each asset that a position holds.
fn balances(json: &mut Json, call: &Call, account: &AccountView) {
    json.array(|j| {
        j.object(|j| {
            j.key("asset").text(&account.currency);
            j.key("total").money(account.cash);
        });
        for position in account.positions.iter().filter(|p| p.qty != 0) {
            let Some(published) = call.app.published(position.instrument) else {
                continue;
            };
            let instrument = published.instrument.load();
            j.object(|j| {
                j.key("asset").text(&instrument.base);
                j.key("total")
                    .decimal(i128::from(position.qty), instrument.qty_scale.digits());
            });
        }
    });
}
