//! How much an entry trades, and where its stops and targets lie: for every strategy, whoever wrote it.
//!
//! Invariant: what becomes an order is exact. A share of equity may come from statistics (volatility, win rate) and is
//! cut to eight decimals; from there on everything is whole numbers, rounded down to the lot and to the tick.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::kernel::indicators::Spec;
use crate::kernel::types::{Instrument, Interval, Money, Price, Qty, Rate, Side, format_fixed};

/// Candles of the volatility unless said otherwise.
const VOLATILITY_CANDLES: u32 = 30;
/// Candles of the average true range unless said otherwise.
const ATR_CANDLES: u32 = 14;
/// Share of equity that a Kelly size may reach unless said otherwise.
const KELLY_CAP: Rate = Rate(25_000_000);
/// Closed trades that a Kelly size needs unless said otherwise.
const KELLY_TRADES: u32 = 30;
/// Share of equity before there are so many.
const KELLY_FALLBACK: Rate = Rate(1_000_000);
/// Nanoseconds of a year of 365 days: these markets do not close.
const YEAR_NS: f64 = 365.0 * 86_400.0 * 1e9;

/// How much an entry trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sizing {
    /// A quantity of the base asset.
    Fixed(Money),
    /// An amount of the quote asset.
    Quote(Money),
    /// A share of the account's equity.
    Equity(Rate),
    /// So much that the position moves the equity by this much a year, by the volatility of the last candles.
    /// Never more than the equity.
    Volatility {
        /// Volatility of a year.
        target: Rate,
        /// Candles that it is measured over.
        candles: u32,
    },
    /// A part of the share of equity that J. L. Kelly's criterion finds best for the strategy's own closed trades:
    /// win rate less loss rate by payoff.
    Kelly {
        /// The part, 0.5 for half Kelly.
        fraction: Rate,
        /// The share is never larger.
        cap: Rate,
        /// Closed trades before the criterion counts; 1 % of equity until then.
        trades_min: u32,
    },
}

/// Value of an entry unless configured.
impl Default for Sizing {
    fn default() -> Self {
        Self::Quote(Money::whole(1_000))
    }
}

/// How far a stop or target lies from the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Distance {
    /// A share of the price.
    Share(Rate),
    /// A multiple of the average true range.
    Atr {
        /// The multiple.
        factor: Rate,
        /// Candles of the average.
        candles: u32,
    },
}

/// Stops and targets of an entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Exits {
    /// Leaves with a loss.
    pub stop_loss: Option<Distance>,
    /// Leaves with a profit.
    pub take_profit: Option<Distance>,
    /// Leaves when the price has come back from its best by this share. It stands alone.
    pub trailing: Option<Rate>,
}

/// Closed trades of a strategy on an instrument: every execution that made its position smaller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tally {
    /// Those that won.
    pub wins: u32,
    /// Those that lost.
    pub losses: u32,
    /// What they won, before fees.
    pub won: Money,
    /// What they lost.
    pub lost: Money,
}

impl Tally {
    /// One more; neither won nor lost is none.
    pub(in crate::kernel) fn count(&mut self, profit: Money) {
        match profit.0.signum() {
            1 => {
                self.wins = self.wins.saturating_add(1);
                self.won = self.won.plus(profit).unwrap_or(self.won);
            }
            -1 => {
                self.losses = self.losses.saturating_add(1);
                self.lost = self.lost.minus(profit).unwrap_or(self.lost);
            }
            _ => {}
        }
    }

    /// Win rate, and mean win by mean loss; `None` without both.
    pub fn edge(&self) -> Option<(f64, f64)> {
        let (wins, losses) = (f64::from(self.wins), f64::from(self.losses));
        (self.wins > 0 && self.losses > 0).then(|| {
            let payoff = (self.won.to_f64() / wins) / (self.lost.to_f64() / losses);
            (wins / (wins + losses), payoff)
        })
    }
}

