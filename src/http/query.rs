//! Query strings: decoded strictly. A parameter that the route does not know is an error that
//! names the nearest one, so that a typing error never silently means the default.

use std::borrow::Cow;
use std::str::FromStr;

use super::params::{Kind, MILLIS_MAX, NUMBERS, Param};
use super::problem::{Code, Problem, either, nearest};

/// The parameters of one request.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads `text`; `known` is what the route takes.
    pub(crate) fn parse(text: &str, known: &[Param]) -> Result<Self, Box<Problem>> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode_parameter(name)?;
            if known.iter().all(|param| param.name != name) {
                return Err(unknown(&name, known));
            }
            if pairs.iter().any(|(seen, _)| *seen == name) {
                return Err(Problem::new(
                    Code::DuplicateParameter,
                    format!("the query parameter {name:?} is given more than once"),
                )
                .member("field", name.into_owned()));
            }
            let value = decode_parameter(value)?;
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self { pairs })
    }

    /// The text of a parameter.
    pub(crate) fn get(&self, param: &Param) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(name, _)| name == param.name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that is one of a list, in any case of its letters; its default without one.
    pub(crate) fn choice(&self, param: &Param) -> Result<Option<&'static str>, Box<Problem>> {
        let Kind::Choice { default, choices } = param.kind else {
            unreachable!("{} is no choice", param.name);
        };
        let Some(value) = self.get(param) else {
            return Ok(default);
        };
        let choice = choices.iter().find(|c| c.eq_ignore_ascii_case(value));
        choice.copied().map(Some).ok_or_else(|| {
            let choices = either(choices).unwrap_or_default();
            invalid(param, value, &format!("one of {choices}"))
        })
    }

    /// A count, or its default.
    pub(crate) fn count(&self, param: &Param) -> Result<Option<usize>, Box<Problem>> {
        let Kind::Count { default, max } = param.kind else {
            unreachable!("{} is no count", param.name);
        };
        match self.get(param) {
            None => Ok(default),
            Some(value) => usize::from_str(value)
                .ok()
                .filter(|n| (1..=max).contains(n) && !value.starts_with('+'))
                .map(Some)
                .ok_or_else(|| {
                    let wanted = format!("a whole number from 1 to {max}");
                    invalid(param, value, &wanted)
                }),
        }
    }

    /// The most entries of a list.
    pub(crate) fn limit(&self, param: &Param) -> Result<usize, Box<Problem>> {
        Ok(self.count(param)?.unwrap_or(usize::MAX))
    }

    /// A time in milliseconds.
    pub(crate) fn millis(&self, param: &Param) -> Result<Option<i64>, Box<Problem>> {
        self.get(param)
            .map(|value| {
                i64::from_str(value)
                    .ok()
                    .filter(|ms| (0..=MILLIS_MAX).contains(ms) && !value.starts_with('+'))
                    .ok_or_else(|| {
                        let wanted = "a time in milliseconds since 1970, such as 1700000000000";
                        invalid(param, value, wanted)
                    })
            })
            .transpose()
    }

    /// An id, decimal digits.
    pub(crate) fn id(&self, param: &Param) -> Result<Option<u64>, Box<Problem>> {
        self.get(param)
            .map(|value| {
                u64::from_str(value)
                    .ok()
                    .filter(|_| !value.starts_with('+'))
                    .ok_or_else(|| invalid(param, value, "an id that this API has given out"))
            })
            .transpose()
    }

    /// Whether decimals are wanted as strings.
    pub(crate) fn numbers_as_strings(&self) -> Result<bool, Box<Problem>> {
        Ok(!self.pairs.is_empty() && self.choice(&NUMBERS)? == Some("string"))
    }
}

/// The problem of a parameter whose value is not what it can be.
pub(crate) fn invalid(param: &Param, value: &str, wanted: &str) -> Box<Problem> {
    let name = param.name;
    let shown: String = value.chars().take(64).collect();
    Problem::new(
        Code::InvalidParameter,
        format!("the query parameter {name} is {shown:?}; it must be {wanted}"),
    )
    .member("field", name)
}

