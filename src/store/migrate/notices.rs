//! What changes at the source while it is followed: keyspace notifications, gathered as the names of
//! keys that must be copied again.
//!
//! They are hints. Who missed some (a lost connection, more names than fit) knows that, and compares
//! everything instead.

use std::collections::{BTreeSet, VecDeque};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use super::error::ToolError;
use super::pair::Key;
use super::selection::Selection;
use crate::store::wire::{Commands, Connection, Peer, Reply, WireError};

/// Names that are remembered, in bytes with what each of them costs.
const BYTES_MAX: usize = 256 << 20;
/// Memory that a name takes beside its bytes, about.
const EACH: usize = 80;
/// Questions that may be open.
const BARRIERS: usize = 16;

#[derive(Debug, Default)]
struct Names {
    keys: BTreeSet<(u16, Key)>,
    bytes: usize,
    lost: bool,
    seen: u64,
}

/// Keys that changed.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    names: Mutex<Names>,
    pub(crate) changed: Notify,
}

impl Dirty {
    pub(crate) fn add(&self, db: u16, key: Key) {
        let mut names = self.names.lock();
        names.seen += 1;
        let bytes = key.len() + EACH;
        if names.lost || names.bytes + bytes > BYTES_MAX {
            // Everything will be compared: names are worth nothing any more.
            names.lost = true;
            names.keys.clear();
            names.bytes = 0;
        } else if names.keys.insert((db, key)) {
            names.bytes += bytes;
        }
        drop(names);
        self.changed.notify_one();
    }

    /// Takes up to `count` keys of one database.
    pub(crate) fn take(&self, count: usize) -> Option<(u16, Vec<Key>)> {
        let mut names = self.names.lock();
        let db = names.keys.first()?.0;
        let mut out = Vec::new();
        while out.len() < count && names.keys.first().is_some_and(|(other, _)| *other == db) {
            if let Some((_, key)) = names.keys.pop_first() {
                names.bytes -= key.len() + EACH;
                out.push(key);
            }
        }
        Some((db, out))
    }

    /// Keys that wait.
    pub(crate) fn len(&self) -> usize {
        self.names.lock().keys.len()
    }

    /// Changes seen so far.
    pub(crate) fn seen(&self) -> u64 {
        self.names.lock().seen
    }

    /// Says that changes were missed.
    pub(crate) fn lose(&self) {
        self.names.lock().lost = true;
        self.changed.notify_one();
    }

    /// Whether changes were missed since this was asked last.
    pub(crate) fn take_lost(&self) -> bool {
        std::mem::take(&mut self.names.lock().lost)
    }
}

/// Asks that everything which the source has said until now be heard first.
pub(crate) type Barrier = oneshot::Sender<()>;

/// The connection that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    connection: Connection,
}

/// What the source must be told before it notifies.
fn advice(server: &str, now: &str) -> String {
    format!(
        "{server} does not notify of changes (notify-keyspace-events is \"{now}\"): --live needs it and \
         changes nothing at the source itself; run: redis-cli -h HOST -p PORT CONFIG SET \
         notify-keyspace-events KEA"
    )
}

/// The kind of channel that this setting serves, if it tells of every change.
fn channel(setting: &str) -> Option<&'static str> {
    let all = setting.contains('A') || "g$lshzxet".chars().all(|class| setting.contains(class));
    match () {
        () if !all => None,
        () if setting.contains('E') => Some("__keyevent@*__:*"),
        () if setting.contains('K') => Some("__keyspace@*__:*"),
        () => None,
    }
}

impl Listener {
    /// Subscribes; every change from now on will be heard.
    pub(crate) async fn start(source: &Peer) -> Result<Self, ToolError> {
        let mut connection = source.connect().await?;
        let words = [&b"CONFIG"[..], b"GET", b"notify-keyspace-events"];
        let reply = connection.ask(&words).await?.array().unwrap_or_default();
        let setting = reply
            .into_iter()
            .nth(1)
            .and_then(Reply::bytes)
            .unwrap_or_default();
        let setting = String::from_utf8_lossy(&setting).into_owned();
        let Some(channel) = channel(&setting) else {
            return Err(ToolError::Setup(advice(connection.name(), &setting)));
        };
        connection.ask(&[b"PSUBSCRIBE", channel.as_bytes()]).await?;
        Ok(Self { connection })
    }

