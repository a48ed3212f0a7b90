//! One symbol of the synthetic market: its hidden fair price, its order book, its traders.
//!
//! Invariants: the book is never crossed and has levels on both sides; each change of a level has
//! the next update id; trade ids are contiguous.

use std::collections::{BTreeMap, BTreeSet};

use super::Plan;
use super::history::{self, Path};
use super::perpetual::Perpetual;
use super::random::{Random, round};
use crate::kernel::event::{DepthDelta, DepthSnapshot, Level, Liquidation, Quote, Trade};
use crate::kernel::types::{Instrument, Price, Qty, SECOND, Side, Time};
use crate::venue::sim::candles::Bar;
use crate::venue::sim::market::MarketKind;
use crate::venue::sim::matching;
use crate::venue::sim::symbol::Change;

/// Length of a usual step in seconds: what the chances below are of.
const USUAL_STEP: f64 = 0.01;
/// Usual spread of the logarithm of the fair price over one second: 56 % a year.
const VOLATILITY: f64 = 1e-4;
/// Seconds in which the volatility returns to the usual one, and how far it wanders.
const VOLATILITY_RETURN: f64 = 60.0;
const VOLATILITY_SPREAD: f64 = 0.5;
/// Seconds in which a trend ends, and its usual strength per second.
const TREND_RETURN: f64 = 15.0;
const TREND_SPREAD: f64 = 3e-5;
/// Seconds in which the price is pulled back to where it began.
const ANCHOR_RETURN: f64 = 3_600.0;
/// Half of the makers' spread, as a share of the price.
const HALF_SPREAD: f64 = 1.5e-5;
/// Aggressive orders a second when nothing happens, what each adds, and how fast that fades.
const TAKERS: f64 = 1.2;
const TAKERS_EXCITED: f64 = 0.4;
const TAKERS_FADE: f64 = 1.5;
/// Usual value of an aggressive order in the quote asset, and of a resting one.
const TAKER_VALUE: f64 = 500.0;
const MAKER_VALUE: f64 = 3_000.0;
/// How far an aggressive order walks, as a share of the price.
const TAKER_REACH: f64 = 5e-4;
/// Levels a side: usual, least, most.
const LEVELS: f64 = 400.0;
const LEVELS_MIN: usize = 120;
const LEVELS_MAX: usize = 1_000;
/// First update id and first trade id after the start.
const FIRST_UPDATE: u64 = 10_000_000_000;
const FIRST_TRADE: u64 = 1_000_000_000_000;
/// Update ids of other symbols and hidden orders between two of USDⓈ-M, at most.
const ID_JUMP: usize = 60;
/// Executions that one of its trades sums up, at most.
const EXECUTIONS_MAX: usize = 4;
/// First update id after a restart.
const RESTART_UPDATE: u64 = 1_000;

/// A symbol's market.
#[derive(Debug)]
pub(super) struct Flow {
    instrument: Instrument,
    /// Length of a step in seconds, how often the crowd acts in it, and whether ids jump and trades
    /// sum up executions.
    dt: f64,
    crowd: i64,
    usdm: bool,
    perpetual: Option<Perpetual>,
    random: Random,
    history: (u64, u64, Path),
    /// Logarithm of the fair price in ticks, and of the price it is pulled to.
    fair: f64,
    anchor: f64,
    /// Logarithm of volatility over the usual one.
    excess: f64,
    trend: f64,
    excitement: f64,
    /// Lots that are worth one unit of the quote asset.
    lots: f64,
    bids: BTreeMap<Price, Qty>,
    asks: BTreeMap<Price, Qty>,
    changed_bids: BTreeSet<Price>,
    changed_asks: BTreeSet<Price>,
    update_id: u64,
    published: u64,
    next_trade: u64,
    next_execution: u64,
    quote: Option<(Level, Level)>,
}

impl Flow {
    /// The market of `instrument` that opens at `price`.
    pub(super) fn new(plan: Plan, instrument: Instrument, price: Price, start: Time) -> Self {
        let seed = plan.seed;
        let stream = stream(plan.kind, &instrument);
        let lots = {
            let (price_unit, qty_unit) =
                (instrument.price_scale.unit(), instrument.qty_scale.unit());
            qty_unit as f64 * price_unit as f64 / price.0 as f64
        };
        let path = Path {
            start,
            price,
            volatility: VOLATILITY,
            qty: lots * TAKER_VALUE,
            next_trade: FIRST_TRADE,
        };
        let anchor = libm::log(price.0 as f64);
        let perpetual = plan.kind.is_derivative().then(|| {
            let mut random = Random::new(seed ^ 1, stream);
            Perpetual::new(&instrument, lots, &mut random)
        });
        let mut flow = Self {
            instrument,
            dt: plan.step() as f64 / SECOND as f64,
            crowd: plan.crowd(),
            usdm: plan.kind == MarketKind::Usdm,
            perpetual,
            random: Random::new(seed, stream),
            // A stream of its own: reading the history must not change the future.
            history: (seed, !stream, path),
            fair: anchor,
            anchor,
            excess: 0.0,
            trend: 0.0,
            excitement: 0.0,
            lots,
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
            changed_bids: BTreeSet::new(),
            changed_asks: BTreeSet::new(),
            update_id: FIRST_UPDATE,
            published: FIRST_UPDATE,
            next_trade: FIRST_TRADE,
            next_execution: FIRST_TRADE,
            quote: None,
        };
        flow.open();
        flow
    }