/// Why there is no size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NoSize {
    /// The account has no equity to take a share of.
    Equity(Money),
    /// The volatility is not known yet, or is nothing.
    Volatility,
    /// The average true range is not known yet.
    Atr,
    /// The strategy's own trades have no edge: win rate and payoff.
    Edge(f64, f64),
    /// Below the venue's minimum: the quantity, on the lot.
    Small(Qty),
    /// An amount left the range of exact arithmetic.
    Range,
}

/// What a size is taken from.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernel) struct Basis<'a> {
    pub(in crate::kernel) instrument: &'a Instrument,
    /// At this price.
    pub(in crate::kernel) price: Price,
    pub(in crate::kernel) equity: Money,
    /// Standard deviation of returns from candle to candle.
    pub(in crate::kernel) volatility: Option<f64>,
    pub(in crate::kernel) interval: Interval,
    pub(in crate::kernel) tally: Tally,
}

impl Sizing {
    /// The indicator that it needs.
    pub fn needs(&self) -> Option<Spec> {
        match self {
            Self::Volatility { candles, .. } => Spec::parse(&format!("rvol:{candles}")).ok(),
            Self::Fixed(_) | Self::Quote(_) | Self::Equity(_) | Self::Kelly { .. } => None,
        }
    }

    /// The quantity, on the lot and not below the venue's minimum.
    pub(in crate::kernel) fn qty(&self, basis: &Basis<'_>) -> Result<Qty, NoSize> {
        let exact = match self {
            Self::Fixed(qty) => {
                let finer = u32::from(Money::SCALE)
                    .checked_sub(u32::from(basis.instrument.qty_scale.digits()));
                let unit = finer.and_then(|d| 10_i128.checked_pow(d));
                unit.and_then(|unit| qty.0.checked_div(unit))
            }
            Self::Quote(amount) => basis.for_amount(*amount),
            Self::Equity(_) | Self::Volatility { .. } | Self::Kelly { .. } => {
                if basis.equity <= Money::ZERO {
                    return Err(NoSize::Equity(basis.equity));
                }
                let share = self.share(basis)?;
                let amount = basis.equity.at_rate(share).map_err(|_| NoSize::Range)?;
                basis.for_amount(amount)
            }
        };
        let exact = exact
            .and_then(|q| i64::try_from(q).ok())
            .ok_or(NoSize::Range)?;
        basis.on_lot(exact)
    }

    /// The share of equity.
    fn share(&self, basis: &Basis<'_>) -> Result<Rate, NoSize> {
        match self {
            Self::Fixed(_) | Self::Quote(_) => Ok(Rate(0)),
            Self::Equity(share) => Ok(*share),
            Self::Volatility { target, .. } => {
                let candle = basis.volatility.ok_or(NoSize::Volatility)?;
                let length = basis.interval.nominal_len() as f64;
                let year = candle * libm::sqrt(YEAR_NS / length.max(1.0));
                if year.is_finite() && year > 0.0 {
                    Ok(rate(of(*target) / year).min(Rate::ONE))
                } else {
                    Err(NoSize::Volatility)
                }
            }
            Self::Kelly {
                fraction,
                cap,
                trades_min,
            } => {
                let trades = basis.tally.wins.saturating_add(basis.tally.losses);
                let Some((rate_won, payoff)) = basis.tally.edge().filter(|_| trades >= *trades_min)
                else {
                    return Ok(KELLY_FALLBACK.min(*cap));
                };
                let best = rate_won - (1.0 - rate_won) / payoff;
                if best > 0.0 {
                    Ok(rate(best * of(*fraction)).min(*cap))
                } else {
                    Err(NoSize::Edge(rate_won, payoff))
                }
            }
        }
    }
}

fn of(rate: Rate) -> f64 {
    rate.0 as f64 / Rate::ONE.0 as f64
}

/// Cut to eight decimals; what does not fit is as large as can be.
#[expect(
    clippy::cast_possible_truncation,
    reason = "as saturates, and a share is cut on purpose"
)]
fn rate(share: f64) -> Rate {
    Rate((share * Rate::ONE.0 as f64) as i64)
}

