//! The panes: what each shows of the model, how it is sorted, how it shares the screen.

use serde_json::Value;

use super::latency::{self, Histogram};
use super::model::Model;
use crate::client::number::duration;
use crate::client::table::{Align, Cell, Table, Tone, column};
use crate::client::views;

/// The panes, from the top of the screen down.
pub(super) const PANES: [Pane; 6] = [
    Pane::Tickers,
    Pane::Positions,
    Pane::Orders,
    Pane::Strategies,
    Pane::Feeds,
    Pane::Latencies,
];

/// A part of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pane {
    Tickers,
    Positions,
    Orders,
    Strategies,
    Feeds,
    Latencies,
}

impl Pane {
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// Its name and what there is of it.
    pub(super) fn title(self, model: &Model, rows: usize) -> String {
        match self {
            Self::Tickers => "Prices".to_owned(),
            Self::Positions if rows == 0 => "Positions: flat".to_owned(),
            Self::Positions => format!("Positions: {rows}"),
            Self::Orders => format!("Orders: {} open", model.open_orders()),
            Self::Strategies if rows == 0 => "Strategies: none".to_owned(),
            Self::Strategies => "Strategies".to_owned(),
            Self::Feeds => "Feeds".to_owned(),
            Self::Latencies => "Latencies since the start".to_owned(),
        }
    }

    /// Whether its rows may change places.
    pub(super) const fn sortable(self) -> bool {
        !matches!(self, Self::Strategies | Self::Latencies)
    }

    pub(super) fn table(self, model: &Model, now_ms: i64) -> Table {
        match self {
            Self::Tickers => tickers(model, now_ms),
            Self::Positions => views::positions(&[model.open_positions()]),
            Self::Orders => views::orders(&[model.all_orders()]),
            Self::Strategies => views::strategies(std::slice::from_ref(&model.strategies)),
            Self::Feeds => feeds(model),
            Self::Latencies => latencies(model),
        }
    }
}

fn tickers(model: &Model, now_ms: i64) -> Table {
    let mut table = Table::new(&[
        column("SYMBOL", Align::Left, 0),
        column("PRICE", Align::Number, 0),
        column("24H %", Align::Number, 0),
        column("BID", Align::Number, 0),
        column("ASK", Align::Number, 0),
        column("SPREAD BP", Align::Number, 1),
        column("AGE", Align::Right, 0),
        column("VOLUME", Align::Number, 2),
    ]);
    for (name, ticker) in &model.tickers {
        let age = ticker["timestamp"].as_i64().map(|ms| (now_ms - ms).max(0));
        let tone = match age {
            Some(ms) if ms > 30_000 => Tone::Bad,
            Some(ms) if ms > 5_000 => Tone::Warn,
            _ => Tone::Dim,
        };
        table.rows.push(vec![
            Cell::plain(name.as_str()),
            views::plain(&ticker["price"]),
            Cell::signed(views::change(ticker)),
            views::plain(&ticker["bid"]),
            views::plain(&ticker["ask"]),
            Cell::plain(spread(ticker)),
            Cell::new(age.map_or_else(String::new, duration), tone).by(age.unwrap_or(i64::MAX)),
            views::plain(&ticker["volume"]),
        ]);
    }
    table
}

/// Between bid and ask, in hundredths of a percent of their middle.
fn spread(ticker: &Value) -> String {
    match (views::float(&ticker["bid"]), views::float(&ticker["ask"])) {
        (Some(bid), Some(ask)) if bid > 0.0 && ask > 0.0 => {
            format!("{:.2}", (ask - bid) / (ask + bid) * 2e4)
        }
        _ => String::new(),
    }
}

fn feeds(model: &Model) -> Table {
    let mut table = views::feeds(std::slice::from_ref(&model.feeds));
    // The stream that has been silent for longest is the one to look at.
    table
        .rows
        .sort_by_key(|row| std::cmp::Reverse(row.get(3).and_then(|cell| cell.key)));
    table
}

