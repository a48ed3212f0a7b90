//! The strategies that run: each looks at its closed candles and may place orders.

use std::sync::Arc;

use super::Kernel;
use super::event::{Effect, Effects, Notice, Record};
use super::ledger::LedgerError;
use super::orders::{Order, Origin, PositionSide, StrategyId};
use super::risk::Rule;
use super::strategies::{self, Strategy, View};
use super::types::{InstrumentId, Interval, Time};

/// A strategy on one instrument.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) name: String,
    pub(super) instrument: InstrumentId,
    pub(super) strategy: Box<dyn Strategy>,
    pub(super) last_decision: String,
    pub(super) decided_at: Time,
    /// The rule that refused its last order: a repeated refusal is not journaled again.
    pub(super) refused_by: Option<Rule>,
}

impl Kernel {
    /// Every strategy of the configuration on every instrument.
    pub(super) fn build_strategies(&mut self, instruments: &[InstrumentId]) {
        for id in instruments {
            for config in &self.config.strategies {
                let Ok(strategy) = strategies::build(config) else {
                    continue;
                };
                self.strategies.push(Running {
                    name: config.name.clone(),
                    instrument: *id,
                    strategy,
                    last_decision: "waiting for the first candle".to_owned(),
                    decided_at: self.now,
                    refused_by: None,
                });
            }
        }
    }

    pub(super) fn define_strategies(&mut self, effects: &mut Effects) -> Result<(), LedgerError> {
        let names: Vec<String> = self
            .config
            .strategies
            .iter()
            .map(|s| s.name.clone())
            .collect();
        for name in names {
            if self.ledger.strategy(&name).is_none() {
                let next = u16::try_from(self.ledger.strategy_names().len()).unwrap_or(u16::MAX);
                let id = StrategyId(next);
                self.commit(Record::StrategyDefined { id, name }, effects)?;
            }
        }
        self.strategy_names = self.ledger.strategy_names().map(str::to_owned).collect();
        Ok(())
    }

    pub(super) fn candles_closed(
        &mut self,
        id: InstrumentId,
        closed: &[Interval],
        effects: &mut Effects,
    ) {
        if closed.is_empty() {
            return;
        }
        self.dirty.series.insert(id);
        for interval in closed {
            let notice = Notice::CandleClosed {
                instrument: id,
                interval: *interval,
            };
            effects.push(Effect::Notice(notice));
        }
        for index in 0..self.strategies.len() {
            let Some(running) = self.strategies.get_mut(index) else {
                continue;
            };
            let concerned =
                running.instrument == id && closed.contains(&running.strategy.interval());
            if concerned && self.ledger.strategy_runs(&running.name) != Some(false) {
                self.decide(index, effects);
            }
        }
    }

    /// Lets a strategy look at a closed candle, and places what it asks for.
    pub(super) fn decide(&mut self, index: usize, effects: &mut Effects) {
        let Some(running) = self.strategies.get_mut(index) else {
            return;
        };
        let id = running.instrument;
        let (Some(market), Some(instrument)) =
            (self.markets.get(id.index()), self.ledger.instrument(id))
        else {
            return;
        };
        let Some(series) = market.series_of(running.strategy.interval()) else {
            return;
        };
        let strategy = self.ledger.strategy(&running.name);
        let own = |o: &&Order| {
            o.instrument == id && strategy.is_some() && o.origin.strategy() == strategy
        };
        let view = View {
            instrument_id: id,
            instrument,
            origin: strategy.map_or(Origin::Operator, Origin::Strategy),
            series,
            // What an operator has sold of it is not the strategy's any more.
            position: strategy.map_or(0, |s| {
                let own = self.ledger.attributed(s, id, PositionSide::Both).qty;
                own.min(self.ledger.position(id, PositionSide::Both).qty)
            }),
            orders_open: self.ledger.orders().open().filter(own).count(),
            tradable: market.book.valid().is_some(),
        };
        let decision = running.strategy.on_candle(&view);
        running.last_decision = decision.why;
        running.decided_at = self.now;
        self.strategy_views = None;
        for spec in decision.orders {
            let repeated = self.strategies.get(index).and_then(|r| r.refused_by);
            let refused = self.place(Arc::new(spec), repeated, effects).err();
            let Some(running) = self.strategies.get_mut(index) else {
                return;
            };
            running.refused_by = refused.as_ref().map(|r| r.rule);
            if let Some(refusal) = refused {
                running.last_decision = format!("{}; refused: {refusal}", running.last_decision);
            }
        }
    }
}
