//! What happens in a run: a list that a seed fixes, and that can be shortened to the part that fails.

use hean::kernel::types::{MILLISECOND, SECOND};

use crate::random::Random;

/// Actions of a run.
pub(crate) const LENGTH: usize = 2_600;
/// Instruments: the first two are spot, the others perpetuals.
pub(crate) const INSTRUMENTS: u16 = 4;

/// What the market does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// Quantities of some levels change.
    Levels,
    /// The book moves by so many ticks.
    Shift(i64),
    /// Somebody trades; `true`: a buyer took.
    Trade(bool, i64),
    /// The mark moves to so many ticks from the middle.
    Mark(i64),
    /// The book is lost, and comes back with the next move.
    Lost,
}

/// The order types, as far as the list fixes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Market,
    Limit,
    StopMarket,
    StopLimit,
    TakeProfitMarket,
    TakeProfitLimit,
    Trailing,
    Oco,
    Bracket,
    CloseAt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) instrument: u16,
    pub(crate) buy: bool,
    pub(crate) kind: Kind,
    /// Ticks from the middle.
    pub(crate) price: i64,
    /// Ticks from the middle.
    pub(crate) trigger: i64,
    pub(crate) lots: i64,
    /// 0 GTC, 1 IOC, 2 FOK, 3 GTD.
    pub(crate) tif: u8,
    pub(crate) post_only: bool,
    pub(crate) reduce_only: bool,
    pub(crate) long_leg: bool,
    pub(crate) key: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Market(u16, Move),
    Place(Place),
    /// The order with this number among the open ones: ticks from the middle, lots.
    Amend(u64, i64, i64),
    Cancel(u64),
    CancelAll(Option<u16>),
    Close(u16, bool),
    Halt(bool),
    Resume,
    Leverage(u16, u16, bool),
    Wait(i64),
    /// Everything that was written becomes durable.
    Sync,
    /// The disk cannot follow, or can again.
    JournalFull(bool),
    /// Messages of the venue get lost, late, doubled or out of order from now on, with these chances.
    Weather {
        lost: u8,
        late: u8,
        twice: u8,
    },
    /// The process ends, and starts again; of what is not durable so many records are lost.
    Restart(u8),
}

/// The actions of a seed.
pub(crate) fn actions(seed: u64) -> Vec<Action> {
    let mut random = Random::new(seed);
    let trouble = !seed.is_multiple_of(4);
    let mut actions = Vec::with_capacity(LENGTH + 4);
    for _ in 0..LENGTH {
        let instrument = random.range(0, i64::from(INSTRUMENTS) - 1) as u16;
        actions.push(match random.range(0, 999) {
            0..=329 => Action::Market(instrument, movement(&mut random)),
            330..=679 => Action::Place(place(&mut random, instrument)),
            680..=739 => Action::Amend(random.next(), random.range(-12, 12), random.range(1, 40)),
            740..=809 => Action::Cancel(random.next()),
            810..=814 => Action::CancelAll(random.chance(60).then_some(instrument)),
            815..=829 => Action::Close(instrument, random.chance(50)),
            830..=833 => Action::Halt(random.chance(60)),
            834..=849 => Action::Resume,
            850..=857 => {
                let leverage = random.pick(&[1, 2, 5, 10, 20, 50]);
                Action::Leverage(instrument, leverage, random.chance(40))
            }
            858..=907 => {
                Action::Wait(random.pick(&[MILLISECOND, 20 * MILLISECOND, SECOND, 12 * SECOND]))
            }
            908..=977 => Action::Sync,
            978..=980 if trouble => Action::JournalFull(random.chance(50)),
            981..=987 if trouble => Action::Weather {
                lost: random.pick(&[0, 0, 5, 20]),
                late: random.pick(&[0, 20, 60]),
                twice: random.pick(&[0, 5, 30]),
            },
            988..=990 => Action::Restart(random.range(0, 6) as u8),
            _ => Action::Wait(MILLISECOND),
        });
    }
    // At least one restart, somewhere in the middle.
    let at = random.range(400, 1_600) as usize;
    actions[at] = Action::Restart(random.range(0, 6) as u8);
    actions
}

fn movement(random: &mut Random) -> Move {
    match random.range(0, 99) {
        0..=39 => Move::Levels,
        40..=64 => Move::Shift(random.pick(&[-30, -4, -2, -1, 1, 2, 4, 30])),
        65..=84 => Move::Trade(random.chance(50), random.range(1, 60)),
        85..=96 => Move::Mark(random.pick(&[-400, -60, -5, 0, 0, 5, 60, 400])),
        _ => Move::Lost,
    }
}

fn place(random: &mut Random, instrument: u16) -> Place {
    let kind = match random.range(0, 99) {
        0..=24 => Kind::Market,
        25..=59 => Kind::Limit,
        60..=65 => Kind::StopMarket,
        66..=70 => Kind::StopLimit,
        71..=74 => Kind::TakeProfitMarket,
        75..=78 => Kind::TakeProfitLimit,
        79..=83 => Kind::Trailing,
        84..=90 => Kind::Oco,
        91..=97 => Kind::Bracket,
        _ => Kind::CloseAt,
    };
    Place {
        instrument,
        buy: random.chance(55),
        kind,
        price: random.range(-10, 10),
        trigger: random.range(1, 12),
        lots: random.range(1, 60),
        tif: random.pick(&[0, 0, 0, 0, 1, 2, 3]),
        post_only: random.chance(10),
        reduce_only: random.chance(15),
        long_leg: random.chance(50),
        key: random.chance(10).then(|| random.range(0, 9) as u8),
    }
}
