//! Streams at the target: one by one in pages under the temporary key, or many small ones at a time.
//!
//! Pending entries may be gone from the stream itself. The group still knows them, and only an entry
//! that exists can be claimed: such an entry is put in, claimed, and taken out again, in the way in
//! which it left the source, because a stream remembers deletions and not trimming.

use super::chunks::{self, Broken};
use super::pair::{Key, Pair};
use super::streams::{self, Group, Head, Id, PAGE, Page};
use super::ttl::Expiry;
use crate::store::wire::{Commands, Reply, WireError, time_us};

/// Streams that are read together.
const TOGETHER: usize = 200;

/// What became of small streams.
#[derive(Debug, Default)]
pub(crate) struct Small {
    /// Copied, with their bytes.
    pub(crate) done: u64,
    pub(crate) bytes: u64,
    /// To be copied alone: they changed meanwhile, or are longer than a page.
    pub(crate) left: Vec<Key>,
}

/// A small stream, read.
struct Whole {
    key: Key,
    head: Head,
    groups: Vec<Group>,
    page: Page,
}

/// Copies streams many at a time, each in one transaction.
pub(crate) async fn copy_small(pair: &mut Pair, keys: Vec<Key>) -> Result<Small, WireError> {
    let mut out = Small::default();
    for keys in keys.chunks(TOGETHER) {
        let read = read_small(pair, keys, &mut out.left).await?;
        let still = pair.source.send(&chunks::nothing()).await?.pop();
        if !matches!(still, Some(Reply::Array(_))) {
            // One of them changed; which one is not said.
            out.left.extend(read.into_iter().map(|whole| whole.key));
            continue;
        }
        let names: Vec<&[u8]> = read.iter().map(|whole| whole.key.as_slice()).collect();
        let expiries = pair.expiries(&names).await?;
        let (mut commands, mut counts) = (Commands::default(), Vec::with_capacity(read.len()));
        for (whole, expiry) in read.iter().zip(expiries) {
            let before = commands.len();
            push_whole(&mut commands, whole, expiry, pair);
            counts.push(commands.len() - before);
        }
        let replies = pair.target.send(&commands).await?;
        let mut replies = replies.as_slice();
        for (whole, count) in read.into_iter().zip(counts) {
            let (own, rest) = replies.split_at(count.min(replies.len()));
            replies = rest;
            if super::values::refused(own).is_some() {
                out.left.push(whole.key); // it will be said there
            } else {
                let fields = whole.page.entries.iter().flat_map(|(_, fields)| fields);
                out.bytes += fields.map(|field| field.len() as u64).sum::<u64>();
                out.done += 1;
            }
        }
    }
    Ok(out)
}

/// Reads streams in two round trips, and watches them; what is no small stream goes to `left`.
async fn read_small(
    pair: &mut Pair,
    keys: &[Key],
    left: &mut Vec<Key>,
) -> Result<Vec<Whole>, WireError> {
    let page = PAGE.to_string();
    let mut commands = Commands::default();
    for key in keys {
        commands.push(&[b"WATCH", key]);
        commands.push(&[b"XINFO", b"STREAM", key]);
        commands.push(&[b"XINFO", b"GROUPS", key]);
        commands.push(&[b"XRANGE", key, b"-", b"+", b"COUNT", page.as_bytes()]);
    }
    let mut replies = pair.source.send(&commands).await?.into_iter();
    let mut read = Vec::with_capacity(keys.len());
    for key in keys {
        let [_, head, groups, entries] =
            std::array::from_fn(|_| replies.next().unwrap_or(Reply::Nil));
        let entries = streams::parse_entries(entries).filter(|entries| entries.len() < PAGE);
        match (
            streams::parse_head(head),
            streams::parse_groups(groups),
            entries,
        ) {
            (Some(head), Some(groups), Some(entries)) => read.push(Whole {
                key: key.clone(),
                head,
                groups,
                page: Page {
                    entries,
                    pending: Vec::new(),
                    next: None,
                },
            }),
            _ => left.push(key.clone()),
        }
    }
    let mut commands = Commands::default();
    commands.push(&[b"TIME"]);
    for Whole { key, groups, .. } in &read {
        for group in groups {
            commands.push(&[b"XINFO", b"CONSUMERS", key, &group.name]);
            commands.push(&[b"XPENDING", key, &group.name, b"-", b"+", page.as_bytes()]);
        }
    }
    let mut replies = pair.source.send(&commands).await?.into_iter();
    let now = replies.next().as_ref().and_then(time_us);
    let now_ms = now.ok_or_else(|| pair.source.answer("TIME is no time"))? / 1_000;
    let mut out = Vec::with_capacity(read.len());
    for mut whole in read {
        let mut complete = true;
        for group in &mut whole.groups {
            let [consumers, pending] =
                std::array::from_fn(|_| replies.next().unwrap_or(Reply::Nil));
            let pending = streams::parse_pending(pending, now_ms).filter(|p| p.len() < PAGE);
            match (streams::parse_consumers(consumers), pending) {
                (Some(consumers), Some(pending)) => {
                    group.consumers = consumers;
                    whole.page.pending.push(pending);
                }
                _ => complete = false,
            }
        }
        if complete {
            out.push(whole);
        } else {
            left.push(whole.key);
        }
    }
    Ok(out)
}

