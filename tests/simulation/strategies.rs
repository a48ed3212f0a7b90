//! Strategies in some of the runs: every kind of the table, on candles of a second, with terms that the seed draws.

use hean::kernel::strategies::{STRATEGIES, StrategyConfig};
use hean::kernel::types::Interval;

use crate::random::Random;

/// None in thirty-six of thirty-seven runs: with them one takes as long as fifteen.
pub(crate) fn strategies(seed: u64) -> Vec<StrategyConfig> {
    if !seed.is_multiple_of(37) {
        return Vec::new();
    }
    let mut random = Random::of(seed, 7);
    STRATEGIES
        .iter()
        // These are what their program is, and have runs of their own.
        .filter(|row| !["rules", "script"].contains(&row.name))
        .map(|row| one(row.name, &mut random))
        .collect()
}

fn one(kind: &str, random: &mut Random) -> StrategyConfig {
    let mut config = StrategyConfig::new(kind, Interval::SECOND);
    let row = config.row().expect("a row");
    for (name, value) in [
        ("fast", "2"),
        ("slow", "3"),
        ("signal", "1"),
        ("period", "2"),
        ("entry", "2"),
        ("exit", "2"),
        ("volatility", "2"),
        ("spacing", "0.05"),
        ("every_ms", "10"),
    ] {
        let known = row.params.iter().find(|p| p.name == name);
        // `exit` of an index is no number of candles.
        if known.is_some_and(|p| p.read(value).is_ok() && !p.unit.is_empty()) {
            config.set(name, value).expect("a parameter");
        }
    }
    let mut draw = |name: &str, values: &[&'static str]| {
        config.set(name, random.pick(values)).expect("a parameter");
    };
    draw("direction", &["long", "short", "both", "both"]);
    draw("cooldown", &["0", "0", "2"]);
    draw(
        "size",
        &[
            "quote 500",
            "quote 20000",
            "equity_percent 3",
            "fixed 1.5",
            "volatility_target 50 2",
            "kelly 0.5 10 2",
        ],
    );
    match random.range(0, 3) {
        0 => config.set("trailing", "0.5%").expect("a parameter"),
        1 => {
            config.set("stop_loss", "0.3%").expect("a parameter");
            config.set("take_profit", "2atr:2").expect("a parameter");
        }
        _ => {}
    }
    config
}
