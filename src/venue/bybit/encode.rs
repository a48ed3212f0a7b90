//! What is sent to Bybit for market data: topic names, subscriptions, REST targets.

use super::Category;
use crate::kernel::types::{Instrument, Interval, Time};
use crate::venue::protocol::{Call, Outgoing, Route, Topic, TopicKind, Wanted, percent_encode};

/// The names of one connection together may have 21,000 characters; these have about half of it.
const TOPICS_MAX: usize = 300;
/// Seconds between our keep-alive messages.
const PING_EVERY_S: u64 = 20;
/// Topics in one message on spot: the venue's limit.
const SPOT_TOPICS_PER_MESSAGE: usize = 10;
/// Topics in one message on linear: keeps a message below 4 KiB.
const LINEAR_TOPICS_PER_MESSAGE: usize = 50;
/// Instruments on one page: the venue's limit.
const PAGE: u16 = 1_000;

pub(super) const SPOT_ROUTES: [Route; 1] = [Route {
    name: "spot",
    path: "/v5/public/spot",
    topics_max: TOPICS_MAX,
    ping_every_s: PING_EVERY_S,
}];

pub(super) const LINEAR_ROUTES: [Route; 1] = [Route {
    name: "linear",
    path: "/v5/public/linear",
    topics_max: TOPICS_MAX,
    ping_every_s: PING_EVERY_S,
}];

/// Bybit's spelling of candle intervals, and ours.
const INTERVALS: [(&str, &str); 13] = [
    ("1", "1m"),
    ("3", "3m"),
    ("5", "5m"),
    ("15", "15m"),
    ("30", "30m"),
    ("60", "1h"),
    ("120", "2h"),
    ("240", "4h"),
    ("360", "6h"),
    ("720", "12h"),
    ("D", "1d"),
    ("W", "1w"),
    ("M", "1M"),
];

/// The interval of Bybit's name.
pub(super) fn interval_of(name: &str) -> Option<Interval> {
    let (_, ours) = INTERVALS.iter().find(|(theirs, _)| *theirs == name)?;
    ours.parse().ok()
}

/// Bybit's name of an interval; `None` where it has no such candles.
pub(super) fn interval_name(interval: Interval) -> Option<&'static str> {
    let name = interval.to_string();
    let (theirs, _) = INTERVALS.iter().find(|(_, ours)| *ours == name)?;
    Some(theirs)
}

/// The topics that an instrument is read from.
pub(super) fn topics(category: Category, instrument: &Instrument, wanted: &Wanted) -> Vec<Topic> {
    let symbol = &instrument.name.symbol;
    let topic = |stream: &str, kind| Topic {
        route: 0,
        name: format!("{stream}.{symbol}"),
        kind,
    };
    let mut topics = vec![
        topic(&format!("orderbook.{}", wanted.window), TopicKind::Depth),
        topic("orderbook.1", TopicKind::Quote),
        topic("publicTrade", TopicKind::Trades),
        topic("tickers", TopicKind::Ticker),
    ];
    if category == Category::Linear {
        topics.push(topic("allLiquidation", TopicKind::Liquidations));
    }
    let known = wanted.intervals.iter().filter_map(|i| interval_name(*i));
    let mut known: Vec<_> = known.collect();
    if known.is_empty() {
        // Even if nobody wants them: they prove that the trade stream lives.
        known.extend(interval_name(Interval::MINUTE));
    }
    topics.extend(
        known
            .into_iter()
            .map(|name| topic(&format!("kline.{name}"), TopicKind::Candles)),
    );
    topics
}

/// Messages that subscribe to topics or leave them.
pub(super) fn subscriptions(
    category: Category,
    subscribe: bool,
    topics: &[&str],
    first_id: i64,
) -> Vec<Outgoing> {
    let op = if subscribe {
        "subscribe"
    } else {
        "unsubscribe"
    };
    let per_message = match category {
        Category::Spot => SPOT_TOPICS_PER_MESSAGE,
        Category::Linear => LINEAR_TOPICS_PER_MESSAGE,
    };
    (first_id..)
        .zip(topics.chunks(per_message))
        .map(|(id, topics)| {
            let message = serde_json::json!({"req_id": id.to_string(), "op": op, "args": topics});
            Outgoing {
                id,
                topics: topics.len(),
                text: message.to_string(),
            }
        })
        .collect()
}

/// The message that keeps a connection alive.
pub(super) fn ping(id: i64) -> String {
    serde_json::json!({"req_id": id.to_string(), "op": "ping"}).to_string()
}

/// Every call counts one: the limit is one of requests.
fn call(target: String) -> Call {
    Call { target, weight: 1 }
}

