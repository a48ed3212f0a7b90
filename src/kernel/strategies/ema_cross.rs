//! EMA cross: long while the fast average of closes is above the slow one; else flat, or short where it may.

use super::{Decision, Params, Strategy, StrategyConfig, Target, View};
use crate::kernel::indicators::Spec;

#[derive(Debug)]
struct EmaCross {
    fast: Spec,
    slow: Spec,
}

pub(super) fn build(_: &StrategyConfig, params: &Params) -> Result<Box<dyn Strategy>, String> {
    let (fast, slow) = (params.whole("fast"), params.whole("slow"));
    if fast >= slow {
        return Err(format!(
            "fast must be smaller than slow, got {fast} and {slow}"
        ));
    }
    let spec = |period: u32| Spec::parse(&format!("ema:{period}")).map_err(|e| e.to_string());
    Ok(Box::new(EmaCross {
        fast: spec(fast)?,
        slow: spec(slow)?,
    }))
}

impl Strategy for EmaCross {
    fn needs(&self) -> Vec<Spec> {
        vec![self.fast.clone(), self.slow.clone()]
    }

    fn inputs(&self) -> Vec<String> {
        vec![self.fast.to_string(), self.slow.to_string()]
    }

    fn on_candle(&mut self, view: &View<'_>) -> Decision {
        let (Some([fast, ..]), Some([slow, ..])) = (view.value(0), view.value(1)) else {
            return Decision::warm_up();
        };
        let target = if fast > slow {
            Target::Long
        } else {
            Target::Short
        };
        Decision::be(target, &[fast, slow])
    }
}
