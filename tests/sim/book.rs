//! The client's side of an order book, and how it joins a stream (exchange rule: buffer, snapshot, drop
//! what is older, then without a gap).

use std::collections::BTreeMap;

use serde_json::Value;

use super::common::{Client, get, value};

/// An order book by the rule of the venue's documentation, in text and independent of the product.
#[derive(Default)]
pub(crate) struct Book {
    sides: [BTreeMap<u64, (String, String)>; 2],
    pub(crate) id: u64,
    pub(crate) applied: usize,
}

impl Book {
    pub(crate) fn from_snapshot(snapshot: &Value) -> Self {
        let mut book = Self {
            id: snapshot["lastUpdateId"].as_u64().expect("id"),
            ..Self::default()
        };
        book.set(0, &snapshot["bids"]);
        book.set(1, &snapshot["asks"]);
        book
    }

    fn set(&mut self, side: usize, levels: &Value) {
        for level in levels.as_array().expect("levels") {
            let (price, qty) = (level[0].as_str().expect("p"), level[1].as_str().expect("q"));
            let key = price.replace('.', "").parse().expect("eight decimals");
            if qty.trim_matches(['0', '.']).is_empty() {
                self.sides[side].remove(&key);
            } else {
                self.sides[side].insert(key, (price.to_owned(), qty.to_owned()));
            }
        }
    }

    /// Applies an event; `false` at a gap.
    pub(crate) fn apply(&mut self, event: &Value) -> bool {
        let (first, last) = (
            event["U"].as_u64().expect("U"),
            event["u"].as_u64().expect("u"),
        );
        if last <= self.id {
            return true;
        }
        if first > self.id + 1 {
            return false;
        }
        self.set(0, &event["b"]);
        self.set(1, &event["a"]);
        self.id = last;
        self.applied += 1;
        true
    }

    pub(crate) fn top(&self, count: usize) -> Value {
        let row = |(price, qty): &(String, String)| Value::from(vec![price.clone(), qty.clone()]);
        let bids: Vec<Value> = self.sides[0].values().rev().take(count).map(row).collect();
        let asks: Vec<Value> = self.sides[1].values().take(count).map(row).collect();
        serde_json::json!({ "bids": bids, "asks": asks })
    }
}

/// Follows `count` depth events and fetches the snapshot behind event number `joined_at`.
pub(crate) async fn join(mut client: Client, count: usize, joined_at: usize) -> Book {
    let mut seen = Vec::new();
    let mut book: Option<Book> = None;
    for at in 1..=count {
        let event = loop {
            let frame = client.text().await;
            if frame.contains("depthUpdate") {
                break value(&frame);
            }
        };
        match &mut book {
            Some(book) => assert!(book.apply(&event), "gap at {at}"),
            None => seen.push(event),
        }
        if at == joined_at {
            let answer = get(client.addr, "/api/v3/depth?symbol=BTCUSDT&limit=5000").await;
            let snapshot = value(&answer.body);
            let id = snapshot["lastUpdateId"].as_u64().expect("id");
            // §1.4, step 3: not older than the first event that was buffered.
            let first = seen[0]["U"].as_u64().expect("U");
            assert!(id + 1 >= first, "too old a snapshot");
            let mut fresh = Book::from_snapshot(&snapshot);
            for event in seen.drain(..) {
                assert!(fresh.apply(&event), "gap behind the snapshot");
            }
            book = Some(fresh);
        }
    }
    book.expect("joined")
}
