//! Traces of orders, from the tick or command that caused one to its last fill, as OTLP over HTTP.
//!
//! The kernel knows nothing of this: the thread around it hands the changes of sampled orders and the
//! times that it has anyway to a bounded queue ([`Probe`]); a task makes spans of them (`spans.rs`), writes
//! OTLP's JSON (`otlp.rs`) and sends it (`export.rs`). Without an endpoint there is no probe, which costs the
//! kernel thread one branch a step. Nobody waits for the collector: what it does not take is dropped and counted.

mod export;
mod otlp;
mod probe;
mod spans;

use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

pub use export::{ExportConfig, run};
pub use probe::{Mark, Probe};

use crate::journal::InstallationId;
use crate::kernel::orders::OrderId;
use crate::kernel::types::Rate;
use crate::runtime::mailbox::TaskQueue;

/// Marks that may wait to be made into spans; beyond it they are dropped and counted.
const MARKS: usize = 8_192;
/// Bits of a trace id that decide on sampling, as in W3C's Trace Context Level 2.
const RANDOM_BITS: u32 = 56;

/// A W3C trace id: always the same for an order, whoever computes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

/// A W3C span id, unique within its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId(u64);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl TraceId {
    /// The span of this number; 0 is the root.
    fn span(self, number: u32) -> SpanId {
        // Zero means none.
        let id = xxh3_64_with_seed(&self.0.to_be_bytes(), u64::from(number));
        SpanId(id.max(1))
    }
}

/// Which orders are traced, and under which ids.
#[derive(Debug, Clone, Copy)]
pub struct Sampler {
    installation: InstallationId,
    /// Of the 2^56 values that the random part of a trace id may have, those below are left out.
    skipped: u64,
}

impl Sampler {
    /// `sample` is the share of orders that are traced.
    pub fn new(installation: InstallationId, sample: Rate) -> Self {
        let (one, share) = (i128::from(Rate::ONE.0), i128::from(sample.0));
        let skipped = ((one - share).clamp(0, one) << RANDOM_BITS) / one;
        Self {
            installation,
            skipped: u64::try_from(skipped).unwrap_or(u64::MAX),
        }
    }

    /// The trace of an order. Ids of orders are unique within an installation.
    fn trace(&self, order: OrderId) -> TraceId {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.installation.0);
        key[8..].copy_from_slice(&order.0.to_be_bytes());
        TraceId(xxh3_128(&key).max(1))
    }

    /// Its trace, if it is traced.
    fn sampled(&self, order: OrderId) -> Option<TraceId> {
        let trace = self.trace(order);
        let random = (trace.0 & ((1 << RANDOM_BITS) - 1)) as u64;
        (random >= self.skipped).then_some(trace)
    }
}

/// The two ends of tracing: one for the kernel thread, one for [`run`].
pub fn ends(sampler: Sampler) -> (Probe, Arc<TaskQueue<Mark>>) {
    let marks = TaskQueue::new(MARKS);
    (Probe::new(sampler, Arc::clone(&marks)), marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: i64 = Rate::ONE.0;

    fn sampler(share: i64) -> Sampler {
        Sampler::new(InstallationId([7; 8]), Rate(share))
    }

    fn sampled(share: i64) -> Vec<u64> {
        let sampler = sampler(share);
        let all = (1..=10_000).map(OrderId);
        all.filter(|id| sampler.sampled(*id).is_some())
            .map(|id| id.0)
            .collect()
    }

    #[test]
    fn the_share_is_kept_and_a_larger_one_holds_the_smaller() {
        assert_eq!(sampled(ONE).len(), 10_000);
        assert_eq!(sampled(0).len(), 0);
        let (tenth, half) = (sampled(ONE / 10), sampled(ONE / 2));
        assert!((900..1_100).contains(&tenth.len()), "{}", tenth.len());
        assert!((4_800..5_200).contains(&half.len()), "{}", half.len());
        assert!(tenth.iter().all(|id| half.contains(id)));
    }

    #[test]
    fn ids_are_fixed_and_differ_between_orders_and_installations() {
        let trace = sampler(0).trace(OrderId(1));
        assert_eq!(trace, sampler(ONE).trace(OrderId(1)));
        assert_eq!(trace.to_string().len(), 32);
        assert_ne!(trace, sampler(0).trace(OrderId(2)));
        let other = Sampler::new(InstallationId([8; 8]), Rate(0));
        assert_ne!(trace, other.trace(OrderId(1)));
        assert_ne!(trace.span(0), trace.span(1));
        assert_eq!(trace.span(1).to_string().len(), 16);
    }
}
