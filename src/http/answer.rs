//! One request to one response, whatever happens: who may ask what, who answers it, and what every answer
//! carries.
//!
//! What is answered from published views is answered at once, inside the call: most requests are of that
//! kind, and a future for each would cost more than their answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, HeaderMap, HeaderValue, ORIGIN, STRICT_TRANSPORT_SECURITY,
    UPGRADE,
};
use hyper::{Request, Response, StatusCode};

use super::access::{Caller, refuse_token_in_url};
use super::audit::{self, Entry, Ticket};
use super::connection::Connection;
use super::find::{Found, find};
use super::guard::is_local;
use super::negotiate::{takes_gzip, takes_json};
use super::problem::{Code, Problem};
use super::reply::{Payload, Reply};
use super::routes::{Call, HALT, Handler};
use super::socket::Phase;
use super::state::HttpConfig;
use crate::kernel::types::Time;
use crate::metrics::HttpMetrics;

/// Which of the headers that most requests do not have are there, seen in one pass.
#[derive(Debug, Clone, Copy, Default)]
struct Present {
    upgrade: bool,
    accept: bool,
    accept_encoding: bool,
    origin: bool,
}

impl Present {
    fn of(headers: &HeaderMap) -> Self {
        let mut present = Self::default();
        for name in headers.keys() {
            present.upgrade |= name == UPGRADE;
            present.accept |= name == ACCEPT;
            present.accept_encoding |= name == ACCEPT_ENCODING;
            present.origin |= name == ORIGIN;
        }
        present
    }
}

/// Answers the requests of one connection.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) connection: Arc<Connection>,
    pub(super) metrics: Arc<HttpMetrics>,
    pub(super) phase: Arc<Phase>,
}

/// What of a request its response depends on.
#[derive(Debug, Clone, Copy)]
struct Asked {
    started: Time,
    route: Option<usize>,
    gzip: bool,
    secure: bool,
    chunked: bool,
    upgrade: bool,
}

impl Service {
    /// Begins to answer a request.
    pub(super) fn respond(self: &Arc<Self>, request: Request<Incoming>) -> Responding {
        self.phase.request_started();
        let app = &self.connection.app;
        let headers = request.headers();
        let present = Present::of(headers);
        let found = find(request.method(), request.uri().path());
        let body = request.body();
        let asked = Asked {
            started: app.state.clock.now(),
            route: found.as_ref().ok().map(|found| found.index),
            gzip: present.accept_encoding && takes_gzip(headers),
            // On localhost it would speak for every other server there.
            secure: app.hsts && !is_local(&request),
            // Of its two lengths, if it has two, a proxy in front may have believed the other one: then
            // what follows is no request.
            chunked: !body.is_end_stream() && body.size_hint().exact().is_none(),
            upgrade: present.upgrade,
        };
        let answer = match admit(&self.connection, found, &request, present, asked.started) {
            Ok((found, caller)) if found.route.at_once() => {
                self.at_once(found, caller, &request, present)
            }
            Ok((found, caller)) => {
                let later = Arc::clone(self).later(found, caller, request, asked);
                return Responding::Later(Box::pin(later));
            }
            Err(problem) => Err(problem),
        };
        let response = self.response(answer, asked);
        Responding::Now(Some((response, asked.upgrade)), Arc::clone(&self.phase))
    }

    fn at_once(
        &self,
        found: Found,
        caller: Caller,
        request: &Request<Incoming>,
        present: Present,
    ) -> Result<Reply, Box<Problem>> {
        let (route, handler) = (found.route, found.route.handler);
        let connection = Arc::clone(&self.connection);
        let answer =
            call(connection, found, caller, request, present).and_then(|call| match handler {
                Handler::Show(handler) => Ok(handler(&call)),
                Handler::Read(handler) => handler(&call),
                Handler::Command(_) | Handler::WithBody(_) | Handler::Stream(_) => {
                    unreachable!("{route:?} takes its time")
                }
            });
        answer.inspect_err(|problem| {
            debug_assert!(route.announces(problem), "{route:?} says {problem:?}");
        })
    }

    async fn later(
        self: Arc<Self>,
        found: Found,
        caller: Caller,
        request: Request<Incoming>,
        asked: Asked,
    ) -> Response<Payload> {
        let route = found.route;
        let connection = Arc::clone(&self.connection);
        let answer = dispatch(connection, found, caller, request, asked.started).await;
        let answer = answer.inspect_err(|problem| {
            debug_assert!(route.announces(problem), "{route:?} says {problem:?}");
        });
        let response = self.response(answer, asked);
        answered(&response, asked.upgrade, &self.phase);
        response
    }

