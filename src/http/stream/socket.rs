//! A WebSocket client: one task with two futures, one that reads requests and one that answers them and
//! sends what the client follows.
//!
//! Reading is never cancelled half-way (see `venue/ws.rs`): when either future ends, so does the connection.
//! A request is taken from the reader when the writer has dealt with the one before, so a client that asks
//! faster than it reads waits in its own socket.

use std::sync::Arc;
use std::time::Duration;

use hyper::Request as HttpRequest;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_VERSION, UPGRADE};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::client::{Batch, Behind, Client};
use super::request::{Request, Wish, error, result};
use super::{Place, text_of};
use crate::http::problem::{Code, Problem};
use crate::http::reply::Reply;
use crate::http::routes::{Answer, Call};
use crate::http::state::{App, HttpConfig};
use crate::metrics::StreamEnd;
use crate::venue::ws::{self, Accepting, Heard, Message, WsError, WsLimits, WsReader, WsWriter};

/// Longest frame and message that a client may send: hundreds of topics fit.
const MESSAGE_MAX: usize = 16 << 10;
/// Frames a second that a client may send for long.
const FRAMES_PER_SECOND: u32 = 100;
/// Requests and topics that a client may name in a second for long, and at once.
const COST_PER_SECOND: f64 = 100.0;
const COST_AT_ONCE: f64 = 1_000.0;
/// Pings without a sign of life after which a client is given up.
const SILENT_PINGS: u32 = 3;
/// How long a client has to answer our close, or to read it before the socket goes.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// `GET /ws`.
pub(in crate::http) fn socket(call: Call, mut request: HttpRequest<Incoming>) -> Answer {
    let app = &call.app;
    // The guard has looked at the origin.
    let (response, accepting) = ws::accept(&mut request, |_| true, limits(&app.config))
        .map_err(|error| no_handshake(&error))?;
    let accept = response.headers().get(SEC_WEBSOCKET_ACCEPT).cloned();
    let accept =
        accept.ok_or_else(|| Problem::new(Code::Internal, "the handshake has no answer"))?;
    let place = app.streams.admit("ws")?;
    tokio::spawn(session(Arc::clone(app), call.strings, accepting, place));
    Ok(Reply::switch(accept))
}

fn limits(config: &HttpConfig) -> WsLimits {
    WsLimits {
        frame_max: MESSAGE_MAX,
        message_max: MESSAGE_MAX,
        handshake: config.header_timeout,
        write: config.write_timeout,
        frames_per_second: Some(FRAMES_PER_SECOND),
    }
}

