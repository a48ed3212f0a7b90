//! Asks the venue about the configured symbols.

use std::sync::Arc;

use super::answers::decode_exchange_info;
use super::{DecodeError, encode};
use crate::kernel::types::{Instrument, VenueId};
use crate::venue::access::{Access, CallError};

/// "Invalid symbol."
const CODE_INVALID_SYMBOL: i64 = -1121;
/// "Illegal characters found in parameter."
const CODE_ILLEGAL_CHARACTERS: i64 = -1100;
/// Names offered instead of an unknown one.
const SUGGESTIONS: usize = 3;

/// Instruments could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The venue did not tell.
    #[error("cannot read the instruments of {venue}: {error}")]
    Call {
        /// Which venue.
        venue: VenueId,
        /// Why.
        error: CallError,
    },
    /// What it told is not readable.
    #[error("the instruments of {venue} are not as its protocol says: {error}")]
    Decode {
        /// Which venue.
        venue: VenueId,
        /// Why.
        error: DecodeError,
    },
    /// A symbol that the venue does not have.
    #[error("{venue} has no symbol {symbol}{}", nearest_text(.nearest))]
    Unknown {
        /// Which venue.
        venue: VenueId,
        /// The symbol.
        symbol: String,
        /// Those that are spelt most like it.
        nearest: Vec<String>,
    },
    /// A symbol whose numbers this program cannot represent.
    #[error("{venue}:{symbol} cannot be used: {error}")]
    Unusable {
        /// Which venue.
        venue: VenueId,
        /// The symbol.
        symbol: String,
        /// Why.
        error: DecodeError,
    },
}

fn nearest_text(nearest: &[String]) -> String {
    if nearest.is_empty() {
        "; check its spelling".to_owned()
    } else {
        format!("; did you mean {}?", nearest.join(", "))
    }
}

/// The instruments of `symbols` (upper case, as the venue writes them), in that order.
pub async fn load_instruments(
    access: &Arc<Access>,
    symbols: &[String],
) -> Result<Vec<Instrument>, LoadError> {
    let venue = access.venue();
    if symbols.is_empty() {
        return Ok(Vec::new());
    }
    let body = match access.call(&encode::exchange_info(symbols)).await {
        // Without a list the venue names all that it has, the wanted ones and the nearest.
        Err(CallError::Refused {
            code: CODE_INVALID_SYMBOL | CODE_ILLEGAL_CHARACTERS,
            ..
        }) => access.call(&encode::exchange_info(&[])).await,
        other => other,
    }
    .map_err(|error| LoadError::Call { venue, error })?;
    let mut body = body.to_vec();
    let facts =
        decode_exchange_info(&mut body).map_err(|error| LoadError::Decode { venue, error })?;
    let load = |symbol: &String| {
        let found = facts.iter().find(|f| f.symbol == *symbol);
        let Some(found) = found else {
            let names = facts.iter().map(|f| &*f.symbol);
            return Err(LoadError::Unknown {
                venue,
                symbol: symbol.clone(),
                nearest: nearest(symbol, names),
            });
        };
        found
            .instrument(venue)
            .map_err(|error| LoadError::Unusable {
                venue,
                symbol: symbol.clone(),
                error,
            })
    };
    symbols.iter().map(load).collect()
}

/// The names that are spelt most like `wanted`.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut close: Vec<(usize, &str)> = names
        .map(|name| (strsim::damerau_levenshtein(wanted, name), name))
        .filter(|(distance, _)| *distance <= 3)
        .collect();
    close.sort_unstable();
    close.truncate(SUGGESTIONS);
    close.into_iter().map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_are_offered() {
        let names = ["BTCUSDT", "BTCUSDC", "ETHUSDT", "BTCTUSD", "XRPEUR"];
        let offered = nearest("BTCUSTD", names.into_iter());
        assert_eq!(offered.first().map(String::as_str), Some("BTCUSDT"));
        assert!(offered.len() <= SUGGESTIONS && !offered.contains(&"XRPEUR".to_owned()));
        let error = LoadError::Unknown {
            venue: VenueId::Binance,
            symbol: "BTCUSTD".to_owned(),
            nearest: offered,
        };
        assert!(
            error.to_string().contains("did you mean BTCUSDT"),
            "{error}"
        );
    }
}
