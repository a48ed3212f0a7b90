//! Money, and how it went.

use super::table::{Cell, Wanted, answer};
use crate::http::params::{EQUITY_LIMIT, ID_CURSOR, SINCE};
use crate::http::reply::Reply;
use crate::http::routes::{Answer, Call};
use crate::json::Json;
use crate::kernel::snapshot::AccountView;
use crate::kernel::types::Contract;

/// `GET /api/v1/account`.
pub(in crate::http) fn account(call: &Call) -> Reply {
    let account = call.app().state.published.account.load();
    let mut json = Json::new(call.strings);
    json.object(|j| {
        j.key("account").text("default");
        j.key("mode").text(call.app().state.mode.name());
        j.key("currency").text(&account.currency);
        for (name, amount) in [
            ("equity", account.equity),
            ("cash", account.cash),
            ("held", account.held),
            ("margin", account.margin),
            ("available", account.available),
            ("transfers", account.transfers),
            ("realized_pnl", account.realized_pnl),
            ("unrealized_pnl", account.unrealized_pnl),
            ("fees", account.fees),
            ("funding", account.funding),
            ("insurance", account.insurance),
            ("exposure", account.exposure),
            ("pnl_total", account.pnl_total),
            ("pnl_today", account.pnl_today),
        ] {
            j.key(name).money(amount);
        }
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
            j.key("sortino_ratio").float_or_null(stats.sortino_ratio);
            j.key("profit_factor").float_or_null(stats.profit_factor);
            j.key("turnover").money(stats.turnover);
            j.key("losing_streak").int(stats.losing_streak);
            j.key("drawdown_percent").float(stats.drawdown_percent);
            j.key("max_drawdown_percent")
                .float(stats.max_drawdown_percent);
        });
        j.key("timestamp");
        super::market::time(j, account.time);
    });
    Reply::json(json)
}

/// `GET /api/v1/equity`: newest first, a point a minute for a day and a point an hour before.
pub(in crate::http) fn equity(call: &Call) -> Answer {
    let wanted = Wanted::of(call, &EQUITY_LIMIT)?;
    let before = call.query.id(&ID_CURSOR)?;
    let before = before.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
    let since = call.query.millis(&SINCE)?;
    let account = call.app().state.published.account.load();
    let mut points: Vec<_> = account
        .curve
        .iter()
        .filter(|point| before.is_none_or(|ms| point.time.millis() < ms))
        .filter(|point| since.is_none_or(|ms| point.time.millis() >= ms))
        .collect();
    points.reverse();
    let columns = ["timestamp", "equity", "pnl"];
    let file = "attachment; filename=\"equity.csv\"";
    Ok(answer(
        call,
        &wanted,
        file,
        columns,
        points.into_iter(),
        |point| {
            let ms = point.time.millis();
            let cells = [
                Cell::Int(ms),
                Cell::money(point.equity),
                Cell::money(point.pnl),
            ];
            (cells, ms.to_string())
        },
    ))
}

/// The account's currency, other assets, and what is held of each spot instrument.
fn balances(json: &mut Json, call: &Call, account: &AccountView) {
    json.array(|j| {
        j.object(|j| {
            j.key("asset").text(&account.currency);
            j.key("total").money(account.cash);
        });
        for (asset, amount) in &account.assets {
            j.object(|j| {
                j.key("asset").text(asset);
                j.key("total").money(*amount);
            });
        }
        for position in account.positions.iter().filter(|p| p.qty != 0) {
            let Some(published) = call.app().published(position.instrument) else {
                continue;
            };
            let instrument = published.instrument.load();
            // A position in a derivative is a contract, not an asset.
            if instrument.contract != Contract::Spot {
                continue;
            }
            j.object(|j| {
                j.key("asset").text(&instrument.base);
                j.key("total")
                    .decimal(i128::from(position.qty), instrument.qty_scale.digits());
            });
        }
    });
}
