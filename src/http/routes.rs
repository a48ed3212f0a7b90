//! The table of routes. Adding an endpoint is one row here and one function in `api/`: tests run
//! over the whole table.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, Request};

use super::access::Scope;
use super::api::{
    account, amend, control, docs, feeds, fills, health, indicators, market, orders, positions,
    risk,
};
use super::describe::{self, Docs};
use super::negotiate::{self, Media};
use super::openapi;
use super::params::{
    CLIENT_ORDER_ID, CURSOR, DEPTH, END, EQUITY_LIMIT, FILLS_LIMIT, FORMAT, ID_CURSOR, INTERVAL,
    KLINES_LIMIT, LIMIT, NUMBERS, ORDER_ID, POSITION_SIDE, Param, SIDE, SINCE, START, STATUS,
    STRATEGY, SYMBOL, SYMBOLS_LIMIT, WAIT,
};
use super::problem::{Code, Problem, nearest};
use super::query::{Query, percent_decode};
use super::reply::Reply;
use super::state::App;

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
#[derive(Clone, Copy)]
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
    pub(super) app: Arc<App>,
    /// What stands at the `{…}` of the path, decoded; empty without one.
    pub(super) arg: String,
    pub(super) query: Query,
    /// Whether decimals are wanted as strings.
    pub(super) strings: bool,
    /// The form that the answer is wanted in.
    pub(super) media: Media,
}

const JSON: &[Media] = &[Media::Json];
/// Lists that come as CSV too.
const TABLE: &[Media] = &[Media::Json, Media::Csv];
/// The handler sees to it.
const ANY: &[Media] = &[];

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
    .docs(describe::trading::positions),
    command(
        Method::POST,
        "/api/v1/positions/{symbol}/close",
        "Cancel a position's orders and close it at the market",
        &[POSITION_SIDE, NUMBERS],
        positions::close,
    )
    .docs(describe::trading::close),
    with_body(
        Method::POST,
        "/api/v1/positions/{symbol}/margin",
        "Leverage and margin mode of a derivative",
        &[NUMBERS],
        positions::margin,
    )
    .docs(describe::trading::margin),
    show(
        "/api/v1/account",
        "Money, profit and loss, statistics",
        &[NUMBERS],
        account::account,
    )
    .docs(describe::trading::account),
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
    .docs(describe::trading::equity)
    .offers(TABLE),
    show(
        "/api/v1/risk",
        "Limits, their use, and the kill switch",
        &[NUMBERS],
        risk::risk,
    )
    .docs(describe::trading::risk),
    with_body(
        Method::POST,
        "/api/v1/halt",
        "The kill switch: cancel everything, refuse new risk; with flatten also close every position",
        &[NUMBERS],
        risk::halt,
    )
    .docs(describe::trading::halt),
    command(
        Method::POST,
        "/api/v1/resume",
        "Let new risk pass again",
        &[NUMBERS],
        risk::resume,
    )
    .docs(describe::trading::resume)
    .scope(Scope::Admin),
    show(
        "/api/v1/strategies",
        "Strategies and what they decided last",
        &[NUMBERS],
        control::strategies,
    )
    .docs(describe::trading::strategies),
    command(
        Method::POST,
        "/api/v1/strategies/{name}/start",
        "Let a strategy trade",
        &[NUMBERS],
        control::start,
    )
    .docs(describe::trading::start),
    command(
        Method::POST,
        "/api/v1/strategies/{name}/stop",
        "Stop a strategy and cancel its orders",
        &[NUMBERS],
        control::stop,
    )
    .docs(describe::trading::stop),
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

/// The route of a request, and what its path captured.
pub(super) struct Found {
    pub(super) index: usize,
    pub(super) route: &'static Route,
    arg: String,
}

impl Found {
    /// The call of this route.
    pub(super) fn call<B>(
        &self,
        app: Arc<App>,
        request: &Request<B>,
    ) -> Result<Call, Box<Problem>> {
        let media = match self.route.offers {
            [] => Media::Json,
            offers => negotiate::media(offers, request.headers())?,
        };
        let query = request.uri().query().unwrap_or_default();
        let query = Query::parse(query, self.route.query)?;
        let strings = query.numbers_as_strings()?;
        Ok(Call {
            app,
            arg: self.arg.clone(),
            query,
            strings,
            media,
        })
    }
}

