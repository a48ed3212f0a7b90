//! The server: sockets, limits, timeouts, shutdown. What is answered is decided in `routes.rs`.
//!
//! hyper's HTTP/1 connection on one task per socket. Connections are bounded in number (all, and of
//! each address), in size (head and body) and in time (handshake, idle, headers, body, write). Those
//! over the number are told so and closed, never queued.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue, STRICT_TRANSPORT_SECURITY, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::access::{Access, Caller, refuse_token_in_url};
use super::audit::{self, Entry, Ticket};
use super::find::{Found, find};
use super::guard::is_local;
use super::negotiate::{takes_gzip, takes_json};
use super::peers::{Peer, Peers};
use super::problem::{Code, Problem};
use super::reply::{Payload, Reply};
use super::routes::{HALT, Handler};
use super::socket::{Deadlines, Phase, Socket};
use super::state::{App, AppState, HttpConfig};
use super::stream::publish;
use super::tls::Tls;
use crate::kernel::types::Time;
use crate::metrics::HttpMetrics;

/// hyper's smallest buffer.
const HEAD_BYTES_MIN: usize = 8_192;
/// Connections at a time that are told why they are turned away; others are just closed.
const FAREWELLS_MAX: usize = 64;
/// How long one of them may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// What they are told. Too little for a client to be slow about.
static TURNED_AWAY: LazyLock<String> = LazyLock::new(|| {
    let body = r#"{"type":"urn:hean:problem:busy","title":"Too many connections","status":503,"code":"busy","detail":"there are as many connections as the settings allow","hint":"close some, or raise http.connections_max"}"#;
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
         content-length: {}\r\nretry-after: 1\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
});

/// A bound server that does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    app: Arc<App>,
    metrics: Arc<HttpMetrics>,
    tls: Option<Arc<Tls>>,
}

/// Binds the server. Install the metrics first: it takes its counters here.
pub async fn bind(
    config: HttpConfig,
    access: Arc<Access>,
    state: Arc<AppState>,
) -> io::Result<Server> {
    let listener = TcpListener::bind(config.listen).await?;
    let local_addr = listener.local_addr()?;
    let tls = access.tls();
    Ok(Server {
        listener,
        local_addr,
        app: Arc::new(App::new(state, access, config, local_addr)),
        metrics: Arc::new(HttpMetrics::new()),
        tls,
    })
}

impl Server {
    /// Where it listens, with the port that it got.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Serves until `shutdown` completes, then lets the requests in flight finish, for
    /// [`HttpConfig::drain_timeout`] at most.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let (stop, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut publisher = tokio::spawn(publish(Arc::clone(&self.app)));
        let mut farewells = JoinSet::new();
        let door = Door::new(&self.app.config);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                ended = &mut publisher => {
                    // Nothing would be streamed any more: whoever runs us is to know.
                    log_panic(ended);
                    break;
                }
                // Ended connections are taken out at once: the set stays as small as the limit.
                Some(ended) = connections.join_next() => log_panic(ended),
                Some(ended) = farewells.join_next() => log_panic(ended),
                (socket, addr) = accept(&self.listener) => {
                    let now = self.app.state.clock.now();
                    match door.enter(addr, now) {
                        Ok((permit, peer)) => {
                            connections.spawn(connection(
                                socket,
                                permit,
                                peer,
                                self.tls.clone(),
                                Arc::clone(&self.app),
                                Arc::clone(&self.metrics),
                                stopped.clone(),
                            ));
                        }
                        Err(why) => {
                            HttpMetrics::turned_away(why);
                            if self.tls.is_none() && farewells.len() < FAREWELLS_MAX {
                                farewells.spawn(turn_away(socket));
                            }
                        }
                    }
                }
            }
        }
        drop(self.listener);
        stop.send_replace(true);
        self.app.streams.close();
        let drained = async {
            while connections.join_next().await.is_some() {}
            self.app.streams.ended().await;
        };
        if tokio::time::timeout(self.app.config.drain_timeout, drained)
            .await
            .is_err()
        {
            tracing::warn!(
                connections = connections.len(),
                "connections did not end in time and are cut"
            );
        }
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed; the others go on");
    }
}

