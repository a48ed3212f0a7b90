"use strict";
const D = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const T = D.totals;

// --- text -------------------------------------------------------------------------------------
const fixed = (x, n) => x.toLocaleString("en-US", { minimumFractionDigits: n, maximumFractionDigits: n }).replace("-", "\u2212");
const places = (x) => { const a = Math.abs(x); return a >= 1 || a < 1e-12 ? 2 : a >= 0.01 ? 4 : 8; };
const money = (x) => (x == null ? "\u2013" : fixed(x, places(x)));
const plus = (x, text) => (x > 0 ? "+" : "") + text;
const signed = (x) => (x == null ? "\u2013" : plus(x, money(x)));
const percent = (x) => (x == null ? "\u2013" : fixed(x, 2) + "\u00a0%");
const ratio = (x) => (x == null ? "\u2013" : fixed(x, 2));
const tone = (x) => (x > 0 ? "up" : x < 0 ? "down" : "");
const price = (x) => (x == null ? "\u2013" : x.toLocaleString("en-US", { maximumSignificantDigits: 9 }));
const two = (n) => String(n).padStart(2, "0");
const day = (d) => d.getUTCFullYear() + "-" + two(d.getUTCMonth() + 1) + "-" + two(d.getUTCDate());
const clock = (d) => two(d.getUTCHours()) + ":" + two(d.getUTCMinutes());
const when = (t) => { const d = new Date(t); return day(d) + " " + clock(d) + (d.getUTCSeconds() ? ":" + two(d.getUTCSeconds()) : ""); };
const span = (ms) => {
  const s = Math.round(ms / 1000), d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  return d ? d + "d " + h + "h" : h ? h + "h " + two(m) + "m" : m ? m + "m " + two(s % 60) + "s" : s + "s";
};
const node = (tag, text, cls) => { const e = document.createElement(tag); if (text != null) e.textContent = text; if (cls) e.className = cls; return e; };

// --- head -------------------------------------------------------------------------------------
const names = D.strategies.map((s) => s.name).join(", ");
document.title = names + " on " + D.instruments.map((i) => i.symbol).join(", ");
$("title").textContent = names;
$("sub").textContent = D.instruments.map((i) => i.symbol).join(", ") + "  \u00b7  " + when(D.from) + " to " + when(D.to) + " UTC";
$("net").textContent = signed(T.net_pnl) + " " + D.currency;
$("net").className = tone(T.net_pnl);
$("return").textContent = plus(T.return_percent, percent(T.return_percent));
$("return").className = tone(T.return_percent);
for (const [label, value, note, cls] of [
  ["Equity at the end", money(T.equity), "from " + money(T.cash)],
  ["Max drawdown", percent(T.max_drawdown_percent), money(T.max_drawdown) + " " + D.currency],
  ["Sharpe ratio", ratio(T.sharpe_ratio), "a year"],
  ["Sortino ratio", ratio(T.sortino_ratio), "a year"],
  ["Profit factor", ratio(T.profit_factor), "won by lost"],
  ["Win rate", percent(T.win_rate_percent), T.trades_won + " won, " + T.trades_lost + " lost"],
  ["Trades", fixed(T.trades, 0), T.trades_open ? T.trades_open + " still open" : fixed(T.fills, 0) + " fills"],
  ["Average trade", signed(T.average_trade), "win " + money(T.average_win) + ", loss " + money(T.average_loss), tone(T.average_trade)],
  ["Best, worst", T.best_trade == null ? "\u2013" : signed(T.best_trade), "worst " + signed(T.worst_trade)],
  ["Fees", money(T.fees), "maker/taker " + [D.fees.maker, D.fees.taker].map((r) => +(r * 100).toFixed(6)).join("/") + "\u00a0%"],
  ["Funding", signed(T.funding), "received less paid", tone(T.funding)],
  ["Time in market", percent(T.exposure_percent), "a trade lasts " + span(T.average_duration_ms)],
]) {
  const card = node("div", null, "card");
  card.append(node("span", label), node("b", value, cls), node("small", note));
  $("cards").append(card);
}
if (D.notes.length) { $("notes").hidden = false; for (const text of D.notes) $("notes").append(node("div", text)); }

