//! Query strings: decoded strictly. A parameter that the route does not know is an error that
//! names the nearest one, so that a typing error never silently means the default.

use std::borrow::Cow;
use std::str::FromStr;

use super::problem::{Code, Problem, either, nearest};

/// The parameters of one request.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads `text`; `known` are the names that the route takes.
    pub(crate) fn parse(text: &str, known: &[&'static str]) -> Result<Self, Box<Problem>> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode_parameter(name)?;
            if !known.contains(&name.as_ref()) {
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

    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that is one of a list.
    pub(crate) fn one_of(
        &self,
        name: &'static str,
        choices: &[&'static str],
    ) -> Result<Option<&'static str>, Box<Problem>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let choice = choices.iter().find(|c| c.eq_ignore_ascii_case(value));
        choice.copied().map(Some).ok_or_else(|| {
            let choices = either(choices).unwrap_or_default();
            invalid(name, value, &format!("one of {choices}"))
        })
    }

    /// A count between 1 and `max`, or `default`.
    pub(crate) fn count(
        &self,
        name: &'static str,
        default: usize,
        max: usize,
    ) -> Result<usize, Box<Problem>> {
        let wanted = || format!("a whole number from 1 to {max}");
        match self.get(name) {
            None => Ok(default),
            Some(value) => usize::from_str(value)
                .ok()
                .filter(|n| (1..=max).contains(n) && !value.starts_with('+'))
                .ok_or_else(|| invalid(name, value, &wanted())),
        }
    }

    /// An id, decimal digits.
    pub(crate) fn id(&self, name: &'static str) -> Result<Option<u64>, Box<Problem>> {
        self.get(name)
            .map(|value| {
                u64::from_str(value)
                    .map_err(|_| invalid(name, value, "an id that this API has given out"))
            })
            .transpose()
    }

    /// Whether decimals are wanted as strings.
    pub(crate) fn numbers_as_strings(&self) -> Result<bool, Box<Problem>> {
        Ok(self.one_of("numbers", &["string", "number"])? == Some("string"))
    }
}

/// The problem of a parameter whose value is not what it can be.
pub(crate) fn invalid(name: &'static str, value: &str, wanted: &str) -> Box<Problem> {
    let shown: String = value.chars().take(64).collect();
    Problem::new(
        Code::InvalidParameter,
        format!("the query parameter {name} is {shown:?}; it must be {wanted}"),
    )
    .member("field", name)
}

fn unknown(name: &str, known: &[&'static str]) -> Box<Problem> {
    let shown: String = name.chars().take(64).collect();
    let problem = Problem::new(
        Code::UnknownParameter,
        format!("this route takes no query parameter {shown:?}"),
    )
    .member("field", shown);
    let near = nearest(name, known.iter().copied());
    match (near.first(), either(known)) {
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
    use super::*;

    fn code(result: Result<Query, Box<Problem>>) -> String {
        let reply = result.expect_err("a problem").into_reply();
        let body: serde_json::Value = serde_json::from_slice(reply.whole()).expect("JSON");
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        format!("{} {}", text("code"), text("hint"))
    }

    #[test]
    fn known_parameters_are_decoded() {
        let query = Query::parse("symbol=BTC%2FUSDT&limit=5&&", &["symbol", "limit"]);
        let query = query.expect("valid");
        assert_eq!(query.get("symbol"), Some("BTC/USDT"));
        assert_eq!(query.count("limit", 9, 10).expect("valid"), 5);
        assert_eq!(query.count("depth", 9, 10).expect("valid"), 9);
        assert!(!query.numbers_as_strings().expect("valid"));
    }

    #[test]
    fn anything_else_is_an_error_with_advice() {
        let known = ["limit", "symbol"];
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
        for bad in ["0", "-1", "11", "+5", "1e1", "", "999999999999999999999"] {
            let query = Query {
                pairs: vec![("limit".to_owned(), bad.to_owned())],
            };
            assert!(query.count("limit", 1, 10).is_err(), "{bad}");
        }
    }
}
