//! Which keys are meant: databases and patterns, and where each database goes.

use super::error::ToolError;
use super::glob;
use super::pair::Key;
use crate::store::wire::{Connection, Facts, Peer, Reply, WireError};

/// Keys that one step of a scan looks at, about.
const SCAN: &[u8] = b"1000";

/// What the command line says about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Databases; none is all that hold keys.
    pub dbs: Vec<u16>,
    /// Patterns of keys; none is all keys.
    pub patterns: Vec<String>,
}

/// The keys that are meant.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    /// Databases that were named; `None` is all.
    named: Option<Vec<u16>>,
    /// The database of the target, if it is another one.
    into: Option<u16>,
    patterns: Vec<Vec<u8>>,
}

impl Selection {
    pub(crate) fn new(wish: &Wish, source: &Peer, target: &Peer) -> Result<Self, ToolError> {
        let mut named = wish.dbs.clone();
        named.sort_unstable();
        named.dedup();
        if let Some(db) = source.db() {
            if !named.is_empty() && named != [db] {
                return Err(ToolError::Usage(format!(
                    "the source's URL names database {db} and --db another one: leave one of them out"
                )));
            }
            named = vec![db];
        }
        if target.db().is_some() && named.len() != 1 {
            return Err(ToolError::Usage(
                "the target's URL names a database: name one of the source, too, with --db N"
                    .to_owned(),
            ));
        }
        Ok(Self {
            named: (!named.is_empty()).then_some(named),
            into: target.db(),
            patterns: wish
                .patterns
                .iter()
                .map(|p| p.clone().into_bytes())
                .collect(),
        })
    }

    /// Databases of the source and where they go, of those that hold keys according to `facts`.
    pub(crate) fn databases(&self, facts: &[&Facts]) -> Vec<(u16, u16)> {
        let mut dbs = self.named.clone().unwrap_or_else(|| {
            let all = facts.iter().flat_map(|facts| &facts.databases);
            all.map(|(db, _)| *db).collect()
        });
        dbs.sort_unstable();
        dbs.dedup();
        dbs.into_iter()
            .map(|db| (db, self.into.unwrap_or(db)))
            .collect()
    }

    /// Where a database of the source goes; `None` when it is not meant.
    pub(crate) fn into(&self, db: u16) -> Option<u16> {
        match &self.named {
            Some(named) if !named.contains(&db) => None,
            _ => Some(self.into.unwrap_or(db)),
        }
    }

    /// Whether a database is copied onto the one of the same number.
    pub(crate) fn overlaps(&self) -> bool {
        match &self.named {
            Some(named) => named.iter().any(|db| self.into(*db) == Some(*db)),
            None => true,
        }
    }

    /// Whether a key is meant. Ours never are.
    pub(crate) fn takes(&self, key: &[u8]) -> bool {
        let fits = |pattern: &Vec<u8>| glob::fits(pattern, key);
        !key.starts_with(super::OWN) && (self.patterns.is_empty() || self.patterns.iter().any(fits))
    }

    /// Keys in the databases that are meant, if the patterns take them all.
    pub(crate) fn keys(&self, facts: &Facts) -> u64 {
        let meant = facts
            .databases
            .iter()
            .filter(|(db, _)| self.into(*db).is_some());
        meant.map(|(_, keys)| keys).sum()
    }

    /// One text for one meaning.
    pub(crate) fn text(&self) -> String {
        let patterns = self.patterns.iter().map(|p| p.escape_ascii().to_string());
        let patterns: Vec<String> = patterns.collect();
        format!("{:?} {:?} {patterns:?}", self.named, self.into)
    }

    /// The next step of a scan: where to go on (`0` is the end) and the keys that are meant.
    pub(crate) async fn scan(
        &self,
        server: &mut Connection,
        cursor: &[u8],
    ) -> Result<(Vec<u8>, Vec<Key>, u64), WireError> {
        let mut words = vec![&b"SCAN"[..], cursor, b"COUNT", SCAN];
        // Several patterns are one scan; the server takes one of them only.
        if let [pattern] = self.patterns.as_slice() {
            words.extend([&b"MATCH"[..], pattern]);
        }
        let parts = server.ask(&words).await?.array().unwrap_or_default();
        let wrong = || server.answer("SCAN is no cursor with a list");
        let [Reply::Bytes(next), Reply::Array(_)] = parts.as_slice() else {
            return Err(wrong());
        };
        if next.is_empty() || next.len() > 20 || !next.iter().all(u8::is_ascii_digit) {
            return Err(wrong());
        }
        let next = next.clone();
        let keys = parts.into_iter().nth(1).and_then(Reply::array);
        let keys = keys.and_then(super::values::strings).ok_or_else(wrong)?;
        let seen = keys.len() as u64;
        let keys = keys.into_iter().filter(|key| self.takes(key)).collect();
        Ok((next, keys, seen))
    }
}
