//! A condition at a closed candle: compiled, and the same words as a script.

use hean::kernel::rules;
use hean::kernel::scripts::Script;
use hean::kernel::vocabulary::{Frame, Needs};

use crate::{Bench, Case};

const TEXT: &str = "rsi(14) < 30 and close > sma(200)";
const LONG: &str = "rsi(14) < 30 and close > sma(200) and macd(12, 26, 9).histogram > 0 and close[1] < open[1] \
                    and not crosses_below(ema(9), ema(21)) and (hour >= 8 or weekday <= 5)";
const COUNT: usize = 10_000;

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
}
