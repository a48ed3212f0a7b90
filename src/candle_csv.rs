//! Candle files: CSV with a header that names `timestamp` (or `open_time`, `date`), `open`, `high`,
//! `low`, `close`, `volume`; plain or `.gz`.
//!
//! Indicators alone read these so far, so numbers are doubles here. A timestamp is whatever the file
//! says; most spellings of a time are understood, for those indicators that need one.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::kernel::indicators::Bar;
use crate::kernel::types::{DAY, MICROSECOND, MILLISECOND, MINUTE, SECOND, Time};

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

/// Reads a candle file.
pub fn read(path: &Path) -> Result<Vec<CandleRow>, CandleCsvError> {
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
    let mut columns = None;
    let mut rows = Vec::new();
    while let Some(line) = lines.next().map_err(io)? {
        let line = line.trim_end();
        let number = lines.number;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line
            .split(',')
            .map(|f| f.trim().trim_matches('"'))
            .collect();
        let Some(known) = &columns else {
            columns = Some(Columns::find(&fields, &name)?);
            continue;
        };
        let row = known.row(&fields);
        rows.push(row.map_err(|why| CandleCsvError::Row {
            path: name.clone(),
            line: number,
            why,
        })?);
    }
    Ok(rows)
}

struct Lines<R> {
    source: R,
    line: String,
    number: usize,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> std::io::Result<Option<String>> {
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
        Ok((read > 0).then(|| self.line.clone()))
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
    fn find(header: &[&str], path: &str) -> Result<Self, CandleCsvError> {
        let at = |column: &'static str, names: &[&str]| {
            header
                .iter()
                .position(|h| names.iter().any(|n| h.eq_ignore_ascii_case(n)))
                .ok_or_else(|| CandleCsvError::Header {
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

/// A time: whole milliseconds since the Unix epoch (seconds with 10 digits, microseconds with 16,
/// nanoseconds with 19), or `2024-08-09 13:05:00.5` with `T`, `Z` or `+02:00` where wanted; UTC
/// without a zone.
fn time(text: &str) -> Option<Time> {
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
