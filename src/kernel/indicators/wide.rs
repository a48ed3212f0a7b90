//! Numbers with twice the digits of a double, for sums that slide.
//!
//! A running sum that adds what comes and subtracts what leaves would lose digits for ever, and a
//! variance taken from sums of squares would cancel away those that matter. With 106 bits neither
//! happens at prices and volumes that markets have, and no window has to be summed up again.

use std::hash::Hasher;

use super::hash_float;

/// The unevaluated sum of two doubles (T. J. Dekker, A Floating-Point Technique for Extending the
/// Available Precision, 1971).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wide {
    high: f64,
    low: f64,
}

/// The rounded sum and what rounding took (D. E. Knuth).
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

/// Splits a double into two of 26 bits.
fn split(a: f64) -> (f64, f64) {
    let big = 134_217_729.0 * a; // 2^27 + 1
    let high = big - (big - a);
    (high, a - high)
}

impl Wide {
    /// The exact product.
    pub(super) fn product(a: f64, b: f64) -> Self {
        let high = a * b;
        let ((a1, a2), (b1, b2)) = (split(a), split(b));
        let low = a2 * b2 - (((high - a1 * b1) - a2 * b1) - a1 * b2);
        Self { high, low }
    }

    fn normal(high: f64, low: f64) -> Self {
        let sum = high + low;
        Self {
            high: sum,
            low: low - (sum - high),
        }
    }

    pub(super) fn plus(self, x: f64) -> Self {
        let (high, low) = two_sum(self.high, x);
        Self::normal(high, low + self.low)
    }

    pub(super) fn add(self, other: Self) -> Self {
        let (high, low) = two_sum(self.high, other.high);
        let (more, rest) = two_sum(self.low, other.low);
        let first = Self::normal(high, low + more);
        Self::normal(first.high, first.low + rest)
    }

    pub(super) fn sub(self, other: Self) -> Self {
        self.add(Self {
            high: -other.high,
            low: -other.low,
        })
    }

    pub(super) fn times(self, x: f64) -> Self {
        let Self { high, low } = Self::product(self.high, x);
        Self::normal(high, low + self.low * x)
    }

    pub(super) fn mul(self, other: Self) -> Self {
        let Self { high, low } = Self::product(self.high, other.high);
        let cross = self.high * other.low + self.low * other.high;
        Self::normal(high, low + cross)
    }

    /// The nearest double.
    pub(super) fn get(self) -> f64 {
        self.high + self.low
    }

    pub(super) fn hash_bits(self, state: &mut dyn Hasher) {
        hash_float(state, self.high);
        hash_float(state, self.low);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What comes and leaves again leaves nothing behind that could be seen.
        #[test]
        fn sums_forget_what_has_left(
            kept in prop::collection::vec(-1e6..1e6_f64, 1..20),
            passing in prop::collection::vec(-1e12..1e12_f64, 1..200),
        ) {
            let total = |values: &[f64]| values.iter().fold(Wide::default(), |s, x| s.plus(*x));
            let mut sum = total(&kept);
            for x in &passing {
                sum = sum.plus(*x);
            }
            for x in &passing {
                sum = sum.plus(-x);
            }
            let want = total(&kept).get();
            prop_assert!((sum.get() - want).abs() <= 1e-12, "{} and {want}", sum.get());
        }

        /// Whole numbers below 2^53 have products below 2^106: both halves are exact.
        #[test]
        fn products_are_exact(a in -(1_i64 << 53)..1 << 53, b in -(1_i64 << 52)..1 << 52, c in 1..1_000_i64) {
            let exact = i128::from(a) * i128::from(b);
            let Wide { high, low } = Wide::product(a as f64, b as f64);
            prop_assert_eq!(whole(high) + whole(low), exact);
            let same = Wide::product(a as f64, b as f64).sub(Wide::default().plus(a as f64).times(b as f64));
            prop_assert_eq!(same.get().to_bits(), 0.0_f64.to_bits());
            let twice = Wide::product(a as f64, c as f64).add(Wide::product(a as f64, c as f64));
            let halves = twice.sub(Wide::default().plus(a as f64).mul(Wide::default().plus(2.0 * c as f64)));
            prop_assert_eq!(halves.get().abs().to_bits(), 0.0_f64.to_bits());
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "whole numbers below 2^106")]
    fn whole(x: f64) -> i128 {
        x as i128
    }
}
