//! `hean history download`: candles of the past from a venue's REST, as CSV that `hean backtest` reads.
//!
//! A file is only ever appended to, a page of whole rows at a time. What it ends with says where to go on, so a
//! download that was killed is finished by the same command: a last line without its end is cut off first. All
//! calls go through the venue's weight budget, as what can wait; a venue that asks for a pause gets it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Settings;
use crate::daemon::{DaemonError, parts};
use crate::json::Json;
use crate::kernel::event::Candle;
use crate::kernel::types::{Instrument, Interval, Time, VenueId, format_fixed};
use crate::runtime::clock::Clock;
use crate::store::migrate::Progress;
use crate::venue::access::{Access, CallError};
use crate::venue::budget::{Budgets, Priority};
use crate::venue::decode_error::DecodeError;

/// First line of a file.
const HEADER: &str = "timestamp,open,high,low,close,volume,quote_volume,trades";
/// Times that a call is tried before the download gives up; every page begins anew.
const TRIES_MAX: u32 = 8;
/// Pause after a failed call, doubled each time.
const PAUSE: Duration = Duration::from_millis(500);

/// What to download.
#[derive(Debug, Clone)]
pub struct Download {
    /// From where.
    pub venue: VenueId,
    /// Which candles.
    pub interval: Interval,
    /// From the first candle that opens here or later …
    pub from: Time,
    /// … to the last one that opens before this.
    pub to: Time,
    /// Where the files go.
    pub dir: PathBuf,
}

/// What became of one instrument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// `venue:SYMBOL`.
    pub symbol: String,
    /// The file.
    pub path: PathBuf,
    /// Rows that were there already, and rows that came.
    pub rows: (u64, u64),
}

