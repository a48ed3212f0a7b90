//! Source and target side by side, what is known about both, and what happened to the keys.

use super::ttl::{self, Expiry, Offset};
use crate::store::wire::{Commands, Connection, Facts, Peer, Reply, WireError};

/// A key's name.
pub(crate) type Key = Vec<u8>;

/// Keys whose values take more are copied and compared in pieces, in bytes.
pub(crate) const LARGE: usize = 1 << 20;
/// What one round trip carries, about, in bytes.
pub(crate) const ROUND: usize = 4 << 20;
/// Failures that are remembered by name.
const FAILURES_KEPT: usize = 100;

/// What both servers can do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits {
    /// The source tells when a key ends.
    pub(crate) source_moments: bool,
    /// The target does.
    pub(crate) target_moments: bool,
    /// How far the target's clock is ahead.
    pub(crate) offset: Offset,
    /// The target takes the counters of streams that came with 7.0.
    pub(crate) target_counters: bool,
    /// Values go by the commands of their type, not as `DUMP` makes them.
    pub(crate) by_type: bool,
}

/// A connection to each server.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) source: Connection,
    pub(crate) target: Connection,
    pub(crate) traits: Traits,
}

/// A key that was not copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its database at the source.
    pub db: u16,
    /// Its name.
    pub key: Vec<u8>,
    /// Why.
    pub why: String,
}

/// What happened to keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Keys that went as `DUMP` makes them.
    pub(crate) by_dump: u64,
    /// Keys that went by the commands of their type.
    pub(crate) by_type: u64,
    /// Those of them that went in pieces.
    pub(crate) in_pieces: u64,
    /// Keys that ended before they were read.
    pub(crate) gone: u64,
    /// Bytes of values.
    pub(crate) bytes: u64,
    /// Keys that were not copied.
    pub(crate) failed: u64,
    /// The first of those.
    pub(crate) failures: Vec<Failure>,
    /// Keys that changed whenever they were read.
    pub(crate) busy: Vec<(u16, Key)>,
}

impl Tally {
    /// Keys that arrived.
    pub(crate) fn copied(&self) -> u64 {
        self.by_dump + self.by_type
    }

    /// Adds what happened to other keys.
    pub(crate) fn add(&mut self, other: Self) {
        self.by_dump += other.by_dump;
        self.by_type += other.by_type;
        self.in_pieces += other.in_pieces;
        self.gone += other.gone;
        self.bytes += other.bytes;
        self.failed += other.failed;
        let room = FAILURES_KEPT.saturating_sub(self.failures.len());
        self.failures.extend(other.failures.into_iter().take(room));
        self.busy.extend(other.busy);
    }

    pub(crate) fn fail(&mut self, db: u16, key: &[u8], why: impl Into<String>) {
        self.failed += 1;
        if self.failures.len() < FAILURES_KEPT {
            self.failures.push(Failure {
                db,
                key: key.to_vec(),
                why: why.into(),
            });
        }
    }
}

impl Pair {
    /// Connects to both and finds out what they can do.
    pub(crate) async fn open(
        source: &Peer,
        target: &Peer,
        by_type: bool,
    ) -> Result<(Self, Facts, Facts), WireError> {
        let (mut source, mut target) = (source.connect().await?, target.connect().await?);
        let (source_facts, target_facts) = (source.facts().await?, target.facts().await?);
        let major = target_facts.version.split('.').next().unwrap_or_default();
        let traits = Traits {
            source_moments: ttl::tells_moment(&mut source).await?,
            target_moments: ttl::tells_moment(&mut target).await?,
            offset: ttl::offset(&mut source, &mut target).await?,
            target_counters: major.parse().is_ok_and(|major: u32| major >= 7),
            by_type,
        };
        let pair = Self {
            source,
            target,
            traits,
        };
        Ok((pair, source_facts, target_facts))
    }

    /// Makes `from` and `into` the databases of what follows.
    pub(crate) async fn select(&mut self, from: u16, into: u16) -> Result<(), WireError> {
        self.source.select(from).await?;
        self.target.select(into).await
    }

    /// When keys of the source end, by the target's clock.
    pub(crate) async fn expiries(&mut self, keys: &[&[u8]]) -> Result<Vec<Expiry>, WireError> {
        let found = ttl::expiries(&mut self.source, self.traits.source_moments, keys).await?;
        let offset = self.traits.offset.ms;
        Ok(found.into_iter().map(|e| e.shifted(offset)).collect())
    }
}

/// What each key's value takes on `server`, in bytes; `None` for a key that is not there.
pub(crate) async fn sizes(
    server: &mut Connection,
    keys: &[Key],
) -> Result<Vec<Option<usize>>, WireError> {
    let mut commands = Commands::default();
    for key in keys {
        commands.push(&[b"MEMORY", b"USAGE", key]);
    }
    let replies = server.send(&commands).await?;
    let size = |reply: &Reply| match reply {
        Reply::Nil => Ok(None),
        Reply::Error(text) => Err(server.refusal(b"MEMORY", text)),
        other => match other.int().map(usize::try_from) {
            Some(Ok(bytes)) => Ok(Some(bytes)),
            _ => Err(server.answer("MEMORY USAGE is no number")),
        },
    };
    replies.iter().map(size).collect()
}

/// Keys in groups of about [`ROUND`] bytes, and apart those that are too large for one reply.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    pub(crate) groups: Vec<Vec<Key>>,
    pub(crate) large: Vec<Key>,
    pub(crate) gone: Vec<Key>,
}

/// Sorts keys by what reading them takes.
pub(crate) async fn sorted(server: &mut Connection, keys: Vec<Key>) -> Result<Sorted, WireError> {
    let mut out = Sorted::default();
    let mut room = 0;
    let sizes = sizes(server, &keys).await?;
    for (key, size) in keys.into_iter().zip(sizes) {
        match size {
            None => out.gone.push(key),
            Some(bytes) if bytes > LARGE => out.large.push(key),
            Some(bytes) => {
                if bytes > room || out.groups.is_empty() {
                    out.groups.push(Vec::new());
                    room = ROUND;
                }
                room = room.saturating_sub(bytes);
                if let Some(group) = out.groups.last_mut() {
                    group.push(key);
                }
            }
        }
    }
    Ok(out)
}
