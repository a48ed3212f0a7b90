//! The table of routes. Adding an endpoint is one row here and one function in `api/`: tests run
//! over the whole table.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request};

use super::access::{Caller, Scope};
use super::api::{
    account, amend, control, docs, feeds, fills, health, indicators, market, orders, positions,
    risk,
};
use super::connection::Connection;
use super::describe::{self, Docs};
use super::negotiate::Media;
use super::openapi;
use super::params::{
    CLIENT_ORDER_ID, CURSOR, DEPTH, END, EQUITY_LIMIT, FILLS_LIMIT, FORMAT, ID_CURSOR, INTERVAL,
    KLINES_LIMIT, LIMIT, NUMBERS, ORDER_ID, POSITION_SIDE, Param, SIDE, SINCE, START, STATUS,
    STRATEGY, SYMBOL, SYMBOLS_LIMIT, TOPICS, WAIT,
};
use super::problem::Problem;
use super::query::Query;
use super::reply::Reply;
use super::state::App;
use super::stream;

/// One endpoint.
pub struct Route {
    /// GET (which answers HEAD too), POST, PATCH or DELETE.
    pub method: Method,
    /// The path; `{name}` stands for one segment, of which there is one at most.
    pub path: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// Query parameters.
    pub query: &'static [Param],
    /// What a caller must be allowed to.
    pub scope: Scope,
    /// Forms that the answer can have, the usual one first; none where the handler sees to that.
    pub(super) offers: &'static [Media],
    /// What it takes and answers.
    pub(super) docs: Option<fn() -> Docs>,
    pub(super) handler: Handler,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

pub(super) type Answer = Result<Reply, Box<Problem>>;
pub(super) type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// How a route is answered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Handler {
    /// From published views, at once; nothing in the request can be wrong.
    Show(fn(&Call) -> Reply),
    /// From published views, at once.
    Read(fn(&Call) -> Answer),
    /// By the kernel.
    Command(fn(Call) -> Answering),
    /// By the kernel, from a JSON body.
    WithBody(fn(Call, Bytes) -> Answering),
    /// By an answer that goes on: a socket that is taken over, or events one after the other.
    Stream(fn(Call, Request<Incoming>) -> Answer),
}

/// One request as its handler sees it.
#[derive(Debug)]
pub(super) struct Call {
    /// From where it came.
    pub(super) connection: Arc<Connection>,
    /// Who asks.
    pub(super) caller: Caller,
    /// What stands at the `{…}` of the path, decoded; empty without one.
    pub(super) arg: String,
    pub(super) query: Query,
    /// Whether decimals are wanted as strings.
    pub(super) strings: bool,
    /// The form that the answer is wanted in.
    pub(super) media: Media,
}

impl Call {
    /// What handlers see of the daemon.
    pub(super) fn app(&self) -> &Arc<App> {
        &self.connection.app
    }
}

const JSON: &[Media] = &[Media::Json];
/// Lists that come as CSV too.
const TABLE: &[Media] = &[Media::Json, Media::Csv];
/// The handler sees to it.
pub(super) const ANY: &[Media] = &[];

const fn show(
    path: &'static str,
    about: &'static str,
    query: &'static [Param],
    handler: fn(&Call) -> Reply,
) -> Route {
    Route {
        method: Method::GET,
        path,
        about,
        query,
        scope: Scope::Read,
        offers: JSON,
        docs: None,
        handler: Handler::Show(handler),
    }
}

const fn read(
    path: &'static str,
    about: &'static str,
    query: &'static [Param],
    handler: fn(&Call) -> Answer,
) -> Route {
    Route {
        method: Method::GET,
        path,
        about,
        query,
        scope: Scope::Read,
        offers: JSON,
        docs: None,
        handler: Handler::Read(handler),
    }
}

const fn stream(
    path: &'static str,
    about: &'static str,
    query: &'static [Param],
    handler: fn(Call, Request<Incoming>) -> Answer,
) -> Route {
    Route {
        method: Method::GET,
        path,
        about,
        query,
        scope: Scope::Read,
        offers: ANY,
        docs: None,
        handler: Handler::Stream(handler),
    }
}

const fn command(
    method: Method,
    path: &'static str,
    about: &'static str,
    query: &'static [Param],
    handler: fn(Call) -> Answering,
) -> Route {
    Route {
        method,
        path,
        about,
        query,
        scope: Scope::Trade,
        offers: JSON,
        docs: None,
        handler: Handler::Command(handler),
    }
}

