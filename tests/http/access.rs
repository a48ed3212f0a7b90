//! Who gets in: every route against every kind of token, host and origin; rates; the audit log.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hean::http::tokens::{self, create, revoke};
use hean::http::{Access, AccessError, HttpConfig, ROUTES, Scope};
use hean::kernel::event::Outcome;
use hean::runtime::clock::{Clock, wall};
use hean::runtime::hangup::Hangups;
use hean::status::Mode;

use super::client::{Answer, Client};
use super::harness::{Harness, PATIENCE};

/// Over the kernel's answers, of which there are none here.
const MOMENT: Duration = Duration::from_millis(1);

fn with_data(dir: &Path) -> HttpConfig {
    HttpConfig {
        data_dir: Some(dir.to_owned()),
        answer_timeout: MOMENT,
        ..HttpConfig::default()
    }
}

fn token(dir: &Path, name: &str, scope: Scope) -> String {
    let secret = create(dir, name, scope, wall(), None).expect("made");
    format!("Bearer {}", secret.expose())
}

/// A request with these headers and no others.
fn text(method: &str, target: &str, headers: &[(&str, &str)]) -> String {
    let lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!(
        "{method} {target} HTTP/1.1\r\n{}Content-Length: 2\r\n\r\n{{}}",
        lines.concat()
    )
}

async fn ask(server: &Harness, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut client = server.connect().await;
    client.send(&text(method, target, headers)).await;
    client.answer().await
}

async fn get_with(server: &Harness, target: &str, token: &str) -> Answer {
    ask(
        server,
        "GET",
        target,
        &[("Host", "localhost"), ("Authorization", token)],
    )
    .await
}

