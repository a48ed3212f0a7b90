//! The durable state as a value that can be written and read again: what a snapshot holds.
//!
//! The layout is on disk. Whoever changes it, or the layout of anything in it (an order, a position, the
//! statistics), raises [`Image::VERSION`] and keeps a reader of the version before: when old segments of the
//! journal are gone, the snapshots are all that is left of them.
//!
//! What follows from the rest is not in it: the sums over open orders and positions are made anew.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fills::Fills;
use super::holding::{Holding, MarginSetting, Weight};
use super::{Changes, KnownStrategy, Ledger};
use crate::kernel::event::Seq;
use crate::kernel::margin::Brackets;
use crate::kernel::orders::{OrderTable, PositionSide, StrategyId, TableImage};
use crate::kernel::portfolio::{Account, Position};
use crate::kernel::risk::RiskState;
use crate::kernel::statistics::Statistics;
use crate::kernel::types::{Instrument, InstrumentId, Money, MoneyError};

/// Everything durable after one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image<'a> {
    seq: Seq,
    instruments: Cow<'a, [Instrument]>,
    orders: TableImage<'a>,
    holdings: Vec<Held>,
    attributed: Vec<((StrategyId, InstrumentId, PositionSide), Position)>,
    account: Cow<'a, Account>,
    brackets: Cow<'a, Brackets>,
    statistics: Cow<'a, Statistics>,
    risk: RiskState,
    /// Names, and whether the operator has started or stopped them.
    strategies: Vec<(String, Option<bool>)>,
    /// Layout 1 ends before it.
    fills: Cow<'a, Fills>,
    /// What strategies remember. Layout 2 ends before it.
    states: Vec<StrategyState<'a>>,
}

/// What a strategy remembers of an instrument.
type StrategyState<'a> = ((StrategyId, InstrumentId), Cow<'a, [u8]>);

/// A holding without its sums.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Held {
    positions: [Position; 2],
    margin: MarginSetting,
    suspect: bool,
}

/// Bytes that are an image, but of no state that there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it describes a state that cannot be")]
pub struct BadImage;

impl Image<'_> {
    /// The layout that is written.
    pub const VERSION: u32 = 3;

    /// An image in a layout that is still read; `None` for an unknown one.
    pub fn read(version: u32, bytes: &[u8]) -> Option<Result<Image<'static>, postcard::Error>> {
        // What came later stands at the end; a list of none is one zero.
        let missing: &[u8] = match version {
            1 => &[0, 0],
            2 => &[0],
            Self::VERSION => &[],
            _ => return None,
        };
        Some(postcard::from_bytes(&[bytes, missing].concat()))
    }

    /// The last record of which the state knows.
    pub fn seq(&self) -> Seq {
        self.seq
    }
}

impl Ledger {
    /// The durable state as it is.
    pub fn image(&self) -> Image<'_> {
        let held = |holding: &Holding| Held {
            positions: *holding.positions(),
            margin: holding.margin,
            suspect: holding.suspect,
        };
        Image {
            seq: self.seq,
            instruments: Cow::Borrowed(&self.instruments),
            orders: self.orders.image(),
            holdings: self.holdings.iter().map(held).collect(),
            attributed: self.attributed.iter().map(|(k, p)| (*k, *p)).collect(),
            account: Cow::Borrowed(&self.account),
            brackets: Cow::Borrowed(&self.brackets),
            statistics: Cow::Borrowed(&self.statistics),
            risk: self.risk,
            strategies: self
                .strategies
                .iter()
                .map(|s| (s.name.clone(), s.runs))
                .collect(),
            fills: Cow::Borrowed(&self.fills),
            states: self
                .states
                .iter()
                .map(|(of, state)| (*of, Cow::Borrowed(&**state)))
                .collect(),
        }
    }

    /// The ledger of an image, keeping `orders_kept` ended orders from the next end on.
    pub fn restore(image: Image<'_>, orders_kept: usize) -> Result<Self, BadImage> {
        let known = |id: InstrumentId| id.index() < image.instruments.len();
        let whole = image.holdings.len() == image.instruments.len()
            && image.orders.orders().all(|o| known(o.instrument))
            && image.attributed.iter().all(|((_, id, _), _)| known(*id))
            && image.states.iter().all(|((_, id), _)| known(*id))
            && image.fills.is_sound(image.seq, known);
        if !whole {
            return Err(BadImage);
        }
        let held = |held: Held| {
            let mut holding = Holding::default();
            *holding.positions_mut() = held.positions;
            holding.margin = held.margin;
            holding.suspect = held.suspect;
            holding
        };
        let mut ledger = Self {
            seq: image.seq,
            instruments: image.instruments.into_owned(),
            orders: OrderTable::restore(image.orders, orders_kept).ok_or(BadImage)?,
            holdings: image.holdings.into_iter().map(held).collect(),
            attributed: image.attributed.into_iter().collect::<BTreeMap<_, _>>(),
            account: image.account.into_owned(),
            brackets: image.brackets.into_owned(),
            statistics: image.statistics.into_owned(),
            risk: image.risk,
            strategies: image
                .strategies
                .into_iter()
                .map(|(name, runs)| KnownStrategy { name, runs })
                .collect(),
            fills: image.fills.into_owned(),
            states: image
                .states
                .into_iter()
                .map(|(of, state)| (of, state.into_owned().into_boxed_slice()))
                .collect(),
            held: Money::ZERO,
            bound: Money::ZERO,
            moved: false,
            changes: Changes::default(),
        };
        ledger.sum_up().map_err(|_| BadImage)?;
        ledger.moved = false;
        Ok(ledger)
    }

    /// Makes the sums over open orders and positions, which are all zero before.
    fn sum_up(&mut self) -> Result<(), MoneyError> {
        let open: Vec<_> = self
            .orders
            .open()
            .map(|o| (o.instrument, o.position_side, o.side, Weight::of(o)))
            .collect();
        for (id, position, side, weight) in open {
            self.weigh(id, position, side, &Weight::NONE, &weight)?;
        }
        for (instrument, holding) in self.instruments.iter().zip(&self.holdings) {
            let bound = holding.position_margin(instrument)?;
            self.bound = self.bound.plus(bound)?;
        }
        Ok(())
    }

    /// Passes a record over that cannot be applied and that the operator has put under quarantine: its place in
    /// the sequence is taken, nothing else.
    pub fn pass_over(&mut self, seq: Seq) -> Result<(), super::LedgerError> {
        if self.seq.0.checked_add(1) != Some(seq.0) {
            return Err(super::LedgerError::Sequence {
                last: self.seq.0,
                got: seq.0,
            });
        }
        self.seq = seq;
        Ok(())
    }

    /// Records were passed over: nothing may add risk until the operator resumes.
    pub fn distrust(&mut self) {
        self.risk.quarantine = true;
        self.changes.account = true;
    }
}
