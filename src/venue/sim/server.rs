//! The listener: HTTP/1.1 with limits on time and number, REST answers, WebSocket upgrades.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming as Body};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::engine::Engine;
use super::hub::{Client, Hub, Outgoing};
use super::rest::{self, Answer};
use super::shared::{Shared, SimStatus};
use super::socket::{self, Fault, Incoming, Reader};
use super::{SimConfig, SimError, SimHandle, Source, live, playback, protocol, synthetic};
use crate::kernel::types::{SECOND, VenueId};
use crate::recording;
use crate::runtime::clock::Clock;

/// Connections at a time; more wait in the listener's backlog.
const CONNECTIONS_MAX: usize = 512;
/// How long a request's head may take, and a kept connection may be silent.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Commands per second on a stream connection, as Binance limits them.
const COMMANDS_PER_SECOND: u32 = 5;

/// Starts the simulated venue. It ends when `shutdown` becomes true (or its sender is gone).
pub async fn start(
    config: SimConfig,
    clock: Clock,
    shutdown: watch::Receiver<bool>,
) -> Result<SimHandle, SimError> {
    let SimConfig {
        listen,
        source,
        faults,
    } = config;
    let bind = |source| SimError::Listen {
        address: listen,
        source,
    };
    let (shared, driver): (Arc<Shared>, _) = match source {
        Source::Recording { files, speed } => {
            let (files, scan) = off_worker(move || {
                let files = recording::files(&files, VenueId::Binance)?;
                let scan = recording::scan(&files, VenueId::Binance)?;
                Ok::<_, recording::RecordingError>((files, scan))
            })
            .await?;
            if scan.malformed > 0 {
                tracing::warn!(
                    "{} lines of the recording are left out; the first: {}",
                    scan.malformed,
                    scan.first_fault.as_deref().unwrap_or("?")
                );
            }
            if scan.symbols.is_empty() {
                return Err(SimError::Empty {
                    first_fault: scan.first_fault,
                });
            }
            let hub = Hub::new(playback::needs(&scan), playback::PATIENCE);
            let status = SimStatus::new("recording", Some(scan.frames), scan.malformed);
            let shared = Arc::new(Shared::new(playback::symbols(&scan), hub, status, clock));
            let streams = playback::recorded_streams(&scan);
            let engine = Engine::new(Arc::clone(&shared), &streams, faults);
            let driver = playback::run(Arc::clone(&shared), engine, files, speed);
            (shared, Driver::Playback(driver))
        }
        Source::Synthetic { seed, symbols } => {
            let history = clock.clone();
            let (market, symbols) = off_worker(move || {
                let mut market = synthetic::Market::new(seed, &symbols, history.now())?;
                let symbols = live::symbols(&mut market, &history);
                Ok::<_, SimError>((market, symbols))
            })
            .await?;
            let status = SimStatus::new("synthetic", None, 0);
            let hub = Hub::new(Vec::new(), live::PATIENCE);
            let shared = Arc::new(Shared::new(symbols, hub, status, clock));
            let engine = Engine::new(Arc::clone(&shared), &BTreeSet::new(), faults);
            let driver = live::run(Arc::clone(&shared), engine, market);
            (shared, Driver::Live(driver))
        }
    };
    let listener = TcpListener::bind(listen).await.map_err(bind)?;
    let local_addr = listener.local_addr().map_err(bind)?;
    let status = Arc::clone(&shared.status);
    tracing::info!("the simulated venue listens on {local_addr}");
    let task = tokio::spawn(async move {
        match driver {
            Driver::Playback(driver) => serve(listener, shared, driver, shutdown).await,
            Driver::Live(driver) => serve(listener, shared, driver, shutdown).await,
        }
    });
    Ok(SimHandle {
        local_addr,
        status,
        task,
    })
}

/// Runs what takes long and waits for nothing away from the I/O workers.
async fn off_worker<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // It is never aborted, so it has panicked: a bug, and the caller's as well.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

enum Driver<P, L> {
    Playback(P),
    Live(L),
}