// --- the time that is looked at, shared by both charts -----------------------------------------
const whole = [D.from, Math.max(D.to, D.from + 1)];
let view = whole.slice();
const charts = [];
function look(a, b) {
  const least = Math.max(1000, (D.step || 60000) * 8), all = whole[1] - whole[0];
  let width = Math.min(all, Math.max(Math.min(least, all), b - a));
  let middle = (a + b) / 2;
  a = Math.max(whole[0], Math.min(whole[1] - width, middle - width / 2));
  view = [a, a + width];
  for (const b of $("ranges").children) b.setAttribute("aria-pressed", String(Math.abs(b.ms - width) < 1 || (b.ms > all && width === all)));
  paint();
}
let painting = false;
function paint() { if (!painting) { painting = true; requestAnimationFrame(() => { painting = false; charts.forEach((c) => c.draw()); }); } }
{
  const all = whole[1] - whole[0], hour = 3600000;
  const offered = [["1h", hour], ["1d", 24 * hour], ["1w", 168 * hour], ["1m", 720 * hour], ["1y", 8760 * hour]].filter(([, ms]) => ms < all * .9 && ms >= (D.step || 60000) * 8);
  for (const [label, ms] of [...offered, ["All", Infinity]]) {
    const button = node("button", label);
    button.type = "button"; button.ms = ms;
    button.onclick = () => (ms === Infinity ? look(...whole) : look(view[1] - ms, view[1]));
    $("ranges").append(button);
  }
}

// --- drawing ----------------------------------------------------------------------------------
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count), unit = 10 ** Math.floor(Math.log10(raw || 1));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * unit).find((s) => s >= raw) || unit;
  const out = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) out.push(v);
  return [out, step];
}
function moments(a, b, count) {
  const S = 1000, M = 60 * S, H = 60 * M, DAY = 24 * H;
  const steps = [S, 5 * S, 15 * S, 30 * S, M, 5 * M, 15 * M, 30 * M, H, 3 * H, 6 * H, 12 * H, DAY, 2 * DAY, 7 * DAY, 14 * DAY];
  const step = steps.find((s) => (b - a) / s <= count);
  const out = [];
  if (step) { const base = step > DAY ? 4 * DAY : 0; for (let t = Math.ceil((a - base) / step) * step + base; t <= b; t += step) out.push([t, step < M ? clock(new Date(t)) + ":" + two(new Date(t).getUTCSeconds()) : step < DAY && t % DAY ? clock(new Date(t)) : day(new Date(t)).slice(5)]); return out; }
  const months = Math.max(1, Math.ceil((b - a) / (30 * DAY) / count)), every = [1, 2, 3, 6, 12, 24, 60].find((m) => m >= months) || 120;
  const d = new Date(a); let index = d.getUTCFullYear() * 12 + d.getUTCMonth();
  for (index -= index % every; ; index += every) {
    const t = Date.UTC(Math.floor(index / 12), index % 12, 1);
    if (t > b) return out;
    if (t >= a) out.push([t, index % 12 ? day(new Date(t)).slice(0, 7) : String(Math.floor(index / 12))]);
  }
}
const first = (list, t) => { let a = 0, b = list.length; while (a < b) { const m = (a + b) >> 1; if (list[m][0] < t) a = m + 1; else b = m; } return a; };

