//! The names that rules and scripts read the market with: one table for both, so that what one of them
//! can say, the other can say in the same words.
//!
//! [`Needs`] says what a text uses of them, [`Frame`] holds their values when a candle closes. What has
//! no value yet (an indicator that is warming up, a book that is not valid) is NaN in a frame, and
//! whoever reads it is "not ready".

use std::cmp::Ordering;

use super::indicators::{INDICATORS, Spec, Values};

/// A part of a candle. It has a history: `close[1]` is the candle before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// First price.
    Open,
    /// Highest price.
    High,
    /// Lowest price.
    Low,
    /// Last price.
    Close,
    /// Volume in the base asset.
    Volume,
}

impl Field {
    /// All of them, in the order of a frame.
    pub const ALL: [Self; 5] = [Self::Open, Self::High, Self::Low, Self::Close, Self::Volume];

    /// Its place in a frame.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A number that has no history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// Best bid.
    Bid,
    /// Best ask.
    Ask,
    /// Ask less bid.
    Spread,
    /// How the quantities at the best prices are divided.
    Imbalance,
    /// What the strategy holds.
    Position,
    /// What it paid.
    EntryPrice,
    /// For how long.
    BarsHeld,
    /// What it would make.
    PnlPercent,
    /// Hour of the candle.
    Hour,
    /// Minute of the candle.
    Minute,
    /// Day of the week of the candle.
    Weekday,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A part of the candle.
    Field(Field),
    /// Anything else.
    Word(Word),
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    /// As users spell it.
    pub name: &'static str,
    /// What it stands for.
    pub meaning: Meaning,
    /// What it is, with its unit.
    pub what: &'static str,
}

const fn field(name: &'static str, field: Field, what: &'static str) -> Name {
    Name {
        name,
        meaning: Meaning::Field(field),
        what,
    }
}

const fn word(name: &'static str, word: Word, what: &'static str) -> Name {
    Name {
        name,
        meaning: Meaning::Word(word),
        what,
    }
}

/// Every name that is no function and no indicator. Words stand in the order of [`Word`].
pub const NAMES: &[Name] = &[
    field(
        "open",
        Field::Open,
        "first price of the candle that has just closed",
    ),
    field("high", Field::High, "its highest price"),
    field("low", Field::Low, "its lowest price"),
    field("close", Field::Close, "its last price"),
    field("volume", Field::Volume, "its volume in the base asset"),
    word(
        "bid",
        Word::Bid,
        "best bid; not ready while the book is not valid",
    ),
    word(
        "ask",
        Word::Ask,
        "best ask; not ready while the book is not valid",
    ),
    word("spread", Word::Spread, "ask less bid"),
    word(
        "imbalance",
        Word::Imbalance,
        "(bid quantity - ask quantity) / their sum at the best prices, -1 to 1",
    ),
    word(
        "position",
        Word::Position,
        "what the strategy holds, in the base asset; negative is short, 0 is flat",
    ),
    word(
        "entry_price",
        Word::EntryPrice,
        "average price of what it holds; 0 while it is flat",
    ),
    word(
        "bars_held",
        Word::BarsHeld,
        "candles closed since it entered; 0 while it is flat",
    ),
    word(
        "pnl_percent",
        Word::PnlPercent,
        "profit at the close in percent of the entry price, before fees; 0 while it is flat",
    ),
    word(
        "hour",
        Word::Hour,
        "hour (UTC) at which the candle began, 0 to 23",
    ),
    word(
        "minute",
        Word::Minute,
        "minute at which the candle began, 0 to 59",
    ),
    word(
        "weekday",
        Word::Weekday,
        "day (UTC) on which the candle began, 1 (Monday) to 7",
    ),
];

/// Words in the table.
pub const WORDS: usize = 11;

/// A function of numbers.
#[derive(Debug, Clone, Copy)]
pub enum Function {
    /// Of one.
    One(fn(f64) -> f64),
    /// Of two.
    Two(fn(f64, f64) -> f64),
    /// Whether the first was at or below the second one candle before and is above it now.
    CrossesAbove,
    /// The same the other way round.
    CrossesBelow,
}

/// A row of the table of functions.
#[derive(Debug, Clone, Copy)]
pub struct FunctionRow {
    /// As users spell it.
    pub name: &'static str,
    /// What it computes.
    pub function: Function,
    /// How it is called.
    pub usage: &'static str,
}

const fn one(name: &'static str, usage: &'static str, function: fn(f64) -> f64) -> FunctionRow {
    FunctionRow {
        name,
        function: Function::One(function),
        usage,
    }
}

