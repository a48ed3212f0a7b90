//! Fills the frame that rules and scripts read, from what a strategy sees.

use serde::{Deserialize, Serialize};

use super::View;
use crate::kernel::indicators::Bar;
use crate::kernel::types::{Interval, SECOND, Time};
use crate::kernel::vocabulary::{Field, Frame, Needs, WORDS, Word};

/// What is known of the position beyond the ledger: since when it is held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    /// 1 long, -1 short, 0 flat.
    pub(super) side: i8,
    /// Open time of the first candle that closed while it was held.
    since: Time,
}

impl Held {
    /// A candle has closed.
    fn see(&mut self, standing: i64, candle: Time) {
        let side = match standing {
            0 => 0,
            1.. => 1,
            _ => -1,
        };
        if side != self.side {
            *self = Self {
                side,
                since: if side == 0 { Time::ZERO } else { candle },
            };
        }
    }

    /// Candles closed while it was held.
    fn bars(self, candle: Time, interval: Interval) -> f64 {
        if self.side == 0 {
            return 0.0;
        }
        let len = interval.nominal_len().max(1);
        // Months are of unequal length: to the nearest whole one.
        (candle.since(self.since) as f64 / len as f64).round() + 1.0
    }
}

/// Everything that the text reads, at the candle that has just closed.
pub(super) fn fill(frame: &mut Frame, needs: &Needs, held: &mut Held, view: &View<'_>) {
    let instrument = view.instrument();
    for (field, count) in Field::ALL.into_iter().zip(needs.candles) {
        let values = &mut frame.fields[field.index()];
        values.clear();
        for back in 0..usize::from(count) {
            let Some(candle) = view.candle_before(back) else {
                break;
            };
            let bar = Bar::new(candle, instrument);
            values.push(match field {
                Field::Open => bar.open,
                Field::High => bar.high,
                Field::Low => bar.low,
                Field::Close => bar.close,
                Field::Volume => bar.volume,
            });
        }
    }
    frame.indicators.clear();
    frame
        .indicators
        .extend((0..needs.specs.len()).map(|slot| [view.value(slot), view.before(slot)]));
    frame.words = words(held, view);
}

fn words(held: &mut Held, view: &View<'_>) -> [f64; WORDS] {
    let mut words = [f64::NAN; WORDS];
    let mut set = |word: Word, value: f64| words[word as usize] = value;
    let instrument = view.instrument();
    if let Some((bid, ask)) = view.best() {
        let scale = instrument.price_scale;
        let (bid_price, ask_price) = (bid.price.to_f64(scale), ask.price.to_f64(scale));
        let (bids, asks) = (bid.qty.0 as f64, ask.qty.0 as f64);
        set(Word::Bid, bid_price);
        set(Word::Ask, ask_price);
        set(Word::Spread, ask_price - bid_price);
        set(Word::Imbalance, (bids - asks) / (bids + asks));
    }
    let Some(candle) = view.candle() else {
        return words;
    };
    let position = view.position();
    held.see(position.standing, candle.open_time);
    let entry = position.entry(instrument).filter(|_| held.side != 0);
    let unit = instrument.qty_scale.unit() as f64;
    set(Word::Position, position.standing as f64 / unit);
    set(Word::EntryPrice, entry.unwrap_or(0.0));
    set(Word::BarsHeld, held.bars(candle.open_time, view.interval()));
    let close = candle.close.to_f64(instrument.price_scale);
    let gain = |entry: f64| (close / entry - 1.0) * 100.0 * f64::from(held.side);
    set(Word::PnlPercent, entry.map_or(0.0, gain));
    let [hour, minute, weekday] = calendar(candle.open_time);
    set(Word::Hour, hour as f64);
    set(Word::Minute, minute as f64);
    set(Word::Weekday, weekday as f64);
    words
}

/// Hour, minute and day of the week, UTC.
fn calendar(time: Time) -> [i64; 3] {
    let seconds = time.0.div_euclid(SECOND);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // The first of January 1970 was a Thursday.
    let weekday = (days + 3).rem_euclid(7) + 1;
    [second / 3_600, second / 60 % 60, weekday]
}

/// The values to show beside a decision; none while one of them is missing.
pub(super) fn shown(needs: &Needs, frame: &Frame, values: &mut Vec<f64>) {
    values.clear();
    values.extend(needs.values(frame).take(super::INPUTS_MAX));
    if values.iter().any(|v| !v.is_finite()) {
        values.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_is_that_of_utc() {
        for (seconds, expected) in [
            (0, [0, 0, 4]),
            (-1, [23, 59, 3]),
            (1_704_067_200, [0, 0, 1]),   // Monday, 1 January 2024
            (1_709_251_140, [23, 59, 4]), // Thursday, 29 February 2024
            (1_709_420_700, [23, 5, 6]),
        ] {
            assert_eq!(calendar(Time(seconds * SECOND)), expected, "{seconds}");
        }
    }

    #[test]
    fn bars_are_counted_from_the_first_close_with_a_position() {
        let at = |minute: i64| Time(minute * 60 * SECOND);
        let mut held = Held::default();
        assert_eq!(
            held.bars(at(3), Interval::MINUTE).to_bits(),
            0.0_f64.to_bits()
        );
        for (minute, standing, side, bars) in [
            (10, 5, 1, 1.0),
            (11, 5, 1, 2.0),
            // More of the same, and candles that nobody traded in.
            (15, 9, 1, 6.0),
            (16, -2, -1, 1.0),
            (17, 0, 0, 0.0),
            (18, 1, 1, 1.0),
        ] {
            held.see(standing, at(minute));
            assert_eq!(held.side, side, "{minute}");
            let counted: f64 = held.bars(at(minute), Interval::MINUTE);
            assert_eq!(counted.to_bits(), f64::to_bits(bars), "{minute}");
        }
    }
}
