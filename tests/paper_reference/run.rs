//! The engine and the slow program side by side.

use std::collections::{BTreeMap, BTreeSet};

use crate::paper_reference::{
    Command as Asked, Condition, Lasts, Order, Report, Said, Setting, Venue,
};
use hean::engine::Engine;
use hean::kernel::event::{
    AccountReportKind, Command, CommandKind, Correlation, Effect, Effects, Input, Outcome, Record,
    ReportKind, Sequenced, Stamped, Wait,
};
use hean::kernel::ledger::Ledger;
use hean::kernel::orders::{OrderSpec, OrderType, Size, TimeInForce, Trigger, TriggerBy};
use hean::kernel::risk::RiskLimits;
use hean::kernel::types::{
    Contract, Instrument, InstrumentId, Money, Price, Qty, Rate, SECOND, Side, Time,
};
use hean::kernel::{Kernel, KernelConfig, Start};
use hean::venue::sim::paper::PaperConfig;
use hean::venue::sim::paper::latency::Latency;
use hean::venue::sim::paper::queue::QueueModel;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::{Case, DIGITS, FEES};

pub(crate) struct Run {
    pub(crate) engine: Engine,
    pub(crate) instrument: Instrument,
    pub(crate) slow: Venue,
    pub(crate) case: Case,
    pub(crate) rng: ChaCha8Rng,
    /// What the engine's venue said.
    pub(crate) said: Vec<Report>,
    pub(crate) cancelled: BTreeSet<u64>,
    pub(crate) placed: u64,
    pub(crate) amended: u64,
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) commands: u64,
}

fn kernel() -> Kernel {
    let config = KernelConfig {
        book_levels_max: 100_000,
        orders_kept: 10_000,
        limits: RiskLimits {
            order_notional_max: Money::whole(1_000_000_000),
            position_notional_max: Money::whole(1_000_000_000),
            orders_open_max: 10_000,
            exposure_notional_max: Money::whole(1_000_000_000),
            orders_per_second_max: 0,
            price_collar: Rate::ONE,
            stale_after_ns: 3_600 * SECOND,
            daily_loss_max: Money::ZERO,
            drawdown_max: Rate(0),
            ..RiskLimits::default()
        },
        ..KernelConfig::default()
    };
    let ledger = Ledger::new(config.orders_kept);
    Kernel::new(config, ledger).expect("kernel")
}

impl Run {
    pub(crate) fn new(instrument: Instrument, case: Case, time: Time) -> Self {
        let [order_latency, report_latency] = case.latency.map(Latency::Constant);
        let paper = PaperConfig {
            order_latency,
            report_latency,
            queue: case.queue,
            ..PaperConfig::default()
        };
        let mut engine = Engine::new(kernel(), paper, false);
        let start = Start {
            time,
            version: "test".to_owned(),
            instruments: vec![instrument.clone()],
            cash: (instrument.quote.clone(), Money::whole(1_000_000_000)),
        };
        engine.start(start, &mut Effects::new()).expect("start");
        let [price, qty] =
            [instrument.price_scale, instrument.qty_scale].map(|s| Self::wide(s.digits()));
        let setting = Setting {
            rules: case.rules,
            spot: instrument.contract == Contract::Spot,
            latency: case.latency,
            fees: FEES.map(i128::from),
            power: match case.queue {
                QueueModel::Conservative => None,
                QueueModel::Through => {
                    panic!("candles are filled so, and have a reference of their own")
                }
                QueueModel::Probability { power } => Some(power.into()),
            },
            units: [price, qty, qty * i128::from(instrument.lot.0)],
        };
        Self {
            engine,
            instrument,
            slow: Venue::new(setting),
            case,
            rng: ChaCha8Rng::seed_from_u64(case.seed),
            said: Vec::new(),
            cancelled: BTreeSet::new(),
            placed: 0,
            amended: 0,
            refused: BTreeMap::new(),
            commands: 0,
        }
    }

    pub(crate) fn wide(scale: u8) -> i128 {
        10_i128.pow(DIGITS - u32::from(scale))
    }

    pub(crate) fn price_unit(&self) -> i128 {
        Self::wide(self.instrument.price_scale.digits())
    }

    pub(crate) fn qty_unit(&self) -> i128 {
        Self::wide(self.instrument.qty_scale.digits())
    }

    pub(crate) fn step(&mut self, time: Time, input: Input) -> Option<Outcome> {
        let mut effects = Effects::new();
        self.engine.step(&Stamped { time, input }, &mut effects);
        let mut outcome = None;
        for effect in effects {
            match effect {
                Effect::Record(record) => {
                    let report = self.report(&record);
                    self.said.extend(report);
                }
                Effect::Reply(reply) => outcome = Some(reply.outcome),
                Effect::Submit { .. } | Effect::Resync(_) | Effect::Notice(_) => {}
            }
        }
        outcome
    }

