//! The API's description, OpenAPI 3.1, made of `ROUTES` and what its rows name. Made once, at the first request for it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use hyper::StatusCode;

use super::access::Scope;
use super::describe::{COMPONENTS, Docs};
use super::params::{IN_PATHS, Kind, MILLIS_MAX, Param};
use super::problem::Code;
use super::routes::{ROUTES, Route};
use super::state::Build;
use crate::json::Json;

/// The document.
pub fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
        let mut json = Json::new(false);
        write(&mut json);
        String::from_utf8(json.into_bytes()).expect("our own text")
    });
    &DOCUMENT
}

const ABOUT: &str = "Market data, orders, positions, risk and the state of a hean daemon.\n\n\
    Decimals are exact: JSON numbers with all their digits, or strings with `?numbers=string`. Times are milliseconds \
    since 1970. Lists take `limit` and `cursor`: `next_cursor` of a page is the `cursor` of the next one. Errors are \
    problem documents (RFC 9457) with a stable `code`, a `detail` that says what was wrong and a `hint` that says what \
    to do.\n\nIn paper mode on loopback no token is needed unless one was created; else `hean token create` makes one, \
    and Authorize sends it.";

fn write(j: &mut Json) {
    j.object(|j| {
        j.key("openapi").text("3.1.0");
        j.key("info").object(|j| {
            j.key("title").text("hean");
            j.key("version").text(Build::THIS.version);
            j.key("description").text(ABOUT);
            j.key("license").object(|j| {
                j.key("name").text("Apache-2.0");
                j.key("identifier").text("Apache-2.0");
            });
        });
        j.key("servers").array(|j| {
            j.object(|j| j.key("url").text("/"));
        });
        j.key("tags").array(|j| {
            for (tag, about) in TAGS {
                j.object(|j| {
                    j.key("name").text(tag);
                    j.key("description").text(about);
                });
            }
        });
        j.key("paths").object(|j| {
            // In the order of their first rows.
            let mut seen: Vec<&str> = Vec::new();
            for route in ROUTES {
                if seen.contains(&route.path) {
                    continue;
                }
                seen.push(route.path);
                j.key(route.path).object(|j| path(j, route.path));
            }
        });
        j.key("components").object(|j| {
            j.key("securitySchemes").object(|j| {
                j.key("bearer").object(|j| {
                    j.key("type").text("http");
                    j.key("scheme").text("bearer");
                    j.key("description")
                        .text("A token of `hean token create`. Scopes: read looks, trade also places and cancels orders and halts, admin also lets trading go on after a halt.");
                });
            });
            j.key("schemas").object(|j| {
                for (name, schema) in COMPONENTS {
                    schema().write(j.key(name));
                }
            });
        });
    });
}

/// What routes are about, and the beginnings of their paths.
const TAGS: &[(&str, &str)] = &[
    ("market", "Prices, books, candles, indicators"),
    ("orders", "Orders and executions"),
    ("account", "Positions, money, equity"),
    ("risk", "Limits, the kill switch, strategies"),
    ("streams", "Events as they come"),
    ("system", "The daemon itself"),
];

fn tag(path: &str) -> &'static str {
    match path.trim_start_matches("/api/v1/").split('/').next() {
        Some("ticker" | "orderbook" | "klines" | "trades" | "symbols" | "indicators") => "market",
        Some("orders" | "fills") => "orders",
        Some("positions" | "account" | "equity") => "account",
        Some("risk" | "halt" | "resume" | "strategies") => "risk",
        Some("stream") => "streams",
        _ if path == "/ws" => "streams",
        _ => "system",
    }
}