/// Facts about one symbol, or a page of those about all of them: there is no list to ask for.
pub(super) fn instruments(category: Category, symbols: &[String], page: Option<&str>) -> Call {
    let which = match symbols {
        [symbol] => format!("symbol={}", percent_encode(symbol)),
        _ => format!("limit={PAGE}"),
    };
    let page = page.map_or_else(String::new, |page| format!("&cursor={}", cursor(page)));
    let category = category.name();
    call(format!(
        "/v5/market/instruments-info?category={category}&{which}{page}"
    ))
}

/// A cursor goes back as it came: Bybit's are percent-encoded already (`first%3DA%26last%3DB`).
fn cursor(page: &str) -> String {
    let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    let is_encoded = page.split('%').enumerate().all(|(index, part)| {
        let hex = |text: &str| text.bytes().all(|c| c.is_ascii_hexdigit());
        part.chars().all(unreserved) && (index == 0 || part.get(..2).is_some_and(hex))
    });
    if is_encoded {
        page.to_owned()
    } else {
        percent_encode(page)
    }
}

/// The venue's book at its least.
pub(super) fn probe(category: Category, symbol: &str) -> Call {
    call(format!(
        "/v5/market/orderbook?category={}&symbol={}&limit=1",
        category.name(),
        percent_encode(symbol)
    ))
}

/// The newest `limit` candles, or the newest of those that open before a time.
pub(super) fn candles(
    category: Category,
    symbol: &str,
    interval: Interval,
    before: Option<Time>,
    limit: u16,
) -> Call {
    let end = before.map_or_else(String::new, |before| {
        format!("&end={}", before.millis().saturating_sub(1))
    });
    call(format!(
        "/v5/market/kline?category={}&symbol={}&interval={}&limit={limit}{end}",
        category.name(),
        percent_encode(symbol),
        interval_name(interval).unwrap_or_default(),
    ))
}

/// The venue's clock.
pub(super) fn server_time() -> Call {
    call("/v5/market/time".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::types::{InstrumentName, Scale, VenueId};

    #[test]
    fn targets_are_percent_encoded() {
        let symbols = ["BTCUSDT".to_owned(), "币".to_owned()];
        let all = "/v5/market/instruments-info?category=linear&limit=1000";
        let target = |symbols: &[String], page| instruments(Category::Linear, symbols, page).target;
        assert_eq!(target(&symbols, None), all);
        assert_eq!(
            target(&[], Some("first%3DA%26last%3DB")),
            format!("{all}&cursor=first%3DA%26last%3DB")
        );
        assert_eq!(
            target(&[], Some("a=b%&c")),
            format!("{all}&cursor=a%3Db%25%26c")
        );
        assert_eq!(
            target(&symbols[1..], None),
            "/v5/market/instruments-info?category=linear&symbol=%E5%B8%81"
        );
        assert_eq!(
            candles(
                Category::Spot,
                "BTCUSDT",
                Interval::MINUTE,
                Some(Time(60_000_000_000)),
                9
            )
            .target,
            "/v5/market/kline?category=spot&symbol=BTCUSDT&interval=1&limit=9&end=59999"
        );
    }

    #[test]
    fn every_interval_goes_there_and_back() {
        for (theirs, ours) in INTERVALS {
            let interval: Interval = ours.parse().expect("interval");
            assert_eq!(interval_of(theirs), Some(interval));
            assert_eq!(interval_name(interval), Some(theirs));
        }
        for none in ["1s", "8h", "3d"] {
            assert_eq!(interval_name(none.parse().expect("interval")), None);
        }
    }

    #[test]
    fn a_connection_stays_below_the_limits() {
        let name = InstrumentName {
            venue: VenueId::BybitLinear,
            symbol: "1000000BABYDOGEUSDT".to_owned(),
        };
        let scales = (Scale::default(), Scale::default());
        let instrument = Instrument::unlimited(name, "B", "USDT", scales);
        let wanted = Wanted {
            intervals: vec![Interval::MINUTE, Interval::SECOND],
            window: 1_000,
        };
        let topics = topics(Category::Linear, &instrument, &wanted);
        assert_eq!(topics.len(), 6);
        let longest = topics.iter().map(|t| t.name.len()).max().expect("topics");
        assert!(longest * TOPICS_MAX < 21_000, "{longest}");
        let names: Vec<&str> = topics
            .iter()
            .map(|t| t.name.as_str())
            .cycle()
            .take(25)
            .collect();
        for (category, messages) in [(Category::Spot, 3), (Category::Linear, 1)] {
            let sent = subscriptions(category, false, &names, 7);
            assert_eq!(sent.len(), messages);
            for (message, expected) in sent.iter().zip(7..) {
                let value: serde_json::Value = serde_json::from_str(&message.text).expect("JSON");
                assert_eq!(
                    (message.id, &value["op"]),
                    (expected, &"unsubscribe".into())
                );
                assert_eq!(value["req_id"], message.id.to_string());
                let args = value["args"].as_array().expect("a list");
                assert_eq!(args.len(), message.topics);
            }
        }
        assert_eq!(ping(3), r#"{"op":"ping","req_id":"3"}"#);
    }
}
