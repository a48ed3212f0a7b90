//! What can be followed: the spelling of topics, and the document of each.
//!
//! A topic's document is the answer of a route of the API, made by that very route, so both are always the
//! same. It is made once for all who follow it.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Streams, text_of};
use crate::http::access::Caller;
use crate::http::api::market;
use crate::http::connection::Connection;
use crate::http::find::find;
use crate::http::negotiate::Media;
use crate::http::problem::{Code, Problem, either, nearest};
use crate::http::routes::{Call, Handler};
use crate::http::state::App;
use crate::json::Json;
use crate::kernel::snapshot::{
    AccountView, BOOK_LEVELS_PUBLISHED, BookView, SeriesView, TickerView,
};
use crate::kernel::types::InstrumentId;

/// Levels a side of a book when the topic does not say.
const DEPTH_DEFAULT: usize = 20;
/// How often the status is sent.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// Trades, and candles, in a snapshot.
const HISTORY: usize = 100;

/// What a topic is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Ticker(InstrumentId),
    /// With so many levels a side.
    Book(InstrumentId, usize),
    Trades(InstrumentId),
    /// Of the interval at this place.
    Klines(InstrumentId, usize),
    Indicators(InstrumentId, usize),
    Positions,
    Account,
    Status,
    Orders,
    Fills,
}

/// What a topic is of, and whether its decimals are strings.
pub(super) type TopicKey = (What, bool);

/// Topics that are of no instrument.
const ALONE: [(&str, What); 5] = [
    ("orders", What::Orders),
    ("fills", What::Fills),
    ("positions", What::Positions),
    ("account", What::Account),
    ("status", What::Status),
];

impl What {
    /// Reads a topic as callers spell it.
    pub(super) fn parse(app: &App, text: &str) -> Result<Self, Box<Problem>> {
        if let Some((_, what)) = ALONE.iter().find(|(name, _)| *name == text) {
            return Ok(*what);
        }
        let unknown = || unknown_topic(app, text);
        let (symbol, rest) = text.split_once('@').ok_or_else(unknown)?;
        let (kind, detail) = match rest.split_once('_') {
            Some((kind, detail)) => (kind, Some(detail)),
            None => (rest, None),
        };
        if !["ticker", "book", "trades", "kline", "indicators"].contains(&kind) {
            return Err(unknown());
        }
        let (id, _) = app
            .instrument(symbol)
            .map_err(|p| p.member("topic", shown(text)))?;
        match (kind, detail) {
            ("ticker", None) => Ok(Self::Ticker(id)),
            ("trades", None) => Ok(Self::Trades(id)),
            ("book", None) => Ok(Self::Book(id, DEPTH_DEFAULT)),
            ("book", Some(depth)) => match depth.parse() {
                Ok(depth @ 1..=BOOK_LEVELS_PUBLISHED) if !text.contains('+') => {
                    Ok(Self::Book(id, depth))
                }
                _ => Err(Problem::new(
                    Code::UnknownTopic,
                    format!("{:?} asks for no number of levels", shown(text)),
                )
                .hint(format!(
                    "write {symbol}@book_20, with 1 to {BOOK_LEVELS_PUBLISHED}"
                ))),
            },
            ("kline" | "indicators", Some(interval)) => {
                let (at, _) = app
                    .interval(Some(interval))
                    .map_err(|p| p.member("topic", shown(text)))?;
                Ok(if kind == "kline" {
                    Self::Klines(id, at)
                } else {
                    Self::Indicators(id, at)
                })
            }
            _ => Err(unknown()),
        }
    }

