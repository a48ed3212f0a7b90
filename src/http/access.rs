//! Who may do what: bearer tokens, their scopes, and what is answered to those without.
//!
//! The tokens in force are one shared list that a reload swaps whole, so a request reads them
//! without a lock and a revocation holds from the next request on. Invariants: a token is never
//! taken from a URL, never logged, and compared by its hash in constant time; once a token has been
//! needed in a run, it stays needed.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

use super::audit::{Audit, AuditWriter};
use super::peers::Peer;
use super::problem::{Code, Problem};
use super::state::HttpConfig;
use super::tls::{Tls, TlsError};
use super::tokens::{self, Secret, Token, TokenError};
use crate::runtime::clock::Clock;
use crate::runtime::hangup::Renewals;
use crate::status::Mode;

/// How often the file of tokens is looked at.
const POLL: Duration = Duration::from_millis(250);
/// The name that the token of the settings goes by.
const SETTINGS_TOKEN: &str = "http.token";

/// What a route asks of its callers; each includes the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Nothing: whether the daemon works is no secret.
    Open,
    /// To look.
    Read,
    /// To place and cancel orders, and to halt trading.
    Trade,
    /// To let trading go on after a halt.
    Admin,
}

impl Scope {
    /// Those that a token can have.
    pub const OF_TOKENS: [Self; 3] = [Self::Read, Self::Trade, Self::Admin];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Trade => "trade",
            Self::Admin => "admin",
        }
    }
}

/// Who calls: the holder of a token, or anybody where none is needed.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Option<Arc<Token>>);

impl Caller {
    /// Without a token.
    pub(crate) const ANYBODY: Self = Self(None);

    /// The token's name, for the audit log.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|token| token.name.as_str())
    }

    /// Whether it may do what needs `scope`.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), Box<Problem>> {
        let Some(token) = self.0.as_ref().filter(|token| token.scope < scope) else {
            return Ok(());
        };
        let (has, needs) = (token.scope.name(), scope.name());
        Err(Problem::new(
            Code::ScopeMissing,
            format!("this needs scope {needs}; token {} has {has}", token.name),
        )
        .member("scope", needs)
        .hint(format!(
            "use a token made with: hean token create --name NAME --scope {needs}"
        )))
    }

    /// The token.
    pub(crate) fn token(&self) -> Option<&Arc<Token>> {
        self.0.as_ref()
    }
}

/// The tokens in force.
#[derive(Debug)]
struct Tokens {
    /// Whether callers need one.
    needed: bool,
    list: Vec<Arc<Token>>,
}

/// The token that a connection showed last, and whose it is: most show the same one again.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Option<Shown>>);

#[derive(Debug)]
struct Shown {
    text: Secret,
    /// The list that it was found in. Another one knows it anew, or no longer.
    of: Arc<Tokens>,
    token: Arc<Token>,
}

impl Known {
    /// Whose token `text` is, if it is the one shown before. Compared in a time that says nothing of how much fits.
    fn recall(&self, text: &str, tokens: &Arc<Tokens>) -> Option<Arc<Token>> {
        let shown = self.0.lock();
        let shown = shown.as_ref().filter(|s| Arc::ptr_eq(&s.of, tokens))?;
        let (held, text) = (shown.text.expose().as_bytes(), text.as_bytes());
        let differ = held.iter().zip(text).fold(0, |all, (a, b)| all | (a ^ b));
        let same = held.len() == text.len() && bool::from(differ.ct_eq(&0_u8));
        same.then(|| Arc::clone(&shown.token))
    }

    fn keep(&self, text: &str, of: &Arc<Tokens>, token: &Arc<Token>) {
        *self.0.lock() = Secret::parse(text).ok().map(|text| Shown {
            text,
            of: Arc::clone(of),
            token: Arc::clone(token),
        });
    }
}

