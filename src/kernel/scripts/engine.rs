//! The engine that scripts run in: what it knows, what it has not, and where it ends.
//!
//! There is no clock in it, no random number, no file, no output and no way to make code from text; maps
//! are ordered; what the machine's library would decide in the last bit (`**`, `exp`, `ln`) is replaced.

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicIteratorPackage, BasicMapPackage,
    BasicStringPackage, LogicPackage, Package as _,
};
use rhai::{AST, Dynamic, Engine, OptimizationLevel, Position, Token};

use super::super::indicators::Row;
use super::super::vocabulary::{Fault, Meaning, meaning, name_of};
use super::check::{Called, Found, check, fault};
use super::reading::{Outputs, Reading, Shared, Source, not_ready, register};

/// Longest script, in bytes.
pub const SCRIPT_BYTES_MAX: usize = 64 << 10;
/// Operations of one call, a few for each thing that a script does.
pub const OPERATIONS_MAX: u64 = 4_000;
/// Calls inside of calls.
const CALLS_MAX: usize = 8;
/// Nesting of expressions and blocks.
const DEPTH_MAX: usize = 32;
/// Variables at a time.
const VARIABLES_MAX: usize = 128;
/// Functions that a script defines.
const FUNCTIONS_MAX: usize = 64;
/// Bytes of a text.
const TEXT_MAX: usize = 1_024;
/// Elements of a list, and of a map, with all that is inside. An operation may copy one: with the operations
/// this bounds the time of a call: 20 ms at most were measured (`benches/README.md`).
const ELEMENTS_MAX: usize = 64;

/// An engine for one script, and the script.
pub(super) fn compile(text: &str, shared: &Shared) -> Result<(Engine, AST, Found), Fault> {
    if text.len() > SCRIPT_BYTES_MAX {
        return Err(fault(
            Position::NONE,
            format!("longer than {SCRIPT_BYTES_MAX} bytes"),
        ));
    }
    if text.trim().is_empty() {
        return Err(fault(Position::NONE, "the script is empty"));
    }
    let mut engine = bare();
    register(&mut engine, shared);
    register_names(&mut engine, shared);
    let ast = engine
        .compile(text)
        .map_err(|error| fault(error.position(), error.err_type().to_string()))?;
    let found = check(&ast)?;
    for row in rows(&found.called) {
        register_indicator(&mut engine, shared, row, &found.called);
    }
    Ok((engine, ast, found))
}

fn bare() -> Engine {
    // The same hashes in every process. A second engine finds them set.
    rhai::config::hashing::set_hashing_seed(Some([1, 2, 3, 4])).ok();
    let mut engine = Engine::new_raw();
    ArithmeticPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicStringPackage::new().register_into_engine(&mut engine);
    BasicIteratorPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    for symbol in [
        "**",
        "**=",
        "eval",
        "Fn",
        "call",
        "curry",
        "is_def_fn",
        "is_def_var",
    ] {
        engine.disable_symbol(symbol);
    }
    engine.set_optimization_level(OptimizationLevel::None);
    engine.set_allow_anonymous_fn(false);
    // Ours replace some of them.
    engine.set_fast_operators(false);
    engine.set_max_operations(OPERATIONS_MAX);
    engine.set_max_call_levels(CALLS_MAX);
    engine.set_max_expr_depths(DEPTH_MAX, DEPTH_MAX);
    engine.set_max_variables(VARIABLES_MAX);
    engine.set_max_functions(FUNCTIONS_MAX);
    engine.set_max_string_size(TEXT_MAX);
    engine.set_max_array_size(ELEMENTS_MAX);
    engine.set_max_map_size(ELEMENTS_MAX);
    engine.set_max_strings_interned(256);
    engine
}

