//! Candle files: CSV with a header that names `timestamp` (or `open_time`, `date`), `open`, `high`,
//! `low`, `close`, `volume`; plain or `.gz`.
//!
//! For indicators numbers are doubles ([`read`]), for trading exact decimals ([`read_exact`]). A timestamp is
//! whatever the file says; most spellings of a time are understood. Without a header the columns are those
//! of Binance's own files: open time, open, high, low, close, volume, and more.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::kernel::indicators::Bar;
use crate::kernel::types::{DAY, MICROSECOND, MILLISECOND, MINUTE, Rate, SECOND, Time};

/// Longest line that is read.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// Largest price or volume: what is computed of such numbers stays finite.
const NUMBER_MAX: f64 = 1e38;

/// A row of a candle file.
#[derive(Debug, Clone, PartialEq)]
pub struct CandleRow {
    /// As written in the file.
    pub timestamp: String,
    /// Whether the timestamp was understood; the candle's time is 1970 otherwise.
    pub timed: bool,
    /// The candle.
    pub bar: Bar,
}

/// A candle file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CandleCsvError {
    /// The file itself.
    #[error("{path}: {error}")]
    Io {
        /// Path.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// A column is missing.
    #[error(
        "{path}: the header names no {column}: it must name timestamp (or open_time, date), open, \
         high, low, close and volume"
    )]
    Header {
        /// Path.
        path: String,
        /// Which column.
        column: &'static str,
    },
    /// A row is not what the header promises.
    #[error("{path}, line {line}: {why}")]
    Row {
        /// Path.
        path: String,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

/// An exact number as a file writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// Its digits, without the point.
    pub digits: i128,
    /// How many of them stand behind the point; trailing zeros do not count.
    pub decimals: u8,
}

/// A row of a candle file, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExactRow {
    /// Start of the candle.
    pub time: Time,
    /// Open, high, low, close.
    pub prices: [Number; 4],
    /// Base volume.
    pub volume: Number,
}

/// Reads a candle file.
pub fn read(path: &Path) -> Result<Vec<CandleRow>, CandleCsvError> {
    let mut rows = Vec::new();
    each(path, &mut |columns, fields| {
        rows.push(columns.row(fields)?);
        Ok(())
    })?;
    Ok(rows)
}

/// Reads a candle file whose numbers must stay what they are. Every row needs a time.
pub fn read_exact(path: &Path) -> Result<Vec<ExactRow>, CandleCsvError> {
    let mut rows = Vec::new();
    each(path, &mut |columns, fields| {
        rows.push(columns.exact(fields)?);
        Ok(())
    })?;
    Ok(rows)
}

/// Two columns of a file with a header that names them: times and signed rates, such as those of funding.
pub fn read_rates(path: &Path) -> Result<Vec<(Time, Rate)>, CandleCsvError> {
    let name = path.display().to_string();
    let mut columns = None;
    let mut rates = Vec::new();
    lines(path, &mut |number, fields| {
        let Some((timestamp, rate)) = columns else {
            let header = |column: &'static str, names: &[&str]| {
                position(fields, names).ok_or(CandleCsvError::Header {
                    path: name.clone(),
                    column,
                })
            };
            let timestamp = header("timestamp", &["timestamp", "time", "funding_time"])?;
            columns = Some((timestamp, header("rate", &["rate", "funding_rate"])?));
            return Ok(());
        };
        let wrong = |why: String| CandleCsvError::Row {
            path: name.clone(),
            line: number,
            why,
        };
        let text = |at: usize| fields.get(at).copied().unwrap_or_default();
        let time = time(text(timestamp))
            .ok_or_else(|| wrong(format!("timestamp is {:?}, no time", text(timestamp))))?;
        let rate = Rate::parse(text(rate))
            .map_err(|error| wrong(format!("rate is {:?}: {error}", text(rate))))?;
        rates.push((time, rate));
        Ok(())
    })?;
    Ok(rates)
}

/// What is done with the fields of a row; an error says what is wrong with it.
type Take<'a> = dyn FnMut(&Columns, &[&str]) -> Result<(), String> + 'a;

