//! Documents whose decimals keep every digit: as text, not as doubles.

use serde_json::Value;

/// Reads a document; numbers with a point or an exponent become strings of the same digits.
pub(crate) fn parse(json: &str) -> serde_json::Result<Value> {
    let mut out = String::with_capacity(json.len() + json.len() / 8);
    let mut rest = json;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let string = from.starts_with('"');
        let end = if string {
            end_of_string(from)
        } else {
            let number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
            from.find(|c| !number(c)).unwrap_or(from.len())
        };
        let (token, after) = from.split_at(end);
        if !string && token.contains(['.', 'e', 'E']) {
            out.push('"');
            out.push_str(token);
            out.push('"');
        } else {
            out.push_str(token);
        }
        rest = after;
    }
    out.push_str(rest);
    serde_json::from_str(&out)
}

/// Behind the closing quote of the string that `text` begins with.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_digits() {
        let json =
            r#"{"a":0.00001234,"b":[-1,12345678901234567890.5,1e-9],"c":"1.5 \" 2.5","d":null}"#;
        let value = parse(json).expect("JSON");
        assert_eq!(value["a"], "0.00001234");
        assert_eq!(value["b"][0], -1);
        assert_eq!(value["b"][1], "12345678901234567890.5");
        assert_eq!(value["b"][2], "1e-9");
        assert_eq!(value["c"], "1.5 \" 2.5");
        assert!(value["d"].is_null());
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        for text in ["", "{", "\"", "\"\\", "-", "{\"a\":1.}x", "é1.5"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