    /// In the slow program's words and numbers.
    pub(crate) fn report(&self, record: &Sequenced) -> Option<Report> {
        let wide_price = |p: Price| i128::from(p.0) * self.price_unit();
        let wide_qty = |q: Qty| i128::from(q.0) * self.qty_unit();
        let (order, time, said) = match &record.record {
            Record::Report(report) => {
                let said = match &report.kind {
                    ReportKind::Acked { .. } => Said::Acked,
                    ReportKind::Held { .. } => Said::Held,
                    ReportKind::Triggered { .. } => Said::Triggered,
                    ReportKind::Rejected { .. } => Said::Rejected,
                    ReportKind::Expired { .. } => Said::Expired,
                    ReportKind::Cancelled { .. } => Said::Cancelled,
                    ReportKind::CancelRejected { .. } => Said::CancelRejected,
                    ReportKind::Amended {
                        price,
                        trigger,
                        qty,
                    } => Said::Amended {
                        price: price.map(wide_price),
                        trigger: trigger.map(wide_price),
                        qty: wide_qty(*qty),
                    },
                    ReportKind::AmendRejected { .. } => Said::AmendRejected,
                    ReportKind::Fill(fill) => Said::Fill {
                        number: fill.trade_id - (report.order.0 << 20),
                        price: wide_price(fill.price),
                        qty: wide_qty(fill.qty),
                        fee: fill.fee.0,
                        maker: fill.maker,
                    },
                    other @ (ReportKind::NotFound | ReportKind::Lost { .. }) => panic!("{other:?}"),
                };
                (report.order.0, report.time, said)
            }
            Record::Account(report) => {
                let said = match &report.kind {
                    AccountReportKind::Funding { due, amount, .. } => Said::Funding {
                        due: due.0,
                        amount: amount.0,
                    },
                    other => panic!("{other:?}"),
                };
                (0, report.time, said)
            }
            _ => return None,
        };
        Some(Report {
            order,
            time: time.0,
            heard: record.time.0,
            said,
        })
    }

    /// Timers that are due before `time`, at their own times.
    pub(crate) fn tick_until(&mut self, time: Time) {
        while let Some(due) = self.engine.deadline().filter(|due| *due < time) {
            self.step(due, Input::Tick);
            if self.engine.deadline() == Some(due) {
                return;
            }
        }
    }

    pub(crate) fn command(&mut self, time: Time, kind: CommandKind) -> Outcome {
        self.commands += 1;
        let correlation = Correlation(self.commands);
        let command = Command { correlation, kind };
        let outcome = self.step(time, Input::Command(command));
        outcome.expect("an answer at once")
    }

    pub(crate) fn narrow(value: i128, unit: i128) -> i64 {
        assert_eq!(value % unit, 0);
        i64::try_from(value / unit).expect("in range")
    }

    pub(crate) fn price_of(&self, price: i128) -> Price {
        Price(Self::narrow(price, self.price_unit()))
    }

    pub(crate) fn qty_of(&self, qty: i128) -> Qty {
        Qty(Self::narrow(qty, self.qty_unit()))
    }

    pub(crate) fn paid(&self, hold: Price) -> Option<i128> {
        (hold > Price(0)).then(|| i128::from(hold.0) * self.price_unit())
    }

    pub(crate) fn refuse(&mut self, outcome: &Outcome) {
        let why = match outcome {
            Outcome::Refused(refusal) => format!("{:?}", refusal.rule),
            other => format!("{other:?}").chars().take(20).collect(),
        };
        *self.refused.entry(why).or_default() += 1;
    }

    pub(crate) fn order_type(&self, order: &Order) -> OrderType {
        let limit = order.limit.map(|p| self.price_of(p));
        let Some((condition, mark)) = order.condition else {
            return limit.map_or(OrderType::Market, |price| OrderType::Limit { price });
        };
        let by = if mark {
            TriggerBy::Mark
        } else {
            TriggerBy::Last
        };
        let trigger = |price| Trigger {
            price: self.price_of(price),
            by,
        };
        match (condition, limit) {
            (Condition::Stop(at), None) => OrderType::StopMarket {
                trigger: trigger(at),
            },
            (Condition::Stop(at), Some(price)) => OrderType::StopLimit {
                trigger: trigger(at),
                price,
            },
            (Condition::TakeProfit(at), None) => OrderType::TakeProfitMarket {
                trigger: trigger(at),
            },
            (Condition::TakeProfit(at), Some(price)) => OrderType::TakeProfitLimit {
                trigger: trigger(at),
                price,
            },
            (Condition::Trailing(share, from), _) => OrderType::TrailingStop {
                callback: Rate(i64::try_from(share).expect("small")),
                activation: from.map(|p| self.price_of(p)),
                by,
            },
        }
    }

    /// Places an order at both; whether risk let it through.
    pub(crate) fn place(&mut self, time: Time, mut order: Order) -> bool {
        let side = if order.buys { Side::Buy } else { Side::Sell };
        let size = if order.whole {
            Size::Position
        } else {
            Size::Base(self.qty_of(order.qty))
        };
        let spec = OrderSpec {
            time_in_force: match order.lasts {
                Lasts::Resting => TimeInForce::Gtc,
                Lasts::Immediate => TimeInForce::Ioc,
                Lasts::WholeOrNothing => TimeInForce::Fok,
                Lasts::Until(date) => TimeInForce::Gtd {
                    expires: Time(date),
                },
            },
            post_only: order.post_only,
            reduce_only: order.reduces,
            ..OrderSpec::new(InstrumentId(0), side, self.order_type(&order), size)
        };
        let kind = CommandKind::Place {
            order: std::sync::Arc::new(spec),
            wait: Wait::Journal,
        };
        match self.command(time, kind) {
            Outcome::Placed(id) => {
                // What risk made of it is what the venue gets.
                let known = self.engine.kernel().ledger().orders().get(id);
                let known = known.expect("a placed order");
                order.id = id.0;
                order.reduces = known.reduce_only;
                order.qty = i128::from(known.qty.0) * self.qty_unit();
                order.paid = self.paid(known.hold);
                self.slow.send(time.0, Asked::Place(order));
                self.placed += 1;
                true
            }
            other => {
                self.refuse(&other);
                false
            }
        }
    }
}
