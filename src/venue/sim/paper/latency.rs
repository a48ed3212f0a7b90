//! How long messages travel: a constant, or draws from a measured distribution.
//!
//! Draws are fixed by a seed and a count for ever and on every machine: SplitMix64 (Steele, Lea and
//! Flood, "Fast Splittable Pseudorandom Number Generators", 2014), integers alone. A distribution is its
//! quantile function with straight lines between the points that are known (an empirical inverse CDF).
//!
//! Messages of one [`Wire`] never overtake each other, as on one TCP connection: whatever is drawn, a
//! message arrives no earlier than the one before it.

use std::fmt;
use std::str::FromStr;

use crate::kernel::types::{MICROSECOND, MILLISECOND, SECOND, Time, format_fixed, parse_fixed};

/// Longest latency that can be asked for, in nanoseconds.
pub const LATENCY_NS_MAX: i64 = 60 * SECOND;

/// Most values of a measured distribution.
pub const VALUES_MAX: usize = 100_000;

/// Quantiles are counted in parts of this.
const WHOLE: u64 = 1_000_000_000;

/// Digits of a percentile behind the point: p99.99999 is the finest.
const PERCENT_DIGITS: u8 = 7;

/// The distribution of a latency.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Latency {
    /// Always this long, in nanoseconds.
    Constant(i64),
    /// Drawn from a measured distribution.
    Sampled(Quantiles),
}

/// A quantile function: points of (quantile in parts of 10^9, latency in nanoseconds). The first
/// quantile is 0, the last one is all, latencies never fall.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Quantiles(Vec<(u64, i64)>);

/// Text that is no latency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LatencyError {
    /// Not a duration.
    #[error("{0:?} is no latency: write a number with ns, us, ms or s, such as 5ms or 1.5us")]
    Duration(String),
    /// A duration out of range.
    #[error("{0:?} is out of range: a latency is from 0 to 60s")]
    Range(String),
    /// Not a quantile.
    #[error(
        "{0:?} is no quantile: write min, max, or p and a percentage between 0 and 100 with at most {PERCENT_DIGITS} decimals, such as p50=3ms or p99.9=40ms"
    )]
    Quantile(String),
    /// Quantiles that do not rise.
    #[error("{after} comes after {before}: name quantiles in rising order, each once")]
    Order {
        /// The one before.
        before: String,
        /// The one that does not follow it.
        after: String,
    },
    /// Latencies that fall from one quantile to a higher one.
    #[error("{after} is less than {before}: a higher quantile is never the shorter latency")]
    Falls {
        /// The lower quantile and its latency.
        before: String,
        /// The higher one.
        after: String,
    },
    /// How long it takes at most is missing.
    #[error(
        "the longest latency is missing: add max=… at the end, such as p50=3ms,p99=25ms,max=200ms"
    )]
    NoMaximum,
    /// A line of a list of measured values.
    #[error("line {line}: {source}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        source: Box<LatencyError>,
    },
    /// No measured values, or too many.
    #[error("a measured distribution has 1 to {VALUES_MAX} values, one a line, not {0}")]
    Count(usize),
}

impl FromStr for Latency {
    type Err = LatencyError;

    /// See [`Latency::parse`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Latency {
    /// A duration (`5ms`, `250us`, `0`), or quantiles in rising order up to the longest latency:
    /// `p50=3ms,p90=8ms,p99=25ms,max=200ms`. Below the first quantile that is named everything takes as
    /// long as there, unless `min` says how long it takes at least.
    pub fn parse(text: &str) -> Result<Self, LatencyError> {
        if !text.contains('=') {
            return duration(text.trim()).map(Self::Constant);
        }
        let mut points: Vec<(u64, i64)> = Vec::new();
        let mut before = "";
        for part in text.split(',').map(str::trim) {
            let unknown = || LatencyError::Quantile(part.to_owned());
            let (name, value) = part.split_once('=').ok_or_else(unknown)?;
            let quantile = quantile(name.trim()).ok_or_else(unknown)?;
            let value = duration(value.trim())?;
            let texts = || (before.to_owned(), part.to_owned());
            match points.last() {
                Some((last, _)) if *last >= quantile => {
                    let (before, after) = texts();
                    return Err(LatencyError::Order { before, after });
                }
                Some((_, last)) if *last > value => {
                    let (before, after) = texts();
                    return Err(LatencyError::Falls { before, after });
                }
                None if quantile > 0 => points.push((0, value)),
                Some(_) | None => {}
            }
            points.push((quantile, value));
            before = part;
        }
        if points.last().is_none_or(|(last, _)| *last != WHOLE) {
            return Err(LatencyError::NoMaximum);
        }
        Ok(Self::Sampled(Quantiles(points)))
    }

