//! `hean backtest`: strategies over the past, through the engine that trades on paper.
//!
//! Nothing here decides or fills anything. A source (recordings, or candles that [`candles`] plays) gives
//! inputs to an [`Offline`] engine; what it records becomes trades, curves and statistics. So a backtest can see
//! no more of the future than the daemon: there is no place where it could look.

pub mod candles;
pub mod command;
mod curve;
pub mod market;
pub mod report;
pub mod sweep;
mod trades;
pub mod walk;

use candles::{Play, Player};
pub use curve::{Bars, Curve, Months, Point, date, stamp};
use market::{CandleMarket, MarketError};
pub use trades::{Mark, Trades, Trip};

use crate::kernel::event::{Effect, Notice, Record, Sequenced, Stamped};
use crate::kernel::statistics::Statistics;
use crate::kernel::types::{Instrument, InstrumentId, Interval, Money, Price, Rate, Time};
use crate::kernel::{KernelConfig, Start};
use crate::offline::{Offline, OfflineError};
use crate::recording::RecordingError;
use crate::tape::{Counts, Tape, TapeError};
use crate::venue::sim::paper::PaperConfig;

/// Where the market comes from.
#[derive(Debug)]
pub enum Source {
    /// Recordings, read while they are played.
    Tape(Tape),
    /// Recordings, read before: for runs that play them more than once.
    Decoded {
        /// What they hold.
        instruments: Vec<Instrument>,
        /// Everything, in order.
        inputs: Vec<Stamped>,
    },
    /// Candles.
    Candles(Vec<CandleMarket>),
}

/// How to run.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The kernel, with its strategies.
    pub kernel: KernelConfig,
    /// The paper venue.
    pub paper: PaperConfig,
    /// Currency and money of the account.
    pub cash: (String, Money),
    /// Maker and taker fee.
    pub fees: (Rate, Rate),
    /// How candles are played.
    pub play: Play,
    /// Strategies trade, and everything is measured, from here on; what lies before warms books and
    /// indicators.
    pub from: Time,
    /// What is not before this is not played.
    pub to: Time,
    /// What lies before this is not played either.
    pub warm_from: Time,
    /// Candles that the report shows, if it shows any.
    pub chart: Option<Interval>,
}

