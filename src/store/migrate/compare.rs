//! Whether two servers hold the same: every key of the source against the target, then every key of
//! the target against the source.
//!
//! Equal bytes of `DUMP` are equal values. Where they differ (another version, another order inside a
//! set) the contents are compared, whatever order they come in; large keys in pieces.

use std::collections::{BTreeMap, BTreeSet};

use super::chunks::Broken;
use super::dump::{self, Dumped};
use super::pair::{Key, Pair, Traits, sorted};
use super::pieces;
use super::selection::Selection;
use super::ttl::{self, Expiry};
use super::values::{self, Kind, Read, Value};
use crate::store::wire::{Connection, WireError};

/// How two servers differ in a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Database at the source.
    pub db: u16,
    /// The key.
    pub key: Vec<u8>,
    /// What differs.
    pub what: What,
}

/// What differs in a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The target lacks it.
    Missing,
    /// The source lacks it.
    Extra,
    /// The values differ; in which way.
    Value(String),
    /// The ends differ.
    Expiry(String),
}

impl What {
    /// One word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Value(_) => "value",
            Self::Expiry(_) => "expiry",
        }
    }
}

/// How closely is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closeness {
    /// Difference of expiry that is none, in milliseconds.
    pub(crate) expiry_ms: i64,
}

/// Differences in keys that the source holds, looked at twice: what changed meanwhile is none.
pub(crate) async fn keys(
    pair: &mut Pair,
    db: u16,
    keys: Vec<Key>,
    close: Closeness,
) -> Result<Vec<Difference>, WireError> {
    let first = once(pair, db, keys, close).await?;
    if first.is_empty() {
        return Ok(first);
    }
    let again = first.into_iter().map(|difference| difference.key).collect();
    once(pair, db, again, close).await
}

async fn once(
    pair: &mut Pair,
    db: u16,
    keys: Vec<Key>,
    close: Closeness,
) -> Result<Vec<Difference>, WireError> {
    let mut out = Vec::new();
    let sorted = sorted(&mut pair.source, keys).await?;
    for group in sorted.groups {
        let slow = if pair.traits.by_type {
            group
        } else {
            by_dump(pair, db, group, close, &mut out).await?
        };
        by_type(pair, db, &slow, close, &mut out).await?;
    }
    for key in sorted.large {
        in_pieces(pair, db, &key, None, close, &mut out).await?;
    }
    Ok(out)
}

/// Compares what both servers serialise; returns the keys that need a closer look.
async fn by_dump(
    pair: &mut Pair,
    db: u16,
    group: Vec<Key>,
    close: Closeness,
    out: &mut Vec<Difference>,
) -> Result<Vec<Key>, WireError> {
    let there = Traits {
        source_moments: pair.traits.target_moments,
        offset: ttl::Offset { ms: 0, error_ms: 0 },
        ..pair.traits
    };
    let ours = dump::read(&mut pair.source, &pair.traits, group.clone());
    let theirs = dump::read(&mut pair.target, &there, group);
    let (ours, theirs) = tokio::join!(ours, theirs);
    let (ours, theirs) = (ours?, theirs?);
    let refused: BTreeSet<Key> = theirs.refused.into_iter().collect();
    let dumped = theirs
        .dumped
        .into_iter()
        .map(|other| (other.key.clone(), other));
    let mut dumped: BTreeMap<Key, Dumped> = dumped.collect();
    let mut slow = ours.refused;
    for own in ours.dumped {
        match dumped.remove(&own.key) {
            Some(other) if own.payload == other.payload => {
                expiry(
                    db,
                    &own.key,
                    own.expiry,
                    other.expiry,
                    pair.traits,
                    close,
                    out,
                );
            }
            None if !refused.contains(&own.key) => {
                out.push(difference(db, &own.key, What::Missing));
            }
            _ => slow.push(own.key),
        }
    }
    Ok(slow)
}

fn difference(db: u16, key: &[u8], what: What) -> Difference {
    Difference {
        db,
        key: key.to_vec(),
        what,
    }
}

