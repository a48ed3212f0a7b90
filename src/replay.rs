//! Recordings through decoder and engine, as fast as it goes: the same code path as the daemon's,
//! with recorded times instead of a clock.

use std::path::PathBuf;

use crate::engine::Engine;
use crate::json::Json;
use crate::kernel::event::{Candle, Effect, Level, Record};
use crate::kernel::market::{Book, Market};
use crate::kernel::orders::PositionSide;
use crate::kernel::types::{Instrument, InstrumentId, Money, Price, Rate, Side, Time, VenueId};
use crate::kernel::{KernelConfig, Start};
use crate::offline::{Offline, OfflineError};
use crate::recording::RecordingError;
use crate::runtime::clock::Clock;
use crate::tape::{Tape, TapeError};
use crate::venue::sim::paper::PaperConfig;

/// What to replay, and how.
#[derive(Debug, Clone)]
pub struct ReplayConfig {
    /// Recordings, in the order of time; a directory stands for all of its files.
    pub files: Vec<PathBuf>,
    /// The venue that they were recorded from.
    pub venue: VenueId,
    /// The kernel.
    pub kernel: KernelConfig,
    /// Currency and money of the paper account.
    pub cash: (String, Money),
    /// Time of a paper order to the venue, in nanoseconds.
    pub paper: PaperConfig,
    /// Maker and taker fee.
    pub fees: (Rate, Rate),
    /// Levels a side of the books in the result.
    pub depth: usize,
}

/// A replay cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The recording.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// A file of it, when its turn came.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The engine.
    #[error(transparent)]
    Start(#[from] OfflineError),
}

/// What came out.
#[derive(Debug)]
pub struct Replayed {
    /// Lines read.
    pub frames: u64,
    /// Market events of known instruments.
    pub events: u64,
    /// Places where the recorder missed frames, or a connection began.
    pub holes: u64,
    /// Lines and frames that could not be read.
    pub errors: u64,
    /// The first of them, in words.
    pub faults: Vec<String>,
    /// Orders of strategies.
    pub orders: u64,
    /// Time for decoding and stepping, in nanoseconds.
    pub elapsed_ns: i64,
    /// The engine as it stands at the end.
    pub engine: Engine,
    /// The instruments of the recording.
    pub instruments: Vec<InstrumentId>,
}

/// Runs a replay. Malformed frames are counted and change nothing.
pub fn replay(config: &ReplayConfig, clock: &Clock) -> Result<Replayed, ReplayError> {
    let tape = Tape::open(&config.files, config.venue)?;
    let (maker_fee, taker_fee) = config.fees;
    let with_fees = |i: &Instrument| Instrument {
        maker_fee,
        taker_fee,
        ..i.clone()
    };
    let start = Start {
        time: tape.first.unwrap_or(Time::ZERO),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instruments: tape.instruments().iter().map(with_fees).collect(),
        cash: config.cash.clone(),
    };
    let mut offline = Offline::start(&config.kernel, &config.paper, start)?;
    let ids = offline.instruments.clone();
    let mut orders = 0;
    let began = clock.now();
    let counts = tape.play(&ids, &mut |stamped| {
        offline.feed(&stamped);
        let placed = |e: &Effect| matches!(e, Effect::Record(r) if matches!(r.record, Record::Intent { .. }));
        orders += offline.effects.iter().filter(|e| placed(e)).count() as u64;
        offline.effects.clear();
    })?;
    Ok(Replayed {
        frames: counts.frames,
        events: counts.events,
        holes: counts.holes,
        errors: counts.errors,
        faults: counts.faults,
        orders,
        elapsed_ns: clock.now().since(began),
        engine: offline.engine,
        instruments: ids,
    })
}

impl Replayed {
    /// The result in a few lines for people.
    pub fn summary(&self) -> String {
        let kernel = self.engine.kernel();
        let seconds = self.elapsed_ns as f64 / 1e9;
        let mut out = format!(
            "{} frames, {} events, {} holes, {} errors in {seconds:.3} s ({:.0} frames/s)\nstate {:016x}\n",
            self.frames,
            self.events,
            self.holes,
            self.errors,
            self.frames as f64 / seconds,
            self.engine.state_hash()
        );
        for id in &self.instruments {
            let Some(instrument) = kernel.ledger().instrument(*id) else {
                continue;
            };
            let Some(market) = kernel.market_of(*id) else {
                continue;
            };
            let price = |p: Option<Price>| {
                p.map_or_else(
                    || "-".to_owned(),
                    |p| p.display(instrument.price_scale).to_string(),
                )
            };
            let book = market.book.valid();
            let line = format!(
                "{}: {} book updates, {} gaps, book {}, bid {}, ask {}, {} trades, last {}\n",
                instrument.name,
                market.book.updates,
                market.book.gaps,
                if book.is_some() { "valid" } else { "invalid" },
                price(best(book.and_then(Book::best_bid))),
                price(best(book.and_then(Book::best_ask))),
                market.trades,
                price(market.last_price()),
            );
            out.push_str(&line);
        }
        out
    }