class Chart {
  constructor(id, panes, tip) {
    this.box = $(id); this.canvas = this.box.firstElementChild; this.tipBox = this.box.lastElementChild;
    this.panes = panes; this.tip = tip; this.at = null; this.pointers = new Map();
    charts.push(this);
    new ResizeObserver(() => paint()).observe(this.box);
    this.listen();
  }
  get right() { return this.width < 560 ? 58 : 74; }
  x(t) { return ((t - view[0]) / (view[1] - view[0])) * (this.width - this.right); }
  time(x) { return view[0] + (x / (this.width - this.right)) * (view[1] - view[0]); }
  draw() {
    const ratio = window.devicePixelRatio || 1, box = this.box.getBoundingClientRect();
    this.width = box.width; this.height = box.height;
    if (!this.width) return;
    const w = Math.round(box.width * ratio), h = Math.round(box.height * ratio);
    if (this.canvas.width !== w || this.canvas.height !== h) { this.canvas.width = w; this.canvas.height = h; }
    const g = this.g = this.canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, this.width, this.height);
    g.font = "11.5px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
    const bottom = this.height - 22, plot = this.width - this.right;
    const color = { grid: css("--grid"), line: css("--line"), faint: css("--faint"), soft: css("--soft"), ink: css("--ink"), accent: css("--accent"), accentSoft: css("--accent-soft"), up: css("--up"), down: css("--down"), downSoft: css("--down-soft"), panel: css("--panel") };
    this.color = color;
    g.textBaseline = "middle"; g.textAlign = "center"; g.lineWidth = 1;
    for (const [t, text] of moments(view[0], view[1], Math.max(2, plot / 92))) {
      const x = Math.round(this.x(t)) + .5;
      g.strokeStyle = color.grid; g.beginPath(); g.moveTo(x, 0); g.lineTo(x, bottom); g.stroke();
      g.fillStyle = color.faint; if (x > 18 && x < plot - 14) g.fillText(text, x, bottom + 13);
    }
    let top = 0;
    for (const pane of this.panes) {
      const height = (bottom - (this.panes.length - 1) * 14) * pane.share;
      this.pane(pane, top, height, plot);
      top += height + 14;
    }
    if (this.at != null) {
      g.strokeStyle = color.faint; g.setLineDash([3, 3]); g.beginPath(); g.moveTo(this.at, 0); g.lineTo(this.at, bottom); g.stroke(); g.setLineDash([]);
    }
  }
  pane(pane, top, height, plot) {
    const g = this.g, color = this.color;
    const range = pane.range();
    if (!range) return;
    let [low, high] = range;
    if (!(high > low)) { const pad = Math.abs(high) * .001 || 1; low -= pad; high += pad; }
    const inset = pane.flush ? 0 : 12;
    const y = (v) => top + inset + ((high - v) / (high - low)) * (height - 2 * inset);
    const [marks, step] = ticks(low, high, Math.max(3, height / 52));
    g.textAlign = "left";
    for (const v of marks) {
      const at = Math.round(y(v)) + .5;
      g.strokeStyle = color.grid; g.beginPath(); g.moveTo(0, at); g.lineTo(plot, at); g.stroke();
      g.fillStyle = color.faint; if (at > top + 4) g.fillText(pane.label(v, step), plot + 8, at);
    }
    g.save(); g.beginPath(); g.rect(0, top - 1, plot, height + 2); g.clip();
    pane.paint(g, y, this, top, height);
    g.restore();
    g.strokeStyle = color.line; g.beginPath(); g.moveTo(0, Math.round(top + height) + .5); g.lineTo(plot, Math.round(top + height) + .5); g.stroke();
  }
  listen() {
    const box = this.box, p = this.pointers;
    const local = (e) => e.clientX - box.getBoundingClientRect().left;
    box.addEventListener("pointerdown", (e) => { p.set(e.pointerId, local(e)); box.setPointerCapture(e.pointerId); this.start = { view: view.slice(), points: [...p.values()] }; });
    box.addEventListener("pointermove", (e) => {
      const x = local(e);
      if (p.has(e.pointerId)) {
        p.set(e.pointerId, x);
        const now = [...p.values()], { view: was, points } = this.start, plot = this.width - this.right, ms = (was[1] - was[0]) / plot;
        if (now.length === 1 && Math.abs(now[0] - points[0]) > 2) { const shift = (now[0] - points[0]) * ms; this.hover(null); return look(was[0] - shift, was[1] - shift); }
        if (now.length === 2 && points.length === 2) {
          const wide = Math.max(10, Math.abs(points[1] - points[0])), scale = wide / Math.max(10, Math.abs(now[1] - now[0]));
          const middle = was[0] + ((points[0] + points[1]) / 2) * ms, width = (was[1] - was[0]) * scale, share = (now[0] + now[1]) / 2 / plot;
          return look(middle - width * share, middle + width * (1 - share));
        }
      }
      this.hover(x < this.width - this.right ? x : null);
    });
    const up = (e) => { p.delete(e.pointerId); this.start = { view: view.slice(), points: [...p.values()] }; };
    box.addEventListener("pointerup", up); box.addEventListener("pointercancel", up);
    box.addEventListener("pointerleave", () => this.hover(null));
    box.addEventListener("dblclick", () => look(...whole));
    box.addEventListener("wheel", (e) => {
      if (e.ctrlKey || e.metaKey) { e.preventDefault(); const t = this.time(local(e)), f = Math.exp(Math.max(-1, Math.min(1, e.deltaY / 240))); look(t - (t - view[0]) * f, t + (view[1] - t) * f); }
      else if (Math.abs(e.deltaX) > Math.abs(e.deltaY)) { e.preventDefault(); const shift = e.deltaX / (this.width - this.right) * (view[1] - view[0]); look(view[0] + shift, view[1] + shift); }
    }, { passive: false });
    box.addEventListener("keydown", (e) => {
      const width = view[1] - view[0], step = width / 8;
      const go = { ArrowLeft: [-step, -step], ArrowRight: [step, step], "+": [step, -step], "-": [-step, step], Home: [-Infinity, 0] }[e.key];
      if (!go) return;
      e.preventDefault();
      if (e.key === "Home") look(...whole); else look(view[0] + go[0], view[1] + go[1]);
    });
  }
  hover(x) {
    this.at = x; const rows = x == null ? null : this.tip(this.time(x), this);
    this.tipBox.hidden = !rows;
    if (rows) {
      this.tipBox.replaceChildren();
      const table = node("table");
      for (const [name, value, cls] of rows) { const tr = node("tr"); tr.append(node("td", name, value == null ? "" : "mute"), node("td", value, cls)); table.append(tr); }
      this.tipBox.append(table);
      const wide = this.tipBox.offsetWidth;
      this.tipBox.style.left = Math.max(0, x + 14 + wide < this.width - this.right ? x + 14 : x - 14 - wide) + "px";
    }
    paint();
  }
}

