//! What a recorded frame is about: only as much of it as a player of recordings needs. Bybit's are
//! told apart by their topic.
//!
//! Decimal text stays text here, because scales are not known before the whole recording was seen.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::bybit;

/// Behind the lower-case symbol and `@`: the stream of the envelope that a recorder puts around a
/// REST depth snapshot, which does not name its symbol.
pub const SNAPSHOT_STREAM: &str = "depthSnapshot";

/// Price and quantity of a level, as the venue wrote them.
pub type TextLevel<'a> = [&'a str; 2];

/// A frame that is no JSON object of the expected shape.
#[derive(Debug, thiserror::Error)]
#[error("not a frame of public streams: {0}")]
pub struct FrameError(#[from] serde_json::Error);

/// A recorded frame: its payload, the stream it came from, and its meaning.
#[derive(Debug)]
pub struct Frame<'a> {
    /// Name in the combined-stream envelope, or Bybit's topic; `None` for a bare frame.
    pub stream: Option<Cow<'a, str>>,
    /// The payload without the envelope, byte for byte.
    pub data: &'a str,
    /// What it says; of Bybit's frames only symbol and time.
    pub event: Event<'a>,
    /// Prices and quantities in a frame of Bybit's.
    pub numbers: Vec<TextLevel<'a>>,
}

/// The kinds of frames that a player tells apart.
#[derive(Debug)]
pub enum Event<'a> {
    /// `depthUpdate`.
    Depth {
        /// Upper-case symbol.
        symbol: Cow<'a, str>,
        /// `E`, milliseconds.
        time_ms: i64,
        /// `U`.
        first_id: u64,
        /// `u`.
        last_id: u64,
        /// `b`.
        bids: Vec<TextLevel<'a>>,
        /// `a`.
        asks: Vec<TextLevel<'a>>,
    },
    /// `trade`.
    Trade {
        /// Upper-case symbol.
        symbol: Cow<'a, str>,
        /// `E`, milliseconds.
        time_ms: i64,
        /// `t`.
        id: u64,
        /// `p`.
        price: Cow<'a, str>,
        /// `q`.
        qty: Cow<'a, str>,
        /// `T`, milliseconds.
        trade_time_ms: i64,
        /// `m`: the aggressor sold.
        buyer_is_maker: bool,
    },
    /// `aggTrade`: its numbers count for the scales alone.
    AggTrade {
        /// Upper-case symbol.
        symbol: Cow<'a, str>,
        /// `E`, milliseconds.
        time_ms: i64,
        /// `p`.
        price: Cow<'a, str>,
        /// `q`.
        qty: Cow<'a, str>,
    },
    /// `bookTicker`, which has neither `e` nor `E` on spot.
    Quote {
        /// Upper-case symbol.
        symbol: Cow<'a, str>,
        /// `u`.
        update_id: u64,
        /// `b`, `B`.
        bid: TextLevel<'a>,
        /// `a`, `A`.
        ask: TextLevel<'a>,
    },
    /// A REST depth snapshot, which has no symbol.
    Snapshot {
        /// `lastUpdateId`.
        last_id: u64,
        /// Bids.
        bids: Vec<TextLevel<'a>>,
        /// Asks.
        asks: Vec<TextLevel<'a>>,
    },
    /// Anything else; played as it is.
    Other {
        /// `s`, if there is one.
        symbol: Option<Cow<'a, str>>,
        /// `E`, milliseconds.
        time_ms: Option<i64>,
    },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Fields of every payload, each of them optional and those of several meanings still raw.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    e: Option<Cow<'a, str>>,
    #[serde(rename = "E")]
    event_time: Option<i64>,
    #[serde(borrow)]
    s: Option<Cow<'a, str>>,
    #[serde(rename = "U")]
    first_id: Option<u64>,
    u: Option<u64>,
    #[serde(borrow)]
    b: Option<&'a RawValue>,
    #[serde(borrow)]
    a: Option<&'a RawValue>,
    #[serde(borrow, rename = "B")]
    bid_qty: Option<&'a RawValue>,
    #[serde(borrow, rename = "A")]
    ask_qty: Option<&'a RawValue>,
    #[serde(borrow)]
    p: Option<Cow<'a, str>>,
    #[serde(borrow)]
    q: Option<Cow<'a, str>>,
    #[serde(borrow)]
    t: Option<&'a RawValue>,
    #[serde(borrow, rename = "T")]
    trade_time: Option<&'a RawValue>,
    #[serde(borrow)]
    m: Option<&'a RawValue>,
    #[serde(rename = "lastUpdateId")]
    last_update_id: Option<u64>,
    #[serde(borrow)]
    bids: Option<&'a RawValue>,
    #[serde(borrow)]
    asks: Option<&'a RawValue>,
}

