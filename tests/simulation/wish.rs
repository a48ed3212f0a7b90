//! From an action's numbers to an order, at the prices of the moment.

use hean::kernel::orders::{
    Bracket, Exit, Link as Companions, OrderSpec, OrderType, Size, TimeInForce, Trigger, TriggerBy,
};
use hean::kernel::types::{InstrumentId, Rate, SECOND, Side};

use crate::action::{Kind, Place};
use crate::world::World;

impl World {
    pub(crate) fn spec(&self, place: &Place) -> OrderSpec {
        let market = &self.markets[usize::from(place.instrument)];
        let side = if place.buy { Side::Buy } else { Side::Sell };
        // Against us, seen from who buys: above.
        let against = |ticks: i64| market.price(if place.buy { ticks } else { -ticks });
        let by = if place.lots % 3 == 0 {
            TriggerBy::Mark
        } else {
            TriggerBy::Last
        };
        let trigger = |ticks: i64| Trigger {
            price: against(ticks),
            by,
        };
        let stop = trigger(place.trigger);
        let target = trigger(-place.trigger);
        let price = market.price(place.price);
        let kind = match place.kind {
            Kind::Market => OrderType::Market,
            Kind::Limit | Kind::Bracket => OrderType::Limit { price },
            Kind::Oco => OrderType::Limit {
                price: against(-place.trigger),
            },
            Kind::StopMarket | Kind::CloseAt => OrderType::StopMarket { trigger: stop },
            Kind::StopLimit => OrderType::StopLimit {
                trigger: stop,
                price: against(place.trigger + 2),
            },
            Kind::TakeProfitMarket => OrderType::TakeProfitMarket { trigger: target },
            Kind::TakeProfitLimit => OrderType::TakeProfitLimit {
                trigger: target,
                price: against(1 - place.trigger),
            },
            Kind::Trailing => OrderType::TrailingStop {
                callback: Rate(100_000 * place.trigger),
                activation: None,
                by,
            },
        };
        let size = if place.kind == Kind::CloseAt {
            Size::Position
        } else {
            Size::Base(market.lots(place.lots))
        };
        let exit = |ticks: i64, limit: bool| Exit {
            trigger: Trigger {
                price: against(ticks),
                by,
            },
            price: limit.then(|| against(ticks)),
        };
        let link = match place.kind {
            Kind::Oco => Companions::Oco(Box::new(exit(place.trigger, false))),
            Kind::Bracket => Companions::Bracket(Box::new(Bracket {
                take_profit: (place.tif != 2)
                    .then(|| exit(place.trigger + 12, place.lots % 2 == 0)),
                stop_loss: (place.tif != 1).then(|| exit(-place.trigger - 12, false)),
            })),
            _ => Companions::None,
        };
        let time_in_force = match (place.tif, kind.is_market(), place.kind) {
            (_, true, _) if !kind.is_conditional() => TimeInForce::Ioc,
            (3, false, _) => TimeInForce::Gtd {
                expires: self.now.plus(place.trigger * SECOND),
            },
            (1, false, Kind::Limit) => TimeInForce::Ioc,
            (2, false, Kind::Limit) => TimeInForce::Fok,
            _ => TimeInForce::Gtc,
        };
        OrderSpec {
            position_side: self.leg(place.instrument, place.long_leg),
            time_in_force,
            post_only: place.post_only && time_in_force.rests() && !kind.is_market(),
            reduce_only: place.reduce_only,
            link,
            client_order_id: place.key.map(|k| format!("key-{k}").parse().expect("key")),
            ..OrderSpec::new(InstrumentId(place.instrument), side, kind, size)
        }
    }
}