/// Compares the ends of a key, both by the target's clock.
fn expiry(
    db: u16,
    key: &[u8],
    ours: Expiry,
    theirs: Expiry,
    traits: Traits,
    close: Closeness,
    out: &mut Vec<Difference>,
) {
    // The clocks are known no better than this; servers that agree are known exactly.
    let doubt = if traits.offset.ms == 0 {
        0
    } else {
        traits.offset.error_ms
    };
    let same = match (ours, theirs) {
        (Expiry::At(a), Expiry::At(b)) => a.abs_diff(b) <= (close.expiry_ms + doubt).unsigned_abs(),
        (Expiry::Gone, _) => true, // it ended while we looked
        (ours, theirs) => ours == theirs,
    };
    if !same {
        let text = |expiry| match expiry {
            Expiry::At(ms) => format!("at {ms} ms"),
            Expiry::Never => "never".to_owned(),
            Expiry::Gone => "ended".to_owned(),
        };
        let what = format!("ends {}, at the target {}", text(ours), text(theirs));
        out.push(difference(db, key, What::Expiry(what)));
    }
}

/// Compares contents of small keys.
async fn by_type(
    pair: &mut Pair,
    db: u16,
    keys: &[Key],
    close: Closeness,
    out: &mut Vec<Difference>,
) -> Result<(), WireError> {
    let names: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let kinds = values::kinds(&mut pair.source, &names).await?;
    let (mut plain, mut streams) = (Vec::new(), Vec::new());
    for (key, kind) in names.into_iter().zip(kinds) {
        match kind {
            None => {}
            Some(kind @ (Kind::Stream | Kind::Other(_))) => streams.push((key, kind)),
            Some(kind) => plain.push((key, kind)),
        }
    }
    let ours = read_all(&mut pair.source, pair.traits.source_moments, &plain);
    let theirs = read_all(&mut pair.target, pair.traits.target_moments, &plain);
    let (ours, theirs) = tokio::join!(ours, theirs);
    let both = ours?.into_iter().zip(theirs?);
    for ((key, _), ((ours, ours_end), (theirs, theirs_end))) in plain.iter().zip(both) {
        let ours_end = ours_end.shifted(pair.traits.offset.ms);
        match (ours, theirs) {
            (Read::Gone, _) => {}
            (_, Read::Gone) => out.push(difference(db, key, What::Missing)),
            (Read::Changed, _) | (_, Read::Changed) => {
                out.push(difference(db, key, What::Value("another type".to_owned())));
            }
            (Read::Value(ours), Read::Value(theirs)) => match unlike(ours, theirs) {
                Some(what) => out.push(difference(db, key, What::Value(what))),
                None => expiry(db, key, ours_end, theirs_end, pair.traits, close, out),
            },
        }
    }
    for (key, kind) in streams {
        in_pieces(pair, db, key, Some(kind), close, out).await?;
    }
    Ok(())
}

async fn read_all(
    server: &mut Connection,
    moments: bool,
    keys: &[(&[u8], Kind)],
) -> Result<Vec<(Read, Expiry)>, WireError> {
    let values = values::read(server, keys).await?;
    let names: Vec<&[u8]> = keys.iter().map(|(key, _)| *key).collect();
    let expiries = ttl::expiries(server, moments, &names).await?;
    Ok(values.into_iter().zip(expiries).collect())
}

/// In which way two values of one key differ.
fn unlike(ours: Value, theirs: Value) -> Option<String> {
    match (ours, theirs) {
        (Value::Text(a), Value::Text(b)) => {
            (a != b).then(|| format!("{} and {} bytes that differ", a.len(), b.len()))
        }
        (Value::Items(kind, a), Value::Items(_, b)) => {
            let count = (a.len(), b.len());
            let same = count.0 == count.1
                && match kind {
                    Kind::Set => in_order(&a, 1) == in_order(&b, 1),
                    Kind::Hash => in_order(&a, 2) == in_order(&b, 2),
                    Kind::Zset => a
                        .chunks(2)
                        .zip(b.chunks(2))
                        .all(|(a, b)| scored(a) == scored(b)),
                    _ => a == b,
                };
            (!same).then(|| format!("{} and {} elements that differ", count.0, count.1))
        }
        _ => Some("another type".to_owned()),
    }
}

