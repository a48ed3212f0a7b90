//! What book and trades say at this moment: a small table of its own, because its input is no candle.
//!
//! None has a state: each is taken from the market as it is, so a batch and a stream cannot differ.

use super::{Book, Market};
use crate::kernel::event::Level;
use crate::kernel::snapshot::TRADES_PUBLISHED;
use crate::kernel::types::{Instrument, Side};

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct BookSignal {
    /// Name, as users spell it: `imbalance`, or `imbalance:10` with its count.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What is counted, the smallest and largest count, and the default; `None` if nothing is.
    pub count: Option<(&'static str, usize, usize, usize)>,
    /// Where the definition comes from.
    pub source: &'static str,
    value: fn(&Market, &Instrument, usize) -> Option<f64>,
}

/// Every signal of book and trades.
pub const BOOK_SIGNALS: &[BookSignal] = &[
    BookSignal {
        name: "imbalance",
        title: "quantity of the best bids less that of the best asks, by both: from -1 to 1",
        count: Some(("levels", 1, 1_000, 1)),
        source: "M. Gould, J. Bonart, Queue Imbalance as a One-Tick-Ahead Price Predictor, Market Microstructure and Liquidity 2:2, 2016",
        value: |market, _, levels| imbalance(market.book.valid()?, levels),
    },
    BookSignal {
        name: "microprice",
        title: "best bid and ask, each weighed by the quantity at the other",
        count: None,
        source: "J. Gatheral, R. Oomen, Zero-Intelligence Realized Variance Estimation, Finance and Stochastics 14, 2010",
        value: |market, instrument, _| {
            let book = market.book.valid()?;
            let scale = instrument.price_scale.unit() as f64;
            Some(weighted(book.best_bid()?, book.best_ask()?)? / scale)
        },
    },
    BookSignal {
        name: "trade_flow",
        title: "quantity that buyers took less that which sellers took in the last trades, by both: from -1 to 1",
        count: Some(("trades", 1, TRADES_PUBLISHED, TRADES_PUBLISHED)),
        source: "T. Chordia, R. Roll, A. Subrahmanyam, Order Imbalance, Liquidity, and Market Returns, JFE 65:1, 2002",
        value: |market, _, trades| trade_flow(market, trades),
    },
];

/// The microprice.
pub const MICROPRICE: BookSpec = BookSpec {
    row: &BOOK_SIGNALS[1],
    count: 0,
};

/// A legal signal with its count.
#[derive(Debug, Clone, Copy)]
pub struct BookSpec {
    row: &'static BookSignal,
    count: usize,
}

impl BookSpec {
    /// Reads `name` or `name:count`; the error says what would be legal.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, count) = match text.split_once(':') {
            Some((name, count)) => (name, Some(count)),
            None => (text, None),
        };
        let row = BOOK_SIGNALS.iter().find(|row| row.name == name);
        let Some(row) = row else {
            let names: Vec<_> = BOOK_SIGNALS.iter().map(|row| row.name).collect();
            return Err(format!(
                "unknown signal {name:?}: there are {}",
                names.join(", ")
            ));
        };
        let count = match (row.count, count) {
            (None, None) => 0,
            (None, Some(_)) => return Err(format!("{name} takes no count")),
            (Some((_, _, _, default)), None) => default,
            (Some((what, min, max, _)), Some(count)) => {
                let count = count.parse().ok();
                count
                    .filter(|c| (min..=max).contains(c))
                    .ok_or_else(|| format!("{name}: {what} must be from {min} to {max}"))?
            }
        };
        Ok(Self { row, count })
    }

    /// The table row.
    pub fn row(&self) -> &'static BookSignal {
        self.row
    }

    /// Its value now; `None` without a valid book, or before the first trade.
    pub fn value(&self, market: &Market, instrument: &Instrument) -> Option<f64> {
        (self.row.value)(market, instrument, self.count)
    }
}

fn balance(plus: i128, minus: i128) -> Option<f64> {
    let all = plus.saturating_add(minus);
    (all > 0).then(|| plus.saturating_sub(minus) as f64 / all as f64)
}

fn imbalance(book: &Book, levels: usize) -> Option<f64> {
    let sum = |side: Side| {
        let levels = book.levels(side).take(levels);
        levels.map(|l| i128::from(l.qty.0)).sum::<i128>()
    };
    balance(sum(Side::Buy), sum(Side::Sell))
}

/// At the price scale.
fn weighted(bid: Level, ask: Level) -> Option<f64> {
    let (bids, asks) = (bid.qty.0 as f64, ask.qty.0 as f64);
    let all = bids + asks;
    let sum = bid.price.0 as f64 * asks + ask.price.0 as f64 * bids;
    (all > 0.0).then(|| sum / all)
}

