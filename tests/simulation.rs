//! Seeded simulation of kernel, journal and venue under faults: random orders, changes, cancels, lost and late
//! messages, full disks, restarts; what must hold is checked after every step.
//!
//! `cargo test --test simulation` runs 5,000 seeds. More of them, or one alone:
//! `HEAN_SEEDS=100000 cargo test --profile fastrelease --test simulation`, `HEAN_SEED=4711 …`. A seed that fails is
//! shortened to the actions that matter and printed.

#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a simulation prints what it covered, and its numbers are small"
)]

#[path = "simulation/action.rs"]
mod action;
#[path = "simulation/link.rs"]
mod link;
#[path = "simulation/market.rs"]
mod market;
#[path = "simulation/oracle.rs"]
mod oracle;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/recovery.rs"]
mod recovery;
#[path = "simulation/seen.rs"]
mod seen;
#[path = "simulation/strategies.rs"]
mod strategies;
#[path = "simulation/wish.rs"]
mod wish;
#[path = "simulation/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use action::{Action, actions};
use hean::kernel::orders::OrderState;
use parking_lot::Mutex;
use seen::{Seen, all_transitions};
use world::World;

/// Seeds of a run in CI.
const SEEDS: u64 = 5_000;

fn run(seed: u64, actions: &[Action]) -> Result<Seen, String> {
    let life = || {
        let mut world = World::new(seed)?;
        for (index, action) in actions.iter().enumerate() {
            world
                .act(action)
                .map_err(|e| format!("action {index}, {action:?}: {e}"))?;
        }
        world.finish()
    };
    catch_unwind(AssertUnwindSafe(life)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// The fewest actions that still fail, by leaving out ever smaller parts.
fn shrink(seed: u64, actions: &[Action]) -> Vec<Action> {
    if number("HEAN_SHRINK") == Some(0) {
        return actions.to_vec();
    }
    let mut kept = actions.to_vec();
    let mut part = kept.len() / 2;
    while part > 0 {
        let mut at = 0;
        while at < kept.len() {
            let mut fewer = kept.clone();
            fewer.drain(at..(at + part).min(kept.len()));
            if run(seed, &fewer).is_err() {
                kept = fewer;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    kept
}

fn explain(seed: u64, actions: &[Action], error: &str) -> String {
    let fewer = shrink(seed, actions);
    let end = run(seed, &fewer).err();
    let list: Vec<String> = fewer.iter().map(|a| format!("    {a:?},")).collect();
    format!(
        "seed {seed}: {error}\nshortened to {} actions: {}\n{}",
        fewer.len(),
        end.unwrap_or_default(),
        list.join("\n")
    )
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().expect("a number"))
}

#[test]
fn heavy_whatever_happens_money_and_orders_are_right() {
    if let Some(seed) = number("HEAN_SEED") {
        let actions = actions(seed);
        match run(seed, &actions) {
            Ok(seen) => println!("seed {seed}: {seen:?}"),
            Err(error) => panic!("{}", explain(seed, &actions, &error)),
        }
        return;
    }
    let first = number("HEAN_SEED_FIRST").unwrap_or(0);
    let last = first + number("HEAN_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let failed: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let total: Mutex<Vec<Seen>> = Mutex::new(Vec::new());
    // A failure prints its own words; those of the panics that were caught would only drown it.
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let mut sum = Vec::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let stopped = failed.lock().is_some();
                    if seed >= last || stopped {
                        break;
                    }
                    match run(seed, &actions(seed)) {
                        Ok(seen) => sum.push(seen),
                        Err(error) => {
                            failed.lock().get_or_insert((seed, error));
                        }
                    }
                }
                total.lock().extend(sum);
            });
        }
    });
    let failure = failed.into_inner();
    let failure = failure.map(|(seed, error)| explain(seed, &actions(seed), &error));
    drop(std::panic::take_hook());
    if let Some(failure) = failure {
        panic!("{failure}");
    }
    report(&total.into_inner(), last - first);
}

/// Prints what was covered, and demands that nothing is missing.
fn report(all: &[Seen], seeds: u64) {
    let sum = |f: fn(&Seen) -> u64| all.iter().map(f).sum::<u64>();
    println!(
        "{seeds} seeds, {} steps: {} orders, {} refused, {} fills, {} fundings, {} liquidations, {} halts done, \
         {} restarts that lost {} records, {} orders of strategies",
        sum(|s| s.steps),
        sum(|s| s.orders),
        sum(|s| s.refused),
        sum(|s| s.fills),
        sum(|s| s.fundings),
        sum(|s| s.liquidations),
        sum(|s| s.halts_done),
        sum(|s| s.restarts),
        sum(|s| s.records_lost),
        sum(|s| s.of_strategies),
    );
    println!(
        "faults: {} commands and {} reports lost, {} late, {} twice; {} questions, {} answered never seen",
        sum(|s| s.faults.commands_lost),
        sum(|s| s.faults.reports_lost),
        sum(|s| s.faults.late),
        sum(|s| s.faults.twice),
        sum(|s| s.faults.queries),
        sum(|s| s.faults.not_found),
    );
    let mut transitions: BTreeMap<(OrderState, OrderState), u64> = BTreeMap::new();
    for seen in all {
        for (edge, count) in &seen.transitions {
            *transitions.entry(*edge).or_default() += count;
        }
    }
    for ((from, to), count) in &transitions {
        println!("  {from:?} -> {to:?}: {count}");
    }
    assert!(all.iter().all(|s| s.restarts > 0), "every seed restarts");
    assert!(
        all.iter().all(|s| s.steps >= 2_000),
        "every seed has two thousand inputs"
    );
    let traded = all.iter().filter(|s| s.of_strategies > 0).count();
    assert!(
        traded * 100 > all.len() || seeds < 300,
        "strategies trade: {traded}"
    );
    if seeds >= SEEDS {
        let missing: Vec<_> = all_transitions()
            .into_iter()
            .filter(|edge| !transitions.contains_key(edge))
            .collect();
        assert!(missing.is_empty(), "never seen: {missing:?}");
    }
}

#[test]
fn a_seed_is_the_same_each_time() {
    for seed in [1, 2, 3] {
        let one = run(seed, &actions(seed)).map(|s| s.hash);
        let two = run(seed, &actions(seed)).map(|s| s.hash);
        assert_eq!(one, two, "seed {seed}");
    }
}
