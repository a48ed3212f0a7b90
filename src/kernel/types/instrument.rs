//! Venues, instruments and their names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Money, MoneyError, Price, Qty, Rate, Scale, Time};

/// A market that the daemon can read and trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum VenueId {
    /// Binance spot.
    Binance,
    /// The simulated venue, spoken to in Binance's spot protocol.
    Sim,
    /// Binance USDⓈ-M futures.
    BinanceUsdm,
    /// Bybit spot.
    BybitSpot,
    /// Bybit linear perpetuals and futures.
    BybitLinear,
}

impl VenueId {
    /// Every venue, in the order of documentation.
    pub const ALL: [Self; 5] = [
        Self::Binance,
        Self::BinanceUsdm,
        Self::BybitSpot,
        Self::BybitLinear,
        Self::Sim,
    ];

    /// The name users write.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Binance => "binance",
            Self::BinanceUsdm => "binance-usdm",
            Self::BybitSpot => "bybit-spot",
            Self::BybitLinear => "bybit-linear",
            Self::Sim => "sim",
        }
    }

    /// Whether trade ids of an instrument go up by one, so that a missing trade shows. (Bybit's are
    /// UUIDs on futures, and numbers without such a promise on spot.)
    pub const fn numbers_trades(self) -> bool {
        match self {
            Self::Binance | Self::BinanceUsdm | Self::Sim => true,
            Self::BybitSpot | Self::BybitLinear => false,
        }
    }

    /// Whether a best-price message and a depth message with the same id speak of the same book.
    /// (Bybit's levels are streams of their own, and nobody promises that their tops agree.)
    pub const fn quotes_verify_books(self) -> bool {
        self.numbers_trades()
    }
}

impl fmt::Display for VenueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for VenueId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|v| v.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| NameError::Venue(text.to_owned()))
    }
}

/// Buy or sell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Bids.
    Buy,
    /// Asks.
    Sell,
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// `buy` or `sell`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }
}

/// Index of an instrument in the tables of this process; bounded by the configured instruments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstrumentId(pub u16);

impl InstrumentId {
    /// As an index.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What users call an instrument: `venue:SYMBOL`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstrumentName {
    /// The venue.
    pub venue: VenueId,
    /// The venue's symbol, upper case without separators (`BTCUSDT`).
    pub symbol: String,
}

/// A name that names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Unknown venue.
    #[error(
        "unknown venue {0:?}: there are binance, binance-usdm, bybit-spot, bybit-linear and sim"
    )]
    Venue(String),
    /// Not a symbol.
    #[error("{0:?} is no symbol: write for example BTCUSDT, btc-usdt or BTC/USDT")]
    Symbol(String),
}

/// `BTCUSDT`, `btc-usdt`, `BTC/USDT` and `btc_usdt` name the same symbol; the result is upper case.
pub fn normalise_symbol(text: &str) -> Result<String, NameError> {
    let symbol: String = text
        .chars()
        .filter(|c| !matches!(c, '-' | '/' | '_'))
        .flat_map(char::to_uppercase)
        .collect();
    let legal = |c: char| c.is_alphanumeric();
    if symbol.is_empty() || symbol.len() > 64 || !symbol.chars().all(legal) {
        return Err(NameError::Symbol(text.to_owned()));
    }
    Ok(symbol)
}

impl InstrumentName {
    /// Reads `venue:SYMBOL` or a bare symbol of `default_venue`.
    pub fn parse(text: &str, default_venue: VenueId) -> Result<Self, NameError> {
        let (venue, symbol) = match text.split_once(':') {
            Some((venue, symbol)) => (venue.parse()?, symbol),
            None => (default_venue, text),
        };
        Ok(Self {
            venue,
            symbol: normalise_symbol(symbol)?,
        })
    }
}

impl fmt::Display for InstrumentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.venue, self.symbol)
    }
}

/// Whether the venue takes orders for an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstrumentStatus {
    /// Open.
    Trading,
    /// Nothing is accepted.
    Halted,
    /// Only cancels are accepted.
    CancelOnly,
    /// Gone for good, or on the way there: settled, delivered, delisted.
    Delisted,
}

impl InstrumentStatus {
    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trading => "trading",
            Self::Halted => "halted",
            Self::CancelOnly => "cancel_only",
            Self::Delisted => "delisted",
        }
    }
}

/// What is bought and sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contract {
    /// The asset itself.
    Spot,
    /// A perpetual, margined and settled in the quote asset.
    LinearPerpetual,
    /// A future with a delivery date, margined and settled in the quote asset.
    LinearFuture {
        /// When it is delivered.
        delivery: Time,
    },
}

