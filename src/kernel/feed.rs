//! Public market data: into its market, and from there to whatever follows from it.

use super::Kernel;
use super::event::{self, BookFault, Effect, Effects, LossReason, MarketEvent, Notice, Record};
use super::indicators::Kept;
use super::ledger::Holding;
use super::market::{Market, Series, Step};
use super::types::{Instrument, InstrumentId, Interval, Price};

impl Kernel {
    pub(super) fn market(&self) -> Market {
        let series = |interval: &Interval| {
            let kept = self.config.indicators.iter().cloned().map(Kept::new);
            Series::new(*interval, self.config.candles_kept, kept.collect())
        };
        Market::new(
            self.config.book_levels_max,
            self.config.intervals.iter().map(series).collect(),
        )
    }

    pub(super) fn on_market(&mut self, event: &MarketEvent, effects: &mut Effects) {
        let id = event.instrument;
        self.applied = false;
        if let event::MarketData::Listing(listing) = &event.data {
            self.on_listing(id, listing, effects);
        }
        let (Some(market), Some(instrument)) =
            (self.markets.get_mut(id.index()), self.ledger.instrument(id))
        else {
            return;
        };
        let outcome = market.apply(event, instrument);
        self.applied = outcome.applied;
        if let Some(due) = self.dues.get_mut(id.index()) {
            *due = market.deadline();
        }
        // Where nothing is held and nothing is wanted, no price matters.
        if self.ledger.holding(id).is_some_and(Holding::is_exposed) {
            let mark = market.mark(instrument);
            self.revalue(id, mark, effects);
        }
        self.mark(event);
        match outcome.step {
            Some(Step::NeedsSnapshot(reason)) => {
                self.dirty.books.insert(id);
                effects.push(Effect::Notice(Notice::BookInvalid {
                    instrument: id,
                    reason,
                }));
                // After a lost connection the feed fetches a snapshot by itself once it is back.
                if !matches!(
                    reason,
                    BookFault::Lost(LossReason::Disconnected | LossReason::Unsubscribed)
                ) {
                    effects.push(Effect::Resync(id));
                }
            }
            Some(Step::BecameValid) => {
                effects.push(Effect::Notice(Notice::BookValid(id)));
            }
            Some(Step::Changed | Step::Unchanged) | None => {}
        }
        for interval in outcome.mismatched {
            effects.push(Effect::Notice(Notice::CandleMismatch {
                instrument: id,
                interval,
            }));
        }
        self.candles_closed(id, &outcome.closed, effects);
        self.look(id, effects);
    }

    /// The mark of an instrument that is held, or that orders are for, may have moved.
    fn revalue(&mut self, id: InstrumentId, mark: Option<Price>, effects: &mut Effects) {
        let known = self.ledger.holding(id);
        let Some(holding) = known.filter(|_| self.valuation.mark(id) != mark) else {
            return;
        };
        let held = holding.positions().iter().any(|p| p.qty != 0);
        self.valuation.refresh(id, &self.ledger, mark);
        if held {
            self.watch(effects);
        }
    }

    /// The venue describes an instrument anew. Its scales stay as they are while the process runs.
    pub(super) fn on_listing(
        &mut self,
        id: InstrumentId,
        listing: &Instrument,
        effects: &mut Effects,
    ) {
        let Some(known) = self.ledger.instrument(id) else {
            return;
        };
        let same_scales = (known.price_scale, known.qty_scale, &known.name)
            == (listing.price_scale, listing.qty_scale, &listing.name);
        if !same_scales || known == listing {
            return;
        }
        let instrument = Box::new(listing.clone());
        // It fails for want of sequence numbers alone, and then nothing was changed.
        if self
            .commit(Record::InstrumentDefined { id, instrument }, effects)
            .is_ok()
        {
            effects.push(Effect::Notice(Notice::Relisted(id)));
        }
    }

    fn mark(&mut self, event: &MarketEvent) {
        use event::MarketData as D;
        let id = event.instrument;
        match event.data {
            D::Depth(_) | D::Snapshot(_) | D::Verified { .. } | D::Lost(..) => {
                self.dirty.books.insert(id);
            }
            D::Trade(_) | D::Kline(_) | D::History(_) => {
                self.dirty.series.insert(id);
            }
            D::Listing(_) => {
                self.dirty.listings.insert(id);
            }
            D::Quote(_) | D::Stats(_) | D::Derivative(_) | D::Liquidation(_) | D::OffBook(_) => {}
        }
        self.dirty.tickers.insert(id);
    }
}
