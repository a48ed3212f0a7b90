//! What is sent: subscriptions within the venue's limits, whose topics the decoder knows again, and
//! REST targets that are nothing but URL.

use std::collections::BTreeSet;

use hean::kernel::event::MarketData;
use hean::kernel::types::{Instrument, InstrumentId, Interval, Time, VenueId};
use hean::venue::protocol::{Call, Ignored, Reading, Said, TopicKind, Wanted};
use serde_json::{Value, json};

use super::{RECEIVED, Venue, instrument};

/// More than one connection takes.
const INSTRUMENTS: u16 = 300;

fn instruments(venue: VenueId) -> Vec<Instrument> {
    (0..INSTRUMENTS)
        .map(|n| instrument(venue, &format!("COIN{n}USDT"), (2, 3)))
        .collect()
}

fn wanted() -> Wanted {
    let intervals = ["1s", "1m", "5m", "1h", "1d", "1w", "1M"];
    Wanted {
        intervals: intervals.map(|text| text.parse().unwrap()).to_vec(),
        window: 200,
    }
}

/// Topics in one message, characters of a message, topics and their characters on a connection.
fn limits(venue: VenueId) -> (usize, usize, usize, usize) {
    match venue {
        VenueId::Binance | VenueId::Sim => (200, 8_192, 1_024, usize::MAX),
        VenueId::BinanceUsdm => (200, 8_192, 200, usize::MAX),
        VenueId::BybitSpot => (10, 8_192, usize::MAX, 21_000),
        VenueId::BybitLinear => (usize::MAX, 8_192, usize::MAX, 21_000),
    }
}

#[test]
fn subscriptions_are_well_formed_and_within_the_limits() {
    for venue in Venue::all() {
        let p = venue.protocol;
        let (per_message, bytes, per_connection, characters) = limits(venue.id);
        let topics: Vec<_> = instruments(venue.id)
            .iter()
            .flat_map(|instrument| p.topics(instrument, &wanted()))
            .collect();
        let unique: BTreeSet<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        assert_eq!(
            unique.len(),
            topics.len(),
            "{}: topics are unique",
            venue.id
        );
        for (at, route) in p.routes().iter().enumerate() {
            assert!(route.path.starts_with('/') && route.topics_max <= per_connection);
            assert_eq!(route.ping_every_s > 0, p.ping(1).is_some());
            let names: Vec<&str> = topics
                .iter()
                .filter(|topic| topic.route == at)
                .map(|topic| topic.name.as_str())
                .collect();
            assert!(names.len() > route.topics_max, "several connections");
            for names in names.chunks(route.topics_max) {
                let sum: usize = names.iter().map(|name| name.len() + 3).sum();
                assert!(sum < characters, "{}: {sum} characters", venue.id);
                for subscribe in [true, false] {
                    let messages = p.subscriptions(subscribe, names, 41);
                    let mut sent = Vec::new();
                    for (message, expected) in messages.iter().zip(41..) {
                        let (id, text) = (message.id, message.text.as_str());
                        assert_eq!(id, expected);
                        assert!(text.len() <= bytes, "{}: {} bytes", venue.id, text.len());
                        let list = check_message(&venue, text, id, subscribe);
                        assert!(list.len() <= per_message);
                        assert_eq!(list.len(), message.topics);
                        sent.extend(list);
                    }
                    assert_eq!(sent, names, "each once, in order");
                }
            }
        }
        assert!(topics.iter().all(|topic| topic.route < p.routes().len()));
    }
}

/// The topics in a message; its answer must be recognised.
fn check_message(venue: &Venue, text: &str, id: i64, subscribe: bool) -> Vec<String> {
    let value: Value = serde_json::from_str(text).unwrap();
    let (word, list, answer) = if venue.binance().is_some() {
        assert_eq!(value["id"], id);
        let answer = json!({"result": null, "id": id});
        (&value["method"], &value["params"], answer)
    } else {
        assert_eq!(value["req_id"], id.to_string());
        let op = &value["op"];
        let answer = json!({"success": true, "ret_msg": "", "req_id": value["req_id"], "op": op});
        (op, &value["args"], answer)
    };
    let expected = if subscribe {
        "SUBSCRIBE"
    } else {
        "UNSUBSCRIBE"
    };
    assert_eq!(word.as_str().unwrap().to_uppercase(), expected);
    let (said, _) = venue.decode(answer.to_string().as_bytes()).unwrap();
    let Said::Answer(answer) = said else {
        panic!("{said:?}");
    };
    assert_eq!((answer.id, answer.error), (Some(id), None));
    let list = list.as_array().unwrap().iter();
    list.map(|topic| topic.as_str().unwrap().to_owned())
        .collect()
}