    /// Path and query of the route that shows it, with so many entries of a history.
    fn route(self, app: &App, history: usize) -> (String, String) {
        let interval = |at: usize| {
            app.state
                .intervals
                .get(at)
                .map_or_else(String::new, ToString::to_string)
        };
        let (path, query) = match self {
            Self::Ticker(id) => (format!("ticker/{}", app.name_of(id)), String::new()),
            Self::Book(id, depth) => (
                format!("orderbook/{}", app.name_of(id)),
                format!("depth={depth}"),
            ),
            Self::Trades(id) => (
                format!("trades/{}", app.name_of(id)),
                format!("limit={history}"),
            ),
            Self::Klines(id, at) => (
                format!("klines/{}", app.name_of(id)),
                format!("interval={}&limit={history}", interval(at)),
            ),
            Self::Indicators(id, at) => (
                format!("indicators/{}", app.name_of(id)),
                format!("interval={}", interval(at)),
            ),
            Self::Positions => ("positions".to_owned(), "limit=1000".to_owned()),
            Self::Account => ("account".to_owned(), String::new()),
            Self::Status => ("status".to_owned(), String::new()),
            Self::Orders => ("orders".to_owned(), String::new()),
            Self::Fills => ("fills".to_owned(), String::new()),
        };
        (format!("/api/v1/{path}"), query)
    }
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

fn unknown_topic(app: &App, text: &str) -> Box<Problem> {
    let minute = app
        .state
        .intervals
        .first()
        .map_or_else(|| "1m".to_owned(), ToString::to_string);
    let symbol = text.split_once('@').map_or("BTCUSDT", |(symbol, _)| symbol);
    let known: Vec<String> = ["ticker", "book", "book_20", "trades"]
        .into_iter()
        .map(str::to_owned)
        .chain([format!("kline_{minute}"), format!("indicators_{minute}")])
        .map(|kind| format!("{symbol}@{kind}"))
        .chain(ALONE.iter().map(|(name, _)| (*name).to_owned()))
        .collect();
    let near = nearest(text, known.iter().map(String::as_str));
    let problem = Problem::new(
        Code::UnknownTopic,
        format!("there is no topic {:?}", shown(text)),
    )
    .list("nearest", near.iter().map(|n| (*n).to_owned()).collect());
    let all: Vec<&str> = known.iter().map(String::as_str).collect();
    match either(&near) {
        Some(near) => problem.hint(format!("did you mean {near}?")),
        None => problem.hint(format!(
            "topics are spelt like {}",
            either(&all).unwrap_or_default()
        )),
    }
}

/// An answer of the API that can be asked for again and again.
#[derive(Debug)]
struct Document {
    call: Call,
    handler: Handler,
}

impl Document {
    fn new(
        app: &Arc<App>,
        (path, query): &(String, String),
        strings: bool,
    ) -> Result<Self, Box<Problem>> {
        let found = find(&Method::GET, path)?;
        let handler = found.route.handler;
        let connection = Arc::new(Connection::ourselves(Arc::clone(app)));
        let mut call = found.call(connection, Caller::ANYBODY, Some(query), Media::Json)?;
        call.strings = strings;
        Ok(Self { call, handler })
    }

    fn text(&self) -> Arc<str> {
        let reply = match self.handler {
            Handler::Show(handler) => Ok(handler(&self.call)),
            Handler::Read(handler) => handler(&self.call),
            Handler::Command(_) | Handler::WithBody(_) | Handler::Stream(_) => {
                return "null".into();
            }
        };
        match reply
            .unwrap_or_else(|problem| problem.into_reply())
            .body
            .into_whole()
        {
            Some(bytes) => text_of(bytes),
            None => "null".into(),
        }
    }
}

/// A topic that somebody follows.
#[derive(Debug)]
pub(super) struct Topic {
    what: What,
    strings: bool,
    update: Document,
    /// Where a snapshot is more than an update.
    snapshot: Option<Document>,
    latest: Mutex<Latest>,
}

#[derive(Debug)]
struct Latest {
    /// How often the document has changed.
    version: u64,
    text: Arc<str>,
    source: Source,
    /// Trades told of.
    trades: u64,
}

/// The view that a document was made of: another one may make another document.
#[derive(Debug)]
enum Source {
    None,
    Ticker(Arc<TickerView>),
    Book(Arc<BookView>),
    Series(Arc<SeriesView>),
    Account(Arc<AccountView>),
    /// To be made anew at a time.
    At(Instant),
}

/// What a topic says now.
pub(super) struct Now {
    pub(super) version: u64,
    pub(super) text: Arc<str>,
}

impl Topic {
    fn new(app: &Arc<App>, (what, strings): TopicKey) -> Result<Self, Box<Problem>> {
        let (update, snapshot) = match what {
            // The candle that closed last, and the one that has not.
            What::Klines(..) => (2, Some(HISTORY)),
            _ => (HISTORY, None),
        };
        let document = |history| Document::new(app, &what.route(app, history), strings);
        let topic = Self {
            what,
            strings,
            update: document(update)?,
            snapshot: snapshot.map(document).transpose()?,
            latest: Mutex::new(Latest {
                version: 0,
                text: "".into(),
                source: Source::None,
                trades: 0,
            }),
        };
        topic.refresh();
        Ok(topic)
    }

