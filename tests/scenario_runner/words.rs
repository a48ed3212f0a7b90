//! Orders in words.

use hean::kernel::orders::{
    Bracket, Exit, Link, OrderSpec, OrderType, PositionSide, Size, TimeInForce, Trigger, TriggerBy,
};
use hean::kernel::types::{Instrument, InstrumentId, Price, Qty, SECOND, Side, Time};

use super::setup::{money, percent};

pub(crate) fn price(on: &Instrument, text: &str) -> Price {
    Price::parse(text.as_bytes(), on.price_scale).expect(text)
}

pub(crate) fn qty(on: &Instrument, text: &str) -> Qty {
    Qty::parse(text.as_bytes(), on.qty_scale).expect(text)
}

pub(crate) fn leg(words: &[&str]) -> PositionSide {
    match () {
        () if words.contains(&"long") => PositionSide::Long,
        () if words.contains(&"short") => PositionSide::Short,
        () => PositionSide::Both,
    }
}

/// The word after `name`.
pub(crate) fn after<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    let at = words.iter().position(|w| *w == name)?;
    Some(words.get(at + 1).expect("a value"))
}

/// What follows `name` in one word.
fn value<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().find_map(|w| w.strip_prefix(name))
}

pub(crate) fn limit(on: &Instrument, words: &[&str]) -> Option<Price> {
    value(words, "@").map(|p| price(on, p))
}

fn exit(on: &Instrument, text: &str) -> Exit {
    let (trigger, limit) = text.split_once('@').unwrap_or((text, ""));
    Exit {
        trigger: Trigger {
            price: price(on, trigger),
            by: TriggerBy::Last,
        },
        price: (!limit.is_empty()).then(|| price(on, limit)),
    }
}

fn kind(on: &Instrument, words: &[&str]) -> OrderType {
    let limit = limit(on, words);
    let by = match after(words, "by") {
        None | Some("last") => TriggerBy::Last,
        Some("mark") => TriggerBy::Mark,
        Some("index") => TriggerBy::Index,
        Some(other) => panic!("no price to trigger by: {other}"),
    };
    let trigger = |name| {
        after(words, name).map(|p| Trigger {
            price: price(on, p),
            by,
        })
    };
    if let Some(share) = after(words, "trail") {
        return OrderType::TrailingStop {
            callback: percent(share),
            activation: after(words, "from").map(|p| price(on, p)),
            by,
        };
    }
    match (trigger("stop"), trigger("tp"), limit) {
        (Some(trigger), None, None) => OrderType::StopMarket { trigger },
        (Some(trigger), None, Some(price)) => OrderType::StopLimit { trigger, price },
        (None, Some(trigger), None) => OrderType::TakeProfitMarket { trigger },
        (None, Some(trigger), Some(price)) => OrderType::TakeProfitLimit { trigger, price },
        (None, None, Some(price)) => OrderType::Limit { price },
        (None, None, None) => OrderType::Market,
        (Some(_), Some(_), _) => panic!("a stop or a target"),
    }
}

/// An order of `side`: size first, then everything else.
pub(crate) fn order(
    id: InstrumentId,
    on: &Instrument,
    side: Side,
    words: &[&str],
    now: Time,
) -> OrderSpec {
    let (size, words) = words.split_first().expect("quantity");
    let size = match size.strip_suffix("usdt") {
        Some(amount) => Size::Quote(money(amount)),
        None if *size == "all" => Size::Position,
        None => Size::Base(qty(on, size)),
    };
    let has = |word: &str| words.contains(&word);
    let plain = OrderSpec::new(id, side, kind(on, words), size);
    let time_in_force = match value(words, "gtd=") {
        Some(seconds) => TimeInForce::Gtd {
            expires: now.plus(seconds.parse::<i64>().expect(seconds) * SECOND),
        },
        None if has("fok") => TimeInForce::Fok,
        None if has("ioc") => TimeInForce::Ioc,
        None => plain.time_in_force,
    };
    let bracket = Bracket {
        take_profit: value(words, "profit=").map(|text| exit(on, text)),
        stop_loss: value(words, "loss=").map(|text| exit(on, text)),
    };
    let link = match value(words, "oco=") {
        Some(text) => Link::Oco(Box::new(exit(on, text))),
        None if bracket.take_profit.is_some() || bracket.stop_loss.is_some() => {
            Link::Bracket(Box::new(bracket))
        }
        None => Link::None,
    };
    OrderSpec {
        position_side: leg(words),
        time_in_force,
        post_only: has("post"),
        reduce_only: has("reduce"),
        link,
        client_order_id: value(words, "key=").map(|key| key.parse().expect(key)),
        ..plain
    }
}
