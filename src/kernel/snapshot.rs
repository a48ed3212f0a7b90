//! What the kernel publishes: immutable views that any thread reads without waiting and without
//! making the kernel wait.
//!
//! The kernel thread is the only writer. Views hold fixed-point numbers; text is made by readers.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use crossbeam_skiplist::SkipMap;

use super::event::{BookFault, Candle, DayStats, Derivative, Level, Liquidation, Seq, Trade};
use super::ledger::BookedFill;
use super::market::CandleLog;
use super::orders::{ClientOrderId, Order, OrderId, PositionSide, Role, StrategyId};
use super::portfolio::MarginMode;
use super::risk::{RiskMode, RiskState};
use super::statistics::EquityCurve;
use super::types::{Instrument, InstrumentId, Interval, Money, Price, Qty, Time};

pub use super::why::{DecisionView, Stop, StrategyView, Verdict};

/// Levels a side in a published book.
pub const BOOK_LEVELS_PUBLISHED: usize = 100;
/// Trades in a published ticker view.
pub const TRADES_PUBLISHED: usize = 100;

/// An order as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderView {
    /// The order.
    pub order: Order,
    /// Everything that is known of the order here is durable when this sequence is.
    pub seq: Seq,
}

impl Deref for OrderView {
    type Target = Order;

    fn deref(&self) -> &Order {
        &self.order
    }
}

/// Everything that is published.
#[derive(Debug)]
pub struct Published {
    /// By [`InstrumentId`].
    pub instruments: Box<[PublishedInstrument]>,
    /// All orders that are kept, by id.
    pub orders: SkipMap<OrderId, Arc<OrderView>>,
    /// Idempotency keys of callers.
    pub client_orders: SkipMap<ClientOrderId, OrderId>,
    /// The newest exit of a kind that was placed for an order (the stop of an OCO, the exits of a bracket).
    pub exits: SkipMap<(OrderId, Role), OrderId>,
    /// The newest executions by the record that told of them, [`FILLS_KEPT`] at most.
    ///
    /// [`FILLS_KEPT`]: super::ledger::FILLS_KEPT
    pub fills: SkipMap<Seq, Arc<BookedFill>>,
    /// Money, positions, statistics.
    pub account: ArcSwap<AccountView>,
    /// State of the kernel itself.
    pub kernel: ArcSwap<KernelView>,
}

/// What is published of one instrument.
#[derive(Debug)]
pub struct PublishedInstrument {
    /// Whether it is read from its venue in this run. Others are known from the journal alone.
    pub active: bool,
    /// Names, scales, filters.
    pub instrument: ArcSwap<Instrument>,
    /// Whether there is a position or an open order.
    pub exposed: AtomicBool,
    /// Order book.
    pub book: ArcSwap<BookView>,
    /// Last prices and trades.
    pub ticker: ArcSwap<TickerView>,
    /// Candles and indicators, one entry for each configured interval.
    pub series: Box<[PublishedSeries]>,
}

/// Candles and indicators of one interval.
#[derive(Debug)]
pub struct PublishedSeries {
    /// Which interval.
    pub interval: Interval,
    /// The candles.
    pub view: ArcSwap<SeriesView>,
}

/// An order book as far as it is published.
#[derive(Debug, Clone, Default)]
pub struct BookView {
    /// Whether the book is verified right now. If not, the levels are empty.
    pub valid: bool,
    /// Why it is not.
    pub fault: Option<BookFault>,
    /// Update id of the last applied event.
    pub update_id: u64,
    /// Venue time of the last applied event.
    pub time: Time,
    /// Best first, [`BOOK_LEVELS_PUBLISHED`] at most.
    pub bids: Vec<Level>,
    /// Best first, [`BOOK_LEVELS_PUBLISHED`] at most.
    pub asks: Vec<Level>,
    /// Depth events applied since the start.
    pub updates: u64,
    /// Gaps found since the start.
    pub gaps: u64,
    /// Snapshots that made the book valid again after it had been valid before.
    pub resyncs: u64,
    /// Times the book was found crossed since the start.
    pub crossed: u64,
    /// When the book was last known to be the venue's, by our clock.
    pub seen: Time,
}

