//! The rows of the table of keys about traces.

use super::keys::{Key, field, key, optional_url};
use super::raw::{Raw, rate};
use super::trading_keys::rate_text;

/// `[trace]`, in the order of `config/hean.toml`.
pub(super) const TRACE_KEYS: &[Key] = &[
    key(
        "trace.endpoint",
        |s, raw| {
            s.trace.endpoint = optional_url(raw, ["http", "https"])?;
            Ok(())
        },
        |s| Raw::Text(s.trace.endpoint.clone().unwrap_or_default()),
    ),
    field!(
        "trace.sample",
        trace.sample,
        |raw| rate(raw, "0", "1")?,
        |s| rate_text(s.trace.sample)
    ),
];
