//! Latencies out of the histograms of `/metrics`: counts by upper bound, and quantiles of them.

use std::collections::BTreeMap;

/// A histogram as Prometheus text has it: cumulative counts, by bounds that rise.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Histogram {
    /// Upper bound in seconds, and how many were not above it. The last bound is infinite.
    buckets: Vec<(f64, u64)>,
}

impl Histogram {
    pub(super) fn count(&self) -> u64 {
        self.buckets.last().map_or(0, |(_, count)| *count)
    }

    /// The quantile in seconds, by linear interpolation within its bucket; `None` of nothing.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        let total = self.count();
        let rank = q * total as f64;
        let (mut below, mut from) = (0, 0.0);
        for (bound, count) in &self.buckets {
            if total > 0 && *count as f64 >= rank && *count > below {
                if bound.is_infinite() {
                    return Some(from); // above the last bound that has a value
                }
                let share = (rank - below as f64) / (count - below) as f64;
                return Some(from + (bound - from) * share.clamp(0.0, 1.0));
            }
            (below, from) = (*count, *bound);
        }
        None
    }
}

/// What `/metrics` says of latencies and gaps.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Latencies {
    /// From an order's intent to its venue's first answer.
    pub(super) order: Histogram,
    /// By stage, in the order of an order's way.
    pub(super) stages: Vec<(String, Histogram)>,
    /// Gaps found in books.
    pub(super) gaps: u64,
}

/// The way of a frame and the order that comes of it.
const STAGES: [&str; 7] = ["frame", "decode", "queue", "step", "journal", "wire", "ack"];

impl Latencies {
    /// Reads Prometheus text; lines of other metrics are passed over.
    pub(super) fn read(text: &str) -> Self {
        let mut order = Vec::new();
        let mut stages: BTreeMap<usize, (String, Vec<(f64, u64)>)> = BTreeMap::new();
        let mut gaps = 0_u64;
        for line in text.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let label = |label: &str| {
                let (_, rest) = name.split_once(&format!("{label}=\""))?;
                Some(rest.split_once('"')?.0)
            };
            let bound = || match label("le")? {
                "+Inf" => Some(f64::INFINITY),
                bound => bound.parse().ok(),
            };
            let value = || value.parse().ok();
            if name.starts_with("hean_order_latency_seconds_bucket{") {
                order.extend(bound().zip(value()));
            } else if name.starts_with("hean_stage_seconds_bucket{") {
                let stage = label("stage").unwrap_or_default();
                if let Some(at) = STAGES.iter().position(|known| *known == stage) {
                    let (_, buckets) = stages
                        .entry(at)
                        .or_insert_with(|| (stage.to_owned(), Vec::new()));
                    buckets.extend(bound().zip(value()));
                }
            } else if name.starts_with("hean_book_gaps_total") {
                gaps = gaps.saturating_add(value().unwrap_or(0));
            }
        }
        let stages = stages.into_values();
        Self {
            order: Histogram { buckets: order },
            stages: stages
                .map(|(name, buckets)| (name, Histogram { buckets }))
                .collect(),
            gaps,
        }
    }
}

/// Seconds in the unit that suits them; `-` for none.
pub(super) fn words(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(s) if s < 0.001 => format!("{:.1} µs", s * 1e6),
        Some(s) if s < 1.0 => format!("{:.1} ms", s * 1e3),
        Some(s) => format!("{s:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP hean_stage_seconds x
hean_stage_seconds_bucket{stage=\"step\",le=\"0.001\"} 50
hean_stage_seconds_bucket{stage=\"step\",le=\"0.002\"} 100
hean_stage_seconds_bucket{stage=\"step\",le=\"+Inf\"} 100
hean_stage_seconds_bucket{stage=\"decode\",le=\"0.001\"} 0
hean_stage_seconds_bucket{stage=\"decode\",le=\"+Inf\"} 4
hean_stage_seconds_bucket{stage=\"other\",le=\"+Inf\"} 4
hean_order_latency_seconds_bucket{le=\"0.01\"} 0
hean_order_latency_seconds_bucket{le=\"+Inf\"} 0
hean_book_gaps_total{venue=\"sim\",symbol=\"A\"} 2
hean_book_gaps_total{venue=\"sim\",symbol=\"B\"} 3
rubbish
";

    #[test]
    fn quantiles_come_from_buckets() {
        let read = Latencies::read(TEXT);
        assert_eq!(read.gaps, 5);
        assert_eq!(read.order.quantile(0.5), None);
        let names: Vec<&str> = read.stages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["decode", "step"]);
        let step = &read.stages[1].1;
        assert_eq!(step.count(), 100);
        let near = |q: f64, wanted: f64| {
            let got = step.quantile(q).expect("some");
            assert!((got - wanted).abs() < 1e-9, "{q}: {got}");
        };
        near(0.25, 0.0005);
        near(0.5, 0.001);
        near(0.99, 0.00198);
        // All above the last bound that has a value.
        assert_eq!(read.stages[0].1.quantile(0.5), Some(0.001));
        assert_eq!(words(Some(0.000_025)), "25.0 µs");
        assert_eq!(words(Some(0.0123)), "12.3 ms");
        assert_eq!(words(None), "-");
    }
}