/// Every function that is no indicator. None of them takes its last bits from the machine.
pub const FUNCTIONS: &[FunctionRow] = &[
    one("abs", "abs(x)", f64::abs),
    one("floor", "floor(x)", f64::floor),
    one("ceil", "ceil(x)", f64::ceil),
    one("round", "round(x)", f64::round),
    one("sqrt", "sqrt(x)", f64::sqrt),
    one("exp", "exp(x)", libm::exp),
    one("ln", "ln(x)", libm::log),
    FunctionRow {
        name: "pow",
        function: Function::Two(libm::pow),
        usage: "pow(x, y)",
    },
    FunctionRow {
        name: "min",
        function: Function::Two(smaller),
        usage: "min(a, b)",
    },
    FunctionRow {
        name: "max",
        function: Function::Two(larger),
        usage: "max(a, b)",
    },
    FunctionRow {
        name: "crosses_above",
        function: Function::CrossesAbove,
        usage: "crosses_above(a, b)",
    },
    FunctionRow {
        name: "crosses_below",
        function: Function::CrossesBelow,
        usage: "crosses_below(a, b)",
    },
];

/// Whether two numbers are exactly the same; infinities are, what is no number is not.
pub fn same(a: f64, b: f64) -> bool {
    a.partial_cmp(&b).is_some_and(Ordering::is_eq)
}

/// The smaller of two; not a number if one of them is none.
fn smaller(a: f64, b: f64) -> f64 {
    if a.is_nan() || a < b { a } else { b }
}

/// The larger of two; not a number if one of them is none.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// How far a candle's history may be read.
pub const HISTORY_MAX: u16 = 500;
/// How far an indicator's history may be read.
pub const INDICATOR_BACK_MAX: u16 = 1;
/// Most indicators of one strategy.
pub const INDICATORS_MAX: usize = 32;

/// What a strategy's texts use.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// The indicators, each once.
    pub specs: Vec<Spec>,
    /// Candles of each field, in the order of [`Field::ALL`].
    pub candles: [u16; 5],
    /// The words.
    pub words: [bool; WORDS],
    /// Outputs of indicators that are read: place of the indicator, place of the output.
    pub outputs: Vec<(u16, u8)>,
}

impl Needs {
    /// Where the values of an indicator stand in a frame; `None` when there are too many.
    pub fn indicator(&mut self, spec: Spec) -> Option<u16> {
        let known = self.specs.iter().position(|s| *s == spec);
        let index = known.unwrap_or_else(|| {
            self.specs.push(spec);
            self.specs.len() - 1
        });
        (index < INDICATORS_MAX).then(|| u16::try_from(index).ok())?
    }

    /// An output of an indicator is read.
    pub fn output(&mut self, index: u16, output: u8) {
        if !self.outputs.contains(&(index, output)) {
            self.outputs.push((index, output));
        }
    }

    /// A field is read, so many candles before the last one.
    pub fn field(&mut self, field: Field, back: u16) {
        let kept = &mut self.candles[field.index()];
        *kept = (*kept).max(back.saturating_add(1));
    }

    /// A word is read.
    pub fn word(&mut self, word: Word) {
        self.words[word as usize] = true;
    }

    /// What is read, by name: indicators as they are spelt everywhere, then the names of the table.
    pub fn names(&self) -> Vec<String> {
        let outputs = self.outputs.iter().filter_map(|(index, output)| {
            let spec = self.specs.get(usize::from(*index))?;
            match spec.row().outputs {
                [_] => Some(spec.to_string()),
                several => Some(format!("{spec}.{}", several.get(usize::from(*output))?)),
            }
        });
        let names = NAMES.iter().filter(|n| self.reads(n.meaning));
        outputs.chain(names.map(|n| n.name.to_owned())).collect()
    }

    /// The values of [`Needs::names`], in their order; NaN where there is none.
    pub fn values<'a>(&'a self, frame: &'a Frame) -> impl Iterator<Item = f64> + 'a {
        let outputs = self.outputs.iter();
        let outputs = outputs.map(|(index, output)| frame.indicator(*index, *output, 0));
        let names = NAMES.iter().filter(|n| self.reads(n.meaning));
        outputs.chain(names.map(|n| match n.meaning {
            Meaning::Field(field) => frame.field(field, 0),
            Meaning::Word(word) => frame.word(word),
        }))
    }

