//! Reads the lines of recordings, plain, gzip or zstd (told by their first bytes), files chained in
//! the given order.
//!
//! Invariants: memory is bounded by [`LINE_BYTES_MAX`]; a bad line is an error with file and line
//! number and reading can go on behind it; so it can behind the torn end of a zstd file, which is
//! what a recorder leaves that was killed; after any other error of the file reading has ended.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::kernel::types::{MICROSECOND, MILLISECOND, Time};

/// Longest line that is read, in bytes: twice the largest snapshot that a venue sends, and more.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// Integers below this are no milliseconds of any recording (they would be before 1973).
const MILLIS_MIN: u64 = 100_000_000_000;
/// Integers from here on are microseconds (as milliseconds they would be after the year 5000).
const MICROS_MIN: u64 = 100_000_000_000_000;
/// Integers from here on are nanoseconds (as microseconds they would be after the year 5000).
const NANOS_MIN: u64 = 100_000_000_000_000_000;

/// One recorded frame, borrowed from the reader's buffer.
#[derive(Debug)]
pub struct Record<'a> {
    /// When the recorder received it.
    pub received: Time,
    /// The frame as the venue sent it; mutable because some decoders work in place.
    pub frame: &'a mut [u8],
}

/// One recorded frame on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedRecord {
    /// When the recorder received it.
    pub received: Time,
    /// The frame as the venue sent it.
    pub frame: Vec<u8>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Longer than [`LINE_BYTES_MAX`].
    #[error("longer than {} MiB", LINE_BYTES_MAX >> 20)]
    TooLong,
    /// Does not begin with an integer and a blank.
    #[error("does not begin with `<receive time> `, an integer since the epoch")]
    NoTime,
    /// The integer is no time in milliseconds, microseconds or nanoseconds.
    #[error("the receive time must be in ms, µs or ns since the epoch (seconds are not accepted)")]
    TimeRange,
    /// Nothing behind the time.
    #[error("has no frame behind the receive time")]
    NoFrame,
}

/// Why a recording could not be read (further).
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be opened.
    #[error("cannot open the recording {}: {source}", file.display())]
    Open {
        /// Which file.
        file: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The file cannot be read or decompressed any further; reading has ended.
    #[error("cannot read the recording {} behind line {line}: {source}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Last line that was read.
        line: u64,
        /// The system's words.
        source: io::Error,
    },
    /// The file was cut within a compressed block; what stands before it was read, and reading goes
    /// on with the next file.
    #[error("{}: cut off behind line {line}: its recorder did not end in order", file.display())]
    Torn {
        /// Which file.
        file: PathBuf,
        /// Last line that was read.
        line: u64,
    },
    /// No file of a directory is a recording.
    #[error(
        "no recording (.txt or .jsonl, also with .gz or .zst) in {}{}",
        dir.display(),
        if folders.is_empty() { String::new() } else { format!("; look into {folders}") }
    )]
    Empty {
        /// Which directory.
        dir: PathBuf,
        /// Names of the directories in it.
        folders: String,
    },
    /// A line is malformed; the next one can be read.
    #[error("{}:{line}: the line {fault}", file.display())]
    Line {
        /// Which file.
        file: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// What is wrong with it.
        fault: LineFault,
    },
}

impl RecordingError {
    /// Whether reading can go on behind this error.
    pub const fn is_passable(&self) -> bool {
        matches!(self, Self::Line { .. } | Self::Torn { .. })
    }
}

/// Streams the records of files, one after the other.
pub struct Reader {
    waiting: VecDeque<PathBuf>,
    current: Option<Box<dyn BufRead + Send>>,
    /// Whether a cut in the present file is what a recorder may leave.
    may_be_torn: bool,
    file: PathBuf,
    line: u64,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("file", &self.file)
            .field("line", &self.line)
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

/// How the reading of one line ended.
enum Line {
    Whole,
    TooLong,
    EndOfFile,
}

impl Reader {
    /// A reader of `files`; each is opened when its turn comes.
    pub fn new<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Self {
        Self {
            waiting: files
                .into_iter()
                .map(|file| file.as_ref().to_owned())
                .collect(),
            current: None,
            may_be_torn: false,
            file: PathBuf::new(),
            line: 0,
            buffer: Vec::new(),
        }
    }

    /// File and line number of the record that was read last.
    pub fn position(&self) -> (&Path, u64) {
        (&self.file, self.line)
    }

    /// The next record without copying it; `None` at the end of the last file. Blank lines are
    /// passed over.
    pub fn next_record(&mut self) -> Option<Result<Record<'_>, RecordingError>> {
        match self.fill() {
            Ok(false) => None,
            Ok(true) => Some(match parse(&self.buffer) {
                Ok((received, at)) => Ok(Record {
                    received,
                    frame: self.buffer.get_mut(at..).unwrap_or_default(),
                }),
                Err(fault) => Err(self.line_error(fault)),
            }),
            Err(error) => Some(Err(error)),
        }
    }

