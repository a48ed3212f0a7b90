//! Venues: each a folder that only translates; sessions, DNS, TLS and sockets are shared.

pub mod access;
pub mod backoff;
pub mod binance;
pub mod budget;
pub mod decode_error;
mod digits;
pub mod dns;
pub mod endpoints;
pub mod feed;
pub mod json;
pub mod load;
pub mod net;
pub mod protocol;
pub mod rest;
pub mod sim;
pub mod tls;
pub mod url;
mod value;
pub mod ws;

use binance::{Binance, Market};
use protocol::Protocol;

use crate::kernel::types::VenueId;

/// What is fixed about a venue.
#[derive(Debug)]
pub struct VenueRow {
    /// Which venue.
    pub id: VenueId,
    /// How it speaks.
    pub protocol: &'static dyn Protocol,
    /// REST and WebSocket base URLs, the main pair first, then those that serve public data only.
    /// Empty where there is no public address.
    pub hosts: &'static [(&'static str, &'static str)],
    /// What one address may do there. Venues that count together share the value's name.
    pub limits: budget::Limits,
}

/// Every venue, in the order of [`VenueId::ALL`].
pub static VENUES: [VenueRow; 3] = [
    VenueRow {
        id: VenueId::Binance,
        protocol: &Binance {
            venue: VenueId::Binance,
            market: Market::Spot,
        },
        hosts: &[
            ("https://api.binance.com", "wss://stream.binance.com:9443"),
            (
                "https://data-api.binance.vision",
                "wss://data-stream.binance.vision",
            ),
        ],
        limits: budget::Limits::BINANCE_SPOT,
    },
    VenueRow {
        id: VenueId::BinanceUsdm,
        protocol: &Binance {
            venue: VenueId::BinanceUsdm,
            market: Market::Usdm,
        },
        hosts: &[("https://fapi.binance.com", "wss://fstream.binance.com")],
        limits: budget::Limits::BINANCE_USDM,
    },
    VenueRow {
        id: VenueId::Sim,
        protocol: &Binance {
            venue: VenueId::Sim,
            market: Market::Spot,
        },
        hosts: &[],
        limits: budget::Limits::SIM,
    },
];

impl VenueRow {
    /// The row of a venue.
    pub fn of(venue: VenueId) -> &'static Self {
        // The test below holds the table complete.
        VENUES
            .iter()
            .find(|row| row.id == venue)
            .unwrap_or(&VENUES[0])
    }
}
