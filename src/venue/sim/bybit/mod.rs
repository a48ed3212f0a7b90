//! The topics of Bybit v5 spot and linear: which there are of a symbol, and what goes out on which.
//!
//! A book topic is a window of so many levels that is compared with the one sent last. It lives while
//! somebody has subscribed: whoever comes is greeted with the window sent last, so that the next
//! difference fits it; a topic without subscribers forgets its window, but not its update id.

pub(super) mod commands;
pub(super) mod recorded;
pub(super) mod rest;
mod rules;
mod text;
mod window;

use std::collections::BTreeSet;

use super::candles::{Bar, INTERVALS};
use super::hub::Payload;
use super::market::{Market, MarketKind};
use super::outlet::{Out, Outlet, Part, Recorded};
use super::symbol::{Change, Symbol};
use crate::kernel::event::{Liquidation, Trade};
use crate::kernel::types::{Instrument, MILLISECOND, Price, SECOND, Time};
use window::{BookTopic, Window};

/// Depths of the book topics and their paces.
const BOOKS: [(usize, i64); 4] = [
    (1, 10 * MILLISECOND),
    (50, 20 * MILLISECOND),
    (200, 100 * MILLISECOND),
    (1_000, 200 * MILLISECOND),
];
/// How long the best prices may stay the same before they are said again.
const REPEAT_EVERY: i64 = 3 * SECOND;
/// Trades in one message.
const TRADES_MAX: usize = 1_024;
/// Liquidations that wait for their message.
const LIQUIDATIONS_MAX: usize = 1_024;

/// Bybit's name of an interval of [`INTERVALS`]; `None` where it has no such candles.
fn interval(name: &str) -> Option<&'static str> {
    Some(match name {
        "1m" => "1",
        "3m" => "3",
        "5m" => "5",
        "15m" => "15",
        "30m" => "30",
        "1h" => "60",
        "2h" => "120",
        "4h" => "240",
        "6h" => "360",
        "12h" => "720",
        "1d" => "D",
        "1w" => "W",
        "1M" => "M",
        _ => return None,
    })
}

/// Symbol and meaning of a topic that clients need.
pub(super) fn part(topic: &str) -> Option<(String, Part)> {
    let (kind, rest) = topic.split_once('.')?;
    match kind {
        "orderbook" => Some((rest.split_once('.')?.1.to_owned(), Part::Depth)),
        "publicTrade" => Some((rest.to_owned(), Part::Trades)),
        _ => None,
    }
}

/// The place of the symbol that a topic is of; `None` where there is no such topic.
pub(super) fn place(market: &Market, topic: &str) -> Option<usize> {
    let (kind, rest) = topic.split_once('.')?;
    let symbol = match kind {
        "orderbook" => {
            let (depth, symbol) = rest.split_once('.')?;
            let depth: usize = depth.parse().ok()?;
            BOOKS.iter().find(|known| known.0 == depth)?;
            symbol
        }
        "kline" => {
            let (wanted, symbol) = rest.split_once('.')?;
            let known = INTERVALS.iter().filter_map(|name| interval(name));
            known.into_iter().find(|name| *name == wanted)?;
            symbol
        }
        "publicTrade" | "tickers" => rest,
        "allLiquidation" if market.kind == MarketKind::BybitLinear => rest,
        _ => return None,
    };
    market.place(symbol)
}

/// Topics of a symbol.
#[derive(Debug)]
pub(super) struct Topics {
    kind: MarketKind,
    books: Vec<BookTopic>,
    trades: Option<String>,
    pending: Vec<(Trade, u64)>,
    /// The price before the next trade, and whether the last other one was lower.
    tick: (Price, bool),
    ticker: Option<String>,
    ticker_sent: Option<(Time, text::Ticker)>,
    /// Topic and Bybit's name per interval.
    klines: Vec<Option<(String, &'static str)>>,
    /// Per interval: when a kline was sent, of which candle, and how many trades it had.
    klines_sent: Vec<(Time, Time, u64)>,
    liquidations: Option<String>,
    liquidated: (Time, Vec<Liquidation>),
}

impl Topics {
    /// The topics of `instrument`; those that are `recorded` are not made here.
    pub(super) fn new(
        kind: MarketKind,
        instrument: &Instrument,
        recorded: &BTreeSet<String>,
    ) -> Self {
        let symbol = &instrument.name.symbol;
        let own = |name: String| (!recorded.contains(&name)).then_some(name);
        Self {
            kind,
            books: BOOKS
                .iter()
                .map(|(depth, pace)| {
                    let name = format!("orderbook.{depth}.{symbol}");
                    let is_recorded = recorded.contains(&name);
                    BookTopic::new(name, *depth, *pace, is_recorded)
                })
                .collect(),
            trades: own(format!("publicTrade.{symbol}")),
            pending: Vec::new(),
            tick: (Price(0), true),
            ticker: own(format!("tickers.{symbol}")),
            ticker_sent: None,
            klines: INTERVALS
                .iter()
                .map(|name| {
                    let name = interval(name)?;
                    Some((own(format!("kline.{name}.{symbol}"))?, name))
                })
                .collect(),
            klines_sent: vec![(Time::ZERO, Time::ZERO, 0); INTERVALS.len()],
            liquidations: own(format!("allLiquidation.{symbol}"))
                .filter(|_| kind == MarketKind::BybitLinear),
            liquidated: (Time::ZERO, Vec::new()),
        }
    }

