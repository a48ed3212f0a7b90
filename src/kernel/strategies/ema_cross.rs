//! EMA cross: long while the fast average of closes is above the slow one, flat otherwise.
//!
//! It enters with a market order of a fixed quote value and leaves by selling what its own fills
//! left, so an operator's position in the same instrument stays untouched.

use super::{Decision, Strategy, StrategyConfig, View};
use crate::kernel::indicators::Spec;
use crate::kernel::orders::{OrderSpec, OrderType, Size};
use crate::kernel::types::{Interval, Money, Qty, Side};

#[derive(Debug)]
pub(super) struct EmaCross {
    interval: Interval,
    notional: Money,
    fast: Spec,
    slow: Spec,
}

impl EmaCross {
    pub(super) fn boxed(
        config: &StrategyConfig,
        params: &[u32],
    ) -> Result<Box<dyn Strategy>, String> {
        let &[fast, slow] = params else {
            return Err("fast and slow are needed".to_owned());
        };
        if fast >= slow {
            return Err(format!(
                "fast must be smaller than slow, got {fast} and {slow}"
            ));
        }
        let spec = |period: u32| Spec::parse(&format!("ema:{period}")).map_err(|e| e.to_string());
        Ok(Box::new(Self {
            interval: config.interval,
            notional: config.order_notional,
            fast: spec(fast)?,
            slow: spec(slow)?,
        }))
    }

    fn order(view: &View<'_>, side: Side, size: Size) -> OrderSpec {
        OrderSpec {
            origin: view.origin,
            ..OrderSpec::new(view.instrument_id, side, OrderType::Market, size)
        }
    }
}

impl Strategy for EmaCross {
    fn interval(&self) -> Interval {
        self.interval
    }

    fn needs(&self) -> Vec<Spec> {
        vec![self.fast.clone(), self.slow.clone()]
    }

    fn on_candle(&mut self, view: &View<'_>) -> Decision {
        let stay = |why: String| Decision {
            orders: Vec::new(),
            why,
        };
        let value = |spec: &Spec| view.indicator(&spec.to_string()).map(|(now, _)| now[0]);
        let (Some(fast), Some(slow)) = (value(&self.fast), value(&self.slow)) else {
            return stay("warming up".to_owned());
        };
        if view.orders_open > 0 {
            return stay("an order is open".to_owned());
        }
        // Cheap assets need more digits to tell the two apart.
        let digits = if fast < 100.0 { 6 } else { 2 };
        let averages = format!(
            "{} {fast:.digits$}, {} {slow:.digits$}",
            self.fast, self.slow
        );
        let sellable = view.sellable();
        match (fast > slow, sellable > Qty::ZERO) {
            (true, false) if !view.tradable => {
                stay(format!("{averages}: would buy, but the book is invalid"))
            }
            (true, false) => Decision {
                orders: vec![Self::order(view, Side::Buy, Size::Quote(self.notional))],
                why: format!("{averages}: fast above slow, buy"),
            },
            (false, true) => Decision {
                orders: vec![Self::order(view, Side::Sell, Size::Base(sellable))],
                why: format!("{averages}: fast not above slow, sell"),
            },
            (true, true) => stay(format!("{averages}: long, stay")),
            (false, false) => stay(format!("{averages}: flat, stay")),
        }
    }
}
