//! What a sweep tried, or a walk-forward chose, as a table for every form of the report.

use crate::backtest::stamp;
use crate::backtest::sweep::{Objective, Swept, columns};
use crate::backtest::walk::Window;
use crate::json::Json;
use crate::kernel::types::Money;

/// Combinations that a table shows; JSON has all.
const SHOWN: usize = 25;

/// How parameters were searched for.
#[derive(Debug)]
pub enum Search {
    /// Every combination over the whole span.
    Sweep(Objective, Swept),
    /// Chosen on one stretch, tried on the next.
    Walk(Objective, Vec<String>, Vec<Window>),
}

impl Search {
    /// What the table is, in a sentence.
    pub(super) fn title(&self) -> String {
        match self {
            Self::Sweep(objective, swept) => {
                let skipped = match swept.skipped {
                    0 => String::new(),
                    n => format!(", {n} that its strategy does not take left out"),
                };
                format!(
                    "Best of {} combinations by {}{skipped}. The best of many looks better than it is: --walk-forward \
                     tells by how much",
                    swept.tried.len(),
                    objective.name()
                )
            }
            Self::Walk(objective, _, windows) => format!(
                "Walk-forward over {} windows: chosen by {} on the training stretch, everything else here is of the tests \
                 alone",
                windows.len(),
                objective.name()
            ),
        }
    }

    /// Header and rows.
    pub(super) fn table(&self) -> Vec<Vec<String>> {
        let money = |amount: Money| format!("{:.2}", amount.to_f64());
        match self {
            Self::Sweep(_, swept) => {
                let names = swept
                    .axes
                    .iter()
                    .map(|a| format!("{}.{}", a.strategy, a.key));
                let mut rows = Vec::new();
                for at in swept.ranking.iter().take(SHOWN) {
                    let Some(tried) = swept.tried.get(*at) else {
                        continue;
                    };
                    let columns = columns(&tried.totals);
                    if rows.is_empty() {
                        let titles = columns.iter().map(|(name, _)| (*name).to_owned());
                        rows.push(names.clone().chain(titles).collect());
                    }
                    let values = tried.values.iter().cloned();
                    rows.push(values.chain(columns.map(|(_, value)| value)).collect());
                }
                rows
            }
            Self::Walk(_, names, windows) => {
                let mut head = vec!["train".to_owned(), "test".to_owned(), "end".to_owned()];
                head.extend(names.iter().cloned());
                head.extend(["net train".to_owned(), "net test".to_owned()]);
                let row = |w: &Window| {
                    let (from, middle, to) = w.times;
                    let mut row = vec![stamp(from), stamp(middle), stamp(to)];
                    row.extend(w.values.iter().cloned());
                    row.extend([money(w.net_train), money(w.net_test)]);
                    row
                };
                std::iter::once(head)
                    .chain(windows.iter().map(row))
                    .collect()
            }
        }
    }

    /// Lines for a terminal.
    pub(super) fn to_text(&self) -> String {
        let table = self.table();
        let widths: Vec<usize> = (0..table.first().map_or(0, Vec::len))
            .map(|at| {
                table
                    .iter()
                    .filter_map(|row| row.get(at))
                    .map(String::len)
                    .max()
            })
            .map(Option::unwrap_or_default)
            .collect();
        let mut out = format!("{}:\n", self.title());
        for row in &table {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:>width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            out.push_str(&line);
            out.push('\n');
        }
        out
    }

    /// Everything, for programs.
    pub(super) fn json(&self, j: &mut Json) {
        match self {
            Self::Sweep(objective, swept) => j.key("sweep").object(|j| {
                j.key("objective").text(objective.name());
                j.key("skipped").count(swept.skipped);
                j.key("results").array(|j| {
                    for at in &swept.ranking {
                        let Some(tried) = swept.tried.get(*at) else {
                            continue;
                        };
                        j.object(|j| {
                            j.key("params").object(|j| {
                                for (name, value) in swept.words(tried) {
                                    j.key(&name).text(&value);
                                }
                            });
                            let t = &tried.totals;
                            j.key("net_pnl").money(t.net);
                            j.key("return_percent").float(t.return_percent);
                            j.key("max_drawdown_percent").float(t.drawdown_percent);
                            j.key("sharpe_ratio").float_or_null(t.sharpe);
                            j.key("sortino_ratio").float_or_null(t.sortino);
                            j.key("profit_factor").float_or_null(t.profit_factor);
                            j.key("win_rate_percent").float_or_null(t.win_rate_percent);
                            j.key("trades").count(t.trades);
                        });
                    }
                });
            }),
            Self::Walk(objective, names, windows) => j.key("walk_forward").object(|j| {
                j.key("objective").text(objective.name());
                j.key("windows").array(|j| {
                    for window in windows {
                        j.object(|j| {
                            let (from, middle, to) = window.times;
                            j.key("train_from").int(from.millis());
                            j.key("test_from").int(middle.millis());
                            j.key("test_to").int(to.millis());
                            j.key("params").object(|j| {
                                for (name, value) in names.iter().zip(&window.values) {
                                    j.key(name).text(value);
                                }
                            });
                            j.key("net_pnl_train").money(window.net_train);
                            j.key("net_pnl_test").money(window.net_test);
                        });
                    }
                });
            }),
        }
    }
}
