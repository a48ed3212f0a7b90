//! Candles from the venue's history, as many as the kernel keeps, page by page. An interval that the
//! venue does not have is put together from the longest one that divides it.

use std::sync::atomic::Ordering;

use super::Shared;
use super::fetch::FetchError;
use crate::kernel::event::{Candle, History};
use crate::kernel::types::{Instrument, Interval, SECOND, Time};
use crate::venue::budget::Priority;
use crate::venue::protocol::Protocol;

/// Pages of one history at most: more is left to the trades to come.
const PAGES_MAX: usize = 12;

/// The venue's interval that candles of `wanted` can be put together from: itself where the venue has
/// it. `None` where it has none that divides it (seconds on futures).
pub(super) fn source(protocol: &dyn Protocol, wanted: Interval) -> Option<Interval> {
    const PARTS: [&str; 15] = [
        "1M", "1w", "1d", "12h", "8h", "6h", "4h", "2h", "1h", "30m", "15m", "5m", "3m", "1m", "1s",
    ];
    if protocol.has_candles(wanted) {
        return Some(wanted);
    }
    let parts = PARTS.iter().filter_map(|text| text.parse().ok());
    let mut parts = parts.filter(|part: &Interval| {
        protocol.has_candles(*part)
            && part.nominal_len() < wanted.nominal_len()
            && wanted.nominal_len() % part.nominal_len() == 0
            // Days begin at midnight and weeks on Monday, of both alike.
            && wanted.open_of(Time::ZERO) == part.open_of(wanted.open_of(Time::ZERO))
    });
    parts.next()
}

/// The venue's time and the candles up to it.
pub(super) async fn fetch(
    shared: &Shared,
    instrument: &Instrument,
    interval: Interval,
    priority: Priority,
) -> Result<(Time, History), FetchError> {
    let access = &shared.config.access;
    let protocol = access.protocol();
    // Asked before the candles: what is closed at this time is closed in them.
    let asked = shared.clock.now();
    let body = access.call(&protocol.server_time(), priority).await?;
    let time = protocol.decode_server_time(&body)?;
    // Read about half way between question and answer. (Waiting for the budget would spoil it, but
    // then the answer is not needed for that.)
    let answered = shared.clock.now();
    let trip = answered.since(asked);
    if trip < SECOND {
        let offset = time.since(asked.plus(trip / 2));
        shared
            .status
            .clock_offset_ns
            .store(offset, Ordering::Relaxed);
    }
    let Some(source) = source(protocol, interval) else {
        let candles = Vec::new();
        return Ok((time, History { interval, candles }));
    };
    let parts = interval.nominal_len() / source.nominal_len().max(1);
    let wanted = i64::from(shared.config.history_candles).saturating_mul(parts);
    let mut left = usize::try_from(wanted.max(1)).unwrap_or(1);
    let mut candles: Vec<Candle> = Vec::new();
    let mut before: Option<Time> = None;
    for _ in 0..PAGES_MAX {
        let page = u16::try_from(left)
            .unwrap_or(u16::MAX)
            .min(protocol.candles_max());
        let call = protocol.candles(instrument, source, before, page);
        let body = access.call(&call, priority).await?;
        let mut older = protocol.decode_candles(&body, instrument)?;
        // A venue that ignores the bound would send the same page for ever.
        older.retain(|c| before.is_none_or(|before| c.open_time < before));
        let Some(first) = older.first().map(|c| c.open_time) else {
            break;
        };
        let full = older.len() >= usize::from(page);
        left = left.saturating_sub(older.len());
        older.append(&mut candles);
        candles = older;
        before = Some(first);
        if left == 0 || !full {
            break;
        }
    }
    if source != interval {
        candles = joined(&candles, source, interval);
    }
    Ok((time, History { interval, candles }))
}

/// Candles of `interval` from those of a shorter one, oldest first. What does not begin with the first
/// of its parts, or misses one, is left out with all before it.
fn joined(parts: &[Candle], source: Interval, interval: Interval) -> Vec<Candle> {
    let mut whole: Vec<Candle> = Vec::new();
    let mut expected: Option<Time> = None;
    for part in parts {
        let open_time = interval.open_of(part.open_time);
        let follows = expected == Some(part.open_time);
        expected = Some(source.next_open(part.open_time));
        match whole.last_mut() {
            Some(last) if follows && last.open_time == open_time => {
                last.high = last.high.max(part.high);
                last.low = last.low.min(part.low);
                last.close = part.close;
                last.volume = last.volume.saturating_add(part.volume);
                last.quote_volume = last.quote_volume.saturating_add(part.quote_volume);
                last.trades = last.trades.saturating_add(part.trades);
            }
            _ if part.open_time == open_time => {
                if !follows {
                    whole.clear();
                }
                whole.push(Candle { open_time, ..*part });
            }
            _ => whole.clear(),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::types::{MINUTE, Price, VenueId};
    use crate::venue::VenueRow;

    fn interval(text: &str) -> Interval {
        text.parse().expect("an interval")
    }

    #[test]
    fn every_interval_has_a_source_where_the_venue_can_tell() {
        let spot = VenueRow::of(VenueId::Binance).protocol;
        let futures = VenueRow::of(VenueId::BinanceUsdm).protocol;
        for (text, on_spot, on_futures) in [
            ("1m", Some("1m"), Some("1m")),
            ("5s", Some("1s"), None),
            ("2m", Some("1m"), Some("1m")),
            ("10m", Some("5m"), Some("5m")),
            ("20m", Some("5m"), Some("5m")),
            ("3h", Some("1h"), Some("1h")),
            ("1M", Some("1M"), Some("1M")),
        ] {
            assert_eq!(
                source(spot, interval(text)),
                on_spot.map(interval),
                "{text}"
            );
            let got = source(futures, interval(text));
            assert_eq!(got, on_futures.map(interval), "{text}");
        }
    }

    #[test]
    fn parts_are_joined_and_a_hole_begins_anew() {
        let part = |minute: i64, close: i64| Candle {
            open_time: Time(minute * MINUTE),
            open: Price(close - 1),
            high: Price(close + 5),
            low: Price(close - 5),
            close: Price(close),
            volume: 2,
            quote_volume: 3,
            trades: 1,
        };
        // From the middle of a candle, then a hole, then whole ones.
        let parts = [1, 2, 3, 6, 7, 8, 9, 10].map(|m| part(m, 100 + m));
        let whole = joined(&parts, interval("1m"), interval("2m"));
        let shape: Vec<_> = whole
            .iter()
            .map(|c| {
                (
                    c.open_time.0 / MINUTE,
                    c.open.0,
                    c.high.0,
                    c.low.0,
                    c.close.0,
                    c.trades,
                )
            })
            .collect();
        assert_eq!(
            shape,
            [
                (6, 105, 112, 101, 107, 2),
                (8, 107, 114, 103, 109, 2),
                (10, 109, 115, 105, 110, 1)
            ]
        );
    }
}