// --- equity -----------------------------------------------------------------------------------
let peak = -Infinity;
const curve = D.curve.map(([t, equity, low]) => { peak = Math.max(peak, equity); return [t, equity, low, peak > 0 ? Math.min(0, (Math.min(low, equity) / peak - 1) * 100) : 0]; });
const seen = () => [Math.max(0, first(curve, view[0]) - 1), Math.min(curve.length, first(curve, view[1]) + 1)];
const extent = (values) => { let a = Infinity, b = -Infinity; for (const v of values) { if (v < a) a = v; if (v > b) b = v; } return a <= b ? [a, b] : null; };
const path = (g, chart, y, field) => { const [a, b] = seen(); g.beginPath(); for (let i = a; i < b; i++) { const x = chart.x(curve[i][0]), v = y(curve[i][field]); if (i === a) g.moveTo(x, v); else g.lineTo(x, v); } return [chart.x(curve[a][0]), chart.x(curve[b - 1][0])]; };
const digits = (step) => Math.max(0, Math.min(8, Math.ceil(-Math.log10(step) - 1e-9)));
new Chart("equity", [
  {
    share: .68,
    range: () => { const [a, b] = seen(); return extent(curve.slice(a, b).flatMap((p) => [p[1], p[2]])); },
    label: (v, step) => fixed(v, digits(step)),
    paint: (g, y, chart, top, height) => {
      if (!curve.length) return;
      const start = Math.round(y(T.cash)) + .5;
      g.strokeStyle = chart.color.faint; g.setLineDash([2, 4]); g.beginPath(); g.moveTo(0, start); g.lineTo(chart.width, start); g.stroke(); g.setLineDash([]);
      const [from, to] = path(g, chart, y, 1);
      g.lineTo(to, top + height); g.lineTo(from, top + height); g.closePath(); g.fillStyle = chart.color.accentSoft; g.fill();
      path(g, chart, y, 1); g.strokeStyle = chart.color.accent; g.lineWidth = 1.6; g.lineJoin = "round"; g.stroke(); g.lineWidth = 1;
    },
  },
  {
    share: .32, flush: true,
    range: () => { const [a, b] = seen(); const e = extent(curve.slice(a, b).map((p) => p[3])); return e && [Math.min(e[0] * 1.08, -.01), 0]; },
    label: (v, step) => fixed(v, digits(step)) + " %",
    paint: (g, y, chart) => {
      if (!curve.length) return;
      const [from, to] = path(g, chart, y, 3);
      g.lineTo(to, y(0)); g.lineTo(from, y(0)); g.closePath(); g.fillStyle = chart.color.downSoft; g.fill();
      path(g, chart, y, 3); g.strokeStyle = chart.color.down; g.lineWidth = 1.2; g.stroke(); g.lineWidth = 1;
    },
  },
], (t) => {
  const at = Math.min(curve.length - 1, first(curve, t)), p = curve[at];
  return p && [[when(p[0]), null], ["Equity", money(p[1]) + " " + D.currency], ["Profit", signed(p[1] - T.cash), tone(p[1] - T.cash)], ["Drawdown", percent(p[3])]];
});

