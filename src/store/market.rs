//! Prices and candles in the store, for other programs: what the daemon publishes, once a second.
//!
//! None of it is state of ours. Nothing waits for it, we never begin with it, and what an outage has left out of a
//! ticker is never missed; closed candles are written later, as far as they are still published.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Pipeline;
use fred::interfaces::{HashesInterface as _, StreamsInterface as _};
use fred::types::{Key, Resolve, Value};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::StoreConfig;
use super::client::Client;
use super::error::StoreError;
use super::keys::Keys;
use crate::kernel::event::{Candle, Level};
use crate::kernel::snapshot::{Published, PublishedInstrument, TickerView};
use crate::kernel::types::{Decimal, Instrument, Price, Time, format_fixed};

/// How often prices are written.
const EVERY: Duration = Duration::from_secs(1);
/// Commands sent at once.
const COMMANDS_MAX: usize = 1_000;

/// What was written of an instrument.
#[derive(Debug, Default)]
struct Written {
    ticker: Option<Arc<TickerView>>,
    /// The newest candle of each series; `None` until the store was asked.
    candles: Vec<Option<Time>>,
}

/// Writes tickers and closed candles of all instruments that are read, until `stop` turns true. An outage is
/// waited for. A stream of candles keeps about `candles_kept`.
pub async fn publish_market(
    config: StoreConfig,
    published: Arc<Published>,
    candles_kept: usize,
    resolver: Arc<dyn Resolve>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), StoreError> {
    config.check()?;
    let mut writer = Writer {
        keys: Keys::new(&config.prefix, &config.account),
        client: Client::start(&config, resolver).await?,
        written: published
            .instruments
            .iter()
            .map(|p| Written {
                ticker: None,
                candles: vec![None; p.series.len()],
            })
            .collect(),
        published,
        candles_kept,
    };
    let mut ticks = tokio::time::interval(EVERY.min(config.idle_check));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
        let result = tokio::select! {
            result = writer.write() => result,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match result {
            Ok(()) => failed = false,
            Err(error) => {
                if !std::mem::replace(&mut failed, true) {
                    tracing::warn!(
                        error = error.details(),
                        "prices and candles cannot be written to the store; trying again"
                    );
                }
                writer.client.ensure_running();
            }
        }
    }
    writer.client.quit(Duration::from_secs(1)).await;
    Ok(())
}

struct Writer {
    keys: Keys,
    client: Client,
    published: Arc<Published>,
    written: Vec<Written>,
    candles_kept: usize,
}

impl Writer {
    async fn write(&mut self) -> Result<(), fred::error::Error> {
        let published = Arc::clone(&self.published);
        for (index, instrument) in published.instruments.iter().enumerate() {
            if instrument.active {
                self.tickers(index, instrument).await?;
                self.candles(index, instrument).await?;
            }
        }
        Ok(())
    }

    async fn tickers(
        &mut self,
        index: usize,
        published: &PublishedInstrument,
    ) -> Result<(), fred::error::Error> {
        let (Some(written), ticker) = (self.written.get_mut(index), published.ticker.load_full())
        else {
            return Ok(());
        };
        let known = written.ticker.as_ref();
        if ticker.time == Time::ZERO || known.is_some_and(|known| Arc::ptr_eq(known, &ticker)) {
            return Ok(());
        }
        let instrument = published.instrument.load();
        let key = self.keys.ticker(&instrument.name.to_string());
        let fields = ticker_fields(&ticker, &instrument);
        let () = self.client.fred().hset(key, fields).await?;
        written.ticker = Some(ticker);
        Ok(())
    }

    async fn candles(
        &mut self,
        index: usize,
        published: &PublishedInstrument,
    ) -> Result<(), fred::error::Error> {
        let instrument = published.instrument.load();
        let name = instrument.name.to_string();
        for (at, series) in published.series.iter().enumerate() {
            let key = self.keys.candles(&name, &series.interval.to_string());
            let view = series.view.load_full();
            let Some(newest) = view.closed.last().map(|c| c.open_time) else {
                continue;
            };
            let Some(known) = self
                .written
                .get_mut(index)
                .and_then(|w| w.candles.get_mut(at))
            else {
                continue;
            };
            let after = match *known {
                Some(after) => after,
                None => newest_in(&self.client, &key).await?,
            };
            *known = Some(after);
            if newest <= after {
                continue;
            }
            let pipeline = self.client.fred().pipeline();
            let new = view.closed.iter().filter(|c| c.open_time > after);
            let mut last = after;
            for candle in new.take(COMMANDS_MAX) {
                add(&pipeline, &key, candle, &instrument, self.candles_kept).await?;
                last = candle.open_time;
            }
            for result in pipeline.try_all::<Value>().await {
                match result {
                    // Written before, and the answer was lost.
                    Err(error) if error.details().contains("equal or smaller") => {}
                    other => drop(other?),
                }
            }
            *known = Some(last);
        }
        Ok(())
    }
}

/// When the newest candle in the store opened.
async fn newest_in(client: &Client, key: &Key) -> Result<Time, fred::error::Error> {
    let newest: Vec<(String, Value)> = client
        .fred()
        .xrevrange(key.clone(), "+", "-", Some(1))
        .await?;
    let id = newest.first().and_then(|(id, _)| id.split('-').next());
    let ms = id.and_then(|ms| ms.parse::<i64>().ok());
    Ok(ms.and_then(Time::from_millis).unwrap_or(Time::ZERO))
}

async fn add(
    pipeline: &Pipeline<fred::clients::Client>,
    key: &Key,
    candle: &Candle,
    instrument: &Instrument,
    kept: usize,
) -> Result<(), fred::error::Error> {
    let price = |p: Price| p.display(instrument.price_scale).to_string();
    let qty = instrument.qty_scale.digits();
    let quote = qty.saturating_add(instrument.price_scale.digits());
    let fields = vec![
        ("open", price(candle.open)),
        ("high", price(candle.high)),
        ("low", price(candle.low)),
        ("close", price(candle.close)),
        ("volume", format_fixed(candle.volume, qty).to_string()),
        (
            "quote_volume",
            format_fixed(candle.quote_volume, quote).to_string(),
        ),
        ("trades", candle.trades.to_string()),
    ];
    let id = format!("{}-0", candle.open_time.millis());
    let cap = ("MAXLEN", "~", i64::try_from(kept).unwrap_or(i64::MAX));
    pipeline.xadd(key.clone(), false, cap, id, fields).await
}

fn ticker_fields(ticker: &TickerView, instrument: &Instrument) -> Vec<(&'static str, String)> {
    let price = |p: Option<Price>| {
        p.map(|p| p.display(instrument.price_scale).to_string())
            .unwrap_or_default()
    };
    let side = |level: Option<Level>| {
        let qty = level.map(|l| l.qty.display(instrument.qty_scale).to_string());
        (price(level.map(|l| l.price)), qty.unwrap_or_default())
    };
    let ((bid, bid_qty), (ask, ask_qty)) = (side(ticker.bid), side(ticker.ask));
    let derivative = ticker.derivative.as_ref();
    vec![
        ("symbol", instrument.name.symbol.clone()),
        ("venue", instrument.name.venue.to_string()),
        ("price", price(ticker.last_price)),
        ("bid", bid),
        ("bid_quantity", bid_qty),
        ("ask", ask),
        ("ask_quantity", ask_qty),
        (
            "mark_price",
            derivative
                .and_then(|d| d.mark)
                .map(|p| Decimal::from(p).to_string())
                .unwrap_or_default(),
        ),
        ("timestamp", ticker.time.millis().to_string()),
    ]
}
