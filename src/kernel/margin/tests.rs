//! Margin against the venues' own examples, and against their formulas in exact fractions.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Signed as _;
use proptest::prelude::*;

use super::BracketError as E;
use super::*;
use crate::kernel::types::{Instrument, InstrumentName, Price, Qty, Scale, VenueId};

fn instrument(price_digits: u8, qty_digits: u8) -> Instrument {
    let name = InstrumentName::parse("BTCUSDT", VenueId::BinanceUsdm).expect("a name");
    let scale = |digits| Scale::new(digits).expect("a scale");
    Instrument::unlimited(
        name,
        "BTC",
        "USDT",
        (scale(price_digits), scale(qty_digits)),
    )
}

fn money(text: &str) -> Money {
    Money::parse(text).expect("an amount")
}

fn rate(text: &str) -> Rate {
    Rate::parse(text).expect("a rate")
}

/// A position by decimal text; a minus makes it short.
fn position(qty: &str, entry: &str, on: &Instrument) -> Exposure {
    let size =
        Qty::parse(qty.trim_start_matches('-').as_bytes(), on.qty_scale).expect("a quantity");
    let entry = Price::parse(entry.as_bytes(), on.price_scale).expect("a price");
    let sign = if qty.starts_with('-') { -1 } else { 1 };
    let cost = on.notional(entry, Qty(sign * size.0)).expect("small");
    Exposure {
        qty: sign * size.0,
        cost,
    }
}

fn table(rows: &[(i64, u16, i64)]) -> Brackets {
    Brackets::from_caps("2021-03-14", rows).expect("brackets")
}

/// BTCUSDT at Binance in March 2021, when the examples of the liquidation page were written.
fn binance_btc() -> Brackets {
    table(&[
        (50_000, 125, 400_000),
        (250_000, 100, 500_000),
        (1_000_000, 50, 1_000_000),
        (5_000_000, 20, 2_500_000),
        (10_000_000, 10, 5_000_000),
        (20_000_000, 5, 10_000_000),
        (35_000_000, 4, 12_500_000),
        (50_000_000, 3, 15_000_000),
        (1_000_000_000, 2, 25_000_000),
    ])
}

/// ETHUSDT of that time.
fn binance_eth() -> Brackets {
    table(&[
        (10_000, 100, 500_000),
        (100_000, 75, 650_000),
        (500_000, 50, 1_000_000),
        (1_000_000, 25, 2_000_000),
        (2_000_000, 10, 5_000_000),
        (5_000_000, 5, 10_000_000),
        (10_000_000, 4, 12_500_000),
        (20_000_000, 3, 15_000_000),
        (1_000_000_000, 2, 25_000_000),
    ])
}

/// The first tiers of BTCUSDT at Bybit by its page on maintenance margin: 0.5 % up to 2,000,000 USDT,
/// 0.56 % at 2,600,000 USDT.
fn bybit_btc() -> Brackets {
    table(&[(2_000_000, 100, 500_000), (2_600_000, 90, 560_000)])
}

#[test]
fn binance_publishes_these_brackets() {
    // "The maintenance amount of 500,000 USDT is 1,300 USDT"; 264,000 USDT need 1 %.
    let btc = binance_btc();
    assert_eq!(btc.of(money("264000")).maintenance, rate("0.01"));
    assert_eq!(btc.of(money("-500000")).deduction, money("1300"));
    let deductions = |of: &Brackets| -> Vec<String> {
        of.rows()
            .iter()
            .map(|row| row.deduction.to_string())
            .collect()
    };
    assert_eq!(
        deductions(&btc),
        [
            "0", "50", "1300", "16300", "141300", "641300", "1141300", "2016300", "7016300"
        ]
    );
    assert_eq!(
        deductions(&binance_eth()),
        [
            "0", "15", "365", "5365", "35365", "135365", "260365", "510365", "2510365"
        ]
    );
    // `cum` of the answer that the default is from.
    let today = Brackets::dated_default();
    assert_eq!(today.as_of(), "2026-03-26");
    assert_eq!(
        deductions(&today),
        [
            "0",
            "300",
            "1500",
            "12000",
            "132000",
            "482000",
            "2982000",
            "14482000",
            "26482000",
            "41482000",
            "121482000",
            "421482000"
        ]
    );
    assert_eq!(today.leverage_max(money("300000")), Some(150));
    assert_eq!(today.leverage_max(money("-300000.01")), Some(100));
    assert_eq!(today.leverage_max(money("1800000000.01")), None);
    assert_eq!(today.of(money("1800000000.01")).leverage_max, 1);
}

