//! Large keys, and streams, of two servers compared in pieces.

use super::chunks::{Broken, Pieces, ask, ask_int, text_piece};
use super::compare::{Closeness, scored};
use super::pair::Pair;
use super::streams::{self, Id, Page, Pending};
use super::values::Kind;
use crate::store::wire::{Commands, Connection, Reply};

/// Difference between two times of delivery that is none: they are known by what has passed since.
const DELIVERY_MS: i64 = 50;

/// In which way the key differs between the servers; `None` when it does not.
pub(crate) async fn unlike(
    pair: &mut Pair,
    kind: &Kind,
    key: &[u8],
    close: Closeness,
) -> Result<Option<String>, Broken> {
    match kind {
        Kind::Text => text(pair, key).await,
        Kind::Stream => stream(pair, key, close).await,
        Kind::Other(_) => {
            let words = [&b"DUMP"[..], key];
            let (ours, theirs) =
                tokio::join!(ask(&mut pair.source, &words), ask(&mut pair.target, &words),);
            Ok((ours? != theirs?).then(|| "what DUMP gives".to_owned()))
        }
        Kind::List | Kind::Zset => ordered(pair, kind, key).await,
        Kind::Set | Kind::Hash => unordered(pair, kind, key).await,
    }
}

fn lengths(ours: i64, theirs: i64) -> Option<String> {
    (ours != theirs).then(|| format!("{ours} and {theirs} elements"))
}

async fn text(pair: &mut Pair, key: &[u8]) -> Result<Option<String>, Broken> {
    let words = [&b"STRLEN"[..], key];
    let (ours, theirs) = tokio::join!(
        ask_int(&mut pair.source, &words),
        ask_int(&mut pair.target, &words),
    );
    let (length, theirs) = (ours?, theirs?);
    if length != theirs {
        return Ok(Some(format!("{length} and {theirs} bytes")));
    }
    let mut from = 0;
    while from < length {
        let (ours, theirs) = tokio::join!(
            text_piece(&mut pair.source, key, from),
            text_piece(&mut pair.target, key, from),
        );
        let (ours, theirs) = (ours?, theirs?);
        if ours != theirs {
            return Ok(Some(format!("the bytes from {from} on")));
        }
        if ours.is_empty() {
            return Err(Broken::Changed);
        }
        from += i64::try_from(ours.len()).unwrap_or(i64::MAX);
    }
    Ok(None)
}

/// Lists and sorted sets: both sides in their order.
async fn ordered(pair: &mut Pair, kind: &Kind, key: &[u8]) -> Result<Option<String>, Broken> {
    let mut ours = Pieces::new(&mut pair.source, kind, key).await?;
    let mut theirs = Pieces::new(&mut pair.target, kind, key).await?;
    if let Some(what) = lengths(ours.length, theirs.length) {
        return Ok(Some(what));
    }
    theirs.like(&ours);
    let mut at = 0;
    loop {
        let (a, b) = tokio::join!(ours.next(&mut pair.source), theirs.next(&mut pair.target));
        let (Some(a), Some(b)) = (a?, b?) else {
            return Ok(None);
        };
        let same = a.len() == b.len()
            && if *kind == Kind::Zset {
                a.chunks(2)
                    .zip(b.chunks(2))
                    .all(|(a, b)| scored(a) == scored(b))
            } else {
                a == b
            };
        if !same {
            return Ok(Some(format!("elements behind the first {at}")));
        }
        at += a.len();
    }
}

/// Sets and hashes: as many elements on both sides, and each of the source's is at the target, so
/// they are the same, in whatever order and how often a scan brings them.
async fn unordered(pair: &mut Pair, kind: &Kind, key: &[u8]) -> Result<Option<String>, Broken> {
    let mut ours = Pieces::new(&mut pair.source, kind, key).await?;
    let theirs = Pieces::new(&mut pair.target, kind, key).await?;
    if let Some(what) = lengths(ours.length, theirs.length) {
        return Ok(Some(what));
    }
    while let Some(items) = ours.next(&mut pair.source).await? {
        if items.is_empty() {
            continue;
        }
        let wrong = if *kind == Kind::Hash {
            fields_unlike(&mut pair.target, key, &items).await?
        } else {
            members_missing(&mut pair.target, key, &items).await?
        };
        if let Some(element) = wrong {
            return Ok(Some(format!("element {}", element.escape_ascii())));
        }
    }
    Ok(None)
}

