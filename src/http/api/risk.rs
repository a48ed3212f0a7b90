//! Limits, what of them is used, and the kill switch.

use hyper::body::Bytes;

use super::market::time;
use super::orders::{Told, impossible, tell};
use crate::http::body::Fields;
use crate::http::problem::{Code, Problem};
use crate::http::reply::Reply;
use crate::http::routes::{Answering, Call};
use crate::json::Json;
use crate::kernel::event::{CommandKind, Outcome};
use crate::kernel::types::{MILLISECOND, SECOND};

/// Who is written down as the one who halted or resumed.
const BY: &str = "API";

/// `GET /api/v1/risk`.
pub(in crate::http) fn risk(call: &Call) -> Reply {
    let state = &call.app().state;
    let limits = &state.limits;
    let kernel = state.published.kernel.load();
    let account = state.published.account.load();
    let mut json = Json::new(call.strings);
    json.object(|j| {
        j.key("mode").text(kernel.risk_mode.name());
        j.key("cause").text_or_null(kernel.risk_cause);
        j.key("kill_switch").object(|j| {
            j.key("on").bool(kernel.risk.halted);
            j.key("flatten").bool(kernel.risk.flatten);
            // Whether the venue has said that nothing is left.
            j.key("flat").bool(kernel.risk.flat);
            j.key("flatten_by_default").bool(state.halt_flattens);
        });
        j.key("daily_loss_until");
        time(j, kernel.risk.daily_loss_until.unwrap_or_default());
        j.key("cool_down_until");
        time(j, kernel.risk.cool_down_until.unwrap_or_default());
        j.key("drawdown").bool(kernel.risk.drawdown);
        // Records of the journal were passed over at a start.
        j.key("quarantine").bool(kernel.risk.quarantine);
        // The state was taken from a store that may lack the last records.
        j.key("incomplete").bool(kernel.risk.incomplete);
        j.key("use").object(|j| {
            j.key("exposure").money(account.exposure);
            j.key("held").money(account.held);
            j.key("margin").money(account.margin);
            j.key("available").money(account.available);
            j.key("orders_open").count(kernel.orders_open);
            j.key("orders_unknown").count(kernel.orders_unknown);
            j.key("pnl_today").money(account.pnl_today);
            j.key("drawdown_percent")
                .float(account.stats.drawdown_percent);
            j.key("losing_streak").int(account.stats.losing_streak);
        });
        j.key("limits").object(|j| {
            for (name, amount) in [
                ("order_notional_max", limits.order_notional_max),
                ("position_notional_max", limits.position_notional_max),
                ("exposure_notional_max", limits.exposure_notional_max),
                ("daily_loss_max", limits.daily_loss_max),
            ] {
                j.key(name).money(amount);
            }
            j.key("orders_open_max").count(limits.orders_open_max);
            j.key("orders_per_second_max")
                .int(limits.orders_per_second_max);
            j.key("price_collar").rate(limits.price_collar);
            j.key("stale_after_ms")
                .int(limits.stale_after_ns / MILLISECOND);
            j.key("drawdown_max").rate(limits.drawdown_max);
            j.key("losing_streak_max").int(limits.losing_streak_max);
            j.key("cool_down_s").int(limits.cool_down_ns / SECOND);
        });
    });
    Reply::json(json)
}

/// `POST /api/v1/halt`: the kill switch. Without a body, or without `flatten`, as configured.
pub(in crate::http) fn halt(call: Call, body: Bytes) -> Answering {
    Box::pin(async move {
        let flatten = if body.is_empty() {
            None
        } else {
            let fields = Fields::parse(&body, &["flatten"])?;
            fields
                .has("flatten")
                .then(|| fields.flag("flatten"))
                .transpose()?
        };
        let flatten = flatten.unwrap_or(call.app().state.halt_flattens);
        let by = BY.to_owned();
        switch(call, CommandKind::Halt { flatten, by }).await
    })
}

/// `POST /api/v1/resume`.
pub(in crate::http) fn resume(call: Call) -> Answering {
    Box::pin(async move {
        let by = BY.to_owned();
        switch(call, CommandKind::Resume { by }).await
    })
}

async fn switch(call: Call, wish: CommandKind) -> Result<Reply, Box<Problem>> {
    match tell(call.app(), wish).await? {
        Told::Outcome(Outcome::Done) => Ok(risk(&call)),
        Told::Outcome(outcome) => Err(impossible(&outcome)),
        Told::Nothing(why) => Err(Problem::new(Code::NoAnswer, why)
            .hint("it may still be carried out: GET /api/v1/risk says whether it was")),
    }
}