/// Bybit, "Maintenance Margin (USDT Contract)".
#[test]
fn bybit_adds_up_tiers() {
    let xyz = table(&[
        (1_000, 25, 2_000_000),
        (2_000, 20, 2_500_000),
        (3_000, 15, 3_000_000),
        (4_000, 10, 3_500_000),
        (5_000, 5, 4_000_000),
    ]);
    // 100 contracts at 35 USDT: 1,000 × 2 % + 1,000 × 2.5 % + 1,000 × 3 % + 500 × 3.5 %.
    assert_eq!(xyz.maintenance_margin(money("3500")), Ok(money("92.5")));
    assert_eq!(initial_margin(money("3500"), 10), Ok(money("350")));
    // BTCUSDT: what exceeds 2,000,000 USDT pays the rate of the next tier.
    let btc = bybit_btc();
    assert_eq!(btc.of(money("2600000")).maintenance, rate("0.0056"));
    assert_eq!(btc.maintenance_margin(money("2000000")), Ok(money("10000")));
    assert_eq!(btc.maintenance_margin(money("2600000")), Ok(money("13360")));
}

/// Binance, "How to Calculate Liquidation Price of USDⓈ-M Futures Contracts".
#[test]
fn binance_liquidates_where_its_examples_say() {
    let on = instrument(6, 3);
    let (btc, eth) = (
        position("109.488", "32481.980", &on),
        position("3683.979", "1456.84", &on),
    );
    let wallet = money("1535443.01");
    let none = Others::default();
    let but_btc = Others {
        maintenance: money("356512.508"),
        unrealized: money("-448192.89"),
    };
    let but_eth = Others {
        maintenance: money("71200.81144"),
        unrealized: money("-56354.57"),
    };
    let cases = [
        (btc, binance_btc(), but_btc, "26316.89"),
        (eth, binance_eth(), but_eth, "1153.26"),
        (btc, binance_btc(), none, "18778.73"),
        (eth, binance_eth(), none, "1114.78"),
    ];
    for (position, brackets, others, want) in cases {
        let got = cross_liquidation_price(position, wallet, others, &brackets, Basis::Mark, &on);
        let got = got.expect("small").expect("a price");
        let want = Price::parse(want.as_bytes(), on.price_scale).expect("a price");
        assert!(
            (got.0 - want.0).abs() <= 5_000,
            "{got:?} is not {want:?} at two digits"
        );
        if others == none {
            let alone = isolated_liquidation_price(position, wallet, &brackets, Basis::Mark, &on);
            assert_eq!(alone, Ok(Some(got)));
        }
    }
    // What the page takes from the other contract, 71,200.81144 USDT, is its margin at its mark.
    let at = on.notional(Price(31_967_270_000), Qty(109_488));
    let needed = binance_btc().maintenance_margin(at.expect("small"));
    assert_eq!(needed, Ok(money("71200.811444")));
}

