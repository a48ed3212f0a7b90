//! What is written of orders, positions, money and events: decimal text, exact and without scales,
//! so that a changed scale changes nothing here.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::kernel::event::{AccountReport, AccountReportKind, Record, ReportKind, Sequenced};
use crate::kernel::ledger::Ledger;
use crate::kernel::orders::{Link, Order, OrderId, OrderSpec, PositionSide, Size};
use crate::kernel::portfolio::Position;
use crate::kernel::snapshot::average_price;
use crate::kernel::types::{Instrument, InstrumentId, Price, Qty, Time, format_fixed};

/// Names and values of a hash. The names are always the same, so that writing all of them leaves
/// nothing old behind; what does not apply is empty.
pub(crate) type Fields = Vec<(&'static str, String)>;

/// An order.
pub(crate) fn order(order: &Order, instrument: &Instrument, ledger: &Ledger) -> Fields {
    let kind = order.kind();
    let price = |p: Price| p.display(instrument.price_scale).to_string();
    let qty = |q: Qty| q.display(instrument.qty_scale).to_string();
    let average = average_price(order.filled_notional, order.filled.0, instrument);
    vec![
        ("order_id", order.id.to_string()),
        ("client_order_id", text(order.client_order_id())),
        (
            "venue_order_ids",
            json_list(order.venue_order_ids().map(|id| id.to_string())),
        ),
        ("symbol", instrument.name.symbol.clone()),
        ("venue", instrument.name.venue.to_string()),
        ("side", order.side.name().to_owned()),
        ("position_side", order.position_side.name().to_owned()),
        ("type", kind.name().to_owned()),
        ("quantity", qty(order.qty)),
        ("quote_quantity", text(order.quote_amount())),
        ("price", kind.limit().map(price).unwrap_or_default()),
        (
            "stop_price",
            kind.trigger().map(|t| price(t.price)).unwrap_or_default(),
        ),
        ("time_in_force", order.time_in_force().name().to_owned()),
        ("post_only", order.post_only.to_string()),
        ("reduce_only", order.reduce_only.to_string()),
        (
            "strategy",
            text(
                order
                    .origin
                    .strategy()
                    .and_then(|s| ledger.strategy_name(s)),
            ),
        ),
        (
            "parent_order_id",
            match order.link() {
                Link::Exit { parent, .. } => parent.to_string(),
                Link::None | Link::Oco(_) | Link::Bracket(_) => String::new(),
            },
        ),
        ("status", order.state.name().to_owned()),
        ("filled_quantity", qty(order.filled)),
        ("remaining_quantity", qty(order.remaining())),
        ("filled_notional", order.filled_notional.to_string()),
        ("avg_fill_price", text(average)),
        ("fee", order.fee.to_string()),
        ("trade_ids", json_list(order.trade_ids())),
        ("reason", order.reason().to_owned()),
        ("disputed", order.disputed.to_string()),
        ("created_at", millis(order.created)),
        ("updated_at", millis(order.updated)),
        (
            "answered_at",
            order.answered().map(millis).unwrap_or_default(),
        ),
    ]
}

/// A position.
pub(crate) fn position(position: &Position, side: PositionSide, instrument: &Instrument) -> Fields {
    let scale = instrument.qty_scale.digits();
    let average = average_price(position.cost, position.qty, instrument);
    vec![
        ("symbol", instrument.name.symbol.clone()),
        ("venue", instrument.name.venue.to_string()),
        ("position_side", side.name().to_owned()),
        (
            "quantity",
            format_fixed(i128::from(position.qty), scale).to_string(),
        ),
        ("cost", position.cost.to_string()),
        ("entry_price", text(average)),
        ("realized_pnl", position.realized.to_string()),
        ("fees", position.fees.to_string()),
        ("funding", position.funding.to_string()),
        ("isolated_margin", position.isolated.to_string()),
    ]
}

/// Money and statistics.
pub(crate) fn account(ledger: &Ledger) -> Fields {
    let (account, statistics) = (ledger.account(), ledger.statistics());
    vec![
        ("currency", account.currency.clone()),
        ("cash", account.cash.to_string()),
        ("transfers", account.transfers.to_string()),
        ("realized_pnl", account.realized.to_string()),
        ("fees", account.fees.to_string()),
        ("funding", account.funding.to_string()),
        ("insurance", account.insurance.to_string()),
        ("held", ledger.held().to_string()),
        ("margin", ledger.bound().to_string()),
        ("halted", ledger.risk().halted.to_string()),
        ("fills", statistics.fills.to_string()),
        ("wins", statistics.wins.to_string()),
        ("losses", statistics.losses.to_string()),
        ("win_rate_percent", text(statistics.win_rate_percent())),
        ("sharpe_ratio", text(statistics.sharpe_ratio())),
        ("sortino_ratio", text(statistics.sortino_ratio())),
        ("profit_factor", text(statistics.profit_factor())),
        ("turnover", statistics.turnover.to_string()),
        (
            "max_drawdown_percent",
            statistics.max_drawdown_percent.to_string(),
        ),
    ]
}

/// An entry of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) kind: &'static str,
    pub(crate) time: String,
    pub(crate) data: String,
}

/// The JSON of an event: the record as it is in the journal, and its numbers as people read them.
#[derive(Serialize)]
struct Data<'a> {
    record: &'a Record,
    /// The entry's own time is in milliseconds.
    time_ns: i64,
    text: BTreeMap<&'static str, String>,
}

