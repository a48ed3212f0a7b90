//! The file of tokens, `tokens.json` in the data directory: names, scopes and hashes.
//!
//! A token is 256 random bits, shown once and kept as its SHA-256: of so many bits nobody finds a
//! preimage, and a slow hash would only slow the requests. The file is replaced whole, so that a
//! reader sees the old one or the new one; writers take turns by a lock.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::access::Scope;
use super::peers::Bucket;
use crate::kernel::types::Time;

/// What every token begins with, so that searches for leaked secrets find it.
const PREFIX: &str = "hean_";
/// Most tokens.
const TOKENS_MAX: usize = 100;
/// Longest file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Version of the file's layout.
const VERSION: u32 = 1;

/// The tokens cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The system said no.
    #[error("cannot {what} {path}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is not what this program writes.
    #[error(
        "{path} is damaged: {why}. Restore it, or delete it and create the tokens anew with hean token create"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The name is in use.
    #[error("there is a token {0} already: revoke it first, or take another name")]
    Exists(String),
    /// There is no token of this name.
    #[error("there is no token {0}: hean token list shows those that there are")]
    Unknown(String),
    /// Too many of them.
    #[error("there are {TOKENS_MAX} tokens already: revoke one first")]
    Full,
    /// The source of random numbers failed.
    #[error("the system gives no random numbers")]
    Random,
}

impl TokenError {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io {
            what,
            path: path.to_owned(),
            error,
        }
    }
}

/// A text that no log and no error shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A token that somebody else has made: long enough that nobody guesses it, and what a header
    /// takes.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() < 32 || text.len() > 512 || !text.bytes().all(|c| c.is_ascii_graphic()) {
            return Err(
                "a token has 32 to 512 printable characters without spaces; openssl rand -hex 32 makes one"
                    .to_owned(),
            );
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A token as it is kept.
#[derive(Debug)]
pub struct Token {
    /// What it is called.
    pub name: String,
    /// What its holder may do.
    pub scope: Scope,
    /// When it was made.
    pub created: Time,
    /// When it ends, if ever.
    pub expires: Option<Time>,
    pub(crate) hash: [u8; 32],
    /// Its share of requests.
    pub(crate) requests: Bucket,
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.scope, self.hash, self.expires)
            == (&other.name, other.scope, other.hash, other.expires)
    }
}

impl Token {
    /// A token that is given from outside.
    pub(super) fn fixed(name: &str, scope: Scope, secret: &str) -> Self {
        Self {
            name: name.to_owned(),
            scope,
            created: Time::ZERO,
            expires: None,
            hash: hash_of(secret),
            requests: Bucket::default(),
        }
    }

    /// Whether it has ended.
    pub fn is_expired(&self, now: Time) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// Whether it is the one with this hash, in a time that says nothing of how much of it fits.
    pub(super) fn has_hash(&self, hash: &[u8; 32]) -> bool {
        self.hash.ct_eq(hash).into()
    }
}

/// What is kept of a token's text.
pub(super) fn hash_of(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

/// The file of a data directory.
pub fn file_in(data_dir: &Path) -> PathBuf {
    data_dir.join("tokens.json")
}

/// The file's layout.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    tokens: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    scope: String,
    sha256: String,
    /// Milliseconds since the epoch.
    created: i64,
    expires: Option<i64>,
}

impl Row {
    fn of(token: &Token) -> Self {
        Self {
            name: token.name.clone(),
            scope: token.scope.name().to_owned(),
            sha256: hex(&token.hash),
            created: token.created.millis(),
            expires: token.expires.map(Time::millis),
        }
    }

    fn token(self) -> Result<Token, String> {
        let name = parse_name(&self.name)?;
        let wrong = |what: &str| format!("token {name} has {what}");
        Ok(Token {
            scope: parse_scope(&self.scope).map_err(|_| wrong("an unknown scope"))?,
            hash: unhex(&self.sha256).ok_or_else(|| wrong("no SHA-256 in sha256"))?,
            created: Time::from_millis(self.created).ok_or_else(|| wrong("no time in created"))?,
            expires: match self.expires {
                None => None,
                Some(ms) => Some(Time::from_millis(ms).ok_or_else(|| wrong("no time in expires"))?),
            },
            requests: Bucket::default(),
            name,
        })
    }
}

