//! `hean install-service`: its flags.

use std::path::PathBuf;

use clap::Args;

/// Flags of `install-service`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ServiceArgs {
    /// Below another root directory, such as that of an image or a chroot; tells no running systemd
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Stop the service and remove what was installed; changed settings and all state stay
    #[arg(long)]
    pub uninstall: bool,
}