/// Nobody could get in, or everybody could.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file of tokens.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// An address that others reach, and nobody who may come in.
    #[error(
        "{why} needs a token, and there is none: create one with hean token create --name NAME --scope read|trade|admin{dir}, \
         or give one by HEAN__HTTP__TOKEN or $CREDENTIALS_DIRECTORY/api_token"
    )]
    NoToken {
        /// What needs it.
        why: String,
        /// `--data-dir DIR`, with a space before.
        dir: String,
    },
    /// The certificate or its key.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Decides who may call.
#[derive(Debug)]
pub struct Access {
    tokens: ArcSwap<Tokens>,
    /// The file and what it looked like when it was read.
    file: Option<PathBuf>,
    seen: Mutex<Option<Seen>>,
    /// The token of the settings, which no file revokes.
    fixed: Option<Arc<Token>>,
    clock: Clock,
    changes: watch::Sender<u64>,
    tls: Option<Arc<Tls>>,
    audit: Audit,
    writer: Mutex<Option<AuditWriter>>,
}

/// A file as it was: another one under its name differs in something of this.
type Seen = (u64, u64, i64, i64);

fn seen(metadata: &Metadata) -> Seen {
    (
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    )
}

impl Access {
    /// Reads the tokens, and refuses to let an address that others reach, or real money, go without.
    pub fn prepare(config: &HttpConfig, mode: Mode, clock: &Clock) -> Result<Self, AccessError> {
        let file = config.data_dir.as_deref().map(tokens::file_in);
        let fixed = config
            .token
            .as_ref()
            .map(|secret| Arc::new(Token::fixed(SETTINGS_TOKEN, Scope::Admin, secret.expose())));
        let must = if !config.listen.ip().is_loopback() {
            Some(format!("listening on {}", config.listen))
        } else if config.plaintext_behind_proxy {
            Some("listening behind a proxy".to_owned())
        } else {
            match mode {
                // Play money, and nobody but this machine's users.
                Mode::Observe | Mode::Paper => None,
            }
        };
        let (audit, writer) = Audit::new(config.data_dir.as_deref());
        let access = Self {
            audit,
            writer: Mutex::new(writer),
            tokens: ArcSwap::from_pointee(Tokens {
                needed: must.is_some() || fixed.is_some(),
                list: Vec::new(),
            }),
            file,
            seen: Mutex::new(None),
            fixed,
            clock: clock.clone(),
            changes: watch::Sender::new(0),
            tls: match (&config.tls_cert, &config.tls_key) {
                (Some(cert), Some(key)) => Some(Arc::new(Tls::load(cert, key)?)),
                _ => None,
            },
        };
        access.reload()?;
        if let Some(why) = must {
            let now = clock.now();
            let tokens = access.tokens.load();
            if !tokens.list.iter().any(|token| !token.is_expired(now)) {
                let dir = config.data_dir.as_deref().map(Path::display);
                let dir = dir.map(|dir| format!(" --data-dir {dir}"));
                return Err(AccessError::NoToken {
                    why,
                    dir: dir.unwrap_or_default(),
                });
            }
        }
        Ok(access)
    }

    /// The log of calls that change something.
    pub(crate) fn audit(&self) -> &Audit {
        &self.audit
    }

    /// What writes that log, once.
    pub fn audit_writer(&self) -> Option<AuditWriter> {
        self.writer.lock().take()
    }

