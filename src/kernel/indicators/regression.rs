//! Straight lines through the last candles, and how highs and lows move together.

use std::collections::VecDeque;
use std::hash::Hasher;

use super::wide::Wide;
use super::window::{Run, Window};
use super::{Bar, NOISE, Step, Values, hash_float, one};

/// The least-squares line through the last `period` closes: its end (LINEARREG) or its slope for
/// each candle (LINEARREG_SLOPE).
#[derive(Debug)]
pub(super) struct Line {
    window: Window,
    sums: LineSums,
    slope: bool,
}

/// Sums of closes, and of closes times their place, from 0 for the oldest.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LineSums {
    y: Wide,
    xy: Wide,
}

impl Line {
    pub(super) fn end(period: usize) -> Self {
        Self {
            window: Window::new(period),
            sums: LineSums::default(),
            slope: false,
        }
    }

    pub(super) fn slope(period: usize) -> Self {
        Self {
            slope: true,
            ..Self::end(period)
        }
    }

    fn value(&self, LineSums { y, xy }: LineSums) -> f64 {
        let n = self.window.period() as f64;
        let x = n * (n - 1.0) / 2.0;
        // n·Σx² − (Σx)²
        let spread = n * n * (n * n - 1.0) / 12.0;
        let slope = xy.times(n).sub(y.times(x)).get() / spread;
        if self.slope {
            slope
        } else {
            y.get() / n + slope * (n - 1.0) / 2.0
        }
    }
}

impl Step for Line {
    type Next = LineSums;

    fn next(&self, bar: Bar) -> (LineSums, Option<Values>) {
        let LineSums { y, xy } = self.sums;
        let sums = match self.window.leaving() {
            // Everything that stays moves one place towards the oldest.
            Some(old) => {
                let newest = (self.window.period() - 1) as f64;
                let kept = y.plus(-old);
                LineSums {
                    y: kept.plus(bar.close),
                    xy: xy.sub(kept).add(Wide::product(newest, bar.close)),
                }
            }
            None => LineSums {
                y: y.plus(bar.close),
                xy: xy.add(Wide::product(self.window.len() as f64, bar.close)),
            },
        };
        (sums, one(self.window.fills().then(|| self.value(sums))))
    }

    fn keep(&mut self, bar: Bar, next: LineSums) {
        self.window.push(bar.close);
        self.sums = next;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.window.hash_bits(state);
        self.sums.y.hash_bits(state);
        self.sums.xy.hash_bits(state);
    }
}

/// Sums over pairs of numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PairSums {
    x: Wide,
    y: Wide,
    xx: Wide,
    yy: Wide,
    xy: Wide,
    same_x: Run,
    same_y: Run,
}

impl PairSums {
    fn add(self, (x, y): (f64, f64), period: usize) -> Self {
        Self {
            x: self.x.plus(x),
            y: self.y.plus(y),
            xx: self.xx.add(Wide::product(x, x)),
            yy: self.yy.add(Wide::product(y, y)),
            xy: self.xy.add(Wide::product(x, y)),
            same_x: self.same_x.next(x, period),
            same_y: self.same_y.next(y, period),
        }
    }

    fn sub(self, (x, y): (f64, f64)) -> Self {
        Self {
            x: self.x.plus(-x),
            y: self.y.plus(-y),
            xx: self.xx.sub(Wide::product(x, x)),
            yy: self.yy.sub(Wide::product(y, y)),
            xy: self.xy.sub(Wide::product(x, y)),
            ..self
        }
    }

    /// n² times the covariance.
    fn together(&self, n: usize) -> f64 {
        let both = self.xy.times(n as f64);
        both.sub(self.x.mul(self.y)).get()
    }

