//! The rows of the table of keys that are about trading: the paper account, risk, orders.

use std::time::Duration;

use super::keys::{DAY_MS, Key, field, key, name_of, size};
use super::raw::{
    Raw, Wrong, boolean, count, integer, millis, money, money_above_zero, one_of, rate, signed,
    text, word,
};
use crate::kernel::portfolio::PositionMode;
use crate::kernel::types::{Rate, SECOND, format_fixed};
use crate::venue::sim::paper::latency::Latency;
use crate::venue::sim::paper::queue::QueueModel;

const POSITION_MODES: [(&str, PositionMode); 2] = [
    ("one_way", PositionMode::OneWay),
    ("hedge", PositionMode::Hedge),
];

/// Seconds in thirty days.
const MONTH_S: u64 = 2_592_000;

/// `[paper]`, `[risk]` and `[orders]`, in the order of `config/hean.toml`.
pub(super) const TRADING_KEYS: &[Key] = &[
    field!(
        "paper.cash",
        paper.cash,
        |raw| money_above_zero(raw)?,
        |s| Raw::Text(s.paper.cash.to_string())
    ),
    field!(
        "paper.currency",
        paper.currency,
        |raw| word(raw, 16, |c| c.is_ascii_alphanumeric())?.to_ascii_uppercase(),
        |s| Raw::Text(s.paper.currency.clone())
    ),
    field!(
        "paper.maker_fee",
        paper.maker_fee,
        |raw| rate(raw, "-0.01", "0.1")?,
        |s| rate_text(s.paper.maker_fee)
    ),
    field!(
        "paper.taker_fee",
        paper.taker_fee,
        |raw| rate(raw, "0", "0.1")?,
        |s| rate_text(s.paper.taker_fee)
    ),
    field!(
        "paper.position_mode",
        paper.position_mode,
        |raw| one_of(raw, &POSITION_MODES)?,
        |s| name_of(&POSITION_MODES, s.paper.position_mode)
    ),
    field!(
        "paper.latency",
        paper.venue.order_latency,
        |raw| latency(raw)?,
        |s| Raw::Text(s.paper.venue.order_latency.to_string())
    ),
    field!(
        "paper.report_latency",
        paper.venue.report_latency,
        |raw| latency(raw)?,
        |s| Raw::Text(s.paper.venue.report_latency.to_string())
    ),
    field!(
        "paper.queue_model",
        paper.venue.queue,
        |raw| text(raw)?
            .parse::<QueueModel>()
            .map_err(|e| Wrong(e.to_string()))?,
        |s| Raw::Text(s.paper.venue.queue.to_string())
    ),
    field!(
        "paper.seed",
        paper.venue.seed,
        |raw| integer(raw, 0, i64::MAX.unsigned_abs())?,
        |s| Raw::Integer(i128::from(s.paper.venue.seed))
    ),
    field!(
        "paper.liquidation_fee",
        paper.venue.liquidation_fee,
        |raw| rate(raw, "0", "0.1")?,
        |s| rate_text(s.paper.venue.liquidation_fee)
    ),
    field!(
        "risk.order_notional_max",
        risk.limits.order_notional_max,
        |raw| money_above_zero(raw)?,
        |s| Raw::Text(s.risk.limits.order_notional_max.to_string())
    ),
    field!(
        "risk.position_notional_max",
        risk.limits.position_notional_max,
        |raw| money_above_zero(raw)?,
        |s| Raw::Text(s.risk.limits.position_notional_max.to_string())
    ),
    field!(
        "risk.exposure_notional_max",
        risk.limits.exposure_notional_max,
        |raw| money_above_zero(raw)?,
        |s| Raw::Text(s.risk.limits.exposure_notional_max.to_string())
    ),
    field!(
        "risk.orders_open_max",
        risk.limits.orders_open_max,
        |raw| count(raw, 1, 100_000)?,
        |s| size(s.risk.limits.orders_open_max)
    ),
    field!(
        "risk.orders_per_second_max",
        risk.limits.orders_per_second_max,
        |raw| number(raw, 100_000)?,
        |s| Raw::Integer(i128::from(s.risk.limits.orders_per_second_max))
    ),
    field!(
        "risk.price_collar",
        risk.limits.price_collar,
        |raw| rate(raw, "0.00000001", "1")?,
        |s| rate_text(s.risk.limits.price_collar)
    ),
    key(
        "risk.stale_after_ms",
        |s, raw| {
            let limit = millis(raw, 1, DAY_MS)?;
            s.risk.limits.stale_after_ns = i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX);
            Ok(())
        },
        |s| {
            Raw::millis(Duration::from_nanos(
                s.risk.limits.stale_after_ns.unsigned_abs(),
            ))
        },
    ),
    field!(
        "risk.daily_loss_max",
        risk.limits.daily_loss_max,
        |raw| money(raw)?,
        |s| Raw::Text(s.risk.limits.daily_loss_max.to_string())
    ),
    field!(
        "risk.drawdown_max",
        risk.limits.drawdown_max,
        |raw| rate(raw, "0", "1")?,
        |s| rate_text(s.risk.limits.drawdown_max)
    ),
    field!(
        "risk.losing_streak_max",
        risk.limits.losing_streak_max,
        |raw| number(raw, 1_000_000)?,
        |s| Raw::Integer(i128::from(s.risk.limits.losing_streak_max))
    ),
    key(
        "risk.cool_down_s",
        |s, raw| {
            let seconds =
                integer(raw, 1, MONTH_S).map_err(|Wrong(why)| Wrong(format!("{why} (seconds)")))?;
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            s.risk.limits.cool_down_ns = seconds.saturating_mul(SECOND);
            Ok(())
        },
        |s| Raw::Integer(i128::from(s.risk.limits.cool_down_ns / SECOND)),
    ),
    field!(
        "risk.zone_minutes",
        risk.zone_minutes,
        // The zones of this world.
        |raw| signed(raw, -720, 840)?,
        |s| Raw::Integer(i128::from(s.risk.zone_minutes))
    ),
    field!(
        "risk.halt_flattens",
        risk.halt_flattens,
        |raw| boolean(raw)?,
        |s| Raw::Bool(s.risk.halt_flattens)
    ),
    field!(
        "orders.answer_timeout_ms",
        orders.answer_timeout,
        |raw| millis(raw, 100, 600_000)?,
        |s| Raw::millis(s.orders.answer_timeout)
    ),
];

fn latency(raw: &Raw) -> Result<Latency, Wrong> {
    Latency::parse(text(raw)?).map_err(|e| Wrong(e.to_string()))
}

fn number(raw: &Raw, max: u32) -> Result<u32, Wrong> {
    let value = integer(raw, 0, u64::from(max))?;
    Ok(u32::try_from(value).unwrap_or(max))
}

pub(super) fn rate_text(value: Rate) -> Raw {
    Raw::Text(format_fixed(i128::from(value.0), Rate::SCALE).to_string())
}
