//! The synthetic market: determinism, invariants of its events, liveliness, history.

use super::*;
use crate::kernel::types::{Interval, Price, Qty};
use crate::venue::sim::candles::{Candles, INTERVALS};
use crate::venue::sim::symbol::Symbol;

const START: Time = Time(1_790_000_000_123_456_789);

fn market(seed: u64, symbols: &[&str]) -> Market {
    let symbols: Vec<String> = symbols.iter().map(|&symbol| symbol.to_owned()).collect();
    Market::new(Plan::spot(seed), &symbols, START).expect("market")
}

/// All events of so many seconds, stepped in pieces of `piece` nanoseconds.
fn events(market: &mut Market, seconds: i64, piece: i64) -> Vec<(usize, Time, Change)> {
    let mut events = Vec::new();
    let end = market.now().plus(seconds * SECOND);
    let mut until = market.now();
    while until < end {
        until = until.plus(piece).min(end);
        market.advance(until, |at, time, change| events.push((at, time, change)));
    }
    events
}

#[test]
fn the_seed_decides_and_the_caller_s_steps_do_not() {
    let symbols = ["BTCUSDT", "eth-usdt"];
    let one = events(&mut market(7, &symbols), 30, 50 * MILLISECOND);
    let same = events(&mut market(7, &symbols), 30, 1_234_567_891);
    let other = events(&mut market(8, &symbols), 30, 50 * MILLISECOND);
    assert!(one == same, "same seed, other events");
    assert!(one != other, "other seed, same events");
    let alone = events(&mut market(7, &["ETHUSDT"]), 30, 50 * MILLISECOND);
    let with_others: Vec<_> = one.into_iter().filter(|event| event.0 == 1).collect();
    assert!(
        alone
            .iter()
            .map(|e| (e.1, &e.2))
            .eq(with_others.iter().map(|e| (e.1, &e.2))),
        "a neighbour changes the path"
    );
}

#[test]
fn ids_are_contiguous_the_book_is_never_crossed_and_the_quote_is_its_top() {
    for seed in 0..4 {
        let mut market = market(seed, &["BTCUSDT", "DOGEUSDT", "FOOUSDT"]);
        let mut symbols: Vec<Symbol> = market
            .instruments()
            .cloned()
            .map(|instrument| Symbol::new(MarketKind::Spot, instrument))
            .collect();
        let mut ids = Vec::new();
        for (at, symbol) in symbols.iter_mut().enumerate() {
            let snapshot = market.snapshot(at).expect("symbol");
            ids.push((snapshot.last_id, None));
            symbol.apply(START, &Change::Snapshot(snapshot));
        }
        let mut quotes = vec![None; symbols.len()];
        for (at, time, change) in events(&mut market, 60, 50 * MILLISECOND) {
            let (last_update, last_trade) = &mut ids[at];
            match &change {
                Change::Depth(delta) => {
                    assert_eq!(time.0 % DEPTH_EVERY, 0);
                    assert_eq!(delta.first_id, *last_update + 1);
                    assert!(delta.last_id >= delta.first_id);
                    *last_update = delta.last_id;
                    symbols[at].apply(time, &change);
                    let top = symbols[at].book.quote().expect("both sides");
                    assert!(top.bid.price < top.ask.price, "crossed");
                    let quote: crate::kernel::event::Quote = quotes[at].expect("quoted");
                    assert_eq!((top.bid, top.ask), (quote.bid, quote.ask));
                }
                Change::Trade(trade) => {
                    assert!(trade.qty > Qty::ZERO && trade.price > Price(0));
                    if let Some(last) = *last_trade {
                        assert_eq!(trade.id, last + 1);
                    }
                    *last_trade = Some(trade.id);
                    assert_eq!(trade.time, time);
                }
                Change::Quote(quote) => quotes[at] = Some(*quote),
                Change::Snapshot(_)
                | Change::Derivative(_)
                | Change::Liquidation(_)
                | Change::Restart(_) => panic!("never on spot"),
            }
        }
        assert!(ids.iter().all(|(_, trade)| trade.is_some()), "no trades");
    }
}

