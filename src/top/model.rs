//! What the screen shows, as the daemon last said it. Every collection is bounded.

use std::collections::BTreeMap;

use serde_json::Value;

use super::latency::Latencies;
use crate::client::views::{float, items, name, text};

/// Instruments that are shown.
pub(super) const INSTRUMENTS_MAX: usize = 64;
/// Open orders that are kept.
const OPEN_MAX: usize = 500;
/// Orders that have ended, of which the newest are kept.
const DONE_MAX: usize = 50;

/// How the daemon is heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Link {
    /// Not yet.
    #[default]
    Connecting,
    /// Over its WebSocket.
    Live,
    /// Asked each second.
    Polling,
    /// Not any more; tried again.
    Lost(String),
}

/// News.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Update {
    Link(Link),
    Ticker(Value),
    Positions(Value),
    Account(Value),
    /// All open orders.
    Orders(Value),
    /// One order, as it is now.
    Order(Value),
    Strategies(Value),
    Feeds(Value),
    Status(Value),
    Risk(Value),
    Latencies(Box<Latencies>),
}

/// A price, and when it changed last by the daemon's clock.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Model {
    pub(super) link: Link,
    pub(super) tickers: BTreeMap<String, Value>,
    pub(super) positions: Value,
    pub(super) account: Value,
    open: BTreeMap<u64, Value>,
    done: BTreeMap<u64, Value>,
    pub(super) strategies: Value,
    pub(super) feeds: Value,
    pub(super) status: Value,
    pub(super) risk: Value,
    pub(super) latencies: Latencies,
}

impl Model {
    pub(super) fn apply(&mut self, update: Update) {
        match update {
            Update::Link(link) => self.link = link,
            Update::Ticker(ticker) => {
                let name = name(&ticker);
                if self.tickers.len() < INSTRUMENTS_MAX || self.tickers.contains_key(&name) {
                    self.tickers.insert(name, ticker);
                }
            }
            Update::Positions(document) => self.positions = document,
            Update::Account(document) => self.account = document,
            Update::Orders(document) => self.orders(&document),
            Update::Order(order) => self.order(order),
            Update::Strategies(document) => self.strategies = document,
            Update::Feeds(document) => self.feeds = document,
            Update::Status(document) => self.status = document,
            Update::Risk(document) => self.risk = document,
            Update::Latencies(latencies) => self.latencies = *latencies,
        }
    }

    /// All that are open now: others that were have ended, unseen.
    fn orders(&mut self, document: &Value) {
        self.open.clear();
        for order in items(std::slice::from_ref(document)) {
            self.order(order.clone());
        }
    }

    fn order(&mut self, order: Value) {
        let Ok(id) = text(&order["order_id"]).parse() else {
            return;
        };
        let ended = matches!(
            order["status"].as_str(),
            Some("filled" | "cancelled" | "rejected" | "expired")
        );
        self.open.remove(&id);
        let (map, most) = if ended {
            (&mut self.done, DONE_MAX)
        } else {
            (&mut self.open, OPEN_MAX)
        };
        map.insert(id, order);
        if map.len() > most {
            map.pop_first();
        }
    }

    /// Open orders, the newest first, and behind them those that have ended.
    pub(super) fn all_orders(&self) -> Value {
        let open = self.open.values().rev();
        let all = open.chain(self.done.values().rev());
        Value::Array(all.cloned().collect())
    }

    pub(super) fn open_orders(&self) -> usize {
        self.open.len()
    }

    /// Positions that are not flat.
    pub(super) fn open_positions(&self) -> Value {
        let positions = items(std::slice::from_ref(&self.positions));
        let open = positions.filter(|position| float(&position["quantity"]) != Some(0.0));
        Value::Array(open.cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_order_leaves_the_open_ones_when_it_ends() {
        let mut model = Model::default();
        let order = |id: u64, status: &str| json!({"order_id": id.to_string(), "status": status});
        model.apply(Update::Orders(
            json!({"items": [order(1, "submitted"), order(2, "submitted")]}),
        ));
        model.apply(Update::Order(order(1, "filled")));
        model.apply(Update::Order(order(3, "pending")));
        let ids = |model: &Model| {
            let orders = model.all_orders();
            let ids = orders.as_array().expect("list").iter();
            ids.map(|order| text(&order["order_id"]))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!((ids(&model).as_str(), model.open_orders()), ("3 2 1", 2));
        // Said anew, as after a lost connection.
        model.apply(Update::Orders(json!({"items": [order(4, "submitted")]})));
        assert_eq!((ids(&model).as_str(), model.open_orders()), ("4 1", 1));
        for id in 0..2_000 {
            model.apply(Update::Order(order(
                id,
                if id % 2 == 0 { "filled" } else { "pending" },
            )));
        }
        assert_eq!(model.open_orders(), OPEN_MAX);
        assert_eq!(
            model.all_orders().as_array().map(Vec::len),
            Some(OPEN_MAX + DONE_MAX)
        );
        model.apply(Update::Order(json!({"order_id": "x"})));
        assert_eq!(model.open_orders(), OPEN_MAX);
    }

    #[test]
    fn instruments_are_bounded_and_flat_positions_are_left_out() {
        let mut model = Model::default();
        for at in 0..200 {
            model.apply(Update::Ticker(
                json!({"symbol": format!("S{at}"), "venue": "sim"}),
            ));
        }
        assert_eq!(model.tickers.len(), INSTRUMENTS_MAX);
        model.apply(Update::Positions(json!({"items": [
            {"symbol": "A", "quantity": 0}, {"symbol": "B", "quantity": "0.5"}]})));
        assert_eq!(
            model.open_positions(),
            json!([{"symbol": "B", "quantity": "0.5"}])
        );
    }
}
