//! Makes the published views from the kernel's state, for what changed since the last time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Kernel;
use super::event::{OrderChange, Record, ReportKind, Seq, Sequenced, VenueReport};
use super::ledger::{Effect, FILLS_KEPT};
use super::market::{Book, Market};
use super::orders::{Link, Order, OrderId, PositionSide};
use super::running::Running;
use super::snapshot::{
    AccountView, BOOK_LEVELS_PUBLISHED, BookView, DecisionView, IndicatorView, KernelView,
    OrderView, PositionView, Published, PublishedInstrument, SeriesView, StatsView, StrategyView,
    TickerView,
};
use super::types::{Contract, InstrumentId, Money, Side};

impl Kernel {
    /// Publishes what changed since the last call. Once per batch of steps.
    pub fn publish(&mut self, to: &Published) {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.ledger = self.ledger.take_changes();
        for id in dirty.listings.iter() {
            if let (Some(instrument), Some(slot)) =
                (self.ledger.instrument(id), to.instruments.get(id.index()))
            {
                slot.instrument.store(Arc::new(instrument.clone()));
            }
        }
        for id in dirty.books.iter() {
            if let Some((market, slot)) = self.slot(id, to) {
                slot.book.store(Arc::new(book_view(market)));
            }
        }
        for id in dirty.tickers.iter() {
            if let Some((market, slot)) = self.slot(id, to) {
                slot.ticker.store(Arc::new(ticker_view(market)));
            }
        }
        for id in dirty.series.iter() {
            if let Some((market, slot)) = self.slot(id, to) {
                self.publish_series(id, market, slot);
            }
        }
        for id in &dirty.ledger.orders {
            if let Some(order) = self.ledger.orders().get(*id) {
                publish_order(to, order, self.ledger.seq());
            }
        }
        for id in &dirty.ledger.forgotten {
            forget(to, *id);
        }
        if let Some(from) = dirty.ledger.fills {
            self.publish_fills(to, from);
        }
        if dirty.ledger.account || !dirty.ledger.orders.is_empty() {
            self.publish_exposure(to);
        }
        if !dirty.tickers.is_empty() || dirty.ledger.account || !dirty.ledger.orders.is_empty() {
            to.account.store(Arc::new(self.account_view()));
        }
        let strategies = match self.strategy_views.take() {
            Some(known) => known,
            None => self.strategy_views(),
        };
        self.strategy_views = Some(Arc::clone(&strategies));
        to.kernel.store(Arc::new(self.kernel_view(strategies)));
    }

    /// Publishes everything, as at a start.
    pub fn publish_all(&mut self, to: &Published) {
        for index in 0..self.markets.len() {
            let id = InstrumentId(u16::try_from(index).unwrap_or(u16::MAX));
            self.dirty.books.insert(id);
            self.dirty.tickers.insert(id);
            self.dirty.series.insert(id);
        }
        for order in self.ledger.orders().iter() {
            publish_order(to, order, self.ledger.seq());
        }
        self.publish_fills(to, Seq(0));
        self.publish(to);
    }

    /// Executions from the record `from` on; the oldest go.
    fn publish_fills(&self, to: &Published, from: Seq) {
        for fill in self.ledger.fills_since(from) {
            to.fills.insert(fill.seq, Arc::clone(fill));
        }
        while to.fills.len() > FILLS_KEPT {
            to.fills.pop_front();
        }
    }

    /// Which instruments have positions or open orders.
    fn publish_exposure(&self, to: &Published) {
        for ((_, _, holding), slot) in self.ledger.holdings().zip(to.instruments.iter()) {
            slot.exposed.store(holding.is_exposed(), Ordering::Relaxed);
        }
    }

