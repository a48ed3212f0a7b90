//! The commands of a stream connection: SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS and the
//! `combined` property, answered in Binance's words.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::venue::sim::hub::{Client, Hub, STREAMS_MAX};
use crate::venue::sim::server::Reply;

/// Longest stream name that is kept; the longest real one has some forty bytes.
const NAME_BYTES_MAX: usize = 256;

#[derive(Deserialize)]
struct Request<'a> {
    method: String,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// A refused command: Binance's code and words.
#[derive(Debug)]
struct Refused(u8, String);

/// Reads and carries out a command.
pub(in crate::venue::sim) fn handle(text: &str, hub: &Hub, client: &Arc<Client>) -> Reply {
    let request: Request<'_> = match serde_json::from_str(text) {
        Ok(request) => request,
        Err(error) if error.is_data() => {
            return refusal("null", &Refused(2, format!("Invalid request: {error}")));
        }
        Err(error) => return refusal("null", &Refused(3, format!("Invalid JSON: {error}"))),
    };
    let id = match request.id.map(RawValue::get) {
        None => "null",
        Some(id) if id_allowed(id) => id,
        Some(_) => {
            let words = "Invalid request: request ID must be a signed 64-bit integer, a string of \
                         up to 36 letters and digits, or null";
            return refusal("null", &Refused(2, words.to_owned()));
        }
    };
    match carry_out(&request, hub, client) {
        Ok((result, subscribe)) => Reply {
            text: format!("{{\"result\":{result},\"id\":{id}}}"),
            subscribe,
        },
        Err(refused) => refusal(id, &refused),
    }
}

fn refusal(id: &str, Refused(code, words): &Refused) -> Reply {
    let words = serde_json::Value::from(words.as_str());
    Reply {
        text: format!("{{\"error\":{{\"code\":{code},\"msg\":{words}}},\"id\":{id}}}"),
        subscribe: Vec::new(),
    }
}

fn carry_out(
    request: &Request<'_>,
    hub: &Hub,
    client: &Arc<Client>,
) -> Result<(String, Vec<String>), Refused> {
    let null = || "null".to_owned();
    match request.method.as_str() {
        "SUBSCRIBE" => {
            let names: Vec<String> = params(request)?;
            check_names(&names)?;
            let have = client.subscriptions();
            let new = names.iter().filter(|name| !have.contains(name)).count();
            if have.len() + new > STREAMS_MAX {
                return Err(Refused(
                    2,
                    format!("Invalid request: more than {STREAMS_MAX} streams on one connection"),
                ));
            }
            Ok((null(), names))
        }
        "UNSUBSCRIBE" => {
            let names: Vec<String> = params(request)?;
            hub.unsubscribe(client, &names);
            Ok((null(), Vec::new()))
        }
        "LIST_SUBSCRIPTIONS" => {
            let names = serde_json::Value::from(client.subscriptions());
            Ok((names.to_string(), Vec::new()))
        }
        "SET_PROPERTY" => {
            let (name, value): (String, bool) = params(request)?;
            if name != "combined" {
                return Err(Refused(0, "Unknown property".to_owned()));
            }
            client.combined.store(value, Ordering::Relaxed);
            Ok((null(), Vec::new()))
        }
        "GET_PROPERTY" => {
            let (name,): (String,) = params(request)?;
            if name != "combined" {
                return Err(Refused(0, "Unknown property".to_owned()));
            }
            let value = client.combined.load(Ordering::Relaxed);
            Ok((value.to_string(), Vec::new()))
        }
        other => Err(Refused(
            2,
            format!(
                "Invalid request: unknown variant `{other}`, expected one of `SUBSCRIBE`, \
                 `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"
            ),
        )),
    }
}

fn params<'a, T: Deserialize<'a>>(request: &Request<'a>) -> Result<T, Refused> {
    let missing = || Refused(2, "Invalid request: missing field `params`".to_owned());
    let params = request.params.ok_or_else(missing)?;
    serde_json::from_str(params.get())
        .map_err(|error| Refused(2, format!("Invalid request: {error}")))
}

/// A name that no stream has is accepted silently; one that cannot be kept is not.
pub(in crate::venue::sim) fn name_allowed(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(['"', '\\'])
}

fn check_names(names: &[String]) -> Result<(), Refused> {
    match names.iter().find(|name| !name_allowed(name)) {
        None => Ok(()),
        Some(_) => Err(Refused(
            2,
            "Invalid request: a stream name is empty, too long or quoted".to_owned(),
        )),
    }
}

fn id_allowed(id: &str) -> bool {
    if let Some(text) = id.strip_prefix('"').and_then(|id| id.strip_suffix('"')) {
        return text.len() <= 36 && text.bytes().all(|c| c.is_ascii_alphanumeric());
    }
    id == "null" || id.parse::<i64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::sim::hub::Route;
    use crate::venue::sim::market::MarketKind;
    use std::time::Duration;

    #[test]
    fn commands_and_answers() {
        let hub = Hub::new(Vec::new(), Duration::ZERO);
        let (client, _queue) = hub.join(MarketKind::Spot, Route::All, true);
        for (text, want) in [
            (
                r#"{"method":"SUBSCRIBE","params":["a@trade"],"id":1}"#,
                r#"{"result":null,"id":1}"#,
            ),
            (
                r#"{"method":"LIST_SUBSCRIPTIONS","id":"x9"}"#,
                r#"{"result":["a@trade"],"id":"x9"}"#,
            ),
            (
                r#"{"method":"UNSUBSCRIBE","params":["a@trade","b"]}"#,
                r#"{"result":null,"id":null}"#,
            ),
            (
                r#"{"method":"LIST_SUBSCRIPTIONS","id":-3}"#,
                r#"{"result":[],"id":-3}"#,
            ),
            (
                r#"{"method":"SET_PROPERTY","params":["combined",false],"id":2}"#,
                r#"{"result":null,"id":2}"#,
            ),
            (
                r#"{"method":"GET_PROPERTY","params":["combined"],"id":2}"#,
                r#"{"result":false,"id":2}"#,
            ),
        ] {
            let answer = handle(text, &hub, &client);
            assert_eq!(answer.text, want, "{text}");
            hub.subscribe(&client, &answer.subscribe, |_| true)
                .expect("few");
        }
    }

    #[test]
    fn what_is_no_command_is_answered_with_an_error() {
        let hub = Hub::new(Vec::new(), Duration::ZERO);
        let (client, _queue) = hub.join(MarketKind::Spot, Route::All, true);
        for (text, code) in [
            ("", 3),
            ("{", 3),
            ("[]", 2),
            ("{}", 2),
            (r#"{"method":"DANCE","id":1}"#, 2),
            (r#"{"method":"SUBSCRIBE","id":1}"#, 2),
            (r#"{"method":"SUBSCRIBE","params":[1],"id":1}"#, 2),
            (r#"{"method":"SUBSCRIBE","params":[""],"id":1}"#, 2),
            (r#"{"method":"SUBSCRIBE","params":["a"],"id":1.5}"#, 2),
            (r#"{"method":"SUBSCRIBE","params":["a"],"id":"a-b"}"#, 2),
            (r#"{"method":"GET_PROPERTY","params":["x"],"id":1}"#, 0),
        ] {
            let answer = handle(text, &hub, &client);
            let value: serde_json::Value = serde_json::from_str(&answer.text).expect("JSON");
            assert_eq!(value["error"]["code"], code, "{text}");
        }
        assert!(client.subscriptions().is_empty());
    }
}
