//! The listener: HTTP/1.1 with limits on time and number; requests and WebSocket upgrades go where
//! their paths say.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming as Body};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::answer::Answer;
use super::engine::greet;
use super::faults::{Event, FaultKind, Occasion};
use super::hub::{Client, Outgoing, Route, wait_out};
use super::market::{Market, MarketKind};
use super::paths::{Way, way};
use super::shared::{Driver, Shared};
use super::socket::{self, Fault, Incoming, Pings, Reader};
use super::{binance, bybit};
use crate::kernel::types::SECOND;

/// Connections at a time; more wait in the listener's backlog.
const CONNECTIONS_MAX: usize = 512;
/// How long a request's head may take, and a kept connection may be silent.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// What follows from a command.
#[derive(Debug)]
pub(super) struct Reply {
    /// The answer's text. It is queued before the subscriptions start, so that it comes before their
    /// first message.
    pub(super) text: String,
    /// Streams to subscribe to afterwards.
    pub(super) subscribe: Vec<String>,
}

/// Messages per second on a stream connection. Bybit documents no limit; this one is a guard.
const fn commands_per_second(kind: MarketKind) -> u32 {
    match kind {
        MarketKind::Spot => 5,
        MarketKind::Usdm => 10,
        MarketKind::BybitSpot | MarketKind::BybitLinear => 200,
    }
}

/// The pings of a server: Bybit's sends none.
const fn pings(kind: MarketKind) -> Option<Pings> {
    let seconds = match kind {
        MarketKind::Spot => 20,
        MarketKind::Usdm => 180,
        MarketKind::BybitSpot | MarketKind::BybitLinear => return None,
    };
    Some(Pings {
        every: Duration::from_secs(seconds),
        unanswered_max: 3,
    })
}

/// Runs what takes long and waits for nothing away from the I/O workers.
pub(super) async fn off_worker<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // It is never aborted, so it has panicked: a bug, and the caller's as well.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Serves until `shutdown`, and runs the drivers of markets as they begin.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut drivers: mpsc::Receiver<Driver>,
    mut shutdown: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Dropping the set ends the drivers and every connection.
    let mut tasks = JoinSet::new();
    tasks.spawn(faults(Arc::clone(&shared)));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            Some(driver) = drivers.recv() => {
                tasks.spawn(driver);
                continue;
            }
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

/// Carries out what is ordered for now, although no frame may come for long.
async fn faults(shared: Arc<Shared>) {
    loop {
        shared.desk.ordered.notified().await;
        for kind in MarketKind::ALL {
            let Some(market) = shared.opened(kind) else {
                continue;
            };
            let event = Event {
                frame: market.frames(),
                ..event(&shared, &market, Occasion::Frame, "", None)
            };
            for order in shared.desk.orders(&event) {
                shared.act(&market, &order).await;
            }
        }
    }
}

fn event<'a>(
    shared: &Shared,
    market: &Market,
    occasion: Occasion,
    name: &'a str,
    connection: Option<u64>,
) -> Event<'a> {
    Event {
        occasion,
        market: market.kind,
        name,
        id: 0,
        frame: 0,
        now: shared.time_of(Some(market)),
        age: market.age(),
        connection,
    }
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
    market: Arc<Market>,
    route: Route,
    combined: bool,
    names: Vec<String>,
    /// After so long without a message of the client it is cut.
    silence: Option<Duration>,
}

/// Serves one connection: requests, and after an upgrade the streams, on the same task.
async fn connection(stream: TcpStream, _permit: OwnedSemaphorePermit, shared: Arc<Shared>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("no TCP_NODELAY: {error}");
    }
    let upgrade = parking_lot::Mutex::new(None);
    let service = service_fn(|request| respond(request, &shared, &upgrade));
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

/// The market is not served at the moment: the connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("not served at the moment")]
struct Paused;

