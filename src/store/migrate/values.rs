//! Values by the commands of their type: what every server of this family understands.
//!
//! A small key is read by one command and replaced in one transaction, so nobody sees half of it.

use super::chunks::{self, Copied};
use super::pair::{Key, Pair, Tally};
use super::stream_copy;
use super::ttl::Expiry;
use crate::store::wire::{Commands, Connection, Reply, WireError};

/// Elements that one writing command carries.
const ELEMENTS: usize = 1_000;
/// How often a key whose type changes while it is read is read again.
const ATTEMPTS: usize = 5;

/// The type of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    List,
    Set,
    Hash,
    Zset,
    Stream,
    /// A module's.
    Other(String),
}

impl Kind {
    /// From the reply to `TYPE`; `None` when there is no such key.
    fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"none" => return None,
            b"string" => Self::Text,
            b"list" => Self::List,
            b"set" => Self::Set,
            b"hash" => Self::Hash,
            b"zset" => Self::Zset,
            b"stream" => Self::Stream,
            other => Self::Other(String::from_utf8_lossy(other).into_owned()),
        })
    }
}

/// A whole value: a string, or the elements of anything else in the server's order (a hash's fields
/// with their values, a sorted set's members with their scores).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(Vec<u8>),
    Items(Kind, Vec<Vec<u8>>),
}

/// What reading a key brought.
#[derive(Debug)]
pub(crate) enum Read {
    Value(Value),
    Gone,
    /// It became something else in between.
    Changed,
}

/// The types of keys.
pub(crate) async fn kinds(
    server: &mut Connection,
    keys: &[&[u8]],
) -> Result<Vec<Option<Kind>>, WireError> {
    let mut commands = Commands::default();
    for key in keys {
        commands.push(&[b"TYPE", key]);
    }
    let mut out = Vec::with_capacity(keys.len());
    for reply in server.send(&commands).await? {
        match reply {
            Reply::Bytes(name) => out.push(Kind::from_name(&name)),
            Reply::Error(text) => return Err(server.refusal(b"TYPE", &text)),
            Reply::Int(_) | Reply::Nil | Reply::Array(_) => {
                return Err(server.answer("TYPE is no word"));
            }
        }
    }
    Ok(out)
}

/// Reads whole values; streams and unknown types are not among them.
pub(crate) async fn read(
    server: &mut Connection,
    keys: &[(&[u8], Kind)],
) -> Result<Vec<Read>, WireError> {
    let mut commands = Commands::default();
    for (key, kind) in keys {
        match kind {
            Kind::Text => commands.push(&[b"GET", key]),
            Kind::List => commands.push(&[b"LRANGE", key, b"0", b"-1"]),
            Kind::Set => commands.push(&[b"SMEMBERS", key]),
            Kind::Hash => commands.push(&[b"HGETALL", key]),
            Kind::Zset => commands.push(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]),
            Kind::Stream | Kind::Other(_) => commands.push(&[b"EXISTS", key]),
        }
    }
    let replies = server.send(&commands).await?;
    let mut out = Vec::with_capacity(keys.len());
    for ((_, kind), reply) in keys.iter().zip(replies) {
        out.push(match reply {
            Reply::Bytes(text) => Read::Value(Value::Text(text)),
            Reply::Nil => Read::Gone,
            Reply::Array(items) if items.is_empty() => Read::Gone,
            Reply::Array(items) => {
                let items = strings(items).ok_or_else(|| server.answer("an element is no text"))?;
                Read::Value(Value::Items(kind.clone(), items))
            }
            Reply::Error(text) if text.starts_with("WRONGTYPE") => Read::Changed,
            Reply::Error(text) => return Err(server.refusal(b"a reading command", &text)),
            Reply::Int(_) => Read::Changed,
        });
    }
    Ok(out)
}

/// The texts of a list; `None` when something else is among them.
pub(crate) fn strings(items: Vec<Reply>) -> Option<Vec<Vec<u8>>> {
    items.into_iter().map(Reply::bytes).collect()
}