    /// n² times the variances; zero where they are no more than rounding.
    fn spreads(&self, n: usize) -> (f64, f64) {
        let spread = |sum: Wide, squares: Wide, same: Run| {
            let squares = squares.times(n as f64);
            let spread = squares.sub(sum.mul(sum)).get();
            if same.fills(n) || spread <= NOISE * squares.get() {
                0.0
            } else {
                spread
            }
        };
        (
            spread(self.x, self.xx, self.same_x),
            spread(self.y, self.yy, self.same_y),
        )
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        for sum in [self.x, self.y, self.xx, self.yy, self.xy] {
            sum.hash_bits(state);
        }
        self.same_x.hash_bits(state);
        self.same_y.hash_bits(state);
    }
}

/// The last pairs and their sums.
#[derive(Debug)]
struct Pairs {
    period: usize,
    window: VecDeque<(f64, f64)>,
    sums: PairSums,
}

impl Pairs {
    fn new(period: usize) -> Self {
        Self {
            period,
            window: VecDeque::new(),
            sums: PairSums::default(),
        }
    }

    fn fills(&self) -> bool {
        self.window.len() + 1 >= self.period
    }

    fn next(&self, pair: (f64, f64)) -> PairSums {
        let sums = self.sums.add(pair, self.period);
        match self.window.front() {
            Some(old) if self.window.len() == self.period => sums.sub(*old),
            Some(_) | None => sums,
        }
    }

    fn push(&mut self, pair: (f64, f64), sums: PairSums) {
        if self.window.len() == self.period {
            self.window.pop_front();
        }
        self.window.push_back(pair);
        self.sums = sums;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        state.write_usize(self.window.len());
        for (x, y) in &self.window {
            hash_float(state, *x);
            hash_float(state, *y);
        }
        self.sums.hash_bits(state);
    }
}

/// Pearson's correlation of highs and lows, from −1 to 1; zero where one of them does not vary.
#[derive(Debug)]
pub(super) struct Correl(Pairs);

impl Correl {
    pub(super) fn new(period: usize) -> Self {
        Self(Pairs::new(period))
    }
}

impl Step for Correl {
    type Next = PairSums;

    fn next(&self, bar: Bar) -> (PairSums, Option<Values>) {
        let sums = self.0.next((bar.high, bar.low));
        let n = self.0.period;
        let (x, y) = sums.spreads(n);
        let value = if x > 0.0 && y > 0.0 {
            (sums.together(n) / (x.sqrt() * y.sqrt())).clamp(-1.0, 1.0)
        } else {
            0.0
        };
        (sums, one(self.0.fills().then_some(value)))
    }

    fn keep(&mut self, bar: Bar, next: PairSums) {
        self.0.push((bar.high, bar.low), next);
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.0.hash_bits(state);
    }
}

/// The slope of the lows' returns over the highs' returns; zero where the highs' do not vary.
#[derive(Debug)]
pub(super) struct Beta {
    pairs: Pairs,
    last: Option<(f64, f64)>,
}

impl Beta {
    pub(super) fn new(period: usize) -> Self {
        Self {
            pairs: Pairs::new(period),
            last: None,
        }
    }
}

fn change(now: f64, before: f64) -> f64 {
    if before.abs() > 0.0 {
        (now - before) / before
    } else {
        0.0
    }
}

impl Step for Beta {
    type Next = Option<((f64, f64), PairSums)>;

    fn next(&self, bar: Bar) -> (Self::Next, Option<Values>) {
        let Some((high, low)) = self.last else {
            return (None, None);
        };
        let pair = (change(bar.high, high), change(bar.low, low));
        let sums = self.pairs.next(pair);
        let n = self.pairs.period;
        let (spread, _) = sums.spreads(n);
        let value = if spread > 0.0 {
            sums.together(n) / spread
        } else {
            0.0
        };
        (Some((pair, sums)), one(self.pairs.fills().then_some(value)))
    }

    fn keep(&mut self, bar: Bar, next: Self::Next) {
        self.last = Some((bar.high, bar.low));
        if let Some((pair, sums)) = next {
            self.pairs.push(pair, sums);
        }
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        let (high, low) = self.last.unwrap_or_default();
        hash_float(state, high);
        hash_float(state, low);
        self.pairs.hash_bits(state);
    }
}
