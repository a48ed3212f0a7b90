//! Text into tokens, each with its place.

use super::super::vocabulary::Fault;

/// Longest text of one expression, in bytes.
pub(super) const TEXT_MAX: usize = 4_096;

/// A place in the text: line and column, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Place {
    pub(super) fn fault(self, message: impl Into<String>) -> Fault {
        Fault {
            line: self.line,
            column: self.column,
            message: message.into(),
        }
    }
}

/// An operator between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Binary {
    /// How tightly it binds; the same order as in scripts.
    pub(super) const fn strength(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Equal | Self::NotEqual => 3,
            Self::Less | Self::LessEqual | Self::Greater | Self::GreaterEqual => 4,
            Self::Add | Self::Subtract => 5,
            Self::Multiply | Self::Divide | Self::Remainder => 6,
        }
    }

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

/// A token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    Number(f64),
    Name(&'a str),
    Operator(Binary),
    Not,
    Open,
    Close,
    OpenIndex,
    CloseIndex,
    Comma,
    Dot,
    End,
}

impl Token<'_> {
    /// For messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Number(value) => format!("the number {value}"),
            Self::Name(name) => format!("the name {name}"),
            Self::Operator(operator) => format!("{:?}", operator.text()),
            Self::Not => "\"not\"".to_owned(),
            Self::Open => "\"(\"".to_owned(),
            Self::Close => "\")\"".to_owned(),
            Self::OpenIndex => "\"[\"".to_owned(),
            Self::CloseIndex => "\"]\"".to_owned(),
            Self::Comma => "\",\"".to_owned(),
            Self::Dot => "\".\"".to_owned(),
            Self::End => "the end".to_owned(),
        }
    }
}

/// Reads tokens one after the other.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a str,
    place: Place,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            place: Place { line: 1, column: 1 },
        }
    }

    /// Takes `bytes` of the text, which end at a character.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        for c in taken.chars() {
            if c == '\n' {
                self.place = Place {
                    line: self.place.line.saturating_add(1),
                    column: 1,
                };
            } else {
                self.place.column = self.place.column.saturating_add(1);
            }
        }
        taken
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// The next token and its place.
    pub(super) fn next(&mut self) -> Result<(Token<'a>, Place), Fault> {
        self.take_while(char::is_whitespace);
        let place = self.place;
        let Some(first) = self.rest.chars().next() else {
            return Ok((Token::End, place));
        };
        let token = if first.is_ascii_digit() {
            self.number(place)?
        } else if first.is_ascii_alphabetic() || first == '_' {
            match self.take_while(|c| c.is_ascii_alphanumeric() || c == '_') {
                "and" => Token::Operator(Binary::And),
                "or" => Token::Operator(Binary::Or),
                "not" => Token::Not,
                name => Token::Name(name),
            }
        } else {
            self.symbol(first, place)?
        };
        Ok((token, place))
    }

    fn number(&mut self, place: Place) -> Result<Token<'a>, Fault> {
        let start = self.rest;
        let digits = |c: char| c.is_ascii_digit() || c == '_';
        let mut taken = self.take_while(digits).len();
        let after_dot = |rest: &str| {
            rest.strip_prefix('.')
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        if after_dot(self.rest) {
            taken += self.take(1).len();
            taken += self.take_while(digits).len();
        }
        let exponent = |rest: &str| {
            let rest = rest.strip_prefix(['e', 'E'])?;
            let signed = rest.strip_prefix(['-', '+']).unwrap_or(rest);
            let sign = rest.len() - signed.len();
            signed
                .starts_with(|c: char| c.is_ascii_digit())
                .then_some(1 + sign)
        };
        if let Some(head) = exponent(self.rest) {
            taken += self.take(head).len();
            taken += self.take_while(|c| c.is_ascii_digit()).len();
        }
        let text: String = start.chars().take(taken).filter(|c| *c != '_').collect();
        if self
            .rest
            .starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        {
            let tail = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
            return Err(place.fault(format!(
                "{text}{tail} is neither a number nor a name: a number is written 30, 0.5 or 1e3"
            )));
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Token::Number(value)),
            _ => Err(place.fault(format!("the number {text} is too large"))),
        }
    }

    fn symbol(&mut self, first: char, place: Place) -> Result<Token<'a>, Fault> {
        const SYMBOLS: &[(&str, Token<'static>)] = &[
            ("&&", Token::Operator(Binary::And)),
            ("||", Token::Operator(Binary::Or)),
            ("==", Token::Operator(Binary::Equal)),
            ("!=", Token::Operator(Binary::NotEqual)),
            ("<=", Token::Operator(Binary::LessEqual)),
            (">=", Token::Operator(Binary::GreaterEqual)),
            ("<", Token::Operator(Binary::Less)),
            (">", Token::Operator(Binary::Greater)),
            ("!", Token::Not),
            ("+", Token::Operator(Binary::Add)),
            ("-", Token::Operator(Binary::Subtract)),
            ("*", Token::Operator(Binary::Multiply)),
            ("/", Token::Operator(Binary::Divide)),
            ("%", Token::Operator(Binary::Remainder)),
            ("(", Token::Open),
            (")", Token::Close),
            ("[", Token::OpenIndex),
            ("]", Token::CloseIndex),
            (",", Token::Comma),
            (".", Token::Dot),
        ];
        // What other languages have and this one has not, before what it begins with.
        if self.rest.starts_with("**") {
            return Err(place.fault("there is no \"**\": write pow(x, y)"));
        }
        let known = SYMBOLS.iter().find(|(text, _)| self.rest.starts_with(text));
        if let Some((text, token)) = known {
            self.take(text.len());
            return Ok(*token);
        }
        Err(place.fault(match first {
            '=' => "a single \"=\" assigns nothing here: write == to compare".to_owned(),
            '&' => "write and (or &&)".to_owned(),
            '|' => "write or (or ||)".to_owned(),
            _ => format!("{first:?} has no meaning here"),
        }))
    }
}
