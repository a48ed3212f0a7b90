//! Traces over the wire: a collector of our own decodes what the daemon sends and holds it against the rules of
//! OTLP, against our clock, and against what the API says of the same orders.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use super::client::{json, metric, request, wait_books};
use super::process::{HEAN, Process, command, until};

/// An OTLP/HTTP collector. It says 503 to as many requests as it is told before it takes one.
struct Collector {
    addr: SocketAddr,
    taken: Arc<Mutex<Vec<Value>>>,
    refused: Arc<AtomicUsize>,
}

impl Collector {
    fn start(refuse_first: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound");
        let collector = Self {
            addr,
            taken: Arc::default(),
            refused: Arc::default(),
        };
        let (taken, refused) = (Arc::clone(&collector.taken), Arc::clone(&collector.refused));
        // It ends with the process of the test.
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(socket);
                let (mut head, mut length) = (Vec::new(), 0);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).expect("a head");
                    let line = line.trim_end().to_ascii_lowercase();
                    if line.is_empty() {
                        break;
                    }
                    if let Some(count) = line.strip_prefix("content-length:") {
                        length = count.trim().parse().expect("a length");
                    }
                    head.push(line);
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("a body");
                assert_eq!(
                    head.first().map(String::as_str),
                    Some("post /v1/traces http/1.1")
                );
                assert!(head.contains(&"content-type: application/json".to_owned()));
                let answer = if refused.load(Ordering::Relaxed) < refuse_first {
                    refused.fetch_add(1, Ordering::Relaxed);
                    "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
                } else {
                    taken
                        .lock()
                        .push(serde_json::from_slice(&body).expect("JSON"));
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
                };
                // Who has gone meanwhile gets no answer.
                drop(reader.get_mut().write_all(answer.as_bytes()));
            }
        });
        collector
    }

    fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The spans so far.
    fn spans(&self) -> Vec<Span> {
        let taken = self.taken.lock();
        let mut spans = Vec::new();
        for request in taken.iter() {
            for resource in request["resourceSpans"].as_array().expect("resources") {
                let about = attributes(&resource["resource"]);
                assert_eq!(about["service.name"], "hean");
                assert_eq!(about["service.version"], env!("CARGO_PKG_VERSION"));
                assert!(about.contains_key("service.instance.id"));
                for scope in resource["scopeSpans"].as_array().expect("scopes") {
                    assert_eq!(scope["scope"]["name"], "hean");
                    let all = scope["spans"].as_array().expect("spans");
                    spans.extend(all.iter().map(Span::read));
                }
            }
        }
        spans
    }

    /// The whole trace of an order, once its root has come.
    fn order(&self, id: u64) -> Vec<Span> {
        until("the trace of an order", || {
            let spans = self.spans();
            let root = spans.iter().find(|span| span.order() == Some(id))?;
            let trace = root.trace.clone();
            Some(spans.into_iter().filter(|s| s.trace == trace).collect())
        })
    }
}

/// A span as a stranger reads it.
#[derive(Debug, Clone)]
struct Span {
    trace: String,
    id: String,
    parent: Option<String>,
    name: String,
    kind: u64,
    start: i64,
    end: i64,
    attributes: BTreeMap<String, String>,
    events: Vec<(i64, String, BTreeMap<String, String>)>,
    links: Vec<(String, String)>,
    error: Option<String>,
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}

/// 64-bit integers are text in this encoding.
fn nanos(value: &Value) -> i64 {
    text(value).parse().expect("nanoseconds")
}

fn hex(value: &Value, digits: usize) -> String {
    let id = text(value);
    assert_eq!(id.len(), digits, "{id}");
    assert!(
        id.bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
        "{id}"
    );
    assert!(id.bytes().any(|b| b != b'0'), "an id of zeros means none");
    id
}