    fn reads(&self, meaning: Meaning) -> bool {
        match meaning {
            Meaning::Field(field) => self.candles[field.index()] > 0,
            Meaning::Word(word) => self.words[word as usize],
        }
    }
}

/// The values at one closed candle.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frame {
    /// By field, newest first.
    pub fields: [Vec<f64>; 5],
    /// By indicator: after the last candle, and after the one before.
    pub indicators: Vec<[Option<Values>; 2]>,
    /// By word.
    pub words: [f64; WORDS],
}

impl Frame {
    /// A part of a candle; NaN where there is none.
    pub fn field(&self, field: Field, back: u16) -> f64 {
        let values = &self.fields[field.index()];
        values.get(usize::from(back)).copied().unwrap_or(f64::NAN)
    }

    /// An output of an indicator; NaN where there is none.
    pub fn indicator(&self, index: u16, output: u8, back: u8) -> f64 {
        let kept = self.indicators.get(usize::from(index));
        let values = kept.and_then(|kept| kept.get(usize::from(back)).copied().flatten());
        let value = values.and_then(|values| values.get(usize::from(output)).copied());
        value.unwrap_or(f64::NAN)
    }

    /// A word; NaN where it has no value.
    pub fn word(&self, word: Word) -> f64 {
        self.words[word as usize]
    }
}

/// What a name stands for.
pub fn meaning(name: &str) -> Option<Meaning> {
    NAMES.iter().find(|n| n.name == name).map(|n| n.meaning)
}

/// The name of a word or field.
pub fn name_of(meaning: Meaning) -> &'static str {
    let row = NAMES.iter().find(|n| n.meaning == meaning);
    row.map_or("?", |n| n.name)
}

/// Whether there is an indicator of this name.
pub fn is_indicator(name: &str) -> bool {
    INDICATORS.iter().any(|row| row.name == name)
}

/// `: did you mean rsi?`, or nothing where nothing is near. `more` are names beside the tables'.
pub fn nearest<'a>(name: &str, more: impl IntoIterator<Item = &'a str>) -> String {
    let known = INDICATORS
        .iter()
        .map(|row| row.name)
        .chain(NAMES.iter().map(|n| n.name))
        .chain(FUNCTIONS.iter().map(|f| f.name));
    let lower = name.to_ascii_lowercase();
    let best = known
        .chain(more)
        .map(|known| {
            // Two letters changed over are nearer than the first measure says.
            let swapped = strsim::normalized_damerau_levenshtein(&lower, known) + 0.1;
            (strsim::jaro_winkler(&lower, known).max(swapped), known)
        })
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)));
    match best {
        Some((score, known)) if score > 0.7 => format!(": did you mean {known}?"),
        _ => String::new(),
    }
}

/// Something wrong in a text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct Fault {
    /// Counted from 1.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Fault {
    /// As editors and compilers write it.
    pub fn in_file(&self, file: &str) -> String {
        format!("{file}:{}:{}: {}", self.line, self.column, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_one_thing() {
        let mut names: Vec<&str> = NAMES.iter().map(|n| n.name).collect();
        names.extend(FUNCTIONS.iter().map(|f| f.name));
        names.extend(INDICATORS.iter().map(|i| i.name));
        names.extend(["and", "or", "not", "true", "false", "state"]);
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "a name stands twice in {names:?}");
    }

    #[test]
    fn the_readme_tells_every_name() {
        let text = include_str!("../../README.md");
        let (_, text) = text
            .split_once("### Strategies of your own")
            .expect("a section");
        let (text, _) = text.split_once("\n## ").expect("an end");
        let names = NAMES.iter().map(|n| n.name);
        for name in names.chain(FUNCTIONS.iter().map(|f| f.name)) {
            let told = text.contains(&format!("`{name}`")) || text.contains(&format!("`{name}("));
            assert!(told, "{name}");
        }
        for example in ["dip.toml", "dip.rhai"] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
            let file = std::fs::read_to_string(path.join(example)).expect("an example");
            let shown = file.lines().filter(|line| !line.starts_with(['#', '/']));
            let shown: Vec<&str> = shown.collect();
            assert!(
                text.contains(shown.join("\n").trim()),
                "{example} is shown as it is"
            );
        }
    }

    #[test]
    fn words_have_their_places() {
        let words: Vec<usize> = NAMES
            .iter()
            .filter_map(|n| match n.meaning {
                Meaning::Word(word) => Some(word as usize),
                Meaning::Field(_) => None,
            })
            .collect();
        assert_eq!(words, (0..WORDS).collect::<Vec<_>>());
    }
}
