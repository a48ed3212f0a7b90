//! Streams as commands show them: entries with their ids, the last id and the counters, groups,
//! consumers, and what is pending with its times and counts. Page by page, so that a page of entries
//! comes with everything that groups know about the same ids.

use std::collections::BTreeMap;

use super::chunks::{Broken, ask};
use crate::store::wire::{Connection, Reply, time_us};

/// Entries, and pending entries of a group, that are read at once.
pub(crate) const PAGE: usize = 500;

/// The id of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(pub(crate) u64, pub(crate) u64);

impl Id {
    pub(crate) const MIN: Self = Self(0, 0);

    fn parse(text: &[u8]) -> Option<Self> {
        let (ms, seq) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self(ms.parse().ok()?, seq.parse().ok()?))
    }

    pub(crate) fn text(self) -> Vec<u8> {
        format!("{}-{}", self.0, self.1).into_bytes()
    }

    /// The smallest id behind this one; `None` behind the largest of all.
    pub(crate) fn next(self) -> Option<Self> {
        match self.1.checked_add(1) {
            Some(seq) => Some(Self(self.0, seq)),
            None => Some(Self(self.0.checked_add(1)?, 0)),
        }
    }
}

/// An entry: its id, and its fields with their values.
pub(crate) type Entry = (Id, Vec<Vec<u8>>);

/// What a stream is beside its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) last: Id,
    pub(crate) length: i64,
    /// Entries ever added, and the largest id that was deleted; servers before 7.0 do not know them.
    pub(crate) counters: Option<(i64, Id)>,
}

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: Vec<u8>,
    pub(crate) last: Id,
    pub(crate) read: Option<i64>,
    pub(crate) consumers: Vec<Vec<u8>>,
}

/// An entry that a consumer has and has not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) id: Id,
    pub(crate) consumer: Vec<u8>,
    /// When it was delivered last, in milliseconds by the server's clock.
    pub(crate) at_ms: i64,
    pub(crate) count: i64,
}

/// Part of a stream: everything about the ids of a range.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    /// For each group.
    pub(crate) pending: Vec<Vec<Pending>>,
    /// Where the next page begins; `None` behind the last one.
    pub(crate) next: Option<Id>,
}

pub(crate) fn wrong(server: &Connection) -> Broken {
    Broken::Wire(server.answer("a stream's description has a part that is not understood"))
}

/// Fields by name, as `XINFO` gives them.
fn fields(reply: Reply) -> Option<BTreeMap<Vec<u8>, Reply>> {
    let mut out = BTreeMap::new();
    let mut items = reply.array()?.into_iter();
    while let Some(name) = items.next() {
        out.insert(name.bytes()?, items.next()?);
    }
    Some(out)
}

fn id(fields: &BTreeMap<Vec<u8>, Reply>, name: &str) -> Option<Id> {
    match fields.get(name.as_bytes())? {
        Reply::Bytes(text) => Id::parse(text),
        Reply::Int(_) | Reply::Nil | Reply::Array(_) | Reply::Error(_) => None,
    }
}

fn int(fields: &BTreeMap<Vec<u8>, Reply>, name: &str) -> Option<i64> {
    fields.get(name.as_bytes())?.int()
}

/// The reply to `XINFO STREAM`.
pub(crate) fn parse_head(reply: Reply) -> Option<Head> {
    let fields = fields(reply)?;
    let counters = int(&fields, "entries-added").zip(id(&fields, "max-deleted-entry-id"));
    Some(Head {
        last: id(&fields, "last-generated-id")?,
        length: int(&fields, "length")?,
        counters,
    })
}