fn attributes(of: &Value) -> BTreeMap<String, String> {
    let mut read = BTreeMap::new();
    for pair in of["attributes"].as_array().expect("attributes") {
        let value = pair["value"].as_object().expect("a value");
        assert_eq!(value.len(), 1, "{pair}");
        let value = match value.iter().next().expect("one") {
            (kind, value) if kind == "stringValue" => text(value),
            (kind, value) if kind == "intValue" => nanos(value).to_string(),
            (kind, value) if kind == "boolValue" => value.as_bool().expect("a flag").to_string(),
            (kind, _) => panic!("{kind}"),
        };
        let twice = read.insert(text(&pair["key"]), value);
        assert!(twice.is_none(), "twice: {pair}");
    }
    for name in read.keys() {
        let legal =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_');
        assert!(name.chars().all(legal), "{name} is no name of an attribute");
    }
    read
}

impl Span {
    fn read(span: &Value) -> Self {
        let list = |name: &str| span[name].as_array().cloned().unwrap_or_default();
        assert_eq!(span["flags"], 1, "sampled");
        let status = &span["status"];
        Self {
            trace: hex(&span["traceId"], 32),
            id: hex(&span["spanId"], 16),
            parent: span.get("parentSpanId").map(|id| hex(id, 16)),
            name: text(&span["name"]),
            kind: span["kind"].as_u64().expect("a kind"),
            start: nanos(&span["startTimeUnixNano"]),
            end: nanos(&span["endTimeUnixNano"]),
            attributes: attributes(span),
            events: list("events")
                .iter()
                .map(|e| (nanos(&e["timeUnixNano"]), text(&e["name"]), attributes(e)))
                .collect(),
            links: list("links")
                .iter()
                .map(|l| (hex(&l["traceId"], 32), hex(&l["spanId"], 16)))
                .collect(),
            error: (status["code"] == 2).then(|| text(&status["message"])),
        }
    }

    fn order(&self) -> Option<u64> {
        self.attributes.get("hean.order.id")?.parse().ok()
    }
}

/// Names of the stages of a trace, in order of time; checks what holds for every trace.
fn stages(trace: &[Span]) -> Vec<&str> {
    let roots: Vec<&Span> = trace.iter().filter(|s| s.parent.is_none()).collect();
    let [root] = roots[..] else {
        panic!("not one root: {trace:#?}")
    };
    assert_eq!(root.name, "order");
    let ids: BTreeSet<&str> = trace.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids.len(), trace.len(), "ids twice: {trace:#?}");
    let mut below: Vec<&Span> = trace.iter().filter(|s| s.parent.is_some()).collect();
    below.sort_by_key(|s| (s.start, s.end));
    let mut last = root.start;
    for span in &below {
        assert_eq!(span.parent.as_ref(), Some(&root.id), "{span:#?}");
        assert!(span.start >= last && span.end >= span.start, "{trace:#?}");
        assert!(span.end <= root.end, "{trace:#?}");
        for (time, name, _) in &span.events {
            assert!(
                (span.start..=span.end).contains(time),
                "{name} in {span:#?}"
            );
        }
        last = span.end;
    }
    below.iter().map(|s| s.name.as_str()).collect()
}

/// A demo whose spans go to `endpoint`.
fn demo(endpoint: &str, sample: &str, strategy: &str) -> Process {
    let mut command = command(HEAN);
    command
        .args(["run", "--demo", "--seed", "5", "--listen", "127.0.0.1:0"])
        .args(["--strategy", strategy])
        .env("HEAN__TRACE__ENDPOINT", endpoint)
        .env("HEAN__TRACE__SAMPLE", sample);
    let mut daemon = Process::run(&mut command);
    daemon.wait_listening();
    wait_books(daemon.addr(), &["BTCUSDT"]);
    daemon
}

/// Places an order of the API; its id and document.
fn place(addr: SocketAddr, body: &str) -> (u64, Value) {
    let answer = request(addr, "POST", "/api/v1/orders", body).expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.body);
    let order = answer.json();
    let id = order["order_id"].as_u64();
    let id = id.or_else(|| order["order_id"].as_str()?.parse().ok());
    (id.unwrap_or_else(|| panic!("{order}")), order)
}

const MARKET: &str = r#"{"symbol":"BTCUSDT","side":"buy","type":"market","quantity":"0.001"}"#;

