//! What is sent to Binance for market data: stream names, subscriptions, REST targets and their
//! weights.

use crate::kernel::types::{Instrument, Interval};

/// Streams that one connection may carry.
pub const STREAMS_MAX: usize = 1_024;
/// Streams in one SUBSCRIBE message: keeps a message below 8 KiB.
const STREAMS_PER_MESSAGE: usize = 200;
/// Path of the combined streams; subscriptions follow as messages.
pub const STREAM_PATH: &str = "/stream";

/// Whether Binance has candles of this interval: for others there is neither stream nor history,
/// and candles come from trades alone.
pub fn has_candles(interval: Interval) -> bool {
    const KNOWN: [&str; 16] = [
        "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d",
        "1w", "1M",
    ];
    KNOWN.contains(&interval.to_string().as_str())
}

/// A REST call: path with query, and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Path and query, percent-encoded.
    pub target: String,
    /// Request weight.
    pub weight: u32,
    /// The symbol whose book the answer is, if it is one that a book can begin with.
    pub snapshot_of: Option<String>,
}

/// Snapshots with fewer levels are probes, which no book begins with.
const SNAPSHOT_LEVELS_MIN: u16 = 10;

/// The streams that an instrument is read from.
pub fn streams(instrument: &Instrument, intervals: &[Interval]) -> Vec<String> {
    let symbol = instrument.name.symbol.to_lowercase();
    let mut streams = vec![
        format!("{symbol}@depth@100ms"),
        format!("{symbol}@trade"),
        format!("{symbol}@bookTicker"),
        format!("{symbol}@miniTicker"),
    ];
    let known = intervals.iter().filter(|i| has_candles(**i));
    streams.extend(known.map(|i| format!("{symbol}@kline_{i}")));
    streams
}

/// SUBSCRIBE messages for `streams`, with ids from 1 on.
pub fn subscriptions(streams: &[String]) -> Vec<(i64, String)> {
    (1..)
        .zip(streams.chunks(STREAMS_PER_MESSAGE))
        .map(|(id, streams)| {
            let message = serde_json::json!({"method": "SUBSCRIBE", "params": streams, "id": id});
            (id, message.to_string())
        })
        .collect()
}

/// A depth snapshot with `limit` levels a side.
pub fn depth(symbol: &str, limit: u16) -> Call {
    Call {
        target: format!("/api/v3/depth?symbol={}&limit={limit}", encoded(symbol)),
        weight: match limit {
            0..=100 => 5,
            101..=500 => 25,
            501..=1_000 => 50,
            1_001.. => 250,
        },
        snapshot_of: (limit >= SNAPSHOT_LEVELS_MIN).then(|| symbol.to_owned()),
    }
}

/// The newest `limit` candles.
pub fn klines(symbol: &str, interval: Interval, limit: u16) -> Call {
    Call {
        target: format!(
            "/api/v3/klines?symbol={}&interval={interval}&limit={limit}",
            encoded(symbol)
        ),
        weight: 2,
        snapshot_of: None,
    }
}

/// Facts about `symbols`; about all of them when the list is empty.
pub fn exchange_info(symbols: &[String]) -> Call {
    let query = if symbols.is_empty() {
        "showPermissionSets=false".to_owned()
    } else {
        let list = serde_json::json!(symbols).to_string();
        format!("showPermissionSets=false&symbols={}", encoded(&list))
    };
    Call {
        target: format!("/api/v3/exchangeInfo?{query}"),
        weight: 20,
        snapshot_of: None,
    }
}

/// The venue's clock.
pub fn server_time() -> Call {
    Call {
        target: "/api/v3/time".to_owned(),
        weight: 1,
        snapshot_of: None,
    }
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    out
}

/// The upper-case hexadecimal digit of a number below 16.
fn hex(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).map_or('0', |c| c.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_percent_encoded() {
        assert_eq!(
            exchange_info(&["BTCUSDT".to_owned(), "币".to_owned()]).target,
            "/api/v3/exchangeInfo?showPermissionSets=false&symbols=%5B%22BTCUSDT%22%2C%22%E5%B8%81%22%5D"
        );
    }

    #[test]
    fn many_streams_go_in_several_messages() {
        let streams: Vec<String> = (0..450).map(|n| format!("s{n}@trade")).collect();
        let messages = subscriptions(&streams);
        assert_eq!(messages.iter().map(|m| m.0).collect::<Vec<_>>(), [1, 2, 3]);
        for (id, text) in messages {
            let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(value["id"], id);
            assert!(value["params"].as_array().is_some_and(|p| p.len() <= 200));
        }
    }
}
