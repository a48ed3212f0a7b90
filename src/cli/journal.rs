//! `hean journal …`: flags of the commands that look into a data directory.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::RunArgs;
use crate::config::{self, ConfigError, DataDir};

/// `hean journal …`
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum JournalCommand {
    /// Read everything, snapshots too, and say what is there and what is damaged; a daemon may be running
    Check(JournalArgs),
    /// Print records
    Dump(DumpArgs),
    /// Print the last records, and then each new one
    Tail(TailArgs),
    /// Pass a record over at every start because applying it fails; only reductions pass until `hean resume`
    Quarantine(QuarantineArgs),
}

/// Whose journal.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct JournalArgs {
    /// The data directory [default: what `run` would use]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Configuration file that names it [default: $HEAN_CONFIG, else /etc/hean/hean.toml if it exists]
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    pub config: Option<PathBuf>,
}

/// Flags of `journal dump`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct DumpArgs {
    /// Whose.
    #[command(flatten)]
    pub journal: JournalArgs,
    /// First record [default: the oldest]
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    pub from: Option<u64>,
    /// Last record [default: the newest]
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    pub to: Option<u64>,
}

/// Flags of `journal tail`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct TailArgs {
    /// Whose.
    #[command(flatten)]
    pub journal: JournalArgs,
    /// First record [default: the last ten]
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    pub from: Option<u64>,
}

/// Flags of `journal quarantine`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct QuarantineArgs {
    /// The record that the error names
    #[arg(value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    pub seq: u64,
    /// Whose.
    #[command(flatten)]
    pub journal: JournalArgs,
}

impl JournalArgs {
    /// The data directory.
    pub fn data_dir(&self) -> Result<PathBuf, ConfigError> {
        if let Some(dir) = &self.data_dir {
            return Ok(dir.clone());
        }
        let run = RunArgs {
            config: self.config.clone(),
            ..RunArgs::default()
        };
        let settings = config::load(&run.sources(false))?.settings;
        Ok(match settings.journal.dir {
            DataDir::Path(dir) => dir,
            // A demo leaves nothing to look at.
            DataDir::Auto | DataDir::Temporary => std::env::temp_dir(),
        })
    }
}
