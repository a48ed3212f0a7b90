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
use hyper::header::{
    AUTHORIZATION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};

use super::Place;
use super::client::{Batch, Behind, Client};
use super::request::{Request, Wish, error, result};
use super::topic::What;
use crate::http::access::{Caller, Scope};
use crate::http::connection::Connection;
use crate::http::problem::{Code, Problem};
use crate::http::reply::Reply;
use crate::http::routes::{Answer, Call};
use crate::http::state::HttpConfig;
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
/// How often to look whether the caller's token still holds: it may have expired.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// `GET /ws`.
pub(in crate::http) fn socket(call: Call, mut request: HttpRequest<Incoming>) -> Answer {
    let Connection { app, peer, known } = &*call.connection;
    // The guard has looked at the origin.
    let (response, accepting) = ws::accept(&mut request, |_| true, limits(&app.config))
        .map_err(|error| no_handshake(&error))?;
    let accept = response.headers().get(SEC_WEBSOCKET_ACCEPT).cloned();
    let accept =
        accept.ok_or_else(|| Problem::new(Code::Internal, "the handshake has no answer"))?;
    let headers = request.headers();
    let caller = if headers.contains_key(AUTHORIZATION) || !app.access.needs_token() {
        Some(app.access.authorize(headers, Scope::Read, peer, known)?)
    } else {
        // Browsers cannot send that header: the first message has the token.
        None
    };
    let place = app.streams.admit("ws")?;
    tokio::spawn(session(call, caller, accepting, place));
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

async fn session(call: Call, caller: Option<Caller>, accepting: Accepting, place: Place) {
    let Ok((reader, writer)) = accepting.await else {
        return;
    };
    let heard = reader.heard();
    let (requests, waiting) = mpsc::channel(1);
    let app = call.app();
    let mut stop = app.streams.stop.subscribe();
    let mut reading = std::pin::pin!(read(reader, requests));
    let session = Session {
        client: Client::new(Arc::clone(app), call.strings),
        call: &call,
        caller,
        batch: Batch::default(),
        writer: &writer,
    };
    let mut writing = std::pin::pin!(session.write(waiting, heard));
    let (mut read_out, mut written) = (false, false);
    let end = tokio::select! {
        end = &mut reading => {
            read_out = true;
            end
        }
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
            match (out.await, read_out) {
                (false, _) => {}
                (true, true) => sleep(CLOSE_GRACE).await,
                (true, false) => drop(timeout(CLOSE_GRACE, reading).await),
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

/// What answers requests and sends what is followed.
struct Session<'a> {
    call: &'a Call,
    /// `None` until the token has come.
    caller: Option<Caller>,
    client: Client,
    batch: Batch,
    writer: &'a WsWriter,
}

impl Session<'_> {
    /// Runs until the connection is to be closed.
    async fn write(mut self, mut requests: mpsc::Receiver<Request>, heard: Heard) -> End {
        let app = self.call.app();
        let every = app.config.stream_ping;
        let now = Instant::now();
        let mut ping = interval_at(now + every, every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval_at(now + LOOK_EVERY, LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let token_due = now + app.config.header_timeout;
        let mut tokens = app.access.changes();
        let (mut frames, mut silent) = (0, 0);
        loop {
            tokio::select! {
                Some(request) = requests.recv() => {
                    if let Err(end) = self.handle(request).await {
                        return end;
                    }
                }
                told = self.client.wait(&mut self.batch) => match told {
                    Ok(()) => {}
                    Err(behind) => {
                        let why = match behind {
                            Behind::Slow => StreamEnd::Slow,
                            Behind::Missing => StreamEnd::Missing,
                        };
                        return End::Ours(1013, behind.reason(), Some(why));
                    }
                },
                _ = ping.tick() => {
                    silent = if heard.frames() == frames { silent + 1 } else { 0 };
                    frames = heard.frames();
                    if silent >= SILENT_PINGS {
                        return End::Ours(1008, "silent for too long", Some(StreamEnd::Silent));
                    }
                    if self.writer.ping(b"hean").await.is_err() {
                        return End::Unwritten;
                    }
                }
                () = sleep_until(token_due), if self.caller.is_none() => {
                    return End::Ours(1008, "no token in time", Some(StreamEnd::Token));
                }
                _ = look.tick() => {}
                Ok(()) = tokens.changed() => {}
            }
            if self
                .caller
                .as_ref()
                .is_some_and(|caller| !app.access.holds(caller))
            {
                return End::Ours(1008, "the token holds no longer", Some(StreamEnd::Token));
            }
            if let Err(end) = self.flush().await {
                return end;
            }
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let texts = self.batch.iter().map(|message| message.text);
        let sent = self.writer.texts(texts).await;
        self.call.app().streams.metrics.sent("ws", self.batch.len());
        self.batch.clear();
        sent.map_err(|_| End::Unwritten)
    }

    async fn handle(&mut self, request: Request) -> Result<(), End> {
        let app = self.call.app();
        let id = &request.id;
        let wish = match request.wish {
            Ok(wish) => wish,
            Err(problem) => {
                self.batch.reply(error(id, *problem));
                return Ok(());
            }
        };
        let list = |client: &Client, more: &[(String, What)]| {
            let more = more.iter().map(|(name, _)| name.as_str());
            result(id, |j| {
                j.array(|j| client.names().chain(more).for_each(|name| j.text(name)));
            })
        };
        match wish {
            Wish::Auth(token) => return self.log_in(id, &token).await,
            _ if self.caller.is_none() => {
                let problem = Problem::new(Code::TokenMissing, "this needs a token").hint(
                    "send {\"method\":\"AUTH\",\"params\":[\"hean_…\"]} first, or an Authorization header",
                );
                self.batch.reply(error(id, *problem));
            }
            Wish::List => self.batch.reply(list(&self.client, &[])),
            Wish::Ping => {
                let now = app.state.clock.now().millis();
                self.batch
                    .reply(result(id, |j| j.object(|j| j.key("timestamp").int(now))));
            }
            Wish::Unsubscribe(names) => {
                self.client.unfollow(&names);
                self.batch.reply(list(&self.client, &[]));
            }
            Wish::Subscribe(names) => match self.client.parse(&names) {
                Ok(new) => {
                    self.batch.reply(list(&self.client, &new));
                    for topic in new {
                        if let Err(problem) = self.client.follow(topic, None, &mut self.batch).await
                        {
                            tracing::error!(?problem, "a topic that was parsed cannot be followed");
                        }
                        if self.batch.is_large() {
                            self.flush().await?;
                        }
                    }
                }
                Err(problem) => self.batch.reply(error(id, *problem)),
            },
        }
        Ok(())
    }

    /// A wrong token is answered, and ends the connection: nobody tries many on one.
    async fn log_in(&mut self, id: &str, token: &str) -> Result<(), End> {
        let Connection { app, peer, .. } = &*self.call.connection;
        match app.access.authorize_token(token, Scope::Read, peer) {
            Ok(caller) => {
                let scope = caller.token().map(|token| token.scope.name());
                self.caller = Some(caller);
                self.batch.reply(result(id, |j| {
                    j.object(|j| j.key("scope").text_or_null(scope));
                }));
                Ok(())
            }
            Err(problem) => {
                self.batch.reply(error(id, *problem));
                self.flush().await?;
                Err(End::Ours(
                    1008,
                    "the token was refused",
                    Some(StreamEnd::Token),
                ))
            }
        }
    }
}
