//! Expressions: what they are worth, what is wrong with them, and that no text breaks them.

use proptest::prelude::*;

use super::code::STACK;
use super::{Rule, compile};
use crate::kernel::vocabulary::{FUNCTIONS, Fault, Field, Frame, NAMES, Needs, Word};

/// closes 10, 9, 8 (newest first), volume 0, no book; indicators in the order of their use.
fn frame(indicators: &[[Option<f64>; 2]]) -> Frame {
    let mut frame = Frame {
        words: [0.0; 11],
        indicators: indicators
            .iter()
            .map(|kept| kept.map(|v| v.map(|v| [v, v + 1.0, v + 2.0])))
            .collect(),
        ..Frame::default()
    };
    frame.fields[Field::Close.index()] = vec![10.0, 9.0, 8.0];
    frame.fields[Field::Open.index()] = vec![9.5, 9.0, 8.5];
    frame.fields[Field::Volume.index()] = vec![0.0, 1.0, 2.0];
    frame.words[Word::Bid as usize] = f64::NAN;
    frame.words[Word::Hour as usize] = 14.0;
    frame.words[Word::Position as usize] = -2.0;
    frame
}

fn compiled(text: &str) -> (Rule, Needs) {
    let mut needs = Needs::default();
    let rule = compile(text, &mut needs).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    (rule, needs)
}

fn fault(text: &str) -> Fault {
    let mut needs = Needs::default();
    match compile(text, &mut needs) {
        Ok(rule) => panic!("{text} was accepted: {rule:?}"),
        Err(fault) => fault,
    }
}

#[test]
fn conditions_are_true_or_false_or_not_ready() {
    let warm = [[Some(25.0), Some(35.0)], [Some(9.0), Some(9.5)]];
    for (text, expected) in [
        ("rsi(14) < 30 and close > sma(200)", Some(true)),
        ("rsi(14) < 30 && close > sma(200)", Some(true)),
        ("rsi(14) < 20 or close > sma(200)", Some(true)),
        ("rsi < 20", Some(false)),
        ("rsi(14)[1] > 30 and rsi(14)[0] < 30", Some(true)),
        ("not (rsi < 20)", Some(true)),
        ("!(rsi < 20) == true", Some(true)),
        ("macd(12, 26, 9).histogram == 27", Some(true)),
        ("macd(12,26,9).signal[1] == 36", Some(true)),
        (
            "bbands(20, 2.5).upper > bbands(20, 2.5).middle",
            Some(false),
        ),
        ("close[1] < close and close[2] < close[1]", Some(true)),
        ("close[3] > 0", None),
        ("crosses_above(close, 9.5)", Some(true)),
        ("crosses_above(close, 9)", Some(true)),
        ("crosses_above(close, 8.5)", Some(false)),
        ("crosses_below(rsi(14), 30)", Some(true)),
        ("crosses_below(30, rsi(14))", Some(false)),
        ("crosses_above(close[1], open[1])", Some(false)),
        ("bid > 0", None),
        ("hour == 14 and bid > 0", None),
        // What is not reached is not asked for.
        ("hour == 13 and bid > 0", Some(false)),
        ("hour == 14 or bid > 0", Some(true)),
        ("(hour == 13 and bid > 0) or close == 10", Some(true)),
        ("position < 0 and -position * close == 20", Some(true)),
        (
            "1 + 2 * 3 == 7 and (1 + 2) * 3 == 9 and 7 % 4 == 3 and 1 / 2 == 0.5",
            Some(true),
        ),
        ("10 - 4 - 3 == 3 and 2 - -1 == 3", Some(true)),
        ("true or bid > 0", Some(true)),
        ("false or close == 10", Some(true)),
        ("true and (hour == 13 or close == 10)", Some(true)),
        ("close / volume > 1e300", Some(true)),
        ("volume / volume > 1", None),
        ("volume / volume == volume / volume", None),
        (
            "max(close, open) == 10 and min(close, 3) == 3 and abs(0 - close) == 10",
            Some(true),
        ),
        (
            "pow(2, 10) == 1_024 and sqrt(16) == 4 and ln(exp(1)) == 1 and round(2.5) == 3",
            Some(true),
        ),
        ("floor(open) == 9\n  and ceil(open) == 10", Some(true)),
        ("rsi(2 * 7) < 30 and rsi(14) < 30", Some(true)),
    ] {
        let (rule, _) = compiled(text);
        assert_eq!(rule.holds(&frame(&warm)).ok(), expected, "{text}");
    }
    let (rule, _) = compiled("rsi(14) < 30");
    let cold = rule.holds(&frame(&[[None, None]])).expect_err("cold");
    assert_eq!(cold.indicator(), Some(0));
}

