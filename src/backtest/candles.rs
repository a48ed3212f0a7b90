//! Candles as market events: the documented way of a price through a candle.
//!
//! A candle says where the market was, not in which order. It is played in four steps, at its start and
//! after a quarter, a half and three quarters of it: the open, one extreme, the other extreme, the close.
//! Which extreme comes first is [`Path`]'s to say; unless told otherwise the one that is worse for what we
//! hold. On its way the price stops wherever it meets an own order (`PaperVenue::next_meeting`), so a stop is
//! set off at its trigger, a limit is passed at its limit, and what follows from a fill (the exits of a
//! bracket) is in place before the price goes on: latencies order events, they do not outlast a candle.
//!
//! At each place the order book has one bid and one ask of any size, half a spread below and above the
//! price, and a trade happens at the price itself. Half a spread is the slippage asked for, at least one
//! tick. A candle closes when the next one opens, as candles of a venue do; so a decision about it finds the
//! open of the next. Where rows are missing the book is invalid, as it is when a venue cannot be heard.
//!
//! All of that are ordinary inputs of the engine: kernel, risk, ledger and paper venue know nothing of it.

use std::str::FromStr;

use super::market::{CandleMarket, Row};
use crate::kernel::event::{
    DepthDelta, DepthSnapshot, Derivative, Input, Level, LossReason, Lost, MarketData, MarketEvent,
    Stamped, Trade,
};
use crate::kernel::orders::PositionSide;
use crate::kernel::types::{InstrumentId, Price, Qty, Rate, SECOND, Side, Time};
use crate::offline::Offline;

/// What a level of the played book holds: more than anybody wants.
const DEPTH: Qty = Qty(1_000_000_000_000_000);
/// Places in a candle.
const STEPS: u8 = 4;

/// Which extreme of a candle comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Path {
    /// The one that is worse for what we hold (so that a stop comes before a target); where we hold nothing,
    /// the one that an entry does not wait for, so that its own stop comes after it.
    #[default]
    Pessimistic,
    /// The lowest price.
    LowFirst,
    /// The highest price.
    HighFirst,
}

impl Path {
    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pessimistic => "pessimistic",
            Self::LowFirst => "low-first",
            Self::HighFirst => "high-first",
        }
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Pessimistic, Self::LowFirst, Self::HighFirst]
            .into_iter()
            .find(|path| path.name() == text)
            .ok_or_else(|| "expected pessimistic, low-first or high-first".to_owned())
    }
}

/// How candles are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Play {
    /// The order of the extremes.
    pub path: Path,
    /// Half of the spread, as a share of the price.
    pub slippage: Rate,
    /// Whether a limit order is filled by a price that only touches it.
    pub touch: bool,
}

/// Plays markets in the order of time. `hear` sees the engine after every input.
#[derive(Debug)]
pub struct Player<'a> {
    play: Play,
    lanes: Vec<Lane<'a>>,
}

/// One market, and how far it is.
#[derive(Debug)]
struct Lane<'a> {
    id: InstrumentId,
    rows: &'a [Row],
    market: &'a CandleMarket,
    /// Of `rows`.
    row: usize,
    /// Where the first row begins.
    first: Time,
    /// From 0 to [`STEPS`]: what comes next of the row.
    step: u8,
    due: Time,
    /// Where the row ends.
    end: Time,
    /// Of the row's volume, what has not traded yet.
    left: Qty,
    price: Price,
    low_first: bool,
    valid: bool,
    /// The next payment of funding that has not been announced.
    funding: usize,
    depth: Stamped,
    trade: Stamped,
}

impl<'a> Player<'a> {
    /// Plays `markets`, of each the rows of `spans`; `ids` are the instruments' in the engine.
    pub fn new(
        markets: &'a [CandleMarket],
        ids: &[InstrumentId],
        play: Play,
        (from, to): (Time, Time),
    ) -> Self {
        let lane = |(market, id): (&'a CandleMarket, &InstrumentId)| {
            let first = market.rows.partition_point(|r| r.time < from);
            let last = market.rows.partition_point(|r| r.time < to);
            Lane::new(*id, market, &market.rows[first..last.max(first)])
        };
        Self {
            play,
            lanes: markets.iter().zip(ids).map(lane).collect(),
        }
    }

    /// Plays everything. At the end time has reached the end of the last candle.
    pub fn run(mut self, offline: &mut Offline, hear: &mut dyn FnMut(&mut Offline)) {
        let mut end = Time::ZERO;
        loop {
            let lanes = self.lanes.iter_mut();
            let next = lanes
                .filter_map(|l| Some((l.next()?, l)))
                .min_by_key(|(due, _)| *due);
            let Some((due, lane)) = next else { break };
            end = end.max(lane.end);
            lane.advance(due, self.play, offline, hear);
        }
        offline.tick_until(end.plus(1));
        hear(offline);
    }
}