/// Last prices of an instrument.
#[derive(Debug, Clone, Default)]
pub struct TickerView {
    /// Price of the last trade.
    pub last_price: Option<Price>,
    /// Best bid, from the newest of book and ticker stream.
    pub bid: Option<Level>,
    /// Best ask.
    pub ask: Option<Level>,
    /// Venue time of the newest event.
    pub time: Time,
    /// When the newest event was received.
    pub received: Time,
    /// 24-hour figures, if the venue has sent them.
    pub day: Option<DayStats>,
    /// Mark and index price, funding and open interest of a derivative, if the venue has sent them.
    pub derivative: Option<Derivative>,
    /// The newest liquidation.
    pub last_liquidation: Option<Liquidation>,
    /// Liquidations since the start.
    pub liquidations: u64,
    /// Base volume traded since the start, at the quantity scale.
    pub session_volume: i128,
    /// Trades since the start.
    pub trades: u64,
    /// Holes in the trade ids since the start.
    pub trade_gaps: u64,
    /// The last trades, newest last, [`TRADES_PUBLISHED`] at most.
    pub recent: Vec<Trade>,
}

/// Candles of one interval.
#[derive(Debug, Clone, Default)]
pub struct SeriesView {
    /// Closed candles, oldest first; bounded by the configured history.
    pub closed: CandleLog,
    /// The candle that still changes.
    pub forming: Option<Candle>,
    /// Candles of the venue that differed from ours, since the start.
    pub mismatches: u64,
    /// Values of the kept indicators after the last closed candle: name, output values.
    pub indicators: Arc<Vec<IndicatorView>>,
}

/// Values of one indicator.
#[derive(Debug, Clone, PartialEq)]
pub struct IndicatorView {
    /// As users spell it: `macd:12:26:9`.
    pub name: String,
    /// Names of its outputs; `value` where there is one only.
    pub outputs: &'static [&'static str],
    /// A value per output after the last closed candle; `None` until warmed up.
    pub values: Option<[f64; 3]>,
    /// The same with the forming candle as if it had closed now.
    pub preview: Option<[f64; 3]>,
}

/// Money, positions and statistics. Amounts are in the account's quote asset.
#[derive(Debug, Clone, Default)]
pub struct AccountView {
    /// Asset that all amounts are in.
    pub currency: String,
    /// When the view was made.
    pub time: Time,
    /// Money not in positions.
    pub cash: Money,
    /// Part of `cash` that open orders hold.
    pub held: Money,
    /// Part of `cash` that positions in derivatives bind.
    pub margin: Money,
    /// What can still be committed: cash less holds, margin and unrealised losses.
    pub available: Money,
    /// Funding received, less what was paid.
    pub funding: Money,
    /// What insurance funds have covered.
    pub insurance: Money,
    /// Worst-case value of all positions with their open orders.
    pub exposure: Money,
    /// Other assets and how much of them.
    pub assets: Vec<(String, Money)>,
    /// Cash plus positions at mark.
    pub equity: Money,
    /// Money brought in from outside, net.
    pub transfers: Money,
    /// Realised profit and loss, before fees.
    pub realized_pnl: Money,
    /// Profit and loss of the open positions at mark.
    pub unrealized_pnl: Money,
    /// Fees paid.
    pub fees: Money,
    /// Equity less transfers.
    pub pnl_total: Money,
    /// The part of it since 00:00 UTC.
    pub pnl_today: Money,
    /// Open positions and those with a history, by instrument.
    pub positions: Vec<PositionView>,
    /// Statistics.
    pub stats: StatsView,
    /// Equity over time; shared with the kernel, not copied.
    pub curve: Arc<EquityCurve>,
}

/// One position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionView {
    /// Of which instrument.
    pub instrument: InstrumentId,
    /// Which position of it.
    pub position_side: PositionSide,
    /// Signed quantity; negative is short.
    pub qty: i64,
    /// What the open quantity cost, signed like it.
    pub cost: Money,
    /// Price it is valued at.
    pub mark: Option<Price>,
    /// Profit and loss if closed at mark.
    pub unrealized_pnl: Money,
    /// Profit and loss of what was closed, before fees.
    pub realized_pnl: Money,
    /// Fees paid.
    pub fees: Money,
    /// Funding received, less what was paid.
    pub funding: Money,
    /// Leverage; of a derivative.
    pub leverage: Option<u16>,
    /// Cross or isolated; of a derivative.
    pub margin_mode: Option<MarginMode>,
    /// Margin that it binds.
    pub margin: Money,
    /// Where the venue would close it, if nothing else changes.
    pub liquidation_price: Option<Price>,
}

