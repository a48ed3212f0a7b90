//! Tables for people: columns that line up, colours where they are wanted, as wide as the terminal.
//!
//! Numbers line up at their decimal point. A column without a value is left out. What does not fit is
//! shortened first, then left out, and [`Rendered`] says how much.

use std::cmp::Ordering;

use super::number::sign;

/// How output looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// Whether to colour it.
    pub color: bool,
    /// Columns of the terminal; `None` cuts nothing.
    pub width: Option<usize>,
}

/// What a cell's colour says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// Bought, gained, well.
    Good,
    /// Sold, lost, broken.
    Bad,
    /// Worth a look.
    Warn,
    /// Of the past.
    Dim,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[31m",
            Self::Warn => "\x1b[33m",
            Self::Dim => "\x1b[2m",
        }
    }
}

const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

/// A value and what its colour says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
    /// What it is sorted by where its text does not say.
    pub(crate) key: Option<i64>,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
            key: None,
        }
    }

    /// The same, sorted by `key`.
    pub(crate) fn by(mut self, key: i64) -> Self {
        self.key = Some(key);
        self
    }

    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::new(text, Tone::Plain)
    }

    /// Green above zero, red below.
    pub(crate) fn signed(text: String) -> Self {
        let tone = match sign(&text) {
            Some(Ordering::Greater) => Tone::Good,
            Some(Ordering::Less) => Tone::Bad,
            _ => Tone::Plain,
        };
        Self::new(text, tone)
    }
}

/// How a column lines up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Words that may be cut when the terminal is narrow.
    Prose,
    /// Words or numbers without a point of their own.
    Right,
    /// Numbers, at their points.
    Number,
    /// Numbers of one instrument: as many digits behind the point in each.
    Grid,
}

/// A column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) head: String,
    pub(crate) align: Align,
    /// When it is too narrow, the highest leaves first; 0 stays.
    pub(crate) rank: u8,
}

pub(crate) fn column(head: impl Into<String>, align: Align, rank: u8) -> Column {
    Column {
        head: head.into(),
        align,
        rank,
    }
}

/// Rows under columns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    /// A line above it.
    pub(crate) title: Option<String>,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Cell>>,
    /// Without a line of names: pairs of a name and a value.
    pub(crate) headless: bool,
}

/// A table laid out: every cell is as wide as its column, and [`GAP`] apart from the next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    pub(crate) head: Vec<Cell>,
    pub(crate) rows: Vec<Vec<Cell>>,
    /// Names of columns that did not fit.
    pub(crate) left_out: Vec<String>,
}

/// A table as text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub(crate) text: String,
    /// Names of columns that did not fit.
    pub(crate) left_out: Vec<String>,
}

/// Between columns.
pub(crate) const GAP: usize = 2;
/// Prose is not cut below this.
const PROSE_MIN: usize = 12;

struct Laid {
    column: Column,
    cells: Vec<Cell>,
    width: usize,
}

