//! The instructions of a compiled expression and the machine that runs them.

use std::fmt;

use super::super::vocabulary::{Field, Frame, Meaning, Word, name_of, same};

/// Values that may wait on the stack.
pub(super) const STACK: usize = 64;

/// An instruction. Truth is 1, falsehood 0.
#[derive(Debug, Clone, Copy)]
pub(super) enum Op {
    Push(f64),
    Field(Field, u16),
    Indicator {
        index: u16,
        output: u8,
        back: u8,
    },
    Word(Word),
    Negate,
    Not,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
    /// Goes on at the address if the top is false and leaves it there; takes it otherwise.
    AndThen(u16),
    /// Goes on at the address if the top is true and leaves it there; takes it otherwise.
    OrElse(u16),
    One(fn(f64) -> f64),
    Two(fn(f64, f64) -> f64),
    /// Of a now, a before, b now, b before.
    CrossesAbove,
    /// Likewise.
    CrossesBelow,
}

impl Op {
    /// Values more on the stack after it.
    pub(super) const fn growth(self) -> isize {
        match self {
            Self::Push(_) | Self::Field(..) | Self::Indicator { .. } | Self::Word(_) => 1,
            Self::Negate | Self::Not | Self::One(_) => 0,
            Self::Add
            | Self::Subtract
            | Self::Multiply
            | Self::Divide
            | Self::Remainder
            | Self::Less
            | Self::LessEqual
            | Self::Greater
            | Self::GreaterEqual
            | Self::Equal
            | Self::NotEqual
            | Self::AndThen(_)
            | Self::OrElse(_)
            | Self::Two(_) => -1,
            Self::CrossesAbove | Self::CrossesBelow => -3,
        }
    }
}

/// Why an expression has no value at this candle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NotReady(pub(super) Missing);

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Missing {
    Field(Field, u16),
    Indicator(u16),
    Word(Word),
    NotANumber,
}

impl NotReady {
    /// The place of the indicator that is warming up, if it is one.
    pub fn indicator(self) -> Option<usize> {
        match self.0 {
            Missing::Indicator(index) => Some(usize::from(index)),
            Missing::Field(..) | Missing::Word(_) | Missing::NotANumber => None,
        }
    }
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Missing::Field(field, 0) => f.write_str(name_of(Meaning::Field(field))),
            Missing::Field(field, back) => write!(f, "{}[{back}]", name_of(Meaning::Field(field))),
            Missing::Indicator(_) => f.write_str("an indicator"),
            Missing::Word(word) => f.write_str(name_of(Meaning::Word(word))),
            Missing::NotANumber => f.write_str("a quotient of zeros"),
        }
    }
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(super) ops: Vec<Op>,
}

impl Rule {
    /// Its value as a condition. `Err` while something that it reads has no value.
    pub fn holds(&self, frame: &Frame) -> Result<bool, NotReady> {
        self.value(frame).map(|value| value > 0.5)
    }

    /// Its value as a number.
    pub fn value(&self, frame: &Frame) -> Result<f64, NotReady> {
        let mut stack = Stack {
            values: [0.0; STACK],
            len: 0,
        };
        let mut at = 0;
        while let Some(op) = self.ops.get(at) {
            at += 1;
            match *op {
                Op::Push(value) => stack.push(value),
                Op::Field(field, back) => {
                    stack.load(frame.field(field, back), Missing::Field(field, back))?;
                }
                Op::Indicator {
                    index,
                    output,
                    back,
                } => stack.load(
                    frame.indicator(index, output, back),
                    Missing::Indicator(index),
                )?,
                Op::Word(word) => stack.load(frame.word(word), Missing::Word(word))?,
                Op::AndThen(to) => {
                    if stack.top() < 0.5 {
                        at = usize::from(to);
                    } else {
                        stack.pop();
                    }
                }
                Op::OrElse(to) => {
                    if stack.top() > 0.5 {
                        at = usize::from(to);
                    } else {
                        stack.pop();
                    }
                }
                Op::Negate => stack.one(|a| -a),
                Op::Not => stack.one(|a| truth(a < 0.5)),
                Op::One(function) => stack.one(function),
                Op::Two(function) => stack.two(function),
                Op::CrossesAbove => stack.cross(|a, b| a > b)?,
                Op::CrossesBelow => stack.cross(|a, b| a < b)?,
                op => {
                    let b = stack.pop();
                    let a = stack.pop();
                    stack.push(binary(op, a, b)?);
                }
            }
        }
        Ok(stack.pop())
    }
}

/// An operator on two values.
pub(super) fn binary(op: Op, a: f64, b: f64) -> Result<f64, NotReady> {
    let compares = matches!(
        op,
        Op::Less | Op::LessEqual | Op::Greater | Op::GreaterEqual | Op::Equal | Op::NotEqual
    );
    if compares && (a.is_nan() || b.is_nan()) {
        return Err(NotReady(Missing::NotANumber));
    }
    Ok(match op {
        Op::Add => a + b,
        Op::Subtract => a - b,
        Op::Multiply => a * b,
        Op::Divide => a / b,
        Op::Remainder => a % b,
        Op::Less => truth(a < b),
        Op::LessEqual => truth(a <= b),
        Op::Greater => truth(a > b),
        Op::GreaterEqual => truth(a >= b),
        Op::Equal => truth(same(a, b)),
        Op::NotEqual => truth(!same(a, b)),
        other => unreachable!("{other:?} is not between two operands"),
    })
}

fn truth(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

/// The compiler has counted that it is long enough; beyond that it is an assertion.
struct Stack {
    values: [f64; STACK],
    len: usize,
}

impl Stack {
    fn push(&mut self, value: f64) {
        self.values[self.len] = value;
        self.len += 1;
    }

    fn pop(&mut self) -> f64 {
        self.len -= 1;
        self.values[self.len]
    }

    fn top(&self) -> f64 {
        self.values[self.len - 1]
    }

    fn load(&mut self, value: f64, missing: Missing) -> Result<(), NotReady> {
        if value.is_nan() {
            return Err(NotReady(missing));
        }
        self.push(value);
        Ok(())
    }

    fn one(&mut self, function: impl Fn(f64) -> f64) {
        let a = self.pop();
        self.push(function(a));
    }

    fn two(&mut self, function: impl Fn(f64, f64) -> f64) {
        let b = self.pop();
        let a = self.pop();
        self.push(function(a, b));
    }

    fn cross(&mut self, beyond: impl Fn(f64, f64) -> bool) -> Result<(), NotReady> {
        let (b_before, b_now) = (self.pop(), self.pop());
        let (a_before, a_now) = (self.pop(), self.pop());
        let values = [a_now, a_before, b_now, b_before];
        if values.iter().any(|v| v.is_nan()) {
            return Err(NotReady(Missing::NotANumber));
        }
        self.push(truth(!beyond(a_before, b_before) && beyond(a_now, b_now)));
        Ok(())
    }
}
