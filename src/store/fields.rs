//! What is written of orders, positions, money and events: decimal text, exact and without scales,
//! so that a changed scale changes nothing here.

use std::fmt::{self, Display};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::pack::Pack;
use crate::kernel::event::{AccountReport, AccountReportKind, Record, ReportKind, Sequenced};
use crate::kernel::ledger::Ledger;
use crate::kernel::orders::{Link, Order, OrderId, OrderSpec, PositionSide, Size};
use crate::kernel::portfolio::Position;
use crate::kernel::snapshot::average_price;
use crate::kernel::types::{Instrument, InstrumentId, Price, Qty, Time, format_fixed};

/// Takes the fields of a hash. The names of one kind of hash are always the same and in the same order, so that
/// they are said once, and writing all of them leaves nothing old behind; what does not apply is empty.
pub(crate) trait Fields {
    /// The next field.
    fn put(&mut self, name: &'static str, value: impl Display);
}

/// An order.
pub(crate) fn order(order: &Order, instrument: &Instrument, ledger: &Ledger, to: &mut impl Fields) {
    let kind = order.kind();
    let price = |p: Price| p.display(instrument.price_scale);
    let qty = |q: Qty| q.display(instrument.qty_scale);
    let average = average_price(order.filled_notional, order.filled.0, instrument);
    let strategy = order.origin.strategy();
    let parent = match order.link() {
        Link::Exit { parent, .. } => Some(parent),
        Link::None | Link::Oco(_) | Link::Bracket(_) => None,
    };
    to.put("order_id", order.id);
    to.put("client_order_id", known(order.client_order_id()));
    to.put("venue_order_ids", list(|| order.venue_order_ids(), "\""));
    to.put("symbol", &instrument.name.symbol);
    to.put("venue", instrument.name.venue);
    to.put("side", order.side.name());
    to.put("position_side", order.position_side.name());
    to.put("type", kind.name());
    to.put("quantity", qty(order.qty));
    to.put("quote_quantity", known(order.quote_amount()));
    to.put("price", known(kind.limit().map(price)));
    to.put("stop_price", known(kind.trigger().map(|t| price(t.price))));
    to.put("time_in_force", order.time_in_force().name());
    to.put("post_only", order.post_only);
    to.put("reduce_only", order.reduce_only);
    to.put(
        "strategy",
        known(strategy.and_then(|s| ledger.strategy_name(s))),
    );
    to.put("parent_order_id", known(parent));
    to.put("status", order.state.name());
    to.put("filled_quantity", qty(order.filled));
    to.put("remaining_quantity", qty(order.remaining()));
    to.put("filled_notional", order.filled_notional);
    to.put("avg_fill_price", known(average));
    to.put("fee", order.fee);
    to.put("trade_ids", list(|| order.trade_ids(), ""));
    to.put("reason", order.reason());
    to.put("disputed", order.disputed);
    to.put("created_at", order.created.millis());
    to.put("updated_at", order.updated.millis());
    to.put("answered_at", known(order.answered().map(Time::millis)));
}

/// A position.
pub(crate) fn position(
    position: &Position,
    side: PositionSide,
    instrument: &Instrument,
    to: &mut impl Fields,
) {
    let scale = instrument.qty_scale.digits();
    let average = average_price(position.cost, position.qty, instrument);
    to.put("symbol", &instrument.name.symbol);
    to.put("venue", instrument.name.venue);
    to.put("position_side", side.name());
    to.put("quantity", format_fixed(i128::from(position.qty), scale));
    to.put("cost", position.cost);
    to.put("entry_price", known(average));
    to.put("realized_pnl", position.realized);
    to.put("fees", position.fees);
    to.put("funding", position.funding);
    to.put("isolated_margin", position.isolated);
}

/// Money and statistics.
pub(crate) fn account(ledger: &Ledger, to: &mut impl Fields) {
    let (account, statistics) = (ledger.account(), ledger.statistics());
    to.put("currency", &account.currency);
    to.put("cash", account.cash);
    to.put("transfers", account.transfers);
    to.put("realized_pnl", account.realized);
    to.put("fees", account.fees);
    to.put("funding", account.funding);
    to.put("insurance", account.insurance);
    to.put("held", ledger.held());
    to.put("margin", ledger.bound());
    to.put("halted", ledger.risk().halted);
    to.put("fills", statistics.fills);
    to.put("wins", statistics.wins);
    to.put("losses", statistics.losses);
    to.put("win_rate_percent", known(statistics.win_rate_percent()));
    to.put("sharpe_ratio", known(statistics.sharpe_ratio()));
    to.put("sortino_ratio", known(statistics.sortino_ratio()));
    to.put("profit_factor", known(statistics.profit_factor()));
    to.put("turnover", statistics.turnover);
    to.put("max_drawdown_percent", statistics.max_drawdown_percent);
}

/// Nothing where there is nothing.
fn known(value: Option<impl Display>) -> impl Display {
    fmt::from_fn(move |f| value.as_ref().map_or(Ok(()), |value| value.fmt(f)))
}

/// A list in JSON, of texts that need no escape or of numbers.
fn list<I: Iterator<Item: Display>>(items: impl Fn() -> I, quote: &str) -> impl Display {
    fmt::from_fn(move |f| {
        let mut comma = "";
        f.write_str("[")?;
        for item in items() {
            write!(f, "{comma}{quote}{item}{quote}")?;
            comma = ",";
        }
        f.write_str("]")
    })
}

/// Appends the event of a record to `to`: type, time in milliseconds, and JSON. `ledger` has applied it.
pub(crate) fn event(
    record: &Sequenced,
    ledger: &Ledger,
    to: &mut Pack,
) -> Result<(), serde_json::Error> {
    to.text(kind(&record.record));
    to.text(record.time.millis());
    let data = Data {
        record: &record.record,
        time_ns: record.time.0,
        text: Readable { record, ledger },
    };
    to.written(|bytes| serde_json::to_writer(bytes, &data))
}

/// The JSON of an event: the record as it is in the journal, and its numbers as people read them.
#[derive(serde::Serialize)]
struct Data<'a> {
    record: &'a Record,
    /// The entry's own time is in milliseconds.
    time_ns: i64,
    text: Readable<'a>,
}

