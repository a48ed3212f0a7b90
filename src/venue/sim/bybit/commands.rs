//! The commands of a public connection of Bybit: subscribe, unsubscribe and ping, answered in its words.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::place;
use crate::venue::sim::hub::{Client, Hub, STREAMS_MAX};
use crate::venue::sim::market::{Market, MarketKind};
use crate::venue::sim::server::Reply;

/// Topics in one request on spot.
const SPOT_ARGS_MAX: usize = 10;
/// Characters of all topics of a connection.
const ARGS_BYTES_MAX: usize = 21_000;

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    req_id: Option<&'a RawValue>,
    op: String,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
}

/// Reads and carries out a command.
pub(in crate::venue::sim) fn handle(
    text: &str,
    hub: &Hub,
    market: &Market,
    client: &Arc<Client>,
) -> Reply {
    let Ok(request) = serde_json::from_str::<Request<'_>>(text) else {
        let words = "error:request format is wrong";
        return reply(client, None, "", Err(words.to_owned()));
    };
    let id = request.req_id.map(RawValue::get);
    let carried_out = match request.op.as_str() {
        "ping" => Ok(("pong", Vec::new())),
        "subscribe" => subscribe(&request, market, client).map(|topics| {
            let words = match market.kind {
                MarketKind::BybitSpot => "subscribe",
                _ => "",
            };
            (words, topics)
        }),
        "unsubscribe" => args(&request).map(|topics| {
            hub.unsubscribe(client, &topics);
            ("", Vec::new())
        }),
        other => Err(format!("error:unknown op {other}")),
    };
    reply(client, id, &request.op, carried_out)
}

fn reply(
    client: &Client,
    id: Option<&str>,
    op: &str,
    carried_out: Result<(&str, Vec<String>), String>,
) -> Reply {
    let (success, words, subscribe) = match carried_out {
        Ok((words, subscribe)) => (true, words.to_owned(), subscribe),
        Err(words) => (false, words, Vec::new()),
    };
    // An id comes back as text, whatever it was.
    let id = match id {
        Some(id) if id.starts_with('"') => id.to_owned(),
        Some(id) => serde_json::Value::from(id).to_string(),
        None => "\"\"".to_owned(),
    };
    let (words, op) = (serde_json::Value::from(words), serde_json::Value::from(op));
    Reply {
        text: format!(
            "{{\"success\":{success},\"ret_msg\":{words},\"conn_id\":\"sim-{}\",\"req_id\":{id},\"op\":{op}}}",
            client.id
        ),
        subscribe,
    }
}

fn args(request: &Request<'_>) -> Result<Vec<String>, String> {
    let args = request.args.map_or("[]", RawValue::get);
    serde_json::from_str(args).map_err(|_| "error:args are no list of topics".to_owned())
}

/// The topics to subscribe to: all or none.
fn subscribe(
    request: &Request<'_>,
    market: &Market,
    client: &Client,
) -> Result<Vec<String>, String> {
    let topics = args(request)?;
    if market.kind == MarketKind::BybitSpot && topics.len() > SPOT_ARGS_MAX {
        return Err(format!("args size >{SPOT_ARGS_MAX}"));
    }
    for (at, topic) in topics.iter().enumerate() {
        if place(market, topic).is_none() {
            return Err(format!("error:handler not found,topic:{topic}"));
        }
        let earlier = topics.iter().take(at).any(|earlier| earlier == topic);
        if earlier || client.has(topic) {
            return Err(format!("error:already subscribed,topic:{topic}"));
        }
    }
    let have = client.subscriptions();
    let bytes: usize = have.iter().chain(&topics).map(String::len).sum();
    if bytes > ARGS_BYTES_MAX || have.len() + topics.len() > STREAMS_MAX {
        return Err("error:too many topics on this connection".to_owned());
    }
    Ok(topics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    use crate::kernel::types::{Instrument, InstrumentName, Scale, VenueId};
    use crate::venue::sim::hub::Route;
    use crate::venue::sim::symbol::Symbol;

    fn market(kind: MarketKind) -> Market {
        let scale = Scale::new(2).expect("scale");
        let name = InstrumentName {
            venue: VenueId::BybitSpot,
            symbol: "BTCUSDT".to_owned(),
        };
        let instrument = Instrument::unlimited(name, "BTC", "USDT", (scale, scale));
        let symbols = vec![Symbol::new(kind, instrument)];
        Market::new(kind, symbols, &BTreeSet::new())
    }

    #[test]
    fn commands_and_answers() {
        let hub = Hub::new(Vec::new(), Duration::ZERO);
        let (spot, linear) = (
            market(MarketKind::BybitSpot),
            market(MarketKind::BybitLinear),
        );
        let (client, _queue) = hub.join(MarketKind::BybitLinear, Route::All, false);
        let eleven = format!(
            r#"{{"op":"subscribe","args":[{}]}}"#,
            [r#""publicTrade.BTCUSDT""#; 11].join(",")
        );
        for (market, text, success, words) in [
            (&linear, r#"{"req_id":"a","op":"ping"}"#, true, "pong"),
            (
                &linear,
                r#"{"op":"subscribe","args":["publicTrade.BTCUSDT","orderbook.50.BTCUSDT"]}"#,
                true,
                "",
            ),
            (
                &linear,
                r#"{"op":"subscribe","args":["tickers.BTCUSDT","publicTrade.BTCUSDT"]}"#,
                false,
                "error:already subscribed,topic:publicTrade.BTCUSDT",
            ),
            (
                &linear,
                r#"{"op":"subscribe","args":["orderbook.500.BTCUSDT"]}"#,
                false,
                "error:handler not found,topic:orderbook.500.BTCUSDT",
            ),
            (
                &spot,
                r#"{"op":"subscribe","args":["allLiquidation.BTCUSDT"]}"#,
                false,
                "error:handler not found,topic:allLiquidation.BTCUSDT",
            ),
            (&spot, eleven.as_str(), false, "args size >10"),
            (
                &spot,
                r#"{"op":"subscribe","args":["kline.D.BTCUSDT"]}"#,
                true,
                "subscribe",
            ),
            (
                &linear,
                r#"{"op":"dance"}"#,
                false,
                "error:unknown op dance",
            ),
            (&linear, "rubbish", false, "error:request format is wrong"),
            (
                &linear,
                r#"{"op":"unsubscribe","args":["publicTrade.BTCUSDT"]}"#,
                true,
                "",
            ),
            (
                &linear,
                r#"{"op":"subscribe","args":["publicTrade.BTCUSDT"],"req_id":7}"#,
                true,
                "",
            ),
        ] {
            let answer = handle(text, &hub, market, &client);
            let value: serde_json::Value = serde_json::from_str(&answer.text).expect("JSON");
            assert_eq!(value["success"], success, "{text}");
            assert_eq!(value["ret_msg"], words, "{text}");
            hub.subscribe(&client, &answer.subscribe, |_| true)
                .expect("few");
        }
    }
}
