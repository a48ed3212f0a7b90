//! Text into instructions, in one pass: names, types, parameters and bounds are checked on the way, and
//! what is constant is computed here.

use super::super::indicators::Row;
use super::super::vocabulary::{Fault, HISTORY_MAX, INDICATOR_BACK_MAX, Meaning, Needs, name_of};
use super::code::{Op, Rule, STACK, binary};
use super::lexer::{Binary, Lexer, Place, TEXT_MAX, Token};

/// Deepest nesting of parentheses, calls and signs.
const DEPTH_MAX: usize = 32;
/// Most instructions.
const OPS_MAX: usize = 512;

/// Compiles a condition; what it reads is added to `needs`.
pub fn compile(text: &str, needs: &mut Needs) -> Result<Rule, Fault> {
    let start = Place { line: 1, column: 1 };
    if text.len() > TEXT_MAX {
        return Err(start.fault(format!(
            "longer than {TEXT_MAX} bytes: divide it, or write a script"
        )));
    }
    let mut compiler = Compiler::new(text, needs)?;
    let value = compiler.expression(0)?;
    if compiler.token != Token::End {
        let found = compiler.token.describe();
        return Err(compiler.place.fault(format!(
            "expected and, or, an operator or the end, found {found}"
        )));
    }
    match value.kind {
        Kind::Truth => Ok(Rule { ops: compiler.ops }),
        Kind::Number => Err(start.fault(
            "this is a number, and a rule is a condition: compare it, as in close > sma(200)",
        )),
        Kind::Outputs(row) => Err(value.place.fault(choose_output(row))),
    }
}

/// What an operand is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Number,
    Truth,
    /// An indicator of which an output must be chosen.
    Outputs(&'static Row),
}

/// What has been compiled last: its instructions begin at `from`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operand {
    pub(super) kind: Kind,
    pub(super) from: usize,
    pub(super) place: Place,
}

pub(super) struct Compiler<'a, 'n> {
    pub(super) lexer: Lexer<'a>,
    pub(super) token: Token<'a>,
    pub(super) place: Place,
    pub(super) needs: &'n mut Needs,
    pub(super) ops: Vec<Op>,
    height: isize,
    depth: usize,
}

impl<'a, 'n> Compiler<'a, 'n> {
    fn new(text: &'a str, needs: &'n mut Needs) -> Result<Self, Fault> {
        let mut lexer = Lexer::new(text);
        let (token, place) = lexer.next()?;
        Ok(Self {
            lexer,
            token,
            place,
            needs,
            ops: Vec::new(),
            height: 0,
            depth: 0,
        })
    }

    pub(super) fn advance(&mut self) -> Result<(), Fault> {
        (self.token, self.place) = self.lexer.next()?;
        Ok(())
    }

    pub(super) fn expect(&mut self, wanted: Token<'_>, why: &str) -> Result<(), Fault> {
        if self.token == wanted {
            return self.advance();
        }
        let (wanted, found) = (wanted.describe(), self.token.describe());
        Err(self
            .place
            .fault(format!("expected {wanted} {why}, found {found}")))
    }

    pub(super) fn emit(&mut self, op: Op, place: Place) -> Result<(), Fault> {
        self.height += op.growth();
        let high = usize::try_from(self.height).is_ok_and(|height| height > STACK);
        if self.ops.len() >= OPS_MAX || high {
            return Err(place.fault("too long: divide it into several rules, or write a script"));
        }
        self.ops.push(op);
        Ok(())
    }

