//! Candle files as markets: rows in the order of time, and an instrument made from what they show.
//!
//! A file says prices and volumes and no more. What a venue would say beside them - scales, tick, lot - is
//! told from the digits of the rows, or by the user.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::candle_csv::{self, CandleCsvError, ExactRow, Number};
use crate::kernel::types::{
    Contract, FixedError, Instrument, InstrumentName, Interval, Price, Qty, Rate, Scale, Time,
    VenueId, parse_fixed,
};
use crate::recording::split_symbol;

/// Largest price or volume, as an integer at its scale: what is computed of it stays in range.
const UNITS_MAX: i128 = 1_000_000_000_000_000_000;
/// Minutes between payments of funding, where files say nothing of it.
const FUNDING_MINUTES: u16 = 480;

/// A candle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its start.
    pub time: Time,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Base volume.
    pub volume: Qty,
}

/// Candles of one instrument.
#[derive(Debug, Clone)]
pub struct CandleMarket {
    /// The instrument.
    pub instrument: Instrument,
    /// What a row covers.
    pub interval: Interval,
    /// The rows, oldest first.
    pub rows: Vec<Row>,
    /// Funding payments: when, and at which rate. Of spot none.
    pub funding: Vec<(Time, Rate)>,
}

/// How files become markets.
#[derive(Debug, Clone, Default)]
pub struct MarketRules {
    /// Names for the files, in their order; the last one counts for all that follow it. Without any, files
    /// are asked for theirs.
    pub names: Vec<InstrumentName>,
    /// The venue of a file whose name says none.
    pub venue: Option<VenueId>,
    /// Price step, as text.
    pub tick: Option<String>,
    /// Quantity step, as text.
    pub lot: Option<String>,
    /// Maker and taker fee.
    pub fees: (Rate, Rate),
    /// Rate of every payment of funding of derivatives.
    pub funding_rate: Option<Rate>,
    /// A file of funding rates, for all derivatives.
    pub funding: Option<PathBuf>,
}

/// Candle files make no market.
#[derive(Debug, thiserror::Error)]
pub enum MarketError {
    /// Reading one.
    #[error(transparent)]
    Csv(#[from] CandleCsvError),
    /// Too little in it.
    #[error("{0}: a candle file needs two rows or more, so that its interval shows")]
    Short(String),
    /// No interval.
    #[error("{0}: rows are {1} s apart, which is no candle interval")]
    Interval(String, i64),
    /// Rows that do not follow each other.
    #[error("{path}: the candle of {time} {why}")]
    Order {
        /// File.
        path: String,
        /// Its time, in milliseconds.
        time: i64,
        /// What is wrong.
        why: &'static str,
    },
    /// A number that no market has.
    #[error("{path}: the candle of {time} has {what} out of range")]
    Range {
        /// File.
        path: String,
        /// Its time, in milliseconds.
        time: i64,
        /// Which number.
        what: &'static str,
    },
    /// Whose candles these are.
    #[error(
        "{0}: of which instrument are these candles? Say it with --symbol, such as binance:BTCUSDT"
    )]
    Name(String),
    /// A step that is no step.
    #[error("{flag} {value}: {why}")]
    Step {
        /// Flag.
        flag: &'static str,
        /// What was given.
        value: String,
        /// What is wrong.
        why: String,
    },
}

/// Reads candle files; several of one instrument follow each other in time.
pub fn markets(files: &[PathBuf], rules: &MarketRules) -> Result<Vec<CandleMarket>, MarketError> {
    let mut of: BTreeMap<InstrumentName, (String, Vec<ExactRow>)> = BTreeMap::new();
    let mut order = Vec::new();
    for (at, path) in files.iter().enumerate() {
        let said = rules.names.get(at).or(rules.names.last()).cloned();
        let Some(name) = said.or_else(|| name_of(path, rules.venue)) else {
            return Err(MarketError::Name(path.display().to_string()));
        };
        let mut rows = candle_csv::read_exact(path)?;
        // Some sources write the newest row first.
        if rows.first().map(|r| r.time) > rows.last().map(|r| r.time) {
            rows.reverse();
        }
        if !of.contains_key(&name) {
            order.push(name.clone());
        }
        let path = path.display().to_string();
        let known = of.entry(name).or_insert_with(|| (path, Vec::new()));
        known.1.extend(rows);
    }
    let mut markets = Vec::new();
    for name in order {
        let Some((path, rows)) = of.remove(&name) else {
            continue;
        };
        markets.push(market(name, &path, &rows, rules)?);
    }
    Ok(markets)
}