impl Contract {
    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::LinearPerpetual => "linear_perpetual",
            Self::LinearFuture { .. } => "linear_future",
        }
    }
}

/// How far from a reference price orders may lie, as factors of it ([`Rate`] 1.0 is the price itself).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PriceBand {
    /// What the factors are of.
    pub reference: BandReference,
    /// Lowest and highest factor of a buy order.
    pub buy: (Rate, Rate),
    /// Lowest and highest factor of a sell order.
    pub sell: (Rate, Rate),
}

/// What a price band is measured from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BandReference {
    /// Mean price of so many minutes (zero: the last price).
    MeanPrice {
        /// Minutes.
        minutes: u16,
    },
    /// Mark price.
    Mark,
    /// Last price on spot, mark price on derivatives.
    LastOrMark,
}

/// What a venue says about an instrument, and the scales of its numbers.
///
/// The scales are fixed while the process runs; tick and lot may change below them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Instrument {
    /// `venue:SYMBOL`.
    pub name: InstrumentName,
    /// Asset bought and sold, or that the contract is about.
    pub base: String,
    /// Asset that prices are in.
    pub quote: String,
    /// What is bought and sold.
    pub contract: Contract,
    /// Units of the base asset in a quantity of one ([`Rate`] 1.0 at both venues).
    pub contract_size: Rate,
    /// Minutes between funding payments; zero where there are none, or the venue does not say.
    pub funding_minutes: u16,
    /// Decimal digits of [`Price`].
    pub price_scale: Scale,
    /// Decimal digits of [`Qty`].
    pub qty_scale: Scale,
    /// Smallest price step, > 0.
    pub tick: Price,
    /// Smallest quantity step, > 0.
    pub lot: Qty,
    /// Smallest order quantity; zero is no minimum.
    pub qty_min: Qty,
    /// Largest order quantity; zero is no maximum.
    pub qty_max: Qty,
    /// Largest quantity of a market order; zero is no maximum of its own.
    pub market_qty_max: Qty,
    /// Lowest order price; zero is no minimum.
    pub price_min: Price,
    /// Highest order price; zero is no maximum.
    pub price_max: Price,
    /// How far from the market an order may lie, if the venue says.
    pub band: Option<PriceBand>,
    /// Open orders that an account may have here; zero is no maximum.
    pub orders_max: u32,
    /// Smallest order value in the quote asset; zero is no minimum.
    pub notional_min: Money,
    /// Whether orders are taken.
    pub status: InstrumentStatus,
    /// Fee of an order that rests.
    pub maker_fee: Rate,
    /// Fee of an order that takes.
    pub taker_fee: Rate,
}

impl Instrument {
    /// A spot instrument without any limit, at ordinary fees (0.1 %) and on the finest grid of its scales.
    pub fn unlimited(
        name: InstrumentName,
        base: &str,
        quote: &str,
        scales: (Scale, Scale),
    ) -> Self {
        Self {
            name,
            base: base.to_owned(),
            quote: quote.to_owned(),
            contract: Contract::Spot,
            contract_size: Rate::ONE,
            funding_minutes: 0,
            price_scale: scales.0,
            qty_scale: scales.1,
            tick: Price(1),
            lot: Qty(1),
            qty_min: Qty::ZERO,
            qty_max: Qty::ZERO,
            market_qty_max: Qty::ZERO,
            price_min: Price(0),
            price_max: Price(0),
            band: None,
            orders_max: 0,
            notional_min: Money::ZERO,
            status: InstrumentStatus::Trading,
            maker_fee: Rate(100_000),
            taker_fee: Rate(100_000),
        }
    }

    /// `price * qty` in the quote asset, exact.
    pub fn notional(&self, price: Price, qty: Qty) -> Result<Money, MoneyError> {
        Money::notional(price, self.price_scale, qty, self.qty_scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instrument_many_spellings() {
        for text in [
            "BTCUSDT",
            "btc-usdt",
            "BTC/USDT",
            "btc_usdt",
            "binance:btcusdt",
        ] {
            let name = InstrumentName::parse(text, VenueId::Binance).expect("name");
            assert_eq!(name.to_string(), "binance:BTCUSDT", "{text}");
        }
        assert_eq!(
            InstrumentName::parse("sim:X", VenueId::Binance).map(|n| n.venue),
            Ok(VenueId::Sim)
        );
        for text in ["", "nasdaq:AAPL", "BTC USDT", "binance:", "a:b:c", "BTC%2F"] {
            assert!(
                InstrumentName::parse(text, VenueId::Binance).is_err(),
                "{text}"
            );
        }
    }
}