/// Every row of a candle file.
fn each(path: &Path, take: &mut Take<'_>) -> Result<(), CandleCsvError> {
    let name = path.display().to_string();
    let mut columns = None;
    lines(path, &mut |number, fields| {
        if columns.is_none() {
            columns = Some(Columns::find(fields, &name)?);
            if !Columns::are_values(fields) {
                return Ok(());
            }
        }
        let Some(known) = &columns else { return Ok(()) };
        take(known, fields).map_err(|why| CandleCsvError::Row {
            path: name.clone(),
            line: number,
            why,
        })
    })
}

/// What is done with the fields of a line and its number.
type Hear<'a> = dyn FnMut(usize, &[&str]) -> Result<(), CandleCsvError> + 'a;

/// Every line of a file that is not empty and no comment.
fn lines(path: &Path, hear: &mut Hear<'_>) -> Result<(), CandleCsvError> {
    let name = path.display().to_string();
    let io = |error| CandleCsvError::Io {
        path: name.clone(),
        error,
    };
    let file = File::open(path).map_err(io)?;
    let packed = path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    let source: Box<dyn Read> = if packed {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut lines = Lines {
        source: BufReader::new(source),
        line: String::new(),
        number: 0,
    };
    while lines.next().map_err(io)? {
        let line = lines.line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line
            .split(',')
            .map(|f| f.trim().trim_matches('"'))
            .collect();
        hear(lines.number, &fields)?;
    }
    Ok(())
}

struct Lines<R> {
    source: R,
    line: String,
    number: usize,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> std::io::Result<bool> {
        self.line.clear();
        self.number += 1;
        let read = self
            .source
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_line(&mut self.line)?;
        if read as u64 == LINE_BYTES_MAX {
            let why = format!("line {} is longer than {LINE_BYTES_MAX} bytes", self.number);
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
        }
        Ok(read > 0)
    }
}

/// Where the columns are.
struct Columns {
    timestamp: usize,
    open: usize,
    high: usize,
    low: usize,
    close: usize,
    volume: usize,
}

impl Columns {
    /// Whether a first line is a candle already: it has enough fields, and all of them are numbers.
    fn are_values(fields: &[&str]) -> bool {
        fields.len() >= 6 && fields.iter().take(6).all(|f| f.parse::<f64>().is_ok())
    }

    fn find(header: &[&str], path: &str) -> Result<Self, CandleCsvError> {
        if Self::are_values(header) {
            return Ok(Self {
                timestamp: 0,
                open: 1,
                high: 2,
                low: 3,
                close: 4,
                volume: 5,
            });
        }
        let at = |column: &'static str, names: &[&str]| {
            position(header, names).ok_or_else(|| CandleCsvError::Header {
                path: path.to_owned(),
                column,
            })
        };
        Ok(Self {
            timestamp: at("timestamp", &["timestamp", "open_time", "date"])?,
            open: at("open", &["open"])?,
            high: at("high", &["high"])?,
            low: at("low", &["low"])?,
            close: at("close", &["close"])?,
            volume: at("volume", &["volume"])?,
        })
    }

    fn exact(&self, fields: &[&str]) -> Result<ExactRow, String> {
        let text = |at: usize| fields.get(at).copied().unwrap_or_default();
        let number = |name: &str, at: usize| {
            exact(text(at))
                .ok_or_else(|| format!("{name} is {:?}, no number that is zero or more", text(at)))
        };
        let timestamp = text(self.timestamp);
        let time = time(timestamp).ok_or_else(|| format!("timestamp is {timestamp:?}, no time"))?;
        let prices = [
            number("open", self.open)?,
            number("high", self.high)?,
            number("low", self.low)?,
            number("close", self.close)?,
        ];
        Ok(ExactRow {
            time,
            prices,
            volume: number("volume", self.volume)?,
        })
    }

    fn row(&self, fields: &[&str]) -> Result<CandleRow, String> {
        let text = |name: &str, at: usize| {
            fields
                .get(at)
                .copied()
                .ok_or_else(|| format!("has no field for {name}"))
        };
        let number = |name: &str, at: usize| {
            let text = text(name, at)?;
            let value: f64 = text
                .parse()
                .map_err(|_| format!("{name} is {text:?}, not a number"))?;
            if (0.0..=NUMBER_MAX).contains(&value) {
                Ok(value)
            } else {
                Err(format!(
                    "{name} is {text:?}; it must be a number from 0 to {NUMBER_MAX:e}"
                ))
            }
        };
        let (open, high) = (number("open", self.open)?, number("high", self.high)?);
        let (low, close) = (number("low", self.low)?, number("close", self.close)?);
        let volume = number("volume", self.volume)?;
        if low > open.min(close) || high < open.max(close) {
            return Err(format!(
                "open {open} and close {close} lie outside of {low} to {high}"
            ));
        }
        let timestamp = text("timestamp", self.timestamp)?.to_owned();
        let time = time(&timestamp);
        Ok(CandleRow {
            timestamp,
            timed: time.is_some(),
            bar: Bar {
                open,
                high,
                low,
                close,
                volume,
                time: time.unwrap_or(Time::ZERO),
            },
        })
    }
}

