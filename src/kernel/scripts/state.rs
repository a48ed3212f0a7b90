//! What a script keeps between its calls: a map of plain values, bounded in depth and size, which
//! outlives a restart and a reload.

use std::collections::BTreeMap;

use rhai::{Dynamic, Map};
use serde::{Deserialize, Serialize};

use super::reading::plain;

/// Deepest nesting.
const DEPTH_MAX: usize = 8;
/// Most bytes of a state: what the ledger takes of a strategy, less what is kept beside it.
pub const STATE_BYTES_MAX: usize = 960;

/// A value of the state. The position of a variant is its number on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Value {
    Unit,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

impl Value {
    pub(super) fn of(value: &Dynamic, depth: usize) -> Result<Self, String> {
        if depth > DEPTH_MAX {
            return Err(format!("state is nested deeper than {DEPTH_MAX} levels"));
        }
        if value.is_unit() {
            return Ok(Self::Unit);
        }
        if let Some(number) = plain(value) {
            return Ok(Self::Float(number));
        }
        if let Ok(truth) = value.as_bool() {
            return Ok(Self::Bool(truth));
        }
        if let Ok(number) = value.as_int() {
            return Ok(Self::Int(number));
        }
        if let Ok(number) = value.as_float() {
            return Ok(Self::Float(number));
        }
        if let Ok(letter) = value.as_char() {
            return Ok(Self::Text(letter.to_string()));
        }
        if let Some(text) = value.read_lock::<rhai::ImmutableString>() {
            return Ok(Self::Text(text.to_string()));
        }
        if let Some(list) = value.read_lock::<rhai::Array>() {
            let items = list.iter().map(|item| Self::of(item, depth + 1));
            return items.collect::<Result<_, _>>().map(Self::List);
        }
        if let Some(map) = value.read_lock::<Map>() {
            let items = map.iter().map(|(key, item)| {
                let item = Self::of(item, depth + 1)?;
                Ok((key.to_string(), item))
            });
            return items.collect::<Result<_, _>>().map(Self::Map);
        }
        Err(format!(
            "state keeps numbers, texts, true and false, lists and maps, not a {}",
            value.type_name()
        ))
    }

    pub(super) fn dynamic(&self) -> Dynamic {
        match self {
            Self::Unit => Dynamic::UNIT,
            Self::Bool(truth) => Dynamic::from_bool(*truth),
            Self::Int(number) => Dynamic::from_int(*number),
            Self::Float(number) => Dynamic::from_float(*number),
            Self::Text(text) => text.as_str().into(),
            Self::List(items) => Dynamic::from_array(items.iter().map(Self::dynamic).collect()),
            Self::Map(items) => {
                let items = items.iter().map(|(k, v)| (k.as_str().into(), v.dynamic()));
                Dynamic::from_map(items.collect())
            }
        }
    }
}
