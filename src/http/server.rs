//! The server: sockets, limits, timeouts, shutdown. What is answered is decided in `routes.rs`.
//!
//! hyper's HTTP/1 connection on one task per socket. A connection is bounded in number (a
//! semaphore), in size (head and body) and in time (idle, headers, body, write).

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::problem::{Code, Problem};
use super::reply::{Payload, Reply};
use super::routes::{Found, Handler, find};
use super::socket::{Deadlines, Phase, Socket};
use super::state::{App, AppState, HttpConfig};
use crate::metrics::HttpMetrics;

/// hyper's smallest buffer.
const HEAD_BYTES_MIN: usize = 8_192;

/// A bound server that does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    app: Arc<App>,
    metrics: Arc<HttpMetrics>,
}

/// Binds the server. Install the metrics first: it takes its counters here.
pub async fn bind(config: HttpConfig, state: Arc<AppState>) -> io::Result<Server> {
    let listener = TcpListener::bind(config.listen).await?;
    let local_addr = listener.local_addr()?;
    Ok(Server {
        listener,
        local_addr,
        app: Arc::new(App::new(state, config, local_addr)),
        metrics: Arc::new(HttpMetrics::new()),
    })
}

impl Server {
    /// Where it listens, with the port that it got.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown` completes, then lets the requests in flight finish, for
    /// [`HttpConfig::drain_timeout`] at most.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let (stop, stopped) = watch::channel(false);
        let permits = Arc::new(Semaphore::new(
            usize::try_from(self.app.config.connections_max).unwrap_or(Semaphore::MAX_PERMITS),
        ));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                // Ended connections are taken out at once: the set stays as small as the limit.
                Some(ended) = connections.join_next() => log_panic(ended),
                (socket, permit) = accept(&self.listener, &permits) => {
                    connections.spawn(connection(
                        socket,
                        permit,
                        Arc::clone(&self.app),
                        Arc::clone(&self.metrics),
                        stopped.clone(),
                    ));
                }
            }
        }
        drop(self.listener);
        stop.send_replace(true);
        let drained = async { while connections.join_next().await.is_some() {} };
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

/// The next connection, once one more is allowed. More of them wait in the kernel's backlog.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    /// After an error of `accept`, which is mostly a lack of file descriptors.
    const PAUSE: Duration = Duration::from_millis(50);
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((socket, _)) => return (socket, permit),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(
    socket: TcpStream,
    permit: OwnedSemaphorePermit,
    app: Arc<App>,
    metrics: Arc<HttpMetrics>,
    stopped: watch::Receiver<bool>,
) {
    let _permit = permit;
    let _open = metrics.connection();
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    serve_on(socket, app, metrics, stopped).await;
}

/// Requests and answers on an open socket, encrypted or not.
async fn serve_on<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    socket: S,
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
        let (app, metrics, phase) = (Arc::clone(&app), Arc::clone(&metrics), Arc::clone(&phase));
        async move {
            phase.request_started();
            let response = answer(app, &metrics, request).await;
            phase.request_answered();
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
    metrics: &HttpMetrics,
    request: Request<Incoming>,
) -> Response<Payload> {
    let clock = app.state.clock.clone();
    let started = clock.now();
    let found = find(request.method(), request.uri().path());
    let route = found.as_ref().ok().map(|found| found.index);
    let reply = match app.guard.check(&request) {
        Ok(()) => match found {
            Ok(found) => dispatch(app, found, request).await,
            Err(problem) => Err(problem),
        },
        Err(problem) => Err(problem),
    };
    let reply = reply.unwrap_or_else(|problem| problem.into_reply());
    metrics.request(route, reply.status, clock.now().since(started));
    reply.into_response()
}

async fn dispatch(
    app: Arc<App>,
    found: Found,
    request: Request<Incoming>,
) -> Result<Reply, Box<Problem>> {
    let call = found.call(app, request.uri().query())?;
    match found.route.handler {
        Handler::Show(handler) => Ok(handler(&call)),
        Handler::Read(handler) => handler(&call),
        Handler::Command(handler) => handler(call).await,
        Handler::WithBody(handler) => {
            let body = read_body(&call.app.config, request.into_body()).await?;
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
