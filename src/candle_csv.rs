//! Candle files: CSV with a header that names `timestamp` (or `open_time`, `date`), `open`, `high`,
//! `low`, `close`, `volume`; plain or `.gz`.
//!
//! Indicators alone read these so far, so prices are doubles here.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

/// Longest line that is read.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// A row of a candle file.
#[derive(Debug, Clone, PartialEq)]
pub struct CandleRow {
    /// As written in the file.
    pub timestamp: String,
    /// Last price.
    pub close: f64,
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
            if value.is_finite() && value >= 0.0 {
                Ok(value)
            } else {
                Err(format!(
                    "{name} is {text:?}; it must be a finite number, not negative"
                ))
            }
        };
        let (open, high) = (number("open", self.open)?, number("high", self.high)?);
        let (low, close) = (number("low", self.low)?, number("close", self.close)?);
        number("volume", self.volume)?;
        if low > open.min(close) || high < open.max(close) {
            return Err(format!(
                "open {open} and close {close} lie outside of {low} to {high}"
            ));
        }
        Ok(CandleRow {
            timestamp: text("timestamp", self.timestamp)?.to_owned(),
            close,
        })
    }
}