fn market(
    name: InstrumentName,
    path: &str,
    rows: &[ExactRow],
    rules: &MarketRules,
) -> Result<CandleMarket, MarketError> {
    let interval = interval_of(path, rows)?;
    let step = |flag, text: &Option<String>| {
        let text = text.as_deref();
        text.map(|text| step(flag, text)).transpose()
    };
    let (tick, lot) = (step("--tick", &rules.tick)?, step("--lot", &rules.lot)?);
    let digits = |of: &dyn Fn(&ExactRow) -> u8| rows.iter().map(of).max().unwrap_or(0);
    let price_digits = digits(&|r| r.prices.iter().map(|p| p.decimals).max().unwrap_or(0))
        .max(tick.map_or(0, |t| t.decimals))
        .min(Scale::MAX);
    let dearest = rows
        .iter()
        .filter_map(|r| r.prices[1].at(price_digits))
        .max();
    let dearest = dearest.unwrap_or(0) / 10_i128.pow(u32::from(price_digits));
    // A lot is worth no more than a hundredth of the quote asset, whatever the volumes show.
    let fine = u8::try_from(dearest.max(1).ilog10()).unwrap_or(0) + 3;
    let largest = |scale: u8| rows.iter().map(|r| r.volume.at(scale)).max().flatten();
    let mut qty_digits = lot.map_or_else(
        || digits(&|r| r.volume.decimals).max(fine).min(Scale::MAX),
        |lot| lot.decimals,
    );
    while lot.is_none() && qty_digits > 0 && largest(qty_digits).is_none_or(|q| q > UNITS_MAX) {
        qty_digits -= 1;
    }
    let scale = |digits| Scale::new(digits).unwrap_or_default();
    let scales = (scale(price_digits), scale(qty_digits));
    let (base, quote) = split_symbol(&name.symbol);
    let derivative = matches!(name.venue, VenueId::BinanceUsdm | VenueId::BybitLinear);
    let (maker_fee, taker_fee) = rules.fees;
    let unit = |step: Option<Number>, digits: u8| {
        let step = step.and_then(|s| s.at(digits)).unwrap_or(1);
        i64::try_from(step).unwrap_or(1)
    };
    let mut instrument = Instrument {
        tick: Price(unit(tick, price_digits)),
        lot: Qty(unit(lot, qty_digits)),
        maker_fee,
        taker_fee,
        ..Instrument::unlimited(name, &base, &quote, scales)
    };
    let rows = exact_rows(path, rows, interval, (price_digits, qty_digits))?;
    let mut funding = Vec::new();
    if derivative {
        instrument.contract = Contract::LinearPerpetual;
        if let Some(file) = &rules.funding {
            // The file names every payment: none is to be guessed.
            funding = candle_csv::read_rates(file)?;
        } else if let (Some(rate), Some(first)) = (rules.funding_rate, rows.first()) {
            instrument.funding_minutes = FUNDING_MINUTES;
            let hours: Interval = "8h".parse().unwrap_or(Interval::MINUTE);
            funding = vec![(hours.next_open(first.time), rate)];
        }
    }
    Ok(CandleMarket {
        instrument,
        interval,
        rows,
        funding,
    })
}

fn exact_rows(
    path: &str,
    rows: &[ExactRow],
    interval: Interval,
    (price_digits, qty_digits): (u8, u8),
) -> Result<Vec<Row>, MarketError> {
    let mut out: Vec<Row> = Vec::with_capacity(rows.len());
    for row in rows {
        let time = row.time.millis();
        let order = |why| MarketError::Order {
            path: path.to_owned(),
            time,
            why,
        };
        let range = |what| MarketError::Range {
            path: path.to_owned(),
            time,
            what,
        };
        let narrow = |number: Number, digits, what| {
            let units = number.at(digits).filter(|u| *u <= UNITS_MAX);
            units
                .and_then(|u| i64::try_from(u).ok())
                .ok_or_else(|| range(what))
        };
        let [open, high, low, close] = row.prices;
        let price = |number, what| {
            let units = narrow(number, price_digits, what)?;
            if units > 0 {
                Ok(Price(units))
            } else {
                Err(range(what))
            }
        };
        let (open, high) = (price(open, "an open")?, price(high, "a high")?);
        let (low, close) = (price(low, "a low")?, price(close, "a close")?);
        if low > open.min(close) || high < open.max(close) {
            return Err(order("has open or close outside of low to high"));
        }
        if interval.open_of(row.time) != row.time {
            return Err(order("does not begin where candles of its interval do"));
        }
        if out.last().is_some_and(|last| last.time >= row.time) {
            return Err(order("is not later than the one before it"));
        }
        out.push(Row {
            time: row.time,
            open,
            high,
            low,
            close,
            volume: Qty(narrow(row.volume, qty_digits, "a volume")?),
        });
    }
    Ok(out)
}

