//! A second ledger that follows the journal: from the newest snapshot that will do, else from the beginning.
//!
//! Reads files and applies records: for threads that may block. It never goes back.

use std::path::Path;
use std::sync::Arc;

use super::disk::{Directory, Disk};
use super::error::JournalError;
use super::installation::InstallationId;
use super::quarantine::Quarantine;
use super::snapshot::{self, Base, snapshot_name};
use super::tail::Tail;
use crate::kernel::event::{Seq, Sequenced};
use crate::kernel::ledger::{Changes, Ledger, LedgerError};

/// The journal's state after the last record applied.
#[derive(Debug)]
pub struct Follower {
    tail: Tail,
    ledger: Ledger,
    quarantine: Quarantine,
    /// What it began with.
    base: Base,
}

impl Follower {
    /// Begins at the newest snapshot in `dir` that is not beyond `at_most`, or at the first record; if there is
    /// neither, at the oldest state that can be had.
    pub fn open(dir: &Path, orders_kept: usize, at_most: Seq) -> Result<Self, JournalError> {
        Self::open_on(&(Arc::new(Directory::new(dir)) as _), orders_kept, at_most)
    }

    pub(crate) fn open_on(
        disk: &Arc<dyn Disk>,
        orders_kept: usize,
        at_most: Seq,
    ) -> Result<Self, JournalError> {
        let quarantine = Quarantine::load(disk.as_ref())?;
        let oldest = Tail::oldest_on(disk.as_ref())?;
        let snapshots =
            snapshot::list(disk.as_ref()).map_err(JournalError::io("list", &disk.path("")))?;
        let (mut later, earlier): (Vec<Seq>, Vec<Seq>) =
            snapshots.into_iter().partition(|seq| *seq > at_most);
        later.reverse();
        let mut why = String::new();
        for seq in earlier {
            match Self::from_snapshot(disk, seq, orders_kept, &quarantine) {
                Ok(follower) => return Ok(follower),
                Err(fault) => note(&mut why, disk.as_ref(), seq, &fault),
            }
        }
        if oldest == Seq(1) {
            return Ok(Self {
                tail: Tail::join(Arc::clone(disk), Base::default())?,
                ledger: Ledger::new(orders_kept),
                quarantine,
                base: Base::default(),
            });
        }
        for seq in later {
            match Self::from_snapshot(disk, seq, orders_kept, &quarantine) {
                Ok(follower) => return Ok(follower),
                Err(fault) => note(&mut why, disk.as_ref(), seq, &fault),
            }
        }
        if !why.is_empty() {
            why.push(')');
        }
        Err(JournalError::NoSnapshot {
            dir: disk.path(""),
            oldest: oldest.0,
            why,
        })
    }

    fn from_snapshot(
        disk: &Arc<dyn Disk>,
        seq: Seq,
        orders_kept: usize,
        quarantine: &Quarantine,
    ) -> Result<Self, String> {
        let (header, ledger) = snapshot::load(disk.as_ref(), seq, None, orders_kept)
            .map_err(|fault| fault.to_string())?;
        let tail = Tail::join(Arc::clone(disk), header.base).map_err(|error| error.to_string())?;
        if tail.installation() != header.installation {
            return Err("it belongs to another installation".to_owned());
        }
        Ok(Self {
            tail,
            ledger,
            quarantine: quarantine.clone(),
            base: header.base,
        })
    }

    /// Whose journal it is.
    pub fn installation(&self) -> InstallationId {
        self.tail.installation()
    }

    /// The last record applied.
    pub fn seq(&self) -> Seq {
        self.ledger.seq()
    }

    /// The state after it.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What it began with.
    pub(crate) fn base(&self) -> Base {
        self.base
    }

    /// The reader.
    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// What changed since the last call.
    pub fn take_changes(&mut self) -> Changes {
        self.ledger.take_changes()
    }

    /// The records of the next batch, which are to be applied one by one; `None` when everything up to
    /// `durable` was read.
    pub fn read(&mut self, durable: Seq) -> Result<Option<Vec<Sequenced>>, JournalError> {
        self.tail.next(durable)
    }

    /// Applies a record that was read, or passes it over if it is under quarantine.
    pub fn apply(&mut self, record: &Sequenced) -> Result<(), LedgerError> {
        self.quarantine.apply(&mut self.ledger, record)
    }
}

fn note(why: &mut String, disk: &dyn Disk, seq: Seq, fault: &str) {
    let file = disk.path(&snapshot_name(seq));
    tracing::warn!(file = %file.display(), fault, "a snapshot cannot be used");
    let begin = if why.is_empty() { " (" } else { "; " };
    *why = format!("{why}{begin}{}: {fault}", file.display());
}
