//! The projection, where it may block: on threads for that. It is lost if its work fails or is cancelled, and read anew
//! from the journal then.

use std::path::PathBuf;

use super::StoreConfig;
use super::error::StoreError;
use super::keydb::Trouble;
use super::keys::Keys;
use super::projection::{Batch, Projection};
use crate::journal::{InstallationId, JournalError, Tail};
use crate::kernel::event::Seq;

/// Reads one journal.
pub(crate) struct Replica {
    journal_dir: PathBuf,
    keys: Keys,
    config: StoreConfig,
    /// Whose journal it is, once that was read.
    installation: Option<InstallationId>,
    /// Not there when it has to be read anew.
    projection: Option<Projection>,
}

impl Replica {
    pub(crate) fn new(journal_dir: PathBuf, keys: Keys, config: StoreConfig) -> Self {
        Self {
            journal_dir,
            keys,
            config,
            installation: None,
            projection: None,
        }
    }

    /// Whether it has to be read anew.
    pub(crate) fn is_lost(&self) -> bool {
        self.projection.is_none()
    }

    /// The last record that it has applied.
    pub(crate) fn position(&self) -> Seq {
        self.projection().map_or(Seq(0), Projection::position)
    }

    /// What it reads into.
    pub(crate) fn projection(&self) -> Option<&Projection> {
        self.projection.as_ref()
    }

    /// Whose journal it is.
    pub(crate) async fn installation(&mut self) -> Result<InstallationId, Trouble> {
        if let Some(known) = self.installation {
            return Ok(known);
        }
        let dir = self.journal_dir.clone();
        let read = tokio::task::spawn_blocking(move || {
            let tail = Tail::open(&dir, Tail::oldest(&dir)?)?;
            Ok::<_, StoreError>(tail.installation())
        });
        let installation = joined(read.await)?;
        self.installation = Some(installation);
        Ok(installation)
    }

    /// Begins anew, at the newest state that is not beyond `at_most`, if there is one.
    pub(crate) async fn open(&mut self, at_most: Seq) -> Result<(), Trouble> {
        let (dir, keys) = (self.journal_dir.clone(), self.keys.clone());
        let config = self.config.clone();
        let open = move || Projection::open(&dir, keys, &config, at_most);
        match joined(tokio::task::spawn_blocking(open).await) {
            // What the journal begins with has just changed: the start has seen that it has a beginning.
            Err(StoreError::Journal(
                JournalError::NoRecord { .. } | JournalError::NoSnapshot { .. },
            )) => Err(Trouble::Resynchronise(
                "the journal has deleted old records",
            )),
            opened => {
                self.projection = Some(opened?);
                Ok(())
            }
        }
    }

    /// The next batch of durable records, if there are any.
    pub(crate) async fn next_batch(&mut self, durable: Seq) -> Result<Option<Batch>, Trouble> {
        if durable <= self.position() {
            return Ok(None);
        }
        self.blocking(move |p| p.next_batch(durable)).await
    }

    /// Lets the projection work where it may block.
    pub(crate) async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Projection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Trouble> {
        let Some(mut projection) = self.projection.take() else {
            return Err(Trouble::Resynchronise("the journal has to be read again"));
        };
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&mut projection);
            (projection, result)
        });
        let (projection, result) = joined(done.await);
        if let Err(StoreError::Journal(JournalError::NoRecord { .. })) = result {
            return Err(Trouble::Resynchronise(
                "the journal has deleted what was to be read next",
            ));
        }
        self.projection = Some(projection);
        Ok(result?)
    }
}

/// The result of blocking work; its panic goes on here, where the supervisor sees it.
fn joined<T>(result: Result<T, tokio::task::JoinError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("blocking work was cancelled: {error}"),
        },
    }
}