/// What kinds of callers there are, with what each may do; `None`: nothing, for this reason.
type Callers = [(Result<Scope, &'static str>, Option<String>); 6];

async fn check_all_routes(server: &Harness, callers: &Callers, needed: bool) {
    let hosts = [("localhost", true), ("rebound.example", false)];
    let port = server.addr.port();
    let own = format!("http://localhost:{port}");
    let origins = [
        (None, true),
        (Some(own.as_str()), true),
        (Some("http://evil.example"), false),
        (Some("null"), false),
    ];
    let mut reused: Option<Client> = None;
    for route in ROUTES {
        let from = route.path.find('{');
        let path = match (from, route.path.find('}')) {
            (Some(from), Some(to)) => {
                let (before, name) = (&route.path[..from], &route.path[from..=to]);
                let arg = match name {
                    "{symbol}" => "BTCUSDT",
                    "{name}" => "grid",
                    _ => "1",
                };
                format!("{before}{arg}{}", &route.path[to + 1..])
            }
            _ => route.path.to_owned(),
        };
        for (caller, token) in callers {
            for (host, host_good) in hosts {
                for (origin, origin_good) in origins {
                    let refused = match caller {
                        _ if !host_good => Some("host_not_allowed"),
                        _ if !origin_good => Some("origin_not_allowed"),
                        _ if !needed || route.scope == Scope::Open => None,
                        Err(code) => Some(*code),
                        Ok(scope) if *scope < route.scope => Some("scope_missing"),
                        Ok(_) => None,
                    };
                    let mut headers = vec![("Host", host)];
                    headers.extend(origin.map(|origin| ("Origin", origin)));
                    headers.extend(token.as_deref().map(|token| ("Authorization", token)));
                    let request = text(route.method.as_str(), &path, &headers);
                    let told = format!("{route:?} by {caller:?}: {request}");
                    let Some(code) = refused else {
                        let mut client = server.connect().await;
                        client.send(&request).await;
                        let answer = client.head().await;
                        assert!(
                            ![401, 403, 429].contains(&answer.status),
                            "{told}{answer:?}"
                        );
                        assert!(answer.header("access-control-allow-origin").is_none());
                        continue;
                    };
                    let mut client = match reused.take() {
                        Some(client) => client,
                        None => server.connect().await,
                    };
                    client.send(&request).await;
                    let answer = client.answer().await;
                    assert_eq!(answer.code(), code, "{told}{answer:?}");
                    let unknown = code.starts_with("token_");
                    assert_eq!(answer.status, if unknown { 401 } else { 403 }, "{told}");
                    let asks = answer.header("www-authenticate");
                    assert_eq!(asks, unknown.then_some("Bearer"), "{told}");
                    if code == "scope_missing" {
                        assert_eq!(answer.json()["scope"], route.scope.name(), "{told}");
                    }
                    if answer.header("connection").is_none() {
                        reused = Some(client);
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn every_route_asks_for_its_scope_on_every_host_and_origin() {
    let dir = tempfile::tempdir().expect("directory");
    let dir = dir.path();
    let old = create(dir, "old", Scope::Admin, wall(), Some(wall().plus(1)));
    let old = format!("Bearer {}", old.expect("made").expose());
    let callers: Callers = [
        (Err("token_missing"), None),
        (
            Err("token_invalid"),
            Some(format!("Bearer hean_{:064x}", 1)),
        ),
        (Err("token_expired"), Some(old)),
        (Ok(Scope::Read), Some(token(dir, "r", Scope::Read))),
        (Ok(Scope::Trade), Some(token(dir, "t", Scope::Trade))),
        (Ok(Scope::Admin), Some(token(dir, "a", Scope::Admin))),
    ];
    let (server, _inbox) = Harness::without_kernel(with_data(dir)).await;
    check_all_routes(&server, &callers, true).await;
}

#[tokio::test]
async fn without_tokens_the_hosts_and_origins_are_still_asked_for() {
    let dir = tempfile::tempdir().expect("directory");
    let callers: Callers = [
        (Err("token_missing"), None),
        (Err("token_invalid"), Some("Bearer nonsense".to_owned())),
        (Err("token_invalid"), Some("Basic YTpi".to_owned())),
        (Err("token_invalid"), Some("Bearer".to_owned())),
        (Err("token_invalid"), Some("Bearer ".to_owned())),
        (Err("token_invalid"), Some("\u{ff}".to_owned())),
    ];
    let (server, _inbox) = Harness::without_kernel(with_data(dir.path())).await;
    check_all_routes(&server, &callers, false).await;
}

#[tokio::test]
async fn no_page_of_another_site_is_told_that_it_may_ask() {
    let server = Harness::reading(HttpConfig::default()).await;
    let headers = [
        ("Host", "localhost"),
        ("Origin", "http://evil.example"),
        ("Access-Control-Request-Method", "POST"),
    ];
    let answer = ask(&server, "OPTIONS", "/api/v1/orders", &headers).await;
    assert_eq!(answer.code(), "origin_not_allowed");
    let none = |line: &str| !line.to_ascii_lowercase().starts_with("access-control");
    assert!(answer.head.lines().all(none), "{answer:?}");
}

#[tokio::test]
async fn a_header_that_is_no_bearer_token_is_named() {
    let dir = tempfile::tempdir().expect("directory");
    let good = token(dir.path(), "r", Scope::Read);
    let server = Harness::reading(with_data(dir.path())).await;
    for (value, code) in [
        ("Basic YTpi", Some("token_missing")),
        ("Bearer", Some("token_missing")),
        ("Bearer ", Some("token_missing")),
        (&good[7..], Some("token_missing")),
        (&good[..70], Some("token_invalid")),
        (&good.to_ascii_uppercase(), Some("token_invalid")),
        (&good, None),
        (&good.replacen("Bearer", "bearer", 1), None),
        (&good.replacen(' ', "   ", 1), None),
    ] {
        let answer = get_with(&server, "/api/v1/status", value).await;
        let got = (answer.status != 200).then(|| answer.code());
        assert_eq!(got.as_deref(), code, "{value}");
    }
    let twice = [
        ("Host", "localhost"),
        ("Authorization", good.as_str()),
        ("Authorization", good.as_str()),
    ];
    let answer = ask(&server, "GET", "/api/v1/status", &twice).await;
    assert_eq!(answer.code(), "token_invalid");
}

#[tokio::test]
async fn a_token_in_a_url_is_refused_and_said_so() {
    let dir = tempfile::tempdir().expect("directory");
    let good = token(dir.path(), "r", Scope::Read);
    let server = Harness::reading(with_data(dir.path())).await;
    for name in ["token", "access_token", "Token", "api_key"] {
        let target = format!("/api/v1/status?numbers=string&{name}={}", &good[7..]);
        let answer = get_with(&server, &target, &good).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "token_in_url")
        );
        assert!(!answer.body.contains(&good[7..]), "{answer:?}");
    }
}

#[tokio::test]
async fn tokens_come_and_go_while_the_server_runs() {
    let dir = tempfile::tempdir().expect("directory");
    let dir = dir.path();
    let server = Harness::reading(with_data(dir)).await;
    let mut hangups = Hangups::listen().expect("a signal");
    let upkeep = tokio::spawn(Arc::clone(&server.access).upkeep(hangups.part()));
    assert_eq!(server.get("/api/v1/status").await.status, 200);
    let first = token(dir, "first", Scope::Read);
    let until = async |token: &str, status: u16| {
        let asking =
            async { while get_with(&server, "/api/v1/status", token).await.status != status {} };
        tokio::time::timeout(PATIENCE, asking)
            .await
            .expect("in time");
    };
    until("Bearer none", 401).await;
    until(&first, 200).await;
    let second = token(dir, "second", Scope::Read);
    until(&second, 200).await;
    revoke(dir, "first").expect("there");
    until(&first, 401).await;
    assert_eq!(
        get_with(&server, "/api/v1/status", &second).await.status,
        200
    );
    // A file that cannot be read changes nothing, and one that is gone opens nothing.
    let file = tokens::file_in(dir);
    std::fs::write(&file, "{").expect("write");
    assert_eq!(
        get_with(&server, "/api/v1/status", &second).await.status,
        200
    );
    std::fs::remove_file(&file).expect("remove");
    until(&second, 401).await;
    assert_eq!(server.get("/api/v1/status").await.code(), "token_missing");
    upkeep.abort();
}

#[tokio::test]
async fn nobody_listens_to_other_machines_without_a_token() {
    let clock = Clock::start();
    let dir = tempfile::tempdir().expect("directory");
    let prepare = |config: &HttpConfig| Access::prepare(config, Mode::Paper, &clock);
    let loopback = with_data(dir.path());
    assert!(prepare(&loopback).is_ok());
    let outside = HttpConfig {
        listen: "0.0.0.0:0".parse().expect("address"),
        ..loopback.clone()
    };
    let proxied = HttpConfig {
        plaintext_behind_proxy: true,
        ..loopback.clone()
    };
    for config in [&outside, &proxied] {
        let error = prepare(config).expect_err("no token");
        assert!(matches!(error, AccessError::NoToken { .. }));
        let text = error.to_string();
        assert!(
            text.contains("hean token create") && text.contains("--data-dir"),
            "{text}"
        );
    }
    let ended = create(dir.path(), "ended", Scope::Admin, wall(), Some(wall()));
    ended.expect("made");
    assert!(prepare(&outside).is_err());
    token(dir.path(), "r", Scope::Read);
    assert!(prepare(&outside).is_ok());
    std::fs::write(tokens::file_in(dir.path()), "{").expect("write");
    assert!(matches!(prepare(&loopback), Err(AccessError::Token(_))));
}

#[tokio::test]
async fn the_token_of_the_settings_may_do_everything() {
    let secret = "0123456789abcdef0123456789abcdef";
    let config = HttpConfig {
        token: Some(tokens::Secret::parse(secret).expect("long enough")),
        ..HttpConfig::default()
    };
    assert!(!format!("{config:?}").contains(secret));
    assert!(tokens::Secret::parse(&secret[1..]).is_err());
    let answering = |_, _: &_| Some(Outcome::NotFound);
    let server = Harness::start(config, Box::new(answering)).await;
    assert_eq!(server.get("/api/v1/status").await.code(), "token_missing");
    assert_eq!(server.get("/livez").await.status, 200);
    let good = format!("Bearer {secret}");
    assert_eq!(get_with(&server, "/metrics", &good).await.status, 200);
    let headers = [("Host", "localhost"), ("Authorization", good.as_str())];
    let answer = ask(&server, "POST", "/api/v1/resume", &headers).await;
    assert!(![401, 403].contains(&answer.status), "{answer:?}");
}

/// As if behind a proxy on this machine: callers are not those of this machine.
fn limited(dir: &Path) -> HttpConfig {
    HttpConfig {
        plaintext_behind_proxy: true,
        rate_per_s: 1,
        rate_burst: 3,
        ..with_data(dir)
    }
}

#[tokio::test]
async fn too_many_requests_are_told_to_wait() {
    let dir = tempfile::tempdir().expect("directory");
    let one = token(dir.path(), "one", Scope::Trade);
    let other = token(dir.path(), "other", Scope::Read);
    let (server, _inbox) = Harness::without_kernel(limited(dir.path())).await;
    let headers = [("Host", "localhost"), ("Authorization", one.as_str())];
    let mut client = server.connect().await;
    // Slow as this machine may be, it does not take a second for each.
    let request = text("GET", "/api/v1/status", &headers);
    client.send(&request.repeat(50)).await;
    let mut answers = Vec::new();
    for _ in 0..50 {
        answers.push(client.answer().await);
    }
    assert!(answers[..3].iter().all(|answer| answer.status == 200));
    let limited = answers.iter().find(|answer| answer.status != 200);
    let limited = limited.expect("fifty requests within fifty seconds");
    assert_eq!(
        (limited.status, limited.code().as_str()),
        (429, "rate_limited")
    );
    assert_eq!(limited.header("retry-after"), Some("1"));
    // The kill switch passes, whatever came before.
    let halts = text("POST", "/api/v1/halt", &headers).repeat(50);
    client.send(&halts).await;
    for _ in 0..50 {
        assert_ne!(client.answer().await.status, 429);
    }
    assert_eq!(
        get_with(&server, "/api/v1/status", &other).await.status,
        200
    );
}

#[tokio::test]
async fn guessing_is_slowed_down_and_locks_nobody_out() {
    let dir = tempfile::tempdir().expect("directory");
    let good = token(dir.path(), "r", Scope::Read);
    let server = Harness::reading(limited(dir.path())).await;
    let mut refused = Vec::new();
    while refused.last() != Some(&"too_many_attempts".to_owned()) {
        let answer = get_with(&server, "/api/v1/status", "Bearer guess").await;
        let waits = answer.header("retry-after").is_some();
        assert_eq!(waits, answer.status == 429);
        refused.push(answer.code());
        assert!(refused.len() < 1_000, "guesses without end");
    }
    assert!(refused.len() > 10, "{refused:?}");
    assert_eq!(get_with(&server, "/api/v1/status", &good).await.status, 200);
}

#[tokio::test]
async fn every_call_that_changes_something_is_written_down() {
    let dir = tempfile::tempdir().expect("directory");
    let dir = dir.path();
    let bot = token(dir, "bot", Scope::Trade);
    let eye = token(dir, "eye", Scope::Read);
    let answering = |_, _: &_| Some(Outcome::Cancelling(4));
    // Here the kernel answers: however late.
    let config = HttpConfig {
        answer_timeout: PATIENCE,
        ..with_data(dir)
    };
    let mut server = Harness::start(config, Box::new(answering)).await;
    let writer = server.access.audit_writer().expect("a log");
    let writer = tokio::spawn(writer.run());
    let delete = async |token: &str, target: &str| {
        let headers = [("Host", "localhost"), ("Authorization", token)];
        ask(&server, "DELETE", target, &headers).await
    };
    assert_eq!(
        delete(&bot, "/api/v1/orders?symbol=BTCUSDT").await.status,
        200
    );
    assert_eq!(delete(&eye, "/api/v1/orders").await.status, 403);
    assert_eq!(delete(&bot, "/api/v1/orders?symbol=NONE").await.status, 404);
    assert_eq!(delete("Bearer no", "/api/v1/orders").await.status, 401);
    let mut client = server.connect().await;
    let body = r#"{"symbol":"BTCUSDT","client_order_id":"mine","password":"secret"}"#;
    client
        .send(&format!(
            "POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: {bot}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    assert_eq!(client.answer().await.code(), "unknown_field");
    assert_eq!(get_with(&server, "/api/v1/status", &bot).await.status, 200);
    server.stop.take().unwrap().send(()).unwrap();
    server.server.take().unwrap().await.expect("ended");
    drop(server);
    let written = tokio::time::timeout(PATIENCE, writer).await;
    written
        .expect("it ends")
        .expect("no panic")
        .expect("written");
    let text = std::fs::read_to_string(dir.join("audit.jsonl")).expect("a log");
    for secret in [&bot[7..], &eye[7..], "password", "secret"] {
        assert!(!text.contains(secret), "{text}");
    }
    let lines = text.lines().map(serde_json::from_str);
    let lines: Vec<serde_json::Value> = lines.collect::<Result<_, _>>().expect("JSON");
    let seen: Vec<(&str, u64, &str)> = lines
        .iter()
        .map(|line| {
            (
                line["caller"].as_str().unwrap(),
                line["status"].as_u64().unwrap(),
                line["code"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("bot", 200, ""),
            ("eye", 403, "scope_missing"),
            ("bot", 404, "unknown_symbol"),
            ("bot", 400, "unknown_field"),
        ]
    );
    assert_eq!(lines[0]["route"], "/api/v1/orders");
    assert_eq!(lines[0]["target"], "/api/v1/orders?symbol=BTCUSDT");
    assert_eq!(lines[0]["method"], "DELETE");
    assert_eq!(lines[3]["client_order_id"], "mine");
    assert_eq!(lines[3]["body_sha256"].as_str().map(str::len), Some(64));
}
