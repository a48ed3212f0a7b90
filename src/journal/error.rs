//! Why a journal cannot be opened or read. Each text says what was wrong and what to do.

use std::path::{Path, PathBuf};

use crate::kernel::ledger::LedgerError;

use super::format::Fault;

/// A journal cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused.
    #[error("cannot {what} {path}: {source}; check permissions, free space and the disk")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Another process uses the data directory.
    #[error(
        "data directory {dir} is in use by process {pid}: stop that process, or give this one \
         another --data-dir"
    )]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The holder's process id, as it wrote it.
        pid: String,
    },
    /// A configured size makes no sense.
    #[error("journal setting {key} is {value}: {hint}")]
    Config {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: u64,
        /// What would be legal.
        hint: &'static str,
    },
    /// The file `installation` does not hold an id.
    #[error(
        "{path} does not hold an installation id (8 characters a-z, 0-9): restore it from a backup, \
         or remove it when the journal is intact (the journal knows the id)"
    )]
    Installation {
        /// The file.
        path: PathBuf,
    },
    /// Of a format that this program does not read.
    #[error("{}", of_another_format(file, *found, *known))]
    Version {
        /// The segment.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that we know.
        known: u32,
    },
    /// A segment's header cannot be read.
    #[error("{file} has a damaged header ({why}): restore the journal directory from a backup")]
    Header {
        /// The segment.
        file: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// A segment of another installation.
    #[error(
        "{file} belongs to installation {found}, this data directory to {expected}: do not mix \
         journals of two installations"
    )]
    Foreign {
        /// The segment.
        file: PathBuf,
        /// Its installation.
        found: String,
        /// Ours.
        expected: String,
    },
    /// A whole segment, or the end of one, is missing.
    #[error(
        "{file} begins at record {found}, but record {expected} comes next: a segment is missing; \
         restore the journal directory from a backup"
    )]
    Missing {
        /// The segment after the hole.
        file: PathBuf,
        /// Its first record.
        found: u64,
        /// The record that should come.
        expected: u64,
    },
    /// A batch that had been durable cannot be read.
    #[error(
        "{file} is damaged at byte {offset}, at record {seq}: {fault}; later records prove that \
         this one had been written safely, so it is not cut: restore the journal directory from a \
         backup, and check the disk"
    )]
    Damage {
        /// The segment.
        file: PathBuf,
        /// Where the batch begins.
        offset: u64,
        /// The record that should be there.
        seq: u64,
        /// What is wrong.
        fault: Fault,
    },
    /// A batch is intact but its records are not understood.
    #[error(
        "{file} holds at byte {offset} an intact batch whose records from {seq} on cannot be read: \
         {fault}; was it written by a newer program?"
    )]
    Records {
        /// The segment.
        file: PathBuf,
        /// Where the batch begins.
        offset: u64,
        /// Its first record.
        seq: u64,
        /// What is wrong.
        fault: Fault,
    },
    /// A record does not fit the state before it.
    #[error(
        "{file}, batch at byte {offset}, record {seq}: {source}; keep a copy of the journal directory; \
         if there is no backup, go on without this record, reducing only: {}",
        quarantine_command(file, *seq)
    )]
    Apply {
        /// The segment.
        file: PathBuf,
        /// Where the record's batch begins.
        offset: u64,
        /// The record.
        seq: u64,
        /// What is wrong.
        source: LedgerError,
    },
    /// Applying a record panicked: our bug, but the process must not loop over it.
    #[error(
        "{file}, batch at byte {offset}: applying record {seq} panicked ({panic}); keep a copy of \
         the journal directory and report this; to go on without this record, reducing only: {}",
        quarantine_command(file, *seq)
    )]
    Poison {
        /// The segment.
        file: PathBuf,
        /// Where the record's batch begins.
        offset: u64,
        /// The record.
        seq: u64,
        /// What the panic said.
        panic: String,
    },
    /// A snapshot holds another history than the journal.
    #[error(
        "{file} does not belong to this journal: what the journal holds up to record {seq} is not what \
         the snapshot was made of"
    )]
    NotJoined {
        /// The snapshot.
        file: PathBuf,
        /// Its last record.
        seq: u64,
    },
    /// The journal ends before a snapshot that was made of it.
    #[error(
        "{file} holds the state after record {seq}, but the journal ends at record {end}: records that \
         had been written safely are missing; restore the journal directory from a backup, or remove \
         this snapshot to go on without them"
    )]
    Behind {
        /// The snapshot.
        file: PathBuf,
        /// Its last record.
        seq: u64,
        /// Last record of the journal.
        end: u64,
    },
    /// Old segments are gone, and no snapshot can stand in for them.
    #[error(
        "the journal in {dir} begins at record {oldest}, and no snapshot holds what was before it{why}: \
         restore the journal directory from a backup"
    )]
    NoSnapshot {
        /// The journal directory.
        dir: PathBuf,
        /// The oldest record that is left.
        oldest: u64,
        /// What is wrong with the snapshots that there are.
        why: String,
    },
    /// The list of records under quarantine cannot be read.
    #[error("{path}, line {line}: {why}; a line is the record, and the last record at that time")]
    Quarantine {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A record cannot be put under quarantine.
    #[error("record {seq} cannot be put under quarantine: {why}")]
    NotQuarantined {
        /// The record.
        seq: u64,
        /// Why not.
        why: String,
    },
    /// A reader wants a record that the journal no longer, or does not yet, have.
    #[error("the journal in {dir} does not hold record {seq}")]
    NoRecord {
        /// The journal directory.
        dir: PathBuf,
        /// The record.
        seq: u64,
    },
}

impl JournalError {
    /// Names what was tried on which path.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

fn of_another_format(file: &Path, found: u32, known: u32) -> String {
    let file = file.display();
    if found > known {
        format!(
            "{file} was written by a newer version of this program: it has journal format {found}, this \
             program reads formats up to {known}; use the newer program, or another data directory"
        )
    } else {
        format!(
            "{file} has journal format {found}, which this program no longer reads (it writes {known}): \
             start the version that wrote it, or use another data directory"
        )
    }
}

/// The command that puts a record under quarantine, ready for a shell.
fn quarantine_command(file: &Path, seq: u64) -> String {
    let data_dir = file.parent().and_then(Path::parent).unwrap_or(file);
    let dir = data_dir.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    let dir = if !dir.is_empty() && dir.chars().all(plain) {
        dir
    } else {
        format!("'{}'", dir.replace('\'', r"'\''"))
    };
    format!("hean journal quarantine {seq} --data-dir {dir}")
}
