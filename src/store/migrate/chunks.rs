//! Large keys, and every stream, in pieces of bounded size.
//!
//! The pieces are gathered under a name of our own, which takes the key's place in one step when it
//! is complete: a half-copied key is never seen, and a forgotten piece ends by itself. `WATCH` at the
//! source tells whether the key stayed what it was while it was read; if not, it is read again.

use super::pair::Pair;
use super::stream_copy;
use super::ttl::Expiry;
use super::values::{self, Kind};
use crate::store::wire::{Commands, Connection, Reply, WireError};

/// Bytes in one piece, about.
const PIECE: usize = 256 << 10;
/// Elements in one piece at most.
const ELEMENTS: usize = 1_000;
/// How often a key that changes while it is read is read again.
const ATTEMPTS: usize = 5;
/// A temporary key that nobody finished ends after this, in milliseconds.
const TEMPORARY_MS: &[u8] = b"3600000";

/// What became of a key.
#[derive(Debug)]
pub(crate) enum Copied {
    /// It arrived; bytes of its value.
    Done(u64),
    Gone,
    /// It never held still.
    Busy,
    /// A type that has no commands here.
    Unknown(String),
}

/// Why the pieces of a key do not make a whole.
#[derive(Debug)]
pub(crate) enum Broken {
    /// It changed meanwhile.
    Changed,
    Wire(WireError),
}

