//! Exit codes: a contract with scripts.

use std::process::ExitCode;

use crate::config::ConfigError;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Something failed that has no code of its own.
    Failure = 1,
    /// The command line was wrong.
    Usage = 2,
    /// The configuration was wrong.
    Configuration = 3,
    /// A venue, the store or the daemon could not be reached.
    Unreachable = 4,
    /// Risk refused the order.
    RefusedByRisk = 5,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<&ConfigError> for Exit {
    fn from(error: &ConfigError) -> Self {
        if error.is_usage() {
            Self::Usage
        } else {
            Self::Configuration
        }
    }
}

/// `--help` and `--version` come as errors, too.
impl From<&clap::Error> for Exit {
    fn from(error: &clap::Error) -> Self {
        if error.use_stderr() {
            Self::Usage
        } else {
            Self::Ok
        }
    }
}