/// Where a header names a column.
fn position(header: &[&str], names: &[&str]) -> Option<usize> {
    header
        .iter()
        .position(|h| names.iter().any(|n| h.eq_ignore_ascii_case(n)))
}

/// `1.50`, `1.5e-3`: digits and how many of them stand behind the point.
fn exact(text: &str) -> Option<Number> {
    let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut digits = 0_i128;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        digits = digits
            .checked_mul(10)?
            .checked_add(i128::from(byte - b'0'))?;
    }
    let mut decimals = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    while decimals > 0 && digits % 10 == 0 {
        digits /= 10;
        decimals -= 1;
    }
    while decimals < 0 {
        digits = digits.checked_mul(10)?;
        decimals += 1;
    }
    let decimals = u8::try_from(decimals).ok()?;
    Some(Number { digits, decimals })
}

/// A time: whole milliseconds since the Unix epoch (seconds with 10 digits, microseconds with 16,
/// nanoseconds with 19), or `2024-08-09 13:05:00.5` with `T`, `Z` or `+02:00` where wanted; UTC
/// without a zone.
pub fn time(text: &str) -> Option<Time> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        let unit = match text.len() {
            10 => SECOND,
            16 => MICROSECOND,
            19 => 1,
            _ => MILLISECOND,
        };
        return text.parse::<i64>().ok()?.checked_mul(unit).map(Time);
    }
    let number = |text: &str, max: i64| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|n: &i64| digits && *n <= max)
    };
    let (date, rest) = match text.split_once(['T', ' ']) {
        Some((date, rest)) => (date, rest.trim()),
        None => (text, "00:00"),
    };
    let (clock, zone) = match rest.find(['Z', '+', '-']) {
        Some(at) => rest.split_at(at),
        None => (rest, "Z"),
    };
    let zone = match zone.split_at_checked(1)? {
        ("Z", "") => 0,
        (sign, offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let minutes = number(hours, 14)? * 60 + number(minutes, 59)?;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    let mut date = date.split('-');
    let (year, month) = (number(date.next()?, 2200)?, number(date.next()?, 12)?);
    let day = number(date.next()?, 31)?;
    let (hour, rest) = clock.split_once(':')?;
    let (minute, second) = rest.split_once(':').unwrap_or((rest, "0"));
    let (second, part) = second.split_once('.').unwrap_or((second, "0"));
    let part: String = part.chars().chain("000000000".chars()).take(9).collect();
    if date.next().is_some() || year < 1970 || month == 0 || day == 0 {
        return None;
    }
    let in_day = (number(hour, 23)? * 60 + number(minute, 59)? - zone) * MINUTE
        + number(second, 60)? * SECOND
        + number(&part, i64::MAX)?;
    Some(Time(days(year, month, day) * DAY + in_day))
}

/// Days from the Unix epoch to a date. Years are counted from March, so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_files_spell_them() {
        let noon = 1_723_204_800_i64; // 2024-08-09 12:00 UTC
        for text in [
            "2024-08-09 12:00:00.000000",
            "2024-08-09T12:00:00Z",
            "2024-08-09T14:00+02:00",
            "2024-08-09 07:30:00-04:30",
            "1723204800",
            "1723204800000",
            "1723204800000000",
            "1723204800000000000",
        ] {
            assert_eq!(time(text), Some(Time(noon * SECOND)), "{text}");
        }
        let day = time("2024-02-29").expect("a date");
        assert_eq!(time("2024-03-01"), Some(day.plus(DAY)));
        assert_eq!(time("1970-01-01"), Some(Time::ZERO));
        assert_eq!(time("1970-01-01 00:00:01.25"), Some(Time(1_250_000_000)));
        for text in [
            "",
            "noon",
            "2024-13-01",
            "2024-08-09 25:00",
            "2024-08",
            "12:00",
            "2024-08-09T12:00é",
        ] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