/// The event of a record; `ledger` has applied it.
pub(crate) fn event(record: &Sequenced, ledger: &Ledger) -> Result<Event, serde_json::Error> {
    let data = Data {
        record: &record.record,
        time_ns: record.time.0,
        text: readable(record, ledger),
    };
    Ok(Event {
        kind: kind(&record.record),
        time: millis(record.time),
        data: serde_json::to_string(&data)?,
    })
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

fn readable(record: &Sequenced, ledger: &Ledger) -> BTreeMap<&'static str, String> {
    let mut text = BTreeMap::new();
    match &record.record {
        Record::Transfer { amount, .. } => {
            text.insert("amount", amount.to_string());
        }
        Record::Equity { equity, .. } => {
            text.insert("amount", equity.to_string());
        }
        Record::Intent { order, qty, .. } => {
            text.insert("order_id", record.seq.0.to_string());
            describe(order, Some(*qty), ledger, &mut text);
        }
        Record::Refused { order, refusal } => {
            text.insert("reason", refusal.to_string());
            describe(order, None, ledger, &mut text);
        }
        Record::CancelRequested(id)
        | Record::Unanswered(id)
        | Record::AmendRequested { order: id, .. } => about(*id, ledger, &mut text),
        Record::Account(report) => account_report(report, ledger, &mut text),
        Record::Margin { instrument, .. } => {
            text.insert("symbol", name(*instrument, ledger));
        }
        Record::Report(report) => {
            about(report.order, ledger, &mut text);
            let instrument = ledger
                .orders()
                .get(report.order)
                .and_then(|o| ledger.instrument(o.instrument));
            if let (ReportKind::Fill(fill), Some(instrument)) = (&report.kind, instrument) {
                let price = fill.price.display(instrument.price_scale);
                text.insert("price", price.to_string());
                let qty = fill.qty.display(instrument.qty_scale);
                text.insert("quantity", qty.to_string());
                text.insert("fee", fill.fee.to_string());
            }
        }
        Record::InstrumentDefined { instrument, .. } => {
            text.insert("symbol", instrument.name.to_string());
        }
        Record::RunStarted { .. }
        | Record::Strategy { .. }
        | Record::StrategyState { .. }
        | Record::StrategyDefined { .. }
        | Record::AccountDefined { .. }
        | Record::Risk(_) => {}
    }
    text
}

/// What a venue said of the account.
fn account_report(
    report: &AccountReport,
    ledger: &Ledger,
    text: &mut BTreeMap<&'static str, String>,
) {
    match &report.kind {
        AccountReportKind::Funding {
            instrument, amount, ..
        } => {
            text.insert("symbol", name(*instrument, ledger));
            text.insert("amount", amount.to_string());
        }
        AccountReportKind::Liquidated {
            instrument,
            price,
            qty,
            fee,
            ..
        } => {
            text.insert("symbol", name(*instrument, ledger));
            text.insert("fee", fee.to_string());
            if let Some(instrument) = ledger.instrument(*instrument) {
                let price = price.display(instrument.price_scale);
                text.insert("price", price.to_string());
                text.insert("quantity", qty.display(instrument.qty_scale).to_string());
            }
        }
        AccountReportKind::Insurance { amount, .. } => {
            text.insert("amount", amount.to_string());
        }
        AccountReportKind::Standing { .. } => {}
    }
}

/// Names an order and its instrument.
fn about(id: OrderId, ledger: &Ledger, text: &mut BTreeMap<&'static str, String>) {
    text.insert("order_id", id.to_string());
    if let Some(order) = ledger.orders().get(id) {
        text.insert("symbol", name(order.instrument, ledger));
        text.insert("side", order.side.name().to_owned());
    }
}

/// What an order asks for.
fn describe(
    spec: &OrderSpec,
    qty: Option<Qty>,
    ledger: &Ledger,
    text: &mut BTreeMap<&'static str, String>,
) {
    text.insert("symbol", name(spec.instrument, ledger));
    text.insert("side", spec.side.name().to_owned());
    text.insert("type", spec.kind.name().to_owned());
    let Some(instrument) = ledger.instrument(spec.instrument) else {
        return;
    };
    let base = match spec.size {
        Size::Base(qty) => Some(qty),
        Size::Quote(amount) => {
            text.insert("quote_quantity", amount.to_string());
            None
        }
        Size::Position => None,
    };
    if let Some(qty) = qty.or(base) {
        let qty = qty.display(instrument.qty_scale);
        text.insert("quantity", qty.to_string());
    }
    let price = |p: Price| p.display(instrument.price_scale).to_string();
    if let Some(limit) = spec.kind.limit() {
        text.insert("price", price(limit));
    }
    if let Some(trigger) = spec.kind.trigger() {
        text.insert("stop_price", price(trigger.price));
    }
}

fn name(id: InstrumentId, ledger: &Ledger) -> String {
    ledger
        .instrument(id)
        .map(|i| i.name.to_string())
        .unwrap_or_default()
}

fn millis(time: Time) -> String {
    time.millis().to_string()
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

/// Strings and integers always have a JSON text.
fn json_list(list: impl Iterator<Item = impl Serialize>) -> String {
    serde_json::to_string(&list.collect::<Vec<_>>()).unwrap_or_default()
}