    /// Listens until the connection is lost.
    pub(crate) async fn listen(
        &mut self,
        selection: &Selection,
        dirty: &Dirty,
        mut barriers: mpsc::Receiver<Barrier>,
    ) -> Result<(), WireError> {
        let mut waiting: VecDeque<Barrier> = VecDeque::new();
        let mut ping = Commands::default();
        ping.push(&[b"PING"]);
        loop {
            tokio::select! {
                barrier = barriers.recv(), if waiting.len() < BARRIERS => {
                    let Some(barrier) = barrier else {
                        return Ok(()); // nobody wants to know any more
                    };
                    self.connection.write(&ping).await?;
                    waiting.push_back(barrier);
                }
                message = self.connection.message() => match heard(message?) {
                    Heard::Change(db, key) => {
                        if selection.into(db).is_some() && selection.takes(&key) {
                            dirty.add(db, key);
                        }
                    }
                    Heard::Pong => {
                        let waiter = waiting.pop_front();
                        if waiter.is_some_and(|waiter| waiter.send(()).is_err()) {
                            tracing::debug!("nobody waits for the source's word any more");
                        }
                    }
                    Heard::Else => {}
                    Heard::Odd => return Err(self.connection.answer("a notification is not understood")),
                },
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Change(u16, Key),
    Pong,
    /// Something that says nothing about keys.
    Else,
    Odd,
}

fn heard(message: Reply) -> Heard {
    let Some(parts) = message.array().and_then(super::values::strings_or_numbers) else {
        return Heard::Odd;
    };
    match parts.first().map(Vec::as_slice) {
        Some(b"pong") => Heard::Pong,
        Some(b"pmessage") => {
            let mut parts = parts.into_iter().skip(2);
            match (parts.next(), parts.next()) {
                (Some(channel), Some(payload)) => change(&channel, payload).unwrap_or(Heard::Odd),
                _ => Heard::Odd,
            }
        }
        Some(b"psubscribe") => Heard::Else,
        _ => Heard::Odd,
    }
}

/// `__keyevent@3__:set` with the key, or `__keyspace@3__:key` with the event.
fn change(channel: &[u8], payload: Key) -> Option<Heard> {
    let (events, rest) = match channel.strip_prefix(b"__keyevent@") {
        Some(rest) => (true, rest),
        None => (false, channel.strip_prefix(b"__keyspace@")?),
    };
    let end = rest.windows(3).position(|window| window == b"__:")?;
    let db = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    let last = rest[end + 3..].to_vec();
    let (event, key) = if events {
        (last, payload)
    } else {
        (payload, last)
    };
    Some(match event.as_slice() {
        b"keymiss" | b"new" => Heard::Else,
        _ => Heard::Change(db, key),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(parts: &[&str]) -> Reply {
        Reply::Array(
            parts
                .iter()
                .map(|part| Reply::Bytes(part.as_bytes().to_vec()))
                .collect(),
        )
    }

    #[test]
    fn both_kinds_of_channels_are_understood() {
        let change = |db, key: &str| Heard::Change(db, key.as_bytes().to_vec());
        for (parts, want) in [
            (
                &["pmessage", "p", "__keyevent@3__:set", "a:b"][..],
                change(3, "a:b"),
            ),
            (
                &["pmessage", "p", "__keyspace@0__:a__:b", "del"],
                change(0, "a__:b"),
            ),
            (
                &["pmessage", "p", "__keyevent@3__:keymiss", "a"],
                Heard::Else,
            ),
            (&["pmessage", "p", "__keyevent@x__:set", "a"], Heard::Odd),
            (&["pmessage", "p", "other", "a"], Heard::Odd),
            (&["pmessage", "p"], Heard::Odd),
            (&["pong", ""], Heard::Pong),
            (&[], Heard::Odd),
        ] {
            assert_eq!(heard(message(parts)), want, "{parts:?}");
        }
        assert_eq!(heard(Reply::Int(1)), Heard::Odd);
    }

    #[test]
    fn only_a_setting_that_tells_of_every_change_will_do() {
        assert_eq!(channel("AKE"), Some("__keyevent@*__:*"));
        assert_eq!(channel("AK"), Some("__keyspace@*__:*"));
        assert_eq!(channel("g$lshzxetE"), Some("__keyevent@*__:*"));
        assert_eq!(channel("A"), None);
        assert_eq!(channel("KE"), None);
        assert_eq!(channel("g$lshzxE"), None);
        assert_eq!(channel(""), None);
    }

    #[test]
    fn more_names_than_fit_are_a_loss_that_is_known() {
        let dirty = Dirty::default();
        dirty.add(1, b"b".to_vec());
        dirty.add(1, b"a".to_vec());
        dirty.add(1, b"a".to_vec());
        dirty.add(0, b"z".to_vec());
        assert_eq!((dirty.len(), dirty.seen()), (3, 4));
        assert_eq!(dirty.take(9), Some((0, vec![b"z".to_vec()])));
        assert_eq!(dirty.take(1), Some((1, vec![b"a".to_vec()])));
        assert!(!dirty.take_lost());
        dirty.add(1, vec![0; BYTES_MAX]);
        assert_eq!(dirty.take(1), None);
        assert!(dirty.take_lost() && !dirty.take_lost());
        dirty.add(2, b"after".to_vec());
        assert_eq!(dirty.take(1), Some((2, vec![b"after".to_vec()])));
        assert_eq!(dirty.names.lock().bytes, 0);
    }
}
