//! A fixed model, and every character of its screen.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use serde_json::json;

use super::*;
use crate::top::latency::Latencies;
use crate::top::model::Update;

const NOW: i64 = 1_796_070_061_000;

fn ticker(symbol: &str, price: &str, open: &str, bid: &str, ask: &str, age: i64) -> Update {
    Update::Ticker(
        json!({"symbol": symbol, "venue": "sim", "price": price, "open": open,
        "bid": bid, "ask": ask, "volume": "3273.71269", "timestamp": NOW - age}),
    )
}

fn model() -> Model {
    let order = |id: u64, status: &str, kind: &str, price: serde_json::Value| {
        json!({"order_id": id.to_string(), "symbol": "BTCUSDT", "venue": "sim", "side": "buy",
            "type": kind, "quantity": "0.01", "price": price, "filled_quantity": "0",
            "status": status, "strategy": "grid", "created_at": NOW - 5_000, "reason": null})
    };
    let feed = |age: i64| {
        json!({"subscribed": true, "refused": false, "messages": 132,
        "age_ms": age, "latency_ms": "27.448"})
    };
    let metrics = "hean_order_latency_seconds_bucket{le=\"0.01\"} 5\n\
        hean_order_latency_seconds_bucket{le=\"0.02\"} 10\n\
        hean_order_latency_seconds_bucket{le=\"+Inf\"} 10\n\
        hean_stage_seconds_bucket{stage=\"step\",le=\"0.00001\"} 90\n\
        hean_stage_seconds_bucket{stage=\"step\",le=\"+Inf\"} 100\n\
        hean_book_gaps_total 0\n";
    let mut model = Model::default();
    for update in [
        Update::Link(Link::Live),
        ticker(
            "BTCUSDT", "59996.04", "58353.86", "59996.04", "59996.22", 74,
        ),
        ticker("ETHUSDT", "3000.42", "3050", "3000.4", "3000.45", 12_400),
        Update::Positions(json!({"items": [
            {"symbol": "ETHUSDT", "venue": "sim", "side": "long", "quantity": "0.3333",
             "entry_price": "3000.2560816081608161", "mark_price": "3000.425",
             "unrealized_pnl": "0.0563005", "realized_pnl": "-0.106656", "fees": "2.999918672",
             "funding": 0, "leverage": null, "liquidation_price": null},
            {"symbol": "BTCUSDT", "venue": "sim", "side": "flat", "quantity": 0}]})),
        Update::Orders(json!({"items": [
            order(31, "submitted", "limit", json!("59000")),
            order(27, "submitted", "limit", json!("58900.5"))]})),
        Update::Order(order(33, "filled", "market", json!(null))),
        Update::Account(json!({"currency": "USDT", "equity": "99992.8223046406",
            "pnl_today": "-7.1776953594", "pnl_total": "12.5", "exposure": "1000.0416525",
            "stats": {"drawdown_percent": 0.75}})),
        Update::Strategies(json!({"items": [{"name": "ema_cross", "running": true,
            "decided_at": NOW, "last_decision": "BTCUSDT: flat, stay\nETHUSDT: long, stay"}]})),
        Update::Feeds(json!({"items": [{"symbol": "BTCUSDT", "venue": "sim",
            "streams": {"depth": feed(74), "trades": feed(6_200), "quote": feed(24)}}]})),
        Update::Status(json!({"version": "1.2.3", "mode": "paper", "uptime_s": 183,
            "timestamp": NOW, "kernel": {"heartbeat_at": NOW - 12, "orders_unknown": 0},
            "journal": {"seq": 30, "durable": 28}, "store": {"up": true, "lag_records": 3},
            "queues": {"market": {"depth": 4, "dropped": 0}}})),
        Update::Risk(json!({"mode": "normal", "cause": null})),
        Update::Latencies(Box::new(Latencies::read(metrics))),
    ] {
        model.apply(update);
    }
    model
}