    /// What encrypts the connections.
    pub(crate) fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }

    /// Whether callers need a token.
    pub(crate) fn needs_token(&self) -> bool {
        self.tokens.load().needed
    }

    /// The caller of a request that needs `scope`.
    pub(crate) fn authorize(
        &self,
        headers: &HeaderMap,
        scope: Scope,
        peer: &Peer,
        known: &Known,
    ) -> Result<Caller, Box<Problem>> {
        let caller = self.identify(headers, scope, peer, known)?;
        caller.require(scope)?;
        Ok(caller)
    }

    /// The caller of a request, who may or may not have the scope that it needs.
    pub(crate) fn identify(
        &self,
        headers: &HeaderMap,
        scope: Scope,
        peer: &Peer,
        known: &Known,
    ) -> Result<Caller, Box<Problem>> {
        if scope == Scope::Open {
            return Ok(Caller::ANYBODY);
        }
        let tokens = self.tokens.load();
        if !tokens.needed {
            return Ok(Caller::ANYBODY);
        }
        let shown = bearer(headers);
        if let Ok(text) = &shown
            && let Some(token) = known.recall(text, &tokens)
            && !token.is_expired(self.clock.now())
        {
            return Ok(Caller(Some(token)));
        }
        let text = shown.as_ref().ok().copied().unwrap_or_default();
        let caller = self.find(&tokens, shown, peer)?;
        if let Some(token) = caller.token() {
            known.keep(text, &tokens, token);
        }
        Ok(caller)
    }

    /// The caller who shows `token` elsewhere than in a header: in the first message of a WebSocket.
    pub(crate) fn authorize_token(
        &self,
        token: &str,
        scope: Scope,
        peer: &Peer,
    ) -> Result<Caller, Box<Problem>> {
        let tokens = self.tokens.load();
        if !tokens.needed {
            return Ok(Caller::ANYBODY);
        }
        let caller = self.find(&tokens, Ok(token), peer)?;
        caller.require(scope)?;
        Ok(caller)
    }

    /// Whether a caller of before may still go on: for connections that outlive a request.
    pub(crate) fn holds(&self, caller: &Caller) -> bool {
        let tokens = self.tokens.load();
        match &caller.0 {
            None => !tokens.needed,
            Some(held) => tokens
                .list
                .iter()
                .any(|token| token.hash == held.hash && !token.is_expired(self.clock.now())),
        }
    }

    /// Changes with every new list of tokens. Expiry is no change: ask [`Access::holds`] now and then.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn find(
        &self,
        tokens: &Tokens,
        shown: Result<&str, Box<Problem>>,
        peer: &Peer,
    ) -> Result<Caller, Box<Problem>> {
        let found = shown.and_then(|text| {
            let hash = tokens::hash_of(text);
            // All are compared, so that the time says nothing of which one it was.
            let found = tokens.list.iter().fold(None, |found, token| {
                let same = token.has_hash(&hash);
                if same { Some(token) } else { found }
            });
            match found {
                Some(token) if token.is_expired(self.clock.now()) => Err(Problem::new(
                    Code::TokenExpired,
                    format!("token {} has expired", token.name),
                )
                .hint("make another one with: hean token create")),
                Some(token) => Ok(Caller(Some(Arc::clone(token)))),
                None => Err(
                    Problem::new(Code::TokenInvalid, "this token is not known here")
                        .hint("it may have been revoked; hean token list shows those in force"),
                ),
            }
        });
        found.map_err(|problem| self.refused(problem, peer))
    }

    /// What those are told who do not get in; too many of them from one place are told to wait. A
    /// token that is right passes all the same: nobody locks another one out by guessing.
    fn refused(&self, problem: Box<Problem>, peer: &Peer) -> Box<Problem> {
        match peer.count_failure(self.clock.now()) {
            // Its connection is a place that others need.
            Ok(()) => problem
                .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
                .close(),
            Err(seconds) => Problem::new(
                Code::TooManyAttempts,
                "too many requests without a good token came from this address",
            )
            .hint("correct the token; hean token list shows those in force")
            .header(RETRY_AFTER, HeaderValue::from(seconds))
            .close(),
        }
    }

    /// Reads the file if it is another one than before. On an error the tokens of before stay.
    fn reload(&self) -> Result<bool, TokenError> {
        let first = *self.changes.borrow() == 0;
        let Some(path) = &self.file else {
            if first {
                self.replace(None);
            }
            return Ok(first);
        };
        let mut last = self.seen.lock();
        let now = match std::fs::metadata(path) {
            Ok(metadata) => Some(seen(&metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(TokenError::io("read", path)(error)),
        };
        if !first && *last == now {
            return Ok(false);
        }
        // Before the read: a file that changes in between is read again. A bad one is told of once.
        *last = now;
        self.replace(tokens::read(path)?);
        Ok(true)
    }

    fn replace(&self, read: Option<Vec<Token>>) {
        let before = self.tokens.load();
        let needed = before.needed || read.is_some();
        let list = read.into_iter().flatten().map(Arc::new);
        let list = list.map(|token| {
            // How much of its rate is used is remembered.
            let same = before.list.iter().find(|old| ***old == *token);
            same.map_or(token, Arc::clone)
        });
        let list = list.chain(self.fixed.clone()).collect();
        self.tokens.store(Arc::new(Tokens { needed, list }));
        self.changes.send_modify(|count| *count += 1);
    }

    async fn reload_tls(&self) {
        let Some(tls) = self.tls() else {
            tracing::info!(
                "SIGHUP: tokens are read anew by themselves, there is no certificate; other settings need a restart"
            );
            return;
        };
        match tokio::task::spawn_blocking(move || tls.reload()).await {
            Ok(Ok((old, new))) if old == new => {
                tracing::info!(
                    sha256 = new,
                    "SIGHUP: the certificate is the same as before"
                );
            }
            Ok(Ok((old, new))) => {
                tracing::info!(old, new, "SIGHUP: new connections get another certificate");
            }
            Ok(Err(error)) => tracing::error!(%error, "SIGHUP: the certificate of before stays"),
            Err(error) => tracing::error!(%error, "SIGHUP: the certificate was not read"),
        }
    }

    /// Keeps the tokens as the file has them; a wish of `renewals` has the certificate read anew.
    pub async fn upkeep(self: Arc<Self>, mut renewals: Renewals) {
        let mut every = tokio::time::interval(POLL);
        loop {
            // Held until all is read.
            let renewal = tokio::select! {
                _ = every.tick() => None,
                Some(renewal) = renewals.recv() => Some(renewal),
            };
            if renewal.is_some() {
                self.reload_tls().await;
            }
            let access = Arc::clone(&self);
            // A disk that hangs must not hold a thread of the runtime.
            let reloaded = tokio::task::spawn_blocking(move || access.reload()).await;
            match reloaded {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => {
                    let names: Vec<String> = {
                        let tokens = self.tokens.load();
                        tokens.list.iter().map(|t| t.name.clone()).collect()
                    };
                    tracing::info!(tokens = names.join(","), "tokens read anew");
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "the tokens of before stay in force");
                }
                Err(error) => tracing::error!(%error, "the tokens were not read"),
            }
            drop(renewal);
        }
    }
}

