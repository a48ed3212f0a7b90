//! What the synthetic market knows of a symbol before it begins.

use crate::kernel::types::{
    Contract, Instrument, InstrumentName, Money, NameError, Price, Qty, Scale, VenueId,
    normalise_symbol,
};
use crate::recording::split_symbol;
use crate::venue::sim::market::MarketKind;

/// Start price in ticks, price digits, quantity digits of well-known base assets against a dollar.
const KNOWN: [(&str, i64, u8, u8); 10] = [
    ("BTC", 6_000_000, 2, 5),
    ("ETH", 300_000, 2, 4),
    ("BNB", 60_000, 2, 3),
    ("SOL", 15_000, 2, 3),
    ("XRP", 6_000, 4, 1),
    ("ADA", 4_000, 4, 1),
    ("DOGE", 12_000, 5, 0),
    ("LTC", 8_000, 2, 3),
    ("LINK", 1_500, 2, 2),
    ("AVAX", 3_000, 2, 2),
];
/// The same for everything else.
const GENERIC: (i64, u8, u8) = (10_000, 2, 3);
/// Minutes between funding payments.
const FUNDING_MINUTES: u16 = 480;
/// Smallest order value.
const NOTIONAL_MIN: Money = Money(5 * 10_i128.pow(Money::SCALE as u32));

/// A symbol of a synthetic market: the instrument and its first price. Perpetuals have coarser lots,
/// and every market has a price of its own, a little off.
pub(super) fn spec(kind: MarketKind, symbol: &str) -> Result<(Instrument, Price), NameError> {
    let symbol = normalise_symbol(symbol)?;
    let (base, quote) = split_symbol(&symbol);
    let (start, price_digits, qty_digits) = KNOWN
        .iter()
        .find(|known| known.0 == base && quote.contains("USD"))
        .map_or(GENERIC, |known| (known.1, known.2, known.3));
    let (qty_digits, off) = match kind {
        MarketKind::Spot => (qty_digits, 0),
        MarketKind::Usdm => (qty_digits.saturating_sub(2), start / 2_500),
        MarketKind::BybitSpot => (qty_digits, -start / 8_000),
        MarketKind::BybitLinear => (qty_digits.saturating_sub(2), start / 3_000),
    };
    let scale = |digits: u8| Scale::new(digits).ok_or_else(|| NameError::Symbol(symbol.clone()));
    let derivative = kind.is_derivative();
    let instrument = Instrument {
        contract: if derivative {
            Contract::LinearPerpetual
        } else {
            Contract::Spot
        },
        funding_minutes: if derivative { FUNDING_MINUTES } else { 0 },
        qty_min: Qty(1),
        notional_min: NOTIONAL_MIN,
        ..Instrument::unlimited(
            InstrumentName {
                venue: match kind {
                    MarketKind::Spot => VenueId::Sim,
                    _ => kind.venue(),
                },
                symbol: symbol.clone(),
            },
            &base,
            &quote,
            (scale(price_digits)?, scale(qty_digits)?),
        )
    };
    Ok((instrument, Price(start + off)))
}
