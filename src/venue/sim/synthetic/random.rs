//! Random draws whose values are fixed by the seed, for ever and on every machine: ChaCha8, plain
//! arithmetic and `libm`, nothing of the platform's.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A source of draws.
#[derive(Debug, Clone)]
pub(in crate::venue::sim) struct Random(ChaCha8Rng);

impl Random {
    /// The draws of `stream` under `seed`; streams do not depend on each other.
    pub(in crate::venue::sim) fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// Uniform in [0, 1).
    pub(in crate::venue::sim) fn unit(&mut self) -> f64 {
        // 53 bits fill the mantissa exactly.
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability.
    pub(in crate::venue::sim) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform in 0..n; 0 for an empty range.
    pub(in crate::venue::sim) fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        usize::try_from(self.0.next_u64().checked_rem(n).unwrap_or(0)).unwrap_or(0)
    }

    /// Standard normal (Box and Muller).
    pub(in crate::venue::sim) fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    /// Exponential with mean 1.
    pub(in crate::venue::sim) fn exponential(&mut self) -> f64 {
        -libm::log(1.0 - self.unit())
    }

    /// Log-normal with median 1 and this spread of the logarithm.
    pub(in crate::venue::sim) fn log_normal(&mut self, spread: f64) -> f64 {
        libm::exp(spread * self.normal())
    }
}

/// The nearest integer, at the edge of the range at most.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float to integer cast saturates, which is what is wanted"
)]
pub(in crate::venue::sim) fn round(value: f64) -> i64 {
    libm::round(value) as i64
}