fn screen(model: &Model, view: &View, color: bool, size: (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("a screen");
    let scene = Scene {
        now_ms: NOW,
        color,
        at: "127.0.0.1:8080".to_owned(),
    };
    terminal
        .draw(|frame| draw(frame, model, view, &scene))
        .expect("drawn");
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let lines = buffer.content().chunks(width).map(|line| {
        let line: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn press(view: &mut View, model: &Model, key: KeyCode) {
    view.on(
        &Event::Key(KeyEvent::new(key, KeyModifiers::NONE)),
        model,
        6,
        3,
    );
}

#[test]
fn everything_has_its_place_on_a_small_screen() {
    let shown = text(&screen(&model(), &View::default(), false, (80, 24)));
    assert_eq!(shown, SMALL, "\n{shown}");
}

const SMALL: &str = "\
hean 1.2.3 127.0.0.1:8080  live  paper  up 3 m 03 s  risk normal
equity 99992.82 USDT  today -7.18  total 12.5  drawdown 0.75%  exposure 1000
order p50 10.0 ms p99 19.8 ms  lag: kernel 12 ms  journal 2  store 3  gaps 0
▶ Prices ───────────────────────────────────────────────────────────────────────
SYMBOL          PRICE  24H %       BID       ASK  SPREAD BP    AGE      VOLUME
sim:BTCUSDT  59996.04   2.81  59996.04  59996.22       0.03  74 ms  3273.71269
sim:ETHUSDT   3000.42  -1.63   3000.4    3000.45       0.17   12 s  3273.71269
─ Positions: 1 ─────────────────────────────────────────────────────────────────
SYMBOL       SIDE  QUANTITY      ENTRY      MARK  UNREALIZED  REALIZED    FEES
sim:ETHUSDT  long    0.3333  3000.2561  3000.425      0.0563   -0.1067  2.9999
─ Orders: 2 open  [1-2 of 3] ───────────────────────────────────────────────────
ORDER  SYMBOL       SIDE  TYPE    QUANTITY    PRICE  FILLED  STATUS     STRATEGY
   31  sim:BTCUSDT  buy   limit       0.01  59000         0  submitted  grid
   27  sim:BTCUSDT  buy   limit       0.01  58900.5       0  submitted  grid
─ Strategies  [1-1 of 2] ───────────────────────────────────────────────────────
STRATEGY   STATE    DECIDED UTC          LAST DECISION
ema_cross  running  2026-11-30 20:21:01  BTCUSDT: flat, stay
─ Feeds  [1-1 of 3] ────────────────────────────────────────────────────────────
SYMBOL       STREAM  STATE         AGE  LATENCY MS  MESSAGES
sim:BTCUSDT  trades  subscribed  6.2 s        27.4       132
─ Latencies since the start  [1-1 of 2] ────────────────────────────────────────
STAGE      P50      P99  COUNT
order  10.0 ms  19.8 ms     10
q quit   Tab pane   Enter zoom   ↑↓ scroll   s sort   p pause   ? help";

#[test]
fn colours_say_what_is_gained_and_lost() {
    let colour_of = |color: bool, word: &str| {
        let buffer = screen(&model(), &View::default(), color, (80, 24));
        let lines = text(&buffer);
        let (row, line) = lines
            .lines()
            .enumerate()
            .find(|(_, line)| line.contains(word))
            .expect(word);
        let at = line
            .find(word)
            .map(|at| line[..at].chars().count())
            .expect(word);
        let cell = &buffer[(
            u16::try_from(at).expect("small"),
            u16::try_from(row).expect("small"),
        )];
        cell.fg
    };
    assert_eq!(colour_of(true, "today -7.18"), Color::Red);
    assert_eq!(colour_of(true, "total 12.5"), Color::Green);
    assert_eq!(colour_of(true, "2.81"), Color::Green);
    assert_eq!(colour_of(true, "live"), Color::Green);
    for word in ["today -7.18", "total 12.5", "live"] {
        assert_eq!(colour_of(false, word), Color::Reset, "{word}");
    }
}

#[test]
fn panes_are_zoomed_sorted_and_scrolled() {
    let model = model();
    let mut view = View::default();
    press(&mut view, &model, KeyCode::BackTab);
    press(&mut view, &model, KeyCode::BackTab); // feeds
    press(&mut view, &model, KeyCode::Enter);
    press(&mut view, &model, KeyCode::Char('s'));
    press(&mut view, &model, KeyCode::Char('s'));
    press(&mut view, &model, KeyCode::Down);
    let shown = text(&screen(&model, &view, false, (80, 8)));
    let lines: Vec<&str> = shown.lines().skip(3).take(4).collect();
    assert!(
        lines[0].starts_with("▶ Feeds, by STREAM  [2-3 of 3] ─"),
        "{shown}"
    );
    assert!(
        lines[2].contains("quote") && lines[3].contains("trades"),
        "{shown}"
    );
}

#[test]
fn what_is_paused_stands_still() {
    let mut model = model();
    let mut view = View::default();
    press(&mut view, &model, KeyCode::Char('p'));
    model.apply(ticker("BTCUSDT", "1.5", "1", "1", "2", 0));
    let shown = text(&screen(&model, &view, false, (80, 24)));
    assert!(
        shown.contains("59996.04") && shown.contains("PAUSED"),
        "{shown}"
    );
    press(&mut view, &model, KeyCode::Char('p'));
    assert!(!text(&screen(&model, &view, false, (80, 24))).contains("59996.04"));
}

#[test]
fn a_lost_daemon_and_a_halt_are_seen_at_once() {
    let mut model = model();
    model.apply(Update::Link(Link::Lost("nobody there".to_owned())));
    model.apply(Update::Risk(
        json!({"mode": "halted", "cause": "kill_switch"}),
    ));
    let small = text(&screen(&model, &View::default(), false, (40, 24)));
    assert!(
        small.starts_with("hean 1.2.3 127.0.0.1:8080  LOST: nobody"),
        "{small}"
    );
    let shown = text(&screen(&model, &View::default(), false, (120, 24)));
    let first = shown.lines().next().expect("a line");
    assert!(first.contains("LOST: nobody there"), "{first}");
    assert!(first.contains("risk halted kill_switch"), "{first}");
}

#[test]
fn no_size_and_no_model_is_too_small() {
    let mut helping = View::default();
    press(&mut helping, &Model::default(), KeyCode::Char('?'));
    for model in [model(), Model::default()] {
        for view in [&View::default(), &helping] {
            for size in [(1, 1), (3, 2), (20, 5), (79, 10), (80, 24), (300, 100)] {
                let shown = text(&screen(&model, view, true, size));
                assert!(!shown.is_empty());
            }
        }
    }
    assert!(text(&screen(&Model::default(), &helping, true, (80, 24))).contains("pause"));
}