/// Finds the route of a method and path: 404 for an unknown path, 405 with `Allow` for a method
/// that the path does not take.
pub(super) fn find(method: &Method, path: &str) -> Result<Found, Box<Problem>> {
    let wanted = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let mut allowed = Vec::new();
    for (index, route) in ROUTES.iter().enumerate() {
        let Some(arg) = captures(route.path, path) else {
            continue;
        };
        if route.method != *wanted {
            allowed.push(route);
            continue;
        }
        let arg = percent_decode(arg)
            .ok_or_else(|| unknown_path(path))?
            .into_owned();
        return Ok(Found { index, route, arg });
    }
    if allowed.is_empty() {
        Err(unknown_path(path))
    } else if method == Method::OPTIONS {
        Ok(Found {
            index: ROUTES.len(),
            route: &OPTIONS,
            arg: path.to_owned(),
        })
    } else {
        Err(wrong_method(method, path, &allowed))
    }
}

/// What stands at the `{…}` of `pattern` if `path` fits it; the empty text without one.
fn captures<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let Some((before, rest)) = pattern.split_once('{') else {
        return (pattern == path).then_some("");
    };
    let (_, after) = rest.split_once('}')?;
    let arg = path.strip_prefix(before)?.strip_suffix(after)?;
    (!arg.is_empty() && !arg.contains('/')).then_some(arg)
}

fn unknown_path(path: &str) -> Box<Problem> {
    let shown: String = path.chars().take(128).collect();
    let near = nearest(path, ROUTES.iter().map(|route| route.path));
    let problem = Problem::new(Code::NotFound, format!("there is nothing at {shown:?}"));
    match near.first() {
        Some(near) => problem.hint(format!("did you mean {near}?")),
        None => problem.hint("the API begins at /api/v1/, for example /api/v1/symbols"),
    }
}

/// The methods that a path takes.
fn methods(routes: &[&Route]) -> String {
    let mut names: Vec<&str> = routes.iter().map(|route| route.method.as_str()).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    names.join(", ")
}

/// Every path takes OPTIONS. Nothing of it is for pages of other origins.
static OPTIONS: Route = Route {
    method: Method::OPTIONS,
    path: "",
    about: "What a path takes",
    query: &[],
    scope: Scope::Open,
    offers: ANY,
    docs: None,
    handler: Handler::Show(options),
};

fn options(call: &Call) -> Reply {
    let fits = |route: &&Route| captures(route.path, &call.arg).is_some();
    let routes: Vec<&Route> = ROUTES.iter().filter(fits).collect();
    let mut reply = Reply::none();
    reply.header = HeaderValue::from_str(&methods(&routes))
        .ok()
        .map(|methods| (ALLOW, methods));
    reply
}

fn wrong_method(method: &Method, path: &str, allowed: &[&Route]) -> Box<Problem> {
    let names = methods(allowed);
    let shown: String = path.chars().take(128).collect();
    let method: String = method.as_str().chars().take(32).collect();
    let problem = Problem::new(
        Code::MethodNotAllowed,
        format!("{shown:?} does not take {method}"),
    )
    .hint(format!("it takes {names}"));
    match HeaderValue::from_str(&names) {
        Ok(value) => problem.header(ALLOW, value),
        Err(_) => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_fits_by_whole_segments() {
        let pattern = "/api/v1/strategies/{name}/start";
        assert_eq!(captures(pattern, "/api/v1/strategies/x/start"), Some("x"));
        for path in [
            "/api/v1/strategies//start",
            "/api/v1/strategies/a/b/start",
            "/api/v1/strategies/start",
            "/api/v1/strategies/x/start/",
        ] {
            assert_eq!(captures(pattern, path), None, "{path}");
        }
        assert_eq!(captures("/health", "/health"), Some(""));
        assert_eq!(captures("/health", "/health/"), None);
    }

    #[test]
    fn no_two_routes_are_the_same_and_none_hides_another() {
        for (at, route) in ROUTES.iter().enumerate() {
            let path = route.path.replace("{name}", "n").replace("{id}", "1");
            let path = path.replace("{symbol}", "S").replace("{file}", "f");
            let found = find(&route.method, &path).unwrap_or_else(|_| panic!("{route:?}"));
            assert_eq!(found.index, at, "{route:?}");
            assert!(!route.about.is_empty());
            assert!(
                route.docs.is_some(),
                "{route:?} has no documentation: give its row .docs(…)"
            );
            assert!(route.path.matches('{').count() <= 1, "{route:?}");
        }
    }
}