async fn respond(
    request: Request<Body>,
    shared: &Arc<Shared>,
    upgrade: &parking_lot::Mutex<Option<Upgrade>>,
) -> Result<Response<Full<Bytes>>, Paused> {
    if request.method() != Method::GET {
        return Ok(json(Answer::method(request.method().as_str())));
    }
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let way = way(&path, &query, shared.bare);
    let kind = match &way {
        Way::Binance { kind, .. } | Way::Streams { kind, .. } => Some(*kind),
        Way::Bybit { .. } => bybit::rest::market(&query),
        Way::Status | Way::Nowhere => None,
    };
    let market = match kind {
        Some(kind) if shared.is_paused(kind) => return Err(Paused),
        Some(kind) => shared.open(kind).await,
        None => None,
    };
    Ok(match (way, market) {
        (Way::Status, _) => json(Answer::ok(shared.status.to_json(&shared.hub))),
        (Way::Binance { kind, name }, Some(market)) => {
            let answer = rest(shared, &market, &name, |now| {
                let used = |weight| shared.use_weight(kind, weight);
                binance::rest::answer(&market, now, &name, &query, used)
            });
            json(answer)
        }
        (Way::Bybit { name }, market) => json(bybit_rest(shared, market.as_deref(), &name, &query)),
        (Way::Streams { .. }, Some(_))
            if !fastwebsockets::upgrade::is_upgrade_request(&request) =>
        {
            json(Answer::handshake("this path is for WebSocket connections"))
        }
        (way @ Way::Streams { .. }, Some(market)) => handshake(request, market, way, upgrade),
        _ => json(Answer::nowhere(&path)),
    })
}

/// Answers a request, unless a fault does.
fn rest(
    shared: &Shared,
    market: &Market,
    name: &str,
    answer: impl FnOnce(crate::kernel::types::Time) -> Answer,
) -> Answer {
    let event = event(shared, market, Occasion::Request, name, None);
    let orders = shared.desk.orders(&event);
    let ordered = orders.iter().find_map(|order| match order.kind {
        FaultKind::Status { code, retry_after } => Some((code, retry_after)),
        _ => None,
    });
    let Some((code, retry_after)) = ordered else {
        return answer(event.now);
    };
    let words = match code {
        403 | 451 => "This address is not served.",
        418 => "Way too much request weight used; IP banned.",
        429 => "Too many requests.",
        _ => "Unknown error, please check your request or try again later.",
    };
    let answer = if market.kind.is_bybit() {
        Answer::with(
            code,
            format!(
                "{{\"retCode\":10016,\"retMsg\":\"{words}\",\"result\":{{}},\"retExtInfo\":{{}},\"time\":{}}}",
                event.now.millis()
            ),
        )
    } else {
        Answer::refusal(code, if code >= 500 { -1000 } else { -1003 }, words)
    };
    match retry_after {
        Some(seconds) => answer.header("retry-after", u64::from(seconds)),
        None => answer,
    }
}

fn bybit_rest(shared: &Shared, market: Option<&Market>, name: &str, query: &str) -> Answer {
    let now = shared.time_of(market);
    // All of Bybit's markets count together.
    let count = MarketKind::BybitLinear;
    let (used, _) = shared.use_window(count, 1, bybit::rest::WINDOW);
    if used > bybit::rest::REQUESTS_MAX {
        return bybit::rest::throttled(now);
    }
    match market {
        Some(market) => rest(shared, market, name, |now| {
            bybit::rest::answer(market, now, name, query)
        }),
        None => bybit::rest::without_market(name, now),
    }
}

