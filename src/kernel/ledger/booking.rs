//! Executions, funding and liquidations into positions and money.

use super::fills::BookedFill;
use super::holding::Holding;
use super::{Effect, Ledger, LedgerError};
use crate::kernel::event::{
    AccountReport, AccountReportKind, FeeAsset, ReportKind, Seq, VenueReport,
};
use crate::kernel::margin;
use crate::kernel::orders::{Applied, Order, PositionSide, StrategyId};
use crate::kernel::portfolio::{Booked, Execution, MarginMode, Position};
use crate::kernel::types::{Contract, InstrumentId, Money, MoneyError, Time};

/// The outcome of an execution, before it is entered.
struct Booking {
    position: Position,
    account: Booked,
    attributed: Option<(StrategyId, Position)>,
    bound: Money,
    realized: Option<Money>,
    notional: Money,
}

impl Holding {
    /// Sets aside what isolated positions need, or gives it back in cross mode.
    pub(super) fn set_aside(&mut self) -> Result<(), MoneyError> {
        let setting = self.margin;
        for position in self.positions_mut() {
            position.isolated = match setting.mode {
                MarginMode::Isolated if position.qty != 0 => {
                    margin::initial_margin(position.cost.magnitude()?, setting.leverage)?
                }
                MarginMode::Isolated | MarginMode::Cross => Money::ZERO,
            };
        }
        Ok(())
    }
}

impl Ledger {
    /// What a venue says about an order. Everything that can leave the range is computed before anything
    /// changes.
    pub(super) fn report(
        &mut self,
        report: &VenueReport,
        seq: Seq,
        time: Time,
    ) -> Result<Effect, LedgerError> {
        let Some(slot) = self.orders.find(report.order) else {
            return Ok(Effect::default());
        };
        let order = self.orders.at(slot);
        let range = |_: MoneyError| LedgerError::Range { seq: seq.0 };
        let (id, position_side) = (order.instrument, order.position_side);
        let first = order.answered().is_none();
        let booking = match &report.kind {
            ReportKind::Fill(fill) if !order.has_trade(fill.trade_id) => {
                let execution = Execution {
                    side: order.side,
                    price: fill.price,
                    qty: fill.qty,
                    fee: fill.fee,
                    paid_in: &fill.paid_in,
                };
                let strategy = order.origin.strategy();
                let booking = self
                    .book(id, position_side, &execution, strategy)
                    .and_then(|b| order.can_fill(fill, b.notional).map(|()| b));
                Some(booking.map_err(range)?)
            }
            _ => None,
        };
        let worth = booking.as_ref().map_or(Money::ZERO, |b| b.notional);
        let change = |order: &mut Order| (order.report(report, worth, time), order.is_open());
        let was_open = order.is_open();
        let (applied, is_open) = self.change_at(slot, time, change).map_err(range)?;
        let (filled, disputed) = match applied {
            Applied::Changed => (false, false),
            Applied::Filled => (true, false),
            Applied::Disputed { filled } => (filled, true),
            Applied::Duplicate => return Ok(Effect::default()),
        };
        if disputed && let Some(holding) = self.holdings.get_mut(id.index()) {
            holding.suspect = true;
        }
        if let (Some(booking), ReportKind::Fill(fill)) = (booking.filter(|_| filled), &report.kind)
        {
            let order = self.orders.at(slot);
            self.note(BookedFill {
                seq,
                time: report.time,
                order: Some(order.id),
                strategy: order.origin.strategy(),
                instrument: id,
                side: order.side,
                position_side,
                trade_id: fill.trade_id,
                price: fill.price,
                qty: fill.qty,
                notional: booking.notional,
                fee: fill.fee,
                paid_in: fill.paid_in.clone(),
                maker: fill.maker,
                realized: booking.realized,
            });
            self.enter(id, position_side, booking).map_err(range)?;
        }
        let ended = was_open && !is_open;
        if ended {
            self.unshadow(report, time).map_err(range)?;
        }
        Ok(Effect {
            order: Some(report.order),
            answered: first,
            filled,
            ended,
            disputed,
            moved: false,
        })
    }

    /// A stop whose rival has ended needs its own holding from now on.
    fn unshadow(&mut self, report: &VenueReport, time: Time) -> Result<(), MoneyError> {
        let stop = self
            .orders
            .get(report.order)
            .and_then(|ended| self.orders.stop_left_by(ended));
        if let Some(stop) = stop {
            self.change(stop, time, |order| order.shadow = false)?;
        }
        Ok(())
    }

