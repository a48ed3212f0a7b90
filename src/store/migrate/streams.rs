//! Streams by commands: entries with their ids, the last id and the counters, groups, consumers, and
//! what is pending with its times and counts.
//!
//! Pending entries may be gone from the stream itself. The group still knows them, and only an entry
//! that exists can be claimed: such an entry is put in, claimed, and taken out again, in the way in
//! which it left the source, because a stream remembers deletions and not trimming.

use std::collections::BTreeMap;

use super::chunks::{self, Broken, ask};
use super::pair::Pair;
use crate::store::wire::{Commands, Connection, Reply, WireError, time_us};

/// Entries, and pending entries of a group, that are read at once.
const PAGE: usize = 500;

/// The id of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(u64, u64);

impl Id {
    pub(crate) const MIN: Self = Self(0, 0);

    fn parse(text: &[u8]) -> Option<Self> {
        let (ms, seq) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self(ms.parse().ok()?, seq.parse().ok()?))
    }

    fn text(self) -> Vec<u8> {
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

fn wrong(server: &Connection) -> Broken {
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

/// Last id, length, counters.
pub(crate) async fn head(server: &mut Connection, key: &[u8]) -> Result<Head, Broken> {
    let fields = fields(ask(server, &[b"XINFO", b"STREAM", key]).await?);
    let head = fields.and_then(|fields| {
        let counters = int(&fields, "entries-added").zip(id(&fields, "max-deleted-entry-id"));
        Some(Head {
            last: id(&fields, "last-generated-id")?,
            length: int(&fields, "length")?,
            counters,
        })
    });
    head.ok_or_else(|| wrong(server))
}

/// The groups with their consumers, in the order of their names.
pub(crate) async fn groups(server: &mut Connection, key: &[u8]) -> Result<Vec<Group>, Broken> {
    let list = ask(server, &[b"XINFO", b"GROUPS", key]).await?.array();
    let mut out = Vec::new();
    for group in list.ok_or_else(|| wrong(server))? {
        let mut fields = fields(group).ok_or_else(|| wrong(server))?;
        let last = id(&fields, "last-delivered-id").ok_or_else(|| wrong(server))?;
        let read = int(&fields, "entries-read");
        let name = fields.remove(&b"name"[..]).and_then(Reply::bytes);
        let name = name.ok_or_else(|| wrong(server))?;
        let list = ask(server, &[b"XINFO", b"CONSUMERS", key, &name])
            .await?
            .array();
        let mut consumers = Vec::new();
        for consumer in list.ok_or_else(|| wrong(server))? {
            let name = self::fields(consumer).and_then(|mut f| f.remove(&b"name"[..])?.bytes());
            consumers.push(name.ok_or_else(|| wrong(server))?);
        }
        consumers.sort();
        out.push(Group {
            name,
            last,
            read,
            consumers,
        });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
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
    let list = ask(server, &words).await?.array();
    let entry = |reply: Reply| {
        let mut parts = reply.array()?.into_iter();
        let id = Id::parse(&parts.next()?.bytes()?)?;
        Some((id, super::values::strings(parts.next()?.array()?)?))
    };
    let list: Option<Vec<Entry>> = list.and_then(|l| l.into_iter().map(entry).collect());
    list.ok_or_else(|| wrong(server))
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
    let list = ask(server, &words).await?.array();
    let one = |reply: Reply| {
        let [id, consumer, idle, count] = <[Reply; 4]>::try_from(reply.array()?).ok()?;
        Some(Pending {
            id: Id::parse(&id.bytes()?)?,
            consumer: consumer.bytes()?,
            at_ms: now_ms.saturating_sub(idle.int()?),
            count: count.int()?,
        })
    };
    let list: Option<Vec<Pending>> = list.and_then(|l| l.into_iter().map(one).collect());
    list.ok_or_else(|| wrong(server))
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

/// Gathers a stream under the temporary key.
pub(crate) async fn copy(pair: &mut Pair, key: &[u8]) -> Result<u64, Broken> {
    let head = head(&mut pair.source, key).await?;
    let groups = groups(&mut pair.source, key).await?;
    create(pair, &groups).await?;
    let count = page_entries(&mut pair.source, key, head.length).await?;
    let (mut from, mut bytes) = (Some(Id::MIN), 0);
    while let Some(begin) = from {
        let page = page(&mut pair.source, key, &groups, begin, count).await?;
        from = page.next;
        for (_, fields) in &page.entries {
            bytes += fields.iter().map(|field| field.len() as u64).sum::<u64>();
        }
        let counted = head.counters.filter(|_| pair.traits.target_counters);
        let deleted = counted.map(|(_, deleted)| deleted);
        let commands = fill(&page, &groups, deleted, pair.traits.offset.ms);
        chunks::add(&mut pair.target, commands).await?;
    }
    let last = head.last.text();
    let mut commands = Commands::default();
    match head.counters {
        Some((added, deleted)) if pair.traits.target_counters => {
            let (added, deleted) = (added.to_string(), deleted.text());
            let words: [&[u8]; 7] = [
                b"XSETID",
                super::TEMP_KEY,
                &last,
                b"ENTRIESADDED",
                added.as_bytes(),
                b"MAXDELETEDID",
                &deleted,
            ];
            commands.push(&words);
        }
        // An empty stream that never had an entry has nothing to set, and 0-0 is refused for it.
        _ if head.last == Id::MIN => {}
        _ => commands.push(&[b"XSETID", super::TEMP_KEY, &last]),
    }
    chunks::add(&mut pair.target, commands).await?;
    Ok(bytes)
}

/// Makes the temporary stream, empty, with its groups and consumers.
async fn create(pair: &mut Pair, groups: &[Group]) -> Result<(), WireError> {
    // There is no other command for an empty stream.
    const MAKER: &[u8] = b"hean";
    let mut commands = Commands::default();
    let temp = super::TEMP_KEY;
    commands.push(&[b"XGROUP", b"CREATE", temp, MAKER, b"0", b"MKSTREAM"]);
    commands.push(&[b"XGROUP", b"DESTROY", temp, MAKER]);
    for group in groups {
        let last = group.last.text();
        let read = group.read.filter(|_| pair.traits.target_counters);
        let read = read.map(|read| read.to_string());
        let mut words: Vec<&[u8]> = vec![b"XGROUP", b"CREATE", temp, &group.name, &last];
        if let Some(read) = &read {
            words.extend([&b"ENTRIESREAD"[..], read.as_bytes()]);
        }
        commands.push(&words);
        for consumer in &group.consumers {
            commands.push(&[b"XGROUP", b"CREATECONSUMER", temp, &group.name, consumer]);
        }
    }
    chunks::add(&mut pair.target, commands).await
}

/// The commands that add a page. `deleted` is the largest id that was deleted, if that is known.
fn fill(page: &Page, groups: &[Group], deleted: Option<Id>, offset_ms: i64) -> Commands {
    let temp = super::TEMP_KEY;
    let present = |id: Id| {
        page.entries
            .binary_search_by_key(&id, |(id, _)| *id)
            .is_ok()
    };
    let mut missing: Vec<Id> = page
        .pending
        .iter()
        .flatten()
        .map(|pending| pending.id)
        .collect();
    missing.retain(|id| !present(*id));
    missing.sort_unstable();
    missing.dedup();
    let mut commands = Commands::default();
    let mut entries = page.entries.iter().peekable();
    let mut absent = missing.iter().peekable();
    loop {
        match (entries.peek(), absent.peek()) {
            (Some((id, _)), Some(gone)) if *gone < id => {
                commands.push(&[b"XADD", temp, &gone.text(), b"", b""]);
                absent.next();
            }
            (Some((id, fields)), _) => {
                commands.open(3 + fields.len());
                commands.arg(b"XADD");
                commands.arg(temp);
                commands.arg(&id.text());
                for field in fields {
                    commands.arg(field);
                }
                entries.next();
            }
            (None, Some(gone)) => {
                commands.push(&[b"XADD", temp, &gone.text(), b"", b""]);
                absent.next();
            }
            (None, None) => break,
        }
    }
    for (group, pending) in groups.iter().zip(&page.pending) {
        for pending in pending {
            let at = pending.at_ms.saturating_add(offset_ms).max(0).to_string();
            let (id, count) = (pending.id.text(), pending.count.to_string());
            let words: [&[u8]; 12] = [
                b"XCLAIM",
                temp,
                &group.name,
                &pending.consumer,
                b"0",
                &id,
                b"TIME",
                at.as_bytes(),
                b"RETRYCOUNT",
                count.as_bytes(),
                b"FORCE",
                b"JUSTID",
            ];
            commands.push(&words);
        }
    }
    let trimmed = |id: &Id| deleted.is_some_and(|deleted| *id > deleted);
    for id in missing.iter().filter(|id| !trimmed(id)) {
        commands.push(&[b"XDEL", temp, &id.text()]);
    }
    // What is trimmed lay before all that is left.
    let rest = missing
        .iter()
        .copied()
        .filter(trimmed)
        .max()
        .and_then(Id::next);
    if let Some(rest) = rest {
        commands.push(&[b"XTRIM", temp, b"MINID", b"=", &rest.text()]);
    }
    commands
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

    #[test]
    fn a_pending_entry_that_is_gone_is_put_in_claimed_and_taken_out() {
        let pending = |seq| Pending {
            id: Id(1, seq),
            consumer: b"c".to_vec(),
            at_ms: 50,
            count: 2,
        };
        let page = Page {
            entries: vec![(Id(1, 2), vec![b"f".to_vec(), b"v".to_vec()])],
            pending: vec![vec![pending(1), pending(2), pending(3)]],
            next: None,
        };
        let group = Group {
            name: b"g".to_vec(),
            last: Id(1, 3),
            read: None,
            consumers: Vec::new(),
        };
        let groups = [group];
        let text = |deleted| {
            let commands = fill(&page, &groups, deleted, 0);
            String::from_utf8_lossy(commands.encoded()).into_owned()
        };
        let trimmed = text(Some(Id(1, 1)));
        assert_eq!(trimmed.matches("XDEL").count(), 1);
        assert!(
            trimmed.contains("MINID\r\n$1\r\n=\r\n$3\r\n1-4"),
            "{trimmed}"
        );
        let text = text(None);
        let at = |word: &str| text.find(word).unwrap_or(usize::MAX);
        assert_eq!(text.matches("XADD").count(), 3);
        assert_eq!(text.matches("XCLAIM").count(), 3);
        assert_eq!(text.matches("XDEL").count(), 2);
        assert!(at("1-1") < at("1-2") && at("1-2") < at("1-3"), "{text}");
        assert!(at("XADD") < at("XCLAIM") && at("XCLAIM") < at("XDEL"));
    }
}
