//! What is sent to Binance for market data: stream names, subscriptions, REST targets and their
//! weights.

use super::Market;
use crate::kernel::types::{Instrument, Interval, Time};
use crate::venue::protocol::{Call, Outgoing, Route, Topic, TopicKind, Wanted, percent_encode};

/// Streams in one SUBSCRIBE message: keeps a message below 8 KiB.
const STREAMS_PER_MESSAGE: usize = 200;

/// Spot: everything over one kind of connection. Binance allows 1,024 streams on one.
pub(super) const SPOT_ROUTES: [Route; 1] = [Route {
    name: "stream",
    path: "/stream",
    topics_max: 1_000,
    ping_every_s: 0,
}];

/// USDⓈ-M: a stream asked for on the wrong route is accepted and stays silent. Older documents allow
/// 200 streams on a connection.
pub(super) const USDM_ROUTES: [Route; 2] = [
    Route {
        name: "public",
        path: "/public/stream",
        topics_max: 190,
        ping_every_s: 0,
    },
    Route {
        name: "market",
        path: "/market/stream",
        topics_max: 190,
        ping_every_s: 0,
    },
];

/// Whether Binance has candles of this interval: for others there is neither stream nor history,
/// and candles come from trades alone.
pub(super) fn has_candles(market: Market, interval: Interval) -> bool {
    const KNOWN: [&str; 15] = [
        "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M",
    ];
    let name = interval.to_string();
    KNOWN.contains(&name.as_str()) || (market == Market::Spot && interval == Interval::SECOND)
}

/// The streams that an instrument is read from.
pub(super) fn topics(market: Market, instrument: &Instrument, wanted: &Wanted) -> Vec<Topic> {
    let symbol = instrument.name.symbol.to_lowercase();
    // Index of the second route of futures; on spot everything is on the first.
    let other = usize::from(market == Market::Usdm);
    let topic = |route, stream: String, kind| Topic {
        route,
        name: format!("{symbol}@{stream}"),
        kind,
    };
    let trades = match market {
        Market::Spot => "trade",
        Market::Usdm => "aggTrade",
    };
    let mut topics = vec![
        topic(0, "depth@100ms".to_owned(), TopicKind::Depth),
        topic(0, "bookTicker".to_owned(), TopicKind::Quote),
        topic(other, trades.to_owned(), TopicKind::Trades),
        topic(other, "miniTicker".to_owned(), TopicKind::Ticker),
    ];
    if market == Market::Usdm {
        topics.push(topic(other, "markPrice@1s".to_owned(), TopicKind::Mark));
        topics.push(topic(
            other,
            "forceOrder".to_owned(),
            TopicKind::Liquidations,
        ));
    }
    let mut known: Vec<_> = wanted.intervals.clone();
    known.retain(|i| has_candles(market, *i));
    if known.is_empty() {
        // Even if nobody wants them: they prove that the trade stream lives.
        known.push(Interval::MINUTE);
    }
    let known = known.iter();
    topics.extend(known.map(|i| topic(other, format!("kline_{i}"), TopicKind::Candles)));
    topics
}

/// SUBSCRIBE or UNSUBSCRIBE messages for `streams`.
pub(super) fn subscriptions(subscribe: bool, streams: &[&str], first_id: i64) -> Vec<Outgoing> {
    let method = if subscribe {
        "SUBSCRIBE"
    } else {
        "UNSUBSCRIBE"
    };
    (first_id..)
        .zip(streams.chunks(STREAMS_PER_MESSAGE))
        .map(|(id, streams)| {
            let message = serde_json::json!({"method": method, "params": streams, "id": id});
            Outgoing {
                id,
                topics: streams.len(),
                text: message.to_string(),
            }
        })
        .collect()
}

impl Market {
    /// Where the REST paths begin.
    fn api(self) -> &'static str {
        match self {
            Self::Spot => "/api/v3",
            Self::Usdm => "/fapi/v1",
        }
    }

    fn call(self, target: &str, weight: u32) -> Call {
        let target = format!("{}/{target}", self.api());
        Call { target, weight }
    }
}

