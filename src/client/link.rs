//! One connection to the daemon, opened when it is needed, kept for the next request, opened anew when
//! it has ended. It needs no task of its own: it is driven while a request waits.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::{Ask, ClientError, Place, refusal};
use crate::venue::dns::Resolver;
use crate::venue::net::{Net, NetError};
use crate::venue::rest::AGENT;

/// From the connection to the last byte of the answer. The daemon itself waits a second for its venue.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest answer, in bytes.
const BODY_MAX: usize = 16 << 20;

/// A whole answer, of whatever status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Bytes,
}

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

struct Open {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
}

/// A client of one daemon. Make it within a tokio runtime.
pub struct Client {
    place: Place,
    net: Net,
    open: Option<Open>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Of the daemon at `place`; connects with the first request.
    pub fn new(place: Place) -> Self {
        let net = Net::new(Resolver::from_system(), place.tls.clone());
        Self {
            place,
            net,
            open: None,
        }
    }

    /// Where the daemon is.
    pub fn authority(&self) -> String {
        self.place.url.authority()
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn net(&self) -> &Net {
        &self.net
    }

    /// Sends a request; returns the document of its answer.
    pub async fn ask(&mut self, ask: &Ask) -> Result<Vec<u8>, ClientError> {
        let reply = self.send(ask).await?;
        if (200..300).contains(&reply.status) {
            Ok(reply.body.to_vec())
        } else {
            Err(refusal(reply.status, &reply.body))
        }
    }

    /// Sends a request; returns whatever the answer is.
    pub async fn send(&mut self, ask: &Ask) -> Result<Reply, ClientError> {
        let kept = self.open.take();
        let reused = kept.is_some();
        let mut outcome = self.within(kept, ask).await;
        // A kept connection may have ended since. Only what changes nothing is sent twice.
        if outcome.is_err() && reused && ask.method == "GET" {
            outcome = self.within(None, ask).await;
        }
        outcome.map_err(|why| ClientError::Unreachable {
            at: self.authority(),
            why,
        })
    }

    async fn within(&mut self, open: Option<Open>, ask: &Ask) -> Result<Reply, String> {
        let exchange = timeout(PATIENCE, self.exchange(open, ask));
        let late = || format!("nothing within {} s", PATIENCE.as_secs());
        let (reply, open) = exchange.await.map_err(|_| late())??;
        self.open = open;
        Ok(reply)
    }

    async fn exchange(
        &self,
        open: Option<Open>,
        ask: &Ask,
    ) -> Result<(Reply, Option<Open>), String> {
        let url = &self.place.url;
        let mut request = Request::builder()
            .method(ask.method)
            .uri(url.target(&ask.target))
            .header(HOST, url.authority())
            .header(USER_AGENT, AGENT);
        if let Some(header) = self.place.token.as_ref().and_then(super::Token::header) {
            request = request.header(AUTHORIZATION, header);
        }
        if ask.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(ask.body.clone().unwrap_or_default()));
        let request = request.body(body).map_err(|e| e.to_string())?;
        let Open { mut sender, driver } = match open {
            Some(open) => open,
            None => self.connect().await?,
        };
        let tls = url.tls;
        let answer = async {
            let response = sender.send_request(request).await;
            let (head, body) = response.map_err(|e| http_words(&e, tls))?.into_parts();
            let body = Limited::new(body, BODY_MAX).collect().await;
            Ok::<_, String>(Reply {
                status: head.status.as_u16(),
                body: body.map_err(|e| e.to_string())?.to_bytes(),
            })
        };
        let (reply, driver) = drive(answer, driver).await;
        let reply = reply?;
        let open = driver.map(|driver| Open { sender, driver });
        Ok((reply, open))
    }

    async fn connect(&self) -> Result<Open, String> {
        let tls = self.place.url.tls;
        let stream = self.net.connect(&self.place.url).await.map_err(|error| match error {
            NetError::Connect(_, error) => error.to_string(),
            NetError::Tls(_, error) => format!(
                "TLS: {error} (is it https there? --ca-file FILE trusts a certificate authority of your own)"
            ),
            error @ (NetError::Dns(_) | NetError::Name(_)) => error.to_string(),
        })?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| http_words(&e, tls))?;
        Ok(Open {
            sender,
            driver: Box::pin(connection),
        })
    }
}

fn http_words(error: &hyper::Error, tls: bool) -> String {
    if !tls && error.is_parse() {
        return format!("{error} (is it https there?)");
    }
    error.to_string()
}

/// Runs `work`, which needs `driver` to be polled; gives the driver back if it can go on.
async fn drive<T>(work: impl Future<Output = T>, mut driver: Driver) -> (T, Option<Driver>) {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return (done, Some(driver)),
        // Its error, if any, also reaches `work`.
        _ = &mut driver => {}
    }
    // It still holds a request that it never sent: only without it does `work` hear of the end.
    drop(driver);
    (work.await, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;

    fn client(at: std::net::SocketAddr) -> Client {
        let at = at.to_string().parse().expect("an address");
        Client::new(Place::find(Some(&at), None, None, &|_| None).expect("a place"))
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable() {
        let free = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
        let addr = free.expect("a port").local_addr().expect("bound");
        // The listener is gone.
        let error = client(addr).ask(&Ask::plain("GET", "/health")).await;
        let error = error.expect_err("nobody");
        assert_eq!(error.exit(), Exit::Unreachable);
        assert!(error.to_string().contains("hean run"), "{error}");
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_opened_anew() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("bind");
        let mut client = client(listener.local_addr().expect("bound"));
        // Two answers on the first connection, which then ends; what changes something is not repeated.
        let server = tokio::spawn(async move {
            let mut requests = Vec::new();
            for answers in [2, 1, 0] {
                let (mut socket, _) = listener.accept().await.expect("accept");
                for _ in 0..answers {
                    let mut text = Vec::new();
                    while !text.ends_with(b"\r\n\r\n") {
                        assert!(socket.read_buf(&mut text).await.expect("read") > 0);
                    }
                    requests.push(String::from_utf8(text).expect("UTF-8"));
                    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                    socket.write_all(answer.as_bytes()).await.expect("write");
                }
            }
            requests
        });
        let get = Ask::plain("GET", "/a");
        for _ in 0..3 {
            assert_eq!(client.ask(&get).await, Ok(b"{}".to_vec()));
        }
        let error = client
            .ask(&Ask::plain("DELETE", "/b"))
            .await
            .expect_err("it ended");
        assert_eq!(error.exit(), Exit::Unreachable);
        assert!(!error.to_string().contains("within"), "{error}");
        let error = client
            .ask(&Ask::plain("DELETE", "/b"))
            .await
            .expect_err("no answer");
        assert_eq!(error.exit(), Exit::Unreachable);
        assert!(!error.to_string().contains("within"), "{error}");
        let requests = server.await.expect("the server");
        assert_eq!(requests.len(), 3);
        assert!(requests.iter().all(|r| r.starts_with("GET /a HTTP/1.1")));
    }
}
