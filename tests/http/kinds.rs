//! Every kind of order and every companion that it can have: what the kernel gets, what does not go
//! together, and how each is shown.

use hean::http::HttpConfig;
use hean::kernel::orders::{
    Bracket, Exit, Link, OrderId, OrderSpec, OrderState, OrderType, Origin, PositionSide, Role,
    Size, StrategyId, TimeInForce, Trigger, TriggerBy,
};
use hean::kernel::types::{InstrumentId, Price, Qty, Rate, Side};
use serde_json::{Value, json};

use super::harness::{Harness, at, order_of, publish};
use super::orders::spec_of;

const SOL: InstrumentId = InstrumentId(3);

/// An order for 2 SOL with these fields on top.
fn body(change: &Value) -> String {
    let mut body = json!({"symbol": "SOLUSDT", "side": "sell", "quantity": 2});
    for (name, value) in change.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body.to_string()
}

async fn asked(change: Value) -> OrderSpec {
    spec_of("", &body(&change)).await.0
}

fn plain(kind: OrderType) -> OrderSpec {
    OrderSpec::new(SOL, Side::Sell, kind, Size::Base(Qty(200_000)))
}

fn trigger(price: i64, by: TriggerBy) -> Trigger {
    Trigger {
        price: Price(price),
        by,
    }
}

#[tokio::test]
async fn every_type_reaches_the_kernel() {
    let (stop, price) = (trigger(14_000, TriggerBy::Last), Price(13_990));
    for (change, kind) in [
        (
            json!({"type": "stop_market", "stop_price": 140}),
            OrderType::StopMarket { trigger: stop },
        ),
        (
            json!({"type": "stop_limit", "stop_price": "140", "price": "139.9"}),
            OrderType::StopLimit {
                trigger: stop,
                price,
            },
        ),
        (
            json!({"type": "take_profit_market", "stop_price": 140, "trigger_by": "mark"}),
            OrderType::TakeProfitMarket {
                trigger: trigger(14_000, TriggerBy::Mark),
            },
        ),
        (
            json!({"type": "TAKE_PROFIT_LIMIT", "stop_price": 1.4e2, "price": 139.9, "trigger_by": "Index"}),
            OrderType::TakeProfitLimit {
                trigger: trigger(14_000, TriggerBy::Index),
                price,
            },
        ),
        (
            json!({"type": "trailing_stop", "trail_percent": 1.5}),
            OrderType::TrailingStop {
                callback: Rate(1_500_000),
                activation: None,
                by: TriggerBy::Last,
            },
        ),
        (
            json!({"type": "trailing_stop", "trail_percent": "0.000001", "activation_price": 160, "trigger_by": "mark"}),
            OrderType::TrailingStop {
                callback: Rate(1),
                activation: Some(Price(16_000)),
                by: TriggerBy::Mark,
            },
        ),
    ] {
        assert_eq!(asked(change.clone()).await, plain(kind), "{change}");
    }
}

#[tokio::test]
async fn flags_and_dates_reach_the_kernel() {
    let limit = OrderType::Limit {
        price: Price(15_000),
    };
    let spec = asked(json!({"type": "limit", "price": 150, "time_in_force": "gtd",
        "expires": 1_800_000_000_000_i64, "post_only": true, "position_side": "long", "strategy": "grid"}))
    .await;
    let expires = at(1_800_000_000_000);
    assert_eq!(
        spec,
        OrderSpec {
            time_in_force: TimeInForce::Gtd { expires },
            post_only: true,
            position_side: PositionSide::Long,
            origin: Origin::Strategy(StrategyId(1)),
            ..plain(limit)
        }
    );
    let spec = asked(
        json!({"type": "stop_market", "stop_price": 140, "quantity": null,
        "close_position": true, "position_side": "short", "time_in_force": "GTC"}),
    )
    .await;
    assert_eq!(
        spec,
        OrderSpec {
            size: Size::Position,
            reduce_only: true,
            position_side: PositionSide::Short,
            ..plain(OrderType::StopMarket {
                trigger: trigger(14_000, TriggerBy::Last)
            })
        }
    );
}