/// Bybit, "Liquidation Price (USDT Contract)".
#[test]
fn bybit_liquidates_where_its_examples_say() {
    let on = instrument(2, 3);
    let brackets = bybit_btc();
    let isolated = |qty: &str, entry: &str, leverage: u16, extra: &str| {
        let position = position(qty, entry, &on);
        let margin = initial_margin(position.cost, leverage).and_then(|m| m.plus(money(extra)));
        let margin = margin.expect("small");
        let price = isolated_liquidation_price(position, margin, &brackets, Basis::Entry, &on);
        price
            .expect("small")
            .map(|p| p.display(on.price_scale).to_string())
    };
    let is = |price: &str| Some(price.to_owned());
    assert_eq!(isolated("1", "20000", 50, "0"), is("19700"));
    assert_eq!(isolated("-1", "20000", 50, "3000"), is("23300"));
    // 200 USDT of funding taken from the margin.
    assert_eq!(isolated("1", "20000", 50, "-200"), is("19900"));
    // The numbers of the page's first edition.
    assert_eq!(isolated("1", "10000", 50, "0"), is("9850"));
    assert_eq!(isolated("-1", "8000", 40, "0"), is("8160"));
    // Cross margin: 2 BTC long at 10,000 USDT (100x), 2,000 USDT available: 2,100 USDT can be lost.
    let long = position("2", "10000", &on);
    let wallet = initial_margin(long.cost, 100).and_then(|m| m.plus(money("2000")));
    let wallet = wallet.expect("small");
    let none = Others::default();
    let price = cross_liquidation_price(long, wallet, none, &brackets, Basis::Entry, &on);
    assert_eq!(price, Ok(Some(Price(895_000))));
}

/// Fee = position value (quantity × mark price) × rate; longs pay shorts when the rate is positive.
#[test]
fn funding_goes_from_one_side_to_the_other() {
    let on = instrument(2, 3);
    let value = |qty: i64| on.notional(Price(800_000), Qty(qty)).expect("small");
    let pay = |qty, at: &str| funding_payment(value(qty), rate(at));
    assert_eq!(pay(10_000, "0.0001"), Ok(money("-8")));
    assert_eq!(pay(-10_000, "0.0001"), Ok(money("8")));
    assert_eq!(pay(10_000, "-0.0001"), Ok(money("8")));
    assert_eq!(pay(-10_000, "-0.0001"), Ok(money("-8")));
    assert_eq!(
        funding_payment(money("20000"), rate("0.0001")),
        Ok(money("-2"))
    );
    // Ties go to even on both sides.
    for tie in [50_000_000, 150_000_000] {
        let long = funding_payment(Money(tie), Rate(1)).expect("small");
        let short = funding_payment(Money(-tie), Rate(1)).expect("small");
        assert_eq!((long.0 + short.0, long.0 % 2), (0, 0));
    }
}

#[test]
fn initial_margin_is_rounded_up() {
    assert_eq!(initial_margin(Money(10), 3), Ok(Money(4)));
    assert_eq!(initial_margin(Money(-10), 3), Ok(Money(4)));
    assert_eq!(initial_margin(Money(9), 3), Ok(Money(3)));
    assert_eq!(initial_margin(Money(i128::MAX), 1), Ok(Money(i128::MAX)));
    assert_eq!(initial_margin(Money(i128::MIN), 1), Err(MoneyError));
    assert_eq!(initial_margin(Money(1), 0), Err(MoneyError));
}

#[test]
fn liquidation_needs_a_position() {
    assert!(is_liquidated(Money(5), Money(5)));
    assert!(is_liquidated(Money(-1), Money(5)));
    assert!(!is_liquidated(Money(6), Money(5)));
    assert!(!is_liquidated(Money(-1), Money::ZERO));
}

#[test]
fn prices_that_do_not_exist_are_said_so() {
    let on = instrument(2, 3);
    let brackets = bybit_btc();
    let solve = |qty: &str, margin: &str| {
        let position = position(qty, "100", &on);
        isolated_liquidation_price(position, money(margin), &brackets, Basis::Mark, &on)
    };
    // A long that is paid in full, and one whose margin reaches to zero.
    assert_eq!(solve("1", "100"), Ok(None));
    assert_eq!(solve("1", "250"), Ok(None));
    assert_eq!(solve("1", "99.99").map(|p| p.is_some()), Ok(true));
    // A short can always be liquidated; one that owes more than it brought in, at every price.
    assert_eq!(solve("-1", "1000000").map(|p| p.is_some()), Ok(true));
    assert_eq!(solve("-1", "-100.01"), Ok(Some(Price(0))));
    assert_eq!(solve("0", "-5"), Ok(None));
    // Beyond what exact numbers hold.
    let long = position("1", "100", &on);
    let huge = isolated_liquidation_price(long, Money(i128::MAX), &brackets, Basis::Mark, &on);
    assert_eq!(huge, Err(MoneyError));
    let hedge = |long, short| {
        let none = Others::default();
        let wallet = money("-1000");
        cross_hedge_liquidation_prices(long, short, wallet, none, &brackets, Basis::Mark, &on)
    };
    let (flat, short) = (Exposure::default(), position("-1", "100", &on));
    assert_eq!(hedge(short, flat), Err(MoneyError));
    assert_eq!(hedge(flat, long), Err(MoneyError));
    assert_eq!(hedge(flat, flat), Ok(HedgeLiquidation::default()));
    let everywhere = HedgeLiquidation {
        below: Some(Price(i64::MAX)),
        above: Some(Price(0)),
    };
    assert_eq!(hedge(long, short), Ok(everywhere));
}

