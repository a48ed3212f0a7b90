//! Every strategy of the table on a month of real minute candles, played as trades and books; and what the kernel does
//! for all of them: sizes, stops, cool-down, flips, reasons, restarts.

#[path = "support/recordings.rs"]
mod recordings;
#[path = "strategies/world.rs"]
mod world;

use hean::candle_csv;
use hean::kernel::event::{CommandKind, LossReason, Lost, MarketData, Outcome, Record, Sequenced};
use hean::kernel::indicators::Bar;
use hean::kernel::orders::OrderState::{self, Cancelled, Filled};
use hean::kernel::orders::{OrderType, Origin, PositionSide};
use hean::kernel::snapshot::{Stop, Verdict};
use hean::kernel::strategies::{Kind, STRATEGIES, StrategyConfig, build};
use hean::kernel::types::{Contract, Money, Price, Side};
use recordings::recordings;
use world::{ID, World, strategy};

fn bars() -> Option<Vec<Bar>> {
    let data = recordings()?;
    let file = data.join("nautilus_trader/csv/btc-perp-20211231-20220201_1m.csv.gz");
    let rows = candle_csv::read(&file).expect("a candle file");
    Some(rows.into_iter().map(|row| row.bar).collect())
}

/// With the defaults of its row; a second one of the same kind goes both ways.
fn both(kind: &str) -> Vec<StrategyConfig> {
    let mut other = strategy(kind, &[("direction", "both")]);
    "other".clone_into(&mut other.name);
    vec![strategy(kind, &[]), other]
}

#[test]
fn heavy_each_strategy_trades_a_month_of_minutes() {
    let Some(bars) = bars() else { return };
    assert_eq!(bars.len(), 45_031);
    for row in STRATEGIES {
        let mut world = World::new(Contract::Spot, vec![strategy(row.name, &[])]);
        for bar in &bars {
            world.bar(bar);
        }
        let fills = world.fills();
        assert!(fills > 20, "{}: {fills} fills", row.name);
        assert!(
            world.position() >= 0,
            "{}: spot is not sold short",
            row.name
        );
        let ledger = world.engine.kernel().ledger();
        assert!(ledger.sums_are_right(), "{}", row.name);
    }
}

#[test]
fn each_strategy_trades_the_same_on_every_run_and_both_ways() {
    let Some(bars) = bars() else { return };
    for row in STRATEGIES {
        let run = || {
            let mut world = World::new(Contract::LinearPerpetual, both(row.name));
            let mut short = false;
            for bar in bars.iter().take(3_000) {
                world.bar(bar);
                let kernel = world.engine.kernel();
                let other = kernel.ledger().strategy("other").expect("it runs");
                short |= kernel
                    .ledger()
                    .attributed(other, ID, PositionSide::Both)
                    .qty
                    < 0;
                let own = kernel.ledger().strategy(row.name).expect("it runs");
                let own = kernel.ledger().attributed(own, ID, PositionSide::Both).qty;
                assert!(own >= 0, "{}: long alone", row.name);
            }
            assert!(world.fills() > 0 && short, "{}: both ways", row.name);
            world.engine.state_hash()
        };
        assert_eq!(run(), run(), "{}", row.name);
    }
}

#[test]
fn the_table_is_sound() {
    for row in STRATEGIES {
        assert!(!row.what.is_empty());
        // Text has a grammar of its own.
        for param in row.params.iter().filter(|p| p.kind != Kind::Text) {
            let read = |text: &str| {
                param
                    .read(text)
                    .unwrap_or_else(|e| panic!("{}: {e}", param.name))
            };
            read(param.default);
            for bound in [param.min, param.max].into_iter().filter(|b| !b.is_empty()) {
                read(bound);
            }
            assert!(
                param.read("").is_err() && param.read("x").is_err(),
                "{}",
                param.name
            );
            let config = strategy(row.name, &[(param.name, param.default)]);
            build(&config).expect("defaults are legal");
        }
        let wrong = strategy(row.name, &[("nope", "1")]);
        let error = build(&wrong).expect_err("no such parameter");
        assert!(
            error.to_string().contains("has no parameter \"nope\""),
            "{error}"
        );
    }
}

/// Up, then down: EMA cross of 1 and 2 candles is long after a candle that is above the one before.
fn cross(params: &[(&str, &str)]) -> StrategyConfig {
    strategy(
        "ema_cross",
        &[&[("fast", "1"), ("slow", "2")], params].concat(),
    )
}