const fn with_body(
    method: Method,
    path: &'static str,
    about: &'static str,
    query: &'static [Param],
    handler: fn(Call, Bytes) -> Answering,
) -> Route {
    Route {
        method,
        path,
        about,
        query,
        scope: Scope::Trade,
        offers: JSON,
        docs: None,
        handler: Handler::WithBody(handler),
    }
}

impl Route {
    /// A problem that the description does not announce is a mistake, which tests find.
    pub(super) fn announces(&self, problem: &Problem) -> bool {
        let Some(docs) = self.docs else {
            return true;
        };
        let known = openapi::problems(self, &docs());
        known.contains(&(problem.http_status(), problem.code()))
    }

    /// Whether it is answered from published views, and changes nothing.
    pub(super) fn at_once(&self) -> bool {
        matches!(self.handler, Handler::Show(_) | Handler::Read(_)) && !self.changes()
    }

    /// Whether it changes something: the audit log has it.
    pub(super) fn changes(&self) -> bool {
        !matches!(self.method, Method::GET | Method::OPTIONS)
    }

    /// Whether it only takes risk away. Nothing keeps a caller from that.
    pub(super) fn reduces(&self) -> bool {
        let ends = |end: &str| self.path.ends_with(end);
        self.method == Method::DELETE || self.path == HALT || ends("/close") || ends("/stop")
    }

    /// The same for callers of another scope than is usual for its kind.
    const fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// The same with its documentation.
    const fn docs(mut self, docs: fn() -> Docs) -> Self {
        self.docs = Some(docs);
        self
    }

    /// The same with answers in other forms than JSON.
    const fn offers(mut self, offers: &'static [Media]) -> Self {
        self.offers = offers;
        self
    }
}

/// The kill switch.
pub(super) const HALT: &str = "/api/v1/halt";

