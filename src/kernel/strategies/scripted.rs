//! Strategies that are scripts: the text comes with the configuration, this holds the script and does
//! what it says.

use std::sync::Arc;

use super::frame::{Held, fill, shown};
use super::params::{Kind, Param, Params};
use super::{Action, Decision, Said, Strategy, StrategyConfig, Target, View, Why};
use crate::kernel::indicators::Spec;
use crate::kernel::scripts::{Halted, Script, Wish};
use crate::kernel::vocabulary::Frame;

/// The parameters of the row.
pub(super) const PARAMS: &[Param] = &[Param {
    name: "file",
    kind: Kind::Text,
    min: "",
    max: "",
    default: "",
    unit: "",
    what: "the script, relative to the configuration file",
}];

#[derive(Debug)]
struct Scripted {
    script: Script,
    /// The file, for what is said of it.
    file: String,
    held: Held,
    frame: Frame,
    values: Vec<f64>,
}

pub(super) fn build(config: &StrategyConfig, _: &Params) -> Result<Box<dyn Strategy>, String> {
    let Some(source) = &config.source else {
        return Err("a script needs its text: file = \"name.rhai\"".to_owned());
    };
    let script = Script::compile(&source.text).map_err(|fault| fault.in_file(&source.name))?;
    Ok(Box::new(Scripted {
        script,
        file: source.name.clone(),
        held: Held::default(),
        frame: Frame::default(),
        values: Vec::new(),
    }))
}

impl Strategy for Scripted {
    fn needs(&self) -> Vec<Spec> {
        self.script.needs().specs.clone()
    }

    fn inputs(&self) -> Vec<String> {
        let mut names = self.script.needs().names();
        names.truncate(super::INPUTS_MAX);
        names
    }

    fn on_candle(&mut self, view: &View<'_>) -> Decision {
        fill(&mut self.frame, self.script.needs(), &mut self.held, view);
        shown(self.script.needs(), &self.frame, &mut self.values);
        let outcome = match self.script.call(&mut self.frame) {
            Ok(outcome) => outcome,
            Err(Halted::NotReady(_)) => {
                return Decision {
                    action: Action::Hold,
                    why: Why::new(Said::WarmUp, &self.values),
                };
            }
            Err(Halted::Stopped(fault)) => {
                return Decision {
                    action: Action::Fail(fault.in_file(&self.file).into()),
                    why: Why::new(Said::NoSignal, &self.values),
                };
            }
        };
        // The last word counts.
        let wish = outcome.wishes.last();
        let said = match (outcome.notes.is_empty(), wish) {
            (false, _) => Said::Text(Arc::from(outcome.notes.join("; "))),
            (true, Some(_)) => Said::Signal,
            (true, None) => Said::NoSignal,
        };
        let action = match wish {
            Some(Wish::Buy) => Action::be(Target::Long),
            Some(Wish::Sell) => Action::be(Target::Short),
            Some(Wish::Exit) => Action::be(Target::Flat),
            None => Action::Hold,
        };
        Decision {
            action,
            why: Why::new(said, &self.values),
        }
    }

    fn state(&self) -> Vec<u8> {
        postcard::to_allocvec(&(self.held, self.script.state())).unwrap_or_default()
    }

    fn restore(&mut self, state: &[u8]) {
        if let Ok((held, own)) = postcard::from_bytes::<(Held, Vec<u8>)>(state) {
            self.held = held;
            self.script.restore(&own);
        }
    }
}