#[test]
fn a_size_is_of_the_close_and_on_the_lot() {
    for (size, equity_part) in [
        ("quote 1000", 1_000.0_f64),
        ("equity_percent 5", 5_000.0),
        ("fixed 0.123456", 0.123_456 * 101.0),
    ] {
        let mut world = World::new(Contract::Spot, vec![cross(&[("size", size)])]);
        world.minutes([10_000, 10_000, 10_100, 10_100]);
        let orders = world.orders();
        // Floor of amount / 101.00 at a lot of 0.00001.
        #[expect(clippy::cast_possible_truncation, reason = "small")]
        let want = ((equity_part / 101.0) * 100_000.0 + 1e-6).floor() as i64 * 10;
        let first = (Side::Buy, OrderType::Market, want, OrderState::Filled);
        assert_eq!(orders, [first], "{size}");
        let (verdict, stop, text) = world.why();
        assert_eq!((verdict, stop), (Verdict::Enter, None), "{text}");
    }
}

#[test]
fn what_is_too_small_or_not_known_is_told_and_not_journaled() {
    for (size, wanted) in [
        ("quote 1", "below the venue's minimum"),
        ("volatility_target 20 50", "volatility is not known"),
    ] {
        let mut world = World::new(Contract::Spot, vec![cross(&[("size", size)])]);
        world.minutes([10_000, 10_000, 10_100, 10_100]);
        assert_eq!(world.orders(), []);
        let refused = |r: &&Sequenced| matches!(r.record, Record::Refused { .. });
        assert_eq!(world.records.iter().filter(refused).count(), 0);
        let (_, _, text) = world.why();
        assert!(text.contains(wanted), "{text}");
    }
}

#[test]
fn volatility_sizes_a_position() {
    let size = ("size", "volatility_target 10 5");
    let mut world = World::new(Contract::Spot, vec![cross(&[size])]);
    let mut prices: Vec<i64> = (0..12).map(|i| 10_000 + i % 2 * 10 - i).collect();
    prices.extend([10_100, 10_100]);
    world.minutes(prices);
    let orders = world.orders();
    let (_, _, qty, _) = *orders.last().expect("an order");
    assert!(qty > 0);
    // A tenth of a year's volatility: far less than everything.
    let worth = qty as f64 / 1e6 * 101.0;
    assert!((10.0..20_000.0).contains(&worth), "{worth}");
}

#[test]
fn stops_and_targets_come_with_the_entry() {
    let exits = [("stop_loss", "2%"), ("take_profit", "4%")];
    for (contract, falls) in [
        (Contract::Spot, true),
        (Contract::Spot, false),
        (Contract::LinearPerpetual, true),
    ] {
        let mut world = World::new(contract, vec![cross(&exits)]);
        world.minutes([10_000, 10_000, 10_100, 10_101]);
        let open: Vec<_> = world.orders().iter().skip(1).map(|o| o.1).collect();
        let trigger = |kind: OrderType| kind.trigger().map(|t| t.price);
        // Of the close, 101.00.
        assert_eq!(
            open.iter().map(|kind| trigger(*kind)).collect::<Vec<_>>(),
            [Some(Price(10_504)), Some(Price(9_898))],
        );
        assert!(world.position() > 0);
        let through = if falls { 9_890 } else { 10_600 };
        world.trade(through);
        assert_eq!(world.position(), 0, "{contract:?} {falls}");
        let still = world.orders();
        assert!(still.iter().all(|o| o.3 != OrderState::Acked), "{still:?}");
    }
}

#[test]
fn a_trailing_stop_follows() {
    let mut world = World::new(Contract::Spot, vec![cross(&[("trailing", "1%")])]);
    world.minutes([10_000, 10_000, 10_100, 10_200, 10_400, 10_500]);
    let orders = world.orders();
    assert!(
        matches!(orders[1].1, OrderType::TrailingStop { .. }),
        "{orders:?}"
    );
    assert_eq!(orders[0].2, orders[1].2);
    world.trade(10_380);
    assert_eq!(world.position(), 0);
    let wrong = cross(&[("trailing", "1%"), ("stop_loss", "1%")]);
    assert!(build(&wrong).is_err());
}

#[test]
fn an_exit_cancels_the_stops_first() {
    let mut world = World::new(Contract::Spot, vec![cross(&[("stop_loss", "20%")])]);
    world.minutes([10_000, 10_000, 10_100, 10_100]);
    assert!(world.position() > 0);
    world.minutes([10_050, 10_050]);
    assert_eq!(world.position(), 0, "{:?}", world.orders());
    let states: Vec<_> = world.orders().iter().map(|o| o.3).collect();
    assert_eq!(states, [Filled, Cancelled, Filled]);
}

