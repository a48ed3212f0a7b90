//! What a frame tells the slow program.

use serde_json::Value;

use super::{DIGITS, Venue, own};
use crate::oracle::{Oracle, Rules, number};

/// From milliseconds.
fn time_of(value: &Value) -> i64 {
    value.as_i64().expect("a time") * 1_000_000
}

impl Venue {
    /// A frame was received.
    pub(crate) fn hear(&mut self, time: i64, frame: &Value) {
        self.until(time);
        if frame.get("lastUpdateId").is_some() {
            self.book_time = self.book_time.max(time + self.clock_ahead);
            if self.book.book().is_none() {
                self.book.snapshot(frame);
                if self.book.book().is_some() {
                    self.whole_book(time);
                }
            }
        } else if let Some((_, message)) = Oracle::concerns(self.with.rules, frame) {
            let sent = ["cts", "ts", "E"].iter().find_map(|key| message.get(key));
            let sent = time_of(sent.expect("a time"));
            self.book_time = self.book_time.max(sent);
            self.clock_ahead = sent - time;
            self.depth(time, &message);
        } else if frame["topic"]
            .as_str()
            .is_some_and(|t| t.starts_with("tickers."))
        {
            self.figures(time, &frame["data"]);
        }
        self.passes(time);
        for trade in self.trades(time, frame) {
            self.traded(time, trade);
            self.triggers(time);
            self.passes(time);
        }
    }

    fn whole_book(&mut self, time: i64) {
        self.gone.clear();
        for n in 0..self.resting.len() {
            let (price, side) = self.at_limit(n);
            if let (Some(_), Some(now)) = (self.resting[n].place.ahead, self.displayed(side, price))
            {
                self.resting[n].place.snapshot(now);
                self.resting[n].since = self.resting[n].since.max(self.book_time);
            }
        }
        self.moved(time);
        self.triggers(time);
    }

    fn depth(&mut self, time: i64, message: &Value) {
        let before = self.book.last_id();
        self.book.hear(message);
        if self.book.book().is_none() || self.book.last_id() == before {
            return; // it waits for a snapshot, or is a repetition
        }
        if message["type"] == "snapshot" {
            return self.whole_book(time);
        }
        let levels = message.get("data").unwrap_or(message);
        for (side, key) in ["b", "a"].into_iter().enumerate() {
            for level in levels[key].as_array().expect("levels") {
                let price = number(&level[0]);
                self.gone.remove(&(side, price));
                if self.displayed(side, price).is_none() {
                    continue;
                }
                let (power, unit) = (self.with.power, self.with.units[1]);
                for kept in &mut self.resting {
                    let here = kept.order.limit == Some(price) && own(kept.order.buys) == side;
                    if here && kept.place.ahead.is_some() {
                        kept.place.level(number(&level[1]), power, unit);
                    }
                }
            }
        }
        self.moved(time);
        self.triggers(time);
    }

    /// Section 10, and the mark price.
    fn figures(&mut self, time: i64, data: &Value) {
        if let Some(mark) = data.get("markPrice") {
            let mark = number(mark);
            assert_eq!(mark % self.with.units[0], 0, "nothing to round");
            self.published_mark = Some(mark);
        }
        if let Some(rate) = data.get("fundingRate") {
            self.funding.1 = Some(number(rate) / 10_i128.pow(DIGITS - 8));
        }
        let milliseconds = |v: &Value| v.as_str().and_then(|t| t.parse::<i64>().ok());
        if let Some(due) = data.get("nextFundingTime").and_then(milliseconds) {
            let due = due * 1_000_000;
            if due > time && (self.position == 0 || self.funding.0.is_none_or(|known| due < known))
            {
                self.funding.0 = Some(due);
            }
        }
        self.triggers(time);
    }

    /// Side of the taker, price, quantity and time of the trades in a frame.
    fn trades(&mut self, time: i64, frame: &Value) -> Vec<(bool, i128, i128, i64)> {
        if self.with.rules == Rules::Bybit {
            let topic = frame["topic"].as_str().unwrap_or_default();
            if !topic.starts_with("publicTrade.") {
                return Vec::new();
            }
            let trades = frame["data"].as_array().expect("trades").iter();
            return trades
                .map(|t| {
                    (
                        t["S"] == "Buy",
                        number(&t["p"]),
                        number(&t["v"]),
                        time_of(&t["T"]),
                    )
                })
                .collect();
        }
        let data = frame.get("data").unwrap_or(frame);
        let market = data.get("X").is_none_or(|kind| kind == "MARKET");
        if data["e"] != "trade" || !market {
            return Vec::new();
        }
        self.clock_ahead = time_of(&data["E"]) - time;
        let id = data["t"].as_u64().expect("t");
        if id <= self.last_trade {
            return Vec::new();
        }
        self.last_trade = id;
        let time = time_of(&data["T"]);
        vec![(
            data["m"] == false,
            number(&data["p"]),
            number(&data["q"]),
            time,
        )]
    }
}