    /// What a venue says about the account.
    pub(super) fn account_report(
        &mut self,
        report: &AccountReport,
        seq: Seq,
    ) -> Result<(), LedgerError> {
        let range = |_: MoneyError| LedgerError::Range { seq: seq.0 };
        match &report.kind {
            AccountReportKind::Funding {
                instrument,
                position_side,
                due,
                amount,
                ..
            } => {
                self.known(seq, *instrument)?;
                let Some(holding) = self.holdings.get_mut(instrument.index()) else {
                    return Ok(());
                };
                let position = holding.position_mut(*position_side);
                if *due <= position.funded {
                    return Ok(());
                }
                let funding = position.funding.plus(*amount).map_err(range)?;
                self.account.fund(*amount).map_err(range)?;
                position.funding = funding;
                position.funded = *due;
                self.changes.position(*instrument);
            }
            AccountReportKind::Liquidated {
                instrument,
                position_side,
                side,
                trade_id,
                price,
                qty,
                fee,
            } => {
                self.known(seq, *instrument)?;
                let execution = Execution {
                    side: *side,
                    price: *price,
                    qty: *qty,
                    fee: *fee,
                    paid_in: &FeeAsset::Quote,
                };
                let booking = self
                    .book(*instrument, *position_side, &execution, None)
                    .map_err(range)?;
                if self.account.is_news((Some(*instrument), *trade_id)) {
                    self.note(BookedFill {
                        seq,
                        time: report.time,
                        order: None,
                        strategy: None,
                        instrument: *instrument,
                        side: *side,
                        position_side: *position_side,
                        trade_id: *trade_id,
                        price: *price,
                        qty: *qty,
                        notional: booking.notional,
                        fee: *fee,
                        paid_in: FeeAsset::Quote,
                        maker: false,
                        realized: booking.realized,
                    });
                    self.enter(*instrument, *position_side, booking)
                        .map_err(range)?;
                }
            }
            AccountReportKind::Insurance { id, amount } => {
                if self.account.is_news((None, *id)) {
                    self.account.insure(*amount).map_err(range)?;
                }
            }
            AccountReportKind::Standing { .. } => {}
        }
        self.changes.account = true;
        Ok(())
    }

    /// What an execution makes of positions and money.
    fn book(
        &self,
        id: InstrumentId,
        side: PositionSide,
        execution: &Execution<'_>,
        strategy: Option<StrategyId>,
    ) -> Result<Booking, MoneyError> {
        let (Some(instrument), Some(holding)) = (
            self.instruments.get(id.index()),
            self.holdings.get(id.index()),
        ) else {
            return Err(MoneyError);
        };
        let setting = holding.margin();
        let isolates =
            instrument.contract != Contract::Spot && setting.mode == MarginMode::Isolated;
        let leverage = if isolates { setting.leverage } else { 0 };
        let mut position = *holding.position(side);
        let realized = position.book(execution, leverage, instrument)?;
        let notional = instrument.notional(execution.price, execution.qty)?;
        let account = self
            .account
            .booked(execution, notional, realized, instrument.contract)?;
        let attributed = match strategy {
            Some(strategy) => {
                let mut own = self.attributed(strategy, id, side);
                own.book(execution, 0, instrument)?;
                Some((strategy, own))
            }
            None => None,
        };
        let bound = if instrument.contract == Contract::Spot {
            self.bound
        } else {
            let mut pair = *holding.positions();
            let before = setting.bound(&pair)?;
            if let Some(place) = pair.get_mut(side.index()) {
                *place = position;
            }
            self.bound.minus(before)?.plus(setting.bound(&pair)?)?
        };
        Ok(Booking {
            position,
            account,
            attributed,
            bound,
            realized,
            notional,
        })
    }

    fn note(&mut self, fill: BookedFill) {
        self.changes.fill(fill.seq);
        self.fills.push(fill);
    }

    fn enter(
        &mut self,
        id: InstrumentId,
        side: PositionSide,
        booking: Booking,
    ) -> Result<(), MoneyError> {
        self.statistics.fill(booking.realized, booking.notional)?;
        if let Some(holding) = self.holdings.get_mut(id.index()) {
            *holding.position_mut(side) = booking.position;
        }
        if let Some((strategy, position)) = booking.attributed {
            self.attributed.insert((strategy, id, side), position);
        }
        self.account.enter(booking.account);
        self.bound = booking.bound;
        self.moved = true;
        self.changes.position(id);
        self.changes.account = true;
        Ok(())
    }
}
