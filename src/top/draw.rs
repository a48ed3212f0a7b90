//! The model on the screen. Drawing is pure: equal model, view and size, equal cells.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::latency;
use super::model::{Link, Model};
use super::panes::{PANES, Pane, share, sort};
use super::view::View;
use crate::client::number::{duration, rounded};
use crate::client::table::{Cell, GAP, Table, Tone};
use crate::client::views::{percent, text};

/// What else a drawing depends on.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    /// Milliseconds since the epoch.
    pub(super) now_ms: i64,
    pub(super) color: bool,
    /// Where the daemon is.
    pub(super) at: String,
}

const HELP: [(&str, &str); 10] = [
    ("Tab  →  ←", "select a pane"),
    ("↑ ↓  PgUp PgDn  Home End", "scroll it"),
    ("Enter", "give it the whole screen, and back"),
    (
        "s",
        "sort it by the next column; again and again, then as it comes",
    ),
    ("p", "pause: what is shown stands still, nothing else does"),
    ("?", "this"),
    ("q  Esc  Ctrl-C", "quit"),
    ("", ""),
    ("AGE", "since the venue's last word on it"),
    ("LATENCY", "from the venue's clock to ours"),
];

/// The table of a pane, sorted as wanted.
pub(super) fn table(pane: Pane, model: &Model, view: &View, now_ms: i64) -> Table {
    let mut table = pane.table(model, now_ms);
    if let Some(by) = view.sorted[pane.index()] {
        sort(&mut table, by);
    }
    table
}

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, view: &View, scene: &Scene) {
    let area = frame.area();
    let model = view.paused.as_deref().unwrap_or(model);
    let paint = Paint {
        buffer: frame.buffer_mut(),
        color: scene.color,
    };
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let mut lines = Lines {
        paint,
        area,
        next: area.y,
    };
    for line in header(model, view, scene) {
        lines.put(&whole(line, width));
    }
    let foot = 1;
    let room = height.saturating_sub(usize::from(lines.next - area.y) + foot);
    if view.help {
        help(&mut lines);
    } else {
        panes(&mut lines, model, view, scene, room, width);
    }
    lines.next = area.y + area.height.saturating_sub(1);
    let keys = if view.paused.is_some() {
        vec![
            Cell::new("PAUSED", Tone::Warn),
            Cell::new("p goes on   q quit   ? help", Tone::Dim),
        ]
    } else {
        vec![Cell::new(
            "q quit   Tab pane   Enter zoom   ↑↓ scroll   s sort   p pause   ? help",
            Tone::Dim,
        )]
    };
    lines.put(&keys);
}

/// Three lines: the daemon, the money, the machinery.
fn header(model: &Model, view: &View, scene: &Scene) -> [Vec<Cell>; 3] {
    let status = &model.status;
    let link = match &model.link {
        _ if view.paused.is_some() => Cell::new("paused", Tone::Warn),
        Link::Connecting => Cell::new("connecting", Tone::Warn),
        Link::Live => Cell::new("live", Tone::Good),
        Link::Polling => Cell::new("each second", Tone::Good),
        Link::Lost(why) => Cell::new(format!("LOST: {why}"), Tone::Bad),
    };
    let mut first = vec![
        Cell::plain(format!("hean {} {}", text(&status["version"]), scene.at)),
        link,
    ];
    if let Some(up) = status["uptime_s"].as_i64() {
        first.push(Cell::plain(text(&status["mode"])));
        first.push(Cell::plain(format!("up {}", duration(up * 1000))));
    }
    match model.risk["mode"].as_str() {
        None => {}
        Some("normal") => first.push(Cell::new("risk normal", Tone::Good)),
        Some(mode) => {
            let cause = text(&model.risk["cause"]);
            first.push(Cell::new(
                format!("risk {mode} {cause}").trim_end(),
                Tone::Bad,
            ));
        }
    }
    let account = &model.account;
    let mut second = Vec::new();
    if !account.is_null() {
        let amount = |name: &str| rounded(&text(&account[name]), 2);
        let gained = |label: &str, name: &str| {
            let cell = Cell::signed(amount(name));
            Cell::new(format!("{label} {}", cell.text), cell.tone)
        };
        let drawdown = percent(&account["stats"]["drawdown_percent"]).text;
        second = vec![
            Cell::plain(format!(
                "equity {} {}",
                amount("equity"),
                text(&account["currency"])
            )),
            gained("today", "pnl_today"),
            gained("total", "pnl_total"),
            Cell::plain(format!("drawdown {drawdown}%")),
            Cell::plain(format!(
                "exposure {}",
                rounded(&text(&account["exposure"]), 0)
            )),
        ];
    }
    [first, second, machinery(model)]
}

