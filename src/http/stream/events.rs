//! The same as server-sent events: `GET /api/v1/stream?topics=…`, for `curl -N` and browsers.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::client::{Batch, Behind, Client};
use super::topic::What;
use super::{Place, Streams};
use crate::http::access::Caller;
use crate::http::params::TOPICS;
use crate::http::problem::{Code, Problem};
use crate::http::reply::Reply;
use crate::http::routes::{Answer, Call};
use crate::http::state::App;
use crate::kernel::event::Seq;
use crate::metrics::StreamEnd;

/// A comment that keeps proxies from ending a quiet stream.
const STILL_HERE: Duration = Duration::from_secs(15);
/// Pieces that may wait for a client; each is what was new at a time.
const PIECES: usize = 2;
/// How soon a client should come back, in milliseconds.
const RETRY_MS: u32 = 2_000;
/// What a client sends of the last stream.
const LAST_EVENT_ID: &str = "last-event-id";

/// `GET /api/v1/stream`.
#[expect(
    clippy::needless_pass_by_value,
    reason = "as the table's other streams, which need it"
)]
pub(in crate::http) fn events(call: Call, request: Request<Incoming>) -> Answer {
    let app = call.app();
    let names: Vec<String> = call
        .query
        .get(&TOPICS)
        .unwrap_or_default()
        .split(',')
        .map(str::to_owned)
        .collect();
    if names == [""] {
        return Err(Problem::new(
            Code::InvalidParameter,
            "the query parameter topics is missing",
        )
        .member("field", "topics")
        .hint("for example /api/v1/stream?topics=BTCUSDT@ticker,orders"));
    }
    let client = Client::new(Arc::clone(app), call.strings);
    let topics = client.parse(&names)?;
    let after = last_event_id(&request)?;
    if request.method() == Method::HEAD {
        return Ok(Reply::events(None));
    }
    let place = app.streams.admit("sse")?;
    let (pieces, receiver) = mpsc::channel(PIECES);
    tokio::spawn(session(call, client, topics, after, pieces, place));
    Ok(Reply::events(Some(receiver)))
}

fn last_event_id(request: &Request<Incoming>) -> Result<Option<Seq>, Box<Problem>> {
    let Some(value) = request.headers().get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    let id = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    match id {
        Some(id) => Ok(Some(Seq(id))),
        None => Err(Problem::new(
            Code::InvalidParameter,
            "the header Last-Event-ID is no id of this stream",
        )
        .member("field", "Last-Event-ID")
        .hint("send the last id that a stream has given, or leave it out")),
    }
}

async fn session(
    call: Call,
    mut client: Client,
    topics: Vec<(String, What)>,
    after: Option<Seq>,
    pieces: mpsc::Sender<Bytes>,
    place: Place,
) {
    let app = call.app();
    let streams: &Streams = &app.streams;
    let mut stop = streams.stop.subscribe();
    let end = tokio::select! {
        end = send(streams, &mut client, topics, after, &pieces) => end,
        _ = stop.wait_for(|stop| *stop) => Some("shutting down"),
        () = pieces.closed() => None,
        () = token_is_gone(app, &call.caller) => {
            streams.metrics.dropped(StreamEnd::Token);
            Some("the token holds no longer")
        }
    };
    if let Some(reason) = end {
        let last = format!("event: end\ndata: {{\"reason\":\"{reason}\"}}\n\n");
        // A client that has no room for it is told by the end itself.
        drop(pieces.try_send(Bytes::from(last)));
    }
    drop(place);
}

/// Completes when the caller may not go on.
async fn token_is_gone(app: &App, caller: &Caller) {
    /// A token that expires is no change.
    const LOOK_EVERY: Duration = Duration::from_secs(1);
    let mut tokens = app.access.changes();
    while app.access.holds(caller) {
        // The list of tokens lives as long as the application.
        drop(timeout(LOOK_EVERY, tokens.changed()).await);
    }
}

/// Sends events until the client is gone (`None`), or cannot go on.
async fn send(
    streams: &Streams,
    client: &mut Client,
    topics: Vec<(String, What)>,
    after: Option<Seq>,
    pieces: &mpsc::Sender<Bytes>,
) -> Option<&'static str> {
    let mut batch = Batch::default();
    let mut text = format!("retry: {RETRY_MS}\n\n");
    for topic in topics {
        if let Err(problem) = client.follow(topic, after, &mut batch).await {
            tracing::error!(?problem, "a topic that was parsed cannot be followed");
        }
        if batch.is_large() {
            flush(streams, &mut batch, &mut text, pieces).await?;
        }
    }
    frame(streams, &mut batch, &mut text);
    if let Some(told) = client.told() {
        // All snapshots are out: from here on a later stream can go on.
        let _written = write!(text, "id: {}\n\n", told.0);
    }
    flush(streams, &mut batch, &mut text, pieces).await?;
    let mut still = interval_at(Instant::now() + STILL_HERE, STILL_HERE);
    still.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            told = client.wait(&mut batch) => match told {
                Ok(()) => {}
                Err(behind) => {
                    streams.metrics.dropped(match behind {
                        Behind::Slow => StreamEnd::Slow,
                        Behind::Missing => StreamEnd::Missing,
                    });
                    return Some(behind.reason());
                }
            },
            _ = still.tick() => text.push_str(": still here\n\n"),
        }
        flush(streams, &mut batch, &mut text, pieces).await?;
    }
}

/// Writes the batch as events.
fn frame(streams: &Streams, batch: &mut Batch, text: &mut String) {
    for message in batch.iter() {
        if let Some(id) = message.id {
            let _written = writeln!(text, "id: {}", id.0);
        }
        let kind = message.kind.unwrap_or("message");
        let _written = write!(text, "event: {kind}\ndata: {}\n\n", message.text);
    }
    streams.metrics.sent("sse", batch.len());
    batch.clear();
}

async fn flush(
    streams: &Streams,
    batch: &mut Batch,
    text: &mut String,
    pieces: &mpsc::Sender<Bytes>,
) -> Option<()> {
    frame(streams, batch, text);
    if text.is_empty() {
        return Some(());
    }
    pieces.send(Bytes::from(std::mem::take(text))).await.ok()
}
