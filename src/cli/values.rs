//! Values of flags that have a syntax of their own.

use std::str::FromStr;

use crate::candle_csv;
use crate::kernel::types::{Time, VenueId, normalise_symbol};
use crate::status::Mode;

/// Which address of a venue a `--base-url` replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// REST and streams.
    Both,
    /// REST.
    Rest,
    /// WebSocket streams.
    Ws,
}

/// `VENUE=URL`, `VENUE.rest=URL` or `VENUE.ws=URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// The venue.
    pub venue: VenueId,
    /// Which of its addresses.
    pub endpoint: Endpoint,
    /// The address; checked with the configuration.
    pub url: String,
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, url) = text
            .split_once('=')
            .filter(|(_, url)| url.contains("://"))
            .ok_or("expected VENUE=URL, such as binance=http://127.0.0.1:8090")?;
        let (name, endpoint) = match name.split_once('.') {
            None => (name, Endpoint::Both),
            Some((name, "rest")) => (name, Endpoint::Rest),
            Some((name, "ws")) => (name, Endpoint::Ws),
            Some((_, other)) => {
                return Err(format!(
                    "unknown address {other:?} of a venue: rest and ws can be set"
                ));
            }
        };
        Ok(Self {
            venue: venue(name)?,
            endpoint,
            url: url.to_owned(),
        })
    }
}

impl BaseUrl {
    /// The configuration keys that it sets. One URL for both addresses has one host and both schemes.
    pub(super) fn keys(&self) -> Vec<(String, String)> {
        let key = |leaf| format!("venues.{}.{leaf}", self.venue);
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        match self.endpoint {
            Endpoint::Rest => vec![(key("rest"), self.url.clone())],
            Endpoint::Ws => vec![(key("ws"), self.url.clone())],
            Endpoint::Both => {
                let (http, ws) = match scheme {
                    "http" | "ws" => ("http", "ws"),
                    "https" | "wss" => ("https", "wss"),
                    other => (other, other), // refused with the configuration
                };
                vec![
                    (key("rest"), format!("{http}://{rest}")),
                    (key("ws"), format!("{ws}://{rest}")),
                ]
            }
        }
    }
}

pub(super) fn indicator_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.is_empty() || text.len() > 32 || !text.chars().all(legal) {
        return Err("expected the name of an indicator, such as rsi".to_owned());
    }
    Ok(text.to_ascii_lowercase())
}

pub(super) fn indicator_param(text: &str) -> Result<String, String> {
    let (name, number) = text.split_once('=').unwrap_or(("period", text));
    let number = number.parse::<f64>().is_ok_and(f64::is_finite);
    if number && text.len() <= 48 && indicator_name(name).is_ok() {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no number, and no name=number"))
    }
}

/// A day, a time of a day, or milliseconds.
pub(super) fn time(text: &str) -> Result<Time, String> {
    candle_csv::time(text).ok_or_else(|| {
        "expected a day or a time in UTC, such as 2024-08-09 or 2024-08-09T12:30, or milliseconds".to_owned()
    })
}

pub(super) fn venue(text: &str) -> Result<VenueId, String> {
    text.parse()
        .map_err(|error: crate::kernel::types::NameError| error.to_string())
}

pub(super) fn symbol(text: &str) -> Result<String, String> {
    normalise_symbol(text).map_err(|error| error.to_string())
}

pub(super) fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "observe" => Ok(Mode::Observe),
        "paper" => Ok(Mode::Paper),
        "live" => Err("live trading is not part of this version; use paper".to_owned()),
        _ => Err("expected observe or paper".to_owned()),
    }
}
