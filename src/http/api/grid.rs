//! Decimal numbers of callers onto the grids of an instrument; a number off the grid is refused with
//! both neighbours.

use crate::http::body::{Fields, invalid};
use crate::http::decimal::{self, DecimalError, Neighbours, Scaled};
use crate::http::problem::{Code, Problem};
use crate::kernel::types::{Instrument, Price, Qty, Scale, format_fixed};

/// A grid that a number has to be on.
struct Grid {
    code: Code,
    rule: &'static str,
    scale: Scale,
    step: i64,
}

/// The price in a field, on the tick grid.
pub(super) fn price(
    fields: &Fields<'_>,
    name: &'static str,
    instrument: &Instrument,
) -> Result<Option<Price>, Box<Problem>> {
    let grid = Grid {
        code: Code::OffTick,
        rule: "tick",
        scale: instrument.price_scale,
        step: instrument.tick.0,
    };
    let text = fields.number(name)?;
    text.map(|text| on_grid(name, &text, &grid).map(Price))
        .transpose()
}

/// The quantity in a field, on the lot grid.
pub(super) fn quantity(
    fields: &Fields<'_>,
    name: &'static str,
    instrument: &Instrument,
) -> Result<Option<Qty>, Box<Problem>> {
    let grid = Grid {
        code: Code::OffLot,
        rule: "lot",
        scale: instrument.qty_scale,
        step: instrument.lot.0,
    };
    let text = fields.number(name)?;
    text.map(|text| on_grid(name, &text, &grid).map(Qty))
        .transpose()
}

/// A number above zero at a scale; finer ones are refused.
pub(super) fn exact(name: &'static str, text: &str, scale: u8) -> Result<i128, Box<Problem>> {
    let number = positive(name, text, scale)?;
    if number.exact {
        Ok(number.magnitude)
    } else {
        let wanted = format!("a number with {scale} decimal digits at most");
        Err(invalid(name, text, &wanted))
    }
}

fn on_grid(name: &'static str, text: &str, grid: &Grid) -> Result<i64, Box<Problem>> {
    let number = positive(name, text, grid.scale.digits())?;
    let value = number
        .on_grid(grid.step)
        .map_err(|neighbours| off_grid(name, text, grid, neighbours))?;
    i64::try_from(value).map_err(|_| invalid(name, text, "a smaller number"))
}

fn positive(name: &'static str, text: &str, scale: u8) -> Result<Scaled, Box<Problem>> {
    let number = decimal::parse(text, scale).map_err(|error| match error {
        DecimalError::Syntax => invalid(name, text, "a decimal number, such as 61602.01"),
        DecimalError::Range => invalid(name, text, "a smaller number with fewer digits"),
    })?;
    if number.is_positive() {
        Ok(number)
    } else {
        Err(invalid(name, text, "greater than zero"))
    }
}

fn off_grid(
    name: &'static str,
    text: &str,
    grid: &Grid,
    Neighbours { below, above }: Neighbours,
) -> Box<Problem> {
    let shown = |value: i128| format_fixed(value, grid.scale.digits()).to_string();
    let step = shown(i128::from(grid.step));
    let above = shown(above);
    let problem = Problem::new(
        grid.code,
        format!(
            "{name} {text} is not a multiple of the {} {step}",
            grid.rule
        ),
    )
    .member("field", name)
    .member("rule", grid.rule)
    .member("limit", step)
    .member("value", text);
    if below == 0 {
        problem
            .hint(format!("the nearest is {above}"))
            .member("above", above)
    } else {
        let below = shown(below);
        problem
            .hint(format!("the nearest are {below} and {above}"))
            .member("below", below)
            .member("above", above)
    }
}
