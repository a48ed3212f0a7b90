//! Channels around the price and lines that follow it: Donchian, Keltner, Supertrend, Ichimoku; realised volatility.
//!
//! Their rows of the table are here too. None looks ahead: the spans of Ichimoku that charts draw into the future are
//! given for the candle that they are drawn at, from the candles so long before it.

use std::collections::VecDeque;
use std::hash::Hasher;

use super::ema::Average;
use super::range::Atr;
use super::stoch::Channel;
use super::table::{boxed, count, factor, real, whole};
use super::window::{Rolling, Total};
use super::{Bar, Field, Row, Step, Values, hash_float, one};

const HL: &[Field] = &[Field::High, Field::Low];
const HLC: &[Field] = &[Field::High, Field::Low, Field::Close];
const BANDS: &[&str] = &["upper", "middle", "lower"];
/// Widest channel, in average true ranges.
const FACTOR_MAX: f64 = 1_000.0;

pub(super) const DONCHIAN: Row = Row {
    name: "donchian",
    title: "Donchian channel",
    params: &[whole("period", 2.0, 20.0)],
    inputs: HL,
    outputs: BANDS,
    lookback: |p| count(p, 0) - 1,
    ta_lib: None,
    source: "R. Donchian, High Finance in Copper, Financial Analysts Journal 16:6, 1960; highest high and lowest low",
    build: |p| boxed(Donchian(Channel::new(count(p, 0)))),
};

pub(super) const KELTNER: Row = Row {
    name: "keltner",
    title: "Keltner channel",
    params: &[
        whole("period", 1.0, 20.0),
        whole("atr", 1.0, 10.0),
        real("factor", (0.0, FACTOR_MAX), 2.0),
    ],
    inputs: HLC,
    outputs: BANDS,
    lookback: |p| (count(p, 0) - 1).max(count(p, 1)),
    ta_lib: None,
    source: "C. Keltner, How to Make Money in Commodities, 1960; as L. Raschke draws it: EMA of closes, average true range",
    build: |p| boxed(Keltner::new(count(p, 0), count(p, 1), factor(p, 2))),
};

pub(super) const SUPERTREND: Row = Row {
    name: "supertrend",
    title: "Supertrend",
    params: &[
        whole("period", 1.0, 10.0),
        real("factor", (0.0, FACTOR_MAX), 3.0),
    ],
    inputs: HLC,
    outputs: &["line", "direction"],
    lookback: |p| count(p, 0),
    ta_lib: None,
    source: "O. Seban; bands of average true ranges around the candle's middle that never widen; 1 up, -1 down",
    build: |p| boxed(Supertrend::new(count(p, 0), factor(p, 1))),
};

pub(super) const ICHIMOKU: Row = Row {
    name: "ichimoku",
    title: "Ichimoku, conversion and base line",
    params: &[whole("conversion", 2.0, 9.0), whole("base", 2.0, 26.0)],
    inputs: HL,
    outputs: &["conversion", "base"],
    lookback: |p| count(p, 0).max(count(p, 1)) - 1,
    ta_lib: None,
    source: "G. Hosoda, Ichimoku Kinko Hyo, 1969; middles of highest high and lowest low",
    build: |p| boxed(Lines::new(count(p, 0), count(p, 1))),
};

pub(super) const ICHIMOKU_CLOUD: Row = Row {
    name: "ichimoku_cloud",
    title: "Ichimoku, the cloud at this candle",
    params: &[
        whole("conversion", 2.0, 9.0),
        whole("base", 2.0, 26.0),
        whole("span", 2.0, 52.0),
    ],
    inputs: HL,
    outputs: &["span_a", "span_b"],
    lookback: |p| count(p, 0).max(count(p, 1)).max(count(p, 2)) - 1 + count(p, 1),
    ta_lib: None,
    source: "G. Hosoda, Ichimoku Kinko Hyo, 1969; spans of as many candles before as the base line has, not ahead",
    build: |p| boxed(Cloud::new(count(p, 0), count(p, 1), count(p, 2))),
};