/// A download failed. What it has written stays.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The venue and its instruments.
    #[error(transparent)]
    Start(#[from] DaemonError),
    /// The venue has no such candles.
    #[error("{0} has no candles of {1}")]
    Interval(VenueId, Interval),
    /// A call that failed for good.
    #[error("{venue} does not give candles of {symbol}: {error}")]
    Call {
        /// Which venue.
        venue: VenueId,
        /// Of what.
        symbol: String,
        /// Why.
        error: CallError,
    },
    /// An answer that cannot be read.
    #[error("an answer of {0} is not as its protocol says: {1}")]
    Decode(VenueId, DecodeError),
    /// A file.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file that is none of ours.
    #[error("{path}: {why}; move it away, or name another --dir")]
    Foreign {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Downloads candles of the symbols in `settings`, one instrument after the other.
pub async fn download(
    settings: &Settings,
    wanted: &Download,
) -> Result<Vec<Downloaded>, HistoryError> {
    let clock = Clock::start();
    let (net, budgets) = (parts::net()?, Budgets::default());
    let shared = (&net, &budgets, None);
    let part = parts::Venue::load(wanted.venue, settings, None, shared, &clock).await?;
    let access = part.feed.access;
    if !access.protocol().has_candles(wanted.interval) {
        return Err(HistoryError::Interval(wanted.venue, wanted.interval));
    }
    std::fs::create_dir_all(&wanted.dir).map_err(|error| HistoryError::File {
        path: wanted.dir.clone(),
        error,
    })?;
    let mut all = Vec::new();
    for instrument in &part.instruments {
        all.push(one(&access, wanted, instrument).await?);
    }
    Ok(all)
}

async fn one(
    access: &Arc<Access>,
    wanted: &Download,
    instrument: &Instrument,
) -> Result<Downloaded, HistoryError> {
    let protocol = access.protocol();
    let Download {
        venue,
        interval,
        from,
        to,
        ref dir,
    } = *wanted;
    let name = &instrument.name;
    let path = dir.join(format!("{venue}-{}-{interval}.csv", name.symbol));
    let mut rows = Rows::open(&path)?;
    let first = match interval.open_of(from) {
        open if open == from => open,
        _ => interval.next_open(from),
    };
    let mut next = rows
        .last
        .map_or(first, |last| interval.next_open(last).max(first));
    if rows.last.is_none() {
        rows.append(&format!("{HEADER}\n"), 0)?;
    } else if rows.first.is_some_and(|known| known > first) {
        let why = format!(
            "it begins at {}, after --from: rows are only appended",
            rows.first.unwrap_or_default().millis()
        );
        return Err(HistoryError::Foreign { path, why });
    }
    // What is not closed yet would change.
    let call = protocol.server_time();
    let body = ask(access, &call, &name.symbol).await?;
    let now = protocol
        .decode_server_time(&body)
        .map_err(|error| HistoryError::Decode(venue, error))?;
    let end = to.min(interval.open_of(now));
    let mut progress = Progress::counting("candles");
    let page = protocol.candles_max();
    let length = interval.nominal_len().max(1);
    let count = |from: Time| u64::try_from(end.since(from) / length).unwrap_or(0);
    let (known, all) = (rows.count, rows.count + count(next));
    while next < end {
        let mut before = next;
        for _ in 0..page {
            before = interval.next_open(before);
        }
        let before = before.min(end);
        let call = protocol.candles(instrument, interval, Some(before), page);
        let body = ask(access, &call, &name.symbol).await?;
        let candles = protocol
            .decode_candles(&body, instrument)
            .map_err(|error| HistoryError::Decode(venue, error))?;
        let mut text = String::new();
        let mut added = 0;
        for candle in candles {
            if candle.open_time >= next && candle.open_time < before {
                row(&mut text, &candle, instrument);
                next = interval.next_open(candle.open_time);
                added += 1;
            }
        }
        rows.append(&text, added)?;
        // Nothing was traded in the rest of the page.
        next = before;
        progress.show(&name.to_string(), all.saturating_sub(count(next)), all);
    }
    progress.clear();
    rows.sync()?;
    Ok(Downloaded {
        symbol: name.to_string(),
        path,
        rows: (known, rows.count - known),
    })
}

/// Calls until an answer comes. A refusal for another reason than too many calls is final.
async fn ask(
    access: &Arc<Access>,
    call: &crate::venue::protocol::Call,
    symbol: &str,
) -> Result<hyper::body::Bytes, HistoryError> {
    let mut pause = PAUSE;
    for tried in 1.. {
        let error = match access.call(call, Priority::Idle).await {
            Ok(body) => return Ok(body),
            Err(error) => error,
        };
        let last = match &error {
            CallError::Refused { status, code, .. } => {
                (400..500).contains(status) && *code != 0 && !matches!(status, 418 | 429)
            }
            CallError::Rest(_) => false,
        };
        if last || tried == TRIES_MAX {
            return Err(HistoryError::Call {
                venue: access.venue(),
                symbol: symbol.to_owned(),
                error,
            });
        }
        tracing::warn!(%error, tried, "a page of candles is asked for again");
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2);
    }
    unreachable!("the loop above has no other end")
}

fn row(out: &mut String, candle: &Candle, instrument: &Instrument) {
    use std::fmt::Write as _;
    let (price, qty) = (instrument.price_scale, instrument.qty_scale);
    let wide = |value, digits| format_fixed(value, digits);
    writeln!(
        out,
        "{},{},{},{},{},{},{},{}",
        candle.open_time.millis(),
        candle.open.display(price),
        candle.high.display(price),
        candle.low.display(price),
        candle.close.display(price),
        wide(candle.volume, qty.digits()),
        wide(candle.quote_volume, price.digits() + qty.digits()),
        candle.trades
    )
    .expect("memory");
}

/// A file of candles that grows at its end.
#[derive(Debug)]
struct Rows {
    path: PathBuf,
    file: File,
    /// Of the first and the last row.
    first: Option<Time>,
    last: Option<Time>,
    count: u64,
}

impl Rows {
    /// Opens a file, or makes it; a last line without its end is cut off.
    fn open(path: &Path) -> Result<Self, HistoryError> {
        let io = |error| HistoryError::File {
            path: path.to_owned(),
            error,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io)?;
        let mut rows = Self {
            path: path.to_owned(),
            first: None,
            last: None,
            count: 0,
            file: file.try_clone().map_err(io)?,
        };
        let mut whole = 0;
        let mut lines = BufReader::new(&mut file);
        let mut line = String::new();
        loop {
            line.clear();
            let read = lines
                .by_ref()
                .take(4_096)
                .read_line(&mut line)
                .map_err(io)?;
            if read == 0 || !line.ends_with('\n') {
                break;
            }
            if whole == 0 && line.trim_end() != HEADER {
                let why = "it is no file that a download has written".to_owned();
                return Err(HistoryError::Foreign {
                    path: path.to_owned(),
                    why,
                });
            }
            if whole > 0 {
                let time = line.split(',').next().and_then(|t| t.parse().ok());
                let time =
                    time.and_then(Time::from_millis)
                        .ok_or_else(|| HistoryError::Foreign {
                            path: path.to_owned(),
                            why: format!("line {} has no timestamp", rows.count + 2),
                        })?;
                rows.first.get_or_insert(time);
                rows.last = Some(time);
                rows.count += 1;
            }
            whole += read as u64;
        }
        if rows.last.is_none() {
            // A header alone is written anew.
            whole = 0;
        }
        rows.file.set_len(whole).map_err(io)?;
        rows.file.seek(SeekFrom::Start(whole)).map_err(io)?;
        Ok(rows)
    }

    /// Appends whole lines, in one write.
    fn append(&mut self, lines: &str, rows: u64) -> Result<(), HistoryError> {
        self.count += rows;
        let written = self.file.write_all(lines.as_bytes());
        written.map_err(|error| self.error(error))
    }

    fn sync(&self) -> Result<(), HistoryError> {
        self.file.sync_all().map_err(|error| self.error(error))
    }

    fn error(&self, error: std::io::Error) -> HistoryError {
        HistoryError::File {
            path: self.path.clone(),
            error,
        }
    }
}

/// What came, for people or as JSON.
pub fn summary(all: &[Downloaded], json: bool) -> Vec<u8> {
    if json {
        let mut out = Json::new(false);
        out.array(|j| {
            for one in all {
                j.object(|j| {
                    j.key("symbol").text(&one.symbol);
                    j.key("file").text(&one.path.display().to_string());
                    j.key("rows_known").int(one.rows.0);
                    j.key("rows_new").int(one.rows.1);
                });
            }
        });
        return out.into_bytes();
    }
    let line = |one: &Downloaded| {
        let (known, new) = one.rows;
        format!(
            "{}: {new} candles, {known} were there: {}",
            one.symbol,
            one.path.display()
        )
    };
    all.iter()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_cut_and_the_last_whole_one_decides() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("x.csv");
        let whole = format!("{HEADER}\n60000,1,2,1,2,5,5,1\n120000,2,2,1,2,5,5,1\n");
        for torn in ["", "1", "180000,2,2", "180000,2,2,1,2,5,5,1"] {
            std::fs::write(&path, format!("{whole}{torn}")).expect("written");
            let rows = Rows::open(&path).expect("rows");
            assert_eq!((rows.count, rows.last), (2, Time::from_millis(120_000)));
            let left = std::fs::read_to_string(&path).expect("read");
            assert_eq!(left, whole, "{torn:?}");
        }
        for torn in ["", "timest", HEADER, &format!("{HEADER}\n")] {
            std::fs::write(&path, torn).expect("written");
            let rows = Rows::open(&path).expect("rows");
            assert_eq!((rows.count, rows.last), (0, None));
        }
        std::fs::write(&path, "some,other\nfile,1\n").expect("written");
        assert!(matches!(
            Rows::open(&path),
            Err(HistoryError::Foreign { .. })
        ));
    }
}