/// A depth snapshot with `limit` levels a side, which must be one that the futures know.
pub(super) fn depth(market: Market, symbol: &str, limit: u16) -> Call {
    let (limit, weight) = match (market, limit) {
        (Market::Spot, 0..=100) => (limit, 5),
        (Market::Spot, 101..=500) => (limit, 25),
        (Market::Spot, 501..=1_000) => (limit, 50),
        (Market::Spot, 1_001..) => (limit, 250),
        (Market::Usdm, 0..=5) => (5, 2),
        (Market::Usdm, 6..=10) => (10, 2),
        (Market::Usdm, 11..=20) => (20, 2),
        (Market::Usdm, 21..=50) => (50, 2),
        (Market::Usdm, 51..=100) => (100, 5),
        (Market::Usdm, 101..=500) => (500, 10),
        (Market::Usdm, 501..) => (1_000, 20),
    };
    let symbol = percent_encode(symbol);
    market.call(&format!("depth?symbol={symbol}&limit={limit}"), weight)
}

/// The newest `limit` candles, or the newest of those that open before a time.
pub(super) fn klines(
    market: Market,
    symbol: &str,
    interval: Interval,
    before: Option<Time>,
    limit: u16,
) -> Call {
    let weight = match (market, limit) {
        (Market::Spot, _) => 2,
        (Market::Usdm, 0..=99) => 1,
        (Market::Usdm, 100..=499) => 2,
        (Market::Usdm, 500..=1_000) => 5,
        (Market::Usdm, 1_001..) => 10,
    };
    let symbol = percent_encode(symbol);
    let end = before.map_or_else(String::new, |before| {
        format!("&endTime={}", before.millis().saturating_sub(1))
    });
    let target = format!("klines?symbol={symbol}&interval={interval}&limit={limit}{end}");
    market.call(&target, weight)
}

/// Facts about `symbols`; about all of them when the list is empty. The futures know no list.
pub(super) fn exchange_info(market: Market, symbols: &[String]) -> Call {
    match market {
        Market::Usdm => market.call("exchangeInfo", 1),
        Market::Spot if symbols.is_empty() => {
            market.call("exchangeInfo?showPermissionSets=false", 20)
        }
        Market::Spot => {
            let list = percent_encode(&serde_json::json!(symbols).to_string());
            let target = format!("exchangeInfo?showPermissionSets=false&symbols={list}");
            market.call(&target, 20)
        }
    }
}

/// The venue's clock.
pub(super) fn server_time(market: Market) -> Call {
    market.call("time", 1)
}

/// Open interest, which no stream carries.
pub(super) fn open_interest(market: Market, symbol: &str) -> Option<Call> {
    let target = format!("openInterest?symbol={}", percent_encode(symbol));
    (market == Market::Usdm).then(|| market.call(&target, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_percent_encoded() {
        assert_eq!(
            exchange_info(Market::Spot, &["BTCUSDT".to_owned(), "币".to_owned()]).target,
            "/api/v3/exchangeInfo?showPermissionSets=false&symbols=%5B%22BTCUSDT%22%2C%22%E5%B8%81%22%5D"
        );
        let call = klines(
            Market::Usdm,
            "BTCUSDT",
            Interval::MINUTE,
            Some(Time(60_000_000_000)),
            9,
        );
        assert_eq!(
            (call.target.as_str(), call.weight),
            (
                "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=9&endTime=59999",
                1
            )
        );
    }

    #[test]
    fn many_streams_go_in_several_messages() {
        let streams: Vec<String> = (0..450).map(|n| format!("s{n}@trade")).collect();
        let streams: Vec<&str> = streams.iter().map(String::as_str).collect();
        let messages = subscriptions(true, &streams, 5);
        assert_eq!(messages.iter().map(|m| m.id).collect::<Vec<_>>(), [5, 6, 7]);
        for message in messages {
            let value: serde_json::Value = serde_json::from_str(&message.text).expect("JSON");
            assert_eq!(value["id"], message.id);
            let params = value["params"].as_array().expect("a list");
            assert!(params.len() <= 200 && params.len() == message.topics);
        }
    }
}