    fn books(&mut self, symbol: &Symbol, now: Time, out: &mut Out<'_>) {
        for topic in self.books.iter_mut().filter(|topic| !topic.recorded) {
            if !out.wanted(&topic.name) {
                topic.window = None;
                continue;
            }
            if now.since(topic.sent) < topic.pace {
                continue;
            }
            let Some(sent) = &topic.window else {
                continue; // its subscriber is greeted in a moment
            };
            let new = Window::of(symbol, topic.depth);
            if topic.depth == 1 {
                let repeat = now.since(topic.sent) >= REPEAT_EVERY;
                if new.same(sent) && !repeat {
                    continue;
                }
                if !new.same(sent) {
                    topic.u += 1;
                }
                out.add(&topic.name, topic.u, || {
                    text::book(symbol, now, &topic.name, "snapshot", topic.u, &new)
                });
            } else {
                let delta = new.since(sent);
                if delta.is_empty() {
                    continue;
                }
                topic.u += 1;
                out.add(&topic.name, topic.u, || {
                    text::book(symbol, now, &topic.name, "delta", topic.u, &delta)
                });
            }
            topic.sent = now;
            topic.window = Some(new);
        }
    }

    fn ticker(&mut self, symbol: &Symbol, now: Time, out: &mut Out<'_>) {
        let Some(name) = &self.ticker else { return };
        if !out.wanted(name) {
            self.ticker_sent = None;
            return;
        }
        let Some((_, sent)) = &self.ticker_sent else {
            return; // its subscriber is greeted in a moment
        };
        let new = text::Ticker::of(symbol, now);
        let changed = new.since(sent);
        if changed.is_empty() {
            return;
        }
        out.add(name, symbol.seq, || match self.kind {
            // A difference on futures, the whole on spot.
            MarketKind::BybitLinear => changed.text(symbol, now, name, "delta"),
            _ => new.text(symbol, now, name, "snapshot"),
        });
        self.ticker_sent = Some((now, new));
    }

    fn klines(&mut self, symbol: &Symbol, now: Time, out: &mut Out<'_>) {
        let topics = self.klines.iter().zip(&mut self.klines_sent);
        for (at, (topic, sent)) in topics.enumerate() {
            let (Some((topic, name)), Some(bar)) = (topic, symbol.candles.open(at)) else {
                continue;
            };
            let changed = (sent.1, sent.2) != (bar.open_time, bar.trades);
            if changed
                && now.since(sent.0) >= SECOND
                && out.add(topic, symbol.seq, || {
                    text::kline(symbol, now, topic, name, &bar, false)
                })
            {
                *sent = (now, bar.open_time, bar.trades);
            }
        }
    }

    fn liquidations(&mut self, symbol: &Symbol, now: Time, out: &mut Out<'_>) {
        let (sent, waiting) = &mut self.liquidated;
        if waiting.is_empty() || now.since(*sent) < 500 * MILLISECOND {
            return;
        }
        *sent = now;
        let waiting = std::mem::take(waiting);
        if let Some(topic) = &self.liquidations {
            out.add(topic, 0, || {
                text::liquidations(symbol, now, topic, &waiting)
            });
        }
    }

    /// `PlusTick`, `ZeroPlusTick`, … of a trade at this price.
    fn direction(&mut self, price: Price) -> &'static str {
        let (last, up) = self.tick;
        let same = price == last;
        let up = if same { up } else { price > last };
        self.tick = (price, up);
        match (same, up) {
            (false, true) => "PlusTick",
            (true, true) => "ZeroPlusTick",
            (false, false) => "MinusTick",
            (true, false) => "ZeroMinusTick",
        }
    }
}

