//! In which forms answers come: compressed, as CSV, without a body; and what callers say of theirs.

use std::io::Read as _;
use std::sync::Arc;

use hean::http::{HttpConfig, ROUTES};
use hean::kernel::event::{FeeAsset, OtherFee, Outcome, Seq};
use hean::kernel::ledger::BookedFill;
use hean::kernel::orders::{OrderId, OrderState, PositionSide, StrategyId};
use hean::kernel::types::{InstrumentId, Money, Price, Qty, Side};
use tokio::io::AsyncReadExt as _;

use super::described::document;
use super::harness::{FIRST_MS, Harness, at, money, order, publish};

async fn server() -> Harness {
    Harness::reading(HttpConfig::default()).await
}

/// An execution of order 7, or a liquidation.
pub(crate) fn fill(seq: u64, order: Option<u64>) -> BookedFill {
    BookedFill {
        seq: Seq(seq),
        time: at(FIRST_MS + seq.cast_signed()),
        order: order.map(OrderId),
        strategy: order.map(|_| StrategyId(1)),
        instrument: InstrumentId(0),
        side: Side::Sell,
        position_side: PositionSide::Both,
        trade_id: seq + 500,
        price: Price(6_160_201),
        qty: Qty(3),
        notional: money("1.8480603"),
        fee: money("-0.0001"),
        paid_in: FeeAsset::Quote,
        maker: order.is_some(),
        realized: None,
    }
}

/// One request with headers; the head, and the raw body.
async fn raw(server: &Harness, method: &str, target: &str, headers: &str) -> (String, Vec<u8>) {
    let mut client = server.connect().await;
    client
        .send(&format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        ))
        .await;
    let mut all = Vec::new();
    client.socket.read_to_end(&mut all).await.unwrap();
    let end = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let body = all.split_off(end + 4);
    (String::from_utf8(all).unwrap().to_ascii_lowercase(), body)
}

#[tokio::test]
async fn large_answers_are_compressed_where_that_is_taken() {
    let server = server().await;
    for target in [
        "/api/v1/klines/BTCUSDT",
        "/openapi.json",
        "/docs",
        "/docs/page.css",
    ] {
        let (head, plain) = raw(&server, "GET", target, "").await;
        assert!(!head.contains("content-encoding"), "{target}: {head}");
        for (accept, packed) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("identity", false),
        ] {
            let header = format!("Accept-Encoding: {accept}\r\n");
            let (head, body) = raw(&server, "GET", target, &header).await;
            assert!(head.contains("vary: accept, accept-encoding\r\n"), "{head}");
            assert_eq!(
                head.contains("content-encoding: gzip"),
                packed,
                "{accept}: {head}"
            );
            let mut read = Vec::new();
            if packed {
                flate2::read::GzDecoder::new(&body[..])
                    .read_to_end(&mut read)
                    .unwrap();
                assert!(body.len() < plain.len(), "{target}");
            } else {
                read.clone_from(&body);
            }
            assert_eq!(read, plain, "{target} {accept}");
        }
    }
    let (head, _) = raw(
        &server,
        "GET",
        "/api/v1/ticker/BTCUSDT",
        "Accept-Encoding: gzip\r\n",
    )
    .await;
    assert!(
        !head.contains("content-encoding") && !head.contains("vary"),
        "{head}"
    );
}

#[tokio::test]
async fn options_names_the_methods_and_nothing_about_other_origins() {
    let server = server().await;
    for route in ROUTES {
        let path = route.path.replace(['{', '}'], "");
        let (head, body) = raw(&server, "OPTIONS", &path, "").await;
        assert!(head.starts_with("http/1.1 204"), "{route:?}: {head}");
        let allow = head
            .lines()
            .find(|line| line.starts_with("allow: "))
            .unwrap();
        let method = route.method.as_str().to_ascii_lowercase();
        assert!(
            allow.contains(&method) && allow.contains("options"),
            "{route:?}: {allow}"
        );
        assert!(!head.contains("access-control"), "{head}");
        assert!(body.is_empty(), "{route:?}");
    }
    let (head, _) = raw(&server, "OPTIONS", "/nowhere", "").await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
}

