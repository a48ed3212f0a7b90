//! The fields of Bybit's objects, raw and by key: they are collected in one pass, and only then read as
//! what the topic says that they are.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic
)]

use crate::venue::decode_error::DecodeError;
use crate::venue::json::Scanner;
use crate::venue::value::set;

type Result<T> = std::result::Result<T, DecodeError>;

/// Raw values by key, each of them once; other keys are checked and passed over.
pub(super) trait Collect<'a>: Default {
    /// Takes the value of `key` at the scanner.
    fn collect(&mut self, key: &str, scanner: &mut Scanner<'a>) -> Result<()>;

    /// Reads the object at the scanner.
    #[inline]
    fn at(scanner: &mut Scanner<'a>) -> Result<Self> {
        let mut fields = Self::default();
        scanner.object(|key, scanner| fields.collect(key, scanner))?;
        Ok(fields)
    }
}

macro_rules! fields {
    ($(#[$about:meta])* $name:ident { $($field:ident: $key:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub(super) struct $name<'a> {
            $(pub(super) $field: Option<&'a str>,)*
        }

        impl<'a> Collect<'a> for $name<'a> {
            #[inline]
            fn collect(&mut self, key: &str, scanner: &mut Scanner<'a>) -> Result<()> {
                let slot = match key {
                    $($key => &mut self.$field,)*
                    _ => return Ok(scanner.skip()?),
                };
                set(slot, key, scanner.raw()?)
            }
        }
    };
}

fields!(
    /// The frame around the data, or an answer.
    Outer {
        topic: "topic",
        kind: "type",
        ts: "ts",
        cts: "cts",
        success: "success",
        ret_msg: "ret_msg",
        req_id: "req_id",
        op: "op",
    }
);

fields!(
    /// An order book, or a ticker.
    Facts {
        s: "s",
        b: "b",
        a: "a",
        u: "u",
        seq: "seq",
        symbol: "symbol",
        open: "prevPrice24h",
        high: "highPrice24h",
        low: "lowPrice24h",
        volume: "volume24h",
        turnover: "turnover24h",
        mark: "markPrice",
        index: "indexPrice",
        open_interest: "openInterest",
        funding_rate: "fundingRate",
        next_funding: "nextFundingTime",
    }
);

fields!(
    /// A trade, or a liquidation.
    Execution {
        time: "T",
        s: "s",
        side: "S",
        qty: "v",
        price: "p",
        id: "i",
        block: "BT",
    }
);

fields!(
    /// A candle.
    Bar {
        start: "start",
        interval: "interval",
        open: "open",
        high: "high",
        low: "low",
        close: "close",
        volume: "volume",
        turnover: "turnover",
        confirm: "confirm",
        timestamp: "timestamp",
    }
);

/// The value of a field that must be there.
#[inline]
pub(super) fn need<'a>(name: &'static str, raw: Option<&'a str>) -> Result<&'a str> {
    raw.ok_or(DecodeError::Missing(name))
}
