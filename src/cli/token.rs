//! `hean token …`: flags of the commands that make and end tokens of the API.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::JournalArgs;
use crate::config::parse_duration;
use crate::http::Scope;
use crate::http::tokens::{parse_name, parse_scope};

/// `hean token …`
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, once; a running daemon takes it at once
    Create(CreateArgs),
    /// Names, scopes and ends of all tokens
    List(JournalArgs),
    /// End a token, for a running daemon within a second
    Revoke(RevokeArgs),
}

/// Flags of `token create`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct CreateArgs {
    /// What the audit log calls its holder
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub name: String,
    /// read: to look; trade: also to order, cancel and halt; admin: also to resume
    #[arg(long, value_name = "read|trade|admin", value_parser = parse_scope)]
    pub scope: Scope,
    /// How long it lasts, such as 12h or 90d [default: until it is revoked]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub expires: Option<Duration>,
    /// Whose.
    #[command(flatten)]
    pub place: JournalArgs,
}

/// Flags of `token revoke`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct RevokeArgs {
    /// Which
    #[arg(value_name = "NAME", value_parser = parse_name)]
    pub name: String,
    /// Whose.
    #[command(flatten)]
    pub place: JournalArgs,
}

impl TokenCommand {
    /// Whose tokens.
    pub fn place(&self) -> &JournalArgs {
        match self {
            Self::Create(args) => &args.place,
            Self::List(place) => place,
            Self::Revoke(args) => &args.place,
        }
    }
}
