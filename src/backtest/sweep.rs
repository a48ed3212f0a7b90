//! Many runs: every combination of parameters, over all cores, and what to choose among them by.
//!
//! Runs know nothing of each other and their results stand in the order of the grid, so the number of threads
//! changes nothing but the time. A combination that its strategy does not take (a fast average that is slower
//! than the slow one) is left out and counted.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam::channel;

use super::report::Totals;
use super::{BacktestError, Setup, Source, run};
use crate::kernel::strategies::{self, StrategyConfig, StrategyError};
use crate::kernel::types::{Money, format_fixed, parse_fixed};
use crate::store::migrate::Progress;

/// Combinations at most.
pub const POINTS_MAX: usize = 100_000;
/// Digits of a parameter behind the point.
const DIGITS: u8 = 8;

/// A parameter and its values: `NAME.key=from..to[:step]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// Which strategy.
    pub strategy: String,
    /// Which parameter.
    pub key: String,
    /// Its values, as text.
    pub values: Vec<String>,
}

/// What the best run is best at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Objective {
    /// Highest Sharpe ratio.
    #[default]
    Sharpe,
    /// Highest Sortino ratio.
    Sortino,
    /// Highest net profit.
    Pnl,
    /// Lowest drawdown, in percent.
    Drawdown,
    /// Highest profit factor.
    ProfitFactor,
    /// Highest share of winning trades.
    WinRate,
}

/// A combination and what it came to.
#[derive(Debug, Clone)]
pub struct Tried {
    /// The values, in the order of the axes.
    pub values: Vec<String>,
    /// Its sums.
    pub totals: Totals,
}

/// What was tried, in the order of the grid.
#[derive(Debug)]
pub struct Swept {
    /// The axes.
    pub axes: Vec<Axis>,
    /// Combinations that ran.
    pub tried: Vec<Tried>,
    /// Combinations that the strategies do not take.
    pub skipped: usize,
    /// Places in `tried`, best first.
    pub ranking: Vec<usize>,
}

impl std::str::FromStr for Axis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || {
            format!("{text:?}: expected NAME.KEY=FROM..TO[:STEP], such as ema_cross.fast=5..20:5")
        };
        let (key, range) = text.split_once('=').ok_or_else(usage)?;
        let (strategy, key) = key.rsplit_once('.').ok_or_else(usage)?;
        let (from, rest) = range.split_once("..").ok_or_else(usage)?;
        let (to, step) = rest.split_once(':').unwrap_or((rest, "1"));
        let number = |text: &str| parse_fixed(text.as_bytes(), DIGITS).map_err(|_| usage());
        let (from, to, step) = (number(from)?, number(to)?, number(step)?);
        if step <= 0 || to < from {
            return Err(usage());
        }
        let count = usize::try_from((to - from) / step).unwrap_or(usize::MAX);
        if count >= POINTS_MAX {
            return Err(format!("{text:?} are more than {POINTS_MAX} values"));
        }
        let mut values = Vec::new();
        let mut value = from;
        while value <= to {
            values.push(format_fixed(value, DIGITS).to_string());
            value += step;
        }
        Ok(Self {
            strategy: strategy.to_owned(),
            key: key.to_owned(),
            values,
        })
    }
}

impl Objective {
    /// As users write them.
    pub const ALL: [(&'static str, Self); 6] = [
        ("sharpe", Self::Sharpe),
        ("sortino", Self::Sortino),
        ("pnl", Self::Pnl),
        ("drawdown", Self::Drawdown),
        ("profit_factor", Self::ProfitFactor),
        ("win_rate", Self::WinRate),
    ];

    /// As users write it.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, objective)| *objective == self);
        found.map_or("sharpe", |(name, _)| name)
    }

    /// The more the better; `None` comes last.
    fn of(self, totals: &Totals) -> Option<f64> {
        match self {
            Self::Sharpe => totals.sharpe,
            Self::Sortino => totals.sortino,
            Self::Pnl => Some(totals.net.to_f64()),
            Self::Drawdown => Some(-totals.drawdown_percent),
            Self::ProfitFactor => totals.profit_factor,
            Self::WinRate => totals.win_rate_percent,
        }
        .filter(|_| totals.trades > 0)
    }
}

impl std::str::FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        let names = || Self::ALL.map(|(name, _)| name).join(", ");
        found
            .map(|(_, o)| *o)
            .ok_or_else(|| format!("expected one of {}", names()))
    }
}