#[tokio::test]
async fn companions_reach_the_kernel() {
    let spec = asked(json!({"side": "buy", "type": "market", "trigger_by": "mark",
        "take_profit": {"trigger_price": 160, "price": "159.9"}, "stop_loss": {"trigger_price": 140, "price": null}}))
    .await;
    let bracket = Bracket {
        take_profit: Some(Exit {
            trigger: trigger(16_000, TriggerBy::Mark),
            price: Some(Price(15_990)),
        }),
        stop_loss: Some(Exit {
            trigger: trigger(14_000, TriggerBy::Mark),
            price: None,
        }),
    };
    assert_eq!(spec.link, Link::Bracket(Box::new(bracket)));
    assert_eq!(spec.kind, OrderType::Market);
    let spec =
        asked(json!({"type": "limit", "price": 150, "stop_loss": {"trigger_price": 155}})).await;
    let Link::Bracket(bracket) = spec.link else {
        panic!("{spec:?}");
    };
    assert_eq!(bracket.take_profit, None);
    // An OCO needs no type.
    for kind in [json!(null), json!("limit")] {
        let spec = asked(json!({"type": kind, "close_position": false,
            "oco": {"price": 160, "stop_price": 140, "stop_limit_price": 139.5}}))
        .await;
        let stop = Exit {
            trigger: trigger(14_000, TriggerBy::Last),
            price: Some(Price(13_950)),
        };
        let limit = OrderType::Limit {
            price: Price(16_000),
        };
        assert_eq!(
            spec,
            OrderSpec {
                link: Link::Oco(Box::new(stop)),
                ..plain(limit)
            }
        );
    }
}

