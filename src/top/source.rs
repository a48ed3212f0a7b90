//! Where news comes from: the daemon's WebSocket, and for what it has no topic, and where there is no
//! WebSocket, a request each second. Ends never; a lost daemon is looked for each second.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::latency::Latencies;
use super::model::{INSTRUMENTS_MAX, Link, Update};
use crate::client::views::items;
use crate::client::{Ask, Client, ClientError, Place, exact};
use crate::venue::ws::{self, Message, WsError, WsLimits};

/// Between two requests for the same, and before a lost daemon is tried again.
const PERIOD: Duration = Duration::from_secs(1);

/// Why a source ended.
enum End {
    /// The screen is gone.
    Closed,
    /// The daemon has no WebSocket for us.
    NoStream,
    /// The daemon does not answer.
    Lost(ClientError),
    /// The stream broke off.
    Stream(String),
}

impl From<ClientError> for End {
    fn from(error: ClientError) -> Self {
        Self::Lost(error)
    }
}

/// Sends what is new until nobody listens.
pub(super) async fn run(place: Place, updates: Sender<Update>) {
    let mut client = Client::new(place);
    loop {
        match source(&mut client, &updates).await {
            End::Closed => return,
            End::NoStream => {}
            End::Lost(error) => lost(&updates, error.to_string()).await,
            End::Stream(why) => lost(&updates, why).await,
        }
        if updates.is_closed() {
            return;
        }
        sleep(PERIOD).await;
    }
}

async fn lost(updates: &Sender<Update>, why: String) {
    // A screen that is gone is noticed by its queue.
    drop(tell(updates, Update::Link(Link::Lost(why))).await);
}

/// Whether the daemon answers, and answers us.
pub(super) async fn reach(client: &mut Client) -> Result<(), ClientError> {
    instruments(client).await.map(drop)
}

/// Everything once, for a screen that is not live.
pub(super) async fn once(client: &mut Client, updates: &Sender<Update>) -> Result<(), ClientError> {
    let names = instruments(client).await?;
    let asked = async {
        ask_streams(client, updates, &names).await?;
        ask_rest(client, updates).await
    };
    match asked.await {
        Err(End::Lost(error)) => Err(error),
        Ok(()) | Err(End::Closed | End::NoStream | End::Stream(_)) => Ok(()),
    }
}

async fn source(client: &mut Client, updates: &Sender<Update>) -> End {
    let names = match instruments(client).await {
        Ok(names) => names,
        Err(error) => return error.into(),
    };
    if let Err(end) = ask_recent(client, updates).await {
        return end;
    }
    let mut other = Client::new(client.place().clone());
    let end = tokio::select! {
        end = stream(client, &names, updates) => end,
        end = poll(&mut other, None, updates) => end,
    };
    match end {
        End::NoStream => {
            if tell(updates, Update::Link(Link::Polling)).await.is_err() {
                return End::Closed;
            }
            poll(client, Some(&names), updates).await
        }
        end => end,
    }
}

async fn tell(updates: &Sender<Update>, update: Update) -> Result<(), End> {
    updates.send(update).await.map_err(|_| End::Closed)
}

async fn instruments(client: &mut Client) -> Result<Vec<String>, ClientError> {
    let document = get(client, "/api/v1/symbols").await?;
    let items = items(std::slice::from_ref(&document)).take(INSTRUMENTS_MAX);
    Ok(items
        .filter_map(|item| item["name"].as_str().map(str::to_owned))
        .collect())
}

async fn get(client: &mut Client, target: &str) -> Result<Value, ClientError> {
    let document = client.ask(&Ask::plain("GET", target)).await?;
    let text = String::from_utf8_lossy(&document);
    exact::parse(&text).map_err(|error| ClientError::Foreign {
        at: client.authority(),
        why: error.to_string(),
    })
}

/// Asks each second: for what has no topic, and with `names` for everything.
async fn poll(client: &mut Client, names: Option<&[String]>, updates: &Sender<Update>) -> End {
    let mut each = interval(PERIOD);
    each.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        each.tick().await;
        if let Some(names) = names
            && let Err(end) = ask_streams(client, updates, names).await
        {
            return end;
        }
        if let Err(end) = ask_rest(client, updates).await {
            return end;
        }
    }
}

