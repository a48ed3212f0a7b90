//! Order books kept the slow way, written from the venues' documents: maps, and JSON as values.

use std::collections::BTreeMap;

use serde_json::Value;

/// Decimal digits of the numbers in here.
const DIGITS: usize = 10;

/// Whose rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    Spot,
    Usdm,
    Bybit,
}

/// A side's quantities by price.
pub(crate) type Side = BTreeMap<i128, i128>;

/// One instrument's book.
#[derive(Debug)]
pub(crate) struct Oracle {
    rules: Rules,
    /// Bids and asks; `None` while nobody may trust them.
    book: Option<[Side; 2]>,
    buffer: Vec<Value>,
    last: u64,
    window: usize,
    /// Differences applied.
    pub(crate) updates: u64,
    pub(crate) gaps: u64,
}

pub(crate) fn number(text: &Value) -> i128 {
    let text = text.as_str().expect("a decimal in a string");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (kept, cut) = fraction.split_at(fraction.len().min(DIGITS));
    assert!(cut.chars().all(|c| c == '0'), "{text}");
    format!("{whole}{kept:0<DIGITS$}").parse().expect("digits")
}

impl Oracle {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            book: None,
            buffer: Vec::new(),
            last: 0,
            window: usize::MAX,
            updates: 0,
            gaps: 0,
        }
    }

    /// Bids and asks, if they can be trusted.
    pub(crate) fn book(&self) -> Option<&[Side; 2]> {
        self.book.as_ref()
    }

    pub(crate) fn last_id(&self) -> u64 {
        self.last
    }

    /// The message that changes a book, and whose; `None` for all others.
    pub(crate) fn concerns(rules: Rules, message: &Value) -> Option<(String, Value)> {
        let data = message.get("data").unwrap_or(message);
        let symbol = || data["s"].as_str().map(str::to_owned);
        match rules {
            Rules::Bybit => {
                let topic = message["topic"].as_str()?;
                let depth = topic.strip_prefix("orderbook.")?;
                (!depth.starts_with("1.")).then(|| Some((symbol()?, message.clone())))?
            }
            Rules::Spot | Rules::Usdm => {
                (data["e"] == "depthUpdate").then(|| Some((symbol()?, data.clone())))?
            }
        }
    }

    /// A message of the depth stream.
    pub(crate) fn hear(&mut self, message: &Value) {
        match self.rules {
            Rules::Bybit => self.bybit(message),
            Rules::Spot | Rules::Usdm if self.book.is_none() => self.buffer.push(message.clone()),
            Rules::Spot | Rules::Usdm => self.binance(message),
        }
    }

    fn bybit(&mut self, message: &Value) {
        let data = &message["data"];
        let u = data["u"].as_u64().expect("u");
        if message["type"] == "snapshot" {
            let topic = message["topic"].as_str().expect("topic");
            let depth = topic.split('.').nth(1).expect("depth");
            self.window = depth.parse().expect("depth");
            self.book = Some(<[Side; 2]>::default());
            self.set(data);
        } else if self.book.is_some() && u > self.last {
            if u == self.last + 1 {
                self.set(data);
                self.updates += 1;
            } else {
                self.gaps += 1;
                self.book = None;
            }
        } else {
            return;
        }
        self.last = u;
    }

    fn binance(&mut self, event: &Value) {
        let (first, last) = (
            event["U"].as_u64().expect("U"),
            event["u"].as_u64().expect("u"),
        );
        if last <= self.last {
            return;
        }
        let joins = match self.rules {
            Rules::Usdm => event["pu"].as_u64().expect("pu") <= self.last,
            Rules::Spot | Rules::Bybit => first <= self.last + 1,
        };
        if joins {
            self.set(event);
            self.last = last;
            self.updates += 1;
        } else {
            self.gaps += 1;
            self.book = None;
            self.buffer = vec![event.clone()];
        }
    }

    /// A REST snapshot (Binance).
    pub(crate) fn snapshot(&mut self, body: &Value) {
        if self.book.is_some() {
            return;
        }
        let id = body["lastUpdateId"].as_u64().expect("lastUpdateId");
        let buffer = std::mem::take(&mut self.buffer);
        let after = |event: &&Value| event["u"].as_u64() > Some(id);
        if let Some(event) = buffer.iter().find(after) {
            let (first, last) = (event["U"].as_u64(), event["u"].as_u64());
            let follows = match self.rules {
                Rules::Spot | Rules::Bybit => first <= Some(id + 1) && last > Some(id),
                Rules::Usdm => {
                    (first <= Some(id) && last >= Some(id)) || event["pu"].as_u64() == Some(id)
                }
            };
            if !follows {
                self.buffer = buffer;
                return; // too old: ask again
            }
        }
        self.book = Some(<[Side; 2]>::default());
        self.set(body);
        self.last = id;
        for event in buffer.iter().filter(after) {
            self.set(event);
            self.last = event["u"].as_u64().expect("u");
            self.updates += 1;
        }
    }

    /// Absolute quantities; zero removes.
    fn set(&mut self, levels: &Value) {
        let Some(book) = &mut self.book else { return };
        for (side, keys) in book.iter_mut().zip([["b", "bids"], ["a", "asks"]]) {
            let list = keys.iter().find_map(|key| levels.get(key)?.as_array());
            for level in list.expect("levels") {
                let (price, qty) = (number(&level[0]), number(&level[1]));
                if qty == 0 {
                    side.remove(&price);
                } else {
                    side.insert(price, qty);
                }
            }
        }
        while book[0].len() > self.window {
            book[0].pop_first();
        }
        while book[1].len() > self.window {
            book[1].pop_last();
        }
    }
}
