//! Plays a recording: each frame at its time, byte for byte, applied to the venue's own state first.
//!
//! Playback begins when clients have subscribed to depth and trades of a recorded symbol, over whatever
//! connections. At [`Speed::Max`] it also waits whenever they are not there; at a real pace the
//! market goes on.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::mpsc;

use super::Speed;
use super::bybit::recorded::{self, Unread};
use super::engine::Engine;
use super::hub::{Need, Payload};
use super::market::{Market, MarketKind};
use super::outlet::{Part, Recorded, part};
use super::shared::Shared;
use super::symbol::{Change, Symbol};
use crate::kernel::event::{DepthDelta, DepthSnapshot, Level, Quote, Trade};
use crate::kernel::types::{FixedError, Instrument, Price, Qty, Side, Time};
use crate::recording::{Event, Frame, OwnedRecord, Reader, Scan, TextLevel, is_hole};

/// How long the playback waits for a client whose queue is full before it cuts it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Records read ahead of the playback.
const READ_AHEAD: usize = 256;

/// Symbols of a recording, with their books at the recorded snapshot.
pub(super) fn symbols(kind: MarketKind, scan: &Scan) -> Vec<Symbol> {
    scan.symbols
        .iter()
        .map(|scanned| {
            let mut symbol = Symbol::new(kind, scanned.instrument.clone());
            if let Some(snapshot) = &scanned.snapshot
                && let Ok(frame) = Frame::parse(snapshot)
                && let Ok(Some(change)) = change(&frame.event, &scanned.instrument)
            {
                symbol.apply(Time::ZERO, &change);
            }
            symbol
        })
        .collect()
}

/// What clients have to subscribe to.
pub(super) fn needs(kind: MarketKind, scan: &Scan) -> Vec<Need> {
    scan.symbols
        .iter()
        .map(|symbol| {
            let has = |wanted: Part| {
                let mut parts = symbol.streams.keys().filter_map(|name| part(kind, name));
                parts.any(|(_, part)| part == wanted)
            };
            Need {
                market: kind,
                symbol: symbol.instrument.name.symbol.clone(),
                depth: has(Part::Depth),
                trades: has(Part::Trades),
            }
        })
        .collect()
}

/// Streams that the recording holds.
pub(super) fn recorded_streams(scan: &Scan) -> BTreeSet<String> {
    scan.symbols
        .iter()
        .flat_map(|symbol| symbol.streams.keys().cloned())
        .collect()
}

/// Plays `files` to the end.
pub(super) async fn run(
    shared: Arc<Shared>,
    market: Arc<Market>,
    mut engine: Engine,
    files: Vec<PathBuf>,
    speed: Speed,
) {
    let (sender, mut records) = mpsc::channel::<OwnedRecord>(READ_AHEAD);
    let reader = tokio::task::spawn_blocking(move || read(&files, &sender));
    tracing::info!("playback waits for a subscription to depth and trades of a recorded symbol");
    shared.hub.completed().await;
    shared.status.start();
    tracing::info!("playback begins at speed {speed}");
    let mut pace = Pace::new(speed);
    while let Some(record) = records.recv().await {
        if speed == Speed::Max {
            shared.hub.completed().await;
        }
        let wait = pace.wait(shared.clock.now(), record.received);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        if market.take_restart() {
            engine.restart().await;
        }
        play(&market, &mut engine, record).await;
    }
    if reader.await.is_err() {
        tracing::error!("the task that reads the recording failed");
    }
    shared.status.finish();
    tracing::info!(
        "playback is at its end after {} frames; connections stay open",
        shared.status.position()
    );
}

fn read(files: &[PathBuf], sender: &mpsc::Sender<OwnedRecord>) {
    for record in Reader::new(files) {
        match record {
            Ok(record) if is_hole(&record.frame).is_some() => {} // no frame of a venue
            Ok(record) => {
                if sender.blocking_send(record).is_err() {
                    return; // the playback has ended
                }
            }
            // Bad lines were counted and reported when the recording was looked through.
            Err(error) if error.is_passable() => tracing::debug!("{error}"),
            Err(error) => tracing::error!("{error}"),
        }
    }
}