impl<'a> Lane<'a> {
    fn new(id: InstrumentId, market: &'a CandleMarket, rows: &'a [Row]) -> Self {
        let stamped = |data| Stamped {
            time: Time::ZERO,
            input: Input::Market(MarketEvent {
                instrument: id,
                venue_time: Time::ZERO,
                received: Time::ZERO,
                data,
            }),
        };
        let first = rows.first().map_or(Time::ZERO, |r| r.time);
        let none = Level {
            price: Price(0),
            qty: Qty::ZERO,
        };
        Self {
            id,
            rows,
            market,
            row: 0,
            first,
            step: 0,
            due: first,
            end: first,
            left: Qty::ZERO,
            price: Price(0),
            low_first: true,
            valid: false,
            funding: market.funding.partition_point(|(due, _)| *due <= first),
            depth: stamped(MarketData::Depth(Box::new(DepthDelta {
                prev_id: 0,
                first_id: 0,
                last_id: 0,
                seq: 0,
                bids: vec![none; 2],
                asks: vec![none; 2],
            }))),
            trade: stamped(MarketData::Trade(Trade {
                id: 0,
                first_id: 0,
                last_id: 0,
                price: Price(0),
                qty: Qty::ZERO,
                taker: Side::Buy,
                time: Time::ZERO,
            })),
        }
    }

    /// When something happens here next.
    fn next(&self) -> Option<Time> {
        self.rows.get(self.row)?;
        Some(self.announcement().map_or(self.due, |at| at.min(self.due)))
    }

    fn advance(
        &mut self,
        due: Time,
        play: Play,
        offline: &mut Offline,
        hear: &mut dyn FnMut(&mut Offline),
    ) {
        let Some(row) = self.rows.get(self.row) else {
            return;
        };
        // What was on its way has arrived before the price moves.
        offline.tick_until(due);
        if due < self.due || self.announcement() == Some(due) {
            self.announce(due, offline);
            return hear(offline);
        }
        let quarter = self.end.since(row.time) / i64::from(STEPS);
        match self.step {
            0 if self.valid && self.end < row.time => {
                // Rows are missing: nobody can be heard until the next one.
                self.lose(offline);
                hear(offline);
                return;
            }
            0 => {
                self.end = self.market.interval.next_open(row.time);
                self.left = row.volume;
                self.meet(row.open, due, play, offline);
            }
            1 => {
                self.low_first = low_first(play.path, row, self.id, offline);
                let to = if self.low_first { row.low } else { row.high };
                self.walk(to, due, due.plus(quarter), play, offline, hear);
            }
            2 => {
                let to = if self.low_first { row.high } else { row.low };
                self.walk(to, due, due.plus(quarter), play, offline, hear);
            }
            _ => self.walk(row.close, due, due.plus(quarter), play, offline, hear),
        }
        hear(offline);
        self.step += 1;
        let quarter = self.end.since(row.time) / i64::from(STEPS);
        self.due = row.time.plus(quarter * i64::from(self.step));
        if self.step == STEPS {
            self.step = 0;
            self.row += 1;
            // A hole begins where the row ends.
            let next = self.rows.get(self.row).map_or(self.end, |r| r.time);
            self.due = self.end.min(next);
        }
    }

    /// The book is not to be trusted until the next row.
    fn lose(&mut self, offline: &mut Offline) {
        self.valid = false;
        let lost = MarketData::Lost(LossReason::Disconnected, Lost::Book);
        offline.feed(&self.event(self.end, lost));
        self.due = self.rows.get(self.row).map_or(self.end, |r| r.time);
    }

    fn event(&self, time: Time, data: MarketData) -> Stamped {
        Stamped {
            time,
            input: Input::Market(MarketEvent {
                instrument: self.id,
                venue_time: time,
                received: time,
                data,
            }),
        }
    }

    /// When the venue announces the next payment of funding: a second before it, or, of a constant rate, at
    /// the beginning.
    fn announcement(&self) -> Option<Time> {
        let (due, _) = self.market.funding.get(self.funding)?;
        let constant = self.market.instrument.funding_minutes > 0;
        Some(if constant {
            self.first
        } else {
            due.plus(-SECOND).max(self.first)
        })
    }

    fn announce(&mut self, now: Time, offline: &mut Offline) {
        let Some((due, rate)) = self.market.funding.get(self.funding) else {
            return;
        };
        self.funding += 1;
        let figures = Derivative {
            funding_rate: Some(*rate),
            next_funding: Some(*due),
            ..Derivative::default()
        };
        offline.feed(&self.event(now, MarketData::Derivative(Box::new(figures))));
    }