impl Table {
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self {
            columns: columns.to_vec(),
            ..Self::default()
        }
    }

    /// Names and values, one a line; those without a value are left out.
    pub(crate) fn pairs(title: Option<&str>, pairs: Vec<(&str, Cell)>) -> Self {
        Self {
            title: title.map(str::to_owned),
            columns: vec![column("", Align::Left, 0), column("", Align::Prose, 0)],
            rows: pairs
                .into_iter()
                .filter(|(_, cell)| !cell.text.is_empty())
                .map(|(name, cell)| vec![Cell::plain(name), cell])
                .collect(),
            headless: true,
        }
    }

    /// The table in columns of text that line up, within `width` if there is one.
    pub(crate) fn lines(&self, width: Option<usize>) -> Lines {
        let mut columns: Vec<Laid> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| self.lay(index, column.clone()))
            .filter(|laid| laid.cells.iter().any(|cell| !cell.text.trim().is_empty()))
            .collect();
        let left_out = width.map_or_else(Vec::new, |width| fit(&mut columns, width));
        let head = columns.iter().map(head).collect();
        let row = |row: usize| columns.iter().map(|laid| laid.cells[row].clone()).collect();
        Lines {
            head: cut(head, width),
            rows: (0..self.rows.len()).map(|at| cut(row(at), width)).collect(),
            left_out,
        }
    }

    pub(crate) fn render(&self, look: Look) -> Rendered {
        let lines = self.lines(look.width);
        let mut text = String::new();
        if let Some(title) = &self.title {
            let title = cut(vec![Cell::plain(harmless(title))], look.width);
            line(&mut text, &title, BOLD, look);
        }
        if !self.headless {
            line(&mut text, &lines.head, BOLD, look);
        }
        for row in &lines.rows {
            line(&mut text, row, "", look);
        }
        Rendered {
            text,
            left_out: lines.left_out,
        }
    }

    /// A column's cells, all of the same width.
    fn lay(&self, index: usize, column: Column) -> Laid {
        let mut cells: Vec<Cell> = self
            .rows
            .iter()
            .map(|row| row.get(index).cloned().unwrap_or_default())
            .map(|cell| Cell {
                text: harmless(&cell.text),
                ..cell
            })
            .collect();
        if matches!(column.align, Align::Number | Align::Grid) {
            let behind = |text: &str| text.split_once('.').map_or(0, |(_, f)| f.len());
            let most = cells.iter().map(|cell| behind(&cell.text)).max();
            let most = most.unwrap_or(0);
            for cell in &mut cells {
                let missing = most - behind(&cell.text);
                if cell.text.is_empty() || missing == 0 {
                    continue;
                }
                if column.align == Align::Grid && sign(&cell.text).is_some() {
                    let point = if cell.text.contains('.') { "" } else { "." };
                    cell.text = format!("{}{point}{}", cell.text, "0".repeat(missing));
                } else {
                    // The point itself takes a place too.
                    let point = usize::from(!cell.text.contains('.'));
                    cell.text.push_str(&" ".repeat(missing + point));
                }
            }
        }
        let widest = cells.iter().map(|cell| width(&cell.text)).max();
        Laid {
            width: widest.unwrap_or(0).max(width(&column.head)),
            column,
            cells,
        }
        .padded()
    }
}

impl Laid {
    /// Pads every cell to the width, or cuts it.
    fn padded(mut self) -> Self {
        for cell in &mut self.cells {
            cell.text = pad(&cell.text, self.width, self.column.align);
        }
        self
    }
}

fn head(laid: &Laid) -> Cell {
    Cell::plain(pad(&laid.column.head, laid.width, laid.column.align))
}