/// The tokens of a file; `None` if it does not exist.
pub fn read(path: &Path) -> Result<Option<Vec<Token>>, TokenError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TokenError::io("read", path)(error)),
    };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(TokenError::io("read", path))?;
    let damaged = |why: String| TokenError::Damaged {
        path: path.to_owned(),
        why,
    };
    let document: Document = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
    if document.version != VERSION {
        return Err(damaged(format!(
            "its version is {}, this program knows {VERSION}",
            document.version
        )));
    }
    let rows = document.tokens.into_iter().map(Row::token);
    let tokens: Vec<Token> = rows.collect::<Result<_, _>>().map_err(damaged)?;
    if tokens.len() > TOKENS_MAX {
        return Err(damaged(format!("it has more than {TOKENS_MAX} tokens")));
    }
    Ok(Some(tokens))
}

/// Makes a token. Its text is in the result and nowhere else.
pub fn create(
    data_dir: &Path,
    name: &str,
    scope: Scope,
    now: Time,
    expires: Option<Time>,
) -> Result<Secret, TokenError> {
    let mut random = [0; 32];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| TokenError::Random)?;
    let secret = Secret(format!("{PREFIX}{}", hex(&random)));
    change(data_dir, |tokens| {
        // One that has ended only keeps its name occupied.
        tokens.retain(|token| token.name != name || !token.is_expired(now));
        if tokens.iter().any(|token| token.name == name) {
            return Err(TokenError::Exists(name.to_owned()));
        }
        if tokens.len() >= TOKENS_MAX {
            return Err(TokenError::Full);
        }
        tokens.push(Token {
            created: now,
            expires,
            ..Token::fixed(name, scope, secret.expose())
        });
        Ok(())
    })?;
    Ok(secret)
}

/// Ends a token. Returns how many are left.
pub fn revoke(data_dir: &Path, name: &str) -> Result<usize, TokenError> {
    change(data_dir, |tokens| {
        let before = tokens.len();
        tokens.retain(|token| token.name != name);
        if tokens.len() == before {
            return Err(TokenError::Unknown(name.to_owned()));
        }
        Ok(())
    })
}

/// Changes the file; on an error it stays as it is. Returns how many tokens it has.
fn change(
    data_dir: &Path,
    edit: impl FnOnce(&mut Vec<Token>) -> Result<(), TokenError>,
) -> Result<usize, TokenError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(TokenError::io("create", data_dir))?;
    let path = file_in(data_dir);
    let lock_path = data_dir.join("tokens.lock");
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(TokenError::io("open", &lock_path))?;
    lock.lock().map_err(TokenError::io("lock", &lock_path))?;
    let mut tokens = read(&path)?.unwrap_or_default();
    edit(&mut tokens)?;
    let document = Document {
        version: VERSION,
        tokens: tokens.iter().map(Row::of).collect(),
    };
    let mut text = serde_json::to_string_pretty(&document).expect("a document of plain fields");
    text.push('\n');
    replace(data_dir, &path, text.as_bytes())?;
    give_to_owner(data_dir, &lock_path)?;
    Ok(tokens.len())
}

/// The new text under the file's name: durable, or the old one is still there.
fn replace(data_dir: &Path, path: &Path, text: &[u8]) -> Result<(), TokenError> {
    let temporary = path.with_extension("json.new");
    // Left over from a crash: whatever its mode was, a new file gets ours.
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(TokenError::io("remove", &temporary)(error));
        }
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(TokenError::io("create", &temporary))?;
    file.write_all(text)
        .and_then(|()| file.sync_all())
        .map_err(TokenError::io("write", &temporary))?;
    give_to_owner(data_dir, &temporary)?;
    std::fs::rename(&temporary, path).map_err(TokenError::io("replace", path))?;
    File::open(data_dir)
        .and_then(|dir| dir.sync_all())
        .map_err(TokenError::io("sync", data_dir))
}

/// Root makes tokens for a daemon that is not root: the file belongs to whom the directory belongs.
fn give_to_owner(data_dir: &Path, path: &Path) -> Result<(), TokenError> {
    let wanted = std::fs::metadata(data_dir).map_err(TokenError::io("look at", data_dir))?;
    let is = std::fs::metadata(path).map_err(TokenError::io("look at", path))?;
    if (is.uid(), is.gid()) == (wanted.uid(), wanted.gid()) || is.uid() != 0 {
        return Ok(());
    }
    std::os::unix::fs::lchown(path, Some(wanted.uid()), Some(wanted.gid()))
        .map_err(TokenError::io("give away", path))
}

