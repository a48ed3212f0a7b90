//! Recordings of a venue's public frames: a line `<receive time> <frame>` for each.
//!
//! [`Reader`] streams the lines of one or more files, [`Frame`] says what a frame is about,
//! and [`scan`] learns in one pass what a recording holds: instruments with their scales, streams,
//! snapshots, first and last time. All of that is pure reading; nothing is kept between calls.
//! [`Recorder`] writes recordings.

mod bybit;
mod files;
mod frame;
mod hole;
mod infer;
mod reader;
mod writer;

pub use files::files;
pub use frame::{Event, Frame, FrameError, SNAPSHOT_STREAM, TextLevel};
pub use hole::{hole, is_hole};
pub use infer::{Scan, ScannedSymbol, infer, scan, split_symbol};
pub use reader::{LINE_BYTES_MAX, LineFault, OwnedRecord, Reader, Record, RecordingError};
pub use writer::{RecordError, Recorder, RecorderConfig, RecorderThread};