/// What has a topic of its own.
async fn ask_streams(
    client: &mut Client,
    updates: &Sender<Update>,
    names: &[String],
) -> Result<(), End> {
    for name in names {
        let target = format!("/api/v1/ticker/{}", crate::cli::encoded(name));
        let ticker = get(client, &target).await?;
        tell(updates, Update::Ticker(ticker)).await?;
    }
    let positions = get(client, "/api/v1/positions?limit=1000").await?;
    tell(updates, Update::Positions(positions)).await?;
    ask_recent(client, updates).await?;
    let orders = get(client, "/api/v1/orders?status=open&limit=500").await?;
    tell(updates, Update::Orders(orders)).await?;
    let account = get(client, "/api/v1/account").await?;
    tell(updates, Update::Account(account)).await?;
    let status = get(client, "/api/v1/status").await?;
    tell(updates, Update::Status(status)).await
}

/// The newest orders, most of which may have ended: before those that are open, which know better.
async fn ask_recent(client: &mut Client, updates: &Sender<Update>) -> Result<(), End> {
    let recent = get(client, "/api/v1/orders?limit=20").await?;
    for order in items(std::slice::from_ref(&recent)).rev() {
        tell(updates, Update::Order(order.clone())).await?;
    }
    Ok(())
}

/// What has none.
async fn ask_rest(client: &mut Client, updates: &Sender<Update>) -> Result<(), End> {
    let strategies = get(client, "/api/v1/strategies").await?;
    tell(updates, Update::Strategies(strategies)).await?;
    let feeds = get(client, "/api/v1/feeds").await?;
    tell(updates, Update::Feeds(feeds)).await?;
    let risk = get(client, "/api/v1/risk").await?;
    tell(updates, Update::Risk(risk)).await?;
    // Who may read need not be allowed to scrape.
    if let Ok(text) = client.ask(&Ask::plain("GET", "/metrics")).await {
        let latencies = Latencies::read(&String::from_utf8_lossy(&text));
        tell(updates, Update::Latencies(Box::new(latencies))).await?;
    }
    Ok(())
}

/// Listens to the daemon's WebSocket.
async fn stream(client: &Client, names: &[String], updates: &Sender<Update>) -> End {
    let place = client.place();
    let limits = WsLimits::default();
    let lost = |error: &WsError| End::Stream(format!("the stream ended: {error}"));
    let (mut reader, writer) = match ws::connect(client.net(), &place.url, "/ws", limits).await {
        Ok(halves) => halves,
        // A full house, or a daemon without streams.
        Err(WsError::Refused { .. }) => return End::NoStream,
        Err(error) => return lost(&error),
    };
    let mut topics: Vec<String> = names.iter().map(|name| format!("{name}@ticker")).collect();
    topics.extend(["positions", "account", "status", "orders"].map(str::to_owned));
    let subscribe = json!({"id": 1, "method": "SUBSCRIBE", "params": topics});
    let auth = place
        .token
        .as_ref()
        .map(|token| json!({"id": 0, "method": "AUTH", "params": [token.text()]}));
    for message in auth.into_iter().chain([subscribe]) {
        if let Err(error) = writer.text(&message.to_string()).await {
            return lost(&error);
        }
    }
    loop {
        let message = match reader.next().await {
            Ok(Message::Text(text)) => exact::parse(text),
            Ok(Message::Binary(_)) => continue,
            Ok(Message::Close { reason, .. }) => {
                return End::Stream(format!("the daemon ended the stream: {reason}"));
            }
            Err(error) => return lost(&error),
        };
        let Ok(mut message) = message else {
            return End::Stream("the stream is not JSON".to_owned());
        };
        if !message["error"].is_null() {
            // Topics that this daemon does not have, or a token that may not read.
            return End::NoStream;
        }
        let data = message["data"].take();
        let update = match message["topic"].as_str() {
            Some("positions") => Update::Positions(data),
            Some("account") => Update::Account(data),
            Some("status") => Update::Status(data),
            Some("orders") if message["type"] == "snapshot" => Update::Orders(data),
            Some("orders") => Update::Order(data),
            Some(topic) if topic.ends_with("@ticker") => Update::Ticker(data),
            Some(_) => continue,
            None if message["id"] == 1 => Update::Link(Link::Live),
            None => continue,
        };
        if let Err(end) = tell(updates, update).await {
            return end;
        }
    }
}
