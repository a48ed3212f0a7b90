//! Why the projection ends. What passes by itself (an outage, a full server) is not here: it is
//! retried.

use crate::journal::JournalError;
use crate::kernel::ledger::LedgerError;

/// The projection cannot go on without an operator.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A setting makes no sense.
    #[error("store setting {key}: {hint}")]
    Config {
        /// Which.
        key: &'static str,
        /// What would be legal.
        hint: String,
    },
    /// The state cannot be written down.
    #[error("cannot make an image of the state: {0}")]
    Image(std::io::Error),
    /// The store cannot be asked, and it may hold the state.
    #[error(
        "this data directory is new, and the store may hold the state to go on with, but it cannot be asked: \
         {why}; start the store, or start without it to begin with nothing"
    )]
    Unreachable {
        /// What the connection said.
        why: String,
    },
    /// Another process writes there.
    #[error(
        "this data directory is new, and another process writes to {keys} in the store: stop it first to go on \
         with its state here, or give this one another prefix"
    )]
    InUse {
        /// Pattern of the keys.
        keys: String,
    },
    /// The store holds a state that is not whole.
    #[error(
        "this data directory is new, and what the store holds under {keys} is not whole: {why}; restore a backup \
         of the data directory or of the store, or give another prefix to begin with nothing"
    )]
    Broken {
        /// Pattern of the keys.
        keys: String,
        /// What is missing or wrong.
        why: String,
    },
    /// The keys belong to another installation.
    #[error(
        "the store's keys {keys} belong to installation {found}, this is {ours}: give this \
         installation another prefix or account, or delete those keys if they are not needed"
    )]
    Foreign {
        /// Pattern of the keys.
        keys: String,
        /// Who wrote them.
        found: String,
        /// Who we are.
        ours: String,
    },
    /// The store has more records than the journal.
    #[error(
        "the store holds records up to {watermark}, the journal only up to {durable}: the journal is \
         older than the store; restore the newer journal, or delete the store's keys {keys} to have \
         them written again from this journal"
    )]
    Ahead {
        /// Pattern of the keys.
        keys: String,
        /// Last record in the store.
        watermark: u64,
        /// Last record in the journal.
        durable: u64,
    },
    /// Same number of records, another state.
    #[error(
        "the store's state after record {seq} is not what the journal makes of its records: they have \
         different histories; restore the journal that belongs to the store, or delete the store's \
         keys {keys} to have them written again from this journal"
    )]
    Diverged {
        /// Pattern of the keys.
        keys: String,
        /// Record after which the states were compared.
        seq: u64,
    },
    /// Another process of this installation writes.
    #[error(
        "another process took over the store (fence {current}, ours was {ours}): make sure that only \
         one process of this installation runs, then start again"
    )]
    Fenced {
        /// The fence now in force.
        current: u64,
        /// Ours.
        ours: u64,
    },
    /// The store answers what our script cannot have answered.
    #[error("the store gave an answer that was not understood: {0}; is it KeyDB or Redis ≥ 6.2?")]
    Answer(String),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record does not fit the state.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A record cannot be written as JSON: a bug.
    #[error("record {seq} cannot be written as JSON: {source}; please report this")]
    Json {
        /// The record.
        seq: u64,
        /// Why.
        source: serde_json::Error,
    },
    /// Shutdown did not wait any longer. Nothing is lost: the next start goes on.
    #[error(
        "the store was {lag} records behind when the process ended; the next start writes them from \
         the journal"
    )]
    NotDrained {
        /// Records that are in the journal alone.
        lag: u64,
    },
}
