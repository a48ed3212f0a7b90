//! Bybit v5, spot and linear: pure translation between its protocol and the kernel's vocabulary.

pub mod answers;
pub mod decode;
mod encode;
mod fields;

use crate::kernel::event::{Candle, DepthSnapshot, Derivative};
use crate::kernel::types::{Instrument, Interval, Scale, Time, VenueId};
use crate::venue::decode_error::DecodeError;
use crate::venue::protocol::{
    Call, Complaint, Decode, Listings, Outgoing, Protocol, Reading, Route, Topic, TradeStream,
    Wanted,
};

/// "Params error", by which calls for an unknown symbol are refused.
const CODE_PARAMETER: i64 = 10_001;
/// "Invalid symbol."
const CODE_INVALID_SYMBOL: i64 = 170_121;

/// Which of its markets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// Spot.
    Spot,
    /// Perpetuals and futures that are margined and settled in their quote asset.
    Linear,
}

impl Category {
    /// The name in paths and queries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::Linear => "linear",
        }
    }
}

/// One of Bybit's markets, as the venue of that name.
#[derive(Debug)]
pub struct Bybit {
    /// The venue that instruments are named after.
    pub venue: VenueId,
    /// Which market.
    pub category: Category,
}

impl Protocol for Bybit {
    fn routes(&self) -> &'static [Route] {
        match self.category {
            Category::Spot => &encode::SPOT_ROUTES,
            Category::Linear => &encode::LINEAR_ROUTES,
        }
    }

    fn topics(&self, instrument: &Instrument, wanted: &Wanted) -> Vec<Topic> {
        encode::topics(self.category, instrument, wanted)
    }

    fn subscriptions(&self, subscribe: bool, topics: &[&str], first_id: i64) -> Vec<Outgoing> {
        encode::subscriptions(self.category, subscribe, topics, first_id)
    }

    fn ping(&self, id: i64) -> Option<String> {
        Some(encode::ping(id))
    }

    fn decoder(&self, instruments: &[Reading<'_>]) -> Box<dyn Decode> {
        Box::new(decode::Decoder::new(self.category, instruments))
    }

    /// There is one alone, `publicTrade`, and it brings every execution.
    fn trade_stream(&self) -> TradeStream {
        TradeStream::Every
    }

    fn instruments(&self, symbols: &[String], page: Option<&str>) -> Call {
        encode::instruments(self.category, symbols, page)
    }

    fn decode_instruments(
        &self,
        body: &mut [u8],
        wanted: &[String],
        scales: &dyn Fn(&str) -> Option<(Scale, Scale)>,
    ) -> Result<Listings, DecodeError> {
        let (facts, next) = answers::decode_instruments(body)?;
        let mut listings = Listings {
            next,
            ..Listings::default()
        };
        for fact in &facts {
            listings.names.push(fact.symbol.clone().into_owned());
            if wanted.iter().any(|wanted| *wanted == fact.symbol) {
                let instrument = fact.instrument(self.venue, self.category, scales(&fact.symbol));
                listings
                    .found
                    .push((fact.symbol.clone().into_owned(), instrument));
            }
        }
        Ok(listings)
    }

    fn is_unknown_symbol(&self, code: i64) -> bool {
        matches!(code, CODE_PARAMETER | CODE_INVALID_SYMBOL)
    }

    /// The REST book belongs to the stream of 1,000 levels and can seed no other.
    fn depth(&self, _instrument: &Instrument, _levels: u16) -> Option<Call> {
        None
    }

    fn decode_depth(
        &self,
        _body: &[u8],
        _instrument: &Instrument,
    ) -> Result<DepthSnapshot, DecodeError> {
        Err(DecodeError::Unrecognised)
    }

    fn probe(&self, instrument: &Instrument) -> Call {
        encode::probe(self.category, &instrument.name.symbol)
    }

    fn decode_probe(&self, body: &[u8], instrument: &Instrument) -> Result<u64, DecodeError> {
        answers::decode_probe(body, instrument)
    }

    fn has_candles(&self, interval: Interval) -> bool {
        encode::interval_name(interval).is_some()
    }

    fn candles_max(&self) -> u16 {
        1_000
    }

    fn candles(
        &self,
        instrument: &Instrument,
        interval: Interval,
        before: Option<Time>,
        limit: u16,
    ) -> Call {
        let symbol = &instrument.name.symbol;
        encode::candles(self.category, symbol, interval, before, limit)
    }

    fn decode_candles(
        &self,
        body: &[u8],
        instrument: &Instrument,
    ) -> Result<Vec<Candle>, DecodeError> {
        answers::decode_candles(body, instrument)
    }

    fn server_time(&self) -> Call {
        encode::server_time()
    }

    fn decode_server_time(&self, body: &[u8]) -> Result<Time, DecodeError> {
        answers::decode_server_time(body)
    }

    /// `tickers` brings it.
    fn open_interest(&self, _instrument: &Instrument) -> Option<Call> {
        None
    }

    fn decode_open_interest(
        &self,
        _body: &[u8],
        _instrument: &Instrument,
    ) -> Result<Derivative, DecodeError> {
        Err(DecodeError::Unrecognised)
    }

    fn complaint(&self, status: u16, body: &[u8]) -> Option<Complaint> {
        answers::complaint(status, body)
    }
}