    /// The constant that an operand is.
    pub(super) fn constant(&self, operand: Operand) -> Option<f64> {
        match self.ops.get(operand.from..) {
            Some([Op::Push(value)]) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn drop_from(&mut self, from: usize) {
        let dropped: isize = self.ops.drain(from..).map(Op::growth).sum();
        self.height -= dropped;
    }

    /// An operand and what follows it, as far as that binds tighter than `strength`.
    pub(super) fn expression(&mut self, strength: u8) -> Result<Operand, Fault> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self
                .place
                .fault(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        let mut left = self.unary()?;
        while let Token::Operator(operator) = self.token {
            if operator.strength() <= strength {
                break;
            }
            let place = self.place;
            self.advance()?;
            left = self.combine(left, operator, place)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    /// `left operator …`; the right side has not been read yet.
    fn combine(&mut self, left: Operand, operator: Binary, place: Place) -> Result<Operand, Fault> {
        if matches!(operator, Binary::And | Binary::Or) {
            return self.logical(left, operator, place);
        }
        let equality = matches!(operator, Binary::Equal | Binary::NotEqual);
        if !(equality && matches!(left.kind, Kind::Truth)) {
            number(left, operator.text())?;
        }
        let right = self.expression(operator.strength())?;
        match (left.kind, right.kind) {
            (Kind::Truth, Kind::Truth) => {}
            (Kind::Truth, _) => truth(right, operator.text())?,
            _ => number(right, operator.text())?,
        }
        let op = match operator {
            Binary::Equal => Op::Equal,
            Binary::NotEqual => Op::NotEqual,
            Binary::Less => Op::Less,
            Binary::LessEqual => Op::LessEqual,
            Binary::Greater => Op::Greater,
            Binary::GreaterEqual => Op::GreaterEqual,
            Binary::Add => Op::Add,
            Binary::Subtract => Op::Subtract,
            Binary::Multiply => Op::Multiply,
            Binary::Divide => Op::Divide,
            Binary::Remainder => Op::Remainder,
            Binary::And | Binary::Or => unreachable!("compiled above"),
        };
        let constants = (self.ops.get(left.from..right.from), self.constant(right));
        if let (Some([Op::Push(a)]), Some(b)) = (constants.0, constants.1) {
            let folded = binary(op, *a, b).ok().filter(|v| v.is_finite());
            let Some(folded) = folded else {
                return Err(
                    place.fault("this has no finite value: it divides by zero or is too large")
                );
            };
            self.drop_from(left.from);
            self.emit(Op::Push(folded), place)?;
        } else {
            self.emit(op, place)?;
        }
        let kind = match operator.strength() {
            5.. => Kind::Number,
            _ => Kind::Truth,
        };
        Ok(Operand {
            kind,
            from: left.from,
            place: left.place,
        })
    }

    fn logical(&mut self, left: Operand, operator: Binary, place: Place) -> Result<Operand, Fault> {
        truth(left, operator.text())?;
        let known = self.constant(left).map(|value| value > 0.5);
        let jump = self.ops.len();
        let op = |to: u16| match operator {
            Binary::And => Op::AndThen(to),
            _ => Op::OrElse(to),
        };
        self.emit(op(0), place)?;
        let right = self.expression(operator.strength())?;
        truth(right, operator.text())?;
        match known {
            // The right side alone decides …
            Some(value) if value == (operator == Binary::And) => {
                self.move_jumps(left.from, jump + 1 - left.from);
                self.ops.drain(left.from..=jump);
            }
            // … or it is never asked.
            Some(_) => {
                self.ops.truncate(jump);
            }
            None => {
                let end = u16::try_from(self.ops.len()).unwrap_or(u16::MAX);
                if let Some(slot) = self.ops.get_mut(jump) {
                    *slot = op(end);
                }
            }
        }
        Ok(Operand {
            kind: Kind::Truth,
            from: left.from,
            place: left.place,
        })
    }

    /// What follows moves forward by so many instructions.
    fn move_jumps(&mut self, from: usize, by: usize) {
        let by = u16::try_from(by).unwrap_or(u16::MAX);
        for op in self.ops.iter_mut().skip(from) {
            if let Op::AndThen(to) | Op::OrElse(to) = op {
                *to = to.saturating_sub(by);
            }
        }
    }

    fn unary(&mut self) -> Result<Operand, Fault> {
        let place = self.place;
        match self.token {
            Token::Not => {
                self.advance()?;
                let operand = self.nested(Self::unary)?;
                if matches!(operand.kind, Kind::Number) {
                    return Err(operand.place.fault(
                        "not wants a condition and this is a number: write not (…) around the comparison",
                    ));
                }
                truth(operand, "not")?;
                match self.constant(operand) {
                    Some(value) => {
                        self.drop_from(operand.from);
                        self.emit(Op::Push(1.0 - value), place)?;
                    }
                    None => self.emit(Op::Not, place)?,
                }
                Ok(Operand { place, ..operand })
            }
            Token::Operator(Binary::Subtract) => {
                self.advance()?;
                let operand = self.nested(Self::unary)?;
                number(operand, "-")?;
                match self.constant(operand) {
                    Some(value) => {
                        self.drop_from(operand.from);
                        self.emit(Op::Push(-value), place)?;
                    }
                    None => self.emit(Op::Negate, place)?,
                }
                Ok(Operand { place, ..operand })
            }
            _ => self.postfix(),
        }
    }

    fn nested<T>(&mut self, inner: fn(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self
                .place
                .fault(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        let value = inner(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// A value with what stands behind it: `.output` and `[1]`.
    fn postfix(&mut self) -> Result<Operand, Fault> {
        let mut operand = self.primary()?;
        loop {
            match self.token {
                Token::Dot => {
                    self.advance()?;
                    operand = self.output(operand)?;
                }
                Token::OpenIndex => {
                    let place = self.place;
                    self.advance()?;
                    self.history(operand, place)?;
                }
                _ => return Ok(operand),
            }
        }
    }

    fn primary(&mut self) -> Result<Operand, Fault> {
        let (place, from) = (self.place, self.ops.len());
        let operand = |kind| Operand { kind, from, place };
        match self.token {
            Token::Number(value) => {
                self.advance()?;
                self.emit(Op::Push(value), place)?;
                Ok(operand(Kind::Number))
            }
            Token::Open => {
                self.advance()?;
                let inner = self.expression(0)?;
                self.expect(Token::Close, "to close the parenthesis")?;
                Ok(Operand { place, ..inner })
            }
            Token::Name(name) => {
                self.advance()?;
                self.name(name, place).map(operand)
            }
            Token::End => Err(place.fault("it ends where a value was expected")),
            token => Err(place.fault(format!(
                "expected a value (a number, a name, an indicator), found {}",
                token.describe()
            ))),
        }
    }

    /// `.name` behind an indicator.
    fn output(&mut self, operand: Operand) -> Result<Operand, Fault> {
        let place = self.place;
        let Token::Name(name) = self.token else {
            let found = self.token.describe();
            return Err(place.fault(format!(
                "expected the name of an output behind \".\", found {found}"
            )));
        };
        let Kind::Outputs(row) = operand.kind else {
            return Err(place.fault(format!(
                "only indicators with several outputs have a .{name}"
            )));
        };
        let output = row.outputs.iter().position(|o| *o == name);
        let output = output.and_then(|o| u8::try_from(o).ok()).ok_or_else(|| {
            let outputs = row.outputs.join(", ");
            place.fault(format!(
                "{} has no output {name}: it has {outputs}",
                row.name
            ))
        })?;
        self.advance()?;
        if let Some(Op::Indicator {
            index,
            output: chosen,
            ..
        }) = self.ops.last_mut()
        {
            *chosen = output;
            self.needs.output(*index, output);
        }
        Ok(Operand {
            kind: Kind::Number,
            ..operand
        })
    }

    /// `[n]` behind an indicator or a part of the candle; the bracket has been read.
    fn history(&mut self, operand: Operand, place: Place) -> Result<(), Fault> {
        if let Kind::Outputs(row) = operand.kind {
            return Err(place.fault(choose_output(row)));
        }
        let (at, from) = (self.place, self.ops.len());
        let index = self.expression(0)?;
        let wanted = self
            .constant(index)
            .filter(|_| matches!(index.kind, Kind::Number));
        self.drop_from(from);
        self.expect(Token::CloseIndex, "behind the number of candles")?;
        let last = self
            .ops
            .len()
            .checked_sub(1)
            .filter(|last| *last == operand.from);
        let target = last.and_then(|last| self.ops.get_mut(last));
        let (limit, what) = match &target {
            Some(Op::Field(_, 0)) => (HISTORY_MAX, "the candles"),
            Some(Op::Indicator { back: 0, .. }) => (INDICATOR_BACK_MAX, "an indicator"),
            Some(Op::Word(word)) => {
                let name = name_of(Meaning::Word(*word));
                return Err(place.fault(format!(
                    "{name} has no history: only indicators and the parts of the candle have one"
                )));
            }
            _ => {
                return Err(place.fault(
                    "[…] stands behind an indicator or a part of the candle, as in close[1]",
                ));
            }
        };
        let back =
            wanted.filter(|n| n.fract().abs() <= 0.0 && (0.0..=f64::from(limit)).contains(n));
        let Some(back) = back else {
            return Err(at.fault(format!(
                "the history of {what} is a whole number of candles, 0 to {limit}"
            )));
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within the limit"
        )]
        let back = back as u16;
        match target {
            Some(Op::Field(field, kept)) => {
                *kept = back;
                self.needs.field(*field, back);
            }
            Some(Op::Indicator { back: kept, .. }) => {
                *kept = u8::try_from(back).unwrap_or(u8::MAX);
            }
            _ => {}
        }
        Ok(())
    }
}

fn choose_output(row: &Row) -> String {
    let outputs = row.outputs.join(", ");
    let first = row.outputs.first().copied().unwrap_or_default();
    format!(
        "{} has the outputs {outputs}: choose one, as in {}(…).{first}",
        row.name, row.name
    )
}

pub(super) fn number(operand: Operand, what: &str) -> Result<(), Fault> {
    match operand.kind {
        Kind::Number => Ok(()),
        Kind::Outputs(row) => Err(operand.place.fault(choose_output(row))),
        Kind::Truth => Err(operand.place.fault(format!(
            "{what} wants numbers, and this is a condition: combine conditions with and, or, not"
        ))),
    }
}

fn truth(operand: Operand, what: &str) -> Result<(), Fault> {
    match operand.kind {
        Kind::Truth => Ok(()),
        Kind::Outputs(row) => Err(operand.place.fault(choose_output(row))),
        Kind::Number => Err(operand.place.fault(format!(
            "{what} wants conditions, and this is a number: compare it, as in close > sma(200)"
        ))),
    }
}