#[test]
fn a_flip_is_a_close_and_an_entry() {
    let both = [("direction", "both")];
    let mut world = World::new(Contract::LinearPerpetual, vec![cross(&both)]);
    world.minutes([10_000, 10_000, 10_100, 10_100]);
    // Not above is below: it began short.
    assert!(world.position() > 0);
    world.minutes([10_050, 10_050]);
    assert!(world.position() < 0);
    let sides: Vec<_> = world.orders().iter().map(|o| o.0).collect();
    assert_eq!(
        sides,
        [Side::Sell, Side::Buy, Side::Buy, Side::Sell, Side::Sell]
    );
    let states = world.orders();
    assert!(states.iter().all(|o| o.3 == Filled), "{states:?}");
    // Spot has no short side.
    let mut world = World::new(Contract::Spot, vec![cross(&both)]);
    world.minutes([10_000, 10_000, 9_900, 9_900]);
    assert_eq!(world.why().1, Some(Stop::Direction));
    assert_eq!(world.orders(), []);
}

#[test]
fn after_an_exit_it_cools_down_even_over_a_restart() {
    for restart in [false, true] {
        let mut world = World::new(Contract::Spot, vec![cross(&[("cooldown", "3")])]);
        world.minutes([10_000, 10_000, 10_100, 10_100, 10_050, 10_050]);
        // The exit came with the close of the fifth candle. The sixth will not be above it, so wants nothing.
        assert_eq!((world.position(), world.fills()), (0, 2));
        if restart {
            world.restart();
        }
        let mut left = Vec::new();
        for price in [10_100, 10_200, 10_300, 10_400, 10_500, 10_600, 10_700] {
            world.minute(&[price]);
            if let Some(Stop::CoolDown { candles }) = world.why().1 {
                left.push(candles);
            }
        }
        if restart {
            // The averages begin anew with the process: the cool-down is over when they are warm, or is still told.
            assert!(left.iter().all(|candles| *candles <= 3), "{left:?}");
        } else {
            assert_eq!(left, [2, 1]);
        }
        assert!(world.position() > 0);
    }
}

#[test]
fn without_a_book_it_does_not_enter() {
    let mut world = World::new(Contract::Spot, vec![cross(&[])]);
    world.books = false;
    world.minutes([10_000, 10_000, 10_100, 10_100]);
    assert_eq!(world.orders(), []);
    assert_eq!(world.why().1, Some(Stop::Book));
}

#[test]
fn a_risk_rule_that_says_no_is_told_with_its_numbers() {
    let mut world = World::new(Contract::Spot, vec![cross(&[("size", "quote 90000")])]);
    world.minutes([10_000, 10_000, 10_100, 10_100]);
    let (verdict, stop, text) = world.why();
    assert_eq!(world.orders(), []);
    let Some(Stop::Risk(refusal)) = stop else {
        panic!("{text}");
    };
    assert_eq!(
        (verdict, refusal.rule.name()),
        (Verdict::Enter, "max_order_notional")
    );
    assert!(text.contains(&refusal.limit), "{text}");
}

#[test]
fn kelly_takes_little_until_it_knows_and_nothing_without_an_edge() {
    let size = ("size", "kelly 0.5 20 2");
    let mut world = World::new(Contract::Spot, vec![cross(&[size])]);
    // Each trade loses: bought after a rise, sold after a fall.
    for _ in 0..2 {
        world.minutes([10_000, 10_000, 10_100, 10_100, 9_900, 9_900]);
    }
    let worth = world.orders()[0].2 as f64 / 1e6 * 101.0;
    assert!(
        (worth - 1_000.0).abs() < 1.1,
        "1 % of the equity, not {worth}"
    );
    // One that wins.
    world.minutes([
        10_000, 10_000, 10_100, 10_200, 10_300, 10_400, 10_390, 10_390,
    ]);
    world.minutes([10_000, 10_100, 10_200, 10_300]);
    let (_, _, text) = world.why();
    let known = text.contains("no edge") || world.position() > 0;
    assert!(known, "{text}");
}

#[test]
fn it_is_reconfigured_without_losing_its_position() {
    let mut world = World::new(Contract::Spot, vec![cross(&[])]);
    world.minutes([10_000, 10_000, 10_100, 10_100]);
    let held = world.position();
    assert!(held > 0);
    let slow = cross(&[("fast", "2"), ("slow", "3")]);
    assert_eq!(
        world.tell(CommandKind::Reconfigure(Box::new(slow))),
        Outcome::Done
    );
    assert_eq!(world.why().1, Some(Stop::Reloaded));
    assert_eq!(world.position(), held);
    let wrong = cross(&[("fast", "9"), ("slow", "3")]);
    let told = world.tell(CommandKind::Reconfigure(Box::new(wrong)));
    assert!(matches!(told, Outcome::Unfit(_)), "{told:?}");
    let mut stranger = cross(&[]);
    stranger.name = "stranger".to_owned();
    let told = world.tell(CommandKind::Reconfigure(Box::new(stranger)));
    assert_eq!(told, Outcome::NotFound);
    // The indicators of the new one are there at once, from the candles that were kept.
    world.minutes([9_000, 9_000]);
    assert_eq!(world.position(), 0, "{:?}", world.why());
}