async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    driver: impl Future<Output = ()> + Send + 'static,
    mut shutdown: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Dropping the set ends the driver and every connection.
    let mut tasks = JoinSet::new();
    tasks.spawn(driver);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            Some(ended) = tasks.join_next() => {
                if let Err(error) = ended {
                    tracing::error!("a task of the simulated venue failed: {error}");
                }
                continue;
            }
            // An error means that the sender is gone: nobody can ask for the end any more.
            _ = shutdown.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, permit)) => {
                tasks.spawn(connection(stream, permit, Arc::clone(&shared)));
            }
            Err(error) => {
                // Out of file descriptors, most likely: give it a moment.
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    tracing::info!("the simulated venue ends");
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

/// A stream connection that the HTTP side hands over after the handshake.
struct Upgrade {
    upgraded: fastwebsockets::upgrade::UpgradeFut,
    combined: bool,
    names: Vec<String>,
}

/// Serves one connection: requests, and after an upgrade the streams, on the same task.
async fn connection(stream: TcpStream, _permit: OwnedSemaphorePermit, shared: Arc<Shared>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("no TCP_NODELAY: {error}");
    }
    let upgrade = parking_lot::Mutex::new(None);
    let service = service_fn(|request| {
        let response = respond(request, &shared, &upgrade);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!("a client's connection ended: {error}");
    }
    if let Some(upgrade) = upgrade.into_inner() {
        streams(upgrade, &shared).await;
    }
}

fn respond(
    mut request: Request<Body>,
    shared: &Shared,
    upgrade: &parking_lot::Mutex<Option<Upgrade>>,
) -> Response<Full<Bytes>> {
    if request.method() != Method::GET {
        return json(Answer::method(request.method().as_str()));
    }
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let Some((combined, names)) = stream_names(&path, &query) else {
        return json(rest::answer(shared, &path, &query));
    };
    if !fastwebsockets::upgrade::is_upgrade_request(&request) {
        return json(Answer::handshake("this path is for WebSocket connections"));
    }
    match fastwebsockets::upgrade::upgrade(&mut request) {
        Ok((response, upgraded)) => {
            *upgrade.lock() = Some(Upgrade {
                upgraded,
                combined,
                names,
            });
            response.map(|_| Full::default())
        }
        Err(error) => json(Answer::handshake(&error.to_string())),
    }
}

/// Whether a path is one of streams: with envelope or without, and the names in it.
fn stream_names(path: &str, query: &str) -> Option<(bool, Vec<String>)> {
    let names = |text: &str| {
        text.split('/')
            .filter_map(rest::percent_decode)
            .filter(|name| protocol::name_allowed(name))
            .collect()
    };
    if path == "/stream" {
        let streams = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("streams="));
        // A separator may be encoded as well as the names.
        let streams = streams.map(|text| text.replace("%2F", "/").replace("%2f", "/"));
        return Some((true, names(streams.as_deref().unwrap_or_default())));
    }
    let rest = path.strip_prefix("/ws")?;
    match rest.strip_prefix('/') {
        Some(rest) => Some((false, names(rest))),
        None if rest.is_empty() => Some((false, Vec::new())),
        None => None,
    }
}

fn json(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let fixed = hyper::header::HeaderValue::from_static;
    headers.insert("content-type", fixed("application/json;charset=UTF-8"));
    headers.insert(
        "cache-control",
        fixed("no-cache, no-store, must-revalidate"),
    );
    if let Some(weight) = answer.weight {
        headers.insert("x-mbx-used-weight", weight.into());
        headers.insert("x-mbx-used-weight-1m", weight.into());
    }
    if let Some(seconds) = answer.retry_after {
        headers.insert("retry-after", seconds.into());
    }
    response
}

async fn streams(upgrade: Upgrade, shared: &Arc<Shared>) {
    let upgraded = match tokio::time::timeout(HEADER_TIMEOUT, upgrade.upgraded).await {
        Ok(Ok(upgraded)) => upgraded,
        Ok(Err(error)) => {
            tracing::debug!("a handshake failed: {error}");
            return;
        }
        Err(_) => return,
    };
    let (client, queue) = shared.hub.join(upgrade.combined);
    let (reader, writer) = socket::split(upgraded, queue);
    if let Err(error) = shared.hub.subscribe(&client, &upgrade.names) {
        tracing::debug!("a client's connection is refused: {error}");
    } else {
        let read = commands(reader, Arc::clone(&client), Arc::clone(shared));
        socket::run(Arc::clone(&client), read, writer).await;
    }
    shared.hub.leave(&client);
}

/// Reads a client's commands until it says good-bye; the close payload to answer with.
async fn commands(
    mut reader: Reader,
    client: Arc<Client>,
    shared: Arc<Shared>,
) -> Result<Bytes, Fault> {
    let mut window = (shared.clock.now(), 0_u32);
    loop {
        let incoming = reader.next().await?;
        if !matches!(incoming, Incoming::Close(_)) {
            let now = shared.clock.now();
            if now.since(window.0) >= SECOND {
                window = (now, 0);
            }
            window.1 += 1;
            if window.1 > COMMANDS_PER_SECOND {
                tracing::debug!("a client sent more than {COMMANDS_PER_SECOND} messages a second");
                return Ok(close_payload(1008, "Too many requests"));
            }
        }
        match incoming {
            Incoming::Ping(payload) => {
                client.send(Outgoing::Pong(payload)).await;
            }
            Incoming::Pong => client.pings_unanswered.store(0, Ordering::Relaxed),
            Incoming::Close(payload) => return Ok(payload),
            Incoming::Text(text) => {
                let answer = protocol::handle(&text, &shared.hub, &client);
                client.send(Outgoing::Text(answer.text.into())).await;
                // Cannot be too many: that was looked at, and only this task subscribes.
                if let Err(error) = shared.hub.subscribe(&client, &answer.subscribe) {
                    tracing::debug!("a client's subscription is refused: {error}");
                }
            }
        }
    }
}

fn close_payload(code: u16, words: &str) -> Bytes {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(words.as_bytes());
    payload.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_paths() {
        let names = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        for (path, query, want) in [
            ("/ws", "", Some((false, names(&[])))),
            ("/ws/", "", Some((false, names(&[])))),
            (
                "/ws/a@trade/b@depth",
                "",
                Some((false, names(&["a@trade", "b@depth"]))),
            ),
            ("/stream", "", Some((true, names(&[])))),
            (
                "/stream",
                "x=1&streams=a@trade/b%40depth",
                Some((true, names(&["a@trade", "b@depth"]))),
            ),
            ("/stream", "streams=a%2Fb", Some((true, names(&["a", "b"])))),
            ("/wsx", "", None),
            ("/api/v3/ping", "", None),
        ] {
            assert_eq!(stream_names(path, query), want, "{path}?{query}");
        }
    }
}