    pub(super) const fn instrument(&self) -> &Instrument {
        &self.instrument
    }

    pub(super) fn snapshot(&self) -> DepthSnapshot {
        DepthSnapshot {
            last_id: self.published,
            seq: self.published,
            window: None,
            bids: list(self.bids.iter().rev()).collect(),
            asks: list(self.asks.iter()).collect(),
        }
    }

    pub(super) fn history(&self) -> Vec<Bar> {
        let (seed, stream, path) = self.history;
        history::draw(path, &mut Random::new(seed, stream))
    }

    /// The book before the first event.
    fn open(&mut self) {
        for side in [Side::Buy, Side::Sell] {
            self.quote_around(side);
            self.fill(side, LEVELS_MIN * 2);
        }
        self.changed_bids.clear();
        self.changed_asks.clear();
        self.published = self.update_id;
    }

    /// One step, to `now`.
    pub(super) fn step(&mut self, now: Time, publish: bool, mut emit: impl FnMut(Change)) {
        self.move_fair();
        self.correct(now, &mut emit);
        for _ in 0..self.crowd {
            self.take(now, &mut emit);
            for side in [Side::Buy, Side::Sell] {
                self.make(side);
            }
        }
        self.tell_figures(now, &mut emit);
        if publish && self.usdm && self.update_id > self.published {
            let jump = self.random.below(ID_JUMP) as u64;
            self.update_id += jump;
        }
        self.emit_quote(&mut emit);
        if publish {
            self.emit_depth(&mut emit);
        }
    }

    fn move_fair(&mut self) {
        let dt = self.dt;
        let root = libm::sqrt(dt);
        let wander = |value: f64, back: f64, spread: f64, normal: f64| {
            value - value * dt / back + spread * libm::sqrt(2.0 * dt / back) * normal
        };
        let (a, b, c) = (
            self.random.normal(),
            self.random.normal(),
            self.random.normal(),
        );
        self.excess = wander(self.excess, VOLATILITY_RETURN, VOLATILITY_SPREAD, a);
        self.trend = wander(self.trend, TREND_RETURN, TREND_SPREAD, b);
        let pull = (self.anchor - self.fair) / ANCHOR_RETURN;
        self.fair += (self.trend + pull) * dt + VOLATILITY * libm::exp(self.excess) * root * c;
    }

    /// The fair price in ticks.
    fn price(&self) -> f64 {
        libm::exp(self.fair).max(2.0)
    }

    fn half_spread(&self) -> f64 {
        let calm = libm::exp(self.excess).clamp(0.5, 4.0);
        (self.price() * HALF_SPREAD * calm).max(0.5)
    }

    /// Whoever knows the fair price takes what rests on the wrong side of it, unless its owner was
    /// quicker to cancel.
    fn correct(&mut self, now: Time, emit: &mut impl FnMut(Change)) {
        let (price, half) = (self.price(), self.half_spread());
        for side in [Side::Buy, Side::Sell] {
            // A buyer takes asks below the fair price.
            let limit = match side {
                Side::Buy => Price(round(price - half / 2.0)),
                Side::Sell => Price(round(price + half / 2.0)),
            };
            let resting = side.opposite();
            let Some(best) = self.best(resting) else {
                continue;
            };
            if !matching::acceptable(side, Some(limit), best.price) {
                continue;
            }
            let luck = self.random.unit();
            if luck < 0.5 {
                self.set(resting, best.price, Qty::ZERO);
            } else if luck < 0.75 {
                let qty = self.size(TAKER_VALUE * 4.0, 1.0);
                self.execute(now, side, limit, qty, emit);
            }
        }
    }