impl From<WireError> for Broken {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

/// Asks for a part of a key; a key of another type has changed.
pub(crate) async fn ask(server: &mut Connection, args: &[&[u8]]) -> Result<Reply, Broken> {
    let mut commands = Commands::default();
    commands.push(args);
    let mut replies = server.send(&commands).await?;
    match replies.pop() {
        Some(Reply::Error(text)) if changed(&text) => Err(Broken::Changed),
        Some(Reply::Error(text)) => {
            let command = args.first().copied().unwrap_or_default();
            Err(Broken::Wire(server.refusal(command, &text)))
        }
        Some(reply) => Ok(reply),
        None => Err(Broken::Wire(server.answer("a reply is missing"))),
    }
}

/// Whether a refusal means that the key is not what it was.
fn changed(text: &str) -> bool {
    ["WRONGTYPE", "NOGROUP", "ERR no such key"]
        .iter()
        .any(|word| text.starts_with(word))
}

/// Asks for a list of texts.
pub(crate) async fn ask_strings(
    server: &mut Connection,
    args: &[&[u8]],
) -> Result<Vec<Vec<u8>>, Broken> {
    let items = ask(server, args).await?.array().and_then(values::strings);
    items.ok_or_else(|| Broken::Wire(server.answer("expected a list of texts")))
}

/// Asks for a number.
pub(crate) async fn ask_int(server: &mut Connection, args: &[&[u8]]) -> Result<i64, Broken> {
    let int = ask(server, args).await?.int();
    int.ok_or_else(|| Broken::Wire(server.answer("expected a number")))
}

/// Asks for a part of a scan: the next cursor, and elements.
pub(crate) async fn ask_scan(
    server: &mut Connection,
    args: &[&[u8]],
) -> Result<(Vec<u8>, Vec<Vec<u8>>), Broken> {
    let parts = ask(server, args).await?.array().unwrap_or_default();
    if let [Reply::Bytes(cursor), Reply::Array(items)] = parts.as_slice()
        && let Some(items) = values::strings(items.clone())
    {
        return Ok((cursor.clone(), items));
    }
    Err(Broken::Wire(server.answer("expected a cursor and a list")))
}

/// Copies one key of the selected databases.
pub(crate) async fn copy(pair: &mut Pair, key: &[u8]) -> Result<Copied, WireError> {
    for _ in 0..ATTEMPTS {
        pair.source.ask(&[b"WATCH", key]).await?;
        let attempt = attempt(pair, key).await;
        let still = pair.source.send(&nothing()).await?.pop();
        let still = matches!(still, Some(Reply::Array(_)));
        match attempt {
            Ok(Attempt::Filled(bytes, expiry)) if still => {
                finish(&mut pair.target, key, expiry).await?;
                return Ok(Copied::Done(bytes));
            }
            Ok(Attempt::Gone) if still => return Ok(Copied::Gone),
            Ok(Attempt::Unknown(kind)) => return Ok(Copied::Unknown(kind)),
            Ok(Attempt::Filled(..) | Attempt::Gone) | Err(Broken::Changed) => {}
            Err(Broken::Wire(error)) => return Err(error),
        }
    }
    pair.target.ask(&[b"DEL", super::TEMP_KEY]).await?;
    Ok(Copied::Busy)
}

/// A transaction without commands: it fails when a watched key has changed.
pub(crate) fn nothing() -> Commands {
    let mut commands = Commands::default();
    commands.push(&[b"MULTI"]);
    commands.push(&[b"EXEC"]);
    commands
}

enum Attempt {
    Filled(u64, Expiry),
    Gone,
    Unknown(String),
}

async fn attempt(pair: &mut Pair, key: &[u8]) -> Result<Attempt, Broken> {
    let kind = values::kinds(&mut pair.source, &[key])
        .await?
        .pop()
        .flatten();
    let Some(kind) = kind else {
        return Ok(Attempt::Gone);
    };
    if let Kind::Other(name) = kind {
        return Ok(Attempt::Unknown(name));
    }
    let expiry = pair.expiries(&[key]).await?.pop().unwrap_or(Expiry::Gone);
    if expiry == Expiry::Gone {
        return Ok(Attempt::Gone);
    }
    pair.target.ask(&[b"DEL", super::TEMP_KEY]).await?;
    let bytes = match &kind {
        Kind::Text => text(pair, key).await?,
        Kind::Stream => stream_copy::copy(pair, key).await?,
        kind => elements(pair, kind, key).await?,
    };
    Ok(Attempt::Filled(bytes, expiry))
}

/// Sends what adds to the temporary key, and puts its end off.
pub(crate) async fn add(target: &mut Connection, mut commands: Commands) -> Result<(), WireError> {
    commands.push(&[b"PEXPIRE", super::TEMP_KEY, TEMPORARY_MS]);
    let replies = target.send(&commands).await?;
    match replies.iter().find_map(Reply::error) {
        Some(text) => Err(target.refusal(b"a write", text)),
        None => Ok(()),
    }
}

/// Puts the temporary key in the place of `key`.
async fn finish(target: &mut Connection, key: &[u8], expiry: Expiry) -> Result<(), WireError> {
    let mut commands = Commands::default();
    commands.push(&[b"MULTI"]);
    match expiry {
        Expiry::At(ms) => {
            let ms = ms.to_string();
            commands.push(&[b"PEXPIREAT", super::TEMP_KEY, ms.as_bytes()]);
        }
        Expiry::Never | Expiry::Gone => commands.push(&[b"PERSIST", super::TEMP_KEY]),
    }
    commands.push(&[b"RENAME", super::TEMP_KEY, key]);
    commands.push(&[b"EXEC"]);
    let replies = target.send(&commands).await?;
    match values::refused(&replies) {
        // Its time was over before it was complete.
        Some(text) if text.contains("no such key") && expiry != Expiry::Never => {
            target.ask(&[b"DEL", key]).await?;
            Ok(())
        }
        Some(text) => Err(target.refusal(b"RENAME", text)),
        None => Ok(()),
    }
}

async fn text(pair: &mut Pair, key: &[u8]) -> Result<u64, Broken> {
    let length = ask_int(&mut pair.source, &[b"STRLEN", key]).await?;
    let mut from = 0;
    while from < length {
        let piece = text_piece(&mut pair.source, key, from).await?;
        if piece.is_empty() {
            return Err(Broken::Changed);
        }
        from += i64::try_from(piece.len()).unwrap_or(i64::MAX);
        let mut commands = Commands::default();
        commands.push(&[b"APPEND", super::TEMP_KEY, &piece]);
        add(&mut pair.target, commands).await?;
    }
    Ok(length.unsigned_abs())
}

/// The next piece of a string.
pub(crate) async fn text_piece(
    server: &mut Connection,
    key: &[u8],
    from: i64,
) -> Result<Vec<u8>, Broken> {
    let to = from.saturating_add(i64::try_from(4 * PIECE).unwrap_or(i64::MAX) - 1);
    let (from, to) = (from.to_string(), to.to_string());
    let piece = ask(server, &[b"GETRANGE", key, from.as_bytes(), to.as_bytes()]).await?;
    piece
        .bytes()
        .ok_or_else(|| Broken::Wire(server.answer("GETRANGE is no text")))
}

async fn elements(pair: &mut Pair, kind: &Kind, key: &[u8]) -> Result<u64, Broken> {
    let mut pieces = Pieces::new(&mut pair.source, kind, key).await?;
    let mut bytes = 0;
    while let Some(items) = pieces.next(&mut pair.source).await? {
        bytes += items.iter().map(|item| item.len() as u64).sum::<u64>();
        if items.is_empty() {
            continue; // a scan may find nothing for a while
        }
        let mut commands = Commands::default();
        values::push_items(&mut commands, kind, super::TEMP_KEY, &items);
        add(&mut pair.target, commands).await?;
    }
    if pieces.seen == 0 {
        return Err(Broken::Changed);
    }
    Ok(bytes)
}

/// Walks over the elements of a list, a set, a hash or a sorted set.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    kind: &'a Kind,
    key: &'a [u8],
    /// Elements in all, at the beginning.
    pub(crate) length: i64,
    /// Elements asked for at once.
    count: usize,
    cursor: Option<Vec<u8>>,
    at: usize,
    seen: usize,
}