impl Number {
    /// As an integer with so many decimal digits; finer ones are rounded half up.
    fn at(self, decimals: u8) -> Option<i128> {
        let power = |n: u8| 10_i128.checked_pow(u32::from(n));
        if self.decimals <= decimals {
            return self.digits.checked_mul(power(decimals - self.decimals)?);
        }
        // Beyond the digits of any number there is nothing.
        let Some(unit) = power(self.decimals - decimals) else {
            return Some(0);
        };
        Some(self.digits.checked_add(unit / 2)? / unit)
    }
}

/// A positive step with the digits that it needs.
fn step(flag: &'static str, text: &str) -> Result<Number, MarketError> {
    let wrong = |why: String| MarketError::Step {
        flag,
        value: text.to_owned(),
        why,
    };
    let value = parse_fixed(text.as_bytes(), Scale::MAX)
        .map_err(|error: FixedError| wrong(error.to_string()))?;
    if value <= 0 || value > UNITS_MAX {
        return Err(wrong("must be above zero".to_owned()));
    }
    let (mut digits, mut decimals) = (value, Scale::MAX);
    while decimals > 0 && digits % 10 == 0 {
        digits /= 10;
        decimals -= 1;
    }
    Ok(Number { digits, decimals })
}

/// Intervals that a file of candles may have, beside months.

/// The interval of rows: the shortest time between two of them.
fn interval_of(path: &str, rows: &[ExactRow]) -> Result<Interval, MarketError> {
    const KNOWN: [&str; 24] = [
        "1s", "5s", "10s", "15s", "30s", "1m", "2m", "3m", "5m", "10m", "15m", "30m", "1h", "2h",
        "3h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "20s", "20m",
    ];
    let pairs = rows.iter().zip(rows.iter().skip(1));
    let shortest = pairs
        .map(|(a, b)| b.time.since(a.time))
        .filter(|d| *d > 0)
        .min();
    let Some(shortest) = shortest else {
        return Err(MarketError::Short(path.to_owned()));
    };
    let known = KNOWN.iter().filter_map(|text| text.parse().ok());
    let found = known
        .into_iter()
        .find(|i: &Interval| i.nominal_len() == shortest);
    let month = 28 * crate::kernel::types::DAY..=31 * crate::kernel::types::DAY;
    if found.is_none() && month.contains(&shortest) {
        return Ok("1M".parse().unwrap_or(Interval::MINUTE));
    }
    let seconds = shortest / crate::kernel::types::SECOND;
    found.ok_or_else(|| MarketError::Interval(path.to_owned(), seconds))
}

/// The instrument that a file's name speaks of: `binance-usdm-BTCUSDT-1m.csv`, `ETHUSDT-1h-2024-01.csv`.
fn name_of(path: &Path, default: Option<VenueId>) -> Option<InstrumentName> {
    let stem = path.file_name()?.to_str()?;
    let mut venues = VenueId::ALL;
    // The longest name first: one is the beginning of another.
    venues.sort_by_key(|v| std::cmp::Reverse(v.name().len()));
    let said = venues.into_iter().find_map(|venue| {
        let rest = stem.strip_prefix(venue.name())?.strip_prefix(['-', '_'])?;
        Some((venue, rest))
    });
    let (venue, rest) = said.unwrap_or((default.unwrap_or(VenueId::Binance), stem));
    let symbol = rest.split(['-', '_', '.']).next()?.to_ascii_uppercase();
    let (base, quote) = split_symbol(&symbol);
    let usual = [
        "USDT", "USDC", "FDUSD", "USD", "BTC", "ETH", "EUR", "BNB", "TRY",
    ];
    let plausible = usual.contains(&quote.as_str()) && format!("{base}{quote}") == symbol;
    plausible.then_some(InstrumentName { venue, symbol })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_say_whose_they_are() {
        let name = |path: &str| name_of(Path::new(path), None).map(|n| n.to_string());
        for (path, expected) in [
            ("binance-usdm-BTCUSDT-1m.csv", Some("binance-usdm:BTCUSDT")),
            (
                "data/bybit-spot-ETHUSDT-1h.csv.gz",
                Some("bybit-spot:ETHUSDT"),
            ),
            ("ETHUSDT-1h-2024-01.csv", Some("binance:ETHUSDT")),
            ("candles.csv", None),
        ] {
            assert_eq!(name(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn numbers_are_rounded_at_the_last_digit() {
        let number = |digits, decimals| Number { digits, decimals };
        assert_eq!(number(15, 1).at(3), Some(1_500));
        assert_eq!(number(1_249, 3).at(1), Some(12));
        assert_eq!(number(125, 2).at(1), Some(13));
    }
}