    /// Measured latencies, one a line, in any order; empty lines and lines that begin with `#` say
    /// nothing. The shortest is quantile 0, the longest all, the others lie evenly between.
    pub fn parse_values(text: &str) -> Result<Self, LatencyError> {
        let mut values = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let source = |error| LatencyError::Line {
                line,
                source: Box::new(error),
            };
            values.push(duration(text).map_err(source)?);
            if values.len() > VALUES_MAX {
                return Err(LatencyError::Count(values.len()));
            }
        }
        values.sort_unstable();
        match *values.as_slice() {
            [] => Err(LatencyError::Count(0)),
            [only] => Ok(Self::Constant(only)),
            _ => {
                let gaps = values.len().saturating_sub(1) as u64;
                let points = (0_u64..).zip(values);
                let at = |n: u64| n.saturating_mul(WHOLE).checked_div(gaps).unwrap_or(0);
                Ok(Self::Sampled(Quantiles(
                    points.map(|(n, value)| (at(n), value)).collect(),
                )))
            }
        }
    }

    /// The latency in nanoseconds of draw number `count` under `seed`.
    pub fn draw(&self, seed: u64, count: u64) -> i64 {
        match self {
            Self::Constant(ns) => *ns,
            Self::Sampled(quantiles) => {
                let uniform = u128::from(split_mix(seed, count));
                // From 0 to WHOLE, both included.
                let scaled = uniform.saturating_mul(u128::from(WHOLE).saturating_add(1)) >> 64;
                quantiles.at(u64::try_from(scaled).unwrap_or(WHOLE))
            }
        }
    }
}

impl Quantiles {
    /// The latency at a quantile (parts of 10^9), on the straight line between its neighbours, rounded
    /// up.
    fn at(&self, quantile: u64) -> i64 {
        let after = self.0.partition_point(|(q, _)| *q < quantile);
        let Some(&(high, longer)) = self.0.get(after).or(self.0.last()) else {
            return 0;
        };
        let Some(&(low, shorter)) = after.checked_sub(1).and_then(|n| self.0.get(n)) else {
            return longer;
        };
        let [low, high, quantile] = [low, high, quantile].map(i128::from);
        // What is missing to the longer one, rounded down.
        let rise = i128::from(longer).saturating_sub(i128::from(shorter));
        let missing = high
            .saturating_sub(quantile)
            .max(0)
            .saturating_mul(rise)
            .checked_div(high.saturating_sub(low))
            .unwrap_or(0);
        longer.saturating_sub(i64::try_from(missing).unwrap_or(0))
    }
}

impl fmt::Display for Latency {
    /// As [`Latency::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points = match self {
            Self::Constant(ns) => return write_duration(f, *ns),
            Self::Sampled(Quantiles(points)) => points,
        };
        for (n, (quantile, ns)) in points.iter().enumerate() {
            match *quantile {
                0 => f.write_str("min=")?,
                WHOLE => f.write_str(",max=")?,
                _ => {
                    let percent = format_fixed((*quantile).into(), PERCENT_DIGITS);
                    write!(f, "{}p{percent}=", if n == 0 { "" } else { "," })?;
                }
            }
            write_duration(f, *ns)?;
        }
        Ok(())
    }
}

/// One direction of a connection: messages take the time that is drawn for them, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wire {
    latency: Latency,
    seed: u64,
    sent: u64,
    last: Option<Time>,
}

impl Wire {
    /// Nothing is under way. Wires of different seeds draw independently of each other.
    pub fn new(latency: Latency, seed: u64) -> Self {
        Self {
            latency,
            seed,
            sent: 0,
            last: None,
        }
    }

    /// When the next message, which leaves at `now`, arrives: after its own latency, and not before the
    /// message that left before it.
    pub fn send(&mut self, now: Time) -> Time {
        let due = now.plus(self.latency.draw(self.seed, self.sent));
        self.sent = self.sent.wrapping_add(1);
        let due = self.last.map_or(due, |last| due.max(last));
        self.last = Some(due);
        due
    }
}