impl<'a> Pieces<'a> {
    pub(crate) async fn new(
        server: &mut Connection,
        kind: &'a Kind,
        key: &'a [u8],
    ) -> Result<Self, Broken> {
        let name: &[u8] = match kind {
            Kind::List => b"LLEN",
            Kind::Set => b"SCARD",
            Kind::Hash => b"HLEN",
            _ => b"ZCARD",
        };
        let length = ask_int(server, &[name, key]).await?;
        let memory = ask(server, &[b"MEMORY", b"USAGE", key])
            .await?
            .int()
            .unwrap_or(0);
        let average = usize::try_from(memory / length.max(1)).unwrap_or(0).max(1);
        Ok(Self {
            kind,
            key,
            length,
            count: (PIECE / average).clamp(1, ELEMENTS),
            cursor: Some(b"0".to_vec()),
            at: 0,
            seen: 0,
        })
    }

    /// Takes as much at once as `other` does, so that their pieces can be compared.
    pub(crate) fn like(&mut self, other: &Self) {
        self.count = other.count;
    }

    /// The next elements, as the reading commands of their type give them; `None` behind the last.
    pub(crate) async fn next(
        &mut self,
        server: &mut Connection,
    ) -> Result<Option<Vec<Vec<u8>>>, Broken> {
        let Some(cursor) = self.cursor.clone() else {
            return Ok(None);
        };
        let count = self.count.to_string();
        let scan: Option<&[u8]> = match self.kind {
            Kind::Set => Some(b"SSCAN"),
            Kind::Hash => Some(b"HSCAN"),
            _ => None,
        };
        let items = if let Some(scan) = scan {
            let words = [scan, self.key, &cursor, b"COUNT", count.as_bytes()];
            let (cursor, items) = ask_scan(server, &words).await?;
            self.cursor = (cursor != b"0").then_some(cursor);
            items
        } else {
            let (from, to) = (self.at.to_string(), (self.at + self.count - 1).to_string());
            let (from, to) = (from.as_bytes(), to.as_bytes());
            let items = if *self.kind == Kind::List {
                ask_strings(server, &[b"LRANGE", self.key, from, to]).await?
            } else {
                ask_strings(server, &[b"ZRANGE", self.key, from, to, b"WITHSCORES"]).await?
            };
            self.at += self.count;
            if items.is_empty() {
                self.cursor = None;
                return Ok(None);
            }
            items
        };
        self.seen += items.len();
        Ok(Some(items))
    }
}
