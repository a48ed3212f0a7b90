//! Brackets of notional, each with its highest leverage and its maintenance margin rate.

use serde::{Deserialize, Serialize};

use super::magnitude;
use crate::kernel::types::{Money, MoneyError, Rate};

/// Most brackets of a table; venues have a dozen, and up to some thirty.
pub const BRACKETS_MAX: usize = 64;

/// A range of notional, from more than the floor up to the cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bracket {
    /// Where it begins.
    pub notional_floor: Money,
    /// Where it ends; a position that grows beyond the last cap stays in the last bracket.
    pub notional_cap: Money,
    /// Highest leverage of a position here.
    pub leverage_max: u16,
    /// Maintenance margin rate.
    pub maintenance: Rate,
    /// What is taken off notional × rate, so that the margin is continuous at the floor.
    pub deduction: Money,
}

/// The brackets of an instrument, as they were on a day. Valid by construction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Table")]
pub struct Brackets {
    as_of: String,
    rows: Vec<Bracket>,
}

/// What is read before it is checked.
#[derive(Deserialize)]
struct Table {
    as_of: String,
    rows: Vec<Bracket>,
}

impl TryFrom<Table> for Brackets {
    type Error = BracketError;

    fn try_from(table: Table) -> Result<Self, BracketError> {
        Self::new(table.as_of, table.rows)
    }
}

/// Why rows are no table of brackets. Rows count from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BracketError {
    /// Not a date.
    #[error("the date of the brackets must read YYYY-MM-DD")]
    Date,
    /// None, or too many.
    #[error("1 to {BRACKETS_MAX} brackets, not {0}")]
    Count(usize),
    /// Floors and caps are no chain that begins at zero.
    #[error("bracket {0} does not continue the one before, or ends where it begins")]
    Bounds(usize),
    /// The leverage is zero or grows.
    #[error("bracket {0} has no leverage, or a higher one than the bracket before")]
    Leverage(usize),
    /// The rate is not between zero and one, or falls.
    #[error(
        "bracket {0} has a maintenance rate outside of 0 to 1, or a lower one than the bracket before"
    )]
    Rate(usize),
    /// The deduction makes a step.
    #[error("the maintenance margin jumps at the floor of bracket {0}: its deduction is wrong")]
    Deduction(usize),
}

impl Brackets {
    /// A table of `as_of` (`YYYY-MM-DD`): rows in ascending order without holes, leverage not rising,
    /// rates not falling, and deductions such that the maintenance margin is continuous.
    pub fn new(as_of: String, rows: Vec<Bracket>) -> Result<Self, BracketError> {
        let date = |(i, c): (usize, u8)| match i {
            4 | 7 => c == b'-',
            _ => c.is_ascii_digit(),
        };
        if as_of.len() != 10 || !as_of.bytes().enumerate().all(date) {
            return Err(BracketError::Date);
        }
        if rows.is_empty() || rows.len() > BRACKETS_MAX {
            return Err(BracketError::Count(rows.len()));
        }
        let mut before = Bracket {
            notional_floor: Money::ZERO,
            notional_cap: Money::ZERO,
            leverage_max: u16::MAX,
            maintenance: Rate(0),
            deduction: Money::ZERO,
        };
        for (row, number) in rows.iter().zip(1..) {
            if row.notional_floor != before.notional_cap || row.notional_cap <= row.notional_floor {
                return Err(BracketError::Bounds(number));
            }
            if row.leverage_max == 0 || row.leverage_max > before.leverage_max {
                return Err(BracketError::Leverage(number));
            }
            let rising = before.maintenance.max(Rate(1)) <= row.maintenance;
            if !rising || row.maintenance >= Rate::ONE {
                return Err(BracketError::Rate(number));
            }
            if continued(&before, row) != Ok(row.deduction) {
                return Err(BracketError::Deduction(number));
            }
            before = *row;
        }
        Ok(Self { as_of, rows })
    }