/// Statistics of trading.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StatsView {
    /// Executions of our orders.
    pub fills: u64,
    /// Closing executions with a profit.
    pub wins: u64,
    /// Closing executions with a loss.
    pub losses: u64,
    /// Wins in a hundred closing executions that won or lost; `None` before the first.
    pub win_rate_percent: Option<f64>,
    /// Annualised Sharpe ratio of the equity samples; `None` below two samples or without variance.
    pub sharpe_ratio: Option<f64>,
    /// Annualised Sortino ratio; `None` below two samples or without a loss.
    pub sortino_ratio: Option<f64>,
    /// What winning closes brought for each unit that losing ones cost; `None` before the first loss.
    pub profit_factor: Option<f64>,
    /// Value of all executions.
    pub turnover: Money,
    /// Losing closes in a row.
    pub losing_streak: u32,
    /// Largest fall of equity from its peak, in percent of the peak.
    pub max_drawdown_percent: f64,
    /// The present fall.
    pub drawdown_percent: f64,
}

/// State of the kernel itself.
#[derive(Debug, Clone)]
pub struct KernelView {
    /// Last sequence given to a record.
    pub seq: Seq,
    /// Last sequence known durable.
    pub durable: Seq,
    /// Orders that can still change.
    pub orders_open: usize,
    /// Orders whose state nobody knows.
    pub orders_unknown: usize,
    /// Whether the journal refuses records now.
    pub journal_full: bool,
    /// Strategies.
    pub strategies: Arc<[StrategyView]>,
    /// Names of strategies by [`StrategyId`], those of earlier runs too.
    pub strategy_names: Arc<[String]>,
    /// What may pass now.
    pub risk_mode: RiskMode,
    /// What stops new risk, in a word.
    pub risk_cause: Option<&'static str>,
    /// The risk state.
    pub risk: RiskState,
}

impl Default for KernelView {
    fn default() -> Self {
        Self {
            seq: Seq(0),
            durable: Seq(0),
            orders_open: 0,
            orders_unknown: 0,
            journal_full: false,
            strategies: Arc::from([]),
            strategy_names: Arc::from([]),
            risk_mode: RiskMode::Normal,
            risk_cause: None,
            risk: RiskState::default(),
        }
    }
}

impl KernelView {
    /// The name of a strategy.
    pub fn strategy_name(&self, id: StrategyId) -> Option<&str> {
        self.strategy_names
            .get(usize::from(id.0))
            .map(String::as_str)
    }
}

impl Published {
    /// Empty views of `instruments`, each with the same intervals.
    pub fn new(instruments: Vec<Instrument>, intervals: &[Interval]) -> Self {
        let instruments = instruments
            .into_iter()
            .map(|instrument| PublishedInstrument {
                active: true,
                exposed: AtomicBool::new(false),
                instrument: ArcSwap::from_pointee(instrument),
                book: ArcSwap::from_pointee(BookView::default()),
                ticker: ArcSwap::from_pointee(TickerView::default()),
                series: intervals
                    .iter()
                    .map(|interval| PublishedSeries {
                        interval: *interval,
                        view: ArcSwap::from_pointee(SeriesView::default()),
                    })
                    .collect(),
            })
            .collect();
        Self {
            instruments,
            orders: SkipMap::new(),
            client_orders: SkipMap::new(),
            exits: SkipMap::new(),
            fills: SkipMap::new(),
            account: ArcSwap::from_pointee(AccountView::default()),
            kernel: ArcSwap::from_pointee(KernelView::default()),
        }
    }
}

impl Published {
    /// Marks all instruments but these as known from the journal alone.
    #[must_use]
    pub fn with_active(mut self, active: &[InstrumentId]) -> Self {
        for (index, slot) in (0_u16..).zip(self.instruments.iter_mut()) {
            slot.active = active.contains(&InstrumentId(index));
        }
        self
    }

    /// Whether an instrument has a position or an open order.
    pub fn is_exposed(&self, id: InstrumentId) -> bool {
        let slot = self.instruments.get(id.index());
        slot.is_some_and(|slot| slot.exposed.load(Ordering::Relaxed))
    }

    /// The instruments that are read from their venues.
    pub fn active(&self) -> impl Iterator<Item = &PublishedInstrument> {
        self.instruments.iter().filter(|i| i.active)
    }
}

/// The average price of a position, at scale [`Money::SCALE`]; `None` when it is flat.
pub fn average_price(cost: Money, qty: i64, instrument: &Instrument) -> Option<Money> {
    let qty = Qty(qty);
    let unit = Qty(instrument.qty_scale.unit());
    if qty.0 == 0 {
        return None;
    }
    let (cost, qty) = if qty.0 < 0 {
        (cost.negated().ok()?, Qty(qty.0.checked_neg()?))
    } else {
        (cost, qty)
    };
    cost.share(unit, qty).ok()
}