/// A name: what logs and shells take without quotes.
pub fn parse_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if text.is_empty() || text.len() > 32 || !text.chars().all(legal) {
        return Err(format!(
            "{text:?} is no name of a token: 1 to 32 of A-Z a-z 0-9 _ - ."
        ));
    }
    Ok(text.to_owned())
}

/// A scope that a token can have.
pub fn parse_scope(text: &str) -> Result<Scope, String> {
    let found = Scope::OF_TOKENS.into_iter().find(|s| s.name() == text);
    found.ok_or_else(|| format!("{text:?} is no scope: read, trade or admin"))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: Time = Time(1_700_000_000_000_000_000);

    #[test]
    fn a_token_is_kept_as_a_hash_and_found_by_its_text() {
        let dir = tempfile::tempdir().expect("directory");
        let data = dir.path().join("state/hean");
        let end = NOW.plus(5_000_000);
        let secret = create(&data, "grafana", Scope::Read, NOW, Some(end)).expect("made");
        let text = secret.expose();
        assert_eq!(text.len(), 69);
        assert!(text.starts_with("hean_"), "{text}");
        let file = file_in(&data);
        let kept = std::fs::read_to_string(&file).expect("a file");
        assert!(!kept.contains(&text[5..]), "{kept}");
        let mode = std::fs::metadata(&file).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mode = std::fs::metadata(&data).expect("dir").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let tokens = read(&file).expect("good").expect("there");
        let [token] = &tokens[..] else {
            panic!("{tokens:?}")
        };
        assert_eq!((token.name.as_str(), token.scope), ("grafana", Scope::Read));
        assert_eq!((token.created, token.expires), (NOW, Some(end)));
        assert!(token.has_hash(&hash_of(text)));
        assert!(!token.has_hash(&hash_of(&text[1..])));
        assert!(token.is_expired(end) && !token.is_expired(NOW));
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn names_are_taken_once_and_given_back() {
        let dir = tempfile::tempdir().expect("directory");
        let make = |name: &str| create(dir.path(), name, Scope::Trade, NOW, None);
        make("a").expect("made");
        assert!(matches!(make("a"), Err(TokenError::Exists(_))));
        make("b").expect("made");
        assert_eq!(revoke(dir.path(), "a").expect("there"), 1);
        assert!(matches!(
            revoke(dir.path(), "a"),
            Err(TokenError::Unknown(_))
        ));
        make("a").expect("free again");
        for at in 2..TOKENS_MAX {
            make(&format!("t{at}")).expect("room");
        }
        assert!(matches!(make("more"), Err(TokenError::Full)));
        assert_eq!(revoke(dir.path(), "b").expect("there"), TOKENS_MAX - 1);
    }

    #[test]
    fn an_expired_token_gives_its_name_back() {
        let dir = tempfile::tempdir().expect("directory");
        let make = |now| create(dir.path(), "a", Scope::Read, now, Some(NOW.plus(1_000_000)));
        make(NOW).expect("made");
        assert!(make(NOW).is_err());
        assert!(make(NOW.plus(1_000_000)).is_ok());
    }

    #[test]
    fn a_damaged_file_is_named_and_left_alone() {
        let dir = tempfile::tempdir().expect("directory");
        let file = file_in(dir.path());
        assert!(read(&file).expect("none").is_none());
        let row = |scope: &str, sha: &str, name: &str| {
            format!(
                r#"{{"version":1,"tokens":[{{"name":"{name}","scope":"{scope}","sha256":"{sha}","created":1,"expires":null}}]}}"#
            )
        };
        let sha = "0".repeat(64);
        std::fs::write(&file, row("read", &sha, "a")).expect("write");
        assert_eq!(read(&file).expect("good").map(|t| t.len()), Some(1));
        for text in [
            String::new(),
            "{".to_owned(),
            r#"{"version":2,"tokens":[]}"#.to_owned(),
            row("open", &sha, "a"),
            row("root", &sha, "a"),
            row("read", &sha[1..], "a"),
            row("read", &sha.replacen('0', "x", 1), "a"),
            row("read", &sha, "a b"),
            row("read", &sha, ""),
        ] {
            std::fs::write(&file, &text).expect("write");
            let error = read(&file).expect_err(&text);
            assert!(error.to_string().contains("tokens.json"), "{error}");
            assert!(create(dir.path(), "b", Scope::Read, NOW, None).is_err());
            let after = std::fs::read_to_string(&file).expect("still there");
            assert_eq!(after, text);
        }
    }
}
