//! Strategies of a value that leaves a band: against the move (reversion), or with it (breakout).

use super::crossing::spec;
use super::{Decision, Params, Strategy, StrategyConfig, Target, View};
use crate::kernel::indicators::Spec;

/// A value, the band that it may leave, and where a position is left again.
struct Levels {
    value: f64,
    low: f64,
    high: f64,
    exit_long: f64,
    exit_short: f64,
}

#[derive(Debug)]
struct Bands {
    needs: Vec<Spec>,
    inputs: [&'static str; 5],
    /// Whether it trades against the move.
    reversion: bool,
    /// Numbers of the parameters that are no periods.
    fixed: [f64; 3],
    levels: fn(&View<'_>, &[f64; 3]) -> Option<Levels>,
}

const INPUTS: [&str; 5] = ["close", "low", "high", "exit_long", "exit_short"];

pub(super) fn rsi_reversion(
    _: &StrategyConfig,
    params: &Params,
) -> Result<Box<dyn Strategy>, String> {
    let fixed = ["oversold", "exit", "overbought"].map(|name| params.decimal(name));
    let [oversold, exit, overbought] = fixed;
    if !(oversold < exit && exit < overbought) {
        return Err(format!(
            "oversold < exit < overbought is needed, got {oversold}, {exit} and {overbought}"
        ));
    }
    Ok(Box::new(Bands {
        needs: vec![spec(&format!("rsi:{}", params.whole("period")))?],
        inputs: ["rsi", "oversold", "overbought", "exit_long", "exit_short"],
        reversion: true,
        fixed,
        levels: |view, [oversold, exit, overbought]| {
            Some(Levels {
                value: view.value(0)?[0],
                low: *oversold,
                high: *overbought,
                exit_long: *exit,
                exit_short: *exit,
            })
        },
    }))
}

fn bollinger(params: &Params, reversion: bool) -> Result<Box<dyn Strategy>, String> {
    let (period, deviations) = (params.whole("period"), params.decimal("deviations"));
    Ok(Box::new(Bands {
        needs: vec![spec(&format!("bbands:{period}:{deviations}"))?],
        inputs: INPUTS,
        reversion,
        fixed: [0.0; 3],
        levels: |view, _| {
            let [high, middle, low] = view.value(0)?;
            Some(Levels {
                value: view.close()?,
                low,
                high,
                exit_long: middle,
                exit_short: middle,
            })
        },
    }))
}

pub(super) fn bollinger_reversion(
    _: &StrategyConfig,
    params: &Params,
) -> Result<Box<dyn Strategy>, String> {
    bollinger(params, true)
}

pub(super) fn bollinger_breakout(
    _: &StrategyConfig,
    params: &Params,
) -> Result<Box<dyn Strategy>, String> {
    bollinger(params, false)
}

pub(super) fn donchian_trend(
    _: &StrategyConfig,
    params: &Params,
) -> Result<Box<dyn Strategy>, String> {
    let (entry, exit) = (params.whole("entry"), params.whole("exit"));
    if exit > entry {
        return Err(format!(
            "exit must not be longer than entry, got {exit} and {entry}"
        ));
    }
    Ok(Box::new(Bands {
        needs: vec![
            spec(&format!("donchian:{entry}"))?,
            spec(&format!("donchian:{exit}"))?,
        ],
        inputs: INPUTS,
        reversion: false,
        fixed: [0.0; 3],
        // Of the candles before this one: no candle leaves a channel that it belongs to.
        levels: |view, _| {
            let ([high, _, low], [above, _, below]) = (view.before(0)?, view.before(1)?);
            Some(Levels {
                value: view.close()?,
                low,
                high,
                exit_long: below,
                exit_short: above,
            })
        },
    }))
}

impl Strategy for Bands {
    fn needs(&self) -> Vec<Spec> {
        self.needs.clone()
    }

    fn inputs(&self) -> Vec<String> {
        self.inputs.map(str::to_owned).to_vec()
    }

    fn on_candle(&mut self, view: &View<'_>) -> Decision {
        let Some(levels) = (self.levels)(view, &self.fixed) else {
            return Decision::warm_up();
        };
        let Levels {
            value,
            low,
            high,
            exit_long,
            exit_short,
        } = levels;
        let inputs = [value, low, high, exit_long, exit_short];
        let has = view.position().standing.signum();
        let target = if self.reversion {
            match has {
                _ if value < low => Target::Long,
                _ if value > high => Target::Short,
                1 if value >= exit_long => Target::Flat,
                -1 if value <= exit_short => Target::Flat,
                _ => return Decision::hold(&inputs),
            }
        } else {
            match has {
                _ if value > high => Target::Long,
                _ if value < low => Target::Short,
                1 if value < exit_long => Target::Flat,
                -1 if value > exit_short => Target::Flat,
                _ => return Decision::hold(&inputs),
            }
        };
        Decision::be(target, &inputs)
    }
}
