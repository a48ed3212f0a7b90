//! Names of orders: ours, the caller's, the venue's. All of fixed size, so that an order without rarities is one
//! block of memory.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Our id of an order: the journal sequence of its intent. As text, decimal digits.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct OrderId(pub u64);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A strategy, by its place in the ledger's list of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StrategyId(pub u16);

/// Longest idempotency key of a caller, in bytes.
const KEY_MAX: usize = 36;

/// A caller's idempotency key: `[A-Za-z0-9_-]{1,36}`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientOrderId {
    /// Zero bytes behind the text.
    text: [u8; KEY_MAX],
}

/// Not an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 1 to 36 characters of A-Z, a-z, 0-9, _ and -")]
pub struct BadClientOrderId;

impl ClientOrderId {
    /// The text.
    pub fn as_str(&self) -> &str {
        let end = self.text.iter().position(|b| *b == 0).unwrap_or(KEY_MAX);
        let used = self.text.get(..end).unwrap_or_default();
        std::str::from_utf8(used).unwrap_or_default()
    }
}

impl FromStr for ClientOrderId {
    type Err = BadClientOrderId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.as_bytes();
        let legal = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if bytes.is_empty() || !bytes.iter().all(legal) {
            return Err(BadClientOrderId);
        }
        let mut id = Self { text: [0; KEY_MAX] };
        let room = id.text.get_mut(..bytes.len()).ok_or(BadClientOrderId)?;
        room.copy_from_slice(bytes);
        Ok(id)
    }
}

impl fmt::Debug for ClientOrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for ClientOrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ClientOrderId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ClientOrderId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A venue's id of an order: a number (Binance, Bybit spot) or a UUID (Bybit linear).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct VenueOrderId(pub u128);

/// Not an id that a venue gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither a number nor a UUID")]
pub struct BadVenueOrderId;

impl FromStr for VenueOrderId {
    type Err = BadVenueOrderId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(number) = text.parse::<u64>() {
            return Ok(Self(u128::from(number)));
        }
        let groups: [usize; 5] = [8, 4, 4, 4, 12];
        let mut parts = text.split('-');
        let fits = groups
            .iter()
            .all(|len| parts.next().is_some_and(|p| p.len() == *len));
        if !fits || parts.next().is_some() {
            return Err(BadVenueOrderId);
        }
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        u128::from_str_radix(&digits, 16)
            .map(Self)
            .map_err(|_| BadVenueOrderId)
    }
}

impl fmt::Display for VenueOrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(number) = u64::try_from(self.0) {
            return number.fmt(f);
        }
        let text = format!("{:032x}", self.0);
        for (index, part) in [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)]
            .into_iter()
            .enumerate()
        {
            if index > 0 {
                f.write_str("-")?;
            }
            f.write_str(text.get(part.0..part.1).unwrap_or_default())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_their_text() {
        let longest = "a".repeat(36);
        for text in ["x", "Order_1-b", longest.as_str()] {
            let key: ClientOrderId = text.parse().expect("key");
            assert_eq!(key.to_string(), text);
        }
        for text in ["", "a b", "ü", &"a".repeat(37), "a\0"] {
            assert!(text.parse::<ClientOrderId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn venue_ids_keep_their_spelling() {
        for text in [
            "22542179",
            "18446744073709551615",
            "fd4300ae-7847-404e-b947-b46980a4d140",
        ] {
            let id: VenueOrderId = text.parse().expect("id");
            assert_eq!(id.to_string(), text);
        }
        for text in ["", "-1", "fd4300ae7847404eb947b46980a4d140", "x-y"] {
            assert!(text.parse::<VenueOrderId>().is_err(), "{text:?}");
        }
    }
}