/// A frame as the venue would send it on that topic.
fn frame(venue: &Venue, symbol: &str, topic: &str, kind: TopicKind) -> String {
    let (e, t) = (1_791_284_980_615_i64, 1_791_284_980_614_i64);
    if venue.binance().is_none() {
        let (level, time) = (json!([["1.5", "2"]]), t);
        let execution = json!([{"T": time, "s": symbol, "S": "Buy", "v": "1", "p": "2", "i": "7"}]);
        let data = match kind {
            TopicKind::Depth | TopicKind::Quote => {
                json!({"s": symbol, "b": level, "a": level, "u": 5, "seq": 6})
            }
            TopicKind::Trades | TopicKind::Liquidations => execution,
            TopicKind::Ticker | TopicKind::Mark => {
                json!({"symbol": symbol, "prevPrice24h": "1", "markPrice": "2"})
            }
            TopicKind::Candles => json!([{
                "start": t, "open": "1", "high": "1", "low": "1", "close": "1", "volume": "1",
                "turnover": "1", "confirm": true, "timestamp": t,
            }]),
        };
        return json!({"topic": topic, "type": "snapshot", "ts": e, "data": data}).to_string();
    }
    let data = match kind {
        TopicKind::Depth => {
            json!({"e": "depthUpdate", "E": e, "s": symbol, "U": 5, "u": 6, "pu": 4, "b": [], "a": []})
        }
        TopicKind::Trades if topic.contains("aggTrade") => json!({
            "e": "aggTrade", "E": e, "s": symbol, "a": 5, "f": 1, "l": 2, "p": "1", "q": "1", "T": t, "m": true,
        }),
        TopicKind::Trades => {
            json!({"e": "trade", "E": e, "s": symbol, "t": 5, "p": "1", "q": "1", "T": t, "m": true})
        }
        TopicKind::Quote => json!({"u": 5, "s": symbol, "b": "1", "B": "1", "a": "2", "A": "1"}),
        TopicKind::Candles => {
            let (_, interval) = topic.split_once("kline_").unwrap();
            json!({"e": "kline", "E": e, "s": symbol, "k": {
                "t": t, "i": interval, "f": -1, "L": -1, "o": "1", "c": "1", "h": "1", "l": "1",
                "v": "1", "n": 0, "x": true, "q": "1",
            }})
        }
        TopicKind::Ticker => json!({
            "e": "24hrMiniTicker", "E": e, "s": symbol, "c": "1", "o": "1", "h": "1", "l": "1", "v": "1", "q": "1",
        }),
        TopicKind::Mark => json!({"e": "markPriceUpdate", "E": e, "s": symbol, "p": "1", "T": t}),
        TopicKind::Liquidations => json!({"e": "forceOrder", "E": e, "o": {
            "s": symbol, "S": "SELL", "p": "1", "q": "1", "T": t,
        }}),
    };
    json!({"stream": topic, "data": data}).to_string()
}

fn is(kind: TopicKind, data: &MarketData) -> bool {
    match kind {
        TopicKind::Depth => matches!(data, MarketData::Depth(_) | MarketData::Snapshot(_)),
        TopicKind::Trades => matches!(data, MarketData::Trade(_)),
        TopicKind::Quote => matches!(data, MarketData::Quote(_)),
        TopicKind::Candles => matches!(data, MarketData::Kline(_)),
        TopicKind::Ticker => matches!(data, MarketData::Stats(_)),
        TopicKind::Mark => matches!(data, MarketData::Derivative(_)),
        TopicKind::Liquidations => matches!(data, MarketData::Liquidation(_)),
    }
}