impl Basis<'_> {
    fn for_amount(&self, amount: Money) -> Option<i128> {
        let unit = self.instrument.notional(self.price, Qty(1)).ok()?;
        amount.0.checked_div(unit.0)
    }

    /// Down to the lot, and not below the venue's minimum.
    fn on_lot(&self, exact: i64) -> Result<Qty, NoSize> {
        let instrument = self.instrument;
        let rest = exact.checked_rem(instrument.lot.0).unwrap_or(0);
        let mut qty = Qty(exact.saturating_sub(rest));
        if instrument.market_qty_max > Qty::ZERO {
            qty = qty.min(instrument.market_qty_max);
        }
        if instrument.qty_max > Qty::ZERO {
            qty = qty.min(instrument.qty_max);
        }
        let worth = instrument.notional(self.price, qty);
        let worth = worth.map_err(|_| NoSize::Range)?;
        if qty <= Qty::ZERO || qty < instrument.qty_min || worth < instrument.notional_min {
            return Err(NoSize::Small(qty));
        }
        Ok(qty)
    }
}

impl Distance {
    /// The indicator that it needs.
    pub fn needs(&self) -> Option<Spec> {
        match self {
            Self::Share(_) => None,
            Self::Atr { candles, .. } => Spec::parse(&format!("atr:{candles}")).ok(),
        }
    }

    /// A price so far from `price` on `side`: above it where that is to buy; on the tick, rounded away from it.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "as saturates, and the price is checked"
    )]
    pub(in crate::kernel) fn from(
        self,
        price: Price,
        side: Side,
        atr: Option<f64>,
        instrument: &Instrument,
    ) -> Result<Price, NoSize> {
        let off = match self {
            Self::Share(share) => {
                let off = i128::from(price.0).checked_mul(i128::from(share.0));
                off.and_then(|o| o.checked_div(i128::from(Rate::ONE.0)))
                    .and_then(|o| i64::try_from(o).ok())
                    .ok_or(NoSize::Range)?
            }
            Self::Atr { factor, .. } => {
                let atr = atr.ok_or(NoSize::Atr)?;
                (atr * of(factor) * instrument.price_scale.unit() as f64) as i64
            }
        };
        let exact = match side {
            Side::Buy => price.0.checked_add(off),
            Side::Sell => price.0.checked_sub(off),
        };
        let exact = exact.filter(|p| *p > 0).ok_or(NoSize::Range)?;
        let on_tick = on_tick(exact, side, instrument);
        if on_tick > 0 {
            Ok(Price(on_tick))
        } else {
            Err(NoSize::Range)
        }
    }
}

/// A price on the tick: up where that is to buy, else down.
pub(in crate::kernel) fn on_tick(price: i64, up: Side, instrument: &Instrument) -> i64 {
    let rest = price.checked_rem_euclid(instrument.tick.0).unwrap_or(0);
    let below = price.saturating_sub(rest);
    match up {
        Side::Buy if rest > 0 => below.saturating_add(instrument.tick.0),
        Side::Buy | Side::Sell => below,
    }
}

impl Exits {
    /// The indicators that they need.
    pub fn needs(&self) -> impl Iterator<Item = Spec> + use<> {
        let distances = [self.stop_loss, self.take_profit];
        distances.into_iter().flatten().filter_map(|d| d.needs())
    }

    /// What cannot be had together.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let other = self.stop_loss.is_some() || self.take_profit.is_some();
        if self.trailing.is_some() && other {
            return Err(
                "trailing stands alone: a stop that follows the price takes the place of stop_loss and take_profit",
            );
        }
        Ok(())
    }
}

/// A share as per cent: 0.025 is `2.5`.
fn percent(share: Rate) -> impl fmt::Display {
    format_fixed(i128::from(share.0), Rate::SCALE - 2)
}

fn parse_percent(text: &str, max: &str) -> Option<Rate> {
    let value = Rate::parse(text).ok().filter(|v| v.0 > 0)?;
    let within = Rate::parse(max).is_ok_and(|max| value <= max);
    (within && value.0 % 100 == 0).then_some(Rate(value.0 / 100))
}