    /// Binance USDⓈ-M BTCUSDT, as the venue's `GET /fapi/v1/leverageBracket` answered on 2026-03-26
    /// (the copy that the freqtrade project keeps in `binance_leverage_tiers.json`, release 2026.4; the
    /// rows had not changed on 2026-03-05). The venue changes brackets at any time and has others for
    /// each symbol: ask it where it can be asked.
    pub fn dated_default() -> Self {
        // Cap in USDT, leverage, maintenance rate in units of 10^-8. Floors and deductions follow.
        const ROWS: [(i64, u16, i64); 12] = [
            (300_000, 150, 400_000),
            (800_000, 100, 500_000),
            (3_000_000, 75, 650_000),
            (12_000_000, 50, 1_000_000),
            (70_000_000, 25, 2_000_000),
            (100_000_000, 20, 2_500_000),
            (230_000_000, 10, 5_000_000),
            (480_000_000, 5, 10_000_000),
            (600_000_000, 4, 12_500_000),
            (800_000_000, 3, 15_000_000),
            (1_200_000_000, 2, 25_000_000),
            (1_800_000_000, 1, 50_000_000),
        ];
        Self::from_caps("2026-03-26", &ROWS)
            .expect("a constant that a test holds against the venue's")
    }

    /// A table from caps in whole units, leverages and rates; floors and deductions follow from them.
    pub fn from_caps(as_of: &str, rows: &[(i64, u16, i64)]) -> Result<Self, BracketError> {
        let mut out: Vec<Bracket> = Vec::with_capacity(rows.len().min(BRACKETS_MAX));
        for ((cap, leverage_max, rate), number) in rows.iter().zip(1..) {
            let mut row = Bracket {
                notional_floor: out.last().map_or(Money::ZERO, |row| row.notional_cap),
                notional_cap: Money::whole(*cap),
                leverage_max: *leverage_max,
                maintenance: Rate(*rate),
                deduction: Money::ZERO,
            };
            if let Some(before) = out.last() {
                let deduction = continued(before, &row);
                row.deduction = deduction.map_err(|_| BracketError::Deduction(number))?;
            }
            out.push(row);
        }
        Self::new(as_of.to_owned(), out)
    }

    /// The day that the table is of, `YYYY-MM-DD`.
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// The rows, ascending; at least one.
    pub fn rows(&self) -> &[Bracket] {
        &self.rows
    }

    /// The bracket of a notional of either sign; the last one beyond the last cap.
    pub fn of(&self, notional: Money) -> &Bracket {
        let size = notional.0.unsigned_abs();
        let above = |row: &&Bracket| size <= row.notional_cap.0.unsigned_abs();
        let row = self.rows.iter().find(above).or(self.rows.last());
        row.expect("a table has rows")
    }

    /// What a position of this notional, of either sign, must keep: rounded half to even at
    /// [`Money::SCALE`].
    pub fn maintenance_margin(&self, notional: Money) -> Result<Money, MoneyError> {
        let row = self.of(notional);
        let whole = magnitude(notional)?.at_rate(row.maintenance)?;
        whole.minus(row.deduction)
    }

    /// The highest leverage of a position of this notional; `None` beyond the last cap, where none may
    /// be opened.
    pub fn leverage_max(&self, notional: Money) -> Option<u16> {
        let row = self.of(notional);
        let inside = notional.0.unsigned_abs() <= row.notional_cap.0.unsigned_abs();
        inside.then_some(row.leverage_max)
    }
}

/// The deduction with which `row` continues `before`: Binance's formula of the maintenance amount,
/// floor × (rate - rate before) + amount before.
fn continued(before: &Bracket, row: &Bracket) -> Result<Money, MoneyError> {
    let step = row.maintenance.0.checked_sub(before.maintenance.0);
    let step = Rate(step.ok_or(MoneyError)?);
    row.notional_floor.at_rate(step)?.plus(before.deduction)
}