/// The next connection.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    /// After an error of `accept`, which is mostly a lack of file descriptors.
    const PAUSE: Duration = Duration::from_millis(50);
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Counts the connections, all and of each address.
#[derive(Debug)]
struct Door {
    permits: Arc<Semaphore>,
    peers: Peers,
    peer_max: u32,
    /// Whether callers on this machine are callers like others: they come through a proxy.
    proxied: bool,
}

impl Door {
    fn new(config: &HttpConfig) -> Self {
        let max = usize::try_from(config.connections_max).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(max)),
            // As many again that have left but whose failures or rate are remembered.
            peers: Peers::new(max.saturating_mul(2).saturating_add(1_024)),
            peer_max: config.peer_connections_max,
            proxied: config.plaintext_behind_proxy,
        }
    }

    /// A place for one more connection, or what there is too much of.
    fn enter(
        &self,
        addr: SocketAddr,
        now: Time,
    ) -> Result<(OwnedSemaphorePermit, Peer), &'static str> {
        let permit = Arc::clone(&self.permits)
            .try_acquire_owned()
            .map_err(|_| "connections")?;
        let here = addr.ip().to_canonical().is_loopback();
        let max = if here { u32::MAX } else { self.peer_max };
        let peer = self.peers.connect(addr, max, here && !self.proxied, now);
        Ok((permit, peer.ok_or("peer_connections")?))
    }
}

