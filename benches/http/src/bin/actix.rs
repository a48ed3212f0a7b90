//! The design before: actix-web, a mutex around a map of tickers, an answer made for each request.
//!
//! `actix ADDR`

use std::collections::HashMap;
use std::sync::Mutex;

use actix_web::{App, HttpResponse, HttpServer, web};
use serde::Serialize;

#[derive(Clone, Serialize)]
struct Ticker {
    symbol: String,
    venue: String,
    price: f64,
    bid: f64,
    ask: f64,
    bid_quantity: f64,
    ask_quantity: f64,
    open: f64,
    high: f64,
    low: f64,
    volume: f64,
    quote_volume: f64,
    timestamp: i64,
}

type Tickers = web::Data<Mutex<HashMap<String, Ticker>>>;

async fn ticker(symbol: web::Path<String>, tickers: Tickers) -> HttpResponse {
    let found = tickers.lock().expect("no panic").get(symbol.as_str()).cloned();
    match found {
        Some(ticker) => HttpResponse::Ok().json(ticker),
        None => HttpResponse::NotFound().finish(),
    }
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1).expect("an address");
    let btc = Ticker {
        symbol: "BTCUSDT".to_owned(),
        venue: "binance".to_owned(),
        price: 61_602.01,
        bid: 61_602.0,
        ask: 61_602.1,
        bid_quantity: 1.25,
        ask_quantity: 0.75,
        open: 60_000.0,
        high: 62_000.0,
        low: 59_000.0,
        volume: 12_345.67,
        quote_volume: 760_000_000.0,
        timestamp: 1_700_000_040_000,
    };
    let tickers = Tickers::new(Mutex::new(HashMap::from([("BTCUSDT".to_owned(), btc)])));
    HttpServer::new(move || {
        App::new()
            .app_data(tickers.clone())
            .route("/api/v1/ticker/{symbol}", web::get().to(ticker))
    })
    .bind(addr)?
    .run()
    .await
}
