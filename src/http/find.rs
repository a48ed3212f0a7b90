//! From a method and a path to a row of `ROUTES`, and what is said where there is none.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use hyper::Method;
use hyper::header::{ALLOW, HeaderMap, HeaderValue};

use super::access::{Caller, Scope};
use super::connection::Connection;
use super::negotiate::{self, Media};
use super::problem::{Code, Problem, nearest};
use super::query::{Query, percent_decode};
use super::reply::Reply;
use super::routes::{ANY, Call, Handler, ROUTES, Route};

/// The route of a request, and what its path captured.
pub(super) struct Found {
    pub(super) index: usize,
    pub(super) route: &'static Route,
    arg: String,
}

impl Found {
    /// The form that an answer is wanted in; without `headers` nothing is said of it.
    pub(super) fn media(&self, headers: Option<&HeaderMap>) -> Result<Media, Box<Problem>> {
        match (self.route.offers, headers) {
            ([], _) => Ok(Media::Json),
            ([first, ..], None) => Ok(*first),
            (offers, Some(headers)) => negotiate::media(offers, headers),
        }
    }

    /// The call of this route.
    pub(super) fn call(
        self,
        connection: Arc<Connection>,
        caller: Caller,
        query: Option<&str>,
        media: Media,
    ) -> Result<Call, Box<Problem>> {
        let query = Query::parse(query.unwrap_or_default(), self.route.query)?;
        let strings = query.numbers_as_strings()?;
        Ok(Call {
            connection,
            caller,
            arg: self.arg,
            query,
            strings,
            media,
        })
    }
}

/// What stands behind a row's `{…}`, if it has one, and which row it is.
type Row = (Option<&'static str>, usize);

/// Rows of `ROUTES` by what stands before their `{…}`, or by all of their path.
static BY_BEGINNING: LazyLock<BTreeMap<&'static str, Vec<Row>>> = LazyLock::new(|| {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (index, route) in ROUTES.iter().enumerate() {
        let (before, after) = match route.path.split_once('{') {
            Some((before, rest)) => (before, rest.split_once('}').map(|(_, after)| after)),
            None => (route.path, None),
        };
        all.entry(before).or_default().push((after, index));
    }
    all
});

/// The rows that a path fits, each with what stands at its `{…}`.
fn fitting(path: &str) -> impl Iterator<Item = (usize, &str)> {
    let whole = BY_BEGINNING.get(path).into_iter().flatten();
    let whole = whole.filter(|(after, _)| after.is_none());
    let whole = whole.map(|(_, index)| (*index, ""));
    let parts = path.match_indices('/').flat_map(move |(at, _)| {
        let (before, rest) = path.split_at(at + 1);
        let rows = BY_BEGINNING.get(before).into_iter().flatten();
        rows.filter_map(move |(after, index)| {
            let arg = rest.strip_suffix((*after)?)?;
            (!arg.is_empty() && !arg.contains('/')).then_some((*index, arg))
        })
    });
    whole.chain(parts)
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
    for (index, arg) in fitting(path) {
        let Some(route) = ROUTES.get(index) else {
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
    let fits = fitting(&call.arg).filter_map(|(index, _)| ROUTES.get(index));
    let routes: Vec<&Route> = fits.collect();
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
        let found = |path: &'static str| -> Vec<(&str, &str)> {
            fitting(path)
                .map(|(index, arg)| (ROUTES[index].path, arg))
                .collect()
        };
        let pattern = "/api/v1/strategies/{name}/start";
        assert_eq!(found("/api/v1/strategies/x/start"), [(pattern, "x")]);
        for path in [
            "/api/v1/strategies//start",
            "/api/v1/strategies/a/b/start",
            "/api/v1/strategies/start",
            "/api/v1/strategies/x/start/",
            "/health/",
            "",
            "/",
            "health",
        ] {
            assert_eq!(found(path), [], "{path}");
        }
        assert_eq!(found("/health"), [("/health", "")]);
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
