//! Names and what is called: words, functions, indicators with their parameters.

use std::fmt::Write as _;

use super::super::indicators::{INDICATORS, Row, Spec};
use super::super::vocabulary::{
    FUNCTIONS, Fault, Function, FunctionRow, HISTORY_MAX, INDICATORS_MAX, Meaning, meaning, nearest,
};
use super::code::Op;
use super::compiler::{Compiler, Kind, Operand, number};
use super::lexer::{Place, Token};

impl Compiler<'_, '_> {
    pub(super) fn name(&mut self, name: &str, place: Place) -> Result<Kind, Fault> {
        if let "true" | "false" = name {
            let value = if name == "true" { 1.0 } else { 0.0 };
            self.emit(Op::Push(value), place)?;
            return Ok(Kind::Truth);
        }
        let called = self.token == Token::Open;
        if let Some(found) = meaning(name) {
            if called {
                return Err(place.fault(format!(
                    "{name} is no function: write it without parentheses"
                )));
            }
            match found {
                Meaning::Field(field) => {
                    self.needs.field(field, 0);
                    self.emit(Op::Field(field, 0), place)?;
                }
                Meaning::Word(word) => {
                    self.needs.word(word);
                    self.emit(Op::Word(word), place)?;
                }
            }
            return Ok(Kind::Number);
        }
        if let Some(row) = FUNCTIONS.iter().find(|f| f.name == name) {
            if !called {
                return Err(place.fault(format!("{name} is a function: write {}", row.usage)));
            }
            self.advance()?;
            return self.call(row, place);
        }
        let Some(row) = INDICATORS.iter().find(|row| row.name == name) else {
            return Err(place.fault(format!("unknown name {name}{}", nearest(name, []))));
        };
        let params = if called {
            self.advance()?;
            self.params(row)?
        } else {
            String::new()
        };
        let spec =
            Spec::parse(&format!("{name}{params}")).map_err(|e| place.fault(e.to_string()))?;
        let index = self.needs.indicator(spec).ok_or_else(|| {
            place.fault(format!("more than {INDICATORS_MAX} different indicators"))
        })?;
        let (output, back) = (0, 0);
        self.emit(
            Op::Indicator {
                index,
                output,
                back,
            },
            place,
        )?;
        Ok(if row.outputs.len() == 1 {
            self.needs.output(index, output);
            Kind::Number
        } else {
            Kind::Outputs(row)
        })
    }

    /// The parameters of an indicator, up to the closing parenthesis: numbers, because it runs from the
    /// first candle on, whatever the condition says later.
    fn params(&mut self, row: &'static Row) -> Result<String, Fault> {
        let mut text = String::new();
        while self.token != Token::Close {
            let place = self.place;
            let from = self.ops.len();
            let operand = self.expression(0)?;
            let value = self
                .constant(operand)
                .filter(|_| matches!(operand.kind, Kind::Number));
            let Some(value) = value else {
                return Err(place.fault(format!(
                    "the parameters of {} must be numbers that do not change",
                    row.name
                )));
            };
            self.drop_from(from);
            // Writing to a String cannot fail.
            write!(text, ":{value}").unwrap_or_default();
            match self.token {
                Token::Comma => self.advance()?,
                Token::Close => {}
                token => {
                    let found = token.describe();
                    let name = row.name;
                    return Err(self.place.fault(format!(
                        "expected \",\" or \")\" behind a parameter of {name}, found {found}"
                    )));
                }
            }
        }
        self.advance()?;
        Ok(text)
    }

    fn call(&mut self, row: &'static FunctionRow, place: Place) -> Result<Kind, Fault> {
        let from = self.ops.len();
        let first = self.argument(row)?;
        if let Function::One(function) = row.function {
            self.close(row)?;
            match self.constant(first) {
                Some(value) => {
                    self.drop_from(from);
                    self.folded(function(value), place)?;
                }
                None => self.emit(Op::One(function), place)?,
            }
            return Ok(Kind::Number);
        }
        let crosses = !matches!(row.function, Function::Two(_));
        if crosses {
            self.with_before(first, row)?;
        }
        self.expect(Token::Comma, &format!("in {}", row.usage))?;
        let second = self.argument(row)?;
        if crosses {
            self.with_before(second, row)?;
        }
        self.close(row)?;
        match row.function {
            Function::Two(function) => {
                let left = self.ops.get(first.from..second.from);
                match (left, self.constant(second)) {
                    (Some([Op::Push(a)]), Some(b)) => {
                        let value = function(*a, b);
                        self.drop_from(from);
                        self.folded(value, place)?;
                    }
                    _ => self.emit(Op::Two(function), place)?,
                }
                Ok(Kind::Number)
            }
            Function::CrossesAbove => {
                self.emit(Op::CrossesAbove, place)?;
                Ok(Kind::Truth)
            }
            Function::CrossesBelow | Function::One(_) => {
                self.emit(Op::CrossesBelow, place)?;
                Ok(Kind::Truth)
            }
        }
    }

    fn folded(&mut self, value: f64, place: Place) -> Result<(), Fault> {
        if !value.is_finite() {
            return Err(place.fault("this has no finite value"));
        }
        self.emit(Op::Push(value), place)
    }

    fn argument(&mut self, row: &FunctionRow) -> Result<Operand, Fault> {
        if self.token == Token::Close {
            return Err(self
                .place
                .fault(format!("too few arguments: write {}", row.usage)));
        }
        let operand = self.expression(0)?;
        number(operand, row.name)?;
        Ok(operand)
    }

    fn close(&mut self, row: &FunctionRow) -> Result<(), Fault> {
        if self.token == Token::Comma {
            return Err(self
                .place
                .fault(format!("too many arguments: write {}", row.usage)));
        }
        self.expect(Token::Close, &format!("to close {}", row.usage))
    }

    /// Behind a value the same one candle before.
    fn with_before(&mut self, operand: Operand, row: &FunctionRow) -> Result<(), Fault> {
        let before = match self.ops.get(operand.from..) {
            Some([Op::Push(value)]) => Op::Push(*value),
            Some([Op::Field(field, back)]) if *back < HISTORY_MAX => {
                self.needs.field(*field, back.saturating_add(1));
                Op::Field(*field, back.saturating_add(1))
            }
            Some(
                [
                    Op::Indicator {
                        index,
                        output,
                        back: 0,
                    },
                ],
            ) => Op::Indicator {
                index: *index,
                output: *output,
                back: 1,
            },
            _ => {
                return Err(operand.place.fault(format!(
                    "{} wants an indicator, a price of the candle or a number: nothing else has a value of the candle before",
                    row.name
                )));
            }
        };
        self.emit(before, operand.place)
    }
}
