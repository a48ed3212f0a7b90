//! A condition at a closed candle: compiled, and the same words as a script. How long scripts hold the kernel that
//! do the slowest things that there are until their operations are used up.

use std::io::Write as _;

use hean::kernel::rules;
use hean::kernel::scripts::{Halted, Script};
use hean::kernel::vocabulary::{Frame, Needs};

use crate::{Bench, Case};

const TEXT: &str = "rsi(14) < 30 and close > sma(200)";
const LONG: &str = "rsi(14) < 30 and close > sma(200) and macd(12, 26, 9).histogram > 0 and close[1] < open[1] \
                    and not crosses_below(ema(9), ema(21)) and (hour >= 8 or weekday <= 5)";
const COUNT: usize = 10_000;
/// Lists, maps and texts as large as they may be.
fn large() -> String {
    let text = "a".repeat(1_000);
    format!(
        "let l = [1]; while l.len() * 2 <= 64 {{ l += l; }} let k = l; let e = l; \
         let x = [\"aaaaaaaa\"]; while x.len() * 2 <= 64 {{ x += x; }} let y = x; let d = 1.5; \
         let m = #{{}}; for i in 0..60 {{ m[`k${{i}}`] = i; }} let w = m; \
         let s = \"{text}\"; let t = s; let n = \"{}b\"; ",
        &text[..500]
    )
}

/// What is done over and over.
const SLOW: &[(&str, &str)] = &[
    ("nothing", ""),
    ("adds numbers", "d += 1.0;"),
    ("calls a function", "f(1);"),
    ("copies a list", "k = l;"),
    ("copies a list of texts", "y = x;"),
    ("joins lists", "k = l + []; "),
    ("compares lists", "l == e;"),
    ("compares lists of texts", "x == y;"),
    ("looks for what is in no list", "l.contains(7);"),
    ("looks for what is in no list, `in`", "7 in l;"),
    ("looks for what is in no list, `index_of`", "l.index_of(7);"),
    ("extracts from a list", "l.extract(0);"),
    ("reverses a list", "l.reverse();"),
    ("writes a list", "l.to_string();"),
    ("writes a list of texts", "x.to_debug();"),
    ("puts a list into a text", "`${l}`;"),
    ("compares maps", "m == w;"),
    ("copies a map", "w = m;"),
    ("keys of a map", "m.keys();"),
    ("values of a map", "m.values();"),
    ("mixes maps", "w.mixin(m);"),
    ("writes a map", "m.to_string();"),
    ("joins texts", "t = s + s;"),
    ("looks for a text", "s.contains(n);"),
    ("where a text is", "s.index_of(n);"),
    ("a part of a text", "s.extract(1);"),
    ("a letter of a text", "s[900];"),
    ("sets a letter of a text", "s[900] = 'b';"),
    ("letters of a text", "for c in s {}"),
    ("grows the state", "state.l = l;"),
    ("passes a list to a function", "f(l);"),
];

/// Every condition holds, so that all of it is asked.
fn frame(needs: &Needs) -> Frame {
    let mut frame = Frame::default();
    for (place, (values, count)) in frame.fields.iter_mut().zip(needs.candles).enumerate() {
        let base = if place == 3 { 100.0 } else { 101.0 };
        values.extend((0..count).map(|_| base));
    }
    let at = |index: usize| if index == 1 { 99.0 } else { 20.0 };
    frame.indicators = (0..needs.specs.len())
        .map(|i| [Some([at(i), 0.0, 1.0]); 2])
        .collect();
    frame.words = [1.0; 11];
    frame.words[8] = 14.0;
    frame
}

pub(crate) fn bench(bench: &Bench) {
    for (title, text) in [
        ("a rule of two conditions", TEXT),
        ("a rule of seven", LONG),
    ] {
        let mut needs = Needs::default();
        let rule = rules::compile(text, &mut needs).expect("a rule");
        let values = frame(&needs);
        let mut script = Script::compile(&format!("if {text} {{ buy() }}")).expect("a script");
        let mut seen = frame(script.needs());
        let cases = vec![
            Case::new("rule", COUNT, || {
                let held =
                    (0..COUNT).filter(|_| rule.holds(std::hint::black_box(&values)) == Ok(true));
                held.count() as u64
            }),
            Case::new("the same words in a script", COUNT, || {
                let called = (0..COUNT).filter_map(|_| script.call(&mut seen).ok());
                called.map(|outcome| outcome.wishes.len() as u64).sum()
            }),
        ];
        bench.compare(title, cases);
    }
    worst(bench);
}

/// The longest of a few calls of each script.
fn worst(bench: &Bench) {
    let mut found = Vec::new();
    for (name, slow) in SLOW {
        let text = format!("fn f(v) {{ v }} {} loop {{ {slow} }}", large());
        let mut script = match Script::compile(&text) {
            Ok(script) => script,
            Err(fault) => {
                found.push((0.0, *name, format!("not allowed: {}", fault.message)));
                continue;
            }
        };
        let mut seen = frame(script.needs());
        let (mut longest, mut why) = (0.0_f64, String::new());
        for _ in 0..bench.rounds.min(5) {
            let began = bench.clock.now();
            let called = script.call(&mut seen);
            longest = longest.max(bench.clock.now().since(began) as f64 / 1e6);
            why = match called {
                Err(Halted::Stopped(fault)) => fault.message,
                other => format!("{other:?}"),
            };
        }
        found.push((longest, *name, why));
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut out = std::io::stdout().lock();
    drop(writeln!(
        out,
        "\nscripts up to their last operation, the longest of five calls"
    ));
    for (ms, name, why) in found {
        drop(writeln!(out, "  {name:<44} {ms:>8.2} ms  {why}"));
    }
}