/// Words and fields are variables that nobody has to declare; `and`, `or`, `not` are words as in rules.
#[expect(
    deprecated,
    reason = "the engine calls both volatile, not deprecated; a change of them does not compile"
)]
fn register_names(engine: &mut Engine, shared: &Shared) {
    let desk = shared.clone();
    engine.on_var(move |name, _, context| {
        let Some(found) = meaning(name) else {
            return Ok(None);
        };
        // What the script has declared itself hides ours.
        if context.scope().contains(name) {
            return Ok(None);
        }
        desk.with(|desk| match found {
            Meaning::Field(field) => {
                let reading = Reading::new(&desk.frame, Source::Field(field), 0)?;
                Ok(Some(Dynamic::from(reading)))
            }
            Meaning::Word(word) => {
                let value = desk.frame.word(word);
                if value.is_nan() {
                    return Err(not_ready(name_of(found)));
                }
                Ok(Some(Dynamic::from_float(value)))
            }
        })
    });
    engine.on_parse_token(|token, _, _| match token {
        Token::Identifier(word) if *word == "and" => Token::And,
        Token::Identifier(word) if *word == "or" => Token::Or,
        Token::Identifier(word) if *word == "not" => Token::Bang,
        other => other,
    });
}

fn rows(called: &[Called]) -> Vec<&'static Row> {
    let mut rows: Vec<&'static Row> = Vec::new();
    for call in called {
        if !rows.iter().any(|row| row.name == call.row.name) {
            rows.push(call.row);
        }
    }
    rows
}

/// An indicator as a function of its parameters: they lead to its place in the frame.
fn register_indicator(engine: &mut Engine, shared: &Shared, row: &'static Row, called: &[Called]) {
    let of_row = called.iter().filter(|c| c.row.name == row.name);
    let known: Vec<(Vec<f64>, u16)> = of_row.map(|c| (c.params.clone(), c.index)).collect();
    let counts = (0..=row.params.len()).filter(|n| known.iter().any(|(p, _)| p.len() == *n));
    for count in counts {
        let (known, shared) = (known.clone(), shared.clone());
        let types = vec![std::any::TypeId::of::<Dynamic>(); count];
        let several = row.outputs.len() > 1;
        engine.register_raw_fn(row.name, &types, move |_, args| {
            let number = |value: &Dynamic| match value.as_int() {
                Ok(whole) => whole as f64,
                Err(_) => value.as_float().unwrap_or(f64::NAN),
            };
            let same = |params: &[f64]| {
                params.len() == args.len()
                    && params
                        .iter()
                        .zip(&*args)
                        .all(|(p, a)| p.total_cmp(&number(a)).is_eq())
            };
            let index = known
                .iter()
                .find(|(params, _)| same(params))
                .map(|(_, i)| *i);
            let Some(index) = index else {
                // The check of the tree has let only known parameters through.
                return Err(not_ready("an indicator whose parameters changed"));
            };
            if several {
                return Ok(Dynamic::from(Outputs { index }));
            }
            let source = Source::Indicator { index, output: 0 };
            shared.with(|desk| Reading::new(&desk.frame, source, 0).map(Dynamic::from))
        });
    }
    if row.outputs.len() > 1 {
        register_outputs(engine, shared, row, called);
    }
}

/// `.histogram`: which place of the values that is depends on the indicator.
fn register_outputs(engine: &mut Engine, shared: &Shared, row: &'static Row, called: &[Called]) {
    for name in row.outputs {
        let places: Vec<(u16, u8)> = called
            .iter()
            .filter_map(|c| {
                let output = c.row.outputs.iter().position(|o| o == name)?;
                Some((c.index, u8::try_from(output).ok()?))
            })
            .collect();
        let shared = shared.clone();
        engine.register_get(*name, move |outputs: &mut Outputs| {
            let index = outputs.index;
            let place = places.iter().find(|(i, _)| *i == index);
            let Some((_, output)) = place else {
                return Err(not_ready("no such output"));
            };
            let source = Source::Indicator {
                index,
                output: *output,
            };
            shared.with(|desk| Reading::new(&desk.frame, source, 0))
        });
    }
}