    /// Aggressors that come in clusters and lean with the trend.
    fn take(&mut self, now: Time, emit: &mut impl FnMut(Change)) {
        // Counted in steps, so that a quiet market with longer ones has fewer.
        self.excitement -= self.excitement * USUAL_STEP / TAKERS_FADE;
        if !self.random.chance((TAKERS + self.excitement) * USUAL_STEP) {
            return;
        }
        self.excitement += TAKERS_EXCITED;
        let lean = (0.5 + 0.15 * self.trend / TREND_SPREAD).clamp(0.15, 0.85);
        let side = if self.random.chance(lean) {
            Side::Buy
        } else {
            Side::Sell
        };
        let Some(best) = self.best(side.opposite()) else {
            return;
        };
        let reach = round(best.price.0 as f64 * TAKER_REACH).max(1);
        let limit = match side {
            Side::Buy => Price(best.price.0.saturating_add(reach)),
            Side::Sell => Price(best.price.0.saturating_sub(reach).max(1)),
        };
        let qty = self.size(TAKER_VALUE, 1.5);
        self.execute(now, side, limit, qty, emit);
    }

    fn execute(
        &mut self,
        now: Time,
        side: Side,
        limit: Price,
        qty: Qty,
        emit: &mut impl FnMut(Change),
    ) {
        let resting = side.opposite();
        let taken = match resting {
            Side::Buy => matching::take(list(self.bids.iter().rev()), side, Some(limit), qty),
            Side::Sell => matching::take(list(self.asks.iter()), side, Some(limit), qty),
        };
        for execution in taken.executions {
            let rest = self
                .side(resting)
                .get(&execution.price)
                .and_then(|qty| qty.checked_sub(execution.qty))
                .unwrap_or(Qty::ZERO);
            self.set(resting, execution.price, rest);
            // No more executions than there are lots.
            let more = if self.usdm {
                let lots = usize::try_from(execution.qty.0).unwrap_or(1);
                self.random.below(EXECUTIONS_MAX.min(lots)) as u64
            } else {
                0
            };
            let (first_id, last_id) = (self.next_execution, self.next_execution + more);
            self.next_execution = last_id + 1;
            emit(Change::Trade(Trade {
                id: self.next_trade,
                first_id,
                last_id,
                price: execution.price,
                qty: execution.qty,
                taker: side,
                time: now,
            }));
            self.next_trade += 1;
        }
    }

    /// What a perpetual shows, and whom it liquidates.
    fn tell_figures(&mut self, now: Time, emit: &mut impl FnMut(Change)) {
        let (price, dt) = (self.price(), self.dt);
        let lean = self.trend / TREND_SPREAD;
        let Some(perpetual) = &mut self.perpetual else {
            return;
        };
        if let Some(figures) = perpetual.step(now, dt, price) {
            emit(Change::Derivative(figures));
        }
        let Some(side) = perpetual.liquidates(dt, lean) else {
            return;
        };
        let Some(best) = self.best(side.opposite()) else {
            return;
        };
        let reach = round(best.price.0 as f64 * TAKER_REACH).max(1);
        let limit = match side {
            Side::Buy => Price(best.price.0.saturating_add(reach)),
            Side::Sell => Price(best.price.0.saturating_sub(reach).max(1)),
        };
        let qty = self.size(TAKER_VALUE * 4.0, 1.5);
        self.execute(now, side, limit, qty, emit);
        emit(Change::Liquidation(Liquidation {
            side,
            price: limit,
            qty,
            time: now,
        }));
    }

    /// Update ids begin again.
    pub(super) fn restart(&mut self) -> DepthSnapshot {
        self.update_id = RESTART_UPDATE;
        self.published = RESTART_UPDATE;
        self.quote = None;
        self.changed_bids.clear();
        self.changed_asks.clear();
        self.snapshot()
    }

    /// Makers at the best price, the crowd behind them, and those who cancel.
    fn make(&mut self, side: Side) {
        if self.random.chance(0.35) {
            self.quote_around(side);
        }
        if self.random.chance(0.5) {
            self.add_deeper(side);
        }
        let count = self.side(side).len();
        if self.random.chance(0.5 * count as f64 / LEVELS) {
            let place = self.random.below(count);
            let level = self.side(side).iter().nth(place).map(|(p, q)| (*p, *q));
            if let Some((price, qty)) = level {
                // Some cancel a part only.
                let rest = if self.random.chance(0.25) {
                    qty.0 / 2
                } else {
                    0
                };
                self.set(side, price, Qty(rest));
            }
        }
        self.fill(side, LEVELS_MIN);
        while self.side(side).len() > LEVELS_MAX {
            let farthest = match side {
                Side::Buy => self.bids.first_key_value().map(|(price, _)| *price),
                Side::Sell => self.asks.last_key_value().map(|(price, _)| *price),
            };
            let Some(price) = farthest else { break };
            self.set(side, price, Qty::ZERO);
        }
    }

    /// Adds orders until the side has `count` levels, or nearly so: many hit a level that is there.
    fn fill(&mut self, side: Side, count: usize) {
        for _ in 0..count * 20 {
            if self.side(side).len() >= count {
                return;
            }
            self.add_deeper(side);
        }
    }