pub(super) const REALISED_VOLATILITY: Row = Row {
    name: "rvol",
    title: "realised volatility of a candle",
    params: &[whole("period", 2.0, 30.0)],
    inputs: &[Field::Close],
    outputs: &["value"],
    lookback: |p| count(p, 0),
    ta_lib: None,
    source: "T. Andersen, T. Bollerslev, Answering the Skeptics, Int. Economic Review 39:4, 1998; root of the mean squared log return",
    build: |p| boxed(Volatility::new(count(p, 0))),
};

/// Highest high, their middle, lowest low.
#[derive(Debug)]
struct Donchian(Channel);

impl Step for Donchian {
    type Next = ();

    fn next(&self, bar: Bar) -> ((), Option<Values>) {
        let ends = self.0.next(bar.high, bar.low);
        let bands = ends.map(|(high, low)| [high, high - (high - low) * 0.5, low]);
        ((), bands)
    }

    fn keep(&mut self, bar: Bar, (): ()) {
        self.0.push(bar.high, bar.low);
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.0.hash_bits(state);
    }
}

/// An average of closes, and true ranges away from it.
#[derive(Debug, Clone, Copy)]
struct Keltner {
    middle: Average,
    range: Atr,
    factor: f64,
}

impl Keltner {
    fn new(period: usize, atr: usize, factor: f64) -> Self {
        Self {
            middle: Average::new(period),
            range: Atr::average(atr),
            factor,
        }
    }
}

impl Step for Keltner {
    type Next = Self;

    fn next(&self, bar: Bar) -> (Self, Option<Values>) {
        let mut after = *self;
        let (middle, range) = (after.middle.push(bar.close), after.range.push(bar));
        let bands = middle.zip(range).map(|(middle, range)| {
            let width = range * self.factor;
            [middle + width, middle, middle - width]
        });
        (after, bands)
    }

    fn keep(&mut self, _: Bar, next: Self) {
        *self = next;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.middle.hash_bits(state);
        Step::hash_bits(&self.range, state);
    }
}

/// The lower band while the trend is up, the upper one while it is down. A band never moves away from the price
/// until a close has broken it.
#[derive(Debug, Clone, Copy)]
struct Supertrend {
    range: Atr,
    factor: f64,
    /// Upper and lower band, whether the trend is up, and the close.
    last: Option<(f64, f64, bool, f64)>,
}

impl Supertrend {
    fn new(period: usize, factor: f64) -> Self {
        Self {
            range: Atr::average(period),
            factor,
            last: None,
        }
    }

    fn push(&mut self, bar: Bar) -> Option<Values> {
        let width = self.range.push(bar)? * self.factor;
        let middle = (bar.high + bar.low) * 0.5;
        let (mut upper, mut lower) = (middle + width, middle - width);
        let mut up = false;
        if let Some((last_upper, last_lower, was_up, close)) = self.last {
            if close <= last_upper {
                upper = upper.min(last_upper);
            }
            if close >= last_lower {
                lower = lower.max(last_lower);
            }
            up = was_up;
        }
        up = if up {
            bar.close >= lower
        } else {
            bar.close > upper
        };
        self.last = Some((upper, lower, up, bar.close));
        Some(if up {
            [lower, 1.0, 0.0]
        } else {
            [upper, -1.0, 0.0]
        })
    }
}

impl Step for Supertrend {
    type Next = Self;

    fn next(&self, bar: Bar) -> (Self, Option<Values>) {
        let mut after = *self;
        let values = after.push(bar);
        (after, values)
    }

    fn keep(&mut self, _: Bar, next: Self) {
        *self = next;
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        Step::hash_bits(&self.range, state);
        let (upper, lower, up, close) = self.last.unwrap_or_default();
        hash_float(state, upper);
        hash_float(state, lower);
        hash_float(state, close);
        state.write_u8(u8::from(up));
    }
}

