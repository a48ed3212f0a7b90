//! Recordings of a venue's public frames: a line `<receive time> <frame>` for each.
//!
//! [`Reader`] streams the lines of one or more files, [`Frame`] says what a frame is about,
//! and [`scan`] learns in one pass what a recording holds: instruments with their scales, streams,
//! snapshots, first and last time. All of it is pure reading; nothing is kept between calls.

mod bybit;
mod frame;
mod infer;
mod reader;

pub use frame::{Event, Frame, FrameError, TextLevel};
pub use infer::{Scan, ScannedSymbol, infer, scan, split_symbol};
pub use reader::{LINE_BYTES_MAX, LineFault, OwnedRecord, Reader, Record, RecordingError};