#[tokio::test]
async fn a_form_that_does_not_exist_is_refused_and_so_is_a_body_that_is_no_json() {
    let answering = Box::new(|_, _: &_| Some(Outcome::NotFound));
    let server = Harness::start(HttpConfig::default(), answering).await;
    // Files have the form that they have, and streams see to theirs.
    let one_form = ["/docs/{file}", "/ws", "/api/v1/stream"];
    for route in ROUTES.iter().filter(|r| !one_form.contains(&r.path)) {
        let path = route
            .path
            .replace("{symbol}", "BTCUSDT")
            .replace(['{', '}'], "");
        let method = route.method.as_str();
        let (head, body) = raw(
            &server,
            method,
            &path,
            "Accept: image/png\r\nContent-Length: 0\r\n",
        )
        .await;
        assert!(head.starts_with("http/1.1 406"), "{route:?}: {head}");
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["code"], "not_acceptable");
        assert!(json["hint"].as_str().unwrap().contains("accept"), "{json}");
    }
    for kind in [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data",
    ] {
        let headers = format!("Content-Type: {kind}\r\nContent-Length: 2\r\n\r\n{{}}");
        let (head, body) = raw(&server, "POST", "/api/v1/orders", &headers).await;
        assert!(head.starts_with("http/1.1 415"), "{head}");
        assert!(String::from_utf8_lossy(&body).contains("unsupported_media_type"));
    }
    let headers = "Content-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}";
    let (head, _) = raw(&server, "POST", "/api/v1/orders", headers).await;
    assert!(head.starts_with("http/1.1 400"), "{head}");
}

#[tokio::test]
async fn executions_come_as_json_and_as_csv() {
    let server = server().await;
    let fills = &server.state.published.fills;
    let mut closing = fill(11, Some(7));
    closing.realized = Some(money("-0.25"));
    closing.paid_in = FeeAsset::Other(Box::new(OtherFee {
        asset: "BNB".to_owned(),
        amount: Money::parse("0.00000012").unwrap(),
    }));
    let mut in_base = fill(12, None);
    in_base.paid_in = FeeAsset::Base(Qty(1));
    for fill in [fill(10, Some(7)), closing, in_base] {
        fills.insert(fill.seq, Arc::new(fill));
    }
    let answer = server.get("/api/v1/fills?numbers=string").await;
    let json = answer.json();
    assert_eq!(json["next_cursor"], serde_json::Value::Null);
    assert_eq!(
        json["items"][1],
        serde_json::json!({
            "fill_id": "11", "order_id": "7", "trade_id": "511", "strategy": "grid", "symbol": "BTCUSDT",
            "venue": "binance", "side": "sell", "position_side": "both", "price": "61602.01",
            "quantity": "0.00003", "notional": "1.8480603", "fee": "-0.0001", "fee_asset": "BNB",
            "fee_amount": "0.00000012", "liquidity": "maker", "liquidation": false,
            "realized_pnl": "-0.25", "timestamp": FIRST_MS + 11,
        })
    );
    assert_eq!(json["items"][0]["liquidation"], true);
    assert_eq!(json["items"][0]["fee_amount"], "0.00001");
    assert_eq!(json["items"][0]["fee_asset"], "BTC");
    for (query, ids) in [
        ("order_id=7", "11,10"),
        ("order_id=8", ""),
        ("strategy=grid&limit=1", "11"),
        ("symbol=binance:BTCUSDT", "12,11,10"),
        ("symbol=ETHUSDT", ""),
        ("cursor=12", "11,10"),
    ] {
        let json = server.get(&format!("/api/v1/fills?{query}")).await.json();
        let items = json["items"].as_array().unwrap();
        let found: Vec<&str> = items
            .iter()
            .map(|f| f["fill_id"].as_str().unwrap())
            .collect();
        assert_eq!(found.join(","), ids, "{query}");
    }
    let (head, by_header) = raw(&server, "GET", "/api/v1/fills", "Accept: text/csv\r\n").await;
    assert!(
        head.contains("content-type: text/csv; charset=utf-8; header=present"),
        "{head}"
    );
    assert!(
        head.contains("content-disposition: attachment; filename=\"fills.csv\""),
        "{head}"
    );
    let csv = server.get("/api/v1/fills?format=csv").await.body;
    assert_eq!(csv.as_bytes(), by_header);
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(lines.len(), 5);
    assert!(lines[0].starts_with("fill_id,order_id,trade_id,strategy,symbol,"));
    assert_eq!(
        lines[2],
        format!(
            "11,7,511,grid,BTCUSDT,binance,sell,both,61602.01,0.00003,1.8480603,-0.0001,BNB,0.00000012,maker,false,-0.25,{}",
            FIRST_MS + 11
        )
    );
    assert!(lines[1].starts_with("12,,512,,BTCUSDT,"), "{}", lines[1]);
    assert_eq!(lines[4], "");
    // The query says more than the header.
    let (head, _) = raw(
        &server,
        "GET",
        "/api/v1/fills?format=json",
        "Accept: text/csv\r\n",
    )
    .await;
    assert!(head.contains("content-type: application/json"), "{head}");
    let csv = server.get("/api/v1/equity?format=csv").await.body;
    assert_eq!(csv.lines().count(), 151);
    assert!(csv.starts_with("timestamp,equity,pnl\r\n"), "{csv}");
    let csv = server.get("/api/v1/equity?format=csv&limit=2").await.body;
    assert_eq!(csv.lines().count(), 3);
    assert_eq!(
        server.get("/api/v1/fills?format=xml").await.code(),
        "invalid_parameter"
    );
}