#[tokio::test]
async fn what_does_not_go_together_names_the_field() {
    let server = Harness::reading(HttpConfig::default()).await;
    let exit = json!({"trigger_price": 160});
    let oco = json!({"price": 160, "stop_price": 140});
    for (change, status, code, field) in [
        (
            json!({"type": "market", "price": 1}),
            422,
            "invalid_combination",
            "price",
        ),
        (
            json!({"type": "market", "stop_price": 1}),
            422,
            "invalid_combination",
            "stop_price",
        ),
        (
            json!({"type": "limit", "price": 1, "stop_price": 1}),
            422,
            "invalid_combination",
            "stop_price",
        ),
        (
            json!({"type": "limit", "price": 1, "trail_percent": 1}),
            422,
            "invalid_combination",
            "trail_percent",
        ),
        (
            json!({"type": "limit", "price": 1, "activation_price": 1}),
            422,
            "invalid_combination",
            "activation_price",
        ),
        (
            json!({"type": "limit", "price": 1, "trigger_by": "mark"}),
            422,
            "invalid_combination",
            "trigger_by",
        ),
        (
            json!({"type": "stop_market"}),
            400,
            "missing_field",
            "stop_price",
        ),
        (
            json!({"type": "stop_market", "stop_price": 1, "price": 1}),
            422,
            "invalid_combination",
            "price",
        ),
        (
            json!({"type": "stop_limit", "stop_price": 1}),
            400,
            "missing_field",
            "price",
        ),
        (
            json!({"type": "take_profit_limit", "price": 1}),
            400,
            "missing_field",
            "stop_price",
        ),
        (
            json!({"type": "stop_market", "stop_price": 1.05}),
            422,
            "off_tick",
            "stop_price",
        ),
        (
            json!({"type": "trailing_stop"}),
            400,
            "missing_field",
            "trail_percent",
        ),
        (
            json!({"type": "trailing_stop", "trail_percent": 1, "stop_price": 1}),
            422,
            "invalid_combination",
            "stop_price",
        ),
        (
            json!({"type": "trailing_stop", "trail_percent": 1, "price": 1}),
            422,
            "invalid_combination",
            "price",
        ),
        (
            json!({"type": "trailing_stop", "trail_percent": 100}),
            400,
            "invalid_value",
            "trail_percent",
        ),
        (
            json!({"type": "trailing_stop", "trail_percent": 0}),
            400,
            "invalid_value",
            "trail_percent",
        ),
        (
            json!({"type": "trailing_stop", "trail_percent": "0.0000001"}),
            400,
            "invalid_value",
            "trail_percent",
        ),
        (
            json!({"type": "trailing_stop", "trail_percent": 1, "activation_price": 1.01}),
            422,
            "off_tick",
            "activation_price",
        ),
        (
            json!({"type": "stop_market", "stop_price": 1, "trigger_by": "bid"}),
            400,
            "invalid_value",
            "trigger_by",
        ),
        (
            json!({"type": "stop_market", "stop_price": 1, "time_in_force": "IOC"}),
            422,
            "invalid_combination",
            "time_in_force",
        ),
        (
            json!({"type": "market", "time_in_force": "GTC"}),
            422,
            "invalid_combination",
            "time_in_force",
        ),
        (
            json!({"type": "limit", "price": 1, "time_in_force": "GTD"}),
            400,
            "missing_field",
            "expires",
        ),
        (
            json!({"type": "limit", "price": 1, "time_in_force": "GTD", "expires": 1.5}),
            400,
            "invalid_value",
            "expires",
        ),
        (
            json!({"type": "limit", "price": 1, "time_in_force": "GTD", "expires": i64::MAX}),
            400,
            "invalid_value",
            "expires",
        ),
        (
            json!({"type": "limit", "price": 1, "expires": 1}),
            422,
            "invalid_combination",
            "expires",
        ),
        (
            json!({"type": "limit", "price": 1, "post_only": true, "time_in_force": "IOC"}),
            422,
            "invalid_combination",
            "post_only",
        ),
        (
            json!({"type": "market", "post_only": true}),
            422,
            "invalid_combination",
            "post_only",
        ),
        (
            json!({"type": "market", "quote_quantity": 5}),
            422,
            "invalid_combination",
            "quote_quantity",
        ),
        (
            json!({"type": "market", "close_position": true}),
            422,
            "invalid_combination",
            "quantity",
        ),
        (
            json!({"type": "market", "quantity": null, "quote_quantity": 5, "close_position": true}),
            422,
            "invalid_combination",
            "quote_quantity",
        ),
        (
            json!({"type": "limit", "price": 1, "quantity": null, "close_position": true}),
            422,
            "invalid_combination",
            "close_position",
        ),
        (
            json!({"type": "market", "position_side": "up"}),
            400,
            "invalid_value",
            "position_side",
        ),
        (
            json!({"type": "market", "take_profit": 160}),
            400,
            "invalid_value",
            "take_profit",
        ),
        (
            json!({"type": "market", "take_profit": {}}),
            400,
            "missing_field",
            "take_profit.trigger_price",
        ),
        (
            json!({"type": "market", "stop_loss": {"trigger_price": 1.01}}),
            422,
            "off_tick",
            "stop_loss.trigger_price",
        ),
        (
            json!({"type": "market", "stop_loss": {"trigger_price": 1, "price": -1}}),
            400,
            "invalid_value",
            "stop_loss.price",
        ),
        (
            json!({"type": "market", "stop_loss": {"stop_price": 1}}),
            400,
            "unknown_field",
            "stop_loss.stop_price",
        ),
        (
            json!({"type": "market", "reduce_only": true, "take_profit": exit}),
            422,
            "invalid_combination",
            "take_profit",
        ),
        (
            json!({"type": "market", "reduce_only": true, "stop_loss": exit}),
            422,
            "invalid_combination",
            "stop_loss",
        ),
        (json!({"oco": []}), 400, "invalid_value", "oco"),
        (
            json!({"oco": {"price": 160}}),
            400,
            "missing_field",
            "oco.stop_price",
        ),
        (
            json!({"oco": {"stop_price": 140}}),
            400,
            "missing_field",
            "oco.price",
        ),
        (
            json!({"oco": {"price": 160.01, "stop_price": 140}}),
            422,
            "off_tick",
            "oco.price",
        ),
        (
            json!({"oco": oco, "type": "market"}),
            422,
            "invalid_combination",
            "type",
        ),
        (
            json!({"oco": oco, "price": 160}),
            422,
            "invalid_combination",
            "price",
        ),
        (
            json!({"oco": oco, "stop_loss": exit}),
            422,
            "invalid_combination",
            "stop_loss",
        ),
        (
            json!({"oco": oco, "close_position": true}),
            422,
            "invalid_combination",
            "close_position",
        ),
    ] {
        let answer = server.ask("POST", "/api/v1/orders", &body(&change)).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{change} {answer:?}"
        );
        assert_eq!(answer.json()["field"], field, "{change}");
    }
    let json = server
        .ask(
            "POST",
            "/api/v1/orders",
            &body(&json!({"oco": {"price": 160.05, "stop_price": 1}})),
        )
        .await
        .json();
    assert_eq!(
        (&json["below"], &json["above"]),
        (&json!("160"), &json!("160.1"))
    );
    let leverage = json!({"type": "market", "leverage": 5});
    let json = server
        .ask("POST", "/api/v1/orders", &body(&leverage))
        .await
        .json();
    let hint = json["hint"].as_str().unwrap();
    assert!(hint.contains("/api/v1/positions/{symbol}/margin"), "{hint}");
}

