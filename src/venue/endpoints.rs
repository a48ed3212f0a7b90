//! Which URLs a venue is reached at: the table of defaults, the user's overrides, and the change to
//! data-only hosts where the main ones refuse a country or a firewall stands in the way.

use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::VenueRow;
use super::url::{BaseUrl, UrlError};
use crate::kernel::types::{NameError, VenueId};

/// One `--base-url`: `VENUE=URL`, `VENUE.rest=URL` or `VENUE.ws=URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlOverride {
    venue: VenueId,
    rest: Option<BaseUrl>,
    ws: Option<BaseUrl>,
}

/// The URLs are not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No `=`, or a part other than `rest` and `ws`.
    #[error("{0:?} is no base URL setting: write VENUE=URL, VENUE.rest=URL or VENUE.ws=URL")]
    Syntax(String),
    /// Unknown venue.
    #[error(transparent)]
    Venue(#[from] NameError),
    /// Not a URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The venue has no address of its own.
    #[error("{venue} has no default {part} URL: give one with --base-url {venue}=http://HOST:PORT")]
    NoDefault {
        /// Which venue.
        venue: VenueId,
        /// `REST` or `WebSocket`.
        part: &'static str,
    },
}

impl FromStr for UrlOverride {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let syntax = || EndpointError::Syntax(text.to_owned());
        let (name, url) = text.split_once('=').ok_or_else(syntax)?;
        let url: BaseUrl = url.parse()?;
        let (venue, part) = name.split_once('.').unwrap_or((name, ""));
        let venue = venue.parse()?;
        let (rest, ws) = match part {
            "" => (Some(url.clone()), Some(url)),
            "rest" => (Some(url), None),
            "ws" => (None, Some(url)),
            _ => return Err(syntax()),
        };
        Ok(Self { venue, rest, ws })
    }
}

/// The REST and WebSocket sides of one venue, as pairs: the first is used until it refuses us.
#[derive(Debug)]
pub struct Endpoints {
    venue: VenueId,
    pairs: Vec<(BaseUrl, BaseUrl)>,
    active: AtomicUsize,
}

impl Endpoints {
    /// The defaults of `venue`, with `overrides` on top (the last one of a kind counts).
    pub fn new(venue: VenueId, overrides: &[UrlOverride]) -> Result<Self, EndpointError> {
        let row: &VenueRow = VenueRow::of(venue);
        let last = |pick: fn(&UrlOverride) -> Option<&BaseUrl>| {
            let mut mine = overrides.iter().rev().filter(|o| o.venue == venue);
            mine.find_map(pick).cloned()
        };
        let (rest, ws) = (last(|o| o.rest.as_ref()), last(|o| o.ws.as_ref()));
        let defaults = row.hosts.iter();
        let pairs = match (rest, ws) {
            (Some(rest), Some(ws)) => vec![(rest, ws)],
            (rest, ws) => {
                let part = if rest.is_none() { "REST" } else { "WebSocket" };
                let mut pairs = Vec::new();
                for (default_rest, default_ws) in defaults {
                    let rest = rest.clone().map_or_else(|| default_rest.parse(), Ok)?;
                    let ws = ws.clone().map_or_else(|| default_ws.parse(), Ok)?;
                    pairs.push((rest, ws));
                }
                if pairs.is_empty() {
                    return Err(EndpointError::NoDefault { venue, part });
                }
                pairs
            }
        };
        Ok(Self {
            venue,
            pairs,
            active: AtomicUsize::new(0),
        })
    }

    /// Which venue.
    pub fn venue(&self) -> VenueId {
        self.venue
    }

    /// The number of the pair in use.
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// REST side of pair `index`.
    pub fn rest(&self, index: usize) -> &BaseUrl {
        &self.pair(index).0
    }

    /// WebSocket side of pair `index`.
    pub fn ws(&self, index: usize) -> &BaseUrl {
        &self.pair(index).1
    }

    /// Leaves pair `from`, of which one host will not serve us at all (451: not in this country, 403:
    /// firewall). Returns whether another pair is in use now.
    pub fn fail_over(&self, from: usize, status: u16) -> bool {
        let next = from.saturating_add(1);
        if next >= self.pairs.len() {
            return false;
        }
        let moved = self
            .active
            .compare_exchange(from, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if moved {
            tracing::warn!(
                venue = %self.venue, status, rest = %self.rest(next), ws = %self.ws(next),
                "the venue's main host refuses this address; using its next hosts"
            );
        }
        true
    }

    fn pair(&self, index: usize) -> &(BaseUrl, BaseUrl) {
        let last = self.pairs.len().saturating_sub(1);
        &self.pairs[index.min(last)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::VENUES;

    fn endpoints(venue: VenueId, overrides: &[&str]) -> Result<Endpoints, EndpointError> {
        let overrides: Result<Vec<_>, _> = overrides.iter().map(|o| o.parse()).collect();
        Endpoints::new(venue, &overrides?)
    }

    #[test]
    fn every_default_is_a_url() {
        for row in &VENUES {
            assert!(std::ptr::eq(VenueRow::of(row.id), row));
            for (rest, ws) in row.hosts {
                assert!(rest.parse::<BaseUrl>().is_ok_and(|u| u.tls), "{rest}");
                assert!(ws.parse::<BaseUrl>().is_ok_and(|u| u.tls), "{ws}");
            }
        }
    }

    #[test]
    fn an_override_replaces_one_side_or_both() {
        let both = endpoints(VenueId::Binance, &["binance=http://127.0.0.1:9001"]).expect("fine");
        assert_eq!(both.rest(0).authority(), "127.0.0.1:9001");
        assert_eq!(both.ws(0).authority(), "127.0.0.1:9001");
        assert!(!both.fail_over(0, 451), "an override has no substitute");
        let ws = endpoints(VenueId::Binance, &["binance.ws=ws://h:1", "sim=http://x"]);
        let ws = ws.expect("fine");
        assert_eq!(ws.rest(0).authority(), "api.binance.com");
        assert_eq!(ws.ws(0).authority(), "h:1");
    }

    #[test]
    fn the_simulated_venue_needs_an_address() {
        let error = endpoints(VenueId::Sim, &[]).expect_err("no default");
        assert!(
            error.to_string().contains("--base-url sim=http://"),
            "{error}"
        );
        assert!(endpoints(VenueId::Sim, &["sim.rest=http://x"]).is_err());
        assert!(endpoints(VenueId::Sim, &["sim=http://x"]).is_ok());
        for bad in ["sim", "sim.x=http://y", "nasdaq=http://y", "sim=y"] {
            assert!(endpoints(VenueId::Sim, &[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusing_host_is_left_once() {
        let endpoints = endpoints(VenueId::Binance, &[]).expect("fine");
        assert!(endpoints.fail_over(0, 451));
        assert!(endpoints.fail_over(0, 403), "others already moved");
        assert_eq!(endpoints.active(), 1);
        assert!(!endpoints.fail_over(1, 403));
        assert_eq!(endpoints.ws(1).host, "data-stream.binance.vision");
    }
}
