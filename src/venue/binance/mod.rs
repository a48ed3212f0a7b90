//! Binance, spot and USDⓈ-M futures: pure translation between its protocol and the kernel's vocabulary.
//! The simulated venue speaks the same protocol and is read by the same code.

pub mod answers;
pub mod decode;
mod encode;
mod fast;
mod fields;
mod symbols;

use crate::kernel::event::{Candle, DepthSnapshot, Derivative};
use crate::kernel::types::{Instrument, Interval, Scale, Time, VenueId};
use crate::venue::decode_error::DecodeError;
use crate::venue::protocol::{
    Call, Complaint, Decode, Listings, Outgoing, Protocol, Reading, Route, Topic, TradeStream,
    Wanted,
};

/// Levels of a probe: the cheapest call.
const PROBE_LEVELS: u16 = 5;
/// "Invalid symbol."
const CODE_INVALID_SYMBOL: i64 = -1121;
/// "Illegal characters found in parameter."
const CODE_ILLEGAL_CHARACTERS: i64 = -1100;

/// Which of its markets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Market {
    /// Spot.
    Spot,
    /// Futures margined in a stable coin.
    Usdm,
}

/// One of Binance's markets, as the venue of that name.
#[derive(Debug)]
pub struct Binance {
    /// The venue that instruments are named after.
    pub venue: VenueId,
    /// Which market.
    pub market: Market,
}

impl Protocol for Binance {
    fn routes(&self) -> &'static [Route] {
        match self.market {
            Market::Spot => &encode::SPOT_ROUTES,
            Market::Usdm => &encode::USDM_ROUTES,
        }
    }

    fn topics(&self, instrument: &Instrument, wanted: &Wanted) -> Vec<Topic> {
        encode::topics(self.market, instrument, wanted)
    }

    fn subscriptions(&self, subscribe: bool, topics: &[&str], first_id: i64) -> Vec<Outgoing> {
        encode::subscriptions(subscribe, topics, first_id)
    }

    /// The server pings.
    fn ping(&self, _id: i64) -> Option<String> {
        None
    }

    fn decoder(&self, instruments: &[Reading<'_>]) -> Box<dyn Decode> {
        Box::new(decode::Decoder::new(self.market, instruments))
    }

    fn trade_stream(&self) -> TradeStream {
        match self.market {
            Market::Spot => TradeStream::Every,
            // `trade` is undocumented there.
            Market::Usdm => TradeStream::Aggregate,
        }
    }

    fn instruments(&self, symbols: &[String], _page: Option<&str>) -> Call {
        encode::exchange_info(self.market, symbols)
    }

    fn decode_instruments(
        &self,
        body: &mut [u8],
        wanted: &[String],
        scales: &dyn Fn(&str) -> Option<(Scale, Scale)>,
    ) -> Result<Listings, DecodeError> {
        let facts = answers::decode_exchange_info(body)?;
        let mut listings = Listings::default();
        for fact in &facts {
            listings.names.push(fact.symbol.clone().into_owned());
            if wanted.iter().any(|wanted| *wanted == fact.symbol) {
                let instrument = fact.instrument(self.venue, self.market, scales(&fact.symbol));
                listings
                    .found
                    .push((fact.symbol.clone().into_owned(), instrument));
            }
        }
        Ok(listings)
    }

    fn is_unknown_symbol(&self, code: i64) -> bool {
        matches!(code, CODE_INVALID_SYMBOL | CODE_ILLEGAL_CHARACTERS)
    }

    fn depth(&self, instrument: &Instrument, levels: u16) -> Option<Call> {
        Some(encode::depth(self.market, &instrument.name.symbol, levels))
    }

    fn decode_depth(
        &self,
        body: &[u8],
        instrument: &Instrument,
    ) -> Result<DepthSnapshot, DecodeError> {
        decode::decode_snapshot(body, instrument)
    }

    fn probe(&self, instrument: &Instrument) -> Call {
        encode::depth(self.market, &instrument.name.symbol, PROBE_LEVELS)
    }

    fn decode_probe(&self, body: &[u8], instrument: &Instrument) -> Result<u64, DecodeError> {
        decode::decode_snapshot(body, instrument).map(|snapshot| snapshot.seq)
    }

    fn has_candles(&self, interval: Interval) -> bool {
        encode::has_candles(self.market, interval)
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
        encode::klines(self.market, symbol, interval, before, limit)
    }

    fn decode_candles(
        &self,
        body: &[u8],
        instrument: &Instrument,
    ) -> Result<Vec<Candle>, DecodeError> {
        answers::decode_klines(body, instrument)
    }

    fn server_time(&self) -> Call {
        encode::server_time(self.market)
    }

    fn decode_server_time(&self, body: &[u8]) -> Result<Time, DecodeError> {
        answers::decode_server_time(body)
    }

    fn open_interest(&self, instrument: &Instrument) -> Option<Call> {
        encode::open_interest(self.market, &instrument.name.symbol)
    }

    fn decode_open_interest(
        &self,
        body: &[u8],
        instrument: &Instrument,
    ) -> Result<Derivative, DecodeError> {
        answers::decode_open_interest(body, instrument)
    }

    fn complaint(&self, status: u16, body: &[u8]) -> Option<Complaint> {
        answers::complaint(status, body)
    }
}
