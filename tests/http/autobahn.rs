//! Autobahn|Testsuite, both ways, against the wrapper that every WebSocket here goes through.
//!
//! Its `wstest` is a Python 2 program, and Debian has no Python 2 any more: these pass it over, and say so, unless
//! `WSTEST` names one. `pip install autobahntestsuite` for Python 2.7, then
//! `WSTEST=…/bin/wstest cargo nextest run --test http --no-capture -E 'test(autobahn)'`.

#![expect(clippy::print_stdout, reason = "the only channel of a test")]

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use hean::venue::dns::Resolver;
use hean::venue::net::Net;
use hean::venue::tls;
use hean::venue::url::BaseUrl;
use hean::venue::ws::{Message, WsLimits, WsReader, WsWriter, accept, connect};

/// Cases that do not apply: compression is not offered.
const EXCLUDED: [&str; 2] = ["12.*", "13.*"];

fn limits() -> WsLimits {
    WsLimits {
        frame_max: 32 << 20,
        message_max: 32 << 20,
        ..WsLimits::default()
    }
}

async fn echo(mut reader: WsReader, writer: WsWriter) {
    loop {
        let sent = match reader.next().await {
            Ok(Message::Text(text)) => writer.text(text).await,
            Ok(Message::Binary(bytes)) => writer.binary(bytes).await,
            Ok(Message::Close { .. }) | Err(_) => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Echoes on every connection, for as long as the test runs.
async fn echo_server(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        let service = service_fn(|mut request: Request<Incoming>| async move {
            if let Ok((response, accepting)) = accept(&mut request, |_| true, limits()) {
                tokio::spawn(async move {
                    let (reader, writer) = accepting.await.expect("upgrade");
                    echo(reader, writer).await;
                });
                Ok::<_, hyper::Error>(response)
            } else {
                let mut response = Response::new(Empty::<Bytes>::new());
                *response.status_mut() = StatusCode::BAD_REQUEST;
                Ok(response)
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::spawn(connection);
    }
}

/// The program, if there is one.
fn program() -> Option<OsString> {
    let program = std::env::var_os("WSTEST");
    if program.is_none() {
        println!("skipped 1 test: WSTEST names no wstest of Autobahn");
    }
    program
}

fn wstest(program: &OsStr, dir: &Path, mode: &str, spec: &Value) -> Child {
    let file = dir.join("spec.json");
    std::fs::write(&file, spec.to_string()).expect("write");
    Command::new(program)
        .args(["-m", mode, "-s"])
        .arg(&file)
        .current_dir(dir)
        .stdout(Stdio::null())
        .spawn()
        .expect("start wstest")
}

/// Every case of the report, and how it ended.
fn judge(dir: &Path) {
    let index: PathBuf = dir.join("reports/index.json");
    let index = std::fs::read_to_string(index).expect("a report");
    let index: Value = serde_json::from_str(&index).expect("JSON");
    let cases = index["hean"].as_object().expect("cases");
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    let mut failed = Vec::new();
    for (case, result) in cases {
        for part in ["behavior", "behaviorClose"] {
            let how = result[part].as_str().expect("text").to_owned();
            if !["OK", "INFORMATIONAL", "NON-STRICT"].contains(&how.as_str()) {
                failed.push(format!("{case} {part}: {how}"));
            }
            *counts.entry(format!("{part} {how}")).or_default() += 1;
        }
    }
    println!("{} cases: {counts:?}", cases.len());
    assert!(cases.len() > 200, "{} cases ran", cases.len());
    assert_eq!(failed, Vec::<String>::new());
}

#[tokio::test]
async fn heavy_autobahn_judges_our_server() {
    let Some(program) = program() else { return };
    let dir = tempfile::tempdir().expect("directory");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("ws://{}", listener.local_addr().expect("address"));
    let server = tokio::spawn(echo_server(listener));
    let spec = json!({
        "outdir": "./reports",
        "servers": [{"agent": "hean", "url": url, "options": {"version": 18}}],
        "cases": ["*"],
        "exclude-cases": EXCLUDED,
        "exclude-agent-cases": {}
    });
    let mut child = wstest(&program, dir.path(), "fuzzingclient", &spec);
    let status = tokio::task::spawn_blocking(move || child.wait())
        .await
        .expect("wait")
        .expect("wait");
    assert!(status.success(), "{status}");
    server.abort();
    judge(dir.path());
}

#[tokio::test]
async fn heavy_autobahn_judges_our_client() {
    let Some(program) = program() else { return };
    let dir = tempfile::tempdir().expect("directory");
    // A port that was free a moment ago.
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        listener.local_addr().expect("address").port()
    };
    let spec = json!({
        "url": format!("ws://127.0.0.1:{port}"),
        "outdir": "./reports",
        "cases": ["*"],
        "exclude-cases": EXCLUDED,
        "exclude-agent-cases": {}
    });
    let mut child = wstest(&program, dir.path(), "fuzzingserver", &spec);
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(child.try_wait().expect("wait").is_none(), "wstest ended");
        tokio::task::yield_now().await;
    }
    let net = Net::new(
        Resolver::from_system(),
        tls::client_config(None).expect("TLS"),
    );
    let url: BaseUrl = format!("ws://127.0.0.1:{port}").parse().expect("URL");
    let open = async |target: String| {
        connect(&net, &url, &target, limits())
            .await
            .expect("connect")
    };
    let (mut reader, _writer) = open("/getCaseCount".to_owned()).await;
    let count: u32 = match reader.next().await {
        Ok(Message::Text(text)) => text.parse().expect("a number"),
        other => panic!("{other:?}"),
    };
    for case in 1..=count {
        let (reader, writer) = open(format!("/runCase?case={case}&agent=hean")).await;
        echo(reader, writer).await;
    }
    let (mut reader, _writer) = open("/updateReports?agent=hean".to_owned()).await;
    while !matches!(reader.next().await, Ok(Message::Close { .. }) | Err(_)) {}
    child.kill().expect("kill");
    child.wait().expect("wait");
    judge(dir.path());
}