    /// The result as one JSON object.
    pub fn to_json(&self, config: &ReplayConfig) -> Vec<u8> {
        let mut json = Json::new(false);
        let kernel = self.engine.kernel();
        let seconds = self.elapsed_ns as f64 / 1e9;
        json.object(|j| {
            j.key("frames").int(self.frames);
            j.key("events").int(self.events);
            j.key("holes").int(self.holes);
            j.key("errors").int(self.errors);
            j.key("elapsed_s").float(seconds);
            j.key("frames_per_s")
                .float((self.frames as f64 / seconds).round());
            j.key("state_hash")
                .id(format_args!("{:016x}", self.engine.state_hash()));
            j.key("instruments").object(|j| {
                for id in &self.instruments {
                    let Some(instrument) = kernel.ledger().instrument(*id) else {
                        continue;
                    };
                    let Some(market) = kernel.market_of(*id) else {
                        continue;
                    };
                    j.key(&instrument.name.to_string());
                    j.object(|j| self.instrument(j, *id, instrument, market, config));
                }
            });
        });
        json.into_bytes()
    }

    fn instrument(
        &self,
        j: &mut Json,
        id: InstrumentId,
        instrument: &Instrument,
        market: &Market,
        config: &ReplayConfig,
    ) {
        let ledger = self.engine.kernel().ledger();
        j.key("valid").bool(market.book.valid().is_some());
        j.key("book_updates").int(market.book.updates);
        j.key("gaps").int(market.book.gaps);
        j.key("resyncs").int(market.book.resyncs);
        j.key("last_update_id").int(market.book.last_id());
        let book = market.book.valid();
        j.key("best_bid")
            .price_or_null(best(book.and_then(Book::best_bid)), instrument);
        j.key("best_ask")
            .price_or_null(best(book.and_then(Book::best_ask)), instrument);
        for (name, side) in [("bids", Side::Buy), ("asks", Side::Sell)] {
            j.key(name).array(|j| {
                for level in book
                    .into_iter()
                    .flat_map(|b| b.levels(side))
                    .take(config.depth)
                {
                    j.array(|j| {
                        j.price(level.price, instrument);
                        j.qty(level.qty, instrument);
                    });
                }
            });
        }
        j.key("trades").int(market.trades);
        j.key("trade_gaps").int(market.trade_gaps);
        j.key("volume")
            .decimal(market.volume, instrument.qty_scale.digits());
        j.key("last_price")
            .price_or_null(market.last_price(), instrument);
        j.key("candles").object(|j| {
            for series in market.series() {
                j.key(&series.interval().to_string()).object(|j| {
                    j.key("count").int(series.closes);
                    j.key("mismatches").int(series.mismatches);
                    j.key("last");
                    candle(j, series.last(), instrument);
                    j.key("forming");
                    candle(j, series.forming(), instrument);
                });
            }
        });
        j.key("indicators").object(|j| {
            for series in market.series() {
                j.key(&series.interval().to_string()).object(|j| {
                    for kept in series.indicators() {
                        j.key(kept.name()).object(|j| {
                            for (at, output) in kept.outputs().iter().enumerate() {
                                let value = kept.value().and_then(|v| v.get(at).copied());
                                j.key(output).float_or_null(value);
                            }
                        });
                    }
                });
            }
        });
        // Of those that are kept.
        let (mut orders, mut fills) = (0, 0);
        for order in ledger.orders().iter().filter(|o| o.instrument == id) {
            orders += 1;
            fills += order.trade_ids().count();
        }
        j.key("orders").count(orders);
        j.key("fills").count(fills);
        let position = ledger.position(id, PositionSide::Both);
        j.key("position")
            .decimal(i128::from(position.qty), instrument.qty_scale.digits());
        let open = market
            .mark(instrument)
            .and_then(|m| position.unrealized(m, instrument).ok());
        let pnl = open.and_then(|o| o.plus(position.realized).ok()?.minus(position.fees).ok());
        j.key("pnl").money_or_null(pnl);
    }
}

fn best(level: Option<Level>) -> Option<Price> {
    level.map(|l| l.price)
}

fn candle(j: &mut Json, candle: Option<&Candle>, instrument: &Instrument) {
    let Some(candle) = candle else {
        return j.null();
    };
    let (price, qty) = (
        instrument.price_scale.digits(),
        instrument.qty_scale.digits(),
    );
    j.object(|j| {
        j.key("timestamp").int(candle.open_time.millis());
        j.key("open").price(candle.open, instrument);
        j.key("high").price(candle.high, instrument);
        j.key("low").price(candle.low, instrument);
        j.key("close").price(candle.close, instrument);
        j.key("volume").decimal(candle.volume, qty);
        j.key("quote_volume")
            .decimal(candle.quote_volume, price.saturating_add(qty));
        j.key("trades").int(candle.trades);
    });
}
