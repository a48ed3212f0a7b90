//! Exact distributions of single operations: every sample is kept and sorted, nothing is binned.

use std::io::Write as _;

/// Reads the counter of the CPU; differences are nanoseconds. The reads cost time themselves, which
/// [`Stopwatch::print_cost`] shows and nobody subtracts.
pub(crate) struct Stopwatch(quanta::Clock);

impl Stopwatch {
    pub(crate) fn new() -> Self {
        Self(quanta::Clock::new())
    }

    /// A moment, in raw ticks.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.0.raw()
    }

    /// Nanoseconds between two moments.
    #[inline]
    pub(crate) fn ns(&self, from: u64, to: u64) -> u64 {
        self.0.delta_as_nanos(from, to)
    }

    /// Spins for so long.
    pub(crate) fn spin(&self, ns: u64) {
        let began = self.now();
        while self.ns(began, self.now()) < ns {
            std::hint::spin_loop();
        }
    }

    /// Prints what two reads with nothing between them say, which is in every sample.
    pub(crate) fn print_cost(&self, count: usize) {
        let mut bare = Latencies::new(count);
        for _ in 0..count {
            let began = self.now();
            let ended = self.now();
            bare.record(self.ns(began, ended));
        }
        bare.print("(two reads of the clock, in every sample)");
    }
}

/// Samples of one kind of operation, in nanoseconds.
pub(crate) struct Latencies(Vec<u64>);

/// Percentiles of a distribution, in nanoseconds.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

impl Latencies {
    /// Room for `count` samples; its pages exist already, so that no sample pays for one.
    pub(crate) fn new(count: usize) -> Self {
        let mut samples = vec![u64::MAX; count];
        samples.clear();
        Self(samples)
    }

    /// Keeps a sample.
    #[inline]
    pub(crate) fn record(&mut self, ns: u64) {
        self.0.push(ns);
    }

    /// Samples so far.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Sorts, and reads the percentiles (nearest rank).
    pub(crate) fn spread(&mut self) -> Spread {
        self.0.sort_unstable();
        let samples = &self.0;
        let at = |per_mille: usize| {
            let rank = (samples.len() * per_mille).div_ceil(1_000).max(1);
            samples.get(rank - 1).copied().unwrap_or_default()
        };
        Spread {
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p999: at(999),
            max: at(1_000),
        }
    }

    /// Prints a row of a table that [`head`] began.
    pub(crate) fn print(&mut self, name: &str) -> Spread {
        let spread = self.spread();
        let Spread {
            p50,
            p90,
            p99,
            p999,
            max,
        } = spread;
        drop(writeln!(
            std::io::stdout().lock(),
            "  {name:<44} {p50:>9} {p90:>9} {p99:>9} {p999:>9} {max:>11}"
        ));
        spread
    }
}

/// Prints a title and the names of the columns.
pub(crate) fn head(title: &str) {
    drop(writeln!(
        std::io::stdout().lock(),
        "\n{title}, ns\n  {:<44} {:>9} {:>9} {:>9} {:>9} {:>11}",
        "",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max"
    ));
}

/// Times of the stages that one operation goes through: [`Stages::begin`], then [`Stages::lap`] after
/// each stage in the order of their names.
pub(crate) struct Stages<'a> {
    watch: &'a Stopwatch,
    rows: Vec<(&'static str, Latencies)>,
    total: Latencies,
    began: u64,
    last: u64,
    next: usize,
}

impl<'a> Stages<'a> {
    /// For `count` operations.
    pub(crate) fn new(watch: &'a Stopwatch, names: &[&'static str], count: usize) -> Self {
        Self {
            watch,
            rows: names.iter().map(|n| (*n, Latencies::new(count))).collect(),
            total: Latencies::new(count),
            began: 0,
            last: 0,
            next: 0,
        }
    }

    /// An operation begins.
    #[inline]
    pub(crate) fn begin(&mut self) {
        self.next = 0;
        self.began = self.watch.now();
        self.last = self.began;
    }

    /// The next stage has ended; with the last one, the operation.
    #[inline]
    pub(crate) fn lap(&mut self) {
        let now = self.watch.now();
        self.rows[self.next].1.record(self.watch.ns(self.last, now));
        self.next += 1;
        if self.next == self.rows.len() {
            self.total.record(self.watch.ns(self.began, now));
        }
        // What the recording took belongs to no stage.
        self.last = self.watch.now();
    }

    /// Prints a row for each stage and one for the whole; the whole has the recording in it.
    pub(crate) fn print(&mut self, title: &str) {
        head(title);
        for (name, latencies) in &mut self.rows {
            latencies.print(name);
        }
        if self.rows.len() > 1 {
            self.total.print("all of it, with the measuring between");
        }
        self.watch.print_cost(100_000);
    }
}
