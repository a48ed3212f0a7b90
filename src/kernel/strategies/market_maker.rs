//! Market maker with inventory skew, after M. Avellaneda and S. Stoikov, High-frequency trading in a limit order
//! book, Quantitative Finance 8:3, 2008, with a horizon that rolls along instead of an end of the day.

use super::crossing::spec;
use super::grid::price_of;
use super::{Action, Decision, Params, Quote, Said, Strategy, StrategyConfig, View, Why};
use crate::kernel::indicators::Spec;
use crate::kernel::types::{MILLISECOND, Price, Side};

#[derive(Debug)]
struct MarketMaker {
    volatility: Spec,
    /// Risk aversion.
    gamma: f64,
    /// How fast the chance of a fill falls with the distance.
    kappa: f64,
    /// Candles that inventory is at risk.
    horizon: f64,
    /// Share of equity that is the largest position.
    position_max: f64,
    /// A resting order this near is as good.
    tolerance: f64,
    every: i64,
}

pub(super) fn build(_: &StrategyConfig, params: &Params) -> Result<Box<dyn Strategy>, String> {
    Ok(Box::new(MarketMaker {
        volatility: spec(&format!("rvol:{}", params.whole("volatility")))?,
        gamma: params.decimal("gamma"),
        kappa: params.decimal("kappa"),
        horizon: f64::from(params.whole("horizon")),
        position_max: params.decimal("position_max") / 100.0,
        tolerance: params.decimal("tolerance") / 100.0,
        every: i64::from(params.whole("every_ms")).saturating_mul(MILLISECOND),
    }))
}

impl MarketMaker {
    fn quotes(&self, view: &View<'_>) -> Decision {
        let Some([sigma, ..]) = view.value(0) else {
            return Decision::warm_up();
        };
        let Some((micro, (bid, ask))) = view.microprice().zip(view.best()) else {
            // What rests rests blindly: it goes.
            return Decision {
                action: Action::Rest(Vec::new()),
                why: Why::new(Said::Filter("book"), &[]),
            };
        };
        let instrument = view.instrument();
        let equity = view.equity().to_f64().max(0.0);
        let qty = view.position().qty as f64 / instrument.qty_scale.unit() as f64;
        let largest = equity * self.position_max;
        let inventory = if largest > 0.0 {
            qty * micro / largest
        } else {
            0.0
        };
        let risk = self.gamma * sigma * sigma * self.horizon;
        let reservation = micro * (1.0 - inventory * risk);
        let spread = risk + 2.0 / self.gamma * libm::log1p(self.gamma / self.kappa);
        let half = micro * spread / 2.0;
        let unit = instrument.price_scale.unit() as f64;
        let tick = instrument.tick.0;
        let mut quotes = Vec::with_capacity(2);
        if inventory < 1.0
            && let Some(price) = price_of((reservation - half) * unit)
        {
            let price = price.min(Price(ask.price.0.saturating_sub(tick)));
            quotes.push(self.quote(view, Side::Buy, price));
        }
        if inventory > -1.0
            && let Some(price) = price_of((reservation + half) * unit)
        {
            let price = price.max(Price(bid.price.0.saturating_add(tick)));
            quotes.push(self.quote(view, Side::Sell, price));
        }
        let inputs = [micro, sigma, inventory, reservation, half];
        Decision::rest(quotes, &inputs)
    }

    /// At the price, or where an order rests near it already.
    fn quote(&self, view: &View<'_>, side: Side, price: Price) -> Quote {
        let near = |resting: &Price| {
            let apart = (resting.0.saturating_sub(price.0)).saturating_abs();
            apart as f64 <= self.tolerance * price.0 as f64
        };
        let mut own = view.orders().filter(|o| o.side == side);
        let resting = own.find_map(|o| o.rests_at().filter(near));
        Quote {
            side,
            price: resting.unwrap_or(price),
            size: None,
            reduces: false,
        }
    }
}

impl Strategy for MarketMaker {
    fn needs(&self) -> Vec<Spec> {
        vec![self.volatility.clone()]
    }

    fn inputs(&self) -> Vec<String> {
        [
            "microprice",
            "sigma",
            "inventory",
            "reservation",
            "half_spread",
        ]
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
        Some(self.quotes(view))
    }
}