    /// An answer as HTTP, and counted.
    fn response(&self, answer: Result<Reply, Box<Problem>>, asked: Asked) -> Response<Payload> {
        let reply = answer.unwrap_or_else(|problem| problem.into_reply());
        let took = self.connection.app.state.clock.now().since(asked.started);
        self.metrics.request(asked.route, reply.status, took);
        let mut response = reply.into_response(asked.gzip);
        let refused = asked.upgrade && response.status() != StatusCode::SWITCHING_PROTOCOLS;
        // hyper drops the socket of a refused upgrade without shutting it down: the answer must not wait to be
        // gathered with others, so it is the last one.
        if asked.chunked || refused {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        if asked.secure {
            let value = HeaderValue::from_static("max-age=31536000");
            response
                .headers_mut()
                .insert(STRICT_TRANSPORT_SECURITY, value);
        }
        response
    }
}

/// Notes that a response is complete. What goes on writes when it has something, not when the next request is
/// awaited.
fn answered(response: &Response<Payload>, upgrade: bool, phase: &Phase) {
    if !upgrade && response.body().is_whole() {
        phase.request_answered();
    }
}

/// A response that is there, or on its way.
pub(super) enum Responding {
    /// Until it is taken; and whether an upgrade was asked for.
    Now(Option<(Response<Payload>, bool)>, Arc<Phase>),
    Later(Pin<Box<dyn Future<Output = Response<Payload>> + Send>>),
}

impl Future for Responding {
    type Output = Result<Response<Payload>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Now(response, phase) => {
                let (response, upgrade) = response.take().expect("polled after its end");
                // Not before: hyper looks for the connection's end in between.
                answered(&response, upgrade, phase);
                Poll::Ready(Ok(response))
            }
            Self::Later(later) => later.as_mut().poll(cx).map(Ok),
        }
    }
}

/// Whether a request may go on: meant for this server, to a route that there is, by somebody who
/// may, and not too often.
fn admit(
    connection: &Connection,
    found: Result<Found, Box<Problem>>,
    request: &Request<Incoming>,
    present: Present,
    now: Time,
) -> Result<(Found, Caller), Box<Problem>> {
    let Connection { app, peer, known } = connection;
    let headers = request.headers();
    app.guard.check(request, present.origin)?;
    refuse_token_in_url(request.uri().query())?;
    let found = match found {
        Ok(found) => found,
        Err(problem) => {
            app.count_request(&Caller::ANYBODY, peer, now)?;
            return Err(problem);
        }
    };
    let route = found.route;
    let caller = app.access.identify(headers, route.scope, peer, known)?;
    // A program that has gone wild must not keep its owner from the kill switch.
    if route.path != HALT {
        app.count_request(&caller, peer, now)?;
    }
    Ok((found, caller))
}

/// The call of a caller who may make it.
fn call(
    connection: Arc<Connection>,
    found: Found,
    caller: Caller,
    request: &Request<Incoming>,
    present: Present,
) -> Result<Call, Box<Problem>> {
    caller.require(found.route.scope)?;
    let headers = present.accept.then(|| request.headers());
    let media = found.media(headers)?;
    found.call(connection, caller, request.uri().query(), media)
}

async fn dispatch(
    connection: Arc<Connection>,
    found: Found,
    caller: Caller,
    request: Request<Incoming>,
    now: Time,
) -> Result<Reply, Box<Problem>> {
    let route = found.route;
    if !route.changes() {
        return handle(connection, found, caller, request, None).await;
    }
    let entry = Entry {
        time: now,
        caller: caller.clone(),
        peer: connection.peer.addr,
        method: route.method.to_string(),
        route: route.path,
        target: audit::target(request.uri()),
        body_sha256: None,
        client_order_id: None,
        order_id: None,
        status: None,
        code: None,
    };
    let access = Arc::clone(&connection.app.access);
    let mut ticket = access.audit().begin(entry, route.reduces())?;
    let reply = handle(connection, found, caller, request, Some(&mut ticket)).await;
    let reply = reply.unwrap_or_else(|problem| problem.into_reply());
    ticket.answered(&reply);
    Ok(reply)
}

/// Has the handler answer; what changes something has a `ticket` for the audit log.
async fn handle(
    connection: Arc<Connection>,
    found: Found,
    caller: Caller,
    request: Request<Incoming>,
    ticket: Option<&mut Ticket>,
) -> Result<Reply, Box<Problem>> {
    let handler = found.route.handler;
    let present = Present::of(request.headers());
    let call = call(connection, found, caller, &request, present)?;
    match handler {
        Handler::Show(handler) => Ok(handler(&call)),
        Handler::Read(handler) => handler(&call),
        Handler::Command(handler) => handler(call).await,
        Handler::WithBody(handler) => {
            let (head, body) = request.into_parts();
            let body = read_body(&call.app().config, body).await?;
            if let Some(ticket) = ticket {
                ticket.entry.body(&body);
            }
            if !body.is_empty() {
                takes_json(&head.headers)?;
            }
            handler(call, body).await
        }
        Handler::Stream(handler) => handler(call, request),
    }
}

async fn read_body(config: &HttpConfig, body: Incoming) -> Result<Bytes, Box<Problem>> {
    let max = config.body_bytes_max;
    let too_large = || {
        Problem::new(
            Code::BodyTooLarge,
            format!("the body is larger than {max} bytes"),
        )
        .close()
    };
    if body.size_hint().lower() > u64::try_from(max).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let whole = Limited::new(body, max).collect();
    match tokio::time::timeout(config.body_timeout, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            Err(Problem::new(Code::BodyIncomplete, format!("the body broke off: {error}")).close())
        }
        Err(_) => Err(Problem::new(
            Code::BodyTimeout,
            format!(
                "the body was not complete after {} ms",
                config.body_timeout.as_millis()
            ),
        )
        .close()),
    }
}