async fn play(market: &Market, engine: &mut Engine, record: OwnedRecord) {
    let bytes = Bytes::from(record.frame);
    let Ok(frame) = Frame::parse(&bytes) else {
        return;
    };
    let (name, time_ms) = match &frame.event {
        Event::Depth {
            symbol, time_ms, ..
        }
        | Event::Trade {
            symbol, time_ms, ..
        }
        | Event::AggTrade {
            symbol, time_ms, ..
        } => (Some(symbol.as_ref()), Some(*time_ms)),
        Event::Quote { symbol, .. } => (Some(symbol.as_ref()), None),
        Event::Other { symbol, time_ms } => (symbol.as_deref(), *time_ms),
        Event::Snapshot { .. } => (None, None),
    };
    let mut at = name.and_then(|name| market.place(name));
    if at.is_none() && matches!(frame.event, Event::Snapshot { .. }) {
        at = match frame.snapshot_symbol() {
            Some(symbol) => market.place(&symbol),
            None => (market.symbols.len() == 1).then_some(0), // of several nobody says whose it is
        };
    }
    let (id, changes) = match at.and_then(|at| market.symbols.get(at)) {
        Some(listed) => {
            let instrument = &listed.lock().symbol.instrument;
            read_frame(market, &frame, instrument).unwrap_or_else(|error| {
                tracing::warn!(
                    "a recorded frame of {} is sent but not understood: {error}",
                    instrument.name.symbol
                );
                (0, Vec::new())
            })
        }
        None => (0, Vec::new()),
    };
    let recorded = frame.stream_name().map(|stream| Recorded {
        id,
        payload: if frame.stream.is_some() {
            Payload::recorded(&bytes, frame.data)
        } else {
            Payload::wrap(&stream, frame.data)
        },
        stream: stream.into_owned(),
    });
    let time = time_ms.and_then(Time::from_millis);
    engine.play(time, at, &changes, recorded.as_ref()).await;
}

/// The venue's id in a frame, and what the frame changes.
fn read_frame(
    market: &Market,
    frame: &Frame<'_>,
    instrument: &Instrument,
) -> Result<(u64, Vec<Change>), Unread> {
    if market.kind.is_bybit() {
        let topic = frame.stream.as_deref().unwrap_or_default();
        let deepest = market.deepest(&instrument.name.symbol);
        let read = recorded::changes(topic, frame.data, instrument, deepest)?;
        return Ok((read.id, read.changes));
    }
    Ok(match change(&frame.event, instrument)? {
        Some(Change::Depth(mut delta)) => {
            // Ids of futures jump, and say what they follow.
            delta.prev_id = followed(frame.data).unwrap_or(delta.prev_id);
            (delta.last_id, vec![Change::Depth(delta)])
        }
        Some(Change::Trade(trade)) => (trade.id, vec![Change::Trade(trade)]),
        Some(Change::Quote(quote)) => (quote.update_id, vec![Change::Quote(quote)]),
        other => (0, other.into_iter().collect()),
    })
}

/// `pu` of a depth event.
fn followed(data: &str) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Link {
        pu: Option<u64>,
    }
    serde_json::from_str::<Link>(data).ok()?.pu
}