/// The elements in an order that depends on nothing but them.
fn in_order(items: &[Vec<u8>], each: usize) -> Vec<&[Vec<u8>]> {
    let mut out: Vec<&[Vec<u8>]> = items.chunks(each).collect();
    out.sort_unstable();
    out
}

/// A member and its score as a number: versions write the same double in different digits.
pub(crate) fn scored(pair: &[Vec<u8>]) -> Option<(&[u8], u64)> {
    let [member, score] = pair else {
        return None;
    };
    let score: f64 = std::str::from_utf8(score).ok()?.parse().ok()?;
    Some((member, score.to_bits()))
}

/// Compares one key piece by piece.
async fn in_pieces(
    pair: &mut Pair,
    db: u16,
    key: &[u8],
    kind: Option<Kind>,
    close: Closeness,
    out: &mut Vec<Difference>,
) -> Result<(), WireError> {
    let kinds = match kind {
        Some(kind) => vec![Some(kind)],
        None => values::kinds(&mut pair.source, &[key]).await?,
    };
    let Some(Some(kind)) = kinds.into_iter().next() else {
        return Ok(());
    };
    let theirs = values::kinds(&mut pair.target, &[key])
        .await?
        .pop()
        .flatten();
    let Some(theirs) = theirs else {
        out.push(difference(db, key, What::Missing));
        return Ok(());
    };
    if kind != theirs {
        out.push(difference(db, key, What::Value("another type".to_owned())));
        return Ok(());
    }
    match pieces::unlike(pair, &kind, key, close).await {
        Ok(None) => {
            let ours = pair.expiries(&[key]).await?.pop().unwrap_or(Expiry::Gone);
            let moments = pair.traits.target_moments;
            let theirs = ttl::expiries(&mut pair.target, moments, &[key]).await?;
            let theirs = theirs.into_iter().next().unwrap_or(Expiry::Gone);
            expiry(db, key, ours, theirs, pair.traits, close, out);
        }
        Ok(Some(what)) => out.push(difference(db, key, What::Value(what))),
        Err(Broken::Changed) => {
            let what = "it changed while it was compared".to_owned();
            out.push(difference(db, key, What::Value(what)));
        }
        Err(Broken::Wire(error)) => return Err(error),
    }
    Ok(())
}

/// Keys of the target that the source does not have.
pub(crate) async fn extras(
    pair: &mut Pair,
    db: u16,
    keys: Vec<Key>,
) -> Result<Vec<Difference>, WireError> {
    let mut open = keys;
    // Twice on each side: a key may end, or come, between the two looks.
    for look_at_source in [true, false, true] {
        if open.is_empty() {
            break;
        }
        let server = if look_at_source {
            &mut pair.source
        } else {
            &mut pair.target
        };
        let names: Vec<&[u8]> = open.iter().map(Vec::as_slice).collect();
        let kinds = values::kinds(server, &names).await?;
        let keep = |kind: &Option<Kind>| kind.is_some() != look_at_source;
        let left = open.iter().zip(&kinds).filter(|(_, kind)| keep(kind));
        open = left.map(|(key, _)| key.clone()).collect();
    }
    Ok(open
        .iter()
        .map(|key| difference(db, key, What::Extra))
        .collect())
}

/// Where a comparison of everything is.
#[derive(Debug)]
pub(crate) struct Pass {
    /// Databases that are left, the present one first: of the source, then of the target.
    left: Vec<(bool, u16, u16)>,
    cursor: Vec<u8>,
    /// Keys looked at so far.
    pub(crate) seen: u64,
    /// Keys of the source among them.
    pub(crate) compared: u64,
}