#[tokio::test]
async fn the_description_is_served_and_names_every_route_and_no_other() {
    let server = server().await;
    let answer = server.get("/openapi.json").await;
    assert_eq!(answer.body, hean::http::document());
    let mut described: Vec<String> = Vec::new();
    for (path, item) in document()["paths"].as_object().unwrap() {
        let methods = item
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "parameters");
        described.extend(methods.map(|m| format!("{} {path}", m.to_ascii_uppercase())));
    }
    let mut routes: Vec<String> = ROUTES.iter().map(|route| format!("{route:?}")).collect();
    described.sort_unstable();
    routes.sort_unstable();
    assert_eq!(
        described, routes,
        "a route without .docs(…) is not described"
    );
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere_and_explains_every_code() {
    let server = server().await;
    let page = server.get("/docs").await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';"),
        "{policy}"
    );
    assert!(
        !page.body.contains("http://") && !page.body.contains("https://"),
        "{}",
        page.body
    );
    for file in page.body.split("\"/docs/").skip(1) {
        let file = file.split('"').next().unwrap();
        assert_eq!(
            server.get(&format!("/docs/{file}")).await.status,
            200,
            "{file}"
        );
    }
    assert_eq!(server.get("/docs/x.js").await.code(), "not_found");
    // Where the type of a problem points to.
    let problem = server.get("/api/v1/ticker/XXX").await.json();
    let kind = problem["type"].as_str().unwrap();
    let anchor = kind.strip_prefix("/docs#").unwrap();
    assert!(page.body.contains(&format!("id=\"{anchor}\"")), "{kind}");
    let codes = document()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
        .as_array()
        .unwrap();
    let manual = include_str!("../../README.md");
    for code in codes {
        let code = code.as_str().unwrap();
        assert!(page.body.contains(&format!("<dt id=\"{code}\">")), "{code}");
        assert!(
            manual.contains(&format!("| `{code}` |")),
            "README.md does not explain {code}"
        );
    }
}

#[tokio::test]
async fn a_repeat_says_that_it_is_one() {
    let answering = Box::new(|_, published: &_| {
        publish(published, order(5, OrderState::Filled));
        Some(Outcome::Duplicate(OrderId(5)))
    });
    let server = Harness::start(HttpConfig::default(), answering).await;
    let body =
        r#"{"symbol":"BTCUSDT","side":"buy","type":"limit","quantity":0.00003,"price":61602.1}"#;
    let answer = server.ask("POST", "/api/v1/orders", body).await;
    assert_eq!(
        (answer.status, answer.header("idempotent-replay")),
        (200, Some("true"))
    );
}
