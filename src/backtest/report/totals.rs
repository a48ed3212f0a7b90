//! Sums and ratios of a run. Ratios of equity are those of `kernel/statistics.rs`, from one sample a minute;
//! those of trades count what a trade came to after fees and funding.

use crate::backtest::{Run, Trip};
use crate::kernel::types::{Money, Qty};

/// Sums of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// Equity at the end less the money at the beginning.
    pub net: Money,
    /// The same in percent of the money at the beginning.
    pub return_percent: f64,
    /// Largest fall of equity from its peak, in percent of the peak.
    pub drawdown_percent: f64,
    /// Largest fall of equity, in money.
    pub drawdown: Money,
    /// Annualised Sharpe ratio.
    pub sharpe: Option<f64>,
    /// Annualised Sortino ratio.
    pub sortino: Option<f64>,
    /// What winning trades brought by what losing ones cost.
    pub profit_factor: Option<f64>,
    /// Winning trades in percent of those that won or lost.
    pub win_rate_percent: Option<f64>,
    /// Trades that have ended.
    pub trades: usize,
    /// Those that brought something.
    pub wins: usize,
    /// Those that cost something.
    pub losses: usize,
    /// Trades that have not ended.
    pub open: usize,
    /// Mean of what a trade came to.
    pub average: Option<Money>,
    /// Mean of winning and of losing ones.
    pub average_win: Option<Money>,
    /// Mean of losing ones.
    pub average_loss: Option<Money>,
    /// The best one.
    pub best: Option<Money>,
    /// The worst one.
    pub worst: Option<Money>,
    /// Mean duration of a trade, in nanoseconds.
    pub duration_ns: i64,
    /// Losing trades in a row, at most.
    pub losing_streak: usize,
    /// Time in which anything was held, in percent.
    pub exposure_percent: f64,
    /// Profit of what was closed, before fees and funding.
    pub realized: Money,
}

impl Totals {
    /// Sums a run up.
    pub fn of(run: &Run) -> Self {
        let done = &run.trades.done;
        let net = run.equity.minus(run.cash).unwrap_or_default();
        let nets: Vec<Money> = done.iter().map(Trip::net).collect();
        let sum = |of: &dyn Fn(&Money) -> bool| {
            let chosen = nets.iter().filter(|n| of(n));
            chosen.fold((Money::ZERO, 0_usize), |(sum, count), n| {
                (sum.plus(*n).unwrap_or(sum), count + 1)
            })
        };
        let (won, wins) = sum(&|n| *n > Money::ZERO);
        let (lost, losses) = sum(&|n| *n < Money::ZERO);
        let all = won.plus(lost).unwrap_or_default();
        let span = run.span.1.since(run.span.0).max(1) as f64;
        let times = done.iter().map(|t| t.closed.since(t.opened));
        let count = i64::try_from(done.len()).unwrap_or(i64::MAX).max(1);
        let realized = done.iter().chain(run.trades.open().map(|(t, _)| t));
        Self {
            net,
            return_percent: percent(net, run.cash).unwrap_or(0.0),
            drawdown_percent: run.statistics.max_drawdown_percent,
            drawdown: run
                .statistics
                .max_drawdown_amount()
                .map_or(Money::ZERO, |d| d.amount),
            sharpe: run.statistics.sharpe_ratio(),
            sortino: run.statistics.sortino_ratio(),
            profit_factor: (lost < Money::ZERO).then(|| won.to_f64() / -lost.to_f64()),
            win_rate_percent: (wins + losses > 0)
                .then(|| 100.0 * wins as f64 / (wins + losses) as f64),
            trades: done.len(),
            wins,
            losses,
            open: run.trades.open().count(),
            average: mean(all, done.len()),
            average_win: mean(won, wins),
            average_loss: mean(lost, losses),
            best: nets.iter().max().copied(),
            worst: nets.iter().min().copied(),
            duration_ns: times.sum::<i64>() / count,
            losing_streak: streak(&nets),
            exposure_percent: 100.0 * run.trades.held_ns(run.span.1) as f64 / span,
            realized: realized.fold(Money::ZERO, |sum, t| sum.plus(t.realized).unwrap_or(sum)),
        }
    }
}

/// `part` in percent of `whole`.
pub(super) fn percent(part: Money, whole: Money) -> Option<f64> {
    (whole > Money::ZERO).then(|| 100.0 * part.to_f64() / whole.to_f64())
}

fn mean(sum: Money, count: usize) -> Option<Money> {
    let count = i64::try_from(count).ok()?;
    sum.share(Qty(1), Qty(count)).ok()
}

fn streak(nets: &[Money]) -> usize {
    let (mut longest, mut running) = (0, 0);
    for net in nets {
        running = if *net < Money::ZERO { running + 1 } else { 0 };
        longest = longest.max(running);
    }
    longest
}
