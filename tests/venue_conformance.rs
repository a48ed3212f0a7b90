//! What every venue's row must hold, whoever adds one: recorded frames and sample messages are read,
//! cut and damaged ones are errors or read right, books never guess, and what is sent is well-formed.

#![expect(clippy::unwrap_used, reason = "helpers of a test")]

#[path = "support/damage.rs"]
mod damage;
#[path = "support/lines.rs"]
mod lines;
#[path = "support/recordings.rs"]
mod recordings;
mod reference;
#[path = "reference/bybit.rs"]
mod reference_bybit;

#[path = "venue_conformance/frames.rs"]
mod frames;
#[path = "venue_conformance/order.rs"]
mod order;
#[path = "venue_conformance/requests.rs"]
mod requests;
#[path = "venue_conformance/samples.rs"]
mod samples;

use hean::kernel::event::MarketEvent;
use hean::kernel::types::{Instrument, InstrumentId, InstrumentName, Scale, Time, VenueId};
use hean::venue::binance::Market;
use hean::venue::binance::decode::Decoded;
use hean::venue::decode_error::DecodeError;
use hean::venue::protocol::{Decode, Protocol, Reading, Said};
use hean::venue::{VENUES, VenueRow};

const RECEIVED: Time = Time(1_791_284_980_700_000_000);

/// A venue with a few instruments, and what its frames really say.
struct Venue {
    id: VenueId,
    protocol: &'static dyn Protocol,
    set: Vec<(InstrumentId, Instrument)>,
    decoder: Box<dyn Decode>,
}

type Read<E> = Result<(Said, Vec<MarketEvent>), E>;

/// BTCUSDT at scales that are just enough for the recordings, the others at the finest.
const SYMBOLS: [(&str, u8, u8); 8] = [
    ("BTCUSDT", 2, 6),
    ("BNBBTC", 8, 8),
    ("NKNUSDT", 8, 8),
    ("BLZETH", 8, 8),
    ("SUSHIUSDT", 8, 8),
    ("ETHUSDT", 8, 8),
    ("LTCUSDT", 8, 8),
    ("XRPUSDT", 8, 8),
];

fn instrument(venue: VenueId, symbol: &str, digits: (u8, u8)) -> Instrument {
    let name = InstrumentName {
        venue,
        symbol: symbol.to_owned(),
    };
    let scales = (Scale::new(digits.0).unwrap(), Scale::new(digits.1).unwrap());
    Instrument::unlimited(name, "B", "Q", scales)
}

impl Venue {
    fn new(row: &VenueRow) -> Self {
        let set: Vec<(InstrumentId, Instrument)> = (0..)
            .zip(SYMBOLS)
            .map(|(id, (symbol, p, q))| (InstrumentId(id), instrument(row.id, symbol, (p, q))))
            .collect();
        let readings: Vec<Reading<'_>> = set
            .iter()
            .map(|(id, instrument)| Reading {
                id: *id,
                instrument,
                trades: row.protocol.trade_stream(),
            })
            .collect();
        Self {
            id: row.id,
            protocol: row.protocol,
            decoder: row.protocol.decoder(&readings),
            set,
        }
    }

    fn all() -> Vec<Self> {
        VENUES.iter().map(Self::new).collect()
    }

    /// The market of Binance's protocol; `None` for Bybit's.
    fn binance(&self) -> Option<Market> {
        match self.id {
            VenueId::Binance | VenueId::Sim => Some(Market::Spot),
            VenueId::BinanceUsdm => Some(Market::Usdm),
            VenueId::BybitSpot | VenueId::BybitLinear => None,
        }
    }

    fn decode(&self, frame: &[u8]) -> Read<DecodeError> {
        let mut events = Vec::new();
        let said = self.decoder.decode(frame, RECEIVED, &mut events);
        assert!(said == Ok(Said::Market) || events.is_empty(), "{said:?}");
        said.map(|said| (said, events))
    }

    /// The same, read the slow way.
    fn reference(&self, frame: &[u8]) -> Read<reference::Refusal> {
        let Some(market) = self.binance() else {
            let linear = self.id == VenueId::BybitLinear;
            return reference_bybit::read(frame, linear, &self.set, RECEIVED);
        };
        let setting = reference::Setting {
            market,
            trades: self.protocol.trade_stream(),
            set: &self.set,
            received: RECEIVED,
        };
        Ok(match reference::read(frame, setting)? {
            Decoded::Market(event) => (Said::Market, vec![event]),
            Decoded::Answer(answer) => (Said::Answer(answer), Vec::new()),
            Decoded::Shutdown => (Said::Shutdown, Vec::new()),
            Decoded::Ignored(why) => (Said::Ignored(why), Vec::new()),
        })
    }

    /// Decoder and reference say the same of `frame`. Returns whether it was accepted.
    fn agree(&self, frame: &[u8]) -> Result<(), DecodeError> {
        let (got, want) = (self.decode(frame), self.reference(frame));
        let text = || String::from_utf8_lossy(frame);
        match (&got, &want) {
            (Ok(got), Ok(want)) => {
                assert_eq!(
                    format!("{got:?}"),
                    format!("{want:?}"),
                    "{}: {}",
                    self.id,
                    text()
                );
            }
            (Err(_), Err(_)) => {}
            _ => panic!(
                "{}\ndecoder: {got:?}\nreference: {want:?}\n{}",
                self.id,
                text()
            ),
        }
        got.map(drop)
    }
}