fn trade_flow(market: &Market, trades: usize) -> Option<f64> {
    let (mut bought, mut sold) = (0_i128, 0_i128);
    for trade in market.newest().take(trades) {
        let taken = i128::from(trade.qty.0);
        match trade.taker {
            Side::Buy => bought = bought.saturating_add(taken),
            Side::Sell => sold = sold.saturating_add(taken),
        }
    }
    balance(bought, sold)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::instrument;
    use super::*;
    use crate::kernel::event::{DepthSnapshot, MarketData, MarketEvent, Trade};
    use crate::kernel::types::{InstrumentId, Price, Qty, Time};

    fn market(bids: &[(i64, i64)], asks: &[(i64, i64)], trades: &[(bool, i64)]) -> Market {
        let mut market = Market::new(100, Vec::new());
        let level = |(price, qty): &(i64, i64)| Level {
            price: Price(*price),
            qty: Qty(*qty),
        };
        let snapshot = DepthSnapshot {
            last_id: 1,
            seq: 1,
            window: Some(100),
            bids: bids.iter().map(level).collect(),
            asks: asks.iter().map(level).collect(),
        };
        let trade = |(id, (buyer, qty)): (u64, &(bool, i64))| {
            MarketData::Trade(Trade {
                id,
                first_id: id,
                last_id: id,
                price: Price(1_000),
                qty: Qty(*qty),
                taker: if *buyer { Side::Buy } else { Side::Sell },
                time: Time(1),
            })
        };
        let trades = (1..).zip(trades).map(trade);
        for data in std::iter::once(MarketData::Snapshot(Box::new(snapshot))).chain(trades) {
            let event = MarketEvent {
                instrument: InstrumentId(0),
                venue_time: Time(1),
                received: Time(1),
                data,
            };
            market.apply(&event, &instrument());
        }
        market
    }

    fn value(text: &str, market: &Market) -> Option<f64> {
        let spec = BookSpec::parse(text).expect("legal");
        spec.value(market, &instrument())
    }

    #[test]
    fn by_hand() {
        let market = market(
            &[(999, 30), (998, 10)],
            &[(1_001, 10), (1_002, 30)],
            &[(true, 3), (false, 1)],
        );
        assert_eq!(value("imbalance", &market), Some(0.5));
        assert_eq!(value("imbalance:2", &market), Some(0.0));
        // Thirty at the bid: the price leans to the ask. 999 x 10 + 1001 x 30, by 40, at two decimals.
        assert_eq!(value("microprice", &market), Some(10.005));
        assert_eq!(value("trade_flow", &market), Some(0.5));
        assert_eq!(value("trade_flow:1", &market), Some(-1.0));
        let empty = Market::new(100, Vec::new());
        for row in BOOK_SIGNALS {
            assert_eq!(value(row.name, &empty), None, "{}", row.name);
        }
        assert_eq!(MICROPRICE.row().name, "microprice");
    }

    #[test]
    fn a_count_is_legal_or_told() {
        for text in [
            "",
            "imbalance:0",
            "imbalance:x",
            "microprice:1",
            "trade_flow:101",
            "nope",
        ] {
            let told = BookSpec::parse(text).expect_err(text);
            assert!(!told.is_empty());
        }
    }

    proptest! {
        /// The definitions, once more, from lists.
        #[test]
        fn equal_their_definitions(
            bids in prop::collection::btree_map(900..1_000_i64, 1..50_i64, 0..12),
            asks in prop::collection::btree_map(1_001..1_100_i64, 1..50_i64, 0..12),
            trades in prop::collection::vec((any::<bool>(), 1..50_i64), 0..150),
            count in 1..20_usize,
        ) {
            let bids: Vec<_> = bids.into_iter().rev().collect();
            let asks: Vec<_> = asks.into_iter().collect();
            let market = market(&bids, &asks, &trades);
            let sum = |side: &[(i64, i64)]| side.iter().take(count).map(|l| l.1 as f64).sum::<f64>();
            let (b, a) = (sum(&bids), sum(&asks));
            let want = (b + a > 0.0).then(|| (b - a) / (b + a));
            prop_assert_eq!(value(&format!("imbalance:{count}"), &market), want);
            let want = bids.first().zip(asks.first()).map(|(bid, ask)| {
                let (bid, ask) = ((bid.0 as f64, bid.1 as f64), (ask.0 as f64, ask.1 as f64));
                (bid.0 * ask.1 + ask.0 * bid.1) / (bid.1 + ask.1) / 100.0
            });
            prop_assert_eq!(value("microprice", &market), want);
            let of = |buyer: bool| {
                let last = trades.iter().rev().take(count).filter(|t| t.0 == buyer);
                last.map(|t| t.1 as f64).sum::<f64>()
            };
            let (b, s) = (of(true), of(false));
            let want = (b + s > 0.0).then(|| (b - s) / (b + s));
            prop_assert_eq!(value(&format!("trade_flow:{count}"), &market), want);
        }
    }
}