    /// Makes the document anew if what it shows has changed; whether it has.
    pub(super) fn refresh(&self) -> bool {
        self.refresh_latest(&mut self.latest.lock())
    }

    fn refresh_latest(&self, latest: &mut Latest) -> bool {
        let Some(source) = self.changed(&latest.source) else {
            return false;
        };
        let text = match &source {
            Source::Ticker(view) if matches!(self.what, What::Trades(_)) => {
                let new = view.trades.saturating_sub(latest.trades);
                latest.trades = view.trades;
                match usize::try_from(new) {
                    Ok(0) => Arc::clone(&latest.text),
                    new => self.trades(view, new.unwrap_or(HISTORY)),
                }
            }
            _ => self.update.text(),
        };
        latest.source = source;
        if text == latest.text {
            return false;
        }
        latest.text = text;
        latest.version += 1;
        true
    }

    /// The view to make the document of, if it is another one than `known`.
    fn changed(&self, known: &Source) -> Option<Source> {
        let app = self.update.call.app();
        let published = |id| app.published(id);
        let another = match self.what {
            What::Ticker(id) | What::Trades(id) => {
                Source::Ticker(published(id)?.ticker.load_full())
            }
            What::Book(id, _) => Source::Book(published(id)?.book.load_full()),
            What::Klines(id, at) | What::Indicators(id, at) => {
                Source::Series(published(id)?.series.get(at)?.view.load_full())
            }
            What::Positions | What::Account => {
                Source::Account(app.state.published.account.load_full())
            }
            What::Status => Source::At(Instant::now()),
            What::Orders | What::Fills => return None,
        };
        match (known, &another) {
            (Source::Ticker(a), Source::Ticker(b)) if Arc::ptr_eq(a, b) => None,
            (Source::Book(a), Source::Book(b)) if Arc::ptr_eq(a, b) => None,
            (Source::Series(a), Source::Series(b)) if Arc::ptr_eq(a, b) => None,
            (Source::Account(a), Source::Account(b)) if Arc::ptr_eq(a, b) => None,
            (Source::At(due), Source::At(now)) if now < due => None,
            (_, Source::At(now)) => Some(Source::At(*now + STATUS_EVERY)),
            _ => Some(another),
        }
    }

    fn trades(&self, view: &TickerView, newest: usize) -> Arc<str> {
        let What::Trades(id) = self.what else {
            return "null".into();
        };
        let Some(published) = self.update.call.app().published(id) else {
            return "null".into();
        };
        let mut json = Json::new(self.strings);
        let newest_first = view.recent.iter().rev();
        market::write_trades(
            &mut json,
            newest_first,
            newest,
            &published.instrument.load(),
        );
        text_of(json.into_bytes())
    }

    /// What it says now, if that is not the version `seen`.
    pub(super) fn news(&self, seen: u64) -> Option<Now> {
        let latest = self.latest.lock();
        (latest.version != seen).then(|| Now {
            version: latest.version,
            text: Arc::clone(&latest.text),
        })
    }

    /// All that a new follower needs; updates go on behind the version.
    pub(super) fn snapshot(&self) -> Now {
        let mut latest = self.latest.lock();
        self.refresh_latest(&mut latest);
        let text = match (&self.snapshot, &latest.source) {
            (Some(whole), _) => whole.text(),
            (None, Source::Ticker(view)) if matches!(self.what, What::Trades(_)) => {
                self.trades(view, HISTORY)
            }
            _ => Arc::clone(&latest.text),
        };
        Now {
            version: latest.version,
            text,
        }
    }
}

impl Streams {
    /// The topic, made if nobody follows it yet.
    pub(super) fn topic(&self, app: &Arc<App>, key: TopicKey) -> Result<Arc<Topic>, Box<Problem>> {
        let mut topics = self.topics.lock();
        if let Some(topic) = topics.get(&key).and_then(std::sync::Weak::upgrade) {
            return Ok(topic);
        }
        let topic = Arc::new(Topic::new(app, key)?);
        topics.insert(key, Arc::downgrade(&topic));
        drop(topics);
        self.news.notify_one();
        Ok(topic)
    }

    /// The topics that somebody follows.
    pub(super) fn followed(&self) -> Vec<Arc<Topic>> {
        let mut topics = self.topics.lock();
        topics.retain(|_, topic| topic.strong_count() > 0);
        topics
            .values()
            .filter_map(std::sync::Weak::upgrade)
            .collect()
    }
}