/// The token of the `Authorization` header.
fn bearer(headers: &HeaderMap) -> Result<&str, Box<Problem>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let missing = |detail: &str| {
        Problem::new(Code::TokenMissing, detail).hint(
            "send the header Authorization: Bearer TOKEN with a token made by: hean token create",
        )
    };
    let value = values
        .next()
        .ok_or_else(|| missing("this needs a token, and the request has none"))?;
    if values.next().is_some() {
        return Err(Problem::new(
            Code::TokenInvalid,
            "there is more than one Authorization header",
        ));
    }
    let scheme = |text: &'_ str| {
        text.get(..7)
            .is_some_and(|s| s.eq_ignore_ascii_case("bearer "))
    };
    match value.to_str() {
        Ok(text) if scheme(text) => Ok(text[7..].trim_ascii()),
        _ => Err(missing("the Authorization header holds no bearer token")),
    }
}

/// Refuses a request that shows its token where logs and histories keep it.
pub(crate) fn refuse_token_in_url(query: Option<&str>) -> Result<(), Box<Problem>> {
    const NAMES: [&str; 4] = ["token", "access_token", "api_key", "apikey"];
    let Some(query) = query else { return Ok(()) };
    for pair in query.split('&') {
        let name = pair.split('=').next().unwrap_or_default();
        if NAMES.iter().any(|n| n.eq_ignore_ascii_case(name)) {
            return Err(Problem::new(
                Code::TokenInUrl,
                "a token in a URL ends up in logs and histories, so none is taken from there",
            )
            .hint("send it in the header Authorization: Bearer TOKEN, and revoke this one: it has been shown"));
        }
    }
    Ok(())
}
