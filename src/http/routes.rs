//! The table of routes. Adding an endpoint is one row here and one function in `api/`: tests run
//! over the whole table.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{ALLOW, HeaderValue};

use super::api::{
    account, amend, control, feeds, health, indicators, market, orders, positions, risk,
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
    pub query: &'static [&'static str],
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
}

const fn show(
    path: &'static str,
    about: &'static str,
    query: &'static [&'static str],
    handler: fn(&Call) -> Reply,
) -> Route {
    Route {
        method: Method::GET,
        path,
        about,
        query,
        handler: Handler::Show(handler),
    }
}

const fn read(
    path: &'static str,
    about: &'static str,
    query: &'static [&'static str],
    handler: fn(&Call) -> Answer,
) -> Route {
    Route {
        method: Method::GET,
        path,
        about,
        query,
        handler: Handler::Read(handler),
    }
}

const fn command(
    method: Method,
    path: &'static str,
    about: &'static str,
    query: &'static [&'static str],
    handler: fn(Call) -> Answering,
) -> Route {
    Route {
        method,
        path,
        about,
        query,
        handler: Handler::Command(handler),
    }
}

const fn with_body(
    method: Method,
    path: &'static str,
    about: &'static str,
    query: &'static [&'static str],
    handler: fn(Call, Bytes) -> Answering,
) -> Route {
    Route {
        method,
        path,
        about,
        query,
        handler: Handler::WithBody(handler),
    }
}

/// Every endpoint.
pub static ROUTES: &[Route] = &[
    show(
        "/health",
        "Whether the daemon works at all, and its version",
        &[],
        health::health,
    ),
    show("/livez", "Whether its loops beat", &[], health::livez),
    show(
        "/readyz",
        "Whether it can do its work: feeds, books, journal, store",
        &[],
        health::readyz,
    ),
    show("/metrics", "Prometheus text", &[], health::metrics),
    read(
        "/api/v1/ticker/{symbol}",
        "Last price, best bid and ask, 24-hour figures",
        &["numbers"],
        market::ticker,
    ),
    read(
        "/api/v1/orderbook/{symbol}",
        "Order book, best first",
        &["depth", "numbers"],
        market::orderbook,
    ),
    read(
        "/api/v1/klines/{symbol}",
        "Candles, oldest first; the last one may be open",
        &["interval", "limit", "numbers"],
        market::klines,
    ),
    read(
        "/api/v1/trades/{symbol}",
        "Recent trades, newest first",
        &["limit", "cursor", "numbers"],
        market::trades,
    ),
    read(
        "/api/v1/symbols",
        "Instruments with their filters and state",
        &["limit", "cursor", "numbers"],
        market::symbols,
    ),
    read(
        "/api/v1/indicators/{symbol}",
        "Indicators: a summary, or one by type",
        indicators::QUERY,
        indicators::indicators,
    ),
    with_body(
        Method::POST,
        "/api/v1/orders",
        "Place an order",
        &["wait", "numbers"],
        orders::place,
    ),
    read(
        "/api/v1/orders",
        "Orders, newest first",
        &[
            "symbol",
            "status",
            "client_order_id",
            "limit",
            "cursor",
            "numbers",
        ],
        orders::list,
    ),
    command(
        Method::DELETE,
        "/api/v1/orders",
        "Cancel all open orders, or those of a symbol, a side, a strategy",
        &["symbol", "side", "strategy", "numbers"],
        orders::cancel_all,
    ),
    read(
        "/api/v1/orders/{id}",
        "One order",
        &["numbers"],
        orders::get,
    ),
    with_body(
        Method::PATCH,
        "/api/v1/orders/{id}",
        "Change price, stop_price or quantity of an order",
        &["numbers"],
        amend::amend,
    ),
    command(
        Method::DELETE,
        "/api/v1/orders/{id}",
        "Cancel an order",
        &["numbers"],
        orders::cancel,
    ),
    read(
        "/api/v1/positions",
        "Positions, open or with a history",
        &["symbol", "limit", "cursor", "numbers"],
        positions::positions,
    ),
    command(
        Method::POST,
        "/api/v1/positions/{symbol}/close",
        "Cancel a position's orders and close it at the market",
        &["position_side", "numbers"],
        positions::close,
    ),
    with_body(
        Method::POST,
        "/api/v1/positions/{symbol}/margin",
        "Leverage and margin mode of a derivative",
        &["numbers"],
        positions::margin,
    ),
    show(
        "/api/v1/account",
        "Money, profit and loss, statistics",
        &["numbers"],
        account::account,
    ),
    read(
        "/api/v1/equity",
        "Equity over time, newest first",
        &["limit", "cursor", "numbers"],
        account::equity,
    ),
    show(
        "/api/v1/risk",
        "Limits, their use, and the kill switch",
        &["numbers"],
        risk::risk,
    ),
    with_body(
        Method::POST,
        "/api/v1/halt",
        "The kill switch: cancel everything, refuse new risk; with flatten also close every position",
        &["numbers"],
        risk::halt,
    ),
    command(
        Method::POST,
        "/api/v1/resume",
        "Let new risk pass again",
        &["numbers"],
        risk::resume,
    ),
    show(
        "/api/v1/strategies",
        "Strategies and what they decided last",
        &["numbers"],
        control::strategies,
    ),
    read(
        "/api/v1/strategies/{name}/why",
        "The last decision of a strategy on each instrument, its inputs, and the rule that said no",
        &["symbol", "numbers"],
        control::why,
    ),
    command(
        Method::POST,
        "/api/v1/strategies/{name}/start",
        "Let a strategy trade",
        &["numbers"],
        control::start,
    ),
    command(
        Method::POST,
        "/api/v1/strategies/{name}/stop",
        "Stop a strategy and cancel its orders",
        &["numbers"],
        control::stop,
    ),
    show(
        "/api/v1/feeds",
        "Every stream: its age, latency and number of messages",
        &["numbers"],
        feeds::feeds,
    ),
    show(
        "/api/v1/status",
        "Mode, feeds, queues, lags, versions",
        &["numbers"],
        control::status,
    ),
];

/// The route of a request, and what its path captured.
pub(super) struct Found {
    pub(super) index: usize,
    pub(super) route: &'static Route,
    arg: String,
}

impl Found {
    /// The call of this route.
    pub(super) fn call(&self, app: Arc<App>, query: Option<&str>) -> Result<Call, Box<Problem>> {
        let query = Query::parse(query.unwrap_or_default(), self.route.query)?;
        let strings = query.numbers_as_strings()?;
        Ok(Call {
            app,
            arg: self.arg.clone(),
            query,
            strings,
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

fn wrong_method(method: &Method, path: &str, allowed: &[&Route]) -> Box<Problem> {
    let mut names: Vec<&str> = allowed.iter().map(|route| route.method.as_str()).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    let names = names.join(", ");
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
            let path = path.replace("{symbol}", "S");
            let found = find(&route.method, &path).unwrap_or_else(|_| panic!("{route:?}"));
            assert_eq!(found.index, at, "{route:?}");
            assert!(!route.about.is_empty());
            assert!(route.path.matches('{').count() <= 1, "{route:?}");
        }
    }
}