    /// A maker quotes at half a spread from the fair price, give or take.
    fn quote_around(&mut self, side: Side) {
        let away = self.half_spread() * (0.7 + 0.6 * self.random.exponential());
        self.add(side, away, MAKER_VALUE);
    }

    /// An order somewhere behind: most near, some far.
    fn add_deeper(&mut self, side: Side) {
        // At least so many ticks that there is room for the levels of a coarse tick.
        let mean = if self.random.chance(0.8) {
            (self.price() * 6e-4).max(30.0)
        } else {
            (self.price() * 6e-3).max(150.0)
        };
        let away = self.half_spread() + mean * self.random.exponential();
        self.add(side, away, MAKER_VALUE);
    }

    /// Adds an order `away` ticks from the fair price, but never across the other side.
    fn add(&mut self, side: Side, away: f64, value: f64) {
        let wanted = match side {
            Side::Buy => round(libm::floor(self.price() - away)),
            Side::Sell => round(libm::ceil(self.price() + away)),
        };
        let other = self.best(side.opposite()).map(|level| level.price.0);
        let price = match (side, other) {
            (Side::Buy, Some(ask)) => wanted.min(ask.saturating_sub(1)),
            (Side::Sell, Some(bid)) => wanted.max(bid.saturating_add(1)),
            (_, None) => wanted,
        };
        if price < 1 {
            return;
        }
        let price = Price(price);
        let more = self.size(value, 1.2);
        let have = self.side(side).get(&price).copied().unwrap_or(Qty::ZERO);
        self.set(side, price, have.checked_add(more).unwrap_or(have));
    }

    /// Lots worth about `value` in the quote asset.
    fn size(&mut self, value: f64, spread: f64) -> Qty {
        Qty(round(self.lots * value * self.random.log_normal(spread)).max(1))
    }

    const fn side(&self, side: Side) -> &BTreeMap<Price, Qty> {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    fn best(&self, side: Side) -> Option<Level> {
        let (price, qty) = match side {
            Side::Buy => self.bids.last_key_value()?,
            Side::Sell => self.asks.first_key_value()?,
        };
        Some(Level {
            price: *price,
            qty: *qty,
        })
    }

    fn set(&mut self, side: Side, price: Price, qty: Qty) {
        let (levels, changed) = match side {
            Side::Buy => (&mut self.bids, &mut self.changed_bids),
            Side::Sell => (&mut self.asks, &mut self.changed_asks),
        };
        if qty == Qty::ZERO {
            levels.remove(&price);
        } else {
            levels.insert(price, qty);
        }
        changed.insert(price);
        self.update_id += 1;
    }

    fn emit_quote(&mut self, emit: &mut impl FnMut(Change)) {
        let (Some(bid), Some(ask)) = (self.best(Side::Buy), self.best(Side::Sell)) else {
            return;
        };
        assert!(bid.price < ask.price, "the synthetic book is crossed");
        if self.quote != Some((bid, ask)) {
            self.quote = Some((bid, ask));
            emit(Change::Quote(Quote {
                update_id: self.update_id,
                bid,
                ask,
            }));
        }
    }

    fn emit_depth(&mut self, emit: &mut impl FnMut(Change)) {
        if self.update_id == self.published {
            return;
        }
        let jump = if self.usdm {
            let room = usize::try_from(self.update_id - self.published).unwrap_or(1);
            self.random.below(room) as u64
        } else {
            0
        };
        let delta = DepthDelta {
            prev_id: self.published,
            first_id: self.published + 1 + jump,
            last_id: self.update_id,
            seq: self.update_id,
            bids: changes(&self.bids, self.changed_bids.iter().rev()),
            asks: changes(&self.asks, self.changed_asks.iter()),
        };
        self.changed_bids.clear();
        self.changed_asks.clear();
        self.published = self.update_id;
        emit(Change::Depth(delta));
    }
}

/// The draws of a symbol: of its name, and in other markets than Binance spot of theirs.
fn stream(kind: MarketKind, instrument: &Instrument) -> u64 {
    let symbol = &instrument.name.symbol;
    match kind {
        MarketKind::Spot => xxhash_rust::xxh3::xxh3_64(symbol.as_bytes()),
        _ => xxhash_rust::xxh3::xxh3_64(format!("{kind}:{symbol}").as_bytes()),
    }
}

fn list<'a>(side: impl Iterator<Item = (&'a Price, &'a Qty)>) -> impl Iterator<Item = Level> {
    side.map(|(price, qty)| Level {
        price: *price,
        qty: *qty,
    })
}

/// The new quantity of each changed level; zero where it is gone.
fn changes<'a>(
    side: &BTreeMap<Price, Qty>,
    changed: impl Iterator<Item = &'a Price>,
) -> Vec<Level> {
    changed
        .map(|price| Level {
            price: *price,
            qty: side.get(price).copied().unwrap_or(Qty::ZERO),
        })
        .collect()
}
