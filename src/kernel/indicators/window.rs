//! The last values of a stream: plain, summed up, or with their extreme always at hand.
//!
//! Each answers what it would say with one value more (`next`), and takes that value (`push`), so
//! that a preview never changes anything. All are O(1) a value, amortised.

use std::collections::VecDeque;
use std::hash::Hasher;

use super::hash_float;
use super::wide::Wide;

/// The last `period` values.
#[derive(Debug, Clone)]
pub(super) struct Window {
    period: usize,
    values: VecDeque<f64>,
}

impl Window {
    pub(super) fn new(period: usize) -> Self {
        Self {
            period,
            values: VecDeque::new(),
        }
    }

    pub(super) fn period(&self) -> usize {
        self.period
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether it is full with one value more.
    pub(super) fn fills(&self) -> bool {
        self.values.len() + 1 >= self.period
    }

    /// The value that leaves when the next one comes.
    pub(super) fn leaving(&self) -> Option<f64> {
        self.values
            .front()
            .copied()
            .filter(|_| self.values.len() == self.period)
    }

    /// Oldest first.
    pub(super) fn values(&self) -> impl Iterator<Item = f64> + Clone {
        self.values.iter().copied()
    }

    pub(super) fn push(&mut self, x: f64) {
        if self.values.len() == self.period {
            self.values.pop_front();
        }
        self.values.push_back(x);
    }

    pub(super) fn hash_bits(&self, state: &mut dyn Hasher) {
        state.write_usize(self.values.len());
        self.values.iter().for_each(|x| hash_float(state, *x));
    }
}

/// The sum of the last `period` values.
#[derive(Debug, Clone)]
pub(super) struct Rolling {
    window: Window,
    total: Total,
}

/// A sum, and how many zeros in a row it ends with: a window of zeros sums to zero exactly.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Total {
    sum: Wide,
    zeros: usize,
}

impl Total {
    pub(super) fn get(self) -> f64 {
        self.sum.get()
    }
}

impl Rolling {
    pub(super) fn new(period: usize) -> Self {
        Self {
            window: Window::new(period),
            total: Total::default(),
        }
    }

    pub(super) fn fills(&self) -> bool {
        self.window.fills()
    }

    /// The sum with `x`, of fewer values while the window fills.
    pub(super) fn next(&self, x: f64) -> Total {
        let zeros = if x.abs() > 0.0 {
            0
        } else {
            self.window.period.min(self.total.zeros + 1)
        };
        if zeros == self.window.period {
            return Total {
                sum: Wide::default(),
                zeros,
            };
        }
        let sum = self.total.sum.plus(x);
        let sum = self.window.leaving().map_or(sum, |old| sum.plus(-old));
        Total { sum, zeros }
    }

    /// Takes `x`, for which [`Rolling::next`] gave `total`.
    pub(super) fn push(&mut self, x: f64, total: Total) {
        self.window.push(x);
        self.total = total;
    }

    pub(super) fn hash_bits(&self, state: &mut dyn Hasher) {
        self.window.hash_bits(state);
        self.total.sum.hash_bits(state);
        state.write_usize(self.total.zeros);
    }
}

/// How many equal values a stream ends with: a window of them has no variance, whatever rounding says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Run {
    last: f64,
    length: usize,
}

impl Run {
    /// With one value more; `period` is the longest that is of interest.
    pub(super) fn next(self, x: f64, period: usize) -> Self {
        let same = self.length > 0 && self.last.to_bits() == x.to_bits();
        let length = if same { self.length + 1 } else { 1 };
        Self {
            last: x,
            length: length.min(period),
        }
    }

    /// Whether the last `period` values are one.
    pub(super) fn fills(self, period: usize) -> bool {
        self.length >= period
    }

    pub(super) fn hash_bits(self, state: &mut dyn Hasher) {
        hash_float(state, self.last);
        state.write_usize(self.length);
    }
}

/// The highest or lowest of the last `period` values, the latest of equal ones, in a monotonic
/// queue: values that a later one beats are forgotten at once.
#[derive(Debug, Clone)]
pub(super) struct Extreme {
    period: u64,
    highest: bool,
    seen: u64,
    queue: VecDeque<(u64, f64)>,
}

impl Extreme {
    pub(super) fn highest(period: usize) -> Self {
        Self {
            period: period as u64,
            highest: true,
            seen: 0,
            queue: VecDeque::new(),
        }
    }

    pub(super) fn lowest(period: usize) -> Self {
        Self {
            highest: false,
            ..Self::highest(period)
        }
    }

    /// Whether `new` makes `old` of no further interest.
    fn beats(&self, new: f64, old: f64) -> bool {
        if self.highest { new >= old } else { new <= old }
    }

    /// Whether the window is full with one value more.
    pub(super) fn fills(&self) -> bool {
        self.seen + 1 >= self.period
    }

    /// The extreme with `x`, and how many values ago it was.
    pub(super) fn next(&self, x: f64) -> (f64, u64) {
        let mut front = self.queue.front();
        if front.is_some_and(|(at, _)| at + self.period <= self.seen) {
            front = self.queue.get(1);
        }
        match front {
            Some((at, old)) if !self.beats(x, *old) => (*old, self.seen - at),
            Some(_) | None => (x, 0),
        }
    }

    pub(super) fn push(&mut self, x: f64) {
        if let Some((at, _)) = self.queue.front()
            && at + self.period <= self.seen
        {
            self.queue.pop_front();
        }
        while let Some((_, old)) = self.queue.back()
            && self.beats(x, *old)
        {
            self.queue.pop_back();
        }
        self.queue.push_back((self.seen, x));
        self.seen += 1;
    }

    pub(super) fn hash_bits(&self, state: &mut dyn Hasher) {
        state.write_u64(self.seen);
        state.write_usize(self.queue.len());
        for (at, x) in &self.queue {
            state.write_u64(*at);
            hash_float(state, *x);
        }
    }
}