    /// The price goes to `to`, and stops wherever it meets an order of ours.
    fn walk(
        &mut self,
        to: Price,
        mut now: Time,
        until: Time,
        play: Play,
        offline: &mut Offline,
        hear: &mut dyn FnMut(&mut Offline),
    ) {
        if offline.engine.paper().is_indifferent(self.id) {
            // Nobody looks: the book waits for the next open.
            self.tick(to, now, offline);
            return;
        }
        let beyond = if play.touch {
            Price(0)
        } else {
            self.market.instrument.tick
        };
        while let Some(stop) =
            offline
                .engine
                .paper()
                .next_meeting(self.id, (self.price, to), beyond)
        {
            self.meet(stop, now, play, offline);
            hear(offline);
            // What follows from it happens before the price goes on.
            now = offline.settle(until).max(now.plus(2));
        }
        self.meet(to, now, play, offline);
    }

    /// The market is at a price: the book stands around it, and a trade happens.
    fn meet(&mut self, price: Price, now: Time, play: Play, offline: &mut Offline) {
        if !self.valid || price != self.price || self.step == 0 {
            self.quote(price, now, play, offline);
        }
        self.tick(price, now.plus(1), offline);
    }

    /// The book moves to a price.
    fn quote(&mut self, price: Price, now: Time, play: Play, offline: &mut Offline) {
        let slip = match play.slippage {
            Rate(0) => 0, // as it is by default, and a division of such numbers is slow
            share => i128::from(price.0) * i128::from(share.0) / i128::from(Rate::ONE.0),
        };
        let half = i64::try_from(slip)
            .unwrap_or(i64::MAX)
            .max(self.market.instrument.tick.0);
        let level = |price: i64| Level {
            price: Price(price),
            qty: DEPTH,
        };
        // A price of one tick has no room for a bid below it.
        let bid = level(price.0.saturating_sub(half).max(1).min(price.0));
        let ask = level(price.0.saturating_add(half));
        let Input::Market(event) = &mut self.depth.input else {
            return;
        };
        let MarketData::Depth(delta) = &mut event.data else {
            return;
        };
        delta.prev_id = delta.last_id;
        delta.first_id = delta.last_id + 1;
        delta.last_id = delta.first_id;
        delta.seq = delta.last_id;
        if !std::mem::replace(&mut self.valid, true) {
            (delta.bids[0], delta.asks[0]) = (bid, ask);
            let snapshot = DepthSnapshot {
                last_id: delta.last_id,
                seq: delta.last_id,
                window: None,
                bids: vec![bid],
                asks: vec![ask],
            };
            let snapshot = self.event(now, MarketData::Snapshot(Box::new(snapshot)));
            return offline.feed(&snapshot);
        }
        for (levels, new) in [(&mut delta.bids, bid), (&mut delta.asks, ask)] {
            // The old level goes, unless it is the new one: then it is named twice.
            let old = levels[0];
            levels[0] = new;
            levels[1] = if old.price == new.price {
                new
            } else {
                Level {
                    qty: Qty::ZERO,
                    ..old
                }
            };
        }
        (event.venue_time, event.received) = (now, now);
        self.depth.time = now;
        offline.feed(&self.depth);
    }

    /// A trade.
    fn tick(&mut self, price: Price, now: Time, offline: &mut Offline) {
        let Input::Market(event) = &mut self.trade.input else {
            return;
        };
        let MarketData::Trade(trade) = &mut event.data else {
            return;
        };
        // A share at every place, the rest at the close.
        let qty = if self.step + 1 == STEPS && self.rows[self.row].close == price {
            self.left
        } else {
            Qty(self.left.0.min((self.left.0 / i64::from(STEPS)).max(1)))
        };
        self.left = Qty(self.left.0 - qty.0);
        trade.id += 1;
        (trade.first_id, trade.last_id) = (trade.id, trade.id);
        trade.taker = if price < self.price {
            Side::Sell
        } else {
            Side::Buy
        };
        (trade.price, trade.qty, trade.time) = (price, qty, now);
        (event.venue_time, event.received) = (now, now);
        self.trade.time = now;
        self.price = price;
        offline.feed(&self.trade);
    }
}

/// Whether the lowest price comes first.
fn low_first(path: Path, row: &Row, id: InstrumentId, offline: &Offline) -> bool {
    match path {
        Path::LowFirst => return true,
        Path::HighFirst => return false,
        Path::Pessimistic => {}
    }
    let ledger = offline.engine.kernel().ledger();
    let held = |side| ledger.position(id, side).qty;
    let net = held(PositionSide::Both)
        .saturating_add(held(PositionSide::Long))
        .saturating_add(held(PositionSide::Short));
    if net != 0 {
        return net > 0;
    }
    let nearer = row.open.0.saturating_sub(row.low.0) <= row.high.0.saturating_sub(row.open.0);
    match offline.engine.paper().wants(id) {
        (true, false) => false,
        (false, true) => true,
        (true, true) | (false, false) => nearer,
    }
}