/// A recorded event at the instrument's scales; `None` for what the venue keeps no state of.
fn change(event: &Event<'_>, instrument: &Instrument) -> Result<Option<Change>, FixedError> {
    let price = |text: &str| Price::parse(text.as_bytes(), instrument.price_scale);
    let qty = |text: &str| Qty::parse(text.as_bytes(), instrument.qty_scale);
    let level = |level: &TextLevel<'_>| {
        Ok(Level {
            price: price(level[0])?,
            qty: qty(level[1])?,
        })
    };
    let levels = |levels: &[TextLevel<'_>]| levels.iter().map(level).collect::<Result<Vec<_>, _>>();
    Ok(Some(match event {
        Event::Depth {
            first_id,
            last_id,
            bids,
            asks,
            ..
        } => Change::Depth(DepthDelta {
            prev_id: first_id.saturating_sub(1),
            first_id: *first_id,
            last_id: *last_id,
            seq: *last_id,
            bids: levels(bids)?,
            asks: levels(asks)?,
        }),
        Event::Trade {
            id,
            price: at,
            qty: amount,
            trade_time_ms,
            buyer_is_maker,
            ..
        } => Change::Trade(Trade {
            id: *id,
            first_id: *id,
            last_id: *id,
            price: price(at)?,
            qty: qty(amount)?,
            taker: if *buyer_is_maker {
                Side::Sell
            } else {
                Side::Buy
            },
            time: Time::from_millis(*trade_time_ms).ok_or(FixedError::Range)?,
        }),
        Event::Snapshot {
            last_id,
            bids,
            asks,
        } => Change::Snapshot(DepthSnapshot {
            last_id: *last_id,
            seq: *last_id,
            window: None,
            bids: levels(bids)?,
            asks: levels(asks)?,
        }),
        Event::Quote { .. } => match quote(event, level)? {
            Some(quote) => Change::Quote(quote),
            None => return Ok(None),
        },
        Event::AggTrade { .. } | Event::Other { .. } => return Ok(None),
    }))
}

fn quote(
    event: &Event<'_>,
    level: impl Fn(&TextLevel<'_>) -> Result<Level, FixedError>,
) -> Result<Option<Quote>, FixedError> {
    let Event::Quote {
        update_id,
        bid,
        ask,
        ..
    } = event
    else {
        return Ok(None);
    };
    Ok(Some(Quote {
        update_id: *update_id,
        bid: level(bid)?,
        ask: level(ask)?,
    }))
}

/// When the next record is due. Anchored, so that waiting does not add up its own delays.
#[derive(Debug)]
struct Pace {
    speed: Speed,
    /// Clock and receive time that belong together, and the newest receive time.
    anchor: Option<(Time, Time, Time)>,
}

impl Pace {
    const fn new(speed: Speed) -> Self {
        Self {
            speed,
            anchor: None,
        }
    }

    /// How long to wait at `now` before the record that was received at `received`.
    fn wait(&mut self, now: Time, received: Time) -> Duration {
        let Speed::Times(times) = self.speed else {
            return Duration::ZERO;
        };
        let (start, first) = match self.anchor {
            // The next file may begin before the last one ended: go on from here.
            Some((start, first, newest)) if received >= newest => (start, first),
            _ => (now, received),
        };
        self.anchor = Some((start, first, received));
        let passed = received.since(first) as f64 / times;
        let due = Duration::try_from_secs_f64(passed / 1e9).unwrap_or(Duration::MAX);
        let done = u64::try_from(now.since(start)).unwrap_or(0);
        due.saturating_sub(Duration::from_nanos(done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_the_recorded_one_divided_by_the_speed() {
        let mut pace = Pace::new(Speed::Times(2.0));
        let at = Time;
        assert_eq!(pace.wait(at(1_000), at(50_000)), Duration::ZERO);
        assert_eq!(pace.wait(at(1_000), at(51_000)), Duration::from_nanos(500));
        // Late by 100 ns: the next wait is shorter.
        assert_eq!(pace.wait(at(1_600), at(53_000)), Duration::from_nanos(900));
        assert_eq!(pace.wait(at(9_000), at(54_000)), Duration::ZERO);
        // Another file, from before: no wait, and on from there.
        assert_eq!(pace.wait(at(9_000), at(20_000)), Duration::ZERO);
        assert_eq!(pace.wait(at(9_000), at(21_000)), Duration::from_nanos(500));
        let mut max = Pace::new(Speed::Max);
        assert_eq!(max.wait(at(0), at(i64::MAX)), Duration::ZERO);
    }
}