/// Runs every combination.
pub fn sweep(
    source: &Source,
    setup: &Setup,
    axes: &[Axis],
    (objective, jobs): (Objective, Option<NonZeroUsize>),
    progress: &mut Progress,
    what: &str,
) -> Result<Swept, BacktestError> {
    let grid = grid(axes);
    let mut setups = Vec::new();
    for values in &grid {
        if let Ok(strategies) = with(&setup.kernel.strategies, axes, values) {
            let mut one = setup.clone();
            one.kernel.strategies = strategies;
            one.chart = None;
            setups.push((values, one));
        }
    }
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let threads = jobs.unwrap_or_else(cores).get().min(setups.len().max(1));
    let next = AtomicUsize::new(0);
    let (send, results) = channel::bounded(threads * 2);
    let mut totals: Vec<Option<Totals>> = vec![None; setups.len()];
    let all = u64::try_from(setups.len()).unwrap_or(u64::MAX);
    let ended = std::thread::scope(|scope| {
        for _ in 0..threads {
            let (send, next, setups) = (send.clone(), &next, &setups);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((_, setup)) = setups.get(at) else {
                        return;
                    };
                    let ran = run(source, setup).map(|run| Totals::of(&run));
                    // Nobody listens any more: another run has failed.
                    if send.send((at, ran)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut done = 0;
        for (at, ran) in results {
            if let Some(slot) = totals.get_mut(at) {
                *slot = Some(ran?);
            }
            done += 1;
            progress.show(what, done, all);
        }
        Ok::<_, BacktestError>(())
    });
    progress.clear();
    ended?;
    let tried: Vec<Tried> = setups
        .iter()
        .zip(totals)
        .filter_map(|((values, _), totals)| {
            Some(Tried {
                values: (*values).clone(),
                totals: totals?,
            })
        })
        .collect();
    let mut ranking: Vec<usize> = (0..tried.len()).collect();
    let worth = |at: &usize| {
        objective
            .of(&tried[*at].totals)
            .unwrap_or(f64::NEG_INFINITY)
    };
    // Stable: of equals the first of the grid.
    ranking.sort_by(|a, b| worth(b).total_cmp(&worth(a)));
    Ok(Swept {
        axes: axes.to_vec(),
        skipped: grid.len() - tried.len(),
        tried,
        ranking,
    })
}

impl Swept {
    /// The best combination.
    pub fn best(&self) -> Option<&Tried> {
        self.ranking.first().and_then(|at| self.tried.get(*at))
    }

    /// The values of a combination, in words.
    pub fn words(&self, tried: &Tried) -> Vec<(String, String)> {
        let name = |axis: &Axis| format!("{}.{}", axis.strategy, axis.key);
        self.axes
            .iter()
            .map(name)
            .zip(tried.values.iter().cloned())
            .collect()
    }
}

/// How many combinations there are; `None`: too many.
pub fn size(axes: &[Axis]) -> Option<usize> {
    let product = axes
        .iter()
        .try_fold(1_usize, |n, axis| n.checked_mul(axis.values.len()));
    product.filter(|n| *n <= POINTS_MAX)
}

/// Every combination, the last axis fastest.
fn grid(axes: &[Axis]) -> Vec<Vec<String>> {
    let mut grid = vec![Vec::new()];
    for axis in axes {
        let longer = |point: &Vec<String>| {
            let longer = axis.values.iter().map(|value| {
                let mut longer = point.clone();
                longer.push(value.clone());
                longer
            });
            longer.collect::<Vec<_>>()
        };
        grid = grid.iter().flat_map(longer).collect();
    }
    grid
}

/// The strategies with the values of a combination.
pub(super) fn with(
    strategies: &[StrategyConfig],
    axes: &[Axis],
    values: &[String],
) -> Result<Vec<StrategyConfig>, StrategyError> {
    let mut out = strategies.to_vec();
    for (axis, value) in axes.iter().zip(values) {
        for strategy in out.iter_mut().filter(|s| s.name == axis.strategy) {
            strategy.set(&axis.key, value)?;
        }
    }
    for strategy in &out {
        strategies::build(strategy)?;
    }
    Ok(out)
}

/// A row of a table of combinations.
pub(super) fn columns(totals: &Totals) -> [(&'static str, String); 6] {
    let ratio = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.2}"));
    let money = |amount: Money| format!("{:.2}", amount.to_f64());
    [
        ("net", money(totals.net)),
        ("return %", format!("{:.2}", totals.return_percent)),
        ("drawdown %", format!("{:.2}", totals.drawdown_percent)),
        ("sharpe", ratio(totals.sharpe)),
        ("trades", totals.trades.to_string()),
        ("win %", ratio(totals.win_rate_percent)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_is_exact_decimals() {
        let axis: Axis = "grid.spacing=0.1..0.4:0.1".parse().expect("axis");
        assert_eq!(axis.values, ["0.1", "0.2", "0.3", "0.4"]);
        let axis: Axis = "ema_cross.fast=3..7:2".parse().expect("axis");
        assert_eq!((axis.key.as_str(), axis.values.len()), ("fast", 3));
        for text in [
            "fast=1..2",
            "a.b=2..1",
            "a.b=1..2:0",
            "a.b=1..9999999",
            "a.b=x..2",
        ] {
            assert!(text.parse::<Axis>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_grid_has_every_combination_once() {
        let axis = |text: &str| text.parse::<Axis>().expect("axis");
        let axes = [axis("a.b=1..2"), axis("a.c=5..7")];
        let grid: Vec<String> = grid(&axes).into_iter().map(|p| p.join(" ")).collect();
        assert_eq!(grid, ["1 5", "1 6", "1 7", "2 5", "2 6", "2 7"]);
        assert_eq!(size(&axes), Some(6));
    }
}
