//! Scripts: strategies in Rhai, run at each closed candle from their first line to their last.
//!
//! They read the market with the names of the vocabulary, as rules do, and say `buy()`, `sell()` and
//! `exit()`. What they keep is `state`, a map. A script that errs, loops or asks for too much is stopped
//! with the reason; nothing that it does ends anything else. No input but the frame and the state
//! reaches it, so equal inputs give equal decisions.

mod check;
mod engine;
mod reading;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;

use rhai::{AST, Dynamic, Engine, EvalAltResult, Map, Scope};

use super::vocabulary::{Fault, Frame, Needs};
use reading::{NOT_READY, Shared};
use state::Value;

pub use engine::{OPERATIONS_MAX, SCRIPT_BYTES_MAX};
pub use reading::Wish;
pub use state::STATE_BYTES_MAX;

/// A compiled script with its state.
pub struct Script {
    engine: Engine,
    ast: AST,
    needs: Needs,
    shared: Shared,
    scope: Scope<'static>,
    state: Map,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Script");
        shown
            .field("needs", &self.needs)
            .field("state", &self.state);
        shown.finish_non_exhaustive()
    }
}

/// What a call came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What the script wants, in the order of its calls.
    pub wishes: Vec<Wish>,
    /// What it printed.
    pub notes: Vec<String>,
}

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halted {
    /// It read what has no value yet; the next candle may bring it.
    NotReady(String),
    /// It did what it must not: it is not called again.
    Stopped(Fault),
}

impl Script {
    /// Compiles the text and checks the names in it.
    pub fn compile(text: &str) -> Result<Self, Fault> {
        let shared = Shared::default();
        let (engine, ast, found) = engine::compile(text, &shared)?;
        Ok(Self {
            engine,
            ast,
            needs: found.needs,
            shared,
            scope: Scope::new(),
            state: Map::new(),
        })
    }

    /// What must be in a frame.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Runs it. An outcome of `Err` changes nothing, the state neither.
    pub fn call(&mut self, frame: &mut Frame) -> Result<Outcome, Halted> {
        self.shared.with(|desk| {
            std::mem::swap(&mut desk.frame, frame);
            desk.wishes.clear();
            desk.notes.clear();
        });
        self.scope.clear();
        self.scope
            .push_dynamic("state", Dynamic::from_map(self.state.clone()));
        let ran = self
            .engine
            .eval_ast_with_scope::<Dynamic>(&mut self.scope, &self.ast);
        let (wishes, notes) = self.shared.with(|desk| {
            std::mem::swap(&mut desk.frame, frame);
            (
                std::mem::take(&mut desk.wishes),
                std::mem::take(&mut desk.notes),
            )
        });
        match ran {
            Ok(_) => {}
            Err(error) => return Err(halted(&error)),
        }
        self.keep_state().map_err(|why| {
            Halted::Stopped(Fault {
                line: 1,
                column: 1,
                message: why,
            })
        })?;
        Ok(Outcome { wishes, notes })
    }

    /// Takes over what the script has left in `state`, as plain values.
    fn keep_state(&mut self) -> Result<(), String> {
        let left = self.scope.get("state").cloned().unwrap_or(Dynamic::UNIT);
        let value = Value::of(&left, 0)?;
        let Value::Map(_) = &value else {
            return Err("state must stay a map: write state.name = value".to_owned());
        };
        let bytes = postcard::to_stdvec(&value).map_or(usize::MAX, |bytes| bytes.len());
        if bytes > STATE_BYTES_MAX {
            return Err(format!(
                "state takes {bytes} bytes, more than {STATE_BYTES_MAX}"
            ));
        }
        self.state = value.dynamic().cast::<Map>();
        Ok(())
    }

    /// The state as bytes, for a record or for the script that follows.
    pub fn state(&self) -> Vec<u8> {
        let state = Dynamic::from_map(self.state.clone());
        let value = Value::of(&state, 0).unwrap_or(Value::Unit);
        postcard::to_stdvec(&value).unwrap_or_default()
    }

    /// Takes a state over. What is no state leaves it empty.
    pub fn restore(&mut self, bytes: &[u8]) {
        if let Ok(value @ Value::Map(_)) = postcard::from_bytes(bytes) {
            self.state = value.dynamic().cast::<Map>();
        }
    }
}

/// What an error of the engine means.
fn halted(error: &EvalAltResult) -> Halted {
    let inner = error.unwrap_inner();
    let at = match inner.position() {
        at if at.is_none() => error.position(),
        at => at,
    };
    if let EvalAltResult::ErrorRuntime(value, _) = inner
        && let Some(text) = value.read_lock::<rhai::ImmutableString>()
    {
        return match text.strip_prefix(NOT_READY) {
            Some(what) => Halted::NotReady(what.to_owned()),
            None => Halted::Stopped(check::fault(at, text.as_str())),
        };
    }
    let message = match inner {
        EvalAltResult::ErrorTooManyOperations(_) => {
            format!("more than {OPERATIONS_MAX} operations at one candle: does a loop not end?")
        }
        EvalAltResult::ErrorStackOverflow(_) => {
            "functions that call one another too deeply".to_owned()
        }
        other => {
            // The engine's own text, without its place: that is told apart.
            let mut other = other.to_string();
            if let Some(end) = other.rfind(" (line ") {
                other.truncate(end);
            }
            other
        }
    };
    Halted::Stopped(check::fault(at, message))
}
