//! Asks the venue about the configured symbols.

use std::sync::Arc;

use super::access::{Access, CallError};
use super::budget::Priority;
use super::decode_error::DecodeError;
use super::protocol::Listings;
use crate::kernel::types::{Instrument, Scale, VenueId};

/// Pages of one answer that are followed at most.
const PAGES_MAX: usize = 32;
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
    let listings = match listings(access, symbols, symbols, &|_| None).await {
        // Without a list the venue names all that it has, the wanted ones and the nearest.
        Err(LoadError::Call {
            error: CallError::Refused { code, .. },
            ..
        }) if access.protocol().is_unknown_symbol(code) => {
            listings(access, &[], symbols, &|_| None).await
        }
        other => other,
    }?;
    let mut found = listings.found;
    let load = |symbol: &String| {
        let Some(at) = found.iter().position(|(name, _)| name == symbol) else {
            let names = listings.names.iter().map(String::as_str);
            return Err(LoadError::Unknown {
                venue,
                symbol: symbol.clone(),
                nearest: nearest(symbol, names),
            });
        };
        let (symbol, instrument) = found.swap_remove(at);
        instrument.map_err(|error| LoadError::Unusable {
            venue,
            symbol,
            error,
        })
    };
    symbols.iter().map(load).collect()
}

/// What the venue says today of `wanted`, page by page; `asked` is the list that it is sent.
pub(super) async fn listings(
    access: &Access,
    asked: &[String],
    wanted: &[String],
    scales: &(dyn Fn(&str) -> Option<(Scale, Scale)> + Sync),
) -> Result<Listings, LoadError> {
    let venue = access.venue();
    let protocol = access.protocol();
    let mut all = Listings::default();
    let mut page: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let call = protocol.instruments(asked, page.as_deref());
        let body = access.call(&call, Priority::Normal).await;
        let mut body = body
            .map_err(|error| LoadError::Call { venue, error })?
            .to_vec();
        let mut listings = protocol
            .decode_instruments(&mut body, wanted, scales)
            .map_err(|error| LoadError::Decode { venue, error })?;
        all.found.append(&mut listings.found);
        all.names.append(&mut listings.names);
        page = listings.next;
        if page.is_none() {
            break;
        }
    }
    Ok(all)
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
