//! What a script's names are: numbers that know their history, so that `close[1]` and
//! `crosses_above(ema(9), ema(21))` mean in a script what they mean in a rule.

#[expect(
    clippy::disallowed_types,
    reason = "one script's own, on one thread: nobody ever waits for it"
)]
use std::sync::{Arc, Mutex, PoisonError};

use rhai::{Dynamic, Engine, EvalAltResult, Position};

use super::super::vocabulary::{
    FUNCTIONS, Field, Frame, Function, HISTORY_MAX, INDICATOR_BACK_MAX, same,
};

/// What a script may tell in one call, in lines.
const NOTES_MAX: usize = 8;
/// Longest line, in bytes.
const NOTE_BYTES_MAX: usize = 200;
/// Most wishes of one call: more is a loop that has gone wrong.
const WISHES_MAX: usize = 4;

/// What a script wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To enter a long position.
    Buy,
    /// To enter a short position.
    Sell,
    /// To leave the position.
    Exit,
}

/// What the script reads and says while it runs.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) frame: Frame,
    pub(super) wishes: Vec<Wish>,
    pub(super) notes: Vec<String>,
}

impl Desk {
    pub(super) fn note(&mut self, text: &str) {
        if self.notes.len() < NOTES_MAX {
            let mut end = text.len().min(NOTE_BYTES_MAX);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            self.notes
                .push(text.get(..end).unwrap_or_default().to_owned());
        }
    }
}

/// The desk, as the engine's functions reach it. A script runs on one thread, so nobody ever waits.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::disallowed_types,
    reason = "the engine's functions must be able to move to another thread with it"
)]
pub(super) struct Shared(Arc<Mutex<Desk>>);

impl Shared {
    pub(super) fn with<T>(&self, job: impl FnOnce(&mut Desk) -> T) -> T {
        // A panic inside would have ended the process.
        job(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Why a script stops on its way; the text of everything else is an error of the script.
pub(super) const NOT_READY: &str = "not ready: ";

pub(super) type Failed = Box<EvalAltResult>;

#[expect(
    clippy::unnecessary_box_returns,
    reason = "the engine's errors are boxed"
)]
pub(super) fn not_ready(what: &str) -> Failed {
    EvalAltResult::ErrorRuntime(format!("{NOT_READY}{what}").into(), Position::NONE).into()
}

#[expect(
    clippy::unnecessary_box_returns,
    reason = "the engine's errors are boxed"
)]
fn wrong(what: String) -> Failed {
    EvalAltResult::ErrorRuntime(what.into(), Position::NONE).into()
}

/// Where a reading has its history.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    Field(Field),
    Indicator { index: u16, output: u8 },
}

/// A number of the last closed candle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) now: f64,
    pub(super) back: u16,
    pub(super) source: Source,
}

impl Reading {
    pub(super) fn new(frame: &Frame, source: Source, back: u16) -> Result<Self, Failed> {
        let now = match source {
            Source::Field(field) => frame.field(field, back),
            Source::Indicator { index, output } => {
                let back = u8::try_from(back).unwrap_or(u8::MAX);
                frame.indicator(index, output, back)
            }
        };
        if now.is_nan() {
            return Err(not_ready(&source.name()));
        }
        Ok(Self { now, back, source })
    }

    fn at(self, shared: &Shared, back: i64) -> Result<Self, Failed> {
        let limit = match self.source {
            Source::Field(_) => HISTORY_MAX,
            Source::Indicator { .. } => INDICATOR_BACK_MAX,
        };
        let back = u16::try_from(back)
            .ok()
            .filter(|b| *b <= limit && self.back == 0);
        let Some(back) = back else {
            return Err(wrong(format!(
                "the history of {} is a whole number of candles, 0 to {limit}",
                self.source.name()
            )));
        };
        shared.with(|desk| Self::new(&desk.frame, self.source, back))
    }
}

impl Source {
    fn name(self) -> String {
        match self {
            Self::Field(field) => {
                let meaning = super::super::vocabulary::Meaning::Field(field);
                super::super::vocabulary::name_of(meaning).to_owned()
            }
            Self::Indicator { .. } => "an indicator is warming up".to_owned(),
        }
    }
}

/// An indicator of which an output must be chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outputs {
    pub(super) index: u16,
}

/// Whatever stands for a number.
trait Amount: Clone + Send + Sync + 'static {
    fn amount(&self) -> f64;

    /// Where its history is; a plain number has always been what it is.
    fn before(&self, shared: &Shared) -> Result<f64, Failed>;
}

impl Amount for f64 {
    fn amount(&self) -> f64 {
        *self
    }

    fn before(&self, _: &Shared) -> Result<f64, Failed> {
        Ok(*self)
    }
}

impl Amount for i64 {
    fn amount(&self) -> f64 {
        *self as f64
    }

    fn before(&self, _: &Shared) -> Result<f64, Failed> {
        Ok(*self as f64)
    }
}

impl Amount for Reading {
    fn amount(&self) -> f64 {
        self.now
    }

    fn before(&self, shared: &Shared) -> Result<f64, Failed> {
        let back = self.back.saturating_add(1);
        shared.with(|desk| Self::new(&desk.frame, self.source, back).map(|r| r.now))
    }
}

