//! Closed candles: what is published is no copy.

use crate::kernel::event::Candle;
use crate::kernel::types::{SharedLog, SharedLogIter};

/// Closed candles, oldest first. A clone shares the candles.
pub type CandleLog = SharedLog<Candle>;

/// Candles of a [`CandleLog`], oldest first.
pub type Candles<'a> = SharedLogIter<'a, Candle>;