impl Pass {
    pub(crate) fn new(databases: &[(u16, u16)]) -> Self {
        let of = |source| databases.iter().map(move |(db, into)| (source, *db, *into));
        Self {
            left: of(true).chain(of(false)).collect(),
            cursor: b"0".to_vec(),
            seen: 0,
            compared: 0,
        }
    }

    /// The next step of it; `None` behind the last one. Its databases are selected.
    pub(crate) async fn step(
        &mut self,
        pair: &mut Pair,
        selection: &Selection,
        close: Closeness,
    ) -> Result<Option<(u16, Vec<Difference>)>, WireError> {
        let Some((source, db, into)) = self.left.first().copied() else {
            return Ok(None);
        };
        pair.select(db, into).await?;
        let server = if source {
            &mut pair.source
        } else {
            &mut pair.target
        };
        let (next, found, seen) = selection.scan(server, &self.cursor).await?;
        self.seen += seen;
        let differences = if source {
            self.compared += found.len() as u64;
            keys(pair, db, found, close).await?
        } else {
            extras(pair, db, found).await?
        };
        if next == b"0" {
            self.left.remove(0);
        }
        self.cursor = next;
        Ok(Some((db, differences)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(kind: Kind, words: &[&str]) -> Value {
        Value::Items(kind, words.iter().map(|w| w.as_bytes().to_vec()).collect())
    }

    #[test]
    fn order_counts_where_it_means_something() {
        let same = |kind: Kind, a: &[&str], b: &[&str]| {
            unlike(items(kind.clone(), a), items(kind, b)).is_none()
        };
        assert!(same(Kind::Set, &["a", "b"], &["b", "a"]));
        assert!(!same(Kind::Set, &["a", "b"], &["b", "c"]));
        assert!(same(
            Kind::Hash,
            &["f", "1", "g", "2"],
            &["g", "2", "f", "1"]
        ));
        assert!(!same(
            Kind::Hash,
            &["f", "1", "g", "2"],
            &["f", "2", "g", "1"]
        ));
        assert!(!same(Kind::List, &["a", "b"], &["b", "a"]));
        assert!(same(
            Kind::Zset,
            &["m", "1.1000000000000001"],
            &["m", "1.1"]
        ));
        assert!(!same(
            Kind::Zset,
            &["m", "1.1000000000000003"],
            &["m", "1.1"]
        ));
        assert!(same(Kind::Zset, &["m", "-inf"], &["m", "-inf"]));
        assert!(!same(Kind::Zset, &["m", "0"], &["m", "-0"]));
        assert!(!same(Kind::Set, &["a"], &["a", "b"]));
        assert!(unlike(Value::Text(b"a".to_vec()), items(Kind::Set, &["a"])).is_some());
    }

    #[test]
    fn ends_may_differ_by_what_is_allowed() {
        let found = |ours, theirs, offset_ms| {
            let traits = Traits {
                source_moments: true,
                target_moments: true,
                offset: ttl::Offset {
                    ms: offset_ms,
                    error_ms: 3,
                },
                target_counters: true,
                by_type: false,
            };
            let mut out = Vec::new();
            let close = Closeness { expiry_ms: 5 };
            expiry(0, b"k", ours, theirs, traits, close, &mut out);
            out.len()
        };
        assert_eq!(found(Expiry::At(100), Expiry::At(105), 0), 0);
        assert_eq!(found(Expiry::At(100), Expiry::At(106), 0), 1);
        assert_eq!(found(Expiry::At(100), Expiry::At(108), 60_000), 0);
        assert_eq!(found(Expiry::Never, Expiry::At(108), 0), 1);
        assert_eq!(found(Expiry::At(100), Expiry::Gone, 0), 1);
        assert_eq!(found(Expiry::Gone, Expiry::At(1), 0), 0);
        assert_eq!(found(Expiry::Never, Expiry::Never, 0), 0);
    }
}
