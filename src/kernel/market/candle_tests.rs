//! Candles: how they close, are completed, and are held against the venue's.

use super::*;
use crate::kernel::market::tests::instrument;
use crate::kernel::types::{Qty, SECOND, Side};

fn trade(id: u64, second: i64, price: i64) -> Trade {
    let time = Time(second * SECOND);
    Trade {
        id,
        first_id: id,
        last_id: id,
        price: Price(price),
        qty: Qty(1),
        taker: Side::Buy,
        time,
    }
}

fn series() -> Series {
    Series::new(Interval::MINUTE, 100, Vec::new())
}

fn candle(minute: i64, prices: [i64; 4], trades: u64) -> Candle {
    let [open, high, low, close] = prices.map(Price);
    let open_time = Time(minute * 60 * SECOND);
    let volume = i128::from(trades);
    Candle {
        open_time,
        open,
        high,
        low,
        close,
        volume,
        quote_volume: 0,
        trades,
    }
}

fn shape(candle: &Candle) -> (i64, [i64; 4], u64) {
    let c = candle;
    let minute = c.open_time.0 / (60 * SECOND);
    (minute, [c.open.0, c.high.0, c.low.0, c.close.0], c.trades)
}

#[test]
fn candles_close_by_trade_and_silence_is_flat() {
    let (mut s, i) = (series(), instrument());
    for (id, second, price) in [(1, 5, 10), (2, 30, 12), (3, 59, 9)] {
        assert_eq!(
            s.trade(&trade(id, second, price), false, &i),
            Progress::default()
        );
    }
    assert_eq!(s.trade(&trade(4, 185, 11), false, &i).closed, 3);
    let closed: Vec<_> = s.closed().iter().map(shape).collect();
    assert_eq!(
        closed,
        [
            (0, [10, 12, 9, 9], 3),
            (1, [9, 9, 9, 9], 0),
            (2, [9, 9, 9, 9], 0)
        ]
    );
    assert_eq!(s.forming().map(shape), Some((3, [11, 11, 11, 11], 1)));
    s.trade(&trade(5, 100, 50), false, &i);
    assert_eq!(s.late_trades, 1);
}

#[test]
fn another_stream_closes_a_candle_only_well_past_its_end() {
    let (mut s, i) = (series(), instrument());
    s.trade(&trade(1, 5, 10), false, &i);
    assert_eq!(s.advance(Time(60 * SECOND + SETTLE_NS - 1), &i).closed, 0);
    assert_eq!(
        s.trade(&trade(2, 59, 11), false, &i).closed,
        0,
        "a straggler still counts"
    );
    assert_eq!(s.advance(Time(60 * SECOND + SETTLE_NS), &i).closed, 1);
    assert_eq!(s.last().map(shape), Some((0, [10, 11, 10, 11], 2)));
}

#[test]
fn the_candle_that_ran_at_the_start_is_completed_by_the_venue() {
    let (mut s, i) = (series(), instrument());
    s.trade(&trade(10, 30, 20), false, &i);
    s.trade(&trade(11, 31, 21), false, &i);
    let mut kline = Kline {
        interval: Interval::MINUTE,
        candle: candle(0, [15, 22, 14, 18], 5),
        trade_ids: Some((4, 8)),
        traded_at: None,
        closed: false,
    };
    s.kline(&kline, &i);
    assert_eq!(
        s.forming().map(|c| c.trades),
        Some(2),
        "trade 9 is in neither"
    );
    (kline.trade_ids, kline.candle.trades) = (Some((4, 10)), 7);
    s.kline(&kline, &i);
    // The venue's figures up to trade 10, plus our trade 11.
    assert_eq!(s.forming().map(shape), Some((0, [15, 22, 14, 21], 8)));
    s.trade(&trade(12, 61, 30), false, &i);
    assert_eq!(s.complete.back(), Some(&true));
}

#[test]
fn history_fills_in_what_we_do_not_know_for_sure() {
    let (mut s, i) = (series(), instrument());
    s.trade(&trade(1, 3 * 60 + 30, 10), false, &i); // incomplete
    s.trade(&trade(2, 4 * 60 + 1, 11), false, &i); // complete
    s.trade(&trade(3, 5 * 60 + 1, 12), false, &i); // forming
    let candles = (0..=5).map(|m| candle(m, [1, 2, 1, 2], 9)).collect();
    let history = History {
        interval: Interval::MINUTE,
        candles,
    };
    s.history(&history, Time(5 * 60 * SECOND + SECOND), &i);
    let trades: Vec<_> = s.closed().iter().map(|c| c.trades).collect();
    assert_eq!(trades, [9, 9, 9, 9, 1]);
    assert_eq!(s.forming().map(|c| c.trades), Some(1));
}

#[test]
fn a_candle_that_began_while_trades_were_missed_is_not_complete() {
    let (mut s, i) = (series(), instrument());
    s.trade(&trade(1, 1, 10), false, &i);
    s.trade(&trade(2, 61, 11), false, &i);
    s.break_seam();
    s.trade(&trade(9, 185, 12), true, &i); // 3 to 8 were lost, from minute 1 to 3
    let complete: Vec<_> = s.complete.iter().copied().collect();
    assert_eq!(complete, [false, false, false]);
    let mut kline = Kline {
        interval: Interval::MINUTE,
        candle: candle(3, [11, 12, 9, 9], 4),
        trade_ids: Some((7, 10)),
        traded_at: None,
        closed: true,
    };
    s.kline(&kline, &i);
    assert_eq!(
        s.forming().map(|c| c.trades),
        Some(4),
        "the venue's figures stand"
    );
    s.break_seam();
    kline.candle.trades = 5;
    kline.trade_ids = None;
    s.kline(&kline, &i);
    s.trade(&trade(12, 241, 13), false, &i);
    assert_eq!(
        s.last().map(|c| c.trades),
        Some(5),
        "its final word, though it does not join"
    );
}

#[test]
fn a_contradiction_of_the_venue_is_counted() {
    let (mut s, i) = (series(), instrument());
    s.trade(&trade(1, 1, 10), false, &i);
    s.trade(&trade(2, 61, 10), false, &i);
    let mut kline = Kline {
        interval: Interval::MINUTE,
        candle: candle(1, [10, 10, 10, 10], 1),
        trade_ids: Some((2, 2)),
        traded_at: None,
        closed: true,
    };
    s.kline(&kline, &i);
    s.trade(&trade(3, 121, 10), false, &i);
    assert_eq!(s.mismatches, 0);
    kline.candle = candle(2, [10, 11, 10, 10], 1);
    s.kline(&kline, &i);
    s.trade(&trade(4, 181, 10), false, &i);
    assert_eq!(s.mismatches, 1);
    kline.candle = candle(2, [10, 12, 10, 10], 1);
    assert!(s.kline(&kline, &i).mismatch, "also when it comes late");
}
