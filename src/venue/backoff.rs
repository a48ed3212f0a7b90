//! Full-jitter exponential back-off: a delay is drawn from zero to a ceiling that doubles.

use std::time::Duration;

/// Delays for repeated attempts at one thing.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    attempts: u32,
    random: u64,
}

impl Backoff {
    /// The first ceiling, the last one, and a seed that differs between processes.
    pub fn new(first: Duration, max: Duration, seed: u64) -> Self {
        Self {
            first,
            max,
            attempts: 0,
            random: seed,
        }
    }

    /// The next delay.
    pub fn delay(&mut self) -> Duration {
        let ceiling = self
            .first
            .saturating_mul(1 << self.attempts.min(31))
            .min(self.max);
        self.attempts = self.attempts.saturating_add(1);
        let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        let share = u128::from(nanos).saturating_mul(u128::from(self.draw())) >> 64;
        Duration::from_nanos(u64::try_from(share).unwrap_or(nanos))
    }

    /// The thing succeeded: start over.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): enough for spreading attempts.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_below_a_doubling_ceiling_and_spread() {
        let (first, max) = (Duration::from_millis(100), Duration::from_secs(30));
        let mut sums = [Duration::ZERO; 12];
        for seed in 0..1_000 {
            let mut backoff = Backoff::new(first, max, seed);
            for (n, sum) in (0..).zip(sums.iter_mut()) {
                let delay = backoff.delay();
                assert!(delay <= (first * (1 << n)).min(max));
                *sum += delay;
            }
            backoff.reset();
            assert!(backoff.delay() <= first);
        }
        for (n, sum) in (0..).zip(sums) {
            let mean = sum / 1_000;
            let ceiling = (first * (1 << n)).min(max);
            assert!(
                mean > ceiling * 4 / 10 && mean < ceiling * 6 / 10,
                "{n}: {mean:?}"
            );
        }
    }
}