fn handshake(
    mut request: Request<Body>,
    market: Arc<Market>,
    way: Way,
    upgrade: &parking_lot::Mutex<Option<Upgrade>>,
) -> Response<Full<Bytes>> {
    let Way::Streams {
        route,
        combined,
        names,
        silence,
        ..
    } = way
    else {
        return json(Answer::handshake("no path of streams"));
    };
    match fastwebsockets::upgrade::upgrade(&mut request) {
        Ok((response, upgraded)) => {
            *upgrade.lock() = Some(Upgrade {
                upgraded,
                market,
                route,
                combined,
                names,
                silence,
            });
            response.map(|_| Full::default())
        }
        Err(error) => json(Answer::handshake(&error.to_string())),
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
    for (name, value) in answer.headers {
        headers.insert(name, value.into());
    }
    response
}

async fn streams(upgrade: Upgrade, shared: &Arc<Shared>) {
    let Upgrade {
        upgraded,
        market,
        route,
        combined,
        names,
        silence,
    } = upgrade;
    let upgraded = match tokio::time::timeout(HEADER_TIMEOUT, upgraded).await {
        Ok(Ok(upgraded)) => upgraded,
        Ok(Err(error)) => {
            tracing::debug!("a handshake failed: {error}");
            return;
        }
        Err(_) => return,
    };
    let (client, queue) = shared.hub.join(market.kind, route, combined);
    let pings = pings(market.kind);
    let (reader, writer) = socket::split(upgraded, queue, pings, shared.clock.clone());
    if subscribe(shared, &market, &client, &names).await {
        let silence = market
            .kind
            .is_bybit()
            .then(|| silence.unwrap_or(shared.silence));
        let read = async {
            tokio::select! {
                ended = commands(reader, &client, &market, shared, silence) => ended,
                payload = farewell(&client, &market, shared) => Ok(payload),
            }
        };
        socket::run(Arc::clone(&client), read, writer).await;
    }
    shared.hub.leave(&client);
}

/// Subscribes a client to streams, and greets it on those that begin with a whole. `false` if that
/// was too many.
async fn subscribe(
    shared: &Shared,
    market: &Market,
    client: &Arc<Client>,
    names: &[String],
) -> bool {
    for name in names {
        let event = event(shared, market, Occasion::Subscribe, name, Some(client.id));
        let silenced = !shared.desk.orders(&event).is_empty();
        let carried = !silenced && (market.kind.is_bybit() || binance::carried(client.route, name));
        let one = std::slice::from_ref(name);
        let mut subscribed = Ok(());
        let place = (market.kind.is_bybit() && carried)
            .then(|| bybit::place(market, name))
            .flatten();
        match place {
            Some(at) => {
                // A place in the queue first, because nothing may be waited for under the lock.
                let Some(permit) = client.reserve().await else {
                    return false;
                };
                let subscribe = || subscribed = shared.hub.subscribe(client, one, |_| true);
                if let Some(payload) = greet(market, at, event.now, name, subscribe) {
                    permit.send(Outgoing::Text(payload.text(client)));
                }
            }
            None => subscribed = shared.hub.subscribe(client, one, |_| carried),
        }
        if let Err(error) = subscribed {
            tracing::debug!("a client's subscription is refused: {error}");
            return false;
        }
    }
    true
}

/// Waits until a connection has to end in order, and says so before; the close payload.
async fn farewell(client: &Client, market: &Market, shared: &Shared) -> Bytes {
    let event = event(shared, market, Occasion::Join, "", Some(client.id));
    let orders = shared.desk.orders(&event);
    let life = orders.iter().find_map(|order| match order.kind {
        FaultKind::Life { after, notice } => Some((after.saturating_sub(notice), notice)),
        _ => None,
    });
    let end_of_life = async {
        match life {
            Some((wait, _)) => tokio::time::sleep(wait).await,
            None => std::future::pending().await,
        }
    };
    let mut ordered = client.farewell.subscribe();
    let farewell = tokio::select! {
        () = end_of_life => None,
        ordered = ordered.wait_for(Option::is_some) => {
            ordered.ok().and_then(|farewell| farewell.clone())
        }
    };
    let farewell = farewell.unwrap_or_else(|| {
        let grace = life.map_or(Duration::ZERO, |(_, notice)| notice);
        shared.farewell(market, grace)
    });
    if let Some(notice) = &farewell.notice {
        client.send(Outgoing::Text(notice.text(client))).await;
    }
    tokio::time::sleep(farewell.grace).await;
    farewell.close
}

/// Reads a client's commands until it says good-bye; the close payload to answer with.
async fn commands(
    mut reader: Reader,
    client: &Arc<Client>,
    market: &Market,
    shared: &Shared,
    silence: Option<Duration>,
) -> Result<Bytes, Fault> {
    let most = commands_per_second(market.kind);
    let mut window = (shared.clock.now(), 0_u32);
    loop {
        let next = reader.next();
        let incoming = match silence {
            None => next.await?,
            Some(silence) => match tokio::time::timeout(silence, next).await {
                Ok(incoming) => incoming?,
                Err(_) => return Err(Fault::Silent),
            },
        };
        wait_out(&client.deaf_until, || shared.clock.now()).await;
        if !matches!(incoming, Incoming::Close(_)) {
            let now = shared.clock.now();
            if now.since(window.0) >= SECOND {
                window = (now, 0);
            }
            window.1 += 1;
            if window.1 > most {
                tracing::debug!("a client sent more than {most} messages a second");
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
                let reply = if market.kind.is_bybit() {
                    bybit::commands::handle(&text, &shared.hub, market, client)
                } else {
                    binance::commands::handle(&text, &shared.hub, client)
                };
                client.send(Outgoing::Text(reply.text.into())).await;
                // Cannot be too many: that was looked at, and only this task subscribes.
                subscribe(shared, market, client, &reply.subscribe).await;
            }
        }
    }
}

fn close_payload(code: u16, words: &str) -> Bytes {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(words.as_bytes());
    payload.into()
}
