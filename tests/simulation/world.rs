//! Kernel, venue and everything between them, and what must hold after every step.

use hean::kernel::event::{
    CancelFilter, Command, CommandKind, Correlation, Effect, Effects, Input, Notice, Record, Seq,
    Sequenced, Stamped, Wait,
};
use hean::kernel::ledger::Ledger;
use hean::kernel::margin::Brackets;
use hean::kernel::orders::{Link as Companions, Order, OrderId, OrderState, PositionSide};
use hean::kernel::portfolio::{MarginMode, PositionMode};
use hean::kernel::risk::{RiskLimits, RiskMode};
use hean::kernel::types::{Contract, InstrumentId, Interval, Money, Qty, Rate, SECOND, Side, Time};
use hean::kernel::{Kernel, KernelConfig, Start};
use hean::venue::sim::paper::latency::Latency;
use hean::venue::sim::paper::queue::QueueModel;
use hean::venue::sim::paper::{PaperConfig, PaperVenue, Said};

use crate::action::{Action, INSTRUMENTS, Move};
use crate::link::{Link, Weather};
use crate::market::{Market, instruments};
use crate::oracle::Oracle;
use crate::random::Random;
use crate::recovery::{self, orders_kept};
use crate::seen::Seen;
use crate::strategies::strategies;

const START: i64 = 1_700_000_000 * SECOND;

pub(crate) struct World {
    seed: u64,
    random: Random,
    pub(crate) now: Time,
    kernel: Kernel,
    venue: PaperVenue,
    link: Link,
    pub(crate) markets: Vec<Market>,
    journal: Vec<Sequenced>,
    durable: u64,
    /// A second ledger, fed with the records as the store is.
    replica: Ledger,
    oracle: Oracle,
    /// The venue outlives the process, as a real one does.
    survives: bool,
    commands: u64,
    seen: Seen,
}

fn kernel_config(seed: u64) -> KernelConfig {
    let mut random = Random::of(seed, 1);
    let strategies = strategies(seed);
    KernelConfig {
        intervals: if strategies.is_empty() {
            vec![Interval::MINUTE]
        } else {
            vec![Interval::SECOND, Interval::MINUTE]
        },
        orders_kept: orders_kept(strategies.len()),
        strategies,
        indicators: Vec::new(),
        candles_kept: 4,
        limits: RiskLimits {
            order_notional_max: Money::whole(random.pick(&[5_000, 50_000])),
            position_notional_max: Money::whole(random.pick(&[20_000, 400_000])),
            exposure_notional_max: Money::whole(random.pick(&[60_000, 1_000_000])),
            orders_open_max: random.range(8, 40) as usize,
            orders_per_second_max: random.pick(&[0, 5, 50]),
            price_collar: Rate(random.pick(&[100_000, 5_000_000])),
            stale_after_ns: 60 * SECOND,
            daily_loss_max: Money::whole(random.pick(&[0, 300, 5_000])),
            drawdown_max: Rate(random.pick(&[0, 1_000_000, 20_000_000])),
            losing_streak_max: random.pick(&[0, 3]),
            cool_down_ns: 30 * SECOND,
        },
        positions: if seed.is_multiple_of(3) {
            PositionMode::Hedge
        } else {
            PositionMode::OneWay
        },
        brackets: Brackets::dated_default(),
        ..KernelConfig::default()
    }
}