/// Says why, and waits a moment for the client to have read it.
async fn turn_away(mut socket: TcpStream) {
    let talk = async {
        socket.write_all(TURNED_AWAY.as_bytes()).await?;
        socket.shutdown().await?;
        // An answer to unread bytes would be a reset, which takes back what has been said.
        let mut nothing = [0; 512];
        while socket.read(&mut nothing).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    // A client that is gone or slow has missed it.
    drop(tokio::time::timeout(FAREWELL, talk).await);
}

async fn connection(
    socket: TcpStream,
    permit: OwnedSemaphorePermit,
    peer: Peer,
    tls: Option<Arc<Tls>>,
    app: Arc<App>,
    metrics: Arc<HttpMetrics>,
    stopped: watch::Receiver<bool>,
) {
    let _permit = permit;
    let _open = metrics.connection();
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let peer = Arc::new(peer);
    let Some(tls) = tls else {
        return serve_on(socket, peer, app, metrics, stopped).await;
    };
    let handshake = tls.acceptor().accept(socket);
    match tokio::time::timeout(app.config.header_timeout, handshake).await {
        Ok(Ok(socket)) => serve_on(socket, peer, app, metrics, stopped).await,
        Ok(Err(error)) => tracing::debug!(peer = %peer.addr, %error, "no TLS"),
        Err(_) => tracing::debug!(peer = %peer.addr, "the TLS handshake took too long"),
    }
}

/// Requests and answers on an open socket, encrypted or not.
async fn serve_on<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    socket: S,
    peer: Arc<Peer>,
    app: Arc<App>,
    metrics: Arc<HttpMetrics>,
    mut stopped: watch::Receiver<bool>,
) {
    let config = &app.config;
    let phase = Arc::new(Phase::default());
    let deadlines = Deadlines {
        headers: config.header_timeout,
        write: config.write_timeout,
    };
    let socket = Socket::new(socket, Arc::clone(&phase), deadlines);
    let service = service_fn(|request| {
        let (app, peer) = (Arc::clone(&app), Arc::clone(&peer));
        let (metrics, phase) = (Arc::clone(&metrics), Arc::clone(&phase));
        phase.request_started();
        async move {
            let upgrade = request.headers().contains_key(UPGRADE);
            let mut response = answer(app, peer, &metrics, request).await;
            // What goes on writes when it has something, not when the next request is awaited.
            let goes_on = !response.body().is_whole();
            if upgrade && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                // hyper drops the socket of a refused upgrade without shutting it down: the answer must not
                // wait to be gathered with others, so it is the last one.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            } else if !upgrade && !goes_on {
                phase.request_answered();
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.idle_timeout)
        .max_buf_size(config.head_bytes_max.max(HEAD_BYTES_MIN))
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop_requested(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // The client's fault, or its end: not worth more than a debugging line.
        tracing::debug!(%error, "a connection ended with an error");
    }
}

async fn stop_requested(stopped: &mut watch::Receiver<bool>) {
    // The guard of the value must not live on: an error means that the server is gone.
    drop(stopped.wait_for(|stopped| *stopped).await);
}

/// One request to one response, whatever happens.
async fn answer(
    app: Arc<App>,
    peer: Arc<Peer>,
    metrics: &HttpMetrics,
    request: Request<Incoming>,
) -> Response<Payload> {
    let clock = app.state.clock.clone();
    let started = clock.now();
    let found = find(request.method(), request.uri().path());
    let route = found.as_ref().ok().map(|found| found.index);
    let gzip = takes_gzip(request.headers());
    // On localhost it would speak for every other server there.
    let secure = app.hsts && !is_local(&request);
    // Of its two lengths, if it has two, a proxy in front may have believed the other one: then what
    // follows is no request.
    let chunked = !request.body().is_end_stream() && request.body().size_hint().exact().is_none();
    let reply = match admit(&app, &peer, found, &request, started) {
        Ok((found, caller)) => {
            let route = found.route;
            let reply = dispatch(app, found, caller, peer, request, started).await;
            reply.inspect_err(|problem| {
                debug_assert!(route.announces(problem), "{route:?} says {problem:?}");
            })
        }
        Err(problem) => Err(problem),
    };
    let reply = reply.unwrap_or_else(|problem| problem.into_reply());
    metrics.request(route, reply.status, clock.now().since(started));
    let mut response = reply.into_response(gzip);
    if chunked {
        let value = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, value);
    }
    if secure {
        let value = HeaderValue::from_static("max-age=31536000");
        response
            .headers_mut()
            .insert(STRICT_TRANSPORT_SECURITY, value);
    }
    response
}

/// Whether a request may go on: meant for this server, to a route that there is, by somebody who
/// may, and not too often.
fn admit<B>(
    app: &App,
    peer: &Peer,
    found: Result<Found, Box<Problem>>,
    request: &Request<B>,
    now: Time,
) -> Result<(Found, Caller), Box<Problem>> {
    app.guard.check(request)?;
    refuse_token_in_url(request.uri().query())?;
    let found = match found {
        Ok(found) => found,
        Err(problem) => {
            app.count_request(&Caller::ANYBODY, peer, now)?;
            return Err(problem);
        }
    };
    let route = found.route;
    let caller = app.access.identify(request.headers(), route.scope, peer)?;
    // A program that has gone wild must not keep its owner from the kill switch.
    if route.path != HALT {
        app.count_request(&caller, peer, now)?;
    }
    Ok((found, caller))
}

async fn dispatch(
    app: Arc<App>,
    found: Found,
    caller: Caller,
    peer: Arc<Peer>,
    request: Request<Incoming>,
    now: Time,
) -> Result<Reply, Box<Problem>> {
    let route = found.route;
    if !route.changes() {
        return handle(app, found, caller, peer, request, None).await;
    }
    let entry = Entry {
        time: now,
        caller: caller.clone(),
        peer: peer.addr,
        method: route.method.to_string(),
        route: route.path,
        target: audit::target(request.uri()),
        body_sha256: None,
        client_order_id: None,
        order_id: None,
        status: None,
        code: None,
    };
    let mut ticket = app.access.audit().begin(entry, route.reduces())?;
    let reply = handle(app, found, caller, peer, request, Some(&mut ticket)).await;
    let reply = reply.unwrap_or_else(|problem| problem.into_reply());
    ticket.answered(&reply);
    Ok(reply)
}

/// Has the handler answer; what changes something has a `ticket` for the audit log.
async fn handle(
    app: Arc<App>,
    found: Found,
    caller: Caller,
    peer: Arc<Peer>,
    request: Request<Incoming>,
    ticket: Option<&mut Ticket>,
) -> Result<Reply, Box<Problem>> {
    let route = found.route;
    caller.require(route.scope)?;
    let media = found.media(request.headers())?;
    let call = found.call(app, caller, peer, request.uri().query(), media)?;
    match route.handler {
        Handler::Show(handler) => Ok(handler(&call)),
        Handler::Read(handler) => handler(&call),
        Handler::Command(handler) => handler(call).await,
        Handler::WithBody(handler) => {
            let (head, body) = request.into_parts();
            let body = read_body(&call.app.config, body).await?;
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