#[test]
fn only_brackets_that_can_be_are_taken() {
    let good = Brackets::dated_default();
    let refuse = |change: &dyn Fn(&mut Vec<Bracket>)| {
        let mut rows = good.rows().to_vec();
        change(&mut rows);
        Brackets::new("2026-03-26".to_owned(), rows).expect_err("it must be refused")
    };
    assert_eq!(refuse(&|rows| rows.clear()), E::Count(0));
    assert_eq!(refuse(&|rows| *rows = vec![rows[0]; 65]), E::Count(65));
    assert_eq!(
        refuse(&|rows| rows[0].notional_floor = Money(1)),
        E::Bounds(1)
    );
    let hole = |rows: &mut Vec<Bracket>| {
        rows.remove(3);
    };
    assert_eq!(refuse(&hole), E::Bounds(4));
    assert_eq!(
        refuse(&|rows| rows[2].notional_cap = rows[2].notional_floor),
        E::Bounds(3)
    );
    assert_eq!(refuse(&|rows| rows[5].leverage_max = 0), E::Leverage(6));
    assert_eq!(refuse(&|rows| rows[5].leverage_max = 26), E::Leverage(6));
    assert_eq!(refuse(&|rows| rows[0].maintenance = Rate(0)), E::Rate(1));
    assert_eq!(refuse(&|rows| rows[1].maintenance = Rate(1)), E::Rate(2));
    assert_eq!(
        refuse(&|rows| rows[11].maintenance = Rate::ONE),
        E::Rate(12)
    );
    assert_eq!(
        refuse(&|rows| rows[0].deduction = Money(1)),
        E::Deduction(1)
    );
    assert_eq!(refuse(&|rows| rows[7].deduction.0 += 1), E::Deduction(8));
    for date in ["", "2026-3-26", "2026/03/26", "2026-03-2x", "2026-03-261"] {
        let refused = Brackets::new(date.to_owned(), good.rows().to_vec());
        assert_eq!(refused, Err(E::Date), "{date}");
    }
    // On the wire too.
    let bytes = postcard::to_allocvec(&good).expect("bytes");
    assert_eq!(postcard::from_bytes::<Brackets>(&bytes).as_ref(), Ok(&good));
    let mut rows = good.rows().to_vec();
    rows[7].deduction.0 += 1;
    let bytes = postcard::to_allocvec(&("2026-03-26", rows)).expect("bytes");
    assert!(postcard::from_bytes::<Brackets>(&bytes).is_err());
}

fn ratio(value: i128) -> BigRational {
    BigRational::from_integer(BigInt::from(value))
}

fn brackets() -> impl Strategy<Value = Brackets> {
    let row = (1..2_000_000_i64, 0..20_u16, 0..400_i64);
    prop::collection::vec(row, 1..9).prop_map(|rows| {
        let (mut cap, mut leverage, mut rate) = (0, 200, 10);
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(size, down, up)| {
                (cap, leverage, rate) = (cap + size, leverage - down, rate + up);
                (cap, leverage, rate * 10_000) // steps of 0.01 %
            })
            .collect();
        table(&rows)
    })
}