fn path(j: &mut Json, path: &'static str) {
    let arg = path
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(name, _)| name);
    if let Some(arg) = arg {
        j.key("parameters").array(|j| {
            j.object(|j| {
                j.key("name").text(arg);
                j.key("in").text("path");
                j.key("required").bool(true);
                let known = IN_PATHS.iter().find(|(name, ..)| *name == arg);
                if let Some((_, about, example)) = known {
                    j.key("description").text(about);
                    j.key("example").text(example);
                }
                j.key("schema").object(|j| {
                    j.key("type").text("string");
                    j.key("minLength").int(1);
                });
            });
        });
    }
    for route in ROUTES.iter().filter(|route| route.path == path) {
        if let Some(docs) = route.docs {
            let name = route.method.as_str().to_ascii_lowercase();
            j.key(&name).object(|j| operation(j, route, &docs()));
        }
    }
}

fn operation(j: &mut Json, route: &Route, docs: &Docs) {
    j.key("operationId").text(docs.id);
    j.key("tags").array(|j| j.text(tag(route.path)));
    j.key("summary").text(route.about);
    let scope = match route.scope {
        Scope::Open => None,
        Scope::Read => Some("read"),
        Scope::Trade => Some("trade"),
        Scope::Admin => Some("admin"),
    };
    j.key("description").text(&match scope {
        None => "Needs no token.".to_owned(),
        Some(scope) => format!("Scope: {scope}."),
    });
    j.key("security").array(|j| {
        if let Some(scope) = scope {
            j.object(|j| j.key("bearer").array(|j| j.text(scope)));
        }
        // Where no token was created, none is needed.
        j.object(|_| {});
    });
    if !route.query.is_empty() {
        j.key("parameters").array(|j| {
            for param in route.query {
                j.object(|j| parameter(j, param));
            }
        });
    }
    if let Some((schema, required)) = &docs.body {
        j.key("requestBody").object(|j| {
            j.key("required").bool(*required);
            j.key("content").object(|j| {
                j.key("application/json")
                    .object(|j| schema.write(j.key("schema")));
            });
        });
    }
    j.key("responses").object(|j| responses(j, route, docs));
}

fn parameter(j: &mut Json, param: &Param) {
    j.key("name").text(param.name);
    j.key("in").text("query");
    j.key("description").text(param.about);
    match param.kind {
        Kind::Text { example } | Kind::Number { example } => j.key("example").text(example),
        Kind::Count { .. } | Kind::Choice { .. } | Kind::Millis | Kind::Id => {}
    }
    j.key("schema").object(|j| match param.kind {
        Kind::Count { default, max } => {
            j.key("type").text("integer");
            j.key("minimum").int(1);
            j.key("maximum").count(max);
            if let Some(default) = default {
                j.key("default").count(default);
            }
        }
        Kind::Choice { default, choices } => {
            j.key("type").text("string");
            j.key("enum").array(|j| {
                for choice in choices {
                    j.text(choice);
                }
            });
            if let Some(default) = default {
                j.key("default").text(default);
            }
        }
        Kind::Millis => {
            j.key("type").text("integer");
            j.key("format").text("int64");
            j.key("minimum").int(0);
            j.key("maximum").int(MILLIS_MAX);
        }
        Kind::Id => {
            j.key("type").text("string");
            j.key("pattern").text("^[0-9]{1,19}$");
        }
        Kind::Text { .. } | Kind::Number { .. } => j.key("type").text("string"),
    });
}