impl fmt::Display for Sizing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(qty) => write!(f, "fixed {qty}"),
            Self::Quote(amount) => write!(f, "quote {amount}"),
            Self::Equity(share) => write!(f, "equity_percent {}", percent(*share)),
            Self::Volatility { target, candles } => {
                write!(f, "volatility_target {} {candles}", percent(*target))
            }
            Self::Kelly {
                fraction,
                cap,
                trades_min,
            } => {
                let part = format_fixed(i128::from(fraction.0), Rate::SCALE);
                write!(f, "kelly {part} {} {trades_min}", percent(*cap))
            }
        }
    }
}

impl FromStr for Sizing {
    /// What would be legal.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const LEGAL: &str = "`fixed QUANTITY`, `quote AMOUNT`, `equity_percent P`, `volatility_target P [CANDLES]` or \
             `kelly FRACTION [CAP_PERCENT [TRADES_MIN]]`, all above zero";
        let words: Vec<&str> = text.split_whitespace().collect();
        let amount = |text: &str| Money::parse(text).ok().filter(|m| *m > Money::ZERO);
        let count = |text: &str| {
            let count = text.parse::<u32>().ok();
            count.filter(|c| (2..=10_000).contains(c))
        };
        let read = || match words.as_slice() {
            ["fixed", qty] => amount(qty).map(Self::Fixed),
            ["quote", value] => amount(value).map(Self::Quote),
            ["equity_percent", p] => parse_percent(p, "1000").map(Self::Equity),
            ["volatility_target", p, rest @ ..] if rest.len() <= 1 => Some(Self::Volatility {
                target: parse_percent(p, "1000")?,
                candles: rest
                    .first()
                    .map_or(Some(VOLATILITY_CANDLES), |c| count(c))?,
            }),
            ["kelly", fraction, rest @ ..] if rest.len() <= 2 => Some(Self::Kelly {
                fraction: Rate::parse(fraction)
                    .ok()
                    .filter(|f| f.0 > 0 && *f <= Rate::ONE)?,
                cap: rest
                    .first()
                    .map_or(Some(KELLY_CAP), |p| parse_percent(p, "100"))?,
                trades_min: rest.get(1).map_or(Some(KELLY_TRADES), |c| count(c))?,
            }),
            _ => None,
        };
        read().ok_or(LEGAL)
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(f, "{}%", percent(*share)),
            Self::Atr { factor, candles } => {
                let factor = format_fixed(i128::from(factor.0), Rate::SCALE);
                write!(f, "{factor}atr:{candles}")
            }
        }
    }
}

impl FromStr for Distance {
    /// What would be legal.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const LEGAL: &str = "a per cent of the price below 100 (`2%`) or a multiple of the average true range \
             (`3atr`, `3atr:14` with its candles)";
        let text = text.trim();
        if let Some(p) = text.strip_suffix('%') {
            let share = parse_percent(p.trim_end(), "99").ok_or(LEGAL)?;
            return Ok(Self::Share(share));
        }
        let (factor, candles) = match text.split_once("atr") {
            Some((factor, "")) => (factor, Some(ATR_CANDLES)),
            Some((factor, rest)) => {
                let candles = rest.strip_prefix(':').and_then(|c| c.parse().ok());
                (factor, candles.filter(|c| (1..=10_000).contains(c)))
            }
            None => return Err(LEGAL),
        };
        let factor = Rate::parse(factor.trim_end()).ok();
        let factor = factor.filter(|f| f.0 > 0 && f.0 <= 1_000 * Rate::ONE.0);
        Ok(Self::Atr {
            factor: factor.ok_or(LEGAL)?,
            candles: candles.ok_or(LEGAL)?,
        })
    }
}

/// Reads the share of a trailing stop.
pub(super) fn parse_trailing(text: &str) -> Result<Rate, &'static str> {
    const LEGAL: &str = "a per cent of the best price, from 0.1% to 50%";
    let share = text.trim().strip_suffix('%');
    let share = share.and_then(|p| parse_percent(p.trim_end(), "50"));
    share.filter(|s| s.0 >= 100_000).ok_or(LEGAL)
}

#[cfg(test)]
#[path = "sizing_tests.rs"]
mod tests;
