//! Latencies in a histogram of fixed size, wrong by less than one percent.

/// Steps within a doubling.
const STEPS: usize = 128;
/// Doublings of a 64-bit number beyond the first steps.
const DOUBLINGS: usize = 58;

/// Counts of latencies, in nanoseconds.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; STEPS * DOUBLINGS],
            total: 0,
            max: 0,
        }
    }
}

fn slot(ns: u64) -> usize {
    let doublings = (u64::BITS - ns.leading_zeros()).saturating_sub(8);
    let step = usize::try_from(ns >> doublings).unwrap_or(0);
    usize::try_from(doublings).unwrap_or(0) * STEPS + step
}

/// The largest latency that is counted in a slot.
fn upper(slot: usize) -> u64 {
    if slot < 2 * STEPS {
        return slot as u64;
    }
    let doublings = slot / STEPS - 1;
    let step = (slot - doublings * STEPS) as u64;
    (u128::from(step + 1) << doublings)
        .saturating_sub(1)
        .try_into()
        .unwrap_or(u64::MAX)
}

impl Histogram {
    pub(super) fn add(&mut self, ns: u64) {
        if let Some(count) = self.counts.get_mut(slot(ns)) {
            *count += 1;
        }
        self.total += 1;
        self.max = self.max.max(ns);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// The latency that this many of a thousand do not exceed, in nanoseconds.
    pub(super) fn permille(&self, permille: u64) -> u64 {
        let wanted = (self.total * permille).div_ceil(1_000);
        let mut seen = 0;
        for (slot, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return upper(slot).min(self.max);
            }
        }
        self.max
    }

    pub(super) fn max(&self) -> u64 {
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn percentiles_are_those_of_the_sorted_values(
            mut values in proptest::collection::vec(1_u64..10_000_000_000, 1..400),
            permille in 1_u64..=1_000,
        ) {
            let mut histogram = Histogram::default();
            for value in &values {
                histogram.add(*value);
            }
            values.sort_unstable();
            let at = (values.len() * usize::try_from(permille).expect("small")).div_ceil(1_000) - 1;
            let (exact, ours) = (values[at], histogram.permille(permille));
            proptest::prop_assert!(exact <= ours && ours - exact <= exact / 100 + 1, "{exact} {ours}");
            proptest::prop_assert_eq!(histogram.max(), values[values.len() - 1]);
        }

        #[test]
        fn every_latency_has_a_slot(ns in proptest::num::u64::ANY) {
            proptest::prop_assert!(slot(ns) < STEPS * DOUBLINGS);
            proptest::prop_assert!(upper(slot(ns)) >= ns);
        }
    }

    #[test]
    fn two_halves_are_a_whole() {
        let (mut a, mut b) = (Histogram::default(), Histogram::default());
        (1..=500).for_each(|ns| a.add(ns));
        (501..=1_000).for_each(|ns| b.add(ns));
        a.merge(&b);
        assert!(
            (500..=503).contains(&a.permille(500)),
            "{}",
            a.permille(500)
        );
        assert_eq!((a.permille(1_000), a.max()), (1_000, 1_000));
    }
}
