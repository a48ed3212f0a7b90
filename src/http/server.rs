//! The server: sockets, limits, timeouts, shutdown. What is answered is decided in `answer.rs`.
//!
//! hyper's HTTP/1 connection on one task per socket. Connections are bounded in number (all, and of
//! each address), in size (head and body) and in time (handshake, idle, headers, body, write). Those
//! over the number are told so and closed, never queued.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::access::Access;
use super::answer::Service;
use super::connection::Connection;
use super::peers::{Peer, Peers};
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
    peer: Peer,
    app: Arc<App>,
    metrics: Arc<HttpMetrics>,
    mut stopped: watch::Receiver<bool>,
) {
    let config = &app.config;
    let phase = Arc::new(Phase::default());
    let deadlines = Deadlines {
        idle: config.idle_timeout,
        headers: config.header_timeout,
        write: config.write_timeout,
    };
    let socket = Socket::new(socket, Arc::clone(&phase), deadlines);
    let head_bytes_max = config.head_bytes_max.max(HEAD_BYTES_MIN);
    let service = Arc::new(Service {
        connection: Arc::new(Connection::new(app, peer)),
        metrics,
        phase,
    });
    let connection = http1::Builder::new()
        .timer(NoTimer(tokio::time::Instant::now().into_std()))
        .header_read_timeout(deadlines.idle)
        .max_buf_size(head_bytes_max)
        .serve_connection(
            TokioIo::new(socket),
            service_fn(|request| service.respond(request)),
        )
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

/// Without a deadline for headers hyper would not read again after an answer, and with one it would make a timer for
/// every request. The deadlines that count are the socket's; this one never comes, and costs nothing.
#[derive(Debug)]
struct NoTimer(Instant);

impl Timer for NoTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Never)
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Never)
    }

    fn now(&self) -> Instant {
        self.0
    }
}

struct Never;

impl Sleep for Never {}

impl Future for Never {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

async fn stop_requested(stopped: &mut watch::Receiver<bool>) {
    // The guard of the value must not live on: an error means that the server is gone.
    drop(stopped.wait_for(|stopped| *stopped).await);
}