#[test]
fn the_decoder_knows_every_topic_again() {
    for venue in Venue::all() {
        let p = venue.protocol;
        let intervals = wanted().intervals;
        for (id, instrument) in &venue.set {
            let readings = [Reading {
                id: *id,
                instrument,
                trades: p.trade_stream(),
            }];
            let decoder = p.decoder(&readings);
            let topics = p.topics(instrument, &wanted());
            let candles = topics
                .iter()
                .filter(|t| t.kind == TopicKind::Candles)
                .count();
            let known = intervals.iter().filter(|i| p.has_candles(**i)).count();
            assert_eq!(candles, known, "{}", venue.id);
            for topic in topics {
                let text = frame(&venue, &instrument.name.symbol, &topic.name, topic.kind);
                let mut events = Vec::new();
                let said = decoder.decode(text.as_bytes(), RECEIVED, &mut events);
                assert_eq!(said, Ok(Said::Market), "{text}");
                let own = events
                    .iter()
                    .any(|e| e.instrument == *id && is(topic.kind, &e.data));
                assert!(own, "{text}: {events:?}");
                // And as another instrument's it is left alone.
                let readings = [Reading {
                    id: InstrumentId(99),
                    instrument: &super::instrument(venue.id, "OTHER", (2, 2)),
                    trades: p.trade_stream(),
                }];
                let other = p
                    .decoder(&readings)
                    .decode(text.as_bytes(), RECEIVED, &mut events);
                assert_eq!(other, Ok(Said::Ignored(Ignored::Symbol)), "{text}");
            }
        }
    }
}

#[test]
fn targets_are_nothing_but_url() {
    for venue in Venue::all() {
        let p = venue.protocol;
        let strange = instrument(venue.id, "币安人生&A=B C/%USDT", (2, 2));
        let symbols = [strange.name.symbol.clone(), "A\"B".to_owned()];
        let mut calls: Vec<Option<Call>> = vec![
            Some(p.instruments(&[], None)),
            Some(p.instruments(&symbols, None)),
            Some(p.instruments(&symbols[..1], Some("a&b=c d"))),
            p.depth(&strange, 5),
            p.depth(&strange, 5_000),
            Some(p.probe(&strange)),
            Some(p.server_time()),
            p.open_interest(&strange),
        ];
        for interval in wanted().intervals.into_iter().filter(|i| p.has_candles(*i)) {
            let before = [None, Some(Time(1_791_284_980_614_000_000))];
            calls.extend(before.map(|at| Some(p.candles(&strange, interval, at, p.candles_max()))));
        }
        assert!(p.has_candles(Interval::MINUTE));
        for Call { target, weight } in calls.into_iter().flatten() {
            assert!(target.starts_with('/') && weight > 0, "{target}");
            let mut bytes = target.bytes();
            while let Some(byte) = bytes.next() {
                if byte == b'%' {
                    let hex = [bytes.next(), bytes.next()];
                    assert!(
                        hex.iter().all(|c| c.is_some_and(|c| c.is_ascii_hexdigit())),
                        "{target}"
                    );
                } else {
                    let fine = byte.is_ascii_alphanumeric() || b"-._~/?&=".contains(&byte);
                    assert!(fine, "{target}");
                }
            }
            for pair in target
                .split_once('?')
                .map_or("", |(_, query)| query)
                .split('&')
            {
                assert!(
                    pair.is_empty() || pair.matches('=').count() == 1,
                    "{target}"
                );
            }
        }
    }
}

#[test]
fn keep_alive_messages_are_json_and_their_answers_are_no_trouble() {
    for venue in Venue::all() {
        let Some(ping) = venue.protocol.ping(12) else {
            continue;
        };
        let value: Value = serde_json::from_str(&ping).unwrap();
        assert_eq!(value["req_id"], "12");
        let answers = [
            r#"{"success":true,"ret_msg":"pong","conn_id":"c","req_id":"12","op":"ping"}"#,
            r#"{"req_id":"12","op":"pong","args":["1675418560633"],"conn_id":"c"}"#,
        ];
        for answer in answers {
            assert!(venue.agree(answer.as_bytes()).is_ok());
        }
    }
}