fn responses(j: &mut Json, route: &Route, docs: &Docs) {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for (status, code) in problems(route, docs) {
        let codes = by_status.entry(status.as_u16()).or_default();
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    for success in &docs.answers {
        // Of this status there are documents and problems: a health check that does not pass, and a
        // server that has no place for one more connection.
        let codes = by_status.remove(&success.status.as_u16());
        j.key(success.status.as_str()).object(|j| {
            j.key("description").text(success.about);
            if !success.headers.is_empty() {
                j.key("headers").object(|j| {
                    for (name, about) in &success.headers {
                        j.key(name).object(|j| header(j, about));
                    }
                });
            }
            if let Some(codes) = &codes {
                code_names(j, codes);
            }
            if !success.content.is_empty() || codes.is_some() {
                j.key("content").object(|j| {
                    for (media, schema) in &success.content {
                        j.key(media).object(|j| schema.write(j.key("schema")));
                    }
                    if codes.is_some() {
                        problem_content(j);
                    }
                });
            }
        });
    }
    for (status, codes) in by_status {
        j.key(&status.to_string()).object(|j| {
            let names: Vec<String> = codes
                .iter()
                .map(|code| format!("`{}`: {}", code.name(), code.title()))
                .collect();
            j.key("description").text(&names.join("; "));
            code_names(j, &codes);
            if matches!(status, 429 | 503) {
                j.key("headers").object(|j| {
                    j.key("Retry-After")
                        .object(|j| header(j, "Seconds to wait before the same again."));
                });
            }
            j.key("content").object(problem_content);
        });
    }
}

fn code_names(j: &mut Json, codes: &[Code]) {
    j.key("x-codes").array(|j| {
        for code in codes {
            j.text(code.name());
        }
    });
}

fn problem_content(j: &mut Json) {
    j.key("application/problem+json").object(|j| {
        j.key("schema")
            .object(|j| j.key("$ref").text("#/components/schemas/Problem"));
    });
}

fn header(j: &mut Json, about: &str) {
    j.key("description").text(about);
    j.key("schema").object(|j| j.key("type").text("string"));
}

/// What every route can say.
const EVERYWHERE: &[Code] = &[
    Code::BadHost,
    Code::HostNotAllowed,
    Code::OriginNotAllowed,
    Code::UnknownParameter,
    Code::DuplicateParameter,
    Code::InvalidParameter,
    Code::NotAcceptable,
    Code::TokenInUrl,
    Code::TokenInvalid,
    Code::TokenExpired,
    Code::TooManyAttempts,
    Code::RateLimited,
    // There are too many connections, or too many commands wait.
    Code::Busy,
    Code::Internal,
];

/// What every route can say that needs a token.
const ABOUT_TOKENS: &[Code] = &[Code::TokenMissing, Code::ScopeMissing];

/// What every route with a body can say.
const ABOUT_BODIES: &[Code] = &[
    Code::UnsupportedMediaType,
    Code::BodyTooLarge,
    Code::BodyTimeout,
    Code::BodyIncomplete,
    Code::InvalidJson,
    Code::UnknownField,
    Code::DuplicateField,
    Code::MissingField,
    Code::InvalidValue,
];

/// Everything that can be wrong with a request for a route.
pub(super) fn problems(route: &Route, docs: &Docs) -> Vec<(StatusCode, Code)> {
    let mut codes = EVERYWHERE.to_vec();
    if docs.body.is_some() {
        codes.extend(ABOUT_BODIES);
    }
    if route.scope != Scope::Open {
        codes.extend(ABOUT_TOKENS);
    }
    let named = |name: &str| {
        route.path.contains(&format!("{{{name}}}")) || route.query.iter().any(|p| p.name == name)
    };
    if named("symbol") {
        codes.push(Code::UnknownSymbol);
    }
    if route.path.contains("{id}") {
        codes.push(Code::UnknownOrder);
    }
    if route.path.contains("{name}") {
        codes.push(Code::UnknownStrategy);
    }
    // A path segment that is no percent-encoded UTF-8 names nothing.
    if route.path.contains('{') {
        codes.push(Code::NotFound);
    }
    let usual = codes.into_iter().map(|code| (code.status(), code));
    usual.chain(docs.problems.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_every_parameter_of_a_path_is_explained() {
        let mut ids = BTreeSet::new();
        for route in ROUTES {
            let docs = route
                .docs
                .unwrap_or_else(|| panic!("{route:?} has no documentation"));
            assert!(ids.insert(docs().id), "{route:?}");
            let names: BTreeSet<&str> = route.query.iter().map(|param| param.name).collect();
            assert_eq!(names.len(), route.query.len(), "{route:?}");
        }
    }

    #[test]
    fn every_reference_points_at_a_schema_and_every_schema_is_used() {
        let text = document();
        let names: BTreeSet<&str> = COMPONENTS.iter().map(|(name, _)| *name).collect();
        let used: BTreeSet<&str> = text
            .split("\"#/components/schemas/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert_eq!(names, used);
    }
}