#[test]
fn heavy_orders_are_traced_from_tick_to_fill() {
    let collector = Collector::start(2);
    let daemon = demo(&collector.url(), "1", "ema_cross");
    let addr = daemon.addr();

    // An order of a strategy begins with a tick.
    let ticked = until("an order of a strategy", || {
        let spans = collector.spans();
        let of = |s: &&Span| s.name == "order" && s.attributes["hean.cause"] == "tick";
        spans.iter().find(of).and_then(Span::order)
    });
    assert_eq!(
        collector.refused.load(Ordering::Relaxed),
        2,
        "503 is tried again"
    );
    let trace = collector.order(ticked);
    let names = stages(&trace);
    assert_eq!(
        names[..6],
        [
            "feed.decode",
            "kernel.queue",
            "kernel.step",
            "journal.write",
            "venue.submit",
            "order.fill"
        ]
    );
    let span = |name: &str| trace.iter().find(|s| s.name == name).expect("a span");
    let step = span("kernel.step");
    let events: Vec<&str> = step
        .events
        .iter()
        .map(|(_, name, _)| name.as_str())
        .collect();
    assert_eq!(events, ["strategy.decision", "order.intent"]);
    assert_eq!(step.events[0].2["hean.strategy"], "ema_cross");
    assert_eq!(step.events[1].2["hean.journal.seq"], ticked.to_string());
    assert_eq!(span("venue.submit").kind, 3, "a client's span");
    assert_eq!(span("venue.submit").attributes["peer.service"], "sim");
    let root = span("order");
    let document = json(addr, &format!("/api/v1/orders/{ticked}"));
    let symbol = document["symbol"].as_str().expect("text");
    assert_eq!(root.attributes["hean.instrument"], format!("sim:{symbol}"));
    assert_eq!(root.attributes["hean.strategy"], "ema_cross");
    assert_eq!(
        root.attributes["hean.order.status"],
        document["status"].as_str().expect("text")
    );
    let venue: i64 = root.attributes["hean.tick.venue_time_unix_nano"]
        .parse()
        .expect("a time");
    assert!(
        (root.start - venue).abs() < 60_000_000_000,
        "both clocks are of this machine"
    );
    let created = document["created_at"].as_i64().expect("milliseconds");
    assert_eq!(step.start / 1_000_000, created);

    // One of a caller begins with the command.
    let (asked, document) = place(addr, MARKET);
    let trace = collector.order(asked);
    let names = stages(&trace);
    assert_eq!(
        names[..4],
        ["kernel.step", "journal.write", "venue.submit", "order.fill"]
    );
    let fills: Vec<&Span> = trace.iter().filter(|s| s.name == "order.fill").collect();
    let root = trace.iter().find(|s| s.name == "order").expect("a root");
    assert_eq!(root.attributes["hean.cause"], "command");
    assert_eq!(root.attributes["hean.order.fills"], fills.len().to_string());
    assert_eq!(document["status"], "filled");
    assert!(
        fills
            .iter()
            .all(|f| f.attributes["hean.fill.maker"] == "false")
    );

    // The exit of a bracket follows from its entry.
    let body = r#"{"symbol":"BTCUSDT","side":"buy","type":"market","quantity":"0.001","stop_loss":{"trigger_price":"30000"}}"#;
    let (entry, _) = place(addr, body);
    let entered = collector.order(entry);
    let exit = until("the exit", || {
        let exits = json(addr, &format!("/api/v1/orders/{entry}"))["exit_order_ids"].clone();
        let exits = exits.as_array().cloned().unwrap_or_default();
        let id = exits.first()?;
        id.as_u64().or_else(|| id.as_str()?.parse().ok())
    });
    let cancel = request(addr, "DELETE", &format!("/api/v1/orders/{exit}"), "").expect("an answer");
    assert!(cancel.status < 300, "{}", cancel.body);
    let exited = collector.order(exit);
    stages(&exited);
    let root = exited.iter().find(|s| s.name == "order").expect("a root");
    let of_entry = entered.iter().find(|s| s.name == "order").expect("a root");
    assert_eq!(root.attributes["hean.cause"], "report");
    assert_eq!(root.links, [(of_entry.trace.clone(), of_entry.id.clone())]);

    // A venue's refusal is an error: what must not take liquidity is priced to take it.
    let ask = json(addr, "/api/v1/ticker/BTCUSDT")["ask"]
        .as_f64()
        .expect("a price");
    let price = (ask * 1.01).round();
    let crossing = format!(
        r#"{{"symbol":"BTCUSDT","side":"buy","type":"limit","price":"{price}","quantity":"0.001","post_only":true}}"#
    );
    let answer = request(addr, "POST", "/api/v1/orders", &crossing).expect("an answer");
    let status = answer.status;
    assert_eq!(status, 422, "{}", answer.body);
    let refused = until("a refusal", || {
        let spans = collector.spans();
        let root = spans
            .into_iter()
            .find(|s| s.name == "order" && s.error.is_some())?;
        Some(root)
    });
    assert_eq!(refused.attributes["hean.order.status"], "rejected");

    // What rests is closed as open at the end; the last spans arrive.
    let (rests, _) = place(
        addr,
        r#"{"symbol":"BTCUSDT","side":"buy","type":"limit","price":"30000","quantity":"0.001"}"#,
    );
    assert!(metric(addr, "hean_trace_spans_sent_total") > 10.0);
    assert_eq!(
        metric(addr, "hean_trace_dropped_total{reason=\"unreachable\"}").to_bits(),
        0
    );
    let ended = daemon.terminate(Duration::from_secs(20));
    assert!(ended.success(), "{ended}");
    let trace = collector.order(rests);
    assert_eq!(
        stages(&trace),
        ["kernel.step", "journal.write", "venue.submit"]
    );
    let root = trace.iter().find(|s| s.name == "order").expect("a root");
    assert_eq!(root.attributes["hean.order.open"], "true");
}