/// The reply to `XINFO GROUPS`, in the order of their names; consumers are asked for apart.
pub(crate) fn parse_groups(reply: Reply) -> Option<Vec<Group>> {
    let mut out = Vec::new();
    for group in reply.array()? {
        let mut fields = fields(group)?;
        out.push(Group {
            last: id(&fields, "last-delivered-id")?,
            read: int(&fields, "entries-read"),
            name: fields.remove(&b"name"[..])?.bytes()?,
            consumers: Vec::new(),
        });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Some(out)
}

/// The reply to `XINFO CONSUMERS`: their names, in order.
pub(crate) fn parse_consumers(reply: Reply) -> Option<Vec<Vec<u8>>> {
    let name = |consumer| fields(consumer)?.remove(&b"name"[..])?.bytes();
    let mut out: Vec<Vec<u8>> = reply
        .array()?
        .into_iter()
        .map(name)
        .collect::<Option<_>>()?;
    out.sort();
    Some(out)
}

/// The reply to `XRANGE`.
pub(crate) fn parse_entries(reply: Reply) -> Option<Vec<Entry>> {
    let entry = |reply: Reply| {
        let mut parts = reply.array()?.into_iter();
        let id = Id::parse(&parts.next()?.bytes()?)?;
        Some((id, super::values::strings(parts.next()?.array()?)?))
    };
    reply.array()?.into_iter().map(entry).collect()
}

/// The reply to `XPENDING` with a range, asked at `now_ms`.
pub(crate) fn parse_pending(reply: Reply, now_ms: i64) -> Option<Vec<Pending>> {
    let one = |reply: Reply| {
        let [id, consumer, idle, count] = <[Reply; 4]>::try_from(reply.array()?).ok()?;
        Some(Pending {
            id: Id::parse(&id.bytes()?)?,
            consumer: consumer.bytes()?,
            at_ms: now_ms.saturating_sub(idle.int()?),
            count: count.int()?,
        })
    };
    reply.array()?.into_iter().map(one).collect()
}

/// Last id, length, counters.
pub(crate) async fn head(server: &mut Connection, key: &[u8]) -> Result<Head, Broken> {
    let reply = ask(server, &[b"XINFO", b"STREAM", key]).await?;
    parse_head(reply).ok_or_else(|| wrong(server))
}

/// The groups with their consumers, in the order of their names.
pub(crate) async fn groups(server: &mut Connection, key: &[u8]) -> Result<Vec<Group>, Broken> {
    let reply = ask(server, &[b"XINFO", b"GROUPS", key]).await?;
    let mut groups = parse_groups(reply).ok_or_else(|| wrong(server))?;
    for group in &mut groups {
        let reply = ask(server, &[b"XINFO", b"CONSUMERS", key, &group.name]).await?;
        group.consumers = parse_consumers(reply).ok_or_else(|| wrong(server))?;
    }
    Ok(groups)
}

/// Entries from `from` on, up to `count`.
async fn entries(
    server: &mut Connection,
    key: &[u8],
    from: Id,
    count: usize,
) -> Result<Vec<Entry>, Broken> {
    let (from, count) = (from.text(), count.to_string());
    let words = [&b"XRANGE"[..], key, &from, b"+", b"COUNT", count.as_bytes()];
    let reply = ask(server, &words).await?;
    parse_entries(reply).ok_or_else(|| wrong(server))
}

/// What is pending in a group from `from` on, up to [`PAGE`].
async fn pending(
    server: &mut Connection,
    key: &[u8],
    group: &[u8],
    from: Id,
) -> Result<Vec<Pending>, Broken> {
    let (from, count) = (from.text(), PAGE.to_string());
    let now = ask(server, &[b"TIME"]).await?;
    let now_ms = time_us(&now).ok_or_else(|| wrong(server))? / 1_000;
    let words = [&b"XPENDING"[..], key, group, &from, b"+", count.as_bytes()];
    let reply = ask(server, &words).await?;
    parse_pending(reply, now_ms).ok_or_else(|| wrong(server))
}

/// The part of a stream that begins with `from`: as far as one page of entries and of each group
/// reaches.
pub(crate) async fn page(
    server: &mut Connection,
    key: &[u8],
    groups: &[Group],
    from: Id,
    count: usize,
) -> Result<Page, Broken> {
    let mut entries = entries(server, key, from, count).await?;
    let full = |length: usize, of: usize, last: Option<Id>| last.filter(|_| length >= of);
    let mut end = full(entries.len(), count, entries.last().map(|(id, _)| *id));
    let mut all = Vec::with_capacity(groups.len());
    for group in groups {
        let pending = pending(server, key, &group.name, from).await?;
        let last = full(pending.len(), PAGE, pending.last().map(|p| p.id));
        end = match (end, last) {
            (Some(end), Some(last)) => Some(end.min(last)),
            (end, last) => end.or(last),
        };
        all.push(pending);
    }
    if let Some(end) = end {
        entries.retain(|(id, _)| *id <= end);
        for pending in &mut all {
            pending.retain(|pending| pending.id <= end);
        }
    }
    Ok(Page {
        entries,
        pending: all,
        next: end.and_then(Id::next),
    })
}

/// How many entries to read at once, by what they take on average.
pub(crate) async fn page_entries(
    server: &mut Connection,
    key: &[u8],
    length: i64,
) -> Result<usize, Broken> {
    let memory = ask(server, &[b"MEMORY", b"USAGE", key])
        .await?
        .int()
        .unwrap_or(0);
    let average = usize::try_from(memory / length.max(1)).unwrap_or(0).max(1);
    Ok((super::pair::LARGE / average).clamp(1, PAGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_and_have_a_next_one() {
        let id = |text: &str| Id::parse(text.as_bytes());
        assert_eq!(id("12-3"), Some(Id(12, 3)));
        assert_eq!(id("12"), None);
        assert_eq!(id("-1-3"), None);
        assert!(Id(9, 9) < Id(10, 0));
        assert_eq!(Id(7, u64::MAX).next(), Some(Id(8, 0)));
        assert_eq!(Id(u64::MAX, u64::MAX).next(), None);
        assert_eq!(Id(1, 2).text(), b"1-2");
    }
}