fn machinery(model: &Model) -> Vec<Cell> {
    let status = &model.status;
    if status.is_null() {
        return Vec::new();
    }
    let number = |value: &serde_json::Value| value.as_i64().unwrap_or(0);
    let good = |bad: bool, text: String| Cell::new(text, if bad { Tone::Bad } else { Tone::Plain });
    let order = &model.latencies.order;
    let (p50, p99) = (order.quantile(0.5), order.quantile(0.99));
    let journal = &status["journal"];
    let behind = number(&journal["seq"]) - number(&journal["durable"]);
    let beat = number(&status["timestamp"]) - number(&status["kernel"]["heartbeat_at"]);
    let queues = status["queues"].as_object().into_iter().flatten();
    let (depth, dropped) = queues.fold((0, 0), |(depth, dropped), (_, queue)| {
        (
            depth + number(&queue["depth"]),
            dropped + number(&queue["dropped"]),
        )
    });
    let unknown = number(&status["kernel"]["orders_unknown"]);
    let store = match &status["store"] {
        serde_json::Value::Null => Cell::plain("no store"),
        store if store["up"] == true => {
            Cell::plain(format!("store {}", number(&store["lag_records"])))
        }
        _ => Cell::new("store DOWN", Tone::Bad),
    };
    let mut cells = vec![Cell::plain(format!(
        "order p50 {} p99 {}",
        latency::words(p50),
        latency::words(p99)
    ))];
    if dropped > 0 {
        cells.push(Cell::new(format!("{dropped} DROPPED"), Tone::Bad));
    }
    if unknown > 0 {
        cells.push(Cell::new(format!("{unknown} orders UNKNOWN"), Tone::Bad));
    }
    cells.extend([
        good(beat > 1_000, format!("lag: kernel {}", duration(beat))),
        good(journal["full"] == true, format!("journal {behind}")),
        store,
        good(
            model.latencies.gaps > 0,
            format!("gaps {}", model.latencies.gaps),
        ),
        Cell::plain(format!("queued {depth}")),
    ]);
    cells
}

/// What of a line fits, the most important first; nothing is cut in two but the first two.
fn whole(mut cells: Vec<Cell>, width: usize) -> Vec<Cell> {
    let total = |cells: &[Cell]| {
        let cells = cells.iter().map(|cell| cell.text.chars().count() + GAP);
        cells.sum::<usize>().saturating_sub(GAP)
    };
    while cells.len() > 2 && total(&cells) > width {
        cells.pop();
    }
    cells
}

fn panes(
    lines: &mut Lines<'_>,
    model: &Model,
    view: &View,
    scene: &Scene,
    room: usize,
    width: usize,
) {
    let tables = PANES.map(|pane| table(pane, model, view, scene.now_ms));
    let wanted = std::array::from_fn(|at| match tables[at].rows.len() {
        0 => 1,
        rows => rows + 2,
    });
    let shares = if view.zoomed {
        let mut all = [0; 6];
        all[view.selected().index()] = room;
        all
    } else {
        share(room, wanted, view.selected())
    };
    for pane in PANES {
        let table = &tables[pane.index()];
        if shares[pane.index()] > 0 {
            draw_pane(lines, pane, table, model, view, shares[pane.index()], width);
        }
    }
}

