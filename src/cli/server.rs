//! Flags of every command that talks to a running daemon: where it is, and who asks.

use std::path::PathBuf;

use clap::Args;

use crate::client::{ClientError, Place, ServerUrl};

/// Where the daemon is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ServerArgs {
    /// The daemon: host:port, http://host:port or https://host:port
    /// [default: $HEAN_SERVER, else $HEAN__HTTP__LISTEN, else 127.0.0.1:8080]
    #[arg(long, value_name = "URL", help_heading = "The daemon")]
    pub server: Option<ServerUrl>,
    /// A file that holds an access token [default: $HEAN_TOKEN itself, else api_token in
    /// $CREDENTIALS_DIRECTORY]
    #[arg(long, value_name = "FILE", help_heading = "The daemon")]
    pub token_file: Option<PathBuf>,
    /// Trust the certificate authorities in this PEM file instead of the web's
    #[arg(long, value_name = "FILE", help_heading = "The daemon")]
    pub ca_file: Option<PathBuf>,
}

impl ServerArgs {
    /// The daemon that is meant, by these flags and this process's environment.
    pub fn place(&self) -> Result<Place, ClientError> {
        let env = |name: &str| std::env::var(name).ok();
        Place::find(
            self.server.as_ref(),
            self.token_file.as_ref(),
            self.ca_file.as_ref(),
            &env,
        )
    }
}
