//! Logs go to stderr through `tracing`: for people on a terminal, plain otherwise, JSON by setting. Under
//! systemd they go to its journal instead, with their fields.
//!
//! The level can be changed while running, through the [`LogHandle`].

mod journald;

use std::io::{IsTerminal, stderr};

use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{LogFormat, LogSettings};

/// Why logging cannot start or change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Not a level.
    #[error(
        "{0:?} is no log level: write error, warn, info, debug, trace or off, or target=level pairs separated by commas"
    )]
    Level(String),
    /// Somebody else has installed a subscriber.
    #[error("logging was set up twice in one process")]
    Twice,
    /// The subscriber is gone.
    #[error("the log level cannot be changed: logging has ended")]
    Ended,
}

/// Changes the log level of the running process.
#[derive(Debug, Clone)]
pub struct LogHandle(reload::Handle<Targets, Registry>);

impl LogHandle {
    /// Puts another level in force.
    pub fn set_level(&self, level: &str) -> Result<(), LogError> {
        let targets = parse_level(level)?;
        self.0.reload(targets).map_err(|_| LogError::Ended)
    }
}

/// Reads `info` or `warn,hean::venue=debug`.
pub fn parse_level(text: &str) -> Result<Targets, LogError> {
    let error = || LogError::Level(text.to_owned());
    let mut parts = text.split(',').map(str::trim).peekable();
    if parts.peek().is_none_or(|first| first.is_empty()) {
        return Err(error());
    }
    for part in parts {
        // `Targets` would take any word as the name of a target and enable all of it.
        let (target, level) = part
            .split_once('=')
            .map_or((None, part), |(target, level)| (Some(target), level));
        let known = ["error", "warn", "info", "debug", "trace", "off"]
            .iter()
            .any(|name| level.eq_ignore_ascii_case(name));
        if !known || target.is_some_and(str::is_empty) {
            return Err(error());
        }
    }
    text.parse().map_err(|_| error())
}

/// Installs the subscriber of the process. Once.
pub fn init(settings: &LogSettings) -> Result<LogHandle, LogError> {
    let (filter, handle) = reload::Layer::new(parse_level(&settings.level)?);
    let terminal = stderr().is_terminal();
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::registry()
        .with(filter)
        .with(form(settings.format, terminal && !no_color))
        .try_init()
        .map_err(|_| LogError::Twice)?;
    Ok(LogHandle(handle))
}

fn form<S>(format: LogFormat, color: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    if format == LogFormat::Auto
        && let Some(journal) = journald::Journal::behind_stderr()
    {
        return journal.boxed();
    }
    // Internal errors would be printed outside of the log's own form.
    let layer = fmt::layer()
        .with_writer(stderr)
        .with_ansi(color)
        .log_internal_errors(false);
    match format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Pretty | LogFormat::Auto => layer.boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_nothing_else() {
        for text in [
            "info",
            "WARN",
            "off",
            "warn,hean=debug",
            "hean::venue=trace",
        ] {
            assert!(parse_level(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "verbose",
            "info,",
            "hean=",
            "=info",
            "hean",
            "info,hean",
        ] {
            assert!(parse_level(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_level_changes_while_running() {
        let (filter, handle) = reload::Layer::new(parse_level("warn").expect("level"));
        let subscriber = tracing_subscriber::registry().with(filter);
        tracing::subscriber::with_default(subscriber, || {
            assert!(!tracing::enabled!(tracing::Level::INFO));
            let handle = LogHandle(handle);
            assert_eq!(handle.set_level("debug"), Ok(()));
            assert!(tracing::enabled!(tracing::Level::DEBUG));
            assert!(handle.set_level("loud").is_err());
        });
    }
}