    /// Reads the next line that is not blank into the buffer; `false` at the end of all files.
    fn fill(&mut self) -> Result<bool, RecordingError> {
        loop {
            let Some(source) = &mut self.current else {
                let Some(file) = self.waiting.pop_front() else {
                    return Ok(false);
                };
                self.file = file;
                self.line = 0;
                match open(&self.file) {
                    Ok((source, packing)) => {
                        self.current = Some(source);
                        self.may_be_torn = packing == Packing::Zstd;
                    }
                    Err(source) => {
                        self.waiting.clear();
                        let file = self.file.clone();
                        return Err(RecordingError::Open { file, source });
                    }
                }
                continue;
            };
            match read_line(source.as_mut(), &mut self.buffer) {
                Ok(Line::EndOfFile) => self.current = None,
                Ok(Line::TooLong) => {
                    self.line += 1;
                    return Err(self.line_error(LineFault::TooLong));
                }
                Ok(Line::Whole) => {
                    self.line += 1;
                    let text = self.buffer.trim_ascii_end().len();
                    self.buffer.truncate(text);
                    if !self.buffer.trim_ascii_start().is_empty() {
                        return Ok(true);
                    }
                }
                Err(source) => {
                    self.current = None;
                    if self.may_be_torn && source.kind() == io::ErrorKind::UnexpectedEof {
                        return Err(RecordingError::Torn {
                            file: self.file.clone(),
                            line: self.line,
                        });
                    }
                    self.waiting.clear();
                    return Err(RecordingError::Read {
                        file: self.file.clone(),
                        line: self.line,
                        source,
                    });
                }
            }
        }
    }

    fn line_error(&self, fault: LineFault) -> RecordingError {
        RecordingError::Line {
            file: self.file.clone(),
            line: self.line,
            fault,
        }
    }
}

impl Iterator for Reader {
    type Item = Result<OwnedRecord, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_record().map(|record| {
            record.map(|record| OwnedRecord {
                received: record.received,
                frame: record.frame.to_vec(),
            })
        })
    }
}

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
    Zstd,
}

fn open(file: &Path) -> io::Result<(Box<dyn BufRead + Send>, Packing)> {
    const GZIP: &[u8] = &[0x1f, 0x8b];
    const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
    const BUFFER: usize = 1 << 16;
    let mut plain = BufReader::with_capacity(BUFFER, File::open(file)?);
    let magic = plain.fill_buf()?;
    // A file may be cut within its first bytes, too.
    let torn = !magic.is_empty() && ZSTD.starts_with(magic);
    Ok(if magic.starts_with(GZIP) {
        let decoder = flate2::bufread::MultiGzDecoder::new(plain);
        let reader = BufReader::with_capacity(BUFFER, decoder);
        (Box::new(reader), Packing::Gzip)
    } else if magic.starts_with(ZSTD) || torn {
        let decoder = zstd::stream::read::Decoder::with_buffer(plain)?;
        let reader = BufReader::with_capacity(BUFFER, decoder);
        (Box::new(reader), Packing::Zstd)
    } else {
        (Box::new(plain), Packing::None)
    })
}

fn read_line(source: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    let limit = LINE_BYTES_MAX as u64 + 1;
    let read = Read::take(&mut *source, limit).read_until(b'\n', line)?;
    if read == 0 {
        return Ok(Line::EndOfFile);
    }
    if line.last() == Some(&b'\n') || line.len() <= LINE_BYTES_MAX {
        return Ok(Line::Whole);
    }
    line.clear();
    source.skip_until(b'\n')?;
    Ok(Line::TooLong)
}

/// The time of a line and where its frame begins.
fn parse(line: &[u8]) -> Result<(Time, usize), LineFault> {
    let start = line.len() - line.trim_ascii_start().len();
    let text = line.get(start..).unwrap_or_default();
    let digits = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    if number.is_empty() || rest.first().is_some_and(|c| !matches!(c, b' ' | b'\t')) {
        return Err(LineFault::NoTime);
    }
    let number: u64 = std::str::from_utf8(number)
        .ok()
        .and_then(|number| number.parse().ok())
        .ok_or(LineFault::TimeRange)?;
    let unit = match number {
        NANOS_MIN.. => 1,
        MICROS_MIN.. => MICROSECOND,
        MILLIS_MIN.. => MILLISECOND,
        _ => return Err(LineFault::TimeRange),
    };
    let time = i64::try_from(number)
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .ok_or(LineFault::TimeRange)?;
    let frame = rest.trim_ascii_start();
    if frame.is_empty() {
        return Err(LineFault::NoFrame);
    }
    Ok((Time(time), line.len() - frame.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_told_by_magnitude() {
        for (text, ns) in [
            ("1723161253937085768 {}", 1_723_161_253_937_085_768),
            ("1723161253937085 {}", 1_723_161_253_937_085_000),
            ("  1723161253937\t {}", 1_723_161_253_937_000_000),
        ] {
            let (time, at) = parse(text.as_bytes()).expect("valid");
            assert_eq!((time, &text[at..]), (Time(ns), "{}"), "{text}");
        }
    }

    #[test]
    fn what_is_no_line_is_named() {
        for (text, fault) in [
            ("{}", LineFault::NoTime),
            ("-1723161253937 {}", LineFault::NoTime),
            ("1723161253937{}", LineFault::NoTime),
            ("1723161253.937 {}", LineFault::NoTime),
            ("1723161253 {}", LineFault::TimeRange),
            ("0 {}", LineFault::TimeRange),
            ("99999999999999999999999 {}", LineFault::TimeRange),
            ("18446744073709551615 {}", LineFault::TimeRange),
            ("1723161253937", LineFault::NoFrame),
            ("1723161253937   ", LineFault::NoFrame),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(fault), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            if let Ok((_, at)) = parse(&line) {
                proptest::prop_assert!(at < line.len());
            }
        }
    }
}