#[test]
fn heavy_the_sampled_share_is_traced_and_a_dead_collector_harms_nobody() {
    // Nothing sampled: nothing sent.
    let collector = Collector::start(0);
    let daemon = demo(&collector.url(), "0", "ema_cross");
    for _ in 0..20 {
        place(daemon.addr(), MARKET);
    }
    assert!(daemon.terminate(Duration::from_secs(20)).success());
    assert!(collector.taken.lock().is_empty());

    // A part of it: the same part as the ids say, and whole traces.
    let daemon = demo(&collector.url(), "0.5", "ema_cross");
    let placed: Vec<u64> = (0..40).map(|_| place(daemon.addr(), MARKET).0).collect();
    assert!(daemon.terminate(Duration::from_secs(20)).success());
    let spans = collector.spans();
    let traced: BTreeSet<u64> = spans.iter().filter_map(Span::order).collect();
    let of_ours = placed.iter().filter(|id| traced.contains(id)).count();
    assert!((5..=35).contains(&of_ours), "{of_ours} of 40");
    for id in placed.iter().filter(|id| traced.contains(id)) {
        let stages = stages(&collector.order(*id)).len();
        assert!(stages >= 4, "{stages}");
    }
    // Half of the random bits' range lies above the threshold.
    let half = 1_u64 << 55;
    for span in &spans {
        let random = u64::from_str_radix(&span.trace[18..], 16).expect("hexadecimal");
        assert!(random >= half, "{}", span.trace);
    }

    // Nobody there: orders are filled, the log says it once, and the end comes in time.
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = gone.local_addr().expect("bound");
    drop(gone);
    let daemon = demo(&format!("http://{addr}"), "1", "ema_cross");
    for _ in 0..20 {
        assert_eq!(place(daemon.addr(), MARKET).1["status"], "filled");
    }
    let line = "the collector of traces does not take spans";
    until("a word about the collector", || {
        daemon.log().contains(line).then_some(())
    });
    assert_eq!(json(daemon.addr(), "/health")["status"], "healthy");
    assert_eq!(daemon.log().matches(line).count(), 1);
    assert!(daemon.terminate(Duration::from_secs(20)).success());
}
