//! Prices and candles for other programs.

use std::sync::Arc;

use hean::kernel::event::{Candle, Level};
use hean::kernel::snapshot::{Published, SeriesView, TickerView};
use hean::kernel::types::{
    Instrument, InstrumentId, InstrumentName, Interval, Price, Qty, Scale, Time, VenueId,
};
use hean::store::publish_market;
use tokio::sync::watch;

use crate::store_support::{OneName, server, settings};

const MINUTE_MS: i64 = 60_000;

fn candle(number: i64) -> Candle {
    Candle {
        open_time: Time::from_millis(number * MINUTE_MS).unwrap(),
        open: Price(10_000 + number),
        high: Price(10_100),
        low: Price(9_900),
        close: Price(10_050),
        volume: 1_250,
        quote_volume: 12_500_000,
        trades: 7,
    }
}

fn published() -> Arc<Published> {
    let name = InstrumentName {
        venue: VenueId::Sim,
        symbol: "BTCUSDT".to_owned(),
    };
    let scale = |digits| Scale::new(digits).unwrap();
    let instrument = Instrument::unlimited(name, "BTC", "USDT", (scale(2), scale(3)));
    let published = Published::new(vec![instrument], &[Interval::MINUTE]);
    Arc::new(published.with_active(&[InstrumentId(0)]))
}

fn show(published: &Published, price: i64, candles: std::ops::Range<i64>) {
    let level = |price| {
        Some(Level {
            price: Price(price),
            qty: Qty(1_500),
        })
    };
    let slot = &published.instruments[0];
    slot.ticker.store(Arc::new(TickerView {
        last_price: Some(Price(price)),
        bid: level(price - 1),
        ask: level(price + 1),
        time: Time::from_millis(price).unwrap(),
        ..TickerView::default()
    }));
    slot.series[0].view.store(Arc::new(SeriesView {
        closed: candles.map(candle).collect(),
        ..SeriesView::default()
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prices_and_closed_candles_are_there_once_through_an_outage() {
    let Some(mut server) = server(&[]) else {
        return;
    };
    let (stop, stopped) = watch::channel(false);
    let published = published();
    show(&published, 10_000, 1..4);
    let config = settings(&server.url());
    let start = |stopped| {
        tokio::spawn(publish_market(
            config.clone(),
            Arc::clone(&published),
            1_000,
            Arc::new(OneName),
            stopped,
        ))
    };
    let task = start(stopped.clone());
    let redis = server.client().await;
    let (ticker, candles) = (
        "hean:{default}:ticker:sim:BTCUSDT",
        "hean:{default}:candles:sim:BTCUSDT:1m",
    );
    redis.until_length(candles, 3).await;
    let hash = redis.hash(ticker).await;
    assert_eq!(hash["price"], "100");
    assert_eq!(hash["bid"], "99.99");
    assert_eq!(hash["ask_quantity"], "1.5");
    assert_eq!(hash["timestamp"], "10000");
    assert_eq!(hash["mark_price"], "");
    let (id, first) = redis.stream(candles).await.remove(0);
    assert_eq!(id, format!("{MINUTE_MS}-0"));
    assert_eq!(first["open"], "100.01");
    assert_eq!(first["volume"], "1.25");
    assert_eq!(first["quote_volume"], "125");
    assert_eq!(first["trades"], "7");

    // Down while candles close; the client's own connection ends with the server.
    drop(redis);
    server.stop(false);
    show(&published, 10_500, 1..9);
    server.start();
    let redis = server.client().await;
    redis.until_length(candles, 8).await;
    assert_eq!(redis.hash(ticker).await["price"], "105");
    stop.send_replace(true);
    task.await.unwrap().unwrap();

    // A restart writes on where the store is.
    show(&published, 10_600, 3..12);
    let (stop, stopped) = watch::channel(false);
    let task = start(stopped);
    redis.until_length(candles, 11).await;
    stop.send_replace(true);
    task.await.unwrap().unwrap();
}
