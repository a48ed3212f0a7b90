//! A JSON object from a caller, field by field, from its raw text: numbers keep their digits, an
//! unknown field names the nearest known one, and a field given twice is refused.

use std::fmt;

use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::problem::{Code, Problem, either, nearest};

/// The fields of a JSON object; `null` counts as absent.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    fields: Vec<(&'static str, &'a RawValue)>,
}

/// Keys and raw values in the order of the text.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

impl<'a> Fields<'a> {
    /// Reads an object; `known` are the fields that it may have.
    pub(crate) fn parse(text: &'a [u8], known: &[&'static str]) -> Result<Self, Box<Problem>> {
        let invalid = |error: serde_json::Error| {
            Problem::new(Code::InvalidJson, format!("the body is no JSON object: {error}"))
                .hint("send an object such as {\"symbol\":\"BTCUSDT\",\"side\":\"buy\",\"type\":\"market\",\"quantity\":0.001}")
        };
        let mut json = serde_json::Deserializer::from_slice(text);
        let Pairs(pairs) = json.deserialize_map(PairsVisitor).map_err(invalid)?;
        json.end().map_err(invalid)?;
        let mut fields: Vec<(&'static str, &RawValue)> = Vec::new();
        for (name, value) in pairs {
            let Some(known_name) = known.iter().find(|k| **k == name) else {
                return Err(unknown(&name, known));
            };
            if fields.iter().any(|(seen, _)| seen == known_name) {
                return Err(Problem::new(
                    Code::DuplicateField,
                    format!("the field {name} is given more than once"),
                )
                .member("field", name));
            }
            fields.push((*known_name, value));
        }
        fields.retain(|(_, value)| value.get() != "null");
        Ok(Self { fields })
    }

    /// Whether a field is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// An object within this one, with the fields `known`.
    pub(crate) fn object(
        &self,
        name: &'static str,
        known: &[&'static str],
    ) -> Result<Option<Fields<'a>>, Box<Problem>> {
        let Some(raw) = self.raw(name) else {
            return Ok(None);
        };
        if !raw.starts_with('{') {
            let wanted = format!("an object with {}", known.join(", "));
            return Err(invalid(name, raw, &wanted));
        }
        Self::parse(raw.as_bytes(), known)
            .map(Some)
            .map_err(|problem| problem.within(name))
    }

    /// An integer from `min` to `max`.
    pub(crate) fn integer(
        &self,
        name: &'static str,
        min: i64,
        max: i64,
    ) -> Result<Option<i64>, Box<Problem>> {
        let Some(text) = self.number(name)? else {
            return Ok(None);
        };
        let legal = |n: &i64| (min..=max).contains(n);
        let number = text.parse().ok().filter(legal);
        number.map(Some).ok_or_else(|| {
            let wanted = format!("a whole number from {min} to {max}");
            invalid(name, &text, &wanted)
        })
    }

    /// The raw text of a field.
    fn raw(&self, name: &str) -> Option<&'a str> {
        self.fields
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.get())
    }

    /// A string.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<String>, Box<Problem>> {
        self.raw(name)
            .map(|raw| {
                serde_json::from_str::<String>(raw).map_err(|_| invalid(name, raw, "a string"))
            })
            .transpose()
    }

    /// A string that is one of a list, in any case.
    pub(crate) fn one_of(
        &self,
        name: &'static str,
        choices: &[&'static str],
    ) -> Result<Option<&'static str>, Box<Problem>> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        if let Some(choice) = choices.iter().find(|c| c.eq_ignore_ascii_case(&text)) {
            return Ok(Some(choice));
        }
        let wanted = format!("one of {}", either(choices).unwrap_or_default());
        let problem = invalid(name, &text, &wanted);
        Err(match nearest(&text, choices.iter().copied()).first() {
            Some(near) => problem.hint(format!("did you mean {near}?")),
            None => problem,
        })
    }

    /// `true` or `false`; absent is `false`.
    pub(crate) fn flag(&self, name: &'static str) -> Result<bool, Box<Problem>> {
        match self.raw(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(raw) => Err(invalid(name, raw, "true or false")),
        }
    }

    /// The text of a number, written as a number or as a string.
    pub(crate) fn number(&self, name: &'static str) -> Result<Option<String>, Box<Problem>> {
        let Some(raw) = self.raw(name) else {
            return Ok(None);
        };
        match raw.bytes().next() {
            Some(b'"') => self.text(name),
            Some(b'-' | b'0'..=b'9') => Ok(Some(raw.to_owned())),
            _ => Err(invalid(name, raw, "a number, or a string with a number")),
        }
    }
}

/// The problem of a field whose value is not what it can be.
pub(crate) fn invalid(name: &'static str, value: &str, wanted: &str) -> Box<Problem> {
    let shown: String = value.chars().take(64).collect();
    Problem::new(
        Code::InvalidValue,
        format!("{name} is {shown:?}; it must be {wanted}"),
    )
    .member("field", name)
}

/// The problem of a field that does not go together with others.
pub(crate) fn conflict(name: &'static str, detail: &str) -> Box<Problem> {
    Problem::new(Code::InvalidCombination, detail).member("field", name)
}

/// The problem of a field that is not there.
pub(crate) fn missing(name: &'static str, why: &str) -> Box<Problem> {
    Problem::new(Code::MissingField, format!("{name} is missing: {why}")).member("field", name)
}

fn unknown(name: &str, known: &[&'static str]) -> Box<Problem> {
    let shown: String = name.chars().take(64).collect();
    let problem = Problem::new(
        Code::UnknownField,
        format!("there is no field {shown:?} here"),
    )
    .member("field", shown);
    match nearest(name, known.iter().copied()).first() {
        Some(near) => problem.hint(format!("did you mean {near}?")),
        None => problem.hint(format!("fields are {}", known.join(", "))),
    }
}
