//! Candles from before the start, so that whoever connects can warm up at once.
//!
//! The path is drawn backwards from the start price with bars that get longer into the past
//! (seconds, minutes, hours, days), each aligned to the next larger unit: every interval is built
//! from the same bars, so they agree with each other, and the last close is the start price.

use super::random::{Random, round};
use crate::kernel::types::{DAY, HOUR, MINUTE, Price, SECOND, Time};
use crate::venue::sim::candles::Bar;

/// Candles that each interval has at least (months reach back to 1970).
const BARS_MIN: i64 = 1_000;
/// Time in which the path forgets how far it was from the start price.
const FORGET: i64 = 30 * DAY;
/// Trades a second, on average.
const TRADES_PER_SECOND: f64 = 4.0;

/// What the path is drawn with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path {
    /// Where it ends.
    pub(super) start: Time,
    /// Its last close.
    pub(super) price: Price,
    /// Spread of the logarithm over one second.
    pub(super) volatility: f64,
    /// Usual quantity of a trade, in lots.
    pub(super) qty: f64,
    /// Id of the first trade after it.
    pub(super) next_trade: u64,
}

/// The bars before `path.start` (a whole second), oldest first.
pub(super) fn draw(path: Path, random: &mut Random) -> Vec<Bar> {
    let back = |len: i64, unit: i64| {
        let from = path.start.0.saturating_sub(len).max(0);
        Time(from - from.rem_euclid(unit))
    };
    let spans = [
        (SECOND, back(BARS_MIN * SECOND, MINUTE)),
        (MINUTE, back(BARS_MIN * 30 * MINUTE, HOUR)),
        (HOUR, back(BARS_MIN * 12 * HOUR, DAY)),
        (DAY, back(BARS_MIN * 31 * DAY, DAY)),
    ];
    let anchor = libm::log(path.price.0 as f64);
    let mut at = anchor;
    let mut end = path.start;
    let mut close = path.price;
    let mut bars = Vec::new();
    for (unit, from) in spans {
        let forget = libm::exp(-(unit as f64) / FORGET as f64);
        let seconds = unit as f64 / SECOND as f64;
        let spread = path.volatility * libm::sqrt(seconds);
        while end > from {
            at = anchor + (at - anchor) * forget + spread * random.normal();
            let open = Price(round(libm::exp(at)).max(1));
            let bar = bar(
                end.plus(-unit),
                end,
                open,
                close,
                spread,
                seconds,
                path.qty,
                random,
            );
            close = open;
            end = bar.open_time;
            bars.push(bar);
        }
    }
    bars.reverse();
    number(&mut bars, path.next_trade);
    bars
}

#[expect(clippy::too_many_arguments, reason = "one call, each a plain number")]
fn bar(
    open_time: Time,
    end: Time,
    open: Price,
    close: Price,
    spread: f64,
    seconds: f64,
    qty: f64,
    random: &mut Random,
) -> Bar {
    let wick = |random: &mut Random| 0.5 * spread * random.exponential();
    let high = round(open.0.max(close.0) as f64 * (1.0 + wick(random)));
    let low = round(open.0.min(close.0) as f64 * (1.0 - wick(random)));
    let trades = round(TRADES_PER_SECOND * seconds * random.log_normal(0.4)).max(1);
    let volume = i128::from(round(qty * trades as f64 * random.log_normal(0.3)).max(trades));
    let bought = (0.5 + 0.1 * random.normal()).clamp(0.1, 0.9);
    let high = Price(high.max(open.0).max(close.0));
    let low = Price(low.min(open.0).min(close.0).max(1));
    let mean = [open, high, low, close]
        .into_iter()
        .map(|price| i128::from(price.0))
        .sum::<i128>()
        / 4;
    let taker_volume = volume * i128::from(round(bought * 1_000.0)) / 1_000;
    Bar {
        open_time,
        end,
        open,
        high,
        low,
        close,
        volume,
        quote_volume: volume * mean,
        taker_volume,
        taker_quote_volume: taker_volume * mean,
        trades: u64::try_from(trades).unwrap_or(1),
        ids: None,
    }
}

/// Numbers the trades of the bars so that the next one is `next`.
fn number(bars: &mut [Bar], next: u64) {
    let mut next = next;
    for bar in bars.iter_mut().rev() {
        let first = next.saturating_sub(bar.trades);
        bar.ids = Some((first, next.saturating_sub(1)));
        next = first;
    }
}