fn draw_pane(
    lines: &mut Lines<'_>,
    pane: Pane,
    table: &Table,
    model: &Model,
    view: &View,
    height: usize,
    width: usize,
) {
    let total = table.rows.len();
    let shown = height.saturating_sub(2);
    let first = view.scroll[pane.index()].min(total.saturating_sub(shown));
    let mut title = pane.title(model, total);
    if let Some(column) = view.sorted[pane.index()].and_then(|by| table.columns.get(by)) {
        title = format!("{title}, by {}", column.head);
    }
    if total > shown && shown > 0 {
        title = format!(
            "{title}  [{}-{} of {total}]",
            first + 1,
            (first + shown).min(total)
        );
    }
    lines.rule(&title, pane == view.selected());
    if total == 0 || shown == 0 {
        return;
    }
    let laid = table.lines(Some(width));
    let head: Vec<Cell> = laid
        .head
        .into_iter()
        .map(|cell| Cell::new(cell.text, Tone::Dim))
        .collect();
    lines.put(&head);
    for row in laid.rows.iter().skip(first).take(shown) {
        lines.put(row);
    }
}

fn help(lines: &mut Lines<'_>) {
    lines.rule("Keys", true);
    for (key, what) in HELP {
        lines.put(&[Cell::plain(format!("  {key:<26}")), Cell::plain(what)]);
    }
}

struct Paint<'a> {
    buffer: &'a mut Buffer,
    color: bool,
}

impl Paint<'_> {
    fn style(&self, tone: Tone) -> Style {
        let style = Style::new();
        if !self.color {
            // Without colours, what is bad still stands out.
            return match tone {
                Tone::Bad | Tone::Warn => style.add_modifier(Modifier::BOLD),
                Tone::Plain | Tone::Good | Tone::Dim => style,
            };
        }
        match tone {
            Tone::Plain => style,
            Tone::Good => style.fg(Color::Green),
            Tone::Bad => style.fg(Color::Red),
            Tone::Warn => style.fg(Color::Yellow),
            Tone::Dim => style.add_modifier(Modifier::DIM),
        }
    }
}

/// Lines from the top of the screen down; what does not fit is not drawn.
struct Lines<'a> {
    paint: Paint<'a>,
    area: Rect,
    next: u16,
}

impl Lines<'_> {
    fn put(&mut self, cells: &[Cell]) {
        let mut spans = Vec::with_capacity(cells.len() * 2);
        for (at, cell) in cells.iter().enumerate() {
            if at > 0 {
                spans.push(Span::raw(" ".repeat(GAP)));
            }
            spans.push(Span::styled(cell.text.clone(), self.paint.style(cell.tone)));
        }
        self.line(&Line::from(spans));
    }

    /// A title in a rule across the screen.
    fn rule(&mut self, title: &str, selected: bool) {
        let mark = if selected { "▶" } else { "─" };
        let left = format!("{mark} {title} ");
        let width = usize::from(self.area.width);
        let rest = "─".repeat(width.saturating_sub(left.chars().count()));
        let mut style = Style::new().add_modifier(Modifier::BOLD);
        if selected && self.paint.color {
            style = style.fg(Color::Cyan);
        }
        self.line(&Line::from(vec![
            Span::styled(left, style),
            Span::styled(rest, self.paint.style(Tone::Dim)),
        ]));
    }

    fn line(&mut self, line: &Line<'_>) {
        if self.next < self.area.bottom() {
            self.paint
                .buffer
                .set_line(self.area.x, self.next, line, self.area.width);
            self.next += 1;
        }
    }
}

/// The same as text, for what is no terminal.
pub(super) fn snapshot(model: &Model, scene: &Scene, look: crate::client::Look) -> String {
    let view = View::default();
    let mut out = String::new();
    for line in header(model, &view, scene).iter().skip(1) {
        let cells: Vec<&str> = line.iter().map(|cell| cell.text.as_str()).collect();
        out.push_str(&cells.join("  "));
        out.push('\n');
    }
    for pane in PANES {
        let mut table = table(pane, model, &view, scene.now_ms);
        if !table.rows.is_empty() {
            table.title = Some(pane.title(model, table.rows.len()));
            out.push('\n');
            out.push_str(&table.render(look).text);
        }
    }
    out
}

#[cfg(test)]
mod tests;
