//! Recorded frames of Bybit as changes of the venue's state.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::kernel::event::{DepthDelta, DepthSnapshot, Level, Quote, Trade};
use crate::kernel::types::{FixedError, Instrument, Price, Qty, Side, Time};
use crate::venue::sim::symbol::Change;

/// Why a frame is sent but changes nothing.
#[derive(Debug, thiserror::Error)]
pub(in crate::venue::sim) enum Unread {
    /// Not the shape of its topic.
    #[error(transparent)]
    Shape(#[from] serde_json::Error),
    /// A number that the instrument's scales cannot hold.
    #[error(transparent)]
    Number(#[from] FixedError),
}

/// What a frame changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::venue::sim) struct Changes {
    /// The venue's id in the frame: `u` of a book.
    pub(in crate::venue::sim) id: u64,
    pub(in crate::venue::sim) changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type", default)]
    kind: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Book<'a> {
    #[serde(borrow)]
    b: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    a: Vec<[&'a str; 2]>,
    u: u64,
    #[serde(default)]
    seq: Option<u64>,
}

#[derive(Deserialize)]
struct Execution<'a> {
    #[serde(rename = "T")]
    t: i64,
    #[serde(rename = "S")]
    s: &'a str,
    #[serde(rename = "v")]
    qty: &'a str,
    #[serde(rename = "p")]
    price: &'a str,
    #[serde(rename = "i")]
    id: &'a str,
}

/// The levels of a book topic.
pub(in crate::venue::sim) fn depth(topic: &str) -> Option<u16> {
    let rest = topic.strip_prefix("orderbook.")?;
    rest.split_once('.')?.0.parse().ok()
}

/// Reads a frame of `topic`. The venue's book follows the topic of `deepest` levels alone, by its
/// `seq`: that orders it among everything else.
pub(in crate::venue::sim) fn changes(
    topic: &str,
    frame: &str,
    instrument: &Instrument,
    deepest: u16,
) -> Result<Changes, Unread> {
    let price = |text: &str| Price::parse(text.as_bytes(), instrument.price_scale);
    let qty = |text: &str| Qty::parse(text.as_bytes(), instrument.qty_scale);
    let levels = |levels: &[[&str; 2]]| {
        let level = |level: &[&str; 2]| {
            Ok::<_, FixedError>(Level {
                price: price(level[0])?,
                qty: qty(level[1])?,
            })
        };
        levels.iter().map(level).collect::<Result<Vec<_>, _>>()
    };
    let message: Message<'_> = serde_json::from_str(frame)?;
    if let Some(depth) = depth(topic) {
        let book: Book<'_> = serde_json::from_str(message.data.get())?;
        let seq = book.seq.unwrap_or(book.u);
        let (bids, asks) = (levels(&book.b)?, levels(&book.a)?);
        let changes = if depth == deepest && message.kind == "snapshot" {
            vec![Change::Snapshot(DepthSnapshot {
                last_id: seq,
                seq,
                window: Some(depth),
                bids,
                asks,
            })]
        } else if depth == deepest {
            vec![Change::Depth(DepthDelta {
                prev_id: seq.saturating_sub(1),
                first_id: seq,
                last_id: seq,
                seq,
                bids,
                asks,
            })]
        } else if let (1, [bid], [ask]) = (depth, bids.as_slice(), asks.as_slice()) {
            vec![Change::Quote(Quote {
                update_id: seq,
                bid: *bid,
                ask: *ask,
            })]
        } else {
            Vec::new()
        };
        return Ok(Changes {
            id: book.u,
            changes,
        });
    }
    if !topic.starts_with("publicTrade.") {
        return Ok(Changes::default());
    }
    let executions: Vec<Execution<'_>> = serde_json::from_str(message.data.get())?;
    let mut changes = Changes::default();
    for execution in executions {
        // A number on spot, a UUID on futures.
        let id = execution.id.parse();
        let id = id.unwrap_or_else(|_| xxhash_rust::xxh3::xxh3_64(execution.id.as_bytes()));
        changes.id = id;
        changes.changes.push(Change::Trade(Trade {
            id,
            first_id: id,
            last_id: id,
            price: price(execution.price)?,
            qty: qty(execution.qty)?,
            taker: if execution.s == "Buy" {
                Side::Buy
            } else {
                Side::Sell
            },
            time: Time::from_millis(execution.t).ok_or(FixedError::Range)?,
        }));
    }
    Ok(changes)
}
