//! From journal records to script calls: an own replica of the ledger, fed from the journal.
//!
//! Reads files and applies records: runs on blocking threads. It never goes back; to write from an
//! earlier record, make a new one.

use std::collections::VecDeque;
use std::fmt::Display;
use std::path::Path;

use fred::bytes::Bytes;
use fred::types::{Key, Value};

use super::StoreConfig;
use super::error::StoreError;
use super::fields::{self, Fields};
use super::keys::{Keys, OPEN, ORDERS, POSITIONS};
use super::pack::Pack;
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

/// One script call, without its fence.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) first: Seq,
    pub(crate) last: Seq,
    pub(crate) keys: Vec<Key>,
    /// Longest stream, the state's hash, and the journal's last durable sequence.
    settings: [String; 3],
    packed: Bytes,
}

impl Batch {
    /// What `batch.lua` takes.
    pub(crate) fn args(&self, fence: u64) -> Vec<Value> {
        let [stream, hash, durable] = self.settings.clone();
        let range = [fence, self.first.0, self.last.0].map(|n| text(n.to_string()));
        let mut args = Vec::from(range);
        args.extend([stream, hash, durable].map(text));
        args.push(Value::Bytes(self.packed.clone()));
        args
    }
}

/// Hashes and set members to write, in the form that `write.lua` takes.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    keys: Vec<Key>,
    /// Keys to remove.
    gone: Vec<Key>,
    /// Names of each kind of hash, once it was written.
    names: [Vec<&'static str>; KINDS],
    /// For each key the place of its names, and its values.
    values: Pack,
    /// Members that join and leave each set.
    members: Vec<(Change, Vec<String>)>,
}

/// Kinds of hashes.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Order,
    Position,
    Account,
}

const KINDS: usize = 3;

/// A command, and the position of the set that it is for.
type Change = (&'static str, u32);

/// Members that one call takes at most: Lua's stack bounds it at some thousands.
const MEMBERS_MAX: usize = 1_000;

/// Learns the names of a kind with its first hash; the others must have the same.
struct Row<'a> {
    names: &'a mut Vec<&'static str>,
    is_known: bool,
    at: usize,
    values: &'a mut Pack,
}

impl Fields for Row<'_> {
    fn put(&mut self, name: &'static str, value: impl Display) {
        if self.is_known {
            let known = self.names.get(self.at);
            assert_eq!(known, Some(&name), "the fields of a hash changed");
        } else {
            self.names.push(name);
        }
        self.at += 1;
        self.values.text(value);
    }
}

impl Writes {
    fn hash(&mut self, kind: Kind, key: String, fields: impl FnOnce(&mut Row<'_>)) {
        self.keys.push(key.into());
        let names = &mut self.names[kind as usize];
        self.values.number(kind as u32 + 1);
        let mut row = Row {
            is_known: !names.is_empty(),
            names,
            at: 0,
            values: &mut self.values,
        };
        fields(&mut row);
        assert_eq!(row.at, row.names.len(), "a hash without all its fields");
    }

    fn member(&mut self, command: &'static str, set: u32, member: String) {
        let change = (command, set);
        match self.members.iter_mut().find(|(c, _)| *c == change) {
            Some((_, members)) => members.push(member),
            None => self.members.push((change, vec![member])),
        }
    }

    /// An order as it is now; removed if the ledger has forgotten it. Those from `first` on are not in the store yet.
    pub(crate) fn order(&mut self, id: OrderId, first: Seq, ledger: &Ledger, keys: &Keys) {
        let is_new = id.0 >= first.0;
        let order = ledger.orders().get(id);
        let instrument = order.and_then(|o| ledger.instrument(o.instrument));
        if let (Some(order), Some(instrument)) = (order, instrument) {
            let key = format!("{}{id}", keys.order());
            self.hash(Kind::Order, key, |to| {
                fields::order(order, instrument, ledger, to);
            });
            if is_new {
                self.member("SADD", ORDERS, id.to_string());
            }
            if order.is_open() {
                self.member("SADD", OPEN, id.to_string());
            } else if !is_new {
                self.member("SREM", OPEN, id.to_string());
            }
        } else if !is_new {
            self.gone.push(format!("{}{id}", keys.order()).into());
            self.member("SREM", ORDERS, id.to_string());
            self.member("SREM", OPEN, id.to_string());
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
            let key = format!("{}{name}", keys.position());
            self.hash(Kind::Position, key, |to| {
                fields::position(holding.position(side), side, instrument, to);
            });
            self.member("SADD", POSITIONS, name);
        }
    }

    /// The account as it is now.
    pub(crate) fn account(&mut self, ledger: &Ledger, keys: &Keys) {
        self.hash(Kind::Account, keys.account(), |to| {
            fields::account(ledger, to);
        });
    }

    /// Everything that changed from `first` on, each once.
    fn changes(&mut self, changes: &Changes, first: Seq, ledger: &Ledger, keys: &Keys) {
        let is_forgotten = |id: &&OrderId| ledger.orders().get(**id).is_none();
        // One that changed and was forgotten then is in both lists.
        let kept = changes.orders.iter().filter(|id| !is_forgotten(id));
        for id in kept.chain(&changes.forgotten) {
            self.order(*id, first, ledger, keys);
        }
        for id in &changes.positions {
            self.position(*id, ledger, keys);
        }
        if changes.account {
            self.account(ledger, keys);
        }
    }

    /// The hashes' keys with those to remove behind them, and everything in one text after `events`.
    pub(crate) fn finish(mut self, events: &Pack) -> (Vec<Key>, Bytes) {
        let mut packed = Pack::default();
        let whole = packed.begin();
        let list = packed.begin();
        packed.append(events);
        packed.end(&list);
        let kinds = packed.begin();
        for names in &self.names {
            let list = packed.begin();
            for name in names {
                packed.text(name);
                // Where the script puts the value.
                packed.text("");
            }
            packed.end(&list);
        }
        packed.end(&kinds);
        let list = packed.begin();
        packed.append(&self.values);
        packed.end(&list);
        let changes = packed.begin();
        for ((command, set), members) in &self.members {
            for members in members.chunks(MEMBERS_MAX) {
                let list = packed.begin();
                packed.text(command);
                packed.number(*set);
                for member in members {
                    packed.text(member);
                }
                packed.end(&list);
            }
        }
        packed.end(&changes);
        packed.end(&whole);
        self.keys.append(&mut self.gone);
        (self.keys, packed.into_bytes().into())
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
        let (mut events, mut count) = (Pack::default(), 0);
        while count < self.limits.records && events.len() < self.limits.bytes {
            let Some(record) = self.next_record(durable)? else {
                break;
            };
            self.follower.apply(&record)?;
            fields::event(&record, self.ledger(), &mut events).map_err(|source| {
                let seq = record.seq.0;
                StoreError::Json { seq, source }
            })?;
            count += 1;
        }
        if count == 0 {
            return Ok(None);
        }
        let mut writes = Writes::default();
        let changes = self.follower.take_changes();
        writes.changes(&changes, first, self.ledger(), &self.keys);
        let (hashes, packed) = writes.finish(&events);
        let mut keys = self.keys.fixed();
        keys.extend(hashes);
        let stream = self.limits.stream.to_string();
        Ok(Some(Batch {
            first,
            last: self.position(),
            keys,
            settings: [stream, self.due_hash(), durable.0.to_string()],
            packed,
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
