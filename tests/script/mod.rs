//! A venue on loopback that does what a test says: canned REST answers, and stream connections whose
//! every frame the test writes. It stands on `hyper` and raw frames, not on the code under test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use fastwebsockets::{Frame, OpCode, WebSocket};
use http_body_util::{BodyExt, Either, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

pub(crate) const EXCHANGE_INFO: &str = r#"{"symbols":[
    {"symbol":"ETHBTC","status":"TRADING","baseAsset":"ETH","quoteAsset":"BTC","filters":[]},
    {"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[
      {"filterType":"PRICE_FILTER","minPrice":"0.01","maxPrice":"1000000.00","tickSize":"0.01"},
      {"filterType":"LOT_SIZE","minQty":"0.00001","maxQty":"9000.0","stepSize":"0.00001"},
      {"filterType":"NOTIONAL","minNotional":"5.0"}]}]}"#;
pub(crate) const DEPTH: &str =
    r#"{"lastUpdateId":100,"bids":[["61837.63","3.7"]],"asks":[["61837.64","1.5"]]}"#;
pub(crate) const KLINES: &str = r#"[
    [1723161180000,"1","2","1","2","5",1723161239999,"7.5",3,"1","1","0"],
    [1723161240000,"2","2","1","1","5",1723161299999,"7.5",3,"1","1","0"]]"#;

/// A canned answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    body: String,
    headers: Vec<(&'static str, &'static str)>,
    gate: Gate,
}

/// Holds answers back until the test lets them go.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    asked: Arc<Semaphore>,
    released: Arc<Semaphore>,
}

impl Reply {
    pub(crate) fn status(status: u16, body: &str) -> Self {
        let reply = Self::held(body);
        reply.gate.release();
        Self { status, ..reply }
    }

    pub(crate) fn ok(body: &str) -> Self {
        Self::status(200, body)
    }

    /// An answer that waits for [`Gate::release`].
    pub(crate) fn held(body: &str) -> Self {
        let closed = || Arc::new(Semaphore::new(0));
        Self {
            status: 200,
            body: body.to_owned(),
            headers: vec![("x-mbx-used-weight-1m", "123")],
            gate: Gate {
                asked: closed(),
                released: closed(),
            },
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl Gate {
    pub(crate) fn release(&self) {
        self.released.add_permits(1_000);
    }

    /// Waits until somebody has asked.
    pub(crate) async fn asked(&self) {
        self.asked.acquire().await.unwrap().forget();
    }
}

#[derive(Default)]
struct Book {
    /// By path, or path and start of the query; the longest that fits counts.
    replies: BTreeMap<String, Reply>,
    asked: Vec<(String, String)>,
}

/// The venue.
pub(crate) struct Venue {
    pub(crate) address: SocketAddr,
    book: Arc<Mutex<Book>>,
    connections: tokio::sync::Mutex<mpsc::Receiver<Ws>>,
}

impl Venue {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let book = Arc::new(Mutex::new(Book::default()));
        let (to_test, connections) = mpsc::channel(16);
        let shared = Arc::clone(&book);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (book, to_test) = (Arc::clone(&shared), to_test.clone());
                let service =
                    service_fn(move |request| answer(request, Arc::clone(&book), to_test.clone()));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                tokio::spawn(connection);
            }
        });
        Self {
            address,
            book,
            connections: tokio::sync::Mutex::new(connections),
        }
    }

    /// From now on, `path` (or path and start of the query) is answered with `reply`.
    pub(crate) fn serve(&self, path: &str, reply: Reply) -> Gate {
        let gate = reply.gate.clone();
        self.book.lock().replies.insert(path.to_owned(), reply);
        gate
    }

    /// The queries with which `path` was asked so far.
    pub(crate) fn asked(&self, path: &str) -> Vec<String> {
        let book = self.book.lock();
        let mine = book.asked.iter().filter(|(p, _)| p == path);
        mine.map(|(_, query)| query.clone()).collect()
    }

    /// The next stream connection.
    pub(crate) async fn connection(&self) -> Ws {
        let next = async { self.connections.lock().await.recv().await.unwrap() };
        let limit = std::time::Duration::from_secs(20);
        tokio::time::timeout(limit, next)
            .await
            .expect("a connection")
    }
}

async fn answer(
    mut request: Request<Incoming>,
    book: Arc<Mutex<Book>>,
    to_test: mpsc::Sender<Ws>,
) -> Result<Response<Either<Empty<Bytes>, Full<Bytes>>>, hyper::Error> {
    if request.uri().path() == "/stream" {
        let (response, upgraded) = fastwebsockets::upgrade::upgrade(&mut request).unwrap();
        tokio::spawn(async move {
            let mut socket = upgraded.await.unwrap();
            socket.set_auto_close(false);
            to_test.send(Ws(socket)).await.ok();
        });
        return Ok(response.map(Either::Left));
    }
    let target = request.uri().to_string();
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    request.into_body().collect().await?;
    let reply = {
        let mut book = book.lock();
        book.asked.push((path, query));
        let fitting = book
            .replies
            .iter()
            .filter(|(p, _)| target.starts_with(p.as_str()));
        fitting
            .max_by_key(|(p, _)| p.len())
            .map(|(_, reply)| reply.clone())
    };
    let reply = reply.unwrap_or_else(|| Reply::status(404, ""));
    reply.gate.asked.add_permits(1);
    reply.gate.released.acquire().await.unwrap().forget();
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(*name, *value);
    }
    Ok(response
        .body(Either::Right(Full::from(reply.body)))
        .unwrap())
}

/// The venue's end of a stream connection.
pub(crate) struct Ws(WebSocket<TokioIo<Upgraded>>);

impl Ws {
    pub(crate) async fn send(&mut self, text: &str) {
        let frame = Frame::text(text.as_bytes().to_vec().into());
        self.0.write_frame(frame).await.unwrap();
    }

    pub(crate) async fn json(&mut self) -> serde_json::Value {
        let frame = self.0.read_frame().await.unwrap();
        assert_eq!(frame.opcode, OpCode::Text);
        serde_json::from_slice(&frame.payload).unwrap()
    }

    /// Confirms a request.
    pub(crate) async fn answer(&mut self, request: &serde_json::Value) {
        let answer = format!(r#"{{"result":null,"id":{}}}"#, request["id"]);
        self.send(&answer).await;
    }

    /// Confirms every request from now on, until the connection ends.
    pub(crate) fn answer_all(mut self) {
        tokio::spawn(async move {
            while let Ok(frame) = self.0.read_frame().await {
                let Ok(request) = serde_json::from_slice::<serde_json::Value>(&frame.payload)
                else {
                    return;
                };
                self.answer(&request).await;
            }
        });
    }

    pub(crate) async fn ping(&mut self, payload: &[u8]) {
        let frame = Frame::new(true, OpCode::Ping, None, payload.to_vec().into());
        self.0.write_frame(frame).await.unwrap();
    }

    pub(crate) async fn expect_pong(&mut self, payload: &[u8]) {
        let frame = self.0.read_frame().await.unwrap();
        assert_eq!((frame.opcode, &*frame.payload), (OpCode::Pong, payload));
    }

    pub(crate) async fn expect_close(&mut self, code: u16) {
        let frame = self.0.read_frame().await.unwrap();
        assert_eq!(frame.opcode, OpCode::Close);
        assert_eq!(frame.payload.first_chunk(), Some(&code.to_be_bytes()));
    }

    /// Breaks the connection without a close.
    pub(crate) fn cut(self) {
        drop(self.0);
    }
}
