//! The keys, all under one hash tag so that one script may touch them all.
//!
//! | key | type | what |
//! |---|---|---|
//! | `hean:{account}:meta` | hash | `installation`, `fence`, `watermark` (last record), `first_seq` (where the stream began), `schema`, `hash` and `hash_seq` (state after that record), `image_seq` (last record in the image), `durable` (last record of the journal when this was written), `seen` (when its writer was last there, s since the epoch), `closed` (the watermark, if the writer ended in order with nothing left to write), `rebuild` |
//! | `hean:{account}:events` | stream | ids `<seq>-0`; `type`, `time` (ms), `data` (JSON) |
//! | `hean:{account}:order:<id>` | hash | an order |
//! | `hean:{account}:orders` | set | ids of the orders that are there |
//! | `hean:{account}:open` | set | ids of those that can still change |
//! | `hean:{account}:position:<venue:SYMBOL>` | hash | a position |
//! | `hean:{account}:positions` | set | names of the positions that are there |
//! | `hean:{account}:ticker:<venue:SYMBOL>` | hash | newest prices, about a second old |
//! | `hean:{account}:candles:<venue:SYMBOL>:<interval>` | stream | closed candles; ids `<open time in ms>-0` |
//! | `hean:{account}:account` | hash | money and statistics |
//! | `hean:{account}:image` | string | a snapshot of the whole state, as in the journal's directory; the stream holds at least what came after it |

use fred::types::Key;

/// Positions of the fixed keys in every script but `acquire.lua`, from 1.
pub(crate) const OPEN: u32 = 3;
pub(crate) const ORDERS: u32 = 4;
pub(crate) const POSITIONS: u32 = 5;

/// Names of keys.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    base: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str, account: &str) -> Self {
        Self {
            base: format!("{prefix}:{{{account}}}:"),
        }
    }

    /// All of them, for messages.
    pub(crate) fn pattern(&self) -> String {
        format!("{}*", self.base)
    }

    pub(crate) fn meta(&self) -> Key {
        self.key("meta")
    }

    pub(crate) fn events(&self) -> Key {
        self.key("events")
    }

    pub(crate) fn image(&self) -> Key {
        self.key("image")
    }

    /// What every script that writes gets first, in the order of the constants above.
    pub(crate) fn fixed(&self) -> Vec<Key> {
        ["meta", "events", "open", "orders", "positions", "image"]
            .map(|name| self.key(name))
            .to_vec()
    }

    /// An instrument's newest prices.
    pub(crate) fn ticker(&self, name: &str) -> Key {
        self.key(&format!("ticker:{name}"))
    }

    /// Closed candles of an instrument.
    pub(crate) fn candles(&self, name: &str, interval: &str) -> Key {
        self.key(&format!("candles:{name}:{interval}"))
    }

    pub(crate) fn account(&self) -> String {
        format!("{}account", self.base)
    }

    /// Prefix of order keys.
    pub(crate) fn order(&self) -> String {
        format!("{}order:", self.base)
    }

    /// Prefix of position keys.
    pub(crate) fn position(&self) -> String {
        format!("{}position:", self.base)
    }

    fn key(&self, name: &str) -> Key {
        format!("{}{name}", self.base).into()
    }
}