impl Outlet for Topics {
    fn follow(
        &mut self,
        symbol: &Symbol,
        now: Time,
        change: &Change,
        recorded: Option<&Recorded>,
        out: &mut Out<'_>,
    ) {
        if let Some(recorded) = recorded
            && let Some(topic) = self
                .books
                .iter_mut()
                .find(|topic| topic.recorded && topic.name == recorded.stream)
        {
            topic.take(symbol, change, recorded.id);
        }
        match change {
            Change::Trade(trade) => {
                // What happened behind the newest book, and before the next.
                let seq = symbol.seq.saturating_add(1);
                self.pending.push((*trade, seq));
                if self.pending.len() >= TRADES_MAX {
                    self.settle(symbol, now, out);
                }
            }
            Change::Depth(_) | Change::Snapshot(_) | Change::Quote(_) => {
                self.books(symbol, now, out);
            }
            Change::Liquidation(liquidation) => {
                if self.liquidated.1.len() < LIQUIDATIONS_MAX {
                    self.liquidated.1.push(*liquidation);
                }
            }
            Change::Derivative(_) | Change::Restart(_) => {}
        }
    }

    fn settle(&mut self, symbol: &Symbol, now: Time, out: &mut Out<'_>) {
        let trades = std::mem::take(&mut self.pending);
        let Some(newest) = trades.last().map(|(trade, _)| trade.id) else {
            return;
        };
        let directions: Vec<&str> = trades
            .iter()
            .map(|(trade, _)| self.direction(trade.price))
            .collect();
        if let Some(topic) = &self.trades {
            out.add(topic, newest, || {
                let rows = trades.iter().zip(&directions);
                let rows = rows.map(|((trade, seq), direction)| (trade, *seq, *direction));
                text::trades(symbol, now, topic, rows)
            });
        }
    }

    fn closed(
        &mut self,
        symbol: &Symbol,
        now: Time,
        interval: usize,
        bar: &Bar,
        out: &mut Out<'_>,
    ) {
        if let Some(Some((topic, name))) = self.klines.get(interval) {
            out.add(topic, symbol.seq, || {
                text::kline(symbol, now, topic, name, bar, true)
            });
        }
    }

    fn due(&mut self, symbol: &Symbol, now: Time, out: &mut Out<'_>) {
        self.books(symbol, now, out);
        self.ticker(symbol, now, out);
        self.klines(symbol, now, out);
        self.liquidations(symbol, now, out);
    }

    fn greet(&mut self, symbol: &Symbol, now: Time, stream: &str) -> Option<Payload> {
        if self.ticker.as_deref() == Some(stream) {
            let (_, ticker) = self
                .ticker_sent
                .get_or_insert_with(|| (now, text::Ticker::of(symbol, now)));
            return Some(Payload::plain(ticker.text(symbol, now, stream, "snapshot")));
        }
        let topic = self.books.iter_mut().find(|topic| topic.name == stream)?;
        if topic.window.is_none() {
            if topic.recorded {
                return None; // its own snapshot is to come
            }
            topic.u += 1;
            topic.sent = now;
        }
        let (name, depth, u) = (&topic.name, topic.depth, topic.u);
        let window = topic
            .window
            .get_or_insert_with(|| Window::of(symbol, depth));
        let text = text::book(symbol, now, name, "snapshot", u, window);
        Some(Payload::plain(text))
    }

    fn counter(&self) -> u64 {
        self.books.last().map_or(1, |topic| topic.u.max(1))
    }

    fn restart(&mut self) {
        for topic in &mut self.books {
            topic.u = 0;
            topic.window = None;
        }
        self.ticker_sent = None;
    }

    fn resend(&mut self, symbol: &Symbol, now: Time, out: &mut Out<'_>) {
        for topic in self.books.iter_mut().filter(|topic| !topic.recorded) {
            if !out.wanted(&topic.name) {
                continue;
            }
            let window = Window::of(symbol, topic.depth);
            topic.u = 1;
            topic.sent = now;
            out.add(&topic.name, 1, || {
                text::book(symbol, now, &topic.name, "snapshot", 1, &window)
            });
            topic.window = Some(window);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_playback_needs() {
        let btc = |part| Some(("BTCUSDT".to_owned(), part));
        assert_eq!(part("orderbook.50.BTCUSDT"), btc(Part::Depth));
        assert_eq!(part("publicTrade.BTCUSDT"), btc(Part::Trades));
        assert_eq!(part("tickers.BTCUSDT"), None);
        assert_eq!(part("nonsense"), None);
    }
}
