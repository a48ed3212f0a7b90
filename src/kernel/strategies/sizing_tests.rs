//! Sizes and stops by hand.

use super::*;
use crate::kernel::market::tests::instrument;

#[test]
fn sizes_and_distances_are_written_as_they_are_read() {
    for (text, full) in [
        ("fixed 0.5", "fixed 0.5"),
        ("quote 1000", "quote 1000"),
        ("equity_percent 2.5", "equity_percent 2.5"),
        ("volatility_target 20", "volatility_target 20 30"),
        ("kelly 0.5", "kelly 0.5 25 30"),
        ("kelly 0.5 10 50", "kelly 0.5 10 50"),
    ] {
        let size: Sizing = text.parse().expect(text);
        assert_eq!(size.to_string(), full);
        assert_eq!(full.parse(), Ok(size));
    }
    for text in [
        "",
        "quote",
        "quote 0",
        "quote -1",
        "fixed x",
        "kelly 1.5",
        "kelly 0.5 101",
        "equity_percent 0",
        "quote 1 2",
    ] {
        assert!(text.parse::<Sizing>().is_err(), "{text}");
    }
    for (text, full) in [
        ("2%", "2%"),
        ("0.5 %", "0.5%"),
        ("3atr", "3atr:14"),
        ("1.5atr:7", "1.5atr:7"),
    ] {
        let distance: Distance = text.parse().expect(text);
        assert_eq!(distance.to_string(), full);
    }
    for text in ["", "2", "0%", "100%", "atr", "-1atr", "2atr:0", "2atr:x"] {
        assert!(text.parse::<Distance>().is_err(), "{text}");
    }
}

fn qty(size: &str, equity: i64, volatility: Option<f64>, tally: Tally) -> Result<i64, NoSize> {
    let instrument = instrument();
    let basis = Basis {
        instrument: &instrument,
        price: Price(5_000_000),
        equity: Money::whole(equity),
        volatility,
        interval: Interval::MINUTE,
        tally,
    };
    size.parse::<Sizing>().expect(size).qty(&basis).map(|q| q.0)
}

#[test]
fn quantities_by_hand() {
    let none = Tally::default();
    // At 50,000.00, in lots of 0.00001.
    assert_eq!(qty("quote 1000", 0, None, none), Ok(2_000));
    assert_eq!(qty("quote 1000.49", 0, None, none), Ok(2_000));
    assert_eq!(qty("fixed 0.123459", 0, None, none), Ok(12_345));
    assert_eq!(qty("equity_percent 10", 10_000, None, none), Ok(2_000));
    assert_eq!(
        qty("equity_percent 10", 0, None, none),
        Err(NoSize::Equity(Money::ZERO))
    );
    assert_eq!(qty("quote 4.99", 0, None, none), Err(NoSize::Small(Qty(9))));
    // A candle of 0.1 %: a year of 525,600 has 72.5 %. For 20 % the share is 0.2758..
    let share = 0.2 / (0.001 * 525_600_f64.sqrt());
    #[expect(clippy::cast_possible_truncation, reason = "small")]
    let want = (share * 10_000.0 / 50_000.0 * 1e5) as i64;
    assert_eq!(
        qty("volatility_target 20", 10_000, Some(0.001), none),
        Ok(want)
    );
    assert_eq!(
        qty("volatility_target 20", 10_000, Some(1e-9), none),
        Ok(20_000),
        "equity at most"
    );
    for unknown in [None, Some(0.0)] {
        assert_eq!(
            qty("volatility_target 20", 10_000, unknown, none),
            Err(NoSize::Volatility)
        );
    }
}

#[test]
fn kelly_by_hand() {
    let tally = |wins: u32, losses: u32, won: i64, lost: i64| Tally {
        wins,
        losses,
        won: Money::whole(won),
        lost: Money::whole(lost),
    };
    // 1 % of 10,000 at 50,000 until it knows enough.
    assert_eq!(
        qty("kelly 0.5 25 30", 10_000, None, tally(19, 10, 1, 1)),
        Ok(200)
    );
    assert_eq!(
        qty("kelly 0.5 25 30", 10_000, None, tally(30, 0, 1, 0)),
        Ok(200)
    );
    // 18 of 30 won, 2 on average against 1: 0.6 - 0.4 / 2 = 0.4, half of it 0.2.
    assert_eq!(
        qty("kelly 0.5 25 30", 10_000, None, tally(18, 12, 36, 12)),
        Ok(4_000)
    );
    assert_eq!(
        qty("kelly 1 25 30", 10_000, None, tally(18, 12, 36, 12)),
        Ok(5_000),
        "the cap"
    );
    let lost = qty("kelly 1 25 30", 10_000, None, tally(12, 18, 12, 18));
    assert!(matches!(lost, Err(NoSize::Edge(..))), "{lost:?}");
    let mut tally = Tally::default();
    for profit in [3, -1, 0, 5].map(Money::whole) {
        tally.count(profit);
    }
    assert_eq!((tally.wins, tally.losses), (2, 1));
    assert_eq!(tally.edge(), Some((2.0 / 3.0, 4.0)));
}

#[test]
fn stops_lie_on_the_tick_away_from_the_price() {
    let mut instrument = instrument();
    instrument.tick = Price(50);
    let two: Distance = "2%".parse().expect("legal");
    let at = |d: Distance, side, atr| d.from(Price(10_010), side, atr, &instrument);
    assert_eq!(at(two, Side::Buy, None), Ok(Price(10_250)));
    assert_eq!(at(two, Side::Sell, None), Ok(Price(9_800)));
    let atr: Distance = "2atr".parse().expect("legal");
    assert_eq!(at(atr, Side::Sell, Some(1.5)), Ok(Price(9_700)));
    assert_eq!(at(atr, Side::Buy, None), Err(NoSize::Atr));
    assert_eq!(at(atr, Side::Sell, Some(1e9)), Err(NoSize::Range));
}