#[test]
fn what_is_read_is_known_before_the_first_candle() {
    let (_, needs) = compiled(
        "rsi < 30 and rsi(14)[1] < 30 and macd(signal_free).macd > 0 and true"
            .replace("(signal_free)", "()")
            .as_str(),
    );
    let names: Vec<String> = needs.specs.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["rsi:14", "macd:12:26:9"]);
    let (_, needs) = compiled("close[7] < open and crosses_above(high[2], 3) and spread < 1");
    assert_eq!(needs.candles, [1, 4, 0, 8, 0]);
    assert_eq!(needs.names(), ["open", "high", "close", "spread"]);
    let (_, needs) = compiled("macd().signal > rsi(14) or macd().signal[1] > 2");
    assert_eq!(needs.names(), ["macd:12:26:9.signal", "rsi:14"]);
    let values: Vec<f64> = needs.values(&frame(&[[Some(5.0), None]; 2])).collect();
    assert_eq!(values, [6.0, 5.0]);
}

#[test]
fn what_is_constant_is_computed_once() {
    for (text, ops) in [
        ("close > 1 + 2 * 3 - min(4, 5)", 3),
        ("true and close > 1", 3),
        ("close > 1 or true", 5),
        ("not false", 1),
        ("false and rsi(14) > 3 and (close > 3 or open > 3)", 1),
        ("true and (close > 3 or open > 3)", 7),
    ] {
        assert_eq!(
            compiled(text).0.ops.len(),
            ops,
            "{text}: {:?}",
            compiled(text).0
        );
    }
}

