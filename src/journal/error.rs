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
    /// Written by a newer version of this program.
    #[error(
        "{file} has journal format {found}, this program reads and writes {known}: use the program \
         that wrote it, or another data directory"
    )]
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
    #[error("{file}, batch at byte {offset}, record {seq}: {source}")]
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
         the journal directory and report this"
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
