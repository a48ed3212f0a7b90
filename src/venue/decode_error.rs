//! Why a message of a venue could not be read. Every text names the field.

use crate::kernel::types::FixedError;
use crate::venue::json::JsonError;

/// A message that is not what the protocol promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not UTF-8.
    #[error("not UTF-8 text")]
    Utf8,
    /// Not JSON, or another kind of value than the protocol has in that place.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field that the event needs is not there.
    #[error("field {0:?} is missing")]
    Missing(&'static str),
    /// A field appears twice, so nobody can say which one counts.
    #[error("field {0:?} appears twice")]
    Duplicate(String),
    /// A field has a value that it cannot have.
    #[error("field {field:?}: {why}")]
    Field {
        /// Its name in the protocol.
        field: &'static str,
        /// What is wrong with it.
        why: FieldFault,
    },
    /// JSON, but none of the messages of this protocol.
    #[error("no message of this protocol")]
    Unrecognised,
    /// Not the list of symbols that it should be.
    #[error("exchange information: {0}")]
    ExchangeInfo(String),
    /// A depth snapshot names no symbol.
    #[error("a depth snapshot names no symbol, and there is not exactly one instrument")]
    SnapshotOfWhat,
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldFault {
    /// Another JSON type.
    #[error("must be {0}")]
    Type(&'static str),
    /// Not the decimal number that it should be.
    #[error(transparent)]
    Fixed(#[from] FixedError),
    /// An integer beyond what the field can hold.
    #[error("out of range")]
    Range,
    /// Contradicts another field.
    #[error("{0}")]
    Contradiction(&'static str),
    /// Not a candle interval of this program.
    #[error("unknown candle interval")]
    Interval,
    /// More decimal digits than a price or quantity can have here.
    #[error("has more than 8 decimal digits, which this program cannot trade")]
    Scale,
}

impl DecodeError {
    /// An error in `field`.
    pub(in crate::venue) fn field(field: &'static str, why: impl Into<FieldFault>) -> Self {
        Self::Field {
            field,
            why: why.into(),
        }
    }
}
