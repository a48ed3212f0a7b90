//! Strategies that are conditions of the configuration: when to enter, when to leave.
//!
//! Flat it looks at the entries; in a position at the entry the other way, then at the exit. The first
//! condition that holds decides. One that reads what has no value yet holds nothing.

use std::sync::Arc;

use super::frame::{Held, fill, shown};
use super::params::{Kind, Param, Params};
use super::{Action, Decision, Direction, Said, Strategy, StrategyConfig, Target, View, Why};
use crate::kernel::indicators::Spec;
use crate::kernel::rules::{self, Rule};
use crate::kernel::vocabulary::{Frame, Needs};

const fn condition(name: &'static str, what: &'static str) -> Param {
    Param {
        name,
        kind: Kind::Text,
        min: "",
        max: "",
        default: "",
        unit: "",
        what,
    }
}

/// The parameters of the row.
pub(super) const PARAMS: &[Param] = &[
    condition("enter_long", "condition to enter a long position"),
    condition(
        "exit_long",
        "condition to leave it; without one its stops and targets do",
    ),
    condition("enter_short", "condition to enter a short position"),
    condition("exit_short", "condition to leave it"),
];

/// Whether a parameter of the row is a condition, which has places to name in an error.
pub fn is_condition(param: &str) -> bool {
    PARAMS.iter().any(|p| p.name == param)
}

#[derive(Debug)]
struct Condition {
    rule: Rule,
    /// Its name and text, as `why` shows them.
    said: Arc<str>,
}

#[derive(Debug)]
struct Ruled {
    needs: Needs,
    enter_long: Option<Condition>,
    exit_long: Option<Condition>,
    enter_short: Option<Condition>,
    exit_short: Option<Condition>,
    held: Held,
    frame: Frame,
    values: Vec<f64>,
}

pub(super) fn build(config: &StrategyConfig, _: &Params) -> Result<Box<dyn Strategy>, String> {
    let mut needs = Needs::default();
    let mut compiled = |name: &str| {
        let text = config.text(name);
        if text.trim().is_empty() {
            return Ok(None);
        }
        let rule = rules::compile(text, &mut needs).map_err(|fault| format!("{name}: {fault}"))?;
        let said = format!("{name}: {text}").into();
        Ok::<_, String>(Some(Condition { rule, said }))
    };
    let ruled = Ruled {
        enter_long: compiled("enter_long")?,
        exit_long: compiled("exit_long")?,
        enter_short: compiled("enter_short")?,
        exit_short: compiled("exit_short")?,
        needs,
        held: Held::default(),
        frame: Frame::default(),
        values: Vec::new(),
    };
    if ruled.enter_long.is_none() && ruled.enter_short.is_none() {
        return Err(
            "rules need enter_long or enter_short, as in enter_long = \"rsi(14) < 30\"".to_owned(),
        );
    }
    if ruled.enter_short.is_some() && config.direction == Direction::Long {
        return Err("enter_short needs direction = \"short\" or \"both\"".to_owned());
    }
    if ruled.enter_long.is_some() && config.direction == Direction::Short {
        return Err("enter_long needs direction = \"long\" or \"both\"".to_owned());
    }
    Ok(Box::new(ruled))
}

impl Strategy for Ruled {
    fn needs(&self) -> Vec<Spec> {
        self.needs.specs.clone()
    }

    fn inputs(&self) -> Vec<String> {
        let mut names = self.needs.names();
        names.truncate(super::INPUTS_MAX);
        names
    }

    fn on_candle(&mut self, view: &View<'_>) -> Decision {
        fill(&mut self.frame, &self.needs, &mut self.held, view);
        shown(&self.needs, &self.frame, &mut self.values);
        let order = match self.held.side {
            0 => [
                (&self.enter_long, Target::Long),
                (&self.enter_short, Target::Short),
            ],
            1 => [
                (&self.enter_short, Target::Short),
                (&self.exit_long, Target::Flat),
            ],
            _ => [
                (&self.enter_long, Target::Long),
                (&self.exit_short, Target::Flat),
            ],
        };
        let mut ready = true;
        for (condition, target) in order {
            let Some(condition) = condition else {
                continue;
            };
            match condition.rule.holds(&self.frame) {
                Ok(true) => {
                    let said = Said::Text(Arc::clone(&condition.said));
                    return Decision {
                        action: Action::be(target),
                        why: Why::new(said, &self.values),
                    };
                }
                Ok(false) => {}
                Err(_) => ready = false,
            }
        }
        let said = if ready { Said::NoSignal } else { Said::WarmUp };
        Decision {
            action: Action::Hold,
            why: Why::new(said, &self.values),
        }
    }

    fn state(&self) -> Vec<u8> {
        postcard::to_allocvec(&self.held).unwrap_or_default()
    }

    fn restore(&mut self, state: &[u8]) {
        if let Ok(held) = postcard::from_bytes(state) {
            self.held = held;
        }
    }
}
