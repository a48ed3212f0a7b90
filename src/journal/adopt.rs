//! A new data directory that goes on where a state from elsewhere ends: after the loss of the old one.

use std::path::Path;

use super::error::JournalError;
use super::installation::{self, InstallationId};
use super::segment::segment_first;
use super::{JournalConfig, enter, segment, snapshot};
use crate::kernel::event::Seq;
use crate::kernel::ledger::Ledger;
use crate::kernel::types::Time;

/// In a data directory whose state may lack its last records, until that is in the journal.
const MARK: &str = "incomplete";

/// How many records a state that was adopted lacks at least; `None` once that is in the journal, or if nothing is
/// missing.
pub fn missing(data_dir: &Path) -> Result<Option<u64>, JournalError> {
    let path = data_dir.join(MARK);
    match std::fs::read_to_string(&path) {
        // Whatever stands there: the mark is what counts.
        Ok(text) => Ok(Some(text.trim().parse().unwrap_or(0))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(JournalError::io("read", &path)(error)),
    }
}

/// The journal says so itself from now on.
pub fn missing_is_told(data_dir: &Path) -> Result<(), JournalError> {
    let path = data_dir.join(MARK);
    std::fs::remove_file(&path)
        .and_then(|()| installation::sync_dir(data_dir))
        .map_err(JournalError::io("remove", &path))
}

/// Whether the data directory holds no journal yet.
pub fn is_new(data_dir: &Path) -> Result<bool, JournalError> {
    let dir = data_dir.join("journal");
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(JournalError::io("list", &dir)(error)),
    };
    for entry in entries {
        let name = entry.map_err(JournalError::io("list", &dir))?.file_name();
        if name.to_str().and_then(segment_first).is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes a journal whose first record is the next one after `ledger`, which it holds as a snapshot; `missing` says
/// how many records it lacks at least, if it may lack some. The data
/// directory holds [no journal](is_new) yet; when this fails half-way it still holds none.
pub fn adopt(
    config: &JournalConfig,
    installation: InstallationId,
    ledger: &Ledger,
    missing: Option<u64>,
    taken: Time,
) -> Result<(), JournalError> {
    let (_lock, disk) = enter(config)?;
    let dir = disk.path("");
    let first = Seq(ledger.seq().0.saturating_add(1));
    installation::establish(&config.data_dir, installation)?;
    if let Some(missing) = missing {
        installation::write_whole(&config.data_dir, MARK, format!("{missing}\n").as_bytes())?;
    }
    snapshot::write(disk.as_ref(), installation, ledger, 0, taken)
        .map_err(JournalError::io("write a snapshot in", &dir))?;
    segment::create_first(disk.as_ref(), installation, config.segment_bytes, first)
        .map_err(JournalError::io("create a segment in", &dir))
}