impl<'a> Frame<'a> {
    /// Reads a frame, in the combined-stream envelope or bare.
    pub fn parse(frame: &'a [u8]) -> Result<Self, FrameError> {
        let topic = b"\"topic\"";
        if frame.windows(topic.len()).any(|window| window == topic)
            && let Some(frame) = bybit::parse(frame)?
        {
            return Ok(frame);
        }
        if frame.starts_with(b"{\"stream\"") {
            let envelope: Envelope<'a> = serde_json::from_slice(frame)?;
            let data = envelope.data.get();
            return Ok(Self {
                stream: Some(envelope.stream),
                data,
                event: event(data)?,
                numbers: Vec::new(),
            });
        }
        let data: &'a RawValue = serde_json::from_slice(frame)?;
        // Key order is not promised: an envelope may name its data first.
        if let Ok(envelope) = serde_json::from_str::<Envelope<'a>>(data.get()) {
            return Ok(Self {
                stream: Some(envelope.stream),
                data: envelope.data.get(),
                event: event(envelope.data.get())?,
                numbers: Vec::new(),
            });
        }
        Ok(Self {
            stream: None,
            data: data.get(),
            event: event(data.get())?,
            numbers: Vec::new(),
        })
    }

    /// Upper-case symbol of a recorded REST snapshot, if its envelope names one.
    pub fn snapshot_symbol(&self) -> Option<String> {
        let (symbol, kind) = self.stream.as_ref()?.split_once('@')?;
        (kind == SNAPSHOT_STREAM).then(|| symbol.to_uppercase())
    }

    /// The stream that the frame belongs to: from the envelope, else from what it says.
    pub fn stream_name(&self) -> Option<Cow<'_, str>> {
        if let Some(stream) = &self.stream {
            return Some(Cow::Borrowed(stream));
        }
        let (symbol, kind) = match &self.event {
            Event::Depth { symbol, .. } => (symbol, "depth@100ms"),
            Event::Trade { symbol, .. } => (symbol, "trade"),
            Event::AggTrade { symbol, .. } => (symbol, "aggTrade"),
            Event::Quote { symbol, .. } => (symbol, "bookTicker"),
            Event::Snapshot { .. } | Event::Other { .. } => return None,
        };
        Some(Cow::Owned(format!("{}@{kind}", symbol.to_lowercase())))
    }
}

fn event(data: &str) -> Result<Event<'_>, FrameError> {
    if !data.starts_with('{') {
        return Ok(Event::Other {
            symbol: None,
            time_ms: None,
        });
    }
    let mut fields: Fields<'_> = serde_json::from_str(data)?;
    let kind = fields.e.take().unwrap_or_default();
    Ok(match (kind.as_ref(), fields) {
        (
            "",
            Fields {
                last_update_id: Some(last_id),
                bids: Some(bids),
                asks: Some(asks),
                ..
            },
        ) => Event::Snapshot {
            last_id,
            bids: serde_json::from_str(bids.get())?,
            asks: serde_json::from_str(asks.get())?,
        },
        (
            "" | "bookTicker",
            Fields {
                s: Some(symbol),
                u: Some(update_id),
                b: Some(bid),
                bid_qty: Some(bid_qty),
                a: Some(ask),
                ask_qty: Some(ask_qty),
                ..
            },
        ) => Event::Quote {
            symbol,
            update_id,
            bid: [text(bid)?, text(bid_qty)?],
            ask: [text(ask)?, text(ask_qty)?],
        },
        (
            "depthUpdate",
            Fields {
                s: Some(symbol),
                event_time: Some(time_ms),
                first_id: Some(first_id),
                u: Some(last_id),
                b: Some(bids),
                a: Some(asks),
                ..
            },
        ) => Event::Depth {
            symbol,
            time_ms,
            first_id,
            last_id,
            bids: serde_json::from_str(bids.get())?,
            asks: serde_json::from_str(asks.get())?,
        },
        (
            "trade",
            Fields {
                s: Some(symbol),
                event_time: Some(time_ms),
                t: Some(id),
                p: Some(price),
                q: Some(qty),
                trade_time: Some(trade_time),
                m: Some(maker),
                ..
            },
        ) => Event::Trade {
            symbol,
            time_ms,
            id: serde_json::from_str(id.get())?,
            price,
            qty,
            trade_time_ms: serde_json::from_str(trade_time.get())?,
            buyer_is_maker: serde_json::from_str(maker.get())?,
        },
        (
            "aggTrade",
            Fields {
                s: Some(symbol),
                event_time: Some(time_ms),
                p: Some(price),
                q: Some(qty),
                ..
            },
        ) => Event::AggTrade {
            symbol,
            time_ms,
            price,
            qty,
        },
        (_, fields) => Event::Other {
            symbol: fields.s,
            time_ms: fields.event_time,
        },
    })
}