#[tokio::test]
async fn each_is_shown_with_what_it_has() {
    let server = Harness::reading(HttpConfig::default()).await;
    let published = &server.state.published;
    let show = async |spec: OrderSpec, id: u64| {
        publish(published, order_of(id, OrderState::Untriggered, spec));
        server.get(&format!("/api/v1/orders/{id}")).await.json()
    };
    let json = show(
        OrderSpec {
            size: Size::Position,
            position_side: PositionSide::Short,
            ..plain(OrderType::StopLimit {
                trigger: trigger(14_000, TriggerBy::Mark),
                price: Price(13_990),
            })
        },
        1,
    )
    .await;
    for (name, value) in [
        ("type", json!("stop_limit")),
        ("stop_price", json!(140)),
        ("price", json!(139.9)),
        ("trigger_by", json!("mark")),
        ("position_side", json!("short")),
        ("close_position", json!(true)),
        ("triggered", json!(false)),
        ("status", json!("untriggered")),
    ] {
        assert_eq!(json[name], value, "{name}");
    }
    let json = show(
        plain(OrderType::TrailingStop {
            callback: Rate(1_500_000),
            activation: Some(Price(16_000)),
            by: TriggerBy::Last,
        }),
        2,
    )
    .await;
    for (name, value) in [
        ("trail_percent", json!(1.5)),
        ("activation_price", json!(160)),
        ("trigger_by", json!("last")),
        ("stop_price", json!(null)),
    ] {
        assert_eq!(json[name], value, "{name}");
    }
    let limit = OrderType::Limit {
        price: Price(15_000),
    };
    let expires = at(1_800_000_000_000);
    let exit = Exit {
        trigger: trigger(14_000, TriggerBy::Last),
        price: None,
    };
    let entry = OrderSpec {
        time_in_force: TimeInForce::Gtd { expires },
        link: Link::Bracket(Box::new(Bracket {
            take_profit: Some(exit),
            stop_loss: Some(exit),
        })),
        ..plain(limit)
    };
    let json = show(entry, 3).await;
    assert_eq!(json["expires"], 1_800_000_000_000_i64);
    assert_eq!(json["exit_order_ids"], json!([]));
    for (id, role) in [(4, Role::StopLoss), (5, Role::TakeProfit)] {
        let child = OrderSpec {
            link: Link::Exit {
                parent: OrderId(3),
                role,
            },
            ..plain(role.order_type(exit))
        };
        let json = show(child, id).await;
        assert_eq!(json["parent_order_id"], "3");
    }
    let json = server.get("/api/v1/orders/3").await.json();
    assert_eq!(json["exit_order_ids"], json!(["5", "4"]));
    assert_eq!(json["parent_order_id"], json!(null));
}