/// Name of a record's kind.
fn kind(record: &Record) -> &'static str {
    match record {
        Record::RunStarted { .. } => "run_started",
        Record::InstrumentDefined { .. } => "instrument_defined",
        Record::Transfer { .. } => "transfer",
        Record::Intent { .. } => "intent",
        Record::Refused { .. } => "refused",
        Record::StrategyDefined { .. } => "strategy_defined",
        Record::AccountDefined { .. } => "account_defined",
        Record::CancelRequested(_) => "cancel_requested",
        Record::AmendRequested { .. } => "amend_requested",
        Record::Unanswered(_) => "unanswered",
        Record::Margin { .. } => "margin",
        Record::Risk(event) => event.name(),
        Record::Account(report) => match report.kind {
            AccountReportKind::Funding { .. } => "funding",
            AccountReportKind::Liquidated { .. } => "liquidated",
            AccountReportKind::Insurance { .. } => "insurance",
            AccountReportKind::Standing { .. } => "standing",
        },
        Record::Report(report) => match report.kind {
            ReportKind::Acked { .. } => "acked",
            ReportKind::Held { .. } => "held",
            ReportKind::Triggered { .. } => "triggered",
            ReportKind::Amended { .. } => "amended",
            ReportKind::AmendRejected { .. } => "amend_rejected",
            ReportKind::Lost { .. } => "lost",
            ReportKind::Rejected { .. } => "rejected",
            ReportKind::Fill(_) => "fill",
            ReportKind::Cancelled { .. } => "cancelled",
            ReportKind::Expired { .. } => "expired",
            ReportKind::CancelRejected { .. } => "cancel_rejected",
            ReportKind::NotFound => "not_found",
        },
        Record::Equity { .. } => "equity",
        Record::Strategy { .. } => "strategy",
        Record::StrategyState { .. } => "strategy_state",
    }
}

/// What people read of a record.
struct Readable<'a> {
    record: &'a Sequenced,
    ledger: &'a Ledger,
}

/// Serialises as what it looks like.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Serialize for Readable<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Text {
            map: serializer.serialize_map(None)?,
            ledger: self.ledger,
        };
        text.record(self.record)?;
        text.map.end()
    }
}

/// A JSON object of texts.
struct Text<'a, M> {
    map: M,
    ledger: &'a Ledger,
}

