//! Scripts: what they want, what is wrong with them, where they end; and that a rule means the same here.

use proptest::prelude::*;

use super::check::LANGUAGE;
use super::{Halted, Outcome, Script, Wish};
use crate::kernel::rules;
use crate::kernel::vocabulary::{FUNCTIONS, Fault, Frame, NAMES, Needs};

/// Closes 10, 9, 8 … newest first, every indicator warm, hour 14, flat.
fn frame(needs: &Needs) -> Frame {
    let mut frame = Frame::default();
    for (index, (values, count)) in frame.fields.iter_mut().zip(needs.candles).enumerate() {
        let count = usize::from(count.min(10));
        values.extend((0..count).map(|back| 10.0 + index as f64 - back as f64));
    }
    frame.indicators = (0..needs.specs.len())
        .map(|index| {
            let value = 20.0 + index as f64;
            [Some([value, -1.0, 0.5]), Some([value + 0.75, 1.0, 0.25])]
        })
        .collect();
    frame.words = [99.0, 101.0, 2.0, 0.5, 0.0, 0.0, 0.0, 0.0, 14.0, 30.0, 3.0];
    frame
}

fn script(text: &str) -> Script {
    Script::compile(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

fn run(script: &mut Script) -> Result<Outcome, Halted> {
    let mut frame = frame(script.needs());
    script.call(&mut frame)
}

fn wishes(text: &str) -> Vec<Wish> {
    run(&mut script(text))
        .unwrap_or_else(|e| panic!("{text}: {e:?}"))
        .wishes
}

fn stopped(text: &str) -> Fault {
    let mut script = script(text);
    match run(&mut script) {
        Err(Halted::Stopped(fault)) => fault,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_script_sees_the_market_and_says_what_it_wants() {
    let buys = [Wish::Buy];
    for text in [
        "if rsi(14) < 30 and close > sma(9) - 20 { buy(); }",
        "if rsi(14) < 30 && not (close > 100) { buy() }",
        "const N = 14; if rsi(N) < 30 { buy() }",
        "fn dip(x) { rsi(14) < x && close < 11 } if dip(30) { buy() }"
            .replace("< 11", "< 14")
            .as_str(),
        "if macd(12, 26, 9).signal < macd().signal[1] { buy() }",
        "let sum = 0.0; for i in 0..5 { sum += close[i]; } if sum == 55.0 { buy() }",
        "let c = close; if c[4] == 9 { buy() }",
        "if crosses_above(close, 12.5) and crosses_below(rsi(14), 20.5) { buy() }",
        "if max(close, 3) == close && abs(0 - 3) == 3.0 && pow(2, 3) == 8.0 { buy() }",
        "let open = 1; if open == 1 { buy() }",
        "try { throw 3; } catch (e) { if e == 3 { buy() } }",
        "if hour == 14 && spread == ask - bid && position == 0 { buy() }",
        "if `${close}` == \"13\" && [1, 2].len() == 2 && #{a: 1}.keys().len() == 1 { buy() }",
    ] {
        assert_eq!(wishes(text), buys, "{text}");
    }
    assert_eq!(
        wishes("buy(); exit(); sell();"),
        [Wish::Buy, Wish::Exit, Wish::Sell]
    );
}

#[test]
fn plain_numbers_compare_exactly_as_in_rules() {
    for text in [
        "0.1 + 0.2 != 0.3",
        "0.1 + 0.2 > 0.3",
        "3 == 3.0",
        "2 < 2.5",
        "close / position > 3",
        "-(close) / position < 3",
        "(-(close) / position) < (close + close)",
        "not (-1.0 / position > 3)",
    ] {
        assert_eq!(
            wishes(&format!("if {text} {{ buy() }}")),
            [Wish::Buy],
            "{text}"
        );
    }
}

#[test]
fn state_is_kept_from_call_to_call_and_over_a_reload() {
    let text = "state.n = (state.n ?? 0) + 1; state.last = close; state.list = [1, 2.5, \"x\", true, #{a: ()}]; \
                if state.n > 2 { buy() }";
    let mut first = script(text);
    for bought in [false, false, true] {
        let outcome = run(&mut first).expect("runs");
        assert_eq!(!outcome.wishes.is_empty(), bought);
    }
    let mut second = script(text);
    second.restore(&first.state());
    assert_eq!(second.state(), first.state());
    assert_eq!(run(&mut second).expect("runs").wishes, [Wish::Buy]);
    // What fails changes nothing.
    let mut third = script("state.n += 1; if state.n > 4 { close[9999] }");
    third.restore(&first.state());
    run(&mut third).expect("runs");
    let before = third.state();
    run(&mut third).expect_err("history too long");
    assert_eq!(third.state(), before);
    third.restore(b"rubbish");
    assert_eq!(third.state(), before);
    for (text, what) in [
        ("state = 5;", "state must stay a map"),
        ("state.f = 0..3;", "state keeps numbers"),
        (
            "let t = \"0123456789\"; for i in 0..5 { t += t; } state.a = t + t; state.b = t;",
            "state takes",
        ),
    ] {
        assert!(
            stopped(text).message.contains(what),
            "{text}: {}",
            stopped(text)
        );
    }
}

#[test]
fn what_has_no_value_yet_is_waited_for() {
    let mut script = script("if hour == 14 and rsi(14) < 30 { buy() }");
    let mut cold = frame(script.needs());
    cold.indicators = vec![[None, None]];
    let halted = script.call(&mut cold).expect_err("cold");
    assert!(matches!(halted, Halted::NotReady(_)), "{halted:?}");
    assert_eq!(cold.indicators.len(), 1, "the frame comes back");
    assert_eq!(run(&mut script).expect("warm").wishes, [Wish::Buy]);
}

#[test]
fn errors_name_the_place_and_what_would_be_right() {
    for (text, line, column, message) in [
        ("rsj(14)", 1, 1, "unknown function rsj: did you mean rsi?"),
        (
            "if close > 3 {\n  byu();\n}",
            2,
            3,
            "unknown function byu: did you mean buy?",
        ),
        (
            "let x = 3;\nif clsoe > x { buy() }",
            2,
            4,
            "unknown name clsoe: did you mean close?",
        ),
        (
            "let n = 14; rsi(n)",
            1,
            17,
            "the parameters of rsi must be numbers or constants (const N = 14)",
        ),
        (
            "rsi(1)",
            1,
            1,
            "rsi: period must be a whole number between 2.0 and 100000.0, got \"1\"",
        ),
        (
            "if close > { buy() }",
            1,
            21,
            "Expecting '{' to start a statement block",
        ),
        ("sleep(3)", 1, 1, "unknown function sleep"),
        ("timestamp()", 1, 1, "unknown function timestamp"),
        ("open_file(\"x\")", 1, 1, "unknown function open_file"),
        ("2.0 ** 3.0", 1, 5, "Unknown operator: '**'"),
        ("eval(\"1\")", 1, 1, "keyword 'eval' is disabled"),
    ] {
        match Script::compile(text) {
            Err(fault) => {
                let at = (fault.line, fault.column);
                assert!(fault.message.contains(message), "{text}: {fault}");
                assert_eq!(at, (line, column), "{text}: {fault}");
            }
            Ok(_) => panic!("{text} was accepted"),
        }
    }
    // Nothing makes a function from text or brings one from elsewhere.
    for text in [
        "let f = |x| x;",
        "import \"x\";",
        "Fn(\"sleep\").call(1)",
        "sleep.call(1)",
        "[1].map(\"sleep\")",
        "let f = buy; f.curry(1)",
    ] {
        assert!(Script::compile(text).is_err(), "{text}");
    }
}

#[test]
fn a_script_that_misbehaves_is_stopped_with_the_place() {
    for (text, line, message) in [
        (
            "\nloop {}",
            2,
            "operations at one candle: does a loop not end?",
        ),
        (
            "while true { let x = close; }",
            1,
            "operations at one candle",
        ),
        ("fn a() { a() }\na()", 2, "too deeply"),
        ("let s = \"a\"; loop { s += s; }", 1, "too large"),
        ("let a = [1];\nloop { a.push(a); }", 2, "too large"),
        (
            "let m = #{};\nlet i = 0;\nloop { m[`k${i}`] = i; i += 1; }",
            3,
            "operations at one candle",
        ),
        ("loop { buy(); }", 1, "more than 4 orders at one candle"),
        ("1 / 0", 1, "zero"),
        ("9223372036854775807 + 1", 1, "overflow"),
        ("[1][3]", 1, "out of bounds"),
        (
            "close[501]",
            1,
            "the history of close is a whole number of candles, 0 to 500",
        ),
        ("close + \"a\" + true - 3", 1, "Function not found"),
        ("throw \"no\"", 1, "no"),
        ("rsi(14).histogram", 1, "histogram"),
        (
            "try { loop {} } catch { buy() }",
            1,
            "operations at one candle",
        ),
        ("hour = 3;", 1, "hour"),
    ] {
        let fault = stopped(text);
        assert!(
            fault
                .message
                .to_lowercase()
                .contains(&message.to_lowercase()),
            "{text}: {fault}"
        );
        assert_eq!(fault.line, line, "{text}: {fault}");
    }
}

#[test]
fn what_it_prints_is_bounded() {
    let mut script = script("for i in 0..100 { print(`é${i}` + \"é\" + close); }");
    let notes = run(&mut script).expect("runs").notes;
    assert_eq!(notes.len(), 8);
    assert_eq!(notes[0], "é0é13");
    let mut script = super::Script::compile("let t = \"é\"; for i in 0..9 { t += t; } print(t);")
        .expect("script");
    assert!(run(&mut script).expect("runs").notes[0].len() <= 200);
}

#[test]
fn every_name_of_the_language_exists() {
    for name in LANGUAGE {
        // Called wrongly, every one of them is at least not unknown to the check.
        assert!(Script::compile(&format!("{name}()")).is_ok(), "{name}");
    }
    for text in [
        "let a = [3, 1]; a.push(2); a.insert(0, 9); a.reverse(); a.truncate(3); a.chop(2); a.pop(); a.shift(); a.clear(); \
         a.is_empty(); a.contains(3); a.index_of(3); a.remove(0); a.extract(0); a.get(0); a.set(0, 1);",
        "let m = #{a: 1}; m.keys(); m.values(); m.mixin(#{b: 2}); m.fill_with(#{c: 3}); m.contains(\"a\"); m.remove(\"a\");",
        "(3).to_string(); to_float(3); sign(-3); debug(3); to_debug(3); for i in range(0, 3) {}",
    ] {
        run(&mut script(text)).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    }
}

/// A number as text; what both languages can say.
fn number() -> impl Strategy<Value = String> {
    let leaves = [
        "close",
        "open",
        "high[2]",
        "volume",
        "rsi(14)",
        "rsi(14)[1]",
        "sma(5)",
        "macd(12, 26, 9).histogram",
        "macd().signal[1]",
        "bid",
        "spread",
        "imbalance",
        "position",
        "hour",
        "weekday",
        "1.5",
        "0.0",
        "20.0",
    ];
    let leaf = prop::sample::select(leaves.to_vec()).prop_map(str::to_owned);
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (
                inner.clone(),
                prop::sample::select(vec!["+", "-", "*", "/", "%"]),
                inner.clone()
            )
                .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            inner.clone().prop_map(|a| format!("abs({a})")),
            inner.clone().prop_map(|a| format!("-({a})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("max({a}, {b})")),
        ]
    })
}

fn condition() -> impl Strategy<Value = String> {
    let series = prop::sample::select(vec![
        "close",
        "open",
        "rsi(14)",
        "sma(5)",
        "20.5",
        "12.5",
        "macd().signal",
    ]);
    let leaf = prop_oneof![
        (
            number(),
            prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]),
            number()
        )
            .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (
            prop::sample::select(vec!["close", "rsi(14)", "sma(5)"]),
            series.clone(),
            any::<bool>()
        )
            .prop_map(|(a, b, up)| {
                let name = if up { "crosses_above" } else { "crosses_below" };
                format!("{name}({a}, {b})")
            }),
    ];
    leaf.prop_recursive(3, 16, 2, |inner| {
        prop_oneof![
            (
                inner.clone(),
                prop::sample::select(vec!["and", "or", "&&", "||"]),
                inner.clone()
            )
                .prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            inner.prop_map(|a| format!("not ({a})")),
        ]
    })
}

fn token() -> impl Strategy<Value = String> {
    let mut words: Vec<String> = NAMES.iter().map(|n| n.name.to_owned()).collect();
    words.extend(FUNCTIONS.iter().map(|f| f.name.to_owned()));
    words.extend(LANGUAGE.iter().map(|&f| f.to_owned()));
    let symbols = "rsi(14) macd() sma ( ) [ ] { } #{ . , ; : < <= > >= == != + - * / % ** = += and or not && || ! ?? 1 0 14 \
                   0.5 true \"a\" `${ } a b state .a [1] if else loop while for in let const fn return break throw try catch \
                   switch => |x| Fn eval this _ 9223372036854775807 0..9 a(b) fn~a(x){ loop{ [a,a]";
    words.extend(symbols.split(' ').map(|s| s.replace('~', " ")));
    prop::sample::select(words)
}

fn check_any(text: &str) -> Result<(), TestCaseError> {
    match Script::compile(text) {
        Err(fault) => {
            prop_assert!(fault.line >= 1 && fault.column >= 1 && !fault.message.is_empty());
        }
        Ok(mut script) => {
            let mut twin = Script::compile(text).expect("the same text");
            for _ in 0..3 {
                let (one, two) = (run(&mut script), run(&mut twin));
                prop_assert_eq!(&one, &two, "the same twice");
                prop_assert_eq!(script.state(), twin.state());
                if one.is_err() {
                    break;
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// A rule and a script with the same words come to the same.
    #[test]
    fn a_rule_means_the_same_in_a_script(text in condition()) {
        let mut needs = Needs::default();
        let Ok(rule) = rules::compile(&text, &mut needs) else {
            // What a rule refuses for its constants (a division by zero) a script computes.
            return Ok(());
        };
        let ruled = rule.holds(&frame(&needs));
        let mut script = script(&format!("if {text} {{ buy() }}"));
        // Both ask for the same indicators in the same order.
        let specs = |needs: &Needs| needs.specs.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut seen = frame(script.needs());
        let (of_script, of_rule) = (specs(script.needs()), specs(&needs));
        let given = frame(&needs).indicators;
        for (values, name) in seen.indicators.iter_mut().zip(&of_script) {
            let at = of_rule.iter().position(|n| n == name).expect("the same indicators");
            *values = given[at];
        }
        let scripted = script.call(&mut seen);
        match (ruled, scripted) {
            (Ok(holds), Ok(outcome)) => prop_assert_eq!(holds, !outcome.wishes.is_empty(), "{}", text),
            (Err(_), Err(Halted::NotReady(_))) => {}
            (ruled, scripted) => prop_assert!(false, "{}: {:?} and {:?}", text, ruled, scripted),
        }
    }

    #[test]
    fn no_row_of_tokens_breaks_the_engine(words in prop::collection::vec(token(), 0..30)) {
        check_any(&words.join(" "))?;
    }

    #[test]
    fn no_text_breaks_the_engine(text in any::<String>()) {
        check_any(&text)?;
    }
}
