//! What a recorded frame of Bybit is about: its topic, and the numbers that fix the scales.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::frame::{Event, Frame, FrameError, TextLevel};

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    topic: Option<Cow<'a, str>>,
    ts: Option<i64>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Book<'a> {
    #[serde(borrow, default)]
    b: Vec<TextLevel<'a>>,
    #[serde(borrow, default)]
    a: Vec<TextLevel<'a>>,
}

#[derive(Deserialize)]
struct Execution<'a> {
    p: &'a str,
    v: &'a str,
}

/// Reads a frame of Bybit; `None` for one without a topic.
pub(super) fn parse(frame: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
    let whole: &RawValue = serde_json::from_slice(frame)?;
    let outer: Outer<'_> = serde_json::from_str(whole.get())?;
    let Some(topic) = outer.topic else {
        return Ok(None);
    };
    let data = outer.data.map_or("null", RawValue::get);
    let mut numbers = Vec::new();
    match topic.split('.').next() {
        Some("orderbook") => {
            let book: Book<'_> = serde_json::from_str(data)?;
            numbers = book.b;
            numbers.extend(book.a);
        }
        Some("publicTrade" | "allLiquidation") => {
            let trades: Vec<Execution<'_>> = serde_json::from_str(data)?;
            numbers.extend(trades.iter().map(|trade| [trade.p, trade.v]));
        }
        _ => {}
    }
    let symbol = topic.rsplit_once('.').map(|(_, symbol)| symbol.to_owned());
    Ok(Some(Frame {
        stream: Some(topic),
        data: whole.get(),
        event: Event::Other {
            symbol: symbol.map(Cow::Owned),
            time_ms: outer.ts,
        },
        numbers,
    }))
}
