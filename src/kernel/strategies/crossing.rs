//! Trend followers: long while one line is above another, else flat, or short where they may.

use super::{Decision, Params, Strategy, StrategyConfig, Target, View};
use crate::kernel::indicators::Spec;

/// Long while the first value is above the second.
#[derive(Debug)]
struct Crossing {
    needs: Vec<Spec>,
    inputs: [String; 2],
    lines: fn(&View<'_>) -> Option<[f64; 2]>,
}

pub(super) fn spec(text: &str) -> Result<Spec, String> {
    Spec::parse(text).map_err(|e| e.to_string())
}

fn in_order(fast: u32, slow: u32) -> Result<(), String> {
    if fast < slow {
        return Ok(());
    }
    Err(format!(
        "fast must be smaller than slow, got {fast} and {slow}"
    ))
}

pub(super) fn ema(_: &StrategyConfig, params: &Params) -> Result<Box<dyn Strategy>, String> {
    let (fast, slow) = (params.whole("fast"), params.whole("slow"));
    in_order(fast, slow)?;
    let names = [format!("ema:{fast}"), format!("ema:{slow}")];
    Ok(Box::new(Crossing {
        needs: names.iter().map(|n| spec(n)).collect::<Result<_, _>>()?,
        inputs: names,
        lines: |view| Some([view.value(0)?[0], view.value(1)?[0]]),
    }))
}

pub(super) fn macd(_: &StrategyConfig, params: &Params) -> Result<Box<dyn Strategy>, String> {
    let (fast, slow) = (params.whole("fast"), params.whole("slow"));
    in_order(fast, slow)?;
    let name = format!("macd:{fast}:{slow}:{}", params.whole("signal"));
    Ok(Box::new(Crossing {
        needs: vec![spec(&name)?],
        inputs: [name.clone(), format!("{name}.signal")],
        lines: |view| {
            let [macd, signal, _] = view.value(0)?;
            Some([macd, signal])
        },
    }))
}

pub(super) fn supertrend(_: &StrategyConfig, params: &Params) -> Result<Box<dyn Strategy>, String> {
    let (period, factor) = (params.whole("period"), params.decimal("factor"));
    let name = format!("supertrend:{period}:{factor}");
    Ok(Box::new(Crossing {
        needs: vec![spec(&name)?],
        inputs: [format!("{name}.direction"), "zero".to_owned()],
        lines: |view| {
            let [_, direction, _] = view.value(0)?;
            Some([direction, 0.0])
        },
    }))
}

impl Strategy for Crossing {
    fn needs(&self) -> Vec<Spec> {
        self.needs.clone()
    }

    fn inputs(&self) -> Vec<String> {
        self.inputs.to_vec()
    }

    fn on_candle(&mut self, view: &View<'_>) -> Decision {
        let Some(lines) = (self.lines)(view) else {
            return Decision::warm_up();
        };
        let target = if lines[0] > lines[1] {
            Target::Long
        } else {
            Target::Short
        };
        Decision::be(target, &lines)
    }
}