// --- price ------------------------------------------------------------------------------------
let shown = D.charts.findIndex((c) => c.bars.length);
if (shown < 0) $("price-panel").hidden = true;
else {
  const select = $("instrument");
  if (D.charts.filter((c) => c.bars.length).length > 1) {
    select.hidden = false;
    D.charts.forEach((c, i) => { if (c.bars.length) { const o = node("option", D.instruments[i].symbol); o.value = i; select.append(o); } });
    select.onchange = () => { shown = Number(select.value); paint(); };
  }
  const slice = (list) => { const a = Math.max(0, first(list, view[0]) - 1); return list.slice(a, Math.min(list.length, first(list, view[1]) + 1)); };
  let drawn = [];
  new Chart("price", [{
    share: 1,
    range: () => {
      const bars = slice(D.charts[shown].bars), marks = slice(D.charts[shown].marks);
      return extent([...bars.flatMap((b) => [b[2], b[3]]), ...marks.map((m) => m[2])]);
    },
    label: (v, step) => fixed(v, digits(step)),
    paint: (g, y, chart) => {
      const bars = slice(D.charts[shown].bars), room = chart.width - chart.right;
      const join = Math.max(1, Math.ceil(bars.length / (room / 4)));
      drawn = [];
      for (let i = 0; i < bars.length; i += join) {
        const part = bars.slice(i, i + join);
        drawn.push([part[0][0], part[0][1], Math.max(...part.map((b) => b[2])), Math.min(...part.map((b) => b[3])), part[part.length - 1][4]]);
      }
      const step = D.charts[shown].step * join;
      const wide = Math.max(1, (step / (view[1] - view[0])) * room);
      const body = Math.max(1, Math.min(14, Math.floor(wide * .7)));
      for (const [t, o, h, l, c] of drawn) {
        const x = Math.round(chart.x(t + step / 2)) + .5;
        g.strokeStyle = g.fillStyle = c >= o ? chart.color.up : chart.color.down;
        g.globalAlpha = .85;
        g.beginPath(); g.moveTo(x, y(h)); g.lineTo(x, y(l)); g.stroke();
        const a = Math.min(y(o), y(c)), b = Math.max(y(o), y(c));
        if (body > 1) g.fillRect(Math.round(x - body / 2), a, body, Math.max(1, b - a));
      }
      g.globalAlpha = 1;
      const trips = D.trades.filter((r) => r.at === shown && r.exit_price != null && (r.closed ?? D.to) >= view[0] && r.opened <= view[1]);
      if (trips.length < 160) for (const r of trips) {
        g.strokeStyle = r.net_pnl >= 0 ? chart.color.up : chart.color.down; g.setLineDash([4, 3]); g.lineWidth = 1.3;
        g.beginPath(); g.moveTo(chart.x(r.opened), y(r.entry_price)); g.lineTo(chart.x(r.closed ?? D.to), y(r.exit_price)); g.stroke(); g.setLineDash([]); g.lineWidth = 1;
      }
      const marks = slice(D.charts[shown].marks), dense = marks.length > 400, size = dense ? 3 : 6;
      g.strokeStyle = chart.color.panel; g.lineWidth = dense ? 0 : 1.5; g.globalAlpha = dense ? .75 : 1;
      for (const [t, buy, at] of marks) {
        const x = chart.x(t), v = y(at), s = buy ? 1 : -1, gap = dense ? 1 : 3;
        g.fillStyle = buy ? chart.color.up : chart.color.down;
        g.beginPath(); g.moveTo(x, v + s * gap); g.lineTo(x - size, v + s * (gap + size * 1.5)); g.lineTo(x + size, v + s * (gap + size * 1.5)); g.closePath();
        if (!dense) g.stroke();
        g.fill();
      }
      g.globalAlpha = 1; g.lineWidth = 1;
    },
  }], (t) => {
    const at = Math.max(0, first(drawn, t + 1) - 1), b = drawn[at];
    if (!b) return null;
    const rows = [[when(b[0]), null], ["Open", price(b[1])], ["High", price(b[2])], ["Low", price(b[3])], ["Close", price(b[4]), tone(b[4] - b[1])]];
    const next = drawn[at + 1] ? drawn[at + 1][0] : Infinity, marks = D.charts[shown].marks;
    const inside = marks.slice(first(marks, b[0]), next === Infinity ? undefined : first(marks, next));
    for (const [, buy, p, q] of inside.slice(0, 4)) rows.push([buy ? "Bought" : "Sold", price(q) + " at " + price(p), buy ? "up" : "down"]);
    if (inside.length > 4) rows.push(["", inside.length - 4 + " more fills"]);
    return rows;
  });
}