#[test]
fn a_grid_buys_low_sells_higher_and_remembers() {
    let grid = strategy(
        "grid",
        &[("spacing", "1"), ("levels", "3"), ("size", "quote 1000")],
    );
    let mut world = World::new(Contract::Spot, vec![grid]);
    world.minutes([10_000, 10_000]);
    let buys = |world: &World| {
        let open = world.orders().into_iter();
        let open = open.filter(|o| o.3 == OrderState::Acked);
        open.map(|o| (o.0, o.1.limit().expect("a limit").0))
            .collect::<Vec<_>>()
    };
    let first = buys(&world);
    assert_eq!(first.len(), 3, "{first:?}");
    assert!(
        first
            .iter()
            .all(|(side, price)| *side == Side::Buy && *price < 10_000)
    );
    // Down through the first level: it is held, and offered one level higher.
    let level = first.iter().map(|o| o.1).max().expect("levels");
    world.minutes([level - 20, level - 20]);
    assert!(world.position() > 0);
    let then = buys(&world);
    let sells: Vec<_> = then.iter().filter(|o| o.0 == Side::Sell).collect();
    assert_eq!((then.len(), sells.len()), (3, 1), "{then:?}");
    let ratio = sells[0].1 as f64 / level as f64;
    assert!((ratio - 1.01).abs() < 0.001, "{ratio}");
    world.restart();
    world.minutes([level - 20, level - 20]);
    assert_eq!(buys(&world), then, "it goes on where it was");
    world.minutes([sells[0].1 + 20, sells[0].1 + 20]);
    assert_eq!(world.position(), 0, "{:?}", world.orders());
    let profit = world.engine.kernel().ledger().account().realized;
    assert!(profit > Money::whole(9), "{profit}");
}

#[test]
fn a_market_maker_leans_against_its_inventory() {
    let maker = strategy(
        "market_maker",
        &[
            ("volatility", "5"),
            ("direction", "both"),
            ("position_max", "1.5"),
        ],
    );
    let mut world = World::new(Contract::LinearPerpetual, vec![maker]);
    world.minutes((0..20).map(|i| 10_000 + i % 3 * 10));
    let quotes = |world: &World| {
        let open = world.orders().into_iter();
        let mut open: Vec<_> = open
            .filter(|o| o.3 == OrderState::Acked)
            .map(|o| (o.0, o.1.limit().expect("a limit").0))
            .collect();
        open.sort_unstable_by_key(|o| o.1);
        open
    };
    let flat = quotes(&world);
    let [(Side::Buy, bid), (Side::Sell, ask)] = flat[..] else {
        panic!("{flat:?}");
    };
    let last = 10_010;
    assert!(bid < last && last < ask, "{flat:?} around {last}");
    // Its bid is taken, before the book moves: both quotes go down.
    world.books = false;
    world.trade(bid - 1);
    world.books = true;
    world.minutes([last, last]);
    assert!(world.position() > 0);
    let long = quotes(&world);
    let ask_now = long.iter().find(|o| o.0 == Side::Sell).expect("an ask").1;
    assert!(ask_now < ask, "{flat:?}, then {long:?}");
    // Without a book nothing rests.
    world.market(MarketData::Lost(LossReason::Stalled, Lost::Book));
    world.books = false;
    world.minutes([last, last]);
    assert_eq!(quotes(&world), []);
}

#[test]
fn orders_of_a_strategy_are_its_own() {
    let mut other = cross(&[("symbols", "ETHUSDT")]);
    other.name = "elsewhere".to_owned();
    let mut world = World::new(
        Contract::Spot,
        vec![cross(&[("symbols", "sim:btc-usdt")]), other],
    );
    world.minutes([10_000, 10_000, 10_100, 10_100]);
    let ledger = world.engine.kernel().ledger();
    let own = ledger.strategy("ema_cross").expect("defined");
    let origins: Vec<_> = ledger.orders().iter().map(|o| o.origin).collect();
    assert_eq!(origins, [Origin::Strategy(own)]);
}

#[test]
fn while_the_kill_switch_is_pulled_it_orders_nothing() {
    let mut world = World::new(Contract::Spot, vec![cross(&[])]);
    world.minutes([10_000, 10_000, 10_100, 10_100]);
    let held = world.position();
    assert!(held > 0);
    let by = "test".to_owned();
    world.tell(CommandKind::Halt { flatten: false, by });
    world.minutes([10_050, 10_050]);
    assert_eq!((world.position(), world.orders().len()), (held, 1));
    assert_eq!(world.why().1, Some(Stop::Halted));
    let by = "test".to_owned();
    world.tell(CommandKind::Resume { by });
    world.minutes([10_040, 10_040]);
    assert_eq!(world.position(), 0);
}