/// The first field whose value differs.
async fn fields_unlike<'a>(
    server: &mut Connection,
    key: &[u8],
    items: &'a [Vec<u8>],
) -> Result<Option<&'a [u8]>, Broken> {
    let mut words = vec![&b"HMGET"[..], key];
    words.extend(
        items
            .chunks(2)
            .filter_map(|pair| pair.first())
            .map(Vec::as_slice),
    );
    let values = ask(server, &words).await?.array().unwrap_or_default();
    for (pair, value) in items.chunks(2).zip(values) {
        if let [field, own] = pair
            && value.bytes().as_ref() != Some(own)
        {
            return Ok(Some(field));
        }
    }
    Ok(None)
}

/// The first member that is not there.
async fn members_missing<'a>(
    server: &mut Connection,
    key: &[u8],
    items: &'a [Vec<u8>],
) -> Result<Option<&'a [u8]>, Broken> {
    let mut commands = Commands::default();
    for member in items {
        commands.push(&[b"SISMEMBER", key, member]);
    }
    let replies = server.send(&commands).await?;
    for (member, reply) in items.iter().zip(replies) {
        match reply {
            Reply::Int(1) => {}
            Reply::Error(_) => return Err(Broken::Changed),
            Reply::Bytes(_) | Reply::Int(_) | Reply::Nil | Reply::Array(_) => {
                return Ok(Some(member));
            }
        }
    }
    Ok(None)
}

async fn stream(pair: &mut Pair, key: &[u8], close: Closeness) -> Result<Option<String>, Broken> {
    let (ours, theirs) = tokio::join!(
        streams::head(&mut pair.source, key),
        streams::head(&mut pair.target, key),
    );
    let (ours, theirs) = (ours?, theirs?);
    if ours.length != theirs.length {
        return Ok(Some(format!(
            "{} and {} entries",
            ours.length, theirs.length
        )));
    }
    if ours.last != theirs.last {
        return Ok(Some("last ids".to_owned()));
    }
    if let (Some(ours), Some(theirs)) = (&ours.counters, &theirs.counters)
        && ours != theirs
    {
        return Ok(Some("counters of added and deleted entries".to_owned()));
    }
    let (a, b) = tokio::join!(
        streams::groups(&mut pair.source, key),
        streams::groups(&mut pair.target, key),
    );
    let (a, mut b) = (a?, b?);
    for (ours, theirs) in a.iter().zip(&mut b) {
        // Not known by a server before 7.0, and by none after some kinds of changes.
        if ours.read.is_none() || theirs.read.is_none() {
            theirs.read = ours.read;
        }
    }
    if a != b {
        return Ok(Some("groups or their consumers".to_owned()));
    }
    let count = streams::page_entries(&mut pair.source, key, ours.length).await?;
    let tolerance = DELIVERY_MS + close.expiry_ms + pair.traits.offset.error_ms;
    let mut from = Some(Id::MIN);
    while let Some(begin) = from {
        let (ours, theirs) = tokio::join!(
            streams::page(&mut pair.source, key, &a, begin, count),
            streams::page(&mut pair.target, key, &b, begin, count),
        );
        let (ours, theirs) = (ours?, theirs?);
        if let Some(what) = pages_unlike(&ours, &theirs, pair.traits.offset.ms, tolerance) {
            return Ok(Some(what));
        }
        from = ours.next;
    }
    Ok(None)
}

fn pages_unlike(ours: &Page, theirs: &Page, offset_ms: i64, tolerance: i64) -> Option<String> {
    if ours.entries != theirs.entries {
        return Some("entries".to_owned());
    }
    let same = |(a, b): (&Pending, &Pending)| {
        a.id == b.id
            && a.consumer == b.consumer
            && a.count == b.count
            // The same moment, or the same number: DUMP knows nothing of clocks.
            && [offset_ms, 0].into_iter().any(|offset| {
                a.at_ms.saturating_add(offset).abs_diff(b.at_ms) <= tolerance.unsigned_abs()
            })
    };
    let all = ours.pending.iter().zip(&theirs.pending);
    let same = all
        .clone()
        .all(|(a, b)| a.len() == b.len() && a.iter().zip(b).all(same));
    (!same || ours.next != theirs.next).then(|| "pending entries".to_owned())
}
