//! Venues: each a folder that only translates; sessions, DNS, TLS and sockets are shared.

pub mod access;
pub mod backoff;
pub mod binance;
pub mod budget;
pub mod bybit;
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
mod scale;
pub mod sim;
pub mod tls;
pub mod url;
mod value;
pub mod ws;

use binance::{Binance, Market};
use bybit::{Bybit, Category};
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

/// The second name of the same service is for networks that do not resolve the first one.
const BYBIT_HOSTS: [(&str, &str); 2] = [
    ("https://api.bybit.com", "wss://stream.bybit.com"),
    ("https://api.bytick.com", "wss://stream.bytick.com"),
];

/// Every venue, in the order of [`VenueId::ALL`].
pub static VENUES: [VenueRow; 5] = [
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
        id: VenueId::BybitSpot,
        protocol: &Bybit {
            venue: VenueId::BybitSpot,
            category: Category::Spot,
        },
        hosts: &BYBIT_HOSTS,
        limits: budget::Limits::BYBIT,
    },
    VenueRow {
        id: VenueId::BybitLinear,
        protocol: &Bybit {
            venue: VenueId::BybitLinear,
            category: Category::Linear,
        },
        hosts: &BYBIT_HOSTS,
        limits: budget::Limits::BYBIT,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete_and_in_order() {
        let rows: Vec<VenueId> = VENUES.iter().map(|row| row.id).collect();
        assert_eq!(rows, VenueId::ALL);
        for venue in VenueId::ALL {
            assert_eq!(VenueRow::of(venue).id, venue);
        }
    }
}