#[test]
fn the_market_is_alive_but_not_mad() {
    let mut market = market(1, &["BTCUSDT"]);
    let mut symbol = Symbol::new(
        MarketKind::Spot,
        market.instruments().next().expect("one").clone(),
    );
    symbol.apply(START, &Change::Snapshot(market.snapshot(0).expect("one")));
    let mut trades = 0;
    for (_, time, change) in events(&mut market, 600, SECOND) {
        trades += usize::from(matches!(change, Change::Trade(_)));
        symbol.apply(time, &change);
    }
    assert!(
        (600..30_000).contains(&trades),
        "{trades} trades in 10 minutes"
    );
    let top = symbol.book.quote().expect("both sides");
    let spread = top.ask.price.0 - top.bid.price.0;
    assert!((1..2_000).contains(&spread), "spread of {spread} ticks");
    let depth = (symbol.book.bids().count(), symbol.book.asks().count());
    assert!(depth.0 >= 100 && depth.1 >= 100, "{depth:?} levels");
    // An EMA of 5 crosses one of 20 on closes of a second every few tens of seconds.
    let closes: Vec<f64> = symbol
        .candles
        .bars("1s")
        .expect("known")
        .iter()
        .map(|bar| bar.close.0 as f64)
        .collect();
    let (mut fast, mut slow, mut above, mut crosses) = (closes[0], closes[0], None, 0);
    for close in &closes {
        fast += (close - fast) * 2.0 / 6.0;
        slow += (close - slow) * 2.0 / 21.0;
        if above.is_some_and(|above| above != (fast > slow)) {
            crosses += 1;
        }
        above = Some(fast > slow);
    }
    assert!(
        (10..200).contains(&crosses),
        "{crosses} crosses in 10 minutes"
    );
    let (low, high) = closes
        .iter()
        .fold((f64::MAX, 0.0_f64), |(l, h), c| (l.min(*c), h.max(*c)));
    let range = (high - low) / low;
    assert!((0.001..0.1).contains(&range), "moved by {range}");
}

#[test]
fn history_ends_at_the_start_price_and_intervals_agree() {
    let market = market(3, &["BTCUSDT"]);
    let bars = market.history(0);
    assert_eq!(bars, market.history(0), "reading changes it");
    let last = bars.last().expect("bars");
    assert_eq!((last.end, last.close), (market.now(), Price(6_000_000)));
    for pair in bars.windows(2) {
        assert_eq!(
            (pair[0].end, pair[0].close),
            (pair[1].open_time, pair[1].open)
        );
        assert_eq!(
            pair[0].ids.map(|ids| ids.1 + 1),
            pair[1].ids.map(|ids| ids.0)
        );
        assert!(pair[1].low <= pair[1].open.min(pair[1].close));
        assert!(pair[1].high >= pair[1].open.max(pair[1].close));
    }
    let mut candles = Candles::new();
    candles.load(&bars);
    for name in INTERVALS {
        let interval: Interval = name.parse().expect("interval");
        let series = candles.bars(name).expect("known");
        let enough = if name == "1M" { 600 } else { 1_000 };
        assert!(series.len() >= enough, "{name}: {} candles", series.len());
        for (a, b) in series.iter().zip(series.iter().skip(1)) {
            assert_eq!(interval.next_open(a.open_time), b.open_time, "{name}");
            assert_eq!(a.close, b.open, "{name}");
        }
        let last = series.back().expect("some");
        assert_eq!(last.close, Price(6_000_000), "{name}");
        assert!(
            last.open_time < market.now() && last.end >= market.now(),
            "{name}"
        );
    }
}

#[test]
fn bad_symbols_are_refused() {
    for symbols in [vec![], vec!["BTC USDT".to_owned()], vec![String::new()]] {
        assert!(
            Market::new(Plan::spot(1), &symbols, START).is_err(),
            "{symbols:?}"
        );
    }
    let many: Vec<String> = (0..=SYMBOLS_MAX).map(|n| format!("X{n}USDT")).collect();
    assert!(Market::new(Plan::spot(1), &many, START).is_err());
}
