//! Venues: each a folder that only translates; sessions, DNS, TLS and sockets are shared.

pub mod access;
pub mod backoff;
pub mod binance;
pub mod budget;
mod digits;
pub mod dns;
pub mod endpoints;
pub mod feed;
pub mod json;
pub mod net;
pub mod rest;
pub mod sim;
pub mod tls;
pub mod url;
pub mod ws;

use crate::kernel::types::VenueId;

/// What is fixed about a venue.
#[derive(Debug)]
pub struct VenueRow {
    /// Which venue.
    pub id: VenueId,
    /// REST and WebSocket base URLs, the main pair first, then those that serve public data only.
    /// Empty where there is no public address.
    pub hosts: &'static [(&'static str, &'static str)],
    /// What one address may do there.
    pub limits: budget::Limits,
}

/// Every venue, in the order of [`VenueId::ALL`].
pub static VENUES: [VenueRow; 2] = [
    VenueRow {
        id: VenueId::Binance,
        hosts: &[
            ("https://api.binance.com", "wss://stream.binance.com:9443"),
            (
                "https://data-api.binance.vision",
                "wss://data-stream.binance.vision",
            ),
        ],
        limits: budget::Limits::BINANCE,
    },
    VenueRow {
        id: VenueId::Sim,
        hosts: &[],
        limits: budget::Limits::BINANCE,
    },
];

impl VenueRow {
    /// The row of a venue.
    pub fn of(venue: VenueId) -> &'static Self {
        match venue {
            VenueId::Binance => &VENUES[0],
            VenueId::Sim => &VENUES[1],
        }
    }
}
