//! Holds every answer that a test of the API gets against the API's own description: the status is announced, the
//! content type too, and the JSON fits its schema, in which objects are closed.

use std::sync::OnceLock;

use serde_json::Value;

use super::client::Answer;

pub(crate) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| serde_json::from_str(hean::http::document()).expect("JSON"))
}

/// Panics if the answer is not what the description says.
pub(crate) fn check(method: &str, target: &str, answer: &Answer) {
    let path = target.split('?').next().unwrap_or_default();
    let operation = document()["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .filter(|(pattern, _)| fits(pattern, path))
        .find_map(|(_, item)| item.get(method.to_ascii_lowercase()));
    // What is at no path, or takes no such method, is not described.
    let Some(operation) = operation else {
        assert!(
            matches!(answer.status, 204 | 400 | 403 | 404 | 405),
            "{method} {target}: {answer:?}"
        );
        return;
    };
    let context = format!("{method} {target} answered {answer:?}");
    let described = &operation["responses"][answer.status.to_string()];
    assert!(described.is_object(), "status: {context}");
    let media = answer.header("content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default();
    let schema = &described["content"][media]["schema"];
    assert!(schema.is_object(), "content type: {context}");
    if media == "application/problem+json" {
        let code = &answer.json()["code"];
        let codes = described["x-codes"].as_array().expect("codes");
        assert!(codes.contains(code), "code: {context}");
    }
    if media.ends_with("json") {
        let value = answer.json();
        if let Err(why) = validate(schema, &value, "$") {
            panic!("{why}: {context}");
        }
    }
}

fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (pattern.split('/'), path.split('/'));
    pattern.clone().count() == path.clone().count()
        && pattern
            .zip(path)
            .all(|(p, segment)| p == segment || p.starts_with('{'))
}

/// Whether a value fits. A keyword that is not known here is a panic, so that none is passed over.
pub(crate) fn validate(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    for (keyword, rule) in schema.as_object().expect("a schema") {
        match keyword.as_str() {
            "description" | "examples" => {}
            "$ref" => {
                let name = rule
                    .as_str()
                    .and_then(|r| r.rsplit('/').next())
                    .expect("a name");
                validate(&document()["components"]["schemas"][name], value, at)?;
            }
            "type" => {
                let kinds = match rule {
                    Value::Array(kinds) => kinds.clone(),
                    one => vec![one.clone()],
                };
                let is = |kind: &Value| match kind.as_str().expect("a type") {
                    "string" => value.is_string(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    "boolean" => value.is_boolean(),
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    "null" => value.is_null(),
                    other => panic!("type {other}"),
                };
                if !kinds.iter().any(is) {
                    return Err(format!("{at} is {value}, not {rule}"));
                }
            }
            "enum" => {
                if !rule.as_array().expect("a list").contains(value) {
                    return Err(format!("{at} is {value}, none of {rule}"));
                }
            }
            "pattern" => {
                if let Some(text) = value.as_str() {
                    matches_pattern(rule.as_str().expect("text"), text)
                        .then_some(())
                        .ok_or(format!("{at} is {value}, not {rule}"))?;
                }
            }
            "format" => {
                if let (Some("decimal"), Some(text)) = (rule.as_str(), value.as_str()) {
                    let digits = text.strip_prefix('-').unwrap_or(text);
                    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
                    let all = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
                    if !(all(whole) && all(part)) {
                        return Err(format!("{at} is {value}, no decimal"));
                    }
                }
            }
            "minimum" => {
                if value
                    .as_i64()
                    .is_some_and(|v| v < rule.as_i64().expect("a number"))
                {
                    return Err(format!("{at} is {value}, below {rule}"));
                }
            }
            "minItems" | "maxItems" => {
                let count = value.as_array().map_or(0, Vec::len) as u64;
                let bound = rule.as_u64().expect("a number");
                let fits = if keyword == "minItems" {
                    count >= bound
                } else {
                    count <= bound
                };
                if !fits {
                    return Err(format!("{at} has {count} items, {keyword} {bound}"));
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(rule, item, &format!("{at}[{index}]"))?;
                }
            }
            "properties" => {
                for (name, of) in rule.as_object().expect("members") {
                    if let Some(member) = value.get(name) {
                        validate(of, member, &format!("{at}.{name}"))?;
                    }
                }
            }
            "required" => {
                for name in rule.as_array().expect("names") {
                    if value.is_object() && value.get(name.as_str().expect("a name")).is_none() {
                        return Err(format!("{at} lacks {name}"));
                    }
                }
            }
            "additionalProperties" => {
                let known = schema["properties"].as_object();
                for (name, member) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|known| known.contains_key(name)) {
                        continue;
                    }
                    if rule == &Value::Bool(false) {
                        return Err(format!("{at}.{name} is not described"));
                    }
                    validate(rule, member, &format!("{at}.{name}"))?;
                }
            }
            "anyOf" | "oneOf" => {
                let results = rule.as_array().expect("schemas").iter();
                let results: Vec<_> = results.map(|s| validate(s, value, at)).collect();
                let fitting = results.iter().filter(|r| r.is_ok()).count();
                if fitting == 0 || (keyword == "oneOf" && fitting > 1) {
                    return Err(format!("{at} fits {fitting} of {keyword}: {results:?}"));
                }
            }
            other => panic!("keyword {other}"),
        }
    }
    Ok(())
}

/// The patterns of the document, by hand.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    match pattern {
        "^[0-9]+$" => !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()),
        other => panic!("pattern {other}"),
    }
}

#[test]
fn what_does_not_fit_is_found() {
    let schema = serde_json::json!({
        "type": "object",
        "properties": {"a": {"type": ["integer", "null"]}, "b": {"type": "array", "items": {"enum": ["x"]}}},
        "required": ["a"],
        "additionalProperties": false,
    });
    let fits = |text: &str| {
        let value = serde_json::from_str(text).expect("JSON");
        validate(&schema, &value, "$").is_ok()
    };
    assert!(fits(r#"{"a":1,"b":["x"]}"#) && fits(r#"{"a":null}"#));
    for bad in [
        "{}",
        "[]",
        r#"{"a":"1"}"#,
        r#"{"a":1.5}"#,
        r#"{"a":1,"c":2}"#,
        r#"{"a":1,"b":["y"]}"#,
    ] {
        assert!(!fits(bad), "{bad}");
    }
}