fn unknown(name: &str, known: &[Param]) -> Box<Problem> {
    let known: Vec<&str> = known.iter().map(|param| param.name).collect();
    let shown: String = name.chars().take(64).collect();
    let problem = Problem::new(
        Code::UnknownParameter,
        format!("this route takes no query parameter {shown:?}"),
    )
    .member("field", shown);
    let near = nearest(name, known.iter().copied());
    match (near.first(), either(&known)) {
        (Some(near), _) => problem.hint(format!("did you mean {near}?")),
        (None, Some(all)) => problem.hint(format!("it takes {all}")),
        (None, None) => problem.hint("it takes none"),
    }
}

fn decode_parameter(text: &str) -> Result<Cow<'_, str>, Box<Problem>> {
    let decoded = if text.contains('+') {
        percent_decode(&text.replace('+', " ")).map(|t| Cow::Owned(t.into_owned()))
    } else {
        percent_decode(text)
    };
    decoded.ok_or_else(|| {
        Problem::new(
            Code::InvalidParameter,
            "the query string is not percent-encoded UTF-8",
        )
        .hint("write special characters as % and two hexadecimal digits")
    })
}

/// `%41` is `A`; `None` for anything that is no percent-encoded UTF-8.
pub(crate) fn percent_decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let digit = |c: Option<u8>| {
        char::from(c?)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => digit(rest.next())? << 4 | digit(rest.next())?,
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::super::params::{DEPTH, KLINES_LIMIT, LIMIT, SINCE, SYMBOL};
    use super::*;

    fn code(result: Result<Query, Box<Problem>>) -> String {
        let reply = result.expect_err("a problem").into_reply();
        let body: serde_json::Value = serde_json::from_slice(reply.whole()).expect("JSON");
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        format!("{} {}", text("code"), text("hint"))
    }

    #[test]
    fn known_parameters_are_decoded() {
        let query = Query::parse("symbol=BTC%2FUSDT&limit=5&&", &[SYMBOL, LIMIT]);
        let query = query.expect("valid");
        assert_eq!(query.get(&SYMBOL), Some("BTC/USDT"));
        assert_eq!(query.limit(&LIMIT).expect("valid"), 5);
        assert_eq!(query.limit(&DEPTH).expect("valid"), 20);
        assert!(!query.numbers_as_strings().expect("valid"));
    }

    #[test]
    fn anything_else_is_an_error_with_advice() {
        let known = [LIMIT, SYMBOL];
        assert_eq!(
            code(Query::parse("limt=5", &known)),
            "unknown_parameter did you mean limit?"
        );
        assert_eq!(
            code(Query::parse("xyzzy=5", &known)),
            "unknown_parameter it takes limit or symbol"
        );
        assert_eq!(
            code(Query::parse("a=1", &[])),
            "unknown_parameter it takes none"
        );
        assert!(code(Query::parse("limit=1&limit=1", &known)).starts_with("duplicate_parameter"));
        for bad in ["symbol=%", "symbol=%4", "symbol=%zz", "symbol=%ff", "%80=1"] {
            assert!(
                code(Query::parse(bad, &known)).starts_with("invalid_parameter"),
                "{bad}"
            );
        }
        let with = |name: &str, value: &str| Query {
            pairs: vec![(name.to_owned(), value.to_owned())],
        };
        for bad in ["0", "-1", "1001", "+5", "1e1", "", "999999999999999999999"] {
            assert!(with("limit", bad).count(&KLINES_LIMIT).is_err(), "{bad}");
        }
        for bad in ["-1", "+5", "1.5", "", "9223372036855"] {
            assert!(with("since", bad).millis(&SINCE).is_err(), "{bad}");
        }
        assert!(with("since", "0").millis(&SINCE).is_ok());
    }
}