    fn slot<'a>(
        &self,
        id: InstrumentId,
        to: &'a Published,
    ) -> Option<(&Market, &'a PublishedInstrument)> {
        Some((
            self.markets.get(id.index())?,
            to.instruments.get(id.index())?,
        ))
    }

    fn publish_series(&self, id: InstrumentId, market: &Market, slot: &PublishedInstrument) {
        let Some(instrument) = self.ledger.instrument(id) else {
            return;
        };
        for (series, slot) in market.series().iter().zip(slot.series.iter()) {
            let indicators = series.indicators().iter().map(|kept| IndicatorView {
                name: kept.name().to_owned(),
                outputs: kept.outputs(),
                values: kept.value(),
                preview: series.forming().and_then(|c| kept.peek(c, instrument)),
            });
            let indicators = Arc::new(indicators.collect());
            let forming = series.forming().copied();
            slot.view.store(Arc::new(SeriesView {
                closed: series.closed().clone(),
                forming,
                mismatches: series.mismatches,
                indicators,
            }));
        }
    }

    fn account_view(&self) -> AccountView {
        let account = self.ledger.account();
        let stats = self.ledger.statistics();
        let equity = self.equity();
        let pnl_total = equity.minus(account.transfers).unwrap_or_default();
        let mut unrealized = Money::ZERO;
        let mut positions = Vec::new();
        for (id, instrument, holding) in self.ledger.holdings() {
            for side in PositionSide::of(account.positions, instrument.contract) {
                let position = holding.position(*side);
                if position.is_blank() {
                    continue;
                }
                let mark = self.market_of(id).and_then(|m| m.mark(instrument));
                let open = mark.and_then(|m| position.unrealized(m, instrument).ok());
                let unrealized_pnl = open.unwrap_or_default();
                unrealized = unrealized.plus(unrealized_pnl).unwrap_or(unrealized);
                let derivative = instrument.contract != Contract::Spot;
                let setting = Some(holding.margin()).filter(|_| derivative);
                positions.push(PositionView {
                    instrument: id,
                    position_side: *side,
                    qty: position.qty,
                    cost: position.cost,
                    mark,
                    unrealized_pnl,
                    realized_pnl: position.realized,
                    fees: position.fees,
                    funding: position.funding,
                    leverage: setting.map(|s| s.leverage),
                    margin_mode: setting.map(|s| s.mode),
                    margin: holding.position_margin(instrument).unwrap_or_default(),
                    liquidation_price: self.liquidation_price(id, *side),
                });
            }
        }
        AccountView {
            currency: account.currency.clone(),
            time: self.now,
            cash: account.cash,
            held: self.ledger.held(),
            margin: self.ledger.bound(),
            available: self.valuation.available(&self.ledger).unwrap_or_default(),
            equity,
            transfers: account.transfers,
            realized_pnl: account.realized,
            unrealized_pnl: unrealized,
            fees: account.fees,
            funding: account.funding,
            insurance: account.insurance,
            exposure: self.valuation.exposure(),
            assets: account
                .assets
                .iter()
                .map(|(name, asset)| (name.clone(), asset.amount))
                .collect(),
            pnl_total,
            pnl_today: pnl_total.minus(stats.day_start_pnl).unwrap_or_default(),
            positions,
            stats: StatsView {
                fills: stats.fills,
                wins: stats.wins,
                losses: stats.losses,
                win_rate_percent: stats.win_rate_percent(),
                sharpe_ratio: stats.sharpe_ratio(),
                sortino_ratio: stats.sortino_ratio(),
                profit_factor: stats.profit_factor(),
                turnover: stats.turnover,
                losing_streak: stats.losing_streak,
                max_drawdown_percent: stats.max_drawdown_percent,
                drawdown_percent: stats.drawdown_percent(),
            },
            curve: Arc::clone(stats.curve()),
        }
    }

    fn strategy_views(&self) -> Arc<[StrategyView]> {
        let mut strategies: Vec<StrategyView> = Vec::new();
        for config in &self.config.strategies {
            let own = self.strategies.iter().filter(|r| r.name == config.name);
            let decisions: Vec<DecisionView> = own.clone().map(Running::view).collect();
            let failed = own.filter(|r| r.failed.is_some()).count();
            strategies.push(StrategyView {
                name: config.name.clone(),
                kind: config.kind.clone(),
                version: config.version(),
                running: self.ledger.strategy_runs(&config.name) != Some(false)
                    && (failed == 0 || failed < decisions.len()),
                decisions,
            });
        }
        strategies.into()
    }

    fn kernel_view(&self, strategies: Arc<[StrategyView]>) -> KernelView {
        let orders = self.ledger.orders();
        KernelView {
            seq: self.ledger.seq(),
            durable: self.durable,
            orders_open: orders.open_len(),
            orders_unknown: orders.unknown_len(),
            journal_full: self.journal_full,
            strategies,
            strategy_names: Arc::clone(&self.strategy_names),
            risk_mode: self.risk_mode(),
            risk_cause: self.ledger.risk().cause(self.now),
            risk: *self.ledger.risk(),
        }
    }
}

fn publish_order(to: &Published, order: &Order, seq: Seq) {
    if let Some(key) = order.client_order_id() {
        to.client_orders.insert(*key, order.id);
    }
    if let Link::Exit { parent, role } = order.link() {
        to.exits.insert((*parent, *role), order.id);
    }
    let order = order.clone();
    to.orders
        .insert(order.id, Arc::new(OrderView { order, seq }));
}

fn forget(to: &Published, id: OrderId) {
    let Some(entry) = to.orders.remove(&id) else {
        return;
    };
    if let Some(key) = entry.value().client_order_id() {
        to.client_orders.remove(key);
    }
    if let Link::Exit { parent, role } = entry.value().link() {
        let exit = (*parent, *role);
        if to.exits.get(&exit).is_some_and(|e| *e.value() == id) {
            to.exits.remove(&exit);
        }
    }
}

fn book_view(market: &Market) -> BookView {
    let book = market.book.valid();
    let side = |side| {
        let levels = |b: &Book| b.levels(side).take(BOOK_LEVELS_PUBLISHED).collect();
        book.map(levels).unwrap_or_default()
    };
    BookView {
        valid: book.is_some(),
        fault: market.book.fault(),
        update_id: market.book.last_id(),
        time: market.time,
        bids: side(Side::Buy),
        asks: side(Side::Sell),
        updates: market.book.updates,
        gaps: market.book.gaps,
        resyncs: market.book.resyncs,
        crossed: market.book.crossed,
        seen: market.book_seen(),
    }
}

fn ticker_view(market: &Market) -> TickerView {
    let (bid, ask) = market.best();
    TickerView {
        last_price: market.last_price(),
        bid,
        ask,
        time: market.time,
        received: market.received,
        day: market.day(),
        derivative: market.derivative(),
        last_liquidation: market.last_liquidation(),
        liquidations: market.liquidations,
        session_volume: market.volume,
        trades: market.trades,
        trade_gaps: market.trade_gaps,
        recent: market.recent().copied().collect(),
    }
}

/// What a record made of an order.
pub(super) fn order_change(record: &Sequenced, order: &Order, effect: Effect) -> OrderChange {
    let fill = match &record.record {
        Record::Report(VenueReport {
            kind: ReportKind::Fill(fill),
            ..
        }) if effect.filled => Some(fill.clone()),
        _ => None,
    };
    OrderChange {
        seq: record.seq,
        time: record.time,
        order: order.clone(),
        fill,
        answered: effect.answered,
        disputed: effect.disputed,
    }
}
