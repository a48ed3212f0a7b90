//! From journal records to script calls: an own replica of the ledger, fed from the journal.
//!
//! Reads files and applies records: runs on blocking threads. It never goes back; to write from an
//! earlier record, make a new one.

use std::collections::VecDeque;
use std::path::Path;

use fred::types::{Key, Value};

use super::StoreConfig;
use super::error::StoreError;
use super::fields::{self, Fields};
use super::keys::{Keys, OPEN, ORDERS, POSITIONS};
use crate::journal::{self, Follower};
use crate::kernel::event::{Seq, Sequenced};
use crate::kernel::ledger::{Changes, Ledger};
use crate::kernel::orders::{OrderId, PositionSide};
use crate::kernel::types::{InstrumentId, Time};

/// Follows the journal and knows the state after the last record read.
#[derive(Debug)]
pub(crate) struct Projection {
    follower: Follower,
    /// Read from the journal, not applied yet: less than a journal batch.
    waiting: VecDeque<Sequenced>,
    keys: Keys,
    limits: Limits,
    /// The last record after which the state was hashed.
    hashed: Seq,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    records: usize,
    bytes: usize,
    hash_every: u64,
    stream: u64,
}

/// Keys and arguments of one script call, without fence.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) first: Seq,
    pub(crate) last: Seq,
    pub(crate) keys: Vec<Key>,
    pub(crate) args: Vec<Value>,
}

/// Hashes and set members to write, in the form that `write.lua` takes.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    pub(crate) keys: Vec<Key>,
    pub(crate) args: Vec<Value>,
    members: Vec<Value>,
}

impl Writes {
    fn hash(&mut self, key: String, fields: Fields) {
        self.keys.push(key.into());
        self.args.push(text(fields.len().to_string()));
        for (name, value) in fields {
            self.args.push(Value::from_static_str(name));
            self.args.push(text(value));
        }
    }

    fn delete(&mut self, key: String) {
        self.hash(key, Fields::new());
    }

    fn member(&mut self, set: &'static str, member: &str, is_in: bool) {
        let command = if is_in { "SADD" } else { "SREM" };
        self.members.push(Value::from_static_str(command));
        self.members.push(Value::from_static_str(set));
        self.members.push(text(member.to_owned()));
    }

    /// An order as it is now; removed if the ledger has forgotten it.
    pub(crate) fn order(&mut self, id: OrderId, ledger: &Ledger, keys: &Keys) {
        let (name, key) = (id.to_string(), format!("{}{id}", keys.order()));
        let order = ledger.orders().get(id);
        let instrument = order.and_then(|o| ledger.instrument(o.instrument));
        if let (Some(order), Some(instrument)) = (order, instrument) {
            self.hash(key, fields::order(order, instrument, ledger));
            self.member(ORDERS, &name, true);
            self.member(OPEN, &name, order.is_open());
        } else {
            self.delete(key);
            self.member(ORDERS, &name, false);
            self.member(OPEN, &name, false);
        }
    }

    /// A position as it is now.
    pub(crate) fn position(&mut self, id: InstrumentId, ledger: &Ledger, keys: &Keys) {
        let (Some(instrument), Some(holding)) = (ledger.instrument(id), ledger.holding(id)) else {
            return;
        };
        for side in [PositionSide::Both, PositionSide::Long, PositionSide::Short] {
            let mode = ledger.account().positions;
            if !PositionSide::of(mode, instrument.contract).contains(&side) {
                continue;
            }
            // One-way mode keeps the plain name; the legs of hedge mode add theirs.
            let name = match side {
                PositionSide::Both => instrument.name.to_string(),
                PositionSide::Long | PositionSide::Short => {
                    format!("{}:{}", instrument.name, side.name())
                }
            };
            let fields = fields::position(holding.position(side), side, instrument);
            self.hash(format!("{}{name}", keys.position()), fields);
            self.member(POSITIONS, &name, true);
        }
    }

    /// The account as it is now.
    pub(crate) fn account(&mut self, ledger: &Ledger, keys: &Keys) {
        self.hash(keys.account(), fields::account(ledger));
    }