/// Enters everything that can be done with readings, and the functions of the vocabulary.
pub(super) fn register(engine: &mut Engine, shared: &Shared) {
    operators::<Reading, Reading>(engine);
    operators::<Reading, f64>(engine);
    operators::<Reading, i64>(engine);
    operators::<f64, Reading>(engine);
    operators::<i64, Reading>(engine);
    // The engine's own take what is nearly equal for equal, and infinities for nothing.
    comparisons::<f64, f64>(engine);
    comparisons::<f64, i64>(engine);
    comparisons::<i64, f64>(engine);
    engine.register_fn("-", |a: Reading| -a.now);
    engine.register_fn("+", |a: &str, b: Reading| format!("{a}{}", b.now));
    engine.register_fn("to_string", |a: &mut Reading| a.now.to_string());
    engine.register_fn("to_debug", |a: &mut Reading| a.now.to_string());
    engine.register_fn("print", |a: &mut Reading| a.now.to_string());
    engine.register_fn("to_float", |a: Reading| a.now);
    engine.register_fn("to_float", |a: i64| a as f64);
    engine.register_fn("to_float", |a: f64| a);
    let history = shared.clone();
    engine.register_indexer_get(move |a: &mut Reading, back: i64| a.at(&history, back));
    for row in FUNCTIONS {
        match row.function {
            Function::One(function) => {
                engine.register_fn(row.name, move |a: f64| function(a));
                engine.register_fn(row.name, move |a: i64| function(a as f64));
                engine.register_fn(row.name, move |a: Reading| function(a.now));
            }
            Function::Two(function) => {
                two::<f64, f64>(engine, row.name, function);
                two::<f64, i64>(engine, row.name, function);
                two::<f64, Reading>(engine, row.name, function);
                two::<i64, f64>(engine, row.name, function);
                two::<i64, i64>(engine, row.name, function);
                two::<i64, Reading>(engine, row.name, function);
                two::<Reading, f64>(engine, row.name, function);
                two::<Reading, i64>(engine, row.name, function);
                two::<Reading, Reading>(engine, row.name, function);
            }
            Function::CrossesAbove => crossings(engine, shared, row.name, |a, b| a > b),
            Function::CrossesBelow => crossings(engine, shared, row.name, |a, b| a < b),
        }
    }
    for (name, wish) in [
        ("buy", Wish::Buy),
        ("sell", Wish::Sell),
        ("exit", Wish::Exit),
    ] {
        let desk = shared.clone();
        engine.register_fn(name, move || {
            desk.with(|desk| {
                if desk.wishes.len() >= WISHES_MAX {
                    return Err(wrong(format!(
                        "more than {WISHES_MAX} orders at one candle"
                    )));
                }
                desk.wishes.push(wish);
                Ok(())
            })
        });
    }
    let desk = shared.clone();
    engine.on_print(move |text| desk.with(|desk| desk.note(text)));
    let desk = shared.clone();
    engine.on_debug(move |text, _, _| desk.with(|desk| desk.note(text)));
}

fn operators<A: Amount, B: Amount>(engine: &mut Engine) {
    two::<A, B>(engine, "+", |a, b| a + b);
    two::<A, B>(engine, "-", |a, b| a - b);
    two::<A, B>(engine, "*", |a, b| a * b);
    two::<A, B>(engine, "/", |a, b| a / b);
    two::<A, B>(engine, "%", |a, b| a % b);
    comparisons::<A, B>(engine);
}

fn comparisons<A: Amount, B: Amount>(engine: &mut Engine) {
    compare::<A, B>(engine, "<", |a, b| a < b);
    compare::<A, B>(engine, "<=", |a, b| a <= b);
    compare::<A, B>(engine, ">", |a, b| a > b);
    compare::<A, B>(engine, ">=", |a, b| a >= b);
    compare::<A, B>(engine, "==", same);
    compare::<A, B>(engine, "!=", |a, b| !same(a, b));
}

fn two<A: Amount, B: Amount>(engine: &mut Engine, name: &str, function: fn(f64, f64) -> f64) {
    engine.register_fn(name, move |a: A, b: B| function(a.amount(), b.amount()));
}

fn compare<A: Amount, B: Amount>(engine: &mut Engine, name: &str, function: fn(f64, f64) -> bool) {
    engine.register_fn(name, move |a: A, b: B| {
        let (a, b) = (a.amount(), b.amount());
        if a.is_nan() || b.is_nan() {
            return Err(not_ready("a quotient of zeros"));
        }
        Ok::<bool, Failed>(function(a, b))
    });
}

fn crossings(engine: &mut Engine, shared: &Shared, name: &str, beyond: fn(f64, f64) -> bool) {
    crossing::<Reading, Reading>(engine, shared, name, beyond);
    crossing::<Reading, f64>(engine, shared, name, beyond);
    crossing::<Reading, i64>(engine, shared, name, beyond);
    crossing::<f64, Reading>(engine, shared, name, beyond);
    crossing::<i64, Reading>(engine, shared, name, beyond);
}

fn crossing<A: Amount, B: Amount>(
    engine: &mut Engine,
    shared: &Shared,
    name: &str,
    beyond: fn(f64, f64) -> bool,
) {
    let shared = shared.clone();
    engine.register_fn(name, move |a: A, b: B| {
        let (a_before, b_before) = (a.before(&shared)?, b.before(&shared)?);
        Ok::<bool, Failed>(!beyond(a_before, b_before) && beyond(a.amount(), b.amount()))
    });
}

/// A reading is a plain number once it is kept.
pub(super) fn plain(value: &Dynamic) -> Option<f64> {
    value.read_lock::<Reading>().map(|reading| reading.now)
}
