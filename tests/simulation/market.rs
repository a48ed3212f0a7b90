//! A market without a venue: books that move as the actions say.

use std::collections::BTreeMap;

use hean::kernel::event::{
    DepthDelta, DepthSnapshot, Derivative, Input, Level, LossReason, Lost, MarketData, MarketEvent,
    Trade,
};
use hean::kernel::types::{
    Contract, HOUR, Instrument, InstrumentId, InstrumentName, MarkPrice, Money, Price, Qty, Rate,
    Scale, Side, Time, VenueId,
};

use crate::action::{INSTRUMENTS, Move};
use crate::random::Random;

/// Bids and asks: quantities by price in ticks.
type Halves = (BTreeMap<i64, i64>, BTreeMap<i64, i64>);

/// Levels a side.
const DEPTH: i64 = 12;

pub(crate) fn instruments() -> Vec<Instrument> {
    (0..INSTRUMENTS).map(instrument).collect()
}

fn instrument(number: u16) -> Instrument {
    let names = ["AUSDT", "BUSDT", "CUSDT", "DUSDT"];
    let spot = number < 2;
    let name = InstrumentName {
        venue: if spot {
            VenueId::Binance
        } else {
            VenueId::BinanceUsdm
        },
        symbol: names[usize::from(number)].to_owned(),
    };
    let scales = [(2, 3), (4, 1), (1, 3), (3, 2)][usize::from(number)];
    let scale = |digits| Scale::new(digits).expect("scale");
    let base = &name.symbol[..1].to_owned();
    Instrument {
        contract: if spot {
            Contract::Spot
        } else {
            Contract::LinearPerpetual
        },
        funding_minutes: if spot { 0 } else { 60 },
        tick: Price([1, 5, 1, 10][usize::from(number)]),
        lot: Qty([10, 1, 5, 1][usize::from(number)]),
        qty_min: Qty([10, 2, 5, 1][usize::from(number)]),
        notional_min: Money::whole([5, 1, 5, 0][usize::from(number)]),
        orders_max: 40,
        maker_fee: Rate([75_000, 100_000, 20_000, -10_000][usize::from(number)]),
        taker_fee: Rate([75_000, 100_000, 50_000, 60_000][usize::from(number)]),
        ..Instrument::unlimited(name, base, "USDT", (scale(scales.0), scale(scales.1)))
    }
}

/// One instrument's market.
#[derive(Debug, Clone)]
pub(crate) struct Market {
    id: InstrumentId,
    instrument: Instrument,
    /// The middle, in ticks.
    middle: i64,
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    update: u64,
    trade: u64,
    lost: bool,
    funding: Time,
}

impl Market {
    pub(crate) fn new(number: u16, now: Time) -> Self {
        let instrument = instrument(number);
        let mut market = Self {
            id: InstrumentId(number),
            middle: [10_000, 4_000, 50_000, 3_000][usize::from(number)],
            instrument,
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
            update: 1,
            trade: 0,
            lost: true,
            funding: now.plus(HOUR),
        };
        market.fill(&mut Random::new(u64::from(number)));
        market
    }

    pub(crate) fn price(&self, ticks: i64) -> Price {
        Price((self.middle + ticks).max(1) * self.instrument.tick.0)
    }

    pub(crate) fn lots(&self, lots: i64) -> Qty {
        Qty(lots * self.instrument.lot.0)
    }

    pub(crate) fn instrument(&self) -> &Instrument {
        &self.instrument
    }

    fn fill(&mut self, random: &mut Random) {
        for step in 1..=DEPTH {
            for (side, at) in [
                (&mut self.bids, self.middle - step),
                (&mut self.asks, self.middle + step),
            ] {
                let qty = random.range(1, 80) * self.instrument.lot.0;
                side.entry(at).or_insert(qty);
            }
        }
        let (low, high) = (self.middle - DEPTH, self.middle + DEPTH);
        let middle = self.middle;
        self.bids.retain(|at, _| (low..middle).contains(at));
        self.asks.retain(|at, _| *at > middle && *at <= high);
    }

    fn levels(&self, side: &BTreeMap<i64, i64>) -> Vec<Level> {
        let level = |(at, qty): (&i64, &i64)| Level {
            price: Price(at * self.instrument.tick.0),
            qty: Qty(*qty),
        };
        side.iter().map(level).collect()
    }

