//! Grid: resting orders on levels that lie a fixed per cent apart; what one level buys the next one above sells.
//!
//! Levels are powers of one plus the spacing, the same for everybody and for ever. What it must remember is the level
//! that was traded last and how many levels' worth it holds.

use std::hash::Hasher;

use super::{Decision, Direction, OwnFill, Params, Quote, Strategy, StrategyConfig, View};
use crate::kernel::orders::{Link, OrderState};
use crate::kernel::types::{MILLISECOND, Price, Side};

#[derive(Debug)]
struct Grid {
    /// Logarithm of one plus the spacing.
    step: f64,
    levels: i64,
    every: i64,
    direction: Direction,
    /// The level that was traded last; first the one nearest to the price.
    center: Option<i64>,
    /// Levels' worth that it holds; negative is short.
    held: i64,
}

#[expect(clippy::unnecessary_wraps, reason = "as a row of the table has it")]
pub(super) fn build(config: &StrategyConfig, params: &Params) -> Result<Box<dyn Strategy>, String> {
    Ok(Box::new(Grid {
        step: libm::log1p(params.decimal("spacing") / 100.0),
        levels: i64::from(params.whole("levels")),
        every: i64::from(params.whole("every_ms")).saturating_mul(MILLISECOND),
        direction: config.direction,
        center: None,
        held: 0,
    }))
}

impl Grid {
    /// The level nearest to a price.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the logarithm of a 64-bit number over a step of 0.0001 at least is small"
    )]
    fn level(&self, price: f64) -> i64 {
        libm::round(libm::log(price) / self.step) as i64
    }

    fn price(&self, level: i64) -> f64 {
        libm::exp(level as f64 * self.step)
    }

    fn quotes(&mut self, view: &View<'_>) -> Decision {
        let scale = view.instrument().price_scale;
        let Some(now) = view.mark().filter(|p| p.0 > 0) else {
            return Decision::warm_up();
        };
        let now = now.to_f64(scale);
        let standing = view.position().standing.signum();
        if standing == 0 {
            self.held = 0;
        }
        // A level that is partly executed is held, if not counted yet.
        let held = if self.held == 0 { standing } else { self.held };
        let nearest = self.level(now);
        let center = match self.center {
            // Nothing is held: the grid follows the price.
            Some(center) if held != 0 || (center - nearest).abs() <= 1 => center,
            Some(_) | None => nearest,
        };
        self.center = Some(center);
        let (buys, sells) = match self.direction {
            Direction::Both if view.may_short() => (self.levels - held, self.levels + held),
            Direction::Long | Direction::Both => (self.levels - held, held),
            Direction::Short => (-held, self.levels + held),
        };
        let unit = scale.unit() as f64;
        let quote = |side: Side, level: i64| {
            let price = price_of(self.price(level) * unit)?;
            Some(Quote {
                side,
                price,
                size: None,
                reduces: false,
            })
        };
        let buys = (1..=buys.max(0)).filter_map(|i| quote(Side::Buy, center - i));
        let sells = (1..=sells.max(0)).filter_map(|i| quote(Side::Sell, center + i));
        let quotes = buys.chain(sells).collect();
        let inputs = [
            now,
            self.price(center),
            self.price(center - 1),
            self.price(center + 1),
            held as f64,
        ];
        Decision::rest(quotes, &inputs)
    }
}

/// A price from a number at its scale.
#[expect(clippy::cast_possible_truncation, reason = "checked before")]
pub(super) fn price_of(exact: f64) -> Option<Price> {
    let legal = exact.is_finite() && (1.0..9e18).contains(&exact);
    legal.then_some(Price(exact as i64))
}

impl Strategy for Grid {
    fn inputs(&self) -> Vec<String> {
        ["price", "center", "below", "above", "held"]
            .map(str::to_owned)
            .to_vec()
    }

    fn on_candle(&mut self, view: &View<'_>) -> Decision {
        self.quotes(view)
    }

    fn quote_every(&self) -> Option<i64> {
        Some(self.every)
    }

    fn on_quote(&mut self, view: &View<'_>) -> Option<Decision> {
        // The first level is that of a candle.
        self.center.is_some().then(|| self.quotes(view))
    }

    fn on_fill(&mut self, view: &View<'_>, fill: &OwnFill<'_>) {
        let order = fill.order;
        let Some(limit) = order.limit() else {
            return;
        };
        if order.state != OrderState::Filled || !matches!(order.link(), Link::None) {
            return;
        }
        let price = limit.to_f64(view.instrument().price_scale);
        self.center = Some(self.level(price));
        self.held += match order.side {
            Side::Buy => 1,
            Side::Sell => -1,
        };
    }

    fn state(&self) -> Vec<u8> {
        let Some(center) = self.center.filter(|_| self.held != 0) else {
            return Vec::new();
        };
        [center.to_le_bytes(), self.held.to_le_bytes()].concat()
    }

    fn restore(&mut self, state: &[u8]) {
        let whole = |part: &[u8]| part.try_into().ok().map(i64::from_le_bytes);
        if let Some((center, held)) = state.split_at_checked(8)
            && let (Some(center), Some(held)) = (whole(center), whole(held))
        {
            self.center = Some(center);
            self.held = held.clamp(-self.levels, self.levels);
        }
    }

    fn hash_bits(&self, state: &mut dyn Hasher) {
        state.write_i64(self.center.unwrap_or(i64::MIN));
        state.write_i64(self.held);
    }
}
