//! Why a tool did not do its work.

use crate::cli::Exit;
use crate::store::wire::WireError;

/// The tool ended without a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// A server.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The command line asks for something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Something must be set up or decided first.
    #[error("{0}")]
    Setup(String),
    /// The source never came to rest at the end of a live migration.
    #[error("{0}")]
    Unfinished(String),
}

impl ToolError {
    /// How the process ends on it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Wire(error) => error.exit(),
            Self::Usage(_) => Exit::Usage,
            Self::Setup(_) => Exit::Configuration,
            Self::Unfinished(_) => Exit::Failure,
        }
    }
}