/// The texts of a message, numbers written out.
pub(crate) fn strings_or_numbers(items: Vec<Reply>) -> Option<Vec<Vec<u8>>> {
    let text = |item| match item {
        Reply::Int(int) => Some(int.to_string().into_bytes()),
        other => other.bytes(),
    };
    items.into_iter().map(text).collect()
}

/// Appends what adds `items` to the key: elements as the reading command gave them.
pub(crate) fn push_items(commands: &mut Commands, kind: &Kind, key: &[u8], items: &[Vec<u8>]) {
    let (name, pair): (&[u8], bool) = match kind {
        Kind::List => (b"RPUSH", false),
        Kind::Set => (b"SADD", false),
        Kind::Hash => (b"HSET", true),
        Kind::Zset => (b"ZADD", true),
        Kind::Text | Kind::Stream | Kind::Other(_) => return,
    };
    let each = if pair { 2 } else { 1 };
    for part in items.chunks(ELEMENTS * each) {
        commands.open(2 + part.len());
        commands.arg(name);
        commands.arg(key);
        for element in part.chunks(each) {
            // A score comes before its member when it is written, and after it when it is read.
            if *kind == Kind::Zset {
                for word in element.iter().rev() {
                    commands.arg(word);
                }
            } else {
                for word in element {
                    commands.arg(word);
                }
            }
        }
    }
}

/// Appends a transaction that replaces a key; returns how many replies it brings.
fn push_replacement(commands: &mut Commands, key: &[u8], value: &Value, expiry: Expiry) -> usize {
    let before = commands.len();
    commands.push(&[b"MULTI"]);
    commands.push(&[b"DEL", key]);
    match value {
        Value::Text(text) => commands.push(&[b"SET", key, text]),
        Value::Items(kind, items) => push_items(commands, kind, key, items),
    }
    if let Expiry::At(ms) = expiry {
        commands.push(&[b"PEXPIREAT", key, ms.to_string().as_bytes()]);
    }
    commands.push(&[b"EXEC"]);
    commands.len() - before
}

/// The refusal in what a transaction answered, if there is one.
pub(crate) fn refused(replies: &[Reply]) -> Option<&str> {
    let inner = |reply: &Reply| match reply {
        Reply::Array(items) => items.iter().any(|item| item.error().is_some()),
        Reply::Error(_) => true,
        Reply::Bytes(_) | Reply::Int(_) | Reply::Nil => false,
    };
    let first = replies.iter().find(|reply| inner(reply))?;
    match first {
        Reply::Array(items) => items.iter().find_map(Reply::error),
        other => other.error(),
    }
}

impl Value {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Items(_, items) => items.iter().map(Vec::len).sum(),
        }
    }
}

impl Pair {
    /// Copies keys by type and returns those that are not there any more.
    pub(super) async fn copy_by_type(
        &mut self,
        db: u16,
        keys: Vec<Key>,
        tally: &mut Tally,
    ) -> Result<Vec<Key>, WireError> {
        let sorted = super::pair::sorted(&mut self.source, keys).await?;
        let mut gone = sorted.gone;
        let mut one_by_one = sorted.large;
        for group in sorted.groups {
            let mut open = group;
            for _ in 0..ATTEMPTS {
                if open.is_empty() {
                    break;
                }
                open = self
                    .copy_group(db, open, tally, &mut gone, &mut one_by_one)
                    .await?;
            }
            tally.busy.extend(open.into_iter().map(|key| (db, key)));
        }
        for key in one_by_one {
            match chunks::copy(self, &key).await? {
                Copied::Done(bytes) => {
                    tally.by_type += 1;
                    tally.in_pieces += 1;
                    tally.bytes += bytes;
                }
                Copied::Gone => gone.push(key),
                Copied::Busy => tally.busy.push((db, key)),
                Copied::Unknown(kind) => {
                    let why = format!(
                        "it is of type {kind}, which only DUMP and RESTORE carry, between servers with the same module"
                    );
                    tally.fail(db, &key, why);
                }
            }
        }
        Ok(gone)
    }