// --- months -----------------------------------------------------------------------------------
{
  const table = $("months"), head = node("tr");
  head.append(node("th", "Year"), ...["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Year"].map((m) => node("th", m)));
  const thead = node("thead"), body = node("tbody");
  thead.append(head); table.append(thead, body);
  const years = new Map();
  for (const m of D.months) { const [y, n] = m.month.split("-"); if (!years.has(y)) years.set(y, []); years.get(y)[Number(n) - 1] = m; }
  const strongest = Math.max(.01, ...D.months.map((m) => Math.abs(m.return_percent || 0)));
  for (const [year, months] of years) {
    const row = node("tr"); row.append(node("td", year));
    let product = 1;
    for (let n = 0; n < 12; n++) {
      const m = months[n], cell = node("td", m ? plus(m.return_percent, fixed(m.return_percent, 2)) + " %" : "", "cell");
      if (m) {
        product *= 1 + (m.return_percent || 0) / 100;
        cell.title = signed(m.net_pnl) + " " + D.currency;
        const share = Math.min(1, Math.abs(m.return_percent) / strongest);
        cell.style.background = "color-mix(in srgb, var(" + (m.return_percent >= 0 ? "--up" : "--down") + ") " + Math.round(8 + share * 34) + "%, transparent)";
      }
      row.append(cell);
    }
    const total = (product - 1) * 100;
    row.append(node("td", plus(total, fixed(total, 2)) + " %", tone(total)));
    body.append(row);
  }
}

