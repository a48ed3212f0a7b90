//! Benchmarks: ours beside a baseline in the same run, in turns, with the ratio.
//!
//! `cargo bench` measures; `cargo test --benches` runs everything once, so that it cannot rot. Numbers
//! and how to read them: `benches/README.md`.

mod backtest;
mod baseline;
mod book;
mod decode;
mod indicators;
mod journal;
mod latency;
mod memory;
mod migrate;
mod orders;
mod queue;
mod record;
mod recordings;
mod rules;
mod sorted_vector;
mod step;
mod store;
mod stream;
mod tick;

use std::hint::black_box;
use std::io::Write as _;

use hean::runtime::clock::Clock;

/// One thing measured: `run` does `ops` operations.
struct Case<'a> {
    name: &'static str,
    ops: u64,
    run: Box<dyn FnMut() -> u64 + 'a>,
}

impl<'a> Case<'a> {
    fn new(name: &'static str, ops: usize, run: impl FnMut() -> u64 + 'a) -> Self {
        Self {
            name,
            ops: ops as u64,
            run: Box::new(run),
        }
    }
}

struct Bench {
    clock: Clock,
    rounds: usize,
}

impl Bench {
    /// Runs the cases in turns and prints each one's median and best time per operation. The first
    /// one is ours; the others are what it is compared with.
    fn compare(&self, title: &str, mut cases: Vec<Case<'_>>) {
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); cases.len()];
        for _ in 0..self.rounds {
            for (case, times) in cases.iter_mut().zip(&mut times) {
                let began = self.clock.now();
                black_box((case.run)());
                let took = self.clock.now().since(began);
                times.push(took as f64 / case.ops as f64);
            }
        }
        let mut out = std::io::stdout().lock();
        let mut ours = 0.0;
        drop(writeln!(out, "\n{title}"));
        for (index, (case, mut times)) in cases.iter().zip(times).enumerate() {
            times.sort_by(f64::total_cmp);
            let median = times[times.len() / 2];
            let ratio = if index == 0 {
                ours = median;
                String::new()
            } else {
                format!("  {:.2} x ours", median / ours)
            };
            let (name, best) = (case.name, times[0]);
            drop(writeln!(
                out,
                "  {name:<44} {median:>10.1} ns  (best {best:.1}){ratio}"
            ));
        }
    }
}

fn main() {
    let measure = std::env::args().any(|arg| arg == "--bench");
    let bench = Bench {
        clock: Clock::start(),
        rounds: if measure { 15 } else { 1 },
    };
    for arg in std::env::args() {
        // This program, run by itself to fill a process of its own.
        if let Some(count) = arg.strip_prefix(memory::FILL) {
            return memory::fill(count.parse().expect("a number of instruments"));
        }
        if let Some(count) = arg.strip_prefix(orders::FILL) {
            return orders::fill_table(count.parse().expect("a number of orders"));
        }
        if let Some(count) = arg.strip_prefix(baseline::FILL) {
            return baseline::fill(count.parse().expect("a number of orders"));
        }
    }
    let recordings = recordings::all();
    let wanted = wanted();
    for (name, run) in [
        (
            "decode",
            &(|| decode::bench(&bench, &recordings)) as &dyn Fn(),
        ),
        ("book", &|| book::bench(&bench, &recordings)),
        ("indicators", &|| indicators::bench(&bench)),
        ("rules", &|| rules::bench(&bench)),
        ("step", &|| step::bench(&bench, &recordings[0])),
        ("tick", &|| tick::bench(&bench, &recordings)),
        ("backtest", &|| backtest::bench(&bench, &recordings)),
        ("baseline", &|| baseline::bench(measure)),
        ("queue", &|| queue::bench(measure)),
        ("orders", &|| orders::bench(measure)),
        ("journal", &|| journal::bench(measure)),
        ("memory", &memory::bench),
        ("record", &|| record::bench(&bench, &recordings[0])),
        ("store", &|| store::bench(measure)),
        ("migrate", &|| migrate::bench(measure)),
        ("stream", &|| stream::bench(measure)),
    ] {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            run();
        }
    }
}

/// The benchmarks named on the command line; none is all.
fn wanted() -> Vec<String> {
    let args = std::env::args().skip(1);
    args.filter(|arg| !arg.starts_with('-')).collect()
}
