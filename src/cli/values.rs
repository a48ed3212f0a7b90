//! Values of flags that have a syntax of their own.

use std::fmt;
use std::str::FromStr;

use crate::kernel::types::{VenueId, normalise_symbol};
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

/// Speed of playback.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// A multiple of the recorded speed, from 0.01 to 10,000.
    Times(f64),
    /// As fast as it goes.
    Max,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let wrong = || "expected a number from 0.01 to 10000, or max".to_owned();
        let digits = text.trim_end_matches('x');
        let value: f64 = digits.parse().map_err(|_| wrong())?;
        if (0.01..=10_000.0).contains(&value) {
            Ok(Self::Times(value))
        } else {
            Err(wrong())
        }
    }
}

/// What the simulated venue does wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A frame comes late.
    Delay,
    /// A frame is left out.
    Drop,
    /// A frame comes twice.
    Duplicate,
    /// The connection is cut.
    Cut,
}

/// `KIND` or `KIND:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// To one frame in so many, on average; at least 1.
    pub one_in: u32,
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, one_in) = text.split_once(':').unwrap_or((text, "1000"));
        let kind = match kind {
            "delay" => FaultKind::Delay,
            "drop" => FaultKind::Drop,
            "duplicate" => FaultKind::Duplicate,
            "cut" => FaultKind::Cut,
            _ => {
                return Err(format!(
                    "unknown fault {kind:?}: expected delay, drop, duplicate or cut"
                ));
            }
        };
        match one_in.parse() {
            Ok(one_in) if one_in > 0 => Ok(Self { kind, one_in }),
            _ => Err("expected a number of frames above zero behind the colon".to_owned()),
        }
    }
}

/// An indicator as users spell it: `name:param:param`. Names and ranges are the kernel's to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndicatorArg {
    /// The name, lower case.
    pub name: String,
    /// The parameters, decimal text; empty means the usual ones.
    pub params: Vec<String>,
}

impl FromStr for IndicatorArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let name = indicator_name(parts.next().unwrap_or_default())?;
        let params = parts.map(indicator_param).collect::<Result<_, _>>()?;
        Ok(Self { name, params })
    }
}

impl fmt::Display for IndicatorArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for param in &self.params {
            write!(f, ":{param}")?;
        }
        Ok(())
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
    let number = crate::kernel::types::parse_fixed(text.as_bytes(), 8);
    match number {
        Ok(_) if text.len() <= 20 => Ok(text.to_owned()),
        _ => Err(format!("{text:?} is no number")),
    }
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