fn latencies(model: &Model) -> Table {
    let mut table = Table::new(&[
        column("STAGE", Align::Left, 0),
        column("P50", Align::Right, 0),
        column("P99", Align::Right, 0),
        column("COUNT", Align::Right, 0),
    ]);
    let mut row = |name: &str, histogram: &Histogram| {
        if histogram.count() > 0 {
            let at = |q| Cell::plain(latency::words(histogram.quantile(q)));
            table.rows.push(vec![
                Cell::plain(name),
                at(0.5),
                at(0.99),
                Cell::plain(histogram.count().to_string()),
            ]);
        }
    };
    row("order", &model.latencies.order);
    for (stage, histogram) in &model.latencies.stages {
        row(stage, histogram);
    }
    table
}

/// Sorts rows by a column: numbers from the largest, words from the first letter.
pub(super) fn sort(table: &mut Table, by: usize) {
    let key = |cell: &Cell| match (cell.key, cell.text.parse::<f64>()) {
        (Some(key), _) => (0, -(key as f64), String::new()),
        (None, Ok(number)) => (0, -number, String::new()),
        (None, Err(_)) => (1, 0.0, cell.text.clone()),
    };
    let empty = Cell::default();
    table.rows.sort_by(|a, b| {
        let (a, b) = (
            key(a.get(by).unwrap_or(&empty)),
            key(b.get(by).unwrap_or(&empty)),
        );
        a.0.cmp(&b.0)
            .then(a.1.total_cmp(&b.1))
            .then_with(|| a.2.cmp(&b.2))
    });
}

/// Lines for each pane: its rows and two for title and names. Every pane gets its least first, the
/// selected one then what it wants, then the others from the top. What cannot get its least gets none.
pub(super) fn share(height: usize, wanted: [usize; 6], selected: Pane) -> [usize; 6] {
    /// A title, the names of the columns, a row.
    const LEAST: usize = 3;
    let mut got = [0; 6];
    let mut left = height;
    let order = || {
        [selected]
            .into_iter()
            .chain(PANES.into_iter().filter(|pane| *pane != selected))
    };
    for pane in order() {
        let least = wanted[pane.index()].min(LEAST);
        if least <= left {
            got[pane.index()] = least;
            left -= least;
        }
    }
    for pane in order() {
        let at = pane.index();
        if got[at] > 0 {
            let more = wanted[at].saturating_sub(got[at]).min(left);
            got[at] += more;
            left -= more;
        }
    }
    got
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_selected_pane_gets_what_it_wants() {
        let wanted = [4, 1, 30, 4, 12, 9];
        assert_eq!(share(60, wanted, Pane::Orders), [4, 1, 30, 4, 12, 9]);
        assert_eq!(share(20, wanted, Pane::Tickers), [4, 1, 6, 3, 3, 3]);
        assert_eq!(share(20, wanted, Pane::Feeds), [3, 1, 3, 3, 7, 3]);
        assert_eq!(share(5, wanted, Pane::Feeds), [0, 1, 0, 0, 4, 0]);
    }

    proptest! {
        #[test]
        fn a_share_never_exceeds_the_screen_or_the_wish(
            height in 0_usize..80, wanted in prop::array::uniform6(1_usize..40), selected in 0_usize..6,
        ) {
            let got = share(height, wanted, PANES[selected]);
            prop_assert!(got.iter().sum::<usize>() <= height);
            for (got, wanted) in got.iter().zip(wanted) {
                prop_assert!(*got <= wanted);
            }
            if got.iter().sum::<usize>() < height && height >= 18 {
                prop_assert_eq!(got, wanted, "lines are left although more is wanted");
            }
        }
    }

    #[test]
    fn numbers_sort_before_words_and_ages_by_their_length() {
        let mut table = Table::new(&[column("A", Align::Left, 0)]);
        let ages = [
            Cell::plain("b"),
            Cell::plain("2"),
            Cell::plain("1 s").by(1000),
            Cell::plain("10"),
        ];
        table.rows = ages.into_iter().map(|cell| vec![cell]).collect();
        sort(&mut table, 0);
        let order: Vec<&str> = table.rows.iter().map(|row| row[0].text.as_str()).collect();
        assert_eq!(order, ["1 s", "10", "2", "b"]);
    }
}