/// Every endpoint.
pub static ROUTES: &[Route] = &[
    show(
        "/health",
        "Whether the daemon works at all, and its version",
        &[],
        health::health,
    )
    .docs(describe::system::health)
    .scope(Scope::Open),
    show("/livez", "Whether its loops beat", &[], health::livez)
    .docs(describe::system::livez).scope(Scope::Open),
    show(
        "/readyz",
        "Whether it can do its work: feeds, books, journal, store",
        &[],
        health::readyz,
    )
    .docs(describe::system::readyz)
    .scope(Scope::Open),
    show("/metrics", "Prometheus text", &[], health::metrics)
    .docs(describe::system::metrics)
    .offers(&[Media::Text]),
    read(
        "/api/v1/ticker/{symbol}",
        "Last price, best bid and ask, 24-hour figures",
        &[NUMBERS],
        market::ticker,
    )
    .docs(describe::market::ticker),
    read(
        "/api/v1/orderbook/{symbol}",
        "Order book, best first",
        &[DEPTH, NUMBERS],
        market::orderbook,
    )
    .docs(describe::market::orderbook),
    read(
        "/api/v1/klines/{symbol}",
        "Candles, oldest first; the last one may be open",
        &[INTERVAL, KLINES_LIMIT, START, END, SINCE, NUMBERS],
        market::klines,
    )
    .docs(describe::market::klines),
    read(
        "/api/v1/trades/{symbol}",
        "Recent trades, newest first",
        &[LIMIT, ID_CURSOR, SINCE, NUMBERS],
        market::trades,
    )
    .docs(describe::market::trades),
    read(
        "/api/v1/symbols",
        "Instruments with their filters and state",
        &[SYMBOLS_LIMIT, CURSOR, NUMBERS],
        market::symbols,
    )
    .docs(describe::market::symbols),
    read(
        "/api/v1/indicators/{symbol}",
        "Indicators: a summary, or one by type",
        indicators::QUERY,
        indicators::indicators,
    )
    .docs(describe::market::indicators),
    with_body(
        Method::POST,
        "/api/v1/orders",
        "Place an order",
        &[WAIT, NUMBERS],
        orders::place,
    )
    .docs(describe::trading::place),
    read(
        "/api/v1/orders",
        "Orders, newest first",
        &[SYMBOL, STATUS, CLIENT_ORDER_ID, LIMIT, ID_CURSOR, SINCE, NUMBERS],
        orders::list,
    )
    .docs(describe::trading::orders),
    command(
        Method::DELETE,
        "/api/v1/orders",
        "Cancel all open orders, or those of a symbol, a side, a strategy",
        &[SYMBOL, SIDE, STRATEGY, NUMBERS],
        orders::cancel_all,
    )
    .docs(describe::trading::cancel_all),
    read(
        "/api/v1/orders/{id}",
        "One order",
        &[NUMBERS],
        orders::get,
    )
    .docs(describe::trading::get_order),
    with_body(
        Method::PATCH,
        "/api/v1/orders/{id}",
        "Change price, stop_price or quantity of an order",
        &[NUMBERS],
        amend::amend,
    )
    .docs(describe::trading::amend),
    command(
        Method::DELETE,
        "/api/v1/orders/{id}",
        "Cancel an order",
        &[NUMBERS],
        orders::cancel,
    )
    .docs(describe::trading::cancel),
    read(
        "/api/v1/positions",
        "Positions, open or with a history",
        &[SYMBOL, LIMIT, CURSOR, NUMBERS],
        positions::positions,
    )
    .docs(describe::account::positions),
    command(
        Method::POST,
        "/api/v1/positions/{symbol}/close",
        "Cancel a position's orders and close it at the market",
        &[POSITION_SIDE, NUMBERS],
        positions::close,
    )
    .docs(describe::account::close),
    with_body(
        Method::POST,
        "/api/v1/positions/{symbol}/margin",
        "Leverage and margin mode of a derivative",
        &[NUMBERS],
        positions::margin,
    )
    .docs(describe::account::margin),
    show(
        "/api/v1/account",
        "Money, profit and loss, statistics",
        &[NUMBERS],
        account::account,
    )
    .docs(describe::account::account),
    read(
        "/api/v1/fills",
        "Executions, newest first",
        &[SYMBOL, STRATEGY, ORDER_ID, FORMAT, FILLS_LIMIT, ID_CURSOR, SINCE, NUMBERS],
        fills::fills,
    )
    .docs(describe::trading::fills)
    .offers(TABLE),
    read(
        "/api/v1/equity",
        "Equity over time, newest first",
        &[FORMAT, EQUITY_LIMIT, ID_CURSOR, SINCE, NUMBERS],
        account::equity,
    )
    .docs(describe::account::equity)
    .offers(TABLE),
    show(
        "/api/v1/risk",
        "Limits, their use, and the kill switch",
        &[NUMBERS],
        risk::risk,
    )
    .docs(describe::account::risk),
    with_body(
        Method::POST,
        HALT,
        "The kill switch: cancel everything, refuse new risk; with flatten also close every position",
        &[NUMBERS],
        risk::halt,
    )
    .docs(describe::account::halt),
    command(
        Method::POST,
        "/api/v1/resume",
        "Let new risk pass again",
        &[NUMBERS],
        risk::resume,
    )
    .docs(describe::account::resume)
    .scope(Scope::Admin),
    show(
        "/api/v1/strategies",
        "Strategies and what they decided last",
        &[NUMBERS],
        control::strategies,
    )
    .docs(describe::account::strategies),
    read(
        "/api/v1/strategies/{name}/why",
        "The last decision of a strategy on each instrument, its inputs, and the rule that said no",
        &[SYMBOL, NUMBERS],
        control::why,
    )
    .docs(describe::account::why),
    command(
        Method::POST,
        "/api/v1/strategies/{name}/start",
        "Let a strategy trade",
        &[NUMBERS],
        control::start,
    )
    .docs(describe::account::start),
    command(
        Method::POST,
        "/api/v1/strategies/{name}/stop",
        "Stop a strategy and cancel its orders",
        &[NUMBERS],
        control::stop,
    )
    .docs(describe::account::stop),
    show(
        "/api/v1/feeds",
        "Every stream: its age, latency and number of messages",
        &[NUMBERS],
        feeds::feeds,
    )
    .docs(describe::system::feeds),
    show(
        "/api/v1/status",
        "Mode, feeds, queues, lags, versions",
        &[NUMBERS],
        control::status,
    )
    .docs(describe::system::status),
    stream(
        "/api/v1/stream",
        "Topics as server-sent events: a snapshot of each, then updates",
        &[TOPICS, NUMBERS],
        stream::events,
    )
    .docs(describe::streams::events),
    stream(
        "/ws",
        "The same on a WebSocket, by SUBSCRIBE and UNSUBSCRIBE",
        &[NUMBERS],
        stream::socket,
    )
    .docs(describe::streams::socket)
    // The token may come in the first message.
    .scope(Scope::Open),
    show(
        "/openapi.json",
        "This API as OpenAPI 3.1",
        &[],
        docs::openapi,
    )
    .docs(describe::system::openapi)
    .scope(Scope::Open),
    show("/docs", "This API as a page to try it on", &[], docs::page)
        .docs(describe::system::page_of_docs)
        .offers(&[Media::Html])
        .scope(Scope::Open),
    read("/docs/{file}", "What that page consists of", &[], docs::file)
        .docs(describe::system::asset)
        .offers(ANY)
        .scope(Scope::Open),
];