fn middle((high, low): (f64, f64)) -> f64 {
    high - (high - low) * 0.5
}

/// Conversion and base line.
#[derive(Debug)]
struct Lines {
    conversion: Channel,
    base: Channel,
}

impl Lines {
    fn new(conversion: usize, base: usize) -> Self {
        Self {
            conversion: Channel::new(conversion),
            base: Channel::new(base),
        }
    }

    fn both(&self, bar: Bar) -> Option<(f64, f64)> {
        let conversion = self.conversion.next(bar.high, bar.low)?;
        let base = self.base.next(bar.high, bar.low)?;
        Some((middle(conversion), middle(base)))
    }
}

impl Step for Lines {
    type Next = ();

    fn next(&self, bar: Bar) -> ((), Option<Values>) {
        let lines = self.both(bar);
        ((), lines.map(|(conversion, base)| [conversion, base, 0.0]))
    }

    fn keep(&mut self, bar: Bar, (): ()) {
        self.conversion.push(bar.high, bar.low);
        self.base.push(bar.high, bar.low);
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.conversion.hash_bits(state);
        self.base.hash_bits(state);
    }
}

/// The spans, as many candles late as the base line has.
#[derive(Debug)]
struct Cloud {
    lines: Lines,
    span: Channel,
    delay: usize,
    /// Spans that are not due yet, oldest first.
    coming: VecDeque<(f64, f64)>,
}

impl Cloud {
    fn new(conversion: usize, base: usize, span: usize) -> Self {
        Self {
            lines: Lines::new(conversion, base),
            span: Channel::new(span),
            delay: base,
            coming: VecDeque::new(),
        }
    }
}

impl Step for Cloud {
    /// The spans of this candle.
    type Next = Option<(f64, f64)>;

    fn next(&self, bar: Bar) -> (Self::Next, Option<Values>) {
        let lines = self.lines.both(bar).map(|(a, b)| (a + b) * 0.5);
        let span = self.span.next(bar.high, bar.low).map(middle);
        let due = self
            .coming
            .front()
            .filter(|_| self.coming.len() == self.delay);
        (lines.zip(span), due.map(|(a, b)| [*a, *b, 0.0]))
    }

    fn keep(&mut self, bar: Bar, spans: Self::Next) {
        self.lines.keep(bar, ());
        self.span.push(bar.high, bar.low);
        if self.coming.len() == self.delay {
            self.coming.pop_front();
        }
        self.coming.extend(spans);
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.lines.hash_bits(state);
        self.span.hash_bits(state);
        for (a, b) in &self.coming {
            hash_float(state, *a);
            hash_float(state, *b);
        }
    }
}

/// The root of the mean squared log return of closes.
#[derive(Debug)]
struct Volatility {
    squares: Rolling,
    period: f64,
    last: Option<f64>,
}

impl Volatility {
    fn new(period: usize) -> Self {
        Self {
            squares: Rolling::new(period),
            period: period as f64,
            last: None,
        }
    }

    fn square(&self, bar: Bar) -> Option<f64> {
        let last = self.last?;
        if last > 0.0 && bar.close > 0.0 {
            let change = libm::log(bar.close / last);
            Some(change * change)
        } else {
            Some(0.0)
        }
    }
}

impl Step for Volatility {
    type Next = Option<(f64, Total)>;

    fn next(&self, bar: Bar) -> (Self::Next, Option<Values>) {
        let next = self.square(bar).map(|x| (x, self.squares.next(x)));
        let value = next.filter(|_| self.squares.fills());
        let value = value.map(|(_, total)| (total.get().max(0.0) / self.period).sqrt());
        (next, one(value))
    }

    fn keep(&mut self, bar: Bar, next: Self::Next) {
        if let Some((x, total)) = next {
            self.squares.push(x, total);
        }
        self.last = Some(bar.close);
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        self.squares.hash_bits(state);
        hash_float(state, self.last.unwrap_or_default());
    }
}