fn paper_config(seed: u64) -> PaperConfig {
    let mut random = Random::of(seed, 2);
    let latency = |random: &mut Random| {
        let text = random.pick(&["0ms", "0ms", "3ms", "p50=2ms,p90=40ms,max=900ms"]);
        Latency::parse(text).expect("latency")
    };
    PaperConfig {
        order_latency: latency(&mut random),
        report_latency: latency(&mut random),
        queue: random.pick(&[
            QueueModel::Conservative,
            QueueModel::Probability { power: 2 },
        ]),
        seed,
        ..PaperConfig::default()
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Result<Self, String> {
        let now = Time(START);
        let (config, kept) = (kernel_config(seed), kernel_config(seed).orders_kept);
        let kernel = Kernel::new(config, Ledger::new(kept)).map_err(|e| e.to_string())?;
        let mut world = Self {
            seed,
            random: Random::of(seed, 3),
            now,
            kernel,
            venue: PaperVenue::new(paper_config(seed)),
            link: Link::new(seed),
            markets: (0..INSTRUMENTS).map(|n| Market::new(n, now)).collect(),
            journal: Vec::new(),
            durable: 0,
            replica: Ledger::new(kept),
            oracle: Oracle::default(),
            survives: seed.is_multiple_of(2),
            commands: 0,
            seen: Seen::default(),
        };
        world.start(false)?;
        Ok(world)
    }

    /// Starts the kernel; `anew`: the venue as well, from what the journal knows.
    fn start(&mut self, anew: bool) -> Result<(), String> {
        let start = Start {
            time: self.now,
            version: "simulation".to_owned(),
            instruments: instruments(),
            cash: ("USDT".to_owned(), Money::whole(20_000)),
        };
        let mut effects = Effects::new();
        self.kernel
            .start(start, &mut effects)
            .map_err(|e| e.to_string())?;
        if anew {
            self.venue = PaperVenue::new(paper_config(self.seed));
            self.venue.restore(&self.kernel, self.now);
            self.link.forget(&self.kernel);
        }
        self.take(effects, OrderId(0))?;
        for number in 0..self.markets.len() {
            let snapshot = self.markets[number].snapshot(self.now);
            self.step(snapshot)?;
        }
        Ok(())
    }

    /// Does an action and all that follows at once; an error says what does not hold.
    pub(crate) fn act(&mut self, action: &Action) -> Result<(), String> {
        match *action {
            Action::Market(number, what) => self.market(number, what)?,
            Action::Place(place) => {
                let order = self.spec(&place);
                let wait = if place.post_only {
                    Wait::Journal
                } else {
                    Wait::Venue
                };
                let order = std::sync::Arc::new(order);
                self.command(CommandKind::Place { order, wait })?;
            }
            Action::Amend(which, ticks, lots) => {
                if let Some(order) = self.open(which) {
                    let known = self.kernel.ledger().orders().get(order);
                    let (id, side, limit, trigger, filled) = known
                        .map(|o| {
                            (
                                o.instrument,
                                o.side,
                                o.limit(),
                                o.kind().trigger(),
                                o.filled,
                            )
                        })
                        .expect("an open order");
                    let market = &self.markets[id.index()];
                    let away = if side == Side::Buy { -ticks } else { ticks };
                    let lots = market.lots(lots);
                    self.command(CommandKind::Amend {
                        order,
                        price: limit.filter(|_| ticks % 3 != 0).map(|_| market.price(away)),
                        trigger: trigger
                            .filter(|_| ticks % 2 != 0)
                            .map(|_| market.price(away)),
                        qty: (ticks % 4 != 0).then(|| lots.checked_add(filled).expect("fits")),
                    })?;
                }
            }
            Action::Cancel(which) => {
                if let Some(order) = self.open(which) {
                    self.command(CommandKind::Cancel { order })?;
                }
            }
            Action::CancelAll(instrument) => {
                self.command(CommandKind::CancelAll(CancelFilter {
                    instrument: instrument.map(InstrumentId),
                    ..CancelFilter::default()
                }))?;
            }
            Action::Close(number, long) => {
                let instrument = InstrumentId(number);
                let position_side = self.leg(number, long);
                self.command(CommandKind::Close {
                    instrument,
                    position_side,
                })?;
            }
            Action::Halt(flatten) => self.command(CommandKind::Halt {
                flatten,
                by: "simulation".to_owned(),
            })?,
            Action::Resume => self.command(CommandKind::Resume {
                by: "simulation".to_owned(),
            })?,
            Action::Leverage(number, leverage, isolated) => self.command(CommandKind::Margin {
                instrument: InstrumentId(number),
                leverage,
                mode: if isolated {
                    MarginMode::Isolated
                } else {
                    MarginMode::Cross
                },
            })?,
            Action::Wait(ns) => self.wait(ns)?,
            Action::Sync => self.sync()?,
            Action::JournalFull(full) => self.step(Input::JournalFull(full))?,
            Action::Weather { lost, late, twice } => {
                self.link.weather = Weather { lost, late, twice };
            }
            Action::Restart(lose) => self.restart(lose)?,
        }
        Ok(())
    }

    pub(crate) fn leg(&self, number: u16, long: bool) -> PositionSide {
        let spot = self.markets[usize::from(number)].instrument().contract == Contract::Spot;
        match (spot, self.seed.is_multiple_of(3), long) {
            (false, true, true) => PositionSide::Long,
            (false, true, false) => PositionSide::Short,
            _ => PositionSide::Both,
        }
    }

    fn open(&self, which: u64) -> Option<OrderId> {
        let mut ids: Vec<OrderId> = self.kernel.ledger().orders().open().map(|o| o.id).collect();
        ids.sort_unstable();
        let count = ids.len() as u64;
        (count > 0).then(|| ids[(which % count) as usize])
    }

    fn market(&mut self, number: u16, what: Move) -> Result<(), String> {
        let (market, now) = (&mut self.markets[usize::from(number)], self.now);
        for input in market.step(what, &mut self.random, now) {
            self.step(input)?;
        }
        Ok(())
    }

    fn command(&mut self, kind: CommandKind) -> Result<(), String> {
        self.commands += 1;
        let correlation = Correlation(self.commands);
        self.step(Input::Command(Command { correlation, kind }))
    }

    fn sync(&mut self) -> Result<(), String> {
        self.durable = self.journal.len() as u64;
        let through = Seq(self.durable);
        self.step(Input::Journaled { through })?;
        self.link.release(through, &mut self.venue, self.now)?;
        self.pump()
    }

    /// Time passes, from one deadline to the next.
    fn wait(&mut self, ns: i64) -> Result<(), String> {
        let until = self.now.plus(ns);
        for _ in 0..10_000 {
            let next = [
                self.kernel.deadline(),
                self.venue.deadline(),
                self.link.deadline(),
            ];
            let next = next.into_iter().flatten().min().filter(|due| *due <= until);
            let Some(next) = next else {
                self.now = until;
                return self.pump();
            };
            self.now = self.now.max(next);
            if self.kernel.deadline().is_some_and(|due| due <= self.now) {
                self.step(Input::Tick)?;
            }
            self.pump()?;
        }
        Err(format!(
            "the same deadline comes for ever at {:?}: kernel {:?}, venue {:?}, link {:?}",
            self.now,
            self.kernel.deadline(),
            self.venue.deadline(),
            self.link.deadline()
        ))
    }

    /// One input, and everything that the venue has to say to it.
    fn step(&mut self, input: Input) -> Result<(), String> {
        self.feed(input)?;
        self.pump()
    }

    fn feed(&mut self, input: Input) -> Result<(), String> {
        self.seen.steps += 1;
        let stamped = Stamped {
            time: self.now,
            input,
        };
        let concerned = match &stamped.input {
            Input::Report(report) => report.order,
            _ => OrderId(0),
        };
        let before = self
            .kernel
            .ledger()
            .orders()
            .get(concerned)
            .map(|o| o.state);
        // That an order was sent is no record, so only the kernel's own orders show what follows from there.
        let sent: Vec<(OrderId, OrderState)> = match stamped.input {
            Input::Market(_) | Input::Report(_) | Input::Account(_) => Vec::new(),
            Input::Journaled { .. } | Input::Command(_) | Input::JournalFull(_) | Input::Tick => {
                let open = self.kernel.ledger().orders().open();
                open.map(|o| (o.id, o.state)).collect()
            }
        };
        let mut effects = Effects::new();
        self.kernel.step(&stamped, &mut effects);
        if let Input::Market(event) = &stamped.input
            && self.kernel.applied()
        {
            self.venue.on_market(&self.kernel, event, self.now);
        }
        for (id, before) in sent {
            if let Some(order) = self.kernel.ledger().orders().get(id) {
                self.transition(before, order.state);
            }
        }
        let records = effects
            .iter()
            .filter(|e| matches!(e, Effect::Record(_)))
            .count();
        if let (1, Some(before)) = (records, before)
            && let Some(order) = self.kernel.ledger().orders().get(concerned)
        {
            let after = order.state;
            self.transition(before, after);
        }
        self.take(effects, concerned)?;
        self.check()
    }

    fn transition(&mut self, from: OrderState, to: OrderState) {
        if from != to {
            *self.seen.transitions.entry((from, to)).or_default() += 1;
        }
    }

    fn pump(&mut self) -> Result<(), String> {
        for _ in 0..10_000 {
            self.venue.advance(&self.kernel, self.now);
            while let Some(said) = self.venue.next_report(self.now) {
                self.link.hear(said, self.now)?;
            }
            if let Some(said) = self.link.next(self.now) {
                self.feed(match said {
                    Said::Order(report) => Input::Report(report),
                    Said::Account(report) => Input::Account(report),
                })?;
            } else if !self.venue.arrive(&self.kernel, self.now) {
                return Ok(());
            }
        }
        let last: Vec<_> = self.journal.iter().rev().take(9).collect();
        Err(format!("kernel and venue talk for ever: {last:?}"))
    }

    fn take(&mut self, effects: Effects, _: OrderId) -> Result<(), String> {
        for effect in effects {
            match effect {
                Effect::Record(record) => self.record(record)?,
                Effect::Submit { after, command } => {
                    let durable = Seq(self.durable);
                    self.link
                        .submit(after, command, durable, &mut self.venue, self.now)?;
                }
                Effect::Notice(Notice::Flat) => self.seen.halts_done += 1,
                Effect::Notice(Notice::OrderRefused { .. }) => self.seen.refused += 1,
                Effect::Notice(Notice::Liquidated(_)) => self.seen.liquidations += 1,
                Effect::Reply(_) | Effect::Resync(_) | Effect::Notice(_) => {}
            }
        }
        Ok(())
    }

    fn record(&mut self, record: Sequenced) -> Result<(), String> {
        if let Record::Intent { order, .. } = &record.record {
            self.seen.orders += 1;
            self.seen.of_strategies += u64::from(order.origin.strategy().is_some());
            let spot =
                self.markets[order.instrument.index()].instrument().contract == Contract::Spot;
            let reduces = order.reduce_only || (spot && order.side == Side::Sell);
            let mode = self.replica.risk().mode(self.now);
            let exit = matches!(order.link, Companions::Exit { .. });
            if mode != RiskMode::Normal && !reduces && !exit {
                return Err(format!("{} lets {order:?} pass", mode.name()));
            }
        }
        if let Record::Account(report) = &record.record
            && matches!(
                report.kind,
                hean::kernel::event::AccountReportKind::Funding { .. }
            )
        {
            self.seen.fundings += 1;
        }
        let before = concerned(&record.record)
            .and_then(|id| Some((id, self.replica.orders().get(id)?.state)));
        let effect = self.replica.apply(&record).map_err(|e| e.to_string())?;
        self.seen.fills += u64::from(effect.filled);
        if let Some((id, before)) = before
            && let Some(order) = self.replica.orders().get(id)
        {
            let after = order.state;
            if before.is_terminal() && before != after {
                return Err(format!("order {id} was {before:?} and is {after:?}"));
            }
            if before != after {
                *self.seen.transitions.entry((before, after)).or_default() += 1;
            }
            if order.filled > most(order) {
                let story = self.story(id);
                return Err(format!(
                    "order {id} executed too much after {:?}: {story}\n{order:?}",
                    record.record
                ));
            }
            if order.disputed {
                let story = self.story(id);
                return Err(format!(
                    "order {id} is disputed after {:?}: {story}",
                    record.record
                ));
            }
        }
        self.oracle.apply(&record);
        self.journal.push(record);
        Ok(())
    }

    /// The last records about an order.
    fn story(&self, id: OrderId) -> String {
        let about = |r: &&Sequenced| concerned(&r.record) == Some(id) || r.seq.0 == id.0;
        let mut last: Vec<String> = self
            .journal
            .iter()
            .rev()
            .filter(about)
            .take(14)
            .map(|r| format!("\n  {} {:?}", r.time.0, r.record))
            .collect();
        last.reverse();
        last.concat()
    }

    /// What must hold after every step.
    fn check(&mut self) -> Result<(), String> {
        let ledger = self.kernel.ledger();
        if !ledger.sums_are_right() {
            return Err("holds or sums over open orders are wrong".to_owned());
        }
        if let Some(difference) = self.oracle.differs(ledger) {
            return Err(difference);
        }
        for order in ledger.orders().open() {
            if order.filled > most(order) {
                return Err(format!("order {} executed too much", order.id));
            }
        }
        if self.seen.steps.is_multiple_of(64)
            && self.replica.durable_hash() != ledger.durable_hash()
        {
            return Err("the replica differs from the ledger".to_owned());
        }
        Ok(())
    }

    fn restart(&mut self, lose: u8) -> Result<(), String> {
        self.seen.restarts += 1;
        let all = self.journal.len() as u64;
        let kept = all.saturating_sub(u64::from(lose)).max(self.durable);
        self.seen.records_lost += all - kept;
        let before = self.kernel.ledger().durable_hash();
        let live = recovery::image(self.kernel.ledger());
        self.journal.truncate(kept as usize);
        let known = kept * (self.seed % 7 + 1) / 8;
        let config = kernel_config(self.seed);
        let (ledger, replica) = recovery::recover(&self.journal, known, config.orders_kept)?;
        if kept == all && (ledger.durable_hash() != before || recovery::image(&ledger) != live) {
            return Err("the recovered ledger differs".to_owned());
        }
        let mut oracle = Oracle::default();
        for record in &self.journal {
            oracle.apply(record);
        }
        (self.replica, self.oracle) = (replica, oracle);
        self.durable = kept;
        self.link.cut();
        self.kernel = Kernel::new(config, ledger).map_err(|e| e.to_string())?;
        self.now = self.now.plus(SECOND);
        if self.survives {
            self.start(false)?;
            self.link.reconcile(&self.kernel, self.now);
        } else {
            self.start(true)?;
        }
        self.pump()
    }

    /// Ends the run: the faults stop, the kill switch flattens everything, and nothing may be left.
    pub(crate) fn finish(mut self) -> Result<Seen, String> {
        self.link.weather = Weather::default();
        self.step(Input::JournalFull(false))?;
        self.command(CommandKind::Halt {
            flatten: true,
            by: "the end".to_owned(),
        })?;
        for round in 0..80 {
            for number in 0..INSTRUMENTS {
                self.market(number, Move::Levels)?;
                if round % 3 == 0 {
                    self.market(number, Move::Mark(0))?;
                }
            }
            self.sync()?;
            self.wait(11 * SECOND)?;
            if self.kernel.ledger().risk().flat && self.link.is_idle() {
                break;
            }
        }
        let ledger = self.kernel.ledger();
        if let Some(order) = ledger.orders().open().next() {
            return Err(format!(
                "order {order:?} is still open at the end{}",
                self.story(order.id)
            ));
        }
        let mut ours = Vec::new();
        for (id, instrument, holding) in ledger.holdings() {
            for side in PositionSide::of(ledger.account().positions, instrument.contract) {
                let qty = holding.position(*side).qty;
                if qty != 0 {
                    ours.push((id, *side, qty));
                }
            }
        }
        if ours != self.link.positions() {
            let theirs = self.link.positions();
            return Err(format!("positions: {ours:?} here, {theirs:?} at the venue"));
        }
        if !ledger.risk().flat {
            return Err(format!("the kill switch has not finished: {ours:?}"));
        }
        if ledger.held() != Money::ZERO {
            return Err("something is held for no order".to_owned());
        }
        self.seen.faults = self.link.faults;
        self.seen.hash = self.kernel.state_hash();
        Ok(self.seen)
    }
}

/// The order that a record is about.
fn concerned(record: &Record) -> Option<OrderId> {
    match record {
        Record::Report(report) => Some(report.order),
        Record::CancelRequested(id)
        | Record::Unanswered(id)
        | Record::AmendRequested { order: id, .. } => Some(*id),
        _ => None,
    }
}

/// What may be executed of an order: while a change is under way, whichever quantity is larger.
fn most(order: &Order) -> Qty {
    if order.closes_position() {
        return Qty(i64::MAX);
    }
    let asked = order.amend().and_then(|a| a.qty);
    asked.map_or(order.qty, |qty| qty.max(order.qty))
}