// --- trades -----------------------------------------------------------------------------------
{
  const PAGE = 50, table = $("trades"), several = D.instruments.length > 1, many = D.strategies.length > 1;
  // As many digits in each row of a column, so that numbers line up: of an instrument for prices, of all for money.
  const even = (key) => {
    const most = new Map();
    for (const r of D.trades) most.set(r.at, Math.max(most.get(r.at) ?? 0, (price(r[key]).split(".")[1] ?? "").length));
    return (r) => (r[key] == null ? "\u2013" : fixed(r[key], most.get(r.at)));
  };
  const cents = (key) => {
    const n = places(D.trades.reduce((most, r) => Math.max(most, Math.abs(r[key] ?? 0)), 0));
    return (x) => (x == null ? "\u2013" : fixed(x, n));
  };
  const [fees, funding, net] = ["fees", "funding", "net_pnl"].map(cents);
  const columns = [
    ["Opened", (r) => r.opened, (r) => when(r.opened), "left"],
    ["Lasted", (r) => (r.closed ?? D.to) - r.opened, (r) => (r.closed == null ? "open" : span(r.closed - r.opened))],
    ...(many ? [["Strategy", (r) => r.strategy, (r) => r.strategy, "left"]] : []),
    ...(several ? [["Instrument", (r) => r.at, (r) => D.instruments[r.at].symbol, "left"]] : []),
    ["Side", (r) => r.side, (r) => r.side + (r.liquidated ? ", liquidated" : ""), "left"],
    ["Quantity", (r) => r.quantity, even("quantity")],
    ["Entry", (r) => r.entry_price, even("entry_price")],
    ["Exit", (r) => r.exit_price, even("exit_price")],
    ["Fees", (r) => r.fees, (r) => fees(r.fees)],
    ...(T.funding ? [["Funding", (r) => r.funding, (r) => plus(r.funding, funding(r.funding))]] : []),
    ["Net", (r) => r.net_pnl, (r) => plus(r.net_pnl, net(r.net_pnl)), "", (r) => tone(r.net_pnl)],
    ["Return", (r) => r.net_pnl / (r.quantity * r.entry_price), (r) => percent((100 * r.net_pnl) / (r.quantity * r.entry_price)), "", (r) => tone(r.net_pnl)],
  ];
  let by = 0, down = false, page = 0;
  const draw = () => {
    const sorted = D.trades.slice().sort((a, b) => { const x = columns[by][1](a), y = columns[by][1](b); return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1); });
    const pages = Math.max(1, Math.ceil(sorted.length / PAGE)); page = Math.min(page, pages - 1);
    const head = node("tr");
    columns.forEach(([name, , , cls], i) => {
      const th = node("th", null, cls), button = node("button", name + (i === by ? (down ? " \u2193" : " \u2191") : ""));
      button.type = "button"; button.onclick = () => { down = i === by ? !down : i > 0; by = i; page = 0; draw(); };
      th.setAttribute("aria-sort", i === by ? (down ? "descending" : "ascending") : "none");
      th.append(button); head.append(th);
    });
    const thead = node("thead"), body = node("tbody"); thead.append(head);
    for (const r of sorted.slice(page * PAGE, page * PAGE + PAGE)) {
      const tr = node("tr");
      for (const [, , text, cls, color] of columns) tr.append(node("td", text(r), [cls, color ? color(r) : ""].filter(Boolean).join(" ")));
      tr.onclick = () => {
        const last = r.closed ?? D.to, pad = Math.max((last - r.opened) * 1.5, (D.step || 60000) * 12);
        if (D.charts[r.at] && D.charts[r.at].bars.length) { shown = r.at; $("instrument").value = String(r.at); }
        look(r.opened - pad, last + pad);
        $("price-panel").scrollIntoView({ behavior: "smooth", block: "center" });
      };
      body.append(tr);
    }
    if (!sorted.length) { const tr = node("tr"), td = node("td", "No trade.", "mute"); td.colSpan = columns.length; tr.append(td); body.append(tr); }
    table.replaceChildren(thead, body);
    const go = (text, to, label) => { const b = node("button", text); b.type = "button"; b.disabled = to < 0 || to >= pages; b.setAttribute("aria-label", label); b.onclick = () => { page = to; draw(); }; return b; };
    $("pager").replaceChildren();
    if (pages > 1) $("pager").append(go("\u2039", page - 1, "Previous page"), node("span", page + 1 + " of " + pages), go("\u203a", page + 1, "Next page"));
  };
  draw();
  if (D.trades_left_out) { $("more").hidden = false; $("more").textContent = "The newest " + fixed(D.trades.length, 0) + " of " + fixed(D.trades.length + D.trades_left_out, 0) + " trades; --trades writes all of them."; }
}

// --- search -----------------------------------------------------------------------------------
if (D.search) {
  $("search-panel").hidden = false; $("search-title").textContent = D.search.title + ".";
  const thead = node("thead"), body = node("tbody");
  D.search.rows.forEach((row, i) => { const tr = node("tr"); for (const cell of row) tr.append(node(i ? "td" : "th", cell)); (i ? body : thead).append(tr); });
  $("search").append(thead, body);
}

// --- facts ------------------------------------------------------------------------------------
const fact = (name, value, code) => { const dd = node("dd"); dd.append(code ? node("code", value) : value); $("facts").append(node("dt", name), dd); };
fact("Data", when(D.from) + " to " + when(D.to) + " UTC, " + (D.source.kind === "candles" ? "candles of " + D.source.interval : "recording, " + fixed(D.source.frames, 0) + " frames"));
fact("Files", D.source.files.join(", "));
for (const s of D.strategies) fact("Strategy", s.name + (Object.keys(s.params).length ? ": " + Object.entries(s.params).map(([k, v]) => k + " = " + v).join(", ") : ""));
for (const i of D.instruments) fact("Instrument", i.symbol + " (" + i.kind.replace("_", " ") + "), tick " + i.tick + ", lot " + i.lot);
fact("Fees", "maker " + D.fees.maker + ", taker " + D.fees.taker);
fact("Fill model", Object.entries(D.fill_model).map(([k, v]) => k.replace("_", " ") + " " + v).join(", "));
fact("Turnover", money(T.turnover) + " " + D.currency + ", " + fixed(T.orders, 0) + " orders, " + fixed(T.fills, 0) + " fills");
fact("Seed", String(D.seed));
fact("State hash", D.state_hash, true);
$("footer").textContent = "hean " + D.version;

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
look(...whole);
// At once, not with the next frame: a page that is printed or read by a program may have none.
charts.forEach((c) => c.draw());