impl<M: SerializeMap> Text<'_, M> {
    fn put(&mut self, name: &'static str, value: impl Display) -> Result<(), M::Error> {
        self.map.serialize_entry(name, &Shown(value))
    }

    fn record(&mut self, record: &Sequenced) -> Result<(), M::Error> {
        match &record.record {
            Record::Transfer { amount, .. } => self.put("amount", amount),
            Record::Equity { equity, .. } => self.put("amount", equity),
            Record::Intent { order, qty, .. } => {
                self.put("order_id", record.seq.0)?;
                self.describe(order, Some(*qty))
            }
            Record::Refused { order, refusal } => {
                self.put("reason", refusal)?;
                self.describe(order, None)
            }
            Record::CancelRequested(id)
            | Record::Unanswered(id)
            | Record::AmendRequested { order: id, .. } => self.about(*id),
            Record::Account(report) => self.account_report(report),
            Record::Margin { instrument, .. } => self.instrument(*instrument),
            Record::Report(report) => {
                self.about(report.order)?;
                let instrument = self
                    .ledger
                    .orders()
                    .get(report.order)
                    .and_then(|o| self.ledger.instrument(o.instrument));
                if let (ReportKind::Fill(fill), Some(instrument)) = (&report.kind, instrument) {
                    self.put("price", fill.price.display(instrument.price_scale))?;
                    self.put("quantity", fill.qty.display(instrument.qty_scale))?;
                    self.put("fee", fill.fee)?;
                }
                Ok(())
            }
            Record::InstrumentDefined { instrument, .. } => self.put("symbol", &instrument.name),
            Record::RunStarted { .. }
            | Record::Strategy { .. }
            | Record::StrategyState { .. }
            | Record::StrategyDefined { .. }
            | Record::AccountDefined { .. }
            | Record::Risk(_) => Ok(()),
        }
    }

    /// What a venue said of the account.
    fn account_report(&mut self, report: &AccountReport) -> Result<(), M::Error> {
        match &report.kind {
            AccountReportKind::Funding {
                instrument, amount, ..
            } => {
                self.instrument(*instrument)?;
                self.put("amount", amount)
            }
            AccountReportKind::Liquidated {
                instrument,
                price,
                qty,
                fee,
                ..
            } => {
                self.instrument(*instrument)?;
                self.put("fee", fee)?;
                if let Some(instrument) = self.ledger.instrument(*instrument) {
                    self.put("price", price.display(instrument.price_scale))?;
                    self.put("quantity", qty.display(instrument.qty_scale))?;
                }
                Ok(())
            }
            AccountReportKind::Insurance { amount, .. } => self.put("amount", amount),
            AccountReportKind::Standing { .. } => Ok(()),
        }
    }

    /// Names an order and its instrument.
    fn about(&mut self, id: OrderId) -> Result<(), M::Error> {
        self.put("order_id", id)?;
        if let Some(order) = self.ledger.orders().get(id) {
            self.instrument(order.instrument)?;
            self.put("side", order.side.name())?;
        }
        Ok(())
    }

    /// What an order asks for.
    fn describe(&mut self, spec: &OrderSpec, qty: Option<Qty>) -> Result<(), M::Error> {
        self.instrument(spec.instrument)?;
        self.put("side", spec.side.name())?;
        self.put("type", spec.kind.name())?;
        let Some(instrument) = self.ledger.instrument(spec.instrument) else {
            return Ok(());
        };
        let base = match spec.size {
            Size::Base(qty) => Some(qty),
            Size::Quote(amount) => {
                self.put("quote_quantity", amount)?;
                None
            }
            Size::Position => None,
        };
        if let Some(qty) = qty.or(base) {
            self.put("quantity", qty.display(instrument.qty_scale))?;
        }
        if let Some(limit) = spec.kind.limit() {
            self.put("price", limit.display(instrument.price_scale))?;
        }
        if let Some(trigger) = spec.kind.trigger() {
            self.put("stop_price", trigger.price.display(instrument.price_scale))?;
        }
        Ok(())
    }

    fn instrument(&mut self, id: InstrumentId) -> Result<(), M::Error> {
        match self.ledger.instrument(id) {
            Some(instrument) => self.put("symbol", &instrument.name),
            None => self.put("symbol", ""),
        }
    }
}
