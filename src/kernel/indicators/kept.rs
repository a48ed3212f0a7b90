//! An indicator that is kept up to date over a series of candles.

use std::hash::{Hash as _, Hasher};

use super::{Bar, Indicator, Spec, Values};
use crate::kernel::event::Candle;
use crate::kernel::types::Instrument;

/// An indicator that is kept up to date over a series.
#[derive(Debug)]
pub struct Kept {
    name: String,
    spec: Spec,
    indicator: Box<dyn Indicator>,
    value: Option<Values>,
    before: Option<Values>,
}

impl Kept {
    /// Not warmed up.
    pub fn new(spec: Spec) -> Self {
        Self {
            name: spec.to_string(),
            indicator: spec.build(),
            spec,
            value: None,
            before: None,
        }
    }

    /// Its full name, `ema:20`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of its outputs.
    pub fn outputs(&self) -> &'static [&'static str] {
        self.spec.row().outputs
    }

    /// After the last closed candle.
    pub fn value(&self) -> Option<Values> {
        self.value
    }

    /// After the closed candle before that.
    pub fn before(&self) -> Option<Values> {
        self.before
    }

    /// If this candle closed now.
    pub fn peek(&self, candle: &Candle, instrument: &Instrument) -> Option<Values> {
        self.indicator.peek(Bar::new(candle, instrument))
    }

    /// A candle closed.
    pub fn push(&mut self, bar: Bar) {
        self.before = self.value;
        self.value = self.indicator.push(bar);
    }

    /// Starts anew.
    pub fn reset(&mut self) {
        *self = Self::new(self.spec.clone());
    }

    /// Every bit of the state.
    pub fn hash_bits(&self, state: &mut dyn Hasher) {
        let mut state = state;
        self.name.hash(&mut state);
        self.value.map(|v| v.map(f64::to_bits)).hash(&mut state);
        self.before.map(|v| v.map(f64::to_bits)).hash(&mut state);
        self.indicator.hash_bits(state);
    }
}