/// Scales, quantity, entry price, and how far the cost is off the entry's grid.
fn exposure() -> impl Strategy<Value = (i64, i64, i64)> {
    (
        1..5_000_000_i64,
        1..20_000_000_i64,
        -1_000_000..1_000_000_i64,
    )
}

fn exposed(on: &Instrument, sign: i64, (qty, entry, off): (i64, i64, i64)) -> Exposure {
    let cost = on.notional(Price(entry), Qty(sign * qty)).expect("small");
    Exposure {
        qty: sign * qty,
        cost: Money(cost.0 + i128::from(off)),
    }
}

/// Margin balance less maintenance margin at a price, by the functions that the account uses.
fn left(
    positions: &[Exposure],
    free: Money,
    at: Price,
    of: &Brackets,
    basis: Basis,
    on: &Instrument,
) -> (Money, Money) {
    let (mut balance, mut needed) = (free, Money::ZERO);
    for position in positions {
        let value = on.notional(at, Qty(position.qty)).expect("small");
        let profit = value.minus(position.cost).expect("small");
        balance = balance.plus(profit).expect("small");
        let base = match basis {
            Basis::Mark => value,
            Basis::Entry => position.cost,
        };
        let margin = of.maintenance_margin(base).expect("small");
        needed = needed.plus(margin).expect("small");
    }
    (balance, needed)
}

/// Binance's formula with the brackets that hold at `near`, in smallest steps of the price.
fn published(
    positions: &[Exposure],
    free: Money,
    near: Price,
    of: &Brackets,
    on: &Instrument,
) -> Option<BigRational> {
    let (mut over, mut under) = (ratio(free.0), ratio(0));
    for position in positions {
        let value = on.notional(near, Qty(position.qty)).expect("small");
        let row = of.of(value);
        // side × size, in the amount that one step of the price moves.
        let sized = ratio(on.notional(Price(1), Qty(position.qty)).expect("small").0);
        let rate = BigRational::new(BigInt::from(row.maintenance.0), BigInt::from(Rate::ONE.0));
        over += ratio(row.deduction.0) - ratio(position.cost.0);
        under += sized.abs() * rate - sized;
    }
    (under != ratio(0)).then(|| over / under)
}