fn pad(text: &str, to: usize, align: Align) -> String {
    let length = width(text);
    if length > to {
        let mut cut: String = text.chars().take(to.saturating_sub(1)).collect();
        cut.push('…');
        return cut;
    }
    let space = " ".repeat(to - length);
    match align {
        Align::Left | Align::Prose => format!("{text}{space}"),
        Align::Right | Align::Number | Align::Grid => format!("{space}{text}"),
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Text from a daemon must not be able to control a terminal.
fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn total(columns: &[Laid]) -> usize {
    columns.iter().map(|laid| laid.width + GAP).sum::<usize>() - GAP.min(columns.len() * GAP)
}

/// Makes columns fit: prose is cut, then columns leave. Returns the names of those.
fn fit(columns: &mut Vec<Laid>, wanted: usize) -> Vec<String> {
    let mut left_out = Vec::new();
    loop {
        let over = total(columns).saturating_sub(wanted);
        if over == 0 {
            return left_out;
        }
        let prose = |laid: &&mut Laid| laid.column.align == Align::Prose && laid.width > PROSE_MIN;
        if let Some(laid) = columns.iter_mut().rev().find(prose) {
            laid.width = laid.width.saturating_sub(over).max(PROSE_MIN);
            let (width, align) = (laid.width, laid.column.align);
            for cell in &mut laid.cells {
                cell.text = pad(cell.text.trim_end(), width, align);
            }
            continue;
        }
        let ranks = columns
            .iter()
            .enumerate()
            .map(|(at, l)| (l.column.rank, at));
        match ranks.max() {
            Some((rank, at)) if rank > 0 => left_out.push(columns.remove(at).column.head),
            _ => return left_out, // it is as narrow as it can be
        }
    }
}

/// Cuts a line to `width`; cells beyond it go.
fn cut(cells: Vec<Cell>, most: Option<usize>) -> Vec<Cell> {
    let Some(most) = most else {
        return cells;
    };
    let mut used = 0;
    let mut kept = Vec::with_capacity(cells.len());
    for mut cell in cells {
        let room = most.saturating_sub(used);
        let shown = cell.text.trim_end();
        if room == 0 {
            break;
        }
        if width(shown) > room {
            cell.text = pad(shown, room, Align::Left);
        }
        used += width(&cell.text) + GAP;
        kept.push(cell);
    }
    kept
}

fn line(out: &mut String, cells: &[Cell], style: &str, look: Look) {
    let start = out.len();
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            out.push_str(&" ".repeat(GAP));
        }
        let code = if style.is_empty() {
            cell.tone.code()
        } else {
            style
        };
        let value = cell.text.trim();
        if look.color && !code.is_empty() && !value.is_empty() {
            // The spaces around a value are not coloured.
            let (before, after) = cell.text.split_once(value).unwrap_or_default();
            for part in [before, code, value, RESET, after] {
                out.push_str(part);
            }
        } else {
            out.push_str(&cell.text);
        }
    }
    let end = start + out[start..].trim_end().len();
    out.truncate(end);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[
            column("NAME", Align::Left, 0),
            column("PRICE", Align::Number, 0),
            column("GRID", Align::Grid, 2),
            column("GONE", Align::Left, 1),
            column("WHY", Align::Prose, 0),
        ]);
        for (name, price, grid, why) in [
            ("a", "1.25", "10", "short"),
            ("long", "-", "9.75", "a reason of some length"),
            ("b", "100", "", "x\x1b[2Jy"),
        ] {
            table.rows.push(vec![
                Cell::plain(name),
                Cell::signed(price.to_owned()),
                Cell::plain(grid),
                Cell::default(),
                Cell::plain(why),
            ]);
        }
        table
    }

    #[test]
    fn numbers_line_up_at_their_points_and_empty_columns_are_left_out() {
        let rendered = table().render(Look::default());
        assert_eq!(
            rendered.text,
            "NAME   PRICE   GRID  WHY\n\
             a       1.25  10.00  short\n\
             long    -      9.75  a reason of some length\n\
             b     100            x [2Jy\n"
        );
        assert!(rendered.left_out.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_cut_and_then_left_out() {
        let narrow = |width| {
            let look = Look {
                color: false,
                width: Some(width),
            };
            table().render(look)
        };
        assert_eq!(
            narrow(38).text,
            "NAME   PRICE   GRID  WHY\n\
             a       1.25  10.00  short\n\
             long    -      9.75  a reason of some…\n\
             b     100            x [2Jy\n"
        );
        let least = narrow(27);
        assert_eq!(
            least.text,
            "NAME   PRICE  WHY\n\
             a       1.25  short\n\
             long    -     a reason of…\n\
             b     100     x [2Jy\n"
        );
        assert_eq!(least.left_out, ["GRID"]);
        for width in 0..60 {
            for line in narrow(width).text.lines() {
                assert!(super::width(line) <= width.max(1), "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn only_values_are_coloured() {
        let mut table = Table::new(&[column("A", Align::Left, 0), column("PNL", Align::Number, 0)]);
        for (name, pnl) in [("up", "1.5"), ("down", "-12"), ("flat", "0")] {
            table.rows.push(vec![
                Cell::new(name, Tone::Dim),
                Cell::signed(pnl.to_owned()),
            ]);
        }
        let look = Look {
            color: true,
            width: None,
        };
        assert_eq!(
            table.render(look).text,
            "\x1b[1mA\x1b[0m       \x1b[1mPNL\x1b[0m\n\
             \x1b[2mup\x1b[0m      \x1b[32m1.5\x1b[0m\n\
             \x1b[2mdown\x1b[0m  \x1b[31m-12\x1b[0m\n\
             \x1b[2mflat\x1b[0m    0\n"
        );
    }
}