    /// Everything that changed, each once.
    fn changes(&mut self, changes: &Changes, ledger: &Ledger, keys: &Keys) {
        for id in changes.orders.iter().chain(&changes.forgotten) {
            self.order(*id, ledger, keys);
        }
        for id in &changes.positions {
            self.position(*id, ledger, keys);
        }
        if changes.account {
            self.account(ledger, keys);
        }
    }

    /// Appends the arguments of the sets behind those of the hashes.
    pub(crate) fn finish(mut self) -> (Vec<Key>, Vec<Value>) {
        self.args.append(&mut self.members);
        (self.keys, self.args)
    }
}

/// Text as an argument.
pub(crate) fn text(text: String) -> Value {
    Value::String(text.into())
}

impl Projection {
    /// At the newest state of the journal in `dir` that can be had without going beyond `at_most`; at the oldest
    /// one, if all are beyond it.
    pub(crate) fn open(
        dir: &Path,
        keys: Keys,
        config: &StoreConfig,
        at_most: Seq,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            follower: Follower::open(dir, config.orders_kept, at_most)?,
            waiting: VecDeque::new(),
            keys,
            limits: Limits {
                records: config.batch_records_max,
                bytes: config.batch_bytes_max,
                hash_every: config.hash_every,
                stream: config.stream_max.unwrap_or(0),
            },
            hashed: Seq(0),
        })
    }

    /// The last record applied.
    pub(crate) fn position(&self) -> Seq {
        self.follower.seq()
    }

    /// The state after it.
    pub(crate) fn ledger(&self) -> &Ledger {
        self.follower.ledger()
    }

    /// The keys that it writes.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Applies records up to `to`, which is durable, without writing them.
    pub(crate) fn forward(&mut self, to: Seq, durable: Seq) -> Result<(), StoreError> {
        while self.position() < to {
            let Some(record) = self.next_record(durable)? else {
                break;
            };
            self.follower.apply(&record)?;
            self.follower.take_changes();
        }
        Ok(())
    }

    /// The next batch of durable records, if there are any.
    pub(crate) fn next_batch(&mut self, durable: Seq) -> Result<Option<Batch>, StoreError> {
        let first = Seq(self.position().0 + 1);
        let (mut events, mut bytes) = (Vec::new(), 0);
        while events.len() < self.limits.records * 3 && bytes < self.limits.bytes {
            let Some(record) = self.next_record(durable)? else {
                break;
            };
            self.follower.apply(&record)?;
            let event = fields::event(&record, self.ledger()).map_err(|source| {
                let seq = record.seq.0;
                StoreError::Json { seq, source }
            })?;
            bytes += event.data.len();
            events.push(Value::from_static_str(event.kind));
            events.push(text(event.time));
            events.push(text(event.data));
        }
        if events.is_empty() {
            return Ok(None);
        }
        let mut writes = Writes::default();
        let changes = self.follower.take_changes();
        writes.changes(&changes, self.ledger(), &self.keys);
        let (hashes, written) = writes.finish();
        let last = self.position();
        let mut keys = self.keys.fixed();
        keys.extend(hashes);
        let mut args = vec![
            text(first.0.to_string()),
            text(last.0.to_string()),
            text(self.limits.stream.to_string()),
            text(self.due_hash()),
            text(durable.0.to_string()),
        ];
        args.extend(events);
        args.extend(written);
        Ok(Some(Batch {
            first,
            last,
            keys,
            args,
        }))
    }

    /// The whole state, as a snapshot that any data directory can adopt.
    pub(crate) fn image(&self, taken: Time) -> Result<Vec<u8>, StoreError> {
        let installation = self.follower.installation();
        journal::snapshot_bytes(installation, self.ledger(), taken).map_err(StoreError::Image)
    }

    /// The state's hash if it is time for it: hashing walks over every order.
    fn due_hash(&mut self) -> String {
        let seq = self.position();
        if seq.0 - self.hashed.0 < self.limits.hash_every {
            return String::new();
        }
        self.hashed = seq;
        format!("{:016x}", self.ledger().durable_hash())
    }

    fn next_record(&mut self, durable: Seq) -> Result<Option<Sequenced>, StoreError> {
        if self.waiting.is_empty()
            && let Some(records) = self.follower.read(durable)?
        {
            self.waiting = records.into();
        }
        Ok(self.waiting.pop_front())
    }
}