fn no_handshake(error: &WsError) -> Box<Problem> {
    let problem = Problem::new(Code::NotWebSocket, error.to_string()).hint(
        "open it with a WebSocket client, version 13; GET /api/v1/stream gives the same to others",
    );
    if error.to_string().contains("Version") {
        return problem.header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    problem.header(UPGRADE, HeaderValue::from_static("websocket"))
}

/// Why a connection ended.
#[derive(Debug)]
enum End {
    /// The client closed it, or is gone.
    Theirs,
    /// It broke the protocol, and was told.
    Broke(WsError),
    /// We close it, with a code and words.
    Ours(u16, &'static str, Option<StreamEnd>),
    /// It could not be written to.
    Unwritten,
}

async fn session(app: Arc<App>, strings: bool, accepting: Accepting, place: Place) {
    let Ok((reader, writer)) = accepting.await else {
        return;
    };
    let heard = reader.heard();
    let (requests, waiting) = mpsc::channel(1);
    let mut stop = app.streams.stop.subscribe();
    let mut reading = std::pin::pin!(read(reader, requests));
    let client = Client::new(Arc::clone(&app), strings);
    let mut writing = std::pin::pin!(write(&app, client, &writer, waiting, heard));
    let mut written = false;
    let end = tokio::select! {
        end = &mut reading => end,
        end = &mut writing => {
            written = true;
            end
        }
        _ = stop.wait_for(|stop| *stop) => End::Ours(1001, "shutting down", None),
    };
    tracing::debug!(?end, "a WebSocket ended");
    let dropped = match &end {
        End::Theirs => None,
        End::Broke(WsError::Flood) => Some(StreamEnd::Flood),
        End::Broke(_) => Some(StreamEnd::Protocol),
        End::Ours(_, _, why) => *why,
        End::Unwritten => Some(StreamEnd::Unread),
    };
    if let Some(why) = dropped {
        app.streams.metrics.dropped(why);
    }
    match end {
        End::Theirs | End::Unwritten => {}
        // Closing a socket that holds unread bytes cuts it off: our words would be lost.
        End::Broke(_) => sleep(CLOSE_GRACE).await,
        End::Ours(code, reason, _) => {
            let close = writer.close(code, reason);
            let out = async {
                if written {
                    return close.await.is_ok();
                }
                // What is half-way out must come out first.
                tokio::select! {
                    closed = close => closed.is_ok(),
                    _ = &mut writing => writer.close(code, reason).await.is_ok(),
                }
            };
            if out.await {
                drop(timeout(CLOSE_GRACE, reading).await);
            }
        }
    }
    drop(place);
}

/// Reads requests until the connection ends.
async fn read(mut reader: WsReader, requests: mpsc::Sender<Request>) -> End {
    let (mut left, mut then) = (COST_AT_ONCE, Instant::now());
    loop {
        let request = match reader.next().await {
            Ok(Message::Text(text)) => Request::parse(text),
            Ok(Message::Binary(_)) => {
                return End::Ours(1003, "text messages only", Some(StreamEnd::Protocol));
            }
            Ok(Message::Close { .. }) | Err(WsError::Io(_) | WsError::Closed) => {
                return End::Theirs;
            }
            Err(error) if error.close_code().is_some() => return End::Broke(error),
            Err(_) => return End::Unwritten,
        };
        let now = Instant::now();
        let gained = now.duration_since(then).as_secs_f64() * COST_PER_SECOND;
        left = (left + gained).min(COST_AT_ONCE) - request.cost() as f64;
        then = now;
        if left < 0.0 {
            return End::Ours(1008, "too many requests", Some(StreamEnd::Flood));
        }
        // Nobody takes it any more while the connection is being closed.
        drop(requests.send(request).await);
    }
}

/// Answers requests, sends what is followed, and pings.
async fn write(
    app: &Arc<App>,
    mut client: Client,
    writer: &WsWriter,
    mut requests: mpsc::Receiver<Request>,
    heard: Heard,
) -> End {
    let every = app.config.stream_ping;
    let mut ping = interval_at(Instant::now() + every, every);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut frames, mut silent) = (0, 0);
    let mut batch = Batch::default();
    loop {
        tokio::select! {
            Some(request) = requests.recv() => {
                if let Err(end) = handle(app, &mut client, request, &mut batch, writer).await {
                    return end;
                }
            }
            told = client.wait(&mut batch) => match told {
                Ok(()) => {}
                Err(Behind::Slow) => {
                    return End::Ours(1013, Behind::Slow.reason(), Some(StreamEnd::Slow));
                }
                Err(Behind::Missing) => {
                    return End::Ours(1013, Behind::Missing.reason(), Some(StreamEnd::Missing));
                }
            },
            _ = ping.tick() => {
                silent = if heard.frames() == frames { silent + 1 } else { 0 };
                frames = heard.frames();
                if silent >= SILENT_PINGS {
                    return End::Ours(1008, "silent for too long", Some(StreamEnd::Silent));
                }
                if writer.ping(b"hean").await.is_err() {
                    return End::Unwritten;
                }
            }
        }
        if let Err(end) = flush(app, &mut batch, writer).await {
            return end;
        }
    }
}

async fn flush(app: &App, batch: &mut Batch, writer: &WsWriter) -> Result<(), End> {
    if batch.is_empty() {
        return Ok(());
    }
    let sent = writer.texts(batch.iter().map(|message| message.text)).await;
    app.streams.metrics.sent("ws", batch.len());
    batch.clear();
    sent.map_err(|_| End::Unwritten)
}

async fn handle(
    app: &Arc<App>,
    client: &mut Client,
    request: Request,
    batch: &mut Batch,
    writer: &WsWriter,
) -> Result<(), End> {
    let id = &request.id;
    let wish = match request.wish {
        Ok(wish) => wish,
        Err(problem) => {
            batch.reply(error(id, problem));
            return Ok(());
        }
    };
    let list = |client: &Client, more: &[&str]| {
        result(id, |j| {
            j.array(|j| {
                client
                    .names()
                    .chain(more.iter().copied())
                    .for_each(|n| j.text(n))
            });
        })
    };
    match wish {
        Wish::List => batch.reply(list(client, &[])),
        Wish::Ping => {
            let now = app.state.clock.now().millis();
            batch.reply(result(id, |j| j.object(|j| j.key("timestamp").int(now))));
        }
        Wish::Auth(_) => batch.reply(result(id, |j| j.object(|j| j.key("scope").text("read")))),
        Wish::Unsubscribe(names) => {
            client.unfollow(&names);
            batch.reply(list(client, &[]));
        }
        Wish::Subscribe(names) => {
            let new = match client.parse(&names) {
                Ok(new) => new,
                Err(problem) => {
                    batch.reply(error(id, problem));
                    return Ok(());
                }
            };
            let more: Vec<&str> = new.iter().map(|(name, _)| name.as_str()).collect();
            batch.reply(list(client, &more));
            for topic in new {
                if let Err(problem) = client.follow(topic, None, batch).await {
                    let text = text_of(error(id, problem).into_bytes());
                    tracing::error!(%text, "a topic that was parsed cannot be followed");
                }
                if batch.is_large() {
                    flush(app, batch, writer).await?;
                }
            }
        }
    }
    Ok(())
}
