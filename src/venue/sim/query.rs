//! The query of a request: percent-decoded names and values, without a protocol's own rules.

use crate::kernel::types::Time;

/// The parameters of a request, decoded.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

/// A parameter that is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotANumber;

impl Query {
    /// Splits and decodes; `None` where something is not percent-encoded UTF-8.
    pub(super) fn parse(query: &str) -> Option<Self> {
        query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((percent_decode(name)?, percent_decode(value)?))
            })
            .collect::<Option<_>>()
            .map(Self)
    }

    /// A parameter that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let pair = self.0.iter().find(|(known, _)| known == name)?;
        Some(pair.1.as_str()).filter(|value| !value.is_empty())
    }

    /// A parameter of up to 20 digits.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, NotANumber> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let legal = (1..=20).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
        match text.parse() {
            Ok(number) if legal => Ok(Some(number)),
            _ => Err(NotANumber),
        }
    }

    /// A time in milliseconds.
    pub(super) fn time(&self, name: &str) -> Result<Option<Time>, NotANumber> {
        Ok(self.number(name)?.map(|ms| {
            let ms = i64::try_from(ms).unwrap_or(i64::MAX);
            Time::from_millis(ms).unwrap_or(Time(i64::MAX))
        }))
    }
}

/// Decodes `%41` and `+`; `None` when the result is not UTF-8 or an escape is broken.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding() {
        for (text, want) in [
            ("BTCUSDT", Some("BTCUSDT")),
            ("%5B%22A%22%5d", Some("[\"A\"]")),
            ("a+b", Some("a b")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("%ff", None),
        ] {
            assert_eq!(percent_decode(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn parameters() {
        let query = Query::parse("a=1&b=&c=x%3D&d=-1").expect("query");
        assert_eq!((query.get("a"), query.get("b")), (Some("1"), None));
        assert_eq!(query.get("c"), Some("x="));
        assert_eq!(query.number("a"), Ok(Some(1)));
        assert_eq!(query.number("none"), Ok(None));
        assert_eq!(query.number("c"), Err(NotANumber));
        assert_eq!(query.number("d"), Err(NotANumber));
        assert!(Query::parse("a=%ff").is_none());
    }
}