/// Number `count` of SplitMix64 from `seed`.
fn split_mix(seed: u64, count: u64) -> u64 {
    let step = count.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = seed.wrapping_add(step);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `min`, `max`, or `p` and a percentage strictly between 0 and 100.
fn quantile(name: &str) -> Option<u64> {
    match name {
        "min" => Some(0),
        "max" => Some(WHOLE),
        _ => {
            let percent = parse_fixed(name.strip_prefix('p')?.as_bytes(), PERCENT_DIGITS).ok()?;
            let quantile = u64::try_from(percent).ok()?;
            (0 < quantile && quantile < WHOLE).then_some(quantile)
        }
    }
}

/// Units, the ones that end in another one's name first, with the digits of a nanosecond in each.
const UNITS: [(&str, u8, i64); 5] = [
    ("ns", 0, 1),
    ("µs", 3, MICROSECOND),
    ("us", 3, MICROSECOND),
    ("ms", 6, MILLISECOND),
    ("s", 9, SECOND),
];

/// Nanoseconds of a duration.
fn duration(text: &str) -> Result<i64, LatencyError> {
    if text == "0" {
        return Ok(0);
    }
    let (number, digits) = UNITS
        .iter()
        .find_map(|(unit, digits, _)| Some((text.strip_suffix(unit)?.trim_end(), *digits)))
        .ok_or_else(|| LatencyError::Duration(text.to_owned()))?;
    let ns = parse_fixed(number.as_bytes(), digits)
        .map_err(|_| LatencyError::Duration(text.to_owned()))?;
    let ns = i64::try_from(ns).ok();
    ns.filter(|ns| (0..=LATENCY_NS_MAX).contains(ns))
        .ok_or_else(|| LatencyError::Range(text.to_owned()))
}

/// In the largest unit of which it is a whole number.
fn write_duration(f: &mut fmt::Formatter<'_>, ns: i64) -> fmt::Result {
    let whole = |(_, _, unit): &&(&str, u8, i64)| ns.checked_rem(*unit) == Some(0);
    match UNITS.iter().rev().find(whole) {
        Some((name, _, unit)) if ns != 0 => {
            write!(f, "{}{name}", ns.checked_div(*unit).unwrap_or(0))
        }
        Some(_) | None => f.write_str("0"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "p50=3ms,p90=8ms,p99=25ms,max=200ms";

    fn refused(text: &str) -> LatencyError {
        Latency::parse(text).expect_err(text)
    }

    #[test]
    fn durations_are_read_exactly() {
        for (text, ns) in [
            ("0", 0),
            ("0ms", 0),
            ("800ns", 800),
            ("1.5us", 1_500),
            ("5ms", 5_000_000),
            ("0.25 ms", 250_000),
            ("2s", 2_000_000_000),
            ("60s", LATENCY_NS_MAX),
        ] {
            assert_eq!(Latency::parse(text), Ok(Latency::Constant(ns)), "{text}");
        }
        for text in [
            "", "5", "ms", "-", "1m", "5 msec", "1e3ms", "0.0001us", "p50",
        ] {
            assert!(matches!(refused(text), LatencyError::Duration(_)), "{text}");
        }
        for text in ["-1ms", "61s", "99999999999999s"] {
            assert!(matches!(refused(text), LatencyError::Range(_)), "{text}");
        }
    }

    #[test]
    fn quantiles_lie_on_straight_lines() {
        let Ok(Latency::Sampled(quantiles)) = Latency::parse(TEXT) else {
            panic!("{TEXT}");
        };
        for (quantile, ns) in [
            (0, 3_000_000),
            (400_000_000, 3_000_000),
            (500_000_000, 3_000_000),
            (700_000_000, 5_500_000),
            (900_000_000, 8_000_000),
            (990_000_000, 25_000_000),
            (995_000_000, 112_500_000),
            (WHOLE, 200_000_000),
            (WHOLE + 1, 200_000_000),
        ] {
            assert_eq!(quantiles.at(quantile), ns, "{quantile}");
        }
        let Ok(Latency::Sampled(uneven)) = Latency::parse("min=0,max=1ns") else {
            panic!("two points");
        };
        assert_eq!([0, 1, WHOLE].map(|q| uneven.at(q)), [0, 1, 1]);
    }

    #[test]
    fn mistakes_in_quantiles_are_named() {
        assert!(matches!(refused("p50=3ms"), LatencyError::NoMaximum));
        for text in [
            "p50=3ms,p50=4ms,max=5ms",
            "max=5ms,p50=3ms",
            "p9=1ms,min=0,max=1ms",
        ] {
            assert!(
                matches!(refused(text), LatencyError::Order { .. }),
                "{text}"
            );
        }
        assert_eq!(
            refused("p50=3ms,p90=2ms,max=5ms").to_string(),
            "p90=2ms is less than p50=3ms: a higher quantile is never the shorter latency"
        );
        for text in [
            "p0=1ms,max=2ms",
            "p100=1ms",
            "q5=1ms",
            "=1ms",
            "p50=1ms,",
            "p1.23456789=1ms",
        ] {
            assert!(matches!(refused(text), LatencyError::Quantile(_)), "{text}");
        }
        assert!(matches!(
            refused("p50=3,max=5ms"),
            LatencyError::Duration(_)
        ));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (text, written) in [
            ("5ms", "5ms"),
            ("0s", "0"),
            ("1500us", "1500us"),
            (
                "p50=3ms,p99.95=8ms,max=1s",
                "min=3ms,p50=3ms,p99.95=8ms,max=1s",
            ),
        ] {
            let latency = Latency::parse(text).expect(text);
            assert_eq!(latency.to_string(), written);
            assert_eq!(Latency::parse(written), Ok(latency));
        }
    }

    #[test]
    fn measured_values_are_a_distribution() {
        let measured = Latency::parse_values("# of a morning\n4ms\n\n1ms\n 2ms \n");
        assert_eq!(measured, Latency::parse("min=1ms,p50=2ms,max=4ms"));
        assert_eq!(
            Latency::parse_values("4ms"),
            Ok(Latency::Constant(4_000_000))
        );
        assert_eq!(Latency::parse_values("#\n"), Err(LatencyError::Count(0)));
        let error = Latency::parse_values("1ms\n\nfast").expect_err("no duration");
        assert!(error.to_string().starts_with("line 3: "), "{error}");
        let many = "1ms\n".repeat(VALUES_MAX + 1);
        assert_eq!(
            Latency::parse_values(&many),
            Err(LatencyError::Count(VALUES_MAX + 1))
        );
    }

    /// Of the generator's authors' C program, seed 1234567.
    #[test]
    fn draws_are_the_same_for_ever() {
        let numbers = [0, 1, 2, 3, 4].map(|n| split_mix(1_234_567, n));
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821
            ]
        );
    }

    #[test]
    fn draws_have_the_quantiles_that_were_asked_for() {
        let latency = Latency::parse(TEXT).expect(TEXT);
        let mut draws: Vec<i64> = (0..10_000).map(|n| latency.draw(7, n)).collect();
        draws.sort_unstable();
        // Three standard errors of a share of 10,000 draws.
        for (share, ns, error) in [
            (5_000, 3_000_000, 150),
            (9_000, 8_000_000, 90),
            (9_900, 25_000_000, 30),
        ] {
            let at_most = draws.partition_point(|draw| *draw <= ns);
            assert!(at_most.abs_diff(share) <= error, "{at_most} of {share}");
        }
        assert!(draws[0] >= 3_000_000 && draws[9_999] <= 200_000_000);
        let other: Vec<i64> = (0..100).map(|n| latency.draw(8, n)).collect();
        assert_ne!(
            other,
            (0..100).map(|n| latency.draw(7, n)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn messages_of_a_wire_never_overtake_each_other() {
        let mut wire = Wire::new(Latency::parse("min=0,max=1s").expect("latency"), 1);
        let (mut last, mut held) = (Time::ZERO, 0);
        for n in 0..1_000 {
            let now = Time(n * MILLISECOND);
            let own = now.plus(wire.latency.draw(1, wire.sent));
            let due = wire.send(now);
            assert_eq!(due, own.max(last));
            held += u32::from(due > own);
            last = due;
        }
        assert!(held > 100, "{held} messages were held up");
        let mut wire = Wire::new(Latency::Constant(5), 1);
        assert_eq!([10, 11].map(|t| wire.send(Time(t))), [Time(15), Time(16)]);
    }

    proptest! {
        #[test]
        fn latencies_never_fall(values in prop::collection::vec(0..1_000_000_i64, 2..50), a in 0..=WHOLE, b in 0..=WHOLE) {
            let text: Vec<String> = values.iter().map(|v| format!("{v}ns")).collect();
            let Ok(Latency::Sampled(quantiles)) = Latency::parse_values(&text.join("\n")) else {
                panic!("values");
            };
            prop_assert!(quantiles.at(a.min(b)) <= quantiles.at(a.max(b)));
            prop_assert_eq!(Some(quantiles.at(0)), values.iter().min().copied());
            prop_assert_eq!(Some(quantiles.at(WHOLE)), values.iter().max().copied());
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            drop(Latency::parse(&text));
            drop(Latency::parse_values(&text));
        }
    }
}
