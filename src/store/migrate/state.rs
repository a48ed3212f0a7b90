//! How far a migration has come, kept in the target beside what it has brought there.
//!
//! So it can never be ahead of the data: a target that lost its last second, or everything, lost the
//! same part of this. It is a cursor of `SCAN`, which lives as long as the source's process: after a
//! restart of the source the scan begins anew, and copies over what is there.

use serde::{Deserialize, Serialize};

use super::pair::Pair;
use crate::store::wire::WireError;

/// Format of the state.
const VERSION: u32 = 1;

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    version: u32,
    /// Host and port of the source.
    source: String,
    /// Its process.
    run_id: String,
    /// What is copied.
    selection: String,
    /// Database of the source that is being copied; `None` when all are.
    pub(crate) db: Option<u16>,
    /// Where its scan goes on.
    pub(crate) cursor: String,
    /// Keys that have arrived.
    pub(crate) copied: u64,
}

/// What a target says about earlier attempts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// Nothing.
    None,
    /// Another migration, or one that ended.
    Other,
    /// This one, but its cursor is worth nothing any more.
    Restart,
    /// This one.
    Resume(Box<State>),
}

impl State {
    pub(crate) fn new(source: &str, run_id: &str, selection: String) -> Self {
        Self {
            version: VERSION,
            source: source.to_owned(),
            run_id: run_id.to_owned(),
            selection,
            db: Some(0),
            cursor: "0".to_owned(),
            copied: 0,
        }
    }

    /// What `text` means to this migration.
    fn read(&self, text: &[u8]) -> Earlier {
        let Ok(found) = serde_json::from_slice::<Self>(text) else {
            return Earlier::Other;
        };
        let ours = found.version == self.version
            && found.source == self.source
            && found.selection == self.selection;
        let cursor = !found.cursor.is_empty() && found.cursor.bytes().all(|b| b.is_ascii_digit());
        match (ours, cursor && found.run_id == self.run_id) {
            (false, _) => Earlier::Other,
            (true, false) => Earlier::Restart,
            (true, true) => Earlier::Resume(Box::new(found)),
        }
    }

    /// Looks for an earlier attempt in database `home` of the target.
    pub(crate) async fn earlier(&self, pair: &mut Pair, home: u16) -> Result<Earlier, WireError> {
        pair.target.select(home).await?;
        let found = pair.target.ask(&[b"GET", super::STATE_KEY]).await?;
        Ok(found.bytes().map_or(Earlier::None, |text| self.read(&text)))
    }

    /// Writes it down.
    pub(crate) async fn save(&self, pair: &mut Pair, home: u16) -> Result<(), WireError> {
        let Ok(text) = serde_json::to_vec(self) else {
            return Err(pair.target.answer("the state cannot be written as JSON"));
        };
        pair.target.select(home).await?;
        pair.target.ask(&[b"SET", super::STATE_KEY, &text]).await?;
        Ok(())
    }

    /// Removes it: the migration is complete.
    pub(crate) async fn remove(pair: &mut Pair, home: u16) -> Result<(), WireError> {
        pair.target.select(home).await?;
        pair.target.ask(&[b"DEL", super::STATE_KEY]).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_migration_from_the_same_process_goes_on() {
        let now = State::new("h:1", "run", "all".to_owned());
        let text = |state: &State| serde_json::to_vec(state).expect("JSON");
        let mut then = now.clone();
        (then.db, then.cursor, then.copied) = (Some(3), "42".to_owned(), 7);
        assert_eq!(
            now.read(&text(&then)),
            Earlier::Resume(Box::new(then.clone()))
        );
        let other = |change: fn(&mut State)| {
            let mut state = then.clone();
            change(&mut state);
            now.read(&text(&state))
        };
        assert_eq!(other(|s| s.run_id = "later".to_owned()), Earlier::Restart);
        assert_eq!(other(|s| s.cursor = "x".to_owned()), Earlier::Restart);
        assert_eq!(other(|s| s.source = "h:2".to_owned()), Earlier::Other);
        assert_eq!(other(|s| s.selection = "some".to_owned()), Earlier::Other);
        assert_eq!(other(|s| s.version = 2), Earlier::Other);
        assert_eq!(now.read(b"no JSON"), Earlier::Other);
    }
}