/// A backtest cannot run.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// Looking through recordings.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// Reading them.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// Candle files.
    #[error(transparent)]
    Market(#[from] MarketError),
    /// The engine.
    #[error(transparent)]
    Start(#[from] OfflineError),
    /// Nothing between `--from` and `--to`.
    #[error("there is no data in the span asked for; the files go from {0} to {1}")]
    Span(String, String),
}

/// What a run came to.
#[derive(Debug)]
pub struct Run {
    /// First and last input after the warm-up.
    pub span: (Time, Time),
    /// The instruments.
    pub instruments: Vec<Instrument>,
    /// Names of the strategies, by their number.
    pub strategies: Vec<String>,
    /// Money at the beginning.
    pub cash: Money,
    /// Money and positions at mark at the end.
    pub equity: Money,
    /// Trades, executions, refusals.
    pub trades: Trades,
    /// Last price of each instrument.
    pub marks: Vec<Option<Price>>,
    /// Equity over time.
    pub curve: Curve,
    /// Equity by months.
    pub months: Months,
    /// Ratios and drawdown.
    pub statistics: Statistics,
    /// Candles for a chart, by instrument.
    pub bars: Vec<Bars>,
    /// Fees, and funding received less paid, of all positions.
    pub fees: Money,
    /// Of funding.
    pub funding: Money,
    /// Changes of the risk state: when, and what happened.
    pub risk: Vec<(Time, &'static str)>,
    /// What was read.
    pub counts: Counts,
    /// Inputs of the engine.
    pub inputs: u64,
    /// Hash of the whole state at the end.
    pub state_hash: u64,
}

impl Source {
    /// The instruments, in the order of their ids.
    pub fn instruments(&self) -> Vec<Instrument> {
        match self {
            Self::Tape(tape) => tape.instruments().to_vec(),
            Self::Decoded { instruments, .. } => instruments.clone(),
            Self::Candles(markets) => markets.iter().map(|m| m.instrument.clone()).collect(),
        }
    }

    /// First and last time that it knows.
    pub fn span(&self) -> (Time, Time) {
        let span = match self {
            Self::Tape(tape) => tape.first.zip(tape.last),
            Self::Decoded { inputs, .. } => inputs
                .first()
                .zip(inputs.last())
                .map(|(a, b)| (a.time, b.time)),
            Self::Candles(markets) => {
                let first = markets
                    .iter()
                    .filter_map(|m| m.rows.first())
                    .map(|r| r.time);
                let ends = |m: &CandleMarket| Some(m.interval.next_open(m.rows.last()?.time));
                first.min().zip(markets.iter().filter_map(ends).max())
            }
        };
        span.unwrap_or_default()
    }

    /// Reads a tape into memory, for runs that play it more than once.
    pub fn decoded(self) -> Result<(Self, Counts), RecordingError> {
        let Self::Tape(tape) = self else {
            return Ok((self, Counts::default()));
        };
        let instruments = tape.instruments().to_vec();
        let ids: Vec<InstrumentId> = (0..instruments.len())
            .filter_map(|at| u16::try_from(at).ok().map(InstrumentId))
            .collect();
        let mut inputs = Vec::new();
        let counts = tape.play(&ids, &mut |stamped| inputs.push(stamped))?;
        let decoded = Self::Decoded {
            instruments,
            inputs,
        };
        Ok((decoded, counts))
    }
}

/// Runs strategies over a source.
pub fn run(source: &Source, setup: &Setup) -> Result<Run, BacktestError> {
    let mut listener = Listener::new(setup, source.instruments().len());
    let (offline, counts) = play(source, setup, &mut listener)?;
    Ok(listener.finish(&offline, counts))
}

/// Plays a source to an engine of its own, and what that does to a listener.
fn play(
    source: &Source,
    setup: &Setup,
    listener: &mut Listener,
) -> Result<(Offline, Counts), BacktestError> {
    let (first, last) = source.span();
    let begin = setup.from.max(first);
    if begin >= setup.to || begin > last {
        return Err(BacktestError::Span(stamp(first), stamp(last)));
    }
    let (maker_fee, taker_fee) = setup.fees;
    let with_fees = |i: Instrument| Instrument {
        maker_fee,
        taker_fee,
        ..i
    };
    let start = Start {
        time: first.max(setup.warm_from),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instruments: source.instruments().into_iter().map(with_fees).collect(),
        cash: setup.cash.clone(),
    };
    listener.begin(begin);
    let mut offline = Offline::start(&setup.kernel, &setup.paper, start)?;
    let names = || setup.kernel.strategies.iter().map(|s| s.name.clone());
    if begin > first.max(setup.warm_from) {
        offline.hold(names().collect(), begin);
    }
    let ids = offline.instruments.clone();
    listener.hear(&mut offline);
    let mut counts = Counts::default();
    match source {
        Source::Tape(tape) => {
            counts = tape.play(&ids, &mut |stamped| {
                if stamped.time >= setup.warm_from && stamped.time < setup.to {
                    offline.feed(&stamped);
                    listener.hear(&mut offline);
                }
            })?;
        }
        Source::Decoded { inputs, .. } => {
            let from = inputs.partition_point(|s| s.time < setup.warm_from);
            let to = inputs.partition_point(|s| s.time < setup.to);
            for stamped in inputs.get(from..to).unwrap_or_default() {
                offline.feed(stamped);
                listener.hear(&mut offline);
            }
        }
        Source::Candles(markets) => {
            let span = (setup.warm_from, setup.to);
            let player = Player::new(markets, &ids, setup.play, span);
            player.run(&mut offline, &mut |offline| listener.hear(offline));
        }
    }
    Ok((offline, counts))
}

/// What hears the records of a run, or of several that follow each other.
#[derive(Debug)]
struct Listener {
    /// When the first run began, and when this one did.
    began: Option<Time>,
    begin: Time,
    cash: Money,
    chart: Option<Interval>,
    trades: Trades,
    curve: Curve,
    months: Months,
    statistics: Statistics,
    bars: Vec<Bars>,
    risk: Vec<(Time, &'static str)>,
    fees: Money,
    funding: Money,
    inputs: u64,
}

impl Listener {
    fn new(setup: &Setup, instruments: usize) -> Self {
        Self {
            began: None,
            begin: Time::ZERO,
            cash: setup.cash.1,
            chart: setup.chart,
            trades: Trades::default(),
            curve: Curve::default(),
            months: Months::default(),
            // Of its own: a warm-up must not count.
            statistics: Statistics::default(),
            bars: vec![Bars::default(); instruments],
            risk: Vec::new(),
            fees: Money::ZERO,
            funding: Money::ZERO,
            inputs: 0,
        }
    }

    fn begin(&mut self, time: Time) {
        self.begin = time;
        self.began.get_or_insert(time);
    }

    fn hear(&mut self, offline: &mut Offline) {
        self.inputs += 1;
        for at in 0..offline.effects.len() {
            match &offline.effects[at] {
                Effect::Record(record) => self.record(record, offline),
                Effect::Notice(Notice::CandleClosed {
                    instrument,
                    interval,
                }) if self.chart == Some(*interval) => self.closed(*instrument, *interval, offline),
                _ => {}
            }
        }
        if !offline.effects.is_empty() {
            // Nobody publishes: what changed must not pile up.
            drop(offline.engine.kernel_mut().take_changes());
        }
        offline.effects.clear();
    }

    fn closed(&mut self, id: InstrumentId, interval: Interval, offline: &Offline) {
        let market = offline.engine.kernel().market_of(id);
        let candle = market.and_then(|m| m.series_of(interval)?.last());
        if let (Some(bars), Some(candle)) = (self.bars.get_mut(id.index()), candle)
            && candle.open_time >= self.begin
        {
            bars.push(candle);
        }
    }

    fn record(&mut self, record: &Sequenced, offline: &Offline) {
        match &record.record {
            Record::Equity {
                equity,
                zone_minutes,
            } => {
                if record.time >= self.begin {
                    self.sample(record.time, *equity, *zone_minutes);
                }
            }
            Record::Risk(event) => self.risk.push((record.time, event.name())),
            _ => self.trades.record(record, offline.engine.kernel().ledger()),
        }
    }

    fn sample(&mut self, time: Time, equity: Money, zone_minutes: i16) {
        let sampled = self
            .statistics
            .equity(time, equity, self.cash, zone_minutes);
        debug_assert!(sampled.is_ok(), "the ledger has booked it");
        self.curve.push(time, equity);
        self.months.push(time, equity, self.cash);
    }

    /// A run has ended: its last equity and what its positions cost.
    fn end(&mut self, offline: &Offline) -> Money {
        let kernel = offline.engine.kernel();
        let (end, equity) = (offline.now(), kernel.equity());
        if self.curve.points().last().is_none_or(|p| p.time < end) {
            self.sample(end, equity, 0);
        }
        for (_, _, holding) in kernel.ledger().holdings() {
            for position in holding.positions() {
                self.fees = self.fees.plus(position.fees).unwrap_or(self.fees);
                let funding = self.funding.plus(position.funding);
                self.funding = funding.unwrap_or(self.funding);
            }
        }
        equity
    }

    fn finish(mut self, offline: &Offline, counts: Counts) -> Run {
        let equity = self.end(offline);
        let kernel = offline.engine.kernel();
        let ledger = kernel.ledger();
        let marks = offline.instruments.iter().map(|id| {
            let market = kernel.market_of(*id)?;
            market.mark(ledger.instrument(*id)?)
        });
        Run {
            span: (self.began.unwrap_or(self.begin), offline.now()),
            strategies: ledger.strategy_names().map(str::to_owned).collect(),
            instruments: ledger.instruments().to_vec(),
            cash: self.cash,
            equity,
            marks: marks.collect(),
            fees: self.fees,
            funding: self.funding,
            trades: self.trades,
            curve: self.curve,
            months: self.months,
            statistics: self.statistics,
            bars: self.bars,
            risk: self.risk,
            counts,
            inputs: self.inputs,
            state_hash: offline.engine.state_hash(),
        }
    }
}