    /// Copies small keys; returns those whose type changed in between.
    async fn copy_group(
        &mut self,
        db: u16,
        group: Vec<Key>,
        tally: &mut Tally,
        gone: &mut Vec<Key>,
        one_by_one: &mut Vec<Key>,
    ) -> Result<Vec<Key>, WireError> {
        let names: Vec<&[u8]> = group.iter().map(Vec::as_slice).collect();
        let kinds = kinds(&mut self.source, &names).await?;
        let (mut plain, mut streams) = (Vec::new(), Vec::new());
        for (key, kind) in group.iter().zip(kinds) {
            match kind {
                None => gone.push(key.clone()),
                Some(Kind::Stream) => streams.push(key.clone()),
                Some(Kind::Other(_)) => one_by_one.push(key.clone()),
                Some(kind) => plain.push((key.as_slice(), kind)),
            }
        }
        let values = read(&mut self.source, &plain).await?;
        let names: Vec<&[u8]> = plain.iter().map(|(key, _)| *key).collect();
        let expiries = self.expiries(&names).await?;
        let small = stream_copy::copy_small(self, streams).await?;
        tally.by_type += small.done;
        tally.bytes += small.bytes;
        one_by_one.extend(small.left);
        let (mut commands, mut expected, mut again) = (Commands::default(), Vec::new(), Vec::new());
        for ((key, value), expiry) in names.into_iter().zip(values).zip(expiries) {
            match (value, expiry) {
                (Read::Gone, _) | (_, Expiry::Gone) => gone.push(key.to_vec()),
                (Read::Changed, _) => again.push(key.to_vec()),
                (Read::Value(value), expiry) => {
                    let replies = push_replacement(&mut commands, key, &value, expiry);
                    expected.push((key, replies, value.bytes()));
                }
            }
        }
        let replies = self.target.send(&commands).await?;
        let mut replies = replies.as_slice();
        for (key, count, bytes) in expected {
            let (own, rest) = replies.split_at(count.min(replies.len()));
            replies = rest;
            match refused(own) {
                Some(text) if text.starts_with("OOM") || text.starts_with("NOPERM") => {
                    return Err(self.target.refusal(b"a write", text));
                }
                Some(text) if text.starts_with("READONLY") || text.starts_with("MISCONF") => {
                    return Err(self.target.refusal(b"a write", text));
                }
                Some(text) => tally.fail(db, key, text),
                None => {
                    tally.by_type += 1;
                    tally.bytes += bytes as u64;
                }
            }
        }
        Ok(again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_replaced_in_one_transaction_scores_before_members() {
        let mut commands = Commands::default();
        let items = [&b"m"[..], b"1.5", b"n", b"-inf"].map(<[u8]>::to_vec);
        let value = Value::Items(Kind::Zset, items.to_vec());
        let replies = push_replacement(&mut commands, b"k", &value, Expiry::At(7));
        assert_eq!((replies, commands.len()), (5, 5));
        let text = String::from_utf8_lossy(commands.encoded()).replace("\r\n", " ");
        let want = "*1 $5 MULTI *2 $3 DEL $1 k *6 $4 ZADD $1 k $3 1.5 $1 m $4 -inf $1 n \
                    *3 $9 PEXPIREAT $1 k $1 7 *1 $4 EXEC ";
        assert_eq!(text, want);
    }

    #[test]
    fn long_values_are_cut_into_commands() {
        let mut commands = Commands::default();
        let items = vec![b"x".to_vec(); 2 * ELEMENTS + 2];
        push_items(&mut commands, &Kind::Hash, b"k", &items);
        assert_eq!(commands.len(), 2);
    }

    #[test]
    fn a_refusal_within_a_transaction_is_found() {
        let fine = Reply::Bytes(b"OK".to_vec());
        let bad = Reply::Array(vec![Reply::Int(1), Reply::Error("ERR x".to_owned())]);
        assert_eq!(refused(&[fine.clone(), bad]), Some("ERR x"));
        assert_eq!(refused(&[fine, Reply::Array(vec![Reply::Int(1)])]), None);
    }
}