fn text(raw: &RawValue) -> Result<&str, serde_json::Error> {
    serde_json::from_str(raw.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelope_and_bare_frames_are_the_same_event() {
        let bare =
            r#"{"e":"trade","E":5,"s":"BTCUSDT","t":7,"p":"1.50","q":"2","T":4,"m":true,"M":true}"#;
        for (text, stream) in [
            (bare.to_owned(), None),
            (
                format!(r#"{{"stream":"btcusdt@trade","data":{bare}}}"#),
                Some("btcusdt@trade"),
            ),
            (
                format!(r#"{{"data":{bare},"stream":"btcusdt@trade"}}"#),
                Some("btcusdt@trade"),
            ),
        ] {
            let frame = Frame::parse(text.as_bytes()).expect("valid");
            assert_eq!(frame.stream.as_deref(), stream);
            assert_eq!(frame.stream_name().as_deref(), Some("btcusdt@trade"));
            assert_eq!(frame.data, bare);
            assert!(matches!(
                frame.event,
                Event::Trade {
                    id: 7,
                    buyer_is_maker: true,
                    ..
                }
            ));
        }
    }

    #[test]
    fn a_topic_makes_it_a_frame_of_bybit() {
        for (text, symbol, numbers) in [
            (
                r#"{"ts":5,"topic":"orderbook.50.BTCUSDT","type":"delta","data":{"s":"BTCUSDT","b":[["1.5","2"]],"a":[["2","0"]],"u":1,"seq":1}}"#,
                Some("BTCUSDT"),
                vec![["1.5", "2"], ["2", "0"]],
            ),
            (
                r#"{"topic":"publicTrade.ETHUSDT","ts":5,"data":[{"v":"1","p":"7"},{"p":"8","v":"2"}]}"#,
                Some("ETHUSDT"),
                vec![["7", "1"], ["8", "2"]],
            ),
            (
                r#"{"topic":"tickers.BTCUSDT","ts":5,"data":{"symbol":"BTCUSDT","markPrice":"1.23456"}}"#,
                Some("BTCUSDT"),
                vec![],
            ),
        ] {
            let frame = Frame::parse(text.as_bytes()).expect("valid");
            assert_eq!(frame.numbers, numbers, "{text}");
            assert_eq!(frame.data, text);
            assert!(
                frame
                    .stream_name()
                    .is_some_and(|topic| topic.ends_with("USDT"))
            );
            let Event::Other {
                symbol: found,
                time_ms: Some(5),
            } = frame.event
            else {
                panic!("{:?}", frame.event);
            };
            assert_eq!(found.as_deref(), symbol);
        }
        let answer = br#"{"op":"subscribe","success":true,"ret_msg":"\"topic\""}"#;
        let frame = Frame::parse(answer).expect("valid");
        assert!(frame.stream.is_none() && frame.numbers.is_empty());
        let bad = br#"{"topic":"orderbook.50.BTCUSDT","data":{"b":[[1,2]]}}"#;
        assert!(Frame::parse(bad).is_err());
    }

    #[test]
    fn rubbish_is_an_error_and_the_unknown_is_passed_on() {
        for text in [
            "",
            "{",
            "{\"stream\":1}",
            "nul",
            "{\"stream\":\"x\",\"data\":}",
        ] {
            assert!(Frame::parse(text.as_bytes()).is_err(), "{text}");
        }
        for text in [
            "[1]",
            "{\"e\":\"24hrTicker\",\"s\":\"X\"}",
            "{\"result\":null,\"id\":1}",
        ] {
            let frame = Frame::parse(text.as_bytes()).expect("valid");
            assert!(matches!(frame.event, Event::Other { .. }), "{text}");
        }
    }
}