    fn event(&self, now: Time, data: MarketData) -> Input {
        Input::Market(MarketEvent {
            instrument: self.id,
            venue_time: now,
            received: now,
            data,
        })
    }

    /// The whole book, as at a start or after a loss.
    pub(crate) fn snapshot(&mut self, now: Time) -> Input {
        self.lost = false;
        self.update += 1;
        let data = MarketData::Snapshot(Box::new(DepthSnapshot {
            last_id: self.update,
            seq: self.update,
            window: None,
            bids: self.levels(&self.bids),
            asks: self.levels(&self.asks),
        }));
        self.event(now, data)
    }

    /// What comes of a move.
    pub(crate) fn step(&mut self, what: Move, random: &mut Random, now: Time) -> Vec<Input> {
        if self.lost {
            return vec![self.snapshot(now)];
        }
        match what {
            Move::Levels => {
                let before = (self.bids.clone(), self.asks.clone());
                for side in [&mut self.bids, &mut self.asks] {
                    for qty in side.values_mut() {
                        if random.chance(30) {
                            *qty = random.range(1, 80) * self.instrument.lot.0;
                        }
                    }
                }
                vec![self.delta(&before, now)]
            }
            Move::Shift(by) => {
                let before = (self.bids.clone(), self.asks.clone());
                self.middle = (self.middle + by).max(100);
                self.bids.clear();
                self.asks.clear();
                for (at, qty) in &before.0 {
                    if *at < self.middle {
                        self.bids.insert(*at, *qty);
                    }
                }
                for (at, qty) in &before.1 {
                    if *at > self.middle {
                        self.asks.insert(*at, *qty);
                    }
                }
                self.fill(random);
                vec![self.delta(&before, now)]
            }
            Move::Trade(buyer, lots) => {
                self.trade += 1;
                let ticks = random.pick(&[1, 1, 1, 2, 3]);
                let at = if buyer { ticks } else { -ticks };
                let trade = Trade {
                    id: self.trade,
                    first_id: self.trade,
                    last_id: self.trade,
                    price: self.price(at),
                    qty: self.lots(lots),
                    taker: if buyer { Side::Buy } else { Side::Sell },
                    time: now,
                };
                vec![self.event(now, MarketData::Trade(trade))]
            }
            Move::Mark(ticks) => {
                if self.instrument.contract == Contract::Spot {
                    return Vec::new();
                }
                while self.funding <= now {
                    self.funding = self.funding.plus(HOUR);
                }
                let scale = self.instrument.price_scale.unit();
                let mark = self.price(ticks).0 * (Rate::ONE.0 / scale);
                let figures = Derivative {
                    mark: Some(MarkPrice(mark)),
                    index: None,
                    funding_rate: Some(Rate(random.range(-300_000, 300_000))),
                    next_funding: Some(self.funding),
                    open_interest: None,
                };
                vec![self.event(now, MarketData::Derivative(Box::new(figures)))]
            }
            Move::Lost => {
                self.lost = true;
                vec![self.event(now, MarketData::Lost(LossReason::Stalled, Lost::Book))]
            }
        }
    }

    fn delta(&mut self, before: &Halves, now: Time) -> Input {
        let tick = self.instrument.tick.0;
        let changed = |old: &BTreeMap<i64, i64>, new: &BTreeMap<i64, i64>| {
            let mut levels = Vec::new();
            for (at, qty) in new {
                if old.get(at) != Some(qty) {
                    levels.push((*at, *qty));
                }
            }
            levels.extend(
                old.keys()
                    .filter(|at| !new.contains_key(at))
                    .map(|at| (*at, 0)),
            );
            let level = |(at, qty): (i64, i64)| Level {
                price: Price(at * tick),
                qty: Qty(qty),
            };
            levels.into_iter().map(level).collect::<Vec<_>>()
        };
        let prev = self.update;
        self.update += 1;
        let delta = DepthDelta {
            first_id: self.update,
            last_id: self.update,
            prev_id: prev,
            seq: self.update,
            bids: changed(&before.0, &self.bids),
            asks: changed(&before.1, &self.asks),
        };
        self.event(now, MarketData::Depth(Box::new(delta)))
    }
}