#[test]
fn errors_name_the_place_and_what_would_be_right() {
    for (text, line, column, message) in [
        ("", 1, 1, "it ends where a value was expected"),
        ("rsi(14) <", 1, 10, "it ends where a value was expected"),
        ("rsj(14) < 30", 1, 1, "unknown name rsj: did you mean rsi?"),
        (
            "close > 1 and\n  clsoe < 3",
            2,
            3,
            "unknown name clsoe: did you mean close?",
        ),
        ("close > zzzz", 1, 9, "unknown name zzzz"),
        (
            "close",
            1,
            1,
            "this is a number, and a rule is a condition: compare it, as in close > sma(200)",
        ),
        (
            "close and open > 1",
            1,
            1,
            "and wants conditions, and this is a number: compare it, as in close > sma(200)",
        ),
        (
            "open > 1 or close",
            1,
            13,
            "or wants conditions, and this is a number: compare it, as in close > sma(200)",
        ),
        (
            "1 < close < 3",
            1,
            1,
            "< wants numbers, and this is a condition: combine conditions with and, or, not",
        ),
        (
            "(close > 1) + 2 > 3",
            1,
            1,
            "+ wants numbers, and this is a condition: combine conditions with and, or, not",
        ),
        (
            "not close > 3",
            1,
            5,
            "not wants a condition and this is a number: write not (…) around the comparison",
        ),
        (
            "macd(12,26,9) > 0",
            1,
            1,
            "macd has the outputs macd, signal, histogram: choose one, as in macd(…).macd",
        ),
        (
            "macd(12,26,9).hist > 0",
            1,
            15,
            "macd has no output hist: it has macd, signal, histogram",
        ),
        (
            "rsi(14).value > 0",
            1,
            9,
            "only indicators with several outputs have a .value",
        ),
        (
            "rsi(1) > 0",
            1,
            1,
            "rsi: period must be a whole number between 2.0 and 100000.0, got \"1\"",
        ),
        ("rsi(14, 3) > 0", 1, 1, "rsi takes period, as in rsi:14"),
        (
            "rsi(hour) > 0",
            1,
            5,
            "the parameters of rsi must be numbers that do not change",
        ),
        (
            "rsi(14)[2] > 0",
            1,
            9,
            "the history of an indicator is a whole number of candles, 0 to 1",
        ),
        (
            "close[501] > 0",
            1,
            7,
            "the history of the candles is a whole number of candles, 0 to 500",
        ),
        (
            "close[hour] > 0",
            1,
            7,
            "the history of the candles is a whole number of candles, 0 to 500",
        ),
        (
            "hour[1] > 0",
            1,
            5,
            "hour has no history: only indicators and the parts of the candle have one",
        ),
        (
            "(close + 1)[1] > 0",
            1,
            12,
            "[…] stands behind an indicator or a part of the candle, as in close[1]",
        ),
        (
            "crosses_above(close) ",
            1,
            20,
            "expected \",\" in crosses_above(a, b), found \")\"",
        ),
        (
            "crosses_above(close + 1, 3)",
            1,
            15,
            "crosses_above wants an indicator, a price of the candle or a number: nothing else has a value of the candle before",
        ),
        (
            "crosses_above(close, 3, 4)",
            1,
            23,
            "too many arguments: write crosses_above(a, b)",
        ),
        ("abs() > 1", 1, 5, "too few arguments: write abs(x)"),
        ("abs > 1", 1, 1, "abs is a function: write abs(x)"),
        (
            "close(1) > 1",
            1,
            1,
            "close is no function: write it without parentheses",
        ),
        (
            "close = 1",
            1,
            7,
            "a single \"=\" assigns nothing here: write == to compare",
        ),
        (
            "close ** 2 > 1",
            1,
            7,
            "there is no \"**\": write pow(x, y)",
        ),
        (
            "close > 30x",
            1,
            9,
            "30x is neither a number nor a name: a number is written 30, 0.5 or 1e3",
        ),
        ("close > 1e999", 1, 9, "the number 1e999 is too large"),
        (
            "close > 1 / 0",
            1,
            11,
            "this has no finite value: it divides by zero or is too large",
        ),
        ("close > ln(0)", 1, 9, "this has no finite value"),
        (
            "close > 1 close",
            1,
            11,
            "expected and, or, an operator or the end, found the name close",
        ),
        (
            "(close > 1",
            1,
            11,
            "expected \")\" to close the parenthesis, found the end",
        ),
        ("close > \"a\"", 1, 9, "'\"' has no meaning here"),
        ("close > µ", 1, 9, "'µ' has no meaning here"),
    ] {
        let found = fault(text);
        assert_eq!(
            (found.line, found.column, found.message.as_str()),
            (line, column, message),
            "{text}"
        );
    }
    assert!(fault(&"(".repeat(2_000)).message.contains("nested deeper"));
    assert!(fault(&"-".repeat(2_000)).message.contains("nested deeper"));
    assert!(fault(&"1+".repeat(5_000)).message.contains("longer than"));
    let long = vec!["close > open"; 200].join(" and ");
    assert!(
        fault(&long).message.contains("too long"),
        "{}",
        fault(&long)
    );
    let many: Vec<String> = (2..40).map(|n| format!("rsi({n}) > 1")).collect();
    assert!(
        fault(&many.join(" or "))
            .message
            .contains("different indicators")
    );
}

fn word() -> impl Strategy<Value = String> {
    let mut words: Vec<String> = NAMES.iter().map(|n| n.name.to_owned()).collect();
    words.extend(FUNCTIONS.iter().map(|f| f.name.to_owned()));
    let symbols = "rsi( macd( sma ) ( [ ] . , < <= > >= == != + - * / % and or not && || ! 1 0 14 0.5 1e3 \
                   true false histogram rsi(14) macd().signal [1] \n = & | ** # \" µ 9999999 in if let";
    words.extend(symbols.split(' ').map(str::to_owned));
    prop::sample::select(words)
}

fn check_any(text: &str) -> Result<(), TestCaseError> {
    let mut needs = Needs::default();
    match compile(text, &mut needs) {
        Ok(rule) => {
            prop_assert!(rule.ops.len() <= 512);
            let frame = frame(&[[Some(1.0), None]; STACK]);
            // Whatever it is worth, it is worth the same twice.
            for frame in [frame, Frame::default()] {
                prop_assert_eq!(rule.holds(&frame), rule.holds(&frame));
            }
        }
        Err(fault) => {
            let lines = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
            prop_assert!(fault.line >= 1 && fault.line <= lines.saturating_add(1));
            prop_assert!(fault.column >= 1 && !fault.message.is_empty());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn no_row_of_words_breaks_the_compiler_or_the_machine(words in prop::collection::vec(word(), 0..40)) {
        check_any(&words.join(" "))?;
    }

    #[test]
    fn no_text_breaks_it(text in any::<String>()) {
        check_any(&text)?;
    }
}