proptest! {
    #[test]
    fn maintenance_is_continuous_and_rises(of in brackets(), at in 0..9_u8, off in -5..5_i128) {
        let row = of.rows()[usize::from(at) % of.rows().len()];
        let margin = |size: i128| of.maintenance_margin(Money(size)).expect("small");
        let (cap, one) = (row.notional_cap.0, 100_000_000);
        prop_assert_eq!(margin(-cap - off), margin(cap + off));
        prop_assert!(margin(cap + off) >= margin(cap + off - 1));
        let step = margin(cap + one).0 - margin(cap).0;
        prop_assert!(step >= row.maintenance.0.into() && step < Rate::ONE.0.into());
        // By tiers, as an income tax.
        let size = cap + off * one;
        let tiers: i128 = of.rows().iter().enumerate().map(|(i, r)| {
            let last = i + 1 == of.rows().len();
            let top = if last { size } else { size.min(r.notional_cap.0) };
            (top - r.notional_floor.0).max(0) * i128::from(r.maintenance.0)
        }).sum();
        prop_assert_eq!(margin(size).0 * i128::from(Rate::ONE.0), tiers);
    }

    #[test]
    fn one_step_from_the_price_decides(
        of in brackets(),
        scales in (0..=4_u8, 0..=4_u8),
        numbers in exposure(),
        long in any::<bool>(),
        share in 0..250_i128,
        entry in any::<bool>(),
    ) {
        let on = instrument(scales.0, scales.1);
        let position = exposed(&on, if long { 1 } else { -1 }, numbers);
        let margin = Money(position.cost.0.abs() * share / 100);
        let basis = if entry { Basis::Entry } else { Basis::Mark };
        let price = isolated_liquidation_price(position, margin, &of, basis, &on);
        // Amounts near 10^14 units leave the range, as documented.
        prop_assume!(price.is_ok());
        let price = price.expect("in range");
        let dead = |at: i64| {
            let (balance, needed) = left(&[position], margin, Price(at), &of, basis, &on);
            is_liquidated(balance, needed)
        };
        let Some(Price(price)) = price else {
            // No price above zero liquidates.
            prop_assert!(long);
            prop_assert!(!dead(1));
            return Ok(());
        };
        let better = if long { 1 } else { -1 };
        prop_assert!(price + better <= 0 || !dead(price + better));
        prop_assert!(dead(price - better) || price - better <= 0);
        // Alive at the entry: the price lies between, on the side of the entry.
        let at_entry = numbers.1;
        if !dead(at_entry) {
            let between = (at_entry - price) * better >= 0;
            prop_assert!(between);
        }
        if basis == Basis::Mark && price > 0 {
            // The price is beyond the root by less than a step; the bracket is that of the root.
            let near = Price((price - better).max(1));
            let roots = [Price(price), near].map(|p| published(&[position], margin, p, &of, &on));
            let fits = |root: &Option<BigRational>| root.as_ref().is_some_and(|root| {
                let past = (ratio(price.into()) - root) * ratio(better.into());
                past >= ratio(0) && past < ratio(1)
            });
            prop_assert!(roots.iter().any(fits), "{price} {roots:?}");
        }
    }

    #[test]
    fn a_hedge_lives_between_its_prices(
        of in brackets(),
        scales in (0..=4_u8, 0..=4_u8),
        longs in exposure(),
        shorts in exposure(),
        same in any::<bool>(),
        share in -50..250_i128,
        others in (0..1_000_000_i64, -1_000_000..1_000_000_i64),
    ) {
        let on = instrument(scales.0, scales.1);
        let long = exposed(&on, 1, longs);
        let short = exposed(&on, -1, if same { (longs.0, shorts.1, shorts.2) } else { shorts });
        let wallet = Money(long.cost.0 * share / 100);
        let others = Others { maintenance: Money(others.0.into()), unrealized: Money(others.1.into()) };
        let free = Money(wallet.0 - others.maintenance.0 + others.unrealized.0);
        let got = cross_hedge_liquidation_prices(long, short, wallet, others, &of, Basis::Mark, &on);
        // Amounts near 10^14 units leave the range, as documented.
        prop_assume!(got.is_ok());
        let HedgeLiquidation { below, above } = got.expect("in range");
        let both = [long, short];
        let dead = |at: i64| {
            let (balance, needed) = left(&both, free, Price(at), &of, Basis::Mark, &on);
            is_liquidated(balance, needed)
        };
        let (lo, hi) = (below.map_or(0, |p| p.0), above.map_or(i64::MAX, |p| p.0));
        if lo > hi {
            // Nothing carries them: dead wherever one looks.
            for at in [1, 2, longs.1, shorts.1, 40_000_000, 1_000_000_000] {
                prop_assert!(dead(at));
            }
            return Ok(());
        }
        prop_assert!(lo < 2 || dead(lo - 1));
        prop_assert!(above.is_none() || dead(hi + 1));
        let top = hi.min(1_000_000_000_000);
        let middle = i64::midpoint(lo, top);
        for at in [lo + 1, middle, top - 1].into_iter().filter(|at| lo < *at && *at < hi) {
            prop_assert!(!dead(at), "{at} of {lo} to {hi}");
        }
        for (price, better) in [(below, 1), (above, -1)] {
            let Some(Price(price)) = price.filter(|p| p.0 > 0) else { continue };
            let near = [price, price - better].map(|p| Price(p.max(1)));
            let roots = near.map(|p| published(&both, free, p, &of, &on));
            let fits = |root: &Option<BigRational>| root.as_ref().is_some_and(|root| {
                let past = (ratio(price.into()) - root) * ratio(better.into());
                past >= ratio(0) && past < ratio(1)
            });
            // Between the two prices either position may change its bracket once; the root is then
            // that of mixed brackets, which the steps above have pinned.
            let rows = |p: Price| both.map(|e| of.of(on.notional(p, Qty(e.qty)).expect("small")));
            if rows(near[0]) == rows(near[1]) {
                prop_assert!(roots.iter().any(fits), "{price} {roots:?}");
            }
        }
    }
}
