//! What a client may ask for on a WebSocket, and the answers.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::http::problem::{Code, Problem, either, nearest};
use crate::json::Json;

const METHODS: [&str; 5] = ["SUBSCRIBE", "UNSUBSCRIBE", "LIST", "PING", "AUTH"];
/// Longest id, as text.
const ID_MAX: usize = 64;

/// The wish of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Subscribe(Vec<String>),
    Unsubscribe(Vec<String>),
    List,
    Ping,
    Auth(String),
}

/// A request: its id as JSON, and its wish.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: String,
    pub(super) wish: Result<Wish, Box<Problem>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: String,
    params: Option<Vec<String>>,
}

impl Request {
    pub(super) fn parse(text: &str) -> Self {
        let raw: Raw<'_> = match serde_json::from_str(text) {
            Ok(raw) => raw,
            Err(error) => {
                let problem = Problem::new(
                    Code::InvalidJson,
                    format!("the message is no request: {error}"),
                )
                .hint("send {\"id\":1,\"method\":\"SUBSCRIBE\",\"params\":[\"BTCUSDT@ticker\"]}");
                return Self {
                    id: "null".to_owned(),
                    wish: Err(problem),
                };
            }
        };
        let id = raw.id.map_or("null", RawValue::get);
        let simple = id == "null"
            || id.starts_with(['"', '-'])
            || id.starts_with(|c: char| c.is_ascii_digit());
        if !simple || id.len() > ID_MAX {
            let problem = Problem::new(
                Code::InvalidValue,
                format!("the id must be a number, a text, or left out, of {ID_MAX} bytes at most"),
            );
            return Self {
                id: "null".to_owned(),
                wish: Err(problem.member("field", "id")),
            };
        }
        Self {
            id: id.to_owned(),
            wish: wish(&raw.method, raw.params.unwrap_or_default()),
        }
    }

    /// What it costs of what a client may ask for in a time.
    pub(super) fn cost(&self) -> usize {
        match &self.wish {
            Ok(Wish::Subscribe(names) | Wish::Unsubscribe(names)) => 1 + names.len(),
            _ => 1,
        }
    }
}

fn wish(method: &str, mut params: Vec<String>) -> Result<Wish, Box<Problem>> {
    match (method, params.len()) {
        ("SUBSCRIBE", 1..) => Ok(Wish::Subscribe(params)),
        ("UNSUBSCRIBE", 1..) => Ok(Wish::Unsubscribe(params)),
        ("LIST", 0) => Ok(Wish::List),
        ("PING", 0) => Ok(Wish::Ping),
        ("AUTH", 1) => Ok(Wish::Auth(params.swap_remove(0))),
        ("SUBSCRIBE" | "UNSUBSCRIBE", _) => Err(Problem::new(
            Code::MissingField,
            format!("{method} needs params: a list of topics"),
        )
        .member("field", "params")),
        ("LIST" | "PING", _) => Err(Problem::new(
            Code::InvalidValue,
            format!("{method} takes no params"),
        )
        .member("field", "params")),
        ("AUTH", _) => Err(
            Problem::new(Code::InvalidValue, "AUTH takes one param: the token")
                .member("field", "params"),
        ),
        _ => {
            let shown: String = method.chars().take(ID_MAX).collect();
            let near = nearest(&shown, METHODS);
            let hint = match either(&near) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("it must be {}", either(&METHODS).unwrap_or_default()),
            };
            Err(
                Problem::new(Code::InvalidValue, format!("there is no method {shown:?}"))
                    .member("field", "method")
                    .hint(hint),
            )
        }
    }
}

/// An answer: `{"id":…,"result":…}`.
pub(super) fn result(id: &str, result: impl FnOnce(&mut Json)) -> Json {
    let mut json = Json::new(false);
    json.object(|j| {
        j.key("id").raw(id.as_bytes());
        result(j.key("result"));
    });
    json
}

/// An answer that says what was wrong: `{"id":…,"error":…}` with a problem document.
pub(super) fn error(id: &str, problem: Problem) -> Json {
    let document = problem.into_reply().body.into_whole().unwrap_or_default();
    let mut json = Json::new(false);
    json.object(|j| {
        j.key("id").raw(id.as_bytes());
        j.key("error").raw(&document);
    });
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        let request = Request::parse(text);
        let Err(problem) = request.wish else {
            panic!("{text} is a request");
        };
        let json = String::from_utf8(error(&request.id, *problem).into_bytes()).expect("text");
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        json["error"]["code"].as_str().expect("a code").to_owned()
    }

    #[test]
    fn requests_are_read_strictly() {
        let request =
            Request::parse(r#"{"id":"a","method":"SUBSCRIBE","params":["x@ticker","orders"]}"#);
        assert_eq!(request.id, "\"a\"");
        assert_eq!(request.cost(), 3);
        let names = vec!["x@ticker".to_owned(), "orders".to_owned()];
        assert_eq!(request.wish.expect("a wish"), Wish::Subscribe(names));
        assert_eq!(Request::parse(r#"{"method":"PING"}"#).id, "null");
        for (text, wanted) in [
            ("", "invalid_json"),
            ("[]", "invalid_json"),
            ("{\"id\":1}", "invalid_json"),
            (r#"{"method":"PING","more":1}"#, "invalid_json"),
            (
                r#"{"method":"SUBSCRIBE","params":"orders"}"#,
                "invalid_json",
            ),
            (r#"{"method":"SUBSCRIBE"}"#, "missing_field"),
            (r#"{"method":"SUBSCRIBE","params":[]}"#, "missing_field"),
            (
                r#"{"method":"subscribe","params":["orders"]}"#,
                "invalid_value",
            ),
            (r#"{"method":"PING","params":["x"]}"#, "invalid_value"),
            (r#"{"method":"AUTH"}"#, "invalid_value"),
            (r#"{"id":{},"method":"PING"}"#, "invalid_value"),
            (r#"{"id":[1],"method":"PING"}"#, "invalid_value"),
        ] {
            assert_eq!(code(text), wanted, "{text}");
        }
    }
}