/// One transaction that replaces a stream.
fn push_whole(commands: &mut Commands, whole: &Whole, expiry: Expiry, pair: &Pair) {
    let Whole {
        key,
        head,
        groups,
        page,
    } = whole;
    let counters = pair.traits.target_counters;
    commands.push(&[b"MULTI"]);
    commands.push(&[b"DEL", key]);
    if expiry != Expiry::Gone {
        push_create(commands, key, groups, counters);
        let deleted = head.deleted(counters);
        push_page(commands, key, page, groups, deleted, pair.traits.offset.ms);
        push_head(commands, key, head, counters);
    }
    if let Expiry::At(ms) = expiry {
        commands.push(&[b"PEXPIREAT", key, ms.to_string().as_bytes()]);
    }
    commands.push(&[b"EXEC"]);
}

/// Gathers a stream under the temporary key.
pub(crate) async fn copy(pair: &mut Pair, key: &[u8]) -> Result<u64, Broken> {
    let head = streams::head(&mut pair.source, key).await?;
    let groups = streams::groups(&mut pair.source, key).await?;
    let counters = pair.traits.target_counters;
    let mut commands = Commands::default();
    push_create(&mut commands, super::TEMP_KEY, &groups, counters);
    chunks::add(&mut pair.target, commands).await?;
    let count = streams::page_entries(&mut pair.source, key, head.length).await?;
    let (mut from, mut bytes) = (Some(Id::MIN), 0);
    while let Some(begin) = from {
        let page = streams::page(&mut pair.source, key, &groups, begin, count).await?;
        from = page.next;
        for (_, fields) in &page.entries {
            bytes += fields.iter().map(|field| field.len() as u64).sum::<u64>();
        }
        let mut commands = Commands::default();
        let deleted = head.deleted(counters);
        let offset = pair.traits.offset.ms;
        push_page(
            &mut commands,
            super::TEMP_KEY,
            &page,
            &groups,
            deleted,
            offset,
        );
        chunks::add(&mut pair.target, commands).await?;
    }
    let mut commands = Commands::default();
    push_head(&mut commands, super::TEMP_KEY, &head, counters);
    chunks::add(&mut pair.target, commands).await?;
    Ok(bytes)
}

/// Makes a stream, empty, with its groups and consumers.
fn push_create(commands: &mut Commands, temp: &[u8], groups: &[Group], counters: bool) {
    // There is no other command for an empty stream.
    const MAKER: &[u8] = b"hean";
    commands.push(&[b"XGROUP", b"CREATE", temp, MAKER, b"0", b"MKSTREAM"]);
    commands.push(&[b"XGROUP", b"DESTROY", temp, MAKER]);
    for group in groups {
        let last = group.last.text();
        let read = group.read.filter(|_| counters);
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
}

/// Sets the last id and the counters; those only where they are `known`.
fn push_head(commands: &mut Commands, key: &[u8], head: &Head, known: bool) {
    let last = head.last.text();
    match head.counters {
        Some((added, deleted)) if known => {
            let (added, deleted) = (added.to_string(), deleted.text());
            let words: [&[u8]; 7] = [
                b"XSETID",
                key,
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
        _ => commands.push(&[b"XSETID", key, &last]),
    }
}

impl Head {
    /// The largest id that was deleted, if both servers count.
    fn deleted(&self, known: bool) -> Option<Id> {
        self.counters.filter(|_| known).map(|(_, deleted)| deleted)
    }
}

/// Adds a page. `deleted` is the largest id that was deleted, if that is known.
fn push_page(
    commands: &mut Commands,
    temp: &[u8],
    page: &Page,
    groups: &[Group],
    deleted: Option<Id>,
    offset_ms: i64,
) {
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
}

#[cfg(test)]
mod tests {
    use super::super::streams::Pending;
    use super::*;

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
            let mut commands = Commands::default();
            push_page(&mut commands, b"key", &page, &groups, deleted, 0);
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
